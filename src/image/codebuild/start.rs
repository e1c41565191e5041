//! Starts a build, exactly once.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use aws_sdk_codebuild::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_codebuild::operation::start_build::builders::StartBuildFluentBuilder;
use aws_sdk_codebuild::types::{ArtifactsType, EnvironmentVariable, ProjectArtifacts, SourceType};

use super::build::Build;
use super::project::{Machine, refused};
use crate::aws::{OPERATION_TIMEOUT, ResilientSession, Session, explain};
use awsb_model::image::{BuildArg, Platform};

use crate::ui::{ErrorKind, Failure};
use awsb_model::payload::launcher;

/// The definition of the build that CodeBuild runs. It is sent with each build (API `StartBuild`,
/// buildspecOverride: an inline definition), so that a project needs no source (API
/// `ProjectSource`, type: `NO_SOURCE`).
pub(super) const BUILDSPEC: &str = include_str!("../../../buildspec.yml");

/// How long a token identifies a build (API `StartBuild`, idempotencyToken: `valid for 5 minutes`).
/// A repeated request after this time would start a second build.
const TOKEN_LIVES: Duration = Duration::from_secs(5 * 60);

/// The request for a build, with the words of buildspec.yml.
#[derive(Debug, Clone)]
pub(super) struct StartRequest<'a> {
    pub project: &'a str,
    pub machine: Machine,
    /// `REGISTRY/NAME`.
    pub repository: String,
    pub tag: &'a str,
    /// `s3://BUCKET/KEY` of the context.
    pub context: String,
    /// The path of the Dockerfile in the context.
    pub dockerfile: &'a str,
    pub build_args: &'a [BuildArg],
    pub platform: Option<Platform>,
    /// Whether the tag is a hash of the content.
    pub from_content: bool,
}

impl StartRequest<'_> {
    fn call(&self, session: &Session, token: &str) -> Result<StartBuildFluentBuilder, BuildError> {
        // The build sends its result to ECR, so it needs no artifacts, whatever the project says.
        // Its cache of layers (`cache`) stays as the project says: not every machine and network
        // can have one.
        let no_artifacts = ProjectArtifacts::builder().r#type(ArtifactsType::NoArtifacts).build()?;
        let mut call = session
            .codebuild()
            .start_build()
            .project_name(self.project)
            .idempotency_token(token)
            .source_type_override(SourceType::NoSource)
            .buildspec_override(BUILDSPEC)
            .artifacts_override(no_artifacts)
            // Docker's engine needs the privileged mode (API `ProjectEnvironment`, privilegedMode).
            .privileged_mode_override(true);
        for (name, value) in self.variables() {
            call = call.environment_variables_override(
                EnvironmentVariable::builder().name(name).value(value).build()?,
            );
        }
        Ok(self.machine.over(call))
    }

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

/// Starts a build. If an answer is lost, it asks again with the same token, so that no second build
/// starts.
///
/// # Errors
/// When CodeBuild refuses, or contact is lost for good.
pub(super) async fn start(
    contact: &mut ResilientSession,
    request: &StartRequest<'_>,
) -> Result<Build, Failure> {
    let token = format!("awsb-{}", uuid::Uuid::new_v4().simple());
    let begun = Instant::now();
    contact
        .keep(async |session| {
            let doing = format!("starting a build of the CodeBuild project {}", request.project);
            let call = request.call(session, &token).map_err(|e| Failure::failed(format!("{doing}: {e}")))?;
            match call.send().await {
                Ok(answer) => answer
                    .build_value()
                    .and_then(Build::read)
                    .ok_or_else(|| Failure::failed(format!("{doing}: the answer names no build"))),
                Err(e) => {
                    let failure = refused(session, request.project, e.code(), explain(session, &doing, &e));
                    let is_in_time = begun.elapsed() + OPERATION_TIMEOUT * 2 < TOKEN_LIVES;
                    // After this time, the same token would start a second build.
                    Err(match failure.is_recoverable() && !is_in_time {
                        true => failure.with_kind(ErrorKind::Other),
                        false => failure,
                    })
                }
            }
        })
        .await
}
