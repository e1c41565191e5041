//! What is remembered of the compute environments of a queue, so that a submission need not ask for it.
//!
//! Whoever looks at environments (`bqueues`, `bhosts`, `bstat --why`, a multi-node job) leaves in the cache what they may
//! have. A submission reads that alone.

use awsb_model::{Demand, InstanceType};
use serde::{Deserialize, Serialize};

use super::{Environment, Queue};
use crate::aws::Session;

/// The kind of the cache's entries: a queue's name to [`CachedCapacity`].
const KIND: &str = "room";

/// What was seen of a queue's environments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachedCapacity {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// The environments, in the queue's order.
    pub environments: Vec<Environment>,
    /// What the instance types have that they may start, where that was asked for.
    pub instance_types: Option<Vec<InstanceType>>,
    /// What the machines have, by environment, where that was asked for.
    pub machines: Option<Vec<(String, Vec<Demand>)>>,
}

/// What was asked for besides the environments themselves.
#[derive(Debug, Clone)]
pub struct Details {
    /// What the instance types have.
    pub instance_types: Option<Vec<InstanceType>>,
    /// What the machines of each environment have, by its name.
    pub machines: Vec<(String, Vec<Demand>)>,
}

/// Remembers a queue's environments, which are among these. What was not asked for now is as it was, if the environments may
/// start the same.
pub fn cache_capacity(session: &Session, queue: &Queue, all: &[Environment], details: Option<Details>) {
    let environments: Vec<Environment> = queue.environments(all).into_iter().cloned().collect();
    let cache = session.cache_of_room();
    let startable = |environments: &[Environment]| -> Vec<(String, Vec<String>)> {
        let of = |e: &Environment| {
            let types = e.compute_resources.as_ref().map(|r| r.instance_types.clone());
            (e.compute_environment_name.clone(), types.unwrap_or_default())
        };
        environments.iter().map(of).collect()
    };
    let (instance_types, machines) = match details {
        Some(Details { instance_types, machines }) => (instance_types, Some(machines)),
        None => {
            let before = cache.read::<CachedCapacity>(KIND, &queue.job_queue_name);
            let before = before.filter(|known| startable(&known.environments) == startable(&environments));
            before.map(|known| (known.instance_types, known.machines)).unwrap_or_default()
        }
    };
    let at = jiff::Timestamp::now().as_millisecond();
    cache.write(KIND, &queue.job_queue_name, &CachedCapacity { at, environments, instance_types, machines });
}

/// What is remembered of the environments of a queue, by its name.
pub fn cached_capacity(session: &Session, queue: &str) -> Option<CachedCapacity> {
    session.cache_of_room().read(KIND, queue)
}
