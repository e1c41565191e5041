//! ParallelCluster 3: a YAML file.

use super::convert::Converter;
use super::error::{ImportError, ImportErrorKind, Source};
use super::known_keys::{KnownKeys, Rule};
use super::leaves::{At, Leaf, LeafValue, Leaves};
use super::options::{Import, ImportOptions};
use super::report::Outcome;
use super::sentences;
use super::storage::EfsKeys;
use super::yaml::{self, Node, Value};

/// The keys, and what becomes of them. A rule for a section is that of all keys under it which have
/// none of their own.
pub(super) const KEYS: KnownKeys = KnownKeys::new(include_str!("keys/v3.txt"), RULES);

const RULES: &[(&str, Rule)] = &[
    (
        "LoginNodes",
        Rule::Drop("There are no login nodes: jobs are submitted from any machine with credentials of AWS."),
    ),
    ("Image.Os", Rule::Drop(sentences::SYSTEM)),
    ("Image.CustomAmi", Rule::Drop(sentences::AMI)),
    ("HeadNode", Rule::Drop("There is no head node: commands run on any machine with credentials of AWS.")),
    ("HeadNode.InstanceType", Rule::Read),
    (
        "HeadNode.Networking",
        Rule::Drop(
            "There is no head node. The subnets and security groups of jobs are those of AwsBatchQueues.",
        ),
    ),
    ("HeadNode.Networking.Proxy", Rule::Read),
    ("HeadNode.Ssh", Rule::Drop(sentences::KEY_PAIR)),
    (
        "HeadNode.LocalStorage",
        Rule::Drop(
            "There is no head node. The instances of jobs have `environment.NAME.root_volume`, 100 GiB where nothing \
             is said.",
        ),
    ),
    ("HeadNode.SharedStorageType", Rule::Drop("There is no head node whose folders could be shared.")),
    ("HeadNode.SharedStorageEfsSettings", Rule::Drop("There is no head node whose folders could be shared.")),
    (
        "HeadNode.CustomActions",
        Rule::Drop(
            "The scripts ran on the head node. Programs for jobs belong in their image; a script for the first boot of \
             their instances is `environment.NAME.user_data`.",
        ),
    ),
    (
        "HeadNode.Iam",
        Rule::Drop("It was the head node's role. A role for jobs that exists is `arn` under [job_role]."),
    ),
    ("HeadNode.Iam.AdditionalIamPolicies", Rule::Read),
    ("HeadNode.Iam.S3Access", Rule::Read),
    ("HeadNode.Image", Rule::Drop(sentences::AMI)),
    ("Scheduling.Scheduler", Rule::Drop("A cluster is always one of AWS Batch.")),
    ("Scheduling.ScalingStrategy", Rule::Drop("It is for Slurm. Batch starts what its queue needs.")),
    (
        "Scheduling.SlurmSettings",
        Rule::Refuse("is for Slurm, and the scheduler is awsbatch", "remove it from the file"),
    ),
    (
        "Scheduling.SlurmQueues",
        Rule::Refuse("is for Slurm, and the scheduler is awsbatch", "remove it from the file"),
    ),
    ("Scheduling.AwsBatchSettings", Rule::Drop("It has no keys.")),
    ("Scheduling.AwsBatchQueues", Rule::Read),
    (
        "Scheduling.AwsBatchQueues[].Networking.AssignPublicIp",
        Rule::Drop("The subnet decides it, as it did before: ParallelCluster only compared the two."),
    ),
    ("Scheduling.AwsBatchQueues[].ComputeResources[].DesiredvCpus", Rule::Drop(sentences::DESIRED_VCPUS)),
    ("SharedStorage", Rule::Read),
    ("SharedStorage[].EbsSettings", Rule::Drop(sentences::EBS_VOLUME)),
    ("SharedStorage[].EbsSettings.SnapshotId", Rule::Drop(sentences::COPY_SNAPSHOT)),
    ("SharedStorage[].EbsSettings.VolumeId", Rule::Drop(sentences::COPY_VOLUME)),
    ("SharedStorage[].EfsSettings.Encrypted", Rule::Drop("A new file system is always encrypted.")),
    ("SharedStorage[].EfsSettings.PerformanceMode", Rule::Drop(sentences::PERFORMANCE_MODE)),
    (
        "SharedStorage[].EfsSettings.EncryptionInTransit",
        Rule::Drop("The connection to a file system of EFS is always encrypted."),
    ),
    ("Monitoring", Rule::Drop(sentences::DASHBOARD)),
    ("Monitoring.Logs.CloudWatch.Enabled", Rule::Drop(sentences::HEAD_NODE_LOGS)),
    ("Monitoring.Logs.CloudWatch.RetentionInDays", Rule::Read),
    ("Monitoring.Logs.CloudWatch.DeletionPolicy", Rule::Read),
    (
        "AdditionalPackages",
        Rule::Drop(
            "It was for the head node, and ParallelCluster refused it for AWS Batch: install it in the image.",
        ),
    ),
    ("Tags", Rule::Read),
    ("Iam.Roles", Rule::Drop("The cluster has no Lambda functions.")),
    ("Iam.PermissionsBoundary", Rule::Read),
    ("Iam.ResourcePrefix", Rule::Read),
    (
        "DirectoryService",
        Rule::Drop(
            "It was for logging in, and ParallelCluster refused it for AWS Batch. Users are those of IAM, and the \
             cluster makes a policy for them.",
        ),
    ),
    ("Region", Rule::Read),
    ("Imds", Rule::Drop("Instances take version 2 only, which was the default.")),
    ("CustomS3Bucket", Rule::Read),
    ("AdditionalResources", Rule::Drop(sentences::OWN_STACK)),
    ("DevSettings", Rule::Drop("It is for the development of ParallelCluster.")),
    ("DeploymentSettings", Rule::Drop("The cluster has neither Lambda functions nor a head node.")),
];

/// The keys of the one queue and of its compute resource.
const QUEUE: &str = "Scheduling.AwsBatchQueues[]";
const RESOURCE: &str = "Scheduling.AwsBatchQueues[].ComputeResources[]";

/// Reads a file.
pub(super) fn import(file: &Source<'_>, text: &str, options: &ImportOptions) -> Result<Import, ImportError> {
    let root = yaml::parse(text).map_err(|error| file.syntax(error, "YAML"))?;
    check_scheduler(file, &root)?;
    let mut leaves = Leaves::default();
    walk(&root, &Place::default(), &mut leaves);
    let mut converter = Converter::new(leaves, options);
    convert(&mut converter);
    Ok(converter.finish(file.name, "ParallelCluster 3"))
}

/// Refuses files that are something else, before their keys make many errors.
fn check_scheduler(file: &Source<'_>, root: &Node) -> Result<(), ImportError> {
    let no_cluster = |line| {
        file.error(
            ImportErrorKind::NoCluster,
            line,
            "this is not a cluster: it has no `Scheduling.Scheduler`",
        )
        .hint("the file has to be ParallelCluster's: INI of version 2, or YAML of version 3")
    };
    let Some((_, scheduling)) = entry(root, "Scheduling") else { return Err(no_cluster(root.line)) };
    let Some((line, scheduler)) = entry(scheduling, "Scheduler") else {
        return Err(no_cluster(scheduling.line));
    };
    match &scheduler.value {
        Value::Scalar(text) if text == "awsbatch" => Ok(()),
        Value::Scalar(text) => Err(file.other_scheduler(line, "Scheduling.Scheduler", text)),
        Value::Null | Value::List(_) | Value::Map(_) => Err(no_cluster(line)),
    }
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<(usize, &'n Node)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(key, node)| (key.line, node))
}

/// Where the walk through the file is.
#[derive(Default, Clone)]
struct Place {
    key: String,
    pattern: String,
    /// The indices of the lists: `0/1`.
    section: String,
}

impl Place {
    fn under(&self, name: &str) -> Self {
        let join = |of: &str| if of.is_empty() { name.to_owned() } else { format!("{of}.{name}") };
        Self { key: join(&self.key), pattern: join(&self.pattern), section: self.section.clone() }
    }

    fn item(&self, index: usize) -> Self {
        let section =
            if self.section.is_empty() { index.to_string() } else { format!("{}/{index}", self.section) };
        Self { key: format!("{}[{index}]", self.key), pattern: format!("{}[]", self.pattern), section }
    }

    fn leaf(self, line: usize, value: LeafValue) -> Leaf {
        Leaf { key: self.key, pattern: self.pattern, section: self.section, line, value }
    }
}

/// Adds all keys under a node.
fn walk(node: &Node, place: &Place, leaves: &mut Leaves) {
    let wrong = |place: &Place, line, message: &str, leaves: &mut Leaves| {
        let outcome = Outcome::Error { message: message.to_owned(), hint: String::new() };
        leaves.push(place.clone().leaf(line, LeafValue::Nothing), Some(outcome));
    };
    let Value::Map(entries) = &node.value else {
        return wrong(place, node.line, "has to be a section with keys", leaves);
    };
    for (key, node) in entries {
        let below = place.under(&key.name);
        let is_list = KEYS.has_under(&format!("{}[]", below.pattern));
        if KEYS.has(&below.pattern) || KEYS.has(&format!("{}.*", place.pattern)) {
            let mut leaf = below.leaf(key.line, value(node));
            if !KEYS.has(&leaf.pattern) {
                leaf.pattern = format!("{}.*", place.pattern);
            }
            let outcome = KEYS.outcome(&leaf);
            leaves.push(leaf, outcome);
        } else if !KEYS.has_under(&below.pattern) {
            let outcome = KEYS.unknown(&key.name, &place.pattern);
            leaves.push(below.leaf(key.line, LeafValue::Nothing), Some(outcome));
        } else if matches!(node.value, Value::Null) {
            let reason = "It has no value.".to_owned();
            leaves.push(below.leaf(key.line, LeafValue::Nothing), Some(Outcome::Dropped { reason }));
        } else if !is_list {
            walk(node, &below, leaves);
        } else if let Value::List(items) = &node.value {
            for (index, item) in items.iter().enumerate() {
                walk(item, &below.item(index), leaves);
            }
        } else {
            wrong(&below, key.line, "has to be a list of sections, each of which begins with `- `", leaves);
        }
    }
}

fn value(node: &Node) -> LeafValue {
    let text = |node: &Node| match &node.value {
        Value::Scalar(text) => Some(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    };
    match &node.value {
        Value::Null => LeafValue::Nothing,
        Value::Scalar(text) => LeafValue::Text(text.clone()),
        Value::List(items) => {
            items.iter().map(text).collect::<Option<_>>().map_or(LeafValue::Sections, LeafValue::Texts)
        }
        Value::Map(_) => LeafValue::Sections,
    }
}

fn convert(to: &mut Converter<'_>) {
    only_one(to, QUEUE, "ParallelCluster has one queue, and this is another");
    only_one(to, RESOURCE, "ParallelCluster has one compute resource in a queue, and this is another");
    let find = |to: &Converter<'_>, pattern: &str| to.leaves.find(pattern);
    let at = find(to, "Region");
    to.region(at);
    let at = find(to, "HeadNode.InstanceType");
    let architecture = to.head_node(at);

    let of = |key: &str| (format!("{QUEUE}.{key}"), format!("{RESOURCE}.{key}"));
    let (queue_name, resource_name) = of("Name");
    let names = (find(to, &queue_name), find(to, &resource_name));
    to.names(names.0, names.1);
    let purchase = (find(to, &of("CapacityType").0), find(to, &of("SpotBidPercentage").1));
    to.purchase(purchase.0, purchase.1, true);
    require(to, &of("InstanceTypes").1, RESOURCE, "`optimal` is Batch's choice");
    let at = find(to, &of("InstanceTypes").1);
    to.instance_types(at, architecture);
    let vcpus = (find(to, &of("MinvCpus").1), find(to, &of("MaxvCpus").1));
    to.vcpus(vcpus.0, vcpus.1, "MaxvCpus");
    require(to, &of("Networking.SubnetIds").0, QUEUE, "name the subnet of jobs");
    let at = find(to, &of("Networking.SubnetIds").0);
    to.subnets(at);
    let groups = (
        find(to, &of("Networking.SecurityGroups").0),
        find(to, &of("Networking.AdditionalSecurityGroups").0),
    );
    to.security_groups(groups.0, groups.1);

    for section in sections(to, "SharedStorage[].") {
        storage(to, &section);
    }
    for section in sections(to, "HeadNode.Iam.S3Access[].") {
        s3_access(to, &section);
    }
    for section in sections(to, "HeadNode.Iam.AdditionalIamPolicies[].") {
        let at = to.leaves.find_in("HeadNode.Iam.AdditionalIamPolicies[].Policy", Some(&section));
        to.policies(at);
    }
    for section in sections(to, "Tags[].") {
        tag(to, &section);
    }
    let at = find(to, "HeadNode.Networking.Proxy.HttpProxyAddress");
    to.proxy(at);
    let at = find(to, "Iam.PermissionsBoundary");
    to.boundary(at);
    let at = find(to, "Iam.ResourcePrefix");
    to.resource_prefix(at);
    let at = find(to, "Monitoring.Logs.CloudWatch.RetentionInDays");
    to.retention(at);
    let at = find(to, "Monitoring.Logs.CloudWatch.DeletionPolicy");
    to.log_deletion(at);
    let at = find(to, "CustomS3Bucket");
    to.bucket(at);
}

/// The sections of a list, without those of lists in it.
fn sections(to: &Converter<'_>, prefix: &str) -> Vec<String> {
    let sections = to.leaves.sections(prefix);
    sections.into_iter().filter(|section| !section.contains('/')).collect()
}

/// Makes the keys of all sections of a list but the first one errors.
fn only_one(to: &mut Converter<'_>, list: &str, message: &str) {
    let prefix = format!("{list}.");
    // Of a list in a list, only the last index counts.
    let depth = list.matches("[]").count();
    let section = |leaf: &Leaf| leaf.section.split('/').take(depth).collect::<Vec<_>>().join("/");
    let inside = |leaf: &&Leaf| leaf.pattern.starts_with(&prefix);
    let Some(first) = to.leaves.all().map(|(_, leaf)| leaf).find(inside).map(section) else { return };
    let others: Vec<At> = to
        .leaves
        .all()
        .filter(|(_, leaf)| inside(leaf) && section(leaf) != first)
        .map(|(at, _)| at)
        .collect();
    others.into_iter().for_each(|at| to.leaves.error(at, message, "make a configuration of each"));
}

/// Says that a key is missing, unless it is there.
fn require(to: &mut Converter<'_>, pattern: &str, section: &str, hint: &str) {
    if !to.leaves.all().any(|(_, leaf)| leaf.pattern == pattern) {
        let line = to.leaves.line_of(&format!("{section}."));
        to.leaves.missing(&pattern.replace("[]", "[0]"), line, hint);
    }
}

/// How a file system of FSx can be shared.
pub(super) const FSX: &str = "remove it; `source` of a [shared.NAME] mounts a file system that exists";

fn storage(to: &mut Converter<'_>, section: &str) {
    let inside = |leaf: &Leaf| leaf.pattern.starts_with("SharedStorage[].") && leaf.section == section;
    let find =
        |to: &Converter<'_>, key: &str| to.leaves.find_in(&format!("SharedStorage[].{key}"), Some(section));
    let mount_dir = find(to, "MountDir");
    let kind_at = find(to, "StorageType");
    let kind = to.leaves.text(kind_at).map(|(_, text)| text).unwrap_or_default();
    let named_at = find(to, "Name");
    let named = to.leaves.text(named_at).map(|(_, text)| text);
    let name = to.shared_name(named.as_deref().unwrap_or("shared"));
    let line = to.leaves.all().find(|(_, leaf)| inside(leaf)).map_or(1, |(_, leaf)| leaf.line);
    for (key, at) in [("MountDir", mount_dir), ("StorageType", kind_at)] {
        let is_there =
            |(_, leaf): (At, &Leaf)| inside(leaf) && leaf.pattern == format!("SharedStorage[].{key}");
        if at.is_none() && !to.leaves.all().any(is_there) {
            to.leaves.missing(&format!("SharedStorage[{section}].{key}"), line, "");
        }
    }
    match kind.as_str() {
        "Efs" => to.efs(
            &name,
            EfsKeys {
                mount_dir,
                file_system: find(to, "EfsSettings.FileSystemId"),
                access_point: find(to, "EfsSettings.AccessPointId"),
                iam: find(to, "EfsSettings.IamAuthorization"),
                kms_key: find(to, "EfsSettings.KmsKeyId"),
                throughput_mode: find(to, "EfsSettings.ThroughputMode"),
                throughput: find(to, "EfsSettings.ProvisionedThroughput"),
                deletion: find(to, "EfsSettings.DeletionPolicy"),
            },
        ),
        "Ebs" => to.ebs(&name, mount_dir),
        "FsxLustre" | "FsxOpenZfs" | "FsxOntap" | "FileCache" => {
            if let Some(at) = kind_at {
                let message = format!("is `{kind}`, which ParallelCluster refused for AWS Batch as well");
                to.leaves.error(at, message, FSX);
            }
        }
        _ => {
            if let Some(at) = kind_at {
                to.leaves.error(at, format!("is `{kind}`: Efs or Ebs"), "");
            }
        }
    }
    // A key that the kind has not read belongs to another kind, or is an error.
    let is_good = to.config.shared.iter().any(|shared| shared.name == name);
    for at in [kind_at, named_at].into_iter().flatten().filter(|_| is_good) {
        to.leaves.mapped(at, format!("shared.{name}"), "");
    }
    // Lists in a storage are of FSx alone.
    let lists = format!("{section}/");
    let belongs = |leaf: &Leaf| leaf.section == section || leaf.section.starts_with(&lists);
    let rest: Vec<At> = to
        .leaves
        .all()
        .filter(|(_, leaf)| leaf.pattern.starts_with("SharedStorage[].") && belongs(leaf))
        .map(|(at, _)| at)
        .collect();
    for at in rest {
        if is_good {
            to.leaves.error(at, format!("is not for the storage type `{kind}`"), "remove it from the file");
        } else {
            to.leaves.dropped(at, "The storage that it belongs to is an error.");
        }
    }
}

fn s3_access(to: &mut Converter<'_>, section: &str) {
    let find = |to: &Converter<'_>, key: &str| {
        to.leaves.find_in(&format!("HeadNode.Iam.S3Access[].{key}"), Some(section))
    };
    let (bucket, prefix, write) =
        (find(to, "BucketName"), find(to, "KeyName"), find(to, "EnableWriteAccess"));
    let all: Vec<At> = [bucket, prefix, write].into_iter().flatten().collect();
    let bucket = to.leaves.text(bucket).map(|(_, text)| text);
    let prefix = to.leaves.text(prefix).map(|(_, text)| text);
    let write = to.leaves.boolean(write).is_some_and(|(_, write)| write);
    match bucket {
        Some(bucket) => to.s3_access(&all, &bucket, prefix.as_deref(), write),
        None => {
            all.into_iter().for_each(|at| to.leaves.error(at, "stands in an entry without `BucketName`", ""))
        }
    }
}

fn tag(to: &mut Converter<'_>, section: &str) {
    let (key_at, value_at) =
        (to.leaves.find_in("Tags[].Key", Some(section)), to.leaves.find_in("Tags[].Value", Some(section)));
    let all: Vec<At> = [key_at, value_at].into_iter().flatten().collect();
    let key = to.leaves.text(key_at);
    let value = to.leaves.text(value_at);
    match (key, value) {
        (Some((_, key)), Some((_, value))) => match to.tag(&key, &value) {
            Ok(()) => all.into_iter().for_each(|at| to.leaves.mapped(at, "tags", "")),
            Err(why) => all.into_iter().for_each(|at| to.leaves.error(at, why.clone(), "")),
        },
        _ => all
            .into_iter()
            .for_each(|at| to.leaves.error(at, "stands in a tag that has not both Key and Value", "")),
    }
}
