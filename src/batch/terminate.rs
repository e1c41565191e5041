//! TerminateJob and TerminateJobs.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::stream::{self, Stream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use super::Job;
use super::submit::some_of;
use crate::aws::{Session, contact_timeout, explain, explain_item};
use crate::ui::{ErrorKind, Failure, print_message};
use awsb_model::{JobId, limits};

/// At most this many calls run at the same time. When Batch throttles the calls, the SDK slows all
/// of them down together.
const CALLS_AT_ONCE: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After this time without success, a message says why it takes long.
const PRINT_AFTER: Duration = Duration::from_millis(1500);

/// Ends a job in any state. CancelJob has no effect on a job that has started (UG `cancel_jobs`).
///
/// # Errors
/// When Batch cannot be reached or refuses.
pub async fn terminate(session: &Session, id: &JobId, reason: &str) -> Result<(), Failure> {
    let sent = session.batch.terminate_job().job_id(id.as_str()).reason(reason).send().await;
    sent.map(drop).map_err(|e| explain(session, &ending(id), &e))
}

/// The call for a job, as messages describe it.
fn ending(id: &JobId) -> String {
    format!("ending the job {id}")
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

/// The answer of TerminateJobs.
#[derive(Debug)]
enum BulkAnswer {
    /// The jobs whose request was accepted, and the failures of others.
    Jobs { accepted: HashSet<String>, failures: HashMap<String, Failure> },
    /// The operation is missing in this region or on this server, or this user may not call it.
    Unusable,
}

/// Asks Batch in one call to end these jobs.
///
/// # Errors
/// When Batch cannot be reached or refuses the call.
async fn terminate_jobs(session: &Session, ids: &[JobId], reason: &str) -> Result<BulkAnswer, Failure> {
    let names = ids.iter().map(|id| id.as_str().to_owned()).collect();
    let sent = session.batch.terminate_jobs().set_jobs(Some(names)).reason(reason).send().await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => {
            let failure = explain(session, &format!("ending {} jobs", ids.len()), &error);
            let is_unusable = failure.kind() == ErrorKind::AccessDenied || is_unknown_operation(&error);
            return if is_unusable { Ok(BulkAnswer::Unusable) } else { Err(failure) };
        }
    };
    let failures = answer.errors().iter().filter_map(|error| {
        let id = error.job()?;
        let call = ending(&JobId::from_batch(id));
        let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
        Some((id.to_owned(), explain_item(session, &call, code, message)))
    });
    Ok(BulkAnswer::Jobs {
        failures: failures.collect(),
        accepted: answer.successful().iter().cloned().collect(),
    })
}

/// Whether a service does not have an operation. Services say it in several ways: with a code of
/// their own, or with nothing but the HTTP status.
fn is_unknown_operation<E: ProvideErrorMetadata>(
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> bool {
    const CODES: [&str; 4] =
        ["UnknownOperationException", "UnknownOperation", "InvalidAction", "MissingAuthenticationToken"];
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    matches!(status, Some(404 | 405 | 501)) || CODES.iter().any(|known| code.starts_with(known))
}

/// How many of many jobs have been ended, for a caller that is interrupted (Ctrl-C).
#[derive(Debug)]
pub struct TerminationProgress {
    /// The tool in whose name a message says that calls are made again.
    tool: &'static str,
    has_printed: Cell<bool>,
    /// The number of jobs that Batch has been asked to end.
    pub asked: Cell<usize>,
    /// The number of jobs that the calls which are under way name.
    pub under_way: Cell<usize>,
    calls: Semaphore,
    last_answer: Cell<Instant>,
    gave_up: RefCell<Option<Failure>>,
    /// The session with fresh credentials, once the first ones have expired.
    renewed: RefCell<Option<Session>>,
    /// TerminateJobs cannot be used: jobs are ended one by one.
    one_by_one: Cell<bool>,
}

impl TerminationProgress {
    /// Nothing has been done yet. `tool` is named where a message says that calls are made again.
    pub fn of(tool: &'static str) -> Self {
        Self {
            tool,
            has_printed: Cell::default(),
            asked: Cell::default(),
            under_way: Cell::default(),
            calls: Semaphore::new(CALLS_AT_ONCE),
            last_answer: Cell::new(Instant::now()),
            gave_up: RefCell::default(),
            renewed: RefCell::default(),
            one_by_one: Cell::default(),
        }
    }

    /// Says once that a call is made again and why, when there was no success for some seconds.
    fn report_retry(&self, unsuccessful: Duration, failure: &Failure) {
        if unsuccessful >= PRINT_AFTER && !self.has_printed.replace(true) {
            print_message(format!("{}: trying again: {failure}", self.tool));
        }
    }

    /// Makes a call that names this many jobs, when fewer than the maximum of calls run.
    async fn call<T>(&self, jobs: usize, call: impl Future<Output = T>) -> T {
        // The semaphore is never closed. If it were, the call would be made all the same.
        let _slot = self.calls.acquire().await;
        self.under_way.update(|n| n + jobs);
        let answer = call.await;
        self.under_way.update(|n| n - jobs);
        answer
    }
}

/// The outcome of the request to end a job.
type Outcome = (Job, Result<(), Failure>);

/// Ends many jobs. Each comes when Batch has been asked to end it, or could not be asked. Up to 50
/// jobs are ended by a call of TerminateJobs. Where this operation is missing or not permitted,
/// TerminateJob ends each.
///
/// Batch has to know the jobs: TerminateJobs takes an ID that no job has for a success.
///
/// Ending a job twice is the same as ending it once, so a call whose answer was lost, or that was
/// throttled, is made again. When no call has been answered for the contact timeout, the rest is
/// given up.
pub fn terminate_all<'a>(
    session: &'a Session,
    jobs: Vec<Job>,
    reason: &'a str,
    progress: &'a TerminationProgress,
) -> impl Stream<Item = Outcome> + Unpin + 'a {
    progress.last_answer.set(Instant::now());
    let chunks: Vec<Vec<Job>> = jobs.chunks(limits::TERMINATE_JOBS_IDS).map(<[Job]>::to_vec).collect();
    let outcomes = stream::iter(chunks).map(move |chunk| chunk_outcomes(session, chunk, reason, progress));
    Box::pin(outcomes.flatten_unordered(CALLS_AT_ONCE))
}

/// The outcomes of up to 50 jobs.
fn chunk_outcomes<'a>(
    session: &'a Session,
    jobs: Vec<Job>,
    reason: &'a str,
    progress: &'a TerminationProgress,
) -> impl Stream<Item = Outcome> + Unpin + 'a {
    let in_bulk = async move {
        // A single job needs no operation for many.
        if jobs.len() == 1 || progress.one_by_one.get() {
            return (Vec::new(), jobs);
        }
        terminate_in_bulk(session, jobs, reason, progress).await
    };
    let outcomes = in_bulk.into_stream().flat_map(move |(outcomes, rest)| {
        let one_by_one = stream::iter(rest).map(move |job| async move {
            let id = job.id();
            let call = async |session: &Session| terminate(session, &id, reason).await;
            let outcome = with_retries(session, &ending(&id), progress, 1, call).await;
            if outcome.is_ok() {
                progress.asked.update(|n| n + 1);
            }
            (job, outcome)
        });
        stream::iter(outcomes).chain(one_by_one.buffer_unordered(CALLS_AT_ONCE))
    });
    Box::pin(outcomes)
}

/// Ends jobs by TerminateJobs. Returns their outcomes, and the jobs that have to be ended one by
/// one. Only jobs whose entry failed in passing are asked for again. A job that an answer does not
/// name is ended alone, as it is open whether Batch has read its ID.
async fn terminate_in_bulk(
    session: &Session,
    jobs: Vec<Job>,
    reason: &str,
    progress: &TerminationProgress,
) -> (Vec<Outcome>, Vec<Job>) {
    let mut outcomes = Vec::with_capacity(jobs.len());
    let (mut left, mut unnamed) = (jobs, Vec::new());
    let mut retries = Retries::default();
    while !left.is_empty() {
        let ids: Vec<JobId> = left.iter().map(Job::id).collect();
        let call = async |session: &Session| terminate_jobs(session, &ids, reason).await;
        let what = format!("ending {} jobs", ids.len());
        let (accepted, mut failures) = match with_retries(session, &what, progress, ids.len(), call).await {
            Ok(BulkAnswer::Jobs { accepted, failures }) => (accepted, failures),
            Ok(BulkAnswer::Unusable) => {
                progress.one_by_one.set(true);
                unnamed.append(&mut left);
                return (outcomes, unnamed);
            }
            Err(failure) => {
                outcomes.extend(failed(left, &failure));
                return (outcomes, unnamed);
            }
        };
        let mut again = Vec::new();
        let mut in_passing = None;
        for job in left {
            match failures.remove(&job.job_id) {
                Some(failure) if failure.is_retryable() => {
                    in_passing = Some(failure);
                    again.push(job);
                }
                Some(failure) => outcomes.push((job, Err(failure))),
                None if accepted.contains(&job.job_id) => {
                    progress.asked.update(|n| n + 1);
                    outcomes.push((job, Ok(())));
                }
                None => unnamed.push(job),
            }
        }
        left = again;
        if let Some(failure) = in_passing
            && let Err(failure) = retries.pause(failure, progress).await
        {
            outcomes.extend(failed(left, &failure));
            break;
        }
    }
    (outcomes, unnamed)
}

/// The outcomes of jobs that a failure has in common.
fn failed(jobs: Vec<Job>, failure: &Failure) -> impl Iterator<Item = Outcome> {
    jobs.into_iter().map(|job| {
        let failed = failure.clone().wrap(ending(&job.id()));
        (job, Err(failed))
    })
}

/// The pauses between the attempts for entries that fail in passing.
#[derive(Debug)]
struct Retries {
    begun: Instant,
    pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { begun: Instant::now(), pause: FIRST_PAUSE }
    }
}

impl Retries {
    /// Pauses after a failure.
    ///
    /// # Errors
    /// With this failure, when the contact timeout would be over after the pause.
    async fn pause(&mut self, failure: Failure, progress: &TerminationProgress) -> Result<(), Failure> {
        if self.begun.elapsed() + self.pause > contact_timeout() {
            return Err(failure);
        }
        progress.report_retry(self.begun.elapsed(), &failure);
        tokio::time::sleep(some_of(self.pause)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Makes a call that ends `jobs` jobs, and repeats it while it fails in passing.
async fn with_retries<T>(
    session: &Session,
    what: &str,
    progress: &TerminationProgress,
    jobs: usize,
    call: impl AsyncFn(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let max_wait = contact_timeout();
    let mut pause = FIRST_PAUSE;
    let mut credentials_are_fresh = false;
    loop {
        let renewed = progress.renewed.borrow().clone();
        let session = renewed.as_ref().unwrap_or(session);
        if let Some(gave_up) = &*progress.gave_up.borrow() {
            let message = format!("{what}: given up, as contact is lost");
            return Err(gave_up.clone().wrap(message));
        }
        let failure = match progress.call(jobs, call(session)).await {
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
        progress.report_retry(progress.last_answer.get().elapsed(), &failure);
        tokio::time::sleep(some_of(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
