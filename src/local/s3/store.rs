//! Buckets and objects: an index in SQLite, each object's content in a file of its own.
//!
//! A key is data in the index and never becomes a path, so no key can lead out of the folder. Content
//! is written to a new file and synced before one transaction makes it the object: readers see the old
//! object or the new one, conditions are checked in that transaction, and a crash leaves at worst a
//! file that nothing refers to, which the next start removes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::local::batch::database;
use crate::local::home::{OBJECT_DATABASE, OBJECTS};
use crate::local::{BUCKET, contents, now_ms};

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since the epoch.
    pub modified: i64,
    /// Headers and user metadata as they were given, as JSON.
    pub headers: String,
    blob: String,
}

/// A part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1 on.
    pub number: i32,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// The file with its content.
    pub path: PathBuf,
    /// Its CRC-32 as S3 writes it, where the client gave it.
    pub crc32: Option<String>,
}

/// A multipart upload that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The object's key.
    pub key: String,
    /// The upload's ID.
    pub id: String,
    /// When it began, in milliseconds since the epoch.
    pub initiated: i64,
}

/// A condition on what an object's place holds before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    None,
    /// Nothing (`If-None-Match: *`).
    Absent,
    /// An object with this ETag, or with any (`If-Match`).
    Matches(Option<String>),
}

/// Why the store says no.
#[derive(Debug)]
pub enum StoreError {
    /// There is no such bucket.
    NoSuchBucket,
    /// There is no such object.
    NoSuchKey,
    /// There is no such multipart upload.
    NoSuchUpload,
    /// The bucket holds objects.
    NotEmpty,
    /// The condition does not hold.
    PreconditionFailed,
    /// The disk or the database.
    Io(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Io(io::Error::other(e))
    }
}

/// The store of one home.
#[derive(Debug)]
pub struct Store {
    index: Mutex<Connection>,
    folder: PathBuf,
}

/// The content of an object, read beside the server that has it, if it has no more than `limit` bytes.
///
/// # Errors
/// When the index or the content cannot be read, e.g. because the object is being replaced.
pub fn content(home: &Path, bucket: &str, key: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let index = database::reader(&home.join(OBJECT_DATABASE)).map_err(io::Error::other)?;
    match head(&index, bucket, key) {
        Ok(object) if object.size <= limit => fs::read(home.join(OBJECTS).join(&object.blob)).map(Some),
        Ok(_) | Err(StoreError::NoSuchKey | StoreError::NoSuchBucket) => Ok(None),
        Err(StoreError::Io(e)) => Err(e),
        Err(other) => Err(io::Error::other(format!("{other:?}"))),
    }
}

/// Version of the schema; each step of [`MIGRATIONS`] leads to the next.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE buckets (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE objects (
        bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,
        modified INTEGER NOT NULL, headers TEXT NOT NULL, blob TEXT NOT NULL,
        PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID;
    CREATE TABLE uploads (
        id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE parts (
        upload TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,
        blob TEXT NOT NULL, PRIMARY KEY (upload, number)
    ) WITHOUT ROWID;
",
    "ALTER TABLE parts ADD COLUMN crc32 TEXT",
];

const COLUMNS: &str = "key, etag, size, modified, headers, blob";

fn object(row: &Row<'_>) -> rusqlite::Result<Object> {
    Ok(Object {
        key: row.get(0)?,
        etag: row.get(1)?,
        size: row.get::<_, i64>(2)?.unsigned_abs(),
        modified: row.get(3)?,
        headers: row.get(4)?,
        blob: row.get(5)?,
    })
}

impl Store {
    /// Opens the store in a home, with the built-in bucket in it.
    ///
    /// # Errors
    /// When the database cannot be opened, or is of a newer version of awsb.
    pub fn open(home: &Path) -> io::Result<Self> {
        let mut index = Connection::open(home.join(OBJECT_DATABASE)).map_err(io::Error::other)?;
        database::prepare(&mut index, &MIGRATIONS)?;
        index
            .execute("INSERT OR IGNORE INTO buckets VALUES (?1, ?2)", params![BUCKET, now_ms()])
            .map_err(io::Error::other)?;
        let store = Self { index: Mutex::new(index), folder: home.join(OBJECTS) };
        store.sweep().map_err(|e| match e {
            StoreError::Io(e) => e,
            other => io::Error::other(format!("{other:?}")),
        })?;
        Ok(store)
    }

    // A panic while the lock was held cannot have left a transaction half done: SQLite rolls it back.
    fn index(&self) -> MutexGuard<'_, Connection> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes content that a crash has left without an object: files that we have named, and no others.
    fn sweep(&self) -> Result<(), StoreError> {
        // A link may lead to the folder of another home, of which this index knows nothing.
        if !contents::is_folder(&self.folder) {
            return Ok(());
        }
        let index = self.index();
        let mut statement = index.prepare("SELECT blob FROM objects UNION ALL SELECT blob FROM parts")?;
        let known: HashSet<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_left = |name: &str| contents::is_id(name) && !known.contains(name);
            if entry.file_name().to_str().is_some_and(is_left) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The home that it is in.
    pub fn home(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// A name for new content, and its file's path.
    pub fn new_blob(&self) -> (String, PathBuf) {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let path = self.folder.join(&name);
        (name, path)
    }

    /// Removes content that did not become an object.
    pub fn discard(&self, blob: &str) {
        // A damaged index must not name anything else.
        if !contents::is_id(blob) {
            return note!("content {blob:?} is not removed: that is not a name of content");
        }
        if let Err(e) = fs::remove_file(self.folder.join(blob))
            && e.kind() != io::ErrorKind::NotFound
        {
            note!("removing content {blob}: {e}");
        }
    }

    /// All buckets with their times of creation.
    ///
    /// # Errors
    /// See [`StoreError`], as for all that follow.
    pub fn buckets(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let index = self.index();
        let mut statement = index.prepare_cached("SELECT name, created_at FROM buckets ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes a bucket; one that is there already is the caller's own, so that is no error (as in us-east-1).
    pub fn create_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        self.index().execute("INSERT OR IGNORE INTO buckets VALUES (?1, ?2)", params![bucket, now_ms()])?;
        Ok(())
    }

    /// Removes an empty bucket.
    pub fn delete_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        require_bucket(&tx, bucket)?;
        let full: bool =
            tx.query_row("SELECT EXISTS (SELECT 1 FROM objects WHERE bucket = ?1)", [bucket], |r| r.get(0))?;
        if full {
            return Err(StoreError::NotEmpty);
        }
        tx.execute("DELETE FROM buckets WHERE name = ?1", [bucket])?;
        Ok(tx.commit()?)
    }

    /// That a bucket is there.
    pub fn require_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        require_bucket(&self.index(), bucket)
    }

    /// Makes synced content the object at a key.
    pub fn put(
        &self,
        bucket: &str,
        key: &str,
        (etag, size, blob): (&str, u64, &str),
        headers: &str,
        condition: &Condition,
    ) -> Result<(), StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        require_bucket(&tx, bucket)?;
        let old = put(&tx, bucket, key, (etag, size, blob), headers, condition)?;
        tx.commit()?;
        if let Some(old) = old {
            self.discard(&old);
        }
        Ok(())
    }

    /// What is known of an object.
    pub fn head(&self, bucket: &str, key: &str) -> Result<Object, StoreError> {
        head(&self.index(), bucket, key)
    }

    /// An object and its content. The file is opened before anyone can replace it.
    pub fn get(&self, bucket: &str, key: &str) -> Result<(Object, File), StoreError> {
        let index = self.index();
        let object = head(&index, bucket, key)?;
        let file = File::open(self.folder.join(&object.blob))?;
        Ok((object, file))
    }

    /// Removes an object; one that is not there is no error (as on S3).
    pub fn delete(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        require_bucket(&tx, bucket)?;
        let blob: Option<String> = tx
            .query_row(
                "DELETE FROM objects WHERE bucket = ?1 AND key = ?2 RETURNING blob",
                [bucket, key],
                |r| r.get(0),
            )
            .optional()?;
        tx.commit()?;
        if let Some(blob) = blob {
            self.discard(&blob);
        }
        Ok(())
    }

    /// Up to `limit` objects of a bucket whose keys begin with `prefix` and come after `after`, in the
    /// byte order of their keys.
    pub fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let index = self.index();
        require_bucket(&index, bucket)?;
        let mut statement = index.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM objects WHERE bucket = ?1 AND key > ?2 AND key >= ?3 ORDER BY key LIMIT ?4"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![bucket, after, prefix, limit], object)?;
        let mut objects = Vec::new();
        for row in rows {
            let row = row?;
            // Keys with the prefix are neighbours: the first without it ends the list.
            if !row.key.starts_with(prefix) {
                break;
            }
            objects.push(row);
        }
        Ok(objects)
    }

    /// Multipart uploads that have not ended and whose keys begin with `prefix`: by key, then by age.
    pub fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        let index = self.index();
        require_bucket(&index, bucket)?;
        let mut statement = index.prepare_cached(
            "SELECT key, id, created_at FROM uploads WHERE bucket = ?1 AND substr(key, 1, length(?2)) = ?2
             ORDER BY key, created_at, id",
        )?;
        let rows = statement.query_map([bucket, prefix], |r| {
            Ok(Upload { key: r.get(0)?, id: r.get(1)?, initiated: r.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Begins a multipart upload and returns its ID.
    pub fn create_upload(&self, bucket: &str, key: &str, headers: &str) -> Result<String, StoreError> {
        let index = self.index();
        require_bucket(&index, bucket)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        index.execute(
            "INSERT INTO uploads VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, bucket, key, headers, now_ms()],
        )?;
        Ok(id)
    }

    /// That there is an upload with this ID, and that it is one of this object.
    pub fn require_upload(&self, bucket: &str, key: &str, upload: &str) -> Result<(), StoreError> {
        require_upload(&self.index(), bucket, key, upload)
    }

    /// Makes synced content a part of an upload of this object.
    pub fn put_part(
        &self,
        (bucket, key, upload): (&str, &str, &str),
        number: i32,
        (etag, size, blob): (&str, u64, &str),
        crc32: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        require_upload(&tx, bucket, key, upload)?;
        let old: Option<String> = tx
            .query_row(
                "SELECT blob FROM parts WHERE upload = ?1 AND number = ?2",
                params![upload, number],
                |r| r.get(0),
            )
            .optional()?;
        tx.execute(
            "INSERT OR REPLACE INTO parts VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![upload, number, etag, i64::try_from(size).unwrap_or(i64::MAX), blob, crc32],
        )?;
        tx.commit()?;
        if let Some(old) = old {
            self.discard(&old);
        }
        Ok(())
    }

    /// The headers of an upload, and its parts in the order of their numbers.
    pub fn upload(&self, bucket: &str, key: &str, upload: &str) -> Result<(String, Vec<Part>), StoreError> {
        let index = self.index();
        let headers = index
            .query_row(
                "SELECT headers FROM uploads WHERE id = ?1 AND bucket = ?2 AND key = ?3",
                [upload, bucket, key],
                |r| r.get(0),
            )
            .optional()?
            .ok_or(StoreError::NoSuchUpload)?;
        let mut statement = index.prepare_cached(
            "SELECT number, etag, size, blob, crc32 FROM parts WHERE upload = ?1 ORDER BY number",
        )?;
        let parts = statement.query_map([upload], |r| {
            Ok(Part {
                number: r.get(0)?,
                etag: r.get(1)?,
                size: r.get::<_, i64>(2)?.unsigned_abs(),
                path: self.folder.join(r.get::<_, String>(3)?),
                crc32: r.get(4)?,
            })
        })?;
        Ok((headers, parts.collect::<Result<_, _>>()?))
    }

    /// Ends an upload, with synced content that becomes the object, or without.
    pub fn end_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        whole: Option<((&str, u64, &str), &str, &Condition)>,
    ) -> Result<(), StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        let mut old = Vec::new();
        if let Some((content, headers, condition)) = whole {
            old.extend(put(&tx, bucket, key, content, headers, condition)?);
        }
        if tx.execute(
            "DELETE FROM uploads WHERE id = ?1 AND bucket = ?2 AND key = ?3",
            [upload, bucket, key],
        )? == 0
        {
            return Err(StoreError::NoSuchUpload);
        }
        {
            let mut statement = tx.prepare_cached("DELETE FROM parts WHERE upload = ?1 RETURNING blob")?;
            let blobs = statement.query_map([upload], |r| r.get::<_, String>(0))?;
            old.extend(blobs.collect::<Result<Vec<_>, _>>()?);
        }
        tx.commit()?;
        for blob in old {
            self.discard(&blob);
        }
        Ok(())
    }
}

fn require_bucket(index: &Connection, bucket: &str) -> Result<(), StoreError> {
    let found: bool =
        index.query_row("SELECT EXISTS (SELECT 1 FROM buckets WHERE name = ?1)", [bucket], |r| r.get(0))?;
    if found { Ok(()) } else { Err(StoreError::NoSuchBucket) }
}

fn require_upload(index: &Connection, bucket: &str, key: &str, upload: &str) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM uploads WHERE id = ?1 AND bucket = ?2 AND key = ?3)";
    let found: bool = index.query_row(sql, [upload, bucket, key], |r| r.get(0))?;
    if found { Ok(()) } else { Err(StoreError::NoSuchUpload) }
}

fn head(index: &Connection, bucket: &str, key: &str) -> Result<Object, StoreError> {
    require_bucket(index, bucket)?;
    index
        .prepare_cached(&format!("SELECT {COLUMNS} FROM objects WHERE bucket = ?1 AND key = ?2"))?
        .query_row([bucket, key], object)
        .optional()?
        .ok_or(StoreError::NoSuchKey)
}

/// Writes the index entry if the condition holds; returns the content that it replaces.
fn put(
    tx: &Connection,
    bucket: &str,
    key: &str,
    (etag, size, blob): (&str, u64, &str),
    headers: &str,
    condition: &Condition,
) -> Result<Option<String>, StoreError> {
    let old: Option<(String, String)> = tx
        .query_row("SELECT etag, blob FROM objects WHERE bucket = ?1 AND key = ?2", [bucket, key], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .optional()?;
    match (condition, &old) {
        (Condition::None, _) | (Condition::Absent, None) | (Condition::Matches(None), Some(_)) => {}
        (Condition::Matches(Some(wanted)), Some((etag, _))) if wanted == etag => {}
        (Condition::Matches(_), None) => return Err(StoreError::NoSuchKey),
        _ => return Err(StoreError::PreconditionFailed),
    }
    tx.execute(
        "INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![bucket, key, etag, i64::try_from(size).unwrap_or(i64::MAX), now_ms(), headers, blob],
    )?;
    Ok(old.map(|(_, blob)| blob))
}
