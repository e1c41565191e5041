//! How far a stream has been read whose lines come with those of others, and come again.

use std::sync::Arc;
use std::time::Instant;

use super::event::Place;
use awsb_model::JobId;

/// Lines reach CloudWatch Logs within this time, in milliseconds.
pub(super) const LATE: i64 = 60_000;

/// A stream that is read together with others, and how far it has been read.
#[derive(Debug)]
pub(super) struct Cursor {
    pub place: Arc<Place>,
    pub writer: JobId,
    /// The time of the last line, and how many lines of this time have been read.
    pub mark: Option<(i64, usize)>,
    /// Without a mark: where it begins.
    pub begin: i64,
    /// A time by AWS's clock, at or before the last reading to its end; `None` before the first one.
    pub read_at: Option<i64>,
    /// So many lines at the mark come again in this round.
    pub skip: usize,
    pub missing_until: Option<Instant>,
    /// Lines came in this round.
    pub is_fresh: bool,
    pub done: bool,
}

impl Cursor {
    /// At a stream's beginning; or after a time, with what was printed then.
    pub fn new(place: Arc<Place>, writer: JobId, begin: i64, after: Option<i64>) -> Self {
        let mark = after.map(|at| (at, usize::MAX));
        Self {
            place,
            writer,
            mark,
            begin,
            read_at: None,
            skip: 0,
            missing_until: None,
            is_fresh: false,
            done: false,
        }
    }

    /// Lines at the mark come again.
    pub fn rewind(&mut self) {
        self.skip = self.mark.map_or(0, |(_, lines)| lines);
    }

    /// Whether a line was not read before; it is from here on.
    pub fn is_new(&mut self, time: i64) -> bool {
        match self.mark {
            Some((at, _)) if time < at => return false,
            Some((at, _)) if time == at && self.skip > 0 => {
                self.skip -= 1;
                return false;
            }
            Some((at, lines)) if time == at => self.mark = Some((at, lines.saturating_add(1))),
            _ => {
                self.skip = 0;
                self.mark = Some((time, 1));
            }
        }
        self.is_fresh = true;
        true
    }

    /// The time from which on lines may be new.
    pub fn position(&self) -> i64 {
        self.mark.map_or(self.begin, |(at, _)| at)
    }

    /// The same, for a writer that goes on: what was not there at the last reading is not older by more than lines
    /// take. The time of that reading counts, and not the present one, which may be long after it.
    pub fn live_position(&self) -> i64 {
        self.read_at.map_or(self.position(), |at| self.position().max(at - LATE))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Writer;
    use super::*;

    /// A cursor that is told of the same lines again and again, a few more of them each time.
    #[test]
    fn what_comes_again_is_known() {
        let word = || String::from("x");
        let place = Place { writer: Writer::Job, job_id: word(), task: None, group: word(), stream: word() };
        let times = [5, 5, 5, 7, 7, 9];
        for before in 0..times.len() {
            for after in before..=times.len() {
                let mut cursor = Cursor::new(Arc::new(place.clone()), JobId::from_batch("x"), 0, None);
                let mut new = 0;
                for upto in [before, after, after, times.len()] {
                    cursor.rewind();
                    let from = cursor.position();
                    new += times[..upto].iter().filter(|at| **at >= from && cursor.is_new(**at)).count();
                }
                assert_eq!(new, times.len(), "{before}, then {after}");
            }
        }
        let mut tail = Cursor::new(Arc::new(place), JobId::from_batch("x"), 0, Some(5));
        tail.rewind();
        assert_eq!(times.iter().filter(|at| tail.is_new(**at)).count(), 3);
    }
}
