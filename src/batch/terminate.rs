//! TerminateJob.

use crate::cluster::{Session, explain};
use crate::job::JobId;
use crate::ui::Failure;

/// Ends a job in whatever state: CancelJob does nothing to one that has started (UG `cancel_jobs`).
///
/// # Errors
/// When Batch cannot be reached or refuses.
pub async fn terminate(session: &Session, id: &JobId, reason: &str) -> Result<(), Failure> {
    let sent = session.batch.terminate_job().job_id(id.as_str()).reason(reason).send().await;
    sent.map(drop).map_err(|e| explain(session, &format!("ending the job {id}"), &e))
}
