//! Job definitions: what one allows, and one that is derived from another.

mod apply;
mod derive;

use aws_sdk_batch::types::{
    ContainerProperties, JobDefinition, NodeProperties, PlatformCapability, ResourceType,
};
use serde::{Deserialize, Serialize};

pub use derive::{Derived, Registering, derive, forget, multi_node};

use crate::aws::{Session, explain, not_there};
use crate::ui::Failure;

/// What of a job definition (API `JobDefinition`) decides what a job of it can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Its ARN, with the revision: what it names never changes.
    pub arn: String,
    /// Its name, without the revision.
    pub name: String,
    /// What its jobs are made of.
    pub kind: Kind,
    /// Whether its jobs run on Fargate.
    pub fargate: bool,
}

/// What the jobs of a job definition are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// One container (API `containerProperties`).
    Container(ContainerFacts),
    /// Nodes (API `nodeProperties`).
    MultiNode {
        /// As many nodes as it has by itself.
        nodes: u32,
        /// Its node ranges.
        ranges: Vec<NodeRange>,
    },
    /// A pod (API `eksProperties`).
    Eks,
    /// Several containers (API `ecsProperties`).
    Ecs,
}

/// One range of a multi-node job definition (API `NodeRangeProperty`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRange {
    /// Its nodes, such as `0:`. Overrides have to name ranges in the job definition's own words: Batch refuses
    /// others with `NodeOverride targets should match job definition`.
    pub targets: String,
    /// Their container; `None` for a pod or several containers.
    pub container: Option<ContainerFacts>,
}

/// What a container has (API `ContainerProperties`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Its vCPUs.
    pub vcpus: Option<f64>,
    /// Its memory in MiB.
    pub memory_mib: Option<u64>,
}

impl Facts {
    fn of(definition: &JobDefinition) -> Self {
        let kind = if definition.eks_properties().is_some() {
            Kind::Eks
        } else if let Some(nodes) = definition.node_properties() {
            multi_node_kind(nodes)
        } else if let Some(container) = definition.container_properties() {
            Kind::Container(ContainerFacts::of(container))
        } else {
            Kind::Ecs
        };
        Self {
            arn: definition.job_definition_arn().unwrap_or_default().to_owned(),
            name: definition.job_definition_name().unwrap_or_default().to_owned(),
            kind,
            fargate: definition.platform_capabilities().contains(&PlatformCapability::Fargate),
        }
    }

    /// The container of its jobs, or of the first nodes.
    pub fn container(&self) -> Option<&ContainerFacts> {
        match &self.kind {
            Kind::Container(container) => Some(container),
            Kind::MultiNode { ranges, .. } => ranges.iter().find_map(|range| range.container.as_ref()),
            Kind::Eks | Kind::Ecs => None,
        }
    }
}

fn multi_node_kind(nodes: &NodeProperties) -> Kind {
    let ranges = nodes.node_range_properties().iter().map(|range| NodeRange {
        targets: range.target_nodes().unwrap_or_default().to_owned(),
        container: range.container().map(ContainerFacts::of),
    });
    let ranges: Vec<NodeRange> = ranges.collect();
    if nodes.node_range_properties().iter().any(|range| range.eks_properties().is_some()) {
        return Kind::Eks;
    }
    if ranges.iter().any(|range| range.container.is_none()) {
        return Kind::Ecs;
    }
    Kind::MultiNode { nodes: nodes.num_nodes().and_then(|n| n.try_into().ok()).unwrap_or(1), ranges }
}

impl ContainerFacts {
    #[expect(deprecated, reason = "old job definitions have nothing else")]
    fn of(container: &ContainerProperties) -> Self {
        let required = |kind: ResourceType| {
            let requirement = container.resource_requirements().iter().find(|r| r.r#type() == Some(&kind));
            requirement.and_then(|r| r.value())
        };
        // The deprecated fields count where there is no requirement (API `ContainerProperties`).
        let vcpus = required(ResourceType::Vcpu).and_then(|v| v.parse().ok());
        let memory = required(ResourceType::Memory).and_then(|v| v.parse().ok());
        Self {
            vcpus: vcpus.or(container.vcpus().filter(|n| *n > 0).map(f64::from)),
            memory_mib: memory.or(container.memory().and_then(|n| n.try_into().ok()).filter(|n| *n > 0)),
        }
    }
}

/// The kind of the cache's entries: name to [`Facts`].
const KEPT: &str = "definition";

/// What a job definition allows. `name` is a name (its latest active revision), `NAME:REVISION` or an ARN.
///
/// # Errors
/// When Batch cannot be asked, or has no such active job definition.
pub async fn describe(session: &Session, name: &str) -> Result<Facts, Failure> {
    // A revision stays as it is; which one is the latest may have changed since.
    let stays = parts(name).1.is_some();
    if let Some(kept) = stays.then(|| session.cache.read(KEPT, name)).flatten() {
        return Ok(kept);
    }
    let facts = Facts::of(&find(session, name).await?.ok_or_else(|| missing(session, name))?);
    if stays {
        session.cache.write(KEPT, name, &facts);
    }
    Ok(facts)
}

/// The active job definition of this name; of several revisions the latest.
async fn find(session: &Session, name: &str) -> Result<Option<JobDefinition>, Failure> {
    let doing = |e| explain(session, &format!("asking for the job definition {name}"), &e);
    let call = session.batch.describe_job_definitions();
    let (short, revision) = parts(name);
    if revision.is_some() {
        let answer = call.clone().job_definitions(name).send().await.map_err(doing)?;
        if let Some(found) = answer.job_definitions().iter().find(|d| is_active(d)) {
            return Ok(Some(found.clone()));
        }
        // moto knows revisions by their ARN only.
    }
    let wanted = |d: &JobDefinition| is_active(d) && revision.is_none_or(|r| d.revision() == Some(r));
    let mut pages = call.job_definition_name(short).status("ACTIVE").into_paginator().send();
    let mut latest: Option<JobDefinition> = None;
    while let Some(page) = pages.next().await {
        for definition in page.map_err(doing)?.job_definitions() {
            if wanted(definition) && latest.as_ref().is_none_or(|l| l.revision() < definition.revision()) {
                latest = Some(definition.clone());
            }
        }
    }
    Ok(latest)
}

fn is_active(definition: &JobDefinition) -> bool {
    definition.status().is_none_or(|status| status == "ACTIVE")
}

/// The name without an ARN's head, and the revision, if one is named.
fn parts(name: &str) -> (&str, Option<i32>) {
    let short = match name.split_once(":job-definition/") {
        Some((_, short)) if name.starts_with("arn:") => short,
        _ => name,
    };
    match short.rsplit_once(':').map(|(head, revision)| (head, revision.parse())) {
        Some((head, Ok(revision))) => (head, Some(revision)),
        _ => (short, None),
    }
}

fn missing(session: &Session, name: &str) -> Failure {
    let failure = Failure::usage(format!("there is no active job definition {name} ({})", session.place()))
        .hint("`aws batch describe-job-definitions --status ACTIVE` lists those of this account and region");
    not_there(session, failure)
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{NodeRangeProperty, ResourceRequirement};

    use super::*;

    fn requirement(kind: ResourceType, value: &str) -> ResourceRequirement {
        ResourceRequirement::builder().r#type(kind).value(value).build()
    }

    #[test]
    #[expect(deprecated, reason = "old job definitions have nothing else")]
    fn requirements_count_before_the_old_fields() {
        let container = ContainerProperties::builder().image("i").vcpus(2).memory(512);
        let old = ContainerFacts::of(&container.clone().build());
        assert_eq!((old.vcpus, old.memory_mib), (Some(2.0), Some(512)));
        let new = container.resource_requirements(requirement(ResourceType::Vcpu, "0.25"));
        let new = ContainerFacts::of(&new.build());
        assert_eq!((new.vcpus, new.memory_mib), (Some(0.25), Some(512)));
    }

    #[test]
    fn kinds() {
        let container = ContainerProperties::builder().image("i").build();
        let range = NodeRangeProperty::builder().target_nodes("0:");
        let nodes = |range| NodeProperties::builder().num_nodes(3).node_range_properties(range).build();
        let kind = |definition: aws_sdk_batch::types::builders::JobDefinitionBuilder| {
            Facts::of(&definition.build()).kind
        };
        let definition = JobDefinition::builder;
        assert!(matches!(kind(definition().container_properties(container.clone())), Kind::Container(_)));
        assert_eq!(kind(definition()), Kind::Ecs);
        assert_eq!(kind(definition().node_properties(nodes(range.clone().build()))), Kind::Ecs);
        let good = kind(definition().node_properties(nodes(range.container(container).build())));
        assert!(matches!(good, Kind::MultiNode { nodes: 3, ref ranges } if ranges[0].targets == "0:"));
    }

    #[test]
    fn names() {
        assert_eq!(parts("arn:aws:batch:r:1:job-definition/d:3"), ("d", Some(3)));
        assert_eq!(parts("arn:aws:batch:r:1:job-definition/d"), ("d", None));
        assert_eq!((parts("d"), parts("d:3"), parts("d:x")), (("d", None), ("d", Some(3)), ("d:x", None)));
    }
}
