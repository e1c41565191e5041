//! Errors as the user meets them, and the exit codes of every tool.

use std::fmt;
use std::io::IsTerminal;

use super::EndSignal;
use super::progress::beside;
use super::signal::{is_ending, last_write};
use super::text::harmless;

/// How a tool ends. The numbers are part of the interface and documented in `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done.
    Done,
    /// It was not done; the error line says why.
    Failed,
    /// The command line, the settings file or the script is wrong; nothing was sent.
    Usage,
    /// A job was submitted, but contact was lost for good before its end was seen.
    ContactLost,
    /// The time to wait was over before what was waited for had happened.
    TimedOut,
    /// Ended by Ctrl-C, SIGTERM or SIGHUP.
    Interrupted(EndSignal),
    /// A tool that waits hands on the job's own exit code.
    Job(u8),
}

impl Exit {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::TimedOut => 124,
            Exit::ContactLost => 125,
            Exit::Interrupted(signal) => 128 + signal.number(),
            Exit::Job(code) => code,
        }
    }
}

/// An error on its way to the user: what was being done, to what, why it failed, and what to do next.
///
/// Printed as one `TOOL: error: MESSAGE` line and a `hint: …` line for each hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code that this failure leads to.
    pub exit: Exit,
    /// What was being done, to what, and why it failed, in one line.
    pub message: String,
    /// What to do next, a line each.
    pub hints: Vec<String>,
    /// Whether the same may well work a little later: contact was lost, or the server is busy.
    pub passing: bool,
    /// Whether it came of something that had been kept, is dropped now, and would be asked for anew.
    pub stale: bool,
    /// Whether it came of credentials that have run out, or are none: fresh ones may help.
    pub of_credentials: bool,
}

impl Failure {
    fn new(exit: Exit, message: String) -> Self {
        Self { exit, message, hints: Vec::new(), passing: false, stale: false, of_credentials: false }
    }

    /// The action failed (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message.into())
    }

    /// What the user gave is wrong (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message.into())
    }

    /// The same failure with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same failure with another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same failure, known to be a passing one or not.
    #[must_use]
    pub fn passing(mut self, passing: bool) -> Self {
        self.passing = passing;
        self
    }

    /// The same failure, known to be one of the credentials or not.
    #[must_use]
    pub fn of_credentials(mut self, of_credentials: bool) -> Self {
        self.of_credentials = of_credentials;
        self
    }

    /// The same failure, known to come of something stale.
    #[must_use]
    pub fn stale(mut self) -> Self {
        self.stale = true;
        self
    }

    /// Prints the failure on stderr in the name of `tool`. A stderr that is gone is no further error.
    pub fn report(&self, tool: &str) {
        let hints = self.hints.iter().map(|hint| format!("\nhint: {}", one_line(hint)));
        note(format!("{tool}: error: {}{}", one_line(&self.message), hints.collect::<String>()));
    }
}

/// Says something on stderr, beside the results: a line, or several. On a terminal it is [harmless]. A stderr that is
/// gone is no error.
pub fn note(text: impl fmt::Display) {
    let text = format!("{text}\n");
    let text = match std::io::stderr().is_terminal() {
        true => text
            .split_inclusive('\n')
            .map(|line| format!("{}\n", harmless(line.trim_end_matches('\n'))))
            .collect(),
        false => text,
    };
    let write = move || beside(|| write_stderr(&text));
    match is_ending() {
        true => _ = last_write(write),
        false => write(),
    }
}

#[cfg(not(test))]
fn write_stderr(text: &str) {
    use std::io::Write as _;

    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The test harness shows it for a test that fails.
#[cfg(test)]
fn write_stderr(text: &str) {
    eprint!("{text}");
}

/// Line breaks and control characters in a message (it may quote a server) must not break the one-line promise.
fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
