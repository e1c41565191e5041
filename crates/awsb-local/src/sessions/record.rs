//! The record of the commands beside jobs on the host, for when their server is gone.
//!
//! The program that becomes such a command writes a file before it does, and the server removes the
//! file when the session ends. A server that finds a file when it starts ends the command, as a
//! server that stops would have: with SIGHUP, and SIGKILL five seconds later. Processes that have
//! left the group of their command, or whose session had ended, were left on purpose: they stay
//! until their job ends.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::home::contents;
use crate::home::files::{RUNNERS, SESSION_RECORD};
use crate::runner::protocol::AttemptId;
use crate::runner::{Leader, Remains};

/// How long a command may take to end after SIGHUP, when its client has hung up.
pub const HANG_UP_GRACE: Duration = Duration::from_secs(5);
/// The first pause and the longest one of a server that waits for the end of commands. Each look
/// may list all processes of the machine.
pub const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A record is shorter than this many bytes.
const MAX_BYTES: u64 = 4096;

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "task")]
    attempt_id: AttemptId,
    leader: Leader,
}

/// The file of a session. It is removed when this is dropped.
#[derive(Debug)]
pub struct SessionRecord(PathBuf);

impl SessionRecord {
    /// The file of a new session, which is not there yet. The home is the working directory.
    ///
    /// # Errors
    /// When the working directory is not known.
    pub fn new() -> io::Result<Self> {
        let id = uuid::Uuid::new_v4().simple();
        Ok(Self(std::path::absolute(Path::new(RUNNERS).join(format!("{id}.{SESSION_RECORD}")))?))
    }

    /// The file at this path.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SessionRecord {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(e) = fs::remove_file(path)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("removing {}: {e}", path.display());
    }
}

/// Writes the file of a session whose command this process is going to be. It leads its group.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, attempt_id: AttemptId) -> io::Result<()> {
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let entry = serde_json::to_vec(&Entry { attempt_id, leader: Leader::now(pid) })?;
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?.write_all(&entry)
}

/// Reads a file, as far as a record goes. A link in its place is not followed, and the other end of
/// a FIFO is not waited for.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    contents::open(path)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// Ends the commands of sessions of a server that is gone, and removes their files. It returns at
/// once, with the thread that does this. `is_new_host`: nothing that ran then runs now.
///
/// # Errors
/// When the folder cannot be read, or there can be no more threads.
pub fn end_leftovers(home: &Path, is_new_host: bool) -> io::Result<Option<std::thread::JoinHandle<()>>> {
    let (mut paths, mut left) = (Vec::new(), Vec::new());
    for file in fs::read_dir(home.join(RUNNERS))? {
        let path = file?.path();
        if path.extension().is_none_or(|kind| kind != SESSION_RECORD)
            || !path.file_stem().and_then(|id| id.to_str()).is_some_and(contents::is_id)
        {
            continue;
        }
        if is_new_host {
            remove(&path);
            continue;
        }
        let text = match read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // The next server tries again.
            Err(e) => {
                tracing::warn!("reading {}: {e}; a command of an earlier server may go on", path.display());
                continue;
            }
        };
        match serde_json::from_slice(&text) {
            Ok(Entry { attempt_id, leader }) => {
                paths.push(path);
                left.push(Remains::new(attempt_id, leader));
            }
            // A file that is not whole is that of a program that has not become a command.
            Err(_) => remove(&path),
        }
    }
    if left.is_empty() {
        return Ok(None);
    }
    let end = move || {
        let deadline = Instant::now() + HANG_UP_GRACE;
        let mut still_there = Remains::still_there(&left);
        still_there.iter().for_each(|remains| remains.send(&[Signal::SIGHUP, Signal::SIGCONT]));
        let (mut pause, longest) = PAUSES;
        while !still_there.is_empty() && Instant::now() < deadline {
            std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            pause = (pause * 2).min(longest);
            still_there = Remains::still_there(&left);
        }
        still_there.iter().for_each(|remains| remains.send(&[Signal::SIGKILL]));
        paths.iter().for_each(|path| remove(path));
    };
    std::thread::Builder::new().name("sessions".to_owned()).spawn(end).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::protocol::TASK_VARIABLE;
    use std::io::BufRead;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};
    use std::thread::JoinHandle;

    /// A folder of records, and the attempt beside which the commands run.
    struct Records {
        home: tempfile::TempDir,
        attempt_id: AttemptId,
    }

    impl Records {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir(home.path().join(RUNNERS)).unwrap();
            Self { home, attempt_id: AttemptId::random() }
        }

        fn new_path(&self) -> PathBuf {
            let id = AttemptId::random();
            self.home.path().join(RUNNERS).join(format!("{id}.{SESSION_RECORD}"))
        }

        fn add(&self, leader: Leader) {
            let entry = Entry { attempt_id: self.attempt_id.clone(), leader };
            fs::write(self.new_path(), serde_json::to_vec(&entry).unwrap()).unwrap();
        }

        fn count(&self) -> usize {
            fs::read_dir(self.home.path().join(RUNNERS)).unwrap().count()
        }

        /// Starts a command that leads its group, and returns when it has printed a line.
        fn start(&self, script: &str) -> (Child, Leader) {
            // Tests that run under `nohup` ignore SIGHUP, and a shell cannot take that back.
            let by_env: &[&str] =
                if cfg!(target_os = "linux") { &["--default-signal=HUP", "/bin/sh"] } else { &["/bin/sh"] };
            let mut command = Command::new("/usr/bin/env");
            command
                .args(by_env)
                .args(["-c", script])
                .env(TASK_VARIABLE, self.attempt_id.as_str())
                .process_group(0);
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            let leader = Leader::now(i32::try_from(child.id()).unwrap());
            (child, leader)
        }

        /// Ends the commands, and returns how long that took.
        fn end(&self) -> Duration {
            let start = Instant::now();
            end_leftovers(self.home.path(), false).unwrap().unwrap().join().unwrap();
            start.elapsed()
        }
    }

    /// Waits for the end of a command, as the parent of an orphan does. Returns the signal that has
    /// ended it.
    fn reap(mut child: Child) -> JoinHandle<Option<i32>> {
        std::thread::spawn(move || child.wait().unwrap().signal())
    }

    #[test]
    fn a_command_ends_with_sighup_and_the_wait_ends_with_it() {
        let records = Records::new();
        let (open, leader) = records.start("echo ready; exec sleep 1000");
        records.add(leader);
        let open = reap(open);
        let took = records.end();
        assert_eq!(open.join().unwrap(), Some(Signal::SIGHUP as i32));
        assert!(took < HANG_UP_GRACE, "{took:?}");
        assert_eq!(records.count(), 0);
        assert!(end_leftovers(records.home.path(), false).unwrap().is_none());
    }

    #[test]
    fn a_command_that_ignores_sighup_is_killed_after_its_time() {
        let records = Records::new();
        let (deaf, leader) = records.start("trap '' HUP; echo ready; exec sleep 1000");
        records.add(leader);
        let deaf = reap(deaf);
        let took = records.end();
        assert_eq!(deaf.join().unwrap(), Some(Signal::SIGKILL as i32));
        assert!(took >= HANG_UP_GRACE, "{took:?}");
        assert_eq!(records.count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn groups_end_whose_leaders_have_gone() {
        let records = Records::new();
        let start = || {
            let mut child = records.start("sleep 1000 >/dev/null & echo ready");
            child.0.wait().unwrap();
            child.1
        };
        let leaders = [start(), start()];
        let is_there = |leader: &Leader| {
            let group = nix::unistd::Pid::from_raw(leader.pid);
            nix::sys::signal::killpg(group, None).is_ok()
        };
        for leader in leaders {
            assert!(is_there(&leader));
            records.add(leader);
        }
        // An orphan that nobody has reaped is no process that is left.
        let took = records.end();
        assert!(took < HANG_UP_GRACE, "{took:?}");
        assert_eq!(records.count(), 0);
    }

    #[test]
    fn only_the_process_of_a_record_ends() {
        let records = Records::new();
        let (mut other, leader) = records.start("echo ready; exec sleep 1000");
        if cfg!(target_os = "linux") {
            // Another process has the ID of the leader of an earlier session.
            records.add(Leader { born: Some(1), ..leader });
            let took = records.end();
            assert!(took < HANG_UP_GRACE && other.try_wait().unwrap().is_none(), "{took:?}");
            assert_eq!(records.count(), 0);
        }
        // Nothing that ran on another host runs here.
        records.add(leader);
        assert!(end_leftovers(records.home.path(), true).unwrap().is_none());
        assert!(other.try_wait().unwrap().is_none());
        assert_eq!(records.count(), 0);
        let _ = other.kill();
        other.wait().unwrap();
    }

    #[test]
    fn a_record_that_cannot_be_read_stays_and_one_that_is_not_whole_goes() {
        let records = Records::new();
        fs::write(records.new_path(), "half").unwrap();
        // ELOOP, also for root, who may read every file.
        let unreadable = records.new_path();
        std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
        assert!(end_leftovers(records.home.path(), false).unwrap().is_none());
        assert!(unreadable.symlink_metadata().is_ok());
        assert_eq!(records.count(), 1);
        // Neither would end: the file behind a link, and the other end of a FIFO.
        std::os::unix::fs::symlink("/dev/zero", records.new_path()).unwrap();
        nix::unistd::mkfifo(&records.new_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(end_leftovers(records.home.path(), false).unwrap().is_none());
        assert_eq!(records.count(), 3);
    }
}
