//! The clock.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Milliseconds since the epoch, the unit in which AWS Batch and CloudWatch Logs give times.
pub fn now_ms() -> i64 {
    now().as_millisecond()
}

/// The time of the clock. A clock beyond the year 9999 stands at the last moment of that year, and
/// one before the year -9999 at the first of that one.
pub fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

fn timestamp(time: SystemTime) -> Timestamp {
    let out_of_range = if time < UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(out_of_range)
}

/// The value of the header `Date` now (RFC 9110, section 5.6.7). `None` for a clock before the year
/// 0.
pub fn http_date() -> Option<HeaderValue> {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now()).ok()?;
    HeaderValue::from_str(&date).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_beyond_the_calendar_is_at_its_end() {
        let after = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(after(1).as_second(), 1);
        // The year 14645.
        assert_eq!(after(400_000_000_000), Timestamp::MAX);
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)).as_second(), -1);
    }

    #[test]
    fn a_date_has_the_form_of_http() {
        let date = http_date().unwrap();
        let date = date.to_str().unwrap();
        assert!(date.ends_with(" GMT") && date.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{date}");
    }
}
