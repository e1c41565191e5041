//! Jobs from the SDK's shapes, which DescribeJobs and ListJobs return.

use aws_sdk_batch::types::{
    ArrayPropertiesDetail, ConsumableResourceProperties, ConsumableResourceRequirement, ContainerDetail,
    ContainerProperties, JobDetail, JobSummary, KeyValuePair, LogConfiguration, NodeRangeProperty,
    ResourceRequirement,
};

use super::fields::{ecs_cluster, log_driver, log_group, pairs, resources, tasks, variable};
use super::several_containers;
use crate::batch::job::{
    self, ArrayProperties, Attempt, CapacityUsage, Dependency, Job, NodeProperties, NodeRange, RetryStrategy,
    Timeout,
};
use crate::batch::task::{AttemptContainer, Container};
use awsb_model::payload::launcher;
use awsb_model::{Status, Submitter};

/// A state by AWS's name for it. A state that is new to us counts as SUBMITTED, so that waiting
/// goes on.
fn status(text: Option<&str>) -> Status {
    text.and_then(|t| t.parse().ok()).unwrap_or(Status::Submitted)
}

/// The variables of each container of a job, of an MNP job those of its node ranges. The main
/// container comes first.
pub fn environments(detail: &JobDetail) -> Vec<Vec<(&str, &str)>> {
    // Batch may have an empty container for a job of several.
    let mut all = several_containers::environments(detail);
    all.extend(detail.container().map(|c| pairs(c.environment())));
    all.extend(detail.node_properties().iter().flat_map(|n| n.node_range_properties()).flat_map(of_range));
    all
}

fn of_range(range: &NodeRangeProperty) -> Vec<Vec<(&str, &str)>> {
    match range.container() {
        Some(container) => vec![pairs(container.environment())],
        None => several_containers::environments_of_range(range),
    }
}

/// The variables of a job's environment: of an MNP job those of its first node range, of a job of
/// several containers those of the container that bsub has given a command, or of the main one.
pub fn environment(detail: &JobDetail) -> Vec<(&str, &str)> {
    let mut all = environments(detail);
    let is_submitted = |variables: &Vec<(&str, &str)>| {
        variables.iter().any(|(name, _)| *name == awsb_model::SubmissionId::VARIABLE)
    };
    let at = all.iter().position(is_submitted).unwrap_or(0);
    if at < all.len() { all.swap_remove(at) } else { Vec::new() }
}

/// The submitter that the environment names.
fn submitter(detail: &JobDetail) -> Option<Submitter> {
    let named = environments(detail).into_iter().flatten().find(|(name, _)| *name == Submitter::VARIABLE);
    Submitter::cleaned(named?.1)
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
            ecs_properties: detail.ecs_properties().map(several_containers::ecs_properties),
            eks_properties: detail.eks_properties().map(several_containers::eks_properties),
            attempts: Some(detail.attempts().iter().map(Attempt::from).collect()),
            retry_strategy: detail.retry_strategy().map(|r| RetryStrategy { attempts: r.attempts() }),
            timeout: detail
                .timeout()
                .map(|t| Timeout { attempt_duration_seconds: t.attempt_duration_seconds() }),
            consumable_resource_properties: consumables(detail.consumable_resource_properties()),
            task: None,
        };
        several_containers::complete(&mut job, detail.eks_attempts());
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
        container: range
            .container()
            .map(Container::from)
            .or_else(|| several_containers::main_of_range(range)),
        container_names: several_containers::names_of_range(range),
    };
    Some(NodeProperties {
        num_nodes: nodes.and_then(|n| n.num_nodes()),
        main_node: nodes.and_then(|n| n.main_node()),
        node_index: node.and_then(|n| n.node_index()),
        is_main_node: node.and_then(|n| n.is_main_node()),
        node_range_properties: nodes.map(|n| n.node_range_properties().iter().map(range).collect()),
    })
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
        name: None,
        essential: None,
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
        is_submitted: false,
        tasks: tasks(environment),
    }
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
                    ..AttemptContainer::default()
                })
                .unwrap_or_default(),
            task_properties: attempt.task_properties().iter().map(several_containers::attempt_task).collect(),
            pod: None,
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
                exit_code: c.exit_code(),
                reason: c.reason().map(str::to_owned),
                ..Container::default()
            }),
            ecs_properties: None,
            eks_properties: None,
            attempts: None,
            retry_strategy: None,
            timeout: None,
            consumable_resource_properties: None,
            task: None,
        }
    }
}
