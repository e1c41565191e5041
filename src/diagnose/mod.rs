//! Why a job does not run, or why it failed: from [`Evidence`] to a [`Diagnosis`].
//!
//! | module    | it explains                                                                 |
//! |-----------|-----------------------------------------------------------------------------|
//! | `waiting` | jobs that are SUBMITTED, PENDING, STARTING or RUNNING, and retries           |
//! | `consumables` | RUNNABLE: consumable resources (licences) that are not available           |
//! | `availability` | RUNNABLE: a queue or an environment that cannot be used                      |
//! | `capacity` | RUNNABLE: the resources of the compute environments, and the jobs that use them |
//! | `too_large` | RUNNABLE: a job that is larger than the environments may ever be             |
//! | `queue_position` | RUNNABLE: the jobs that are ahead, and a blocked head of the queue           |
//! | `blocked` | AWS's codes for a blocked queue                                              |
//! | `failure_cause` | how an attempt ended                                                         |
//! | `failed`  | FAILED: the cause, the attempts, the job that it depended on                 |
//! | `children` | children of arrays and nodes of MNP jobs, by cause                           |

mod availability;
mod blocked;
mod capacity;
mod children;
mod consumables;
mod evidence;
mod failed;
mod failure_cause;
mod finding;
mod gather;
mod instance_types;
mod never_fits;
mod queue_position;
mod too_large;
mod waiting;

use serde_json::{Value, json};

pub use finding::{Code, Finding};
pub use gather::why;
pub use never_fits::{NeverFits, never_fits};

pub use evidence::{
    Attempt, Availability, ComputeEnvironment, ComputeKind, ConsumableQuantities, ConsumableSupply,
    Dependency, End, Evidence, LogTail, Machine, MissingEvidence, ObservedJob, Parts, PlacedJob, PlacedJobs,
    Queue, QueueOrder,
};

use awsb_model::{Status, words};

/// The diagnosis of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The job's ID.
    pub job_id: String,
    /// The state of the job.
    pub status: Status,
    /// The job and its state, with the relevant times.
    pub opening: String,
    /// The findings, the most important first.
    pub findings: Vec<Finding>,
    /// The last lines of its output.
    pub log: Option<LogTail>,
}

impl Diagnosis {
    /// The diagnosis that follows from the evidence.
    pub fn of(evidence: &Evidence) -> Self {
        let mut findings = Vec::from_iter(waiting::ending(evidence));
        findings.extend(self::findings(evidence));
        findings.extend(evidence.job.unstarted.iter().map(|(name, reason)| {
            let message = format!("its container {name} could not be started; Batch says: {reason}");
            Finding::new(Code::CannotStart, message)
        }));
        findings.extend(evidence.unseen.iter().map(unseen));
        Self {
            job_id: evidence.job.id.clone(),
            status: evidence.job.status,
            opening: opening(evidence),
            findings,
            log: evidence.log.clone().filter(|_| evidence.job.status == Status::Failed),
        }
    }

    /// The same diagnosis with its advice in other words.
    #[must_use]
    pub fn map_advice(mut self, words: impl Fn(&str) -> String) -> Self {
        let advice = self.findings.iter_mut().flat_map(|finding| &mut finding.advice);
        advice.for_each(|line| *line = words(line));
        self
    }

    /// The job whose output is shown and its log stream, if it names one that does not exist.
    pub fn missing_log(&self) -> Option<(&str, &str)> {
        let log = self.log.as_ref()?;
        Some((&log.job_id, log.missing.as_deref()?))
    }

    /// The diagnosis in lines: the verdict, the other findings, the end of the output, the advice.
    /// Line breaks in AWS's messages become blanks. All else is exact, so it must be sanitized
    /// before a terminal gets it.
    pub fn lines(&self) -> Vec<String> {
        let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
        let clean = |text: &str| text.replace(breaks, " ");
        let mut findings = self.findings.iter();
        let verdict = findings.next().map(|finding| format!(": {}", finding.message)).unwrap_or_default();
        let mut lines = vec![clean(&format!("{}{verdict}", self.opening))];
        lines.extend(findings.map(|finding| format!("  {}", clean(&finding.message))));
        if let Some(log) = self.log.as_ref().filter(|log| !log.lines.is_empty()) {
            let whose = if log.job_id == self.job_id {
                "its output".to_owned()
            } else {
                format!("the output of {}", log.job_id)
            };
            lines.push(format!("  the end of {whose}:"));
            lines.extend(log.lines.iter().map(|(_, line)| format!("    {line}")));
        }
        let mut advice: Vec<&String> = Vec::new();
        for line in self.findings.iter().flat_map(|finding| &finding.advice) {
            if !advice.contains(&line) {
                advice.push(line);
            }
        }
        lines.extend(advice.iter().map(|line| format!("what to do: {}", clean(line))));
        lines
    }

    /// The element of `--json`.
    pub fn json(&self) -> Value {
        let lines = self.log.iter().flat_map(|log| &log.lines);
        let lines: Vec<Value> =
            lines.map(|(timestamp, message)| json!({"timestamp": timestamp, "message": message})).collect();
        json!({
            "jobId": self.job_id,
            "status": self.status,
            "findings": self.findings,
            "logTail": lines,
        })
    }
}

/// The findings for a job in any state.
fn findings(evidence: &Evidence) -> Vec<Finding> {
    let has_parts =
        evidence.job.size.is_some() || evidence.job.nodes.is_some_and(|_| !evidence.parts.counts.is_empty());
    match evidence.job.status {
        Status::Succeeded => vec![waiting::succeeded(evidence)],
        Status::Failed if has_parts => children::failed(evidence),
        Status::Failed => failed::failed(evidence),
        Status::Pending if evidence.job.size.is_some() => children::pending(evidence, findings),
        Status::Submitted => vec![waiting::submitted(evidence)],
        Status::Pending => waiting::pending(evidence),
        Status::Runnable => waiting::runnable(evidence),
        Status::Starting => waiting::starting(evidence),
        Status::Running => {
            let nodes = evidence.job.nodes.and_then(|_| children::counts(evidence));
            waiting::running(evidence).into_iter().chain(nodes).collect()
        }
    }
}

/// The job and its state.
fn opening(evidence: &Evidence) -> String {
    let job = &evidence.job;
    let called = job.called();
    let status = job.status;
    let ago =
        |at: Option<i64>| at.filter(|at| *at > 0).map(|at| words::span(evidence.now.saturating_sub(at)));
    let ran = job.started_at.zip(job.stopped_at).filter(|(from, _)| *from > 0);
    let ran = ran.map(|(from, to)| format!(" after it had run for {}", words::span(to.saturating_sub(from))));
    let ended = || ago(job.stopped_at).map(|ago| format!(" {ago} ago")).unwrap_or_default();
    match status {
        Status::Succeeded | Status::Failed => {
            format!("{called} {status}{}{}", ended(), ran.unwrap_or_default())
        }
        _ => {
            let since = ago(job.created_at).map(|ago| format!(", submitted {ago} ago"));
            format!("{called} is {status}{}", since.unwrap_or_default())
        }
    }
}

fn unseen(unseen: &MissingEvidence) -> Finding {
    let what = &unseen.what;
    match &unseen.permission {
        Some(permission) => Finding::new(
            Code::NotSeen,
            format!(
                "could not look at {what}: the permission {permission} is \
                                                 missing"
            ),
        ),
        None => Finding::new(Code::NotSeen, format!("could not look at {what}: {}", unseen.why)),
    }
}

#[cfg(test)]
mod tests;
