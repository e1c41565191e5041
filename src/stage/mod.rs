//! Staging: the script and the inputs become a bundle, the bundle goes to S3, and a launcher
//! unpacks it in the job.
//!
//! [`Plan`] decides without any I/O how a job travels. [`upload()`] and the functions beside it use
//! the network.

mod archive;
mod checksum;
mod compat;
mod context;
mod delivery;
mod file_upload;
mod inputs;
mod leftovers;
mod listing;
mod multipart;
mod outputs;
mod packed_inputs;
mod part_source;
mod parts;
mod plan;
mod spool;
mod ssh_keys;
mod target;
mod upload;

pub use archive::{Archive, ArchiveEntry, EntryKind, Reader as ArchiveReader};
pub use context::{inspect_context, upload_context};
pub use file_upload::{store_bytes, store_file};
pub(crate) use inputs::one_line;
#[cfg(test)]
pub(crate) use inputs::tests::tree;
pub use inputs::{InputEntry, Inputs, unsent_files};
pub use leftovers::{
    LeftObject, all_bundles, digest, old_bundles, remove_objects, stale_node_keys, used_digests,
};
pub(crate) use listing::decode_key;
pub use multipart::upload_inputs;
pub use outputs::{OutputFile, fetch_outputs, list_outputs};
pub use packed_inputs::PackedInputs;
pub use plan::{OVERRIDES_BUDGET, Plan, PlanError, obstacle_to_bare, task_variables};
pub use spool::Spool;
pub use ssh_keys::delete_stale_node_keys;
pub use target::Target;
pub use upload::{ObjectState, REFRESH_AFTER, Repair, upload};
