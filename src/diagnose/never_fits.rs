//! Whether a job can ever run, according to the cached limits of its queue's environments. It is
//! checked at submission.

use awsb_model::request::SubmitRequest;
use awsb_model::{Demand, Memory, Status};

use super::capacity::permanent_obstacles;
use super::gather::{convert, look_at_capacity};
use super::{ComputeEnvironment, Evidence, Finding, Machine, ObservedJob};
use crate::aws::Session;
use crate::batch::cached_capacity;

/// Reasons why a job can never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverFits {
    /// The reasons.
    pub findings: Vec<Finding>,
    /// The age of the cached limits, in milliseconds.
    pub age: i64,
}

/// The name of a queue, which may be given as an ARN.
fn name_of(queue: &str) -> &str {
    queue.rsplit('/').next().unwrap_or(queue)
}

/// Why the job of this request can never run in its queue, as far as the limits are cached and the
/// job's resources are known. They are in the request, and `by_definition` has those of the job
/// definition. Without cached limits, AWS is asked only if that costs next to nothing.
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
    let environment = |known: &crate::batch::ComputeEnvironment| {
        let grown_by = |name| session.command_to_grow(name).map(str::to_owned);
        let evidence = convert::environment(known);
        let (grown_by, machines_grown_by) = (grown_by(Some(evidence.name.as_str())), grown_by(None));
        let registered =
            machines.iter().find(|(name, _)| *name == evidence.name).map(|(_, registered)| registered);
        let machine = |registered: &Demand| Machine { registered: *registered, ..Machine::default() };
        let machines = registered.map(|registered| registered.iter().map(machine).collect());
        ComputeEnvironment { grown_by, machines_grown_by, machines, ..evidence }
    };
    let evidence = Evidence {
        job: ObservedJob {
            status: Status::Runnable,
            demand: Some(demand),
            nodes: request.node_overrides.as_ref().map(|nodes| nodes.num_nodes),
            ..ObservedJob::default()
        },
        environments: known.environments.iter().map(environment).collect(),
        instance_types: known.instance_types,
        ..Evidence::default()
    };
    let findings = permanent_obstacles(&evidence);
    let age = jiff::Timestamp::now().as_millisecond().saturating_sub(known.at);
    (!findings.is_empty()).then_some(NeverFits { findings, age })
}

/// The resources that a job asks for: the request comes before the job definition. `None`: neither
/// asks for anything. Unknown values count as nothing.
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
