//! The processes of a home, found without anything that is written down in it: its server, its
//! runners, and everything that their jobs have started.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::progress::{Report, WaitNotice};

/// How long processes may take to end after SIGTERM, before they get SIGKILL: Batch's time, which
/// jobs know.
const GRACE: Duration = awsb_model::limits::STOP_GRACE;
/// How long a process may take to go away after SIGKILL.
const KILLED: Duration = Duration::from_secs(5);
/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    is_zombie: bool,
    arguments: Vec<String>,
}

impl Process {
    /// Whether it is one of ours with this action, such as `blocal runner ID`.
    fn does(&self, action: &str) -> bool {
        let program = self.arguments.first().and_then(|program| Path::new(program).file_name());
        // `awsb` alone is all tools: its first word says which.
        let words = match program.and_then(|name| name.to_str()) {
            Some("blocal") => self.arguments.get(1..),
            Some("awsb") => match self.arguments.get(1).map(String::as_str) {
                Some("local" | "blocal") => self.arguments.get(2..),
                _ => None,
            },
            _ => None,
        };
        words.into_iter().flatten().take(2).any(|argument| argument == action)
    }
}

/// Ends the server of a home, also one that is stopped or does not answer.
pub fn kill_server(home: &Path) {
    kill_all(|| of_home(home, "serve"));
}

/// Whether a server of a home lives, regardless of its lock.
pub fn has_server(home: &Path) -> bool {
    !of_home(home, "serve").is_empty()
}

/// Whether a runner of a home lives.
pub fn has_runner(home: &Path) -> bool {
    !of_home(home, "runner").is_empty()
}

/// Ends the jobs of a home and their runners: SIGTERM for the jobs, then SIGKILL for all that is
/// left.
pub fn kill_jobs(home: &Path, report: Report<'_>) {
    let deadline = Instant::now() + GRACE;
    let mut asked = HashSet::new();
    let mut waiting = WaitNotice::new(report);
    loop {
        // A runner that is stopped does not see its job's end: its zombie does not count.
        let jobs = jobs_of(home);
        if jobs.is_empty() || Instant::now() >= deadline {
            break;
        }
        for pid in jobs {
            if asked.insert(pid) {
                send(pid, Signal::SIGTERM);
            }
        }
        waiting.still_waiting(|| {
            "the processes of jobs have been sent SIGTERM, and are killed after 30 seconds".to_owned()
        });
        std::thread::sleep(POLL_INTERVAL);
    }
    // A process that loses its runner gets another parent, so all are found before any is killed.
    let runners = of_home(home, "runner");
    let jobs = jobs_of(home);
    runners.iter().chain(&jobs).for_each(|pid| send(*pid, Signal::SIGKILL));
    kill_all(|| {
        let mut left = of_home(home, "runner");
        left.extend(jobs_of(home));
        left.extend(jobs.iter().copied().filter(|pid| lives(*pid)));
        left
    });
}

/// Kills what is found until nothing is found any more.
fn kill_all(find: impl Fn() -> Vec<i32>) {
    let deadline = Instant::now() + KILLED;
    loop {
        let found = find();
        if found.is_empty() || Instant::now() >= deadline {
            return;
        }
        found.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn send(pid: i32, signal: Signal) {
    // A process that is gone, or another user's, is not one of this home.
    let _ = kill(Pid::from_raw(pid), signal);
}

fn lives(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok() && !all().iter().any(|p| p.pid == pid && p.is_zombie)
}

/// The processes of ours in a home that do this, without ourselves.
fn of_home(home: &Path, action: &str) -> Vec<i32> {
    let ours = |process: &Process| {
        process.does(action) && !process.is_zombie && process.pid != own() && is_in(home, process)
    };
    all().into_iter().filter(ours).map(|process| process.pid).collect()
}

/// The processes that descend from a home's runners, or carry the mark of one of its attempts.
fn jobs_of(home: &Path) -> Vec<i32> {
    let all = all();
    let runners: Vec<i32> = of_home(home, "runner");
    let mut found: HashSet<i32> = runners.iter().copied().collect();
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|p| found.contains(&p.parent) && !found.contains(&p.pid) && !is_apart(home, p))
            .map(|p| p.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.extend(all.iter().filter(|p| carries_mark(home, p.pid)).map(|p| p.pid));
    let jobs = all.iter().filter(|p| found.contains(&p.pid) && !p.is_zombie && !runners.contains(&p.pid));
    jobs.map(|p| p.pid).filter(|pid| *pid != own()).collect()
}

/// A server that a job has started is there for all, and so are its runners and their jobs.
fn is_apart(home: &Path, process: &Process) -> bool {
    process.does("serve") || (process.does("runner") && !is_in(home, process))
}

fn own() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// Whether a process of ours works in a home: server and runners have it as their working
/// directory.
#[cfg(target_os = "linux")]
fn is_in(home: &Path, process: &Process) -> bool {
    is_same(home, Path::new(&format!("/proc/{}/cwd", process.pid)))
}

/// Whether two paths lead to the same folder.
#[cfg(target_os = "linux")]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// The same where working directories cannot be seen: a runner by its files, the server by its
/// lock.
#[cfg(not(target_os = "linux"))]
fn is_in(home: &Path, process: &Process) -> bool {
    let id = process.arguments.last().and_then(|id| super::runner::protocol::RunnerId::parse(id));
    match id {
        Some(id) => home.join(crate::home::files::RUNNERS).join(format!("{}.lock", id.as_str())).exists(),
        None => std::fs::read_to_string(home.join(crate::home::files::SERVER_LOCK))
            .is_ok_and(|pid| pid.trim() == process.pid.to_string()),
    }
}

/// Whether a process has the variables that a host job of this home has.
#[cfg(target_os = "linux")]
fn carries_mark(home: &Path, pid: i32) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let value = |name: &str| {
        let mut variables = environment.split(|b| *b == 0);
        variables.find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    value(crate::runner::protocol::TASK_VARIABLE).is_some()
        && value(crate::home::files::HOME_VARIABLE)
            .is_some_and(|value| is_same(home, Path::new(std::ffi::OsStr::from_bytes(value))))
}

#[cfg(not(target_os = "linux"))]
fn carries_mark(_: &Path, _: i32) -> bool {
    false
}

/// All processes that can be seen.
#[cfg(target_os = "linux")]
fn all() -> Vec<Process> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may itself contain blanks and parentheses.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split_whitespace();
        let is_zombie = fields.next()? == "Z";
        let parent = fields.next()?.parse().ok()?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = arguments.split(|b| *b == 0).filter(|a| !a.is_empty());
        let arguments = arguments.map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        Some(Process { pid, parent, is_zombie, arguments })
    })
    .collect()
}

/// The same as `ps` lists them (POSIX).
#[cfg(not(target_os = "linux"))]
fn all() -> Vec<Process> {
    let ps = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat=,args="]).output();
    let text = ps.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    let process = |line: &str| {
        let mut fields = line.split_whitespace();
        Some(Process {
            pid: fields.next()?.parse().ok()?,
            parent: fields.next()?.parse().ok()?,
            is_zombie: fields.next()?.starts_with('Z'),
            arguments: fields.map(str::to_owned).collect(),
        })
    };
    text.lines().filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_all_and_is_no_server() {
        let me = all().into_iter().find(|process| process.pid == own()).unwrap();
        assert!(!me.is_zombie && !me.does("serve") && !me.arguments.is_empty());
        let does = |arguments: &[&str], action| {
            let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
            Process { arguments, ..me.clone() }.does(action)
        };
        assert!(does(&["/usr/bin/blocal", "serve", "--background"], "serve"));
        assert!(does(&["awsb", "local", "serve"], "serve"));
        assert!(does(&["blocal", "runner", "0123456789abcdef0123456789abcdef"], "runner"));
        assert!(!does(&["vi", "serve"], "serve"));
        assert!(!does(&["blocal", "status"], "serve"));
        assert!(does(&["/opt/awsb/bin/awsb", "blocal", "--debug", "serve"], "serve"));
        // A job of that name.
        assert!(!does(&["awsb", "sub", "serve"], "serve"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_jobs_process_is_known_by_its_variables() {
        let home = tempfile::tempdir().unwrap();
        let start = |home: &Path| {
            std::process::Command::new("sleep")
                .arg("1000")
                .env(crate::runner::protocol::TASK_VARIABLE, "0123")
                .env(crate::home::files::HOME_VARIABLE, home)
                .spawn()
                .unwrap()
        };
        let mut job = start(home.path());
        let mut other = start(Path::new("/elsewhere"));
        let pid = i32::try_from(job.id()).unwrap();
        // Its variables are there when the program is.
        let deadline = Instant::now() + Duration::from_secs(20);
        while jobs_of(home.path()) != [pid] && Instant::now() < deadline {
            std::thread::sleep(POLL_INTERVAL);
        }
        assert_eq!(jobs_of(home.path()), [pid]);
        // By another name it is the same home.
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("home");
        std::os::unix::fs::symlink(home.path(), &link).unwrap();
        assert_eq!(jobs_of(&link), [pid]);
        kill_jobs(home.path(), &|_| {});
        assert!(!job.wait().unwrap().success());
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
