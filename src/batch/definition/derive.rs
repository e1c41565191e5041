//! A job definition that is another one with changes, found again by its name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_batch::operation::register_job_definition::RegisterJobDefinitionInput;
use aws_sdk_batch::types::{JobDefinition, JobDefinitionType, NodeProperties, NodeRangeProperty};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::apply::apply;
use super::{Facts, Kind, find, missing, parts};
use crate::aws::{Session, explain};
use crate::ui::Failure;
use awsb_model::{ContainerChanges, limits};

/// The tag that says what a job definition derives from.
const TAG: &str = "awsb:derived-from";

/// A resource has at most 50 tags (UG `tag-restrictions`).
const TAGS: usize = 50;

/// All nodes.
const EVERY_NODE: &str = "0:";

/// Whether a job definition that is not there yet may be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registering {
    /// It may.
    Allowed,
    /// It may not (`--dry-run`): the request is shown.
    ShownOnly,
}

/// A derived job definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// `NAME:REVISION`; the name alone of one that may not be registered.
    pub job_definition: String,
    /// API `RegisterJobDefinitionRequest`: what would have been sent.
    pub to_register: Option<Value>,
}

/// The kind of the cache's entries: derived name to `NAME:REVISION`.
const KEPT: &str = "derived-definition";

/// The job definition that is `base` with these changes: an earlier one, or else a new one.
///
/// # Errors
/// When `base` cannot have the changes, or Batch refuses.
pub async fn derive(
    session: &Session,
    base: &Facts,
    changes: &ContainerChanges,
    registering: Registering,
) -> Result<Derived, Failure> {
    let same_type = if matches!(base.kind, Kind::MultiNode { .. }) { "multinode" } else { "container" };
    found_or_made(session, base, same_type, changes, registering).await
}

/// The multi-node job definition whose nodes are all as the container of `base`, with these changes, and the
/// target of overrides for all nodes. It is the same for any number of nodes.
///
/// # Errors
/// As [`derive()`].
pub async fn multi_node(
    session: &Session,
    base: &Facts,
    changes: &ContainerChanges,
    registering: Registering,
) -> Result<(Derived, &'static str), Failure> {
    Ok((found_or_made(session, base, "multinode", changes, registering).await?, EVERY_NODE))
}

/// Forgets that there is this derived job definition (`NAME:REVISION`): somebody has deregistered it. Says whether it
/// was known.
pub fn forget(session: &Session, job_definition: &str) -> bool {
    session.cache.drop(KEPT, parts(job_definition).0)
}

async fn found_or_made(
    session: &Session,
    base: &Facts,
    kind: &str,
    changes: &ContainerChanges,
    registering: Registering,
) -> Result<Derived, Failure> {
    let name = derived_name(base, kind, changes);
    let there = |job_definition| Derived { job_definition, to_register: None };
    if let Some(kept) = session.cache.read(KEPT, &name) {
        return Ok(there(kept));
    }
    let job_definition = match find(session, &name).await? {
        Some(found) => format!("{name}:{}", found.revision().unwrap_or(1)),
        None => {
            let definition = find(session, &base.arn).await?.ok_or_else(|| missing(session, &base.arn))?;
            let request = derived(&definition, &base.arn, &name, kind, changes)?;
            match register(session, &name, request, registering).await? {
                Registered::Revision(revision) => format!("{name}:{revision}"),
                Registered::Not(request) => {
                    return Ok(Derived { job_definition: name, to_register: Some(request) });
                }
            }
        }
    };
    session.cache.write(KEPT, &name, &job_definition);
    Ok(there(job_definition))
}

/// The name says it all: the revision of the base, and the changes. The size is in it because the built-in job
/// definition of the local cluster changes with the machine, under the same ARN.
fn derived_name(base: &Facts, kind: &str, changes: &ContainerChanges) -> String {
    let size = base.container().map(|c| (c.vcpus, c.memory_mib));
    let content =
        json!({"base": base.arn, "size": size, "type": kind, "changes": changes.canonical()}).to_string();
    let hash = hex::encode(&Sha256::digest(content)[..6]);
    let tail = format!("-awsb-{hash}");
    let head: String = base.name.chars().take(limits::JOB_DEFINITION_NAME_LENGTH - tail.len()).collect();
    head + &tail
}

/// What is registered: everything that the base has, with the changes.
fn derived(
    base: &JobDefinition,
    arn: &str,
    name: &str,
    kind: &str,
    changes: &ContainerChanges,
) -> Result<RegisterJobDefinitionInput, Failure> {
    let mut container = base.container_properties().cloned();
    if let Some(container) = &mut container {
        apply(container, changes, arn)?;
    }
    let mut nodes = base.node_properties().cloned();
    for range in nodes.iter_mut().flat_map(|n| n.node_range_properties.iter_mut().flatten()) {
        if let Some(container) = &mut range.container {
            apply(container, changes, arn)?;
        }
    }
    if kind == "multinode" && nodes.is_none() {
        let range = NodeRangeProperty::builder().target_nodes(EVERY_NODE).set_container(container.take());
        // SubmitJob says how many they are.
        let two = NodeProperties::builder().num_nodes(2).main_node(0);
        nodes = Some(two.node_range_properties(range.build()).build());
    }
    RegisterJobDefinitionInput::builder()
        .job_definition_name(name)
        .r#type(JobDefinitionType::from(kind))
        .set_container_properties(container)
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

/// The base's tags and ours. Tags that begin with `aws:`, such as CloudFormation's, are AWS's own to give.
fn tags(base: &JobDefinition, arn: &str) -> HashMap<String, String> {
    let mut tags = base.tags().cloned().unwrap_or_default();
    tags.retain(|name, _| !name.starts_with("aws:"));
    if tags.len() < TAGS {
        tags.insert(TAG.to_owned(), arn.to_owned());
    }
    tags
}

/// Registers. Two at once make two equal revisions, which harms nobody: either serves. That is also why the
/// SDK may try again after a lost answer, and it does so when it is throttled.
async fn register(
    session: &Session,
    name: &str,
    request: RegisterJobDefinitionInput,
    registering: Registering,
) -> Result<Registered, Failure> {
    let doing = format!("registering the job definition {name}");
    let body = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&body);
    let call = session
        .batch
        .register_job_definition()
        .set_job_definition_name(request.job_definition_name)
        .set_type(request.r#type)
        .set_container_properties(request.container_properties)
        .set_node_properties(request.node_properties)
        .set_parameters(request.parameters)
        .set_scheduling_priority(request.scheduling_priority)
        .set_retry_strategy(request.retry_strategy)
        .set_propagate_tags(request.propagate_tags)
        .set_timeout(request.timeout)
        .set_platform_capabilities(request.platform_capabilities)
        .set_consumable_resource_properties(request.consumable_resource_properties)
        .set_tags(request.tags)
        .customize()
        .map_request(move |http| {
            let bytes = http.body().bytes().unwrap_or_default();
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
            if registering == Registering::ShownOnly { Err(ShownOnly) } else { Ok(http) }
        });
    let answer = call.send().await;
    let body = std::mem::take(&mut *body.lock().unwrap_or_else(PoisonError::into_inner));
    match answer {
        Ok(answer) => Ok(Registered::Revision(answer.revision().unwrap_or(1))),
        Err(_) if registering == Registering::ShownOnly && !body.is_empty() => serde_json::from_slice(&body)
            .map(Registered::Not)
            .map_err(|e| Failure::failed(format!("{doing}: {e}"))),
        Err(e) => {
            let (length, limit) = (body.len(), limits::REGISTER_JOB_DEFINITION_BYTES);
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

enum Registered {
    Revision(i32),
    Not(Value),
}

/// Why a request is not sent that is to be shown alone.
#[derive(Debug, thiserror::Error)]
#[error("it is shown, not sent")]
struct ShownOnly;

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{
        ContainerProperties, JobTimeout, PlatformCapability, RetryStrategy, builders::JobDefinitionBuilder,
    };

    use super::super::ContainerFacts;
    use super::*;

    const ARN: &str = "arn:aws:batch:eu-west-1:123456789012:job-definition/genomics:3";

    fn facts(name: &str, arn: &str) -> Facts {
        let container = Kind::Container(ContainerFacts::default());
        Facts { arn: arn.to_owned(), name: name.to_owned(), kind: container, fargate: false }
    }

    fn image(name: &str) -> ContainerChanges {
        ContainerChanges { image: name.parse().ok(), ..ContainerChanges::default() }
    }

    #[test]
    fn the_name_is_that_of_its_content() {
        let base = facts("genomics", ARN);
        let name = derived_name(&base, "container", &image("busybox"));
        assert_eq!(name, derived_name(&base, "container", &image("busybox")));
        assert!(name.starts_with("genomics-awsb-") && name.len() == "genomics-awsb-".len() + 12, "{name}");
        assert_ne!(name, derived_name(&base, "container", &image("ubuntu")));
        assert_ne!(name, derived_name(&base, "multinode", &image("busybox")));
        assert_ne!(name, derived_name(&facts("genomics", "…/genomics:4"), "container", &image("busybox")));
        let long = derived_name(&facts(&"x".repeat(128), ARN), "container", &image("busybox"));
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
        let made = derived(&base().build(), ARN, "n", "container", &image("new"))?;
        let container = made.container_properties().unwrap();
        assert_eq!((container.image(), container.privileged()), (Some("new"), Some(true)));
        assert_eq!(made.retry_strategy().and_then(RetryStrategy::attempts), Some(3));
        assert_eq!(made.timeout().and_then(JobTimeout::attempt_duration_seconds), Some(60));
        assert_eq!((made.scheduling_priority(), made.propagate_tags()), (Some(7), Some(true)));
        assert_eq!(made.platform_capabilities(), [PlatformCapability::Ec2]);
        let tags = made.tags().unwrap();
        assert_eq!((tags.len(), tags["team"].as_str(), tags[TAG].as_str()), (2, "x", ARN));
        Ok(())
    }

    #[test]
    fn nodes_of_a_container() -> Result<(), Failure> {
        let made = derived(&base().build(), ARN, "n", "multinode", &image("new"))?;
        assert!(made.container_properties().is_none());
        let nodes = made.node_properties().unwrap();
        assert_eq!((nodes.num_nodes(), nodes.main_node()), (Some(2), Some(0)));
        let range = &nodes.node_range_properties()[0];
        assert_eq!((range.target_nodes(), range.container().unwrap().image()), (Some("0:"), Some("new")));
        Ok(())
    }
}
