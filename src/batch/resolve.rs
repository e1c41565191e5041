//! References to jobs resolved to IDs: an ID or ARN, the beginning of an ID, `last`, the ID of a
//! task.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;

use super::describe::{explain_unknown, no_such_part};
use super::history::{resolve_locally, several, submitted_within};
use super::poll::SETTLE;
use super::{Job, ListTarget, describe, pages_in_turn, unknown};
use crate::aws::Session;
use crate::ui::{ErrorKind, Exit, Failure};
use awsb_model::{Home, JobId, JobRef, Status};

/// The jobs that references name, and the references that name none.
#[derive(Debug, Default)]
pub struct ResolvedJobs {
    /// The jobs that Batch knows, in the order of the references.
    pub jobs: Vec<Job>,
    /// A failure for each reference that names no job.
    pub failures: Vec<Failure>,
}

impl ResolvedJobs {
    /// Prints the failures. The exit code is `otherwise` without a failure; that of wrong usage
    /// when no reference can name a job.
    pub fn report(&self, tool: &str, otherwise: Exit) -> Exit {
        self.failures.iter().for_each(|failure| failure.report(tool));
        let is_usage = self.jobs.is_empty() && self.failures.iter().all(|f| f.kind() == ErrorKind::Usage);
        match (self.failures.is_empty(), is_usage) {
            (true, _) => otherwise,
            (false, true) => Exit::Usage,
            (false, false) => Exit::Failed,
        }
    }
}

/// The jobs that these references name, as Batch describes them; with a task, the one job among
/// them or their children that has it.
///
/// # Errors
/// When Batch cannot be asked, or none of the jobs has this task.
pub async fn resolve_jobs<'r>(
    session: &Session,
    references: impl IntoIterator<Item = &'r JobRef>,
    of_task: Option<u32>,
) -> Result<ResolvedJobs, Failure> {
    let references: Vec<&JobRef> = references.into_iter().collect();
    let mut found = ResolvedJobs::default();
    let mut ids = Vec::new();
    for (reference, resolved) in references.iter().zip(each(session, &references).await?) {
        match resolved {
            Ok(resolved) => ids.extend(resolved.into_iter().map(|id| (id, reference.home()))),
            Err(failure) => found.failures.push(failure),
        }
    }
    if let Some(wanted) = of_task.filter(|_| !ids.is_empty()) {
        let whole: Vec<JobId> = ids.into_iter().map(|(id, _)| id).collect();
        ids = vec![(find_task(session, &whole, wanted).await?, None)];
    }
    let asked: Vec<JobId> = ids.iter().map(|(id, _)| id.clone()).collect();
    let known = describe_settled(session, &asked).await?;
    for ((id, home), job) in ids.into_iter().zip(known) {
        match (job, home) {
            (Described::Job(job), _) => found.jobs.push(*job),
            (Described::NoSuchPart(failure), _) => found.failures.push(failure),
            (Described::Unknown, Some(Home { account, .. })) => {
                found.failures.push(unknown(session, &id).hint(session.advice(&format!(
                    "its ARN belongs to the account {account}; `aws sts get-caller-identity` shows yours"
                ))));
            }
            (Described::Unknown, None) => found.failures.push(unknown(session, &id)),
        }
    }
    Ok(found)
}

/// The answer to the question for a job.
#[derive(Debug, Clone)]
enum Described {
    /// Batch has the job.
    Job(Box<Job>),
    /// Batch has the whole job, which has no such child or node.
    NoSuchPart(Failure),
    /// Batch does not know the job.
    Unknown,
}

/// Describes these jobs. Batch may take a moment to show a new job, so jobs that were submitted
/// just now from this machine are asked for again, unless the whole job shows that such a child or
/// node does not exist.
async fn describe_settled(session: &Session, ids: &[JobId]) -> Result<Vec<Described>, Failure> {
    let mut jobs = vec![Described::Unknown; ids.len()];
    let mut asked: Vec<JobId> = ids.to_vec();
    let mut pause = FIRST_PAUSE;
    loop {
        for (id, job) in asked.iter().zip(describe(session, &asked).await?) {
            let Some(job) = job else { continue };
            let at = ids.iter().zip(&mut jobs).filter(|(known, _)| *known == id);
            at.for_each(|(_, described)| *described = Described::Job(Box::new(job.clone())));
        }
        let missing_parts: Vec<JobId> = missing(ids, &jobs).filter(|id| id.part().is_some()).collect();
        let wholes: Vec<JobId> = missing_parts.iter().map(JobId::whole).collect();
        for whole in describe(session, &wholes).await?.into_iter().flatten() {
            let parts = ids
                .iter()
                .zip(&mut jobs)
                .filter(|(id, job)| matches!(job, Described::Unknown) && id.whole().as_str() == whole.job_id);
            for (id, described) in parts {
                if let Some(failure) = no_such_part(id, &whole) {
                    *described = Described::NoSuchPart(failure);
                }
            }
        }
        asked = submitted_within(session, &missing(ids, &jobs).collect::<Vec<_>>(), SETTLE);
        if asked.is_empty() {
            return Ok(jobs);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The jobs that Batch has not shown.
fn missing(ids: &[JobId], jobs: &[Described]) -> impl Iterator<Item = JobId> {
    let missing = ids.iter().zip(jobs).filter(|(_, job)| matches!(job, Described::Unknown));
    missing.map(|(id, _)| id.clone())
}

/// The first pause before a job that is not shown yet is asked for again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The IDs of the jobs that these references name; with a task, of the one job among them or their
/// children that has it. Batch is not asked for a whole ID.
///
/// # Errors
/// When one of them names no job or may name several (exit code 2), Batch cannot be asked, or none
/// of the jobs has this task.
pub async fn resolve_ids<'r>(
    session: &Session,
    references: impl IntoIterator<Item = &'r JobRef>,
    of_task: Option<u32>,
) -> Result<Vec<JobId>, Failure> {
    let references: Vec<&JobRef> = references.into_iter().collect();
    let mut ids = Vec::new();
    for resolved in each(session, &references).await? {
        ids.extend(resolved?);
    }
    match of_task {
        Some(wanted) => Ok(vec![find_task(session, &ids, wanted).await?]),
        None => Ok(ids),
    }
}

/// The job that has a task: a child of one of these arrays.
///
/// # Errors
/// When Batch cannot be asked, knows none of the jobs, or none of them has this task.
pub async fn find_task(session: &Session, parents: &[JobId], task: u32) -> Result<JobId, Failure> {
    let jobs = describe(session, parents).await?;
    if let Some(id) = jobs.iter().flatten().find_map(|job| job.of_task(task)) {
        return Ok(id);
    }
    match (parents, jobs.as_slice()) {
        ([id], [None]) => Err(explain_unknown(session, id).await?),
        ([id], _) => Err(Failure::failed(format!("the job {id} has no task {task}"))
            .hint(format!("`bstat {id}` lists its children and their tasks"))),
        _ => Err(Failure::failed(format!("none of the {} jobs has a task {task}", parents.len()))),
    }
}

/// The IDs that each reference names. The history of this machine comes first. The beginning of
/// another ID is looked for in the cluster's queue, unless it is an ID that Batch knows.
async fn each(
    session: &Session,
    references: &[&JobRef],
) -> Result<Vec<Result<Vec<JobId>, Failure>>, Failure> {
    let mut resolved = resolve_locally(session, references);
    let mut open: BTreeMap<usize, String> = BTreeMap::new();
    for (at, (reference, resolved)) in references.iter().zip(&mut resolved).enumerate() {
        if let Some(elsewhere) = reference.home().and_then(|home| elsewhere(session, reference, home)) {
            *resolved = Err(elsewhere);
        }
        if let (Some(beginning), Ok([id])) = (reference.beginning(), resolved.as_deref())
            && !id.is_full()
        {
            open.insert(at, beginning);
        }
    }
    if open.is_empty() {
        return Ok(resolved);
    }
    let asked: Vec<JobId> =
        open.keys().filter_map(|at| resolved.get(*at)?.as_ref().ok()?.first().cloned()).collect();
    let known = describe(session, &asked).await?;
    let unknown_ones: BTreeMap<usize, String> =
        open.into_iter().zip(known).filter(|(_, job)| job.is_none()).map(|(open, _)| open).collect();
    if unknown_ones.is_empty() {
        return Ok(resolved);
    }
    let beginnings: Vec<&str> = unknown_ones.values().map(String::as_str).collect();
    let in_queue = match in_queue(session, &beginnings).await {
        Err(failure) if failure.is_retryable() => return Err(failure),
        // For a user who may not list jobs, there is no such job.
        listed => listed.unwrap_or_default(),
    };
    for (at, beginning) in &unknown_ones {
        let (Some(resolved), Some(reference)) = (resolved.get_mut(*at), references.get(*at)) else {
            continue;
        };
        let matching: Vec<(&str, &str)> = in_queue
            .iter()
            .filter(|(id, _)| id.starts_with(beginning.as_str()))
            .map(|(id, name)| (id.as_str(), name.as_str()))
            .collect();
        match matching.as_slice() {
            [] => {}
            [(id, _)] => *resolved = Ok(vec![reference.of(&JobId::from_batch(*id))]),
            candidates => {
                let queue = &session.cluster.job_queue;
                let count = candidates.len();
                let message = format!("{count} jobs of the queue {queue} {}", reference.in_common());
                *resolved = Err(several(&message, candidates));
            }
        }
    }
    Ok(resolved)
}

/// The jobs of the cluster's queue, in any state, whose IDs begin with one of these texts: IDs and
/// names.
async fn in_queue(session: &Session, beginnings: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
    let mut matching = BTreeMap::new();
    // If one were missed, another would pass for the only one, and perhaps be terminated.
    let of = ListTarget::Queue(session.cluster.job_queue.clone());
    let mut pages = pages_in_turn(session, of, &Status::ALL);
    while let Some(page) = pages.next().await {
        let jobs = page?.jobs.into_iter();
        let matches = |job: &Job| beginnings.iter().any(|beginning| job.job_id.starts_with(beginning));
        matching.extend(jobs.filter(matches).map(|job| (job.job_id, job.job_name)));
    }
    Ok(matching)
}

/// The failure for a job whose ARN belongs to another region or account than the cluster.
fn elsewhere(session: &Session, reference: &JobRef, home: &Home) -> Option<Failure> {
    let cluster = &session.cluster;
    if home.region != session.region {
        let (name, region, there) = (&cluster.name, &session.region, &home.region);
        let message = format!("the job {reference} is in {there}, and the cluster `{name}` is in {region}");
        return Some(Failure::failed(message).hint(session.cluster.hint_to_region(there)));
    }
    let own =
        [&cluster.job_queue, &cluster.job_definition].into_iter().find_map(|name| Home::of_arn(name))?;
    (own.account != home.account).then(|| {
        let message = format!(
            "the job {reference} is in the account {}, and the cluster `{}` is in {}",
            home.account, cluster.name, own.account
        );
        Failure::failed(message).hint("`--profile NAME` uses the credentials of another account")
    })
}
