//! Images: a build context goes to CodeBuild or to a Docker engine, and the image to ECR.
//!
//! ```text
//! bimage build: folder -> Context -> S3 -> CodeBuild -> ECR        (builder = "codebuild")
//!                         Context -> Docker engine -> ECR          (builder = "docker")
//! ```
//!
//! A cluster without a repository keeps its images on the engine: jobs that this engine runs find them there.

mod build;
mod built;
pub mod codebuild;
pub mod ecr;
mod name;
mod repository;

pub use build::{Wish, build};
pub use built::Built;
pub use name::{BuildArg, Platform, RepositoryName, Tag};
pub use repository::{Registry, Repository, RepositoryPath};


/// The repository that images have on an engine when the cluster names none.
pub const ENGINE_REPOSITORY: &str = "awsb";
