//! The jobs of a view as they come from Batch: listed, expanded and completed. `view.rs` renders
//! them.
//!
//! ```text
//! listing or named jobs -> complete -> add children and nodes -> add details -> JobRow
//! ```
//!
//! Nothing is read ahead: the next page is taken only when the rows of the one before have been
//! taken.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use futures_util::stream::{self, BoxStream, LocalBoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::packed::PackedVariables;
use super::progress::by_status;
use super::row::{JobRow, ListingTraits, PartsExcerpt, RowBatch, RowDetails};
use crate::aws::Session;
use crate::batch::{self, Job, JobDetails, JobQuery, ListOrder, ListPage, ListTarget};
use crate::ui::{Failure, ProgressBar};
use awsb_model::{JobId, Status};

/// A parent with more parts than this is large: its parts come page by page, and not all at once.
const LARGE: u32 = 1000;
/// A batch has about this many rows.
const BATCH_ROWS: usize = 1000;
/// At most this many small parents are asked for their parts at the same time.
const PARENTS_AT_ONCE: usize = 8;
/// At most this many failed children of an array are named.
const NAMED_CHILDREN: usize = 5;
/// At most this many nodes of an MNP job are named.
const NAMED_NODES: usize = 20;

/// Which parts of arrays and MNP jobs follow their parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expand {
    /// None.
    Nothing,
    /// The first children of an array that have failed.
    Failures,
    /// The children of an array.
    Arrays,
    /// The children of an array and the nodes of an MNP job.
    All,
}

impl Expand {
    fn applies_to(self, job: &Job) -> bool {
        match self {
            Expand::Nothing => false,
            Expand::Failures | Expand::Arrays => job.is_array_parent(),
            Expand::All => job.parts().is_some(),
        }
    }
}

/// The data that the rows of a view need.
#[derive(Debug, Clone)]
pub struct RowRequest {
    /// Which parts follow their parents.
    pub expand: Expand,
    /// Only parts in these states follow.
    pub part_statuses: Vec<Status>,
    /// Every row needs the fields that only DescribeJobs has.
    pub all_fields: bool,
    /// Every row needs its vCPUs, which a listing may have.
    pub vcpus: bool,
    /// The row of an array shows the states of its children.
    pub progress: bool,
    /// Each row has [`RowDetails`], and comes by itself.
    pub details: bool,
    /// Each row has its environment variables, those in its bundle among them.
    pub environment: bool,
}

/// The complete rows of a view, a batch at a time.
pub struct JobStream<'a>(LocalBoxStream<'a, Result<RowBatch, Failure>>);

impl<'a> JobStream<'a> {
    /// The jobs that a query selects. A listing of at most one page for each state comes newest
    /// last. A longer one comes in that order, too, unless `any_order`: then it comes as Batch
    /// lists it.
    pub fn of_query(source: RowSource<'a>, query: &'a JobQuery, any_order: bool) -> Self {
        let listing = Listing::new(source.session, query, any_order);
        let chunks = stream::try_unfold(listing, |mut listing| async move {
            Ok(listing.next().await?.map(|chunk| (chunk, listing)))
        });
        Self::new(source, chunks.boxed_local())
    }

    /// These jobs.
    pub fn of_jobs(source: RowSource<'a>, jobs: Vec<Job>) -> Self {
        let chunk = ListedChunk { jobs, has_more: false };
        Self::new(source, stream::once(async { Ok(chunk) }).boxed_local())
    }

    fn new(source: RowSource<'a>, chunks: LocalBoxStream<'a, Result<ListedChunk, Failure>>) -> Self {
        let batches = chunks.map_ok(move |chunk| source.expanded(chunk)).try_flatten();
        let has_details = source.request.details || source.request.environment;
        Self(match has_details {
            true => batches.map_ok(move |batch| source.detailed(batch)).try_flatten().boxed_local(),
            false => batches.boxed_local(),
        })
    }

    /// The next rows; `None` at the end. A batch may be empty.
    ///
    /// # Errors
    /// When Batch cannot be asked.
    pub async fn next(&mut self) -> Result<Option<RowBatch>, Failure> {
        self.0.next().await.transpose()
    }
}

/// A part of a listing.
struct ListedChunk {
    jobs: Vec<Job>,
    /// More may follow.
    has_more: bool,
}

/// The jobs of a query, each once.
struct Listing<'a> {
    session: &'a Session,
    query: &'a JobQuery,
    any_order: bool,
    state: ListingState<'a>,
    /// The chunks come as Batch lists them, because the listing is long.
    streams: bool,
    ids: HashSet<String>,
    /// Jobs that wait for the end of the listing.
    held: Vec<Job>,
    any_active: bool,
}

enum ListingState<'a> {
    NotBegun,
    Open(BoxStream<'a, Result<ListPage, Failure>>, ProgressBar),
    Done,
}

impl<'a> Listing<'a> {
    fn new(session: &'a Session, query: &'a JobQuery, any_order: bool) -> Self {
        Self {
            session,
            query,
            any_order,
            state: ListingState::NotBegun,
            streams: false,
            ids: HashSet::new(),
            held: Vec::new(),
            any_active: false,
        }
    }

    async fn next(&mut self) -> Result<Option<ListedChunk>, Failure> {
        if let ListingState::NotBegun = self.state {
            let pages = batch::select_pages(self.session, self.query, ListOrder::AtOnce).await?;
            self.state = ListingState::Open(pages, ProgressBar::of_listing());
        }
        while let ListingState::Open(pages, progress) = &mut self.state {
            let Some(page) = pages.next().await.transpose()? else {
                return self.last_chunk().await.map(Some);
            };
            self.any_active |= page.jobs.iter().any(|job| !job.status.has_ended());
            self.streams |= page.more && self.any_order;
            if !self.streams {
                progress.advance(page.jobs.len() as u64);
            }
            self.held.extend(page.jobs);
            if self.streams {
                return Ok(Some(self.chunk(true)));
            }
        }
        Ok(None)
    }

    async fn last_chunk(&mut self) -> Result<ListedChunk, Failure> {
        // This removes the progress bar.
        self.state = ListingState::Done;
        // Watches and scripts end when nothing is active. So the answer "nothing" must not come
        // only because the one active job was just between two states that were asked for.
        if !self.any_active && self.query.may_miss() {
            let mut active = self.query.clone();
            active.statuses.retain(|status| !status.has_ended());
            self.held.extend(batch::select(self.session, &active).await?);
        }
        batch::newest_last(&mut self.held);
        Ok(self.chunk(false))
    }

    /// The jobs that were listed since the chunk before.
    fn chunk(&mut self, has_more: bool) -> ListedChunk {
        let mut jobs = std::mem::take(&mut self.held);
        jobs.retain(|job| self.ids.insert(job.job_id.clone()));
        ListedChunk { jobs, has_more }
    }
}

/// Jobs that become rows together.
enum Group {
    /// Jobs, each followed by its parts, which are few.
    Jobs(Vec<Job>),
    /// A large parent.
    LargeParent(Box<Job>),
}

/// Where the rows of a view come from, and what they need.
#[derive(Clone, Copy)]
pub struct RowSource<'a> {
    /// Where Batch is asked.
    pub session: &'a Session,
    /// The data that the rows need.
    pub request: &'a RowRequest,
    /// The variables in the jobs' bundles.
    pub packed: &'a PackedVariables,
}

impl<'a> RowSource<'a> {
    /// The rows of a chunk, each parent with its parts.
    fn expanded(self, chunk: ListedChunk) -> LocalBoxStream<'a, Result<RowBatch, Failure>> {
        let ListedChunk { mut jobs, has_more } = chunk;
        let batches = async move {
            self.complete(&mut jobs).await?;
            let has_task_ids =
                |job: &Job| job.task.is_some() || (self.request.expand.applies_to(job) && job.has_task_ids());
            let traits = ListingTraits {
                tasks: jobs.iter().any(has_task_ids),
                parents: has_more || jobs.iter().any(|job| job.parts().is_some()),
                queues: false,
            };
            let rows = stream::iter(self.groups(jobs)).map(move |group| match group {
                Group::Jobs(jobs) => self.with_parts(jobs),
                Group::LargeParent(parent) => self.with_many_parts(*parent),
            });
            let batch =
                move |jobs: Vec<Job>| RowBatch { rows: jobs.into_iter().map(JobRow::from).collect(), traits };
            Ok::<_, Failure>(rows.flatten().map_ok(batch))
        };
        stream::once(batches).try_flatten().boxed_local()
    }

    /// Parts the jobs at large parents, so that no answer waits unread while the parts of one come.
    fn groups(self, jobs: Vec<Job>) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut together = Vec::new();
        for job in jobs {
            if self.is_large(&job) {
                groups
                    .extend([Group::Jobs(std::mem::take(&mut together)), Group::LargeParent(Box::new(job))]);
            } else {
                together.push(job);
            }
        }
        groups.push(Group::Jobs(together));
        groups
    }

    /// Whether the parts of a job come page by page. They cannot when only some of them are asked
    /// for: then nobody knows which one comes next.
    fn is_large(self, job: &Job) -> bool {
        let RowRequest { expand, part_statuses, .. } = self.request;
        expand.applies_to(job)
            && *expand != Expand::Failures
            && part_statuses == &Status::ALL
            && job.parts().is_none_or(|parts| parts > LARGE)
    }

    /// Jobs, each followed by its parts. There is at least one batch, and it may be empty.
    fn with_parts(self, jobs: Vec<Job>) -> LocalBoxStream<'a, Result<Vec<Job>, Failure>> {
        let parents: Vec<Job> =
            jobs.iter().filter(|job| self.request.expand.applies_to(job)).cloned().collect();
        let parts = stream::iter(parents).map(move |parent| async move {
            match self.request.expand {
                Expand::Failures => Ok(first_failures(self.session, &parent).await?.0),
                _ => batch::parts(self.session, &parent, &self.request.part_statuses).await,
            }
        });
        let state = Some((jobs.into_iter(), parts.buffered(PARENTS_AT_ONCE).boxed_local()));
        let batches = stream::try_unfold(state, move |state| async move {
            let Some((mut jobs, mut parts)) = state else { return Ok(None) };
            let mut rows = Vec::new();
            while rows.len() < BATCH_ROWS {
                let Some(job) = jobs.next() else { return Ok(Some((rows, None))) };
                let mut own = match self.request.expand.applies_to(&job) {
                    true => parts.next().await.transpose()?.unwrap_or_default(),
                    false => Vec::new(),
                };
                self.adopt(&job, &mut own).await?;
                rows.push(job);
                rows.extend(own);
            }
            Ok(Some((rows, Some((jobs, parts)))))
        });
        batches.boxed_local()
    }

    /// A large parent and its parts. It comes with the first of them, which make the columns wide
    /// enough.
    fn with_many_parts(self, parent: Job) -> LocalBoxStream<'a, Result<Vec<Job>, Failure>> {
        let pages = batch::parts_in_order(self.session, &parent);
        let state = (pages, vec![parent.clone()], Rc::new(parent));
        let batches = stream::try_unfold(Some(state), move |state| async move {
            let Some((mut pages, mut rows, parent)) = state else { return Ok(None) };
            let Some(mut parts) = pages.next().await.transpose()? else { return Ok(Some((rows, None))) };
            self.adopt(&parent, &mut parts).await?;
            rows.extend(parts);
            Ok(Some((rows, Some((pages, Vec::new(), parent)))))
        });
        batches.boxed_local()
    }

    /// Asks DescribeJobs for the fields that a listing lacks and the view shows.
    async fn complete(self, jobs: &mut [Job]) -> Result<(), Failure> {
        let RowRequest { expand, all_fields, vcpus, progress, .. } = *self.request;
        let lacks = |job: &Job| {
            all_fields
                || (vcpus && job.listed_vcpus().is_none())
                || (expand.applies_to(job) && job.is_array_parent())
                || (progress && job.lacks_progress())
        };
        let lacking: Vec<usize> =
            (0..jobs.len()).filter(|at| jobs[*at].attempts.is_none() && lacks(&jobs[*at])).collect();
        let ids: Vec<JobId> = lacking.iter().map(|at| jobs[*at].id()).collect();
        let described = match batch::describe(self.session, &ids).await {
            // A user who may list jobs, but not describe them, sees them without their progress.
            Err(failure) if !all_fields && !vcpus && expand == Expand::Nothing && !failure.is_retryable() => {
                return Ok(());
            }
            described => described?,
        };
        for (at, described) in lacking.into_iter().zip(described) {
            // A job that Batch has forgotten meanwhile stays as it was listed.
            if let Some(described) = described {
                jobs[at] = described.with_listed(&jobs[at]);
            }
        }
        Ok(())
    }

    /// Completes parts, and gives them the fields that they share with their parent.
    async fn adopt(self, parent: &Job, parts: &mut [Job]) -> Result<(), Failure> {
        let tasks = parent.container.as_ref().and_then(|c| c.tasks.as_ref());
        for part in parts.iter_mut() {
            part.set_task(tasks);
            part.job_queue = part.job_queue.take().or_else(|| parent.job_queue.clone());
        }
        self.complete(parts).await
    }

    /// The same rows with details. Where a row needs calls of its own, it comes by itself.
    fn detailed(self, batch: RowBatch) -> LocalBoxStream<'a, Result<RowBatch, Failure>> {
        let RowBatch { mut rows, traits } = batch;
        let described = async move {
            self.describe(&mut rows).await?;
            Ok::<_, Failure>(match self.request.details {
                false => stream::once(async move { Ok(RowBatch { rows, traits }) }).boxed_local(),
                true => {
                    let rows = stream::iter(rows).then(move |mut row| async move {
                        if let Some(details) = &mut row.details {
                            details.parts = excerpt(self.session, &details.described.job).await?;
                        }
                        Ok(RowBatch { rows: vec![row], traits })
                    });
                    rows.boxed_local()
                }
            })
        };
        stream::once(described).try_flatten().boxed_local()
    }

    /// Adds to rows what DescribeJobs has of them, their variables, and what they depend on.
    async fn describe(self, rows: &mut [JobRow]) -> Result<(), Failure> {
        let ids: Vec<JobId> = rows.iter().map(|row| row.job.id()).collect();
        let mut described = batch::describe_with_environment(self.session, &ids).await?;
        if self.request.environment {
            self.packed.add(self.session, described.iter_mut().flatten()).await;
        }
        let dependencies = match self.request.details {
            true => Rc::new(dependencies(self.session, described.iter().flatten()).await?),
            false => Rc::default(),
        };
        for (row, described) in rows.iter_mut().zip(described) {
            // A job that Batch has forgotten meanwhile stays as it was listed.
            let as_listed = || JobDetails { job: row.job.clone(), environment: Vec::new() };
            let described = described.or_else(|| self.request.details.then(as_listed));
            let details = |described| {
                let (dependencies, parts) = (dependencies.clone(), PartsExcerpt::None);
                Box::new(RowDetails { described, dependencies, parts })
            };
            row.details = described.map(details);
        }
        Ok(())
    }
}

/// The jobs on which these depend, by ID.
async fn dependencies(
    session: &Session,
    jobs: impl Iterator<Item = &JobDetails>,
) -> Result<HashMap<String, Job>, Failure> {
    let all = jobs.flat_map(|detailed| detailed.job.depends_on.iter().flatten());
    let ids: BTreeSet<JobId> = all.filter_map(|on| on.job_id.as_ref()).map(JobId::from_batch).collect();
    let ids: Vec<JobId> = ids.into_iter().collect();
    let described = batch::describe(session, &ids).await?;
    Ok(described.into_iter().flatten().map(|job| (job.job_id.clone(), job)).collect())
}

/// The parts of a job that its details name.
async fn excerpt(session: &Session, job: &Job) -> Result<PartsExcerpt, Failure> {
    if job.parts().is_none() {
        return Ok(PartsExcerpt::None);
    }
    if !job.is_mnp_parent() {
        let (first, more) = first_failures(session, job).await?;
        return Ok(PartsExcerpt::FailedChildren(first, more));
    }
    let mut nodes = batch::parts(session, job, &Status::ALL).await?;
    let more = nodes.len().saturating_sub(NAMED_NODES);
    nodes.truncate(NAMED_NODES);
    Ok(PartsExcerpt::Nodes(nodes, more))
}

/// Some children of an array that have failed, and the number of the others that have failed.
async fn first_failures(session: &Session, array: &Job) -> Result<(Vec<Job>, usize), Failure> {
    let failed = by_status(array).into_iter().find(|(s, _)| *s == Status::Failed).map_or(0, |(_, n)| n);
    if failed == 0 {
        return Ok((Vec::new(), 0));
    }
    // They are from the first page. To find those with the lowest indices, all pages would have to
    // be read.
    let page = batch::pages(session, ListTarget::Children(array.id()), &[Status::Failed]).next().await;
    let mut first = page.transpose()?.map(|page| page.jobs).unwrap_or_default();
    first.sort_by_key(|child| child.id().part());
    first.truncate(NAMED_CHILDREN);
    let tasks = array.container.as_ref().and_then(|c| c.tasks.as_ref());
    first.iter_mut().for_each(|child| child.set_task(tasks));
    let more = usize::try_from(failed).unwrap_or(usize::MAX).saturating_sub(first.len());
    Ok((first, more))
}
