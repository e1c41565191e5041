//! TerminateJob.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{self, Stream};

use super::Job;
use super::submit::some_of;
use crate::aws::{Session, contact_timeout, explain};
use crate::ui::{ErrorKind, Failure};
use awsb_model::JobId;

/// At most this many jobs are ended at the same time. When Batch throttles the calls, the SDK slows
/// all of them down together.
const CALLS_AT_ONCE: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Ends a job in any state. CancelJob has no effect on a job that has started (UG `cancel_jobs`).
///
/// # Errors
/// When Batch cannot be reached or refuses.
pub async fn terminate(session: &Session, id: &JobId, reason: &str) -> Result<(), Failure> {
    let sent = session.batch.terminate_job().job_id(id.as_str()).reason(reason).send().await;
    sent.map(drop).map_err(|e| explain(session, &format!("ending the job {id}"), &e))
}

/// Ends each of these jobs; returns those that could not be asked to end.
pub async fn terminate_each(session: &Session, ids: &[JobId], reason: &str) -> Vec<(JobId, Failure)> {
    // Each call owns its arguments, so that it can be made on any thread.
    let calls = stream::iter(ids.to_vec()).map(|id| {
        let (session, reason) = (session.clone(), reason.to_owned());
        async move { terminate(&session, &id, &reason).await.map_err(|f| (id, f)) }
    });
    let outcomes: Vec<_> = calls.buffer_unordered(CALLS_AT_ONCE).collect().await;
    outcomes.into_iter().filter_map(Result::err).collect()
}

/// How many of many jobs have been ended, for a caller that is interrupted (Ctrl-C).
#[derive(Debug)]
pub struct TerminationProgress {
    /// The number of jobs that Batch has been asked to end.
    pub asked: Cell<usize>,
    /// The number of calls that are under way.
    pub under_way: Cell<usize>,
    last_answer: Cell<Instant>,
    gave_up: RefCell<Option<Failure>>,
    /// The session with fresh credentials, once the first ones have expired.
    renewed: RefCell<Option<Session>>,
}

impl Default for TerminationProgress {
    fn default() -> Self {
        Self {
            asked: Cell::default(),
            under_way: Cell::default(),
            last_answer: Cell::new(Instant::now()),
            gave_up: RefCell::default(),
            renewed: RefCell::default(),
        }
    }
}

/// Ends many jobs. Each comes when Batch has been asked to end it, or could not be asked.
///
/// Ending a job twice is the same as ending it once, so a call whose answer was lost, or that was
/// throttled, is made again. When no call has been answered for the contact timeout, the rest is
/// given up.
pub fn terminate_all<'a>(
    session: &'a Session,
    jobs: Vec<Job>,
    reason: &'a str,
    progress: &'a TerminationProgress,
) -> impl Stream<Item = (Job, Result<(), Failure>)> + Unpin + 'a {
    progress.last_answer.set(Instant::now());
    let calls = stream::iter(jobs).map(move |job| async move {
        progress.under_way.update(|n| n + 1);
        let outcome = terminate_with_retries(session, &job.id(), reason, progress).await;
        progress.under_way.update(|n| n - 1);
        if outcome.is_ok() {
            progress.asked.update(|n| n + 1);
        }
        (job, outcome)
    });
    Box::pin(calls.buffer_unordered(CALLS_AT_ONCE))
}

/// Ends a job, and repeats the call while it fails in passing.
async fn terminate_with_retries(
    session: &Session,
    id: &JobId,
    reason: &str,
    progress: &TerminationProgress,
) -> Result<(), Failure> {
    let max_wait = contact_timeout();
    let mut pause = FIRST_PAUSE;
    let mut credentials_are_fresh = false;
    loop {
        let renewed = progress.renewed.borrow().clone();
        let session = renewed.as_ref().unwrap_or(session);
        if let Some(gave_up) = &*progress.gave_up.borrow() {
            let message = format!("ending the job {id}: given up, as contact is lost");
            return Err(gave_up.clone().wrap(message));
        }
        let failure = match terminate(session, id, reason).await {
            Err(failure) if failure.kind() == ErrorKind::Credentials && !credentials_are_fresh => {
                credentials_are_fresh = true;
                if let Ok(session) = session.renew(&failure).await {
                    progress.renewed.replace(Some(session));
                }
                continue;
            }
            Err(failure) if failure.is_retryable() => failure,
            answered => {
                progress.last_answer.set(Instant::now());
                return answered;
            }
        };
        if progress.last_answer.get().elapsed() + pause > max_wait {
            progress.gave_up.replace(Some(failure.clone()));
            return Err(failure);
        }
        tokio::time::sleep(some_of(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
