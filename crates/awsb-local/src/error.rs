//! What the local cluster's functions fail with.

/// Why something cannot be done with a local cluster: for people, with hints what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LocalError {
    message: String,
    hints: Vec<String>,
    is_usage: bool,
}

impl LocalError {
    /// Something that failed: what was being done, to what, and why it failed, in one line.
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

    /// What was being done, to what, and why it failed, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, a line each.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Whether it was asked for in the wrong way, so that nothing was begun.
    pub fn is_usage(&self) -> bool {
        self.is_usage
    }
}
