//! Between a job as the user says it and its SubmitJob: the job definition that the job takes.

use std::fmt;

use serde_json::Value;

use super::definition::{self, ContainerFacts, Derived, Facts, Kind, Registering};
use super::queue::{self, queue};
use crate::aws::Session;
use crate::ui::{Exit, Failure};
use awsb_model::{ContainerChanges, Demand, FargateSize, Gpus, Memory, NodeTargets, Vcpus, words};

/// What a job wants of its job definition and its queue.
#[derive(Debug, Clone, Copy)]
pub struct DefinitionRequest<'a> {
    /// The queue's name or ARN.
    pub queue: &'a str,
    /// The job definition that was named; `None` is the cluster's.
    pub definition: Option<&'a str>,
    /// What SubmitJob cannot override.
    pub changes: &'a ContainerChanges,
    /// Its nodes, if it is to be a multi-node parallel job.
    pub nodes: Option<u32>,
    /// vCPUs of a container.
    pub vcpus: Option<Vcpus>,
    /// Memory of a container.
    pub memory: Option<Memory>,
    /// GPUs of a container.
    pub gpus: Option<Gpus>,
    /// Whether a job definition may be registered for it.
    pub registering: Registering,
}

/// The job definition that a job takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// `NAME`, `NAME:REVISION` or an ARN.
    pub job_definition: String,
    /// The RegisterJobDefinition request that would have been sent, had it been allowed.
    pub to_register: Option<Value>,
    /// Its nodes, for a multi-node parallel job.
    pub nodes: Option<PreparedNodes>,
    /// What a container of the job definition asks for where the job does not say it: the most of all node ranges. All is
    /// zero of a job definition that was not read.
    pub by_definition: Demand,
}

/// The nodes of a multi-node parallel job.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedNodes {
    /// How many they are.
    pub count: u32,
    /// Which of them are alike: overrides for all nodes have to name each of these.
    pub ranges: Vec<NodeTargets>,
}

impl Prepared {
    fn as_it_is(name: &str) -> Self {
        Self {
            job_definition: name.to_owned(),
            to_register: None,
            nodes: None,
            by_definition: Demand::default(),
        }
    }
}

impl fmt::Display for PreparedNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::many(self.count, "node"))?;
        let size = |vcpus: f64| format!(" x {vcpus} vCPU{}", if vcpus > 1.0 { "s" } else { "" });
        let Some((first, others)) = self.ranges.split_first() else { return Ok(()) };
        if others.iter().all(|range| range.vcpus == first.vcpus) {
            return first.vcpus.map_or(Ok(()), |vcpus| f.write_str(&size(vcpus)));
        }
        for (n, NodeTargets { targets, vcpus }) in self.ranges.iter().enumerate() {
            let size = vcpus.map(size).unwrap_or_default();
            write!(f, "{} nodes {targets}{size}", if n == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl DefinitionRequest<'_> {
    /// Whether nothing depends on what the job definition is like: the common job costs no extra call.
    fn are_plain(&self) -> bool {
        self.definition.is_none()
            && self.are_only_checked()
            && self.vcpus.is_none()
            && self.memory.is_none()
            && self.gpus.is_none()
    }

    /// Whether they go into SubmitJob itself, so that looking at the job definition only finds mistakes earlier.
    fn are_only_checked(&self) -> bool {
        self.changes.is_empty() && self.nodes.is_none()
    }
}

/// Finds the job definition for a job, or derives it from the cluster's.
///
/// # Errors
/// When the job definition or the queue does not allow what is wished, in plain words; when Batch cannot be
/// asked or refuses.
pub async fn prepare(session: &Session, wishes: &DefinitionRequest<'_>) -> Result<Prepared, Failure> {
    let cluster = &session.cluster;
    let of_cluster = match &cluster.job_definition_mnp {
        Some(multi_node) if wishes.nodes.is_some() => multi_node,
        _ => &cluster.job_definition,
    };
    let name = wishes.definition.unwrap_or(of_cluster);
    if wishes.are_plain() {
        return Ok(Prepared::as_it_is(name));
    }
    let facts = match definition::describe(session, name).await {
        Err(failure) if wishes.are_only_checked() && is_denied(&failure) => {
            return Ok(Prepared::as_it_is(name));
        }
        described => described?,
    };
    check(&facts, wishes)?;
    let (derived, nodes) = match (&facts.kind, wishes.nodes) {
        (Kind::MultiNode { nodes, ranges }, given) => {
            refuse_nodes(session, wishes.queue).await?;
            let ranges =
                ranges.iter().map(|range| range_of(&range.targets, range.container.as_ref(), wishes));
            let nodes = PreparedNodes { count: given.unwrap_or(*nodes), ranges: ranges.collect() };
            (changed(session, &facts, name, wishes).await?, Some(nodes))
        }
        (_, Some(count)) => {
            refuse_nodes(session, wishes.queue).await?;
            let (made, target) =
                definition::multi_node(session, &facts, wishes.changes, wishes.registering).await?;
            (made, Some(PreparedNodes { count, ranges: vec![range_of(target, facts.container(), wishes)] }))
        }
        (_, None) => (changed(session, &facts, name, wishes).await?, None),
    };
    let Derived { job_definition, to_register } = derived;
    Ok(Prepared { job_definition, to_register, nodes, by_definition: by_definition(&facts) })
}

/// What the largest container of a job definition asks for.
fn by_definition(facts: &Facts) -> Demand {
    let containers: Vec<&ContainerFacts> = match &facts.kind {
        Kind::Container(container) => vec![container],
        Kind::MultiNode { ranges, .. } => {
            ranges.iter().filter_map(|range| range.container.as_ref()).collect()
        }
        Kind::Eks | Kind::Ecs => Vec::new(),
    };
    containers.iter().fold(Demand::default(), |most, container| Demand {
        vcpus: most.vcpus.max(container.vcpus.unwrap_or_default()),
        memory_mib: most.memory_mib.max(container.memory_mib.unwrap_or_default()),
        gpus: 0,
    })
}

/// Nodes as they will be: what is wished is for all, and what is not each range has by itself.
fn range_of(
    targets: &str,
    container: Option<&ContainerFacts>,
    wishes: &DefinitionRequest<'_>,
) -> NodeTargets {
    let vcpus = wishes.vcpus.map(Vcpus::count).or_else(|| container?.vcpus);
    NodeTargets { targets: targets.to_owned(), vcpus }
}

async fn changed(
    session: &Session,
    facts: &Facts,
    name: &str,
    wishes: &DefinitionRequest<'_>,
) -> Result<Derived, Failure> {
    if wishes.changes.is_empty() {
        return Ok(Derived { job_definition: name.to_owned(), to_register: None });
    }
    definition::derive(session, facts, wishes.changes, wishes.registering).await
}

/// What the job definition does not allow. Pure.
fn check(facts: &Facts, wishes: &DefinitionRequest<'_>) -> Result<(), Failure> {
    if let Some(failure) = takes_no_overrides(facts) {
        return Err(failure);
    }
    let (name, changes) = (&facts.name, wishes.changes);
    if facts.fargate {
        if wishes.nodes.is_some() {
            return Err(Failure::usage(format!(
                "multi-node parallel jobs cannot run on Fargate, and the job definition {name} is for Fargate"
            ))
            .hint(
                "choose one for EC2 with `--job-definition NAME`, and a queue for it with `--queue NAME`",
            ));
        }
        if let Some(option) = wishes.gpus.map(|_| "--gpus").or(changes.not_on_fargate()) {
            return Err(Failure::usage(format!(
                "`{option}` is not for jobs on Fargate, and the job definition {name} is for Fargate"
            )));
        }
        if let Some(container) = facts.container() {
            fargate_size(container, wishes)?;
        }
    } else if changes.ephemeral_storage.is_some() {
        return Err(Failure::usage(format!(
            "`--ephemeral-storage` is for jobs on Fargate, and the job definition {name} is for EC2"
        ))
        .hint(
            "on EC2, a job uses the disk of its instance; the launch template of the compute environment \
               sets its size",
        ));
    }
    if let (Kind::MultiNode { nodes, ranges }, Some(wished)) = (&facts.kind, wishes.nodes)
        && wished != *nodes
        && !ranges.iter().any(|range| range.targets.ends_with(':'))
    {
        // API `NodeOverrides`, `numNodes`: an open upper boundary is needed.
        return Err(Failure::usage(format!(
            "the job definition {name} is for exactly {}: no node range of it has an open end, such as `0:`",
            words::many(*nodes, "node")
        )));
    }
    Ok(())
}

fn fargate_size(container: &ContainerFacts, wishes: &DefinitionRequest<'_>) -> Result<(), Failure> {
    let vcpus = wishes.vcpus.map(Vcpus::count).or(container.vcpus);
    let memory = wishes.memory.map(Memory::mib).or(container.memory_mib);
    let (Some(vcpus), Some(memory_mib)) = (vcpus, memory) else { return Ok(()) };
    FargateSize { vcpus, memory_mib }.check().map_err(|e| {
        let FargateSize { vcpus, memory_mib } = e.nearest;
        Failure::usage(e.to_string()).hint(format!("request it with `-p {vcpus} -m {memory_mib}`"))
    })
}

/// The failure of a job definition that takes no `containerOverrides`, without which no job can say what it does.
pub(super) fn takes_no_overrides(facts: &Facts) -> Option<Failure> {
    let what = match facts.kind {
        Kind::Eks => "is for EKS",
        Kind::Ecs => "is for several containers (it has ecsProperties)",
        Kind::Container(_) | Kind::MultiNode { .. } => return None,
    };
    let failure = Failure::usage(format!(
        "the job definition {} {what}; bsub can only submit jobs of one container (containerProperties), on ECS",
        facts.name
    ));
    Some(failure.hint(
        "choose another with `--job-definition NAME`, or set `job_definition` of the cluster in the \
         settings file",
    ))
}

/// Whether Batch answered, and did not tell: whoever may submit jobs need not be allowed to look.
fn is_denied(failure: &Failure) -> bool {
    failure.exit == Exit::Failed && !failure.passing
}

async fn refuse_nodes(session: &Session, name: &str) -> Result<(), Failure> {
    let looked = async {
        let Some(facts) = queue(session, name).await? else { return Ok(None) };
        Ok(queue::no_nodes(session, &facts).await?.map(|why| (facts.job_queue_name, why)))
    };
    let (name, why) = match looked.await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(()),
        Err(failure) if is_denied(&failure) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    Err(Failure::usage(format!(
        "multi-node parallel jobs need On-Demand EC2 instances, and the queue {name} has none: {why}"
    ))
    .hint("`--queue NAME` chooses another queue"))
}

#[cfg(test)]
mod tests {
    use super::super::definition::NodeRange;
    use super::*;

    fn facts(kind: Kind, fargate: bool) -> Facts {
        Facts { arn: "arn:…:job-definition/d:1".into(), name: "d".into(), kind, fargate }
    }

    fn container(vcpus: f64, memory_mib: u64) -> Kind {
        let size = ContainerFacts { vcpus: Some(vcpus), memory_mib: Some(memory_mib) };
        Kind::Container(size)
    }

    fn wishes(changes: &ContainerChanges) -> DefinitionRequest<'_> {
        DefinitionRequest {
            queue: "q",
            definition: None,
            changes,
            nodes: None,
            vcpus: None,
            memory: None,
            gpus: None,
            registering: Registering::Allowed,
        }
    }

    #[test]
    fn nodes_are_told_as_they_are() {
        let told = |sizes: &[(&str, Option<f64>)]| {
            let range = |&(targets, vcpus): &(&str, _)| NodeTargets { targets: String::from(targets), vcpus };
            PreparedNodes { count: 3, ranges: sizes.iter().map(range).collect() }.to_string()
        };
        assert_eq!(told(&[("0:", None)]), "3 nodes");
        assert_eq!(told(&[("0:", Some(1.0))]), "3 nodes x 1 vCPU");
        assert_eq!(told(&[("0:0", Some(2.0)), ("1:", Some(2.0))]), "3 nodes x 2 vCPUs");
        let mixed = [("0:0", Some(1.0)), ("1:", Some(8.0))];
        assert_eq!(told(&mixed), "3 nodes: nodes 0:0 x 1 vCPU, nodes 1: x 8 vCPUs");
        assert_eq!(told(&[("0:0", None), ("1:", Some(8.0))]), "3 nodes: nodes 0:0, nodes 1: x 8 vCPUs");
    }

    #[test]
    fn what_is_refused_and_how() {
        let none = ContainerChanges::default();
        let plain = wishes(&none);
        let small = || container(0.25, 512);
        let closed = Kind::MultiNode {
            nodes: 4,
            ranges: vec![NodeRange { targets: "0:3".into(), container: Some(ContainerFacts::default()) }],
        };
        let shm = ContainerChanges { shm_size: "1G".parse().ok(), ..ContainerChanges::default() };
        let disk = ContainerChanges { ephemeral_storage: "50".parse().ok(), ..ContainerChanges::default() };
        let told = [
            (facts(small(), true), plain),
            (facts(small(), true), wishes(&disk)),
            (facts(closed.clone(), false), DefinitionRequest { nodes: Some(4), ..plain }),
            (facts(Kind::Eks, false), plain),
            (facts(Kind::Ecs, false), plain),
            (facts(small(), true), DefinitionRequest { nodes: Some(2), ..plain }),
            (facts(small(), true), DefinitionRequest { gpus: "1".parse().ok(), ..plain }),
            (facts(small(), true), wishes(&shm)),
            (facts(small(), true), DefinitionRequest { vcpus: "1".parse().ok(), ..plain }),
            (facts(small(), true), DefinitionRequest { memory: "5G".parse().ok(), ..plain }),
            (facts(small(), false), wishes(&disk)),
            (facts(closed, false), DefinitionRequest { nodes: Some(2), ..plain }),
        ]
        .map(|(facts, wishes)| match check(&facts, &wishes) {
            Ok(()) => "fine".to_owned(),
            Err(f) => format!("{} {:?}", f.message, f.hints),
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
