//! Gathers the evidence that explains why a job does not run, or why it failed. [`super`]
//! interprets it.
//!
//! Nothing is asked that is useless in the job's state, and independent questions are asked at the
//! same time. If a question fails, such as for a missing permission, this is noted, and the others
//! are asked all the same.

mod capacity;
pub(super) mod convert;

use std::cell::RefCell;

use aws_sdk_batch::types::JobDetail;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream;

use super::children::first_failed;
use super::evidence::{Dependency, Evidence, LogTail, MissingEvidence, ObservedJob, Parts};
use super::failed::{LINES, failed_by_user, failed_for_another};
use crate::aws::Session;
use crate::batch::{self, Job, sdk_details};
use crate::logs::{self, LogQuery, LogStreamRef};
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, Status};

/// The number of jobs that are examined at the same time.
const AT_ONCE: usize = 4;
/// The longest chain of jobs that failed one for the other.
const DEEPEST: usize = 20;

/// The evidence about these jobs, in the given order. `None`: Batch does not know the job.
///
/// # Errors
/// When Batch cannot be asked for the jobs themselves.
pub async fn why(session: &Session, ids: &[JobId]) -> Result<Vec<Option<Evidence>>, Failure> {
    let details = sdk_details(session, ids).await.map_err(|failure| {
        match failure.kind() == ErrorKind::AccessDenied {
            true => failure.hint("this needs the permission batch:DescribeJobs"),
            false => failure,
        }
    })?;
    let looks = details.iter().map(|detail| async move {
        match detail {
            Some(detail) => Some(look(session, detail).await),
            None => None,
        }
    });
    Ok(stream::iter(looks).buffered(AT_ONCE).collect().await)
}

/// Caches the limits of a queue's environments. It is not an error if they cannot be read.
pub async fn look_at_capacity(session: &Session, queue: &str) {
    let asking = Collector { session, unseen: RefCell::default() };
    if let Ok(Some(queue)) = batch::find_queue(session, queue).await {
        asking.environments(&queue).await;
    }
}

/// Collects the evidence about one job, and the questions that failed.
struct Collector<'s> {
    session: &'s Session,
    unseen: RefCell<Vec<MissingEvidence>>,
}

impl Collector<'_> {
    /// The answer, if there is one; otherwise the failure is noted. `permission` is the permission
    /// that the question needs.
    fn noting<T>(&self, answer: Result<T, Failure>, what: &str, permission: &str) -> Option<T> {
        let failure = match answer {
            Ok(answer) => return Some(answer),
            Err(failure) => failure,
        };
        let permission = (failure.kind() == ErrorKind::AccessDenied).then(|| permission.to_owned());
        let unseen = MissingEvidence { what: what.to_owned(), permission, why: failure.message().to_owned() };
        let mut all = self.unseen.borrow_mut();
        if !all.contains(&unseen) {
            all.push(unseen);
        }
        None
    }
}

/// Examines one job.
fn look<'a>(session: &'a Session, detail: &'a JobDetail) -> LocalBoxFuture<'a, Evidence> {
    Box::pin(async move {
        let asking = Collector { session, unseen: RefCell::default() };
        let runs_here = session.command_to_grow(None).is_some();
        let process_image = session.process_image();
        let job = convert::job(detail);
        let mut evidence =
            Evidence { now: jiff::Timestamp::now().as_millisecond(), job, ..Evidence::default() };
        let status = evidence.job.status;
        let is_array = evidence.job.size.is_some();
        match status {
            Status::Submitted | Status::Starting | Status::Succeeded => {}
            Status::Pending => {
                let (dependencies, parts) =
                    tokio::join!(asking.dependencies(detail), asking.parts(detail, is_array));
                (evidence.dependencies, evidence.parts) = (dependencies, parts);
            }
            Status::Runnable => asking.room(detail, &mut evidence).await,
            Status::Running => {
                let (log, parts) = tokio::join!(
                    async { asking.log(&Job::from(detail), 1).await },
                    asking.parts(detail, evidence.job.nodes.is_some()),
                );
                (evidence.log, evidence.parts) = (log, parts);
            }
            Status::Failed => {
                let has_parts = is_array || evidence.job.nodes.is_some();
                let (log, parts, chain) = tokio::join!(
                    async { if has_parts { None } else { asking.log(&Job::from(detail), LINES).await } },
                    asking.parts(detail, has_parts),
                    asking.chain(detail, &evidence.job),
                );
                evidence.log = match first_failed(&parts.failed) {
                    Some(first) => asking.log_of(&JobId::from_batch(&first.id)).await,
                    None => log,
                };
                (evidence.parts, evidence.chain) = (parts, chain);
            }
        }
        let others = evidence.parts.failed.iter_mut().chain(&mut evidence.chain);
        for job in std::iter::once(&mut evidence.job).chain(others) {
            job.runs_here = runs_here;
            job.is_process = process_image.is_some() && job.image.as_deref() == process_image;
        }
        evidence.unseen = asking.unseen.into_inner();
        evidence
    })
}

impl Collector<'_> {
    /// The jobs that this one waits for.
    async fn dependencies(&self, detail: &JobDetail) -> Vec<Dependency> {
        let ids = convert::dependencies(detail);
        let known = sdk_details(self.session, &ids).await;
        let known =
            self.noting(known, "the jobs that it waits for", "batch:DescribeJobs").unwrap_or_default();
        let jobs = known.iter().map(|detail| detail.as_ref().map(convert::job));
        ids.iter().zip(jobs).map(|(id, job)| Dependency { id: id.to_string(), job }).collect()
    }

    /// The jobs that failed one for the other, down to the one that failed by itself.
    async fn chain(&self, detail: &JobDetail, job: &ObservedJob) -> Vec<ObservedJob> {
        let mut chain: Vec<ObservedJob> = Vec::new();
        if !failed_for_another(job) && (job.size.is_none() || detail.depends_on().is_empty()) {
            return chain;
        }
        let mut waiting_for = convert::dependencies(detail);
        while chain.len() < DEEPEST && !waiting_for.is_empty() {
            let known = sdk_details(self.session, &waiting_for).await;
            let Some(known) = self.noting(known, "the jobs that it depended on", "batch:DescribeJobs") else {
                break;
            };
            let failed = known.iter().flatten().filter(|d| convert::status(d) == Status::Failed);
            // The one that failed first is the cause of the others.
            let Some(failed) = failed.min_by_key(|d| d.stopped_at().unwrap_or(i64::MAX)) else { break };
            let link = convert::job(failed);
            waiting_for = convert::dependencies(failed);
            let (for_another, is_array) = (failed_for_another(&link), link.size.is_some());
            // If a user ended the array, that is the reason, and not the ends of its children.
            if is_array && !for_another && !failed_by_user(&link) {
                let children = self.failed_children(&Job::from(failed)).await;
                if let Some(first) = first_failed(&children) {
                    let ended_by_user = first.ended_by_user || link.ended_by_user;
                    chain.push(ObservedJob { ended_by_user, ..first.clone() });
                    break;
                }
            }
            chain.push(link);
            if !for_another {
                break;
            }
        }
        chain
    }

    async fn failed_children(&self, parent: &Job) -> Vec<ObservedJob> {
        let failed = batch::parts(self.session, parent, &[Status::Failed]).await;
        let what = format!("the children or nodes of {}", parent.job_id);
        let failed = self.noting(failed, &what, "batch:ListJobs").unwrap_or_default();
        failed.iter().map(convert::summary).collect()
    }

    /// The children or nodes, if they are relevant.
    async fn parts(&self, detail: &JobDetail, look: bool) -> Parts {
        if !look {
            return Parts::default();
        }
        let parent = Job::from(detail);
        if parent.is_mnp_parent() {
            return self.nodes(&parent).await;
        }
        let counts = convert::counts(&parent);
        let count = |status: Status| counts.iter().find(|(s, _)| *s == status).map_or(0, |(_, count)| *count);
        let waits = [Status::Runnable, Status::Starting].into_iter().find(|status| count(*status) > 0);
        let (failed, first_waiting) = tokio::join!(
            async {
                match (count(Status::Failed), convert::status(detail)) {
                    (0, status) if status != Status::Failed => Vec::new(),
                    _ => self.failed_children(&parent).await,
                }
            },
            async {
                match waits {
                    Some(status) if parent.status == Status::Pending => {
                        self.first_waiting(&parent, status).await
                    }
                    _ => None,
                }
            },
        );
        Parts { counts, failed, first_waiting }
    }

    async fn nodes(&self, parent: &Job) -> Parts {
        let nodes = batch::parts(self.session, parent, &Status::ALL).await;
        let nodes = self.noting(nodes, "its nodes", "batch:ListJobs").unwrap_or_default();
        let counts = Status::ALL.map(|status| {
            let count = nodes.iter().filter(|node| node.status == status).count();
            (status, u32::try_from(count).unwrap_or(u32::MAX))
        });
        let failed =
            nodes.iter().filter(|node| node.status == Status::Failed).map(convert::summary).collect();
        Parts { counts: counts.to_vec(), failed, first_waiting: None }
    }

    /// The evidence about the first child that waits.
    async fn first_waiting(&self, parent: &Job, status: Status) -> Option<Box<Evidence>> {
        let id = parent.id();
        let first = async {
            let mut pages = batch::pages(self.session, batch::ListTarget::Children(id), &[status]);
            let mut first: Option<JobId> = None;
            while let Some(page) = pages.next().await {
                let ids = page?.jobs.into_iter().map(|job| job.id());
                first = ids.chain(first.take()).min_by_key(JobId::array_index);
            }
            Ok(first)
        };
        let first = self.noting(first.await, "its children", "batch:ListJobs")??;
        let known = sdk_details(self.session, std::slice::from_ref(&first)).await;
        let detail = self.noting(known, "its children", "batch:DescribeJobs")?.pop()??;
        Some(Box::new(look(self.session, &detail).await))
    }

    /// The end of a job's output. `None`: it has no stream, or it cannot be read.
    async fn log(&self, job: &Job, lines: usize) -> Option<LogTail> {
        let mut job = job.clone();
        let named = logs::name_streams(self.session, std::slice::from_mut(&mut job)).await;
        self.noting(named, "its log streams", "logs:DescribeLogStreams")?;
        let mut streams = LogStreamRef::of_query(&job, self.session, &LogQuery::default());
        let is_main =
            |stream: &std::sync::Arc<LogStreamRef>| Some(stream.name.as_str()) == job.main_log_stream();
        let stream = match streams.iter().position(is_main) {
            Some(at) => streams.swap_remove(at),
            None => streams.pop()?,
        };
        let read = logs::last_lines(self.session, &stream, lines).await;
        let read = self.noting(read, "its output", "logs:GetLogEvents")?;
        let missing = read.is_none().then(|| stream.name.clone());
        let lines = read.into_iter().flatten().map(|line| (line.timestamp, line.message)).collect();
        Some(LogTail { job_id: job.job_id.clone(), lines, missing })
    }

    async fn log_of(&self, id: &JobId) -> Option<LogTail> {
        let known = sdk_details(self.session, std::slice::from_ref(id)).await;
        let detail = self.noting(known, &format!("the job {id}"), "batch:DescribeJobs")?.pop()??;
        self.log(&Job::from(&detail), LINES).await
    }
}
