//! What a RUNNABLE job waits behind and what it waits for: the queue, its environments, their instances and jobs.

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::JobDetail;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};

use super::{Asking, convert};
use crate::aws::explain;
use crate::batch::{
    CapacityDetails, ListPage, Of, Queue, QueueSnapshot, cache_capacity, details, environments, front, pages,
    queues,
};
use crate::diagnose::{Environment, Facts, Holders, Kind, Line, Machine, patterns};
use crate::ui::Failure;
use awsb_model::{InstanceType, JobId, Status};

/// So many jobs that have room are looked at.
const MOST_HOLDERS: usize = 500;
/// Pages of a queue's jobs that are looked at.
const MOST_PAGES: usize = 10;
/// What a server answers that does not know EC2's actions.
const NO_EC2: [&str; 3] = ["InvalidAction", "UnknownOperationException", "UnknownAction"];
/// Queues with a higher priority that are looked at.
const MOST_AHEAD: usize = 5;

impl Asking<'_> {
    /// Everything about the room that a RUNNABLE job needs.
    pub(super) async fn room(&self, detail: &JobDetail, facts: &mut Facts) {
        let arn = detail.job_queue().unwrap_or_default();
        let name = arn.rsplit('/').next().unwrap_or_default();
        let named =
            Queue { job_queue_name: name.to_owned(), job_queue_arn: arn.to_owned(), ..Queue::default() };
        let (all, front) = tokio::join!(queues(self.session, &[]), front(self.session, &named));
        let what = format!("the queue {name}");
        let all = self.noting(all, &what, "batch:DescribeJobQueues").unwrap_or_default();
        let own = all.iter().find(|q| q.is(arn));
        let front =
            self.noting(front, &format!("the front of the queue {name}"), "batch:GetJobQueueSnapshot");
        let sharing: Vec<&Queue> =
            own.map(|own| all.iter().filter(|q| shares(own, q)).collect()).unwrap_or_default();
        let higher =
            sharing.iter().filter(|q| Some(q.priority) > own.map(|own| own.priority)).take(MOST_AHEAD);
        let ((environments, instance_types), holders, line, ahead) = tokio::join!(
            async {
                match own {
                    Some(own) => self.environments(own).await,
                    None => (Vec::new(), None),
                }
            },
            self.holders(&sharing),
            async {
                match front {
                    Some(front) => Some(self.line(arn, detail, front).await),
                    None => None,
                }
            },
            join_all(higher.map(|queue| self.has_runnable(queue))),
        );
        facts.queue = own.map(convert::queue);
        if let Some(queue) = &mut facts.queue {
            queue.ahead = ahead.into_iter().flatten().collect();
        }
        facts.instance_types = instance_types;
        facts.environments = environments;
        facts.holders = holders;
        facts.line = line;
    }

    /// The head of the queue with what is known of its first job and, where this one is not in it, how many wait
    /// longer.
    async fn line(&self, queue: &str, detail: &JobDetail, front: QueueSnapshot) -> Line {
        let own = detail.job_id().unwrap_or_default();
        let is_in = front.jobs.iter().any(|job| job.job_id.as_str() == own);
        let head = front.jobs.first().map(|job| job.job_id.clone()).filter(|id| id.as_str() != own);
        let (head, before) = tokio::join!(
            async {
                let head = head?;
                let known = details(self.session, std::slice::from_ref(&head)).await;
                let known = self.noting(known, "the job at the head of the queue", "batch:DescribeJobs")?;
                known.into_iter().flatten().next().map(|detail| convert::job(&detail))
            },
            async {
                if is_in || front.jobs.is_empty() {
                    return None;
                }
                let created = detail.created_at().unwrap_or(i64::MAX);
                let waiting =
                    pages(self.session, Of::Queue(queue.to_owned()), &[Status::Runnable]).take(MOST_PAGES);
                let earlier = |page: &ListPage| {
                    page.jobs.iter().filter(|job| job.created_at.is_some_and(|at| at < created)).count()
                };
                self.noting(sum(waiting, earlier).await, "the jobs ahead of it", "batch:ListJobs")
            },
        );
        let jobs = front.jobs.into_iter().map(|job| job.job_id.to_string()).collect();
        Line { jobs, head, before, shares: front.shares }
    }

    /// The name of a queue in which jobs are RUNNABLE.
    async fn has_runnable(&self, queue: &Queue) -> Option<String> {
        let mut waiting = pages(self.session, Of::Queue(queue.job_queue_arn.clone()), &[Status::Runnable]);
        let page = self.noting(waiting.next().await?, "the queues ahead of its own", "batch:ListJobs")?;
        (!page.jobs.is_empty()).then(|| queue.job_queue_name.clone())
    }

    /// The queue's compute environments, each with its instances, and what the instance types have that they may start.
    pub(super) async fn environments(&self, queue: &Queue) -> (Vec<Environment>, Option<Vec<InstanceType>>) {
        if queue.compute_environments.is_empty() {
            return (Vec::new(), None);
        }
        let known = environments(self.session, &queue.compute_environments).await;
        let what = format!("the compute environments of the queue {}", queue.job_queue_name);
        let known = self.noting(known, &what, "batch:DescribeComputeEnvironments").unwrap_or_default();
        let known = queue.environments(&known);
        let facts: Vec<Environment> = known.iter().map(|known| convert::environment(known)).collect();
        let machines = join_all(facts.iter().zip(&known).map(|(environment, known)| async move {
            let cluster = known.ecs_cluster_arn.as_ref().filter(|_| environment.kind != Kind::Fargate)?;
            self.machines(&environment.name, cluster).await
        }));
        let (machines, types) = tokio::join!(machines, self.instance_types(&facts));
        let grown_by = |name: Option<&str>| self.session.command_to_grow(name).map(str::to_owned);
        let with = |(environment, machines): (Environment, _)| Environment {
            machines,
            grown_by: grown_by(Some(&environment.name)),
            machines_grown_by: grown_by(None),
            ..environment
        };
        let facts: Vec<Environment> = facts.into_iter().zip(machines).map(with).collect();
        let all: Vec<crate::batch::Environment> = known.iter().map(|known| (*known).clone()).collect();
        let machines = |e: &Environment| {
            let registered = e.machines.iter().flatten().map(|machine| machine.registered);
            (e.name.clone(), registered.collect())
        };
        let details =
            CapacityDetails { instance_types: types.clone(), machines: facts.iter().map(machines).collect() };
        cache_capacity(self.session, queue, &all, Some(details));
        (facts, types)
    }

    /// What the instance types have that these environments may start.
    async fn instance_types(&self, environments: &[Environment]) -> Option<Vec<InstanceType>> {
        let started = environments.iter().filter(|e| matches!(e.kind, Kind::Ec2 | Kind::Spot));
        let names: Vec<String> = started.flat_map(|e| e.instance_types.clone()).collect();
        if names.is_empty() {
            return None;
        }
        let answer = self.session.ec2.instance_types(&patterns(&names)).await;
        let code = answer.as_ref().err().and_then(|e| e.code()).map(str::to_owned);
        let answer = answer.map_err(|e| explain(self.session, "asking for the instance types", &e));
        // An endpoint that is Batch's and not EC2's, as that of the local cluster is, does not even answer as EC2 does.
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

    /// The jobs that have room in the environments of these queues. A listing has no children, so arrays are found by
    /// their parents, which are PENDING.
    async fn holders(&self, queues: &[&Queue]) -> Option<Holders> {
        const BUSY: [Status; 3] = [Status::Pending, Status::Starting, Status::Running];
        if queues.is_empty() {
            return None;
        }
        let lists = join_all(queues.iter().map(|queue| async {
            let mut busy = pages(self.session, Of::Queue(queue.job_queue_arn.clone()), &BUSY);
            let (mut ids, mut seen): (Vec<JobId>, usize) = (Vec::new(), 0);
            while let Some(page) = busy.next().await {
                let page = page?;
                seen += 1;
                let has_room =
                    page.jobs.iter().filter(|job| page.status != Status::Pending || job.is_array_parent());
                ids.extend(has_room.map(crate::batch::Job::id));
                // Of those that are PENDING, few are arrays.
                if ids.len() > MOST_HOLDERS || (seen >= MOST_PAGES && page.more) {
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
        let more = cut || ids.len() > MOST_HOLDERS;
        ids.truncate(MOST_HOLDERS);
        let known =
            self.noting(details(self.session, &ids).await, "the jobs that run", "batch:DescribeJobs")?;
        Some(Holders { jobs: known.iter().flatten().filter_map(convert::holder).collect(), more })
    }
}

/// Whether two queues have a compute environment in common.
fn shares(own: &Queue, other: &Queue) -> bool {
    other.compute_environments.iter().any(|e| own.compute_environments.contains(e))
}

/// Adds up what the pages tell.
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
