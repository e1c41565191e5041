//! A home of its own for one test, and programs run in it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::harness::bin_folder;
use crate::local::Access;
use crate::lock::Lock;

/// A program that has not ended by then hangs: it is killed and the test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// The variables that programs in the sandbox inherit. All other variables are the sandbox's own,
/// so that no test depends on, or touches, the settings of the user who runs it.
const INHERITED: &[&str] =
    &["DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "LLVM_PROFILE_FILE", "LOGNAME", "USER"];

/// A folder with a home, settings and state of its own; the built tools come first in its `PATH`.
///
/// When it is dropped, the local cluster that was started in it is stopped and whatever is left of
/// it is killed.
#[derive(Debug)]
pub struct Sandbox {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
    locks: Vec<Lock>,
}

impl Sandbox {
    /// A new, empty one: no settings file, no local cluster, no credentials.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("awsb-test-").tempdir().expect("a temporary folder");
        // The folder's real name: macOS's temporary folder is behind a symbolic link.
        let root = folder.path().canonicalize().expect("the temporary folder");
        let mut sandbox = Self { folder, env: Vec::new(), locks: Vec::new() };
        for name in INHERITED {
            if let Ok(value) = std::env::var(name) {
                sandbox.set(name, value);
            }
        }
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        sandbox.set("PATH", format!("{}:{path}", bin_folder().display()));
        for (name, folder) in [
            ("HOME", "home"),
            ("TMPDIR", "tmp"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
        ] {
            let folder = root.join(folder);
            std::fs::create_dir(&folder).expect("a folder of the sandbox");
            sandbox.set(name, folder.display().to_string());
        }
        std::fs::create_dir(root.join("work")).expect("the working folder");
        sandbox.set("AWSB_LOCAL_HOME", root.join("local").display().to_string());
        // Without it the SDKs ask an EC2 instance's metadata service, for seconds where there is
        // none.
        sandbox.set("AWS_EC2_METADATA_DISABLED", "true");
        sandbox.set("AWSB_USER", "tester");
        sandbox.set("LANG", "C.UTF-8");
        sandbox.set("TZ", "UTC");
        sandbox
    }

    /// A sandbox whose one cluster, `far`, is at an endpoint, with credentials that nobody checks.
    pub fn at(endpoint: &str) -> Self {
        let mut sandbox = Self::new();
        sandbox.config(&format!(
            "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nendpoint_url = \"{endpoint}\"\n\
             bucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n"
        ));
        sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
        sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
        sandbox
    }

    /// The folder in which programs run.
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// The folder of the local cluster.
    pub fn local_home(&self) -> PathBuf {
        self.root().join("local")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("the temporary folder")
    }

    /// Holds a lock until this sandbox has gone.
    pub fn hold(&mut self, lock: Lock) {
        self.locks.push(lock);
    }

    /// Sets a variable for every program from here on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.unset(name);
        self.env.push((name.to_owned(), value.into()));
    }

    /// Takes a variable away again.
    pub fn unset(&mut self, name: &str) {
        self.env.retain(|(n, _)| n != name);
    }

    /// The value of a variable of the sandbox.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Writes the settings file, where the tools look for it by themselves.
    pub fn config(&self, toml: &str) {
        let folder = self.root().join("config").join("awsb");
        std::fs::create_dir_all(&folder).expect("the settings file's folder");
        std::fs::write(folder.join("config.toml"), toml).expect("the settings file");
    }

    /// Writes a file in the working folder and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// A sandbox with keys, whose default cluster `far` is at an endpoint. `more` are further lines
    /// of its settings.
    pub fn of_cluster_at(endpoint: &str, more: &str) -> Self {
        let mut sandbox = Self::new();
        sandbox.config(&format!(
            "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nendpoint_url = \"{endpoint}\"\n\
             bucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n{more}"
        ));
        sandbox.set("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE");
        sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
        sandbox
    }

    /// Puts the exports of `blocal env` into the environment (and has the local cluster started).
    pub fn use_local_exports(&mut self) {
        let exports = self.run("blocal", ["env"]).ok().stdout;
        // Read by the shell that they are made for, quotes and all.
        let script = format!("{exports}\nenv -0");
        let output = self.run("sh", ["-c", &script]).ok().stdout;
        let exported: Vec<(String, String)> = output
            .split('\0')
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| exports.contains(&format!("{name}=")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert!(!exported.is_empty(), "`blocal env` exported nothing: {exports:?}");
        for (name, value) in exported {
            self.set(&name, value);
        }
    }

    /// The endpoint and the keys in the environment, as [`Sandbox::use_local_exports`] sets them.
    pub fn access(&self) -> Access {
        let get = |name: &str| self.get(name).expect("an export").to_owned();
        Access {
            endpoint_url: get("AWS_ENDPOINT_URL"),
            access_key_id: get("AWS_ACCESS_KEY_ID"),
            secret_access_key: get("AWS_SECRET_ACCESS_KEY"),
        }
    }

    /// Starts the local cluster and has the tools reach it as the cluster `wire`, at another
    /// endpoint: that of a proxy in front of the one that `endpoint` is given.
    pub fn reach_local_cluster_at(&mut self, endpoint: impl FnOnce(&str) -> String) {
        self.use_local_exports();
        let [own, key, secret] = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
            .map(|name| self.get(name).expect("exported").to_owned());
        for name in ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            self.unset(name);
        }
        self.file(
            "../home/.aws/credentials",
            format!("[wire]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"),
        );
        self.config(&format!(
            "default_cluster = \"wire\"\n[cluster.wire]\nregion = \"us-east-1\"\nprofile = \"wire\"\n\
             endpoint_url = \"{}\"\nbucket = \"awsb-local\"\njob_queue = \"local\"\njob_definition = \"local\"\n",
            endpoint(&own)
        ));
    }

    /// A program with its arguments, to be run in the sandbox, with nothing on standard input.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(self.find(program.as_ref()));
        command.args(args).env_clear().envs(self.env.iter().map(|(n, v)| (n, v)));
        // A process group of its own: a signal to it, or the end of it, takes in what it started.
        command.current_dir(self.work()).stdin(Stdio::null()).process_group(0);
        command
    }

    /// `Command` looks a name up in *our* `PATH` where the child's is cleared and set again; be
    /// explicit.
    fn find(&self, program: &OsStr) -> PathBuf {
        if program.to_string_lossy().contains('/') {
            return program.into();
        }
        let path = self.get("PATH").unwrap_or_default();
        std::env::split_paths(path)
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
            .unwrap_or_else(|| panic!("{} is not in PATH ({path})", program.display()))
    }

    /// Runs a program to its end, with nothing on standard input.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = A>) -> Outcome {
        self.start(program, args).wait()
    }

    /// Runs a program to its end with `input` on standard input.
    #[track_caller]
    pub fn run_with_input<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
        input: impl Into<Vec<u8>>,
    ) -> Outcome {
        let mut command = self.command(program, args);
        Running::spawn(command.stdin(Stdio::piped()), Some(input.into())).wait()
    }

    /// Runs a program to its end with less ado than [`Sandbox::run`], for thousands of them: there
    /// is no limit of time.
    #[track_caller]
    pub fn quick_run<A: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = A>) -> Outcome {
        let mut command = self.command(program, args);
        let what = describe(&command);
        let output = command.output().unwrap_or_else(|e| panic!("{what}: {e}"));
        Outcome { what, status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts a program, with nothing on standard input.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = A>) -> Running {
        Running::spawn(&mut self.command(program, args), None)
    }

    /// Removes the containers and networks of the sandbox's local cluster. Its jobs that still run
    /// would hold them for 30 seconds otherwise, and an engine has only about thirty networks.
    fn remove_containers(&self) {
        let record = std::fs::read(self.local_home().join("containers.json")).unwrap_or_default();
        let record: Option<serde_json::Value> = serde_json::from_slice(&record).ok();
        let Some(home) = record.as_ref().and_then(|record| record["homeId"].as_str()) else { return };
        let docker = |args: &[&str]| {
            // The engine is the sandbox's, the program is ours: not every sandbox has one.
            let mut command = Command::new("docker");
            command.args(args).envs(self.get("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)));
            let output = command.stdin(Stdio::null()).output().ok();
            text(output.map(|output| output.stdout).unwrap_or_default())
        };
        let label = format!("label=awsb.home={home}");
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "--force", "--volumes"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
        ] {
            let found = docker(&[list, &["--filter", &label]].concat());
            let found: Vec<&str> = found.split_whitespace().collect();
            if !found.is_empty() {
                docker(&[remove, &found].concat());
            }
        }
    }

    /// The processes that belong to this sandbox: its path is among their arguments or in their
    /// environment. (Linux; elsewhere `blocal stop` has to do.)
    fn processes(&self) -> Vec<Pid> {
        let needle = self.root().display().to_string();
        let of = |pid: &str, file: &str| {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(&needle)
        };
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
            .filter(|pid| of(pid, "cmdline") || of(pid, "environ"))
            .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
            .filter(|pid| *pid != nix::unistd::getpid())
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.local_home().exists() {
            // Whether it stops as it should is `blocal`'s own test; here it only has to be gone.
            let mut stop = self.command("blocal", ["stop"]);
            let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.remove_containers();
    }
}

/// A program that was started and may still be running. When it is dropped, its process group is
/// killed.
#[derive(Debug)]
pub struct Running {
    what: String,
    pid: Pid,
    ended: bool,
    exit: Receiver<ExitStatus>,
    lines: Receiver<Vec<u8>>,
    stdout: Vec<u8>,
    stderr: Receiver<Vec<u8>>,
}

impl Running {
    #[track_caller]
    fn spawn(command: &mut Command, input: Option<Vec<u8>>) -> Self {
        let what = describe(command);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        let pid = Pid::from_raw(child.id().try_into().expect("a process ID"));
        if let Some(input) = input {
            let mut stdin = child.stdin.take().expect("a pipe");
            // On a thread: a program that answers before it has read everything must not block us.
            // One that does not read its input at all is no error.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let (line_sender, lines) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                match stdout.read_until(b'\n', &mut line) {
                    Ok(1..) if line_sender.send(line).is_ok() => {}
                    _ => break,
                }
            }
        });
        let (stderr_sender, stderr) = mpsc::channel();
        let mut stderr_pipe = child.stderr.take().expect("a pipe");
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr_pipe.read_to_end(&mut bytes);
            let _ = stderr_sender.send(bytes);
        });
        let exit = wait_on_a_thread(child);
        Self { what, pid, ended: false, exit, lines, stdout: Vec::new(), stderr }
    }

    /// The process, for tests that send it a signal.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal to the process alone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap_or_else(|e| panic!("{}: {signal}: {e}", self.what));
    }

    /// The next line of stdout, as soon as it is there; `None` when stdout is closed.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => {
                self.stdout.extend(&line);
                Some(text(line).trim_end_matches('\n').to_owned())
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{}: no line within {LIMIT:?}", self.what),
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(self) -> Outcome {
        self.wait_for(LIMIT)
    }

    /// Waits for the end, but not longer than `limit`.
    #[track_caller]
    pub fn wait_for(mut self, limit: Duration) -> Outcome {
        let Ok(status) = self.exit.recv_timeout(limit) else {
            let _ = killpg(self.pid, Signal::SIGKILL);
            let report = self.stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
            panic!("{}: has not ended within {limit:?}\nstderr: {}", self.what, text(report));
        };
        self.ended = true;
        // A background process that keeps our pipes open would hold the readers up for ever: it is
        // a defect of the program (`$(blocal start)` would hang) and found here.
        while let Some(line) = self.lines.recv_timeout(LIMIT).ok_or_disconnected(&self.what) {
            self.stdout.extend(line);
        }
        let stderr = self.stderr.recv_timeout(LIMIT).ok_or_disconnected(&self.what).unwrap_or_default();
        let stdout = text(std::mem::take(&mut self.stdout));
        Outcome { what: self.what.clone(), status, stdout, stderr: text(stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended && self.exit.try_recv().is_err() {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }
}

/// Reading from a pipe that a program's descendants may hold open.
trait OkOrDisconnected<T> {
    fn ok_or_disconnected(self, what: &str) -> Option<T>;
}

impl<T> OkOrDisconnected<T> for Result<T, mpsc::RecvTimeoutError> {
    #[track_caller]
    fn ok_or_disconnected(self, what: &str) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{what}: has ended, but something it started keeps its output open")
            }
        }
    }
}

pub(super) fn wait_on_a_thread(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = sender.send(status);
        }
    });
    receiver
}

pub(super) fn describe(command: &Command) -> String {
    let mut text =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let _ = write!(text, " {arg:?}");
    }
    text
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line, for messages.
    pub what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// The exit code; of a program that a signal ended, 128 and the signal, as shells have it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// It succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.ended_with(0)
    }

    /// It ended with this exit code.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit code of {self}");
        self
    }

    /// It failed as our tools fail: with this exit code, nothing on stdout, one `TOOL: error:`
    /// line, and nothing else on stderr but `hint:` lines behind it and "trying again" before it.
    /// Returns the error line's message.
    #[track_caller]
    pub fn failed_with(&self, code: i32) -> String {
        assert_eq!(self.code(), code, "exit code of {self}");
        assert_eq!(self.stdout, "", "stdout of {self}");
        let tool = self.what.split(' ').next().unwrap_or_default();
        let prefix = format!("{tool}: error: ");
        // That it tries again is progress, which a tool reports before it fails.
        let is_progress =
            |line: &&str| line.strip_prefix(tool).is_some_and(|rest| rest.starts_with(": trying again: "));
        let mut lines = self.stderr.lines().skip_while(is_progress);
        let message = lines.next().and_then(|line| line.strip_prefix(&prefix));
        let message = message.unwrap_or_else(|| panic!("the first line is no `{prefix}` line: {self}"));
        for line in lines {
            assert!(line.starts_with("hint: "), "neither an error nor a hint: {line:?} in {self}");
        }
        message.to_owned()
    }

    /// The hints, a line each.
    pub fn hints(&self) -> String {
        let hints = self.stderr.lines().filter_map(|line| line.strip_prefix("hint: "));
        hints.collect::<Vec<_>>().join("\n")
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self}"))
    }

    /// The ID of the job that `bsub` submitted.
    #[track_caller]
    pub fn job_id(&self) -> String {
        let line = self.stdout.trim_end_matches('\n');
        let id = match line.strip_prefix("Job ") {
            Some(rest) => rest.split(" (").next().unwrap_or_default(),
            None => line,
        };
        let plausible = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        assert!(self.code() == 0 && plausible, "no job ID: {self}");
        id.to_owned()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n  ended with {}", self.what, self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                writeln!(f, "  {name}: {line}")?;
            }
        }
        Ok(())
    }
}
