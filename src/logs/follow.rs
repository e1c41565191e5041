//! Following jobs: their lines as they come, until the last one after the job has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{Event, Place, Wanted};
use super::many;
use super::merge::FEW;
use super::read::{Page, Reader};
use super::tail::{self, End};
use super::window::is_full;
use crate::aws::Contact;
use crate::batch::{self, Job, PollInterval};
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// CloudWatch Logs answers 10 to 25 reads per second and account: a chatty job may not take them all.
pub(super) const CHATTY: Duration = Duration::from_millis(400);
/// Right after the start, when most jobs print for the first time.
const FRESH: Duration = Duration::from_millis(50);
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Of a stream that is still written, so many pages are read before it is another's turn.
pub(super) const PAGES: usize = 20;

/// When an array has ended, its last children are listed within this time.
pub(super) const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// What of a job is followed.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    /// Which lines are wanted.
    pub wanted: Wanted,
    /// Of the lines that are there already, so many of the last ones; all of them without.
    pub tail: Option<usize>,
    /// When the job has ended and its log group was never there, that is a failure, and not a job without lines.
    pub needs_group: bool,
}

/// A job that has been followed to its end.
#[derive(Debug)]
pub struct Ended {
    /// The job.
    pub job: Job,
    /// The log streams that it names and that are not there.
    pub missing: Vec<Arc<Place>>,
}

/// What is known of the log group.
#[derive(Debug, Default)]
pub(super) struct Group {
    was_there: bool,
    missing: Option<Failure>,
}

impl Group {
    /// It has answered.
    pub fn is_there(&mut self) {
        self.was_there = true;
    }

    /// It was not there: Batch makes it with the first job that prints.
    pub fn is_missing(&mut self, failure: Failure) {
        self.missing = Some(failure);
    }

    /// A group that never was there, at the end.
    pub fn end(self, followed: &Followed) -> Result<(), Failure> {
        match self.missing {
            Some(failure) if followed.needs_group && !self.was_there => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The lines of one job: its attempts' streams, one after the other.
#[derive(Debug, Default)]
struct JobLog {
    readers: Vec<Reader>,
    ended_at: Option<Instant>,
    done: bool,
    /// Its streams that were not there when they were last looked for.
    missing: Vec<Arc<Place>>,
}

/// Follows a job, or all children of an array, and hands every page of lines to `print` until the job has
/// ended and its last line was seen. `seen` is called when the job's state, or the reason for it, has
/// changed.
///
/// # Errors
/// When the job is not known, contact was lost for good, or `print` fails; when the log group never was there, if it
/// is needed.
pub async fn follow(
    contact: &mut Contact,
    id: &JobId,
    followed: &Followed,
    mut seen: impl FnMut(&Job),
    mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    let wanted = &followed.wanted;
    let mut state = State::new();
    let mut logs: BTreeMap<JobId, JobLog> = BTreeMap::new();
    let mut lines = PollInterval::new(FRESH, QUIET);
    let mut first = followed.tail;
    let mut group = Group::default();
    loop {
        if state.look(contact, id, &mut seen).await? {
            lines.quicken();
        }
        if let Some(job) = state.job.clone() {
            if job.parts().is_some_and(|parts| parts as usize > FEW) || wanted.pattern.is_some() {
                return many::follow(contact, state, followed, seen, print).await;
            }
            let writers = writers(contact, &job, &logs, wanted).await?;
            if let Some(n) = first.take() {
                print(&begin_at_tail(contact, &writers, wanted, n, &mut logs).await?)?;
            }
            for writer in writers {
                let log = logs.entry(writer.id()).or_default();
                if log.read(contact, &writer, wanted, &mut group, &mut print).await? {
                    lines.quicken();
                }
            }
            let all_seen = logs.len() >= expected(&job, wanted) || state.ended_before(LISTED_WITHIN);
            if job.status.has_ended() && all_seen && logs.values().all(|l| l.done) {
                let missing = logs.into_values().flat_map(|log| log.missing).collect();
                return group.end(followed).map(|()| Ended { job, missing });
            }
        }
        let shortest = if state.begun.elapsed() < Duration::from_secs(3) { FRESH } else { CHATTY };
        tokio::time::sleep(lines.pause().max(shortest)).await;
    }
}

/// The state of the job that is followed, asked for again and again.
#[derive(Debug)]
pub(super) struct State {
    pub job: Option<Job>,
    begun: Instant,
    pace: PollInterval,
    look_at: Instant,
    known_at: Instant,
    ended_at: Option<Instant>,
}

impl State {
    fn new() -> Self {
        let begun = Instant::now();
        Self {
            job: None,
            begun,
            pace: PollInterval::default(),
            look_at: begun,
            known_at: begun,
            ended_at: None,
        }
    }

    /// Asks for the job, if it is time to. Says whether its state, or the reason for it, has changed.
    pub async fn look(
        &mut self,
        contact: &mut Contact,
        id: &JobId,
        seen: &mut impl FnMut(&Job),
    ) -> Result<bool, Failure> {
        let mut changed = false;
        if self.ended_at.is_none() && Instant::now() >= self.look_at {
            if let Some(job) = batch::look(contact, id, self.known_at).await? {
                self.known_at = Instant::now();
                self.ended_at = job.status.has_ended().then_some(self.known_at);
                let state = |j: &Job| (j.status, j.status_reason.clone());
                if self.job.as_ref().map(state) != Some(state(&job)) {
                    seen(&job);
                    self.pace.quicken();
                    changed = true;
                }
                self.job = Some(job);
            }
            self.look_at = Instant::now() + self.pace.pause();
        }
        Ok(changed)
    }

    /// Whether the job was seen to have ended so long ago.
    pub fn ended_before(&self, time: Duration) -> bool {
        self.ended_at.is_some_and(|at| at.elapsed() > time)
    }
}

/// How many jobs have lines, when all have started that will.
pub(super) fn expected(job: &Job, wanted: &Wanted) -> usize {
    let all = job.parts().map_or(1, |n| n as usize);
    let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.as_ref());
    let failed = summary.filter(|_| wanted.failed).and_then(|s| s.get("FAILED"));
    let failed = failed.and_then(|n| usize::try_from(*n).ok()).unwrap_or(all);
    match (&wanted.indices, job.parts()) {
        (Some(indices), Some(parts)) => indices.iter().filter(|i| **i < parts).count().min(failed),
        _ => all.min(failed),
    }
}

/// The jobs that may have lines which were not read: the job itself, or the children of an array that have
/// started and are not done with.
async fn writers(
    contact: &mut Contact,
    job: &Job,
    logs: &BTreeMap<JobId, JobLog>,
    wanted: &Wanted,
) -> Result<Vec<Job>, Failure> {
    let is_done = |id: &JobId| logs.get(id).is_some_and(|l| l.done);
    if job.parts().is_none() {
        return Ok(if is_done(&job.id()) { Vec::new() } else { vec![job.clone()] });
    }
    let started = [Status::Starting, Status::Running, Status::Succeeded, Status::Failed];
    let started = if wanted.failed { &started[3..] } else { &started[..] };
    let children = contact.keep(async |s| batch::parts(s, job, started).await).await?;
    let is_wanted = |id: &JobId| wanted.has_part(id.part()) && !is_done(id);
    let ids: Vec<JobId> = children.iter().map(Job::id).filter(is_wanted).collect();
    let details = contact.keep(async |s| batch::describe(s, &ids).await).await?;
    Ok(details.into_iter().flatten().collect())
}

/// The last lines of those that are there, by time; reading goes on behind them.
async fn begin_at_tail(
    contact: &mut Contact,
    writers: &[Job],
    wanted: &Wanted,
    lines: usize,
    logs: &mut BTreeMap<JobId, JobLog>,
) -> Result<Vec<Event>, Failure> {
    let mut all = Vec::new();
    for writer in writers {
        let log = logs.entry(writer.id()).or_default();
        for place in Place::all_of(writer, contact.session(), wanted.attempt) {
            let end = contact.keep(async |s| tail::of_stream(s, &place, wanted.since, lines).await).await?;
            if let End::Lines(lines, reader) = end {
                all.extend(lines);
                log.readers.push(reader);
            }
        }
    }
    tail::cut(&mut all, lines);
    Ok(all)
}

impl JobLog {
    /// Reads what is there: of a stream that is still written perhaps not all, or there might be no end to it. Says
    /// whether there was anything.
    async fn read(
        &mut self,
        contact: &mut Contact,
        job: &Job,
        wanted: &Wanted,
        group: &mut Group,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        for place in Place::all_of(job, contact.session(), wanted.attempt) {
            if !self.readers.iter().any(|reader| reader.place.stream == place.stream) {
                self.readers.push(Reader::new(place, wanted.since));
            }
        }
        if job.status.has_ended() && self.ended_at.is_none() {
            self.ended_at = Some(Instant::now());
        }
        let settled = has_settled(job, self.ended_at, contact);
        let mut any = false;
        let earlier = self.readers.len().saturating_sub(1);
        self.missing.clear();
        for (n, reader) in self.readers.iter_mut().enumerate() {
            // An earlier attempt has ended, and its lines come before those of the next.
            let has_end = settled || n < earlier;
            for page_number in 1.. {
                match reader.next_of(contact).await? {
                    Page::Lines(events) => {
                        group.is_there();
                        any |= !events.is_empty();
                        print(&events)?;
                        let is_live = !events.is_empty() && !is_full(&events);
                        if !has_end && (is_live || page_number >= PAGES) {
                            break;
                        }
                    }
                    Page::End => {
                        group.is_there();
                        break;
                    }
                    Page::NoStream => {
                        group.is_there();
                        self.missing.push(reader.place.clone());
                        break;
                    }
                    Page::NoGroup(failure) => {
                        group.is_missing(failure);
                        break;
                    }
                }
            }
        }
        // What was settled before this reading has been read to its end by it. Where lines come this late, more may.
        let is_late = any && is_late(job, contact);
        if is_late && self.ended_at.is_some() {
            self.ended_at = Some(Instant::now());
        }
        self.done = settled && !is_late;
        Ok(any)
    }
}

/// Whether no line of a job can still be on its way, which was first seen to have ended at some time.
pub(super) fn has_settled(job: &Job, ended_at: Option<Instant>, contact: &Contact) -> bool {
    let settle = contact.session().cluster.log_settle;
    ended_long_ago(job) || ended_at.is_some_and(|at| at.elapsed() >= settle)
}

/// Whether lines that have just come have come late, if the job had ended.
pub(super) fn is_late(job: &Job, contact: &Contact) -> bool {
    !contact.session().cluster.log_settle.is_zero() && !ended_long_ago(job)
}

/// Whether a job ended so long ago that no line can still be on its way. The clocks of this machine and of AWS
/// may differ, so less than some minutes says nothing.
fn ended_long_ago(job: &Job) -> bool {
    let now = jiff::Timestamp::now().as_millisecond();
    job.status.has_ended() && job.stopped_at.is_some_and(|at| now.saturating_sub(at) > 300_000)
}
