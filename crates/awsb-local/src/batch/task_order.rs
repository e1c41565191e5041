//! The containers of an attempt that is a task: from the task to the requests to the Docker engine.
//! Pure.

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use serde_json::{Map, Value};

use super::container;
use super::request::resources;
use super::request::task::{self, Task};
use crate::containers::host::{ContainerHost, NoContainerHost};
use crate::docker;
use crate::http::protocol::ApiError;
use crate::runner::protocol::{Container, ContainerDependency, KILL_AFTER_MS, TaskContainer};

/// The things that a container does not share, in an attempt of several.
#[derive(Debug)]
pub struct ContainerAttempt {
    /// The command, as [`container::Attempt::command`].
    pub command: Vec<String>,
    /// The variables, as [`container::Attempt::environment`].
    pub environment: Vec<(String, String)>,
    /// The file of its log stream, relative to the home.
    pub log: String,
}

/// The containers of an attempt that is a task. `own` are those of each container, in their order;
/// `attempt` is what they have in common.
pub fn task_order(
    task: &Task,
    attempt: container::Attempt<'_>,
    own: Vec<ContainerAttempt>,
    host: Result<&ContainerHost, &NoContainerHost>,
) -> Container {
    let bodies = host.map_err(ToString::to_string).and_then(|host| {
        let containers = task_bodies(task, &attempt, own, host).map_err(|e| e.message)?;
        Ok((host, holder(task, &attempt, host), containers))
    });
    container::ordered(&attempt, bodies)
}

/// The time from SIGTERM to SIGKILL of a container of a task, in milliseconds (API:
/// TaskContainerProperties.stopTimeout).
pub fn stop_timeout_ms(container: &Map<String, Value>) -> i64 {
    let seconds = container.get("stopTimeout").and_then(Value::as_i64);
    seconds.map_or(KILL_AFTER_MS, |seconds| seconds.saturating_mul(1000))
}

fn task_bodies(
    task: &Task,
    attempt: &container::Attempt<'_>,
    own: Vec<ContainerAttempt>,
    host: &ContainerHost,
) -> Result<Vec<TaskContainer>, ApiError> {
    let holder = format!("container:{}", docker::container_name(attempt.attempt_id));
    let mode = |field: &str| task.properties.get(field).and_then(Value::as_str);
    let mut gpus = attempt.gpus;
    let mut containers = Vec::new();
    for (index, (container, own)) in task.containers.iter().zip(own).enumerate() {
        let merged = task.with_volumes(container);
        let count = usize::try_from(resources(container)?.gpus).unwrap_or(0).min(gpus.len());
        let (its, left) = gpus.split_at(count);
        gpus = left;
        let attempt = container::Attempt {
            command: own.command,
            environment: own.environment,
            gpus: its,
            main_node: None,
            ..*attempt
        };
        let mut body = container::body(&merged, &attempt, host, Some(index))?;
        if let Some(config) = &mut body.host_config {
            config.network_mode = Some(holder.clone());
            // The hosts file is that of the container that holds the network.
            config.extra_hosts = None;
            config.ipc_mode = mode("ipcMode").map(|mode| namespace(mode, &holder));
            config.pid_mode = mode("pidMode").map(|mode| namespace(mode, &holder));
        }
        let dependencies = task.dependencies(container)?.into_iter();
        let start_timeout = container.get("startTimeout").and_then(Value::as_i64);
        containers.push(TaskContainer {
            name: task::name(container).unwrap_or(task::UNNAMED).to_owned(),
            essential: task::is_essential(container),
            depends_on: dependencies
                .map(|(container, condition)| ContainerDependency { container, condition })
                .collect(),
            start_timeout_ms: start_timeout.map(|seconds| seconds.saturating_mul(1000)),
            stop_timeout_ms: stop_timeout_ms(container),
            log: own.log,
            with_login: container::has_repository_credentials(container),
            body,
        });
    }
    Ok(containers)
}

/// API, EcsTaskProperties.ipcMode and .pidMode: `task` is shared by the containers of the task.
fn namespace(mode: &str, holder: &str) -> String {
    if mode == "task" { holder.to_owned() } else { mode.to_owned() }
}

/// The container that holds what the containers of a task share: the network, and with `task` the
/// processes and the memory.
fn holder(task: &Task, attempt: &container::Attempt<'_>, host: &ContainerHost) -> ContainerCreateBody {
    let shares_memory = task.properties.get("ipcMode").and_then(Value::as_str) == Some("task");
    ContainerCreateBody {
        image: Some(docker::pause::IMAGE.to_owned()),
        labels: Some(container::labels(attempt, host)),
        host_config: Some(HostConfig {
            network_mode: Some(host.network.clone()),
            extra_hosts: Some(host.hosts.clone()),
            ipc_mode: shares_memory.then(|| "shareable".to_owned()),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
