//! The local cluster's Batch as boto3 sees it; the stories are in `local_batch.py`.

use awsb_testkit::{Sandbox, script, story};

#[track_caller]
fn tell(story: &str) {
    let mut sandbox = Sandbox::new();
    sandbox.use_python();
    sandbox.use_local_exports();
    let file = script("local_batch.py").display().to_string();
    sandbox.run("python", [file.as_str(), story]).ok();
}

#[story]
fn a_job_waits_for_what_it_depends_on() {
    tell("dependencies");
}

#[story]
fn children_wait_for_their_like_or_for_the_one_before() {
    tell("dependencies_of_children");
}

#[story]
fn the_nodes_of_a_multi_node_job_run_together() {
    tell("multi_node");
}

#[story]
fn queues_and_compute_environments_say_who_runs() {
    tell("queues");
}

#[story]
fn shares_take_turns() {
    tell("shares");
}

#[story]
fn everything_can_be_tagged() {
    tell("tags");
}

#[story]
fn job_definitions_have_revisions() {
    tell("definitions");
}

#[story]
fn rules_decide_about_another_attempt() {
    tell("retries");
}

#[story]
fn processes_have_the_limits_of_their_job() {
    tell("limits");
}
