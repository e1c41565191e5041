//! Why Batch refused a job, in plain words.
//!
//! Batch's own words for it are not documented, and some (`Container overrides or node overrides should not be
//! set`) do not help. What is wrong can be seen, so it is looked up once a job has been refused; a job that is
//! taken costs no extra call.

use std::time::Duration;

use super::definition::{self, Kind};
use super::describe;
use super::prepare::takes_no_overrides;
use super::queue::queue;
use crate::cluster::Session;
use crate::ui::Failure;
use awsb_model::{JobId, SubmitRequest};

/// A job that Batch has refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// What was being done.
    pub doing: &'a str,
    /// What Batch was asked.
    pub request: &'a SubmitRequest,
    /// Batch's words.
    pub message: &'a str,
}

/// How long may be looked for the reason; the user waits for a failure.
const LOOKING: Duration = Duration::from_secs(4);

/// The refusal in plain words, if its reason can be seen; else `failure` as it is.
pub async fn in_plain_words(session: &Session, refused: Refused<'_>, failure: Failure) -> Failure {
    let message = refused.message;
    match tokio::time::timeout(LOOKING, seen(session, refused)).await.ok().flatten() {
        Some(seen) => seen.hint(format!("Batch says: {message}")),
        None if message.contains("schedulingPriority") => {
            failure.hint("set the job's priority within its share with `--priority N`")
        }
        None => failure,
    }
}

/// A job that this one waits for and that Batch does not know.
async fn forgotten(session: &Session, refused: Refused<'_>) -> Option<Failure> {
    let ids = refused.request.depends_on.iter().filter_map(|d| d.job_id.as_deref());
    let ids: Vec<JobId> = ids.map(JobId::from_batch).collect();
    let known = describe(session, &ids).await.ok()?;
    let (id, _) = ids.iter().zip(known).find(|(_, job)| job.is_none())?;
    let message = format!("{}: Batch does not have the job {id} that it depends on", refused.doing);
    Some(
        Failure::failed(message)
            .hint(
                "Batch removes ended jobs after some days: if this one has succeeded, submit without the \
                   dependency",
            )
            .hint("check that it belongs to this cluster, account and region"),
    )
}

/// What is wrong with the queue or the job definition. What goes wrong with looking is nothing to the user, who
/// has a failure already.
async fn seen(session: &Session, refused: Refused<'_>) -> Option<Failure> {
    let Refused { doing, request, .. } = refused;
    let queue = queue(session, &request.job_queue).await.ok().flatten();
    if let Some(refusal) = queue.and_then(|q| q.refusal(doing, request.share_identifier.is_some())) {
        return Some(refusal);
    }
    if let Some(forgotten) = forgotten(session, refused).await {
        return Some(forgotten);
    }
    let facts = match definition::describe(session, &request.job_definition).await {
        Ok(facts) => facts,
        Err(failure) => {
            let was_kept = failure.stale | definition::forget(session, &request.job_definition);
            return was_kept.then(|| {
                Failure { message: format!("{doing}: {}", failure.message), ..failure }
                    .hint("if it was derived from the cluster's, the same command derives it again")
            });
        }
    };
    match (&facts.kind, &request.node_overrides) {
        (Kind::MultiNode { nodes, .. }, None) => {
            let name = &facts.name;
            let message = format!("{doing}: the job definition {name} is for multi-node parallel jobs");
            Some(Failure::usage(message).hint(format!("`--nodes {nodes}` submits one")))
        }
        _ => takes_no_overrides(&facts).map(|f| Failure { message: format!("{doing}: {}", f.message), ..f }),
    }
}
