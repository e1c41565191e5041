//! The services behind the port: which one a signature means, and which protocol it speaks.

use super::protocol::{Namespace, Protocol};

/// The longest body of Batch's, ECS's, EC2's, Systems Manager's and STS's requests:
/// RegisterJobDefinition has 24 KiB.
const SHORT_BODY: usize = 256 * 1024;
/// The longest body of a request to CloudWatch Logs: PutLogEvents' batch of 1 MiB, of which clients
/// write each character that is not ASCII as up to six (boto3: `\u00e9`), and the JSON around it.
const LOGS_BODY: usize = 8 * 1024 * 1024;

/// The longest body of a request to CloudFormation: a template of 51,200 bytes, each of which a
/// form writes as up to three. One that is longer is to be refused in CloudFormation's words.
const TEMPLATE_BODY: usize = 2 * 1024 * 1024;

/// A service, by the name that requests to it are signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// S3.
    S3,
    /// Batch.
    Batch,
    /// CloudWatch Logs.
    Logs,
    /// ECS.
    Ecs,
    /// EC2.
    Ec2,
    /// CloudFormation.
    CloudFormation,
    /// Systems Manager.
    Ssm,
    /// STS.
    Sts,
}

impl Service {
    /// The service that signatures name so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "s3" => Some(Self::S3),
            "batch" => Some(Self::Batch),
            "logs" => Some(Self::Logs),
            "ecs" => Some(Self::Ecs),
            "ec2" => Some(Self::Ec2),
            "cloudformation" => Some(Self::CloudFormation),
            "ssm" => Some(Self::Ssm),
            "sts" => Some(Self::Sts),
            _ => None,
        }
    }

    /// The name that requests to it are signed for.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Batch => "batch",
            Self::Logs => "logs",
            Self::Ecs => "ecs",
            Self::Ec2 => "ec2",
            Self::CloudFormation => "cloudformation",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
        }
    }

    /// The protocol that it uses.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::S3 => Protocol::S3,
            Self::Batch => Protocol::RestJson,
            Self::Logs | Self::Ecs | Self::Ssm => Protocol::Json11,
            Self::Ec2 => Protocol::Ec2,
            Self::CloudFormation => Protocol::Query(Namespace::CloudFormation),
            Self::Sts => Protocol::Query(Namespace::Sts),
        }
    }

    /// The longest body that it reads, in bytes; S3 has its own limits.
    pub fn longest_body(self) -> usize {
        match self {
            Self::Logs => LOGS_BODY,
            Self::CloudFormation => TEMPLATE_BODY,
            _ => SHORT_BODY,
        }
    }
}
