//! The checks of this machine: programs, settings, Docker engine, completions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::finding::{Check, Finding, Need};
use super::other_version::versions;
use crate::cli::awsbatch::OLD_TOOLS;
use crate::cli::completions::files;
use crate::cli::completions::scripts::Shell;
use crate::cli::path_programs::{self, first, is_awsb, is_ours, is_program};
use crate::config::{self, Builder, Cluster, settings_path};
use crate::ui::{ErrorKind, Failure};
use awsb_model::words;

/// The version of this program, and whether the names of the tools lead to it.
pub fn programs(names: &[&str]) -> Vec<Finding> {
    let own = match path_programs::own() {
        Ok(own) => own,
        Err(e) => {
            return vec![Finding::warning(Check::Program, format!("finding out where this program is: {e}"))];
        }
    };
    let folders = path_programs::folders();
    let version =
        Finding::ok(Check::Program, format!("awsb {}, {}", env!("CARGO_PKG_VERSION"), own.display()));
    let old_tools = old_tools(&own);
    [vec![version], others(&own, &folders), vec![tools(names, &own)], old_tools].concat()
}

/// A warning for each other program `awsb` in PATH.
fn others(own: &Path, folders: &[PathBuf]) -> Vec<Finding> {
    let mut seen = BTreeSet::from([own.to_owned()]);
    let found = folders.iter().map(|folder| folder.join("awsb"));
    let found = found.filter_map(|path| Some((path.canonicalize().ok()?, path)));
    let others = found.filter(|(real, path)| is_program(path) && seen.insert(real.clone()));
    let (named, relative): (Vec<_>, Vec<_>) =
        others.map(|(_, path)| path).partition(|path| path.is_absolute());
    let answers = versions(&named.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let answers =
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| "of an unknown version".to_owned()));
    // Whoever owns the working directory chooses the program there, so it is not started.
    let unasked = relative.into_iter().map(|path| (path, "in a relative folder of PATH".to_owned()));
    let warning = |(path, version): (PathBuf, String)| {
        let message = format!("there is another awsb in PATH: {} ({version})", path.display());
        Finding::warning(Check::Program, message)
            .hint("remove one of them, or put the folder of the one that you mean first in PATH")
    };
    named.into_iter().zip(answers).chain(unasked).map(warning).collect()
}

/// Whether the first program of each name in PATH is ours.
fn tools(names: &[&str], own: &Path) -> Finding {
    let (mut missing, mut foreign) = (Vec::new(), Vec::new());
    for name in names {
        match first(name) {
            None => missing.push(*name),
            Some(path) if is_ours(&path, own) => {}
            Some(path) => foreign.push((*name, path)),
        }
    }
    if let Some((name, path)) = foreign.first() {
        let place = |path: &Path| match owner(path) {
            Some(owner) => format!("{} ({owner})", path.display()),
            None => path.display().to_string(),
        };
        let places: Vec<String> = foreign.iter().map(|(_, path)| place(path)).collect();
        let of = if foreign.iter().all(|(_, path)| is_awsb(path)) { "this awsb's" } else { "awsb's" };
        let verb = if places.len() == 1 { format!("is not {of}") } else { format!("are not {of}") };
        let short = name.strip_prefix('b').unwrap_or(name);
        let finding = Finding::warning(Check::Tools, format!("{} {verb}", words::and(&places)));
        let finding = finding.hint(format!("`awsb {short}` is our `{name}`, whatever PATH says"));
        return match own.parent() {
            Some(folder) if path.parent() != Some(folder) => {
                finding.hint(format!("or put {} before {} in PATH", folder.display(), parent(path)))
            }
            _ => finding.hint("or install awsb again: another package has replaced the program"),
        };
    }
    if missing.is_empty() {
        return Finding::ok(Check::Tools, format!("all {} are in PATH", names.len()));
    }
    Finding::warning(Check::Tools, format!("not in PATH: {}", missing.join(", ")))
        .hint("`awsb NAME` runs them all the same")
        .hint("put the folder of the programs into PATH, or make links to `awsb` with these names")
}

/// The owner of a program that is not this awsb's, where it is known.
fn owner(path: &Path) -> Option<&'static str> {
    let folder = path.parent()?;
    let is_lsf_folder = std::env::var_os("LSF_BINDIR").is_some_and(|lsf| Path::new(&lsf) == folder);
    if is_awsb(path) {
        return Some("another awsb");
    }
    // `lsid` and `lsload` are in each installation of LSF (IBM Spectrum LSF Command Reference).
    let has_lsf = || ["lsid", "lsload"].iter().all(|name| is_program(&folder.join(name)));
    (is_lsf_folder || has_lsf()).then_some("LSF")
}

/// The tools under ParallelCluster's names, which pip may have overwritten or removed.
fn old_tools(own: &Path) -> Vec<Finding> {
    const PACKAGE: &str = "aws-parallelcluster-awsbatch-cli";
    let names = OLD_TOOLS.map(|(name, ..)| name);
    let Some(folder) = own.parent() else { return Vec::new() };
    let is_pip = has_package(folder, "awsb-");
    let has_old_package = has_package(folder, "aws_parallelcluster_awsbatch_cli-");
    let (mut overwritten, mut removed, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    let (mut unlinked, mut at_risk) = (Vec::new(), false);
    for name in names {
        let beside = folder.join(name);
        match path_programs::foreign(name) {
            _ if is_program(&beside) && !is_ours(&beside, own) => {
                overwritten.push(beside.display().to_string())
            }
            _ if !is_program(&beside) && is_pip => removed.push(beside.display().to_string()),
            Some(path) => elsewhere.push(path.display().to_string()),
            None if !is_program(&beside) => {}
            None if first(name).is_none() => unlinked.push(name),
            None => at_risk |= is_pip && has_old_package,
        }
    }
    // Without any of its names in PATH, the other check says so.
    if first("awsb").is_none() {
        unlinked.clear();
    }
    let reinstall = "`pip install --force-reinstall --no-deps awsb-*.whl` brings awsb's programs back";
    let mut findings = Vec::new();
    if !overwritten.is_empty() {
        let message =
            format!("another package has overwritten {} in the same folder", words::and(&overwritten));
        let uninstall = format!("if it is ParallelCluster's, `pip uninstall {PACKAGE}` removes them");
        findings
            .push(Finding::warning(Check::Tools, message).hint(uninstall).hint(format!("then {reinstall}")));
    }
    if !removed.is_empty() {
        let message = format!("missing, though this package brought it: {}", removed.join(", "));
        let why = format!("`pip uninstall {PACKAGE}` removes programs of the same names");
        findings.push(Finding::warning(Check::Tools, message).hint(why).hint(reinstall));
    }
    if at_risk {
        let message =
            format!("{PACKAGE} is in the same environment, and its removal takes awsb's programs along");
        let uninstall = format!("`pip uninstall {PACKAGE}` now");
        findings
            .push(Finding::warning(Check::Tools, message).hint(uninstall).hint(format!("then {reinstall}")));
    }
    if !unlinked.is_empty() {
        let message = format!("not in PATH, though this package brought them: {}", unlinked.join(", "));
        let finding = Finding::warning(Check::Tools, message).hint(format!(
            "the removal of {PACKAGE} takes the links of uv and pipx to programs of these names along"
        ));
        findings.push(
            finding.hint("`uv tool install --force awsb-*.whl` or `pipx reinstall awsb` brings them back"),
        );
    }
    if !elsewhere.is_empty() {
        let verb = if elsewhere.len() == 1 { "is" } else { "are" };
        let message = format!("{} {verb} not awsb's", words::and(&elsewhere));
        findings.push(
            Finding::ok(Check::Tools, message).hint("`awsb awsbsub` is our `awsbsub`, whatever PATH says"),
        );
    }
    findings
}

/// Whether pip has installed a package beside the programs of a folder `bin`: the environment
/// has its metadata, whose name begins so (Python Packaging User Guide, "Recording installed
/// projects").
fn has_package(folder: &Path, begin: &str) -> bool {
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let is_named = |path: &Path, begin: &str, end: &str| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
    };
    let Some(root) = folder.parent() else { return false };
    let pythons = entries(&root.join("lib")).into_iter().filter(|path| is_named(path, "python", ""));
    pythons
        .flat_map(|python| entries(&python.join("site-packages")))
        .any(|path| is_named(&path, begin, ".dist-info"))
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// The settings files, and the cluster that is meant. `is_named`: an option or a variable names it.
pub fn settings(meant: &Result<Cluster, Failure>, is_named: bool) -> Vec<Finding> {
    let old = config::old_file().map(|file| match file.mistake {
        None => Finding::ok(Check::Settings, format!("{}, of ParallelCluster's tools", file.path.display())),
        Some(mistake) => Finding::unknown(Check::Settings, &mistake)
            .hint("it matters only for a cluster that this file describes"),
    });
    let cluster = match meant {
        Ok(cluster) => cluster,
        Err(failure) if failure.kind() == ErrorKind::NoCluster => {
            let own = Finding::ok(Check::Settings, own_settings());
            let cluster = Finding::failed(Check::Cluster, failure);
            return std::iter::once(own).chain(old).chain([cluster]).collect();
        }
        Err(failure) => {
            let wrong = Finding::failed(Check::Settings, failure)
                .hint("`-c local` is the cluster on this machine, which needs no settings");
            // The mistake may be that of the old file. Its kind has the line.
            let other = old.filter(|old| old.cause.is_none() || old.cause != wrong.cause);
            let cluster = Finding::skipped(Check::Cluster, Need::Settings);
            return std::iter::once(wrong).chain(other).chain([cluster]).collect();
        }
    };
    let why = if is_named { "as you say" } else { "by default" };
    let place = match (&cluster.region, cluster.is_local) {
        (_, true) => ", on this machine".to_owned(),
        (Some(region), false) => format!(", region {region}"),
        (None, false) => String::new(),
    };
    let own = Finding::ok(Check::Settings, own_settings());
    let cluster = Finding::ok(Check::Cluster, format!("{}{place} ({why})", cluster.name));
    std::iter::once(own).chain(old).chain([cluster]).collect()
}

/// Where the settings file is.
fn own_settings() -> String {
    match settings_path() {
        Some(path) if path.exists() => path.display().to_string(),
        Some(path) => format!("there is no settings file ({})", path.display()),
        None => "there is no settings file, as this user has no home".to_owned(),
    }
}

/// The Docker engine, which only some jobs and image builds need.
pub async fn engine(cluster: Option<&Cluster>) -> Finding {
    let builds = |cluster: &Cluster| cluster.images.builder == Builder::Docker && !cluster.is_local;
    let is_needed = cluster.is_some_and(builds);
    match awsb_docker::find().await {
        Ok((address, _)) => Finding::ok(Check::Docker, format!("an engine answers at {address}")),
        Err(e) if is_needed => Finding::warning(Check::Docker, e.to_string())
            .hint("`bsub --build` and `bimage build` need an engine here, or a CodeBuild project"),
        Err(_) => {
            Finding::ok(Check::Docker, "no engine answers; only jobs and builds with images need one here")
        }
    }
}

/// Whether the user's shell completes the tools' options and values.
pub fn completions() -> Finding {
    let shell = std::env::var_os("SHELL").map(PathBuf::from).unwrap_or_default();
    let name = shell.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(shell) = Shell::named(name) else {
        return Finding::ok(Check::Completions, "there are some for bash, zsh and fish");
    };
    match files::find(shell, "bsub") {
        Some(path) if shell == Shell::Bash && !files::has_bash_completion() => {
            let message = format!("{}, which bash reads only by bash-completion", path.display());
            Finding::ok(Check::Completions, message).hint(
                "install the package bash-completion, or put this into ~/.bashrc: \
                 source <(awsb completions --print --shell bash)",
            )
        }
        Some(path) => Finding::ok(Check::Completions, path.display().to_string()),
        None => Finding::ok(Check::Completions, format!("none are found for {name}"))
            .hint("`awsb completions --install` has options and values completed"),
    }
}
