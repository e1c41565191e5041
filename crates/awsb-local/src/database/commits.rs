//! How many commits a database has had, also written in two places outside it.
//!
//! After an unclean end SQLite reads its write-ahead log up to the first frame whose checksum is
//! wrong, and takes that for all there is: a damaged log, or an older copy of the file, goes back
//! in time without a word. So the number of commits is in three places: in a row of the database,
//! in a small file beside it, and in a copy of that file in the folder of the runners' journals,
//! for the case that the database is put back together with what is beside it. A database that has
//! fewer than one of the files says has lost the difference.
//!
//! The row is written in each transaction that changes something. The files are overwritten after
//! it, in the page cache only: that survives the end of this process. The end of the machine may
//! lose commits that were not synced, so the files have two numbers: all commits, and those that
//! were on the disk. A third number says since which commit the runners' journals have everything
//! that has happened to jobs.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::{Connection, Transaction};
use sha2::{Digest, Sha256};

use crate::home::contents;
use crate::home::files::{COMMITS_SUFFIX, RUNNERS};
use awsb_model::words;

/// The content of the files outside a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The number of commits.
    pub(super) commits: u64,
    /// How many of them were on the disk.
    pub(super) durable: u64,
    /// The runners' journals have what has happened to jobs since this commit.
    pub(super) journaled: u64,
    /// Whether there is a copy in the runners' folder.
    pub(super) is_copied: bool,
    /// The database's file, if it was closed and had all commits in it.
    pub(super) closed: Option<Stamp>,
}

/// Detects whether a file has been written since.
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
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (commits, durable, journaled, is_copied, length, modified) = match fields[..] {
            [commits, durable, journaled, copies, length, modified, sum] => {
                let summed = text.trim_end().strip_suffix(sum)?;
                if sum != sum_of(summed) {
                    return None;
                }
                (commits, durable, journaled.parse().ok()?, copies == "2", length, modified)
            }
            // Of an earlier version, which did not say when it has last removed a journal.
            [commits, durable, length, modified] => (commits, durable, 0, false, length, modified),
            _ => return None,
        };
        let closed = match (length, modified) {
            ("-", "-") => None,
            _ => Some(Stamp { length: length.parse().ok()?, modified: modified.parse().ok()? }),
        };
        let (commits, durable) = (commits.parse().ok()?, durable.parse().ok()?);
        Some(Self { commits, durable, journaled, is_copied, closed })
    }

    /// Always of the same length, so that writing it again never takes more space on the disk.
    fn text(&self) -> String {
        let (length, modified) = match self.closed {
            Some(stamp) => (stamp.length.to_string(), stamp.modified.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let (commits, durable, journaled) = (self.commits, self.durable, self.journaled);
        let copies = if self.is_copied { 2 } else { 1 };
        let text =
            format!("{commits:>20} {durable:>20} {journaled:>20} {copies} {length:>20} {modified:>24} ");
        let sum = sum_of(&text);
        format!("{text}{sum}\n")
    }
}

/// Distinguishes a number that has been changed by accident from one that was written.
fn sum_of(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

/// The state of one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileState {
    Nothing,
    Garbled,
    Record(Record),
}

impl FileState {
    fn read(path: &Path) -> io::Result<Self> {
        match contents::read(path) {
            Ok(text) => {
                let record = Record::parse(&String::from_utf8_lossy(&text));
                Ok(record.map_or(Self::Garbled, Self::Record))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::Nothing),
            // Something else has been put in its place.
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => Ok(Self::Garbled),
            Err(e) => Err(e),
        }
    }

    fn record(self) -> Option<Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing | Self::Garbled => None,
        }
    }
}

/// The knowledge of a database's commits outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    beside: FileState,
    copy: FileState,
}

impl Witness {
    /// Reads the file beside a database and its copy.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    pub(super) fn read(database: &Path) -> io::Result<Self> {
        Ok(Self { beside: FileState::read(&path_of(database))?, copy: FileState::read(&copy_of(database))? })
    }

    /// The last known state, as far as one of the files has it.
    pub(super) fn record(&self) -> Option<Record> {
        let records = [self.beside, self.copy].map(FileState::record).into_iter().flatten();
        records.reduce(|a, b| Record {
            durable: a.durable.max(b.durable),
            journaled: a.journaled.max(b.journaled),
            ..if b.commits > a.commits { b } else { a }
        })
    }

    /// The files of a database that are gone or cannot be read although it has had commits, and the
    /// reason for each.
    pub(super) fn harm(&self, database: &Path) -> Option<String> {
        let was_copied = self.beside.record().is_none_or(|record| record.is_copied);
        let files = [(self.beside, path_of(database), true), (self.copy, copy_of(database), was_copied)];
        let harm = files.into_iter().filter_map(|(found, path, is_expected)| match found {
            FileState::Nothing if is_expected => Some(format!("{} is gone", path.display())),
            FileState::Garbled => Some(format!("{} is damaged", path.display())),
            FileState::Nothing | FileState::Record(_) => None,
        });
        let harm: Vec<String> = harm.collect();
        (!harm.is_empty()).then(|| harm.join(", and "))
    }
}

/// The file beside a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(COMMITS_SUFFIX);
    name.into()
}

/// The copy of that file. It lies where nobody looks for a database who puts an older one back.
pub(super) fn copy_of(database: &Path) -> PathBuf {
    let folder = database.parent().unwrap_or(Path::new("")).join(RUNNERS);
    path_of(&folder.join(database.file_name().unwrap_or_default()))
}

fn open_copy(database: &Path) -> io::Result<File> {
    let path = copy_of(database);
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    contents::open_to_write(OpenOptions::new().create(true).write(true).truncate(false), &path)
}

/// Counts the commits of one database. Only its writer has this.
#[derive(Debug)]
pub struct Commits {
    path: PathBuf,
    file: File,
    /// The copy, unless it cannot be made.
    copy: Option<File>,
    commits: AtomicU64,
    durable: AtomicU64,
    journaled: AtomicU64,
    /// The number of commits in the files while the database has fewer, or while the files have no
    /// number. The consequences are not in the database yet.
    ahead: AtomicU64,
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
        let copy = open_copy(database)
            .inspect_err(|e| tracing::warn!("there is no copy of {}: {e}", path.display()))
            .ok();
        let mut options = OpenOptions::new();
        let file = contents::open_to_write(options.create(true).write(true).truncate(false), &path)?;
        let is_behind = |record: &Record| record.commits > found;
        let ahead = match record {
            // Nothing says how much there was.
            None => found,
            Some(record) => Some(record.commits).filter(|commits| *commits > found).unwrap_or(0),
        };
        let durable = record.map_or(0, |record| record.durable.min(found));
        let commits = Self {
            path,
            file,
            copy,
            commits: AtomicU64::new(found),
            durable: AtomicU64::new(durable),
            journaled: AtomicU64::new(record.map_or(0, |record| record.journaled)),
            ahead: AtomicU64::new(ahead),
            failed: AtomicBool::new(false),
        };
        match record.filter(is_behind) {
            // Until that is dealt with, the files go on to say how much there was, or that nobody
            // knows.
            Some(record) => {
                commits.write(&Record { closed: None, is_copied: commits.copy.is_some(), ..record })?;
            }
            None if ahead > 0 => {}
            None => commits.write(&commits.record())?,
        }
        Ok(commits)
    }

    fn record(&self) -> Record {
        Record {
            commits: self.commits.load(Ordering::Relaxed),
            durable: self.durable.load(Ordering::Relaxed),
            journaled: self.journaled.load(Ordering::Relaxed),
            is_copied: self.copy.is_some(),
            closed: None,
        }
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let text = record.text();
        // The copy first: while it is not there, nothing says that it should be.
        if let Some(copy) = &self.copy {
            copy.write_all_at(text.as_bytes(), 0)?;
        }
        self.file.write_all_at(text.as_bytes(), 0)
    }

    /// The number of the transaction that is committed next.
    pub fn next(&self) -> u64 {
        self.commits.load(Ordering::Relaxed) + 1
    }

    /// Journals are about to be removed. Their content is in the database's own file; from now on
    /// only new events are certain to be in a journal.
    pub fn journals_removed(&self) {
        self.journaled.store(self.commits.load(Ordering::Relaxed), Ordering::Relaxed);
        self.notify();
    }

    /// Counts the transaction that is open. To be called in each that changes something, before its
    /// end.
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
        self.notify();
    }

    /// All that has been committed is on the disk now.
    pub fn synced(&self) {
        self.durable.store(self.commits.load(Ordering::Relaxed), Ordering::Relaxed);
        self.notify();
    }

    fn notify(&self) {
        if self.ahead.load(Ordering::Relaxed) > 0 {
            return;
        }
        let outcome = self.write(&self.record());
        // Logged once. A number that is too low raises no false alarm.
        if self.failed.swap(outcome.is_err(), Ordering::Relaxed) != outcome.is_err()
            && let Err(e) = outcome
        {
            tracing::warn!("writing {}: {e}", self.path.display());
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

    /// The transaction that is open has what follows from the loss of commits: with its end the
    /// files say what the database has, and a later start has nothing to make up for. Its number is
    /// one that has never been: the journals that there are tell of lost ones.
    pub fn losses_recovered(&self) {
        let ahead = self.ahead.swap(0, Ordering::Relaxed);
        self.commits.fetch_max(ahead, Ordering::Relaxed);
    }
}

/// A loss: commits that a database has had and does not have any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The database.
    pub file: PathBuf,
    /// The evidence of the loss.
    pub sign: Sign,
    /// The runners' journals have all that has happened to jobs since the last commit that is
    /// there.
    pub is_journaled: bool,
}

/// The evidence that something is missing in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It has fewer commits than it had.
    Commits {
        /// How many are missing.
        lost: u64,
        /// Whether some of them were on the disk for certain.
        were_durable: bool,
    },
    /// Nothing says how many commits it had, so it may be an older copy.
    Nothing,
    /// The runners' journals know of attempts of which it does not.
    Journals,
}

impl Missing {
    pub(super) fn of(file: &Path, found: u64, record: Option<Record>) -> Option<Self> {
        let sign = match record {
            None if found > 0 => Sign::Nothing,
            Some(record) if record.commits > found => {
                Sign::Commits { lost: record.commits - found, were_durable: record.durable > found }
            }
            _ => return None,
        };
        let is_journaled = record.is_some_and(|record| record.journaled <= found);
        Some(Self { file: file.to_owned(), sign, is_journaled })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.sign {
            Sign::Commits { lost, were_durable } => {
                write!(f, "{file} has lost its last {}: ", words::many(lost, "transaction"))?;
                match were_durable {
                    true => write!(f, "{file}-wal is damaged, or the file is an older copy"),
                    false => write!(
                        f,
                        "the machine went down before they were on the disk, {file}-wal is damaged, or the file is \
                         an older copy"
                    ),
                }
            }
            Sign::Nothing => write!(f, "{file} may be an older copy: nothing records how much it had"),
            Sign::Journals => {
                write!(f, "{file} is an older copy: the runners' journals have more than it has")
            }
        }
    }
}

/// Notes that a database has been closed with all commits in its file.
pub(super) fn close(database: &Path) -> io::Result<()> {
    let Some(record) = Witness::read(database)?.record() else { return Ok(()) };
    let closed = Record { durable: record.commits, closed: Some(Stamp::of(database)?), ..record };
    let copy = if record.is_copied { open_copy(database).map(Some)? } else { None };
    let file = OpenOptions::new().write(true).open(path_of(database))?;
    for file in copy.iter().chain([&file]) {
        file.write_all_at(closed.text().as_bytes(), 0)?;
        file.sync_all()?;
    }
    Ok(())
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
            journaled: u64,
            is_copied: bool,
            stamp in proptest::option::of((any::<u64>(), any::<i64>())),
        ) {
            let closed = stamp.map(|(length, modified)| Stamp { length, modified: i128::from(modified) });
            let record = Record { commits, durable, journaled, is_copied, closed };
            prop_assert_eq!(Record::parse(&record.text()), Some(record));
            prop_assert_eq!(record.text().len(), Record::default().text().len());
        }

        #[test]
        fn a_record_with_a_changed_byte_is_none(
            commits in 0..100_000_u64,
            at: proptest::sample::Index,
            bit in 0..7_u32,
        ) {
            let text = Record { commits, durable: commits, is_copied: true, ..Record::default() }.text();
            let mut bytes = text.clone().into_bytes();
            bytes[at.index(text.len() - 1)] ^= 1 << bit;
            prop_assert_eq!(Record::parse(&String::from_utf8_lossy(&bytes)), None);
        }

        #[test]
        fn a_record_of_an_earlier_version_is_read(commits: u64, durable: u64) {
            let record = Record { commits, durable, ..Record::default() };
            let text = format!("{commits:>20} {durable:>20} {:>20} {:>24}\n", "-", "-");
            prop_assert_eq!(Record::parse(&text), Some(record));
        }

        #[test]
        fn whatever_is_in_the_file_is_a_record_or_none(text: String) {
            let _ = Record::parse(&text);
        }
    }
}
