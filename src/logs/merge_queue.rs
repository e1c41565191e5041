//! Merges the lines of several streams by time. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::event::Event;

/// The lines of several streams, which are merged by time. Lines of the same time come in the order
/// of the streams, and the order within a stream never changes.
#[derive(Debug, Default)]
pub struct MergeQueue {
    streams: Vec<PendingLines>,
    /// The time of the first line of each stream that has lines, with the stream's index.
    next: BinaryHeap<Reverse<(i64, usize)>>,
}

/// The lines of a stream that have not been taken.
#[derive(Debug, Default)]
struct PendingLines {
    lines: VecDeque<Event>,
    has_ended: bool,
}

impl PendingLines {
    /// Whether no line can be taken before this stream has more.
    fn blocks(&self) -> bool {
        self.lines.is_empty() && !self.has_ended
    }
}

impl MergeQueue {
    /// Adds a stream without lines, and returns its index.
    pub fn add_stream(&mut self) -> usize {
        self.streams.push(PendingLines::default());
        self.streams.len() - 1
    }

    /// The number of lines of a stream that have not been taken.
    pub fn pending(&self, stream: usize) -> usize {
        self.streams.get(stream).map_or(0, |stream| stream.lines.len())
    }

    /// Appends lines to a stream.
    pub fn push(&mut self, index: usize, lines: Vec<Event>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let was_empty = stream.lines.is_empty();
        stream.lines.extend(lines);
        if let Some(line) = stream.lines.front().filter(|_| was_empty) {
            self.next.push(Reverse((line.time(), index)));
        }
    }

    /// Marks a stream as complete, so that the others need not wait for it.
    pub fn end(&mut self, index: usize) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.has_ended = true;
        }
    }

    /// Takes at most `most` lines, as far as the next line of every stream is known.
    pub fn take(&mut self, most: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        if self.streams.iter().any(PendingLines::blocks) {
            return taken;
        }
        while taken.len() < most
            && let Some(Reverse((_, index))) = self.next.pop()
        {
            let Some(stream) = self.streams.get_mut(index) else { continue };
            taken.extend(stream.lines.pop_front());
            match stream.lines.front() {
                Some(line) => self.next.push(Reverse((line.time(), index))),
                None if stream.has_ended => {}
                None => break,
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::event::{LogStreamRef, StreamWriter};
    use super::*;

    fn line(time: i64, message: &str) -> Event {
        let stream = LogStreamRef {
            writer: StreamWriter::Job,
            job_id: "j".into(),
            task: None,
            container: None,
            group: "g".into(),
            name: "s".into(),
        };
        Event { stream: Arc::new(stream), timestamp: Some(time), message: message.into() }
    }

    fn taken(queue: &mut MergeQueue, most: usize) -> String {
        queue.take(most).into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn lines_come_by_time_and_then_by_stream() {
        let mut queue = MergeQueue::default();
        let (one, two) = (queue.add_stream(), queue.add_stream());
        queue.push(two, vec![line(1, "a"), line(2, "c")]);
        // Nothing comes before the other stream has shown its first line.
        assert_eq!(taken(&mut queue, 9), "");
        queue.push(one, vec![line(2, "b"), line(3, "d")]);
        assert_eq!(taken(&mut queue, 9), "abc");
        assert_eq!((queue.pending(one), queue.pending(two)), (1, 0));
        assert_eq!(taken(&mut queue, 9), "");
        queue.end(two);
        assert_eq!(taken(&mut queue, 9), "d");
        queue.end(one);
        assert_eq!(taken(&mut queue, 9), "");
    }

    #[test]
    fn a_batch_is_limited() {
        let mut queue = MergeQueue::default();
        let one = queue.add_stream();
        queue.push(one, vec![line(1, "a"), line(1, "b"), line(1, "c")]);
        assert_eq!([taken(&mut queue, 2), taken(&mut queue, 2)], ["ab", "c"]);
    }

    proptest::proptest! {
        /// All lines come once. Those of a stream keep their order, even if their times do not
        /// rise.
        #[test]
        fn nothing_is_lost_or_swapped(streams in proptest::collection::vec(proptest::collection::vec(0_i64..9, 0..8), 1..5)) {
            let mut queue = MergeQueue::default();
            for (n, times) in streams.iter().enumerate() {
                let index = queue.add_stream();
                queue.push(index, times.iter().map(|time| line(*time, &n.to_string())).collect());
                queue.end(index);
            }
            let all = queue.take(usize::MAX);
            for (n, times) in streams.iter().enumerate() {
                let own = all.iter().filter(|line| line.message == n.to_string()).map(Event::time);
                proptest::prop_assert_eq!(&own.collect::<Vec<_>>(), times);
            }
            if streams.iter().all(|times| times.is_sorted()) {
                proptest::prop_assert!(all.is_sorted_by_key(Event::time));
            }
        }
    }
}
