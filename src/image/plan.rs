//! Plans a build before anything is changed for it.

use super::{BuildInput, codebuild, engine, queue_platform};
use crate::aws::Session;
use crate::config::Builder;
use crate::ui::Failure;
use awsb_model::image::Platform;

/// A build that can begin: its builder, and its input with the platform.
#[derive(Debug, Clone)]
pub struct BuildPlan {
    /// The builder.
    pub builder: Builder,
    /// The input. Its platform is open only if it could not be determined.
    pub input: BuildInput,
    /// The project, if it had to be read.
    project: Option<codebuild::Project>,
}

impl BuildPlan {
    /// Plans a build. Without a platform in the input, the image is for the machines of the job
    /// queue, or else for the builder's platform. An image that stays on this machine's engine is
    /// for the engine's platform. Nothing is changed.
    ///
    /// # Errors
    /// When the cluster's settings lack something that the builder needs; when Batch or CodeBuild
    /// cannot be asked. A denied request is not an error.
    pub async fn new(
        session: &Session,
        queue: &str,
        builder: Builder,
        input: BuildInput,
    ) -> Result<Self, Failure> {
        if builder == Builder::CodeBuild {
            codebuild::check(session)?;
        }
        let mut plan = Self { builder, input, project: None };
        if plan.input.platform.is_none() {
            plan.input.platform = plan.machines(session, queue).await?;
        }
        Ok(plan)
    }

    async fn machines(&mut self, session: &Session, queue: &str) -> Result<Option<Platform>, Failure> {
        // Others may build the same content on machines with another platform, so the tag must
        // depend on the platform.
        if session.cluster.images.ecr_repository.is_some()
            && let Some(platform) = queue_platform::of_queue(session, queue).await?
        {
            return Ok(Some(platform));
        }
        Ok(match self.builder {
            Builder::Docker => engine::platform().await,
            Builder::CodeBuild => {
                let project = codebuild::Project::find(session).await?;
                self.project.insert(project).platform()
            }
        })
    }

    /// The project that builds.
    ///
    /// # Errors
    /// When it does not exist, or CodeBuild cannot be asked.
    pub(super) async fn project(&self, session: &Session) -> Result<codebuild::Project, Failure> {
        match self.project.as_ref().filter(|project| project.is_of(session)) {
            Some(known) => Ok(known.clone()),
            None => codebuild::Project::find(session).await,
        }
    }
}
