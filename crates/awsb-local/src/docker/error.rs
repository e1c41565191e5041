//! Errors of requests to a Docker engine.

use awsb_docker::{DockerError, words};

/// Why something could not be done on a Docker engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no connection to an engine.
    #[error(transparent)]
    Connection(#[from] DockerError),
    /// The engine refuses a listing.
    #[error("{}", words(.0))]
    List(#[from] bollard::errors::Error),
    /// The engine refuses something about a network.
    #[error("network {name}: {}", words(source))]
    Network {
        /// The name of the network.
        name: String,
        /// The error of the engine.
        source: bollard::errors::Error,
    },
    /// The engine does not say where a network is.
    #[error("network {name}: the engine names no IPv4 subnet and gateway of it")]
    NetworkAddress {
        /// The name of the network.
        name: String,
    },
    /// There is no pause program for the CPU of the engine's machine.
    #[error(
        "the network of several containers needs an engine on x86-64 or arm64, and this engine is on {0:?}"
    )]
    Architecture(String),
    /// The engine does not remove a container.
    #[error("removing container {container}: {}", words(source))]
    Removal {
        /// The name or ID of the container.
        container: String,
        /// The error of the engine.
        source: bollard::errors::Error,
    },
}
