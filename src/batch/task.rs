//! Containers, and the tasks and pods that have several of them, as Batch describes them.

use serde::Serialize;

use awsb_model::Tasks;

/// API `ContainerDetail` and `TaskContainerDetails`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The name, of a container of a task or a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether its end ends the task, where the job definition says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub essential: Option<bool>,
    /// The image.
    pub image: Option<String>,
    /// The command and its arguments.
    pub command: Option<Vec<String>>,
    /// vCPUs, in the field that `resourceRequirements` has replaced. Old job definitions have it.
    pub vcpus: Option<i32>,
    /// Memory in MiB, in the old field.
    pub memory: Option<i32>,
    /// vCPUs, memory in MiB, GPUs.
    pub resource_requirements: Option<Vec<Resource>>,
    /// The exit code.
    pub exit_code: Option<i32>,
    /// The reason for the end of the container, in a few words.
    pub reason: Option<String>,
    /// The log stream with its output.
    pub log_stream_name: Option<String>,
    /// The name of the ECS cluster in which it runs, which is that of a compute environment.
    #[serde(skip)]
    pub ecs_cluster: Option<String>,
    /// The log driver, when it is another one than `awslogs`.
    #[serde(skip)]
    pub log_driver: Option<String>,
    /// The log group, when the job definition names one.
    #[serde(skip)]
    pub log_group: Option<String>,
    /// The command that the launcher starts, quoted for sh, where the container's command lacks it.
    #[serde(skip)]
    pub launched: Option<String>,
    /// Whether it is the container that a tool of ours gave the job's command, of a job of several.
    #[serde(skip)]
    pub is_submitted: bool,
    /// The job's tasks, where they are not the indices of its children.
    #[serde(skip)]
    pub tasks: Option<Tasks>,
}

/// API `ResourceRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// `VCPU`, `MEMORY` or `GPU`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many; MiB for memory.
    pub value: String,
}

/// API `EcsPropertiesDetail`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsProperties {
    /// The tasks. Batch has one for a job.
    pub task_properties: Vec<EcsTask>,
}

/// API `EcsTaskDetails`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsTask {
    /// The ARN of the task of the last attempt.
    pub task_arn: Option<String>,
    /// The ARN of the container instance that runs it.
    pub container_instance_arn: Option<String>,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// API `EksPropertiesDetail`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EksProperties {
    /// The pod of the last attempt.
    pub pod_properties: Option<EksPod>,
}

/// API `EksPodPropertiesDetail`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EksPod {
    /// The pod's name.
    pub pod_name: Option<String>,
    /// The name of the node that runs it.
    pub node_name: Option<String>,
    /// The Kubernetes namespace.
    pub namespace: Option<String>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// The containers that run before them.
    pub init_containers: Vec<Container>,
}

/// API `AttemptEcsTaskDetails`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptTask {
    /// The ARN of the task.
    pub task_arn: Option<String>,
    /// The ARN of the container instance that ran it.
    pub container_instance_arn: Option<String>,
    /// Its containers.
    pub containers: Vec<AttemptContainer>,
}

/// The pod of an attempt (API `EksAttemptDetail`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptPod {
    /// The pod's name.
    pub pod_name: Option<String>,
    /// The Kubernetes namespace.
    pub pod_namespace: Option<String>,
    /// The name of the node that ran it.
    pub node_name: Option<String>,
    /// The ARN of the EKS cluster.
    pub eks_cluster_arn: Option<String>,
    /// Its containers.
    pub containers: Vec<AttemptContainer>,
    /// The containers that ran before them.
    pub init_containers: Vec<AttemptContainer>,
}

/// API `AttemptContainerDetail`, `AttemptTaskContainerDetails`, and `EksAttemptContainerDetail`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptContainer {
    /// The name, of a container of a task or a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exit code.
    pub exit_code: Option<i32>,
    /// The reason for the end of the container, in a few words.
    pub reason: Option<String>,
    /// The log stream with its output.
    pub log_stream_name: Option<String>,
    /// The ID of the container, on EKS.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}

impl Container {
    /// Whether its end ends the task (API `TaskContainerDetails`, `essential`: it is, if nothing
    /// else is said).
    pub fn is_essential(&self) -> bool {
        self.essential != Some(false)
    }
}
