//! The program that becomes a command beside a job on the host: `blocal session-leader …`.
//!
//! The command has to lead a session of its own, and a terminal has to be the controlling one of
//! that session. A process can only do that for itself, so the server starts this program, which
//! does it and then executes the command in its place.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::{Mode, umask};

use super::record::{self, SessionRecord};
use crate::runner::Lent;
use crate::runner::protocol::{AttemptId, TASK_VARIABLE};

/// The word of `blocal` that means this program.
pub const ACTION: &str = "session-leader";
/// The word for a command whose standard input is a terminal.
pub const TERMINAL: &str = "terminal";
/// The word for a command with pipes.
pub const PIPES: &str = "pipes";

/// Becomes the command in the words behind [`ACTION`]: [`TERMINAL`] or [`PIPES`], the file for the
/// record of the session, the process ID of the server, the limits of the job as JSON, the program,
/// and its arguments. It returns only when that fails, with the exit code that a shell would have.
pub fn run(words: &[OsString]) -> u8 {
    let [kind, record, server, limits, program, arguments @ ..] = words else {
        return failed(OsStr::new(ACTION), &io::Error::other("started by the local cluster only"));
    };
    let limits: BTreeMap<String, i64> = serde_json::from_str(&limits.to_string_lossy()).unwrap_or_default();
    // It fails only for a leader of a group, and this process is none.
    let _ = nix::unistd::setsid();
    // A terminal that is gone ends its session. Pipes do not do that when the server is gone.
    #[cfg(target_os = "linux")]
    if kind == PIPES {
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    }
    // A command without a record runs as well. A disk that is full is no reason to refuse it.
    let record = Path::new(record);
    if let Some(attempt_id) = std::env::var(TASK_VARIABLE).ok().and_then(AttemptId::parse) {
        let _ = record::write(record, attempt_id);
    }
    // The next server may have read the records before this one was there. Where the server goes
    // after this, the record is there for the next one.
    if server.to_str() != Some(nix::unistd::getppid().to_string().as_str()) {
        drop(SessionRecord::at(record));
        return failed(program, &io::Error::other("the server of the local cluster is gone"));
    }
    if kind == TERMINAL
        && let Err(e) = rustix::process::ioctl_tiocsctty(io::stdin())
    {
        return failed(program, &e.into());
    }
    // The file mode mask that jobs have.
    umask(Mode::from_bits_truncate(0o022));
    let _limits = Lent::take(&limits);
    let failure = Command::new(program).args(arguments).exec();
    failed(program, &failure)
}

fn failed(program: &OsStr, e: &io::Error) -> u8 {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "{}: {e}", program.display());
    if e.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}
