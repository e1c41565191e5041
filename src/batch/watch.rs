//! Waiting for a job.

use std::time::{Duration, Instant};

use super::{Job, describe};
use crate::cluster::Contact;
use crate::job::{JobId, Status};
use crate::ui::Failure;

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
pub struct Pace {
    since: Instant,
    shortest: Duration,
    longest: Duration,
}

impl Pace {
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
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(Self::SHORTEST, Duration::from_secs(5))
    }
}

/// Waits until a job has ended and calls `seen` each time that its state, or the reason for it, has changed.
///
/// # Errors
/// When the job is not known, or contact was lost for good.
pub async fn watch(contact: &mut Contact, id: &JobId, mut seen: impl FnMut(&Job)) -> Result<Job, Failure> {
    let pace = Pace::default();
    let begun = Instant::now();
    let mut last: Option<(Status, Option<String>)> = None;
    let mut known_at = begun;
    let mut ended_before = 0;
    loop {
        let mut pause = pace.pause();
        if let Some(job) = look(contact, id, known_at).await? {
            known_at = Instant::now();
            let state = (job.status, job.status_reason.clone());
            if last.as_ref() != Some(&state) {
                seen(&job);
                last = Some(state);
            }
            if job.status.has_ended() {
                return Ok(job);
            }
            if let Some((ended, left)) = job.children_ended() {
                // Where none has ended since the last look, what is left may take long.
                if ended > ended_before {
                    pause = pause.min(time_left(begun.elapsed(), ended, left)).max(Pace::SHORTEST);
                }
                ended_before = ended;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// How long an array takes until its end, if it goes on as it did: so many of its children have `ended` in this time.
fn time_left(elapsed: Duration, ended: u32, left: u32) -> Duration {
    elapsed.checked_mul(left).map_or(Duration::MAX, |all| all / ended.max(1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_array_is_foreseen() {
        let second = Duration::from_secs(1);
        assert_eq!(time_left(10 * second, 5000, 5000), 10 * second);
        assert_eq!(time_left(10 * second, 9999, 0), Duration::ZERO);
        assert_eq!(time_left(second, 0, 7), 7 * second);
        assert_eq!(time_left(Duration::MAX, 1, 2), Duration::MAX);
    }
}
