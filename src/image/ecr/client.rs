//! The client of ECR, and the names of repositories and images in requests and messages.

use aws_sdk_ecr::config::Region;
use aws_sdk_ecr::types::ImageIdentifier;

use crate::aws::Session;
use crate::image::ImageId;
use awsb_model::image::{Registry, Repository};

/// A client of ECR in the region of a registry. Without a registry, it is the cluster's region.
pub fn client(session: &Session, registry: Option<&Registry>) -> aws_sdk_ecr::Client {
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
pub fn describe(repository: &Repository) -> String {
    match repository.registry.region() {
        Some(region) => format!("{} (ECR in {region})", repository.name),
        None => repository.uri(),
    }
}

/// The identifier of an image in requests to ECR.
pub fn identifier(id: &ImageId) -> ImageIdentifier {
    let identifier = ImageIdentifier::builder();
    match id {
        ImageId::Tag(tag) => identifier.image_tag(tag.as_str()).build(),
        ImageId::Digest(digest) => identifier.image_digest(digest).build(),
    }
}
