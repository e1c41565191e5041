//! The jobs on each machine.
//!
//! Only DescribeJobs names the machine of a job, one call for each 100 jobs. The listing of a queue
//! has jobs, arrays and MNP jobs, but jobs, children and nodes run on machines. So each array and
//! each MNP job costs listings of its own.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_batch::types::JobDetail;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{HostJob, instance_id};
use crate::aws::Session;
use crate::batch::{Job, ListTarget, Queue, pages};
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// The states in which a job is on a machine.
const ON_HOST: [Status; 2] = [Status::Starting, Status::Running];
/// At most this many arrays and MNP jobs are listed at the same time.
const LISTINGS_AT_ONCE: usize = 5;

/// The jobs of these queues that are on a machine, by the IDs of the container instances.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn jobs_by_host(
    session: &Session,
    queues: &[Queue],
) -> Result<HashMap<String, Vec<HostJob>>, Failure> {
    let mut ids: BTreeSet<JobId> = BTreeSet::new();
    let mut wholes: BTreeSet<(JobId, bool)> = BTreeSet::new();
    // An array is PENDING while its children run (UG `array_jobs`).
    let states = [Status::Pending, Status::Starting, Status::Running];
    let queues = queues.iter().map(|q| pages(session, ListTarget::Queue(q.job_queue_arn.clone()), &states));
    let mut listed = stream::select_all(queues);
    while let Some(page) = listed.next().await {
        for job in page?.jobs {
            if job.is_array_parent() || job.is_mnp_parent() {
                if may_have_parts_on_host(&job) {
                    wholes.insert((job.id(), job.is_mnp_parent()));
                }
            } else if ON_HOST.contains(&job.status) {
                ids.insert(job.id());
            }
        }
    }
    let parts = wholes.into_iter().map(|(id, is_mnp)| {
        pages(session, if is_mnp { ListTarget::Nodes(id) } else { ListTarget::Children(id) }, &ON_HOST)
            .try_collect::<Vec<_>>()
    });
    let mut parts = stream::iter(parts).buffer_unordered(LISTINGS_AT_ONCE);
    while let Some(pages) = parts.next().await {
        ids.extend(pages?.iter().flat_map(|page| &page.jobs).map(Job::id));
    }
    let ids: Vec<JobId> = ids.into_iter().collect();
    let mut by_host: HashMap<String, Vec<HostJob>> = HashMap::new();
    for job in crate::batch::sdk_details(session, &ids).await?.iter().flatten() {
        if let (Some(arn), Some(job)) = (container_instance(job), on_host(job)) {
            by_host.entry(instance_id(arn).to_owned()).or_default().push(job);
        }
    }
    by_host.values_mut().for_each(|jobs| jobs.sort());
    Ok(by_host)
}

/// Whether parts of a job can be on machines. Batch may count the children of an array by state.
fn may_have_parts_on_host(job: &Job) -> bool {
    match job.array_properties.as_ref().and_then(|array| array.status_summary.as_ref()) {
        Some(counts) => ON_HOST.iter().any(|s| counts.get(s.as_str()).is_some_and(|n| *n > 0)),
        None => job.is_array_parent() || ON_HOST.contains(&job.status),
    }
}

/// The container instance of a job, if it has one.
fn container_instance(job: &JobDetail) -> Option<&str> {
    let own = job.container().and_then(|container| container.container_instance_arn());
    own.or_else(|| {
        let tasks = job.ecs_properties()?.task_properties();
        tasks.iter().find_map(|task| task.container_instance_arn())
    })
}

/// A job that is still on its machine. A job that has ended still names the machine on which it
/// was.
fn on_host(job: &JobDetail) -> Option<HostJob> {
    let status: Status = job.status()?.as_str().parse().ok()?;
    ON_HOST.contains(&status).then(|| HostJob {
        job_id: job.job_id().unwrap_or_default().to_owned(),
        job_name: job.job_name().unwrap_or_default().to_owned(),
        status,
    })
}
