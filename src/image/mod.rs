//! Images: a build context goes to CodeBuild or to a Docker engine, and the image to ECR.
//!
//! ```text
//! bimage build: folder -> Context -> S3 -> CodeBuild -> ECR        (builder = "codebuild")
//!                         Context -> Docker engine -> ECR          (builder = "docker")
//! ```
//!
//! A cluster without a repository keeps its images on the engine: jobs that this engine runs find them there.

pub mod context;
mod name;
mod recipe;
mod stage;

pub use context::Context;
pub use name::{BuildArg, Platform, RepositoryName, Tag};
pub use recipe::Recipe;
pub use stage::stage;

/// The repository that images have on an engine when the cluster names none.
pub const ENGINE_REPOSITORY: &str = "awsb";
