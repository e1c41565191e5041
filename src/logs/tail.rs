//! The last lines, read from the end backwards: few calls, however long the log is.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::call::{self, Answer, MOST_LINES, Question};
use super::event::{Event, Place, Wanted};
use super::filtered::{Filtered, FilteredPage};
use super::merge::{FEW, merge};
use super::read::{Reader, events};
use super::segments::persist;
use crate::aws::Session;
use crate::ui::Failure;

/// FilterLogEvents reads backwards only from here on, 2024-01-01 (API `FilterLogEvents`, startFromHead).
const BACKWARDS_SINCE: i64 = 1_704_067_200_000;
/// So many calls are made at once.
const AT_ONCE: usize = 8;

/// The end of one stream.
#[derive(Debug)]
pub(super) enum End {
    /// The last lines, and a reader for what comes behind them.
    Lines(Vec<Event>, Reader),
    /// The stream is not there.
    NoStream,
    /// The log group is not there.
    NoGroup(Failure),
}

/// The last lines of one stream.
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub(super) async fn of_stream(
    session: &Session,
    place: &Arc<Place>,
    since: Option<i64>,
    lines: usize,
) -> Result<End, Failure> {
    let mut token = None;
    let mut pages = Vec::new();
    let mut behind: Option<Reader> = None;
    let mut left = lines;
    let reader = loop {
        let limit = Some(left.clamp(1, MOST_LINES));
        let question =
            Question { from: since, token: token.clone(), from_tail: true, limit, ..Question::default() };
        let has_begun = token.is_some();
        let answer = persist(has_begun, || call::get(session, place, &question)).await?;
        let (mut page, tokens) = match answer {
            Answer::Lines(page, tokens) => (page, tokens),
            Answer::NoStream => return Ok(End::NoStream),
            Answer::NoGroup(failure) => return Ok(End::NoGroup(failure)),
            Answer::TokenExpired => return Err(Failure::failed("reading the last lines took a day")),
        };
        let new = || Reader::behind(place.clone(), since, tokens.forward, &page);
        let reader = behind.take().unwrap_or_else(new);
        let is_end = page.is_empty() && (tokens.backward.is_none() || tokens.backward == token);
        token = tokens.backward;
        page.drain(..page.len().saturating_sub(left));
        left -= page.len();
        pages.push(page);
        if is_end || left == 0 || token.is_none() {
            break reader;
        }
        behind = Some(reader);
    };
    let lines = pages.into_iter().rev().flatten().collect();
    Ok(End::Lines(events(place, lines), reader))
}

/// The last lines of one stream; `None` where there is no such stream (yet).
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub async fn end_of(
    session: &Session,
    place: &Arc<Place>,
    lines: usize,
) -> Result<Option<Vec<Event>>, Failure> {
    match of_stream(session, place, None, lines).await? {
        End::Lines(lines, _) => Ok(Some(lines)),
        End::NoStream | End::NoGroup(_) => Ok(None),
    }
}

/// The last lines of several streams, by time, and the streams that are not there.
///
/// # Errors
/// When CloudWatch Logs cannot be asked, or a log group is not there.
pub async fn tail(
    session: &Arc<Session>,
    places: &[Arc<Place>],
    wanted: &Wanted,
    lines: usize,
) -> Result<Tail, Failure> {
    if places.len() > FEW || wanted.pattern.is_some() {
        return of_many(session, places, wanted, lines).await;
    }
    let asked = places.iter().map(|place| of_stream(session, place, wanted.since, lines));
    let mut answers = stream::iter(places).zip(stream::iter(asked).buffered(AT_ONCE));
    let mut tail = Tail::default();
    while let Some((place, answer)) = answers.next().await {
        match answer? {
            End::Lines(lines, _) => tail.lines.extend(lines),
            End::NoStream => tail.missing.push(place.clone()),
            End::NoGroup(failure) => return Err(failure),
        }
        cut(&mut tail.lines, lines);
    }
    Ok(tail)
}

/// The last lines of several streams.
#[derive(Debug, Default)]
pub struct Tail {
    /// The lines, by time.
    pub lines: Vec<Event>,
    /// The streams that are not there.
    pub missing: Vec<Arc<Place>>,
}

/// Orders lines by time (those of one stream are in order), and keeps the last ones.
pub(super) fn cut(lines: &mut Vec<Event>, last: usize) {
    lines.sort_by_key(Event::time);
    lines.drain(..lines.len().saturating_sub(last));
}

/// The last lines of many streams, a hundred streams at a time.
async fn of_many(
    session: &Arc<Session>,
    places: &[Arc<Place>],
    wanted: &Wanted,
    lines: usize,
) -> Result<Tail, Failure> {
    let since = Some(wanted.begin().unwrap_or(BACKWARDS_SINCE).max(BACKWARDS_SINCE));
    let hundreds = Filtered::all(places, since, wanted.pattern.as_deref());
    let asked = hundreds.into_iter().map(|hundred| of_hundred(session, hundred, lines));
    let mut answers = stream::iter(asked).buffered(AT_ONCE);
    let mut tail = Tail::default();
    while let Some(answer) = answers.next().await {
        match answer? {
            Some(some) => {
                tail.lines.extend(some.lines);
                tail.missing.extend(some.missing);
            }
            None => {
                drop(answers);
                return forwards(session, places, wanted, lines).await;
            }
        }
        cut(&mut tail.lines, lines);
    }
    Ok(tail)
}

/// The last lines of up to a hundred streams; `None` when the server does not read backwards.
async fn of_hundred(session: &Session, hundred: Filtered, lines: usize) -> Result<Option<Tail>, Failure> {
    let mut tail = Tail::default();
    let mut waiting = vec![hundred];
    while let Some(mut filtered) = waiting.pop() {
        let mut own: Vec<Event> = Vec::new();
        while own.len() < lines.max(1) {
            filtered.limit(lines - own.len());
            let call = || {
                let mut filtered = filtered.clone();
                async move {
                    let page = filtered.next(session, true).await?;
                    Ok((filtered, page))
                }
            };
            let (next, page) = persist(true, call).await?;
            filtered = next;
            match page {
                FilteredPage::Lines(page, is_last) => {
                    let ascends = page.iter().zip(page.iter().skip(1)).any(|(a, b)| a.time() < b.time());
                    if ascends && !is_last {
                        return Ok(None);
                    }
                    // A server that knows no other order, but has all of them here.
                    own.extend(if ascends { page.into_iter().rev().collect() } else { page });
                    if is_last {
                        break;
                    }
                }
                FilteredPage::Parted(halves) => {
                    waiting.extend(halves.map(|half| *half));
                    break;
                }
                FilteredPage::NoStream(place) => {
                    tail.missing.push(place);
                    break;
                }
                FilteredPage::NoGroup(failure) => return Err(failure),
            }
        }
        own.reverse();
        tail.lines.extend(own);
        cut(&mut tail.lines, lines);
    }
    Ok(Some(tail))
}

/// The last lines, found by reading all of them.
async fn forwards(
    session: &Arc<Session>,
    places: &[Arc<Place>],
    wanted: &Wanted,
    lines: usize,
) -> Result<Tail, Failure> {
    let mut last = Vec::new();
    let missing = merge(session, places, wanted, |page| {
        last.extend(page);
        cut(&mut last, lines);
        Ok(true)
    })
    .await?;
    Ok(Tail { lines: last, missing })
}
