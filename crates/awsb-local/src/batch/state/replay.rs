//! Replaying what has happened to jobs since the state of the database, from the runners' journals.
//!
//! A database that has lost its last commits shows jobs as they were before: some that have ended
//! are still RUNNABLE there, and would run a second time. A runner writes down that it has taken an
//! attempt before the attempt begins, and how it has ended. So every attempt that has begun since
//! is known, and each job is taken to where it was.
//!
//! Journals are removed once the database's own file has what is in them. When an older copy of
//! that file is put in its place, nobody knows what has become of the jobs that have not ended in
//! it and that no journal knows: they end.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Current, Job, State};
use crate::batch::model::JobKey;
use crate::runner::protocol::{AttemptId, Ended};
use awsb_model::Status;

/// Why a job has ended that may have run already.
pub const OUTCOME_UNKNOWN: &str = "The local cluster's database is an older copy: nobody knows whether this job has run since, so it is not run";

/// An attempt as a journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The job, or the node of a multi-node job.
    pub key: JobKey,
    /// The number of the attempt, from 1 on.
    pub attempt: u32,
    /// The attempt and its runner.
    pub current: Current,
    /// Its end, if it has ended.
    pub ended: Option<Ended>,
}

impl State {
    /// Brings jobs to the state that these attempts have, and returns the attempts that the jobs
    /// did not have. Attempts that have not ended are assigned now, as if their runners had just
    /// got them.
    pub fn replay(&mut self, records: Vec<Record>, at: i64) -> Vec<(JobKey, AttemptId)> {
        // The attempts of a job in their order. Those that a job depends on come before it: they
        // are older, and so are their keys.
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
                    resumed.push((record.key, record.current.attempt_id.clone()));
                }
            }
            for ended in group.iter().rev().filter_map(|record| record.ended.as_ref()) {
                self.attempt_ended(ended);
            }
        }
        resumed
    }

    /// Whether an attempt that a journal has is one of which the job knows nothing. Nodes begin
    /// with their job.
    pub fn is_ahead(&self, record: &Record) -> bool {
        self.jobs.get(&record.key).is_some_and(|job| job.node().is_none() && job.attempts < record.attempt)
    }

    /// Ends every job of which nobody knows what has become of it: of those that have not ended,
    /// all that are not in one of these attempts. Returns them.
    pub fn end_unknown(&mut self, known: &HashSet<AttemptId>, at: i64) -> Vec<JobKey> {
        let of_runners = |job: &Job| job.children.is_none() && job.node().is_none();
        let mut keys: Vec<JobKey> =
            self.jobs.values().filter(|job| of_runners(job)).map(|job| job.key).collect();
        keys.sort_unstable();
        let mut unknown = Vec::new();
        for key in keys {
            let Some(job) = self.jobs.get(&key).filter(|job| !job.status.has_ended()) else { continue };
            let nodes = job.nodes().map_or(0, |nodes| nodes.count());
            let parts = std::iter::once(key).chain((0..nodes).map(|index| key.child(index)));
            let assigned: Vec<AttemptId> = parts
                .filter_map(|part| Some(self.jobs.get(&part)?.current.as_ref()?.attempt_id.clone()))
                .collect();
            if assigned.iter().any(|attempt_id| known.contains(attempt_id)) {
                continue;
            }
            unknown.push(key);
            for attempt_id in assigned {
                self.attempt_impossible(&attempt_id, OUTCOME_UNKNOWN, at);
            }
            if let Some(job) = self.jobs.get(&key).filter(|job| !job.status.has_ended()) {
                let line = job.terms.line.clone();
                self.scheduler.leave(&line, key);
                for part in (0..nodes).map(|index| key.child(index)) {
                    self.to_assign.remove(&part);
                    self.give_back(part, at);
                }
                self.end(key, Status::Failed, Some(OUTCOME_UNKNOWN.to_owned()), at);
            }
        }
        self.propagate(at);
        unknown
    }

    /// Places an attempt, whether there is room for it or not. `false` when the job is there
    /// already, or further.
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
                self.to_assign.remove(&key);
                self.begin_attempt(key, current.clone());
            }
            return waits;
        }
        let owner = node.map_or(key, |(parent, ..)| parent);
        let Some(job) = self.jobs.get(&owner) else { return false };
        if job.status != Status::Runnable || job.attempts >= attempt {
            return false;
        }
        let (terms, job_is_new) = (Arc::clone(&job.terms), job.attempts == 0);
        let Some(allocation) = self.scheduler.take_anyway(&terms.line, &terms.resources, at) else {
            return false;
        };
        self.scheduler.leave(&terms.line, owner);
        if job_is_new {
            self.consume(owner, None);
        }
        if let Some(job) = self.jobs.get_mut(&owner) {
            match node {
                Some(_) => job.attempts = attempt.saturating_sub(1),
                None => (job.allocation, job.attempts) = (Some(allocation.clone()), attempt),
            }
        }
        match node {
            Some(_) => self.begin_nodes(owner, allocation, at, || current.clone()),
            None => self.begin_attempt(key, current.clone()),
        }
        true
    }
}
