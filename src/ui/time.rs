//! Times as AWS gives them (milliseconds since the epoch) and as people read them.

use jiff::{Timestamp, tz::TimeZone};

/// `2026-11-21T14:03:07+01:00`: RFC 3339 in the local time zone, to the second; `-` when out of range.
pub fn local_rfc3339(epoch_ms: i64) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => "-".to_owned(),
    }
}
