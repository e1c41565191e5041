//! Who waits for whom.

use std::collections::HashMap;

use crate::batch::model::JobKey;

/// Who waits for whom.
#[derive(Debug, Default)]
pub struct Waits {
    /// Those who wait for a job.
    pub behind: HashMap<JobKey, Vec<JobKey>>,
    /// For how many others a job waits.
    pub ahead: HashMap<JobKey, u32>,
    /// Ended, and those who waited have not heard it yet.
    pub news: Vec<JobKey>,
}

impl Waits {
    /// A job waits for another one.
    pub fn add(&mut self, job: JobKey, on: JobKey) {
        self.behind.entry(on).or_default().push(job);
        *self.ahead.entry(job).or_default() += 1;
    }

    /// One of those that a job waits for has succeeded; whether that was the last.
    pub fn one_less(&mut self, job: JobKey) -> bool {
        match self.ahead.get_mut(&job) {
            Some(1) | None => {
                self.ahead.remove(&job);
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
        self.ahead.remove(&job);
        self.news.push(job);
    }
}
