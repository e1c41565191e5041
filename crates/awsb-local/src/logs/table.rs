//! The events that PutLogEvents has stored: rows in a database of their own.
//!
//! They may come in any order and hours late, while a file of events only ever grows at its end.
//! The server alone writes here, with one connection, so that what it has checked holds when it
//! writes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::names::{GroupName, StreamName};
use super::position::{Bound, Direction, FoundEvent, Position};
use crate::database::lossy::{Number, Text};
use crate::database::{self, Commits, Schema};
use crate::home::files::LOG_DATABASE;

const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        log_group TEXT NOT NULL, name TEXT NOT NULL,
        events INTEGER NOT NULL DEFAULT 0,   -- the number of the last one
        ingested_at INTEGER NOT NULL DEFAULT 0,
        UNIQUE (log_group, name)
    );
    CREATE TABLE events (
        stream INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL,
        ingested_at INTEGER NOT NULL, message TEXT NOT NULL,
        PRIMARY KEY (stream, time, number)
    ) WITHOUT ROWID;
"];

const SCHEMA: Schema<'_> =
    Schema { migrations: &MIGRATIONS, decisive: &["streams", "commits"], contradictions: &[] };

/// The most rows that are read at once.
const MOST_ROWS: usize = 1000;

/// The stored events of all streams.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    writer: Mutex<Connection>,
    commits: Commits,
    readers: Mutex<Vec<Connection>>,
}

/// The properties of a stream in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The stream's number here.
    pub id: i64,
    /// The time of its first event.
    pub first: i64,
    /// The time of its last event.
    pub last: i64,
    /// When an event was last stored.
    pub ingested_at: i64,
}

impl Table {
    /// Opens the table of a home, and says what of it has been lost.
    ///
    /// # Errors
    /// When it cannot be opened or is of a newer version of awsb.
    pub fn open(home: &Path, warnings: &mut Vec<String>) -> io::Result<Self> {
        let path = home.join(LOG_DATABASE);
        let (writer, commits) = database::open(&path, &SCHEMA)?.accept(warnings, "log events")?;
        Ok(Self { path, writer: Mutex::new(writer), commits, readers: Mutex::new(Vec::new()) })
    }

    /// The exclusive right to change it. It is held while somebody checks that a stream exists
    /// before writing.
    pub fn writer(&self) -> Writer<'_> {
        Writer(self.writer.lock().unwrap_or_else(PoisonError::into_inner), &self.commits)
    }

    /// Runs a query, which sees the table as it is at one moment.
    ///
    /// # Errors
    /// The error of the query, or that the table cannot be read.
    pub fn read<T, E: From<rusqlite::Error>>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match idle {
            Some(db) => db,
            None => database::reader(&self.path)?,
        };
        db.execute_batch("BEGIN")?;
        let outcome = query(&db);
        if db.execute_batch("COMMIT").is_ok() {
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        }
        outcome
    }
}

/// The one who changes the table.
#[derive(Debug)]
pub struct Writer<'a>(MutexGuard<'a, Connection>, &'a Commits);

impl Writer<'_> {
    /// Stores events: their times, in milliseconds since the epoch, and messages.
    ///
    /// # Errors
    /// When they could not be stored; then none was.
    pub fn put(
        &mut self,
        group: &GroupName,
        stream: &StreamName,
        events: &[(i64, String)],
        now: i64,
    ) -> rusqlite::Result<()> {
        let tx = self.0.transaction()?;
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let (id, last): (i64, i64) = tx.query_row(
            "INSERT INTO streams (log_group, name, events, ingested_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET events = events + ?3, ingested_at = ?4 RETURNING id, events",
            params![group.as_str(), stream.as_str(), count, now],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut insert = tx.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (number, (time, message)) in (last - count + 1..).zip(events) {
            insert.execute(params![id, time, number, now, message])?;
        }
        drop(insert);
        self.1.commit(tx)
    }

    /// Removes all that is stored of a stream.
    ///
    /// # Errors
    /// When that could not be done; then it is all there.
    pub fn remove(&mut self, group: &GroupName, streams: &[StreamName]) -> rusqlite::Result<()> {
        let tx = self.0.transaction()?;
        for stream in streams {
            let id: Option<i64> = tx
                .prepare_cached("DELETE FROM streams WHERE log_group = ?1 AND name = ?2 RETURNING id")?
                .query_row(params![group.as_str(), stream.as_str()], |row| row.get(0))
                .optional()?;
            if let Some(id) = id {
                tx.prepare_cached("DELETE FROM events WHERE stream = ?1")?.execute([id])?;
            }
        }
        self.1.commit(tx)
    }

    /// Removes the events of a group that are before a time.
    ///
    /// # Errors
    /// When that could not be done; then they are all there.
    pub fn expire(&mut self, group: &GroupName, before: i64) -> rusqlite::Result<usize> {
        let tx = self.0.transaction()?;
        let removed = tx.execute(
            "DELETE FROM events
             WHERE stream IN (SELECT id FROM streams WHERE log_group = ?1) AND time < ?2",
            params![group.as_str(), before],
        )?;
        // Most of the time there is nothing to write.
        match removed {
            0 => tx.rollback()?,
            _ => self.1.commit(tx)?,
        }
        Ok(removed)
    }
}

/// The streams of a group that have stored events, by name.
pub fn stored(db: &Connection, group: &GroupName) -> rusqlite::Result<BTreeMap<String, Stored>> {
    let mut statement = db.prepare_cached(
        "SELECT name, id, ingested_at,
             (SELECT min(time) FROM events WHERE stream = id), (SELECT max(time) FROM events WHERE stream = id)
         FROM streams WHERE log_group = ?1",
    )?;
    let rows = statement.query_map([group.as_str()], |row| {
        let time = |at: usize| row.get::<_, Option<Number>>(at).map(|time| time.map(|time| time.0));
        let times = time(3)?.zip(time(4)?);
        let (id, ingested_at) = (row.get(1)?, row.get::<_, Number>(2)?.0);
        Ok((row.get::<_, Text>(0)?.0, times.map(|(first, last)| Stored { id, first, last, ingested_at })))
    })?;
    rows.filter_map(|row| row.map(|(name, stored)| stored.map(|s| (name, s))).transpose()).collect()
}

/// All streams that have stored events, or had some.
pub fn streams(db: &Connection) -> rusqlite::Result<Vec<(GroupName, StreamName)>> {
    let mut statement = db.prepare_cached("SELECT log_group, name FROM streams")?;
    let rows = statement.query_map([], |row| {
        let (group, stream): (Text, Text) = (row.get(0)?, row.get(1)?);
        Ok((GroupName::from_valid(group.0), StreamName::from_valid(stream.0)))
    })?;
    rows.collect()
}

/// The number of a stream that has stored events, or had some.
pub fn id_of(db: &Connection, group: &GroupName, stream: &StreamName) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM streams WHERE log_group = ?1 AND name = ?2")?
        .query_row(params![group.as_str(), stream.as_str()], |row| row.get(0))
        .optional()
}

/// The stored events of one stream between two places, one after the other in one direction.
#[derive(Debug)]
pub struct TableScan {
    stream: Option<i64>,
    direction: Direction,
    low: Position,
    high: Position,
    queue: VecDeque<FoundEvent>,
    /// Nothing is left but what is in the queue.
    done: bool,
}

impl TableScan {
    /// The events between `from` and `to`. A stream without a number has none.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn new(
        db: &Connection,
        stream: Option<i64>,
        direction: Direction,
        from: &[Bound],
        to: &[Bound],
    ) -> rusqlite::Result<Self> {
        let mark = |bound: &Bound| match bound {
            Bound::Time(time) => Position { time: *time, at: 0 },
            Bound::Position(mark) => *mark,
        };
        let last: Option<(i64, i64)> = db
            .prepare_cached(
                "SELECT time, number FROM events WHERE stream = ?1 ORDER BY time DESC, number DESC LIMIT 1",
            )?
            .query_row([stream], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let end = last.map_or(Position { time: 0, at: 0 }, |(time, number)| Position {
            time,
            at: number.unsigned_abs() + 1,
        });
        let low = from.iter().map(mark).max().unwrap_or(Position { time: 0, at: 0 });
        let high = to.iter().map(mark).fold(end, Position::min).max(low);
        Ok(Self { stream, direction, low, high, queue: VecDeque::new(), done: last.is_none() })
    }

    /// Where the events begin and end that have not been taken.
    pub fn rest(&self) -> (Position, Position) {
        match (self.direction, self.queue.front()) {
            (Direction::Forward, Some(next)) => (next.before, self.high),
            (Direction::Backward, Some(next)) => (self.low, next.after),
            (_, None) => (self.low, self.high),
        }
    }

    /// The next event, which stays there.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn peek(&mut self, db: &Connection, chunk: usize) -> rusqlite::Result<Option<&FoundEvent>> {
        if self.queue.is_empty() && !self.done {
            self.fill(db, chunk)?;
        }
        Ok(self.queue.front())
    }

    /// Takes the event that [`TableScan::peek`] has shown.
    pub fn take(&mut self) -> Option<FoundEvent> {
        self.queue.pop_front()
    }

    fn fill(&mut self, db: &Connection, chunk: usize) -> rusqlite::Result<()> {
        let order = match self.direction {
            Direction::Forward => "ORDER BY time, number",
            Direction::Backward => "ORDER BY time DESC, number DESC",
        };
        let mut statement = db.prepare_cached(&format!(
            "SELECT time, number, ingested_at, message FROM events
             WHERE stream = ?1 AND (time, number) >= (?2, ?3) AND (time, number) < (?4, ?5) {order}"
        ))?;
        let number = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![
            self.stream,
            self.low.time,
            number(self.low.at),
            self.high.time,
            number(self.high.at)
        ])?;
        let mut bytes = 0;
        self.done = true;
        while let Some(row) = rows.next()? {
            let (time, number): (i64, i64) = (row.get(0)?, row.get(1)?);
            let mark = |at: i64| Position { time, at: at.unsigned_abs() };
            let Text(message) = row.get(3)?;
            bytes += message.len();
            let (before, after) = (mark(number), mark(number + 1));
            self.queue.push_back(FoundEvent {
                before,
                after,
                time,
                ingested: row.get::<_, Number>(2)?.0,
                message,
            });
            match self.direction {
                Direction::Forward => self.low = after,
                Direction::Backward => self.high = before,
            }
            if bytes >= chunk || self.queue.len() >= MOST_ROWS {
                self.done = false;
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (GroupName, StreamName) {
        (GroupName::parse("group").unwrap(), StreamName::parse("stream").unwrap())
    }

    fn scan(table: &Table, direction: Direction, from: &[Bound], to: &[Bound], chunk: usize) -> Vec<String> {
        let (group, stream) = names();
        table
            .read(|db| -> rusqlite::Result<_> {
                let id = id_of(db, &group, &stream)?;
                let mut scan = TableScan::new(db, id, direction, from, to)?;
                let mut messages = Vec::new();
                while scan.peek(db, chunk)?.is_some() {
                    messages.extend(scan.take().map(|found| found.message));
                }
                Ok(messages)
            })
            .unwrap()
    }

    #[test]
    fn events_come_in_the_order_of_time_then_of_their_arrival() {
        let dir = tempfile::tempdir().unwrap();
        let table = Table::open(dir.path(), &mut Vec::new()).unwrap();
        let (group, stream) = names();
        assert!(scan(&table, Direction::Forward, &[], &[], 10).is_empty(), "nothing was ever put");
        let put = |events: &[(i64, &str)]| {
            let events: Vec<_> = events.iter().map(|(time, m)| (*time, (*m).to_owned())).collect();
            table.writer().put(&group, &stream, &events, 1).unwrap();
        };
        put(&[(20, "c"), (20, "d"), (40, "f")]);
        put(&[(10, "a"), (10, "b"), (20, "e")]);
        for chunk in [1, 2, 1000] {
            let all = |direction| scan(&table, direction, &[], &[], chunk).concat();
            assert_eq!(all(Direction::Forward), "abcdef");
            assert_eq!(all(Direction::Backward), "fedcba");
            let (from, to) = (Bound::Time(20), Bound::Time(40));
            assert_eq!(scan(&table, Direction::Forward, &[from], &[to], chunk).concat(), "cde");
            assert_eq!(scan(&table, Direction::Backward, &[from], &[to], chunk).concat(), "edc");
        }
        assert_eq!(table.writer().expire(&group, 20).unwrap(), 2);
        assert_eq!(scan(&table, Direction::Forward, &[], &[], 9).concat(), "cdef");
        table.writer().remove(&group, &[stream]).unwrap();
        assert!(scan(&table, Direction::Forward, &[], &[], 10).is_empty());
    }

    #[test]
    fn what_is_left_begins_and_ends_where_the_next_page_does() {
        let dir = tempfile::tempdir().unwrap();
        let table = Table::open(dir.path(), &mut Vec::new()).unwrap();
        let (group, stream) = names();
        let events = [(10, "a".to_owned()), (10, "b".to_owned())];
        table.writer().put(&group, &stream, &events, 1).unwrap();
        table
            .read(|db| -> rusqlite::Result<_> {
                let id = id_of(db, &group, &stream)?;
                let mut scan = TableScan::new(db, id, Direction::Forward, &[], &[])?;
                scan.peek(db, 1000)?;
                let first = scan.take().unwrap();
                assert_eq!(scan.rest(), (first.after, Position { time: 10, at: 3 }));
                let from = [Bound::Position(first.after)];
                let mut rest = TableScan::new(db, id, Direction::Forward, &from, &[])?;
                assert_eq!(rest.peek(db, 1)?.unwrap().message, "b");
                Ok(())
            })
            .unwrap();
    }
}
