//! Gathers evidence about the capacity for a RUNNABLE job: the queue, its environments, their
//! instances and jobs.

use std::collections::BTreeSet;

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::JobDetail;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};

use super::{Collector, convert};
use crate::aws::explain;
use crate::batch::consumables;
use crate::batch::{
    CapacityDetails, ListPage, ListTarget, Queue, QueueSnapshot, cache_capacity, environments, pages,
    queue_snapshot, queues, sdk_details,
};
use crate::diagnose::evidence::{
    ComputeEnvironment, ComputeKind, ConsumableSupply, Evidence, Machine, PlacedJobs, QueueOrder,
};
use crate::diagnose::instance_types::patterns;
use crate::ui::Failure;
use awsb_model::{InstanceType, JobId, Status};

/// The number of placed jobs that are read at most.
const MOST_PLACED_JOBS: usize = 500;
/// The number of pages of a queue's jobs that are read at most.
const MOST_PAGES: usize = 10;
/// The error codes of a server that does not know EC2's actions.
const NO_EC2: [&str; 3] = ["InvalidAction", "UnknownOperationException", "UnknownAction"];
/// The number of queues with a higher priority that are read at most.
const MOST_AHEAD: usize = 5;

impl Collector<'_> {
    /// Gathers all evidence about the capacity for a RUNNABLE job.
    pub(super) async fn room(&self, detail: &JobDetail, evidence: &mut Evidence) {
        let arn = detail.job_queue().unwrap_or_default();
        let name = arn.rsplit('/').next().unwrap_or_default();
        let named =
            Queue { job_queue_name: name.to_owned(), job_queue_arn: arn.to_owned(), ..Queue::default() };
        let (all, front) = tokio::join!(queues(self.session, &[]), queue_snapshot(self.session, &named));
        let what = format!("the queue {name}");
        let all = self.noting(all, &what, "batch:DescribeJobQueues").unwrap_or_default();
        let own = all.iter().find(|q| q.is(arn));
        let front =
            self.noting(front, &format!("the front of the queue {name}"), "batch:GetJobQueueSnapshot");
        let sharing: Vec<&Queue> =
            own.map(|own| all.iter().filter(|q| shares(own, q)).collect()).unwrap_or_default();
        let higher =
            sharing.iter().filter(|q| Some(q.priority) > own.map(|own| own.priority)).take(MOST_AHEAD);
        let ((environments, instance_types), placed_jobs, line, ahead) = tokio::join!(
            async {
                match own {
                    Some(own) => self.environments(own).await,
                    None => (Vec::new(), None),
                }
            },
            self.placed_jobs(&sharing),
            async {
                match front {
                    Some(front) => Some(self.queue_order(arn, detail, front).await),
                    None => None,
                }
            },
            join_all(higher.map(|queue| self.has_runnable(queue))),
        );
        evidence.queue = own.map(convert::queue);
        if let Some(queue) = &mut evidence.queue {
            queue.ahead = ahead.into_iter().flatten().collect();
        }
        evidence.instance_types = instance_types;
        evidence.environments = environments;
        evidence.placed_jobs = placed_jobs;
        evidence.queue_order = line;
        evidence.consumables = self.consumables(evidence).await;
    }

    /// The consumable resources of the job, and of the job at the head of the queue.
    async fn consumables(&self, evidence: &Evidence) -> Vec<ConsumableSupply> {
        let head = evidence.queue_order.as_ref().and_then(|order| order.head.as_ref());
        let jobs = std::iter::once(&evidence.job).chain(head);
        let names: BTreeSet<&str> =
            jobs.flat_map(|job| &job.consumes).map(|(name, _)| name.as_str()).collect();
        let asked = names.into_iter().map(|name| async move {
            let found = consumables::find(self.session, name).await;
            let what = format!("the consumable resource {name}");
            let found = self.noting(found, &what, "batch:DescribeConsumableResource")?;
            Some(convert::supply(name, found.as_ref()))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The head of the queue with its first job and, if this job is not in it, the number of jobs
    /// that wait longer.
    async fn queue_order(&self, queue: &str, detail: &JobDetail, front: QueueSnapshot) -> QueueOrder {
        let own = detail.job_id().unwrap_or_default();
        let is_in = front.jobs.iter().any(|job| job.job_id.as_str() == own);
        let head = front.jobs.first().map(|job| job.job_id.clone()).filter(|id| id.as_str() != own);
        let (head, before) = tokio::join!(
            async {
                let head = head?;
                let known = sdk_details(self.session, std::slice::from_ref(&head)).await;
                let known = self.noting(known, "the job at the head of the queue", "batch:DescribeJobs")?;
                known.into_iter().flatten().next().map(|detail| convert::job(&detail))
            },
            async {
                if is_in || front.jobs.is_empty() {
                    return None;
                }
                let created = detail.created_at().unwrap_or(i64::MAX);
                let waiting = pages(self.session, ListTarget::Queue(queue.to_owned()), &[Status::Runnable])
                    .take(MOST_PAGES);
                let earlier = |page: &ListPage| {
                    page.jobs.iter().filter(|job| job.created_at.is_some_and(|at| at < created)).count()
                };
                self.noting(sum(waiting, earlier).await, "the jobs ahead of it", "batch:ListJobs")
            },
        );
        let jobs = front.jobs.into_iter().map(|job| job.job_id.to_string()).collect();
        QueueOrder { jobs, head, before, shares: front.shares }
    }

    /// The name of the queue, if it has RUNNABLE jobs.
    async fn has_runnable(&self, queue: &Queue) -> Option<String> {
        let mut waiting =
            pages(self.session, ListTarget::Queue(queue.job_queue_arn.clone()), &[Status::Runnable]);
        let page = self.noting(waiting.next().await?, "the queues ahead of its own", "batch:ListJobs")?;
        (!page.jobs.is_empty()).then(|| queue.job_queue_name.clone())
    }

    /// The queue's compute environments with their instances, and the resources of the instance
    /// types that they may start.
    pub(super) async fn environments(
        &self,
        queue: &Queue,
    ) -> (Vec<ComputeEnvironment>, Option<Vec<InstanceType>>) {
        if queue.compute_environments.is_empty() {
            return (Vec::new(), None);
        }
        let known = environments(self.session, &queue.compute_environments).await;
        let what = format!("the compute environments of the queue {}", queue.job_queue_name);
        let known = self.noting(known, &what, "batch:DescribeComputeEnvironments").unwrap_or_default();
        let known = queue.environments(&known);
        let evidence: Vec<ComputeEnvironment> =
            known.iter().map(|known| convert::environment(known)).collect();
        let machines = join_all(evidence.iter().zip(&known).map(|(environment, known)| async move {
            let cluster =
                known.ecs_cluster_arn.as_ref().filter(|_| environment.kind != ComputeKind::Fargate)?;
            self.machines(&environment.name, cluster).await
        }));
        let (machines, types) = tokio::join!(machines, self.instance_types(&evidence));
        let grown_by = |name: Option<&str>| self.session.command_to_grow(name).map(str::to_owned);
        let with = |(environment, machines): (ComputeEnvironment, _)| ComputeEnvironment {
            machines,
            grown_by: grown_by(Some(&environment.name)),
            machines_grown_by: grown_by(None),
            ..environment
        };
        let evidence: Vec<ComputeEnvironment> = evidence.into_iter().zip(machines).map(with).collect();
        let all: Vec<crate::batch::ComputeEnvironment> = known.iter().map(|known| (*known).clone()).collect();
        let machines = |e: &ComputeEnvironment| {
            let registered = e.machines.iter().flatten().map(|machine| machine.registered);
            (e.name.clone(), registered.collect())
        };
        let details = CapacityDetails {
            instance_types: types.clone(),
            machines: evidence.iter().map(machines).collect(),
        };
        cache_capacity(self.session, queue, &all, Some(details));
        (evidence, types)
    }

    /// The resources of the instance types that these environments may start.
    async fn instance_types(&self, environments: &[ComputeEnvironment]) -> Option<Vec<InstanceType>> {
        let started = environments.iter().filter(|e| matches!(e.kind, ComputeKind::Ec2 | ComputeKind::Spot));
        let names: Vec<String> = started.flat_map(|e| e.instance_types.clone()).collect();
        if names.is_empty() {
            return None;
        }
        let answer = self.session.ec2.instance_types(&patterns(&names)).await;
        let code = answer.as_ref().err().and_then(|e| e.code()).map(str::to_owned);
        let answer = answer.map_err(|e| explain(self.session, "asking for the instance types", &e));
        // An endpoint that serves Batch and not EC2, such as the local cluster's, does not even
        // answer in EC2's form.
        let no_ec2 = |code: &str| NO_EC2.contains(&code);
        if answer.as_ref().is_err_and(|e| !e.is_retryable() && code.as_deref().is_none_or(no_ec2)) {
            return None;
        }
        let what = "what its instance types have";
        let types = self.noting(answer, what, "ec2:DescribeInstanceTypes")?;
        Some(types.iter().map(convert::instance_type).collect())
    }

    /// The instances of an ECS cluster, at most 100.
    async fn machines(&self, environment: &str, cluster: &str) -> Option<Vec<Machine>> {
        let ecs = &self.session.ecs;
        let what = format!("the instances of {environment}");
        let doing = format!("asking for the instances of {environment}");
        let listed = ecs.list_container_instances().cluster(cluster).max_results(100).send().await;
        let listed = listed.map_err(|e| explain(self.session, &doing, &e));
        let arns = self.noting(listed, &what, "ecs:ListContainerInstances")?.container_instance_arns;
        let arns = arns.unwrap_or_default();
        if arns.is_empty() {
            return Some(Vec::new());
        }
        let described = ecs.describe_container_instances().cluster(cluster);
        let described = described.set_container_instances(Some(arns)).send().await;
        let described = described.map_err(|e| explain(self.session, &doing, &e));
        let described = self.noting(described, &what, "ecs:DescribeContainerInstances")?;
        Some(described.container_instances().iter().map(convert::machine).collect())
    }

    /// The jobs that are placed in the environments of these queues. A listing does not have
    /// children, so arrays are found by their parents, which are PENDING.
    async fn placed_jobs(&self, queues: &[&Queue]) -> Option<PlacedJobs> {
        const BUSY: [Status; 3] = [Status::Pending, Status::Starting, Status::Running];
        if queues.is_empty() {
            return None;
        }
        let lists = join_all(queues.iter().map(|queue| async {
            let mut busy = pages(self.session, ListTarget::Queue(queue.job_queue_arn.clone()), &BUSY);
            let (mut ids, mut seen): (Vec<JobId>, usize) = (Vec::new(), 0);
            while let Some(page) = busy.next().await {
                let page = page?;
                seen += 1;
                let has_room =
                    page.jobs.iter().filter(|job| page.status != Status::Pending || job.is_array_parent());
                ids.extend(has_room.map(crate::batch::Job::id));
                // Few PENDING jobs are arrays.
                if ids.len() > MOST_PLACED_JOBS || (seen >= MOST_PAGES && page.more) {
                    return Ok((ids, true));
                }
            }
            Ok::<_, Failure>((ids, false))
        }))
        .await;
        let listed: Result<Vec<(Vec<JobId>, bool)>, Failure> = lists.into_iter().collect();
        let listed = self.noting(listed, "the jobs that run", "batch:ListJobs")?;
        let cut = listed.iter().any(|(_, cut)| *cut);
        let mut ids: Vec<JobId> = listed.into_iter().flat_map(|(ids, _)| ids).collect();
        let more = cut || ids.len() > MOST_PLACED_JOBS;
        ids.truncate(MOST_PLACED_JOBS);
        let known =
            self.noting(sdk_details(self.session, &ids).await, "the jobs that run", "batch:DescribeJobs")?;
        Some(PlacedJobs { jobs: known.iter().flatten().filter_map(convert::placed_job).collect(), more })
    }
}

/// Whether two queues have a compute environment in common.
fn shares(own: &Queue, other: &Queue) -> bool {
    other.compute_environments.iter().any(|e| own.compute_environments.contains(e))
}

/// Adds up the pages.
async fn sum(
    mut pages: impl Stream<Item = Result<ListPage, Failure>> + Unpin,
    of: impl Fn(&ListPage) -> usize,
) -> Result<usize, Failure> {
    let mut sum = 0;
    while let Some(page) = pages.next().await {
        sum += of(&page?);
    }
    Ok(sum)
}
