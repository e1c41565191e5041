//! The jobs that a container's key may start: those that stay in their containers. Pure.

use serde_json::{Map, Value};

use super::container;
use super::request::platform::Platforms;
use super::request::task::Task;
use crate::http::protocol::ApiError;
use awsb_model::ADVICE;

/// Checks that a container's key pair may start a job: nothing of the job may reach out of a
/// container. Otherwise a job in a container could run on the host, through the owner's job
/// definitions or its own.
///
/// # Errors
/// `AccessDeniedException`, when the job definition asks for more.
pub fn check_contained(definition: &Value) -> Result<(), ApiError> {
    let ranges = definition.pointer("/nodeProperties/nodeRangeProperties").and_then(Value::as_array);
    let parts = ranges.into_iter().flatten().chain([definition]);
    for part in parts {
        let containers = ["containerProperties", "container"].into_iter().filter_map(|name| part.get(name));
        for container in containers.filter(|container| !container.is_null()) {
            let Value::Object(container) = container else { return denied("what is no container") };
            deny(container)?;
        }
        if let Some(properties) = part.get("ecsProperties").filter(|value| !value.is_null()) {
            task_reaches_out(properties, &Platforms::of(definition))?;
        }
        // Jobs with these properties do not run here today. When they do, they have to be checked
        // here first.
        if part.get("eksProperties").is_some_and(|value| !value.is_null()) {
            return denied("eksProperties");
        }
    }
    Ok(())
}

/// The log groups that a job definition names for the output of its jobs.
pub fn log_groups(definition: &Value) -> Vec<String> {
    let ranges = definition.pointer("/nodeProperties/nodeRangeProperties").and_then(Value::as_array);
    let parts = ranges.into_iter().flatten().chain([definition]);
    let containers = parts.flat_map(|part| {
        let one = ["containerProperties", "container"].into_iter().filter_map(|name| part.get(name));
        one.chain(containers_of_tasks(part.get("ecsProperties"))).collect::<Vec<_>>()
    });
    let group = |container: &Value| container.pointer("/logConfiguration/options/awslogs-group").cloned();
    let groups = containers.filter_map(group);
    groups.filter_map(|group| group.as_str().filter(|name| !name.is_empty()).map(str::to_owned)).collect()
}

/// The containers of the tasks of `ecsProperties`.
fn containers_of_tasks(properties: Option<&Value>) -> impl Iterator<Item = &Value> {
    let tasks = properties.and_then(|properties| properties.get("taskProperties")).and_then(Value::as_array);
    tasks.into_iter().flatten().filter_map(|task| task.get("containers")?.as_array()).flatten()
}

/// Refuses what reaches out of the containers of `ecsProperties`.
fn task_reaches_out(properties: &Value, platforms: &Platforms) -> Result<(), ApiError> {
    let Ok(task) = Task::read(properties, platforms) else {
        return denied("ecsProperties that cannot be read");
    };
    for mode in ["ipcMode", "pidMode", "networkMode"] {
        if task.properties.get(mode).and_then(Value::as_str) == Some("host") {
            return denied(&format!("{mode} host"));
        }
    }
    task.containers.iter().try_for_each(|container| deny(&task.with_volumes(container)))
}

fn denied<T>(what: &str) -> Result<T, ApiError> {
    Err(ApiError::refused(
        "AccessDeniedException",
        format!(
            "The credentials of a job in a container do not allow job definitions with {what}: such jobs reach \
             out of their container{ADVICE}submit it outside of the container, or give it an image (`bsub --image`) \
             and nothing of the host"
        ),
    ))
}

fn deny(container: &Map<String, Value>) -> Result<(), ApiError> {
    container::reaches_out(container)?.map_or(Ok(()), |what| denied(&what))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(extra: Value) -> Value {
        let mut all = json!({"image": "busybox", "resourceRequirements": [
            {"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "64"}]});
        for (key, value) in extra.as_object().unwrap() {
            all[key] = value.clone();
        }
        all
    }

    #[test]
    fn a_containers_key_starts_nothing_that_reaches_out() {
        let definition = |extra: Value| json!({"containerProperties": properties(extra)});
        assert!(check_contained(&definition(json!({"volumes": [{"name": "v"}]}))).is_ok());
        let on_fargate = json!({"platformCapabilities": ["FARGATE"], "ecsProperties": {"taskProperties": [
            {"networkConfiguration": {"assignPublicIp": "ENABLED"}, "containers": [properties(json!({}))]}]}});
        assert_eq!(check_contained(&on_fargate), Ok(()));
        for out in [
            definition(json!({"image": "host"})),
            definition(json!({"privileged": true})),
            definition(json!({"volumes": [{"name": "v", "host": {"sourcePath": "/"}}]})),
            definition(json!({"linuxParameters": {"devices": [{"hostPath": "/dev/sda"}]}})),
            json!({"type": "multinode", "nodeProperties": {"nodeRangeProperties": [
                {"targetNodes": "0:", "container": properties(json!({}))},
                {"targetNodes": "1:", "container": properties(json!({"image": "host"}))}]}}),
            json!({"ecsProperties": {"taskProperties": []}}),
            json!({"ecsProperties": {"taskProperties": [{"containers": [properties(json!({"image": "host"}))]}]}}),
            json!({"ecsProperties": {"taskProperties": [
                {"pidMode": "host", "containers": [properties(json!({}))]}]}}),
            json!({"eksProperties": {"podProperties": {}}}),
            json!({"containerProperties": "host"}),
        ] {
            assert_eq!(check_contained(&out).unwrap_err().code, "AccessDeniedException", "{out}");
        }
    }
}
