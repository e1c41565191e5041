//! Failures that a test asks for: of resources, of calls, and time between steps.
//!
//! They stand in a file of the home, which only the owner can write, so that templates need nothing
//! for it and nobody meets a failure that was not asked for. The file is read at every step.
//!
//! ```json
//! {"resources": [{"resource": "Bucket", "action": "create", "message": "no buckets", "times": 1}],
//!  "calls": [{"operation": "DescribeStackEvents", "times": 3}],
//!  "delayMs": 50}
//! ```
//!
//! `resource` is a logical ID or a type. Without `times`, a failure does not end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::operation::Action;
use crate::home::contents;
use crate::home::files::STACK_FAULTS;
use crate::http::protocol::ApiError;

/// The failures of a home.
#[derive(Debug)]
pub struct Faults {
    path: PathBuf,
    /// How often each has happened, by its number and its text.
    happened: Mutex<HashMap<String, u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    #[serde(default)]
    resources: Vec<OfResource>,
    #[serde(default)]
    calls: Vec<OfCall>,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfResource {
    resource: String,
    action: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    times: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfCall {
    operation: String,
    #[serde(default)]
    times: Option<u32>,
}

impl Faults {
    /// Those of a home.
    pub fn of(home: &Path) -> Self {
        Self { path: home.join(STACK_FAULTS), happened: Mutex::default() }
    }

    fn content(&self) -> Content {
        let Ok(file) = contents::open(&self.path) else { return Content::default() };
        serde_json::from_reader(std::io::BufReader::new(file)).unwrap_or_else(|e| {
            tracing::warn!("{} is not read: {e}", self.path.display());
            Content::default()
        })
    }

    /// Whether a failure happens once more.
    fn happens(&self, key: String, times: Option<u32>) -> bool {
        let mut happened = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        let count = happened.entry(key).or_default();
        let happens = times.is_none_or(|times| *count < times);
        *count = count.saturating_add(u32::from(happens));
        happens
    }

    /// The words of a failure of a resource, if there is to be one.
    pub fn of_resource(&self, logical: &str, kind: &str, action: Action) -> Option<String> {
        let action = match action {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        };
        let content = self.content();
        let fault = content.resources.iter().find(|fault| {
            (fault.resource == logical || fault.resource == kind)
                && fault.action == action
                && self.happens(format!("{logical} {fault:?}"), fault.times)
        })?;
        Some(fault.message.clone().unwrap_or_else(|| "an injected failure".to_owned()))
    }

    /// Refuses a call that is to be throttled.
    ///
    /// # Errors
    /// `Throttling` (API, "Common errors").
    pub fn check_call(&self, operation: &str) -> Result<(), ApiError> {
        let content = self.content();
        let is_throttled = content
            .calls
            .iter()
            .any(|fault| fault.operation == operation && self.happens(format!("{fault:?}"), fault.times));
        match is_throttled {
            true => Err(ApiError::new(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded")),
            false => Ok(()),
        }
    }

    /// The time between two steps.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.content().delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_happens_as_often_as_it_says() {
        let home = tempfile::tempdir().unwrap();
        let faults = Faults::of(home.path());
        assert_eq!(faults.of_resource("A", "T", Action::Create), None);
        let text = r#"{"resources": [{"resource": "A", "action": "create", "times": 2, "message": "no"},
                                     {"resource": "T", "action": "delete"}],
                       "calls": [{"operation": "DescribeStacks", "times": 1}], "delayMs": 7}"#;
        std::fs::write(home.path().join(STACK_FAULTS), text).unwrap();
        let of = |action| faults.of_resource("A", "T", action);
        assert_eq!(of(Action::Create).as_deref(), Some("no"));
        assert_eq!(of(Action::Update), None);
        assert!(of(Action::Create).is_some());
        assert_eq!(of(Action::Create), None);
        assert!((0..5).all(|_| of(Action::Delete).is_some()));
        assert_eq!(faults.check_call("DescribeStacks").unwrap_err().code, "Throttling");
        assert_eq!(faults.check_call("DescribeStacks"), Ok(()));
        assert_eq!(faults.delay(), Duration::from_millis(7));
        std::fs::write(home.path().join(STACK_FAULTS), "not JSON").unwrap();
        assert_eq!(of(Action::Delete), None);
    }
}
