//! How many commits a database has had, also written beside it.
//!
//! After an unclean end SQLite reads its write-ahead log up to the first frame whose checksum is wrong, and
//! takes that for all there is: a damaged log, or an older copy of the file, goes back in time without a
//! word. So the number of commits is in two places: in a row of the database and in a small file beside it. A
//! database that has fewer than the file says has lost the difference.
//!
//! The row is written in each transaction that changes something. The file is overwritten after it, in the
//! page cache only: that survives the end of this process. The end of the machine may take commits that
//! were not synced, so the file has two numbers: all commits, and those that were on the disk.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::{Connection, Transaction};

/// What the name of the file has after the name of the database.
const SUFFIX: &str = "-commits";

/// What the file beside a database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The number of commits.
    pub(super) commits: u64,
    /// How many of them were on the disk.
    pub(super) durable: u64,
    /// The database's file, if it was closed and had all commits in it.
    pub(super) closed: Option<Stamp>,
}

/// Tells whether a file has been written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    /// Nanoseconds since the epoch.
    modified: i128,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Ok(Self { length: meta.len(), modified })
    }
}

impl Record {
    /// What is written beside a database; `None` when nothing is, or nothing that can be read.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(super) fn read(database: &Path) -> io::Result<Option<Self>> {
        match fs::read(path_of(database)) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [commits, durable, length, modified] = fields[..] else { return None };
        let closed = match (length, modified) {
            ("-", "-") => None,
            _ => Some(Stamp { length: length.parse().ok()?, modified: modified.parse().ok()? }),
        };
        Some(Self { commits: commits.parse().ok()?, durable: durable.parse().ok()?, closed })
    }

    /// Always as long as the one before, so that writing it anew never takes room on the disk.
    fn text(&self) -> String {
        let (length, modified) = match self.closed {
            Some(stamp) => (stamp.length.to_string(), stamp.modified.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        format!("{:>20} {:>20} {length:>20} {modified:>24}\n", self.commits, self.durable)
    }
}

/// The file beside a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// Counts the commits of one database; only whoever writes to it has this.
#[derive(Debug)]
pub struct Commits {
    path: PathBuf,
    file: File,
    commits: AtomicU64,
    durable: AtomicU64,
    /// The database has less than the file says, and what follows from that is not in it yet.
    behind: AtomicBool,
    /// The file could not be written the last time.
    failed: AtomicBool,
}

impl Commits {
    /// Readies the count of a database that has had `found` commits.
    ///
    /// # Errors
    /// When the file beside it cannot be written.
    pub(super) fn open(database: &Path, found: u64, record: Option<Record>) -> io::Result<Self> {
        let path = path_of(database);
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(false).mode(0o600).open(&path)?;
        let behind = record.is_some_and(|record| record.commits > found);
        let durable = record.map_or(0, |record| record.durable.min(found));
        let commits = Self {
            path,
            file,
            commits: AtomicU64::new(found),
            durable: AtomicU64::new(durable),
            behind: AtomicBool::new(behind),
            failed: AtomicBool::new(false),
        };
        if let Some(record) = record.filter(|_| behind) {
            // Until that is dealt with, the file goes on to say how much there was.
            commits.write(&Record { closed: None, ..record })?;
        } else {
            commits.write(&commits.record())?;
        }
        Ok(commits)
    }

    fn record(&self) -> Record {
        Record {
            commits: self.commits.load(Ordering::Relaxed),
            durable: self.durable.load(Ordering::Relaxed),
            closed: None,
        }
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        self.file.write_all_at(record.text().as_bytes(), 0)
    }

    /// Counts the transaction that is open. To be called in each that changes something, before its end.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn count(&self, db: &Connection) -> rusqlite::Result<()> {
        let next = self.commits.load(Ordering::Relaxed) + 1;
        let next = i64::try_from(next).unwrap_or(i64::MAX);
        db.prepare_cached("UPDATE commits SET count = ?1")?.execute([next]).map(|_| ())
    }

    /// The transaction that was counted has been committed, and is on the disk if it was `durable`.
    pub fn committed(&self, durable: bool) {
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if durable {
            self.durable.store(commits, Ordering::Relaxed);
        }
        self.tell();
    }

    /// All that has been committed is on the disk now.
    pub fn synced(&self) {
        self.durable.store(self.commits.load(Ordering::Relaxed), Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        if self.behind.load(Ordering::Relaxed) {
            return;
        }
        let outcome = self.write(&self.record());
        // Said once. A number that is too low raises no false alarm.
        if self.failed.swap(outcome.is_err(), Ordering::Relaxed) != outcome.is_err()
            && let Err(e) = outcome
        {
            note!("writing {}: {e}", self.path.display());
        }
    }

    /// Commits a transaction, counted; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn commit(&self, tx: Transaction<'_>) -> rusqlite::Result<()> {
        self.count(&tx)?;
        tx.commit()?;
        self.committed(true);
        Ok(())
    }

    /// The transaction that is open has what follows from the loss of commits: with its end the file says
    /// what the database has, and a later start has nothing to make up for.
    pub fn made_up_for(&self) {
        self.behind.store(false, Ordering::Relaxed);
    }
}

/// Commits that a database has had and does not have any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The database.
    pub file: PathBuf,
    /// How many.
    pub commits: u64,
    /// Whether some of them were on the disk for certain.
    pub were_durable: bool,
}

impl Missing {
    pub(super) fn of(file: &Path, found: u64, record: Option<Record>) -> Option<Self> {
        let record = record.filter(|record| record.commits > found)?;
        Some(Self {
            file: file.to_owned(),
            commits: record.commits - found,
            were_durable: record.durable > found,
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, commits) = (self.file.display(), self.commits);
        let plural = if commits == 1 { "" } else { "s" };
        write!(f, "{file} has lost its last {commits} transaction{plural}: ")?;
        match self.were_durable {
            true => write!(f, "{file}-wal is damaged, or the file is an older copy"),
            false => {
                write!(f, "the machine went down before they were on the disk, or {file}-wal is damaged")
            }
        }
    }
}

/// Notes that a database has been closed with all commits in its file.
pub(super) fn close(database: &Path) -> io::Result<()> {
    let Some(record) = Record::read(database)? else { return Ok(()) };
    let file = OpenOptions::new().write(true).open(path_of(database))?;
    let closed = Record { durable: record.commits, closed: Some(Stamp::of(database)?), ..record };
    file.write_all_at(closed.text().as_bytes(), 0)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            commits: u64,
            durable: u64,
            stamp in proptest::option::of((any::<u64>(), any::<i64>())),
        ) {
            let closed = stamp.map(|(length, modified)| Stamp { length, modified: i128::from(modified) });
            let record = Record { commits, durable, closed };
            prop_assert_eq!(Record::parse(&record.text()), Some(record));
            prop_assert_eq!(record.text().len(), Record::default().text().len());
        }

        #[test]
        fn whatever_is_in_the_file_is_a_record_or_none(text: String) {
            let _ = Record::parse(&text);
        }
    }
}
