//! Job definitions in requests.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::consumables;
use super::integers::check_integers;
use super::nodes;
use super::platform::{self, Platforms};
use super::retry::{retry, timeout_s};
use super::shape::{Variable, check_platform_size, check_variable, not_there, resources, shape};
use super::tags::{check_propagation, check_tags};
use super::task::Task;
use crate::batch::container;
use crate::batch::definition::{BUILT_IN, check_name};
use crate::http::protocol::ApiError;

/// A job definition, as it was registered.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its ARN, with the revision.
    pub arn: String,
    /// Its name, without the revision.
    pub name: String,
    /// API: JobDefinition, without name, ARN, revision and status.
    pub body: Value,
}

/// API, SubmitJob.schedulingPriorityOverride: "The minimum supported value is 0 and the maximum
/// supported value is 9999."
pub fn priority(given: Option<i32>, body: &Value) -> Result<i32, ApiError> {
    let defined = body.get("schedulingPriority").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    match given.or(defined).unwrap_or(0) {
        n @ 0..=9999 => Ok(n),
        n => Err(ApiError::client(format!("schedulingPriority must be 0 to 9999, not {n}"))),
    }
}

/// The name and the body of a job definition that a request registers, with the fields that Batch
/// adds.
///
/// # Errors
/// `ClientException`, when it cannot be registered.
pub fn registration(body: Value) -> Result<(String, Value), ApiError> {
    check_integers(&body)?;
    let Value::Object(mut body) = body else {
        return Err(ApiError::serialization("the body is not a JSON object"));
    };
    let name = body.remove("jobDefinitionName");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or("").to_owned();
    check_name(&name)?;
    if name == BUILT_IN {
        return Err(ApiError::client(format!("the job definition {name:?} is built in; take another name")));
    }
    body.entry("containerOrchestrationType").or_insert_with(|| json!("ECS"));
    body.entry("parameters").or_insert_with(|| json!({}));
    body.entry("tags").or_insert_with(|| json!({}));
    let body = Value::Object(body);
    check_definition(&body)?;
    Ok((name, body))
}

/// Checks what RegisterJobDefinition says, as far as this cluster will read it again.
///
/// # Errors
/// `ClientException`, when no job of it could be.
pub fn check_definition(body: &Value) -> Result<(), ApiError> {
    retry(body.get("retryStrategy").cloned().map(shape).transpose()?.as_ref())?;
    timeout_s(body.get("timeout").cloned().map(shape).transpose()?.as_ref())?;
    let _: Option<BTreeMap<String, String>> = body.get("parameters").cloned().map(shape).transpose()?;
    priority(None, body)?;
    consumables::consumption(body.get("consumableResourceProperties"))?;
    match body.get("tags") {
        None | Some(Value::Null) => {}
        Some(Value::Object(tags)) => check_tags(tags)?,
        Some(_) => return Err(ApiError::serialization("tags is not an object")),
    }
    let has = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    let platforms = Platforms::read(body)?;
    check_propagation(body)?;
    if platforms.has_managed_instances() && !has("ecsProperties") {
        // API, RegisterJobDefinition.platformCapabilities.
        return Err(ApiError::client(
            "Jobs with the MANAGED_INSTANCES platform capability must use ecsProperties (not containerProperties) \
             and do not support multi-node parallel jobs",
        ));
    }
    match body.get("type").and_then(Value::as_str) {
        Some("container") => {}
        // API, RegisterJobDefinition.type.
        Some("multinode") if platforms.has_fargate() => {
            return Err(ApiError::client(
                "type: If the job is run on Fargate resources, then multinode isn't supported",
            ));
        }
        Some("multinode") => {
            let properties = body.get("nodeProperties").cloned().unwrap_or_default();
            let (nodes, _) = nodes::nodes(&properties, None)?;
            return nodes.iter().try_for_each(|node| {
                platform::check_container(&node.container, &platforms)?;
                check_container_definition(&node.container)
            });
        }
        _ => {
            let given = &body["type"];
            return Err(ApiError::client(format!("type must be container or multinode, not {given}")));
        }
    }
    if has("eksProperties") {
        return Err(not_there("jobs on EKS (eksProperties): it has no Kubernetes"));
    }
    if let Some(properties) = body.get("ecsProperties").filter(|value| !value.is_null()) {
        if has("containerProperties") || has("nodeProperties") {
            return Err(ApiError::client(
                "a job definition has one of containerProperties, ecsProperties, eksProperties and nodeProperties",
            ));
        }
        return check_task_definition(properties, body);
    }
    let Some(Value::Object(container)) = body.get("containerProperties") else {
        return Err(ApiError::client(
            "containerProperties or ecsProperties is required for a job definition of type container",
        ));
    };
    platform::check_container(container, &platforms)?;
    check_platform_size(body, container)?;
    check_container_definition(container)
}

fn check_task_definition(properties: &Value, body: &Value) -> Result<(), ApiError> {
    let task = Task::read(properties, &Platforms::of(body))?;
    task.check_size(body)?;
    for container in &task.containers {
        let merged = task.with_volumes(container);
        check_container_definition(&merged)?;
    }
    Ok(())
}

fn check_container_definition(container: &Map<String, Value>) -> Result<(), ApiError> {
    if container.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(ApiError::client("image is required for a container"));
    }
    let _: Option<Vec<String>> = container.get("command").cloned().map(shape).transpose()?;
    let environment: Option<Vec<Variable>> = container.get("environment").cloned().map(shape).transpose()?;
    environment.unwrap_or_default().iter().try_for_each(|v| check_variable(&v.name))?;
    container::check(container)?;
    check_log_options(container)?;
    resources(container).map(|_| ())
}

/// Checks the options that become names of log streams and log groups (API: LogStreamName has
/// neither `:` nor `*`). Control characters are refused here: such a name would begin new lines
/// wherever it is listed.
fn check_log_options(container: &Map<String, Value>) -> Result<(), ApiError> {
    let options = container.get("logConfiguration").and_then(|log| log.get("options"));
    for name in ["awslogs-stream-prefix", "awslogs-group"] {
        let value = options.and_then(|options| options.get(name)).and_then(Value::as_str);
        if value.is_some_and(|value| value.contains(|c: char| c.is_control() || [':', '*'].contains(&c))) {
            return Err(ApiError::client(format!(
                "logConfiguration: the option {name} has a character that it cannot have"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_log_stream_is_one_line() {
        let check = |name: &str, value: &str| {
            let mut container = Map::new();
            container.insert("logConfiguration".to_owned(), json!({"options": {name: value}}));
            check_log_options(&container).is_ok()
        };
        for name in ["awslogs-stream-prefix", "awslogs-group"] {
            assert!(check(name, "/lab/genomics-1"));
            for bad in ["a\nb", "a\u{1b}[31m", "a:b", "a*"] {
                assert!(!check(name, bad), "{name}: {bad:?}");
            }
        }
    }

    #[test]
    fn a_part_of_a_vcpu_is_for_fargate() {
        let of = |platform: &str, vcpus: &str, memory: &str| {
            let requirements = json!([{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]);
            check_definition(&json!({
                "type": "container",
                "platformCapabilities": [platform],
                "containerProperties": {"image": "busybox", "resourceRequirements": requirements},
            }))
        };
        assert_eq!(of("FARGATE", "0.5", "1024"), Ok(()));
        assert_eq!(of("FARGATE", "0.25", "512"), Ok(()));
        assert_eq!(of("FARGATE", "32", "249856"), Ok(()));
        let refused = |vcpus: &str, memory: &str| of("FARGATE", vcpus, memory).unwrap_err().message;
        assert_eq!(
            refused("0.25", "4096"),
            "Fargate resource requirements (0.25 vCPU, 4096 MiB) not valid: Fargate has no size of 0.25 vCPU and 4096 \
             MiB; the nearest that is large enough is 0.5 vCPU and 4096 MiB"
        );
        assert!(refused("0.3", "512").contains("not valid"));
        assert!(refused("64", "512").contains("32 vCPUs and 249856 MiB"));
        assert!(of("EC2", "0.5", "512").unwrap_err().message.contains("a value for Fargate"));
        assert!(of("MANAGED_INSTANCES", "1", "300").unwrap_err().message.contains("must use ecsProperties"));
        assert_eq!(of("EC2", "1", "300"), Ok(()));
    }
}
