//! A contradiction in a configuration, or between it and the account.

use std::fmt;

use super::super::config::PartName;

/// A problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of the problem.
    pub kind: ProblemKind,
    /// The key, such as `environment.gpu.max`.
    pub key: String,
    /// The contradiction.
    pub message: String,
    /// The change that helps.
    pub advice: String,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// An allocation strategy of Spot for on-demand instances.
    AllocationNotForOnDemand,
    /// The least vCPUs are more than the most.
    MinAboveMax,
    /// Instance types of two architectures in one environment or queue, or for one image.
    TwoArchitectures,
    /// The kind of AMI does not fit the instance types.
    AmiTypeDoesNotFit,
    /// Instance types that AWS's current AMIs do not support.
    TypeWithoutAmi,
    /// A placement group on Spot, or in several zones.
    PlacementGroup,
    /// A root volume that EBS does not have.
    Volume,
    /// User data that is too long.
    UserData,
    /// Too many security groups.
    SecurityGroups,
    /// Too many tags.
    Tags,
    /// Own subnets or security groups in a new VPC, or zones twice.
    NewVpc,
    /// More environments than a queue takes, or one twice.
    QueueEnvironments,
    /// EC2 and Fargate in one queue.
    TwoPlatforms,
    /// Shares that overlap.
    Shares,
    /// A definition that the default queue cannot run.
    DefinitionDoesNotFitQueue,
    /// Multi-node jobs without on-demand instances.
    NoPlaceForNodes,
    /// A size that the platform does not have.
    JobSize,
    /// GPUs that no environment has.
    NoGpus,
    /// An image of the cluster's repository where there is none.
    NoRepository,
    /// A project that has no repository to push to.
    ProjectWithoutRepository,
    /// Shared directories that overlap, or are over the system's.
    SharedPath,
    /// A shared directory that the containers may not mount.
    SharedNeedsPrivileges,
    /// More managed policies than a role takes.
    Policies,
    /// A policy of users that is longer than IAM takes.
    PolicySize,
    /// The network does not exist.
    Network,
    /// A subnet without a way to AWS.
    NoWayOut,
    /// A security group that does not exist, is elsewhere, or keeps nodes apart.
    SecurityGroup,
    /// Too few free addresses.
    Addresses,
    /// A file system without a mount target in a zone.
    MountTarget,
    /// An instance type or family that AWS does not have.
    UnknownType,
    /// Instance types that a zone does not have.
    TypeNotInZone,
    /// Fewer vCPUs than the smallest machine has.
    MaxBelowSmallestType,
    /// A bucket that does not exist in the region.
    Bucket,
    /// A queue that does not exist in the region.
    Queue,
    /// A key pair that does not exist.
    KeyPair,
    /// A quota that is too small for the cluster to be made, or for any job.
    Quota,
    /// A quota of vCPUs below what the cluster may use: fewer machines run at the same time.
    VcpuQuota,
}

impl ProblemKind {
    /// Whether a cluster with this problem cannot work. The others may be intended.
    pub fn is_fatal(self) -> bool {
        !matches!(self, Self::NoWayOut | Self::TypeNotInZone | Self::VcpuQuota | Self::Addresses)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.message)
    }
}

/// The problems so far.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem: the key, what is wrong, and what to change.
    pub(super) fn add(
        &mut self,
        kind: ProblemKind,
        key: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let problem = Problem { kind, key: key.into(), message: message.into(), advice: advice.into() };
        // Several environments may have the same subnets.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// The key of an environment.
pub(super) fn of_environment(name: &PartName, key: &str) -> String {
    format!("environment.{name}.{key}")
}
