//! What is known of a build before anything is done for it.

use super::{BuildInput, codebuild, engine, queue_platform};
use crate::aws::Session;
use crate::config::Builder;
use crate::ui::Failure;
use awsb_model::image::Platform;

/// A build that can begin: who builds, and for which machines.
#[derive(Debug, Clone)]
pub struct BuildPlan {
    /// Who builds.
    pub builder: Builder,
    /// What the image is made of. Its platform is open only where nobody could tell.
    pub input: BuildInput,
    /// The project, where it had to be looked at.
    project: Option<codebuild::Project>,
}

impl BuildPlan {
    /// Plans a build. A recipe that names no machines is for those of the job queue; else for those that the builder builds for.
    /// An image that stays on this machine's engine is for that. Nothing is changed.
    ///
    /// # Errors
    /// When the cluster's settings lack what the builder needs; when Batch or CodeBuild cannot be asked. One that denies it
    /// is no error.
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
        // The same content may be built by many, on machines of any kind: its tag has to say for which.
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
    /// When it is not there, or CodeBuild cannot be asked.
    pub(super) async fn project(&self, session: &Session) -> Result<codebuild::Project, Failure> {
        match self.project.as_ref().filter(|project| project.is_of(session)) {
            Some(known) => Ok(known.clone()),
            None => codebuild::Project::find(session).await,
        }
    }
}
