//! Following many streams: a hundred with one call. Of their jobs, only those that have changed are
//! asked for.
//!
//! A call names the streams, and the time from which lines are asked for. Each stream has a
//! position: the time of its last line, and how many of its lines have that time. It tells which
//! lines come again. Streams with nearly the same position are asked for together, so that few
//! lines come twice.
//!
//! While a stream is quiet, a late line is found wherever it is in time since a minute before the
//! last reading, if CloudWatch Logs receives it within a minute. When its job has ended and
//! settled, everything behind the position is read once more, however late it came.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::{
    BUSY_PAUSE, FollowEnd, FollowOptions, GroupState, IDLE_PAUSE, JobState, MAX_LISTING_DELAY,
    MIN_TIME_PER_CALL, WriterEnd, expected_writers,
};
use crate::aws::{ResilientSession, next_page};
use crate::batch::{self, Job, PollInterval};
use crate::logs::api::{self, MAX_STREAMS, Page, Request};
use crate::logs::cursor::Cursor;
use crate::logs::event::{CLOCK_SKEW, Event, LogStreamRef};
use crate::logs::pods::PodStreams;
use crate::logs::tail;
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// At most this many jobs are described together; a description takes about 10 KB.
const DESCRIBE_BATCH: usize = 1_000;
/// At most this many children are described without a listing (API `DescribeJobs`, jobs).
const MAX_UNLISTED: usize = 100;
/// Children are listed again after this time, whatever their array says.
const LISTING_INTERVAL: Duration = Duration::from_secs(60);
/// A stream that does not exist is asked for again after this time.
const MISSING_RETRY: Duration = Duration::from_secs(10);

/// A job that writes lines.
#[derive(Debug)]
struct WritingJob {
    end: WriterEnd,
    started_at: Option<i64>,
    streams: Vec<Arc<LogStreamRef>>,
    settled: bool,
}

/// The streams of a job and its parts.
#[derive(Debug, Default)]
struct StreamSet {
    writers: BTreeMap<JobId, WritingJob>,
    cursors: Vec<Cursor>,
    /// Parts on EKS whose containers do not all have a log stream yet.
    unnamed: Vec<Job>,
    pods: PodStreams,
    /// The latest time by the clock of AWS that was seen.
    now: i64,
    /// When only a tail is options: lines at or before this time are left out.
    after: Option<i64>,
    /// The calls of this round.
    calls: u32,
    group: GroupState,
}

/// Follows a job whose lines are in many streams, or are filtered.
pub(super) async fn follow(
    contact: &mut ResilientSession,
    mut state: JobState,
    options: &FollowOptions,
    mut on_change: impl FnMut(&Job),
    mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<FollowEnd, Failure> {
    let mut set = StreamSet::default();
    let mut interval = PollInterval::new(BUSY_PAUSE, IDLE_PAUSE);
    let mut tail = options.tail;
    let mut listed: Option<(Instant, Option<BTreeMap<String, i32>>)> = None;
    loop {
        let Some(id) = state.job.as_ref().map(Job::id) else {
            return Err(Failure::failed("a job that is not known cannot be followed"));
        };
        state.poll(contact, &id, &mut on_change).await?;
        set.calls = state.take_calls();
        let Some(job) = &state.job else { continue };
        let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.clone());
        let is_stale = listed.as_ref().is_none_or(|(at, before)| {
            *before != summary || summary.is_none() || at.elapsed() > LISTING_INTERVAL
        });
        // At the end, all writers have to be known.
        let all_known = set.writers.values().filter(|w| w.end.status.has_ended()).count()
            >= expected_writers(job, &options.query);
        if is_stale || (job.status.has_ended() && !all_known) {
            set.update_writers(contact, job, options).await?;
            listed = Some((Instant::now(), summary));
        }
        set.find_unnamed(contact, options).await?;
        if let Some(n) = tail.take() {
            print(&set.begin_at_tail(contact, options, n).await?)?;
        }
        let begun = Instant::now();
        if set.read_round(contact, options, &mut print).await? {
            interval.quicken();
        }
        let all_known = all_known || state.ended_before(MAX_LISTING_DELAY);
        if job.status.has_ended() && all_known && set.is_done() && !state.awaits_streams() {
            let missing = set.cursors.iter().filter(|cursor| cursor.missing_until.is_some());
            let missing = missing.map(|cursor| cursor.stream.clone()).collect();
            return set.group.finish(options).map(|()| FollowEnd { job: job.clone(), missing });
        }
        let pause = interval.pause().max(MIN_TIME_PER_CALL * set.calls).saturating_sub(begun.elapsed());
        tokio::time::sleep(pause.max(BUSY_PAUSE)).await;
    }
}

impl StreamSet {
    /// Finds the jobs that have begun to write, that write to another stream now, or that have
    /// ended.
    async fn update_writers(
        &mut self,
        contact: &mut ResilientSession,
        job: &Job,
        options: &FollowOptions,
    ) -> Result<(), Failure> {
        let query = &options.query;
        self.advance_clock(job.created_at);
        if job.parts().is_none() {
            self.add_writer(contact, job, options);
            return Ok(());
        }
        // A few are described by index: a listing would have all the others, too.
        if let Some(indices) = query.indices.as_ref().filter(|all| all.len() <= MAX_UNLISTED && !query.failed)
        {
            let goes_on = |id: &JobId| self.writers.get(id).is_none_or(|w| !w.end.status.has_ended());
            let ids: Vec<JobId> = indices.iter().map(|index| job.part(*index)).filter(goes_on).collect();
            return self.describe(contact, &ids, options).await;
        }
        let count = |status: &str| -> Option<usize> {
            let summary = job.array_properties.as_ref()?.status_summary.as_ref()?;
            summary.get(status).map_or(Some(0), |n| usize::try_from(*n).ok())
        };
        let ended = |status: Status| self.writers.values().filter(|w| w.end.status == status).count();
        let mut statuses = if query.failed { vec![] } else { vec![Status::Running] };
        for status in [Status::Succeeded, Status::Failed] {
            let is_wanted = status == Status::Failed || !query.failed;
            if is_wanted && count(status.as_str()).is_none_or(|n| n > ended(status)) {
                statuses.push(status);
            }
        }
        let parts = contact.keep(async |s| batch::parts(s, job, &statuses).await).await?;
        let is_new = |part: &Job| match self.writers.get(&part.id()) {
            None => true,
            Some(writer) => {
                !writer.end.status.has_ended()
                    && (writer.end.status != part.status
                        || writer.started_at != part.started_at
                        || writer.streams.is_empty())
            }
        };
        let new: Vec<JobId> = parts
            .iter()
            .filter(|part| query.has_part(part.id().part()) && is_new(part))
            .map(Job::id)
            .collect();
        for ids in new.chunks(DESCRIBE_BATCH) {
            self.describe(contact, ids, options).await?;
        }
        Ok(())
    }

    async fn describe(
        &mut self,
        contact: &mut ResilientSession,
        ids: &[JobId],
        options: &FollowOptions,
    ) -> Result<(), Failure> {
        let described = contact.keep(async |s| batch::describe(s, ids).await).await?;
        for part in described.into_iter().flatten() {
            self.add_writer(contact, &part, options);
            self.unnamed.retain(|known| known.job_id != part.job_id);
            let has_pod = part.pod().is_some() || part.attempts.iter().flatten().any(|a| a.pod.is_some());
            if has_pod && contact.session().cluster.pod_logs.is_some() {
                self.unnamed.push(part);
            }
        }
        Ok(())
    }

    /// Adds a job that writes, or its new state, with the streams that it has.
    fn add_writer(&mut self, contact: &ResilientSession, job: &Job, options: &FollowOptions) {
        self.advance_clock(job.started_at.max(job.stopped_at).max(job.created_at));
        let id = job.id();
        let before = self.writers.remove(&id);
        let seen_at = before.as_ref().and_then(|writer| writer.end.seen_at);
        let seen_at = job.status.has_ended().then(|| seen_at.unwrap_or_else(Instant::now));
        let writer = WritingJob {
            end: WriterEnd::of(job, seen_at),
            started_at: job.started_at,
            streams: before.map(|writer| writer.streams).unwrap_or_default(),
            settled: false,
        };
        self.writers.insert(id, writer);
        self.add_streams(contact, job, options);
    }

    /// Adds those of the streams of a job that are new.
    fn add_streams(&mut self, contact: &ResilientSession, job: &Job, options: &FollowOptions) {
        let id = job.id();
        let Some(writer) = self.writers.get_mut(&id) else { return };
        // The children of an array were created with the array, however late they start.
        let is_first = job.attempts.as_ref().is_none_or(Vec::is_empty);
        let begun_at = job.started_at.filter(|_| is_first).or(job.created_at);
        let begin = options.query.since.or_else(|| Some(begun_at? - CLOCK_SKEW)).unwrap_or(0);
        for stream in LogStreamRef::of_query(job, contact.session(), &options.query) {
            if !writer.streams.contains(&stream) {
                writer.streams.push(stream.clone());
                self.cursors.push(Cursor::new(stream, id.clone(), begin, self.after));
            }
        }
    }

    /// Looks for the log streams of pods that were not there before.
    async fn find_unnamed(
        &mut self,
        contact: &mut ResilientSession,
        options: &FollowOptions,
    ) -> Result<(), Failure> {
        let mut jobs = std::mem::take(&mut self.unnamed);
        self.pods.find_names(contact, &mut jobs).await?;
        self.calls += self.pods.take_calls();
        for job in &jobs {
            self.add_streams(contact, job, options);
        }
        // One that has ended stays while a stream of any of them may still appear.
        jobs.retain(|job| job.lacks_pod_streams() && (!job.status.has_ended() || self.pods.may_appear()));
        self.unnamed = jobs;
        Ok(())
    }

    fn advance_clock(&mut self, time: Option<i64>) {
        self.now = self.now.max(time.unwrap_or(0));
    }

    /// The last lines of all streams. Reading goes on behind them.
    async fn begin_at_tail(
        &mut self,
        contact: &mut ResilientSession,
        options: &FollowOptions,
        lines: usize,
    ) -> Result<Vec<Event>, Failure> {
        let streams: Vec<Arc<LogStreamRef>> =
            self.cursors.iter().map(|cursor| cursor.stream.clone()).collect();
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        // One more line tells where the last ones begin.
        let query = &options.query;
        let tail = contact
            .keep(async |s| tail::tail(&Arc::new(s.clone()), &streams, query, lines + 1).await)
            .await?;
        let mut last = tail.lines;
        let Some(before) = last.first().map(Event::time).filter(|_| last.len() > lines) else {
            // These are all lines: they come with the first round.
            return Ok(Vec::new());
        };
        last.remove(0);
        self.after = Some(before);
        let mut positions: HashMap<&str, (i64, usize)> = HashMap::new();
        for event in &last {
            let position = positions.entry(&event.stream.name).or_insert((event.time(), 0));
            let (at, lines) = *position;
            *position = if at == event.time() { (at, lines + 1) } else { (event.time(), 1) };
        }
        for cursor in &mut self.cursors {
            let position = positions.get(cursor.stream.name.as_str()).filter(|(at, _)| *at > before);
            cursor.position = Some(position.copied().unwrap_or((before, usize::MAX)));
        }
        Ok(last)
    }

    /// Reads all lines that exist. Returns whether there were new ones.
    async fn read_round(
        &mut self,
        contact: &mut ResilientSession,
        options: &FollowOptions,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        for writer in self.writers.values_mut() {
            writer.settled = writer.end.has_settled(contact);
        }
        let has_ended = |id: &JobId| self.writers.get(id).is_some_and(|w| w.end.status.has_ended());
        // Streams that are read from far back are asked for apart from those that keep up, whose
        // lines would come again.
        let mut groups: BTreeMap<(String, bool), Vec<(i64, usize)>> = BTreeMap::new();
        for (n, cursor) in self.cursors.iter().enumerate() {
            let is_missing = cursor.missing_until.is_some_and(|at| at > Instant::now());
            let ended = has_ended(&cursor.writer);
            if !cursor.done && (!is_missing || ended) {
                let from = if ended { cursor.next_time() } else { cursor.next_live_time() };
                let keeps_up = !ended && cursor.read_at.is_some();
                groups.entry((cursor.stream.group.clone(), keeps_up)).or_default().push((from, n));
            }
        }
        let mut any = false;
        for ((group, _), mut streams) in groups {
            streams.sort_unstable();
            for batch in streams.chunks(MAX_STREAMS) {
                any |= self.poll_batch(contact, &group, batch, options, print).await?;
            }
        }
        for cursor in &mut self.cursors {
            let is_fresh = std::mem::take(&mut cursor.is_fresh);
            let Some(writer) = self.writers.get_mut(&cursor.writer) else { continue };
            // When lines come late, more may follow.
            if is_fresh && writer.end.status.has_ended() && writer.end.is_late(contact) {
                writer.end.seen_at = Some(Instant::now());
                writer.settled = false;
            }
        }
        for cursor in &mut self.cursors {
            cursor.done = self.writers.get(&cursor.writer).is_some_and(|w| w.settled);
        }
        Ok(any)
    }

    /// Reads all lines that exist of up to [`MAX_STREAMS`] streams of a group. Returns whether
    /// there were new ones. A stream is its index among the cursors, with the time from which it is
    /// read.
    async fn poll_batch(
        &mut self,
        contact: &mut ResilientSession,
        group: &str,
        streams: &[(i64, usize)],
        options: &FollowOptions,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut any = false;
        let mut parts = vec![streams.to_vec()];
        while let Some(part) = parts.pop() {
            let print = &mut |events: &[Event]| {
                any |= !events.is_empty();
                print(events)
            };
            match self.read_together(contact, group, &part, options, print).await? {
                ReadEnd::End => {}
                ReadEnd::TokenExpired => parts.push(part),
                // The answer does not tell which of the streams does not exist.
                ReadEnd::NoStream => match part.split_at_checked(part.len() / 2) {
                    Some((left, right)) if part.len() > 1 => parts.extend([left.to_vec(), right.to_vec()]),
                    _ => self.set_missing(&part),
                },
            }
        }
        Ok(any)
    }

    /// Reads streams together to their end.
    async fn read_together(
        &mut self,
        contact: &mut ResilientSession,
        group: &str,
        streams: &[(i64, usize)],
        options: &FollowOptions,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<ReadEnd, Failure> {
        let Some(from) = streams.iter().map(|(from, _)| *from).min() else { return Ok(ReadEnd::End) };
        let now = self.now;
        // In an order, so that the same streams make the same request.
        let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
        for (_, n) in streams {
            let Some(cursor) = self.cursors.get_mut(*n) else { continue };
            cursor.rewind();
            by_name.insert(cursor.stream.name.clone(), *n);
        }
        let names: Vec<String> = by_name.keys().cloned().collect();
        let pattern = options.query.pattern.clone();
        let mut request = Request { from: Some(from.max(0)), pattern, ..Request::default() };
        loop {
            let page = contact.keep(async |s| api::filter(s, group, &names, &request).await).await?;
            self.calls += 1;
            if !matches!(page, Page::NoGroup(_)) {
                self.group.set_found();
            }
            let (lines, tokens) = match page {
                Page::Lines(lines, tokens) => (lines, tokens),
                Page::NoGroup(failure) => {
                    self.group.set_missing(failure);
                    return Ok(ReadEnd::End);
                }
                Page::TokenExpired => return Ok(ReadEnd::TokenExpired),
                Page::NoStream => return Ok(ReadEnd::NoStream),
            };
            let mut new = Vec::new();
            for line in lines {
                self.advance_clock(line.ingested);
                let cursor = by_name.get(&line.stream).and_then(|n| self.cursors.get_mut(*n));
                let Some(cursor) = cursor else { continue };
                if cursor.is_new(line.timestamp.unwrap_or(0)) {
                    let stream = cursor.stream.clone();
                    new.push(Event { stream, timestamp: line.timestamp, message: line.message });
                }
            }
            print(&new)?;
            request.token = next_page(request.token.as_deref(), tokens.forward)
                .map_err(|e| Failure::failed(format!("reading the log group {group}: {e}")))?;
            if request.token.is_none() {
                self.set_read(streams, now);
                return Ok(ReadEnd::End);
            }
        }
    }

    /// Notes that streams were read to their end by a call that began at this time or later.
    fn set_read(&mut self, streams: &[(i64, usize)], at: i64) {
        for (_, n) in streams {
            if let Some(cursor) = self.cursors.get_mut(*n) {
                cursor.read_at = Some(at);
                cursor.missing_until = None;
            }
        }
    }

    /// Notes that streams do not exist.
    fn set_missing(&mut self, streams: &[(i64, usize)]) {
        for (_, n) in streams {
            if let Some(cursor) = self.cursors.get_mut(*n) {
                cursor.missing_until = Some(Instant::now() + MISSING_RETRY);
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_done = |w: &WritingJob| w.settled || (w.end.status.has_ended() && w.streams.is_empty());
        self.writers.values().all(is_done)
            && self.cursors.iter().all(|cursor| cursor.done)
            && !self.pods.may_appear()
    }
}

/// How a reading of several streams ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadEnd {
    /// At the end of the streams, or there is no log group.
    End,
    /// One of the streams does not exist.
    NoStream,
    /// The token has expired, and reading has to start again.
    TokenExpired,
}
