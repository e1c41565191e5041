//! SQLite as we use it: durable, one writer and many readers, with a schema version.

use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Readies a connection for writing and brings the schema up to date.
///
/// The schema version is SQLite's `user_version`: the number of migrations that have been applied.
///
/// # Errors
/// When the file is not a database, cannot be written, or was written by a newer version of awsb.
pub fn prepare(database: &mut Connection, migrations: &[&str]) -> io::Result<()> {
    migrate(database, migrations).map_err(|e| {
        let file = database.path().unwrap_or("?").to_owned();
        io::Error::other(format!("{file}: {e}"))
    })
}

fn migrate(database: &mut Connection, migrations: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    // WAL: readers never wait for the writer. FULL: a commit is on the disk when it returns.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    // On macOS fsync leaves the data in the drive's cache; elsewhere these two do nothing (SQLite, "PRAGMA fullfsync").
    database.pragma_update(None, "fullfsync", true)?;
    database.pragma_update(None, "checkpoint_fullfsync", true)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
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

/// A connection that only reads; the database has been prepared.
///
/// # Errors
/// When it cannot be opened.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    database.set_prepared_statement_cache_capacity(64);
    Ok(database)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_applied_once_and_a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
        prepare(&mut Connection::open(&path).unwrap(), &steps[..1]).unwrap();
        prepare(&mut Connection::open(&path).unwrap(), &steps).unwrap();
        prepare(&mut Connection::open(&path).unwrap(), &steps).unwrap();
        let error = prepare(&mut Connection::open(&path).unwrap(), &steps[..1]).unwrap_err();
        assert!(error.to_string().contains("newer version of awsb"), "{error}");
        std::fs::write(&path, "no database at all, but long enough to be read as one: ".repeat(40)).unwrap();
        assert!(prepare(&mut Connection::open(&path).unwrap(), &steps).is_err());
    }
}
