//! The search for the jobs that carry a mark.

use std::collections::HashMap;

use super::bugs::{Bug, has};
use super::messages::Action;
use super::types::{
    CLOCK_SKEW, DESCRIBED_AT_ONCE, Described, FailedCall, Filter, Millis, Page, SearchError, SearchTarget,
    State,
};
use awsb_model::SubmissionId;

/// For this long, a queue has fewer jobs of all names than it has jobs of one name in its whole
/// history.
const RECENT: Millis = 60 * 60 * 1000;

/// A search among a queue's jobs of one name. It makes any number of passes, and describes no job
/// twice.
///
/// A pass costs one ListJobs call for each 100 jobs (children not counted) that were submitted to
/// the queue since 15 minutes before the first attempt, with any name. It costs one DescribeJobs
/// call for each 100 jobs among them that have the name and are new to the search. The job itself
/// is among the youngest, so a successful search mostly takes one call of each, even when many jobs
/// have its name.
///
/// A listing by time ends where the search ends. A listing by name goes on through everything that
/// Batch remembers, which is a week and more, and has no place at which to stop: "the results are
/// grouped by the job name and version", newest first within a group only. Therefore only searches
/// that begin long after the submission list by name.
#[derive(Debug, Clone)]
pub struct Search {
    target: SearchTarget,
    /// Jobs that were created before this time are ignored.
    after: Millis,
    filter: Filter,
    /// The jobs of the name that have been described. Jobs with a mark have a value.
    seen: HashMap<String, Option<Described>>,
    pass: SearchPass,
}

/// A pass that is under way.
#[derive(Debug, Clone, Default)]
struct SearchPass {
    /// The pass ends at the first job with this mark.
    stop_at: Option<SubmissionId>,
    /// The IDs that are still to be described.
    to_describe: Vec<String>,
    requested: usize,
    next: Option<String>,
}

/// The next step of a pass.
#[derive(Debug)]
pub enum SearchStep {
    /// A call is necessary.
    Call(Action),
    /// The pass is complete.
    Complete,
    /// The pass has failed. The jobs that it has found still count.
    Failed(SearchError),
}

impl Search {
    /// A search, at the time `now`, for jobs that were submitted at the time `since` or later. Both
    /// times are by this machine's clock.
    pub fn new(target: &SearchTarget, since: Millis, now: Millis) -> Self {
        let after = if has(Bug::SkewIgnored) { since } else { (since - CLOCK_SKEW).max(0) };
        let filter = match now - since < RECENT {
            true => Filter::CreatedAfter(after),
            false => Filter::Name(target.name.clone()),
        };
        Self { target: target.clone(), after, filter, seen: HashMap::new(), pass: SearchPass::default() }
    }

    /// The queue and the name of the search.
    pub fn target(&self) -> &SearchTarget {
        &self.target
    }

    /// Begins a pass through all jobs. With `stop_at`, the pass ends at the first job with this
    /// mark.
    pub fn begin_pass(&mut self, stop_at: Option<&SubmissionId>) -> Action {
        self.pass = SearchPass { stop_at: stop_at.cloned(), ..SearchPass::default() };
        self.list()
    }

    /// Processes the reply of ListJobs.
    pub fn listed(&mut self, reply: Result<Page, FailedCall>) -> SearchStep {
        let page = match reply {
            Ok(page) => page,
            Err(call) => return SearchStep::Failed(SearchError::Call(call)),
        };
        // The filter for names ignores case.
        let of_interest = page.jobs.into_iter().filter(|job| {
            job.name == self.target.name
                && job.created_at.is_none_or(|at| at >= self.after)
                && !self.seen.contains_key(&job.id)
        });
        self.pass.to_describe = of_interest.map(|job| job.id).collect();
        self.pass.next = page.next;
        self.proceed()
    }

    /// Processes the reply of DescribeJobs.
    pub fn described(&mut self, reply: Result<Vec<Described>, FailedCall>) -> SearchStep {
        let jobs = match reply {
            Ok(jobs) => jobs,
            Err(call) => return SearchStep::Failed(SearchError::Call(call)),
        };
        let missing = self.pass.requested.saturating_sub(jobs.len());
        for job in jobs {
            let id = job.job.job_id.clone();
            self.seen.insert(id, job.mark.is_some().then_some(job));
        }
        if missing > 0 {
            return SearchStep::Failed(SearchError::Undescribed(missing));
        }
        self.proceed()
    }

    /// The jobs with this mark that have been found so far. The first is the one to keep: the
    /// oldest that has not failed. A failed job may have been terminated as a duplicate.
    pub fn jobs_with(&self, mark: &SubmissionId) -> Vec<&Described> {
        let mut found: Vec<&Described> =
            self.seen.values().flatten().filter(|job| job.mark.as_ref() == Some(mark)).collect();
        let order = |job: &'_ Described| {
            (
                job.state == State::Failed && !has(Bug::UnlistedIsYoungest),
                job.created_at,
                job.job.job_id.clone(),
            )
        };
        found.sort_by_key(|job| order(job));
        found
    }

    fn proceed(&mut self) -> SearchStep {
        if !self.pass.to_describe.is_empty() {
            let rest = self.pass.to_describe.split_off(self.pass.to_describe.len().min(DESCRIBED_AT_ONCE));
            let jobs = std::mem::replace(&mut self.pass.to_describe, rest);
            self.pass.requested = jobs.len();
            return SearchStep::Call(Action::Describe { jobs, target: Some(self.target.clone()) });
        }
        let is_found = self.pass.stop_at.as_ref().is_some_and(|mark| !self.jobs_with(mark).is_empty());
        match self.pass.next {
            Some(_) if !is_found && !has(Bug::FirstPageOnly) => SearchStep::Call(self.list()),
            _ => SearchStep::Complete,
        }
    }

    fn list(&mut self) -> Action {
        let page = self.pass.next.take();
        Action::List { target: self.target.clone(), filter: self.filter.clone(), page }
    }
}

/// The pauses between the passes of a search.
#[derive(Debug, Clone)]
pub struct PassPauses {
    pause: Millis,
    longest: Millis,
}

impl PassPauses {
    /// The first and the longest pause, as parts of the settle time.
    const FIRST: Millis = 100;
    const LONGEST: Millis = 8;
    /// The shortest pause. It prevents a flood of requests when the settle time is 0.
    const SHORTEST: Millis = 10;

    pub fn new(settle: Millis) -> Self {
        Self { pause: settle / Self::FIRST, longest: settle / Self::LONGEST }
    }

    /// The time of the next pass. One pass falls on the moment `settled`.
    pub fn next(&mut self, now: Millis, settled: Millis) -> Millis {
        let next = now + self.pause.max(Self::SHORTEST);
        self.pause = (self.pause * 2).min(self.longest);
        if now < settled { next.min(settled) } else { next }
    }
}
