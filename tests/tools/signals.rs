//! Signals that end a tool while it waits.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use awsb_testkit::{Outcome, Sandbox, eventually, program, story};
use nix::sys::signal::Signal;

const MINUTE: Duration = Duration::from_secs(60);
/// How each of them ends a tool.
const ENDS: [(Signal, i32); 3] = [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)];

/// A sandbox whose local cluster has room for these jobs on any machine.
fn roomy() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run("blocal", ["start", "--vcpus", "8", "--memory", "8G"]).ok();
    sandbox
}

fn submit(sandbox: &Sandbox) -> String {
    sandbox.run("bsub", ["sleep", "1000"]).ok().job_id()
}

fn status(sandbox: &Sandbox, id: &str) -> String {
    sandbox.run("bstat", ["--json", id]).ok().json()[0]["status"].as_str().unwrap_or_default().to_owned()
}

/// It ended as this signal ends it: Ctrl-C with an exit code, the others by themselves.
#[track_caller]
fn ended_by(outcome: Outcome, signal: Signal, code: i32) -> Outcome {
    let outcome = outcome.ended_with(code);
    let by_itself = (signal != Signal::SIGINT).then_some(signal as i32);
    assert_eq!(outcome.status.signal(), by_itself, "{outcome}");
    outcome
}

#[story]
fn whoever_waits_says_what_goes_on_and_ends_by_the_signal() {
    let sandbox = roomy();
    let id = submit(&sandbox);
    eventually("it runs", MINUTE, || (status(&sandbox, &id) == "RUNNING").then_some(()));
    for (signal, code) in ENDS {
        let said = if signal == Signal::SIGINT {
            "interrupted".to_owned()
        } else {
            format!("interrupted by {signal}")
        };
        let script = "echo started; sleep 1000";
        let mut following = sandbox.start("bsub", ["-I", "--wrap", script]);
        assert_eq!(following.line().as_deref(), Some("started"));
        following.signal(signal);
        let outcome = ended_by(following.wait(), signal, code);
        let own = outcome.stderr.split(['(', ' ']).nth(1).unwrap_or_default().to_owned();
        assert!(outcome.stderr.contains(&format!("bsub: {said}; the job {own} goes on\n")), "{outcome}");
        assert!(outcome.hints().contains(&format!("`bout -f {own}` shows its output")), "{outcome}");
        assert!(outcome.hints().contains(&format!("`bkill {own}` ends it")), "{outcome}");
        assert_eq!(status(&sandbox, &own), "RUNNING");

        let mut following = sandbox.start("bout", ["-f", &own]);
        assert_eq!(following.line().as_deref(), Some("started"));
        following.signal(signal);
        let outcome = ended_by(following.wait(), signal, code);
        assert!(outcome.stderr.contains(&format!("bout: {said}; the job {own} goes on\n")), "{outcome}");
        assert!(outcome.hints().contains(&format!("`bkill {own}` ends it")), "{outcome}");

        let done = sandbox.run("bsub", ["true"]).ok().job_id();
        let mut waiting = sandbox.start("bwait", [&own, &done]);
        assert!(waiting.line().is_some_and(|line| line.starts_with(&done)));
        waiting.signal(signal);
        let outcome = ended_by(waiting.wait(), signal, code);
        let told = format!(
            "bwait: {said}; 1 of 2 jobs go on\nhint: `bwait {own}` waits for them again\nhint: `bkill {own}` ends them\n"
        );
        assert_eq!(outcome.stderr, told);
        sandbox.run("bkill", [&own]).ok();

        let mut watching = sandbox.start("bstat", ["-w", &id]);
        assert!(watching.line().is_some());
        watching.signal(signal);
        assert_eq!(ended_by(watching.wait(), signal, code).stderr, "");
        assert_eq!(status(&sandbox, &id), "RUNNING");
    }
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn jobs_end_with_whoever_waits_for_them() {
    let sandbox = roomy();
    for (signal, code) in ENDS {
        let script = "echo started; sleep 1000";
        let mut following = sandbox.start("bsub", ["-I", "--kill-on-interrupt", "--wrap", script]);
        assert_eq!(following.line().as_deref(), Some("started"));
        following.signal(signal);
        let outcome = ended_by(following.wait(), signal, code);
        let id = outcome.stderr.split(['(', ' ']).nth(1).unwrap_or_default().to_owned();
        assert!(outcome.stderr.contains(&format!("the job {id} is being ended\n")), "{outcome}");
        eventually("its end", MINUTE, || (status(&sandbox, &id) == "FAILED").then_some(()));
        let reason = sandbox.run("bstat", ["--json", &id]).ok().json()[0]["statusReason"].clone();
        assert!(
            reason.as_str().is_some_and(|why| why.starts_with("bsub --kill-on-interrupt: interrupted")),
            "{reason}"
        );

        let (long, done) = (submit(&sandbox), sandbox.run("bsub", ["true"]).ok().job_id());
        let mut waiting = sandbox.start("bwait", ["--kill-on-interrupt", &long, &done]);
        assert!(waiting.line().is_some_and(|line| line.starts_with(&done)));
        waiting.signal(signal);
        ended_by(waiting.wait(), signal, code);
        eventually("its end", MINUTE, || (status(&sandbox, &long) == "FAILED").then_some(()));
    }
    let outcome = sandbox.run("bsub", ["--kill-on-interrupt", "true"]);
    assert!(outcome.failed_with(2).contains("--kill-on-interrupt"), "{outcome}");
    // As a default it is for those who wait.
    sandbox.config("[defaults]\nkill-on-interrupt = true\n");
    sandbox.run("bsub", ["true"]).ok();
}

#[story]
fn nohup_keeps_a_tool_from_hearing_that_its_terminal_has_gone() {
    program("nohup");
    let sandbox = roomy();
    let id = submit(&sandbox);
    let done = sandbox.run("bsub", ["true"]).ok().job_id();
    let mut waiting = sandbox.start("nohup", ["bwait", &id, &done]);
    assert!(waiting.line().is_some_and(|line| line.starts_with(&done)));
    waiting.signal(Signal::SIGHUP);
    // It has been through a round and more.
    let last = sandbox.run("bsub", ["-K", "true"]).ok();
    assert!(last.stderr.contains("has been submitted"), "{last}");
    sandbox.run("bkill", [&id]).ok();
    assert!([1, 143].contains(&waiting.wait().code()), "the job's exit code, not the signal's");
}

#[story]
fn a_tool_that_hangs_in_a_pipe_ends_all_the_same() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["-K", "--parsable", "--wrap", "seq 200000"]).ok().stdout.trim().to_owned();
    // Nobody reads the pipe, and nobody closes it.
    let script = format!("mkfifo pipe && exec 3<>pipe && echo ready && exec bout {id} >&3");
    let mut stuck = sandbox.start("bash", ["-c", &script]);
    assert_eq!(stuck.line().as_deref(), Some("ready"));
    let mut options = std::fs::OpenOptions::new();
    let mut pipe = options
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(sandbox.work().join("pipe"))
        .expect("the pipe");
    eventually("the pipe is full", MINUTE, || {
        pipe.write(b".").is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock).then_some(())
    });
    stuck.signal(Signal::SIGTERM);
    let outcome = stuck.wait_for(MINUTE);
    assert_eq!(outcome.status.signal(), Some(Signal::SIGTERM as i32), "{outcome}");
}
