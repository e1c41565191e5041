//! SubmitJob: never twice, never lost.
//!
//! SubmitJob has no idempotency token, and an SDK that retries it submits twice when a reply is
//! lost. So the SDK's retries are off, each submission carries a [`SubmissionId`] in the job's
//! environment, and [`protocol`](super::protocol) decides what follows when a reply is lost. This
//! module executes its actions with the SDK, and makes messages of its outcomes.

#[cfg(test)]
mod agreement;
mod driver;
mod outcome;
mod progress;
mod retry_policy;
mod store;
mod submitted_jobs;

use std::slice;

use uuid::Uuid;

pub use progress::SubmissionProgress;
pub use retry_policy::RetryPolicy;
pub(super) use retry_policy::some_of;
pub use submitted_jobs::SubmittedJobs;

use super::protocol::{Holder, KeyHolder, Outcome, Random, SearchTarget, Submission};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::{JobId, OnceKey, SubmissionId, SubmitRequest};
use driver::{Driver, Machine};
use store::Store;

pub use super::protocol::Submitted;

impl Submitted {
    /// The ID, typed.
    pub fn id(&self) -> JobId {
        JobId::from_batch(&self.job_id)
    }
}

/// Submits a job exactly once, as `batch::protocol` decides.
///
/// # Errors
/// When Batch rejects the job, or throttles it or cannot be reached until the submit timeout. Then
/// there is no job, unless an attempt was lost before. If it is unknown whether the job exists, the
/// failure says so, with the mark and how to search for it. [`SubmissionProgress::is_unknown`]
/// tells the two cases apart.
pub async fn submit(
    session: &Session,
    request: &SubmitRequest,
    mark: &SubmissionId,
    retry_policy: &RetryPolicy,
    progress: &SubmissionProgress,
) -> Result<Submitted, Failure> {
    let driver = Driver::new(session, slice::from_ref(request), None, progress);
    let limits = retry_policy.limits();
    let submission = Submission::new((0, &target(request)), mark.clone(), limits, random(), driver.now());
    let SubmittedJobs { jobs, .. } = driver.run(Machine::One(Box::new(submission))).await?;
    jobs.into_iter().next().ok_or_else(|| Failure::failed("the submission named no job"))
}

/// Submits the jobs of a key, unless they exist, as `batch::protocol` decides.
///
/// * All of them are active or SUCCEEDED: nothing is submitted. The same holds while any of them is
///   active, even if others have failed, because the work goes on.
/// * All have ended, and some FAILED: the failed ones are submitted again, the others are kept.
///   When the requests differ from the earlier ones (in number, names or queues), all are submitted
///   again.
/// * Another process is submitting them: this call waits for it.
///
/// # Errors
/// As [`submit`]; when the key's object cannot be read or written; when Batch has forgotten the
/// jobs.
pub async fn once(
    session: &Session,
    key: &OnceKey,
    requests: &[SubmitRequest],
    retry_policy: &RetryPolicy,
    progress: &SubmissionProgress,
) -> Result<SubmittedJobs, Failure> {
    let driver = Driver::new(session, requests, Some((key, Store::new(session, key))), progress);
    let holder = Holder { key: key.as_str().to_owned(), id: Uuid::new_v4().to_string(), by: myself() };
    let targets = requests.iter().map(target).collect();
    let key = KeyHolder::new(holder, targets, retry_policy.limits(), random(), driver.now());
    driver.run(Machine::Key(Box::new(key))).await
}

/// The queue and the name by which the job of a request is searched for.
fn target(request: &SubmitRequest) -> SearchTarget {
    SearchTarget { queue: request.job_queue.clone(), name: request.job_name.clone() }
}

fn random() -> Random {
    Random::new(Uuid::new_v4().as_u128())
}

/// `user@host`, for people.
fn myself() -> String {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into());
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    format!("{user}@{}", host.as_deref().unwrap_or("somewhere"))
}
