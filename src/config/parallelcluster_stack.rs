//! The stack of a cluster, of `bcluster` or of ParallelCluster, as far as the tools need it.

use serde::{Deserialize, Serialize};

/// The resources that a stack names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// `ResourcesS3Bucket`.
    pub bucket: Option<String>,
    /// `ArtifactS3RootDirectory`: in its folder `batch`, the cluster's roles may write.
    pub directory: Option<String>,
    /// `BatchJobQueueArn`.
    pub job_queue: String,
    /// `BatchJobDefinitionArn`.
    pub job_definition: Option<String>,
    /// `BatchJobDefinitionMnpArn`.
    pub job_definition_mnp: Option<String>,
    /// `ProxyServer`, where there is one.
    pub proxy: Option<String>,
    /// `ECRRepoUri`, which only a stack of `bcluster` has.
    #[serde(default)]
    pub repository: Option<String>,
    /// `JobLogGroup`, which only a stack of `bcluster` has.
    #[serde(default)]
    pub log_group: Option<String>,
    /// `CodeBuildDockerImageBuilderProject`, of a stack that has a repository.
    #[serde(default)]
    pub codebuild_project: Option<String>,
}

impl Stack {
    /// The prefix of keys under which the cluster's roles may write.
    pub fn prefix(&self) -> String {
        match self.directory.as_deref().map(|d| d.trim_matches('/')).filter(|d| !d.is_empty()) {
            Some(directory) => format!("{directory}/batch"),
            None => "batch".to_owned(),
        }
    }
}
