//! The state machine that submits the jobs of a key (`--once`).

use super::bugs::{Bug, has};
use super::messages::{Action, Event, Outcome};
use super::record::{Holder, JobEntry, KeyState, Record};
use super::search::{PassPauses, Search, SearchStep};
use super::submission::{Submission, SubmissionStatus};
use super::types::{
    CLOCK_SKEW, DESCRIBED_AT_ONCE, ETag, FAILED_PASSES, FailedCall, Limits, Millis, NotSubmitted,
    RETRY_PERIOD, Random, SearchError, SearchTarget, State as JobState, Submitted, TERMINATE_ATTEMPTS,
    TERMINATE_PAUSE,
};
use awsb_model::SubmissionId;

/// The length of a lease in settle times: a holder that has not written for this long is treated as
/// dead. It is longer than twice the settle time plus the time between two heartbeats, so all jobs
/// that the holder has submitted are listed by then.
const LEASE_SETTLE_TIMES: Millis = 3;
/// How often a holder writes the record within a lease.
const HEARTBEATS_PER_LEASE: Millis = 3;
/// The shortest lease, for a settle time of 0.
const SHORTEST_LEASE: Millis = 1000;
/// How often a held key is read, and the pause after a call that failed.
const POLL_INTERVAL: Millis = 500;

/// Submits the jobs of a key, unless they exist.
///
/// The key is an object in the cluster's bucket ([`Record`]). A process takes the key with a
/// conditional put, and is then its holder. The holder submits the jobs and writes their IDs into
/// the record. Other processes with the same key wait for it.
///
/// The record has the marks of the jobs before anything is submitted. When the holder dies, the
/// next holder finds the jobs by their marks, or submits with the same marks. So the deduplication
/// finds a duplicate even if the former holder was only slow. A holder that has not written for a
/// while verifies that it still holds the key before it submits or terminates anything.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    holder: Holder,
    targets: Vec<SearchTarget>,
    limits: Limits,
    lease: Millis,
    deadline: Millis,
    random: Random,
    /// Jobs that were submitted here. They count only if the record names them.
    own_jobs: Vec<OwnJob>,
    /// Lost attempts whose jobs are unknown, because the key was lost meanwhile.
    lost_attempts: Vec<LostAttempt>,
    /// The version of a held key that was read last, and the time at which it was read first.
    watched: Option<(ETag, Millis)>,
    waits_for: Option<String>,
    /// The time of the last reply to a call.
    replied_at: Millis,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// The record is being written, to take the key.
    Taking {
        put: Put,
        takeover: Option<Takeover>,
    },
    Reading,
    /// The record is read again at this time.
    Waiting(Millis),
    /// A search for the jobs of a dead holder.
    Searching(Box<OrphanSearch>),
    /// Jobs that were submitted here and are not in the record are being terminated. Each comes
    /// with the job that is kept.
    Terminating {
        duplicates: Vec<(Submitted, Submitted)>,
        then: AfterTermination,
        attempts: u32,
        until: Option<Millis>,
    },
    Describing(RecordedJobs),
    Holding(Box<HeldKey>),
    Ended,
}

/// A key that is taken over from a holder that is dead, or only slow.
#[derive(Debug, Clone, Default)]
struct Takeover {
    /// The requests that have more than one job.
    duplicated: Vec<usize>,
}

/// The step that follows when the duplicates have been terminated.
#[derive(Debug, Clone)]
enum AfterTermination {
    /// Describe the recorded jobs.
    Describe(Box<RecordedJobs>),
    /// Submit the jobs that the record lacks.
    Submit(Box<HeldKey>),
}

/// A job that was submitted here.
#[derive(Debug, Clone)]
struct OwnJob {
    /// The index of its request.
    at: usize,
    mark: SubmissionId,
    job: Submitted,
}

/// A lost attempt while another process may have submitted with the same mark. A job with the mark
/// need not be that of the attempt.
#[derive(Debug, Clone)]
struct LostAttempt {
    at: usize,
    target: SearchTarget,
    mark: SubmissionId,
    since: Millis,
}

/// A record that is being written.
#[derive(Debug, Clone)]
struct Put {
    record: Record,
    over: Option<ETag>,
    /// The time at which it was sent.
    begun: Millis,
    /// Whether the record is being read, because the condition did not hold. This process may have
    /// written it itself, as the SDK repeats a put whose reply was lost.
    checking: bool,
}

/// The next step of a put.
enum PutStep {
    Call(Action),
    Written(ETag),
    /// Another process has written the record.
    Conflict,
    Failed(FailedCall),
}

/// The search for the jobs of a dead holder, or for those of our own lost attempts.
#[derive(Debug, Clone)]
struct OrphanSearch {
    /// The record of the dead holder; `None` for our own jobs.
    orphaned: Option<(Record, ETag)>,
    /// One search for each target; the first one is under way.
    searches: Vec<Search>,
    done: Vec<Search>,
    failed: u32,
    pauses: PassPauses,
    until: Option<Millis>,
}

/// The jobs that a record names.
#[derive(Debug, Clone)]
struct RecordedJobs {
    record: Record,
    etag: ETag,
    jobs: Vec<Submitted>,
    begun: Millis,
    /// The state of each job that was described.
    states: Vec<(String, JobState)>,
    /// How many jobs DescribeJobs has been asked for, and since when.
    asked: usize,
    asked_at: Millis,
    until: Option<Millis>,
}

/// A key that this process holds.
#[derive(Debug, Clone)]
struct HeldKey {
    record: Record,
    etag: ETag,
    /// The takeover by which the key came here: the former holder may be submitting with its marks.
    takeover: Option<Takeover>,
    /// The last time at which this process certainly held the key. It is the time before the put,
    /// not after it.
    verified_at: Millis,
    next_heartbeat: Millis,
    /// The write of the record that is under way.
    put: Option<Put>,
    /// The submission that is under way.
    submission: Option<Submission>,
    /// The index of its request.
    at: usize,
    /// The lost attempts.
    lost_attempts: Vec<LostAttempt>,
    /// Actions that are executed once the record is written.
    deferred: Vec<Action>,
    /// The reason why the next write is the last one.
    final_write: Option<FinalWrite>,
    until: Option<Millis>,
}

#[derive(Debug, Clone)]
enum FinalWrite {
    /// All jobs have been submitted.
    Submitted,
    /// The submission failed, and the key is freed.
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

    fn on_reply(&mut self, reply: Result<Option<ETag>, FailedCall>) -> PutStep {
        match reply {
            Ok(Some(etag)) => PutStep::Written(etag),
            Ok(None) => {
                self.checking = true;
                PutStep::Call(Action::GetRecord)
            }
            Err(error) => PutStep::Failed(error),
        }
    }

    fn on_read(&mut self, reply: Result<Option<(Record, ETag)>, FailedCall>) -> PutStep {
        self.checking = false;
        match reply {
            // An earlier record of this process may have arrived late. It has other marks, or fewer
            // jobs.
            Ok(Some((now, etag)))
                if now == self.record
                    || (now.beat == self.record.beat
                        && now.holder == self.record.holder
                        && has(Bug::AnyRecordOfOurs)) =>
            {
                PutStep::Written(etag)
            }
            Ok(Some((now, etag))) if now.holder == self.record.holder => {
                self.over = Some(etag);
                PutStep::Call(self.action())
            }
            Ok(_) => PutStep::Conflict,
            Err(error) => PutStep::Failed(error),
        }
    }
}

impl KeyHolder {
    /// Takes the key at the time `now`, for requests whose jobs are searched for at these targets.
    pub fn new(
        holder: Holder,
        targets: Vec<SearchTarget>,
        limits: Limits,
        random: Random,
        now: Millis,
    ) -> Self {
        let lease = if has(Bug::ShortLease) { 1 } else { LEASE_SETTLE_TIMES };
        Self {
            holder,
            targets,
            limits,
            lease: (limits.settle * lease).max(SHORTEST_LEASE),
            deadline: now + limits.submit_timeout,
            random,
            own_jobs: Vec::new(),
            lost_attempts: Vec::new(),
            watched: None,
            waits_for: None,
            replied_at: now,
            state: State::Reading,
        }
    }

    /// How far the submission that is under way has come.
    pub fn status(&self) -> SubmissionStatus {
        match &self.state {
            State::Holding(held) => match &held.submission {
                Some(submission) => submission.status(),
                None => SubmissionStatus::Ended,
            },
            _ => SubmissionStatus::Ended,
        }
    }

    /// The submission that is under way: the index of its request, and its mark.
    pub fn under_way(&self) -> Option<(usize, &SubmissionId)> {
        match &self.state {
            State::Holding(held) => held.submission.as_ref().map(|s| (held.at, s.mark())),
            _ => None,
        }
    }

    /// The holder of the key, `user@host`, while this process waits for it.
    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// The jobs that have been submitted so far.
    pub fn submitted(&self) -> impl Iterator<Item = &Submitted> {
        self.own_jobs.iter().map(|own| &own.job)
    }

    /// Processes an event, and returns the actions that follow.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Action> {
        if matches!(event, Event::Put(Ok(_)) | Event::Record(Ok(_)) | Event::Described(Ok(_))) {
            self.replied_at = now;
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Holding(held) => self.on_holding_event(now, event, *held),
            State::Taking { mut put, takeover } => {
                let written = match event {
                    Event::Put(reply) if !put.checking => put.on_reply(reply),
                    Event::Record(reply) if put.checking => put.on_read(reply),
                    _ => return self.stay(State::Taking { put, takeover }),
                };
                match written {
                    PutStep::Call(action) => self.go(State::Taking { put, takeover }, action),
                    PutStep::Written(etag) if put.record.key_state() == KeyState::Held => {
                        self.begin_holding(now, put, etag, takeover)
                    }
                    PutStep::Written(_) | PutStep::Conflict => self.read_record(),
                    PutStep::Failed(error) => self.on_call_failed(now, error),
                }
            }
            State::Reading => match event {
                // The first step assumes that the key is free, and takes it.
                Event::Begun => {
                    let fresh = self.fresh(now);
                    self.take_key(now, fresh, None, None)
                }
                Event::Record(Ok(None)) => {
                    let fresh = self.fresh(now);
                    self.take_key(now, fresh, None, None)
                }
                Event::Record(Ok(Some((record, etag)))) => self.on_record_read(now, record, etag),
                Event::Record(Err(error)) => self.on_call_failed(now, error),
                _ => self.stay(State::Reading),
            },
            State::Waiting(until) if now >= until => self.read_record(),
            State::Waiting(until) => self.stay(State::Waiting(until)),
            State::Searching(orphans) => self.on_search_event(now, event, orphans),
            State::Terminating { duplicates, then, attempts, until } => {
                self.terminate(now, event, duplicates, then, (attempts, until))
            }
            State::Describing(recorded) => self.described(now, event, recorded),
            State::Ended => Vec::new(),
        }
    }

    // ---- Another process holds the key ----

    fn on_record_read(&mut self, now: Millis, record: Record, etag: ETag) -> Vec<Action> {
        if let Some(since) = self.lost_attempts.iter().map(|attempt| attempt.since).max() {
            let settled = since + 2 * self.limits.settle;
            if now < settled {
                return self.go(State::Waiting(settled), Action::WakeAt(settled));
            }
            let targets = self.lost_attempts.iter().map(|attempt| attempt.target.clone()).collect();
            let since = self.lost_attempts.iter().map(|attempt| attempt.since).min().unwrap_or(now);
            return self.search_targets(now, None, targets, since.min(record.since));
        }
        match record.key_state() {
            KeyState::Free => {
                let next = record.replaced_by(self.fresh(now));
                self.take_key(now, next, Some(etag), None)
            }
            KeyState::Submitted(jobs) => {
                let recorded = RecordedJobs {
                    record,
                    etag,
                    jobs,
                    begun: now,
                    states: Vec::new(),
                    asked: 0,
                    asked_at: now,
                    until: None,
                };
                let duplicates = self.own_duplicates(&recorded.record);
                self.terminate_next(now, duplicates, AfterTermination::Describe(Box::new(recorded)), 0)
            }
            KeyState::Held => {
                let since = match &self.watched {
                    Some((version, since)) if *version == etag => *since,
                    _ => self.watched.insert((etag.clone(), now)).1,
                };
                if now - since < self.lease && !self.is_expired(now, &record) {
                    self.waits_for = Some(record.by);
                    return self.wait(now);
                }
                self.search_orphans(now, record, etag)
            }
        }
    }

    /// Whether a record was written so long ago that its holder is dead, even with the largest
    /// error of our clock.
    fn is_expired(&self, now: Millis, record: &Record) -> bool {
        let skew = if has(Bug::LeaseWithoutSkew) { 0 } else { CLOCK_SKEW };
        now - record.written > self.lease + skew
    }

    /// Searches for the jobs of a dead holder.
    fn search_orphans(&mut self, now: Millis, record: Record, etag: ETag) -> Vec<Action> {
        let targets =
            record.jobs.iter().filter(|entry| entry.job_id.is_none()).map(JobEntry::target).collect();
        let since = record.since;
        self.search_targets(now, Some((record, etag)), targets, since)
    }

    fn search_targets(
        &mut self,
        now: Millis,
        orphaned: Option<(Record, ETag)>,
        targets: Vec<SearchTarget>,
        since: Millis,
    ) -> Vec<Action> {
        let mut searches: Vec<Search> = Vec::new();
        for target in targets {
            if searches.iter().all(|search| *search.target() != target) {
                searches.push(Search::new(&target, since, now));
            }
        }
        let pauses = PassPauses::new(self.limits.settle);
        let orphans = OrphanSearch { orphaned, searches, done: Vec::new(), failed: 0, pauses, until: None };
        self.search_next(now, Box::new(orphans))
    }

    fn search_next(&mut self, now: Millis, mut orphans: Box<OrphanSearch>) -> Vec<Action> {
        match orphans.searches.first_mut() {
            Some(search) => {
                let action = search.begin_pass(None);
                self.go(State::Searching(orphans), action)
            }
            None => self.take_over(now, *orphans),
        }
    }

    fn on_search_event(&mut self, now: Millis, event: Event, mut orphans: Box<OrphanSearch>) -> Vec<Action> {
        let Some(search) = orphans.searches.first_mut() else { return self.take_over(now, *orphans) };
        let step = match event {
            Event::Listed(reply) => search.listed(reply),
            Event::Described(reply) => search.described(reply),
            Event::Woken if orphans.until.is_some_and(|until| now >= until) => {
                orphans.until = None;
                return self.search_next(now, orphans);
            }
            _ => return self.stay(State::Searching(orphans)),
        };
        match step {
            SearchStep::Call(action) => self.go(State::Searching(orphans), action),
            SearchStep::Complete => {
                let search = orphans.searches.remove(0);
                orphans.done.push(search);
                self.search_next(now, orphans)
            }
            SearchStep::Failed(error) => {
                orphans.failed += 1;
                // Batch does reply when only a description is missing.
                let has_replied = matches!(error, SearchError::Undescribed(_)) && now < self.deadline;
                if !error.is_retryable() || orphans.failed >= FAILED_PASSES && !has_replied {
                    return self.end(Outcome::SearchFailed { target: search.target().clone(), error });
                }
                let at = orphans.pauses.next(now, now);
                orphans.until = Some(at);
                self.go(State::Searching(orphans), Action::WakeAt(at))
            }
        }
    }

    /// Takes the key over from a dead holder, with the jobs that the search has found. The holder
    /// may still be submitting, if it was only slow.
    fn take_over(&mut self, now: Millis, orphans: OrphanSearch) -> Vec<Action> {
        let OrphanSearch { orphaned, done, .. } = orphans;
        let Some((mut record, etag)) = orphaned else { return self.adopt_lost_jobs(&done) };
        let mut there = Vec::new();
        let mut takeover = Takeover::default();
        for (at, entry) in record.jobs.iter_mut().enumerate() {
            let target = entry.target();
            let search = done.iter().find(|search| *search.target() == target);
            let found = search.map(|search| search.jobs_with(&entry.mark)).unwrap_or_default();
            let mut found: Vec<&Submitted> = found.into_iter().map(|found| &found.job).collect();
            // A job of our own may not be listed yet.
            for own in self.own_jobs.iter().filter(|own| own.mark == entry.mark) {
                if found.iter().all(|job| job.job_id != own.job.job_id) {
                    found.push(&own.job);
                }
            }
            match (found.as_slice(), entry.submitted()) {
                (_, Some(job)) => there.push(job),
                ([one], None) => {
                    there.push((*one).clone());
                    entry.set_job(one);
                }
                ([first, ..], None) => {
                    // All but one are terminated once this process holds the key.
                    there.push((*first).clone());
                    match has(Bug::OrphanedDuplicateLeft) {
                        true => entry.set_job(first),
                        false => takeover.duplicated.push(at),
                    }
                }
                ([], None) => {}
            }
        }
        let fresh = self.fresh(now);
        if record.matches(&self.targets) || record.key_state() != KeyState::Held {
            let mut next = record.taken_over_by(fresh.clone());
            if has(Bug::NewMarksAtTakeover) {
                next.jobs
                    .iter_mut()
                    .zip(fresh.jobs)
                    .filter(|(e, _)| e.job_id.is_none())
                    .for_each(|(e, f)| *e = f);
            }
            self.take_key(now, next, Some(etag), Some(takeover))
        } else if there.is_empty() {
            let next = record.replaced_by(fresh);
            self.take_key(now, next, Some(etag), None)
        } else {
            self.end(Outcome::OtherJobs { by: record.by, total: record.jobs.len(), jobs: there })
        }
    }

    /// Adopts the jobs of our own lost attempts that the search has found.
    fn adopt_lost_jobs(&mut self, searches: &[Search]) -> Vec<Action> {
        for LostAttempt { at, target, mark, .. } in std::mem::take(&mut self.lost_attempts) {
            let search = searches.iter().find(|search| *search.target() == target);
            for found in search.map(|search| search.jobs_with(&mark)).unwrap_or_default() {
                self.own_jobs.push(OwnJob { at, mark: mark.clone(), job: found.job.clone() });
            }
        }
        self.read_record()
    }

    /// Our own jobs that the record does not name, each with the recorded job that is kept. They
    /// exist when another process took the key while this one was submitting: then only the
    /// recorded jobs count.
    fn own_duplicates(&self, record: &Record) -> Vec<(Submitted, Submitted)> {
        if has(Bug::LostKeyLeavesJob) {
            return Vec::new();
        }
        let recorded: Vec<Option<Submitted>> = record.jobs.iter().map(JobEntry::submitted).collect();
        let is_recorded =
            |job: &Submitted| recorded.iter().flatten().any(|recorded| recorded.job_id == job.job_id);
        let own = self.own_jobs.iter().filter(|own| !is_recorded(&own.job));
        let with_kept = own.filter_map(|own| {
            // If the key stands for other jobs by now, any of them.
            let kept = recorded.get(own.at).unwrap_or(recorded.first()?).clone()?;
            Some((own.job.clone(), kept))
        });
        with_kept.collect()
    }

    fn terminate_next(
        &mut self,
        now: Millis,
        duplicates: Vec<(Submitted, Submitted)>,
        then: AfterTermination,
        attempts: u32,
    ) -> Vec<Action> {
        let Some((duplicate, kept)) = duplicates.first().cloned() else {
            return match then {
                AfterTermination::Describe(recorded) => self.describe_all(now, *recorded),
                AfterTermination::Submit(held) => self.submit_next(now, held),
            };
        };
        let state = State::Terminating { duplicates, then, attempts: attempts + 1, until: None };
        self.go(state, Action::Terminate { duplicate, kept })
    }

    fn terminate(
        &mut self,
        now: Millis,
        event: Event,
        mut duplicates: Vec<(Submitted, Submitted)>,
        then: AfterTermination,
        (attempts, until): (u32, Option<Millis>),
    ) -> Vec<Action> {
        match event {
            Event::Terminated(Ok(())) => {
                let (duplicate, _) = duplicates.remove(0);
                self.own_jobs.retain(|own| own.job.job_id != duplicate.job_id);
                self.terminate_next(now, duplicates, then, 0)
            }
            Event::Terminated(Err(error)) => {
                if error.retryable && attempts < TERMINATE_ATTEMPTS && !has(Bug::TerminateOnce) {
                    let at = now + TERMINATE_PAUSE * Millis::from(attempts);
                    let state = State::Terminating { duplicates, then, attempts, until: Some(at) };
                    return self.go(state, Action::WakeAt(at));
                }
                let (duplicate, kept) = duplicates.remove(0);
                self.end(Outcome::NotTerminated { duplicate, kept, error })
            }
            Event::Woken if until.is_some_and(|until| now >= until) => {
                self.terminate_next(now, duplicates, then, attempts)
            }
            _ => self.stay(State::Terminating { duplicates, then, attempts, until }),
        }
    }

    /// Describes all recorded jobs.
    fn describe_all(&mut self, now: Millis, mut recorded: RecordedJobs) -> Vec<Action> {
        (recorded.asked, recorded.asked_at) = (0, now);
        recorded.states.clear();
        self.describe(recorded)
    }

    /// Describes the next of the recorded jobs.
    fn describe(&mut self, mut recorded: RecordedJobs) -> Vec<Action> {
        let ids = recorded.jobs.iter().map(|job| job.job_id.clone());
        let jobs: Vec<String> = ids.skip(recorded.asked).take(DESCRIBED_AT_ONCE).collect();
        recorded.asked += jobs.len();
        recorded.until = None;
        self.go(State::Describing(recorded), Action::Describe { jobs, target: None })
    }

    fn described(&mut self, now: Millis, event: Event, mut recorded: RecordedJobs) -> Vec<Action> {
        match event {
            Event::Described(Ok(jobs)) => {
                recorded.states.extend(jobs.into_iter().map(|job| (job.job.job_id, job.state)));
            }
            Event::Described(Err(error)) => return self.on_call_failed(now, error),
            Event::Woken if recorded.until.is_some_and(|until| now >= until) => {
                return self.describe_all(now, recorded);
            }
            _ => return self.stay(State::Describing(recorded)),
        }
        if recorded.asked < recorded.jobs.len() {
            return self.describe(recorded);
        }
        let RecordedJobs { record, etag, jobs, begun, states, asked_at, .. } = &recorded;
        let state_of = |job: &Submitted| states.iter().find(|(id, _)| *id == job.job_id).map(|(_, s)| *s);
        let known: Option<Vec<JobState>> = jobs.iter().map(state_of).collect();
        let Some(known) = known else {
            // Batch may not describe a job that was submitted just now.
            if asked_at - begun < 2 * self.limits.settle {
                let at = now + self.pause();
                recorded.until = Some(at);
                return self.go(State::Describing(recorded), Action::WakeAt(at));
            }
            return self.end(Outcome::JobsExpired { jobs: recorded.jobs });
        };
        let failed: Vec<String> = match known.contains(&JobState::Active) {
            true => Vec::new(),
            false => {
                let pairs = jobs.iter().zip(&known).filter(|(_, state)| **state == JobState::Failed);
                pairs.map(|(job, _)| job.job_id.clone()).collect()
            }
        };
        if failed.is_empty() {
            let earlier = !self.own_jobs.iter().any(|own| jobs.contains(&own.job));
            return self.end(Outcome::Submitted { jobs: recorded.jobs, earlier, unrecorded: None });
        }
        let next = match record.matches(&self.targets) {
            true => record.resubmitting(self.fresh(now), &failed),
            false => record.replaced_by(self.fresh(now)),
        };
        let etag = etag.clone();
        self.take_key(now, next, Some(etag), None)
    }

    // ---- This process holds the key ----

    fn begin_holding(
        &mut self,
        now: Millis,
        put: Put,
        etag: ETag,
        takeover: Option<Takeover>,
    ) -> Vec<Action> {
        self.watched = None;
        self.waits_for = None;
        let next_heartbeat = now + self.lease / HEARTBEATS_PER_LEASE;
        let held = HeldKey {
            record: put.record,
            etag,
            takeover,
            verified_at: put.begun,
            next_heartbeat,
            put: None,
            submission: None,
            at: 0,
            lost_attempts: Vec::new(),
            deferred: Vec::new(),
            final_write: None,
            until: None,
        };
        let mut actions = vec![Action::WakeAt(next_heartbeat)];
        let duplicates = self.own_duplicates(&held.record);
        actions.extend(self.terminate_next(now, duplicates, AfterTermination::Submit(Box::new(held)), 0));
        actions
    }

    /// Submits the next job that the record lacks. When it lacks none, writes the record.
    fn submit_next(&mut self, now: Millis, mut held: Box<HeldKey>) -> Vec<Action> {
        let lacking = held.record.jobs.iter().position(|entry| entry.job_id.is_none());
        let Some((at, target)) = lacking.and_then(|at| Some((at, self.targets.get(at)?.clone()))) else {
            held.submission = None;
            held.final_write = Some(FinalWrite::Submitted);
            return self.write(now, held);
        };
        let mark = held.record.jobs[at].mark.clone();
        let random = Random::new(self.random.next());
        let mut submission = Submission::new((at, &target), mark, self.limits, random, now);
        if let Some(Takeover { duplicated }) = &held.takeover {
            submission = submission.with_shared_mark(&target, held.record.since, now);
            if duplicated.contains(&at) {
                submission = submission.with_duplicates(now);
            }
        }
        held.at = at;
        let actions = submission.step(now, Event::Begun);
        held.submission = Some(submission);
        self.relay(now, held, actions)
    }

    fn on_holding_event(&mut self, now: Millis, event: Event, mut held: HeldKey) -> Vec<Action> {
        match event {
            Event::Put(_) | Event::Record(_) => {
                let Some(mut put) = held.put.take() else {
                    return self.stay(State::Holding(Box::new(held)));
                };
                let written = match event {
                    Event::Put(reply) if !put.checking => put.on_reply(reply),
                    Event::Record(reply) if put.checking => put.on_read(reply),
                    _ => {
                        held.put = Some(put);
                        return self.stay(State::Holding(Box::new(held)));
                    }
                };
                match written {
                    PutStep::Call(action) => {
                        held.put = Some(put);
                        self.go(State::Holding(Box::new(held)), action)
                    }
                    PutStep::Written(etag) => {
                        (held.etag, held.verified_at) = (etag, put.begun);
                        self.on_record_written(now, held, put)
                    }
                    PutStep::Conflict => self.on_key_lost(held),
                    PutStep::Failed(error) => self.on_write_failed(now, held, error),
                }
            }
            Event::Woken => {
                let mut actions = Vec::new();
                let mut is_due = held.until.take_if(|until| now >= *until).is_some();
                if now >= held.next_heartbeat && held.final_write.is_none() {
                    held.next_heartbeat = now + self.lease / HEARTBEATS_PER_LEASE;
                    actions.push(Action::WakeAt(held.next_heartbeat));
                    is_due = true;
                }
                if is_due && held.put.is_none() {
                    actions.push(self.heartbeat(now, &mut held));
                }
                actions.extend(self.forward(now, held, Event::Woken));
                actions
            }
            event => self.forward(now, held, event),
        }
    }

    fn forward(&mut self, now: Millis, mut held: HeldKey, event: Event) -> Vec<Action> {
        let actions = match &mut held.submission {
            Some(submission) if held.deferred.is_empty() => submission.step(now, event),
            _ => Vec::new(),
        };
        self.relay(now, Box::new(held), actions)
    }

    /// Passes on the actions of the submission.
    fn relay(&mut self, now: Millis, mut held: Box<HeldKey>, actions: Vec<Action>) -> Vec<Action> {
        let mut relayed = Vec::new();
        for action in actions {
            match action {
                Action::Done(outcome) => {
                    relayed.extend(self.on_submission_ended(now, held, outcome));
                    return relayed;
                }
                // A process that was stopped for a while may have lost the key.
                Action::Submit { .. } if self.must_verify_key(now, &held) => held.deferred.push(action),
                // Another process may hold the key, and may have recorded another job than the one
                // that is kept here.
                Action::Terminate { .. } if !has(Bug::NoFence) => held.deferred.push(action),
                action => relayed.push(action),
            }
        }
        if !held.deferred.is_empty() && held.put.is_none() {
            relayed.push(self.heartbeat(now, &mut held));
        }
        self.state = State::Holding(held);
        relayed
    }

    fn must_verify_key(&self, now: Millis, held: &HeldKey) -> bool {
        now - held.verified_at > self.lease / 2 && !has(Bug::NoFence)
    }

    fn heartbeat(&self, now: Millis, held: &mut HeldKey) -> Action {
        held.record.renew(now);
        let (put, action) = Put::begin(now, held.record.clone(), Some(held.etag.clone()));
        held.put = Some(put);
        action
    }

    fn on_submission_ended(&mut self, now: Millis, mut held: Box<HeldKey>, outcome: Outcome) -> Vec<Action> {
        if let Outcome::Submitted { jobs, .. } = &outcome
            && let Some(job) = jobs.first()
        {
            self.note_lost_attempt(&mut held);
            let entry = &mut held.record.jobs[held.at];
            entry.set_job(job);
            self.own_jobs.push(OwnJob { at: held.at, mark: entry.mark.clone(), job: job.clone() });
            return self.submit_next(now, held);
        }
        let is_certain = |not_submitted: &NotSubmitted| !not_submitted.keeps_key;
        let nothing_is_there = held.record.jobs.iter().all(|entry| entry.job_id.is_none());
        let is_free = match &outcome {
            Outcome::Rejected(not_submitted)
            | Outcome::TimedOut(not_submitted)
            | Outcome::NoReply(not_submitted) => is_certain(not_submitted),
            _ => false,
        };
        if !is_free || held.takeover.is_some() || !nothing_is_there {
            return self.end(keeping_key(outcome));
        }
        held.submission = None;
        held.record.jobs.clear();
        held.final_write = Some(FinalWrite::Failed(outcome));
        self.write(now, held)
    }

    /// Notes that the last attempt of the submission was lost, if it was.
    fn note_lost_attempt(&self, held: &mut HeldKey) {
        let submission = held.submission.as_ref();
        if let Some((submission, since)) = submission.and_then(|s| Some((s, s.lost_since()?)))
            && let Some(target) = self.targets.get(held.at).filter(|_| !has(Bug::FoundIsOurs))
        {
            let (target, mark) = (target.clone(), submission.mark().clone());
            held.lost_attempts.push(LostAttempt { at: held.at, target, mark, since });
        }
    }

    /// Writes the record, as soon as no other put is under way.
    fn write(&mut self, now: Millis, mut held: Box<HeldKey>) -> Vec<Action> {
        let mut actions = Vec::new();
        if held.put.is_none() {
            actions.push(self.heartbeat(now, &mut held));
        }
        self.state = State::Holding(held);
        actions
    }

    /// The record has been written, and this process holds the key.
    fn on_record_written(&mut self, now: Millis, mut held: HeldKey, put: Put) -> Vec<Action> {
        let is_last = put.record.beat == held.record.beat && put.record.jobs == held.record.jobs;
        match held.final_write.take() {
            Some(final_write) if !is_last => {
                held.final_write = Some(final_write);
                self.write(now, Box::new(held))
            }
            Some(FinalWrite::Submitted) => {
                let jobs: Vec<Submitted> = held.record.jobs.iter().filter_map(JobEntry::submitted).collect();
                // If the key was lost for a while, another process may have recorded another job.
                if !self.own_duplicates(&held.record).is_empty() {
                    return self.read_record();
                }
                self.end(Outcome::Submitted { jobs, earlier: false, unrecorded: None })
            }
            Some(FinalWrite::Failed(outcome)) => self.end(outcome),
            None => {
                let released = std::mem::take(&mut held.deferred);
                self.go_all(State::Holding(Box::new(held)), released)
            }
        }
    }

    /// Another process holds the key.
    fn on_key_lost(&mut self, mut held: HeldKey) -> Vec<Action> {
        match held.final_write {
            // The rejection is certain, whichever process holds the key.
            Some(FinalWrite::Failed(outcome)) => self.end(outcome),
            Some(FinalWrite::Submitted) if has(Bug::ConflictIgnored) => {
                let jobs = held.record.jobs.iter().filter_map(JobEntry::submitted).collect();
                self.end(Outcome::Submitted { jobs, earlier: false, unrecorded: None })
            }
            Some(FinalWrite::Submitted) => {
                self.lost_attempts.extend(held.lost_attempts);
                self.read_record()
            }
            // No call is under way whose job could be forgotten.
            None if !held.deferred.is_empty() => {
                self.note_lost_attempt(&mut held);
                self.lost_attempts.append(&mut held.lost_attempts);
                if let Some(submission) = &held.submission {
                    let (at, mark) = (held.at, submission.mark());
                    self.own_jobs.extend(submission.jobs().into_iter().map(|job| OwnJob {
                        at,
                        mark: mark.clone(),
                        job,
                    }));
                }
                self.read_record()
            }
            // The loss is noticed again at the end, or before the next call that needs the key.
            None => self.stay(State::Holding(Box::new(HeldKey { verified_at: Millis::MIN / 2, ..held }))),
        }
    }

    fn on_write_failed(&mut self, now: Millis, mut held: HeldKey, error: FailedCall) -> Vec<Action> {
        match held.final_write.take() {
            // Other processes wait a little before they search for jobs that do not exist.
            Some(FinalWrite::Failed(outcome)) => self.end(outcome),
            Some(FinalWrite::Submitted) => {
                let jobs: Vec<Submitted> = held.record.jobs.iter().filter_map(JobEntry::submitted).collect();
                // The jobs exist, and the next holder finds them by their marks.
                if now - held.verified_at < self.lease {
                    return self.end(Outcome::Submitted { jobs, earlier: false, unrecorded: Some(error) });
                }
                // Another process may have taken the key, and may have recorded other jobs.
                if !error.retryable || now >= self.deadline {
                    return self.end(Outcome::RecordFailed { error, jobs });
                }
                held.final_write = Some(FinalWrite::Submitted);
                self.write_later(now, held)
            }
            // It was a heartbeat. The next one comes soon.
            None if held.deferred.is_empty() => self.stay(State::Holding(Box::new(held))),
            None if !error.retryable || now >= self.deadline => {
                let own = self.own_jobs.iter().map(|own| own.job.clone());
                let found = held.submission.map(|submission| submission.jobs()).unwrap_or_default();
                let jobs = own.chain(found).collect();
                self.end(Outcome::RecordFailed { error, jobs })
            }
            None => self.write_later(now, held),
        }
    }

    fn write_later(&mut self, now: Millis, mut held: HeldKey) -> Vec<Action> {
        let at = now + self.pause();
        held.until = Some(at);
        self.go(State::Holding(Box::new(held)), Action::WakeAt(at))
    }

    // ---- Both ----

    fn fresh(&mut self, now: Millis) -> Record {
        Record::new(&self.holder, now, &self.targets, &mut self.random)
    }

    fn take_key(
        &mut self,
        now: Millis,
        record: Record,
        over: Option<ETag>,
        takeover: Option<Takeover>,
    ) -> Vec<Action> {
        let (put, action) = Put::begin(now, record, over);
        self.go(State::Taking { put, takeover }, action)
    }

    fn read_record(&mut self) -> Vec<Action> {
        self.go(State::Reading, Action::GetRecord)
    }

    fn wait(&mut self, now: Millis) -> Vec<Action> {
        let at = now + self.pause();
        self.go(State::Waiting(at), Action::WakeAt(at))
    }

    fn pause(&self) -> Millis {
        POLL_INTERVAL.min(self.lease / HEARTBEATS_PER_LEASE)
    }

    /// A call that is needed to take the key has failed. With a job of our own that may be a
    /// duplicate, the call is repeated until the deadline.
    fn on_call_failed(&mut self, now: Millis, error: FailedCall) -> Vec<Action> {
        let may_pass =
            now - self.replied_at < RETRY_PERIOD || !self.own_jobs.is_empty() && now < self.deadline;
        if error.retryable && may_pass {
            return self.wait(now);
        }
        let jobs = self.own_jobs.iter().map(|own| own.job.clone()).collect();
        self.end(Outcome::RecordFailed { error, jobs })
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

/// The outcome, with the key still taken.
fn keeping_key(mut outcome: Outcome) -> Outcome {
    if let Outcome::Rejected(not_submitted)
    | Outcome::TimedOut(not_submitted)
    | Outcome::NoReply(not_submitted) = &mut outcome
    {
        not_submitted.keeps_key = true;
    }
    outcome
}
