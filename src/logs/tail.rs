//! The last lines, read from the end backwards: few calls, however long the log is.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::api::{self, MAX_LINES, Page, Request};
use super::event::{Event, LogQuery, LogStreamRef};
use super::filtered_reader::{FilteredPage, FilteredReader};
use super::merge::{MAX_SINGLE_STREAMS, merge};
use super::reader::{StreamReader, events};
use super::retry::retry;
use crate::aws::Session;
use crate::ui::Failure;

/// FilterLogEvents reads backwards only from this time on, 2024-01-01 (API `FilterLogEvents`,
/// startFromHead).
const BACKWARDS_SINCE: i64 = 1_704_067_200_000;
/// At most this many calls are made at the same time.
const CALLS_AT_ONCE: usize = 8;

/// The end of one stream.
#[derive(Debug)]
pub(super) enum StreamTail {
    /// The last lines, and a reader for the lines behind them.
    Lines(Vec<Event>, StreamReader),
    /// The stream does not exist.
    NoStream,
    /// The log group does not exist.
    NoGroup(Failure),
}

/// The last lines of one stream.
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub(super) async fn stream_tail(
    session: &Session,
    stream: &Arc<LogStreamRef>,
    since: Option<i64>,
    lines: usize,
) -> Result<StreamTail, Failure> {
    let mut token = None;
    let mut pages = Vec::new();
    let mut behind: Option<StreamReader> = None;
    let mut left = lines;
    let reader = loop {
        let limit = Some(left.clamp(1, MAX_LINES));
        let request =
            Request { from: since, token: token.clone(), from_tail: true, limit, ..Request::default() };
        let has_begun = token.is_some();
        let page = retry(has_begun, || api::get(session, stream, &request)).await?;
        let (mut lines_of_page, tokens) = match page {
            Page::Lines(lines, tokens) => (lines, tokens),
            Page::NoStream => return Ok(StreamTail::NoStream),
            Page::NoGroup(failure) => return Ok(StreamTail::NoGroup(failure)),
            Page::TokenExpired => return Err(Failure::failed("reading the last lines took a day")),
        };
        let new = || StreamReader::behind(stream.clone(), since, tokens.forward, &lines_of_page);
        let reader = behind.take().unwrap_or_else(new);
        // The token of the first page comes back unchanged (API `GetLogEvents`).
        let is_end = tokens.backward.is_none() || tokens.backward == token;
        token = tokens.backward;
        lines_of_page.drain(..lines_of_page.len().saturating_sub(left));
        left -= lines_of_page.len();
        pages.push(lines_of_page);
        if is_end || left == 0 {
            break reader;
        }
        behind = Some(reader);
    };
    let lines = pages.into_iter().rev().flatten().collect();
    Ok(StreamTail::Lines(events(stream, lines), reader))
}

/// The last lines of one stream; `None` where it does not exist (yet).
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub async fn last_lines(
    session: &Session,
    stream: &Arc<LogStreamRef>,
    lines: usize,
) -> Result<Option<Vec<Event>>, Failure> {
    match stream_tail(session, stream, None, lines).await? {
        StreamTail::Lines(lines, _) => Ok(Some(lines)),
        StreamTail::NoStream | StreamTail::NoGroup(_) => Ok(None),
    }
}

/// The last lines of several streams, by time, and the streams that do not exist.
///
/// # Errors
/// When CloudWatch Logs cannot be asked, or a log group does not exist.
pub async fn tail(
    session: &Arc<Session>,
    streams: &[Arc<LogStreamRef>],
    query: &LogQuery,
    lines: usize,
) -> Result<Tail, Failure> {
    if streams.len() > MAX_SINGLE_STREAMS || query.pattern.is_some() {
        return many_streams_tail(session, streams, query, lines).await;
    }
    let asked = streams.iter().map(|stream| stream_tail(session, stream, query.since, lines));
    let mut answers = stream::iter(streams).zip(stream::iter(asked).buffered(CALLS_AT_ONCE));
    let mut tail = Tail::default();
    while let Some((stream, answer)) = answers.next().await {
        match answer? {
            StreamTail::Lines(lines, _) => tail.lines.extend(lines),
            StreamTail::NoStream => tail.missing.push(stream.clone()),
            StreamTail::NoGroup(failure) => return Err(failure),
        }
        keep_last(&mut tail.lines, lines);
    }
    Ok(tail)
}

/// The last lines of several streams.
#[derive(Debug, Default)]
pub struct Tail {
    /// The lines, by time.
    pub lines: Vec<Event>,
    /// The streams that do not exist.
    pub missing: Vec<Arc<LogStreamRef>>,
}

/// Sorts lines by time, and drops all but the last ones. The lines of one stream are in order
/// already.
pub(super) fn keep_last(lines: &mut Vec<Event>, last: usize) {
    lines.sort_by_key(Event::time);
    lines.drain(..lines.len().saturating_sub(last));
}

/// The last lines of many streams, a hundred streams at a time.
async fn many_streams_tail(
    session: &Arc<Session>,
    streams: &[Arc<LogStreamRef>],
    query: &LogQuery,
    lines: usize,
) -> Result<Tail, Failure> {
    let since = Some(query.begin().unwrap_or(BACKWARDS_SINCE).max(BACKWARDS_SINCE));
    let readers = FilteredReader::all(streams, since, query.pattern.as_deref());
    let asked = readers.into_iter().map(|reader| reader_tail(session, reader, lines));
    let mut answers = stream::iter(asked).buffered(CALLS_AT_ONCE);
    let mut tail = Tail::default();
    while let Some(answer) = answers.next().await {
        match answer? {
            Some(some) => {
                tail.lines.extend(some.lines);
                tail.missing.extend(some.missing);
            }
            None => {
                drop(answers);
                return tail_by_reading_all(session, streams, query, lines).await;
            }
        }
        keep_last(&mut tail.lines, lines);
    }
    Ok(tail)
}

/// The last lines of the streams of one reader; `None` when the server does not read backwards.
async fn reader_tail(
    session: &Session,
    reader: FilteredReader,
    lines: usize,
) -> Result<Option<Tail>, Failure> {
    let mut tail = Tail::default();
    let mut readers = vec![reader];
    while let Some(mut reader) = readers.pop() {
        let mut own: Vec<Event> = Vec::new();
        while own.len() < lines.max(1) {
            reader.limit(lines - own.len());
            let call = || {
                let mut reader = reader.clone();
                async move {
                    let page = reader.next(session, true).await?;
                    Ok((reader, page))
                }
            };
            let (next, page) = retry(true, call).await?;
            reader = next;
            match page {
                FilteredPage::Lines(page, is_last) => {
                    let ascends = page.iter().zip(page.iter().skip(1)).any(|(a, b)| a.time() < b.time());
                    if ascends && !is_last {
                        return Ok(None);
                    }
                    // The server has no other order than ascending, but this page has all lines.
                    own.extend(if ascends { page.into_iter().rev().collect() } else { page });
                    if is_last {
                        break;
                    }
                }
                FilteredPage::Split(halves) => {
                    readers.extend(halves.map(|half| *half));
                    break;
                }
                FilteredPage::NoStream(stream) => {
                    tail.missing.push(stream);
                    break;
                }
                FilteredPage::NoGroup(failure) => return Err(failure),
            }
        }
        own.reverse();
        tail.lines.extend(own);
        keep_last(&mut tail.lines, lines);
    }
    Ok(Some(tail))
}

/// The last lines, found by reading all lines.
async fn tail_by_reading_all(
    session: &Arc<Session>,
    streams: &[Arc<LogStreamRef>],
    query: &LogQuery,
    lines: usize,
) -> Result<Tail, Failure> {
    let mut last = Vec::new();
    let missing = merge(session, streams, query, |page| {
        last.extend(page);
        keep_last(&mut last, lines);
        Ok(true)
    })
    .await?;
    Ok(Tail { lines: last, missing })
}
