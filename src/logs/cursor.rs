//! The position in a stream that FilterLogEvents reads together with others, some lines more than
//! once.

use std::sync::Arc;
use std::time::Instant;

use super::event::LogStreamRef;
use awsb_model::JobId;

/// The maximum delay of lines on their way to CloudWatch Logs, in milliseconds.
pub(super) const MAX_DELAY: i64 = 60_000;

/// A stream that is read together with others, and its position.
#[derive(Debug)]
pub(super) struct Cursor {
    pub stream: Arc<LogStreamRef>,
    pub writer: JobId,
    /// The time of the last line, and how many lines of this time have been read.
    pub position: Option<(i64, usize)>,
    /// The time at which reading begins, when no line has been read.
    pub begin: i64,
    /// A time by the clock of AWS, at or before the last reading to the end; `None` before the
    /// first one.
    pub read_at: Option<i64>,
    /// This many lines at the position are still to come again.
    pub skip: usize,
    /// It did not exist, and is not asked for again before this time.
    pub missing_until: Option<Instant>,
    /// New lines have come in this round.
    pub is_fresh: bool,
    pub done: bool,
}

impl Cursor {
    /// A cursor at a stream's beginning, or behind all lines of the time `after`.
    pub fn new(stream: Arc<LogStreamRef>, writer: JobId, begin: i64, after: Option<i64>) -> Self {
        let position = after.map(|at| (at, usize::MAX));
        Self {
            stream,
            writer,
            position,
            begin,
            read_at: None,
            skip: 0,
            missing_until: None,
            is_fresh: false,
            done: false,
        }
    }

    /// Reading starts again: the lines at the position come again.
    pub fn rewind(&mut self) {
        self.skip = self.position.map_or(0, |(_, lines)| lines);
    }

    /// Counts a line of this time as read, and returns whether it was not read before.
    pub fn is_new(&mut self, time: i64) -> bool {
        match self.position {
            Some((at, _)) if time < at => return false,
            Some((at, _)) if time == at && self.skip > 0 => {
                self.skip -= 1;
                return false;
            }
            Some((at, lines)) if time == at => self.position = Some((at, lines.saturating_add(1))),
            _ => {
                self.skip = 0;
                self.position = Some((time, 1));
            }
        }
        self.is_fresh = true;
        true
    }

    /// The time from which lines may be new.
    pub fn next_time(&self) -> i64 {
        self.position.map_or(self.begin, |(at, _)| at)
    }

    /// The time from which lines may be new, of a writer that has not ended: a line that was not
    /// there at the last reading is not older than that reading by more than [`MAX_DELAY`]. The
    /// present time does not count, as it may be long after that reading.
    pub fn next_live_time(&self) -> i64 {
        self.read_at.map_or(self.next_time(), |at| self.next_time().max(at.saturating_sub(MAX_DELAY)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::StreamWriter;
    use super::*;

    /// A cursor gets the same lines again and again, a few more of them each time.
    #[test]
    fn lines_that_come_again_are_not_new() {
        let word = || String::from("x");
        let stream = LogStreamRef {
            writer: StreamWriter::Job,
            job_id: word(),
            task: None,
            container: None,
            group: word(),
            name: word(),
        };
        let times = [5, 5, 5, 7, 7, 9];
        for before in 0..times.len() {
            for after in before..=times.len() {
                let mut cursor = Cursor::new(Arc::new(stream.clone()), JobId::from_batch("x"), 0, None);
                let mut new = 0;
                for upto in [before, after, after, times.len()] {
                    cursor.rewind();
                    let from = cursor.next_time();
                    new += times[..upto].iter().filter(|at| **at >= from && cursor.is_new(**at)).count();
                }
                assert_eq!(new, times.len(), "{before}, then {after}");
            }
        }
        let mut tail = Cursor::new(Arc::new(stream), JobId::from_batch("x"), 0, Some(5));
        tail.rewind();
        assert_eq!(times.iter().filter(|at| tail.is_new(**at)).count(), 3);
    }
}
