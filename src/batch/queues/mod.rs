//! Job queues and their compute environments: what they are, how full they are, which jobs they
//! accept.

mod model;
mod rules;
mod usage;

pub use model::{ComputeEnvironment, Queue, TimeLimit, environments, queues};
pub use rules::{find_queue, no_nodes};
pub use usage::{BlockingJob, JobCount, QueueSnapshot, QueueUsage, SnapshotJob, queue_snapshot, queue_usage};
