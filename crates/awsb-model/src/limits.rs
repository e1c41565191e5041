//! AWS's limits, each with its source. UG is the AWS Batch User Guide, API its API Reference.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Children of an array job (UG `array_jobs`).
pub const ARRAY_SIZE: RangeInclusive<u32> = 2..=10_000;

/// Attempts of a job (API `RetryStrategy`).
pub const ATTEMPTS: RangeInclusive<u8> = 1..=10;

/// Rules of `evaluateOnExit` (API `RetryStrategy`).
pub const EVALUATE_ON_EXIT: usize = 5;

/// Characters of a pattern of `evaluateOnExit` (API `EvaluateOnExit`).
pub const RETRY_GLOB_LENGTH: usize = 512;

/// Dependencies of a job (API `SubmitJob`, `dependsOn`).
pub const DEPENDENCIES: usize = 20;

/// Tags of a job (API `TagrisTagsMap`).
pub const TAGS: usize = 50;

/// Characters of a tag's key (API `TagKey`).
pub const TAG_KEY_LENGTH: usize = 128;
/// Characters of a tag's value (API `TagValue`).
pub const TAG_VALUE_LENGTH: usize = 256;

/// Priorities of a job in its share (API `SubmitJob`, `schedulingPriorityOverride`).
pub const PRIORITY: RangeInclusive<i32> = 0..=9999;

/// Characters of a share's identifier (API `ShareAttributes`, `shareIdentifier`).
pub const SHARE_LENGTH: usize = 255;

/// The shortest timeout of an attempt, in seconds (API `JobTimeout`).
pub const TIMEOUT_MIN_SECONDS: u32 = 60;

/// The longest timeout that the API's 32-bit field can carry, in seconds (API `JobTimeout`).
pub const TIMEOUT_MAX_SECONDS: u32 = i32::MAX as u32;

/// The least memory of a container, in MiB (API `ResourceRequirement`, `MEMORY`).
pub const MEMORY_MIN_MIB: u64 = 4;

/// Bytes of one argument or variable (Linux, execve(2): 128 KiB with its name), with some room for
/// the name.
pub const LINE_BYTES: usize = 127 * 1024;

/// Bytes of the lines of a submission's tasks, and of a script on standard input. They are in
/// memory during the submission.
pub const TEXT_BYTES: usize = 1 << 30;

/// Characters of a job's name (API `SubmitJob`, `jobName`).
pub const JOB_NAME_LENGTH: usize = 128;

/// The prefix of Batch's own variables, which are refused in a job (UG `job_env_vars`).
pub const RESERVED_ENV_PREFIX: &str = "AWS_BATCH_";

/// Characters of a container's overrides as serialised JSON (ECS API `TaskOverride`). Batch's
/// SubmitJob takes more, and the job then fails with `Container Overrides length must be at most
/// 8192`.
pub const OVERRIDES_LENGTH: usize = 8192;

/// The part of [`OVERRIDES_LENGTH`] that stays free for the variables that Batch adds itself. How
/// many it adds is not documented; the longest set (an MNP node's) is below half of this.
pub const OVERRIDES_RESERVE: usize = 1024;

/// Bytes of a SubmitJob request (UG `service_limits`).
pub const SUBMIT_JOB_BYTES: usize = 30 * 1024;

/// Job IDs that one DescribeJobs call takes (API `DescribeJobs`).
pub const DESCRIBE_JOBS_IDS: usize = 100;

/// Job definitions in one DescribeJobDefinitions call (API `DescribeJobDefinitionsRequest`,
/// `jobDefinitions`).
pub const DESCRIBE_JOB_DEFINITIONS: usize = 100;

/// Job IDs that one TerminateJobs or CancelJobs call takes (API `TerminateJobs`).
pub const TERMINATE_JOBS_IDS: usize = 50;

/// Jobs in a page of ListJobs (API `ListJobs`, `maxResults`).
pub const LIST_JOBS_PAGE: i32 = 1000;

/// Consumable resources that a job requires (UG `resource-aware-scheduling-how-to-for-jobs`: "up to
/// 5 resources for each job").
pub const CONSUMABLE_RESOURCES: usize = 5;

/// Nodes of a multi-node parallel job (UG `mnp-node-groups`: "up to 1,000 nodes in a single job"; a
/// job with one node is an ordinary job).
pub const NODES: RangeInclusive<u32> = 2..=1000;

/// Node ranges of a multi-node parallel job (UG `mnp-node-groups`: up to five node ranges).
pub const NODE_RANGES: usize = 5;

/// Characters of an image's name (API `ContainerProperties`, `image`).
pub const IMAGE_LENGTH: usize = 255;

/// Characters of a container's name (ECS API `ContainerDefinition`, `name`: letters, digits,
/// hyphens and underscores).
pub const CONTAINER_NAME_LENGTH: usize = 255;

/// Characters of a job definition's name (API `RegisterJobDefinition`, `jobDefinitionName`).
pub const JOB_DEFINITION_NAME_LENGTH: usize = 128;

/// Characters of a queue's name (API `CreateJobQueue`, `jobQueueName`).
pub const QUEUE_NAME_LENGTH: usize = 128;

/// Bytes of a RegisterJobDefinition request (UG `service_limits`).
pub const REGISTER_JOB_DEFINITION_BYTES: usize = 24 * 1024;

/// GiB of a Fargate task's disk (API `EphemeralStorage`, `sizeInGiB`).
pub const EPHEMERAL_STORAGE_GIB: RangeInclusive<u32> = 21..=200;

/// The time between SIGTERM and SIGKILL when a container is stopped (UG `job_timeouts`).
pub const STOP_GRACE: Duration = Duration::from_secs(30);

/// Bytes of a build context, as an archive. This is not a limit of AWS. The smallest machine of
/// CodeBuild has a disk of 64 GB (CodeBuild User Guide, `build-env-ref-compute-types`). It holds
/// the context as it was sent, unpacked, and copied into a layer and its cache, so the limit is a
/// quarter.
pub const CONTEXT_BYTES: u64 = 16 << 30;

/// Resources of a CloudFormation stack (CloudFormation User Guide, `Understand CloudFormation
/// quotas`).
pub const STACK_RESOURCES: usize = 500;
