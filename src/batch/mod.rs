//! Talking to AWS Batch: submit, list, describe, terminate, wait.
//!
//! [`Job`] is what Batch tells about a job, in our own type: the AWS shapes end here.

mod describe;
mod job;
mod list;
mod submit;
mod terminate;
mod watch;
mod wire;

pub use describe::{describe, describe_one, unknown};
pub use job::{Attempt, Container, Job};
pub use list::{children, list};
pub use submit::{Submitted, submit};
pub use terminate::terminate;
pub use watch::{Pace, look, watch};
