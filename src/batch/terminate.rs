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

/// So many jobs are ended at once; when Batch throttles the calls, the SDK slows all of them down together.
const AT_ONCE: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Ends a job in whatever state: CancelJob does nothing to one that has started (UG `cancel_jobs`).
///
/// # Errors
/// When Batch cannot be reached or refuses.
pub async fn terminate(session: &Session, id: &JobId, reason: &str) -> Result<(), Failure> {
    let sent = session.batch.terminate_job().job_id(id.as_str()).reason(reason).send().await;
    sent.map(drop).map_err(|e| explain(session, &format!("ending the job {id}"), &e))
}

/// Ends each of these jobs; returns those that could not be asked to end.
pub async fn terminate_each(session: &Session, ids: &[JobId], reason: &str) -> Vec<(JobId, Failure)> {
    // Each call has what it needs: so it can be made on any thread.
    let calls = stream::iter(ids.to_vec()).map(|id| {
        let (session, reason) = (session.clone(), reason.to_owned());
        async move { terminate(&session, &id, &reason).await.map_err(|f| (id, f)) }
    });
    let outcomes: Vec<_> = calls.buffer_unordered(AT_ONCE).collect().await;
    outcomes.into_iter().filter_map(Result::err).collect()
}

/// How far the ending of many jobs has come, for whoever has to break off (Ctrl-C).
#[derive(Debug)]
pub struct Ending {
    /// So many were asked to end.
    pub asked: Cell<usize>,
    /// So many more are being asked.
    pub under_way: Cell<usize>,
    last_answer: Cell<Instant>,
    gave_up: RefCell<Option<Failure>>,
    /// With fresh credentials, once those of the session have run out.
    renewed: RefCell<Option<Session>>,
}

impl Default for Ending {
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

/// Ends many jobs; each comes when it was asked to end, or could not be. Ending a job twice is ending it once, so a call
/// whose answer was lost, or that was throttled, is made again until none has been answered for as long as contact is
/// sought; then the rest is given up.
pub fn terminate_all<'a>(
    session: &'a Session,
    jobs: Vec<Job>,
    reason: &'a str,
    ending: &'a Ending,
) -> impl Stream<Item = (Job, Result<(), Failure>)> + Unpin + 'a {
    ending.last_answer.set(Instant::now());
    let calls = stream::iter(jobs).map(move |job| async move {
        ending.under_way.update(|n| n + 1);
        let outcome = patiently(session, &job.id(), reason, ending).await;
        ending.under_way.update(|n| n - 1);
        if outcome.is_ok() {
            ending.asked.update(|n| n + 1);
        }
        (job, outcome)
    });
    Box::pin(calls.buffer_unordered(AT_ONCE))
}

async fn patiently(session: &Session, id: &JobId, reason: &str, ending: &Ending) -> Result<(), Failure> {
    let patience = contact_timeout();
    let mut pause = FIRST_PAUSE;
    let mut credentials_are_fresh = false;
    loop {
        let renewed = ending.renewed.borrow().clone();
        let session = renewed.as_ref().unwrap_or(session);
        if let Some(gave_up) = &*ending.gave_up.borrow() {
            let message = format!("ending the job {id}: given up, as contact is lost");
            return Err(gave_up.clone().wrap(message));
        }
        let failure = match terminate(session, id, reason).await {
            Err(failure) if failure.kind() == ErrorKind::Credentials && !credentials_are_fresh => {
                credentials_are_fresh = true;
                if let Ok(session) = session.renew(&failure).await {
                    ending.renewed.replace(Some(session));
                }
                continue;
            }
            Err(failure) if failure.is_retryable() => failure,
            answered => {
                ending.last_answer.set(Instant::now());
                return answered;
            }
        };
        if ending.last_answer.get().elapsed() + pause > patience {
            ending.gave_up.replace(Some(failure.clone()));
            return Err(failure);
        }
        tokio::time::sleep(some_of(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
