//! The server serves all, so it has nothing of the shell or program that has happened to start it.

use awsb_testkit::{Sandbox, story};

/// A shell that ignores signals, or a daemon that has `signal(SIGCHLD, SIG_IGN)`.
#[story]
fn jobs_have_the_default_signals_whatever_the_starter_ignores() {
    let sandbox = Sandbox::new();
    sandbox.run("sh", ["-c", "trap '' CHLD ALRM USR1; exec blocal start"]).ok();
    // A process cannot die by a signal that it ignores.
    let script = "sh -c 'kill -ALRM $$'; echo $?; sh -c 'kill -USR1 $$'; echo $?; exit 3";
    let job = sandbox.run("bsub", ["-I", "--wrap", script]).ended_with(3);
    let alarm = 128 + nix::sys::signal::Signal::SIGALRM as i32;
    let user = 128 + nix::sys::signal::Signal::SIGUSR1 as i32;
    let codes: Vec<i32> = job.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert_eq!(codes, [alarm, user], "{job}");
}

/// Nor does a tool that starts the server on its way.
#[story]
fn a_tool_that_ignores_the_end_of_children_starts_a_server_for_all() {
    let sandbox = Sandbox::new();
    sandbox.run("sh", ["-c", "trap '' CHLD; exec bsub -I --wrap 'exit 4'"]).ended_with(4);
    sandbox.run("bsub", ["-I", "--retry-attempts", "3", "--wrap", "echo once"]).ok();
}

#[story]
fn jobs_have_the_hard_limits_of_the_starter_and_not_its_soft_ones() {
    let sandbox = Sandbox::new();
    let start =
        "ulimit -S -t 3000; ulimit -S -d 8000000; ulimit -S -s 4000; ulimit -S -n 200; exec blocal start";
    sandbox.run("sh", ["-c", start]).ok();
    let script =
        "for limit in t d; do ulimit -S -$limit; ulimit -H -$limit; done; ulimit -S -s; ulimit -S -n";
    let job = sandbox.run("bsub", ["-I", "--wrap", script]).ok();
    let lines: Vec<&str> = job.stdout.lines().collect();
    let [time, hard_time, data, hard_data, stack, files] = lines[..] else { panic!("{job}") };
    assert_eq!((time, data), (hard_time, hard_data), "{job}");
    // As much as Linux gives to begin with, and no thread gets gigabytes.
    assert_ne!((stack, files), ("4000", "200"), "{job}");
}
