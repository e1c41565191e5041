//! Reading several streams of one log group together, page by page.

use std::collections::HashMap;
use std::sync::Arc;

use super::api::{self, MAX_STREAMS, Page, Request};
use super::event::{Event, LogStreamRef};
use super::reader::Position;
use crate::aws::{Session, next_page};
use crate::ui::Failure;

/// Up to 100 streams of a group, read in the order of time.
#[derive(Debug, Clone)]
pub(super) struct FilteredReader {
    /// The streams by name, of this reader and of those that it was split from.
    streams: Arc<HashMap<String, Arc<LogStreamRef>>>,
    group: String,
    /// The names of the streams that this reader reads.
    names: Vec<String>,
    pattern: Option<String>,
    from: Option<i64>,
    token: Option<String>,
    position: Position,
    limit: Option<usize>,
}

/// The answer to a reader.
#[derive(Debug)]
pub(super) enum FilteredPage {
    /// Lines (perhaps none), and whether they were the last.
    Lines(Vec<Event>, bool),
    /// One of the streams does not exist: each of these readers has one half of them.
    Split([Box<FilteredReader>; 2]),
    /// The only stream does not exist.
    NoStream(Arc<LogStreamRef>),
    /// The log group does not exist.
    NoGroup(Failure),
}

impl FilteredReader {
    /// Readers for all these streams, each of at most a hundred.
    pub fn all(streams: &[Arc<LogStreamRef>], from: Option<i64>, pattern: Option<&str>) -> Vec<Self> {
        let mut groups: Vec<(&str, Vec<&Arc<LogStreamRef>>)> = Vec::new();
        for stream in streams {
            match groups.iter_mut().find(|(group, _)| *group == stream.group) {
                Some((_, streams)) => streams.push(stream),
                None => groups.push((&stream.group, vec![stream])),
            }
        }
        let reader = |group: &str, streams: &[&Arc<LogStreamRef>]| Self {
            group: group.to_owned(),
            names: streams.iter().map(|stream| stream.name.clone()).collect(),
            streams: Arc::new(streams.iter().map(|s| (s.name.clone(), Arc::clone(s))).collect()),
            pattern: pattern.map(str::to_owned),
            from,
            token: None,
            position: Position::default(),
            limit: None,
        };
        let readers = |(group, streams): &(&str, Vec<&Arc<LogStreamRef>>)| -> Vec<Self> {
            streams.chunks(MAX_STREAMS).map(|streams| reader(group, streams)).collect()
        };
        groups.iter().flat_map(readers).collect()
    }

    /// From now on, a page has at most this many lines.
    pub fn limit(&mut self, limit: usize) {
        self.limit = Some(limit);
    }

    /// The next page. The end is where there is no token (API `FilterLogEvents`).
    ///
    /// # Errors
    /// When CloudWatch Logs cannot be asked.
    pub async fn next(&mut self, session: &Session, from_tail: bool) -> Result<FilteredPage, Failure> {
        let request = Request {
            from: if self.token.is_none() { self.position.time().or(self.from) } else { self.from },
            token: self.token.clone(),
            from_tail,
            limit: self.limit,
            pattern: self.pattern.clone(),
        };
        match api::filter(session, &self.group, &self.names, &request).await? {
            Page::Lines(mut lines, tokens) => {
                let before = if from_tail { 0 } else { self.position.pass(&lines) };
                self.token = next_page(self.token.as_deref(), tokens.forward)
                    .map_err(|e| Failure::failed(format!("reading the log group {}: {e}", self.group)))?;
                lines.drain(..before);
                let events = lines.into_iter().filter_map(|line| {
                    let stream = self.streams.get(&line.stream)?.clone();
                    Some(Event { stream, timestamp: line.timestamp, message: line.message })
                });
                Ok(FilteredPage::Lines(events.collect(), self.token.is_none()))
            }
            Page::TokenExpired => {
                self.token = None;
                self.position.rewind();
                Ok(FilteredPage::Lines(Vec::new(), false))
            }
            Page::NoGroup(failure) => Ok(FilteredPage::NoGroup(failure)),
            // Two halves would start again from the beginning.
            Page::NoStream if self.token.is_some() || self.position.time().is_some() => {
                Err(Failure::failed(format!("a log stream of {} was deleted while it was read", self.group)))
            }
            Page::NoStream if self.names.len() <= 1 => {
                let stream = self.names.first().and_then(|name| self.streams.get(name));
                Ok(stream.map_or(FilteredPage::Lines(Vec::new(), true), |stream| {
                    FilteredPage::NoStream(stream.clone())
                }))
            }
            Page::NoStream => {
                let mut left = self.clone();
                let mut right = self.clone();
                right.names = left.names.split_off(left.names.len() / 2);
                for half in [&mut left, &mut right] {
                    (half.token, half.position) = (None, Position::default());
                }
                Ok(FilteredPage::Split([Box::new(left), Box::new(right)]))
            }
        }
    }
}
