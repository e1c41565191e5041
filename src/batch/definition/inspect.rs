//! Which job definition a job takes. Nothing is changed.

use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use tokio::time::timeout;

use super::derive::{JobDefinitionRef, inspect_derived, inspect_multi_node};
use super::summary::{
    ContainerSummary, DefinitionKind, DefinitionSummary, JobPlatform, TaskContainerSummary, describe,
    is_to_be_read,
};
use crate::aws::Session;
use crate::batch::queues::{find_queue, no_nodes};
use crate::ui::{ErrorKind, Failure};
use awsb_model::{
    ContainerChanges, FargateSize, Gpus, JobNodes, Memory, NodeGroup, NodeTargets, TargetContainer, Vcpus,
    words,
};

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
    /// The groups of nodes behind the first ones.
    pub groups: &'a [NodeGroup],
    /// The container of a task that is to run the job, by its name.
    pub container: Option<&'a str>,
    /// vCPUs of a container.
    pub vcpus: Option<Vcpus>,
    /// Memory of a container.
    pub memory: Option<Memory>,
    /// GPUs of a container.
    pub gpus: Option<Gpus>,
    /// Whether the consumable resources of the job definition are needed, because others are added
    /// to them.
    pub consumes: bool,
    /// Whether the job definition is read although the job could do without it. It decides the form
    /// of a request that is shown: Batch does not get that request and cannot refuse its form. A
    /// strict submission checks its sizes and licences. A failure to read it is not an error.
    pub reads_anyway: bool,
}

/// The time limit for reading a job definition whose job could do without.
const MAX_TIME: Duration = Duration::from_secs(4);

/// The job definition that a job takes, with what was read of it.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedDefinition {
    /// The job definition.
    pub definition: JobDefinitionRef,
    /// The nodes of a multi-node parallel job.
    pub nodes: Option<JobNodes>,
    /// The container that runs the job, for a task of containers.
    pub container: Option<TargetContainer>,
    /// The job definition that was named, before any changes; `None` if it was not read.
    pub summary: Option<DefinitionSummary>,
    /// The failure to read a job definition that would have been read anyway.
    pub not_read: Option<Failure>,
}

impl InspectedDefinition {
    fn unread(name: &str) -> Self {
        let definition = JobDefinitionRef::Existing(name.to_owned());
        Self { definition, nodes: None, container: None, summary: None, not_read: None }
    }

    /// A note for a request that is shown, whose job definition was not read.
    pub fn unknown_form_note(&self) -> Option<String> {
        let failure = self.not_read.as_ref()?;
        let name = self.definition.name();
        Some(format!(
            "the job definition {name} was not read, so this is the request for one with a single container; one \
             with several, or for several nodes, needs another ({failure})"
        ))
    }

    /// A note for a job that is checked strictly, whose job definition was not read.
    pub fn unchecked_note(&self) -> Option<String> {
        let failure = self.not_read.as_ref()?;
        let name = self.definition.name();
        Some(format!(
            "--strict: the job definition {name} was not read, so its sizes and licences were not checked ({failure})"
        ))
    }

    /// A note about a container that runs the job and is not essential: the job does not wait for
    /// its end (API `TaskContainerProperties`, `essential`).
    pub fn container_note(&self) -> Option<String> {
        let target = self.container.as_ref()?;
        let DefinitionKind::Ecs(containers) = &self.summary.as_ref()?.kind else { return None };
        let found = containers.iter().find(|container| container.name == target.name)?;
        let name = found.name.as_deref().filter(|_| !found.essential)?;
        Some(format!(
            "the container {name} is not essential: the job ends when its essential containers do, even if {name} \
             has not done its work, and a failure of {name} makes the job fail only if another container depends on it"
        ))
    }
}

impl DefinitionRequest<'_> {
    /// Whether nothing depends on the job definition's properties. The usual job costs no extra
    /// call.
    fn is_plain(&self) -> bool {
        self.definition.is_none()
            && self.is_only_checked()
            && self.container.is_none()
            && self.vcpus.is_none()
            && self.memory.is_none()
            && self.gpus.is_none()
    }

    /// Whether SubmitJob itself carries all of it, so that reading the job definition only finds
    /// mistakes earlier.
    fn is_only_checked(&self) -> bool {
        self.changes.is_empty() && self.nodes.is_none() && !self.consumes
    }

    /// Whether the job goes on without its job definition after this failure to read it. A `plain`
    /// job needs no property of the job definition. No job goes on without a job definition that
    /// Batch does not have.
    fn may_be_unread(&self, plain: bool, failure: &Failure) -> bool {
        let is_missing = matches!(failure.kind(), ErrorKind::Usage | ErrorKind::NotFound | ErrorKind::Stale);
        (plain && !is_missing) || (self.is_only_checked() && is_not_to_be_read(failure))
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
    let is_plain = request.is_plain() && !is_to_be_read(session, name);
    if is_plain && !request.reads_anyway {
        return Ok(InspectedDefinition::unread(name));
    }
    let described = if is_plain { describe_soon(session, name).await } else { describe(session, name).await };
    let summary = match described {
        Err(failure) if request.may_be_unread(is_plain, &failure) => {
            let not_read = request.reads_anyway.then_some(failure);
            return Ok(InspectedDefinition { not_read, ..InspectedDefinition::unread(name) });
        }
        described => described?,
    };
    check(&summary, request)?;
    if let Some(failure) = needs_nodes(&summary).filter(|_| is_plain) {
        return Err(failure);
    }
    let container = target(&summary, request)?;
    let (definition, nodes) = match (&summary.kind, request.nodes) {
        (DefinitionKind::MultiNode { nodes, ranges }, count) => {
            check_nodes(session, request.queue).await?;
            let ranges = ranges
                .iter()
                .map(|range| node_targets(&range.targets, range.container.as_ref(), None, request));
            let nodes = JobNodes { count: count.unwrap_or(*nodes), ranges: ranges.collect() };
            (with_changes(session, &summary, name, request).await?, Some(nodes))
        }
        (_, Some(count)) => {
            check_nodes(session, request.queue).await?;
            if let Some(process_image) = session.process_image() {
                check_images(&summary, request, process_image)?;
            }
            let own: u32 = request.groups.iter().map(|group| group.nodes).sum();
            let targets = awsb_model::node_ranges(count.saturating_sub(own), request.groups);
            let definition =
                inspect_multi_node(session, &summary, request.changes, &targets, request.groups).await?;
            let groups = std::iter::once(None).chain(request.groups.iter().map(Some));
            let ranges = targets.iter().zip(groups);
            let ranges =
                ranges.map(|(range, group)| node_targets(range, summary.container(), group, request));
            (definition, Some(JobNodes { count, ranges: ranges.collect() }))
        }
        (_, None) => {
            let target = container.as_ref();
            (derived_or_named(session, &summary, name, request, target).await?, None)
        }
    };
    Ok(InspectedDefinition { definition, nodes, container, summary: Some(summary), not_read: None })
}

/// Reads a job definition within [`MAX_TIME`]. Without an answer, it fails after that time.
async fn describe_soon(session: &Session, name: &str) -> Result<DefinitionSummary, Failure> {
    let retries = RetryConfig::standard().with_max_attempts(2);
    let config = session.batch.config().to_builder().retry_config(retries);
    let mut session = session.clone();
    session.batch = aws_sdk_batch::Client::from_conf(config.build());
    timeout(MAX_TIME, describe(&session, name)).await.unwrap_or_else(|_| {
        let seconds = words::many(MAX_TIME.as_secs(), "second");
        let message = format!("asking for the job definition {name}: no answer within {seconds}");
        Err(Failure::new(ErrorKind::NoAnswer, message))
    })
}

/// The container of a task that runs the job: the one that is named, or the first essential one.
/// `None` for a job definition without a task. Pure.
fn target(
    summary: &DefinitionSummary,
    request: &DefinitionRequest<'_>,
) -> Result<Option<TargetContainer>, Failure> {
    let name = &summary.name;
    let DefinitionKind::Ecs(containers) = &summary.kind else {
        return match request.container {
            None => Ok(None),
            Some(container) => Err(Failure::usage(format!(
                "--container {container}: the job definition {name} has no task of containers (ecsProperties)"
            ))),
        };
    };
    let names: Vec<&str> = containers.iter().filter_map(|container| container.name.as_deref()).collect();
    let found = match request.container {
        Some(wanted) => containers.iter().find(|container| container.name.as_deref() == Some(wanted)),
        None => containers.iter().find(|container| container.essential).or(containers.first()),
    };
    match (found, request.container) {
        (Some(TaskContainerSummary { name: None, .. }), _) if containers.len() > 1 => {
            // API `TaskContainerOverrides`, `name`: nothing else says which container is meant.
            let failure = Failure::usage(format!(
                "the job definition {name} has several containers, and the one that would run the job has no name"
            ));
            Err(match names.as_slice() {
                [] => failure.hint("give its containers names, in a new revision"),
                names => failure.hint(format!("`--container NAME` chooses one of {}", names.join(", "))),
            })
        }
        (Some(found), _) => Ok(Some(TargetContainer { name: found.name.clone() })),
        (None, Some(wanted)) => {
            let has = match names.as_slice() {
                [] => "its container has no name".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let message =
                format!("--container {wanted}: the job definition {name} has no such container; {has}");
            Err(Failure::usage(message))
        }
        (None, None) => Err(Failure::usage(format!("the job definition {name} has no containers"))),
    }
}

/// A node range of the job. The vCPUs of the request count for all ranges whose group has none of
/// its own; without them, each range has those of its container.
fn node_targets(
    targets: &str,
    container: Option<&ContainerSummary>,
    group: Option<&NodeGroup>,
    request: &DefinitionRequest<'_>,
) -> NodeTargets {
    let vcpus = group.and_then(|group| group.resources.vcpus).or(request.vcpus);
    let vcpus = vcpus.map(Vcpus::count).or_else(|| container?.vcpus);
    NodeTargets { targets: targets.to_owned(), vcpus, group: group.cloned() }
}

async fn with_changes(
    session: &Session,
    summary: &DefinitionSummary,
    name: &str,
    request: &DefinitionRequest<'_>,
) -> Result<JobDefinitionRef, Failure> {
    derived_or_named(session, summary, name, request, None).await
}

/// The job definition itself, or the one that is derived from it with the changes of the request,
/// which are for the container `target` of a task.
async fn derived_or_named(
    session: &Session,
    summary: &DefinitionSummary,
    name: &str,
    request: &DefinitionRequest<'_>,
    target: Option<&TargetContainer>,
) -> Result<JobDefinitionRef, Failure> {
    if request.changes.is_empty() {
        return Ok(JobDefinitionRef::Existing(name.to_owned()));
    }
    inspect_derived(session, summary, request.changes, target).await
}

/// Fails if the job definition does not allow the request. Pure.
fn check(summary: &DefinitionSummary, request: &DefinitionRequest<'_>) -> Result<(), Failure> {
    if let Some(failure) = takes_no_overrides(summary) {
        return Err(failure);
    }
    let (name, changes) = (&summary.name, request.changes);
    if matches!(summary.kind, DefinitionKind::Ecs(_)) && request.nodes.is_some() {
        return Err(Failure::usage(format!(
            "--nodes: the job definition {name} is for a task of containers (ecsProperties), and bsub makes \
             multi-node parallel jobs of containerProperties only"
        ))
        .hint("choose another with `--job-definition NAME`"));
    }
    let platform = summary.platform.name();
    if summary.platform != JobPlatform::Ec2 && request.nodes.is_some() {
        return Err(Failure::usage(format!(
            "multi-node parallel jobs cannot run on {platform}, and the job definition {name} is for {platform}"
        ))
        .hint("choose one for EC2 with `--job-definition NAME`, and a queue for it with `--queue NAME`"));
    }
    if summary.platform == JobPlatform::Fargate {
        if let Some(option) = request.gpus.map(|_| "--gpus").or(changes.not_on_fargate()) {
            return Err(Failure::usage(format!(
                "`{option}` is not for jobs on Fargate, and the job definition {name} is for Fargate"
            )));
        }
        match &summary.kind {
            DefinitionKind::Ecs(containers) => fargate_task_size(summary, containers, request)?,
            _ => summary.container().map_or(Ok(()), |container| fargate_size(container, request))?,
        }
    } else if changes.ephemeral_storage.is_some() {
        return Err(Failure::usage(format!(
            "`--ephemeral-storage` is for jobs on Fargate, and the job definition {name} is for {platform}"
        ))
        .hint(match summary.platform {
            JobPlatform::ManagedInstances => {
                "on ECS Managed Instances, a job uses the disk of its instance; its compute environment sets its size"
            }
            _ => {
                "on EC2, a job uses the disk of its instance; the launch template of the compute environment \
                 sets its size"
            }
        }));
    }
    if let DefinitionKind::MultiNode { ranges, .. } = &summary.kind
        && !request.groups.is_empty()
    {
        return Err(Failure::usage(format!(
            "--node-group: the job definition {name} has node ranges of its own ({})",
            ranges.iter().map(|range| range.targets.as_str()).collect::<Vec<_>>().join(", ")
        ))
        .hint("choose one with a single container with `--job-definition NAME`"));
    }
    let is_multi_node = matches!(summary.kind, DefinitionKind::MultiNode { .. });
    if changes.instance_type.is_some() && request.nodes.is_none() && !is_multi_node {
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

/// A task on Fargate has the sizes of all its containers together.
fn fargate_task_size(
    summary: &DefinitionSummary,
    containers: &[TaskContainerSummary],
    request: &DefinitionRequest<'_>,
) -> Result<(), Failure> {
    let target = target(summary, request)?.and_then(|target| target.name);
    let mut all = ContainerSummary { vcpus: Some(0.0), memory_mib: Some(0), ..ContainerSummary::default() };
    for container in containers {
        let is_target = container.name == target;
        let (vcpus, memory) = (request.vcpus.map(Vcpus::count), request.memory.map(Memory::mib));
        let vcpus = vcpus.filter(|_| is_target).or(container.size.vcpus);
        let memory = memory.filter(|_| is_target).or(container.size.memory_mib);
        all.vcpus = all.vcpus.zip(vcpus).map(|(all, own)| all + own);
        all.memory_mib = all.memory_mib.zip(memory).map(|(all, own)| all.saturating_add(own));
    }
    let own = DefinitionRequest { vcpus: None, memory: None, ..*request };
    fargate_size(&all, &own)
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

/// The failure of a job definition whose overrides bsub does not make. Without them a job cannot
/// set its command.
pub(in crate::batch) fn takes_no_overrides(summary: &DefinitionSummary) -> Option<Failure> {
    let why = match summary.kind {
        DefinitionKind::Eks => {
            "is for EKS (eksProperties); bsub submits to ECS only, because AWS Batch keeps no output of pods, \
             and pods take commands and variables in another form"
        }
        DefinitionKind::MultiNodeEcs => {
            "is for nodes with several containers each (ecsProperties in nodeRangeProperties); bsub can only \
             submit multi-node jobs of one container per node"
        }
        DefinitionKind::Container(_) | DefinitionKind::MultiNode { .. } | DefinitionKind::Ecs(_) => {
            return None;
        }
    };
    let failure = Failure::usage(format!("the job definition {} {why}", summary.name));
    Some(failure.hint(
        "choose another with `--job-definition NAME`, or set `job_definition` of the cluster in the \
         settings file",
    ))
}

/// The failure of a job definition for several nodes, for a job that does not say how many.
pub(in crate::batch) fn needs_nodes(summary: &DefinitionSummary) -> Option<Failure> {
    let DefinitionKind::MultiNode { nodes, .. } = &summary.kind else { return None };
    let message = format!("the job definition {} is for multi-node parallel jobs", summary.name);
    Some(Failure::usage(message).hint(format!("`--nodes {nodes}` submits one")))
}

/// Whether the check is left out: a user who can submit jobs may have no permission to read, or the
/// server may not have the call.
fn is_not_to_be_read(failure: &Failure) -> bool {
    matches!(failure.kind(), ErrorKind::AccessDenied | ErrorKind::Other)
}

/// Fails if some nodes of the job would be processes and others containers. `process_image` is the
/// image of processes. Pure.
fn check_images(
    summary: &DefinitionSummary,
    request: &DefinitionRequest<'_>,
    process_image: &str,
) -> Result<(), Failure> {
    let of_definition = || summary.container()?.image.clone();
    let first = request.changes.image.as_ref().map(ToString::to_string).or_else(of_definition);
    let of_group =
        |group: &NodeGroup| group.image.as_ref().map(ToString::to_string).or_else(|| first.clone());
    let of_groups = request.groups.iter().map(|group| (group.to_string(), of_group(group)));
    let named = of_groups.filter_map(|(group, image)| Some((format!("--node-group {group}"), image?)));
    let first = first.clone().map(|image| ("the first nodes".to_owned(), image));
    let (processes, containers): (Vec<_>, Vec<_>) =
        first.into_iter().chain(named).partition(|(_, image)| image == process_image);
    let (Some((whose, _)), Some((others, image))) = (processes.first(), containers.first()) else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "{whose}: nodes with the image {process_image} are processes of this machine, and those of others ({others}: \
         {image}) are containers; a job has nodes of one kind, as the two kinds cannot reach each other"
    ))
    .hint(format!("give all nodes of the job the image {process_image} (`--image {process_image}`), or none")))
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

    fn summary(kind: DefinitionKind, platform: JobPlatform) -> DefinitionSummary {
        DefinitionSummary {
            arn: "arn:…:job-definition/d:1".into(),
            name: "d".into(),
            kind,
            platform,
            consumes: Vec::new(),
        }
    }

    fn container(vcpus: f64, memory_mib: u64) -> DefinitionKind {
        let size =
            ContainerSummary { vcpus: Some(vcpus), memory_mib: Some(memory_mib), ..Default::default() };
        DefinitionKind::Container(size)
    }

    fn request(changes: &ContainerChanges) -> DefinitionRequest<'_> {
        DefinitionRequest {
            queue: "q",
            definition: None,
            changes,
            nodes: None,
            groups: &[],
            container: None,
            vcpus: None,
            memory: None,
            gpus: None,
            consumes: false,
            reads_anyway: false,
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
        use JobPlatform::{Ec2, Fargate, ManagedInstances};
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
            (summary(small(), Fargate), plain),
            (summary(small(), Fargate), request(&disk)),
            (summary(closed.clone(), Ec2), DefinitionRequest { nodes: Some(4), ..plain }),
            (summary(DefinitionKind::Eks, Ec2), plain),
            (summary(DefinitionKind::MultiNodeEcs, Ec2), plain),
            (summary(DefinitionKind::Ecs(Vec::new()), Ec2), DefinitionRequest { nodes: Some(2), ..plain }),
            (summary(small(), Fargate), DefinitionRequest { nodes: Some(2), ..plain }),
            (summary(small(), Fargate), DefinitionRequest { gpus: "1".parse().ok(), ..plain }),
            (summary(small(), Fargate), request(&shm)),
            (summary(small(), Fargate), DefinitionRequest { vcpus: "1".parse().ok(), ..plain }),
            (summary(small(), Fargate), DefinitionRequest { memory: "5G".parse().ok(), ..plain }),
            (summary(small(), Ec2), request(&disk)),
            (summary(closed, Ec2), DefinitionRequest { nodes: Some(2), ..plain }),
            (summary(small(), ManagedInstances), DefinitionRequest { nodes: Some(2), ..plain }),
            (summary(small(), ManagedInstances), request(&disk)),
        ]
        .map(|(summary, request)| match check(&summary, &request) {
            Ok(()) => "fine".to_owned(),
            Err(f) => format!("{} {:?}", f.message(), f.hints()),
        });
        insta::assert_snapshot!(outcomes.join("\n"));
    }
}
