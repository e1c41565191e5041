//! Whether the output of an attempt is as long as it was at the end of the attempt.
//!
//! A runner reports the length of the log stream's file with the end of an attempt. A file that is
//! shorter, or gone though nobody has deleted or expired the stream, has lost lines. The attempt
//! then says that its output is incomplete.

use std::path::Path;

use super::reader::{JobRow, Snapshot};
use super::request::Spec;
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
        let (group, stream) = (spec.log_group(node), spec.log_stream(node, attempt.attempt_id.as_str()));
        let Some(length) = attempt.output.filter(|length| *length > 0) else { continue };
        let there = match std::fs::metadata(home.join(logs::file_of(group, &stream))) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            // Reading the stream reports this error.
            Err(_) => continue,
        };
        if there >= length || is_removed(db, group, &stream, attempt.stopped_at)? {
            continue;
        }
        let what = match there {
            0 => "the file of its log stream is gone or empty".to_owned(),
            _ => format!("the file of its log stream has {there} of its {length} bytes"),
        };
        let lost = format!("{OUTPUT_NOT_KEPT}: {what}, and the rest of its output is lost");
        let with = |reason: &Option<String>| match reason {
            Some(reason) => Some(format!("{reason}; {lost}")),
            None => Some(lost.clone()),
        };
        attempt.reason = with(&attempt.reason);
        if row.attempt_id.as_deref() == Some(attempt.attempt_id.as_str()) {
            row.reason = with(&row.reason);
        }
    }
    Ok(())
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
