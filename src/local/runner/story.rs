//! A runner's life: take a job, run it, write down how it ended, tell the server, take the next.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::journal::Journal;
use super::output::Output;
use super::process;
use super::protocol::{Ended, Greeting, Hello, Order, Report, Run, RunnerId, Started, TaskId};
use crate::local::home::{SCRATCH, SOCKET};
use crate::local::now_ms;
use crate::ui::{Exit, Failure};

/// An idle runner goes after this time: it keeps memory, and the next one starts in milliseconds.
const IDLE_MS: i64 = 10_000;
/// How long a runner waits at first, and at most, before it connects again to a server that is gone, or
/// that drops it without a word because its disk is full.
const PAUSE_MS: std::ops::RangeInclusive<i64> = 10..=250;

/// Runs a runner, in the home as its working directory, until it is not needed any more.
///
/// # Errors
/// When its files cannot be made. What happens to a job is no error of the runner's.
pub fn run(id: &str) -> Result<Exit, Failure> {
    let id = RunnerId::parse(id).ok_or_else(|| Failure::usage("not the ID of a runner"))?;
    let failed = |what: &str, e: io::Error| Failure::failed(format!("runner: {what}: {e}"));
    // A session of its own: the end of the terminal that the server was started from is not ours.
    // That fails for a group's leader only, which then has what we want already.
    let _ = nix::unistd::setsid();
    // Blocked signals would be inherited by the jobs.
    let _ = SigSet::empty().thread_set_mask();
    // The file mode mask that a container has.
    umask(Mode::from_bits_truncate(0o022));
    #[cfg(target_os = "linux")]
    {
        // What flees from a job's group becomes ours; and `ps` shows a name, not `exe`.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let _ = nix::sys::prctl::set_name(c"blocal-runner");
    }
    let journal = Journal::open(Path::new(""), &id).map_err(|e| failed("opening the journal", e))?;
    let (waits, ends) = waiter().map_err(|e| failed("starting", e))?;
    let mut runner = Runner {
        id,
        journal,
        server: None,
        reconnect_at: 0,
        pause_ms: 0,
        environment: BTreeMap::new(),
        job: None,
        ended: Vec::new(),
        unwritten: Vec::new(),
        waits,
        ends,
        idle_since: now_ms(),
    };
    while runner.turn() {}
    Ok(Exit::Done)
}

struct Runner {
    id: RunnerId,
    journal: Journal,
    server: Option<Server>,
    reconnect_at: i64,
    /// How long the last pause before a connection was; 0 when the server has said something since.
    pause_ms: i64,
    environment: BTreeMap<String, String>,
    job: Option<Job>,
    /// Ends that the server has not told us to forget.
    ended: Vec<Ended>,
    /// Those of them that the journal has not: this process is all that knows of them.
    unwritten: Vec<Ended>,
    waits: mpsc::Sender<Pid>,
    ends: (PipeReader, mpsc::Receiver<Option<WaitStatus>>),
    idle_since: i64,
}

struct Server {
    stream: UnixStream,
    buffer: Vec<u8>,
}

struct Job {
    task: TaskId,
    leader: Pid,
    started_at: i64,
    pipe: Option<PipeReader>,
    output: Output,
    timeout_at: Option<i64>,
    timed_out: bool,
    kill_at: Option<i64>,
    kill_after_ms: i64,
}

/// Waits for one process after the other in a thread of its own and writes a byte into a pipe for each
/// end: the portable way to wait for a process and for input at once, without signal handlers.
#[allow(clippy::type_complexity)]
fn waiter() -> io::Result<(mpsc::Sender<Pid>, (PipeReader, mpsc::Receiver<Option<WaitStatus>>))> {
    let (waits, to_wait_for) = mpsc::channel::<Pid>();
    let (report, reports) = mpsc::channel();
    let (reader, mut writer): (PipeReader, PipeWriter) = io::pipe()?;
    std::thread::Builder::new().name("waiter".to_owned()).spawn(move || {
        for pid in to_wait_for {
            if report.send(process::wait_for_end(pid)).is_err() || writer.write_all(&[0]).is_err() {
                return;
            }
        }
    })?;
    Ok((waits, (reader, reports)))
}

impl Runner {
    /// Waits for something to happen and handles it; `false` when the runner's life is over.
    fn turn(&mut self) -> bool {
        let now = now_ms();
        if self.server.is_none() && now >= self.reconnect_at {
            self.connect(now);
            // Without a server the journal says all there is to say, once it can be written.
            if self.server.is_none() && self.job.is_none() && self.all_written() {
                return false;
            }
        }
        // With one, every end has to be heard first.
        let idle = self.job.is_none() && self.ended.is_empty() && self.server.is_some();
        if idle && now >= self.idle_since + IDLE_MS {
            return false;
        }
        self.deadlines(now);
        let (output, end, order) = match self.wait(now) {
            Ok(ready) => ready,
            Err(e) => {
                note!("runner: waiting: {e}");
                return self.job.is_some() || !self.unwritten.is_empty();
            }
        };
        if output {
            self.read_output();
        }
        if end {
            self.job_ended();
        }
        if order {
            self.read_orders();
        }
        true
    }

    /// Which of the job's output, its end and the server's orders are there; waits for one of them.
    fn wait(&self, now: i64) -> io::Result<(bool, bool, bool)> {
        let pipe = self.job.as_ref().and_then(|job| job.pipe.as_ref()).map(AsFd::as_fd);
        let server = self.server.as_ref().map(|s| s.stream.as_fd());
        let mut set = vec![PollFd::new(self.ends.0.as_fd(), PollFlags::POLLIN)];
        let pipe_at = pipe.map(|fd| {
            set.push(PollFd::new(fd, PollFlags::POLLIN));
            set.len() - 1
        });
        let server_at = server.map(|fd| {
            set.push(PollFd::new(fd, PollFlags::POLLIN));
            set.len() - 1
        });
        match poll(&mut set, self.timeout(now)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready = |at: usize| set.get(at).is_some_and(|fd| fd.any().unwrap_or(false));
        Ok((pipe_at.is_some_and(ready), ready(0), server_at.is_some_and(ready)))
    }

    fn timeout(&self, now: i64) -> PollTimeout {
        let mut at = Vec::new();
        match &self.job {
            Some(job) => at.extend(job.kill_at.or(job.timeout_at)),
            None if self.ended.is_empty() => at.push(self.idle_since + IDLE_MS),
            None => {}
        }
        at.extend(self.server.is_none().then_some(self.reconnect_at));
        match at.into_iter().min() {
            Some(at) => {
                let ms = i32::try_from((at - now).clamp(0, 3_600_000)).unwrap_or(1000);
                PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        }
    }

    /// SIGTERM when the attempt's time has run out, SIGKILL when SIGTERM has not helped.
    fn deadlines(&mut self, now: i64) {
        let Some(job) = &mut self.job else { return };
        if job.timeout_at.is_some_and(|at| now >= at) {
            job.timeout_at = None;
            // A job that is being ended already has not timed out.
            if job.kill_at.is_none() {
                job.timed_out = true;
                job.kill_at = Some(now + job.kill_after_ms);
                process::signal_group(job.leader, Signal::SIGTERM);
            }
        }
        if job.kill_at.is_some_and(|at| now >= at) {
            // Again each second: a fork may have raced with the last one.
            job.kill_at = Some(now + 1000);
            process::signal_group(job.leader, Signal::SIGKILL);
        }
    }

    fn connect(&mut self, now: i64) {
        self.pause_ms = (self.pause_ms * 2).clamp(*PAUSE_MS.start(), *PAUSE_MS.end());
        self.reconnect_at = now + self.pause_ms;
        let Ok(stream) = UnixStream::connect(SOCKET) else { return };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
        self.server = Some(Server { stream, buffer: Vec::new() });
        let running = self.job.as_ref().map(|job| Started { task: job.task.clone(), at: job.started_at });
        let hello = Hello { runner: self.id.clone(), running, ended: self.ended.clone() };
        self.say(&Greeting::Runner(hello));
    }

    fn say(&mut self, what: &impl serde::Serialize) {
        let Some(server) = &mut self.server else { return };
        let sent = serde_json::to_vec(what).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            server.stream.write_all(&line)
        });
        // What could not be said is in the journal and in the next greeting. The server's last orders
        // are read to their end first: one of them may be a job for us.
        if sent.is_err() {
            let _ = server.stream.shutdown(std::net::Shutdown::Write);
        }
    }

    fn read_output(&mut self) {
        let Some(job) = &mut self.job else { return };
        let Some(pipe) = &mut job.pipe else { return };
        let mut bytes = [0; 64 * 1024];
        match pipe.read(&mut bytes) {
            Ok(0) => job.pipe = None,
            Ok(n) => job.output.take(&bytes[..n], now_ms()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => job.pipe = None,
        }
    }

    fn read_orders(&mut self) {
        let Some(server) = &mut self.server else { return };
        let mut bytes = [0; 64 * 1024];
        match server.stream.read(&mut bytes) {
            Ok(n) if n > 0 => server.buffer.extend_from_slice(&bytes[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return,
            _ => {
                self.server = None;
                return;
            }
        }
        while let Some(server) = &mut self.server
            && let Some(end) = server.buffer.iter().position(|b| *b == b'\n')
        {
            let line: Vec<u8> = server.buffer.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(order) => self.obey(order),
                Err(e) => note!("runner: an order that is none: {e}"),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        // A server speaks when what it has heard is on its disk: it is well.
        (self.pause_ms, self.reconnect_at) = (0, 0);
        match order {
            Order::Setup { environment } => self.environment = environment.into_iter().collect(),
            Order::Run(run) => self.begin(*run),
            Order::Stop { task } => {
                if let Some(job) = self.job.as_mut().filter(|job| job.task == task && job.kill_at.is_none()) {
                    job.kill_at = Some(now_ms() + job.kill_after_ms);
                    process::signal_group(job.leader, Signal::SIGTERM);
                }
            }
            Order::Forget { task } => {
                self.ended.retain(|ended| ended.task != task);
                self.unwritten.retain(|ended| ended.task != task);
                if self.ended.is_empty() && self.job.is_none() {
                    self.journal.all_forgotten();
                }
            }
        }
    }

    fn begin(&mut self, run: Run) {
        if self.job.is_some() {
            note!("runner: a second job while one runs; not taken");
            return;
        }
        let task = run.task.clone();
        if let Err(e) = self.journal.taken(&task) {
            // Not journalled, so not begun. The server hears it as an attempt that could not start.
            return self.end(ended_before_start(
                &task,
                126,
                format!("CannotStartContainerError: journal: {e}"),
            ));
        }
        match self.start(run) {
            Ok(job) => {
                if let Err(e) = self.journal.started(&task, job.leader.as_raw(), job.started_at) {
                    note!("runner: writing the journal: {e}");
                }
                let started = Started { task, at: job.started_at };
                let waiting = self.waits.send(job.leader);
                debug_assert!(waiting.is_ok(), "the waiter lives as long as the runner");
                self.job = Some(job);
                self.say(&Report::Started(started));
            }
            Err((exit_code, reason)) => self.end(ended_before_start(&task, exit_code, reason)),
        }
    }

    fn start(&mut self, run: Run) -> Result<Job, (i32, String)> {
        let cannot = |e: io::Error| (126, format!("CannotStartContainerError: {e}"));
        let scratch = scratch(&run.task).map_err(cannot)?;
        std::fs::create_dir(&scratch).map_err(cannot)?;
        let mut environment = self.environment.clone();
        environment.insert("TMPDIR".to_owned(), scratch.display().to_string());
        environment.extend(run.environment);
        environment.insert(process::TASK_VARIABLE.to_owned(), run.task.as_str().to_owned());
        let (pipe, writer) = io::pipe().map_err(cannot)?;
        let leader = process::start(&run.command, &environment, &scratch, writer).map_err(|e| {
            let _ = std::fs::remove_dir_all(&scratch);
            (e.exit_code, e.reason)
        })?;
        let started_at = now_ms();
        Ok(Job {
            task: run.task,
            leader,
            started_at,
            pipe: Some(pipe),
            output: Output::new(run.log.into()),
            timeout_at: run.timeout_ms.map(|ms| started_at.saturating_add(ms)),
            timed_out: false,
            kill_at: None,
            kill_after_ms: run.kill_after_ms,
        })
    }

    fn job_ended(&mut self) {
        let mut byte = [0];
        let _ = self.ends.0.read(&mut byte);
        let Ok(status) = self.ends.1.recv() else { return };
        let Some(mut job) = self.job.take() else { return };
        process::reap(job.leader, &job.task);
        drain(&mut job);
        let at = now_ms();
        let reason = job.output.finish().err();
        let task = job.task.clone();
        self.end(Ended {
            task: job.task,
            started_at: Some(job.started_at),
            at,
            exit_code: process::exit_code(status),
            reason,
            timed_out: job.timed_out,
        });
        // Most leave it empty, and that is one call.
        if let Ok(scratch) = scratch(&task)
            && std::fs::remove_dir(&scratch).is_err()
            && let Err(e) = std::fs::remove_dir_all(&scratch)
        {
            note!("runner: removing {}: {e}", scratch.display());
        }
    }

    /// Whether the journal has every end. What it has not (the disk was full) is tried again.
    fn all_written(&mut self) -> bool {
        self.unwritten.retain(|ended| self.journal.ended(ended).is_err());
        self.unwritten.is_empty()
    }

    fn end(&mut self, ended: Ended) {
        if let Err(e) = self.journal.ended(&ended) {
            note!("runner: writing the journal: {e}");
            self.unwritten.push(ended.clone());
        }
        self.idle_since = now_ms();
        if self.server.is_none() {
            // One last look for a server before the runner goes.
            self.reconnect_at = 0;
        }
        self.ended.push(ended.clone());
        self.say(&Report::Ended(ended));
    }
}

/// More than a pipe holds (pipe(7): 64 KiB, and up to `pipe-max-size` for who asks for it).
const PIPEFUL: usize = 16 << 20;

/// Takes what a job has written before it ended. Its processes are dead, so the end of the pipe is
/// near; only where a process could flee from its group, or cannot be killed, might somebody still hold
/// it open, and write to it for ever.
fn drain(job: &mut Job) {
    let Some(mut pipe) = job.pipe.take() else { return };
    let mut bytes = [0; 64 * 1024];
    let mut taken = 0;
    while taken < PIPEFUL {
        let mut set = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut set, PollTimeout::ZERO) {
            Ok(0) => return,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        match pipe.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                job.output.take(&bytes[..n], now_ms());
                taken += n;
            }
        }
    }
}

fn ended_before_start(task: &TaskId, exit_code: i32, reason: String) -> Ended {
    let at = now_ms();
    Ended { task: task.clone(), started_at: None, at, exit_code, reason: Some(reason), timed_out: false }
}

/// The job's working directory, absolute: it is the job's TMPDIR, too.
fn scratch(task: &TaskId) -> io::Result<std::path::PathBuf> {
    std::path::absolute(Path::new(SCRATCH).join(task.as_str()))
}
