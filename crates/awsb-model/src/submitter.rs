//! The submitter of a job.

use std::fmt;

/// The submitter of a job. SubmitJob has no field for it, so it travels in the job's environment;
/// `--mine` searches it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitter(String);

/// The length at most. It is twice that of Linux's user names, for names with a host.
const LONGEST: usize = 64;

impl Submitter {
    /// The variable of the job with the submitter. It also sets the submitter for all commands of a
    /// user whose name differs between a laptop and a login node.
    pub const VARIABLE: &str = "AWSB_USER";

    /// A name without blanks and control characters. `None`: nothing is left.
    pub fn cleaned(text: &str) -> Option<Self> {
        let name: String =
            text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(LONGEST).collect();
        (!name.is_empty()).then_some(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_word() {
        let cleaned = |text| Submitter::cleaned(text).map(|s| s.to_string());
        assert_eq!(cleaned("alice").as_deref(), Some("alice"));
        assert_eq!(cleaned(" al\u{1b}ice@lab\n").as_deref(), Some("alice@lab"));
        assert_eq!((cleaned(""), cleaned(" \t")), (None, None));
        assert_eq!(cleaned(&"x".repeat(100)).map(|s| s.len()), Some(LONGEST));
    }
}
