//! Reading rows of the Batch database, for its writer and for its readers.

use rusqlite::{Connection, OptionalExtension};

use super::model::JobKey;
use awsb_model::Status;

/// The status that the database has as a number.
pub fn status(code: u8) -> Status {
    Status::ALL.get(usize::from(code)).copied().unwrap_or(Status::Failed)
}

/// A value that the database has as JSON.
pub fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.into()))
}

/// The job that an ID means: `UUID`, `UUID:INDEX` for a child, or `UUID#INDEX` for a node.
pub fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<JobKey>> {
    let (parent, part) = match id.find([':', '#']) {
        None => (id, None),
        Some(at) => {
            let (parent, index) = id.split_at(at);
            match index[1..].parse::<u32>() {
                Ok(number) if number.to_string() == index[1..] => (parent, Some((&index[..1], number))),
                _ => return Ok(None),
            }
        }
    };
    let found: Option<(i64, Option<u32>, Option<u32>)> = db
        .prepare_cached("SELECT key, size, nodes FROM jobs WHERE id = ?1")?
        .query_row([parent], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((key, size, nodes)) = found else { return Ok(None) };
    Ok(match part {
        None => Some(JobKey(key)),
        Some((mark, index)) => {
            let count = if mark == ":" { size } else { nodes };
            count.filter(|count| index < *count).map(|_| JobKey(key).child(index))
        }
    })
}
