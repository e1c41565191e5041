//! DescribeJobs.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_batch::types::JobDetail;
use futures_util::StreamExt;
use futures_util::stream;

use super::recorded_names::{self, NameKind};
use super::{Job, convert};
use crate::aws::{Session, explain, spawn_call};
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, limits, words};

/// At most this many calls run at the same time. When Batch throttles one, all of them slow down
/// together.
const CALLS_AT_ONCE: usize = 10;

/// These jobs, in the given order; `None` for a job that Batch does not know.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn describe(session: &Session, ids: &[JobId]) -> Result<Vec<Option<Job>>, Failure> {
    // The SDK's shape of a job takes many times the memory of ours.
    describe_each(session, ids, |detail| Job::from(&detail)).await
}

/// The same jobs in the SDK's shape.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn sdk_details(session: &Session, ids: &[JobId]) -> Result<Vec<Option<JobDetail>>, Failure> {
    describe_each(session, ids, |detail| detail).await
}

/// A job with what [`Job`] leaves out, because it may be large.
#[derive(Debug, Clone)]
pub struct JobDetails {
    /// The job.
    pub job: Job,
    /// The names and values of its environment variables; of an MNP job, those of its first node
    /// range, of a job of several containers, those of the one that runs the command.
    pub environment: Vec<(String, String)>,
}

impl From<&JobDetail> for JobDetails {
    fn from(detail: &JobDetail) -> Self {
        let environment = convert::environment(detail).into_iter();
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { job: Job::from(detail), environment }
    }
}

/// These jobs with their environment variables, in the given order; `None` for a job that Batch
/// does not know.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn describe_with_environment(
    session: &Session,
    ids: &[JobId],
) -> Result<Vec<Option<JobDetails>>, Failure> {
    let details = sdk_details(session, ids).await?;
    Ok(details.iter().map(|detail| detail.as_ref().map(JobDetails::from)).collect())
}

/// These jobs with their environment variables, in the given order, without those that Batch does
/// not know. A job that is named several times is there as often as Batch answers with it.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn describe_as_answered(session: &Session, ids: &[JobId]) -> Result<Vec<JobDetails>, Failure> {
    let mut answered: HashMap<String, Vec<JobDetails>> = HashMap::new();
    each_answer(session, ids, |job| {
        let details = JobDetails::from(&job);
        answered.entry(details.job.job_id.clone()).or_default().push(details);
    })
    .await?;
    Ok(ids.iter().filter_map(|id| answered.get_mut(id.as_str())?.pop()).collect())
}

/// Describes jobs in batches, and converts each as it comes.
async fn describe_each<T: Clone>(
    session: &Session,
    ids: &[JobId],
    convert: fn(JobDetail) -> T,
) -> Result<Vec<Option<T>>, Failure> {
    let mut described: HashMap<String, T> = HashMap::new();
    each_answer(session, ids, |job| {
        described.insert(job.job_id().unwrap_or_default().to_owned(), convert(job));
    })
    .await?;
    Ok(ids.iter().map(|id| described.get(id.as_str()).cloned()).collect())
}

/// Describes jobs in batches, and takes each as it comes.
async fn each_answer(
    session: &Session,
    ids: &[JobId],
    mut take: impl FnMut(JobDetail),
) -> Result<(), Failure> {
    let chunks: Vec<Vec<JobId>> = ids.chunks(limits::DESCRIBE_JOBS_IDS).map(<[_]>::to_vec).collect();
    let asked = chunks.into_iter().map(|chunk| {
        let session = session.clone();
        spawn_call(async move { describe_batch(&session, chunk).await })
    });
    let mut answers = stream::iter(asked).buffer_unordered(CALLS_AT_ONCE);
    let mut containers = BTreeSet::new();
    while let Some(jobs) = answers.next().await {
        for job in jobs? {
            containers.extend(named_containers(&job));
            take(job);
        }
    }
    recorded_names::record_some(&session.cluster, NameKind::Container, containers);
    Ok(())
}

/// The names of the containers of a job that has a task or a pod of them.
fn named_containers(job: &JobDetail) -> impl Iterator<Item = String> {
    let tasks = job.ecs_properties().map(|ecs| ecs.task_properties()).unwrap_or_default();
    let of_tasks = tasks.iter().flat_map(|task| task.containers()).filter_map(|container| container.name());
    let pod = job.eks_properties().and_then(|eks| eks.pod_properties());
    let of_pod = pod.map(|pod| pod.containers()).unwrap_or_default();
    of_tasks.chain(of_pod.iter().filter_map(|container| container.name())).map(str::to_owned)
}

/// One call of DescribeJobs, for at most [`limits::DESCRIBE_JOBS_IDS`] jobs.
async fn describe_batch(session: &Session, ids: Vec<JobId>) -> Result<Vec<JobDetail>, Failure> {
    let asked = ids.iter().map(|id| id.as_str().to_owned()).collect();
    let answer = session.batch.describe_jobs().set_jobs(Some(asked)).send().await.map_err(|e| {
        let what = match ids.as_slice() {
            [id] => format!("the job {id}"),
            _ => words::many(ids.len(), "job"),
        };
        explain(session, &format!("asking for {what}"), &e)
    })?;
    Ok(answer.jobs.unwrap_or_default())
}

/// One job.
///
/// # Errors
/// When Batch cannot be asked, or does not know the job.
pub async fn describe_one(session: &Session, id: &JobId) -> Result<Job, Failure> {
    match describe(session, std::slice::from_ref(id)).await?.pop().flatten() {
        Some(job) => Ok(job),
        None => Err(explain_unknown(session, id).await?),
    }
}

/// The failure for a job that Batch does not know. For a child or a node, the whole job is asked
/// for, which may not have such a part.
///
/// # Errors
/// When Batch cannot be asked.
pub(super) async fn explain_unknown(session: &Session, id: &JobId) -> Result<Failure, Failure> {
    let whole = match id.part() {
        Some(_) => describe(session, &[id.whole()]).await?.pop().flatten(),
        None => None,
    };
    Ok(whole.and_then(|whole| no_such_part(id, &whole)).unwrap_or_else(|| unknown(session, id)))
}

/// The failure for a job that does not exist, because the job of which it would be a child or node
/// has no such part. `None`: it may exist.
pub(super) fn no_such_part(id: &JobId, whole: &Job) -> Option<Failure> {
    let part = id.part()?;
    let kind_fits = id.node_index().is_some() == whole.is_mnp_parent();
    if kind_fits && whole.parts().is_some_and(|parts| part < parts) {
        return None;
    }
    let (whole_id, name) = (&whole.job_id, &whole.job_name);
    let message = format!("there is no job {id}: the job {whole_id} ({name}) {}", parts_in_words(whole));
    let hint = match whole.parts() {
        None => format!("`bstat {whole_id}` shows it"),
        Some(_) if whole.is_mnp_parent() => format!("`bstat -e {whole_id}` lists its nodes"),
        Some(_) => format!("`bstat -e {whole_id}` lists its children"),
    };
    Some(Failure::new(ErrorKind::NotFound, message).hint(hint))
}

/// The parts of a job: `has 3 children, from 0 to 2`.
pub(super) fn parts_in_words(whole: &Job) -> String {
    let Some(parts) = whole.parts() else { return "has no children".to_owned() };
    let kind = if whole.is_mnp_parent() { "node" } else { "child" };
    match parts.saturating_sub(1) {
        0 => format!("has 1 {kind}, which is 0"),
        last => format!("has {}, from 0 to {last}", words::many(parts, kind)),
    }
}

/// The failure for a job that Batch does not know.
pub fn unknown(session: &Session, id: &JobId) -> Failure {
    let failure = Failure::new(ErrorKind::NotFound, format!("there is no job {id} ({})", session.describe()))
        .hint("`bstat -s ALL` lists the jobs that Batch still has; it removes ended jobs after some days");
    if id.is_full() {
        failure
    } else {
        let failure = failure.hint(format!(
            "the beginning of an ID (four digits or more) works for jobs that were submitted from here or \
             are in the queue {}",
            session.cluster.job_queue
        ));
        match id.part() {
            Some(_) => failure,
            None => failure.hint(format!("`bstat -s ALL --name {id}` shows the jobs with this name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, whole: &Job) -> Option<String> {
        no_such_part(&id.parse().expect("an ID"), whole).map(|failure| failure.message().to_owned())
    }

    #[test]
    fn a_job_lacks_the_parts_that_it_does_not_have() {
        const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
        let mut job = Job::submitted(ID.to_owned(), "wrap".to_owned(), None);
        let no =
            |part: &str, has: &str| Some(format!("there is no job {ID}{part}: the job {ID} (wrap) {has}"));
        assert_eq!(message(&format!("{ID}:9"), &job), no(":9", "has no children"));
        assert_eq!(message(ID, &job), None);
        job.array_properties.insert(Default::default()).size = Some(3);
        assert_eq!(message(&format!("{ID}:3"), &job), no(":3", "has 3 children, from 0 to 2"));
        assert_eq!(message(&format!("{ID}:2"), &job), None);
        assert_eq!(message(&format!("{ID}#1"), &job), no("#1", "has 3 children, from 0 to 2"));
        (job.array_properties, job.nodes) = (None, Some(2));
        assert_eq!(message(&format!("{ID}#2"), &job), no("#2", "has 2 nodes, from 0 to 1"));
        assert_eq!(message(&format!("{ID}#1"), &job), None);
    }
}
