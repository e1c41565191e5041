//! `ecsProperties` and `ecsPropertiesOverride`, field by field, as AWS's model of Batch has them.

use serde_json::{Value, json};

use super::definition::check_definition;
use super::platform::Platforms;
use super::shape::shape;
use super::task::{EcsPropertiesOverride, Task};

/// A container with these fields beside those that it needs.
pub(super) fn container(extra: Value) -> Value {
    let mut all = json!({"image": "busybox", "resourceRequirements": [
        {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]});
    for (key, value) in extra.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

/// The answer of RegisterJobDefinition to one container with these fields, beside which a
/// container `side` is that is not essential, in a task with these fields.
fn register(platform: &str, fields: Value, more: Value) -> Result<(), String> {
    let mut first = container(fields);
    first.as_object_mut().unwrap().retain(|_, value| value != "ABSENT");
    let side = container(json!({"name": "side", "essential": false}));
    let mut task = json!({"containers": [first, side]});
    for (key, value) in more.as_object().unwrap() {
        task[key] = value.clone();
    }
    check_definition(&json!({
        "type": "container",
        "platformCapabilities": [platform],
        "ecsProperties": {"taskProperties": [task]},
    }))
    .map_err(|e| e.message)
}

#[test]
fn each_field_of_a_container_is_as_the_api_has_it() {
    let on = |other: &str, condition: &str| json!({"dependsOn": [{"containerName": other, "condition": condition}]});
    for (fields, words) in [
        (json!({"image": "ABSENT"}), "image is required"),
        (json!({"image": ""}), "image is required"),
        (json!({"image": 7}), "image is not a string"),
        (json!({"name": 7}), "name is not a string"),
        (json!({"name": "side"}), "two containers have the name"),
        (json!({"name": "a".repeat(256)}), "up to 255 letters"),
        (json!({"name": "a.b"}), "letters, digits"),
        (json!({"essential": "false"}), "essential is not a boolean"),
        (json!({"essential": false}), "at least one container must be essential"),
        (json!({"command": "true"}), "command is not a list"),
        (json!({"command": [7]}), "invalid type"),
        (json!({"privileged": 1}), "privileged is not a boolean"),
        (json!({"readonlyRootFilesystem": "no"}), "readonlyRootFilesystem is not a boolean"),
        (json!({"user": 7}), "user is not a string"),
        (json!({"startTimeout": "5"}), "startTimeout is not an integer"),
        (json!({"startTimeout": 1}), "startTimeout must be 2 seconds or more"),
        (json!({"stopTimeout": 2.5}), "stopTimeout is not an integer"),
        (json!({"stopTimeout": -1}), "stopTimeout must be 2 seconds or more"),
        (on("a", "START"), "waits for itself"),
        (on("a", "COMPLETE"), "cannot be set on an essential container"),
        (on("x", "START"), "which is not there"),
        (on("side", "HEALTHY"), "START, COMPLETE or SUCCESS"),
        (json!({"dependsOn": [{"containerName": "side"}]}), "condition"),
        (json!({"dependsOn": [{"condition": "START"}]}), "containerName"),
        (json!({"dependsOn": "side"}), "dependsOn is not a list"),
        (json!({"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}), "AWS_BATCH"),
        (json!({"firelensConfiguration": {}}), "type is required"),
        (json!({"firelensConfiguration": {"type": "vector"}}), "fluentd, fluentbit"),
        (json!({"logConfiguration": {}}), "logDriver is required"),
        (json!({"logConfiguration": {"logDriver": "cat"}}), "logDriver must be one of"),
        (
            json!({"logConfiguration": {"logDriver": "awslogs", "secretOptions": [{"name": "a"}]}}),
            "valueFrom",
        ),
        (json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}), "unknown volume"),
        (json!({"repositoryCredentials": {}}), "credentialsParameter is required"),
        (json!({"secrets": [{"name": "A"}]}), "valueFrom is required"),
        (json!({"secrets": [{"valueFrom": "arn:x"}]}), "name is required"),
        (json!({"ulimits": [{"name": "nofile", "softLimit": 1}]}), "hardLimit"),
        (json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t"}]}}), "size"),
        (json!({"linuxParameters": {"devices": [{}]}}), "hostPath"),
        (json!({"resourceRequirements": [{"type": "DISK", "value": "1"}]}), "unknown type"),
        (json!({"resourceRequirements": [{"type": "VCPU"}]}), "value"),
        // The old fields are those of ContainerProperties only.
        (json!({"resourceRequirements": [], "vcpus": 1, "memory": 64}), "vCPUs are required"),
    ] {
        let mut fields = fields;
        fields.as_object_mut().unwrap().entry("name").or_insert(json!("a"));
        let why = register("EC2", fields, json!({})).unwrap_err();
        assert!(why.contains(words), "{why}: {words}");
    }
    for fine in [
        json!({"essential": null, "dependsOn": null, "startTimeout": null}),
        json!({"dependsOn": [{"containerName": "side", "condition": "SUCCESS"}]}),
        json!({"stopTimeout": 600, "user": "7", "privileged": true}),
        json!({"logConfiguration": {"logDriver": "awslogs"}, "aFieldOfTomorrow": 1}),
    ] {
        let mut fields = fine;
        fields["name"] = json!("a");
        assert_eq!(register("EC2", fields.clone(), json!({})), Ok(()), "{fields}");
    }
}

#[test]
fn each_field_of_a_task_is_as_the_api_has_it() {
    let volumes = |volumes: Value| json!({"volumes": volumes});
    for (platform, fields, words) in [
        ("EC2", json!({"containers": null}), "1 to 10 containers, not 0"),
        ("EC2", json!({"containers": "a"}), "expected a sequence"),
        ("EC2", json!({"ipcMode": "all"}), "ipcMode must be one of"),
        ("EC2", json!({"ipcMode": 1}), "ipcMode is not a string"),
        ("EC2", json!({"pidMode": "none"}), "pidMode must be one of host, task"),
        ("EC2", json!({"networkMode": "host"}), "MANAGED_INSTANCES"),
        ("MANAGED_INSTANCES", json!({"networkMode": "bridge"}), "networkMode must be one of"),
        ("EC2", json!({"networkConfiguration": {}}), "only for the platform FARGATE"),
        ("EC2", json!({"executionRoleArn": 1}), "executionRoleArn is not a string"),
        ("EC2", json!({"enableExecuteCommand": "true"}), "enableExecuteCommand is not a boolean"),
        ("EC2", json!({"ephemeralStorage": {}}), "sizeInGiB must be 21 to 200"),
        ("EC2", json!({"ephemeralStorage": {"sizeInGiB": 20}}), "not 20"),
        ("EC2", json!({"ephemeralStorage": {"sizeInGiB": 201}}), "not 201"),
        ("EC2", json!({"runtimePlatform": {"cpuArchitecture": "RISCV"}}), "X86_64, ARM64"),
        ("EC2", json!({"runtimePlatform": {"operatingSystemFamily": "BSD"}}), "LINUX"),
        (
            "MANAGED_INSTANCES",
            json!({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}),
            "must be one of LINUX, not",
        ),
        ("EC2", volumes(json!("v")), "volumes is not a list"),
        ("EC2", volumes(json!([{}])), "name of a volume"),
        ("EC2", volumes(json!([{"name": "a/b"}])), "name of a volume"),
        ("EC2", volumes(json!([{"name": "v"}, {"name": "v"}])), "two volumes have the name"),
        ("EC2", volumes(json!([{"name": "v", "efsVolumeConfiguration": {}}])), "fileSystemId is required"),
        ("EC2", volumes(json!([{"name": "v", "s3filesVolumeConfiguration": {}}])), "fileSystemArn"),
        ("FARGATE", json!({"ipcMode": "task"}), "not for the platform FARGATE"),
        ("FARGATE", json!({"networkConfiguration": {"assignPublicIp": "YES"}}), "ENABLED, DISABLED"),
        ("FARGATE", volumes(json!([{"name": "v", "host": {"sourcePath": "/v"}}])), "not for the platform"),
    ] {
        let why = register(platform, json!({"name": "a"}), fields).unwrap_err();
        assert!(why.contains(words), "{why}: {words}");
    }
    for (fields, words) in [
        (json!({"privileged": true}), "privileged is not for the platform FARGATE"),
        (json!({"stopTimeout": 121}), "on Fargate up to 120"),
        (json!({"linuxParameters": {"maxSwap": 0}}), "maxSwap is not for the platform FARGATE"),
        (json!({"linuxParameters": {"devices": [{"hostPath": "/dev/null"}]}}), "devices is not for"),
    ] {
        let mut fields = fields;
        fields["name"] = json!("a");
        let why = register("FARGATE", fields, json!({})).unwrap_err();
        assert!(why.contains(words), "{why}: {words}");
    }
    let all = json!({"ipcMode": "none", "pidMode": "host", "ephemeralStorage": {"sizeInGiB": 21},
        "runtimePlatform": {"cpuArchitecture": "ARM64"}, "volumes": [{"name": "v_1-a", "host": {}}]});
    assert_eq!(register("EC2", json!({"name": "a"}), all), Ok(()));
}

#[test]
fn overrides_name_each_container_once_and_have_no_deprecated_fields() {
    let containers = [container(json!({"name": "a"})), container(json!({"name": "b"}))];
    let none = Platforms::of(&Value::Null);
    let mut task = Task::read(&json!({"taskProperties": [{"containers": containers}]}), &none).unwrap();
    let mut apply = |overrides: Value| {
        let overrides = shape::<EcsPropertiesOverride>(overrides).map_err(|e| e.message)?;
        task.apply(&overrides).map_err(|e| e.message)?;
        Ok::<_, String>(task.containers[0].clone())
    };
    let of = |containers: Value| json!({"taskProperties": [{"containers": containers}]});
    for (overrides, words) in [
        (of(json!([{"name": "a"}, {"name": "b"}, {"name": "a", "command": ["x"]}])), "\"a\" is there twice"),
        (of(json!([{"command": ["x"]}])), "no container \"\""),
        (of(json!([{"name": "c"}])), "it has a, b"),
        (of(json!([{"name": 7}])), "invalid type"),
        (of(json!([{"name": "a", "environment": [{"name": "AWS_BATCH_X", "value": ""}]}])), "AWS_BATCH"),
        (json!({"taskProperties": [{}, {}]}), "more than one element"),
    ] {
        let why = apply(overrides).unwrap_err();
        assert!(why.contains(words), "{why}: {words}");
    }
    let first = apply(of(json!([{"name": "a", "vcpus": 7, "memory": 7}]))).unwrap();
    assert!(!first.contains_key("vcpus") && !first.contains_key("memory"), "{first:?}");
    assert!(apply(json!({})).is_ok());
}
