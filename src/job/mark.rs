//! The mark of a submission.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Invalid;

/// What tells the job of one submission from all others: SubmitJob has no idempotency token, so a job carries
/// this in its environment, and a submission whose answer was lost is looked for by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark(Uuid);

impl Mark {
    /// The variable that carries it in the job.
    pub const VARIABLE: &str = "AWSB_SUBMISSION";

    /// A mark that nobody else has (122 random bits).
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for Mark {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::because("a submission's mark is a UUID"))
    }
}

impl TryFrom<String> for Mark {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written_and_is_nobody_elses() {
        let mark = Mark::random();
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert_ne!(mark, Mark::random());
        assert!("no-mark".parse::<Mark>().is_err());
    }
}
