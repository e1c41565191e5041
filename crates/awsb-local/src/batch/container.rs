//! The container of a job: from its properties to the request to the Docker engine. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, ResourcesUlimits,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::request::{resources, shape};
use crate::constants::HOST_IMAGE;
use crate::containers::host::{ContainerHost, NoContainerHost};
use crate::docker::{self, HOME_LABEL, JOB_LABEL, TASK_LABEL};
use crate::http::protocol::ApiError;
use crate::runner::protocol::{AttemptId, Container, TaskContainer};
use awsb_model::limits::IMAGE_LENGTH;

const MIB: i64 = 1024 * 1024;

/// API: ContainerProperties, as far as they affect the container. All other fields (roles, log
/// configuration, Fargate's own fields) are stored, shown by DescribeJobs, and without effect here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    image: Option<String>,
    user: Option<String>,
    privileged: Option<bool>,
    readonly_root_filesystem: Option<bool>,
    ulimits: Option<Vec<Ulimit>>,
    volumes: Option<Vec<Volume>>,
    mount_points: Option<Vec<MountPoint>>,
    linux_parameters: Option<LinuxParameters>,
    secrets: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ulimit {
    name: String,
    soft_limit: i64,
    hard_limit: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: Option<String>,
    host: Option<Host>,
    efs_volume_configuration: Option<Value>,
    s3files_volume_configuration: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    source_path: Option<String>,
}

impl Volume {
    /// The folder of the host, for a volume that has one; the others are Docker's own.
    fn source_path(&self) -> Option<&str> {
        self.host.as_ref()?.source_path.as_deref().filter(|path| !path.is_empty())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MountPoint {
    container_path: Option<String>,
    read_only: Option<bool>,
    source_volume: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinuxParameters {
    devices: Option<Vec<Device>>,
    init_process_enabled: Option<bool>,
    shared_memory_size: Option<i64>,
    tmpfs: Option<Vec<Tmpfs>>,
    max_swap: Option<i64>,
    swappiness: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    host_path: String,
    container_path: Option<String>,
    permissions: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tmpfs {
    container_path: String,
    size: i64,
    mount_options: Option<Vec<String>>,
}

impl Properties {
    fn read(container: &Map<String, Value>) -> Result<Self, ApiError> {
        shape(Value::Object(container.clone()))
    }

    /// The volume of each mount point.
    fn mounts(&self) -> Result<Vec<(&Volume, &MountPoint, &str)>, ApiError> {
        let volumes = self.volumes.as_deref().unwrap_or_default();
        let mounts = self.mount_points.iter().flatten().map(|point| {
            let name = point.source_volume.as_deref().unwrap_or_default();
            let volume = volumes.iter().find(|volume| volume.name.as_deref() == Some(name));
            let volume =
                volume.ok_or_else(|| ApiError::client(format!("mountPoints: unknown volume {name:?}")))?;
            let path = point.container_path.as_deref().filter(|path| path.starts_with('/'));
            let path = path.ok_or_else(|| {
                ApiError::client(format!("mountPoints: {name:?}: containerPath must be an absolute path"))
            })?;
            Ok((volume, point, path))
        });
        mounts.collect()
    }
}

/// Whether a job of these container properties runs in a container.
pub fn is_contained(container: &Map<String, Value>) -> bool {
    container.get("image").and_then(Value::as_str) != Some(HOST_IMAGE)
}

/// Checks what RegisterJobDefinition says of the container, as AWS would.
///
/// # Errors
/// `ClientException`, when no container of it could be.
pub fn check(container: &Map<String, Value>) -> Result<(), ApiError> {
    let properties = Properties::read(container)?;
    properties.mounts()?;
    check_image(properties.image.as_deref().unwrap_or_default())?;
    for ulimit in properties.ulimits.iter().flatten() {
        if !awsb_model::Ulimit::NAMES.contains(&ulimit.name.as_str()) {
            return Err(ApiError::client(format!(
                "ulimits: the name must be one of {}, not {:?}",
                awsb_model::Ulimit::NAMES.join(", "),
                ulimit.name
            )));
        }
        check_limits(ulimit)?;
    }
    let Some(linux) = &properties.linux_parameters else { return Ok(()) };
    // API, LinuxParameters: "Valid values: 0 or any positive integer" and "whole numbers between 0
    // and 100".
    if linux.max_swap.is_some_and(|mib| mib < 0) {
        return Err(ApiError::client("linuxParameters: maxSwap must be 0 or more"));
    }
    if linux.swappiness.is_some_and(|n| !(0..=100).contains(&n)) {
        return Err(ApiError::client("linuxParameters: swappiness must be 0 to 100"));
    }
    if linux.shared_memory_size.is_some_and(|mib| mib < 0) {
        return Err(ApiError::client("linuxParameters: sharedMemorySize must be 0 or more"));
    }
    for device in linux.devices.iter().flatten() {
        permissions(device)?;
    }
    check_tmpfs(linux.tmpfs.as_deref().unwrap_or_default())
}

/// Checks the limits of a ulimit. To the Docker engine, -1 is no limit.
fn check_limits(Ulimit { name, soft_limit, hard_limit }: &Ulimit) -> Result<(), ApiError> {
    const UNLIMITED: i64 = -1;
    for (member, limit) in [("softLimit", *soft_limit), ("hardLimit", *hard_limit)] {
        if limit < UNLIMITED {
            return Err(ApiError::client(format!(
                "ulimits: {name}: {member} must be 0 or more, or -1 for no limit, not {limit}"
            )));
        }
    }
    if *hard_limit != UNLIMITED && (*soft_limit == UNLIMITED || soft_limit > hard_limit) {
        return Err(ApiError::client(format!(
            "ulimits: {name}: softLimit {soft_limit} is above hardLimit {hard_limit}"
        )));
    }
    Ok(())
}

/// API, ContainerProperties.image. Digests have an `@` besides.
fn check_image(image: &str) -> Result<(), ApiError> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_:./#@".contains(c);
    if image.len() <= IMAGE_LENGTH && image.chars().all(is_valid) {
        return Ok(());
    }
    Err(ApiError::client(format!(
        "image: it has up to {IMAGE_LENGTH} letters, digits and characters of `-_:./#@`, not {image:?}"
    )))
}

/// API: Tmpfs. The engine reads all options of one as a text, in which the last size counts. So an
/// option with a comma would be another size than the one that the job has asked for.
fn check_tmpfs(all: &[Tmpfs]) -> Result<(), ApiError> {
    let wrong = |why: String| Err(ApiError::client(format!("linuxParameters: tmpfs: {why}")));
    let mut paths = HashSet::new();
    for Tmpfs { container_path, size, mount_options } in all {
        if !container_path.starts_with('/') {
            return wrong(format!("containerPath must be an absolute path, not {container_path:?}"));
        }
        if !paths.insert(normalized(container_path)) {
            return wrong(format!("containerPath {container_path:?} is there twice"));
        }
        // To the engine, 0 is no limit.
        if *size < 1 {
            return wrong(format!("the size of {container_path:?} must be at least 1 MiB, not {size}"));
        }
        let mut options = mount_options.iter().flatten();
        if let Some(bad) = options.find(|option| !awsb_model::Tmpfs::is_option(option)) {
            return wrong(format!("{bad:?} is not one of the mount options such as ro, noexec or mode=1777"));
        }
    }
    Ok(())
}

/// An absolute path without `.`, `..` and repeated slashes, as the Docker engine compares paths.
fn normalized(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// API: Device.permissions; all three when none is named.
fn permissions(device: &Device) -> Result<String, ApiError> {
    let Some(named) = device.permissions.as_deref().filter(|named| !named.is_empty()) else {
        return Ok("rwm".to_owned());
    };
    named
        .iter()
        .map(|name| match name.as_str() {
            "READ" => Ok('r'),
            "WRITE" => Ok('w'),
            "MKNOD" => Ok('m'),
            other => Err(ApiError::client(format!("linuxParameters: devices: unknown permission {other:?}"))),
        })
        .collect()
}

/// Checks the container of a SubmitJob with any image. Properties that AWS supports and this
/// cluster does not are rejected, not left out.
///
/// # Errors
/// `ClientException`, with what to do instead.
pub fn check_runnable(container: &Map<String, Value>) -> Result<(), ApiError> {
    check(container)?;
    let properties = Properties::read(container)?;
    let cannot = |what: &str| Err(ApiError::client(format!("The local cluster cannot run this job: {what}")));
    if properties.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) {
        return cannot(
            "it has no Secrets Manager and no Parameter Store for secrets; set them in environment",
        );
    }
    let tmpfs = || properties.linux_parameters.iter().flat_map(|linux| linux.tmpfs.iter().flatten());
    let mut options = tmpfs().flat_map(|tmpfs| tmpfs.mount_options.iter().flatten());
    if let Some(option) = options.find(|option| !awsb_model::Tmpfs::is_option_of_new(option)) {
        return cannot(&format!(
            "a tmpfs is a new file system, for which the mount option {option:?} has no meaning"
        ));
    }
    let mut anonymous = HashSet::new();
    // The engine starts no container with two mounts at one path.
    let mut paths: HashSet<String> = tmpfs().map(|tmpfs| normalized(&tmpfs.container_path)).collect();
    for volume in properties.volumes.iter().flatten() {
        if volume.efs_volume_configuration.as_ref().is_some_and(|value| !value.is_null()) {
            return cannot("it has no EFS for efsVolumeConfiguration; use host with a sourcePath");
        }
        if volume.s3files_volume_configuration.as_ref().is_some_and(|value| !value.is_null()) {
            return cannot("it has no S3 Files for s3filesVolumeConfiguration; use host with a sourcePath");
        }
    }
    for (volume, _, path) in properties.mounts()? {
        let name = volume.name.as_deref().unwrap_or_default();
        if !paths.insert(normalized(path)) {
            return cannot(&format!("two mounts are at the path {path:?}"));
        }
        match volume.source_path() {
            Some(source) if source.contains(':') || path.contains(':') => {
                return cannot(&format!("a path of volume {name:?} has a colon, which Docker cannot mount"));
            }
            Some(source) if !source.starts_with('/') => {
                return cannot(&format!("sourcePath of volume {name:?} must be an absolute path"));
            }
            Some(_) => {}
            None if !anonymous.insert(name) => {
                return cannot(&format!("volume {name:?} is mounted twice and has no sourcePath"));
            }
            None => {}
        }
    }
    Ok(())
}

/// Checks the container of a SubmitJob whose image is [`HOST_IMAGE`], so that the job is a process
/// of this machine. Properties that only a container can have are rejected, not left out.
///
/// # Errors
/// `ClientException`, with what to do instead.
pub fn check_process(container: &Map<String, Value>) -> Result<(), ApiError> {
    let properties = Properties::read(container)?;
    let cannot = |what: &str| {
        Err(ApiError::client(format!(
            "The local cluster cannot run this job: with the image {HOST_IMAGE:?} it is a process of this machine, {what}"
        )))
    };
    if properties.user.as_ref().is_some_and(|user| !user.is_empty()) {
        return cannot("which cannot be another user; any other image gives it a container");
    }
    if properties.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) {
        return cannot("which has no Secrets Manager and no Parameter Store; set secrets in environment");
    }
    let elsewhere = |(volume, point, path): &(&Volume, &MountPoint, &str)| {
        volume.source_path() != Some(path) || point.read_only == Some(true)
    };
    if properties.mounts()?.iter().any(elsewhere) {
        return cannot(
            "which sees its files where they are; any other image gives it a container with mounts",
        );
    }
    if properties.privileged == Some(true) {
        return cannot(
            "which has your rights and cannot be privileged; any other image gives it a container",
        );
    }
    if properties.readonly_root_filesystem == Some(true) {
        return cannot(
            "whose files are those of the machine, not a readonlyRootFilesystem; any other image gives it a container",
        );
    }
    let Some(linux) = properties.linux_parameters else { return Ok(()) };
    if linux.shared_memory_size.is_some() {
        return cannot("which has no /dev/shm of its own; any other image gives it a container");
    }
    if linux.tmpfs.is_some_and(|tmpfs| !tmpfs.is_empty()) {
        return cannot("which has no tmpfs of its own; any other image gives it a container");
    }
    if linux.devices.is_some_and(|devices| !devices.is_empty()) {
        return cannot(
            "which has the devices that you have, and no others; any other image gives it a container",
        );
    }
    Ok(())
}

/// The first of a container's properties that reaches out of the container, if one does.
///
/// # Errors
/// When the properties cannot be read.
pub fn reaches_out(container: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    if !is_contained(container) {
        return Ok(Some(format!("the image {HOST_IMAGE:?}")));
    }
    let properties = Properties::read(container)?;
    let has_folders = properties.volumes.iter().flatten().any(|volume| volume.source_path().is_some());
    let linux = properties.linux_parameters.unwrap_or_default();
    let has_devices = linux.devices.is_some_and(|devices| !devices.is_empty());
    let all = [
        (properties.privileged == Some(true), "privileged"),
        (has_folders, "a volume of the host (sourcePath)"),
        (has_devices, "devices of the host"),
    ];
    Ok(all.into_iter().find_map(|(reaches_out, what)| reaches_out.then(|| what.to_owned())))
}

/// An attempt that is to run in a container.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The job's ID; a child's own.
    pub job_id: &'a str,
    /// The attempt's ID.
    pub attempt_id: &'a AttemptId,
    /// The token of the URL of its metadata.
    pub metadata_token: &'a str,
    /// Whether it is not the first one.
    pub is_repeated: bool,
    /// The command that replaces the image's CMD. When it is empty, the image's own is used.
    /// ENTRYPOINT stays, as on ECS (API: ContainerProperties.command).
    pub command: Vec<String>,
    /// Batch's variables and the job's; a later one wins.
    pub environment: Vec<(String, String)>,
    /// The GPUs that it has been given, by their number on this machine.
    pub gpus: &'a [u32],
    /// The main node's attempt, for a node of a multi-node job.
    pub main_node: Option<&'a AttemptId>,
}

/// The container of an attempt, on a host that has been made ready for it.
pub fn order(
    container: &Map<String, Value>,
    attempt: Attempt<'_>,
    host: Result<&ContainerHost, &NoContainerHost>,
) -> Container {
    let body = host.map_err(ToString::to_string).and_then(|host| {
        let body = body(container, &attempt, host, None).map_err(|e| e.message)?;
        Ok((host, body, Vec::new()))
    });
    Container { with_login: has_repository_credentials(container), ..ordered(&attempt, body) }
}

/// The container of an attempt whose requests to the engine are made, or the reason why it cannot
/// be.
pub(super) fn ordered(
    attempt: &Attempt<'_>,
    bodies: Result<(&ContainerHost, ContainerCreateBody, Vec<TaskContainer>), String>,
) -> Container {
    let (engine, home, refused, body, task) = match bodies {
        Ok((host, body, task)) => (host.engine.clone(), host.home_id.clone(), None, body, task),
        Err(why) => (String::new(), String::new(), Some(why), ContainerCreateBody::default(), Vec::new()),
    };
    Container {
        engine,
        home,
        job: attempt.job_id.to_owned(),
        again: attempt.is_repeated,
        main_node: attempt.main_node.cloned(),
        with_login: false,
        refused,
        body,
        task,
    }
}

/// API: RepositoryCredentials. This machine has no Secrets Manager, so that the credentials of
/// `docker login` take the secret's place.
pub(super) fn has_repository_credentials(container: &Map<String, Value>) -> bool {
    container.get("repositoryCredentials").is_some_and(|value| !value.is_null())
}

/// The labels of everything that an attempt has on the engine.
pub(super) fn labels(attempt: &Attempt<'_>, host: &ContainerHost) -> HashMap<String, String> {
    HashMap::from([
        (HOME_LABEL.to_owned(), host.home_id.clone()),
        (TASK_LABEL.to_owned(), attempt.attempt_id.to_string()),
        (JOB_LABEL.to_owned(), attempt.job_id.to_owned()),
    ])
}

/// The request for a container. `of_task` is its index in its task, for an attempt of several.
pub(super) fn body(
    container: &Map<String, Value>,
    attempt: &Attempt<'_>,
    host: &ContainerHost,
    of_task: Option<usize>,
) -> Result<ContainerCreateBody, ApiError> {
    let properties = Properties::read(container)?;
    let labels = labels(attempt, host);
    let metadata = metadata_url(attempt, of_task.unwrap_or(0), host);
    let environment: BTreeMap<&str, &str> = host
        .environment
        .iter()
        .chain(&metadata)
        .chain(&attempt.environment)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let shared = of_task.map(|_| attempt.attempt_id.as_str());
    let storage = storage(&properties, &labels, shared)?;
    let host_config = host_config(container, &properties, storage, attempt.gpus, host)?;
    Ok(ContainerCreateBody {
        image: properties.image,
        user: properties.user,
        cmd: Some(attempt.command.clone()).filter(|command| !command.is_empty()),
        env: Some(environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        labels: Some(labels),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

/// The variable with the URL of a container's metadata, where containers reach this cluster.
fn metadata_url(attempt: &Attempt<'_>, index: usize, host: &ContainerHost) -> Option<(String, String)> {
    let (_, endpoint) = host.environment.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL")?;
    let name = docker::metadata_name(attempt.attempt_id, attempt.metadata_token, index);
    Some(("ECS_CONTAINER_METADATA_URI_V4".to_owned(), format!("{endpoint}/v4/{name}")))
}

fn host_config(
    container: &Map<String, Value>,
    properties: &Properties,
    (binds, mounts): (Vec<String>, Vec<Mount>),
    gpus: &[u32],
    host: &ContainerHost,
) -> Result<HostConfig, ApiError> {
    let resources = resources(container)?;
    let memory = i64::try_from(resources.memory_mib).unwrap_or(i64::MAX).saturating_mul(MIB);
    let none = LinuxParameters::default();
    let linux = properties.linux_parameters.as_ref().unwrap_or(&none);
    let tmpfs = linux.tmpfs.iter().flatten().map(|tmpfs| {
        let mut options = vec![format!("size={}m", tmpfs.size)];
        options.extend(tmpfs.mount_options.iter().flatten().cloned());
        (tmpfs.container_path.clone(), options.join(","))
    });
    let devices = linux.devices.iter().flatten().map(|device| {
        let inside = device.container_path.as_ref().filter(|path| !path.is_empty());
        Ok(DeviceMapping {
            path_on_host: Some(device.host_path.clone()),
            path_in_container: Some(inside.unwrap_or(&device.host_path).clone()),
            cgroup_permissions: Some(permissions(device)?),
        })
    });
    let ulimits = properties.ulimits.iter().flatten().map(|ulimit| ResourcesUlimits {
        name: Some(ulimit.name.clone()),
        soft: Some(ulimit.soft_limit),
        hard: Some(ulimit.hard_limit),
    });
    Ok(HostConfig {
        // API, ContainerProperties.vcpus: "each vCPU is equivalent to 1,024 CPU shares": a share of
        // busy CPUs, as on EC2, not a limit.
        cpu_shares: Some(i64::from(resources.vcpus) * 1024),
        memory: Some(memory),
        // API, LinuxParameters.maxSwap: Docker's `--memory-swap` is the sum of both. Without it the
        // engine's default holds, "two times the memory"; and swappiness counts only beside
        // maxSwap.
        memory_swap: linux.max_swap.map(|mib| memory.saturating_add(mib.saturating_mul(MIB))),
        memory_swappiness: linux.max_swap.and(linux.swappiness),
        device_requests: Some(gpus).filter(|gpus| !gpus.is_empty()).map(|gpus| {
            vec![DeviceRequest {
                device_ids: Some(gpus.iter().map(u32::to_string).collect()),
                capabilities: Some(vec![vec!["gpu".to_owned()]]),
                ..DeviceRequest::default()
            }]
        }),
        devices: Some(devices.collect::<Result<_, ApiError>>()?),
        ulimits: Some(ulimits.collect()),
        binds: Some(binds),
        mounts: Some(mounts),
        tmpfs: Some(tmpfs.collect()),
        init: linux.init_process_enabled,
        shm_size: linux.shared_memory_size.map(|mib| mib.saturating_mul(MIB)),
        privileged: properties.privileged,
        readonly_rootfs: properties.readonly_root_filesystem,
        network_mode: Some(host.network.clone()),
        extra_hosts: Some(host.hosts.clone()),
        // The runner reads the output as it comes; the engine need not keep a copy.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    })
}

/// The host's folders, and the volumes that come and go with the container. A folder that is not
/// there is made by the engine (API: Host.sourcePath), which it does for `binds` only. The
/// containers of a task share a volume by its name.
fn storage(
    properties: &Properties,
    labels: &HashMap<String, String>,
    shared: Option<&str>,
) -> Result<(Vec<String>, Vec<Mount>), ApiError> {
    let (mut binds, mut mounts) = (Vec::new(), Vec::new());
    for (volume, point, path) in properties.mounts()? {
        let read_only = point.read_only == Some(true);
        match volume.source_path() {
            Some(source) => {
                binds.push(format!("{source}:{path}:{}", if read_only { "ro" } else { "rw" }));
            }
            None => mounts.push(Mount {
                typ: Some(MountType::VOLUME),
                source: shared
                    .map(|attempt| docker::volume_name(attempt, volume.name.as_deref().unwrap_or_default())),
                target: Some(path.to_owned()),
                read_only: Some(read_only),
                volume_options: Some(MountVolumeOptions {
                    labels: Some(labels.clone()),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            }),
        }
    }
    Ok((binds, mounts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn properties(extra: Value) -> Map<String, Value> {
        let mut all = json!({"image": "busybox", "resourceRequirements": [
            {"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "64"}]});
        for (key, value) in extra.as_object().unwrap() {
            all[key] = value.clone();
        }
        all.as_object().unwrap().clone()
    }

    fn host() -> ContainerHost {
        ContainerHost {
            engine: "unix:///e".into(),
            home_id: "home".into(),
            network: "awsb-home".into(),
            hosts: Vec::new(),
            environment: vec![("AWS_REGION".into(), "us-east-1".into()), ("A".into(), "1".into())],
        }
    }

    fn ordered(extra: Value) -> ContainerCreateBody {
        let attempt_id = AttemptId::from("t".to_owned());
        let attempt = Attempt {
            job_id: "j:3",
            attempt_id: &attempt_id,
            metadata_token: "token",
            is_repeated: false,
            command: Vec::new(),
            environment: vec![("A".into(), "2".into()), ("B".into(), "x=y".into()), ("A".into(), "3".into())],
            gpus: &[1, 3],
            main_node: None,
        };
        let order = order(&properties(extra), attempt, Ok(&host()));
        assert_eq!(order.refused, None);
        order.body
    }

    #[test]
    fn every_field_reaches_the_engine() {
        let body = ordered(json!({
            "user": "1000:1000", "privileged": true, "readonlyRootFilesystem": true,
            "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
            "volumes": [{"name": "v", "host": {"sourcePath": "/data"}}, {"name": "w", "host": {}}],
            "mountPoints": [
                {"sourceVolume": "v", "containerPath": "/v", "readOnly": true},
                {"sourceVolume": "w", "containerPath": "/w"}],
            "linuxParameters": {
                "devices": [{"hostPath": "/dev/fuse", "permissions": ["READ", "WRITE"]}],
                "initProcessEnabled": true, "sharedMemorySize": 8, "maxSwap": 16, "swappiness": 7,
                "tmpfs": [{"containerPath": "/t", "size": 4, "mountOptions": ["noexec"]}]},
        }));
        assert_eq!((body.image.as_deref(), body.user.as_deref()), (Some("busybox"), Some("1000:1000")));
        assert_eq!(body.cmd, None, "the image's own");
        assert_eq!(body.env.unwrap(), ["A=3", "AWS_REGION=us-east-1", "B=x=y"]);
        let labels = body.labels.unwrap();
        assert_eq!((labels[HOME_LABEL].as_str(), labels[JOB_LABEL].as_str()), ("home", "j:3"));
        let host = body.host_config.unwrap();
        assert_eq!((host.cpu_shares, host.memory), (Some(2048), Some(64 * MIB)));
        assert_eq!((host.memory_swap, host.memory_swappiness), (Some(80 * MIB), Some(7)));
        assert_eq!((host.privileged, host.readonly_rootfs, host.init), (Some(true), Some(true), Some(true)));
        assert_eq!(host.shm_size, Some(8 * MIB));
        assert_eq!(host.binds.unwrap(), ["/data:/v:ro"]);
        let mounts = host.mounts.unwrap();
        assert_eq!((mounts.len(), mounts[0].target.as_deref()), (1, Some("/w")));
        assert_eq!(host.tmpfs.unwrap()["/t"], "size=4m,noexec");
        let device = &host.devices.unwrap()[0];
        assert_eq!(device.path_in_container.as_deref(), Some("/dev/fuse"));
        assert_eq!(device.cgroup_permissions.as_deref(), Some("rw"));
        assert_eq!(host.ulimits.unwrap()[0].hard, Some(20));
        let gpus = &host.device_requests.unwrap()[0];
        assert_eq!(
            (gpus.count, gpus.device_ids.clone().unwrap()),
            (None, vec!["1".to_owned(), "3".to_owned()])
        );
        assert_eq!(host.network_mode.as_deref(), Some("awsb-home"));
    }

    #[test]
    fn what_is_not_said_is_left_to_the_engine() {
        let host = ordered(json!({"linuxParameters": {"swappiness": 7}})).host_config.unwrap();
        assert_eq!((host.memory_swap, host.memory_swappiness), (None, None));
        assert_eq!((host.privileged, host.readonly_rootfs), (None, None));
    }

    #[test]
    fn without_a_place_the_attempt_is_refused_with_the_reason() {
        let attempt_id = AttemptId::random();
        let attempt = Attempt {
            job_id: "j",
            attempt_id: &attempt_id,
            metadata_token: "token",
            is_repeated: false,
            command: Vec::new(),
            environment: Vec::new(),
            gpus: &[],
            main_node: None,
        };
        let refused = NoContainerHost("no Docker engine answers".to_owned());
        let order = order(&properties(json!({})), attempt, Err(&refused));
        assert_eq!(order.refused.as_deref(), Some("no Docker engine answers"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let tmpfs = |mut fields: Value| {
            let path = fields.get("containerPath").cloned().unwrap_or(json!("/t"));
            fields["containerPath"] = path;
            json!({"linuxParameters": {"tmpfs": [fields]}})
        };
        for bad in [
            json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}),
            json!({"volumes": [{"name": "v"}], "mountPoints": [{"sourceVolume": "v", "containerPath": "v"}]}),
            json!({"ulimits": [{"name": "nofile", "softLimit": 30, "hardLimit": 20}]}),
            json!({"ulimits": [{"name": "nofile", "softLimit": -1, "hardLimit": 5}]}),
            json!({"ulimits": [{"name": "nofile", "softLimit": -5, "hardLimit": 5}]}),
            json!({"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": -2}]}),
            json!({"ulimits": [{"name": "nofile"}]}),
            json!({"linuxParameters": {"sharedMemorySize": -1}}),
            json!({"ulimits": [{"name": "nofiles", "softLimit": 1, "hardLimit": 2}]}),
            json!({"image": "x".repeat(256)}),
            json!({"image": "busy box"}),
            json!({"linuxParameters": {"swappiness": 101}}),
            json!({"linuxParameters": {"maxSwap": -1}}),
            json!({"linuxParameters": {"devices": [{"hostPath": "/dev/x", "permissions": ["EXEC"]}]}}),
            json!({"privileged": "yes"}),
            tmpfs(json!({"size": 64, "mountOptions": ["ro,size=9g"]})),
            tmpfs(json!({"size": 64, "mountOptions": ["size=9g"]})),
            tmpfs(json!({"size": 64, "mountOptions": ["mode=755,size=9g"]})),
            tmpfs(json!({"size": 64, "mountOptions": ["mode"]})),
            tmpfs(json!({"size": 64, "mountOptions": [""]})),
            tmpfs(json!({"size": 64, "mountOptions": ["mode="]})),
            tmpfs(json!({"size": 64, "mountOptions": ["mode=9"]})),
            tmpfs(json!({"size": 64, "mountOptions": ["uid=me"]})),
            tmpfs(json!({"size": 64, "mountOptions": ["nr_inodes=-1"]})),
            tmpfs(json!({"size": 0})),
            tmpfs(json!({"size": 64, "containerPath": "t"})),
            json!({"linuxParameters": {"tmpfs": [
                {"containerPath": "/t", "size": 1}, {"containerPath": "/t", "size": 2}]}}),
            json!({"linuxParameters": {"tmpfs": [
                {"containerPath": "/t", "size": 1}, {"containerPath": "//t/./x/../", "size": 2}]}}),
        ] {
            assert!(check(&properties(bad.clone())).is_err(), "{bad}");
        }
        for fine in [
            tmpfs(json!({"size": 64, "mountOptions": ["ro", "noexec", "mode=1777"]})),
            json!({"ulimits": [{"name": "nofile", "softLimit": -1, "hardLimit": -1}]}),
            json!({"ulimits": [{"name": "nofile", "softLimit": 5, "hardLimit": -1}]}),
            json!({"linuxParameters": {"sharedMemorySize": 1}}),
        ] {
            assert_eq!(check(&properties(fine.clone())), Ok(()), "{fine}");
        }
        for not_here in [
            tmpfs(json!({"size": 64, "mountOptions": ["bind"]})),
            tmpfs(json!({"size": 64, "mountOptions": ["ro", "remount"]})),
            json!({"secrets": [{"name": "A", "valueFrom": "arn:x"}]}),
            json!({"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}),
            json!({"volumes": [{"name": "v", "s3filesVolumeConfiguration": {"fileSystemArn": "arn:x"}}]}),
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "/a:b"}}],
                   "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}),
            json!({"volumes": [{"name": "v"}, {"name": "w"}], "mountPoints": [
                   {"sourceVolume": "v", "containerPath": "/v"}, {"sourceVolume": "w", "containerPath": "/v/"}]}),
            json!({"volumes": [{"name": "v"}], "mountPoints": [{"sourceVolume": "v", "containerPath": "/t/"}],
                   "linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1}]}}),
            json!({"volumes": [{"name": "v"}], "mountPoints": [
                   {"sourceVolume": "v", "containerPath": "/v"}, {"sourceVolume": "v", "containerPath": "/w"}]}),
        ] {
            assert!(check(&properties(not_here.clone())).is_ok(), "{not_here}");
            let error = check_runnable(&properties(not_here.clone())).unwrap_err();
            assert_eq!(error.code, "ClientException");
        }
        assert!(check_runnable(&properties(json!({"secrets": [], "jobRoleArn": "arn:x"}))).is_ok());
    }

    #[test]
    fn a_process_has_nothing_of_its_own() {
        let process = |mut extra: Value| {
            extra["image"] = json!("host");
            check_process(&properties(extra))
        };
        let mount = |path: &str, read_only: bool| {
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "/v"}}],
                   "mountPoints": [{"sourceVolume": "v", "containerPath": path, "readOnly": read_only}]})
        };
        let nothing = json!({"privileged": false, "linuxParameters": {"devices": [], "tmpfs": []}});
        for fine in [json!({}), json!({"user": "", "secrets": []}), nothing, mount("/v", false)] {
            assert!(process(fine.clone()).is_ok(), "{fine}");
        }
        for bad in [
            json!({"user": "7"}),
            json!({"secrets": [{"name": "A", "valueFrom": "arn:x"}]}),
            json!({"linuxParameters": {"sharedMemorySize": 64}}),
            json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 4}]}}),
            json!({"linuxParameters": {"devices": [{"hostPath": "/dev/null"}]}}),
            json!({"privileged": true}),
            json!({"readonlyRootFilesystem": true}),
            mount("/w", false),
            mount("/v", true),
        ] {
            assert_eq!(process(bad.clone()).unwrap_err().code, "ClientException", "{bad}");
        }
    }
}
