//! DescribeJobQueues and DescribeComputeEnvironments: the queues, and the machines behind them.

use aws_sdk_batch::types::{ComputeEnvironmentDetail, JobQueueDetail};
use awsb_model::cluster::CLUSTER_TAG;
use serde::{Deserialize, Serialize};

use super::super::recorded_names::{self, NameKind};
use crate::aws::{Pages, Session};
use crate::ui::Failure;

/// A job queue (API `JobQueueDetail`). It is serialised under AWS's field names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name.
    pub job_queue_name: String,
    /// Its ARN.
    pub job_queue_arn: String,
    /// `ENABLED` or `DISABLED`.
    pub state: Option<String>,
    /// `VALID`, `INVALID`, `CREATING`, …
    pub status: Option<String>,
    /// The reason for this status; AWS may leave it out.
    pub status_reason: Option<String>,
    /// Of queues that share an environment, the one with the higher priority is served first.
    pub priority: Option<i32>,
    /// The ARN of its scheduling policy, if it has one.
    pub scheduling_policy_arn: Option<String>,
    /// The ARNs of its compute environments, in the order in which they are tried.
    pub compute_environments: Vec<String>,
    /// The times after which Batch cancels a job that blocks the queue.
    pub job_state_time_limit_actions: Vec<TimeLimit>,
    /// The stack of the cluster of `bcluster` that it belongs to.
    #[serde(skip)]
    pub stack: Option<String>,
}

/// API `JobStateTimeLimitAction`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeLimit {
    /// The code of the blocking, such as `CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY`.
    pub reason: Option<String>,
    /// The state to which the limit applies: `RUNNABLE`.
    pub state: Option<String>,
    /// Seconds.
    pub max_time_seconds: Option<i32>,
    /// `CANCEL` or `TERMINATE`.
    pub action: Option<String>,
}

/// A compute environment (API `ComputeEnvironmentDetail`). It is serialised under AWS's field
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputeEnvironment {
    /// Its name.
    pub compute_environment_name: String,
    /// Its ARN.
    pub compute_environment_arn: String,
    /// `MANAGED` or `UNMANAGED`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `ENABLED` or `DISABLED`.
    pub state: Option<String>,
    /// `VALID`, `INVALID`, `CREATING`, …
    pub status: Option<String>,
    /// Why it has this status.
    pub status_reason: Option<String>,
    /// `ECS` or `EKS`.
    pub container_orchestration_type: Option<String>,
    /// The ECS cluster of its instances; not of one on EKS.
    pub ecs_cluster_arn: Option<String>,
    /// The role with which Batch acts.
    pub service_role: Option<String>,
    /// Its resources; an unmanaged environment has none.
    pub compute_resources: Option<ComputeResources>,
    /// The stack of the cluster of `bcluster` that it belongs to.
    #[serde(skip)]
    pub stack: Option<String>,
}

/// API `ComputeResource`, as far as it decides what can run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputeResources {
    /// `EC2`, `SPOT`, `FARGATE`, `FARGATE_SPOT` or `ECS_MANAGED_INSTANCES`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The vCPUs that are kept running.
    pub minv_cpus: Option<i32>,
    /// The most vCPUs that it may have.
    pub maxv_cpus: Option<i32>,
    /// The vCPUs that it has, or is about to have.
    pub desiredv_cpus: Option<i32>,
    /// Types (`c5.xlarge`), families (`c5`) and `optimal`.
    pub instance_types: Vec<String>,
    /// The role of its instances.
    pub instance_role: Option<String>,
}

impl From<&JobQueueDetail> for Queue {
    fn from(queue: &JobQueueDetail) -> Self {
        let environments = queue.compute_environment_order().iter();
        let mut ordered: Vec<_> =
            environments.filter_map(|e| Some((e.order(), e.compute_environment()?.to_owned()))).collect();
        ordered.sort();
        Self {
            job_queue_name: queue.job_queue_name().unwrap_or_default().to_owned(),
            job_queue_arn: queue.job_queue_arn().unwrap_or_default().to_owned(),
            state: queue.state().map(|s| s.as_str().to_owned()),
            status: queue.status().map(|s| s.as_str().to_owned()),
            status_reason: queue.status_reason().map(str::to_owned),
            priority: queue.priority(),
            scheduling_policy_arn: queue
                .scheduling_policy_arn()
                .filter(|arn| !arn.is_empty())
                .map(str::to_owned),
            compute_environments: ordered.into_iter().map(|(_, environment)| environment).collect(),
            job_state_time_limit_actions: queue
                .job_state_time_limit_actions()
                .iter()
                .map(|limit| TimeLimit {
                    reason: limit.reason().map(str::to_owned),
                    state: limit.state().map(|s| s.as_str().to_owned()),
                    max_time_seconds: limit.max_time_seconds(),
                    action: limit.action().map(|a| a.as_str().to_owned()),
                })
                .collect(),
            stack: queue.tags().and_then(|tags| tags.get(CLUSTER_TAG)).cloned(),
        }
    }
}

impl From<&ComputeEnvironmentDetail> for ComputeEnvironment {
    fn from(environment: &ComputeEnvironmentDetail) -> Self {
        Self {
            compute_environment_name: environment.compute_environment_name().unwrap_or_default().to_owned(),
            compute_environment_arn: environment.compute_environment_arn().unwrap_or_default().to_owned(),
            kind: environment.r#type().map(|t| t.as_str().to_owned()),
            state: environment.state().map(|s| s.as_str().to_owned()),
            status: environment.status().map(|s| s.as_str().to_owned()),
            status_reason: environment.status_reason().map(str::to_owned),
            container_orchestration_type: environment
                .container_orchestration_type()
                .map(|t| t.as_str().to_owned()),
            ecs_cluster_arn: environment.ecs_cluster_arn().filter(|arn| !arn.is_empty()).map(str::to_owned),
            service_role: environment.service_role().map(str::to_owned),
            compute_resources: environment.compute_resources().map(|r| ComputeResources {
                kind: r.r#type().map(|t| t.as_str().to_owned()),
                minv_cpus: r.minv_cpus(),
                maxv_cpus: r.maxv_cpus(),
                desiredv_cpus: r.desiredv_cpus(),
                instance_types: r.instance_types().to_vec(),
                instance_role: r.instance_role().map(str::to_owned),
            }),
            stack: environment.tags().and_then(|tags| tags.get(CLUSTER_TAG)).cloned(),
        }
    }
}

/// At most this many names go into one call (API `DescribeJobQueues`,
/// `DescribeComputeEnvironments`: "up to 100").
const NAMES_PER_CALL: usize = 100;

/// The names of one call after the other. Without names, there is one call for all.
fn calls(names: &[String]) -> impl Iterator<Item = Option<Vec<String>>> {
    let all = names.is_empty().then_some(None);
    all.into_iter().chain(names.chunks(NAMES_PER_CALL).map(|names| Some(names.to_vec())))
}

fn asking(what: &str, names: &[String]) -> String {
    match names {
        [name] => format!("asking for the {what} {name}"),
        _ => format!("asking for the {what}s"),
    }
}

/// These job queues (names or ARNs), or all of the account and region when none is named. A queue
/// that Batch does not know is left out.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn queues(session: &Session, names: &[String]) -> Result<Vec<Queue>, Failure> {
    let mut queues = Vec::new();
    for named in calls(names) {
        let call = session.batch.describe_job_queues().set_job_queues(named);
        let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| e.explain(session, &asking("job queue", names)))?;
            queues.extend(page.job_queues().iter().map(Queue::from));
        }
    }
    let described = queues.iter().map(|queue: &Queue| queue.job_queue_name.clone()).collect();
    recorded_names::record(&session.cluster, NameKind::Queue, described, names.is_empty());
    Ok(queues)
}

/// These compute environments (names or ARNs), or all of the account and region when none is named.
/// An environment that Batch does not know is left out.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn environments(session: &Session, names: &[String]) -> Result<Vec<ComputeEnvironment>, Failure> {
    let mut environments = Vec::new();
    for named in calls(names) {
        let call = session.batch.describe_compute_environments().set_compute_environments(named);
        let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| e.explain(session, &asking("compute environment", names)))?;
            environments.extend(page.compute_environments().iter().map(ComputeEnvironment::from));
        }
    }
    Ok(environments)
}

impl Queue {
    /// Whether this is its name or its ARN.
    pub fn is(&self, named: &str) -> bool {
        named == self.job_queue_name || named == self.job_queue_arn
    }

    /// Its compute environments among these, in the order in which they are tried.
    pub fn environments<'a>(&self, all: &'a [ComputeEnvironment]) -> Vec<&'a ComputeEnvironment> {
        self.compute_environments.iter().filter_map(|named| all.iter().find(|e| e.is(named))).collect()
    }
}

impl ComputeEnvironment {
    /// Whether this is its name or its ARN.
    pub fn is(&self, named: &str) -> bool {
        named == self.compute_environment_name || named == self.compute_environment_arn
    }

    /// `EC2`, `SPOT`, `FARGATE`, `FARGATE_SPOT` or `ECS_MANAGED_INSTANCES`; `None` for an unmanaged
    /// environment.
    pub fn resource_kind(&self) -> Option<&str> {
        self.compute_resources.as_ref()?.kind.as_deref()
    }
}
