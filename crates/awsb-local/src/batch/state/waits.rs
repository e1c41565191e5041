//! The dependencies between jobs that have not ended.

use std::collections::HashMap;

use crate::batch::model::JobKey;

/// The dependencies between jobs that have not ended.
#[derive(Debug, Default)]
pub struct DependencyGraph {
    /// The jobs that wait for a job.
    pub dependents: HashMap<JobKey, Vec<JobKey>>,
    /// For how many others a job waits.
    pub pending: HashMap<JobKey, u32>,
    /// Ended, and those who waited have not heard it yet.
    pub ended: Vec<JobKey>,
}

impl DependencyGraph {
    /// A job waits for another one.
    pub fn add(&mut self, job: JobKey, on: JobKey) {
        self.dependents.entry(on).or_default().push(job);
        *self.pending.entry(job).or_default() += 1;
    }

    /// One of those that a job waits for has succeeded; whether that was the last.
    pub fn one_less(&mut self, job: JobKey) -> bool {
        match self.pending.get_mut(&job) {
            Some(1) | None => {
                self.pending.remove(&job);
                true
            }
            Some(n) => {
                *n -= 1;
                false
            }
        }
    }

    /// A job has ended: it waits for nobody, and those who wait for it are to hear it.
    pub fn has_ended(&mut self, job: JobKey) {
        self.pending.remove(&job);
        self.ended.push(job);
    }
}
