//! Where a cluster's images are built, and where they are kept.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use awsb_model::Invalid;
use awsb_model::image::RepositoryPath;

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

/// The settings of a cluster about images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Where they are built; `codebuild` where a project is named and nothing else is said, else
    /// `docker`.
    pub builder: Builder,
    /// Whether the settings say where they are built.
    pub is_builder_set: bool,
    /// The CodeBuild project.
    pub codebuild_project: Option<String>,
    /// The ECR repository: its name, or its URI (`REGISTRY/NAME`). Without one images stay on the
    /// engine.
    pub ecr_repository: Option<RepositoryPath>,
    /// Whether a repository that is not there is made.
    pub create_repository: bool,
    /// Whether this machine's engine keeps the images and runs the cluster's jobs, as far as its
    /// settings tell: they name no repository, and an endpoint on this machine.
    pub engine_runs_jobs: bool,
}

impl Images {
    /// Adds the repository and the project of the cluster's stack, where the settings name none.
    pub(super) fn complete(&mut self, repository: Option<&str>, codebuild_project: Option<String>) {
        if self.ecr_repository.is_none() {
            self.ecr_repository = repository.and_then(|uri| uri.parse().ok());
        }
        if let (None, Some(project)) = (&self.codebuild_project, codebuild_project) {
            self.codebuild_project = Some(project);
            if !self.is_builder_set {
                self.builder = Builder::CodeBuild;
            }
        }
    }
}

/// Whether an endpoint is on this machine, as its URL tells without asking anybody.
pub(super) fn is_this_machine(endpoint_url: &str) -> bool {
    let Ok(uri) = endpoint_url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || v6.is_some_and(|host| host.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_on_this_machine() {
        for url in [
            "http://127.0.0.1:5000",
            "https://localhost",
            "http://LOCALHOST:1/",
            "http://127.1.2.3",
            "http://[::1]:80/x",
        ] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in [
            "https://batch.example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org:5000",
            "http://10.0.0.1:5000",
            "http://[::2]:5000",
            "http://0.0.0.0",
            "localhost/x",
            "",
        ] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
