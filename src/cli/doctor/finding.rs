//! The result of a check.

use std::fmt;

use serde_json::{Value, json};

use crate::ui::{ErrorKind, Failure, sanitize};
use awsb_model::without_url_passwords;

/// A check, by the thing that it looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// This program, and other programs `awsb`.
    Program,
    /// The names of the tools in PATH.
    Tools,
    /// The settings files.
    Settings,
    /// The cluster that the command line or the settings choose.
    Cluster,
    /// The credentials.
    Credentials,
    /// The clock of this machine.
    Clock,
    /// The cluster's bucket.
    Bucket,
    /// The cluster's job queue.
    Queue,
    /// The cluster's job definitions.
    Definition,
    /// The log group of the jobs' output.
    LogGroup,
    /// The Docker engine.
    Docker,
    /// The completions of the user's shell.
    Completions,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Program => "program",
            Self::Tools => "tools",
            Self::Settings => "settings",
            Self::Cluster => "cluster",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Bucket => "bucket",
            Self::Queue => "queue",
            Self::Definition => "definition",
            Self::LogGroup => "log group",
            Self::Docker => "docker",
            Self::Completions => "completions",
        })
    }
}

/// The thing without which a check cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Settings without a mistake.
    Settings,
    /// A cluster.
    Cluster,
    /// A region.
    Region,
    /// Valid credentials.
    Credentials,
    /// A clock that AWS accepts.
    RightTime,
    /// A connection to the service.
    Network,
}

impl Need {
    /// The thing without which a call fails in this way, whatever it is for. `None`: the failure is
    /// about the call.
    pub fn of_failure(kind: ErrorKind) -> Option<Self> {
        match kind {
            ErrorKind::Credentials => Some(Self::Credentials),
            ErrorKind::WrongClock => Some(Self::RightTime),
            ErrorKind::Unreachable | ErrorKind::NoAnswer => Some(Self::Network),
            ErrorKind::NoRegion => Some(Self::Region),
            _ => None,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settings => "the settings",
            Self::Cluster => "the cluster",
            Self::Region => "a region",
            Self::Credentials => "credentials",
            Self::RightTime => "the right time",
            Self::Network => "the network",
        })
    }
}

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
    /// The check.
    pub check: Check,
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
    pub fn ok(check: Check, message: impl Into<String>) -> Self {
        let message = without_url_passwords(&message.into());
        Self { check, state: State::Ok, message, hints: Vec::new(), cause: None }
    }

    /// Something does not work, or could not be checked.
    pub fn warning(check: Check, message: impl Into<String>) -> Self {
        Self { state: State::Warning, ..Self::ok(check, message) }
    }

    /// Jobs cannot run, or cannot be seen.
    pub fn error(check: Check, message: impl Into<String>) -> Self {
        Self { state: State::Error, ..Self::ok(check, message) }
    }

    /// The check has failed.
    pub fn failed(check: Check, failure: &Failure) -> Self {
        let error = Self::error(check, failure.message());
        Self { hints: failure.hints().to_vec(), cause: Some(failure.kind()), ..error }
    }

    /// The check needs something that another check has found missing.
    pub fn skipped(check: Check, need: Need) -> Self {
        Self { state: State::Skipped, ..Self::ok(check, format!("not checked: needs {need}")) }
    }

    /// The check could not be made.
    pub fn unknown(check: Check, failure: &Failure) -> Self {
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
            "check": self.check.to_string(),
            "state": self.state.word(),
            "message": self.message,
            "hints": self.hints,
        })
    }
}
