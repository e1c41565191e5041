//! The clock.

/// Milliseconds since the epoch, the unit in which AWS Batch and CloudWatch Logs give times.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
