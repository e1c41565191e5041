//! The one story of a build: an image that is there already, or the builder that makes it.

use super::ecr::RepositoryLookup;
use super::{BuildInput, BuildPlan, BuildResult, codebuild, ecr, engine};
use crate::aws::Session;
use crate::config::Builder;
use crate::ui::{Failure, Voice};
use awsb_model::image::{Repository, Tag};

/// How an image is built.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Its tag; without one, it is made of the recipe, and the same recipe is built once.
    pub tag: Option<Tag>,
    /// Builds what is there already.
    pub force: bool,
    /// Who asks for it. One that is quiet shows nothing of the build while it runs.
    pub voice: Voice,
}

/// Builds an image, unless the same recipe has been built before: finds the cluster's repository, and has the builder
/// build and push. Nothing is made, neither a repository nor an object, before it is known that there is a builder.
///
/// # Errors
/// When the repository is missing, the context cannot be read, there is no builder, or the build fails.
pub async fn build(
    session: &Session,
    plan: &BuildPlan,
    options: BuildOptions,
) -> Result<BuildResult, Failure> {
    let (input, voice) = (&plan.input, options.voice);
    let lookup = ecr::look_up(session).await?;
    let from_content = options.tag.is_none();
    let tag = match options.tag {
        Some(tag) => tag,
        None => tag_of(input).await?,
    };
    // A tag that was asked for may stand for any content: whoever asks for it wants this one.
    if from_content
        && !options.force
        && let RepositoryLookup::Found(repository) = &lookup
        && let Some(earlier) = earlier(session, repository, &tag).await?
    {
        return Ok(earlier);
    }
    match plan.builder {
        Builder::CodeBuild => {
            let project = plan.project(session).await?;
            let Some(repository) = lookup.or_create(session, voice).await? else {
                return Err(codebuild::no_repository(session));
            };
            let options = codebuild::Options { voice, from_content };
            codebuild::build(session, &project, input, &tag, &repository, options).await
        }
        Builder::Docker => {
            let engine = engine::builder(session).await?;
            let repository = lookup.or_create(session, voice).await?;
            let options = engine::Options { force: options.force, voice };
            engine::build(session, &engine, input, &tag, repository.as_ref(), options).await
        }
    }
}

/// The image that the same recipe has made before.
async fn earlier(
    session: &Session,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<BuildResult>, Failure> {
    let found = ecr::find(session, repository, tag).await?;
    Ok(found.map(|image| BuildResult {
        uri: repository.tagged(tag),
        digest: image.image_digest,
        tag: tag.clone(),
        build_id: None,
        earlier: true,
    }))
}

/// A recipe's own tag. All files of its context are read for it.
pub(super) async fn tag_of(input: &BuildInput) -> Result<Tag, Failure> {
    let input = input.clone();
    let tag = tokio::task::spawn_blocking(move || input.tag()).await;
    tag.map_err(|e| Failure::failed(format!("reading the build context: {e}"))).flatten()
}
