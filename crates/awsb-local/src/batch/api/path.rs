//! Paths of requests.

use crate::http::protocol::ApiError;

/// Decodes percent-encoding (RFC 3986).
///
/// # Errors
/// When the text is not percent-encoded UTF-8.
pub fn decoded(text: &str) -> Result<String, ApiError> {
    let wrong = || ApiError::client(format!("{text:?} is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok()).ok_or_else(wrong)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}
