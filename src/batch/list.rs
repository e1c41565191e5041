//! ListJobs.

use std::collections::BTreeMap;

use aws_sdk_batch::types::JobStatus;

use super::Job;
use crate::cluster::{Session, explain};
use crate::job::{JobId, Status, limits};
use crate::ui::Failure;

/// What is listed.
#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    Queue(&'a str),
    Array(&'a JobId),
    Nodes(&'a JobId),
}

/// The jobs of a queue that are in one of these states, the oldest first.
///
/// # Errors
/// When Batch cannot be asked or does not know the queue.
pub async fn list(session: &Session, queue: &str, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut jobs = all(session, Of::Queue(queue), statuses).await?;
    jobs.sort_by(|a, b| (a.created_at, &a.job_id).cmp(&(b.created_at, &b.job_id)));
    Ok(jobs)
}

/// The children of an array that are in one of these states, by index.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn children(session: &Session, parent: &JobId, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut jobs = all(session, Of::Array(parent), statuses).await?;
    jobs.sort_by_key(|j| j.id().array_index());
    Ok(jobs)
}

/// The jobs that write the output of an array or an MNP job, by index.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn parts(session: &Session, parent: &Job, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    if !parent.is_mnp_parent() {
        return children(session, &parent.id(), statuses).await;
    }
    let mut jobs = all(session, Of::Nodes(&parent.id()), statuses).await?;
    jobs.sort_by_key(|j| j.id().node_index());
    Ok(jobs)
}

/// One call is for one state. They are made in the order of a job's life, one after the other: a job that
/// moves on meanwhile may be in two answers, and then counts where it had got further, but is in one at least.
async fn all(session: &Session, of: Of<'_>, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    for status in statuses {
        let status = JobStatus::from(status.as_str());
        let pages = session.batch.list_jobs().job_status(status).max_results(limits::LIST_JOBS_PAGE);
        let pages = match of {
            Of::Queue(queue) => pages.job_queue(queue),
            Of::Array(parent) => pages.array_job_id(parent.as_str()),
            Of::Nodes(parent) => pages.multi_node_job_id(parent.as_str()),
        };
        let mut pages = pages.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| {
                let what = match of {
                    Of::Queue(queue) => format!("the jobs of the queue {queue}"),
                    Of::Array(parent) => format!("the children of the array {parent}"),
                    Of::Nodes(parent) => format!("the nodes of the job {parent}"),
                };
                explain(session, &format!("listing {what}"), &e)
            })?;
            jobs.extend(page.job_summary_list().iter().map(Job::from).map(|job| (job.job_id.clone(), job)));
        }
    }
    Ok(jobs.into_values().collect())
}
