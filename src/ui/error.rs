//! Errors as the user meets them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::EndSignal;
use super::exit::Exit;
use super::messages::print_message;
use awsb_model::without_url_passwords;

/// The kind of a failure, by which code decides what to do next. The words of a message are for
/// people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line, the settings or the script are wrong.
    Usage,
    /// The settings of ParallelCluster's tools are wrong in this line. Without a line, their file
    /// cannot be read.
    OldSettings(Option<usize>),
    /// The cluster that is named does not exist, or none is chosen.
    NoCluster,
    /// No AWS region is set.
    NoRegion,
    /// A service has throttled the call.
    Throttled,
    /// No connection came about, so nothing was done.
    Unreachable,
    /// No answer came, so it is not known whether something was done.
    NoAnswer,
    /// A service cannot answer now.
    Unavailable,
    /// The credentials are missing, unknown or expired.
    Credentials,
    /// A service refuses the time of this machine's clock.
    WrongClock,
    /// The caller has no permission for the call.
    AccessDenied,
    /// Something that a call names does not exist.
    NotFound,
    /// Something that a call names does not exist any more, and a cache named it. The cache entry
    /// is evicted, so a retry reads fresh data.
    Stale,
    /// A job definition was not read, and needs another form of request than was sent. That is
    /// remembered, so a retry reads it.
    UnreadDefinition,
    /// Contact was lost for good while a job or a build goes on.
    ContactLost,
    /// The time to wait was over before the awaited event.
    TimedOut,
    /// A signal asked the tool to end.
    Interrupted(EndSignal),
    /// The reader of stdout is gone (`| head -1`). This is the reader's choice and not an error.
    ReaderGone,
    /// Any other failure.
    Other,
}

impl ErrorKind {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::NoAnswer | Self::Unavailable)
    }

    /// Whether the same call may succeed a little later, or with credentials that have been
    /// renewed.
    pub fn is_recoverable(self) -> bool {
        self.is_retryable() || self == Self::Credentials
    }

    /// How a tool ends after a failure of this kind; `None` if the kind has no exit code of its
    /// own.
    fn exit(self) -> Option<Exit> {
        match self {
            Self::Usage | Self::OldSettings(_) | Self::NoCluster | Self::NoRegion => Some(Exit::Usage),
            Self::ContactLost => Some(Exit::ContactLost),
            Self::TimedOut => Some(Exit::TimedOut),
            Self::Interrupted(signal) => Some(Exit::Interrupted(signal)),
            Self::ReaderGone => Some(Exit::Done),
            _ => None,
        }
    }
}

/// An error on its way to the user: what was being done, to what, why it failed, and what to do
/// next.
///
/// It is printed as one `TOOL: error: MESSAGE` line and a `hint: …` line for each hint.
#[derive(Debug, Clone)]
pub struct Failure {
    kind: ErrorKind,
    exit: Exit,
    message: String,
    hints: Vec<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Two failures are equal when a user and the code see the same; their sources do not count.
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        let seen = |failure: &Self| (failure.kind, failure.exit);
        seen(self) == seen(other) && (&self.message, &self.hints) == (&other.message, &other.hints)
    }
}

impl Eq for Failure {}

impl Failure {
    /// A failure of this kind. The message is one line. Passwords of URLs in it are hidden.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let exit = kind.exit().unwrap_or(Exit::Failed);
        let message = without_url_passwords(&message.into());
        Self { kind, exit, message, hints: Vec::new(), source: None }
    }

    /// The action failed (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// The command line, the settings or the script are wrong (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The same failure with its hints in other words.
    #[must_use]
    pub fn map_hints(mut self, words: impl Fn(&str) -> String) -> Self {
        self.hints.iter_mut().for_each(|hint| *hint = words(hint));
        self
    }

    /// The same failure with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(without_url_passwords(&hint.into()));
        self
    }

    /// The same failure of another kind. The exit code stays unless that kind has its own. A reader
    /// that is gone stays gone.
    #[must_use]
    pub fn with_kind(self, kind: ErrorKind) -> Self {
        if self.is_reader_gone() {
            return self;
        }
        Self { kind, exit: kind.exit().unwrap_or(self.exit), ..self }
    }

    /// The same failure, which came of this error.
    #[must_use]
    pub fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// A failure that came of this one: of the same kind and with the same hints, in other words. A
    /// reader that is gone is reported by nobody, so its failure stays as it is.
    #[must_use]
    pub fn wrap(self, message: impl Into<String>) -> Self {
        if self.is_reader_gone() {
            return self;
        }
        let hints = self.hints.clone();
        Self {
            kind: self.kind,
            exit: self.exit,
            message: without_url_passwords(&message.into()),
            hints,
            source: Some(Arc::new(self)),
        }
    }

    /// The kind, on which code decides.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The action, its object, and the reason why it failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next steps for the user, one on each line.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// How the tool ends after this failure.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// Whether the same call may succeed a little later, or with credentials that have been
    /// renewed.
    pub fn is_recoverable(&self) -> bool {
        self.kind.is_recoverable()
    }

    /// Whether the reader of stdout is gone. Nothing more can be printed then, and nothing is
    /// wrong.
    pub fn is_reader_gone(&self) -> bool {
        self.kind == ErrorKind::ReaderGone
    }

    /// Prints the failure on stderr in the name of `tool`. A stderr that cannot be written is not a
    /// further error.
    pub fn report(&self, tool: &str) {
        self.report_as("error", tool);
    }

    /// Prints the failure as a warning, where the tool has done what it was asked for.
    pub fn report_warning(&self, tool: &str) {
        self.report_as("warning", tool);
    }

    fn report_as(&self, rank: &str, tool: &str) {
        if self.is_reader_gone() {
            return;
        }
        let hints = self.hints.iter().map(|hint| format!("\nhint: {}", one_line(hint)));
        print_message(format!("{tool}: {rank}: {}{}", one_line(&self.message), hints.collect::<String>()));
    }
}

/// Line breaks and control characters in a message (it may quote a server) must not break the
/// one-line promise.
fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_in_other_words_is_of_the_same_kind_and_keeps_its_source() {
        let inner = Failure::new(ErrorKind::Throttled, "too many calls").hint("wait");
        let outer = inner.clone().wrap("ending the job: too many calls");
        assert_eq!((outer.kind(), outer.hints()), (ErrorKind::Throttled, inner.hints()));
        assert_eq!(outer.message(), "ending the job: too many calls");
        let source = outer.source().and_then(|source| source.downcast_ref::<Failure>());
        assert_eq!(source, Some(&inner));
    }

    #[test]
    fn a_kind_without_an_exit_code_leaves_it() {
        let usage = Failure::usage("there is no such job definition");
        assert_eq!(usage.clone().with_kind(ErrorKind::Stale).exit(), Exit::Usage);
        assert_eq!(usage.with_kind(ErrorKind::ContactLost).exit(), Exit::ContactLost);
    }

    #[test]
    fn a_reader_that_is_gone_is_not_an_error() {
        let gone = Failure::new(ErrorKind::ReaderGone, "the reader is gone");
        let wrapped = gone.wrap("contact is lost").with_kind(ErrorKind::ContactLost);
        assert_eq!((wrapped.exit(), wrapped.message()), (Exit::Done, "the reader is gone"));
    }
}
