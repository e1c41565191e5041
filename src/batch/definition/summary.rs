//! The properties of a job definition that its jobs depend on.

use aws_sdk_batch::types::{
    ConsumableResourceRequirement, ContainerProperties, JobDefinition, NodeProperties, PlatformCapability,
    ResourceRequirement, ResourceType, TaskContainerProperties,
};
use serde::{Deserialize, Serialize};

use crate::aws::{Call, Pages, Resource, Session, explain, not_found};
use crate::batch::recorded_names::{self, NameKind};
use crate::ui::Failure;
use awsb_model::{Demand, limits};

/// The properties of a job definition (API `JobDefinition`) that its jobs depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionSummary {
    /// Its ARN with the revision. The revision that it names never changes.
    pub arn: String,
    /// Its name, without the revision.
    pub name: String,
    /// The containers or nodes that its jobs consist of.
    pub kind: DefinitionKind,
    /// The machines that its jobs run on.
    pub platform: JobPlatform,
    /// The consumable resources of its jobs: names or ARNs, and quantities.
    pub consumes: Vec<(String, i64)>,
}

/// The machines that the jobs of a job definition run on (API `PlatformCapability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobPlatform {
    /// EC2 instances. A job definition that names no platform is for them.
    Ec2,
    /// Fargate.
    Fargate,
    /// ECS Managed Instances.
    ManagedInstances,
}

impl JobPlatform {
    fn of(definition: &JobDefinition) -> Self {
        let named = definition.platform_capabilities();
        if named.contains(&PlatformCapability::Fargate) {
            Self::Fargate
        } else if named.contains(&PlatformCapability::ManagedInstances) {
            Self::ManagedInstances
        } else {
            Self::Ec2
        }
    }

    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
            Self::Fargate => "Fargate",
            Self::ManagedInstances => "ECS Managed Instances",
        }
    }
}

/// The containers or nodes that the jobs of a job definition consist of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DefinitionKind {
    /// One container (API `containerProperties`).
    Container(ContainerSummary),
    /// Nodes (API `nodeProperties`).
    MultiNode {
        /// The number of nodes of a job that does not set it.
        nodes: u32,
        /// Its node ranges.
        ranges: Vec<NodeRange>,
    },
    /// A pod (API `eksProperties`).
    Eks,
    /// A task of containers (API `ecsProperties`), in the order of the job definition.
    Ecs(Vec<TaskContainerSummary>),
    /// Nodes that have tasks of containers each.
    MultiNodeEcs,
}

/// A container of a task (API `TaskContainerProperties`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskContainerSummary {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether its end ends the task.
    pub essential: bool,
    /// Its size.
    pub size: ContainerSummary,
}

/// One range of a multi-node job definition (API `NodeRangeProperty`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRange {
    /// Its nodes, such as `0:`. Overrides have to name a range exactly as the job definition does:
    /// Batch refuses others with `NodeOverride targets should match job definition`.
    pub targets: String,
    /// The container of each node; `None` for a pod or several containers.
    pub container: Option<ContainerSummary>,
}

/// The size of a container, and its image (API `ContainerProperties`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSummary {
    /// The number of its vCPUs.
    pub vcpus: Option<f64>,
    /// Its memory in MiB.
    pub memory_mib: Option<u64>,
    /// The number of its GPUs.
    pub gpus: u32,
    /// Its image; `None`: an earlier version of awsb has not cached it.
    #[serde(default)]
    pub image: Option<String>,
}

impl DefinitionSummary {
    fn of(definition: &JobDefinition) -> Self {
        let kind = if definition.eks_properties().is_some() {
            DefinitionKind::Eks
        } else if let Some(nodes) = definition.node_properties() {
            multi_node_kind(nodes)
        } else if let Some(container) = definition.container_properties() {
            DefinitionKind::Container(ContainerSummary::of(container))
        } else {
            let tasks = definition.ecs_properties().map(|ecs| ecs.task_properties()).unwrap_or_default();
            let containers = tasks.iter().flat_map(|task| task.containers());
            DefinitionKind::Ecs(containers.map(TaskContainerSummary::of).collect())
        };
        Self {
            arn: definition.job_definition_arn().unwrap_or_default().to_owned(),
            name: definition.job_definition_name().unwrap_or_default().to_owned(),
            kind,
            platform: JobPlatform::of(definition),
            consumes: consumes(definition),
        }
    }

    /// The container of its jobs, or of the first node range that has one.
    pub fn container(&self) -> Option<&ContainerSummary> {
        match &self.kind {
            DefinitionKind::Container(container) => Some(container),
            DefinitionKind::MultiNode { ranges, .. } => {
                ranges.iter().find_map(|range| range.container.as_ref())
            }
            DefinitionKind::Eks | DefinitionKind::Ecs(_) | DefinitionKind::MultiNodeEcs => None,
        }
    }

    /// The most that a container of its jobs asks for; for a task, all its containers together.
    pub fn demand(&self) -> Demand {
        let containers: Vec<&ContainerSummary> = match &self.kind {
            DefinitionKind::Container(container) => vec![container],
            DefinitionKind::MultiNode { ranges, .. } => {
                ranges.iter().filter_map(|range| range.container.as_ref()).collect()
            }
            DefinitionKind::Ecs(containers) => {
                let sizes = containers.iter().map(|container| container.size.demand());
                return sizes.fold(Demand::default(), Demand::plus);
            }
            DefinitionKind::Eks | DefinitionKind::MultiNodeEcs => Vec::new(),
        };
        containers.iter().map(|container| container.demand()).fold(Demand::default(), Demand::max)
    }
}

fn consumes(definition: &JobDefinition) -> Vec<(String, i64)> {
    let list = definition.consumable_resource_properties().map(|all| all.consumable_resource_list());
    let of = |of: &ConsumableResourceRequirement| {
        Some((of.consumable_resource()?.to_owned(), of.quantity().unwrap_or(1)))
    };
    list.into_iter().flatten().filter_map(of).collect()
}

fn multi_node_kind(nodes: &NodeProperties) -> DefinitionKind {
    let ranges = nodes.node_range_properties().iter().map(|range| NodeRange {
        targets: range.target_nodes().unwrap_or_default().to_owned(),
        container: range.container().map(ContainerSummary::of),
    });
    let ranges: Vec<NodeRange> = ranges.collect();
    if nodes.node_range_properties().iter().any(|range| range.eks_properties().is_some()) {
        return DefinitionKind::Eks;
    }
    if ranges.iter().any(|range| range.container.is_none()) {
        return DefinitionKind::MultiNodeEcs;
    }
    DefinitionKind::MultiNode {
        nodes: nodes.num_nodes().and_then(|n| n.try_into().ok()).unwrap_or(1),
        ranges,
    }
}

impl TaskContainerSummary {
    fn of(container: &TaskContainerProperties) -> Self {
        Self {
            name: container.name().filter(|name| !name.is_empty()).map(str::to_owned),
            essential: container.essential() != Some(false),
            size: ContainerSummary::required(container.resource_requirements(), container.image()),
        }
    }
}

impl ContainerSummary {
    #[expect(deprecated, reason = "old job definitions have nothing else")]
    fn of(container: &ContainerProperties) -> Self {
        let Self { vcpus, memory_mib, gpus, image } =
            Self::required(container.resource_requirements(), container.image());
        // The deprecated fields count only without a requirement (API `ContainerProperties`).
        Self {
            vcpus: vcpus.or(container.vcpus().filter(|n| *n > 0).map(f64::from)),
            memory_mib: memory_mib.or(container.memory().and_then(|n| n.try_into().ok()).filter(|n| *n > 0)),
            gpus,
            image,
        }
    }

    fn required(requirements: &[ResourceRequirement], image: Option<&str>) -> Self {
        let of = |kind: ResourceType| requirements.iter().find(|r| r.r#type() == Some(&kind))?.value();
        Self {
            vcpus: of(ResourceType::Vcpu).and_then(|v| v.parse().ok()),
            memory_mib: of(ResourceType::Memory).and_then(|v| v.parse().ok()),
            gpus: of(ResourceType::Gpu).and_then(|v| v.parse().ok()).unwrap_or(0),
            image: image.map(str::to_owned),
        }
    }

    /// The resources of the container. Unknown ones count as nothing.
    pub fn demand(&self) -> Demand {
        Demand {
            vcpus: self.vcpus.unwrap_or_default(),
            memory_mib: self.memory_mib.unwrap_or_default(),
            gpus: self.gpus,
        }
    }
}

/// The kind of the cache's entries: from the name to [`DefinitionSummary`].
const CACHE_KIND: &str = "definition";

/// The kind of the cache's entries for job definitions whose form has to be read before a
/// submission: from the name to `true`.
const CACHE_KIND_OF_FORM: &str = "definition-form";

/// Remembers that a job definition has to be read before a job is submitted to it.
pub(in crate::batch) fn set_to_be_read(session: &Session, name: &str) {
    session.cache.write(CACHE_KIND_OF_FORM, name, &true);
}

/// Whether a job definition has to be read before a job is submitted to it.
pub(super) fn is_to_be_read(session: &Session, name: &str) -> bool {
    session.cache.read(CACHE_KIND_OF_FORM, name).unwrap_or(false)
}

/// Reads a job definition. `name` is a name (its latest active revision), `NAME:REVISION` or an
/// ARN.
///
/// # Errors
/// When Batch cannot be asked, or has no such active job definition.
pub async fn describe(session: &Session, name: &str) -> Result<DefinitionSummary, Failure> {
    // A revision never changes, but a name may have a newer revision since.
    let is_cacheable = parts(name).1.is_some();
    if let Some(cached) = is_cacheable.then(|| session.cache.read(CACHE_KIND, name)).flatten() {
        return Ok(cached);
    }
    describe_uncached(session, name).await?.ok_or_else(|| missing(session, name))
}

/// Reads a job definition, as [`describe`] does, from Batch and not from the cache, because
/// somebody may have deregistered it. Returns `None` if there is no such active job definition. It
/// is then not in the cache any more.
///
/// # Errors
/// When Batch cannot be asked. The cache stays as it is.
pub async fn describe_uncached(session: &Session, name: &str) -> Result<Option<DefinitionSummary>, Failure> {
    let summary = find(session, name).await?.map(|definition| DefinitionSummary::of(&definition));
    if let Some(DefinitionKind::Ecs(containers)) = summary.as_ref().map(|summary| &summary.kind) {
        let names = containers.iter().filter_map(|container| container.name.clone());
        recorded_names::record_some(&session.cluster, NameKind::Container, names);
    }
    if parts(name).1.is_some() {
        match &summary {
            Some(summary) => session.cache.write(CACHE_KIND, name, summary),
            None => {
                session.cache.drop(CACHE_KIND, name);
            }
        }
    }
    Ok(summary)
}

/// The latest active revision of a job definition.
pub(super) async fn find(session: &Session, name: &str) -> Result<Option<JobDefinition>, Failure> {
    let doing = format!("asking for the job definition {name}");
    let call = session.batch.describe_job_definitions();
    let (short, revision) = parts(name);
    if revision.is_some() {
        let answer = call.clone().job_definitions(name).send().await;
        let answer = answer.map_err(|e| explain(session, Call::new(&doing).job_definition(name), &e))?;
        if let Some(found) = answer.job_definitions().iter().find(|d| is_active(d)) {
            return Ok(Some(found.clone()));
        }
        // moto finds a revision only by its ARN.
    }
    let wanted = |d: &JobDefinition| is_active(d) && revision.is_none_or(|r| d.revision() == Some(r));
    let call = call.job_definition_name(short).status("ACTIVE");
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    let mut latest: Option<JobDefinition> = None;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| e.explain(session, Call::new(&doing).job_definition(name)))?;
        for definition in page.job_definitions() {
            if wanted(definition) && latest.as_ref().is_none_or(|l| l.revision() < definition.revision()) {
                latest = Some(definition.clone());
            }
        }
    }
    Ok(latest)
}

/// Revisions of job definitions, by their ARNs, even if somebody has deregistered them. Batch may
/// not have some of them any more.
///
/// # Errors
/// When Batch cannot be asked.
pub(in crate::batch) async fn find_revisions(
    session: &Session,
    arns: &[&str],
) -> Result<Vec<JobDefinition>, Failure> {
    let mut found = Vec::new();
    for some in arns.chunks(limits::DESCRIBE_JOB_DEFINITIONS) {
        let names: Vec<String> = some.iter().map(|arn| (*arn).to_owned()).collect();
        let doing = match some {
            [one] => format!("asking for the job definition {one}"),
            some => format!("asking for {} job definitions", some.len()),
        };
        let call = session.batch.describe_job_definitions().set_job_definitions(Some(names));
        let answer = call.send().await.map_err(|e| explain(session, Call::new(&doing), &e))?;
        found.extend(answer.job_definitions.unwrap_or_default());
    }
    Ok(found)
}

fn is_active(definition: &JobDefinition) -> bool {
    definition.status().is_none_or(|status| status == "ACTIVE")
}

/// The name without the first part of an ARN, and the revision, if there is one.
pub(super) fn parts(name: &str) -> (&str, Option<i32>) {
    let short = match name.split_once(":job-definition/") {
        Some((_, short)) if name.starts_with("arn:") => short,
        _ => name,
    };
    match short.rsplit_once(':').map(|(head, revision)| (head, revision.parse())) {
        Some((head, Ok(revision))) => (head, Some(revision)),
        _ => (short, None),
    }
}

/// The failure for a job definition that Batch does not have. If the cached description of the
/// cluster names the job definition, the cache entry is evicted and the failure becomes
/// [`ErrorKind::Stale`](crate::ui::ErrorKind::Stale).
pub(in crate::batch) fn missing(session: &Session, name: &str) -> Failure {
    let failure =
        Failure::usage(format!("there is no active job definition {name} ({})", session.describe())).hint(
            session.advice(
                "`aws batch describe-job-definitions --status ACTIVE` lists those of this account and region",
            ),
        );
    not_found(session, failure, Resource::JobDefinition(name))
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{EcsProperties, EcsTaskProperties, NodeRangeProperty};

    use super::*;

    fn requirement(kind: ResourceType, value: &str) -> ResourceRequirement {
        ResourceRequirement::builder().r#type(kind).value(value).build()
    }

    #[test]
    #[expect(deprecated, reason = "old job definitions have nothing else")]
    fn requirements_count_before_the_old_fields() {
        let container = ContainerProperties::builder().image("i").vcpus(2).memory(512);
        let old = ContainerSummary::of(&container.clone().build());
        assert_eq!((old.vcpus, old.memory_mib), (Some(2.0), Some(512)));
        let new = container.resource_requirements(requirement(ResourceType::Vcpu, "0.25"));
        let new = ContainerSummary::of(&new.build());
        assert_eq!((new.vcpus, new.memory_mib), (Some(0.25), Some(512)));
    }

    #[test]
    fn gpus_count_of_the_largest_node_and_of_all_containers_of_a_task() {
        let gpus = |count: &str| requirement(ResourceType::Gpu, count);
        let container =
            |count: &str| ContainerProperties::builder().resource_requirements(gpus(count)).build();
        let of = |definition: aws_sdk_batch::types::builders::JobDefinitionBuilder| {
            DefinitionSummary::of(&definition.build()).demand().gpus
        };
        assert_eq!(of(JobDefinition::builder().container_properties(container("4"))), 4);
        let range = |count: &str| NodeRangeProperty::builder().target_nodes("0:").container(container(count));
        let nodes = NodeProperties::builder().node_range_properties(range("1").build());
        let nodes = nodes.node_range_properties(range("2").build()).build();
        assert_eq!(of(JobDefinition::builder().node_properties(nodes)), 2);
        let task =
            |count: &str| TaskContainerProperties::builder().resource_requirements(gpus(count)).build();
        let task = EcsTaskProperties::builder().containers(task("1")).containers(task("2")).build();
        let ecs = EcsProperties::builder().task_properties(task).build();
        assert_eq!(of(JobDefinition::builder().ecs_properties(ecs)), 3);
    }

    #[test]
    fn platforms() {
        let of = |named: &[PlatformCapability]| {
            let definition = JobDefinition::builder().set_platform_capabilities(Some(named.to_vec()));
            DefinitionSummary::of(&definition.build()).platform
        };
        assert_eq!(of(&[]), JobPlatform::Ec2);
        assert_eq!(of(&[PlatformCapability::Ec2]), JobPlatform::Ec2);
        assert_eq!(of(&[PlatformCapability::Fargate]), JobPlatform::Fargate);
        assert_eq!(of(&[PlatformCapability::ManagedInstances]), JobPlatform::ManagedInstances);
    }

    #[test]
    fn kinds() {
        let container = ContainerProperties::builder().image("i").build();
        let range = NodeRangeProperty::builder().target_nodes("0:");
        let nodes = |range| NodeProperties::builder().num_nodes(3).node_range_properties(range).build();
        let kind = |definition: aws_sdk_batch::types::builders::JobDefinitionBuilder| {
            DefinitionSummary::of(&definition.build()).kind
        };
        let definition = JobDefinition::builder;
        assert!(matches!(
            kind(definition().container_properties(container.clone())),
            DefinitionKind::Container(_)
        ));
        assert_eq!(kind(definition()), DefinitionKind::Ecs(Vec::new()));
        let nodes_of_tasks = definition().node_properties(nodes(range.clone().build()));
        assert_eq!(kind(nodes_of_tasks), DefinitionKind::MultiNodeEcs);
        let good = kind(definition().node_properties(nodes(range.container(container).build())));
        assert!(
            matches!(good, DefinitionKind::MultiNode { nodes: 3, ref ranges } if ranges[0].targets == "0:")
        );
    }

    #[test]
    fn names() {
        assert_eq!(parts("arn:aws:batch:r:1:job-definition/d:3"), ("d", Some(3)));
        assert_eq!(parts("arn:aws:batch:r:1:job-definition/d"), ("d", None));
        assert_eq!((parts("d"), parts("d:3"), parts("d:x")), (("d", None), ("d", Some(3)), ("d:x", None)));
    }
}
