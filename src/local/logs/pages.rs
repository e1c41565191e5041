//! Pages of a log stream's file. A position is a byte offset, so page 900 costs what page 1 costs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::record::{self, Event};

/// API, GetLogEvents.limit: "as many log events as can fit in a response size of 1 MB (up to 10,000 log events)".
pub const MOST_EVENTS: usize = 10_000;
/// The size of a page, counting 26 bytes for each event besides its message (PutLogEvents' way of counting).
const MOST_BYTES: usize = 1024 * 1024;
const EVENT_BYTES: usize = 26;
const CHUNK: usize = 64 * 1024;

/// Events in the order of the file, and where they begin and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// The position before the first.
    pub start: u64,
    /// The position after the last.
    pub end: u64,
}

/// Which events are wanted: from `from` (inclusive) to `to` (exclusive), in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// API: startTime.
    pub from: Option<i64>,
    /// API: endTime.
    pub to: Option<i64>,
}

/// A log stream's file. Its writer may append to it meanwhile; a line without its end is not there yet.
#[derive(Debug)]
pub struct Stream {
    file: File,
    /// After the last whole line.
    end: u64,
}

impl Stream {
    /// Looks at a file as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(mut file: File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut stream = Self { file, end: length };
        stream.end = stream.line_start(length)?;
        Ok(stream)
    }

    /// Whether a position is one that a page can begin or end at.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_position(&mut self, at: u64) -> io::Result<bool> {
        Ok(at <= self.end && self.line_start(at)? == at)
    }

    /// Up to `limit` events from a position on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn forward(&mut self, at: u64, limit: usize, times: Times) -> io::Result<Page> {
        let first = match times.from {
            Some(from) => at.max(self.find(from)?),
            None => at,
        };
        let mut page = Page { events: Vec::new(), start: first, end: first };
        let mut bytes = 0;
        let mut buffer: Vec<u8> = Vec::new();
        let mut read_to = first;
        loop {
            let mut used = 0;
            while let Some(length) = buffer[used..].iter().position(|b| *b == b'\n') {
                let line = &buffer[used..used + length];
                used += length + 1;
                if let Some(event) = record::parse(line) {
                    bytes += event.message.len() + EVENT_BYTES;
                    let full = page.events.len() == limit || (bytes > MOST_BYTES && !page.events.is_empty());
                    if full || times.to.is_some_and(|to| event.time >= to) {
                        return Ok(page);
                    }
                    page.events.push(event);
                }
                page.end += length as u64 + 1;
            }
            buffer.drain(..used);
            let chunk = self.read(read_to, CHUNK)?;
            if chunk.is_empty() {
                return Ok(page);
            }
            read_to += chunk.len() as u64;
            buffer.extend_from_slice(&chunk);
        }
    }

    /// Up to `limit` events that end at a position.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn backward(&mut self, at: u64, limit: usize, times: Times) -> io::Result<Page> {
        let last = match times.to {
            Some(to) => at.min(self.find(to)?),
            None => at.min(self.end),
        };
        let mut page = Page { events: Vec::new(), start: last, end: last };
        let mut bytes = 0;
        // Bytes from `read_from` to `page.start`: perhaps the end of a line, then whole lines.
        let mut buffer: Vec<u8> = Vec::new();
        let mut read_from = last;
        'page: loop {
            while let Some(body) = buffer.len().checked_sub(1) {
                let start = match buffer[..body].iter().rposition(|b| *b == b'\n') {
                    Some(at) => at + 1,
                    None if read_from == 0 => 0,
                    None => break,
                };
                if let Some(event) = record::parse(&buffer[start..body]) {
                    bytes += event.message.len() + EVENT_BYTES;
                    let full = page.events.len() == limit || (bytes > MOST_BYTES && !page.events.is_empty());
                    if full || times.from.is_some_and(|from| event.time < from) {
                        break 'page;
                    }
                    page.events.push(event);
                }
                page.start -= (buffer.len() - start) as u64;
                buffer.truncate(start);
            }
            if read_from == 0 {
                break;
            }
            let from = read_from.saturating_sub(CHUNK as u64);
            let mut chunk = self.read(from, usize::try_from(read_from - from).unwrap_or(0))?;
            read_from = from;
            chunk.extend_from_slice(&buffer);
            buffer = chunk;
        }
        page.events.reverse();
        Ok(page)
    }

    /// The position after the last event.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The position of the first event that is not before `time`.
    fn find(&mut self, time: i64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.end);
        // Events before `low` are before `time`; those from `high` on are not.
        while low < high {
            let middle = self.line_start(low + (high - low) / 2)?.max(low);
            let head = self.read(middle, 13)?;
            if record::time(&head).is_some_and(|t| t < time) {
                low = self.line_end(middle)?;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The start of the line that a position is in; the position itself if it is one.
    fn line_start(&mut self, at: u64) -> io::Result<u64> {
        let mut to = at;
        while to > 0 {
            let from = to.saturating_sub(CHUNK as u64);
            let chunk = self.read_raw(from, usize::try_from(to - from).unwrap_or(0))?;
            if let Some(newline) = chunk.iter().rposition(|b| *b == b'\n') {
                return Ok(from + newline as u64 + 1);
            }
            to = from;
        }
        Ok(0)
    }

    /// The position after the line that begins at a position.
    fn line_end(&mut self, at: u64) -> io::Result<u64> {
        let mut from = at;
        loop {
            let chunk = self.read(from, 4096)?;
            if chunk.is_empty() {
                return Ok(self.end);
            }
            if let Some(newline) = chunk.iter().position(|b| *b == b'\n') {
                return Ok(from + newline as u64 + 1);
            }
            from += chunk.len() as u64;
        }
    }

    /// Up to `length` bytes from a position on, none of them after the end.
    fn read(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        self.read_raw(at, length.min(left))
    }

    fn read_raw(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::with_capacity(length);
        (&mut self.file).take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A stream of `n` events, two each millisecond, and half a line that is still being written.
    fn stream(n: i64) -> Stream {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = Vec::new();
        for i in 0..n {
            record::append(&mut bytes, 1_000_000_000_000 + i / 2, format!("line {i}").as_bytes());
        }
        bytes.extend_from_slice(b"1000000000");
        file.write_all(&bytes).unwrap();
        Stream::new(file).unwrap()
    }

    fn numbers(page: &Page) -> Vec<i64> {
        page.events.iter().map(|e| e.message.strip_prefix("line ").unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn pages_cover_everything_once_in_both_directions() {
        let mut stream = stream(25_000);
        let (mut at, mut seen) = (0, Vec::new());
        loop {
            let page = stream.forward(at, 7_000, Times::default()).unwrap();
            if page.events.is_empty() {
                assert_eq!(page.end, at);
                break;
            }
            assert!(stream.is_position(page.end).unwrap());
            seen.extend(numbers(&page));
            at = page.end;
        }
        assert_eq!(seen, (0..25_000).collect::<Vec<_>>());
        let (mut at, mut seen) = (stream.end(), Vec::new());
        loop {
            let page = stream.backward(at, 7_000, Times::default()).unwrap();
            if page.events.is_empty() {
                assert_eq!((page.start, at), (0, 0));
                break;
            }
            seen.splice(0..0, numbers(&page));
            at = page.start;
        }
        assert_eq!(seen, (0..25_000).collect::<Vec<_>>());
    }

    #[test]
    fn times_bound_a_page() {
        let mut stream = stream(1000);
        let times = Times { from: Some(1_000_000_000_100), to: Some(1_000_000_000_103) };
        let wanted: Vec<i64> = (200..206).collect();
        assert_eq!(numbers(&stream.forward(0, 100, times).unwrap()), wanted);
        let end = stream.end();
        assert_eq!(numbers(&stream.backward(end, 100, times).unwrap()), wanted);
        let late = Times { from: Some(2_000_000_000_000), to: None };
        assert!(stream.forward(0, 100, late).unwrap().events.is_empty());
        let early = Times { from: None, to: Some(0) };
        assert!(stream.backward(end, 100, early).unwrap().events.is_empty());
    }

    #[test]
    fn a_position_inside_a_line_is_none() {
        let mut stream = stream(3);
        assert!(stream.is_position(0).unwrap());
        assert!(!stream.is_position(5).unwrap());
        let end = stream.end();
        assert!(stream.is_position(end).unwrap());
        assert!(!stream.is_position(end + 5).unwrap());
    }

    #[test]
    fn an_empty_stream_has_an_empty_page() {
        let mut stream = stream(0);
        assert_eq!(stream.end(), 0);
        assert!(stream.forward(0, 10, Times::default()).unwrap().events.is_empty());
        assert!(stream.backward(0, 10, Times::default()).unwrap().events.is_empty());
    }
}
