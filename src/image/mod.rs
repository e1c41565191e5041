//! Images: a build context goes to CodeBuild or to a Docker engine, and the image to ECR.
//!
//! ```text
//! bimage build: folder -> Context -> S3 -> CodeBuild -> ECR        (builder = "codebuild")
//!                         Context -> Docker engine -> ECR          (builder = "docker")
//! ```
//!
//! The images of a cluster without a repository stay on the engine. Jobs that run on this engine
//! find them there.

mod build;
mod build_input;
mod build_result;
pub mod codebuild;
pub mod context;
mod details;
pub mod ecr;
pub mod engine;
mod id;
mod plan;
mod queue_platform;
mod removal;
mod resolve;
mod stage;
mod store;

pub use build::{BuildOptions, build};
pub use build_input::BuildInput;
pub use build_result::BuildResult;
pub use context::Context;
pub use details::{ArtifactKind, Details, Image, Layer, Manifest};
pub use id::{ImageId, NamedImage};
pub use plan::BuildPlan;
pub use removal::{Removed, not_there};
pub use resolve::{ResolvedImage, expected_name, resolve};
pub use stage::stage;
pub use store::Store;
