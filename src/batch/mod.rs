//! Talking to AWS Batch: submit, list, describe, terminate, wait.
//!
//! [`Job`] is what Batch tells about a job, in our own type: the AWS shapes end here.

mod again;
mod crowd;
pub mod definition;
mod describe;
mod job;
mod known;
mod list;
mod meant;
mod occupancy;
mod once;
mod prepare;
mod queue;
mod refusal;
mod resources;
mod select;
mod submit;
mod terminate;
mod watch;
mod wire;

pub use again::{Again, again};
pub use crowd::{Counts, Crowd};
pub use describe::{describe, describe_one, unknown};
pub use job::{Attempt, Container, Job};
pub use known::remember;
pub use list::{ListPage, Of, children, list, pages, parts};
pub use meant::{Found, find, meant, task};
pub use occupancy::{Blocked, Count, Front, FrontJob, Occupancy, blocking_code, front, occupancy};
pub use once::{Once, once};
pub use prepare::{Prepared, PreparedNodes, Wishes, prepare};
pub use queue::{QueueFacts, queue};
pub use resources::{Environment, Queue, environments, environments_of, queues};
pub use select::{Selection, select, selected};
pub use submit::{Patience, Progress, Submitted, submit};
pub use terminate::{Ending, terminate, terminate_all};
pub use watch::{Pace, look, watch};
