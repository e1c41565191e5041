//! JSON bodies of requests.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::protocol::ApiError;

/// A JSON body of the shape that an operation expects.
///
/// # Errors
/// `SerializationException`, when it is not JSON, or of another shape.
pub fn json_shape<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_value(json_object(body)?).map_err(|e| ApiError::serialization(&e.to_string()))
}

/// A JSON body as AWS reads it: an empty one counts as `{}`.
pub fn json_object(body: &[u8]) -> Result<Value, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::serialization("the body is not a JSON object")),
        Err(e) => Err(ApiError::serialization(&e.to_string())),
    }
}
