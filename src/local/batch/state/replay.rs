//! What has happened to jobs since the state that the database has, as the runners' journals have it.
//!
//! A database that has lost its last commits shows jobs as they were before: some that have ended are still
//! RUNNABLE there, and would run a second time. A runner writes down that it has taken an attempt before the
//! attempt begins, and how it has ended. So every attempt that has begun since is known, and each job is taken
//! to where it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Current, Job, State};
use crate::job::Status;
use crate::local::batch::model::JobKey;
use crate::local::runner::protocol::{Ended, TaskId};

/// An attempt as a journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The job, or the node of a multi-node job.
    pub key: JobKey,
    /// Which of its attempts, from 1 on.
    pub attempt: u32,
    /// The attempt and its runner.
    pub current: Current,
    /// Its end, if it has ended.
    pub ended: Option<Ended>,
}

impl State {
    /// Takes jobs to where these attempts say they were, and returns the attempts of which the jobs knew
    /// nothing. What has not ended is placed now, as if it had just been given to its runner.
    pub fn replay(&mut self, records: Vec<Record>, at: i64) -> Vec<(JobKey, TaskId)> {
        // The attempts of a job in their order. Those that a job depends on come before it: they are older, and
        // so are their keys.
        let mut groups: BTreeMap<(JobKey, u32), Vec<Record>> = BTreeMap::new();
        for record in records {
            let owner = self.jobs.get(&record.key).and_then(Job::node).map_or(record.key, |(job, ..)| job);
            groups.entry((owner, record.attempt)).or_default().push(record);
        }
        let mut resumed = Vec::new();
        for mut group in groups.into_values() {
            // The main node of a multi-node job begins first, and its end is the job's.
            let is_main = |key| self.jobs.get(&key).and_then(Job::node).is_some_and(|(_, i, main)| i == main);
            group.sort_by_key(|record| !is_main(record.key));
            for record in &group {
                if self.resume(record, at) {
                    resumed.push((record.key, record.current.task.clone()));
                }
            }
            for ended in group.iter().rev().filter_map(|record| record.ended.as_ref()) {
                self.attempt_ended(ended);
            }
        }
        resumed
    }

    /// Places an attempt, whether there is room for it or not. `false` when the job is there already, or further.
    fn resume(&mut self, record: &Record, at: i64) -> bool {
        let &Record { key, attempt, ref current, .. } = record;
        let Some(job) = self.jobs.get(&key) else { return false };
        let node = job.node();
        if let Some((_, index, main)) = node
            && index != main
        {
            // The job's room was given back to it with its main node.
            let waits = job.status == Status::Starting && job.current.is_none() && job.attempts == attempt;
            if waits {
                self.to_place.remove(&key);
                self.begin_attempt(key, current.clone());
            }
            return waits;
        }
        let owner = node.map_or(key, |(parent, ..)| parent);
        let Some(job) = self.jobs.get(&owner) else { return false };
        if job.status != Status::Runnable || job.attempts >= attempt {
            return false;
        }
        let terms = Arc::clone(&job.terms);
        let Some(room) = self.scheduler.take_anyway(&terms.line, &terms.resources, at) else { return false };
        self.scheduler.leave(&terms.line, owner);
        if let Some(job) = self.jobs.get_mut(&owner) {
            match node {
                Some(_) => job.attempts = attempt.saturating_sub(1),
                None => (job.room, job.attempts) = (Some(room.clone()), attempt),
            }
        }
        match node {
            Some(_) => self.begin_nodes(owner, room, at, || current.clone()),
            None => self.begin_attempt(key, current.clone()),
        }
        true
    }
}
