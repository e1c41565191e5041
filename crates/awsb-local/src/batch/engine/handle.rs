//! What the rest of the server says to the engine and asks it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::{Message, Needs, Reply};
use crate::batch::model::JobKey;
use crate::batch::request::Plan;
use crate::batch::resources::NotChanged;
use crate::batch::store::Store;
use crate::capacity::Resources;
use crate::error::ApiError;
use crate::runner::protocol::TaskId;
use crate::space::{NoSpace, Reserve};

/// What the rest of the server knows of the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) messages: Sender<Message>,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) home: PathBuf,
    pub(super) active: AtomicBool,
    /// What there is, and what is free.
    pub(super) resources: Mutex<(Resources, Resources)>,
    /// What keeps the engine from working as it should.
    pub(super) trouble: Mutex<Option<String>>,
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

    /// Has all jobs ended; when this returns, that is on the disk.
    ///
    /// # Errors
    /// When it stops, or could not do it.
    pub fn end_all(&self) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::EndAll(reply));
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
