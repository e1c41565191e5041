//! Which jobs are meant: by ID or ARN, by an ID's beginning, as `last`, by the ID of a task.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;

use super::history::{resolve, several, submitted_within};
use super::watch::SETTLE;
use super::{Job, Of, describe, pages_in_turn, unknown};
use crate::aws::Session;
use crate::ui::{ErrorKind, Exit, Failure};
use awsb_model::{Home, JobId, JobRef, Status};

/// The jobs that were named, as far as there are such jobs.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that Batch knows, in the order in which they were named.
    pub jobs: Vec<Job>,
    /// Why some mean none.
    pub failures: Vec<Failure>,
}

impl Found {
    /// Says what was not found, an error line for each. The exit code: `otherwise` when everything was found; that of
    /// wrong usage when nothing was, because nothing was named in a way that can be right.
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

/// The jobs that these references mean, as Batch knows them; with a task, the one job among them or their children
/// that has it.
///
/// # Errors
/// When Batch cannot be asked, or none of the jobs has this task.
pub async fn find<'r>(
    session: &Session,
    references: impl IntoIterator<Item = &'r JobRef>,
    of_task: Option<u32>,
) -> Result<Found, Failure> {
    let references: Vec<&JobRef> = references.into_iter().collect();
    let mut found = Found::default();
    let mut ids = Vec::new();
    for (reference, meant) in references.iter().zip(each(session, &references).await?) {
        match meant {
            Ok(meant) => ids.extend(meant.into_iter().map(|id| (id, reference.home()))),
            Err(failure) => found.failures.push(failure),
        }
    }
    if let Some(wanted) = of_task.filter(|_| !ids.is_empty()) {
        let whole: Vec<JobId> = ids.into_iter().map(|(id, _)| id).collect();
        ids = vec![(task(session, &whole, wanted).await?, None)];
    }
    let asked: Vec<JobId> = ids.iter().map(|(id, _)| id.clone()).collect();
    let known = settled(session, &asked).await?;
    for ((id, home), job) in ids.into_iter().zip(known) {
        match (job, home) {
            (Some(job), _) => found.jobs.push(job),
            (None, Some(Home { account, .. })) => found.failures.push(unknown(session, &id).hint(format!(
                "its ARN belongs to the account {account}; `aws sts get-caller-identity` shows yours"
            ))),
            (None, None) => found.failures.push(unknown(session, &id)),
        }
    }
    Ok(found)
}

/// What Batch knows of these jobs. It may take a moment to show what was submitted just now: what was so from here is
/// asked for again.
async fn settled(session: &Session, ids: &[JobId]) -> Result<Vec<Option<Job>>, Failure> {
    let mut jobs = describe(session, ids).await?;
    let mut pause = FIRST_PAUSE;
    loop {
        let missing: Vec<JobId> =
            ids.iter().zip(&jobs).filter(|(_, job)| job.is_none()).map(|(id, _)| id.clone()).collect();
        let new = submitted_within(session, &missing, SETTLE);
        if new.is_empty() {
            return Ok(jobs);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        for found in describe(session, &new).await?.into_iter().flatten() {
            let at = ids.iter().zip(&mut jobs).filter(|(id, _)| id.as_str() == found.job_id);
            at.for_each(|(_, job)| *job = Some(found.clone()));
        }
    }
}

/// The first pause before a job that is not shown yet is asked for again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The IDs of the jobs that these references mean; with a task, of the one job among them or their children that has
/// it. A whole ID is not asked for.
///
/// # Errors
/// When one of them means no job or may mean several (exit code 2), Batch cannot be asked, or none of the jobs has
/// this task.
pub async fn meant<'r>(
    session: &Session,
    references: impl IntoIterator<Item = &'r JobRef>,
    of_task: Option<u32>,
) -> Result<Vec<JobId>, Failure> {
    let references: Vec<&JobRef> = references.into_iter().collect();
    let mut ids = Vec::new();
    for meant in each(session, &references).await? {
        ids.extend(meant?);
    }
    match of_task {
        Some(wanted) => Ok(vec![task(session, &ids, wanted).await?]),
        None => Ok(ids),
    }
}

/// The job that has a task: a child of one of these arrays.
///
/// # Errors
/// When Batch cannot be asked, knows none of the jobs, or none of them has this task.
pub async fn task(session: &Session, parents: &[JobId], task: u32) -> Result<JobId, Failure> {
    let jobs = describe(session, parents).await?;
    if let Some(id) = jobs.iter().flatten().find_map(|job| job.of_task(task)) {
        return Ok(id);
    }
    match (parents, jobs.as_slice()) {
        ([id], [None]) => Err(unknown(session, id)),
        ([id], _) => Err(Failure::failed(format!("the job {id} has no task {task}"))
            .hint(format!("`bstat {id}` lists its children and their tasks"))),
        _ => Err(Failure::failed(format!("none of the {} jobs has a task {task}", parents.len()))),
    }
}

/// The IDs that each reference means. What is known here comes first; the beginning of another ID is looked for in the
/// cluster's queue, unless Batch takes it for an ID.
async fn each(
    session: &Session,
    references: &[&JobRef],
) -> Result<Vec<Result<Vec<JobId>, Failure>>, Failure> {
    let mut meant = resolve(session, references);
    let mut open: BTreeMap<usize, String> = BTreeMap::new();
    for (at, (reference, meant)) in references.iter().zip(&mut meant).enumerate() {
        if let Some(elsewhere) = reference.home().and_then(|home| elsewhere(session, reference, home)) {
            *meant = Err(elsewhere);
        }
        if let (Some(beginning), Ok([id])) = (reference.beginning(), meant.as_deref())
            && !id.is_full()
        {
            open.insert(at, beginning);
        }
    }
    if open.is_empty() {
        return Ok(meant);
    }
    let asked: Vec<JobId> =
        open.keys().filter_map(|at| meant.get(*at)?.as_ref().ok()?.first().cloned()).collect();
    let known = describe(session, &asked).await?;
    let unknown_ones: BTreeMap<usize, String> =
        open.into_iter().zip(known).filter(|(_, job)| job.is_none()).map(|(open, _)| open).collect();
    if unknown_ones.is_empty() {
        return Ok(meant);
    }
    let beginnings: Vec<&str> = unknown_ones.values().map(String::as_str).collect();
    let in_queue = match in_queue(session, &beginnings).await {
        Err(failure) if failure.is_retryable() => return Err(failure),
        // Who may not list jobs is told that there is no such job.
        listed => listed.unwrap_or_default(),
    };
    for (at, beginning) in &unknown_ones {
        let (Some(meant), Some(reference)) = (meant.get_mut(*at), references.get(*at)) else { continue };
        let fitting: Vec<(&str, &str)> = in_queue
            .iter()
            .filter(|(id, _)| id.starts_with(beginning.as_str()))
            .map(|(id, name)| (id.as_str(), name.as_str()))
            .collect();
        match fitting.as_slice() {
            [] => {}
            [(id, _)] => *meant = Ok(vec![reference.of(&JobId::from_batch(*id))]),
            candidates => {
                let queue = &session.cluster.job_queue;
                let count = candidates.len();
                let message = format!("{count} jobs of the queue {queue} {}", reference.in_common());
                *meant = Err(several(&message, candidates));
            }
        }
    }
    Ok(meant)
}

/// The jobs of the cluster's queue, in whatever state, whose IDs begin with one of these: IDs and names.
async fn in_queue(session: &Session, beginnings: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
    let mut fitting = BTreeMap::new();
    // Were one missed, another would be taken for the only one, and perhaps ended.
    let of = Of::Queue(session.cluster.job_queue.clone());
    let mut pages = pages_in_turn(session, of, &Status::ALL);
    while let Some(page) = pages.next().await {
        let jobs = page?.jobs.into_iter();
        let fits = |job: &Job| beginnings.iter().any(|beginning| job.job_id.starts_with(beginning));
        fitting.extend(jobs.filter(fits).map(|job| (job.job_id, job.job_name)));
    }
    Ok(fitting)
}

/// The failure for a job whose ARN is of another region or account than the cluster's, as far as those are known.
fn elsewhere(session: &Session, reference: &JobRef, home: &Home) -> Option<Failure> {
    let cluster = &session.cluster;
    if home.region != session.region {
        let (name, region, there) = (&cluster.name, &session.region, &home.region);
        let message = format!("the job {reference} is in {there}, and the cluster `{name}` is in {region}");
        return Some(Failure::failed(message).hint(session.hint_to_region(there)));
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
