//! The files of log streams.

use sha2::{Digest, Sha256};

use crate::home::files::LOGS;

/// The file of a log stream, relative to the home. The names are hashed: they may be anything, and
/// a folder must not hold a hundred thousand files.
pub fn file_of(group: &str, stream: &str) -> String {
    let digits = hex::encode(hash_of(group, stream));
    format!("{LOGS}/{}/{}", &digits[..2], &digits[2..])
}

/// The hash of a stream's names.
pub fn hash_of(group: &str, stream: &str) -> [u8; 32] {
    Sha256::new().chain_update(group).chain_update([0]).chain_update(stream).finalize().into()
}
