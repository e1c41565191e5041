//! Rows of the database as the JSON that AWS answers with.

use serde_json::{Map, Value, json};

use super::definition::arn;
use super::model::JobKey;
use super::reader::JobRow;
use super::request::Spec;
use super::request::task::{self, Task};
use super::state::Attempt;
use crate::constants::{ACCOUNT, COMPUTE_ENVIRONMENT, REGION};
use crate::runner::protocol::ContainerEnd;
use awsb_model::Status;

/// A JSON object of the fields that are there.
fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_owned(), v)).collect()
}

/// API: ArrayPropertiesDetail and ArrayPropertiesSummary.
fn array_properties(row: &JobRow) -> Value {
    match (row.size, row.index.filter(|_| row.node_of.is_none())) {
        (Some(size), _) => {
            let summary = row.summary.unwrap_or_default();
            let counts = Status::ALL.iter().map(|s| (s.as_str().to_owned(), json!(summary.count(*s))));
            json!({"statusSummary": counts.collect::<Map<_, _>>(), "size": size})
        }
        (None, Some(index)) => json!({"index": index}),
        (None, None) => Value::Null,
    }
}

/// The ARN of an attempt's ECS task.
pub fn task_arn(attempt_id: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{COMPUTE_ENVIRONMENT}/{attempt_id}")
}

/// The ARN of a container of an attempt's ECS task.
pub fn container_arn(attempt_id: &str, name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container/{COMPUTE_ENVIRONMENT}/{attempt_id}/{name}")
}

/// The ARN of this machine as an ECS container instance.
pub fn instance_arn() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/{COMPUTE_ENVIRONMENT}/local")
}

/// The index of a node, if it is one.
fn node(row: &JobRow) -> Option<u32> {
    row.node_of.and(row.index)
}

/// The main node of a multi-node job.
fn main_node(spec: &Spec) -> Option<u32> {
    spec.rest.get("nodeProperties")?.get("mainNode")?.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// The node whose attempts a job shows: its own index, or that of its main node.
pub fn node_of(row: &JobRow, spec: &Spec) -> Option<u32> {
    node(row).or_else(|| main_node(spec))
}

/// The job whose attempts are shown as this one's: a multi-node job's are its main node's.
pub fn whose_attempts(row: &JobRow, spec: &Spec) -> JobKey {
    let main = row.nodes.and_then(|_| main_node(spec));
    main.map_or(row.key, |main| row.key.child(main))
}

/// API: JobDetail. A multi-node job has no container of its own: its nodes have.
pub fn detail(row: &JobRow, spec: &Spec, attempts: &[Attempt]) -> Value {
    let mut rest = spec.rest.clone();
    match (row.nodes, node(row)) {
        (Some(_), _) => {
            if let Some(properties) = rest.get_mut("nodeProperties") {
                let ranges = spec.nodes.iter().map(|range| {
                    let mut container = with_lists(range.container.clone());
                    // API: ContainerProperties, which has no networks.
                    container.remove("networkInterfaces");
                    let types = range.instance_type.as_ref().map(|kind| json!([kind]));
                    Value::Object(object([
                        ("targetNodes", json!(range.target_nodes())),
                        ("container", Value::Object(container)),
                        ("instanceTypes", json!(types)),
                    ]))
                });
                properties["nodeRangeProperties"] = ranges.collect();
            }
        }
        (None, Some(index)) => {
            let is_main = main_node(spec) == Some(index);
            rest.insert("nodeDetails".into(), json!({"nodeIndex": index, "isMainNode": is_main}));
            rest.remove("nodeProperties");
        }
        (None, None) => {}
    }
    let container = match (&spec.task, row.nodes) {
        (_, Some(_)) => Value::Null,
        // API, JobDetail.container: "If the details are for a multiple-container job, this object
        // will be empty."
        (Some(task), None) => {
            rest.insert("ecsProperties".into(), ecs_properties(row, spec, task, attempts));
            json!({})
        }
        (None, None) => Value::Object(container(row, spec)),
    };
    let mut job = object([
        ("jobArn", json!(arn("job", &row.id))),
        ("jobName", json!(row.name)),
        ("jobId", json!(row.id)),
        ("jobQueue", json!(arn("job-queue", &row.queue))),
        ("status", json!(row.status.as_str())),
        ("attempts", attempts.iter().map(|a| attempt(a, spec, node_of(row, spec))).collect()),
        ("statusReason", json!(row.status_reason)),
        ("createdAt", json!(row.created_at)),
        ("startedAt", json!(row.started_at)),
        ("stoppedAt", json!(row.stopped_at)),
        ("dependsOn", json!(spec.depends_on)),
        ("jobDefinition", json!(spec.job_definition)),
        ("parameters", json!(spec.parameters)),
        ("container", container),
        ("arrayProperties", array_properties(row)),
        ("eksAttempts", json!([])),
        ("isCancelled", json!(row.cancelled == Some(true))),
        ("isTerminated", json!(row.cancelled == Some(false))),
    ]);
    job.extend(rest);
    Value::Object(job)
}

/// A container with the lists that Batch shows even when they are empty.
fn with_lists(mut container: Map<String, Value>) -> Map<String, Value> {
    for list in [
        "command",
        "volumes",
        "environment",
        "mountPoints",
        "ulimits",
        "networkInterfaces",
        "resourceRequirements",
        "secrets",
    ] {
        container.entry(list).or_insert_with(|| json!([]));
    }
    container
}

/// API: ContainerDetail.
fn container(row: &JobRow, spec: &Spec) -> Map<String, Value> {
    let mut container = with_lists(spec.container(node(row)).clone());
    // A job that waits for its first or its next attempt is in no task.
    let assigned = row.status > Status::Runnable;
    if let Some(attempt_id) = row.attempt_id.as_ref().filter(|_| assigned) {
        container.insert("taskArn".into(), json!(task_arn(attempt_id)));
        container.insert("containerInstanceArn".into(), json!(instance_arn()));
        if row.status > Status::Starting {
            container.insert("logStreamName".into(), json!(spec.log_stream(node(row), attempt_id)));
        }
    }
    container.extend(object([("exitCode", json!(row.exit_code)), ("reason", json!(row.reason))]));
    container
}

/// API: EcsPropertiesDetail.
fn ecs_properties(row: &JobRow, spec: &Spec, task: &Task, attempts: &[Attempt]) -> Value {
    let attempt_id = row.attempt_id.as_deref().filter(|_| row.status > Status::Runnable);
    let last = attempts.iter().find(|attempt| Some(attempt.attempt_id.as_str()) == row.attempt_id.as_deref());
    let containers = task.containers.iter().enumerate().map(|(index, container)| {
        let mut shown = with_lists(container.clone());
        // The volumes are the task's.
        shown.remove("volumes");
        let end = last.map(|attempt| end_of(attempt, task, index));
        let has_stream = end.as_ref().is_none_or(has_stream);
        if let Some(attempt_id) = attempt_id.filter(|_| row.status > Status::Starting && has_stream) {
            shown.insert("logStreamName".into(), json!(spec.stream_of(container, attempt_id)));
        }
        if let Some(end) = end {
            shown.extend(object([("exitCode", json!(end.exit_code)), ("reason", json!(end.reason))]));
        }
        Value::Object(shown)
    });
    let mut shown = task.to_json(containers.collect());
    if let Some(attempt_id) = attempt_id {
        shown["taskArn"] = json!(task_arn(attempt_id));
        shown["containerInstanceArn"] = json!(instance_arn());
    }
    json!({"taskProperties": [shown]})
}

/// Whether a container has a log stream. API, AttemptTaskContainerDetails.logStreamName: containers
/// get it "when they reach the RUNNING status", so one that never ran has none.
fn has_stream(end: &ContainerEnd) -> bool {
    end.started
}

/// How a container of a task has ended. Some attempts end without ends of their containers: a
/// process of the host, a task that could not be started, and a lost attempt. The end of such an
/// attempt is shown as that of the main container.
fn end_of(attempt: &Attempt, task: &Task, index: usize) -> ContainerEnd {
    if !attempt.containers.is_empty() {
        return attempt.containers.get(index).cloned().unwrap_or_default();
    }
    let started = attempt.started_at.is_some();
    if index != task.main() {
        return ContainerEnd { started, ..ContainerEnd::default() };
    }
    ContainerEnd { started, exit_code: attempt.exit_code, reason: attempt.reason.clone(), output: None }
}

/// API: AttemptEcsTaskDetails.
fn attempt_task(attempt: &Attempt, spec: &Spec, task: &Task) -> Value {
    let attempt_id = attempt.attempt_id.as_str();
    let containers = task.containers.iter().enumerate().map(|(index, container)| {
        let end = end_of(attempt, task, index);
        let stream = has_stream(&end).then(|| spec.stream_of(container, attempt_id));
        Value::Object(object([
            ("name", json!(task::name(container))),
            ("exitCode", json!(end.exit_code)),
            ("reason", json!(end.reason)),
            ("logStreamName", json!(stream)),
            ("networkInterfaces", json!([])),
        ]))
    });
    json!({
        "containerInstanceArn": instance_arn(),
        "taskArn": task_arn(attempt_id),
        "containers": containers.collect::<Vec<_>>(),
    })
}

/// API: AttemptDetail.
fn attempt(attempt: &Attempt, spec: &Spec, node: Option<u32>) -> Value {
    let container = object([
        ("containerInstanceArn", json!(instance_arn())),
        ("taskArn", json!(task_arn(attempt.attempt_id.as_str()))),
        ("exitCode", json!(attempt.exit_code)),
        ("reason", json!(attempt.reason)),
        ("logStreamName", json!(spec.log_stream(node, attempt.attempt_id.as_str()))),
        ("networkInterfaces", json!([])),
    ]);
    let task = spec.task.as_ref().map(|task| json!([attempt_task(attempt, spec, task)]));
    let container = if task.is_some() { Map::new() } else { container };
    Value::Object(object([
        ("container", Value::Object(container)),
        ("taskProperties", json!(task)),
        ("startedAt", json!(attempt.started_at)),
        ("stoppedAt", json!(attempt.stopped_at)),
        ("statusReason", json!(attempt.status_reason)),
    ]))
}

/// A field that "is only present when the value is `true`" (API, JobSummary).
fn flag(value: bool) -> Value {
    if value { json!(true) } else { Value::Null }
}

/// API: JobCapacityUsageSummary: "The configured capacity usage information for this job". What it
/// is for the parent of an array or of a multi-node job is not documented, so these have none.
fn capacity_usage(row: &JobRow, spec: &Spec) -> Value {
    if row.size.is_some() || row.nodes.is_some() {
        return Value::Null;
    }
    let vcpus = match &spec.task {
        Some(task) => task.containers.iter().map(vcpus).sum(),
        None => vcpus(spec.container(node(row))),
    };
    vcpus.map_or(Value::Null, capacity)
}

/// The vCPUs that a container asks for.
fn vcpus(container: &Map<String, Value>) -> Option<f64> {
    let requirements = container.get("resourceRequirements").and_then(Value::as_array);
    let vcpus = requirements.into_iter().flatten().find(|r| r["type"] == "VCPU");
    let vcpus = vcpus.and_then(|r| r["value"].as_str()?.parse::<f64>().ok());
    vcpus.or_else(|| container.get("vcpus").and_then(Value::as_f64))
}

/// A list of one kind of capacity: vCPUs.
pub fn capacity(vcpus: f64) -> Value {
    json!([{"capacityUnit": "VCPU", "quantity": vcpus}])
}

/// API: JobSummary.
pub fn summary(row: &JobRow, spec: &Spec) -> Value {
    let container = object([("exitCode", json!(row.exit_code)), ("reason", json!(row.reason))]);
    let container = if container.is_empty() { Value::Null } else { Value::Object(container) };
    let nodes = match (row.nodes, node(row)) {
        (Some(count), _) => json!({"numNodes": count}),
        (None, Some(index)) => json!({
            "isMainNode": main_node(spec) == Some(index),
            "numNodes": row.node_of,
            "nodeIndex": index,
        }),
        (None, None) => Value::Null,
    };
    Value::Object(object([
        ("jobArn", json!(arn("job", &row.id))),
        ("jobId", json!(row.id)),
        ("jobName", json!(row.name)),
        ("createdAt", json!(row.created_at)),
        ("status", json!(row.status.as_str())),
        ("statusReason", json!(row.status_reason)),
        ("capacityUsage", capacity_usage(row, spec)),
        ("scheduledAt", json!(row.scheduled_at)),
        ("startedAt", json!(row.started_at)),
        ("stoppedAt", json!(row.stopped_at)),
        ("container", container),
        ("arrayProperties", array_properties(row)),
        ("nodeProperties", nodes),
        ("isCancelled", flag(row.cancelled == Some(true))),
        ("isTerminated", flag(row.cancelled == Some(false))),
        ("shareIdentifier", json!(spec.rest.get("shareIdentifier"))),
        ("jobDefinition", json!(spec.job_definition)),
    ]))
}
