//! `bout` at any size: not one line lost, doubled or out of order in its stream.

mod support;

use std::time::Duration;

use support::{LogServer, Outcome, Sandbox, Trouble, Writer};

const ID: &str = LogServer::ID;

/// A network at its worst.
const STORM: Trouble =
    Trouble { throttled: 30, reset: 30, error: 30, short: 150, latency: Duration::from_millis(1) };

fn sandbox(server: &LogServer) -> Sandbox {
    Sandbox::at(&server.endpoint())
}

/// The output is exactly these lines of the one writer. (Not `assert_eq`: a million lines are no message.)
#[track_caller]
fn is_exactly(outcome: &Outcome, lines: usize) {
    let mut shown = outcome.stdout.lines();
    for n in 0..lines {
        let (line, truth) = (shown.next(), LogServer::message(0, n));
        assert_eq!(line, Some(truth.as_str()), "line {n}");
    }
    assert_eq!(shown.next(), None, "no line more");
}

#[test]
fn a_million_followed_lines_are_the_truth() {
    // They come within 5 seconds, many in each millisecond; the last thousand 2 seconds after the job's end.
    let times: Vec<i64> = (0..1_000_000).map(|n| n / 200).collect();
    let writer = Writer { starts: 0, ends: 5000, times, late: (1000, 2000) };
    let server = LogServer::start(vec![writer], STORM);
    let outcome = sandbox(&server).start("bout", ["-f", ID]).wait_for(Duration::from_secs(300)).ok();
    is_exactly(&outcome, 1_000_000);
}

/// Slow lines, then many in one millisecond, then a burst, an hour of silence, and slow lines again.
fn uneven() -> Vec<i64> {
    let slow = |from: i64| (0..40_000).map(move |n| from + n * 3);
    let begin = -10 * 3_600_000;
    slow(begin)
        .chain(std::iter::repeat_n(begin + 120_000, 25_000))
        .chain((0..100_000).map(|n| begin + 120_000 + n / 50))
        .chain(slow(begin + 3_800_000))
        .collect()
}

#[test]
fn a_finished_log_is_read_from_several_points_at_once() {
    let times = uneven();
    let lines = times.len();
    let server = LogServer::start(vec![Writer::ended(times)], Trouble { latency: Duration::from_millis(20), ..Trouble::default() });
    let outcome = sandbox(&server).run("bout", [ID]).ok();
    is_exactly(&outcome, lines);
    assert!((4..=10).contains(&server.at_once()), "{} calls at once", server.at_once());
    let pages = lines.div_ceil(10_000);
    assert!(server.calls("GetLogEvents") < 3 * pages + 12, "{} calls for {pages} pages", server.calls("GetLogEvents"));
}

#[test]
fn a_finished_log_is_read_whole_through_a_bad_network() {
    let times = uneven();
    let lines = times.len();
    let server = LogServer::start(vec![Writer::ended(times)], STORM);
    is_exactly(&sandbox(&server).run("bout", [ID]).ok(), lines);
}
