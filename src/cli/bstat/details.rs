//! One job in detail: its identity, times, attempts and dependencies, its children or nodes.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::columns::{ENDING, command, waited};
use super::progress::by_status;
use super::row::{JobRow, PartsExcerpt, RowDetails};
use crate::batch::{self, Attempt, AttemptContainer, Job, JobDetails};
use crate::ui::{local_rfc3339, span};
use awsb_model::payload::launcher;
use awsb_model::{SecretWords, Status, exit_code_in_words, words};

/// Keys and values.
type DetailLines = Vec<(String, String)>;

/// A row in detail: keys and values.
pub fn lines(row: &JobRow, environment: Option<&EnvironmentView>, now: i64) -> DetailLines {
    let Some(details) = &row.details else { return Vec::new() };
    let RowDetails { described, dependencies, parts } = details.as_ref();
    let job = &described.job.clone().with_listed(&row.job);
    let environment = environment.map(|environment| environment.lines(described)).unwrap_or_default();
    let groups = [
        identity(job),
        times(job, now),
        container(job),
        attempts(job),
        containers(job),
        waits_for(job, dependencies),
        part_lines(job, parts),
        environment,
    ];
    groups.concat()
}

fn line(key: impl Into<String>, value: impl Into<String>) -> (String, String) {
    (key.into(), value.into())
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

fn time(epoch_ms: Option<i64>) -> String {
    epoch_ms.filter(|t| *t > 0).map(local_rfc3339).unwrap_or_default()
}

/// The job's names and its state.
fn identity(job: &Job) -> DetailLines {
    let share = job.share_identifier.as_ref().map(|share| line("share", share));
    let priority = job.scheduling_priority.map(|n| line("priority", n.to_string()));
    let ending = job.is_ending().then(|| line("ending", ENDING));
    let submitter = job.submitter.as_ref().map(|s| line("submittedBy", s.as_str()));
    [
        line("jobId", &job.job_id),
        line("jobName", &job.job_name),
        line("jobQueue", text(job.job_queue.as_deref())),
        line("jobDefinition", text(job.job_definition.as_deref())),
        line("status", job.status.as_str()),
        line("statusReason", text(job.status_reason.as_deref())),
    ]
    .into_iter()
    .chain([ending, share, priority, submitter].into_iter().flatten())
    .collect()
}

/// The times of a job. Batch has the time of the submission, and those at which attempts began and
/// ended. It does not have the time of a change of state, so waiting in the queue and starting are
/// one.
fn times(job: &Job, now: i64) -> DetailLines {
    let mut lines = vec![
        line("createdAt", time(job.created_at)),
        line("startedAt", time(job.started_at)),
        line("stoppedAt", time(job.stopped_at)),
    ];
    if let Some(waited) = waited(job, now) {
        // docs/bstat.md defines this time.
        let is_waiting = !matches!(job.status, Status::Running | Status::Succeeded | Status::Failed);
        let so_far = if is_waiting { " so far" } else { "" };
        lines.push(line("waited", format!("{}{so_far}", span(waited))));
    }
    if let Some((ran, all)) = ran(job, now) {
        let of_all = if all > 1 { format!(" (its {all} attempts together)") } else { String::new() };
        let so_far = if job.status == Status::Running { " so far" } else { "" };
        lines.push(line("ran", format!("{}{so_far}{of_all}", span(ran))));
    }
    lines
}

/// The time that the attempts ran, in milliseconds, and the number of attempts.
fn ran(job: &Job, now: i64) -> Option<(i64, usize)> {
    let ended = job.attempts.as_deref().unwrap_or_default();
    let spans = ended.iter().filter_map(|a| Some((a.started_at?, a.stopped_at?)));
    let spans = spans.filter(|(from, to)| *from > 0 && to >= from);
    let mut spans: Vec<(i64, i64)> = spans.collect();
    let last = job.started_at.filter(|t| *t > 0 && spans.iter().all(|(from, _)| from != t));
    if let Some(started) = last.filter(|_| !job.is_array_parent()) {
        let stopped = job.stopped_at.filter(|t| *t >= started);
        let until = stopped.or_else(|| (job.status == Status::Running).then_some(now));
        spans.extend(until.map(|until| (started, until.max(started))));
    }
    let all = spans.len();
    (all > 0).then(|| (spans.iter().fold(0, |all, (from, to)| (to - from).saturating_add(all)), all))
}

/// The container and its resources; of an MNP job, those of its main node.
fn container(job: &Job) -> DetailLines {
    let container = job.main_container();
    let gpus = job.resource("GPU").map(|n| line("gpus", n));
    let consumes = job.consumable_resource_properties.iter().flat_map(|all| &all.consumable_resource_list);
    let consumes: Vec<String> = consumes.map(|of| format!("{} of {}", of.quantity, of.name())).collect();
    let consumables = (!consumes.is_empty()).then(|| line("consumes", consumes.join(", ")));
    let retries = job.retry_strategy.as_ref().and_then(|r| r.attempts).filter(|n| *n > 1);
    let timeout = job.timeout.as_ref().and_then(|t| t.attempt_duration_seconds);
    [
        line("command", command(job)),
        line("image", text(container.and_then(|c| c.image.as_deref()))),
        line("vcpus", job.resource("VCPU").unwrap_or_default()),
        line("memory", job.resource("MEMORY").unwrap_or_default()),
    ]
    .into_iter()
    .chain(gpus)
    .chain(consumables)
    .chain(timeout.map(|seconds| line("timeout", span(i64::from(seconds) * 1000))))
    .chain(retries.map(|n| line("tries", format!("up to {n}"))))
    .collect()
}

/// The attempts, each in a line, and the result of the last one.
fn attempts(job: &Job) -> DetailLines {
    let ended = job.attempts.as_deref().unwrap_or_default();
    let mut lines = vec![line("attempts", ended.len().to_string())];
    lines.extend((1..).zip(ended).map(|(number, a)| line(format!("attempt {number}"), attempt(a))));
    lines.extend([
        line("exitCode", job.exit_code().map(exit_code).unwrap_or_default()),
        line("reason", text(job.container_reason())),
        line("logStreamName", text(job.main_log_stream())),
    ]);
    lines.extend(job.task.map(|task| line("task", task.to_string())));
    lines
}

fn attempt(attempt: &Attempt) -> String {
    let ran = match (attempt.started_at, attempt.stopped_at) {
        (Some(from), Some(to)) if from > 0 => {
            format!("{} for {}", local_rfc3339(from), span(to.saturating_sub(from)))
        }
        // It was ended before it ran.
        (_, Some(to)) if to > 0 => format!("never ran, until {}", local_rfc3339(to)),
        _ => "never ran".to_owned(),
    };
    let pod = attempt.pod.as_ref().and_then(|pod| pod.pod_name.as_ref()).map(|pod| format!("pod {pod}"));
    let node = attempt.pod.as_ref().and_then(|pod| pod.node_name.as_ref()).map(|node| format!("node {node}"));
    if attempt.containers().len() > 1 {
        let reason = attempt.status_reason.clone().filter(|reason| !reason.is_empty());
        let containers = attempt.containers().into_iter().map(of_several);
        return [Some(ran), reason, pod, node]
            .into_iter()
            .flatten()
            .chain(containers)
            .collect::<Vec<_>>()
            .join("; ");
    }
    let code = attempt.container.exit_code.map(|code| format!("exit code {}", exit_code(code)));
    let stream = attempt.container.log_stream_name.as_ref().map(|stream| format!("log {stream}"));
    let reasons = batch::reasons(attempt.status_reason.as_deref(), attempt.container.reason.as_deref());
    let reasons = reasons.into_iter().map(|reason| Some(reason.to_owned()));
    let facts = [Some(ran), code].into_iter().chain(reasons).chain([stream, pod, node]);
    facts.flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A container of an attempt, with its name.
fn of_several(container: &AttemptContainer) -> String {
    let code = container.exit_code.map(|code| format!("exit code {}", exit_code(code)));
    let stream = container.log_stream_name.as_ref().map(|stream| format!("log {stream}"));
    let facts = [code, container.reason.clone(), stream].into_iter().flatten();
    let facts = facts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    let name = batch::shown_name(container.name.as_deref());
    if facts.is_empty() { format!("{name}: not started") } else { format!("{name}: {facts}") }
}

/// The containers of a job of several, and the pod of a job on EKS.
fn containers(job: &Job) -> DetailLines {
    let pod = job.pod().map(|pod| {
        [("podName", &pod.pod_name), ("podNamespace", &pod.namespace), ("nodeName", &pod.node_name)]
    });
    let pod = pod.into_iter().flatten().filter_map(|(key, value)| Some(line(key, value.as_ref()?)));
    let all = job.task_containers();
    let several = all.into_iter().filter(|_| job.has_several_containers()).map(|container| {
        let kind = if container.is_essential() { "essential" } else { "not essential" };
        let code = container.exit_code.map(|code| format!("exit code {}", exit_code(code)));
        let stream = container.log_stream_name.as_ref().map(|stream| format!("log {stream}"));
        let facts = [Some(kind.to_owned()), code, container.reason.clone(), container.image.clone(), stream];
        let facts = facts.into_iter().flatten().filter(|text| !text.is_empty());
        let name = batch::shown_name(container.name.as_deref());
        line(format!("container {name}"), facts.collect::<Vec<_>>().join("; "))
    });
    pod.chain(several).collect()
}

/// An exit code, with its meaning for shells and signals.
fn exit_code(code: i32) -> String {
    exit_code_in_words(code).map_or_else(|| code.to_string(), |words| format!("{code} ({words})"))
}

fn waits_for(job: &Job, others: &HashMap<String, Job>) -> DetailLines {
    let one = |on: &batch::Dependency| {
        let kind = on.kind.as_deref();
        let other = match on.job_id.as_deref() {
            Some(id) => match others.get(id) {
                Some(job) => format!("{id} {} ({})", job.status, job.job_name),
                None => format!("{id} (Batch no longer has it)"),
            },
            None => "each child on the one before it".to_owned(),
        };
        let how = match kind {
            Some("N_TO_N") => ", each child on the one with its index",
            Some("SEQUENTIAL") | None => "",
            Some(_) => ", by a kind of dependency that bstat does not know",
        };
        line("dependsOn", format!("{other}{how}"))
    };
    job.depends_on.iter().flatten().map(one).collect()
}

/// The children of an array, by state, and some that failed; the nodes of an MNP job.
fn part_lines(job: &Job, parts: &PartsExcerpt) -> DetailLines {
    let Some(size) = job.parts() else { return Vec::new() };
    match parts {
        PartsExcerpt::None => Vec::new(),
        PartsExcerpt::FailedChildren(first, more) => {
            let counts: Vec<String> = by_status(job).iter().map(|(s, n)| format!("{n} {s}")).collect();
            let mut lines = vec![line("children", size.to_string()), line("progress", counts.join(", "))];
            lines.extend(first.iter().map(|child| {
                let index = part(child);
                // Without a task of its own, the index is the task.
                let name = child.task.map(|task| words::child(index, Some(task)));
                let name = name.unwrap_or_else(|| index.to_string());
                line(format!("failed {name}"), part_summary(child))
            }));
            if *more > 0 {
                lines.push(line("failed …", format!("{more} more: `bstat --failed {}`", job.job_id)));
            }
            lines
        }
        PartsExcerpt::Nodes(first, more) => {
            let main = job.node_properties.as_ref().and_then(|nodes| nodes.main_node);
            let is_main = main.map(|index| format!(" (the main node is {index})")).unwrap_or_default();
            let mut lines = vec![line("nodes", format!("{size}{is_main}"))];
            lines.extend(first.iter().map(|node| line(format!("node {}", part(node)), part_summary(node))));
            if *more > 0 {
                lines.push(line("node …", format!("{more} more: `bstat -e {}`", job.job_id)));
            }
            lines
        }
    }
}

fn part(job: &Job) -> u32 {
    job.id().part().unwrap_or_default()
}

fn part_summary(job: &Job) -> String {
    let code = job.exit_code().map(|code| format!("exit code {}", exit_code(code)));
    let facts = [Some(job.status.to_string()), code, Some(job.reasons())];
    facts.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The way in which values of environment variables are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvValues {
    /// Values that look like secrets are masked, and the launcher's variables are described.
    Masked,
    /// All values are shown as they are.
    Unmasked,
}

/// Environment variables as a view shows them.
#[derive(Debug)]
pub struct EnvironmentView {
    /// How values are shown.
    pub values: EnvValues,
    /// Which values look like secrets.
    pub secrets: SecretWords,
}

impl EnvironmentView {
    /// The variables of a job, sorted by name.
    fn variables<'d>(&self, job: &'d JobDetails) -> impl Iterator<Item = (&'d str, String)> {
        let mut all: Vec<&(String, String)> = job.environment.iter().collect();
        all.sort();
        all.into_iter().map(move |(name, value)| (name.as_str(), self.value(name, value)))
    }

    fn value(&self, name: &str, value: &str) -> String {
        match self.values {
            EnvValues::Unmasked => value.to_owned(),
            // They carry the job's script, and are long.
            EnvValues::Masked if launcher::carries(name, value) => {
                let hint = match name {
                    launcher::LINES_VARIABLE => "",
                    launcher::BUNDLE_VARIABLE => {
                        "; `bstat --script` prints its script, if it has one; its arguments are not shown"
                    }
                    _ => "; `bstat --script` prints it",
                };
                format!("({}{hint})", words::many(value.chars().count(), "character"))
            }
            EnvValues::Masked => self.secrets.shown(name, value).to_owned(),
        }
    }

    fn lines(&self, job: &JobDetails) -> DetailLines {
        self.variables(job).map(|(name, value)| line("environment", format!("{name}={value}"))).collect()
    }

    /// The JSON of a job with its variables: in its container, where AWS has them.
    pub fn add_to(&self, mut element: Value, job: &JobDetails) -> Value {
        let variables: Vec<Value> =
            self.variables(job).map(|(name, value)| json!({"name": name, "value": value})).collect();
        match element.get_mut("container").filter(|container| container.is_object()) {
            Some(container) => container["environment"] = json!(variables),
            None => element["environment"] = json!(variables),
        }
        element
    }
}
