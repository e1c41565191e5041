//! FilterLogEvents: the events of many streams as one, in the order of time, page by page.
//!
//! A page begins where the token says: after an event. The cost of a page depends on the streams
//! that have events at its time; for the others only the length of the file is read. A page holds
//! in memory at most its own events, and a bounded amount that is read ahead.

use std::cmp::Ordering;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors::{invalid, unreadable};
use super::events::Events;
use super::get::MOST_BYTES;
use super::names::GroupName;
use super::pattern::Pattern;
use super::position::{Bound, Direction, FoundEvent, Position, SourceKind};
use super::put::EVENT_BYTES;
use super::source::{Merge, PendingSource};
use super::stream_file::hash_of;
use super::table;
use crate::http::protocol::ApiError;

/// How many bytes of messages a page looks at before it is answered, however few of them match.
/// (API: "A returned page might only be partially full, or even empty.")
const MOST_LOOKED_AT: usize = 64 * 1024 * 1024;

/// The request.
#[derive(Debug)]
pub struct Request {
    /// The group; it is there.
    pub group: GroupName,
    /// The streams, by name; they are there.
    pub streams: Vec<String>,
    /// Events before this time are not wanted, in milliseconds since the epoch.
    pub from: Option<i64>,
    /// Events from this time on are not wanted.
    pub to: Option<i64>,
    /// Only events that it matches are wanted.
    pub pattern: Pattern,
    /// How many events at most.
    pub limit: usize,
    /// Without a token: from the oldest on.
    pub from_head: bool,
    /// The event after which the page begins.
    pub token: Option<Token>,
}

/// The last event that a page has examined. The next page has only events after it, in its
/// direction, also when others have been written meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    forward: bool,
    time: i64,
    stream: String,
    table: bool,
    /// The place before the event and the one after it.
    at: (u64, u64),
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// `InvalidParameterException`, when it is none of ours.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| invalid("The specified nextToken is invalid."))
    }

    fn text(&self) -> Result<String, ApiError> {
        let json = serde_json::to_vec(self).map_err(|e| ApiError::server(e.to_string()))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    fn new(
        direction: Direction,
        stream: &str,
        kind: SourceKind,
        (before, after): (Position, Position),
    ) -> Self {
        Self {
            forward: direction == Direction::Forward,
            time: before.time,
            stream: stream.to_owned(),
            table: kind == SourceKind::Table,
            at: (before.at, after.at),
        }
    }

    fn direction(&self) -> Direction {
        if self.forward { Direction::Forward } else { Direction::Backward }
    }

    /// Where a source goes on. At the event's own time, those before its own are through with it
    /// (the other way round when the page goes back in time).
    fn bound(&self, stream: &str, kind: SourceKind) -> Bound {
        let own = if self.table { SourceKind::Table } else { SourceKind::File };
        match (stream, kind).cmp(&(self.stream.as_str(), own)) {
            Ordering::Less => Bound::Time(self.time.saturating_add(1)),
            Ordering::Greater => Bound::Time(self.time),
            Ordering::Equal => {
                let at = if self.forward { self.at.1 } else { self.at.0 };
                Bound::Position(Position { time: self.time, at })
            }
        }
    }
}

/// Reads a page, as AWS answers it.
///
/// # Errors
/// When the token is of other streams, or the events cannot be read.
pub fn page(events: &Events, db: &Connection, request: &Request) -> Result<Value, ApiError> {
    let direction = match &request.token {
        Some(token) => token.direction(),
        None if request.from_head => Direction::Forward,
        None => Direction::Backward,
    };
    let stored = table::stored(db, &request.group)?;
    let (mut waiting, mut numbers) = (Vec::new(), Vec::with_capacity(request.streams.len()));
    for (number, stream) in request.streams.iter().enumerate() {
        let rows = stored.get(stream);
        numbers.push(rows.map(|rows| rows.id));
        let written = events.written(&request.group, stream).map_err(|e| unreadable(&e))?;
        for (kind, span) in
            [(SourceKind::File, written), (SourceKind::Table, rows.map(|rows| (rows.first, rows.last)))]
        {
            if let Some((first, last)) = span.filter(|span| request.wants(stream, kind, *span)) {
                let time = if direction == Direction::Forward { first } else { last };
                waiting.push(PendingSource { time, stream: number, kind });
            }
        }
    }
    let open = |number: usize, kind: SourceKind| {
        let stream = request.streams.get(number).map_or("", String::as_str);
        let token = request.token.as_ref().map(|token| token.bound(stream, kind));
        let mut from: Vec<Bound> = request.from.map(Bound::Time).into_iter().collect();
        let mut to: Vec<Bound> = request.to.map(Bound::Time).into_iter().collect();
        match direction {
            Direction::Forward => from.extend(token),
            Direction::Backward => to.extend(token),
        }
        let place = (&request.group, stream, numbers.get(number).copied().flatten());
        events.scan(db, place, kind, direction, &from, &to).map(Some)
    };
    let mut merge = Merge::new(direction, db, waiting, open);
    let mut page: Vec<Value> = Vec::new();
    let (mut bytes, mut looked_at) = (0, 0);
    let mut hashes: HashMap<usize, u64> = HashMap::new();
    // The last event that was looked at.
    let mut last: Option<(&str, SourceKind, (Position, Position))> = None;
    let token = |last: Option<(&str, SourceKind, (Position, Position))>| {
        last.map(|(stream, kind, marks)| Token::new(direction, stream, kind, marks))
    };
    while let Some((number, kind, found)) = merge.next()? {
        let stream = request.streams.get(number).map_or("", String::as_str);
        let size = found.message.len() + EVENT_BYTES;
        looked_at += size;
        if request.pattern.matches(&found.message) {
            if bytes + size > MOST_BYTES && !page.is_empty() {
                return answer(page, token(last));
            }
            bytes += size;
            let hash = *hashes.entry(number).or_insert_with(|| short_hash(&request.group, stream));
            page.push(event(stream, hash, kind, &found));
        }
        let full = page.len() >= request.limit || looked_at >= MOST_LOOKED_AT;
        last = Some((stream, kind, (found.before, found.after)));
        if full {
            let more = merge.has_more()?;
            return answer(page, token(last.filter(|_| more)));
        }
    }
    answer(page, None)
}

impl Request {
    /// Whether a source with events of this span may have some for the page.
    fn wants(&self, stream: &str, kind: SourceKind, (first, last): (i64, i64)) -> bool {
        let token = self.token.as_ref().map(|token| match token.bound(stream, kind) {
            Bound::Time(time) => (token.forward, time),
            // The mark is within the events of this time.
            Bound::Position(mark) if token.forward => (true, mark.time),
            Bound::Position(mark) => (false, mark.time.saturating_add(1)),
        });
        let starts = [self.from, token.filter(|(forward, _)| *forward).map(|(_, time)| time)];
        let ends = [self.to, token.filter(|(forward, _)| !*forward).map(|(_, time)| time)];
        starts.iter().flatten().all(|start| last >= *start) && ends.iter().flatten().all(|end| first < *end)
    }
}

fn answer(events: Vec<Value>, token: Option<Token>) -> Result<Value, ApiError> {
    // API: searchedLogStreams "is no longer supported. This parameter returns an empty list."
    let mut answer = json!({"events": events, "searchedLogStreams": []});
    if let Some(token) = token {
        answer["nextToken"] = json!(token.text()?);
    }
    Ok(answer)
}

fn short_hash(group: &GroupName, stream: &str) -> u64 {
    let hash = hash_of(group.as_str(), stream);
    hash.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

/// API: FilteredLogEvent. The ID distinguishes the event from all others, for ever: clients that
/// ask again from the last time on skip those that they have seen.
fn event(stream: &str, hash: u64, kind: SourceKind, found: &FoundEvent) -> Value {
    let id = format!("{:014}{hash:020}{}{:021}", found.time, kind as u8, found.before.at);
    json!({
        "logStreamName": stream,
        "timestamp": found.time,
        "message": found.message,
        "ingestionTime": found.ingested,
        "eventId": id,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::logs::names::StreamName;
    use crate::logs::{file_of, record};

    /// Streams, each with the times of what a job has written (which only grow) and of what was
    /// put.
    type Streams = BTreeMap<String, (Vec<i64>, Vec<i64>)>;

    fn home(streams: &Streams) -> (tempfile::TempDir, Events, GroupName) {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::open(dir.path(), &mut Vec::new()).unwrap();
        let group = GroupName::parse("g").unwrap();
        for (stream, (written, put)) in streams {
            let mut bytes = Vec::new();
            for (n, time) in written.iter().enumerate() {
                record::append(&mut bytes, *time, format!("{stream} file {n}").as_bytes());
            }
            let path = dir.path().join(file_of("g", stream));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            let rows: Vec<_> =
                put.iter().enumerate().map(|(n, time)| (*time, format!("{stream} table {n}"))).collect();
            let name = StreamName::parse(stream).unwrap();
            events.table().writer().put(&group, &name, &rows, 1).unwrap();
        }
        (dir, events, group)
    }

    /// All messages, page by page.
    fn all(events: &Events, mut request: Request) -> Vec<(i64, String)> {
        let (mut seen, mut ids) = (Vec::new(), std::collections::HashSet::new());
        loop {
            let page = events.table().read(|db| page(events, db, &request)).unwrap();
            let found = page["events"].as_array().unwrap();
            assert!(found.len() <= request.limit);
            for event in found {
                assert!(ids.insert(event["eventId"].as_str().unwrap().to_owned()), "{event} comes twice");
                let message = event["message"].as_str().unwrap();
                assert!(message.starts_with(event["logStreamName"].as_str().unwrap()));
                seen.push((event["timestamp"].as_i64().unwrap(), message.to_owned()));
            }
            match page["nextToken"].as_str() {
                Some(token) => request.token = Some(Token::parse(token).unwrap()),
                None => return seen,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn every_event_comes_once_and_in_order_whatever_the_pages(
            streams in prop::collection::btree_map(
                "[a-d]{1,2}",
                (prop::collection::vec(0_i64..30, 0..12), prop::collection::vec(0_i64..30, 0..6)),
                0..6,
            ),
            limit in 1_usize..9,
            from in prop::option::of(0_i64..30),
            to in prop::option::of(0_i64..32),
            from_head: bool,
            odd_only: bool,
        ) {
            let streams: Streams = streams.into_iter().map(|(name, (mut written, put))| {
                written.sort_unstable();
                (name, (written, put))
            }).collect();
            let (_dir, events, group) = home(&streams);
            let pattern = Pattern::parse(if odd_only { "?1 ?3 ?5 ?7 ?9" } else { "" }).unwrap();
            let mut expected: Vec<(i64, String, u8, usize, String)> = Vec::new();
            for (stream, (written, put)) in &streams {
                for (kind, name, times) in [(0, "file", written), (1, "table", put)] {
                    for (n, time) in times.iter().enumerate() {
                        expected.push((*time, stream.clone(), kind, n, format!("{stream} {name} {n}")));
                    }
                }
            }
            expected.retain(|(time, .., message)| {
                from.is_none_or(|from| *time >= from) && to.is_none_or(|to| *time < to) && pattern.matches(message)
            });
            expected.sort();
            if !from_head {
                expected.reverse();
            }
            let expected: Vec<_> = expected.into_iter().map(|(time, .., message)| (time, message)).collect();
            let streams = streams.into_keys().collect();
            let request = Request { group, streams, from, to, pattern, limit, from_head, token: None };
            prop_assert_eq!(all(&events, request), expected);
        }
    }

    #[test]
    fn what_is_written_between_two_pages_comes_too_and_nothing_twice() {
        let streams: Streams =
            [("a".to_owned(), (vec![10, 10, 20], vec![])), ("b".to_owned(), (vec![10], vec![]))].into();
        let (dir, events, group) = home(&streams);
        let mut request = Request {
            group,
            streams: vec!["a".into(), "b".into()],
            from: None,
            to: None,
            pattern: Pattern::default(),
            limit: 2,
            from_head: true,
            token: None,
        };
        let first = events.table().read(|db| page(&events, db, &request)).unwrap();
        request.token = Some(Token::parse(first["nextToken"].as_str().unwrap()).unwrap());
        let mut bytes = fs::read(dir.path().join(file_of("g", "b"))).unwrap();
        record::append(&mut bytes, 15, b"b late");
        fs::write(dir.path().join(file_of("g", "b")), bytes).unwrap();
        let rest: Vec<_> = all(&events, request).into_iter().map(|(_, message)| message).collect();
        assert_eq!(rest, ["b file 0", "b late", "a file 2"]);
    }

    #[test]
    fn tokens_come_back_and_nonsense_is_refused() {
        let token = Token { forward: false, time: 5, stream: "é/1".into(), table: true, at: (1, 2) };
        assert_eq!(Token::parse(&token.text().unwrap()), Ok(token));
        for bad in ["", "x", "e30", "\u{e9}"] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }
}
