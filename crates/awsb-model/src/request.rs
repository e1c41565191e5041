//! The SubmitJob request in the exact form of the API, so that `--dry-run` prints what is sent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Consumption, RunningLimit, SubmissionId, Submitter};

/// API `SubmitJobRequest`, as far as `bsub` uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitRequest {
    /// The job's name.
    pub job_name: String,
    /// Name or ARN of the queue.
    pub job_queue: String,
    /// `name`, `name:revision` or ARN of the job definition.
    pub job_definition: String,
    /// Children, for an array job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_properties: Option<ArrayProperties>,
    /// Jobs that must succeed first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<JobDependency>,
    /// The share of the queue's scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_identifier: Option<String>,
    /// The priority within the share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_priority_override: Option<i32>,
    /// Values for the `Ref::` placeholders of the job definition.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Changes to the container of the job definition. An MNP job has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_overrides: Option<Overrides>,
    /// Changes to the task of the job definition, for a job of several containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties_override: Option<EcsPropertiesOverride>,
    /// Changes to the job definition of an MNP job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_overrides: Option<NodeOverrides>,
    /// The consumable resources of each instance, in place of those of the job definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties_override: Option<ConsumableResourceProperties>,
    /// The limit on running tasks, a consumable resource that has to exist before the job is
    /// submitted. It is among the resources of the override.
    #[serde(skip)]
    pub limit: Option<RunningLimit>,
    /// The number of attempts, and the ends after which a job is retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    /// The time limit of an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<JobTimeout>,
    /// Whether the job's tags are copied to its ECS task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<bool>,
    /// Tags of the job.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// API `ArrayProperties`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ArrayProperties {
    /// The number of children.
    pub size: u32,
}

/// API `ConsumableResourceProperties`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumableResourceProperties {
    /// The resources, at most
    /// [`limits::CONSUMABLE_RESOURCES`](super::limits::CONSUMABLE_RESOURCES).
    pub consumable_resource_list: Vec<ConsumableResourceRequirement>,
}

/// API `ConsumableResourceRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumableResourceRequirement {
    /// Name or ARN of the resource.
    pub consumable_resource: String,
    /// How much of it each instance of the job takes.
    pub quantity: u64,
}

/// API `JobDependency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDependency {
    /// The other job. A `SEQUENTIAL` dependency has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// `N_TO_N` or `SEQUENTIAL`. `None` means the whole other job.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
}

/// API `RetryStrategy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryStrategy {
    /// Attempts, 1 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// Rules. The first that matches counts; without a match the job is retried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evaluate_on_exit: Vec<EvaluateOnExit>,
}

/// API `EvaluateOnExit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluateOnExit {
    /// A glob for the job's `statusReason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_status_reason: Option<String>,
    /// A glob for the container's `reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_reason: Option<String>,
    /// A glob for the exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exit_code: Option<String>,
    /// `RETRY` or `EXIT`.
    pub action: &'static str,
}

/// API `JobTimeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTimeout {
    /// Seconds from an attempt's start.
    pub attempt_duration_seconds: u32,
}

/// API `NodeOverrides`: the same overrides for all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeOverrides {
    /// The number of nodes.
    pub num_nodes: u32,
    /// One entry for each range of the job definition's.
    pub node_property_overrides: Vec<NodePropertyOverride>,
}

/// API `NodePropertyOverride`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePropertyOverride {
    /// The nodes of this entry.
    pub target_nodes: String,
    /// The changes.
    pub container_overrides: Overrides,
}

/// API `EcsPropertiesOverride`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsPropertiesOverride {
    /// The changes to the tasks. Batch has one.
    pub task_properties: Vec<TaskPropertiesOverride>,
}

/// API `TaskPropertiesOverride`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskPropertiesOverride {
    /// The changes to the containers. The first is the one that runs the job's command.
    pub containers: Vec<TaskContainerOverrides>,
}

/// API `TaskContainerOverrides`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskContainerOverrides {
    /// The name of the container; `None` for the only one, which has no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The changes.
    #[serde(flatten)]
    pub overrides: Overrides,
}

impl EcsPropertiesOverride {
    /// Changes to the container that runs the job's command.
    pub fn of_container(name: Option<String>, overrides: Overrides) -> Self {
        let containers = vec![TaskContainerOverrides { name, overrides }];
        Self { task_properties: vec![TaskPropertiesOverride { containers }] }
    }

    /// The same with changes to other containers of the task, which no option changes.
    #[must_use]
    pub fn beside(mut self, others: impl IntoIterator<Item = TaskContainerOverrides>) -> Self {
        if let Some(task) = self.task_properties.first_mut() {
            task.containers.extend(others);
        }
        self
    }

    /// The changes to all containers.
    fn containers(&self) -> impl Iterator<Item = &TaskContainerOverrides> {
        self.task_properties.iter().flat_map(|task| &task.containers)
    }

    /// The changes to the container that runs the job's command, which are the first ones.
    fn main(&self) -> Option<&TaskContainerOverrides> {
        self.containers().next()
    }

    /// As [`Self::main`].
    fn main_mut(&mut self) -> Option<&mut TaskContainerOverrides> {
        self.task_properties.iter_mut().flat_map(|task| &mut task.containers).next()
    }
}

/// API `ContainerOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// The command and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Variables, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<KeyValue>,
    /// vCPUs, memory and GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_requirements: Vec<ResourceRequirement>,
}

/// API `KeyValuePair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyValue {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// API `ResourceRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceRequirement {
    /// `VCPU`, `MEMORY` or `GPU`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// A number; MiB for memory.
    pub value: String,
}

impl SubmitRequest {
    /// The overrides of its container, of its nodes, or of the container of its task.
    pub fn overrides(&self) -> Option<&Overrides> {
        let of_nodes = || {
            let nodes = self.node_overrides.as_ref()?;
            nodes.node_property_overrides.first().map(|o| &o.container_overrides)
        };
        let of_task = || Some(&self.main_container()?.overrides);
        self.container_overrides.as_ref().or_else(of_nodes).or_else(of_task)
    }

    /// The changes to the containers of its task, of a job of several containers.
    pub fn task_container_overrides(&self) -> impl Iterator<Item = &TaskContainerOverrides> {
        self.ecs_properties_override.iter().flat_map(EcsPropertiesOverride::containers)
    }

    /// The changes to the container of its task that runs its command.
    pub fn main_container(&self) -> Option<&TaskContainerOverrides> {
        self.ecs_properties_override.as_ref()?.main()
    }

    /// The changes to the containers of its task beside [`Self::main_container`].
    pub fn other_containers(&self) -> impl Iterator<Item = &TaskContainerOverrides> {
        // The first is the main container.
        self.task_container_overrides().skip(1)
    }

    /// The overrides of its container, of each of its node ranges, or of the container of its task
    /// that runs its command.
    pub fn all_overrides(&self) -> impl Iterator<Item = &Overrides> {
        let nodes = self.node_overrides.iter().flat_map(|nodes| &nodes.node_property_overrides);
        let task = self.main_container().map(|container| &container.overrides);
        nodes.map(|node| &node.container_overrides).chain(&self.container_overrides).chain(task)
    }

    /// Mutable overrides, as [`Self::all_overrides`].
    pub fn overrides_mut(&mut self) -> impl Iterator<Item = &mut Overrides> {
        let nodes = self.node_overrides.iter_mut().flat_map(|nodes| &mut nodes.node_property_overrides);
        let task = self.ecs_properties_override.as_mut().and_then(EcsPropertiesOverride::main_mut);
        let task = task.map(|container| &mut container.overrides);
        nodes.map(|node| &mut node.container_overrides).chain(&mut self.container_overrides).chain(task)
    }

    /// The ID of its submission.
    pub fn mark(&self) -> Option<SubmissionId> {
        self.variable(SubmissionId::VARIABLE).map(SubmissionId::recorded)
    }

    /// The same request with this submission ID, on all nodes of an MNP job.
    #[must_use]
    pub fn marked(&self, mark: &SubmissionId) -> Self {
        let mut marked = self.clone();
        marked.set_variable(SubmissionId::VARIABLE, mark.as_str());
        marked
    }

    /// The submitter, if the request names him.
    pub fn submitter(&self) -> Option<Submitter> {
        Submitter::cleaned(self.variable(Submitter::VARIABLE)?)
    }

    /// Sets the submitter, on all nodes of an MNP job.
    pub fn submitted_by(&mut self, submitter: &Submitter) {
        self.set_variable(Submitter::VARIABLE, submitter.as_str());
    }

    /// The same request with these consumable resources in place of those of the job definition;
    /// without any, with those of the job definition.
    pub fn set_consumption(&mut self, consumes: &[Consumption]) {
        let list = consumes.iter().map(|of| ConsumableResourceRequirement {
            consumable_resource: of.resource.clone(),
            quantity: of.quantity,
        });
        let properties = ConsumableResourceProperties { consumable_resource_list: list.collect() };
        self.consumable_resource_properties_override = (!consumes.is_empty()).then_some(properties);
    }

    /// Sets the limit on running tasks, in place of an earlier one.
    pub fn set_limit(&mut self, limit: &RunningLimit) {
        let properties = self.consumable_resource_properties_override.get_or_insert_default();
        let list = &mut properties.consumable_resource_list;
        list.retain(|of| !RunningLimit::is_one(&of.consumable_resource));
        list.push(ConsumableResourceRequirement { consumable_resource: limit.name.clone(), quantity: 1 });
        self.limit = Some(limit.clone());
    }

    fn set_variable(&mut self, name: &str, value: &str) {
        for Overrides { environment, .. } in self.overrides_mut() {
            environment.retain(|v| v.name != name);
            environment.push(KeyValue::new(name, value));
        }
    }

    /// The value of a variable that the job gets from this request.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let environment = &self.overrides()?.environment;
        environment.iter().find(|v| v.name == name).map(|v| v.value.as_str())
    }
}

impl KeyValue {
    /// A variable and its value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl Overrides {
    /// The length as serialised JSON, for [`super::limits::OVERRIDES_LENGTH`]. Characters beyond
    /// ASCII are counted as `\uXXXX`: which form ECS counts is not documented, and this is the
    /// longer one.
    pub fn length(&self) -> usize {
        let json = serde_json::to_string(self).unwrap_or_default();
        json.chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_mark_and_that_in_its_container_or_on_its_nodes() {
        let container =
            SubmitRequest { container_overrides: Some(Overrides::default()), ..SubmitRequest::default() };
        let node =
            NodePropertyOverride { target_nodes: "0:".into(), container_overrides: Overrides::default() };
        let nodes = NodeOverrides { num_nodes: 2, node_property_overrides: vec![node] };
        let nodes = SubmitRequest { node_overrides: Some(nodes), ..SubmitRequest::default() };
        let ecs = EcsPropertiesOverride::of_container(Some("main".into()), Overrides::default());
        let other = TaskContainerOverrides { name: Some("side".into()), overrides: Overrides::default() };
        let of = |ecs| SubmitRequest { ecs_properties_override: Some(ecs), ..SubmitRequest::default() };
        let (task, pair) = (of(ecs.clone()), of(ecs.beside([other])));
        let marked = pair.marked(&SubmissionId::random());
        let marks = marked.task_container_overrides().map(|container| container.overrides.environment.len());
        assert_eq!(marks.collect::<Vec<_>>(), [1, 0]);
        for request in [container, nodes, task, pair] {
            assert_eq!(request.mark(), None);
            let (first, second) = (SubmissionId::random(), SubmissionId::random());
            let marked = request.marked(&first).marked(&second);
            assert_eq!(marked.mark(), Some(second));
            assert_eq!(marked.overrides().map(|o| o.environment.len()), Some(1));
        }
    }

    #[test]
    fn overrides_of_a_task_are_in_the_form_of_the_api() {
        let overrides = Overrides { command: vec!["true".into()], ..Overrides::default() };
        let named = EcsPropertiesOverride::of_container(Some("main".into()), overrides.clone());
        assert_eq!(
            serde_json::to_string(&named).unwrap_or_default(),
            r#"{"taskProperties":[{"containers":[{"name":"main","command":["true"]}]}]}"#
        );
        let unnamed = EcsPropertiesOverride::of_container(None, overrides);
        assert!(!serde_json::to_string(&unnamed).unwrap_or_default().contains("name"));
    }

    #[test]
    fn the_length_is_that_of_the_json() {
        let overrides = Overrides { command: vec!["é\n😀".into()], ..Overrides::default() };
        assert_eq!(overrides.length(), r#"{"command":["\u00e9\n\ud83d\ude00"]}"#.len());
    }
}
