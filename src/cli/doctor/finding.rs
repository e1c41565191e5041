//! The result of a check.

use serde_json::{Value, json};

use crate::ui::{ErrorKind, Failure, sanitize};
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
    /// The check was not made, or says nothing of its own: another one has found the cause.
    Skipped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Skipped => "skipped",
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
    /// The kind of the failure that it is about.
    pub cause: Option<ErrorKind>,
}

impl Finding {
    /// Nothing has to be done.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        let message = without_url_passwords(&message.into());
        Self { check, state: State::Ok, message, hints: Vec::new(), cause: None }
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
        let error = Self::error(check, failure.message());
        Self { hints: failure.hints().to_vec(), cause: Some(failure.kind()), ..error }
    }

    /// The check needs something that another check has found missing.
    pub fn skipped(check: &'static str, need: &str) -> Self {
        Self { state: State::Skipped, ..Self::ok(check, format!("not checked: needs {need}")) }
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
