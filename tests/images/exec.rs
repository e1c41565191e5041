//! `bexec` with jobs in containers: the exec of a Docker engine, with a terminal and without, and
//! ports of a container.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use awsb_testkit::local::{PATIENCE, kill};
use awsb_testkit::{Sandbox, Terminal, engine, engine_network, eventually, story};
use nix::sys::signal::Signal;
use uuid::Uuid;

/// A sandbox with the engine's network for jobs of its own.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.hold(engine_network());
    sandbox
}

/// A job in a container that runs until it is ended.
fn running(sandbox: &Sandbox, script: &str) -> String {
    running_as(sandbox, "0", script)
}

/// The same as another user.
fn running_as(sandbox: &Sandbox, user: &str, script: &str) -> String {
    let image = ["--image", engine(), "--user", user];
    let words = ["--parsable", "-m", "64M", "-e", "COLOUR=blue", "--wrap", script];
    let words = image.into_iter().chain(words);
    let id = sandbox.run("bsub", words).ok().stdout.trim().to_owned();
    sandbox.run("bwait", ["--started", &id]).ok();
    id
}

/// The tests' image after a command has changed it. It goes when this is dropped.
struct Changed<'a>(String, &'a Sandbox);

impl<'a> Changed<'a> {
    fn new(sandbox: &'a Sandbox, command: &[&str]) -> Self {
        let name = format!("awsb-test-{}", Uuid::new_v4().simple());
        sandbox.run("docker", [&["run", "--name", &name, engine()], command].concat()).ok();
        let image = Self(format!("{name}:1"), sandbox);
        sandbox.run("docker", ["commit", &name, &image.0]).ok();
        sandbox.run("docker", ["rm", &name]).ok();
        image
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.1.run("docker", ["rmi", "--force", &self.0]);
    }
}

/// How many processes of the container have this word among their arguments.
fn processes(sandbox: &Sandbox, id: &str, word: &str) -> usize {
    let listed = sandbox.run("bexec", [id, "ps"]).ok().stdout;
    listed.lines().filter(|line| line.split_whitespace().any(|w| w == word)).count()
}

#[story]
fn a_command_runs_in_the_container() {
    let sandbox = sandbox();
    let id = running(&sandbox, "sleep 1000");
    let script = "echo $AWS_BATCH_JOB_ID $COLOUR; id -u; echo problem >&2; exit 7";
    let outcome = sandbox.run("bexec", [&id, "sh", "-c", script]).ended_with(7);
    assert_eq!((outcome.stdout, outcome.stderr), (format!("{id} blue\n0\n"), "problem\n".to_owned()));
    for program in ["no-such-program", "/no/such-program"] {
        let missing = sandbox.run("bexec", [&id, program]).ended_with(127);
        assert!(missing.stderr.contains(program) && missing.stdout.is_empty(), "{missing}");
        let shown = Terminal::new(100).run(&sandbox, "bexec", [&id, program]).ended_with(127);
        assert!(shown.screen().contains(program), "{}", shown.screen());
    }
    sandbox.run("bexec", [&id, "/etc/passwd"]).ended_with(126);
    // Output that only looks like the engine's words stays output.
    let own = "OCI runtime exec failed: executable file not found";
    let printed = sandbox.run("bexec", [&id, "sh", "-c", &format!("echo {own}; exit 126")]).ended_with(126);
    assert_eq!((printed.stdout, printed.stderr.as_str()), (format!("{own}\n"), ""));
    sandbox.run("bexec", [&id, "sh", "-c", "kill -KILL $$"]).ended_with(137);
    sandbox.run("bexec", [&id, "sh", "-c", "kill -TERM $$"]).ended_with(143);

    // Bytes of every kind, both ways.
    let data: Vec<u8> = (0..10_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    sandbox.file("data", &data);
    sandbox.run("sh", ["-c", &format!("bexec {id} cat < data > back")]).ok();
    assert!(std::fs::read(sandbox.work().join("back")).unwrap() == data);

    // A client that is gone takes its command along.
    let client = sandbox.start("bexec", [&id, "sleep", "4321"]);
    eventually("the command runs", PATIENCE, || (processes(&sandbox, &id, "4321") > 0).then_some(()));
    client.signal(Signal::SIGKILL);
    eventually("the command has ended", PATIENCE, || (processes(&sandbox, &id, "4321") == 0).then_some(()));

    // A server that is stopped ends it, too, with all that it has started.
    let client = sandbox.start("bexec", [&id, "sh", "-c", "sleep 4321; echo not"]);
    eventually("the command runs", PATIENCE, || (processes(&sandbox, &id, "4321") > 0).then_some(()));
    sandbox.run("blocal", ["stop"]).ok();
    client.wait().ended_with(125);
    eventually("the command has ended", PATIENCE, || (processes(&sandbox, &id, "4321") == 0).then_some(()));

    // And so does the end of the job.
    let client = sandbox.start("bexec", [&id, "sleep", "4321"]);
    eventually("the command runs", PATIENCE, || (processes(&sandbox, &id, "4321") > 0).then_some(()));
    sandbox.run("bkill", [&id]).ok();
    let outcome = client.wait_for(2 * PATIENCE).ended_with(1);
    assert!(outcome.stderr.contains("the job has ended"), "{outcome}");
}

/// The first process ends at SIGHUP, and what it has started does not. The rest of its group ends
/// then, and nothing else: neither what left the group on purpose, nor the command of another.
#[story]
fn what_a_command_in_a_container_has_started_ends_with_its_client() {
    let sandbox = sandbox();
    let id = running(&sandbox, "sleep 1000");
    let other = sandbox.start("bexec", [&id, "sh", "-c", "trap '' HUP; exec sleep 8765"]);
    eventually("the other one runs", PATIENCE, || (processes(&sandbox, &id, "8765") > 0).then_some(()));
    for terminal in ["-T", "-t"] {
        let script = "trap '' HUP; sleep 4321 & setsid sleep 5678 & trap - HUP; : >/tmp/set; wait";
        let client = sandbox.start("bexec", [terminal, &id, "sh", "-c", script]);
        eventually("the command has set its trap", PATIENCE, || {
            (sandbox.run("bexec", [&id, "rm", "/tmp/set"]).code() == 0).then_some(())
        });
        client.signal(Signal::SIGKILL);
        client.wait();
        eventually("what the command has started has ended", PATIENCE, || {
            (processes(&sandbox, &id, "4321") == 0).then_some(())
        });
    }
    for (word, count) in [("5678", 2), ("8765", 1)] {
        assert_eq!(processes(&sandbox, &id, word), count, "{word}");
    }
    other.signal(Signal::SIGKILL);
    sandbox.run("bkill", [&id]).ok();
}

/// Linux hides the variables of a program that gains rights as it starts, and the command is known
/// by one of them.
#[story]
fn a_command_in_the_container_of_another_user_ends_with_its_client() {
    let sandbox = sandbox();
    let id = running_as(&sandbox, "1000", "sleep 1000");
    assert_eq!(sandbox.run("bexec", [&id, "id", "-u"]).ok().stdout, "0\n");
    sandbox.run("bexec", [&id, "no-such-program"]).ended_with(127);
    let client = sandbox.start("bexec", [&id, "sleep", "4321"]);
    eventually("the command runs", PATIENCE, || (processes(&sandbox, &id, "4321") > 0).then_some(()));
    client.signal(Signal::SIGKILL);
    eventually("the command has ended", PATIENCE, || (processes(&sandbox, &id, "4321") == 0).then_some(()));
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_command_in_a_container_starts_where_the_job_runs() {
    let sandbox = sandbox();
    let id = running(&sandbox, "mkdir '/tmp/the place' && cd '/tmp/the place' && sleep 1000");
    eventually("the job is there", PATIENCE, || {
        (sandbox.run("bexec", [&id, "pwd"]).ok().stdout == "/tmp/the place\n").then_some(())
    });
    // The words arrive as they are, and the shell on the way leaves no variables.
    let words = ["printf", "%s|", "a b", "", "'", "$HOME", "*", "#"];
    let printed = sandbox.run("bexec", [&[id.as_str()], &words[..]].concat()).ok();
    assert_eq!(printed.stdout, "a b||'|$HOME|*|#|");
    let variables = sandbox.run("bexec", [&id, "env"]).ok().stdout;
    assert!(!variables.contains("OLDPWD="), "{variables}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_container_without_a_shell_has_commands_as_well() {
    let sandbox = sandbox();
    let id = running(&sandbox, "cd /tmp; rm /bin/sh; exec sleep 1000");
    eventually("the shell is gone", PATIENCE, || {
        (sandbox.run("bexec", [&id, "pwd"]).ok().stdout == "/\n").then_some(())
    });
    let missing = sandbox.run("bexec", [&id, "no-such-program"]).ended_with(127);
    assert!(missing.stderr.contains("exec failed") && missing.stdout.is_empty(), "{missing}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_job_for_a_terminal_needs_no_folder_tmp() {
    let sandbox = sandbox();
    let image = Changed::new(&sandbox, &["rmdir", "/tmp"]);
    let words = ["-I", "--pty", "--image", &image.0, "-m", "64M", "sh", "-c", "ls -d /tmp; exit 3"];
    let outcome = sandbox.run("bsub", words).ended_with(3);
    assert!(
        outcome.stderr.contains("/tmp: No such file") && !outcome.stderr.contains("awsb-pty"),
        "{outcome}"
    );
}

#[story]
fn a_terminal_in_a_container_has_its_size_at_once() {
    let sandbox = sandbox();
    let id = running(&sandbox, "sleep 1000");
    for _ in 0..3 {
        let size = Terminal::new(100).run(&sandbox, "bexec", [&id, "stty", "size"]).ok();
        assert_eq!(size.screen(), "50 100\n");
    }
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_shell_in_a_container_has_a_terminal() {
    let sandbox = sandbox();
    let id = running(&sandbox, "sleep 1000");
    let mut shell = Terminal::new(100).start(&sandbox, "bexec", [&id]);
    shell.types("stty size\n");
    shell.until("its size", |screen| screen.contains("50 100"));
    shell.resize(70, 20);
    shell.types("stty size\n");
    shell.until("its new size", |screen| screen.contains("20 70"));
    shell.types("echo w$((6*7)); sleep 1000 || echo ended\n");
    shell.until("the command runs", |screen| screen.contains("w42"));
    shell.types("\u{3}");
    shell.types("echo goes $((1+1)) on\n");
    shell.until("the prompt after Ctrl-C", |screen| screen.contains("goes 2 on"));
    shell.types("(exit 5)\n\u{4}");
    shell.wait().ended_with(5);
    // The engine's frames begin with such bytes, and a terminal has none.
    let script = "stty -opost; printf '\\001\\002\\000'; head -c 10000000 /dev/zero | tr '\\0' x; exit 4";
    let much = Terminal::new(100).run(&sandbox, "bexec", [&id, "sh", "-c", script]).ended_with(4);
    assert_eq!(much.written.matches('x').count(), 10_000_000);
    assert!(much.written.starts_with("\u{1}\u{2}\0"), "{:?}", &much.written[..10]);
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_port_of_a_container_is_here_as_well() {
    let sandbox = sandbox();
    let id = running(&sandbox, "while :; do nc -l -p 8080 -e cat; done");
    let mut forward = sandbox.start("bexec", ["--forward", "0:8080", &id]);
    let line = forward.line().unwrap();
    let local = line.split([':', ' ']).nth(1).unwrap().parse::<u16>().unwrap();
    let echoed = eventually("the server in the container answers", PATIENCE, || {
        let mut client = TcpStream::connect(("127.0.0.1", local)).unwrap();
        client.write_all(b"hello").ok()?;
        client.shutdown(Shutdown::Write).ok()?;
        let mut back = String::new();
        client.read_to_string(&mut back).ok()?;
        Some(back).filter(|back| !back.is_empty())
    });
    assert_eq!(echoed, "hello");
    forward.signal(Signal::SIGINT);
    forward.wait().ended_with(130);
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_job_for_a_terminal_runs_in_a_container() {
    let sandbox = sandbox();
    let words = ["-I", "--pty", "--image", engine(), "-m", "64M", "sh"];
    let shell = Terminal::new(100).start(&sandbox, "bsub", words);
    shell.types("exit 6\n");
    shell.wait().ended_with(6);
}

/// The job's ID in a line of the shell.
fn id_on(screen: &str) -> Option<&str> {
    let mut found = screen.split("id:").skip(1).filter_map(|rest| rest.split(':').next());
    found.find(|id| id.len() == 36)
}

/// An interactive shell ignores SIGTERM, and the first process of a container has none by default.
/// Both would run until SIGKILL, which comes 30 seconds later.
#[story]
fn a_job_for_a_terminal_ends_soon_when_it_is_ended() {
    let sandbox = sandbox();
    let words = ["-I", "--pty", "--image", engine(), "-m", "64M", "sh"];
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", words);
    shell.types("echo id:$AWS_BATCH_JOB_ID:\n");
    let screen = shell.until("the shell runs", |screen| id_on(screen).is_some());
    let id = id_on(&screen).expect("an ID").to_owned();
    sandbox.run("bkill", [&id]).ok();
    // By SIGHUP, and not by SIGKILL.
    sandbox.run("bwait", [&id]).ended_with(129);
    shell.wait().ended_with(129);
    // The shell of the job has no error of its own.
    assert_eq!(sandbox.run("bout", [&id]).ok().stdout, "");
}

#[story]
fn a_job_whose_terminal_is_lost_with_the_server_is_ended() {
    let sandbox = sandbox();
    // A command that minds no lost terminal.
    let script = "trap '' HUP; echo $AWS_BATCH_JOB_ID; while :; do sleep 1; done";
    let mut client =
        sandbox.start("bsub", ["-I", "--pty", "--image", engine(), "-m", "64M", "sh", "-c", script]);
    let id = client.line().expect("the job's ID");
    let server = sandbox.run("blocal", ["status", "--json"]).ok().json()[0]["pid"].as_u64().unwrap();
    kill(u32::try_from(server).unwrap(), "KILL");
    let outcome = client.wait().ended_with(125);
    assert!(outcome.hints().contains(&format!("the job {id} is being ended")), "{outcome}");
    let waited = sandbox.run("bwait", [&id]);
    assert_ne!(waited.code(), 0, "{waited}");
}
