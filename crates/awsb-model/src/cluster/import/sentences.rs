//! Sentences of the report that are the same for both versions of ParallelCluster.

/// About the size and the type of a volume.
pub(super) const EBS_VOLUME: &str =
    "It is for the EBS volume. EFS takes its place, and has neither a size nor a type.";

/// About the data of a snapshot.
pub(super) const COPY_SNAPSHOT: &str =
    "The data have to be copied to EFS: make a volume from the snapshot, and attach it to an instance.";

/// About the data of a volume.
pub(super) const COPY_VOLUME: &str =
    "The data have to be copied to EFS: attach the volume to an instance that mounts both.";

/// About the performance mode of EFS.
pub(super) const PERFORMANCE_MODE: &str =
    "A new file system has the mode generalPurpose, which AWS recommends; it cannot be changed.";

/// About the logs of the head node.
pub(super) const HEAD_NODE_LOGS: &str =
    "It was for the head node. The output of jobs is always in CloudWatch Logs.";

/// About the dashboard.
pub(super) const DASHBOARD: &str =
    "It was for the head node. `bcluster show` and `bqueues` show the cluster.";

/// About a key pair for SSH.
pub(super) const KEY_PAIR: &str =
    "There is no head node to log in to. For the instances of jobs, there is `environment.NAME.key_pair`.";

/// About the operating system.
pub(super) const SYSTEM: &str = "Instances run Amazon Linux 2023, and the image of a job has its own system. ParallelCluster built one; `bimage` builds yours from a Dockerfile.";

/// About an AMI.
pub(super) const AMI: &str =
    "It was the head node's AMI, not that of jobs. For theirs, there is `environment.NAME.ami`.";

/// About stacks beside the cluster.
pub(super) const OWN_STACK: &str = "Make a stack of its own from the template: `aws cloudformation deploy`.";

/// About the vCPUs at the beginning.
pub(super) const DESIRED_VCPUS: &str = "Batch decides how many vCPUs there are from `min` to `max`.";
