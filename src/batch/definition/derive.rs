//! A job definition that is another one with changes. It is found again by its name, which is a
//! hash of its content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_batch::operation::register_job_definition::RegisterJobDefinitionInput;
use aws_sdk_batch::operation::register_job_definition::builders::RegisterJobDefinitionFluentBuilder;
use aws_sdk_batch::types::{JobDefinition, JobDefinitionType, NodeProperties, NodeRangeProperty};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::apply::{apply, apply_to_range, apply_to_task};
use super::summary::{DefinitionKind, DefinitionSummary, find, missing, parts};
use crate::aws::{Session, explain};
use crate::ui::Failure;
use awsb_model::{ContainerChanges, Image, NodeGroup, TargetContainer, limits};

/// The tag of a derived job definition with the ARN of the one that it derives from.
pub const DERIVED_FROM_TAG: &str = "awsb:derived-from";

/// A resource has at most 50 tags (UG `tag-restrictions`).
const TAGS: usize = 50;

/// The bytes of the hash in the name of a derived job definition.
const HASH_BYTES: usize = 6;

/// The targets of a node range with all nodes.
const EVERY_NODE: &str = "0:";

/// The job definition that a job takes.
#[derive(Debug, Clone, PartialEq)]
pub enum JobDefinitionRef {
    /// A job definition that exists: `NAME`, `NAME:REVISION` or an ARN.
    Existing(String),
    /// A job definition that has to be registered first.
    Unregistered(Box<Registration>),
}

/// The request that registers a derived job definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    name: String,
    input: RegisterJobDefinitionInput,
}

impl JobDefinitionRef {
    /// `NAME:REVISION`, or the name alone of a job definition that has no revision yet.
    pub fn name(&self) -> &str {
        match self {
            Self::Existing(name) => name,
            Self::Unregistered(registration) => &registration.name,
        }
    }

    /// The request that has to be sent before the job definition exists.
    pub fn registration(&self) -> Option<&Registration> {
        match self {
            Self::Existing(_) => None,
            Self::Unregistered(registration) => Some(registration),
        }
    }
}

/// The kind of the cache's entries: from the derived name to `NAME:REVISION`.
const CACHE_KIND: &str = "derived-definition";

/// Looks for the job definition that is `base` with these changes, of a task those of the container
/// `target`. Nothing is registered.
///
/// # Errors
/// When `base` cannot have the changes, or Batch cannot be asked.
pub(super) async fn inspect_derived(
    session: &Session,
    base: &DefinitionSummary,
    changes: &ContainerChanges,
    target: Option<&TargetContainer>,
) -> Result<JobDefinitionRef, Failure> {
    let is_multi_node = matches!(base.kind, DefinitionKind::MultiNode { .. });
    let target = target.map_or(Target::All, Target::Container);
    inspect(session, base, if is_multi_node { "multinode" } else { "container" }, changes, target).await
}

/// Looks for the multi-node job definition whose nodes are all as the container of `base` with
/// these changes. With a single range of all nodes it is the same for any number of nodes. With
/// groups of nodes, their images differ, and `targets` are the node ranges of the first nodes and
/// of each group.
///
/// # Errors
/// As [`inspect_derived`].
pub(super) async fn inspect_multi_node(
    session: &Session,
    base: &DefinitionSummary,
    changes: &ContainerChanges,
    targets: &[String],
    groups: &[NodeGroup],
) -> Result<JobDefinitionRef, Failure> {
    let images = groups.iter().map(|group| group.image.clone());
    let ranges = targets.iter().cloned().zip(std::iter::once(None).chain(images)).collect::<Vec<_>>();
    inspect(session, base, "multinode", changes, Target::Nodes(&ranges)).await
}

/// The part of a job definition that a derived one changes.
#[derive(Debug, Clone, Copy)]
enum Target<'a> {
    /// All of its containers.
    All,
    /// One container of its task.
    Container(&'a TargetContainer),
    /// Its container, which becomes that of node ranges, each with an image of its own.
    Nodes(&'a [(String, Option<Image>)]),
}

/// Removes a derived job definition (`NAME:REVISION`) from the cache, because somebody has
/// deregistered it. Returns whether it was cached.
pub fn forget(session: &Session, job_definition: &str) -> bool {
    session.cache.drop(CACHE_KIND, parts(job_definition).0)
}

/// Whether a name is that of a derived job definition: `NAME-awsb-` and twelve hexadecimal digits.
pub(super) fn is_derived_name(name: &str) -> bool {
    name.rsplit_once("-awsb-").is_some_and(|(_, hash)| {
        hash.len() == 2 * HASH_BYTES && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// The active revision of a derived job definition (`NAME:REVISION`) that somebody has deregistered
/// since it was chosen, as `awsb prune` does. Where there is none, the revision is registered
/// again. `None`: it is not a derived job definition, nobody has deregistered it, or Batch does not
/// have it any more.
pub(in crate::batch) async fn restore(session: &Session, job_definition: &str) -> Option<String> {
    let (name, revision) = parts(job_definition);
    if !is_derived_name(name) {
        return None;
    }
    if let Some(active) = find(session, name).await.ok()? {
        let active = active.revision().filter(|active| Some(*active) != revision)?;
        return Some(cache_revision(session, name, active));
    }
    let call = session.batch.describe_job_definitions().job_definitions(job_definition);
    let answer = call.send().await.ok()?;
    let gone = answer.job_definitions().iter().find(|d| d.status() == Some("INACTIVE"))?;
    let registration = Registration { name: name.to_owned(), input: again(gone, name)? };
    register_definition(session, &registration).await.ok()
}

/// The request that registers a derived job definition once more.
fn again(definition: &JobDefinition, name: &str) -> Option<RegisterJobDefinitionInput> {
    let kind = definition.r#type()?;
    let tags = definition.tags().filter(|tags| tags.contains_key(DERIVED_FROM_TAG))?;
    RegisterJobDefinitionInput::builder()
        .job_definition_name(name)
        .r#type(JobDefinitionType::from(kind))
        .set_container_properties(definition.container_properties().cloned())
        .set_ecs_properties(definition.ecs_properties().cloned())
        .set_node_properties(definition.node_properties().cloned())
        .set_parameters(definition.parameters().filter(|p| !p.is_empty()).cloned())
        .set_scheduling_priority(definition.scheduling_priority())
        .set_retry_strategy(definition.retry_strategy().cloned())
        .set_propagate_tags(definition.propagate_tags())
        .set_timeout(definition.timeout().cloned())
        .set_platform_capabilities(definition.platform_capabilities.clone().filter(|all| !all.is_empty()))
        .set_consumable_resource_properties(definition.consumable_resource_properties().cloned())
        .set_tags(Some(tags.clone()))
        .build()
        .ok()
}

async fn inspect(
    session: &Session,
    base: &DefinitionSummary,
    kind: &str,
    changes: &ContainerChanges,
    target: Target<'_>,
) -> Result<JobDefinitionRef, Failure> {
    let name = derived_name(base, kind, changes, target);
    if let Some(cached) = session.cache.read(CACHE_KIND, &name) {
        return Ok(JobDefinitionRef::Existing(cached));
    }
    if let Some(found) = find(session, &name).await? {
        let revision = found.revision().unwrap_or(1);
        return Ok(JobDefinitionRef::Existing(cache_revision(session, &name, revision)));
    }
    let definition = find(session, &base.arn).await?.ok_or_else(|| missing(session, &base.arn))?;
    let input = derived(&definition, &base.arn, &name, kind, changes, target)?;
    Ok(JobDefinitionRef::Unregistered(Box::new(Registration { name, input })))
}

/// Caches the revision of a derived job definition, and returns `NAME:REVISION`.
fn cache_revision(session: &Session, name: &str, revision: i32) -> String {
    let job_definition = format!("{name}:{revision}");
    session.cache.write(CACHE_KIND, name, &job_definition);
    job_definition
}

/// The name of a derived job definition, with a hash of the revision of the base and of the
/// changes. The size is hashed, too, because the built-in job definition of the local cluster
/// changes with the machine, under the same ARN.
fn derived_name(
    base: &DefinitionSummary,
    kind: &str,
    changes: &ContainerChanges,
    target: Target<'_>,
) -> String {
    let size = base.container().map(|c| (c.vcpus, c.memory_mib));
    let mut content = json!({"base": base.arn, "size": size, "type": kind, "changes": changes.canonical()});
    match target {
        Target::Container(target) => content["container"] = json!(target.name),
        // The usual multi-node job has one range of all nodes.
        Target::Nodes(ranges) if ranges.len() > 1 => content["ranges"] = json!(ranges),
        Target::Nodes(_) | Target::All => {}
    }
    let hash = hex::encode(&Sha256::digest(content.to_string())[..HASH_BYTES]);
    let tail = format!("-awsb-{hash}");
    let head: String = base.name.chars().take(limits::JOB_DEFINITION_NAME_LENGTH - tail.len()).collect();
    head + &tail
}

/// The request for a derived job definition: everything that the base has, with the changes.
fn derived(
    base: &JobDefinition,
    arn: &str,
    name: &str,
    kind: &str,
    changes: &ContainerChanges,
    target: Target<'_>,
) -> Result<RegisterJobDefinitionInput, Failure> {
    let mut ecs = base.ecs_properties().cloned();
    if let (Some(ecs), Target::Container(target)) = (&mut ecs, target) {
        apply_to_task(ecs, target.name.as_deref(), changes, arn)?;
    }
    let mut container = base.container_properties().cloned();
    if let Some(container) = &mut container {
        apply(container, changes, arn)?;
    }
    let mut nodes = base.node_properties().cloned();
    for range in nodes.iter_mut().flat_map(|n| n.node_range_properties.iter_mut().flatten()) {
        apply_to_range(range, changes, arn)?;
    }
    if kind == "multinode" && nodes.is_none() {
        let every = [(EVERY_NODE.to_owned(), None)];
        let ranges = if let Target::Nodes(ranges) = target { ranges } else { &every };
        let container = container.take();
        let ranges: Vec<NodeRangeProperty> = ranges
            .iter()
            .map(|(targets, image)| {
                let mut container = container.clone();
                if let (Some(container), Some(image)) = (&mut container, image) {
                    container.image = Some(image.to_string());
                }
                NodeRangeProperty::builder().target_nodes(targets).set_container(container).build()
            })
            .collect();
        // SubmitJob sets the number of nodes. The ranges have to be there.
        let least =
            ranges.last().and_then(|range| range.target_nodes()?.split(':').next()?.parse::<i32>().ok());
        let count = least.unwrap_or(0).saturating_add(1).max(2);
        let properties = NodeProperties::builder().num_nodes(count).main_node(0);
        nodes = Some(properties.set_node_range_properties(Some(ranges)).build());
    }
    RegisterJobDefinitionInput::builder()
        .job_definition_name(name)
        .r#type(JobDefinitionType::from(kind))
        .set_container_properties(container)
        .set_ecs_properties(ecs)
        .set_node_properties(nodes)
        .set_parameters(base.parameters().filter(|p| !p.is_empty()).cloned())
        .set_scheduling_priority(base.scheduling_priority())
        .set_retry_strategy(base.retry_strategy().cloned())
        .set_propagate_tags(base.propagate_tags())
        .set_timeout(base.timeout().cloned())
        .set_platform_capabilities(base.platform_capabilities.clone().filter(|all| !all.is_empty()))
        .set_consumable_resource_properties(base.consumable_resource_properties().cloned())
        .set_tags(Some(tags(base, arn)))
        .build()
        .map_err(|e| Failure::failed(format!("making the job definition {name}: {e}")))
}

/// The tags of the base, and our own. Only AWS can set tags that begin with `aws:`, such as
/// CloudFormation's.
fn tags(base: &JobDefinition, arn: &str) -> HashMap<String, String> {
    let mut tags = base.tags().cloned().unwrap_or_default();
    tags.retain(|name, _| !name.starts_with("aws:"));
    if tags.len() < TAGS {
        tags.insert(DERIVED_FROM_TAG.to_owned(), arn.to_owned());
    }
    tags
}

/// Registers a derived job definition, and returns its `NAME:REVISION`.
///
/// Two registrations at the same time make two equal revisions, and a job can use either. For the
/// same reason the SDK may repeat the call after a lost reply, as it does when it is throttled.
///
/// # Errors
/// When the request is too long, or Batch refuses it.
pub async fn register_definition(session: &Session, registration: &Registration) -> Result<String, Failure> {
    let Registration { name, input } = registration;
    match call(session, input.clone()).send().await {
        Ok(answer) => Ok(cache_revision(session, name, answer.revision().unwrap_or(1))),
        Err(e) => {
            let doing = doing(name);
            let length = body(session, input.clone()).await.len();
            let limit = limits::REGISTER_JOB_DEFINITION_BYTES;
            if length > limit {
                return Err(Failure::usage(format!(
                    "{doing}: it is {length} bytes long, and Batch accepts at most {limit} (24 KiB)"
                ))
                .hint(
                    "give fewer of --mount, --efs, --secret and --ulimit, or derive from a smaller job \
                       definition",
                ));
            }
            Err(explain(session, &doing, &e))
        }
    }
}

/// The request of a registration in the shape of the API (`RegisterJobDefinitionRequest`), as
/// `--dry-run` prints it. Nothing is sent.
///
/// # Errors
/// When the SDK cannot write the request.
pub async fn registration_request(session: &Session, registration: &Registration) -> Result<Value, Failure> {
    let body = body(session, registration.input.clone()).await;
    serde_json::from_slice(&body).map_err(|e| Failure::failed(format!("{}: {e}", doing(&registration.name))))
}

/// The operation in the words of messages.
fn doing(name: &str) -> String {
    format!("registering the job definition {name}")
}

/// The body of the request as the SDK writes it; empty if the SDK cannot write it. The request is
/// not sent.
async fn body(session: &Session, input: RegisterJobDefinitionInput) -> Vec<u8> {
    let body = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&body);
    let call = call(session, input).customize().map_request(move |http| -> Result<_, NotSent> {
        let bytes = http.body().bytes().unwrap_or_default();
        *written.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        Err(NotSent)
    });
    // The call always fails, because its request is not sent.
    let _ = call.send().await;
    std::mem::take(&mut *body.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The SDK's call for a request.
fn call(session: &Session, input: RegisterJobDefinitionInput) -> RegisterJobDefinitionFluentBuilder {
    session
        .batch
        .register_job_definition()
        .set_job_definition_name(input.job_definition_name)
        .set_type(input.r#type)
        .set_container_properties(input.container_properties)
        .set_ecs_properties(input.ecs_properties)
        .set_node_properties(input.node_properties)
        .set_parameters(input.parameters)
        .set_scheduling_priority(input.scheduling_priority)
        .set_retry_strategy(input.retry_strategy)
        .set_propagate_tags(input.propagate_tags)
        .set_timeout(input.timeout)
        .set_platform_capabilities(input.platform_capabilities)
        .set_consumable_resource_properties(input.consumable_resource_properties)
        .set_tags(input.tags)
}

/// The error of a request that is written and not sent.
#[derive(Debug, thiserror::Error)]
#[error("the request is not sent")]
struct NotSent;

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{
        ContainerProperties, EcsProperties, EcsTaskProperties, JobTimeout, PlatformCapability, RetryStrategy,
        builders::JobDefinitionBuilder,
    };

    use super::super::summary::{ContainerSummary, JobPlatform};
    use super::*;

    const ARN: &str = "arn:aws:batch:eu-west-1:123456789012:job-definition/genomics:3";

    fn summary(name: &str, arn: &str) -> DefinitionSummary {
        let container = DefinitionKind::Container(ContainerSummary::default());
        DefinitionSummary {
            arn: arn.to_owned(),
            name: name.to_owned(),
            kind: container,
            platform: JobPlatform::Ec2,
            consumes: Vec::new(),
        }
    }

    fn image(name: &str) -> ContainerChanges {
        ContainerChanges { image: name.parse().ok(), ..ContainerChanges::default() }
    }

    #[test]
    fn a_derived_job_definition_of_a_task_is_registered_again_with_its_task() {
        let ecs = EcsProperties::builder().task_properties(EcsTaskProperties::builder().build()).build();
        let gone = JobDefinition::builder().r#type("container").ecs_properties(ecs.clone());
        let gone = gone.tags(DERIVED_FROM_TAG, ARN).build();
        let input = again(&gone, "genomics-awsb-0123456789ab").expect("a request");
        assert_eq!(input.ecs_properties(), Some(&ecs));
    }

    #[test]
    fn the_name_is_that_of_its_content() {
        let base = summary("genomics", ARN);
        let name = derived_name(&base, "container", &image("busybox"), Target::All);
        assert_eq!(name, derived_name(&base, "container", &image("busybox"), Target::All));
        assert!(name.starts_with("genomics-awsb-") && name.len() == "genomics-awsb-".len() + 12, "{name}");
        assert_ne!(name, derived_name(&base, "container", &image("ubuntu"), Target::All));
        assert_ne!(name, derived_name(&base, "multinode", &image("busybox"), Target::All));
        assert_ne!(
            name,
            derived_name(&summary("genomics", "…/genomics:4"), "container", &image("busybox"), Target::All)
        );
        assert!(is_derived_name(&name));
        for other in
            ["genomics", "genomics-awsb-", "x-awsb-0123456789ag", "x-awsb-0123456789abc", "awsb-0123"]
        {
            assert!(!is_derived_name(other), "{other}");
        }
        let long = derived_name(&summary(&"x".repeat(128), ARN), "container", &image("busybox"), Target::All);
        assert_eq!(long.len(), 128);
    }

    fn base() -> JobDefinitionBuilder {
        JobDefinition::builder()
            .container_properties(ContainerProperties::builder().image("old").privileged(true).build())
            .retry_strategy(RetryStrategy::builder().attempts(3).build())
            .timeout(JobTimeout::builder().attempt_duration_seconds(60).build())
            .parameters("a", "1")
            .platform_capabilities(PlatformCapability::Ec2)
            .scheduling_priority(7)
            .propagate_tags(true)
            .tags("team", "x")
            .tags("aws:cloudformation:stack-name", "s")
    }

    #[test]
    fn everything_else_is_the_bases() -> Result<(), Failure> {
        let made = derived(&base().build(), ARN, "n", "container", &image("new"), Target::All)?;
        let container = made.container_properties().unwrap();
        assert_eq!((container.image(), container.privileged()), (Some("new"), Some(true)));
        assert_eq!(made.retry_strategy().and_then(RetryStrategy::attempts), Some(3));
        assert_eq!(made.timeout().and_then(JobTimeout::attempt_duration_seconds), Some(60));
        assert_eq!((made.scheduling_priority(), made.propagate_tags()), (Some(7), Some(true)));
        assert_eq!(made.platform_capabilities(), [PlatformCapability::Ec2]);
        let tags = made.tags().unwrap();
        assert_eq!((tags.len(), tags["team"].as_str(), tags[DERIVED_FROM_TAG].as_str()), (2, "x", ARN));
        Ok(())
    }

    #[test]
    fn nodes_of_a_container() -> Result<(), Failure> {
        let made = derived(&base().build(), ARN, "n", "multinode", &image("new"), Target::All)?;
        assert!(made.container_properties().is_none());
        let nodes = made.node_properties().unwrap();
        assert_eq!((nodes.num_nodes(), nodes.main_node()), (Some(2), Some(0)));
        let range = &nodes.node_range_properties()[0];
        assert_eq!((range.target_nodes(), range.container().unwrap().image()), (Some("0:"), Some("new")));
        Ok(())
    }
}
