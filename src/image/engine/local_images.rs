//! Images that are kept on a Docker engine, as `awsb:TAG`.

use std::collections::HashMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{ENGINE_REPOSITORY, Engine, START};
use crate::aws::Session;
use crate::image::{Details, Image, ImageId, Layer, Removed, not_there};
use crate::ui::Failure;

/// So many images are looked at, at once.
const CONCURRENT: usize = 10;
const DESCRIPTION: &str = "the Docker engine of this machine";

/// The engine that keeps the cluster's images.
///
/// # Errors
/// When none answers.
pub async fn image_engine(session: &Session) -> Result<Engine, Failure> {
    let failure = |failure: Failure| {
        let message = format!("looking for the images that {DESCRIPTION} keeps: {failure}");
        let failure = failure.wrap(message).hint(START);
        match session.cluster.images.engine_runs_jobs {
            true => failure,
            false => {
                failure.hint(session.hint_to_setting("ecr_repository", "\"NAME\"", "keeps images in ECR"))
            }
        }
    };
    Engine::find().await.map_err(failure)
}

/// The images with a tag of ours.
pub async fn list(engine: &Engine) -> Result<Vec<Image>, Failure> {
    let ours = HashMap::from([("reference", vec![ENGINE_REPOSITORY])]);
    let options = ListImagesOptionsBuilder::new().filters(&ours).build();
    let found = engine.docker.list_images(Some(options)).await;
    let found = found.map_err(|e| engine.gone(&format!("listing the images of {DESCRIPTION}"), &e))?;
    let looks = found.iter().map(|image| engine.inspect(&image.id));
    // One that has gone since was there a moment ago, and is not now.
    let looks: Vec<Option<ImageInspect>> = stream::iter(looks).buffered(CONCURRENT).try_collect().await?;
    let images = looks.iter().flatten().map(image);
    Ok(images.filter(|image| !image.image_tags.is_empty()).collect())
}

/// An image of ours; by its ID, too, if it has a tag of ours.
pub async fn details(engine: &Engine, id: &ImageId) -> Result<Option<Details>, Failure> {
    let Some(found) = engine.inspect(&name(id)).await? else { return Ok(None) };
    let image = image(&found);
    let ours = format!("{ENGINE_REPOSITORY}@");
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

/// Takes tags away, and the images with their last ones. Nothing is forced: what a container needs stays.
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

/// An image that is named by its ID loses all the tags of ours; if it has others, it stays.
async fn untag(engine: &Engine, id: &ImageId, image: &Image) -> Result<(), Failure> {
    let names = match id {
        ImageId::Tag(_) => vec![name(id)],
        ImageId::Digest(_) => {
            image.image_tags.iter().map(|tag| format!("{ENGINE_REPOSITORY}:{tag}")).collect()
        }
    };
    for name in names {
        let removed = engine.docker.remove_image(&name, None::<RemoveImageOptions>, None).await;
        removed.map_err(|e| engine.gone(&format!("removing the image {name}"), &e))?;
    }
    Ok(())
}

/// Where our images are, as messages have it.
pub fn describe() -> String {
    format!("{ENGINE_REPOSITORY} on {DESCRIPTION}")
}

/// The engine's name of an image of ours.
fn name(id: &ImageId) -> String {
    match id {
        ImageId::Tag(_) => id.within(ENGINE_REPOSITORY),
        ImageId::Digest(id) => id.clone(),
    }
}

/// An image's name without the registry that Podman writes before the names of its own images.
fn plain(name: &str) -> &str {
    name.strip_prefix("localhost/").unwrap_or(name)
}

/// What the engine tells, in ECR's words.
fn image(found: &ImageInspect) -> Image {
    let ours = format!("{ENGINE_REPOSITORY}:");
    let tags = found.repo_tags.iter().flatten().filter_map(|name| plain(name).strip_prefix(&ours));
    let mut tags: Vec<String> = tags.map(str::to_owned).collect();
    tags.sort();
    let tagged = found.metadata.as_ref().and_then(|metadata| metadata.last_tag_time);
    let tagged = tagged.map(|at| at.unix_timestamp()).filter(|at| *at > 0);
    Image {
        repository_name: Some(ENGINE_REPOSITORY.to_owned()),
        image_digest: found.id.clone(),
        image_tags: tags,
        image_size_in_bytes: found.size,
        // An image that was made to be the same each time has no true time of its own.
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
