//! What happens to jobs: a state machine from events to effects, without clock, disk or processes.
//!
//! It holds the jobs that have not ended, and nothing else. What it changes it marks: the writer
//! stores the marked jobs in one transaction, and only then lets the effects happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::model::{JobKey, Summary, Terms};
use crate::job::Status;
use crate::local::capacity::Resources;
use crate::local::runner::protocol::{Ended, RunnerId, TaskId};

/// User Guide, `job_stuck_in_runnable`: what Batch says of a job that no compute environment can hold.
pub const CANNOT_FIT: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement \
                              (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.";
/// What ECS says of a container that has ended, whatever its exit code.
pub const EXITED: &str = "Essential container in task exited";
/// What ECS says of a container that could not be started. Unverified for Batch.
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
    /// The array that it is a child of, and its index there.
    pub child: Option<(JobKey, u32)>,
    /// The children's statuses, for an array parent.
    pub children: Option<Summary>,
    /// What its life depends on.
    pub terms: Arc<Terms>,
    /// Where it stands.
    pub status: Status,
    /// Why.
    pub status_reason: Option<String>,
    /// When its (last) process came to exist.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// Attempts that have begun, the current one included.
    pub attempts: u32,
    /// The attempt that a runner has.
    pub current: Option<Current>,
    /// The last attempt's exit code.
    pub exit_code: Option<i32>,
    /// The last attempt's `container.reason`.
    pub reason: Option<String>,
    /// The last attempt, whose log stream the job shows.
    pub last_task: Option<TaskId>,
    /// Somebody wants it to end, and why.
    pub ending: Option<Ending>,
}

/// An attempt that a runner has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its identity.
    pub task: TaskId,
    /// The runner that it was given to.
    pub runner: RunnerId,
}

/// Somebody wants a job to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
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
    pub task: TaskId,
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
}

/// What is to be done once the changes are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give this attempt to the runner that it is meant for.
    Start(JobKey),
    /// Have this attempt ended.
    Stop(RunnerId, TaskId),
}

/// The jobs that have not ended.
#[derive(Debug)]
pub struct State {
    capacity: Resources,
    free: Resources,
    jobs: HashMap<JobKey, Job>,
    tasks: HashMap<TaskId, JobKey>,
    children: HashMap<JobKey, BTreeMap<u32, JobKey>>,
    /// Waiting for resources, in the order of submission.
    queue: BTreeSet<JobKey>,
    changed: BTreeSet<JobKey>,
    /// Ended since the last look; forgotten after they have been stored.
    ended: Vec<JobKey>,
    attempts: Vec<Attempt>,
    effects: Vec<Effect>,
}

/// What has changed since the last look.
#[derive(Debug)]
pub struct Changes {
    /// Jobs as they are now.
    pub jobs: Vec<Job>,
    /// Attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// What to do once all that is on disk.
    pub effects: Vec<Effect>,
}

impl State {
    /// An empty cluster.
    pub fn new(capacity: Resources) -> Self {
        Self {
            capacity,
            free: capacity,
            jobs: HashMap::new(),
            tasks: HashMap::new(),
            children: HashMap::new(),
            queue: BTreeSet::new(),
            changed: BTreeSet::new(),
            ended: Vec::new(),
            attempts: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// A job as the database has it; nothing is marked as changed, except what this machine makes of it.
    pub fn restore(&mut self, job: Job) {
        if let Some((parent, index)) = job.child {
            self.children.entry(parent).or_default().insert(index, job.key);
        }
        if let Some(current) = &job.current {
            self.tasks.insert(current.task.clone(), job.key);
            self.free.take(&job.terms.resources);
        }
        let (key, status) = (job.key, job.status);
        self.jobs.insert(key, job);
        if status == Status::Runnable {
            self.enqueue(key);
        }
    }

    /// A new job, or an array's parent and its children. Children of an array come right after it.
    pub fn submit(&mut self, key: JobKey, size: Option<u32>, terms: &Arc<Terms>) {
        let mut add = |key: JobKey, child: Option<(JobKey, u32)>, children: Option<Summary>| {
            let status = if children.is_some() { Status::Pending } else { Status::Runnable };
            let job = Job {
                key,
                child,
                children,
                terms: Arc::clone(terms),
                status,
                status_reason: None,
                started_at: None,
                stopped_at: None,
                attempts: 0,
                current: None,
                exit_code: None,
                reason: None,
                last_task: None,
                ending: None,
            };
            self.restore(job);
        };
        match size {
            None => add(key, None, None),
            Some(size) => {
                add(key, None, Some(Summary::all(size, Status::Runnable)));
                for index in 0..size {
                    add(JobKey(key.0 + 1 + i64::from(index)), Some((key, index)), None);
                }
            }
        }
    }

    /// Puts a RUNNABLE job in line, unless this machine can never hold it: then it says so, and nobody waits behind it.
    fn enqueue(&mut self, key: JobKey) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if self.capacity.fits(&job.terms.resources) {
            self.queue.insert(key);
            if job.status_reason.as_deref() == Some(CANNOT_FIT) {
                job.status_reason = None;
                self.changed.insert(key);
            }
        } else if job.status_reason.as_deref() != Some(CANNOT_FIT) {
            job.status_reason = Some(CANNOT_FIT.to_owned());
            self.changed.insert(key);
        }
    }

    /// Starts what fits, in the order of submission. A job that fits this machine but not now keeps
    /// those behind it waiting: else a stream of small jobs would starve it.
    pub fn schedule(&mut self, at: i64, mut place: impl FnMut() -> Current) {
        while let Some(key) = self.queue.first().copied() {
            let Some(job) = self.jobs.get_mut(&key) else {
                self.queue.remove(&key);
                continue;
            };
            if let Some(why) = job.terms.doomed.clone() {
                self.queue.remove(&key);
                self.end(key, Status::Failed, Some(why), at);
                continue;
            }
            if !self.free.fits(&job.terms.resources) {
                return;
            }
            self.queue.remove(&key);
            self.free.take(&job.terms.resources);
            let current = place();
            self.tasks.insert(current.task.clone(), key);
            job.attempts += 1;
            job.last_task = Some(current.task.clone());
            job.current = Some(current);
            (job.exit_code, job.reason, job.started_at) = (None, None, None);
            self.enter(key, Status::Starting, None);
            self.effects.push(Effect::Start(key));
        }
    }

    /// A runner says that the process exists.
    pub fn started(&mut self, task: &TaskId, at: i64) {
        let Some(key) = self.tasks.get(task).copied() else { return };
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.status == Status::Starting {
            job.started_at = Some(at);
            self.enter(key, Status::Running, None);
        }
    }

    /// An attempt has ended. Said of an attempt that has ended before, it changes nothing.
    pub fn attempt_ended(&mut self, ended: &Ended) {
        let Some((key, job)) = self.release(&ended.task) else { return };
        job.started_at = ended.started_at;
        let status_reason = match (&job.ending, ended) {
            (Some(ending), _) => ending.reason.clone(),
            (None, Ended { timed_out: true, .. }) => TIMED_OUT.to_owned(),
            (None, Ended { lost: true, .. }) => HOST_LOST.to_owned(),
            (None, Ended { started_at: None, .. }) => NOT_STARTED.to_owned(),
            (None, _) => EXITED.to_owned(),
        };
        let succeeded = ended.exit_code == Some(0) && !ended.timed_out && job.ending.is_none();
        // User Guide, job_retries and job_timeouts: neither a terminated nor a timed out job is retried.
        let final_end = job.ending.is_some() || ended.timed_out;
        self.settle(
            key,
            &ended.task,
            ended.at,
            ended.exit_code,
            ended.reason.clone(),
            status_reason,
            (succeeded, final_end),
        );
    }

    /// The runner is gone, and the attempt's end is not known.
    pub fn attempt_lost(&mut self, task: &TaskId, at: i64) {
        let Some((key, job)) = self.release(task) else { return };
        let ending = job.ending.as_ref().map(|e| e.reason.clone());
        let final_end = ending.is_some();
        self.settle(
            key,
            task,
            at,
            None,
            None,
            ending.unwrap_or_else(|| HOST_LOST.to_owned()),
            (false, final_end),
        );
    }

    /// The attempt never began: as if it had not been given to anyone.
    pub fn attempt_never_began(&mut self, task: &TaskId, at: i64) {
        let Some((key, job)) = self.release(task) else { return };
        job.attempts = job.attempts.saturating_sub(1);
        job.last_task = None;
        match job.ending.clone() {
            Some(ending) => self.end(key, Status::Failed, Some(ending.reason), at),
            None => {
                self.enter(key, Status::Runnable, None);
                self.enqueue(key);
            }
        }
    }

    /// The job of an attempt gets its resources back; the attempt is current no more.
    fn release(&mut self, task: &TaskId) -> Option<(JobKey, &mut Job)> {
        let key = self.tasks.remove(task)?;
        let job = self.jobs.get_mut(&key)?;
        job.current = None;
        self.free.give(&job.terms.resources);
        Some((key, job))
    }

    #[allow(clippy::too_many_arguments)]
    fn settle(
        &mut self,
        key: JobKey,
        task: &TaskId,
        at: i64,
        exit_code: Option<i32>,
        reason: Option<String>,
        status_reason: String,
        (succeeded, final_end): (bool, bool),
    ) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.exit_code = exit_code;
        job.reason.clone_from(&reason);
        let retry = &job.terms.retry;
        let again = !succeeded
            && !final_end
            && retry.again(job.attempts, exit_code, reason.as_deref().unwrap_or(""), &status_reason);
        self.attempts.push(Attempt {
            key,
            number: job.attempts,
            task: task.clone(),
            started_at: job.started_at,
            stopped_at: at,
            exit_code,
            reason,
            status_reason: status_reason.clone(),
        });
        if again {
            self.enter(key, Status::Runnable, Some(status_reason));
            self.enqueue(key);
        } else {
            let status = if succeeded { Status::Succeeded } else { Status::Failed };
            self.end(key, status, Some(status_reason), at);
        }
    }

    /// TerminateJob: ends a job in whatever state; one that has ended already stays as it is.
    /// Terminating an array ends all its children.
    pub fn terminate(&mut self, key: JobKey, reason: &str, at: i64) {
        self.end_by(key, &Ending { reason: reason.to_owned(), cancelled: false }, at);
    }

    /// CancelJob: ends a job that has not been started; on STARTING and RUNNING jobs it does nothing
    /// (API: "Jobs that progressed to the STARTING or RUNNING state aren't canceled").
    pub fn cancel(&mut self, key: JobKey, reason: &str, at: i64) {
        self.end_by(key, &Ending { reason: reason.to_owned(), cancelled: true }, at);
    }

    fn end_by(&mut self, key: JobKey, ending: &Ending, at: i64) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.status.has_ended() || (job.current.is_some() && ending.cancelled) {
            return;
        }
        if job.ending.is_none() {
            job.ending = Some(ending.clone());
            self.changed.insert(key);
        }
        if let Some(current) = job.current.clone() {
            self.effects.push(Effect::Stop(current.runner, current.task));
        } else if job.children.is_some() {
            let children: Vec<JobKey> =
                self.children.get(&key).map(|c| c.values().copied().collect()).unwrap_or_default();
            for child in children {
                self.end_by(child, ending, at);
            }
        } else {
            self.queue.remove(&key);
            self.end(key, Status::Failed, Some(ending.reason.clone()), at);
        }
    }

    fn end(&mut self, key: JobKey, status: Status, reason: Option<String>, at: i64) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.stopped_at = Some(at);
        self.ended.push(key);
        self.enter(key, status, reason);
    }

    /// A job's status changes, and with a child's status its parent.
    fn enter(&mut self, key: JobKey, status: Status, reason: Option<String>) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let from = std::mem::replace(&mut job.status, status);
        job.status_reason = reason;
        self.changed.insert(key);
        let Some((parent, _)) = job.child else { return };
        let at = job.stopped_at;
        let Some(array) = self.jobs.get_mut(&parent) else { return };
        self.changed.insert(parent);
        let Some(summary) = &mut array.children else { return };
        summary.moved(from, status);
        if let (Some(outcome), Some(at)) = (summary.outcome(), at) {
            let ending = array.ending.as_ref().map(|e| e.reason.clone());
            let reason = match outcome {
                Status::Failed => Some(ending.unwrap_or_else(|| CHILD_FAILED.to_owned())),
                _ => None,
            };
            self.end(parent, outcome, reason, at);
        }
    }

    /// What has changed since the last call. Jobs that have ended are forgotten.
    pub fn take_changes(&mut self) -> Changes {
        let jobs = std::mem::take(&mut self.changed);
        let jobs = jobs.into_iter().filter_map(|key| self.jobs.get(&key).cloned()).collect();
        for key in std::mem::take(&mut self.ended) {
            if let Some(job) = self.jobs.remove(&key)
                && job.children.is_some()
            {
                self.children.remove(&key);
            }
        }
        Changes {
            jobs,
            attempts: std::mem::take(&mut self.attempts),
            effects: std::mem::take(&mut self.effects),
        }
    }

    /// A job that has not ended.
    pub fn job(&self, key: JobKey) -> Option<&Job> {
        self.jobs.get(&key)
    }

    /// The jobs that runners have.
    pub fn placed(&self) -> impl Iterator<Item = (&Current, &Job)> {
        self.tasks
            .values()
            .filter_map(|key| self.jobs.get(key))
            .filter_map(|job| Some((job.current.as_ref()?, job)))
    }

    /// The job that has this attempt now.
    pub fn by_task(&self, task: &TaskId) -> Option<&Job> {
        self.jobs.get(self.tasks.get(task)?)
    }

    /// Whether any job has not ended.
    pub fn is_active(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// What this machine has, and what is not in use.
    pub fn resources(&self) -> (Resources, Resources) {
        (self.capacity, self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::batch::model::{ExitRule, Retry};
    use proptest::prelude::*;

    const MACHINE: Resources = Resources { vcpus: 2, memory_mib: 1000 };

    fn terms(vcpus: u32, attempts: u32) -> Arc<Terms> {
        let resources = Resources { vcpus, memory_mib: 100 };
        Arc::new(Terms {
            resources,
            retry: Retry { attempts, rules: Vec::new() },
            timeout_s: None,
            doomed: None,
        })
    }

    /// A cluster whose attempts are numbered in the order of their start.
    struct Cluster {
        state: State,
        started: u32,
        now: i64,
        /// Jobs as the database would have them.
        stored: BTreeMap<JobKey, Job>,
        attempts: Vec<Attempt>,
    }

    impl Cluster {
        fn new() -> Self {
            Self {
                state: State::new(MACHINE),
                started: 0,
                now: 0,
                stored: BTreeMap::new(),
                attempts: Vec::new(),
            }
        }

        fn task(n: u32) -> TaskId {
            TaskId::from(n.to_string())
        }

        /// Schedules, stores what has changed, and returns the effects.
        fn turn(&mut self) -> Vec<Effect> {
            let started = &mut self.started;
            self.state.schedule(self.now, || {
                *started += 1;
                Current { task: Self::task(*started), runner: RunnerId::random() }
            });
            let changes = self.state.take_changes();
            for job in changes.jobs {
                self.stored.insert(job.key, job);
            }
            self.attempts.extend(changes.attempts);
            changes.effects
        }

        fn submit(&mut self, key: i64, size: Option<u32>, terms: &Arc<Terms>) {
            self.state.submit(JobKey(key), size, terms);
            for key in key..=key + i64::from(size.unwrap_or(0)) {
                if let Some(job) = self.state.job(JobKey(key)) {
                    self.stored.insert(job.key, job.clone());
                }
            }
        }

        fn end(&mut self, task: u32, exit_code: i32) {
            self.now += 1;
            let (task, at) = (Self::task(task), self.now);
            self.state.started(&task, at);
            let started_at = Some(at);
            self.state.attempt_ended(&Ended {
                task,
                started_at,
                at,
                exit_code: Some(exit_code),
                reason: None,
                timed_out: false,
                lost: false,
            });
        }

        fn status(&self, key: i64) -> Status {
            self.stored[&JobKey(key)].status
        }

        fn reason(&self, key: i64) -> Option<&str> {
            self.stored[&JobKey(key)].status_reason.as_deref()
        }
    }

    #[test]
    fn jobs_start_in_order_as_they_fit_and_the_impossible_keeps_nobody_waiting() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(3, 1));
        c.submit(2, None, &terms(1, 1));
        c.submit(3, None, &terms(2, 1));
        c.submit(4, None, &terms(1, 1));
        assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
        assert_eq!((c.status(1), c.reason(1)), (Status::Runnable, Some(CANNOT_FIT)));
        // 4 would fit, but 3 is before it.
        assert_eq!(c.status(4), Status::Runnable);
        c.end(1, 0);
        assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
        assert_eq!((c.status(2), c.reason(2)), (Status::Succeeded, Some(EXITED)));
        c.end(2, 1);
        assert_eq!(c.turn(), [Effect::Start(JobKey(4))]);
        assert_eq!(c.status(3), Status::Failed);
    }

    #[test]
    fn a_failed_attempt_is_repeated_while_attempts_are_left() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(1, 2));
        c.turn();
        c.end(1, 7);
        assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
        c.end(2, 8);
        c.turn();
        assert_eq!(c.status(1), Status::Failed);
        let codes: Vec<_> = c.attempts.iter().map(|a| (a.number, a.exit_code)).collect();
        assert_eq!(codes, [(1, Some(7)), (2, Some(8))]);
    }

    #[test]
    fn a_lost_attempt_counts_and_rules_can_match_it() {
        let mut c = Cluster::new();
        let mut lost = (*terms(1, 5)).clone();
        let rule = |status: &str, retry| ExitRule {
            on_status_reason: Some(status.to_owned()),
            on_reason: None,
            on_exit_code: None,
            retry,
        };
        lost.retry.rules = vec![rule("Host EC2*", true), rule("*", false)];
        c.submit(1, None, &Arc::new(lost));
        c.turn();
        c.state.attempt_lost(&Cluster::task(1), 5);
        assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
        c.end(2, 1);
        c.turn();
        assert_eq!(c.status(1), Status::Failed);
        assert_eq!(c.attempts.len(), 2);
        assert_eq!(c.attempts[0].status_reason, HOST_LOST);
        assert_eq!(c.attempts[0].exit_code, None);
    }

    #[test]
    fn an_attempt_that_never_began_does_not_count() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(1, 1));
        c.turn();
        c.state.attempt_never_began(&Cluster::task(1), 5);
        assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
        c.end(2, 0);
        c.turn();
        assert_eq!((c.status(1), c.attempts.len()), (Status::Succeeded, 1));
    }

    #[test]
    fn ends_that_are_said_twice_or_too_late_change_nothing() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(1, 2));
        c.turn();
        c.end(1, 1);
        c.end(1, 0);
        c.turn();
        assert_eq!(c.status(1), Status::Starting);
        c.state.attempt_lost(&Cluster::task(1), 9);
        c.end(2, 0);
        c.turn();
        c.end(2, 1);
        c.turn();
        assert_eq!((c.status(1), c.attempts.len()), (Status::Succeeded, 2));
    }

    #[test]
    fn termination_ends_what_waits_at_once_and_what_runs_when_it_has_ended() {
        let mut c = Cluster::new();
        c.submit(1, Some(3), &terms(1, 5));
        c.turn();
        c.state.started(&Cluster::task(1), 1);
        c.state.terminate(JobKey(1), "enough", 2);
        let effects = c.turn();
        assert_eq!(effects.iter().filter(|e| matches!(e, Effect::Stop(..))).count(), 2);
        assert_eq!((c.status(4), c.reason(4)), (Status::Failed, Some("enough")));
        assert_eq!(c.status(1), Status::Pending);
        c.end(1, 143);
        // Even one that ends well, and one that never began.
        c.state.attempt_never_began(&Cluster::task(2), 3);
        c.turn();
        assert_eq!((c.status(2), c.reason(2)), (Status::Failed, Some("enough")));
        assert_eq!((c.status(3), c.reason(3)), (Status::Failed, Some("enough")));
        assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some("enough")));
        assert!(!c.state.is_active());
    }

    #[test]
    fn cancelling_what_runs_does_nothing() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(2, 1));
        c.submit(2, None, &terms(2, 1));
        c.turn();
        c.state.cancel(JobKey(1), "no", 1);
        c.state.cancel(JobKey(2), "no", 1);
        assert!(c.turn().is_empty());
        assert_eq!((c.status(1), c.status(2)), (Status::Starting, Status::Failed));
    }

    #[test]
    fn a_timed_out_attempt_is_the_last() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(1, 5));
        c.turn();
        let task = Cluster::task(1);
        c.state.attempt_ended(&Ended {
            task,
            started_at: Some(1),
            at: 2,
            exit_code: Some(143),
            reason: None,
            timed_out: true,
            lost: false,
        });
        c.turn();
        assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some(TIMED_OUT)));
    }

    #[test]
    fn an_attempt_whose_engine_is_lost_ends_as_one_whose_host_is() {
        let mut c = Cluster::new();
        c.submit(1, None, &terms(1, 2));
        c.turn();
        let lost = |task, at| Ended {
            task,
            started_at: Some(1),
            at,
            exit_code: None,
            reason: Some("CannotInspectContainerError: away".to_owned()),
            timed_out: false,
            lost: true,
        };
        c.state.attempt_ended(&lost(Cluster::task(1), 2));
        c.turn();
        assert_eq!((c.status(1), c.reason(1)), (Status::Starting, None));
        c.state.attempt_ended(&lost(Cluster::task(2), 3));
        c.turn();
        assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some(HOST_LOST)));
    }

    #[test]
    fn a_doomed_job_fails_when_its_turn_comes() {
        let mut c = Cluster::new();
        let mut doomed = (*terms(1, 5)).clone();
        doomed.doomed = Some("too long".to_owned());
        c.submit(1, Some(2), &Arc::new(doomed));
        assert!(c.turn().is_empty());
        assert_eq!(
            (c.status(1), c.status(2), c.reason(3)),
            (Status::Failed, Status::Failed, Some("too long"))
        );
    }

    #[derive(Debug, Clone)]
    enum Event {
        Submit { size: Option<u32>, vcpus: u32, attempts: u32 },
        Start(u32),
        End(u32, i32),
        Lose(u32),
        NeverBegan(u32),
        Terminate(i64),
        Cancel(i64),
        Restart,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (proptest::option::of(2..5_u32), 1..4_u32, 1..4_u32)
                .prop_map(|(size, vcpus, attempts)| Event::Submit { size, vcpus, attempts }),
            4 => (0..40_u32).prop_map(Event::Start),
            6 => (0..40_u32, 0..3_i32).prop_map(|(t, code)| Event::End(t, code)),
            1 => (0..40_u32).prop_map(Event::Lose),
            1 => (0..40_u32).prop_map(Event::NeverBegan),
            1 => (0..40_i64).prop_map(Event::Terminate),
            1 => (0..40_i64).prop_map(Event::Cancel),
            1 => Just(Event::Restart),
        ]
    }

    proptest! {
        /// Whatever happens: resources are never overdrawn, nothing runs twice, an ended job stays
        /// ended, attempts are counted, arrays add up, a restart changes nothing, and in the end
        /// everything that can end has ended.
        #[test]
        fn whatever_happens_the_books_balance(events in proptest::collection::vec(event(), 1..120)) {
            let mut c = Cluster::new();
            let mut next = 1;
            for event in events {
                let before = c.stored.clone();
                c.now += 1;
                match event {
                    Event::Submit { size, vcpus, attempts } => {
                        c.submit(next, size, &terms(vcpus, attempts));
                        next += 1 + i64::from(size.unwrap_or(0));
                    }
                    Event::Start(t) => c.state.started(&Cluster::task(t), c.now),
                    Event::End(t, code) => c.end(t, code),
                    Event::Lose(t) => c.state.attempt_lost(&Cluster::task(t), c.now),
                    Event::NeverBegan(t) => c.state.attempt_never_began(&Cluster::task(t), c.now),
                    Event::Terminate(key) => c.state.terminate(JobKey(key), "t", c.now),
                    Event::Cancel(key) => c.state.cancel(JobKey(key), "c", c.now),
                    Event::Restart => {
                        let free = c.state.resources().1;
                        c.state = State::new(MACHINE);
                        for job in c.stored.values().filter(|j| !j.status.has_ended()) {
                            c.state.restore(job.clone());
                        }
                        prop_assert_eq!(c.state.resources().1, free);
                    }
                }
                c.turn();
                check(&c, &before)?;
            }
            // Everything that can run runs to its end.
            for _ in 0..2000 {
                let Some(task) = c.state.placed().next().map(|(current, _)| current.task.clone()) else { break };
                let number = task.as_str().parse().unwrap();
                c.end(number, 1);
                c.turn();
            }
            for job in c.stored.values() {
                let stuck = job.status_reason.as_deref() == Some(CANNOT_FIT);
                let waits_for_stuck = job.children.is_some_and(|s| s.count(Status::Runnable) > 0);
                prop_assert!(job.status.has_ended() || stuck || waits_for_stuck, "{:?}", job);
            }
            prop_assert_eq!(c.state.resources().1, MACHINE);
        }
    }

    fn check(c: &Cluster, before: &BTreeMap<JobKey, Job>) -> Result<(), TestCaseError> {
        let (capacity, free) = c.state.resources();
        let mut used = Resources::default();
        let mut tasks = BTreeSet::new();
        for job in c.stored.values() {
            if let Some(old) = before.get(&job.key)
                && old.status.has_ended()
            {
                prop_assert_eq!(old, job);
            }
            if let Some(current) = &job.current {
                prop_assert!(matches!(job.status, Status::Starting | Status::Running));
                prop_assert!(tasks.insert(current.task.clone()));
                used.give(&job.terms.resources);
            }
            prop_assert!(job.attempts <= job.terms.retry.attempts);
            prop_assert_eq!(job.status.has_ended(), job.stopped_at.is_some());
            if let Some(summary) = &job.children {
                let mut counted = Summary::default();
                for child in c.stored.values().filter(|j| j.child.is_some_and(|(p, _)| p == job.key)) {
                    counted.0[usize::from(child.status.code())] += 1;
                }
                prop_assert_eq!(&counted, summary);
                prop_assert_eq!(summary.outcome().is_some(), job.status.has_ended());
            }
        }
        prop_assert_eq!(used.vcpus + free.vcpus, capacity.vcpus);
        prop_assert_eq!(used.memory_mib + free.memory_mib, capacity.memory_mib);
        Ok(())
    }
}
