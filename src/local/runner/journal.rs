//! A runner's journal and lock: what is known of a job when nobody is left to ask.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::process::{self, Leader};
use super::protocol::{Ended, RunnerId, TaskId};
use crate::local::home::RUNNERS;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Entry {
    /// The runner has taken this attempt; its process, or its container on this Docker engine, may exist
    /// from now on.
    Taken {
        task: TaskId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine: Option<String>,
    },
    /// The process exists. `born` tells it from a later process with the same pid.
    Started { task: TaskId, pid: i32, at: i64, born: Option<u64> },
    /// The attempt has ended.
    Ended(Ended),
}

/// A runner's own journal, open for as long as the runner lives.
#[derive(Debug)]
pub struct Journal {
    lines: Lines,
    length: u64,
    // Held, never read: it is what other processes see of this runner's life.
    _lock: File,
}

/// Beyond this length an idle runner's journal starts anew.
const LONG: u64 = 1 << 20;

impl Journal {
    /// Opens the journal of a runner that has just been born, and takes its lock.
    ///
    /// # Errors
    /// When the files cannot be made.
    pub fn open(home: &Path, runner: &RunnerId) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let lock = options.open(lock_path(home, runner))?;
        lock.lock()?;
        let file = options.open(journal_path(home, runner))?;
        Ok(Self { length: file.metadata()?.len(), lines: Lines::new(file), _lock: lock })
    }

    /// Before the process of an attempt exists, or its container on an `engine`.
    ///
    /// # Errors
    /// When it cannot be written: then the attempt must not begin.
    pub fn taken(&mut self, task: &TaskId, engine: Option<&str>) -> io::Result<()> {
        self.write(&Entry::Taken { task: task.clone(), engine: engine.map(str::to_owned) })
    }

    /// As soon as it exists.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn started(&mut self, task: &TaskId, pid: i32, at: i64) -> io::Result<()> {
        self.write(&Entry::Started { task: task.clone(), pid, at, born: process::born(pid) })
    }

    /// When the attempt has ended, before the server is told.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ended(&mut self, ended: &Ended) -> io::Result<()> {
        self.write(&Entry::Ended(ended.clone()))
    }

    /// When the server has every end on disk: a long journal starts anew.
    pub fn all_forgotten(&mut self) {
        if self.length > LONG && self.lines.clear().is_ok() {
            self.length = 0;
        }
    }

    // One write for each entry, straight into the page cache: it survives the death of this process and
    // of the server. It need not survive the machine's: no job does either, and then "no end" is the truth.
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        self.lines.append(&line)?;
        self.length += line.len() as u64;
        Ok(())
    }
}

fn lock_path(home: &Path, runner: &RunnerId) -> PathBuf {
    home.join(RUNNERS).join(format!("{}.lock", runner.as_str()))
}

fn journal_path(home: &Path, runner: &RunnerId) -> PathBuf {
    home.join(RUNNERS).join(format!("{}.journal", runner.as_str()))
}

/// Whether the runner lives: it holds its lock.
pub fn is_alive(home: &Path, runner: &RunnerId) -> bool {
    // Only a lock that is not there, or that can be had, proves that the runner is gone. Any other
    // failure (no descriptor is free) is ours, and a job that runs on must not be taken for lost.
    match File::open(lock_path(home, runner)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}

/// What became of an attempt that was given to a runner which is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The runner never took it: its process has never existed.
    NeverBegan,
    /// It ended like this.
    Ended(Ended),
    /// The runner died while it ran. What was left of its processes has been killed.
    Lost,
    /// The runner died while it ran in a container on this Docker engine, where it may still be.
    Abandoned(String),
}

/// Reads a dead runner's journal. When the attempt had begun and has no end, its processes may have
/// survived the runner: they are killed first, so that the next attempt never runs beside this one.
///
/// # Errors
/// When the journal cannot be read.
pub fn fate_of(home: &Path, runner: &RunnerId, task: &TaskId) -> io::Result<Fate> {
    let (mut taken, mut on, mut leader) = (false, None, None);
    for entry in entries(&journal_path(home, runner))? {
        match entry {
            Entry::Taken { task: t, engine } if t == *task => (taken, on) = (true, engine),
            Entry::Started { task: t, pid, at, born } if t == *task => {
                (taken, leader) = (true, Some(Leader { pid, at, born }));
            }
            Entry::Ended(ended) if ended.task == *task => return Ok(Fate::Ended(ended)),
            _ => {}
        }
    }
    if !taken {
        return Ok(Fate::NeverBegan);
    }
    if let Some(engine) = on {
        return Ok(Fate::Abandoned(engine));
    }
    process::kill_remains(task, leader);
    Ok(Fate::Lost)
}

/// Removes the files of a runner that is gone, once nothing in them matters any more.
pub fn forget(home: &Path, runner: &RunnerId) {
    // One that the last server started may have come up after all, and have taken its lock only now.
    if is_alive(home, runner) {
        return;
    }
    for path in [journal_path(home, runner), lock_path(home, runner)] {
        if let Err(e) = fs::remove_file(&path)
            && e.kind() != io::ErrorKind::NotFound
        {
            note!("removing {}: {e}", path.display());
        }
    }
}

/// The entries of a journal. A last line without an end is a write that never finished: it does not count.
fn entries(path: &Path) -> io::Result<Vec<Entry>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut entries = Vec::new();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(entries);
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => entries.push(entry),
            Err(e) => note!("{}: a line that is no entry: {e}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(task: &TaskId) -> Ended {
        Ended {
            task: task.clone(),
            started_at: Some(1),
            at: 2,
            exit_code: Some(0),
            reason: None,
            timed_out: false,
            lost: false,
            unkept: None,
        }
    }

    #[test]
    fn the_journal_tells_what_became_of_an_attempt() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(RUNNERS)).unwrap();
        let (runner, home) = (RunnerId::random(), dir.path());
        assert!(!is_alive(home, &runner));
        let mut journal = Journal::open(home, &runner).unwrap();
        assert!(is_alive(home, &runner));
        let [never, done, lost, abandoned] = std::array::from_fn(|_| TaskId::random());
        journal.taken(&done, None).unwrap();
        journal.ended(&ended(&done)).unwrap();
        journal.taken(&lost, None).unwrap();
        journal.taken(&abandoned, Some("unix:///there")).unwrap();
        journal.lines.append(b"{\"ended\":{\"task\":").unwrap();
        drop(journal);
        assert!(!is_alive(home, &runner));
        assert_eq!(fate_of(home, &runner, &never).unwrap(), Fate::NeverBegan);
        assert_eq!(fate_of(home, &runner, &done).unwrap(), Fate::Ended(ended(&done)));
        assert_eq!(fate_of(home, &runner, &lost).unwrap(), Fate::Lost);
        assert_eq!(fate_of(home, &runner, &abandoned).unwrap(), Fate::Abandoned("unix:///there".into()));
        forget(home, &runner);
        assert_eq!(fs::read_dir(home.join(RUNNERS)).unwrap().count(), 0);
    }
}
