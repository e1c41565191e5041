//! The names of a job, of a queue, of a job definition and of a container.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, limits};

/// A job name: 1 to 128 letters, digits, `-` and `_`, the first one a letter or a digit (API
/// `SubmitJob`, `jobName`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobName(String);

impl JobName {
    /// The nearest valid name. Invalid characters become `-`, and the name is cut to length. Text
    /// without a letter or digit becomes `job`.
    pub fn cleaned(text: &str) -> Self {
        let clean: String = text
            .chars()
            .map(|c| if allowed(c) { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(limits::JOB_NAME_LENGTH)
            .collect();
        let clean = clean.trim_end_matches('-');
        Self(if clean.is_empty() { "job".to_owned() } else { clean.to_owned() })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// A letter of a Western European language without its accent, in small letters; any other
/// character as it is.
fn in_ascii(c: char) -> String {
    let letters = match c.to_lowercase().next().unwrap_or(c) {
        'à'..='ã' | 'å' => "a",
        'ä' | 'æ' => "ae",
        'ç' => "c",
        'è'..='ë' => "e",
        'ì'..='ï' => "i",
        'ñ' => "n",
        'ò'..='õ' => "o",
        'ö' | 'ø' | 'œ' => "oe",
        'ß' => "ss",
        'ù'..='û' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        _ => return c.to_string(),
    };
    letters.to_owned()
}

impl FromStr for JobName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let first_is_fine = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first_is_fine && text.chars().all(allowed) && text.len() <= limits::JOB_NAME_LENGTH {
            return Ok(Self(text.to_owned()));
        }
        let rule = "a job's name has 1 to 128 letters, digits, '-' and '_' and begins with a letter or digit";
        let text: &str = &text.chars().map(in_ascii).collect::<String>();
        // A name without most of its letters is useless.
        let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
        let kept = text.chars().filter(char::is_ascii_alphanumeric).count();
        Err(Invalid::because(match kept > 0 && 2 * kept >= letters {
            true => format!("{rule}, such as '{}'", Self::cleaned(text)),
            false => rule.to_owned(),
        }))
    }
}

/// Checks the name or ARN of a queue (API `CreateJobQueue`, `jobQueueName`).
///
/// # Errors
/// When a queue cannot have it.
pub fn queue_name(text: &str) -> Result<String, Invalid> {
    if text.starts_with("arn:") || is_name(text, limits::QUEUE_NAME_LENGTH) {
        return Ok(text.to_owned());
    }
    Err(Invalid::because("a queue is a name of 1 to 128 letters, digits, '-' and '_', or an ARN"))
}

/// Checks `NAME`, `NAME:REVISION` or the ARN of a job definition (API `SubmitJob`,
/// `jobDefinition`).
///
/// # Errors
/// When a job definition cannot have it.
pub fn definition_name(text: &str) -> Result<String, Invalid> {
    let (name, revision) = text.split_once(':').unwrap_or((text, "1"));
    let revision_is_fine = revision.parse::<u32>().is_ok_and(|n| n > 0);
    if text.starts_with("arn:") || (is_name(name, limits::JOB_DEFINITION_NAME_LENGTH) && revision_is_fine) {
        return Ok(text.to_owned());
    }
    Err(Invalid::because(
        "a job definition is NAME or NAME:REVISION, a name of 1 to 128 letters, digits, '-' and '_', or its ARN",
    ))
}

/// Checks the name of a container of a task (API `TaskContainerProperties`, `name`).
///
/// # Errors
/// When a container cannot have it.
pub fn container_name(text: &str) -> Result<String, Invalid> {
    if is_name(text, limits::CONTAINER_NAME_LENGTH) {
        return Ok(text.to_owned());
    }
    Err(Invalid::because("a container has a name of 1 to 255 letters, digits, '-' and '_'"))
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(allowed)
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cleaning_always_gives_a_valid_name(text in ".{0,200}") {
            let name = JobName::cleaned(&text);
            prop_assert_eq!(name.as_str().parse::<JobName>(), Ok(name.clone()));
        }
    }

    #[test]
    fn cleaning_keeps_what_it_can() {
        for (text, name) in
            [("pi.sh", "pi-sh"), ("_x", "x"), ("größe.py", "gr--e-py"), ("…", "job"), ("run_1", "run_1")]
        {
            assert_eq!(JobName::cleaned(text).as_str(), name);
        }
        assert!("a b".parse::<JobName>().is_err());
        assert!("-a".parse::<JobName>().is_err());
        assert!("a".repeat(129).parse::<JobName>().is_err());
    }

    #[test]
    fn queues_and_job_definitions() {
        let long = "q".repeat(129);
        for good in ["local", "_q-1", &long[1..], "arn:aws:batch:eu-west-1:123456789012:job-queue/q"] {
            assert_eq!(queue_name(good).as_deref(), Ok(good));
        }
        for good in ["d", "d:3", "arn:aws:batch:eu-west-1:123456789012:job-definition/d:3"] {
            assert_eq!(definition_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a,b", "a/b", "\u{f6}", &long] {
            assert!(queue_name(bad).is_err() && definition_name(bad).is_err(), "{bad}");
        }
        for good in ["main", "_a-B1", &"c".repeat(255)] {
            assert_eq!(container_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a\nb", "\u{1b}[1m", "a.b", "\u{f6}", &"c".repeat(256)] {
            assert!(container_name(bad).is_err(), "{bad}");
        }
        for bad in ["d:", "d:0", "d:x", "d:1:2", ":1"] {
            assert!(definition_name(bad).is_err(), "{bad}");
        }
    }
}
