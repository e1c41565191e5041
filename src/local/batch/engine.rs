//! The one writer: requests and runners' reports come in, a transaction holds what they change, and
//! only then are requests answered and runners told what to do.
//!
//! Whatever waits when a turn begins goes into one transaction, so a burst of requests costs one sync
//! of the disk. When a transaction fails (a full disk), nothing of it has happened: the requests are
//! answered with an error, the runners' connections are dropped, and the state is read from the disk
//! anew. Runners keep what they have not been told to forget and say it again when they come back:
//! recovery is the same code as a start after `kill -9`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::container;
use super::database::{self, Missing};
use super::model::JobKey;
use super::request::{Plan, Spec};
use super::resources::{self, Kind, NotChanged};
use super::state::replay::Record;
use super::state::schedule::Layout;
use super::state::{Changes, Current, Effect, Job, State};
use super::store::Store;
use crate::local::access::Keys;
use crate::local::access::keys::Place as KeyPlace;
use crate::local::capacity::Resources;
use crate::local::containers::{Containers, Place};
use crate::local::control::Link;
use crate::local::error::ApiError;
use crate::local::home::{BATCH_DATABASE, Home, RUNNERS, SCRATCH};
use crate::local::process::lacking;
use crate::local::runner::protocol::{Ended, Hello, KILL_AFTER_MS, Order, Report, Run, RunnerId, TaskId};
use crate::local::runner::{self, Fate, Taken};
use crate::local::server::warn;
use crate::local::space::{NoSpace, Reserve};
use crate::local::{contents, logs, now_ms};

/// How long what runners have reported may be in the page cache only. What clients have been promised never is.
const SYNC_AFTER_MS: i64 = 100;
/// How often a runner that does not answer is looked at.
const LOOK_AGAIN_MS: i64 = 20;
/// How long nothing is started after a runner could not be started.
const AFTER_FAILURE_MS: i64 = 1000;
/// How often ended jobs are looked at: whether they have been kept long enough.
const EXPIRE_EVERY_MS: i64 = 60 * 60 * 1000;
/// How long the journals of runners that are gone are kept at least: see [`Engine::forget`].
const FORGET_AFTER_MS: i64 = 5000;
/// How many jobs a warning names at most.
const MOST_NAMED: usize = 10;
/// How much waits at most for one transaction.
const LONGEST_TURN: usize = 512;

/// How many jobs a snapshot of a queue shows (API, GetJobQueueSnapshot: "the first 100 RUNNABLE jobs").
const SNAPSHOT: usize = 100;

type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// Checks a request against what is there, and writes what it changes, in the writer's transaction.
pub type Change = Box<dyn FnOnce(&Store) -> Result<Value, NotChanged> + Send>;

/// Whether a change adds to what is on the disk. One that only removes is made on a full one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It adds.
    Space,
    /// It removes.
    NoSpace,
}

/// What the engine is told.
pub enum Message {
    /// SubmitJob, by the owner or with the key of a job.
    Submit(Box<Plan>, Option<JobKey>, Reply<String>),
    /// TerminateJob or CancelJob.
    End { id: String, reason: String, cancel: bool, reply: Reply<()> },
    /// A change to job definitions, queues, tags and the like.
    Change(Change, Needs, Reply<Value>),
    /// GetJobQueueSnapshot: the first of those who wait in a queue.
    Line(String, Reply<Vec<JobKey>>),
    /// A runner has connected.
    Hello(Hello, Link),
    /// A runner reports.
    Report(RunnerId, Report),
    /// A runner's connection has ended.
    Gone(RunnerId, u64),
    /// What containers need is ready, or cannot be: those who wait for it get their orders.
    Prepared(Result<Arc<Place>, String>),
    /// What a runner that is gone has left on a Docker engine is removed, as far as it can be now.
    Removed(RunnerId),
    /// Which attempts runners have.
    Placed(oneshot::Sender<HashSet<TaskId>>),
    /// All jobs are to end.
    EndAll,
    /// Answered when everything before it is done.
    Ping(Reply<()>),
    /// The server stops.
    Stop,
}

/// Under which conditions jobs run.
#[derive(Debug)]
pub struct Conditions {
    /// What they may have, together.
    pub capacity: Resources,
    /// The environment that every job on the host has, apart from its key pair.
    pub environment: Vec<(String, String)>,
    /// The keys of those that run.
    pub keys: Arc<Keys>,
    /// How long ended jobs and their logs are kept, in milliseconds.
    pub retention_ms: i64,
    /// The last server ran on another machine, or before this one was started: no runner of it lives,
    /// and what their journals do not say may have been lost with the machine.
    pub elsewhere: bool,
}

/// What the rest of the server knows of the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    messages: Sender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    home: PathBuf,
    active: AtomicBool,
    /// What there is, and what is free.
    resources: Mutex<(Resources, Resources)>,
    /// What keeps the engine from working as it should.
    trouble: Mutex<Option<String>>,
}

impl Handle {
    /// Submits a job, for the owner or for the job whose key it was submitted with; when this returns its ID,
    /// it is on the disk.
    pub async fn submit(&self, plan: Plan, submitter: Option<JobKey>) -> Result<String, ApiError> {
        self.ask(|reply| Message::Submit(Box::new(plan), submitter, reply)).await
    }

    /// Terminates or cancels a job.
    pub async fn end(&self, id: String, reason: String, cancel: bool) -> Result<(), ApiError> {
        self.ask(|reply| Message::End { id, reason, cancel, reply }).await
    }

    /// Changes job definitions, queues, tags and the like; when this returns, it is on the disk.
    pub async fn change(
        &self,
        change: impl FnOnce(&Store) -> Result<Value, NotChanged> + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.change_with(Needs::Space, change).await
    }

    /// The same for a change of which it is known whether it adds to what is on the disk.
    pub async fn change_with(
        &self,
        needs: Needs,
        change: impl FnOnce(&Store) -> Result<Value, NotChanged> + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.ask(|reply| Message::Change(Box::new(change), needs, reply)).await
    }

    /// The first jobs that wait in a queue, in the order in which they would start now.
    pub async fn line(&self, queue: String) -> Result<Vec<JobKey>, ApiError> {
        self.ask(|reply| Message::Line(queue, reply)).await
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, ApiError> {
        let stopping = || ApiError::server("The local cluster is stopping.");
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Tells the engine; one that has stopped need not hear it.
    pub fn tell(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    /// Which attempts runners have; `None` when the engine has stopped.
    pub async fn placed(&self) -> Option<HashSet<TaskId>> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Placed(reply)).ok()?;
        answer.await.ok()
    }

    /// Returns when everything that it has been told is done.
    ///
    /// # Errors
    /// When it stops, or could not do it.
    pub fn wait(&self) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Ping(reply));
        let answer = answer.blocking_recv().map_err(|_| io::Error::other("the engine has stopped"))?;
        answer.map_err(|e| io::Error::other(e.message))
    }

    /// The home.
    pub fn home(&self) -> &Path {
        &self.shared.home
    }

    /// What keeps jobs that wait from being started, when little space is left on the disk.
    pub fn lack(&self) -> Option<NoSpace> {
        Reserve::open(&self.shared.home).shortage(0)
    }

    /// What keeps it from working as it should, if anything does.
    pub fn trouble(&self) -> Option<String> {
        if let Some(lack) = self.lack() {
            return Some(lack.with_advice());
        }
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any job has not ended.
    pub fn is_active(&self) -> bool {
        self.shared.active.load(Ordering::Relaxed)
    }

    /// What this machine has, and what of it is free.
    pub fn resources(&self) -> (Resources, Resources) {
        *self.shared.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine; see the module.
#[derive(Debug)]
pub struct Engine {
    home: PathBuf,
    store: Store,
    state: State,
    conditions: Conditions,
    /// Attempts that were under way when the machine went away.
    from_elsewhere: HashSet<TaskId>,
    messages: Receiver<Message>,
    shared: Arc<Shared>,
    runners: HashMap<RunnerId, Runner>,
    containers: Containers,
    /// The runners whose order waits until what containers need is ready.
    unprepared: HashSet<RunnerId>,
    /// The spec that was read last: children of an array have the same.
    last_spec: Option<(JobKey, Arc<(String, Spec)>)>,
    wal: Option<File>,
    sync_at: Option<i64>,
    hold_until: i64,
    /// Why the output of the job that ended last could not be kept, if so.
    unkept: Option<String>,
    /// What is given up when the disk is full.
    reserve: Reserve,
    /// What keeps new things from being begun.
    lack: Option<NoSpace>,
    /// Why the last transaction failed, if so.
    failure: Option<String>,
    /// Why the last process could not be started, if so.
    delay: Option<String>,
    /// Nothing was started in the last turn because of that, or there has not been a turn.
    held: bool,
    /// When ended jobs are next looked at: whether they have been kept long enough.
    expire_at: i64,
    /// Runners that are gone and have told everything.
    to_forget: Vec<RunnerId>,
    /// When their journals are removed next.
    forget_at: i64,
}

/// A runner, as the server sees it.
#[derive(Debug, Default)]
struct Runner {
    link: Option<Link>,
    /// The attempt that it has been given.
    task: Option<TaskId>,
    /// The process, if this server has started it.
    child: Option<std::process::Child>,
    /// It is gone; what it has left on a Docker engine is being removed, or has been.
    remains: Option<Remains>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remains {
    BeingRemoved,
    Removed,
}

/// Answers a request, once it is known whether its transaction is on the disk.
type Answer = Box<dyn FnOnce(Result<(), ApiError>)>;

/// What a turn owes to others once it is on the disk.
#[derive(Default)]
struct Debts {
    answers: Vec<Answer>,
    /// Jobs that were to be ended: where the disk was full, that is done again with a part of the reserve.
    ends: Vec<Message>,
    orders: Vec<(RunnerId, Order)>,
    gone: Vec<RunnerId>,
}

impl Engine {
    /// Reads what the database has and readies the engine; it runs when [`Engine::run`] is called. What the
    /// database has lost is taken from the runners' journals, and said.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn open(
        home: &Home,
        store: Store,
        conditions: Conditions,
        containers: Containers,
        warnings: &mut Vec<String>,
    ) -> io::Result<(Self, Handle)> {
        let (sender, messages) = mpsc::channel();
        let capacity = conditions.capacity;
        let shared = Arc::new(Shared {
            home: home.path().to_owned(),
            active: AtomicBool::new(true),
            resources: Mutex::new((capacity, capacity)),
            trouble: Mutex::new(None),
        });
        let handle = Handle { messages: sender, shared: Arc::clone(&shared) };
        let mut engine = Self {
            home: home.path().to_owned(),
            store,
            state: State::new(capacity, Layout::default()),
            conditions,
            from_elsewhere: HashSet::new(),
            messages,
            shared,
            runners: HashMap::new(),
            containers,
            unprepared: HashSet::new(),
            last_spec: None,
            wal: None,
            sync_at: None,
            hold_until: 0,
            unkept: None,
            failure: None,
            reserve: Reserve::open(home.path()),
            lack: None,
            delay: None,
            // Jobs may have waited for this server, and nobody else may have anything to say.
            held: true,
            expire_at: 0,
            to_forget: Vec::new(),
            forget_at: 0,
        };
        let path = engine.home.join(BATCH_DATABASE);
        engine.recover().map_err(|e| database::explained(&path, e))?;
        if let Some(missing) = engine.store.missing().cloned() {
            engine.make_up_for(&missing, warnings)?;
        }
        if engine.conditions.elsewhere {
            engine.from_elsewhere = engine.state.placed().map(|(current, _)| current.task.clone()).collect();
        }
        engine.tidy()?;
        Ok((engine, handle))
    }

    /// The state as the disk has it. Runners that have jobs are waited for, or found to be gone.
    fn recover(&mut self) -> rusqlite::Result<()> {
        let now = now_ms();
        self.state = State::new(self.conditions.capacity, resources::layout(&self.store)?);
        // What was read in a transaction that did not come to be is not true.
        self.last_spec = None;
        for job in self.store.active()? {
            if let Some(current) = &job.current {
                self.runners.entry(current.runner.clone()).or_default().task = Some(current.task.clone());
            }
            self.state.restore(job, now);
        }
        self.state.restored(now);
        self.place_keys();
        let placed: HashSet<&RunnerId> = self.state.placed().map(|(current, _)| &current.runner).collect();
        for (id, runner) in &mut self.runners {
            runner.link = None;
            if !placed.contains(id) {
                runner.task = None;
            }
            // That they are gone may have been told in the turn that failed: it is asked for again.
            if runner.remains == Some(Remains::BeingRemoved) {
                runner.remains = None;
            }
        }
        Ok(())
    }

    /// The keys of all attempts that are placed, and of no others, are good.
    fn place_keys(&self) {
        let placed = self.state.placed().map(|(current, job)| (job.key, current.task.clone()));
        self.conditions.keys.place_all(placed);
    }

    /// The database has lost its last commits: what has begun and ended since is taken from the runners'
    /// journals, before anything is started again. What nobody else has written down is lost; that is said.
    fn make_up_for(&mut self, missing: &Missing, warnings: &mut Vec<String>) -> io::Result<()> {
        let now = now_ms();
        let path = self.home.join(BATCH_DATABASE);
        let failed = |e| database::explained(&path, e);
        let (mut records, mut unknown) = (Vec::new(), BTreeSet::new());
        for Taken { runner, task, job, attempt, ended } in runner::taken(&self.home)? {
            // Of jobs that ended so long ago the database has nothing left.
            let is_old = |ended: &Ended| ended.at < now - self.conditions.retention_ms;
            if ended.as_ref().is_some_and(is_old) {
                continue;
            }
            match self.store.find(&job).map_err(failed)? {
                Some(key) => {
                    records.push(Record { key, attempt, current: Current { task, runner }, ended });
                }
                None => {
                    unknown.insert(job.split([':', '#']).next().unwrap_or(&job).to_owned());
                }
            }
        }
        let resumed = self.state.replay(records, now);
        for (current, _) in self.state.placed() {
            self.runners.entry(current.runner.clone()).or_default().task = Some(current.task.clone());
        }
        let mut write = || -> rusqlite::Result<()> {
            self.store.begin(true)?;
            for (key, task) in &resumed {
                let node = self.state.job(*key).and_then(node_index);
                let spec = self.spec(*key)?;
                self.store.add_stream(
                    spec.1.log_group(node),
                    &spec.1.log_stream(node, task.as_str()),
                    *key,
                    now,
                )?;
            }
            // Who is to be started has been, and who is to be stopped is stopped when its runner comes back.
            let changes = self.state.take_changes();
            changes.jobs.iter().try_for_each(|job| self.store.save(job))?;
            changes.attempts.iter().try_for_each(|attempt| self.store.save_attempt(attempt))?;
            self.store.made_up_for()?;
            self.store.commit()
        };
        write().map_err(failed)?;
        self.place_keys();
        let mut warning = format!(
            "{missing}. {} attempts of jobs have been taken from the runners' journals instead",
            resumed.len()
        );
        if !unknown.is_empty() {
            let named: Vec<&str> = unknown.iter().take(MOST_NAMED).map(String::as_str).collect();
            warning.push_str(&format!(
                "; {} jobs that had begun are lost, and what of them still runs is ended: {}",
                unknown.len(),
                named.join(", ")
            ));
        }
        warning.push_str(". What was submitted or asked for last may be lost: `bstat` shows what is there");
        warn(warnings, warning);
        Ok(())
    }

    /// Removes the journals of runners that are gone and have told everything, once what they have told is
    /// in the database's own file: if its log should be damaged before that, the journals have it.
    fn forget(&mut self) {
        if !self.store.checkpoint() {
            self.forget_at = now_ms() + FORGET_AFTER_MS;
            return;
        }
        for gone in std::mem::take(&mut self.to_forget) {
            runner::forget(&self.home, &gone);
        }
    }

    fn forget_later(&mut self, gone: Vec<RunnerId>) {
        if self.to_forget.is_empty() {
            self.forget_at = now_ms() + FORGET_AFTER_MS;
        }
        self.to_forget.extend(gone);
    }

    /// Removes what runners that are gone have left, unless it still tells something.
    fn tidy(&mut self) -> io::Result<()> {
        let mut gone = Vec::new();
        for entry in std::fs::read_dir(self.home.join(RUNNERS))? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|n| n.split('.').next()).and_then(RunnerId::parse);
            if let Some(id) = id
                && !self.runners.contains_key(&id)
                && !runner::is_alive(&self.home, &id)
            {
                gone.push(id);
            }
        }
        self.forget_later(gone);
        let placed: HashSet<&str> = self.state.placed().map(|(current, _)| current.task.as_str()).collect();
        // A link may lead to the folder of another home, whose jobs run.
        if !contents::is_folder(&self.home.join(SCRATCH)) {
            return Ok(());
        }
        for entry in std::fs::read_dir(self.home.join(SCRATCH))? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| !placed.contains(name)) {
                self.remove_scratch(name);
            }
        }
        runner::sweep_links(&self.home, |task| placed.contains(task));
        Ok(())
    }

    /// Removes the working directory of an attempt; anything else that is there is not ours.
    fn remove_scratch(&self, task: &str) {
        let path = self.home.join(SCRATCH).join(task);
        if contents::is_id(task)
            && let Err(e) = contents::remove_tree(&path)
        {
            note!("removing {}: {e}", path.display());
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        loop {
            let first = match self.messages.recv_timeout(self.patience()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut batch: Vec<Message> = first.into_iter().collect();
            batch.extend(self.messages.try_iter().take(LONGEST_TURN));
            let stop = batch.iter().any(|m| matches!(m, Message::Stop));
            if let Err(e) = self.turn(batch, stop) {
                // Without its state the engine must not hear anybody. The server ends, and the next one
                // says what is wrong with the database, or goes on from there.
                note!("error: {}", database::explained(&self.home.join(BATCH_DATABASE), e));
                return;
            }
            if stop {
                self.sync();
                return;
            }
            if now_ms() >= self.expire_at {
                self.expire();
            }
            if !self.to_forget.is_empty() && now_ms() >= self.forget_at {
                self.forget();
            }
        }
    }

    /// How long there is nothing to do if nobody says anything.
    fn patience(&self) -> Duration {
        let now = now_ms();
        let looks = self.runners.values().any(|r| r.link.is_none());
        let at = [
            self.sync_at,
            looks.then_some(now + LOOK_AGAIN_MS),
            self.held.then_some(self.hold_until),
            Some(self.expire_at),
            (!self.to_forget.is_empty()).then_some(self.forget_at),
            Some(now + 60_000),
        ];
        let ms = at.into_iter().flatten().min().map_or(60_000, |at| (at - now).max(0));
        Duration::from_millis(ms.unsigned_abs())
    }

    fn turn(&mut self, batch: Vec<Message>, stop: bool) -> rusqlite::Result<()> {
        let batch = self.with_space(batch);
        let durable = batch
            .iter()
            .any(|m| matches!(m, Message::Submit(..) | Message::End { .. } | Message::Change(..)));
        let mut debts = Debts::default();
        let before = self.store.total_changes();
        let outcome = self.transact(batch, durable, stop, &mut debts);
        match outcome {
            Ok(changes) => {
                // A turn in which there was nothing to write proves nothing, and has synced nothing.
                if self.store.total_changes() != before {
                    self.failure = None;
                    self.say_trouble();
                    if durable {
                        self.sync_at = None;
                    } else if self.sync_at.is_none() {
                        self.sync_at = Some(now_ms() + SYNC_AFTER_MS);
                    }
                    if self.lack.is_some() {
                        self.store.checkpoint();
                    }
                }
                for job in &changes.jobs {
                    self.conditions.keys.place(job.key, job.current.as_ref().map(|current| &current.task));
                }
                debts.answers.into_iter().for_each(|answer| answer(Ok(())));
                for end in debts.ends {
                    if let Message::End { reply, .. } = end {
                        let _ = reply.send(Ok(()));
                    }
                }
                for (runner, order) in &debts.orders {
                    self.order(runner, order);
                }
                self.effects(changes.effects);
                self.forget_later(debts.gone);
            }
            Err(e) => {
                let now = now_ms();
                let lack = NoSpace::of_database(&self.home, &e);
                self.failure = Some(match &lack {
                    Some(lack) => lack.with_advice(),
                    None => format!("the database {BATCH_DATABASE}: {e}"),
                });
                self.say_trouble();
                if now >= self.hold_until {
                    note!("database: {e}");
                    self.hold_until = now + AFTER_FAILURE_MS;
                }
                let error = match &lack {
                    Some(lack) => ApiError::no_space(lack),
                    None => ApiError::of_database(&e),
                };
                debts.answers.into_iter().for_each(|answer| answer(Err(error.clone())));
                self.store.rollback();
                let again = lack.is_some() && self.reserve.give();
                if lack.is_some() {
                    self.store.checkpoint();
                }
                self.recover()?;
                if again && !debts.ends.is_empty() {
                    return self.turn(debts.ends, stop);
                }
                for end in debts.ends {
                    if let Message::End { reply, .. } = end {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
        }
        self.say_trouble();
        self.shared.active.store(self.state.is_active(), Ordering::Relaxed);
        *self.shared.resources.lock().unwrap_or_else(PoisonError::into_inner) = self.state.resources();
        if self.sync_at.is_some_and(|at| now_ms() >= at) {
            self.sync();
        }
        Ok(())
    }

    /// What of a batch can be begun with the space that is left: where there is little, what adds to it is refused,
    /// and jobs that wait go on waiting.
    fn with_space(&mut self, batch: Vec<Message>) -> Vec<Message> {
        let lack = self.reserve.lack();
        if lack.is_some() != self.lack.is_some() {
            match &lack {
                Some(lack) => note!("{lack}: nothing new is begun"),
                None => {
                    note!("there is space on the disk again");
                    self.failure = None;
                }
            }
        }
        self.lack = lack;
        self.say_trouble();
        let Some(lack) = &self.lack else { return batch };
        self.hold_until = self.hold_until.max(now_ms() + AFTER_FAILURE_MS);
        let refused = ApiError::no_space(lack);
        let mut left = Vec::with_capacity(batch.len());
        for message in batch {
            match message {
                Message::Submit(_, _, reply) => drop(reply.send(Err(refused.clone()))),
                Message::Change(_, Needs::Space, reply) => drop(reply.send(Err(refused.clone()))),
                other => left.push(other),
            }
        }
        left
    }

    /// Jobs cannot be started now, and are tried again.
    fn delayed(&mut self, what: String) {
        self.delay = Some(what);
        self.say_trouble();
    }

    /// Tells what keeps the engine from working as it should: what keeps most from being done comes first.
    fn say_trouble(&self) {
        let lack = self.lack.as_ref().map(NoSpace::with_advice);
        let what = lack.or(self.failure.clone()).or(self.delay.clone()).or(self.unkept.clone());
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *trouble != what {
            *trouble = what;
        }
    }

    /// Removes jobs that have been kept long enough, a few at a time, and their log streams. The files go
    /// first: if they cannot, or we are killed, the jobs are still there for the next time.
    fn expire(&mut self) {
        let now = now_ms();
        self.expire_at = now + EXPIRE_EVERY_MS;
        let outcome = self.store.expired(now - self.conditions.retention_ms).and_then(|jobs| {
            for job in &jobs {
                for (group, stream) in &job.streams {
                    match std::fs::remove_file(self.home.join(logs::file_of(group, stream))) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => note!("removing a log stream: {e}"),
                        _ => {}
                    }
                }
            }
            self.store.begin(false)?;
            for job in &jobs {
                self.store.remove(job)?;
            }
            self.store.commit()?;
            Ok(jobs.len())
        });
        match outcome {
            Ok(0) => {}
            // There may be more of them; requests go first.
            Ok(_) => self.expire_at = now,
            Err(e) => {
                note!("removing old jobs: {e}");
                self.store.rollback();
            }
        }
    }

    /// Puts on the disk what is in the page cache only.
    fn sync(&mut self) {
        self.sync_at = None;
        // The log's descriptor stays open: the file lives as long as our connection does.
        if self.wal.is_none() {
            self.wal = File::open(self.home.join(format!("{BATCH_DATABASE}-wal"))).ok();
        }
        match self.wal.as_ref().map(File::sync_data) {
            Some(Ok(())) => self.store.synced(),
            Some(Err(e)) => note!("syncing the database: {e}"),
            None => {}
        }
    }

    fn transact(
        &mut self,
        batch: Vec<Message>,
        durable: bool,
        stop: bool,
        debts: &mut Debts,
    ) -> rusqlite::Result<Changes> {
        self.store.begin(durable)?;
        for message in batch {
            self.hear(message, debts)?;
        }
        self.look_for_the_lost(debts);
        self.held = now_ms() < self.hold_until;
        if !stop && !self.held {
            let runners = &mut self.runners;
            self.state.schedule(now_ms(), || place(runners));
        }
        let changes = self.state.take_changes();
        let now = now_ms();
        for job in &changes.jobs {
            self.store.save(job)?;
        }
        for attempt in &changes.attempts {
            self.store.save_attempt(attempt)?;
        }
        for effect in &changes.effects {
            if let Effect::Start(key) = effect
                && let Some(task) = self.state.job(*key).and_then(|job| job.last_task.clone())
            {
                let node = self.state.job(*key).and_then(node_index);
                let spec = self.spec(*key)?;
                let stream = spec.1.log_stream(node, task.as_str());
                self.store.add_stream(spec.1.log_group(node), &stream, *key, now)?;
            }
        }
        self.store.commit()?;
        Ok(changes)
    }

    fn hear(&mut self, message: Message, debts: &mut Debts) -> rusqlite::Result<()> {
        let now = now_ms();
        match message {
            Message::Submit(plan, submitter, reply) => {
                return self.submit(*plan, submitter, reply, now, debts);
            }
            Message::Change(change, _, reply) => match change(&self.store) {
                Ok(answer) => {
                    owe(debts, reply, answer);
                    self.state.configure(resources::layout(&self.store)?, now);
                    self.last_spec = None;
                }
                Err(NotChanged::Refused(why)) => {
                    let _ = reply.send(Err(why));
                }
                Err(NotChanged::Database(e)) => {
                    owe(debts, reply, Value::Null);
                    return Err(e);
                }
            },
            Message::Line(queue, reply) => {
                let _ = reply.send(Ok(self.state.line(&queue, now, SNAPSHOT)));
            }
            Message::End { id, reason, cancel, reply } => match self.store.find(&id) {
                Ok(Some(key)) => {
                    match cancel {
                        true => self.state.cancel(key, &reason, now),
                        false => self.state.terminate(key, &reason, now),
                    }
                    debts.ends.push(Message::End { id, reason, cancel, reply });
                }
                Ok(None) => {
                    let _ = reply.send(Err(ApiError::client(format!("Job {id} not found"))));
                }
                Err(e) => {
                    owe(debts, reply, ());
                    return Err(e);
                }
            },
            Message::Hello(hello, link) => self.welcome(hello, link, debts),
            Message::Report(runner, report) => self.report(&runner, &report, debts),
            Message::Gone(id, number) => {
                if let Some(runner) = self.runners.get_mut(&id)
                    && runner.link.as_ref().is_some_and(|link| link.number == number)
                {
                    runner.link = None;
                }
            }
            Message::Prepared(place) => {
                for id in std::mem::take(&mut self.unprepared) {
                    self.give(id, Some(&place), debts);
                }
            }
            Message::Removed(id) => {
                if let Some(runner) = self.runners.get_mut(&id) {
                    runner.remains = Some(Remains::Removed);
                }
            }
            Message::Placed(reply) => {
                let placed = self.state.placed().map(|(current, _)| current.task.clone());
                let _ = reply.send(placed.collect());
            }
            Message::EndAll => {
                for key in self.state.parents() {
                    self.state.terminate(key, "The local cluster is reset", now);
                }
            }
            Message::Ping(reply) => owe(debts, reply, ()),
            Message::Stop => {}
        }
        Ok(())
    }

    fn submit(
        &mut self,
        mut plan: Plan,
        submitter: Option<JobKey>,
        reply: Reply<String>,
        now: i64,
        debts: &mut Debts,
    ) -> rusqlite::Result<()> {
        let mut add = || -> rusqlite::Result<Result<String, ApiError>> {
            match self.store.dependencies(&plan)? {
                Ok(found) => plan.terms.depends_on = found,
                Err(refused) => return Ok(Err(refused)),
            }
            // It may have been deleted since the request was checked.
            let queue = &plan.terms.line.queue;
            if self.store.resource(Kind::Queue, queue)?.is_none() {
                return Ok(Err(ApiError::client(format!("Job queue {queue} not found"))));
            }
            let ended = self.store.outcomes(&plan.terms.depends_on, plan.size.unwrap_or(0))?;
            let id = uuid::Uuid::new_v4().to_string();
            let key = self.store.add(&id, &plan, submitter, now)?;
            self.state.submit(key, plan.size, &Arc::new(plan.terms.clone()), &ended, now);
            Ok(Ok(id))
        };
        match add() {
            Ok(Ok(id)) => {
                owe(debts, reply, id);
                Ok(())
            }
            Ok(Err(refused)) => {
                let _ = reply.send(Err(refused));
                Ok(())
            }
            Err(e) => {
                owe(debts, reply, String::new());
                Err(e)
            }
        }
    }

    fn report(&mut self, id: &RunnerId, report: &Report, debts: &mut Debts) {
        match report {
            Report::Started(started) => {
                self.delay = None;
                self.state.started(started);
            }
            Report::Delayed { job, why } => self.delayed(format!("job {job} waits to be started: {why}")),
            Report::Ended(ended) => {
                if ended.started_at.is_some() {
                    self.delay = None;
                }
                self.state.attempt_ended(ended);
                self.unkept = ended.unkept.as_ref().map(|why| format!("a job's output was not kept: {why}"));
                if let Some(runner) = self.runners.get_mut(id)
                    && runner.task.as_ref() == Some(&ended.task)
                {
                    runner.task = None;
                }
                debts.orders.push((id.clone(), Order::Forget { task: ended.task.clone() }));
            }
        }
    }

    /// A runner has connected: a new one, or one that comes back, with what it has to say.
    fn welcome(&mut self, hello: Hello, link: Link, debts: &mut Debts) {
        let id = hello.runner;
        let runner = self.runners.entry(id.clone()).or_default();
        runner.link = Some(link);
        debts.orders.push((id.clone(), Order::Setup { environment: self.conditions.environment.clone() }));
        for ended in &hello.ended {
            self.report(&id, &Report::Ended(ended.clone()), debts);
        }
        if let Some(started) = &hello.running {
            self.state.started(started);
        }
        if let Some(task) = hello.running.map(|started| started.task).or(hello.starting) {
            // A runner that runs what nobody knows, or what is to end.
            if self.state.is_to_end(&task) {
                debts.orders.push((id.clone(), Order::Stop { task: task.clone() }));
            }
            if let Some(runner) = self.runners.get_mut(&id) {
                runner.task = Some(task);
            }
        } else {
            self.give(id, None, debts);
        }
    }

    /// A runner that is connected has an attempt on record that it has not begun: the order was lost, was
    /// never sent, or waits for `place`.
    fn give(&mut self, id: RunnerId, place: Option<&Result<Arc<Place>, String>>, debts: &mut Debts) {
        let Some(runner) = self.runners.get_mut(&id).filter(|runner| runner.link.is_some()) else { return };
        let Some(task) = runner.task.clone() else { return };
        let Some(key) = self.state.by_task(&task).map(|job| job.key) else { return };
        if self.state.is_to_end(&task) {
            runner.task = None;
            self.never_began(&task);
            return;
        }
        match self.order_to_run(key, place) {
            Ok(Some(order)) => debts.orders.push((id, order)),
            Ok(None) => {}
            Err(e) => note!("database: {e}"),
        }
    }

    /// An attempt that never began has no log stream either.
    fn never_began(&mut self, task: &TaskId) {
        if let Some(job) = self.state.by_task(task) {
            let (key, node) = (job.key, node_index(job));
            let removed = self.spec(key).and_then(|spec| {
                let stream = spec.1.log_stream(node, task.as_str());
                self.store.remove_stream(spec.1.log_group(node), &stream)
            });
            if let Err(e) = removed {
                note!("database: {e}");
            }
        }
        self.state.attempt_never_began(task, now_ms());
    }

    /// Runners without a connection: those that live come back; those that are gone have left a journal.
    fn look_for_the_lost(&mut self, debts: &mut Debts) {
        let silent: Vec<RunnerId> =
            self.runners.iter().filter(|(_, r)| r.link.is_none()).map(|(id, _)| id.clone()).collect();
        let mut has_lost = false;
        for id in silent {
            let Some(runner) = self.runners.get_mut(&id) else { continue };
            let alive = match &mut runner.child {
                // It may not have taken its lock yet.
                Some(child) => matches!(child.try_wait(), Ok(None)),
                None => runner::is_alive(&self.home, &id),
            };
            if alive {
                continue;
            }
            let Some(task) = runner.task.clone() else {
                self.runners.remove(&id);
                debts.gone.push(id);
                continue;
            };
            if runner.remains == Some(Remains::BeingRemoved) {
                continue;
            }
            // One whose order has to wait for a Docker engine goes when it has been idle for long enough.
            let ours = runner.child.is_some() && !self.unprepared.remove(&id);
            match runner::fate_of(&self.home, &id, &task) {
                // The next attempt shall not run beside this one's container.
                Ok(Fate::Abandoned(engine)) if runner.remains.is_none() => {
                    runner.remains = Some(Remains::BeingRemoved);
                    self.containers.remove(id, task, engine);
                    continue;
                }
                Ok(Fate::Abandoned(_)) => self.state.attempt_lost(&task, now_ms()),
                // A journal that went down with the machine may be shorter than what happened.
                Ok(Fate::NeverBegan) if self.from_elsewhere.contains(&task) => {
                    self.state.attempt_lost(&task, now_ms());
                }
                Ok(Fate::NeverBegan) => {
                    self.never_began(&task);
                    // A runner that died before it could say anything: so may the next one.
                    if ours {
                        note!("runner {} ended before it had begun", id.as_str());
                        self.hold_until = now_ms() + AFTER_FAILURE_MS;
                    }
                }
                Ok(Fate::Ended(ended)) => self.state.attempt_ended(&ended),
                Ok(Fate::Lost) => {
                    self.state.attempt_lost(&task, now_ms());
                    self.remove_scratch(task.as_str());
                    has_lost = true;
                }
                Err(e) => {
                    // It may be read some day; until then nobody knows, and nothing is begun again.
                    let what = format!("what became of an attempt is not known: reading its journal: {e}");
                    if self.delay.as_ref() != Some(&what) {
                        note!("{what}");
                    }
                    self.delayed(what);
                    continue;
                }
            }
            self.runners.remove(&id);
            debts.gone.push(id);
        }
        if has_lost {
            let runs: HashSet<&str> = self.state.placed().map(|(current, _)| current.task.as_str()).collect();
            runner::sweep_links(&self.home, |task| runs.contains(task));
        }
    }

    fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(key) => self.start(key),
                Effect::Stop(runner, task) => self.order(&runner, &Order::Stop { task }),
            }
        }
    }

    fn start(&mut self, key: JobKey) {
        let Some(id) = self.state.job(key).and_then(|job| job.current.as_ref()).map(|c| c.runner.clone())
        else {
            return;
        };
        let Some(runner) = self.runners.get_mut(&id) else { return };
        if runner.link.is_some() {
            match self.order_to_run(key, None) {
                Ok(Some(order)) => self.order(&id, &order),
                Ok(None) => {}
                Err(e) => note!("database: {e}"),
            }
            return;
        }
        // A new one: it is told what to run when it has connected.
        match spawn(&self.home, &id) {
            Ok(child) => runner.child = Some(child),
            Err(e) => {
                let why = lacking(&e).map(|what| format!(": {what}")).unwrap_or_default();
                let trouble = format!("starting a runner: {e}{why}");
                note!("{trouble}");
                self.delayed(trouble);
                self.hold_until = now_ms() + AFTER_FAILURE_MS;
            }
        }
    }

    /// What a runner has to know of the attempt that a job is in. A container needs a `place`: without
    /// one there is no order yet, and what is needed is prepared.
    fn order_to_run(
        &mut self,
        key: JobKey,
        place: Option<&Result<Arc<Place>, String>>,
    ) -> rusqlite::Result<Option<Order>> {
        let spec = self.spec(key)?;
        let Some(job) = self.state.job(key) else { return Ok(None) };
        let Some(current) = &job.current else { return Ok(None) };
        let (parent_id, spec) = (&spec.0, &spec.1);
        let node = node_index(job);
        let contained = container::is_contained(spec.container(node));
        let main_node = job.node().and_then(|(parent, _, main)| self.state.job(parent.child(main)));
        if contained && place.is_none() {
            self.unprepared.insert(current.runner.clone());
            self.containers.prepare();
            return Ok(None);
        }
        let place_of_key = if contained { KeyPlace::Container } else { KeyPlace::Host };
        let credentials = self.conditions.keys.of_attempt(&current.task, place_of_key);
        // What the job itself sets comes later and wins.
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), credentials.secret_access_key),
        ];
        environment.extend(spec.environment(node));
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        set("AWS_BATCH_JQ_NAME", job.terms.line.queue.clone());
        if let Some(room) = &job.room {
            set("AWS_BATCH_CE_NAME", room.environment.clone());
            // A container sees its own GPUs only, and the engine says which these are.
            if !room.gpus.is_empty() && !contained {
                let gpus: Vec<String> = room.gpus.iter().map(u32::to_string).collect();
                // What CUDA reads, and what NVIDIA's container runtime and ECS set.
                set("CUDA_VISIBLE_DEVICES", gpus.join(","));
                set("NVIDIA_VISIBLE_DEVICES", gpus.join(","));
            }
        }
        let id = match (job.child, &job.terms.nodes) {
            (None, _) => parent_id.clone(),
            (Some((_, index)), Some(_)) => format!("{parent_id}#{index}"),
            (Some((_, index)), None) => format!("{parent_id}:{index}"),
        };
        set("AWS_BATCH_JOB_ID", id.clone());
        match (job.child, &job.terms.nodes) {
            (None, _) => {}
            (Some((_, index)), Some(nodes)) => {
                set("AWS_BATCH_JOB_NODE_INDEX", index.to_string());
                set("AWS_BATCH_JOB_NUM_NODES", nodes.count().to_string());
                set("AWS_BATCH_JOB_MAIN_NODE_INDEX", nodes.main.to_string());
                // Processes are all on this machine. A container that had no address has ended, and so has
                // its job.
                let address = match main_node {
                    Some(main) if contained => main.address,
                    _ => Some(Ipv4Addr::LOCALHOST),
                };
                if let Some(address) = address.filter(|_| index != nodes.main) {
                    set("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", address.to_string());
                }
            }
            (Some((parent, index)), None) => {
                set("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string());
                let size = self.state.job(parent).and_then(|p| p.children).map_or(0, |c| c.size());
                set("AWS_BATCH_JOB_ARRAY_SIZE", size.to_string());
            }
        }
        set("AWS_BATCH_JOB_ATTEMPT", job.attempts.to_string());
        let mut command = spec.command(node);
        let container = place.filter(|_| contained).map(|place| {
            let attempt = container::Attempt {
                job_id: &id,
                task: &current.task,
                again: job.attempts > 1,
                command: std::mem::take(&mut command),
                environment: std::mem::take(&mut environment),
                gpus: job.room.as_ref().map(|room| room.gpus.as_slice()).unwrap_or_default(),
                main_node: main_node.and_then(|main| main.last_task.as_ref()),
            };
            Box::new(container::order(
                spec.container(node),
                attempt,
                place.as_deref().map_err(String::as_str),
            ))
        });
        Ok(Some(Order::Run(Box::new(Run {
            task: current.task.clone(),
            job: id,
            attempt: job.attempts,
            command,
            environment,
            limits: spec.limits(node),
            container,
            log: logs::file_of(spec.log_group(node), &spec.log_stream(node, current.task.as_str())),
            // User Guide, job-lifecycle: the timeout of a multi-node job "applies to the whole job and not
            // to the nodes", and its end is the main node's.
            timeout_ms: job
                .terms
                .timeout_s
                .filter(|_| job.node().is_none_or(|(_, index, main)| index == main))
                .map(|s| i64::from(s) * 1000),
            kill_after_ms: KILL_AFTER_MS,
        }))))
    }

    /// The ID of a job (of the parent, for a child) and what it does.
    fn spec(&mut self, key: JobKey) -> rusqlite::Result<Arc<(String, Spec)>> {
        let owner = self.state.job(key).and_then(|job| job.child).map_or(key, |(parent, _)| parent);
        if let Some((of, spec)) = &self.last_spec
            && *of == owner
        {
            return Ok(Arc::clone(spec));
        }
        let spec = Arc::new((self.store.id(owner)?, self.store.spec(owner)?));
        self.last_spec = Some((owner, Arc::clone(&spec)));
        Ok(spec)
    }

    fn order(&mut self, id: &RunnerId, order: &Order) {
        let Some(runner) = self.runners.get_mut(id) else { return };
        if let Some(link) = &mut runner.link
            && let Err(e) = link.send(order)
        {
            // It is told again when it comes back, or its journal says what happened.
            note!("telling runner {}: {e}", id.as_str());
            runner.link = None;
        }
    }
}

/// The index of a multi-node job's node.
fn node_index(job: &Job) -> Option<u32> {
    job.node().map(|(_, index, _)| index)
}

/// A runner for one more attempt: one that waits, or one that is yet to be started.
fn place(runners: &mut HashMap<RunnerId, Runner>) -> Current {
    let task = TaskId::random();
    let idle = runners.iter_mut().find(|(_, r)| r.link.is_some() && r.task.is_none());
    let runner = match idle {
        Some((id, runner)) => {
            runner.task = Some(task.clone());
            id.clone()
        }
        None => {
            let id = RunnerId::random();
            runners.insert(id.clone(), Runner { task: Some(task.clone()), ..Runner::default() });
            id
        }
    };
    Current { task, runner }
}

fn owe<T: 'static>(debts: &mut Debts, reply: Reply<T>, value: T) {
    debts.answers.push(Box::new(move |outcome| {
        let _ = reply.send(outcome.map(|()| value));
    }));
}

/// Starts a runner: `blocal runner ID` in the home. Nothing of this process' environment goes with it.
fn spawn(home: &std::path::Path, id: &RunnerId) -> io::Result<std::process::Child> {
    // On Linux the program is there under this name even when its file has been replaced.
    #[cfg(target_os = "linux")]
    let program = PathBuf::from("/proc/self/exe");
    #[cfg(not(target_os = "linux"))]
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(program);
    {
        use std::os::unix::process::CommandExt;
        command.arg0("blocal");
    }
    command
        .args(["runner", id.as_str()])
        .current_dir(home)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
}
