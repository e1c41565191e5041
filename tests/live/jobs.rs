//! The same stories on a real cluster, for whoever sets `AWSB_LIVE_CLUSTER` to the name of one in
//! the settings file: what we believe of AWS Batch, held against AWS Batch.
//!
//! ```text
//! AWSB_LIVE_CLUSTER=genomics cargo test --test live
//! ```
//!
//! They cost a few minutes of small jobs. Without the variable they are ignored. In CI it is
//! `local`, so that they are right when somebody needs them.

use std::time::Duration;

use awsb_testkit::{Outcome, Sandbox, missing, story};
use serde_json::Value;

/// How long a job may take on a cluster that has to start an instance for it.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A sandbox whose tools use the cluster that the environment names.
fn sandbox() -> Sandbox {
    let Ok(name) = std::env::var("AWSB_LIVE_CLUSTER") else {
        missing("a cluster", "AWSB_LIVE_CLUSTER names none")
    };
    let mut sandbox = Sandbox::new();
    if name == "local" {
        return sandbox;
    }
    let theirs = ["HOME", "XDG_CONFIG_HOME", "AWSB_CONFIG"];
    for (variable, value) in std::env::vars() {
        if theirs.contains(&variable.as_str()) || variable.starts_with("AWS_") {
            sandbox.set(&variable, value);
        }
    }
    sandbox.set("AWSB_CLUSTER", name);
    sandbox
}

#[track_caller]
fn run(sandbox: &Sandbox, program: &str, args: &[&str]) -> Outcome {
    sandbox.start(program, args).wait_for(PATIENCE)
}

/// The job as DescribeJobs returns it.
#[track_caller]
fn described(sandbox: &Sandbox, id: &str) -> Value {
    run(sandbox, "bstat", &[id, "--json"]).ok().json()[0].take()
}

#[story]
fn a_command_prints_and_its_exit_code_is_ours() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, "bsub", &["-I", "--wrap", "echo a; echo \"b  c\"; exit 7"]);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (7, "a\nb  c\n"), "{outcome}");
}

#[story]
fn a_script_gets_its_arguments_as_they_are() {
    let sandbox = sandbox();
    sandbox.file("job.sh", "for a; do printf '<%s>\\n' \"$a\"; done\n");
    let outcome = run(&sandbox, "bsub", &["-I", "job.sh", "a b", "", "c'd", "é"]).ok();
    assert_eq!(outcome.stdout, "<a b>\n<>\n<c'd>\n<é>\n");
}

#[story]
fn children_know_their_index_and_the_parent_counts_them() {
    let sandbox = sandbox();
    let args = [
        "--parsable",
        "-a",
        "3",
        "--wrap",
        "echo $AWS_BATCH_JOB_ARRAY_INDEX; exit $AWS_BATCH_JOB_ARRAY_INDEX",
    ];
    let id = run(&sandbox, "bsub", &args).ok().stdout.trim().to_owned();
    for index in 0..3 {
        let outcome = run(&sandbox, "bout", &["-f", &format!("{id}:{index}")]);
        assert_eq!(outcome.stdout, format!("{index}\n"), "{outcome}");
    }
    let parent = awsb_testkit::eventually("the parent has ended", PATIENCE, || {
        let parent = described(&sandbox, &id);
        (parent["status"] == "FAILED").then_some(parent)
    });
    let summary = &parent["arrayProperties"]["statusSummary"];
    assert_eq!((&summary["SUCCEEDED"], &summary["FAILED"]), (&1.into(), &2.into()), "{parent}");
    assert_eq!(described(&sandbox, &format!("{id}:2"))["container"]["exitCode"], 2);
}

#[story]
fn a_failed_attempt_is_repeated_in_a_stream_of_its_own() {
    let sandbox = sandbox();
    let outcome = run(
        &sandbox,
        "bsub",
        &["-K", "--parsable", "-r", "2", "--wrap", "echo $AWS_BATCH_JOB_ATTEMPT; exit 3"],
    );
    assert_eq!(outcome.code(), 3, "{outcome}");
    let job = described(&sandbox, outcome.stdout.trim());
    let attempts = job["attempts"].as_array().unwrap();
    let of = |n: usize, what: &str| attempts[n]["container"][what].clone();
    assert_eq!((attempts.len(), of(0, "exitCode"), of(1, "exitCode")), (2, 3.into(), 3.into()), "{job}");
    assert_ne!(of(0, "logStreamName"), of(1, "logStreamName"));
    assert_eq!(job["statusReason"], "Essential container in task exited");
}

#[story]
fn a_terminated_job_has_failed_for_the_reason_that_was_given() {
    let sandbox = sandbox();
    let id = run(&sandbox, "bsub", &["--parsable", "sleep", "600"]).ok().stdout.trim().to_owned();
    run(&sandbox, "bkill", &["-r", "enough of it", &id]).ok();
    let job = awsb_testkit::eventually("it has ended", PATIENCE, || {
        let job = described(&sandbox, &id);
        (job["status"] == "FAILED").then_some(job)
    });
    assert_eq!(job["statusReason"], "enough of it", "{job}");
    run(&sandbox, "bkill", &[&id]).ok();
}
