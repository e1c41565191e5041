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
pub mod context;
mod described;
pub mod ecr;
pub mod engine;
mod id;
mod machines;
mod meant;
mod plan;
mod recipe;
mod stage;
mod store;

pub use build::{Wish, build};
pub use built::Built;
pub use context::Context;
pub use described::{Details, Image, Kind, Layer, Manifest};
pub use id::{ImageId, NamedImage};
pub use meant::{Meant, expected, meant};
pub use plan::BuildPlan;
pub use recipe::Recipe;
pub use stage::stage;
pub use store::{Removed, Store, not_there};

/// The repository that images have on an engine when the cluster names none.
pub const ENGINE_REPOSITORY: &str = "awsb";
