//! Why Batch refused a job, in plain words.
//!
//! Batch's own words for it are not documented, and some (`Container overrides or node overrides should not be
//! set`) do not help. What is wrong can be seen, so it is looked up once a job has been refused; a job that is
//! taken costs no extra call.

use std::time::Duration;

use super::definition::{self, DefinitionKind, takes_no_overrides};
use super::describe;
use super::queue::queue;
use crate::aws::Session;
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, NamePattern, SubmitRequest, words};

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
    let is_part = id.part().is_some();
    if let Some(whole) = describe(session, &[id.whole()]).await.ok().filter(|_| is_part)
        && let [Some(whole)] = whole.as_slice()
    {
        let (whole_id, name) = (whole.id(), &whole.job_name);
        let has = match whole.parts() {
            None => "has no children".to_owned(),
            Some(parts) => {
                format!("has {}, from 0 to {}", words::many(parts, "child"), parts.saturating_sub(1))
            }
        };
        let failure = Failure::failed(format!("{}: the job {whole_id} ({name}) {has}", refused.doing));
        return Some(failure.hint(format!("`-d {whole_id}` waits for all of it")));
    }
    let message = format!("{}: Batch does not have the job {id} that it depends on", refused.doing);
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
    let summary = match definition::describe(session, &request.job_definition).await {
        Ok(summary) => summary,
        Err(failure) => {
            let was_kept =
                (failure.kind() == ErrorKind::Stale) | definition::forget(session, &request.job_definition);
            return was_kept.then(|| {
                let message = format!("{doing}: {failure}");
                failure
                    .wrap(message)
                    .hint("if it was derived from the cluster's, the same command derives it again")
            });
        }
    };
    match (&summary.kind, &request.node_overrides) {
        (DefinitionKind::MultiNode { nodes, .. }, None) => {
            let name = &summary.name;
            let message = format!("{doing}: the job definition {name} is for multi-node parallel jobs");
            Some(Failure::usage(message).hint(format!("`--nodes {nodes}` submits one")))
        }
        _ => takes_no_overrides(&summary).map(|failure| {
            let message = format!("{doing}: {failure}");
            failure.wrap(message)
        }),
    }
}
