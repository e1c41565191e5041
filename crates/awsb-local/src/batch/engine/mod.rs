//! The engine: the one writer. Requests and runners' reports come in as messages, one transaction
//! holds what they change, and only then are requests answered and orders sent to runners.
//!
//! All messages that wait when a batch begins go into one transaction, so a burst of requests costs
//! one sync of the disk. When a transaction fails (a full disk), nothing of it has happened: the
//! requests are answered with an error, the runners' connections are dropped, and the state is read
//! from the disk again. Runners keep what the server has not told them to forget, and report it
//! again when they reconnect. So recovery is the same code as a start after `kill -9`.
//!
//! | module      | contents                                                                         |
//! |-------------|----------------------------------------------------------------------------------|
//! | here        | the engine, its loop, and when it wakes up                                       |
//! | `pending`   | replies and orders that are sent after the commit                                |
//! | `turn`      | one batch of messages in one transaction                                         |
//! | `runners`   | runners: what they report, which of them are lost, and starting new ones         |
//! | `run_order` | the order to run an attempt; pure                                                |
//! | `recovery`  | the state from the disk and the journals, and removing what is not needed        |

mod pending;
mod recovery;
mod run_order;
mod runners;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::handle::{self, Handle, Published};
use super::messages::Message;
use super::model::JobKey;
use super::request::Spec;
use super::state::State;
use super::state::scheduler::Layout;
use super::store::Store;
use crate::access::Keys;
use crate::capacity::Resources;
use crate::containers::host::Containers;
use crate::database;
use crate::home::Home;
use crate::home::files::BATCH_DATABASE;
use crate::home::space::{NoSpace, Reserve};
use crate::runner::link::Link;
use crate::runner::protocol::{AttemptId, ContainerState, RunnerId};
use crate::sessions::registry::Sessions;
use crate::time::now_ms;

/// How long reports of runners may be only in the page cache. Changes that clients have been
/// promised are synced at once.
const SYNC_AFTER_MS: i64 = 100;
/// How often a runner without a connection is checked.
const RUNNER_CHECK_MS: i64 = 20;
/// How long no attempt is started after the database failed, the disk was full, or a runner could
/// not be started.
const PAUSE_AFTER_FAILURE_MS: i64 = 1000;
/// How often the engine looks for ended jobs whose retention is over.
const EXPIRE_EVERY_MS: i64 = 60 * 60 * 1000;
/// The least time for which the journals of runners that are gone are stored: see
/// [`Engine::forget`].
const FORGET_AFTER_MS: i64 = 5000;
/// Why a job ends whose record is damaged.
const DAMAGED: &str = "The record of this job is damaged, so it is not run";
/// The most jobs that a warning names.
const MAX_NAMED: usize = 10;
/// The most messages in one transaction.
const MAX_BATCH: usize = 512;

/// The conditions under which jobs run.
#[derive(Debug)]
pub struct EngineConfig {
    /// The resources that all jobs together may have.
    pub capacity: Resources,
    /// The environment that every job on the host has, apart from its key pair.
    pub environment: Vec<(String, String)>,
    /// The keys of those that run.
    pub keys: Arc<Keys>,
    /// The sessions with those that run.
    pub sessions: Sessions,
    /// The retention of ended jobs and their logs, in milliseconds.
    pub retention_ms: i64,
    /// The last server ran on another machine, or before this machine was last started. No runner
    /// of it lives, and what their journals do not say may have been lost with the machine.
    pub is_new_host: bool,
}

/// The engine; see the module.
#[derive(Debug)]
pub struct Engine {
    home: PathBuf,
    store: Store,
    state: State,
    config: EngineConfig,
    /// The attempts that were placed when the last host went down.
    from_last_host: HashSet<AttemptId>,
    messages: Receiver<Message>,
    published: Arc<Published>,
    runners: HashMap<RunnerId, Runner>,
    containers: Containers,
    /// The runners whose order waits until the host of containers is ready.
    unprepared: HashSet<RunnerId>,
    /// The spec that was read last: children of an array have the same.
    last_spec: Option<(JobKey, Arc<(String, Spec)>)>,
    wal: Option<File>,
    sync_at: Option<i64>,
    paused_until: i64,
    /// Why the output of the job that ended last could not be stored, if so.
    output_problem: Option<String>,
    /// The space that is given up when the disk is full.
    reserve: Reserve,
    /// The shortage of space that keeps new work from being accepted.
    shortage: Option<NoSpace>,
    /// Why the last transaction failed, if so.
    failure: Option<String>,
    /// Why the last process could not be started, if so.
    delay: Option<String>,
    /// Nothing was started in the last batch because of that, or there has not been a batch.
    is_paused: bool,
    /// When the engine next looks for ended jobs whose retention is over.
    expire_at: i64,
    /// Runners that are gone and have reported everything.
    to_forget: Vec<RunnerId>,
    /// When their journals are removed next.
    forget_at: i64,
}

/// A runner, as the server sees it.
#[derive(Debug, Default)]
struct Runner {
    link: Option<Link>,
    /// The attempt that it has been given.
    attempt_id: Option<AttemptId>,
    /// The containers of the attempt that have begun, as far as the runner has reported them.
    containers: Vec<ContainerState>,
    /// The process, if this server has started it.
    child: Option<std::process::Child>,
    /// It is gone, and this is the state of what it has left on a Docker engine.
    leftovers: Option<Leftovers>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    BeingRemoved,
    Removed,
}

impl Engine {
    /// Reads the database and prepares the engine. It runs when [`Engine::run`] is called. Losses
    /// of the database are recovered from the runners' journals, and become warnings.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn open(
        home: &Home,
        store: Store,
        config: EngineConfig,
        containers: Containers,
        warnings: &mut Vec<String>,
    ) -> io::Result<(Self, Handle)> {
        let capacity = config.capacity;
        let (handle, messages, published) = handle::channel(home.path(), capacity);
        let mut engine = Self {
            home: home.path().to_owned(),
            store,
            state: State::new(capacity, Layout::default()),
            config,
            from_last_host: HashSet::new(),
            messages,
            published,
            runners: HashMap::new(),
            containers,
            unprepared: HashSet::new(),
            last_spec: None,
            wal: None,
            sync_at: None,
            paused_until: 0,
            output_problem: None,
            failure: None,
            reserve: Reserve::open(home.path()),
            shortage: None,
            delay: None,
            // Jobs may have waited for this server, and no other message may come.
            is_paused: true,
            expire_at: 0,
            to_forget: Vec::new(),
            forget_at: 0,
        };
        let path = engine.home.join(BATCH_DATABASE);
        engine.recover().map_err(|e| database::explained(&path, e))?;
        engine.store.report_damage(warnings);
        engine.find_losses(warnings)?;
        if engine.config.is_new_host {
            engine.from_last_host =
                engine.state.assigned().map(|(current, _)| current.attempt_id.clone()).collect();
        }
        engine.remove_leftovers()?;
        for (current, _) in engine.state.assigned() {
            engine.config.sessions.attempt_outlived_server(&current.attempt_id);
        }
        Ok((engine, handle))
    }

    /// Runs until the message to stop comes.
    pub fn run(mut self) {
        // The messages behind one on which a batch has failed.
        let mut unhandled: Vec<Message> = Vec::new();
        let mut stop = false;
        loop {
            let mut batch = std::mem::take(&mut unhandled);
            if batch.is_empty() {
                match self.messages.recv_timeout(self.wait_time()) {
                    Ok(message) => batch.push(message),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            let room = MAX_BATCH.saturating_sub(batch.len());
            batch.extend(self.messages.try_iter().take(room));
            stop = stop || batch.iter().any(|m| matches!(m, Message::Stop));
            match self.process_batch(batch, stop) {
                Ok(left) => unhandled = left,
                Err(e) => {
                    // Without its state the engine must not handle any message. The server ends.
                    // The next one reports what is wrong with the database, or goes on from there.
                    tracing::error!("{}", database::explained(&self.home.join(BATCH_DATABASE), e));
                    return;
                }
            }
            if stop && unhandled.is_empty() {
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

    /// How long there is nothing to do if no message comes.
    fn wait_time(&self) -> Duration {
        let now = now_ms();
        let has_silent = self.runners.values().any(|r| r.link.is_none());
        let at = [
            self.sync_at,
            has_silent.then_some(now + RUNNER_CHECK_MS),
            self.is_paused.then_some(self.paused_until),
            Some(self.expire_at),
            (!self.to_forget.is_empty()).then_some(self.forget_at),
            Some(now + 60_000),
        ];
        let ms = at.into_iter().flatten().min().map_or(60_000, |at| (at - now).max(0));
        Duration::from_millis(ms.unsigned_abs())
    }
}
