//! The order among the files of this crate: no files use each other in a circle, and the client
//! uses nothing of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Crates that only the server needs.
const OF_THE_SERVER: [&str; 5] = ["hyper", "hyper_util", "quick_xml", "rusqlite", "s3s"];

/// A module, as its path from the root of the crate.
type Module = Vec<String>;

/// The sources of the crate without comments and tests, by module.
fn sources() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut sources, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            match path.is_dir() {
                true => folders.push(path),
                false if is_source => {
                    let name = path.strip_prefix(&root).expect("below src").with_extension("");
                    let mut module: Module =
                        name.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                    module.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
                    let text = std::fs::read_to_string(&path).expect("a source");
                    sources.insert(module, without_comments_and_tests(&text));
                }
                false => {}
            }
        }
    }
    sources
}

fn without_comments_and_tests(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths of a tree of imports such as `a::{b, c::{self, d}}`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Module>) {
    let tree = tree.split(" as ").next().unwrap_or_default().trim();
    match tree.split_once('{') {
        None => {
            let names = tree.split("::").map(|name| name.trim().to_owned());
            let path: Module = prefix.iter().cloned().chain(names.filter(|name| name != "self")).collect();
            paths.push(path);
        }
        Some((start, rest)) => {
            let names = start.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            let prefix: Module = prefix.iter().cloned().chain(names).collect();
            let (mut depth, mut item) = (0, String::new());
            for c in rest.strip_suffix('}').unwrap_or(rest).chars() {
                match c {
                    ',' if depth == 0 => expand(&prefix, &std::mem::take(&mut item), paths),
                    c => {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        item.push(c);
                    }
                }
            }
            if !item.trim().is_empty() {
                expand(&prefix, &item, paths);
            }
        }
    }
}

/// A path from the root of the crate; `None` for one that leads out of the crate.
fn absolute(module: &[String], path: &[String], sources: &BTreeMap<Module, String>) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            Some([module.get(..module.len().checked_sub(ups)?)?, &path[ups..]].concat())
        }
        child => {
            let child = [module, &[child.to_owned()]].concat();
            sources.contains_key(&child).then(|| [module, path].concat())
        }
    }
}

/// The imports of a source: each path, and whether it is exported again.
fn imports(module: &[String], source: &str, sources: &BTreeMap<Module, String>) -> Vec<(Module, bool)> {
    let mut found = Vec::new();
    for statement in source.split(';') {
        let Some(at) = statement.rfind("use ") else { continue };
        let before = statement[..at].lines().last().unwrap_or_default().trim();
        if !before.is_empty() && !before.starts_with("pub") {
            continue;
        }
        let mut paths = Vec::new();
        expand(&[], &statement[at + 4..].replace('\n', " "), &mut paths);
        let paths = paths.iter().filter_map(|path| absolute(module, path, sources));
        found.extend(paths.map(|path| (path, before.starts_with("pub"))));
    }
    // Paths in the code.
    for start in ["crate::", "super::"] {
        for (at, _) in source.match_indices(start) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            if source[..at].chars().next_back().is_some_and(is_part) {
                continue;
            }
            let text: String = source[at..].chars().take_while(|c| is_part(*c)).collect();
            let path: Module = text.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            // A list of names, as in `crate::{a, b}`, is one of the imports above.
            if !text.ends_with("::") {
                found.extend(absolute(module, &path, sources).map(|path| (path, false)));
            }
        }
    }
    found
}

/// The files that each file uses.
fn graph(sources: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let imports: BTreeMap<&Module, Vec<(Module, bool)>> =
        sources.iter().map(|(module, source)| (module, imports(module, source, sources))).collect();
    let file_of = |path: &Module| -> Option<Module> {
        let mut path = path.clone();
        // A module exports names of other files again.
        for _ in 0..8 {
            let length = (0..=path.len()).rev().find(|n| sources.contains_key(&path[..*n]))?;
            let (module, rest) = (path[..length].to_vec(), path[length..].to_vec());
            let exported = imports[&module].iter().find(|(target, exported)| {
                *exported && rest.first().is_some_and(|name| target.last() == Some(name))
            });
            match exported {
                Some((target, _)) => path = [target.as_slice(), &rest[1..]].concat(),
                None => return Some(module),
            }
        }
        None
    };
    let edges = imports.iter().map(|(module, imports)| {
        let files: BTreeSet<Module> = imports.iter().filter_map(|(path, _)| file_of(path)).collect();
        ((*module).clone(), files.into_iter().filter(|file| file != *module).collect())
    });
    edges.collect()
}

/// A circle of files, if there is one.
fn circle(graph: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    // Files that use no others are removed until none is left, or only circles and what leads to
    // them.
    let mut left = graph.clone();
    loop {
        let done: BTreeSet<Module> =
            left.iter().filter(|(_, uses)| uses.is_empty()).map(|(file, _)| file.clone()).collect();
        if done.is_empty() {
            break;
        }
        left.retain(|file, _| !done.contains(file));
        left.values_mut().for_each(|uses| uses.retain(|file| !done.contains(file)));
    }
    let mut path = vec![left.keys().next()?.clone()];
    loop {
        let next = left.get(path.last()?)?.iter().next()?.clone();
        if let Some(at) = path.iter().position(|file| *file == next) {
            path.push(next);
            return Some(path[at..].iter().map(|file| file.join("::")).collect());
        }
        path.push(next);
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let graph = graph(&sources());
    assert_eq!(circle(&graph), None);
    assert!(graph[&vec!["server".to_owned()]].contains(&vec!["batch".to_owned(), "handle".to_owned()]));
}

#[test]
fn the_client_uses_nothing_of_the_server() {
    let sources = sources();
    let graph = graph(&sources);
    let is_client = |module: &Module| module.first().is_some_and(|name| name == "client");
    let mut reached: BTreeSet<Module> = graph.keys().filter(|module| is_client(module)).cloned().collect();
    assert!(!reached.is_empty());
    let mut next: Vec<Module> = reached.iter().cloned().collect();
    while let Some(module) = next.pop() {
        next.extend(graph[&module].iter().filter(|file| reached.insert((*file).clone())).cloned());
    }
    for module in reached {
        for name in OF_THE_SERVER {
            let uses = sources[&module].contains(&format!("{name}::"));
            assert!(!uses, "{} uses {name}, and the client uses it", module.join("::"));
        }
    }
}

#[test]
fn a_circle_is_found() {
    let name = |name: &str| vec![name.to_owned()];
    let uses = |names: &[&str]| names.iter().map(|n| name(n)).collect::<BTreeSet<_>>();
    let mut graph = BTreeMap::from([
        (name("a"), uses(&["b", "d"])),
        (name("b"), uses(&["c"])),
        (name("c"), uses(&["d"])),
        (name("d"), uses(&[])),
    ]);
    assert_eq!(circle(&graph), None);
    graph.insert(name("d"), uses(&["b"]));
    assert_eq!(circle(&graph).unwrap(), ["b", "c", "d", "b"]);
}
