//! The images of a cluster that stay on a Docker engine, as `awsb:TAG`.

use std::collections::HashMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::client::{Engine, REPOSITORY, START};
use crate::aws::Session;
use crate::image::{Details, Image, ImageId, Layer, Removed, not_there};
use crate::ui::Failure;

/// The number of images that are inspected at the same time.
const CONCURRENT: usize = 10;
const DESCRIPTION: &str = "the Docker engine of this machine";

/// The engine that has the cluster's images.
///
/// # Errors
/// When no engine answers.
pub async fn image_engine(session: &Session) -> Result<Engine, Failure> {
    let failure = |failure: Failure| {
        let message = format!("looking for the images that {DESCRIPTION} keeps: {failure}");
        let failure = failure.wrap(message).hint(START);
        match session.cluster.images.engine_runs_jobs {
            true => failure,
            false => failure.hint(session.cluster.hint_to_setting(
                "ecr_repository",
                "\"NAME\"",
                "keeps images in ECR",
            )),
        }
    };
    Engine::find().await.map_err(failure)
}

/// The images with a tag in the cluster's repository on the engine.
pub async fn list(engine: &Engine) -> Result<Vec<Image>, Failure> {
    let ours = HashMap::from([("reference", vec![REPOSITORY])]);
    let options = ListImagesOptionsBuilder::new().filters(&ours).build();
    let found = engine.docker.list_images(Some(options)).await;
    let found = found.map_err(|e| engine.gone(&format!("listing the images of {DESCRIPTION}"), &e))?;
    let looks = found.iter().map(|image| engine.inspect(&image.id));
    // An image that has just been removed is left out.
    let looks: Vec<Option<ImageInspect>> = stream::iter(looks).buffered(CONCURRENT).try_collect().await?;
    let images = looks.iter().flatten().map(image);
    Ok(images.filter(|image| !image.image_tags.is_empty()).collect())
}

/// Details of an image, by its tag or ID. Only images with a tag in the cluster's repository are
/// found.
pub async fn details(engine: &Engine, id: &ImageId) -> Result<Option<Details>, Failure> {
    let Some(found) = engine.inspect(&name(id)).await? else { return Ok(None) };
    let image = image(&found);
    let ours = format!("{REPOSITORY}@");
    let platform = [found.os, found.architecture, found.variant.filter(|variant| !variant.is_empty())];
    let layers = found.root_fs.and_then(|layers| layers.layers).unwrap_or_default();
    let layer = |digest: String| Layer { digest, size: None, media_type: None };
    Ok((!image.image_tags.is_empty()).then(|| Details {
        image_uri: name(id),
        image_uri_at_digest: found
            .repo_digests
            .into_iter()
            .flatten()
            .find(|name| plain(name).starts_with(&ours)),
        platforms: Some(vec![platform.into_iter().flatten().collect::<Vec<_>>().join("/")]),
        layers: Some(layers.into_iter().map(layer).collect()),
        image,
    }))
}

/// Removes tags. An image is removed with its last tag. Nothing is forced: an image that a
/// container needs stays.
pub async fn remove(
    engine: &Engine,
    ids: &[ImageId],
    report: &mut impl FnMut(Result<Removed, Failure>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for id in ids {
        let outcome = match details(engine, id).await? {
            None => Err(not_there(id, &describe())),
            Some(Details { image, .. }) => untag(engine, id, &image)
                .await
                .map(|()| Removed { id: id.clone(), digest: image.image_digest }),
        };
        report(outcome)?;
    }
    Ok(())
}

/// Removes the tags of an image that is named by its ID. The image stays if it has tags elsewhere.
async fn untag(engine: &Engine, id: &ImageId, image: &Image) -> Result<(), Failure> {
    let names = match id {
        ImageId::Tag(_) => vec![name(id)],
        ImageId::Digest(_) => image.image_tags.iter().map(|tag| format!("{REPOSITORY}:{tag}")).collect(),
    };
    for name in names {
        let removed = engine.docker.remove_image(&name, None::<RemoveImageOptions>, None).await;
        removed.map_err(|e| engine.gone(&format!("removing the image {name}"), &e))?;
    }
    Ok(())
}

/// The place of the images in the form that messages have.
pub fn describe() -> String {
    format!("{REPOSITORY} on {DESCRIPTION}")
}

/// The name of an image of the cluster on the engine.
fn name(id: &ImageId) -> String {
    match id {
        ImageId::Tag(_) => id.within(REPOSITORY),
        ImageId::Digest(id) => id.clone(),
    }
}

/// The name of an image without the registry that Podman puts before the names of local images.
fn plain(name: &str) -> &str {
    name.strip_prefix("localhost/").unwrap_or(name)
}

/// The engine's description of an image, in ECR's terms.
fn image(found: &ImageInspect) -> Image {
    let ours = format!("{REPOSITORY}:");
    let tags = found.repo_tags.iter().flatten().filter_map(|name| plain(name).strip_prefix(&ours));
    let mut tags: Vec<String> = tags.map(str::to_owned).collect();
    tags.sort();
    let tagged = found.metadata.as_ref().and_then(|metadata| metadata.last_tag_time);
    let tagged = tagged.map(|at| at.unix_timestamp()).filter(|at| *at > 0);
    Image {
        repository_name: Some(REPOSITORY.to_owned()),
        image_digest: found.id.clone(),
        image_tags: tags,
        image_size_in_bytes: found.size,
        // The creation time of a reproducible image is not a true time.
        image_pushed_at: tagged.or(found.created.map(|at| at.unix_timestamp())).map(|at| at * 1000),
        ..Image::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_that_are_ours_on_docker_and_on_podman() {
        let names = ["awsb:b", "localhost/awsb:a", "other:c", "localhost/other:d", "localhost:5000/awsb:e"];
        let found =
            ImageInspect { repo_tags: Some(names.map(str::to_owned).to_vec()), ..ImageInspect::default() };
        assert_eq!(image(&found).image_tags, ["a", "b"]);
    }
}
