//! Builds images with AWS CodeBuild.
//!
//! The context is in S3, and `buildspec.yml` is sent with StartBuild. A project therefore needs a
//! role and a machine, but no source.

mod build;
mod failure_reason;
mod follow;
mod progress_view;
mod project;
mod start;

use std::pin::pin;
use std::time::Duration;

use aws_sdk_codebuild::error::ProvideErrorMetadata;

pub use build::{Build, BuildName, Log, Phase};
pub use follow::{BuildUpdate, describe, follow, no_such_build, resolve};
pub use project::{Project, check, no_repository};

use self::failure_reason::{failure_reason, is_repository_missing};
use self::progress_view::ProgressView;
use self::start::{StartRequest, start};
use super::{BuildInput, BuildResult, ecr, stage};
use crate::aws::{ResilientSession, Session, explain};
use crate::ui::{self, EndSignal, ErrorKind, Failure, Reporter, SignalListener, print_message};
use awsb_model::image::{Repository, Tag};

/// How long to wait, after a signal, for the answer that has the build's ID.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The options of a build on CodeBuild.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Who reports about the build. A quiet voice shows neither phases nor log.
    pub reporter: Reporter,
    /// Whether the tag is a hash of the content. An image with this tag then has the same content,
    /// whoever pushed it.
    pub from_content: bool,
}

/// Builds an image with a project, and pushes it to the repository as `tag`.
///
/// # Errors
/// When the project does not exist; when the context cannot be staged; when the build fails or is
/// interrupted; when contact is lost for good.
pub async fn build(
    session: &Session,
    project: &Project,
    input: &BuildInput,
    tag: &Tag,
    repository: &Repository,
    options: Options,
) -> Result<BuildResult, Failure> {
    let context = stage(session, &input.context).await?;
    // From here on a build may exist, and its ID must be printed.
    let mut interrupts = SignalListener::listen();
    let mut contact = ResilientSession::new(session.clone(), options.reporter.tool);
    let request = StartRequest {
        project: &project.name,
        machine: project.machine(input.platform),
        repository: repository.uri(),
        tag: tag.as_str(),
        context,
        dockerfile: input.context.dockerfile(),
        build_args: &input.build_args,
        platform: input.platform,
        from_content: options.from_content,
    };
    let id = started(session, &mut contact, &request, &mut interrupts).await?;
    options.reporter.print(format_args!("build {id} has been started"));
    let mut progress_view = ProgressView::new(options.reporter);
    let ended = tokio::select! {
        ended = follow(&mut contact, &id, |update| progress_view.update(update)) => ended,
        signal = interrupts.next() => {
            progress_view.clear();
            return Err(interrupted(session, &id, signal, &mut interrupts).await);
        }
    };
    progress_view.clear();
    // A listener that takes no signals would hold them back.
    drop(interrupts);
    let ended = ended.map_err(|failure| {
        let failure = match failure.is_recoverable() {
            true => {
                let message = format!("contact with the build {id} is lost; it goes on: {failure}");
                failure.wrap(message).with_kind(ErrorKind::ContactLost)
            }
            false => failure,
        };
        failure.hint(format!("`bimage logs --follow {id}` follows it"))
    })?;
    if !ended.has_succeeded() {
        progress_view.show_end();
        if repository.registry.is_ecr() && is_repository_missing(&ended, progress_view.log()) {
            return Err(ecr::gone(session));
        }
        let failure = Failure::failed(failure_reason(&ended, progress_view.log()));
        let failure = failure.hint(format!("`bimage logs {id}` shows its whole log"));
        return Err(match &ended.link {
            Some(link) => failure.hint(format!("{link} is its log in the console")),
            None => failure,
        });
    }
    let digest = match ended.exported("AWSB_DIGEST") {
        Some(digest) => Some(digest.to_owned()),
        None => {
            let session = contact.session().clone();
            ecr::find(&session, repository, tag).await?.and_then(|image| image.image_digest)
        }
    };
    let uri = repository.tagged(tag);
    match digest {
        Some(digest) => Ok(BuildResult {
            uri,
            digest: Some(digest),
            tag: tag.clone(),
            build_id: Some(id),
            earlier: false,
        }),
        None => Err(Failure::failed(format!("the build {id} has succeeded, and there is no image {uri}"))
            .hint(format!("`bimage logs {id}` shows its log"))),
    }
}

/// Starts a build, and returns its ID. If contact is lost, it tries again until Ctrl-C.
async fn started(
    session: &Session,
    contact: &mut ResilientSession,
    request: &StartRequest<'_>,
    interrupts: &mut SignalListener,
) -> Result<String, Failure> {
    let mut starting = pin!(start(contact, request));
    let signal = tokio::select! {
        biased;
        build = &mut starting => return Ok(build?.id),
        signal = interrupts.next() => signal,
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, starting).await {
        Ok(Ok(build)) => Err(interrupted(session, &build.id, signal, interrupts).await),
        Ok(Err(failure)) => Err(failure.with_kind(ErrorKind::Interrupted(signal))),
        Err(_) => Err(Failure::new(
            ErrorKind::Interrupted(signal),
            format!(
                "{signal}; whether the CodeBuild project {} has started the build is not known",
                request.project
            ),
        )
        .hint("`bimage logs last` shows the project's last build")),
    }
}

/// Asks what should happen to a build after Ctrl-C. The build goes on if nobody can be asked, and
/// if the tool must end at once.
async fn interrupted(
    session: &Session,
    id: &str,
    signal: EndSignal,
    interrupts: &mut SignalListener,
) -> Failure {
    let goes_on = |signal: EndSignal| {
        Failure::new(ErrorKind::Interrupted(signal), format!("{signal}; the build {id} goes on"))
            .hint(format!("`bimage logs --follow {id}` follows it"))
            .hint(format!("`aws codebuild stop-build --region {} --id {id}` stops it", session.region))
    };
    if signal != EndSignal::Interrupt || !ui::can_ask() {
        return goes_on(signal);
    }
    let stop = tokio::select! {
        answer = ui::ask("Stop the build?") => answer.unwrap_or(false),
        // The second Ctrl-C answers nothing.
        again = interrupts.next_during_prompt() => {
            print_message("");
            return goes_on(again);
        }
    };
    if !stop {
        return goes_on(signal);
    }
    match session.codebuild().stop_build().id(id).send().await {
        Ok(_) => Failure::new(ErrorKind::Interrupted(signal), format!("{signal}; the build {id} is stopped")),
        Err(e) if e.code() == Some("ResourceNotFoundException") => no_such_build(session, id),
        Err(e) => explain(session, &format!("stopping the build {id}, which may go on"), &e)
            .hint(format!("`aws codebuild stop-build --region {} --id {id}` stops it", session.region)),
    }
}
