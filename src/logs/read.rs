//! Reading one log stream page by page.

use std::sync::Arc;

use super::call::{self, Answer, Line, Question};
use super::event::{Event, Place};
use crate::aws::{Contact, Session};
use crate::ui::Failure;

/// What there was to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// Lines (perhaps none), and perhaps more behind them.
    Lines(Vec<Event>),
    /// Nothing more at this moment.
    End,
    /// The stream is not there (yet): it comes with the container, or with its first line.
    NoStream,
    /// Not even the log group is there (yet): Batch makes it with the first job that prints. The failure is
    /// for those who do not want to wait.
    NoGroup(Failure),
}

/// How far something sorted by time has been read: the time of the last line, and how many of the lines that were
/// read have this time. From here reading goes on without a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    last: Option<(i64, usize)>,
    /// So many lines at the beginning of what comes were read before.
    skip: usize,
}

impl Mark {
    /// The time of the last line.
    pub fn time(&self) -> Option<i64> {
        self.last.map(|(at, _)| at)
    }

    /// Reading goes on at the time of the last line.
    pub fn rewind(&mut self) {
        self.skip = self.last.map_or(0, |(_, lines)| lines);
    }

    /// How many of these lines were read before; they count as read now.
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

/// A place in a log stream, from which reading goes on.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub place: Arc<Place>,
    from: Option<i64>,
    token: Option<String>,
    mark: Mark,
    limit: Option<usize>,
}

impl Reader {
    /// Reads from a time on, or from the first line.
    pub fn new(place: Arc<Place>, from: Option<i64>) -> Self {
        Self { place, from, token: None, mark: Mark::default(), limit: None }
    }

    /// Reads on behind a page that was the last at the time, and began with this line's time.
    pub fn behind(place: Arc<Place>, from: Option<i64>, token: Option<String>, lines: &[Line]) -> Self {
        let mut mark = Mark::default();
        mark.pass(lines);
        Self { token, mark, ..Self::new(place, from) }
    }

    /// The same, with so many lines to a page at most.
    pub fn limited(mut self, limit: Option<usize>) -> Self {
        self.limit = limit;
        self
    }

    /// The next page. The end is where the token comes back unchanged (API `GetLogEvents`); an empty page
    /// alone is not the end.
    ///
    /// # Errors
    /// When CloudWatch Logs cannot be asked.
    pub async fn next(&mut self, session: &Session) -> Result<Page, Failure> {
        let from = match &self.token {
            None => self.mark.time().or(self.from),
            Some(_) => self.from,
        };
        let question = Question { from, token: self.token.clone(), limit: self.limit, ..Question::default() };
        let (mut lines, token) = match call::get(session, &self.place, &question).await? {
            Answer::Lines(lines, tokens) => (lines, tokens.forward),
            Answer::NoStream => return Ok(Page::NoStream),
            Answer::NoGroup(failure) => return Ok(Page::NoGroup(failure)),
            Answer::TokenExpired => {
                self.token = None;
                self.mark.rewind();
                return Ok(Page::Lines(Vec::new()));
            }
        };
        let unchanged = token.is_none() || token == self.token;
        if lines.is_empty() && unchanged {
            return Ok(Page::End);
        }
        let before = self.mark.pass(&lines);
        lines.drain(..before);
        if token.is_some() {
            self.token = token;
        }
        Ok(Page::Lines(events(&self.place, lines)))
    }

    /// The same, of somebody who can wait for contact. The reader moves on only when a page has arrived.
    ///
    /// # Errors
    /// When contact was lost for good.
    pub async fn next_of(&mut self, contact: &mut Contact) -> Result<Page, Failure> {
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

/// The lines of one stream.
pub(super) fn events(place: &Arc<Place>, lines: Vec<Line>) -> Vec<Event> {
    let event = |line: Line| Event { place: place.clone(), timestamp: line.timestamp, message: line.message };
    lines.into_iter().map(event).collect()
}
