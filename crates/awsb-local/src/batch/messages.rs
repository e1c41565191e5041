//! The messages that the rest of the server sends to the engine.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::model::{JobKey, QueueSnapshot};
use super::request::SubmitPlan;
use super::resources::ChangeError;
use super::store::Store;
use crate::containers::host::{ContainerHost, NoContainerHost};
use crate::http::protocol::ApiError;
use crate::runner::link::Link;
use crate::runner::protocol::{AttemptId, ContainerState, Hello, Report, RunnerId};
use crate::sessions::registry::Place;

/// Where the answer to a request goes.
pub type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// Checks a request against the database, and writes what it changes, in the writer's transaction.
pub type Change = Box<dyn FnOnce(&Store) -> Result<Value, ChangeError> + Send>;

/// Whether a change adds to what is on the disk. A change that only removes is made on a full disk,
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It adds.
    Space,
    /// It removes.
    NoSpace,
}

/// An attempt that is about to run, or runs, as a task of ECS.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// Whether its process or container runs.
    pub is_running: bool,
    /// When that began, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// Its place.
    pub place: Place,
    /// Its containers, in the order of the job definition.
    pub containers: Vec<RunningContainer>,
}

/// A container of a [`RunningTask`].
#[derive(Debug, Clone)]
pub struct RunningContainer {
    /// Its name in the task.
    pub name: String,
    /// Its name on the Docker engine, for a task that is not a process of the host.
    pub name_on_engine: String,
    /// Its state, once it has begun on the engine.
    pub state: Option<ContainerState>,
}

/// How jobs are to end on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// TerminateJob: in any state.
    Terminate,
    /// CancelJob: if they have not been started.
    Cancel,
}

/// The treatment of IDs that no job has, in a request that ends jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownJobs {
    /// The request is refused.
    Refused,
    /// They count as ended (API, TerminateJobs).
    Ignored,
}

/// A message to the engine.
pub enum Message {
    /// SubmitJob, by the owner or with the key of a job.
    Submit(Box<SubmitPlan>, Option<JobKey>, Reply<String>),
    /// TerminateJob or CancelJob, or their forms for many jobs.
    End {
        /// The jobs.
        ids: Vec<String>,
        /// The reason that the request gives.
        reason: String,
        /// How they are to end.
        ending: Ending,
        /// The treatment of IDs that no job has.
        unknown: UnknownJobs,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// A change to job definitions, queues, tags and the like.
    Change(Change, Needs, Reply<Value>),
    /// GetJobQueueSnapshot: the first jobs that wait in a queue, and the vCPUs in use.
    QueueSnapshot(String, Reply<QueueSnapshot>),
    /// How much of each consumable resource jobs hold.
    InUse(Reply<BTreeMap<String, u64>>),
    /// A runner has connected.
    Connected(Hello, Link),
    /// A runner reports.
    Report(RunnerId, Report),
    /// The connection of a runner with this number has ended.
    Disconnected(RunnerId, u64),
    /// The host of containers is ready, or cannot be: the runners that wait for it get their
    /// orders.
    Prepared(Result<Arc<ContainerHost>, NoContainerHost>),
    /// The leftovers of a runner that is gone are removed from a Docker engine, as far as possible
    /// now.
    Removed(RunnerId),
    /// Which attempts runners have.
    Assigned(oneshot::Sender<HashSet<AttemptId>>),
    /// The task of an attempt that runs, if there is one. From then on it can have sessions.
    Task(AttemptId, oneshot::Sender<Option<RunningTask>>),
    /// All jobs are to end.
    EndAll(Reply<()>),
    /// The server stops.
    Stop,
}

impl Message {
    /// Answers a request that has jobs ended.
    pub fn answer_end(self, outcome: Result<(), ApiError>) {
        if let Self::End { reply, .. } | Self::EndAll(reply) = self {
            let _ = reply.send(outcome);
        }
    }

    /// Whether the message is a request whose answer promises that its change is on the disk.
    pub fn is_durable(&self) -> bool {
        matches!(self, Self::Submit(..) | Self::End { .. } | Self::Change(..) | Self::EndAll(_))
    }
}
