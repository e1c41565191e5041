//! The rest of the server's handle to the engine.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::messages::{Ending, Message, Needs, Reply, RunningTask, UnknownJobs};
use super::model::{JobKey, QueueSnapshot};
use super::request::SubmitPlan;
use super::resources::ChangeError;
use super::store::Store;
use crate::capacity::Resources;
use crate::home::space::{NoSpace, Reserve};
use crate::http::protocol::ApiError;
use crate::runner::protocol::AttemptId;

/// Sends messages to the engine, and reads what the engine publishes.
#[derive(Debug, Clone)]
pub struct Handle {
    messages: Sender<Message>,
    published: Arc<Published>,
}

/// The state that the engine publishes for everybody.
#[derive(Debug)]
pub struct Published {
    home: PathBuf,
    is_active: AtomicBool,
    /// The resources in total, and the free ones.
    resources: Mutex<(Resources, Resources)>,
    /// The problem that keeps the engine from working as it should.
    problem: Mutex<Option<String>>,
}

impl Published {
    /// Publishes whether any job has not ended, and the resources in total and free.
    pub fn set_load(&self, is_active: bool, resources: (Resources, Resources)) {
        self.is_active.store(is_active, Ordering::Relaxed);
        *self.resources.lock().unwrap_or_else(PoisonError::into_inner) = resources;
    }

    /// Publishes the problem that keeps the engine from working as it should, if there is one.
    pub fn set_problem(&self, new: Option<String>) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *problem != new {
            *problem = new;
        }
    }
}

/// A handle, and the engine's end of it.
pub fn channel(home: &Path, capacity: Resources) -> (Handle, Receiver<Message>, Arc<Published>) {
    let (sender, receiver) = mpsc::channel();
    let published = Arc::new(Published {
        home: home.to_owned(),
        is_active: AtomicBool::new(true),
        resources: Mutex::new((capacity, capacity)),
        problem: Mutex::new(None),
    });
    (Handle { messages: sender, published: Arc::clone(&published) }, receiver, published)
}

impl Handle {
    /// Submits a job, for the owner or for the job whose key it was submitted with. When this
    /// returns the ID, the job is on the disk.
    pub async fn submit(&self, plan: SubmitPlan, submitter: Option<JobKey>) -> Result<String, ApiError> {
        self.ask(|reply| Message::Submit(Box::new(plan), submitter, reply)).await
    }

    /// Terminates or cancels jobs, in one transaction.
    pub async fn end(
        &self,
        ids: Vec<String>,
        reason: String,
        ending: Ending,
        unknown: UnknownJobs,
    ) -> Result<(), ApiError> {
        self.ask(|reply| Message::End { ids, reason, ending, unknown, reply }).await
    }

    /// Changes job definitions, queues, tags and the like. When this returns, the change is on the
    /// disk.
    pub async fn change(
        &self,
        change: impl FnOnce(&Store) -> Result<Value, ChangeError> + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.change_with(Needs::Space, change).await
    }

    /// The same for a change that says whether it adds to what is on the disk.
    pub async fn change_with(
        &self,
        needs: Needs,
        change: impl FnOnce(&Store) -> Result<Value, ChangeError> + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.ask(|reply| Message::Change(Box::new(change), needs, reply)).await
    }

    /// The first jobs that wait in a queue, and the vCPUs that its jobs use.
    pub async fn queue_snapshot(&self, queue: String) -> Result<QueueSnapshot, ApiError> {
        self.ask(|reply| Message::QueueSnapshot(queue, reply)).await
    }

    /// How much of each consumable resource jobs hold, by its name.
    pub async fn in_use(&self) -> Result<BTreeMap<String, u64>, ApiError> {
        self.ask(Message::InUse).await
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, ApiError> {
        let stopping = || ApiError::server("The local cluster is stopping.");
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Sends a message. An engine that has stopped needs none.
    pub fn send(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    /// Which attempts runners have; `None` when the engine has stopped.
    pub async fn assigned(&self) -> Option<HashSet<AttemptId>> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Assigned(reply)).ok()?;
        answer.await.ok()
    }

    /// The task of an attempt that is about to run, or runs.
    ///
    /// # Errors
    /// When the engine stops.
    pub async fn task(&self, attempt_id: AttemptId) -> Result<Option<RunningTask>, ApiError> {
        let stopping = |_| ApiError::server("The local cluster is stopping.");
        let (reply, answer) = oneshot::channel();
        self.send(Message::Task(attempt_id, reply));
        answer.await.map_err(stopping)
    }

    /// Ends all jobs. When this returns, that is on the disk.
    ///
    /// # Errors
    /// When the engine stops, or could not do it.
    pub fn end_all(&self) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::EndAll(reply));
        let answer = answer.blocking_recv().map_err(|_| io::Error::other("the engine has stopped"))?;
        answer.map_err(|e| io::Error::other(e.message))
    }

    /// The home.
    pub fn home(&self) -> &Path {
        &self.published.home
    }

    /// The shortage of space on the disk that keeps jobs that wait from being started, if there is
    /// one.
    pub fn shortage(&self) -> Option<NoSpace> {
        Reserve::open(&self.published.home).shortage(0)
    }

    /// The problem that keeps the engine from working as it should, if there is one.
    pub fn problem(&self) -> Option<String> {
        if let Some(shortage) = self.shortage() {
            return Some(shortage.with_advice());
        }
        self.published.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any job has not ended.
    pub fn is_active(&self) -> bool {
        self.published.is_active.load(Ordering::Relaxed)
    }

    /// The resources of this machine in total, and the free ones.
    pub fn resources(&self) -> (Resources, Resources) {
        *self.published.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
