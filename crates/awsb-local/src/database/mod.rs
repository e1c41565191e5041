//! SQLite as we use it: durable, one writer and many readers, with a schema version; and never
//! taken for whole when it is not.

mod commits;
pub mod lossy;
mod space;

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::home::files::ENDPOINT;
use crate::log::add_warning;
pub use commits::{Commits, Missing, Sign};
use commits::{Stamp, Witness};
pub use space::{no_space, no_space_within};

/// How long a statement waits for the locks of others.
const BUSY: Duration = Duration::from_secs(5);

/// A database that is open for writing.
#[derive(Debug)]
pub struct Opened {
    /// The one connection that writes.
    pub db: Connection,
    /// Counts what it commits.
    pub commits: Commits,
    /// The loss at its end, if there is one.
    pub missing: Option<Missing>,
    /// The damage of the files that record its number of commits, if there is any.
    pub harm: Option<String>,
}

impl Opened {
    /// Accepts a database without what is missing, and adds a warning.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn accept(mut self, warnings: &mut Vec<String>, of_what: &str) -> io::Result<(Connection, Commits)> {
        report_damage(self.harm.take(), warnings);
        if let Some(missing) = &self.missing {
            add_warning(warnings, format!("{missing}: some {of_what} that had been stored are missing"));
            let file = missing.file.clone();
            self.commits.losses_recovered();
            let outcome = self.db.transaction().and_then(|tx| self.commits.commit(tx));
            outcome.map_err(|e| explained(&file, e))?;
        }
        Ok((self.db, self.commits))
    }
}

/// Warns of damage to the files that record the number of commits. They are written again.
pub fn report_damage(harm: Option<String>, warnings: &mut Vec<String>) {
    if let Some(harm) = harm {
        let meaning = "it distinguishes the last state of a database from an older copy";
        add_warning(warnings, format!("{harm} ({meaning}), and is created again"));
    }
}

/// The schema of a database, and how to check whether it is intact.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    /// Each leads to the next version of the schema. The version is SQLite's `user_version`: the
    /// number of migrations that have been applied.
    pub migrations: &'a [&'a str],
    /// The tables that decide what happens: in a large database, these alone are checked.
    pub decisive: &'a [&'a str],
    /// Queries that find what cannot be and say what that is.
    pub contradictions: &'a [&'a str],
}

/// A database of more bytes is not checked as a whole: 170 MB take 0.3 seconds from the page cache.
const LARGE: u64 = 192 << 20;

/// Opens a database for writing and brings its schema up to date. After an unclean end, and when
/// the file has been written to since it was closed, it is checked first.
///
/// # Errors
/// [`Damage`] when what is there is not all that was, or not what was written. Other errors when
/// the file cannot be read or written, or when a newer version of awsb wrote it.
pub fn open(path: &Path, schema: &Schema<'_>) -> io::Result<Opened> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let witness = Witness::read(path).map_err(named)?;
    let record = witness.record();
    let length = match fs::metadata(path) {
        Ok(meta) => Some(meta.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(named(e)),
    };
    let was_served =
        record.is_some_and(|record| record.commits > 0) || path.with_file_name(ENDPOINT).exists();
    match length {
        None if was_served => return Err(damage(path, "the file is gone, and its contents are lost")),
        Some(0) if was_served => {
            return Err(damage(path, "the file is empty (0 bytes), and its contents are lost"));
        }
        _ => {}
    }
    let wal = fs::metadata(beside(path, "-wal")).map_or(0, |meta| meta.len());
    let closed = record.and_then(|record| record.closed);
    let is_clean = wal == 0 && closed.is_some() && closed == Stamp::of(path).ok();
    make_private(path).map_err(named)?;
    let mut db = Connection::open(path).map_err(|e| explained(path, e))?;
    db.busy_timeout(BUSY).map_err(|e| explained(path, e))?;
    if !is_clean && length.unwrap_or(0) > 0 {
        check(path, &db, schema, length.unwrap_or(0) + wal)?;
    }
    migrate(&mut db, schema.migrations).map_err(|e| match e.downcast::<rusqlite::Error>() {
        Ok(e) => explained(path, *e),
        Err(e) => io::Error::other(format!("{}: {e}", path.display())),
    })?;
    let found = count(&mut db).map_err(|e| explained(path, e))?;
    let missing = Missing::of(path, found, record);
    let commits = Commits::open(path, found, record).map_err(named)?;
    db.set_prepared_statement_cache_capacity(64);
    let harm = witness.harm(path).filter(|_| found > 0);
    Ok(Opened { db, commits, missing, harm })
}

/// Looks whether a database is whole: its pages (SQLite's `quick_check`), then what its rows say.
fn check(path: &Path, db: &Connection, schema: &Schema<'_>, length: u64) -> io::Result<()> {
    let quick = |table: Option<&str>| -> io::Result<()> {
        let query =
            table.map_or("PRAGMA quick_check".to_owned(), |table| format!("PRAGMA quick_check({table})"));
        let found = db.query_row(&query, [], |row| row.get::<_, String>(0));
        match found.map_err(|e| explained(path, e))? {
            found if found == "ok" => Ok(()),
            found => Err(damage(path, &format!("SQLite's quick_check says: {found}"))),
        }
    };
    // Before the first migration there is nothing to ask. That also makes what other connections
    // need.
    let version: i64 =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| explained(path, e))?;
    let contradictions = if version > 0 { schema.contradictions } else { &[] };
    std::thread::scope(|threads| {
        let others = std::thread::Builder::new().spawn_scoped(threads, || contradict(path, contradictions));
        match length > LARGE && !schema.decisive.is_empty() {
            true => schema.decisive.iter().try_for_each(|table| quick(Some(table)))?,
            false => quick(None)?,
        }
        match others.map(|thread| thread.join()) {
            Ok(Ok(outcome)) => outcome,
            // There was no thread for it, or it has come to nothing.
            Ok(Err(_)) | Err(_) => contradict(path, contradictions),
        }
    })
}

/// Asks a database whether it has what cannot be.
fn contradict(path: &Path, contradictions: &[&str]) -> io::Result<()> {
    let db = reader(path).map_err(|e| explained(path, e))?;
    for query in contradictions {
        let found = db.query_row(query, [], |row| row.get::<_, String>(0));
        match found {
            Ok(what) => return Err(damage(path, &what)),
            Err(rusqlite::Error::QueryReturnedNoRows) => {}
            // A query for a later schema; the migrations lead there.
            Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == ErrorCode::Unknown => {}
            Err(e) => return Err(explained(path, e)),
        }
    }
    Ok(())
}

fn migrate(database: &mut Connection, migrations: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    // WAL: readers never wait for the writer. FULL: a commit is on the disk when it returns.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    sync_for_certain(database)?;
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version)?;
    if version > migrations.len() {
        return Err(format!(
            "written by a newer version of awsb (schema {version}, this one knows {}); \
             use that version, or another folder",
            migrations.len()
        )
        .into());
    }
    for (number, migration) in migrations.iter().enumerate().skip(version) {
        let tx = database.transaction()?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", u32::try_from(number + 1)?)?;
        tx.commit()?;
    }
    Ok(())
}

/// On macOS fsync leaves the data in the drive's cache; elsewhere these two do nothing (SQLite,
/// "PRAGMA fullfsync").
fn sync_for_certain(database: &Connection) -> rusqlite::Result<()> {
    database.pragma_update(None, "fullfsync", true)?;
    database.pragma_update(None, "checkpoint_fullfsync", true)
}

/// How many commits the database has had.
fn count(db: &mut Connection) -> rusqlite::Result<u64> {
    let tx = db.transaction()?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS commits (count INTEGER NOT NULL);
         INSERT INTO commits SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM commits);",
    )?;
    let count: i64 = tx.query_row("SELECT count FROM commits", [], |row| row.get(0))?;
    tx.commit()?;
    Ok(count.unsigned_abs())
}

/// Copies what is in the write-ahead log into the database's file as far as it can be without
/// waiting for readers; `true` when nothing is left.
///
/// # Errors
/// When the file cannot be written.
pub fn checkpoint(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, pages, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && pages == copied)
    })
}

/// When all who write to a database have gone: everything goes into its file, so that a copy of it
/// is complete, and the next start knows that it is.
///
/// # Errors
/// When the file cannot be written, or somebody still reads what is older. Then the next start
/// checks it.
pub fn close(path: &Path) -> io::Result<()> {
    let all = || -> rusqlite::Result<bool> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(Duration::from_millis(500))?;
        sync_for_certain(&db)?;
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
    };
    match all().map_err(|e| explained(path, e))? {
        true => commits::close(path),
        false => Err(io::Error::other(format!("{}: it is still being read", path.display()))),
    }
}

/// A connection that only reads; the database has been opened for writing before.
///
/// # Errors
/// When it cannot be opened.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    database.busy_timeout(BUSY)?;
    database.set_prepared_statement_cache_capacity(64);
    Ok(database)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the file, if it is not there, for this user's eyes only; SQLite gives the same mode to
/// those beside it. A file that an earlier version left open to others is closed to them. No file
/// is opened that is there: closing it would give up SQLite's locks on it (POSIX, fcntl).
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    for file in ["", "-wal", "-shm"].map(|suffix| beside(path, suffix)) {
        match fs::metadata(&file) {
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// A file that has not what was written to it. No server starts with it: jobs could run twice, or
/// be lost.
#[derive(Debug)]
pub struct Damage {
    file: PathBuf,
    why: String,
}

impl Damage {
    /// The steps that mend it, one on each line.
    pub fn hints(&self) -> [String; 2] {
        let file = self.file.display();
        [
            format!("if there is a copy of {file}: put it there and remove {file}-wal and {file}-shm"),
            "otherwise `blocal reset` starts again: it ends all jobs and removes them, their logs and their \
             results"
                .to_owned(),
        ]
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for Damage {}

fn damage(path: &Path, why: &str) -> io::Error {
    io::Error::other(Damage { file: path.to_owned(), why: why.to_owned() })
}

/// Whether an error says that a file has not what was written to it.
pub fn is_damage(e: &rusqlite::Error) -> bool {
    match e {
        rusqlite::Error::SqliteFailure(e, _) => {
            matches!(e.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Whether an error says that the disk cannot be read or written.
pub fn is_of_disk(e: &rusqlite::Error) -> bool {
    e.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// A database error with the file's name.
pub fn explained(path: &Path, e: rusqlite::Error) -> io::Error {
    if is_damage(&e) {
        return damage(path, &e.to_string());
    }
    let file = path.display();
    io::Error::other(match is_of_disk(&e) {
        true => format!("{file}: the disk or its file system fails: {e}; the system's log says more"),
        false => format!("{file}: {e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 2] = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];

    fn open(path: &Path, migrations: &[&str], contradictions: &[&str]) -> io::Result<Opened> {
        crate::database::open(path, &Schema { migrations, decisive: &["a"], contradictions })
    }

    fn refused(path: &Path) -> String {
        let error = open(path, &STEPS, &[]).unwrap_err();
        assert!(error.get_ref().is_some_and(|e| e.is::<Damage>()), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        error.to_string()
    }

    /// A database with a commit in it, whose writer has gone without a word.
    fn written(path: &Path) {
        let Opened { mut db, commits, .. } = open(path, &STEPS, &[]).unwrap();
        for _ in 0..20 {
            let tx = db.transaction().unwrap();
            tx.execute("INSERT INTO a VALUES (?1)", ["text ".repeat(1000)]).unwrap();
            commits.commit(tx).unwrap();
        }
        // As SIGKILL leaves it: the log stays beside the file.
        let kept = ["", "-wal"].map(|suffix| (beside(path, suffix), fs::read(beside(path, suffix)).unwrap()));
        drop(db);
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }

    #[test]
    fn migrations_are_applied_once_and_a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        open(&path, &STEPS[..1], &[]).unwrap();
        open(&path, &STEPS, &[]).unwrap();
        open(&path, &STEPS, &[]).unwrap();
        let error = open(&path, &STEPS[..1], &[]).unwrap_err();
        assert!(error.to_string().contains("newer version of awsb"), "{error}");
        fs::write(&path, "no database at all, but long enough to be read as one: ".repeat(40)).unwrap();
        assert!(refused(&path).contains("not a database"));
    }

    #[test]
    fn a_file_that_is_gone_or_empty_is_not_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        // A first start that did not come far.
        fs::write(&path, "").unwrap();
        written(&path);
        fs::remove_file(&path).unwrap();
        assert!(refused(&path).contains("the file is gone"));
        fs::write(&path, "").unwrap();
        assert!(refused(&path).contains("0 bytes"));
        // Also where nothing counted its commits, but a server has served it.
        fs::remove_file(commits::path_of(&path)).unwrap();
        fs::write(dir.path().join(ENDPOINT), "{}").unwrap();
        assert!(refused(&path).contains("0 bytes"));
    }

    #[test]
    fn a_log_that_is_damaged_or_gone_takes_no_commit_without_a_word() {
        type Harm = fn(&Path, Vec<u8>);
        let harms: [(Harm, u64); 4] = [
            (|wal, bytes| fs::write(wal, bytes).unwrap(), 0),
            // Frames have 24 bytes more than a page; the log's head has 32 (SQLite, "WAL-mode File
            // Format").
            (
                |wal, mut bytes| {
                    let at = bytes.len() / 2;
                    bytes[at..at + 4096].fill(0);
                    fs::write(wal, bytes).unwrap();
                },
                5,
            ),
            (|wal, bytes| fs::write(wal, &bytes[..bytes.len() - 100]).unwrap(), 1),
            (|wal, _| fs::remove_file(wal).unwrap(), 20),
        ];
        for (number, (harm, least)) in harms.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("db");
            written(&path);
            let wal = beside(&path, "-wal");
            harm(&wal, fs::read(&wal).unwrap());
            let opened = open(&path, &STEPS, &[]).unwrap();
            let lost = |opened: &Opened| match opened.missing.as_ref().map(|missing| missing.sign) {
                Some(Sign::Commits { lost, were_durable: true }) => lost,
                None => 0,
                other => panic!("{other:?}"),
            };
            let (missing, lost_now) = (&opened.missing, lost(&opened));
            assert!(if least == 0 { lost_now == 0 } else { lost_now >= least }, "{number}: {missing:?}");
            if least == 0 {
                continue;
            }
            // Until that has been dealt with, every start finds the same.
            drop(opened);
            let opened = open(&path, &STEPS, &[]).unwrap();
            assert_eq!(lost(&opened), lost_now);
            let mut warnings = Vec::new();
            drop(opened.accept(&mut warnings, "rows").unwrap());
            assert!(warnings[0].contains("has lost its last"), "{warnings:?}");
            assert_eq!(open(&path, &STEPS, &[]).unwrap().missing, None);
        }
    }

    /// All that there is of a database, but for the copy of its count.
    fn files_of(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let files = ["", "-wal", "-commits"].map(|suffix| beside(path, suffix));
        files.into_iter().filter_map(|file| Some((file.clone(), fs::read(file).ok()?))).collect()
    }

    #[test]
    fn a_database_that_is_put_back_with_its_count_is_an_older_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        written(&path);
        let old = files_of(&path);
        written(&path);
        let last = files_of(&path);
        for (file, bytes) in &old {
            fs::write(file, bytes).unwrap();
        }
        for _ in 0..2 {
            let opened = open(&path, &STEPS, &[]).unwrap();
            let sign = opened.missing.as_ref().map(|missing| missing.sign);
            assert_eq!(sign, Some(Sign::Commits { lost: 20, were_durable: true }));
        }
        // The next commit has a number that none of the lost ones had.
        let mut warnings = Vec::new();
        let (_, commits) = open(&path, &STEPS, &[]).unwrap().accept(&mut warnings, "rows").unwrap();
        assert_eq!((warnings.len(), commits.next()), (1, 42));
        drop(commits);
        // Neither is the last state of before a copy of the one that came of it.
        for (file, bytes) in &last {
            fs::write(file, bytes).unwrap();
        }
        assert!(open(&path, &STEPS, &[]).unwrap().missing.is_some());
    }

    #[test]
    fn counts_that_are_gone_or_garbled_are_said_to_be() {
        type Harm = fn(&Path);
        let harms: [(Harm, &str); 3] = [
            (|file| fs::remove_file(file).unwrap(), "is gone"),
            (|file| fs::write(file, "").unwrap(), "is damaged"),
            (
                |file| {
                    let text = fs::read_to_string(file).unwrap();
                    fs::write(file, text.replacen("20", "21", 1)).unwrap();
                },
                "is damaged",
            ),
        ];
        for (harm, words) in harms {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("db");
            written(&path);
            let files = [commits::path_of(&path), commits::copy_of(&path)];
            for file in &files {
                harm(file);
                let opened = open(&path, &STEPS, &[]).unwrap();
                assert_eq!(opened.missing, None);
                let harm = opened.harm.unwrap();
                assert!(harm.contains(words) && harm.contains(file.to_str().unwrap()), "{harm}");
                let opened = open(&path, &STEPS, &[]).unwrap();
                assert_eq!((opened.missing, opened.harm), (None, None));
            }
            files.iter().for_each(|file| harm(file));
            for _ in 0..2 {
                let opened = open(&path, &STEPS, &[]).unwrap();
                assert_eq!(opened.missing.map(|missing| missing.sign), Some(Sign::Nothing));
            }
            let mut warnings = Vec::new();
            drop(open(&path, &STEPS, &[]).unwrap().accept(&mut warnings, "rows").unwrap());
            assert!(warnings.iter().any(|warning| warning.contains("may be an older copy")), "{warnings:?}");
            let opened = open(&path, &STEPS, &[]).unwrap();
            assert_eq!((opened.missing, opened.harm), (None, None));
        }
    }

    #[test]
    fn the_count_of_an_earlier_version_has_no_copy_and_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        written(&path);
        fs::remove_file(commits::copy_of(&path)).unwrap();
        fs::write(commits::path_of(&path), format!("{:>20} {:>20} {:>20} {:>24}\n", 20, 20, "-", "-"))
            .unwrap();
        let opened = open(&path, &STEPS, &[]).unwrap();
        assert_eq!((opened.missing, opened.harm), (None, None));
        assert!(commits::copy_of(&path).exists());
    }

    #[test]
    fn a_database_that_was_closed_is_checked_only_if_it_was_touched_since() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        written(&path);
        drop(open(&path, &STEPS, &[]).unwrap());
        close(&path).unwrap();
        // All of it is in the one file.
        let copy = dir.path().join("copy");
        fs::copy(&path, &copy).unwrap();
        let count = |path: &Path| -> i64 {
            reader(path).unwrap().query_row("SELECT count(*) FROM a", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count(&path), count(&copy)), (20, 20));
        let never = ["SELECT 'it was checked'"];
        drop(open(&path, &STEPS, &never).unwrap());
        close(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at..at + 4096].iter_mut().for_each(|b| *b ^= 0xff);
        fs::write(&path, bytes).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::now() + Duration::from_secs(1)).unwrap();
        assert!(refused(&path).contains("quick_check"));
        // A writer that went without closing it.
        fs::copy(&copy, &path).unwrap();
        let error = open(&path, &STEPS, &never).unwrap_err();
        assert!(error.to_string().contains("it was checked"), "{error}");
    }

    #[test]
    fn only_this_user_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let _opened = open(&path, &STEPS, &[]).unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
        }
    }
}
