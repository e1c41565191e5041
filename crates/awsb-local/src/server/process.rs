//! The server as a process: its session, its signals, and its limits.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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
    let limit = raise_soft_limits();
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
    Ok(limit)
}

/// Raises the soft limits to the hard ones, so that they are independent of the shell that has
/// started the server: it serves others, too, and jobs inherit its limits. Returns the limit of
/// open files.
fn raise_soft_limits() -> u64 {
    for resource in RAISED {
        raise(*resource, None);
    }
    // Programs close all descriptors that they may have, so there is no use in millions of them.
    let hard = getrlimit(Resource::Nofile).maximum;
    let enough = hard.map_or(65_536, |hard| hard.min(65_536));
    // A limit that cannot be raised means fewer jobs at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum: hard });
    // Threads get a stack of this size (pthread_create(3)): not more than what Linux gives to begin
    // with. A core file is only written for who asks for one: that limit stays.
    raise(Resource::Stack, Some(8 << 20));
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The resources whose soft limit is of no use to the server or to jobs (setrlimit(2)).
const RAISED: &[Resource] = &[
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Rss,
    Resource::Nproc,
    Resource::Memlock,
    Resource::As,
    #[cfg(target_os = "linux")]
    Resource::Locks,
    #[cfg(target_os = "linux")]
    Resource::Sigpending,
    #[cfg(target_os = "linux")]
    Resource::Msgqueue,
    #[cfg(target_os = "linux")]
    Resource::Nice,
    #[cfg(target_os = "linux")]
    Resource::Rtprio,
    #[cfg(target_os = "linux")]
    Resource::Rttime,
];

/// Raises a soft limit to the hard one, or to as much as is enough. It is never lowered.
fn raise(resource: Resource, enough: Option<u64>) {
    // For rustix, no number means no limit.
    let Rlimit { current, maximum } = getrlimit(resource);
    let most = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(b.map_or(a, |b| a.min(b))));
    let wanted = most(enough, maximum);
    let is_more = match (current, wanted) {
        (Some(current), Some(wanted)) => wanted > current,
        (current, None) => current.is_some(),
        (None, _) => false,
    };
    if is_more {
        // A limit that stays is named when it is met.
        let _ = setrlimit(resource, Rlimit { current: wanted, maximum });
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
