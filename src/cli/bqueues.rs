//! `bqueues`: shows job queues.

mod resources;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::CommonArgs;
use crate::aws::{Resource, Session, not_found};
use crate::batch::{self, BlockingJob, ComputeEnvironment, Queue, QueueSnapshot, QueueUsage};
use crate::ui::{
    Cell, Column, Exit, Failure, Format, Layout, Output, Tone, Truncate, local_rfc3339, print_message,
    sanitize,
};
use awsb_model::{Status, queue_name};

/// The jobs of at most this many queues are counted at the same time: a call for each state.
const QUEUES_AT_ONCE: usize = 4;
/// At most this many jobs at the front of a queue are shown in the details.
const MAX_FRONT: usize = 10;

/// Show job queues: their state, their jobs, and the machines behind them
#[derive(Debug, Parser)]
#[command(name = "bqueues", version)]
pub struct Args {
    /// All queues of the account and region
    #[arg(short, long, conflicts_with = "queues")]
    all_queues: bool,
    /// Show all details, such as the compute environments and the front of the queue; for a single
    /// NAME this is the default
    #[arg(short, long)]
    details: bool,
    /// JobCount jobs that have ended, too
    #[arg(long)]
    ended: bool,
    /// Show consumable resources (licences) in place of queues: how much there is, how much is in
    /// use, and by which jobs; with -a, the limits of arrays, too
    #[arg(long, conflicts_with = "ended")]
    resources: bool,
    /// Leave out the table's header
    #[arg(long)]
    no_header: bool,
    /// Queues, by name or ARN [default: the cluster's]; with --resources, consumable resources
    #[arg(value_name = "NAME", value_parser = queue_name)]
    queues: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bqueues`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bqueues", words, |args: Args| super::block_on(args.run()))
}

impl Args {
    async fn run(&self) -> Result<Exit, Failure> {
        if self.resources {
            return self.show_resources().await;
        }
        let session = self.common.open().await?;
        let (session, queues, missing) = self.find(session).await?;
        let views = self.inspect(&session, queues).await?;
        if !views.is_empty() || missing.is_empty() || self.common.json {
            self.show(&views)?;
        }
        for view in &views {
            view.report_unknown();
        }
        for failure in &missing {
            failure.report("bqueues");
        }
        Ok(if missing.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// The queues that the arguments name, and a failure for each that does not exist.
    async fn find(&self, session: Session) -> Result<(Session, Vec<Queue>, Vec<Failure>), Failure> {
        if self.all_queues {
            let mut queues = batch::queues(&session, &[]).await?;
            queues.sort_by(|a, b| a.job_queue_name.cmp(&b.job_queue_name));
            return Ok((session, queues, Vec::new()));
        }
        named(session, &self.queues).await
    }

    /// Whether each queue is shown in detail.
    fn is_detailed(&self) -> bool {
        self.details || self.queues.len() == 1
    }

    /// Asks for the jobs and the environments of the queues. The views have the order of the
    /// queues.
    async fn inspect(&self, session: &Session, queues: Vec<Queue>) -> Result<Vec<QueueView>, Failure> {
        let statuses = if self.ended { &Status::ALL[..] } else { &Status::ACTIVE[..] };
        let looks = queues.iter().map(|queue| batch::queue_usage(session, queue, statuses));
        let looks = stream::iter(looks).buffered(QUEUES_AT_ONCE).try_collect::<Vec<_>>();
        let (environments, looks) = tokio::try_join!(batch::environments_of(session, &queues), looks)?;
        let views = queues.iter().zip(looks).map(|(queue, usage)| {
            let environments: Vec<ComputeEnvironment> =
                queue.environments(&environments).into_iter().cloned().collect();
            let used_vcpus = usage.snapshot.as_ref().ok().and_then(|snapshot| snapshot.vcpus);
            let is_detailed = self.is_detailed();
            QueueView { environments, queue: queue.clone(), usage, used_vcpus, is_detailed }
        });
        let mut views: Vec<QueueView> = views.collect();
        // Where Batch does not tell, ECS knows what is in use on the machines.
        let unknown = views.iter().filter(|view| view.used_vcpus.is_none());
        let environments: Vec<ComputeEnvironment> =
            unknown.flat_map(|view| view.environments.iter().cloned()).collect();
        if !environments.is_empty() {
            let used = used_units(session, &environments).await;
            for view in views.iter_mut().filter(|view| view.used_vcpus.is_none()) {
                let units = used_of(&view.environments, &used);
                view.used_vcpus = units.map(|units| units as f64 / f64::from(batch::UNITS));
            }
        }
        Ok(views)
    }

    fn show(&self, views: &[QueueView]) -> Result<(), Failure> {
        let output = self.common.output().without_header(self.no_header);
        match output.format() {
            Format::Json => {
                let mut array = output.json_array();
                for element in views.iter().map(QueueView::element) {
                    array.push(&element)?;
                }
                array.finish()
            }
            Format::Plain if self.is_detailed() => {
                for (n, queue) in views.iter().enumerate() {
                    between(&output, n)?;
                    output.show_layout(&queue.details())?;
                }
                Ok(())
            }
            Format::Plain => {
                let statuses = if self.ended { &Status::ALL[..] } else { &Status::ACTIVE[..] };
                let mut table = output.table(columns(statuses));
                table.rows(&views.iter().map(QueueView::row).collect::<Vec<_>>())?;
                table.finish()
            }
        }
    }
}

/// The vCPUs that jobs use on the machines of these environments, by ECS cluster, in ECS's units. A
/// cluster that may not be asked is left out.
async fn used_units(session: &Session, environments: &[ComputeEnvironment]) -> HashMap<String, i64> {
    let clusters: BTreeMap<&str, &ComputeEnvironment> =
        environments.iter().filter_map(|e| Some((e.ecs_cluster_arn.as_deref()?, e))).collect();
    let asked = clusters.into_iter().map(|(cluster, environment)| async move {
        let hosts = batch::hosts(session, &[environment]).await.ok()?;
        let used = |host: &batch::Host| host.registered_resources.cpu - host.remaining_resources.cpu;
        Some((cluster.to_owned(), hosts.iter().map(used).map(i64::from).sum()))
    });
    stream::iter(asked).buffer_unordered(QUEUES_AT_ONCE).filter_map(async |used| used).collect().await
}

/// The vCPUs that jobs use on the machines of these environments; `None` if one of them is unknown.
fn used_of(environments: &[ComputeEnvironment], used: &HashMap<String, i64>) -> Option<i64> {
    let clusters: BTreeSet<&str> = environments.iter().filter_map(|e| e.ecs_cluster_arn.as_deref()).collect();
    if clusters.is_empty() {
        return None;
    }
    clusters.into_iter().map(|cluster| used.get(cluster)).sum()
}

/// The columns of the table.
fn columns(statuses: &[Status]) -> Vec<Column> {
    let column = |name, rank| Column { rank, ..Column::new(name) };
    let mut columns = vec![
        Column { truncate: Truncate::Name(8), ..Column::new("jobQueueName") },
        column("priority", 7),
        column("state", 0),
        column("status", 1),
    ];
    columns.extend(statuses.iter().map(|status| {
        let rank = match status {
            Status::Running => 2,
            Status::Runnable => 3,
            Status::Pending => 4,
            Status::Succeeded | Status::Failed => 5,
            Status::Starting => 8,
            Status::Submitted => 9,
        };
        column(status.as_str(), rank)
    }));
    columns.push(column("vcpus", 5));
    columns.push(Column { name: "blocked", rank: 1, truncate: Truncate::End(10) });
    columns
}

/// Prints an empty line before each but the first.
pub(super) fn between(output: &Output, n: usize) -> Result<(), Failure> {
    if n == 0 { Ok(()) } else { output.write(b"\n") }
}

/// The queues that are named, or that of the cluster, each once, and a failure for each that does
/// not exist. If the cluster's queue is gone and came from the cache, the cluster is read again.
pub(super) async fn named(
    mut session: Session,
    names: &[String],
) -> Result<(Session, Vec<Queue>, Vec<Failure>), Failure> {
    if !names.is_empty() {
        let (queues, missing) = known(&session, names).await?;
        return Ok((session, queues, missing));
    }
    let own = |session: &Session| [session.cluster.job_queue.clone()];
    let (queues, missing) = known(&session, &own(&session)).await?;
    if let Some(failure) = missing.first()
        && session.reload(failure).await?
    {
        let (queues, missing) = known(&session, &own(&session)).await?;
        return Ok((session, queues, missing));
    }
    Ok((session, queues, missing))
}

async fn known(session: &Session, names: &[String]) -> Result<(Vec<Queue>, Vec<Failure>), Failure> {
    let (here, elsewhere): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| region(name).is_none_or(|region| region == session.region));
    let known = if here.is_empty() { Vec::new() } else { batch::queues(session, &here).await? };
    let mut missing: Vec<Failure> = Vec::new();
    let mut queues: Vec<Queue> = Vec::new();
    for name in here {
        match known.iter().find(|queue| queue.is(&name)) {
            Some(queue) if queues.contains(queue) => {}
            Some(queue) => queues.push(queue.clone()),
            None => {
                let failure =
                    Failure::failed(format!("there is no job queue {name} ({})", session.describe()))
                        .hint("`bqueues --all-queues` lists the queues");
                missing.push(not_found(session, failure, Resource::JobQueue(&name)));
            }
        }
    }
    missing.extend(elsewhere.iter().map(|name| {
        let region = region(name).unwrap_or_default();
        let own = &session.region;
        Failure::failed(format!(
            "the job queue {name} is in {region}, and the cluster {} in {own}",
            session.cluster.name
        ))
        .hint(format!("to ask there, add `--region {region}`"))
    }));
    Ok((queues, missing))
}

/// ECS's units as vCPUs: `2`, `0.25`.
pub(super) fn vcpus(units: i64) -> String {
    let (whole, rest) =
        (units.div_euclid(i64::from(batch::UNITS)), units.rem_euclid(i64::from(batch::UNITS)));
    let hundredths = (rest * 100 + i64::from(batch::UNITS) / 2) / i64::from(batch::UNITS);
    let vcpus = format!("{}.{:02}", whole + hundredths / 100, hundredths % 100);
    vcpus.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// vCPUs with at most two digits behind the point: `2`, `0.25`.
fn vcpu_text(vcpus: f64) -> String {
    let text = format!("{vcpus:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The region in an ARN.
fn region(name: &str) -> Option<&str> {
    name.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2))
}

/// A queue, with everything that is shown of it.
struct QueueView {
    queue: Queue,
    /// Its compute environments, in the order in which they are tried.
    environments: Vec<ComputeEnvironment>,
    usage: QueueUsage,
    /// The vCPUs that the jobs of the queue use, as Batch tells it; elsewhere those that jobs use
    /// on the machines behind the queue. `None` where neither is known.
    used_vcpus: Option<f64>,
    /// Whether details are shown, such as the front of the queue.
    is_detailed: bool,
}

impl QueueView {
    /// The vCPUs that jobs use, of the maximum of the environments.
    fn vcpus(&self) -> String {
        let used = self.used_vcpus.map_or_else(|| "-".to_owned(), vcpu_text);
        let max = self.environments.iter().filter_map(|e| e.compute_resources.as_ref()?.maxv_cpus);
        let max: Vec<i64> = max.map(i64::from).collect();
        let max = if max.is_empty() { "-".to_owned() } else { max.iter().sum::<i64>().to_string() };
        format!("{used}/{max}")
    }

    /// Reports the data that Batch has refused.
    fn report_unknown(&self) {
        let front = self.usage.snapshot.as_ref().err().filter(|_| self.is_detailed);
        if let Some(why) = self.usage.unknown.as_ref().or(front) {
            let name = &self.queue.job_queue_name;
            print_message(sanitize(&format!(
                "bqueues: note: cannot tell what blocks the queue {name}: {why}"
            )));
        }
    }

    fn front(&self) -> Option<&QueueSnapshot> {
        self.usage.snapshot.as_ref().ok().filter(|_| self.is_detailed)
    }

    /// The time since when a job has its position.
    fn since(&self, job_id: &str) -> Option<String> {
        let job = self.front()?.jobs.iter().find(|job| job.job_id.as_str() == job_id)?;
        Some(format!("since {}", local_rfc3339(job.since?)))
    }
}

/// `ENABLED` or `DISABLED`, and the status, when it is not `VALID`.
fn state(state: Option<&str>, status: Option<&str>) -> String {
    let status = status.filter(|status| *status != "VALID");
    [state, status].into_iter().flatten().collect::<Vec<_>>().join("/")
}

impl QueueView {
    fn row(&self) -> Vec<Cell> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (state, status) = (self.queue.state.as_deref(), self.queue.status.as_deref());
        let tone = |is_well: bool| if is_well { Tone::Plain } else { Tone::Bad };
        let mut row = vec![
            Cell::from(self.queue.job_queue_name.as_str()),
            Cell::from(self.queue.priority.map(|n| n.to_string()).unwrap_or_default().as_str()),
            Cell::toned(text(state), tone(state == Some("ENABLED"))),
            Cell::toned(text(status), tone(status != Some("INVALID"))),
        ];
        row.extend(self.usage.with_children.iter().map(|(_, count)| {
            Cell::toned(count.to_string(), if count.jobs == 0 { Tone::Faint } else { Tone::Plain })
        }));
        let code = self.usage.blocked.as_ref().map(BlockingJob::code).unwrap_or_default();
        row.extend([Cell::from(self.vcpus().as_str()), Cell::toned(code, Tone::Bad)]);
        row
    }

    fn details(&self) -> Layout {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let queue = &self.queue;
        let counts: Vec<String> =
            self.usage.with_children.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let blocked = self.usage.blocked.as_ref().map(|blocked| {
            let since = self.since(&blocked.job_id).map(|since| format!(", {since}")).unwrap_or_default();
            format!("by {} ({}){since}: {}", blocked.job_id, blocked.job_name, blocked.status_reason)
        });
        let mut details = vec![
            ("jobQueueName", queue.job_queue_name.clone()),
            ("jobQueueArn", queue.job_queue_arn.clone()),
            ("state", text(queue.state.as_deref())),
            ("status", text(queue.status.as_deref())),
            ("statusReason", text(queue.status_reason.as_deref())),
            ("priority", queue.priority.map(|n| n.to_string()).unwrap_or_default()),
            ("schedulingPolicyArn", text(queue.scheduling_policy_arn.as_deref())),
            ("jobs", counts.join(", ")),
            ("vcpus", self.vcpus()),
            ("blocked", blocked.unwrap_or_default()),
        ];
        for environment in &self.environments {
            details.extend(environment_lines(environment));
        }
        if let Some(front) = self.front() {
            let shown = front.jobs.iter().take(MAX_FRONT).map(|job| {
                let since = job.since.map(|since| format!(" since {}", local_rfc3339(since)));
                ("frontOfQueue", format!("{}{}", job.job_id.as_str(), since.unwrap_or_default()))
            });
            details.extend(shown);
            if front.jobs.len() > MAX_FRONT {
                details.push(("frontOfQueue", format!("and {} more", front.jobs.len() - MAX_FRONT)));
            }
        }
        Layout::Details(details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// A compute environment, in a few lines.
fn environment_lines(environment: &ComputeEnvironment) -> Vec<(&'static str, String)> {
    let kind = environment.resource_kind().or(environment.kind.as_deref()).unwrap_or("?");
    let reason = environment.status_reason.as_deref().map(|reason| format!(": {reason}"));
    let state = state(environment.state.as_deref(), environment.status.as_deref());
    let name = &environment.compute_environment_name;
    let mut lines =
        vec![("computeEnvironment", format!("{name} ({kind}) {state}{}", reason.unwrap_or_default()))];
    if let Some(resources) = &environment.compute_resources {
        let number = |n: Option<i32>| n.map_or("-".to_owned(), |n| n.to_string());
        let (desired, min, max) = (resources.desiredv_cpus, resources.minv_cpus, resources.maxv_cpus);
        lines.push(("  vcpus", format!("{} ({} to {})", number(desired), number(min), number(max))));
        if !resources.instance_types.is_empty() {
            lines.push(("  instanceTypes", resources.instance_types.join(", ")));
        }
    }
    lines
}

impl QueueView {
    /// The queue as JSON, under AWS's field names, with its environments and jobs.
    fn element(&self) -> Value {
        let mut element = serde_json::to_value(&self.queue).unwrap_or_default();
        let order = (1..).zip(&self.queue.compute_environments);
        element["computeEnvironmentOrder"] = order
            .map(|(order, environment): (u32, _)| json!({"order": order, "computeEnvironment": environment}))
            .collect();
        element["computeEnvironments"] =
            self.environments.iter().map(|e| serde_json::to_value(e).unwrap_or_default()).collect();
        let by_state = |counts: &[(Status, batch::JobCount)]| -> Value {
            counts.iter().map(|(status, count)| (status.as_str().to_owned(), json!(count.jobs))).collect()
        };
        let counts = &self.usage.counts;
        element["jobCounts"] = by_state(counts);
        element["jobCountsWithChildren"] = by_state(&self.usage.with_children);
        element["jobCountsCapped"] =
            counts.iter().filter(|(_, count)| count.more).map(|(status, _)| json!(status.as_str())).collect();
        element["usedVcpus"] = json!(self.used_vcpus);
        element["blocked"] = json!(self.usage.blocked.as_ref().map(|blocked| {
            json!({
                "jobId": blocked.job_id,
                "jobName": blocked.job_name,
                "statusReason": blocked.status_reason,
            })
        }));
        element["frontOfQueue"] = json!(self.front().map(|front| {
            let job =
                |job: &batch::SnapshotJob| json!({"jobArn": job.job_arn, "earliestTimeAtPosition": job.since});
            json!({"jobs": front.jobs.iter().map(job).collect::<Vec<_>>(), "lastUpdatedAt": front.updated_at})
        }));
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_vcpus() {
        for (units, text) in [(0, "0"), (256, "0.25"), (1024, "1"), (10_240, "10"), (1536, "1.5")] {
            assert_eq!(vcpus(units), text);
        }
    }
}
