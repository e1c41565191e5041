//! A runner by itself: the test is its server.

use awsb_testkit::story;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use awsb_testkit::local::until;
use serde_json::{Value, json};

const ID: &str = "0123456789abcdef0123456789abcdef";

/// A runner, and our end of its connection.
struct Runner {
    home: tempfile::TempDir,
    listener: UnixListener,
    process: Child,
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Runner {
    fn new() -> (Self, Value) {
        let mut command = Command::new(awsb_testkit::program_built("blocal"));
        command.args(["runner", ID]);
        Self::with(command)
    }

    /// A runner whose files can have 512 bytes at first: as on a full disk, a write begins and does
    /// not end.
    #[cfg(target_os = "linux")]
    fn on_a_full_disk() -> Self {
        let script = format!("trap '' XFSZ; ulimit -S -f 1; exec \"$0\" runner {ID}");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, &awsb_testkit::program_built("blocal")]);
        Self::with(command).0
    }

    /// Somebody has made room.
    #[cfg(target_os = "linux")]
    fn make_room(&self) {
        self.limit("--fsize=unlimited");
    }

    /// Sets a limit of the runner, as `prlimit` has it.
    #[cfg(target_os = "linux")]
    fn limit(&self, limit: &str) {
        let pid = self.process.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap();
        assert!(set.success());
    }

    fn with(mut command: Command) -> (Self, Value) {
        let home = tempfile::tempdir().unwrap();
        for folder in ["runners", "scratch", "logs"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let listener = UnixListener::bind(home.path().join("server.sock")).unwrap();
        let process = command.current_dir(home.path()).env_clear().spawn().unwrap();
        let (writer, reader, hello) = accept(&listener);
        let mut runner = Self { home, listener, process, writer, reader };
        runner.say(&json!({"setup": {"environment": [["PATH", "/usr/bin:/bin"]]}}));
        (runner, hello)
    }

    fn say(&mut self, order: &Value) {
        writeln!(self.writer, "{order}").unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn run(&mut self, task: &str, script: &str, timeout_ms: Option<i64>) {
        self.say(&json!({"run": {
            "task": task, "command": ["sh", "-c", script], "environment": [], "log": "logs/stream",
            "timeoutMs": timeout_ms, "killAfterMs": 100,
        }}));
    }

    fn run_in(&mut self, task: &str, image: &str, script: &str, timeout_ms: Option<i64>) {
        let engine =
            std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let body = json!({"Image": image, "Cmd": ["sh", "-c", script]});
        self.say(&json!({"run": {
            "task": task, "command": [], "environment": [], "log": "logs/stream",
            "timeoutMs": timeout_ms, "killAfterMs": 500,
            "container": {"engine": engine, "home": ID, "job": task, "again": false, "refused": null, "body": body},
        }}));
    }

    fn ended(&mut self) -> Value {
        loop {
            let report = self.receive();
            if report.get("ended").is_some() {
                return report["ended"].clone();
            }
        }
    }

    /// The entries of its journal; each is whole.
    fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home.path().join(format!("runners/{ID}.journal"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.home.path().join("logs/stream")).unwrap_or_default();
        text.lines().map(|l| format!("{}\n", &l[14..])).collect()
    }

    /// The server goes and does not come back: returns when the runner has gone, too.
    fn is_left_alone(&mut self) {
        std::fs::remove_file(self.home.path().join("server.sock")).unwrap();
        self.writer.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    /// The server goes and comes back: a new connection, and what the runner says first.
    fn reconnect(&mut self) -> Value {
        self.writer.shutdown(std::net::Shutdown::Both).unwrap();
        let (writer, reader, hello) = accept(&self.listener);
        (self.writer, self.reader) = (writer, reader);
        hello
    }
}

fn accept(listener: &UnixListener) -> (UnixStream, BufReader<UnixStream>, Value) {
    let (writer, _) = listener.accept().unwrap();
    writer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(writer.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let hello: Value = serde_json::from_str(&line).unwrap();
    (writer, reader, hello["runner"].clone())
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.writer.shutdown(std::net::Shutdown::Both);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[story]
fn a_runner_runs_one_job_after_the_other() {
    let (mut runner, hello) = Runner::new();
    assert_eq!(hello, json!({"runner": ID, "running": null, "ended": []}));
    for n in 0..3 {
        runner.run(&format!("task{n}"), &format!("sleep 0.2; echo {n}; exit {n}"), None);
        assert_eq!(runner.receive()["started"]["task"], format!("task{n}"));
        let ended = runner.ended();
        assert_eq!((&ended["exitCode"], &ended["timedOut"]), (&json!(n), &json!(false)));
        runner.say(&json!({"forget": {"task": format!("task{n}")}}));
    }
    assert_eq!(runner.log(), "0\n1\n2\n");
}

#[story]
fn each_job_finds_an_empty_folder_of_its_own_whatever_the_last_one_did() {
    let (mut runner, _) = Runner::new();
    let deeds = [
        "true",
        "true",
        "touch left; mkdir folder",
        "touch .gone; rm .gone",
        "chmod 777 .",
        "cd ..; mv ./$task away; mkdir $task; touch $task/left",
        "cd ..; rmdir ./$task",
        "true",
    ];
    let mut expected = String::new();
    for (n, deed) in deeds.iter().enumerate() {
        let task = format!("task{n}");
        let look = "pwd -P | sed 's|.*/||'; ls -A; ls -ld . | cut -c1-10";
        runner.run(&task, &format!("task={task}; {look}; {deed}"), None);
        assert_eq!(runner.ended()["exitCode"], 0, "{deed}");
        runner.say(&json!({"forget": {"task": task}}));
        expected.push_str(&format!("{task}\ndrwxr-xr-x\n"));
    }
    assert_eq!(runner.log(), expected);
    let scratch = runner.home.path().join("scratch");
    std::fs::remove_dir(scratch.join("away")).unwrap();
    until("nothing of them is left", || std::fs::read_dir(&scratch).unwrap().next().is_none());
}

#[story]
fn an_attempt_whose_time_has_run_out_is_ended_gently_then_not() {
    let (mut runner, _) = Runner::new();
    let began = Instant::now();
    runner.run("gentle", "trap 'echo caught; exit 9' TERM; while :; do :; done", Some(500));
    let ended = runner.ended();
    assert_eq!((&ended["exitCode"], &ended["timedOut"]), (&json!(9), &json!(true)));
    assert!(began.elapsed() >= Duration::from_millis(190));
    runner.run("deaf", "trap '' TERM; echo deaf; while :; do :; done", Some(500));
    let ended = runner.ended();
    assert_eq!((&ended["exitCode"], &ended["timedOut"]), (&json!(137), &json!(true)));
    assert_eq!(runner.log(), "caught\ndeaf\n");
}

#[story]
fn a_container_whose_time_has_run_out_is_ended_gently_then_not() {
    let image = awsb_testkit::engine();
    let (mut runner, _) = Runner::new();
    let task = |name: &str| format!("{name}-{}", std::process::id());
    let script = "trap 'echo caught; exit 9' TERM; while :; do sleep 0.02; done";
    runner.run_in(&task("gentle"), image, script, Some(700));
    let ended = runner.ended();
    assert_eq!((&ended["exitCode"], &ended["timedOut"]), (&json!(9), &json!(true)), "{ended}");
    // The first process of a container is deaf to SIGTERM unless it listens.
    runner.run_in(&task("deaf"), image, "echo deaf; sleep 1000", Some(700));
    let ended = runner.ended();
    assert_eq!((&ended["exitCode"], &ended["timedOut"]), (&json!(137), &json!(true)), "{ended}");
    assert_eq!(runner.log(), "caught\ndeaf\n");
    // A runner does not go before the containers have.
    runner.is_left_alone();
    let docker = bollard::Docker::connect_with_defaults().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["gentle", "deaf"] {
        let name = format!("awsb-{}", task(name));
        let found = runtime.block_on(docker.inspect_container(&name, None));
        assert!(found.unwrap_err().to_string().contains("No such container"));
    }
}

#[story]
fn a_job_whose_image_is_on_its_way_is_known_and_can_be_stopped() {
    awsb_testkit::engine();
    // A registry that takes connections and never answers.
    let registry = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("{}/never", registry.local_addr().unwrap());
    let (mut runner, _) = Runner::new();
    let task = format!("pulling-{}", std::process::id());
    runner.run_in(&task, &image, "true", None);
    let _connection = registry.accept().unwrap();
    let hello = runner.reconnect();
    assert_eq!((&hello["starting"], &hello["running"]), (&json!(task), &Value::Null));
    runner.say(&json!({"stop": {"task": task}}));
    let ended = runner.ended();
    assert_eq!((&ended["startedAt"], &ended["exitCode"]), (&Value::Null, &Value::Null), "{ended}");
}

#[story]
fn a_stop_is_for_one_attempt_only() {
    let (mut runner, _) = Runner::new();
    runner.run("a", "exec sleep 1000", None);
    runner.receive();
    runner.say(&json!({"stop": {"task": "b"}}));
    runner.say(&json!({"stop": {"task": "a"}}));
    let ended = runner.ended();
    assert_eq!(
        (&ended["task"], &ended["exitCode"], &ended["timedOut"]),
        (&json!("a"), &json!(143), &json!(false))
    );
}

#[story]
fn what_has_happened_is_said_again_until_it_may_be_forgotten() {
    let (mut runner, _) = Runner::new();
    runner.run("a", "while [ ! -e ../../go ]; do sleep 0.01; done; echo out", None);
    runner.receive();
    // The server goes away while the job runs, and comes back twice.
    assert_eq!(runner.reconnect()["running"]["task"], "a");
    assert_eq!(runner.reconnect()["running"]["task"], "a");
    std::fs::write(runner.home.path().join("go"), "").unwrap();
    let ended = runner.ended();
    assert_eq!(runner.reconnect()["ended"], json!([ended]));
    runner.say(&json!({"forget": {"task": "a"}}));
    // The order is read before the end of the connection is seen.
    assert_eq!(runner.reconnect()["ended"], json!([]));
    assert_eq!(runner.log(), "out\n");
}

#[story]
fn a_server_that_drops_its_runner_again_and_again_is_not_flooded() {
    let (mut runner, _) = Runner::new();
    runner.run("a", "true", None);
    let ended = runner.ended();
    // A server whose disk is full: it hears, and can promise nothing.
    let began = Instant::now();
    for _ in 0..6 {
        assert_eq!(runner.reconnect()["ended"], json!([ended]));
    }
    assert!(began.elapsed() >= Duration::from_millis(10 + 20 + 40 + 80), "{:?}", began.elapsed());
    assert!(runner.process.try_wait().unwrap().is_none());
}

#[story]
fn without_a_server_a_runner_goes_when_its_job_is_done() {
    let (mut runner, _) = Runner::new();
    runner.run("a", "sleep 0.2; exit 5", None);
    runner.receive();
    runner.is_left_alone();
    assert_eq!(runner.journal().last().unwrap()["ended"]["exitCode"], 5);
}

#[story]
#[cfg(target_os = "linux")]
fn without_a_server_and_on_a_full_disk_a_runner_stays_until_its_job_s_end_is_written() {
    let mut runner = Runner::on_a_full_disk();
    // The report of its start fits, and the report of its end does not.
    let task = "a".repeat(130);
    runner.run(&task, "while [ ! -e ../../go ]; do sleep 0.01; done; exit 5", None);
    runner.receive();
    std::fs::remove_file(runner.home.path().join("server.sock")).unwrap();
    runner.writer.shutdown(std::net::Shutdown::Both).unwrap();
    std::fs::write(runner.home.path().join("go"), "").unwrap();
    until("the job has ended", || !runner.home.path().join("scratch").join(&task).exists());
    assert!(runner.journal().iter().all(|entry| entry.get("ended").is_none()));
    runner.make_room();
    assert!(runner.process.wait().unwrap().success());
    assert_eq!(runner.journal().last().unwrap()["ended"]["exitCode"], 5);
}

#[story]
#[cfg(target_os = "linux")]
fn a_log_that_was_full_for_a_while_has_whole_lines_only() {
    let mut runner = Runner::on_a_full_disk();
    // Five lines of more than a hundred bytes in one write, of which four fit.
    let line = "a line ".to_owned() + &".".repeat(100);
    let script = format!(
        "printf '%s\\n' '{line}' '{line}' '{line}' '{line}' '{line}'; \
         while [ ! -e ../../go ]; do sleep 0.01; done; echo after"
    );
    runner.run("a", &script, None);
    until("the log is full", || runner.log().lines().count() == 4);
    runner.make_room();
    std::fs::write(runner.home.path().join("go"), "").unwrap();
    let ended = runner.ended();
    assert!(ended["reason"].as_str().unwrap().contains("writing the log stream"), "{ended}");
    let log = runner.log();
    assert_eq!(log.lines().collect::<Vec<_>>(), [&line, &line, &line, &line, "after"]);
}

#[story]
#[cfg(target_os = "linux")]
fn a_job_that_the_machine_has_no_room_for_waits_and_does_not_fail() {
    let (mut runner, _) = Runner::new();
    // All its descriptors are taken: a job needs a pipe. (That no process can be started, EAGAIN,
    // is the same.)
    let open = std::fs::read_dir(format!("/proc/{}/fd", runner.process.id())).unwrap().count();
    runner.limit(&format!("--nofile={open}:1024"));
    runner.run("a", "echo out", None);
    for _ in 0..3 {
        let delayed = runner.receive();
        assert!(delayed["delayed"]["why"].as_str().unwrap().contains("`ulimit -n`"), "{delayed}");
    }
    // A server that comes back hears that it is not lost.
    let hello = runner.reconnect();
    assert_eq!((&hello["starting"], &hello["running"]), (&json!("a"), &Value::Null));
    runner.limit("--nofile=1024:1024");
    let ended = runner.ended();
    assert_eq!((&ended["task"], &ended["exitCode"]), (&json!("a"), &json!(0)));
    assert_eq!(runner.log(), "out\n");
    // One that is not wanted any more ends, and never began.
    runner.say(&json!({"forget": {"task": "a"}}));
    runner.limit(&format!("--nofile={open}:1024"));
    runner.run("b", "echo never", None);
    assert!(runner.receive().get("delayed").is_some());
    runner.say(&json!({"stop": {"task": "b"}}));
    let ended = runner.ended();
    assert_eq!((&ended["startedAt"], &ended["exitCode"]), (&Value::Null, &Value::Null), "{ended}");
    assert_eq!(runner.log(), "out\n");
}
