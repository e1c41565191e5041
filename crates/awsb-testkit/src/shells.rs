//! Jobs run as a container would run them, under every shell that its `/bin/sh` may be.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use awsb::stage::{PackedInputs, Plan, PlanError, Target};
use awsb_model::request::Overrides;
use awsb_model::{
    JobNodes, JobSpec, NodeTargets, ResolvedJob, ResolvedShape, Shape, SubmissionId, Submitter,
};

/// The shells that `/bin/sh` is on Debian, on Red Hat, in busybox and Alpine images, on Android and
/// some BSDs, and the two that it can be on macOS: bash and zsh. That of macOS is bash 3.2; a later
/// one stands in for it.
const SHELLS: [&[&str]; 5] =
    [&["dash"], &["bash", "--posix"], &["busybox", "sh"], &["mksh"], &["zsh", "--emulate", "sh"]];

/// Those that are here. In CI all of them have to be; elsewhere a story runs under those that it
/// finds.
pub fn shells() -> Vec<&'static [&'static str]> {
    let here = |shell: &&&[&str]| {
        let found =
            Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).status().is_ok_and(|s| s.success());
        if !found {
            eprintln!("SKIPPED: no {} on this machine", shell[0]);
            assert!(std::env::var_os("CI").is_none(), "{} is missing in CI", shell[0]);
        }
        found
    };
    SHELLS.iter().filter(here).copied().collect()
}

/// How a job would travel to a cluster that is nowhere.
pub fn plan(spec: &JobSpec) -> Result<Plan, PlanError> {
    let nodes = match spec.shape {
        Shape::Nodes(count) => {
            let range = NodeTargets { targets: "0:".to_owned(), vcpus: None, group: None };
            Some(JobNodes { count, ranges: vec![range] })
        }
        Shape::Single | Shape::Array(_) => None,
    };
    let job = ResolvedJob {
        shape: ResolvedShape::new(&spec.shape, nodes).expect("a shape that Batch has"),
        spec: spec.clone(),
        job_queue: "queue".to_owned(),
        job_definition: "definition".to_owned(),
        container: None,
        depends_on: Vec::new(),
        consumes: Vec::new(),
    };
    let submitter = Submitter::cleaned("tester");
    let target = Target {
        bucket: "bucket",
        prefix: "awsb",
        region: "eu-west-1",
        shared: &[],
        submitter: submitter.as_ref(),
    };
    Plan::new(&job, &PackedInputs::None, &target, SubmissionId::random)
}

/// The overrides of the container in a plan.
pub fn overrides(plan: &Plan) -> &Overrides {
    plan.requests[0].all_overrides().next().expect("a container's overrides")
}

/// A plan as a container would run it: the command with its variables, in a folder of its own.
pub fn command(plan: &Plan, shell: &[&str], place: &Path) -> Command {
    let overrides = overrides(plan);
    let mut words: Vec<&str> = overrides.command.iter().map(String::as_str).collect();
    if words[0] == "/bin/sh" {
        words.splice(..1, shell.iter().copied());
    }
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TMPDIR", place)
        .envs(overrides.environment.iter().map(|v| (&v.name, &v.value)))
        .current_dir(place);
    command
}

/// Writes a program that can be executed at once.
///
/// Another process writes it. If this one had it open for writing, a thread that starts a child at
/// that moment would hand the open file on, and until that child executes its own program, the
/// kernel refuses to execute this one (`ETXTBSY`).
///
/// # Errors
/// When the file cannot be written, or no shell be started.
pub fn executable(path: &Path, text: &str) -> std::io::Result<()> {
    let script = r#"cat >"$1.new" && chmod 755 "$1.new" && mv -f "$1.new" "$1""#;
    let mut shell =
        Command::new("/bin/sh").args(["-c", script, "sh"]).arg(path).stdin(Stdio::piped()).spawn()?;
    let written = shell.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let status = shell.wait()?;
    written?;
    if status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{status} at {}", path.display())))
    }
}

/// Puts a program that was built into a folder: as a link, or as a copy on another file system. A
/// copy is made by another process, for the reason that [`executable`] gives.
///
/// # Errors
/// When neither can be made.
pub fn install(name: &str, folder: &Path) -> std::io::Result<()> {
    let (built, here) = (crate::program_built(name), folder.join(name));
    if std::fs::hard_link(&built, &here).is_ok() {
        return Ok(());
    }
    let status = Command::new("cp").arg(&built).arg(&here).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{status} at {}", here.display())))
    }
}

/// Puts one of this machine's tools into a folder that is to be a whole `PATH`.
pub fn link(tool: &str, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let found = ["/bin", "/usr/bin"].map(|d| Path::new(d).join(tool)).into_iter().find(|p| p.exists());
    let found = found.ok_or(format!("no {tool} on this machine"))?;
    Ok(std::os::unix::fs::symlink(found, folder.join(tool))?)
}

/// Has shellcheck look at a script; `false` where there is no shellcheck, which CI has to have.
pub fn shellcheck(text: &[u8], exclude: &str) -> Result<bool, Box<dyn std::error::Error>> {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no shellcheck on this machine");
        assert!(std::env::var_os("CI").is_none(), "shellcheck is missing in CI");
        return Ok(false);
    }
    let place = tempfile::tempdir()?;
    let file = place.path().join("script.sh");
    std::fs::write(&file, text)?;
    let output = Command::new("shellcheck").args(["-s", "sh", "-e", exclude]).arg(&file).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(true)
}
