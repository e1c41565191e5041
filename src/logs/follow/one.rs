//! Following a job whose lines are in a few streams, which are read one by one.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::{
    BUSY_PAUSE, FollowEnd, FollowOptions, GroupState, IDLE_PAUSE, JobState, MAX_LISTING_DELAY,
    MIN_TIME_PER_CALL, WriterEnd, expected_writers,
};
use crate::aws::ResilientSession;
use crate::batch::{self, Job, PollInterval};
use crate::logs::event::{Event, LogQuery, LogStreamRef};
use crate::logs::merge::MAX_SINGLE_STREAMS;
use crate::logs::parallel_read::is_full;
use crate::logs::pods::PodStreams;
use crate::logs::reader::{StreamPage, StreamReader};
use crate::logs::stream_follower::PAGES_AT_ONCE;
use crate::logs::tail::{self, StreamTail};
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// The shortest pause right after the start, when most jobs print for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The start is over after this time.
const START: Duration = Duration::from_secs(3);

/// The lines of one job: the streams of its attempts, one after the other.
#[derive(Debug, Default)]
struct JobLog {
    readers: Vec<StreamReader>,
    ended_at: Option<Instant>,
    done: bool,
    /// Its streams that did not exist at the last reading.
    missing: Vec<Arc<LogStreamRef>>,
}

/// Follows a job, or all children of an array. Returns `None` as soon as it is clear that the job
/// has more streams than can be read one by one, or that its lines are filtered.
///
/// # Errors
/// As [`super::follow`].
pub async fn follow(
    contact: &mut ResilientSession,
    state: &mut JobState,
    id: &JobId,
    options: &FollowOptions,
    on_change: &mut impl FnMut(&Job),
    print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<Option<FollowEnd>, Failure> {
    let query = &options.query;
    let mut logs: BTreeMap<JobId, JobLog> = BTreeMap::new();
    let mut interval = PollInterval::new(FIRST_PAUSE, IDLE_PAUSE);
    let mut tail = options.tail;
    let mut group = GroupState::default();
    let mut pods = PodStreams::default();
    loop {
        if state.poll(contact, id, on_change).await? {
            interval.quicken();
        }
        if let Some(job) = &state.job {
            let has_many = job.parts().is_some_and(|parts| parts as usize > MAX_SINGLE_STREAMS);
            // The lines of several containers are sorted by time.
            if has_many || query.pattern.is_some() || query.has_several_containers(job) {
                return Ok(None);
            }
            let is_done = |id: &JobId| logs.get(id).is_some_and(|log| log.done);
            let parts;
            let writers = if job.parts().is_some() {
                parts = parts_to_read(contact, job, &mut pods, query, is_done).await?;
                parts.as_slice()
            } else if is_done(&job.id()) {
                &[]
            } else {
                slice::from_ref(job)
            };
            if let Some(n) = tail.take() {
                print(&begin_at_tail(contact, writers, query, n, &mut logs).await?)?;
            }
            let awaits_streams = state.awaits_streams() || pods.may_appear();
            for writer in writers {
                let log = logs.entry(writer.id()).or_default();
                if log.read(contact, writer, query, &mut group, print).await? {
                    interval.quicken();
                }
                log.done &= !awaits_streams;
            }
            let all_seen =
                logs.len() >= expected_writers(job, query) || state.ended_before(MAX_LISTING_DELAY);
            if job.status.has_ended() && all_seen && logs.values().all(|l| l.done) {
                let missing = logs.into_values().flat_map(|log| log.missing).collect();
                return group.finish(options).map(|()| Some(FollowEnd { job: job.clone(), missing }));
            }
        }
        let shortest = if state.begun.elapsed() < START { FIRST_PAUSE } else { BUSY_PAUSE };
        let calls = state.take_calls().saturating_add(pods.take_calls());
        tokio::time::sleep(interval.pause().max(shortest).max(MIN_TIME_PER_CALL * calls)).await;
    }
}

/// The children of an array, or the nodes, that have started and may have lines which were not
/// read.
async fn parts_to_read(
    contact: &mut ResilientSession,
    job: &Job,
    pods: &mut PodStreams,
    query: &LogQuery,
    is_done: impl Fn(&JobId) -> bool,
) -> Result<Vec<Job>, Failure> {
    let started = [Status::Starting, Status::Running, Status::Succeeded, Status::Failed];
    let started = if query.failed { &started[3..] } else { &started[..] };
    let children = contact.keep(async |s| batch::parts(s, job, started).await).await?;
    let is_wanted = |id: &JobId| query.has_part(id.part()) && !is_done(id);
    let ids: Vec<JobId> = children.iter().map(Job::id).filter(is_wanted).collect();
    let described = contact.keep(async |s| batch::describe(s, &ids).await).await?;
    let mut parts: Vec<Job> = described.into_iter().flatten().collect();
    pods.find_names(contact, &mut parts).await?;
    Ok(parts)
}

/// The last lines of these jobs, by time. Reading goes on behind them.
async fn begin_at_tail(
    contact: &mut ResilientSession,
    writers: &[Job],
    query: &LogQuery,
    lines: usize,
    logs: &mut BTreeMap<JobId, JobLog>,
) -> Result<Vec<Event>, Failure> {
    let mut all = Vec::new();
    for writer in writers {
        let log = logs.entry(writer.id()).or_default();
        for stream in LogStreamRef::of_query(writer, contact.session(), query) {
            let end = contact.keep(async |s| tail::stream_tail(s, &stream, query.since, lines).await).await?;
            if let StreamTail::Lines(lines, reader) = end {
                all.extend(lines);
                log.readers.push(reader);
            }
        }
    }
    tail::keep_last(&mut all, lines);
    Ok(all)
}

impl JobLog {
    /// Reads the lines that exist: of a stream that is still written at most [`PAGES_AT_ONCE`]
    /// pages, as there might be no end. Returns whether there were any.
    async fn read(
        &mut self,
        contact: &mut ResilientSession,
        job: &Job,
        query: &LogQuery,
        group: &mut GroupState,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        for stream in LogStreamRef::of_query(job, contact.session(), query) {
            if !self.readers.iter().any(|reader| reader.stream.name == stream.name) {
                self.readers.push(StreamReader::new(stream, query.since));
            }
        }
        if job.status.has_ended() && self.ended_at.is_none() {
            self.ended_at = Some(Instant::now());
        }
        let end = WriterEnd::of(job, self.ended_at);
        let settled = end.has_settled(contact);
        let mut any = false;
        // The last attempt has as many streams as it has containers with one.
        let last = match query.has_several_containers(job) {
            true => job.task_containers().iter().filter(|c| c.log_stream_name.is_some()).count().max(1),
            false => 1,
        };
        let earlier = self.readers.len().saturating_sub(last);
        self.missing.clear();
        for (n, reader) in self.readers.iter_mut().enumerate() {
            // An earlier attempt has ended, and its lines come before those of the next.
            let has_end = settled || n < earlier;
            for page_number in 1.. {
                match reader.next_with_contact(contact).await? {
                    StreamPage::Lines(events) => {
                        group.set_found();
                        any |= !events.is_empty();
                        print(&events)?;
                        let is_live = !events.is_empty() && !is_full(&events);
                        if !has_end && (is_live || page_number >= PAGES_AT_ONCE) {
                            break;
                        }
                    }
                    StreamPage::End => {
                        group.set_found();
                        break;
                    }
                    StreamPage::NoStream => {
                        group.set_found();
                        self.missing.push(reader.stream.clone());
                        break;
                    }
                    StreamPage::NoGroup(failure) => {
                        group.set_missing(failure);
                        break;
                    }
                }
            }
        }
        // A job that had settled before this reading is read to its end now, unless lines still
        // came: then more may come.
        let is_late = any && end.is_late(contact);
        if is_late && self.ended_at.is_some() {
            self.ended_at = Some(Instant::now());
        }
        self.done = settled && !is_late;
        Ok(any)
    }
}
