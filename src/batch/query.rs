//! Which jobs are meant, when they are not named: those of some queues, by state, name, time and submitter.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{Job, ListPage, Of, describe, pages, pages_in_turn, queues};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::{JobId, Moment, NameGlob, NamePattern, Status, Submitter};

/// So many queues are listed at once, each in its states.
const QUEUES_AT_ONCE: usize = 4;

/// What the jobs have in common that are meant.
#[derive(Debug, Clone)]
pub struct JobQuery {
    /// Their queues (names or ARNs); none: all queues of the account and region.
    pub queues: Vec<String>,
    /// Their states.
    pub statuses: Vec<Status>,
    /// Their names.
    pub name: Option<NameGlob>,
    /// They were submitted then or later,
    pub since: Option<Moment>,
    /// and before this.
    pub until: Option<Moment>,
    /// Who submitted them. ListJobs does not tell that: it costs a DescribeJobs for each 100 jobs that are left.
    pub submitter: Option<Submitter>,
}

impl JobQuery {
    /// Whether all is as asked for that a listing tells.
    fn has(&self, job: &Job) -> bool {
        let name_is = self.name.as_ref().is_none_or(|glob| glob.matches(&job.job_name));
        name_is
            && self.statuses.contains(&job.status)
            // Of one whose time nobody knows, neither is known.
            && self.since.is_none_or(|since| job.created_at.is_some_and(|at| at >= since.epoch_ms()))
            && self.until.is_none_or(|until| job.created_at.is_some_and(|at| at < until.epoch_ms()))
    }

    /// Whether a job that changes its state may be missed when Batch is asked for all states at once: where it is asked
    /// for several that a job goes through.
    pub fn may_miss(&self) -> bool {
        let active = self.statuses.iter().filter(|status| !status.has_ended()).count();
        active > 1 && !self.is_of_all_states()
    }

    /// Whether the filter that knows no states is used.
    fn is_of_all_states(&self) -> bool {
        self.since.is_some() && self.statuses.iter().any(|s| s.has_ended())
    }

    /// The cheapest listing in which they are. Of the jobs that have ended, Batch remembers a week: when it is
    /// the later ones that are asked for, the filter that knows no states costs less than all of them.
    fn listing(&self, queue: &str) -> Of {
        match self.since {
            Some(since) if self.is_of_all_states() => {
                // "After" leaves the very time out (API `ListJobs`, filters).
                Of::Since(queue.to_owned(), since.epoch_ms().saturating_sub(1).max(0))
            }
            _ => Of::Queue(queue.to_owned()),
        }
    }
}

/// The jobs with such a name that somebody has submitted to these queues, in every state that Batch knows; the oldest first.
///
/// # Errors
/// When Batch cannot be asked or does not know a queue.
pub async fn of_name(
    session: &Session,
    queues: &[&str],
    name: &NamePattern,
    submitter: Submitter,
) -> Result<Vec<Job>, Failure> {
    let (beginning, begins) = name.beginning();
    let selection = JobQuery {
        queues: Vec::new(),
        statuses: Status::ALL.to_vec(),
        name: None,
        since: None,
        until: None,
        submitter: Some(submitter),
    };
    let mut jobs = Vec::new();
    for queue in queues {
        let of = Of::Named((*queue).to_owned(), beginning.to_owned(), begins);
        let mut listed = pages_in_turn(session, of, &Status::ALL);
        while let Some(page) = listed.next().await {
            let mut page = page?;
            page.jobs.retain(|job| name.matches(&job.job_name));
            jobs.extend(only_theirs(session, &selection, page).await?.jobs);
        }
    }
    newest_last(&mut jobs);
    Ok(jobs)
}

/// How Batch is asked for the jobs of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// For all states at once: quickest, and a job that changes its state just then may be missed.
    AtOnce,
    /// For one state after the other, so that none is missed ([`pages_in_turn`]): for what is done once, or concluded.
    InTurn,
}

/// The jobs that are meant, page by page as Batch tells them; each knows its queue, as that was named.
///
/// # Errors
/// When Batch cannot be asked for the queues. What goes wrong later is in the stream.
pub async fn selected<'a>(
    session: &'a Session,
    selection: &'a JobQuery,
    order: Order,
) -> Result<BoxStream<'a, Result<ListPage, Failure>>, Failure> {
    let names = match selection.queues.as_slice() {
        [] => queues(session, &[]).await?.into_iter().map(|queue| queue.job_queue_arn).collect(),
        names => names.to_vec(),
    };
    let listings = names.into_iter().map(move |queue| of_queue(session, selection, queue, order));
    Ok(stream::iter(listings).flatten_unordered(QUEUES_AT_ONCE).boxed())
}

/// The pages of a queue, with what does not fit left out.
fn of_queue<'a>(
    session: &'a Session,
    selection: &'a JobQuery,
    queue: String,
    order: Order,
) -> BoxStream<'a, Result<ListPage, Failure>> {
    let of = selection.listing(&queue);
    let listed = match order {
        Order::AtOnce => pages(session, of, &selection.statuses),
        Order::InTurn => pages_in_turn(session, of, &selection.statuses),
    };
    let fitting = listed.map_ok(move |mut page| {
        page.jobs.retain(|job| selection.has(job));
        page.jobs.iter_mut().for_each(|job| job.job_queue = Some(queue.clone()));
        page
    });
    fitting.and_then(move |page| only_theirs(session, selection, page)).boxed()
}

/// The same page, without the jobs of others.
async fn only_theirs(
    session: &Session,
    selection: &JobQuery,
    mut page: ListPage,
) -> Result<ListPage, Failure> {
    let Some(submitter) = &selection.submitter else { return Ok(page) };
    let ids: Vec<JobId> = page.jobs.iter().map(Job::id).collect();
    let described = describe(session, &ids).await?;
    let mut theirs =
        described.iter().map(|job| job.as_ref().is_some_and(|job| job.submitter.as_ref() == Some(submitter)));
    page.jobs.retain(|_| theirs.next().unwrap_or(false));
    Ok(page)
}

/// All jobs that are meant, the oldest first; one that moves on meanwhile, too ([`Order::InTurn`]).
///
/// # Errors
/// When Batch cannot be asked or does not know a queue.
pub async fn select(session: &Session, selection: &JobQuery) -> Result<Vec<Job>, Failure> {
    let mut pages = selected(session, selection, Order::InTurn).await?;
    let mut jobs = Vec::new();
    while let Some(page) = pages.next().await {
        jobs.extend(page?.jobs);
    }
    newest_last(&mut jobs);
    Ok(jobs)
}

/// Sorts listed jobs, the oldest first; of two that are one, the later state stays.
pub fn newest_last(jobs: &mut Vec<Job>) {
    jobs.sort_by(|a: &Job, b: &Job| {
        (a.created_at, &a.job_id, a.status).cmp(&(b.created_at, &b.job_id, b.status))
    });
    jobs.reverse();
    jobs.dedup_by(|a, b| a.job_id == b.job_id);
    jobs.reverse();
}
