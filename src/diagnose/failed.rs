//! Jobs that failed.

use super::evidence::{End, Facts, JobFacts};
use super::failure_cause::Cause;
use super::{Code, Finding, words};

/// The lines of output that are shown at most.
pub const LINES: usize = 10;

/// How the job's last attempt ended.
pub fn end(job: &JobFacts) -> End {
    let last = job.attempts.last().map(|a| a.end.clone()).unwrap_or_default();
    End {
        status_reason: job.end.status_reason.clone().or(last.status_reason),
        reason: job.end.reason.clone().or(last.reason),
        exit_code: job.end.exit_code.or(last.exit_code),
    }
}

/// Why it failed, and how its attempts went.
pub fn failed(facts: &Facts) -> Vec<Finding> {
    let job = &facts.job;
    let end = end(job);
    let lines = facts.log.iter().flat_map(|log| &log.lines).map(|(_, line)| line.as_str());
    let cause = Cause::of(&end, job.ended_by_user).with_output(lines);
    let mut first = match cause.code {
        Code::DependencyFailed => dependency(facts),
        _ if !facts.chain.is_empty() => dependency(facts),
        _ => cause.finding(job, &end),
    };
    if let Some(log) = facts.log.as_ref().filter(|log| log.lines.len() >= LINES) {
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

/// Another job failed: which one, and for which it did so, down to the one that began it.
fn dependency(facts: &Facts) -> Finding {
    let Some(root) = facts.chain.last() else {
        return Finding::new(
            Code::DependencyFailed,
            "a job that it depended on failed; Batch does not say which (it removes jobs some days after \
             their end)",
        );
    };
    let cause = Cause::of(&end(root), root.ended_by_user).short;
    let way: Vec<String> = facts.chain.iter().map(JobFacts::called).collect();
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
