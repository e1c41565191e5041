//! An image in the repository.

use aws_sdk_ecr::error::ProvideErrorMetadata;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier};
use serde::Serialize;

use super::repository::gone;
use super::{client, place};
use crate::cluster::{Session, explain};
use crate::image::{Repository, Tag};
use crate::ui::Failure;

/// An image, in AWS's words (ECR API, `ImageDetail`). Times are milliseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The account.
    pub registry_id: Option<String>,
    /// The repository.
    pub repository_name: Option<String>,
    /// `sha256:…`, of the manifest.
    pub image_digest: Option<String>,
    /// Its tags; none, when another image has taken them over or it is a part of one.
    pub image_tags: Vec<String>,
    /// What is stored, which is compressed.
    pub image_size_in_bytes: Option<i64>,
    /// When it was pushed.
    pub image_pushed_at: Option<i64>,
    /// When it was last pulled, as far as ECR tells: once a day at most.
    pub last_recorded_pull_time: Option<i64>,
    /// What the manifest is: of one image, or of one for each platform.
    pub image_manifest_media_type: Option<String>,
    /// What it is, when it is no image to run.
    pub artifact_media_type: Option<String>,
    /// `ACTIVE`, or `ARCHIVED`: it can't be pulled then.
    pub image_status: Option<String>,
}

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

/// The image that has this tag; `None` when none has it. Of a registry that is not ECR's nothing is known: `None`.
///
/// # Errors
/// When the repository is gone, or ECR cannot be asked (`ecr:DescribeImages`).
pub async fn find(session: &Session, repository: &Repository, tag: &Tag) -> Result<Option<Image>, Failure> {
    if !repository.registry.is_ecr() {
        return Ok(None);
    }
    let call = client(session, Some(&repository.registry))
        .describe_images()
        .repository_name(repository.name.as_str())
        .set_registry_id(repository.registry.account().map(str::to_owned))
        .image_ids(ImageIdentifier::builder().image_tag(tag.as_str()).build());
    match call.send().await {
        Ok(answer) => Ok(answer.image_details().first().map(Image::from)),
        Err(e) => match e.code() {
            Some("ImageNotFoundException") => Ok(None),
            Some("RepositoryNotFoundException") => Err(gone(session)),
            _ => {
                let doing = format!("looking for the image {tag} in the repository {}", place(repository));
                Err(explain(session, &doing, &e))
            }
        },
    }
}
