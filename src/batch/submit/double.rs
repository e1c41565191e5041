//! Ending the younger of two jobs that do the same.

use std::time::Duration;

use tokio::time::sleep;

use super::Submitted;
use crate::batch::terminate;
use crate::cluster::Session;
use crate::job::JobId;
use crate::ui::{Failure, note};

/// How often the end of a double is tried.
const TERMINATE_TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Ends a job that does the same as `kept`, and says so.
///
/// # Errors
/// When Batch cannot be asked for it; the hint says how to end it by hand.
pub async fn end_double(session: &Session, double: &Submitted, kept: &Submitted) -> Result<(), Failure> {
    let (double, kept) = (&double.job_id, &kept.job_id);
    let reason = format!("submitted twice, because an answer was lost; job {kept} is kept");
    let mut tries = 0;
    loop {
        tries += 1;
        match terminate(session, &JobId::from_batch(double), &reason).await {
            Ok(()) => break,
            Err(failure) if failure.passing && tries < TERMINATE_TRIES => sleep(PAUSE * tries).await,
            Err(failure) => {
                return Err(failure.hint(format!(
                    "`bkill {double}` ends it: it does the same as the job {kept}, which is kept"
                )));
            }
        }
    }
    note(format!(
        "bsub: note: an answer was lost and the job was there twice: {double} has been ended, {kept} is kept"
    ));
    Ok(())
}
