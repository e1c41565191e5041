//! The record of the commands beside jobs on the host, for when their server is gone.
//!
//! The program that becomes such a command writes a file before it does, and the server removes the
//! file when the session ends. A server that finds a file when it starts ends the command, as a
//! server that stops would have: with SIGHUP, and SIGKILL five seconds later. Processes that have
//! left the group of their command, or whose session had ended, were left on purpose: they stay
//! until their job ends.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
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
/// How often a server that waits for the end of commands looks for them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

/// Ends the commands of sessions of a server that is gone, and removes their files. It returns at
/// once, with the thread that does this. `is_new_host`: nothing that ran then runs now.
///
/// # Errors
/// When the folder cannot be read, or there can be no more threads.
pub fn end_leftovers(home: &Path, is_new_host: bool) -> io::Result<Option<std::thread::JoinHandle<()>>> {
    let mut left = Vec::new();
    for file in fs::read_dir(home.join(RUNNERS))? {
        let path = file?.path();
        if path.extension().is_none_or(|kind| kind != SESSION_RECORD)
            || !path.file_stem().and_then(|id| id.to_str()).is_some_and(contents::is_id)
        {
            continue;
        }
        let entry = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Entry>(&text).ok());
        match entry.filter(|_| !is_new_host) {
            Some(Entry { attempt_id, leader }) => left.push((path, Remains::new(attempt_id, leader))),
            // A file that is not whole is that of a program that has not become a command.
            None => remove(&path),
        }
    }
    if left.is_empty() {
        return Ok(None);
    }
    let end = move || {
        let deadline = Instant::now() + HANG_UP_GRACE;
        left.iter().for_each(|(_, remains)| remains.send(&[Signal::SIGHUP, Signal::SIGCONT]));
        while left.iter().any(|(_, remains)| !remains.are_gone()) && Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
        }
        for (path, remains) in &left {
            remains.send(&[Signal::SIGKILL]);
            remove(path);
        }
    };
    std::thread::Builder::new().name("sessions".to_owned()).spawn(end).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::protocol::TASK_VARIABLE;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn what_is_left_of_a_session_ends_and_what_was_left_on_purpose_stays() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(RUNNERS);
        fs::create_dir(&folder).unwrap();
        let attempt_id = AttemptId::random();
        let run = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).env(TASK_VARIABLE, attempt_id.as_str()).process_group(0);
            command.spawn().unwrap()
        };
        let record = |leader: Leader| {
            let path = folder.join(format!("{}.{SESSION_RECORD}", AttemptId::random()));
            let entry = Entry { attempt_id: attempt_id.clone(), leader };
            fs::write(&path, serde_json::to_vec(&entry).unwrap()).unwrap();
        };
        let leader = |child: &std::process::Child| Leader::now(i32::try_from(child.id()).unwrap());
        let mut open = run("sleep 1000");
        let mut deaf = run("trap '' HUP; sleep 1000");
        let mut ended = run("sleep 1000");
        record(leader(&open));
        record(leader(&deaf));
        // Another process has the ID of the leader of an earlier session.
        record(Leader { born: Some(1), ..leader(&ended) });
        fs::write(folder.join(format!("{}.{SESSION_RECORD}", AttemptId::random())), "half").unwrap();
        end_leftovers(home.path(), false).unwrap().unwrap().join().unwrap();
        assert!(!open.wait().unwrap().success() && !deaf.wait().unwrap().success());
        if cfg!(target_os = "linux") {
            assert!(ended.try_wait().unwrap().is_none());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert!(end_leftovers(home.path(), false).unwrap().is_none());
        record(leader(&ended));
        assert!(end_leftovers(home.path(), true).unwrap().is_none());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        let _ = ended.kill();
        ended.wait().unwrap();
    }
}
