//! The Docker engine of this machine.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageInspect;

use crate::ui::Failure;
use awsb_docker::{RawClient, find, status, words};
use awsb_model::image::Platform;

/// The repository of images on an engine if the cluster names none.
pub const REPOSITORY: &str = "awsb";

/// The hint for a machine on which no engine answers.
pub const START: &str = "check that the engine is started; DOCKER_HOST can name it, such as \
                     unix:///var/run/docker.sock";

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct Engine {
    address: String,
    /// The client of its API.
    pub(super) docker: Docker,
}

impl Engine {
    /// The engine of this machine.
    ///
    /// # Errors
    /// When no engine answers.
    pub(super) async fn find() -> Result<Self, Failure> {
        let (address, docker) = find().await.map_err(|e| Failure::failed(e.to_string()))?;
        Ok(Self { address, docker })
    }

    /// A client for the requests that `docker` does not have.
    pub(super) fn raw_client(&self) -> RawClient {
        RawClient::to(&self.address)
    }

    /// The image with this name on the engine, if there is one.
    ///
    /// # Errors
    /// When the engine refuses the request, or does not answer any more.
    pub(super) async fn inspect(&self, image: &str) -> Result<Option<ImageInspect>, Failure> {
        match self.docker.inspect_image(image).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(self.gone(&format!("looking for the image {image}"), &e)),
        }
    }

    /// The failure for an engine that refuses a basic request, or does not answer any more.
    pub(super) fn gone(&self, doing: &str, e: &Error) -> Failure {
        match e {
            Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
                Failure::failed(format!("{doing}: {}", words(e)))
            }
            _ => self.went_away(doing, &words(e)),
        }
    }

    /// The failure for an engine that does not answer any more.
    pub(super) fn went_away(&self, doing: &str, why: &str) -> Failure {
        Failure::failed(format!("{doing}: the Docker engine at {} has gone away: {why}", self.address))
    }
}

/// The platform of this machine's engine, for which it builds (Docker Engine API, `SystemVersion`,
/// Arch). `None`: there is no engine, or its platform is another one.
pub async fn platform() -> Option<Platform> {
    let engine = Engine::find().await.ok()?;
    engine.docker.version().await.ok()?.arch?.parse().ok()
}
