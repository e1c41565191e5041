//! The Docker engine: where it is, what it says when it refuses, and what `docker login` has
//! stored.

pub mod credentials;
mod error;
mod raw_client;

use std::ffi::OsString;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use error::GREETING_TIMEOUT;
pub use error::{DockerError, status, words};
pub use raw_client::{JsonLines, RawClient};

/// How long an engine may take to answer a request. ECS waits for 3 to 4 minutes for a container to
/// be created or started (amazon-ecs-agent, `dockerclient/timeout.go`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);

/// Where an engine may be. `DOCKER_HOST` is the user's word, as for the `docker` command: nothing
/// else is tried then. Else the usual sockets: Docker's, Docker's without root, Docker Desktop's,
/// `OrbStack`'s, Colima's, Podman's.
fn addresses(variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<String>, DockerError> {
    let variable = |name: &str| variable(name)?.into_string().ok().filter(|value| !value.is_empty());
    if let Some(host) = variable("DOCKER_HOST") {
        // The `docker` command takes any value as a yes. Requests may contain secrets, so they are
        // never sent without TLS then.
        if !host.starts_with("unix://") && variable("DOCKER_TLS_VERIFY").is_some() {
            return Err(DockerError::Tls { host });
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
/// When none does: what was tried, and why it was not one; when it would have to be TLS
/// (`DOCKER_TLS_VERIFY`).
pub async fn find() -> Result<(String, Docker), DockerError> {
    let mut tried = Vec::new();
    for address in addresses(|name| std::env::var_os(name))? {
        match connect(&address).await {
            Ok(docker) => return Ok((address, docker)),
            Err(why) => tried.push(why),
        }
    }
    Err(DockerError::NotFound { tried })
}

/// The engine at an address (`unix://PATH` or `tcp://HOST:PORT`), in the version that it speaks.
///
/// # Errors
/// When it does not answer; the reason begins with the address.
pub async fn connect(address: &str) -> Result<Docker, DockerError> {
    let named = || address.to_owned();
    let refused = |source| DockerError::Refused { address: named(), source };
    let seconds = REQUEST_TIMEOUT.as_secs();
    let docker = match address.split_once("://") {
        Some(("unix", _)) => Docker::connect_with_unix(address, seconds, API_DEFAULT_VERSION),
        Some(("tcp" | "http", _)) => Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION),
        _ => return Err(DockerError::Address { address: named() }),
    }
    .map_err(refused)?;
    match tokio::time::timeout(GREETING_TIMEOUT, docker.negotiate_version()).await {
        Ok(outcome) => outcome.map_err(refused),
        Err(_) => Err(DockerError::Timeout { address: named() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(variables: &[(&str, &str)]) -> Result<Vec<String>, DockerError> {
        addresses(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into()))
    }

    fn with(variables: &[(&str, &str)]) -> Vec<String> {
        looked_up(variables).unwrap()
    }

    #[test]
    fn what_asks_for_tls_is_not_done_without() {
        let tls = |host, value| looked_up(&[("DOCKER_HOST", host), ("DOCKER_TLS_VERIFY", value)]);
        for host in ["tcp://a:2376", "http://a"] {
            let why = tls(host, "1").unwrap_err().to_string();
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
        let why = connect("unix:///no/such/socket").await.unwrap_err().to_string();
        assert_eq!(why, "unix:///no/such/socket: no such file");
        assert!(connect("ssh://me@there").await.unwrap_err().to_string().contains("not supported"));
        // Port 1 is nobody's.
        let why = connect("tcp://127.0.0.1:1").await.unwrap_err().to_string();
        assert!(why.starts_with("tcp://127.0.0.1:1: ") && why.contains("refused"), "{why}");
    }
}
