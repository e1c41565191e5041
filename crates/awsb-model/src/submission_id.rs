//! The ID of a submission.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The ID by which a submission is recognised. SubmitJob takes no client token (containers-roadmap
/// issue 2798), so each submission carries a random ID in the job's environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubmissionId(String);

impl SubmissionId {
    /// The variable of the job that carries the ID.
    pub const VARIABLE: &str = "AWSB_SUBMISSION";

    /// A new ID: a random UUID.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// An ID that was stored before.
    pub fn recorded(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
