//! Builds an image on the engine.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{
    BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion, RemoveImageOptionsBuilder,
};
use bollard::{Docker, body_try_stream};
use futures_util::StreamExt;
use http::HeaderValue;

use super::build_events::{BuildEvent, short};
use super::buildkit::{Graph, without_rpc};
use super::classic::Text;
use super::client::{Engine, REPOSITORY, START};
use super::progress_view::ProgressView;
use super::push::push;
use super::{credentials, request_body};
use crate::aws::Session;
use crate::config::Builder;
use crate::image::build_input::tag_of;
use crate::image::{BuildInput, BuildResult};
use crate::ui::{EndSignal, ErrorKind, Failure, Reporter, SignalListener};
use awsb_docker::{status, words};
use awsb_model::image::{Repository, Tag};

/// The label with the hash of everything that an image was made from: the context, the build's
/// arguments and the platform.
const CONTENT_LABEL: &str = "awsb.content";
/// The longest time between two requests of a build. It is long because a large context may go over
/// a slow line.
const BUILD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The interval between two checks whether the new image has its name.
const PAUSE_FOR_NAME: Duration = Duration::from_millis(50);
/// The answer is complete once it has been silent for this long.
const QUIET: Duration = Duration::from_millis(150);
/// The longest time in which a new image gets its name. The check may never succeed, as the engine
/// may know an image by another ID than the builder does (that of an index of images).
const TIME_FOR_NAME: Duration = Duration::from_secs(5);
/// The number of characters of a step in an error message.
const LONGEST_STEP: usize = 80;
/// How long the engine may take to end a cancelled build.
const TIME_FOR_REMAINS: Duration = Duration::from_secs(15);
/// The first version of the API with `BuildKit` (Docker Engine API, version history, v1.39).
const WITH_BUILDKIT: (u32, u32) = (1, 39);

/// The options of a build on an engine.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to build although the image is there already.
    pub force: bool,
    /// Who reports about the build. A quiet voice shows only the last lines of a step that fails.
    pub reporter: Reporter,
}

/// This machine's Docker engine, for a build.
///
/// # Errors
/// When no engine answers. The failure names the way that needs none.
pub async fn builder(session: &Session) -> Result<Engine, Failure> {
    Engine::find().await.map_err(|failure| without_engine(session, failure))
}

/// The failure for a build without an engine. It names the way that needs none.
fn without_engine(session: &Session, failure: Failure) -> Failure {
    let cluster = &session.cluster;
    let failure = failure.hint(START);
    match &cluster.images.codebuild_project {
        Some(project) => failure.hint(format!(
            "`builder = \"{}\"` in [cluster.{}] builds with the CodeBuild project {project}",
            Builder::CodeBuild.as_str(),
            cluster.name
        )),
        None => failure.hint(cluster.hint_to_setting(
            "codebuild_project",
            "\"…\"",
            "names a project that builds without one",
        )),
    }
}

/// Builds an image on a Docker engine, unless it has one with this tag and from this content. With
/// a repository, the image is named after it and pushed. Without one, it is `awsb:TAG` and stays.
///
/// # Errors
/// When a step fails (its last lines are shown then), or the push fails. An image that was built
/// and could not be pushed stays on the engine for the next try. Ctrl-C ends the build.
pub async fn build(
    session: &Session,
    engine: &Engine,
    input: &BuildInput,
    tag: &Tag,
    repository: Option<&Repository>,
    options: Options,
) -> Result<BuildResult, Failure> {
    // Credentials come first, so that a user who may not push learns it before the build.
    let ours = match repository {
        Some(repository) => credentials::of_registry(session, repository).await?,
        None => None,
    };
    let name = name_on_engine(repository, tag);
    let content = tag_of(input).await?;
    let earlier = !options.force && has(engine, &name, &content).await?;
    if !earlier {
        let mut known = credentials::of_user().await;
        if let (Some(ours), Some(repository)) = (ours, repository) {
            known.insert(repository.registry.as_str().to_owned(), ours);
        }
        let build = Build { engine, input, name: &name, content: &content, options };
        build.run(known).await?;
    }
    match repository {
        Some(repository) => {
            let pushed = push(session, &name, repository, tag, options.reporter).await?;
            Ok(BuildResult { earlier: earlier && pushed.earlier, ..pushed })
        }
        None => Ok(BuildResult { uri: name, digest: None, tag: tag.clone(), build_id: None, earlier }),
    }
}

/// The name of an image on the engine: that of the registry, or `awsb:TAG`.
fn name_on_engine(repository: Option<&Repository>, tag: &Tag) -> String {
    match repository {
        Some(repository) => repository.tagged(tag),
        None => format!("{REPOSITORY}:{tag}"),
    }
}

/// Whether the engine has this image from this content.
async fn has(engine: &Engine, name: &str, content: &Tag) -> Result<bool, Failure> {
    let found = engine.inspect(name).await?;
    let labels = found.and_then(|image| image.config?.labels);
    Ok(labels.is_some_and(|labels| labels.get(CONTENT_LABEL).is_some_and(|label| label == content.as_str())))
}

/// A build.
struct Build<'a> {
    engine: &'a Engine,
    input: &'a BuildInput,
    name: &'a str,
    content: &'a Tag,
    options: Options,
}

/// The reason why a build has no image.
enum Stop {
    Failed(Error),
    Interrupted(EndSignal),
}

/// The parser of the builder's output, with its state.
enum Parser {
    BuildKit(Graph),
    Classic(Text),
}

impl Build<'_> {
    fn doing(&self) -> String {
        format!("building {}", self.name)
    }

    async fn run(&self, known: HashMap<String, DockerCredentials>) -> Result<(), Failure> {
        let mut parser = match self.has_buildkit().await? {
            true => Parser::BuildKit(Graph::default()),
            false => Parser::Classic(Text::default()),
        };
        let context = &self.input.context;
        let (tar, read_error) =
            request_body::from_reader(context.tar(), context.size(), self.options.reporter.quiet);
        let docker = patient(self.engine.docker.clone());
        let answer =
            docker.build_image(self.request_options(&parser), Some(known), Some(body_try_stream(tar)));
        let mut answer = Box::pin(answer);
        let mut view = ProgressView::new(self.options.reporter.quiet);
        let begun = Instant::now();
        let mut image = None;
        let mut interrupts = SignalListener::listen();
        let outcome = loop {
            let received = tokio::select! {
                biased;
                received = answer.next() => received,
                // The session of a build with BuildKit stays open, so the answer may not end by
                // itself.
                () = self.is_named(image.as_deref()) => break Ok(()),
                signal = interrupts.next() => break Err(Stop::Interrupted(signal)),
            };
            match received {
                Some(Ok(info)) => view.update(parser.read(info, begun.elapsed(), &mut image)),
                Some(Err(e)) => break Err(Stop::Failed(e)),
                None => break Ok(()),
            }
        };
        // The engine names an image after it has sent all output of its build, which may still be
        // on its way.
        while outcome.is_ok()
            && image.is_some()
            && let Ok(Some(Ok(info))) = tokio::time::timeout(QUIET, answer.next()).await
        {
            view.update(parser.read(info, begun.elapsed(), &mut image));
        }
        // The engine cancels a build when its client is gone.
        drop(answer);
        let failure = match outcome {
            Ok(()) => None,
            Err(Stop::Failed(e)) => {
                view.update(parser.fail(&e));
                let failed = view.finish();
                Some(match read_error.take() {
                    Some(why) => Failure::failed(format!("{}: reading the context: {why}", self.doing())),
                    None => self.failure(failed, &e),
                })
            }
            Err(Stop::Interrupted(signal)) => {
                view.finish();
                let message = format!("{signal}: {} was not built", self.name);
                Some(Failure::new(ErrorKind::Interrupted(signal), message))
            }
        };
        if let Some(failure) = failure {
            tokio::select! {
                () = self.remove_remains(&parser) => {}
                _ = interrupts.next() => {}
            }
            return Err(failure);
        }
        // A listener that takes no signals would hold them back.
        drop(interrupts);
        view.update(parser.end(begun.elapsed()));
        view.finish();
        // An answer that ends does not prove success: the engine may have been stopped.
        if has(self.engine, self.name, self.content).await? {
            return Ok(());
        }
        Err(self.engine.went_away(&self.doing(), "the build has no end"))
    }

    /// Whether the engine has `BuildKit`. It has if it says so, or if it is Docker's and new
    /// enough. `DOCKER_BUILDKIT` overrides this, as for `docker build`.
    async fn has_buildkit(&self) -> Result<bool, Failure> {
        if let Some(wanted) = std::env::var("DOCKER_BUILDKIT").ok().filter(|value| !value.is_empty()) {
            return Ok(!is_no(&wanted));
        }
        let ping = self.engine.raw_client().ping().await;
        let ping = ping.map_err(|e| self.engine.went_away(&self.doing(), &e.to_string()))?;
        let is = |text: &Option<String>, begin| text.as_ref().is_some_and(|text| text.starts_with(begin));
        let is_able =
            is(&ping.server, "Docker/") && is(&ping.os, "linux") && ping.api_version >= Some(WITH_BUILDKIT);
        Ok(ping.builder.map_or(is_able, |builder| builder == "2"))
    }

    fn request_options(&self, parser: &Parser) -> BuildImageOptions {
        let BuildInput { context, platform, .. } = self.input;
        let args: HashMap<&str, &str> = self.input.arguments().into_iter().collect();
        let labels = HashMap::from([(CONTENT_LABEL, self.content.as_str())]);
        let mut options = BuildImageOptionsBuilder::new()
            .t(self.name)
            .dockerfile(context.dockerfile())
            .buildargs(&args)
            .labels(&labels)
            .rm(true)
            .forcerm(true);
        if let Some(platform) = platform {
            options = options.platform(platform.as_str());
        }
        match parser {
            Parser::BuildKit(_) => options
                .version(BuilderVersion::BuilderBuildKit)
                .session(&uuid::Uuid::new_v4().to_string())
                .build(),
            Parser::Classic(_) => options.version(BuilderVersion::BuilderV1).build(),
        }
    }

    /// Returns when the engine knows the built image by its name, or when it should know it by now.
    async fn is_named(&self, image: Option<&str>) {
        let Some(image) = image else { return std::future::pending().await };
        let until = Instant::now() + TIME_FOR_NAME;
        while Instant::now() < until {
            let found = self.engine.docker.inspect_image(self.name).await;
            if found.is_ok_and(|found| found.id.as_deref() == Some(image)) {
                return;
            }
            tokio::time::sleep(PAUSE_FOR_NAME).await;
        }
    }

    fn failure(&self, failed: Option<(String, String)>, e: &Error) -> Failure {
        let failure = match (failed, e) {
            (Some((step, why)), _) => Failure::failed(format!(
                "{}: the step {} failed: {why}",
                self.doing(),
                short(&step, LONGEST_STEP)
            )),
            (None, Error::DockerStreamError { error }) => {
                Failure::failed(format!("{}: {}", self.doing(), without_rpc(error)))
            }
            (None, e) => self.engine.gone(&self.doing(), e),
        };
        match words(e).contains("no space left on device") {
            true => failure.hint("`docker system df` shows what takes the engine's space"),
            false => failure,
        }
    }

    /// Removes the image of the last successful step, which the classic builder leaves without a
    /// name.
    async fn remove_remains(&self, parser: &Parser) {
        let Parser::Classic(text) = parser else { return };
        let until = Instant::now() + TIME_FOR_REMAINS;
        for image in text.made() {
            while let Some(true) = self.is_nameless(image).await {
                let options = RemoveImageOptionsBuilder::new().build();
                match self.engine.docker.remove_image(image, Some(options), None).await {
                    // The images of the steps before it are removed with it.
                    Ok(_) => break,
                    // The container of the step is still being stopped. (A refusal because of other
                    // images is final.)
                    Err(e)
                        if status(&e) == Some(409)
                            && words(&e).contains("container")
                            && Instant::now() < until =>
                    {
                        tokio::time::sleep(PAUSE_FOR_NAME).await;
                    }
                    Err(_) => return,
                }
            }
        }
    }

    /// Whether an image has no name and belongs to nobody. An image from the cache may have a name.
    /// `None`: the image does not exist any more.
    async fn is_nameless(&self, image: &str) -> Option<bool> {
        let found = self.engine.docker.inspect_image(image).await.ok()?;
        let none = |names: Option<Vec<String>>| names.is_none_or(|names| names.is_empty());
        Some(none(found.repo_tags) && none(found.repo_digests))
    }
}

impl Parser {
    fn read(&mut self, info: BuildInfo, now: Duration, image: &mut Option<String>) -> Vec<BuildEvent> {
        match (self, info) {
            (Self::BuildKit(graph), BuildInfo { aux: Some(BuildInfoAux::BuildKit(status)), .. }) => {
                graph.read(&status, now)
            }
            (Self::BuildKit(_), BuildInfo { aux: Some(BuildInfoAux::Default(id)), .. }) => {
                *image = id.id;
                Vec::new()
            }
            (Self::Classic(text), BuildInfo { stream: Some(stream), .. }) => text.read(&stream, now),
            (Self::Classic(text), BuildInfo { id: Some(layer), progress_detail: Some(detail), .. }) => {
                text.pulls(layer, detail.current, detail.total)
            }
            _ => Vec::new(),
        }
    }

    fn end(&mut self, now: Duration) -> Vec<BuildEvent> {
        match self {
            Self::BuildKit(graph) => graph.end(now),
            Self::Classic(text) => text.end(now),
        }
    }

    fn fail(&mut self, e: &Error) -> Vec<BuildEvent> {
        match (self, e) {
            (Self::Classic(text), Error::DockerStreamError { error }) => text.fail(error.trim()),
            _ => Vec::new(),
        }
    }
}

/// A client of the same engine with a long timeout. It sends credentials in the alphabet that the
/// engine reads (RFC 4648, section 5).
fn patient(docker: Docker) -> Docker {
    docker.with_timeout(BUILD_TIMEOUT).with_request_modifier(|mut request| {
        if let Some(value) = request.headers_mut().get_mut("x-registry-config") {
            let text = value.to_str().unwrap_or_default().replace('+', "-").replace('/', "_");
            if let Ok(mut text) = HeaderValue::from_str(&text) {
                text.set_sensitive(true);
                *value = text;
            }
        }
        request
    })
}

/// Whether a value is false for Go (`strconv.ParseBool`), as `docker build` reads it.
fn is_no(value: &str) -> bool {
    matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")
}
