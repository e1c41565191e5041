//! CloudWatch Logs: the files of the log streams, and the API over them.

mod api;
mod pages;
pub mod record;

use sha2::{Digest, Sha256};

use super::home::LOGS;

pub use api::Api;

/// The file of a log stream, relative to the home. The names are hashed: they may be anything, and a
/// folder must not hold a hundred thousand files.
pub fn file_of(group: &str, stream: &str) -> String {
    let hash = Sha256::new().chain_update(group).chain_update([0]).chain_update(stream).finalize();
    let digits: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("{LOGS}/{}/{}", &digits[..2], &digits[2..])
}
