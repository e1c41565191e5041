//! Many streams as one, in the order of time. Within a stream the order is never changed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::call::MOST_LINES;
use super::event::{Event, Place, Wanted};
use super::filtered::{Filtered, FilteredPage};
use super::read::{Page, Reader};
use super::segments::{broken, persist};
use crate::aws::Session;
use crate::ui::Failure;

/// So few streams are read one by one; more of them a hundred at a time.
pub(super) const FEW: usize = 10;
/// So many calls are made at once.
const AT_ONCE: usize = 8;
/// The lines that wait to be handed on take about so many bytes.
const MEMORY: usize = 20 << 20;
/// So many bytes a line has as long as none is known.
const FIRST_GUESS: usize = 1024;
/// So many lines are handed on together.
const TOGETHER: usize = 5_000;

/// Where lines come from.
#[derive(Debug, Clone)]
enum Feed {
    One(Reader),
    Several(Box<Filtered>),
}

/// What came from there.
enum Came {
    Lines(Vec<Event>, bool),
    Parted([Box<Filtered>; 2]),
    NoStream(Arc<Place>),
}

impl Feed {
    async fn next(&mut self, session: &Session) -> Result<Came, Failure> {
        match self {
            Feed::One(reader) => match reader.next(session).await? {
                Page::Lines(lines) => Ok(Came::Lines(lines, false)),
                Page::End => Ok(Came::Lines(Vec::new(), true)),
                Page::NoStream => Ok(Came::NoStream(reader.place.clone())),
                Page::NoGroup(failure) => Err(failure),
            },
            Feed::Several(filtered) => match filtered.next(session, false).await? {
                FilteredPage::Lines(lines, is_last) => Ok(Came::Lines(lines, is_last)),
                FilteredPage::Parted(halves) => Ok(Came::Parted(halves)),
                FilteredPage::NoStream(place) => Ok(Came::NoStream(place)),
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
    /// It is away while its call is under way, and gone at the end.
    feed: Option<Feed>,
    ended: bool,
    lines: VecDeque<Event>,
    /// When so few lines are left, more are fetched.
    low: usize,
    /// The bytes of a line, about.
    average: usize,
}

impl Source {
    fn new(feed: Feed) -> Self {
        Self { feed: Some(feed), ended: false, lines: VecDeque::new(), low: 0, average: FIRST_GUESS }
    }

    /// Nothing can be handed on before it has more.
    fn holds_up(&self) -> bool {
        self.lines.is_empty() && !self.ended
    }
}

/// Hands on the lines of all these streams by time, those of one millisecond in the order of the streams, until
/// `show` says that it has enough. What waits to be handed on is bounded, however many streams there are. Returns the
/// streams that are not there.
///
/// # Errors
/// When CloudWatch Logs cannot be asked, a log group is not there, or `show` fails.
pub async fn merge(
    session: &Arc<Session>,
    places: &[Arc<Place>],
    wanted: &Wanted,
    mut show: impl FnMut(Vec<Event>) -> Result<bool, Failure>,
) -> Result<Vec<Arc<Place>>, Failure> {
    let feeds: Vec<Feed> = if places.len() <= FEW && wanted.pattern.is_none() {
        places.iter().map(|place| Feed::One(Reader::new(place.clone(), wanted.since))).collect()
    } else {
        let all = Filtered::all(places, wanted.begin(), wanted.pattern.as_deref());
        all.into_iter().map(|filtered| Feed::Several(Box::new(filtered))).collect()
    };
    let mut sources: Vec<Source> = feeds.into_iter().map(Source::new).collect();
    let mut next: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut calls = JoinSet::new();
    let mut has_begun = false;
    let mut missing = Vec::new();
    loop {
        let each = MEMORY / sources.len().max(1);
        // Those first that all others wait for.
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.sort_by_key(|n| sources.get(*n).map_or(usize::MAX, |s| s.lines.len()));
        for n in order {
            let Some(source) = sources.get_mut(n) else { continue };
            if calls.len() >= AT_ONCE || source.lines.len() > source.low {
                continue;
            }
            if let Some(feed) = source.feed.take() {
                let feed = feed.limited((each / source.average).clamp(20, MOST_LINES));
                let session = session.clone();
                calls.spawn(async move {
                    let call = || {
                        let (mut feed, session) = (feed.clone(), &session);
                        async move {
                            let came = feed.next(session).await?;
                            Ok((feed, came))
                        }
                    };
                    (n, persist(has_begun, call).await)
                });
            }
        }
        let mut held_up = sources.iter().filter(|s| s.holds_up()).count();
        let mut page = Vec::new();
        while held_up == 0
            && page.len() < TOGETHER
            && let Some(Reverse((_, n))) = next.pop()
        {
            let Some(source) = sources.get_mut(n) else { continue };
            page.extend(source.lines.pop_front());
            match source.lines.front() {
                Some(line) => next.push(Reverse((line.time(), n))),
                None if !source.ended => held_up += 1,
                None => {}
            }
        }
        if !page.is_empty() {
            if !show(page)? {
                return Ok(missing);
            }
            continue;
        }
        let Some(answer) = calls.join_next().await else { return Ok(missing) };
        let (n, answer) = answer.map_err(|e| broken(&e))?;
        let (feed, came) = answer?;
        has_begun = true;
        let Some(source) = sources.get_mut(n) else { continue };
        match came {
            Came::Lines(lines, is_last) => {
                let bytes: usize = lines.iter().map(Event::size).sum();
                if !lines.is_empty() {
                    source.average = bytes / lines.len();
                    source.low = lines.len() / 2;
                }
                let was_empty = source.lines.is_empty();
                source.lines.extend(lines);
                if let Some(line) = source.lines.front().filter(|_| was_empty) {
                    next.push(Reverse((line.time(), n)));
                }
                source.ended = is_last;
                source.feed = Some(feed).filter(|_| !is_last);
            }
            Came::Parted([left, right]) => {
                source.feed = Some(Feed::Several(left));
                sources.push(Source::new(Feed::Several(right)));
            }
            Came::NoStream(place) => {
                source.ended = true;
                missing.push(place);
            }
        }
    }
}
