//! The local cluster's Batch as boto3 sees it; the stories are in `local_batch.py`.

use awsb_testkit::{Sandbox, script, story};

#[track_caller]
fn run_story(story: &str) {
    run_story_of("local_batch.py", story);
}

#[track_caller]
fn run_story_of(program: &str, story: &str) {
    let mut sandbox = Sandbox::new();
    sandbox.use_python();
    sandbox.use_local_exports();
    let file = script(program).display().to_string();
    sandbox.run("python", [file.as_str(), story]).ok();
}

#[story]
fn each_operation_of_the_model_is_done_or_refused_by_its_name() {
    run_story_of("local_batch_model.py", "operations");
}

#[story]
fn the_model_has_no_field_that_nobody_has_looked_at() {
    run_story_of("local_batch_model.py", "fields");
}

#[story]
fn each_field_of_a_request_is_shown_or_refused_and_answers_have_their_fields() {
    run_story_of("local_batch_fields.py", "fields");
}

#[story]
fn every_field_of_a_job_definition_is_shown_as_it_was_given() {
    run_story_of("local_batch_model.py", "definitions");
}

#[story]
fn an_integer_of_the_model_that_no_client_could_read_is_refused_by_its_name() {
    run_story_of("local_batch_model.py", "integers");
}

#[story]
fn a_job_waits_for_what_it_depends_on() {
    run_story("dependencies");
}

#[story]
fn children_wait_for_their_like_or_for_the_one_before() {
    run_story("dependencies_of_children");
}

#[story]
fn the_nodes_of_a_multi_node_job_run_together() {
    run_story("multi_node");
}

#[story]
fn queues_and_compute_environments_say_who_runs() {
    run_story("queues");
}

#[story]
fn shares_take_turns() {
    run_story("shares");
}

#[story]
fn consumable_resources_limit_who_runs() {
    run_story("consumable_resources");
}

#[story]
fn everything_can_be_tagged() {
    run_story("tags");
}

#[story]
fn job_definitions_have_revisions() {
    run_story("definitions");
}

#[story]
fn rules_decide_about_another_attempt() {
    run_story("retries");
}

#[story]
fn processes_have_the_limits_of_their_job() {
    run_story("limits");
}

#[story]
fn fifty_jobs_are_terminated_or_cancelled_by_a_call() {
    run_story("bulk_ends");
}

#[story]
fn a_listing_has_capacities_times_and_requests_to_end() {
    run_story("listings");
}

#[story]
fn fargate_has_parts_of_a_vcpu_and_a_table_of_sizes() {
    run_story("fargate");
}
