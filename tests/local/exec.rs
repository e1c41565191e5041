//! `bexec` with jobs on the local cluster: a process beside a job of the host, with a terminal and
//! without, and ports. `tests/images/exec.rs` has the same for the
//! Docker engine.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use awsb_testkit::local::{PATIENCE, kill, lives, until};
use awsb_testkit::{Sandbox, Terminal, eventually, story};
use nix::sys::signal::Signal;

/// A job that runs until it is ended.
fn running(sandbox: &Sandbox, options: &[&str], script: &str) -> String {
    let words = [options, &["--parsable", "--wrap", script]].concat();
    let id = sandbox.run("bsub", words).ok().stdout.trim().to_owned();
    sandbox.run("bwait", ["--started", &id]).ok();
    id
}

/// Bytes that no compression and no terminal leaves as they are by accident.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The process ID that a command has written into a file.
fn pid_in(file: &Path) -> u32 {
    eventually("the command writes its process ID", PATIENCE, || {
        std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok())
    })
}

#[story]
fn a_command_runs_in_the_folder_of_the_job_with_its_variables() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &["-e", "COLOUR=blue"], "pwd; echo $TMPDIR; sleep 1000");
    let script = "pwd; echo $TMPDIR; echo $AWS_BATCH_JOB_ID $COLOUR; umask; echo problem >&2; exit 7";
    let outcome = sandbox.run("bexec", [&id, "sh", "-c", script]).ended_with(7);
    assert_eq!(outcome.stderr, "problem\n");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[2..], [&format!("{id} blue"), "0022"]);
    let of_job = eventually("the job's own words", PATIENCE, || {
        Some(sandbox.run("bout", [&id]).ok().stdout).filter(|text| text.lines().count() == 2)
    });
    assert_eq!(lines[..2], of_job.lines().collect::<Vec<_>>());

    // As a shell has it.
    sandbox.run("bexec", [&id, "sh", "-c", "kill -TERM $$"]).ended_with(143);
    sandbox.run("bexec", [&id, "sh", "-c", "kill -KILL $$"]).ended_with(137);
    let missing = sandbox.run("bexec", [&id, "no-such-program"]).ended_with(127);
    assert!(missing.stderr.contains("no-such-program: "), "{missing}");
    // The words arrive as they are.
    let words = ["printf", "%s|", "a b", "", "'", "$HOME", "*", "#"];
    let printed = sandbox.run("bexec", [&[id.as_str()], &words[..]].concat()).ok();
    assert_eq!(printed.stdout, "a b||'|$HOME|*|#|");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
#[cfg(target_os = "linux")]
fn a_command_starts_where_the_script_runs_with_what_the_launcher_has_set() {
    let sandbox = Sandbox::new();
    sandbox.file("job.sh", "#!/bin/sh\necho half > progress.log\necho ready\nsleep 1000\n");
    let id = sandbox.run("bsub", ["--parsable", "--array", "6-7", "job.sh"]).ok().stdout.trim().to_owned();
    let in_child = |script: &str| sandbox.run("bexec", ["--task", "6", &id, "sh", "-c", script]);
    eventually("the script runs", PATIENCE, || {
        let read = in_child("cat progress.log");
        (read.code() == 0 && read.stdout == "half\n").then_some(())
    });
    let script = "echo $AWSB_TASK_ID $AWS_BATCH_JOB_ARRAY_INDEX; exit 3";
    assert_eq!(in_child(script).ended_with(3).stdout, "6 0\n");
    let missing = sandbox.run("bexec", ["--task", "6", &id, "no-such-program"]).ended_with(127);
    assert!(missing.stderr.contains("no-such-program: "), "{missing}");
    sandbox.run("bkill", [&id]).ok();

    // A folder that is gone leads to the folder above.
    let gone = "mkdir gone; cd gone; rmdir ../gone; touch ../done; sleep 1000";
    let id = running(&sandbox, &["--image", "host"], gone);
    eventually("the folder is gone", PATIENCE, || {
        let listed = sandbox.run("bexec", [&id, "ls"]).ok().stdout;
        listed.lines().any(|name| name == "done").then_some(())
    });
    sandbox.run("bkill", [&id]).ok();

    // Without any, the error is not one about the command.
    let id = running(&sandbox, &["--image", "host"], "rm -rf \"$PWD\"; sleep 1000");
    eventually("the error", PATIENCE, || {
        let outcome = sandbox.run("bexec", [&id, "pwd"]);
        let is_named = outcome.stderr.contains("the folder of the job, ");
        (outcome.code() == 1 && is_named && outcome.stderr.contains("is not there any more")).then_some(())
    });
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn ten_megabytes_go_through_both_ways() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    let data = noise(10_000_000);
    sandbox.file("data", &data);
    sandbox.run("sh", ["-c", &format!("bexec {id} cat < data > back")]).ok();
    assert!(std::fs::read(sandbox.work().join("back")).unwrap() == data);
    // The other stream as well, and a reader that is slower than the command.
    let slow = format!("bexec {id} sh -c 'cat >&2' < data 2>&1 >/dev/null | (sleep 0.3; cat) > back");
    sandbox.run("sh", ["-c", &slow]).ok();
    assert!(std::fs::read(sandbox.work().join("back")).unwrap() == data);
    // A command that does not read its input holds up nothing.
    sandbox.run("sh", ["-c", &format!("bexec {id} sh -c 'exit 3' < data")]).ended_with(3);
    // A reader that goes away ends the command.
    let pid = sandbox.work().join("pid");
    let endless = format!("echo $$ > {}; exec yes", pid.display());
    sandbox.run("sh", ["-c", &format!("bexec {id} sh -c '{endless}' | head -1")]).ok();
    let pid = pid_in(&pid);
    until("the command has ended", || !lives(pid));
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn output_that_cannot_be_written_is_an_error() {
    // A device that is always full; not every system has it.
    if !Path::new("/dev/full").exists() {
        return;
    }
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    // At the end of the command, in its midst, and while the command has nothing more to print.
    for script in ["echo hi", "head -c 3000000 /dev/zero", "echo hi; exec sleep 1000"] {
        let line = format!("bexec {id} sh -c '{script}' > /dev/full");
        let full = sandbox.run("sh", ["-c", &line]).ended_with(1);
        assert!(full.stderr.contains("bexec: error: writing the result to standard output: "), "{full}");
        assert!(full.hints().contains("is incomplete"), "{full}");
    }
    let line = format!("bexec {id} sh -c 'echo hi; echo problem >&2' 2> /dev/full");
    sandbox.run("sh", ["-c", &line]).ended_with(1);
    let full = sandbox.run("sh", ["-c", "bsub -I --pty echo hi > /dev/full"]).ended_with(1);
    assert!(full.stderr.contains("writing the result to standard output: "), "{full}");
    let line = format!("bexec --forward 0:1 {id} > /dev/full");
    sandbox.run("sh", ["-c", &line]).ended_with(1);
    // A reader that wants no more is not an error, and does not hide how the command has ended.
    let line = format!("bexec {id} yes > >(head -1); echo $?");
    let gone = sandbox.run("bash", ["-c", &line]).ok();
    assert!(gone.stdout.lines().any(|line| line == "0") && gone.stderr.is_empty(), "{gone}");
    // Input that cannot be read is not lost without a word.
    let input = sandbox.run("sh", ["-c", &format!("bexec {id} cat < .")]).ok();
    assert!(input.stderr.contains("bexec: warning: reading standard input: "), "{input}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_shell_has_a_terminal_with_its_keys_and_its_size() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    let mut shell = Terminal::new(100).start(&sandbox, "bexec", [&id, "sh"]);
    shell.types("tty >/dev/null && echo has $((40+2))\n");
    shell.until("a terminal", |screen| screen.contains("has 42"));
    shell.types("stty size\n");
    shell.until("its size", |screen| screen.contains("50 100"));
    shell.resize(70, 20);
    shell.types("stty size\n");
    shell.until("its new size", |screen| screen.contains("20 70"));
    // Ctrl-C is for the command, and not for bexec.
    shell.types("echo w$((6*7)); sleep 1000 || echo ended\n");
    shell.until("the command runs", |screen| screen.contains("w42"));
    shell.types("\u{3}");
    shell.types("echo goes $((1+1)) on\n");
    shell.until("the prompt after Ctrl-C", |screen| screen.contains("goes 2 on"));
    // Ctrl-D ends the input of a command, then the shell.
    shell.types("cat\nline\n\u{4}echo after $((2+1))\n");
    shell.until("the end of cat", |screen| screen.contains("after 3"));
    shell.types("(exit 5)\n\u{4}");
    shell.wait().ended_with(5);
    // The terminal is as it was, and the job goes on.
    let status = sandbox.run("bstat", ["--no-header", &id]).ok();
    assert!(status.stdout.contains("RUNNING"), "{status}");

    // Without a command it is a shell.
    let shell = Terminal::new(100).start(&sandbox, "bexec", [&id]);
    shell.types("exit 9\n");
    shell.wait().ended_with(9);
    // A command that prints much.
    let script = "stty -opost; head -c 10000000 /dev/zero | tr '\\0' x; exit 4";
    let much = Terminal::new(100).run(&sandbox, "bexec", [&id, "sh", "-c", script]).ended_with(4);
    assert_eq!(much.written.matches('x').count(), 10_000_000);
    // No terminal where none is wanted, and one where it is.
    let script = "if [ -t 0 ]; then echo one; else echo none; fi";
    let without = Terminal::new(100).run(&sandbox, "bexec", ["-T", &id, "sh", "-c", script]).ok();
    assert_eq!(without.screen(), "none\n");
    assert_eq!(sandbox.run("bexec", ["-t", &id, "sh", "-c", script]).ok().stdout, "one\r\n");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_command_ends_with_its_client() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    for (n, option) in ["-T", "-t"].into_iter().enumerate() {
        let file = sandbox.work().join(format!("pid{n}"));
        // Input that nobody reads must not hide that the client is gone.
        sandbox.file("data", noise(1_000_000));
        let script = format!("echo $$ > {}; sleep 1000", file.display());
        let line = format!("exec bexec {option} {id} sh -c '{script}' < data");
        let client = sandbox.start("sh", ["-c", &line]);
        let pid = pid_in(&file);
        client.signal(Signal::SIGKILL);
        until("the command has ended", || !lives(pid));
    }
    // A signal for bexec has the same effect, and its own exit code.
    let file = sandbox.work().join("pid");
    let client =
        sandbox.start("bexec", [&id, "sh", "-c", &format!("echo $$ > {}; sleep 1000", file.display())]);
    let pid = pid_in(&file);
    client.signal(Signal::SIGTERM);
    client.wait().ended_with(143);
    until("the command has ended", || !lives(pid));
    // Ctrl-C without a terminal is passed on.
    let file = sandbox.work().join("pid-int");
    let script =
        format!("trap 'echo caught; exit 6' INT; echo $$ > {}; while :; do sleep 0.1; done", file.display());
    let client = sandbox.start("bexec", [&id, "sh", "-c", &script]);
    pid_in(&file);
    client.signal(Signal::SIGINT);
    assert_eq!(client.wait().ended_with(6).stdout, "caught\n");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_command_ends_with_its_job_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    let [file, left] = ["pid", "left"].map(|name| sandbox.work().join(name));
    // A process that flees from its session.
    let flee =
        format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' >/dev/null 2>&1 </dev/null &", left.display());
    sandbox.run("bexec", [&id, "sh", "-c", &flee]).ok();
    let left = pid_in(&left);
    let client =
        sandbox.start("bexec", [&id, "sh", "-c", &format!("echo $$ > {}; sleep 1000", file.display())]);
    let pid = pid_in(&file);
    assert!(lives(left));
    sandbox.run("bkill", [&id]).ok();
    let outcome = client.wait().ended_with(1);
    assert!(outcome.stderr.contains("the job has ended"), "{outcome}");
    until("the commands have ended", || !lives(pid) && !lives(left));
}

#[story]
fn a_command_ends_with_a_server_that_is_stopped() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    // The second takes no notice of SIGHUP.
    for (n, first) in ["", "trap '' HUP;"].into_iter().enumerate() {
        let file = sandbox.work().join(format!("pid{n}"));
        let script = format!("{first} sleep 1000 & echo $! > {}; wait; wait", file.display());
        let client = sandbox.start("bexec", [&id, "sh", "-c", &script]);
        let pid = pid_in(&file);
        let stopped = sandbox.run("blocal", ["stop"]).ok();
        assert!(!stopped.stderr.contains("killed"), "{stopped}");
        client.wait().ended_with(125);
        until("what the command has started has ended", || !lives(pid));
    }
    // The job goes on.
    sandbox.run("bexec", [&id, "sh", "-c", "exit 8"]).ended_with(8);
    sandbox.run("bkill", [&id]).ok();
}

/// The first process ends at SIGHUP, and what it has started does not, and has no variable by which
/// it could be found.
#[story]
fn what_a_command_has_started_ends_with_its_client() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    for terminal in ["-T", "-t"] {
        let file = sandbox.work().join(format!("pid{terminal}"));
        let script = format!(
            "trap '' HUP; env -i sleep 1000 & echo $! > {0}.new; trap - HUP; mv {0}.new {0}; wait",
            file.display()
        );
        let client = sandbox.start("bexec", [terminal, &id, "sh", "-c", &script]);
        let pid = pid_in(&file);
        client.signal(Signal::SIGKILL);
        client.wait();
        until("what the command has started has ended", || !lives(pid));
    }
    sandbox.run("bexec", [&id, "sh", "-c", "exit 8"]).ended_with(8);
    sandbox.run("bkill", [&id]).ok();
}

#[story]
#[cfg(target_os = "linux")]
fn a_command_says_that_the_runner_of_its_job_was_killed() {
    let sandbox = Sandbox::new();
    let [runner, file] = ["runner", "pid"].map(|name| sandbox.work().join(name));
    let id = running(&sandbox, &[], &format!("echo $PPID > {}; sleep 1000", runner.display()));
    let client =
        sandbox.start("bexec", [&id, "sh", "-c", &format!("echo $$ > {}; sleep 1000", file.display())]);
    pid_in(&file);
    kill(pid_in(&runner), "KILL");
    let outcome = client.wait().ended_with(1);
    assert!(outcome.stderr.contains("the job has ended"), "{outcome}");
    sandbox.run("bwait", [&id]).ended_with(1);
}

#[story]
fn a_command_ends_with_a_server_that_is_killed() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    let file = sandbox.work().join("pid");
    let client =
        sandbox.start("bexec", [&id, "sh", "-c", &format!("echo $$ > {}; sleep 1000", file.display())]);
    let pid = pid_in(&file);
    let server = sandbox.run("blocal", ["status", "--json"]).ok().json()[0]["pid"].as_u64().unwrap();
    kill(u32::try_from(server).unwrap(), "KILL");
    let outcome = client.wait().ended_with(125);
    assert!(outcome.stderr.contains("contact with the command in the job"), "{outcome}");
    if cfg!(target_os = "linux") {
        until("the command has ended", || !lives(pid));
    }
    // The next server knows the job.
    sandbox.run("bexec", [&id, "sh", "-c", "exit 8"]).ended_with(8);
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn the_next_server_ends_what_a_killed_one_has_left() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    let records = || {
        let files = std::fs::read_dir(sandbox.local_home().join("runners")).unwrap();
        files.filter(|file| file.as_ref().unwrap().path().extension() == Some("session".as_ref())).count()
    };
    // The session of this one ends, so that it was left on purpose.
    let file = sandbox.work().join("left");
    let script = format!("sleep 1000 >/dev/null 2>&1 </dev/null & echo $! > {}", file.display());
    sandbox.run("bexec", [&id, "sh", "-c", &script]).ok();
    let left = pid_in(&file);
    until("a session that has ended has no record", || records() == 0);
    for (n, (option, first)) in
        [("-T", ""), ("-T", "trap '' HUP;"), ("-t", "trap '' HUP;")].into_iter().enumerate()
    {
        let file = sandbox.work().join(format!("pid{n}"));
        let script = format!("{first} sleep 1000 & echo $! > {}; wait", file.display());
        let client = sandbox.start("bexec", [option, &id, "sh", "-c", &script]);
        let pid = pid_in(&file);
        assert_eq!(records(), 1);
        let server = sandbox.run("blocal", ["status", "--json"]).ok().json()[0]["pid"].as_u64().unwrap();
        kill(u32::try_from(server).unwrap(), "KILL");
        client.wait().ended_with(125);
        assert!(lives(pid), "a server that is killed cannot end it");
        sandbox.run("blocal", ["start"]).ok();
        until("what the command has started has ended", || !lives(pid));
        until("the record has gone", || records() == 0);
    }
    assert!(lives(left));
    // The job goes on.
    sandbox.run("bexec", [&id, "sh", "-c", "exit 8"]).ended_with(8);
    sandbox.run("bkill", [&id]).ok();
    until("nothing is left of the job", || !lives(left));
}

#[story]
fn a_command_does_not_begin_when_its_server_is_gone() {
    let sandbox = Sandbox::new();
    let (attempt, record) = ("0123456789abcdef0123456789abcdef", sandbox.work().join("record"));
    let run = |kind: &str, server: &str| {
        let leader = format!("blocal session-leader {kind} {} {server} {{}}", record.display());
        let script = format!("AWSB_TASK={attempt} {leader} sh -c 'echo begun'; code=$?; exit $code");
        sandbox.run("sh", ["-c", &script])
    };
    assert_eq!(run("pipes", "$$").ok().stdout, "begun\n");
    assert!(record.exists(), "the server removes it");
    std::fs::remove_file(&record).unwrap();
    // The server has another process ID than the parent: it has ended.
    for kind in ["pipes", "terminal"] {
        let outcome = run(kind, "$PPID").ended_with(126);
        assert!(outcome.stdout.is_empty() && outcome.stderr.contains("is gone"), "{outcome}");
        assert!(!record.exists());
    }
}

#[story]
fn children_run_apart_and_an_array_does_not_run() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &["-a", "2"], "sleep 1000");
    eventually("both children run", PATIENCE, || {
        let listed = sandbox.run("bstat", ["--no-header", "-e", &id]).ok().stdout;
        (listed.matches("RUNNING").count() >= 2).then_some(())
    });
    let refused = sandbox.run("bexec", [&id, "true"]).ended_with(2);
    assert!(
        refused.stderr.contains("is an array") && refused.hints().contains(&format!("bexec {id}:INDEX")),
        "{refused}"
    );
    let child = format!("{id}:1");
    let index = sandbox.run("bexec", [&child, "sh", "-c", "echo $AWS_BATCH_JOB_ARRAY_INDEX"]).ok();
    assert_eq!(index.stdout, "1\n");
    let missing = sandbox.run("bexec", [&format!("{id}:2"), "true"]).ended_with(1);
    assert!(missing.stderr.contains("has 2 children, from 0 to 1"), "{missing}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_job_that_does_not_run_says_so() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["--parsable", "-K", "true"]).ok().stdout.trim().to_owned();
    let ended = sandbox.run("bexec", [&id, "true"]).ended_with(1);
    assert!(
        ended.stderr.contains("is SUCCEEDED") && ended.hints().contains(&format!("`bout {id}`")),
        "{ended}"
    );
    let id = sandbox.run("bsub", ["--parsable", "-p", "999", "true"]).ok().stdout.trim().to_owned();
    let waits = sandbox.run("bexec", [&id, "true"]).ended_with(1);
    assert!(
        waits.stderr.contains("is RUNNABLE") && waits.hints().contains(&format!("bstat --why {id}")),
        "{waits}"
    );
    sandbox.run("bkill", [&id]).ok();
    let none = sandbox.run("bexec", ["00000000-0000-4000-8000-000000000000", "true"]).ended_with(1);
    assert!(none.stderr.contains("there is no job"), "{none}");
    sandbox.run("bexec", [] as [&str; 0]).failed_with(2);
    sandbox.run("bexec", ["--forward", "0", &id]).failed_with(2);

    let id = running(&sandbox, &[], "sleep 1000");
    let container = sandbox.run("bexec", ["--container", "other", &id, "true"]).ended_with(2);
    assert!(container.hints().contains("`--container` takes default"), "{container}");
    sandbox.run("bexec", ["--container", "default", &id, "true"]).ok();
    // Whose job it is matters to people.
    let mut other = sandbox.command("bexec", [&id, "true"]);
    let output = other.env("AWSB_USER", "somebody").output().unwrap();
    let noted = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && noted.contains("note: tester has submitted the job"), "{noted}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_port_of_the_job_is_here_as_well() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    // A job of the host has the ports of this machine: this one answers with what it gets.
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = echo.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in echo.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut data = Vec::new();
                stream.read_to_end(&mut data).unwrap();
                stream.write_all(&data).unwrap();
            });
        }
    });
    let mut forward = sandbox.start("bexec", ["--json", "--forward", &format!("0:{port}"), &id]);
    let mut text = String::new();
    let local = loop {
        text.push_str(&forward.line().expect("the ports"));
        text.push('\n');
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            break u16::try_from(value[0]["localPort"].as_u64().unwrap()).unwrap();
        }
    };
    let data = noise(1_000_000);
    let back = |data: Vec<u8>| {
        let mut client = TcpStream::connect(("127.0.0.1", local)).unwrap();
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&data).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        writing.join().unwrap();
        back
    };
    let clients: Vec<_> = (0..3)
        .map(|n| {
            let data = [vec![n], data.clone()].concat();
            assert!(back(data.clone()) == data);
        })
        .collect();
    assert_eq!(clients.len(), 3);
    forward.signal(Signal::SIGINT);
    forward.wait().ended_with(130);

    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut forward = sandbox.start("bexec", ["--forward", &format!("0:{closed}"), &id]);
    let line = forward.line().unwrap();
    let local = line.split([':', ' ']).nth(1).unwrap().parse::<u16>().unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", local)).unwrap();
    let mut nothing = Vec::new();
    let _ = client.read_to_end(&mut nothing);
    assert!(nothing.is_empty());
    // It ends with the job.
    sandbox.run("bkill", [&id]).ok();
    let outcome = forward.wait().ended_with(0);
    assert!(outcome.stderr.contains("connecting to 127.0.0.1:"), "{outcome}");
    assert!(outcome.stderr.contains("has ended"), "{outcome}");
}

#[story]
fn a_connection_too_many_is_not_the_end_of_the_others() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    // It greets, and holds the connection.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.write_all(b"x");
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    let mut forward = sandbox.start("bexec", ["--forward", &format!("0:{port}"), &id]);
    let line = forward.line().unwrap();
    let local = line.split([':', ' ']).nth(1).unwrap().parse::<u16>().unwrap();
    let greeted = || {
        let mut client = TcpStream::connect(("127.0.0.1", local)).unwrap();
        matches!(client.read(&mut [0]), Ok(1)).then_some(client)
    };
    let clients: Vec<TcpStream> = std::iter::from_fn(greeted).take(100).collect();
    assert!((2..100).contains(&clients.len()), "{} connections", clients.len());
    drop(clients);
    eventually("there is room again", PATIENCE, greeted);
    forward.signal(Signal::SIGINT);
    let outcome = forward.wait().ended_with(130);
    assert!(outcome.stderr.contains("starting a session with port"), "{outcome}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_session_begins_with_its_token_alone() {
    let sandbox = Sandbox::new();
    let id = running(&sandbox, &[], "sleep 1000");
    let url = sandbox.run("blocal", ["env", "--json"]).ok().json()[0]["AWS_ENDPOINT_URL"]
        .as_str()
        .unwrap()
        .to_owned();
    let address = url.trim_start_matches("http://");
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /awsb/session/0123 HTTP/1.1\r\nHost: {address}\r\n{head}\r\n").unwrap();
        let mut answer = [0; 512];
        let n = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..n]).lines().next().unwrap().to_owned()
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: awsb-session\r\n";
    assert_eq!(ask(upgrade), "HTTP/1.1 403 Forbidden");
    assert_eq!(
        ask(&format!("{upgrade}X-Awsb-Session-Token: {}\r\n", "0".repeat(64))),
        "HTTP/1.1 403 Forbidden"
    );
    // Without the upgrade it is a request to S3 that nobody has signed.
    assert_eq!(ask(""), "HTTP/1.1 403 Forbidden");
    sandbox.run("bkill", [&id]).ok();
}

/// The job's ID that a shell has printed as `id:ID:`.
fn id_on(screen: &str) -> Option<String> {
    let mut found = screen.split("id:").skip(1).filter_map(|rest| rest.split(':').next());
    found.find(|id| id.len() == 36).map(str::to_owned)
}

#[story]
fn a_job_for_a_terminal_ends_with_its_shell() {
    let sandbox = Sandbox::new();
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", ["-I", "--pty", "sh"]);
    shell.types("echo id:$AWS_BATCH_JOB_ID:; exit 4\n");
    let screen = shell.until("the job's ID", |screen| id_on(screen).is_some());
    let id = id_on(&screen).unwrap();
    shell.wait().ended_with(4);
    let job = sandbox.run("bstat", ["--json", &id]).ok().json();
    assert_eq!((&job[0]["status"], &job[0]["jobName"]), (&"FAILED".into(), &"sh".into()), "{job}");
    assert_eq!(job[0]["container"]["exitCode"], 4, "{job}");
    let command = |id: &str| sandbox.run("bstat", ["--no-header", "-o", "command", id]).ok().stdout;
    assert_eq!(command(&id), "sh\n");
    let detail = sandbox.run("bstat", ["-d", &id]).ok().stdout;
    assert!(detail.contains("\ncommand       : sh\n"), "{detail}");
    let words = ["-I", "--pty", "sh", "-c", "echo 'it is'; exit 0"];
    sandbox.run("bsub", words).ok();
    assert_eq!(command("last"), "sh_-c_'echo_'\\''it_is'\\'';_exit_0'\n");

    // A shell that is killed leaves no exit code, and its job does not stay.
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", ["-I", "--pty", "sh"]);
    shell.types("echo id:$AWS_BATCH_JOB_ID:\n");
    let screen = shell.until("the job's ID", |screen| id_on(screen).is_some());
    let id = id_on(&screen).unwrap();
    shell.signal(Signal::SIGKILL);
    drop(shell);
    sandbox.run("bwait", [&id]).ended_with(129);

    // A terminal that goes away is no Ctrl-D, with which the shell would succeed.
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", ["-I", "--pty", "sh"]);
    shell.types("echo id:$AWS_BATCH_JOB_ID:\n");
    let screen = shell.until("the job's ID", |screen| id_on(screen).is_some());
    let id = id_on(&screen).unwrap();
    shell.close();
    sandbox.run("bwait", [&id]).ended_with(129);
    drop(shell);

    sandbox.run("bsub", ["--pty", "sh"]).failed_with(2);
    let none = sandbox.run("bsub", ["-I", "--pty"]);
    assert!(none.failed_with(2).contains("--pty needs a command"), "{none}");
    sandbox.run("bsub", ["-I", "--pty", "-a", "2", "sh"]).failed_with(2);
}

#[story]
#[cfg(target_os = "linux")]
fn a_signal_after_the_command_ends_the_job() {
    let sandbox = Sandbox::new();
    // The job's own process stops, so that it does not see how the command has ended.
    let script = "echo id:$AWS_BATCH_JOB_ID:; for p in /proc/[0-9]*; do \
                  if grep -qs \"$AWS_BATCH_JOB_ID\" $p/environ && grep -qs 'nobody has [c]ome' $p/cmdline; \
                  then kill -STOP ${p#/proc/}; fi; done; exit 3";
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", ["-I", "--pty", "sh", "-c", script]);
    let screen = shell.until("bsub waits", |screen| screen.contains("the command has ended; waiting"));
    let id = id_on(&screen).unwrap();
    shell.signal(Signal::SIGINT);
    let outcome = shell.wait().ended_with(130);
    assert!(outcome.screen().contains("being ended"), "{}", outcome.screen());
    assert_ne!(sandbox.run("bwait", [&id]).code(), 0);
}

/// Files of others, in folders where they may write, do not end a job.
#[story]
fn a_job_for_a_terminal_believes_no_file_of_another_user() {
    let sandbox = Sandbox::new();
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", ["-I", "--pty", "sh"]);
    shell.types("echo id:$AWS_BATCH_JOB_ID:\n");
    let screen = shell.until("the job's ID", |screen| id_on(screen).is_some());
    let id = id_on(&screen).unwrap();
    // The job looks into all folders each second while the command runs. It would read a pipe for
    // ever.
    let planted = ["/tmp", "/dev/shm"].map(|folder| format!("{folder}/awsb-pty-{id}-1.code"));
    for file in &planted {
        if std::path::Path::new(file).parent().is_some_and(std::path::Path::exists) {
            sandbox.run("mkfifo", [file]).ok();
        }
    }
    shell.types("sleep 3; exit 3\n");
    let outcome = shell.wait();
    for file in &planted {
        let _ = std::fs::remove_file(file);
    }
    assert_eq!(outcome.code(), 3, "{}", outcome.screen());
}

#[story]
fn a_signal_before_the_terminal_ends_the_job() {
    let sandbox = Sandbox::new();
    let waiting = sandbox.start("bsub", ["-I", "--pty", "-p", "999", "sh"]);
    let id = eventually("the job is there", PATIENCE, || {
        let listed = sandbox.run("bstat", ["--no-header"]).ok().stdout;
        listed.split_whitespace().next().map(str::to_owned)
    });
    // It waits: its state has been printed.
    waiting.signal(Signal::SIGTERM);
    let outcome = waiting.wait().ended_with(143);
    assert!(outcome.stderr.contains("is being ended"), "{outcome}");
    let job = sandbox.run("bstat", ["--json", &id]).ok().json();
    assert_eq!(job[0]["status"], "FAILED", "{job}");
}
