//! ListJobs.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_batch::types::{JobStatus, KeyValuesPair};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Job, describe};
use crate::aws::{Call, Session, explain, explain_unreadable, next_page, spawn_call};
use crate::ui::Failure;
use awsb_model::{JobId, Status, limits};

/// The jobs that a listing has.
#[derive(Debug, Clone)]
pub enum ListTarget {
    /// The jobs of a queue: a name or an ARN.
    Queue(String),
    /// The jobs of a queue that were submitted after a time, in milliseconds since the epoch. They
    /// come in every state, and fewer to a page.
    QueueSince(String, i64),
    /// The jobs of a queue whose names begin with a text; with `false`, whose name is this text.
    /// Upper and lower case are the same. They come in every state, without children.
    QueueNamed(String, String, bool),
    /// The children of an array.
    Children(JobId),
    /// The nodes of an MNP job.
    Nodes(JobId),
}

/// The jobs of a queue that are in one of these states, the oldest first.
///
/// # Errors
/// When Batch cannot be asked or does not know the queue.
pub async fn list(session: &Session, queue: &str, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut jobs = all(session, ListTarget::Queue(queue.to_owned()), statuses).await?;
    jobs.sort_by(|a, b| (a.created_at, &a.job_id).cmp(&(b.created_at, &b.job_id)));
    Ok(jobs)
}

/// The children of an array that are in one of these states, by index.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn children(session: &Session, parent: &JobId, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut jobs = all(session, ListTarget::Children(parent.clone()), statuses).await?;
    jobs.sort_by_key(|j| j.id().array_index());
    Ok(jobs)
}

/// The children of an array or the nodes of an MNP job that are in one of these states, by index.
/// When all states are asked for, none is missing.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn parts(session: &Session, parent: &Job, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let id = parent.id();
    let of = if parent.is_mnp_parent() { ListTarget::Nodes(id) } else { ListTarget::Children(id) };
    let mut jobs = all(session, of, statuses).await?;
    if statuses == Status::ALL {
        jobs.extend(missed_parts(session, parent, &jobs).await?);
    }
    jobs.sort_by_key(|j| j.id().part());
    Ok(jobs)
}

/// All children of an array or all nodes of an MNP job, by index. Each comes as soon as those
/// before it have come. A job that changes its state meanwhile comes with the state that it had in
/// the listing.
pub fn parts_in_order<'a>(session: &'a Session, parent: &Job) -> BoxStream<'a, Result<Vec<Job>, Failure>> {
    let of = if parent.is_mnp_parent() {
        ListTarget::Nodes(parent.id())
    } else {
        ListTarget::Children(parent.id())
    };
    let open = (pages(session, of, &Status::ALL), InOrder::default(), parent.clone());
    let steps = stream::try_unfold(Some(open), move |open| async move {
        let Some((mut pages, mut parts, parent)) = open else { return Ok(None) };
        while let Some(page) = pages.next().await {
            page?.jobs.into_iter().for_each(|job| parts.add(job));
            let ready = parts.ready();
            if !ready.is_empty() {
                return Ok(Some((ready, Some((pages, parts, parent)))));
            }
        }
        let ids: Vec<JobId> = parts.missing(parent.parts().unwrap_or(0)).map(|i| parent.part(i)).collect();
        describe(session, &ids).await?.into_iter().flatten().for_each(|job| parts.add(job));
        Ok(Some((parts.rest(), None)))
    });
    steps.boxed()
}

/// Brings parts that come in any order into the order of their indices.
#[derive(Debug, Default)]
struct InOrder {
    next: u32,
    waiting: BTreeMap<u32, Job>,
}

impl InOrder {
    fn add(&mut self, job: Job) {
        let Some(index) = job.id().part().filter(|index| *index >= self.next) else { return };
        // When a job is in two answers, its later state counts.
        if self.waiting.get(&index).is_none_or(|listed| listed.status < job.status) {
            self.waiting.insert(index, job);
        }
    }

    /// The next parts before which none is missing.
    fn ready(&mut self) -> Vec<Job> {
        let mut ready = Vec::new();
        while let Some(job) = self.waiting.remove(&self.next) {
            ready.push(job);
            self.next += 1;
        }
        ready
    }

    /// The indices below `size` whose parts have not come.
    fn missing(&self, size: u32) -> impl Iterator<Item = u32> {
        (self.next..size).filter(|index| !self.waiting.contains_key(index))
    }

    /// All parts that are left.
    fn rest(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }
}

/// The parts that no listing had, because they changed their state between two calls.
async fn missed_parts(session: &Session, parent: &Job, listed: &[Job]) -> Result<Vec<Job>, Failure> {
    let mut missing = vec![true; parent.parts().unwrap_or(0) as usize];
    for part in listed.iter().filter_map(|job| job.id().part()) {
        if let Some(missing) = missing.get_mut(part as usize) {
            *missing = false;
        }
    }
    let indices = (0..).zip(missing).filter_map(|(index, missing)| missing.then_some(index));
    let ids: Vec<JobId> = indices.map(|index| parent.part(index)).collect();
    Ok(describe(session, &ids).await?.into_iter().flatten().collect())
}

/// The jobs of all pages. When a job is in two answers, its later state counts.
async fn all(session: &Session, of: ListTarget, statuses: &[Status]) -> Result<Vec<Job>, Failure> {
    let mut jobs: HashMap<String, Job> = HashMap::new();
    let mut pages = pages(session, of, statuses);
    while let Some(page) = pages.next().await {
        for job in page?.jobs {
            match jobs.get(&job.job_id) {
                Some(listed) if listed.status >= job.status => {}
                _ => drop(jobs.insert(job.job_id.clone(), job)),
            }
        }
    }
    Ok(jobs.into_values().collect())
}

/// A page of a listing.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// The state for which Batch was asked.
    pub status: Status,
    /// The jobs, as Batch orders them.
    pub jobs: Vec<Job>,
    /// Whether more pages of this state follow.
    pub more: bool,
}

/// The pages of a listing as they come. One call is for one state. The active states are asked for
/// at the same time, so that they cost one round trip together. The states of ended jobs come
/// behind them, so that a job that ends meanwhile is not missed.
///
/// An active job that changes its state just then can be in two answers or, rarely, in none. A
/// caller that must not miss it uses [`pages_in_turn`].
pub fn pages<'a>(
    session: &'a Session,
    of: ListTarget,
    statuses: &[Status],
) -> BoxStream<'a, Result<ListPage, Failure>> {
    let (ended, active): (Vec<_>, Vec<_>) =
        states_to_ask(&of, statuses).into_iter().partition(|s| s.has_ended());
    let at_once = move |statuses: Vec<Status>| {
        stream::select_all(statuses.into_iter().map(|status| of_status(session, of.clone(), status)))
    };
    at_once(active).chain(at_once(ended)).boxed()
}

/// The same pages, one state after the other in the order in which jobs go through them. A job that
/// changes its state meanwhile comes later, perhaps twice.
///
/// A job goes back from RUNNING to RUNNABLE for another attempt, so RUNNABLE is asked for once
/// more. A job is missed only if it has left RUNNABLE again by then.
pub fn pages_in_turn<'a>(
    session: &'a Session,
    of: ListTarget,
    statuses: &[Status],
) -> BoxStream<'a, Result<ListPage, Failure>> {
    let mut statuses = states_to_ask(&of, statuses);
    statuses.sort_unstable();
    if statuses.contains(&Status::Runnable)
        && let Some(running) = statuses.iter().position(|status| *status == Status::Running)
    {
        statuses.insert(running + 1, Status::Runnable);
    }
    stream::iter(statuses.into_iter().map(move |status| of_status(session, of.clone(), status)))
        .flatten()
        .boxed()
}

/// The states with which ListJobs is called for these states.
fn states_to_ask(of: &ListTarget, statuses: &[Status]) -> Vec<Status> {
    match of {
        // A listing with a filter has the jobs of all states.
        ListTarget::QueueSince(..) | ListTarget::QueueNamed(..) => vec![Status::Running],
        _ => statuses.to_vec(),
    }
}

/// The pages of one state, one after the other: each has the token of the next.
fn of_status(session: &Session, of: ListTarget, status: Status) -> BoxStream<'_, Result<ListPage, Failure>> {
    let first = Some((of, None::<String>));
    let pages = stream::unfold(first, move |state| async move {
        let (of, token) = state?;
        let (asked, session) = (of.clone(), session.clone());
        let answer = spawn_call(async move { page(&session, &asked, status, token).await }).await;
        let next = answer.as_ref().ok().and_then(|(_, next)| next.clone());
        Some((answer.map(|(page, _)| page), next.map(|token| (of, Some(token)))))
    });
    pages.boxed()
}

/// One page, and the token of the next.
async fn page(
    session: &Session,
    of: &ListTarget,
    status: Status,
    token: Option<String>,
) -> Result<(ListPage, Option<String>), Failure> {
    let call = session.batch.list_jobs().set_next_token(token.clone());
    let all = call.clone().job_status(JobStatus::from(status.as_str())).max_results(limits::LIST_JOBS_PAGE);
    let call = match of {
        ListTarget::Queue(queue) => all.job_queue(queue),
        ListTarget::Children(parent) => all.array_job_id(parent.as_str()),
        ListTarget::Nodes(parent) => all.multi_node_job_id(parent.as_str()),
        ListTarget::QueueSince(queue, time) => {
            let filter = KeyValuesPair::builder().name("AFTER_CREATED_AT").values(time.to_string()).build();
            call.job_queue(queue).filters(filter)
        }
        ListTarget::QueueNamed(queue, name, begins) => {
            let value = if *begins { format!("{name}*") } else { name.clone() };
            call.job_queue(queue).filters(KeyValuesPair::builder().name("JOB_NAME").values(value).build())
        }
    };
    let doing = || match of {
        ListTarget::Queue(queue) | ListTarget::QueueSince(queue, _) | ListTarget::QueueNamed(queue, ..) => {
            format!("listing the jobs of the queue {queue}")
        }
        ListTarget::Children(parent) => format!("listing the children of the array {parent}"),
        ListTarget::Nodes(parent) => format!("listing the nodes of the job {parent}"),
    };
    let answer = call.send().await.map_err(|e| {
        let doing = doing();
        let call = Call::new(&doing);
        let call = match of {
            ListTarget::Queue(queue)
            | ListTarget::QueueSince(queue, _)
            | ListTarget::QueueNamed(queue, ..) => call.job_queue(queue),
            ListTarget::Children(_) | ListTarget::Nodes(_) => call,
        };
        explain(session, call, &e)
    })?;
    let jobs: Vec<Job> = answer.job_summary_list().iter().map(Job::from).collect();
    let is_id = |id: &str| id.parse::<JobId>().is_ok_and(|parsed| parsed.as_str() == id);
    if let Some(job) = jobs.iter().find(|job| !is_id(&job.job_id)) {
        return Err(explain_unreadable(
            session,
            &doing(),
            format!("`{}` is not the ID of a job", job.job_id),
        ));
    }
    let next = next_page(token.as_deref(), answer.next_token)
        .map_err(|e| Failure::failed(format!("{}: {e}", doing())))?;
    Ok((ListPage { status, jobs, more: next.is_some() }, next))
}
