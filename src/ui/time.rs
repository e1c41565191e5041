//! Times as AWS gives them (milliseconds since the epoch) and as people read them.

use jiff::{Timestamp, tz::TimeZone};

/// `2026-11-21T14:03:07+01:00`: RFC 3339 in the local time zone, to the second; `-` when out of range.
pub fn local_rfc3339(epoch_ms: i64) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => "-".to_owned(),
    }
}

/// `2026-11-21T14:03:07.042+01:00`: the same in a time zone, to the millisecond.
pub fn local_rfc3339_ms(epoch_ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        Err(_) => "-".to_owned(),
    }
}
