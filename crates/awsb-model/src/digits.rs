//! Numbers that consist of digits alone.

/// Parses digits alone; `parse` would accept a sign, too.
pub(super) fn digits(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}
