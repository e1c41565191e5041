//! The job image, by the way that it takes to a cluster: buildspec.yml builds docker/ of this
//! source and pushes it with the password of ECR's token, and the engine has it from the registry,
//! by its digest.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::foreign::{base_image, loudly};
use crate::harness::{missing, repository, scratch};
use crate::{BuildMachine, Sandbox};

/// For what takes half a minute on an idle machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// The job image on the Docker engine.
#[derive(Debug)]
pub struct JobImage {
    /// `REGISTRY/NAME@sha256:…`: the image as it was pulled. Its registry is gone; the engine has
    /// it.
    pub pulled: String,
    /// That image with an MPI program in it (`mpi/` of this crate).
    pub mpi: String,
}

/// The job image, which is built once for its content. That takes an engine, a registry, and a way
/// to a Debian.
pub fn job_image() -> &'static JobImage {
    static IMAGE: OnceLock<Result<JobImage, String>> = OnceLock::new();
    match IMAGE.get_or_init(find) {
        Ok(image) => image,
        Err(why) => missing("the job image", why),
    }
}

fn find() -> Result<JobImage, String> {
    let folder = scratch().join("base");
    let base = base_image(&folder)?;
    // Test binaries that start at the same time wait for each other.
    let lock = fs::File::create(folder.join("job.lock")).expect("a file");
    lock.lock().expect("a lock");
    let sandbox = Sandbox::new();
    let base_id = sandbox.run("docker", ["image", "inspect", "--format", "{{.Id}}", &base]).ok().stdout;
    let parts = ["docker", "buildspec.yml", "crates/awsb-testkit/python/codebuild.py"];
    let job = format!("awsb-test/job:{}", content(&base_id, &parts));
    let pulled = match known(&sandbox, &job) {
        Some(pulled) => pulled,
        None => pull(&job)?,
    };
    let mpi = format!("awsb-test/mpi:{}", content(&pulled, &["crates/awsb-testkit/mpi"]));
    if !sandbox.run("docker", ["image", "inspect", &mpi]).status.success() {
        add_mpi(&sandbox, &pulled, &mpi);
    }
    Ok(JobImage { pulled, mpi })
}

/// The digest by which the engine has pulled the image with this name, if it has.
fn known(sandbox: &Sandbox, name: &str) -> Option<String> {
    let found = sandbox.run("docker", ["image", "inspect", "--format", "{{index .RepoDigests 0}}", name]);
    found.status.success().then(|| found.stdout.trim().to_owned())
}

/// Builds the image as CodeBuild does, has the engine forget it, and pulls it back.
fn pull(name: &str) -> Result<String, String> {
    let mut machine = BuildMachine::new("jobimage");
    loudly(&format!("building {name} by buildspec.yml (once; a minute)"));
    machine.set("CODEBUILD_SRC_DIR", &repository().display().to_string());
    // The steps reach Debian's mirror by the engine's own network, which is there where containers
    // have none.
    machine.set("AWSB_BUILD_OPTIONS", "--network host");
    let build = machine.build();
    if build.status() != "SUCCEEDED" {
        let lines: Vec<&str> = build.log.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        return Err(format!("buildspec.yml has failed:\n{last}"));
    }
    let pulled = format!("{}@{}", machine.image, build.exported("AWSB_DIGEST"));
    machine.forget();
    for name in [&pulled, build.exported("AWSB_URI")] {
        let left = machine.docker(&["image", "inspect", name]);
        assert!(!left.status.success(), "what comes now comes from the registry: {left}");
    }
    machine.sandbox.start("docker", ["pull", &pulled]).wait_for(PATIENCE).ok();
    machine.docker(&["tag", &pulled, name]).ok();
    machine.is_kept = true;
    Ok(pulled)
}

/// Builds the image with the MPI program on the one that was pulled.
fn add_mpi(sandbox: &Sandbox, pulled: &str, name: &str) {
    let folder = repository().join("crates/awsb-testkit/mpi").display().to_string();
    let image = format!("IMAGE={pulled}");
    let args = ["build", "--network", "host", "--build-arg", &image, "--tag", name, &folder];
    sandbox.start("docker", args).wait_for(PATIENCE).ok();
}

/// A name for these files and folders of the source, and for what they are put upon.
fn content(base: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new_with_prefix(base);
    for part in parts {
        add(&mut hash, &repository().join(part)).expect("the source is there");
    }
    hex::encode(&hash.finalize()[..6])
}

fn add(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        let mut files: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        return files.iter().try_for_each(|file| add(hash, &file.path()));
    }
    let is_program = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions()) & 0o111 != 0;
    hash.update(format!("\0{}\0{is_program}\0", path.display()));
    hash.update(fs::read(path)?);
    Ok(())
}
