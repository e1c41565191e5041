//! Whether there is room for a RUNNABLE job: its queue, the compute environments, their size, their instances.

use super::facts::{Demand, Environment, Facts, Holder, Kind, Machine, Ready};
use super::{Code, Finding, ready, types, words};

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
    if let Some(finding) = facts.queue.as_ref().and_then(ready::queue) {
        // A queue that is disabled takes no new jobs, and lets those in it go on.
        let is_certain = finding.code != Code::QueueDisabled;
        if is_certain { room.certain.push(finding) } else { room.notes.push(finding) }
    }
    let broken: Vec<Finding> = facts.environments.iter().filter_map(ready::environment).collect();
    let usable: Vec<&Environment> = facts.environments.iter().filter(|e| e.ready == Ready::Yes).collect();
    if usable.is_empty() {
        room.certain.extend(broken);
        return room;
    }
    let demand = facts.job.demand;
    let no_nodes = facts.job.nodes.and_then(|nodes| no_multi_node(nodes, &usable));
    let too_large = demand.and_then(|demand| {
        too_small(facts, &usable, demand).or_else(|| no_type_fits(facts, &usable, demand))
    });
    room.certain.extend(no_nodes.or(too_large));
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

/// vCPUs of all of a job's nodes.
fn all_vcpus(facts: &Facts, demand: Demand) -> f64 {
    facts.job.all_vcpus.unwrap_or(demand.vcpus)
}

/// UG `job_stuck_in_runnable_misconfiguration`: "Compute environment maximum resource too small".
fn too_small(facts: &Facts, usable: &[&Environment], demand: Demand) -> Option<Finding> {
    let need = all_vcpus(facts, demand);
    let limits: Vec<(&str, u32)> =
        usable.iter().map(|e| e.max_vcpus.map(|max| (e.name.as_str(), max))).collect::<Option<_>>()?;
    if limits.iter().any(|(_, max)| f64::from(*max) >= need) {
        return None;
    }
    let allowed = match limits.as_slice() {
        [(name, max)] => format!("the compute environment {name} may have {max} (maxvCpus)"),
        several => {
            let each: Vec<String> = several.iter().map(|(name, max)| format!("{name} {max}")).collect();
            format!("no compute environment of its queue may have so many (maxvCpus: {})", words::and(&each))
        }
    };
    let (name, largest) = limits.iter().max_by_key(|(_, max)| *max)?;
    Some(
        Finding::new(Code::EnvironmentTooSmall, format!("it needs {}, and {allowed}", words::vcpus(need)))
            .advise(raise(name, need.ceil()))
            .advise(format!("or ask for less: `bsub --vcpus {largest} …` at most")),
    )
}

fn raise(name: &str, vcpus: f64) -> String {
    format!(
        "`aws batch update-compute-environment --compute-environment {name} --compute-resources maxvCpus={vcpus}`"
    )
}

/// UG `job_stuck_in_runnable_misconfiguration`: "Job resource requirements exceed available instance types".
fn no_type_fits(facts: &Facts, usable: &[&Environment], demand: Demand) -> Option<Finding> {
    let known = facts.instance_types.as_deref()?;
    let lacking: Vec<String> = usable
        .iter()
        .map(|environment| {
            if !matches!(environment.kind, Kind::Ec2 | Kind::Spot) {
                return None;
            }
            let lacking = types::lacking(&types::allowed(environment, known), &demand)?;
            let list = words::some(&environment.instance_types, 6);
            Some(format!("{} ({list}): {lacking}", environment.name))
        })
        .collect::<Option<_>>()?;
    let name = &usable.first()?.name;
    Some(
        Finding::new(
            Code::NoInstanceFits,
            format!("no instance type that its compute environments may start has {}; {}", asks(demand), lacking.join("; ")),
        )
        .advise("ask for less: `bsub --vcpus N --memory SIZE --gpus N …`; an instance of 16 GiB has a little less than 16 GiB for jobs")
        .advise(format!(
            "or allow larger types: `aws batch update-compute-environment --compute-environment {name} --compute-resources instanceTypes=…`"
        )),
    )
}

/// What a job asks for.
pub fn asks(demand: Demand) -> String {
    let mut parts = vec![words::vcpus(demand.vcpus)];
    if demand.memory_mib > 0 {
        parts.push(words::memory(demand.memory_mib));
    }
    if demand.gpus > 0 {
        parts.push(words::many(demand.gpus, "GPU"));
    }
    words::and(&parts)
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
    let need = all_vcpus(facts, demand);
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
            format!("it needs {}, and {}", words::vcpus(need), told.join("; ")),
        )
        .advise(format!("wait until others end; or allow more: {}", raise(&first.name, target))),
    )
}

/// Who has what of some environments that have too little left.
fn full_group(facts: &Facts, group: &[&Environment], need: f64) -> Option<String> {
    let max: u32 = group.iter().map(|e| e.max_vcpus).sum::<Option<u32>>()?;
    let names: Vec<&str> = group.iter().map(|e| e.name.as_str()).collect();
    let names = words::and(&names);
    let Some(holders) = holders(facts, group) else {
        let all = group.iter().all(|e| e.desired_vcpus >= e.max_vcpus);
        return all.then(|| format!("{names} has all of the {max} vCPUs that it may have (maxvCpus)"));
    };
    let used: f64 = holders.iter().map(|h| h.vcpus).sum();
    if used + need <= f64::from(max) {
        return None;
    }
    let who: Vec<String> =
        holders.iter().map(|h| format!("{} ({}) {}", h.id, h.name, words::vcpus(h.vcpus))).collect();
    let least = if facts.holders.as_ref().is_some_and(|h| h.more) { "at least " } else { "" };
    let who = if who.is_empty() { String::new() } else { format!(": {}", words::some(&who, 5)) };
    Some(format!("other jobs have {least}{used} of the {max} vCPUs that {names} may have (maxvCpus){who}"))
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
        if ready.iter().any(|m| has(m.free, demand)) {
            let message = format!(
                "{} has an instance with room for it: it starts when it is its turn",
                environment.name
            );
            room.scaling.extend((!explained).then(|| Finding::new(Code::RoomIsThere, message)));
            return;
        }
        if !ready.is_empty() {
            let most = largest(&ready, |m| m.free);
            let message = format!("no instance of {} has {} free{most}", environment.name, asks(demand));
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
            "Batch has asked for instances with {desired} vCPUs in {name}, and none has joined its ECS cluster yet"
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
        let message = format!("no instance of {name} has {}{most}", asks(demand));
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
    let message =
        format!("{name} has, or is starting, instances with {desired} of the {max} vCPUs that it may have");
    Some(Finding::new(Code::ScalingUp, message))
}

fn has(there: Demand, wanted: Demand) -> bool {
    there.vcpus >= wanted.vcpus && there.memory_mib >= wanted.memory_mib && there.gpus >= wanted.gpus
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
