//! Submitting the jobs of a key.

use super::record::{Entry, Holder, Record, Stage};
use super::search::{Looks, Search, Step};
use super::submission::Submission;
use super::{
    Action, Bug, CLOCK_SKEW, CONTACT, ETag, Event, FAILED_LOOKS, Limits, LookTrouble, Millis, Outcome, Place,
    Random, Refusal, Standing, State as JobState, Submitted, TERMINATE_PAUSE, TERMINATE_TRIES, Trouble, has,
};
use awsb_model::SubmissionId;

/// A holder that has not written for this many settle times is dead, or as good as dead. Longer
/// than twice the settle time and the time between two writings: whatever it has submitted has
/// shown by then.
const LEASE: Millis = 3;
/// A holder writes this often within a lease.
const BEATS: Millis = 3;
/// The shortest lease, for a settle time of nothing.
const SHORTEST_LEASE: Millis = 1000;
/// How often a held key is looked at, and how long a pause is after a call that failed.
const LOOK: Millis = 500;
/// IDs in a call of DescribeJobs (API `DescribeJobs`).
const DESCRIBED_AT_ONCE: usize = 100;

/// Submits the jobs of a key, unless they are there.
///
/// The key is an object in the cluster's bucket ([`Record`]), taken with a conditional put. Its
/// holder submits, and writes the IDs into it; whoever finds it held waits for them. The marks of
/// the jobs are in it before anything is submitted: when the holder dies, the next one finds its
/// jobs by them, or submits with the same marks, so that a last look finds a double even if the
/// holder was only slow. A holder that has not written for a while looks whether it still holds the
/// key before it submits or terminates anything.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    holder: Holder,
    places: Vec<Place>,
    limits: Limits,
    lease: Millis,
    deadline: Millis,
    random: Random,
    /// Jobs that were submitted here. They count only if the record says so.
    ours: Vec<Ours>,
    /// The tries of which it is open what has come of them, since the key was lost meanwhile.
    open: Vec<Open>,
    /// The version that is waited upon, and since when.
    watched: Option<(ETag, Millis)>,
    waits_for: Option<String>,
    /// When a call was answered.
    answered_at: Millis,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// The record is written to take the key.
    Taking {
        put: Put,
        takeover: Option<Takeover>,
    },
    Reading,
    /// Until the record is read once more.
    Waiting(Millis),
    /// For the jobs of a holder that is gone.
    Looking(Box<Looking>),
    /// Those that were submitted here and are not noted, each with the job that is kept.
    Terminating {
        doubles: Vec<(Submitted, Submitted)>,
        then: Then,
        tries: u32,
        until: Option<Millis>,
    },
    Describing(Noted),
    Holding(Box<Holding>),
    Ended,
}

/// How a key comes from a holder that is gone, or only slow.
#[derive(Debug, Clone, Default)]
struct Takeover {
    /// The requests of which more than one job is there.
    doubled: Vec<usize>,
}

/// What comes when the doubles are terminated.
#[derive(Debug, Clone)]
enum Then {
    /// The noted jobs are looked at.
    Describe(Box<Noted>),
    /// What the record lacks is submitted.
    Submit(Box<Holding>),
}

/// A job that was submitted here.
#[derive(Debug, Clone)]
struct Ours {
    /// The request that it was for.
    at: usize,
    mark: SubmissionId,
    job: Submitted,
}

/// A try that was left open while somebody else may have submitted with the same mark: a job that
/// was found with it need not be the try's.
#[derive(Debug, Clone)]
struct Open {
    at: usize,
    place: Place,
    mark: SubmissionId,
    since: Millis,
}

/// A record that is being written.
#[derive(Debug, Clone)]
struct Put {
    record: Record,
    over: Option<ETag>,
    /// When it was sent.
    begun: Millis,
    /// The condition did not hold, and the record is read: it may have been ourselves, as the SDK
    /// repeats a put whose answer was lost.
    checking: bool,
}

/// How a put went on.
enum Written {
    Call(Action),
    As(ETag),
    /// Somebody else has written.
    Lost,
    Failed(Trouble),
}

/// The search for the jobs of a holder that is gone.
#[derive(Debug, Clone)]
struct Looking {
    /// The record that it has left; none for jobs of our own.
    of: Option<(Record, ETag)>,
    /// One for each place, the one that is looked at first.
    searches: Vec<Search>,
    done: Vec<Search>,
    failed: u32,
    looks: Looks,
    until: Option<Millis>,
}

/// The jobs that a record names.
#[derive(Debug, Clone)]
struct Noted {
    record: Record,
    etag: ETag,
    jobs: Vec<Submitted>,
    begun: Millis,
    /// The state of each that was described.
    states: Vec<(String, JobState)>,
    /// How many have been asked for, and since when.
    asked: usize,
    asked_at: Millis,
    until: Option<Millis>,
}

/// The record while it is ours.
#[derive(Debug, Clone)]
struct Holding {
    record: Record,
    etag: ETag,
    /// Somebody else may be submitting with its marks, from whom it comes.
    takeover: Option<Takeover>,
    /// When it was last known to be ours: before that, the put was sent.
    ours_at: Millis,
    next_beat: Millis,
    /// The record is being written.
    put: Option<Put>,
    /// The submission that is under way.
    submission: Option<Submission>,
    /// The request that it is for.
    at: usize,
    /// The tries that were left open.
    open: Vec<Open>,
    /// Actions that wait for the record to be written.
    held_back: Vec<Action>,
    /// What comes next when the record is written.
    ending: Option<Ending>,
    until: Option<Millis>,
}

#[derive(Debug, Clone)]
enum Ending {
    /// All jobs have been submitted.
    Submitted,
    /// It failed, and the key is free.
    Failed(Outcome),
}

impl Put {
    fn begin(now: Millis, record: Record, over: Option<ETag>) -> (Self, Action) {
        let put = Self { record, over, begun: now, checking: false };
        let action = put.action();
        (put, action)
    }

    fn action(&self) -> Action {
        Action::PutRecord { record: self.record.clone(), over: self.over.clone() }
    }

    fn written(&mut self, reply: Result<Option<ETag>, Trouble>) -> Written {
        match reply {
            Ok(Some(etag)) => Written::As(etag),
            Ok(None) => {
                self.checking = true;
                Written::Call(Action::GetRecord)
            }
            Err(trouble) => Written::Failed(trouble),
        }
    }

    fn read(&mut self, reply: Result<Option<(Record, ETag)>, Trouble>) -> Written {
        self.checking = false;
        match reply {
            // An earlier record of ours may have been late: it has other marks, or fewer jobs.
            Ok(Some((now, etag)))
                if now == self.record
                    || (now.beat == self.record.beat
                        && now.holder == self.record.holder
                        && has(Bug::AnyRecordOfOurs)) =>
            {
                Written::As(etag)
            }
            Ok(Some((now, etag))) if now.holder == self.record.holder => {
                self.over = Some(etag);
                Written::Call(self.action())
            }
            Ok(_) => Written::Lost,
            Err(trouble) => Written::Failed(trouble),
        }
    }
}

impl KeyHolder {
    /// Takes the key for the requests that are looked for at these places, at `now`.
    pub fn new(holder: Holder, places: Vec<Place>, limits: Limits, random: Random, now: Millis) -> Self {
        let lease = if has(Bug::ShortLease) { 1 } else { LEASE };
        Self {
            holder,
            places,
            limits,
            lease: (limits.settle * lease).max(SHORTEST_LEASE),
            deadline: now + limits.submit_timeout,
            random,
            ours: Vec::new(),
            open: Vec::new(),
            watched: None,
            waits_for: None,
            answered_at: now,
            state: State::Reading,
        }
    }

    /// What is known of the submission that is under way.
    pub fn standing(&self) -> Standing {
        match &self.state {
            State::Holding(held) => match &held.submission {
                Some(submission) => submission.standing(),
                None => Standing::Ended,
            },
            _ => Standing::Ended,
        }
    }

    /// The submission that is under way: its request, and its mark.
    pub fn under_way(&self) -> Option<(usize, &SubmissionId)> {
        match &self.state {
            State::Holding(held) => held.submission.as_ref().map(|s| (held.at, s.mark())),
            _ => None,
        }
    }

    /// Who holds the key that is waited for.
    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// The jobs that have been submitted so far.
    pub fn submitted(&self) -> impl Iterator<Item = &Submitted> {
        self.ours.iter().map(|ours| &ours.job)
    }

    /// Takes what has happened, and says what to do next.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Action> {
        if matches!(event, Event::Put(Ok(_)) | Event::Record(Ok(_)) | Event::Described(Ok(_))) {
            self.answered_at = now;
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Holding(held) => self.hold(now, event, *held),
            State::Taking { mut put, takeover } => {
                let written = match event {
                    Event::Put(reply) if !put.checking => put.written(reply),
                    Event::Record(reply) if put.checking => put.read(reply),
                    _ => return self.stay(State::Taking { put, takeover }),
                };
                match written {
                    Written::Call(action) => self.go(State::Taking { put, takeover }, action),
                    Written::As(etag) if put.record.stage() == Stage::Held => {
                        self.begin_holding(now, put, etag, takeover)
                    }
                    Written::As(_) | Written::Lost => self.read(),
                    Written::Failed(trouble) => self.failed(now, trouble),
                }
            }
            State::Reading => match event {
                // The first thing is to take the key, as if it were free.
                Event::Begun => {
                    let fresh = self.fresh(now);
                    self.take(now, fresh, None, None)
                }
                Event::Record(Ok(None)) => {
                    let fresh = self.fresh(now);
                    self.take(now, fresh, None, None)
                }
                Event::Record(Ok(Some((record, etag)))) => self.found(now, record, etag),
                Event::Record(Err(trouble)) => self.failed(now, trouble),
                _ => self.stay(State::Reading),
            },
            State::Waiting(until) if now >= until => self.read(),
            State::Waiting(until) => self.stay(State::Waiting(until)),
            State::Looking(looking) => self.look(now, event, looking),
            State::Terminating { doubles, then, tries, until } => {
                self.terminate(now, event, doubles, then, (tries, until))
            }
            State::Describing(noted) => self.described(now, event, noted),
            State::Ended => Vec::new(),
        }
    }

    // ---- A key that is somebody's ----

    fn found(&mut self, now: Millis, record: Record, etag: ETag) -> Vec<Action> {
        if let Some(since) = self.open.iter().map(|open| open.since).max() {
            let settled = since + 2 * self.limits.settle;
            if now < settled {
                return self.go(State::Waiting(settled), Action::WakeAt(settled));
            }
            let places = self.open.iter().map(|open| open.place.clone()).collect();
            let since = self.open.iter().map(|open| open.since).min().unwrap_or(now);
            return self.look_at(now, None, places, since.min(record.since));
        }
        match record.stage() {
            Stage::Free => {
                let next = record.replaced(self.fresh(now));
                self.take(now, next, Some(etag), None)
            }
            Stage::Submitted(jobs) => {
                let noted = Noted {
                    record,
                    etag,
                    jobs,
                    begun: now,
                    states: Vec::new(),
                    asked: 0,
                    asked_at: now,
                    until: None,
                };
                let doubles = self.doubles(&noted.record);
                self.terminate_next(now, doubles, Then::Describe(Box::new(noted)), 0)
            }
            Stage::Held => {
                let since = match &self.watched {
                    Some((version, since)) if *version == etag => *since,
                    _ => self.watched.insert((etag.clone(), now)).1,
                };
                if now - since < self.lease && !self.is_long_ago(now, &record) {
                    self.waits_for = Some(record.by);
                    return self.wait(now);
                }
                self.look_for(now, record, etag)
            }
        }
    }

    /// Whether a record was written so long ago that its holder is dead, whatever our clock's
    /// error.
    fn is_long_ago(&self, now: Millis, record: &Record) -> bool {
        let skew = if has(Bug::LeaseWithoutSkew) { 0 } else { CLOCK_SKEW };
        now - record.written > self.lease + skew
    }

    /// Looks for the jobs of a holder that is gone.
    fn look_for(&mut self, now: Millis, record: Record, etag: ETag) -> Vec<Action> {
        let places = record.jobs.iter().filter(|entry| entry.job_id.is_none()).map(Entry::place).collect();
        let since = record.since;
        self.look_at(now, Some((record, etag)), places, since)
    }

    fn look_at(
        &mut self,
        now: Millis,
        of: Option<(Record, ETag)>,
        places: Vec<Place>,
        since: Millis,
    ) -> Vec<Action> {
        let mut searches: Vec<Search> = Vec::new();
        for place in places {
            if searches.iter().all(|search| *search.place() != place) {
                searches.push(Search::new(&place, since, now));
            }
        }
        let looks = Looks::new(self.limits.settle);
        let looking = Looking { of, searches, done: Vec::new(), failed: 0, looks, until: None };
        self.look_next(now, Box::new(looking))
    }

    fn look_next(&mut self, now: Millis, mut looking: Box<Looking>) -> Vec<Action> {
        match looking.searches.first_mut() {
            Some(search) => {
                let action = search.look(None);
                self.go(State::Looking(looking), action)
            }
            None => self.left_behind(now, *looking),
        }
    }

    fn look(&mut self, now: Millis, event: Event, mut looking: Box<Looking>) -> Vec<Action> {
        let Some(search) = looking.searches.first_mut() else { return self.left_behind(now, *looking) };
        let step = match event {
            Event::Listed(reply) => search.listed(reply),
            Event::Described(reply) => search.described(reply),
            Event::Woken if looking.until.is_some_and(|until| now >= until) => {
                looking.until = None;
                return self.look_next(now, looking);
            }
            _ => return self.stay(State::Looking(looking)),
        };
        match step {
            Step::Call(action) => self.go(State::Looking(looking), action),
            Step::Complete => {
                let search = looking.searches.remove(0);
                looking.done.push(search);
                self.look_next(now, looking)
            }
            Step::Failed(look) => {
                looking.failed += 1;
                // Batch answers when it is only a description that lacks.
                let answers = matches!(look, LookTrouble::Undescribed(_)) && now < self.deadline;
                if !look.is_passing() || looking.failed >= FAILED_LOOKS && !answers {
                    return self.end(Outcome::NoLook { place: search.place().clone(), look });
                }
                let at = looking.looks.next(now, now);
                looking.until = Some(at);
                self.go(State::Looking(looking), Action::WakeAt(at))
            }
        }
    }

    /// The record to go on with when its holder is gone, with the jobs that it has submitted. The
    /// holder may be submitting still, because it was only slow.
    fn left_behind(&mut self, now: Millis, looking: Looking) -> Vec<Action> {
        let Looking { of, done, .. } = looking;
        let Some((mut record, etag)) = of else { return self.settled(&done) };
        let mut there = Vec::new();
        let mut takeover = Takeover::default();
        for (at, entry) in record.jobs.iter_mut().enumerate() {
            let place = entry.place();
            let search = done.iter().find(|search| *search.place() == place);
            let found = search.map(|search| search.with(&entry.mark)).unwrap_or_default();
            let mut found: Vec<&Submitted> = found.into_iter().map(|found| &found.job).collect();
            // Ours may not be listed yet.
            for ours in self.ours.iter().filter(|ours| ours.mark == entry.mark) {
                if found.iter().all(|job| job.job_id != ours.job.job_id) {
                    found.push(&ours.job);
                }
            }
            match (found.as_slice(), entry.submitted()) {
                (_, Some(job)) => there.push(job),
                ([one], None) => {
                    there.push((*one).clone());
                    entry.set(one);
                }
                ([first, ..], None) => {
                    // All but one are terminated when the key is ours.
                    there.push((*first).clone());
                    match has(Bug::LeftDoubleAlone) {
                        true => entry.set(first),
                        false => takeover.doubled.push(at),
                    }
                }
                ([], None) => {}
            }
        }
        let fresh = self.fresh(now);
        if record.is_of(&self.places) || record.stage() != Stage::Held {
            let mut next = record.taken_over(fresh.clone());
            if has(Bug::NewMarksAtTakeover) {
                next.jobs
                    .iter_mut()
                    .zip(fresh.jobs)
                    .filter(|(e, _)| e.job_id.is_none())
                    .for_each(|(e, f)| *e = f);
            }
            self.take(now, next, Some(etag), Some(takeover))
        } else if there.is_empty() {
            let next = record.replaced(fresh);
            self.take(now, next, Some(etag), None)
        } else {
            self.end(Outcome::OtherJobs { by: record.by, of: record.jobs.len(), jobs: there })
        }
    }

    /// The jobs of our open tries have shown.
    fn settled(&mut self, searches: &[Search]) -> Vec<Action> {
        for Open { at, place, mark, .. } in std::mem::take(&mut self.open) {
            let search = searches.iter().find(|search| *search.place() == place);
            for found in search.map(|search| search.with(&mark)).unwrap_or_default() {
                self.ours.push(Ours { at, mark: mark.clone(), job: found.job.clone() });
            }
        }
        self.read()
    }

    /// Somebody took the key from us while we were submitting: the jobs that they have noted count.
    /// Each of ours that is not noted, with the one that is.
    fn doubles(&self, record: &Record) -> Vec<(Submitted, Submitted)> {
        if has(Bug::LostKeyLeavesJob) {
            return Vec::new();
        }
        let noted: Vec<Option<Submitted>> = record.jobs.iter().map(Entry::submitted).collect();
        let is_noted = |job: &Submitted| noted.iter().flatten().any(|noted| noted.job_id == job.job_id);
        let ours = self.ours.iter().filter(|ours| !is_noted(&ours.job));
        let with_kept = ours.filter_map(|ours| {
            // Where the key stands for other jobs by now, any of them.
            let kept = noted.get(ours.at).unwrap_or(noted.first()?).clone()?;
            Some((ours.job.clone(), kept))
        });
        with_kept.collect()
    }

    fn terminate_next(
        &mut self,
        now: Millis,
        doubles: Vec<(Submitted, Submitted)>,
        then: Then,
        tries: u32,
    ) -> Vec<Action> {
        let Some((double, kept)) = doubles.first().cloned() else {
            return match then {
                Then::Describe(noted) => self.describe_all(now, *noted),
                Then::Submit(held) => self.submit_next(now, held),
            };
        };
        let state = State::Terminating { doubles, then, tries: tries + 1, until: None };
        self.go(state, Action::Terminate { double, kept })
    }

    fn terminate(
        &mut self,
        now: Millis,
        event: Event,
        mut doubles: Vec<(Submitted, Submitted)>,
        then: Then,
        (tries, until): (u32, Option<Millis>),
    ) -> Vec<Action> {
        match event {
            Event::Terminated(Ok(())) => {
                let (double, _) = doubles.remove(0);
                self.ours.retain(|ours| ours.job.job_id != double.job_id);
                self.terminate_next(now, doubles, then, 0)
            }
            Event::Terminated(Err(trouble)) => {
                if trouble.passing && tries < TERMINATE_TRIES && !has(Bug::TerminateOnce) {
                    let at = now + TERMINATE_PAUSE * Millis::from(tries);
                    let state = State::Terminating { doubles, then, tries, until: Some(at) };
                    return self.go(state, Action::WakeAt(at));
                }
                let (double, kept) = doubles.remove(0);
                self.end(Outcome::NotTerminated { double, kept, trouble })
            }
            Event::Woken if until.is_some_and(|until| now >= until) => {
                self.terminate_next(now, doubles, then, tries)
            }
            _ => self.stay(State::Terminating { doubles, then, tries, until }),
        }
    }

    /// Asks for the noted jobs.
    fn describe_all(&mut self, now: Millis, mut noted: Noted) -> Vec<Action> {
        (noted.asked, noted.asked_at) = (0, now);
        noted.states.clear();
        self.describe(noted)
    }

    /// Asks for the next of the noted jobs.
    fn describe(&mut self, mut noted: Noted) -> Vec<Action> {
        let ids = noted.jobs.iter().map(|job| job.job_id.clone());
        let jobs: Vec<String> = ids.skip(noted.asked).take(DESCRIBED_AT_ONCE).collect();
        noted.asked += jobs.len();
        noted.until = None;
        self.go(State::Describing(noted), Action::Describe { jobs, place: None })
    }

    fn described(&mut self, now: Millis, event: Event, mut noted: Noted) -> Vec<Action> {
        match event {
            Event::Described(Ok(jobs)) => {
                noted.states.extend(jobs.into_iter().map(|job| (job.job.job_id, job.state)));
            }
            Event::Described(Err(trouble)) => return self.failed(now, trouble),
            Event::Woken if noted.until.is_some_and(|until| now >= until) => {
                return self.describe_all(now, noted);
            }
            _ => return self.stay(State::Describing(noted)),
        }
        if noted.asked < noted.jobs.len() {
            return self.describe(noted);
        }
        let Noted { record, etag, jobs, begun, states, asked_at, .. } = &noted;
        let state_of = |job: &Submitted| states.iter().find(|(id, _)| *id == job.job_id).map(|(_, s)| *s);
        let known: Option<Vec<JobState>> = jobs.iter().map(state_of).collect();
        let Some(known) = known else {
            // One that was submitted just now may not be there to be described.
            if asked_at - begun < 2 * self.limits.settle {
                let at = now + self.pause();
                noted.until = Some(at);
                return self.go(State::Describing(noted), Action::WakeAt(at));
            }
            return self.end(Outcome::Forgotten { jobs: noted.jobs });
        };
        let failed: Vec<String> = match known.contains(&JobState::Active) {
            true => Vec::new(),
            false => {
                let pairs = jobs.iter().zip(&known).filter(|(_, state)| **state == JobState::Failed);
                pairs.map(|(job, _)| job.job_id.clone()).collect()
            }
        };
        if failed.is_empty() {
            let earlier = !self.ours.iter().any(|ours| jobs.contains(&ours.job));
            return self.end(Outcome::Submitted { jobs: noted.jobs, earlier, unnoted: None });
        }
        let next = match record.is_of(&self.places) {
            true => record.anew(self.fresh(now), &failed),
            false => record.replaced(self.fresh(now)),
        };
        let etag = etag.clone();
        self.take(now, next, Some(etag), None)
    }

    // ---- A key that is ours ----

    fn begin_holding(
        &mut self,
        now: Millis,
        put: Put,
        etag: ETag,
        takeover: Option<Takeover>,
    ) -> Vec<Action> {
        self.watched = None;
        self.waits_for = None;
        let next_beat = now + self.lease / BEATS;
        let held = Holding {
            record: put.record,
            etag,
            takeover,
            ours_at: put.begun,
            next_beat,
            put: None,
            submission: None,
            at: 0,
            open: Vec::new(),
            held_back: Vec::new(),
            ending: None,
            until: None,
        };
        let mut actions = vec![Action::WakeAt(next_beat)];
        let doubles = self.doubles(&held.record);
        actions.extend(self.terminate_next(now, doubles, Then::Submit(Box::new(held)), 0));
        actions
    }

    /// Submits the next job that the record lacks; when there is none, writes the record down.
    fn submit_next(&mut self, now: Millis, mut held: Box<Holding>) -> Vec<Action> {
        let lacking = held.record.jobs.iter().position(|entry| entry.job_id.is_none());
        let Some((at, place)) = lacking.and_then(|at| Some((at, self.places.get(at)?.clone()))) else {
            held.submission = None;
            held.ending = Some(Ending::Submitted);
            return self.write(now, held);
        };
        let mark = held.record.jobs[at].mark.clone();
        let random = Random::new(self.random.next());
        let mut submission = Submission::new((at, &place), mark, self.limits, random, now);
        if let Some(Takeover { doubled }) = &held.takeover {
            submission = submission.shared(&place, held.record.since, now);
            if doubled.contains(&at) {
                submission = submission.of_doubles(now);
            }
        }
        held.at = at;
        let actions = submission.step(now, Event::Begun);
        held.submission = Some(submission);
        self.relay(now, held, actions)
    }

    fn hold(&mut self, now: Millis, event: Event, mut held: Holding) -> Vec<Action> {
        match event {
            Event::Put(_) | Event::Record(_) => {
                let Some(mut put) = held.put.take() else {
                    return self.stay(State::Holding(Box::new(held)));
                };
                let written = match event {
                    Event::Put(reply) if !put.checking => put.written(reply),
                    Event::Record(reply) if put.checking => put.read(reply),
                    _ => {
                        held.put = Some(put);
                        return self.stay(State::Holding(Box::new(held)));
                    }
                };
                match written {
                    Written::Call(action) => {
                        held.put = Some(put);
                        self.go(State::Holding(Box::new(held)), action)
                    }
                    Written::As(etag) => {
                        (held.etag, held.ours_at) = (etag, put.begun);
                        self.written(now, held, put)
                    }
                    Written::Lost => self.lost(held),
                    Written::Failed(trouble) => self.not_written(now, held, trouble),
                }
            }
            Event::Woken => {
                let mut actions = Vec::new();
                let mut is_due = held.until.take_if(|until| now >= *until).is_some();
                if now >= held.next_beat && held.ending.is_none() {
                    held.next_beat = now + self.lease / BEATS;
                    actions.push(Action::WakeAt(held.next_beat));
                    is_due = true;
                }
                if is_due && held.put.is_none() {
                    actions.push(self.beat(now, &mut held));
                }
                actions.extend(self.pass_on(now, held, Event::Woken));
                actions
            }
            event => self.pass_on(now, held, event),
        }
    }

    fn pass_on(&mut self, now: Millis, mut held: Holding, event: Event) -> Vec<Action> {
        let actions = match &mut held.submission {
            Some(submission) if held.held_back.is_empty() => submission.step(now, event),
            _ => Vec::new(),
        };
        self.relay(now, Box::new(held), actions)
    }

    /// Hands on the actions of the submission.
    fn relay(&mut self, now: Millis, mut held: Box<Holding>, actions: Vec<Action>) -> Vec<Action> {
        let mut relayed = Vec::new();
        for action in actions {
            match action {
                Action::Done(outcome) => {
                    relayed.extend(self.submission_ended(now, held, outcome));
                    return relayed;
                }
                // Whoever was stopped for a while may hold the key no longer.
                Action::Submit { .. } if self.must_look(now, &held) => held.held_back.push(action),
                // All of this may be somebody else's, who may have noted another job than the one
                // that is kept here.
                Action::Terminate { .. } if !has(Bug::NoFence) => held.held_back.push(action),
                action => relayed.push(action),
            }
        }
        if !held.held_back.is_empty() && held.put.is_none() {
            relayed.push(self.beat(now, &mut held));
        }
        self.state = State::Holding(held);
        relayed
    }

    fn must_look(&self, now: Millis, held: &Holding) -> bool {
        now - held.ours_at > self.lease / 2 && !has(Bug::NoFence)
    }

    fn beat(&self, now: Millis, held: &mut Holding) -> Action {
        held.record.beat(now);
        let (put, action) = Put::begin(now, held.record.clone(), Some(held.etag.clone()));
        held.put = Some(put);
        action
    }

    fn submission_ended(&mut self, now: Millis, mut held: Box<Holding>, outcome: Outcome) -> Vec<Action> {
        if let Outcome::Submitted { jobs, .. } = &outcome
            && let Some(job) = jobs.first()
        {
            self.leave_open(&mut held);
            let entry = &mut held.record.jobs[held.at];
            entry.set(job);
            self.ours.push(Ours { at: held.at, mark: entry.mark.clone(), job: job.clone() });
            return self.submit_next(now, held);
        }
        let is_certain = |refusal: &Refusal| !refusal.keeps_key;
        let nothing_is_there = held.record.jobs.iter().all(|entry| entry.job_id.is_none());
        let is_free = match &outcome {
            Outcome::Refused(refusal) | Outcome::Busy(refusal) | Outcome::Vain(refusal) => {
                is_certain(refusal)
            }
            _ => false,
        };
        if !is_free || held.takeover.is_some() || !nothing_is_there {
            return self.end(keeping_key(outcome));
        }
        held.submission = None;
        held.record.jobs.clear();
        held.ending = Some(Ending::Failed(outcome));
        self.write(now, held)
    }

    /// Notes a try of the submission that was left open.
    fn leave_open(&self, held: &mut Holding) {
        let submission = held.submission.as_ref();
        if let Some((submission, since)) = submission.and_then(|s| Some((s, s.open_since()?)))
            && let Some(place) = self.places.get(held.at).filter(|_| !has(Bug::FoundIsOurs))
        {
            let (place, mark) = (place.clone(), submission.mark().clone());
            held.open.push(Open { at: held.at, place, mark, since });
        }
    }

    /// Writes the record, as soon as no other put is under way.
    fn write(&mut self, now: Millis, mut held: Box<Holding>) -> Vec<Action> {
        let mut actions = Vec::new();
        if held.put.is_none() {
            actions.push(self.beat(now, &mut held));
        }
        self.state = State::Holding(held);
        actions
    }

    /// The record has been written, and is ours.
    fn written(&mut self, now: Millis, mut held: Holding, put: Put) -> Vec<Action> {
        let is_last = put.record.beat == held.record.beat && put.record.jobs == held.record.jobs;
        match held.ending.take() {
            Some(ending) if !is_last => {
                held.ending = Some(ending);
                self.write(now, Box::new(held))
            }
            Some(Ending::Submitted) => {
                let jobs: Vec<Submitted> = held.record.jobs.iter().filter_map(Entry::submitted).collect();
                // When the key was lost for a while, others may have noted another job.
                if !self.doubles(&held.record).is_empty() {
                    return self.read();
                }
                self.end(Outcome::Submitted { jobs, earlier: false, unnoted: None })
            }
            Some(Ending::Failed(outcome)) => self.end(outcome),
            None => {
                let released = std::mem::take(&mut held.held_back);
                self.go_all(State::Holding(Box::new(held)), released)
            }
        }
    }

    /// The key is somebody else's.
    fn lost(&mut self, mut held: Holding) -> Vec<Action> {
        match held.ending {
            // The job was refused, whoever holds the key.
            Some(Ending::Failed(outcome)) => self.end(outcome),
            Some(Ending::Submitted) if has(Bug::ConflictIgnored) => {
                let jobs = held.record.jobs.iter().filter_map(Entry::submitted).collect();
                self.end(Outcome::Submitted { jobs, earlier: false, unnoted: None })
            }
            Some(Ending::Submitted) => {
                self.open.extend(held.open);
                self.read()
            }
            // Nothing is under way that would be forgotten.
            None if !held.held_back.is_empty() => {
                self.leave_open(&mut held);
                self.open.append(&mut held.open);
                if let Some(submission) = &held.submission {
                    let (at, mark) = (held.at, submission.mark());
                    self.ours.extend(submission.jobs().into_iter().map(|job| Ours {
                        at,
                        mark: mark.clone(),
                        job,
                    }));
                }
                self.read()
            }
            // It shows at the end, or before the next call that must not be made then.
            None => self.stay(State::Holding(Box::new(Holding { ours_at: Millis::MIN / 2, ..held }))),
        }
    }

    fn not_written(&mut self, now: Millis, mut held: Holding, trouble: Trouble) -> Vec<Action> {
        match held.ending.take() {
            // Others wait a little before they look for jobs that are not there.
            Some(Ending::Failed(outcome)) => self.end(outcome),
            Some(Ending::Submitted) => {
                let jobs: Vec<Submitted> = held.record.jobs.iter().filter_map(Entry::submitted).collect();
                // They are there all the same, and whoever comes next finds them by their marks.
                if now - held.ours_at < self.lease {
                    return self.end(Outcome::Submitted { jobs, earlier: false, unnoted: Some(trouble) });
                }
                // Somebody else may have taken the key, and may have noted others.
                if !trouble.passing || now >= self.deadline {
                    return self.end(Outcome::NoRecord { trouble, jobs });
                }
                held.ending = Some(Ending::Submitted);
                self.write_later(now, held)
            }
            // A beat: the next one comes soon.
            None if held.held_back.is_empty() => self.stay(State::Holding(Box::new(held))),
            None if !trouble.passing || now >= self.deadline => {
                let ours = self.ours.iter().map(|ours| ours.job.clone());
                let found = held.submission.map(|submission| submission.jobs()).unwrap_or_default();
                let jobs = ours.chain(found).collect();
                self.end(Outcome::NoRecord { trouble, jobs })
            }
            None => self.write_later(now, held),
        }
    }

    fn write_later(&mut self, now: Millis, mut held: Holding) -> Vec<Action> {
        let at = now + self.pause();
        held.until = Some(at);
        self.go(State::Holding(Box::new(held)), Action::WakeAt(at))
    }

    // ---- Both ----

    fn fresh(&mut self, now: Millis) -> Record {
        Record::new(&self.holder, now, &self.places, &mut self.random)
    }

    fn take(
        &mut self,
        now: Millis,
        record: Record,
        over: Option<ETag>,
        takeover: Option<Takeover>,
    ) -> Vec<Action> {
        let (put, action) = Put::begin(now, record, over);
        self.go(State::Taking { put, takeover }, action)
    }

    fn read(&mut self) -> Vec<Action> {
        self.go(State::Reading, Action::GetRecord)
    }

    fn wait(&mut self, now: Millis) -> Vec<Action> {
        let at = now + self.pause();
        self.go(State::Waiting(at), Action::WakeAt(at))
    }

    fn pause(&self) -> Millis {
        LOOK.min(self.lease / BEATS)
    }

    /// A call that stands between us and the key has failed. With a job that may be a double, it is
    /// worth more tries.
    fn failed(&mut self, now: Millis, trouble: Trouble) -> Vec<Action> {
        let may_pass = now - self.answered_at < CONTACT || !self.ours.is_empty() && now < self.deadline;
        if trouble.passing && may_pass {
            return self.wait(now);
        }
        let jobs = self.ours.iter().map(|ours| ours.job.clone()).collect();
        self.end(Outcome::NoRecord { trouble, jobs })
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Action> {
        self.go(State::Ended, Action::Done(outcome))
    }

    fn stay(&mut self, state: State) -> Vec<Action> {
        self.state = state;
        Vec::new()
    }

    fn go(&mut self, state: State, action: Action) -> Vec<Action> {
        self.go_all(state, vec![action])
    }

    fn go_all(&mut self, state: State, actions: Vec<Action>) -> Vec<Action> {
        self.state = state;
        actions
    }
}

/// A refusal that leaves the key taken.
fn keeping_key(mut outcome: Outcome) -> Outcome {
    if let Outcome::Refused(refusal) | Outcome::Busy(refusal) | Outcome::Vain(refusal) = &mut outcome {
        refusal.keeps_key = true;
    }
    outcome
}
