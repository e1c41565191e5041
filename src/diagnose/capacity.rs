//! Whether there is room for a RUNNABLE job: its queue, the compute environments, their size, their instances.

use super::evidence::{Environment, Facts, Holder, Kind, Machine, Ready};
use super::{Code, Finding, availability, too_large, words};
use awsb_model::Demand;

/// Instances that take longer than this, in milliseconds, have something in their way. (AWS gives no number; a
/// launch, the agent's start and its registration take two to five minutes.)
const SLOW: i64 = 10 * 60 * 1000;

/// What was found about the room.
#[derive(Debug, Default)]
pub struct Room {
    /// What keeps the job from ever running, until somebody changes something.
    pub certain: Vec<Finding>,
    /// What keeps it waiting now.
    pub now: Vec<Finding>,
    /// What Batch does about it.
    pub scaling: Vec<Finding>,
    /// What else is worth knowing.
    pub notes: Vec<Finding>,
}

/// Looks for room.
pub fn look(facts: &Facts) -> Room {
    let mut room = Room::default();
    if let Some(finding) = facts.queue.as_ref().and_then(availability::queue) {
        // A queue that is disabled takes no new jobs, and lets those in it go on.
        let is_certain = finding.code != Code::QueueDisabled;
        if is_certain { room.certain.push(finding) } else { room.notes.push(finding) }
    }
    let broken: Vec<Finding> = facts.environments.iter().filter_map(availability::environment).collect();
    let usable: Vec<&Environment> = facts.environments.iter().filter(|e| e.ready == Ready::Yes).collect();
    if usable.is_empty() {
        room.certain.extend(broken);
        return room;
    }
    let demand = facts.job.demand;
    let no_nodes = facts.job.nodes.and_then(|nodes| no_multi_node(nodes, &usable));
    let too_large = || demand.map(|demand| too_large::too_large(facts, &usable, demand)).unwrap_or_default();
    room.certain.extend(no_nodes.map_or_else(too_large, |finding| vec![finding]));
    if room.certain.is_empty()
        && let Some(demand) = demand
    {
        room.now.extend(full(facts, &usable, demand));
        for environment in &usable {
            machines(facts, environment, demand, &mut room);
        }
    }
    room.notes.extend(broken);
    room
}

/// UG `mnp-ce`: multi-node jobs need EC2 instances that are not Spot, in a managed environment.
fn no_multi_node(nodes: u32, usable: &[&Environment]) -> Option<Finding> {
    if usable.iter().any(|e| e.kind == Kind::Ec2) {
        return None;
    }
    let reasons: Vec<String> = usable
        .iter()
        .map(|e| {
            let what = match e.kind {
                Kind::Spot => "has Spot instances",
                Kind::Fargate => "is Fargate",
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

/// The jobs that have room in an environment, the largest first. One of which nobody says where it runs counts.
fn holders<'f>(facts: &'f Facts, environments: &[&Environment]) -> Option<Vec<&'f Holder>> {
    let is_there = |holder: &&Holder| {
        holder.cluster.as_ref().is_none_or(|cluster| {
            environments.iter().any(|e| e.cluster.as_ref().is_none_or(|other| other == cluster))
        })
    };
    let mut there: Vec<&Holder> = facts.holders.as_ref()?.jobs.iter().filter(is_there).collect();
    there.sort_by(|a, b| b.vcpus.total_cmp(&a.vcpus).then_with(|| a.id.cmp(&b.id)));
    Some(there)
}

/// `maxvCpus` is reached in all environments.
fn full(facts: &Facts, usable: &[&Environment], demand: Demand) -> Option<Finding> {
    let need = facts.job.vcpus(demand);
    let uncertain = facts.holders.as_ref().is_some_and(|h| h.jobs.iter().any(|h| h.cluster.is_none()));
    // Where it is open who runs where, the environments are looked at as one.
    let groups: Vec<Vec<&Environment>> =
        if uncertain { vec![usable.to_vec()] } else { usable.iter().map(|e| vec![*e]).collect() };
    let told: Vec<String> =
        groups.iter().map(|group| full_group(facts, group, need)).collect::<Option<_>>()?;
    let first = usable.first()?;
    let target = f64::from(first.max_vcpus?) + need.ceil();
    Some(
        Finding::new(
            Code::MaxVcpusReached,
            format!("it needs {}, and {}", too_large::vcpus(&facts.job, demand), told.join("; ")),
        )
        .advise(format!("wait until others end; or allow more: {}", too_large::raise(first, target))),
    )
}

/// Who has what of some environments that have too little left.
fn full_group(facts: &Facts, group: &[&Environment], need: f64) -> Option<String> {
    let max: u32 = group.iter().map(|e| e.max_vcpus).sum::<Option<u32>>()?;
    let names: Vec<&str> = group.iter().map(|e| e.name.as_str()).collect();
    let names = words::and(&names);
    let Some(holders) = holders(facts, group) else {
        let all = group.iter().all(|e| e.desired_vcpus >= e.max_vcpus);
        return all.then(|| {
            format!("{names} already has all of the {} that it may have (maxvCpus)", words::many(max, "vCPU"))
        });
    };
    let used: f64 = holders.iter().map(|h| h.vcpus).sum();
    if used + need <= f64::from(max) {
        return None;
    }
    let who: Vec<String> =
        holders.iter().map(|h| format!("{} ({}) {}", h.id, h.name, words::vcpus(h.vcpus))).collect();
    let least = if facts.holders.as_ref().is_some_and(|h| h.more) { "at least " } else { "" };
    let who = if who.is_empty() { String::new() } else { format!(": {}", words::some(&who, 5)) };
    let max = words::many(max, "vCPU");
    Some(format!("other jobs have {least}{used} of the {max} that {names} may have (maxvCpus){who}"))
}

/// What the instances of an environment tell.
fn machines(facts: &Facts, environment: &Environment, demand: Demand, room: &mut Room) {
    if environment.kind == Kind::Fargate {
        return;
    }
    let explained = !room.now.is_empty();
    let waited = facts.job.created_at.map_or(0, |at| facts.now - at);
    if let Some(machines) = &environment.machines {
        if let Some(finding) = unfit(environment, machines, demand, waited) {
            room.now.push(finding);
            return;
        }
        let ready = placeable(machines);
        let nodes = facts.job.nodes.unwrap_or(1);
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
                2.. if ready.iter().any(|m| has(m.free, demand)) => {
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

/// Why the instances cannot run any job, or, where nobody starts others, not this one.
fn unfit(environment: &Environment, machines: &[Machine], demand: Demand, waited: i64) -> Option<Finding> {
    let name = &environment.name;
    let unmanaged = environment.kind == Kind::Unmanaged;
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
    if unmanaged && !ready.iter().any(|m| has(m.registered, demand)) {
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

/// What Batch does about instances.
fn scaling(environment: &Environment, waited: i64) -> Option<Finding> {
    let Environment { name, max_vcpus: Some(max), desired_vcpus: Some(desired), .. } = environment else {
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

/// Whether a container that wants so much has room there.
pub fn has(there: Demand, wanted: Demand) -> bool {
    there.vcpus >= wanted.vcpus && there.memory_mib >= wanted.memory_mib && there.gpus >= wanted.gpus
}

/// How many containers that want so much have room there.
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
