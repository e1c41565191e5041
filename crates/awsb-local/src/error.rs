//! The error of the local cluster's functions.

/// Why something cannot be done with a local cluster: for people, with hints what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LocalError {
    message: String,
    hints: Vec<String>,
    is_usage: bool,
}

impl LocalError {
    /// An operation that failed. The message says in one line what was being done, to what, and why
    /// it failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), is_usage: false }
    }

    /// Something that was asked for in the wrong way.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { is_usage: true, ..Self::failed(message) }
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

    /// Whether it was asked for in the wrong way, so that nothing was begun.
    pub fn is_usage(&self) -> bool {
        self.is_usage
    }
}
