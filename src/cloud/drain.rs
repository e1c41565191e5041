//! Takes the jobs from a cluster: its queues accept no more jobs, its jobs end, its compute
//! environments give their instances back. It also stops and starts a cluster.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::{CeState, ComputeResourceUpdate, JqState};
use futures_util::StreamExt;
use futures_util::stream::{self, TryStreamExt};

use super::stack::StackResource;
use crate::aws::{ResilientSession, Session, explain};
use crate::batch::{self, ComputeEnvironment, Job, Queue, TerminationProgress};
use crate::ui::{ErrorKind, Failure};
use awsb_model::cluster::{StoppedEnvironments, Template};
use awsb_model::{JobId, Status};

/// At most this many queues are listed at the same time.
const QUEUES_AT_ONCE: usize = 4;
/// The interval between two looks at jobs that are to end, and at environments that change.
const INTERVAL: Duration = Duration::from_secs(2);
const NEAR_INTERVAL: Duration = Duration::from_millis(100);
/// The interval between two looks at jobs that take long to end: a look lists all active jobs.
const LONGEST_INTERVAL: Duration = Duration::from_secs(16);
/// How long an environment or a queue may take to become free for a change, or to be changed. Batch
/// says nothing about it; environments have taken two minutes.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(600);

/// The queues and compute environments of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Its queues.
    pub queues: Vec<Queue>,
    /// Its compute environments.
    pub environments: Vec<ComputeEnvironment>,
}

/// The physical IDs of a stack's resources of a type.
pub fn physical_ids(resources: &[StackResource], resource_type: &str) -> Vec<String> {
    let of_type = resources.iter().filter(|resource| resource.resource_type == resource_type);
    of_type.filter_map(|resource| resource.physical_resource_id.clone()).collect()
}

/// The queues and environments among the resources of a stack, as far as they exist.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn parts(session: &Session, resources: &[StackResource]) -> Result<Parts, Failure> {
    let queues = physical_ids(resources, "AWS::Batch::JobQueue");
    let environments = physical_ids(resources, "AWS::Batch::ComputeEnvironment");
    // Without names, Batch would list those of the whole account.
    let queues =
        async { if queues.is_empty() { Ok(Vec::new()) } else { batch::queues(session, &queues).await } };
    let environments = async {
        if environments.is_empty() {
            Ok(Vec::new())
        } else {
            batch::environments(session, &environments).await
        }
    };
    let (queues, environments) = tokio::try_join!(queues, environments)?;
    Ok(Parts { queues, environments })
}

/// The jobs of these queues that have not ended, by queue. A job that is a part of another one is
/// left out.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn active_jobs(session: &Session, queues: &[Queue]) -> Result<BTreeMap<String, Vec<Job>>, Failure> {
    let listings = queues.iter().map(|queue| async move {
        let jobs = batch::list(session, &queue.job_queue_arn, &Status::ACTIVE).await?;
        Ok::<_, Failure>((queue.job_queue_name.clone(), jobs))
    });
    stream::iter(listings).buffer_unordered(QUEUES_AT_ONCE).try_collect().await
}

/// Whether a queue is to take jobs, or an environment is to have instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `ENABLED`.
    Enabled,
    /// `DISABLED`.
    Disabled,
}

impl Wanted {
    fn as_str(self) -> &'static str {
        match self {
            Wanted::Enabled => "ENABLED",
            Wanted::Disabled => "DISABLED",
        }
    }
}

/// Sets the state of queues. Those that have it are left as they are.
///
/// # Errors
/// When Batch refuses or cannot be asked.
pub async fn set_queues(
    contact: &mut ResilientSession,
    queues: &[Queue],
    wanted: Wanted,
) -> Result<(), Failure> {
    for queue in queues.iter().filter(|queue| queue.state.as_deref() != Some(wanted.as_str())) {
        let name = &queue.job_queue_name;
        patiently(contact, async |session| {
            let call = session.batch.update_job_queue().job_queue(&queue.job_queue_arn);
            match call.state(JqState::from(wanted.as_str())).send().await {
                Ok(_) => Ok(true),
                Err(e) if is_busy(&e) => Ok(false),
                Err(e) if is_gone(&e) => Ok(true),
                Err(e) => {
                    Err(explain(session, &format!("setting the job queue {name} to {}", wanted.as_str()), &e))
                }
            }
        })
        .await?
        .then_some(())
        .ok_or_else(|| still_busy("job queue", name))?;
    }
    Ok(())
}

/// Sets the state of compute environments, and the vCPUs that they keep running. Without `min`,
/// this number stays. Those that have both are left as they are. An environment that is DISABLED
/// still keeps its minimum (Batch User Guide, `Compute environment parameters`, state), so it is
/// set, too.
///
/// # Errors
/// When Batch refuses or cannot be asked.
pub async fn set_environments(
    contact: &mut ResilientSession,
    environments: &[ComputeEnvironment],
    wanted: Wanted,
    min: impl Fn(&ComputeEnvironment) -> Option<i32>,
) -> Result<(), Failure> {
    for environment in environments {
        let resources = environment.compute_resources.as_ref();
        // An environment on Fargate has no minimum.
        let min = min(environment).filter(|min| {
            resources
                .is_some_and(|r| r.minv_cpus.is_some_and(|now| now != *min) && !is_fargate(r.kind.as_deref()))
        });
        if environment.state.as_deref() == Some(wanted.as_str()) && min.is_none() {
            continue;
        }
        let name = &environment.compute_environment_name;
        let update = min.map(|min| ComputeResourceUpdate::builder().minv_cpus(min).build());
        patiently(contact, async |session| {
            let call = session.batch.update_compute_environment();
            let call = call.compute_environment(&environment.compute_environment_arn);
            let call = call.state(CeState::from(wanted.as_str())).set_compute_resources(update.clone());
            match call.send().await {
                Ok(_) => Ok(true),
                Err(e) if is_busy(&e) => Ok(false),
                Err(e) if is_gone(&e) => Ok(true),
                Err(e) => {
                    let doing = format!("setting the compute environment {name} to {}", wanted.as_str());
                    Err(explain(session, &doing, &e))
                }
            }
        })
        .await?
        .then_some(())
        .ok_or_else(|| still_busy("compute environment", name))?;
    }
    Ok(())
}

fn is_fargate(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind.starts_with("FARGATE"))
}

fn still_busy(what: &str, name: &str) -> Failure {
    Failure::new(
        ErrorKind::TimedOut,
        format!("the {what} {name} has been busy with another change for 10 minutes"),
    )
    .hint("the same command goes on")
}

/// Makes a call until Batch has time for it. Returns `false` if it has none within ten minutes.
async fn patiently(
    contact: &mut ResilientSession,
    call: impl AsyncFn(&Session) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let begun = Instant::now();
    loop {
        if contact.keep(&call).await? {
            return Ok(true);
        }
        if begun.elapsed() > CHANGE_TIMEOUT {
            return Ok(false);
        }
        tokio::time::sleep(interval(contact.session())).await;
    }
}

/// Whether Batch has not finished an earlier change (its message: `Cannot update, resource is being
/// modified`).
fn is_busy<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.message().is_some_and(|message| message.contains("being modified"))
}

/// Whether Batch does not have the queue or environment any more.
fn is_gone<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.message().is_some_and(|message| message.contains("does not exist"))
}

/// The time between two questions.
pub fn interval(session: &Session) -> Duration {
    if session.is_near() { NEAR_INTERVAL } else { INTERVAL }
}

/// Ends the jobs, many at the same time. Returns the failures of those that could not be ended.
pub async fn terminate(session: &Session, jobs: Vec<Job>, reason: &str) -> Vec<(JobId, Failure)> {
    let progress = TerminationProgress::of("bcluster");
    let mut failures = Vec::new();
    let mut outcomes = batch::terminate_all(session, jobs, reason, &progress);
    while let Some((job, outcome)) = outcomes.next().await {
        failures.extend(outcome.err().map(|failure| (job.id(), failure)));
    }
    failures
}

/// The jobs at one look while a cluster is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobsLeft {
    /// All that have not ended.
    pub all: usize,
    /// Those among them that were not there at an earlier look.
    pub new: usize,
}

/// Waits until no job of these queues is left. With a reason, it terminates the jobs: also those
/// that come while it waits, as Batch disables a queue some time after it was asked to. `report` is
/// told of each look.
///
/// # Errors
/// When a job cannot be terminated, or contact is lost for good.
pub async fn end_jobs(
    contact: &mut ResilientSession,
    queues: &[Queue],
    reason: Option<&str>,
    mut report: impl FnMut(JobsLeft),
) -> Result<(), Failure> {
    let mut known = HashSet::new();
    let first = interval(contact.session());
    let longest = if contact.session().is_near() { first } else { LONGEST_INTERVAL };
    let mut pause = first;
    loop {
        let jobs = contact.keep(async |session| active_jobs(session, queues).await).await?;
        let all = jobs.values().map(Vec::len).sum();
        let new: Vec<Job> =
            jobs.into_values().flatten().filter(|job| known.insert(job.job_id.clone())).collect();
        report(JobsLeft { all, new: new.len() });
        if all == 0 {
            return Ok(());
        }
        if !new.is_empty() {
            pause = first;
            if let Some(reason) = reason {
                let session = contact.session().clone();
                let failed = terminate(&session, new, reason).await.into_iter().next();
                if let Some((_, failure)) = failed {
                    return Err(failure);
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// The environments of a stack that are disabled.
pub fn stopped(resources: &[StackResource], environments: &[ComputeEnvironment]) -> StoppedEnvironments {
    let is_stopped = |environment: &&ComputeEnvironment| environment.state.as_deref() == Some("DISABLED");
    let disabled: Vec<&ComputeEnvironment> = environments.iter().filter(is_stopped).collect();
    let is_among = |resource: &&StackResource| {
        let id = resource.physical_resource_id.as_deref();
        id.is_some_and(|id| disabled.iter().any(|environment| environment.is(id)))
    };
    StoppedEnvironments {
        ids: resources.iter().filter(is_among).map(|r| r.logical_resource_id.clone()).collect(),
        are_all: !disabled.is_empty() && disabled.len() == environments.len(),
    }
}

/// The vCPUs that each environment of a template keeps running, by the logical ID: without those
/// whose number cannot be read, such as a reference to a parameter.
pub fn minima(template: &str) -> BTreeMap<String, i32> {
    let Ok(template) = serde_json::from_str::<serde_json::Value>(template) else { return BTreeMap::new() };
    let resources = template["Resources"].as_object().into_iter().flatten();
    let environments = resources.filter(|(_, resource)| resource["Type"] == "AWS::Batch::ComputeEnvironment");
    let min = environments.filter_map(|(id, resource)| {
        if let Some(min) = Template::minimum_when_started(resource) {
            return Some((id.clone(), min));
        }
        let min = match &resource["Properties"]["ComputeResources"] {
            serde_json::Value::Object(machines) if machines.keys().any(|key| key.starts_with("Fn::")) => {
                return None;
            }
            serde_json::Value::Object(machines) => match machines.get("MinvCpus") {
                // API `ComputeResource`, minvCpus: the default is 0.
                None => 0,
                // CloudFormation takes a number as a text, too.
                Some(serde_json::Value::String(text)) => text.parse().ok()?,
                Some(min) => i32::try_from(min.as_i64()?).ok()?,
            },
            serde_json::Value::Null => 0,
            _ => return None,
        };
        Some((id.clone(), min))
    });
    min.collect()
}

/// Whether an environment keeps vCPUs running, as Batch has it now.
pub fn keeps_vcpus(environment: &ComputeEnvironment) -> Option<i32> {
    let machines = environment.compute_resources.as_ref()?;
    machines.minv_cpus.filter(|min| *min > 0 && !is_fargate(machines.kind.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_are_those_of_the_template() {
        let template = serde_json::json!({"Resources": {
            "Spot": {"Type": "AWS::Batch::ComputeEnvironment", "Properties": {"ComputeResources": {"MinvCpus": 8}}},
            "Text": {"Type": "AWS::Batch::ComputeEnvironment",
                     "Properties": {"ComputeResources": {"MinvCpus": "4"}}},
            "Parameter": {"Type": "AWS::Batch::ComputeEnvironment",
                          "Properties": {"ComputeResources": {"MinvCpus": {"Ref": "MinSize"}}}},
            "Function": {"Type": "AWS::Batch::ComputeEnvironment",
                         "Properties": {"ComputeResources": {"Fn::If": ["Big", {"MinvCpus": 2}, {"MinvCpus": 1}]}}},
            "Fargate": {"Type": "AWS::Batch::ComputeEnvironment", "Properties": {"ComputeResources": {}}},
            "Queue": {"Type": "AWS::Batch::JobQueue", "Properties": {}},
        }});
        let expected = [("Fargate".to_owned(), 0), ("Spot".to_owned(), 8), ("Text".to_owned(), 4)];
        assert_eq!(minima(&template.to_string()), BTreeMap::from(expected));
        assert_eq!(minima("AWSTemplateFormatVersion: yaml"), BTreeMap::new());
    }
}
