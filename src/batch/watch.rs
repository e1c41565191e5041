//! Waiting for a job.

use std::time::{Duration, Instant};

use super::{Job, describe};
use crate::aws::Contact;
use crate::ui::Failure;
use awsb_model::JobId;

/// A job that Batch has just taken may not be there to be described at once, and one answer may lack a job that
/// the one before had.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

/// A job that has been there for longer is looked for so often before it is taken for gone,
const LOOKS: u32 = 3;
/// with such a pause in between.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How often something is asked for: often when it may change any moment, and the less often the longer
/// nothing has happened.
#[derive(Debug, Clone, Copy)]
pub struct PollInterval {
    since: Instant,
    shortest: Duration,
    longest: Duration,
}

impl PollInterval {
    /// One job may be asked for this often.
    pub const SHORTEST: Duration = Duration::from_millis(50);

    /// From `shortest` to `longest` between two questions.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { since: Instant::now(), shortest, longest }
    }

    /// Something happened: back to the shortest pause.
    pub fn quicken(&mut self) {
        self.since = Instant::now();
    }

    /// The pause before the next question: a tenth of the time that has passed.
    pub fn pause(&self) -> Duration {
        (self.since.elapsed() / 10).clamp(self.shortest, self.longest)
    }

    /// The same, but no later than something is foreseen.
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

/// The job as it is now; `None` when Batch does not know it at this moment.
///
/// # Errors
/// When the job is not known some time after `since`, when it was known for certain, or contact was lost for good.
pub async fn look(contact: &mut Contact, id: &JobId, since: Instant) -> Result<Option<Job>, Failure> {
    let begun = Instant::now();
    // However long ago the last look was, one answer without the job is none: see SETTLE.
    for _ in 0..LOOKS {
        let mut known = contact.keep(async |s| describe::describe(s, std::slice::from_ref(id)).await).await?;
        match known.pop().flatten() {
            Some(job) => return Ok(Some(job)),
            None if begun.duration_since(since) < SETTLE => return Ok(None),
            None => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
    Err(describe::unknown(contact.session(), id))
}
