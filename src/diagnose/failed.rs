//! Jobs that failed.

use super::evidence::{End, Evidence, ObservedJob};
use super::failure_cause::Cause;
use super::finding::{Code, Finding};
use awsb_model::{Status, words};

/// The number of lines of output that are shown at most.
pub const LINES: usize = 10;

/// How the last attempt of a job ended.
pub fn end(job: &ObservedJob) -> End {
    let last = job.attempts.last().map(|a| a.end.clone()).unwrap_or_default();
    End {
        status_reason: job.end.status_reason.clone().or(last.status_reason),
        reason: job.end.reason.clone().or(last.reason),
        exit_code: job.end.exit_code.or(last.exit_code),
    }
}

/// Whether a job failed only because a job that it depended on had failed.
pub fn failed_for_another(job: &ObservedJob) -> bool {
    job.status == Status::Failed && Cause::of(&end(job), job.ended_by_user).code == Code::DependencyFailed
}

/// Whether a job failed because a user ended it.
pub fn failed_by_user(job: &ObservedJob) -> bool {
    job.status == Status::Failed && Cause::of(&end(job), job.ended_by_user).code == Code::Terminated
}

/// Why a job failed, and how its attempts ended.
pub fn failed(evidence: &Evidence) -> Vec<Finding> {
    let job = &evidence.job;
    let end = end(job);
    let lines = evidence.log.iter().flat_map(|log| &log.lines).map(|(_, line)| line.as_str());
    let cause = Cause::of(&end, job.ended_by_user).with_output(lines);
    let mut first = match cause.code {
        Code::DependencyFailed => dependency(evidence),
        _ if !evidence.chain.is_empty() => dependency(evidence),
        _ => cause.finding(job, &end),
    };
    if let Some(log) = evidence.log.as_ref().filter(|log| log.lines.len() >= LINES) {
        first = first.advise(format!("`bout {}` shows all of the output", log.job_id));
    }
    let mut found = vec![first];
    let before: Vec<Cause> =
        job.attempts.iter().rev().skip(1).rev().map(|attempt| Cause::of(&attempt.end, false)).collect();
    if before.len() > 1 && before.iter().all(|b| b == &before[0]) {
        let (count, of) = (before.len(), job.attempts.len());
        let message = format!("the {count} attempts before, of {of}: {}", before[0].short);
        found.push(Finding::new(Code::EarlierAttempt, message));
    } else {
        found.extend(before.iter().enumerate().map(|(at, cause)| {
            let message = format!("attempt {} of {}: {}", at + 1, job.attempts.len(), cause.short);
            Finding::new(Code::EarlierAttempt, message)
        }));
    }
    found
}

/// Another job failed: which one, and the chain down to the first that failed.
fn dependency(evidence: &Evidence) -> Finding {
    let Some(root) = evidence.chain.last() else {
        return Finding::new(
            Code::DependencyFailed,
            "a job that it depended on failed; Batch does not say which (it removes jobs some days after \
             their end)",
        );
    };
    let cause = Cause::of(&end(root), root.ended_by_user).short;
    let way: Vec<String> = evidence.chain.iter().map(ObservedJob::called).collect();
    let message = match way.as_slice() {
        [one] => format!("a job that it depended on failed: {one}: {cause}"),
        [first, between @ .., last] => {
            let through =
                if between.is_empty() { String::new() } else { format!(", {}", words::and(between)) };
            format!(
                "a job that it depended on failed, {first}{through}; the first failure was {last}: {cause}"
            )
        }
        [] => String::new(),
    };
    let root = &root.id;
    Finding::new(Code::DependencyFailed, message)
        .advise(format!("`bstat --why {root}` and `bout {root}` show more; fix that job and resubmit both"))
}
