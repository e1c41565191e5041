//! The table of all operations, with what a container's key may do with each.
//!
//! The services dispatch on these enums: an operation that is not in the table cannot be asked for,
//! and one that is added to it has to say what a container may do with it.

use http::Method;

/// The permission of a container's key for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing.
    Refused,
    /// It is allowed: the answer reveals nothing of others' jobs.
    Allowed,
    /// It may for jobs of its lineage: its own, its parts, and what was submitted with their keys.
    Lineage,
    /// It may where the job definition keeps its jobs in their containers.
    Contained,
    /// It may for job definitions of the owner's, and for those that its own jobs have registered.
    Visible,
    /// It may for objects that it may read.
    Read,
    /// It is allowed for objects that it may write, or make where none exists.
    Write,
    /// It may for folders that it may read.
    List,
    /// It may for the key of its multi-node job, which the image's main node deletes.
    NodesKey,
}

macro_rules! operations {
    ($(#[$doc:meta])* $service:ident { $($rule:ident: $($name:ident),* ;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $service { $($($name,)*)* }

        impl $service {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// As AWS calls it.
            pub fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|operation| operation.name() == name)
            }

            /// The permission of a container's key for it.
            pub fn rule(self) -> Rule {
                match self { $($(Self::$name)|* => Rule::$rule,)* }
            }
        }
    };
}

operations! {
    /// AWS Batch.
    Batch {
        Contained: SubmitJob, RegisterJobDefinition;
        Lineage: DescribeJobs, ListJobs, TerminateJob, CancelJob, TerminateJobs, CancelJobs;
        Visible: DescribeJobDefinitions;
        Allowed: DescribeJobQueues, DescribeComputeEnvironments, DescribeConsumableResource;
        Refused: GetJobQueueSnapshot, DeregisterJobDefinition,
            CreateComputeEnvironment, UpdateComputeEnvironment, DeleteComputeEnvironment,
            CreateJobQueue, UpdateJobQueue, DeleteJobQueue,
            CreateSchedulingPolicy, UpdateSchedulingPolicy, DeleteSchedulingPolicy,
            DescribeSchedulingPolicies, ListSchedulingPolicies,
            CreateConsumableResource, UpdateConsumableResource, DeleteConsumableResource,
            ListConsumableResources, ListJobsByConsumableResource,
            TagResource, UntagResource, ListTagsForResource;
    }
}

operations! {
    /// CloudWatch Logs.
    Logs {
        Lineage: DescribeLogStreams, GetLogEvents, FilterLogEvents;
        Refused: CreateLogGroup, CreateLogStream, PutRetentionPolicy, DeleteRetentionPolicy,
            DeleteLogStream, DeleteLogGroup, DescribeLogGroups, PutLogEvents;
    }
}

operations! {
    /// ECS.
    Ecs {
        Refused: ListContainerInstances, DescribeContainerInstances, ListClusters, DescribeClusters,
            DescribeTasks, ExecuteCommand;
    }
}

operations! {
    /// EC2.
    Ec2 {
        Refused: DescribeInstances, DescribeInstanceTypes, DescribeInstanceTypeOfferings,
            DescribeAvailabilityZones, DescribeVpcs, DescribeSubnets, DescribeRouteTables,
            DescribeSecurityGroups, DescribeKeyPairs;
    }
}

operations! {
    /// CloudFormation.
    CloudFormation {
        Refused: CreateStack, UpdateStack, DeleteStack, ContinueUpdateRollback,
            CreateChangeSet, DescribeChangeSet, ExecuteChangeSet, DeleteChangeSet, ListChangeSets,
            DescribeStacks, ListStacks, DescribeStackEvents, DescribeEvents,
            DescribeStackResource, DescribeStackResources, ListStackResources,
            GetTemplate, GetTemplateSummary, ValidateTemplate,
            UpdateTerminationProtection, SetStackPolicy, GetStackPolicy;
    }
}

operations! {
    /// Systems Manager.
    Ssm {
        Refused: StartSession;
    }
}

operations! {
    /// STS.
    Sts {
        Refused: GetCallerIdentity;
    }
}

operations! {
    /// S3: those that the `s3s` crate may ask our store for. It knows more of them, which are
    /// refused like these.
    S3 {
        Read: GetObject, HeadObject;
        List: ListObjects, ListObjectsV2, ListMultipartUploads;
        Write: PutObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload,
            ListParts;
        NodesKey: DeleteObject;
        Refused: ListBuckets, CreateBucket, DeleteBucket, HeadBucket, GetBucketLocation, DeleteObjects,
            ListObjectVersions, CopyObject, UploadPartCopy;
    }
}

/// An operation of any service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Batch(Batch),
    Logs(Logs),
    Ecs(Ecs),
    Ec2(Ec2),
    CloudFormation(CloudFormation),
    Ssm(Ssm),
    Sts(Sts),
    S3(S3),
}

impl Operation {
    /// The name by which requests to its service are signed.
    pub fn service(self) -> &'static str {
        match self {
            Self::Batch(_) => "batch",
            Self::Logs(_) => "logs",
            Self::Ecs(_) => "ecs",
            Self::Ec2(_) => "ec2",
            Self::CloudFormation(_) => "cloudformation",
            Self::Ssm(_) => "ssm",
            Self::Sts(_) => "sts",
            Self::S3(_) => "s3",
        }
    }

    /// As AWS calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch(operation) => operation.name(),
            Self::Logs(operation) => operation.name(),
            Self::Ecs(operation) => operation.name(),
            Self::Ec2(operation) => operation.name(),
            Self::CloudFormation(operation) => operation.name(),
            Self::Ssm(operation) => operation.name(),
            Self::Sts(operation) => operation.name(),
            Self::S3(operation) => operation.name(),
        }
    }

    /// The permission of a container's key for it.
    pub fn rule(self) -> Rule {
        match self {
            Self::Batch(operation) => operation.rule(),
            Self::Logs(operation) => operation.rule(),
            Self::Ecs(operation) => operation.rule(),
            Self::Ec2(operation) => operation.rule(),
            Self::CloudFormation(operation) => operation.rule(),
            Self::Ssm(operation) => operation.rule(),
            Self::Sts(operation) => operation.rule(),
            Self::S3(operation) => operation.rule(),
        }
    }
}

impl Batch {
    /// The operation that a request asks for (API: the `http` trait of each). Most are `POST
    /// /v1/NAME`.
    pub fn asked(method: &Method, path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v1/")?;
        if path.starts_with("tags/") {
            return match *method {
                Method::GET => Some(Self::ListTagsForResource),
                Method::POST => Some(Self::TagResource),
                Method::DELETE => Some(Self::UntagResource),
                _ => None,
            };
        }
        let is_asked = |operation: &Self| match operation {
            Self::ListTagsForResource | Self::TagResource | Self::UntagResource => false,
            other => other.name().to_ascii_lowercase() == path,
        };
        Self::ALL.iter().copied().find(|operation| *method == Method::POST && is_asked(operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batchs_operations_are_found_by_method_and_path() {
        let asked = |method: Method, path: &str| Batch::asked(&method, path);
        assert_eq!(asked(Method::POST, "/v1/submitjob"), Some(Batch::SubmitJob));
        assert_eq!(asked(Method::GET, "/v1/submitjob"), None);
        assert_eq!(asked(Method::POST, "/v1/SubmitJob"), None);
        assert_eq!(asked(Method::POST, "/submitjob"), None);
        assert_eq!(asked(Method::POST, "/v1/tagresource"), None);
        assert_eq!(asked(Method::DELETE, "/v1/tags/arn%3A"), Some(Batch::UntagResource));
        assert_eq!(asked(Method::PUT, "/v1/tags/arn%3A"), None);
    }

    #[test]
    fn an_operation_that_is_not_in_the_table_is_none() {
        for unknown in ["", "PutBucketPolicy", "getobject", "GetObjectAcl"] {
            assert_eq!(S3::named(unknown), None, "{unknown}");
        }
        assert_eq!(S3::named("GetObject").map(S3::rule), Some(Rule::Read));
    }

    #[test]
    fn what_changes_a_thing_that_jobs_share_is_refused() {
        let names = |all: Vec<(&'static str, Rule)>| {
            let open = all.into_iter().filter(|(_, rule)| *rule != Rule::Refused);
            open.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(Batch::ALL.iter().map(|o| (o.name(), o.rule())).collect()),
            [
                "SubmitJob",
                "RegisterJobDefinition",
                "DescribeJobs",
                "ListJobs",
                "TerminateJob",
                "CancelJob",
                "TerminateJobs",
                "CancelJobs",
                "DescribeJobDefinitions",
                "DescribeJobQueues",
                "DescribeComputeEnvironments",
                "DescribeConsumableResource",
            ]
        );
        assert_eq!(
            names(Logs::ALL.iter().map(|o| (o.name(), o.rule())).collect()),
            ["DescribeLogStreams", "GetLogEvents", "FilterLogEvents"]
        );
        assert!(names(Ecs::ALL.iter().map(|o| (o.name(), o.rule())).collect()).is_empty());
        assert!(names(Ec2::ALL.iter().map(|o| (o.name(), o.rule())).collect()).is_empty());
        assert!(names(CloudFormation::ALL.iter().map(|o| (o.name(), o.rule())).collect()).is_empty());
        assert!(names(Ssm::ALL.iter().map(|o| (o.name(), o.rule())).collect()).is_empty());
        assert!(names(Sts::ALL.iter().map(|o| (o.name(), o.rule())).collect()).is_empty());
    }
}
