//! Staging: the script and the inputs become a bundle, the bundle goes to S3, and a launcher unpacks it in the job.
//!
//! [`Plan`] decides without any I/O how a job travels. [`upload`] and the functions beside it use the network.

mod archive;
mod baggage;
mod checksum;
mod context;
mod delivery;
mod dialect;
mod inputs;
mod keys;
mod multipart;
mod nodes;
mod outputs;
mod parts;
mod plan;
mod spool;
mod target;
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
pub use plan::{OVERRIDES_BUDGET, Plan, PlanError, obstacle_to_bare, task_variables};
pub use spool::Spool;
pub use target::Target;
pub use upload::{Found, Repair, upload};
