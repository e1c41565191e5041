//! The whole configuration of a cluster, from TOML and to TOML.

use super::bucket::Bucket;
use super::definition::{Definition, DefinitionImage, DefinitionKind, Ec2Options, FargateOptions};
use super::environment::{Capacity, Ec2, Environment, Purchase};
use super::iam::{Iam, JobRole};
use super::images::Images;
use super::logs::{Events, Logs};
use super::names::PartName;
use super::network::Network;
use super::queue::{Queue, QueueSource};
use super::section::{AskedKeys, Section};
use super::shared::{Efs, Shared, SharedSource};
use super::writer::Writer;
use crate::Tag;
use crate::toml_reader::{TomlError, TomlFile};

/// The configuration of a cluster. Each value is valid by itself; what contradicts each other is
/// for the validation.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// The queue of jobs that name none.
    pub default_queue: PartName,
    /// The job definition of jobs that name none.
    pub default_definition: PartName,
    /// The network.
    pub network: Network,
    /// The compute environments, in the file's order.
    pub environments: Vec<Environment>,
    /// The queues, in the file's order.
    pub queues: Vec<Queue>,
    /// The job definitions, in the file's order. The first multi-node one is for `bsub --nodes`.
    pub definitions: Vec<Definition>,
    /// The bucket.
    pub bucket: Bucket,
    /// The cluster's own EFS file system. It is made when a shared directory is in it.
    pub efs: Efs,
    /// The directories that every job sees.
    pub shared: Vec<Shared>,
    /// The repository and the project of images.
    pub images: Images,
    /// The logs.
    pub logs: Logs,
    /// The record of job events.
    pub events: Events,
    /// Roles and policies.
    pub iam: Iam,
    /// The jobs' own role.
    pub job_role: JobRole,
    /// Tags of all resources.
    pub tags: Vec<Tag>,
}

impl Default for ClusterConfig {
    /// The cluster of `bcluster create NAME`: the default VPC, on-demand and Spot instances of
    /// Batch's choice, and nothing that costs without jobs.
    fn default() -> Self {
        let environments = vec![
            ec2(constant("on-demand"), Purchase::OnDemand),
            ec2(constant("spot"), Purchase::Spot { bid_percentage: None }),
        ];
        let queues = default_queues(&environments);
        let definitions = default_definitions(&environments);
        Self {
            default_queue: constant("on-demand"),
            default_definition: constant("job"),
            network: Network::default(),
            environments,
            queues,
            definitions,
            bucket: Bucket::default(),
            efs: Efs::default(),
            shared: Vec::new(),
            images: Images::default(),
            logs: Logs::default(),
            events: Events::default(),
            iam: Iam::default(),
            job_role: JobRole::default(),
            tags: Vec::new(),
        }
    }
}

fn constant(name: &str) -> PartName {
    name.parse().expect("a constant is a valid name")
}

fn ec2(name: PartName, purchase: Purchase) -> Environment {
    Environment::new(name, Capacity::Ec2(Box::new(Ec2::new(purchase))))
}

/// The queues of a file that has none: one for each environment. A queue on Spot goes on with the
/// first on-demand environment of the same platform and architecture.
fn default_queues(environments: &[Environment]) -> Vec<Queue> {
    let with_fallback = |environment: &Environment| {
        let fallback = environments.iter().find(|other| is_fallback(environment, other));
        let names = std::iter::once(environment).chain(fallback).map(|e| e.name.clone()).collect();
        Queue::new(environment.name.clone(), names)
    };
    environments.iter().map(with_fallback).collect()
}

/// Whether jobs of an environment on Spot may run in the other one as well.
fn is_fallback(spot: &Environment, other: &Environment) -> bool {
    match (&spot.capacity, &other.capacity) {
        (Capacity::Fargate { spot: true }, Capacity::Fargate { spot: false }) => true,
        (Capacity::Ec2(one), Capacity::Ec2(two)) => {
            matches!(one.purchase, Purchase::Spot { .. })
                && two.purchase == Purchase::OnDemand
                && one.architecture() == two.architecture()
                && one.ami_type() == two.ami_type()
        }
        _ => false,
    }
}

/// The job definitions of a file that has none: one for each platform of the environments, and one
/// for multi-node jobs where there are on-demand instances.
fn default_definitions(environments: &[Environment]) -> Vec<Definition> {
    let mut definitions = Vec::new();
    let has_ec2 = environments.iter().any(|e| e.ec2().is_some());
    let has_on_demand =
        environments.iter().filter_map(Environment::ec2).any(|e| e.purchase == Purchase::OnDemand);
    if has_ec2 || environments.is_empty() {
        definitions.push(Definition::new(constant("job"), DefinitionKind::Container(Ec2Options::default())));
    }
    if has_on_demand {
        let kind = DefinitionKind::Multinode { nodes: 2, options: Ec2Options::default() };
        definitions.push(Definition::new(constant("mnp"), kind));
    }
    if environments.iter().any(|e| e.ec2().is_none()) {
        let name = if has_ec2 { "fargate" } else { "job" };
        definitions.push(Definition::new(constant(name), DefinitionKind::Fargate(FargateOptions::default())));
    }
    definitions
}

impl ClusterConfig {
    /// The same configuration for a place with another default: the image of the job definitions
    /// that name none.
    #[must_use]
    pub fn with_default_image(mut self, image: &DefinitionImage) -> Self {
        let images = self.definitions.iter_mut().map(|definition| &mut definition.image);
        images.filter(|own| **own == DefinitionImage::Default).for_each(|own| *own = image.clone());
        self
    }

    /// Parses a configuration. Messages name the text as `name`, such as `cluster configuration
    /// lab.toml`.
    ///
    /// # Errors
    /// Names the line and the key, and for an unknown key the nearest one that exists.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, TomlError> {
        Self::from_toml_with(name, text, &AskedKeys::default())
    }

    /// The same. `asked` are then the keys that the parser knows.
    pub(super) fn from_toml_with(name: &str, text: &str, asked: &AskedKeys) -> Result<Self, TomlError> {
        let file = TomlFile::new(name, text);
        let root = file.parse()?;
        let mut file = Section::root(&file, root.get_ref(), asked);
        let default_queue = file.parsed::<PartName>("default_queue")?;
        let default_definition = file.parsed::<PartName>("default_definition")?;
        let network = Network::parse(file.section("network")?)?;
        let environments = file.section("environment")?;
        let has_environments = environments.is_there();
        let mut environments: Vec<Environment> = environments
            .named_sections()?
            .into_iter()
            .map(|(name, section)| Environment::parse(name, section))
            .collect::<Result<_, _>>()?;
        let mut queues: Vec<Queue> = file
            .section("queue")?
            .named_sections()?
            .into_iter()
            .map(|(name, section)| Queue::parse(name, section))
            .collect::<Result<_, _>>()?;
        // Queues that exist need no environment of the cluster.
        let only_existing =
            !queues.is_empty() && queues.iter().all(|q| matches!(q.source, QueueSource::Existing(_)));
        if !has_environments && !only_existing {
            environments = Self::default().environments;
        }
        if queues.is_empty() {
            queues = default_queues(&environments);
        }
        let mut definitions: Vec<Definition> = file
            .section("definition")?
            .named_sections()?
            .into_iter()
            .map(|(name, section)| Definition::parse(name, section))
            .collect::<Result<_, _>>()?;
        if definitions.is_empty() {
            definitions = default_definitions(&environments);
        }
        let config = Self {
            default_queue: match default_queue.or_else(|| queues.first().map(|q| q.name.clone())) {
                Some(name) => name,
                None => return Err(file.wrong("queue", "has no queue in it")),
            },
            default_definition: match default_definition
                .or_else(|| definitions.first().map(|d| d.name.clone()))
            {
                Some(name) => name,
                None => return Err(file.wrong("definition", "has no job definition in it")),
            },
            network,
            environments,
            queues,
            definitions,
            bucket: Bucket::parse(file.section("bucket")?)?,
            efs: Efs::parse(file.section("efs")?)?,
            shared: file
                .section("shared")?
                .named_sections()?
                .into_iter()
                .map(|(name, section)| Shared::parse(name, section))
                .collect::<Result<_, _>>()?,
            images: Images::parse(file.section("images")?)?,
            logs: Logs::parse(file.section("logs")?)?,
            events: Events::parse(file.section("events")?)?,
            iam: Iam::parse(file.section("iam")?)?,
            job_role: JobRole::parse(file.section("job_role")?)?,
            tags: file.tags("tags")?,
        };
        config.check_references(&file)?;
        file.finish()?;
        Ok(config)
    }

    /// Checks that every name of a queue, an environment or a job definition is there.
    fn check_references(&self, file: &Section<'_, '_>) -> Result<(), TomlError> {
        let queues: Vec<&str> = self.queues.iter().map(|q| q.name.as_str()).collect();
        let definitions: Vec<&str> = self.definitions.iter().map(|d| d.name.as_str()).collect();
        for (key, name, known) in [
            ("default_queue", &self.default_queue, &queues),
            ("default_definition", &self.default_definition, &definitions),
        ] {
            if !known.contains(&name.as_str()) {
                let part = key.trim_start_matches("default_");
                let message = format!("is `{name}`, and there is no [{part}.{name}]");
                return Err(file.wrong(key, message).with_nearest(name.as_str(), known));
            }
        }
        let environments: Vec<&str> = self.environments.iter().map(|e| e.name.as_str()).collect();
        for queue in &self.queues {
            let names = queue.made().map(|made| made.environments.as_slice()).unwrap_or_default();
            if let Some(name) = names.iter().find(|name| !environments.contains(&name.as_str())) {
                let message =
                    format!("[queue.{}] names `{name}`, and there is no [environment.{name}]", queue.name);
                let path = ["queue", queue.name.as_str(), "environments"];
                return Err(file.wrong_at(&path, message).with_nearest(name.as_str(), &environments));
            }
        }
        Ok(())
    }

    /// The configuration as TOML, which [`from_toml`](Self::from_toml) reads back. Values that are
    /// the defaults are left out; environments, queues and job definitions are all there.
    pub fn to_toml(&self) -> String {
        let mut out = Writer::default();
        out.text("default_queue", Some(&self.default_queue));
        out.text("default_definition", Some(&self.default_definition));
        self.network.write(&mut out);
        if self.environments.is_empty() {
            out.named_section("environment");
        }
        self.environments.iter().for_each(|environment| environment.write(&mut out));
        self.queues.iter().for_each(|queue| queue.write(&mut out));
        self.definitions.iter().for_each(|definition| definition.write(&mut out));
        self.bucket.write(&mut out);
        self.efs.write(&mut out);
        self.shared.iter().for_each(|shared| shared.write(&mut out));
        self.images.write(&mut out);
        self.logs.write(&mut out);
        self.events.write(&mut out);
        self.iam.write(&mut out);
        self.job_role.write(&mut out);
        out.tags("tags", &self.tags);
        out.finish()
    }

    /// The environment of this name.
    pub fn environment(&self, name: &PartName) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == *name)
    }

    /// The queue of jobs that name none.
    pub fn queue(&self) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == self.default_queue)
    }

    /// The environments of a queue, in its order.
    pub fn environments_of<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = &'a Environment> {
        let names = queue.made().map(|made| made.environments.as_slice()).unwrap_or_default();
        names.iter().filter_map(|name| self.environment(name))
    }

    /// Whether a shared directory is in the cluster's own EFS file system.
    pub fn has_efs(&self) -> bool {
        self.shared.iter().any(|shared| matches!(shared.source, SharedSource::New { .. }))
    }
}
