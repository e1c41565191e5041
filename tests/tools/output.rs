//! `bout` at any size: not one line lost, doubled or out of order in its stream.

use std::time::Duration;

use awsb_testkit::{LogServer, NetworkFaults, Outcome, Sandbox, Writer, story};

const ID: &str = LogServer::ID;

/// A network at its worst.
const STORM: NetworkFaults = NetworkFaults {
    throttled: 30,
    reset: 30,
    error: 30,
    short: 150,
    forward_only: false,
    hurry: 0,
    latency: Duration::from_millis(1),
};

fn sandbox(server: &LogServer) -> Sandbox {
    Sandbox::at(&server.endpoint())
}

/// The output is exactly these lines of the one writer. (Not `assert_eq`: a million lines are no
/// message.)
#[track_caller]
fn is_exactly(outcome: &Outcome, lines: usize) {
    let mut shown = outcome.stdout.lines();
    for n in 0..lines {
        let (line, truth) = (shown.next(), LogServer::message(0, n));
        assert_eq!(line, Some(truth.as_str()), "line {n}");
    }
    assert_eq!(shown.next(), None, "no line more");
}

#[story]
fn a_million_followed_lines_are_the_truth() {
    // They come within 5 seconds, many in each millisecond; the last thousand 2 seconds after the
    // job's end.
    let times: Vec<i64> = (0..1_000_000).map(|n| n / 200).collect();
    let writer = Writer { starts: 0, ends: 5000, times, late: (1000, 2000) };
    let server = LogServer::start(vec![writer], STORM);
    let outcome = sandbox(&server).start("bout", ["-f", ID]).wait_for(Duration::from_secs(300)).ok();
    is_exactly(&outcome, 1_000_000);
}

/// Slow lines, then many in one millisecond, then a burst, an hour of silence, and slow lines
/// again.
fn uneven() -> Vec<i64> {
    let slow = |from: i64| (0..40_000).map(move |n| from + n * 3);
    let begin = -10 * 3_600_000;
    slow(begin)
        .chain(std::iter::repeat_n(begin + 120_000, 25_000))
        .chain((0..100_000).map(|n| begin + 120_000 + n / 50))
        .chain(slow(begin + 3_800_000))
        .collect()
}

#[story]
fn a_finished_log_is_read_from_several_points_at_once() {
    let times = uneven();
    let lines = times.len();
    let server = LogServer::start(
        vec![Writer::ended(times)],
        NetworkFaults { latency: Duration::from_millis(20), ..NetworkFaults::default() },
    );
    let outcome = sandbox(&server).run("bout", [ID]).ok();
    is_exactly(&outcome, lines);
    assert!((4..=10).contains(&server.at_once()), "{} calls at once", server.at_once());
    let pages = lines.div_ceil(10_000);
    assert!(
        server.calls("GetLogEvents") < 3 * pages + 12,
        "{} calls for {pages} pages",
        server.calls("GetLogEvents")
    );
}

#[story]
fn a_finished_log_is_read_whole_through_a_bad_network() {
    let times = uneven();
    let lines = times.len();
    let server = LogServer::start(vec![Writer::ended(times)], STORM);
    is_exactly(&sandbox(&server).run("bout", [ID]).ok(), lines);
}

/// An array whose children each print some lines while they run, one child after the other.
fn array(children: usize, lines: usize, ends_before: Option<i64>) -> Vec<Writer> {
    let child = |index: usize| {
        let index = i64::try_from(index).expect("an index");
        // All of them within 4 seconds, each for about half a second, in steps that do not fit each
        // other.
        let starts = ends_before.unwrap_or(0) + index * 3500 / i64::try_from(children).expect("a number");
        let times =
            (0..lines).map(|n| starts + i64::try_from(n).expect("a number") * (7 + index % 23)).collect();
        Writer {
            starts,
            ends: starts + 500,
            times,
            late: (lines.min(2), if index % 10 == 0 { 900 } else { 0 }),
        }
    };
    (0..children).map(child).collect()
}

/// The lines of each child are its own, all of them in order; returns the order in which children
/// spoke.
#[track_caller]
fn is_each_childs(outcome: &Outcome, children: usize, lines: usize) -> Vec<(usize, usize)> {
    is_each_childs_own(outcome, &vec![lines; children])
}

/// The same, with so many lines of each child.
#[track_caller]
fn is_each_childs_own(outcome: &Outcome, lines: &[usize]) -> Vec<(usize, usize)> {
    let mut seen = vec![0; lines.len()];
    let mut order = Vec::new();
    for line in outcome.stdout.lines() {
        let (index, message) = line.split_once(": ").expect("an index before each line");
        let index: usize = index.parse().expect("an index");
        assert_eq!(message, LogServer::message(index, seen[index]), "after {} lines of {index}", seen[index]);
        order.push((index, seen[index]));
        seen[index] += 1;
    }
    let missing: Vec<_> = seen.iter().zip(lines).enumerate().filter(|(_, (n, all))| n != all).collect();
    assert!(missing.is_empty(), "not all lines of {missing:?}");
    order
}

#[story]
fn a_thousand_children_are_followed_with_few_requests() {
    let server = LogServer::start(array(1000, 20, None), STORM);
    let outcome = sandbox(&server).run("bout", ["-f", ID]).ok();
    is_each_childs(&outcome, 1000, 20);
    let (logs, batch) =
        (server.calls("FilterLogEvents"), server.calls("describejobs") + server.calls("listjobs"));
    assert_eq!(server.calls("GetLogEvents"), 0);
    assert!(logs < 700, "{logs} calls of FilterLogEvents");
    assert!(batch < 300, "{batch} calls of Batch");
}

#[story]
fn who_joins_late_gets_every_line_of_children_that_run() {
    // One started after the other within 10 minutes, all of them print until they end, 3 seconds
    // from now.
    let child = |index: i64| {
        let starts = -700_000 + index * 5000;
        Writer { starts, ends: 3000, times: (starts..3000).step_by(20_000).collect(), late: (0, 0) }
    };
    let writers: Vec<Writer> = (0..120).map(child).collect();
    let lines: Vec<usize> = writers.iter().map(|w| w.times.len()).collect();
    let server = LogServer::start(writers, NetworkFaults::default());
    is_each_childs_own(&sandbox(&server).run("bout", ["-f", ID]).ok(), &lines);
}

#[story]
fn a_round_that_takes_minutes_loses_nothing() {
    // Every call takes a minute and a half by the server's clock.
    let faults =
        NetworkFaults { hurry: 449, latency: Duration::from_millis(200), ..NetworkFaults::default() };
    let child = |index: i64| {
        let starts = index * 100;
        let times = (starts..4_500_000).step_by(20_000).collect();
        Writer { starts, ends: 4_500_000, times, late: (0, 0) }
    };
    let writers: Vec<Writer> = (0..350).map(child).collect();
    let lines: Vec<usize> = writers.iter().map(|w| w.times.len()).collect();
    let server = LogServer::start(writers, faults);
    is_each_childs_own(&sandbox(&server).run("bout", ["-f", ID]).ok(), &lines);
}

#[story]
fn a_few_of_many_children_are_followed_without_a_list() {
    let server = LogServer::start(array(300, 20, None), NetworkFaults::default());
    let outcome = sandbox(&server).run("bout", ["-f", "--index", "3,299", ID]).ok();
    let mut expected = vec![0; 300];
    (expected[3], expected[299]) = (20, 20);
    is_each_childs_own(&outcome, &expected);
    assert_eq!(server.calls("listjobs"), 0);
}

#[story]
fn a_chatty_child_does_not_silence_the_others() {
    let chatty = Writer { starts: 0, ends: 8000, times: (0..8000).collect(), late: (0, 0) };
    let quiet = Writer { starts: 0, ends: 8000, times: vec![100], late: (0, 0) };
    let server = LogServer::start(vec![chatty, quiet], NetworkFaults::default());
    let outcome = sandbox(&server).run("bout", ["-f", ID]).ok();
    let order = is_each_childs_own(&outcome, &[8000, 1]);
    let at = order.iter().position(|(index, _)| *index == 1);
    assert!(at.is_some_and(|at| at < 4000), "the other's line is number {at:?}");
}

#[story]
fn a_thousand_children_are_merged_by_time() {
    let server = LogServer::start(array(1000, 20, Some(-3_600_000)), STORM);
    let outcome = sandbox(&server).run("bout", [ID]).ok();
    let order = is_each_childs(&outcome, 1000, 20);
    let times: Vec<i64> = order.iter().map(|(index, n)| server.time(*index, *n)).collect();
    assert!(times.is_sorted());
    assert!(server.all_calls() < 200, "{} calls", server.all_calls());
    // The same for a few, each of which is read by itself; and the last lines of both.
    let server = LogServer::start(array(7, 300, Some(-3_600_000)), STORM);
    let outcome = sandbox(&server).run("bout", [ID]).ok();
    let order = is_each_childs(&outcome, 7, 300);
    assert!(order.iter().map(|(index, n)| server.time(*index, *n)).is_sorted());
}

#[story]
fn the_last_lines_take_few_calls() {
    let lines = 200_000;
    let times = (0..lines).map(|n| n / 10 - 7_200_000).collect();
    let server = LogServer::start(vec![Writer::ended(times)], NetworkFaults::default());
    let last = sandbox(&server).run("bout", ["--tail", "3", ID]).ok().stdout;
    let expected: Vec<String> = (199_997..200_000).map(|n| LogServer::message(0, n)).collect();
    assert_eq!(last.lines().collect::<Vec<_>>(), expected);
    assert_eq!(server.calls("GetLogEvents"), 1);
    let outcome = sandbox(&server).run("bout", ["-t", "30000", ID]).ok();
    assert_eq!(outcome.stdout.lines().next(), Some(LogServer::message(0, 170_000).as_str()));
    assert_eq!(outcome.stdout.lines().count(), 30_000);
    let first = sandbox(&server).run("bout", ["--head", "2", ID]).ok().stdout;
    assert_eq!(first, format!("{}\n{}\n", LogServer::message(0, 0), LogServer::message(0, 1)));
    assert!(server.calls("GetLogEvents") <= 6, "{} calls", server.calls("GetLogEvents"));
    // A reader that closes the pipe ends `bout`.
    let before = server.all_calls();
    let head = sandbox(&server).run("sh", ["-c", &format!("bout {ID} | head -1")]).ok().stdout;
    assert_eq!(head, LogServer::message(0, 0) + "\n");
    assert!(server.all_calls() - before < 20, "{} calls", server.all_calls() - before);
}

#[story]
fn the_last_lines_of_many_children() {
    for (children, forward_only) in [(5, false), (300, false), (300, true)] {
        let faults = NetworkFaults { forward_only, ..STORM };
        let server = LogServer::start(array(children, 10, Some(-3_600_000)), faults);
        let all = sandbox(&server).run("bout", [ID]).ok().stdout;
        let all: Vec<&str> = all.lines().collect();
        let before = server.calls("FilterLogEvents");
        for words in [&["--tail", "25"][..], &["-f", "--tail", "25"]] {
            let last = sandbox(&server).run("bout", words.iter().chain(&[ID])).ok().stdout;
            let (mut last, mut expected): (Vec<&str>, Vec<&str>) =
                (last.lines().collect(), all[all.len() - 25..].to_vec());
            // Those of one millisecond may come in either order.
            last.sort_unstable();
            expected.sort_unstable();
            assert_eq!(last, expected, "{children} children, {words:?}");
        }
        let calls = server.calls("FilterLogEvents") - before;
        assert!(calls < 150, "the years before the job are not looked through: {calls} calls");
    }
}
