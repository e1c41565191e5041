//! The cluster's repository in ECR: its images, and the credentials for pulling and pushing them.

mod authorization;
mod client;
mod find;
mod remove;
mod repository;

pub use authorization::{Authorization, Password, authorization};
pub(super) use client::describe;
pub use find::find;
pub(super) use find::{details, find_by_id, list};
pub(super) use remove::remove;
pub use repository::repository;
pub(super) use repository::{RepositoryLookup, existing, gone, look_up};
