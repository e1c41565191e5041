//! The effects of a CloudFormation change set on jobs and data.
//!
//! CloudFormation says which property changes and whether the resource is replaced. A plan says it
//! in Batch's words: whether jobs go on, end, or lose their data.

use std::collections::BTreeMap;

use super::config::{ClusterConfig, Environment};
use crate::Period;

/// A change of a change set (CloudFormation API, `ResourceChange`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The logical ID of the resource.
    pub logical_id: String,
    /// Its type, such as `AWS::Batch::JobQueue`.
    pub resource_type: String,
    /// The action of CloudFormation.
    pub action: Action,
    /// Whether it is replaced. Only a modification has this.
    pub replacement: Replacement,
    /// The fate of the resource that goes.
    pub policy_action: PolicyAction,
    /// The properties that change.
    pub properties: Vec<PropertyChange>,
}

/// A property that changes (CloudFormation API, `ResourceTargetDefinition`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyChange {
    /// Its path, such as `/Properties/ComputeResources/MaxvCpus`, or its name without one.
    pub path: String,
    /// The value before, as text.
    pub before: Option<String>,
    /// The value after, as text.
    pub after: Option<String>,
    /// Whether a change of it replaces the resource.
    pub recreation: Recreation,
}

/// `Action`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// The resource is made.
    Add,
    /// It is changed.
    #[default]
    Modify,
    /// It is deleted.
    Remove,
    /// It exists, and comes into the stack.
    Import,
    /// CloudFormation does not know yet.
    Dynamic,
}

/// `Replacement`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replacement {
    /// It is replaced.
    True,
    /// It is changed in place.
    #[default]
    False,
    /// It depends on values that CloudFormation does not know yet.
    Conditional,
}

/// `RequiresRecreation`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreation {
    /// Never.
    #[default]
    Never,
    /// Depending on something.
    Conditionally,
    /// Always.
    Always,
}

/// `PolicyAction`: what happens to the old resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PolicyAction {
    /// The change set says nothing.
    #[default]
    None,
    /// It is deleted.
    Delete,
    /// It stays, outside of the stack.
    Retain,
    /// A snapshot of it stays.
    Snapshot,
}

impl Action {
    /// The action of CloudFormation's word. A new word counts as `Dynamic`.
    pub fn from_word(word: &str) -> Self {
        match word {
            "Add" => Self::Add,
            "Modify" => Self::Modify,
            "Remove" => Self::Remove,
            "Import" => Self::Import,
            _ => Self::Dynamic,
        }
    }
}

impl Replacement {
    /// The replacement of CloudFormation's word. Without one, there is none; a new word counts as
    /// `True`.
    pub fn from_word(word: Option<&str>) -> Self {
        match word {
            Some("False") | None => Self::False,
            Some("Conditional") => Self::Conditional,
            Some(_) => Self::True,
        }
    }
}

impl Recreation {
    /// The recreation of CloudFormation's word. Without one, there is none; a new word counts as
    /// `Always`.
    pub fn from_word(word: Option<&str>) -> Self {
        match word {
            Some("Never") | None => Self::Never,
            Some("Conditionally") => Self::Conditionally,
            Some(_) => Self::Always,
        }
    }
}

impl PolicyAction {
    /// The policy action of CloudFormation's word, such as `Delete` or `ReplaceAndRetain`.
    pub fn from_word(word: Option<&str>) -> Self {
        match word.map(|word| word.trim_start_matches("ReplaceAnd")) {
            Some("Delete") => Self::Delete,
            Some("Retain") => Self::Retain,
            Some("Snapshot") => Self::Snapshot,
            _ => Self::None,
        }
    }
}

/// The jobs of an environment at the time of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunningJobs {
    /// Jobs that run; for a queue, all jobs in it that have not ended.
    pub running: u32,
    /// Jobs among them that have an attempt left.
    pub retried: u32,
}

/// A line of a plan, about one part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The part.
    pub part: Part,
    /// The class.
    pub class: EffectClass,
    /// The logical ID of the resource.
    pub logical_id: String,
    /// The properties that change, as in the template.
    pub properties: Vec<PropertyChange>,
}

/// A part of the cluster in the words of its configuration: `environment.spot`, or `bucket`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part(String);

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The classes of a plan. Later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectClass {
    /// The part is new.
    New,
    /// Nothing is interrupted.
    NoInterruption,
    /// It exists outside of the stack, and comes into it with its data.
    TakenOver,
    /// A part without jobs and data goes.
    Removed,
    /// New jobs use a new revision. Jobs that were submitted before keep theirs.
    NewRevision,
    /// The data stays, but no longer belongs to the cluster: it uses something new and empty.
    DataLeftBehind,
    /// The data stays, and the cluster no longer uses it.
    DataNotUsed,
    /// Instances are replaced. Jobs that still run on the old ones after this time end.
    InstancesReplaced {
        /// The time that jobs have.
        after: Period,
    },
    /// The environment goes, or a new one takes its place: its jobs end.
    JobsEnd,
    /// The same on Fargate. AWS deletes such an environment only when its jobs have ended before;
    /// otherwise it stays and is invalid (Batch API, DeleteComputeEnvironment).
    NeedsNoJobs,
    /// The queue goes, or a new one takes its place: its jobs end, those that wait as well.
    QueueGone,
    /// Data is lost.
    DataLost,
    /// AWS refuses such a change: the part needs another name.
    Refused,
}

/// Why a change of a plan cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// AWS refuses it always.
    Always,
    /// AWS refuses it while jobs run on the part.
    JobsRun,
}

impl EffectClass {
    /// Whether a plan with it needs the flag of the part by name.
    pub fn needs_consent(self) -> bool {
        self >= Self::DataLeftBehind && self != Self::Refused
    }

    /// Whether jobs may end.
    pub fn may_end_jobs(self) -> bool {
        matches!(self, Self::InstancesReplaced { .. } | Self::JobsEnd | Self::NeedsNoJobs | Self::QueueGone)
    }

    /// The class in words, without the number of jobs.
    pub fn describe(self) -> String {
        match self {
            Self::New => "new".to_owned(),
            Self::TakenOver => "an earlier one is taken over, with its data".to_owned(),
            Self::NoInterruption => "no interruption".to_owned(),
            Self::Removed => "removed".to_owned(),
            Self::NewRevision => "new revision; jobs that were submitted before keep theirs".to_owned(),
            Self::DataNotUsed => "no longer used by the cluster; the data stays".to_owned(),
            Self::DataLeftBehind => "a new and empty one; the data stays in the old one".to_owned(),
            Self::InstancesReplaced { after } if after.get().is_zero() => {
                "instances are replaced; their jobs end at once".to_owned()
            }
            Self::InstancesReplaced { after } => {
                format!("instances are replaced; jobs that still run after {after} end")
            }
            Self::JobsEnd => "the environment goes; its jobs end".to_owned(),
            Self::NeedsNoJobs => {
                "the environment goes; AWS deletes it only when no job runs there".to_owned()
            }
            Self::QueueGone => "the queue goes; its jobs end, those that wait as well".to_owned(),
            Self::DataLost => "data is lost".to_owned(),
            Self::Refused => "AWS refuses this change; give the part another name".to_owned(),
        }
    }
}

impl Effect {
    /// The effect in words, with the number of jobs if it is known.
    pub fn describe(&self, jobs: Option<RunningJobs>) -> String {
        let text = self.class.describe();
        match jobs {
            Some(RunningJobs { running: 0, .. }) if self.class == EffectClass::QueueGone => {
                format!("{text} (no job is in it)")
            }
            // A job needs its queue to be tried again: with it, all of its jobs fail for good.
            Some(RunningJobs { running, .. }) if self.class == EffectClass::QueueGone => {
                let (jobs, fail) = if running == 1 { ("job is", "fails") } else { ("jobs are", "fail") };
                format!(
                    "{text} ({running} {jobs} in it now, and {fail}: without the queue, none is tried again)"
                )
            }
            Some(RunningJobs { running: 0, .. }) if self.class.may_end_jobs() => {
                format!("{text} (no job runs there)")
            }
            Some(RunningJobs { running, .. }) if self.class == EffectClass::NeedsNoJobs => {
                let jobs = if running == 1 { "job runs" } else { "jobs run" };
                format!("{text} ({running} {jobs} there now)")
            }
            Some(RunningJobs { running, retried }) if self.class.may_end_jobs() => {
                let jobs = if running == 1 { "job runs" } else { "jobs run" };
                format!("{text} ({running} {jobs} there now, of which {retried} would be tried again)")
            }
            Some(_) | None => text,
        }
    }

    /// Whether the change cannot be made, with these jobs. `None`: it can.
    pub fn refusal(&self, jobs: Option<RunningJobs>) -> Option<Refusal> {
        match self.class {
            EffectClass::Refused => Some(Refusal::Always),
            EffectClass::NeedsNoJobs => jobs.filter(|jobs| jobs.running > 0).map(|_| Refusal::JobsRun),
            _ => None,
        }
    }

    /// The word of the flag that allows this: the part's name. `None`: it needs none, as nothing is
    /// lost, or as no job runs there.
    pub fn consent(&self, jobs: Option<RunningJobs>) -> Option<&Part> {
        // A job that starts while the plan is read would end as well; but the same is true of every
        // job that is submitted to a queue that goes.
        let is_idle = jobs.is_some_and(|jobs| jobs.running == 0) && self.class.may_end_jobs();
        (self.class.needs_consent() && !is_idle).then_some(&self.part)
    }
}

/// The effects of a change set, the worst first. `config` is the configuration that the change set
/// leads to, `before` the one that the stack has. Changes of helpers, such as a launch template,
/// count for the environment that they belong to.
pub fn effects(before: &ClusterConfig, config: &ClusterConfig, changes: &[Change]) -> Vec<Effect> {
    let mut found: Vec<Effect> = effect_of_each(before, config, changes).into_iter().flatten().collect();
    // A security group of the environment that is replaced, or a launch template with a new
    // version, shows as a change of the environment as well: only the worst of each part counts.
    let mut worst: Vec<Effect> = Vec::new();
    for effect in found.drain(..) {
        match worst.iter_mut().find(|other| other.part == effect.part) {
            Some(other) if other.class >= effect.class => other.properties.extend(effect.properties),
            Some(other) => {
                let earlier = std::mem::replace(other, effect);
                other.properties.extend(earlier.properties);
            }
            None => worst.push(effect),
        }
    }
    worst.sort_by(|a, b| (b.class, &a.part).cmp(&(a.class, &b.part)));
    worst
}

/// The effect of each change of a change set, in their order. The arguments are as of
/// [`effects()`].
pub fn effect_of_each(
    before: &ClusterConfig,
    config: &ClusterConfig,
    changes: &[Change],
) -> Vec<Option<Effect>> {
    let names = part_names(before, config);
    changes.iter().map(|change| effect(before, &names, change)).collect()
}

fn effect(before: &ClusterConfig, names: &BTreeMap<String, String>, change: &Change) -> Option<Effect> {
    let part = part(names, &change.logical_id);
    let class = match change.action {
        Action::Add => EffectClass::New,
        Action::Import => EffectClass::TakenOver,
        Action::Remove => removed(before, change),
        Action::Modify | Action::Dynamic => modified(before, change)?,
    };
    let logical_id = change.logical_id.clone();
    Some(Effect { part, class, logical_id, properties: change.properties.clone() })
}

/// The class of a resource that goes.
fn removed(before: &ClusterConfig, change: &Change) -> EffectClass {
    let keeps = matches!(change.policy_action, PolicyAction::Retain | PolicyAction::Snapshot);
    match change.resource_type.as_str() {
        "AWS::Batch::ComputeEnvironment" => environment_goes(before, change),
        "AWS::Batch::JobQueue" => EffectClass::QueueGone,
        kind if has_data(kind) && keeps => EffectClass::DataNotUsed,
        kind if has_data(kind) => EffectClass::DataLost,
        _ => EffectClass::Removed,
    }
}

/// The class of an environment that goes.
fn environment_goes(before: &ClusterConfig, change: &Change) -> EffectClass {
    match environment(before, &change.logical_id) {
        Some(environment) if environment.ec2().is_none() => EffectClass::NeedsNoJobs,
        Some(_) | None => EffectClass::JobsEnd,
    }
}

/// Types that have data of users.
fn has_data(kind: &str) -> bool {
    matches!(
        kind,
        "AWS::S3::Bucket"
            | "AWS::EFS::FileSystem"
            | "AWS::ECR::Repository"
            | "AWS::Logs::LogGroup"
            | "AWS::FSx::FileSystem"
    )
}

/// The class of a resource that is modified. `None`: a change of tags and the like on a helper.
fn modified(before: &ClusterConfig, change: &Change) -> Option<EffectClass> {
    let is_replaced = match change.replacement {
        Replacement::True => true,
        Replacement::False => false,
        // It depends on whether a value that is known later differs. The names of launch templates
        // and of roles never change, so only a property that always replaces counts.
        Replacement::Conditional => {
            change.properties.iter().any(|property| property.recreation == Recreation::Always)
        }
    };
    let kind = change.resource_type.as_str();
    let class = match kind {
        "AWS::Batch::ComputeEnvironment" => of_environment(before, change, is_replaced),
        "AWS::Batch::JobQueue" if is_replaced => EffectClass::QueueGone,
        "AWS::Batch::JobQueue" if switches_policy(change) => EffectClass::Refused,
        "AWS::Batch::JobDefinition" => EffectClass::NewRevision,
        // The environments in them change as well, and that change says what it means for jobs.
        "AWS::EC2::VPC" | "AWS::EC2::Subnet" => EffectClass::NoInterruption,
        // EFS has one mount target for each zone: the new one cannot be made before the old one
        // goes.
        "AWS::EFS::MountTarget" if is_replaced => EffectClass::Refused,
        // A named resource cannot be made while the old one of its name is there.
        "AWS::Logs::LogGroup" | "AWS::ECR::Repository" if is_replaced => EffectClass::Refused,
        _ if is_replaced && has_data(kind) => match change.policy_action {
            PolicyAction::Retain | PolicyAction::Snapshot => EffectClass::DataLeftBehind,
            PolicyAction::Delete | PolicyAction::None => EffectClass::DataLost,
        },
        _ => EffectClass::NoInterruption,
    };
    Some(class)
}

/// Whether a queue gets its first scheduling policy or loses it (Batch API, UpdateJobQueue: a
/// policy can be replaced and not removed; a queue that was made without one stays so).
fn switches_policy(change: &Change) -> bool {
    let policy = change.properties.iter().find(|property| property.path.ends_with("SchedulingPolicyArn"));
    policy.is_some_and(|property| property.before.is_none() != property.after.is_none())
}

/// Properties of an environment that Batch changes without new instances (Batch User Guide,
/// `updating-compute-environments`: scaling updates). All others are infrastructure updates.
const SCALING: [&str; 8] = [
    "MaxvCpus",
    "MinvCpus",
    "DesiredvCpus",
    "ScalingPolicy",
    "State",
    "UpdatePolicy",
    "ReplaceComputeEnvironment",
    // The template's own, of which Batch knows nothing.
    "Metadata",
];

fn of_environment(before: &ClusterConfig, change: &Change, is_replaced: bool) -> EffectClass {
    if is_replaced {
        return environment_goes(before, change);
    }
    // Batch moves an environment of EC2 between on-demand and Spot. On Fargate the type stays (its
    // answer: "The following parameters can't be updated for Fargate compute environment", with
    // `type` among them).
    let is_fargate = |value: &Option<String>| value.as_ref().is_some_and(|value| value.contains("FARGATE"));
    let moves = |property: &PropertyChange| {
        property.path.ends_with("ComputeResources/Type")
            && (is_fargate(&property.before) || is_fargate(&property.after))
    };
    if change.properties.iter().any(moves) {
        return EffectClass::Refused;
    }
    let scaling = |property: &PropertyChange| {
        property.path.split('/').any(|word| SCALING.contains(&word)) || property.path.ends_with("ServiceRole")
    };
    if !change.properties.is_empty() && change.properties.iter().all(scaling) {
        return EffectClass::NoInterruption;
    }
    // The policy that counts is the one that the environment has when the update begins.
    let environment = environment(before, &change.logical_id);
    match environment.and_then(Environment::ec2) {
        Some(ec2) if ec2.on_update.terminate_jobs => {
            EffectClass::InstancesReplaced { after: Period::of_seconds(0) }
        }
        Some(ec2) => EffectClass::InstancesReplaced { after: ec2.on_update.timeout },
        // Tasks on Fargate go on in the old subnets and groups.
        None if environment.is_some() => EffectClass::NoInterruption,
        None => EffectClass::InstancesReplaced { after: Period::of_seconds(30 * 60) },
    }
}

fn environment<'a>(config: &'a ClusterConfig, logical_id: &str) -> Option<&'a Environment> {
    config.environments.iter().find(|e| e.name.logical_id("Environment") == logical_id)
}

/// The names of parts, by the logical IDs of their resources.
fn part_names(before: &ClusterConfig, config: &ClusterConfig) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for config in [before, config] {
        for environment in &config.environments {
            for prefix in ["Environment", "LaunchTemplate", "PlacementGroup"] {
                let id = environment.name.logical_id(prefix);
                names.insert(id, format!("environment.{}", environment.name));
            }
        }
        for queue in &config.queues {
            for prefix in ["Queue", "SchedulingPolicy"] {
                names.insert(queue.name.logical_id(prefix), format!("queue.{}", queue.name));
            }
        }
        for definition in &config.definitions {
            names.insert(definition.name.logical_id("Definition"), format!("definition.{}", definition.name));
        }
        for shared in &config.shared {
            names.insert(shared.name.logical_id("Shared"), format!("shared.{}", shared.name));
        }
    }
    names
}

/// The part that a logical ID belongs to.
fn part(names: &BTreeMap<String, String>, logical_id: &str) -> Part {
    let of_section = || {
        let section = match logical_id {
            "Bucket" | "BucketPolicy" => "bucket",
            "Repository" | "BuildProject" => "images",
            "JobLogs" | "BuildLogs" => "logs",
            "EventLogs" | "EventRule" => "events",
            "JobRole" => "job_role",
            "InstanceRole" | "InstanceProfile" | "ExecutionRole" | "BuildRole" | "UserPolicy" => "iam",
            id if id.starts_with("Efs") => "efs",
            id if is_of_network(id) => "network",
            other => other,
        };
        section.to_owned()
    };
    Part(names.get(logical_id).cloned().unwrap_or_else(of_section))
}

fn is_of_network(id: &str) -> bool {
    let parts = ["Vpc", "InternetGateway", "GatewayAttachment", "RouteTable", "DefaultRoute", "S3Endpoint"];
    parts.contains(&id) || id.starts_with("Subnet") || id.starts_with("SecurityGroup")
}
