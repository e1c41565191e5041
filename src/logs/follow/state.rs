//! The common part of following one stream and many streams: the options, the state of the job, and
//! the time at which its last line can be expected.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aws::ResilientSession;
use crate::batch::{self, Job, PollInterval};
use crate::logs::event::{LogQuery, LogStreamRef, is_long_ago};
use crate::logs::pods::PodStreams;
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// The shortest pause between two readings. CloudWatch Logs answers 10 to 25 reads per second and
/// account; a job that prints much must not use them all.
pub const BUSY_PAUSE: Duration = Duration::from_millis(400);
/// The longest pause between two readings, when nothing is printed.
pub const IDLE_PAUSE: Duration = Duration::from_secs(2);
/// Each call takes at least this much of a round, so that others can read logs, too.
pub const MIN_TIME_PER_CALL: Duration = Duration::from_millis(100);
/// When an array has ended, its last children are listed within this time.
pub const MAX_LISTING_DELAY: Duration = Duration::from_secs(10);

/// How a job is followed.
#[derive(Debug, Clone, Default)]
pub struct FollowOptions {
    /// The lines that are asked for.
    pub query: LogQuery,
    /// Of the lines that exist already, only this many of the last ones; without it, all of them.
    pub tail: Option<usize>,
    /// When the job has ended and its log group never existed, this is a failure, and not a job
    /// without lines.
    pub needs_group: bool,
}

/// A job that has been followed to its end.
#[derive(Debug)]
pub struct FollowEnd {
    /// The job.
    pub job: Job,
    /// The log streams that the job names and that do not exist.
    pub missing: Vec<Arc<LogStreamRef>>,
}

/// Whether the log group exists.
#[derive(Debug, Default)]
pub struct GroupState {
    existed: bool,
    missing: Option<Failure>,
}

impl GroupState {
    /// Notes that the group exists.
    pub fn set_found(&mut self) {
        self.existed = true;
    }

    /// Notes that the group does not exist: Batch creates it with the first job that prints.
    pub fn set_missing(&mut self, failure: Failure) {
        self.missing = Some(failure);
    }

    /// At the end: fails for a group that never existed, where it is needed.
    pub fn finish(self, options: &FollowOptions) -> Result<(), Failure> {
        match self.missing {
            Some(failure) if options.needs_group && !self.existed => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The state of the job that is followed, polled again and again.
#[derive(Debug)]
pub struct JobState {
    pub job: Option<Job>,
    pub begun: Instant,
    /// The log streams of its pods, on EKS.
    pods: PodStreams,
    interval: PollInterval,
    next_poll: Instant,
    /// When Batch was last seen to know the job.
    known_at: Instant,
    ended_at: Option<Instant>,
}

impl JobState {
    pub fn new() -> Self {
        let begun = Instant::now();
        Self {
            job: None,
            begun,
            pods: PodStreams::default(),
            interval: PollInterval::default(),
            next_poll: begun,
            known_at: begun,
            ended_at: None,
        }
    }

    /// Asks for the job, if it is time to. Returns whether its state, or the reason for it, has
    /// changed.
    pub async fn poll(
        &mut self,
        contact: &mut ResilientSession,
        id: &JobId,
        on_change: &mut impl FnMut(&Job),
    ) -> Result<bool, Failure> {
        let mut changed = false;
        if self.ended_at.is_none() && Instant::now() >= self.next_poll {
            if let Some(mut job) = batch::poll_job(contact, id, self.known_at).await? {
                self.pods.find_names(contact, slice::from_mut(&mut job)).await?;
                self.known_at = Instant::now();
                self.ended_at = job.status.has_ended().then_some(self.known_at);
                let state = |j: &Job| (j.status, j.status_reason.clone());
                if self.job.as_ref().map(state) != Some(state(&job)) {
                    on_change(&job);
                    self.interval.quicken();
                    changed = true;
                }
                self.job = Some(job);
            }
            self.next_poll = Instant::now() + self.interval.pause();
        } else if let Some(job) = self.job.as_mut().filter(|_| self.pods.may_appear()) {
            self.pods.find_names(contact, slice::from_mut(job)).await?;
        }
        Ok(changed)
    }

    /// The number of calls for the log streams of the job's pods since it was last asked for.
    pub fn take_calls(&mut self) -> u32 {
        self.pods.take_calls()
    }

    /// Whether a container of the job has ended, and its log stream is not there but may still
    /// appear.
    pub fn awaits_streams(&self) -> bool {
        self.pods.may_appear()
    }

    /// Whether the job was seen to have ended longer ago than `time`.
    pub fn ended_before(&self, time: Duration) -> bool {
        self.ended_at.is_some_and(|at| at.elapsed() > time)
    }
}

/// The number of jobs that have lines, when all have started that will.
pub fn expected_writers(job: &Job, query: &LogQuery) -> usize {
    let all = job.parts().map_or(1, |n| n as usize);
    let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
    let failed = summary.filter(|_| query.failed).and_then(|s| s.get("FAILED"));
    let failed = failed.and_then(|n| usize::try_from(*n).ok()).unwrap_or(all);
    match (&query.indices, job.parts()) {
        (Some(indices), Some(parts)) => indices.iter().filter(|i| **i < parts).count().min(failed),
        _ => all.min(failed),
    }
}

/// The end of a job that writes lines.
#[derive(Debug, Clone, Copy)]
pub struct WriterEnd {
    /// The state of the job.
    pub status: Status,
    /// When it ended by the clock of AWS, in milliseconds since the epoch.
    pub stopped_at: Option<i64>,
    /// When it was first seen to have ended.
    pub seen_at: Option<Instant>,
}

impl WriterEnd {
    /// The end of a job that was first seen to have ended at this time.
    pub fn of(job: &Job, seen_at: Option<Instant>) -> Self {
        Self { status: job.status, stopped_at: job.stopped_at, seen_at }
    }

    /// Whether no line of the job can still be on its way.
    pub fn has_settled(&self, contact: &ResilientSession) -> bool {
        let settle = contact.session().cluster.log_settle;
        self.is_long_ago() || self.seen_at.is_some_and(|at| at.elapsed() >= settle)
    }

    /// Whether lines that have just come were late, if the job had ended.
    pub fn is_late(&self, contact: &ResilientSession) -> bool {
        !contact.session().cluster.log_settle.is_zero() && !self.is_long_ago()
    }

    fn is_long_ago(&self) -> bool {
        self.status.has_ended() && is_long_ago(self.stopped_at)
    }
}
