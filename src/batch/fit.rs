//! Whether a job can ever run, from what is remembered of its queue's environments: who submits does not ask for it.
//!
//! Whoever looks at environments (`bqueues`, `bhosts`, `bstat --why`, a multi-node job) leaves in the cache what they may
//! have. A submission reads that alone.

use serde::{Deserialize, Serialize};

use super::why::shapes;
use super::{Environment, Queue, why};
use crate::cluster::Session;
use crate::job::request::SubmitRequest;
use crate::job::why::{
    self as why_facts, Demand, Facts, Finding, InstanceType, JobFacts, Machine, never_fits as findings,
};
use crate::job::{Memory, Status};

/// The kind of the cache's entries: a queue's name to [`Known`].
const KIND: &str = "room";

/// What was seen of a queue's environments.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    /// When, in milliseconds since the epoch.
    at: i64,
    environments: Vec<Environment>,
    /// What the instance types have that they may start, where that was asked for.
    instance_types: Option<Vec<InstanceType>>,
    /// What the machines have, by environment, where that was asked for.
    machines: Option<Vec<(String, Vec<Demand>)>>,
}

/// What was asked for besides the environments themselves.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What the instance types have.
    pub instance_types: Option<&'a [InstanceType]>,
    /// The environments with their machines.
    pub environments: &'a [why_facts::Environment],
}

/// Why a job can never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverFits {
    /// What is in its way.
    pub findings: Vec<Finding>,
    /// For how long, in milliseconds, that has been known.
    pub age: i64,
}

/// Remembers a queue's environments, which are among these. What was not asked for now is as it was, if the environments may
/// start the same.
pub fn remember(session: &Session, queue: &Queue, all: &[Environment], seen: Option<Seen<'_>>) {
    let environments: Vec<Environment> = queue.environments(all).into_iter().cloned().collect();
    let cache = session.cache_of_room();
    let startable = |environments: &[Environment]| -> Vec<(String, Vec<String>)> {
        let of = |e: &Environment| {
            let types = e.compute_resources.as_ref().map(|r| r.instance_types.clone());
            (e.compute_environment_name.clone(), types.unwrap_or_default())
        };
        environments.iter().map(of).collect()
    };
    let (instance_types, machines) = match seen {
        Some(Seen { instance_types, environments }) => {
            let machines = |e: &why_facts::Environment| {
                let registered = e.machines.iter().flatten().map(|machine| machine.registered);
                (e.name.clone(), registered.collect())
            };
            (instance_types.map(<[_]>::to_vec), Some(environments.iter().map(machines).collect()))
        }
        None => {
            let before = cache.read::<Known>(KIND, &queue.job_queue_name);
            let before = before.filter(|known| startable(&known.environments) == startable(&environments));
            before.map(|known| (known.instance_types, known.machines)).unwrap_or_default()
        }
    };
    let at = jiff::Timestamp::now().as_millisecond();
    cache.write(KIND, &queue.job_queue_name, &Known { at, environments, instance_types, machines });
}

fn known(session: &Session, queue: &str) -> Option<Known> {
    session.cache_of_room().read(KIND, name_of(queue))
}

/// The name of a queue, which may have been given by its ARN.
fn name_of(queue: &str) -> &str {
    queue.rsplit('/').next().unwrap_or(queue)
}

/// Why the job of this request can never run in its queue, as far as that is remembered and the request says what the job
/// asks for. Where nothing is remembered, nobody is asked unless that costs next to nothing.
pub async fn never_fits(session: &Session, request: &SubmitRequest) -> Option<NeverFits> {
    let demand = demand(request)?;
    let queue = &request.job_queue;
    let known = match known(session, queue) {
        Some(known) if known.machines.is_some() || !session.is_near() => known,
        _ if session.is_near() => {
            why::look_at_room(session, name_of(queue)).await;
            known(session, queue)?
        }
        _ => return None,
    };
    let machines = known.machines.unwrap_or_default();
    let environment = |known: &Environment| {
        let grown_by = |name| session.command_to_grow(name).map(str::to_owned);
        let facts = shapes::environment(known);
        let (grown_by, machines_grown_by) = (grown_by(Some(facts.name.as_str())), grown_by(None));
        let registered =
            machines.iter().find(|(name, _)| *name == facts.name).map(|(_, registered)| registered);
        let machine = |registered: &Demand| Machine { registered: *registered, ..Machine::default() };
        let machines = registered.map(|registered| registered.iter().map(machine).collect());
        why_facts::Environment { grown_by, machines_grown_by, machines, ..facts }
    };
    let facts = Facts {
        job: JobFacts {
            status: Status::Runnable,
            demand: Some(demand),
            nodes: request.node_overrides.as_ref().map(|nodes| nodes.num_nodes),
            ..JobFacts::default()
        },
        environments: known.environments.iter().map(environment).collect(),
        instance_types: known.instance_types,
        ..Facts::default()
    };
    let findings = findings(&facts);
    let age = jiff::Timestamp::now().as_millisecond().saturating_sub(known.at);
    (!findings.is_empty()).then_some(NeverFits { findings, age })
}

/// What a request asks for by itself; `None` where all is left to the job definition. What is not said counts as nothing.
fn demand(request: &SubmitRequest) -> Option<Demand> {
    let all = request.all_overrides().flat_map(|overrides| &overrides.resource_requirements);
    let mut demand = Demand::default();
    for resource in all {
        match resource.kind {
            "VCPU" => demand.vcpus = demand.vcpus.max(resource.value.parse().unwrap_or(0.0)),
            "MEMORY" => {
                let mib = resource.value.parse::<Memory>().map_or(0, Memory::mib);
                demand.memory_mib = demand.memory_mib.max(mib);
            }
            "GPU" => demand.gpus = demand.gpus.max(resource.value.parse().unwrap_or(0)),
            _ => {}
        }
    }
    let is_multi_node = request.node_overrides.is_some();
    (is_multi_node || demand != Demand::default()).then_some(demand)
}
