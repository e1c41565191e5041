//! A runner's journal and lock: the record of a job for when its runner is gone.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::line_appender::LineAppender;
use super::process::{self, Leader};
use super::protocol::{AttemptId, Ended, RunnerId};
use crate::home::files::{RUNNER_JOURNAL, RUNNER_LOCK, RUNNER_OLD_JOURNAL, RUNNERS};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum JournalEntry {
    /// The first line: without it, the journal is incomplete. Earlier lines are in the journal
    /// before this one, if it exists, and were in the database with this commit.
    Opened {
        runner: RunnerId,
        #[serde(default, skip_serializing_if = "is_zero")]
        commit: u64,
    },
    /// The runner has taken this attempt of a job; its process, or its container on this Docker
    /// engine, may exist from now on.
    Taken {
        #[serde(rename = "task")]
        attempt_id: AttemptId,
        #[serde(default)]
        job: String,
        #[serde(default)]
        attempt: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine: Option<String>,
    },
    /// The process exists. `born` distinguishes it from a later process with the same pid.
    Started {
        #[serde(rename = "task")]
        attempt_id: AttemptId,
        pid: i32,
        at: i64,
        born: Option<u64>,
    },
    /// The attempt has ended.
    Ended(Ended),
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A runner's own journal, open for as long as the runner lives.
#[derive(Debug)]
pub struct Journal {
    runner: RunnerId,
    path: PathBuf,
    lines: LineAppender,
    length: u64,
    // Held, never read: it is what other processes see of this runner's life.
    _lock: File,
}

/// Beyond this length an idle runner begins another journal and keeps the last one.
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
        let path = journal_path(home, runner);
        let (lines, length) = begin(&path, runner, 0)?;
        Ok(Self { runner: runner.clone(), path, lines, length, _lock: lock })
    }

    /// Before the process of an attempt exists, or its container on an `engine`; `of` is the job's
    /// ID and the attempt's number.
    ///
    /// # Errors
    /// When it cannot be written: then the attempt must not begin.
    pub fn taken(&mut self, attempt_id: &AttemptId, of: (&str, u32), engine: Option<&str>) -> io::Result<()> {
        self.write(&JournalEntry::Taken {
            attempt_id: attempt_id.clone(),
            job: of.0.to_owned(),
            attempt: of.1,
            engine: engine.map(str::to_owned),
        })
    }

    /// As soon as it exists.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn started(&mut self, attempt_id: &AttemptId, pid: i32, at: i64) -> io::Result<()> {
        self.write(&JournalEntry::Started {
            attempt_id: attempt_id.clone(),
            pid,
            at,
            born: process::born(pid),
        })
    }

    /// Records the end of the attempt, before the server gets a report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ended(&mut self, ended: &Ended) -> io::Result<()> {
        self.write(&JournalEntry::Ended(ended.clone()))
    }

    /// When the server has every end on disk, the last one with this commit: instead of a long
    /// journal a new one is begun. The last one stays beside it, for a server whose database has
    /// lost what it had.
    pub fn all_forgotten(&mut self, commit: u64) {
        if self.length <= LONG || fs::rename(&self.path, old(&self.path)).is_err() {
            return;
        }
        match begin(&self.path, &self.runner, commit) {
            Ok((lines, length)) => (self.lines, self.length) = (lines, length),
            // The one that is open has another name now: it is given back its own.
            Err(e) => {
                tracing::warn!("beginning a journal: {e}");
                let _ = fs::rename(old(&self.path), &self.path);
            }
        }
    }

    // One write for each entry, straight into the page cache: it survives the death of this process
    // and of the server. It need not survive the machine's: no job does either, and then "no end"
    // is the truth.
    fn write(&mut self, entry: &JournalEntry) -> io::Result<()> {
        let line = line(entry)?;
        self.lines.append(&line)?;
        self.length += line.len() as u64;
        Ok(())
    }
}

fn line(entry: &JournalEntry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

/// A new journal, with its length. One that cannot be begun is not there: an empty one would say
/// that something has been lost.
fn begin(path: &Path, runner: &RunnerId, commit: u64) -> io::Result<(LineAppender, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let mut lines = LineAppender::new(file);
    let first = line(&JournalEntry::Opened { runner: runner.clone(), commit })?;
    lines.append(&first).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok((lines, first.len() as u64))
}

fn lock_path(home: &Path, runner: &RunnerId) -> PathBuf {
    path(home, runner, RUNNER_LOCK)
}

fn journal_path(home: &Path, runner: &RunnerId) -> PathBuf {
    path(home, runner, RUNNER_JOURNAL)
}

fn path(home: &Path, runner: &RunnerId, kind: &str) -> PathBuf {
    home.join(RUNNERS).join(format!("{}.{kind}", runner.as_str()))
}

/// The journal before this one.
fn old(journal: &Path) -> PathBuf {
    journal.with_extension(RUNNER_OLD_JOURNAL)
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

/// The outcome of an attempt that was given to a runner which is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The runner never took it: its process has never existed.
    NeverBegan,
    /// It ended like this.
    Ended(Ended),
    /// The runner died while it ran. Its remaining processes have been killed.
    Lost,
    /// The runner died while it ran. Its remaining processes have been killed.
    Abandoned(String),
}

/// Reads a dead runner's journal. When the attempt had begun and has no end, its processes may have
/// survived the runner: they are killed first, so that the next attempt never runs beside this one.
///
/// # Errors
/// When the journal cannot be read.
pub fn outcome_of(home: &Path, runner: &RunnerId, attempt_id: &AttemptId) -> io::Result<AttemptOutcome> {
    let (mut taken, mut on, mut leader) = (false, None, None);
    let (entries, is_whole) = journal(&journal_path(home, runner))?;
    for entry in entries {
        match entry {
            JournalEntry::Taken { attempt_id: t, engine, .. } if t == *attempt_id => {
                (taken, on) = (true, engine)
            }
            JournalEntry::Started { attempt_id: t, pid, at, born } if t == *attempt_id => {
                (taken, leader) = (true, Some(Leader { pid, at, born }));
            }
            JournalEntry::Ended(ended) if ended.attempt_id == *attempt_id => {
                return Ok(AttemptOutcome::Ended(ended));
            }
            _ => {}
        }
    }
    if !taken && is_whole {
        return Ok(AttemptOutcome::NeverBegan);
    }
    if let Some(engine) = on {
        return Ok(AttemptOutcome::Abandoned(engine));
    }
    process::kill_remains(attempt_id, leader);
    Ok(AttemptOutcome::Lost)
}

/// The first process of an attempt that runs on the host, as the journal of its runner has it.
pub fn leader_of(home: &Path, attempt_id: &AttemptId) -> Option<Leader> {
    let files = fs::read_dir(home.join(RUNNERS)).ok()?.flatten();
    let runners = files.filter_map(|file| {
        let name = file.file_name();
        let (id, kind) = name.to_str()?.split_once('.')?;
        RunnerId::parse(id).filter(|_| kind == RUNNER_JOURNAL)
    });
    let entries = runners.filter_map(|runner| journal(&journal_path(home, &runner)).ok());
    entries.flat_map(|(entries, _)| entries).find_map(|entry| match entry {
        JournalEntry::Started { attempt_id: t, pid, at, born } if t == *attempt_id => {
            Some(Leader { pid, at, born })
        }
        _ => None,
    })
}

/// An attempt that a runner has taken, and how it ended, if it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaledAttempt {
    /// The runner that has taken it.
    pub runner: RunnerId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The job's ID.
    pub job: String,
    /// Which attempt of the job it is, from 1 on.
    pub attempt: u32,
    /// Its end.
    pub ended: Option<Ended>,
}

/// The content of the journals of a home, of runners that live and of those that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journals {
    /// All attempts.
    pub taken: Vec<JournaledAttempt>,
    /// A runner with a long journal stores only the newest part: events since this commit.
    pub since: u64,
    /// The journals that are incomplete, or cannot be read.
    pub damaged: Vec<PathBuf>,
}

/// Reads all journals of a home.
///
/// # Errors
/// When their folder cannot be read.
pub fn journals(home: &Path) -> io::Result<Journals> {
    let mut runners = BTreeSet::new();
    for entry in fs::read_dir(home.join(RUNNERS))? {
        let name = entry?.file_name();
        let (id, kind) = name.to_str().and_then(|name| name.split_once('.')).unwrap_or_default();
        runners.extend(RunnerId::parse(id).filter(|_| [RUNNER_JOURNAL, RUNNER_OLD_JOURNAL].contains(&kind)));
    }
    let mut all = Journals::default();
    for runner in runners {
        let mut own: Vec<JournaledAttempt> = Vec::new();
        let path = journal_path(home, &runner);
        let (entries, is_whole) = journal(&path).unwrap_or_else(|e| {
            tracing::warn!("{e}");
            (Vec::new(), false)
        });
        if !is_whole {
            all.damaged.push(path);
        }
        if let Some(JournalEntry::Opened { commit, .. }) = entries.first() {
            all.since = all.since.max(*commit);
        }
        for entry in entries {
            match entry {
                JournalEntry::Taken { attempt_id, job, attempt, .. } => {
                    own.push(JournaledAttempt {
                        runner: runner.clone(),
                        attempt_id,
                        job,
                        attempt,
                        ended: None,
                    });
                }
                JournalEntry::Ended(ended) => {
                    // A runner has one attempt at a time.
                    if let Some(taken) = own.last_mut().filter(|taken| taken.attempt_id == ended.attempt_id) {
                        taken.ended = Some(ended);
                    }
                }
                JournalEntry::Opened { .. } | JournalEntry::Started { .. } => {}
            }
        }
        all.taken.append(&mut own);
    }
    // An entry of an earlier version does not name its job.
    all.taken.retain(|taken| !taken.job.is_empty());
    Ok(all)
}

/// Removes the files of a runner that is gone, once nothing in them matters any more.
pub fn forget(home: &Path, runner: &RunnerId) {
    // One that the last server started may have come up after all, and have taken its lock only
    // now.
    if is_alive(home, runner) {
        return;
    }
    let journal = journal_path(home, runner);
    for path in [old(&journal), journal, lock_path(home, runner)] {
        if let Err(e) = fs::remove_file(&path)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("removing {}: {e}", path.display());
        }
    }
}

/// The entries of a journal and of the one before it, and whether these are all that have been
/// written. A last line without an end is a write that never finished: it does not count.
fn journal(path: &Path) -> io::Result<(Vec<JournalEntry>, bool)> {
    let mut entries = Vec::new();
    let old_is_whole = read(&old(path), &mut entries)?;
    let is_whole = read(path, &mut entries)?;
    Ok((entries, old_is_whole && is_whole))
}

/// Adds the entries of one file. One that is not there has never been.
fn read(path: &Path, entries: &mut Vec<JournalEntry>) -> io::Result<bool> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(named(e)),
    };
    let (mut is_whole, mut lines) = (true, 0_u32);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(named)?;
        if line.last() != Some(&b'\n') {
            // A part of a line is text; anything else was not written by a runner.
            is_whole &= line.is_ascii() && !line.iter().any(u8::is_ascii_control);
            break;
        }
        lines += 1;
        match serde_json::from_slice(&line) {
            Ok(entry) => entries.push(entry),
            Err(e) => {
                tracing::warn!("{}: line {lines} is not an entry: {e}", path.display());
                is_whole = false;
            }
        }
    }
    if lines == 0 {
        tracing::warn!("{}: the journal is empty, and its contents are lost", path.display());
    }
    Ok(is_whole && lines > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::contents::is_name_in;

    fn ended(attempt_id: &AttemptId) -> Ended {
        Ended {
            attempt_id: attempt_id.clone(),
            started_at: Some(1),
            at: 2,
            exit_code: Some(0),
            reason: None,
            timed_out: false,
            lost: false,
            lost_output: None,
            output: Some(3),
            containers: Vec::new(),
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
        let [never, done, lost, abandoned] = std::array::from_fn(|_| AttemptId::random());
        journal.taken(&done, ("a", 1), None).unwrap();
        journal.ended(&ended(&done)).unwrap();
        journal.taken(&lost, ("b:3", 2), None).unwrap();
        journal.taken(&abandoned, ("c", 1), Some("unix:///there")).unwrap();
        journal.lines.append(b"{\"ended\":{\"task\":").unwrap();
        drop(journal);
        assert!(!is_alive(home, &runner));
        assert_eq!(outcome_of(home, &runner, &never).unwrap(), AttemptOutcome::NeverBegan);
        assert_eq!(outcome_of(home, &runner, &done).unwrap(), AttemptOutcome::Ended(ended(&done)));
        assert_eq!(outcome_of(home, &runner, &lost).unwrap(), AttemptOutcome::Lost);
        assert_eq!(
            outcome_of(home, &runner, &abandoned).unwrap(),
            AttemptOutcome::Abandoned("unix:///there".into())
        );
        let attempts = journals(home).unwrap().taken;
        let attempts: Vec<_> =
            attempts.iter().map(|t| (&t.attempt_id, t.job.as_str(), t.attempt, t.ended.as_ref())).collect();
        let end = ended(&done);
        assert_eq!(
            attempts,
            [(&done, "a", 1, Some(&end)), (&lost, "b:3", 2, None), (&abandoned, "c", 1, None)]
        );
        forget(home, &runner);
        assert_eq!(fs::read_dir(home.join(RUNNERS)).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_that_is_damaged_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(RUNNERS)).unwrap();
        let (runner, home) = (RunnerId::random(), dir.path());
        let [done, other] = std::array::from_fn(|_| AttemptId::random());
        let mut journal = Journal::open(home, &runner).unwrap();
        journal.taken(&done, ("a", 1), None).unwrap();
        journal.ended(&ended(&done)).unwrap();
        drop(journal);
        let path = journal_path(home, &runner);
        let whole = fs::read(&path).unwrap();
        assert_eq!(outcome_of(home, &runner, &other).unwrap(), AttemptOutcome::NeverBegan);
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        // A line of noughts is not an entry; neither is one with a byte that was flipped.
        let mut zeroed = whole.clone();
        zeroed[first..first + 20].fill(0);
        let mut flipped = whole.clone();
        flipped[first + 3] ^= 0x80;
        let mut end_zeroed = whole[..first].to_vec();
        end_zeroed.resize(whole.len(), 0);
        for damaged in [zeroed, flipped, end_zeroed, Vec::new()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(outcome_of(home, &runner, &other).unwrap(), AttemptOutcome::Lost);
        }
        // Its first line alone is what a runner has that was never given anything.
        fs::write(&path, &whole[..first]).unwrap();
        assert_eq!(outcome_of(home, &runner, &other).unwrap(), AttemptOutcome::NeverBegan);
    }

    /// A journal may be of an earlier version, and so may the runner at the other end.
    #[test]
    fn an_attempt_is_a_task_in_journals_and_messages() {
        use crate::runner::protocol::Order;
        let attempt_id = AttemptId::from("t".to_owned());
        let started = JournalEntry::Started { attempt_id: attempt_id.clone(), pid: 1, at: 2, born: None };
        let lines = [
            serde_json::to_value(&started).unwrap(),
            serde_json::to_value(JournalEntry::Ended(ended(&attempt_id))).unwrap()["ended"]["task"].clone(),
            serde_json::to_value(Order::Stop { attempt_id: attempt_id.clone() }).unwrap(),
            serde_json::to_value(Order::Forget { attempt_id, commit: 3 }).unwrap(),
        ];
        let expected = [
            serde_json::json!({"started": {"task": "t", "pid": 1, "at": 2, "born": null}}),
            serde_json::json!("t"),
            serde_json::json!({"stop": {"task": "t"}}),
            serde_json::json!({"forget": {"task": "t", "commit": 3}}),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_long_journal_is_followed_by_another_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(RUNNERS)).unwrap();
        let (runner, home) = (RunnerId::random(), dir.path());
        let mut journal = Journal::open(home, &runner).unwrap();
        let mut commit = 0;
        let attempt_ids: Vec<AttemptId> = (0..12_000).map(|_| AttemptId::random()).collect();
        for attempt_id in &attempt_ids {
            journal.taken(attempt_id, ("a", 1), None).unwrap();
            journal.ended(&ended(attempt_id)).unwrap();
            commit += 1;
            journal.all_forgotten(commit);
        }
        let path = journal_path(home, &runner);
        for path in [&path, &old(&path)] {
            assert!((1..LONG + 1000).contains(&fs::metadata(path).unwrap().len()));
        }
        for entry in fs::read_dir(home.join(RUNNERS)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(is_name_in(RUNNERS, &name), "{name}");
        }
        drop(journal);
        let all = journals(home).unwrap();
        let attempts = all.taken;
        // All that has happened since that commit is there.
        assert_eq!(u64::try_from(attempts.len()).unwrap(), commit - all.since);
        assert!(attempts.len() > 2000 && attempts.len() < attempt_ids.len(), "{}", attempts.len());
        assert_eq!(attempts.last().map(|t| &t.attempt_id), attempt_ids.last());
        let last = attempt_ids.last().unwrap();
        assert_eq!(outcome_of(home, &runner, last).unwrap(), AttemptOutcome::Ended(ended(last)));
        forget(home, &runner);
        assert_eq!(fs::read_dir(home.join(RUNNERS)).unwrap().count(), 0);
    }
}
