//! The part of ECS that says on which machine the jobs run: this one, as the only container
//! instance of the cluster that the compute environment names. And ECS Exec: commands that run
//! where a job runs.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::operation::Ecs;
use crate::batch::{
    Handle, Reader, RunningContainer, RunningTask, container_arn, ecs_cluster_arn as cluster_arn,
    instance_arn, task_arn,
};
use crate::capacity::Resources;
use crate::constants::{ACCOUNT, COMPUTE_ENVIRONMENT, INSTANCE_ID, INSTANCE_TYPE, REGION, ZONE};
use crate::http::body::json_shape;
use crate::http::protocol::ApiError;
use crate::runner::protocol::{AttemptId, ContainerState};
use crate::sessions::registry::{Place, Task};
use crate::ssm::SessionOpener;
use awsb_model::command_line;

/// API: up to 100 clusters or container instances can be described at once.
const MOST_DESCRIBED: usize = 100;
/// ECS counts 1,024 units for each vCPU (API: Resource, Developer Guide
/// `task_definition_parameters`).
const UNITS: u32 = 1024;

/// The longest command (API, ExecuteCommand, names no limit; this one is of the local cluster).
const LONGEST_COMMAND: usize = 64 * 1024;

/// ECS, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    reader: Reader,
    opener: SessionOpener,
    /// When this machine was registered: when the server started, in milliseconds since the epoch.
    registered_at: i64,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "InvalidParameterException", message)
}

/// Whether a name or an ARN means the one cluster.
fn is_cluster(text: &str) -> bool {
    text == COMPUTE_ENVIRONMENT || text == cluster_arn()
}

/// API: without a cluster "the default cluster is assumed", which is not there.
fn check_cluster(cluster: Option<&str>) -> Result<(), ApiError> {
    if cluster.is_some_and(is_cluster) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::BAD_REQUEST, "ClusterNotFoundException", "Cluster not found."))
}

/// Whether an ID or an ARN means this machine.
fn is_instance(text: &str) -> bool {
    let arn = instance_arn();
    text == arn || arn.rsplit('/').next() == Some(text)
}

fn check_page(max_results: Option<i64>, next_token: Option<&str>) -> Result<(), ApiError> {
    // API: "This value can be between 1 and 100."
    if max_results.is_some_and(|most| !(1..=100).contains(&most)) {
        return Err(invalid("maxResults should be between 1 and 100."));
    }
    // There is one page, so no answer has had a token.
    if next_token.is_some_and(|token| !token.is_empty()) {
        return Err(invalid("Invalid token."));
    }
    Ok(())
}

/// How many of something are described at once.
fn check_count(what: &str, names: &[String]) -> Result<(), ApiError> {
    match names.len() {
        0 => Err(invalid(format!("{what} cannot be empty."))),
        1..=MOST_DESCRIBED => Ok(()),
        n => Err(invalid(format!("up to {MOST_DESCRIBED} can be described at once, not {n}: {what}"))),
    }
}

/// API: LocalError, of something that is not there.
fn missing(kind: &str, name: &str) -> Value {
    let arn = match name.starts_with("arn:") {
        true => name.to_owned(),
        false => format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{name}"),
    };
    json!({"arn": arn, "reason": "MISSING"})
}

/// API: Resource, for CPU, memory and GPUs.
fn resources(resources: &Resources) -> Value {
    let resource = |name: &str, value: i64| {
        let value = i32::try_from(value).unwrap_or(i32::MAX);
        json!({"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value})
    };
    let mut all = vec![
        resource("CPU", i64::from(resources.vcpus) * i64::from(UNITS)),
        resource("MEMORY", i64::try_from(resources.memory_mib).unwrap_or(i64::MAX)),
    ];
    if resources.gpus > 0 {
        let ids: Vec<String> = (0..resources.gpus).map(|n| n.to_string()).collect();
        all.push(json!({"name": "GPU", "type": "STRINGSET", "stringSetValue": ids}));
    }
    Value::Array(all)
}

impl Api {
    /// ECS over what the engine knows of this machine.
    pub fn new(engine: Handle, reader: Reader, registered_at: i64, opener: SessionOpener) -> Self {
        Self { engine, reader, opener, registered_at }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(&self, operation: Ecs, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            Ecs::ListContainerInstances => list_container_instances(body),
            Ecs::DescribeContainerInstances => self.describe_container_instances(body).await,
            Ecs::ListClusters => list_clusters(body),
            Ecs::DescribeClusters => self.describe_clusters(body).await,
            Ecs::DescribeTasks => self.describe_tasks(body).await,
            Ecs::ExecuteCommand => self.execute_command(body).await,
        }
    }

    /// The tasks that are about to run, or run. AWS has stopped ones for an hour more.
    async fn describe_tasks(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct Request {
            cluster: Option<String>,
            tasks: Option<Vec<String>>,
        }
        let request: Request = json_shape(body)?;
        let names = request.tasks.unwrap_or_default();
        check_count("Tasks", &names)?;
        check_cluster(request.cluster.as_deref())?;
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let attempt_id = attempt_of(&name);
            let found = match &attempt_id {
                Some(attempt_id) => self.engine.task(attempt_id.clone()).await?,
                None => None,
            };
            match (attempt_id, found) {
                (Some(attempt_id), Some(found)) => tasks.push(task(&attempt_id, &found)),
                _ => failures.push(missing("task", &name)),
            }
        }
        Ok(json!({"tasks": tasks, "failures": failures}))
    }

    /// API: ExecuteCommand. The task needs neither `enableExecuteCommand` nor a role here: there is
    /// no agent that would need one.
    async fn execute_command(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct Request {
            cluster: Option<String>,
            task: Option<String>,
            container: Option<String>,
            command: Option<String>,
            interactive: Option<bool>,
        }
        let request: Request = json_shape(body)?;
        check_cluster(request.cluster.as_deref())?;
        // API: "interactive … Amazon ECS only supports initiating interactive sessions, so you must
        // specify true for this value."
        if request.interactive != Some(true) {
            return Err(invalid("Interactive is the only mode supported currently."));
        }
        let line = request.command.unwrap_or_default();
        if line.len() > LONGEST_COMMAND {
            return Err(invalid(format!("The command has at most {LONGEST_COMMAND} bytes.")));
        }
        let command =
            command_line::to_words(&line).ok_or_else(|| invalid("The command is empty, or not closed."))?;
        let name = request.task.unwrap_or_default();
        let attempt_id = attempt_of(&name).ok_or_else(|| invalid("The referenced task was not found."))?;
        let found = self.engine.task(attempt_id.clone()).await?;
        let found = found
            .filter(|task| task.is_running)
            .ok_or_else(|| invalid("The referenced task is not running, or was not found."))?;
        let container = container_of(&found.containers, request.container.as_deref())?;
        let place = match found.place {
            Place::Container(_) => Place::Container(container.name_on_engine.clone()),
            place @ Place::Host(..) => place,
        };
        let session = self.opener.open(Task::Command { attempt_id: attempt_id.clone(), command, place })?;
        Ok(json!({
            "clusterArn": cluster_arn(),
            "containerArn": container_arn(attempt_id.as_str(), &container.name),
            "containerName": container.name,
            "interactive": true,
            "session": {
                "sessionId": session.id,
                "streamUrl": session.stream_url,
                "tokenValue": session.token,
            },
            "taskArn": task_arn(attempt_id.as_str()),
        }))
    }

    /// How many attempts are about to run, and how many run.
    async fn tasks(&self) -> Result<(u32, u32), ApiError> {
        self.reader.read(|db| Ok(db.assigned_tasks()?)).await
    }

    async fn describe_container_instances(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            cluster: Option<String>,
            container_instances: Option<Vec<String>>,
        }
        let request: Request = json_shape(body)?;
        let names = request.container_instances.unwrap_or_default();
        check_count("Container instances", &names)?;
        check_cluster(request.cluster.as_deref())?;
        let (ours, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|n| is_instance(n));
        let mut instances = Vec::new();
        if !ours.is_empty() {
            instances.push(self.instance().await?);
        }
        let failures: Vec<Value> = others.iter().map(|n| missing("container-instance", n)).collect();
        Ok(json!({"containerInstances": instances, "failures": failures}))
    }

    /// API: ContainerInstance.
    async fn instance(&self) -> Result<Value, ApiError> {
        let (capacity, free) = self.engine.resources();
        let (pending, running) = self.tasks().await?;
        Ok(json!({
            "containerInstanceArn": instance_arn(),
            "ec2InstanceId": INSTANCE_ID,
            "version": 1,
            "versionInfo": {},
            "registeredResources": resources(&capacity),
            "remainingResources": resources(&free),
            "status": "ACTIVE",
            "agentConnected": true,
            "runningTasksCount": running,
            "pendingTasksCount": pending,
            "attributes": [
                {"name": "ecs.availability-zone", "value": ZONE},
                {"name": "ecs.instance-type", "value": INSTANCE_TYPE},
                {"name": "ecs.os-type", "value": std::env::consts::OS},
                {"name": "ecs.cpu-architecture", "value": std::env::consts::ARCH},
            ],
            // Seconds, as this protocol gives times.
            "registeredAt": self.registered_at as f64 / 1000.0,
            "attachments": [],
            "tags": [],
        }))
    }

    async fn describe_clusters(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct Request {
            clusters: Option<Vec<String>>,
        }
        let names = json_shape::<Request>(body)?.clusters.unwrap_or_else(|| vec!["default".to_owned()]);
        check_count("Clusters", &names)?;
        let (ours, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|n| is_cluster(n));
        let mut clusters = Vec::new();
        if !ours.is_empty() {
            let (pending, running) = self.tasks().await?;
            clusters.push(json!({
                "clusterArn": cluster_arn(),
                "clusterName": COMPUTE_ENVIRONMENT,
                "status": "ACTIVE",
                "registeredContainerInstancesCount": 1,
                "runningTasksCount": running,
                "pendingTasksCount": pending,
                "activeServicesCount": 0,
                "statistics": [],
                "tags": [],
                "settings": [],
                "capacityProviders": [],
                "defaultCapacityProviderStrategy": [],
            }));
        }
        let failures: Vec<Value> = others.iter().map(|n| missing("cluster", n)).collect();
        Ok(json!({"clusters": clusters, "failures": failures}))
    }
}

/// The attempt that an ID or an ARN of a task names.
fn attempt_of(text: &str) -> Option<AttemptId> {
    let id = match text.starts_with("arn:") {
        true => text.strip_prefix(task_arn("").as_str())?,
        false => text,
    };
    AttemptId::parse(id.to_owned())
}

/// The container of a task that is named. API, ExecuteCommand.container: "A container name only
/// needs to be specified for tasks containing multiple containers."
fn container_of<'a>(
    containers: &'a [RunningContainer],
    name: Option<&str>,
) -> Result<&'a RunningContainer, ApiError> {
    let found = match (name.filter(|name| !name.is_empty()), containers) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), _) => containers.iter().find(|container| container.name == name),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
        invalid(format!("The container has to be one of the task's: {}.", names.join(", ")))
    })
}

/// API: Task.
fn task(attempt_id: &AttemptId, task: &RunningTask) -> Value {
    let status = if task.is_running { "RUNNING" } else { "PENDING" };
    let arn = task_arn(attempt_id.as_str());
    let containers = (1..).zip(&task.containers).map(|(number, container)| {
        let state = container.state.as_ref();
        // A process of the host has no state of its own.
        let status = match state {
            Some(ContainerState { ended_at: Some(_), .. }) => "STOPPED",
            Some(_) => "RUNNING",
            None if task.containers.len() == 1 => status,
            None => "PENDING",
        };
        let mut shown = json!({
            "containerArn": container_arn(attempt_id.as_str(), &container.name),
            "taskArn": arn,
            "name": container.name,
            "lastStatus": status,
            "runtimeId": format!("{attempt_id}-{number}"),
            // Commands run without an agent here.
            "managedAgents": [],
        });
        if let Some(exit_code) = state.and_then(|state| state.exit_code) {
            shown["exitCode"] = json!(exit_code);
        }
        shown
    });
    let containers: Vec<Value> = containers.collect();
    json!({
        "taskArn": arn,
        "clusterArn": cluster_arn(),
        "containerInstanceArn": instance_arn(),
        "launchType": "EC2",
        "lastStatus": status,
        "desiredStatus": "RUNNING",
        "enableExecuteCommand": true,
        "startedAt": task.started_at.map(|ms| ms as f64 / 1000.0),
        "containers": containers,
        "attachments": [],
        "tags": [],
    })
}

fn list_container_instances(body: &[u8]) -> Result<Value, ApiError> {
    // `filter` is accepted and does not filter: nobody has to search for the one that is there.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        cluster: Option<String>,
        next_token: Option<String>,
        max_results: Option<i64>,
        status: Option<String>,
    }
    let request: Request = json_shape(body)?;
    check_page(request.max_results, request.next_token.as_deref())?;
    check_cluster(request.cluster.as_deref())?;
    let arns = match request.status.as_deref() {
        None | Some("ACTIVE") => vec![instance_arn()],
        Some("DRAINING" | "REGISTERING" | "DEREGISTERING" | "REGISTRATION_FAILED") => Vec::new(),
        Some(other) => return Err(invalid(format!("unknown container instance status {other:?}"))),
    };
    Ok(json!({"containerInstanceArns": arns}))
}

fn list_clusters(body: &[u8]) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        next_token: Option<String>,
        max_results: Option<i64>,
    }
    let request: Request = json_shape(body)?;
    check_page(request.max_results, request.next_token.as_deref())?;
    Ok(json!({"clusterArns": [cluster_arn()]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_several_containers_has_to_be_named() {
        let containers = ["side", "main"].map(|name| RunningContainer {
            name: name.to_owned(),
            name_on_engine: format!("awsb-{name}"),
            state: None,
        });
        let chosen = |containers, name| {
            let found = container_of(containers, name).map(|container| container.name_on_engine.as_str());
            found.map_err(|e| e.message)
        };
        assert_eq!(chosen(&containers, Some("main")), Ok("awsb-main"));
        assert_eq!(chosen(&containers[..1], None), Ok("awsb-side"));
        for name in [None, Some("other")] {
            let refused = chosen(&containers, name).unwrap_err();
            assert!(refused.contains("side, main"), "{refused}");
        }
    }

    #[test]
    fn the_instance_and_the_cluster_are_named_in_two_ways() {
        assert!(is_instance("local") && is_instance(&instance_arn()));
        assert!(!is_instance("other") && !is_instance(""));
        assert!(check_cluster(Some("local")).is_ok() && check_cluster(Some(&cluster_arn())).is_ok());
        for unknown in [None, Some("default"), Some("")] {
            assert_eq!(check_cluster(unknown).unwrap_err().code, "ClusterNotFoundException");
        }
    }

    #[test]
    fn cpus_are_counted_in_units_and_memory_in_mib() {
        let two = Resources { vcpus: 2, memory_mib: 4096, gpus: 1 };
        let values = resources(&two);
        assert_eq!((&values[0]["name"], &values[0]["integerValue"]), (&json!("CPU"), &json!(2048)));
        assert_eq!((&values[1]["name"], &values[1]["integerValue"]), (&json!("MEMORY"), &json!(4096)));
        assert_eq!(values[2]["stringSetValue"], json!(["0"]));
    }
}
