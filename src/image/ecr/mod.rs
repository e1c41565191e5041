//! The cluster's repository in ECR: its images, and the credentials for pulling and pushing them.

mod authorization;
mod find;
mod remove;
mod repository;

use aws_sdk_ecr::config::Region;
use aws_sdk_ecr::types::ImageIdentifier;

pub use super::Image;
pub use authorization::{Authorization, Password, authorization};
pub use find::find;
pub(super) use find::{details, find_by_id, list};
pub(super) use remove::remove;
pub use repository::repository;
pub(super) use repository::{RepositoryLookup, existing, gone, look_up};

use super::ImageId;
use crate::aws::Session;
use awsb_model::image::{Registry, Repository};

/// A client of ECR in the region of a registry. Without a registry, it is the cluster's region.
fn client(session: &Session, registry: Option<&Registry>) -> aws_sdk_ecr::Client {
    let client = session.ecr();
    match registry.and_then(Registry::region).filter(|region| *region != session.region) {
        Some(region) => {
            let config = client.config().to_builder().region(Region::new(region.to_owned()));
            aws_sdk_ecr::Client::from_conf(config.build())
        }
        None => client,
    }
}

/// The repository in the form that messages have.
pub(super) fn describe(repository: &Repository) -> String {
    match repository.registry.region() {
        Some(region) => format!("{} (ECR in {region})", repository.name),
        None => repository.uri(),
    }
}

/// The identifier of an image in requests to ECR.
fn identifier(id: &ImageId) -> ImageIdentifier {
    let identifier = ImageIdentifier::builder();
    match id {
        ImageId::Tag(tag) => identifier.image_tag(tag.as_str()).build(),
        ImageId::Digest(digest) => identifier.image_digest(digest).build(),
    }
}
