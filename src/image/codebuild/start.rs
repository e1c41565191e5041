//! Starting a build, once.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use aws_sdk_codebuild::error::ProvideErrorMetadata;
use aws_sdk_codebuild::operation::start_build::builders::StartBuildFluentBuilder;
use aws_sdk_codebuild::types::{
    ArtifactsType, EnvironmentType, EnvironmentVariable, ImagePullCredentialsType, ProjectArtifacts,
    SourceType,
};

use super::build::Build;
use crate::cluster::{Contact, OPERATION_TIMEOUT, Session, explain};
use crate::image::{BuildArg, Platform};
use crate::stage::launcher;
use crate::ui::Failure;

/// What CodeBuild runs. It is sent with each build, so that a project needs no source.
const BUILDSPEC: &str = include_str!("../../../buildspec.yml");

/// A token means the same build for this long (API `StartBuild`, idempotencyToken: 5 minutes); behind it, a build whose
/// start went unanswered would be started twice.
const TOKEN_LIVES: Duration = Duration::from_secs(5 * 60);

/// What is to be built, in the words of buildspec.yml.
#[derive(Debug, Clone)]
pub(super) struct Order<'a> {
    pub project: &'a str,
    /// `REGISTRY/NAME`.
    pub repository: String,
    pub tag: &'a str,
    /// `s3://BUCKET/KEY` of the context.
    pub context: String,
    /// The Dockerfile in it.
    pub dockerfile: &'a str,
    pub build_args: &'a [BuildArg],
    pub platform: Option<Platform>,
    /// Whether the tag comes of the content.
    pub from_content: bool,
}

impl Order<'_> {
    /// The variables that buildspec.yml reads.
    fn variables(&self) -> [(&'static str, String); 7] {
        let args = self.build_args.iter().filter_map(|arg| {
            let value = arg.value.as_ref()?;
            Some(launcher::quote(OsStr::new(&format!("{}={value}", arg.name))).to_string_lossy().into_owned())
        });
        [
            ("AWSB_IMAGE", self.repository.clone()),
            ("AWSB_TAG", self.tag.to_owned()),
            ("AWSB_CONTEXT", self.context.clone()),
            ("AWSB_DOCKERFILE", self.dockerfile.to_owned()),
            ("AWSB_BUILD_ARGS", args.collect::<Vec<_>>().join(" ")),
            ("AWSB_PLATFORM", self.platform.map(Platform::as_str).unwrap_or_default().to_owned()),
            ("AWSB_FROM_CONTENT", if self.from_content { "yes".to_owned() } else { String::new() }),
        ]
    }
}

/// Starts a build. When an answer is lost it asks again, with the same token: no second build comes of it.
///
/// # Errors
/// When CodeBuild refuses, or contact was lost for good.
pub(super) async fn start(contact: &mut Contact, order: &Order<'_>) -> Result<Build, Failure> {
    let machine = match order.platform {
        Some(platform) => Machine::of(contact, order.project, platform).await?,
        None => Machine::OfProject,
    };
    let token = format!("awsb-{}", uuid::Uuid::new_v4().simple());
    let begun = Instant::now();
    contact
        .keep(async |session| {
            let mut call = session
                .codebuild()
                .start_build()
                .project_name(order.project)
                .idempotency_token(&token)
                .source_type_override(SourceType::NoSource)
                .buildspec_override(BUILDSPEC)
                // Docker needs it.
                .privileged_mode_override(true);
            // What the build makes goes to ECR, whatever else the project keeps. How it keeps layers on its machines
            // (`cache`) is its own: not every machine and network can.
            let artifacts = ProjectArtifacts::builder().r#type(ArtifactsType::NoArtifacts).build();
            call = call.set_artifacts_override(artifacts.ok());
            for (name, value) in order.variables() {
                let variable = EnvironmentVariable::builder().name(name).value(value).build();
                call = call.environment_variables_override(variable.map_err(|e| {
                    Failure::failed(format!("starting a build of the project {}: {e}", order.project))
                })?);
            }
            match machine.over(call).send().await {
                Ok(answer) => answer.build_value().and_then(Build::read).ok_or_else(|| {
                    Failure::failed(format!(
                        "starting a build of the project {}: the answer names no build",
                        order.project
                    ))
                }),
                Err(e) => {
                    let failure = refused(
                        session,
                        order.project,
                        e.code(),
                        explain(
                            session,
                            &format!("starting a build of the CodeBuild project {}", order.project),
                            &e,
                        ),
                    );
                    let is_in_time = begun.elapsed() + OPERATION_TIMEOUT * 2 < TOKEN_LIVES;
                    let (passing, of_credentials) = (failure.passing, failure.of_credentials);
                    Err(failure.passing(passing && is_in_time).of_credentials(of_credentials && is_in_time))
                }
            }
        })
        .await
}

/// What a refusal of CodeBuild's means.
pub(super) fn refused(session: &Session, project: &str, code: Option<&str>, failure: Failure) -> Failure {
    let name = &session.cluster.name;
    match code {
        Some("ResourceNotFoundException") => {
            Failure::failed(format!("there is no CodeBuild project {project} ({})", session.place()))
                .hint(format!("`codebuild_project` in [cluster.{name}] of the settings file names it"))
                .hint(format!("`aws codebuild list-projects --region {}` lists those that are there", session.region))
        }
        Some("AccountLimitExceededException") => failure
            .hint("as many builds run or wait as the account may have; `Service Quotas` in the console raises the limit")
            .hint("`--builder docker` builds on this machine's Docker engine"),
        _ => failure,
    }
}

/// The machine that a build runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    /// What the project says.
    OfProject,
    /// One of CodeBuild's own for this platform.
    Standard(Platform),
}

impl Machine {
    /// The project's own machine where it is of the platform, or nobody may look.
    async fn of(contact: &mut Contact, project: &str, platform: Platform) -> Result<Self, Failure> {
        contact
            .keep(async |session| {
                match session.codebuild().batch_get_projects().names(project).send().await {
                    Ok(answer) => {
                        let environment = answer.projects().first().and_then(|project| project.environment());
                        Ok(match environment.map(|environment| environment.r#type()) {
                            Some(own) if platform_of(own) != Some(platform) => Self::Standard(platform),
                            _ => Self::OfProject,
                        })
                    }
                    // buildspec.yml says it, if it is the wrong one.
                    Err(e) if e.code().is_some_and(|code| code.starts_with("AccessDenied")) => {
                        Ok(Self::OfProject)
                    }
                    Err(e) => {
                        Err(explain(session, &format!("looking at the CodeBuild project {project}"), &e))
                    }
                }
            })
            .await
    }

    /// The images that CodeBuild keeps at hand for EC2 machines (User Guide, `Docker images provided by CodeBuild`:
    /// Amazon Linux 2023 for `x86_64` and for `aarch64`).
    fn over(self, call: StartBuildFluentBuilder) -> StartBuildFluentBuilder {
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

/// What a project's environment builds for; `None` for those that are neither.
fn platform_of(kind: &EnvironmentType) -> Option<Platform> {
    match kind.as_str() {
        "LINUX_CONTAINER" | "LINUX_GPU_CONTAINER" | "LINUX_EC2" => Some(Platform::Amd64),
        "ARM_CONTAINER" | "ARM_EC2" => Some(Platform::Arm64),
        _ => None,
    }
}
