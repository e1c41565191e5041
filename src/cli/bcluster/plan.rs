//! The plan of a command: what CloudFormation will do, and what it means for jobs.

use std::collections::BTreeMap;

use awsb_model::cluster::ClusterConfig;
use awsb_model::words;
use serde::Serialize;

use super::blueprint::Blueprint;
use crate::cloud::{Change, Effect, kind};
use crate::ui::{Failure, Layout, Output, View, print_message};

/// A plan.
pub(super) struct Plan {
    /// The lines before the changes.
    head: Vec<String>,
    changes: Vec<(Change, Effect)>,
    /// Whether each change has a line. A new cluster is described by its configuration.
    lists_changes: bool,
    /// The jobs that have not ended.
    jobs: usize,
}

impl Plan {
    /// The plan of a new cluster.
    pub(super) fn of_creation(blueprint: &Blueprint, place: &str, changes: &[Change]) -> Self {
        let mut head = vec![format!("The cluster {} in {place} will have:", blueprint.name())];
        head.extend(parts(&blueprint.config));
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for change in changes {
            *kinds.entry(kind(&change.resource_type)).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| words::many(*count, kind)).collect();
        head.push(format!("  {}: {}", words::many(changes.len(), "resource"), kinds.join(", ")));
        let taken_over = changes.iter().filter(|change| change.action == "Import");
        for change in taken_over {
            let id = change.physical_id.as_deref().unwrap_or(&change.logical_id);
            head.push(format!(
                "  it takes over the {} {id} of an earlier cluster",
                kind(&change.resource_type)
            ));
        }
        head.push(match idle_vcpus(&blueprint.config) {
            0 => "Without jobs, it costs only what is stored in it.".to_owned(),
            vcpus => format!("Without jobs, {vcpus} vCPUs are kept running, and cost."),
        });
        let changes = changes.iter().map(|change| (change.clone(), Effect::of(change))).collect();
        Self { head, changes, lists_changes: false, jobs: 0 }
    }

    /// The plan of a change, while so many jobs have not ended.
    pub(super) fn of_update(name: &str, place: &str, changes: &[Change], jobs: usize) -> Self {
        let changes: Vec<_> = changes.iter().map(|change| (change.clone(), Effect::of(change))).collect();
        let head =
            vec![format!("The cluster {name} in {place} has {}:", words::many(changes.len(), "change"))];
        Self { head, changes, lists_changes: true, jobs }
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

    /// Fails if a change may end jobs or lose data, and no option allows it by name.
    ///
    /// # Errors
    /// As said.
    pub(super) fn check_allowed(
        &self,
        may_end_jobs: &[String],
        may_lose_data: &[String],
    ) -> Result<(), Failure> {
        let needed = |is_meant: fn(Effect) -> bool, given: &[String]| -> Vec<String> {
            let meant = self.changes.iter().filter(|(_, effect)| is_meant(*effect));
            let names = meant.map(|(change, _)| change.logical_id.clone());
            names.filter(|name| !given.contains(name)).collect()
        };
        // Where no job is there, none can end.
        let ending = if self.jobs == 0 { Vec::new() } else { needed(Effect::may_end_jobs, may_end_jobs) };
        let losing = needed(|effect| effect == Effect::DataLost, may_lose_data);
        if ending.is_empty() && losing.is_empty() {
            return Ok(());
        }
        let options = |option: &str, names: &[String]| -> Vec<String> {
            names.iter().map(|name| format!("{option} {name}")).collect()
        };
        let needed =
            [options("--may-end-jobs", &ending), options("--may-lose-data", &losing)].concat().join(" ");
        let what = match (ending.is_empty(), losing.is_empty()) {
            (false, true) => "may end jobs",
            (true, _) => "loses data",
            (false, false) => "may end jobs and loses data",
        };
        Err(Failure::usage(format!("refusing a change that {what}, because no option allows it"))
            .hint(format!("`{needed}` allows it")))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.head.clone();
        if !self.lists_changes {
            return lines;
        }
        for (change, effect) in &self.changes {
            let verb = match change.action.as_str() {
                "Add" => "new",
                "Remove" => "removed",
                "Import" => "taken over",
                _ if change.is_replacement() => "replaced",
                _ => "changed",
            };
            let what = format!("{} {}", kind(&change.resource_type), change.logical_id);
            lines.push(format!("  {verb} {what}: {}", self.effect_in_words(*effect)));
            for property in change.properties.iter().filter(|property| property.path != "Tags") {
                let path = property.path.strip_prefix("/Properties/").unwrap_or(&property.path);
                let value = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), short);
                let (before, after) = (value(&property.before), value(&property.after));
                match (&property.before, &property.after) {
                    (None, None) => lines.push(format!("      {}", path.replace('/', "."))),
                    _ => lines.push(format!("      {}: {before} -> {after}", path.replace('/', "."))),
                }
            }
        }
        lines
    }

    /// The effect, with the number of jobs that are there now.
    fn effect_in_words(&self, effect: Effect) -> String {
        match effect.may_end_jobs() {
            true => format!("{} ({})", effect.as_str(), jobs_now(self.jobs)),
            false => effect.as_str().to_owned(),
        }
    }
}

/// The jobs that a change concerns, in words.
fn jobs_now(count: usize) -> String {
    match count {
        0 => "no job is there now".to_owned(),
        count => format!("{} now", words::many(count, "job")),
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
    action: &'a str,
    logical_resource_id: &'a str,
    physical_resource_id: Option<&'a str>,
    resource_type: &'a str,
    replacement: Option<&'a str>,
    policy_action: Option<&'a str>,
    details: Vec<JsonProperty<'a>>,
    /// Not AWS's: what the change means for jobs and data.
    effect: Effect,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonProperty<'a> {
    path: &'a str,
    requires_recreation: Option<&'a str>,
    before_value: Option<&'a str>,
    after_value: Option<&'a str>,
}

impl View for Plan {
    fn plain(&self) -> Layout {
        Layout::Lines(self.lines())
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let changes = self.changes.iter().map(|(change, effect)| JsonChange {
            action: &change.action,
            logical_resource_id: &change.logical_id,
            physical_resource_id: change.physical_id.as_deref(),
            resource_type: &change.resource_type,
            replacement: change.replacement.as_deref(),
            policy_action: change.policy_action.as_deref(),
            details: change
                .properties
                .iter()
                .map(|property| JsonProperty {
                    path: &property.path,
                    requires_recreation: property.requires_recreation.as_deref(),
                    before_value: property.before.as_deref(),
                    after_value: property.after.as_deref(),
                })
                .collect(),
            effect: *effect,
        });
        changes.map(|change| serde_json::to_value(change).unwrap_or_default()).collect()
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
            "  environment {}: {},{} at most {} vCPUs",
            environment.name,
            environment.kind(),
            types.unwrap_or_default(),
            environment.max_vcpus
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
            "  job definition {}: {}, {} vCPUs, {} MiB, {}",
            definition.name,
            definition.kind_word(),
            definition.vcpus,
            definition.memory,
            definition.image
        )
    });
    let shared = config.shared.iter().map(|shared| format!("  shared directory {}", shared.path));
    environments.chain(queues).chain(definitions).chain(shared).collect()
}

/// The vCPUs that are kept running without jobs.
fn idle_vcpus(config: &ClusterConfig) -> u32 {
    config.environments.iter().filter_map(|environment| environment.ec2()).map(|ec2| ec2.min_vcpus).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(jobs: usize) -> Plan {
        let change = |id: &str, kind: &str, replacement: &str| Change {
            action: "Modify".into(),
            logical_id: id.into(),
            resource_type: kind.into(),
            replacement: Some(replacement.into()),
            ..Change::default()
        };
        let changes = [
            change("EnvironmentSpot", "AWS::Batch::ComputeEnvironment", "True"),
            change("Efs", "AWS::EFS::FileSystem", "True"),
            change("QueueSpot", "AWS::Batch::JobQueue", "False"),
        ];
        Plan::of_update("lab", "eu-west-1", &changes, jobs)
    }

    #[test]
    fn what_ends_jobs_or_loses_data_is_allowed_by_name() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let failure = plan(2).check_allowed(&[], &[]).unwrap_err();
        assert_eq!(failure.exit().code(), 2);
        assert_eq!(failure.hints(), ["`--may-end-jobs EnvironmentSpot --may-lose-data Efs` allows it"]);
        assert!(plan(2).check_allowed(&names(&["EnvironmentSpot"]), &names(&["Efs"])).is_ok());
        assert!(plan(2).check_allowed(&names(&["Efs"]), &names(&["EnvironmentSpot"])).is_err());
        // Without jobs, none can end.
        assert!(plan(0).check_allowed(&[], &names(&["Efs"])).is_ok());
    }

    #[test]
    fn a_value_fits_into_a_line() {
        assert_eq!(short("a\n  b"), "a b");
        assert_eq!(short(&"x".repeat(70)).chars().count(), 61);
    }
}
