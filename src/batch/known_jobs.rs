//! All jobs that Batch knows in all queues, for what removes things that none of them uses.

use std::collections::{BTreeSet, HashSet};

use futures_util::StreamExt;

use super::{JobQuery, ListOrder, queues, select_pages};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// The jobs of all queues of the account and region, in every state. Batch forgets ended jobs after
/// some days.
#[derive(Debug, Clone, Default)]
pub struct KnownJobs {
    /// All jobs that are neither children nor nodes.
    pub ids: BTreeSet<JobId>,
    /// The ARNs of their job definitions, with revisions.
    pub definitions: HashSet<String>,
}

/// Lists the jobs of all queues, one state after the other, so that a job that changes its state
/// meanwhile is not missed.
///
/// # Errors
/// When Batch cannot be asked. Then it is not known what is in use.
pub async fn known_jobs(session: &Session) -> Result<KnownJobs, Failure> {
    // The queues of service jobs have no compute environments, and ListJobs does not list them.
    let queues =
        queues(session, &[]).await?.into_iter().filter(|queue| !queue.compute_environments.is_empty());
    let query = JobQuery {
        queues: queues.map(|queue| queue.job_queue_arn).collect(),
        statuses: Status::ALL.to_vec(),
        name: None,
        since: None,
        until: None,
        submitter: None,
    };
    let mut known = KnownJobs::default();
    if query.queues.is_empty() {
        return Ok(known);
    }
    let mut pages = select_pages(session, &query, ListOrder::InTurn).await?;
    while let Some(page) = pages.next().await {
        for job in page?.jobs {
            known.ids.insert(job.id());
            known.definitions.extend(job.job_definition);
        }
    }
    Ok(known)
}
