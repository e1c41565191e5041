//! Processes of this machine: whether one is stopped, and why another cannot be started now.

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

/// The resource that the machine lacks now and may have later, if an error means that: a retry
/// makes sense.
pub fn missing_resource(e: &io::Error) -> Option<&'static str> {
    match Errno::from_raw(e.raw_os_error()?) {
        // fork(2), pthread_create(3)
        Errno::EAGAIN => Some(
            "no more processes or threads are allowed (`ulimit -u`, `ulimit -v`, or a limit of the machine or container)",
        ),
        Errno::ENOMEM => Some("the machine has no memory left"),
        Errno::EMFILE => Some("no more open files are allowed (`ulimit -n`)"),
        Errno::ENFILE => Some("the machine has too many open files"),
        _ => None,
    }
}

/// Whether a process has been stopped by a signal (SIGSTOP, or SIGTSTP of Ctrl-Z).
pub fn is_stopped(pid: u32) -> bool {
    // proc_pid_stat(5) and ps(1): `T` for a process that is stopped, `t` for one that a debugger
    // holds.
    state(pid).is_some_and(|state| matches!(state, 'T' | 't'))
}

/// Whether there is room for a job's first processes, where few processes are allowed: a shell that
/// cannot fork ends its job. Where many are, that is not asked.
///
/// # Errors
/// When there is none.
pub fn room_for_a_job() -> io::Result<()> {
    const FIRST: usize = 3;
    if !few_are_allowed() {
        return Ok(());
    }
    // As small as a thread can be: this is about their number alone.
    room_for_threads(FIRST, 64 * 1024)
}

/// Whether this many more threads can be started, each with a stack of this size in bytes.
///
/// # Errors
/// When not all of them can.
pub fn room_for_threads(count: usize, stack_size: usize) -> io::Result<()> {
    // Threads count as processes do (setrlimit(2), RLIMIT_NPROC). All are there at once, until the
    // gate is open.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let probe = || {
        let gate = Arc::clone(&gate);
        std::thread::Builder::new().stack_size(stack_size).spawn(move || drop(gate.lock()))
    };
    let probes: Vec<_> = (0..count).map(|_| probe()).collect();
    drop(closed);
    // All of them are waited for, also where the first one is missing.
    let ends: Vec<io::Result<()>> = probes
        .into_iter()
        .map(|probe| probe?.join().map_err(|_| io::Error::other("a thread has panicked")))
        .collect();
    ends.into_iter().collect()
}

/// Whether this user may have so few processes that a handful of jobs can take them all.
#[cfg(target_os = "linux")]
fn few_are_allowed() -> bool {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NPROC).is_ok_and(|(soft, _)| soft <= 1024)
}

#[cfg(not(target_os = "linux"))]
fn few_are_allowed() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn state(pid: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may itself contain blanks and parentheses.
    text.rsplit_once(") ")?.1.chars().next()
}

#[cfg(not(target_os = "linux"))]
fn state(pid: u32) -> Option<char> {
    let ps = std::process::Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8_lossy(&ps.stdout).trim().chars().next()
}

/// Whether it is worth a look if the server behind a connection is stopped.
#[cfg(target_os = "linux")]
pub fn may_be_stopped(_: &TcpStream) -> bool {
    // A look costs as much as opening a file.
    true
}

/// Whether it is worth a look if the server behind a connection is stopped: a look costs the start
/// of a program here. A server that runs answers at once, also to a request that it does not
/// understand.
#[cfg(not(target_os = "linux"))]
pub fn may_be_stopped(stream: &TcpStream) -> bool {
    use std::io::{Read, Write};
    let asked = || -> std::io::Result<usize> {
        let mut stream = stream;
        stream.set_read_timeout(Some(std::time::Duration::from_millis(500)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read(&mut [0; 64])
    };
    asked().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_stopped_until_it_is_continued() {
        use nix::sys::signal::{Signal, kill};
        use nix::sys::wait::{WaitPidFlag, waitpid};
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert!(!is_stopped(child.id()));
        kill(pid, Signal::SIGSTOP).unwrap();
        // Returns when it has stopped.
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(is_stopped(child.id()));
        kill(pid, Signal::SIGCONT).unwrap();
        waitpid(pid, Some(WaitPidFlag::WCONTINUED)).unwrap();
        assert!(!is_stopped(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_stopped(child.id()));
    }
}
