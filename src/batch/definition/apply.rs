//! Changes, made to a container's properties. Pure.

use aws_sdk_batch::types::{
    ContainerProperties, Device, DeviceCgroupPermission, EcsProperties, EfsAuthorizationConfig,
    EfsAuthorizationConfigIam, EfsTransitEncryption, EfsVolumeConfiguration, EphemeralStorage, Host,
    LinuxParameters, MountPoint, NodeRangeProperty, RepositoryCredentials, Secret, TaskContainerProperties,
    Tmpfs, Ulimit, Volume,
};

use crate::ui::Failure;
use awsb_model::{ContainerChanges, Efs, Mount};

/// Makes the changes to the container of the job definition `definition` (its ARN).
///
/// # Errors
/// When the container lacks a role that the changes need, or two mounts have the same path.
pub fn apply(
    container: &mut ContainerProperties,
    changes: &ContainerChanges,
    definition: &str,
) -> Result<(), Failure> {
    let role = |role: &awsb_model::Role| {
        role.arn(definition).ok_or_else(|| {
            Failure::usage(format!("give the ARN of the role: the account of {definition} is not known"))
        })
    };
    if let Some(image) = &changes.image {
        container.image = Some(image.to_string());
    }
    if let Some(job_role) = &changes.job_role {
        container.job_role_arn = Some(role(job_role)?);
    }
    if let Some(execution_role) = &changes.execution_role {
        container.execution_role_arn = Some(role(execution_role)?);
    }
    if let Some(user) = &changes.user {
        container.user = Some(user.to_string());
    }
    for ulimit in &changes.ulimits {
        let ulimits = container.ulimits.get_or_insert_default();
        ulimits.retain(|u| u.name() != Some(ulimit.name));
        let ulimit = Ulimit::builder().name(ulimit.name).soft_limit(ulimit.soft).hard_limit(ulimit.hard);
        ulimits.push(ulimit.build());
    }
    secrets(container, changes, definition)?;
    if let Some(size) = changes.shm_size {
        let linux = container.linux_parameters.get_or_insert_with(|| LinuxParameters::builder().build());
        linux.shared_memory_size = Some(i32::try_from(size.mib()).unwrap_or(i32::MAX));
    }
    linux_parameters(container, changes);
    if changes.privileged {
        container.privileged = Some(true);
    }
    if let Some(instance_type) = &changes.instance_type {
        container.instance_type = Some(instance_type.to_string());
    }
    if let Some(secret) = &changes.repository_credentials {
        // UG, `private-registry`: it is the execution role that reads the secret.
        if container.execution_role_arn.as_deref().is_none_or(str::is_empty) {
            return Err(Failure::usage(format!(
                "`--repository-credentials` needs an execution role, which reads the secret, and the job definition \
                 {definition} has none"
            ))
            .hint("`--execution-role ROLE` sets one"));
        }
        let credentials = RepositoryCredentials::builder().credentials_parameter(secret.to_string());
        container.repository_credentials = Some(credentials.build());
    }
    if let Some(size) = changes.ephemeral_storage {
        let size = EphemeralStorage::builder().size_in_gib(size.gib().cast_signed());
        container.ephemeral_storage = Some(size.build());
    }
    if changes.enable_exec {
        // ECS Developer Guide, `ecs-exec`: the agent in the container uses the role of the task.
        if container.job_role_arn.as_deref().is_none_or(str::is_empty) {
            return Err(Failure::usage(format!(
                "`--enable-exec` needs a job role, which the agent in the container uses, and the job definition \
                 {definition} has none"
            ))
            .hint("`--job-role ROLE` sets one; docs/iam.md has its permissions"));
        }
        container.enable_execute_command = Some(true);
    }
    if let Some(efs) =
        changes.efs.iter().find(|e| changes.mounts.iter().any(|m| same(&m.container, &e.container)))
    {
        return Err(Failure::usage(format!(
            "`--mount` and `--efs` both mount something at {}",
            efs.container
        )));
    }
    for mount in &changes.mounts {
        mount_volume(container, &mount.container, mount.read_only, folder(mount));
    }
    for efs in &changes.efs {
        if efs.iam && container.job_role_arn.is_none() {
            return Err(Failure::usage(format!(
                "mounting {} as the job role: the job definition {definition} has none",
                efs.file_system
            ))
            .hint("`--job-role ROLE` sets one"));
        }
        mount_volume(container, &efs.container, efs.read_only, file_system(efs));
    }
    Ok(())
}

/// Makes the changes to the container of a node range, if the range has one. The instance type can
/// be in the range, too, and the one of the changes replaces it.
///
/// # Errors
/// As [`apply`].
pub fn apply_to_range(
    range: &mut NodeRangeProperty,
    changes: &ContainerChanges,
    definition: &str,
) -> Result<(), Failure> {
    let Some(container) = &mut range.container else { return Ok(()) };
    apply(container, changes, definition)?;
    if changes.instance_type.is_some() {
        range.instance_types = None;
    }
    Ok(())
}

/// The file systems in memory and the devices of a container.
fn linux_parameters(container: &mut ContainerProperties, changes: &ContainerChanges) {
    if changes.tmpfs.is_empty() && changes.devices.is_empty() {
        return;
    }
    let linux = container.linux_parameters.get_or_insert_with(|| LinuxParameters::builder().build());
    for tmpfs in &changes.tmpfs {
        let all = linux.tmpfs.get_or_insert_default();
        all.retain(|other| !other.container_path().is_some_and(|path| same(path, &tmpfs.container)));
        let options = (!tmpfs.options.is_empty()).then(|| tmpfs.options.clone());
        let size = i32::try_from(tmpfs.mib).unwrap_or(i32::MAX);
        let built = Tmpfs::builder().container_path(&tmpfs.container).size(size).set_mount_options(options);
        all.push(built.build());
    }
    for device in &changes.devices {
        let all = linux.devices.get_or_insert_default();
        all.retain(|other| {
            let path = other.container_path().or(other.host_path());
            !path.is_some_and(|path| same(path, &device.container))
        });
        let permissions = device.permissions().into_iter().map(DeviceCgroupPermission::from).collect();
        let built = Device::builder().host_path(&device.host).container_path(&device.container);
        all.push(built.set_permissions(Some(permissions)).build());
    }
}

/// Makes the changes to a container of a task (its name; `None` is the only one, which has none),
/// and to the task where a job of one container has it in its container: roles, volumes and the
/// disk.
///
/// # Errors
/// As [`apply`], and when the task has no such container.
pub fn apply_to_task(
    ecs: &mut EcsProperties,
    name: Option<&str>,
    changes: &ContainerChanges,
    definition: &str,
) -> Result<(), Failure> {
    let gone =
        || Failure::usage(format!("the job definition {definition} has no task with such a container"));
    let task = ecs.task_properties.iter_mut().flatten().next().ok_or_else(gone)?;
    let containers = task.containers.get_or_insert_default();
    let is_named = |c: &TaskContainerProperties| c.name().filter(|name| !name.is_empty()) == name;
    let at = containers.iter().position(is_named).ok_or_else(gone)?;
    let others: Vec<String> = containers
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != at)
        .flat_map(|(_, container)| container.mount_points())
        .filter_map(|point| point.source_volume.clone())
        .collect();
    let container = containers.get_mut(at).ok_or_else(gone)?;
    let mut whole = ContainerProperties::builder()
        .set_job_role_arn(task.task_role_arn.take())
        .set_execution_role_arn(task.execution_role_arn.take())
        .set_ephemeral_storage(task.ephemeral_storage.take())
        .set_enable_execute_command(task.enable_execute_command)
        .set_volumes(task.volumes.clone())
        .set_image(container.image.take())
        .set_user(container.user.take())
        .set_privileged(container.privileged)
        .set_repository_credentials(container.repository_credentials.take())
        .set_ulimits(container.ulimits.take())
        .set_secrets(container.secrets.take())
        .set_environment(container.environment.take())
        .set_linux_parameters(container.linux_parameters.take())
        .set_mount_points(container.mount_points.take())
        .build();
    apply(&mut whole, changes, definition)?;
    let mut volumes = whole.volumes.take().unwrap_or_default();
    // A volume that only this container does not mount any more is still the others'.
    let is_left = |volume: &&Volume| {
        let name = volume.name();
        name.is_some_and(|name| others.iter().any(|other| other == name))
            && volumes.iter().all(|kept| kept.name() != name)
    };
    let left: Vec<Volume> = task.volumes.iter().flatten().filter(is_left).cloned().collect();
    volumes.extend(left);
    task.task_role_arn = whole.job_role_arn;
    task.execution_role_arn = whole.execution_role_arn;
    task.ephemeral_storage = whole.ephemeral_storage;
    task.enable_execute_command = whole.enable_execute_command;
    task.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
    container.image = whole.image;
    container.user = whole.user;
    container.privileged = whole.privileged;
    container.repository_credentials = whole.repository_credentials;
    container.ulimits = whole.ulimits;
    container.secrets = whole.secrets;
    container.environment = whole.environment;
    container.linux_parameters = whole.linux_parameters;
    container.mount_points = whole.mount_points;
    Ok(())
}

fn secrets(
    container: &mut ContainerProperties,
    changes: &ContainerChanges,
    definition: &str,
) -> Result<(), Failure> {
    for secret in &changes.secrets {
        let name = secret.name.as_str();
        // ECS refuses a variable that is both (ECS API, `Secret`: the names have to be unique).
        container.environment.iter_mut().for_each(|all| all.retain(|v| v.name() != Some(name)));
        let secrets = container.secrets.get_or_insert_default();
        secrets.retain(|s| s.name() != Some(name));
        secrets.push(Secret::builder().name(name).value_from(&secret.source).build());
    }
    // UG, `execution-IAM-role`: it is the execution role that fetches them.
    if !changes.secrets.is_empty() && container.execution_role_arn.as_deref().is_none_or(str::is_empty) {
        return Err(Failure::usage(format!(
            "`--secret` needs an execution role, which fetches the secret, and the job definition {definition} has none"
        ))
        .hint("`--execution-role ROLE` sets one"));
    }
    Ok(())
}

/// Mounts a volume at a path of the container, and replaces an earlier mount at that path.
fn mount_volume(container: &mut ContainerProperties, path: &str, read_only: bool, volume: Volume) {
    let volumes = container.volumes.get_or_insert_default();
    let name = (0..)
        .map(|n| format!("awsb-{n}"))
        .find(|name| volumes.iter().all(|v| v.name() != Some(name)))
        .unwrap_or_default();
    let mut volume = volume;
    volume.name = Some(name.clone());
    volumes.push(volume);
    let points = container.mount_points.get_or_insert_default();
    points.retain(|point| !point.container_path().is_some_and(|p| same(p, path)));
    let point = MountPoint::builder().container_path(path).source_volume(name).read_only(read_only);
    points.push(point.build());
    // A volume that nothing mounts any more has no use.
    let points = container.mount_points();
    let used: Vec<String> = points.iter().filter_map(|p| p.source_volume.clone()).collect();
    if let Some(volumes) = &mut container.volumes {
        volumes.retain(|v| v.name().is_some_and(|name| used.iter().any(|u| u == name)));
    }
}

fn folder(mount: &Mount) -> Volume {
    Volume::builder().host(Host::builder().source_path(&mount.host).build()).build()
}

/// The volume for an EFS file system. Its transfer is always encrypted, because access points and
/// roles require it (API `EFSVolumeConfiguration`).
fn file_system(efs: &Efs) -> Volume {
    let authorization = (efs.access_point.is_some() || efs.iam).then(|| {
        EfsAuthorizationConfig::builder()
            .set_access_point_id(efs.access_point.clone())
            .set_iam(efs.iam.then_some(EfsAuthorizationConfigIam::Enabled))
            .build()
    });
    let configuration = EfsVolumeConfiguration::builder()
        .file_system_id(&efs.file_system)
        .set_root_directory(efs.folder.clone())
        .transit_encryption(EfsTransitEncryption::Enabled)
        .set_authorization_config(authorization)
        .build();
    Volume::builder().efs_volume_configuration(configuration).build()
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::KeyValuePair;

    use super::*;

    const ARN: &str = "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1";

    fn base() -> ContainerProperties {
        ContainerProperties::builder()
            .image("old")
            .command("true")
            .environment(KeyValuePair::builder().name("DB").value("plain").build())
            .ulimits(Ulimit::builder().name("nofile").soft_limit(1).hard_limit(1).build())
            .volumes(Volume::builder().name("awsb-0").build())
            .mount_points(MountPoint::builder().container_path("/data/").source_volume("awsb-0").build())
            .build()
    }

    fn all<T: std::str::FromStr>(texts: &[&str]) -> Vec<T> {
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    #[test]
    fn what_is_named_replaces_and_the_rest_stays() {
        let mut container = base();
        let changes = ContainerChanges {
            image: "new".parse().ok(),
            execution_role: "fetch".parse().ok(),
            ulimits: all(&["nofile=2:3", "core=0"]),
            mounts: all(&["/scratch:/data:ro", "/a:/b"]),
            efs: all(&["fs-0123abcd:fsap-0123abcd:/efs"]),
            secrets: all(&["DB=/db"]),
            shm_size: "1G".parse().ok(),
            ..ContainerChanges::default()
        };
        assert_eq!(apply(&mut container, &changes, ARN), Ok(()));
        assert_eq!((container.image(), container.command()), (Some("new"), &["true".to_owned()][..]));
        assert_eq!(container.execution_role_arn(), Some("arn:aws:iam::123456789012:role/fetch"));
        assert_eq!(container.environment().len(), 0);
        let limits: Vec<_> =
            container.ulimits().iter().map(|u| (u.name().unwrap(), u.hard_limit())).collect();
        assert_eq!(limits, [("nofile", Some(3)), ("core", Some(0))]);
        let points: Vec<_> =
            container.mount_points().iter().map(|p| (p.container_path().unwrap(), p.read_only())).collect();
        assert_eq!(points, [("/data", Some(true)), ("/b", Some(false)), ("/efs", Some(false))]);
        let volumes: Vec<_> = container.volumes().iter().map(|v| v.name().unwrap()).collect();
        assert_eq!(volumes, ["awsb-1", "awsb-0", "awsb-2"]);
        assert_eq!(container.linux_parameters().unwrap().shared_memory_size(), Some(1024));
    }

    #[test]
    fn an_instance_type_replaces_that_of_the_node_range() {
        let range = || {
            let range = NodeRangeProperty::builder().target_nodes("0:").container(base());
            range.instance_types("m5.large").build()
        };
        let changed = |changes: &ContainerChanges| {
            let mut range = range();
            assert_eq!(apply_to_range(&mut range, changes, ARN), Ok(()));
            let of_container = range.container().and_then(|container| container.instance_type.clone());
            (range.instance_types().to_vec(), of_container)
        };
        let instance_type = "c5.large".parse().ok();
        let other = ContainerChanges { instance_type, ..ContainerChanges::default() };
        assert_eq!(changed(&other), (Vec::new(), Some("c5.large".to_owned())));
        let image = ContainerChanges { image: "new".parse().ok(), ..ContainerChanges::default() };
        assert_eq!(changed(&image), (vec!["m5.large".to_owned()], None));
    }

    #[test]
    fn a_change_of_one_container_leaves_the_others_of_its_task() {
        let mount = |path: &str| MountPoint::builder().container_path(path).source_volume("awsb-0").build();
        let container = |name: &str| {
            TaskContainerProperties::builder().name(name).image("old").mount_points(mount("/data")).build()
        };
        let task = aws_sdk_batch::types::EcsTaskProperties::builder()
            .containers(container("main"))
            .containers(container("side"))
            .volumes(Volume::builder().name("awsb-0").build())
            .build();
        let mut ecs = EcsProperties::builder().task_properties(task).build();
        let changes = ContainerChanges {
            image: "new".parse().ok(),
            job_role: "theirs".parse().ok(),
            mounts: all(&["/scratch:/data"]),
            ..ContainerChanges::default()
        };
        assert_eq!(apply_to_task(&mut ecs, Some("main"), &changes, ARN), Ok(()));
        let task = &ecs.task_properties()[0];
        let images: Vec<_> = task.containers().iter().map(|c| c.image().unwrap()).collect();
        assert_eq!(images, ["new", "old"]);
        assert_eq!(task.task_role_arn(), Some("arn:aws:iam::123456789012:role/theirs"));
        let volumes: Vec<_> = task.volumes().iter().map(|v| v.name().unwrap()).collect();
        assert_eq!(volumes, ["awsb-1", "awsb-0"]);
        assert_eq!(task.containers()[0].mount_points()[0].source_volume(), Some("awsb-1"));
        assert!(apply_to_task(&mut ecs, Some("other"), &changes, ARN).is_err());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let refused =
            |changes: ContainerChanges| apply(&mut base(), &changes, ARN).unwrap_err().message().to_owned();
        let none = ContainerChanges::default;
        assert!(refused(ContainerChanges { secrets: all(&["A=/a"]), ..none() }).contains("execution role"));
        let twice = ContainerChanges { mounts: all(&["/a:/x/"]), efs: all(&["fs-0123abcd:/x"]), ..none() };
        assert!(refused(twice).contains("both mount"));
        let exec = ContainerChanges { enable_exec: true, ..none() };
        assert!(refused(exec.clone()).contains("`--enable-exec` needs a job role"));
        let mut container = base();
        let exec = ContainerChanges { job_role: "jobs".parse().ok(), ..exec };
        assert_eq!(apply(&mut container, &exec, ARN), Ok(()));
        assert_eq!(container.enable_execute_command(), Some(true));
        let iam = ContainerChanges { efs: all(&["fs-0123abcd:/x:iam"]), ..none() };
        assert!(refused(iam).contains("job role"));
    }
}
