//! Whether a job can ever run, according to the cached limits of its queue's environments. It is
//! checked at submission.

use awsb_model::request::{NodeOverrides, Overrides, SubmitRequest};
use awsb_model::{Demand, Memory, Status};

use super::capacity::permanent_obstacles;
use super::gather::{convert, look_at_capacity};
use super::{ComputeEnvironment, Evidence, Finding, Machine, ObservedJob};
use crate::aws::Session;
use crate::batch::cached_capacity;
use crate::batch::definition::{ContainerSummary, DefinitionKind, DefinitionSummary};

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
/// job's resources are known. They are in the request, or else in the job definition. Without
/// cached limits, AWS is asked only if that costs next to nothing.
pub async fn never_fits(
    session: &Session,
    request: &SubmitRequest,
    definition: Option<&DefinitionSummary>,
) -> Option<NeverFits> {
    let job = requested(request, definition)?;
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
        job,
        environments: known.environments.iter().map(environment).collect(),
        instance_types: known.instance_types,
        ..Evidence::default()
    };
    let findings = permanent_obstacles(&evidence);
    let age = jiff::Timestamp::now().as_millisecond().saturating_sub(known.at);
    (!findings.is_empty()).then_some(NeverFits { findings, age })
}

/// A RUNNABLE job with the resources that it asks for: the request comes before the job
/// definition. `None`: neither asks for anything. Unknown values count as nothing.
fn requested(request: &SubmitRequest, definition: Option<&DefinitionSummary>) -> Option<ObservedJob> {
    let job = ObservedJob { status: Status::Runnable, ..ObservedJob::default() };
    let by_definition = definition.map(DefinitionSummary::demand).unwrap_or_default();
    if let Some(nodes) = &request.node_overrides {
        let each = of_nodes(nodes, definition);
        let most = each.iter().copied().fold(Demand::default(), Demand::max);
        let all_vcpus = each.iter().map(|node| node.vcpus).sum();
        let nodes = Some(nodes.num_nodes);
        return Some(ObservedJob { demand: Some(most), all_vcpus: Some(all_vcpus), nodes, ..job });
    }
    let demand = match definition.map(|definition| &definition.kind) {
        Some(DefinitionKind::Ecs(containers)) => {
            let changes = request.task_container_overrides().collect::<Vec<_>>();
            let each = containers.iter().map(|container| {
                let own = changes.iter().find(|change| {
                    change.name.is_none() || change.name.as_deref() == container.name.as_deref()
                });
                or_else(own.map(|own| sizes(&own.overrides)).unwrap_or_default(), container.size.demand())
            });
            let each: Vec<Demand> = each.collect();
            let all = each.iter().copied().fold(Demand::default(), Demand::plus);
            // Options change one container, which is the main one if no other is named.
            let changed = request.main_container().and_then(|change| change.name.as_deref());
            let is_changed = |(n, _): &(usize, &Demand)| match changed {
                Some(name) => containers.get(*n).and_then(|c| c.name.as_deref()) == Some(name),
                None => containers.get(*n).is_some_and(|c| c.essential),
            };
            let changed = each.iter().enumerate().find(is_changed).map_or(0.0, |(_, one)| one.vcpus);
            let vcpus_beside = if each.len() > 1 { all.vcpus - changed } else { 0.0 };
            let is_known = all != Demand::default();
            return is_known.then_some(ObservedJob { demand: Some(all), vcpus_beside, ..job });
        }
        _ => {
            let all = request.all_overrides().map(sizes).fold(Demand::default(), Demand::max);
            or_else(all, by_definition)
        }
    };
    (demand != Demand::default()).then_some(ObservedJob { demand: Some(demand), ..job })
}

/// The resources of each node. A node in several ranges has those of the narrowest one (API
/// `NodeRangeProperty`).
fn of_nodes(nodes: &NodeOverrides, definition: Option<&DefinitionSummary>) -> Vec<Demand> {
    let last = nodes.num_nodes.saturating_sub(1);
    let registered = match definition.map(|definition| &definition.kind) {
        Some(DefinitionKind::MultiNode { ranges, .. }) => ranges.as_slice(),
        _ => &[],
    };
    let any = definition.and_then(DefinitionSummary::container);
    let ranges = nodes.node_property_overrides.iter().filter_map(|of| {
        let (from, to) = of.target_nodes.split_once(':').unwrap_or((&of.target_nodes, &of.target_nodes));
        let from = if from.is_empty() { 0 } else { from.parse().ok()? };
        let to = if to.is_empty() { last } else { to.parse::<u32>().ok()? };
        let own = registered.iter().find(|range| range.targets == of.target_nodes);
        let container = own.and_then(|range| range.container.as_ref()).or(any);
        let by_definition = container.map(ContainerSummary::demand).unwrap_or_default();
        Some((from..=to, or_else(sizes(&of.container_overrides), by_definition)))
    });
    let ranges: Vec<_> = ranges.collect();
    let of_node = |node: u32| {
        let its = ranges.iter().filter(|(range, _)| range.contains(&node));
        its.min_by_key(|(range, _)| range.end().abs_diff(*range.start())).map(|(_, demand)| *demand)
    };
    (0..nodes.num_nodes).map(|node| of_node(node).unwrap_or_default()).collect()
}

/// `own`, with those of the job definition where it has nothing.
fn or_else(own: Demand, by_definition: Demand) -> Demand {
    Demand {
        vcpus: if own.vcpus == 0.0 { by_definition.vcpus } else { own.vcpus },
        memory_mib: if own.memory_mib == 0 { by_definition.memory_mib } else { own.memory_mib },
        gpus: if own.gpus == 0 { by_definition.gpus } else { own.gpus },
    }
}

/// The resources in the overrides of a container.
fn sizes(overrides: &Overrides) -> Demand {
    let mut demand = Demand::default();
    for resource in &overrides.resource_requirements {
        match resource.kind {
            "VCPU" => demand.vcpus = resource.value.parse().unwrap_or(0.0),
            "MEMORY" => demand.memory_mib = resource.value.parse::<Memory>().map_or(0, Memory::mib),
            "GPU" => demand.gpus = resource.value.parse().unwrap_or(0),
            _ => {}
        }
    }
    demand
}

#[cfg(test)]
mod tests {
    use super::*;
    use awsb_model::request::{EcsPropertiesOverride, NodePropertyOverride, ResourceRequirement};

    use crate::batch::definition::{JobPlatform, TaskContainerSummary};

    fn vcpus(value: &str) -> Overrides {
        let own = ResourceRequirement { kind: "VCPU", value: value.to_owned() };
        Overrides { resource_requirements: vec![own], ..Overrides::default() }
    }

    fn definition(kind: DefinitionKind) -> DefinitionSummary {
        let (arn, name) = (String::new(), String::new());
        DefinitionSummary { arn, name, kind, platform: JobPlatform::Ec2, consumes: Vec::new() }
    }

    #[test]
    fn nodes_count_with_the_sizes_of_their_own_ranges() {
        let range = |targets: &str, container_overrides| NodePropertyOverride {
            target_nodes: targets.to_owned(),
            container_overrides,
        };
        let of = |num_nodes, ranges, definition: Option<&DefinitionSummary>| {
            let node_overrides = Some(NodeOverrides { num_nodes, node_property_overrides: ranges });
            let request = SubmitRequest { node_overrides, ..SubmitRequest::default() };
            requested(&request, definition).map(|job| (job.demand.unwrap().vcpus, job.all_vcpus.unwrap()))
        };
        let groups = vec![range("0:1", vcpus("1")), range("2:2", vcpus("6"))];
        assert_eq!(of(3, groups, None), Some((6.0, 8.0)));
        let size = ContainerSummary { vcpus: Some(2.0), memory_mib: Some(64), ..Default::default() };
        let by_definition = definition(DefinitionKind::Container(size));
        let groups = vec![range("0:1", Overrides::default()), range("2:", vcpus("3"))];
        assert_eq!(of(4, groups, Some(&by_definition)), Some((3.0, 10.0)));
        let nested = vec![range("0:", vcpus("1")), range("2:3", vcpus("4"))];
        assert_eq!(of(5, nested, None), Some((4.0, 11.0)));
    }

    #[test]
    fn containers_of_a_task_count_together() {
        let container = |name: &str, essential, vcpus| TaskContainerSummary {
            name: Some(name.to_owned()),
            essential,
            size: ContainerSummary { vcpus: Some(vcpus), memory_mib: Some(64), gpus: 1, image: None },
        };
        let containers = vec![container("side", false, 2.0), container("main", true, 1.0)];
        let definition = definition(DefinitionKind::Ecs(containers));
        let of = |ecs_properties_override| {
            let request = SubmitRequest { ecs_properties_override, ..SubmitRequest::default() };
            let job = requested(&request, Some(&definition)).unwrap();
            let Demand { vcpus, memory_mib, gpus } = job.demand.unwrap();
            assert_eq!(gpus, 2);
            (vcpus, memory_mib, job.vcpus_beside)
        };
        let change = |name: &str, value| {
            Some(EcsPropertiesOverride::of_container(Some(name.to_owned()), vcpus(value)))
        };
        assert_eq!(of(change("main", "8")), (10.0, 128, 2.0));
        assert_eq!(of(change("side", "8")), (9.0, 128, 1.0));
        assert_eq!(of(None), (3.0, 128, 2.0));
    }
}
