//! Images that AWS CodeBuild builds.
//!
//! The context is in S3, `buildspec.yml` goes along with StartBuild: a project needs a role and a machine, and no
//! source.

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

use self::progress_view::ProgressView;
use self::start::{StartRequest, start};
use super::{BuildInput, BuildResult, ecr, stage};
use crate::aws::{Contact, Session, explain};
use crate::ui::{self, EndSignal, ErrorKind, Failure, Interrupts, Voice, note};
use awsb_model::image::{Repository, Tag};

/// After a signal, an answer that is on its way is waited for so long: it has the build's ID.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a build is told beside its recipe.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Who builds. One that is quiet shows neither phases nor log.
    pub voice: Voice,
    /// Whether the tag comes of the content: who has pushed it before has pushed the same.
    pub from_content: bool,
}

/// Builds an image with a project, and pushes it to the repository as `tag`.
///
/// # Errors
/// When the project is not there after all; when the context cannot be staged, the build fails or is
/// interrupted, or contact is lost for good.
pub async fn build(
    session: &Session,
    project: &Project,
    input: &BuildInput,
    tag: &Tag,
    repository: &Repository,
    options: Options,
) -> Result<BuildResult, Failure> {
    let context = stage(session, &input.context).await?;
    // From here on there may be a build, whose ID has to be said.
    let mut interrupts = Interrupts::listen();
    let mut contact = Contact::new(session.clone(), options.voice.tool);
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
    options.voice.say(format_args!("build {id} has been started"));
    let mut progress_view = ProgressView::new(options.voice);
    let ended = tokio::select! {
        ended = follow(&mut contact, &id, |update| progress_view.update(update)) => ended,
        signal = interrupts.next() => {
            progress_view.clear();
            return Err(interrupted(session, &id, signal, &mut interrupts).await);
        }
    };
    progress_view.clear();
    // Whoever listens and takes no signal holds it back.
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
        let why = failure_reason::failure_reason(&ended, progress_view.log());
        if repository.registry.is_ecr() && why.contains(failure_reason::NO_REPOSITORY) {
            return Err(ecr::gone(session));
        }
        let failure = Failure::failed(why);
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

/// Starts a build, and returns its ID. Contact that is lost is sought until Ctrl-C.
async fn started(
    session: &Session,
    contact: &mut Contact,
    request: &StartRequest<'_>,
    interrupts: &mut Interrupts,
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

/// What becomes of a build after Ctrl-C. Without somebody to ask, it goes on; so it does when the tool is to end at once.
async fn interrupted(session: &Session, id: &str, signal: EndSignal, interrupts: &mut Interrupts) -> Failure {
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
        // Asked twice: no answer.
        again = interrupts.next_for_answer() => {
            note("");
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
