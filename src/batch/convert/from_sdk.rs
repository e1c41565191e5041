//! Jobs from the SDK's shapes, which DescribeJobs and ListJobs return.

use aws_sdk_batch::types::{
    ArrayPropertiesDetail, ConsumableResourceProperties, ConsumableResourceRequirement, ContainerDetail,
    ContainerProperties, JobDetail, JobSummary, KeyValuePair, LogConfiguration, ResourceRequirement,
};

use crate::batch::job::{
    self, ArrayProperties, Attempt, AttemptContainer, CapacityUsage, Container, Dependency, Job,
    NodeProperties, NodeRange, Resource, RetryStrategy, Timeout,
};
use awsb_model::payload::launcher;
use awsb_model::{Status, Submitter, Tasks};

/// A state by AWS's name for it. A state that is new to us counts as SUBMITTED, so that waiting
/// goes on.
fn status(text: Option<&str>) -> Status {
    text.and_then(|t| t.parse().ok()).unwrap_or(Status::Submitted)
}

/// The variables of a job's environment, of an MNP job those of its first node range.
pub fn environment(detail: &JobDetail) -> &[KeyValuePair] {
    let of_node = || detail.node_properties()?.node_range_properties().first()?.container();
    match detail.container() {
        Some(container) => container.environment(),
        None => of_node().map_or(&[], |container| container.environment()),
    }
}

/// The submitter that the environment names.
fn submitter(detail: &JobDetail) -> Option<Submitter> {
    Submitter::cleaned(&variable(environment(detail), Submitter::VARIABLE)?)
}

/// Whether a time is set: the SDK returns 0 for a missing one.
fn happened(at: &i64) -> bool {
    *at > 0
}

impl From<&JobDetail> for Job {
    fn from(detail: &JobDetail) -> Self {
        let mut job = Self {
            job_id: detail.job_id().unwrap_or_default().to_owned(),
            job_name: detail.job_name().unwrap_or_default().to_owned(),
            job_arn: detail.job_arn().map(str::to_owned),
            job_queue: detail.job_queue().map(str::to_owned),
            job_definition: detail.job_definition().map(str::to_owned),
            status: status(detail.status().map(|s| s.as_str())),
            status_reason: detail.status_reason().map(str::to_owned),
            created_at: detail.created_at(),
            scheduled_at: None,
            started_at: detail.started_at().filter(happened),
            stopped_at: detail.stopped_at().filter(happened),
            is_terminated: detail.is_terminated(),
            is_cancelled: detail.is_cancelled(),
            capacity_usage: None,
            array_properties: detail.array_properties().map(ArrayProperties::from),
            nodes: detail.node_properties().and_then(|n| n.num_nodes()).and_then(|n| u32::try_from(n).ok()),
            node_properties: node_properties(detail),
            share_identifier: detail.share_identifier().map(str::to_owned),
            scheduling_priority: detail.scheduling_priority(),
            submitter: submitter(detail),
            depends_on: Some(
                detail
                    .depends_on()
                    .iter()
                    .map(|d| Dependency {
                        job_id: d.job_id().map(str::to_owned),
                        kind: d.r#type().map(|t| t.as_str().to_owned()),
                    })
                    .collect(),
            ),
            container: detail.container().map(Container::from),
            attempts: Some(detail.attempts().iter().map(Attempt::from).collect()),
            retry_strategy: detail.retry_strategy().map(|r| RetryStrategy { attempts: r.attempts() }),
            timeout: detail
                .timeout()
                .map(|t| Timeout { attempt_duration_seconds: t.attempt_duration_seconds() }),
            consumable_resource_properties: consumables(detail.consumable_resource_properties()),
            task: None,
        };
        let tasks = job.container.as_ref().and_then(|c| c.tasks.clone());
        job.set_task(tasks.as_ref());
        job
    }
}

/// The consumable resources of a job or a job definition, if it has any.
fn consumables(
    properties: Option<&ConsumableResourceProperties>,
) -> Option<job::ConsumableResourceProperties> {
    let list = properties?.consumable_resource_list();
    let requirement = |of: &ConsumableResourceRequirement| job::ConsumableResourceRequirement {
        consumable_resource: of.consumable_resource().unwrap_or_default().to_owned(),
        quantity: of.quantity().unwrap_or_default(),
    };
    let consumable_resource_list: Vec<_> = list.iter().map(requirement).collect();
    (!list.is_empty()).then_some(job::ConsumableResourceProperties { consumable_resource_list })
}

impl From<&ArrayPropertiesDetail> for ArrayProperties {
    fn from(array: &ArrayPropertiesDetail) -> Self {
        Self {
            size: array.size(),
            index: array.index(),
            status_summary: array.status_summary().map(|s| s.iter().map(|(k, v)| (k.clone(), *v)).collect()),
        }
    }
}

/// The nodes of an MNP job, or the index of a node.
fn node_properties(detail: &JobDetail) -> Option<NodeProperties> {
    let (nodes, node) = (detail.node_properties(), detail.node_details());
    if nodes.is_none() && node.is_none() {
        return None;
    }
    let range = |range: &aws_sdk_batch::types::NodeRangeProperty| NodeRange {
        target_nodes: range.target_nodes().map(str::to_owned),
        container: range.container().map(Container::from),
    };
    Some(NodeProperties {
        num_nodes: nodes.and_then(|n| n.num_nodes()),
        main_node: nodes.and_then(|n| n.main_node()),
        node_index: node.and_then(|n| n.node_index()),
        is_main_node: node.and_then(|n| n.is_main_node()),
        node_range_properties: nodes.map(|n| n.node_range_properties().iter().map(range).collect()),
    })
}

/// The value of an environment variable.
fn variable(environment: &[KeyValuePair], name: &str) -> Option<String> {
    environment.iter().find(|v| v.name() == Some(name)).and_then(|v| v.value()).map(str::to_owned)
}

/// The log driver, if it is another one than `awslogs`.
fn log_driver(configuration: Option<&LogConfiguration>) -> Option<String> {
    let driver = configuration?.log_driver()?.as_str();
    (driver != "awslogs").then(|| driver.to_owned())
}

fn log_group(configuration: Option<&LogConfiguration>) -> Option<String> {
    configuration.and_then(|l| l.options()).and_then(|o| o.get("awslogs-group")).cloned()
}

fn resources(requirements: &[ResourceRequirement]) -> Vec<Resource> {
    let resource = |r: &ResourceRequirement| Resource {
        kind: r.r#type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        value: r.value().unwrap_or_default().to_owned(),
    };
    requirements.iter().map(resource).collect()
}

/// The fields that a container that ran and the container of a node range have in common. `old` are
/// the vCPUs and the memory in their old fields.
fn container(
    image: Option<&str>,
    old: (Option<i32>, Option<i32>),
    command: &[String],
    requirements: &[ResourceRequirement],
    environment: &[KeyValuePair],
    log_configuration: Option<&LogConfiguration>,
) -> Container {
    Container {
        image: image.map(str::to_owned),
        vcpus: old.0,
        memory: old.1,
        command: Some(command.to_vec()),
        resource_requirements: Some(resources(requirements)),
        exit_code: None,
        reason: None,
        log_stream_name: None,
        ecs_cluster: None,
        log_driver: log_driver(log_configuration),
        log_group: log_group(log_configuration),
        launched: variable(environment, launcher::ARGS_VARIABLE),
        tasks: tasks(environment),
    }
}

/// The ECS cluster in the ARN of a task or of a container instance: `…:task/CLUSTER/ID` (ECS
/// Developer Guide, `ecs-account-settings`). The older form has no cluster.
fn ecs_cluster(arn: &str) -> Option<String> {
    let mut words = arn.splitn(6, ':').nth(5)?.split('/').skip(1);
    let (cluster, _id) = (words.next()?, words.next()?);
    Some(cluster.to_owned())
}

impl From<&ContainerDetail> for Container {
    fn from(detail: &ContainerDetail) -> Self {
        #[allow(deprecated)]
        let old = (detail.vcpus(), detail.memory());
        Self {
            exit_code: detail.exit_code(),
            reason: detail.reason().map(str::to_owned),
            log_stream_name: detail.log_stream_name().map(str::to_owned),
            ecs_cluster: detail.task_arn().or(detail.container_instance_arn()).and_then(ecs_cluster),
            ..container(
                detail.image(),
                old,
                detail.command(),
                detail.resource_requirements(),
                detail.environment(),
                detail.log_configuration(),
            )
        }
    }
}

impl From<&ContainerProperties> for Container {
    fn from(properties: &ContainerProperties) -> Self {
        #[allow(deprecated)]
        let old = (properties.vcpus(), properties.memory());
        container(
            properties.image(),
            old,
            properties.command(),
            properties.resource_requirements(),
            properties.environment(),
            properties.log_configuration(),
        )
    }
}

fn tasks(environment: &[KeyValuePair]) -> Option<Tasks> {
    variable(environment, launcher::TASKS_VARIABLE).and_then(|text| Tasks::from_variable(&text).ok())
}

impl From<&aws_sdk_batch::types::AttemptDetail> for Attempt {
    fn from(attempt: &aws_sdk_batch::types::AttemptDetail) -> Self {
        Self {
            started_at: attempt.started_at(),
            stopped_at: attempt.stopped_at(),
            status_reason: attempt.status_reason().map(str::to_owned),
            container: attempt
                .container()
                .map(|c| AttemptContainer {
                    exit_code: c.exit_code(),
                    reason: c.reason().map(str::to_owned),
                    log_stream_name: c.log_stream_name().map(str::to_owned),
                })
                .unwrap_or_default(),
        }
    }
}

impl From<&JobSummary> for Job {
    fn from(summary: &JobSummary) -> Self {
        Self {
            job_id: summary.job_id().unwrap_or_default().to_owned(),
            job_name: summary.job_name().unwrap_or_default().to_owned(),
            job_arn: summary.job_arn().map(str::to_owned),
            job_queue: None,
            job_definition: summary.job_definition().map(str::to_owned),
            status: status(summary.status().map(|s| s.as_str())),
            status_reason: summary.status_reason().map(str::to_owned),
            created_at: summary.created_at(),
            scheduled_at: summary.scheduled_at().filter(happened),
            started_at: summary.started_at().filter(happened),
            stopped_at: summary.stopped_at().filter(happened),
            is_terminated: summary.is_terminated(),
            is_cancelled: summary.is_cancelled(),
            capacity_usage: summary.capacity_usage.as_ref().map(|all| {
                let usage = |usage: &aws_sdk_batch::types::JobCapacityUsageSummary| CapacityUsage {
                    capacity_unit: usage.capacity_unit().map(str::to_owned),
                    quantity: usage.quantity(),
                };
                all.iter().map(usage).collect()
            }),
            array_properties: summary.array_properties().map(|a| ArrayProperties {
                size: a.size(),
                index: a.index(),
                status_summary: a.status_summary().map(|s| s.iter().map(|(k, v)| (k.clone(), *v)).collect()),
            }),
            nodes: summary
                .node_properties()
                .and_then(|n| n.num_nodes())
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0),
            node_properties: summary.node_properties().map(|nodes| NodeProperties {
                num_nodes: nodes.num_nodes(),
                node_index: nodes.node_index(),
                is_main_node: nodes.is_main_node(),
                ..NodeProperties::default()
            }),
            share_identifier: summary.share_identifier().map(str::to_owned),
            scheduling_priority: None,
            submitter: None,
            depends_on: None,
            container: summary.container().map(|c| Container {
                image: None,
                command: None,
                vcpus: None,
                memory: None,
                resource_requirements: None,
                exit_code: c.exit_code(),
                reason: c.reason().map(str::to_owned),
                log_stream_name: None,
                ecs_cluster: None,
                log_driver: None,
                log_group: None,
                launched: None,
                tasks: None,
            }),
            attempts: None,
            retry_strategy: None,
            timeout: None,
            consumable_resource_properties: None,
            task: None,
        }
    }
}
