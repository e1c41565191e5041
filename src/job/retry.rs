//! How often a job is tried.

use std::str::FromStr;

use super::{Invalid, limits};

/// Attempts of a job, 1 to 10 ([`limits::ATTEMPTS`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(u8);

impl Attempts {
    /// The number of attempts.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Attempts {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse::<u8>() {
            Ok(n) if limits::ATTEMPTS.contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because("a job has 1 to 10 attempts")),
        }
    }
}
