//! Names of log groups and log streams, as a request may give them.

use crate::constants::{ACCOUNT, REGION};
use crate::http::protocol::ApiError;

use super::errors::{constraint, invalid};

/// API: LogGroupName and LogStreamName have 1 to 512 characters.
const LONGEST: usize = 512;

/// The name of a log group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// API: LogGroupName.
    ///
    /// # Errors
    /// `InvalidParameterException`, when it cannot be one.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        length("logGroupName", text)?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
        if !text.chars().all(good) {
            return Err(pattern("logGroupName", text, r"[\.\-_/#A-Za-z0-9]+"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The group that a request names by `logGroupName` or by `logGroupIdentifier`, which is a name
    /// or an ARN.
    ///
    /// # Errors
    /// `InvalidParameterException`, when it names none, or two.
    pub fn of_request(name: Option<&str>, identifier: Option<&str>) -> Result<Self, ApiError> {
        match (name, identifier) {
            (Some(name), None) => Self::parse(name),
            (None, Some(identifier)) => Self::of_identifier(identifier),
            _ => Err(invalid("Exactly one of logGroupName and logGroupIdentifier is required.")),
        }
    }

    /// API: LogGroupIdentifier: a name, or an ARN with or without `:*` at its end.
    ///
    /// # Errors
    /// `InvalidParameterException`, when it is neither.
    pub fn of_identifier(text: &str) -> Result<Self, ApiError> {
        match text.split_once(":log-group:") {
            Some((_, name)) => Self::parse(name.trim_end_matches(":*")),
            None => Self::parse(text),
        }
    }

    /// A name from the database: a request's, or the one that a job definition has for its jobs'
    /// logs.
    pub fn from_valid(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group's ARN, without the `:*` that IAM policies want.
    pub fn arn(&self) -> String {
        format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{}", self.0)
    }

    /// The ARN of one of its streams.
    pub fn stream_arn(&self, stream: &str) -> String {
        format!("{}:log-stream:{stream}", self.arn())
    }
}

/// The name of a log stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// API: LogStreamName.
    ///
    /// # Errors
    /// `InvalidParameterException`, when it cannot be one.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        length("logStreamName", text)?;
        if text.contains([':', '*']) {
            return Err(pattern("logStreamName", text, "[^:*]*"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name from the database: it has been parsed.
    pub fn from_valid(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn length(field: &str, text: &str) -> Result<(), ApiError> {
    match text.chars().count() {
        0 => Err(constraint(field, text, "have length greater than or equal to 1")),
        1..=LONGEST => Ok(()),
        _ => Err(constraint(field, text, &format!("have length less than or equal to {LONGEST}"))),
    }
}

fn pattern(field: &str, text: &str, pattern: &str) -> ApiError {
    constraint(field, text, &format!("satisfy regular expression pattern: {pattern}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_characters_and_the_length_that_the_api_gives() {
        for good in ["a", "/aws/batch/job", "A-Z_0.9#", &"x".repeat(512)] {
            assert!(GroupName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "ä", &"x".repeat(513)] {
            assert!(GroupName::parse(bad).is_err(), "{bad}");
        }
        for good in ["a", "local/default/1", "2026/11/21/[$LATEST]é", &"é".repeat(512)] {
            assert!(StreamName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a:b", "a*", &"x".repeat(513)] {
            assert!(StreamName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_group_is_named_by_its_name_or_its_arn_and_by_one_of_them() {
        let group = GroupName::parse("/aws/batch/job").unwrap();
        let arn = group.arn();
        let star = format!("{arn}:*");
        for identifier in ["/aws/batch/job", &arn, &star] {
            assert_eq!(GroupName::of_request(None, Some(identifier)).unwrap(), group);
        }
        assert_eq!(GroupName::of_request(Some("/aws/batch/job"), None).unwrap(), group);
        assert!(GroupName::of_request(Some("a"), Some("a")).is_err());
        assert!(GroupName::of_request(None, None).is_err());
        assert!(GroupName::of_request(Some(&arn), None).is_err());
    }
}
