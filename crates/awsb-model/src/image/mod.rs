//! The names of images and their repositories.

mod name;
mod repository;

pub use name::{BuildArg, Platform, RepositoryName, Tag, parted};
pub use repository::{Registry, Repository, RepositoryPath};
