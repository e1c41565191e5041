//! `bcluster show`: a cluster in detail.

use std::collections::BTreeMap;

use awsb_model::cluster::ClusterName;
use awsb_model::words;
use serde::Serialize;

use super::super::CommonArgs;
use super::account::{cluster, open};
use super::operation::{self, Outcome, interrupted};
use super::tool::TOOL;
use crate::aws::{ResilientSession, Session};
use crate::batch::{ComputeEnvironment, Queue};
use crate::cloud::drain::{self, Parts};
use crate::cloud::{self, Event, Maker, Phase, Stack, StackResource, Watch};
use crate::ui::{Exit, Failure, Format, Layout, View, local_rfc3339, local_short};

/// The arguments of `bcluster show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cluster
    #[arg(value_name = "NAME")]
    name: ClusterName,
    /// The events of its stack, the newest last
    #[arg(long)]
    events: bool,
    /// Wait until a creation, change or deletion that is under way has ended
    #[arg(short, long)]
    wait: bool,
}

impl Args {
    /// Shows the cluster.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let name = self.name.as_str();
        let session = open(common, Some(name)).await?;
        let mut stack = common.found(cluster(&session, name).await)?;
        let mut contact = ResilientSession::new(session, TOOL);
        if self.wait && stack.status.is_in_progress() {
            let doing = match stack.status.phase() {
                Phase::Creating | Phase::CreateRollback => "creating",
                Phase::Deleting => "deleting",
                _ => "changing",
            };
            let events = contact.keep(async |session| cloud::events(session, &stack.id).await).await?;
            let mut watch = Watch::new(&stack.id, cloud::mark_of_operation(&events));
            let (status, progress) = match operation::follow(&mut contact, &mut watch).await? {
                Outcome::Ended(status, progress) => (status, progress),
                Outcome::Interrupted(signal) => return Ok(interrupted(signal, name, doing)),
            };
            match status.phase() {
                Phase::Ready if !status.as_str().contains("ROLLBACK") => {}
                Phase::Deleted => {
                    let output = common.output();
                    match output.format() {
                        Format::Json => output.show_none()?,
                        Format::Plain => {
                            output.write(format!("The cluster {name} is deleted.\n").as_bytes())?;
                        }
                    }
                    return Ok(Exit::Done);
                }
                _ => {
                    return Err(operation::failure(
                        contact.session(),
                        &format!("{doing} the cluster {name}"),
                        &status,
                        &progress,
                    ));
                }
            }
            stack = common.found(cluster(contact.session(), name).await)?;
        }
        let output = common.output();
        if self.events {
            let events = contact.keep(async |session| cloud::events(session, &stack.id).await).await?;
            output.show(&Events(&events))?;
            return Ok(Exit::Done);
        }
        let resources = contact.keep(async |session| cloud::resources(session, &stack.id).await).await?;
        let parts = contact.keep(async |session| drain::parts(session, &resources).await).await?;
        let jobs = contact.keep(async |session| drain::active_jobs(session, &parts.queues).await).await?;
        let jobs = jobs.into_iter().map(|(queue, jobs)| (queue, jobs.len())).collect();
        let place = contact.session().place();
        output.show(&Shown { stack: &stack, place, resources, parts, jobs })?;
        Ok(Exit::Done)
    }
}

/// A cluster as it is shown.
pub(super) struct Shown<'a> {
    stack: &'a Stack,
    place: String,
    resources: Vec<StackResource>,
    parts: Parts,
    /// The number of jobs that have not ended, by queue.
    jobs: BTreeMap<String, usize>,
}

impl<'a> Shown<'a> {
    /// The stack alone, without its parts.
    pub(super) fn of_stack(session: &Session, stack: &'a Stack) -> Self {
        let (resources, parts, jobs) = (Vec::new(), Parts::default(), BTreeMap::new());
        Self { stack, place: session.place(), resources, parts, jobs }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    cluster: &'a str,
    stack_name: &'a str,
    stack_id: &'a str,
    stack_status: &'a str,
    stack_status_reason: Option<&'a str>,
    made_by: Maker,
    creation_time: Option<i64>,
    last_updated_time: Option<i64>,
    enable_termination_protection: bool,
    parameters: &'a BTreeMap<String, String>,
    outputs: &'a BTreeMap<String, String>,
    tags: &'a BTreeMap<String, String>,
    job_queues: &'a [Queue],
    compute_environments: &'a [ComputeEnvironment],
    /// Not AWS's: the number of jobs that have not ended, by queue.
    jobs: &'a BTreeMap<String, usize>,
    resources: &'a [StackResource],
}

impl View for Shown<'_> {
    fn plain(&self) -> Layout {
        let stack = self.stack;
        let made_by = match stack.maker() {
            Maker::ParallelCluster => "ParallelCluster",
            Maker::Awsb | Maker::Other => "bcluster",
        };
        let time = |time: Option<i64>| time.map(local_rfc3339).unwrap_or_default();
        let mut details: Vec<(String, String)> = [
            ("cluster", stack.cluster().to_owned()),
            ("stackName", stack.name.clone()),
            ("place", self.place.clone()),
            ("stackStatus", stack.status.to_string()),
            ("stackStatusReason", stack.status_reason.clone().unwrap_or_default()),
            ("madeBy", made_by.to_owned()),
            ("creationTime", time(stack.created_at)),
            ("lastUpdatedTime", time(stack.updated_at)),
            ("protected", if stack.is_protected { "yes" } else { "no" }.to_owned()),
        ]
        .into_iter()
        .filter(|(key, value)| *key != "stackStatusReason" || !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        for queue in &self.parts.queues {
            let jobs = self.jobs.get(&queue.job_queue_name).copied().unwrap_or_default();
            let environments = queue.environments(&self.parts.environments);
            let names: Vec<&str> = environments.iter().map(|e| e.compute_environment_name.as_str()).collect();
            let state = [queue.state.as_deref(), queue.status.as_deref().filter(|s| *s != "VALID")];
            let state = state.into_iter().flatten().collect::<Vec<_>>().join("/");
            details.push((
                "queue".to_owned(),
                format!(
                    "{}: {state}, {}; {}",
                    queue.job_queue_name,
                    words::many(jobs, "job"),
                    words::and(&names)
                ),
            ));
        }
        details.extend(
            self.parts
                .environments
                .iter()
                .map(|environment| ("environment".to_owned(), in_words(environment))),
        );
        details.extend(stack.outputs.iter().map(|(key, value)| (key.clone(), value.clone())));
        details.extend(
            self.resources.iter().filter(|resource| resource.resource_status.ends_with("_FAILED")).map(
                |resource| {
                    let reason = resource.resource_status_reason.as_deref().unwrap_or_default();
                    (
                        "failed".to_owned(),
                        format!(
                            "{} {}: {} {reason}",
                            cloud::kind(&resource.resource_type),
                            resource.logical_resource_id,
                            resource.resource_status
                        ),
                    )
                },
            ),
        );
        Layout::Details(details)
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let stack = self.stack;
        let json = Json {
            cluster: stack.cluster(),
            stack_name: &stack.name,
            stack_id: &stack.id,
            stack_status: stack.status.as_str(),
            stack_status_reason: stack.status_reason.as_deref(),
            made_by: stack.maker(),
            creation_time: stack.created_at,
            last_updated_time: stack.updated_at,
            enable_termination_protection: stack.is_protected,
            parameters: &stack.parameters,
            outputs: &stack.outputs,
            tags: &stack.tags,
            job_queues: &self.parts.queues,
            compute_environments: &self.parts.environments,
            jobs: &self.jobs,
            resources: &self.resources,
        };
        vec![serde_json::to_value(json).unwrap_or_default()]
    }
}

/// A compute environment in one line: `lab-Spot-x: ENABLED, SPOT, 4 of at most 256 vCPUs`.
fn in_words(environment: &ComputeEnvironment) -> String {
    let state = [environment.state.as_deref(), environment.status.as_deref().filter(|s| *s != "VALID")];
    let state = state.into_iter().flatten().collect::<Vec<_>>().join("/");
    let name = &environment.compute_environment_name;
    let Some(resources) = &environment.compute_resources else { return format!("{name}: {state}") };
    let kind = resources.kind.as_deref().unwrap_or_default();
    let max = resources.maxv_cpus.map(|max| format!("at most {max} vCPUs")).unwrap_or_default();
    let vcpus = match (resources.desiredv_cpus, resources.minv_cpus.filter(|min| *min > 0)) {
        (Some(now), Some(min)) => format!("{now} now, at least {min}, {max}"),
        (Some(now), None) => format!("{now} now, {max}"),
        (None, _) => max,
    };
    format!("{name}: {state}, {kind}, {vcpus}")
}

/// The events of a stack.
struct Events<'a>(&'a [Event]);

impl View for Events<'_> {
    fn plain(&self) -> Layout {
        let now = jiff::Zoned::now();
        let row = |event: &Event| {
            vec![
                local_short(event.timestamp, &now),
                event.resource_status.clone(),
                event.resource_type.clone(),
                event.logical_resource_id.clone(),
                event.resource_status_reason.clone().unwrap_or_default(),
            ]
        };
        Layout::Table {
            columns: vec![
                "timestamp",
                "resourceStatus",
                "resourceType",
                "logicalResourceId",
                "resourceStatusReason",
            ],
            rows: self.0.iter().map(row).collect(),
            shrinks: Some(4),
        }
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.0.iter().map(|event| serde_json::to_value(event).unwrap_or_default()).collect()
    }
}
