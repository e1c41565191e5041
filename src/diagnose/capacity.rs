//! Whether there is capacity for a RUNNABLE job: its queue, the compute environments, their size,
//! their instances.

use super::evidence::{Availability, ComputeEnvironment, ComputeKind, Evidence, Machine, PlacedJob};
use super::finding::{Code, Finding};
use super::{availability, too_large};
use awsb_model::{Demand, words};

/// The time, in milliseconds, after which a start of instances is considered slow. (AWS gives no
/// number; a launch, the agent's start and its registration take two to five minutes.)
const SLOW: i64 = 10 * 60 * 1000;

/// Findings about the capacity for a job.
#[derive(Debug, Default)]
pub struct CapacityFindings {
    /// Reasons why the job can never run until somebody changes something.
    pub certain: Vec<Finding>,
    /// Reasons why the job waits now.
    pub now: Vec<Finding>,
    /// The state of Batch's scaling.
    pub scaling: Vec<Finding>,
    /// Other evidence of interest.
    pub notes: Vec<Finding>,
}

/// Looks for reasons in the queue, the environments and their instances.
pub fn findings(evidence: &Evidence) -> CapacityFindings {
    let mut room = CapacityFindings::default();
    if let Some(finding) = evidence.queue.as_ref().and_then(availability::queue) {
        // A disabled queue takes no new jobs, but the jobs in it go on.
        let is_certain = finding.code != Code::QueueDisabled;
        if is_certain { room.certain.push(finding) } else { room.notes.push(finding) }
    }
    let broken: Vec<Finding> = evidence.environments.iter().filter_map(availability::environment).collect();
    let usable: Vec<&ComputeEnvironment> =
        evidence.environments.iter().filter(|e| e.ready == Availability::Yes).collect();
    if usable.is_empty() {
        room.certain.extend(broken);
        return room;
    }
    let demand = evidence.job.demand;
    let no_nodes = evidence.job.nodes.and_then(|nodes| no_multi_node(nodes, &usable));
    let too_large =
        || demand.map(|demand| too_large::too_large(evidence, &usable, demand)).unwrap_or_default();
    room.certain.extend(no_nodes.map_or_else(too_large, |finding| vec![finding]));
    if room.certain.is_empty()
        && let Some(demand) = demand
    {
        room.now.extend(full(evidence, &usable, demand));
        for environment in &usable {
            machines(evidence, environment, demand, &mut room);
        }
    }
    room.notes.extend(broken);
    room
}

/// Reasons why a job can never run in these environments: it is larger than they may ever be, or
/// they do not run multi-node jobs.
pub fn permanent_obstacles(evidence: &Evidence) -> Vec<Finding> {
    const NEVER: [Code; 3] = [Code::EnvironmentTooSmall, Code::NoInstanceFits, Code::NoMultiNode];
    let mut found = findings(evidence).certain;
    found.retain(|finding| NEVER.contains(&finding.code));
    found
}

/// UG `mnp-ce`: multi-node jobs need EC2 instances that are not Spot, in a managed environment. ECS
/// Managed Instances take job definitions of the type `container` only.
fn no_multi_node(nodes: u32, usable: &[&ComputeEnvironment]) -> Option<Finding> {
    if usable.iter().any(|e| e.kind == ComputeKind::Ec2) {
        return None;
    }
    let reasons: Vec<String> = usable
        .iter()
        .map(|e| {
            let what = match e.kind {
                ComputeKind::Spot => "has Spot instances",
                ComputeKind::Fargate => "is Fargate",
                ComputeKind::ManagedInstances => "has ECS Managed Instances",
                _ => "is unmanaged",
            };
            format!("{} {what}", e.name)
        })
        .collect();
    let reasons = words::and(&reasons);
    Some(
        Finding::new(
            Code::NoMultiNode,
            format!(
                "it has {}, and no compute environment of its queue runs multi-node jobs: {reasons}",
                words::many(nodes, "node")
            ),
        )
        .advise("submit it to a queue with On-Demand EC2 instances: `bsub --queue NAME`"),
    )
}

/// The jobs that are placed in an environment, the largest first. A job whose environment is
/// unknown counts.
fn placed_jobs<'f>(
    evidence: &'f Evidence,
    environments: &[&ComputeEnvironment],
) -> Option<Vec<&'f PlacedJob>> {
    let is_there = |placed_job: &&PlacedJob| {
        placed_job.cluster.as_ref().is_none_or(|cluster| {
            environments.iter().any(|e| e.cluster.as_ref().is_none_or(|other| other == cluster))
        })
    };
    let mut there: Vec<&PlacedJob> = evidence.placed_jobs.as_ref()?.jobs.iter().filter(is_there).collect();
    there.sort_by(|a, b| b.vcpus.total_cmp(&a.vcpus).then_with(|| a.id.cmp(&b.id)));
    Some(there)
}

/// The finding if all environments have reached `maxvCpus`.
fn full(evidence: &Evidence, usable: &[&ComputeEnvironment], demand: Demand) -> Option<Finding> {
    let need = evidence.job.vcpus(demand);
    let uncertain = evidence.placed_jobs.as_ref().is_some_and(|h| h.jobs.iter().any(|h| h.cluster.is_none()));
    // If it is unknown which job runs in which environment, the environments are considered as one.
    let groups: Vec<Vec<&ComputeEnvironment>> =
        if uncertain { vec![usable.to_vec()] } else { usable.iter().map(|e| vec![*e]).collect() };
    let texts: Vec<String> =
        groups.iter().map(|group| full_group(evidence, group, need)).collect::<Option<_>>()?;
    let first = usable.first()?;
    let target = f64::from(first.max_vcpus?) + need.ceil();
    Some(
        Finding::new(
            Code::MaxVcpusReached,
            format!("it needs {}, and {}", too_large::vcpus(&evidence.job, demand), texts.join("; ")),
        )
        .advise(format!("wait until others end; or allow more: {}", too_large::raise(first, target))),
    )
}

/// The jobs in a group of environments that have too few vCPUs left.
fn full_group(evidence: &Evidence, group: &[&ComputeEnvironment], need: f64) -> Option<String> {
    let max = group.iter().try_fold(0_u32, |all, e| Some(all.saturating_add(e.max_vcpus?)))?;
    let names: Vec<&str> = group.iter().map(|e| e.name.as_str()).collect();
    let names = words::and(&names);
    let Some(placed_jobs) = placed_jobs(evidence, group) else {
        let all = group.iter().all(|e| e.desired_vcpus >= e.max_vcpus);
        return all.then(|| {
            format!("{names} already has all of the {} that it may have (maxvCpus)", words::many(max, "vCPU"))
        });
    };
    let used: f64 = placed_jobs.iter().map(|h| h.vcpus).sum();
    if used + need <= f64::from(max) {
        return None;
    }
    let who: Vec<String> =
        placed_jobs.iter().map(|h| format!("{} ({}) {}", h.id, h.name, words::vcpus(h.vcpus))).collect();
    let least = if evidence.placed_jobs.as_ref().is_some_and(|h| h.more) { "at least " } else { "" };
    let who = if who.is_empty() { String::new() } else { format!(": {}", words::some(&who, 5)) };
    let max = words::many(max, "vCPU");
    Some(format!("other jobs have {least}{used} of the {max} that {names} may have (maxvCpus){who}"))
}

/// The findings about the instances of an environment.
fn machines(
    evidence: &Evidence,
    environment: &ComputeEnvironment,
    demand: Demand,
    room: &mut CapacityFindings,
) {
    if environment.kind == ComputeKind::Fargate {
        return;
    }
    let explained = !room.now.is_empty();
    let waited = evidence.job.created_at.map_or(0, |at| evidence.now.saturating_sub(at));
    if let Some(machines) = &environment.machines {
        if let Some(finding) = unfit(environment, machines, demand, waited) {
            room.now.push(finding);
            return;
        }
        let ready = placeable(machines);
        let nodes = evidence.job.nodes.unwrap_or(1);
        if ready.iter().map(|m| places(m.free, demand)).sum::<f64>() >= f64::from(nodes) {
            let message = match nodes {
                1 => format!(
                    "{} has an instance with room for it; it starts when its turn comes",
                    environment.name
                ),
                _ => format!(
                    "{} has room for its {nodes} nodes; it starts when its turn comes",
                    environment.name
                ),
            };
            room.scaling.extend((!explained).then(|| Finding::new(Code::RoomIsThere, message)));
            return;
        }
        if !ready.is_empty() {
            let most = largest(&ready, |m| m.free);
            let asks = too_large::asks(demand);
            let message = match nodes {
                2.. if ready.iter().any(|m| too_large::has(m.free, demand)) => {
                    format!(
                        "the instances of {} have no room for {nodes} nodes with {asks} each{most}",
                        environment.name
                    )
                }
                _ => format!("no instance of {} has {asks} free{most}", environment.name),
            };
            let full = Finding::new(Code::InstancesFull, message);
            if explained { room.notes.push(full) } else { room.now.push(full) }
        }
    }
    room.scaling.extend(scaling(environment, waited).filter(|_| !explained));
}

/// The instances on which jobs can be placed.
fn placeable(machines: &[Machine]) -> Vec<&Machine> {
    machines.iter().filter(|m| m.connected && m.status == "ACTIVE").collect()
}

/// Why the instances cannot run any job, or, if nobody starts other instances, not this one.
fn unfit(
    environment: &ComputeEnvironment,
    machines: &[Machine],
    demand: Demand,
    waited: i64,
) -> Option<Finding> {
    let name = &environment.name;
    let unmanaged = environment.kind == ComputeKind::Unmanaged;
    let ready = placeable(machines);
    if machines.is_empty() && unmanaged {
        let message = format!("{name} is unmanaged, and no instance has joined its ECS cluster");
        let cluster = environment.cluster.as_deref().unwrap_or("CLUSTER");
        return Some(Finding::new(Code::NoInstances, message).advise(format!(
            "start instances with the ECS agent and `ECS_CLUSTER={cluster}` in /etc/ecs/ecs.config"
        )));
    }
    if let (true, Some(desired @ 1..)) = (machines.is_empty(), environment.desired_vcpus) {
        let message = format!(
            "Batch has asked for instances with {} in {name}, and none has joined its ECS cluster yet",
            words::many(desired, "vCPU")
        );
        let finding = Finding::new(Code::NoInstances, message);
        return Some(if waited > SLOW { finding.advise(JOINING) } else { finding });
    }
    if ready.is_empty() && !machines.is_empty() {
        let count = u32::try_from(machines.len()).unwrap_or(u32::MAX);
        let count = words::many(count, "instance");
        let message = format!("{name} has {count}, and none with an ECS agent that is connected and ACTIVE");
        return Some(Finding::new(Code::InstancesDisconnected, message).advise(JOINING));
    }
    if unmanaged && !ready.iter().any(|m| too_large::has(m.registered, demand)) {
        let most = largest(&ready, |m| m.registered);
        let message = format!("no instance of {name} has {}{most}", too_large::asks(demand));
        return Some(
            Finding::new(Code::NoInstanceFits, message).advise("ask for less, or add larger instances"),
        );
    }
    None
}

/// The causes that AWS's page on stuck jobs lists for instances that do not join.
const JOINING: &str = "instances need a way to the ECS endpoint (public address, NAT gateway or VPC endpoints), the ECS agent \
                       (in the ECS-optimized AMI), an instance role with AmazonEC2ContainerServiceforEC2Role, and room in the \
                       account's EC2 quota";

/// The finding about Batch's scaling of an environment.
fn scaling(environment: &ComputeEnvironment, waited: i64) -> Option<Finding> {
    let ComputeEnvironment { name, max_vcpus: Some(max), desired_vcpus: Some(desired), .. } = environment
    else {
        return None;
    };
    if desired >= max {
        return None;
    }
    if *desired == 0 {
        let message =
            format!("Batch has not asked for instances in {name} yet (desiredvCpus is 0, maxvCpus {max})");
        let finding = Finding::new(Code::NotScalingYet, message);
        return Some(if waited > SLOW { finding.advise(JOINING) } else { finding });
    }
    let max = words::many(*max, "vCPU");
    let message =
        format!("{name} has, or is starting, instances with {desired} of the {max} that it may have");
    Some(Finding::new(Code::ScalingUp, message))
}

/// The number of containers that ask for `wanted` and fit into `there`.
fn places(there: Demand, wanted: Demand) -> f64 {
    let of = |there: f64, wanted: f64| if wanted > 0.0 { (there / wanted).floor() } else { f64::INFINITY };
    #[allow(clippy::cast_precision_loss)] // MiB
    let memory = of(there.memory_mib as f64, wanted.memory_mib as f64);
    of(there.vcpus, wanted.vcpus).min(memory).min(of(there.gpus.into(), wanted.gpus.into()))
}

/// The instance with the most vCPUs.
fn largest(machines: &[&Machine], of: fn(&Machine) -> Demand) -> String {
    let largest = machines.iter().max_by(|a, b| {
        let (a, b) = (of(a), of(b));
        a.vcpus.total_cmp(&b.vcpus).then(a.memory_mib.cmp(&b.memory_mib))
    });
    let Some(machine) = largest else { return String::new() };
    let of = of(machine);
    let memory = if of.memory_mib == 0 { "no memory".to_owned() } else { words::memory(of.memory_mib) };
    let gpus = if of.gpus > 0 { format!(", {}", words::many(of.gpus, "GPU")) } else { String::new() };
    format!(": {} has the most, {} and {memory}{gpus}", machine.id, words::vcpus(of.vcpus))
}
