//! The outcome of a removal, whether the image was in ECR or on an engine.

use super::ImageId;
use crate::ui::{ErrorKind, Failure};

/// An image or a tag that has been removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The image as it was named.
    pub id: ImageId,
    /// The digest, if the answer has it.
    pub digest: Option<String>,
}

/// The failure for an image that does not exist.
pub fn not_there(id: &ImageId, place: &str) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no image {id} in {place}"))
        .hint("`bimage list` lists the images")
}
