//! The project that builds: its settings here, and its description in CodeBuild.

use aws_sdk_codebuild::error::ProvideErrorMetadata;
use aws_sdk_codebuild::operation::start_build::builders::StartBuildFluentBuilder;
use aws_sdk_codebuild::types::{EnvironmentType, ImagePullCredentialsType};

use crate::aws::{Session, explain};
use awsb_model::image::{Platform, Registry};

use crate::ui::Failure;

/// The parts of a project that are needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The name of the project, or its ARN if another account shares it.
    pub(super) name: String,
    /// The environment of the project. `None`: this user may not read it.
    environment: Option<EnvironmentType>,
}

impl Project {
    /// The cluster's project, which exists. A user who may not read it
    /// (`codebuild:BatchGetProjects`) gets it unchecked; the start of the build then fails if it
    /// does not exist.
    ///
    /// # Errors
    /// When the cluster's settings name no project, CodeBuild has none of that name, or it cannot
    /// be asked.
    pub async fn find(session: &Session) -> Result<Self, Failure> {
        let name = name(session)?;
        let project = |environment| Self { name: name.to_owned(), environment };
        match session.codebuild().batch_get_projects().names(name).send().await {
            // The answer leaves out projects that do not exist (API `BatchGetProjects`,
            // projectsNotFound).
            Ok(answer) => match answer.projects().first() {
                Some(found) => Ok(project(found.environment().map(|found| found.r#type().clone()))),
                None => Err(missing(session, name)),
            },
            Err(e) if e.code().is_some_and(|code| code.starts_with("AccessDenied")) => Ok(project(None)),
            Err(e) => Err(explain(session, &format!("looking at the CodeBuild project {name}"), &e)),
        }
    }

    /// Whether this is the project that the cluster's settings name.
    pub(in crate::image) fn is_of(&self, session: &Session) -> bool {
        session.cluster.images.codebuild_project.as_deref() == Some(&self.name)
    }

    /// The platform for which the project builds. `None`: this user may not read it.
    pub(in crate::image) fn platform(&self) -> Option<Platform> {
        self.environment.as_ref().and_then(platform_of)
    }

    /// The machine for a platform. It is the project's own if that has the platform, or if this
    /// user may not read it. (If it is the wrong one, buildspec.yml reports it.)
    pub(super) fn machine(&self, platform: Option<Platform>) -> Machine {
        match (platform, &self.environment) {
            (Some(platform), Some(own)) if platform_of(own) != Some(platform) => Machine::Standard(platform),
            _ => Machine::OfProject,
        }
    }
}

/// The name of the cluster's project.
///
/// # Errors
/// When the cluster's settings name none.
pub(super) fn name(session: &Session) -> Result<&str, Failure> {
    session.cluster.images.codebuild_project.as_deref().ok_or_else(|| {
        let name = &session.cluster.name;
        let failure = Failure::usage(format!("no CodeBuild project is set for the cluster `{name}`"))
            .hint(session.cluster.hint_to_setting("codebuild_project", "\"NAME\"", ""));
        with_engine(session, failure)
    })
}

/// Checks the settings: whether CodeBuild can build for the cluster at all. They must name a
/// project, and a repository that buildspec.yml can log in to. That is a repository of ECR, or one
/// on this machine if both services are simulated there.
///
/// # Errors
/// When it cannot. The failure names the missing setting.
pub fn check(session: &Session) -> Result<(), Failure> {
    name(session)?;
    let Some(repository) = &session.cluster.images.ecr_repository else { return Err(no_repository(session)) };
    let is_reached = |registry: &Registry| registry.is_ecr() || registry.is_here() && !session.ecr_is_aws();
    if repository.registry.as_ref().is_none_or(is_reached) {
        return Ok(());
    }
    let failure = Failure::usage(format!(
        "CodeBuild cannot push to {repository}: it logs in to ECR, and to no other registry"
    ))
    .hint(session.cluster.hint_to_setting("ecr_repository", "\"NAME\"", "names a repository of ECR's"));
    let engine =
        engine(session).map(|engine| format!("{engine}, and pushes with what `docker login` has left"));
    Err(engine.into_iter().fold(failure, Failure::hint))
}

/// The failure for a cluster whose images have no repository.
pub fn no_repository(session: &Session) -> Failure {
    let name = &session.cluster.name;
    let why = format!("no repository is set for the cluster `{name}`: CodeBuild has nowhere to push to");
    with_engine(
        session,
        Failure::usage(why).hint(session.cluster.hint_to_setting("ecr_repository", "\"NAME\"", "")),
    )
}

/// The failure for a refusal of CodeBuild.
pub(super) fn refused(session: &Session, project: &str, code: Option<&str>, failure: Failure) -> Failure {
    match code {
        Some("ResourceNotFoundException") => missing(session, project),
        Some("AccountLimitExceededException") => with_engine(
            session,
            failure.hint(
                "the account has as many running and waiting builds as it may have; raise the limit under \
             `Service Quotas` in the console",
            ),
        ),
        _ => failure,
    }
}

fn missing(session: &Session, project: &str) -> Failure {
    let (name, region) = (&session.cluster.name, &session.region);
    Failure::failed(format!("there is no CodeBuild project {project} ({})", session.describe()))
        .hint(format!("`codebuild_project` in [cluster.{name}] of the settings file names it"))
        .hint(format!("`aws codebuild list-projects --region {region}` lists the projects"))
}

/// Adds a hint to the way that needs no CodeBuild.
fn with_engine(session: &Session, failure: Failure) -> Failure {
    engine(session).into_iter().fold(failure, Failure::hint)
}

/// The setting that makes all tools build on an engine. `None` if that is the default.
fn engine(session: &Session) -> Option<String> {
    let setting = session.cluster.setting("builder", "\"docker\"")?;
    Some(format!("{setting} builds on this machine's Docker engine"))
}

/// The machine that a build runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// The machine of the project.
    OfProject,
    /// A standard machine of CodeBuild for this platform.
    Standard(Platform),
}

impl Machine {
    /// Makes the build run on this machine. The images are those that CodeBuild caches on its
    /// machines, Amazon Linux 2023 for `x86_64` and for `aarch64` (User Guide, `EC2 compute
    /// images`). They are pulled with CodeBuild's own credentials (API `StartBuild`,
    /// imagePullCredentialsTypeOverride).
    pub(super) fn over(self, call: StartBuildFluentBuilder) -> StartBuildFluentBuilder {
        let (kind, image) = match self {
            Self::OfProject => return call,
            Self::Standard(Platform::Amd64) => {
                (EnvironmentType::LinuxContainer, "aws/codebuild/amazonlinux-x86_64-standard:5.0")
            }
            Self::Standard(Platform::Arm64) => {
                (EnvironmentType::ArmContainer, "aws/codebuild/amazonlinux-aarch64-standard:3.0")
            }
        };
        call.environment_type_override(kind)
            .image_override(image)
            .image_pull_credentials_type_override(ImagePullCredentialsType::Codebuild)
    }
}

/// The platform of an environment (API `EnvironmentType`). Environments without a Docker engine
/// have `None`: Lambda, Windows, macOS.
fn platform_of(kind: &EnvironmentType) -> Option<Platform> {
    match kind.as_str() {
        "LINUX_CONTAINER" | "LINUX_GPU_CONTAINER" | "LINUX_EC2" => Some(Platform::Amd64),
        "ARM_CONTAINER" | "ARM_EC2" => Some(Platform::Arm64),
        _ => None,
    }
}
