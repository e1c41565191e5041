//! The history of submissions where it cannot be written: whoever submits is told, and `last` is
//! never an earlier job unnoticed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use awsb_testkit::{Chaos, Outcome, Sandbox, Weather, program, story};

const OLD: &str = "8f2c0d3e-1111-4222-8333-444455556666";

/// A cluster that takes jobs, and the history of its submissions.
fn world() -> (Chaos, Sandbox, PathBuf) {
    let chaos = Chaos::start(1, Weather::FAIR);
    let sandbox = Sandbox::at(&chaos.endpoint());
    let file =
        PathBuf::from(sandbox.get("XDG_STATE_HOME").expect("a folder")).join("awsb/jobs/far.eu-west-1");
    (chaos, sandbox, file)
}

/// It submitted a job, and warned that its record failed for this reason. Returns the job's ID.
fn is_warned_of(outcome: &Outcome, file: &str, why: &str) -> String {
    let outcome = outcome.clone().ok();
    let id = outcome.job_id();
    let expected = format!(
        "bsub: warning: recording the job {id} in {file} failed: {why}; `last` is not this job, so use its ID\n"
    );
    assert_eq!(outcome.stderr, expected, "{outcome}");
    id
}

fn is_refused(outcome: &Outcome, why: &str) {
    let message = outcome.failed_with(2);
    assert!(message.contains("the latest job from here to the cluster `far` is not known"), "{outcome}");
    assert!(message.contains(why), "{outcome}");
    assert!(outcome.hints().contains("name the job by its ID"), "{outcome}");
}

fn ended(chaos: &Chaos) -> Vec<String> {
    chaos.jobs().into_iter().filter(|job| !job.is_alive()).map(|job| job.id).collect()
}

#[story]
fn a_job_that_cannot_be_recorded_is_not_mistaken_for_the_one_before() {
    let (chaos, sandbox, file) = world();
    let shown = file.display().to_string();
    sandbox.run("bsub", ["true"]).ok();
    let lock = file.with_extension("lock");
    fs::remove_file(&lock).expect("the lock");
    fs::create_dir(&lock).expect("a folder in its place");
    let unrecorded = is_warned_of(&sandbox.run("bsub", ["true"]), &shown, "Is a directory (os error 21)");
    // A script that is silent must not go on with another job either.
    is_warned_of(
        &sandbox.run("bsub", ["--quiet", "--parsable", "true"]),
        &shown,
        "Is a directory (os error 21)",
    );
    fs::remove_dir(&lock).expect("it goes");
    is_refused(&sandbox.run("bkill", ["last"]), "a later submission could not be recorded in ");
    is_refused(&sandbox.run("bsub", ["-d", "last", "true"]), "a later submission could not be recorded in ");
    assert_eq!(ended(&chaos), [""; 0]);
    sandbox.run("bkill", [&unrecorded]).ok();
    assert_eq!(ended(&chaos), [unrecorded]);
    // The next one that is recorded is the latest.
    let outcome = sandbox.run("bsub", ["true"]).ok();
    assert_eq!(outcome.stderr, "");
    sandbox.run("bkill", ["last"]).ok();
    assert!(ended(&chaos).contains(&outcome.job_id()), "{outcome}");
    assert_eq!(ended(&chaos).len(), 2);
}

#[story]
fn where_nothing_can_be_written_last_is_no_job() {
    let (chaos, sandbox, file) = world();
    let shown = file.display().to_string();
    sandbox.run("bsub", ["true"]).ok();
    let folder = file.parent().expect("its folder");
    let modes = |of_folder: u32, of_files: u32| {
        fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("a mode");
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file")) {
            fs::set_permissions(entry.path(), Permissions::from_mode(of_files)).expect("a mode");
        }
        fs::set_permissions(folder, Permissions::from_mode(of_folder)).expect("a mode");
    };
    // No mode of a file keeps root out, unless it gives this up.
    let run = |line: &[&str]| match nix::unistd::geteuid().is_root() {
        true => {
            program("setpriv");
            let words = ["--bounding-set=-all", "--inh-caps=-all"].into_iter().chain(line.iter().copied());
            let outcome = sandbox.run("setpriv", words.collect::<Vec<_>>());
            Outcome { what: line.join(" "), ..outcome }
        }
        false => sandbox.run(line[0], &line[1..]),
    };
    modes(0o500, 0o400);
    is_warned_of(&run(&["bsub", "true"]), &shown, "Permission denied (os error 13)");
    is_refused(&run(&["bkill", "last"]), "submissions cannot be recorded in ");
    modes(0o700, 0o600);
    assert_eq!(ended(&chaos), [""; 0]);
}

#[story]
fn a_line_is_there_as_a_whole_or_not_at_all() {
    let (_chaos, sandbox, file) = world();
    let old = format!("{OLD} old 2026-01-02T03:04:05Z\n");
    let known = old.repeat(1000 / old.len());
    // A line that another version has cut: it may have been the latest job.
    fs::create_dir_all(file.parent().expect("its folder")).expect("a folder");
    fs::write(&file, format!("{known}8f2c")).expect("a file");
    is_refused(&sandbox.run("bstat", ["last"]), "the last line of ");
    let last = || sandbox.run("bstat", ["--json", "last"]).ok().json()[0]["jobId"].clone();
    let id = sandbox.run("bsub", ["true"]).ok().job_id();
    assert_eq!(last(), id);
    // A disk that takes no more than a part of the line.
    fs::write(&file, &known).expect("a file");
    let limited = "trap '' XFSZ; ulimit -f 1; bsub true";
    program("bash");
    let outcome = sandbox.run("bash", ["-c", limited]);
    is_warned_of(&outcome, &file.display().to_string(), "File too large (os error 27)");
    assert_eq!(fs::read_to_string(&file).expect("the file"), known);
    is_refused(&sandbox.run("bstat", ["last"]), "a later submission could not be recorded in ");
    let id = sandbox.run("bsub", ["true"]).ok().job_id();
    assert_eq!(last(), id);
    let lines = fs::read_to_string(&file).expect("the file");
    assert!(lines.strip_prefix(&known).is_some_and(|line| line.starts_with(&id)), "{lines}");
}

#[story]
fn the_id_is_printed_whoever_holds_the_history() {
    let (_chaos, sandbox, file) = world();
    let shown = file.display().to_string();
    sandbox.run("bsub", ["true"]).ok();
    let lock = File::open(file.with_extension("lock")).expect("the lock");
    lock.lock().expect("it is locked");
    is_warned_of(&sandbox.run("bsub", ["true"]), &shown, "another process holds its lock");
    is_refused(&sandbox.run("bstat", ["last"]), "a later submission could not be recorded in ");
    drop(lock);
    let id = sandbox.run("bsub", ["true"]).ok().job_id();
    assert!(fs::read_to_string(&file).expect("the file").contains(&id));
    // A FIFO without a reader, in the place of either file.
    for place in [file.with_extension("lock"), file.clone()] {
        fs::remove_file(&place).expect("it goes");
        nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        is_warned_of(&sandbox.run("bsub", ["true"]), &shown, "it is not a file");
        is_refused(&sandbox.run("bstat", ["last"]), "a later submission could not be recorded in ");
        fs::remove_file(&place).expect("it goes");
        sandbox.run("bsub", ["true"]).ok();
    }
}
