//! The request from which a job came, derived from its description (API `JobDetail`).

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_batch::types::{
    EcsPropertiesDetail, JobDefinition, JobDetail, KeyValuePair, NodeProperties, RetryAction, RetryStrategy,
    TaskContainerDetails, TaskContainerProperties,
};

use super::definition::find_revisions;
use super::describe::no_such_part;
use super::{Job, sdk_details, unknown};
use crate::aws::Session;
use crate::ui::{ErrorKind, Failure};
use awsb_model::payload::launcher;
use awsb_model::request::{
    ArrayProperties, EcsPropertiesOverride, EvaluateOnExit, JobTimeout, KeyValue, NodeOverrides,
    NodePropertyOverride, Overrides, ResourceRequirement, SubmitRequest, TaskContainerOverrides,
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
    /// A note about a request that repeats values of its job definition, because nobody could say
    /// which these are.
    pub note: Option<String>,
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
    let definitions = TaskDefinitions::read(session, known.values().copied()).await?;
    let find = |id: &JobId| known.get(id).copied();
    let of_id = |id: &JobId| {
        let whole = find(&id.whole()).ok_or_else(|| unknown(session, id))?;
        let no_such_part = || no_such_part(id, &Job::from(whole)).unwrap_or_else(|| unknown(session, id));
        let definition = definitions.found.get(whole.job_definition().unwrap_or_default());
        let again = resubmission(id, whole, find(id).ok_or_else(no_such_part)?, definition)?;
        Ok(Resubmission { note: definitions.note(whole), ..again })
    };
    ids.iter().map(of_id).collect()
}

/// The job definitions of the jobs of several containers. They tell which values of the containers
/// came with the submission.
struct TaskDefinitions {
    /// Those that Batch has, by their ARNs.
    found: BTreeMap<String, JobDefinition>,
    /// The missing permission to read them.
    denied: Option<Failure>,
}

impl TaskDefinitions {
    /// Reads the job definitions of those jobs that have several containers. A user who can submit
    /// jobs may have no permission to read job definitions.
    async fn read<'j>(session: &Session, jobs: impl Iterator<Item = &'j JobDetail>) -> Result<Self, Failure> {
        let arns: BTreeSet<&str> =
            jobs.filter(|job| has_several(job)).filter_map(JobDetail::job_definition).collect();
        let (found, denied) = match find_revisions(session, &Vec::from_iter(arns)).await {
            Ok(found) => (found, None),
            Err(failure) if failure.kind() == ErrorKind::AccessDenied => (Vec::new(), Some(failure)),
            Err(failure) => return Err(failure),
        };
        let by_arn = |definition: JobDefinition| Some((definition.job_definition_arn.clone()?, definition));
        Ok(Self { found: found.into_iter().filter_map(by_arn).collect(), denied })
    }

    /// A note for a job whose job definition is not here.
    fn note(&self, job: &JobDetail) -> Option<String> {
        let name = job.job_definition().filter(|_| has_several(job))?;
        if self.found.contains_key(name) {
            return None;
        }
        let why = match &self.denied {
            Some(failure) => failure.to_string(),
            None => "Batch does not have it any more".to_owned(),
        };
        Some(format!(
            "the job definition {name} was not read, so all values of the containers are overrides of the new job, \
             also those that came from the job definition ({why})"
        ))
    }
}

fn has_several(job: &JobDetail) -> bool {
    job.ecs_properties().is_some_and(|ecs| containers_of(ecs).count() > 1)
}

/// `whole` is the job, and `part` too, unless that is a child of it. `definition` is its job
/// definition, where that was read.
fn resubmission(
    id: &JobId,
    whole: &JobDetail,
    part: &JobDetail,
    definition: Option<&JobDefinition>,
) -> Result<Resubmission, Failure> {
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
            Some(task_overrides(ecs, definition).ok_or_else(|| cannot("its task has no containers"))?);
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
    Ok(Resubmission { id: id.clone(), status, request, tasks, child, note: None })
}

fn containers_of(ecs: &EcsPropertiesDetail) -> impl Iterator<Item = &TaskContainerDetails> {
    ecs.task_properties().iter().flat_map(|task| task.containers())
}

/// The overrides of the container that bsub gave a command, or of the first essential one, and
/// behind it those of the others: their values that are not in the job definition. Of a job
/// definition that was not read, nobody knows which these are, and all values are overrides.
fn task_overrides(
    ecs: &EcsPropertiesDetail,
    definition: Option<&JobDefinition>,
) -> Option<EcsPropertiesOverride> {
    let containers: Vec<&TaskContainerDetails> = containers_of(ecs).collect();
    let is_marked = |container: &&&TaskContainerDetails| {
        container.environment().iter().any(|v| v.name() == Some(SubmissionId::VARIABLE))
    };
    let is_essential = |container: &&&TaskContainerDetails| container.essential() != Some(false);
    let container = containers.iter().find(is_marked).or_else(|| containers.iter().find(is_essential))?;
    let registered = definition.and_then(|definition| definition.ecs_properties());
    let registered: Vec<&TaskContainerProperties> =
        registered.iter().flat_map(|ecs| ecs.task_properties()).flat_map(|task| task.containers()).collect();
    // Overrides go by the name (API `TaskContainerOverrides`, `name`).
    let others = containers.iter().filter(|other| other.name() != container.name()).filter_map(|other| {
        let name = other.name()?;
        let registered = registered.iter().find(|registered| registered.name() == Some(name));
        let overrides = all_values(other);
        let overrides = match registered {
            Some(registered) => changes_to(registered, overrides),
            None => overrides,
        };
        let has_any = overrides != Overrides::default();
        has_any.then(|| TaskContainerOverrides { name: Some(name.to_owned()), overrides })
    });
    let name = container.name().map(str::to_owned);
    Some(EcsPropertiesOverride::of_container(name, all_values(container)).beside(others))
}

/// The values of a container, as overrides.
fn all_values(container: &TaskContainerDetails) -> Overrides {
    let environment = container.environment().iter().map(|v| (v.name(), v.value()));
    let resources = container.resource_requirements().iter().map(|r| (r.r#type(), r.value()));
    overrides(container.command(), environment, resources)
}

/// The values of a container that its job definition does not have.
fn changes_to(registered: &TaskContainerProperties, mut all: Overrides) -> Overrides {
    if registered.command() == all.command {
        all.command.clear();
    }
    all.environment.retain(|own| {
        let is_own = |v: &KeyValuePair| {
            v.name() == Some(own.name.as_str()) && v.value().unwrap_or_default() == own.value
        };
        !registered.environment().iter().any(is_own)
    });
    all.resource_requirements.retain(|own| {
        let mut requirements = registered.resource_requirements().iter();
        !requirements.any(|r| {
            r.r#type().is_some_and(|kind| kind.as_str() == own.kind) && r.value() == Some(own.value.as_str())
        })
    });
    all
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
