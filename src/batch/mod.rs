//! Talking to AWS Batch: submit, list, describe, terminate, wait.
//!
//! [`Job`] is what Batch tells about a job, in our own type: the AWS shapes end here.

mod again;
mod capacity_cache;
mod crowd;
pub mod definition;
mod describe;
mod detailed;
mod from_aws;
mod hosts;
mod job;
mod known;
mod list;
mod meant;
mod occupancy;
mod placed;
mod prepare;
mod protocol;
mod queue;
mod refusal;
mod resources;
mod select;
mod submit;
mod terminate;
mod watch;
mod wire;

pub use again::{Again, again};
pub use capacity_cache::{CachedCapacity, Details as CapacityDetails, cache_capacity, cached_capacity};
pub use crowd::{Counts, Crowd};
pub use describe::{describe, describe_one, details, unknown};
pub use detailed::{Detailed, detailed};
pub use hosts::{Host, HostJob, HostResources, UNITS, hosts, instances};
pub use job::{Attempt, Container, Dependency, Job, reasons};
pub use known::{known_ids, last_of_another_session, remember};
pub use list::{ListPage, Of, children, list, pages, pages_in_turn, parts, parts_in_order};
pub use meant::{Found, find, meant, task};
pub use occupancy::{Blocked, Count, Front, FrontJob, Occupancy, front, occupancy};
pub use placed::placed;
pub use prepare::{Prepared, PreparedNodes, Wishes, prepare};
pub use queue::queue;
pub use resources::{Environment, Queue, TimeLimit, environments, environments_of, queues};
pub use select::{Order, Selection, newest_last, of_name, select, selected};
pub use submit::{Once, Patience, Progress, Submitted, once, submit};
pub use terminate::{Ending, terminate, terminate_all, terminate_each};
pub use watch::{Pace, look};
