//! All the events of a home: where those of a stream are, when they were, and how they go.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::errors::{invalid, unreadable};
use super::file::{FileScan, LogFile};
use super::names::{GroupName, StreamName};
use super::position::{Bound, Direction, SourceKind};
use super::source::Scan;
use super::stream_file::{file_of, hash_of};
use super::table::{self, Table, TableScan, Writer};
use crate::batch::Reader;
use crate::batch::log_streams::{self, Group};
use crate::http::protocol::ApiError;

/// Beyond this number of files the cache is cleared: 10 MB.
const MOST_KNOWN: usize = 200_000;

/// The events of a home's log streams.
#[derive(Debug)]
pub struct Events {
    home: PathBuf,
    table: Table,
    known: Mutex<HashMap<u128, CachedProperties>>,
}

/// The cached properties of a file of this length, which only ever grows.
#[derive(Debug, Clone, Copy)]
struct CachedProperties {
    length: u64,
    span: (i64, i64),
}

impl Events {
    /// The events of a home. Losses are added to `warnings`.
    ///
    /// # Errors
    /// When the table of stored events cannot be opened or is of a newer version of awsb.
    pub fn open(home: &Path, warnings: &mut Vec<String>) -> io::Result<Self> {
        let table = Table::open(home, warnings)?;
        Ok(Self { home: home.to_owned(), table, known: Mutex::new(HashMap::new()) })
    }

    /// The events that PutLogEvents has stored.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn path(&self, group: &GroupName, stream: &str) -> PathBuf {
        self.home.join(file_of(group.as_str(), stream))
    }

    /// The times of the first and the last event that a job has written; `None` when there is no
    /// event. As long as the file has the same length, this costs only reading its length.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn written(&self, group: &GroupName, stream: &str) -> io::Result<Option<(i64, i64)>> {
        let length = match fs::metadata(self.path(group, stream)) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let key = key_of(group, stream);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(known) = known.filter(|known| known.length == length) {
            return Ok(Some(known.span));
        }
        let Some(file) = LogFile::open(&self.path(group, stream))? else { return Ok(None) };
        let Some(span) = file.span()? else { return Ok(None) };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        all.insert(key, CachedProperties { length, span });
        Ok(Some(span))
    }

    /// A source of a stream, from the greatest of the bounds in `from` to the least of those in
    /// `to`; `stored` is the stream's number in the table.
    ///
    /// # Errors
    /// `InvalidParameterException` for a bound that is none, as of a token of another stream.
    pub fn scan(
        &self,
        db: &Connection,
        (group, stream, stored): (&GroupName, &str, Option<i64>),
        kind: SourceKind,
        direction: Direction,
        from: &[Bound],
        to: &[Bound],
    ) -> Result<Scan, ApiError> {
        match kind {
            SourceKind::File => FileScan::new(self.path(group, stream), direction, from, to)
                .map_err(|e| unreadable(&e))?
                .map(Scan::File)
                .ok_or_else(|| invalid("The specified nextToken is invalid.")),
            SourceKind::Table => Ok(Scan::Table(TableScan::new(db, stored, direction, from, to)?)),
        }
    }

    /// Removes all events of these streams, whose rows are gone, or not there yet.
    ///
    /// # Errors
    /// When they could not be removed.
    pub fn remove(&self, group: &GroupName, streams: &[StreamName]) -> Result<(), ApiError> {
        self.remove_as(&mut self.table.writer(), group, streams)
    }

    /// Removes what an earlier stream of this name has left, whose deletion was interrupted, unless
    /// the stream is there. Nobody can put events into one that is not there, so they are nobody's.
    ///
    /// # Errors
    /// When that could not be found out or done.
    pub fn remove_leftovers(
        &self,
        reader: &Reader,
        group: &GroupName,
        stream: &StreamName,
    ) -> Result<(), ApiError> {
        let mut writer = self.table.writer();
        if reader.read_now(|db| Ok(log_streams::has_stream(db.connection(), group, stream)?))? {
            return Ok(());
        }
        self.remove_as(&mut writer, group, std::slice::from_ref(stream))
    }

    fn remove_as(
        &self,
        writer: &mut Writer<'_>,
        group: &GroupName,
        streams: &[StreamName],
    ) -> Result<(), ApiError> {
        writer.remove(group, streams)?;
        for stream in streams {
            self.remove_file(group, stream.as_str()).map_err(|e| unreadable(&e))?;
        }
        Ok(())
    }

    fn remove_file(&self, group: &GroupName, stream: &str) -> io::Result<()> {
        let removed = match fs::remove_file(self.path(group, stream)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&key_of(group, stream));
        removed
    }

    /// Removes what has expired in groups with a retention: rows one by one, files when their last
    /// event has expired. Readers do not show what has expired, so nobody sees the difference. Rows
    /// of streams that are gone go, too.
    ///
    /// # Errors
    /// When the database or the files cannot be read or changed.
    pub fn expire(&self, reader: &Reader, now: i64) -> Result<(), ApiError> {
        let (groups, active) = reader.read_now(|db| {
            let groups = log_streams::groups(db.connection(), "")?;
            Ok((groups, db.active_tasks()?))
        })?;
        for group in groups {
            if let Some(before) = group.expired_before(now) {
                self.expire_group(reader, &group, before, &active)?;
            }
        }
        self.remove_orphans(reader)
    }

    /// Removes the rows of streams that are gone: with their jobs, or by a deletion that was
    /// interrupted.
    fn remove_orphans(&self, reader: &Reader) -> Result<(), ApiError> {
        let mut writer = self.table.writer();
        for (group, stream) in self.table.read(table::streams)? {
            if !reader.read_now(|db| Ok(log_streams::has_stream(db.connection(), &group, &stream)?))? {
                writer.remove(&group, &[stream])?;
            }
        }
        Ok(())
    }

    fn expire_group(
        &self,
        reader: &Reader,
        group: &Group,
        before: i64,
        active: &HashSet<String>,
    ) -> Result<(), ApiError> {
        self.table.writer().expire(&group.name, before)?;
        let mut after: Option<String> = None;
        loop {
            let page = reader.read_now(|db| {
                Ok(log_streams::streams(
                    db.connection(),
                    &group.name,
                    None,
                    "",
                    after.as_deref(),
                    false,
                    10_000,
                )?)
            })?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            for (stream, _) in &page {
                // The runner of a job that still runs has the file open: its next line would be
                // lost.
                let attempt_id = stream.rsplit('/').next().unwrap_or(stream);
                let written = self.written(&group.name, stream).map_err(|e| unreadable(&e))?;
                if written.is_some_and(|(_, last)| last < before) && !active.contains(attempt_id) {
                    self.remove_file(&group.name, stream).map_err(|e| unreadable(&e))?;
                }
            }
            after = Some(last.clone());
        }
    }
}

fn key_of(group: &GroupName, stream: &str) -> u128 {
    let hash = hash_of(group.as_str(), stream);
    hash.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
}
