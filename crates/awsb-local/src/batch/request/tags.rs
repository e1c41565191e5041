//! Tags.

use serde_json::{Map, Value};

use crate::http::protocol::ApiError;

/// Checks the type of `propagateTags`.
///
/// # Errors
/// `SerializationException`, when it is not a boolean.
pub fn check_propagation(request: &Value) -> Result<(), ApiError> {
    match &request["propagateTags"] {
        Value::Null | Value::Bool(_) => Ok(()),
        _ => Err(ApiError::serialization("propagateTags is not a boolean")),
    }
}

/// Checks tags: at most 50, and no name that begins with `aws:`, which are AWS's own (API:
/// TagResource).
///
/// # Errors
/// `ClientException`, when they are not so.
pub fn check_tags(tags: &Map<String, Value>) -> Result<(), ApiError> {
    if tags.len() > 50 {
        return Err(ApiError::client("a resource has at most 50 tags"));
    }
    for (name, value) in tags {
        let text = value.as_str().ok_or_else(|| ApiError::serialization("a tag's value is a string"))?;
        if name.is_empty() || name.chars().count() > 128 || text.chars().count() > 256 {
            return Err(ApiError::client(format!(
                "tag {name:?}: a name has 1 to 128 characters, a value at most 256"
            )));
        }
        if name.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::client(format!("tag {name:?}: the prefix aws: is reserved")));
        }
    }
    Ok(())
}
