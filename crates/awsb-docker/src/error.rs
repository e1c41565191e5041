//! Errors of a Docker engine.

use std::error::Error as _;
use std::time::Duration;

use bollard::errors::Error;

/// Upper bound of the time that an engine takes for its first answer, in which it says who it is.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection to a Docker engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// `DOCKER_TLS_VERIFY` asks for TLS.
    #[error(
        "{host}: DOCKER_TLS_VERIFY is set, and an engine behind TLS is not supported; DOCKER_HOST=unix://PATH \
         reaches it through a socket that `ssh -L PATH:/var/run/docker.sock HOST` forwards"
    )]
    Tls {
        /// The value of `DOCKER_HOST`.
        host: String,
    },
    /// The address has another form than the ones that are supported.
    #[error("{address}: not supported; DOCKER_HOST is unix://PATH or tcp://HOST:PORT")]
    Address {
        /// The address.
        address: String,
    },
    /// The engine cannot be reached, or refuses.
    #[error("{address}: {}", words(source))]
    Refused {
        /// The address of the engine.
        address: String,
        /// The error of the client.
        source: Error,
    },
    /// The engine has not answered in time.
    #[error("{address}: no answer within {} seconds", GREETING_TIMEOUT.as_secs())]
    Timeout {
        /// The address of the engine.
        address: String,
    },
    /// No engine answers at any of the usual addresses.
    #[error("no Docker engine answers; tried {}", listed(tried))]
    NotFound {
        /// Why each of the addresses is not one of an engine.
        tried: Vec<DockerError>,
    },
}

fn listed(tried: &[DockerError]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The error of the engine, in the form in which ECS passes it on.
pub fn words(e: &Error) -> String {
    match e {
        Error::DockerResponseServerError { message, .. } => {
            format!("Error response from daemon: {}", message.trim())
        }
        Error::DockerStreamError { error } => format!("Error response from daemon: {}", error.trim()),
        Error::SocketNotFoundError(_) => "no such file".to_owned(),
        Error::RequestTimeoutError => "the Docker engine did not answer in time".to_owned(),
        other => {
            // The client's own name for its errors says nothing to anybody.
            let mut text = other.to_string().replace("Error in the hyper legacy client: ", "");
            let mut source = other.source();
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.ends_with(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}

/// The HTTP status of the engine's refusal; `None` when it has not answered.
pub fn status(e: &Error) -> Option<u16> {
    match e {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}
