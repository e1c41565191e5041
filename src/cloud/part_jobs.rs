//! The jobs of each part of a cluster.

use std::collections::BTreeMap;

use awsb_model::cluster::ClusterConfig;
use awsb_model::cluster::effect::RunningJobs;
use awsb_model::{JobId, Status};

use super::drain::{Parts, active_jobs};
use super::stack::StackResource;
use crate::aws::Session;
use crate::batch::{self, Job, Queue};
use crate::ui::Failure;

/// At most this many running jobs are asked for their attempts: the number is for people.
const MAX_DESCRIBED: usize = 1000;

/// The jobs of environments and queues, by the part: `environment.spot`, `queue.spot`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartJobs(pub BTreeMap<String, RunningJobs>);

impl PartJobs {
    /// The jobs of a part; `None` for a part that has none.
    pub fn of(&self, part: &str) -> Option<RunningJobs> {
        self.0.get(part).copied()
    }

    /// Counts the jobs of a cluster. A job counts for the environment in whose ECS cluster it runs;
    /// where Batch does not tell the ECS cluster, the job counts for each environment of its queue.
    ///
    /// # Errors
    /// When Batch cannot be asked.
    pub async fn gather(
        session: &Session,
        config: &ClusterConfig,
        resources: &[StackResource],
        parts: &Parts,
    ) -> Result<Self, Failure> {
        let active = active_jobs(session, &parts.queues).await?;
        let on_machines = |job: &&Job| matches!(job.status, Status::Starting | Status::Running);
        let running: Vec<JobId> =
            active.values().flatten().filter(on_machines).map(Job::id).take(MAX_DESCRIBED).collect();
        let described = batch::describe(session, &running).await?;
        let described: BTreeMap<&str, &Job> =
            described.iter().flatten().map(|job| (job.job_id.as_str(), job)).collect();
        let is_retried = |job: &&&Job| {
            described.get(job.job_id.as_str()).is_some_and(|described| has_attempts_left(described))
        };
        let count = |jobs: Vec<&Job>| RunningJobs {
            running: u32::try_from(jobs.len()).unwrap_or(u32::MAX),
            retried: u32::try_from(jobs.iter().filter(is_retried).count()).unwrap_or(u32::MAX),
        };
        let physical = |id: &str| {
            let resource = resources.iter().find(|resource| resource.logical_resource_id == id);
            resource.and_then(|resource| resource.physical_resource_id.as_deref())
        };
        let jobs_of =
            |queue: &Queue| active.get(&queue.job_queue_name).map(Vec::as_slice).unwrap_or_default();
        let mut found = BTreeMap::new();
        for queue in &config.queues {
            let Some(id) = physical(&queue.name.logical_id("Queue")) else { continue };
            // Jobs that wait are lost with their queue, too.
            let jobs = parts.queues.iter().filter(|queue| queue.is(id)).flat_map(jobs_of).collect();
            found.insert(format!("queue.{}", queue.name), count(jobs));
        }
        for environment in &config.environments {
            let Some(id) = physical(&environment.name.logical_id("Environment")) else { continue };
            let Some(known) = parts.environments.iter().find(|environment| environment.is(id)) else {
                continue;
            };
            let is_on = |queue: &&Queue| queue.compute_environments.iter().any(|named| known.is(named));
            let may_run_here = |job: &&Job| {
                let described = described.get(job.job_id.as_str()).copied();
                may_run_in(described.and_then(ecs_cluster), known.ecs_cluster_arn.as_deref())
            };
            let jobs = parts.queues.iter().filter(is_on).flat_map(jobs_of);
            let jobs = jobs.filter(on_machines).filter(may_run_here).collect();
            found.insert(format!("environment.{}", environment.name), count(jobs));
        }
        Ok(Self(found))
    }
}

/// The ECS cluster in which a job runs.
fn ecs_cluster(job: &Job) -> Option<&str> {
    job.container.as_ref()?.ecs_cluster.as_deref()
}

/// Whether a job that runs in the ECS cluster of this name may run in an environment with the ECS
/// cluster of this ARN. One that is not known may be the other.
fn may_run_in(cluster: Option<&str>, arn: Option<&str>) -> bool {
    match (cluster, arn.and_then(|arn| arn.rsplit_once('/'))) {
        (Some(cluster), Some((_, name))) => cluster == name,
        _ => true,
    }
}

/// Whether a job that ends now is tried again.
fn has_attempts_left(job: &Job) -> bool {
    let most = job.retry_strategy.as_ref().and_then(|retry| retry.attempts).unwrap_or(1);
    let ended = job.attempts.as_ref().map_or(0, Vec::len);
    i32::try_from(ended + 1).is_ok_and(|attempts| attempts < most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_counts_where_it_runs() {
        let arn = Some("arn:aws:ecs:eu-west-1:111122223333:cluster/lab-Fargate-1_Batch_0a1b");
        assert!(may_run_in(Some("lab-Fargate-1_Batch_0a1b"), arn));
        assert!(!may_run_in(Some("lab-Other-2_Batch_2c3d"), arn));
        // What is not known may be.
        assert!(may_run_in(None, arn) && may_run_in(Some("x"), None) && may_run_in(None, None));
    }
}
