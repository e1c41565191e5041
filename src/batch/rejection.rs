//! Explanations for a job that Batch has rejected.
//!
//! Batch's own messages are not documented, and some (`Container overrides or node overrides should
//! not be set`) do not help. The reason can be seen elsewhere, so it is looked up after a
//! rejection. A job that is accepted costs no extra call.

use std::time::Duration;

use super::definition::{self, DefinitionKind, needs_nodes, takes_no_overrides};
use super::describe::{describe, parts_in_words};
use super::queues::find_queue;
use crate::aws::Session;
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, NamePattern, SubmitRequest};

/// A request that Batch has rejected.
#[derive(Debug, Clone, Copy)]
pub struct RejectedRequest<'a> {
    /// The action that failed, for the message.
    pub doing: &'a str,
    /// The request.
    pub request: &'a SubmitRequest,
    /// Batch's message.
    pub message: &'a str,
}

/// The time limit of the search for the reason, as the user waits for the failure.
const MAX_TIME: Duration = Duration::from_secs(4);

/// A failure that explains the rejection, if its reason is found; else `failure` as it is.
pub async fn explain_rejection(
    session: &Session,
    rejected: RejectedRequest<'_>,
    failure: Failure,
) -> Failure {
    let message = rejected.message;
    match tokio::time::timeout(MAX_TIME, find_reason(session, rejected)).await.ok().flatten() {
        Some(explanation) => explanation.hint(format!("Batch says: {message}")),
        None if message.contains("schedulingPriority") => {
            failure.hint("set the job's priority within its share with `--priority N`")
        }
        None => failure,
    }
}

/// The failure for a dependency that Batch does not know.
async fn unknown_dependency(session: &Session, rejected: RejectedRequest<'_>) -> Option<Failure> {
    let ids = rejected.request.depends_on.iter().filter_map(|d| d.job_id.as_deref());
    let ids: Vec<JobId> = ids.map(JobId::from_batch).collect();
    let known = describe(session, &ids).await.ok()?;
    let (id, _) = ids.iter().zip(known).find(|(_, job)| job.is_none())?;
    let is_part = id.part().is_some();
    if let Some(whole) = describe(session, &[id.whole()]).await.ok().filter(|_| is_part)
        && let [Some(whole)] = whole.as_slice()
    {
        let (whole_id, name) = (whole.id(), &whole.job_name);
        let has = parts_in_words(whole);
        let failure = Failure::failed(format!("{}: the job {whole_id} ({name}) {has}", rejected.doing));
        return Some(failure.hint(format!("`-d {whole_id}` waits for all of it")));
    }
    let message = format!("{}: Batch does not have the job {id} that it depends on", rejected.doing);
    let failure = Failure::failed(message);
    if !is_part && !id.is_full() && id.as_str().parse::<NamePattern>().is_ok() {
        return Some(failure.hint(format!("`-d name:{id}` waits for your jobs of this name")));
    }
    Some(
        failure
            .hint(
                "Batch removes ended jobs after some days: if this one has succeeded, submit without the \
                   dependency",
            )
            .hint("check that it belongs to this cluster, account and region"),
    )
}

/// The reason, in the queue, the dependencies or the job definition. A failure of the search itself
/// does not matter to the user, who has a failure already.
async fn find_reason(session: &Session, rejected: RejectedRequest<'_>) -> Option<Failure> {
    let RejectedRequest { doing, request, .. } = rejected;
    let queue = find_queue(session, &request.job_queue).await.ok().flatten();
    if let Some(failure) = queue.and_then(|q| q.rejection(doing, request.share_identifier.is_some())) {
        return Some(failure);
    }
    if let Some(failure) = unknown_dependency(session, rejected).await {
        return Some(failure);
    }
    // A cached description says nothing about whether the job definition still exists.
    let described = definition::describe_uncached(session, &request.job_definition).await.ok()?;
    let Some(summary) = described else {
        let failure = definition::missing(session, &request.job_definition);
        let was_cached =
            (failure.kind() == ErrorKind::Stale) | definition::forget(session, &request.job_definition);
        return was_cached.then(|| {
            let message = format!("{doing}: {failure}");
            failure
                .wrap(message)
                .hint("if it was derived from the cluster's, the same command derives it again")
        });
    };
    match (&summary.kind, &request.node_overrides) {
        (DefinitionKind::MultiNode { .. }, None) => needs_nodes(&summary).map(|failure| {
            let message = format!("{doing}: {failure}");
            failure.wrap(message)
        }),
        (DefinitionKind::Ecs(_), _) if request.container_overrides.is_some() => {
            // The request was made without a look at the job definition.
            definition::set_to_be_read(session, &request.job_definition);
            let failure = Failure::failed(format!(
                "{doing}: the job definition {} is for a task of containers (ecsProperties)",
                summary.name
            ));
            Some(
                failure
                    .with_kind(ErrorKind::UnreadDefinition)
                    .hint("`bsub` submits to such a job definition"),
            )
        }
        _ => takes_no_overrides(&summary).map(|failure| {
            let message = format!("{doing}: {failure}");
            failure.wrap(message)
        }),
    }
}
