//! *How it gets there*: script and inputs become a bundle, the bundle goes to S3, and a launcher unpacks it
//! in the job.
//!
//! [`Plan`] decides, without any I/O, in which form a job travels; [`upload`] is the only thing here that
//! touches the network.

mod archive;
mod baggage;
mod checksum;
mod context;
mod dialect;
mod inputs;
mod keys;
mod multipart;
mod nodes;
mod outputs;
mod parts;
mod plan;
mod spool;
mod upload;

pub use archive::{Archive, Entry, Kind, Reader as ArchiveReader};
pub use baggage::Baggage;
pub use context::{find_context, upload_context};
pub(crate) use inputs::one_line;
#[cfg(test)]
pub(crate) use inputs::tests::tree;
pub use inputs::{Inputs, Staged, forgotten};
pub use multipart::upload_baggage;
pub use nodes::sweep_nodes;
pub use outputs::{OutputFile, fetch_outputs, list_outputs};
pub use plan::{Plan, PlanError, ROOM, Target, obstacle_to_bare, task_variables};
pub use spool::Spool;
pub use upload::{Found, Repair, upload};
