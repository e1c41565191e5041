//! What is read, and from where.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::aws::Session;
use crate::batch::Job;
use awsb_model::JobId;

/// A line of a job's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it stands.
    pub place: Arc<Place>,
    /// When it was printed, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The line, without its line break.
    pub message: String,
}

impl Event {
    /// By what lines are ordered.
    pub fn time(&self) -> i64 {
        self.timestamp.unwrap_or(0)
    }

    /// About as much memory as it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + 16 + self.message.len()
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("jobId", &self.place.job_id)?;
        if let Some(task) = self.place.task {
            object.serialize_entry("task", &task)?;
        }
        object.serialize_entry("logStreamName", &self.place.stream)?;
        object.serialize_entry("timestamp", &self.timestamp)?;
        object.serialize_entry("message", &self.message)?;
        object.end()
    }
}

/// What writes a log stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A job of Batch's.
    Job,
    /// A build of CodeBuild's.
    Build,
}

/// A log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What writes it.
    pub writer: Writer,
    /// The job that writes it, or the build.
    pub job_id: String,
    /// The ID of its task, where that is not its index.
    pub task: Option<u32>,
    /// The log group.
    pub group: String,
    /// The stream's name.
    pub stream: String,
}

impl Place {
    /// The streams of a job's attempts, the oldest first; of one attempt alone, if one is wanted.
    pub fn all_of(job: &Job, session: &Session, attempt: Option<u32>) -> Vec<Arc<Place>> {
        // The job's own log configuration names the group (API `ContainerDetail`, logConfiguration).
        let own = job.container.as_ref().and_then(|c| c.log_group.clone());
        let group = own.unwrap_or_else(|| session.cluster.log_group.clone());
        let place = |stream| {
            Arc::new(Place {
                writer: Writer::Job,
                job_id: job.job_id.clone(),
                task: job.task,
                group: group.clone(),
                stream,
            })
        };
        match attempt {
            None => job.log_streams().into_iter().map(place).collect(),
            Some(number) => job.log_stream_of(number).map(place).into_iter().collect(),
        }
    }

    /// The index of the array's child or of the node that writes it.
    pub fn part(&self) -> Option<u32> {
        JobId::from_batch(&self.job_id).part()
    }
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// None from before this time, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// When the job was submitted, in milliseconds since the epoch: nothing can be older.
    pub created_at: Option<i64>,
    /// Only those of this attempt, which counts from 1.
    pub attempt: Option<u32>,
    /// Only those that match this pattern, in the syntax of CloudWatch Logs (User Guide, FilterAndPatternSyntax).
    pub pattern: Option<String>,
    /// Only those of these children or nodes, by index.
    pub indices: Option<Vec<u32>>,
    /// Only those of children or nodes that have failed.
    pub failed: bool,
}

/// The clock of the machine that a job runs on may be behind AWS's by this much, in milliseconds.
pub(super) const SKEW: i64 = 600_000;

impl Wanted {
    /// From when on FilterLogEvents is asked, which looks through every day of a log group since then, years of nothing,
    /// too.
    pub(super) fn begin(&self) -> Option<i64> {
        self.since.or_else(|| Some(self.created_at?.saturating_sub(SKEW).max(0)))
    }

    /// Whether a part of a whole is wanted.
    pub fn has_part(&self, index: Option<u32>) -> bool {
        match (&self.indices, index) {
            (Some(wanted), Some(index)) => wanted.binary_search(&index).is_ok(),
            _ => true,
        }
    }
}
