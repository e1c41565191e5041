//! The cached capacity of the compute environments of a queue, so that a submission need not ask
//! for it.
//!
//! Every command that asks for environments (`bqueues`, `bhosts`, `bstat --why`, a multi-node job)
//! writes their capacity into the cache. A submission only reads it.

use awsb_model::{Demand, InstanceType};
use serde::{Deserialize, Serialize};

use super::{ComputeEnvironment, Queue, environments};
use crate::aws::Session;
use crate::ui::Failure;

/// The kind of the cache's entries: a queue's name to [`CachedCapacity`].
const KIND: &str = "room";

/// The cached environments of a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachedCapacity {
    /// When they were described, in milliseconds since the epoch.
    pub at: i64,
    /// The environments, in the queue's order.
    pub environments: Vec<ComputeEnvironment>,
    /// The instance types that they may start, where these were asked for.
    pub instance_types: Option<Vec<InstanceType>>,
    /// The resources of the machines by environment, where these were asked for.
    pub machines: Option<Vec<(String, Vec<Demand>)>>,
}

/// Data that were asked for besides the environments themselves.
#[derive(Debug, Clone)]
pub struct Details {
    /// The instance types that the environments may start.
    pub instance_types: Option<Vec<InstanceType>>,
    /// The resources of the machines of each environment, by its name.
    pub machines: Vec<(String, Vec<Demand>)>,
}

/// Caches the environments of a queue, which are among these. Without `details`, the details of the
/// cached entry stay, if the environments may start the same instance types.
pub fn cache_capacity(
    session: &Session,
    queue: &Queue,
    all: &[ComputeEnvironment],
    details: Option<Details>,
) {
    let environments: Vec<ComputeEnvironment> = queue.environments(all).into_iter().cloned().collect();
    let cache = session.capacity_cache();
    let startable = |environments: &[ComputeEnvironment]| -> Vec<(String, Vec<String>)> {
        let of = |e: &ComputeEnvironment| {
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

/// The cached environments of a queue, by its name.
pub fn cached_capacity(session: &Session, queue: &str) -> Option<CachedCapacity> {
    session.capacity_cache().read(KIND, queue)
}

/// The compute environments of these queues, whose capacity is cached.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn environments_of(
    session: &Session,
    queues: &[Queue],
) -> Result<Vec<ComputeEnvironment>, Failure> {
    let mut names: Vec<String> = queues.iter().flat_map(|queue| queue.compute_environments.clone()).collect();
    names.sort();
    names.dedup();
    let known = if names.is_empty() { Vec::new() } else { environments(session, &names).await? };
    for queue in queues {
        cache_capacity(session, queue, &known, None);
    }
    Ok(known)
}
