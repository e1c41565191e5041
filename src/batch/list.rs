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

/// One call is for one state. They run side by side; a job that changes its state meanwhile may be in two
/// answers, and then counts where it had got further.
async fn all(session: &Session, of: Of<'_>, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut calls = tokio::task::JoinSet::new();
    for status in statuses {
        let pages = session
            .batch
            .list_jobs()
            .job_status(JobStatus::from(status.as_str()))
            .max_results(limits::LIST_JOBS_PAGE);
        let pages = match of {
            Of::Queue(queue) => pages.job_queue(queue),
            Of::Array(parent) => pages.array_job_id(parent.as_str()),
        };
        let mut pages = pages.into_paginator().send();
        calls.spawn(async move {
            let mut jobs = Vec::new();
            while let Some(page) = pages.next().await {
                jobs.extend(page?.job_summary_list().iter().map(Job::from));
            }
            Ok(jobs)
        });
    }
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    while let Some(call) = calls.join_next().await {
        let listed: Result<Vec<Job>, aws_sdk_batch::error::SdkError<_>> =
            call.map_err(|e| Failure::failed(format!("listing jobs: {e}")))?;
        let listed = listed.map_err(|e| {
            let what = match of {
                Of::Queue(queue) => format!("the jobs of the queue {queue}"),
                Of::Array(parent) => format!("the children of the array {parent}"),
            };
            explain(session, &format!("listing {what}"), &e)
        })?;
        for job in listed {
            match jobs.get(&job.job_id) {
                Some(known) if known.status >= job.status => {}
                _ => {
                    jobs.insert(job.job_id.clone(), job);
                }
            }
        }
    }
    Ok(jobs.into_values().collect())
}
