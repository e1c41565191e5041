//! Multi-node parallel jobs (User Guide, multi-node-parallel-jobs and job-lifecycle).
//!
//! The job gets the room for all its nodes at once. The main node starts first; when it runs, the
//! others start. The end of the main node is the job's: it decides the outcome and whether there is
//! another attempt, and the others are stopped. The end of another node changes nothing but that
//! node.
//!
//! A node is in one of four states within an attempt: it has its room and waits for its start
//! (STARTING without a place), it has a place (STARTING or RUNNING), or it has run (SUCCEEDED or
//! FAILED). Only when all have run, or will not run any more, does the job end or begin again.

use super::scheduler::Allocation;
use super::{Current, Effect, Job, NOT_STARTED, Outcome, State, TIMED_OUT, again};
use crate::batch::model::{JobKey, Nodes};
use awsb_model::Status;

impl State {
    /// The job has room for all its nodes: each gets its part, and the main node its place.
    pub(super) fn begin_nodes(
        &mut self,
        key: JobKey,
        allocation: Allocation,
        at: i64,
        mut assign: impl FnMut() -> Current,
    ) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let Some((count, main)) = job.nodes().map(|n| (n.count(), n.main)) else { return };
        job.attempts += 1;
        job.scheduled_at = Some(at);
        (job.exit_code, job.reason, job.started_at) = (None, None, None);
        let (attempts, line, whole) = (job.attempts, job.terms.line.clone(), job.needs());
        // The allocation was taken as a whole, and is held in parts.
        self.scheduler.release(&line, &whole, &allocation, at);
        let mut gpus = allocation.gpus.into_iter();
        for index in 0..count {
            let Some(node) = self.jobs.get_mut(&key.child(index)) else { continue };
            let needs = node.needs();
            let own = gpus.by_ref().take(usize::try_from(needs.gpus).unwrap_or(0)).collect();
            let part = Allocation { environment: allocation.environment.clone(), gpus: own };
            self.scheduler.occupy(&line, &needs, &part, at);
            node.allocation = Some(part);
            node.attempts = attempts;
            node.scheduled_at = Some(at);
            (node.exit_code, node.reason, node.started_at, node.stopped_at) = (None, None, None, None);
            node.last_attempt_id = None;
            self.enter(key.child(index), Status::Starting, None);
        }
        self.enter(key, Status::Starting, None);
        self.begin_attempt(key.child(main), assign());
    }

    /// The main node runs: so does the job, and the other nodes may start.
    pub(super) fn main_node_started(&mut self, parent: JobKey, at: i64) {
        let Some(job) = self.jobs.get_mut(&parent) else { return };
        job.started_at = Some(at);
        let (count, main) = job.nodes().map_or((0, 0), |n| (n.count(), n.main));
        self.enter(parent, Status::Running, None);
        let others = (0..count).filter(|index| *index != main).map(|index| parent.child(index));
        // Nodes that have been ended meanwhile have no allocation any more. A node whose runner is
        // known from its journal needs none.
        let waits = |node: &Job| node.allocation.is_some() && node.current.is_none();
        let waiting = others.filter(|key| self.jobs.get(key).is_some_and(waits));
        self.to_assign.extend(waiting);
    }

    /// A node's place was none: it gets another, unless the job is over.
    pub(super) fn node_never_began(&mut self, key: JobKey, at: i64) {
        let Some((parent, index, main)) = self.jobs.get(&key).and_then(Job::node) else { return };
        let over = self.jobs.get(&key).is_none_or(|job| self.ending_of(job).is_some() || self.is_over(job));
        if !over {
            self.changed.insert(key);
            self.to_assign.insert(key);
            return;
        }
        self.to_assign.remove(&key);
        self.give_back(key, at);
        self.node_is_done(key, Status::Failed, None, NOT_STARTED.to_owned(), at);
        if index == main {
            self.stop_nodes(parent, at);
        }
        self.finish_nodes(parent, at);
    }

    /// A node has run.
    pub(super) fn node_ended(&mut self, key: JobKey, outcome: &Outcome) {
        let Some((parent, index, main)) = self.jobs.get(&key).and_then(Job::node) else { return };
        let status = if outcome.succeeded { Status::Succeeded } else { Status::Failed };
        let started = self.jobs.get(&key).and_then(|job| job.started_at);
        self.node_is_done(key, status, started, outcome.status_reason.clone(), outcome.at);
        if index == main {
            if let Some(job) = self.jobs.get_mut(&parent) {
                job.exit_code = outcome.exit_code;
                job.reason.clone_from(&outcome.reason);
                job.started_at = started;
                self.changed.insert(parent);
            }
            self.stop_nodes(parent, outcome.at);
        }
        self.finish_nodes(parent, outcome.at);
    }

    fn node_is_done(&mut self, key: JobKey, status: Status, started: Option<i64>, reason: String, at: i64) {
        if let Some(node) = self.jobs.get_mut(&key) {
            node.started_at = started;
            node.stopped_at = Some(at);
        }
        self.enter(key, status, Some(reason));
    }

    /// Ends the nodes of a job that has ended or is to end: running ones are stopped, and the
    /// others are not started.
    pub(super) fn stop_nodes(&mut self, parent: JobKey, at: i64) {
        let Some(count) = self.jobs.get(&parent).and_then(Job::nodes).map(Nodes::count) else { return };
        for index in 0..count {
            let key = parent.child(index);
            let Some(node) = self.jobs.get(&key) else { continue };
            if let Some(current) = node.current.clone() {
                self.effects.push(Effect::Stop(current.runner, current.attempt_id));
            } else if node.status == Status::Starting {
                self.to_assign.remove(&key);
                self.give_back(key, at);
                self.node_is_done(key, Status::Failed, None, NOT_STARTED.to_owned(), at);
            }
        }
        self.finish_nodes(parent, at);
    }

    /// Whether the job that this is a node of is over: its main node has run.
    pub(super) fn is_over(&self, node: &Job) -> bool {
        let Some((parent, _, main)) = node.node() else { return false };
        self.jobs.get(&parent.child(main)).is_none_or(|main| main.status.has_ended())
    }

    /// When all nodes have run, the job ends as its main node did, or begins again.
    fn finish_nodes(&mut self, parent: JobKey, at: i64) {
        let Some(job) = self.jobs.get(&parent) else { return };
        let Some(nodes) = job.nodes() else { return };
        let (count, main) = (nodes.count(), nodes.main);
        let done = |index: u32| self.jobs.get(&parent.child(index)).is_none_or(|n| n.status.has_ended());
        if job.status.has_ended() || !(0..count).all(done) {
            return;
        }
        let Some(node) = self.jobs.get(&parent.child(main)) else { return };
        let ending = job.ending.clone();
        let outcome = Outcome {
            attempt_id: node.last_attempt_id.clone().unwrap_or_else(|| String::new().into()),
            at,
            exit_code: node.exit_code,
            reason: node.reason.clone(),
            status_reason: ending
                .as_ref()
                .map(|e| e.reason.clone())
                .or_else(|| node.status_reason.clone())
                .unwrap_or_default(),
            succeeded: node.status == Status::Succeeded,
            last: ending.is_some()
                || node.status_reason.as_deref().is_some_and(|reason| reason.starts_with(TIMED_OUT)),
            output: None,
            containers: Vec::new(),
        };
        if again(job, &outcome) {
            for index in 0..count {
                let key = parent.child(index);
                if let Some(node) = self.jobs.get_mut(&key) {
                    node.stopped_at = None;
                }
                self.enter(key, Status::Runnable, None);
            }
            self.enter(parent, Status::Runnable, Some(outcome.status_reason));
            self.enqueue(parent);
        } else {
            let status = if outcome.succeeded { Status::Succeeded } else { Status::Failed };
            self.end(parent, status, Some(outcome.status_reason), at);
        }
    }

    /// The job has ended: so have those of its nodes that never ran, and all are forgotten with it.
    pub(super) fn end_nodes(&mut self, parent: JobKey, count: u32, reason: Option<&str>, at: i64) {
        for index in 0..count {
            let key = parent.child(index);
            let Some(node) = self.jobs.get(&key) else { continue };
            if !node.status.has_ended() {
                self.node_is_done(key, Status::Failed, None, reason.unwrap_or(NOT_STARTED).to_owned(), at);
            }
            self.ended.push(key);
            self.dependencies.has_ended(key);
        }
    }
}
