//! CloudWatch Logs: log groups and streams, their events, and the API over them.
//!
//! | module     | what lives there                                                              |
//! |------------|-------------------------------------------------------------------------------|
//! | `api`      | operations: JSON in, JSON out; each of the larger ones in a file of its own   |
//! | `names`    | what a group and a stream may be called                                       |
//! | `store`    | groups and streams: rows of the Batch database, changed by its one writer     |
//! | [`record`] | one event in a file                                                           |
//! | `file`     | what a job has written: a file for each stream                                |
//! | `table`    | what PutLogEvents has stored: a database of its own                           |
//! | `source`   | any number of files and tables, read as one in the order of time              |
//! | `events`   | all the events of the home: finding, bounding and removing those of a stream  |
//! | `pattern`  | filter patterns                                                               |

mod api;
mod events;
mod file;
mod filter;
mod get;
pub mod names;
pub mod pattern;
mod put;
pub mod record;
mod source;
pub mod store;
mod table;

use std::io;

use http::StatusCode;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::home::LOGS;

pub use api::Api;
pub use events::Events;

/// The file of a log stream, relative to the home. The names are hashed: they may be anything, and a
/// folder must not hold a hundred thousand files.
pub fn file_of(group: &str, stream: &str) -> String {
    let digits = hex::encode(hash_of(group, stream));
    format!("{LOGS}/{}/{}", &digits[..2], &digits[2..])
}

fn hash_of(group: &str, stream: &str) -> [u8; 32] {
    Sha256::new().chain_update(group).chain_update([0]).chain_update(stream).finalize().into()
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "InvalidParameterException", message)
}

/// A field that breaks a rule of the API's model, in AWS's words.
fn constraint(field: &str, value: &str, rule: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must {rule}"
    ))
}

fn not_found(what: &str) -> ApiError {
    let message = format!("The specified {what} does not exist.");
    ApiError::new(StatusCode::BAD_REQUEST, "ResourceNotFoundException", message)
}

fn exists(what: &str) -> ApiError {
    let message = format!("The specified {what} already exists");
    ApiError::new(StatusCode::BAD_REQUEST, "ResourceAlreadyExistsException", message)
}

fn unavailable(what: &str) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceUnavailableException", what)
}

fn unreadable(e: &io::Error) -> ApiError {
    note!("logs: {e}");
    // The server's working directory is the home.
    if let Some(error) = ApiError::lasting(&std::path::absolute(".").unwrap_or_default(), e) {
        return error;
    }
    unavailable(&format!("The local cluster's log streams: {e}"))
}
