//! The ECS task metadata endpoint, version 4 (ECS Developer Guide, `task-metadata-endpoint-v4`),
//! for the containers of jobs.
//!
//! A container finds its URL in `ECS_CONTAINER_METADATA_URI_V4`. Requests have no signature there,
//! as on ECS. The URL has a token in its place, which is derived from the attempt's ID and a secret
//! of the home, as the attempt's key is: a server that restarts knows it, and other containers do
//! not. The ID alone is not a secret.

use serde_json::{Map, Value, json};

use super::Api;
use crate::access::Keys;
use crate::batch::describe;
use crate::batch::reader::JobRow;
use crate::batch::request::task::{self, UNNAMED};
use crate::batch::request::{Spec, resources};
use crate::constants::{COMPUTE_ENVIRONMENT, REGION};
use crate::docker::{container_name, container_of_task_name};
use crate::http::protocol::ApiError;
use crate::runner::protocol::{AttemptId, ContainerState};
use awsb_model::Status;
use http::StatusCode;

/// The thing that a request asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Container,
    Task,
}

fn not_found(why: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", why)
}

/// Reads a path without `/v4/`: the attempt, the index of the container, and the subject.
fn parse(path: &str, keys: &Keys) -> Result<(AttemptId, usize, Subject), ApiError> {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let wrong = || not_found("no container has this metadata endpoint");
    let (attempt_id, token) = name.split_once('-').ok_or_else(wrong)?;
    let (token, index) = token.split_once('-').ok_or_else(wrong)?;
    let attempt_id = AttemptId::parse(attempt_id.to_owned()).ok_or_else(wrong)?;
    let index = index.parse().map_err(|_| wrong())?;
    if !keys.is_metadata_token(&attempt_id, token) {
        return Err(wrong());
    }
    let subject = match rest {
        "" => Subject::Container,
        "task" => Subject::Task,
        _ => {
            return Err(not_found(&format!(
                "the local cluster has no /{rest} of the task metadata endpoint: it has the container, and /task"
            )));
        }
    };
    Ok((attempt_id, index, subject))
}

impl Api {
    /// Answers a request to the task metadata endpoint; `path` is what follows `/v4/`.
    ///
    /// # Errors
    /// 404, when no container that runs has this endpoint.
    pub async fn metadata(&self, path: &str, keys: &Keys) -> Result<Value, ApiError> {
        let (attempt_id, index, subject) = parse(path, keys)?;
        let task = self.engine.task(attempt_id.clone()).await?;
        let states = task.map(|task| task.containers).unwrap_or_default().into_iter();
        let states: Vec<Option<ContainerState>> = states.map(|container| container.state).collect();
        self.reader
            .read(move |db| {
                let Some(key) = db.job_in_attempt(attempt_id.as_str())? else {
                    return Err(not_found("no container that runs has this metadata endpoint"));
                };
                let Some(row) = db.job_of(key)? else { return Err(not_found("its job is gone")) };
                let spec = db.spec(row.owner)?;
                let shown =
                    Shown { spec: &spec, row: &row, attempt_id: &attempt_id, states: &states, asking: index };
                let containers = shown.containers();
                match subject {
                    Subject::Task => Ok(shown.task()),
                    Subject::Container => containers
                        .get(index)
                        .map(|container| shown.container(container, index))
                        .ok_or_else(|| not_found("its task has no such container")),
                }
            })
            .await
    }
}

/// A task as its containers see it.
struct Shown<'a> {
    spec: &'a Spec,
    row: &'a JobRow,
    attempt_id: &'a AttemptId,
    /// The states of its containers that have begun, by their indices.
    states: &'a [Option<ContainerState>],
    /// The index of the container that asks.
    asking: usize,
}

impl Shown<'_> {
    fn containers(&self) -> Vec<&Map<String, Value>> {
        match &self.spec.task {
            Some(task) => task.containers.iter().collect(),
            None => vec![self.spec.container(self.row.node_of.and(self.row.index))],
        }
    }

    fn task_arn(&self) -> String {
        describe::task_arn(self.attempt_id.as_str())
    }

    /// The name and the revision of the job definition, for which ECS has a task definition.
    fn family(&self) -> (&str, &str) {
        let revision = self.spec.job_definition.rsplit_once(':').map_or("1", |(_, revision)| revision);
        (&self.spec.definition_name, revision)
    }

    /// The status of a container. Its runner reports it a moment after it has changed: until then
    /// the container that asks is known to have been made.
    fn status(&self, index: usize) -> &'static str {
        match self.states.get(index).and_then(Option::as_ref) {
            Some(ContainerState { ended_at: Some(_), .. }) => "STOPPED",
            Some(ContainerState { started_at: Some(_), .. }) => "RUNNING",
            _ if index == self.asking => "CREATED",
            _ => "NONE",
        }
    }

    /// API of the endpoint: `${ECS_CONTAINER_METADATA_URI_V4}`.
    fn container(&self, container: &Map<String, Value>, index: usize) -> Value {
        let name = task::name(container).unwrap_or(UNNAMED);
        let docker_name = match &self.spec.task {
            Some(_) => container_of_task_name(self.attempt_id, index),
            None => container_name(self.attempt_id),
        };
        let (family, revision) = self.family();
        let attempt_id = self.attempt_id.as_str();
        let limits = resources(container).ok();
        let mut shown = json!({
            "DockerName": docker_name,
            "Name": name,
            "Image": container.get("image"),
            "Labels": {
                "com.amazonaws.ecs.cluster": COMPUTE_ENVIRONMENT,
                "com.amazonaws.ecs.container-name": name,
                "com.amazonaws.ecs.task-arn": self.task_arn(),
                "com.amazonaws.ecs.task-definition-family": family,
                "com.amazonaws.ecs.task-definition-version": revision,
            },
            "DesiredStatus": "RUNNING",
            "KnownStatus": self.status(index),
            "Limits": limits.map(|all| json!({"CPU": all.vcpus * 1024, "Memory": all.memory_mib})),
            "Type": "NORMAL",
            "LogDriver": "awslogs",
            "LogOptions": {
                "awslogs-group": self.spec.group_of(container),
                "awslogs-region": REGION,
                "awslogs-stream": self.spec.stream_of(container, attempt_id),
            },
            "ContainerARN": describe::container_arn(attempt_id, name),
        });
        let Some(state) = self.states.get(index).and_then(Option::as_ref) else { return shown };
        let time = |at: Option<i64>| Some(jiff::Timestamp::from_millisecond(at?).ok()?.to_string());
        let address = json!({"NetworkMode": "bridge", "IPv4Addresses": state.addresses});
        let more = [
            ("DockerId", json!(state.id)),
            ("ImageID", json!(state.image_id)),
            ("CreatedAt", json!(time(state.created_at))),
            ("StartedAt", json!(time(state.started_at))),
            ("FinishedAt", json!(time(state.ended_at))),
            ("ExitCode", json!(state.exit_code)),
            ("Networks", if state.addresses.is_empty() { Value::Null } else { json!([address]) }),
        ];
        for (name, value) in more.into_iter().filter(|(_, value)| !value.is_null()) {
            shown[name] = value;
        }
        shown
    }

    /// API of the endpoint: `${ECS_CONTAINER_METADATA_URI_V4}/task`.
    fn task(&self) -> Value {
        let (family, revision) = self.family();
        let containers = self.containers();
        let all: Vec<_> = containers.iter().filter_map(|container| resources(container).ok()).collect();
        let vcpus: u32 = all.iter().map(|limits| limits.vcpus).sum();
        let memory: u64 = all.iter().map(|limits| limits.memory_mib).sum();
        let containers = containers.into_iter().enumerate();
        let containers = containers.map(|(index, container)| self.container(container, index));
        json!({
            "Cluster": COMPUTE_ENVIRONMENT,
            "TaskARN": self.task_arn(),
            "Family": family,
            "Revision": revision,
            "DesiredStatus": "RUNNING",
            "KnownStatus": if self.row.status == Status::Running { "RUNNING" } else { "PENDING" },
            "Limits": {"CPU": vcpus, "Memory": memory},
            "AvailabilityZone": "local",
            "LaunchType": "EC2",
            "Containers": containers.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Credentials, KeyMaterial};

    #[test]
    fn paths_of_the_endpoint() {
        let secret = |text: &str| Credentials { access_key_id: text.into(), secret_access_key: text.into() };
        let keys = Keys::new(KeyMaterial { owner: secret("owner"), jobs: "jobs".to_owned() });
        let (attempt_id, other) = (AttemptId::random(), AttemptId::random());
        let token = keys.metadata_token(&attempt_id);
        let name = crate::docker::metadata_name(&attempt_id, &token, 3);
        assert_eq!(parse(&name, &keys), Ok((attempt_id.clone(), 3, Subject::Container)));
        assert_eq!(parse(&format!("{name}/task"), &keys), Ok((attempt_id.clone(), 3, Subject::Task)));
        for wrong in [
            "",
            "x",
            "x-1",
            "0-0/task",
            &format!("{attempt_id}-0/task"),
            &format!("{attempt_id}--0/task"),
            &crate::docker::metadata_name(&other, &token, 3),
            &format!("{name}/stats"),
        ] {
            assert!(parse(wrong, &keys).is_err(), "{wrong}");
        }
    }
}
