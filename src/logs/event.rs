//! Lines of output, the streams that hold them, and queries for them.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::aws::Session;
use crate::batch::{ContainerStream, Job};
use awsb_model::JobId;

/// A line of a job's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The stream in which it stands.
    pub stream: Arc<LogStreamRef>,
    /// When it was printed, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The line, without its line break.
    pub message: String,
}

impl Event {
    /// The time by which lines are ordered.
    pub fn time(&self) -> i64 {
        self.timestamp.unwrap_or(0)
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + 16 + self.message.len()
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("jobId", &self.stream.job_id)?;
        if let Some(task) = self.stream.task {
            object.serialize_entry("task", &task)?;
        }
        if let Some(container) = &self.stream.container {
            object.serialize_entry("container", container)?;
        }
        object.serialize_entry("logStreamName", &self.stream.name)?;
        object.serialize_entry("timestamp", &self.timestamp)?;
        object.serialize_entry("message", &self.message)?;
        object.end()
    }
}

/// The kind of program that writes a log stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamWriter {
    /// A job of AWS Batch.
    Job,
    /// A build of CodeBuild.
    Build,
}

/// A log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStreamRef {
    /// The kind of program that writes it.
    pub writer: StreamWriter,
    /// The job that writes it, or the build.
    pub job_id: String,
    /// The ID of its task, where that is not its index.
    pub task: Option<u32>,
    /// The container that writes it, in a job of several.
    pub container: Option<String>,
    /// The log group.
    pub group: String,
    /// The stream's name.
    pub name: String,
}

impl LogStreamRef {
    /// The streams of a job's attempts that a query asks for, the oldest first.
    pub fn of_query(job: &Job, session: &Session, query: &LogQuery) -> Vec<Arc<LogStreamRef>> {
        let has_several = job.has_several_containers();
        let is_wanted =
            |stream: &ContainerStream| query.container.is_none() || stream.container == query.container;
        let stream = |stream: ContainerStream| {
            Arc::new(LogStreamRef {
                writer: StreamWriter::Job,
                job_id: job.job_id.clone(),
                task: job.task,
                container: stream.container.filter(|_| has_several),
                group: stream.group.unwrap_or_else(|| session.cluster.log_group.clone()),
                name: stream.name,
            })
        };
        job.streams(query.attempt).into_iter().filter(is_wanted).map(stream).collect()
    }

    /// The index of the array's child or of the node that writes it.
    pub fn part(&self) -> Option<u32> {
        JobId::from_batch(&self.job_id).part()
    }
}

/// The lines that a reader asks for.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Lines from this time on, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// When the job was submitted, in milliseconds since the epoch. No line is older.
    pub created_at: Option<i64>,
    /// Only the lines of this attempt, counted from 1.
    pub attempt: Option<u32>,
    /// Only the lines of the container with this name.
    pub container: Option<String>,
    /// Only lines that match this pattern, in the syntax of CloudWatch Logs (User Guide,
    /// FilterAndPatternSyntax).
    pub pattern: Option<String>,
    /// Only the lines of these children or nodes, by index in ascending order.
    pub indices: Option<Vec<u32>>,
    /// Only the lines of children or nodes that have failed.
    pub failed: bool,
}

/// The clock of a job's machine may be behind the clock of AWS by this much, in milliseconds.
pub(super) const CLOCK_SKEW: i64 = 600_000;

/// Whether something ended so long ago that no line of it can still be on its way. The clocks of
/// this machine and of AWS may differ, so a few minutes tell nothing.
pub(super) fn is_long_ago(stopped_at: Option<i64>) -> bool {
    let now = jiff::Timestamp::now().as_millisecond();
    stopped_at.is_some_and(|at| now.saturating_sub(at) > 300_000)
}

impl LogQuery {
    /// The start time for FilterLogEvents, which searches every day of a log group from then on,
    /// and so also years without a line.
    pub(super) fn begin(&self) -> Option<i64> {
        self.since.or_else(|| Some(self.created_at?.saturating_sub(CLOCK_SKEW).max(0)))
    }

    /// Whether the lines of a job come from several containers at the same time.
    pub fn has_several_containers(&self, job: &Job) -> bool {
        self.container.is_none() && job.has_several_containers()
    }

    /// Whether the lines of a child or node are asked for.
    pub fn has_part(&self, index: Option<u32>) -> bool {
        match (&self.indices, index) {
            (Some(indices), Some(index)) => indices.binary_search(&index).is_ok(),
            _ => true,
        }
    }
}
