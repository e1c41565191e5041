//! The fields of a container that jobs on one platform can have, and jobs on another one cannot.
//! Pure.
//!
//! The source of all of them is the API: ContainerProperties, LinuxParameters, ResourceRequirement,
//! Host and RegisterJobDefinition.

use serde_json::{Map, Value};

use crate::http::protocol::ApiError;

/// LinuxParameters: "This parameter isn't applicable to jobs that are running on Fargate
/// resources."
const LINUX_NOT_ON_FARGATE: [&str; 5] = ["devices", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness"];
/// ContainerProperties: fields that are not for jobs on Fargate.
const NOT_ON_FARGATE: [&str; 4] = ["ulimits", "instanceType", "vcpus", "memory"];
/// ContainerProperties: "Jobs that are running on Amazon EC2 resources must not specify this
/// parameter."
const ONLY_ON_FARGATE: [&str; 2] = ["networkConfiguration", "fargatePlatformConfiguration"];

/// API: RegisterJobDefinition.platformCapabilities.
#[derive(Debug, Clone)]
pub struct Platforms(Vec<String>);

/// API: PlatformCapability.
const PLATFORMS: [&str; 3] = ["EC2", "FARGATE", "MANAGED_INSTANCES"];

impl Platforms {
    /// Those of a job definition that is to be registered.
    ///
    /// # Errors
    /// `SerializationException`, when they are not a list, and `ClientException`, when one of them
    /// is unknown.
    pub fn read(definition: &Value) -> Result<Self, ApiError> {
        match &definition["platformCapabilities"] {
            Value::Null => {}
            Value::Array(all) => {
                let is_valid = |platform: &&Value| platform.as_str().is_some_and(|p| PLATFORMS.contains(&p));
                if let Some(other) = all.iter().find(|platform| !is_valid(platform)) {
                    return Err(ApiError::client(format!(
                        "platformCapabilities must be of {}, not {other}",
                        PLATFORMS.join(", ")
                    )));
                }
            }
            _ => return Err(ApiError::serialization("platformCapabilities is not a list")),
        }
        Ok(Self::of(definition))
    }

    /// Those of a job definition.
    pub fn of(definition: &Value) -> Self {
        let all = definition.get("platformCapabilities").and_then(Value::as_array);
        Self(all.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn has(&self, platform: &str) -> bool {
        self.0.iter().any(|p| p == platform)
    }

    /// Whether jobs run on ECS Managed Instances.
    pub fn has_managed_instances(&self) -> bool {
        self.has("MANAGED_INSTANCES")
    }

    /// Whether jobs run on Fargate.
    pub fn has_fargate(&self) -> bool {
        self.has("FARGATE")
    }
}

/// Whether a field is given. Clients send empty lists and objects, too, because job definitions
/// are shown with them.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// The first field of a container, be it of a task, that a job on Fargate cannot have.
pub fn not_on_fargate(container: &Map<String, Value>) -> Option<&'static str> {
    let field = |name: &str| container.get(name).unwrap_or(&Value::Null);
    let linux = field("linuxParameters");
    if let Some(name) = LINUX_NOT_ON_FARGATE.into_iter().find(|name| is_given(&linux[*name])) {
        return Some(name);
    }
    if *field("privileged") == true {
        return Some("privileged");
    }
    let mut requirements = field("resourceRequirements").as_array().into_iter().flatten();
    if requirements.any(|requirement| requirement["type"] == "GPU") {
        return Some("GPU");
    }
    let mut volumes = field("volumes").as_array().into_iter().flatten();
    volumes.any(|volume| is_given(&volume["host"]["sourcePath"])).then_some("sourcePath")
}

/// Checks that the container of a job definition with `containerProperties`, or of a node, has only
/// fields of its platform.
///
/// # Errors
/// `ClientException`, when it has another one.
pub fn check_container(container: &Map<String, Value>, platforms: &Platforms) -> Result<(), ApiError> {
    let is_there = |name: &&str| container.get(*name).is_some_and(is_given);
    if platforms.has_fargate() {
        let name = not_on_fargate(container).or_else(|| NOT_ON_FARGATE.into_iter().find(is_there));
        return match name {
            Some(name) => {
                Err(ApiError::client(format!("containerProperties: {name} is not for the platform FARGATE")))
            }
            None => Ok(()),
        };
    }
    match ONLY_ON_FARGATE.into_iter().find(is_there) {
        Some(name) => {
            Err(ApiError::client(format!("containerProperties: {name} is only for the platform FARGATE")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(platform: &str, fields: Value) -> Result<(), String> {
        let platforms = Platforms::of(&json!({"platformCapabilities": [platform]}));
        let Value::Object(container) = fields else { panic!("not an object") };
        check_container(&container, &platforms).map_err(|e| e.message)
    }

    #[test]
    fn platforms_are_those_of_the_api() {
        let read = |platforms: Value| Platforms::read(&json!({"platformCapabilities": platforms}));
        for fine in [json!(null), json!([]), json!(["EC2"]), json!(["FARGATE"]), json!(["MANAGED_INSTANCES"])]
        {
            assert!(read(fine.clone()).is_ok(), "{fine}");
        }
        for (bad, says) in [
            (json!(["X"]), "platformCapabilities must be of EC2, FARGATE, MANAGED_INSTANCES, not \"X\""),
            (
                json!(["EC2", null]),
                "platformCapabilities must be of EC2, FARGATE, MANAGED_INSTANCES, not null",
            ),
            (json!("FARGATE"), "platformCapabilities is not a list"),
        ] {
            assert_eq!(read(bad.clone()).unwrap_err().message, says, "{bad}");
        }
    }

    #[test]
    fn each_platform_has_fields_of_its_own() {
        for (fields, name) in [
            (json!({"privileged": true}), "privileged"),
            (json!({"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}]}), "ulimits"),
            (json!({"instanceType": "m5.large"}), "instanceType"),
            (json!({"vcpus": 1}), "vcpus"),
            (json!({"memory": 512}), "memory"),
            (json!({"linuxParameters": {"devices": [{"hostPath": "/dev/null"}]}}), "devices"),
            (json!({"linuxParameters": {"sharedMemorySize": 64}}), "sharedMemorySize"),
            (json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1}]}}), "tmpfs"),
            (json!({"linuxParameters": {"maxSwap": 0}}), "maxSwap"),
            (json!({"linuxParameters": {"swappiness": 0}}), "swappiness"),
            (json!({"resourceRequirements": [{"type": "GPU", "value": "1"}]}), "GPU"),
            (json!({"volumes": [{"name": "v", "host": {"sourcePath": "/v"}}]}), "sourcePath"),
        ] {
            assert_eq!(check("EC2", fields.clone()), Ok(()), "{fields}");
            let why = check("FARGATE", fields).unwrap_err();
            assert_eq!(why, format!("containerProperties: {name} is not for the platform FARGATE"));
        }
        for (fields, name) in [
            (json!({"networkConfiguration": {"assignPublicIp": "ENABLED"}}), "networkConfiguration"),
            (
                json!({"fargatePlatformConfiguration": {"platformVersion": "1.4.0"}}),
                "fargatePlatformConfiguration",
            ),
        ] {
            assert_eq!(check("FARGATE", fields.clone()), Ok(()), "{fields}");
            let why = check("EC2", fields).unwrap_err();
            assert_eq!(why, format!("containerProperties: {name} is only for the platform FARGATE"));
        }
        // As job definitions are shown.
        let empty = json!({"ulimits": [], "volumes": [{"name": "v", "host": {}}], "privileged": false,
            "linuxParameters": {"devices": [], "initProcessEnabled": true}});
        assert_eq!((check("FARGATE", empty.clone()), check("EC2", empty)), (Ok(()), Ok(())));
    }
}
