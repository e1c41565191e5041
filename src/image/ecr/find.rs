//! Finds images in the repository: one, or all.

use aws_sdk_ecr::error::ProvideErrorMetadata;
use aws_sdk_ecr::operation::describe_images::builders::DescribeImagesFluentBuilder;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageDetail, ImageStatus, ImageStatusFilter};

use super::client::{client, describe, identifier};
use super::repository::gone;
use crate::aws::{Pages, Session, explain};
use crate::image::{Details, Image, ImageId, Manifest};
use crate::ui::Failure;
use awsb_model::image::{Repository, Tag};

/// The number of images of one answer (ECR API, `DescribeImages`: at most 1000).
const PAGE: i32 = 1000;

/// The accepted types of manifests, in order of preference. Without them, ECR returns only those of
/// Docker's own type.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

impl From<&ImageDetail> for Image {
    fn from(detail: &ImageDetail) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let time = |at: Option<&aws_sdk_ecr::primitives::DateTime>| at.and_then(|at| at.to_millis().ok());
        Self {
            registry_id: text(detail.registry_id()),
            repository_name: text(detail.repository_name()),
            image_digest: text(detail.image_digest()),
            image_tags: detail.image_tags().to_vec(),
            image_size_in_bytes: detail.image_size_in_bytes(),
            image_pushed_at: time(detail.image_pushed_at()),
            last_recorded_pull_time: time(detail.last_recorded_pull_time()),
            image_manifest_media_type: text(detail.image_manifest_media_type()),
            artifact_media_type: text(detail.artifact_media_type()),
            image_status: text(detail.image_status().map(|status| status.as_str())),
        }
    }
}

/// The image with this tag. `None`: no image has it, or the image is archived and cannot be pulled.
/// A registry other than ECR cannot be asked, so the result is `None`.
///
/// # Errors
/// When the repository does not exist any more, or ECR cannot be asked (`ecr:DescribeImages`).
pub async fn find(session: &Session, repository: &Repository, tag: &Tag) -> Result<Option<Image>, Failure> {
    match repository.registry.is_ecr() {
        true => {
            let found = find_by_id(session, repository, &ImageId::Tag(tag.clone())).await?;
            Ok(found.filter(|image| is_active(image.image_status.as_deref())))
        }
        false => Ok(None),
    }
}

/// The image with this ID in a repository of ECR.
pub(in crate::image) async fn find_by_id(
    session: &Session,
    repository: &Repository,
    id: &ImageId,
) -> Result<Option<Image>, Failure> {
    match describe_images(session, repository).image_ids(identifier(id)).send().await {
        Ok(answer) => Ok(answer.image_details().first().map(Image::from)),
        Err(e) => match e.code() {
            Some("ImageNotFoundException") => Ok(None),
            Some("RepositoryNotFoundException") => Err(gone(session)),
            _ => {
                let doing = format!("looking for the image {id} in the repository {}", describe(repository));
                Err(explain(session, &doing, &e))
            }
        },
    }
}

/// Whether an image with this status can be pulled. A missing status means `ACTIVE`.
fn is_active(status: Option<&str>) -> bool {
    status.is_none_or(|status| status == ImageStatus::Active.as_str())
}

/// All images of a repository of ECR, including archived ones, in no particular order.
pub(in crate::image) async fn list(
    session: &Session,
    repository: &Repository,
) -> Result<Vec<Image>, Failure> {
    // Without this filter, ECR returns active images only (ECR API, `DescribeImagesFilter`,
    // imageStatus).
    let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
    let call = describe_images(session, repository).filter(any).max_results(PAGE);
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => images.extend(page.image_details().iter().map(Image::from)),
            Err(e) if e.code() == Some("RepositoryNotFoundException") => return Err(gone(session)),
            Err(e) => {
                let doing = format!("listing the images of the repository {}", describe(repository));
                return Err(e.explain(session, &doing));
            }
        }
    }
    Ok(images)
}

fn describe_images(session: &Session, repository: &Repository) -> DescribeImagesFluentBuilder {
    client(session, Some(&repository.registry))
        .describe_images()
        .repository_name(repository.name.as_str())
        .set_registry_id(repository.registry.account().map(str::to_owned))
}

/// An image with the content of its manifest.
pub(in crate::image) async fn details(
    session: &Session,
    repository: &Repository,
    id: &ImageId,
) -> Result<Option<Details>, Failure> {
    let Some(image) = find_by_id(session, repository, id).await? else { return Ok(None) };
    let call = client(session, Some(&repository.registry))
        .batch_get_image()
        .repository_name(repository.name.as_str())
        .set_registry_id(repository.registry.account().map(str::to_owned))
        .image_ids(identifier(id))
        .set_accepted_media_types(Some(MANIFESTS.map(str::to_owned).to_vec()));
    let answer = call.send().await.map_err(|e| {
        explain(session, &format!("reading the manifest of the image {id} in {}", describe(repository)), &e)
    })?;
    // If the image has just been removed, or its manifest has a new form, the rest is returned all
    // the same.
    let manifest = answer.images().first().and_then(|found| found.image_manifest());
    let manifest: Manifest = manifest.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let digest = image.image_digest.clone();
    Ok(Some(Details {
        image_uri: id.within(repository.uri()),
        image_uri_at_digest: digest.map(|digest| repository.at_digest(&digest)),
        platforms: manifest.platforms(),
        layers: manifest.layers(),
        image,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_archive_is_not_there_to_be_pulled() {
        let is = [None, Some("ACTIVE"), Some("ARCHIVED"), Some("ACTIVATING")].map(is_active);
        assert_eq!(is, [true, true, false, false]);
    }
}
