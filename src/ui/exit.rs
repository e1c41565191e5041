//! The exit codes of every tool.

use super::EndSignal;

/// How a tool ends. The numbers are part of the interface and documented in `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The tool has done what it was asked for.
    Done,
    /// The tool has not done it; the error line says why.
    Failed,
    /// The command line, the settings file or the script is wrong; nothing was sent.
    Usage,
    /// A plan has changes, and the tool was asked to say so by its exit code.
    Changes,
    /// A job was submitted, but contact was lost for good before its end was seen.
    ContactLost,
    /// The time to wait was over before the awaited event.
    TimedOut,
    /// Ctrl-C, SIGTERM or SIGHUP has ended the tool.
    Interrupted(EndSignal),
    /// A tool that waits returns the job's own exit code.
    Job(u8),
}

impl Exit {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Changes => 3,
            Exit::TimedOut => 124,
            Exit::ContactLost => 125,
            Exit::Interrupted(signal) => signal.exit_code(),
            Exit::Job(code) => code,
        }
    }
}
