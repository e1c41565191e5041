//! Options for a job's position in its queue, and its name tags.

use std::str::FromStr;

use super::{Invalid, limits};

/// A priority in a share, 0 to 9999. Higher priorities run first (API `SubmitJob`,
/// `schedulingPriorityOverride`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(i32);

impl Priority {
    /// The priority.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl FromStr for Priority {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse::<i32>() {
            Ok(n) if limits::PRIORITY.contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because("a priority is a number from 0 to 9999")),
        }
    }
}

/// The identifier of a share (API `SubmitJob`, `shareIdentifier`): letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share(String);

impl Share {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Share {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = (1..=limits::SHARE_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::because("a share has 1 to 255 letters and digits"))
        }
    }
}

/// A tag (`--tag KEY=VALUE`; API `TagKey`, `TagValue`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value, which may be empty.
    pub value: String,
}

impl FromStr for Tag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = pair(text, "a tag is KEY=VALUE, such as project=genomes")?;
        if key.chars().count() > limits::TAG_KEY_LENGTH || value.chars().count() > limits::TAG_VALUE_LENGTH {
            return Err(Invalid::because("a tag's key has at most 128 characters, its value 256"));
        }
        // UG using-tags, "Tag restrictions".
        if [key, value].iter().any(|text| text.to_ascii_lowercase().starts_with("aws:")) {
            return Err(Invalid::because("keys and values that begin with aws: are AWS's own"));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// A parameter of the job definition (`--param NAME=VALUE`; UG `job_definition_parameters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name, as after `Ref::`.
    pub name: String,
    /// The value.
    pub value: String,
}

impl FromStr for Parameter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, value) = pair(text, "a parameter is NAME=VALUE, such as input=s3://bucket/key")?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

fn pair<'a>(text: &'a str, right: &str) -> Result<(&'a str, &'a str), Invalid> {
    text.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(|| Invalid::because(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_batch_takes() {
        assert_eq!("9999".parse::<Priority>().map(Priority::get), Ok(9999));
        assert_eq!("a=b=c".parse(), Ok(Tag { key: "a".into(), value: "b=c".into() }));
        assert_eq!("a=".parse(), Ok(Parameter { name: "a".into(), value: String::new() }));
        for bad in ["-1", "10000", "x", ""] {
            assert!(bad.parse::<Priority>().is_err(), "{bad}");
        }
        for bad in ["", "a-b", "ä", &"a".repeat(256)] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "a",
            "=b",
            "aws:x=1",
            "x=AWS:1",
            &format!("{}=1", "k".repeat(129)),
            &format!("k={}", "v".repeat(257)),
        ] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
