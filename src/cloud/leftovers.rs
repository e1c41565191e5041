//! The remains of a cluster: resources that its template keeps, and those that could not be
//! deleted; and the command that removes each. Nothing here calls AWS.

use std::collections::BTreeSet;

use awsb_model::cluster::{ClusterName, is_bucket_name};

use super::cause::kind;
use super::stack::StackResource;
use crate::aws::Session;

/// A resource that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// In words: `bucket awsb-lab-1a2b`.
    pub what: String,
    /// The command that removes it.
    pub command: String,
}

/// The cluster that has left something, as the commands that remove it name it and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    cluster: ClusterName,
    region: String,
    /// The options of `bcluster` for the place, such as `--region eu-west-1`.
    options: String,
    /// The beginning of a command of the `aws` CLI, up to its arguments.
    aws: String,
}

impl Origin {
    /// A cluster in the place of a session.
    pub fn new(cluster: &ClusterName, session: &Session) -> Self {
        Self {
            cluster: cluster.clone(),
            region: session.region.clone(),
            options: session.place_options(),
            aws: session.aws_command(""),
        }
    }
}

/// The logical IDs of the resources that a template keeps when its stack is deleted.
pub fn kept_ids(template: &str) -> BTreeSet<String> {
    let Ok(template) = serde_json::from_str::<serde_json::Value>(template) else { return BTreeSet::new() };
    let resources = template["Resources"].as_object().into_iter().flatten();
    let kept = resources.filter(|(_, resource)| {
        matches!(resource["DeletionPolicy"].as_str(), Some("Retain" | "RetainExceptOnCreate"))
    });
    kept.map(|(id, _)| id.clone()).collect()
}

impl Leftover {
    /// A resource of a cluster, with the command that removes it.
    pub fn of(resource: &StackResource, origin: &Origin) -> Self {
        let Origin { cluster, region, options, aws: program } = origin;
        let id = resource.physical_resource_id.as_deref().unwrap_or(&resource.logical_resource_id);
        let id_or_name = shell_word(id);
        let aws = |command: String| format!("{program}{command} --region {region}");
        // The services of IAM are in no region.
        let global = |command: String| format!("{program}{command}");
        let command = match resource.resource_type.as_str() {
            // `aws s3 rb --force` fails where the bucket has versions of objects.
            "AWS::S3::Bucket" if is_bucket_name(id, cluster) => {
                format!("bcluster delete {cluster} {options} --delete-data")
            }
            "AWS::S3::Bucket" => aws(format!("s3 rb --force s3://{id}")),
            "AWS::Logs::LogGroup" => aws(format!("logs delete-log-group --log-group-name {id_or_name}")),
            "AWS::ECR::Repository" => {
                aws(format!("ecr delete-repository --force --repository-name {id_or_name}"))
            }
            "AWS::EFS::FileSystem" => aws(format!("efs delete-file-system --file-system-id {id_or_name}")),
            "AWS::EFS::MountTarget" => aws(format!("efs delete-mount-target --mount-target-id {id_or_name}")),
            "AWS::EFS::AccessPoint" => aws(format!("efs delete-access-point --access-point-id {id_or_name}")),
            "AWS::Batch::ComputeEnvironment" => {
                aws(format!("batch delete-compute-environment --compute-environment {id_or_name}"))
            }
            "AWS::Batch::JobQueue" => aws(format!("batch delete-job-queue --job-queue {id_or_name}")),
            "AWS::Batch::JobDefinition" => {
                aws(format!("batch deregister-job-definition --job-definition {id_or_name}"))
            }
            "AWS::Batch::SchedulingPolicy" => {
                aws(format!("batch delete-scheduling-policy --arn {id_or_name}"))
            }
            "AWS::EC2::SecurityGroup" => aws(format!("ec2 delete-security-group --group-id {id_or_name}")),
            "AWS::EC2::Subnet" => aws(format!("ec2 delete-subnet --subnet-id {id_or_name}")),
            "AWS::EC2::VPC" => aws(format!("ec2 delete-vpc --vpc-id {id_or_name}")),
            "AWS::EC2::LaunchTemplate" => {
                aws(format!("ec2 delete-launch-template --launch-template-id {id_or_name}"))
            }
            "AWS::EC2::PlacementGroup" => {
                aws(format!("ec2 delete-placement-group --group-name {id_or_name}"))
            }
            "AWS::IAM::Role" => global(format!("iam delete-role --role-name {id_or_name}")),
            "AWS::IAM::InstanceProfile" => {
                global(format!("iam delete-instance-profile --instance-profile-name {id_or_name}"))
            }
            "AWS::IAM::ManagedPolicy" => global(format!("iam delete-policy --policy-arn {id_or_name}")),
            "AWS::CodeBuild::Project" => aws(format!("codebuild delete-project --name {id_or_name}")),
            "AWS::Events::Rule" => aws(format!("events delete-rule --name {id_or_name}")),
            // Its service has a command, and everybody can find the resource by its type.
            other => {
                aws(format!("cloudcontrol delete-resource --type-name {other} --identifier {id_or_name}"))
            }
        };
        Self { what: format!("{} {id}", kind(&resource.resource_type)), command }
    }
}

/// The advice about a resource that others may hold fast. `None`: only the cluster uses it.
pub fn holders(resource: &StackResource) -> Option<String> {
    let arn = resource.physical_resource_id.as_deref().map(shell_word)?;
    // IAM API, DeletePolicy: the policy has to be detached from all users, groups and roles first.
    (resource.resource_type == "AWS::IAM::ManagedPolicy").then(|| {
        format!(
            "`aws iam list-entities-for-policy --policy-arn {arn}` shows who has it; `aws iam detach-user-policy \
             --user-name NAME --policy-arn {arn}` takes it from a user, `detach-group-policy --group-name` from a \
             group, `detach-role-policy --role-name` from a role"
        )
    })
}

/// A word for a shell, in quotes where it needs them.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("'{text}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(options: &str, aws: &str) -> Origin {
        let cluster = "lab".parse().unwrap();
        Origin { cluster, region: "eu-west-1".into(), options: options.into(), aws: aws.into() }
    }

    #[test]
    fn each_leftover_has_a_command() {
        let on_aws = origin("--region eu-west-1", "aws ");
        let local = origin("-c local", "eval \"$(blocal env)\" && aws ");
        let left = |origin: &Origin, resource_type: &str, id: &str| {
            let resource = StackResource {
                logical_resource_id: "Part".into(),
                physical_resource_id: Some(id.into()),
                resource_type: resource_type.into(),
                ..StackResource::default()
            };
            let left = Leftover::of(&resource, origin);
            (left.what, left.command)
        };
        let of = |resource_type: &str, id: &str| left(&on_aws, resource_type, id);
        assert_eq!(
            of("AWS::S3::Bucket", "awsb-lab-88fd2f1186f0"),
            (
                "bucket awsb-lab-88fd2f1186f0".into(),
                "bcluster delete lab --region eu-west-1 --delete-data".into()
            )
        );
        // One whose name CloudFormation has made is not found by the name of the cluster.
        assert_eq!(
            of("AWS::S3::Bucket", "lab-bucket-1x2y").1,
            "aws s3 rb --force s3://lab-bucket-1x2y --region eu-west-1"
        );
        // On the local cluster, no command acts on AWS.
        assert_eq!(
            left(&local, "AWS::S3::Bucket", "awsb-lab-88fd2f1186f0").1,
            "bcluster delete lab -c local --delete-data"
        );
        for kind in ["AWS::Logs::LogGroup", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::Foo::Bar"] {
            let command = left(&local, kind, "x").1;
            assert!(command.starts_with("eval \"$(blocal env)\" && aws "), "{command}");
        }
        assert_eq!(
            of("AWS::Logs::LogGroup", "/awsb/lab/jobs").1,
            "aws logs delete-log-group --log-group-name /awsb/lab/jobs --region eu-west-1"
        );
        assert_eq!(of("AWS::IAM::Role", "lab-Role-1").1, "aws iam delete-role --role-name lab-Role-1");
        assert!(of("AWS::Foo::Bar", "a|b").1.contains("--type-name AWS::Foo::Bar --identifier 'a|b'"));
    }

    #[test]
    fn what_a_template_keeps() {
        let template = serde_json::json!({"Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "RetainExceptOnCreate"},
            "Efs": {"Type": "AWS::EFS::FileSystem", "DeletionPolicy": "Retain"},
            "Logs": {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Delete"},
            "Queue": {"Type": "AWS::Batch::JobQueue"},
        }});
        let kept = kept_ids(&template.to_string());
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), ["Bucket", "Efs"]);
    }
}
