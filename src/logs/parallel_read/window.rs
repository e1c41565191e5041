//! The parts of a log that are read at the same time: the pure half of reading one stream from
//! several points in time.
//!
//! The API does not tell how long a stream is, or where in time its lines are. A call that starts
//! at a time returns the lines from there on, as many as a page has, without a hole. So a *probe*
//! that starts at a time has every line from its start to its last line, its *reach*. When the next
//! probe starts before that, reading goes on with the next probe; otherwise the probe goes on by
//! its token.
//!
//! The starts of probes are guessed from the time that full pages span. A wrong guess costs calls,
//! but no lines: each line is handed on from the first of all probes. Lines of the same millisecond
//! stay together: the lines at a probe's reach are left to the next probe, which has all of them.

use std::collections::VecDeque;

use crate::logs::event::Event;

/// At most this many pages are under way or wait to be handed on.
const PAGES: usize = 12;
/// At most this many calls are made at the same time.
const CALLS_AT_ONCE: usize = 8;
/// A page of at least this many lines is full: more lines are behind it, in all likelihood.
const FULL_LINES: usize = 2_000;
/// A page of at least this many bytes is full, too.
const FULL_BYTES: usize = 256 * 1024;

/// One of the points from which the stream is read.
#[derive(Debug)]
struct Probe {
    number: u64,
    /// It has every line from here on, in milliseconds since the epoch.
    start: i64,
    /// The time of its last line so far.
    reach: i64,
    pages: VecDeque<Vec<Event>>,
    under_way: bool,
    ended: bool,
}

impl Probe {
    fn new(number: u64, start: i64) -> Self {
        Self { number, start, reach: i64::MIN, pages: VecDeque::new(), under_way: false, ended: false }
    }
}

/// The pages that have been read, and the calls that come next.
#[derive(Debug)]
pub(super) struct Window {
    /// The probes in the order of their starts, which all differ.
    probes: VecDeque<Probe>,
    /// All lines before this time have been handed on, and no line of the present probe at this
    /// time.
    passed: i64,
    next_number: u64,
    /// The time that the last full page spans.
    step: Option<i64>,
    speculates: bool,
    /// No probe is guessed to start later.
    horizon: i64,
    /// A page of at least this many lines is full.
    full: usize,
}

/// A call to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// The number of its probe. A new probe starts at `start`, another one goes on.
    pub probe: u64,
    /// The time at which it starts; `None` for the stream's head.
    pub start: Option<i64>,
}

impl Window {
    /// A stream of which nothing has been read. Without `speculates`, one page comes after the
    /// other. Lines are not expected later than at `horizon`, though there may be some.
    pub fn new(speculates: bool, horizon: Option<i64>) -> Self {
        let first = Probe::new(0, i64::MIN);
        Self {
            probes: [first].into(),
            passed: i64::MIN,
            next_number: 1,
            step: None,
            speculates,
            horizon: horizon.unwrap_or(i64::MAX),
            full: FULL_LINES,
        }
    }

    /// Whether everything has been handed on.
    pub fn is_done(&self) -> bool {
        self.probes.front().is_none_or(|front| front.ended && front.pages.is_empty())
    }

    /// The calls to make now. From then on, they count as under way.
    pub fn calls(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        self.look_ahead();
        let mut under_way = self.probes.iter().filter(|p| p.under_way).count();
        let mut pages: usize = under_way + self.probes.iter().map(|p| p.pages.len()).sum::<usize>();
        let starts: Vec<Option<i64>> =
            self.probes.iter().skip(1).map(|p| Some(p.start)).chain([None]).collect();
        for (at, (probe, next)) in self.probes.iter_mut().zip(starts).enumerate() {
            let meets_the_next = next.is_some_and(|start| start <= probe.reach);
            if probe.under_way || probe.ended || meets_the_next {
                continue;
            }
            // The page that all others wait for is always read.
            let is_needed = at == 0 && probe.pages.is_empty();
            if !is_needed && (under_way >= CALLS_AT_ONCE || pages >= PAGES) {
                continue;
            }
            probe.under_way = true;
            under_way += 1;
            pages += 1;
            let start = (probe.start > i64::MIN).then_some(probe.start);
            calls.push(Call { probe: probe.number, start });
        }
        calls
    }

    /// Adds probes behind the last one, as long as the stream seems to go on there.
    fn look_ahead(&mut self) {
        let Some(step) = self.step.filter(|_| self.speculates) else { return };
        while self.probes.len() < PAGES
            && let Some(last) = self.probes.back()
            && !last.ended
        {
            let start = last.start.max(last.reach).saturating_add(ahead(step));
            // A page that spans a long silence has made the probes in between superfluous.
            let known = self.probes.iter().rev().skip(1).map(|p| p.reach).max().unwrap_or(i64::MIN);
            let start = start.max(known).max(self.passed);
            if start > self.horizon {
                break;
            }
            self.probes.push_back(Probe::new(self.next_number, start));
            self.next_number += 1;
        }
    }

    /// Whether a probe's answer is still of use.
    pub fn needs(&self, number: u64) -> bool {
        self.probes.iter().any(|p| p.number == number)
    }

    /// Takes a page of a probe; `None` is the end of the stream.
    pub fn add_page(&mut self, number: u64, page: Option<Vec<Event>>) {
        let Some(at) = self.probes.iter().position(|p| p.number == number) else { return };
        let is_last = at + 1 == self.probes.len();
        let next = self.probes.get(at + 1).map(|p| p.start);
        let Some(probe) = self.probes.get_mut(at) else { return };
        probe.under_way = false;
        let Some(page) = page else {
            probe.ended = true;
            // There is nothing behind the end.
            self.probes.truncate(at + 1);
            self.step = None;
            return;
        };
        let span = page.first().map(Event::time).zip(page.last().map(Event::time));
        let is_full = page.len() >= self.full || is_full(&page);
        let Some((first, last)) = span else {
            if is_last {
                self.step = None;
            }
            return;
        };
        probe.reach = probe.reach.max(last);
        probe.pages.push_back(page);
        if !is_full {
            // Either the stream's end is near, or the page tells nothing.
            if is_last {
                self.step = None;
            }
            return;
        }
        let step = last.saturating_sub(first).max(1);
        match next {
            None => self.step = Some(step),
            // The lines are denser than expected: the gap before the next probe is read from
            // several points.
            Some(next) if self.speculates => self.fill(at, last, next, step),
            Some(_) => {}
        }
    }

    /// Adds probes between the reach of one and the start of the next.
    fn fill(&mut self, after: usize, reach: i64, next: i64, step: i64) {
        let mut start = reach.saturating_add(ahead(step));
        let mut at = after + 1;
        while at <= after + CALLS_AT_ONCE && start.saturating_add(step / 4) < next {
            self.probes.insert(at, Probe::new(self.next_number, start));
            self.next_number += 1;
            at += 1;
            start = start.saturating_add(ahead(step));
        }
    }

    /// The next page that is in order.
    pub fn take(&mut self) -> Option<Vec<Event>> {
        // Drop probes that the next probe has overtaken.
        while self.probes.get(1).is_some_and(|next| next.start <= self.passed) {
            self.probes.pop_front();
        }
        let next = self.probes.get(1).map(|p| p.start);
        let front = self.probes.front_mut()?;
        let mut page = front.pages.pop_front()?;
        let reach = page.last().map_or(i64::MIN, Event::time);
        // Probes may overlap.
        let first = page.partition_point(|event| event.time() < self.passed);
        if next.is_some_and(|start| start <= reach) {
            page.truncate(page.partition_point(|event| event.time() < reach));
            self.passed = reach;
            self.probes.pop_front();
        }
        page.drain(..first.min(page.len()));
        Some(page)
    }
}

/// Whether more lines are behind a page, in all likelihood.
pub(in crate::logs) fn is_full(page: &[Event]) -> bool {
    page.len() >= FULL_LINES || page.iter().map(Event::size).sum::<usize>() >= FULL_BYTES
}

/// The time between the starts of two probes: a bit less than a page spans, so that pages meet.
fn ahead(step: i64) -> i64 {
    (step / 10 * 9).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::logs::event::{LogStreamRef, StreamWriter};

    fn stream() -> Arc<LogStreamRef> {
        let word = || String::from("x");
        Arc::new(LogStreamRef {
            writer: StreamWriter::Job,
            job_id: word(),
            task: None,
            container: None,
            group: word(),
            name: word(),
        })
    }

    /// Reads a stream of lines at these times, with pages of up to `most` lines whose sizes `page`
    /// gives; the calls are answered in the order that `order` gives. Returns the lines and the
    /// number of calls.
    fn read(times: &[i64], most: usize, page: &[usize], order: &[usize]) -> (Vec<usize>, usize) {
        // The horizon is right in some runs, wrong in others, and unknown in the rest.
        let horizon = [times.last().copied(), times.first().copied(), None][times.len() % 3];
        let stream = stream();
        let event = |n: usize| Event {
            stream: stream.clone(),
            timestamp: times.get(n).copied(),
            message: n.to_string(),
        };
        let mut window = Window { full: most.div_ceil(2), ..Window::new(true, horizon) };
        let mut streams: HashMap<u64, (usize, bool)> = HashMap::new();
        let (mut waiting, mut seen, mut calls) = (Vec::new(), Vec::new(), 0);
        while !window.is_done() {
            let asked = window.calls();
            calls += asked.len();
            waiting.extend(asked);
            waiting.retain(|call| window.needs(call.probe));
            assert!(waiting.len() <= CALLS_AT_ONCE + 1 && calls < 100_000);
            assert!(!waiting.is_empty(), "nothing goes on: {window:?}");
            let turn = order.get(calls % order.len().max(1)).copied().unwrap_or(0);
            let Call { probe, start } = waiting.remove(turn % waiting.len());
            let (at, has_token) =
                streams.get(&probe).copied().unwrap_or((times.partition_point(|t| Some(*t) < start), false));
            let size = page.get(calls % page.len().max(1)).copied().unwrap_or(most).min(most);
            let lines: Vec<Event> = (at..times.len().min(at + size)).map(event).collect();
            let next = at + lines.len();
            streams.insert(probe, (next, true));
            // An empty page whose token is new is not the end.
            let is_end = at >= times.len() && has_token;
            window.add_page(probe, (!is_end).then_some(lines));
            while let Some(page) = window.take() {
                seen.extend(page.iter().map(|e| e.message.parse::<usize>().unwrap()));
            }
        }
        (seen, calls)
    }

    fn all(times: &[i64]) -> Vec<usize> {
        (0..times.len()).collect()
    }

    #[test]
    fn an_even_stream_is_read_with_little_waste() {
        let times: Vec<i64> = (0..100_000).map(|n| 1_000_000 + n).collect();
        let (seen, calls) = read(&times, 1000, &[], &[0]);
        assert_eq!(seen, all(&times));
        assert!(calls < 100 * 5 / 4 + 2 * PAGES, "{calls} calls");
    }

    #[test]
    fn a_burst_and_a_millisecond_of_many_lines() {
        // Slow, then 30,000 lines in one millisecond, then slow, then a long silence, then fast.
        let slow = |from: i64| (0..2_000).map(move |n| from + n * 10);
        let times: Vec<i64> = slow(0)
            .chain(std::iter::repeat_n(20_000, 30_000))
            .chain(slow(20_001))
            .chain((0..20_000).map(|n| 90_000_000 + n / 100))
            .collect();
        let (seen, calls) = read(&times, 1000, &[], &[3, 1, 2]);
        assert_eq!(seen, all(&times));
        assert!(calls < 54 * 3, "{calls} calls");
    }

    #[test]
    fn a_short_stream_costs_a_page_and_its_end() {
        assert_eq!(read(&[5, 5, 7], 1000, &[], &[0]), (vec![0, 1, 2], 2));
        assert_eq!(read(&[], 1000, &[], &[0]), (vec![], 2));
    }

    proptest! {
        #[test]
        fn no_line_is_lost_doubled_or_out_of_order(
            gaps in prop::collection::vec(prop_oneof![5 => Just(0_i64), 5 => 0..3_i64, 1 => 0..5000_i64], 0..600),
            most in 1..40_usize,
            page in prop::collection::vec(0..40_usize, 1..8),
            order in prop::collection::vec(0..12_usize, 1..8),
        ) {
            // Some page has lines, or nothing would ever come.
            let page: Vec<usize> = page.into_iter().chain([most]).collect();
            let times: Vec<i64> = gaps.iter().scan(1000, |at, gap| { *at += gap; Some(*at) }).collect();
            prop_assert_eq!(read(&times, most, &page, &order).0, all(&times));
        }
    }
}
