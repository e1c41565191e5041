//! The request from which a job came, derived from its description (API `JobDetail`).

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_batch::types::{
    EcsPropertiesDetail, JobDetail, NodeProperties, RetryAction, RetryStrategy, TaskContainerDetails,
};

use super::describe::no_such_part;
use super::{Job, sdk_details, unknown};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::payload::launcher;
use awsb_model::request::{
    ArrayProperties, EcsPropertiesOverride, EvaluateOnExit, JobTimeout, KeyValue, NodeOverrides,
    NodePropertyOverride, Overrides, ResourceRequirement, SubmitRequest,
};
use awsb_model::{self, Consumption, JobId, RunningLimit, Status, SubmissionId, Submitter, TaskIds, Tasks};

/// A job that can be submitted again.
#[derive(Debug, Clone)]
pub struct Resubmission {
    /// Its ID.
    pub id: JobId,
    /// Its state.
    pub status: Status,
    /// The request, without its dependencies, which are over, and without its mark, which was for
    /// one job.
    pub request: SubmitRequest,
    /// Its tasks, for an array or a part of one.
    pub tasks: Option<Tasks>,
    /// The task of a child of an array. The request and the tasks are those of the array.
    pub child: Option<Tasks>,
}

/// The requests from which these jobs came.
///
/// # Errors
/// When Batch does not know one of them, or `bsub` cannot submit such a job.
pub async fn resubmissions(session: &Session, ids: &[JobId]) -> Result<Vec<Resubmission>, Failure> {
    // The description of a child lacks the size of its array.
    let asked: BTreeSet<JobId> = ids.iter().flat_map(|id| [id.whole(), id.clone()]).collect();
    let asked: Vec<JobId> = asked.into_iter().collect();
    let details = sdk_details(session, &asked).await?;
    let known: BTreeMap<&JobId, &JobDetail> =
        asked.iter().zip(&details).filter_map(|(id, detail)| Some((id, detail.as_ref()?))).collect();
    let find = |id: &JobId| known.get(id).copied();
    let of_id = |id: &JobId| {
        let whole = find(&id.whole()).ok_or_else(|| unknown(session, id))?;
        let no_such_part = || no_such_part(id, &Job::from(whole)).unwrap_or_else(|| unknown(session, id));
        resubmission(id, whole, find(id).ok_or_else(no_such_part)?)
    };
    ids.iter().map(of_id).collect()
}

/// `whole` is the job, and `part` too, unless that is a child of it.
fn resubmission(id: &JobId, whole: &JobDetail, part: &JobDetail) -> Result<Resubmission, Failure> {
    let cannot = |why: &str| Failure::failed(format!("submitting the job {id} again: {why}"));
    if id.node_index().is_some() {
        return Err(Failure::usage(format!(
            "{id} is a node of a multi-node job, which cannot run without the \
                                           other nodes"
        ))
        .hint(format!("`--rerun {}` submits the whole job again", id.whole())));
    }
    let detail = whole;
    let mut request = SubmitRequest {
        job_name: detail.job_name().unwrap_or_default().to_owned(),
        job_queue: detail.job_queue().unwrap_or_default().to_owned(),
        job_definition: detail.job_definition().unwrap_or_default().to_owned(),
        share_identifier: detail.share_identifier().map(str::to_owned),
        scheduling_priority_override: detail
            .share_identifier()
            .and(detail.scheduling_priority())
            .filter(|p| *p > 0),
        parameters: sorted(detail.parameters()),
        retry_strategy: detail.retry_strategy().map(retry_strategy).filter(|s| *s != Default::default()),
        timeout: detail
            .timeout()
            .and_then(|t| t.attempt_duration_seconds())
            .map(|s| JobTimeout { attempt_duration_seconds: s.cast_unsigned() }),
        propagate_tags: detail.propagate_tags().filter(|p| *p),
        tags: sorted(detail.tags()),
        ..SubmitRequest::default()
    };
    // The limit of an array ends with it; the new submission has one of its own.
    let consumes = detail.consumable_resource_properties().map(|all| all.consumable_resource_list());
    let consumes = consumes.into_iter().flatten().filter_map(|of| {
        let quantity = of.quantity().and_then(|n| u64::try_from(n).ok())?;
        Some(Consumption { resource: of.consumable_resource()?.to_owned(), quantity })
    });
    let consumes: Vec<_> = consumes.filter(|of| !RunningLimit::is_one(&of.resource)).collect();
    request.set_consumption(&consumes);
    if let Some(nodes) = detail.node_properties() {
        request.node_overrides =
            Some(node_overrides(nodes).ok_or_else(|| cannot("its nodes have no containers"))?);
    } else if let Some(ecs) = detail.ecs_properties() {
        request.ecs_properties_override =
            Some(task_overrides(ecs).ok_or_else(|| cannot("its task has no containers"))?);
    } else if detail.eks_properties().is_some() {
        return Err(cannot("it runs on EKS, and bsub submits no such jobs"));
    } else {
        let container = detail.container().ok_or_else(|| cannot("it has no container of its own"))?;
        let environment = container.environment().iter().map(|v| (v.name(), v.value()));
        let resources = container.resource_requirements().iter().map(|r| (r.r#type(), r.value()));
        request.container_overrides = Some(overrides(container.command(), environment, resources));
    }
    let size = detail.array_properties().and_then(|a| a.size()).map(i32::cast_unsigned);
    request.array_properties = size.map(|size| ArrayProperties { size });
    let status = part.status().and_then(|s| s.as_str().parse().ok()).unwrap_or(Status::Submitted);
    let tasks = match (request.variable(launcher::TASKS_VARIABLE), size) {
        (Some(list), _) => Some(Tasks::from_variable(list)),
        (None, Some(size)) => Some(size.to_string().parse().and_then(Tasks::sized)),
        (None, None) => None,
    };
    let tasks = tasks.transpose().map_err(|e: awsb_model::Invalid| cannot(&format!("its tasks: {e}")))?;
    let child = match (id.array_index(), &tasks) {
        (None, _) => None,
        (Some(index), Some(tasks)) => {
            let task = tasks.ids().get(index).ok_or_else(|| cannot("its array does not have this child"))?;
            Some(tasks.only(TaskIds::from_ids([task]).map_err(|e| cannot(&e.to_string()))?))
        }
        (Some(_), None) => return Err(cannot("it is not a child of an array")),
    };
    Ok(Resubmission { id: id.clone(), status, request, tasks, child })
}

/// The overrides of the container that bsub gave a command, or of the first essential one. The
/// others are as their job definition has them.
fn task_overrides(ecs: &EcsPropertiesDetail) -> Option<EcsPropertiesOverride> {
    let containers: Vec<&TaskContainerDetails> =
        ecs.task_properties().iter().flat_map(|task| task.containers()).collect();
    let is_marked = |container: &&&TaskContainerDetails| {
        container.environment().iter().any(|v| v.name() == Some(SubmissionId::VARIABLE))
    };
    let is_essential = |container: &&&TaskContainerDetails| container.essential() != Some(false);
    let container = containers.iter().find(is_marked).or_else(|| containers.iter().find(is_essential))?;
    let environment = container.environment().iter().map(|v| (v.name(), v.value()));
    let resources = container.resource_requirements().iter().map(|r| (r.r#type(), r.value()));
    let overrides = overrides(container.command(), environment, resources);
    Some(EcsPropertiesOverride::of_container(container.name().map(str::to_owned), overrides))
}

fn node_overrides(nodes: &NodeProperties) -> Option<NodeOverrides> {
    let ranges = nodes.node_range_properties().iter().map(|range| {
        let container = range.container()?;
        let environment = container.environment().iter().map(|v| (v.name(), v.value()));
        let resources = container.resource_requirements().iter().map(|r| (r.r#type(), r.value()));
        Some(NodePropertyOverride {
            target_nodes: range.target_nodes()?.to_owned(),
            container_overrides: overrides(container.command(), environment, resources),
        })
    });
    Some(NodeOverrides {
        num_nodes: nodes.num_nodes()?.cast_unsigned(),
        node_property_overrides: ranges.collect::<Option<_>>()?,
    })
}

fn overrides<'a>(
    command: &[String],
    environment: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>,
    resources: impl Iterator<Item = (Option<&'a aws_sdk_batch::types::ResourceType>, Option<&'a str>)>,
) -> Overrides {
    Overrides {
        command: command.to_vec(),
        environment: environment
            .filter_map(|(name, value)| Some(KeyValue::new(name?, value.unwrap_or_default())))
            // The new submission sets its own submitter and mark.
            .filter(|v| ![SubmissionId::VARIABLE, Submitter::VARIABLE].contains(&v.name.as_str()))
            .filter(|v| !v.name.starts_with(awsb_model::limits::RESERVED_ENV_PREFIX))
            .collect(),
        resource_requirements: resources
            .filter_map(|(kind, value)| {
                let kind =
                    ["VCPU", "MEMORY", "GPU"].into_iter().find(|k| kind.is_some_and(|t| t.as_str() == *k))?;
                Some(ResourceRequirement { kind, value: value?.to_owned() })
            })
            .collect(),
    }
}

fn retry_strategy(strategy: &RetryStrategy) -> awsb_model::request::RetryStrategy {
    awsb_model::request::RetryStrategy {
        attempts: strategy.attempts().and_then(|n| u8::try_from(n).ok()),
        evaluate_on_exit: strategy
            .evaluate_on_exit()
            .iter()
            .map(|rule| EvaluateOnExit {
                on_status_reason: rule.on_status_reason().map(str::to_owned),
                on_reason: rule.on_reason().map(str::to_owned),
                on_exit_code: rule.on_exit_code().map(str::to_owned),
                action: if rule.action() == Some(&RetryAction::Exit) { "EXIT" } else { "RETRY" },
            })
            .collect(),
    }
}

fn sorted(map: Option<&std::collections::HashMap<String, String>>) -> BTreeMap<String, String> {
    let pairs = map.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
    // Tags that belong to AWS cannot be set.
    pairs.filter(|(key, _)| !key.starts_with("aws:")).collect()
}
