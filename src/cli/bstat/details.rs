//! One job in detail: what it is, where its time went, its attempts, what it waits for, its children or nodes.

use std::collections::{BTreeSet, HashMap};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::EnvWhich;
use super::columns::{command, waited};
use super::packed::PackedVariables;
use super::progress::by_status;
use super::value::Viewer;
use crate::aws::Session;
use crate::batch::{self, Attempt, Job, JobDetails, Of};
use crate::config;
use crate::ui::{Failure, Layout, Output, local_rfc3339, span};
use awsb_model::payload::launcher;
use awsb_model::{JobId, Secrets, Status, exit_code_in_words, words};

/// So many failed children are named.
const NAMED_CHILDREN: usize = 5;
/// So many nodes are named.
const NAMED_NODES: usize = 20;

type Lines = Vec<(String, String)>;

/// Shows each of these jobs in detail, with an empty line between two of them.
pub async fn show(
    session: &Session,
    output: &Output,
    env: Option<EnvWhich>,
    packed: &PackedVariables,
    viewer: &Viewer,
    jobs: &[Job],
    is_first: bool,
) -> Result<(), Failure> {
    let ids: Vec<JobId> = jobs.iter().map(Job::id).collect();
    let env = match env {
        Some(which) => Some((which, config::secrets()?)),
        None => None,
    };
    let mut known = batch::detailed(session, &ids).await?;
    if env.is_some() {
        packed.add(session, known.iter_mut().flatten()).await;
    }
    let others = dependencies(session, known.iter().flatten()).await?;
    let mut is_first = is_first;
    for (listed, detailed) in jobs.iter().zip(known) {
        // One that Batch has forgotten meanwhile stays as it was listed.
        let mut detailed =
            detailed.unwrap_or_else(|| JobDetails { job: listed.clone(), environment: Vec::new() });
        detailed.job.task = detailed.job.task.or(listed.task);
        let job = &detailed.job;
        let parts = parts(session, job).await?;
        let environment = env.as_ref().map(|(which, secrets)| environment(&detailed, *which, secrets));
        let lines =
            [about(job), times(job, viewer), container(job), attempts(job), waits_for(job, &others), parts];
        let lines = lines.into_iter().flatten().chain(environment.into_iter().flatten()).collect();
        if !std::mem::take(&mut is_first) {
            output.write(b"\n")?;
        }
        output.show_layout(&Layout::Details(lines))?;
    }
    Ok(())
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

/// What it is and how it stands.
fn about(job: &Job) -> Lines {
    let share = job.share_identifier.as_ref().map(|share| line("share", share));
    let priority = job.scheduling_priority.map(|n| line("priority", n.to_string()));
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
    .chain([share, priority, submitter].into_iter().flatten())
    .collect()
}

/// When it was where. Batch tells when a job was submitted, and when its attempts began to run and ended; not since
/// when it has been in its state, so that waiting in the queue and starting are one.
fn times(job: &Job, viewer: &Viewer) -> Lines {
    let mut lines = vec![
        line("createdAt", time(job.created_at)),
        line("startedAt", time(job.started_at)),
        line("stoppedAt", time(job.stopped_at)),
    ];
    if let Some(waited) = waited(job, viewer.now) {
        // docs/bstat.md says what the time is made of.
        let is_waiting = !matches!(job.status, Status::Running | Status::Succeeded | Status::Failed);
        let so_far = if is_waiting { " so far" } else { "" };
        lines.push(line("waited", format!("{}{so_far}", span(waited))));
    }
    if let Some((ran, all)) = ran(job, viewer.now) {
        let of_all = if all > 1 { format!(" (its {all} attempts together)") } else { String::new() };
        let so_far = if job.status == Status::Running { " so far" } else { "" };
        lines.push(line("ran", format!("{}{so_far}{of_all}", span(ran))));
    }
    lines
}

/// For how long its attempts ran, in milliseconds, and how many they are.
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
    (all > 0).then(|| (spans.iter().map(|(from, to)| to - from).sum(), all))
}

/// What runs, and with what. An MNP job has it on its main node.
fn container(job: &Job) -> Lines {
    let container = job.main_container();
    let gpus = job.resource("GPU").map(|n| line("gpus", n));
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
    .chain(timeout.map(|seconds| line("timeout", span(i64::from(seconds) * 1000))))
    .chain(retries.map(|n| line("tries", format!("up to {n}"))))
    .collect()
}

/// Its attempts, each in a line, and what the last one left.
fn attempts(job: &Job) -> Lines {
    let ended = job.attempts.as_deref().unwrap_or_default();
    let mut lines = vec![line("attempts", ended.len().to_string())];
    lines.extend((1..).zip(ended).map(|(number, a)| line(format!("attempt {number}"), attempt(a))));
    lines.extend([
        line("exitCode", job.exit_code().map(exit_code).unwrap_or_default()),
        line("reason", text(job.container.as_ref().and_then(|c| c.reason.as_deref()))),
        line("logStreamName", text(job.container.as_ref().and_then(|c| c.log_stream_name.as_deref()))),
    ]);
    lines.extend(job.task.map(|task| line("task", task.to_string())));
    lines
}

fn attempt(attempt: &Attempt) -> String {
    let ran = match (attempt.started_at, attempt.stopped_at) {
        (Some(from), Some(to)) if from > 0 => format!("{} for {}", local_rfc3339(from), span(to - from)),
        // It was ended before it ran, or never got so far.
        (_, Some(to)) if to > 0 => format!("never ran, until {}", local_rfc3339(to)),
        _ => "never ran".to_owned(),
    };
    let code = attempt.container.exit_code.map(|code| format!("exit code {}", exit_code(code)));
    let stream = attempt.container.log_stream_name.as_ref().map(|stream| format!("log {stream}"));
    let reasons = batch::reasons(attempt.status_reason.as_deref(), attempt.container.reason.as_deref());
    let reasons = reasons.into_iter().map(|reason| Some(reason.to_owned()));
    let told = [Some(ran), code].into_iter().chain(reasons).chain([stream]);
    told.flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

/// An exit code, with what shells and signals mean by it.
fn exit_code(code: i32) -> String {
    exit_code_in_words(code).map_or_else(|| code.to_string(), |words| format!("{code} ({words})"))
}

/// What the jobs depend on, by ID.
async fn dependencies(
    session: &Session,
    jobs: impl Iterator<Item = &JobDetails>,
) -> Result<HashMap<String, Job>, Failure> {
    let all = jobs.flat_map(|detailed| detailed.job.depends_on.iter().flatten());
    let ids: BTreeSet<JobId> = all.filter_map(|on| on.job_id.as_ref()).map(JobId::from_batch).collect();
    let ids: Vec<JobId> = ids.into_iter().collect();
    let known = batch::describe(session, &ids).await?;
    Ok(known.into_iter().flatten().map(|job| (job.job_id.clone(), job)).collect())
}

fn waits_for(job: &Job, others: &HashMap<String, Job>) -> Lines {
    let one = |on: &batch::Dependency| {
        let kind = on.kind.as_deref();
        let told = match on.job_id.as_deref() {
            Some(id) => match others.get(id) {
                Some(other) => format!("{id} {} ({})", other.status, other.job_name),
                None => format!("{id} (Batch no longer has it)"),
            },
            None => "each child on the one before it".to_owned(),
        };
        let how = match kind {
            Some("N_TO_N") => ", each child on the one with its index",
            Some("SEQUENTIAL") | None => "",
            Some(_) => ", by a kind of dependency that bstat does not know",
        };
        line("dependsOn", format!("{told}{how}"))
    };
    job.depends_on.iter().flatten().map(one).collect()
}

/// The children of an array, by state, and the first ones that failed; the nodes of an MNP job.
async fn parts(session: &Session, job: &Job) -> Result<Lines, Failure> {
    let Some(size) = job.parts() else { return Ok(Vec::new()) };
    if job.is_mnp_parent() {
        return nodes(session, job, size).await;
    }
    let counts: Vec<String> = by_status(job).iter().map(|(s, n)| format!("{n} {s}")).collect();
    let mut lines = vec![line("children", size.to_string()), line("progress", counts.join(", "))];
    let (first, more) = first_failures(session, job).await?;
    lines.extend(first.iter().map(|child| line(format!("failed {}", part(child)), part_told(child))));
    if more > 0 {
        lines.push(line("failed …", format!("{more} more: `bstat --failed {}`", job.job_id)));
    }
    Ok(lines)
}

/// Some children of an array that have failed, and how many more there are.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn first_failures(session: &Session, array: &Job) -> Result<(Vec<Job>, usize), Failure> {
    let failed = by_status(array).into_iter().find(|(s, _)| *s == Status::Failed).map_or(0, |(_, n)| n);
    if failed == 0 {
        return Ok((Vec::new(), 0));
    }
    // Those of the first page: to find the very first, all of them would have to be read.
    let page = batch::pages(session, Of::Array(array.id()), &[Status::Failed]).next().await;
    let mut first = page.transpose()?.map(|page| page.jobs).unwrap_or_default();
    first.sort_by_key(|child| child.id().part());
    first.truncate(NAMED_CHILDREN);
    let more = usize::try_from(failed).unwrap_or(usize::MAX).saturating_sub(first.len());
    Ok((first, more))
}

async fn nodes(session: &Session, job: &Job, size: u32) -> Result<Lines, Failure> {
    let main = job.node_properties.as_ref().and_then(|nodes| nodes.main_node);
    let is_main = main.map(|index| format!(" (the main node is {index})")).unwrap_or_default();
    let mut lines = vec![line("nodes", format!("{size}{is_main}"))];
    let nodes = batch::parts(session, job, &Status::ALL).await?;
    lines.extend(
        nodes.iter().take(NAMED_NODES).map(|node| line(format!("node {}", part(node)), part_told(node))),
    );
    if nodes.len() > NAMED_NODES {
        lines.push(line("node …", format!("{} more: `bstat -e {}`", nodes.len() - NAMED_NODES, job.job_id)));
    }
    Ok(lines)
}

fn part(job: &Job) -> u32 {
    job.id().part().unwrap_or_default()
}

fn part_told(job: &Job) -> String {
    let code = job.exit_code().map(|code| format!("exit code {}", exit_code(code)));
    let told = [Some(job.status.to_string()), code, Some(job.reasons())];
    told.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The variables, sorted by name. Those of the launcher, which carry the job's script, are long and nobody's.
fn shown_environment<'d>(
    detailed: &'d JobDetails,
    which: EnvWhich,
    secrets: &Secrets,
) -> impl Iterator<Item = (&'d str, String)> {
    let mut all: Vec<&(String, String)> = detailed.environment.iter().collect();
    all.sort();
    all.into_iter().map(move |(name, value)| {
        let value = match which {
            EnvWhich::All => value.clone(),
            EnvWhich::Harmless if launcher::carries(name, value) => {
                let hint = match name.as_str() {
                    launcher::LINES_VARIABLE => "",
                    launcher::BUNDLE_VARIABLE => {
                        "; `bstat --script` prints its script, if it has one; its arguments are not shown"
                    }
                    _ => "; `bstat --script` prints it",
                };
                format!("({}{hint})", words::many(value.chars().count(), "character"))
            }
            EnvWhich::Harmless => secrets.shown(name, value).to_owned(),
        };
        (name.as_str(), value)
    })
}

fn environment(detailed: &JobDetails, which: EnvWhich, secrets: &Secrets) -> Lines {
    let shown = shown_environment(detailed, which, secrets);
    shown.map(|(name, value)| line("environment", format!("{name}={value}"))).collect()
}

/// The jobs as JSON, with their environment where AWS has it.
pub async fn with_environment(
    session: &Session,
    which: EnvWhich,
    packed: &PackedVariables,
    jobs: &[Job],
) -> Result<Vec<Value>, Failure> {
    let ids: Vec<JobId> = jobs.iter().map(Job::id).collect();
    let secrets = config::secrets()?;
    let mut known = batch::detailed(session, &ids).await?;
    packed.add(session, known.iter_mut().flatten()).await;
    let one = |(job, detailed): (&Job, Option<JobDetails>)| {
        let Some(detailed) = detailed else { return job.to_json() };
        let variables = shown_environment(&detailed, which, &secrets);
        let variables: Vec<Value> =
            variables.map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut element = Job { task: job.task, ..detailed.job.clone() }.to_json();
        match element.get_mut("container").filter(|container| container.is_object()) {
            Some(container) => container["environment"] = json!(variables),
            None => element["environment"] = json!(variables),
        }
        element
    };
    Ok(jobs.iter().zip(known).map(one).collect())
}
