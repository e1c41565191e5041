//! Reading several streams of one log group together, page by page.

use std::collections::HashMap;
use std::sync::Arc;

use super::call::{self, Answer, MOST_STREAMS, Question};
use super::event::{Event, Place};
use super::read::Mark;
use crate::aws::Session;
use crate::ui::Failure;

/// Up to 100 streams of a group, read in the order of time.
#[derive(Debug, Clone)]
pub(super) struct Filtered {
    pub places: Arc<HashMap<String, Arc<Place>>>,
    group: String,
    streams: Vec<String>,
    pattern: Option<String>,
    from: Option<i64>,
    token: Option<String>,
    mark: Mark,
    limit: Option<usize>,
}

/// What there was to read.
#[derive(Debug)]
pub(super) enum FilteredPage {
    /// Lines (perhaps none), and whether these were the last.
    Lines(Vec<Event>, bool),
    /// One of the streams is not there: these two have one half of them each.
    Parted([Box<Filtered>; 2]),
    /// The only one is not there.
    NoStream(Arc<Place>),
    /// The log group is not there.
    NoGroup(Failure),
}

impl Filtered {
    /// All these streams, a hundred in each.
    pub fn all(places: &[Arc<Place>], from: Option<i64>, pattern: Option<&str>) -> Vec<Self> {
        let mut groups: Vec<(&str, Vec<&Arc<Place>>)> = Vec::new();
        for place in places {
            match groups.iter_mut().find(|(group, _)| *group == place.group) {
                Some((_, places)) => places.push(place),
                None => groups.push((&place.group, vec![place])),
            }
        }
        let hundred = |group: &str, places: &[&Arc<Place>]| Self {
            group: group.to_owned(),
            streams: places.iter().map(|p| p.stream.clone()).collect(),
            places: Arc::new(places.iter().map(|p| (p.stream.clone(), Arc::clone(p))).collect()),
            pattern: pattern.map(str::to_owned),
            from,
            token: None,
            mark: Mark::default(),
            limit: None,
        };
        let hundreds = |(group, places): &(&str, Vec<&Arc<Place>>)| -> Vec<Self> {
            places.chunks(MOST_STREAMS).map(|places| hundred(group, places)).collect()
        };
        groups.iter().flat_map(hundreds).collect()
    }

    /// So many lines to a page at most.
    pub fn limit(&mut self, limit: usize) {
        self.limit = Some(limit);
    }

    /// The next page. The end is where there is no token (API `FilterLogEvents`).
    ///
    /// # Errors
    /// When CloudWatch Logs cannot be asked.
    pub async fn next(&mut self, session: &Session, from_tail: bool) -> Result<FilteredPage, Failure> {
        let question = Question {
            from: if self.token.is_none() { self.mark.time().or(self.from) } else { self.from },
            token: self.token.clone(),
            from_tail,
            limit: self.limit,
            pattern: self.pattern.clone(),
        };
        match call::filter(session, &self.group, &self.streams, &question).await? {
            Answer::Lines(mut lines, tokens) => {
                let before = if from_tail { 0 } else { self.mark.pass(&lines) };
                self.token = tokens.forward;
                lines.drain(..before);
                let events = lines.into_iter().filter_map(|line| {
                    let place = self.places.get(&line.stream)?.clone();
                    Some(Event { place, timestamp: line.timestamp, message: line.message })
                });
                Ok(FilteredPage::Lines(events.collect(), self.token.is_none()))
            }
            Answer::TokenExpired => {
                self.token = None;
                self.mark.rewind();
                Ok(FilteredPage::Lines(Vec::new(), false))
            }
            Answer::NoGroup(failure) => Ok(FilteredPage::NoGroup(failure)),
            // Halves would begin anew.
            Answer::NoStream if self.token.is_some() || self.mark.time().is_some() => {
                Err(Failure::failed(format!("a log stream of {} was deleted while it was read", self.group)))
            }
            Answer::NoStream if self.streams.len() <= 1 => {
                let place = self.streams.first().and_then(|stream| self.places.get(stream));
                Ok(place.map_or(FilteredPage::Lines(Vec::new(), true), |place| {
                    FilteredPage::NoStream(place.clone())
                }))
            }
            Answer::NoStream => {
                let mut left = self.clone();
                let mut right = self.clone();
                right.streams = left.streams.split_off(left.streams.len() / 2);
                for half in [&mut left, &mut right] {
                    (half.token, half.mark) = (None, Mark::default());
                }
                Ok(FilteredPage::Parted([Box::new(left), Box::new(right)]))
            }
        }
    }
}
