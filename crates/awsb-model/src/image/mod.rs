//! The names that images and their repositories have.

mod name;
mod repository;

pub use name::{BuildArg, Platform, RepositoryName, Tag, parted};
pub use repository::{Registry, Repository, RepositoryPath};
