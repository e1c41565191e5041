//! Why Batch refused a job, in plain words.
//!
//! Batch's own words for it are not documented, and some (`Container overrides or node overrides should not be
//! set`) do not help. What is wrong can be seen, so it is looked up once a job has been refused; a job that is
//! taken costs no extra call.

use super::definition::{self, Kind};
use super::prepare::takes_no_overrides;
use super::queue::queue;
use crate::cluster::Session;
use crate::job::SubmitRequest;
use crate::ui::Failure;

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

/// The refusal in plain words, if its reason can be seen; else `failure` as it is.
pub async fn in_plain_words(session: &Session, refused: Refused<'_>, failure: Failure) -> Failure {
    let Refused { doing, request, message } = refused;
    let has_share = request.share_identifier.is_some();
    // Whatever goes wrong with looking is nothing to the user, who has a failure already.
    let seen = match queue(session, &request.job_queue)
        .await
        .ok()
        .flatten()
        .and_then(|q| q.refusal(doing, has_share))
    {
        Some(seen) => Some(seen),
        None => match definition::describe(session, &request.job_definition).await {
            Ok(facts) => match (&facts.kind, request.node_overrides.is_some()) {
                (Kind::MultiNode { nodes, .. }, false) => Some(
                    Failure::usage(format!(
                        "{doing}: the job definition {} is for multi-node parallel jobs",
                        facts.name
                    ))
                    .hint(format!("`--nodes {nodes}` submits one")),
                ),
                _ => takes_no_overrides(&facts)
                    .map(|f| Failure { message: format!("{doing}: {}", f.message), ..f }),
            },
            Err(_) => None,
        },
    };
    match seen {
        Some(seen) => seen.hint(format!("Batch says: {message}")),
        None if message.contains("schedulingPriority") => {
            failure.hint("`--priority N` says how this job ranks among those of its share")
        }
        None => failure,
    }
}
