//! The error of the local cluster's functions.

/// Why something cannot be done with a local cluster: for people, with hints what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LocalError {
    message: String,
    hints: Vec<String>,
    kind: LocalErrorKind,
}

/// The kind of an error, by which code decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalErrorKind {
    /// It was asked for in the wrong way, so that nothing was begun.
    Usage,
    /// A server runs and does not answer.
    NoAnswer,
    /// Any other failure.
    Failed,
}

impl LocalError {
    /// An operation that failed. The message says in one line what was being done, to what, and why
    /// it failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), kind: LocalErrorKind::Failed }
    }

    /// Something that was asked for in the wrong way.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: LocalErrorKind::Usage, ..Self::failed(message) }
    }

    /// A server that runs and does not answer.
    pub fn no_answer(message: impl Into<String>) -> Self {
        Self { kind: LocalErrorKind::NoAnswer, ..Self::failed(message) }
    }

    /// With one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The message: one line that says what was being done, to what, and why it failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next steps for the user, one on each line.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Its kind.
    pub fn kind(&self) -> LocalErrorKind {
        self.kind
    }

    /// Whether it was asked for in the wrong way, so that nothing was begun.
    pub fn is_usage(&self) -> bool {
        self.kind == LocalErrorKind::Usage
    }
}
