//! The task in which a job runs, as far as a command in it needs it.

use aws_sdk_batch::types::JobDetail;

use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::JobId;

/// The place where a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecTarget {
    /// A task of ECS.
    Task(ExecTask),
    /// A pod of EKS.
    Pod {
        /// Its name.
        name: String,
        /// Its namespace, as far as it is known.
        namespace: Option<String>,
    },
    /// It is not known (yet).
    Nowhere,
}

/// A task of ECS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecTask {
    /// The name of its cluster.
    pub cluster: String,
    /// Its ARN.
    pub arn: String,
    /// Whether the job definition has `enableExecuteCommand`.
    pub is_enabled: bool,
    /// Whether the job has a role of its own.
    pub has_role: bool,
    /// The name of its first essential container, where Batch says it.
    pub container: Option<String>,
}

/// Where a job runs.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn exec_target(session: &Session, id: &JobId) -> Result<ExecTarget, Failure> {
    let detail = super::sdk_details(session, std::slice::from_ref(id)).await?.pop().flatten();
    Ok(detail.map_or(ExecTarget::Nowhere, |detail| target(&detail)))
}

fn target(detail: &JobDetail) -> ExecTarget {
    // Batch has an empty container for a job of several.
    if let Some(container) = detail.container().filter(|_| detail.ecs_properties().is_none()) {
        let is_enabled = container.enable_execute_command() == Some(true);
        let has_role = container.job_role_arn().is_some_and(|role| !role.is_empty());
        let task = task(container.task_arn(), container.container_instance_arn(), is_enabled, has_role, None);
        return task.map_or(ExecTarget::Nowhere, ExecTarget::Task);
    }
    if let Some(properties) = detail.ecs_properties() {
        let task = properties.task_properties().first().and_then(|details| {
            let is_enabled = details.enable_execute_command() == Some(true);
            let has_role = details.task_role_arn().is_some_and(|role| !role.is_empty());
            // API: a container without `essential` is essential.
            let main = details.containers().iter().find(|container| container.essential() != Some(false));
            let name = main.and_then(|container| container.name());
            task(details.task_arn(), details.container_instance_arn(), is_enabled, has_role, name)
        });
        return task.map_or(ExecTarget::Nowhere, ExecTarget::Task);
    }
    let pod = detail.eks_properties().and_then(|properties| properties.pod_properties());
    match pod.and_then(|pod| Some((pod.pod_name()?, pod))) {
        Some((name, pod)) => ExecTarget::Pod {
            name: name.to_owned(),
            namespace: pod.metadata().and_then(|metadata| metadata.namespace()).map(str::to_owned),
        },
        None => ExecTarget::Nowhere,
    }
}

fn task(
    arn: Option<&str>,
    instance: Option<&str>,
    is_enabled: bool,
    has_role: bool,
    container: Option<&str>,
) -> Option<ExecTask> {
    let arn = arn.filter(|arn| !arn.is_empty())?;
    let cluster = cluster_of(arn).or_else(|| cluster_of(instance?))?.to_owned();
    Some(ExecTask {
        cluster,
        arn: arn.to_owned(),
        is_enabled,
        has_role,
        container: container.map(str::to_owned),
    })
}

/// The cluster in the ARN of a task or of a container instance: `…:task/CLUSTER/ID` (ECS Developer
/// Guide, `ecs-account-settings`: the older form has no cluster).
fn cluster_of(arn: &str) -> Option<&str> {
    let mut parts = arn.rsplit(':').next()?.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("task" | "container-instance"), Some(cluster), Some(_)) => Some(cluster),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{ContainerDetail, EcsPropertiesDetail, EcsTaskDetails, TaskContainerDetails};

    use super::*;

    const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/AWSBatch-c/0123";

    #[test]
    fn a_job_with_one_container_runs_in_its_task() {
        let container = ContainerDetail::builder().task_arn(TASK).enable_execute_command(true);
        let detail = JobDetail::builder().container(container.job_role_arn("r").build()).build();
        let expected = ExecTask {
            cluster: "AWSBatch-c".to_owned(),
            arn: TASK.to_owned(),
            is_enabled: true,
            has_role: true,
            container: None,
        };
        assert_eq!(target(&detail), ExecTarget::Task(expected));
        let waits = JobDetail::builder().container(ContainerDetail::builder().build()).build();
        assert_eq!(target(&waits), ExecTarget::Nowhere);
    }

    #[test]
    fn a_job_with_several_containers_has_a_first_essential_one() {
        let container = |name: &str, essential: bool| {
            TaskContainerDetails::builder().name(name).essential(essential).build()
        };
        let details = EcsTaskDetails::builder()
            .task_arn(TASK)
            .containers(container("sidecar", false))
            .containers(container("main", true));
        let properties = EcsPropertiesDetail::builder().task_properties(details.build()).build();
        let detail = JobDetail::builder().ecs_properties(properties).build();
        let ExecTarget::Task(task) = target(&detail) else { panic!("not a task") };
        assert_eq!(task.container.as_deref(), Some("main"));
        assert!(!task.is_enabled && !task.has_role);
    }

    #[test]
    fn the_cluster_is_in_the_arn() {
        assert_eq!(cluster_of(TASK), Some("AWSBatch-c"));
        assert_eq!(cluster_of("arn:aws:ecs:eu-west-1:123456789012:task/0123"), None);
    }
}
