//! Builds an image: returns the one that is there already, or has the builder make it.

use super::build_input::tag_of;
use super::ecr::RepositoryLookup;
use super::{BuildPlan, BuildResult, codebuild, ecr, engine};
use crate::aws::Session;
use crate::config::Builder;
use crate::ui::{Failure, Reporter};
use awsb_model::image::{Repository, Tag};

/// The options of a build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The tag of the image. Without one, it is a hash of the input, so that the same input is
    /// built once.
    pub tag: Option<Tag>,
    /// Whether to build although the image is there already.
    pub force: bool,
    /// Who reports about the build. A quiet voice shows nothing while the build runs.
    pub reporter: Reporter,
}

/// Builds an image, unless the same input has been built before. It finds the cluster's repository,
/// and has the builder build and push. It creates neither a repository nor an object before it has
/// found a builder.
///
/// # Errors
/// When the repository is missing, the context cannot be read, there is no builder, or the build
/// fails.
pub async fn build(
    session: &Session,
    plan: &BuildPlan,
    options: BuildOptions,
) -> Result<BuildResult, Failure> {
    let (input, reporter) = (&plan.input, options.reporter);
    let lookup = ecr::look_up(session).await?;
    let from_content = options.tag.is_none();
    let tag = match options.tag {
        Some(tag) => tag,
        None => tag_of(input).await?,
    };
    // A tag that was given may name an image with any content, so the image is built.
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
            let Some(repository) = lookup.or_create(session, reporter).await? else {
                return Err(codebuild::no_repository(session));
            };
            let options = codebuild::Options { reporter, from_content };
            codebuild::build(session, &project, input, &tag, &repository, options).await
        }
        Builder::Docker => {
            let engine = engine::builder(session).await?;
            let repository = lookup.or_create(session, reporter).await?;
            let options = engine::Options { force: options.force, reporter };
            engine::build(session, &engine, input, &tag, repository.as_ref(), options).await
        }
    }
}

/// The image that an earlier build of the same input has made.
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
