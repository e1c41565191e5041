//! The interface between the engine and the container manager.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::runner::protocol::{AttemptId, RunnerId};

/// How long the server waits for the Docker engine when it stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The host of containers: what the creation of a container needs to know of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerHost {
    /// The address of the Docker engine.
    pub engine: String,
    /// The home's ID.
    pub home_id: String,
    /// The network to join.
    pub network: String,
    /// `NAME:ADDRESS`, for the container's hosts file.
    pub hosts: Vec<String>,
    /// The variables by which AWS clients find this server; the key pair is each attempt's own.
    pub environment: Vec<(String, String)>,
}

/// Why there is no host for containers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoContainerHost(pub String);

/// The sending end, for the engine's thread. The answers come as messages to the engine.
#[derive(Debug, Clone)]
pub struct Containers {
    requests: UnboundedSender<Request>,
    problem: Problem,
}

/// The problem with the Docker engine that prevents something that is needed now.
pub type Problem = Arc<Mutex<Option<String>>>;

/// A request to the container manager.
#[derive(Debug)]
pub enum Request {
    /// Make the network ready.
    Prepare,
    /// Remove the container of an attempt whose runner is gone.
    Remove {
        /// The runner that is gone.
        runner: RunnerId,
        /// The attempt.
        attempt_id: AttemptId,
        /// The address of the Docker engine that has the container.
        engine: String,
    },
    /// The server stops.
    Close(oneshot::Sender<()>),
}

impl Containers {
    /// Asks for the network. The answer is the message `Prepared`.
    pub fn prepare(&self) {
        let _ = self.requests.send(Request::Prepare);
    }

    /// Asks for the removal of the container of an attempt whose runner is gone. The answer is the
    /// message `Removed`. It also comes when the container could not be removed, which is tried
    /// again later.
    pub fn remove(&self, runner: RunnerId, attempt_id: AttemptId, engine: String) {
        let _ = self.requests.send(Request::Remove { runner, attempt_id, engine });
    }

    /// The problem with the Docker engine, if it is needed and there is one.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes the network, unless a job needs it, because the server stops.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).is_ok() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        }
    }
}

/// The receiving end, for the container manager.
#[derive(Debug)]
pub struct Requests {
    /// The requests.
    pub receiver: UnboundedReceiver<Request>,
    /// Where the manager reports what is wrong.
    pub problem: Problem,
}

/// The two ends. Requests wait until the manager runs.
pub fn channel() -> (Containers, Requests) {
    let (sender, receiver) = unbounded_channel();
    let problem = Problem::default();
    (Containers { requests: sender, problem: Arc::clone(&problem) }, Requests { receiver, problem })
}
