//! The names of a cluster and of its parts.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// The name of a cluster, which is also the name of its CloudFormation stack: 1 to 60 letters,
/// digits and `-`, the first one a letter. ParallelCluster has the same rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case and without `-` at its end, for names of resources that take nothing
    /// else.
    pub fn lower_case(&self) -> String {
        self.0.to_ascii_lowercase().trim_end_matches('-').to_owned()
    }
}

/// Characters of a cluster's name.
const CLUSTER_NAME_LENGTH: usize = 60;

impl FromStr for ClusterName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if begins && text.chars().all(good) && text.len() <= CLUSTER_NAME_LENGTH {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::because(
            "a cluster's name has 1 to 60 letters, digits and '-', and begins with a letter, such as lab-1",
        ))
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a part of a cluster: a compute environment, a queue, a job definition or a shared
/// directory. 1 to 32 lower-case letters and digits, with single `-` between them, the first one a
/// letter. In AWS, queues and job definitions are called `CLUSTER-NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartName(String);

/// Characters of a part's name.
const PART_NAME_LENGTH: usize = 32;

impl PartName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The logical ID of the part's resource in the template: `Queue` and `gpu-large` make
    /// `QueueGpuLarge`. Different names may have the same one (`a-1` and `a1`), which the parser
    /// refuses.
    pub fn logical_id(&self, prefix: &str) -> String {
        let words = self.0.split('-').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            format!("{}{rest}", first.to_ascii_uppercase())
        });
        std::iter::once(prefix.to_owned()).chain(words).collect()
    }
}

impl FromStr for PartName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let words = text.split('-').all(|word| !word.is_empty() && word.bytes().all(good));
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && words && text.len() <= PART_NAME_LENGTH {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::because(
            "a name has 1 to 32 lower-case letters and digits, with single '-' between them, and begins with \
             a letter, such as gpu-large",
        ))
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clusters() {
        for good in ["a", "Lab-1", &"x".repeat(60)] {
            assert_eq!(good.parse::<ClusterName>().map(|n| n.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "1a", "-a", "a_b", "a b", "ä", &"x".repeat(61)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
        assert_eq!("Lab--".parse::<ClusterName>().map(|n| n.lower_case()).as_deref(), Ok("lab"));
    }

    #[test]
    fn names_of_parts_make_logical_ids() {
        let id = |text: &str| text.parse::<PartName>().map(|name| name.logical_id("Queue"));
        assert_eq!(id("gpu-large").as_deref(), Ok("QueueGpuLarge"));
        assert_eq!(id("spot").as_deref(), Ok("QueueSpot"));
        assert_eq!(id("a-1"), id("a1"));
        for bad in ["", "A", "1a", "a--b", "a-", "-a", "a_b", &"x".repeat(33)] {
            assert!(bad.parse::<PartName>().is_err(), "{bad}");
        }
    }
}
