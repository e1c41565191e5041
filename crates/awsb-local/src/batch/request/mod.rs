//! What a SubmitJob says, checked and merged with its job definition. Pure: values to values.

mod dependencies;
mod nodes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::dependencies::Asked;
use self::dependencies::JobDependency;
use self::nodes::NodeOverrides;
pub use self::nodes::NodeRange;
use super::container;
use super::model::{ExitRule, Line, Nodes, Retry, Terms};
use super::resources::check_tags;
use crate::capacity::Resources;
use crate::error::ApiError;
use crate::{LOG_GROUP, QUEUE};
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
    ecs_properties_override: Option<Value>,
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

/// A job queue, as far as a submission to it depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it takes new jobs (API: JobQueueDetail.state).
    pub enabled: bool,
    /// Whether it has a fair-share policy.
    pub shares: bool,
}

/// A job that can be: everything about it has been checked, except that the jobs are there that it
/// depends on.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The job's name.
    pub name: String,
    /// How many children, for an array.
    pub size: Option<u32>,
    /// What its life depends on; `depends_on` is yet to be filled.
    pub terms: Terms,
    /// What it is to depend on.
    pub depends_on: Vec<Asked>,
    /// What it does, and what DescribeJobs shows of it.
    pub spec: Spec,
}

impl Plan {
    /// How many jobs it is: the children of an array, the nodes of a multi-node job, or one.
    pub fn jobs(&self) -> u64 {
        let nodes: u64 = self.spec.nodes.iter().map(NodeRange::count).sum();
        self.size.map_or(nodes.max(1), u64::from)
    }
}

/// What a job does, and what DescribeJobs shows of it; an array's children share it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The job definition's ARN.
    pub job_definition: String,
    /// The job definition's name; log streams begin with it.
    pub definition_name: String,
    /// The job queue's name.
    #[serde(default = "built_in_queue")]
    pub queue: String,
    /// API: ContainerDetail, as far as the submission decides it; empty for a multi-node job.
    pub container: Map<String, Value>,
    /// The nodes' containers, for a multi-node job.
    #[serde(default)]
    pub nodes: Vec<NodeRange>,
    /// What it depends on, as DescribeJobs shows it.
    #[serde(default)]
    pub depends_on: Vec<Asked>,
    /// The values for `Ref::NAME` in the command.
    pub parameters: BTreeMap<String, String>,
    /// What else DescribeJobs shows: `retryStrategy`, `timeout`, `tags`, …
    pub rest: Map<String, Value>,
}

impl Spec {
    /// What is shown of a job whose own cannot be read.
    pub fn unreadable() -> Self {
        Self {
            job_definition: String::new(),
            definition_name: String::new(),
            queue: built_in_queue(),
            container: Map::new(),
            nodes: Vec::new(),
            depends_on: Vec::new(),
            parameters: BTreeMap::new(),
            rest: Map::new(),
        }
    }
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

/// The queue of jobs that an earlier version of the database has.
fn built_in_queue() -> String {
    QUEUE.to_owned()
}

/// Checks a request and merges it with the job definition that it names.
///
/// # Errors
/// `ClientException`, when the job cannot be.
pub fn plan(request: SubmitJob, definition: &Definition, queue: &Queue) -> Result<Plan, ApiError> {
    let name = job_name(request.job_name.as_deref())?;
    let body = &definition.body;
    if request.eks_properties_override.is_some() || request.ecs_properties_override.is_some() {
        return Err(not_there("EKS jobs and jobs with several containers"));
    }
    if request.consumable_resource_properties_override.is_some() {
        return Err(not_there("consumable resources"));
    }
    if !queue.enabled {
        return Err(ApiError::client(format!("Job queue {} is DISABLED: it takes no new jobs", queue.name)));
    }
    let size = array_size(request.array_properties.as_ref())?;
    let multi_node = body.get("type").and_then(Value::as_str) == Some("multinode");
    let (mut containers, main) = if multi_node {
        if size.is_some() {
            return Err(ApiError::client("a multi-node parallel job cannot be an array job"));
        }
        let properties = body.get("nodeProperties").cloned().unwrap_or_default();
        nodes::containers(&properties, request.node_overrides.as_ref())?
    } else {
        if request.node_overrides.is_some() {
            return Err(ApiError::client("nodeOverrides are for multi-node parallel jobs only"));
        }
        let Some(Value::Object(container)) = body.get("containerProperties") else {
            return Err(not_there("job definitions without containerProperties or nodeProperties"));
        };
        (vec![container.clone()], 0)
    };
    // ECS RunTask: a container's overrides as JSON. SubmitJob takes longer ones, and the job then fails.
    let mut longest = request.node_overrides.as_ref().map_or(0, NodeOverrides::longest);
    if let Some(overrides) = &request.container_overrides {
        if multi_node {
            return Err(ApiError::client(
                "a multi-node parallel job takes nodeOverrides, not containerOverrides",
            ));
        }
        longest = longest.max(overrides.length());
        containers.iter_mut().try_for_each(|container| merge(container, overrides))?;
    }
    let doomed = (longest > limits::OVERRIDES_LENGTH)
        .then(|| format!("Container Overrides length must be at most {}", limits::OVERRIDES_LENGTH));
    let each: Vec<Resources> = containers
        .iter()
        .map(|container| {
            check_container(container)?;
            resources(container)
        })
        .collect::<Result<_, _>>()?;
    let mut all = Resources::default();
    each.iter().for_each(|needs| all.give(needs));
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
    let priority = priority(request.scheduling_priority_override, body)?;
    let line = line(queue, request.share_identifier, priority)?;
    let depends_on = dependencies::asked(request.depends_on.unwrap_or_default(), size)?;
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
    rest.insert(
        "platformCapabilities".into(),
        body.get("platformCapabilities").cloned().unwrap_or_else(|| json!(["EC2"])),
    );
    if let Some(share) = &line.share {
        rest.insert("shareIdentifier".into(), json!(share));
        rest.insert("schedulingPriority".into(), json!(priority));
    }
    let mut spec = Spec {
        job_definition: definition.arn.clone(),
        definition_name: definition.name.clone(),
        queue: queue.name.clone(),
        container: Map::new(),
        nodes: Vec::new(),
        depends_on: depends_on.clone(),
        parameters,
        rest,
    };
    let nodes = multi_node.then(|| {
        spec.rest.insert("nodeProperties".into(), json!({"mainNode": main, "numNodes": containers.len()}));
        spec.nodes = nodes::ranges(std::mem::take(&mut containers));
        Nodes { main, each }
    });
    if let Some(container) = containers.pop() {
        spec.container = container;
    }
    let terms = Terms { resources: all, nodes, line, depends_on: Vec::new(), retry, timeout_s, doomed };
    Ok(Plan { name, size, terms, depends_on, spec })
}

fn array_size(properties: Option<&ArrayProperties>) -> Result<Option<u32>, ApiError> {
    let Some(size) = properties.and_then(|a| a.size) else { return Ok(None) };
    let good = u32::try_from(size).ok().filter(|s| limits::ARRAY_SIZE.contains(s));
    good.map(Some)
        .ok_or_else(|| ApiError::client(format!("Array size must be between 2 and 10000, not {size}")))
}

/// API, SubmitJob.schedulingPriorityOverride: "The minimum supported value is 0 and the maximum
/// supported value is 9999."
fn priority(given: Option<i32>, body: &Value) -> Result<i32, ApiError> {
    let defined = body.get("schedulingPriority").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    match given.or(defined).unwrap_or(0) {
        n @ 0..=9999 => Ok(n),
        n => Err(ApiError::client(format!("schedulingPriority must be 0 to 9999, not {n}"))),
    }
}

/// API, SubmitJob.shareIdentifier: "Don't specify this parameter if the job queue doesn't have a
/// fair-share scheduling policy. If the job queue has a fair-share scheduling policy, then this parameter
/// must be specified. This string is limited to 255 alphanumeric characters, and can be followed by an
/// asterisk (*)."
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

/// What a container has to be for this cluster to run it.
fn check_container(container: &Map<String, Value>) -> Result<(), ApiError> {
    if container::is_contained(container) {
        container::check_runnable(container)
    } else {
        container::check_process(container)
    }
}

fn not_there(what: &str) -> ApiError {
    ApiError::client(format!("The local cluster does not have {what}."))
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
    check_tags(&tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect())?;
    Ok(tags)
}

/// Override by override, as the API says for each: the command replaces, variables and requirements
/// replace those of the same name and add the others.
fn merge(container: &mut Map<String, Value>, overrides: &Overrides) -> Result<(), ApiError> {
    if let Some(command) = overrides.command.as_ref().filter(|c| !c.is_empty()) {
        container.insert("command".into(), json!(command));
    }
    if let Some(given) = &overrides.environment {
        let mut all: Vec<Variable> =
            container.get("environment").cloned().map(shape).transpose()?.unwrap_or_default();
        for variable in given {
            check_variable(&variable.name)?;
            all.retain(|v| v.name != variable.name);
            all.push(variable.clone());
        }
        container.insert("environment".into(), to_value(&all)?);
    }
    // API, ContainerOverrides.vcpus and .memory: deprecated; they override the fields of the same name
    // in the job definition, but not what its resourceRequirements say.
    for (field, value) in [("vcpus", overrides.vcpus), ("memory", overrides.memory)] {
        if let Some(value) = value {
            container.insert(field.into(), json!(value));
        }
    }
    if let Some(given) = overrides.resource_requirements.as_ref().filter(|r| !r.is_empty()) {
        let mut all: Vec<Requirement> =
            container.get("resourceRequirements").cloned().map(shape).transpose()?.unwrap_or_default();
        for requirement in given {
            all.retain(|r| r.kind != requirement.kind);
            all.push(requirement.clone());
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
    let gpus = amount("GPU", "")?.unwrap_or(0);
    let gpus = u32::try_from(gpus).map_err(|_| ApiError::client("too many GPUs"))?;
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
    Ok(Resources { vcpus, memory_mib: memory, gpus })
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
    // API, RetryStrategy.evaluateOnExit: "If this parameter is specified, then the attempts parameter must
    // also be specified."
    if !rules.is_empty() && strategy.is_some_and(|s| s.attempts.is_none()) {
        return Err(ApiError::client("retryStrategy: evaluateOnExit needs attempts"));
    }
    if rules.len() > 5 {
        return Err(ApiError::client("retryStrategy: evaluateOnExit has at most 5 entries"));
    }
    let rules = rules.iter().map(|rule| {
        let retry = match rule.action.to_ascii_uppercase().as_str() {
            "RETRY" => true,
            "EXIT" => false,
            other => return Err(ApiError::client(format!("evaluateOnExit: unknown action {other:?}"))),
        };
        // API, EvaluateOnExit.onExitCode: "It can contain only numbers, and can end with an asterisk".
        let digits = |code: &String| {
            let code = code.strip_suffix('*').unwrap_or(code);
            code.bytes().all(|b| b.is_ascii_digit())
        };
        if let Some(code) = rule.on_exit_code.as_ref().filter(|code| !digits(code)) {
            return Err(ApiError::client(format!(
                "evaluateOnExit: {code:?} is not the start of an exit code"
            )));
        }
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
    priority(None, body)?;
    match body.get("tags") {
        None | Some(Value::Null) => {}
        Some(Value::Object(tags)) => check_tags(tags)?,
        Some(_) => return Err(ApiError::serialization("tags is not an object")),
    }
    match body.get("type").and_then(Value::as_str) {
        Some("container") => {}
        Some("multinode") => {
            let properties = body.get("nodeProperties").cloned().unwrap_or_default();
            let (containers, _) = nodes::containers(&properties, None)?;
            return containers.iter().try_for_each(check_container_definition);
        }
        other => return Err(ApiError::client(format!("type must be container or multinode, not {other:?}"))),
    }
    let Some(Value::Object(container)) = body.get("containerProperties") else {
        return Err(ApiError::client(
            "containerProperties is required for a job definition of type container",
        ));
    };
    check_container_definition(container)
}

fn check_container_definition(container: &Map<String, Value>) -> Result<(), ApiError> {
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
    /// The container of a job that is no node, or of the node with this index.
    pub fn container(&self, node: Option<u32>) -> &Map<String, Value> {
        let range = node.and_then(|index| self.nodes.iter().find(|range| range.has(index)));
        range.map_or(&self.container, |range| &range.container)
    }

    /// The command to run. `Ref::NAME` as a whole argument becomes the parameter's value; one without
    /// a value stays as it is (API: SubmitJob.parameters).
    pub fn command(&self, node: Option<u32>) -> Vec<String> {
        let command = self.container(node).get("command").and_then(Value::as_array);
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
    pub fn environment(&self, node: Option<u32>) -> Vec<(String, String)> {
        let variables =
            self.container(node).get("environment").cloned().and_then(|v| shape::<Vec<Variable>>(v).ok());
        variables.unwrap_or_default().into_iter().map(|v| (v.name, v.value)).collect()
    }

    /// The soft limits of its processes, by their names (API: ContainerProperties.ulimits).
    pub fn limits(&self, node: Option<u32>) -> BTreeMap<String, i64> {
        let ulimits = self.container(node).get("ulimits").and_then(Value::as_array);
        ulimits
            .into_iter()
            .flatten()
            .filter_map(|ulimit| Some((ulimit["name"].as_str()?.to_owned(), ulimit["softLimit"].as_i64()?)))
            .collect()
    }

    /// The log group of an attempt's output: `logConfiguration`'s `awslogs-group`, else Batch's own.
    pub fn log_group(&self, node: Option<u32>) -> &str {
        self.log_option(node, "awslogs-group").unwrap_or(LOG_GROUP)
    }

    /// The log stream of an attempt (User Guide, `using_cloudwatch_logs`): the first 200 characters of
    /// the job definition's name (or `awslogs-stream-prefix`), `default`, and the task's ID.
    pub fn log_stream(&self, node: Option<u32>, task: &str) -> String {
        let name = self.log_option(node, "awslogs-stream-prefix").unwrap_or(&self.definition_name);
        let name: String = name.chars().take(200).collect();
        format!("{name}/default/{task}")
    }

    /// API: LogConfiguration.options.
    fn log_option(&self, node: Option<u32>, name: &str) -> Option<&str> {
        let options = self.container(node).get("logConfiguration")?.get("options")?;
        options.get(name)?.as_str().filter(|value| !value.is_empty())
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

    fn queue(shares: bool) -> Queue {
        Queue { name: "local".into(), enabled: true, shares }
    }

    fn planned(extra: Value) -> Result<Plan, String> {
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
