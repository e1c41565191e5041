//! Limits on the running tasks of arrays: a consumable resource for each limited array.
//!
//! A limit is made before each SubmitJob of its array, and removed when all jobs of the array have
//! ended. Making it is idempotent, because its name comes from the submission's mark. It can be
//! removed at any time without harm to jobs that have ended; one that is left behind costs nothing.
//! The next submission of the same user with a limit removes it, or `awsb prune`.

use std::error::Error;
use std::time::Duration;

use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};

use super::consumables::{self, ConsumableResource, Consumer};
use super::{Job, describe};
use crate::aws::{CallError, Session, explain};
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, RunningLimit, SubmitRequest, Submitter, limits};

/// A limit whose jobs Batch does not have, or not all of them, is one whose submission was given
/// up, or whose jobs Batch has forgotten. Before this time has passed, its submission may still be
/// under way.
const SUBMISSION_IS_OVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest time that a tool takes at its end to remove limits.
const LONGEST_CLEANUP: Duration = Duration::from_secs(10);

/// The type of a limit: a task that ends makes place for the next one.
const REPLENISHABLE: &str = "REPLENISHABLE";

/// The longest time that a submission takes for limits that earlier ones have left.
const LONGEST_SWEEP: Duration = Duration::from_secs(2);

/// A submission looks at no more limits than this that earlier ones have left.
const MAX_SWEPT: usize = 5;

/// At most this many limits are looked at at the same time.
const CALLS_AT_ONCE: usize = 5;

/// Why a limit was not made.
#[derive(Debug)]
pub enum LimitError {
    /// Nothing was made, or it is not known; another try may succeed.
    Passing(Failure),
    /// Batch refuses it.
    Refused(Failure),
}

/// Makes the limit of an array, unless it is there already.
///
/// # Errors
/// When there is no permission for it, the region's Batch does not have the operation, Batch cannot
/// be reached, or a resource of this name is there with another total or type.
pub async fn ensure(
    session: &Session,
    limit: &RunningLimit,
    submitter: Option<&Submitter>,
) -> Result<(), LimitError> {
    let doing = format!("limiting the array to {} running at the same time", tasks(limit.quantity));
    let sent = session
        .batch
        .create_consumable_resource()
        .consumable_resource_name(&limit.name)
        .resource_type(REPLENISHABLE)
        .total_quantity(i64::from(limit.quantity))
        .set_tags(Some(limit.tags(submitter).into_iter().collect()))
        .send()
        .await;
    let Err(error) = sent else { return Ok(()) };
    let failure = explain(session, &doing, &error);
    let reason = CallError::from_sdk(&error);
    match &reason {
        CallError::Unreachable(_)
        | CallError::CredentialsUnreachable(_)
        | CallError::NoAnswer(_)
        | CallError::Unreadable(_)
        | CallError::OtherAnswer { .. } => Err(LimitError::Passing(failure)),
        _ if reason.is_throttling() => Err(LimitError::Passing(failure)),
        _ if reason.is_unknown_operation() => Err(LimitError::Refused(without_operation(session, failure))),
        // The login page of a network may have any status of success.
        CallError::Service { status: 408 | 500.., .. }
        | CallError::WebPage { status: ..300 | 408 | 500.., .. } => Err(LimitError::Passing(failure)),
        _ if failure.kind() == ErrorKind::AccessDenied => {
            Err(LimitError::Refused(without_operation(session, failure)))
        }
        // An earlier try, whose answer was lost, may have made it.
        CallError::Service { code, .. } if code == "ClientException" => {
            match consumables::find(session, &limit.name).await {
                Ok(Some(found)) => is_same(&found, limit).map_err(LimitError::Refused),
                Ok(None) => Err(LimitError::Refused(failure)),
                Err(other) if other.is_retryable() => Err(LimitError::Passing(other)),
                Err(_) => Err(LimitError::Refused(failure)),
            }
        }
        _ => Err(LimitError::Refused(failure)),
    }
}

/// Fails if a resource of the limit's name is another one, so that it would not limit the array as
/// asked: somebody has made or changed it.
fn is_same(found: &ConsumableResource, limit: &RunningLimit) -> Result<(), Failure> {
    let total = found.total_quantity.unwrap_or(i64::from(limit.quantity));
    let kind = found.kind.as_deref().unwrap_or(REPLENISHABLE);
    if total == i64::from(limit.quantity) && kind == REPLENISHABLE {
        return Ok(());
    }
    let name = &limit.name;
    Err(Failure::failed(format!(
        "limiting the array to {} running at the same time: the consumable resource {name} is there already, \
         {kind} with a total of {total}, and not {REPLENISHABLE} with a total of {}",
        tasks(limit.quantity),
        limit.quantity
    ))
    .hint(format!("`bqueues --resources {name}` shows the jobs that need it"))
    .hint(format!(
        "`aws batch delete-consumable-resource --consumable-resource {name}` removes it, and the next submission \
         makes it as it should be"
    )))
}

fn tasks(count: u32) -> String {
    if count == 1 { "one task".to_owned() } else { format!("{count} tasks") }
}

/// The failure of a limit where a permission is missing, or the region's Batch does not have
/// consumable resources. Batch's answer does not always tell the two apart.
fn without_operation(session: &Session, failure: Failure) -> Failure {
    let needs = format!(
        "%N needs the permission batch:CreateConsumableResource on consumable-resource/{}*, and a region whose \
         Batch has consumable resources ({} is asked)",
        RunningLimit::PREFIX,
        session.region
    );
    failure.hint(needs).hint(
        "`-d sequential` in place of %N runs the tasks one after the other without it; a task that fails ends \
         those after it",
    )
}

/// The name of the limit of a job, if the job has one.
pub fn limit_of(job: &Job) -> Option<&str> {
    let list = job.consumable_resource_properties.as_ref()?.consumable_resource_list.iter();
    list.map(|of| of.name()).find(|name| RunningLimit::is_one(name))
}

/// Removes the limits of these jobs if all jobs of their arrays have ended. A tool that has seen
/// the end of an array, or has ended it, calls this. A limit that cannot be removed is left to
/// `awsb prune`.
pub async fn remove_limits_of<'a>(session: &Session, jobs: impl IntoIterator<Item = &'a Job>) {
    let mut names: Vec<&str> = jobs.into_iter().filter_map(limit_of).collect();
    names.sort_unstable();
    names.dedup();
    let remove = async {
        for name in names {
            if let Ok(Some(found)) = ended(session, name).await {
                let _ = consumables::delete(session, &found.name).await;
            }
        }
    };
    let _ = tokio::time::timeout(LONGEST_CLEANUP, remove).await;
}

/// Removes the limits of arrays that a tool has asked Batch to end, where they have ended already.
pub async fn remove_limits_of_ended(session: &Session, jobs: &[Job]) {
    let is_read = |job: &&Job| job.depends_on.is_some();
    let (read, listed): (Vec<&Job>, Vec<&Job>) =
        jobs.iter().filter(|job| job.is_array_parent()).partition(is_read);
    // A listing lacks the consumable resources.
    let ids: Vec<JobId> = listed.into_iter().take(limits::DESCRIBE_JOBS_IDS).map(Job::id).collect();
    let described =
        if ids.is_empty() { Vec::new() } else { describe(session, &ids).await.unwrap_or_default() };
    remove_limits_of(session, read.into_iter().chain(described.iter().flatten())).await;
}

/// Removes the limit of a submission that has certainly made no job.
pub async fn remove_unused_limit(session: &Session, requests: &[SubmitRequest]) {
    let Some(limit) = requests.iter().find_map(|request| request.limit.as_ref()) else { return };
    if limit.parts == 0 {
        return;
    }
    let remove = async {
        if let Ok(true) = consumables::jobs_of(session, &limit.name).await.map(|jobs| jobs.is_empty()) {
            let _ = consumables::delete(session, &limit.name).await;
        }
    };
    let _ = tokio::time::timeout(LONGEST_CLEANUP, remove).await;
}

/// Removes limits that earlier submissions of this user have left, where their arrays have ended:
/// bkill cannot remove the limit of an array whose tasks still end. A submission with a limit calls
/// this once its jobs are announced: its calls share the rate limit of Batch with the submission.
/// It takes few calls and little time; what is left then is left to the next one, or to
/// `awsb prune`.
pub async fn remove_earlier_limits(session: &Session, requests: &[SubmitRequest]) {
    let limited = requests.iter().find_map(|request| Some((request.limit.as_ref()?, request.submitter()?)));
    let Some((new, user)) = limited else { return };
    let remove = async {
        let Ok(listed) = consumables::all(session, Some(RunningLimit::PREFIX)).await else { return };
        let names = listed.iter().filter(|of| of.in_use_quantity == Some(0)).map(|of| of.name.as_str());
        // The names are random. Each submission begins elsewhere, so that limits that others have
        // left do not hide this user's.
        let (before, behind): (Vec<&str>, Vec<&str>) =
            names.filter(|name| *name != new.name).partition(|name| *name < new.name.as_str());
        let checks = behind.into_iter().chain(before).take(MAX_SWEPT).map(|name| async {
            // The tags cost one call. The jobs of other users' arrays are not asked for.
            let Ok(Some(found)) = consumables::find(session, name).await else { return };
            let is_own = found.tags.get(RunningLimit::USER_TAG).is_some_and(|of| of == user.as_str());
            // One without a number of jobs is of a key of `--once`, which is `awsb prune`'s.
            if !is_own || parts(&found).is_none() {
                return;
            }
            let Ok(jobs) = consumables::jobs_of(session, name).await else { return };
            if is_over(&found, &jobs) {
                let _ = consumables::delete(session, name).await;
            }
        });
        stream::iter(checks).buffer_unordered(CALLS_AT_ONCE).collect::<()>().await;
    };
    let _ = tokio::time::timeout(LONGEST_SWEEP, remove).await;
}

/// A limit whose array has ended, so that nothing needs it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLimit {
    /// The name of the resource.
    pub name: String,
    /// The ARN of the resource.
    pub arn: Option<String>,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: Option<i64>,
}

/// The limits of arrays that have ended, of all users, by name. A region whose Batch does not have
/// consumable resources has no limits.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn ended_limits(session: &Session) -> Result<Vec<EndedLimit>, Failure> {
    let listed = match consumables::all(session, Some(RunningLimit::PREFIX)).await {
        Ok(listed) => listed,
        Err(failure) if lacks_operation(&failure) => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let checks = listed.iter().map(|summary| ended(session, &summary.name));
    let checked: Vec<_> = stream::iter(checks).buffered(CALLS_AT_ONCE).try_collect().await?;
    let found = checked.into_iter().flatten();
    Ok(found
        .map(|found| EndedLimit { name: found.name, arn: found.arn, created_at: found.created_at })
        .collect())
}

fn lacks_operation(failure: &Failure) -> bool {
    let source = failure.source().and_then(|source| source.downcast_ref::<CallError>());
    source.is_some_and(CallError::is_unknown_operation)
}

/// Removes a limit that [`ended_limits`] has found. It is looked at again first, because a key of
/// `--once` may have been submitted with again meanwhile.
///
/// # Errors
/// When Batch cannot be asked, or refuses, or a job needs the limit again.
pub async fn remove_ended_limit(session: &Session, limit: &EndedLimit) -> Result<(), Failure> {
    if ended(session, &limit.name).await?.is_some() {
        return consumables::delete(session, &limit.name).await;
    }
    match consumables::find(session, &limit.name).await? {
        None => Ok(()),
        Some(_) => Err(Failure::failed(format!(
            "the consumable resource {} stays: a job has been submitted with it meanwhile",
            limit.name
        ))),
    }
}

/// The limit, if all jobs of its array have ended.
async fn ended(session: &Session, name: &str) -> Result<Option<ConsumableResource>, Failure> {
    if !RunningLimit::is_one(name) {
        return Ok(None);
    }
    let jobs = match consumables::jobs_of(session, name).await {
        Ok(jobs) => jobs,
        // Another tool may have removed it since it was listed.
        Err(failure) => {
            return match consumables::find(session, name).await {
                Ok(None) => Ok(None),
                _ => Err(failure),
            };
        }
    };
    if !have_ended(&jobs) {
        return Ok(None);
    }
    let found = consumables::find(session, name).await?;
    Ok(found.filter(|found| is_over(found, &jobs)))
}

/// Whether all jobs of a limit's array have ended, if these are the jobs that need the limit. A
/// listing of jobs lags behind (User Guide, resource-aware-scheduling: up to 30 seconds), so it has
/// to have all jobs of the array.
///
/// A limit without a number of jobs belongs to a key of `--once`: somebody may submit with it again
/// at any time. It stays for a day.
fn is_over(limit: &ConsumableResource, jobs: &[Consumer]) -> bool {
    let is_complete = parts(limit).is_some_and(|parts| jobs.len() >= parts);
    have_ended(jobs) && (is_complete || age(limit) >= Some(SUBMISSION_IS_OVER))
}

fn have_ended(jobs: &[Consumer]) -> bool {
    jobs.iter().all(|job| job.status.has_ended())
}

/// The number of jobs of the array that a limit belongs to.
fn parts(limit: &ConsumableResource) -> Option<usize> {
    limit.tags.get(RunningLimit::PARTS_TAG)?.parse().ok()
}

fn age(resource: &ConsumableResource) -> Option<Duration> {
    let ms = jiff::Timestamp::now().as_millisecond().saturating_sub(resource.created_at?);
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}
