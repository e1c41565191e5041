//! Why an operation on a cluster has failed, in plain words, and what to change. Nothing here calls
//! AWS.

use super::events::Event;
use crate::aws::AccessDenied;
use crate::ui::Failure;

/// The advice for a missing permission.
pub const ADMIN_POLICY: &str = "`bcluster policy admin` prints a policy with all permissions that bcluster needs, and \
                                an administrator can grant it; if it is several documents, `--part N` prints each";

/// The cause of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The resource that failed, in words: `the compute environment EnvironmentSpot`.
    pub resource: String,
    /// Why it failed.
    pub reason: String,
    /// The changes that help, a line each.
    pub advice: Vec<String>,
}

/// A pattern of the reasons that CloudFormation tells, with what to change.
struct Known {
    /// Words of the reason, all of which it has.
    words: &'static [&'static str],
    /// The words for it, if CloudFormation's are not plain.
    plain: Option<&'static str>,
    /// The change that helps.
    advice: &'static [&'static str],
}

/// The reasons that users meet, the more precise ones first.
const KNOWN: [Known; 13] = [
    Known {
        words: &["AWSServiceRoleForBatch"],
        plain: None,
        advice: &["Batch makes its service-linked role in the first use of an account, for which you need \
             iam:CreateServiceLinkedRole: `aws iam create-service-linked-role --aws-service-name \
             batch.amazonaws.com` makes it"],
    },
    Known {
        words: &["already exists"],
        plain: None,
        advice: &[
            "something of this name is left of an earlier cluster or belongs to somebody else: give the \
             cluster another name, or remove what has the name",
        ],
    },
    Known {
        words: &["BucketAlreadyOwnedByYou"],
        plain: Some("you have a bucket of this name already"),
        advice: &["it is left of an earlier cluster: remove it, or give the cluster another name"],
    },
    Known {
        words: &["attached to entities"],
        plain: Some("users, groups or roles have the policy"),
        // The failure of the deletion has the commands, which need the ARN.
        advice: &[],
    },
    Known {
        words: &["permissions boundary"],
        plain: None,
        advice: &[
            "`permissions_boundary` in the configuration names the boundary that your account asks for",
        ],
    },
    Known {
        words: &["maximum number of"],
        plain: None,
        advice: &["this is a quota of the account: Service Quotas raises it, or remove what is not needed"],
    },
    Known {
        words: &["limit", "exceeded"],
        plain: None,
        advice: &["this is a quota of the account: Service Quotas raises it, or remove what is not needed"],
    },
    Known {
        words: &["LimitExceeded"],
        plain: None,
        advice: &["this is a quota of the account: Service Quotas raises it, or remove what is not needed"],
    },
    Known {
        words: &["instanceType"],
        plain: None,
        advice: &[
            "`aws ec2 describe-instance-type-offerings --location-type availability-zone` shows which types \
             the zones offer; `instance_types` in the configuration names them",
        ],
    },
    Known {
        words: &["is not authorized to perform: sts:AssumeRole"],
        plain: None,
        advice: &["IAM may take a moment until a new role can be used: the same command tries again"],
    },
    Known {
        words: &["Rate exceeded"],
        plain: Some("AWS throttled the calls of CloudFormation"),
        advice: &["try again in a few minutes"],
    },
    Known {
        words: &["did not stabilize"],
        plain: None,
        advice: &["`bcluster show NAME --events` has all events; try again in a few minutes"],
    },
    Known {
        words: &["bucket", "not empty"],
        plain: Some("the bucket is not empty"),
        advice: &["`--delete-data` removes its objects"],
    },
];

impl Cause {
    /// The cause that this event tells.
    pub fn of(event: &Event) -> Self {
        let reason = event.resource_status_reason.as_deref().unwrap_or("AWS gives no reason");
        let resource = if event.is_of_stack {
            format!("the stack {}", event.logical_resource_id)
        } else if event.resource_type.is_empty() {
            format!("the resource {}", event.logical_resource_id)
        } else {
            format!("the {} {}", kind(&event.resource_type), event.logical_resource_id)
        };
        let message = service_message(reason);
        if let Some(denied) = AccessDenied::read(message)
            && !reason.contains("sts:AssumeRole")
        {
            return Self { resource, reason: denied.to_string(), advice: vec![ADMIN_POLICY.to_owned()] };
        }
        let lower = reason.to_lowercase();
        let known =
            KNOWN.iter().find(|known| known.words.iter().all(|word| lower.contains(&word.to_lowercase())));
        Self {
            resource,
            reason: known.and_then(|known| known.plain).unwrap_or(message).to_owned(),
            advice: known
                .map_or_else(Vec::new, |known| known.advice.iter().map(|a| (*a).to_owned()).collect()),
        }
    }

    /// The failure of an operation, such as `creating the cluster lab`.
    pub fn failure(&self, doing: &str) -> Failure {
        let failure = Failure::failed(format!("{doing}: {} failed: {}", self.resource, self.reason));
        self.advice.iter().fold(failure, |failure, advice| failure.hint(advice.clone()))
    }
}

/// The message of the service in a reason of CloudFormation's: `Resource handler returned message:
/// "MESSAGE (Service: Batch, Status Code: 400, …)" (RequestToken: …, HandlerErrorCode: …)`.
fn service_message(reason: &str) -> &str {
    let message = match reason.split_once("returned message: \"") {
        Some((_, rest)) => rest.rsplit_once("\" (RequestToken").map_or(rest, |(message, _)| message),
        None => reason,
    };
    let message = message.split_once(" (Service: ").map_or(message, |(message, _)| message);
    message.trim().trim_end_matches('"').trim()
}

/// The words for a type of resource: `compute environment` for `AWS::Batch::ComputeEnvironment`.
pub fn kind(resource_type: &str) -> String {
    let mut parts = resource_type.split("::").skip(1);
    let service = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or(resource_type);
    let name = match (service, name) {
        ("EC2", "VPC") => return "VPC".to_owned(),
        ("EC2", "VPCEndpoint") => return "VPC endpoint".to_owned(),
        ("EC2", "VPCGatewayAttachment") => return "attachment of the internet gateway".to_owned(),
        ("S3", "Bucket") => return "bucket".to_owned(),
        ("ECR", "Repository") => return "image repository".to_owned(),
        ("CodeBuild", "Project") => return "CodeBuild project".to_owned(),
        ("EFS", "FileSystem") => return "EFS file system".to_owned(),
        ("EFS", "MountTarget") => return "EFS mount target".to_owned(),
        ("EFS", "AccessPoint") => return "EFS access point".to_owned(),
        (_, name) => name,
    };
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(resource_type: &str, reason: &str) -> Cause {
        Cause::of(&Event {
            logical_resource_id: "Part".into(),
            resource_type: resource_type.into(),
            resource_status: "CREATE_FAILED".into(),
            resource_status_reason: Some(reason.into()),
            ..Event::default()
        })
    }

    #[test]
    fn a_missing_permission_names_the_action_and_the_policy() {
        let cause = cause(
            "AWS::Batch::ComputeEnvironment",
            "Resource handler returned message: \"User: arn:aws:iam::1:user/me is not authorized to perform: \
             batch:CreateComputeEnvironment on resource: * because no identity-based policy allows it \
             (Service: Batch, Status Code: 403, Request ID: 1)\" (RequestToken: 2, HandlerErrorCode: \
             AccessDenied)",
        );
        assert_eq!(cause.resource, "the compute environment Part");
        assert!(
            cause.reason.contains("me has no permission for batch:CreateComputeEnvironment"),
            "{cause:?}"
        );
        assert!(cause.advice[0].contains("bcluster policy admin"), "{cause:?}");
        let failure = cause.failure("creating the cluster lab");
        assert!(
            failure.message().starts_with("creating the cluster lab: the compute environment Part failed: ")
        );
    }

    #[test]
    fn a_reason_is_the_services_message() {
        let cause = cause(
            "AWS::EC2::VPC",
            "Resource handler returned message: \"The maximum number of VPCs has been reached. (Service: Ec2, \
             Status Code: 400, Request ID: 1)\" (RequestToken: 2, HandlerErrorCode: ServiceLimitExceeded)",
        );
        assert_eq!(
            (cause.resource.as_str(), cause.reason.as_str()),
            ("the VPC Part", "The maximum number of VPCs has been reached.")
        );
        assert!(cause.advice[0].contains("quota"), "{cause:?}");
        assert_eq!(super::service_message("plain words"), "plain words");
    }

    #[test]
    fn types_in_words() {
        for (name, words) in [
            ("AWS::Batch::JobQueue", "job queue"),
            ("AWS::EC2::SubnetRouteTableAssociation", "subnet route table association"),
            ("AWS::EC2::VPC", "VPC"),
            ("AWS::Logs::LogGroup", "log group"),
            ("AWS::IAM::InstanceProfile", "instance profile"),
            ("Custom", "custom"),
        ] {
            assert_eq!(kind(name), words);
        }
    }
}
