//! Where the events of a log stream come from, and in which order.
//!
//! A stream has up to two sources, each in the order of time: the file to which a runner appends
//! what a job writes, and the rows that PutLogEvents has stored. Any number of sources, of any
//! number of streams, are read as one by [`Merge`].

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rusqlite::Connection;

use super::errors::unreadable;
use super::file::FileScan;
use super::position::{Direction, FoundEvent, Position, SourceKind};
use super::table::TableScan;
use crate::http::protocol::ApiError;

/// How much is read ahead, over all the sources that are open at once, in bytes.
const READ_AHEAD: usize = 4 * 1024 * 1024;
/// How much is read of one source at once, in bytes: at least and at most.
const CHUNK: std::ops::RangeInclusive<usize> = 4 * 1024..=256 * 1024;

/// A source, being read.
#[derive(Debug)]
pub enum Scan {
    /// See [`SourceKind::File`].
    File(FileScan),
    /// See [`SourceKind::Table`].
    Table(TableScan),
}

impl Scan {
    /// Which kind of source it reads.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::File(_) => SourceKind::File,
            Self::Table(_) => SourceKind::Table,
        }
    }

    /// Where the events begin and end that have not been taken.
    pub fn rest(&self) -> (Position, Position) {
        match self {
            Self::File(scan) => scan.rest(),
            Self::Table(scan) => scan.rest(),
        }
    }

    fn peek(&mut self, table: &Connection, chunk: usize) -> Result<Option<&FoundEvent>, ApiError> {
        match self {
            Self::File(scan) => scan.peek(chunk).map_err(|e| unreadable(&e)),
            Self::Table(scan) => Ok(scan.peek(table, chunk)?),
        }
    }

    fn take(&mut self) -> Option<FoundEvent> {
        match self {
            Self::File(scan) => scan.take(),
            Self::Table(scan) => scan.take(),
        }
    }
}

/// A source that is yet to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSource {
    /// The time of its first event (forward) or of its last one (backward). It may be too early
    /// (forward) or too late (backward), which costs time only.
    pub time: i64,
    /// Which stream, as the caller counts them: those of the same time come in this order.
    pub stream: usize,
    /// The kind of the source.
    pub kind: SourceKind,
}

/// Events of many sources in the order of time; at the same time by stream, kind and place.
///
/// A source is opened when its time has come and closed when it has no more, so that what is held
/// depends on how many streams are written at the same time, not on how many there are.
pub struct Merge<'a, Open> {
    direction: Direction,
    table: &'a Connection,
    open: Open,
    /// In the order in which they are opened, the next at the end.
    waiting: Vec<PendingSource>,
    scans: Vec<Option<(usize, Scan)>>,
    free: Vec<usize>,
    heap: BinaryHeap<Next>,
}

/// The next event of an open source, as the heap has it: the greatest comes first.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    direction: Direction,
    key: (i64, usize, SourceKind, u64),
    scan: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.direction {
            Direction::Forward => other.key.cmp(&self.key),
            Direction::Backward => self.key.cmp(&other.key),
        }
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a, Open> Merge<'a, Open>
where
    Open: FnMut(usize, SourceKind) -> Result<Option<Scan>, ApiError>,
{
    /// Merges the sources that `waiting` names; `open` opens one, or says that it has become empty.
    pub fn new(
        direction: Direction,
        table: &'a Connection,
        mut waiting: Vec<PendingSource>,
        open: Open,
    ) -> Self {
        match direction {
            Direction::Forward => waiting.sort_unstable_by_key(|w| std::cmp::Reverse(w.time)),
            Direction::Backward => waiting.sort_unstable_by_key(|w| w.time),
        }
        let (scans, free, heap) = (Vec::new(), Vec::new(), BinaryHeap::new());
        Self { direction, table, open, waiting, scans, free, heap }
    }

    /// The next event, with its stream and the kind of its source.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub fn next(&mut self) -> Result<Option<(usize, SourceKind, FoundEvent)>, ApiError> {
        self.open_due()?;
        let Some(next) = self.heap.pop() else { return Ok(None) };
        let (_, stream, kind, _) = next.key;
        let found = self.scans[next.scan].as_mut().and_then(|(_, scan)| scan.take());
        self.queue(next.scan)?;
        Ok(found.map(|found| (stream, kind, found)))
    }

    /// Whether there is another event.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub fn has_more(&mut self) -> Result<bool, ApiError> {
        self.open_due()?;
        Ok(!self.heap.is_empty())
    }

    /// Opens the sources that may have an event before the next one.
    fn open_due(&mut self) -> Result<(), ApiError> {
        while let Some(waiting) = self.waiting.last().copied() {
            let due = self.heap.peek().is_none_or(|next| match self.direction {
                Direction::Forward => waiting.time <= next.key.0,
                Direction::Backward => waiting.time >= next.key.0,
            });
            if !due {
                break;
            }
            self.waiting.pop();
            let Some(scan) = (self.open)(waiting.stream, waiting.kind)? else { continue };
            let place = self.free.pop().unwrap_or(self.scans.len());
            if place == self.scans.len() {
                self.scans.push(None);
            }
            self.scans[place] = Some((waiting.stream, scan));
            self.queue(place)?;
        }
        Ok(())
    }

    /// Puts the next event of an open source into the heap.
    fn queue(&mut self, place: usize) -> Result<(), ApiError> {
        let open = self.heap.len() + 1;
        let chunk = (READ_AHEAD / open).clamp(*CHUNK.start(), *CHUNK.end());
        let Some((stream, scan)) = &mut self.scans[place] else { return Ok(()) };
        let kind = scan.kind();
        match scan.peek(self.table, chunk)? {
            Some(found) => {
                let key = (found.time, *stream, kind, found.before.at);
                self.heap.push(Next { direction: self.direction, key, scan: place });
            }
            None => {
                self.scans[place] = None;
                self.free.push(place);
            }
        }
        Ok(())
    }
}
