//! Dependencies between jobs, and their outcomes.
//!
//! A job with dependencies is PENDING until all of them have succeeded; when one has failed, it
//! fails without having run (User Guide, job_dependencies). An array that depends on another job as
//! a whole holds back all its children; `N_TO_N` and `SEQUENTIAL` hold back each child on its own.

use std::collections::HashMap;

use super::State;
use crate::batch::model::{Dependency, JobKey, Summary};
use awsb_model::Status;

/// The status reason of a job that failed with what it depends on. Unverified: no AWS page gives
/// the words.
pub const DEPENDENCY_FAILED: &str = "Dependent Job failed";

impl State {
    /// A job and its children wait for what they depend on; `ended` has the outcomes of the jobs
    /// that are not here any more. One that is in neither has succeeded: had it failed, this job
    /// had, too.
    pub(super) fn connect(&mut self, key: JobKey, ended: &HashMap<JobKey, Status>, at: i64) {
        let Some(job) = self.jobs.get(&key) else { return };
        let (terms, size) = (job.terms.clone(), job.children.map_or(0, |c: Summary| c.size()));
        for dependency in &terms.depends_on {
            match *dependency {
                Dependency::Whole(on) => self.wait_for(key, on, ended, at),
                Dependency::Each(on) => {
                    (0..size).for_each(|i| self.wait_for(key.child(i), on.child(i), ended, at));
                }
                Dependency::Sequential => {
                    (1..size).for_each(|i| self.wait_for(key.child(i), key.child(i - 1), ended, at));
                }
            }
        }
        self.release(key, at);
        self.propagate(at);
    }

    fn wait_for(&mut self, key: JobKey, on: JobKey, ended: &HashMap<JobKey, Status>, at: i64) {
        if self.jobs.get(&key).is_none_or(|job| job.status.has_ended()) {
            return;
        }
        let outcome = self.jobs.get(&on).map(|job| job.status).or_else(|| ended.get(&on).copied());
        match outcome {
            Some(status) if !status.has_ended() => self.dependencies.add(key, on),
            Some(Status::Failed) => self.fail_with_dependency(key, at),
            _ => {}
        }
    }

    /// A job, or an array's children, may run if nothing holds them back any more.
    fn release(&mut self, key: JobKey, at: i64) {
        let Some(job) = self.jobs.get(&key) else { return };
        let held = |key: JobKey| self.dependencies.pending.contains_key(&key);
        if held(key) || job.child.is_some_and(|(parent, _)| held(parent)) || job.status != Status::Pending {
            return;
        }
        if let Some(summary) = job.children {
            (0..summary.size()).for_each(|index| self.release(key.child(index), at));
            return;
        }
        match &job.ending {
            Some(ending) => self.end(key, Status::Failed, Some(ending.reason.clone()), at),
            None => {
                let nodes = job.nodes().map_or(0, |n| n.count());
                self.enter(key, Status::Runnable, None);
                (0..nodes).for_each(|index| self.enter(key.child(index), Status::Runnable, None));
                self.enqueue(key);
            }
        }
    }

    fn fail_with_dependency(&mut self, key: JobKey, at: i64) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.status.has_ended() {
            return;
        }
        let reason = job.ending.as_ref().map_or(DEPENDENCY_FAILED, |e| &e.reason).to_owned();
        match job.children {
            None => self.end(key, Status::Failed, Some(reason), at),
            Some(summary) => {
                // The array ends with its last child, and says why.
                job.status_reason = Some(reason.clone());
                for index in 0..summary.size() {
                    let child = key.child(index);
                    if self.jobs.get(&child).is_some_and(|job| !job.status.has_ended()) {
                        self.end(child, Status::Failed, Some(reason.clone()), at);
                    }
                }
            }
        }
    }

    /// Passes the outcomes of ended jobs on to the jobs that depend on them. It works off a list,
    /// because chains may be ten thousand jobs long.
    pub(super) fn propagate(&mut self, at: i64) {
        while let Some(ended) = self.dependencies.ended.pop() {
            let Some(behind) = self.dependencies.dependents.remove(&ended) else { continue };
            let succeeded = self.jobs.get(&ended).is_some_and(|job| job.status == Status::Succeeded);
            for key in behind {
                if !succeeded {
                    self.fail_with_dependency(key, at);
                } else if self.dependencies.one_less(key) {
                    self.release(key, at);
                }
            }
        }
    }
}
