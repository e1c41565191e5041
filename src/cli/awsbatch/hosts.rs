//! `awsbhosts`: shows the machines of the cluster.

use std::ffi::OsString;
use std::process::ExitCode;

use super::listing::Listing;
use super::options::{CLUSTER, Definition, EXIT, LOG_LEVEL, Operands, Opt, Takes, Values};
use super::tool::{NONE, failed_with, open, run};
use crate::aws::Session;
use crate::batch::{self, Host, HostResources, UNITS};
use crate::ui::{Exit, Failure};

/// The command line.
pub const DEFINITION: Definition = Definition {
    name: "awsbhosts",
    about: "Show the hosts of the cluster's compute environments",
    options: &[
        CLUSTER,
        Opt { short: "d", long: "details", takes: Takes::Nothing, help: "Show all fields of the hosts" },
        LOG_LEVEL,
    ],
    operands: Operands::Any,
    operand: ("instance_ids", "EC2 instances, which are shown with all fields"),
    differences: &[
        "Hosts are sorted by their IDs, and those of all compute environments of the queue are shown.",
    ],
    exit: EXIT,
    successor: "bhosts",
};

/// `awsbhosts`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    run(&DEFINITION, words, |values| Box::pin(show(values)))
}

async fn show(values: Values) -> Result<Exit, Failure> {
    let mut session = open(&values).await?;
    let wanted = values.texts();
    let hosts = session.with_fresh_cluster(all).await?;
    let is_wanted = |host: &&Host| {
        wanted.is_empty() || host.ec2_instance_id.as_ref().is_some_and(|id| wanted.contains(id))
    };
    let listing = Listing {
        keys: [
            "ec2InstanceId",
            "containerInstanceArn",
            "status",
            "instanceType",
            "privateIpAddress",
            "publicIpAddress",
            "privateDnsName",
            "publicDnsName",
            "runningJobs",
            "pendingJobs",
            "registeredCPUs",
            "registeredMemory[MB]",
            "availableCPUs",
            "availableMemory[MB]",
        ],
        items: hosts.iter().filter(is_wanted).map(item).collect(),
    };
    match values.has("details") || !wanted.is_empty() {
        true => listing.show()?,
        false => listing.show_table(&[
            "ec2InstanceId",
            "instanceType",
            "privateIpAddress",
            "publicIpAddress",
            "runningJobs",
        ])?,
    }
    Ok(Exit::Done)
}

/// All hosts of the queue's compute environments, with their EC2 instances.
async fn all(session: &Session) -> Result<Vec<Host>, Failure> {
    let environments = async {
        let queues = batch::queues(session, std::slice::from_ref(&session.cluster.job_queue)).await?;
        batch::environments_of(session, &queues).await
    };
    let environments = environments
        .await
        .map_err(failed_with("Error listing compute environments from AWS Batch. Failed with exception:"))?;
    let hosts = batch::hosts(session, &environments.iter().collect::<Vec<_>>()).await;
    let mut hosts = hosts
        .map_err(failed_with("Error listing container instances from AWS ECS. Failed with exception:"))?;
    let instances = batch::instances(session, &hosts).await;
    let instances =
        instances.map_err(failed_with("Error listing EC2 instances from AWS EC2. Failed with exception:"))?;
    for host in &mut hosts {
        if let Some(instance) = host.ec2_instance_id.as_ref().and_then(|id| instances.get(id)) {
            host.complete(instance);
        }
    }
    Ok(hosts)
}

fn item(host: &Host) -> [String; 14] {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
    // Python's division gives a number with a point.
    let vcpus = |resources: HostResources| format!("{:?}", f64::from(resources.cpu) / f64::from(UNITS));
    [
        text(&host.ec2_instance_id),
        host.container_instance_arn.clone(),
        text(&host.status),
        text(&host.instance_type),
        text(&host.private_ip_address),
        text(&host.public_ip_address),
        text(&host.private_dns_name),
        text(&host.public_dns_name),
        host.running_tasks_count.to_string(),
        host.pending_tasks_count.to_string(),
        vcpus(host.registered_resources),
        host.registered_resources.memory.to_string(),
        vcpus(host.remaining_resources),
        host.remaining_resources.memory.to_string(),
    ]
}
