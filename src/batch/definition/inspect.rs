//! Which job definition a job takes. Nothing is changed.

use super::derive::{EVERY_NODE, JobDefinitionRef, inspect_derived, inspect_multi_node};
use super::summary::{ContainerSummary, DefinitionKind, DefinitionSummary, describe};
use crate::aws::Session;
use crate::batch::queues::{find_queue, no_nodes};
use crate::ui::{ErrorKind, Failure};
use awsb_model::{ContainerChanges, FargateSize, Gpus, JobNodes, Memory, NodeTargets, Vcpus, words};

/// The needs of a job that its job definition and its queue have to meet.
#[derive(Debug, Clone, Copy)]
pub struct DefinitionRequest<'a> {
    /// The queue's name or ARN.
    pub queue: &'a str,
    /// The job definition that the user has named; `None` for the cluster's.
    pub definition: Option<&'a str>,
    /// The changes that SubmitJob cannot make.
    pub changes: &'a ContainerChanges,
    /// The number of nodes of a multi-node parallel job.
    pub nodes: Option<u32>,
    /// vCPUs of a container.
    pub vcpus: Option<Vcpus>,
    /// Memory of a container.
    pub memory: Option<Memory>,
    /// GPUs of a container.
    pub gpus: Option<Gpus>,
    /// Whether the consumable resources of the job definition are needed, because others are added
    /// to them.
    pub consumes: bool,
}

/// The job definition that a job takes, with what was read of it.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedDefinition {
    /// The job definition.
    pub definition: JobDefinitionRef,
    /// The nodes of a multi-node parallel job.
    pub nodes: Option<JobNodes>,
    /// The job definition that was named, before any changes; `None` if it was not read.
    pub summary: Option<DefinitionSummary>,
}

impl InspectedDefinition {
    fn unread(name: &str) -> Self {
        Self { definition: JobDefinitionRef::Existing(name.to_owned()), nodes: None, summary: None }
    }
}

impl DefinitionRequest<'_> {
    /// Whether nothing depends on the job definition's properties. The usual job costs no extra
    /// call.
    fn is_plain(&self) -> bool {
        self.definition.is_none()
            && self.is_only_checked()
            && self.vcpus.is_none()
            && self.memory.is_none()
            && self.gpus.is_none()
    }

    /// Whether SubmitJob itself carries all of it, so that reading the job definition only finds
    /// mistakes earlier.
    fn is_only_checked(&self) -> bool {
        self.changes.is_empty() && self.nodes.is_none() && !self.consumes
    }
}

/// Finds the job definition for a job: the one that is named, or one that is derived from it, which
/// may not be registered yet. Nothing is registered.
///
/// # Errors
/// When the job definition or the queue does not allow the request; when Batch cannot be asked.
pub async fn inspect_definition(
    session: &Session,
    request: &DefinitionRequest<'_>,
) -> Result<InspectedDefinition, Failure> {
    let cluster = &session.cluster;
    let of_cluster = match &cluster.job_definition_mnp {
        Some(multi_node) if request.nodes.is_some() => multi_node,
        _ => &cluster.job_definition,
    };
    let name = request.definition.unwrap_or(of_cluster);
    if request.is_plain() {
        return Ok(InspectedDefinition::unread(name));
    }
    let summary = match describe(session, name).await {
        Err(failure) if request.is_only_checked() && is_not_to_be_read(&failure) => {
            return Ok(InspectedDefinition::unread(name));
        }
        described => described?,
    };
    check(&summary, request)?;
    let (definition, nodes) = match (&summary.kind, request.nodes) {
        (DefinitionKind::MultiNode { nodes, ranges }, count) => {
            check_nodes(session, request.queue).await?;
            let ranges =
                ranges.iter().map(|range| node_targets(&range.targets, range.container.as_ref(), request));
            let nodes = JobNodes { count: count.unwrap_or(*nodes), ranges: ranges.collect() };
            (with_changes(session, &summary, name, request).await?, Some(nodes))
        }
        (_, Some(count)) => {
            check_nodes(session, request.queue).await?;
            let definition = inspect_multi_node(session, &summary, request.changes).await?;
            let ranges = vec![node_targets(EVERY_NODE, summary.container(), request)];
            (definition, Some(JobNodes { count, ranges }))
        }
        (_, None) => (with_changes(session, &summary, name, request).await?, None),
    };
    Ok(InspectedDefinition { definition, nodes, summary: Some(summary) })
}

/// A node range of the job. The vCPUs of the request count for all ranges; without them, each range
/// has its own.
fn node_targets(
    targets: &str,
    container: Option<&ContainerSummary>,
    request: &DefinitionRequest<'_>,
) -> NodeTargets {
    let vcpus = request.vcpus.map(Vcpus::count).or_else(|| container?.vcpus);
    NodeTargets { targets: targets.to_owned(), vcpus }
}

async fn with_changes(
    session: &Session,
    summary: &DefinitionSummary,
    name: &str,
    request: &DefinitionRequest<'_>,
) -> Result<JobDefinitionRef, Failure> {
    if request.changes.is_empty() {
        return Ok(JobDefinitionRef::Existing(name.to_owned()));
    }
    inspect_derived(session, summary, request.changes).await
}

/// Fails if the job definition does not allow the request. Pure.
fn check(summary: &DefinitionSummary, request: &DefinitionRequest<'_>) -> Result<(), Failure> {
    if let Some(failure) = takes_no_overrides(summary) {
        return Err(failure);
    }
    let (name, changes) = (&summary.name, request.changes);
    if summary.fargate {
        if request.nodes.is_some() {
            return Err(Failure::usage(format!(
                "multi-node parallel jobs cannot run on Fargate, and the job definition {name} is for Fargate"
            ))
            .hint(
                "choose one for EC2 with `--job-definition NAME`, and a queue for it with `--queue NAME`",
            ));
        }
        if let Some(option) = request.gpus.map(|_| "--gpus").or(changes.not_on_fargate()) {
            return Err(Failure::usage(format!(
                "`{option}` is not for jobs on Fargate, and the job definition {name} is for Fargate"
            )));
        }
        if let Some(container) = summary.container() {
            fargate_size(container, request)?;
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
    if changes.instance_type.is_some() && request.nodes.is_none() {
        return Err(Failure::usage("`--instance-type` is for multi-node parallel jobs").hint(
            "other jobs run on the instance types of their queue's compute environments: `--queue NAME` chooses them",
        ));
    }
    if let (DefinitionKind::MultiNode { nodes, ranges }, Some(count)) = (&summary.kind, request.nodes)
        && count != *nodes
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

fn fargate_size(container: &ContainerSummary, request: &DefinitionRequest<'_>) -> Result<(), Failure> {
    let vcpus = request.vcpus.map(Vcpus::count).or(container.vcpus);
    let memory = request.memory.map(Memory::mib).or(container.memory_mib);
    let (Some(vcpus), Some(memory_mib)) = (vcpus, memory) else { return Ok(()) };
    FargateSize { vcpus, memory_mib }.check().map_err(|e| {
        let FargateSize { vcpus, memory_mib } = e.nearest;
        Failure::usage(e.to_string()).hint(format!("request it with `-p {vcpus} -m {memory_mib}`"))
    })
}

/// The failure of a job definition that takes no `containerOverrides`. Without them a job cannot
/// set its command.
pub(in crate::batch) fn takes_no_overrides(summary: &DefinitionSummary) -> Option<Failure> {
    let what = match summary.kind {
        DefinitionKind::Eks => "is for EKS",
        DefinitionKind::Ecs => "is for several containers (it has ecsProperties)",
        DefinitionKind::Container(_) | DefinitionKind::MultiNode { .. } => return None,
    };
    let failure = Failure::usage(format!(
        "the job definition {} {what}; bsub can only submit jobs of one container (containerProperties), on ECS",
        summary.name
    ));
    Some(failure.hint(
        "choose another with `--job-definition NAME`, or set `job_definition` of the cluster in the \
         settings file",
    ))
}

/// Whether the check is left out: a user who can submit jobs may have no permission to read, or the
/// server may not have the call.
fn is_not_to_be_read(failure: &Failure) -> bool {
    matches!(failure.kind(), ErrorKind::AccessDenied | ErrorKind::Other)
}

/// Fails if the queue has no instances for multi-node parallel jobs.
async fn check_nodes(session: &Session, name: &str) -> Result<(), Failure> {
    let obstacle = async {
        let Some(found) = find_queue(session, name).await? else { return Ok(None) };
        Ok(no_nodes(session, &found).await?.map(|why| (found.job_queue_name, why)))
    };
    let (name, why) = match obstacle.await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(()),
        Err(failure) if is_not_to_be_read(&failure) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    Err(Failure::usage(format!(
        "multi-node parallel jobs need On-Demand EC2 instances, and the queue {name} has none: {why}"
    ))
    .hint("`--queue NAME` chooses another queue"))
}

#[cfg(test)]
mod tests {
    use super::super::summary::NodeRange;
    use super::*;

    fn summary(kind: DefinitionKind, fargate: bool) -> DefinitionSummary {
        DefinitionSummary {
            arn: "arn:…:job-definition/d:1".into(),
            name: "d".into(),
            kind,
            fargate,
            consumes: Vec::new(),
        }
    }

    fn container(vcpus: f64, memory_mib: u64) -> DefinitionKind {
        let size = ContainerSummary { vcpus: Some(vcpus), memory_mib: Some(memory_mib) };
        DefinitionKind::Container(size)
    }

    fn request(changes: &ContainerChanges) -> DefinitionRequest<'_> {
        DefinitionRequest {
            queue: "q",
            definition: None,
            changes,
            nodes: None,
            vcpus: None,
            memory: None,
            gpus: None,
            consumes: false,
        }
    }

    #[test]
    fn expired_credentials_are_not_a_missing_permission() {
        let failure = |kind| Failure::new(kind, "asking for the job definition d");
        assert!(is_not_to_be_read(&failure(ErrorKind::AccessDenied)));
        for kind in [ErrorKind::Credentials, ErrorKind::Throttled, ErrorKind::Usage] {
            assert!(!is_not_to_be_read(&failure(kind)), "{kind:?}");
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        let none = ContainerChanges::default();
        let plain = request(&none);
        let small = || container(0.25, 512);
        let closed = DefinitionKind::MultiNode {
            nodes: 4,
            ranges: vec![NodeRange { targets: "0:3".into(), container: Some(ContainerSummary::default()) }],
        };
        let shm = ContainerChanges { shm_size: "1G".parse().ok(), ..ContainerChanges::default() };
        let disk = ContainerChanges { ephemeral_storage: "50".parse().ok(), ..ContainerChanges::default() };
        let outcomes = [
            (summary(small(), true), plain),
            (summary(small(), true), request(&disk)),
            (summary(closed.clone(), false), DefinitionRequest { nodes: Some(4), ..plain }),
            (summary(DefinitionKind::Eks, false), plain),
            (summary(DefinitionKind::Ecs, false), plain),
            (summary(small(), true), DefinitionRequest { nodes: Some(2), ..plain }),
            (summary(small(), true), DefinitionRequest { gpus: "1".parse().ok(), ..plain }),
            (summary(small(), true), request(&shm)),
            (summary(small(), true), DefinitionRequest { vcpus: "1".parse().ok(), ..plain }),
            (summary(small(), true), DefinitionRequest { memory: "5G".parse().ok(), ..plain }),
            (summary(small(), false), request(&disk)),
            (summary(closed, false), DefinitionRequest { nodes: Some(2), ..plain }),
        ]
        .map(|(summary, request)| match check(&summary, &request) {
            Ok(()) => "fine".to_owned(),
            Err(f) => format!("{} {:?}", f.message(), f.hints()),
        });
        insta::assert_snapshot!(outcomes.join("\n"));
    }
}
