//! *How it gets there*: script and inputs become a bundle, the bundle goes to S3, and a launcher unpacks it
//! in the job.
//!
//! [`Plan`] decides, without any I/O, in which form a job travels; [`upload`] is the only thing here that
//! touches the network.

mod bundle;
mod dialect;
pub mod launcher;
mod plan;
mod upload;

pub use bundle::Bundle;
pub use plan::{Plan, PlanError, Target};
pub use upload::upload;
