//! One job in detail.

use super::columns::time;
use crate::batch::{Container, Job};
use crate::stage::launcher;

/// A job's details.
pub fn details(job: &Job) -> Vec<(String, String)> {
    let container = job.container.as_ref();
    let resource = |kind: &str| {
        let all = container.and_then(|c| c.resource_requirements.as_deref()).unwrap_or_default();
        all.iter().find(|r| r.kind == kind).map(|r| r.value.clone())
    };
    let old = |field: fn(&Container) -> Option<i32>| container.and_then(field).map(|n| n.to_string());
    let command = container.and_then(|c| c.command.as_deref()).unwrap_or_default();
    let command = launcher::quote_all(launcher::without_launcher(command).iter().map(AsRef::as_ref));
    let command = command.to_string_lossy().into_owned();
    let launched = container.and_then(|c| c.launched.clone()).unwrap_or_default();
    let attempts = job.attempts.as_ref().map_or(0, Vec::len);
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let task = job.task.map(|task| ("task", task.to_string()));
    [
        ("jobId", job.job_id.clone()),
        ("jobName", job.job_name.clone()),
        ("jobQueue", text(job.job_queue.as_deref())),
        ("jobDefinition", text(job.job_definition.as_deref())),
        ("status", job.status.to_string()),
        ("statusReason", text(job.status_reason.as_deref())),
        ("createdAt", time(job.created_at)),
        ("startedAt", time(job.started_at)),
        ("stoppedAt", time(job.stopped_at)),
        ("command", if command.is_empty() { launched } else { command }),
        ("vcpus", resource("VCPU").or_else(|| old(|c| c.vcpus)).unwrap_or_default()),
        ("memory", resource("MEMORY").or_else(|| old(|c| c.memory)).unwrap_or_default()),
        ("attempts", attempts.to_string()),
        ("exitCode", job.exit_code().map(|c| c.to_string()).unwrap_or_default()),
        ("reason", text(container.and_then(|c| c.reason.as_deref()))),
        ("logStreamName", text(container.and_then(|c| c.log_stream_name.as_deref()))),
    ]
    .into_iter()
    .chain(task)
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
