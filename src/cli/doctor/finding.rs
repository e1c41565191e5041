//! The result of a check.

use serde_json::{Value, json};

use crate::ui::{Failure, sanitize};
use awsb_model::without_url_passwords;

/// Whether something has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing has to be done.
    Ok,
    /// Something does not work, or could not be checked; jobs may run all the same.
    Warning,
    /// Jobs cannot run, or cannot be seen.
    Error,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The result of a check, with advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The thing that was checked, such as `bucket`.
    pub check: &'static str,
    /// Whether something has to be done.
    pub state: State,
    /// The result, in one line.
    pub message: String,
    /// Advice, a line each.
    pub hints: Vec<String>,
}

impl Finding {
    /// Nothing has to be done.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        let message = without_url_passwords(&message.into());
        Self { check, state: State::Ok, message, hints: Vec::new() }
    }

    /// Something does not work, or could not be checked.
    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self { state: State::Warning, ..Self::ok(check, message) }
    }

    /// Jobs cannot run, or cannot be seen.
    pub fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self { state: State::Error, ..Self::ok(check, message) }
    }

    /// The check has failed.
    pub fn failed(check: &'static str, failure: &Failure) -> Self {
        Self { hints: failure.hints().to_vec(), ..Self::error(check, failure.message()) }
    }

    /// The check could not be made.
    pub fn unknown(check: &'static str, failure: &Failure) -> Self {
        Self { state: State::Warning, ..Self::failed(check, failure) }
    }

    /// The same finding with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(without_url_passwords(&hint.into()));
        self
    }

    /// The lines for people: the finding, and a line for each hint. A line break in the name of a
    /// folder makes no further line, in a pipe neither.
    pub fn lines(&self) -> Vec<String> {
        let head = format!("{:<8} {:<14} {}", self.state.word(), self.check, sanitize(&self.message));
        let hints = self.hints.iter().map(|hint| format!("{:23} hint: {}", "", sanitize(hint)));
        std::iter::once(head).chain(hints).collect()
    }

    /// The element of `--json`.
    pub fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "state": self.state.word(),
            "message": self.message,
            "hints": self.hints,
        })
    }
}
