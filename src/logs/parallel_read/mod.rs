//! Reading one stream to its end, from several points in time at once.

mod window;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use super::event::{Event, LogStreamRef};
use super::reader::{StreamPage, StreamReader};
use super::retry::{retry, task_failure};
use crate::aws::Session;
use crate::ui::Failure;
use window::Window;
pub(super) use window::is_full;

/// A stream of which fewer lines are asked for is read page by page.
const MIN_PARALLEL_LINES: usize = 30_000;

/// The part of a stream that is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimeRange {
    /// From this time on, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// At most this many lines, or a few more.
    pub max_lines: Option<usize>,
    /// The time at which its writer ended, if it is known. Later lines are read, too.
    pub ended_at: Option<i64>,
}

/// Reads a stream and hands its lines on in order, until `show` returns `false`. Returns whether
/// the stream exists.
///
/// # Errors
/// When CloudWatch Logs cannot be asked, the log group does not exist, or `show` fails.
pub async fn read(
    session: &Arc<Session>,
    stream: &Arc<LogStreamRef>,
    range: TimeRange,
    mut show: impl FnMut(Vec<Event>) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let mut is_there = true;
    let TimeRange { since, max_lines, ended_at } = range;
    let mut window = Window::new(max_lines.is_none_or(|n| n >= MIN_PARALLEL_LINES), ended_at);
    let mut readers: HashMap<u64, StreamReader> = HashMap::new();
    let mut calls = JoinSet::new();
    let mut under_way: HashMap<u64, AbortHandle> = HashMap::new();
    while !window.is_done() {
        for call in window.calls() {
            let known = readers.remove(&call.probe);
            let (session, has_begun) = (session.clone(), known.is_some() || call.probe > 0);
            let new = || StreamReader::new(stream.clone(), call.start.or(since)).limited(max_lines);
            let reader = known.unwrap_or_else(new);
            let handle = calls.spawn(async move { (call.probe, next(&session, reader, has_begun).await) });
            under_way.insert(call.probe, handle);
        }
        // Other probes have read the part of these meanwhile.
        under_way.retain(|probe, handle| {
            let is_needed = window.needs(*probe);
            if !is_needed {
                handle.abort();
            }
            is_needed
        });
        // A call is always under way, because the window is not done.
        let Some(answer) = calls.join_next().await else { return Ok(is_there) };
        let (probe, answer) = match answer {
            Err(e) if e.is_cancelled() => continue,
            answer => answer.map_err(|e| task_failure(&e))?,
        };
        under_way.remove(&probe);
        // It may have failed before it could be aborted.
        if !window.needs(probe) {
            continue;
        }
        let (reader, page) = answer?;
        let page = match page {
            StreamPage::Lines(lines) => Some(lines),
            StreamPage::End => None,
            StreamPage::NoStream => {
                is_there = false;
                None
            }
            StreamPage::NoGroup(failure) => return Err(failure),
        };
        readers.insert(probe, reader);
        window.add_page(probe, page);
        while let Some(lines) = window.take() {
            if !lines.is_empty() && !show(lines)? {
                return Ok(true);
            }
        }
    }
    Ok(is_there)
}

/// The next page of a reader.
async fn next(
    session: &Session,
    reader: StreamReader,
    has_begun: bool,
) -> Result<(StreamReader, StreamPage), Failure> {
    retry(has_begun, || {
        // The reader moves on only when a page has arrived.
        let mut reader = reader.clone();
        async move {
            let page = reader.next(session).await?;
            Ok((reader, page))
        }
    })
    .await
}
