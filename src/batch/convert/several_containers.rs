//! The containers of ECS tasks (`ecsProperties`) and of pods on EKS, from the SDK's shapes.

use aws_sdk_batch::types::{
    AttemptEcsTaskDetails, EcsPropertiesDetail, EksAttemptContainerDetail, EksAttemptDetail,
    EksContainerDetail, EksContainerEnvironmentVariable, EksPropertiesDetail, JobDetail, NodeRangeProperty,
    TaskContainerDetails, TaskContainerProperties,
};

use super::fields::{ecs_cluster, log_driver, log_group, pairs, resources, tasks, variable};
use crate::batch::job::{Attempt, Job};
use crate::batch::job_containers::{deciding, shown_name};
use crate::batch::task::{
    AttemptContainer, AttemptPod, AttemptTask, Container, EcsProperties, EcsTask, EksPod, EksProperties,
    Resource,
};
use awsb_model::payload::launcher;
use awsb_model::{Status, SubmissionId};

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// API `EcsPropertiesDetail`.
pub fn ecs_properties(ecs: &EcsPropertiesDetail) -> EcsProperties {
    let task = |task: &aws_sdk_batch::types::EcsTaskDetails| {
        let cluster = task.task_arn().or(task.container_instance_arn()).and_then(ecs_cluster);
        let containers = task.containers().iter().map(container);
        EcsTask {
            task_arn: owned(task.task_arn()),
            container_instance_arn: owned(task.container_instance_arn()),
            containers: containers.map(|c| Container { ecs_cluster: cluster.clone(), ..c }).collect(),
        }
    };
    EcsProperties { task_properties: ecs.task_properties().iter().map(task).collect() }
}

fn container(detail: &TaskContainerDetails) -> Container {
    let environment = detail.environment();
    Container {
        name: owned(detail.name()),
        essential: detail.essential(),
        image: owned(detail.image()),
        command: Some(detail.command().to_vec()),
        resource_requirements: Some(resources(detail.resource_requirements())),
        exit_code: detail.exit_code(),
        reason: owned(detail.reason()),
        log_stream_name: owned(detail.log_stream_name()),
        log_driver: log_driver(detail.log_configuration()),
        log_group: log_group(detail.log_configuration()),
        launched: variable(environment, launcher::ARGS_VARIABLE),
        is_submitted: variable(environment, SubmissionId::VARIABLE).is_some(),
        tasks: tasks(environment),
        ..Container::default()
    }
}

/// API `AttemptEcsTaskDetails`.
pub fn attempt_task(task: &AttemptEcsTaskDetails) -> AttemptTask {
    let containers = task.containers().iter().map(|container| AttemptContainer {
        name: owned(container.name()),
        exit_code: container.exit_code(),
        reason: owned(container.reason()),
        log_stream_name: owned(container.log_stream_name()),
        container_id: None,
    });
    AttemptTask {
        task_arn: owned(task.task_arn()),
        container_instance_arn: owned(task.container_instance_arn()),
        containers: containers.collect(),
    }
}

/// API `EksPropertiesDetail`.
pub fn eks_properties(eks: &EksPropertiesDetail) -> EksProperties {
    let pod = eks.pod_properties().map(|pod| EksPod {
        pod_name: owned(pod.pod_name()),
        node_name: owned(pod.node_name()),
        namespace: owned(pod.metadata().and_then(|metadata| metadata.namespace())),
        containers: pod.containers().iter().map(eks_container).collect(),
        // Their end is never the end of the pod's own containers.
        init_containers: pod
            .init_containers()
            .iter()
            .map(|container| Container { essential: Some(false), ..eks_container(container) })
            .collect(),
    });
    EksProperties { pod_properties: pod }
}

fn eks_container(detail: &EksContainerDetail) -> Container {
    Container {
        name: owned(detail.name()),
        image: owned(detail.image()),
        command: Some([detail.command(), detail.args()].concat()),
        resource_requirements: detail.resources().map(|resources| {
            let limits = resources.limits().into_iter().chain(resources.requests()).flatten();
            let mut all: Vec<Resource> = Vec::new();
            for (name, quantity) in limits {
                if let Some(resource) = resource(name, quantity)
                    && all.iter().all(|other| other.kind != resource.kind)
                {
                    all.push(resource);
                }
            }
            all.sort_by(|a, b| b.kind.cmp(&a.kind));
            all
        }),
        exit_code: detail.exit_code(),
        reason: owned(detail.reason()),
        ..Container::default()
    }
}

/// A quantity of Kubernetes (API `EksContainerResourceRequirements`: `cpu`, `memory` in `Mi`, and
/// `nvidia.com/gpu`) as a resource of Batch.
fn resource(name: &str, quantity: &str) -> Option<Resource> {
    let (kind, value) = match name {
        "cpu" => match quantity.strip_suffix('m') {
            Some(thousandths) => ("VCPU", (thousandths.parse::<f64>().ok()? / 1000.0).to_string()),
            None => ("VCPU", quantity.to_owned()),
        },
        "memory" => match quantity.strip_suffix("Mi") {
            Some(mib) => ("MEMORY", mib.to_owned()),
            None => {
                let gib: f64 = quantity.strip_suffix("Gi")?.parse().ok()?;
                ("MEMORY", (gib * 1024.0).to_string())
            }
        },
        "nvidia.com/gpu" => ("GPU", quantity.to_owned()),
        _ => return None,
    };
    Some(Resource { kind: kind.to_owned(), value })
}

/// Gives a job of several containers its main container, and its attempts those that decided them.
pub fn complete(job: &mut Job, eks_attempts: &[EksAttemptDetail]) {
    if job.eks_properties.is_some() {
        job.attempts = Some(eks_attempts.iter().map(eks_attempt).collect());
    }
    let containers: Vec<Container> = job.task_containers().into_iter().cloned().collect();
    if containers.is_empty() {
        return;
    }
    let is_essential = |name: &Option<String>| {
        containers.iter().find(|container| container.name == *name).is_none_or(Container::is_essential)
    };
    // Batch tries a job again only after a failure, so only the last attempt can have succeeded.
    let ended = job.attempts.as_ref().map_or(0, Vec::len);
    for (number, attempt) in (1..).zip(job.attempts.iter_mut().flatten()) {
        let has_succeeded = job.status == Status::Succeeded && number == ended;
        let essential: Vec<AttemptContainer> =
            attempt.containers().into_iter().filter(|c| is_essential(&c.name)).cloned().collect();
        let found = deciding(&essential, has_succeeded, |c| (c.exit_code, c.reason.as_deref()));
        if let Some(container) = found {
            attempt.container = AttemptContainer { name: None, container_id: None, ..container.clone() };
        }
    }
    let tasks = containers.iter().find(|container| container.is_submitted).and_then(|c| c.tasks.clone());
    job.container = main_of(containers).map(|main| Container { tasks: main.tasks.or(tasks), ..main });
}

/// The main one of the containers of a job.
fn main_of(containers: Vec<Container>) -> Option<Container> {
    let at = containers.iter().position(Container::is_essential).unwrap_or(0);
    containers.into_iter().nth(at)
}

fn eks_attempt(attempt: &EksAttemptDetail) -> Attempt {
    let container = |container: &EksAttemptContainerDetail| AttemptContainer {
        name: owned(container.name()),
        exit_code: container.exit_code(),
        reason: owned(container.reason()),
        log_stream_name: None,
        container_id: owned(container.container_id()),
    };
    Attempt {
        started_at: attempt.started_at(),
        stopped_at: attempt.stopped_at(),
        status_reason: owned(attempt.status_reason()),
        container: AttemptContainer::default(),
        task_properties: Vec::new(),
        pod: Some(AttemptPod {
            pod_name: owned(attempt.pod_name()),
            pod_namespace: owned(attempt.pod_namespace()),
            node_name: owned(attempt.node_name()),
            eks_cluster_arn: owned(attempt.eks_cluster_arn()),
            containers: attempt.containers().iter().map(container).collect(),
            init_containers: attempt.init_containers().iter().map(container).collect(),
        }),
    }
}

/// The variables of the containers of a task or a pod.
pub fn environments(detail: &JobDetail) -> Vec<Vec<(&str, &str)>> {
    let tasks = detail.ecs_properties().iter().flat_map(|ecs| ecs.task_properties()).collect::<Vec<_>>();
    let of_tasks = tasks.into_iter().flat_map(|task| task.containers());
    let mut of_tasks: Vec<_> =
        of_tasks.map(|c| (c.essential() == Some(false), pairs(c.environment()))).collect();
    of_tasks.sort_by_key(|(is_extra, _)| *is_extra);
    let pods = detail.eks_properties().and_then(|eks| eks.pod_properties());
    let of_pods = pods.map(|pod| pod.containers()).unwrap_or_default().iter().map(|c| eks_pairs(c.env()));
    of_tasks.into_iter().map(|(_, variables)| variables).chain(of_pods).collect()
}

fn eks_pairs(variables: &[EksContainerEnvironmentVariable]) -> Vec<(&str, &str)> {
    variables.iter().map(|v| (v.name().unwrap_or_default(), v.value().unwrap_or_default())).collect()
}

/// The variables of the containers of a node range.
pub fn environments_of_range(range: &NodeRangeProperty) -> Vec<Vec<(&str, &str)>> {
    let mut containers = containers_of_range(range);
    containers.sort_by_key(|container| container.essential() == Some(false));
    containers.into_iter().map(|container| pairs(container.environment())).collect()
}

fn containers_of_range(range: &NodeRangeProperty) -> Vec<&TaskContainerProperties> {
    let tasks = range.ecs_properties().map(|ecs| ecs.task_properties()).unwrap_or_default();
    tasks.iter().flat_map(|task| task.containers()).collect()
}

/// The names of the containers of a node range of several.
pub fn names_of_range(range: &NodeRangeProperty) -> Vec<String> {
    containers_of_range(range).into_iter().map(|container| shown_name(container.name()).to_owned()).collect()
}

/// The main container of a node range of several.
pub fn main_of_range(range: &NodeRangeProperty) -> Option<Container> {
    let containers = containers_of_range(range).into_iter().map(|properties| Container {
        name: owned(properties.name()),
        essential: properties.essential(),
        image: owned(properties.image()),
        command: Some(properties.command().to_vec()),
        resource_requirements: Some(resources(properties.resource_requirements())),
        log_group: log_group(properties.log_configuration()),
        launched: variable(properties.environment(), launcher::ARGS_VARIABLE),
        tasks: tasks(properties.environment()),
        ..Container::default()
    });
    main_of(containers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_kubernetes() {
        let value = |name: &str, quantity: &str| resource(name, quantity).map(|r| r.kind + "=" + &r.value);
        assert_eq!(value("cpu", "1500m").as_deref(), Some("VCPU=1.5"));
        assert_eq!(value("cpu", "2").as_deref(), Some("VCPU=2"));
        assert_eq!(value("memory", "2Gi").as_deref(), Some("MEMORY=2048"));
        assert_eq!(value("memory", "512Mi").as_deref(), Some("MEMORY=512"));
        assert_eq!(value("nvidia.com/gpu", "1").as_deref(), Some("GPU=1"));
        assert_eq!(value("memory", "x"), None);
        assert_eq!(value("hugepages-2Mi", "1"), None);
    }
}
