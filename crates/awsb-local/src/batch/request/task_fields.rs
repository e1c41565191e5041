//! The fields of a task and of its containers: their types, their values, and those that a platform
//! does not have. Pure.
//!
//! The source of all of them is the API: EcsTaskProperties and TaskContainerProperties.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::platform::{self, Platforms};
use crate::http::protocol::ApiError;

/// The JSON type of a field.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Whole,
    List,
    Object,
}

impl Kind {
    fn has(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Whole => value.is_i64(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Flag => "a boolean",
            Self::Whole => "an integer",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// API: EcsTaskProperties, without the containers.
const TASK: [(&str, Kind); 11] = [
    ("ephemeralStorage", Kind::Object),
    ("executionRoleArn", Kind::Text),
    ("platformVersion", Kind::Text),
    ("ipcMode", Kind::Text),
    ("taskRoleArn", Kind::Text),
    ("pidMode", Kind::Text),
    ("networkConfiguration", Kind::Object),
    ("runtimePlatform", Kind::Object),
    ("volumes", Kind::List),
    ("enableExecuteCommand", Kind::Flag),
    ("networkMode", Kind::Text),
];

/// API: TaskContainerProperties. It has neither `vcpus` nor `memory`, nor volumes of its own.
const CONTAINER: [(&str, Kind); 19] = [
    ("command", Kind::List),
    ("dependsOn", Kind::List),
    ("environment", Kind::List),
    ("essential", Kind::Flag),
    ("firelensConfiguration", Kind::Object),
    ("image", Kind::Text),
    ("linuxParameters", Kind::Object),
    ("logConfiguration", Kind::Object),
    ("mountPoints", Kind::List),
    ("name", Kind::Text),
    ("privileged", Kind::Flag),
    ("readonlyRootFilesystem", Kind::Flag),
    ("repositoryCredentials", Kind::Object),
    ("resourceRequirements", Kind::List),
    ("secrets", Kind::List),
    ("ulimits", Kind::List),
    ("user", Kind::Text),
    ("startTimeout", Kind::Whole),
    ("stopTimeout", Kind::Whole),
];

/// API, EcsTaskProperties.ephemeralStorage: "The minimum supported value is 21 GiB and the maximum
/// supported value is 200 GiB."
const EPHEMERAL_GIB: std::ops::RangeInclusive<i64> = 21..=200;
/// API: Volume.name.
const VOLUME_NAME_LENGTH: usize = 255;
/// API: RuntimePlatform.
const ARCHITECTURES: [&str; 2] = ["X86_64", "ARM64"];
const SYSTEMS: [&str; 5] = [
    "LINUX",
    "WINDOWS_SERVER_2019_CORE",
    "WINDOWS_SERVER_2019_FULL",
    "WINDOWS_SERVER_2022_CORE",
    "WINDOWS_SERVER_2022_FULL",
];
/// API: LogConfiguration.logDriver.
const LOG_DRIVERS: [&str; 8] =
    ["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens"];

/// The refusal of `ecsProperties`.
pub(super) fn wrong(why: &str) -> ApiError {
    ApiError::client(format!("ecsProperties: {why}"))
}

/// Removes what the API does not have, which AWS does not read either, and checks the types of the
/// rest.
fn retain(fields: &mut Map<String, Value>, known: &[(&str, Kind)]) -> Result<(), ApiError> {
    fields.retain(|name, value| !value.is_null() && known.iter().any(|(known, _)| known == name));
    for (name, kind) in known {
        if fields.get(*name).is_some_and(|value| !kind.has(value)) {
            return Err(ApiError::serialization(&format!("ecsProperties: {name} is not {}", kind.name())));
        }
    }
    Ok(())
}

/// Reads the fields of a task, without its containers.
///
/// # Errors
/// `SerializationException`, when one has another type than in the API.
pub fn retain_task(task: &mut Map<String, Value>) -> Result<(), ApiError> {
    retain(task, &TASK)
}

/// Reads the fields of a container.
///
/// # Errors
/// `SerializationException`, when one has another type than in the API.
pub fn retain_container(container: &mut Map<String, Value>) -> Result<(), ApiError> {
    retain(container, &CONTAINER)
}

/// Checks a value that is one of a few, if it is there.
fn one_of(value: &Value, field: &str, valid: &[&str]) -> Result<(), ApiError> {
    match value {
        Value::Null => Ok(()),
        value if value.as_str().is_some_and(|text| valid.contains(&text)) => Ok(()),
        value => Err(wrong(&format!("{field} must be one of {}, not {value}", valid.join(", ")))),
    }
}

/// Checks that an object, if it is there, has a text in a field.
fn required(object: &Value, name: &str, field: &str) -> Result<(), ApiError> {
    if object.is_null() || object[field].as_str().is_some_and(|text| !text.is_empty()) {
        return Ok(());
    }
    Err(wrong(&format!("{name}: {field} is required")))
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a Value {
    fields.get(name).unwrap_or(&Value::Null)
}

/// Checks the values of the fields of a task.
///
/// # Errors
/// `ClientException`, when no job of it could be.
pub fn check_task(task: &Map<String, Value>, platforms: &Platforms) -> Result<(), ApiError> {
    one_of(field(task, "ipcMode"), "ipcMode", &["host", "task", "none"])?;
    one_of(field(task, "pidMode"), "pidMode", &["host", "task"])?;
    one_of(field(task, "networkMode"), "networkMode", &["host"])?;
    if task.contains_key("networkMode") && !platforms.has_managed_instances() {
        return Err(wrong("networkMode is only for the platform MANAGED_INSTANCES"));
    }
    if task.contains_key("networkConfiguration") && !platforms.has_fargate() {
        return Err(wrong("networkConfiguration is only for the platform FARGATE"));
    }
    // API, EcsTaskProperties.ipcMode: "This parameter is not supported for jobs that run on Fargate
    // resources."
    if task.contains_key("ipcMode") && platforms.has_fargate() {
        return Err(wrong("ipcMode is not for the platform FARGATE"));
    }
    let address = &field(task, "networkConfiguration")["assignPublicIp"];
    one_of(address, "networkConfiguration: assignPublicIp", &["ENABLED", "DISABLED"])?;
    let platform = field(task, "runtimePlatform");
    one_of(&platform["cpuArchitecture"], "runtimePlatform: cpuArchitecture", &ARCHITECTURES)?;
    // API, EcsTaskProperties.runtimePlatform: "For Amazon ECS Managed Instances, the valid value
    // for operatingSystemFamily is LINUX".
    let systems = if platforms.has_managed_instances() { &SYSTEMS[..1] } else { &SYSTEMS[..] };
    one_of(&platform["operatingSystemFamily"], "runtimePlatform: operatingSystemFamily", systems)?;
    if let Some(storage) = task.get("ephemeralStorage")
        && !storage["sizeInGiB"].as_i64().is_some_and(|gib| EPHEMERAL_GIB.contains(&gib))
    {
        return Err(wrong(&format!(
            "ephemeralStorage: sizeInGiB must be {} to {}, not {}",
            EPHEMERAL_GIB.start(),
            EPHEMERAL_GIB.end(),
            storage["sizeInGiB"]
        )));
    }
    check_volumes(field(task, "volumes"), platforms)
}

fn check_volumes(volumes: &Value, platforms: &Platforms) -> Result<(), ApiError> {
    let mut names = HashSet::new();
    for volume in volumes.as_array().into_iter().flatten() {
        let name = volume["name"].as_str().unwrap_or_default();
        let is_valid = |c: char| c.is_ascii_alphanumeric() || ['-', '_'].contains(&c);
        if name.is_empty() || name.len() > VOLUME_NAME_LENGTH || !name.chars().all(is_valid) {
            return Err(wrong(&format!(
                "the name of a volume has 1 to {VOLUME_NAME_LENGTH} letters, digits, `-` and `_`, not {}",
                volume["name"]
            )));
        }
        if !names.insert(name) {
            return Err(wrong(&format!("two volumes have the name {name:?}")));
        }
        // API, Volume.host: "This parameter isn't applicable to jobs that are running on Fargate
        // resources and shouldn't be provided."
        if platforms.has_fargate() && !volume["host"]["sourcePath"].is_null() {
            return Err(wrong(&format!("volume {name}: sourcePath is not for the platform FARGATE")));
        }
        required(&volume["efsVolumeConfiguration"], "efsVolumeConfiguration", "fileSystemId")?;
        required(&volume["s3filesVolumeConfiguration"], "s3filesVolumeConfiguration", "fileSystemArn")?;
    }
    Ok(())
}

/// Checks the values of the fields of a container that no other check reads.
///
/// # Errors
/// `ClientException`, when no container of it could be.
pub fn check_container(container: &Map<String, Value>, platforms: &Platforms) -> Result<(), ApiError> {
    let log = field(container, "logConfiguration");
    required(log, "logConfiguration", "logDriver")?;
    one_of(&log["logDriver"], "logConfiguration: logDriver", &LOG_DRIVERS)?;
    let router = field(container, "firelensConfiguration");
    required(router, "firelensConfiguration", "type")?;
    one_of(&router["type"], "firelensConfiguration: type", &["fluentd", "fluentbit"])?;
    required(field(container, "repositoryCredentials"), "repositoryCredentials", "credentialsParameter")?;
    let secrets = [field(container, "secrets"), &log["secretOptions"]];
    for secret in secrets.into_iter().filter_map(Value::as_array).flatten() {
        required(secret, "secrets", "name")?;
        required(secret, "secrets", "valueFrom")?;
    }
    if !platforms.has_fargate() {
        return Ok(());
    }
    match platform::not_on_fargate(container) {
        Some(name) => Err(wrong(&format!("{name} is not for the platform FARGATE"))),
        None => Ok(()),
    }
}
