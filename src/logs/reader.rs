//! Reading one log stream page by page.

use std::sync::Arc;

use super::api::{self, Line, Page, Request};
use super::event::{Event, LogStreamRef};
use crate::aws::{ResilientSession, Session};
use crate::ui::Failure;

/// The answer to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StreamPage {
    /// Lines (perhaps none), and perhaps more behind them.
    Lines(Vec<Event>),
    /// There is nothing more at this moment.
    End,
    /// The stream does not exist (yet): it is created with the container, or with its first line.
    NoStream,
    /// The log group does not exist (yet): Batch creates it with the first job that prints. The
    /// failure is for a caller who does not wait.
    NoGroup(Failure),
}

/// How far lines that are sorted by time have been read. Reading goes on from a position without a
/// token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The time of the last line, and how many lines of this time were read.
    last: Option<(i64, usize)>,
    /// This many of the lines that come next were read before.
    skip: usize,
}

impl Position {
    /// The time of the last line.
    pub fn time(&self) -> Option<i64> {
        self.last.map(|(at, _)| at)
    }

    /// Reading starts again at the time of the last line.
    pub fn rewind(&mut self) {
        self.skip = self.last.map_or(0, |(_, lines)| lines);
    }

    /// Counts lines as read, and returns how many of them were read before.
    pub fn pass(&mut self, lines: &[Line]) -> usize {
        let before = self.skip.min(lines.len());
        self.skip -= before;
        for at in lines.iter().skip(before).filter_map(|line| line.timestamp) {
            self.last = match self.last {
                Some((last, lines)) if last == at => Some((at, lines + 1)),
                _ => Some((at, 1)),
            };
        }
        before
    }
}

/// Reads one log stream page by page.
#[derive(Debug, Clone)]
pub(super) struct StreamReader {
    pub stream: Arc<LogStreamRef>,
    from: Option<i64>,
    token: Option<String>,
    position: Position,
    limit: Option<usize>,
    /// The lines that were read last are the stream's last ones at this moment.
    is_at_end: bool,
}

impl StreamReader {
    /// A reader that starts at a time, or at the first line.
    pub fn new(stream: Arc<LogStreamRef>, from: Option<i64>) -> Self {
        Self { stream, from, token: None, position: Position::default(), limit: None, is_at_end: false }
    }

    /// A reader that goes on behind the page with these lines, which was the last one when it was
    /// read.
    pub fn behind(
        stream: Arc<LogStreamRef>,
        from: Option<i64>,
        token: Option<String>,
        lines: &[Line],
    ) -> Self {
        let mut position = Position::default();
        position.pass(lines);
        Self { token, position, ..Self::new(stream, from) }
    }

    /// The same reader, with at most this many lines to a page.
    pub fn limited(mut self, limit: Option<usize>) -> Self {
        self.limit = limit;
        self
    }

    /// The next page. The end is where the token comes back unchanged (API `GetLogEvents`), behind
    /// the lines of that page; an empty page alone is not the end.
    ///
    /// # Errors
    /// When CloudWatch Logs cannot be asked.
    pub async fn next(&mut self, session: &Session) -> Result<StreamPage, Failure> {
        if std::mem::take(&mut self.is_at_end) {
            return Ok(StreamPage::End);
        }
        let from = match &self.token {
            None => self.position.time().or(self.from),
            Some(_) => self.from,
        };
        let request = Request { from, token: self.token.clone(), limit: self.limit, ..Request::default() };
        let (mut lines, token) = match api::get(session, &self.stream, &request).await? {
            Page::Lines(lines, tokens) => (lines, tokens.forward),
            Page::NoStream => return Ok(StreamPage::NoStream),
            Page::NoGroup(failure) => return Ok(StreamPage::NoGroup(failure)),
            Page::TokenExpired => {
                self.token = None;
                self.position.rewind();
                return Ok(StreamPage::Lines(Vec::new()));
            }
        };
        let unchanged = token.is_none() || token == self.token;
        if lines.is_empty() && unchanged {
            return Ok(StreamPage::End);
        }
        let before = self.position.pass(&lines);
        lines.drain(..before);
        self.is_at_end = unchanged;
        if token.is_none() {
            self.position.rewind();
        }
        self.token = token;
        Ok(StreamPage::Lines(events(&self.stream, lines)))
    }

    /// The next page, for a caller who can wait for contact. The reader moves on only when a page
    /// has arrived.
    ///
    /// # Errors
    /// When contact was lost for good.
    pub async fn next_with_contact(&mut self, contact: &mut ResilientSession) -> Result<StreamPage, Failure> {
        let at = self.clone();
        let (next, page) = contact
            .keep(async |session| {
                let mut reader = at.clone();
                let page = reader.next(session).await?;
                Ok((reader, page))
            })
            .await?;
        *self = next;
        Ok(page)
    }
}

/// The lines of one stream as events.
pub(super) fn events(stream: &Arc<LogStreamRef>, lines: Vec<Line>) -> Vec<Event> {
    let event =
        |line: Line| Event { stream: stream.clone(), timestamp: line.timestamp, message: line.message };
    lines.into_iter().map(event).collect()
}
