//! Why a job does not run, or why it failed: from what was read ([`Facts`]) to what is told ([`Answer`]).
//!
//! | module    | what it explains                                                            |
//! |-----------|-----------------------------------------------------------------------------|
//! | `waiting` | jobs that are SUBMITTED, PENDING, STARTING or RUNNING, and retries           |
//! | `availability` | RUNNABLE: a queue or an environment that cannot be used                      |
//! | `capacity` | RUNNABLE: what the compute environments have, and who has it                 |
//! | `too_large` | RUNNABLE: a job that is larger than what the environments may ever have      |
//! | `queue_position` | RUNNABLE: who is ahead, and what blocks the head                             |
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
    Attempt, Dependency, End, Environment, Facts, Holder, Holders, JobFacts, Kind, Line, LogTail, Machine,
    Parts, Queue, Ready, Unseen,
};

use awsb_model::{Status, words};

/// What was found; its name in capitals is the `code` of `--json`, which stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// It succeeded.
    Succeeded,
    /// Batch has taken it and not looked at it yet.
    Submitted,
    /// It waits for other jobs.
    DependencyNotDone,
    /// What it waits for is done; it goes on in a moment.
    DependenciesDone,
    /// Batch does not know a job that it waits for (any more).
    DependencyUnknown,
    /// A job that it depended on failed.
    DependencyFailed,
    /// An array's children, or an MNP job's nodes: how many are in which state.
    Parts,
    /// The queue is disabled.
    QueueDisabled,
    /// The queue is INVALID.
    QueueInvalid,
    /// The queue is being made, changed or deleted.
    QueueNotReady,
    /// A compute environment is disabled.
    EnvironmentDisabled,
    /// A compute environment is INVALID.
    EnvironmentInvalid,
    /// A compute environment is being made, changed or deleted.
    EnvironmentNotReady,
    /// None of the queue's environments runs multi-node jobs.
    NoMultiNode,
    /// It asks for more vCPUs than `maxvCpus` allows.
    EnvironmentTooSmall,
    /// No instance type that is allowed has what it asks for.
    NoInstanceFits,
    /// Other jobs have all the vCPUs that `maxvCpus` allows.
    MaxVcpusReached,
    /// No instance has joined the ECS cluster.
    NoInstances,
    /// Instances are there and have no agent that is connected.
    InstancesDisconnected,
    /// Instances are there, and none has as much free.
    InstancesFull,
    /// An instance has room for it.
    RoomIsThere,
    /// Nothing that can be seen is in its way.
    NothingFound,
    /// Batch is starting instances.
    ScalingUp,
    /// Batch has not asked for instances yet.
    NotScalingYet,
    /// Others are ahead in the queue.
    BehindOthers,
    /// It is the first in the queue.
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
    /// Another code of AWS's.
    Blocked,
    /// It waits, and AWS says something about it.
    WaitReason,
    /// It waits for its next attempt.
    RetryWaiting,
    /// Its container is being made.
    Starting,
    /// It runs.
    Running,
    /// It ended with an exit code of its own.
    ExitCode,
    /// A signal ended it.
    Signal,
    /// It used more memory than it had.
    OutOfMemory,
    /// SIGKILL, which may have been for its memory.
    Killed,
    /// The instance was taken away.
    HostTerminated,
    /// The image could not be pulled.
    ImagePull,
    /// The image has no `/bin/sh`.
    NoShell,
    /// The image does not have the program.
    NoProgram,
    /// The image is for another kind of CPU.
    WrongArchitecture,
    /// The container could not be made or started.
    CannotStart,
    /// The instance's container engine did not answer in time.
    DockerTimeout,
    /// Secrets, file systems or the network could not be prepared.
    ResourceInitialization,
    /// The log group or stream could not be had.
    LogConfiguration,
    /// The overrides were longer than ECS takes.
    OverridesTooLong,
    /// The disk is full.
    DiskFull,
    /// It succeeded, and a result of it could not be uploaded.
    NotUploaded,
    /// It ran longer than its timeout.
    Timeout,
    /// Somebody ended it.
    Terminated,
    /// Batch ended it, since it had blocked the queue for too long.
    TimeLimitAction,
    /// It failed, and AWS's words for it are all that is known.
    OtherReason,
    /// It failed, and nothing says why.
    NoReason,
    /// An earlier attempt failed.
    EarlierAttempt,
    /// Something could not be looked at.
    NotSeen,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub code: Code,
    /// In plain words.
    pub message: String,
    /// What to do about it, each a command or a sentence.
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

/// The answer for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The job's ID.
    pub job_id: String,
    /// Its state.
    pub status: Status,
    /// The job and its state, with the times that matter.
    pub opening: String,
    /// What was found, what matters most first.
    pub findings: Vec<Finding>,
    /// The last lines of its output.
    pub log: Option<LogTail>,
}

impl Answer {
    /// The answer that these facts give.
    pub fn of(facts: &Facts) -> Self {
        let mut findings = findings(facts);
        findings.extend(facts.unseen.iter().map(unseen));
        Self {
            job_id: facts.job.id.clone(),
            status: facts.job.status,
            opening: opening(facts),
            findings,
            log: facts.log.clone().filter(|_| facts.job.status == Status::Failed),
        }
    }

    /// The job whose output is shown, and its log stream, when it names one that is not there.
    pub fn missing_log(&self) -> Option<(&str, &str)> {
        let log = self.log.as_ref()?;
        Some((&log.job_id, log.missing.as_deref()?))
    }

    /// The answer in lines: the verdict, what else was found, the output's end, what to do. Line breaks in AWS's
    /// words become blanks; all else is exact, so that a terminal must be guarded from it.
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

/// What keeps a job from ever running in these environments, as it is: it is larger than all that they may have, or they
/// run no multi-node jobs.
fn permanent_obstacles(facts: &Facts) -> Vec<Finding> {
    const NEVER: [Code; 3] = [Code::EnvironmentTooSmall, Code::NoInstanceFits, Code::NoMultiNode];
    let mut found = capacity::look(facts).certain;
    found.retain(|finding| NEVER.contains(&finding.code));
    found
}

/// Whether a job failed for nothing of its own: another one, that it depended on, had failed.
pub fn failed_for_another(job: &JobFacts) -> bool {
    job.status == Status::Failed
        && failure_cause::Cause::of(&failed::end(job), job.ended_by_user).code == Code::DependencyFailed
}

/// Whether a job failed since somebody ended it.
pub fn failed_by_user(job: &JobFacts) -> bool {
    job.status == Status::Failed
        && failure_cause::Cause::of(&failed::end(job), job.ended_by_user).code == Code::Terminated
}

/// What is found for a job, in whatever state it is.
fn findings(facts: &Facts) -> Vec<Finding> {
    let has_parts =
        facts.job.size.is_some() || facts.job.nodes.is_some_and(|_| !facts.parts.counts.is_empty());
    match facts.job.status {
        Status::Succeeded => vec![waiting::succeeded(facts)],
        Status::Failed if has_parts => children::failed(facts),
        Status::Failed => failed::failed(facts),
        Status::Pending if facts.job.size.is_some() => children::pending(facts),
        Status::Submitted => vec![waiting::submitted(facts)],
        Status::Pending => waiting::pending(facts),
        Status::Runnable => waiting::runnable(facts),
        Status::Starting => waiting::starting(facts),
        Status::Running => waiting::running(facts),
    }
}

/// The job and its state.
fn opening(facts: &Facts) -> String {
    let job = &facts.job;
    let called = job.called();
    let status = job.status;
    let ago = |at: Option<i64>| at.filter(|at| *at > 0).map(|at| words::span(facts.now - at));
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

fn unseen(unseen: &Unseen) -> Finding {
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
