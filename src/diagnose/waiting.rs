//! Jobs that wait, start or run, and jobs that succeeded.

use super::evidence::{Dependency, Evidence};
use super::failure_cause::Cause;
use super::finding::{Code, Finding};
use super::{blocked, capacity, consumables, queue_position};
use awsb_model::{Status, words};

/// The time, in milliseconds, after which the start of a container is considered slow.
const SLOW_START: i64 = 5 * 60 * 1000;
/// The number of dependencies that a finding names.
const NAMED: usize = 5;

pub fn succeeded(evidence: &Evidence) -> Finding {
    let what = match (evidence.job.size, evidence.job.nodes, evidence.job.attempts.len()) {
        (Some(size), ..) => format!("{size} of {}", words::many(size, "child")),
        (_, Some(_), _) => "its main node ended with exit code 0".to_owned(),
        (.., tries @ 2..) => format!("it ended with exit code 0 at the {} attempt", words::place(tries)),
        _ => "it ended with exit code 0".to_owned(),
    };
    Finding::new(Code::Succeeded, what)
}

pub fn submitted(evidence: &Evidence) -> Finding {
    let message = "Batch has accepted it and checks its dependencies next, which takes a moment".to_owned();
    let waited = evidence.job.created_at.map_or(0, |at| evidence.now.saturating_sub(at));
    let finding = Finding::new(Code::Submitted, message);
    if waited > SLOW_START {
        finding.advise(
            "longer than that is unusual: https://health.aws.amazon.com/health/status shows \
                        whether Batch has problems",
        )
    } else {
        finding
    }
}

pub fn pending(evidence: &Evidence) -> Vec<Finding> {
    let found = dependencies(evidence);
    if !found.is_empty() {
        return found;
    }
    let message = match evidence.dependencies.is_empty() {
        true => "it waits for jobs that Batch does not name",
        false => "all jobs that it waited for have succeeded; it continues in a moment",
    };
    vec![Finding::new(Code::DependenciesDone, message)]
}

/// The findings for the dependencies that are not done.
pub fn dependencies(evidence: &Evidence) -> Vec<Finding> {
    let all = evidence.dependencies.len();
    let mut found = Vec::new();
    let known = |d: &&Dependency| d.job.as_ref().is_some_and(|job| job.status != Status::Succeeded);
    let (failed, open): (Vec<&Dependency>, Vec<&Dependency>) = evidence
        .dependencies
        .iter()
        .filter(known)
        .partition(|d| d.job.as_ref().is_some_and(|job| job.status == Status::Failed));
    for dependency in failed {
        let Some(job) = &dependency.job else { continue };
        let cause = Cause::of(&job.end, job.ended_by_user).short;
        let message = format!(
            "a job that it waits for has failed, so this job will fail, too: {} ({cause})",
            job.called()
        );
        let why = format!("`bstat --why {}` shows why; submit both again", dependency.id);
        found.push(Finding::new(Code::DependencyFailed, message).advise(why));
    }
    if let Some(first) = open.first() {
        let each: Vec<String> = open
            .iter()
            .filter_map(|d| d.job.as_ref())
            .map(|job| format!("{} is {}", job.called(), job.status))
            .collect();
        let of = if all == 1 { "a job".to_owned() } else { format!("{} of {all} jobs", open.len()) };
        let waits = format!("it waits for {of} that must succeed first: {}", words::some(&each, NAMED));
        let why = format!("`bstat --why {}` explains the first one", first.id);
        found.push(Finding::new(Code::DependencyNotDone, waits).advise(why));
    }
    let unknown: Vec<&str> =
        evidence.dependencies.iter().filter(|d| d.job.is_none()).map(|d| d.id.as_str()).collect();
    if !unknown.is_empty() {
        let message = format!(
            "Batch does not have a job that it waits for: {} (it removes jobs some days after their end)",
            words::some(&unknown, NAMED)
        );
        found.push(Finding::new(Code::DependencyUnknown, message));
    }
    found
}

pub fn runnable(evidence: &Evidence) -> Vec<Finding> {
    let room = capacity::findings(evidence);
    let mut found = room.certain;
    let never = !found.is_empty();
    if let Some(mut own) = blocked::finding(&evidence.job, &evidence.environments, &found) {
        if never {
            own.advice.clear();
        }
        found.push(own);
    }
    if !never {
        let missing = consumables::own(evidence);
        let waits_for_resource = !missing.is_empty();
        found.extend(missing);
        found.extend(queue_position::head(evidence));
        found.extend(consumables::of_head(evidence));
        found.extend(room.now);
        let (first, behind): (Vec<Finding>, Vec<Finding>) =
            queue_position::place(evidence).into_iter().partition(|f| f.code == Code::HeadOfQueue);
        // A place is of no use to a job without its licence.
        let is_of_use = |f: &Finding| !(waits_for_resource && f.code == Code::RoomIsThere);
        found.extend(behind.into_iter().chain(room.scaling.into_iter().filter(is_of_use)).chain(first));
    }
    found.extend(room.notes);
    found.extend(retry(evidence));
    found.extend(status_reason(evidence));
    if found.is_empty() {
        found.push(Finding::new(Code::NothingFound, "no obstacle can be seen: it waits for its place"));
    }
    found
}

/// The finding for a retry: the next attempt, and the end of the last one.
fn retry(evidence: &Evidence) -> Option<Finding> {
    let job = &evidence.job;
    let last = job.attempts.last()?;
    let next = job.attempts.len() + 1;
    let cause = Cause::of(&last.end, false).short;
    let message =
        format!("it waits for attempt {next} of {}; the last one failed: {cause}", job.attempts_allowed);
    Some(Finding::new(Code::RetryWaiting, message))
}

/// The finding for AWS's status reason, unless it is a code for a blocked queue or the reason of
/// the last attempt's end.
fn status_reason(evidence: &Evidence) -> Option<Finding> {
    let reason = evidence.job.end.status_reason.as_deref().filter(|reason| !reason.is_empty())?;
    let of_last = evidence.job.attempts.last().and_then(|last| last.end.status_reason.as_deref());
    if blocked::code(reason).is_some() || of_last == Some(reason) {
        return None;
    }
    Some(Finding::new(Code::WaitReason, format!("Batch says: {reason}")))
}

pub fn starting(evidence: &Evidence) -> Vec<Finding> {
    let job = &evidence.job;
    let image = job.image.as_ref().map(|image| format!(" {image}")).unwrap_or_default();
    let since = job.attempts.last().and_then(|last| last.stopped_at).or(job.created_at);
    let waited = since.map_or(0, |at| evidence.now.saturating_sub(at));
    let message = match job.is_process {
        true => "it has its place, and its process is being started on this machine".to_owned(),
        false => format!(
            "it has its place, and its container is being prepared: the image{image} is pulled and the network \
             set up"
        ),
    };
    let mut first = Finding::new(Code::Starting, message);
    if waited > SLOW_START && job.is_process {
        first = first
            .advise("longer than a moment is unusual: `blocal status` shows whether the local cluster works");
    } else if waited > SLOW_START {
        first = first
            .advise(
                "a large image takes minutes on a new instance; without a way to the registry (NAT gateway, \
                 public address or VPC endpoints for ECR and S3), it never arrives",
            )
            .advise(
                "multi-node jobs need a network interface for each node: check that the subnets have \
                     free addresses",
            );
    }
    std::iter::once(first).chain(retry_of_started(evidence)).collect()
}

fn retry_of_started(evidence: &Evidence) -> Option<Finding> {
    let last = evidence.job.attempts.last()?;
    let cause = Cause::of(&last.end, false).short;
    let (this, of) = (evidence.job.attempts.len() + 1, evidence.job.attempts_allowed);
    Some(Finding::new(
        Code::EarlierAttempt,
        format!("this is attempt {this} of {of}; the one before failed: {cause}"),
    ))
}

/// The finding that somebody has asked a job to end, and that it has not ended yet.
pub fn ending(evidence: &Evidence) -> Option<Finding> {
    let job = &evidence.job;
    let message = "it was asked to end (`bkill`, TerminateJob or CancelJob), and has not ended yet";
    (job.ended_by_user && !job.status.has_ended()).then(|| Finding::new(Code::Ending, message))
}

pub fn running(evidence: &Evidence) -> Vec<Finding> {
    let job = &evidence.job;
    let since = job.started_at.map(|at| evidence.now.saturating_sub(at));
    let mut message = match since {
        Some(ms) => format!("it has been running for {}", words::span(ms)),
        None => "it runs".to_owned(),
    };
    if let (Some(limit), Some(ms)) = (job.timeout, since) {
        let left = i64::from(limit) * 1000 - ms;
        message.push_str(&match left {
            0.. => format!("; its timeout ends it in {} if it is still running then", words::span(left)),
            _ => "; its timeout is over: it is being ended".to_owned(),
        });
    }
    let last = evidence.log.as_ref().and_then(|log| log.lines.last()).and_then(|(at, _)| *at);
    message.push_str(&match (last, &evidence.log) {
        (None, Some(log)) if log.missing.is_some() => String::new(),
        (Some(at), _) => {
            format!("; its last line of output came {} ago", words::span(evidence.now.saturating_sub(at)))
        }
        (None, Some(_)) => "; it has printed nothing so far".to_owned(),
        (None, None) => String::new(),
    });
    let mut found = vec![Finding::new(Code::Running, message)];
    found.extend(retry_of_started(evidence));
    found
}
