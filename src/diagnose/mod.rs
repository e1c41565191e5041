//! Why a job does not run, or why it failed: from [`Evidence`] to a [`Diagnosis`].
//!
//! | module    | it explains                                                                 |
//! |-----------|-----------------------------------------------------------------------------|
//! | `waiting` | jobs that are SUBMITTED, PENDING, STARTING or RUNNING, and retries           |
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
mod evidence;
mod failed;
mod failure_cause;
mod gather;
mod instance_types;
mod never_fits;
mod queue_position;
mod too_large;
mod waiting;

use serde::Serialize;
use serde_json::{Value, json};

pub use children::first_failed;
pub use failed::LINES;
pub use gather::why;
pub use instance_types::patterns;
pub use never_fits::{NeverFits, never_fits};

pub use evidence::{
    Attempt, Availability, ComputeEnvironment, ComputeKind, Dependency, End, Evidence, LogTail, Machine,
    MissingEvidence, ObservedJob, Parts, PlacedJob, PlacedJobs, Queue, QueueOrder,
};

use awsb_model::{Status, words};

/// The kind of a finding. Its name in capitals is the `code` of `--json`, which is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The job succeeded.
    Succeeded,
    /// Batch has accepted the job, and not examined it yet.
    Submitted,
    /// The job waits for other jobs.
    DependencyNotDone,
    /// All dependencies are done; the job goes on in a moment.
    DependenciesDone,
    /// Batch does not know a job that this one waits for, or has forgotten it.
    DependencyUnknown,
    /// A job that it depended on failed.
    DependencyFailed,
    /// The number of an array's children, or of an MNP job's nodes, in each state.
    Parts,
    /// The queue is disabled.
    QueueDisabled,
    /// The queue is INVALID.
    QueueInvalid,
    /// The queue is being created, changed or deleted.
    QueueNotReady,
    /// A compute environment is disabled.
    EnvironmentDisabled,
    /// A compute environment is INVALID.
    EnvironmentInvalid,
    /// A compute environment is being created, changed or deleted.
    EnvironmentNotReady,
    /// None of the queue's environments runs multi-node jobs.
    NoMultiNode,
    /// The job asks for more vCPUs than `maxvCpus` allows.
    EnvironmentTooSmall,
    /// None of the allowed instance types has the resources that the job asks for.
    NoInstanceFits,
    /// Other jobs have all the vCPUs that `maxvCpus` allows.
    MaxVcpusReached,
    /// No instance has joined the ECS cluster.
    NoInstances,
    /// There are instances, but none has a connected agent.
    InstancesDisconnected,
    /// There are instances, but none has enough free resources.
    InstancesFull,
    /// An instance has capacity for the job.
    RoomIsThere,
    /// No reason can be seen.
    NothingFound,
    /// Batch is starting instances.
    ScalingUp,
    /// Batch has not asked for instances yet.
    NotScalingYet,
    /// Other jobs are ahead in the queue.
    BehindOthers,
    /// The job is the first in the queue.
    HeadOfQueue,
    /// Queues with a higher priority share the environments.
    QueueWithHigherPriority,
    /// The job at the head of the queue is blocked.
    HeadBlocked,
    /// AWS: `CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY`.
    InsufficientInstanceCapacity,
    /// AWS: `MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE`.
    ComputeEnvironmentMaxResource,
    /// AWS: `MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT`.
    JobResourceRequirement,
    /// AWS: `MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS`.
    ServiceRolePermissions,
    /// AWS: `MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED`.
    Ec2InstanceConfigurationUnsupported,
    /// AWS: `ACTION_REQUIRED`.
    ActionRequired,
    /// AWS: `UNDETERMINED`.
    Undetermined,
    /// AWS has another code.
    Blocked,
    /// The job waits, and AWS has a status reason for it.
    WaitReason,
    /// The job waits for its next attempt.
    RetryWaiting,
    /// The container of the job is being created.
    Starting,
    /// The job runs.
    Running,
    /// The job ended with an exit code of its own.
    ExitCode,
    /// A signal ended the job.
    Signal,
    /// The job used more memory than it had.
    OutOfMemory,
    /// The job got SIGKILL, perhaps because of its memory.
    Killed,
    /// The instance was terminated.
    HostTerminated,
    /// The image could not be pulled.
    ImagePull,
    /// The image has no `/bin/sh`.
    NoShell,
    /// The image does not have the program.
    NoProgram,
    /// The image is for another CPU architecture.
    WrongArchitecture,
    /// The container could not be created or started.
    CannotStart,
    /// The instance's container engine did not answer in time.
    DockerTimeout,
    /// Secrets, file systems or the network could not be prepared.
    ResourceInitialization,
    /// The log group or stream could not be used.
    LogConfiguration,
    /// The overrides were longer than ECS accepts.
    OverridesTooLong,
    /// The disk is full.
    DiskFull,
    /// The job succeeded, but a result could not be uploaded.
    NotUploaded,
    /// The job ran longer than its timeout.
    Timeout,
    /// A user ended the job.
    Terminated,
    /// Batch ended the job because it had blocked the queue for too long.
    TimeLimitAction,
    /// The job failed; only AWS's message is known.
    OtherReason,
    /// The job failed without any reason.
    NoReason,
    /// An earlier attempt failed.
    EarlierAttempt,
    /// Some evidence could not be read.
    NotSeen,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of the finding.
    pub code: Code,
    /// The finding in plain words.
    pub message: String,
    /// The advice, each item a command or a sentence.
    pub advice: Vec<String>,
}

impl Finding {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), advice: Vec::new() }
    }

    #[must_use]
    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }
}

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
        let mut findings = findings(evidence);
        findings.extend(evidence.unseen.iter().map(unseen));
        Self {
            job_id: evidence.job.id.clone(),
            status: evidence.job.status,
            opening: opening(evidence),
            findings,
            log: evidence.log.clone().filter(|_| evidence.job.status == Status::Failed),
        }
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

/// Reasons why a job can never run in these environments: it is larger than they may ever be, or
/// they do not run multi-node jobs.
fn permanent_obstacles(evidence: &Evidence) -> Vec<Finding> {
    const NEVER: [Code; 3] = [Code::EnvironmentTooSmall, Code::NoInstanceFits, Code::NoMultiNode];
    let mut found = capacity::findings(evidence).certain;
    found.retain(|finding| NEVER.contains(&finding.code));
    found
}

/// Whether a job failed only because a job that it depended on had failed.
pub fn failed_for_another(job: &ObservedJob) -> bool {
    job.status == Status::Failed
        && failure_cause::Cause::of(&failed::end(job), job.ended_by_user).code == Code::DependencyFailed
}

/// Whether a job failed because a user ended it.
pub fn failed_by_user(job: &ObservedJob) -> bool {
    job.status == Status::Failed
        && failure_cause::Cause::of(&failed::end(job), job.ended_by_user).code == Code::Terminated
}

/// The findings for a job in any state.
fn findings(evidence: &Evidence) -> Vec<Finding> {
    let has_parts =
        evidence.job.size.is_some() || evidence.job.nodes.is_some_and(|_| !evidence.parts.counts.is_empty());
    match evidence.job.status {
        Status::Succeeded => vec![waiting::succeeded(evidence)],
        Status::Failed if has_parts => children::failed(evidence),
        Status::Failed => failed::failed(evidence),
        Status::Pending if evidence.job.size.is_some() => children::pending(evidence),
        Status::Submitted => vec![waiting::submitted(evidence)],
        Status::Pending => waiting::pending(evidence),
        Status::Runnable => waiting::runnable(evidence),
        Status::Starting => waiting::starting(evidence),
        Status::Running => waiting::running(evidence),
    }
}

/// The job and its state.
fn opening(evidence: &Evidence) -> String {
    let job = &evidence.job;
    let called = job.called();
    let status = job.status;
    let ago = |at: Option<i64>| at.filter(|at| *at > 0).map(|at| words::span(evidence.now - at));
    let ran = job.started_at.zip(job.stopped_at).filter(|(from, _)| *from > 0);
    let ran = ran.map(|(from, to)| format!(" after it had run for {}", words::span(to - from)));
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
