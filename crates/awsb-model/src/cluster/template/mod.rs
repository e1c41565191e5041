//! The CloudFormation template of a cluster.

mod build;
mod images;
mod jobs;
mod logs;
mod machines;
mod network;
mod outputs;
mod parts;
mod roles;
mod stopped;
mod storage;

pub use build::{BODY_BYTES, OBJECT_BYTES, Template, template};
pub use parts::CLUSTER_TAG;
pub use stopped::StoppedEnvironments;
pub(in crate::cluster) use storage::PREFIX;
