//! Whether a job can ever run, from what is remembered of its queue's environments: who submits does not ask for it.

use awsb_model::request::SubmitRequest;
use awsb_model::{Demand, Memory, Status};

use super::gather::{convert, look_at_capacity};
use super::{Environment, Facts, Finding, JobFacts, Machine, permanent_obstacles};
use crate::aws::Session;
use crate::batch::cached_capacity;

/// Why a job can never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverFits {
    /// What is in its way.
    pub findings: Vec<Finding>,
    /// For how long, in milliseconds, that has been known.
    pub age: i64,
}

/// The name of a queue, which may have been given by its ARN.
fn name_of(queue: &str) -> &str {
    queue.rsplit('/').next().unwrap_or(queue)
}

/// Why the job of this request can never run in its queue, as far as that is remembered and it is known what the job asks
/// for: the request says it, and `by_definition` is what the job definition adds. Where nothing is remembered, nobody is asked unless that costs next to nothing.
pub async fn never_fits(
    session: &Session,
    request: &SubmitRequest,
    by_definition: &Demand,
) -> Option<NeverFits> {
    let demand = demand(request, by_definition)?;
    let queue = &request.job_queue;
    let known = match cached_capacity(session, name_of(queue)) {
        Some(known) if known.machines.is_some() || !session.is_near() => known,
        _ if session.is_near() => {
            look_at_capacity(session, name_of(queue)).await;
            cached_capacity(session, name_of(queue))?
        }
        _ => return None,
    };
    let machines = known.machines.unwrap_or_default();
    let environment = |known: &crate::batch::Environment| {
        let grown_by = |name| session.command_to_grow(name).map(str::to_owned);
        let facts = convert::environment(known);
        let (grown_by, machines_grown_by) = (grown_by(Some(facts.name.as_str())), grown_by(None));
        let registered =
            machines.iter().find(|(name, _)| *name == facts.name).map(|(_, registered)| registered);
        let machine = |registered: &Demand| Machine { registered: *registered, ..Machine::default() };
        let machines = registered.map(|registered| registered.iter().map(machine).collect());
        Environment { grown_by, machines_grown_by, machines, ..facts }
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
    let findings = permanent_obstacles(&facts);
    let age = jiff::Timestamp::now().as_millisecond().saturating_sub(known.at);
    (!findings.is_empty()).then_some(NeverFits { findings, age })
}

/// What a job asks for: its request before its job definition. `None` where neither is known to ask for anything; what is
/// not known counts as nothing.
fn demand(request: &SubmitRequest, by_definition: &Demand) -> Option<Demand> {
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
    if demand.vcpus == 0.0 {
        demand.vcpus = by_definition.vcpus;
    }
    if demand.memory_mib == 0 {
        demand.memory_mib = by_definition.memory_mib;
    }
    let is_multi_node = request.node_overrides.is_some();
    (is_multi_node || demand != Demand::default()).then_some(demand)
}
