//! The log streams of pods on EKS. AWS Batch does not know them: the settings say how what collects
//! the output of pods names its streams.
//!
//! Where the settings have only the beginning of a name, CloudWatch Logs is asked for the rest. Its
//! answers are in [`PodStreams`], so that a reader that looks at a job again and again asks seldom.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::aws::{Pages, ResilientSession, Session};
use crate::batch::{self, Job};
use crate::config::PodLogs;
use crate::logs::event::is_long_ago;
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, PodNames, PodStream};

/// A stream may appear this long after the end of its container: Fluent Bit, as Container Insights
/// sets it up, sends lines every five seconds, and makes the stream with the first of them.
const LATE: Duration = Duration::from_secs(15);
/// The pause before a stream is asked for again that should be there soon.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause of that kind: a container may run for hours before it prints a line.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A stream that was found is asked for again after this time, as a container that was started
/// again has another ID, and another stream.
const FOUND_PAUSE: Duration = Duration::from_secs(60);
/// At most this many streams are asked for in a round of a reader that follows.
const CALLS_OF_A_ROUND: usize = 20;
/// At most this many calls run at the same time.
const CALLS_AT_ONCE: usize = 5;

/// The jobs among these that Batch knows, with the log streams of their pods.
///
/// # Errors
/// When Batch or CloudWatch Logs cannot be asked.
pub async fn describe_writers(session: &Session, ids: &[JobId]) -> Result<Vec<Job>, Failure> {
    let mut jobs: Vec<Job> = batch::describe(session, ids).await?.into_iter().flatten().collect();
    name_streams(session, &mut jobs).await?;
    Ok(jobs)
}

/// Gives the containers of the jobs' pods their log groups and streams, as far as the settings of
/// the cluster say how these are named. Other jobs stay as they are.
///
/// # Errors
/// When CloudWatch Logs cannot be asked for the streams whose names begin so.
pub async fn name_streams(session: &Session, jobs: &mut [Job]) -> Result<(), Failure> {
    let Some(logs) = &session.cluster.pod_logs else { return Ok(()) };
    let (mut streams, now) = (PodStreams::default(), Instant::now());
    let due = streams.set_names(logs, jobs, now);
    let found = newest_streams(session, &due).await?;
    streams.record(due.into_iter().zip(found.into_iter().map(|newest| newest.name)), now);
    streams.set_names(logs, jobs, now);
    Ok(())
}

/// The log streams of pods that CloudWatch Logs was asked for, by the beginnings of their names.
#[derive(Debug, Default)]
pub(super) struct PodStreams {
    lookups: HashMap<String, Lookup>,
    may_appear: bool,
    /// The calls that were not taken yet.
    calls: u32,
}

/// The answers about one stream.
#[derive(Debug, Default)]
struct Lookup {
    stream: Option<String>,
    first_asked: Option<Instant>,
    /// When it was asked for last.
    asked: Option<Instant>,
    /// When its container was first seen to have ended.
    ended: Option<Instant>,
}

/// Whether a container may still write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContainerEnd {
    /// It has not ended.
    Open,
    /// It has ended, perhaps just now.
    Ended,
    /// It has ended so long ago that its output has arrived.
    LongAgo,
}

impl ContainerEnd {
    fn of(has_ended: bool, stopped_at: Option<i64>) -> Self {
        match (has_ended, is_long_ago(stopped_at)) {
            (false, _) => Self::Open,
            (true, false) => Self::Ended,
            (true, true) => Self::LongAgo,
        }
    }

    /// The latest time at which the container may have ended; `None` if it has not ended.
    fn at(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Open => None,
            Self::Ended => Some(now),
            Self::LongAgo => Some(now.checked_sub(LATE).unwrap_or(now)),
        }
    }
}

impl Lookup {
    fn is_due(&self, now: Instant) -> bool {
        let (Some(asked), Some(first)) = (self.asked, self.first_asked) else { return true };
        let since = |at: Instant| now.saturating_duration_since(at);
        match (&self.stream, self.ended) {
            (_, Some(ended)) if asked < ended => true,
            (Some(_), Some(_)) => false,
            (None, Some(_)) => self.may_appear(now) && since(asked) >= SHORTEST_PAUSE,
            (Some(_), None) => since(asked) >= FOUND_PAUSE,
            (None, None) => since(asked) >= (since(first) / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
        }
    }

    /// Whether the stream of a container that has ended is not there, but may still appear.
    fn may_appear(&self, now: Instant) -> bool {
        let is_missing = self.stream.is_none();
        is_missing && self.ended.is_some_and(|at| self.asked.is_none() || now < at + LATE)
    }
}

impl PodStreams {
    /// Gives the containers of the jobs' pods their log groups and streams, and asks for those that
    /// are not known: for each stream seldom, and after the end of its container once, or until it
    /// is there.
    ///
    /// # Errors
    /// When contact is lost for good, or CloudWatch Logs refuses.
    pub async fn find_names(
        &mut self,
        contact: &mut ResilientSession,
        jobs: &mut [Job],
    ) -> Result<(), Failure> {
        let Some(logs) = &contact.session().cluster.pod_logs else { return Ok(()) };
        let mut due = self.set_names(logs, jobs, Instant::now());
        due.truncate(CALLS_OF_A_ROUND);
        for some in due.chunks(CALLS_AT_ONCE) {
            let asked = Instant::now();
            let found = contact.keep(async |s| newest_streams(s, some).await).await?;
            self.calls = found.iter().fold(self.calls, |calls, newest| calls.saturating_add(newest.calls));
            self.record(some.iter().cloned().zip(found.into_iter().map(|newest| newest.name)), asked);
        }
        if !due.is_empty()
            && let Some(logs) = &contact.session().cluster.pod_logs
        {
            self.set_names(logs, jobs, Instant::now());
        }
        Ok(())
    }

    /// The number of calls that were made since it was last asked for.
    pub fn take_calls(&mut self) -> u32 {
        std::mem::take(&mut self.calls)
    }

    /// Whether the last jobs that were named have containers that have ended, and whose streams are
    /// not there but may still appear.
    pub fn may_appear(&self) -> bool {
        self.may_appear
    }

    /// Gives containers the streams that are known. Returns the beginnings of the names that are to
    /// be asked for; those that were never asked for come first.
    fn set_names(&mut self, logs: &PodLogs, jobs: &mut [Job], now: Instant) -> Vec<String> {
        let mut due: Vec<(Option<Instant>, String)> = Vec::new();
        self.may_appear = false;
        for job in jobs {
            each_container(logs, job, |stream, end| {
                let prefix = match stream {
                    PodStream::Name(name) => return Some(name),
                    PodStream::Prefix(prefix) => prefix,
                };
                let lookup = self.lookups.entry(prefix.clone()).or_default();
                lookup.ended = lookup.ended.or_else(|| end.at(now));
                self.may_appear |= lookup.may_appear(now);
                if lookup.is_due(now) {
                    due.push((lookup.asked, prefix));
                }
                lookup.stream.clone()
            });
        }
        due.sort_unstable();
        // A job and its last attempt have the same pod.
        due.dedup();
        due.into_iter().map(|(_, prefix)| prefix).collect()
    }

    fn record(&mut self, found: impl Iterator<Item = (String, Option<String>)>, asked: Instant) {
        for (prefix, stream) in found {
            let lookup = self.lookups.entry(prefix).or_default();
            lookup.stream = stream.or(lookup.stream.take());
            lookup.first_asked.get_or_insert(asked);
            lookup.asked = Some(asked);
        }
    }
}

/// Sets the log group and the stream of each container of a job's pods. `find_name` gets the form
/// of the stream's name, if all names for that are known, and whether the container has ended.
fn each_container(
    logs: &PodLogs,
    job: &mut Job,
    mut find_name: impl FnMut(PodStream, ContainerEnd) -> Option<String>,
) {
    // One stream of all containers would be shown once for each of them.
    let most = if logs.stream.tells_containers_apart() { usize::MAX } else { 1 };
    let (has_ended, stopped_at) = (job.status.has_ended(), job.stopped_at);
    let pod = job.eks_properties.as_mut().and_then(|eks| eks.pod_properties.as_mut());
    if let Some(pod) = pod {
        let of_pod = names(&pod.pod_name, &pod.namespace, &pod.node_name);
        for container in pod.containers.iter_mut().chain(&mut pod.init_containers).take(most) {
            let end = ContainerEnd::of(has_ended || container.exit_code.is_some(), stopped_at);
            let stream = stream_of(logs, of_pod, container.name.as_deref());
            container.log_stream_name = stream.and_then(|stream| find_name(stream, end));
            container.log_group = Some(logs.group.clone());
        }
    }
    for attempt in job.attempts.iter_mut().flatten() {
        let Some(pod) = &mut attempt.pod else { continue };
        let end = ContainerEnd::of(has_ended || attempt.stopped_at.is_some(), attempt.stopped_at);
        let of_pod = names(&pod.pod_name, &pod.pod_namespace, &pod.node_name);
        for container in pod.containers.iter_mut().chain(&mut pod.init_containers).take(most) {
            let stream = stream_of(logs, of_pod, container.name.as_deref());
            container.log_stream_name = stream.and_then(|stream| find_name(stream, end));
        }
    }
}

fn names<'a>(
    pod: &'a Option<String>,
    namespace: &'a Option<String>,
    node: &'a Option<String>,
) -> PodNames<'a> {
    PodNames { pod: pod.as_deref(), namespace: namespace.as_deref(), node: node.as_deref(), container: None }
}

/// How the stream of a container is named; `None` as long as it lacks a name that is needed.
fn stream_of(logs: &PodLogs, names: PodNames<'_>, container: Option<&str>) -> Option<PodStream> {
    // Batch calls a container without a name `Default` (API `EksContainer`), and names in
    // Kubernetes have lower case letters only.
    let container = container.unwrap_or("default").to_ascii_lowercase();
    logs.stream.stream(PodNames { container: Some(&container), ..names })
}

/// The newest of the streams whose names begin in one way.
#[derive(Debug, Default)]
struct NewestStream {
    /// Its name, if there is one.
    name: Option<String>,
    /// The number of calls that it took to find it: one for each page.
    calls: u32,
}

/// The newest streams whose names begin so, in this order.
async fn newest_streams(session: &Session, prefixes: &[String]) -> Result<Vec<NewestStream>, Failure> {
    let calls = prefixes.iter().map(|prefix| newest_stream(session, prefix));
    stream::iter(calls).buffered(CALLS_AT_ONCE).try_collect().await
}

/// The newest of the streams whose names begin so. With a prefix, they are listed by name (API
/// `DescribeLogStreams`, orderBy), so that the newest one may be on any page.
async fn newest_stream(session: &Session, prefix: &str) -> Result<NewestStream, Failure> {
    let Some(logs) = &session.cluster.pod_logs else { return Ok(NewestStream::default()) };
    let call = session.logs.describe_log_streams().log_group_name(&logs.group).log_stream_name_prefix(prefix);
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    let mut newest: Option<(Option<i64>, String)> = None;
    let mut calls: u32 = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| {
            let doing = format!("looking for the log streams {prefix}… in the log group {}", logs.group);
            let failure = e.explain(session, &doing);
            match failure.kind() {
                ErrorKind::NotFound => failure.hint(session.cluster.hint_to_setting(
                    "eks_log_group",
                    "\"…\"",
                    "names another one",
                )),
                _ => failure,
            }
        })?;
        calls = calls.saturating_add(1);
        let streams = page.log_streams.unwrap_or_default().into_iter();
        let streams = streams.filter_map(|stream| Some((stream.creation_time, stream.log_stream_name?)));
        newest = newest.into_iter().chain(streams).max();
    }
    Ok(NewestStream { name: newest.map(|(_, name)| name), calls })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Attempt, AttemptContainer, AttemptPod};
    use awsb_model::Status;

    fn logs() -> PodLogs {
        PodLogs { group: "/pods".to_owned(), stream: "{pod}-*".parse().expect("a pattern") }
    }

    /// A job with one attempt, which has ended or not.
    fn job(status: Status, stopped_at: Option<i64>) -> Job {
        let mut job = Job::submitted("j".to_owned(), "n".to_owned(), None);
        let container = AttemptContainer { name: Some("main".to_owned()), ..AttemptContainer::default() };
        let pod = AttemptPod {
            pod_name: Some("p".to_owned()),
            containers: vec![container],
            ..AttemptPod::default()
        };
        job.attempts = Some(vec![Attempt { stopped_at, pod: Some(pod), ..Attempt::default() }]);
        (job.status, job.stopped_at) = (status, stopped_at);
        job
    }

    fn now_ms() -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    /// The times in milliseconds, up to two minutes, at which a reader asks that looks ten times a
    /// second, for a container that ends at `ends` and whose stream is there from `appears` on.
    fn asked_at(ends: u64, appears: u64) -> (Vec<u64>, PodStreams) {
        let (mut streams, begun) = (PodStreams::default(), Instant::now());
        let mut asked = Vec::new();
        for at in (0..120_000).step_by(100) {
            let now = begun + Duration::from_millis(at);
            let mut jobs = match at < ends {
                true => [job(Status::Running, None)],
                false => [job(Status::Succeeded, Some(now_ms()))],
            };
            let due = streams.set_names(&logs(), &mut jobs, now);
            if !due.is_empty() {
                assert_eq!(due, ["p-"]);
                asked.push(at);
                streams.record(due.into_iter().map(|p| (p, (at >= appears).then(|| "p-1".to_owned()))), now);
            }
        }
        (asked, streams)
    }

    #[test]
    fn a_stream_that_is_there_is_asked_for_seldom_and_once_after_the_end() {
        assert_eq!(asked_at(70_000, 0).0, [0, 60_000, 70_000]);
    }

    #[test]
    fn a_stream_that_appears_after_the_end_is_found() {
        let (asked, streams) = asked_at(10_000, 13_000);
        assert_eq!(asked, [0, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 14_000]);
        assert!(!streams.may_appear());
    }

    #[test]
    fn a_stream_that_never_appears_is_given_up() {
        let (asked, streams) = asked_at(10_000, u64::MAX);
        assert_eq!(asked.last(), Some(&24_000));
        assert!(!streams.may_appear());
        // While the container runs, the pauses grow.
        let (asked, _) = asked_at(u64::MAX, u64::MAX);
        assert!(asked.len() < 40, "{asked:?}");
    }

    #[test]
    fn a_job_that_ended_long_ago_is_asked_for_once() {
        let (mut streams, begun) = (PodStreams::default(), Instant::now());
        let mut jobs = [job(Status::Failed, Some(now_ms() - 3_600_000))];
        let due = streams.set_names(&logs(), &mut jobs, begun);
        assert!(streams.may_appear() && due.len() == 1);
        streams.record(due.into_iter().map(|prefix| (prefix, None)), begun);
        for later in [0, 1, 5, 60] {
            assert!(streams.set_names(&logs(), &mut jobs, begun + Duration::from_secs(later)).is_empty());
            assert!(!streams.may_appear());
        }
    }
}
