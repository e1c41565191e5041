//! Images on a Docker engine: they are built there, and pushed from there.
//!
//! ```text
//! Context --tar--> engine (BuildKit or classic builder) --> REPOSITORY:TAG --push--> registry
//!                                                        or awsb:TAG
//! ```

mod build;
mod build_events;
mod buildkit;
mod classic;
mod credentials;
mod layers;
mod local_images;
mod local_only;
mod progress_view;
mod push;
mod refusal;
mod request_body;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageInspect;

pub use build::{Options, build, builder};
pub(super) use local_images::{describe, details, image_engine, list, remove};
pub use local_only::local_only_id;
pub use push::push;

use super::ENGINE_REPOSITORY;
use crate::aws::Session;
use crate::config::Builder;
use crate::ui::{EndSignal, ErrorKind, Failure};
use awsb_docker::{RawClient, find, status, words};
use awsb_model::image::{Platform, Repository, Tag};

/// The label with the hash of everything that an image was made from: the context, the build's
/// arguments and the platform.
pub const CONTENT_LABEL: &str = "awsb.content";

/// The hint for a machine on which no engine answers.
const START: &str = "check that the engine is started; DOCKER_HOST can name it, such as \
                     unix:///var/run/docker.sock";

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct Engine {
    address: String,
    docker: Docker,
}

impl Engine {
    /// The engine of this machine.
    async fn find() -> Result<Self, Failure> {
        let (address, docker) = find().await.map_err(|e| Failure::failed(e.to_string()))?;
        Ok(Self { address, docker })
    }

    fn raw_client(&self) -> RawClient {
        RawClient::to(&self.address)
    }

    /// The image with this name on the engine, if there is one.
    async fn inspect(&self, image: &str) -> Result<Option<ImageInspect>, Failure> {
        match self.docker.inspect_image(image).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(self.gone(&format!("looking for the image {image}"), &e)),
        }
    }

    /// The failure for an engine that refuses a basic request, or does not answer any more.
    fn gone(&self, doing: &str, e: &Error) -> Failure {
        match e {
            Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
                Failure::failed(format!("{doing}: {}", words(e)))
            }
            _ => self.went_away(doing, &words(e)),
        }
    }

    fn went_away(&self, doing: &str, why: &str) -> Failure {
        Failure::failed(format!("{doing}: the Docker engine at {} has gone away: {why}", self.address))
    }
}

/// The platform of this machine's engine, for which it builds (Docker Engine API, `SystemVersion`,
/// Arch). `None`: there is no engine, or its platform is another one.
pub async fn platform() -> Option<Platform> {
    let engine = Engine::find().await.ok()?;
    engine.docker.version().await.ok()?.arch?.parse().ok()
}

/// The name of an image on the engine: that of the registry, or `awsb:TAG`.
fn name_on_engine(repository: Option<&Repository>, tag: &Tag) -> String {
    match repository {
        Some(repository) => repository.tagged(tag),
        None => format!("{ENGINE_REPOSITORY}:{tag}"),
    }
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
        None => failure.hint(session.hint_to_setting(
            "codebuild_project",
            "\"…\"",
            "names a project that builds without one",
        )),
    }
}

/// The failure for work that a signal has ended.
fn interrupted(signal: EndSignal, what: &str) -> Failure {
    Failure::new(ErrorKind::Interrupted(signal), format!("{signal}: {what}"))
}
