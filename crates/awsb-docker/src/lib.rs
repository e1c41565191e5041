//! The Docker engine: where it is, and its words when it refuses.

mod raw_client;

use std::error::Error as _;
use std::ffi::OsString;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

pub use raw_client::{Lines, RawClient};

/// How long an engine may take to answer a request. ECS waits for 3 to 4 minutes for a container to be
/// created or started (amazon-ecs-agent, `dockerclient/timeout.go`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);
/// How long one that has just been called may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an engine may be. `DOCKER_HOST` is the user's word, as for the `docker` command: nothing else is
/// tried then. Else the usual sockets: Docker's, Docker's without root, Docker Desktop's, `OrbStack`'s,
/// Colima's, Podman's.
fn addresses(variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<String>, String> {
    let variable = |name: &str| variable(name)?.into_string().ok().filter(|value| !value.is_empty());
    if let Some(host) = variable("DOCKER_HOST") {
        // Docker's own command takes any value for a yes. What is sent may be secret: never without TLS then.
        if !host.starts_with("unix://") && variable("DOCKER_TLS_VERIFY").is_some() {
            return Err(format!(
                "{host}: DOCKER_TLS_VERIFY is set, and an engine behind TLS is not supported; DOCKER_HOST=unix://PATH reaches it \
                 through a socket that `ssh -L PATH:/var/run/docker.sock HOST` forwards"
            ));
        }
        return Ok(vec![host]);
    }
    let mut sockets = vec!["/var/run/docker.sock".to_owned()];
    let mut add = |folder: &str, names: &[&str]| {
        if let Some(folder) = variable(folder) {
            sockets.extend(names.iter().map(|name| format!("{folder}/{name}")));
        }
    };
    add("XDG_RUNTIME_DIR", &["docker.sock"]);
    add("HOME", &[".docker/run/docker.sock", ".orbstack/run/docker.sock", ".colima/default/docker.sock"]);
    add("XDG_RUNTIME_DIR", &["podman/podman.sock"]);
    Ok(sockets.into_iter().map(|socket| format!("unix://{socket}")).collect())
}

/// The first engine that answers, and its address.
///
/// # Errors
/// When none does: what was tried, and why it was not one; when it would have to be TLS (`DOCKER_TLS_VERIFY`).
pub async fn find() -> Result<(String, Docker), String> {
    let mut tried = Vec::new();
    for address in addresses(|name| std::env::var_os(name))? {
        match connect(&address).await {
            Ok(docker) => return Ok((address, docker)),
            Err(why) => tried.push(why),
        }
    }
    Err(format!("no Docker engine answers; tried {}", tried.join("; ")))
}

/// The engine at an address (`unix://PATH` or `tcp://HOST:PORT`), in the version that it speaks.
///
/// # Errors
/// When it does not answer; the reason begins with the address.
pub async fn connect(address: &str) -> Result<Docker, String> {
    let why = |e: &Error| format!("{address}: {}", words(e));
    let seconds = REQUEST_TIMEOUT.as_secs();
    let docker = match address.split_once("://") {
        Some(("unix", _)) => Docker::connect_with_unix(address, seconds, API_DEFAULT_VERSION),
        Some(("tcp" | "http", _)) => Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION),
        _ => return Err(format!("{address}: not supported; DOCKER_HOST is unix://PATH or tcp://HOST:PORT")),
    }
    .map_err(|e| why(&e))?;
    match tokio::time::timeout(GREETING_TIMEOUT, docker.negotiate_version()).await {
        Ok(outcome) => outcome.map_err(|e| why(&e)),
        Err(_) => Err(format!("{address}: no answer within {} seconds", GREETING_TIMEOUT.as_secs())),
    }
}

/// What the engine says, in the form in which ECS hands it on.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        addresses(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into()))
    }

    fn with(variables: &[(&str, &str)]) -> Vec<String> {
        looked_up(variables).unwrap()
    }

    #[test]
    fn what_asks_for_tls_is_not_done_without() {
        let tls = |host, value| looked_up(&[("DOCKER_HOST", host), ("DOCKER_TLS_VERIFY", value)]);
        for host in ["tcp://a:2376", "http://a"] {
            let why = tls(host, "1").unwrap_err();
            assert!(why.starts_with(&format!("{host}: DOCKER_TLS_VERIFY is set")), "{why}");
        }
        assert_eq!(tls("tcp://a:2375", "").unwrap(), ["tcp://a:2375"]);
        assert_eq!(tls("unix:///s", "1").unwrap(), ["unix:///s"]);
    }

    #[test]
    fn docker_host_is_the_only_one_when_it_is_set() {
        assert_eq!(with(&[("DOCKER_HOST", "tcp://a:1"), ("HOME", "/h")]), ["tcp://a:1"]);
        let usual = with(&[("DOCKER_HOST", ""), ("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/1")]);
        assert_eq!(usual.first().unwrap(), "unix:///var/run/docker.sock");
        assert!(usual.contains(&"unix:///h/.docker/run/docker.sock".to_owned()));
        assert_eq!(usual.last().unwrap(), "unix:///run/1/podman/podman.sock");
        assert_eq!(with(&[]), ["unix:///var/run/docker.sock"]);
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named() {
        let why = connect("unix:///no/such/socket").await.unwrap_err();
        assert_eq!(why, "unix:///no/such/socket: no such file");
        assert!(connect("ssh://me@there").await.unwrap_err().contains("not supported"));
        // Port 1 is nobody's.
        let why = connect("tcp://127.0.0.1:1").await.unwrap_err();
        assert!(why.starts_with("tcp://127.0.0.1:1: ") && why.contains("refused"), "{why}");
    }
}
