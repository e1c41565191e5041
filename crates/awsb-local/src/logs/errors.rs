//! The errors of CloudWatch Logs.

use std::io;

use http::StatusCode;

use crate::http::protocol::ApiError;

/// A parameter that is not valid.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "InvalidParameterException", message)
}

/// A field that breaks a rule of the API's model, in AWS's words.
pub fn constraint(field: &str, value: &str, rule: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must {rule}"
    ))
}

/// Something that does not exist.
pub fn not_found(what: &str) -> ApiError {
    let message = format!("The specified {what} does not exist.");
    ApiError::new(StatusCode::BAD_REQUEST, "ResourceNotFoundException", message)
}

/// Something that exists already.
pub fn exists(what: &str) -> ApiError {
    let message = format!("The specified {what} already exists");
    ApiError::new(StatusCode::BAD_REQUEST, "ResourceAlreadyExistsException", message)
}

/// A failure that may not last.
pub fn unavailable(what: &str) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceUnavailableException", what)
}

/// A file or a database that cannot be read.
pub fn unreadable(e: &io::Error) -> ApiError {
    tracing::warn!("logs: {e}");
    // The server's working directory is the home.
    if let Some(error) = ApiError::lasting(&std::path::absolute(".").unwrap_or_default(), e) {
        return error;
    }
    unavailable(&format!("The local cluster's log streams: {e}"))
}
