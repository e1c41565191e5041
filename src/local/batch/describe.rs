//! Rows of the database as the JSON that AWS answers with.

use serde_json::{Map, Value, json};

use super::definition::arn;
use super::reader::JobRow;
use super::request::Spec;
use super::state::Attempt;
use crate::job::Status;
use crate::local::{ACCOUNT, COMPUTE_ENVIRONMENT, QUEUE, REGION};

/// A JSON object of the fields that are there.
fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_owned(), v)).collect()
}

/// API: ArrayPropertiesDetail and ArrayPropertiesSummary.
fn array_properties(row: &JobRow) -> Value {
    match (row.size, row.index) {
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
fn task_arn(task: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{COMPUTE_ENVIRONMENT}/{task}")
}

/// The ARN of this machine as an ECS container instance.
pub fn instance_arn() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/{COMPUTE_ENVIRONMENT}/local")
}

/// API: JobDetail.
pub fn detail(row: &JobRow, spec: &Spec, attempts: &[Attempt]) -> Value {
    let mut job = object([
        ("jobArn", json!(arn("job", &row.id))),
        ("jobName", json!(row.name)),
        ("jobId", json!(row.id)),
        ("jobQueue", json!(arn("job-queue", QUEUE))),
        ("status", json!(row.status.as_str())),
        ("attempts", attempts.iter().map(|a| attempt(a, spec)).collect()),
        ("statusReason", json!(row.status_reason)),
        ("createdAt", json!(row.created_at)),
        ("startedAt", json!(row.started_at)),
        ("stoppedAt", json!(row.stopped_at)),
        ("dependsOn", json!([])),
        ("jobDefinition", json!(spec.job_definition)),
        ("parameters", json!(spec.parameters)),
        ("container", Value::Object(container(row, spec))),
        ("arrayProperties", array_properties(row)),
        ("eksAttempts", json!([])),
        ("isCancelled", json!(row.cancelled == Some(true))),
        ("isTerminated", json!(row.cancelled == Some(false))),
    ]);
    job.extend(spec.rest.clone());
    Value::Object(job)
}

/// API: ContainerDetail.
fn container(row: &JobRow, spec: &Spec) -> Map<String, Value> {
    let mut container = spec.container.clone();
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
    // A job that waits for its first or its next attempt is in no task.
    let placed = row.status > Status::Runnable;
    if let Some(task) = row.task.as_ref().filter(|_| placed) {
        container.insert("taskArn".into(), json!(task_arn(task)));
        container.insert("containerInstanceArn".into(), json!(instance_arn()));
        if row.status > Status::Starting {
            container.insert("logStreamName".into(), json!(spec.log_stream(task)));
        }
    }
    container.extend(object([("exitCode", json!(row.exit_code)), ("reason", json!(row.reason))]));
    container
}

/// API: AttemptDetail.
fn attempt(attempt: &Attempt, spec: &Spec) -> Value {
    let container = object([
        ("containerInstanceArn", json!(instance_arn())),
        ("taskArn", json!(task_arn(attempt.task.as_str()))),
        ("exitCode", json!(attempt.exit_code)),
        ("reason", json!(attempt.reason)),
        ("logStreamName", json!(spec.log_stream(attempt.task.as_str()))),
        ("networkInterfaces", json!([])),
    ]);
    Value::Object(object([
        ("container", Value::Object(container)),
        ("startedAt", json!(attempt.started_at)),
        ("stoppedAt", json!(attempt.stopped_at)),
        ("statusReason", json!(attempt.status_reason)),
    ]))
}

/// API: JobSummary.
pub fn summary(row: &JobRow, job_definition: &str) -> Value {
    let container = object([("exitCode", json!(row.exit_code)), ("reason", json!(row.reason))]);
    let container = if container.is_empty() { Value::Null } else { Value::Object(container) };
    Value::Object(object([
        ("jobArn", json!(arn("job", &row.id))),
        ("jobId", json!(row.id)),
        ("jobName", json!(row.name)),
        ("createdAt", json!(row.created_at)),
        ("status", json!(row.status.as_str())),
        ("statusReason", json!(row.status_reason)),
        ("startedAt", json!(row.started_at)),
        ("stoppedAt", json!(row.stopped_at)),
        ("container", container),
        ("arrayProperties", array_properties(row)),
        ("jobDefinition", json!(job_definition)),
    ]))
}
