//! Queries for jobs that are not named: the jobs of some queues, by state, name, time and
//! submitter.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{Job, ListPage, ListTarget, describe, pages, pages_in_turn, queues};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::{JobId, NameGlob, NamePattern, Status, Submitter, TimeArg};

/// At most this many queues are listed at the same time.
const QUEUES_AT_ONCE: usize = 4;

/// The properties of the jobs that are selected.
#[derive(Debug, Clone)]
pub struct JobQuery {
    /// Their queues (names or ARNs); none: all queues of the account and region.
    pub queues: Vec<String>,
    /// Their states.
    pub statuses: Vec<Status>,
    /// Their names.
    pub name: Option<NameGlob>,
    /// They were submitted at this time or later.
    pub since: Option<TimeArg>,
    /// They were submitted before this time.
    pub until: Option<TimeArg>,
    /// The user who submitted them. ListJobs lacks it, so this costs a DescribeJobs call for each
    /// 100 jobs that are left.
    pub submitter: Option<Submitter>,
}

impl JobQuery {
    /// Whether a listed job matches, apart from its submitter.
    fn matches(&self, job: &Job) -> bool {
        let name_is = self.name.as_ref().is_none_or(|glob| glob.matches(&job.job_name));
        name_is
            && self.statuses.contains(&job.status)
            // A job without `createdAt` matches neither bound.
            && self.since.is_none_or(|since| job.created_at.is_some_and(|at| at >= since.epoch_ms()))
            && self.until.is_none_or(|until| job.created_at.is_some_and(|at| at < until.epoch_ms()))
    }

    /// True if listing all states at the same time can miss a job that moves from one listed state
    /// to another.
    pub fn may_miss(&self) -> bool {
        let active = self.statuses.iter().filter(|status| !status.has_ended()).count();
        active > 1 && !self.lists_all_states()
    }

    /// Whether the listing is by time, and so has the jobs of all states.
    fn lists_all_states(&self) -> bool {
        self.since.is_some() && self.statuses.iter().any(|s| s.has_ended())
    }

    /// The listing by name that may have these jobs in one call, where others take several. Such a
    /// listing has the jobs of all states (API `ListJobs`, filters: `jobStatus` does not go
    /// together with them).
    fn listing_by_name(&self, queue: &str) -> Option<ListTarget> {
        let (beginning, more) = self.name.as_ref()?.beginning()?;
        let has_many_calls = self.statuses.len() > 1 && !self.lists_all_states();
        has_many_calls.then(|| ListTarget::QueueNamed(queue.to_owned(), beginning.to_owned(), more))
    }

    /// The cheapest listing that has these jobs. Batch has the ended jobs of a week. When only the
    /// later ones are asked for, a listing by time costs less than one of all ended jobs.
    fn listing(&self, queue: &str) -> ListTarget {
        match self.since {
            Some(since) if self.lists_all_states() => {
                // "After" excludes the time itself (API `ListJobs`, filters).
                ListTarget::QueueSince(queue.to_owned(), since.epoch_ms().saturating_sub(1).max(0))
            }
            _ => ListTarget::Queue(queue.to_owned()),
        }
    }
}

/// The jobs with a matching name that a user has submitted to these queues, in every state, the
/// oldest first.
///
/// # Errors
/// When Batch cannot be asked or does not know a queue.
pub async fn select_by_name(
    session: &Session,
    queues: &[&str],
    name: &NamePattern,
    submitter: Submitter,
) -> Result<Vec<Job>, Failure> {
    let (beginning, begins) = name.beginning();
    let query = JobQuery {
        queues: Vec::new(),
        statuses: Status::ALL.to_vec(),
        name: None,
        since: None,
        until: None,
        submitter: Some(submitter),
    };
    let mut jobs = Vec::new();
    for queue in queues {
        let of = ListTarget::QueueNamed((*queue).to_owned(), beginning.to_owned(), begins);
        let mut listed = pages_in_turn(session, of, &Status::ALL);
        while let Some(page) = listed.next().await {
            let mut page = page?;
            page.jobs.retain(|job| name.matches(&job.job_name));
            jobs.extend(retain_submitter(session, &query, page).await?.jobs);
        }
    }
    newest_last(&mut jobs);
    Ok(jobs)
}

/// The order in which Batch is asked for the states of a queue's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// All states at the same time. This is fastest, but may miss a job that changes its state just
    /// then.
    AtOnce,
    /// One state after the other, so that no job is missed ([`pages_in_turn`]).
    InTurn,
}

/// The jobs that a query selects, page by page as Batch lists them. Each has its queue, as the
/// query names it.
///
/// # Errors
/// When Batch cannot be asked for the queues. Later failures are in the stream.
pub async fn select_pages<'a>(
    session: &'a Session,
    query: &'a JobQuery,
    order: ListOrder,
) -> Result<BoxStream<'a, Result<ListPage, Failure>>, Failure> {
    let names = match query.queues.as_slice() {
        [] => queues(session, &[]).await?.into_iter().map(|queue| queue.job_queue_arn).collect(),
        names => names.to_vec(),
    };
    let listings = names.into_iter().map(move |queue| of_queue(session, query, queue, order));
    Ok(stream::iter(listings).flatten_unordered(QUEUES_AT_ONCE).boxed())
}

/// The pages of a queue, with the jobs that match.
fn of_queue<'a>(
    session: &'a Session,
    query: &'a JobQuery,
    queue: String,
    order: ListOrder,
) -> BoxStream<'a, Result<ListPage, Failure>> {
    let of = query.listing(&queue);
    let by_state = move || match order {
        ListOrder::AtOnce => pages(session, of, &query.statuses),
        ListOrder::InTurn => pages_in_turn(session, of, &query.statuses),
    };
    let listed = match query.listing_by_name(&queue) {
        None => by_state(),
        // Its pages are small and have ended jobs, too: it costs less only if one page is all of
        // it.
        Some(by_name) => {
            let first = async move {
                let page = pages(session, by_name, &query.statuses).next().await;
                match page {
                    Some(Ok(page)) if page.more => by_state(),
                    page => stream::iter(page).boxed(),
                }
            };
            stream::once(first).flatten().boxed()
        }
    };
    let matching = listed.map_ok(move |mut page| {
        page.jobs.retain(|job| query.matches(job));
        page.jobs.iter_mut().for_each(|job| job.job_queue = Some(queue.clone()));
        page
    });
    matching.and_then(move |page| retain_submitter(session, query, page)).boxed()
}

/// The same page, without the jobs of other submitters.
async fn retain_submitter(
    session: &Session,
    query: &JobQuery,
    mut page: ListPage,
) -> Result<ListPage, Failure> {
    let Some(submitter) = &query.submitter else { return Ok(page) };
    let ids: Vec<JobId> = page.jobs.iter().map(Job::id).collect();
    let described = describe(session, &ids).await?;
    let mut are_theirs =
        described.iter().map(|job| job.as_ref().is_some_and(|job| job.submitter.as_ref() == Some(submitter)));
    page.jobs.retain(|_| are_theirs.next().unwrap_or(false));
    Ok(page)
}

/// All jobs that a query selects, the oldest first, also those that change their state meanwhile
/// ([`ListOrder::InTurn`]).
///
/// # Errors
/// When Batch cannot be asked or does not know a queue.
pub async fn select(session: &Session, query: &JobQuery) -> Result<Vec<Job>, Failure> {
    let mut pages = select_pages(session, query, ListOrder::InTurn).await?;
    let mut jobs = Vec::new();
    while let Some(page) = pages.next().await {
        jobs.extend(page?.jobs);
    }
    newest_last(&mut jobs);
    Ok(jobs)
}

/// Sorts listed jobs, the oldest first. Of a job that is listed twice, the later state stays.
pub fn newest_last(jobs: &mut Vec<Job>) {
    jobs.sort_by(|a: &Job, b: &Job| {
        (a.created_at, &a.job_id, a.status).cmp(&(b.created_at, &b.job_id, b.status))
    });
    jobs.reverse();
    jobs.dedup_by(|a, b| a.job_id == b.job_id);
    jobs.reverse();
}
