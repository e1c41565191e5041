//! Images that are kept on a Docker engine, as `awsb:TAG`.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions};
use futures_util::{StreamExt, stream};

use super::store::not_there;
use super::{Details, ENGINE_REPOSITORY, Image, ImageId, Layer, Removed};
use crate::cluster::Session;
use crate::docker;
use crate::ui::Failure;

/// So many images are looked at, at once.
const AT_ONCE: usize = 10;
const PLACE: &str = "the Docker engine of this machine";

/// The engine that keeps the cluster's images.
///
/// # Errors
/// When none answers.
pub async fn engine(session: &Session) -> Result<Docker, Failure> {
    let failure = |why| {
        let failure = Failure::failed(format!("looking for the images that {PLACE} keeps: {why}"))
            .hint("DOCKER_HOST names the engine, such as unix:///var/run/docker.sock; is it started?");
        match session.cluster.images.engine_runs_jobs {
            true => failure,
            false => failure.hint(format!(
                "`ecr_repository = \"NAME\"` in [cluster.{}] of the settings file keeps images in ECR",
                session.cluster.name
            )),
        }
    };
    docker::find().await.map(|(_, engine)| engine).map_err(failure)
}

/// The images with a tag of ours.
pub async fn list(engine: &Docker) -> Result<Vec<Image>, Failure> {
    let doing = || format!("listing the images of {PLACE}");
    let ours = HashMap::from([("reference", vec![ENGINE_REPOSITORY])]);
    let options = ListImagesOptionsBuilder::new().filters(&ours).build();
    let found = engine.list_images(Some(options)).await.map_err(|e| refused(&doing(), &e))?;
    let looks = found.iter().map(|image| inspect(engine, &image.id));
    let looks: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let mut images = Vec::new();
    for look in looks {
        // One that has gone since was there a moment ago, and is not now.
        images.extend(look.map_err(|e| refused(&doing(), &e))?.as_ref().map(image));
    }
    images.retain(|image| !image.image_tags.is_empty());
    Ok(images)
}

/// An image of ours; by its ID, too, if it has a tag of ours.
pub async fn details(engine: &Docker, id: &ImageId) -> Result<Option<Details>, Failure> {
    let found =
        inspect(engine, &name(id)).await.map_err(|e| refused(&format!("looking for {}", name(id)), &e))?;
    let Some(found) = found else { return Ok(None) };
    let image = image(&found);
    let ours = format!("{ENGINE_REPOSITORY}@");
    let platform = [found.os, found.architecture, found.variant.filter(|variant| !variant.is_empty())];
    let layers = found.root_fs.and_then(|layers| layers.layers).unwrap_or_default();
    let layer = |digest: String| Layer { digest, size: None, media_type: None };
    Ok((!image.image_tags.is_empty()).then(|| Details {
        image_uri: name(id),
        image_uri_at_digest: found.repo_digests.into_iter().flatten().find(|name| name.starts_with(&ours)),
        platforms: Some(vec![platform.into_iter().flatten().collect::<Vec<_>>().join("/")]),
        layers: Some(layers.into_iter().map(layer).collect()),
        image,
    }))
}

/// Takes tags away, and the images with their last ones. Nothing is forced: what a container needs stays.
pub async fn remove(
    engine: &Docker,
    ids: &[ImageId],
    tell: &mut impl FnMut(Result<Removed, Failure>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for id in ids {
        let outcome = match details(engine, id).await? {
            None => Err(not_there(id, &place())),
            Some(found) => {
                let removed = engine.remove_image(&name(id), None::<RemoveImageOptions>, None).await;
                let removed = removed.map_err(|e| refused(&format!("removing the image {}", name(id)), &e));
                removed.map(|_| Removed { id: id.clone(), digest: found.image.image_digest })
            }
        };
        tell(outcome)?;
    }
    Ok(())
}

/// Where our images are, as messages have it.
pub fn place() -> String {
    format!("{ENGINE_REPOSITORY} on {PLACE}")
}

/// The engine's name of an image of ours.
fn name(id: &ImageId) -> String {
    match id {
        ImageId::Tag(_) => id.within(ENGINE_REPOSITORY),
        ImageId::Digest(id) => id.clone(),
    }
}

async fn inspect(engine: &Docker, name: &str) -> Result<Option<ImageInspect>, Error> {
    match engine.inspect_image(name).await {
        Ok(found) => Ok(Some(found)),
        Err(e) if docker::status(&e) == Some(404) => Ok(None),
        Err(e) => Err(e),
    }
}

fn refused(doing: &str, e: &Error) -> Failure {
    Failure::failed(format!("{doing}: {}", docker::words(e)))
}

/// What the engine tells, in ECR's words.
fn image(found: &ImageInspect) -> Image {
    let ours = format!("{ENGINE_REPOSITORY}:");
    let tags = found.repo_tags.iter().flatten().filter_map(|name| name.strip_prefix(&ours));
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
