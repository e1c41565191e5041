//! The repository and the build project of a template.

use serde_json::{Value, json};

use super::parts::{Context, Resources, days, kept, minutes, reference, text};
use crate::cluster::bucket_name::repository_name;
use crate::cluster::config::{
    Architecture, Capacity, DefinitionImage, DefinitionKind, Environment, Machine, Project, Repository,
};

/// A build brings its own buildspec. One without it fails.
const BUILDSPEC: &str = "version: 0.2\nphases: {build: {commands: [\"false\"]}}\n";

impl Context<'_> {
    /// Adds the repository and the project.
    pub(super) fn add_images(&self, resources: &mut Resources) {
        self.add_repository(resources);
        self.add_project(resources);
    }

    fn add_repository(&self, resources: &mut Resources) {
        let Repository::New(repository) = &self.config.images.repository else { return };
        let lifecycle = repository.expire_untagged.map(|period| {
            let rule = json!({
                "rulePriority": 1,
                "description": "Images without a tag",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": days(period),
                },
                "action": { "type": "expire" },
            });
            json!({ "LifecyclePolicyText": json!({ "rules": [rule] }).to_string() })
        });
        resources.add_with(
            "Repository",
            "AWS::ECR::Repository",
            json!({
                "RepositoryName": repository_name(self.name),
                "EmptyOnDelete": true,
                "ImageScanningConfiguration": { "ScanOnPush": repository.scan },
                "ImageTagMutability": if repository.immutable_tags { "IMMUTABLE" } else { "MUTABLE" },
                "LifecyclePolicy": lifecycle,
                "Tags": self.tags(&[]),
            }),
            kept(repository.keep),
        );
    }

    fn add_project(&self, resources: &mut Resources) {
        let Project::New(project) = &self.config.images.project else { return };
        let (kind, image) = match project.architecture.unwrap_or_else(|| self.architecture()) {
            Architecture::X86 => ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0"),
            Architecture::Arm => ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
        };
        let size = match project.machine {
            Machine::Small => "BUILD_GENERAL1_SMALL",
            Machine::Medium => "BUILD_GENERAL1_MEDIUM",
            Machine::Large => "BUILD_GENERAL1_LARGE",
            Machine::Xlarge => "BUILD_GENERAL1_XLARGE",
            Machine::Xlarge2 => "BUILD_GENERAL1_2XLARGE",
        };
        let repository = match self.repository_uri() {
            Value::Null => Value::Null,
            uri => json!([{ "Name": "AWSB_IMAGE", "Value": uri }]),
        };
        resources.add(
            "BuildProject",
            "AWS::CodeBuild::Project",
            json!({
                "Description": text("Builds images for the awsb cluster ${AWS::StackName}"),
                "ServiceRole": self.build_role(),
                "Source": { "Type": "NO_SOURCE", "BuildSpec": BUILDSPEC },
                "Artifacts": { "Type": "NO_ARTIFACTS" },
                "Environment": {
                    "Type": kind,
                    "Image": image,
                    "ComputeType": size,
                    "PrivilegedMode": true,
                    "EnvironmentVariables": repository,
                },
                "TimeoutInMinutes": minutes(project.timeout),
                "LogsConfig": {
                    "CloudWatchLogs": { "Status": "ENABLED", "GroupName": reference("BuildLogs") },
                },
                "Tags": self.tags(&[]),
            }),
        );
    }

    /// The architecture of the default queue's machines.
    fn architecture(&self) -> Architecture {
        let of = |environment: &Environment| match &environment.capacity {
            Capacity::Ec2(ec2) => ec2.architecture(),
            Capacity::Fargate { .. } => {
                let fargate = self.config.definitions.iter().find_map(|definition| match &definition.kind {
                    DefinitionKind::Fargate(options) => Some(options.architecture),
                    DefinitionKind::Container(_) | DefinitionKind::Multinode { .. } => None,
                });
                fargate.unwrap_or(Architecture::X86)
            }
        };
        let first = self.config.queue().and_then(|queue| self.config.environments_of(queue).next());
        first.or_else(|| self.config.environments.first()).map_or(Architecture::X86, of)
    }

    /// The URI of the repository; `null` without one.
    pub(super) fn repository_uri(&self) -> Value {
        match &self.config.images.repository {
            Repository::None => Value::Null,
            Repository::New(_) => json!({ "Fn::GetAtt": ["Repository", "RepositoryUri"] }),
            Repository::Existing(name) => text(&in_registry(name.as_str())),
        }
    }

    /// The image of a job definition.
    pub(super) fn image(&self, image: &DefinitionImage) -> Value {
        match (image, &self.config.images.repository) {
            (DefinitionImage::Own(tag), Repository::New(_)) => {
                text(&format!("${{Repository.RepositoryUri}}:{tag}"))
            }
            (DefinitionImage::Own(tag), Repository::Existing(name)) => {
                text(&format!("{}:{tag}", in_registry(name.as_str())))
            }
            // The validation refuses it.
            (DefinitionImage::Own(tag), Repository::None) => tag.to_string().into(),
            (image @ (DefinitionImage::Default | DefinitionImage::Other(_)), _) => image.to_string().into(),
        }
    }
}

/// A repository of the account in the region.
fn in_registry(name: &str) -> String {
    format!("${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/{name}")
}
