//! A finding: its kind, its words and its advice.

use serde::Serialize;

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
    /// A consumable resource, such as a licence, is not available.
    ConsumableResource,
    /// The tasks of an array that run are as many as may run at the same time.
    ArrayLimit,
    /// The job at the head of the queue waits for a consumable resource.
    HeadWaitsForResource,
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
    /// Somebody has asked the job to end, and it has not ended yet.
    Ending,
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
    /// A finding without advice.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), advice: Vec::new() }
    }

    /// The same finding with one more piece of advice.
    #[must_use]
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }
}
