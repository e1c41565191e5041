//! Resolves the name of an image, for a job that runs on another machine than the one on which the
//! name was typed.

use std::time::Duration;

use aws_sdk_ecr::error::ProvideErrorMetadata;

use super::build_input::tag_of;
use super::{BuildInput, ecr, engine};
use crate::aws::{Session, explain};
use crate::ui::Failure;
use awsb_model::image::{Repository, RepositoryName, RepositoryPath, Tag, parted};

/// The kind of cache entry for ECR's answers, from a repository's name to its URI.
const CACHE_KIND: &str = "image";
/// How long an answer is cached. Nothing here would notice that a repository has been removed, and
/// jobs would fail to pull its images.
const CACHED_FOR: Duration = Duration::from_secs(5 * 60);

/// A resolved image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedImage {
    /// The machines that run the job find the image by this name.
    AsNamed(String),
    /// Only this machine's engine has the image. It must be pushed to the cluster's repository with
    /// this tag.
    OnlyOnEngine {
        /// The name of the image on the engine.
        name: String,
        /// A tag that only this image has.
        tag: Tag,
        /// The name of the image in the cluster's repository after the push.
        pushed_name: String,
    },
}

/// Resolves the name of an image. A name with a registry or a digest stays as it is, as does
/// `host`. A short name is resolved in this order: a repository of that name in the account's ECR;
/// an image that only this machine's engine has under that name, if the cluster has a repository
/// for it; else the name as it is.
///
/// If the images stay on this engine, which runs the cluster's jobs, nothing is asked.
///
/// # Errors
/// When ECR does not answer. A denied request (`ecr:DescribeRepositories`) is not an error: the
/// name stays as it is.
pub async fn resolve(session: &Session, image: &str) -> Result<ResolvedImage, Failure> {
    let images = &session.cluster.images;
    let as_named = || Ok(ResolvedImage::AsNamed(image.to_owned()));
    let Some((name, tag)) = short(image) else { return as_named() };
    if images.engine_runs_jobs {
        return as_named();
    }
    if let Some(repository) = of_account(session, &name).await? {
        return Ok(ResolvedImage::AsNamed(repository.tagged(&tag)));
    }
    let Some(own) = &images.ecr_repository else {
        return as_named();
    };
    let Some(id) = engine::local_only_id(image).await else { return as_named() };
    let tag = tag_of_id(&id)?;
    let pushed_name = in_repository(session, own, &tag).await?;
    Ok(ResolvedImage::OnlyOnEngine { name: image.to_owned(), tag, pushed_name })
}

/// The name that an image of this input will have in the cluster's repository, or else on the
/// engine. Nothing is changed.
///
/// # Errors
/// When the context cannot be read, or the repository does not exist and would not be created.
pub async fn expected_name(session: &Session, input: &BuildInput) -> Result<String, Failure> {
    let tag = tag_of(input).await?;
    match &session.cluster.images.ecr_repository {
        Some(own) => in_repository(session, own, &tag).await,
        None => Ok(format!("{}:{tag}", engine::REPOSITORY)),
    }
}

/// The name of an image in the cluster's repository. The registry of a repository that does not
/// exist yet is unknown.
async fn in_repository(session: &Session, own: &RepositoryPath, tag: &Tag) -> Result<String, Failure> {
    match ecr::existing(session).await {
        Ok(Some(repository)) => Ok(repository.tagged(tag)),
        Err(failure) if !session.cluster.images.create_repository => Err(failure),
        Ok(None) | Err(_) => Ok(format!("{own}:{tag}")),
    }
}

/// The repository and the tag of a short name. A name that includes the place of the image is not
/// short.
fn short(image: &str) -> Option<(RepositoryName, Tag)> {
    // `library/` is a part of Docker Hub.
    if image == "host" || image.contains('@') || image.starts_with("library/") {
        return None;
    }
    let (name, tag) = parted(image);
    let RepositoryPath { registry, name } = name.parse().ok()?;
    registry.is_none().then_some(())?;
    Some((name, tag.unwrap_or("latest").parse().ok()?))
}

/// The repository of this name in the account's ECR, in the cluster's region.
async fn of_account(session: &Session, name: &RepositoryName) -> Result<Option<Repository>, Failure> {
    let cached = session.cache.read_younger::<String>(CACHE_KIND, name.as_str(), CACHED_FOR);
    if let Some(cached) = cached.and_then(|uri| Repository::of_uri(&uri)) {
        return Ok(Some(cached));
    }
    match session.ecr().describe_repositories().repository_names(name.as_str()).send().await {
        Ok(answer) => {
            let uri = answer.repositories().first().and_then(|found| found.repository_uri());
            let found = uri.and_then(Repository::of_uri);
            if let Some(found) = &found {
                session.cache.write(CACHE_KIND, name.as_str(), &found.uri());
            }
            Ok(found)
        }
        Err(e) if e.code() == Some("RepositoryNotFoundException") => Ok(None),
        Err(e) => {
            let failure = explain(session, &format!("asking ECR whether {name} is a repository"), &e);
            // A user who may not ask, or a region without ECR, leaves the name to the engine that
            // pulls it.
            if failure.is_recoverable() { Err(failure) } else { Ok(None) }
        }
    }
}

/// A tag that only the image with this ID has.
fn tag_of_id(id: &str) -> Result<Tag, Failure> {
    let hash = id.strip_prefix("sha256:").unwrap_or(id);
    Tag::of_hash(hash).map_err(|e| Failure::failed(format!("the image's ID {id}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_where_the_image_is() {
        for image in [
            "host",
            "library/ubuntu",
            "registry.example.org/lts/ubuntu:22.04",
            "localhost/a1",
            "localhost:5000/tool",
            "lab@sha256:00",
            "Lab",
        ] {
            assert_eq!(short(image), None, "{image}");
        }
        let read = |image: &str| short(image).map(|(name, tag)| format!("{name} {tag}"));
        assert_eq!(read("tool").as_deref(), Some("tool latest"));
        assert_eq!(read("lab/tool:1.2").as_deref(), Some("lab/tool 1.2"));
        assert_eq!(tag_of_id(&format!("sha256:{}", "0f".repeat(32))).unwrap().as_str(), "0f".repeat(10));
    }
}
