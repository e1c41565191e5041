//! Waiting for many jobs at once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::poll::SETTLE;
use super::{Job, PollInterval, Submitted, describe};
use crate::aws::ResilientSession;
use crate::ui::Failure;
use awsb_model::{JobId, Status, limits};

/// The shortest pause between two calls for a hundred jobs: all users of the account share Batch's
/// limit.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two calls, when nothing happens.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Jobs for which a tool waits together. Batch is not asked again for those that are done.
#[derive(Debug)]
pub struct JobWaitSet {
    members: Vec<Member>,
    is_done: fn(&Job) -> bool,
    lost: Vec<JobId>,
    last_change: PollInterval,
    begun: Instant,
    /// Batch has not been asked for any of them yet.
    is_fresh: bool,
}

#[derive(Debug)]
struct Member {
    job: Job,
    /// The number of an array's children that had ended when the waiting began.
    ended_before: u32,
    /// The number of an array's children that had ended at the last poll, and of those that had
    /// not, if some have ended since the poll before.
    children: (u32, Option<u32>),
    /// The time since when Batch has not known it.
    missing_since: Option<Instant>,
    is_open: bool,
}

/// The number of jobs by state. The children of arrays count one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: u64,
    /// Those that run.
    pub running: u64,
    /// Those that have succeeded.
    pub succeeded: u64,
    /// Those that have failed.
    pub failed: u64,
}

impl Counts {
    /// The counts of these jobs.
    pub fn of<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Self {
        let mut counts = Self::default();
        for job in jobs {
            let size = job.array_size().filter(|_| job.is_array_parent());
            let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
            let of = |status: Status| match (size, summary) {
                (Some(size), Some(summary)) => {
                    let count = |status: Status| {
                        let n = summary.get(status.as_str()).copied().unwrap_or(0);
                        u64::try_from(n).unwrap_or(0).min(u64::from(size))
                    };
                    // A parent that has ended may come with an older summary.
                    match (job.status, status) {
                        (Status::Succeeded, Status::Succeeded) => u64::from(size),
                        (Status::Failed, Status::Failed) => u64::from(size) - count(Status::Succeeded),
                        (Status::Succeeded, _) | (Status::Failed, Status::Running) => 0,
                        _ => count(status),
                    }
                }
                (Some(size), None) => {
                    if job.status == status {
                        u64::from(size)
                    } else {
                        0
                    }
                }
                (None, _) => u64::from(job.status == status),
            };
            counts.all += u64::from(size.unwrap_or(1));
            counts.running += of(Status::Running);
            counts.succeeded += of(Status::Succeeded);
            counts.failed += of(Status::Failed);
        }
        counts
    }
}

impl JobWaitSet {
    /// These jobs, each once, until `is_done` holds for them.
    pub fn new(jobs: Vec<Job>, is_done: fn(&Job) -> bool) -> Self {
        let mut seen = HashSet::new();
        let jobs = jobs.into_iter().filter(|job| seen.insert(job.job_id.clone()));
        let member = |job: Job| {
            let ended_before = job.children_ended().map_or(0, |(ended, _)| ended);
            let is_open = !is_done(&job);
            Member { job, ended_before, children: (ended_before, None), missing_since: None, is_open }
        };
        let members: Vec<Member> = jobs.map(member).collect();
        let calls =
            u32::try_from(members.len().div_ceil(limits::DESCRIBE_JOBS_IDS)).unwrap_or(u32::MAX).max(1);
        let shortest = if members.len() == 1 { PollInterval::SHORTEST } else { SHORTEST_PAUSE * calls };
        let longest = LONGEST_PAUSE.max(shortest);
        let last_change = PollInterval::new(shortest, longest);
        Self { members, is_done, lost: Vec::new(), last_change, begun: Instant::now(), is_fresh: false }
    }

    /// Jobs that have just been submitted, until they have ended.
    pub fn submitted(jobs: &[Submitted]) -> Self {
        let jobs = jobs.iter().map(|job| {
            let Submitted { job_id, job_name, job_arn } = job.clone();
            Job::submitted(job_id, job_name, job_arn)
        });
        Self { is_fresh: true, ..Self::new(jobs.collect(), |job| job.status.has_ended()) }
    }

    /// All jobs, as they were at the last poll.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.members.iter().map(|member| &member.job)
    }

    /// Whether the waiting for a job is over.
    pub fn is_done(&self, job: &Job) -> bool {
        (self.is_done)(job)
    }

    /// The jobs for which the waiting goes on.
    pub fn open(&self) -> impl Iterator<Item = &Job> {
        self.members.iter().filter(|member| member.is_open).map(|member| &member.job)
    }

    /// The jobs that Batch has forgotten, so that no tool can wait for them.
    pub fn lost(&self) -> &[JobId] {
        &self.lost
    }

    /// The counts of all jobs.
    pub fn counts(&self) -> Counts {
        Counts::of(self.jobs())
    }

    /// Waits for the next poll, and polls the open jobs, a hundred with each call. Returns the jobs
    /// whose state, its reason, or whose children's states have changed.
    ///
    /// # Errors
    /// When contact was lost for good.
    pub async fn changes(&mut self, contact: &mut ResilientSession) -> Result<Vec<Job>, Failure> {
        if !std::mem::take(&mut self.is_fresh) {
            tokio::time::sleep(self.pause()).await;
        }
        let asked: Vec<JobId> = self.open().map(Job::id).collect();
        let described = contact.keep(async |session| describe(session, &asked).await).await?;
        let now = Instant::now();
        let mut changed = Vec::new();
        let mut any_change = false;
        let open = self.members.iter_mut().filter(|member| member.is_open);
        for (member, described) in open.zip(described) {
            let Some(job) = described else {
                // One answer may lack what the one before had.
                let since = *member.missing_since.get_or_insert(now);
                if now.duration_since(since) >= SETTLE {
                    member.is_open = false;
                    self.lost.push(member.job.id());
                }
                continue;
            };
            member.missing_since = None;
            member.is_open = !(self.is_done)(&job);
            if let Some((ended, left)) = job.children_ended() {
                member.children = (ended, (ended > member.children.0).then_some(left));
            }
            any_change |= state(&job) != state(&member.job);
            if reported_state(&job) != reported_state(&member.job) {
                changed.push(job.clone());
            }
            member.job = job;
        }
        if any_change {
            self.last_change.quicken();
        }
        Ok(changed)
    }

    /// The pause before the next poll.
    fn pause(&self) -> Duration {
        self.last_change.no_later_than(self.time_to_first_end(self.begun.elapsed()))
    }

    /// The time until the first of the arrays ends, if they go on as they did in this time.
    fn time_to_first_end(&self, elapsed: Duration) -> Option<Duration> {
        let open = self.members.iter().filter(|member| member.is_open);
        // When no child has ended since the last poll, the rest may take long.
        let left = open.filter_map(|member| {
            let (ended, left) = member.children;
            Some(time_left(elapsed, ended.saturating_sub(member.ended_before), left?))
        });
        left.min()
    }
}

/// The time until the end of an array, if it goes on as before: `ended` of its children have ended
/// in this time.
fn time_left(elapsed: Duration, ended: u32, left: u32) -> Duration {
    elapsed.checked_mul(left).map_or(Duration::MAX, |all| all / ended.max(1))
}

/// A change of this makes the next poll come soon. The children of an array do not count: they may
/// end one by one for hours.
fn state(job: &Job) -> impl PartialEq + '_ {
    (job.status, job.status_reason.as_deref())
}

/// A change of this is reported.
fn reported_state(job: &Job) -> impl PartialEq + '_ {
    let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
    (state(job), summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_that_had_ended_before_foretell_nothing() {
        let mut job = Job::submitted("id".into(), "name".into(), None);
        let properties = job.array_properties.insert(Default::default());
        properties.size = Some(1000);
        properties.status_summary = Some([("SUCCEEDED".to_owned(), 900)].into());
        let mut set = JobWaitSet::new(vec![job], |job| job.status.has_ended());
        assert_eq!(set.time_to_first_end(Duration::from_secs(10)), None, "none has ended since");
        set.members[0].children = (901, Some(99));
        assert_eq!(set.time_to_first_end(Duration::from_secs(10)), Some(Duration::from_secs(990)));
    }

    #[test]
    fn the_end_of_an_array_is_foreseen() {
        let second = Duration::from_secs(1);
        assert_eq!(time_left(10 * second, 5000, 5000), 10 * second);
        assert_eq!(time_left(10 * second, 9999, 0), Duration::ZERO);
        assert_eq!(time_left(second, 0, 7), 7 * second);
        assert_eq!(time_left(Duration::MAX, 1, 2), Duration::MAX);
    }
}
