//! A job that has been checked, and the parts of it that DescribeJobs shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dependencies::RequestedDependency;
use super::nodes::NodeRange;
use super::shape::{Variable, shape};
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
    /// The container of a job that is not a node, or of the node with this index.
    pub fn container(&self, node: Option<u32>) -> &Map<String, Value> {
        let range = node.and_then(|index| self.nodes.iter().find(|range| range.has(index)));
        range.map_or(&self.container, |range| &range.container)
    }

    /// The command to run. `Ref::NAME` as a whole argument becomes the parameter's value; one
    /// without a value stays as it is (API: SubmitJob.parameters).
    pub fn command(&self, node: Option<u32>) -> Vec<String> {
        let command = self.container(node).get("command").and_then(Value::as_array);
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
        let variables =
            self.container(node).get("environment").cloned().and_then(|v| shape::<Vec<Variable>>(v).ok());
        variables.unwrap_or_default().into_iter().map(|v| (v.name, v.value)).collect()
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

    /// The log group of an attempt's output: `logConfiguration`'s `awslogs-group`, else Batch's
    /// own.
    pub fn log_group(&self, node: Option<u32>) -> &str {
        self.log_option(node, "awslogs-group").unwrap_or(LOG_GROUP)
    }

    /// The log stream of an attempt (User Guide, `using_cloudwatch_logs`): the first 200 characters
    /// of the job definition's name (or `awslogs-stream-prefix`), `default`, and the task's ID.
    pub fn log_stream(&self, node: Option<u32>, attempt_id: &str) -> String {
        let name = self.log_option(node, "awslogs-stream-prefix").unwrap_or(&self.definition_name);
        let name: String = name.chars().take(200).collect();
        format!("{name}/default/{attempt_id}")
    }

    /// API: LogConfiguration.options.
    fn log_option(&self, node: Option<u32>, name: &str) -> Option<&str> {
        let options = self.container(node).get("logConfiguration")?.get("options")?;
        options.get(name)?.as_str().filter(|value| !value.is_empty())
    }
}
