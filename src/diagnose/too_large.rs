//! Whether a RUNNABLE job is larger than its compute environments may ever be.

use super::evidence::{ComputeEnvironment, ComputeKind, Evidence, ObservedJob};
use super::failure_cause::size;
use super::finding::{Code, Finding};
use super::{blocked, instance_types};
use awsb_model::{Demand, words};

/// Reasons why the job can never be placed: `maxvCpus`, and the instance types.
pub fn too_large(evidence: &Evidence, usable: &[&ComputeEnvironment], demand: Demand) -> Vec<Finding> {
    let types = no_type_fits(evidence, usable, demand);
    // More vCPUs for the environment do not help if no machine is large enough.
    let reason = evidence.job.end.status_reason.as_deref().unwrap_or_default();
    let blocked = blocked::code(reason).is_some_and(|(code, _)| code == Code::JobResourceRequirement);
    let fixed = usable.iter().all(|e| e.machines_grown_by.is_none());
    let in_vain = types.is_some() || blocked && fixed;
    let found: Vec<Finding> = too_small(evidence, usable, demand, in_vain).into_iter().chain(types).collect();
    if found.is_empty() { no_machine_fits(usable, demand).into_iter().collect() } else { found }
}

/// The resources that none of the machines has, if Batch does not start others.
fn no_machine_fits(usable: &[&ComputeEnvironment], demand: Demand) -> Option<Finding> {
    let given = |e: &&ComputeEnvironment| {
        e.machines.clone().filter(|m| !m.is_empty() && e.machines_grown_by.is_some())
    };
    let machines: Vec<Demand> = usable
        .iter()
        .map(given)
        .collect::<Option<Vec<_>>>()?
        .concat()
        .iter()
        .map(|machine| machine.registered)
        .collect();
    if machines.is_empty() || machines.iter().any(|machine| has(*machine, demand)) {
        return None;
    }
    let command = usable.iter().find_map(|e| e.machines_grown_by.as_deref())?;
    let names: Vec<&str> = usable.iter().map(|e| e.name.as_str()).collect();
    let most = machines.iter().fold(Demand::default(), |most, machine| Demand {
        vcpus: most.vcpus.max(machine.vcpus),
        memory_mib: most.memory_mib.max(machine.memory_mib),
        gpus: most.gpus.max(machine.gpus),
    });
    let (mut asked, mut there, mut less, mut more) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if most.vcpus < demand.vcpus {
        asked.push(words::vcpus(demand.vcpus));
        there.push(words::vcpus(most.vcpus));
        less.push("--vcpus N".to_owned());
        more.push(format!("--vcpus {}", demand.vcpus.ceil()));
    }
    if most.memory_mib < demand.memory_mib {
        asked.push(words::memory(demand.memory_mib));
        there.push(words::memory(most.memory_mib));
        less.push("--memory SIZE".to_owned());
        more.push(format!("--memory {}", size(demand.memory_mib)));
    }
    if most.gpus < demand.gpus {
        asked.push(words::many(demand.gpus, "GPU"));
        there.push(if most.gpus == 0 { "no GPU".to_owned() } else { words::many(most.gpus, "GPU") });
        if most.gpus > 0 {
            less.push("--gpus N".to_owned());
        }
        more.push(format!("--gpus {}", demand.gpus));
    }
    let message = match asked.is_empty() {
        true => {
            format!("it requests {}, and no machine of {} has all of that", asks(demand), words::and(&names))
        }
        false => format!(
            "it requests {}, and the machines of {} have {}{}",
            words::and(&asked),
            words::and(&names),
            if there == ["no GPU"] { "" } else { "at most " },
            words::and(&there)
        ),
    };
    let finding = Finding::new(Code::NoInstanceFits, message);
    if asked.is_empty() {
        return Some(finding.advise("ask for less: `bsub --vcpus N --memory SIZE --gpus N …`"));
    }
    let larger = format!("let jobs have more: `{command} {}`", more.join(" "));
    Some(if less.is_empty() {
        finding.advise(larger)
    } else {
        finding.advise(format!("ask for less: `bsub {} …`", less.join(" "))).advise(format!("or {larger}"))
    })
}

/// UG `job_stuck_in_runnable_misconfiguration`: "Compute environment maximum resource too small".
/// `in_vain`: raising the maximum does not help.
fn too_small(
    evidence: &Evidence,
    usable: &[&ComputeEnvironment],
    demand: Demand,
    in_vain: bool,
) -> Option<Finding> {
    let need = evidence.job.vcpus(demand);
    let limits: Vec<(&ComputeEnvironment, u32)> =
        usable.iter().map(|e| e.max_vcpus.map(|max| (*e, max))).collect::<Option<_>>()?;
    if limits.iter().any(|(_, max)| f64::from(*max) >= need) {
        return None;
    }
    let allowed = match limits.as_slice() {
        [(environment, max)] => {
            format!("the compute environment {} may have {max} (maxvCpus)", environment.name)
        }
        several => {
            let each: Vec<String> = several.iter().map(|(e, max)| format!("{} {max}", e.name)).collect();
            format!(
                "no compute environment of its queue may have that many (maxvCpus: {})",
                words::and(&each)
            )
        }
    };
    let (environment, largest) = limits.iter().max_by_key(|(_, max)| *max)?;
    let message = format!("it needs {}, and {allowed}", vcpus(&evidence.job, demand));
    let mut finding = Finding::new(Code::EnvironmentTooSmall, message);
    let or = if in_vain { "" } else { "or " };
    if !in_vain {
        finding = finding.advise(raise(environment, need.ceil()));
    }
    let known = evidence.instance_types.as_deref().filter(|_| in_vain).unwrap_or_default();
    let type_most = usable.iter().flat_map(|e| instance_types::allowed(e, known)).map(|t| t.vcpus).max();
    let less = less(&evidence.job, demand, *largest, type_most.unwrap_or(u32::MAX));
    Some(less.into_iter().fold(finding, |finding, less| finding.advise(format!("{or}{less}"))))
}

/// How the job can ask for less, if the whole job may have `most` vCPUs and each container `each`
/// of them.
fn less(job: &ObservedJob, demand: Demand, most: u32, each: u32) -> Option<String> {
    let Some(nodes @ 2..) = job.nodes else {
        // A container of a task has no fractions of a vCPU, unless it runs on Fargate.
        let most = (f64::from(most.min(each)) - job.vcpus_beside).floor();
        return (most >= 1.0).then(|| format!("ask for less: at most `bsub --vcpus {most} …`"));
    };
    let alike = job.all_vcpus.is_none_or(|all| all == demand.vcpus * f64::from(nodes));
    let fewer = (f64::from(most) / demand.vcpus).floor();
    let smaller = (most / nodes).min(each);
    let fewer = (alike && fewer >= 1.0 && demand.vcpus <= f64::from(each)).then(|| match fewer {
        1.0 => "one node: `bsub --nodes 1 …`".to_owned(),
        fewer => format!("fewer nodes: at most `bsub --nodes {fewer} …`"),
    });
    let smaller = (alike && smaller >= 1)
        .then(|| format!("fewer vCPUs for each of its {nodes} nodes: at most `bsub --vcpus {smaller} …`"));
    Some(match (fewer, smaller) {
        (Some(fewer), Some(smaller)) => format!("ask for {fewer}; or for {smaller}"),
        (Some(one), None) | (None, Some(one)) => format!("ask for {one}"),
        (None, None) => {
            "ask for fewer nodes, or for fewer vCPUs for each: `bsub --nodes N --vcpus N …`".to_owned()
        }
    })
}

/// The command that gives an environment this many vCPUs.
pub fn raise(environment: &ComputeEnvironment, vcpus: f64) -> String {
    let name = &environment.name;
    match &environment.grown_by {
        Some(command) => format!("`{command} --vcpus {vcpus}`"),
        None => format!(
            "`aws batch update-compute-environment --compute-environment {name} --compute-resources maxvCpus={vcpus}`"
        ),
    }
}

/// UG `job_stuck_in_runnable_misconfiguration`: "Job resource requirements exceed available
/// instance types".
fn no_type_fits(evidence: &Evidence, usable: &[&ComputeEnvironment], demand: Demand) -> Option<Finding> {
    let known = evidence.instance_types.as_deref()?;
    let lacking: Vec<String> = usable
        .iter()
        .map(|environment| {
            if !matches!(environment.kind, ComputeKind::Ec2 | ComputeKind::Spot) {
                return None;
            }
            let lacking = instance_types::lacking(&instance_types::allowed(environment, known), &demand)?;
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

/// The resources that a container asks for, in words.
pub fn asks(demand: Demand) -> String {
    // Some requests of a job may be unknown before its submission.
    let is_known = demand.vcpus > 0.0 || (demand.memory_mib == 0 && demand.gpus == 0);
    let mut parts: Vec<String> = is_known.then(|| words::vcpus(demand.vcpus)).into_iter().collect();
    if demand.memory_mib > 0 {
        parts.push(words::memory(demand.memory_mib));
    }
    if demand.gpus > 0 {
        parts.push(words::many(demand.gpus, "GPU"));
    }
    words::and(&parts)
}

/// The resources that a whole job asks for: `4 vCPUs and 8 GiB`, `2 nodes with 1 vCPU and 1 GiB
/// each`.
pub fn asks_in_all(job: &ObservedJob, demand: Demand) -> String {
    match job.nodes {
        Some(nodes @ 2..) => format!("{nodes} nodes with {}{} each", up_to(job, demand), asks(demand)),
        _ => asks(demand),
    }
}

/// The vCPUs of a whole job: `3 vCPUs (3 nodes with 1 vCPU each)`, `9 vCPUs (its containers
/// together)`.
pub fn vcpus(job: &ObservedJob, demand: Demand) -> String {
    let all = words::vcpus(job.vcpus(demand));
    match job.nodes {
        Some(nodes @ 2..) => {
            format!("{all} ({nodes} nodes with {}{} each)", up_to(job, demand), words::vcpus(demand.vcpus))
        }
        _ if job.vcpus_beside > 0.0 => format!("{all} (its containers together)"),
        _ => all,
    }
}

/// `demand` is that of the largest node; the others may ask for less.
fn up_to(job: &ObservedJob, demand: Demand) -> &'static str {
    let alike = job.nodes.is_none_or(|nodes| job.vcpus(demand) == demand.vcpus * f64::from(nodes));
    if alike { "" } else { "up to " }
}

/// Whether `there` has capacity for a container that asks for `wanted`.
pub fn has(there: Demand, wanted: Demand) -> bool {
    there.vcpus >= wanted.vcpus && there.memory_mib >= wanted.memory_mib && there.gpus >= wanted.gpus
}
