//! The parts that we did not write, made or found on this machine: Python packages and a Docker
//! engine.
//!
//! A story that asks for one that is not to be had ends there, and is reported as ignored.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::harness::{missing, scratch};

/// The folder of the Python environment with moto, boto3, the `aws` CLI and the old tools; made on
/// first use, under `target/`.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let mut command = Command::new("python3");
        let folder = answer(command.arg(script("venv.py")).arg(scratch().join("python")))?;
        Ok(folder.into())
    };
    match PYTHON.get_or_init(make) {
        Ok(folder) => folder,
        Err(why) => missing("Python with moto, boto3 and the aws CLI", why),
    }
}

/// The folder of the Python environment with cfn-lint; made on first use, under `target/`.
pub fn cfn_lint() -> &'static Path {
    static CFN_LINT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let mut command = Command::new("python3");
        command.arg(script("venv.py")).arg(scratch().join("cfn-lint")).arg("requirements-cfn-lint.txt");
        Ok(answer(&mut command)?.into())
    };
    match CFN_LINT.get_or_init(make) {
        Ok(folder) => folder,
        Err(why) => missing("Python with cfn-lint", why),
    }
}

/// The name of the tests' image, which is in the Docker engine.
pub fn engine() -> &'static str {
    static ENGINE: OnceLock<Result<String, String>> = OnceLock::new();
    let python = python();
    match ENGINE.get_or_init(|| answer(Command::new(python.join("bin/python")).arg(script("engine.py")))) {
        Ok(image) => image,
        Err(why) => missing("a Docker engine", why),
    }
}

/// A program of this machine.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // `dockerd` and others are in sbin, which is not in everybody's PATH.
    let folders =
        std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| missing(name, "it is not in PATH"))
}

/// The name of the job image's base, which is in the Docker engine. `folder` keeps its archive.
pub(crate) fn base_image(folder: &Path) -> Result<String, String> {
    answer(Command::new(python().join("bin/python")).arg(script("base_image.py")).arg(folder))
}

/// One of the scripts in this crate's `python/`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// The last line that a script printed, or why there is none.
fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let message = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} ({})", message.trim(), output.status));
    }
    loudly(message.trim());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .map(str::to_owned)
        .ok_or_else(|| "no answer".into())
}

/// Says what takes a while before a story can begin.
pub(crate) fn loudly(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
