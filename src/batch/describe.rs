//! DescribeJobs.

use std::collections::HashMap;

use aws_sdk_batch::types::JobDetail;
use futures_util::StreamExt;
use futures_util::stream;

use super::Job;
use crate::aws::{Session, apart, explain};
use crate::ui::Failure;
use awsb_model::{JobId, limits, words};

/// So many calls are under way at once; when Batch turns one away, all of them slow down together.
const AT_ONCE: usize = 10;

/// What Batch knows of these jobs, in the given order; `None` for one that it does not know.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn describe(session: &Session, ids: &[JobId]) -> Result<Vec<Option<Job>>, Failure> {
    // A job's details are many times as long as what we keep of them.
    told(session, ids, |detail| Job::from(&detail)).await
}

/// The same in the API's own words.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn details(session: &Session, ids: &[JobId]) -> Result<Vec<Option<JobDetail>>, Failure> {
    told(session, ids, |detail| detail).await
}

async fn told<T: Clone>(
    session: &Session,
    ids: &[JobId],
    kept: fn(JobDetail) -> T,
) -> Result<Vec<Option<T>>, Failure> {
    let mut known: HashMap<String, T> = HashMap::new();
    let chunks: Vec<Vec<JobId>> = ids.chunks(limits::DESCRIBE_JOBS_IDS).map(<[_]>::to_vec).collect();
    let asked = chunks.into_iter().map(|chunk| {
        let session = session.clone();
        apart(async move { hundred(&session, chunk).await })
    });
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some(jobs) = answers.next().await {
        known.extend(jobs?.into_iter().map(|job| (job.job_id().unwrap_or_default().to_owned(), kept(job))));
    }
    drop(answers);
    Ok(ids.iter().map(|id| known.get(id.as_str()).cloned()).collect())
}

/// What Batch knows of up to 100 jobs, in any order.
async fn hundred(session: &Session, ids: Vec<JobId>) -> Result<Vec<JobDetail>, Failure> {
    let asked = ids.iter().map(|id| id.as_str().to_owned()).collect();
    let answer = session.batch.describe_jobs().set_jobs(Some(asked)).send().await.map_err(|e| {
        let what = match ids.as_slice() {
            [id] => format!("the job {id}"),
            _ => words::many(ids.len(), "job"),
        };
        explain(session, &format!("asking for {what}"), &e)
    })?;
    Ok(answer.jobs.unwrap_or_default())
}

/// What Batch knows of one job.
///
/// # Errors
/// When Batch cannot be asked, or does not know the job.
pub async fn describe_one(session: &Session, id: &JobId) -> Result<Job, Failure> {
    let job = describe(session, std::slice::from_ref(id)).await?.pop().flatten();
    job.ok_or_else(|| unknown(session, id))
}

/// The failure for a job that Batch does not know.
pub fn unknown(session: &Session, id: &JobId) -> Failure {
    let failure = Failure::failed(format!("there is no job {id} ({})", session.place()))
        .hint("`bstat -s ALL` lists the jobs that Batch still has; it removes ended jobs after some days");
    if id.is_full() {
        failure
    } else {
        let failure = failure.hint(format!(
            "the beginning of an ID (four digits or more) works for jobs that were submitted from here or \
             are in the queue {}",
            session.cluster.job_queue
        ));
        match id.part() {
            Some(_) => failure,
            None => failure.hint(format!("`bstat -s ALL --name {id}` shows the jobs with this name")),
        }
    }
}
