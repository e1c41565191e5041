//! A job as Batch describes it, in a type of our own.

use std::collections::BTreeMap;

use serde::Serialize;

use super::task::{AttemptContainer, AttemptPod, AttemptTask, Container, EcsProperties, EksProperties};
use awsb_model::{JobId, JobNumber, OUTPUT_NOT_KEPT, Status, Submitter, Tasks, consumable_name};

/// A job (API `JobDetail`, and the part of it that `JobSummary` has). It is serialised under AWS's
/// field names; an unknown field is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its ID.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// Its ARN.
    pub job_arn: Option<String>,
    /// The ARN of its queue; a listing lacks it.
    pub job_queue: Option<String>,
    /// The ARN of its job definition.
    pub job_definition: Option<String>,
    /// Its state.
    pub status: Status,
    /// Why it is in this state.
    pub status_reason: Option<String>,
    /// When it was submitted, in milliseconds since the epoch.
    pub created_at: Option<i64>,
    /// When its last attempt got its room; only a listing has it.
    pub scheduled_at: Option<i64>,
    /// When its last attempt began to run.
    pub started_at: Option<i64>,
    /// When its last attempt ended.
    pub stopped_at: Option<i64>,
    /// Whether TerminateJob has asked it to end. It may still run.
    pub is_terminated: Option<bool>,
    /// Whether CancelJob has asked it to end. It may still wait, or run.
    pub is_cancelled: Option<bool>,
    /// The capacity that it is configured to use; only a listing has it.
    pub capacity_usage: Option<Vec<CapacityUsage>>,
    /// Its index in an array, or its children.
    pub array_properties: Option<ArrayProperties>,
    /// The number of nodes of an MNP job.
    #[serde(skip)]
    pub nodes: Option<u32>,
    /// The nodes of an MNP job, or the index of a node. Other jobs do not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_properties: Option<NodeProperties>,
    /// Its share, in a queue that shares fairly.
    pub share_identifier: Option<String>,
    /// Its priority in the share, where it has one of its own.
    pub scheduling_priority: Option<i32>,
    /// The user who submitted it, as the job's environment names him; a listing lacks it.
    #[serde(skip)]
    pub submitter: Option<Submitter>,
    /// The jobs on which it depends.
    pub depends_on: Option<Vec<Dependency>>,
    /// The container of its last attempt. A job of several containers has its main one here, too,
    /// although Batch has nothing there.
    pub container: Option<Container>,
    /// The containers of a job that runs as an ECS task of its own making.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_properties: Option<EcsProperties>,
    /// The pod of a job on EKS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eks_properties: Option<EksProperties>,
    /// Its attempts that have ended; those of a job on EKS are Batch's `eksAttempts`.
    pub attempts: Option<Vec<Attempt>>,
    /// How often it is tried.
    pub retry_strategy: Option<RetryStrategy>,
    /// How long an attempt may run.
    pub timeout: Option<Timeout>,
    /// The consumable resources of each instance; a listing lacks them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource_properties: Option<ConsumableResourceProperties>,
    /// The ID of its task, where that differs from its index. AWS has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
}

/// API `JobCapacityUsageSummary`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityUsage {
    /// `VCPU`, or `cpu` on EKS.
    pub capacity_unit: Option<String>,
    /// How many of these units.
    pub quantity: Option<f64>,
}

/// The reason that ECS gives for every job whose program has ended, whatever its exit code is.
const EXITED: &str = "Essential container in task exited";

/// The reason for the state of a job or an attempt, and the reason for the end of its container.
/// The second is left out where the first contains it.
pub fn reasons<'a>(of_status: Option<&'a str>, of_container: Option<&'a str>) -> Vec<&'a str> {
    let of_status = of_status.filter(|reason| !reason.is_empty());
    let of_container = of_container.filter(|reason| !reason.is_empty());
    let is_new = |reason: &&str| of_status.is_none_or(|of_status| !of_status.contains(*reason));
    of_status.into_iter().chain(of_container.filter(is_new)).collect()
}

/// API `ArrayPropertiesDetail`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrayProperties {
    /// The number of children, for a parent.
    pub size: Option<i32>,
    /// The index, for a child.
    pub index: Option<i32>,
    /// How many children are in which state.
    pub status_summary: Option<BTreeMap<String, i32>>,
}

/// API `NodeProperties` and, of a node, `NodeDetails`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeProperties {
    /// How many nodes there are.
    pub num_nodes: Option<i32>,
    /// The index of the main node; a listing lacks it.
    pub main_node: Option<i32>,
    /// The index, for a node.
    pub node_index: Option<i32>,
    /// Whether it is the main node, for a node.
    pub is_main_node: Option<bool>,
    /// The containers of the nodes; a listing lacks them.
    pub node_range_properties: Option<Vec<NodeRange>>,
}

/// API `NodeRangeProperty`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRange {
    /// The nodes: `0:3`.
    pub target_nodes: Option<String>,
    /// The container that runs on each of them.
    pub container: Option<Container>,
    /// The names of the containers that run on each of them, if these are tasks.
    #[serde(skip)]
    pub container_names: Vec<String>,
}

impl NodeRange {
    /// Whether a node is in the range: `0:3`, `4:`, `:3` or `5` (API `NodeRangeProperty`,
    /// `targetNodes`).
    fn has(&self, node: i32) -> bool {
        let text = self.target_nodes.as_deref().unwrap_or_default();
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        node >= first.parse().unwrap_or(0) && node <= last.parse().unwrap_or(i32::MAX)
    }
}

/// API `ConsumableResourceProperties`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumableResourceProperties {
    /// The resources.
    pub consumable_resource_list: Vec<ConsumableResourceRequirement>,
}

/// API `ConsumableResourceRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumableResourceRequirement {
    /// Name or ARN of the resource.
    pub consumable_resource: String,
    /// How much of it each instance of the job takes.
    pub quantity: i64,
}

impl ConsumableResourceRequirement {
    /// The name of the resource.
    pub fn name(&self) -> &str {
        consumable_name(&self.consumable_resource)
    }
}

/// API `JobDependency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The other job.
    pub job_id: Option<String>,
    /// `N_TO_N` or `SEQUENTIAL`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// API `AttemptDetail`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it began to run, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// Why it ended.
    pub status_reason: Option<String>,
    /// Its container; of several, the one whose end was the attempt's.
    pub container: AttemptContainer,
    /// Its containers, for a job of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task_properties: Vec<AttemptTask>,
    /// Its pod, on EKS.
    #[serde(flatten)]
    pub pod: Option<AttemptPod>,
}

/// API `RetryStrategy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetryStrategy {
    /// How often the job is tried.
    pub attempts: Option<i32>,
}

/// API `JobTimeout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeout {
    /// Seconds that an attempt may run.
    pub attempt_duration_seconds: Option<i32>,
}

/// The sum of a resource of several containers. A value that is not a number is left out.
fn sum_of(containers: &[&Container], kind: &str) -> Option<String> {
    let all = containers.iter().flat_map(|container| container.resource_requirements.iter().flatten());
    let values: Vec<f64> = all.filter(|r| r.kind == kind).filter_map(|r| r.value.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>().to_string())
}

impl Job {
    /// A job that has just been submitted, before Batch has described it.
    pub fn submitted(job_id: String, job_name: String, job_arn: Option<String>) -> Self {
        Self {
            job_id,
            job_name,
            job_arn,
            job_queue: None,
            job_definition: None,
            status: Status::Submitted,
            status_reason: None,
            created_at: None,
            scheduled_at: None,
            started_at: None,
            stopped_at: None,
            is_terminated: None,
            is_cancelled: None,
            capacity_usage: None,
            array_properties: None,
            nodes: None,
            node_properties: None,
            share_identifier: None,
            scheduling_priority: None,
            submitter: None,
            depends_on: None,
            container: None,
            ecs_properties: None,
            eks_properties: None,
            attempts: None,
            retry_strategy: None,
            timeout: None,
            consumable_resource_properties: None,
            task: None,
        }
    }

    /// The ID, typed.
    pub fn id(&self) -> JobId {
        JobId::from_batch(&self.job_id)
    }

    /// The job as JSON: AWS's fields, and its [number](JobNumber), which is null for an ID without
    /// one.
    pub fn to_json(&self) -> serde_json::Value {
        let mut element = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = element.as_object_mut() {
            let number = JobNumber::of(&self.id()).map(JobNumber::get);
            fields.insert("number".to_owned(), number.into());
        }
        element
    }

    /// The job in a message: its ID, its name, and its task where that is not its index, as in
    /// `ID (align)` and `ID:1 (align, task 7)`.
    pub fn title(&self) -> String {
        let task = self.task.map(|task| format!(", task {task}")).unwrap_or_default();
        format!("{} ({}{task})", self.job_id, self.job_name)
    }

    /// The number of children, for an array's parent.
    pub fn array_size(&self) -> Option<u32> {
        let size = self.array_properties.as_ref()?.size?;
        u32::try_from(size).ok().filter(|s| *s > 0)
    }

    /// The number of an array's children that have ended, and of those that have not, if it is
    /// known.
    pub fn children_ended(&self) -> Option<(u32, u32)> {
        let summary = self.array_properties.as_ref()?.status_summary.as_ref()?;
        let count = |status: Status| summary.get(status.as_str()).copied().unwrap_or(0);
        let ended = u32::try_from(count(Status::Succeeded).saturating_add(count(Status::Failed))).ok()?;
        Some((ended, self.array_size()?.saturating_sub(ended)))
    }

    /// Whether it is an array's parent without counts of its children by state.
    pub fn lacks_progress(&self) -> bool {
        let summary = self.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
        self.is_array_parent() && summary.is_none_or(BTreeMap::is_empty)
    }

    /// Whether its children have task IDs that are not their indices.
    pub fn has_task_ids(&self) -> bool {
        let tasks = self.container.as_ref().and_then(|c| c.tasks.as_ref()).map(Tasks::ids);
        tasks.is_some_and(|ids| ids.min() != 0 || ids.max() + 1 != ids.count())
    }

    /// Whether it could not start because its image has no `/bin/sh`, in the engine's own words
    /// (runc's, which ECS hands on behind `CannotStartContainerError`).
    pub fn lacks_sh(&self) -> bool {
        let reason = self.container_reason().unwrap_or_default();
        reason.contains("exec: \"/bin/sh\": ")
            && ["no such file", "not found"].iter().any(|words| reason.contains(words))
    }

    /// The reason why it is stuck: Batch gives a job that blocks its queue a reason that begins
    /// with a code (UG `job_stuck_in_runnable`).
    pub fn stuck(&self) -> Option<&str> {
        let reason = self.status_reason.as_deref().filter(|_| !self.status.has_ended())?;
        ["MISCONFIGURATION:", "CAPACITY:"].iter().any(|code| reason.starts_with(code)).then_some(reason)
    }

    /// Whether it, or a child of it, has begun to run.
    pub fn is_under_way(&self) -> bool {
        let begun = |status: &Status| {
            let summary = self.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
            summary.and_then(|s| s.get(status.as_str())).is_some_and(|n| *n > 0)
        };
        let states = [Status::Running, Status::Succeeded, Status::Failed];
        states.contains(&self.status) || (self.is_array_parent() && states.iter().any(begun))
    }

    /// Whether it is the parent of an array, which has no container of its own.
    pub fn is_array_parent(&self) -> bool {
        self.array_size().is_some() && self.id().array_index().is_none()
    }

    /// Whether it is the parent of an MNP job, whose nodes have the containers.
    pub fn is_mnp_parent(&self) -> bool {
        self.nodes.is_some() && self.id().node_index().is_none()
    }

    /// The container that is its own, or what runs on the main node of an MNP job.
    pub fn main_container(&self) -> Option<&Container> {
        let nodes = || {
            let properties = self.node_properties.as_ref()?;
            let main = properties.main_node.unwrap_or(0);
            let range = properties.node_range_properties.iter().flatten().find(|range| range.has(main))?;
            range.container.as_ref()
        };
        self.container.as_ref().or_else(nodes)
    }

    /// A resource: `VCPU`, `MEMORY` (MiB) or `GPU`, of a node for an MNP job, of all containers
    /// together for a job of several. Old job definitions have the first two in fields of their
    /// own.
    pub fn resource(&self, kind: &str) -> Option<String> {
        // The init containers of a pod end before its containers start, and take nothing beside
        // them.
        let containers: Vec<&Container> = match self.pod() {
            Some(pod) => pod.containers.iter().collect(),
            None => self.task_containers(),
        };
        if containers.len() > 1 {
            return sum_of(&containers, kind);
        }
        let container = self.main_container()?;
        let named = container.resource_requirements.iter().flatten().find(|r| r.kind == kind);
        let old = || match kind {
            "VCPU" => container.vcpus,
            "MEMORY" => container.memory,
            _ => None,
        };
        named.map(|r| r.value.clone()).or_else(|| old().map(|n| n.to_string()))
    }

    /// The reasons for its state and for the end of its container, as far as Batch gives them.
    pub fn reasons(&self) -> String {
        reasons(self.status_reason.as_deref(), self.container_reason()).join("; ")
    }

    /// Whether somebody has asked for its end, and it has not ended yet. Batch sets the marks when
    /// it accepts the request (API `JobSummary`).
    pub fn is_ending(&self) -> bool {
        let is_asked = self.is_terminated == Some(true) || self.is_cancelled == Some(true);
        is_asked && !self.status.has_ended()
    }

    /// The vCPUs that a listing shows for it. What they are for the parent of an array or of an MNP
    /// job is not documented, so they are not taken from there.
    pub fn listed_vcpus(&self) -> Option<f64> {
        if self.is_array_parent() || self.is_mnp_parent() {
            return None;
        }
        let usage = self.capacity_usage.iter().flatten();
        usage.filter(|usage| usage.capacity_unit.as_deref() == Some("VCPU")).find_map(|usage| usage.quantity)
    }

    /// The job as DescribeJobs has it, with the fields that only a listing has.
    #[must_use]
    pub fn with_listed(self, listed: &Self) -> Self {
        Self {
            task: listed.task.or(self.task),
            scheduled_at: self.scheduled_at.or(listed.scheduled_at),
            capacity_usage: self.capacity_usage.or_else(|| listed.capacity_usage.clone()),
            ..self
        }
    }

    /// The reason for its state, unless the exit code already says as much.
    pub fn informative_reason(&self) -> Option<&str> {
        let says_nothing = self.exit_code().is_some_and(|code| code != 0);
        self.status_reason.as_deref().filter(|reason| !(says_nothing && *reason == EXITED))
    }

    /// The message that a part of its output is not in the log stream, of any of its attempts.
    pub fn lost_output(&self) -> Option<&str> {
        let attempts = self.attempts.iter().flatten();
        let of_attempts = attempts.flat_map(|a| a.containers().into_iter().chain([&a.container]));
        let of_attempts = of_attempts.filter_map(|container| container.reason.as_deref());
        let own = self.task_containers().into_iter().chain(&self.container);
        let mut reasons = own.filter_map(|container| container.reason.as_deref()).chain(of_attempts);
        reasons.find_map(|reason| reason.get(reason.find(OUTPUT_NOT_KEPT)?..))
    }

    /// The number of its parts: the children of an array, the nodes of an MNP job.
    pub fn parts(&self) -> Option<u32> {
        if self.is_array_parent() { self.array_size() } else { self.nodes.filter(|_| self.is_mnp_parent()) }
    }

    /// The ID of a part: a child or a node.
    pub fn part(&self, index: u32) -> JobId {
        if self.is_mnp_parent() { self.id().node(index) } else { self.id().child(index) }
    }

    /// Sets the job's task by the tasks of its array.
    pub fn set_task(&mut self, of_array: Option<&Tasks>) {
        let index = self.id().array_index();
        let task = of_array.and_then(|tasks| tasks.ids().get(index.unwrap_or(0)));
        self.task = task.filter(|task| Some(*task) != index && !self.is_array_parent());
    }

    /// The job that has a task: a child of this array, or the job itself.
    pub fn of_task(&self, task: u32) -> Option<JobId> {
        let tasks = self.container.as_ref().and_then(|c| c.tasks.as_ref());
        match (tasks, self.is_array_parent()) {
            (Some(tasks), true) => Some(self.id().child(tasks.ids().position(task)?)),
            (Some(tasks), false) => {
                (tasks.ids().position(task)? == self.id().array_index().unwrap_or(0)).then(|| self.id())
            }
            (None, true) => (task < self.array_size()?).then(|| self.id().child(task)),
            (None, false) => None,
        }
    }

    /// The exit code of a tool that waits for this job: the job's exit code, or 1 for a job that
    /// failed without one.
    pub fn exit(&self) -> u8 {
        match (self.status, self.exit_code()) {
            (Status::Succeeded, _) => 0,
            (_, Some(code)) => u8::try_from(code).ok().filter(|c| *c != 0).unwrap_or(1),
            (_, None) => 1,
        }
    }

    /// The log driver of its container, if its output does not go to CloudWatch Logs. Without a log
    /// configuration Batch takes `awslogs` (API `ContainerProperties`, `logConfiguration`).
    pub fn other_log_driver(&self) -> Option<&str> {
        self.main_container()?.log_driver.as_deref()
    }
}
