//! Many streams as one, in the order of time. The order within a stream never changes.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::api::MAX_LINES;
use super::event::{Event, LogQuery, LogStreamRef};
use super::filtered_reader::{FilteredPage, FilteredReader};
use super::merge_queue::MergeQueue;
use super::reader::{StreamPage, StreamReader};
use super::retry::{retry, task_failure};
use crate::aws::Session;
use crate::ui::Failure;

/// At most this many streams are read one by one; more of them a hundred at a time.
pub(super) const MAX_SINGLE_STREAMS: usize = 10;
/// At most this many calls are made at the same time.
const CALLS_AT_ONCE: usize = 8;
/// The lines that wait to be handed on take about this many bytes.
const BUFFER_BYTES: usize = 20 << 20;
/// The size of a line in bytes, as long as no line is known.
const EXPECTED_LINE_BYTES: usize = 1024;
/// At most this many lines are handed on together.
const BATCH_LINES: usize = 5_000;

/// A reader of one stream or of several.
#[derive(Debug, Clone)]
enum Feed {
    One(StreamReader),
    Several(Box<FilteredReader>),
}

/// The answer of a feed.
enum FeedPage {
    /// Lines, and whether they were the last.
    Lines(Vec<Event>, bool),
    Split([Box<FilteredReader>; 2]),
    NoStream(Arc<LogStreamRef>),
}

impl Feed {
    async fn next(&mut self, session: &Session) -> Result<FeedPage, Failure> {
        match self {
            Feed::One(reader) => match reader.next(session).await? {
                StreamPage::Lines(lines) => Ok(FeedPage::Lines(lines, false)),
                StreamPage::End => Ok(FeedPage::Lines(Vec::new(), true)),
                StreamPage::NoStream => Ok(FeedPage::NoStream(reader.stream.clone())),
                StreamPage::NoGroup(failure) => Err(failure),
            },
            Feed::Several(filtered) => match filtered.next(session, false).await? {
                FilteredPage::Lines(lines, is_last) => Ok(FeedPage::Lines(lines, is_last)),
                FilteredPage::Split(halves) => Ok(FeedPage::Split(halves)),
                FilteredPage::NoStream(stream) => Ok(FeedPage::NoStream(stream)),
                FilteredPage::NoGroup(failure) => Err(failure),
            },
        }
    }

    fn limited(mut self, limit: usize) -> Self {
        match &mut self {
            Feed::One(reader) => *reader = reader.clone().limited(Some(limit)),
            Feed::Several(filtered) => filtered.limit(limit),
        }
        self
    }
}

#[derive(Debug)]
struct Source {
    /// `None` while its call is under way, and after its end.
    feed: Option<Feed>,
    /// When at most this many lines are left, more are fetched.
    refill_at: usize,
    /// The average size of a line, in bytes.
    line_bytes: usize,
}

impl Source {
    fn new(feed: Feed) -> Self {
        Self { feed: Some(feed), refill_at: 0, line_bytes: EXPECTED_LINE_BYTES }
    }
}

/// Hands on the lines of all these streams by time, and those of one millisecond in the order of
/// the streams, until `show` returns `false`. The memory for lines that wait is bounded, however
/// many streams there are. Returns the streams that do not exist.
///
/// # Errors
/// When CloudWatch Logs cannot be asked, a log group does not exist, or `show` fails.
pub async fn merge(
    session: &Arc<Session>,
    streams: &[Arc<LogStreamRef>],
    query: &LogQuery,
    mut show: impl FnMut(Vec<Event>) -> Result<bool, Failure>,
) -> Result<Vec<Arc<LogStreamRef>>, Failure> {
    let feeds: Vec<Feed> = if streams.len() <= MAX_SINGLE_STREAMS && query.pattern.is_none() {
        streams.iter().map(|stream| Feed::One(StreamReader::new(stream.clone(), query.since))).collect()
    } else {
        let all = FilteredReader::all(streams, query.begin(), query.pattern.as_deref());
        all.into_iter().map(|filtered| Feed::Several(Box::new(filtered))).collect()
    };
    let mut sources: Vec<Source> = feeds.into_iter().map(Source::new).collect();
    // A source has the same index in the queue.
    let mut queue = MergeQueue::default();
    for _ in &sources {
        queue.add_stream();
    }
    let mut calls = JoinSet::new();
    let mut has_begun = false;
    let mut missing = Vec::new();
    loop {
        let each = BUFFER_BYTES / sources.len().max(1);
        // The sources for which all others wait come first.
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.sort_by_key(|n| queue.pending(*n));
        for n in order {
            let Some(source) = sources.get_mut(n) else { continue };
            if calls.len() >= CALLS_AT_ONCE || queue.pending(n) > source.refill_at {
                continue;
            }
            if let Some(feed) = source.feed.take() {
                let feed = feed.limited((each / source.line_bytes).clamp(20, MAX_LINES));
                let session = session.clone();
                calls.spawn(async move {
                    let call = || {
                        let (mut feed, session) = (feed.clone(), &session);
                        async move {
                            let page = feed.next(session).await?;
                            Ok((feed, page))
                        }
                    };
                    (n, retry(has_begun, call).await)
                });
            }
        }
        let batch = queue.take(BATCH_LINES);
        if !batch.is_empty() {
            if !show(batch)? {
                return Ok(missing);
            }
            continue;
        }
        let Some(answer) = calls.join_next().await else { return Ok(missing) };
        let (n, answer) = answer.map_err(|e| task_failure(&e))?;
        let (feed, page) = answer?;
        has_begun = true;
        let Some(source) = sources.get_mut(n) else { continue };
        match page {
            FeedPage::Lines(lines, is_last) => {
                let bytes: usize = lines.iter().map(Event::size).sum();
                if !lines.is_empty() {
                    source.line_bytes = bytes / lines.len();
                    source.refill_at = lines.len() / 2;
                }
                queue.push(n, lines);
                if is_last {
                    queue.end(n);
                }
                source.feed = Some(feed).filter(|_| !is_last);
            }
            FeedPage::Split([left, right]) => {
                source.feed = Some(Feed::Several(left));
                sources.push(Source::new(Feed::Several(right)));
                queue.add_stream();
            }
            FeedPage::NoStream(stream) => {
                queue.end(n);
                missing.push(stream);
            }
        }
    }
}
