//! The part that both versions of ParallelCluster share: from values of keys to a configuration.

use super::comments;
use super::leaves::{At, Leaves};
use super::options::{Import, ImportOptions};
use super::report::{Note, Report};
use crate::Tag;
use crate::cluster::config::{
    Architecture, Bucket, BucketName, Capacity, ClusterConfig, Definition, DefinitionKind, Ec2, Ec2Options,
    Environment, IamPath, InstanceTypeName, JobRole, NewJobRole, PartName, PolicyArn, Purchase, Queue,
    Retention, SecurityGroupId, SubnetId, Vpc, VpcId,
};
use crate::cluster::validate::validate;

/// The configuration so far.
pub(super) struct Converter<'o> {
    /// The keys, and what has become of them.
    pub leaves: Leaves,
    pub(super) config: ClusterConfig,
    options: &'o ImportOptions,
    environment: PartName,
    queue: PartName,
    ec2: Ec2,
    max_vcpus: u32,
    vpc: Option<VpcId>,
    subnets: Vec<SubnetId>,
    role: NewJobRole,
    region: Option<String>,
    notes: Vec<Note>,
}

/// ParallelCluster's `DEFAULT_MAX_COUNT` (pcluster/constants.py), and the default of `max_vcpus`
/// (pcluster/config/mappings.py).
const DEFAULT_MAX_VCPUS: u32 = 10;
/// vCPUs of an environment (Batch API).
const MOST_VCPUS: u32 = 1_000_000;
/// Tags that the configuration takes.
const MOST_TAGS: usize = 40;

fn constant(name: &str) -> PartName {
    name.parse().expect("a constant is a valid name")
}

/// A name as the configuration takes it: lower-case letters and digits, with single `-` between
/// them. `None`: nothing is left of it.
pub(super) fn part_name(text: &str) -> Option<PartName> {
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    let from_letter = joined.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let short: String = from_letter.chars().take(32).collect();
    short.trim_end_matches('-').parse().ok()
}

impl<'o> Converter<'o> {
    pub(super) fn new(leaves: Leaves, options: &'o ImportOptions) -> Self {
        let name = constant("on-demand");
        Self {
            leaves,
            config: ClusterConfig::default(),
            options,
            environment: name.clone(),
            queue: name,
            ec2: Ec2::new(Purchase::OnDemand),
            max_vcpus: DEFAULT_MAX_VCPUS,
            vpc: None,
            subnets: Vec::new(),
            role: NewJobRole::default(),
            region: None,
            notes: Vec::new(),
        }
    }

    fn of_environment(&self, key: &str) -> String {
        format!("environment.{}.{key}", self.environment)
    }

    pub(super) fn note(&mut self, to: Option<String>, text: impl Into<String>) {
        self.notes.push(Note { to, text: text.into() });
    }

    /// The region.
    pub(super) fn region(&mut self, at: Option<At>) {
        let Some((at, region)) = self.leaves.text(at) else { return };
        let note = "The configuration is for any region.";
        self.leaves.mapped(at, format!("the option `--region {region}` of `bcluster create`"), note);
        self.region = Some(region);
    }

    /// How instances are bought, and the names of the environment and the queue where nothing else
    /// names them.
    pub(super) fn purchase(&mut self, kind: Option<At>, bid: Option<At>, has_names: bool) {
        let mut purchase = Purchase::OnDemand;
        let kind = self.leaves.text(kind);
        if let Some((at, text)) = &kind {
            match text.to_ascii_lowercase().as_str() {
                "ondemand" => {}
                "spot" => purchase = Purchase::Spot { bid_percentage: None },
                _ => self.leaves.error(*at, format!("is `{text}`, and neither ondemand nor spot"), ""),
            }
        }
        if !has_names {
            let name = constant(if purchase == Purchase::OnDemand { "on-demand" } else { "spot" });
            (self.environment, self.queue) = (name.clone(), name);
        }
        if let Some((at, _)) = kind {
            let note = match purchase {
                Purchase::OnDemand => "",
                Purchase::Spot { .. } => "Multi-node jobs do not run on Spot, which has not changed.",
            };
            self.leaves.mapped(at, self.of_environment("type"), note);
        }
        // 0 was the default of version 2.
        if let Some((at, percent)) = self.leaves.number(bid, 0, 100) {
            let to = self.of_environment("bid");
            match (&mut purchase, percent) {
                (Purchase::OnDemand, _) => {
                    self.leaves
                        .dropped(at, "On-demand instances have a fixed price, to which nothing is bid.");
                }
                (Purchase::Spot { .. }, 0 | 100) => self.leaves.mapped(at, to, "100 percent is the default."),
                (Purchase::Spot { bid_percentage }, percent) => {
                    *bid_percentage = u8::try_from(percent).ok();
                    let note = "Nobody pays more than the Spot price: without a bid, jobs wait less.";
                    self.leaves.mapped(at, to, note);
                }
            }
        }
        self.ec2 = Ec2::new(purchase);
    }

    /// The names of the queue and its environment.
    pub(super) fn names(&mut self, queue: Option<At>, environment: Option<At>) {
        if let Some((at, name)) = self.name(queue, "batch", "queue") {
            self.queue = name.clone();
            self.leaves.mapped(at, format!("queue.{name}"), "");
        }
        if let Some((at, name)) = self.name(environment, "compute", "environment") {
            self.environment = name.clone();
            self.leaves.mapped(at, format!("environment.{name}"), "");
        }
    }

    fn name(&mut self, at: Option<At>, default: &str, section: &str) -> Option<(At, PartName)> {
        let (at, text) = self.leaves.text(at)?;
        let name = part_name(&text).unwrap_or_else(|| constant(default));
        if name.as_str() != text {
            let note =
                format!("The name is `{name}`: names have lower-case letters, digits, and single '-'.");
            self.leaves.mapped(at, format!("{section}.{name}"), note);
        }
        Some((at, name))
    }

    /// The head node's instance type, for its architecture.
    pub(super) fn head_node(&mut self, at: Option<At>) -> Architecture {
        let Some((at, text)) = self.leaves.text(at) else { return Architecture::X86 };
        match text.parse::<InstanceTypeName>() {
            Ok(name) => {
                let architecture = name.architecture();
                let reason = format!(
                    "There is no head node: commands run on any machine with credentials of AWS. Its \
                     architecture, {architecture}, is that of `optimal`."
                );
                self.leaves.dropped(at, reason);
                architecture
            }
            Err(why) => {
                self.leaves.error(at, format!("is `{text}`: {why}"), "");
                Architecture::X86
            }
        }
    }

    /// The instance types. `optimal` is Batch's choice for x86_64; its successor is there for both
    /// architectures (Batch User Guide, `instance-type-compute-table`).
    pub(super) fn instance_types(&mut self, at: Option<At>, architecture: Architecture) {
        let Some((at, texts)) = self.leaves.texts(at) else { return };
        let mut types: Vec<InstanceTypeName> = Vec::new();
        let mut note = String::new();
        for text in texts {
            let name = match text.parse::<InstanceTypeName>() {
                Ok(name) if name.as_str() == "optimal" => {
                    let bundle = InstanceTypeName::bundle(architecture);
                    note = format!("`optimal` is now `{bundle}`, which has Batch's newer families.");
                    bundle
                }
                Ok(name) => name,
                Err(why) => return self.leaves.error(at, format!("has `{text}` in it: {why}"), ""),
            };
            if !types.contains(&name) {
                types.push(name);
            }
        }
        self.ec2.instance_types = types;
        self.leaves.mapped(at, self.of_environment("instance_types"), note);
    }

    /// The instance types where the file names none: Batch's choice.
    pub(super) fn default_instance_types(&mut self, architecture: Architecture) {
        self.ec2.instance_types = vec![InstanceTypeName::bundle(architecture)];
    }

    /// The least and the most vCPUs. `key` is the name of the key for the most.
    pub(super) fn vcpus(&mut self, min: Option<At>, max: Option<At>, key: &str) {
        if let Some((at, min)) = self.leaves.number(min, 0, MOST_VCPUS) {
            self.ec2.min_vcpus = min;
            let note = if min > 0 { "They cost without jobs, too." } else { "" };
            self.leaves.mapped(at, self.of_environment("min"), note);
        }
        let is_there = max.is_some();
        let to = self.of_environment("max");
        if let Some((at, max)) = self.leaves.number(max, 1, MOST_VCPUS) {
            self.max_vcpus = max;
            self.leaves.mapped(at, to, "");
        } else if !is_there {
            let text =
                format!("`{key}` is not in the file, and {DEFAULT_MAX_VCPUS} was ParallelCluster's default.");
            self.note(Some(to), text);
        }
    }

    /// The VPC.
    pub(super) fn vpc(&mut self, at: Option<At>) {
        if let Some((at, vpc)) = self.leaves.parsed(at) {
            self.vpc = Some(vpc);
            self.leaves.mapped(at, "network.vpc", "");
        }
    }

    /// The subnets of jobs.
    pub(super) fn subnets(&mut self, at: Option<At>) {
        if let Some((at, subnets)) = self.ids(at) {
            self.subnets = subnets;
            self.leaves.mapped(at, "network.subnets", "");
        }
    }

    /// The security groups: those instead of ParallelCluster's own, and those besides them.
    pub(super) fn security_groups(&mut self, instead: Option<At>, besides: Option<At>) {
        if let Some((at, groups)) = self.ids(instead) {
            self.config.network.security_groups.extend(groups);
            self.leaves.mapped(at, "network.security_groups", "");
        }
        if let Some((at, groups)) = self.ids::<SecurityGroupId>(besides) {
            let known = &mut self.config.network.security_groups;
            known.extend(groups.into_iter().filter(|group| !known.contains(group)).collect::<Vec<_>>());
            let note = "The cluster makes no group of its own beside them. For multi-node jobs, one of them has to \
                        let in all traffic from itself.";
            self.leaves.mapped(at, "network.security_groups", note);
        }
    }

    fn ids<T: std::str::FromStr<Err = crate::Invalid>>(&mut self, at: Option<At>) -> Option<(At, Vec<T>)> {
        let (at, texts) = self.leaves.texts(at)?;
        let mut ids = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(why) => {
                    self.leaves.error(at, format!("is `{text}`: {why}"), "");
                    return None;
                }
            }
        }
        Some((at, ids))
    }

    /// The proxy.
    pub(super) fn proxy(&mut self, at: Option<At>) {
        if let Some((at, _)) = self.leaves.text(at) {
            let reason = "It belongs to the machine that runs the commands: `proxy` of the cluster's section in the \
                          settings file, or HTTPS_PROXY.";
            self.leaves.dropped(at, reason);
        }
    }

    /// A bucket, or a part of it, that the head node might read or write. `all` are the keys that
    /// say so.
    pub(super) fn s3_access(&mut self, all: &[At], bucket: &str, prefix: Option<&str>, write: bool) {
        let key = if write { "write" } else { "read" };
        let to = format!("job_role.{key}");
        let own = "`job_role.policies` takes a managed policy of your own.";
        let outcome = match bucket.parse::<BucketName>() {
            _ if prefix.is_some_and(|prefix| !matches!(prefix, "" | "*" | "/*")) => Err(format!(
                "A part of a bucket cannot be given to jobs: `{key} = [\"{bucket}\"]` under [job_role] gives all of it, \
                 and {own}"
            )),
            _ if bucket == "*" => Err(format!("All buckets of the account cannot be given to jobs: {own}")),
            Ok(name) => Ok(name),
            Err(why) => {
                all.iter()
                    .for_each(|&at| self.leaves.error(at, format!("`{bucket}` is not a bucket: {why}"), ""));
                return;
            }
        };
        match outcome {
            Ok(name) => {
                let list = if write { &mut self.role.write } else { &mut self.role.read };
                if !list.contains(&name) {
                    list.push(name);
                }
                let note = "The head node had this access. Now the jobs have it.";
                all.iter().for_each(|&at| self.leaves.mapped(at, to.clone(), note));
            }
            Err(reason) => all.iter().for_each(|&at| self.leaves.dropped(at, reason.clone())),
        }
    }

    /// Managed policies that the head node had.
    pub(super) fn policies(&mut self, at: Option<At>) {
        let Some((at, policies)) = self.ids::<PolicyArn>(at) else { return };
        if self.options.job_policies {
            self.role.policies.extend(policies);
            self.leaves.mapped(at, "job_role.policies", "The head node had it. Now the jobs have it.");
        } else {
            let reason = "The head node had it, and not the jobs. To give it to them: `policies` under [job_role], or \
                          the option --job-policies of this command.";
            self.leaves.dropped(at, reason);
        }
    }

    /// The permissions boundary.
    pub(super) fn boundary(&mut self, at: Option<At>) {
        if let Some((at, boundary)) = self.leaves.parsed(at) {
            self.config.iam.boundary = Some(boundary);
            self.leaves.mapped(at, "iam.boundary", "");
        }
    }

    /// The prefix of IAM's resources: a path, a beginning of names, or both.
    pub(super) fn resource_prefix(&mut self, at: Option<At>) {
        let Some((at, text)) = self.leaves.text(at) else { return };
        let (path, name) = text.split_at(text.rfind('/').map_or(0, |slash| slash + 1));
        if path.is_empty() {
            let reason = "It is a beginning of names. Roles are under a path instead, `iam.path`, with the cluster's name.";
            return self.leaves.dropped(at, reason);
        }
        match path.parse::<IamPath>() {
            Ok(path) => {
                self.config.iam.path = path;
                let note = match name {
                    "" => String::new(),
                    name => {
                        format!("Names do not begin with `{name}`: the cluster's name is a part of the path.")
                    }
                };
                self.leaves.mapped(at, "iam.path", note);
            }
            Err(why) => self.leaves.error(at, format!("is `{text}`: {why}"), ""),
        }
    }

    /// How many days logs are kept. 0: for ever.
    pub(super) fn retention(&mut self, at: Option<At>) {
        let Some((at, days)) = self.leaves.text(at) else { return };
        let word = if days == "0" { "never".to_owned() } else { format!("{days}d") };
        match word.parse::<Retention>() {
            Ok(retention) => {
                self.config.logs.retention = retention;
                let note = "It was for the head node's log. The log of jobs was kept for ever.";
                self.leaves.mapped(at, "logs.retention", note);
            }
            Err(_) => {
                let days: Vec<String> =
                    Retention::ALL.iter().filter_map(|one| one.days()).map(|n| n.to_string()).collect();
                self.leaves.error(at, "is not a number of days that CloudWatch has", days.join(", "));
            }
        }
    }

    /// Whether logs stay when the cluster is deleted.
    pub(super) fn log_deletion(&mut self, at: Option<At>) {
        if let Some((at, keep)) = self.deletion_policy(at) {
            self.config.logs.keep = keep;
            self.leaves.mapped(at, "logs.keep", "");
        }
    }

    /// Whether a resource stays when the cluster is deleted.
    pub(super) fn deletion_policy(&mut self, at: Option<At>) -> Option<(At, bool)> {
        let (at, text) = self.leaves.text(at)?;
        match text.as_str() {
            "Retain" => Some((at, true)),
            "Delete" => Some((at, false)),
            _ => {
                self.leaves.error(at, format!("is `{text}`: Retain or Delete"), "");
                None
            }
        }
    }

    /// The bucket.
    pub(super) fn bucket(&mut self, at: Option<At>) {
        if let Some((at, name)) = self.leaves.parsed::<BucketName>(at) {
            self.config.bucket = Bucket::Existing(name);
            self.leaves.mapped(at, "bucket.existing", "");
        }
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// Says why the configuration cannot have it.
    pub(super) fn tag(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |why: String| Err(format!("the tag `{key}` cannot be taken over: {why}"));
        let tag = match format!("{key}={value}").parse::<Tag>() {
            Ok(tag) => tag,
            Err(why) => return wrong(why.to_string()),
        };
        let reserved = ["awsb:", "parallelcluster:"].into_iter().find(|reserved| key.starts_with(reserved));
        match reserved {
            _ if key.contains('=') => wrong("a key has no `=`".to_owned()),
            Some(reserved) => wrong(format!("keys that begin with {reserved} are for the cluster's own")),
            None if self.config.tags.iter().any(|tag| tag.key == key) => {
                wrong("it is there twice".to_owned())
            }
            None if self.config.tags.len() >= MOST_TAGS => {
                wrong(format!("there are more than {MOST_TAGS} tags"))
            }
            None => {
                self.config.tags.push(tag);
                Ok(())
            }
        }
    }

    /// The differences that each cluster has.
    fn general_notes(&mut self) {
        let text = "ParallelCluster built an image for the jobs, and gave them 512 MiB. This image is a public one; \
                    `bimage build` builds yours, and `image = \":TAG\"` takes it.";
        self.note(Some("definition.job".to_owned()), text);
        let text = "Batch takes the next best instance types where the best ones are not to be had. ParallelCluster's \
                    strategy, BEST_FIT, waited for them.";
        self.note(Some(self.of_environment("allocation")), text);
    }

    /// Completes the configuration. `file` names it in comments.
    pub(super) fn finish(mut self, file: &str, version: &str) -> Import {
        self.general_notes();
        let on_demand = self.ec2.purchase == Purchase::OnDemand;
        let mut environment = Environment::new(self.environment.clone(), Capacity::Ec2(Box::new(self.ec2)));
        environment.max_vcpus = self.max_vcpus;
        self.config.environments = vec![environment];
        self.config.queues = vec![Queue::new(self.queue.clone(), vec![self.environment])];
        self.config.default_queue = self.queue;
        let container = DefinitionKind::Container(Ec2Options::default());
        self.config.definitions = vec![Definition::new(constant("job"), container)];
        if on_demand {
            let kind = DefinitionKind::Multinode { nodes: 2, options: Ec2Options::default() };
            self.config.definitions.push(Definition::new(constant("mnp"), kind));
        }
        if self.vpc.is_some() || !self.subnets.is_empty() {
            self.config.network.vpc = Vpc::Given { vpc: self.vpc, subnets: self.subnets };
        }
        self.config.job_role = JobRole::New(std::mem::take(&mut self.role));
        // As the parser has them.
        self.config.tags.sort_by(|one, other| one.key.cmp(&other.key));
        let text = self.config.to_toml();
        if let Err(error) = ClusterConfig::from_toml("the new configuration", &text) {
            self.leaves.missing("the configuration", 1, &error.message);
        }
        let problems = validate(&self.config);
        let report = Report { entries: self.leaves.into_entries(), notes: self.notes, problems };
        let toml = comments::comment(&self.config, file, version, self.region.as_deref(), &report);
        Import { config: self.config, toml, region: self.region, report }
    }
}
