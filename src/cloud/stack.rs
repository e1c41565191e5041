//! Stacks of CloudFormation, as far as they are clusters.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Stack as Described, TemplateStage};
pub use awsb_model::cluster::CLUSTER_TAG;
use serde::Serialize;

use super::journal::is_own_change_set;
use super::status::{Phase, StackStatus};
use crate::aws::{Pages, Session, explain, is_missing_stack};
use crate::ui::Failure;

/// The tag that a stack of ParallelCluster has. Its value is ParallelCluster's version.
const PARALLELCLUSTER_TAG: &str = "parallelcluster:version";
/// The tag of ParallelCluster 2, which has it on its stack in place of the other.
const PARALLELCLUSTER_2_TAG: &str = "Version";

/// A stack (API `Stack`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stack {
    /// Its ARN, which still names it after its deletion.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: StackStatus,
    /// The reason for this state; AWS may leave it out.
    pub status_reason: Option<String>,
    /// When it was created, in milliseconds since the epoch.
    pub created_at: Option<i64>,
    /// When it was updated last, in milliseconds since the epoch.
    pub updated_at: Option<i64>,
    /// Whether it cannot be deleted.
    pub is_protected: bool,
    /// The change set by which it was created or updated last.
    pub change_set: Option<String>,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The tool that made a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Maker {
    /// `bcluster`.
    Awsb,
    /// ParallelCluster, with the scheduler AWS Batch.
    ParallelCluster,
    /// Another tool, or ParallelCluster with another scheduler.
    Other,
}

impl Stack {
    /// The tool that made it.
    pub fn maker(&self) -> Maker {
        let is_parallelcluster = self.tags.contains_key(PARALLELCLUSTER_TAG)
            || (self.name.starts_with("parallelcluster-") && self.tags.contains_key(PARALLELCLUSTER_2_TAG));
        // A stack has no tags before its first change set is executed.
        let is_planned =
            self.status.phase() == Phase::Review && self.change_set.as_deref().is_some_and(is_own_change_set);
        if self.tags.contains_key(CLUSTER_TAG) || is_planned {
            Maker::Awsb
        } else if is_parallelcluster && self.fact("Scheduler") == Some("awsbatch") {
            Maker::ParallelCluster
        } else {
            Maker::Other
        }
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        self.tags.get(CLUSTER_TAG).map_or_else(
            || match self.maker() {
                // ParallelCluster 2 called the stack of the cluster NAME so.
                Maker::ParallelCluster => self.name.strip_prefix("parallelcluster-").unwrap_or(&self.name),
                Maker::Awsb | Maker::Other => &self.name,
            },
            String::as_str,
        )
    }

    /// An output, or else a parameter of this name.
    pub fn fact(&self, key: &str) -> Option<&str> {
        let found = self.outputs.get(key).or_else(|| self.parameters.get(key));
        found.map(String::as_str).filter(|value| !value.is_empty() && *value != "NONE")
    }
}

impl From<Described> for Stack {
    fn from(stack: Described) -> Self {
        let pairs = |pairs: Vec<(Option<String>, Option<String>)>| {
            pairs.into_iter().filter_map(|(key, value)| Some((key?, value?))).collect()
        };
        let millis = |time: Option<aws_smithy_types::DateTime>| time.and_then(|time| time.to_millis().ok());
        Self {
            id: stack.stack_id.unwrap_or_default(),
            name: stack.stack_name.unwrap_or_default(),
            status: StackStatus::from(stack.stack_status.map_or_else(String::new, |s| s.as_str().to_owned())),
            status_reason: stack.stack_status_reason,
            created_at: millis(stack.creation_time),
            updated_at: millis(stack.last_updated_time),
            is_protected: stack.enable_termination_protection.unwrap_or_default(),
            change_set: stack.change_set_id,
            parameters: pairs(
                stack
                    .parameters
                    .unwrap_or_default()
                    .into_iter()
                    .map(|p| (p.parameter_key, p.parameter_value))
                    .collect(),
            ),
            outputs: pairs(
                stack
                    .outputs
                    .unwrap_or_default()
                    .into_iter()
                    .map(|o| (o.output_key, o.output_value))
                    .collect(),
            ),
            tags: pairs(stack.tags.unwrap_or_default().into_iter().map(|t| (t.key, t.value)).collect()),
        }
    }
}

/// The stack with this name or ID. `None`: there is none, which CloudFormation calls a
/// ValidationError.
///
/// # Errors
/// When CloudFormation cannot be asked.
pub async fn find(session: &Session, name: &str) -> Result<Option<Stack>, Failure> {
    match session.cloudformation.describe_stacks().stack_name(name).send().await {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next().map(Stack::from)),
        Err(e) if is_missing_stack(&e) => Ok(None),
        Err(e) => Err(explain(session, &format!("reading the CloudFormation stack {name}"), &e)),
    }
}

/// All stacks of the account and region that exist.
///
/// # Errors
/// When CloudFormation cannot be asked.
pub async fn all(session: &Session) -> Result<Vec<Stack>, Failure> {
    let mut stacks = Vec::new();
    let call = session.cloudformation.describe_stacks();
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| e.explain(session, "listing the CloudFormation stacks"))?;
        stacks.extend(page.stacks.unwrap_or_default().into_iter().map(Stack::from));
    }
    Ok(stacks)
}

/// A resource of a stack (API `StackResourceSummary`). It is serialised under AWS's field names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StackResource {
    /// Its name in the template.
    pub logical_resource_id: String,
    /// Its name or ID in AWS; not yet there for one that is being made.
    pub physical_resource_id: Option<String>,
    /// Such as `AWS::Batch::JobQueue`.
    pub resource_type: String,
    /// Such as `CREATE_COMPLETE`.
    pub resource_status: String,
    /// The reason for this state; AWS may leave it out.
    pub resource_status_reason: Option<String>,
}

/// The resources of a stack (name or ID).
///
/// # Errors
/// When CloudFormation cannot be asked or has no such stack.
pub async fn resources(session: &Session, stack: &str) -> Result<Vec<StackResource>, Failure> {
    let mut resources = Vec::new();
    let call = session.cloudformation.list_stack_resources().stack_name(stack);
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| e.explain(session, &format!("listing the resources of the stack {stack}")))?;
        resources.extend(page.stack_resource_summaries.unwrap_or_default().into_iter().map(|resource| {
            StackResource {
                logical_resource_id: resource.logical_resource_id.unwrap_or_default(),
                physical_resource_id: resource.physical_resource_id.filter(|id| !id.is_empty()),
                resource_type: resource.resource_type.unwrap_or_default(),
                resource_status: resource.resource_status.map_or_else(String::new, |s| s.as_str().to_owned()),
                resource_status_reason: resource.resource_status_reason,
            }
        }));
    }
    Ok(resources)
}

/// The template of a stack (name or ID), as it was sent.
///
/// # Errors
/// When CloudFormation cannot be asked or has no such stack.
pub async fn template(session: &Session, stack: &str) -> Result<String, Failure> {
    let call = session.cloudformation.get_template().stack_name(stack);
    let answer = call.template_stage(TemplateStage::Original).send().await;
    let answer =
        answer.map_err(|e| explain(session, &format!("reading the template of the stack {stack}"), &e))?;
    Ok(answer.template_body.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(name: &str, tags: &[(&str, &str)], parameters: &[(&str, &str)]) -> Stack {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Stack { name: name.into(), tags: pairs(tags), parameters: pairs(parameters), ..Stack::default() }
    }

    /// A stack that has nothing but a change set.
    fn planned(change_set: &str) -> Stack {
        let change_set = format!("arn:aws:cloudformation:eu-west-1:111122223333:changeSet/{change_set}/1");
        Stack { status: "REVIEW_IN_PROGRESS".into(), change_set: Some(change_set), ..stack("lab", &[], &[]) }
    }

    #[test]
    fn who_made_a_stack_and_what_the_cluster_is_called() {
        let batch = [("Scheduler", "awsbatch")];
        for (stack, maker, cluster) in [
            (stack("lab", &[("awsb:cluster", "lab")], &batch), Maker::Awsb, "lab"),
            (stack("hpc", &[("parallelcluster:version", "3.12.0")], &batch), Maker::ParallelCluster, "hpc"),
            (stack("parallelcluster-hpc", &[("Version", "2.11.9")], &batch), Maker::ParallelCluster, "hpc"),
            (
                stack("hpc", &[("parallelcluster:version", "3.12.0")], &[("Scheduler", "slurm")]),
                Maker::Other,
                "hpc",
            ),
            (stack("web", &[("Version", "2")], &batch), Maker::Other, "web"),
            (planned("awsb-0a5b7a6c-6a6c-4b54-9d5e-0f0a0b0c0d0e"), Maker::Awsb, "lab"),
            (planned("awsb-website"), Maker::Other, "lab"),
            (planned("mine"), Maker::Other, "lab"),
        ] {
            assert_eq!((stack.maker(), stack.cluster()), (maker, cluster), "{stack:?}");
        }
    }
}
