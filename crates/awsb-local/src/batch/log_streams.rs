//! Log groups and log streams: rows of the Batch database.
//!
//! The engine adds a stream in the transaction in which an attempt starts, so it is the engine that
//! makes every other change of these rows, too: [`Change`] says which, [`apply`] makes it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::model::{JobKey, Span};
use crate::database::lossy::{Number, Text};
use crate::http::protocol::ApiError;
use crate::logs::errors::{exists, not_found};
use crate::logs::names::{GroupName, StreamName};

/// A migration: the settings of log groups.
pub const GROUP_SETTINGS: &str = "
    ALTER TABLE log_groups ADD COLUMN retention_days INTEGER;    -- NULL: for ever
    ALTER TABLE log_groups ADD COLUMN class TEXT NOT NULL DEFAULT 'STANDARD';
";

/// A change of groups and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// CreateLogGroup, with the group's class.
    CreateGroup(GroupName, String),
    /// CreateLogStream.
    CreateStream(GroupName, StreamName),
    /// PutRetentionPolicy, and DeleteRetentionPolicy with `None`.
    Retain(GroupName, Option<i64>),
    /// DeleteLogStream.
    DeleteStream(GroupName, StreamName),
    /// DeleteLogGroup.
    DeleteGroup(GroupName),
}

/// The streams that a change has removed: their events are to go, too.
pub type Removed = Vec<StreamName>;

/// Makes a change, in the transaction that is open.
///
/// # Errors
/// The outer one when the database fails; the inner one when the change cannot be made as AWS would
/// say it: then nothing has changed.
pub fn apply(db: &Connection, change: &Change, now: i64) -> rusqlite::Result<Result<Removed, ApiError>> {
    match change {
        Change::CreateGroup(group, class) => {
            let made = db.execute(
                "INSERT OR IGNORE INTO log_groups (name, created_at, class) VALUES (?1, ?2, ?3)",
                params![group.as_str(), now, class],
            )?;
            Ok(if made == 1 { Ok(Vec::new()) } else { Err(exists("log group")) })
        }
        Change::CreateStream(group, stream) => {
            if !has_group(db, group)? {
                return Ok(Err(not_found("log group")));
            }
            let made = db.execute(
                "INSERT OR IGNORE INTO log_streams (log_group, name, created_at) VALUES (?1, ?2, ?3)",
                params![group.as_str(), stream.as_str(), now],
            )?;
            Ok(if made == 1 { Ok(Vec::new()) } else { Err(exists("log stream")) })
        }
        Change::Retain(group, days) => {
            let changed = db.execute(
                "UPDATE log_groups SET retention_days = ?2 WHERE name = ?1",
                params![group.as_str(), days],
            )?;
            Ok(if changed == 1 { Ok(Vec::new()) } else { Err(not_found("log group")) })
        }
        Change::DeleteStream(group, stream) => {
            if !has_group(db, group)? {
                return Ok(Err(not_found("log group")));
            }
            let removed = remove_streams(db, group, std::slice::from_ref(stream))?;
            Ok(if removed.is_empty() { Err(not_found("log stream")) } else { Ok(removed) })
        }
        Change::DeleteGroup(group) => {
            if db.execute("DELETE FROM log_groups WHERE name = ?1", [group.as_str()])? == 0 {
                return Ok(Err(not_found("log group")));
            }
            let mut statement = db.prepare("DELETE FROM log_streams WHERE log_group = ?1 RETURNING name")?;
            let removed =
                statement.query_map([group.as_str()], |row| row.get(0).map(StreamName::from_valid))?;
            removed.collect::<rusqlite::Result<_>>().map(Ok)
        }
    }
}

/// Adds the stream of a job's attempt, and its group where somebody has deleted it.
pub fn add_stream(db: &Connection, group: &str, name: &str, job: JobKey, now: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO log_groups (name, created_at) VALUES (?1, ?2)")?
        .execute(params![group, now])?;
    db.prepare_cached(
        "INSERT OR IGNORE INTO log_streams (log_group, name, created_at, job) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![group, name, now, job.0])?;
    Ok(())
}

/// Removes those of these streams that are there, and returns them. Their events are removed by
/// [`crate::logs::Events::remove`] once this is on the disk.
pub fn remove_streams(
    db: &Connection,
    group: &GroupName,
    streams: &[StreamName],
) -> rusqlite::Result<Removed> {
    let mut delete = db.prepare_cached("DELETE FROM log_streams WHERE log_group = ?1 AND name = ?2")?;
    let mut removed = Vec::new();
    for stream in streams {
        if delete.execute(params![group.as_str(), stream.as_str()])? == 1 {
            removed.push(stream.clone());
        }
    }
    Ok(removed)
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// The retention of events in days; `None` means for ever.
    pub retention_days: Option<i64>,
    /// API: LogGroupClass.
    pub class: String,
}

impl Group {
    /// Events before this time are gone, also where they have not been removed yet.
    pub fn expired_before(&self, now: i64) -> Option<i64> {
        self.retention_days.map(|days| now.saturating_sub(days.saturating_mul(24 * 60 * 60 * 1000)))
    }
}

const GROUP: &str = "name, created_at, retention_days, class";

fn group_row(row: &Row<'_>) -> rusqlite::Result<Group> {
    let (name, class): (Text, Text) = (row.get(0)?, row.get(3)?);
    let days: Option<Number> = row.get(2)?;
    Ok(Group {
        name: GroupName::from_valid(name.0),
        created_at: row.get::<_, Number>(1)?.0,
        // A damaged value removes nothing.
        retention_days: days.map(|days| days.0).filter(|days| *days > 0),
        class: class.0,
    })
}

/// The groups by name, after the given name.
pub fn groups(db: &Connection, after: &str) -> rusqlite::Result<Vec<Group>> {
    let sql = format!("SELECT {GROUP} FROM log_groups WHERE name > ?1 ORDER BY name");
    let mut statement = db.prepare_cached(&sql)?;
    statement.query_map([after], group_row)?.collect()
}

/// A group by its name.
pub fn group(db: &Connection, name: &GroupName) -> rusqlite::Result<Option<Group>> {
    let sql = format!("SELECT {GROUP} FROM log_groups WHERE name = ?1");
    db.prepare_cached(&sql)?.query_row([name.as_str()], group_row).optional()
}

/// Whether a group is there.
pub fn has_group(db: &Connection, name: &GroupName) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM log_groups WHERE name = ?1)")?
        .query_row([name.as_str()], |row| row.get(0))
}

/// Whether a stream is there.
pub fn has_stream(db: &Connection, group: &GroupName, name: &StreamName) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM log_streams WHERE log_group = ?1 AND name = ?2)")?
        .query_row(params![group.as_str(), name.as_str()], |row| row.get(0))
}

/// The job whose output a stream has; none for a stream that no job has written, or that is not
/// there.
pub fn job_of_stream(
    db: &Connection,
    group: &GroupName,
    name: &StreamName,
) -> rusqlite::Result<Option<JobKey>> {
    let sql = "SELECT job FROM log_streams WHERE log_group = ?1 AND name = ?2";
    let found: Option<Option<i64>> = db
        .prepare_cached(sql)?
        .query_row(params![group.as_str(), name.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(JobKey))
}

/// A log stream, with its time of creation.
pub type StreamRow = (String, i64);

/// Up to `limit` streams of a group whose names begin with `prefix`, by name, after the given one;
/// of a lineage only, if one is given.
pub fn streams(
    db: &Connection,
    group: &GroupName,
    lineage: Option<Span>,
    prefix: &str,
    after: Option<&str>,
    descending: bool,
    limit: usize,
) -> rusqlite::Result<Vec<StreamRow>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let order = if descending { "DESC" } else { "ASC" };
    // The names that begin with `prefix` are those from it on to its successor.
    let successor = successor(prefix);
    let seen = if lineage.is_some() {
        "AND EXISTS (SELECT 1 FROM line WHERE log_streams.job BETWEEN line.first AND line.last)"
    } else {
        ""
    };
    let mut statement = db.prepare_cached(&format!(
        "{} SELECT name, created_at FROM log_streams
         WHERE log_group = ?1 AND name >= ?2 AND (?3 IS NULL OR name < ?3)
             AND (?4 IS NULL OR name {} ?4) {seen} ORDER BY name {order} LIMIT ?5",
        lineage.map(Span::with_lineage).unwrap_or_default(),
        if descending { "<" } else { ">" }
    ))?;
    let rows = statement.query_map(params![group.as_str(), prefix, successor, after, limit], |row| {
        Ok((row.get::<_, Text>(0)?.0, row.get::<_, Number>(1)?.0))
    })?;
    rows.collect()
}

/// The least text that is greater than all texts that begin with `prefix`; `None` when there is no
/// such text.
fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // SQLite compares the bytes of UTF-8, which have the order of the characters.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE log_groups (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE log_streams (
                 log_group TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL, job INTEGER,
                 PRIMARY KEY (log_group, name)
             ) WITHOUT ROWID;",
        )
        .unwrap();
        db.execute_batch(GROUP_SETTINGS).unwrap();
        db
    }

    fn change(db: &Connection, change: &Change) -> Result<Removed, &'static str> {
        apply(db, change, 7).unwrap().map_err(|e| e.code)
    }

    #[test]
    fn changes_are_made_or_refused_as_aws_does() {
        let (exists, missing) = (Err("ResourceAlreadyExistsException"), Err("ResourceNotFoundException"));
        let db = db();
        let group = GroupName::parse("g").unwrap();
        let (a, b) = (StreamName::parse("a").unwrap(), StreamName::parse("b").unwrap());
        let stream = |name: &StreamName| Change::CreateStream(group.clone(), name.clone());
        let make = Change::CreateGroup(group.clone(), "STANDARD".to_owned());
        assert_eq!(change(&db, &stream(&a)), missing);
        assert_eq!(change(&db, &Change::Retain(group.clone(), Some(3))), missing);
        assert_eq!(change(&db, &make), Ok(vec![]));
        assert_eq!(change(&db, &make), exists);
        assert_eq!(change(&db, &stream(&a)), Ok(vec![]));
        assert_eq!(change(&db, &stream(&a)), exists);
        assert_eq!(change(&db, &Change::DeleteStream(group.clone(), b.clone())), missing);
        assert_eq!(change(&db, &Change::DeleteStream(group.clone(), a.clone())), Ok(vec![a.clone()]));
        assert_eq!(change(&db, &Change::Retain(group.clone(), Some(3))), Ok(vec![]));
        let row = super::group(&db, &group).unwrap().unwrap();
        assert_eq!((row.retention_days, row.expired_before(3 * 86_400_000 + 5)), (Some(3), Some(5)));
        assert_eq!(change(&db, &stream(&a)), Ok(vec![]));
        assert_eq!(change(&db, &stream(&b)), Ok(vec![]));
        assert_eq!(remove_streams(&db, &group, &[b.clone(), b.clone()]), Ok(vec![b]));
        assert_eq!(change(&db, &Change::DeleteGroup(group.clone())), Ok(vec![a]));
        assert_eq!(change(&db, &Change::DeleteGroup(group)), missing);
    }

    #[test]
    fn a_jobs_stream_brings_its_group_back() {
        let db = db();
        add_stream(&db, "g", "s", JobKey(1), 5).unwrap();
        add_stream(&db, "g", "s", JobKey(1), 6).unwrap();
        let group = GroupName::parse("g").unwrap();
        assert_eq!(super::group(&db, &group).unwrap().unwrap().created_at, 5);
        assert_eq!(streams(&db, &group, None, "", None, false, 10).unwrap(), [("s".to_owned(), 5)]);
    }

    #[test]
    fn streams_are_listed_by_prefix_in_both_orders() {
        let db = db();
        let names = ["a", "ab", "ab/1", "ab/2", "ac", "b", "\u{10ffff}", "\u{10ffff}x"];
        names.iter().for_each(|name| add_stream(&db, "g", name, JobKey(1), 1).unwrap());
        let group = GroupName::parse("g").unwrap();
        let listed = |prefix: &str, after: Option<&str>, descending| {
            let rows = streams(&db, &group, None, prefix, after, descending, 100).unwrap();
            rows.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(listed("", None, false), names);
        assert_eq!(listed("ab", None, false), ["ab", "ab/1", "ab/2"]);
        assert_eq!(listed("ab", Some("ab/1"), false), ["ab/2"]);
        assert_eq!(listed("ab", Some("ab/1"), true), ["ab"]);
        assert_eq!(listed("a", None, true), ["ac", "ab/2", "ab/1", "ab", "a"]);
        assert_eq!(listed("\u{10ffff}", None, false), ["\u{10ffff}", "\u{10ffff}x"]);
        assert_eq!(successor("\u{d7ff}").as_deref(), Some("\u{e000}"), "not a surrogate");
    }
}
