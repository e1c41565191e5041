//! Submitting one job.

use super::search::{Looks, Search, Step};
use super::{
    Action, Bug, CONTACT, Event, FAILED_LOOKS, Limits, LookTrouble, Millis, Outcome, Place, Random, Refusal,
    SubmitReply, Submitted, TERMINATE_PAUSE, TERMINATE_TRIES, has,
};
use awsb_model::SubmissionId;

/// The pauses between tries that Batch has throttled.
const FIRST_PAUSE: Millis = 500;
const LONGEST_PAUSE: Millis = 10_000;

/// The submission of one job.
///
/// * A try that leaves it open whether the job exists is followed by a search for the mark, until
///   it is found or the settle time has passed, and only then by another try.
/// * After more than one such try, or where somebody else may submit with the same mark, a last
///   look terminates all but the oldest of the jobs that carry the mark.
/// * A try that leaves nothing open is followed by another after a pause.
/// * After an open try, every refusal is preceded by a last look, too.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Which of the requests.
    request: usize,
    mark: SubmissionId,
    settle: Millis,
    deadline: Millis,
    random: Random,
    search: Search,
    /// When the last try ended that left it open whether the job exists.
    open_since: Option<Millis>,
    /// The failure of that try.
    lost: usize,
    /// A try before the present one has left it open, or somebody else may be submitting.
    may_be_double: bool,
    pause: Millis,
    /// The job of a try that was answered.
    taken: Option<Submitted>,
    standing: Standing,
    state: State,
}

/// What is known of a submission that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Batch has not taken the job so far.
    NotTaken(usize),
    /// The request is on its way, or its answer was lost: the job may exist.
    Open,
    /// It has ended.
    Ended,
}

#[derive(Debug, Clone)]
enum State {
    /// SubmitJob is under way.
    Trying,
    /// Until the next try.
    Pausing(Millis),
    /// For the job of a try whose answer was lost.
    Searching(Looking),
    /// Until the last try has settled.
    Settling(Millis),
    /// For all jobs with the mark.
    LastLook(Looking, Option<Refused>),
    /// The doubles, the one that is being terminated first.
    Terminating {
        kept: Submitted,
        doubles: Vec<Submitted>,
        tries: u32,
        until: Option<Millis>,
    },
    Ended,
}

/// A look, or the pause before one.
#[derive(Debug, Clone)]
struct Looking {
    looks: Looks,
    /// From when on a complete look is one to rely on.
    settled: Millis,
    /// When the look began that is under way, or when the next one begins.
    at: Millis,
    under_way: bool,
    /// Whether one was complete.
    looked: bool,
    failed: u32,
}

/// Why a submission came to nothing, unless a job shows.
#[derive(Debug, Clone, Copy)]
enum Refused {
    ByBatch(usize),
    Busy(usize),
    Vain(usize),
}

impl Looking {
    fn new(settle: Millis, settled: Millis, at: Millis) -> Self {
        Self { looks: Looks::new(settle), settled, at, under_way: false, looked: false, failed: 0 }
    }
}

impl Submission {
    /// The submission of a request that is looked for at `place`, which begins at `now`.
    pub fn new(
        (request, place): (usize, &Place),
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
            search: Search::new(place, now, now),
            open_since: None,
            lost: 0,
            may_be_double: false,
            pause: FIRST_PAUSE,
            taken: None,
            standing: Standing::Open,
            state: State::Trying,
        }
    }

    /// Somebody else may be submitting with the same mark, or may have done so since `since`.
    #[must_use]
    pub fn shared(mut self, place: &Place, since: Millis, now: Millis) -> Self {
        if !has(Bug::NoLastLookAfterTakeover) {
            self.open_since = Some(now);
            self.search = Search::new(place, since, now);
        }
        self
    }

    /// Its jobs are there already, more than one: it begins with the last look, and submits
    /// nothing.
    #[must_use]
    pub fn of_doubles(mut self, now: Millis) -> Self {
        self.state = State::LastLook(Looking::new(self.settle, now, now), None);
        self
    }

    /// What is known of it.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The mark of its jobs.
    pub fn mark(&self) -> &SubmissionId {
        &self.mark
    }

    /// When the last try ended that left it open whether the job exists, or somebody else may have
    /// begun one.
    pub fn open_since(&self) -> Option<Millis> {
        self.open_since
    }

    /// The jobs that are known to carry its mark.
    pub fn jobs(&self) -> Vec<Submitted> {
        let found = self.search.with(&self.mark).into_iter().map(|job| &job.job);
        let taken = self.taken.iter().filter(|taken| found.clone().all(|job| job.job_id != taken.job_id));
        found.clone().chain(taken).cloned().collect()
    }

    /// Takes what has happened, and says what to do next.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Action> {
        match (event, &mut self.state) {
            (Event::Begun, State::Trying) => self.attempt(),
            (Event::Begun | Event::Woken, _) => self.woken(now),
            (Event::Submitted(reply), State::Trying) => self.answered(now, reply),
            (Event::Listed(reply), State::Searching(_) | State::LastLook(..)) => {
                let step = self.search.listed(reply);
                self.looked(now, step)
            }
            (Event::Described(reply), State::Searching(_) | State::LastLook(..)) => {
                let step = self.search.described(reply);
                self.looked(now, step)
            }
            (Event::Terminated(reply), State::Terminating { kept, doubles, tries, until }) => match reply {
                Ok(()) => {
                    doubles.remove(0);
                    *tries = 0;
                    self.terminate()
                }
                Err(trouble) if trouble.passing && *tries < TERMINATE_TRIES && !has(Bug::TerminateOnce) => {
                    let at = now + TERMINATE_PAUSE * Millis::from(*tries);
                    *until = Some(at);
                    vec![Action::WakeAt(at)]
                }
                Err(trouble) => {
                    let (double, kept) = (doubles.remove(0), kept.clone());
                    self.end(Outcome::NotTerminated { double, kept, trouble })
                }
            },
            _ => Vec::new(),
        }
    }

    fn attempt(&mut self) -> Vec<Action> {
        self.may_be_double = self.open_since.is_some();
        self.standing = Standing::Open;
        self.state = State::Trying;
        vec![Action::Submit { request: self.request, mark: self.mark.clone() }]
    }

    fn answered(&mut self, now: Millis, reply: SubmitReply) -> Vec<Action> {
        match reply {
            SubmitReply::Taken(job) if self.may_be_double => {
                self.taken = Some(job);
                self.last_look(now, None)
            }
            SubmitReply::Taken(job) => self.found(job),
            SubmitReply::Refused(failure) => self.come_to_nothing(now, Refused::ByBatch(failure)),
            SubmitReply::Open(failure) if has(Bug::ResetLeavesNothingOpen) => self.throttled(now, failure),
            SubmitReply::NotNow(failure) => self.throttled(now, failure),
            SubmitReply::Open(failure) => {
                self.open_since = Some(now);
                self.lost = failure;
                if has(Bug::NoSearch) {
                    return self.attempt();
                }
                self.state = State::Searching(Looking::new(self.settle, now + self.settle, now));
                self.woken(now)
            }
        }
    }

    fn throttled(&mut self, now: Millis, failure: usize) -> Vec<Action> {
        // What an earlier try has left open stays open.
        if self.open_since.is_none() || has(Bug::ThrottledForgetsOpenTry) {
            self.standing = Standing::NotTaken(failure);
        }
        let until = now + self.random.part_of(self.pause);
        if until > self.deadline {
            return self.come_to_nothing(now, Refused::Busy(failure));
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.state = State::Pausing(until);
        vec![Action::WakeAt(until)]
    }

    fn woken(&mut self, now: Millis) -> Vec<Action> {
        match &mut self.state {
            State::Pausing(until) if now >= *until => self.attempt(),
            State::Searching(looking) if !looking.under_way && now >= looking.at => {
                (looking.under_way, looking.at) = (true, now);
                vec![self.search.look(Some(&self.mark))]
            }
            State::LastLook(looking, _) if !looking.under_way && now >= looking.at => {
                (looking.under_way, looking.at) = (true, now);
                vec![self.search.look(None)]
            }
            State::Settling(until) if now >= *until => self.last_look(now, None),
            State::Terminating { until, .. } if until.is_some_and(|until| now >= until) => self.terminate(),
            _ => Vec::new(),
        }
    }

    fn looked(&mut self, now: Millis, step: Step) -> Vec<Action> {
        let failed = match step {
            Step::Call(action) => return vec![action],
            Step::Complete => None,
            Step::Failed(trouble) => Some(trouble),
        };
        match self.state.clone() {
            State::Searching(looking) => self.searched(now, looking, failed),
            State::LastLook(looking, refused) => self.looked_last(now, looking, refused, failed),
            _ => Vec::new(),
        }
    }

    /// A look for the job of a try whose answer was lost has ended.
    fn searched(&mut self, now: Millis, mut looking: Looking, failed: Option<LookTrouble>) -> Vec<Action> {
        if let Some(found) = self.search.with(&self.mark).first() {
            let found = found.job.clone();
            if !self.may_be_double {
                return self.found(found);
            }
            // It may be an earlier try's: this one has its settle time, too.
            let settled = if has(Bug::LastLookAfterFind) { now } else { looking.settled };
            self.state = State::Settling(settled);
            return self.wake_at(now, settled);
        }
        match failed {
            None if looking.at >= looking.settled
                || has(Bug::LookBegunEarlyCounts) && now >= looking.settled =>
            {
                return match now > self.deadline {
                    true => self.come_to_nothing(now, Refused::Vain(self.lost)),
                    false => self.attempt(),
                };
            }
            None => looking.looked = true,
            Some(look) => {
                // Batch answers when it is only a description that lacks.
                let answers = matches!(look, LookTrouble::Undescribed(_));
                looking.looked |= answers;
                looking.failed += u32::from(!answers || looking.at >= looking.settled);
                let often = looking.failed >= FAILED_LOOKS
                    || now - looking.at >= CONTACT
                    || has(Bug::OneFailedLookIsEnough);
                let in_vain = !looking.looked || now >= self.deadline;
                if now >= looking.settled && often && in_vain || !look.is_passing() {
                    let (request, mark, lost) = (self.request, self.mark.clone(), self.lost);
                    return self.end(Outcome::Unknown { request, mark, lost, look });
                }
            }
        }
        self.look_again(now, looking, State::Searching)
    }

    fn look_again(
        &mut self,
        now: Millis,
        mut looking: Looking,
        state: impl Fn(Looking) -> State,
    ) -> Vec<Action> {
        looking.at = looking.looks.next(now, looking.settled);
        looking.under_way = false;
        let at = looking.at;
        self.state = state(looking);
        vec![Action::WakeAt(at)]
    }

    /// Another settle time after the last try, so that an action that was later than assumed has
    /// shown, too.
    fn last_look(&mut self, now: Millis, refused: Option<Refused>) -> Vec<Action> {
        let settled = match (refused, self.open_since) {
            // Nothing has been sent since.
            (Some(_), Some(since)) => (since + 2 * self.settle).max(now),
            (None, Some(since)) if has(Bug::LastLookAfterOpenTry) => since + self.settle,
            _ => now + self.settle,
        };
        self.state = State::LastLook(Looking::new(self.settle, settled, settled), refused);
        self.wake_at(now, settled)
    }

    fn looked_last(
        &mut self,
        now: Millis,
        mut looking: Looking,
        refused: Option<Refused>,
        failed: Option<LookTrouble>,
    ) -> Vec<Action> {
        // The age of one that is not listed yet is not known: it is waited for, as long as other
        // late ones.
        let is_missing = self.taken.as_ref().is_some_and(|taken| {
            self.search.with(&self.mark).iter().all(|job| job.job.job_id != taken.job_id)
        });
        if failed.is_none()
            && is_missing
            && !has(Bug::UnlistedIsYoungest)
            && looking.at < looking.settled + self.settle
        {
            return self.look_again(now, looking, |looking| State::LastLook(looking, refused));
        }
        if let Some(look) = failed {
            looking.failed += 1;
            let enough = now >= looking.settled + self.settle
                && now >= self.deadline
                && looking.failed >= FAILED_LOOKS;
            if !enough && look.is_passing() {
                return self.look_again(now, looking, |looking| State::LastLook(looking, refused));
            }
            let (request, mark, taken) = (self.request, self.mark.clone(), self.jobs().into_iter().next());
            return match (refused, &taken) {
                (Some(Refused::ByBatch(lost) | Refused::Busy(lost) | Refused::Vain(lost)), None) => {
                    self.end(Outcome::Unknown { request, mark, lost, look })
                }
                _ => self.end(Outcome::PerhapsDouble { request, mark, taken, look }),
            };
        }
        let mut jobs = self.jobs().into_iter();
        let Some(kept) = jobs.next() else {
            return match refused {
                Some(refused) => self.refused(refused),
                None => self.end(Outcome::Gone { request: self.request, mark: self.mark.clone() }),
            };
        };
        let doubles = if has(Bug::DoublesLeft) { Vec::new() } else { jobs.collect() };
        self.state = State::Terminating { kept, doubles, tries: 0, until: None };
        self.terminate()
    }

    /// Terminates the first of the doubles; when there is none left, the job is submitted.
    fn terminate(&mut self) -> Vec<Action> {
        let State::Terminating { kept, doubles, tries, until } = &mut self.state else { return Vec::new() };
        let kept = kept.clone();
        match doubles.first() {
            None => self.found(kept),
            Some(double) => {
                *tries += 1;
                *until = None;
                vec![Action::Terminate { double: double.clone(), kept }]
            }
        }
    }

    fn found(&mut self, job: Submitted) -> Vec<Action> {
        self.end(Outcome::Submitted { jobs: vec![job], earlier: false, unnoted: None })
    }

    /// After an open try, a job may show yet.
    fn come_to_nothing(&mut self, now: Millis, refused: Refused) -> Vec<Action> {
        match self.open_since {
            Some(_) if !has(Bug::RefusalAfterOpenTryIsCertain) && !has(Bug::KeyFreedAfterOpenTry) => {
                self.last_look(now, Some(refused))
            }
            _ => self.refused(refused),
        }
    }

    fn refused(&mut self, refused: Refused) -> Vec<Action> {
        let (Refused::ByBatch(failure) | Refused::Busy(failure) | Refused::Vain(failure)) = refused;
        let is_open = self.open_since.is_some();
        let refusal = Refusal {
            request: self.request,
            mark: self.mark.clone(),
            failure,
            looked_for: (is_open && !has(Bug::RefusalAfterOpenTryIsCertain)).then_some(2 * self.settle),
            keeps_key: is_open && !has(Bug::KeyFreedAfterOpenTry),
        };
        self.end(match refused {
            Refused::ByBatch(_) => Outcome::Refused(refusal),
            Refused::Busy(_) => Outcome::Busy(refusal),
            Refused::Vain(_) => Outcome::Vain(refusal),
        })
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Action> {
        self.state = State::Ended;
        // A job of which nobody knows may exist.
        self.standing = match &outcome {
            Outcome::Submitted { .. } => Standing::Ended,
            Outcome::Refused(refusal) | Outcome::Busy(refusal) | Outcome::Vain(refusal)
                if refusal.looked_for.is_none() =>
            {
                Standing::Ended
            }
            _ => Standing::Open,
        };
        vec![Action::Done(outcome)]
    }

    /// Goes on at a time, which may be now.
    fn wake_at(&mut self, now: Millis, at: Millis) -> Vec<Action> {
        if now >= at { self.woken(now) } else { vec![Action::WakeAt(at)] }
    }
}
