//! The machines behind compute environments: the container instances of ECS, and their EC2
//! instances.

mod placement;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_ecs::types::{ContainerInstance, Resource};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::ComputeEnvironment;
use crate::aws::{Instance, Pages, Session, explain};
use crate::ui::Failure;
pub use placement::jobs_by_host;

/// At most this many instances are described in one call (ECS API `DescribeContainerInstances`).
const INSTANCES_PER_CALL: usize = 100;
/// At most this many calls run at the same time.
const CALLS_AT_ONCE: usize = 5;
/// The units of ECS for one vCPU (ECS Developer Guide, "Task definition parameters", `cpu`).
pub const UNITS: i32 = 1024;

/// A machine. It is serialised under the field names of ECS and EC2; an unknown field is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The EC2 instance.
    pub ec2_instance_id: Option<String>,
    /// The ECS container instance.
    pub container_instance_arn: String,
    /// The names of the compute environments that it belongs to.
    pub compute_environments: Vec<String>,
    /// `ACTIVE`, `DRAINING`, `REGISTERING`, …
    pub status: Option<String>,
    /// The reason for the status, where ECS gives one.
    pub status_reason: Option<String>,
    /// Whether its agent has contact with ECS.
    pub agent_connected: bool,
    /// Its instance type, such as `c5.xlarge`.
    pub instance_type: Option<String>,
    /// Its zone, such as `eu-west-1a`.
    pub availability_zone: Option<String>,
    /// `spot`, `on-demand`, …
    pub instance_lifecycle: Option<String>,
    /// Its state in EC2, such as `running`.
    pub instance_state: Option<String>,
    /// Its resources for jobs.
    pub registered_resources: HostResources,
    /// The resources that are free.
    pub remaining_resources: HostResources,
    /// Tasks that run: one for each job, array child and node.
    pub running_tasks_count: i32,
    /// Tasks that are about to run.
    pub pending_tasks_count: i32,
    /// When it joined its cluster, in milliseconds since the epoch.
    pub registered_at: Option<i64>,
    /// Its address in its VPC.
    pub private_ip_address: Option<String>,
    /// Its name in its VPC.
    pub private_dns_name: Option<String>,
    /// Its public address.
    pub public_ip_address: Option<String>,
    /// Its public name.
    pub public_dns_name: Option<String>,
    /// The jobs on it, if they were asked for.
    pub jobs: Option<Vec<HostJob>>,
}

/// The resources of a machine for jobs. They are serialised under the names that ECS has for its
/// resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct HostResources {
    /// CPU, in [`UNITS`] for each vCPU.
    pub cpu: i32,
    /// Memory in MiB.
    pub memory: i32,
    /// GPUs.
    pub gpu: usize,
}

/// A job on a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostJob {
    /// The ID of a job, a child or a node.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// `STARTING` or `RUNNING`.
    pub status: awsb_model::Status,
}

impl Host {
    /// Whether this is the ID of its EC2 instance, or the ARN or ID of its container instance.
    pub fn is(&self, text: &str) -> bool {
        self.ec2_instance_id.as_deref() == Some(text)
            || self.container_instance_arn == text
            || self.id() == text
    }

    /// The ID of the container instance. Its ARN has had two forms.
    pub fn id(&self) -> &str {
        instance_id(&self.container_instance_arn)
    }

    fn of(instance: &ContainerInstance, environments: &[String]) -> Self {
        let attribute = |name: &str| {
            let attribute = instance.attributes().iter().find(|attribute| attribute.name() == name)?;
            attribute.value().map(str::to_owned)
        };
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            ec2_instance_id: text(instance.ec2_instance_id()),
            container_instance_arn: instance.container_instance_arn().unwrap_or_default().to_owned(),
            compute_environments: environments.to_vec(),
            status: text(instance.status()),
            status_reason: text(instance.status_reason()),
            agent_connected: instance.agent_connected(),
            instance_type: attribute("ecs.instance-type"),
            availability_zone: attribute("ecs.availability-zone"),
            registered_resources: HostResources::of(instance.registered_resources()),
            remaining_resources: HostResources::of(instance.remaining_resources()),
            running_tasks_count: instance.running_tasks_count(),
            pending_tasks_count: instance.pending_tasks_count(),
            registered_at: instance.registered_at().and_then(|at| at.to_millis().ok()),
            ..Self::default()
        }
    }

    /// Adds the data of its EC2 instance.
    pub fn complete(&mut self, instance: &Instance) {
        let Instance { instance_type, state, availability_zone, lifecycle, .. } = instance.clone();
        self.instance_type = self.instance_type.take().or(instance_type);
        self.availability_zone = self.availability_zone.take().or(availability_zone);
        self.instance_state = state;
        self.instance_lifecycle = Some(lifecycle.unwrap_or_else(|| "on-demand".to_owned()));
        self.private_ip_address = instance.private_ip_address.clone();
        self.private_dns_name = instance.private_dns_name.clone();
        self.public_ip_address = instance.public_ip_address.clone();
        self.public_dns_name = instance.public_dns_name.clone();
    }
}

impl HostResources {
    fn of(resources: &[Resource]) -> Self {
        let of = |name: &str| resources.iter().find(|resource| resource.name() == Some(name));
        Self {
            cpu: of("CPU").map_or(0, Resource::integer_value),
            memory: of("MEMORY").map_or(0, Resource::integer_value),
            gpu: of("GPU").map_or(0, |gpus| gpus.string_set_value().len()),
        }
    }
}

/// The ID in the ARN of a container instance.
pub(super) fn instance_id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The machines of compute environments, by the IDs of their instances. An environment without an
/// ECS cluster (Fargate, EKS) has none.
///
/// # Errors
/// When ECS cannot be asked.
pub async fn hosts(session: &Session, environments: &[&ComputeEnvironment]) -> Result<Vec<Host>, Failure> {
    // Environments may have a cluster in common.
    let mut clusters: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for environment in environments {
        if let Some(cluster) = &environment.ecs_cluster_arn {
            clusters.entry(cluster).or_default().push(environment.compute_environment_name.clone());
        }
    }
    let asked = clusters.iter().map(|(cluster, environments)| of_cluster(session, cluster, environments));
    let mut hosts: Vec<Host> = stream::iter(asked).buffer_unordered(CALLS_AT_ONCE).try_concat().await?;
    let key = |host: &Host| (host.ec2_instance_id.clone(), host.container_instance_arn.clone());
    hosts.sort_by_cached_key(key);
    Ok(hosts)
}

/// The machines of an ECS cluster, in any order.
async fn of_cluster(session: &Session, cluster: &str, environments: &[String]) -> Result<Vec<Host>, Failure> {
    let doing = format!("asking ECS for the container instances of {}", environments.join(", "));
    let mut arns = Vec::new();
    let call = session.ecs.list_container_instances().cluster(cluster);
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => arns.extend(page.container_instance_arns.unwrap_or_default()),
            // An environment that is INVALID may have lost its cluster.
            Err(e) if e.code() == Some("ClusterNotFoundException") => return Ok(Vec::new()),
            Err(e) => return Err(e.explain(session, &doing)),
        }
    }
    let described = arns.chunks(INSTANCES_PER_CALL).map(|arns| {
        let call = session.ecs.describe_container_instances().cluster(cluster);
        call.set_container_instances(Some(arns.to_vec())).send()
    });
    let answers = stream::iter(described).buffer_unordered(CALLS_AT_ONCE).try_collect::<Vec<_>>().await;
    let answers = answers.map_err(|e| explain(session, &doing, &e))?;
    // An instance that has gone since the listing is among the failures of the answer.
    let instances = answers.iter().flat_map(|answer| answer.container_instances());
    Ok(instances.map(|instance| Host::of(instance, environments)).collect())
}

/// The EC2 instances of machines, by their IDs: addresses, names, whether they are Spot instances.
///
/// # Errors
/// When EC2 cannot be asked (the permission is `ec2:DescribeInstances`).
pub async fn instances(session: &Session, hosts: &[Host]) -> Result<HashMap<String, Instance>, Failure> {
    let ids: Vec<String> = hosts.iter().filter_map(|host| host.ec2_instance_id.clone()).collect();
    let known = session.ec2.instances(&ids).await.map_err(|e| {
        explain(session, "asking EC2 for the addresses of the instances (ec2:DescribeInstances)", &e)
    })?;
    Ok(known.into_iter().map(|instance| (instance.instance_id.clone(), instance)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_instances_arn() {
        let long = Host {
            container_instance_arn: "arn:aws:ecs:eu-west-1:1:container-instance/cluster/0a1b".into(),
            ec2_instance_id: Some("i-1".into()),
            ..Host::default()
        };
        let short = "arn:aws:ecs:eu-west-1:1:container-instance/0a1b";
        assert_eq!(long.id(), instance_id(short));
        assert!(long.is("i-1") && long.is("0a1b") && long.is(&long.container_instance_arn.clone()));
        assert!(!long.is("i-2") && !long.is("") && !long.is("cluster"));
    }
}
