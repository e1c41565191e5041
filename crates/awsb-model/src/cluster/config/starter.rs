//! The file that `bcluster init` writes: a configuration with a comment for each key. Its comments
//! come from the table of all keys.

use super::keys::{KEYS, Key};

/// The parts that the cluster of a new file has, besides on-demand instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Starter {
    /// Instances on Spot.
    pub spot: bool,
    /// Arm processors in place of x86.
    pub arm: bool,
    /// An environment with GPUs.
    pub gpu: bool,
    /// An environment for multi-node jobs.
    pub mpi: bool,
    /// An environment on Fargate.
    pub fargate: bool,
    /// A VPC of its own.
    pub new_vpc: bool,
    /// A directory on EFS that every job sees.
    pub efs: bool,
}

/// The keys that a short file has as comments, where they can be given.
const COMMON: [&str; 29] = [
    "network.vpc",
    "network.subnets",
    "network.security_groups",
    "network.zones",
    "network.addresses",
    "environment.NAME.max",
    "environment.NAME.min",
    "environment.NAME.keep_idle",
    "environment.NAME.update_timeout",
    "environment.NAME.root_volume.size",
    "environment.NAME.root_volume.type",
    "definition.NAME.image",
    "definition.NAME.vcpus",
    "definition.NAME.memory",
    "definition.NAME.attempts",
    "definition.NAME.nodes",
    "bucket.keep",
    "bucket.versions",
    "bucket.expire.bundles",
    "bucket.expire.outputs",
    "efs.keep",
    "efs.throughput",
    "images.repository",
    "images.machine",
    "logs.retention",
    "events.record",
    "job_role.read",
    "job_role.write",
    "tags.KEY",
];

/// The comment before the sections of a group.
const NOTES: [(&str, &str); 12] = [
    ("network", "The network."),
    (
        "environment",
        "The compute environments: the machines that run the jobs. They come and go with the jobs.",
    ),
    ("queue", "The queues. In AWS one is called CLUSTER-NAME, and `bsub -q CLUSTER-NAME` chooses it."),
    ("definition", "The job definitions: what a job gets that asks for nothing else."),
    ("bucket", "The bucket: scripts, inputs and results."),
    ("efs", "The file system of the cluster."),
    ("shared", "A directory that every job sees."),
    ("images", "Images: a repository, and a CodeBuild project for `bimage build`."),
    ("logs", "The output of the jobs."),
    ("events", "A record of the jobs' events, by which usage can be counted later."),
    ("job_role", "The calls of AWS that jobs may make themselves."),
    ("tags", "Tags of all resources."),
];

const HEAD: &str = "\
# The configuration of a cluster for `bcluster create NAME -f FILE`.
#
# A line that begins with `# key =` has the default, and one that begins with `# Example:` another
# value. docs/cluster-configuration.md has all keys.

";

/// Columns of a comment.
const COLUMNS: usize = 98;

/// A section that the file has: its name, if it is one of several, and the keys that are set.
#[derive(Default)]
struct Part {
    name: &'static str,
    set: Vec<(&'static str, String)>,
}

impl Part {
    fn new(name: &'static str, set: &[(&'static str, &str)]) -> Self {
        Self { name, set: set.iter().map(|(key, value)| (*key, (*value).to_owned())).collect() }
    }

    /// The value of a key of the table, if it is set.
    fn value(&self, path: &str) -> Option<&str> {
        self.set.iter().find(|(key, _)| *key == path).map(|(_, value)| value.as_str())
    }
}

impl Starter {
    /// The text of the file. With `all_keys`, it has every key that there is.
    pub fn file(&self, all_keys: bool) -> String {
        let mut text = HEAD.to_owned();
        let mut groups: Vec<&str> = Vec::new();
        for group in KEYS.iter().map(group) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        for group in groups {
            self.write_group(group, all_keys, &mut text);
        }
        text
    }

    /// Writes the sections of a group: those that the cluster has, each with its keys. With
    /// `all_keys`, sections that it does not have are comments.
    fn write_group(&self, group: &'static str, all_keys: bool, text: &mut String) {
        let parts = self.parts(group);
        if parts.is_empty() && !all_keys {
            return;
        }
        if !group.is_empty() {
            text.push('\n');
        }
        if let Some((_, note)) = NOTES.iter().find(|(of, _)| *of == group) {
            comment(text, note);
        }
        if parts.is_empty() {
            write_part(group, None, text, |_| true, |_| false);
        }
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            let is_first = index == 0;
            // A key that an earlier part sets has its comment there.
            let is_explained = |key: &Key| parts[..index].iter().any(|part| part.value(key.path).is_some());
            let is_shown = |key: &Key| {
                if part.value(key.path).is_some() {
                    return true;
                }
                let fits = key.takes.iter().all(|(path, value)| part.value(path) == Some(value));
                let is_own = is_first || !key.takes.is_empty();
                let is_common = COMMON.contains(&key.path) && !self.excludes(key.path);
                (all_keys && is_first) || (is_common && fits && is_own)
            };
            write_part(group, Some(part), text, is_shown, is_explained);
        }
    }

    /// Whether the cluster cannot have this key.
    fn excludes(&self, path: &str) -> bool {
        self.new_vpc && ["network.subnets", "network.security_groups"].contains(&path)
    }

    /// The sections of a group that the cluster has.
    fn parts(&self, group: &str) -> Vec<Part> {
        let types = if self.arm { "[\"default_arm64\"]" } else { "[\"default_x86_64\"]" };
        let machines = |name: &'static str, kind: &str, types: &str| {
            Part::new(name, &[("environment.NAME.type", kind), ("environment.NAME.instance_types", types)])
        };
        let (on_demand, spot) = ("\"on-demand\"", "\"spot\"");
        let queue = |name: &'static str, environments: &str| {
            Part::new(name, &[("queue.NAME.environments", environments)])
        };
        let mut found = Vec::new();
        let mut add = |is_wanted: bool, part: Part| found.extend(is_wanted.then_some(part));
        match group {
            "" => {
                add(true, Part::new("", &[("default_queue", on_demand), ("default_definition", "\"job\"")]))
            }
            "network" if self.new_vpc => add(true, Part::new("", &[("network.vpc", "\"new\"")])),
            "environment" => {
                add(true, machines("on-demand", on_demand, types));
                add(self.spot, machines("spot", spot, types));
                // AWS's AMIs support no Arm instances with GPUs.
                add(self.gpu, machines("gpu", on_demand, "[\"g5\"]"));
                let close = if self.arm { "[\"c7gn.16xlarge\"]" } else { "[\"c7i.48xlarge\"]" };
                let mut mpi = machines("mpi", on_demand, close);
                mpi.set.push(("environment.NAME.max", "1024".to_owned()));
                mpi.set.push(("environment.NAME.placement_group", "true".to_owned()));
                add(self.mpi, mpi);
                add(self.fargate, Part::new("fargate", &[("environment.NAME.type", "\"fargate\"")]));
            }
            "queue" => {
                add(true, queue("on-demand", "[\"on-demand\"]"));
                add(self.spot, queue("spot", "[\"spot\", \"on-demand\"]"));
                add(self.gpu, queue("gpu", "[\"gpu\"]"));
                add(self.mpi, queue("mpi", "[\"mpi\"]"));
                add(self.fargate, queue("fargate", "[\"fargate\"]"));
            }
            "definition" => {
                add(true, Part::new("job", &[]));
                add(true, Part::new("mnp", &[("definition.NAME.type", "\"multinode\"")]));
                let sizes = [
                    ("definition.NAME.vcpus", "4"),
                    ("definition.NAME.memory", "14000"),
                    ("definition.NAME.gpus", "1"),
                ];
                add(self.gpu, Part::new("gpu", &sizes));
                let architecture = if self.arm { "\"arm64\"" } else { "\"x86_64\"" };
                add(
                    self.fargate,
                    Part::new(
                        "fargate",
                        &[
                            ("definition.NAME.type", "\"fargate\""),
                            ("definition.NAME.architecture", architecture),
                        ],
                    ),
                );
            }
            "efs" => add(self.efs, Part::default()),
            "shared" => add(self.efs, Part::new("home", &[("shared.NAME.path", "\"/shared\"")])),
            "iam" => {}
            _ => add(true, Part::default()),
        }
        found
    }
}

/// The first word of a key's section.
fn group(key: &Key) -> &'static str {
    key.section().split('.').next().unwrap_or_default()
}

/// Writes a part of a group with the keys that are shown, each with a comment unless it has been
/// explained. `None` is a part that the cluster does not have: it is a comment as a whole.
fn write_part(
    group: &str,
    part: Option<&Part>,
    text: &mut String,
    is_shown: impl Fn(&Key) -> bool,
    is_explained: impl Fn(&Key) -> bool,
) {
    let is_there = part.is_some();
    let nothing = Part { name: "NAME", ..Part::default() };
    let part = part.unwrap_or(&nothing);
    let mut section = None;
    let keys = KEYS.iter().filter(|key| self::group(key) == group);
    let is_top = |section: &str| section == group || section == format!("{group}.NAME");
    // A part that the cluster has gets its heading, even if it sets nothing.
    if is_there && !part.name.is_empty() && part.set.is_empty() && !keys.clone().any(&is_shown) {
        text.push_str(&format!("[{group}.{}]\n", part.name));
    }
    for key in keys.filter(|key| is_shown(key)) {
        if section != Some(key.section()) {
            if section.is_some() {
                text.push('\n');
            }
            section = Some(key.section());
            let in_section = KEYS.iter().filter(|other| other.section() == key.section());
            // An empty table may mean something, such as fair shares.
            let is_open = is_there
                && (is_top(key.section())
                    || in_section.clone().any(|k| part.value(k.path).is_some() || COMMON.contains(&k.path)));
            if !key.section().is_empty() {
                let head = key.section().replace("NAME", part.name);
                text.push_str(&format!("{}[{head}]\n", if is_open { "" } else { "# " }));
            }
        }
        if !is_explained(key) {
            comment(text, &format!("{} ({})", key.meaning, key.values));
        }
        match (part.value(key.path), key.examples.first()) {
            (Some(value), _) => text.push_str(&format!("{} = {value}\n", key.name())),
            _ if is_toml(key.default) => text.push_str(&format!("# {} = {}\n", key.name(), key.default)),
            (None, Some(example)) => text.push_str(&format!("# Example: {} = {example}\n", key.name())),
            (None, None) => text.push_str(&format!("# {} = …\n", key.name())),
        }
    }
}

/// Writes a comment of several words.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Whether a default of the table is TOML and not words.
pub(super) fn is_toml(default: &str) -> bool {
    let is_word = ["true", "false"].contains(&default) || default.parse::<f64>().is_ok();
    is_word || (default.starts_with(['"', '[']) && !default.contains(';'))
}

#[cfg(test)]
mod tests {
    use super::super::{ClusterConfig, DefinitionImage};
    use super::*;

    /// All combinations of what a cluster can have.
    fn all() -> impl Iterator<Item = Starter> {
        (0..128_u32).map(|bits| {
            let bit = |n: u32| bits & (1 << n) != 0;
            Starter {
                spot: bit(0),
                arm: bit(1),
                gpu: bit(2),
                mpi: bit(3),
                fargate: bit(4),
                new_vpc: bit(5),
                efs: bit(6),
            }
        })
    }

    fn parse(text: &str) -> ClusterConfig {
        ClusterConfig::from_toml("test.toml", text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn each_file_is_a_configuration_and_more_comments_change_nothing() {
        for starter in all() {
            assert_eq!(parse(&starter.file(true)), parse(&starter.file(false)), "{starter:?}");
        }
    }

    #[test]
    fn each_file_makes_a_cluster() {
        // No AMI of Batch is for Arm instances with GPUs: `bcluster init` refuses both together.
        for starter in all().filter(|starter| !(starter.arm && starter.gpu)) {
            let problems = crate::cluster::validate(&parse(&starter.file(false)));
            assert!(problems.iter().all(|problem| !problem.kind.is_fatal()), "{starter:?}: {problems:?}");
        }
    }

    #[test]
    fn a_file_with_spot_is_the_default_cluster() {
        let starter = Starter { spot: true, ..Starter::default() };
        assert_eq!(parse(&starter.file(false)), ClusterConfig::default());
        insta::assert_snapshot!("short", starter.file(false));
        insta::assert_snapshot!("all", starter.file(true));
    }

    #[test]
    fn a_file_with_all_keys_has_each_of_them() {
        let text = Starter::default().file(true);
        for key in KEYS {
            let name = key.name();
            let has = |form: String| text.contains(&form);
            assert!(
                has(format!("\n{name} = "))
                    || has(format!("\n# {name} = "))
                    || has(format!("\n# Example: {name} = ")),
                "{}",
                key.path
            );
        }
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }

    #[test]
    fn a_default_in_a_comment_is_the_default() {
        // A default that is stated is the same image.
        let parse = |text: &str| {
            let image = DefinitionImage::Default.to_string().parse().expect("an image");
            parse(text).with_default_image(&image)
        };
        for starter in all() {
            let text = starter.file(false);
            let is_default = |line: &str| {
                let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
                key.is_some_and(|key| !key.contains([' ', ':', '`']))
            };
            let stated: String = text
                .lines()
                .map(|line| if is_default(line) { &line[2..] } else { line })
                .map(|line| format!("{line}\n"))
                .collect();
            assert_ne!(stated, text);
            assert_eq!(parse(&stated), parse(&text), "{stated}");
        }
    }

    #[test]
    fn an_example_is_a_valid_line() {
        let text = Starter { spot: true, gpu: true, ..Starter::default() }.file(false);
        let stated: String = text
            .lines()
            .map(|line| match line.strip_prefix("# Example: ") {
                Some(example) => format!("{example}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        assert!(stated.contains("\nkeep_idle = "), "{stated}");
        parse(&stated);
    }
}
