//! Removes images from the repository.

use aws_sdk_ecr::error::ProvideErrorMetadata;
use aws_sdk_ecr::types::{ImageFailure, ImageFailureCode, ImageIdentifier};

use super::client::{client, describe, identifier};
use super::repository::gone;
use crate::aws::{Session, explain};
use crate::image::{ImageId, Removed, not_there};
use crate::ui::Failure;
use awsb_model::image::Repository;

/// The number of images that one call removes (ECR API, `BatchDeleteImage`: at most 100).
const PER_CALL: usize = 100;

/// Removes images. If an image has other tags, only the tag is removed; with its last tag, the
/// image is removed. All are tried, and each that stays is reported as a failure.
pub(in crate::image) async fn remove(
    session: &Session,
    repository: &Repository,
    ids: &[ImageId],
    report: &mut impl FnMut(Result<Removed, Failure>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for ids in ids.chunks(PER_CALL) {
        let call = client(session, Some(&repository.registry))
            .batch_delete_image()
            .repository_name(repository.name.as_str())
            .set_registry_id(repository.registry.account().map(str::to_owned))
            .set_image_ids(Some(ids.iter().map(identifier).collect()));
        let answer = call.send().await.map_err(|e| match e.code() {
            Some("RepositoryNotFoundException") => gone(session),
            _ => {
                explain(session, &format!("removing images from the repository {}", describe(repository)), &e)
            }
        })?;
        for id in ids {
            let refusal =
                answer.failures().iter().find(|f| f.image_id().is_some_and(|answered| is_same(answered, id)));
            let gone = answer.image_ids().iter().find(|answered| is_same(answered, id));
            report(match (gone, refusal) {
                (_, Some(refusal)) => Err(failure(repository, id, refusal)),
                (Some(gone), None) => {
                    Ok(Removed { id: id.clone(), digest: gone.image_digest().map(str::to_owned) })
                }
                (None, None) => Err(Failure::failed(format!(
                    "removing the image {id} from {}: ECR does not say whether it is removed",
                    describe(repository)
                ))
                .hint(format!("`bimage show {id}` shows whether it is still there"))),
            })?;
        }
    }
    Ok(())
}

fn is_same(answered: &ImageIdentifier, id: &ImageId) -> bool {
    match id {
        ImageId::Tag(tag) => answered.image_tag() == Some(tag.as_str()),
        ImageId::Digest(digest) => answered.image_digest() == Some(digest.as_str()),
    }
}

fn failure(repository: &Repository, id: &ImageId, refusal: &ImageFailure) -> Failure {
    let place = describe(repository);
    match refusal.failure_code() {
        Some(ImageFailureCode::ImageNotFound) => not_there(id, &place),
        Some(ImageFailureCode::ImageReferencedByManifestList) => Failure::failed(format!(
            "cannot remove the image {id} from {place}: it is the part of another image for one platform"
        ))
        .hint("remove the other image first; `bimage list` shows its parts as `platforms`"),
        code => {
            let code = code.map_or("no reason is given", ImageFailureCode::as_str);
            let reason = refusal.failure_reason().map(|reason| format!(": {reason}")).unwrap_or_default();
            Failure::failed(format!("removing the image {id} from {place}: {code}{reason}"))
        }
    }
}
