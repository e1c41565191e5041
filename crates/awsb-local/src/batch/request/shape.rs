//! Containers in requests and job definitions: reading them, and merging overrides into them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::capacity::Resources;
use crate::http::protocol::ApiError;
use awsb_model::FargateSize;

/// API: ContainerOverrides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    command: Option<Vec<String>>,
    environment: Option<Vec<Variable>>,
    resource_requirements: Option<Vec<Requirement>>,
    instance_type: Option<String>,
    vcpus: Option<i64>,
    memory: Option<i64>,
}

impl Overrides {
    /// The overrides that a container of a task can have (API: TaskContainerOverrides).
    pub fn of_task_container(self) -> Self {
        Self { instance_type: None, vcpus: None, memory: None, ..self }
    }

    /// API: ContainerOverrides.instanceType.
    pub fn instance_type(&self) -> Option<&str> {
        self.instance_type.as_deref()
    }

    /// The length of their JSON, without what Batch itself adds.
    pub fn length(&self) -> usize {
        let value = json!({"command": self.command, "environment": self.environment});
        value.to_string().len()
    }
}

/// API: KeyValuePair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Variable {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The value.
    #[serde(default)]
    pub value: String,
}

/// API: ResourceRequirement.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

/// Reads a value of a type of the API.
pub fn shape<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|e| ApiError::serialization(&e.to_string()))
}

/// A value as JSON.
pub fn to_value(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|e| ApiError::server(e.to_string()))
}

/// The refusal of a feature that the local cluster does not have.
pub fn not_there(what: &str) -> ApiError {
    ApiError::client(format!("The local cluster does not have {what}."))
}

/// Merges overrides into a container, as the API says for each of them: the command replaces,
/// variables and requirements replace those of the same name and add the others.
pub fn merge(container: &mut Map<String, Value>, overrides: &Overrides) -> Result<(), ApiError> {
    if let Some(command) = overrides.command.as_ref().filter(|c| !c.is_empty()) {
        container.insert("command".into(), json!(command));
    }
    if let Some(given) = &overrides.environment {
        let mut all: Vec<Variable> =
            container.get("environment").cloned().map(shape).transpose()?.unwrap_or_default();
        for variable in given {
            check_variable(&variable.name)?;
            all.retain(|v| v.name != variable.name);
            all.push(variable.clone());
        }
        container.insert("environment".into(), to_value(&all)?);
    }
    // API, ContainerOverrides.vcpus and .memory: deprecated; they override the fields of the same
    // name in the job definition, but not what its resourceRequirements say.
    for (field, value) in [("vcpus", overrides.vcpus), ("memory", overrides.memory)] {
        if let Some(value) = value {
            container.insert(field.into(), json!(value));
        }
    }
    if let Some(kind) = &overrides.instance_type {
        container.insert("instanceType".into(), json!(kind));
    }
    if let Some(given) = overrides.resource_requirements.as_ref().filter(|r| !r.is_empty()) {
        let mut all: Vec<Requirement> =
            container.get("resourceRequirements").cloned().map(shape).transpose()?.unwrap_or_default();
        for requirement in given {
            all.retain(|r| r.kind != requirement.kind);
            all.push(requirement.clone());
        }
        container.insert("resourceRequirements".into(), to_value(&all)?);
    }
    Ok(())
}

/// Checks a name of a variable: a process can have it, and it is not reserved for Batch.
pub fn check_variable(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.contains('=') || name.contains('\0') {
        return Err(ApiError::client(format!("{name:?} is not a name of an environment variable")));
    }
    // API: "Environment variables cannot start with AWS_BATCH. This naming convention is reserved".
    if name.starts_with("AWS_BATCH") {
        return Err(ApiError::client(format!(
            "environment variables cannot start with \"AWS_BATCH\": {name}"
        )));
    }
    Ok(())
}

/// API, ResourceRequirement.value: parts of a vCPU that a job on Fargate may have.
const FARGATE_FRACTIONS: [&str; 2] = ["0.25", "0.5"];

/// Checks the size of a container on the platform of its job definition: on Fargate it is one of
/// Fargate's pairs, and on EC2 it has whole vCPUs. The check is the same after SubmitJob's
/// overrides.
pub fn check_platform_size(definition: &Value, container: &Map<String, Value>) -> Result<(), ApiError> {
    let platforms = definition.get("platformCapabilities").and_then(Value::as_array);
    match platforms.into_iter().flatten().any(|platform| platform == "FARGATE") {
        true => check_fargate_size(container),
        false => check_whole_vcpus(container),
    }
}

/// API, ResourceRequirement.value: "The supported values are 0.25, 0.5, 1, 2, 4, 8, 16, and 32",
/// each with some sizes of memory.
fn check_fargate_size(container: &Map<String, Value>) -> Result<(), ApiError> {
    let requirements: Vec<Requirement> =
        container.get("resourceRequirements").cloned().map(shape).transpose()?.unwrap_or_default();
    let value = |kind: &str| requirements.iter().find(|r| r.kind == kind).map(|r| r.value.as_str());
    let vcpus = value("VCPU").and_then(|vcpus| vcpus.parse::<f64>().ok());
    let memory_mib = value("MEMORY").and_then(|memory| memory.parse::<u64>().ok());
    // What is missing or not a number has a message of its own.
    let (Some(vcpus), Some(memory_mib)) = (vcpus, memory_mib) else { return Ok(()) };
    FargateSize { vcpus, memory_mib }.check().map_err(|e| {
        ApiError::client(format!(
            "Fargate resource requirements ({vcpus:.2} vCPU, {memory_mib} MiB) not valid: {e}"
        ))
    })
}

/// Checks that a job on EC2 has whole vCPUs.
fn check_whole_vcpus(container: &Map<String, Value>) -> Result<(), ApiError> {
    let requirements = container.get("resourceRequirements").and_then(Value::as_array);
    let is_part = |requirement: &&Value| {
        requirement["type"] == "VCPU"
            && requirement["value"].as_str().is_some_and(|value| FARGATE_FRACTIONS.contains(&value))
    };
    match requirements.into_iter().flatten().find(is_part) {
        Some(part) => Err(ApiError::client(format!(
            "resourceRequirements: VCPU: {} is a value for Fargate, and platformCapabilities does not have FARGATE",
            part["value"]
        ))),
        None => Ok(()),
    }
}

/// The resources that each attempt needs, from `resourceRequirements` or the deprecated `vcpus` and
/// `memory`.
pub fn resources(container: &Map<String, Value>) -> Result<Resources, ApiError> {
    let requirements: Vec<Requirement> =
        container.get("resourceRequirements").cloned().map(shape).transpose()?.unwrap_or_default();
    if let Some(other) = requirements.iter().find(|r| !matches!(r.kind.as_str(), "VCPU" | "MEMORY" | "GPU")) {
        return Err(ApiError::client(format!("resourceRequirements: unknown type {:?}", other.kind)));
    }
    let amount = |kind: &str, old: &str| -> Result<Option<u64>, ApiError> {
        let invalid =
            |value: &str| ApiError::client(format!("resourceRequirements: {kind}: invalid value {value:?}"));
        match requirements.iter().find(|r| r.kind == kind) {
            // On this machine such a job has a whole CPU.
            Some(r) if kind == "VCPU" && FARGATE_FRACTIONS.contains(&r.value.as_str()) => Ok(Some(1)),
            Some(r) => r.value.parse().map(Some).map_err(|_| invalid(&r.value)),
            None => match container.get(old).filter(|v| !v.is_null()) {
                Some(value) => value.as_u64().map(Some).ok_or_else(|| invalid(&value.to_string())),
                None => Ok(None),
            },
        }
    };
    let gpus = amount("GPU", "")?.unwrap_or(0);
    let gpus = u32::try_from(gpus).map_err(|_| ApiError::client("too many GPUs"))?;
    let vcpus = amount("VCPU", "vcpus")?
        .ok_or_else(|| ApiError::client("vCPUs are required: resourceRequirements VCPU"))?;
    let memory = amount("MEMORY", "memory")?
        .ok_or_else(|| ApiError::client("memory is required: resourceRequirements MEMORY"))?;
    // API, ResourceRequirement: "at least one vCPU", "at least 4 MiB".
    if vcpus < 1 {
        return Err(ApiError::client("a container needs at least 1 vCPU"));
    }
    if memory < 4 {
        return Err(ApiError::client("a container needs at least 4 MiB of memory"));
    }
    let vcpus = u32::try_from(vcpus).map_err(|_| ApiError::client("too many vCPUs"))?;
    Ok(Resources { vcpus, memory_mib: memory, gpus })
}
