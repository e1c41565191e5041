//! Queues, compute environments, scheduling policies and consumable resources in the database:
//! reading.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::definition::resource_name;
use super::rows::from_json;
use crate::constants::{COMPUTE_ENVIRONMENT, QUEUE};
use crate::database::lossy::Text;

/// The kinds of resources besides jobs and job definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ResourceKind {
    Queue,
    ComputeEnvironment,
    Policy,
    Consumable,
}

impl ResourceKind {
    /// As in an ARN.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "job-queue",
            Self::ComputeEnvironment => "compute-environment",
            Self::Policy => "scheduling-policy",
            Self::Consumable => "consumable-resource",
        }
    }

    /// The name in an ARN of this kind, or the name itself.
    pub fn name_in(self, text: &str) -> &str {
        resource_name(self.as_str(), text)
    }

    /// The name of the built-in one.
    pub fn built_in(self) -> Option<&'static str> {
        match self {
            Self::Queue => Some(QUEUE),
            Self::ComputeEnvironment => Some(COMPUTE_ENVIRONMENT),
            Self::Policy | Self::Consumable => None,
        }
    }
}

/// One resource.
pub fn one(db: &Connection, kind: ResourceKind, name: &str) -> rusqlite::Result<Option<Value>> {
    db.prepare_cached("SELECT body FROM resources WHERE kind = ?1 AND name = ?2")?
        .query_row(params![kind.as_str(), name], |row| Ok(readable(kind, name, &row.get::<_, Text>(0)?.0)))
        .optional()
        .map(Option::flatten)
}

/// The content of a record. A damaged record counts as missing, and is logged.
fn readable(kind: ResourceKind, name: &str, body: &str) -> Option<Value> {
    from_json(body)
        .inspect_err(|e| tracing::warn!("the record of {} {name} is damaged: {e}", kind.as_str()))
        .ok()
        .filter(Value::is_object)
}

/// All of a kind, by name.
pub fn all(db: &Connection, kind: ResourceKind) -> rusqlite::Result<Vec<(String, Value)>> {
    let mut statement =
        db.prepare_cached("SELECT name, body FROM resources WHERE kind = ?1 ORDER BY name")?;
    let rows = statement
        .query_map([kind.as_str()], |row| Ok((row.get::<_, Text>(0)?.0, row.get::<_, Text>(1)?.0)))?;
    let mut all = Vec::new();
    for row in rows {
        let (name, body) = row?;
        all.extend(readable(kind, &name, &body).map(|body| (name, body)));
    }
    Ok(all)
}
