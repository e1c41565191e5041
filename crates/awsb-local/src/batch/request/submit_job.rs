//! SubmitJob: checked, and merged with its job definition.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::consumables;
use super::definition::{Definition, priority};
use super::dependencies::{self, JobDependency};
use super::integers::check_integers;
use super::nodes::{self, Node, NodeOverrides};
use super::platform::{self, Platforms};
use super::retry::{RetryStrategy, Timeout, retry, timeout_s};
use super::shape::{Overrides, check_platform_size, merge, not_there, resources, shape, to_value};
use super::spec::{Spec, SubmitPlan};
use super::tags::{check_propagation, check_tags};
use super::task::{EcsPropertiesOverride, Task, too_long};
use crate::batch::container;
use crate::batch::model::{Line, Nodes, Terms};
use crate::capacity::Resources;
use crate::http::protocol::ApiError;
use awsb_model::{JobName, limits};

/// API: SubmitJobRequest, as far as it decides anything here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitJob {
    job_name: Option<String>,
    job_queue: Option<String>,
    job_definition: Option<String>,
    array_properties: Option<ArrayProperties>,
    depends_on: Option<Vec<JobDependency>>,
    parameters: Option<BTreeMap<String, String>>,
    container_overrides: Option<Overrides>,
    node_overrides: Option<NodeOverrides>,
    eks_properties_override: Option<Value>,
    ecs_properties_override: Option<EcsPropertiesOverride>,
    consumable_resource_properties_override: Option<Value>,
    retry_strategy: Option<RetryStrategy>,
    timeout: Option<Timeout>,
    tags: Option<BTreeMap<String, String>>,
    propagate_tags: Option<bool>,
    share_identifier: Option<String>,
    scheduling_priority_override: Option<i32>,
}

#[derive(Debug, Clone, Deserialize)]
struct ArrayProperties {
    size: Option<i64>,
}

/// A job queue, as far as a submission to it depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it takes new jobs (API: JobQueueDetail.state).
    pub enabled: bool,
    /// Whether it has a fair-share policy.
    pub shares: bool,
    /// The platform of its compute environments (API: PlatformCapability).
    pub platform: &'static str,
}

/// A request whose integers and flags have been checked, so that a refusal names the member.
///
/// # Errors
/// `ClientException` or `SerializationException`, when one of them is of another type.
pub fn checked_submission(request: Value) -> Result<Value, ApiError> {
    check_integers(&request)?;
    check_propagation(&request)?;
    Ok(request)
}

/// The queue and the job definition that a request names.
pub fn names(request: &SubmitJob) -> Result<(&str, &str), ApiError> {
    let given = |value: &Option<String>| value.as_ref().is_some_and(|v| !v.is_empty());
    match (&request.job_queue, &request.job_definition) {
        (queue, _) if !given(queue) => Err(ApiError::client("jobQueue is required")),
        (_, definition) if !given(definition) => Err(ApiError::client("jobDefinition is required")),
        (queue, definition) => {
            Ok((queue.as_deref().unwrap_or_default(), definition.as_deref().unwrap_or_default()))
        }
    }
}

/// Checks a request and merges it with the job definition that it names.
///
/// # Errors
/// `ClientException`, when the job cannot be.
pub fn plan(request: SubmitJob, definition: &Definition, queue: &Queue) -> Result<SubmitPlan, ApiError> {
    let name = job_name(request.job_name.as_deref())?;
    let body = &definition.body;
    if request.eks_properties_override.is_some() {
        return Err(not_there("jobs on EKS (eksPropertiesOverride)"));
    }
    let ecs = body.get("ecsProperties").filter(|value| !value.is_null());
    if ecs.is_none() && request.ecs_properties_override.is_some() {
        return Err(ApiError::client(
            "ecsPropertiesOverride is for job definitions with ecsProperties, and this one has none",
        ));
    }
    let task = ecs.map(|properties| task_of(properties, &request, body)).transpose()?;
    if !queue.enabled {
        return Err(ApiError::client(format!("Job queue {} is DISABLED: it takes no new jobs", queue.name)));
    }
    check_platform(body, queue)?;
    let size = array_size(request.array_properties.as_ref())?;
    let multi_node = body.get("type").and_then(Value::as_str) == Some("multinode");
    let (mut nodes, main) = if multi_node {
        if size.is_some() {
            return Err(ApiError::client("a multi-node parallel job cannot be an array job"));
        }
        let properties = body.get("nodeProperties").cloned().unwrap_or_default();
        nodes::nodes(&properties, request.node_overrides.as_ref())?
    } else {
        if request.node_overrides.is_some() {
            return Err(ApiError::client("nodeOverrides are for multi-node parallel jobs only"));
        }
        match (&task, body.get("containerProperties")) {
            (Some(_), _) => (Vec::new(), 0),
            (None, Some(Value::Object(container))) => {
                (vec![Node { container: container.clone(), instance_type: None }], 0)
            }
            (None, _) => {
                return Err(not_there(
                    "job definitions without containerProperties, ecsProperties or nodeProperties",
                ));
            }
        }
    };
    // ECS RunTask: a container's overrides as JSON. SubmitJob takes longer ones, and the job then
    // fails.
    let mut longest = request.node_overrides.as_ref().map_or(0, NodeOverrides::longest);
    longest = longest.max(request.ecs_properties_override.as_ref().map_or(0, EcsPropertiesOverride::length));
    if let Some(overrides) = &request.container_overrides {
        if multi_node {
            return Err(ApiError::client(
                "a multi-node parallel job takes nodeOverrides, not containerOverrides",
            ));
        }
        longest = longest.max(overrides.length());
        nodes.iter_mut().try_for_each(|node| merge(&mut node.container, overrides))?;
        let platforms = Platforms::of(body);
        for node in &nodes {
            check_platform_size(body, &node.container)?;
            platform::check_container(&node.container, &platforms)?;
        }
    }
    let doomed = too_long(longest);
    let each: Vec<Resources> = nodes
        .iter()
        .map(|node| {
            check_container(&node.container)?;
            resources(&node.container)
        })
        .collect::<Result<_, _>>()?;
    let mut all = Resources::default();
    each.iter().for_each(|needs| all.add(needs));
    if let Some(task) = &task {
        task.check_size(body)?;
        task.check_runnable()?;
        all = task.resources()?;
    }
    let strategy = match (&request.retry_strategy, body.get("retryStrategy")) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(value)) => Some(shape::<RetryStrategy>(value.clone())?),
        (None, None) => None,
    };
    let retry = retry(strategy.as_ref())?;
    let timeout = match (request.timeout, body.get("timeout")) {
        (Some(given), _) => Some(given),
        (None, Some(value)) => Some(shape::<Timeout>(value.clone())?),
        (None, None) => None,
    };
    let timeout_s = timeout_s(timeout.as_ref())?;
    let mut parameters: BTreeMap<String, String> =
        body.get("parameters").cloned().map(shape).transpose()?.unwrap_or_default();
    parameters.extend(request.parameters.unwrap_or_default());
    let has_priority = request.scheduling_priority_override.is_some()
        || body.get("schedulingPriority").is_some_and(|priority| !priority.is_null());
    let priority = priority(request.scheduling_priority_override, body)?;
    let line = line(queue, request.share_identifier, priority)?;
    let depends_on = dependencies::asked(request.depends_on.unwrap_or_default(), size)?;
    // User Guide, resource-aware-scheduling-how-to-for-jobs: the request's
    // consumableResourcePropertiesOverride overrides "the list of consumable resources and the
    // quantity of each".
    let properties = match &request.consumable_resource_properties_override {
        Some(properties) if !properties.is_null() => Some(properties),
        _ => body.get("consumableResourceProperties"),
    };
    let consumes = consumables::consumption(properties)?;
    let mut rest = Map::new();
    if !consumes.is_empty() {
        rest.insert("consumableResourceProperties".into(), consumables::shown(&consumes));
    }
    rest.insert("retryStrategy".into(), to_value(&strategy.unwrap_or_else(RetryStrategy::single))?);
    if let Some(timeout) = timeout {
        rest.insert("timeout".into(), to_value(&timeout)?);
    }
    rest.insert("tags".into(), to_value(&tags(request.tags)?)?);
    // API, SubmitJob.propagateTags: "When specified, this overrides the tag propagation setting in
    // the job definition."
    let propagates = request.propagate_tags.or_else(|| body.get("propagateTags")?.as_bool());
    rest.insert("propagateTags".into(), json!(propagates.unwrap_or(false)));
    rest.insert(
        "platformCapabilities".into(),
        body.get("platformCapabilities").cloned().unwrap_or_else(|| json!(["EC2"])),
    );
    if let Some(share) = &line.share {
        rest.insert("shareIdentifier".into(), json!(share));
    }
    if line.share.is_some() || has_priority {
        rest.insert("schedulingPriority".into(), json!(priority));
    }
    let mut spec = Spec {
        job_definition: definition.arn.clone(),
        definition_name: definition.name.clone(),
        queue: queue.name.clone(),
        container: Map::new(),
        task,
        nodes: Vec::new(),
        depends_on: depends_on.clone(),
        parameters,
        rest,
    };
    let of_nodes = multi_node.then(|| {
        spec.rest.insert("nodeProperties".into(), json!({"mainNode": main, "numNodes": nodes.len()}));
        spec.nodes = nodes::ranges(std::mem::take(&mut nodes));
        Nodes { main, each }
    });
    if let Some(only) = nodes.pop() {
        spec.container = only.container;
    }
    let depends = Vec::new();
    let terms = Terms {
        resources: all,
        nodes: of_nodes,
        line,
        depends_on: depends,
        retry,
        timeout_s,
        consumes,
        doomed,
    };
    Ok(SubmitPlan { name, size, terms, depends_on, spec })
}

/// Checks that the job definition is for the platform of the queue.
///
/// API, RegisterJobDefinition.platformCapabilities: "The platform capabilities required by the job
/// definition. If no value is specified, it defaults to EC2. To run the job on Fargate resources,
/// specify FARGATE." The words of AWS's refusal are not documented.
fn check_platform(definition: &Value, queue: &Queue) -> Result<(), ApiError> {
    let stated = definition["platformCapabilities"].as_array().filter(|platforms| !platforms.is_empty());
    let platforms: Vec<&str> = match stated {
        Some(platforms) => platforms.iter().filter_map(Value::as_str).collect(),
        None => vec!["EC2"],
    };
    if platforms.contains(&queue.platform) {
        return Ok(());
    }
    Err(ApiError::client(format!(
        "The job queue {} is for the platform {}, and the job definition has the platformCapabilities {}",
        queue.name,
        queue.platform,
        platforms.join(", ")
    )))
}

/// The task of a job definition with `ecsProperties`, with the overrides of a request.
fn task_of(properties: &Value, request: &SubmitJob, body: &Value) -> Result<Task, ApiError> {
    if request.container_overrides.is_some() {
        return Err(ApiError::client(
            "a job definition with ecsProperties takes ecsPropertiesOverride, not containerOverrides",
        ));
    }
    let mut task = Task::read(properties, &Platforms::of(body))?;
    if let Some(overrides) = &request.ecs_properties_override {
        task.apply(overrides)?;
    }
    Ok(task)
}

fn array_size(properties: Option<&ArrayProperties>) -> Result<Option<u32>, ApiError> {
    let Some(size) = properties.and_then(|a| a.size) else { return Ok(None) };
    let good = u32::try_from(size).ok().filter(|s| limits::ARRAY_SIZE.contains(s));
    good.map(Some)
        .ok_or_else(|| ApiError::client(format!("Array size must be between 2 and 10000, not {size}")))
}

/// API, SubmitJob.shareIdentifier: "Don't specify this parameter if the job queue doesn't have a
/// fair-share scheduling policy. If the job queue has a fair-share scheduling policy, then this
/// parameter must be specified. This string is limited to 255 alphanumeric characters, and can be
/// followed by an asterisk (*)."
fn line(queue: &Queue, share: Option<String>, priority: i32) -> Result<Line, ApiError> {
    match &share {
        None if queue.shares => {
            return Err(ApiError::client(format!(
                "shareIdentifier is required: the job queue {} has a fair-share scheduling policy",
                queue.name
            )));
        }
        Some(_) if !queue.shares => {
            return Err(ApiError::client(format!(
                "shareIdentifier is given, but the job queue {} has no fair-share scheduling policy",
                queue.name
            )));
        }
        Some(share) => {
            let name = share.strip_suffix('*').unwrap_or(share);
            if name.is_empty() || name.len() > 255 || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(ApiError::client(format!("shareIdentifier: {share:?} is not alphanumeric")));
            }
        }
        None => {}
    }
    Ok(Line { queue: queue.name.clone(), share, priority })
}

/// Checks that this cluster can run a container.
fn check_container(container: &Map<String, Value>) -> Result<(), ApiError> {
    if container::is_contained(container) {
        container::check_runnable(container)
    } else {
        container::check_process(container)
    }
}

fn job_name(name: Option<&str>) -> Result<String, ApiError> {
    let name = name.filter(|n| !n.is_empty()).ok_or_else(|| ApiError::client("jobName is required"))?;
    match name.parse::<JobName>() {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(ApiError::client(format!(
            "Job name should match valid pattern [a-zA-Z0-9][a-zA-Z0-9_-]{{0,127}}, got {name:?}"
        ))),
    }
}

fn tags(tags: Option<BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, ApiError> {
    let tags = tags.unwrap_or_default();
    check_tags(&tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect())?;
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        Definition {
            arn: "arn:aws:batch:us-east-1:000000000000:job-definition/local:1".into(),
            name: "local".into(),
            body: json!({"type": "container", "parameters": {"a": "1"}, "containerProperties": {
                "image": "host", "command": ["true", "Ref::a", "Ref::b"],
                "environment": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
            }}),
        }
    }

    fn queue(shares: bool) -> Queue {
        Queue { name: "local".into(), enabled: true, shares, platform: "EC2" }
    }

    fn planned(extra: Value) -> Result<SubmitPlan, String> {
        let mut request = json!({"jobName": "j", "jobQueue": "local", "jobDefinition": "local"});
        for (key, value) in extra.as_object().unwrap() {
            request[key] = value.clone();
        }
        plan(shape(request).map_err(|e| e.message)?, &definition(), &queue(false)).map_err(|e| e.message)
    }

    #[test]
    fn overrides_replace_what_has_the_same_name() {
        let plan = planned(json!({"parameters": {"b": "2"}, "containerOverrides": {
            "environment": [{"name": "X", "value": "3"}, {"name": "Z", "value": "4"}],
            "resourceRequirements": [{"type": "MEMORY", "value": "1024"}]}}))
        .unwrap();
        assert_eq!(plan.spec.command(None), ["true", "1", "2"]);
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(plan.spec.environment(None), [pair("Y", "2"), pair("X", "3"), pair("Z", "4")]);
        assert_eq!(plan.terms.resources, Resources { vcpus: 1, memory_mib: 1024, gpus: 0 });
        assert_eq!(planned(json!({})).unwrap().spec.command(None), ["true", "1", "Ref::b"]);
    }

    #[test]
    fn the_old_fields_override_each_other_but_no_requirement() {
        let mut definition = definition();
        let old = json!({"vcpus": 1, "memory": 64, "image": "host"});
        definition.body["containerProperties"] = old;
        let planned = |overrides: Value| {
            let request = json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d",
                "containerOverrides": overrides});
            plan(shape(request).unwrap(), &definition, &queue(false)).unwrap().terms.resources
        };
        let resources = |vcpus, memory_mib| Resources { vcpus, memory_mib, gpus: 0 };
        assert_eq!(planned(json!({"vcpus": 2, "memory": 128})), resources(2, 128));
        let new = json!([{"type": "VCPU", "value": "4"}]);
        assert_eq!(planned(json!({"vcpus": 2, "resourceRequirements": new})), resources(4, 64));
        let plan = super::tests::planned(json!({"containerOverrides": {"vcpus": 2, "memory": 64}})).unwrap();
        assert_eq!(plan.terms.resources, resources(1, 512));
    }

    #[test]
    fn a_definition_is_for_the_platform_of_its_queue() {
        let planned = |platforms: Value, platform: &'static str| {
            let mut definition = definition();
            definition.body["platformCapabilities"] = platforms;
            let request = json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d"});
            let queue = Queue { platform, ..queue(false) };
            plan(shape(request).unwrap(), &definition, &queue).map(|_| ()).map_err(|e| e.message)
        };
        for (platforms, platform) in [
            (json!(["EC2"]), "EC2"),
            (json!([]), "EC2"),
            (Value::Null, "EC2"),
            (json!(["FARGATE"]), "FARGATE"),
            (json!(["EC2", "FARGATE"]), "FARGATE"),
        ] {
            assert_eq!(planned(platforms, platform), Ok(()));
        }
        for (platforms, platform) in
            [(json!(["EC2"]), "FARGATE"), (Value::Null, "FARGATE"), (json!(["FARGATE"]), "EC2")]
        {
            let refused = planned(platforms, platform).unwrap_err();
            assert!(refused.contains(platform) && refused.contains("platformCapabilities"), "{refused}");
        }
    }

    #[test]
    fn shares_are_for_queues_that_have_them() {
        let planned = |extra: Value, shares| {
            let mut request = json!({"jobName": "j", "jobQueue": "local", "jobDefinition": "local"});
            request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            plan(shape(request).unwrap(), &definition(), &queue(shares)).map(|p| p.terms.line)
        };
        let line = planned(json!({"shareIdentifier": "a", "schedulingPriorityOverride": 7}), true).unwrap();
        assert_eq!((line.share.as_deref(), line.priority), (Some("a"), 7));
        assert!(planned(json!({}), true).is_err());
        assert!(planned(json!({"shareIdentifier": "a"}), false).is_err());
        assert!(planned(json!({"shareIdentifier": "a b"}), true).is_err());
        assert!(
            planned(json!({"shareIdentifier": "a", "schedulingPriorityOverride": 10_000}), true).is_err()
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            json!({"jobName": "a b"}),
            json!({"jobName": ""}),
            json!({"jobName": "x".repeat(129)}),
            json!({"arrayProperties": {"size": 1}}),
            json!({"arrayProperties": {"size": 10_001}}),
            json!({"retryStrategy": {"attempts": 11}}),
            json!({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "PERHAPS"}]}}),
            json!({"timeout": {"attemptDurationSeconds": 59}}),
            json!({"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": ""}]}}),
            json!({"containerOverrides": {"environment": [{"name": "A=B", "value": ""}]}}),
            json!({"containerOverrides": {"resourceRequirements": [{"type": "MEMORY", "value": "3"}]}}),
            json!({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "x"}]}}),
            json!({"containerOverrides": {"command": "true"}}),
            json!({"nodeOverrides": {"numNodes": 2}}),
            json!({"retryStrategy": {"evaluateOnExit": [{"action": "EXIT", "onExitCode": "1"}]}}),
            json!({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "EXIT", "onExitCode": "x"}]}}),
            json!({"dependsOn": [{"type": "SEQUENTIAL"}]}),
            json!({"dependsOn": [{}]}),
            json!({"dependsOn": [{"jobId": "a", "type": "N_TO_N"}]}),
            json!({"dependsOn": [{"jobId": "a", "type": "MAYBE"}]}),
            json!({"dependsOn": vec![json!({"jobId": "a"}); 21]}),
        ] {
            assert!(planned(bad.clone()).is_err(), "{bad}");
        }
        assert!(planned(json!({"arrayProperties": {"size": 10_000}})).is_ok());
    }
}
