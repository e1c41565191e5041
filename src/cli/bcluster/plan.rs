//! The plan of a command: what CloudFormation will do, and what it means for jobs.

use std::collections::BTreeMap;

use awsb_model::cluster::config::ClusterConfig;
use awsb_model::cluster::effect::PropertyChange;
use awsb_model::cluster::{Change, Effect, Refusal, StoppedEnvironments, effect, effect_of_each, effects};
use awsb_model::words;
use serde::Serialize;

use super::blueprint::Blueprint;
use crate::cloud::{PartJobs, kind};
use crate::ui::{Failure, Layout, Output, View, print_message};

/// A plan.
pub(super) struct Plan {
    /// The lines before the effects.
    head: Vec<String>,
    changes: Vec<Change>,
    /// The worst effect on each part. A new cluster is described by its configuration instead.
    effects: Vec<Effect>,
    /// The effect of each change, in their order.
    effect_of_each: Vec<Option<Effect>>,
    /// The jobs of each part.
    jobs: PartJobs,
}

impl Plan {
    /// The plan of a new cluster.
    pub(super) fn of_creation(blueprint: &Blueprint, place: &str, changes: Vec<Change>) -> Self {
        let config = blueprint.config();
        let mut head = vec![format!("The cluster {} in {place} will have:", blueprint.name())];
        head.extend(parts(config));
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for change in &changes {
            *kinds.entry(kind(&change.resource_type)).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| words::many(*count, kind)).collect();
        head.push(format!("  {}: {}", words::many(changes.len(), "resource"), kinds.join(", ")));
        for change in changes.iter().filter(|change| change.action == effect::Action::Import) {
            let what = kind(&change.resource_type);
            head.push(format!("  it takes over the {what} {} of an earlier cluster", change.logical_id));
        }
        head.push(match idle_vcpus(config) {
            0 => "Without jobs, it costs only what is stored in it.".to_owned(),
            1 => "Without jobs, 1 vCPU is kept running, and costs.".to_owned(),
            vcpus => format!("Without jobs, {vcpus} vCPUs are kept running, and cost."),
        });
        Self { head, changes, effects: Vec::new(), effect_of_each: Vec::new(), jobs: PartJobs::default() }
    }

    /// The plan of a change from one configuration to another.
    pub(super) fn of_update(
        blueprint: &Blueprint,
        before: &ClusterConfig,
        place: &str,
        changes: Vec<Change>,
        jobs: PartJobs,
    ) -> Self {
        let effects = effects(before, blueprint.config(), &changes);
        let name = blueprint.name();
        let head = vec![match effects.len() {
            // Such as another default queue.
            0 => format!("The cluster {name} in {place}: only the outputs of its stack would change."),
            count => {
                format!("The cluster {name} in {place}: {} of it would change.", words::many(count, "part"))
            }
        }];
        let effect_of_each = effect_of_each(before, blueprint.config(), &changes);
        Self { head, changes, effects, effect_of_each, jobs }
    }

    /// The same plan for a cluster that is stopped.
    pub(super) fn of_stopped(mut self, name: &str, stopped: &StoppedEnvironments) -> Self {
        if !stopped.ids.is_empty() {
            let what = match (stopped.are_all, stopped.ids.len()) {
                (true, _) => "The cluster is stopped, and stays so".to_owned(),
                (false, 1) => "One of its environments is stopped, and stays so".to_owned(),
                (false, count) => format!("{count} of its environments are stopped, and stay so"),
            };
            self.head.push(format!("{what}: `bcluster start {name}` starts it."));
        }
        self
    }

    /// Prints the plan as the result of the command.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub(super) fn print(&self, output: &Output) -> Result<(), Failure> {
        output.show(self)
    }

    /// Prints the plan on stderr, before a question.
    pub(super) fn print_message(&self) {
        self.lines().iter().for_each(print_message);
    }

    /// Fails if AWS would refuse a change, or if a change may end jobs or lose data and no option
    /// allows it by name.
    ///
    /// # Errors
    /// As said.
    pub(super) fn check_allowed(
        &self,
        may_end_jobs: &[String],
        may_lose_data: &[String],
    ) -> Result<(), Failure> {
        for effect in &self.effects {
            let jobs = self.jobs.of(&effect.part.to_string());
            let failure = || Failure::usage(format!("{}: {}", effect.part, effect.describe(jobs)));
            match effect.refusal(jobs) {
                None => {}
                Some(Refusal::Always) => return Err(failure()),
                Some(Refusal::JobsRun) => {
                    return Err(failure().hint(
                        "wait until its jobs have ended, or end them with `bkill`; then give the command again",
                    ));
                }
            }
        }
        let mut needed = Vec::new();
        let (mut ends_jobs, mut loses_data) = (false, false);
        for effect in &self.effects {
            let Some(part) = effect.consent(self.jobs.of(&effect.part.to_string())) else { continue };
            let part = part.to_string();
            if effect.class.may_end_jobs() {
                if !may_end_jobs.contains(&part) {
                    ends_jobs = true;
                    needed.push(format!("--may-end-jobs {part}"));
                }
            } else if !may_lose_data.contains(&part) {
                loses_data = true;
                needed.push(format!("--may-lose-data {part}"));
            }
        }
        let what = match (ends_jobs, loses_data) {
            (false, false) => return Ok(()),
            (true, false) => "may end jobs",
            (false, true) => "loses data, or leaves it behind",
            (true, true) => "may end jobs, and loses data or leaves it behind",
        };
        Err(Failure::usage(format!("refusing a change that {what}, because no option allows it"))
            .hint(format!("`{}` allows it", needed.join(" "))))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.head.clone();
        for effect in &self.effects {
            let jobs = self.jobs.of(&effect.part.to_string());
            lines.push(format!("  {}: {}", effect.part, effect.describe(jobs)));
            let is_shown = |property: &&PropertyChange| {
                !property.path.ends_with("Tags") && !property.path.split('/').any(|word| word == "Metadata")
            };
            for property in effect.properties.iter().filter(is_shown) {
                let path =
                    property.path.strip_prefix("/Properties/").unwrap_or(&property.path).replace('/', ".");
                let value = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), short);
                lines.push(match (&property.before, &property.after) {
                    (None, None) => format!("      {path}"),
                    (before, after) => format!("      {path}: {} -> {}", value(before), value(after)),
                });
            }
        }
        lines
    }
}

/// A value that fits into a line.
fn short(value: &str) -> String {
    const MOST: usize = 60;
    let line: String = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// A change as JSON, with AWS's field names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonChange<'a> {
    action: &'static str,
    logical_resource_id: &'a str,
    resource_type: &'a str,
    replacement: &'static str,
    details: Vec<JsonProperty<'a>>,
    /// Not AWS's: the part of the cluster, and what the change means for its jobs and data.
    part: Option<String>,
    effect: Option<String>,
    running_jobs: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonProperty<'a> {
    path: &'a str,
    before_value: Option<&'a str>,
    after_value: Option<&'a str>,
}

impl View for Plan {
    fn plain(&self) -> Layout {
        Layout::Lines(self.lines())
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let of_each = self.effect_of_each.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let changes = self.changes.iter().zip(of_each).map(|(change, effect)| {
            let part = effect.map(|effect| effect.part.to_string());
            JsonChange {
                action: action(change.action),
                logical_resource_id: &change.logical_id,
                resource_type: &change.resource_type,
                replacement: replacement(change.replacement),
                details: change
                    .properties
                    .iter()
                    .map(|property| JsonProperty {
                        path: &property.path,
                        before_value: property.before.as_deref(),
                        after_value: property.after.as_deref(),
                    })
                    .collect(),
                effect: effect.map(|effect| effect.class.describe()),
                running_jobs: part.as_deref().and_then(|part| self.jobs.of(part)).map(|jobs| jobs.running),
                part,
            }
        });
        changes.map(|change| serde_json::to_value(change).unwrap_or_default()).collect()
    }
}

/// AWS's word.
fn action(action: effect::Action) -> &'static str {
    match action {
        effect::Action::Add => "Add",
        effect::Action::Modify => "Modify",
        effect::Action::Remove => "Remove",
        effect::Action::Import => "Import",
        effect::Action::Dynamic => "Dynamic",
    }
}

/// AWS's word.
fn replacement(replacement: effect::Replacement) -> &'static str {
    match replacement {
        effect::Replacement::True => "True",
        effect::Replacement::False => "False",
        effect::Replacement::Conditional => "Conditional",
    }
}
/// The parts of a cluster, a line each.
fn parts(config: &ClusterConfig) -> Vec<String> {
    let environments = config.environments.iter().map(|environment| {
        let types = environment.ec2().map(|ec2| {
            let types: Vec<&str> = ec2.instance_types.iter().map(|name| name.as_str()).collect();
            format!(" {},", types.join(" "))
        });
        format!(
            "  environment {}: {},{} at most {}",
            environment.name,
            environment.kind(),
            types.unwrap_or_default(),
            vcpus(environment.max_vcpus)
        )
    });
    let queues = config.queues.iter().map(|queue| {
        let names: Vec<&str> = config.environments_of(queue).map(|e| e.name.as_str()).collect();
        let default = if queue.name == config.default_queue { " (the default)" } else { "" };
        match queue.made() {
            Some(_) => format!("  queue {}: {}{default}", queue.name, names.join(", then ")),
            None => format!("  queue {}: one that exists{default}", queue.name),
        }
    });
    let definitions = config.definitions.iter().map(|definition| {
        format!(
            "  job definition {}: {}, {}, {} MiB, {}",
            definition.name,
            definition.kind_word(),
            vcpus(definition.vcpus),
            definition.memory,
            definition.image
        )
    });
    let shared = config.shared.iter().map(|shared| format!("  shared directory {}", shared.path));
    environments.chain(queues).chain(definitions).chain(shared).collect()
}

/// `1 vCPU`, `0.5 vCPUs`.
fn vcpus(count: impl ToString) -> String {
    match count.to_string().as_str() {
        "1" => "1 vCPU".to_owned(),
        count => format!("{count} vCPUs"),
    }
}

/// The vCPUs that are kept running without jobs.
fn idle_vcpus(config: &ClusterConfig) -> u32 {
    config.environments.iter().filter_map(|environment| environment.ec2()).map(|ec2| ec2.min_vcpus).sum()
}

#[cfg(test)]
mod tests {
    use awsb_model::cluster::effect::{Action, RunningJobs};

    use super::*;

    fn plan(running: u32) -> Plan {
        let change = |id: &str, resource_type: &str, action: Action| Change {
            action,
            logical_id: id.into(),
            resource_type: resource_type.into(),
            ..Change::default()
        };
        let changes = vec![
            change("EnvironmentSpot", "AWS::Batch::ComputeEnvironment", Action::Remove),
            change("Bucket", "AWS::S3::Bucket", Action::Remove),
            change("DefinitionJob", "AWS::Batch::JobDefinition", Action::Modify),
        ];
        let config = ClusterConfig::default();
        let jobs = RunningJobs { running, retried: 0 };
        Plan {
            head: Vec::new(),
            effects: effects(&config, &config, &changes),
            effect_of_each: effect_of_each(&config, &config, &changes),
            changes,
            jobs: PartJobs([("environment.spot".to_owned(), jobs)].into()),
        }
    }

    #[test]
    fn changes_that_end_jobs_or_lose_data_are_allowed_by_name() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let failure = plan(2).check_allowed(&[], &[]).unwrap_err();
        assert_eq!(failure.exit().code(), 2);
        let hint = &failure.hints()[0];
        assert!(hint.contains("--may-end-jobs environment.spot"), "{hint}");
        assert!(hint.contains("--may-lose-data bucket"), "{hint}");
        assert!(plan(2).check_allowed(&names(&["environment.spot"]), &names(&["bucket"])).is_ok());
        assert!(plan(2).check_allowed(&names(&["bucket"]), &names(&["environment.spot"])).is_err());
        // Without jobs, none can end.
        assert!(plan(0).check_allowed(&[], &names(&["bucket"])).is_ok());
    }

    #[test]
    fn each_change_has_its_part_and_its_effect_in_json() {
        let change = |id: &str, resource_type: &str| Change {
            logical_id: id.into(),
            resource_type: resource_type.into(),
            ..Change::default()
        };
        let changes = vec![
            change("SecurityGroup", "AWS::EC2::SecurityGroup"),
            change("SecurityGroupNodes", "AWS::EC2::SecurityGroupIngress"),
        ];
        let config = ClusterConfig::default();
        let plan = Plan {
            head: Vec::new(),
            effects: effects(&config, &config, &changes),
            effect_of_each: effect_of_each(&config, &config, &changes),
            changes,
            jobs: PartJobs::default(),
        };
        assert_eq!(plan.effects.len(), 1, "one line for people");
        for change in plan.json() {
            assert_eq!(
                (change["part"].as_str(), change["effect"].as_str()),
                (Some("network"), Some("no interruption"))
            );
        }
    }

    #[test]
    fn a_fargate_environment_with_jobs_is_not_removed() {
        let text = "[environment.f]\ntype = \"fargate\"\n";
        let config = ClusterConfig::from_toml("lab.toml", text).unwrap();
        let plan = |running: u32| {
            let changes = vec![Change {
                action: Action::Remove,
                logical_id: "EnvironmentF".into(),
                resource_type: "AWS::Batch::ComputeEnvironment".into(),
                ..Change::default()
            }];
            Plan {
                head: Vec::new(),
                effects: effects(&config, &config, &changes),
                effect_of_each: effect_of_each(&config, &config, &changes),
                changes,
                jobs: PartJobs([("environment.f".to_owned(), RunningJobs { running, retried: 0 })].into()),
            }
        };
        let failure = plan(1).check_allowed(&["environment.f".to_owned()], &[]).unwrap_err();
        assert!(failure.hints()[0].contains("`bkill`"), "{:?}", failure.hints());
        assert!(plan(0).check_allowed(&[], &[]).is_ok());
    }

    #[test]
    fn a_value_fits_into_a_line() {
        assert_eq!(short("a\n  b"), "a b");
        assert_eq!(short(&"x".repeat(70)).chars().count(), 61);
    }
}
