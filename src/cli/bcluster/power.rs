//! `bcluster stop` and `bcluster start`: a cluster that is not used costs nothing.

use std::collections::BTreeMap;

use awsb_model::cluster::ClusterName;
use awsb_model::{Status, words};
use serde_json::{Value, json};

use super::super::CommonArgs;
use super::account::{cluster, open};
use super::tool::TOOL;
use crate::aws::ResilientSession;
use crate::batch::ComputeEnvironment;
use crate::cloud::drain::{self, Parts, Wanted};
use crate::cloud::{self, StackResource};
use crate::ui::{Exit, Failure, Layout, View, print_message};

/// The arguments of both commands.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cluster
    #[arg(value_name = "NAME")]
    name: ClusterName,
}

/// A cluster, as both commands need it.
struct Cluster {
    contact: ResilientSession,
    resources: Vec<StackResource>,
    parts: Parts,
    template: String,
}

/// The vCPUs that the environments of a cluster keep running by its template.
struct Minima<'a> {
    resources: &'a [StackResource],
    by_logical_id: BTreeMap<String, i32>,
}

impl<'a> Minima<'a> {
    fn of(resources: &'a [StackResource], template: &str) -> Self {
        Self { resources, by_logical_id: drain::minima(template) }
    }

    /// The minimum of an environment. `None`: the template does not tell it.
    fn get(&self, environment: &ComputeEnvironment) -> Option<i32> {
        let is_it = |resource: &&StackResource| {
            resource.physical_resource_id.as_deref().is_some_and(|id| environment.is(id))
        };
        self.by_logical_id.get(&self.resources.iter().find(is_it)?.logical_resource_id).copied()
    }
}

impl Args {
    async fn read(&self, common: &CommonArgs) -> Result<Cluster, Failure> {
        let session = open(common, Some(self.name.as_str())).await?;
        let stack = cluster(&session, self.name.as_str()).await?;
        let (resources, template) = tokio::try_join!(
            cloud::resources(&session, &stack.id),
            cloud::stack_template(&session, &stack.id)
        )?;
        let parts = drain::parts(&session, &resources).await?;
        if parts.environments.is_empty() {
            return Err(Failure::failed(format!("the cluster {} has no compute environment", self.name)));
        }
        Ok(Cluster { contact: ResilientSession::new(session, TOOL), resources, parts, template })
    }

    /// Fails if `start` could not give an environment its minimum back.
    fn check_restorable(&self, cluster: &Cluster) -> Result<(), Failure> {
        let session = cluster.contact.session();
        let minima = Minima::of(&cluster.resources, &cluster.template);
        let lost = |environment: &&ComputeEnvironment| minima.get(environment).is_none();
        let mut environments = cluster.parts.environments.iter().filter(lost);
        let found =
            environments.find_map(|environment| Some((environment, drain::keeps_vcpus(environment)?)));
        let Some((environment, min)) = found else { return Ok(()) };
        let environment = &environment.compute_environment_name;
        Err(Failure::failed(format!(
            "stopping the cluster {}: the environment {environment} keeps {min} vCPUs running, and the template \
             does not tell this number, so `bcluster start` could not set it again",
            self.name
        ))
        .hint(session.advice(&format!(
            "`aws batch update-compute-environment --compute-environment {environment} --compute-resources \
             minvCpus=0` sets it to 0, and with `minvCpus={min}` back; then `bcluster stop {}` does the rest",
            self.name
        ))))
    }

    /// Disables the environments, and lets them keep no instance. Queues go on taking jobs, which
    /// wait.
    pub(super) async fn stop(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let mut cluster = self.read(common).await?;
        let environments = &cluster.parts.environments;
        self.check_restorable(&cluster)?;
        drain::set_environments(&mut cluster.contact, environments, Wanted::Disabled, |_| Some(0)).await?;
        let queues = &cluster.parts.queues;
        let jobs = cluster.contact.keep(async |session| drain::active_jobs(session, queues).await).await?;
        let running = jobs
            .values()
            .flatten()
            .filter(|job| matches!(job.status, Status::Starting | Status::Running))
            .count();
        let costs = still_costs(&cluster.resources);
        self.show(common, &Power { name: self.name.as_str(), environments, running: Some(running), costs })
    }

    /// Enables the environments, with the minimum of the template.
    pub(super) async fn start(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let mut cluster = self.read(common).await?;
        let minima = Minima::of(&cluster.resources, &cluster.template);
        let min = |environment: &ComputeEnvironment| minima.get(environment);
        let Parts { queues, environments } = &cluster.parts;
        drain::set_environments(&mut cluster.contact, environments, Wanted::Enabled, min).await?;
        // A deletion that was interrupted has disabled them.
        drain::set_queues(&mut cluster.contact, queues, Wanted::Enabled).await?;
        let has_minimum = |environment: &&ComputeEnvironment| {
            environment.compute_resources.as_ref().is_some_and(|machines| machines.minv_cpus.is_some())
        };
        for environment in environments.iter().filter(has_minimum).filter(|e| min(e).is_none()) {
            print_message(format!(
                "{TOOL}: note: the template does not tell the least vCPUs of the environment {}; they stay as they are",
                environment.compute_environment_name
            ));
        }
        self.show(common, &Power { name: self.name.as_str(), environments, running: None, costs: Vec::new() })
    }

    fn show(&self, common: &CommonArgs, power: &Power<'_>) -> Result<Exit, Failure> {
        common.output().outliving_its_reader().show(power)?;
        Ok(Exit::Done)
    }
}

/// A cluster that has been stopped or started.
struct Power<'a> {
    name: &'a str,
    environments: &'a [ComputeEnvironment],
    /// The jobs that still run, if it has been stopped.
    running: Option<usize>,
    /// The parts that still cost.
    costs: Vec<&'static str>,
}

impl View for Power<'_> {
    fn plain(&self) -> Layout {
        let (name, environments) = (self.name, count(self.environments));
        let Some(running) = self.running else {
            return Layout::Lines(vec![format!("The cluster {name} is started: {environments} enabled.")]);
        };
        let mut lines = vec![format!(
            "The cluster {name} is stopped: {environments} disabled. Its queues take jobs, which wait."
        )];
        lines.extend((running > 0).then(|| still(running)));
        if !self.costs.is_empty() {
            lines.push(format!("These still cost: {}.", words::and(&self.costs)));
        }
        lines.push(format!("`bcluster start {name}` starts it."));
        Layout::Lines(lines)
    }

    fn json(&self) -> Vec<Value> {
        let names: Vec<&str> = self
            .environments
            .iter()
            .map(|environment| environment.compute_environment_name.as_str())
            .collect();
        vec![json!({
            "cluster": self.name,
            "state": if self.running.is_some() { "DISABLED" } else { "ENABLED" },
            "computeEnvironments": names,
            "runningJobs": self.running,
        })]
    }
}

/// `1 compute environment is`, `2 compute environments are`.
fn count(environments: &[ComputeEnvironment]) -> String {
    let verb = if environments.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", words::many(environments.len(), "compute environment"))
}

/// The jobs that a stopped cluster still has.
fn still(running: usize) -> String {
    match running {
        1 => "1 job runs to its end and still costs.".to_owned(),
        _ => format!("{} run to their ends and still cost.", words::many(running, "job")),
    }
}

/// The parts of a cluster that cost while nothing runs.
fn still_costs(resources: &[StackResource]) -> Vec<&'static str> {
    const COST: [(&str, &str); 5] = [
        ("AWS::S3::Bucket", "the objects in its bucket"),
        ("AWS::EFS::FileSystem", "the files on its EFS file system"),
        ("AWS::ECR::Repository", "the images in its repository"),
        ("AWS::EC2::NatGateway", "its NAT gateway, by the hour"),
        ("AWS::FSx::FileSystem", "its FSx file system, by its size"),
    ];
    let has = |kind: &str| resources.iter().any(|resource| resource.resource_type == kind);
    COST.iter().filter(|(kind, _)| has(kind)).map(|(_, what)| *what).collect()
}
