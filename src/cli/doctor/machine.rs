//! The checks of this machine: programs, settings, Docker engine, completions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::finding::Finding;
use crate::config::{Builder, Cluster, settings_path};
use crate::ui::Failure;
use awsb_model::words;

/// The version of this program, and whether the names of the tools lead to it.
pub fn programs(names: &[&str]) -> Vec<Finding> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize());
    let own = match own {
        Ok(own) => own,
        Err(e) => {
            return vec![Finding::warning("program", format!("finding out where this program is: {e}"))];
        }
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let version = Finding::ok("program", format!("awsb {}, {}", env!("CARGO_PKG_VERSION"), own.display()));
    [vec![version], others(&own, &folders), vec![tools(names, &own, &folders)]].concat()
}

/// A warning for each other program `awsb` in PATH.
fn others(own: &Path, folders: &[PathBuf]) -> Vec<Finding> {
    let mut seen = BTreeSet::from([own.to_owned()]);
    let found = folders.iter().map(|folder| folder.join("awsb"));
    let found = found.filter_map(|path| Some((path.canonicalize().ok()?, path)));
    let others = found.filter(|(real, path)| is_program(path) && seen.insert(real.clone()));
    let warning = |(_, path): (PathBuf, PathBuf)| {
        let message = format!("there is another awsb in PATH: {} ({})", path.display(), version(&path));
        Finding::warning("program", message)
            .hint("remove one of them, or put the folder of the one that you mean first in PATH")
    };
    others.map(warning).collect()
}

/// The version of another `awsb`, as it says itself.
fn version(program: &Path) -> String {
    let mut command = Command::new(program);
    let output = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let answer = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let line = answer.as_deref().and_then(|text| text.lines().next()).unwrap_or_default().trim();
    if line.is_empty() { "of an unknown version".to_owned() } else { line.to_owned() }
}

/// Whether the first program of each name in PATH is ours.
fn tools(names: &[&str], own: &Path, folders: &[PathBuf]) -> Finding {
    let first = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path));
    let (mut missing, mut foreign) = (Vec::new(), Vec::new());
    for name in names {
        match first(name) {
            None => missing.push(*name),
            Some(path) if is_ours(&path, own) => {}
            Some(path) => foreign.push((*name, path)),
        }
    }
    if let Some((name, path)) = foreign.first() {
        let places: Vec<String> = foreign.iter().map(|(_, path)| path.display().to_string()).collect();
        let verb = if places.len() == 1 { "is not awsb's" } else { "are not awsb's" };
        let short = name.strip_prefix('b').unwrap_or(name);
        let finding = Finding::warning("tools", format!("{} {verb}", words::and(&places)));
        let finding = finding.hint(format!("`awsb {short}` is our `{name}`, whatever PATH says"));
        return match own.parent() {
            Some(folder) if path.parent() != Some(folder) => {
                finding.hint(format!("or put {} before {} in PATH", folder.display(), parent(path)))
            }
            _ => finding.hint("or install awsb again: another package has replaced the program"),
        };
    }
    if missing.is_empty() {
        return Finding::ok("tools", format!("all {} are in PATH", names.len()));
    }
    Finding::warning("tools", format!("not in PATH: {}", missing.join(", ")))
        .hint("`awsb NAME` runs them all the same")
        .hint("put the folder of the programs into PATH, or make links to `awsb` with these names")
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// Whether a program is this one: a link to it, or a small program or a script beside it.
fn is_ours(path: &Path, own: &Path) -> bool {
    let Ok(real) = path.canonicalize() else { return false };
    if real == own {
        return true;
    }
    // A program of another package that has the same name and lies in the same folder does not name
    // ours.
    real.parent() == own.parent() && names_awsb(&real)
}

/// Whether a small program names `awsb` in its bytes. Those of `bin/` and the scripts of the Python
/// package execute the file of that name.
fn names_awsb(program: &Path) -> bool {
    const MOST: u64 = 16 << 20;
    let is_small = std::fs::metadata(program).is_ok_and(|meta| meta.len() <= MOST);
    let needles: [&[u8]; 2] = [b"looking for the program awsb", b"/awsb\""];
    is_small
        && std::fs::read(program).is_ok_and(|bytes| {
            needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == *needle))
        })
}

/// Whether a file can be executed.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The settings file, and the cluster that is meant. `is_named`: an option or a variable names it.
pub fn settings(meant: &Result<Cluster, Failure>, is_named: bool) -> Vec<Finding> {
    let cluster = match meant {
        Ok(cluster) => cluster,
        Err(failure) => return vec![Finding::failed("settings", failure)],
    };
    let file = match settings_path() {
        Some(path) if path.exists() => path.display().to_string(),
        Some(path) => format!("there is no settings file ({})", path.display()),
        None => "there is no settings file, as this user has no home".to_owned(),
    };
    let why = if is_named { "as you say" } else { "by default" };
    let place = match (&cluster.region, cluster.is_local) {
        (_, true) => ", on this machine".to_owned(),
        (Some(region), false) => format!(", region {region}"),
        (None, false) => String::new(),
    };
    vec![Finding::ok("settings", file), Finding::ok("cluster", format!("{}{place} ({why})", cluster.name))]
}

/// The Docker engine, which only some jobs and image builds need.
pub async fn engine(cluster: &Cluster) -> Finding {
    let is_needed = cluster.images.builder == Builder::Docker && !cluster.is_local;
    match awsb_docker::find().await {
        Ok((address, _)) => Finding::ok("docker", format!("an engine answers at {address}")),
        Err(e) if is_needed => Finding::warning("docker", e.to_string())
            .hint("`bsub --build` and `bimage build` need an engine here, or a CodeBuild project"),
        Err(_) => Finding::ok("docker", "no engine answers; only jobs and builds with images need one here"),
    }
}

/// Whether the user's shell completes the tools' options.
pub fn completions() -> Finding {
    let shell = std::env::var_os("SHELL").map(PathBuf::from);
    let shell = shell.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let (folder, file) = match shell {
        "bash" => ("bash-completion/completions", "bsub"),
        "zsh" => ("zsh/site-functions", "_bsub"),
        "fish" => ("fish/vendor_completions.d", "bsub.fish"),
        _ => return Finding::ok("completions", "there are some for bash, zsh and fish"),
    };
    let found =
        data_folders().into_iter().map(|data| data.join(folder).join(file)).find(|path| path.exists());
    match found {
        Some(path) => Finding::ok("completions", path.display().to_string()),
        None => Finding::ok("completions", format!("none are found for {shell}"))
            .hint(format!("`source <(bsub --completions {shell})` has the options of bsub completed")),
    }
}

/// The folders in which shells look for completions: the user's, that of this installation, and the
/// system's (XDG Base Directory Specification).
fn data_folders() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let user = variable("XDG_DATA_HOME").map(PathBuf::from).or(home);
    let own = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.canonicalize().ok()?.parent()?.parent()?.join("share")));
    let system = variable("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    user.into_iter().chain(own).chain(std::env::split_paths(&system)).collect()
}
