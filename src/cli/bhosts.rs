//! `bhosts`: shows the machines.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;

use super::CommonArgs;
use super::bqueues::{between, named, vcpus};
use crate::aws::Session;
use crate::batch::{self, ComputeEnvironment, Host, HostJob, HostResources, Queue};
use crate::ui::{
    Cell, Column, Exit, Failure, Format, Layout, Tone, Truncate, local_rfc3339, print_message, sanitize,
};
use awsb_model::{JobId, queue_name};

/// Show the machines of a cluster: what they have, what is in use, and which jobs run on them
#[derive(Debug, Parser)]
#[command(name = "bhosts", version)]
pub struct Args {
    /// The machines of this queue; may be repeated [default: the cluster's]
    #[arg(short, long, value_name = "NAME", value_parser = queue_name)]
    queue: Vec<String>,
    /// The machines of all queues of the account and region
    #[arg(short, long, conflicts_with = "queue")]
    all_queues: bool,
    /// Show all details of each machine; for given machines this is the default
    #[arg(short, long)]
    details: bool,
    /// Do not look up the jobs on the machines, which costs a call for each 100 jobs and each array
    #[arg(long)]
    no_jobs: bool,
    /// Leave out the table's header
    #[arg(long)]
    no_header: bool,
    /// Machines, by the IDs of their EC2 instances or ECS container instances
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    hosts: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bhosts`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bhosts", words, |args: Args| super::block_on(args.run()))
}

impl Args {
    async fn run(&self) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        let (session, queues, mut failures) = self.queues(session).await?;
        let environments = batch::environments_of(&session, &queues).await?;
        let with_hosts: Vec<&ComputeEnvironment> =
            environments.iter().filter(|e| reason_without_hosts(e).is_none()).collect();
        let mut hosts = batch::hosts(&session, &with_hosts).await?;
        let any = !hosts.is_empty();
        if !self.hosts.is_empty() {
            failures.extend(self.unknown(&session, &hosts));
            hosts.retain(|host| self.hosts.iter().any(|id| host.is(id)));
        }
        self.complete(&session, &mut hosts, &with_hosts).await?;

        if !hosts.is_empty() || failures.is_empty() || self.common.json {
            self.show(&hosts)?;
        }
        for environment in &environments {
            if let Some(why) = reason_without_hosts(environment) {
                let name = &environment.compute_environment_name;
                print_message(format!("bhosts: note: the compute environment {name} {why}"));
            }
        }
        if !any && !with_hosts.is_empty() {
            let names: Vec<&str> = with_hosts.iter().map(|e| e.compute_environment_name.as_str()).collect();
            print_message(format!(
                "bhosts: note: there are no machines in {} at the moment",
                names.join(", ")
            ));
        }
        for failure in &failures {
            failure.report("bhosts");
        }
        Ok(if failures.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// The queues that the arguments name, and a failure for each that does not exist.
    async fn queues(&self, session: Session) -> Result<(Session, Vec<Queue>, Vec<Failure>), Failure> {
        if self.all_queues {
            let queues = batch::queues(&session, &[]).await?;
            return Ok((session, queues, Vec::new()));
        }
        named(session, &self.queue).await
    }

    /// A failure for each machine that does not exist.
    fn unknown(&self, session: &Session, hosts: &[Host]) -> Vec<Failure> {
        let unknown = self.hosts.iter().filter(|id| !hosts.iter().any(|host| host.is(id)));
        let place = match self.queue.as_slice() {
            [] if self.all_queues => "any queue".to_owned(),
            [] => format!("the queue {}", session.cluster.job_queue),
            queues => format!("the queue {}", queues.join(", ")),
        };
        let failure = |id: &String| {
            Failure::failed(format!("{place} has no machine {id} (cluster {})", session.cluster.name))
                .hint("`bhosts` lists the machines; with `--all-queues`, those of other queues as well")
        };
        unknown.map(failure).collect()
    }

    /// Asks EC2 for the addresses and Batch for the jobs, at the same time. Without the addresses,
    /// the rest is shown.
    async fn complete(
        &self,
        session: &Session,
        hosts: &mut [Host],
        environments: &[&ComputeEnvironment],
    ) -> Result<(), Failure> {
        let (instances, jobs) =
            tokio::join!(batch::instances(session, hosts), self.jobs(session, hosts, environments));
        let instances = instances.unwrap_or_else(|why| {
            print_message(sanitize(&format!("bhosts: note: addresses and names are not shown: {why}")));
            HashMap::new()
        });
        let mut jobs =
            jobs.map_err(|failure| failure.hint("`--no-jobs` shows the machines without their jobs"))?;
        for host in hosts {
            if let Some(instance) = host.ec2_instance_id.as_ref().and_then(|id| instances.get(id)) {
                host.complete(instance);
            }
            if let Some(jobs) = &mut jobs {
                host.jobs = Some(jobs.remove(host.id()).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// The jobs on the machines, by machine; `None` if they are not to be shown.
    async fn jobs(
        &self,
        session: &Session,
        hosts: &[Host],
        environments: &[&ComputeEnvironment],
    ) -> Result<Option<HashMap<String, Vec<HostJob>>>, Failure> {
        if self.no_jobs {
            return Ok(None);
        }
        if hosts.iter().all(|host| host.running_tasks_count == 0 && host.pending_tasks_count == 0) {
            return Ok(Some(HashMap::new()));
        }
        // Jobs of other queues may be there as well.
        let mut queues = batch::queues(session, &[]).await?;
        queues.retain(|queue| {
            queue.compute_environments.iter().any(|named| environments.iter().any(|e| e.is(named)))
        });
        batch::jobs_by_host(session, &queues).await.map(Some)
    }

    fn show(&self, hosts: &[Host]) -> Result<(), Failure> {
        let output = self.common.output().without_header(self.no_header);
        match output.format() {
            Format::Json => {
                let mut array = output.json_array();
                for element in hosts.iter().map(|host| serde_json::to_value(host).unwrap_or_default()) {
                    array.push(&element)?;
                }
                array.finish()
            }
            Format::Plain if self.details || !self.hosts.is_empty() => {
                for (n, host) in hosts.iter().enumerate() {
                    between(&output, n)?;
                    output.show_layout(&details(host))?;
                }
                Ok(())
            }
            Format::Plain => {
                let mut table = output.table(columns());
                table.rows(&hosts.iter().map(row).collect::<Vec<_>>())?;
                table.finish()
            }
        }
    }
}

/// The reason why an environment has no machines to show.
fn reason_without_hosts(environment: &ComputeEnvironment) -> Option<String> {
    if environment.resource_kind().is_some_and(|kind| kind.starts_with("FARGATE")) {
        return Some("is Fargate: its jobs do not run on machines of this account".to_owned());
    }
    if environment.container_orchestration_type.as_deref() == Some("EKS") {
        return Some("is on EKS: `kubectl get nodes` shows its machines".to_owned());
    }
    if environment.ecs_cluster_arn.is_none() {
        let status = environment.status.as_deref().unwrap_or("without a status");
        return Some(format!("has no ECS cluster, so no machines (it is {status})"));
    }
    None
}

/// The columns of the table. A terminal that is too narrow leaves out those with the highest rank
/// first.
fn columns() -> Vec<Column> {
    let column = |name, rank| Column { rank, ..Column::new(name) };
    vec![
        Column { truncate: Truncate::Middle(9), ..Column::new("ec2InstanceId") },
        column("instanceType", 4),
        column("zone", 7),
        column("status", 3),
        column("vcpus", 0),
        column("memory", 2),
        column("gpus", 6),
        column("tasks", 5),
        column("privateIpAddress", 8),
        column("publicIpAddress", 9),
        column("privateDnsName", 11),
        column("publicDnsName", 10),
        Column { name: "jobs", rank: 1, truncate: Truncate::End(8) },
    ]
}

fn row(host: &Host) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or_default());
    let tone = match host.status.as_deref() {
        Some("ACTIVE") if host.agent_connected => Tone::Plain,
        _ => Tone::Bad,
    };
    vec![
        Cell::from(host.ec2_instance_id.as_deref().unwrap_or(host.id())),
        text(&host.instance_type),
        text(&host.availability_zone),
        Cell::toned(status(host), tone),
        Cell::from(used(host, "/", |r| r.cpu.into(), vcpus)),
        Cell::from(used(host, "/", |r| r.memory.into(), |n| n.to_string())),
        Cell::from(used(host, "/", |r| i64::try_from(r.gpu).unwrap_or(0), |n| n.to_string())),
        Cell::from(tasks(host).as_str()),
        text(&host.private_ip_address),
        text(&host.public_ip_address),
        text(&host.private_dns_name),
        text(&host.public_dns_name),
        Cell::from(names(host.jobs.as_deref().unwrap_or_default()).join(",").as_str()),
    ]
}

fn details(host: &Host) -> Layout {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let state = [text(&host.instance_state), text(&host.instance_lifecycle)];
    let state: Vec<String> = state.into_iter().filter(|word| !word.is_empty()).collect();
    let status = match &host.status_reason {
        Some(reason) => format!("{}: {reason}", status(host)),
        None => status(host),
    };
    let gpus = match host.registered_resources.gpu {
        0 => "0".to_owned(),
        _ => format!("{} used", used(host, " of ", |r| i64::try_from(r.gpu).unwrap_or(0), |n| n.to_string())),
    };
    let mut details = vec![
        ("ec2InstanceId", text(&host.ec2_instance_id)),
        ("containerInstanceArn", host.container_instance_arn.clone()),
        ("computeEnvironments", host.compute_environments.join(", ")),
        ("status", status),
        ("instanceState", state.join(", ")),
        ("instanceType", text(&host.instance_type)),
        ("availabilityZone", text(&host.availability_zone)),
        ("registeredAt", host.registered_at.map(local_rfc3339).unwrap_or_default()),
        ("vcpus", format!("{} used", used(host, " of ", |r| r.cpu.into(), vcpus))),
        ("memory", format!("{} MiB used", used(host, " of ", |r| r.memory.into(), |n| n.to_string()))),
        ("gpus", gpus),
        ("tasks", format!("{} running, {} pending", host.running_tasks_count, host.pending_tasks_count)),
        ("privateIpAddress", text(&host.private_ip_address)),
        ("privateDnsName", text(&host.private_dns_name)),
        ("publicIpAddress", text(&host.public_ip_address)),
        ("publicDnsName", text(&host.public_dns_name)),
    ];
    let jobs = host.jobs.as_deref().unwrap_or_default().iter();
    details.extend(jobs.map(|job| ("job", format!("{} {} {}", job.job_id, job.status, job.job_name))));
    Layout::Details(details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// `ACTIVE`, `DRAINING`, …, and whether ECS has lost contact.
fn status(host: &Host) -> String {
    let contact = if host.agent_connected { "" } else { "/disconnected" };
    format!("{}{contact}", host.status.as_deref().unwrap_or_default())
}

/// The amount that jobs use, of the amount that the machine has for them.
fn used(host: &Host, of: &str, amount: fn(&HostResources) -> i64, shown: impl Fn(i64) -> String) -> String {
    let (all, free) = (amount(&host.registered_resources), amount(&host.remaining_resources));
    format!("{}{of}{}", shown(all.saturating_sub(free).max(0)), shown(all))
}

/// The number of tasks that run, and behind a `+` that of tasks that are about to run.
fn tasks(host: &Host) -> String {
    match host.pending_tasks_count {
        0 => host.running_tasks_count.to_string(),
        pending => format!("{}+{pending}", host.running_tasks_count),
    }
}

/// The names of jobs, a child's with its index and a node's with its number.
fn names(jobs: &[HostJob]) -> Vec<String> {
    let name = |job: &HostJob| {
        let id = JobId::from_batch(&job.job_id);
        let part = job.job_id.get(id.whole().as_str().len()..).unwrap_or_default();
        format!("{}{part}", job.job_name)
    };
    jobs.iter().map(name).collect()
}
