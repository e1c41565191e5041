//! The key of `--once`.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::{Invalid, object_key};

/// A text of 1 to 1,024 bytes that identifies one piece of work. Submissions with the same key are
/// the same work, from any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceKey(String);

impl OnceKey {
    /// The length of a key in bytes at most.
    const LONGEST: usize = 1024;

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the object for this key, below the cluster's prefix. The text may have characters
    /// that the key of an object should not have.
    pub fn object(&self, prefix: &str) -> String {
        let digest = hex::encode(Sha256::digest(self.0.as_bytes()));
        object_key(prefix, &format!("once/{digest}.json"))
    }
}

impl FromStr for OnceKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            1..=Self::LONGEST => Ok(Self(text.to_owned())),
            _ => Err(Invalid::because("a key has 1 to 1024 bytes")),
        }
    }
}

impl fmt::Display for OnceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_of_a_sensible_length_is_a_key() {
        let key: OnceKey = "night/2026-01-31 größe".parse().unwrap();
        assert_eq!(
            "a".parse::<OnceKey>().unwrap().object("awsb"),
            "awsb/once/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb.json"
        );
        assert_ne!(key.object(""), "A".parse::<OnceKey>().unwrap().object(""));
        assert!(key.object("").starts_with("once/"));
        assert!("".parse::<OnceKey>().is_err());
        assert!("x".repeat(1024).parse::<OnceKey>().is_ok());
        assert!("x".repeat(1025).parse::<OnceKey>().is_err());
    }
}
