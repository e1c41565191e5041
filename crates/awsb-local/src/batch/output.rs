//! Whether the output of an attempt is as long as it was at the end of the attempt.
//!
//! A runner reports the lengths of the log streams' files with the end of an attempt. A file that
//! is shorter, or gone though nobody has deleted or expired the stream, has lost lines. The attempt
//! then says that its output is incomplete.

use std::path::Path;

use super::reader::{JobRow, Snapshot};
use super::request::Spec;
use super::request::task::{self, Task};
use super::state::Attempt;
use super::{describe, log_streams};
use crate::logs::{self, names};
use crate::time::now_ms;
use awsb_model::OUTPUT_NOT_KEPT;

/// Says of a job and its attempts which of them have lost output since their end.
pub fn mark_lost_output(
    db: &Snapshot,
    home: &Path,
    row: &mut JobRow,
    spec: &Spec,
    attempts: &mut [Attempt],
) -> rusqlite::Result<()> {
    let node = describe::node_of(row, spec);
    for attempt in attempts {
        let streams = spec.log_streams(node, attempt.attempt_id.as_str());
        let mut all_lost = Vec::new();
        if attempt.containers.is_empty() {
            let (group, stream) = (spec.log_group(node), spec.log_stream(node, attempt.attempt_id.as_str()));
            if let Some(lost) = lost(db, home, group, &stream, attempt.output, attempt.stopped_at)? {
                attempt.reason = Some(with(attempt.reason.as_deref(), &lost));
                all_lost.push(lost);
            }
        }
        let main = spec.task.as_ref().map(Task::main);
        for (index, (end, (group, stream))) in attempt.containers.iter_mut().zip(&streams).enumerate() {
            // An earlier version has written down the length of the main container's stream only.
            let length = end.output.or_else(|| attempt.output.filter(|_| main == Some(index)));
            if let Some(lost) = lost(db, home, group, stream, length, attempt.stopped_at)? {
                end.reason = Some(with(end.reason.as_deref(), &lost));
                let container = spec.task.as_ref().and_then(|task| task.containers.get(index));
                let name = container.and_then(task::name).unwrap_or(task::UNNAMED);
                all_lost.push(format!("{name}: {lost}"));
            }
        }
        if row.attempt_id.as_deref() == Some(attempt.attempt_id.as_str()) {
            for lost in all_lost {
                row.reason = Some(with(row.reason.as_deref(), &lost));
            }
        }
    }
    Ok(())
}

fn with(reason: Option<&str>, lost: &str) -> String {
    reason.map_or_else(|| lost.to_owned(), |reason| format!("{reason}; {lost}"))
}

/// The words for what is gone of the output in a log stream, if something is.
fn lost(
    db: &Snapshot,
    home: &Path,
    group: &str,
    stream: &str,
    length: Option<u64>,
    stopped_at: i64,
) -> rusqlite::Result<Option<String>> {
    let Some(length) = length.filter(|length| *length > 0) else { return Ok(None) };
    let there = match std::fs::metadata(home.join(logs::file_of(group, stream))) {
        Ok(meta) => meta.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        // Reading the stream reports this error.
        Err(_) => return Ok(None),
    };
    if there >= length || is_removed(db, group, stream, stopped_at)? {
        return Ok(None);
    }
    let what = match there {
        0 => "the file of its log stream is gone or empty".to_owned(),
        _ => format!("the file of its log stream has {there} of its {length} bytes"),
    };
    Ok(Some(format!("{OUTPUT_NOT_KEPT}: {what}, and the rest of its output is lost")))
}

/// Whether a stream has been deleted, or its events have expired.
fn is_removed(db: &Snapshot, group: &str, stream: &str, stopped_at: i64) -> rusqlite::Result<bool> {
    let (group, stream) =
        (names::GroupName::from_valid(group.to_owned()), names::StreamName::from_valid(stream.to_owned()));
    let connection = db.connection();
    if !log_streams::has_stream(connection, &group, &stream)? {
        return Ok(true);
    }
    let before = log_streams::group(connection, &group)?.and_then(|group| group.expired_before(now_ms()));
    Ok(before.is_some_and(|before| stopped_at < before))
}
