//! A job's processes: how they start, how they are ended, and that none is left behind.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::executor::Outcome;
use super::protocol::{AttemptId, TASK_VARIABLE};
use crate::process::missing_resource;

/// A program that could not be started, in the words of a container engine.
#[derive(Debug)]
pub struct CannotStart {
    /// 127 when the program does not exist, 126 when it cannot be executed (as for a shell and
    /// Docker).
    pub exit_code: i32,
    /// `CannotStartContainerError: …`, the words that ECS puts before the engine's.
    pub reason: String,
    /// The resource that the machine lacks now and may have later, if that is the reason.
    pub missing_resource: Option<&'static str>,
    /// Whether it may be a number of open files that is lacking.
    pub lacks_files: bool,
}

impl CannotStart {
    fn new(exit_code: i32, program: &str, why: impl std::fmt::Display) -> Self {
        let reason = format!("CannotStartContainerError: exec: \"{program}\": {why}");
        Self { exit_code, reason, missing_resource: None, lacks_files: false }
    }

    /// The failure is not the program's fault.
    pub fn without_a_program(e: &io::Error) -> Self {
        let reason = format!("CannotStartContainerError: {e}");
        Self { exit_code: 126, reason, missing_resource: missing_resource(e), lacks_files: lacks_files(e) }
    }

    fn of_error(program: &str, e: &io::Error) -> Self {
        let failure = Self::new(126, program, e);
        Self { missing_resource: missing_resource(e), lacks_files: lacks_files(e), ..failure }
    }

    /// The same failure of a job with these limits. A limit on open files that is too low for the
    /// start is there at the next try, too.
    #[must_use]
    pub fn under(self, limits: &BTreeMap<String, i64>) -> Self {
        match limits.get("nofile").filter(|limit| (0..ENOUGH_FILES).contains(*limit) && self.lacks_files) {
            Some(limit) => {
                let reason = format!(
                    "{}: the job's own limit of open files (nofile={limit}) is too low to start it",
                    self.reason
                );
                Self { reason, missing_resource: None, ..self }
            }
            None => self,
        }
    }
}

/// Whether an error may mean that too few open files are allowed. poll(2), by which the start of a
/// process waits, has EINVAL for that.
fn lacks_files(e: &io::Error) -> bool {
    [Errno::EMFILE, Errno::EINVAL].iter().any(|errno| e.raw_os_error() == Some(*errno as i32))
}

/// A limit of open files below this may be too low to start a process: the runner itself has some
/// files open.
const ENOUGH_FILES: i64 = 64;

/// Starts `command` as the leader of a process group of its own; stdin is `/dev/null`, stdout and
/// stderr are one pipe, so that their lines keep their order.
///
/// # Errors
/// When the program cannot be found or executed.
pub fn start(
    command: &[String],
    environment: &BTreeMap<String, String>,
    directory: &Path,
    output: io::PipeWriter,
) -> Result<Pid, CannotStart> {
    let (program, arguments) = command
        .split_first()
        .filter(|(program, _)| !program.is_empty())
        .ok_or_else(|| CannotStart::new(127, "", "no command specified"))?;
    let path = find(program, environment.get("PATH").map_or("", String::as_str), directory)?;
    let stderr = output.try_clone().map_err(|e| CannotStart::of_error(program, &e))?;
    // The interpreter of a `#!` line gets the path by which its script was started.
    let path = if program.starts_with("./") { Path::new(program) } else { &path };
    let child = Command::new(path)
        .arg0(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => CannotStart::new(127, program, "no such file or directory"),
            _ => CannotStart::of_error(program, &e),
        })?;
    // The process is waited for by its pid; dropping `child` neither waits nor kills.
    i32::try_from(child.id()).map(Pid::from_raw).map_err(|e| CannotStart::new(126, program, e))
}

/// The program's file: a name with a slash is a path, any other is looked up in the job's own PATH.
fn find(program: &str, path: &str, directory: &Path) -> Result<PathBuf, CannotStart> {
    if program.contains('/') {
        return Ok(directory.join(program));
    }
    let mut forbidden = false;
    for folder in path.split(':') {
        // An empty entry means the working directory (POSIX, Environment Variables).
        let file = directory.join(folder).join(program);
        match file.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(file),
            Ok(meta) if meta.is_file() => forbidden = true,
            _ => {}
        }
    }
    Err(match forbidden {
        true => CannotStart::new(126, program, "permission denied"),
        false => CannotStart::new(127, program, "executable file not found in $PATH"),
    })
}

/// A descriptor that can be read when a child of ours has ended; `None` where the system has none
/// (pidfd_open(2): Linux 5.3).
#[cfg(target_os = "linux")]
pub fn end_of(pid: Pid) -> Option<OwnedFd> {
    use rustix::process::{Pid as Process, PidfdFlags, pidfd_open};
    pidfd_open(Process::from_raw(pid.as_raw())?, PidfdFlags::empty()).ok()
}

/// These descriptors do not exist here.
#[cfg(not(target_os = "linux"))]
pub fn end_of(_: Pid) -> Option<OwnedFd> {
    None
}

/// Blocks until the process has ended. On Linux it leaves the process as a zombie, so that its
/// group's ID cannot be taken by anyone else before [`reap`]; elsewhere it kills the rest of the
/// group itself.
pub fn wait_for_end(pid: Pid) -> Option<WaitStatus> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::wait::{Id, waitid};
        loop {
            match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Err(Errno::EINTR) => {}
                other => return other.ok(),
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        use rustix::process::{Pid as Process, WaitId, WaitIdOptions, waitid};
        // The waitid of macOS does not say which signal has ended a process (its si_status is 0
        // then), so the status comes from waitpid, which frees the group's ID. Processes that are
        // left in the group are killed before that.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let process = Process::from_raw(pid.as_raw())?;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(process), ended) {}
        let _ = killpg(pid, Signal::SIGKILL);
        loop {
            match waitpid(pid, None) {
                Err(Errno::EINTR) => {}
                other => return other.ok(),
            }
        }
    }
}

/// A shell's exit code: 128 + signal for a process that a signal ended (as Docker and ECS have it).
/// `None` when the system has not said how the process has ended.
fn exit_code(status: Option<WaitStatus>) -> Option<i32> {
    match status {
        Some(WaitStatus::Exited(_, code)) => Some(code),
        Some(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
        _ => None,
    }
}

/// How a process has ended. Where the system has forgotten that (wait(2): ECHILD), the attempt is
/// lost: it may have succeeded.
pub fn outcome(status: Option<WaitStatus>) -> Outcome {
    match exit_code(status) {
        Some(code) => Outcome { exit_code: Some(code), ..Outcome::default() },
        None => Outcome {
            lost: true,
            reason: Some("the system does not say how the process has ended".to_owned()),
            ..Outcome::default()
        },
    }
}

/// Sends a signal to the whole group. A group that has gone already is fine.
pub fn signal_group(leader: Pid, signal: Signal) {
    if let Err(e) = killpg(leader, signal)
        && e != Errno::ESRCH
    {
        tracing::warn!("sending {signal} to process group {leader}: {e}");
    }
}

/// How long the end of a job waits for what it has killed. SIGKILL works at once, but for a process
/// that sleeps in the kernel, as on a network disk that is gone: that one may never wake.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

/// Kills all processes that a job has left running after the end of its main process, as in a
/// container, and reaps every zombie. Processes that cannot be killed are logged and left alone:
/// the job's end is more important. Returns whether it is certain that none is left.
pub fn reap(leader: Pid, attempt_id: &AttemptId) -> bool {
    // Elsewhere `wait_for_end` has done it, and the group's ID may be another's by now.
    if cfg!(target_os = "linux") {
        let _ = killpg(leader, Signal::SIGKILL);
    }
    let _ = waitpid(leader, Some(WaitPidFlag::WNOHANG));
    // Processes that have left the group have become our children (we are their subreaper, on
    // Linux). Orphans of the killed appear among our children as their parents die, so look until
    // none is left.
    let deadline = Instant::now() + REAP_PATIENCE;
    let mut pause = Duration::from_micros(200);
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                let dying = kill_orphans(attempt_id);
                if dying.is_empty() {
                    return false;
                }
                if Instant::now() >= deadline {
                    tracing::warn!(
                        "attempt {attempt_id} has ended, and its processes {dying:?} do not go away"
                    );
                    return false;
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            // We have no children, and where those that flee become ours, that is all.
            Err(_) => return cfg!(target_os = "linux"),
        }
    }
}

/// Kills the children that an attempt has left to us, and returns those that will die of it.
fn kill_orphans(attempt_id: &AttemptId) -> Vec<i32> {
    let orphans = children().into_iter().filter(|pid| !is_anothers(*pid, attempt_id));
    let dying = orphans.filter(|pid| match kill(*pid, Signal::SIGKILL) {
        Err(Errno::EPERM) => {
            tracing::warn!(
                "attempt {attempt_id} has ended and left process {pid}, which belongs to another user"
            );
            false
        }
        _ => true,
    });
    dying.map(Pid::as_raw).collect()
}

/// Whether a child of this process does not belong to the attempt: a tool in a job may have started
/// the local cluster's server, which serves all, and whose own runners and their jobs become
/// children of this process with its end.
fn is_anothers(pid: Pid, attempt_id: &AttemptId) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|b| *b == 0).filter_map(|v| std::str::from_utf8(v).ok());
    match variables.find_map(|v| v.strip_prefix(TASK_VARIABLE)?.strip_prefix('=')) {
        Some(carried) => carried != attempt_id.as_str(),
        // A server is started with an empty environment; other programs without these variables are
        // the job's.
        None => std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| ["blocal", "blocal-runner", "awsb"].contains(&name.trim_end())),
    }
}

/// Our own children, as Linux lists them. Elsewhere orphans never become ours, so there are none.
fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&me)))
        .map(Pid::from_raw)
        .collect()
}

/// The fields of `/proc/PID/stat` that follow the name: state, parent, group, session, …
fn stat(pid: i32) -> Option<Vec<String>> {
    // It fits: some fifty numbers, and a name of at most 64 bytes. Each job's process is looked at
    // once.
    let mut bytes = [0; 2048];
    let length = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut bytes)).ok()?;
    let text = String::from_utf8_lossy(bytes.get(..length)?);
    // The name is in parentheses and may itself contain blanks and parentheses.
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Whether a process is left in the group of a child of ours that nobody has waited for yet. One
/// that has ended, and that its parent has not waited for, does not count. It may list all
/// processes of the machine.
pub fn is_group_left(leader: Pid) -> bool {
    use rustix::process::{Pid as Process, WaitId, WaitIdOptions, waitid};
    let Some(process) = Process::from_raw(leader.as_raw()) else { return false };
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // A child may not have its group yet.
    match waitid(WaitId::Pid(process), ended) {
        Ok(Some(_)) => is_shared(leader),
        Ok(None) | Err(rustix::io::Errno::INTR) => true,
        Err(_) => false,
    }
}

/// Whether a group has a process, apart from those that have ended.
#[cfg(target_os = "linux")]
fn is_shared(group: Pid) -> bool {
    let group = group.to_string();
    // Without a list of the processes, one may be left.
    std::fs::read_dir("/proc").map_or(true, |processes| {
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(stat)
            .any(|fields| fields.get(2) == Some(&group) && fields.first().is_some_and(|state| state != "Z"))
    })
}

/// The same: kill(2) of macOS finds no process that has ended.
#[cfg(not(target_os = "linux"))]
fn is_shared(group: Pid) -> bool {
    killpg(group, None).is_ok()
}

/// When a process was born, in the kernel's clock ticks: with the pid it names one process for
/// ever. `None` where the system does not say.
pub fn born(pid: i32) -> Option<u64> {
    // Field 22 of proc_pid_stat(5), the 20th after the name.
    stat(pid)?.get(19)?.parse().ok()
}

/// The first process of a job, or of a command beside a job, for one that is not its parent: the
/// server, or a server after the one that has started the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Its process ID, which is its group's, too.
    pub pid: i32,
    /// When it was started, in milliseconds since the epoch.
    pub at: i64,
    /// Its birth, where the system says.
    pub born: Option<u64>,
}

impl Leader {
    /// A process that has been started just now.
    pub fn now(pid: i32) -> Self {
        Self { pid, at: crate::time::now_ms(), born: born(pid) }
    }

    /// Its working directory, where the system says it and the process may be looked at. One that
    /// has been removed, or that nobody may enter, is `None`.
    pub fn working_directory(&self) -> Option<PathBuf> {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()?;
        let can_be_entered = rustix::fs::access(&folder, rustix::fs::Access::EXEC_OK).is_ok();
        (self.is_known() && can_be_entered && folder.is_dir()).then_some(folder)
    }

    /// Its environment as its program got it, where the system says it and the process may be
    /// looked at. `None` before it is a process of the attempt.
    pub fn environment(&self, attempt_id: &AttemptId) -> Option<Vec<(OsString, OsString)>> {
        let text = std::fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let variables: Vec<(OsString, OsString)> = text
            .split(|byte| *byte == 0)
            .filter_map(|variable| {
                let at = variable.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
                let (name, value) = (variable.get(..at)?, variable.get(at + 1..)?);
                Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
            })
            .collect();
        let is_of_attempt =
            variables.iter().any(|(name, value)| name == TASK_VARIABLE && value == attempt_id.as_str());
        (self.is_known() && is_of_attempt).then_some(variables)
    }

    /// Whether the system says that the process with this ID is still this one.
    fn is_known(&self) -> bool {
        self.born.is_some() && born(self.pid) == self.born
    }

    /// Whether the process with this ID is still this one, and not a later one.
    fn is_alive(&self) -> bool {
        match self.born {
            Some(known) => born(self.pid) == Some(known),
            None => {
                // POSIX: `ps -o etime=` prints `[[dd-]hh:]mm:ss` since the process was started.
                let ps = Command::new("/bin/ps").args(["-o", "etime=", "-p", &self.pid.to_string()]).output();
                let age = ps.ok().and_then(|out| elapsed_s(&String::from_utf8_lossy(&out.stdout)));
                let known = (crate::time::now_ms() - self.at) / 1000;
                age.is_some_and(|age| (age - known).abs() <= 2)
            }
        }
    }
}

fn elapsed_s(etime: &str) -> Option<i64> {
    let (days, clock) = etime.trim().split_once('-').unwrap_or(("0", etime.trim()));
    let parts: Option<Vec<i64>> = clock.split(':').map(|n| n.parse().ok()).collect();
    let parts = parts.filter(|p| (2..=3).contains(&p.len()))?;
    Some(days.parse::<i64>().ok()? * 86_400 + parts.iter().fold(0, |sum, n| sum * 60 + n))
}

/// The group of a command beside an attempt. The server that has started the command is gone.
#[derive(Debug, Clone)]
pub struct Remains {
    attempt_id: AttemptId,
    leader: Leader,
}

impl Remains {
    /// The group that this process leads, or has led.
    pub fn new(attempt_id: AttemptId, leader: Leader) -> Self {
        Self { attempt_id, leader }
    }

    /// Those of these groups of which a process is left. The processes of the machine are listed at
    /// most once.
    pub fn still_there(all: &[Self]) -> Vec<&Self> {
        let states: Vec<_> = all.iter().map(|remains| (remains, remains.state())).collect();
        let leaderless = states.iter().filter(|(_, state)| *state == GroupState::Leaderless);
        let markers: HashSet<String> =
            leaderless.map(|(remains, _)| marker_of(&remains.attempt_id)).collect();
        let mut groups = HashSet::new();
        if !markers.is_empty() {
            for (pid, marker) in processes_with(&markers) {
                groups.extend(nix::unistd::getpgid(Some(pid)).ok().map(|group| (group, marker)));
            }
        }
        let is_there = |(remains, state): &(&Self, GroupState)| match state {
            GroupState::Gone => false,
            GroupState::HasLeader => true,
            GroupState::Leaderless => groups.contains(&(remains.group(), marker_of(&remains.attempt_id))),
        };
        states.into_iter().filter(is_there).map(|(remains, _)| remains).collect()
    }

    /// Sends these signals to the group. It has to be there still.
    pub fn send(&self, signals: &[Signal]) {
        for signal in signals {
            signal_group(self.group(), *signal);
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.leader.pid)
    }

    fn state(&self) -> GroupState {
        // A group of other users' processes is not that of a job.
        if self.leader.pid <= 1 || killpg(self.group(), None).is_err() {
            return GroupState::Gone;
        }
        if self.leader.is_alive() {
            return GroupState::HasLeader;
        }
        // No process has the ID of a group that is still there. Where another process has it now,
        // the group had gone before.
        match self.leader.born.is_some() && born(self.leader.pid).is_some() {
            true => GroupState::Gone,
            false => GroupState::Leaderless,
        }
    }
}

/// The state of a group whose leader is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupState {
    /// No process of it is left.
    Gone,
    /// Its leader is there.
    HasLeader,
    /// There is a group with this ID, and its leader has gone. It may be a later group.
    Leaderless,
}

/// The variable by which the processes of an attempt are known.
fn marker_of(attempt_id: &AttemptId) -> String {
    format!("{TASK_VARIABLE}={attempt_id}")
}

/// Kills what a dead runner's job has left: its process group, if the leader is still the same
/// process, and every process of ours that carries the attempt's ID in its environment.
pub fn kill_remains(attempt_id: &AttemptId, leader: Option<Leader>) {
    if let Some(leader) = leader
        && leader.pid > 1
        && leader.is_alive()
    {
        let _ = killpg(Pid::from_raw(leader.pid), Signal::SIGKILL);
    }
    let marker = HashSet::from([marker_of(attempt_id)]);
    // A process may fork while we look: again, until a look finds nothing.
    for _ in 0..100 {
        let found = processes_with(&marker);
        if found.is_empty() {
            return;
        }
        for (pid, _) in found {
            let _ = kill(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tracing::warn!("processes of the lost attempt {attempt_id} do not go away");
}

/// The processes that have one of these variables (`NAME=VALUE`) in their environment, as far as we
/// may see it, each with its variable.
fn processes_with(variables: &HashSet<String>) -> Vec<(Pid, String)> {
    if !cfg!(target_os = "linux") {
        // ps(1) of macOS: `-E` shows the environment behind the command, of programs that are not
        // the system's own.
        let ps = Command::new("/bin/ps").args(["-axww", "-E", "-o", "pid=,command="]).output();
        return ps
            .map_or_else(|_| Vec::new(), |out| carriers(&String::from_utf8_lossy(&out.stdout), variables));
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut all = environment.split(|b| *b == 0).filter_map(|v| std::str::from_utf8(v).ok());
            Some((Pid::from_raw(pid), all.find_map(|v| variables.get(v))?.clone()))
        })
        .collect()
}

/// The processes of a list in which each line is a process ID, a command and its environment, each
/// with that of the variables which it has.
fn carriers(list: &str, variables: &HashSet<String>) -> Vec<(Pid, String)> {
    list.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let pid = words.next()?.parse().ok().filter(|pid| *pid > 1)?;
            Some((Pid::from_raw(pid), words.find_map(|word| variables.get(word))?.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &[&str], path: &str) -> Result<(i32, String), CannotStart> {
        let command: Vec<String> = command.iter().map(|s| (*s).to_owned()).collect();
        let environment = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        let (mut reader, writer) = io::pipe().unwrap();
        let pid = start(&command, &environment, Path::new("/"), writer)?;
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let status = waitpid(pid, None).ok();
        Ok((exit_code(status).unwrap(), text))
    }

    #[test]
    fn programs_are_found_and_refused_as_docker_does() {
        assert_eq!(run(&["sh", "-c", "echo a; echo b >&2; exit 3"], "/usr/bin:/bin").unwrap().0, 3);
        assert_eq!(run(&["sh", "-c", "echo a; echo b >&2; echo c"], "/bin").unwrap().1, "a\nb\nc\n");
        assert_eq!(run(&["sh", "-c", "kill -9 $$"], "/bin").unwrap().0, 137);
        let missing = run(&["no-such-program"], "/usr/bin:/bin").unwrap_err();
        assert_eq!(missing.exit_code, 127);
        assert!(missing.reason.contains("executable file not found in $PATH"));
        assert_eq!(run(&["/no/such"], "/bin").unwrap_err().exit_code, 127);
        assert_eq!(run(&["/etc/passwd"], "/bin").unwrap_err().exit_code, 126);
        assert_eq!(run(&["passwd"], "/etc").unwrap_err().exit_code, 126);
    }

    #[test]
    fn a_process_whose_end_the_system_has_forgotten_is_lost_and_has_no_exit_code() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert_eq!(outcome(wait_for_end(pid)), Outcome { exit_code: Some(0), ..Outcome::default() });
        // Now it is nobody's child any more.
        let _ = child.wait();
        let forgotten = outcome(wait_for_end(pid));
        assert!(forgotten.lost && forgotten.exit_code.is_none(), "{forgotten:?}");
    }

    #[test]
    fn elapsed_times_are_read_as_ps_prints_them() {
        assert_eq!(elapsed_s("   00:07\n"), Some(7));
        assert_eq!(elapsed_s("01:02:03"), Some(3723));
        assert_eq!(elapsed_s("2-00:00:01"), Some(172_801));
        assert_eq!(elapsed_s(""), None);
    }

    #[test]
    fn processes_are_found_in_a_list_of_ps() {
        let list = "    1 /sbin/launchd\n  812 sleep 60 HOME=/Users/me AWSB_TASK=7-1 LANG=C\n 9813 sh AWSB_TASK=7-12\n\
                    31 AWSB_TASK=7-1\nx AWSB_TASK=7-1\n0 AWSB_TASK=7-1\n";
        let (one, twelve) = ("AWSB_TASK=7-1".to_owned(), "AWSB_TASK=7-12".to_owned());
        let of = |pid: i32, variable: &String| (Pid::from_raw(pid), variable.clone());
        let only_one = HashSet::from([one.clone()]);
        assert_eq!(carriers(list, &only_one), [of(812, &one), of(31, &one)]);
        assert_eq!(carriers("", &only_one), []);
        let both = HashSet::from([one.clone(), twelve.clone()]);
        assert_eq!(carriers(list, &both), [of(812, &one), of(9813, &twelve), of(31, &one)]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_birth_names_a_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(born(me).is_some());
        assert_eq!(born(me), born(me));
        assert_ne!(born(me), born(1));
    }
}
