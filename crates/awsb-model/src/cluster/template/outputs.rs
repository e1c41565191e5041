//! The parameters and outputs of a template. Those that ParallelCluster's stacks have are the same,
//! so that `awsbsub` and the other tools of ParallelCluster work.

use serde_json::{Map, Value, json};

use super::parts::{Context, reference};
use super::storage::ROOT;
use crate::cluster::config::{Bucket, DefinitionKind, Project, Repository, SharedSource};

/// ParallelCluster's word for a part that a cluster does not have.
const NONE: &str = "NONE";

impl Context<'_> {
    /// The parameters.
    pub(super) fn parameters(&self) -> Value {
        let (bucket, of_bucket) = match &self.config.bucket {
            Bucket::New(_) => ("", "The name of the bucket to make. Empty: a generated name"),
            Bucket::Existing(name) => (name.as_str(), "The bucket of the cluster"),
        };
        json!({
            "Scheduler": {
                "Type": "String",
                "Default": "awsbatch",
                "AllowedValues": ["awsbatch"],
                "Description": "For ParallelCluster's tools",
            },
            "ResourcesS3Bucket": { "Type": "String", "Default": bucket, "Description": of_bucket },
            "ArtifactS3RootDirectory": {
                "Type": "String",
                "Default": ROOT,
                "AllowedValues": [ROOT],
                "Description": "The folder in the bucket",
            },
        })
    }

    /// The conditions.
    pub(super) fn conditions(&self) -> Value {
        match self.config.bucket {
            Bucket::Existing(_) => Value::Null,
            Bucket::New(_) => json!({
                "HasBucketName": { "Fn::Not": [{ "Fn::Equals": [reference("ResourcesS3Bucket"), ""] }] },
            }),
        }
    }

    /// The outputs.
    pub(super) fn outputs(&self) -> Value {
        let config = self.config;
        let queue = config.queue();
        let environment = queue
            .and_then(|queue| config.environments_of(queue).next())
            .or_else(|| config.environments.first())
            .map_or(NONE.into(), |environment| reference(&environment.name.logical_id("Environment")));
        let definition = |id: &crate::cluster::config::PartName| reference(&id.logical_id("Definition"));
        let multinode =
            config.definitions.iter().find(|d| matches!(d.kind, DefinitionKind::Multinode { .. }));
        let fargate = config.definitions.iter().find(|d| d.is_on_fargate());
        let project = match &config.images.project {
            Project::None => Value::Null,
            Project::New(_) => reference("BuildProject"),
            Project::Existing(name) => name.as_str().into(),
        };
        let repository = match &config.images.repository {
            Repository::None => Value::Null,
            Repository::New(_) => reference("Repository"),
            Repository::Existing(name) => name.as_str().into(),
        };
        let systems: Vec<&str> = config
            .shared
            .iter()
            .filter_map(|shared| match &shared.source {
                SharedSource::Efs { file_system, .. } => Some(file_system.as_str()),
                SharedSource::New { .. } | SharedSource::Mounted { .. } => None,
            })
            .collect();
        let efs = match (config.has_efs(), systems.as_slice()) {
            (true, _) => reference("Efs"),
            (false, []) => NONE.into(),
            (false, systems) => systems.join(",").into(),
        };
        let user_policy = config.iam.user_policy.then(|| reference("UserPolicy"));
        let outputs = [
            ("BatchCliRequirements", "aws-parallelcluster-awsbatch-cli<2.0.0".into()),
            ("BatchComputeEnvironmentArn", environment),
            ("BatchJobQueueArn", queue.map_or(Value::Null, |queue| self.queue_arn(queue))),
            ("BatchJobDefinitionArn", definition(&config.default_definition)),
            ("BatchJobDefinitionMnpArn", multinode.map_or(Value::Null, |d| definition(&d.name))),
            ("BatchJobDefinitionFargateArn", fargate.map_or(Value::Null, |d| definition(&d.name))),
            ("ResourcesS3Bucket", self.bucket_name()),
            ("ECRRepoName", repository),
            ("ECRRepoUri", self.repository_uri()),
            ("CodeBuildDockerImageBuilderProject", project),
            ("JobLogGroup", reference("JobLogs")),
            ("EventLogGroup", self.event_log_group()),
            ("UserPolicyArn", user_policy.unwrap_or(Value::Null)),
            ("HeadNodePrivateIP", NONE.into()),
            ("EFSIds", efs),
            ("EBSIds", NONE.into()),
            ("FSXIds", NONE.into()),
            ("RAIDIds", NONE.into()),
        ];
        let there = outputs.into_iter().filter(|(_, value)| !value.is_null());
        Value::Object(
            there.map(|(name, value)| (name.to_owned(), json!({ "Value": value }))).collect::<Map<_, _>>(),
        )
    }
}
