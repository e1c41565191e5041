//! The parts that we did not write, made or found on this machine: Python packages and a Docker engine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder of the Python environment with moto, boto3, the `aws` CLI and the old tools; made on
/// first use, under `target/`. `None` where that is impossible: what is then skipped was said.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        let mut command = Command::new("python3");
        command.arg(script("venv.py")).arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("python"));
        match answer(&mut command) {
            Ok(folder) => Some(folder.into()),
            Err(why) => {
                missing("the stories told with moto, boto3 and the aws CLI", &why);
                None
            }
        }
    };
    PYTHON.get_or_init(make).as_deref()
}

/// The name of the tests' image, which is in the Docker engine; `None` without an engine (or without
/// Python): what is then skipped was said.
pub fn engine() -> Option<&'static str> {
    static ENGINE: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let python = python()?;
        match answer(Command::new(python.join("bin/python")).arg(script("engine.py"))) {
            Ok(image) => Some(image),
            Err(why) => {
                missing("the stories told in containers", &why);
                None
            }
        }
    };
    ENGINE.get_or_init(find).as_deref()
}

/// A program of this machine; `None` where it is not installed: that `what` is skipped was said.
pub fn program(name: &str, what: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        missing(what, &format!("no {name} in PATH"));
    }
    found
}

/// The name of the job image's base, which is in the Docker engine; `None` where there is no engine, or no way to a
/// Debian. `folder` keeps its archive.
pub fn base_image(folder: &Path) -> Option<String> {
    let mut command = Command::new(python()?.join("bin/python"));
    match answer(command.arg(script("base_image.py")).arg(folder)) {
        Ok(base) => Some(base),
        Err(why) => {
            missing("the stories told in the job image", &why);
            None
        }
    }
}

/// One of the scripts beside this file.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

/// The last line that a helper printed, or why there is none.
fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} ({})", said.trim(), output.status));
    }
    loudly(said.trim());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .map(str::to_owned)
        .ok_or_else(|| "no answer".into())
}

/// Something is not there: skipped with a word on a user's machine, a failure in CI.
#[track_caller]
pub fn missing(what: &str, why: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "CI=true, and nothing may be skipped: {what}: {why}");
    loudly(&format!("SKIPPED: {what}: {why}"));
}

/// Past the test harness, which shows what a test prints only when it fails.
pub fn loudly(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
