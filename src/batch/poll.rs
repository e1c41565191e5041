//! Polling a job, and the pauses between polls.

use std::time::{Duration, Instant};

use super::{Job, describe};
use crate::aws::ResilientSession;
use crate::ui::Failure;
use awsb_model::JobId;

/// For this long, Batch may not describe a job that it has just accepted, and an answer may lack a
/// job that the one before had.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

/// A job that is older than that counts as gone when this many answers lack it.
const TRIES: u32 = 3;
/// The pause between these calls.
const TRY_PAUSE: Duration = Duration::from_secs(1);

/// The pauses between two polls: short after a change, and the longer the more time has passed
/// without one.
#[derive(Debug, Clone, Copy)]
pub struct PollInterval {
    since: Instant,
    shortest: Duration,
    longest: Duration,
}

impl PollInterval {
    /// The shortest pause between two calls for one job.
    pub const SHORTEST: Duration = Duration::from_millis(50);

    /// Pauses from `shortest` to `longest`.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { since: Instant::now(), shortest, longest }
    }

    /// Begins again with the shortest pause, after a change.
    pub fn quicken(&mut self) {
        self.since = Instant::now();
    }

    /// The pause before the next poll: a tenth of the time since the last change.
    pub fn pause(&self) -> Duration {
        (self.since.elapsed() / 10).clamp(self.shortest, self.longest)
    }

    /// The same pause, but not beyond a change that is foreseen.
    pub fn no_later_than(&self, foreseen: Option<Duration>) -> Duration {
        let pause = self.pause();
        foreseen.map_or(pause, |at| pause.min(at).max(self.shortest))
    }
}

impl Default for PollInterval {
    fn default() -> Self {
        Self::new(Self::SHORTEST, Duration::from_secs(5))
    }
}

/// The job as it is now; `None` when Batch does not know it at the moment.
///
/// # Errors
/// When Batch has not known the job for some time since `since`, or contact was lost for good.
pub async fn poll_job(
    contact: &mut ResilientSession,
    id: &JobId,
    since: Instant,
) -> Result<Option<Job>, Failure> {
    let begun = Instant::now();
    // One answer without the job proves nothing, however long ago the last poll was: see SETTLE.
    for _ in 0..TRIES {
        let mut known = contact.keep(async |s| describe::describe(s, std::slice::from_ref(id)).await).await?;
        match known.pop().flatten() {
            Some(job) => return Ok(Some(job)),
            None if begun.duration_since(since) < SETTLE => return Ok(None),
            None => tokio::time::sleep(TRY_PAUSE).await,
        }
    }
    Err(describe::unknown(contact.session(), id))
}
