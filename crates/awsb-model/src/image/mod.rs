//! The names of images and their repositories.

mod name;
mod reference;
mod repository;

pub use name::{BuildArg, Platform, RepositoryName, Tag, parted};
pub use reference::Image;
pub use repository::{Registry, Repository, RepositoryPath};
