//! AWS's shapes, and ours, as facts.

use aws_sdk_batch::types::{JobDependency, JobDetail, NodeProperties, ResourceRequirement, ResourceType};
use aws_sdk_ecs::types::{ContainerInstance, Resource};

use crate::aws;
use crate::batch::{Container, Environment, Job, Queue};
use crate::diagnose::{self as why, Attempt, End, Holder, JobFacts, Kind, Machine, Ready};
use awsb_model::{Demand, InstanceType, JobId, Status};

/// A job's state.
pub fn status(detail: &JobDetail) -> Status {
    Job::from(detail).status
}

/// A job, from a listing.
pub fn summary(job: &Job) -> JobFacts {
    let container = job.container.as_ref();
    JobFacts {
        id: job.job_id.clone(),
        name: job.job_name.clone(),
        status: job.status,
        created_at: job.created_at,
        started_at: job.started_at,
        stopped_at: job.stopped_at,
        end: End {
            status_reason: job.status_reason.clone(),
            reason: container.and_then(|c| c.reason.clone()),
            exit_code: container.and_then(|c| c.exit_code),
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
        demand: container.and_then(demand),
        all_vcpus: None,
        image: container.and_then(|c| c.image.clone()),
        runs_here: false,
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

/// A job, as it is described.
pub fn job(detail: &JobDetail) -> JobFacts {
    let job = Job::from(detail);
    let mut facts = summary(&job);
    facts.share = detail.share_identifier().map(str::to_owned);
    facts.ended_by_user |= detail.is_cancelled() == Some(true);
    if let Some(properties) = detail.node_properties().filter(|_| facts.nodes.is_some()) {
        let nodes: Vec<Demand> =
            (0..facts.nodes.unwrap_or(0)).filter_map(|n| of_node(properties, n)).collect();
        facts.main_node = number(properties.main_node()).unwrap_or(0);
        facts.all_vcpus = (!nodes.is_empty()).then(|| nodes.iter().map(|d| d.vcpus).sum());
        facts.demand = nodes.into_iter().reduce(|a, b| Demand {
            vcpus: a.vcpus.max(b.vcpus),
            memory_mib: a.memory_mib.max(b.memory_mib),
            gpus: a.gpus.max(b.gpus),
        });
        let container = properties.node_range_properties().iter().find_map(|range| range.container());
        facts.image = container.and_then(|c| c.image()).map(str::to_owned);
    }
    facts
}

fn number(number: Option<i32>) -> Option<u32> {
    number.and_then(|n| u32::try_from(n).ok())
}

/// What a container asks for; nothing when it does not say.
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

/// What a node asks for: of the ranges that it is in, the narrowest counts (API `NodeRangeProperty`).
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

/// The jobs that a job waits for: those of its `dependsOn` and, for a child, of `N_TO_N` the child of the same index,
/// of `SEQUENTIAL` the one before it.
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

/// How many children are in which state.
pub fn counts(parent: &Job) -> Vec<(Status, u32)> {
    let summary = parent.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
    let count = |status: Status| number(summary?.get(status.as_str()).copied()).map(|count| (status, count));
    Status::ALL.into_iter().filter_map(count).collect()
}

fn ready(state: Option<&String>, status: Option<&String>, reason: Option<&String>) -> Ready {
    match status.map(String::as_str) {
        Some("INVALID") => Ready::Invalid(reason.cloned()),
        _ if state.is_some_and(|s| s == "DISABLED") => Ready::Disabled,
        None | Some("VALID") => Ready::Yes,
        Some(status) => Ready::Changing(status.to_owned(), reason.cloned()),
    }
}

/// A queue.
pub fn queue(queue: &Queue) -> why::Queue {
    let limits = queue.job_state_time_limit_actions.iter();
    why::Queue {
        name: queue.job_queue_name.clone(),
        ready: ready(queue.state.as_ref(), queue.status.as_ref(), queue.status_reason.as_ref()),
        has_policy: queue.scheduling_policy_arn.as_ref().is_some_and(|arn| !arn.is_empty()),
        limits: limits.filter_map(|l| Some((l.reason.clone()?, number(l.max_time_seconds)?))).collect(),
        ahead: Vec::new(),
    }
}

/// A compute environment, without its machines.
pub fn environment(environment: &Environment) -> why::Environment {
    let resources = environment.compute_resources.as_ref();
    let unmanaged = environment.kind.as_deref() == Some("UNMANAGED");
    why::Environment {
        name: environment.compute_environment_name.clone(),
        kind: match resources.and_then(|r| r.kind.as_deref()) {
            _ if unmanaged => Kind::Unmanaged,
            Some("SPOT") => Kind::Spot,
            Some("FARGATE" | "FARGATE_SPOT") => Kind::Fargate,
            _ => Kind::Ec2,
        },
        ready: ready(
            environment.state.as_ref(),
            environment.status.as_ref(),
            environment.status_reason.as_ref(),
        ),
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

/// A job that has room: an array's children that have it count together.
pub fn holder(detail: &JobDetail) -> Option<Holder> {
    let facts = job(detail);
    let demand = facts.demand?;
    let container = detail.container();
    let (vcpus, name) = match facts.size {
        Some(_) => {
            let counts = counts(&Job::from(detail));
            let at_work = |status: &Status| matches!(status, Status::Starting | Status::Running);
            let busy: u32 = counts.iter().filter(|(status, _)| at_work(status)).map(|(_, n)| n).sum();
            let children = if busy == 1 { "child" } else { "children" };
            (f64::from(busy) * demand.vcpus, format!("{}, {busy} {children}", facts.name))
        }
        None => (facts.all_vcpus.unwrap_or(demand.vcpus), facts.name.clone()),
    };
    // arn:aws:ecs:REGION:ACCOUNT:container-instance/CLUSTER/ID, and task/CLUSTER/ID.
    let arn = container.and_then(|c| c.container_instance_arn().or(c.task_arn()));
    let cluster = arn.and_then(|arn| arn.rsplit('/').nth(1)).map(str::to_owned);
    (vcpus > 0.0).then_some(Holder { id: facts.id, name, vcpus, cluster })
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
        gpus: known.gpus.iter().map(|gpu| gpu.count).sum(),
    }
}
