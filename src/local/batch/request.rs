//! What a SubmitJob says, checked and merged with its job definition. Pure: values to values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::container;
use super::model::{ExitRule, Retry, Terms};
use crate::job::{JobName, limits};
use crate::local::HOST_IMAGE;
use crate::local::capacity::Resources;
use crate::local::error::ApiError;

/// API: SubmitJobRequest, as far as it decides anything here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitJob {
    job_name: Option<String>,
    job_queue: Option<String>,
    job_definition: Option<String>,
    array_properties: Option<ArrayProperties>,
    #[serde(default)]
    depends_on: Option<Vec<Value>>,
    parameters: Option<BTreeMap<String, String>>,
    container_overrides: Option<Overrides>,
    node_overrides: Option<Value>,
    eks_properties_override: Option<Value>,
    ecs_properties_override: Option<Value>,
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

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Overrides {
    command: Option<Vec<String>>,
    environment: Option<Vec<Variable>>,
    resource_requirements: Option<Vec<Requirement>>,
    vcpus: Option<i64>,
    memory: Option<i64>,
}

impl Overrides {
    /// The length of their JSON, without what Batch itself adds.
    fn length(&self) -> usize {
        let value = json!({"command": self.command, "environment": self.environment});
        value.to_string().len()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Variable {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryStrategy {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluate_on_exit: Option<Vec<EvaluateOnExit>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EvaluateOnExit {
    #[serde(skip_serializing_if = "Option::is_none")]
    on_status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_exit_code: Option<String>,
    action: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timeout {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_duration_seconds: Option<i64>,
}

/// A job definition, as it was registered.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its ARN, with the revision.
    pub arn: String,
    /// Its name, without the revision.
    pub name: String,
    /// API: JobDefinition, without name, ARN, revision and status.
    pub body: Value,
}

/// A job that can be: everything about it has been checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The job's name.
    pub name: String,
    /// How many children, for an array.
    pub size: Option<u32>,
    /// What its life depends on.
    pub terms: Terms,
    /// What it does, and what DescribeJobs shows of it.
    pub spec: Spec,
}

/// What a job does, and what DescribeJobs shows of it; an array's children share it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The job definition's ARN.
    pub job_definition: String,
    /// The job definition's name; log streams begin with it.
    pub definition_name: String,
    /// API: ContainerDetail, as far as the submission decides it.
    pub container: Map<String, Value>,
    /// The values for `Ref::NAME` in the command.
    pub parameters: BTreeMap<String, String>,
    /// What else DescribeJobs shows: `retryStrategy`, `timeout`, `tags`, …
    pub rest: Map<String, Value>,
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
pub fn plan(request: SubmitJob, definition: &Definition) -> Result<Plan, ApiError> {
    let name = job_name(request.job_name.as_deref())?;
    let body = &definition.body;
    if body.get("type").and_then(Value::as_str) == Some("multinode") || request.node_overrides.is_some() {
        return Err(not_yet("multi-node parallel jobs"));
    }
    if request.eks_properties_override.is_some() || request.ecs_properties_override.is_some() {
        return Err(not_yet("EKS jobs and jobs with several containers"));
    }
    if request.depends_on.as_ref().is_some_and(|d| !d.is_empty()) {
        return Err(not_yet("job dependencies"));
    }
    let size = match request.array_properties.and_then(|a| a.size) {
        None => None,
        Some(size) => match u32::try_from(size).ok().filter(|s| limits::ARRAY_SIZE.contains(s)) {
            Some(size) => Some(size),
            None => {
                return Err(ApiError::client(format!("Array size must be between 2 and 10000, not {size}")));
            }
        },
    };
    let Some(Value::Object(container)) = body.get("containerProperties") else {
        return Err(not_yet("job definitions without containerProperties"));
    };
    let image = container.get("image").and_then(Value::as_str).unwrap_or("");
    if image != HOST_IMAGE {
        container::check_runnable(container)?;
    }
    let mut container = container.clone();
    // ECS RunTask: a container's overrides as JSON. SubmitJob takes longer ones, and the job then fails.
    let overrides_length = request.container_overrides.as_ref().map_or(0, Overrides::length);
    let doomed = (overrides_length > limits::OVERRIDES_LENGTH)
        .then(|| format!("Container Overrides length must be at most {}", limits::OVERRIDES_LENGTH));
    if let Some(overrides) = request.container_overrides {
        merge(&mut container, overrides)?;
    }
    let resources = resources(&container)?;
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
    let mut rest = Map::new();
    rest.insert(
        "retryStrategy".into(),
        to_value(
            &strategy.unwrap_or(RetryStrategy { attempts: Some(1), evaluate_on_exit: Some(Vec::new()) }),
        )?,
    );
    if let Some(timeout) = timeout {
        rest.insert("timeout".into(), to_value(&timeout)?);
    }
    rest.insert("tags".into(), to_value(&tags(request.tags)?)?);
    rest.insert("propagateTags".into(), json!(request.propagate_tags.unwrap_or(false)));
    rest.insert("platformCapabilities".into(), json!(["EC2"]));
    if let Some(share) = request.share_identifier {
        rest.insert("shareIdentifier".into(), json!(share));
    }
    if let Some(priority) = request.scheduling_priority_override {
        rest.insert("schedulingPriority".into(), json!(priority));
    }
    let spec = Spec {
        job_definition: definition.arn.clone(),
        definition_name: definition.name.clone(),
        container,
        parameters,
        rest,
    };
    Ok(Plan { name, size, terms: Terms { resources, retry, timeout_s, doomed }, spec })
}

pub(super) fn not_yet(what: &str) -> ApiError {
    ApiError::client(format!("The local cluster does not run {what} yet."))
}

/// A value of a shape that the API gives.
pub fn shape<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|e| ApiError::serialization(&e.to_string()))
}

fn to_value(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|e| ApiError::server(e.to_string()))
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
    if tags.len() > 50 {
        return Err(ApiError::client("a resource has at most 50 tags"));
    }
    Ok(tags)
}

/// Override by override, as the API says for each: the command replaces, variables and requirements
/// replace those of the same name and add the others.
fn merge(container: &mut Map<String, Value>, overrides: Overrides) -> Result<(), ApiError> {
    if let Some(command) = overrides.command.filter(|c| !c.is_empty()) {
        container.insert("command".into(), json!(command));
    }
    if let Some(given) = overrides.environment {
        let mut all: Vec<Variable> =
            container.get("environment").cloned().map(shape).transpose()?.unwrap_or_default();
        for variable in given {
            check_variable(&variable.name)?;
            all.retain(|v| v.name != variable.name);
            all.push(variable);
        }
        container.insert("environment".into(), to_value(&all)?);
    }
    let mut given = overrides.resource_requirements.unwrap_or_default();
    // Deprecated, and still sent by old clients.
    for (kind, value) in [("VCPU", overrides.vcpus), ("MEMORY", overrides.memory)] {
        if let Some(value) = value
            && !given.iter().any(|r| r.kind == kind)
        {
            given.push(Requirement { kind: kind.to_owned(), value: value.to_string() });
        }
    }
    if !given.is_empty() {
        let mut all: Vec<Requirement> =
            container.get("resourceRequirements").cloned().map(shape).transpose()?.unwrap_or_default();
        for requirement in given {
            all.retain(|r| r.kind != requirement.kind);
            all.push(requirement);
        }
        container.insert("resourceRequirements".into(), to_value(&all)?);
    }
    Ok(())
}

/// A name that a process can have among its variables, and that is not Batch's own.
pub fn check_variable(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.contains('=') || name.contains('\0') {
        return Err(ApiError::client(format!("{name:?} is not a name of an environment variable")));
    }
    // API: "Environment variables cannot start with AWS_BATCH. This naming convention is reserved".
    if name.starts_with("AWS_BATCH") {
        return Err(ApiError::client(format!(
            "environment variables cannot start with \"AWS_BATCH\": {name}"
        )));
    }
    Ok(())
}

/// What each attempt needs, of `resourceRequirements` or the deprecated `vcpus` and `memory`.
pub fn resources(container: &Map<String, Value>) -> Result<Resources, ApiError> {
    let requirements: Vec<Requirement> =
        container.get("resourceRequirements").cloned().map(shape).transpose()?.unwrap_or_default();
    if let Some(other) = requirements.iter().find(|r| !matches!(r.kind.as_str(), "VCPU" | "MEMORY" | "GPU")) {
        return Err(ApiError::client(format!("resourceRequirements: unknown type {:?}", other.kind)));
    }
    let amount = |kind: &str, old: &str| -> Result<Option<u64>, ApiError> {
        let invalid =
            |value: &str| ApiError::client(format!("resourceRequirements: {kind}: invalid value {value:?}"));
        match requirements.iter().find(|r| r.kind == kind) {
            Some(r) => r.value.parse().map(Some).map_err(|_| invalid(&r.value)),
            None => match container.get(old).filter(|v| !v.is_null()) {
                Some(value) => value.as_u64().map(Some).ok_or_else(|| invalid(&value.to_string())),
                None => Ok(None),
            },
        }
    };
    if amount("GPU", "")?.is_some_and(|n| n > 0) {
        return Err(not_yet("jobs that need GPUs"));
    }
    let vcpus = amount("VCPU", "vcpus")?
        .ok_or_else(|| ApiError::client("vCPUs are required: resourceRequirements VCPU"))?;
    let memory = amount("MEMORY", "memory")?
        .ok_or_else(|| ApiError::client("memory is required: resourceRequirements MEMORY"))?;
    // API, ResourceRequirement: "at least one vCPU", "at least 4 MiB".
    if vcpus < 1 {
        return Err(ApiError::client("a container needs at least 1 vCPU"));
    }
    if memory < 4 {
        return Err(ApiError::client("a container needs at least 4 MiB of memory"));
    }
    let vcpus = u32::try_from(vcpus).map_err(|_| ApiError::client("too many vCPUs"))?;
    Ok(Resources { vcpus, memory_mib: memory })
}

fn retry(strategy: Option<&RetryStrategy>) -> Result<Retry, ApiError> {
    let attempts = match strategy.and_then(|s| s.attempts) {
        None => 1,
        Some(n) if u8::try_from(n).is_ok_and(|n| limits::ATTEMPTS.contains(&n)) => {
            u32::try_from(n).unwrap_or(1)
        }
        Some(n) => return Err(ApiError::client(format!("retryStrategy: attempts must be 1 to 10, not {n}"))),
    };
    let rules = strategy.and_then(|s| s.evaluate_on_exit.as_deref()).unwrap_or_default();
    if rules.len() > 5 {
        return Err(ApiError::client("retryStrategy: evaluateOnExit has at most 5 entries"));
    }
    let rules = rules.iter().map(|rule| {
        let retry = match rule.action.to_ascii_uppercase().as_str() {
            "RETRY" => true,
            "EXIT" => false,
            other => return Err(ApiError::client(format!("evaluateOnExit: unknown action {other:?}"))),
        };
        Ok(ExitRule {
            on_status_reason: rule.on_status_reason.clone(),
            on_reason: rule.on_reason.clone(),
            on_exit_code: rule.on_exit_code.clone(),
            retry,
        })
    });
    Ok(Retry { attempts, rules: rules.collect::<Result<_, _>>()? })
}

fn timeout_s(timeout: Option<&Timeout>) -> Result<Option<u32>, ApiError> {
    match timeout.and_then(|t| t.attempt_duration_seconds) {
        None => Ok(None),
        Some(s) if s >= i64::from(limits::TIMEOUT_MIN_SECONDS) => {
            Ok(Some(u32::try_from(s).unwrap_or(u32::MAX)))
        }
        Some(s) => Err(ApiError::client(format!(
            "timeout: attemptDurationSeconds must be at least 60 seconds, not {s}"
        ))),
    }
}

/// Checks what RegisterJobDefinition says, as far as this cluster will read it again.
///
/// # Errors
/// `ClientException`, when no job of it could be.
pub fn check_definition(body: &Value) -> Result<(), ApiError> {
    retry(body.get("retryStrategy").cloned().map(shape).transpose()?.as_ref())?;
    timeout_s(body.get("timeout").cloned().map(shape).transpose()?.as_ref())?;
    let _: Option<BTreeMap<String, String>> = body.get("parameters").cloned().map(shape).transpose()?;
    match body.get("type").and_then(Value::as_str) {
        Some("container") => {}
        Some("multinode") => return Ok(()),
        other => return Err(ApiError::client(format!("type must be container or multinode, not {other:?}"))),
    }
    let Some(Value::Object(container)) = body.get("containerProperties") else {
        return Err(ApiError::client(
            "containerProperties is required for a job definition of type container",
        ));
    };
    if container.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(ApiError::client("containerProperties: image is required"));
    }
    let _: Option<Vec<String>> = container.get("command").cloned().map(shape).transpose()?;
    let environment: Option<Vec<Variable>> = container.get("environment").cloned().map(shape).transpose()?;
    environment.unwrap_or_default().iter().try_for_each(|v| check_variable(&v.name))?;
    container::check(container)?;
    resources(container).map(|_| ())
}

impl Spec {
    /// The command to run. `Ref::NAME` as a whole argument becomes the parameter's value; one without
    /// a value stays as it is (API: SubmitJob.parameters).
    pub fn command(&self) -> Vec<String> {
        let command = self.container.get("command").and_then(Value::as_array);
        command
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|argument| {
                let value = argument.strip_prefix("Ref::").and_then(|name| self.parameters.get(name));
                value.map_or_else(|| argument.to_owned(), Clone::clone)
            })
            .collect()
    }

    /// The job's own variables.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables =
            self.container.get("environment").cloned().and_then(|v| shape::<Vec<Variable>>(v).ok());
        variables.unwrap_or_default().into_iter().map(|v| (v.name, v.value)).collect()
    }

    /// The log stream of an attempt (User Guide, `using_cloudwatch_logs`): the first 200 characters of
    /// the job definition's name, `default`, and the task's ID.
    pub fn log_stream(&self, task: &str) -> String {
        let name: String = self.definition_name.chars().take(200).collect();
        format!("{name}/default/{task}")
    }
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

    fn planned(extra: Value) -> Result<Plan, String> {
        let mut request = json!({"jobName": "j", "jobQueue": "local", "jobDefinition": "local"});
        for (key, value) in extra.as_object().unwrap() {
            request[key] = value.clone();
        }
        plan(shape(request).map_err(|e| e.message)?, &definition()).map_err(|e| e.message)
    }

    #[test]
    fn overrides_replace_what_has_the_same_name() {
        let plan = planned(json!({"parameters": {"b": "2"}, "containerOverrides": {
            "environment": [{"name": "X", "value": "3"}, {"name": "Z", "value": "4"}],
            "resourceRequirements": [{"type": "MEMORY", "value": "1024"}]}}))
        .unwrap();
        assert_eq!(plan.spec.command(), ["true", "1", "2"]);
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(plan.spec.environment(), [pair("Y", "2"), pair("X", "3"), pair("Z", "4")]);
        assert_eq!(plan.terms.resources, Resources { vcpus: 1, memory_mib: 1024 });
        let old =
            planned(json!({"containerOverrides": {"vcpus": 2, "memory": 64, "command": ["a"]}})).unwrap();
        assert_eq!(old.terms.resources, Resources { vcpus: 2, memory_mib: 64 });
        assert_eq!(old.spec.command(), ["a"]);
        assert_eq!(planned(json!({})).unwrap().spec.command(), ["true", "1", "Ref::b"]);
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
        ] {
            assert!(planned(bad.clone()).is_err(), "{bad}");
        }
        assert!(planned(json!({"arrayProperties": {"size": 10_000}})).is_ok());
    }
}
