//! The jobs in a queue, and the job that blocks it.

use std::fmt;

use futures_util::StreamExt;
use futures_util::future::try_join_all;

use super::Queue;
use crate::aws::{Call, Session, explain};
use crate::batch::{Job, ListPage, ListTarget, describe, pages};
use crate::ui::Failure;
use awsb_model::{JobId, Status, blocking_code};

/// The number of jobs in a state, as far as one page tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCount {
    /// At least this many.
    pub jobs: usize,
    /// Whether there may be more.
    pub more: bool,
}

impl fmt::Display for JobCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.jobs, if self.more { "+" } else { "" })
    }
}

/// The jobs in a queue.
#[derive(Debug, Clone)]
pub struct QueueUsage {
    /// The number of jobs by state, in the order of the request. An array counts as one job, as
    /// Batch lists it.
    pub counts: Vec<(Status, JobCount)>,
    /// The same, but in place of an array, its children count, each in its own state.
    pub with_children: Vec<(Status, JobCount)>,
    /// The job that blocks the queue, if Batch names one.
    pub blocked: Option<BlockingJob>,
    /// The reason why it is not known whether a job blocks the queue.
    pub unknown: Option<Failure>,
    /// The queue's snapshot.
    pub snapshot: Result<QueueSnapshot, Failure>,
}

/// A job that cannot be placed, and blocks those behind it (UG `job_stuck_in_runnable`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockingJob {
    /// Its ID.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// Batch's reason, which begins with the code.
    pub status_reason: String,
}

impl BlockingJob {
    /// The code of the reason, such as `MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT`.
    pub fn code(&self) -> &str {
        blocking_code(&self.status_reason).unwrap_or(&self.status_reason)
    }

    fn of(job: &Job) -> Option<Self> {
        let reason = job.status_reason.as_deref()?;
        blocking_code(reason)?;
        Some(Self {
            job_id: job.job_id.clone(),
            job_name: job.job_name.clone(),
            status_reason: reason.to_owned(),
        })
    }
}

/// The jobs in a queue, by one page of each state. All pages are asked for at the same time.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn queue_usage(
    session: &Session,
    queue: &Queue,
    statuses: &[Status],
) -> Result<QueueUsage, Failure> {
    let firsts = statuses.iter().map(|status| async {
        let mut pages = pages(session, ListTarget::Queue(queue.job_queue_arn.clone()), &[*status]);
        let nothing = ListPage { status: *status, jobs: Vec::new(), more: false };
        pages.next().await.unwrap_or(Ok(nothing))
    });
    let (firsts, snapshot) = tokio::join!(try_join_all(firsts), queue_snapshot(session, queue));
    let firsts = firsts?;
    let counts = firsts.iter().map(|page| (page.status, JobCount { jobs: page.jobs.len(), more: page.more }));
    let (blocked, unknown) = match find_blocking_job(session, &snapshot, &firsts).await {
        Ok(blocked) => (blocked, None),
        Err(failure) => (None, Some(failure)),
    };
    let counts: Vec<(Status, JobCount)> = counts.collect();
    let arrays = arrays(session, &firsts).await;
    let with_children = count_children(&counts, &arrays);
    Ok(QueueUsage { counts, with_children, blocked, unknown, snapshot })
}

/// The arrays on these pages, with the states of their children, which a listing may lack.
async fn arrays(session: &Session, firsts: &[ListPage]) -> Vec<Job> {
    let listed = firsts.iter().flat_map(|page| &page.jobs).filter(|job| job.is_array_parent());
    let (unknown, mut arrays): (Vec<Job>, Vec<Job>) = listed.cloned().partition(Job::lacks_progress);
    let ids: Vec<JobId> = unknown.iter().map(Job::id).collect();
    let described = match ids.is_empty() {
        true => Vec::new(),
        // For a user who may only list jobs, such an array counts as one job.
        false => describe(session, &ids).await.unwrap_or_default(),
    };
    let described = described.into_iter().chain(std::iter::repeat(None));
    // The state is that of the page on which it was counted.
    arrays.extend(unknown.into_iter().zip(described).map(|(listed, described)| match described {
        Some(job) => Job { status: listed.status, ..job },
        None => listed,
    }));
    arrays
}

/// The counts with the children of these arrays in place of the arrays.
fn count_children(counts: &[(Status, JobCount)], arrays: &[Job]) -> Vec<(Status, JobCount)> {
    let mut counts = counts.to_vec();
    for array in arrays.iter().filter(|array| !array.lacks_progress()) {
        let summary = array.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
        for (status, count) in &mut counts {
            let children = summary.and_then(|summary| summary.get(status.as_str()));
            count.jobs += children.and_then(|n| usize::try_from(*n).ok()).unwrap_or(0);
            count.jobs -= usize::from(*status == array.status).min(count.jobs);
        }
    }
    counts
}

/// The oldest RUNNABLE job whose reason has a code. It may be on a page that was not read, or be a
/// child, which no listing of a queue has. Then the queue's snapshot names the head of the queue.
async fn find_blocking_job(
    session: &Session,
    snapshot: &Result<QueueSnapshot, Failure>,
    firsts: &[ListPage],
) -> Result<Option<BlockingJob>, Failure> {
    let of = |status| firsts.iter().filter(move |page| page.status == status);
    let coded = of(Status::Runnable).flat_map(|page| &page.jobs).filter(|job| BlockingJob::of(job).is_some());
    let oldest = coded.min_by(|a, b| (a.created_at, &a.job_id).cmp(&(b.created_at, &b.job_id)));
    let has_runnable_children = |job: &Job| {
        let summary = job.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
        job.is_array_parent() && summary.is_none_or(|counts| counts.get("RUNNABLE") != Some(&0))
    };
    let elsewhere = of(Status::Runnable).any(|page| page.more)
        || of(Status::Pending).flat_map(|page| &page.jobs).any(has_runnable_children);
    if oldest.is_some() || !elsewhere {
        return Ok(oldest.and_then(BlockingJob::of));
    }
    let snapshot = snapshot.as_ref().map_err(Clone::clone)?;
    let Some(head) = snapshot.jobs.first() else { return Ok(None) };
    let head = describe(session, std::slice::from_ref(&head.job_id)).await?.pop().flatten();
    Ok(head.as_ref().filter(|job| job.status == Status::Runnable).and_then(BlockingJob::of))
}

/// The front of a queue: the first 100 of its RUNNABLE jobs (API `FrontOfQueueDetail`).
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSnapshot {
    /// The jobs, the first one first.
    pub jobs: Vec<SnapshotJob>,
    /// vCPUs in use by all jobs of the queue; `None` where Batch does not say so.
    pub vcpus: Option<f64>,
    /// vCPUs in use by share, where the queue has a scheduling policy, the largest first.
    pub shares: Vec<(String, f64)>,
    /// The time of the snapshot, in milliseconds since the epoch.
    pub updated_at: Option<i64>,
}

/// A job at the front of a queue (API `FrontOfQueueJobSummary`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotJob {
    /// Its ID.
    pub job_id: JobId,
    /// Its ARN.
    pub job_arn: String,
    /// The time since when it has this position, in milliseconds since the epoch.
    pub since: Option<i64>,
}

/// The front of a queue.
///
/// # Errors
/// When Batch cannot be asked (the permission is `batch:GetJobQueueSnapshot`).
pub async fn queue_snapshot(session: &Session, queue: &Queue) -> Result<QueueSnapshot, Failure> {
    let answer =
        session.batch.get_job_queue_snapshot().job_queue(&queue.job_queue_arn).send().await.map_err(|e| {
            let doing =
                format!("asking for the front of the queue {} (GetJobQueueSnapshot)", queue.job_queue_name);
            explain(session, Call::new(&doing).job_queue(&queue.job_queue_name), &e)
        })?;
    let front = answer.front_of_queue();
    let jobs = front.map(|front| front.jobs()).unwrap_or_default().iter();
    let jobs = jobs.filter_map(|job| {
        let arn = job.job_arn()?;
        Some(SnapshotJob {
            job_id: arn.parse().ok()?,
            job_arn: arn.to_owned(),
            since: job.earliest_time_at_position(),
        })
    });
    let shares = answer.queue_utilization().and_then(|used| used.fairshare_utilization());
    let shares = shares.map(|used| used.top_capacity_utilization()).unwrap_or_default().iter();
    let shares = shares.filter_map(|share| {
        let used = share.capacity_usage().iter().filter(|used| used.capacity_unit() == Some("VCPU"));
        Some((share.share_identifier()?.to_owned(), used.filter_map(|used| used.quantity()).sum()))
    });
    let total = answer.queue_utilization().and_then(|used| used.total_capacity_usage.as_ref());
    let total = total.map(|total| {
        let vcpus = total.iter().filter(|used| used.capacity_unit() == Some("VCPU"));
        vcpus.filter_map(|used| used.quantity()).sum()
    });
    Ok(QueueSnapshot {
        jobs: jobs.collect(),
        vcpus: total,
        shares: shares.collect(),
        updated_at: front.and_then(|front| front.last_updated_at()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_goes_on_says_so() {
        assert_eq!(JobCount { jobs: 1000, more: true }.to_string(), "1000+");
        assert_eq!(JobCount { jobs: 0, more: false }.to_string(), "0");
    }
}
