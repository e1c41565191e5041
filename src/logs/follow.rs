//! Following jobs: their lines as they come, until the last one after the job has ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::read::{Event, Page, Place, Reader};
use crate::batch::{self, Job, Pace};
use crate::cluster::Contact;
use crate::job::{JobId, Status};
use crate::ui::Failure;

/// CloudWatch Logs answers 10 to 25 reads per second and account: a chatty job may not take them all.
const CHATTY: Duration = Duration::from_millis(400);
/// Right after the start, when most jobs print for the first time.
const FRESH: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_secs(2);

/// When an array has ended, its last children are listed within this time.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// The lines of one job: its attempts' streams, one after the other.
#[derive(Debug, Default)]
struct JobLog {
    readers: Vec<Reader>,
    streams: Vec<String>,
    ended_at: Option<Instant>,
    done: bool,
}

/// Follows a job, or all children of an array, and hands every page of lines to `print` until the job has
/// ended and its last line was seen. `seen` is called when the job's state, or the reason for it, has
/// changed.
///
/// # Errors
/// When the job is not known, contact was lost for good, or `print` fails.
pub async fn follow(
    contact: &mut Contact,
    id: &JobId,
    mut seen: impl FnMut(&Job),
    mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<Job, Failure> {
    let begun = Instant::now();
    let mut logs: BTreeMap<JobId, JobLog> = BTreeMap::new();
    let mut states = Pace::default();
    let mut lines = Pace::new(FRESH, QUIET);
    let mut last: Option<Job> = None;
    let mut look_at = Instant::now();
    let mut known_at = begun;
    let mut ended_at: Option<Instant> = None;
    loop {
        if ended_at.is_none() && Instant::now() >= look_at {
            if let Some(job) = batch::look(contact, id, known_at).await? {
                known_at = Instant::now();
                ended_at = job.status.has_ended().then_some(known_at);
                let state = |j: &Job| (j.status, j.status_reason.clone());
                if last.as_ref().map(state) != Some(state(&job)) {
                    seen(&job);
                    lines.quicken();
                    states.quicken();
                }
                last = Some(job);
            }
            look_at = Instant::now() + states.pause();
        }
        if let Some(job) = &last {
            for writer in writers(contact, job, &logs).await? {
                let log = logs.entry(writer.id()).or_default();
                if log.read(contact, &writer, &mut print).await? {
                    lines.quicken();
                }
            }
            let writers = job.parts().map_or(1, |n| n as usize);
            let all_seen = logs.len() >= writers || ended_at.is_some_and(|at| at.elapsed() > LISTED_WITHIN);
            if job.status.has_ended() && all_seen && logs.values().all(|l| l.done) {
                return Ok(job.clone());
            }
        }
        let shortest = if begun.elapsed() < Duration::from_secs(3) { FRESH } else { CHATTY };
        tokio::time::sleep(lines.pause().max(shortest)).await;
    }
}

/// The jobs that may have lines which were not read: the job itself, or the children of an array that have
/// started and are not done with.
async fn writers(
    contact: &mut Contact,
    job: &Job,
    logs: &BTreeMap<JobId, JobLog>,
) -> Result<Vec<Job>, Failure> {
    let is_done = |id: &JobId| logs.get(id).is_some_and(|l| l.done);
    if job.parts().is_none() {
        return Ok(if is_done(&job.id()) { Vec::new() } else { vec![job.clone()] });
    }
    let started = [Status::Starting, Status::Running, Status::Succeeded, Status::Failed];
    let children = contact.keep(async |s| batch::parts(s, job, &started).await).await?;
    let ids: Vec<JobId> = children.iter().map(Job::id).filter(|id| !is_done(id)).collect();
    let details = contact.keep(async |s| batch::describe(s, &ids).await).await?;
    Ok(details.into_iter().flatten().collect())
}

impl JobLog {
    /// Reads all that is there. Says whether there was anything.
    async fn read(
        &mut self,
        contact: &mut Contact,
        job: &Job,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        for place in Place::all_of(job, contact.session()) {
            if !self.streams.contains(&place.stream) {
                self.streams.push(place.stream.clone());
                self.readers.push(Reader::new(place));
            }
        }
        if job.status.has_ended() && self.ended_at.is_none() {
            self.ended_at = Some(Instant::now());
        }
        let settle = contact.session().cluster.log_settle;
        let settled = ended_long_ago(job) || self.ended_at.is_some_and(|at| at.elapsed() >= settle);
        let mut any = false;
        for reader in &mut self.readers {
            loop {
                // The reader moves on only when a page has arrived.
                let at = reader.clone();
                let (next, page) = contact
                    .keep(async |s| {
                        let mut reader = at.clone();
                        let page = reader.next(s).await?;
                        Ok((reader, page))
                    })
                    .await?;
                *reader = next;
                match page {
                    Page::Lines(events) => {
                        any |= !events.is_empty();
                        print(&events)?;
                    }
                    Page::End | Page::NoStream | Page::NoGroup(_) => break,
                }
            }
        }
        // What was settled before this reading has been read to its end by it.
        self.done = settled;
        Ok(any)
    }
}

/// Whether a job ended so long ago that no line can still be on its way. The clocks of this machine and of AWS
/// may differ, so less than some minutes says nothing.
fn ended_long_ago(job: &Job) -> bool {
    let now = jiff::Timestamp::now().as_millisecond();
    job.status.has_ended() && job.stopped_at.is_some_and(|at| now.saturating_sub(at) > 300_000)
}
