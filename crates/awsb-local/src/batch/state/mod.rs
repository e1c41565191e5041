//! The life of jobs: a state machine from events to effects, without clock, disk or processes.
//!
//! It holds only the jobs that have not ended. It marks what it changes: the writer stores the
//! marked jobs in one transaction, and only then performs the effects.
//!
//! | module         | contents                                                           |
//! |----------------|--------------------------------------------------------------------|
//! | here           | a job's life: attempts, retries, ends                              |
//! | `consumables`  | consumable resources: who holds how much, and who waits for them         |
//! | `dependencies` | who waits for whom, and what becomes of them                       |
//! | `nodes`        | multi-node jobs: all their nodes start together and end together   |
//! | [`replay`]     | what the database has lost and the runners' journals have          |
//! | [`scheduler`]  | who runs next                                                      |
//! | [`supply`]     | the consumable resources that there are                            |

mod consumables;
mod dependencies;
mod nodes;
pub mod replay;
pub mod scheduler;
pub mod supply;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use self::scheduler::{Allocation, Fit, Layout, Pass, Scheduler};
use self::supply::Consumables;
use self::waits::DependencyGraph;
use super::model::{JobKey, Nodes, Summary, Terms};
use crate::capacity::Resources;
use crate::runner::protocol::{AttemptId, ContainerEnd, Ended, RunnerId, Started};
use awsb_model::Status;

/// The status reason of a job that no compute environment can hold (User Guide,
/// `job_stuck_in_runnable`).
pub const CANNOT_FIT: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement \
                              (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.";
/// The same, of a job that needs more vCPUs than `maxvCpus` of every compute environment.
pub const TOO_SMALL: &str = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue \
                             cannot meet the CPU requirement of the job.";
/// The reason that ECS gives for a container that has ended, with any exit code.
pub const EXITED: &str = "Essential container in task exited";
/// The reason that ECS gives for a container that could not be started. Unverified for Batch.
pub const NOT_STARTED: &str = "Task failed to start";
/// User Guide, `job_timeouts`.
pub const TIMED_OUT: &str = "Job attempt duration exceeded timeout";
/// User Guide, `job_retries`: the status reason when an instance is lost begins with `Host EC2`.
pub const HOST_LOST: &str = "Host EC2 (instance i-00000000000000000) terminated.";
/// The parent's status reason when a child has failed. Unverified: no AWS page gives the words.
pub const CHILD_FAILED: &str = "Array Child Job failed";

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which.
    pub key: JobKey,
    /// The array that it is a child of, or the multi-node job that it is a node of, and its index
    /// there.
    pub child: Option<(JobKey, u32)>,
    /// The children's statuses, for an array parent.
    pub children: Option<Summary>,
    /// The terms under which it runs.
    pub terms: Arc<Terms>,
    /// Where it stands.
    pub status: Status,
    /// Why.
    pub status_reason: Option<String>,
    /// When it (last) got its room.
    pub scheduled_at: Option<i64>,
    /// When its (last) process came to exist.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// Attempts that have begun, the current one included.
    pub attempts: u32,
    /// The room that it has now.
    pub allocation: Option<Allocation>,
    /// The attempt that a runner has.
    pub current: Option<Current>,
    /// The last attempt's exit code.
    pub exit_code: Option<i32>,
    /// The last attempt's `container.reason`.
    pub reason: Option<String>,
    /// The last attempt, whose log stream the job shows.
    pub last_attempt_id: Option<AttemptId>,
    /// Where the other nodes reach it, for a main node in a container that has been started.
    pub address: Option<Ipv4Addr>,
    /// Somebody wants it to end, and why.
    pub ending: Option<EndRequest>,
}

impl Job {
    /// A job that has just been submitted.
    pub fn new(key: JobKey, child: Option<(JobKey, u32)>, terms: &Arc<Terms>, status: Status) -> Self {
        Self {
            key,
            child,
            children: None,
            terms: Arc::clone(terms),
            status,
            status_reason: None,
            scheduled_at: None,
            started_at: None,
            stopped_at: None,
            attempts: 0,
            allocation: None,
            current: None,
            exit_code: None,
            reason: None,
            last_attempt_id: None,
            address: None,
            ending: None,
        }
    }

    /// The nodes, if this is a multi-node job's parent.
    pub fn nodes(&self) -> Option<&Nodes> {
        self.terms.nodes.as_ref().filter(|_| self.child.is_none())
    }

    /// The multi-node job that this is a node of, its index, and the main node's.
    pub fn node(&self) -> Option<(JobKey, u32, u32)> {
        let (parent, index) = self.child?;
        Some((parent, index, self.terms.nodes.as_ref()?.main))
    }

    /// The resources of an attempt.
    pub fn needs(&self) -> Resources {
        match (&self.terms.nodes, self.child) {
            (Some(nodes), Some((_, index))) => {
                usize::try_from(index).ok().and_then(|i| nodes.each.get(i)).copied().unwrap_or_default()
            }
            _ => self.terms.resources,
        }
    }
}

/// An attempt that a runner has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its identity.
    pub attempt_id: AttemptId,
    /// The runner that it was given to.
    pub runner: RunnerId,
}

/// Somebody wants a job to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndRequest {
    /// The reason that was given; it becomes the job's status reason.
    pub reason: String,
    /// By CancelJob; else by TerminateJob.
    pub cancelled: bool,
}

/// An attempt that has ended, as DescribeJobs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The job.
    pub key: JobKey,
    /// From 1.
    pub number: u32,
    /// Its identity; names the log stream.
    pub attempt_id: AttemptId,
    /// When its process came to exist.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: i64,
    /// The exit code.
    pub exit_code: Option<i32>,
    /// `container.reason`.
    pub reason: Option<String>,
    /// `statusReason`.
    pub status_reason: String,
    /// How many bytes the file of its log stream had at its end, if that is known.
    pub output: Option<u64>,
    /// The ends of its containers, for a job of several.
    pub containers: Vec<ContainerEnd>,
}

/// An action for the time when the changes are on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give this attempt to the runner that it is meant for.
    Start(JobKey),
    /// Have this attempt ended.
    Stop(RunnerId, AttemptId),
}

/// How an attempt has ended.
struct Outcome {
    attempt_id: AttemptId,
    at: i64,
    exit_code: Option<i32>,
    reason: Option<String>,
    status_reason: String,
    succeeded: bool,
    /// No other attempt may follow.
    last: bool,
    /// How many bytes the file of its log stream has.
    output: Option<u64>,
    /// The ends of its containers, for a job of several.
    containers: Vec<ContainerEnd>,
}

/// The jobs that have not ended.
#[derive(Debug)]
pub struct State {
    scheduler: Scheduler,
    jobs: HashMap<JobKey, Job>,
    jobs_by_attempt: HashMap<AttemptId, JobKey>,
    dependencies: DependencyGraph,
    /// Nodes that have their room and wait for a runner only.
    to_assign: BTreeSet<JobKey>,
    consumables: Consumables,
    changed: BTreeSet<JobKey>,
    /// Ended since the last look; forgotten after they have been stored.
    ended: Vec<JobKey>,
    attempts: Vec<Attempt>,
    effects: Vec<Effect>,
}

/// The changes since the last call of [`State::take_changes`].
#[derive(Debug)]
pub struct Changes {
    /// Jobs as they are now.
    pub jobs: Vec<Job>,
    /// Attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// Consumable resources that are not replenishable, with their new total quantity.
    pub consumed: BTreeMap<String, u64>,
    /// The effects to perform once the changes are on the disk.
    pub effects: Vec<Effect>,
}

/// The status that jobs have when they are submitted: the job's own (an array's parent's, a
/// multi-node job's), and its children's or nodes'.
pub fn first_status(terms: &Terms, size: Option<u32>) -> (Status, Status) {
    let child = if terms.depends_on.is_empty() { Status::Runnable } else { Status::Pending };
    // User Guide, array_jobs: the parent is PENDING while its children live.
    (if size.is_some() { Status::Pending } else { child }, child)
}

impl State {
    /// An empty cluster.
    pub fn new(capacity: Resources, layout: Layout) -> Self {
        Self {
            scheduler: Scheduler::new(capacity, layout),
            jobs: HashMap::new(),
            jobs_by_attempt: HashMap::new(),
            dependencies: DependencyGraph::default(),
            to_assign: BTreeSet::new(),
            consumables: Consumables::default(),
            changed: BTreeSet::new(),
            ended: Vec::new(),
            attempts: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Applies a change of queues or compute environments. A job that could never run may run now,
    /// or the reverse. Jobs of a queue that is gone are ended.
    pub fn configure(&mut self, layout: Layout, at: i64) {
        if !self.scheduler.configure(layout) {
            return;
        }
        let mut keys: Vec<JobKey> = self.jobs.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let Some(job) = self.jobs.get(&key) else { continue };
            if !self.scheduler.has_queue(&job.terms.line.queue) && job.child.is_none() {
                self.terminate(key, "Job queue was deleted", at);
            } else if job.status == Status::Runnable {
                self.enqueue(key);
            }
        }
    }

    /// A job as the database has it; nothing is marked as changed, except what this machine makes
    /// of it. When all are there, [`State::restored`] is to be called.
    pub fn restore(&mut self, job: Job, at: i64) {
        if let Some(current) = &job.current {
            self.jobs_by_attempt.insert(current.attempt_id.clone(), job.key);
        }
        if let Some(allocation) = &job.allocation {
            self.scheduler.occupy(&job.terms.line, &job.needs(), allocation, at);
            // A node that has its room has a place with it, or is to get one, or has run.
            if job.current.is_none() && job.status == Status::Starting && job.node().is_some() {
                self.to_assign.insert(job.key);
            }
        }
        let (key, waits) = (job.key, job.status == Status::Runnable);
        if job.holds_consumables() {
            self.consumables.add(job.key);
        }
        self.jobs.insert(key, job);
        if waits {
            self.enqueue(key);
        }
    }

    /// All jobs have been restored: connects those that wait for others.
    pub fn restored(&mut self, at: i64) {
        // A multi-node job's other nodes wait for the main one.
        let jobs = &self.jobs;
        self.to_assign.retain(|key| {
            let node = jobs.get(key).and_then(Job::node);
            node.is_some_and(|(parent, index, main)| {
                index == main || jobs.get(&parent).is_some_and(|p| p.status == Status::Running)
            })
        });
        let mut pending: Vec<JobKey> = self
            .jobs
            .values()
            .filter(|j| j.child.is_none() && !j.terms.depends_on.is_empty())
            .map(|j| j.key)
            .collect();
        pending.sort_unstable();
        for key in pending {
            self.connect(key, &HashMap::new(), at);
        }
    }

    /// A new job: a single one, an array with so many children, or, if the terms have nodes, a
    /// multi-node job. Children and nodes come right after it. `ended` has the outcomes of the jobs
    /// that it depends on and that are not here any more.
    pub fn submit(
        &mut self,
        key: JobKey,
        size: Option<u32>,
        terms: &Arc<Terms>,
        ended: &HashMap<JobKey, Status>,
        at: i64,
    ) {
        let (own, each) = first_status(terms, size);
        let mut parent = Job::new(key, None, terms, own);
        parent.children = size.map(|size| Summary::all(size, each));
        self.jobs.insert(key, parent);
        let below = size.or_else(|| terms.nodes.as_ref().map(Nodes::count)).unwrap_or(0);
        for index in 0..below {
            let child = Job::new(key.child(index), Some((key, index)), terms, each);
            self.jobs.insert(child.key, child);
        }
        if terms.depends_on.is_empty() {
            match size {
                None => self.enqueue(key),
                Some(size) => (0..size).for_each(|index| self.enqueue(key.child(index))),
            }
        } else {
            self.connect(key, ended, at);
        }
    }

    /// Adds a RUNNABLE job to its queue. A job that can never run here gets a status reason
    /// instead, and no job waits behind it.
    fn enqueue(&mut self, key: JobKey) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        // Nodes stand behind their job.
        if job.node().is_some() {
            return;
        }
        let line = &job.terms.line;
        let fit = self.scheduler.could_fit(&line.queue, &job.terms.resources);
        match fit {
            Fit::Enabled => self.scheduler.wait(line, key),
            // Until the environment is enabled, those behind it are not to wait.
            Fit::Disabled | Fit::TooSmall | Fit::Nowhere => self.scheduler.leave(line, key),
        }
        let written = job.status_reason.as_deref().filter(|reason| [CANNOT_FIT, TOO_SMALL].contains(reason));
        let stuck = match fit {
            Fit::Nowhere => Some(CANNOT_FIT),
            Fit::TooSmall => Some(TOO_SMALL),
            Fit::Enabled | Fit::Disabled => None,
        };
        if written != stuck {
            job.status_reason = stuck.map(str::to_owned);
            self.changed.insert(key);
        }
    }

    /// Starts what there is room for, in the order of the lines.
    pub fn schedule(&mut self, at: i64, mut assign: impl FnMut() -> Current) {
        for key in std::mem::take(&mut self.to_assign) {
            self.begin_attempt(key, assign());
        }
        let mut pass = Pass::default();
        let mut in_use = None;
        while let Some(key) = self.scheduler.first(&pass, at) {
            let Some(job) = self.jobs.get(&key) else {
                // Nothing ends without leaving its line.
                debug_assert!(false, "a job that is not there stands in line");
                return;
            };
            let terms = Arc::clone(&job.terms);
            if let Some(why) = terms.doomed.clone() {
                self.scheduler.leave(&terms.line, key);
                self.end(key, Status::Failed, Some(why), at);
                continue;
            }
            let is_first = job.attempts == 0;
            if is_first && !terms.consumes.is_empty() {
                let in_use = in_use.get_or_insert_with(|| self.in_use());
                if !self.is_available(&terms, in_use) {
                    self.scheduler.hold_up(&mut pass, &terms.line);
                    continue;
                }
            }
            let Some(allocation) = self.scheduler.take(&mut pass, &terms.line, &terms.resources, at) else {
                continue;
            };
            self.scheduler.leave(&terms.line, key);
            if is_first {
                self.consume(key, in_use.as_mut());
            }
            let Some(job) = self.jobs.get_mut(&key) else { continue };
            if terms.nodes.is_some() {
                self.begin_nodes(key, allocation, at, &mut assign);
            } else {
                job.allocation = Some(allocation);
                job.scheduled_at = Some(at);
                job.attempts += 1;
                self.begin_attempt(key, assign());
            }
        }
        self.propagate(at);
    }

    /// A job that has its room gets its place.
    fn begin_attempt(&mut self, key: JobKey, current: Current) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        self.jobs_by_attempt.insert(current.attempt_id.clone(), key);
        job.last_attempt_id = Some(current.attempt_id.clone());
        job.current = Some(current);
        (job.exit_code, job.reason, job.started_at) = (None, None, None);
        job.address = None;
        self.enter(key, Status::Starting, None);
        self.effects.push(Effect::Start(key));
    }

    /// A runner says that the process exists.
    pub fn started(&mut self, started: &Started) {
        let Some(key) = self.jobs_by_attempt.get(&started.attempt_id).copied() else { return };
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.status == Status::Starting {
            let at = started.at;
            job.started_at = Some(at);
            job.address = started.address;
            let node = job.node();
            self.enter(key, Status::Running, None);
            if let Some((parent, index, main)) = node
                && index == main
            {
                self.main_node_started(parent, at);
            }
        }
    }

    /// An attempt has ended. A second report of the same end changes nothing.
    pub fn attempt_ended(&mut self, ended: &Ended) {
        let Some(job) = self.by_attempt(&ended.attempt_id) else { return };
        let ending = self.ending_of(job).cloned();
        let mut status_reason = match (&ending, ended) {
            (Some(ending), _) => ending.reason.clone(),
            (None, Ended { timed_out: true, .. }) => TIMED_OUT.to_owned(),
            (None, Ended { lost: true, .. }) => HOST_LOST.to_owned(),
            (None, Ended { started_at: None, .. }) => NOT_STARTED.to_owned(),
            (None, _) => EXITED.to_owned(),
        };
        // Behind AWS's words, so that what matches them still does.
        if let Some(why) = &ended.lost_output {
            status_reason = format!("{status_reason}; {why}");
        }
        let key = job.key;
        if let Some(job) = self.jobs.get_mut(&key) {
            job.started_at = ended.started_at;
        }
        self.settle(
            key,
            Outcome {
                attempt_id: ended.attempt_id.clone(),
                at: ended.at,
                exit_code: ended.exit_code,
                reason: ended.reason.clone(),
                status_reason,
                succeeded: ended.exit_code == Some(0) && !ended.timed_out && ending.is_none(),
                // User Guide, job_retries and job_timeouts: neither a terminated nor a timed out
                // job is retried.
                last: ending.is_some() || ended.timed_out,
                output: ended.output,
                containers: ended.containers.clone(),
            },
        );
    }

    /// The runner is gone, and the attempt's end is not known.
    pub fn attempt_lost(&mut self, attempt_id: &AttemptId, at: i64) {
        let Some(job) = self.by_attempt(attempt_id) else { return };
        let ending = self.ending_of(job).map(|e| e.reason.clone());
        let key = job.key;
        let last = ending.is_some();
        self.settle(
            key,
            Outcome {
                attempt_id: attempt_id.clone(),
                at,
                exit_code: None,
                reason: None,
                status_reason: ending.unwrap_or_else(|| HOST_LOST.to_owned()),
                succeeded: false,
                last,
                output: None,
                containers: Vec::new(),
            },
        );
    }

    /// The attempt cannot begin, and no other one can: the job ends.
    pub fn attempt_impossible(&mut self, attempt_id: &AttemptId, why: &str, at: i64) {
        let Some(key) = self.by_attempt(attempt_id).map(|job| job.key) else { return };
        self.settle(
            key,
            Outcome {
                attempt_id: attempt_id.clone(),
                at,
                exit_code: None,
                reason: None,
                status_reason: why.to_owned(),
                succeeded: false,
                last: true,
                output: None,
                containers: Vec::new(),
            },
        );
    }

    /// The terms of a job cannot be read. If the job has not begun, it ends.
    pub fn give_up(&mut self, key: JobKey, why: &str, at: i64) {
        let begun = |job: &Job| job.status.has_ended() || job.current.is_some() || job.children.is_some();
        let Some(job) = self.jobs.get(&key).filter(|job| !begun(job) && job.node().is_none()) else { return };
        let line = job.terms.line.clone();
        self.scheduler.leave(&line, key);
        self.end(key, Status::Failed, Some(why.to_owned()), at);
        self.propagate(at);
    }

    /// The attempt never began: as if it had not been given to anyone.
    pub fn attempt_never_began(&mut self, attempt_id: &AttemptId, at: i64) {
        let Some(key) = self.jobs_by_attempt.remove(attempt_id) else { return };
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.current = None;
        job.last_attempt_id = None;
        if job.node().is_some() {
            self.node_never_began(key, at);
        } else {
            job.attempts = job.attempts.saturating_sub(1);
            let is_back = job.attempts == 0;
            let ending = job.ending.clone();
            self.give_back(key, at);
            if is_back {
                self.unconsume(key);
            }
            match ending {
                Some(ending) => self.end(key, Status::Failed, Some(ending.reason), at),
                None => {
                    self.enter(key, Status::Runnable, None);
                    self.enqueue(key);
                }
            }
        }
        self.propagate(at);
    }

    /// A job's room is free again.
    fn give_back(&mut self, key: JobKey, at: i64) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if let Some(allocation) = job.allocation.take() {
            self.scheduler.release(&job.terms.line, &job.needs(), &allocation, at);
            self.changed.insert(key);
        }
    }

    /// Why a job is to end, if it is: a node ends with its job.
    fn ending_of<'a>(&'a self, job: &'a Job) -> Option<&'a EndRequest> {
        let parent = job.node().and_then(|(parent, ..)| self.jobs.get(&parent));
        job.ending.as_ref().or_else(|| parent?.ending.as_ref())
    }

    fn settle(&mut self, key: JobKey, outcome: Outcome) {
        self.jobs_by_attempt.remove(&outcome.attempt_id);
        self.give_back(key, outcome.at);
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.current = None;
        job.exit_code = outcome.exit_code;
        job.reason.clone_from(&outcome.reason);
        self.attempts.push(Attempt {
            key,
            number: job.attempts,
            attempt_id: outcome.attempt_id.clone(),
            started_at: job.started_at,
            stopped_at: outcome.at,
            exit_code: outcome.exit_code,
            reason: outcome.reason.clone(),
            status_reason: outcome.status_reason.clone(),
            output: outcome.output,
            containers: outcome.containers.clone(),
        });
        let at = outcome.at;
        if job.node().is_some() {
            self.node_ended(key, &outcome);
        } else if again(job, &outcome) {
            self.enter(key, Status::Runnable, Some(outcome.status_reason));
            self.enqueue(key);
        } else {
            let status = if outcome.succeeded { Status::Succeeded } else { Status::Failed };
            self.end(key, status, Some(outcome.status_reason), at);
        }
        self.propagate(at);
    }

    /// TerminateJob: ends a job in any state. A job that has ended already stays as it is.
    /// Terminating an array ends all its children.
    pub fn terminate(&mut self, key: JobKey, reason: &str, at: i64) {
        self.end_by(key, &EndRequest { reason: reason.to_owned(), cancelled: false }, at);
        self.propagate(at);
    }

    /// CancelJob: ends a job that has not been started; on STARTING and RUNNING jobs it does
    /// nothing (API: "Jobs that progressed to the STARTING or RUNNING state aren't canceled"). "A
    /// PENDING job is canceled after all dependency jobs are completed."
    pub fn cancel(&mut self, key: JobKey, reason: &str, at: i64) {
        self.end_by(key, &EndRequest { reason: reason.to_owned(), cancelled: true }, at);
        self.propagate(at);
    }

    fn end_by(&mut self, key: JobKey, ending: &EndRequest, at: i64) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let begun = matches!(job.status, Status::Starting | Status::Running);
        if job.status.has_ended() || (begun && ending.cancelled) {
            return;
        }
        // The main node is its job; the others are only parts of it.
        if let Some((parent, index, main)) = job.node()
            && (index == main || !begun)
        {
            return if index == main {
                self.end_by(parent, ending, at)
            };
        }
        // The main node has run: the job ends as it did, as soon as the others have been stopped.
        if let Some(main) = job.nodes().map(|nodes| nodes.main)
            && begun
            && self.jobs.get(&key.child(main)).is_some_and(|main| main.status.has_ended())
        {
            return;
        }
        if ending.cancelled && self.nothing_to_cancel(key) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.ending.is_none() {
            job.ending = Some(ending.clone());
            self.changed.insert(key);
        }
        let (size, waits) = (job.children.map(|c| c.size()), job.status == Status::Pending);
        if let Some(current) = job.current.clone() {
            self.effects.push(Effect::Stop(current.runner, current.attempt_id));
        } else if let Some(size) = size {
            for index in 0..size {
                self.end_by(key.child(index), ending, at);
            }
        } else if job.nodes().is_some() && begun {
            self.stop_nodes(key, at);
        } else if begun {
            self.node_never_began(key, at);
        } else if waits && ending.cancelled {
            // It ends when all that it depends on has.
        } else {
            let line = job.terms.line.clone();
            self.scheduler.leave(&line, key);
            self.end(key, Status::Failed, Some(ending.reason.clone()), at);
        }
    }

    /// Whether all living children of an array have begun: then a CancelJob changes nothing.
    fn nothing_to_cancel(&self, key: JobKey) -> bool {
        let Some(summary) = self.jobs.get(&key).and_then(|job| job.children) else { return false };
        let waiting = [Status::Submitted, Status::Pending, Status::Runnable];
        waiting.iter().all(|status| summary.count(*status) == 0)
    }

    fn end(&mut self, key: JobKey, status: Status, reason: Option<String>, at: i64) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.stopped_at = Some(at);
        self.ended.push(key);
        self.dependencies.has_ended(key);
        if let Some(count) = job.nodes().map(Nodes::count) {
            self.end_nodes(key, count, reason.as_deref(), at);
        }
        self.enter(key, status, reason);
    }

    /// A job's status changes, and with a child's status its array.
    fn enter(&mut self, key: JobKey, status: Status, reason: Option<String>) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let from = std::mem::replace(&mut job.status, status);
        job.status_reason = reason;
        self.changed.insert(key);
        let Some((parent, _)) = job.child else { return };
        let at = job.stopped_at;
        let Some(array) = self.jobs.get_mut(&parent) else { return };
        let Some(summary) = &mut array.children else { return };
        self.changed.insert(parent);
        summary.moved(from, status);
        if let (Some(outcome), Some(at)) = (summary.outcome(), at) {
            let why = array.ending.as_ref().map(|e| e.reason.clone()).or_else(|| array.status_reason.clone());
            let reason = match outcome {
                Status::Failed => Some(why.unwrap_or_else(|| CHILD_FAILED.to_owned())),
                _ => None,
            };
            self.end(parent, outcome, reason, at);
        }
    }

    /// Takes the changes since the last call. Jobs that have ended are forgotten.
    pub fn take_changes(&mut self) -> Changes {
        let jobs = std::mem::take(&mut self.changed);
        let jobs = jobs.into_iter().filter_map(|key| self.jobs.get(&key).cloned()).collect();
        for key in std::mem::take(&mut self.ended) {
            self.jobs.remove(&key);
            self.consumables.forget(key);
        }
        Changes {
            jobs,
            attempts: std::mem::take(&mut self.attempts),
            consumed: self.take_consumed(),
            effects: std::mem::take(&mut self.effects),
        }
    }

    /// A job that has not ended.
    pub fn job(&self, key: JobKey) -> Option<&Job> {
        self.jobs.get(&key)
    }

    /// All jobs that are neither children nor nodes.
    pub fn parents(&self) -> Vec<JobKey> {
        self.jobs.values().filter(|job| job.child.is_none()).map(|job| job.key).collect()
    }

    /// The jobs that runners have.
    pub fn assigned(&self) -> impl Iterator<Item = (&Current, &Job)> {
        self.jobs_by_attempt
            .values()
            .filter_map(|key| self.jobs.get(key))
            .filter_map(|job| Some((job.current.as_ref()?, job)))
    }

    /// The job that has this attempt now.
    pub fn by_attempt(&self, attempt_id: &AttemptId) -> Option<&Job> {
        self.jobs.get(self.jobs_by_attempt.get(attempt_id)?)
    }

    /// Whether this attempt is wanted no more.
    pub fn is_to_end(&self, attempt_id: &AttemptId) -> bool {
        self.by_attempt(attempt_id).is_none_or(|job| self.ending_of(job).is_some() || self.is_over(job))
    }

    /// The first jobs of a queue that wait for room, in the order in which they would start now.
    pub fn line(&self, queue: &str, at: i64, limit: usize) -> Vec<JobKey> {
        self.scheduler.line(queue, at, limit)
    }

    /// The vCPUs that the jobs of a queue use, by share identifier, the largest first.
    pub fn usage(&self, queue: &str) -> Vec<(String, u32)> {
        self.scheduler.usage(queue)
    }

    /// Whether any job has not ended.
    pub fn is_active(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The resources of this machine in total, and the free ones.
    pub fn resources(&self) -> (Resources, Resources) {
        self.scheduler.resources()
    }
}

/// Whether another attempt follows.
fn again(job: &Job, outcome: &Outcome) -> bool {
    let reason = outcome.reason.as_deref().unwrap_or("");
    !outcome.succeeded
        && !outcome.last
        && job.terms.retry.again(job.attempts, outcome.exit_code, reason, &outcome.status_reason)
}
