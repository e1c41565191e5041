//! Looking for the jobs that carry a mark.

use std::collections::HashMap;

use super::{Action, Bug, CLOCK_SKEW, Described, LookTrouble, Millis, Page, Place, State, Trouble, has};
use awsb_model::SubmissionId;

/// For how long a queue's jobs of all names are fewer than its jobs of one name.
const RECENT: Millis = 60 * 60 * 1000;
/// IDs in a call of DescribeJobs (API `DescribeJobs`).
const DESCRIBED_AT_ONCE: usize = 100;

/// The filter of a listing: ListJobs takes one (API `ListJobs`, `filters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `AFTER_CREATED_AT`.
    CreatedAfter(Millis),
    /// `JOB_NAME`.
    Name(String),
}

/// A search among a queue's jobs of one name, which may look many times, and describes no job
/// twice.
///
/// The cost of a look: a ListJobs call for each 100 jobs (children not counted) that have been
/// submitted to the queue since 15 minutes before the first try, whatever their names; and a
/// DescribeJobs call for each 100 of those that have the name and have not been seen before. The
/// job that is looked for is among the youngest, so a search that finds it mostly takes one call of
/// each, however many jobs have its name.
///
/// A listing by time ends where the search ends. A listing by name goes on for all that Batch
/// remembers, a week and more, with no place at which to stop: "the results are grouped by the job
/// name and version", newest first within a group only. So the name is for searches that begin long
/// after the submission.
#[derive(Debug, Clone)]
pub struct Search {
    place: Place,
    /// No job that was created before this is of interest.
    after: Millis,
    filter: Filter,
    /// The jobs of the name that have been described; those that carry a mark in full.
    seen: HashMap<String, Option<Described>>,
    look: Look,
}

/// A look that is under way.
#[derive(Debug, Clone, Default)]
struct Look {
    /// The mark whose first job ends the look.
    enough: Option<SubmissionId>,
    /// The IDs that are still to be described.
    new: Vec<String>,
    asked: usize,
    next: Option<String>,
}

/// How a look goes on.
#[derive(Debug)]
pub enum Step {
    /// With a call.
    Call(Action),
    /// It is complete.
    Complete,
    /// It has failed. The jobs that it has found count all the same.
    Failed(LookTrouble),
}

impl Search {
    /// A search, at `now`, for jobs that were submitted at `since` or later, both by this machine's
    /// clock.
    pub fn new(place: &Place, since: Millis, now: Millis) -> Self {
        let after = if has(Bug::SkewIgnored) { since } else { (since - CLOCK_SKEW).max(0) };
        let filter = match now - since < RECENT {
            true => Filter::CreatedAfter(after),
            false => Filter::Name(place.name.clone()),
        };
        Self { place: place.clone(), after, filter, seen: HashMap::new(), look: Look::default() }
    }

    /// The place at which it looks.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Begins a look: through all jobs, or with `enough` no further than to the first job with this
    /// mark.
    pub fn look(&mut self, enough: Option<&SubmissionId>) -> Action {
        self.look = Look { enough: enough.cloned(), ..Look::default() };
        self.list()
    }

    /// The reply of ListJobs.
    pub fn listed(&mut self, reply: Result<Page, Trouble>) -> Step {
        let page = match reply {
            Ok(page) => page,
            Err(trouble) => return Step::Failed(LookTrouble::Call(trouble)),
        };
        // The filter for names does not tell `a` from `A`.
        let of_interest = page.jobs.into_iter().filter(|job| {
            job.name == self.place.name
                && job.created_at.is_none_or(|at| at >= self.after)
                && !self.seen.contains_key(&job.id)
        });
        self.look.new = of_interest.map(|job| job.id).collect();
        self.look.next = page.next;
        self.proceed()
    }

    /// The reply of DescribeJobs.
    pub fn described(&mut self, reply: Result<Vec<Described>, Trouble>) -> Step {
        let jobs = match reply {
            Ok(jobs) => jobs,
            Err(trouble) => return Step::Failed(LookTrouble::Call(trouble)),
        };
        let missing = self.look.asked.saturating_sub(jobs.len());
        for job in jobs {
            let id = job.job.job_id.clone();
            self.seen.insert(id, job.mark.is_some().then_some(job));
        }
        if missing > 0 {
            return Step::Failed(LookTrouble::Undescribed(missing));
        }
        self.proceed()
    }

    /// The jobs with this mark that have been found so far, the one to be kept first: the oldest,
    /// unless it has failed, as one does that somebody has terminated for a double.
    pub fn with(&self, mark: &SubmissionId) -> Vec<&Described> {
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

    fn proceed(&mut self) -> Step {
        if !self.look.new.is_empty() {
            let rest = self.look.new.split_off(self.look.new.len().min(DESCRIBED_AT_ONCE));
            let jobs = std::mem::replace(&mut self.look.new, rest);
            self.look.asked = jobs.len();
            return Step::Call(Action::Describe { jobs, place: Some(self.place.clone()) });
        }
        let enough = self.look.enough.as_ref().is_some_and(|mark| !self.with(mark).is_empty());
        match self.look.next {
            Some(_) if !enough && !has(Bug::FirstPageOnly) => Step::Call(self.list()),
            _ => Step::Complete,
        }
    }

    fn list(&mut self) -> Action {
        let page = self.look.next.take();
        Action::List { place: self.place.clone(), filter: self.filter.clone(), page }
    }
}

/// The pauses between the looks of a search.
#[derive(Debug, Clone)]
pub struct Looks {
    pause: Millis,
    longest: Millis,
}

impl Looks {
    /// The first and the longest pause, as parts of the settle time.
    const FIRST: Millis = 100;
    const LONGEST: Millis = 8;
    /// A settle time of nothing must not make a flood of requests.
    const SHORTEST: Millis = 10;

    pub fn new(settle: Millis) -> Self {
        Self { pause: settle / Self::FIRST, longest: settle / Self::LONGEST }
    }

    /// When the next look is due: one falls on the moment `settled`.
    pub fn next(&mut self, now: Millis, settled: Millis) -> Millis {
        let next = now + self.pause.max(Self::SHORTEST);
        self.pause = (self.pause * 2).min(self.longest);
        if now < settled { next.min(settled) } else { next }
    }
}
