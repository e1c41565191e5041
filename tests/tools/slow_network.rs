//! The tools on a long wire, to a service that turns away what comes too fast.

use std::time::Duration;

use awsb_testkit::{Sandbox, Slow, Wire, eventually, story};

/// A sandbox whose cluster is behind a wire, and the wire.
fn behind(wire: Wire) -> (Sandbox, Slow) {
    let mut sandbox = Sandbox::new();
    let mut slow = None;
    sandbox.reach_local_cluster_at(|server| slow.insert(Slow::to(server, wire)).endpoint());
    (sandbox, slow.expect("a wire"))
}

#[story]
fn five_states_cost_one_round_trip() {
    // So long that all of them are under way before the first is answered, on however busy a
    // machine.
    let (sandbox, slow) = behind(Wire { latency: Duration::from_secs(1), ..Wire::default() });
    let id = sandbox.run("bsub", ["--parsable", "--wrap", "sleep 600"]).ok().job_id();
    let before = slow.traffic();
    assert!(before.at_once < 5, "{before:?}");
    sandbox.run("bstat", [] as [&str; 0]).ok();
    let traffic = slow.traffic();
    assert_eq!((traffic.answered - before.answered, traffic.at_once), (5, 5), "{traffic:?}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_look_at_a_bundle_that_is_there_is_beside_the_other_calls() {
    let wire = || Wire { latency: Duration::from_secs(1), ..Wire::default() };
    // One that travels in the request is looked at while the job is submitted, one that is fetched
    // while it is put.
    for (size, first, at_once) in [(1, 2, 1), (20_000, 3, 2)] {
        let (sandbox, slow) = behind(wire());
        let noise = (0..size).map(|n: u32| format!("# {}\n", n.wrapping_mul(2_654_435_761)));
        // Too long for a request as text, and small when it is packed.
        let text = "# padding\n".repeat(1_000) + &noise.collect::<String>();
        sandbox.file("job.sh", text);
        sandbox.run("bsub", ["job.sh"]).ok();
        let traffic = slow.traffic();
        assert_eq!((traffic.answered, traffic.at_once), (first, at_once), "{size} {traffic:?}");
        sandbox.run("bsub", ["job.sh"]).ok();
        let again = slow.traffic();
        assert_eq!((again.answered - traffic.answered, again.at_once), (3, 2), "{size} {again:?}");
    }
}

#[story]
fn nothing_is_active_after_a_second_look() {
    let (sandbox, slow) = behind(Wire::default());
    sandbox.run("bstat", [] as [&str; 0]).ok();
    let traffic = slow.traffic();
    assert_eq!(traffic.answered, 5 + 6, "at once, then in turn: {traffic:?}");
    // One state, or a listing of all, misses nothing.
    for (args, calls) in
        [(&["-s", "RUNNING"][..], 1), (&["-s", "ALL", "--since", "1h"], 1), (&["--failed"], 1)]
    {
        let before = slow.traffic().answered;
        sandbox.run("bstat", args).ok();
        assert_eq!(slow.traffic().answered - before, calls, "{args:?}");
    }
}

#[story]
fn what_is_turned_away_or_cut_off_is_asked_for_again_and_nothing_is_missing() {
    let (sandbox, slow) = behind(Wire { throttles: 5, resets: 7, ..Wire::default() });
    let id = sandbox.run("bsub", ["--parsable", "-a", "2000", "true"]).ok().job_id();
    let children: Vec<String> = (0..2000).map(|index| format!("{id}:{index}")).collect();
    let before = slow.traffic();
    let shown = sandbox.run("bstat", &children).ok();
    let ids: Vec<&str> =
        shown.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, children);
    let traffic = slow.traffic();
    assert!(traffic.answered >= before.answered + 20, "{traffic:?}");
    assert!(
        traffic.throttled > 0 && traffic.reset > 0,
        "nothing went wrong, so nothing was tested: {traffic:?}"
    );
    sandbox.run("bkill", [&id]).ok();
    eventually("the array has ended", Duration::from_secs(60), || {
        let job = sandbox.run("bstat", ["--json", &format!("{id}:0")]).ok().json();
        matches!(job[0]["status"].as_str(), Some("SUCCEEDED" | "FAILED")).then_some(())
    });
}

#[story]
fn calls_that_were_begun_do_not_wait_for_those_that_are_looked_at() {
    let (sandbox, slow) = behind(Wire { latency: Duration::from_millis(100), ..Wire::default() });
    let ids: Vec<String> =
        (0..8).map(|_| sandbox.run("bsub", ["--parsable", "-a", "20", "true"]).ok().job_id()).collect();
    // Seven states of eight arrays, and their vCPUs, which no listing tells: more calls than may be
    // under way at once.
    let shown = sandbox.run("bstat", ["-e", "-s", "ALL", "-o", "jobId,vcpus", "--no-header"]).ok().stdout;
    for id in &ids {
        let children = shown.lines().filter(|line| line.starts_with(&format!("{id}:"))).count();
        assert_eq!(children, 20, "{id}\n{shown}");
    }
    assert!(slow.traffic().at_once <= 16, "{:?}", slow.traffic());
}
