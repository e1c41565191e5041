//! The mark of a submission.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What makes one submission known again: SubmitJob takes no client token (containers-roadmap issue 2798), so
/// each submission carries a random mark of its own in the job's environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(String);

impl Mark {
    /// The variable of the job that carries it.
    pub const VARIABLE: &str = "AWSB_SUBMISSION";

    /// A new one: a random UUID.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// One that was written down before.
    pub fn recorded(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The mark as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
