//! Which jobs are on which machine.
//!
//! Only DescribeJobs tells where a job runs, one call for each 100 jobs. What is listed with a queue are jobs, arrays and
//! MNP jobs; what has a place are jobs, children and nodes, so each array and each MNP job costs listings of its own.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_batch::types::JobDetail;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::hosts::{HostJob, instance_id};
use super::{Job, Of, Queue, pages};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// The states in which a job has a place.
const PLACED: [Status; 2] = [Status::Starting, Status::Running];
/// So many arrays and MNP jobs are listed at once.
const AT_ONCE: usize = 5;

/// The jobs of these queues that have a place, by the IDs of the container instances.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn placed(session: &Session, queues: &[Queue]) -> Result<HashMap<String, Vec<HostJob>>, Failure> {
    let mut ids: BTreeSet<JobId> = BTreeSet::new();
    let mut wholes: BTreeSet<(JobId, bool)> = BTreeSet::new();
    // An array is PENDING while its children run (UG `array_jobs`).
    let states = [Status::Pending, Status::Starting, Status::Running];
    let queues = queues.iter().map(|q| pages(session, Of::Queue(q.job_queue_arn.clone()), &states));
    let mut listed = stream::select_all(queues);
    while let Some(page) = listed.next().await {
        for job in page?.jobs {
            if job.is_array_parent() || job.is_mnp_parent() {
                if may_have_placed(&job) {
                    wholes.insert((job.id(), job.is_mnp_parent()));
                }
            } else if PLACED.contains(&job.status) {
                ids.insert(job.id());
            }
        }
    }
    let parts = wholes.into_iter().map(|(id, is_mnp)| {
        pages(session, if is_mnp { Of::Nodes(id) } else { Of::Array(id) }, &PLACED).try_collect::<Vec<_>>()
    });
    let mut parts = stream::iter(parts).buffer_unordered(AT_ONCE);
    while let Some(pages) = parts.next().await {
        ids.extend(pages?.iter().flat_map(|page| &page.jobs).map(Job::id));
    }
    let ids: Vec<JobId> = ids.into_iter().collect();
    let mut by_host: HashMap<String, Vec<HostJob>> = HashMap::new();
    for job in super::describe::details(session, &ids).await?.iter().flatten() {
        if let (Some(arn), Some(job)) = (place(job), on_host(job)) {
            by_host.entry(instance_id(arn).to_owned()).or_default().push(job);
        }
    }
    by_host.values_mut().for_each(|jobs| jobs.sort());
    Ok(by_host)
}

/// Whether parts of it can have a place: of an array, Batch may tell how many are in which state.
fn may_have_placed(job: &Job) -> bool {
    match job.array_properties.as_ref().and_then(|array| array.status_summary.as_ref()) {
        Some(counts) => PLACED.iter().any(|s| counts.get(s.as_str()).is_some_and(|n| *n > 0)),
        None => job.is_array_parent() || PLACED.contains(&job.status),
    }
}

/// The container instance of a job, if it has one.
fn place(job: &JobDetail) -> Option<&str> {
    let own = job.container().and_then(|container| container.container_instance_arn());
    own.or_else(|| {
        let tasks = job.ecs_properties()?.task_properties();
        tasks.iter().find_map(|task| task.container_instance_arn())
    })
}

/// A job that is still on its machine: the container of one that has left tells where it was.
fn on_host(job: &JobDetail) -> Option<HostJob> {
    let status: Status = job.status()?.as_str().parse().ok()?;
    PLACED.contains(&status).then(|| HostJob {
        job_id: job.job_id().unwrap_or_default().to_owned(),
        job_name: job.job_name().unwrap_or_default().to_owned(),
        status,
    })
}
