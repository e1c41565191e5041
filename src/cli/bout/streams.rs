//! The log streams of a job.

use std::sync::Arc;

use crate::aws::Session;
use crate::batch::{self, Job};
use crate::logs::{self, LogQuery, LogStreamRef};
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// At most this many children are described together: a description takes about 10 KB.
const DESCRIBE_BATCH: usize = 1_000;

/// The streams of a job's attempts, or of all children or nodes that the query asks for, by index.
/// Parts whose output was not all kept are added to `lossy`.
///
/// # Errors
/// When Batch cannot be asked, or there is no such attempt.
pub async fn of_job(
    session: &Session,
    job: &Job,
    query: &LogQuery,
    lossy: &mut Vec<Job>,
) -> Result<Vec<Arc<LogStreamRef>>, Failure> {
    if job.parts().is_none() {
        let streams = LogStreamRef::of_query(job, session, query);
        return match (query.attempt, &query.container) {
            (Some(number), _) if job.streams(Some(number)).is_empty() => Err(no_such_attempt(job, number)),
            (_, Some(name)) if streams.is_empty() => Err(container_without_stream(job, name)),
            _ => Ok(streams),
        };
    }
    let mut streams = Vec::new();
    for ids in parts(session, job, query).await?.chunks(DESCRIBE_BATCH) {
        for part in logs::describe_writers(session, ids).await? {
            if !query.failed || part.status == Status::Failed {
                streams.extend(LogStreamRef::of_query(&part, session, query));
                lossy.extend(part.lost_output().is_some().then_some(part));
            }
        }
    }
    match query.attempt {
        Some(number) if streams.is_empty() => {
            let (id, kind) = (&job.job_id, if job.is_mnp_parent() { "nodes" } else { "children" });
            let chosen = if query.failed || query.indices.is_some() { "chosen " } else { "" };
            Err(Failure::failed(format!(
                "none of the {chosen}{kind} of the job {id} has an attempt {number}"
            )))
        }
        _ => Ok(streams),
    }
}

/// The children or nodes that may have lines.
async fn parts(session: &Session, job: &Job, query: &LogQuery) -> Result<Vec<JobId>, Failure> {
    let size = job.parts().unwrap_or(0);
    if let Some(indices) = &query.indices {
        return Ok(indices.iter().filter(|i| **i < size).map(|i| job.part(*i)).collect());
    }
    let mut statuses = vec![Status::Failed];
    if !query.failed {
        statuses.extend([Status::Starting, Status::Running, Status::Succeeded]);
        // A job between two attempts has the lines of the first.
        if job.retry_strategy.as_ref().and_then(|r| r.attempts).is_some_and(|n| n > 1) {
            statuses.push(Status::Runnable);
        }
    }
    Ok(batch::parts(session, job, &statuses).await?.iter().map(Job::id).collect())
}

/// The failure of a container that has no log stream: it was not started, or Batch has not named
/// its stream yet.
pub fn container_without_stream(job: &Job, name: &str) -> Failure {
    let id = &job.job_id;
    let yet = if job.status.has_ended() { "" } else { " yet" };
    Failure::failed(format!("the container `{name}` of the job {id} has no log stream{yet}"))
        .hint(format!("`bstat -d {id}` shows how its containers are"))
}

fn no_such_attempt(job: &Job, number: u32) -> Failure {
    let id = &job.job_id;
    match job.attempts_begun() {
        0 => Failure::failed(format!("the job {id} has not been tried yet")),
        1 => Failure::failed(format!("the job {id} has no attempt {number}: it was tried once")),
        n => Failure::failed(format!("the job {id} has no attempt {number}: it was tried {n} times")),
    }
}
