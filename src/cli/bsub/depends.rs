//! The dependencies of a job: from names to IDs.

use super::args::about;
use crate::aws::Session;
use crate::batch::{self, Job};
use crate::cli::submitter;
use crate::ui::Failure;
use awsb_model::{
    self, Awaited, Dependency, DependencyKind, JobId, NAME_LASTS, NamePattern, NamedJob, NoneToAwait, Status,
    Submitter, limits, words,
};

/// Resolves dependencies to IDs. A name is looked up among the jobs of the cluster's queue and of
/// the job's own queue.
///
/// # Errors
/// When a job is unknown, a name has no job, or the dependencies are too many.
pub async fn dependencies(
    session: &Session,
    queue: Option<&str>,
    named: &[Dependency<Awaited>],
) -> Result<Vec<Dependency<JobId>>, Failure> {
    let mut list = Vec::new();
    for dependency in named {
        match dependency {
            Dependency::Sequential => list.push(Dependency::Sequential),
            Dependency::On(Awaited::Job(job), kind) => {
                let ids = batch::resolve_ids(session, [job], None).await?;
                list.extend(ids.into_iter().map(|id| Dependency::On(id, *kind)));
            }
            Dependency::On(Awaited::Named(name), kind) => {
                let ids = by_name(session, queue, name).await?;
                list.extend(ids.into_iter().map(|id| Dependency::On(id, *kind)));
            }
        }
    }
    // A name, or `last`, can be several jobs.
    awsb_model::dependencies(&list).map_err(about("--depends-on")).map_err(|failure| {
        let mut ids: Vec<String> = Vec::new();
        for dependency in &list {
            match dependency {
                Dependency::On(id, DependencyKind::Whole) if !ids.contains(&id.to_string()) => {
                    ids.push(id.to_string());
                }
                _ => {}
            }
        }
        let most = limits::DEPENDENCIES;
        match awsb_model::joining(&ids) {
            Some(line) => {
                failure.hint(format!("join them with jobs that each wait for {most} of them: {line}"))
            }
            None => failure,
        }
    })?;
    Ok(list)
}

/// The failure for a dependency that has failed, which makes the job fail at once. A failure of the
/// look-up is not an error.
pub async fn failed(session: &Session, list: &[Dependency<JobId>]) -> Option<Failure> {
    let whole = list.iter().filter_map(|dependency| match dependency {
        Dependency::On(id, DependencyKind::Whole) => Some(id.clone()),
        _ => None,
    });
    let ids: Vec<JobId> = whole.collect();
    if ids.is_empty() {
        return None;
    }
    let jobs = batch::describe(session, &ids).await.ok()?;
    let failed = jobs.into_iter().flatten().find(|job| job.status == Status::Failed)?;
    let (id, name) = (failed.id(), &failed.job_name);
    let message = format!("--depends-on: {id} ({name}) has FAILED: a job that depends on it fails at once");
    Some(Failure::usage(message).hint(format!("`bstat --why {id}` says why it failed")))
}

/// The IDs of the user's jobs with a name.
async fn by_name(session: &Session, queue: Option<&str>, name: &NamePattern) -> Result<Vec<JobId>, Failure> {
    let mut queues = vec![session.cluster.job_queue.as_str()];
    queues.extend(queue.filter(|queue| *queue != session.cluster.job_queue));
    let submitter = submitter().ok_or_else(|| {
        Failure::usage(format!(
            "--depends-on: name:{name} means your own jobs, and this user has no user name here"
        ))
        .hint(format!("set `{}=NAME` in the environment", Submitter::VARIABLE))
    })?;
    let found = batch::select_by_name(session, &queues, name, submitter).await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let named = found.iter().map(|job| NamedJob {
        id: job.id(),
        name: job.job_name.clone(),
        status: job.status,
        stopped_at: job.stopped_at.filter(|at| *at > 0),
    });
    awsb_model::awaited(named.collect(), now).map_err(|none| match none {
        NoneToAwait::Nothing(last) => {
            let queues = queues.join(" and ");
            let message = format!("--depends-on: you have no job named {name} in the queue {queues}");
            let failure = Failure::usage(message);
            match last {
                Some(NamedJob { id, name, status, stopped_at }) => {
                    let ago = stopped_at
                        .map(|at| format!(" {} ago", words::span(now.saturating_sub(at))))
                        .unwrap_or_default();
                    let lasts = words::span(NAME_LASTS);
                    failure.hint(format!(
                        "{id} ({name}) {status}{ago}, but a name only means jobs that ended at most {lasts} \
                         ago; to depend on this one: `-d {id}`"
                    ))
                }
                None => failure.hint("`bstat --mine` lists your active jobs with their names"),
            }
        }
        NoneToAwait::Failed(NamedJob { id, name: called, .. }) => {
            let others = others(&found, &id);
            let failure = Failure::usage(format!(
                "--depends-on: name:{name} includes {id} ({called}), which FAILED: a job that depends on it \
                 would fail at once"
            ))
            .hint(format!("`bstat --why {id}` says why it failed"));
            if others.is_empty() {
                failure
            } else {
                failure.hint(format!("to depend on the others only: `-d {others}`"))
            }
        }
    })
}

/// The active jobs except for this one, in the form of `--depends-on`.
fn others(found: &[Job], failed: &JobId) -> String {
    let active = found.iter().filter(|job| !job.status.has_ended() && job.id() != *failed);
    let ids: Vec<String> = active.take(limits::DEPENDENCIES).map(|job| job.job_id.clone()).collect();
    ids.join(",")
}
