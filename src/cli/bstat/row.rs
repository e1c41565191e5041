//! The rows of a view: jobs with everything that is shown of them. `stream.rs` makes them,
//! `view.rs` renders them.

use std::collections::HashMap;
use std::rc::Rc;

use crate::batch::{Job, JobDetails};

/// A job, and what a view shows of it.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// The job, as complete as the columns of the view need it.
    pub job: Job,
    /// More of it, for a view that shows details or environment variables.
    pub details: Option<Box<RowDetails>>,
}

impl From<Job> for JobRow {
    fn from(job: Job) -> Self {
        Self { job, details: None }
    }
}

/// The data that a view in detail shows of a job.
#[derive(Debug, Clone)]
pub struct RowDetails {
    /// The job as DescribeJobs has it, and its environment.
    pub described: JobDetails,
    /// The jobs on which this one depends, by ID, and perhaps others. Batch may no longer have all
    /// of them.
    pub dependencies: Rc<HashMap<String, Job>>,
    /// A few of its children or nodes.
    pub parts: PartsExcerpt,
}

/// A few of the children of an array or of the nodes of an MNP job.
#[derive(Debug, Clone)]
pub enum PartsExcerpt {
    /// The job has no parts.
    None,
    /// Some children of an array that have failed, and the number of the others that have failed.
    FailedChildren(Vec<Job>, usize),
    /// The first nodes of an MNP job, and the number of the others.
    Nodes(Vec<Job>, usize),
}

/// Rows that are printed together.
#[derive(Debug, Clone)]
pub struct RowBatch {
    /// The rows, in order.
    pub rows: Vec<JobRow>,
    /// Traits of the part of the listing to which the rows belong.
    pub traits: ListingTraits,
}

/// Traits of a listing that decide which columns its default table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListingTraits {
    /// It has children whose task IDs are not their indices.
    pub tasks: bool,
    /// It has array parents or MNP parents, or may have some further on.
    pub parents: bool,
    /// It has the jobs of several queues.
    pub queues: bool,
}

impl ListingTraits {
    /// The traits of two parts of a listing together.
    pub fn or(self, other: Self) -> Self {
        Self {
            tasks: self.tasks || other.tasks,
            parents: self.parents || other.parents,
            queues: self.queues || other.queues,
        }
    }
}
