//! ParallelCluster 2: an INI file, of which one `[cluster NAME]` names the other sections.

use super::convert::Converter;
use super::error::{ImportError, ImportErrorKind, Source, SyntaxError};
use super::known_keys::{KnownKeys, Rule};
use super::leaves::{At, Leaf, LeafValue, Leaves};
use super::options::{Import, ImportOptions};
use super::report::Outcome;
use super::sentences;
use super::storage::EfsKeys;
use super::version_3::FSX;
use crate::ini::{Comments, Ini, IniKey, IniSection};
use crate::toml_reader::nearest_hint;

/// The keys, and what becomes of them.
pub(super) const KEYS: KnownKeys = KnownKeys::new(include_str!("keys/v2.txt"), RULES);

const RULES: &[(&str, Rule)] = &[
    (
        "aws",
        Rule::Drop(
            "Credentials are in the files of AWS (`aws configure`), and nothing reads them from here.",
        ),
    ),
    ("aws.aws_region_name", Rule::Read),
    ("global.cluster_template", Rule::Drop("It names the cluster of this file that is read.")),
    ("global", Rule::Drop("There is no such option: `bcluster create` always checks.")),
    ("aliases", Rule::Drop("There is no head node to log in to.")),
    (
        "scaling",
        Rule::Drop(
            "Batch ends instances without jobs by itself. To keep them longer: `environment.NAME.keep_idle`.",
        ),
    ),
    ("vpc", Rule::Read),
    ("vpc.ssh_from", Rule::Drop("There is no head node to log in to.")),
    (
        "vpc.compute_subnet_cidr",
        Rule::Refuse(
            "is for a subnet that ParallelCluster makes",
            "name the subnet that it has made: `compute_subnet_id = subnet-…`",
        ),
    ),
    ("vpc.use_public_ips", Rule::Drop("The subnet decides it.")),
    ("ebs", Rule::Drop(sentences::EBS_VOLUME)),
    ("ebs.shared_dir", Rule::Read),
    ("ebs.ebs_snapshot_id", Rule::Drop(sentences::COPY_SNAPSHOT)),
    ("ebs.ebs_volume_id", Rule::Drop(sentences::COPY_VOLUME)),
    (
        "raid",
        Rule::Drop("It is for the EBS volumes. EFS takes their place, and has neither a size nor a type."),
    ),
    ("raid.shared_dir", Rule::Read),
    ("efs", Rule::Read),
    ("efs.encrypted", Rule::Drop("A new file system is always encrypted.")),
    ("efs.performance_mode", Rule::Drop(sentences::PERFORMANCE_MODE)),
    ("fsx", Rule::Drop("It is for a file system that is an error: see `fsx_settings`.")),
    ("dcv", Rule::Drop("There is no head node whose desktop could be shown.")),
    ("cw_log.enable", Rule::Drop(sentences::HEAD_NODE_LOGS)),
    ("cw_log.retention_days", Rule::Read),
    ("dashboard", Rule::Drop(sentences::DASHBOARD)),
    ("queue", FOR_SLURM),
    ("compute_resource", FOR_SLURM),
    ("cluster.key_name", Rule::Drop(sentences::KEY_PAIR)),
    ("cluster.scheduler", Rule::Drop("A cluster is always one of AWS Batch.")),
    ("cluster.master_instance_type", Rule::Read),
    ("cluster.master_root_volume_size", HEAD_NODE),
    ("cluster.base_os", Rule::Drop(sentences::SYSTEM)),
    (
        "cluster.compute_root_volume_size",
        Rule::Drop(
            "The size of the instances' volumes is `environment.NAME.root_volume.size`, 100 GiB where nothing is said.",
        ),
    ),
    ("cluster.proxy_server", Rule::Read),
    (
        "cluster.ec2_iam_role",
        Rule::Drop(
            "It was the role of the instances. A role for jobs that exists is `arn` under [job_role].",
        ),
    ),
    ("cluster.s3_read_resource", Rule::Read),
    ("cluster.s3_read_write_resource", Rule::Read),
    ("cluster.template_url", DEVELOPMENT),
    ("cluster.hit_template_url", DEVELOPMENT),
    ("cluster.cw_dashboard_template_url", DEVELOPMENT),
    ("cluster.custom_chef_cookbook", DEVELOPMENT),
    ("cluster.extra_json", DEVELOPMENT),
    ("cluster.instance_types_data", DEVELOPMENT),
    ("cluster.shared_dir", Rule::Read),
    ("cluster.enable_efa", Rule::Drop("ParallelCluster refused it for AWS Batch.")),
    ("cluster.enable_efa_gdr", Rule::Drop("ParallelCluster refused it for AWS Batch.")),
    ("cluster.ephemeral_dir", HEAD_NODE),
    ("cluster.encrypted_ephemeral", HEAD_NODE),
    ("cluster.custom_ami", Rule::Drop(sentences::AMI)),
    ("cluster.pre_install", SCRIPTS),
    ("cluster.pre_install_args", SCRIPTS),
    ("cluster.post_install", SCRIPTS),
    ("cluster.post_install_args", SCRIPTS),
    ("cluster.additional_cfn_template", Rule::Drop(sentences::OWN_STACK)),
    ("cluster.tags", Rule::Read),
    ("cluster.enable_intel_hpc_platform", Rule::Drop("It was for the head node: install it in the image.")),
    ("cluster.scaling_settings", Rule::Read),
    ("cluster.vpc_settings", Rule::Read),
    ("cluster.ebs_settings", Rule::Read),
    ("cluster.efs_settings", Rule::Read),
    ("cluster.raid_settings", Rule::Read),
    (
        "cluster.fsx_settings",
        Rule::Refuse("is FSx, which ParallelCluster refused for AWS Batch as well", FSX),
    ),
    ("cluster.dcv_settings", Rule::Read),
    ("cluster.cw_log_settings", Rule::Read),
    ("cluster.dashboard_settings", Rule::Read),
    ("cluster.additional_iam_policies", Rule::Read),
    ("cluster.cluster_resource_bucket", Rule::Read),
    ("cluster.iam_lambda_role", Rule::Drop("The cluster has no Lambda functions.")),
    (
        "cluster.placement_group",
        Rule::Drop(
            "ParallelCluster had none for AWS Batch. For multi-node jobs, there is `environment.NAME.placement_group`.",
        ),
    ),
    ("cluster.placement", HEAD_NODE),
    ("cluster.compute_instance_type", Rule::Read),
    ("cluster.initial_queue_size", OTHER_SCHEDULERS),
    ("cluster.max_queue_size", OTHER_SCHEDULERS),
    ("cluster.maintain_initial_size", OTHER_SCHEDULERS),
    ("cluster.spot_price", OTHER_SCHEDULERS),
    ("cluster.min_vcpus", Rule::Read),
    ("cluster.desired_vcpus", Rule::Drop(sentences::DESIRED_VCPUS)),
    ("cluster.max_vcpus", Rule::Read),
    ("cluster.cluster_type", Rule::Read),
    ("cluster.spot_bid_percentage", Rule::Read),
    ("cluster.disable_hyperthreading", HEAD_NODE),
    (
        "cluster.queue_settings",
        Rule::Refuse("is for Slurm, and the scheduler is awsbatch", "remove it from the file"),
    ),
    ("cluster.disable_cluster_dns", OTHER_SCHEDULERS),
];

const HEAD_NODE: Rule =
    Rule::Drop("There is no head node: commands run on any machine with credentials of AWS.");
const DEVELOPMENT: Rule = Rule::Drop("It is for the development of ParallelCluster.");
const OTHER_SCHEDULERS: Rule = Rule::Drop("It is for other schedulers than AWS Batch.");
const FOR_SLURM: Rule = Rule::Drop("It is for Slurm.");
const SCRIPTS: Rule = Rule::Drop(
    "The script ran on the head node. Programs for jobs belong in their image; a script for the first boot of their \
     instances is `environment.NAME.user_data`.",
);

/// Keys of `[cluster]` that name other sections, and the kind of those.
const REFERENCES: [(&str, &str); 9] = [
    ("scaling_settings", "scaling"),
    ("vpc_settings", "vpc"),
    ("ebs_settings", "ebs"),
    ("efs_settings", "efs"),
    ("raid_settings", "raid"),
    ("fsx_settings", "fsx"),
    ("dcv_settings", "dcv"),
    ("cw_log_settings", "cw_log"),
    ("dashboard_settings", "dashboard"),
];
/// Keys whose value is a list with commas.
const LISTS: [&str; 2] = ["compute_instance_type", "additional_iam_policies"];
/// Sections that have no name behind their kind.
const WITHOUT_NAME: [&str; 3] = ["global", "aws", "aliases"];

/// Reads a file.
pub(super) fn import(file: &Source<'_>, text: &str, options: &ImportOptions) -> Result<Import, ImportError> {
    let ini = Ini::parse(text, Comments::Inline).map_err(|error| {
        file.syntax(SyntaxError { line: error.line, message: error.message.to_owned() }, "INI")
    })?;
    let cluster = the_cluster(file, &ini, options)?;
    match given(cluster, "scheduler") {
        Some((_, "awsbatch")) => {}
        Some((line, scheduler)) => return Err(file.other_scheduler(line, "scheduler", scheduler)),
        None => return Err(file.other_scheduler(cluster.line, "scheduler", "not given")),
    }
    let mut leaves = Leaves::default();
    let mut read: Vec<&str> = Vec::new();
    for section in &ini.sections {
        add_section(section, cluster, &ini, read.contains(&section.name.as_str()), &mut leaves);
        read.push(&section.name);
    }
    let mut converter = Converter::new(leaves, options);
    convert(&mut converter);
    Ok(converter.finish(file.name, "ParallelCluster 2"))
}

/// The `[cluster NAME]` that the options or `cluster_template` name.
fn the_cluster<'i>(
    file: &Source<'_>,
    ini: &'i Ini,
    options: &ImportOptions,
) -> Result<&'i IniSection, ImportError> {
    let template = ini.section("global").and_then(|global| given(global, "cluster_template"));
    let (line, name) = match (&options.cluster, template) {
        (Some(name), _) => (1, name.as_str()),
        (None, Some((line, name))) => (line, name),
        (None, None) => (1, "default"),
    };
    let clusters: Vec<(&str, &IniSection)> =
        ini.sections.iter().filter_map(|section| Some((label(section, "cluster")?, section))).collect();
    match clusters.iter().find(|(label, _)| *label == name) {
        Some((_, section)) => Ok(section),
        None => {
            let error = file.error(ImportErrorKind::NoCluster, line, format!("there is no [cluster {name}]"));
            let names: Vec<&str> = clusters.iter().map(|(label, _)| *label).collect();
            Err(match nearest_hint(name, &names) {
                Some(hint) => error.hint(hint),
                None => {
                    error.hint("the file has to be ParallelCluster's: INI of version 2, or YAML of version 3")
                }
            })
        }
    }
}

/// The kind and the name of a section: `cluster` and `default`.
fn kind_and_label(section: &IniSection) -> (&str, &str) {
    let (kind, label) = section.name.split_once(char::is_whitespace).unwrap_or((&section.name, ""));
    (kind, label.trim())
}

/// The name of a section of this kind.
fn label<'s>(section: &'s IniSection, kind: &str) -> Option<&'s str> {
    let (of, label) = kind_and_label(section);
    (of == kind).then_some(label)
}

/// The line and the value of a key, unless it is `NONE`.
fn given<'s>(section: &'s IniSection, key: &str) -> Option<(usize, &'s str)> {
    let key = section.keys.iter().find(|one| one.name == key)?;
    Some((key.line, key.value.as_str())).filter(|(_, value)| !value.is_empty() && *value != "NONE")
}

/// The names of sections in a value, without the blanks around them.
fn labels(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|label| !label.is_empty())
}

/// Adds the keys of a section that the cluster names, or what became of the whole section.
fn add_section(section: &IniSection, cluster: &IniSection, ini: &Ini, is_twice: bool, leaves: &mut Leaves) {
    let (kind, label) = kind_and_label(section);
    let whole = |outcome: Outcome, leaves: &mut Leaves| {
        let head = Leaf {
            key: format!("[{}]", section.name),
            pattern: String::new(),
            section: String::new(),
            line: section.line,
            value: LeafValue::Nothing,
        };
        leaves.push(head, Some(outcome));
    };
    let error = |message: &str, hint: String| Outcome::Error { message: message.to_owned(), hint };
    if !KEYS.has_under(kind) {
        let mut kinds: Vec<&str> = KEYS.all().filter_map(|key| key.split('.').next()).collect();
        kinds.dedup();
        let hint = nearest_hint(kind, &kinds).unwrap_or_default();
        return whole(error("is not a section of ParallelCluster", hint), leaves);
    }
    if is_twice {
        return whole(error("is there twice", "write all its keys into one".to_owned()), leaves);
    }
    let names_it = |(key, of): &(&str, &str)| {
        *of == kind && given(cluster, key).is_some_and(|(_, value)| labels(value).any(|one| one == label))
    };
    let dropped = |reason: String| Outcome::Dropped { reason };
    match kind {
        "cluster" if section != cluster => {
            let reason = format!("It is another cluster, which `--cluster-template {label}` imports.");
            return whole(dropped(reason), leaves);
        }
        "queue" | "compute_resource" => return whole(dropped("It is for Slurm.".to_owned()), leaves),
        "cluster" => {}
        _ if WITHOUT_NAME.contains(&kind) || REFERENCES.iter().any(names_it) => {}
        _ => return whole(dropped("The cluster does not name it.".to_owned()), leaves),
    }
    for (index, key) in section.keys.iter().enumerate() {
        let is_twice = section.keys.iter().take(index).any(|other| other.name == key.name);
        add_key(key, kind, label, ini, is_twice, leaves);
    }
}

fn add_key(key: &IniKey, kind: &str, label: &str, ini: &Ini, is_twice: bool, leaves: &mut Leaves) {
    let head = if label.is_empty() { kind.to_owned() } else { format!("{kind} {label}") };
    let value = match key.value.as_str() {
        "" | "NONE" => LeafValue::Nothing,
        text if LISTS.contains(&key.name.as_str()) => {
            LeafValue::Texts(labels(text).map(str::to_owned).collect())
        }
        text => LeafValue::Text(text.to_owned()),
    };
    let leaf = Leaf {
        key: format!("[{head}] {}", key.name),
        pattern: format!("{kind}.{}", key.name),
        section: label.to_owned(),
        line: key.line,
        value,
    };
    let reference = REFERENCES.iter().find(|(name, _)| kind == "cluster" && *name == key.name);
    let outcome = if !KEYS.has(&leaf.pattern) {
        Some(KEYS.unknown(&key.name, kind))
    } else if is_twice {
        Some(Outcome::Error { message: "is there twice".to_owned(), hint: "remove one".to_owned() })
    } else {
        match (KEYS.outcome(&leaf), reference) {
            (None, Some((_, of))) => Some(follow(&key.value, of, ini)),
            (outcome, _) => outcome,
        }
    };
    leaves.push(leaf, outcome);
}

/// The fate of a key that names sections.
fn follow(value: &str, kind: &str, ini: &Ini) -> Outcome {
    let exists = |of: &&str| ini.sections.iter().any(|section| label(section, kind) == Some(*of));
    match labels(value).find(|label| !exists(label)) {
        Some(missing) => Outcome::Error {
            message: format!("names [{kind} {missing}], which is not in the file"),
            hint: String::new(),
        },
        None => {
            let heads: Vec<String> = labels(value).map(|label| format!("[{kind} {label}]")).collect();
            Outcome::Mapped { to: format!("the keys of {}", heads.join(", ")), note: String::new() }
        }
    }
}

fn convert(to: &mut Converter<'_>) {
    let find = |to: &Converter<'_>, pattern: &str| to.leaves.find(pattern);
    let at = find(to, "aws.aws_region_name");
    to.region(at);
    let at = find(to, "cluster.master_instance_type");
    let architecture = to.head_node(at);
    let purchase = (find(to, "cluster.cluster_type"), find(to, "cluster.spot_bid_percentage"));
    to.purchase(purchase.0, purchase.1, false);
    match find(to, "cluster.compute_instance_type") {
        None => to.default_instance_types(architecture),
        at => to.instance_types(at, architecture),
    }
    let vcpus = (find(to, "cluster.min_vcpus"), find(to, "cluster.max_vcpus"));
    to.vcpus(vcpus.0, vcpus.1, "max_vcpus");
    network(to);
    volumes(to);
    file_systems(to);
    s3(to, "cluster.s3_read_resource", false);
    s3(to, "cluster.s3_read_write_resource", true);
    let at = find(to, "cluster.additional_iam_policies");
    to.policies(at);
    tags(to);
    let at = find(to, "cluster.proxy_server");
    to.proxy(at);
    let at = find(to, "cw_log.retention_days");
    to.retention(at);
    let at = find(to, "cluster.cluster_resource_bucket");
    to.bucket(at);
}

fn network(to: &mut Converter<'_>) {
    let has = |to: &Converter<'_>, pattern: &str| to.leaves.all().any(|(_, leaf)| leaf.pattern == pattern);
    if !has(to, "cluster.vpc_settings") {
        let line = to.leaves.line_of("cluster.");
        to.leaves.missing("vpc_settings", line, "it names the section of the VPC, such as [vpc public]");
    }
    let at = to.leaves.find("vpc.vpc_id");
    to.vpc(at);
    let head_node = to.leaves.find("vpc.master_subnet_id");
    match to.leaves.find("vpc.compute_subnet_id") {
        Some(at) => {
            to.subnets(Some(at));
            if let Some(at) = head_node {
                to.leaves.dropped(at, "There is no head node. The subnet of jobs is `compute_subnet_id`.");
            }
        }
        None => to.subnets(head_node),
    }
    let groups = (to.leaves.find("vpc.vpc_security_group_id"), to.leaves.find("vpc.additional_sg"));
    to.security_groups(groups.0, groups.1);
}

/// EBS volumes: of `ebs_settings`, of `raid_settings`, and the one that every cluster had.
fn volumes(to: &mut Converter<'_>) {
    let default = to.leaves.find("cluster.shared_dir");
    let volumes = to.leaves.sections("ebs.");
    let has_shared_dir = to.leaves.all().any(|(_, leaf)| leaf.pattern == "cluster.shared_dir");
    match volumes.as_slice() {
        [] if default.is_some() => {
            let name = to.shared_name("shared");
            to.ebs(&name, default);
        }
        [] if !has_shared_dir => {
            let text = "Every cluster of version 2 had /shared on an EBS volume of the head node, and this one has not. \
                        For the same with EFS: [shared.shared] with `path = \"/shared\"`.";
            to.note(None, text);
        }
        [] => {}
        [only] => {
            let own = to.leaves.find_in("ebs.shared_dir", Some(only));
            let name = to.shared_name(only);
            // ParallelCluster's converter takes the cluster's where there is one.
            to.ebs(&name, default.or(own));
            if let Some(at) = own {
                to.leaves.dropped(at, "`shared_dir` of the cluster counts.");
            }
            if default.or(own).is_none() {
                let line = to.leaves.line_of("ebs.");
                to.leaves.missing(&format!("[ebs {only}] shared_dir"), line, "");
            }
        }
        several => {
            for section in several {
                volume(to, "ebs", section);
            }
            if let Some(at) = default {
                to.leaves.dropped(at, "The sections of `ebs_settings` have their own.");
            }
        }
    }
    for section in to.leaves.sections("raid.") {
        volume(to, "raid", &section);
    }
}

fn volume(to: &mut Converter<'_>, kind: &str, section: &str) {
    let name = to.shared_name(section);
    match to.leaves.find_in(&format!("{kind}.shared_dir"), Some(section)) {
        Some(at) => to.ebs(&name, Some(at)),
        None => {
            let line = to.leaves.line_of(&format!("{kind}."));
            to.leaves.missing(&format!("[{kind} {section}] shared_dir"), line, "");
        }
    }
}

fn file_systems(to: &mut Converter<'_>) {
    for section in to.leaves.sections("efs.") {
        let find = |to: &Converter<'_>, key: &str| to.leaves.find_in(&format!("efs.{key}"), Some(&section));
        let name = to.shared_name(&section);
        let keys = EfsKeys {
            mount_dir: find(to, "shared_dir"),
            file_system: find(to, "efs_fs_id"),
            kms_key: find(to, "efs_kms_key_id"),
            throughput_mode: find(to, "throughput_mode"),
            throughput: find(to, "provisioned_throughput"),
            ..EfsKeys::default()
        };
        if keys.mount_dir.is_none() {
            let line = to.leaves.line_of("efs.");
            to.leaves.missing(&format!("[efs {section}] shared_dir"), line, "");
        }
        to.efs(&name, keys);
        let rest: Vec<At> = to
            .leaves
            .all()
            .filter(|(_, leaf)| leaf.pattern.starts_with("efs.") && leaf.section == section)
            .map(|(at, _)| at)
            .collect();
        rest.into_iter()
            .for_each(|at| to.leaves.dropped(at, "The file system that it belongs to is an error."));
    }
}

/// `*`, or an ARN such as `arn:aws:s3:::bucket/prefix*`.
fn s3(to: &mut Converter<'_>, pattern: &str, write: bool) {
    let at = to.leaves.find(pattern);
    let Some((at, text)) = to.leaves.text(at) else { return };
    let of_arn = text.split_once(":s3:::").filter(|(head, _)| head.starts_with("arn:")).map(|(_, rest)| rest);
    let rest = match (text.as_str(), of_arn) {
        ("*", _) | (_, Some("*")) => return to.s3_access(&[at], "*", None, write),
        (_, Some(rest)) => rest,
        (_, None) => {
            return to.leaves.error(at, format!("is `{text}`, and not such as arn:aws:s3:::my-bucket/*"), "");
        }
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or_else(|| match rest.strip_suffix('*') {
        Some(bucket) => (bucket, "*"),
        None => (rest, ""),
    });
    to.s3_access(&[at], bucket, Some(prefix), write);
}

/// An object of JSON.
fn tags(to: &mut Converter<'_>) {
    let at = to.leaves.find("cluster.tags");
    let Some((at, text)) = to.leaves.text(at) else { return };
    let Ok(serde_json::Value::Object(tags)) = serde_json::from_str::<serde_json::Value>(&text) else {
        return to.leaves.error(at, "is not an object of JSON, such as {\"project\": \"x\"}", "");
    };
    for (key, value) in &tags {
        let added = match value {
            serde_json::Value::String(value) => to.tag(key, value),
            other => to.tag(key, &other.to_string()),
        };
        if let Err(why) = added {
            return to.leaves.error(at, why, "");
        }
    }
    to.leaves.mapped(at, "tags", "");
}
