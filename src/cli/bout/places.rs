//! Where the lines of a job are.

use std::sync::Arc;

use crate::aws::Session;
use crate::batch::{self, Job};
use crate::logs::{Place, Wanted};
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// So many children are asked for at once: a description takes about 10 KB.
const DESCRIBED: usize = 1_000;

/// The streams of a job's attempts, or of all children or nodes that are wanted, by index. Those whose output was not all
/// kept are added to `lossy`.
///
/// # Errors
/// When Batch cannot be asked, or there is no such attempt.
pub async fn of(
    session: &Session,
    job: &Job,
    wanted: &Wanted,
    lossy: &mut Vec<Job>,
) -> Result<Vec<Arc<Place>>, Failure> {
    if job.parts().is_none() {
        let places = Place::all_of(job, session, wanted.attempt);
        return match wanted.attempt {
            Some(number) if places.is_empty() => Err(no_such_attempt(job, number)),
            _ => Ok(places),
        };
    }
    let mut places = Vec::new();
    for ids in parts(session, job, wanted).await?.chunks(DESCRIBED) {
        for part in batch::describe(session, ids).await?.into_iter().flatten() {
            if !wanted.failed || part.status == Status::Failed {
                places.extend(Place::all_of(&part, session, wanted.attempt));
                lossy.extend(part.lost_output().is_some().then_some(part));
            }
        }
    }
    Ok(places)
}

/// The children or nodes that may have lines.
async fn parts(session: &Session, job: &Job, wanted: &Wanted) -> Result<Vec<JobId>, Failure> {
    let size = job.parts().unwrap_or(0);
    if let Some(indices) = &wanted.indices {
        return Ok(indices.iter().filter(|i| **i < size).map(|i| job.part(*i)).collect());
    }
    let mut statuses = vec![Status::Failed];
    if !wanted.failed {
        statuses.extend([Status::Starting, Status::Running, Status::Succeeded]);
        // Between two attempts there are the lines of the first.
        if job.retry_strategy.as_ref().and_then(|r| r.attempts).is_some_and(|n| n > 1) {
            statuses.push(Status::Runnable);
        }
    }
    Ok(batch::parts(session, job, &statuses).await?.iter().map(Job::id).collect())
}

fn no_such_attempt(job: &Job, number: u32) -> Failure {
    let id = &job.job_id;
    match job.attempts_begun() {
        0 => Failure::failed(format!("the job {id} has not been tried yet")),
        1 => Failure::failed(format!("the job {id} has no attempt {number}: it was tried once")),
        n => Failure::failed(format!("the job {id} has no attempt {number}: it was tried {n} times")),
    }
}
