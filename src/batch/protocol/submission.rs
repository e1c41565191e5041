//! Submitting one job.

use super::bugs::{Bug, has};
use super::messages::{Action, Event, Outcome};
use super::search::{PassPauses, Search, SearchStep};
use super::types::{
    FAILED_PASSES, Limits, Millis, NotSubmitted, RETRY_PERIOD, Random, SearchError, SearchTarget,
    SubmitReply, Submitted, TERMINATE_ATTEMPTS, TERMINATE_PAUSE,
};
use awsb_model::SubmissionId;

/// The pauses after attempts that Batch has throttled.
const FIRST_PAUSE: Millis = 500;
const LONGEST_PAUSE: Millis = 10_000;

/// The submission of one job.
///
/// * A lost attempt is followed by a search for the mark. The search goes on until the job is found
///   or the settle time has passed. Only then does another attempt follow.
/// * After more than one lost attempt, or where another submitter may use the same mark, the
///   deduplication terminates all jobs with the mark except the oldest.
/// * An attempt that certainly made no job is followed by another one after a pause.
/// * After a lost attempt, the deduplication also comes before every rejection.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The index of the request.
    request: usize,
    mark: SubmissionId,
    settle: Millis,
    deadline: Millis,
    random: Random,
    search: Search,
    /// The end of the last lost attempt.
    lost_since: Option<Millis>,
    /// The failure of the last lost attempt.
    lost_failure: usize,
    /// An attempt before the present one was lost, or another submitter may be using the mark.
    may_be_duplicate: bool,
    pause: Millis,
    /// The job of an attempt with a reply.
    accepted: Option<Submitted>,
    status: SubmissionStatus,
    state: State,
}

/// How far a submission has come: what can be said when it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionStatus {
    /// Batch has not accepted the job so far.
    NotAccepted(usize),
    /// The request is on its way, or its reply was lost: the job may exist.
    Unknown,
    /// It has ended.
    Ended,
}

#[derive(Debug, Clone)]
enum State {
    /// SubmitJob is under way.
    Attempting,
    /// The next attempt begins at this time.
    Pausing(Millis),
    /// A search for the job of a lost attempt.
    Searching(SearchProgress),
    /// The last attempt has settled at this time.
    Settling(Millis),
    /// A search for all jobs with the mark. The reason is that for which the submission gives up,
    /// if it does.
    Deduplicating(SearchProgress, Option<GiveUp>),
    /// The duplicates are being terminated, the first of them now.
    Terminating {
        kept: Submitted,
        duplicates: Vec<Submitted>,
        attempts: u32,
        until: Option<Millis>,
    },
    Ended,
}

/// The pass of a search that is under way, or the pause before it.
#[derive(Debug, Clone)]
struct SearchProgress {
    pauses: PassPauses,
    /// A complete pass that begins at this time or later is reliable.
    settled: Millis,
    /// The time at which the present pass began, or at which the next one begins.
    at: Millis,
    under_way: bool,
    /// Whether a pass was complete.
    completed: bool,
    failed: u32,
}

/// Why a submission ends without a job, unless the search finds one.
#[derive(Debug, Clone, Copy)]
enum GiveUp {
    Rejected(usize),
    TimedOut(usize),
    NoReply(usize),
}

impl SearchProgress {
    fn new(settle: Millis, settled: Millis, at: Millis) -> Self {
        Self { pauses: PassPauses::new(settle), settled, at, under_way: false, completed: false, failed: 0 }
    }
}

impl Submission {
    /// The submission of a request whose job is searched for at `target`. It begins at `now`.
    pub fn new(
        (request, target): (usize, &SearchTarget),
        mark: SubmissionId,
        limits: Limits,
        random: Random,
        now: Millis,
    ) -> Self {
        Self {
            request,
            mark,
            settle: limits.settle,
            deadline: now + limits.submit_timeout,
            random,
            search: Search::new(target, now, now),
            lost_since: None,
            lost_failure: 0,
            may_be_duplicate: false,
            pause: FIRST_PAUSE,
            accepted: None,
            status: SubmissionStatus::Unknown,
            state: State::Attempting,
        }
    }

    /// The submission, when another submitter may be using the same mark, or may have used it since
    /// the time `since`.
    #[must_use]
    pub fn with_shared_mark(mut self, target: &SearchTarget, since: Millis, now: Millis) -> Self {
        if !has(Bug::NoDeduplicationAfterTakeover) {
            self.lost_since = Some(now);
            self.search = Search::new(target, since, now);
        }
        self
    }

    /// The submission, when more than one job with the mark exists. It begins with the
    /// deduplication, and submits nothing.
    #[must_use]
    pub fn with_duplicates(mut self, now: Millis) -> Self {
        self.state = State::Deduplicating(SearchProgress::new(self.settle, now, now), None);
        self
    }

    /// How far it has come.
    pub fn status(&self) -> SubmissionStatus {
        self.status
    }

    /// The mark of its jobs.
    pub fn mark(&self) -> &SubmissionId {
        &self.mark
    }

    /// The end of the last lost attempt, or the time at which another submitter may have begun one.
    pub fn lost_since(&self) -> Option<Millis> {
        self.lost_since
    }

    /// The jobs that certainly carry its mark.
    pub fn jobs(&self) -> Vec<Submitted> {
        let found = self.search.jobs_with(&self.mark).into_iter().map(|job| &job.job);
        let accepted =
            self.accepted.iter().filter(|accepted| found.clone().all(|job| job.job_id != accepted.job_id));
        found.clone().chain(accepted).cloned().collect()
    }

    /// Processes an event, and returns the actions that follow.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Action> {
        match (event, &mut self.state) {
            (Event::Begun, State::Attempting) => self.attempt(),
            (Event::Begun | Event::Woken, _) => self.on_wake(now),
            (Event::Submitted(reply), State::Attempting) => self.on_submit_reply(now, reply),
            (Event::Listed(reply), State::Searching(_) | State::Deduplicating(..)) => {
                let step = self.search.listed(reply);
                self.on_search_step(now, step)
            }
            (Event::Described(reply), State::Searching(_) | State::Deduplicating(..)) => {
                let step = self.search.described(reply);
                self.on_search_step(now, step)
            }
            (Event::Terminated(reply), State::Terminating { kept, duplicates, attempts, until }) => {
                match reply {
                    Ok(()) => {
                        duplicates.remove(0);
                        *attempts = 0;
                        self.terminate()
                    }
                    Err(error)
                        if error.retryable && *attempts < TERMINATE_ATTEMPTS && !has(Bug::TerminateOnce) =>
                    {
                        let at = now + TERMINATE_PAUSE * Millis::from(*attempts);
                        *until = Some(at);
                        vec![Action::WakeAt(at)]
                    }
                    Err(error) => {
                        let (duplicate, kept) = (duplicates.remove(0), kept.clone());
                        self.end(Outcome::NotTerminated { duplicate, kept, error })
                    }
                }
            }
            _ => Vec::new(),
        }
    }

    fn attempt(&mut self) -> Vec<Action> {
        self.may_be_duplicate = self.lost_since.is_some();
        self.status = SubmissionStatus::Unknown;
        self.state = State::Attempting;
        vec![Action::Submit { request: self.request, mark: self.mark.clone() }]
    }

    fn on_submit_reply(&mut self, now: Millis, reply: SubmitReply) -> Vec<Action> {
        match reply {
            SubmitReply::Accepted(job) if self.may_be_duplicate => {
                self.accepted = Some(job);
                self.begin_deduplication(now, None)
            }
            SubmitReply::Accepted(job) => self.submitted(job),
            SubmitReply::Rejected(failure) => self.give_up(now, GiveUp::Rejected(failure)),
            SubmitReply::Lost(failure) if has(Bug::ResetIsRetryable) => self.retry_later(now, failure),
            SubmitReply::Retryable(failure) => self.retry_later(now, failure),
            SubmitReply::Lost(failure) => {
                self.lost_since = Some(now);
                self.lost_failure = failure;
                if has(Bug::NoSearch) {
                    return self.attempt();
                }
                self.state = State::Searching(SearchProgress::new(self.settle, now + self.settle, now));
                self.on_wake(now)
            }
        }
    }

    fn retry_later(&mut self, now: Millis, failure: usize) -> Vec<Action> {
        // An earlier attempt that was lost stays lost.
        if self.lost_since.is_none() || has(Bug::ThrottlingForgetsLostAttempt) {
            self.status = SubmissionStatus::NotAccepted(failure);
        }
        let until = now + self.random.part_of(self.pause);
        if until > self.deadline {
            return self.give_up(now, GiveUp::TimedOut(failure));
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.state = State::Pausing(until);
        vec![Action::WakeAt(until)]
    }

    fn on_wake(&mut self, now: Millis) -> Vec<Action> {
        match &mut self.state {
            State::Pausing(until) if now >= *until => self.attempt(),
            State::Searching(progress) if !progress.under_way && now >= progress.at => {
                (progress.under_way, progress.at) = (true, now);
                vec![self.search.begin_pass(Some(&self.mark))]
            }
            State::Deduplicating(progress, _) if !progress.under_way && now >= progress.at => {
                (progress.under_way, progress.at) = (true, now);
                vec![self.search.begin_pass(None)]
            }
            State::Settling(until) if now >= *until => self.begin_deduplication(now, None),
            State::Terminating { until, .. } if until.is_some_and(|until| now >= until) => self.terminate(),
            _ => Vec::new(),
        }
    }

    fn on_search_step(&mut self, now: Millis, step: SearchStep) -> Vec<Action> {
        let failed = match step {
            SearchStep::Call(action) => return vec![action],
            SearchStep::Complete => None,
            SearchStep::Failed(error) => Some(error),
        };
        match self.state.clone() {
            State::Searching(progress) => self.on_pass_ended(now, progress, failed),
            State::Deduplicating(progress, reason) => {
                self.on_deduplication_pass_ended(now, progress, reason, failed)
            }
            _ => Vec::new(),
        }
    }

    /// A pass of the search for the job of a lost attempt has ended.
    fn on_pass_ended(
        &mut self,
        now: Millis,
        mut progress: SearchProgress,
        failed: Option<SearchError>,
    ) -> Vec<Action> {
        if let Some(found) = self.search.jobs_with(&self.mark).first() {
            let found = found.job.clone();
            if !self.may_be_duplicate {
                return self.submitted(found);
            }
            // The job may be that of an earlier attempt. The present attempt gets its settle time,
            // too.
            let settled = if has(Bug::DeduplicationAfterFind) { now } else { progress.settled };
            self.state = State::Settling(settled);
            return self.wake_at(now, settled);
        }
        match failed {
            None if progress.at >= progress.settled
                || has(Bug::EarlyPassCounts) && now >= progress.settled =>
            {
                return match now > self.deadline {
                    true => self.give_up(now, GiveUp::NoReply(self.lost_failure)),
                    false => self.attempt(),
                };
            }
            None => progress.completed = true,
            Some(error) => {
                // Batch does reply when only a description is missing.
                let has_replied = matches!(error, SearchError::Undescribed(_));
                progress.completed |= has_replied;
                progress.failed += u32::from(!has_replied || progress.at >= progress.settled);
                let often = progress.failed >= FAILED_PASSES
                    || now - progress.at >= RETRY_PERIOD
                    || has(Bug::OneFailedPassIsEnough);
                let in_vain = !progress.completed || now >= self.deadline;
                if now >= progress.settled && often && in_vain || !error.is_retryable() {
                    let (request, mark, lost_failure) = (self.request, self.mark.clone(), self.lost_failure);
                    return self.end(Outcome::Unknown { request, mark, lost_failure, error });
                }
            }
        }
        self.schedule_next_pass(now, progress, State::Searching)
    }

    fn schedule_next_pass(
        &mut self,
        now: Millis,
        mut progress: SearchProgress,
        state: impl Fn(SearchProgress) -> State,
    ) -> Vec<Action> {
        progress.at = progress.pauses.next(now, progress.settled);
        progress.under_way = false;
        let at = progress.at;
        self.state = state(progress);
        vec![Action::WakeAt(at)]
    }

    /// Begins the deduplication after another settle time, counted from the last attempt. A job
    /// that was later than the settle time is listed by then, too.
    fn begin_deduplication(&mut self, now: Millis, reason: Option<GiveUp>) -> Vec<Action> {
        let settled = match (reason, self.lost_since) {
            // Nothing has been sent since.
            (Some(_), Some(since)) => (since + 2 * self.settle).max(now),
            (None, Some(since)) if has(Bug::DeduplicationAfterLostAttempt) => since + self.settle,
            _ => now + self.settle,
        };
        self.state = State::Deduplicating(SearchProgress::new(self.settle, settled, settled), reason);
        self.wake_at(now, settled)
    }

    fn on_deduplication_pass_ended(
        &mut self,
        now: Millis,
        mut progress: SearchProgress,
        reason: Option<GiveUp>,
        failed: Option<SearchError>,
    ) -> Vec<Action> {
        // The age of a job that is not listed yet is unknown. The deduplication waits for it as
        // long as for other late jobs.
        let is_missing = self.accepted.as_ref().is_some_and(|accepted| {
            self.search.jobs_with(&self.mark).iter().all(|job| job.job.job_id != accepted.job_id)
        });
        if failed.is_none()
            && is_missing
            && !has(Bug::UnlistedIsYoungest)
            && progress.at < progress.settled + self.settle
        {
            return self.schedule_next_pass(now, progress, |progress| State::Deduplicating(progress, reason));
        }
        if let Some(error) = failed {
            progress.failed += 1;
            let enough = now >= progress.settled + self.settle
                && now >= self.deadline
                && progress.failed >= FAILED_PASSES;
            if !enough && error.is_retryable() {
                return self
                    .schedule_next_pass(now, progress, |progress| State::Deduplicating(progress, reason));
            }
            let (request, mark, accepted) = (self.request, self.mark.clone(), self.jobs().into_iter().next());
            return match (reason, &accepted) {
                (
                    Some(
                        GiveUp::Rejected(lost_failure)
                        | GiveUp::TimedOut(lost_failure)
                        | GiveUp::NoReply(lost_failure),
                    ),
                    None,
                ) => self.end(Outcome::Unknown { request, mark, lost_failure, error }),
                _ => self.end(Outcome::PossibleDuplicate { request, mark, accepted, error }),
            };
        }
        let mut jobs = self.jobs().into_iter();
        let Some(kept) = jobs.next() else {
            return match reason {
                Some(reason) => self.end_without_job(reason),
                None => self.end(Outcome::Gone { request: self.request, mark: self.mark.clone() }),
            };
        };
        let duplicates = if has(Bug::DuplicatesLeft) { Vec::new() } else { jobs.collect() };
        self.state = State::Terminating { kept, duplicates, attempts: 0, until: None };
        self.terminate()
    }

    /// Terminates the first of the duplicates. Without duplicates, the job is submitted.
    fn terminate(&mut self) -> Vec<Action> {
        let State::Terminating { kept, duplicates, attempts, until } = &mut self.state else {
            return Vec::new();
        };
        let kept = kept.clone();
        match duplicates.first() {
            None => self.submitted(kept),
            Some(duplicate) => {
                *attempts += 1;
                *until = None;
                vec![Action::Terminate { duplicate: duplicate.clone(), kept }]
            }
        }
    }

    fn submitted(&mut self, job: Submitted) -> Vec<Action> {
        self.end(Outcome::Submitted { jobs: vec![job], earlier: false, unrecorded: None })
    }

    /// Ends without a job. After a lost attempt, the deduplication comes first, because a job may
    /// still be listed.
    fn give_up(&mut self, now: Millis, reason: GiveUp) -> Vec<Action> {
        match self.lost_since {
            Some(_)
                if !has(Bug::RejectionAfterLostAttemptIsCertain) && !has(Bug::KeyFreedAfterLostAttempt) =>
            {
                self.begin_deduplication(now, Some(reason))
            }
            _ => self.end_without_job(reason),
        }
    }

    fn end_without_job(&mut self, reason: GiveUp) -> Vec<Action> {
        let (GiveUp::Rejected(failure) | GiveUp::TimedOut(failure) | GiveUp::NoReply(failure)) = reason;
        let is_open = self.lost_since.is_some();
        let not_submitted = NotSubmitted {
            request: self.request,
            mark: self.mark.clone(),
            failure,
            searched_for: (is_open && !has(Bug::RejectionAfterLostAttemptIsCertain))
                .then_some(2 * self.settle),
            keeps_key: is_open && !has(Bug::KeyFreedAfterLostAttempt),
        };
        self.end(match reason {
            GiveUp::Rejected(_) => Outcome::Rejected(not_submitted),
            GiveUp::TimedOut(_) => Outcome::TimedOut(not_submitted),
            GiveUp::NoReply(_) => Outcome::NoReply(not_submitted),
        })
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Action> {
        self.state = State::Ended;
        // Otherwise, a job may exist that nobody knows.
        self.status = match &outcome {
            Outcome::Submitted { .. } => SubmissionStatus::Ended,
            Outcome::Rejected(not_submitted)
            | Outcome::TimedOut(not_submitted)
            | Outcome::NoReply(not_submitted)
                if not_submitted.searched_for.is_none() =>
            {
                SubmissionStatus::Ended
            }
            _ => SubmissionStatus::Unknown,
        };
        vec![Action::Done(outcome)]
    }

    /// Goes on at this time, or at once when it has passed.
    fn wake_at(&mut self, now: Millis, at: Millis) -> Vec<Action> {
        if now >= at { self.on_wake(now) } else { vec![Action::WakeAt(at)] }
    }
}
