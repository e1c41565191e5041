//! A job that has been resolved in its cluster, and the SubmitJob requests for it.

use super::payload::launcher;
use super::request::{
    ArrayProperties, EcsPropertiesOverride, JobTimeout, KeyValue, NodeOverrides, NodePropertyOverride,
    Overrides, ResourceRequirement, SubmitRequest,
};
use super::{
    Consumption, Dependency, Invalid, JobId, JobNodes, JobSpec, NodeTargets, Resources, Shape, Tasks,
    dependencies, limits,
};

/// A job that has been resolved in its cluster: each name in its [`JobSpec`] has been looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedJob {
    /// The job as the user describes it.
    pub spec: JobSpec,
    /// One container or many, according to the job definition.
    pub shape: ResolvedShape,
    /// The queue's name or ARN.
    pub job_queue: String,
    /// The job definition: `NAME`, `NAME:REVISION` or an ARN.
    pub job_definition: String,
    /// The container that runs the job, where the job definition has a task of containers.
    pub container: Option<TargetContainer>,
    /// The jobs that must succeed first.
    pub depends_on: Vec<Dependency<JobId>>,
    /// The consumable resources of each instance, in place of those of the job definition; empty
    /// where the job has those of its job definition.
    pub consumes: Vec<Consumption>,
}

/// The container of a task that runs the job; the others of the task stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetContainer {
    /// Its name. `None`: it is the only container, and has no name.
    pub name: Option<String>,
}

/// One container, or many. Unlike a [`Shape`], it has the node ranges of the job definition.
#[derive(Debug, Clone, PartialEq)]
pub enum ResolvedShape {
    /// One container.
    Single,
    /// An array of tasks: one array job, several of them, or a single job for one task.
    Array(Tasks),
    /// A multi-node parallel job.
    Nodes(JobNodes),
}

impl ResolvedShape {
    /// The shape of a job whose job definition gives it these nodes. `None`: it is an array with
    /// nodes, which Batch does not have.
    pub fn new(shape: &Shape, nodes: Option<JobNodes>) -> Option<Self> {
        match (shape, nodes) {
            (Shape::Array(_), Some(_)) => None,
            (Shape::Array(tasks), None) => Some(Self::Array(tasks.clone())),
            (Shape::Single | Shape::Nodes(_), Some(nodes)) => Some(Self::Nodes(nodes)),
            (Shape::Single, None) => Some(Self::Single),
            (Shape::Nodes(count), None) => Some(Self::Nodes(JobNodes { count: *count, ranges: Vec::new() })),
        }
    }

    /// The number of nodes of the job, or of each child of an array.
    pub fn nodes(&self) -> u32 {
        match self {
            Self::Single | Self::Array(_) => 1,
            Self::Nodes(nodes) => nodes.count,
        }
    }
}

impl ResolvedJob {
    /// The SubmitJob request for the job, or for a part of its tasks, that runs this command with
    /// these variables.
    ///
    /// # Errors
    /// When the job waits for more jobs than Batch accepts.
    pub fn submit_request(
        &self,
        part: Option<&Tasks>,
        command: Vec<String>,
        environment: Vec<KeyValue>,
    ) -> Result<SubmitRequest, Invalid> {
        let spec = &self.spec;
        let scheduling = &spec.scheduling;
        let resource_requirements = spec.resources.requirements();
        let overrides = Overrides { command, environment, resource_requirements };
        let (array_properties, overrides, node_overrides) = match &self.shape {
            ResolvedShape::Single | ResolvedShape::Array(_) => {
                // Batch has no array of one child.
                let size = part.map(|part| part.ids().count()).filter(|n| limits::ARRAY_SIZE.contains(n));
                (size.map(|size| ArrayProperties { size }), Some(overrides), None)
            }
            ResolvedShape::Nodes(JobNodes { count, ranges }) => {
                let ranges =
                    ranges.iter().map(|range| overrides_of_range(range, spec.resources, overrides.clone()));
                let nodes = NodeOverrides { num_nodes: *count, node_property_overrides: ranges.collect() };
                (None, None, Some(nodes))
            }
        };
        let (container_overrides, ecs_properties_override) = match (&self.container, overrides) {
            (Some(TargetContainer { name }), Some(overrides)) => {
                (None, Some(EcsPropertiesOverride::of_container(name.clone(), overrides)))
            }
            (_, overrides) => (overrides, None),
        };
        let mut request = SubmitRequest {
            job_name: spec.name.to_string(),
            job_queue: self.job_queue.clone(),
            job_definition: self.job_definition.clone(),
            array_properties,
            depends_on: dependencies(&self.depends_on)?,
            share_identifier: scheduling.share.as_ref().map(|s| s.as_str().to_owned()),
            scheduling_priority_override: scheduling.priority.map(|p| p.get()),
            parameters: scheduling.parameters.clone(),
            container_overrides,
            ecs_properties_override,
            node_overrides,
            retry_strategy: spec.retries.strategy(),
            timeout: spec.timeout.map(|t| JobTimeout { attempt_duration_seconds: t.seconds() }),
            propagate_tags: scheduling.propagate_tags.then_some(true),
            tags: scheduling.tags.clone(),
            ..SubmitRequest::default()
        };
        request.set_consumption(&self.consumes);
        Ok(request)
    }
}

impl Resources {
    /// The requirements that differ from those of the job definition.
    fn requirements(&self) -> Vec<ResourceRequirement> {
        let values = [
            ("VCPU", self.vcpus.map(|v| v.to_string())),
            ("MEMORY", self.memory.map(|m| m.to_string())),
            // A group of nodes without GPUs has 0 of them, for which Batch has no requirement.
            ("GPU", self.gpus.filter(|gpus| *gpus > 0).map(|g| g.to_string())),
        ];
        let given = values.into_iter().filter_map(|(kind, value)| Some((kind, value?)));
        given.map(|(kind, value)| ResourceRequirement { kind, value }).collect()
    }
}

/// The variable by which the job image knows the nodes that run the job's command.
const RUN_ON: &str = "AWSB_RUN_ON";

/// The overrides for a node range, with the variable of its vCPUs. `first` are the resources of the
/// job's first nodes.
fn overrides_of_range(
    range: &NodeTargets,
    first: Resources,
    mut overrides: Overrides,
) -> NodePropertyOverride {
    if let Some(group) = &range.group {
        overrides.resource_requirements = group.resources_over(first).requirements();
        if let Some(line) = &group.command {
            overrides.command = vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()];
            // In the job image, the other nodes would only wait for the main node.
            overrides.environment.retain(|variable| variable.name != RUN_ON);
            overrides.environment.push(KeyValue::new(RUN_ON, "all"));
        }
    }
    let vcpus = range.vcpus.map(|vcpus| KeyValue::new(launcher::VCPUS_VARIABLE, vcpus.to_string()));
    overrides.environment.extend(vcpus);
    let target_nodes = range.targets.clone();
    NodePropertyOverride { target_nodes, container_overrides: overrides }
}

#[cfg(test)]
mod tests {
    use super::super::{JobName, Program};
    use super::*;

    fn job(shape: ResolvedShape) -> ResolvedJob {
        let program = Program::Command(vec!["true".into()]);
        ResolvedJob {
            spec: JobSpec::new(JobName::cleaned("job"), program),
            shape,
            job_queue: "queue".into(),
            job_definition: "definition".into(),
            container: None,
            depends_on: Vec::new(),
            consumes: Vec::new(),
        }
    }

    fn nodes() -> JobNodes {
        let range = |targets: &str, vcpus| NodeTargets { targets: targets.to_owned(), vcpus, group: None };
        let ranges = vec![range("0:0", None), range("1:", Some(2.0))];
        JobNodes { count: 3, ranges }
    }

    #[test]
    fn each_node_range_has_its_own_vcpus() -> Result<(), Invalid> {
        let request = job(ResolvedShape::Nodes(nodes())).submit_request(None, Vec::new(), Vec::new())?;
        let nodes = request.node_overrides.as_ref().map(|nodes| nodes.num_nodes);
        assert_eq!((nodes, request.container_overrides.as_ref()), (Some(3), None));
        let variables = request.all_overrides().map(|overrides| overrides.environment.len());
        assert_eq!(variables.collect::<Vec<_>>(), [0, 1]);
        Ok(())
    }

    #[test]
    fn a_group_of_nodes_has_its_own_command_and_size() -> Result<(), Invalid> {
        let mut nodes = nodes();
        if let Some(last) = nodes.ranges.last_mut() {
            last.group = Some("2,memory=1G,command=./worker".parse()?);
        }
        let request =
            job(ResolvedShape::Nodes(nodes)).submit_request(None, vec!["main".into()], Vec::new())?;
        let json = serde_json::to_value(&request).unwrap_or_default();
        let ranges = &json["nodeOverrides"]["nodePropertyOverrides"];
        assert_eq!(ranges[0]["containerOverrides"]["command"], serde_json::json!(["main"]));
        let of_group = &ranges[1]["containerOverrides"];
        assert_eq!(of_group["command"], serde_json::json!(["/bin/sh", "-c", "./worker"]));
        assert_eq!(of_group["resourceRequirements"][0]["value"], "1024");
        assert!(of_group["environment"].to_string().contains("AWSB_RUN_ON"));
        Ok(())
    }

    #[test]
    fn an_array_of_one_task_is_a_single_job() -> Result<(), Invalid> {
        let size = |ids: &str| -> Result<_, Invalid> {
            let tasks = Tasks::with_ids(ids.parse()?);
            let job = job(ResolvedShape::Array(tasks.clone()));
            let request = job.submit_request(Some(&tasks), Vec::new(), Vec::new())?;
            Ok(request.array_properties.map(|array| array.size))
        };
        assert_eq!((size("7")?, size("7,9")?), (None, Some(2)));
        Ok(())
    }

    #[test]
    fn a_job_definition_can_make_a_job_one_of_nodes_but_not_an_array() -> Result<(), Invalid> {
        let nodes = || Some(nodes());
        assert_eq!(ResolvedShape::new(&Shape::Single, nodes()), nodes().map(ResolvedShape::Nodes));
        let array = Shape::Array(Tasks::with_ids("1-2".parse()?));
        assert_eq!(ResolvedShape::new(&array, nodes()), None);
        Ok(())
    }
}
