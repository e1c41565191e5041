//! Tasks of several containers: `ecsProperties` of job definitions, and `ecsPropertiesOverride` of
//! SubmitJob.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::platform::{self, Platforms};
use super::shape::{Overrides, check_platform_size, merge, not_there, resources, shape};
use super::task_fields::{self, wrong};
use crate::batch::container;
use crate::capacity::Resources;
use crate::http::protocol::ApiError;
use crate::runner::protocol::Condition;
use awsb_model::limits;

/// API, EcsProperties.taskProperties: "the task element can run up to 10 containers".
const MOST_CONTAINERS: usize = 10;
/// API, TaskContainerProperties.startTimeout and .stopTimeout: "The minimum value is 2 seconds and
/// the maximum value for Fargate is 120 seconds."
const TIMEOUT_MIN_S: i64 = 2;
const FARGATE_TIMEOUT_MAX_S: i64 = 120;
/// ECS Developer Guide, container definitions: characters of a container's name.
const NAME_LENGTH: usize = 255;
/// The name of a container that has none, in log streams (User Guide, `using_cloudwatch_logs`).
pub const UNNAMED: &str = "default";

/// A task: its containers, and what they share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// API: EcsTaskDetails, as far as the submission decides it, without the containers.
    pub properties: Map<String, Value>,
    /// API: TaskContainerDetails, likewise, in the order of the job definition.
    pub containers: Vec<Map<String, Value>>,
}

/// API: TaskContainerDependency.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    container_name: String,
    condition: String,
}

/// API: EcsPropertiesOverride.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsPropertiesOverride {
    task_properties: Option<Vec<TaskPropertiesOverride>>,
}

/// API: TaskPropertiesOverride.
#[derive(Debug, Clone, Deserialize)]
struct TaskPropertiesOverride {
    containers: Option<Vec<TaskContainerOverrides>>,
}

/// API: TaskContainerOverrides.
#[derive(Debug, Clone, Deserialize)]
struct TaskContainerOverrides {
    name: Option<String>,
    #[serde(flatten)]
    overrides: Overrides,
}

impl EcsPropertiesOverride {
    fn containers(&self) -> impl Iterator<Item = &TaskContainerOverrides> {
        let tasks = self.task_properties.iter().flatten();
        tasks.flat_map(|task| task.containers.iter().flatten())
    }

    /// The length of the overrides of all containers as JSON. ECS counts them together (ECS API,
    /// TaskOverride: "up to 8192 characters").
    pub fn length(&self) -> usize {
        self.containers().map(|container| container.overrides.length()).sum()
    }
}

/// The name of a container.
pub fn name(container: &Map<String, Value>) -> Option<&str> {
    container.get("name").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// API, TaskContainerProperties.essential: "If this parameter is omitted, a container is assumed to
/// be essential."
pub fn is_essential(container: &Map<String, Value>) -> bool {
    container.get("essential").and_then(Value::as_bool) != Some(false)
}

impl Task {
    /// Reads and checks `ecsProperties`.
    ///
    /// # Errors
    /// `ClientException`, when no job of it could be.
    pub fn read(properties: &Value, platforms: &Platforms) -> Result<Self, ApiError> {
        let tasks = properties.get("taskProperties").and_then(Value::as_array);
        let [Value::Object(task)] = tasks.map(Vec::as_slice).unwrap_or_default() else {
            return Err(wrong("taskProperties must have exactly one element"));
        };
        let mut properties = task.clone();
        let mut containers: Vec<Map<String, Value>> = properties
            .remove("containers")
            .filter(|value| !value.is_null())
            .map(shape)
            .transpose()?
            .unwrap_or_default();
        task_fields::retain_task(&mut properties)?;
        containers.iter_mut().try_for_each(task_fields::retain_container)?;
        let task = Self { properties, containers };
        task.check(platforms)?;
        Ok(task)
    }

    fn check(&self, platforms: &Platforms) -> Result<(), ApiError> {
        if self.containers.is_empty() || self.containers.len() > MOST_CONTAINERS {
            return Err(wrong(&format!(
                "a task has 1 to {MOST_CONTAINERS} containers, not {}",
                self.containers.len()
            )));
        }
        if !self.containers.iter().any(is_essential) {
            return Err(wrong("at least one container must be essential"));
        }
        self.check_names()?;
        task_fields::check_task(&self.properties, platforms)?;
        for container in &self.containers {
            let called = name(container).unwrap_or(UNNAMED);
            task_fields::check_container(container, platforms)?;
            self.dependencies(container)?;
            for field in ["startTimeout", "stopTimeout"] {
                let seconds = container.get(field).and_then(Value::as_i64);
                if seconds.is_some_and(|s| {
                    s < TIMEOUT_MIN_S || (platforms.has_fargate() && s > FARGATE_TIMEOUT_MAX_S)
                }) {
                    return Err(wrong(&format!(
                        "container {called}: {field} must be {TIMEOUT_MIN_S} seconds or more (on Fargate up \
                         to {FARGATE_TIMEOUT_MAX_S})"
                    )));
                }
            }
        }
        self.check_circles()
    }

    fn check_names(&self) -> Result<(), ApiError> {
        let mut names = HashSet::new();
        for container in &self.containers {
            let Some(name) = name(container) else {
                // Nothing could depend on it, or override it.
                if self.containers.len() > 1 {
                    return Err(wrong("each of several containers needs a name"));
                }
                continue;
            };
            let is_valid = |c: char| c.is_ascii_alphanumeric() || ['-', '_'].contains(&c);
            if name.len() > NAME_LENGTH || !name.chars().all(is_valid) {
                return Err(wrong(&format!(
                    "the name of a container has up to {NAME_LENGTH} letters, digits, `-` and `_`, not {name:?}"
                )));
            }
            if !names.insert(name) {
                return Err(wrong(&format!("two containers have the name {name:?}")));
            }
        }
        Ok(())
    }

    /// The dependencies of a container: the indices of other containers, and the conditions.
    ///
    /// # Errors
    /// `ClientException`, when a condition cannot be.
    pub fn dependencies(&self, container: &Map<String, Value>) -> Result<Vec<(usize, Condition)>, ApiError> {
        let called = name(container).unwrap_or(UNNAMED);
        let all: Option<Vec<Dependency>> =
            container.get("dependsOn").filter(|value| !value.is_null()).cloned().map(shape).transpose()?;
        let one = |dependency: Dependency| {
            let other = &dependency.container_name;
            let found = self.containers.iter().position(|c| name(c) == Some(other.as_str()));
            let Some(index) = found else {
                return Err(wrong(&format!("container {called} depends on {other:?}, which is not there")));
            };
            let condition = match dependency.condition.as_str() {
                "START" => Condition::Start,
                "COMPLETE" => Condition::Complete,
                "SUCCESS" => Condition::Success,
                condition => {
                    return Err(wrong(&format!(
                        "container {called}: the condition of dependsOn must be START, COMPLETE or SUCCESS, \
                         not {condition:?}"
                    )));
                }
            };
            // API, TaskContainerDependency.condition: "This condition can't be set on an essential
            // container."
            if condition != Condition::Start && self.containers.get(index).is_some_and(is_essential) {
                return Err(wrong(&format!(
                    "container {called} depends on {other:?} with the condition {}, which cannot be set on an \
                     essential container",
                    dependency.condition
                )));
            }
            Ok((index, condition))
        };
        all.unwrap_or_default().into_iter().map(one).collect()
    }

    /// Checks that no container waits for itself, be it through others.
    fn check_circles(&self) -> Result<(), ApiError> {
        let waits: Vec<Vec<usize>> = self
            .containers
            .iter()
            .map(|container| Ok(self.dependencies(container)?.into_iter().map(|(index, _)| index).collect()))
            .collect::<Result<_, ApiError>>()?;
        let mut left: Vec<usize> = (0..self.containers.len()).collect();
        loop {
            let free =
                |at: &usize| waits.get(*at).is_none_or(|on| on.iter().all(|other| !left.contains(other)));
            let Some(place) = left.iter().position(free) else { break };
            left.remove(place);
        }
        match left.first().and_then(|at| self.containers.get(*at)) {
            Some(container) => Err(wrong(&format!(
                "container {} waits for itself: dependsOn is a circle",
                name(container).unwrap_or(UNNAMED)
            ))),
            None => Ok(()),
        }
    }

    /// The index of the main container: the first essential one.
    pub fn main(&self) -> usize {
        self.containers.iter().position(is_essential).unwrap_or(0)
    }

    /// A container with the volumes of the task, as a job of one container has them.
    pub fn with_volumes(&self, container: &Map<String, Value>) -> Map<String, Value> {
        let mut container = container.clone();
        if let Some(volumes) = self.properties.get("volumes") {
            container.insert("volumes".to_owned(), volumes.clone());
        }
        container
    }

    /// Merges the overrides of a request into the containers.
    ///
    /// # Errors
    /// `ClientException`, when the overrides are for another container.
    pub fn apply(&mut self, overrides: &EcsPropertiesOverride) -> Result<(), ApiError> {
        if overrides.task_properties.as_ref().is_some_and(|tasks| tasks.len() > 1) {
            return Err(ApiError::client("ecsPropertiesOverride: taskProperties has more than one element"));
        }
        let mut overridden = HashSet::new();
        for given in overrides.containers() {
            let wanted = given.name.as_deref().filter(|name| !name.is_empty());
            let names: Vec<String> = self.containers.iter().filter_map(name).map(str::to_owned).collect();
            let at = match wanted {
                Some(wanted) => self.containers.iter().position(|c| name(c) == Some(wanted)),
                // Unverified: a container without a name is overridden without one.
                None => (self.containers.len() == 1).then_some(0),
            };
            let Some(container) = at.and_then(|at| self.containers.get_mut(at)) else {
                return Err(ApiError::client(format!(
                    "ecsPropertiesOverride: the job definition has no container {:?}; it has {}",
                    wanted.unwrap_or_default(),
                    if names.is_empty() { "one without a name".to_owned() } else { names.join(", ") }
                )));
            };
            if !overridden.insert(at) {
                return Err(ApiError::client(format!(
                    "ecsPropertiesOverride: the container {:?} is there twice",
                    wanted.unwrap_or_default()
                )));
            }
            merge(container, &given.overrides.clone().of_task_container())?;
        }
        Ok(())
    }

    /// The resources of all containers together.
    ///
    /// # Errors
    /// `ClientException`, when a container does not say what it needs.
    pub fn resources(&self) -> Result<Resources, ApiError> {
        let mut all = Resources::default();
        for container in &self.containers {
            all.add(&resources(container)?);
        }
        Ok(all)
    }

    /// Checks the sizes of the containers on the platform of their job definition. On Fargate, all
    /// of them together have one of Fargate's sizes.
    ///
    /// # Errors
    /// `ClientException`, when the platform has no such size.
    pub fn check_size(&self, definition: &Value) -> Result<(), ApiError> {
        if !Platforms::of(definition).has_fargate() {
            return self
                .containers
                .iter()
                .try_for_each(|container| check_platform_size(definition, container));
        }
        for container in &self.containers {
            if let Some(name) = platform::not_on_fargate(container) {
                return Err(wrong(&format!("{name} is not for the platform FARGATE")));
            }
        }
        let requirements = self.containers.iter().filter_map(|c| c.get("resourceRequirements")?.as_array());
        let requirements: Vec<&Value> = requirements.flatten().collect();
        let sum = |kind: &str| -> Option<f64> {
            let values = requirements.iter().filter(|requirement| requirement["type"] == kind);
            values.map(|requirement| requirement["value"].as_str()?.parse::<f64>().ok()).sum()
        };
        let (Some(vcpus), Some(memory)) = (sum("VCPU"), sum("MEMORY")) else { return Ok(()) };
        let all = json!({"resourceRequirements": [
            {"type": "VCPU", "value": vcpus.to_string()}, {"type": "MEMORY", "value": memory.to_string()}]});
        all.as_object().map_or(Ok(()), |all| check_platform_size(definition, all))
    }

    /// Checks that this cluster can run the task.
    ///
    /// # Errors
    /// `ClientException`, with what to do instead.
    pub fn check_runnable(&self) -> Result<(), ApiError> {
        for container in &self.containers {
            let merged = self.with_volumes(container);
            if !container::is_contained(container) {
                if self.containers.len() > 1 {
                    return Err(not_there(
                        "tasks of several containers of which one is a process of this machine (the image \
                         \"host\"): a process has no network of its own to share",
                    ));
                }
                container::check_process(&merged)?;
            } else {
                container::check_runnable(&merged)?;
            }
            if container.get("firelensConfiguration").is_some_and(|value| !value.is_null()) {
                return Err(not_there(
                    "FireLens (firelensConfiguration): the output of containers goes to CloudWatch Logs",
                ));
            }
        }
        Ok(())
    }

    /// API: EcsTaskProperties, as a job definition or an answer has it.
    pub fn to_json(&self, containers: Vec<Value>) -> Value {
        let mut task = self.properties.clone();
        task.insert("containers".to_owned(), json!(containers));
        Value::Object(task)
    }
}

/// The reason for which a job of so long overrides fails.
pub fn too_long(length: usize) -> Option<String> {
    (length > limits::OVERRIDES_LENGTH)
        .then(|| format!("Container Overrides length must be at most {}", limits::OVERRIDES_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::super::task_tests::container;
    use super::*;

    fn read(containers: Value, more: Value) -> Result<Task, String> {
        let mut task = json!({ "containers": containers });
        for (key, value) in more.as_object().unwrap() {
            task[key] = value.clone();
        }
        let none = Platforms::of(&Value::Null);
        Task::read(&json!({"taskProperties": [task]}), &none).map_err(|e| e.message)
    }

    fn two(first: Value, second: Value) -> Value {
        json!([container(first), container(second)])
    }

    #[test]
    fn a_task_and_its_main_container() {
        let extra = json!({"name": "setup", "essential": false});
        let main = json!({"name": "main", "dependsOn": [{"containerName": "setup", "condition": "SUCCESS"}]});
        let mut task = read(two(extra, main), json!({"ipcMode": "task"})).unwrap();
        assert_eq!(task.main(), 1);
        assert_eq!(task.dependencies(&task.containers[1]).unwrap(), [(0, Condition::Success)]);
        assert_eq!(task.resources().unwrap(), Resources { vcpus: 2, memory_mib: 128, gpus: 0 });
        let overrides = json!({"taskProperties": [{"containers": [{"name": "main", "command": ["x"],
            "resourceRequirements": [{"type": "MEMORY", "value": "256"}]}]}]});
        let overrides: EcsPropertiesOverride = shape(overrides).unwrap();
        task.apply(&overrides).unwrap();
        assert_eq!(task.containers[1]["command"], json!(["x"]));
        assert_eq!(task.resources().unwrap().memory_mib, 320);
        let unknown = json!({"taskProperties": [{"containers": [{"name": "other"}]}]});
        let why = task.apply(&shape(unknown).unwrap()).unwrap_err().message;
        assert!(why.contains("\"other\"; it has setup, main"), "{why}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let name = |name: &str| json!({ "name": name });
        let on = |name: &str, other: &str, condition: &str| json!({"name": name, "dependsOn": [{"containerName": other, "condition": condition}]});
        for (containers, more, words) in [
            (json!([]), json!({}), "1 to 10 containers, not 0"),
            (json!(vec![container(json!({})); 11]), json!({}), "not 11"),
            (json!([container(json!({"essential": false}))]), json!({}), "at least one container"),
            (two(json!({}), name("b")), json!({}), "needs a name"),
            (two(name("a"), name("a")), json!({}), "two containers have the name"),
            (two(name("a b"), name("c")), json!({}), "letters, digits"),
            (two(name("a"), on("b", "x", "START")), json!({}), "which is not there"),
            (two(name("a"), on("b", "a", "HEALTHY")), json!({}), "START, COMPLETE or SUCCESS"),
            (two(name("a"), on("b", "a", "SUCCESS")), json!({}), "essential container"),
            (two(on("a", "b", "START"), on("b", "a", "START")), json!({}), "circle"),
            (json!([container(json!({"stopTimeout": 1}))]), json!({}), "stopTimeout"),
            (json!([container(json!({}))]), json!({"ipcMode": "all"}), "ipcMode must be one of"),
            (json!([container(json!({}))]), json!({"networkMode": "host"}), "MANAGED_INSTANCES"),
        ] {
            let why = read(containers, more).unwrap_err();
            assert!(why.contains(words), "{why}: {words}");
        }
        let none = Platforms::of(&Value::Null);
        assert!(Task::read(&json!({"taskProperties": []}), &none).is_err());
        assert!(Task::read(&json!({"taskProperties": [{}, {}]}), &none).is_err());
    }
}
