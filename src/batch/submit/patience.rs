//! How long a submission goes on, and its pauses.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::ui::note;

/// How long Batch is tried when nobody says otherwise.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// How long Batch may take to show a job, unless `AWSB_SUBMIT_SETTLE` says otherwise.
const SETTLE: Duration = Duration::from_secs(15);
/// The first and the longest pause between two looks of a search, as parts of the settle time.
const FIRST_LOOK: u32 = 100;
const LATER_LOOKS: u32 = 8;

/// How long a submission goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For how long the job is tried anew when Batch is busy, cannot be reached or loses the answer. A search
    /// for what has been sent goes on beyond it.
    pub submit_timeout: Duration,
    /// How long Batch may take to act on a request whose answer was lost, and to list and describe the job.
    pub settle: Duration,
}

impl Patience {
    /// The given time for tries, and the settle time of the variable `AWSB_SUBMIT_SETTLE` (in seconds).
    pub fn new(submit_timeout: Option<Duration>) -> Self {
        let given = std::env::var("AWSB_SUBMIT_SETTLE").ok().filter(|text| !text.is_empty());
        let seconds = |text: &str| Duration::try_from_secs_f64(text.trim().parse().ok()?).ok();
        let settle = given.as_deref().and_then(seconds);
        if let (Some(text), None) = (&given, settle) {
            let usual = SETTLE.as_secs();
            note(format!(
                "warning: AWSB_SUBMIT_SETTLE is `{text}`, no number of seconds: it is taken as {usual}"
            ));
        }
        Self { submit_timeout: submit_timeout.unwrap_or(SUBMIT_TIMEOUT), settle: settle.unwrap_or(SETTLE) }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { submit_timeout: SUBMIT_TIMEOUT, settle: SETTLE }
    }
}

/// The pauses between the looks of a search.
pub(super) struct Looks {
    pause: Duration,
    longest: Duration,
}

impl Looks {
    pub(super) fn new(settle: Duration) -> Self {
        Self { pause: settle / FIRST_LOOK, longest: settle / LATER_LOOKS }
    }

    /// When the next look is due: one falls on the moment `settled`.
    pub(super) fn next(&mut self, settled: Instant) -> Instant {
        // Never none: a settle time of nothing must not make a flood of requests.
        let next = Instant::now() + self.pause.max(Duration::from_millis(10));
        self.pause = (self.pause * 2).min(self.longest);
        if Instant::now() < settled { next.min(settled) } else { next }
    }
}

/// A random part of a pause, so that many who were turned away together do not come back together ("full jitter", AWS
/// Architecture Blog, Exponential Backoff And Jitter).
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
