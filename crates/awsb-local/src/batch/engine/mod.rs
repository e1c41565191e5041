//! The one writer: requests and runners' reports come in, a transaction holds what they change, and
//! only then are requests answered and runners told what to do.
//!
//! Whatever waits when a turn begins goes into one transaction, so a burst of requests costs one sync
//! of the disk. When a transaction fails (a full disk), nothing of it has happened: the requests are
//! answered with an error, the runners' connections are dropped, and the state is read from the disk
//! anew. Runners keep what they have not been told to forget and say it again when they come back:
//! recovery is the same code as a start after `kill -9`.
//!
//! | module     | what lives there                                                             |
//! |------------|------------------------------------------------------------------------------|
//! | `handle`   | what the rest of the server says to the engine and asks it                   |
//! | `turn`     | one turn: what waits, in one transaction, and what is owed once it is written |
//! | `runners`  | runners: what they report, who is lost, and starting new ones                |
//! | `orders`   | what a runner has to know of an attempt                                      |
//! | `recovery` | the state from the disk and the journals, and removing what is not needed    |

mod handle;
mod orders;
mod recovery;
mod runners;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

pub use self::handle::Handle;
use self::handle::Shared;
use super::database;
use super::model::JobKey;
use super::request::{Plan, Spec};
use super::resources::NotChanged;
use super::state::State;
use super::state::schedule::Layout;
use super::store::Store;
use crate::access::Keys;
use crate::capacity::Resources;
use crate::containers::{Containers, Place};
use crate::control::Link;
use crate::error::ApiError;
use crate::home::{BATCH_DATABASE, Home};
use crate::now_ms;
use crate::runner::protocol::{Hello, Report, RunnerId, TaskId};
use crate::space::{NoSpace, Reserve};

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
/// Why a job ends that cannot be run.
const DAMAGED: &str = "The record of this job is damaged, so it is not run";
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
    EndAll(Reply<()>),
    /// The server stops.
    Stop,
}

impl Message {
    /// Answers a request that has jobs ended.
    fn answer(self, outcome: Result<(), ApiError>) {
        if let Self::End { reply, .. } | Self::EndAll(reply) = self {
            let _ = reply.send(outcome);
        }
    }
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
        engine.store.say_harm(warnings);
        engine.look_for_losses(warnings)?;
        if engine.conditions.elsewhere {
            engine.from_elsewhere = engine.state.placed().map(|(current, _)| current.task.clone()).collect();
        }
        engine.tidy()?;
        Ok((engine, handle))
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        // Those that came behind one on which a turn has failed.
        let mut unheard: Vec<Message> = Vec::new();
        let mut stop = false;
        loop {
            let mut batch = std::mem::take(&mut unheard);
            if batch.is_empty() {
                match self.messages.recv_timeout(self.patience()) {
                    Ok(message) => batch.push(message),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            let room = LONGEST_TURN.saturating_sub(batch.len());
            batch.extend(self.messages.try_iter().take(room));
            stop = stop || batch.iter().any(|m| matches!(m, Message::Stop));
            match self.turn(batch, stop) {
                Ok(left) => unheard = left,
                Err(e) => {
                    // Without its state the engine must not hear anybody. The server ends, and the next one
                    // says what is wrong with the database, or goes on from there.
                    note!("error: {}", database::explained(&self.home.join(BATCH_DATABASE), e));
                    return;
                }
            }
            if stop && unheard.is_empty() {
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
}
