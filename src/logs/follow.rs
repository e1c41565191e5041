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

/// The lines of one job: its attempts' streams, one after the other.
#[derive(Debug, Default)]
struct JobLog {
    readers: Vec<Reader>,
    streams: Vec<String>,
    ended_at: Option<Instant>,
    done: bool,
}

/// Follows a job, or all children of an array, and hands every page of lines to `print` until the job has
/// ended and its last line was seen. `seen` is called when the job's state has changed.
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
    loop {
        let ended = last.as_ref().is_some_and(|j| j.status.has_ended());
        if !ended && Instant::now() >= look_at {
            if let Some(job) = batch::look(contact, id, begun).await? {
                if last.as_ref().map(|j| j.status) != Some(job.status) {
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
            if job.status.has_ended() && logs.values().all(|l| l.done) {
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
    if !job.is_array_parent() {
        return Ok(if is_done(&job.id()) { Vec::new() } else { vec![job.clone()] });
    }
    let started = [Status::Starting, Status::Running, Status::Succeeded, Status::Failed];
    let parent = job.id();
    let children = contact.keep(async |s| batch::children(s, &parent, &started).await).await?;
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
        let settled = match (self.ended_at, job.status.has_ended()) {
            (Some(at), _) => at.elapsed() >= contact.session().cluster.log_settle,
            (None, true) => {
                // Seen for the first time: a job that ended long ago has no lines on their way.
                self.ended_at = Some(ended_instant(job));
                self.ended_at.is_some_and(|at| at.elapsed() >= contact.session().cluster.log_settle)
            }
            (None, false) => false,
        };
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
                    Page::End | Page::NoStream => break,
                }
            }
        }
        // What was settled before this reading has been read to its end by it.
        self.done = settled;
        Ok(any)
    }
}

/// When the job ended, on this process's clock.
fn ended_instant(job: &Job) -> Instant {
    let now = Instant::now();
    let Some(stopped_at) = job.stopped_at else { return now };
    let ago = jiff::Timestamp::now().as_millisecond().saturating_sub(stopped_at);
    let ago = Duration::from_millis(u64::try_from(ago).unwrap_or(0));
    now.checked_sub(ago).unwrap_or(now)
}
