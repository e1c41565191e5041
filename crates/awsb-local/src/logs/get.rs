//! GetLogEvents: the pages of one stream, in both directions.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::errors::invalid;
use super::events::Events;
use super::names::{GroupName, StreamName};
use super::position::{Bound, Direction, FoundEvent, Position, SourceKind};
use super::put::EVENT_BYTES;
use super::source::{Merge, PendingSource};
use super::table;
use crate::http::protocol::ApiError;

/// API, GetLogEvents.limit: "as many log events as can fit in a response size of 1 MB (up to 10,000
/// log events)".
pub const MOST_EVENTS: usize = 10_000;
/// The size of a page, counting 26 bytes for each event besides its message (PutLogEvents' way of
/// counting).
pub const MOST_BYTES: usize = 1024 * 1024;

/// The request.
#[derive(Debug)]
pub struct Request {
    /// Which stream; it is there.
    pub stream: (GroupName, StreamName),
    /// Where the last page ended; without it, the stream's head or its tail.
    pub token: Option<Token>,
    /// Without a token: from the head, and forward.
    pub from_head: bool,
    /// How many events at most.
    pub limit: usize,
    /// Events before this time are not wanted, in milliseconds since the epoch.
    pub from: Option<i64>,
    /// Events from this time on are not wanted.
    pub to: Option<i64>,
}

/// A place in a stream: one in each of its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePosition {
    file: Position,
    table: Position,
}

impl PagePosition {
    fn of(&self, kind: SourceKind) -> Position {
        match kind {
            SourceKind::File => self.file,
            SourceKind::Table => self.table,
        }
    }

    fn set(&mut self, kind: SourceKind, mark: Position) {
        match kind {
            SourceKind::File => self.file = mark,
            SourceKind::Table => self.table = mark,
        }
    }
}

/// Where the next page begins or ends. Its form is AWS's, its meaning is ours: the digits are the
/// offset in the file, and the time and the number in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(Direction, PagePosition);

/// How many digits the parts of a token have: 56 together.
const DIGITS: [usize; 3] = [21, 16, 19];

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// `InvalidParameterException`, when it is none of ours.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        Self::read(text).ok_or_else(|| invalid("The specified nextToken is invalid."))
    }

    fn read(text: &str) -> Option<Self> {
        let (direction, digits) = match text.split_once('/')? {
            ("f", digits) => (Direction::Forward, digits),
            ("b", digits) => (Direction::Backward, digits),
            _ => return None,
        };
        let is_token =
            digits.len() == DIGITS.iter().sum::<usize>() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_token {
            return None;
        }
        let (file, rest) = digits.split_at(DIGITS[0]);
        let (time, number) = rest.split_at(DIGITS[1]);
        let file = Position { time: 0, at: file.parse().ok()? };
        let table = Position { time: time.parse().ok()?, at: number.parse().ok()? };
        Some(Self(direction, PagePosition { file, table }))
    }

    fn text(self) -> String {
        let letter = match self.0 {
            Direction::Forward => 'f',
            Direction::Backward => 'b',
        };
        let [file, time, number] = DIGITS;
        let PagePosition { file: f, table: t } = self.1;
        format!("{letter}/{:0file$}{:0time$}{:0number$}", f.at, t.time, t.at)
    }
}

/// Reads a page, as AWS answers it.
///
/// # Errors
/// When the token is of another stream, or the events cannot be read.
pub fn page(events: &Events, db: &Connection, request: &Request) -> Result<Value, ApiError> {
    let (group, stream) = &request.stream;
    let direction = match (request.token, request.from_head) {
        (Some(Token(direction, _)), _) => direction,
        (None, true) => Direction::Forward,
        (None, false) => Direction::Backward,
    };
    let stored = table::id_of(db, group, stream)?;
    let scan = |kind: SourceKind| {
        let mark = request.token.map(|Token(_, place)| Bound::Position(place.of(kind)));
        let mut from: Vec<Bound> = request.from.map(Bound::Time).into_iter().collect();
        let mut to: Vec<Bound> = request.to.map(Bound::Time).into_iter().collect();
        match direction {
            Direction::Forward => from.extend(mark),
            Direction::Backward => to.extend(mark),
        }
        events.scan(db, (group, stream.as_str(), stored), kind, direction, &from, &to)
    };
    let mut scans = [Some(scan(SourceKind::File)?), Some(scan(SourceKind::Table)?)];
    let rest = scans.each_ref().map(|scan| scan.as_ref().map(|scan| scan.rest()));
    let [Some(file), Some(table)] = rest else { return Err(invalid("no source")) };
    let mut start = PagePosition { file: file.0, table: table.0 };
    let mut end = PagePosition { file: file.1, table: table.1 };
    match direction {
        Direction::Forward => end = start,
        Direction::Backward => start = end,
    }
    let time = match direction {
        Direction::Forward => i64::MIN,
        Direction::Backward => i64::MAX,
    };
    let waiting = SourceKind::ALL.map(|kind| PendingSource { time, stream: 0, kind }).to_vec();
    let open = |_, kind: SourceKind| Ok(scans[kind as usize].take());
    let mut merge = Merge::new(direction, db, waiting, open);
    let (mut page, mut bytes): (Vec<FoundEvent>, usize) = (Vec::new(), 0);
    while page.len() < request.limit
        && let Some((_, kind, found)) = merge.next()?
    {
        bytes += found.message.len() + EVENT_BYTES;
        if bytes > MOST_BYTES && !page.is_empty() {
            break;
        }
        match direction {
            Direction::Forward => end.set(kind, found.after),
            Direction::Backward => start.set(kind, found.before),
        }
        page.push(found);
    }
    // At the end the token comes back unchanged, also when a time bounds the page (API:
    // GetLogEvents).
    if let Some(Token(_, place)) = request.token.filter(|_| page.is_empty()) {
        (start, end) = (place, place);
    }
    if direction == Direction::Backward {
        page.reverse();
    }
    let events: Vec<Value> = page
        .into_iter()
        .map(|e| json!({"timestamp": e.time, "message": e.message, "ingestionTime": e.ingested}))
        .collect();
    Ok(json!({
        "events": events,
        "nextForwardToken": Token(Direction::Forward, end).text(),
        "nextBackwardToken": Token(Direction::Backward, start).text(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_awss_form_and_come_back_as_they_were() {
        let place = PagePosition {
            file: Position { time: 0, at: 1 << 40 },
            table: Position { time: 1_800_000_000_000, at: 7 },
        };
        for direction in [Direction::Forward, Direction::Backward] {
            let token = Token(direction, place);
            assert_eq!(token.text().len(), 58);
            assert_eq!(Token::parse(&token.text()), Ok(token));
        }
        for bad in ["", "f/", "f/1", "x/00000000000000000000000000000000000000000000000000000000", "f/é"] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
        let negative = format!("f/{:056}", -1);
        assert!(Token::parse(&negative).is_err());
    }
}
