//! Signals that end a tool while it waits.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use awsb_testkit::{Outcome, Running, Sandbox, Terminal, eventually, program, story};
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
        let output = if signal == Signal::SIGINT {
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
        assert!(outcome.stderr.contains(&format!("bsub: {output}; the job {own} goes on\n")), "{outcome}");
        assert!(outcome.hints().contains(&format!("`bout -f {own}` shows its output")), "{outcome}");
        assert!(outcome.hints().contains(&format!("`bkill {own}` ends it")), "{outcome}");
        assert_eq!(status(&sandbox, &own), "RUNNING");

        let mut following = sandbox.start("bout", ["-f", &own]);
        assert_eq!(following.line().as_deref(), Some("started"));
        following.signal(signal);
        let outcome = ended_by(following.wait(), signal, code);
        assert!(outcome.stderr.contains(&format!("bout: {output}; the job {own} goes on\n")), "{outcome}");
        assert!(outcome.hints().contains(&format!("`bkill {own}` ends it")), "{outcome}");

        let done = sandbox.run("bsub", ["true"]).ok().job_id();
        let mut waiting = sandbox.start("bwait", [&own, &done]);
        assert!(waiting.line().is_some_and(|line| line.starts_with(&done)));
        waiting.signal(signal);
        let outcome = ended_by(waiting.wait(), signal, code);
        let expected = format!(
            "bwait: {output}; 1 of 2 jobs goes on\nhint: `bwait {own}` waits for it again\nhint: `bkill {own}` ends it\n"
        );
        assert_eq!(outcome.stderr, expected);
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

/// As a service manager or a closing terminal sends them.
#[story]
fn several_signals_at_once_are_one() {
    let sandbox = roomy();
    let pairs = [
        (Signal::SIGINT, Signal::SIGTERM),
        (Signal::SIGTERM, Signal::SIGINT),
        (Signal::SIGHUP, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGINT),
    ];
    for (one, other) in pairs {
        let file = sandbox.work().join("out.json");
        let command = "exec bsub -K --json --kill-on-interrupt --command sleep 1000 > out.json";
        let waiting = sandbox.start("sh", ["-c", command]);
        let printed = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("the ID is printed", MINUTE, || printed().contains("jobId").then_some(()));
        waiting.signal(one);
        waiting.signal(other);
        let outcome = waiting.wait();
        assert!([130, 143, 129].contains(&outcome.code()), "{one} {other}: {outcome}");
        assert!(outcome.stderr.contains("is being ended\n"), "{one} {other}: {outcome}");
        let jobs: serde_json::Value = serde_json::from_str(&printed()).expect("the array is closed");
        let id = jobs.pointer("/0/jobId").and_then(serde_json::Value::as_str).expect("the job's ID");
        eventually("its end", MINUTE, || (status(&sandbox, id) == "FAILED").then_some(()));
        std::fs::remove_file(&file).expect("it is there");
    }
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

/// Runs a tool with a full pipe that nobody reads, and nobody closes, in place of stdout (1) or
/// stderr (2).
fn into_a_full_pipe(sandbox: &Sandbox, descriptor: u8, command: &str) -> Running {
    let name = format!("pipe{}", std::fs::read_dir(sandbox.work()).map_or(0, Iterator::count));
    // It is full when dd can write no more.
    let script = format!(
        "mkfifo {name} && exec 3<>{name} && \
         dd if=/dev/zero of={name} bs=4096 count=1024 oflag=nonblock 2>dd; echo ready; \
         exec {command} {descriptor}>{name}"
    );
    let mut running = sandbox.start("bash", ["-c", &script]);
    assert_eq!(running.line().as_deref(), Some("ready"));
    running
}

#[story]
fn jobs_end_with_whoever_waits_for_them_though_nobody_reads_a_word() {
    let sandbox = roomy();
    for (signal, code) in ENDS {
        for descriptor in [1, 2] {
            // The output of the job fills the pipe if the pipe is stdout. The messages of bsub go
            // to stderr.
            let name = format!("told-{}-{descriptor}", signal as i32);
            let command = format!(
                "bsub -I --kill-on-interrupt -J {name} --wrap 'for i in $(seq 9000); do echo $i; done; sleep 1000'"
            );
            let stuck = into_a_full_pipe(&sandbox, descriptor, &command);
            let id = eventually("it runs", MINUTE, || {
                let jobs = sandbox.run("bstat", ["--json", "-s", "RUNNING", "--name", &name]).ok().json();
                jobs[0]["jobId"].as_str().map(str::to_owned)
            });
            stuck.signal(signal);
            let outcome = stuck.wait_for(MINUTE).ended_with(code);
            eventually("its end", MINUTE, || (status(&sandbox, &id) == "FAILED").then_some(()));
            if descriptor == 1 {
                assert!(outcome.stderr.contains(&format!("the job {id} is being ended\n")), "{outcome}");
            }
        }
        let id = submit(&sandbox);
        let done = sandbox.run("bsub", ["true"]).ok().job_id();
        let stuck = into_a_full_pipe(&sandbox, 1, &format!("bwait --kill-on-interrupt {done} {id}"));
        eventually("it hears of signals", MINUTE, || {
            let caught = std::fs::read_to_string(format!("/proc/{}/status", stuck.pid())).ok()?;
            let mask = caught.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
            (u64::from_str_radix(&mask, 16).ok()? & 0x4003 == 0x4003).then_some(())
        });
        // It writes, and is not run any more.
        let times_run = || {
            let report = std::fs::read_to_string(format!("/proc/{}/status", stuck.pid())).ok()?;
            report.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).map(str::to_owned)
        };
        eventually("it hangs", MINUTE, || {
            let before = times_run();
            std::thread::sleep(Duration::from_secs(1));
            (before == times_run()).then_some(())
        });
        stuck.signal(signal);
        let outcome = stuck.wait_for(MINUTE).ended_with(code);
        assert!(outcome.stderr.contains(&format!("the job {id} is being ended\n")), "{outcome}");
        eventually("its end", MINUTE, || (status(&sandbox, &id) == "FAILED").then_some(()));
    }
}

#[story]
fn timeout_sends_each_signal_twice_and_the_job_is_ended_all_the_same() {
    program("timeout");
    let sandbox = roomy();
    let mut following = sandbox.start(
        "timeout",
        ["1000", "bsub", "-I", "--kill-on-interrupt", "--wrap", "echo started; sleep 1000"],
    );
    assert_eq!(following.line().as_deref(), Some("started"));
    // It sends it to its child and to its group, with the child in it.
    following.signal(Signal::SIGTERM);
    let outcome = following.wait();
    assert!(outcome.stderr.contains(" is being ended\n"), "{outcome}");
    assert!(!outcome.stderr.contains(" again"), "{outcome}");
}

#[story]
fn a_second_hangup_does_not_keep_a_job_from_its_end() {
    let sandbox = roomy();
    let mut following =
        sandbox.start("bsub", ["-I", "--kill-on-interrupt", "--wrap", "echo started; sleep 1000"]);
    assert_eq!(following.line().as_deref(), Some("started"));
    following.signal(Signal::SIGHUP);
    // The first may have ended it by now.
    let _ = nix::sys::signal::kill(following.pid(), Signal::SIGHUP);
    let outcome = ended_by(following.wait(), Signal::SIGHUP, 129);
    assert!(outcome.stderr.contains(" is being ended\n"), "{outcome}");
}

#[story]
fn a_terminal_that_goes_away_ends_a_waiting_tool_and_nothing_else() {
    let sandbox = roomy();
    let id = submit(&sandbox);
    eventually("it runs", MINUTE, || (status(&sandbox, &id) == "RUNNING").then_some(()));
    let done = sandbox.run("bsub", ["true"]).ok().job_id();
    // The bar is on the terminal, so it is drawn anew when the tool ends.
    let mut waiting = Terminal::new(100).start(&sandbox, "bwait", [&id, &done]);
    waiting.until("the bar", |screen| screen.contains("1/2 ended"));
    waiting.close();
    // As the kernel and the shell do for what runs on the terminal.
    waiting.signal(Signal::SIGHUP);
    assert_eq!(waiting.wait().status.signal(), Some(Signal::SIGHUP as i32));

    let mut waiting = Terminal::new(100).start(&sandbox, "bsub", ["-K", "sleep", "1000"]);
    let screen = waiting.until("the job's state", |screen| screen.contains("is RUNNING"));
    let line = screen.lines().find(|line| line.contains("is RUNNING")).unwrap_or_default();
    let own = line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    waiting.close();
    waiting.signal(Signal::SIGHUP);
    assert_eq!(waiting.wait().status.signal(), Some(Signal::SIGHUP as i32));
    assert_eq!(status(&sandbox, &own), "RUNNING", "{screen}");
    sandbox.run("bkill", [&own]).ok();

    // Where no signal comes, it is writing that fails.
    let mut waiting = Terminal::new(100).without_stdout().start(&sandbox, "bwait", [&id, &done]);
    waiting.until("the bar", |screen| screen.contains("1/2 ended"));
    waiting.close();
    assert_eq!(status(&sandbox, &id), "RUNNING");
    sandbox.run("bkill", [&id]).ok();
    let code = waiting.wait().code();
    assert!([1, 143].contains(&code), "the job's exit code, not a panic's: {code}");
}

#[story]
fn a_signal_ends_bsub_while_it_reads_lines() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.work().join("lines");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let reading = sandbox.start("bsub", ["--each", "lines", "echo", "{}"]);
        // It opens when bsub has opened the other end.
        let mut lines = std::fs::OpenOptions::new().write(true).open(&pipe).expect("the pipe");
        lines.write_all(b"a\n").expect("a line");
        reading.signal(signal);
        let outcome = reading.wait_for(MINUTE);
        assert!(
            outcome.status.signal() == Some(signal as i32) || outcome.status.code() == Some(130),
            "{outcome}"
        );
    }
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
