//! A runner's life: take a job, run it, write down how it ended, tell the server, take the next.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};

use super::container::ContainerExecution;
use super::executor::{
    Event, EventReceiver, EventSender, Execution, Outcome, PostponedExecution, event_channel,
};
use super::host::{HostExecution, Waiter};
use super::journal::Journal;
use super::mask::masked;
use super::process;
use super::protocol::{
    AttemptId, ContainerState, Ended, Greeting, Hello, Order, Report, Run, RunnerId, Started,
};
use super::spare::Spares;
use super::task;
use super::unpacker::Unpacker;
use crate::error::LocalError;
use crate::home::files::SOCKET;
use crate::home::space;
use crate::log;
use crate::process::room_for_a_job;
use crate::time::now_ms;

/// A job that ends within this time, in milliseconds, is reported once, when it has ended: a report
/// of its start would cost the server as much again.
const BRIEF_MS: i64 = 5;
/// An idle runner goes after this time: it keeps memory, and the next one starts in milliseconds.
const IDLE_MS: i64 = 10_000;
/// How long the folders of the last job are stored for the next one, which comes at once where many
/// wait.
const SPARE_MS: i64 = 200;
/// How long a runner waits at first, and at most, before it connects again to a server that is
/// gone, or that drops it without a word because its disk is full.
const RECONNECT_MS: std::ops::RangeInclusive<i64> = 10..=250;
/// How long it waits at first, and at most, before it tries again to start a process that the
/// machine has no room for.
const RETRY_MS: std::ops::RangeInclusive<i64> = 50..=2000;

/// Runs a runner, in the home as its working directory, until it is not needed any more.
///
/// # Errors
/// When its files cannot be made. A job that fails is not an error of the runner.
pub fn run(id: &str) -> Result<(), LocalError> {
    let id = RunnerId::parse(id).ok_or_else(|| LocalError::usage("not the ID of a runner"))?;
    let failed = |what: &str, e: io::Error| LocalError::failed(format!("runner: {what}: {e}"));
    log::init_runner();
    // A session of its own: the end of the terminal that the server was started from is not ours.
    // That fails for a group's leader only, which then has what we want already.
    let _ = nix::unistd::setsid();
    // Blocked signals would be inherited by the jobs.
    let _ = SigSet::empty().thread_set_mask();
    // The file mode mask that a container has.
    umask(Mode::from_bits_truncate(0o022));
    #[cfg(target_os = "linux")]
    {
        // Processes that leave a job's group become children of this process, and `ps` shows a name
        // instead of `exe`.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let _ = nix::sys::prctl::set_name(c"blocal-runner");
    }
    let journal = Journal::open(Path::new(""), &id).map_err(|e| failed("opening the journal", e))?;
    let (events, event_receiver) = event_channel().map_err(|e| failed("starting", e))?;
    let waiter = Waiter::new(events.clone()).map_err(|e| failed("starting", e))?;
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
        events,
        event_receiver,
        waiter,
        unpacker: Unpacker::default(),
        spares: Spares::default(),
        cleaners: Vec::new(),
        idle_since: now_ms(),
    };
    while runner.run_once() {}
    for cleaner in runner.cleaners {
        let _ = cleaner.join();
    }
    Ok(())
}

struct Runner {
    id: RunnerId,
    journal: Journal,
    server: Option<Server>,
    reconnect_at: i64,
    /// The last pause before a connection; 0 when the server has sent something since.
    pause_ms: i64,
    environment: BTreeMap<String, String>,
    job: Option<Job>,
    /// Ends that the server has not told this runner to forget.
    ended: Vec<Ended>,
    /// The ends among them that are not in the journal: only this process knows them.
    unwritten: Vec<Ended>,
    events: EventSender,
    event_receiver: EventReceiver,
    waiter: Waiter,
    unpacker: Unpacker,
    spares: Spares,
    /// The threads that remove what is left of jobs that have ended.
    cleaners: Vec<JoinHandle<()>>,
    idle_since: i64,
}

/// The sources of events that are ready after a wait.
struct Ready {
    /// Output of the job.
    output: bool,
    /// Its end.
    end: bool,
    /// Event of it.
    event: bool,
    /// Orders of the server.
    order: bool,
}

struct Server {
    stream: UnixStream,
    buffer: Vec<u8>,
}

struct Job {
    attempt_id: AttemptId,
    /// The file of its log stream.
    log: String,
    /// The files of the log streams of its containers, for a job of several.
    container_logs: Vec<String>,
    execution: Box<dyn Execution>,
    /// `None` while a container is being made ready.
    started_at: Option<i64>,
    /// Where other nodes reach it.
    address: Option<Ipv4Addr>,
    /// Its containers that have begun.
    containers: Vec<ContainerState>,
    /// When the start is reported to the server, unless it has ended by then.
    report_start_at: Option<i64>,
    timeout_ms: Option<i64>,
    timeout_at: Option<i64>,
    timed_out: bool,
    kill_at: Option<i64>,
    kill_after_ms: i64,
    /// The start to be tried again.
    postponed: Option<Box<Retry>>,
}

/// A process that could not be started.
struct Retry {
    run: Run,
    /// When it is tried again.
    at: i64,
    /// How long that is after the last time.
    pause_ms: i64,
}

impl Job {
    fn new(run: &Run, execution: Box<dyn Execution>) -> Self {
        Self {
            attempt_id: run.attempt_id.clone(),
            log: run.log.clone(),
            container_logs: run.container.iter().flat_map(|c| &c.task).map(|c| c.log.clone()).collect(),
            execution,
            started_at: None,
            address: None,
            containers: Vec::new(),
            report_start_at: None,
            timeout_ms: run.timeout_ms,
            timeout_at: None,
            timed_out: false,
            kill_at: None,
            kill_after_ms: run.kill_after_ms,
            postponed: None,
        }
    }

    /// The report of its start, if it runs.
    fn start(&self) -> Option<Started> {
        Some(Started {
            attempt_id: self.attempt_id.clone(),
            at: self.started_at?,
            address: self.address,
            containers: self.containers.clone(),
        })
    }

    /// It runs now: from now on its time is counted (User Guide, `job_timeouts`: from `startedAt`).
    fn started(&mut self, at: i64) {
        self.started_at = Some(at);
        self.timeout_at = self.timeout_ms.map(|ms| at.saturating_add(ms));
    }

    /// SIGTERM now, SIGKILL later.
    fn stop(&mut self, now: i64) {
        self.kill_at = Some(now + self.kill_after_ms);
        self.execution.signal(Signal::SIGTERM);
    }
}

impl Runner {
    /// Waits for something to happen and handles it; `false` when the runner's life is over.
    fn run_once(&mut self) -> bool {
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
        if self.job.is_none() && now >= self.idle_since + SPARE_MS {
            self.spares.clear();
        }
        self.deadlines(now);
        let ready = match self.wait(now) {
            Ok(ready) => ready,
            Err(e) => {
                tracing::warn!("waiting: {e}");
                return self.job.is_some() || !self.unwritten.is_empty();
            }
        };
        if ready.output
            && let Some(job) = &mut self.job
        {
            job.execution.take_output();
        }
        if ready.end
            && let Some(outcome) = self.job.as_ref().and_then(|job| job.execution.outcome())
        {
            self.job_ended(outcome);
        }
        if ready.event {
            self.handle_event();
        }
        if ready.order {
            self.read_orders();
        }
        true
    }

    /// Waits for something to be there.
    fn wait(&self, now: i64) -> io::Result<Ready> {
        let output = self.job.as_ref().and_then(|job| job.execution.readable());
        let server = self.server.as_ref().map(|s| s.stream.as_fd());
        let mut set = vec![PollFd::new(self.event_receiver.readable(), PollFlags::POLLIN)];
        let output_at = output.map(|fd| {
            set.push(PollFd::new(fd, PollFlags::POLLIN));
            set.len() - 1
        });
        let end_at = self.job.as_ref().and_then(|job| job.execution.end()).map(|fd| {
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
        Ok(Ready {
            output: output_at.is_some_and(ready),
            end: end_at.is_some_and(ready),
            event: ready(0),
            order: server_at.is_some_and(ready),
        })
    }

    fn timeout(&self, now: i64) -> PollTimeout {
        let mut at = Vec::new();
        match &self.job {
            Some(job) => {
                at.extend(job.kill_at.or(job.timeout_at).into_iter().chain(job.report_start_at));
                at.extend(job.postponed.as_ref().map(|retry| retry.at));
            }
            None if self.ended.is_empty() => at.push(self.idle_since + IDLE_MS),
            None => {}
        }
        if self.job.is_none() && self.spares.keep_one() {
            at.push(self.idle_since + SPARE_MS);
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

    /// Reports the start of a job that does not end in a moment. Sends SIGTERM when the attempt's
    /// time is over, and SIGKILL when SIGTERM has not helped.
    fn deadlines(&mut self, now: i64) {
        if self.job.as_ref().is_some_and(|job| job.report_start_at.is_some_and(|at| now >= at)) {
            self.report_start();
        }
        let is_due = |job: &mut Job| {
            job.kill_at.is_none() && job.postponed.as_ref().is_some_and(|retry| now >= retry.at)
        };
        if let Some(job) = self.job.take_if(is_due)
            && let Some(retry) = job.postponed
        {
            self.start(retry.run, retry.pause_ms);
        }
        let Some(job) = &mut self.job else { return };
        if job.timeout_at.is_some_and(|at| now >= at) {
            job.timeout_at = None;
            // A job that is being ended already has not timed out.
            if job.kill_at.is_none() {
                job.timed_out = true;
                job.stop(now);
            }
        }
        if job.kill_at.is_some_and(|at| now >= at) {
            // Again each second: a fork may have raced with the last one.
            job.kill_at = Some(now + 1000);
            job.execution.signal(Signal::SIGKILL);
        }
    }

    fn connect(&mut self, now: i64) {
        self.pause_ms = (self.pause_ms * 2).clamp(*RECONNECT_MS.start(), *RECONNECT_MS.end());
        self.reconnect_at = now + self.pause_ms;
        let Ok(stream) = UnixStream::connect(SOCKET) else { return };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
        self.server = Some(Server { stream, buffer: Vec::new() });
        let running = self.job.as_ref().and_then(Job::start);
        let starting = self.job.as_ref().filter(|_| running.is_none()).map(|job| job.attempt_id.clone());
        let is_starting = starting.is_some();
        let hello = Hello { runner: self.id.clone(), starting, running, ended: self.ended.clone() };
        self.send(&Greeting::Runner(hello));
        if is_starting {
            self.report_containers();
        }
    }

    fn send(&mut self, what: &impl serde::Serialize) {
        let Some(server) = &mut self.server else { return };
        let sent = serde_json::to_vec(what).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            server.stream.write_all(&line)
        });
        // A message that could not be sent is in the journal and in the next greeting. The server's
        // last orders are read to their end first: one of them may be a job for this runner.
        if sent.is_err() {
            let _ = server.stream.shutdown(std::net::Shutdown::Write);
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
                Ok(order) => self.handle_order(order),
                Err(e) => tracing::warn!("an order that is none: {e}"),
            }
        }
    }

    fn handle_order(&mut self, order: Order) {
        // A server speaks when what it has heard is on its disk: it is well.
        (self.pause_ms, self.reconnect_at) = (0, 0);
        match order {
            Order::Setup { environment } => self.environment = environment.into_iter().collect(),
            Order::Run(run) => self.begin(*run),
            Order::Stop { attempt_id } => {
                if let Some(job) =
                    self.job.as_mut().filter(|job| job.attempt_id == attempt_id && job.kill_at.is_none())
                {
                    job.stop(now_ms());
                }
            }
            Order::Forget { attempt_id, commit } => {
                self.ended.retain(|ended| ended.attempt_id != attempt_id);
                self.unwritten.retain(|ended| ended.attempt_id != attempt_id);
                if self.ended.is_empty() && self.job.is_none() {
                    self.journal.all_forgotten(commit);
                }
            }
        }
    }

    fn begin(&mut self, run: Run) {
        if self.job.is_some() {
            tracing::warn!("a second job while one runs; not taken");
            return;
        }
        let attempt_id = run.attempt_id.clone();
        let engine = run.container.as_ref().map(|c| c.engine.as_str());
        if let Err(e) = self.journal.taken(&attempt_id, (&run.job, run.attempt), engine) {
            // Not journalled, so not begun. The server hears it as an attempt that could not start.
            let reason = format!("CannotStartContainerError: journal: {}", space::words(&home(), &e));
            return self.end(ended_before_start(&attempt_id, 126, reason));
        }
        self.start(run, 0);
    }

    /// Starts an attempt. If the machine lacks a resource for it now, the start is tried again
    /// later: that is not the job's fault. `pause_ms` is the pause since the last try.
    fn start(&mut self, run: Run, pause_ms: i64) {
        let started = match run.container {
            Some(ref container) if !container.task.is_empty() => {
                match task::start(run.clone(), self.events.clone()) {
                    Ok(work) => Ok((Box::new(work) as Box<dyn Execution>, None)),
                    Err(e) => Err(process::CannotStart::without_a_program(&e)),
                }
            }
            Some(_) => match ContainerExecution::start(run.clone(), self.events.clone()) {
                Ok(work) => Ok((Box::new(work) as Box<dyn Execution>, None)),
                Err(e) => Err(process::CannotStart::without_a_program(&e)),
            },
            None => room_for_a_job()
                .map_err(|e| process::CannotStart::without_a_program(&e))
                .and_then(|()| {
                    HostExecution::start(&run, &self.environment, &mut self.unpacker, &mut self.spares)
                })
                .map(|work| {
                    let leader = work.leader();
                    (Box::new(work) as Box<dyn Execution>, Some(leader))
                }),
        };
        match started {
            Ok((work, leader)) => {
                let mut job = Job::new(&run, work);
                // A container reports its start.
                if let Some(leader) = leader {
                    let at = now_ms();
                    if let Err(e) = self.journal.started(&run.attempt_id, leader.as_raw(), at) {
                        tracing::warn!("writing the journal: {e}");
                    }
                    if job.execution.end().is_none() {
                        self.waiter.wait(&run.attempt_id, leader);
                    }
                    job.started(at);
                    job.report_start_at = Some(at + BRIEF_MS);
                }
                self.job = Some(job);
            }
            Err(process::CannotStart { reason, missing_resource: Some(missing_resource), .. }) => {
                let why = format!("{reason}: {missing_resource}");
                if pause_ms == 0 {
                    tracing::warn!("job {} waits to be started: {why}", run.job);
                }
                self.send(&Report::Delayed { job: run.job.clone(), why });
                let attempt_id = run.attempt_id.clone();
                let work = PostponedExecution { attempt_id, events: self.events.clone() };
                let mut job = Job::new(&run, Box::new(work));
                let pause_ms = (pause_ms * 2).clamp(*RETRY_MS.start(), *RETRY_MS.end());
                job.postponed = Some(Box::new(Retry { run, at: now_ms() + pause_ms, pause_ms }));
                self.job = Some(job);
            }
            Err(e) => self.end(ended_before_start(&run.attempt_id, e.exit_code, e.reason)),
        }
    }

    /// The server hears that the job runs.
    fn report_start(&mut self) {
        let Some(job) = &mut self.job else { return };
        job.report_start_at = None;
        if let Some(started) = job.start() {
            self.send(&Report::Started(started));
        }
    }

    /// The server hears of the containers that have begun.
    fn report_containers(&mut self) {
        let Some(job) = self.job.as_ref().filter(|job| !job.containers.is_empty()) else { return };
        let (attempt_id, containers) = (job.attempt_id.clone(), job.containers.clone());
        self.send(&Report::Containers { attempt_id, containers });
    }

    fn handle_event(&mut self) {
        let Some((attempt_id, event)) = self.event_receiver.receive() else { return };
        if self.job.as_ref().is_none_or(|job| job.attempt_id != attempt_id) {
            return;
        }
        match event {
            Event::Started { at, address, containers } => {
                if let Some(job) = &mut self.job {
                    job.started(at);
                    (job.address, job.containers) = (address, containers);
                }
                self.report_start();
            }
            Event::Containers(containers) => {
                if let Some(job) = &mut self.job {
                    job.containers = containers;
                }
                self.report_containers();
            }
            Event::Ended(outcome) => self.job_ended(outcome),
        }
    }

    fn job_ended(&mut self, outcome: Outcome) {
        let Some(mut job) = self.job.take() else { return };
        let lost_output = job.execution.finish().or(outcome.lost_output);
        let reasons: Vec<String> = outcome.reason.into_iter().chain(lost_output.clone()).collect();
        let mut containers = outcome.containers;
        for (end, log) in containers.iter_mut().zip(&job.container_logs) {
            end.output = length_of(log);
        }
        self.end(Ended {
            attempt_id: job.attempt_id,
            started_at: job.started_at,
            at: now_ms(),
            exit_code: outcome.exit_code,
            reason: Some(reasons.join("; ")).filter(|reasons| !reasons.is_empty()),
            timed_out: job.timed_out,
            lost: outcome.lost,
            lost_output,
            output: length_of(&job.log),
            containers,
        });
        self.cleaners.retain(|cleaner| !cleaner.is_finished());
        self.cleaners.extend(job.execution.clean(&mut self.spares));
    }

    /// Whether the journal has every end. Ends that could not be written (the disk was full) are
    /// tried again.
    fn all_written(&mut self) -> bool {
        self.unwritten.retain(|ended| self.journal.ended(ended).is_err());
        self.unwritten.is_empty()
    }

    fn end(&mut self, mut ended: Ended) {
        // The words of a shell or of an engine may repeat what a job's command or environment says.
        ended.reason = ended.reason.as_deref().map(masked);
        ended.lost_output = ended.lost_output.as_deref().map(masked);
        for container in &mut ended.containers {
            container.reason = container.reason.as_deref().map(masked);
        }
        if let Err(e) = self.journal.ended(&ended) {
            tracing::warn!("writing the journal: {e}");
            self.unwritten.push(ended.clone());
        }
        self.idle_since = now_ms();
        if self.server.is_none() {
            // One last look for a server before the runner goes.
            self.reconnect_at = 0;
        }
        self.ended.push(ended.clone());
        self.send(&Report::Ended(ended));
    }
}

/// The home: the working directory.
fn home() -> std::path::PathBuf {
    std::path::absolute(".").unwrap_or_default()
}

fn ended_before_start(attempt_id: &AttemptId, exit_code: i32, reason: String) -> Ended {
    Ended {
        attempt_id: attempt_id.clone(),
        started_at: None,
        at: now_ms(),
        exit_code: Some(exit_code),
        reason: Some(reason),
        timed_out: false,
        lost: false,
        lost_output: None,
        output: None,
        containers: Vec::new(),
    }
}

/// How many bytes a log stream's file has; a job that has printed nothing has none.
fn length_of(log: &str) -> Option<u64> {
    match std::fs::metadata(log) {
        Ok(meta) => Some(meta.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}
