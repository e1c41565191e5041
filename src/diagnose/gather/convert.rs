//! Converts AWS's shapes, and those of `batch`, into evidence.

use aws_sdk_batch::types::{JobDependency, JobDetail, NodeProperties, ResourceRequirement, ResourceType};
use aws_sdk_ecs::types::{ContainerInstance, Resource};

use crate::aws;
use crate::batch::consumables::ConsumableResource;
use crate::batch::{ComputeEnvironment, Container, Job, Queue};
use crate::diagnose::evidence::{
    self, Attempt, Availability, ComputeKind, ConsumableQuantities, ConsumableSupply, End, Machine,
    ObservedJob, PlacedJob,
};
use awsb_model::{Demand, InstanceType, JobId, Status};

/// The state of a job.
pub fn status(detail: &JobDetail) -> Status {
    Job::from(detail).status
}

/// A job from a listing.
pub fn summary(job: &Job) -> ObservedJob {
    let container = job.container.as_ref();
    ObservedJob {
        id: job.job_id.clone(),
        name: job.job_name.clone(),
        status: job.status,
        created_at: job.created_at,
        started_at: job.started_at,
        stopped_at: job.stopped_at,
        end: End {
            status_reason: job.status_reason.clone(),
            reason: job.container_reason().map(str::to_owned),
            exit_code: job.container_exit_code(),
        },
        ended_by_user: job.is_terminated == Some(true),
        attempts: job
            .attempts
            .iter()
            .flatten()
            .map(|attempt| Attempt {
                started_at: attempt.started_at,
                stopped_at: attempt.stopped_at,
                end: End {
                    status_reason: attempt.status_reason.clone(),
                    reason: attempt.container.reason.clone(),
                    exit_code: attempt.container.exit_code,
                },
            })
            .collect(),
        attempts_allowed: number(job.retry_strategy.as_ref().and_then(|r| r.attempts)).unwrap_or(1),
        timeout: number(job.timeout.as_ref().and_then(|t| t.attempt_duration_seconds)),
        demand: demand_of_all(job).or_else(|| container.and_then(demand)),
        all_vcpus: None,
        vcpus_beside: vcpus_beside(job),
        consumes: job
            .consumable_resource_properties
            .iter()
            .flat_map(|all| &all.consumable_resource_list)
            .map(|of| {
                let nodes = job.nodes.filter(|_| job.is_mnp_parent()).unwrap_or(1);
                let quantity = u64::try_from(of.quantity).unwrap_or(0);
                (of.name().to_owned(), quantity.saturating_mul(u64::from(nodes)))
            })
            .collect(),
        image: job.container_image().map(str::to_owned),
        unstarted: job
            .other_unstarted()
            .into_iter()
            .map(|(name, reason)| (name.to_owned(), reason.to_owned()))
            .collect(),
        runs_here: false,
        is_process: false,
        share: None,
        size: job.array_size().filter(|_| job.is_array_parent()),
        nodes: job.nodes.filter(|_| job.is_mnp_parent()),
        main_node: 0,
        task: job.task,
        tasks: container
            .and_then(|c| c.tasks.as_ref())
            .filter(|_| job.has_task_ids())
            .map(|t| t.ids().clone()),
    }
}

/// A job from its description.
pub fn job(detail: &JobDetail) -> ObservedJob {
    let job = Job::from(detail);
    let mut evidence = summary(&job);
    evidence.share = detail.share_identifier().map(str::to_owned);
    evidence.ended_by_user |= detail.is_cancelled() == Some(true);
    if let Some(properties) = detail.node_properties().filter(|_| evidence.nodes.is_some()) {
        let nodes: Vec<Demand> =
            (0..evidence.nodes.unwrap_or(0)).filter_map(|n| of_node(properties, n)).collect();
        evidence.main_node = number(properties.main_node()).unwrap_or(0);
        evidence.all_vcpus = (!nodes.is_empty()).then(|| nodes.iter().map(|d| d.vcpus).sum());
        evidence.demand = nodes.into_iter().reduce(|a, b| Demand {
            vcpus: a.vcpus.max(b.vcpus),
            memory_mib: a.memory_mib.max(b.memory_mib),
            gpus: a.gpus.max(b.gpus),
        });
        let container = properties.node_range_properties().iter().find_map(|range| range.container());
        evidence.image = container.and_then(|c| c.image()).map(str::to_owned);
    }
    evidence
}

fn number(number: Option<i32>) -> Option<u32> {
    number.and_then(|n| u32::try_from(n).ok())
}

/// The resources that the containers of a job of several ask for together.
fn demand_of_all(job: &Job) -> Option<Demand> {
    let number = |kind: &str| job.resource(kind).and_then(|value| value.parse::<f64>().ok());
    let vcpus = number("VCPU").filter(|_| job.has_several_containers())?;
    // The resources of a job are far below the limits of these types.
    let whole = |kind: &str| number(kind).unwrap_or(0.0).max(0.0).round();
    Some(Demand { vcpus, memory_mib: whole("MEMORY") as u64, gpus: whole("GPU") as u32 })
}

/// The vCPUs of the containers of a job of several beside its main one.
fn vcpus_beside(job: &Job) -> f64 {
    let main = job.main_container().and_then(demand).map_or(0.0, |main| main.vcpus);
    demand_of_all(job).map_or(0.0, |all| (all.vcpus - main).max(0.0))
}

/// The resources that a container asks for, if it says so.
fn demand(container: &Container) -> Option<Demand> {
    let all = container.resource_requirements.as_deref().unwrap_or_default();
    let value = |kind: &str| all.iter().find(|r| r.kind == kind).map(|r| r.value.as_str());
    let vcpus = value("VCPU").and_then(|v| v.parse().ok()).or(container.vcpus.map(f64::from))?;
    let memory = value("MEMORY").and_then(|v| v.parse().ok());
    Some(Demand {
        vcpus,
        memory_mib: memory.or_else(|| container.memory.and_then(|m| u64::try_from(m).ok())).unwrap_or(0),
        gpus: value("GPU").and_then(|v| v.parse().ok()).unwrap_or(0),
    })
}

/// The resources that a node asks for. If it is in several ranges, the narrowest counts (API
/// `NodeRangeProperty`).
fn of_node(properties: &NodeProperties, node: u32) -> Option<Demand> {
    let width = |target: &str| {
        let (from, to) = target.split_once(':').unwrap_or((target, target));
        let from: u32 = if from.is_empty() { 0 } else { from.parse().ok()? };
        let to: u32 = if to.is_empty() { u32::MAX } else { to.parse().ok()? };
        (from..=to).contains(&node).then(|| to - from)
    };
    let ranges = properties.node_range_properties().iter();
    let (_, range) = ranges
        .filter_map(|range| Some((width(range.target_nodes()?)?, range)))
        .min_by_key(|(width, _)| *width)?;
    let container = range.container()?;
    let value = |kind: &ResourceType| {
        let of_kind = |r: &&ResourceRequirement| r.r#type() == Some(kind);
        container.resource_requirements().iter().find(of_kind).and_then(|r| r.value())
    };
    #[allow(deprecated)]
    let (vcpus, memory) = (container.vcpus(), container.memory());
    Some(Demand {
        vcpus: value(&ResourceType::Vcpu).and_then(|v| v.parse().ok()).or(vcpus.map(f64::from))?,
        memory_mib: value(&ResourceType::Memory)
            .and_then(|v| v.parse().ok())
            .or_else(|| memory.and_then(|m| u64::try_from(m).ok()))
            .unwrap_or(0),
        gpus: value(&ResourceType::Gpu).and_then(|v| v.parse().ok()).unwrap_or(0),
    })
}

/// The jobs that a job waits for, from its `dependsOn`. For a child, `N_TO_N` means the child of
/// the same index, and `SEQUENTIAL` the one before it.
pub fn dependencies(detail: &JobDetail) -> Vec<JobId> {
    let own = JobId::from_batch(detail.job_id().unwrap_or_default());
    let one = |dependency: &JobDependency| {
        let id = dependency.job_id().filter(|id| !id.is_empty()).map(JobId::from_batch);
        match (dependency.r#type().map(|t| t.as_str()), own.array_index(), id) {
            (Some("N_TO_N"), Some(index), Some(id)) if id.array_index().is_none() => Some(id.child(index)),
            (Some("SEQUENTIAL"), Some(index), None) => Some(own.whole().child(index.checked_sub(1)?)),
            (_, _, id) => id,
        }
    };
    detail.depends_on().iter().filter_map(one).collect()
}

/// The number of children in each state.
pub fn counts(parent: &Job) -> Vec<(Status, u32)> {
    let summary = parent.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
    let count = |status: Status| number(summary?.get(status.as_str()).copied()).map(|count| (status, count));
    Status::ALL.into_iter().filter_map(count).collect()
}

fn ready(state: Option<&String>, status: Option<&String>, reason: Option<&String>) -> Availability {
    match status.map(String::as_str) {
        Some("INVALID") => Availability::Invalid(reason.cloned()),
        _ if state.is_some_and(|s| s == "DISABLED") => Availability::Disabled,
        None | Some("VALID") => Availability::Yes,
        Some(status) => Availability::Changing(status.to_owned(), reason.cloned()),
    }
}

/// A queue.
pub fn queue(queue: &Queue) -> evidence::Queue {
    let limits = queue.job_state_time_limit_actions.iter();
    evidence::Queue {
        name: queue.job_queue_name.clone(),
        ready: ready(queue.state.as_ref(), queue.status.as_ref(), queue.status_reason.as_ref()),
        stack: queue.stack.clone(),
        has_policy: queue.scheduling_policy_arn.as_ref().is_some_and(|arn| !arn.is_empty()),
        limits: limits.filter_map(|l| Some((l.reason.clone()?, number(l.max_time_seconds)?))).collect(),
        ahead: Vec::new(),
    }
}

/// How much there is of a consumable resource, if it exists.
pub fn supply(name: &str, found: Option<&ConsumableResource>) -> ConsumableSupply {
    let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let quantities = found.map(|of| {
        let (total, in_use) = (number(of.total_quantity), number(of.in_use_quantity));
        let available = of.available_quantity.map_or(total.saturating_sub(in_use), |n| number(Some(n)));
        let is_replenishable = of.kind.as_deref() != Some("NON_REPLENISHABLE");
        ConsumableQuantities { total, in_use, available, is_replenishable }
    });
    ConsumableSupply { name: name.to_owned(), quantities }
}

/// A compute environment, without its instances.
pub fn environment(environment: &ComputeEnvironment) -> evidence::ComputeEnvironment {
    let resources = environment.compute_resources.as_ref();
    let unmanaged = environment.kind.as_deref() == Some("UNMANAGED");
    evidence::ComputeEnvironment {
        name: environment.compute_environment_name.clone(),
        kind: match resources.and_then(|r| r.kind.as_deref()) {
            _ if unmanaged => ComputeKind::Unmanaged,
            Some("SPOT") => ComputeKind::Spot,
            Some("FARGATE" | "FARGATE_SPOT") => ComputeKind::Fargate,
            Some("ECS_MANAGED_INSTANCES") => ComputeKind::ManagedInstances,
            _ => ComputeKind::Ec2,
        },
        ready: ready(
            environment.state.as_ref(),
            environment.status.as_ref(),
            environment.status_reason.as_ref(),
        ),
        stack: environment.stack.clone(),
        max_vcpus: number(resources.and_then(|r| r.maxv_cpus)).filter(|_| !unmanaged),
        desired_vcpus: number(resources.and_then(|r| r.desiredv_cpus)).filter(|_| !unmanaged),
        instance_types: resources.map(|r| r.instance_types.clone()).unwrap_or_default(),
        grown_by: None,
        machines_grown_by: None,
        cluster: environment
            .ecs_cluster_arn
            .as_deref()
            .and_then(|arn| arn.rsplit('/').next())
            .map(str::to_owned),
        machines: None,
    }
}

/// A placed job. The children of an array count together.
pub fn placed_job(detail: &JobDetail) -> Option<PlacedJob> {
    let evidence = job(detail);
    let demand = evidence.demand?;
    let container = detail.container();
    let (vcpus, name) = match evidence.size {
        Some(_) => {
            let counts = counts(&Job::from(detail));
            let at_work = |status: &Status| matches!(status, Status::Starting | Status::Running);
            let busy: u32 = counts.iter().filter(|(status, _)| at_work(status)).map(|(_, n)| n).sum();
            let children = if busy == 1 { "child" } else { "children" };
            (f64::from(busy) * demand.vcpus, format!("{}, {busy} {children}", evidence.name))
        }
        None => (evidence.all_vcpus.unwrap_or(demand.vcpus), evidence.name.clone()),
    };
    // arn:aws:ecs:REGION:ACCOUNT:container-instance/CLUSTER/ID, and task/CLUSTER/ID.
    let of_task = || {
        let task = detail.ecs_properties()?.task_properties().first()?;
        task.container_instance_arn().or(task.task_arn())
    };
    let arn = container.and_then(|c| c.container_instance_arn().or(c.task_arn())).or_else(of_task);
    let cluster = arn.and_then(|arn| arn.rsplit('/').nth(1)).map(str::to_owned);
    (vcpus > 0.0).then_some(PlacedJob { id: evidence.id, name, vcpus, cluster })
}

/// An instance.
pub fn machine(instance: &ContainerInstance) -> Machine {
    Machine {
        id: instance.ec2_instance_id().unwrap_or_default().to_owned(),
        status: instance.status().unwrap_or_default().to_owned(),
        connected: instance.agent_connected(),
        registered: of_instance(instance.registered_resources()),
        free: of_instance(instance.remaining_resources()),
    }
}

/// ECS counts 1,024 units for each vCPU (ECS Developer Guide `task_definition_parameters`).
fn of_instance(resources: &[Resource]) -> Demand {
    let find = |name: &str| resources.iter().find(|r| r.name() == Some(name));
    let number = |name: &str| find(name).map_or(0, |r| u32::try_from(r.integer_value()).unwrap_or(0));
    Demand {
        vcpus: f64::from(number("CPU")) / 1024.0,
        memory_mib: u64::from(number("MEMORY")),
        gpus: find("GPU").map_or(0, |r| u32::try_from(r.string_set_value().len()).unwrap_or(0)),
    }
}

/// An instance type.
pub fn instance_type(known: &aws::InstanceType) -> InstanceType {
    InstanceType {
        name: known.name.clone(),
        vcpus: known.vcpus,
        memory_mib: known.memory_mib,
        gpus: known.gpus.iter().fold(0, |all, gpu| gpu.count.saturating_add(all)),
    }
}
