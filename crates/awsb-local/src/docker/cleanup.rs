//! Leftovers of jobs on the engine, and their removal.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};

use super::error::EngineError;
use super::names::{HOME_LABEL, JOB_LABEL, TASK_LABEL};
use super::network;
use crate::runner::protocol::AttemptId;
use awsb_docker::status;

/// How often, and how long apart, the engine is asked to remove a container that it does not
/// remove.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// A container of a home, or a network of a multi-node job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The attempt that it is (or was) for.
    pub attempt_id: AttemptId,
    /// The engine's own ID for it.
    pub id: String,
}

/// The containers of a home in any state; only of one job, if it is named.
///
/// # Errors
/// When the engine does not say.
pub async fn containers(
    docker: &Docker,
    home_id: &str,
    job: Option<&str>,
) -> Result<Vec<Leftover>, EngineError> {
    let mut labels = vec![format!("{HOME_LABEL}={home_id}")];
    labels.extend(job.map(|job| format!("{JOB_LABEL}={job}")));
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = docker.list_containers(Some(options)).await?;
    Ok(found
        .into_iter()
        .filter_map(|c| {
            let attempt_id = c.labels?.get(TASK_LABEL)?.clone();
            Some(Leftover { attempt_id: attempt_id.into(), id: c.id? })
        })
        .collect())
}

/// Ends a container, if it runs, and removes it with its anonymous volumes; one that is gone is
/// fine.
///
/// # Errors
/// When the engine refuses, e.g. because somebody else is removing it.
pub async fn remove(docker: &Docker, container: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(container, Some(options)).await {
        Err(source) if status(&source) != Some(404) => {
            Err(EngineError::Removal { container: container.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Does the same as [`remove`], and returns when the container is gone. An engine that is away, or
/// busy with the container, is asked again for half a minute.
///
/// # Errors
/// The last error of the engine.
pub async fn remove_with_retries(docker: &Docker, container: &str) -> Result<(), EngineError> {
    for _ in 1..TRIES {
        if remove(docker, container).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    remove(docker, container).await
}

/// Removes all containers of an attempt, as [`remove_with_retries`] does.
///
/// # Errors
/// The last error of the engine.
pub async fn remove_attempt(docker: &Docker, attempt_id: &AttemptId) -> Result<(), EngineError> {
    let filters = HashMap::from([("label", vec![format!("{TASK_LABEL}={attempt_id}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    for container in docker.list_containers(Some(options)).await? {
        if let Some(id) = container.id {
            remove_with_retries(docker, &id).await?;
        }
    }
    Ok(())
}

/// The networks of a home's multi-node jobs: the main node's attempt, and the engine's own ID.
///
/// # Errors
/// When the engine does not say.
pub async fn node_networks(docker: &Docker, home_id: &str) -> Result<Vec<Leftover>, EngineError> {
    let filters = HashMap::from([("label", vec![format!("{HOME_LABEL}={home_id}"), TASK_LABEL.to_owned()])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let found = docker.list_networks(Some(options)).await?;
    let leftover = |n: bollard::models::Network| {
        let attempt_id = n.labels?.get(TASK_LABEL)?.clone();
        Some(Leftover { attempt_id: attempt_id.into(), id: n.id? })
    };
    Ok(found.into_iter().filter_map(leftover).collect())
}

/// Removes those of some networks whose main node's attempt does not live any more.
///
/// # Errors
/// The engine's last refusal: another node is still in its network, most likely.
pub async fn remove_dead_networks(
    docker: &Docker,
    networks: &[Leftover],
    live: &HashSet<AttemptId>,
) -> Result<(), EngineError> {
    let mut outcome = Ok(());
    for dead in networks.iter().filter(|network| !live.contains(&network.attempt_id)) {
        outcome = network::remove(docker, &dead.id).await.and(outcome);
    }
    outcome
}

/// Removes the volumes of a home that no container uses.
///
/// # Errors
/// When the engine does not say which there are.
pub async fn remove_volumes(docker: &Docker, home_id: &str) -> Result<(), EngineError> {
    let filters = HashMap::from([
        ("label", vec![format!("{HOME_LABEL}={home_id}")]),
        ("dangling", vec!["true".to_owned()]),
    ]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let found = docker.list_volumes(Some(options)).await?;
    for volume in found.volumes.unwrap_or_default() {
        // One that a container has just taken stays; that container's end takes it along.
        let _ = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
    }
    Ok(())
}
