//! Consumable resources: what there is of them, and the jobs that require them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::{KeyValuesPair, ListJobsByConsumableResourceSummary};
use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;

use super::recorded_names::{self, NameKind};
use super::{Counts, Job, describe};
use crate::aws::{Pages, Session, explain};
use crate::ui::Failure;
use awsb_model::{JobId, RunningLimit, Status, consumable_name};

/// At most this many calls run at the same time.
const CALLS_AT_ONCE: usize = 10;

/// A consumable resource (API `DescribeConsumableResource`). It is serialised under AWS's field
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumableResource {
    /// The name.
    #[serde(rename = "consumableResourceName")]
    pub name: String,
    /// The ARN.
    #[serde(rename = "consumableResourceArn")]
    pub arn: Option<String>,
    /// `REPLENISHABLE` or `NON_REPLENISHABLE`.
    #[serde(rename = "resourceType")]
    pub kind: Option<String>,
    /// The total quantity.
    pub total_quantity: Option<i64>,
    /// The quantity that jobs hold.
    pub in_use_quantity: Option<i64>,
    /// The quantity that jobs can have now.
    pub available_quantity: Option<i64>,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: Option<i64>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// A job that requires a consumable resource, and the part of it that the job holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    /// The job's ID. An array is one job.
    pub job_id: String,
    /// The job's name.
    pub job_name: String,
    /// The job's state.
    #[serde(rename = "jobStatus")]
    pub status: Status,
    /// How much each instance of the job takes: the job, a child, or a node.
    pub quantity: u64,
    /// How much the job holds now; with its children, or its nodes.
    pub held: u64,
    /// The user who submitted the job, if the job says so.
    pub submitter: Option<String>,
}

/// A consumable resource by its name or its ARN; `None` if there is none.
///
/// # Errors
/// When Batch cannot be asked, or refuses.
pub async fn find(session: &Session, resource: &str) -> Result<Option<ConsumableResource>, Failure> {
    let sent = session.batch.describe_consumable_resource().consumable_resource(resource).send().await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => {
            let is_missing = error.code() == Some("ClientException");
            let doing = format!("asking for the consumable resource {resource}");
            let failure = explain(session, &doing, &error);
            return if is_missing { Ok(None) } else { Err(failure) };
        }
    };
    let name = answer.consumable_resource_name().unwrap_or_else(|| consumable_name(resource)).to_owned();
    record_names(session, [name.as_str()], false);
    let tags = answer.tags().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    Ok(Some(ConsumableResource {
        name,
        arn: answer.consumable_resource_arn().map(str::to_owned),
        kind: answer.resource_type().map(str::to_owned),
        total_quantity: answer.total_quantity(),
        in_use_quantity: answer.in_use_quantity(),
        available_quantity: answer.available_quantity(),
        created_at: answer.created_at().filter(|at| *at > 0),
        tags: tags.collect(),
    }))
}

/// All consumable resources, or those whose names begin with this, by name. A listing lacks the
/// available quantity, the time and the tags.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn all(session: &Session, start: Option<&str>) -> Result<Vec<ConsumableResource>, Failure> {
    let filter = start.map(|start| {
        KeyValuesPair::builder().name("CONSUMABLE_RESOURCE_NAME").values(format!("{start}*")).build()
    });
    let call = session.batch.list_consumable_resources().set_filters(filter.map(|filter| vec![filter]));
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| e.explain(session, "listing the consumable resources"))?;
        all.extend(page.consumable_resources().iter().map(|summary| ConsumableResource {
            name: summary.consumable_resource_name().unwrap_or_default().to_owned(),
            arn: summary.consumable_resource_arn().map(str::to_owned),
            kind: summary.resource_type().map(str::to_owned),
            total_quantity: summary.total_quantity(),
            in_use_quantity: summary.in_use_quantity(),
            ..ConsumableResource::default()
        }));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if start.is_none() {
        record_names(session, all.iter().map(|resource| resource.name.as_str()), true);
    }
    Ok(all)
}

/// Records the names of consumable resources for completions. Nobody types the name of a limit.
fn record_names<'a>(session: &Session, names: impl IntoIterator<Item = &'a str>, are_all: bool) {
    let names = names.into_iter().filter(|name| !RunningLimit::is_one(name)).map(str::to_owned).collect();
    recorded_names::record(&session.cluster, NameKind::ConsumableResource, names, are_all);
}

/// Removes a consumable resource. One that is not there any more counts as removed.
///
/// # Errors
/// When Batch cannot be asked, or refuses.
pub async fn delete(session: &Session, name: &str) -> Result<(), Failure> {
    match session.batch.delete_consumable_resource().consumable_resource(name).send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let doing = format!("removing the consumable resource {name}");
            let failure = explain(session, &doing, &error);
            match find(session, name).await {
                Ok(None) => Ok(()),
                _ => Err(failure),
            }
        }
    }
}

/// All jobs that require a consumable resource, in any state. An array is one job.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn jobs_of(session: &Session, resource: &str) -> Result<Vec<Consumer>, Failure> {
    jobs_in(session, resource, None).await
}

async fn jobs_in(
    session: &Session,
    resource: &str,
    status: Option<Status>,
) -> Result<Vec<Consumer>, Failure> {
    let filter =
        status.map(|status| KeyValuesPair::builder().name("JOB_STATUS").values(status.as_str()).build());
    let call = session
        .batch
        .list_jobs_by_consumable_resource()
        .consumable_resource(resource)
        .set_filters(filter.map(|filter| vec![filter]));
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    let mut jobs = Vec::new();
    while let Some(page) = pages.next().await {
        let doing = format!("listing the jobs that require the consumable resource {resource}");
        let page = page.map_err(|e| e.explain(session, &doing))?;
        jobs.extend(page.jobs().iter().map(|job| consumer(job, resource)));
    }
    Ok(jobs)
}

fn consumer(job: &ListJobsByConsumableResourceSummary, resource: &str) -> Consumer {
    let arn = job.job_arn().unwrap_or_default();
    let list = job.consumable_resource_properties().map(|all| all.consumable_resource_list());
    let of = list.into_iter().flatten().find(|of| {
        of.consumable_resource().is_some_and(|name| consumable_name(name) == consumable_name(resource))
    });
    // The documentation of the summary's own field is that of a resource's total.
    let quantity = of.and_then(|of| of.quantity()).or(job.quantity()).unwrap_or(0);
    Consumer {
        job_id: arn.rsplit('/').next().unwrap_or_default().to_owned(),
        job_name: job.job_name().unwrap_or_default().to_owned(),
        status: job.job_status().and_then(|s| s.parse().ok()).unwrap_or(Status::Submitted),
        quantity: u64::try_from(quantity).unwrap_or(0),
        held: 0,
        submitter: None,
    }
}

/// The jobs that require a consumable resource and have not ended, with the quantities that they
/// hold; those that hold most come first.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn open_consumers(session: &Session, resource: &str) -> Result<Vec<Consumer>, Failure> {
    let lists = Status::ACTIVE.map(|status| jobs_in(session, resource, Some(status)));
    let lists: Vec<_> = stream::iter(lists).buffered(CALLS_AT_ONCE).collect().await;
    let mut found: Vec<Consumer> = Vec::new();
    for list in lists {
        found.extend(list?);
    }
    // A job may have moved from one state to another between two calls.
    let mut seen = std::collections::HashSet::new();
    found.retain(|job| seen.insert(job.job_id.clone()));
    let ids: Vec<JobId> = found.iter().map(|job| JobId::from_batch(&job.job_id)).collect();
    let described: HashMap<String, Job> =
        describe(session, &ids).await?.into_iter().flatten().map(|job| (job.job_id.clone(), job)).collect();
    for consumer in &mut found {
        let Some(job) = described.get(&consumer.job_id) else { continue };
        consumer.status = job.status;
        consumer.held = consumer.quantity.saturating_mul(holders(job));
        consumer.submitter = job.submitter.as_ref().map(|submitter| submitter.as_str().to_owned());
    }
    found.retain(|job| !job.status.has_ended());
    found.sort_by_key(|job| std::cmp::Reverse(job.held));
    Ok(found)
}

/// How many instances of a job hold its resources: from STARTING to the end.
fn holders(job: &Job) -> u64 {
    if job.is_array_parent() {
        return Counts::of([job]).running + starting(job);
    }
    let holds = matches!(job.status, Status::Starting | Status::Running);
    if holds { u64::from(job.nodes.unwrap_or(1)) } else { 0 }
}

fn starting(job: &Job) -> u64 {
    let summary = job.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
    let count = summary.and_then(|summary| summary.get(Status::Starting.as_str())).copied().unwrap_or(0);
    u64::try_from(count).unwrap_or(0)
}
