//! Instance types: which ones an environment may start, and whether a job fits on one.

use super::evidence::ComputeEnvironment;
use awsb_model::{Demand, InstanceType, words};

/// The families of `default_x86_64` and `default_arm64` (API `ComputeResource`, `instanceTypes`).
const X86_64: [&str; 4] = ["m6i", "c6i", "r6i", "c7i"];
const ARM64: [&str; 4] = ["m6g", "c6g", "r6g", "c7g"];
/// The families of `optimal`. They were others before November 2025, so it can be either.
const OPTIMAL: [&str; 10] = ["c4", "m4", "r4", "c5", "m5", "r5", "m6i", "c6i", "r6i", "c7i"];

/// The patterns of names for an environment's `instanceTypes`: `c5.*`, `c5.xlarge`.
pub fn patterns(allowed: &[String]) -> Vec<String> {
    let families = |families: &[&str]| families.iter().map(|family| format!("{family}.*")).collect();
    let mut patterns: Vec<String> = allowed
        .iter()
        .flat_map(|entry| match entry.as_str() {
            "optimal" => families(&OPTIMAL),
            "default_x86_64" => families(&X86_64),
            "default_arm64" => families(&ARM64),
            entry if entry.contains('.') => vec![entry.to_owned()],
            family => families(&[family]),
        })
        .collect();
    patterns.sort();
    patterns.dedup();
    patterns
}

/// The types in `known` that the environment may start.
pub fn allowed<'t>(environment: &ComputeEnvironment, known: &'t [InstanceType]) -> Vec<&'t InstanceType> {
    let patterns = patterns(&environment.instance_types);
    let is_one = |name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
    };
    known.iter().filter(|t| is_one(&t.name)).collect()
}

/// Whether a container fits on an instance of this type. The system needs some of the memory (UG
/// `memory-management`), so a container cannot have all of it.
pub fn fits(instance: &InstanceType, demand: &Demand) -> bool {
    f64::from(instance.vcpus) >= demand.vcpus
        && instance.memory_mib > demand.memory_mib
        && instance.gpus >= demand.gpus
}

/// Why none of these types fits. `None`: one does, or none is known.
pub fn lacking(types: &[&InstanceType], demand: &Demand) -> Option<String> {
    if types.is_empty() || types.iter().any(|t| fits(t, demand)) {
        return None;
    }
    let most = |of: fn(&InstanceType) -> u64| types.iter().max_by_key(|t| of(t));
    let has = |t: &InstanceType| {
        let mut parts = vec![words::vcpus(f64::from(t.vcpus)), words::memory(t.memory_mib)];
        parts.extend((t.gpus > 0).then(|| words::many(t.gpus, "GPU")));
        words::and(&parts)
    };
    let short_of = [
        (most(|t| u64::from(t.vcpus)).filter(|t| f64::from(t.vcpus) < demand.vcpus), "vCPUs"),
        (most(|t| t.memory_mib).filter(|t| t.memory_mib <= demand.memory_mib), "memory"),
        (most(|t| u64::from(t.gpus)).filter(|t| t.gpus < demand.gpus), "GPUs"),
    ];
    let found = short_of.iter().find_map(|(t, what)| Some(((*t)?, *what)));
    Some(match found {
        Some((t, "GPUs")) if t.gpus == 0 => "none of them has a GPU".to_owned(),
        Some((t, "memory")) if t.memory_mib == demand.memory_mib => {
            format!("{} has {}, and jobs get a little less", t.name, has(t))
        }
        Some((t, what)) => format!("{}, the one with the most {what}, has {}", t.name, has(t)),
        None => "none has all of that together".to_owned(),
    })
}
