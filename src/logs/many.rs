//! Following many streams: a hundred with one call, and of their jobs only what has changed is asked for.
//!
//! A call names the streams and the time from which on lines are wanted. Each stream has a mark: the time of its last
//! line, and how many of its lines have that time; what comes again is known by it. Streams that are equally far are
//! asked for together, so that little comes twice. While a stream is quiet, lines that CloudWatch Logs gets within a
//! minute are found wherever they are in time since a minute before it was last read; when its job has ended and
//! settled, everything behind its mark is read once more, however late it came.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{self, Answer, MOST_STREAMS, Question};
use super::cursor::Cursor;
use super::event::{Event, Place, SKEW};
use super::follow::{
    CHATTY, Ended, Followed, Group, LISTED_WITHIN, QUIET, State, expected, has_settled, is_late,
};
use super::tail;
use crate::aws::Contact;
use crate::batch::{self, Job, PollInterval};
use crate::ui::Failure;
use awsb_model::{JobId, Status};

/// So many jobs are asked for at once; a description takes about 10 KB.
const DESCRIBED: usize = 1_000;
/// So few children are described by one call (API `DescribeJobs`, jobs).
const FEW: usize = 100;
/// Children are listed again after this time, whatever their array says.
const LISTED_EVERY: Duration = Duration::from_secs(60);
/// A stream that is not there is looked for again after this time.
const SOUGHT_EVERY: Duration = Duration::from_secs(10);
/// One call takes at least so much of a round, so that others can read logs, too.
const EACH_CALL: Duration = Duration::from_millis(100);

/// A job that writes lines.
#[derive(Debug)]
struct Writer {
    job: Status,
    started_at: Option<i64>,
    has_streams: bool,
    settled: bool,
    ended_at: Option<Instant>,
    description: Job,
}

#[derive(Debug, Default)]
struct Many {
    writers: BTreeMap<JobId, Writer>,
    streams: Vec<Cursor>,
    /// The latest time of AWS's own clock that was seen.
    now: i64,
    /// Of a followed tail: nothing before or at this time is wanted.
    after: Option<i64>,
    calls: u32,
    group: Group,
}

/// Follows a job whose lines are in many streams, or are filtered.
pub(super) async fn follow(
    contact: &mut Contact,
    mut state: State,
    followed: &Followed,
    mut seen: impl FnMut(&Job),
    mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    let mut many = Many::default();
    let mut lines = PollInterval::new(CHATTY, QUIET);
    let mut first = followed.tail;
    let mut listed: Option<(Instant, Option<BTreeMap<String, i32>>)> = None;
    loop {
        let Some(id) = state.job.as_ref().map(Job::id) else {
            return Err(Failure::failed("a job that is not known cannot be followed"));
        };
        state.look(contact, &id, &mut seen).await?;
        let Some(job) = state.job.clone() else { continue };
        let summary = job.array_properties.as_ref().and_then(|a| a.status_summary.clone());
        let is_stale = listed.as_ref().is_none_or(|(at, before)| {
            *before != summary || summary.is_none() || at.elapsed() > LISTED_EVERY
        });
        // At the end all of them have to be known.
        let all_known =
            many.writers.values().filter(|w| w.job.has_ended()).count() >= expected(&job, &followed.wanted);
        if is_stale || (job.status.has_ended() && !all_known) {
            many.learn(contact, &job, followed).await?;
            listed = Some((Instant::now(), summary));
        }
        if let Some(n) = first.take() {
            print(&many.begin_at_tail(contact, followed, n).await?)?;
        }
        let begun = Instant::now();
        many.calls = 0;
        if many.round(contact, followed, &mut print).await? {
            lines.quicken();
        }
        let all_known = all_known || state.ended_before(LISTED_WITHIN);
        if job.status.has_ended() && all_known && many.is_done() {
            let missing = many.streams.iter().filter(|stream| stream.missing_until.is_some());
            let missing = missing.map(|stream| stream.place.clone()).collect();
            return many.group.end(followed).map(|()| Ended { job, missing });
        }
        let pause = lines.pause().max(EACH_CALL * many.calls).saturating_sub(begun.elapsed());
        tokio::time::sleep(pause.max(CHATTY)).await;
    }
}

impl Many {
    /// Finds out which jobs have begun to write, write elsewhere, or have ended.
    async fn learn(&mut self, contact: &mut Contact, job: &Job, followed: &Followed) -> Result<(), Failure> {
        let wanted = &followed.wanted;
        self.saw(job.created_at);
        if job.parts().is_none() {
            self.describe(contact, &[job.id()], followed).await?;
            return Ok(());
        }
        // A few are asked for by name: a list would have all the others, too.
        if let Some(indices) = wanted.indices.as_ref().filter(|all| all.len() <= FEW && !wanted.failed) {
            let goes_on = |id: &JobId| self.writers.get(id).is_none_or(|w| !w.job.has_ended());
            let ids: Vec<JobId> = indices.iter().map(|index| job.part(*index)).filter(goes_on).collect();
            return self.describe(contact, &ids, followed).await;
        }
        let count = |status: &str| -> Option<usize> {
            let summary = job.array_properties.as_ref()?.status_summary.as_ref()?;
            summary.get(status).map_or(Some(0), |n| usize::try_from(*n).ok())
        };
        let ended = |status: Status| self.writers.values().filter(|w| w.job == status).count();
        let mut statuses = if wanted.failed { vec![] } else { vec![Status::Running] };
        for status in [Status::Succeeded, Status::Failed] {
            let is_wanted = status == Status::Failed || !wanted.failed;
            if is_wanted && count(status.as_str()).is_none_or(|n| n > ended(status)) {
                statuses.push(status);
            }
        }
        let parts = contact.keep(async |s| batch::parts(s, job, &statuses).await).await?;
        let is_new = |part: &Job| match self.writers.get(&part.id()) {
            None => true,
            Some(writer) => {
                !writer.job.has_ended()
                    && (writer.job != part.status
                        || writer.started_at != part.started_at
                        || !writer.has_streams)
            }
        };
        let new: Vec<JobId> = parts
            .iter()
            .filter(|part| wanted.has_part(part.id().part()) && is_new(part))
            .map(Job::id)
            .collect();
        for ids in new.chunks(DESCRIBED) {
            self.describe(contact, ids, followed).await?;
        }
        Ok(())
    }

    async fn describe(
        &mut self,
        contact: &mut Contact,
        ids: &[JobId],
        followed: &Followed,
    ) -> Result<(), Failure> {
        let jobs = contact.keep(async |s| batch::describe(s, ids).await).await?;
        let mut known: HashMap<JobId, Vec<String>> = HashMap::new();
        for stream in &self.streams {
            if ids.contains(&stream.writer) {
                known.entry(stream.writer.clone()).or_default().push(stream.place.stream.clone());
            }
        }
        for job in jobs.into_iter().flatten() {
            self.saw(job.started_at.max(job.stopped_at).max(job.created_at));
            let id = job.id();
            let places = Place::all_of(&job, contact.session(), followed.wanted.attempt);
            // An array's children are as old as the array, however late they start.
            let is_first = job.attempts.as_ref().is_none_or(Vec::is_empty);
            let begun_at = job.started_at.filter(|_| is_first).or(job.created_at);
            let begin = followed.wanted.since.or_else(|| Some(begun_at? - SKEW)).unwrap_or(0);
            let has_streams = !places.is_empty();
            for place in places {
                if known.get(&id).is_some_and(|streams| streams.contains(&place.stream)) {
                    continue;
                }
                self.streams.push(Cursor::new(place, id.clone(), begin, self.after));
            }
            let ended_at = job.status.has_ended().then(Instant::now);
            let writer = Writer {
                job: job.status,
                started_at: job.started_at,
                has_streams,
                settled: false,
                ended_at,
                description: Job { container: None, attempts: None, ..job },
            };
            self.writers.insert(id, writer);
        }
        Ok(())
    }

    fn saw(&mut self, time: Option<i64>) {
        self.now = self.now.max(time.unwrap_or(0));
    }

    /// The last lines of all streams; reading goes on behind them.
    async fn begin_at_tail(
        &mut self,
        contact: &mut Contact,
        followed: &Followed,
        lines: usize,
    ) -> Result<Vec<Event>, Failure> {
        let places: Vec<Arc<Place>> = self.streams.iter().map(|s| s.place.clone()).collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        // One more says where the last ones begin.
        let wanted = &followed.wanted;
        let tail = contact
            .keep(async |s| tail::tail(&Arc::new(s.clone()), &places, wanted, lines + 1).await)
            .await?;
        let mut last = tail.lines;
        let Some(before) = last.first().map(Event::time).filter(|_| last.len() > lines) else {
            // All of them: they come with the first round.
            return Ok(Vec::new());
        };
        last.remove(0);
        self.after = Some(before);
        let mut marks: HashMap<&str, (i64, usize)> = HashMap::new();
        for event in &last {
            let mark = marks.entry(&event.place.stream).or_insert((event.time(), 0));
            *mark = if mark.0 == event.time() { (mark.0, mark.1 + 1) } else { (event.time(), 1) };
        }
        for stream in &mut self.streams {
            let mark = marks.get(stream.place.stream.as_str()).filter(|(at, _)| *at > before);
            stream.mark = Some(mark.copied().unwrap_or((before, usize::MAX)));
        }
        Ok(last)
    }

    /// Reads all that is there. Says whether there was anything.
    async fn round(
        &mut self,
        contact: &mut Contact,
        followed: &Followed,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        for writer in self.writers.values_mut() {
            writer.settled = has_settled(&writer.description, writer.ended_at, contact);
        }
        let has_ended = |id: &JobId| self.writers.get(id).is_some_and(|w| w.job.has_ended());
        // Those that are read from far back are asked for apart from those that keep up, which would come again.
        let mut groups: BTreeMap<(String, bool), Vec<(i64, usize)>> = BTreeMap::new();
        for (n, stream) in self.streams.iter().enumerate() {
            let is_missing = stream.missing_until.is_some_and(|at| at > Instant::now());
            let ended = has_ended(&stream.writer);
            if !stream.done && (!is_missing || ended) {
                let from = if ended { stream.position() } else { stream.live_position() };
                let keeps_up = !ended && stream.read_at.is_some();
                groups.entry((stream.place.group.clone(), keeps_up)).or_default().push((from, n));
            }
        }
        let mut any = false;
        for ((group, _), mut streams) in groups {
            streams.sort_unstable();
            for hundred in streams.chunks(MOST_STREAMS) {
                any |= self.hundred(contact, &group, hundred, followed, print).await?;
            }
        }
        for stream in &mut self.streams {
            let is_fresh = std::mem::take(&mut stream.is_fresh);
            let Some(writer) = self.writers.get_mut(&stream.writer) else { continue };
            // Where lines come late, more may.
            if is_fresh && writer.job.has_ended() && is_late(&writer.description, contact) {
                writer.ended_at = Some(Instant::now());
                writer.settled = false;
            }
        }
        for stream in &mut self.streams {
            stream.done = self.writers.get(&stream.writer).is_some_and(|w| w.settled);
        }
        Ok(any)
    }

    /// Reads what is there of up to a hundred streams of a group.
    async fn hundred(
        &mut self,
        contact: &mut Contact,
        group: &str,
        streams: &[(i64, usize)],
        followed: &Followed,
        print: &mut impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut any = false;
        let mut parts = vec![streams.to_vec()];
        while let Some(part) = parts.pop() {
            let Some(from) = part.iter().map(|(from, _)| *from).min() else { continue };
            let now = self.now;
            let mut by_name: HashMap<String, usize> = HashMap::new();
            for (_, n) in &part {
                let Some(stream) = self.streams.get_mut(*n) else { continue };
                stream.rewind();
                by_name.insert(stream.place.stream.clone(), *n);
            }
            let names: Vec<String> = by_name.keys().cloned().collect();
            let pattern = followed.wanted.pattern.clone();
            let mut question = Question { from: Some(from.max(0)), pattern, ..Question::default() };
            loop {
                let answer = contact.keep(async |s| call::filter(s, group, &names, &question).await).await?;
                self.calls += 1;
                if !matches!(answer, Answer::NoGroup(_)) {
                    self.group.is_there();
                }
                let (lines, tokens) = match answer {
                    Answer::Lines(lines, tokens) => (lines, tokens),
                    Answer::NoGroup(failure) => {
                        self.group.is_missing(failure);
                        break;
                    }
                    Answer::TokenExpired => {
                        parts.push(part);
                        break;
                    }
                    Answer::NoStream => {
                        match part.split_at_checked(part.len() / 2) {
                            Some((left, right)) if part.len() > 1 => {
                                parts.extend([left.to_vec(), right.to_vec()]);
                            }
                            _ => self.is_missing(&part),
                        }
                        break;
                    }
                };
                let mut new = Vec::new();
                for line in lines {
                    self.saw(line.ingested);
                    let stream = by_name.get(&line.stream).and_then(|n| self.streams.get_mut(*n));
                    let Some(stream) = stream else { continue };
                    if stream.is_new(line.timestamp.unwrap_or(0)) {
                        let place = stream.place.clone();
                        new.push(Event { place, timestamp: line.timestamp, message: line.message });
                    }
                }
                any |= !new.is_empty();
                print(&new)?;
                match tokens.forward {
                    Some(token) => question.token = Some(token),
                    None => {
                        self.were_read(&part, now);
                        break;
                    }
                }
            }
        }
        Ok(any)
    }

    /// These were read to their end by a call that began at this time or later.
    fn were_read(&mut self, streams: &[(i64, usize)], at: i64) {
        for (_, n) in streams {
            if let Some(stream) = self.streams.get_mut(*n) {
                stream.read_at = Some(at);
                stream.missing_until = None;
            }
        }
    }

    fn is_missing(&mut self, streams: &[(i64, usize)]) {
        for (_, n) in streams {
            if let Some(stream) = self.streams.get_mut(*n) {
                stream.missing_until = Some(Instant::now() + SOUGHT_EVERY);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.writers.values().all(|w| w.settled || (w.job.has_ended() && !w.has_streams))
            && self.streams.iter().all(|s| s.done)
    }
}
