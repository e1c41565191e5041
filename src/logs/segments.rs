//! Reading one stream to its end, from several points in time at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

use super::event::{Event, Place};
use super::read::{Page, Reader};
use super::window::Window;
use crate::aws::Session;
use crate::ui::Failure;

/// Reading that has begun is not given up sooner when it is throttled or contact is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// A stream of which fewer lines are wanted is read page by page.
const WORTH_IT: usize = 30_000;

/// Which part of a stream is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stretch {
    /// From this time on, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// So many lines of it, or few more.
    pub most: Option<usize>,
    /// When its writer ended, as far as is known. Lines from after it are read, too.
    pub ended_at: Option<i64>,
}

/// Reads a stream and hands its lines on in order, until `show` says that it has enough. Says whether the stream is there.
///
/// # Errors
/// When CloudWatch Logs cannot be asked, its log group is not there, or `show` fails.
pub async fn read(
    session: &Arc<Session>,
    place: &Arc<Place>,
    stretch: Stretch,
    mut show: impl FnMut(Vec<Event>) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let mut is_there = true;
    let Stretch { since, most, ended_at } = stretch;
    let mut window = Window::new(most.is_none_or(|n| n >= WORTH_IT), ended_at);
    let mut readers: HashMap<u64, Reader> = HashMap::new();
    let mut calls = JoinSet::new();
    let mut under_way: HashMap<u64, AbortHandle> = HashMap::new();
    while !window.is_done() {
        for call in window.calls() {
            let known = readers.remove(&call.probe);
            let (session, has_begun) = (session.clone(), known.is_some() || call.probe > 0);
            let new = || Reader::new(place.clone(), call.start.or(since)).limited(most);
            let reader = known.unwrap_or_else(new);
            let handle = calls.spawn(async move { (call.probe, next(&session, reader, has_begun).await) });
            under_way.insert(call.probe, handle);
        }
        // What others have read meanwhile.
        under_way.retain(|probe, handle| {
            let is_needed = window.needs(*probe);
            if !is_needed {
                handle.abort();
            }
            is_needed
        });
        // One is always under way: the window is not done.
        let Some(answer) = calls.join_next().await else { return Ok(is_there) };
        let (probe, answer) = match answer {
            Err(e) if e.is_cancelled() => continue,
            answer => answer.map_err(|e| broken(&e))?,
        };
        under_way.remove(&probe);
        // It may have failed before it could be aborted.
        if !window.needs(probe) {
            continue;
        }
        let (reader, page) = answer?;
        let page = match page {
            Page::Lines(lines) => Some(lines),
            Page::End => None,
            Page::NoStream => {
                is_there = false;
                None
            }
            Page::NoGroup(failure) => return Err(failure),
        };
        readers.insert(probe, reader);
        window.came(probe, page);
        while let Some(lines) = window.take() {
            if !lines.is_empty() && !show(lines)? {
                return Ok(true);
            }
        }
    }
    Ok(is_there)
}

/// The next page of a reader.
async fn next(session: &Session, reader: Reader, has_begun: bool) -> Result<(Reader, Page), Failure> {
    persist(has_begun, || {
        // The reader moves on only when a page has arrived.
        let mut reader = reader.clone();
        async move {
            let page = reader.next(session).await?;
            Ok((reader, page))
        }
    })
    .await
}

/// Makes a call again while it fails in passing, if reading has begun.
pub(super) async fn persist<T, F: Future<Output = Result<T, Failure>>>(
    has_begun: bool,
    call: impl Fn() -> F,
) -> Result<T, Failure> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(300);
    loop {
        match call().await {
            Err(failure) if failure.is_retryable() && has_begun && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            outcome => return outcome,
        }
    }
}

/// A task that has panicked.
pub(super) fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::failed(format!("reading the output: {error}"))
}
