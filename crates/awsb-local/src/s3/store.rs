//! Buckets and objects: an index in SQLite, each object's content in a file of its own.
//!
//! A key is data in the index and never becomes a path, so no key can lead out of the folder.
//! Content is written to a new file and synced before one transaction makes it the object: readers
//! see the old object or the new one, conditions are checked in that transaction, and a crash
//! leaves at worst a file that nothing refers to, which the next start removes.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sum::{self, Check, Sum};
use crate::constants::BUCKET;
use crate::database::lossy::{Number, Text};
use crate::database::{self, Commits, Schema};
use crate::home::contents;
use crate::home::files::{OBJECT_DATABASE, OBJECTS};
use crate::home::space::Reserve;
use crate::time::now_ms;

/// An object.
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
    crc64: Option<String>,
}

impl Object {
    /// The checksum of its content.
    pub fn sum(&self) -> Sum {
        Sum::of(self.crc64.as_deref(), &self.etag)
    }
}

/// Synced content that is to become an object, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Its ETag, without quotes.
    pub etag: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// The name of its file.
    pub blob: &'a str,
    /// Its CRC-64/NVME, in hexadecimal digits.
    pub crc64: &'a str,
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
    /// The checksum of its content.
    pub sum: Sum,
    /// Why it cannot be read, if so.
    pub harm: Option<String>,
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
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bucket does not exist.
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// The object does not exist.
    #[error("the object does not exist")]
    NoSuchKey,
    /// The multipart upload does not exist.
    #[error("the multipart upload does not exist")]
    NoSuchUpload,
    /// The bucket holds objects.
    #[error("the bucket holds objects")]
    NotEmpty,
    /// The condition does not hold.
    #[error("the condition does not hold")]
    PreconditionFailed,
    /// The object is there, and its content is not what was stored.
    #[error("the content of an object is damaged: {0}")]
    Damaged(String),
    /// The disk or the database.
    #[error("{0}")]
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
    commits: Commits,
    folder: PathBuf,
    looked_at: Mutex<HashMap<String, Look>>,
}

/// The result of comparing the content of a file with its checksum.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// When the file had been changed last: seconds, and nanoseconds.
    modified: (i64, i64),
    is_whole: bool,
}

/// Beyond this number of files, the cached results are dropped.
const MOST_LOOKS: usize = 100_000;

/// The content of an object, read beside the server that has it, if it has no more than `limit`
/// bytes.
///
/// # Errors
/// When the index or the content cannot be read, e.g. because the object is being replaced.
pub fn content(home: &Path, bucket: &str, key: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let index = database::reader(&home.join(OBJECT_DATABASE)).map_err(io::Error::other)?;
    match head(&index, bucket, key) {
        Ok(object) if !contents::is_id(&object.blob) => Err(io::Error::other(no_name(&object.blob))),
        Ok(object) if object.size <= limit => {
            let content = fs::read(home.join(OBJECTS).join(&object.blob))?;
            let mut check = Check::new(object.sum());
            check.update(&content);
            match check.matches() {
                true => Ok(Some(content)),
                false => Err(io::Error::other(format!("the content {} is damaged", object.blob))),
            }
        }
        Ok(_) | Err(StoreError::NoSuchKey | StoreError::NoSuchBucket) => Ok(None),
        Err(StoreError::Io(e)) => Err(e),
        Err(other) => Err(io::Error::other(other.to_string())),
    }
}

/// Version of the schema; each step of [`MIGRATIONS`] leads to the next.
const MIGRATIONS: [&str; 3] = [
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
    "ALTER TABLE objects ADD COLUMN crc64 TEXT; ALTER TABLE parts ADD COLUMN crc64 TEXT",
];

const SCHEMA: Schema<'_> =
    Schema { migrations: &MIGRATIONS, decisive: &["objects", "commits"], contradictions: &[] };

const COLUMNS: &str = "key, etag, size, modified, headers, blob, crc64";

/// The message for a name of content in the index that is not a name.
fn no_name(blob: &str) -> String {
    format!("{OBJECT_DATABASE} names the content {blob:?}, which is not a name of content")
}

fn object(row: &Row<'_>) -> rusqlite::Result<Object> {
    let text = |at: usize| row.get::<_, Text>(at).map(|text| text.0);
    Ok(Object {
        key: text(0)?,
        etag: text(1)?,
        size: row.get::<_, Number>(2)?.0.unsigned_abs(),
        modified: row.get::<_, Number>(3)?.0,
        headers: text(4)?,
        blob: text(5)?,
        crc64: row.get::<_, Option<Text>>(6)?.map(|text| text.0),
    })
}

impl Store {
    /// Opens the store in a home, with the built-in bucket in it, and says what of it has been
    /// lost.
    ///
    /// # Errors
    /// When the database cannot be opened, or is of a newer version of awsb.
    pub fn open(home: &Path, warnings: &mut Vec<String>) -> io::Result<Self> {
        let path = home.join(OBJECT_DATABASE);
        let opened = database::open(&path, &SCHEMA)?;
        let is_whole = opened.missing.is_none();
        let (index, commits) = opened.accept(warnings, "S3 objects")?;
        let looked_at = Mutex::new(HashMap::new());
        let store = Self { index: Mutex::new(index), commits, folder: home.join(OBJECTS), looked_at };
        let failed = |e| match e {
            StoreError::Io(e) => e,
            other => io::Error::other(other.to_string()),
        };
        if store.require_bucket(BUCKET).is_err() {
            store.create_bucket(BUCKET).map_err(failed)?;
        }
        // The content of objects that the index has lost stays: nobody else has it.
        if is_whole {
            store.sweep().map_err(failed)?;
        }
        Ok(store)
    }

    // A panic while the lock was held cannot have left a transaction half done: SQLite rolls it
    // back.
    fn index(&self) -> MutexGuard<'_, Connection> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes content that a crash has left without an object: files that we have named, and no
    /// others.
    fn sweep(&self) -> Result<(), StoreError> {
        // A link may lead to the folder of another home, of which this index knows nothing.
        if !contents::is_folder(&self.folder) {
            return Ok(());
        }
        let index = self.index();
        let mut statement = index.prepare("SELECT blob FROM objects UNION ALL SELECT blob FROM parts")?;
        let known = statement.query_map([], |row| row.get::<_, Text>(0).map(|blob| blob.0))?;
        let known: HashSet<String> = known.collect::<Result<_, _>>()?;
        // Whose content has which name is not certain then.
        if let Some(blob) = known.iter().find(|blob| !contents::is_id(blob)) {
            tracing::warn!("no content is removed: {}", no_name(blob));
            return Ok(());
        }
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
            return tracing::warn!("nothing is removed: {}", no_name(blob));
        }
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).remove(blob);
        if let Err(e) = fs::remove_file(self.folder.join(blob))
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("removing content {blob}: {e}");
        }
    }

    /// All buckets with their times of creation.
    ///
    /// # Errors
    /// See `StoreError`, as for all that follow.
    pub fn buckets(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let index = self.index();
        let mut statement = index.prepare_cached("SELECT name, created_at FROM buckets ORDER BY name")?;
        let rows =
            statement.query_map([], |row| Ok((row.get::<_, Text>(0)?.0, row.get::<_, Number>(1)?.0)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes a bucket. One that exists already is the caller's own, so that is not an error (as in
    /// us-east-1).
    pub fn create_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        tx.execute("INSERT OR IGNORE INTO buckets VALUES (?1, ?2)", params![bucket, now_ms()])?;
        Ok(self.commits.commit(tx)?)
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
        Ok(self.commits.commit(tx)?)
    }

    /// Checks that a bucket exists.
    pub fn require_bucket(&self, bucket: &str) -> Result<(), StoreError> {
        require_bucket(&self.index(), bucket)
    }

    /// Makes synced content the object at a key.
    pub fn put(
        &self,
        bucket: &str,
        key: &str,
        new: New<'_>,
        headers: &str,
        condition: &Condition,
    ) -> Result<(), StoreError> {
        self.look_before(bucket, key, condition);
        let mut index = self.index();
        let tx = index.transaction()?;
        require_bucket(&tx, bucket)?;
        let old = self.put_in(&tx, bucket, key, new, headers, condition)?;
        self.commits.commit(tx)?;
        if let Some(old) = old {
            self.discard(&old);
        }
        Ok(())
    }

    /// An object that can be read.
    pub fn head(&self, bucket: &str, key: &str) -> Result<Object, StoreError> {
        let index = self.index();
        let object = head(&index, bucket, key)?;
        match self.harm(&object.blob, object.size) {
            None => Ok(object),
            Some(harm) => Err(StoreError::Damaged(harm)),
        }
    }

    /// An object and its content. The file is opened before anyone can replace it.
    pub fn get(&self, bucket: &str, key: &str) -> Result<(Object, File), StoreError> {
        let index = self.index();
        let object = head(&index, bucket, key)?;
        if let Some(harm) = self.harm(&object.blob, object.size) {
            return Err(StoreError::Damaged(harm));
        }
        let file = File::open(self.folder.join(&object.blob))?;
        Ok((object, file))
    }

    /// Compares the content of an object with its checksum. An earlier result holds as long as the
    /// file has not been written to, unless `again` asks for another comparison.
    pub fn verify(&self, object: &Object, again: bool) -> Result<(), StoreError> {
        let damaged = || StoreError::Damaged(self.changed(&object.blob));
        let path = self.folder.join(&object.blob);
        let file = File::open(&path)?;
        let modified = modified(&file.metadata()?);
        let looked_at = || self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let known = looked_at().get(&object.blob).copied();
        if let Some(look) = known.filter(|look| !again && look.modified == modified) {
            return if look.is_whole { Ok(()) } else { Err(damaged()) };
        }
        let is_whole = sum::is_whole(&file, object.sum())?;
        self.looked(&object.blob, Look { modified, is_whole });
        if is_whole { Ok(()) } else { Err(damaged()) }
    }

    fn looked(&self, blob: &str, look: Look) {
        let mut all = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_LOOKS {
            all.clear();
        }
        all.insert(blob.to_owned(), look);
    }

    /// The content of an object was read, and is not what was stored.
    pub fn is_damaged(&self, object: &Object) {
        if let Ok(meta) = fs::metadata(self.folder.join(&object.blob)) {
            self.looked(&object.blob, Look { modified: modified(&meta), is_whole: false });
        }
    }

    fn changed(&self, blob: &str) -> String {
        format!("{} has other bytes than were stored", self.folder.join(blob).display())
    }

    /// A request that puts an object only if none exists relies on an existing one, so its content
    /// is compared.
    fn look_before(&self, bucket: &str, key: &str, condition: &Condition) {
        if *condition == Condition::Absent
            && let Ok(object) = self.head(bucket, key)
        {
            // The damage is known now, and counts when the condition is checked.
            let _ = self.verify(&object, false);
        }
    }

    /// The damage of a file of this size, if its length or an earlier comparison shows it.
    fn harm(&self, blob: &str, size: u64) -> Option<String> {
        // Of a damaged index: it could lead to any file.
        if !contents::is_id(blob) {
            return Some(no_name(blob));
        }
        let path = self.folder.join(blob);
        match fs::metadata(&path) {
            Ok(meta) if meta.len() == size => {
                let known = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).get(blob).copied();
                let is_damaged = |look: Look| !look.is_whole && look.modified == modified(&meta);
                known.is_some_and(is_damaged).then(|| self.changed(blob))
            }
            Ok(meta) => Some(format!("{} has {} of its {size} bytes", path.display(), meta.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Some(format!("{} is gone", path.display())),
            Err(e) => Some(format!("{}: {e}", path.display())),
        }
    }

    /// Removes an object. One that does not exist is not an error (as on S3). On a full disk that
    /// makes room, and first takes a little: a part of the reserve is released for it.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        self.delete_all(bucket, &[key])
    }

    /// Removes several objects, as [`Store::delete`] does one: in one step, which takes as long as
    /// one of them.
    pub fn delete_all<K: AsRef<str>>(&self, bucket: &str, keys: &[K]) -> Result<(), StoreError> {
        match self.delete_now(bucket, keys) {
            Err(StoreError::Io(e))
                if database::no_space_within(self.home(), &e).is_some()
                    && Reserve::open(self.home()).release() =>
            {
                self.delete_now(bucket, keys)
            }
            outcome => outcome,
        }
    }

    fn delete_now<K: AsRef<str>>(&self, bucket: &str, keys: &[K]) -> Result<(), StoreError> {
        let mut blobs = Vec::new();
        {
            let mut index = self.index();
            let tx = index.transaction()?;
            require_bucket(&tx, bucket)?;
            {
                let sql = "DELETE FROM objects WHERE bucket = ?1 AND key = ?2 RETURNING blob";
                let mut statement = tx.prepare_cached(sql)?;
                for key in keys {
                    let row = statement.query_row([bucket, key.as_ref()], |row| row.get::<_, Text>(0));
                    blobs.extend(row.optional()?.map(|blob| blob.0));
                }
            }
            self.commits.commit(tx)?;
        }
        blobs.iter().for_each(|blob| self.discard(blob));
        Ok(())
    }

    /// Up to `limit` objects of a bucket whose keys begin with `prefix` and come after `after`, in
    /// the byte order of their keys.
    pub fn list(
        &self,
        bucket: &str,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let index = self.index();
        require_bucket(&index, bucket)?;
        let mut statement = index.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM objects WHERE bucket = ?1 AND key > ?2 AND key >= ?3 ORDER BY key LIMIT ?4"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (after, first) = match from {
            Bound::Excluded(after) => (after, prefix),
            Bound::Included(first) => ("", first.max(prefix)),
            Bound::Unbounded => ("", prefix),
        };
        let rows = statement.query_map(params![bucket, after, first, limit], object)?;
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

    /// Multipart uploads that have not ended and whose keys begin with `prefix`: by key, then by
    /// age.
    pub fn uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        let index = self.index();
        require_bucket(&index, bucket)?;
        let mut statement = index.prepare_cached(
            "SELECT key, id, created_at FROM uploads WHERE bucket = ?1 AND substr(key, 1, length(?2)) = ?2
             ORDER BY key, created_at, id",
        )?;
        let rows = statement.query_map([bucket, prefix], |r| {
            let (key, id) = (r.get::<_, Text>(0)?.0, r.get::<_, Text>(1)?.0);
            Ok(Upload { key, id, initiated: r.get::<_, Number>(2)?.0 })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Begins a multipart upload and returns its ID.
    pub fn create_upload(&self, bucket: &str, key: &str, headers: &str) -> Result<String, StoreError> {
        let mut index = self.index();
        let tx = index.transaction()?;
        require_bucket(&tx, bucket)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        tx.execute(
            "INSERT INTO uploads VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, bucket, key, headers, now_ms()],
        )?;
        self.commits.commit(tx)?;
        Ok(id)
    }

    /// Checks that an upload with this ID exists, and that it is one of this object.
    pub fn require_upload(&self, bucket: &str, key: &str, upload: &str) -> Result<(), StoreError> {
        require_upload(&self.index(), bucket, key, upload)
    }

    /// Makes synced content a part of an upload of this object.
    pub fn put_part(
        &self,
        (bucket, key, upload): (&str, &str, &str),
        number: i32,
        new: New<'_>,
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
            "INSERT OR REPLACE INTO parts (upload, number, etag, size, blob, crc32, crc64)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![upload, number, new.etag, signed(new.size), new.blob, crc32, new.crc64],
        )?;
        self.commits.commit(tx)?;
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
            "SELECT number, etag, size, blob, crc32, crc64 FROM parts WHERE upload = ?1 ORDER BY number",
        )?;
        let parts = statement.query_map([upload], |r| {
            let (size, blob) = (r.get::<_, i64>(2)?.unsigned_abs(), r.get::<_, String>(3)?);
            let (path, harm) = (self.folder.join(&blob), self.harm(&blob, size));
            let (etag, crc64) = (r.get::<_, String>(1)?, r.get::<_, Option<String>>(5)?);
            let sum = Sum::of(crc64.as_deref(), &etag);
            Ok(Part { number: r.get(0)?, etag, size, path, crc32: r.get(4)?, sum, harm })
        })?;
        Ok((headers, parts.collect::<Result<_, _>>()?))
    }

    /// Ends an upload, with synced content that becomes the object, or without.
    pub fn end_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        whole: Option<(New<'_>, &str, &Condition)>,
    ) -> Result<(), StoreError> {
        if let Some((_, _, condition)) = whole {
            self.look_before(bucket, key, condition);
        }
        let mut index = self.index();
        let tx = index.transaction()?;
        let mut old = Vec::new();
        if let Some((content, headers, condition)) = whole {
            old.extend(self.put_in(&tx, bucket, key, content, headers, condition)?);
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
        self.commits.commit(tx)?;
        for blob in old {
            self.discard(&blob);
        }
        Ok(())
    }

    /// Writes the index entry if the condition holds; returns the content that it replaces.
    fn put_in(
        &self,
        tx: &Connection,
        bucket: &str,
        key: &str,
        new: New<'_>,
        headers: &str,
        condition: &Condition,
    ) -> Result<Option<String>, StoreError> {
        let old: Option<(String, String, u64)> = tx
            .query_row(
                "SELECT etag, blob, size FROM objects WHERE bucket = ?1 AND key = ?2",
                [bucket, key],
                |r| {
                    let (etag, blob): (Text, Text) = (r.get(0)?, r.get(1)?);
                    Ok((etag.0, blob.0, r.get::<_, Number>(2)?.0.unsigned_abs()))
                },
            )
            .optional()?;
        match (condition, &old) {
            (Condition::None, _) | (Condition::Absent, None) | (Condition::Matches(None), Some(_)) => {}
            (Condition::Matches(Some(wanted)), Some((etag, ..))) if wanted == etag => {}
            // An object that cannot be read may be put again by a request that puts it only if none
            // exists.
            (Condition::Absent, Some((_, blob, size))) if self.harm(blob, *size).is_some() => {}
            (Condition::Matches(_), None) => return Err(StoreError::NoSuchKey),
            _ => return Err(StoreError::PreconditionFailed),
        }
        tx.execute(
            "INSERT OR REPLACE INTO objects (bucket, key, etag, size, modified, headers, blob, crc64)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![bucket, key, new.etag, signed(new.size), now_ms(), headers, new.blob, new.crc64],
        )?;
        Ok(old.map(|(_, blob, _)| blob))
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// When a file was changed last: seconds, and nanoseconds.
fn modified(meta: &fs::Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
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
