//! Which image a name means, for a job that runs elsewhere than where the name was typed.

use std::time::Duration;

use aws_sdk_ecr::error::ProvideErrorMetadata;

use super::{BuildInput, ENGINE_REPOSITORY, ecr, engine};
use crate::aws::{Session, explain};
use crate::ui::Failure;
use awsb_model::image::{Repository, RepositoryName, RepositoryPath, Tag, parted};

/// What is kept of ECR's answers: the repository's name to its URI.
const CACHE_KIND: &str = "image";
/// For so long. Nothing here would tell that a repository has gone since, and jobs would ask for its images in vain.
const CACHED_FOR: Duration = Duration::from_secs(5 * 60);

/// An image that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedImage {
    /// The machines that run the job find it by this name.
    AsNamed(String),
    /// Only this machine's engine has it: it has to be pushed to the cluster's repository, with this tag.
    OnlyOnEngine {
        /// Its name on the engine.
        name: String,
        /// A tag that only this image has.
        tag: Tag,
        /// The name that it will have in the cluster's repository.
        pushed_name: String,
    },
}

/// Finds out what an image's name means. With a registry or a digest it means itself, as `host` does. A short one is a
/// repository of the account's ECR if there is one of that name; else an image that only this machine's engine has under
/// that name, where the cluster has a repository for it; else what any engine takes it for.
///
/// Where the images stay on this engine, which runs the cluster's jobs, nobody is asked.
///
/// # Errors
/// When ECR gives no answer. One that is denied (`ecr:DescribeRepositories`) is no error: the name stays as it is.
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

/// The name that an image of this recipe will have in the cluster's repository, or else on the engine. Nothing is
/// changed.
///
/// # Errors
/// When the context cannot be read, or the repository is missing and would not be made.
pub async fn expected_name(session: &Session, input: &BuildInput) -> Result<String, Failure> {
    let tag = super::build::tag_of(input).await?;
    match &session.cluster.images.ecr_repository {
        Some(own) => in_repository(session, own, &tag).await,
        None => Ok(format!("{ENGINE_REPOSITORY}:{tag}")),
    }
}

/// The name of an image in the cluster's repository. Of one that is still to be made, the registry is not known.
async fn in_repository(session: &Session, own: &RepositoryPath, tag: &Tag) -> Result<String, Failure> {
    match ecr::existing(session).await {
        Ok(Some(repository)) => Ok(repository.tagged(tag)),
        Err(failure) if !session.cluster.images.create_repository => Err(failure),
        Ok(None) | Err(_) => Ok(format!("{own}:{tag}")),
    }
}

/// The repository and the tag that a short name may mean; `None` for a name that says where the image is.
fn short(image: &str) -> Option<(RepositoryName, Tag)> {
    // `library/` is Docker Hub's own.
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
            // Who may not ask, or asks where no ECR is, means what any engine means.
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
