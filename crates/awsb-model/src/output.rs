//! Files that a job returns: `-o GLOB`.

use std::path::{Component, Path};
use std::str::FromStr;

use super::Invalid;

/// A pattern of sh for files below the job's working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputGlob(String);

impl OutputGlob {
    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OutputGlob {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.contains('\0') {
            return Err(Invalid::because("give a pattern such as `*.csv` or `results`"));
        }
        let leaves = |c| !matches!(c, Component::Normal(_) | Component::CurDir);
        if Path::new(text).components().any(leaves) {
            return Err(Invalid::because(
                "patterns are for files below the job's working directory, without `..` or a `/` at the front",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_below_the_working_directory() {
        for text in ["*.csv", "results", "./a b/*", "[a-c]?/x", "..a", "."] {
            assert_eq!(text.parse::<OutputGlob>().map(|g| g.as_str().to_owned()), Ok(text.to_owned()));
        }
        for text in ["", "/tmp/x", "..", "a/../../b"] {
            assert!(text.parse::<OutputGlob>().is_err(), "{text}");
        }
    }
}
