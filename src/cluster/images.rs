//! Where a cluster's images are built, and where they are kept.

use std::str::FromStr;

use crate::image::RepositoryPath;
use crate::job::Invalid;

/// Where images are built (the cluster's setting `builder`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builder {
    /// The CodeBuild project of the cluster.
    CodeBuild,
    /// The Docker engine of this machine.
    Docker,
}

impl Builder {
    /// The setting's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CodeBuild => "codebuild",
            Self::Docker => "docker",
        }
    }
}

impl FromStr for Builder {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "codebuild" => Ok(Self::CodeBuild),
            "docker" => Ok(Self::Docker),
            _ => Err(Invalid::because("a builder is `codebuild` or `docker`")),
        }
    }
}

/// What a cluster's settings say about images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Where they are built; `codebuild` where a project is named and nothing else is said, else `docker`.
    pub builder: Builder,
    /// The CodeBuild project.
    pub codebuild_project: Option<String>,
    /// The ECR repository: its name, or its URI (`REGISTRY/NAME`). Without one images stay on the engine.
    pub ecr_repository: Option<RepositoryPath>,
    /// Whether a repository that is not there is made.
    pub create_repository: bool,
    /// Whether this machine's engine runs the cluster's jobs, as far as its settings tell: it is not AWS's.
    pub engine_runs_jobs: bool,
}
