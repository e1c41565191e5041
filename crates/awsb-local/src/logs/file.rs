//! A log stream's file: events in the order of time, found by halving the file.
//!
//! A position is a byte offset, so page 900 costs what page 1 costs. Its writer, a runner, may
//! append to the file meanwhile; a line without its end is not there yet.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::position::{Bound, Direction, FoundEvent, Position};
use super::record;

const CHUNK: usize = 64 * 1024;

/// A log stream's file as it was when it was opened.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// After the last whole line.
    end: u64,
}

impl LogFile {
    /// Opens a file as it is now; `None` when it does not exist, as before a stream's first event.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let length = file.metadata()?.len();
        let mut file = Self { file, end: length };
        file.end = file.line_start(length)?;
        Ok(Some(file))
    }

    /// The position after the last event.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether a position is one that a page can begin or end at.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_position(&self, at: u64) -> io::Result<bool> {
        Ok(at <= self.end && self.line_start(at)? == at)
    }

    /// The times of the first and of the last event; `None` when there is no event.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn span(&self) -> io::Result<Option<(i64, i64)>> {
        if self.end == 0 {
            return Ok(None);
        }
        let first = record::time(&self.read(0, record::HEAD)?);
        let last = record::time(&self.read(self.line_start(self.end - 1)?, record::HEAD)?);
        Ok(first.zip(last))
    }

    /// The position of the first event that is not before `time`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, time: i64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.end);
        // Events before `low` are before `time`; those from `high` on are not.
        while low < high {
            let middle = self.line_start(low + (high - low) / 2)?.max(low);
            let head = self.read(middle, record::HEAD)?;
            if record::time(&head).is_some_and(|t| t < time) {
                low = self.line_end(middle)?;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The start of the line that a position is in; the position itself if it is one.
    fn line_start(&self, at: u64) -> io::Result<u64> {
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
    fn line_end(&self, at: u64) -> io::Result<u64> {
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
    fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        self.read_raw(at, length.min(left))
    }

    fn read_raw(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// The events of a file between two positions, one after the other in one direction.
///
/// The file is open only while a chunk of it is read: thousands of streams may be read at once.
#[derive(Debug)]
pub struct FileScan {
    path: PathBuf,
    direction: Direction,
    /// The part that is not read yet.
    low: u64,
    high: u64,
    queue: VecDeque<FoundEvent>,
}

impl FileScan {
    /// The events between `from` and `to`, of what the file has now; `None` when one of the bounds
    /// is a mark that this file has not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(
        path: PathBuf,
        direction: Direction,
        from: &[Bound],
        to: &[Bound],
    ) -> io::Result<Option<Self>> {
        let file = LogFile::open(&path)?;
        let end = file.as_ref().map_or(0, LogFile::end);
        let (mut low, mut high) = (0, end);
        let resolve = |bound: &Bound| -> io::Result<Option<u64>> {
            match (bound, &file) {
                (Bound::Time(time), Some(file)) => file.find(*time).map(Some),
                (Bound::Time(_), None) => Ok(Some(0)),
                (Bound::Position(mark), Some(file)) => Ok(file.is_position(mark.at)?.then_some(mark.at)),
                (Bound::Position(mark), None) => Ok((mark.at == 0).then_some(0)),
            }
        };
        for bound in from {
            let Some(at) = resolve(bound)? else { return Ok(None) };
            low = low.max(at);
        }
        for bound in to {
            let Some(at) = resolve(bound)? else { return Ok(None) };
            high = high.min(at);
        }
        Ok(Some(Self { path, direction, low, high: high.max(low), queue: VecDeque::new() }))
    }

    /// Where the events begin and end that have not been taken.
    pub fn rest(&self) -> (Position, Position) {
        let (mut low, mut high) = (self.low, self.high);
        match (self.direction, self.queue.front()) {
            (Direction::Forward, Some(next)) => low = next.before.at,
            (Direction::Backward, Some(next)) => high = next.after.at,
            (_, None) => {}
        }
        (Position { time: 0, at: low }, Position { time: 0, at: high })
    }

    /// The next event, which stays there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn peek(&mut self, chunk: usize) -> io::Result<Option<&FoundEvent>> {
        if self.queue.is_empty() && self.low < self.high {
            self.fill(chunk)?;
        }
        Ok(self.queue.front())
    }

    /// Takes the event that [`FileScan::peek`] has shown.
    pub fn take(&mut self) -> Option<FoundEvent> {
        self.queue.pop_front()
    }

    fn fill(&mut self, mut chunk: usize) -> io::Result<()> {
        let file = match File::open(&self.path) {
            Ok(file) => LogFile { file, end: self.high },
            // Somebody has deleted the stream meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.low = self.high;
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        while self.queue.is_empty() && self.low < self.high {
            let left = self.high - self.low;
            let length = usize::try_from(left).map_or(chunk, |left| left.min(chunk));
            let from = match self.direction {
                Direction::Forward => self.low,
                Direction::Backward => self.high - length as u64,
            };
            let bytes = file.read(from, length)?;
            let whole_line = match self.direction {
                Direction::Forward => self.fill_forward(&bytes),
                Direction::Backward => self.fill_backward(&bytes, from),
            };
            if bytes.len() < length || (!whole_line && length as u64 == left) {
                // The file has become shorter: somebody has edited it.
                self.low = self.high;
            } else if !whole_line {
                // A line longer than that: the chunk grows until it fits.
                chunk = chunk.saturating_mul(4);
            }
        }
        Ok(())
    }

    /// Takes the whole lines at the start of `bytes`; says whether there was one.
    fn fill_forward(&mut self, bytes: &[u8]) -> bool {
        let mut used = 0;
        while let Some(length) = bytes[used..].iter().position(|b| *b == b'\n') {
            self.push(&bytes[used..used + length], self.low + used as u64);
            used += length + 1;
        }
        self.low += used as u64;
        used > 0
    }

    /// Takes the whole lines at the end of `bytes`, which begin at `from`; says whether there was
    /// one.
    fn fill_backward(&mut self, bytes: &[u8], from: u64) -> bool {
        let mut end = bytes.len();
        while let Some(body) = end.checked_sub(1) {
            let start = match bytes[..body].iter().rposition(|b| *b == b'\n') {
                Some(at) => at + 1,
                None if from == self.low => 0,
                None => break,
            };
            self.push(&bytes[start..body], from + start as u64);
            end = start;
        }
        self.high = from + end as u64;
        end < bytes.len()
    }

    fn push(&mut self, line: &[u8], start: u64) {
        // Text that is not an event is skipped: somebody has edited the file.
        if let Some(event) = record::parse(line) {
            let mark = |at| Position { time: event.time, at };
            self.queue.push_back(FoundEvent {
                before: mark(start),
                after: mark(start + line.len() as u64 + 1),
                time: event.time,
                ingested: event.time,
                message: event.message,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file of `n` events, two each millisecond, and half a line that is still being written.
    fn file(n: i64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream");
        let mut bytes = Vec::new();
        for i in 0..n {
            record::append(&mut bytes, 1_000_000_000_000 + i / 2, format!("line {i}").as_bytes());
        }
        bytes.extend_from_slice(b"1000000000");
        File::create(&path).unwrap().write_all(&bytes).unwrap();
        (dir, path)
    }

    fn numbers(mut scan: FileScan, chunk: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while scan.peek(chunk).unwrap().is_some() {
            let event = scan.take().unwrap();
            numbers.push(event.message.strip_prefix("line ").unwrap().parse().unwrap());
        }
        numbers
    }

    #[test]
    fn a_scan_sees_everything_once_in_both_directions_whatever_the_chunk() {
        let (_dir, path) = file(2_500);
        for chunk in [1, 7, 100, 4096, 1 << 20] {
            let scan = |direction| FileScan::new(path.clone(), direction, &[], &[]).unwrap().unwrap();
            assert_eq!(numbers(scan(Direction::Forward), chunk), (0..2_500).collect::<Vec<_>>());
            assert_eq!(numbers(scan(Direction::Backward), chunk), (0..2_500).rev().collect::<Vec<_>>());
        }
    }

    #[test]
    fn times_and_marks_bound_a_scan() {
        let (_dir, path) = file(1000);
        let scan = |direction, from: &[Bound], to: &[Bound]| {
            FileScan::new(path.clone(), direction, from, to).unwrap().map(|scan| numbers(scan, 100))
        };
        let from = Bound::Time(1_000_000_000_100);
        let to = Bound::Time(1_000_000_000_103);
        assert_eq!(scan(Direction::Forward, &[from], &[to]), Some((200..206).collect()));
        assert_eq!(scan(Direction::Backward, &[from], &[to]), Some((200..206).rev().collect()));
        assert_eq!(scan(Direction::Forward, &[Bound::Time(i64::MAX)], &[]), Some(vec![]));
        assert_eq!(scan(Direction::Backward, &[], &[Bound::Time(0)]), Some(vec![]));
        let mark = |at| Bound::Position(Position { time: 0, at });
        // `TIME line N` and its end: 21 bytes for each of the first ten.
        assert_eq!(scan(Direction::Forward, &[mark(42)], &[mark(84)]), Some(vec![2, 3]));
        assert_eq!(scan(Direction::Forward, &[mark(5)], &[]), None, "inside of a line");
        assert_eq!(scan(Direction::Forward, &[mark(1 << 40)], &[]), None, "behind the end");
    }

    #[test]
    fn what_is_left_begins_and_ends_where_the_next_page_does() {
        let (_dir, path) = file(10);
        let mut scan = FileScan::new(path.clone(), Direction::Forward, &[], &[]).unwrap().unwrap();
        assert_eq!((scan.rest().0.at, scan.rest().1.at), (0, 210));
        for n in 1..=10 {
            scan.peek(1000).unwrap();
            scan.take().unwrap();
            assert_eq!(scan.rest().0.at, n * 21);
        }
        let mut scan = FileScan::new(path, Direction::Backward, &[], &[]).unwrap().unwrap();
        scan.peek(1000).unwrap();
        scan.take().unwrap();
        assert_eq!((scan.rest().0.at, scan.rest().1.at), (0, 189));
    }

    #[test]
    fn a_file_that_is_not_there_or_empty_has_no_events() {
        let (_dir, path) = file(0);
        assert_eq!(LogFile::open(&path).unwrap().unwrap().span().unwrap(), None);
        for path in [path.with_extension("none"), path] {
            let scan = FileScan::new(path, Direction::Forward, &[Bound::Time(5)], &[]).unwrap().unwrap();
            assert!(numbers(scan, 10).is_empty());
        }
        let (_dir, path) = file(9);
        let span = LogFile::open(&path).unwrap().unwrap().span().unwrap();
        assert_eq!(span, Some((1_000_000_000_000, 1_000_000_000_004)));
    }
}
