//! Pushes an image of the engine to a registry.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bollard::models::ImageInspect;
use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};

use super::client::{Engine, REPOSITORY};
use super::credentials;
use super::layers::{Layers, Message};
use super::push_error::PushErrorKind;
use crate::aws::Session;
use crate::image::{BuildResult, ecr, queue_platform};
use crate::ui::{ErrorKind, Failure, Reporter, SignalListener, StatusLines, print_output_of_program};
use awsb_model::image::{Platform, Repository, Tag};

/// The number of attempts for a push that breaks off. Layers that have arrived are not sent again.
const TRIES: u32 = 3;
/// The pause after the first attempt. It doubles each time.
const PAUSE: Duration = Duration::from_secs(1);

/// Pushes an image of this machine's engine to the repository, with this tag. The engine needs the
/// name `REGISTRY/NAME:TAG` for it; when the push fails, the name is restored to its former state.
/// A quiet `voice` shows no layers.
///
/// # Errors
/// When no engine answers or it has no such image; when the registry refuses it or cannot be
/// reached. Ctrl-C ends the push.
pub async fn push(
    session: &Session,
    image: &str,
    repository: &Repository,
    tag: &Tag,
    reporter: Reporter,
) -> Result<BuildResult, Failure> {
    let engine = Engine::find().await?;
    let Some(found) = engine.inspect(image).await? else {
        let failure = Failure::failed(format!("the Docker engine has no image {image}"));
        let ours = format!("{REPOSITORY}:{image}");
        return Err(match engine.inspect(&ours).await {
            Ok(Some(_)) => failure.hint(format!("the engine has {ours}: check whether that is the one")),
            _ => failure.hint("`docker images` lists the engine's images"),
        });
    };
    let built = |digest, earlier| {
        let uri = repository.tagged(tag);
        BuildResult { uri, digest, tag: tag.clone(), build_id: None, earlier }
    };
    if let Some(digest) = is_there(session, &found, repository, tag).await {
        return Ok(built(Some(digest), true));
    }
    let authorization = authorization(session, repository).await?;
    if !reporter.quiet {
        tell_misfit(session, image, &found, reporter).await;
    }
    let push = Push { session, engine: &engine, image, repository, tag, authorization, reporter };
    let before = engine.inspect(&push.name()).await?.and_then(|image| image.id);
    let mut interrupts = SignalListener::listen();
    push.name_it(image).await?;
    let outcome = tokio::select! {
        biased;
        outcome = push.run() => outcome,
        // The engine cancels a push when its client is gone.
        signal = interrupts.next() => {
            let message = format!("{signal}: {} was not pushed", push.name());
            Err(Failure::new(ErrorKind::Interrupted(signal), message))
        }
    };
    match outcome {
        Ok(digest) => Ok(built(digest, false)),
        Err(failure) => {
            push.undo(&found, before).await;
            Err(failure)
        }
    }
}

/// The digest of the image, if the repository has this very image under this tag. A repository with
/// immutable tags would refuse it. If this user may not ask, the push is tried.
async fn is_there(
    session: &Session,
    image: &ImageInspect,
    repository: &Repository,
    tag: &Tag,
) -> Option<String> {
    let digests = image.repo_digests.iter().flatten();
    let own = format!("{}@", repository.uri());
    let known: Vec<&str> = digests.filter_map(|digest| digest.strip_prefix(&own)).collect();
    if known.is_empty() {
        return None;
    }
    let there = ecr::find(session, repository, tag).await.ok()??.image_digest?;
    known.contains(&there.as_str()).then_some(there)
}

/// Prints a note if the image is for another platform than the cluster's machines.
async fn tell_misfit(session: &Session, image: &str, found: &ImageInspect, reporter: Reporter) {
    let Some(own) = found.architecture.as_deref().and_then(|own| own.parse::<Platform>().ok()) else {
        return;
    };
    let theirs = queue_platform::of_queue(session, &session.cluster.job_queue).await.ok().flatten();
    if let Some(theirs) = theirs.filter(|theirs| *theirs != own) {
        reporter.print(format_args!(
            "note: the image {image} is for {own}, and the machines of the job queue {} are {theirs}",
            session.cluster.job_queue
        ));
    }
}

/// The credentials for the registry in the form that the engine takes (Docker Engine API,
/// "Authentication").
async fn authorization(session: &Session, repository: &Repository) -> Result<String, Failure> {
    let known = credentials::of_registry(session, repository).await?;
    let json = match known {
        Some(known) => serde_json::json!({
            "username": known.username.unwrap_or_default(),
            "password": known.password.unwrap_or_default(),
            "identitytoken": known.identitytoken.unwrap_or_default(),
            "serveraddress": repository.registry.as_str(),
        }),
        None => serde_json::json!({}),
    };
    Ok(URL_SAFE.encode(json.to_string()))
}

/// A push.
struct Push<'a> {
    session: &'a Session,
    engine: &'a Engine,
    image: &'a str,
    repository: &'a Repository,
    tag: &'a Tag,
    authorization: String,
    reporter: Reporter,
}

/// The reason why an attempt has failed.
enum Broken {
    /// The message of the engine or the registry, and whether the engine itself has retried.
    Refused(String, bool),
    /// The engine does not answer any more.
    Engine(String),
}

impl Push<'_> {
    fn name(&self) -> String {
        self.repository.tagged(self.tag)
    }

    fn doing(&self) -> String {
        format!("pushing {}", self.name())
    }

    /// Gives the image the name that it will have in the registry.
    async fn name_it(&self, image: &str) -> Result<(), Failure> {
        if image == self.name() {
            return Ok(());
        }
        let options =
            TagImageOptionsBuilder::new().repo(&self.repository.uri()).tag(self.tag.as_str()).build();
        let named = self.engine.docker.tag_image(image, Some(options)).await;
        named.map_err(|e| self.engine.gone(&format!("naming {image} {}", self.name()), &e))
    }

    /// Pushes with retries. Returns the digest.
    async fn run(&self) -> Result<Option<String>, Failure> {
        let mut pause = PAUSE;
        for tries_left in (0..TRIES).rev() {
            match self.once().await {
                Ok(digest) => return Ok(digest),
                Err(Broken::Engine(why)) => return Err(self.engine.went_away(&self.doing(), &why)),
                Err(Broken::Refused(why, were_retried)) => {
                    let kind = PushErrorKind::read(&why);
                    if kind != PushErrorKind::BrokenOff || were_retried || tries_left == 0 {
                        return Err(self.failure_of(kind, &why));
                    }
                    self.reporter
                        .print(format_args!("note: the push was interrupted and is tried again: {why}"));
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(None)
    }

    async fn once(&self) -> Result<Option<String>, Broken> {
        let version = self.engine.docker.client_version();
        let path = format!(
            "/v{}.{}/images/{}/push?tag={}",
            version.major_version,
            version.minor_version,
            self.repository.uri(),
            self.tag
        );
        let wire = self.engine.raw_client();
        let answer = wire.post::<Message>(&path, &[("x-registry-auth", &self.authorization)]).await;
        let mut answer = answer.map_err(|e| self.broken(e, false))?;
        let (mut layers, mut status_lines, mut digest) = (Layers::default(), StatusLines::new(), None);
        let outcome = loop {
            match answer.next().await {
                Ok(Some(Message { error: Some(why), .. })) => {
                    break Err(Broken::Refused(why, layers.were_retried()));
                }
                Ok(Some(message)) => {
                    if let Some(update) = layers.apply(&message).filter(|_| !self.reporter.quiet) {
                        status_lines.set(&update.id, &update.line);
                        if update.is_lasting && !status_lines.is_visible() {
                            print_output_of_program(update.line);
                        }
                    }
                    digest = message.aux.and_then(|aux| aux.digest).or(digest);
                }
                Ok(None) if digest.is_none() => break Err(Broken::Engine("the push has no end".to_owned())),
                Ok(None) => break Ok(digest),
                Err(e) => break Err(Broken::Engine(e.to_string())),
            }
        };
        let was_seen = status_lines.is_visible();
        drop(status_lines);
        if was_seen && !self.reporter.quiet && outcome.is_ok() {
            layers.lines().for_each(print_output_of_program);
        }
        outcome
    }

    fn broken(&self, e: std::io::Error, were_retried: bool) -> Broken {
        match e.get_ref().is_some_and(|inner| inner.is::<hyper::Error>()) || e.raw_os_error().is_some() {
            true => Broken::Engine(e.to_string()),
            false => Broken::Refused(e.to_string(), were_retried),
        }
    }

    fn failure_of(&self, kind: PushErrorKind, why: &str) -> Failure {
        if kind == PushErrorKind::NoRepository && self.repository.registry.is_ecr() {
            return ecr::gone(self.session);
        }
        let failure = Failure::failed(format!("{}: {}", self.doing(), why.trim()));
        match kind.hint(self.repository) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Removes the name, or gives it back to the image that had it before.
    async fn undo(&self, image: &ImageInspect, before: Option<String>) {
        if self.image == self.name() || before == image.id {
            return;
        }
        // If the engine is away, the name stays.
        let _ = match before {
            Some(before) => self.name_it(&before).await.is_ok(),
            None => {
                let options = RemoveImageOptionsBuilder::new().noprune(true).build();
                self.engine.docker.remove_image(&self.name(), Some(options), None).await.is_ok()
            }
        };
    }
}
