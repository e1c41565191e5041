//! How long a submission goes on, and its pauses.

use std::time::Duration;

use uuid::Uuid;

use crate::batch::protocol::{Limits, Millis};
use crate::ui::print_message;

/// How long Batch is tried when nobody says otherwise.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// How long Batch may take to show a job, unless `AWSB_SUBMIT_SETTLE` says otherwise.
const SETTLE: Duration = Duration::from_secs(15);

/// How long a submission goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// For how long the job is tried anew when Batch is busy, cannot be reached or loses the
    /// answer. A search for what has been sent goes on beyond it.
    pub submit_timeout: Duration,
    /// How long Batch may take to act on a request whose reply was lost, and to list and describe
    /// the job.
    pub settle: Duration,
}

/// A period in milliseconds.
pub(super) fn milliseconds(period: Duration) -> Millis {
    // A sum of several is still a time.
    i64::try_from(period.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 64)
}

impl RetryPolicy {
    /// The same for the protocol.
    pub(super) fn limits(&self) -> Limits {
        Limits { submit_timeout: milliseconds(self.submit_timeout), settle: milliseconds(self.settle) }
    }

    /// The given time for attempts, and the settle time of the variable `AWSB_SUBMIT_SETTLE` (in
    /// seconds).
    pub fn new(submit_timeout: Option<Duration>) -> Self {
        let given = std::env::var("AWSB_SUBMIT_SETTLE").ok().filter(|text| !text.is_empty());
        let seconds = |text: &str| Duration::try_from_secs_f64(text.trim().parse().ok()?).ok();
        let settle = given.as_deref().and_then(seconds);
        if let (Some(text), None) = (&given, settle) {
            let usual = SETTLE.as_secs();
            print_message(format!(
                "warning: AWSB_SUBMIT_SETTLE is `{text}`, which is not a number of seconds; {usual} is used"
            ));
        }
        Self { submit_timeout: submit_timeout.unwrap_or(SUBMIT_TIMEOUT), settle: settle.unwrap_or(SETTLE) }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { submit_timeout: SUBMIT_TIMEOUT, settle: SETTLE }
    }
}

/// A random part of a pause, so that many submitters that were throttled together do not come back
/// together ("full jitter", AWS Architecture Blog, Exponential Backoff And Jitter).
pub(in crate::batch) fn some_of(pause: Duration) -> Duration {
    // 53 bits are what an f64 holds exactly.
    let random = (Uuid::new_v4().as_u128() & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64;
    pause.mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn jitter_takes_some_part_of_the_pause() {
        let pauses: Vec<Duration> = (0..100).map(|_| some_of(PAUSE)).collect();
        assert!(pauses.iter().all(|p| *p <= PAUSE));
        assert!(pauses.iter().any(|p| *p < PAUSE / 2) && pauses.iter().any(|p| *p > PAUSE / 2));
    }
}
