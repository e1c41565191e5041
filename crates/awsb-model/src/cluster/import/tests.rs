//! Whole files, all keys, and any text.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::known_keys::{KnownKeys, Rule};
use super::*;
use crate::cluster::ClusterConfig;
use crate::cluster::validate::validate;

fn imported(name: &str, text: &str) -> Import {
    import(name, text, &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Checks what holds for every import, and shows it.
fn shown(name: &str, text: &str) -> String {
    let import = imported(name, text);
    assert_same(&import);
    format!("{}\n----- the report\n{}", import.toml, import.report)
}

fn assert_same(import: &Import) {
    assert_eq!(import.report.problems, validate(&import.config));
    let reads_back = ClusterConfig::from_toml("lab.toml", &import.toml);
    match reads_back {
        Ok(config) => assert_eq!(config, import.config, "{}", import.toml),
        Err(error) => assert!(!import.report.is_clean(), "{error}: {}", import.toml),
    }
}

macro_rules! example {
    ($test:ident, $file:literal) => {
        #[test]
        fn $test() {
            insta::assert_snapshot!(shown($file, include_str!(concat!("examples/", $file))));
        }
    };
}

example!(documented_v2, "documented-v2.ini");
example!(full_v2, "full-v2.ini");
example!(wrong_v2, "wrong-v2.ini");
example!(simple_v3, "simple-v3.yaml");
example!(networking_v3, "networking-v3.yaml");
example!(full_v3, "full-v3.yaml");
example!(wrong_v3, "wrong-v3.yaml");

#[test]
fn examples_of_working_clusters_are_clean() {
    for (name, text) in [
        ("documented-v2.ini", include_str!("examples/documented-v2.ini")),
        ("full-v2.ini", include_str!("examples/full-v2.ini")),
        ("simple-v3.yaml", include_str!("examples/simple-v3.yaml")),
        ("networking-v3.yaml", include_str!("examples/networking-v3.yaml")),
        ("full-v3.yaml", include_str!("examples/full-v3.yaml")),
    ] {
        let report = imported(name, text).report;
        assert!(report.is_clean(), "{name}: {report}");
    }
}

#[test]
fn both_versions_make_the_same_cluster() {
    let old = "[global]\ncluster_template = x\n[vpc p]\nvpc_id = vpc-0a1b2c3d\nmaster_subnet_id = subnet-0a1b2c3d\n\
        [cluster x]\nscheduler = awsbatch\nvpc_settings = p\nmax_vcpus = 8\ncluster_type = spot\ncompute_instance_type = c5\n\
        shared_dir = NONE\n";
    let new = "Image: {Os: alinux2}\nHeadNode: {InstanceType: t3.micro}\nScheduling:\n  Scheduler: awsbatch\n  \
        AwsBatchQueues:\n  - Name: spot\n    CapacityType: SPOT\n    Networking: {SubnetIds: [subnet-0a1b2c3d]}\n    \
        ComputeResources:\n    - {Name: spot, InstanceTypes: [c5], MaxvCpus: 8}\n";
    let (mut old, new) = (imported("x.ini", old), imported("x.yaml", new));
    old.config.network = new.config.network.clone();
    assert_eq!(old.config, new.config);
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let refused = |name: &str, text: &str| {
        let error = import(name, text, &ImportOptions::default()).map(|import| import.toml).unwrap_err();
        format!("{:?}: {error}\n  {}", error.kind, error.hints.join("\n  "))
    };
    let texts = [
        refused("a.yaml", "Image: {Os: alinux2}\nScheduling:\n  Scheduler: slurm\n  SlurmQueues: []\n"),
        refused("b.yaml", "Scheduling:\n  Scheduler: plugin\n"),
        refused("c.yaml", "Resources:\n  Queue:\n    Type: AWS::Batch::JobQueue\n"),
        refused("d.yaml", "Scheduling:\n  - x\n Scheduler: awsbatch\n"),
        refused("e.yaml", ""),
        refused("f.ini", "[global]\ncluster_template = hpc\n[cluster default]\nscheduler = slurm\n"),
        refused("g.ini", "[cluster default]\nscheduler = slurm\n"),
        refused("h.ini", "[cluster default]\nkey_name = x\n"),
        refused("i.ini", "[default]\nregion = eu-west-1\n"),
        refused("j.ini", "[cluster default]\nhello\n"),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn options_choose_the_cluster_and_the_policies() {
    let text = include_str!("examples/full-v2.ini").replace("scheduler = slurm", "scheduler = awsbatch");
    let options = ImportOptions { cluster: Some("test".to_owned()), job_policies: false };
    let report = import("x.ini", &text, &options).unwrap().report.to_string();
    assert!(report.contains("[cluster production]: It is another cluster"), "{report}");
    let options = ImportOptions { cluster: None, job_policies: true };
    let toml = import("x.ini", &text, &options).unwrap().toml;
    assert!(
        toml.contains("policies = [\"arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore\", "),
        "{toml}"
    );
}

#[test]
fn secrets_are_not_repeated() {
    let text = include_str!("examples/full-v2.ini").replace("10.0.0.9", "user:hunter2@10.0.0.9");
    let import = imported("x.ini", &text);
    let all = format!("{}{}", import.toml, import.report);
    assert!(!all.contains("AKIAEXAMPLE") && !all.contains("hunter2"), "{all}");
}

/// A value of a key that is good for it.
fn sample(pattern: &str) -> Value {
    let name = pattern.rsplit(['.', ']']).next().unwrap_or(pattern);
    match (pattern, name) {
        ("HeadNode.InstanceType" | "cluster.master_instance_type", _) => json!("t3.micro"),
        (_, "InstanceTypes" | "compute_instance_type") => json!(["c5.large"]),
        (_, "SubnetIds") => json!(["subnet-0a1b2c3d"]),
        (_, "SecurityGroups" | "AdditionalSecurityGroups") => json!(["sg-0a1b2c3d"]),
        (_, "vpc_security_group_id" | "additional_sg") => json!("sg-0a1b2c3d"),
        (_, "master_subnet_id" | "compute_subnet_id") => json!("subnet-0a1b2c3d"),
        (_, "vpc_id") => json!("vpc-0a1b2c3d"),
        (_, "CapacityType" | "cluster_type") => json!("SPOT"),
        (_, "MaxvCpus" | "max_vcpus") => json!(64),
        (_, "MinvCpus" | "min_vcpus" | "SpotBidPercentage" | "spot_bid_percentage") => json!(2),
        (_, "ProvisionedThroughput" | "provisioned_throughput") => json!(8),
        (_, "ThroughputMode" | "throughput_mode") => json!("bursting"),
        (_, "RetentionInDays" | "retention_days") => json!(7),
        (_, "DeletionPolicy") => json!("Delete"),
        (_, "MountDir" | "shared_dir") => json!("/data"),
        (_, "FileSystemId" | "efs_fs_id") => json!("fs-0a1b2c3d"),
        (_, "AccessPointId") => json!("fsap-0a1b2c3d"),
        (_, "IamAuthorization" | "EnableWriteAccess") => json!(true),
        (_, "KmsKeyId" | "efs_kms_key_id") => json!("arn:aws:kms:eu-west-1:111122223333:key/x"),
        (_, "Policy" | "PermissionsBoundary" | "additional_iam_policies") => {
            json!("arn:aws:iam::aws:policy/X")
        }
        (_, "ResourcePrefix") => json!("/lab/"),
        (_, "BucketName" | "CustomS3Bucket" | "cluster_resource_bucket") => json!("a-bucket"),
        (_, "KeyName") => json!("*"),
        (_, "s3_read_resource" | "s3_read_write_resource") => json!("arn:aws:s3:::a-bucket/*"),
        (_, "tags") => json!("{\"a\": \"b\"}"),
        ("Region" | "aws.aws_region_name", _) => json!("eu-west-1"),
        _ => json!("x"),
    }
}

/// Sets a key of a document, in the first section of each list.
fn set(document: &mut Value, pattern: &str, value: Value) {
    let mut place = document;
    for name in pattern.split('.') {
        let name = if name == "*" { "Anything" } else { name };
        let map = match place {
            Value::Object(map) => map,
            other => {
                *other = Value::Object(Map::new());
                other.as_object_mut().unwrap()
            }
        };
        place = match name.strip_suffix("[]") {
            None => map.entry(name).or_insert(Value::Null),
            Some(name) => &mut map.entry(name).or_insert(json!([{}]))[0],
        };
    }
    *place = value;
}

/// The least file of version 3 that can have a key. JSON is YAML.
fn base_v3(pattern: &str) -> Value {
    let mut document = json!({
        "Scheduling": { "Scheduler": "awsbatch", "AwsBatchQueues": [{
            "Name": "queue", "Networking": { "SubnetIds": ["subnet-0a1b2c3d"] },
            "ComputeResources": [{ "Name": "resource", "InstanceTypes": ["c5"], "MaxvCpus": 8 }],
        }] },
    });
    let queue = "Scheduling.AwsBatchQueues[]";
    if pattern.ends_with("SpotBidPercentage") {
        set(&mut document, &format!("{queue}.CapacityType"), json!("SPOT"));
    }
    if pattern.starts_with("SharedStorage[]") {
        let kind = ["Ebs", "FsxLustre", "FsxOpenZfs", "FsxOntap", "FileCache"]
            .into_iter()
            .find(|kind| pattern.contains(&format!(".{kind}Settings")))
            .unwrap_or("Efs");
        for (key, value) in [("StorageType", kind), ("MountDir", "/data"), ("Name", "data")] {
            set(&mut document, &format!("SharedStorage[].{key}"), json!(value));
        }
    }
    if pattern.ends_with("AccessPointId") || pattern.ends_with("IamAuthorization") {
        set(&mut document, "SharedStorage[].EfsSettings.FileSystemId", json!("fs-0a1b2c3d"));
    }
    if pattern.ends_with("ProvisionedThroughput") {
        set(&mut document, "SharedStorage[].EfsSettings.ThroughputMode", json!("provisioned"));
    }
    if pattern.contains("S3Access") {
        set(&mut document, "HeadNode.Iam.S3Access[].BucketName", json!("a-bucket"));
    }
    if pattern.starts_with("Tags[]") {
        set(&mut document, "Tags[].Key", json!("x"));
        set(&mut document, "Tags[].Value", json!("x"));
    }
    document
}

/// The kind of storage and the scheduler are what the base says.
fn is_of_base(pattern: &str) -> bool {
    ["SharedStorage[].StorageType", "Scheduling.Scheduler"].contains(&pattern)
}

fn line_of(pattern: &str, report: &Report, key: &str) -> String {
    let found: Vec<&Entry> = report.entries.iter().filter(|entry| entry.key == key).collect();
    assert_eq!(found.len(), 1, "{pattern}: {report}");
    match &found[0].outcome {
        Outcome::Mapped { to, .. } => format!("{pattern}: mapped to {to}"),
        Outcome::Dropped { reason } => format!("{pattern}: dropped. {reason}"),
        Outcome::Error { message, .. } => format!("{pattern}: error: {message}"),
    }
}

#[test]
fn every_key_of_version_3_is_mapped_dropped_or_an_error() {
    let lines = version_3::KEYS.all().map(|pattern| {
        let mut document = base_v3(pattern);
        if !is_of_base(pattern) {
            set(&mut document, pattern, sample(pattern));
        }
        let import = imported("all.yaml", &document.to_string());
        assert_same(&import);
        line_of(pattern, &import.report, &pattern.replace("[]", "[0]").replace('*', "Anything"))
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

/// The least file of version 2, as sections and their keys.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn base_v2(pattern: &str) -> Sections {
    let section =
        |keys: &[(&str, &str)]| keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut sections = Sections::from([
        ("cluster x".to_owned(), section(&[("scheduler", "awsbatch"), ("vpc_settings", "x")])),
        ("vpc x".to_owned(), section(&[("vpc_id", "vpc-0a1b2c3d"), ("master_subnet_id", "subnet-0a1b2c3d")])),
        ("global".to_owned(), section(&[("cluster_template", "x")])),
    ]);
    let kind = pattern.split('.').next().unwrap();
    if !["cluster", "vpc", "global", "aws", "aliases"].contains(&kind) {
        let keys = if ["ebs", "raid", "efs"].contains(&kind) {
            section(&[("shared_dir", "/data")])
        } else {
            section(&[])
        };
        sections.insert(format!("{kind} x"), keys);
        sections.get_mut("cluster x").unwrap().insert(format!("{kind}_settings"), "x".to_owned());
    }
    if pattern.ends_with("spot_bid_percentage") {
        sections.get_mut("cluster x").unwrap().insert("cluster_type".to_owned(), "spot".to_owned());
    }
    if pattern.ends_with("provisioned_throughput") {
        sections.get_mut("efs x").unwrap().insert("throughput_mode".to_owned(), "provisioned".to_owned());
    }
    sections
}

fn ini_text(sections: &Sections) -> String {
    let of = |(head, keys): (&String, &BTreeMap<String, String>)| {
        let lines: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[{head}]\n{}", lines.concat())
    };
    sections.iter().map(of).collect()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[test]
fn every_key_of_version_2_is_mapped_dropped_or_an_error() {
    let lines = version_2::KEYS.all().map(|pattern| {
        let (kind, name) = pattern.split_once('.').unwrap();
        let head =
            if ["global", "aws", "aliases"].contains(&kind) { kind.to_owned() } else { format!("{kind} x") };
        let mut sections = base_v2(pattern);
        if name.ends_with("_settings") && kind == "cluster" {
            let of = name.trim_end_matches("_settings");
            sections.entry(format!("{of} x")).or_default();
            sections.get_mut("cluster x").unwrap().insert(name.to_owned(), "x".to_owned());
        } else if pattern != "cluster.scheduler" {
            sections.entry(head.clone()).or_default().insert(name.to_owned(), text_of(&sample(pattern)));
        }
        let import = imported("all.ini", &ini_text(&sections));
        assert_same(&import);
        // The sections of Slurm are not read key by key.
        let key = if ["queue", "compute_resource"].contains(&kind) {
            format!("[{head}]")
        } else {
            format!("[{head}] {name}")
        };
        line_of(pattern, &import.report, &key)
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn rules_are_about_keys_that_exist() {
    for keys in [version_3::KEYS, version_2::KEYS] {
        for pattern in keys.all() {
            assert!(keys.rule(pattern).is_some(), "{pattern} has no rule");
        }
        for (of, _) in keys.rules() {
            assert!(keys.has(of) || keys.has_under(of), "{of} is not a key");
        }
    }
}

/// Any keys with good, odd and wrong values.
fn keys_and_values(keys: &'static KnownKeys) -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let all: Vec<&str> =
        keys.all().filter(|key| *key != "Scheduling.Scheduler" && *key != "cluster.scheduler").collect();
    // Those that are read count more.
    let read: Vec<&str> = all.iter().copied().filter(|key| keys.rule(key) == Some(Rule::Read)).collect();
    let key = prop_oneof![1 => prop::sample::select(all), 3 => prop::sample::select(read)];
    let value = prop_oneof![
        4 => Just(None),
        1 => "[ -~]{0,12}".prop_map(|text| Some(json!(text))),
        1 => (0u32..300).prop_map(|n| Some(json!(n))),
        1 => Just(Some(json!(["x", "subnet-0a1b2c3d"]))),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!({ "x": 1 }))),
    ];
    let pair = (key, value).prop_map(|(key, value)| (key, value.unwrap_or_else(|| sample(key))));
    prop::collection::vec(pair, 0..12)
}

static V3: KnownKeys = version_3::KEYS;
static V2: KnownKeys = version_2::KEYS;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_keys_of_version_3_become_a_configuration(pairs in keys_and_values(&V3)) {
        let mut document = base_v3("SharedStorage[]");
        for (key, value) in &pairs {
            set(&mut document, key, value.clone());
        }
        let import = imported("any.yaml", &document.to_string());
        assert_same(&import);
        let text = import.report.to_string();
        prop_assert!(!text.contains("fault of the import"), "{text}\n{document}");
        for (key, _) in pairs {
            let key = key.replace("[]", "[0]").replace('*', "Anything");
            // A key may have become another's value, or stand under one.
            let is_there = import.report.entries.iter().any(|entry| {
                entry.key == key || entry.key.starts_with(&key) || key.starts_with(&entry.key)
            });
            prop_assert!(is_there, "{key}: {text}\n{document}");
        }
    }

    #[test]
    fn any_keys_of_version_2_become_a_configuration(pairs in keys_and_values(&V2)) {
        let mut sections = base_v2("efs.");
        for (key, value) in &pairs {
            let (kind, name) = key.split_once('.').unwrap();
            let head = if ["global", "aws", "aliases"].contains(&kind) { kind.to_owned() } else { format!("{kind} x") };
            sections.entry(head).or_default().insert(name.to_owned(), text_of(value));
        }
        sections.get_mut("global").unwrap().insert("cluster_template".to_owned(), "x".to_owned());
        let import = imported("any.ini", &ini_text(&sections));
        assert_same(&import);
        let text = import.report.to_string();
        prop_assert!(!text.contains("fault of the import"), "{text}");
        // Each key is in the report once, or its section is.
        for (head, keys) in &sections {
            let whole = import.report.entries.iter().any(|entry| entry.key == format!("[{head}]"));
            for name in keys.keys().filter(|_| !whole) {
                let key = format!("[{head}] {name}");
                let count = import.report.entries.iter().filter(|entry| entry.key == key).count();
                prop_assert!(count == 1 || count == 2 && name == "shared_dir", "{key} is there {count} times: {text}");
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}|(Scheduling|Scheduler|awsbatch|[:\\[\\]{}&*#<\\n -]){0,40}|(\\[cluster default\\]\n)([a-z_ =\\[\\],\n]{0,80})") {
        for text in [text.clone(), format!("Scheduling:\n  Scheduler: awsbatch\n{text}"), format!("[cluster default]\nscheduler = awsbatch\n{text}")] {
            if let Ok(import) = import("any", &text, &ImportOptions::default()) {
                assert_same(&import);
            }
        }
    }

    #[test]
    fn names_become_names(text in "\\PC{0,40}") {
        if let Some(name) = convert::part_name(&text) {
            prop_assert_eq!(convert::part_name(name.as_str()), Some(name.clone()));
        }
    }
}
