//! The layers of the library: which module uses which, and that no files use each other in a
//! circle. ARCHITECTURE.md has the picture.

mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use awsb_testkit::story;

use uses::{Crate, circles};

/// A module of `src/`, and those that it may use. A module that is not listed may not be used.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("cli", &["cloud", "diagnose", "image", "stage", "logs", "batch", "aws", "config", "ui"]),
    ("diagnose", &["logs", "batch", "aws", "config", "ui"]),
    ("cloud", &["image", "stage", "logs", "batch", "aws", "config", "ui"]),
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

/// Crates that only the server of the local cluster needs, and not its client, which is all that
/// the tools need of it.
const NOT_IN_THE_CLIENT: [&str; 5] = ["hyper", "hyper_util", "quick_xml", "rusqlite", "s3s"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[story]
fn layers_use_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let library = Crate::read(&root().join("src"), true);
    let wrong = upward(&library, &allowed);
    assert!(wrong.is_empty(), "these point upwards:\n{}", wrong.join("\n"));
    let layers: BTreeSet<String> = library
        .files()
        .filter_map(|file| Some(file.parent()?.iter().next()?.to_string_lossy().into_owned()))
        .collect();
    let known: BTreeSet<String> = allowed.keys().map(|layer| (*layer).to_owned()).collect();
    assert_eq!(layers, known, "each layer of the table is a folder of src/");
}

/// The uses of a layer that lies above the one that uses it, or beside it.
fn upward(library: &Crate, allowed: &BTreeMap<&str, &[&str]>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, line, path) in library.uses() {
        let layer = file.iter().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (Some(below), Some(used)) = (allowed.get(layer.as_str()), path.first()) else { continue };
        if allowed.contains_key(used.as_str()) && *used != layer && !below.contains(&used.as_str()) {
            wrong.push(format!("src/{}:{line}: {layer} uses {used}", file.display()));
        }
    }
    wrong
}

/// The table itself has no circle: a layer that another one uses does not use that one, however far
/// down.
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

/// Code that is there in tests alone does not count: a test may use more than the file that it
/// tests.
#[story]
fn no_files_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (member, _) in MEMBERS_MAY_USE {
        let folder = root().join(member).join("src");
        let sources = Crate::read(&folder, false);
        let arrows = sources.arrows();
        for circle in &circles(&arrows) {
            found.push(format!("in {member}/src:"));
            for file in circle {
                for (target, (line, path)) in
                    arrows[file].iter().filter(|(target, _)| circle.contains(*target))
                {
                    found.push(format!("  {}:{line} uses {} ({path})", file.display(), target.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "these files use each other in circles:\n{}", found.join("\n"));
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
    let library = Crate::read(&root().join("src"), true);
    let know: BTreeSet<String> =
        library.files_that_name("awsb_local").map(|file| file.display().to_string()).collect();
    assert_eq!(know, KNOW_THE_LOCAL_CLUSTER.into_iter().map(str::to_owned).collect());
}

#[story]
fn the_client_of_the_local_cluster_uses_nothing_of_its_server() {
    let sources = Crate::read(&root().join("crates/awsb-local/src"), false);
    let arrows = sources.arrows();
    let mut reached: BTreeSet<&Path> = sources.files().filter(|file| file.starts_with("client")).collect();
    assert!(!reached.is_empty());
    let mut next: Vec<&Path> = reached.iter().copied().collect();
    while let Some(file) = next.pop() {
        let targets = arrows.get(file).into_iter().flat_map(BTreeMap::keys);
        next.extend(targets.copied().filter(|target| reached.insert(target)));
    }
    for name in NOT_IN_THE_CLIENT {
        let found: Vec<&Path> = sources.files_that_name(name).filter(|file| reached.contains(file)).collect();
        assert!(found.is_empty(), "the client uses {name} by way of {found:?}");
    }
}

/// A crate of these files.
fn sources(files: &[(&str, &str)], tests: bool) -> Crate {
    Crate::of(files.iter().map(|(file, text)| (file.into(), (*text).to_owned())).collect(), tests)
}

#[story]
fn an_upward_use_is_found_in_each_form() {
    let allowed: BTreeMap<&str, &[&str]> = [("cli", &["ui"] as &[&str]), ("ui", &[])].into_iter().collect();
    for (source, line) in [
        ("use crate::cli::run;", 1),
        ("use crate::{\n    ui::Exit,\n    cli::{\n        run,\n    },\n};", 4),
        ("use super::super::cli::run;", 1),
        ("use super::\n    super::cli;", 2),
        ("fn f() {\n    crate::cli::run()\n}", 2),
        ("fn f() -> super::super::cli::Args { todo!() }", 1),
        ("#[cfg(test)]\nmod tests {\n    use crate::cli::run;\n}", 3),
        ("mod inner {\n    use super::super::super::cli::run;\n}", 2),
    ] {
        let library = sources(&[("ui/table.rs", source), ("ui/mod.rs", ""), ("cli/mod.rs", "")], true);
        assert_eq!(upward(&library, &allowed), [format!("src/ui/table.rs:{line}: ui uses cli")], "{source}");
    }
    for source in [
        "// crate::cli",
        "/* use crate::cli; */",
        "const A: &str = \"crate::cli::run\";",
        "/// [`crate::cli`]",
    ] {
        let library = sources(&[("ui/table.rs", source), ("cli/mod.rs", "")], true);
        assert_eq!(upward(&library, &allowed), [""; 0], "{source}");
    }
}

#[story]
fn a_circle_between_files_is_found_by_way_of_exports() {
    let files = [
        ("lib.rs", "pub mod a;\npub mod b;"),
        ("a/mod.rs", "mod first;\nmod second;\npub use first::First;\npub use second::*;"),
        // By way of `a/mod.rs`, whose exports these are.
        ("a/first.rs", "use crate::b;\npub struct First;\nfn f() { b::make() }"),
        ("a/second.rs", "pub struct Second;\n#[cfg(test)]\nmod tests {\n    use crate::b::make;\n}"),
        ("b.rs", "use crate::a::{First, Second};\npub fn make() {}"),
    ];
    let library = sources(&files, false);
    let arrows = library.arrows();
    let found: Vec<Vec<String>> = circles(&arrows)
        .iter()
        .map(|circle| circle.iter().map(|file| file.display().to_string()).collect())
        .collect();
    assert_eq!(found, [["a/first.rs", "b.rs"]]);
}
