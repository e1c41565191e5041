//! A job that has been checked, and the parts of it that DescribeJobs shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dependencies::RequestedDependency;
use super::nodes::NodeRange;
use super::shape::{Variable, shape};
use super::task::{self, Task};
use crate::batch::model::Terms;
use crate::constants::{LOG_GROUP, QUEUE};

/// A job that can be: everything about it has been checked, except that the jobs are there that it
/// depends on.
#[derive(Debug, Clone)]
pub struct SubmitPlan {
    /// The job's name.
    pub name: String,
    /// How many children, for an array.
    pub size: Option<u32>,
    /// The terms under which it runs; `depends_on` is filled later.
    pub terms: Terms,
    /// The dependencies that the request names.
    pub depends_on: Vec<RequestedDependency>,
    /// Its specification.
    pub spec: Spec,
}

impl SubmitPlan {
    /// How many jobs it is: the children of an array, the nodes of a multi-node job, or one.
    pub fn jobs(&self) -> u64 {
        let nodes: u64 = self.spec.nodes.iter().map(NodeRange::count).sum();
        self.size.map_or(nodes.max(1), u64::from)
    }
}

/// The specification of a job: what it runs, and what DescribeJobs shows of it. The children of an
/// array share it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The job definition's ARN.
    pub job_definition: String,
    /// The job definition's name; log streams begin with it.
    pub definition_name: String,
    /// The job queue's name.
    #[serde(default = "built_in_queue")]
    pub queue: String,
    /// API: ContainerDetail, as far as the submission decides it; empty for a multi-node job.
    pub container: Map<String, Value>,
    /// The containers of a task, for a job of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The nodes' containers, for a multi-node job.
    #[serde(default)]
    pub nodes: Vec<NodeRange>,
    /// Its dependencies, as DescribeJobs shows them.
    #[serde(default)]
    pub depends_on: Vec<RequestedDependency>,
    /// The values for `Ref::NAME` in the command.
    pub parameters: BTreeMap<String, String>,
    /// The other fields of DescribeJobs: `retryStrategy`, `timeout`, `tags`, …
    pub rest: Map<String, Value>,
}

impl Spec {
    /// A specification in place of one that cannot be read.
    pub fn unreadable() -> Self {
        Self {
            job_definition: String::new(),
            definition_name: String::new(),
            queue: built_in_queue(),
            container: Map::new(),
            task: None,
            nodes: Vec::new(),
            depends_on: Vec::new(),
            parameters: BTreeMap::new(),
            rest: Map::new(),
        }
    }
}

/// The queue of jobs that an earlier version of the database has.
fn built_in_queue() -> String {
    QUEUE.to_owned()
}

impl Spec {
    /// The container of a job that is not a node, or of the node with this index; of several, the
    /// main one.
    pub fn container(&self, node: Option<u32>) -> &Map<String, Value> {
        let range = node.and_then(|index| self.nodes.iter().find(|range| range.has(index)));
        let main = self.task.as_ref().and_then(|task| task.containers.get(task.main()));
        range.map_or(main.unwrap_or(&self.container), |range| &range.container)
    }

    /// The log groups and log streams of an attempt, one for each container.
    pub fn log_streams(&self, node: Option<u32>, attempt_id: &str) -> Vec<(String, String)> {
        let containers: Vec<&Map<String, Value>> = match &self.task {
            Some(task) => task.containers.iter().collect(),
            None => vec![self.container(node)],
        };
        let stream = |container| (self.group_of(container).to_owned(), self.stream_of(container, attempt_id));
        containers.into_iter().map(stream).collect()
    }

    /// The log group of a container's output: `logConfiguration`'s `awslogs-group`, else Batch's
    /// own.
    pub fn group_of<'a>(&self, container: &'a Map<String, Value>) -> &'a str {
        log_option(container, "awslogs-group").unwrap_or(LOG_GROUP)
    }

    /// The log stream of a container (User Guide, `using_cloudwatch_logs`): the first 200
    /// characters of the job definition's name (or `awslogs-stream-prefix`), the name of the
    /// container, which is `default` for the only one, and the task's ID.
    pub fn stream_of(&self, container: &Map<String, Value>, attempt_id: &str) -> String {
        let prefix = log_option(container, "awslogs-stream-prefix").unwrap_or(&self.definition_name);
        let prefix: String = prefix.chars().take(200).collect();
        format!("{prefix}/{}/{attempt_id}", task::name(container).unwrap_or(task::UNNAMED))
    }

    /// The command to run. `Ref::NAME` as a whole argument becomes the parameter's value; one
    /// without a value stays as it is (API: SubmitJob.parameters).
    pub fn command(&self, node: Option<u32>) -> Vec<String> {
        self.command_of(self.container(node))
    }

    /// The command of a container.
    pub fn command_of(&self, container: &Map<String, Value>) -> Vec<String> {
        let command = container.get("command").and_then(Value::as_array);
        command
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|argument| {
                let value = argument.strip_prefix("Ref::").and_then(|name| self.parameters.get(name));
                value.map_or_else(|| argument.to_owned(), Clone::clone)
            })
            .collect()
    }

    /// The job's own variables.
    pub fn environment(&self, node: Option<u32>) -> Vec<(String, String)> {
        environment_of(self.container(node))
    }

    /// The soft limits of its processes, by their names (API: ContainerProperties.ulimits).
    pub fn limits(&self, node: Option<u32>) -> BTreeMap<String, i64> {
        let ulimits = self.container(node).get("ulimits").and_then(Value::as_array);
        ulimits
            .into_iter()
            .flatten()
            .filter_map(|ulimit| Some((ulimit["name"].as_str()?.to_owned(), ulimit["softLimit"].as_i64()?)))
            .collect()
    }

    /// The log group of an attempt's output.
    pub fn log_group(&self, node: Option<u32>) -> &str {
        self.group_of(self.container(node))
    }

    /// The log stream of an attempt; of several containers, that of the main one.
    pub fn log_stream(&self, node: Option<u32>, attempt_id: &str) -> String {
        self.stream_of(self.container(node), attempt_id)
    }
}

/// The variables of a container.
pub fn environment_of(container: &Map<String, Value>) -> Vec<(String, String)> {
    let variables = container.get("environment").cloned().and_then(|v| shape::<Vec<Variable>>(v).ok());
    variables.unwrap_or_default().into_iter().map(|v| (v.name, v.value)).collect()
}

/// API: LogConfiguration.options.
fn log_option<'a>(container: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let options = container.get("logConfiguration")?.get("options")?;
    options.get(name)?.as_str().filter(|value| !value.is_empty())
}
