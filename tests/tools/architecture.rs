//! The layers of the library: which module may use which, and that no files of one use each other in a circle between
//! layers. ARCHITECTURE.md has the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use awsb_testkit::story;

/// A module of `src/`, and those that it may use. What is not here may not be used.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("cli", &["diagnose", "image", "stage", "logs", "batch", "aws", "config", "ui"]),
    ("diagnose", &["logs", "batch", "aws", "config", "ui"]),
    ("image", &["stage", "logs", "batch", "aws", "config", "ui"]),
    ("stage", &["aws", "config", "ui"]),
    ("logs", &["batch", "aws", "config", "ui"]),
    ("batch", &["aws", "config", "ui"]),
    ("aws", &["config", "ui"]),
    ("config", &["ui"]),
    ("ui", &[]),
];

/// A member of the workspace, and those of ours that it may use, by its `Cargo.toml`.
const MEMBERS_MAY_USE: [(&str, &[&str]); 4] = [
    (".", &["awsb-docker", "awsb-local", "awsb-model"]),
    ("crates/awsb-local", &["awsb-docker", "awsb-model"]),
    ("crates/awsb-docker", &[]),
    ("crates/awsb-model", &[]),
];

/// Crates that the model must never need: it is pure.
const NOT_IN_THE_MODEL: [&str; 8] =
    ["tokio", "hyper", "aws-config", "aws-sdk-batch", "aws-sdk-s3", "bollard", "rusqlite", "nix"];

/// The files that may use the local cluster beyond its constants and its client.
const KNOW_THE_LOCAL_CLUSTER: [&str; 4] =
    ["aws/local_error.rs", "aws/session.rs", "cli/blocal.rs", "config/resolve.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The modules of this crate that a source names, with the line: `crate::NAME`, and each NAME of `crate::{NAME, …}`.
fn used(source: &str) -> Vec<(String, usize)> {
    let mut used = Vec::new();
    for (number, line) in source.lines().enumerate() {
        // A link in a comment uses nothing.
        let code = line.split("//").next().unwrap_or_default();
        for rest in code.split("crate::").skip(1) {
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
                None => vec![rest],
            };
            for name in names {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name: String = name.trim().chars().take_while(|c| is_name(*c)).collect();
                used.push((name, number + 1));
            }
        }
    }
    used
}

#[story]
fn layers_use_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let src = root().join("src");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in sources(&src) {
        let path = file.strip_prefix(&src).expect("below src").display().to_string();
        let Some((layer, _)) = path.split_once('/') else { continue };
        seen.insert(layer.to_owned());
        let below = allowed.get(layer).unwrap_or_else(|| panic!("{layer} is not in the table of layers"));
        for (name, line) in used(&std::fs::read_to_string(&file).expect("a source")) {
            let is_layer = allowed.contains_key(name.as_str());
            if is_layer && name != layer && !below.contains(&name.as_str()) {
                wrong.push(format!("src/{path}:{line}: {layer} uses {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these point upwards:\n{}", wrong.join("\n"));
    let known: BTreeSet<String> = allowed.keys().map(|layer| (*layer).to_owned()).collect();
    assert_eq!(seen, known, "each layer of the table is a folder of src/");
}

/// The table itself has no circle: what a layer may use, may not use it, however far down.
#[story]
fn the_table_of_layers_has_no_circle() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().chain(MEMBERS_MAY_USE).collect();
    for start in allowed.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = allowed[start].to_vec();
        while let Some(layer) = next.pop() {
            assert_ne!(layer, *start, "{start} uses itself by way of others");
            if reached.insert(layer) {
                next.extend(allowed.get(layer).copied().unwrap_or_default());
            }
        }
    }
}

#[story]
fn members_depend_only_on_what_lies_below_them() {
    for (member, may_use) in MEMBERS_MAY_USE {
        let manifest = std::fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("\n[").find(|table| table.starts_with("dependencies]"));
        let names: BTreeSet<&str> = dependencies
            .expect("a table of dependencies")
            .lines()
            .skip(1)
            .filter_map(|line| line.split([' ', '.', '=']).next())
            .filter(|name| !name.is_empty() && !name.starts_with('#'))
            .collect();
        let ours: BTreeSet<&str> = names.iter().copied().filter(|name| name.starts_with("awsb")).collect();
        assert_eq!(ours, may_use.iter().copied().collect(), "{member}");
        if member.ends_with("awsb-model") {
            assert!(names.iter().all(|name| !NOT_IN_THE_MODEL.contains(name)), "the model needs {names:?}");
        }
    }
}

#[story]
fn only_few_files_know_the_local_cluster() {
    let src = root().join("src");
    let know: BTreeSet<String> = sources(&src)
        .into_iter()
        .filter(|file| {
            let source = std::fs::read_to_string(file).expect("a source");
            source.lines().any(|line| line.split("//").next().unwrap_or_default().contains("awsb_local"))
        })
        .map(|file| file.strip_prefix(&src).expect("below src").display().to_string())
        .collect();
    assert_eq!(know, KNOW_THE_LOCAL_CLUSTER.into_iter().map(str::to_owned).collect());
}

#[story]
fn what_a_source_uses_is_found() {
    let source = "use crate::ui::Exit;\nuse crate::{logs, batch::Job};\nlet a = crate::stage::Plan::new();\n// crate::cli\n";
    let names: Vec<(String, usize)> = used(source);
    let names: Vec<(&str, usize)> = names.iter().map(|(name, line)| (name.as_str(), *line)).collect();
    assert_eq!(names, [("ui", 1), ("logs", 2), ("batch", 2), ("stage", 3)]);
}
