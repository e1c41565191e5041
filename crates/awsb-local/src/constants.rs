//! The names that every local cluster has from its first start.

/// The region that the local cluster says it is in.
pub const REGION: &str = "us-east-1";
/// The account that the local cluster's ARNs name.
pub const ACCOUNT: &str = "000000000000";
/// The built-in job queue.
pub const QUEUE: &str = "local";
/// The built-in compute environment: this machine.
pub const COMPUTE_ENVIRONMENT: &str = "local";
/// The built-in job definition; its image is [`HOST_IMAGE`].
pub const JOB_DEFINITION: &str = "local";
/// The built-in bucket.
pub const BUCKET: &str = "awsb-local";
/// The prefix of the keys of the tools' objects in [`BUCKET`].
pub const PREFIX: &str = "awsb";
/// The prefix of the access key IDs of local clusters. It distinguishes the exports of `blocal env`
/// from keys of AWS, which begin with `A3T`, `AKIA`, `ASIA` and the like.
pub const ACCESS_KEY_PREFIX: &str = "AWSBLOCAL";
/// The log group of the jobs, as on AWS (User Guide, `using_cloudwatch_logs`).
pub const LOG_GROUP: &str = "/aws/batch/job";
/// The image name of a job that is a process of the user, without a container.
pub const HOST_IMAGE: &str = "host";
/// The instance of which Batch says `Host EC2 (instance i-…) terminated.`
pub const INSTANCE_ID: &str = "i-00000000000000000";
/// No type of EC2's is as large as this machine: it has one of its own.
pub const INSTANCE_TYPE: &str = "local";
/// The zone that this machine is in.
pub const ZONE: &str = "local";
