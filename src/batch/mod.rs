//! Talking to AWS Batch: submit, list, describe, terminate, wait.
//!
//! [`Job`] is what Batch tells about a job, in our own type: the AWS shapes end here.

mod capacity_cache;
pub mod definition;
mod describe;
mod from_aws;
mod history;
mod hosts;
mod job;
mod job_details;
mod list;
mod occupancy;
mod placement;
mod protocol;
mod query;
mod queue;
mod rejection;
mod resolve;
mod resources;
mod resubmit;
mod submit;
mod terminate;
mod wait_set;
mod watch;
mod wire;

pub use capacity_cache::{CachedCapacity, Details as CapacityDetails, cache_capacity, cached_capacity};
pub use describe::{describe, describe_one, details, unknown};
pub use history::{known_ids, last_of_another_session, remember};
pub use hosts::{Host, HostJob, HostResources, UNITS, hosts, instances};
pub use job::{Attempt, Container, Dependency, Job, reasons};
pub use job_details::{JobDetails, detailed};
pub use list::{ListPage, Of, children, list, pages, pages_in_turn, parts, parts_in_order};
pub use occupancy::{Blocked, Count, Occupancy, QueueSnapshot, SnapshotJob, front, occupancy};
pub use placement::placed;
pub use query::{JobQuery, Order, newest_last, of_name, select, selected};
pub use queue::queue;
pub use resolve::{Found, find, meant, task};
pub use resources::{Environment, Queue, TimeLimit, environments, environments_of, queues};
pub use resubmit::{Resubmission, again};
pub use submit::{Once, Progress, RetryPolicy, Submitted, once, submit};
pub use terminate::{Ending, terminate, terminate_all, terminate_each};
pub use wait_set::{Counts, JobWaitSet};
pub use watch::{PollInterval, look};
