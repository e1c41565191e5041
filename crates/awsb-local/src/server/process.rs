//! The server as a process: its session, its signals, and its limits.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::LocalError;
use crate::home::Home;

/// Why a server has stopped in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It was asked to, or had nothing to do for long.
    Asked,
    /// SIGINT came.
    Interrupted,
    /// SIGTERM came.
    Terminated,
    /// SIGHUP came.
    HungUp,
}

/// The open files that the server needs to answer: about half are the databases, the sockets, the
/// locks and its threads, the rest is for runners and requests.
const MIN_DESCRIPTORS: u64 = 64;

/// Raises the limits of this process as far as they go, and returns how many files it may have
/// open.
///
/// # Errors
/// When these are too few for the server.
pub fn raise_limits(home: &Home) -> Result<u64, LocalError> {
    let limit = raise_descriptor_limit();
    if limit < MIN_DESCRIPTORS {
        return Err(LocalError::failed(format!(
            "serving the local cluster in {}: at most {limit} files may be open at once here, and the server needs \
             {MIN_DESCRIPTORS}",
            home.path().display()
        ))
        .hint(format!(
            "`ulimit -Hn` shows the limit; start it from a shell where that is {MIN_DESCRIPTORS} or more"
        )));
    }
    raise_file_limit();
    Ok(limit)
}

/// Raises the limit of open files. A runner takes two descriptors, a request one or two. Jobs
/// inherit the limit, so it is independent of the shell that has started the server. Returns the
/// limit.
fn raise_descriptor_limit() -> u64 {
    const ENOUGH: nix::sys::resource::rlim_t = 65_536;
    // A limit that cannot be raised means fewer jobs at once.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(ENOUGH), hard);
    }
    getrlimit(Resource::RLIMIT_NOFILE).map_or(256, |(soft, _)| soft)
}

/// Raises the limit of the size of files, so that it is independent of the shell that has started
/// the server. Jobs inherit it.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_FSIZE) {
        // A limit that stays is named when it is met.
        let _ = setrlimit(Resource::RLIMIT_FSIZE, hard, hard);
    }
}

/// Separates a server in the background from the terminal, shell or pipe that it was started from.
pub fn detach() {
    let _ = nix::unistd::setsid();
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    // Descriptors that a shell has left open (`exec 3>…`) would keep its pipes from ever ending.
    let Ok(open) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        let _ = nix::unistd::close(fd);
    }
}

/// The handlers of the signals that stop the server, and of those that it ignores.
#[derive(Debug)]
pub struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    _ignored: [Signal; 3],
}

impl ShutdownSignals {
    /// Installs the handlers. They are handlers, because a signal that is ignored here would be
    /// ignored in every job as well.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            _ignored: [
                signal(SignalKind::quit())?,
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }

    /// Waits for a signal that stops the server, and returns its name.
    pub async fn next(&mut self, outlives_terminal: bool) -> (&'static str, StopReason) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", StopReason::Terminated),
            _ = self.interrupt.recv() => ("SIGINT", StopReason::Interrupted),
            _ = self.hang_up.recv(), if !outlives_terminal => ("SIGHUP", StopReason::HungUp),
        }
    }
}
