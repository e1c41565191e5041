//! `--once KEY`: one piece of work, however often and from wherever it is submitted.
//!
//! The key is an object in the cluster's bucket ([`Record`]), taken with a conditional put. Whoever holds it
//! submits, and writes the IDs into it; whoever finds it held waits for them. The marks of the jobs are in it before
//! anything is submitted: when the holder dies, the next one finds what it has submitted by them, or submits
//! with the same marks, so that the last look of [`submit`](super::submit()) dissolves a double even if the holder
//! was only slow.

mod record;
mod store;

use std::collections::{HashMap, hash_map};
use std::io::IsTerminal;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::submit::{CLOCK_SKEW, Search, end_double, milliseconds, submit_shared};
use super::{Job, Patience, Progress, Submitted, describe, submit};
use crate::cluster::Session;
use crate::job::{JobId, Mark, OnceKey, Status, SubmitRequest};
use crate::ui::{Failure, note};
use record::{Entry, Record, Stage};
use store::{ETag, Store};

/// A holder that has not written for this many settle times is dead, or as good as dead. Longer than one: what it
/// has submitted must have shown by then.
const LEASE: u32 = 3;
/// A holder writes this often within a lease.
const BEATS: u32 = 3;
/// The shortest lease, for a settle time of nothing.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// How often a held key is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The jobs of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// One for each request, in order.
    pub jobs: Vec<Submitted>,
    /// Nothing was submitted: they were there already.
    pub earlier: bool,
}

/// Submits the jobs of a key, unless they are there.
///
/// * All of them active or SUCCEEDED: nothing is submitted. The same while any is active, whatever has become of the
///   others: the work goes on.
/// * All ended, and some FAILED: those are submitted again, the others are kept. When the requests are others than
///   before (in number, names or queues), all are submitted again.
/// * Somebody else is submitting them: they are waited for.
///
/// # Errors
/// As [`submit`](super::submit()); when the key's object cannot be read or written; when Batch has forgotten the jobs.
pub async fn once(
    session: &Session,
    key: &OnceKey,
    requests: &[SubmitRequest],
    patience: &Patience,
    progress: &Progress,
) -> Result<Once, Failure> {
    let keeper = Keeper {
        session,
        key,
        requests,
        patience,
        progress,
        store: Store::new(session, key),
        holder: Uuid::new_v4().to_string(),
        lease: (patience.settle * LEASE).max(SHORTEST_LEASE),
    };
    keeper.keep().await
}

struct Keeper<'a> {
    session: &'a Session,
    key: &'a OnceKey,
    requests: &'a [SubmitRequest],
    patience: &'a Patience,
    progress: &'a Progress,
    store: Store,
    holder: String,
    lease: Duration,
}

/// The record while it is ours.
struct Held {
    record: Record,
    etag: ETag,
    /// Whether somebody else may be submitting with its marks.
    shared: bool,
    next_beat: Instant,
}

/// What has become of a key that was somebody's.
enum Taken {
    /// It is ours.
    Ours(Held),
    /// Its jobs are there.
    There(Vec<Submitted>),
}

impl Keeper<'_> {
    async fn keep(&self) -> Result<Once, Failure> {
        // What we have submitted, and the request that it was for. It counts only if the record says so.
        let mut ours: Vec<(usize, Submitted)> = Vec::new();
        let fresh = self.fresh();
        let etag = self.store.put(&fresh, None).await?;
        let mut held = etag.map(|etag| self.held(fresh, etag, false));
        loop {
            let held = match held.take() {
                Some(held) => held,
                None => match self.take(&ours).await? {
                    Taken::Ours(held) => held,
                    Taken::There(jobs) => {
                        let earlier = !ours.iter().any(|(_, job)| jobs.contains(job));
                        return Ok(Once { jobs, earlier });
                    }
                },
            };
            if let Some(jobs) = self.submit(held, &mut ours).await? {
                return Ok(Once { jobs, earlier: false });
            }
        }
    }

    /// Waits until a key that is somebody's is ours, or its jobs are there.
    async fn take(&self, ours: &[(usize, Submitted)]) -> Result<Taken, Failure> {
        // The version that is waited upon, and since when.
        let mut watched: Option<(ETag, Instant)> = None;
        let mut told = false;
        loop {
            let Some((record, etag)) = self.store.get().await? else {
                let fresh = self.fresh();
                if let Some(etag) = self.store.put(&fresh, None).await? {
                    return Ok(Taken::Ours(self.held(fresh, etag, false)));
                }
                continue;
            };
            let (next, shared) = match record.stage() {
                Stage::Free => (record.replaced(self.fresh()), false),
                Stage::Submitted(jobs) => {
                    self.end_doubles(ours, &jobs).await?;
                    match self.failed(&jobs).await?.as_slice() {
                        [] => return Ok(Taken::There(jobs)),
                        failed if record.is_of(self.requests) => (record.anew(self.fresh(), failed), false),
                        _ => (record.replaced(self.fresh()), false),
                    }
                }
                Stage::Held => {
                    let since = match &watched {
                        Some((version, since)) if *version == etag => *since,
                        _ => watched.insert((etag.clone(), Instant::now())).1,
                    };
                    if since.elapsed() < self.lease && !self.is_long_ago(&record) {
                        if !std::mem::replace(&mut told, true) && std::io::stderr().is_terminal() {
                            note(format!(
                                "bsub: waiting for {}, who is submitting under this key",
                                record.by
                            ));
                        }
                        sleep(LOOK.min(self.lease / BEATS)).await;
                        continue;
                    }
                    self.left_behind(record).await?
                }
            };
            if let Some(etag) = self.store.put(&next, Some(&etag)).await?
                && next.stage() == Stage::Held
            {
                return Ok(Taken::Ours(self.held(next, etag, shared)));
            }
        }
    }

    /// Whether a record was written so long ago that its holder is dead, whatever our clock's error.
    fn is_long_ago(&self, record: &Record) -> bool {
        time(record.written).elapsed().is_ok_and(|ago| ago > self.lease + CLOCK_SKEW)
    }

    /// The record to go on with when its holder is gone, with the jobs that it has submitted; and whether
    /// it may be submitting still, because it was only slow.
    async fn left_behind(&self, mut record: Record) -> Result<(Record, bool), Failure> {
        let mut searches: HashMap<(String, String), Search> = HashMap::new();
        for entry in record.jobs.iter_mut().filter(|entry| entry.job_id.is_none()) {
            let search = match searches.entry((entry.job_queue.clone(), entry.job_name.clone())) {
                hash_map::Entry::Occupied(known) => known.into_mut(),
                hash_map::Entry::Vacant(new) => {
                    let mut search = Search::new(&entry.job_queue, &entry.job_name, time(record.since));
                    search.look(self.session, None).await?;
                    new.insert(search)
                }
            };
            if let Some(found) = search.with(&entry.mark).first() {
                entry.set(&found.job);
            }
        }
        let there: Vec<Submitted> = record.jobs.iter().filter_map(Entry::submitted).collect();
        if record.is_of(self.requests) || there.len() == record.jobs.len() {
            Ok((record.taken_over(self.fresh()), true))
        } else if there.is_empty() {
            Ok((record.replaced(self.fresh()), false))
        } else {
            let ids: Vec<&str> = there.iter().map(|job| job.job_id.as_str()).collect();
            let (key, by) = (self.key, &record.by);
            Err(Failure::failed(format!(
                "the key {key} stands for other jobs, of which {by} has submitted {} of {}: {}",
                there.len(),
                record.jobs.len(),
                ids.join(" ")
            ))
            .hint("the same command as then submits the rest")
            .hint(format!("`aws s3 rm {}` forgets the key, and leaves its jobs alone", self.store.url())))
        }
    }

    /// Submits what the record lacks and writes it down; `None` when the key is somebody else's by now.
    async fn submit(
        &self,
        mut held: Held,
        ours: &mut Vec<(usize, Submitted)>,
    ) -> Result<Option<Vec<Submitted>>, Failure> {
        let lacking = held.record.jobs.iter().enumerate().filter(|(_, entry)| entry.job_id.is_none());
        let lacking: Vec<(usize, Mark)> = lacking.map(|(at, entry)| (at, entry.mark.clone())).collect();
        for (at, mark) in lacking {
            let Some(request) = self.requests.get(at) else { continue };
            let submitted = match held.shared {
                true => {
                    let submission =
                        submit_shared(self.session, request, &mark, self.patience, self.progress);
                    self.beating(&mut held, submission).await
                }
                false => {
                    let submission = submit(self.session, request, &mark, self.patience, self.progress);
                    self.beating(&mut held, submission).await
                }
            };
            match submitted {
                Ok(job) => {
                    held.record.jobs[at].set(&job);
                    ours.push((at, job));
                }
                Err(failure) => return Err(self.let_go(held, failure).await),
            }
        }
        held.record.beat(milliseconds(SystemTime::now()));
        let jobs: Vec<Submitted> = held.record.jobs.iter().filter_map(Entry::submitted).collect();
        match self.store.put(&held.record, Some(&held.etag)).await {
            Ok(Some(_)) => Ok(Some(jobs)),
            Ok(None) => Ok(None),
            // They are there all the same, and whoever comes next finds them by their marks.
            Err(failure) => {
                note(format!("bsub: warning: the jobs could not be noted under their key: {failure}"));
                Ok(Some(jobs))
            }
        }
    }

    /// Does some work, and tells the others now and then that we are alive.
    async fn beating<T>(&self, held: &mut Held, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(held.next_beat) => {}
            }
            held.record.beat(milliseconds(SystemTime::now()));
            held.next_beat = Instant::now() + self.lease / BEATS;
            // Whether the key has been lost shows at the end, and is settled there.
            if let Ok(Some(etag)) = self.store.put(&held.record, Some(&held.etag)).await {
                held.etag = etag;
            }
        }
    }

    /// After a failure: when it is certain that no job has come of it, the key is free at once.
    async fn let_go(&self, mut held: Held, failure: Failure) -> Failure {
        let nothing_is_there = held.record.jobs.iter().all(|entry| entry.job_id.is_none());
        if self.progress.is_open() || held.shared || !nothing_is_there {
            return failure.hint("the same command again, with the same key, finds what was submitted");
        }
        held.record.jobs.clear();
        held.record.beat(milliseconds(SystemTime::now()));
        // If that fails, others wait a little before they look for jobs that are not there.
        let _ = self.store.put(&held.record, Some(&held.etag)).await;
        failure
    }

    /// Those of the key's jobs that are to be submitted again.
    async fn failed(&self, jobs: &[Submitted]) -> Result<Vec<JobId>, Failure> {
        let ids: Vec<JobId> = jobs.iter().map(Submitted::id).collect();
        let begun = Instant::now();
        let known = loop {
            let known = describe(self.session, &ids).await?;
            match known.into_iter().collect::<Option<Vec<Job>>>() {
                Some(known) => break known,
                // One that was submitted just now may not be there to be described.
                None if begun.elapsed() < self.patience.settle => sleep(LOOK.min(self.lease / BEATS)).await,
                None => return Err(self.forgotten(&ids)),
            }
        };
        if known.iter().any(|job| !job.status.has_ended()) {
            return Ok(Vec::new());
        }
        Ok(known.iter().filter(|job| job.status == Status::Failed).map(Job::id).collect())
    }

    fn forgotten(&self, ids: &[JobId]) -> Failure {
        let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
        Failure::failed(format!(
            "the key {} stands for the job {}, which Batch does not know any more: whether it succeeded is not known",
            self.key,
            ids.join(" ")
        ))
        .hint("Batch forgets ended jobs after some days")
        .hint(format!("`aws s3 rm {}` forgets the key, too: then the same command submits anew", self.store.url()))
    }

    /// Somebody took the key from us while we were submitting: what they have noted counts.
    async fn end_doubles(&self, ours: &[(usize, Submitted)], noted: &[Submitted]) -> Result<(), Failure> {
        for (at, job) in ours.iter().filter(|(_, job)| noted.iter().all(|n| n.job_id != job.job_id)) {
            if let Some(kept) = noted.get(*at).or(noted.first()) {
                end_double(self.session, job, kept).await?;
            }
        }
        Ok(())
    }

    fn fresh(&self) -> Record {
        Record::new(self.key, self.holder.clone(), myself(), milliseconds(SystemTime::now()), self.requests)
    }

    fn held(&self, record: Record, etag: ETag, shared: bool) -> Held {
        Held { record, etag, shared, next_beat: Instant::now() + self.lease / BEATS }
    }
}

/// `user@host`, for people.
fn myself() -> String {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into());
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    format!("{user}@{}", host.as_deref().unwrap_or("somewhere"))
}

/// A time that was written in milliseconds since the epoch.
fn time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
