//! Stacks, events and change sets in the Batch database.
//!
//! They are there because a step of a stack and the queue, environment or log group that it makes
//! are then one transaction.

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::change_set::ChangeSet;
use super::model::{Event, Stack, StackStatus};
use crate::database::lossy::Text;

/// A migration of the Batch database.
pub const TABLES: &str = "
    CREATE TABLE stacks (
        id TEXT PRIMARY KEY, name TEXT NOT NULL,
        deleted_at INTEGER,              -- NULL: it is there
        is_busy INTEGER NOT NULL,        -- an operation is under way
        body TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE stack_events (
        stack TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (stack, number)
    ) WITHOUT ROWID;
    CREATE TABLE change_sets (
        id TEXT PRIMARY KEY, stack TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL
    ) WITHOUT ROWID;
";

/// UG, "View information about a stack": deleted stacks are shown for 90 days.
const SHOWN_FOR_MS: i64 = 90 * 24 * 60 * 60 * 1000;

fn write(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// A damaged record counts as missing, and is logged.
fn read<T: DeserializeOwned>(what: &str, text: &str) -> Option<T> {
    serde_json::from_str(text).inspect_err(|e| tracing::warn!("the record of {what} is damaged: {e}")).ok()
}

fn stacks(db: &Connection, condition: &str, value: &str) -> rusqlite::Result<Vec<Stack>> {
    let mut statement = db.prepare_cached(&format!("SELECT id, body FROM stacks WHERE {condition}"))?;
    let rows = statement
        .query_map([value], |row| Ok((row.get::<_, Text>(0)?.0, row.get::<_, Text>(1)?.0)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.iter().filter_map(|(id, body)| read(id, body)).collect())
}

/// A stack by its ID, or by its name if it is not deleted.
pub fn stack(db: &Connection, name_or_id: &str) -> rusqlite::Result<Option<Stack>> {
    let condition = match name_or_id.starts_with("arn:") {
        true => "id = ?1",
        false => "name = ?1 AND deleted_at IS NULL",
    };
    Ok(stacks(db, condition, name_or_id)?.pop())
}

/// All stacks, the last one made first; deleted ones where they are asked for.
pub fn all(db: &Connection, with_deleted: bool) -> rusqlite::Result<Vec<Stack>> {
    let condition = if with_deleted { "?1 = ''" } else { "deleted_at IS NULL AND ?1 = ''" };
    let mut all = stacks(db, condition, "")?;
    all.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(all)
}

/// The IDs of the stacks that something is being done to.
pub fn busy(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT id FROM stacks WHERE is_busy = 1")?;
    statement.query_map([], |row| Ok(row.get::<_, Text>(0)?.0))?.collect()
}

/// Stores a stack, and the events that are new.
pub fn put(db: &Connection, stack: &mut Stack) -> rusqlite::Result<()> {
    let is_deleted = stack.status == StackStatus::DeleteComplete;
    db.prepare_cached("INSERT OR REPLACE INTO stacks VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        stack.id,
        stack.name,
        is_deleted.then(|| stack.deleted_at.unwrap_or(stack.created_at)),
        stack.operation.is_some(),
        write(stack)?
    ])?;
    for event in stack.new_events.drain(..) {
        db.prepare_cached(
            "INSERT INTO stack_events SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM stack_events WHERE stack = ?1",
        )?
        .execute(params![stack.id, write(&event)?])?;
    }
    Ok(())
}

/// The events of a stack before the one with this number, the last one first.
pub fn events(db: &Connection, stack: &str, before: i64, most: usize) -> rusqlite::Result<Vec<(i64, Event)>> {
    let mut statement = db.prepare_cached(
        "SELECT number, body FROM stack_events WHERE stack = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![stack, before, most], |row| Ok((row.get(0)?, row.get::<_, Text>(1)?.0)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    Ok(rows.iter().filter_map(|(number, body)| Some((*number, read(stack, body)?))).collect())
}

/// A change set by its ARN, or by its name and its stack's ARN.
pub fn change_set(db: &Connection, stack: &str, name_or_id: &str) -> rusqlite::Result<Option<ChangeSet>> {
    let condition = if name_or_id.starts_with("arn:") { "id = ?2" } else { "stack = ?1 AND name = ?2" };
    let sql = format!("SELECT body FROM change_sets WHERE {condition} AND ?1 IS NOT NULL");
    let body = db
        .prepare_cached(&sql)?
        .query_row(params![stack, name_or_id], |row| Ok(row.get::<_, Text>(0)?.0))
        .optional()?;
    Ok(body.and_then(|body| read(name_or_id, &body)))
}

/// The change sets of a stack, by name.
pub fn change_sets(db: &Connection, stack: &str) -> rusqlite::Result<Vec<ChangeSet>> {
    let mut statement = db.prepare_cached("SELECT body FROM change_sets WHERE stack = ?1 ORDER BY name")?;
    let rows = statement
        .query_map([stack], |row| Ok(row.get::<_, Text>(0)?.0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.iter().filter_map(|body| read(stack, body)).collect())
}

/// Stores a change set.
pub fn put_change_set(db: &Connection, set: &ChangeSet) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO change_sets VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        set.id,
        set.stack,
        set.name,
        write(set)?
    ])?;
    Ok(())
}

/// Removes a change set.
pub fn remove_change_set(db: &Connection, id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM change_sets WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Forgets stacks that have been deleted for long.
pub fn expire(db: &Connection, now: i64) -> rusqlite::Result<()> {
    let old = "SELECT id FROM stacks WHERE deleted_at < ?1";
    db.execute(&format!("DELETE FROM stack_events WHERE stack IN ({old})"), [now - SHOWN_FOR_MS])?;
    db.execute(&format!("DELETE FROM change_sets WHERE stack IN ({old})"), [now - SHOWN_FOR_MS])?;
    db.execute("DELETE FROM stacks WHERE deleted_at < ?1", [now - SHOWN_FOR_MS])?;
    Ok(())
}

/// A page of a listing, and the token of the next one: how many entries come before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// `None`: these were the last ones.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page that a token asks for, of at most `most` entries; `None` for a token that is not
    /// one.
    pub fn of(all: Vec<T>, token: Option<&str>, most: usize) -> Option<Self> {
        let from: usize = token.map_or(Some(0), |token| token.parse().ok())?;
        let has_more = all.len() > from.saturating_add(most);
        let entries = all.into_iter().skip(from).take(most).collect();
        Some(Self { entries, next: has_more.then(|| (from + most).to_string()) })
    }
}
