//! Waiting for many jobs at once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::watch::SETTLE;
use super::{Job, Pace, describe};
use crate::cluster::Contact;
use crate::job::{JobId, Status, limits};
use crate::ui::Failure;

/// A call for a hundred jobs is made no more often than this, however much happens: Batch's limit is one for all who
/// use the account.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// When nothing happens, a call is made this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Jobs that are waited for together. Those that are done are not asked for again.
#[derive(Debug)]
pub struct Crowd {
    members: Vec<Member>,
    is_done: fn(&Job) -> bool,
    lost: Vec<JobId>,
    last_change: Pace,
}

#[derive(Debug)]
struct Member {
    job: Job,
    /// Since when Batch has not known it.
    missing_since: Option<Instant>,
    is_open: bool,
}

/// How far jobs have come, the children of arrays counted one by one.
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

impl Crowd {
    /// These jobs, each once, until `is_done` holds for them.
    pub fn new(jobs: Vec<Job>, is_done: fn(&Job) -> bool) -> Self {
        let mut seen = HashSet::new();
        let jobs = jobs.into_iter().filter(|job| seen.insert(job.job_id.clone()));
        let members: Vec<Member> =
            jobs.map(|job| Member { is_open: !is_done(&job), missing_since: None, job }).collect();
        let calls =
            u32::try_from(members.len().div_ceil(limits::DESCRIBE_JOBS_IDS)).unwrap_or(u32::MAX).max(1);
        let shortest = if members.len() == 1 { Pace::SHORTEST } else { SHORTEST_PAUSE * calls };
        let longest = LONGEST_PAUSE.max(shortest);
        Self { members, is_done, lost: Vec::new(), last_change: Pace::new(shortest, longest) }
    }

    /// All jobs, as they were seen last.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.members.iter().map(|member| &member.job)
    }

    /// Whether a job of it need not be waited for.
    pub fn is_done(&self, job: &Job) -> bool {
        (self.is_done)(job)
    }

    /// Those that are still waited for.
    pub fn open(&self) -> impl Iterator<Item = &Job> {
        self.members.iter().filter(|member| member.is_open).map(|member| &member.job)
    }

    /// Those that Batch has forgotten, so that nobody can wait for them.
    pub fn lost(&self) -> &[JobId] {
        &self.lost
    }

    /// How far they have come.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for job in self.jobs() {
            let size = job.array_size().filter(|_| job.is_array_parent());
            let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
            let of = |status: Status| match (size, summary) {
                (Some(size), Some(summary)) => {
                    let told = |status: Status| {
                        let n = summary.get(status.as_str()).copied().unwrap_or(0);
                        u64::try_from(n).unwrap_or(0).min(u64::from(size))
                    };
                    // A parent that has ended may come with an older summary.
                    match (job.status, status) {
                        (Status::Succeeded, Status::Succeeded) => u64::from(size),
                        (Status::Failed, Status::Failed) => u64::from(size) - told(Status::Succeeded),
                        (Status::Succeeded, _) | (Status::Failed, Status::Running) => 0,
                        _ => told(status),
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

    /// Waits for the next look, and looks at those that are open, a hundred with each call: the jobs whose state, its
    /// reason or whose children's states have changed.
    ///
    /// # Errors
    /// When contact was lost for good.
    pub async fn changes(&mut self, contact: &mut Contact) -> Result<Vec<Job>, Failure> {
        tokio::time::sleep(self.last_change.pause()).await;
        let asked: Vec<JobId> = self.open().map(Job::id).collect();
        let told = contact.keep(async |session| describe(session, &asked).await).await?;
        let now = Instant::now();
        let mut changed = Vec::new();
        let open = self.members.iter_mut().filter(|member| member.is_open);
        for (member, told) in open.zip(told) {
            let Some(job) = told else {
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
            if state(&job) != state(&member.job) {
                changed.push(job.clone());
            }
            member.job = job;
        }
        if !changed.is_empty() {
            self.last_change.quicken();
        }
        Ok(changed)
    }
}

/// What is news when it is another than before.
fn state(job: &Job) -> impl PartialEq + '_ {
    let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
    (job.status, job.status_reason.as_deref(), summary)
}
