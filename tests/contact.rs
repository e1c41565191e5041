//! Contact that is lost while somebody waits.

mod support;

use serde_json::json;
use support::{Answer, BadServer, Sandbox};

const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";

fn sandbox(server: &BadServer) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.config(&format!(
        "default_cluster = \"bad\"\n[cluster.bad]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\nbucket = \"b\"\n\
         job_queue = \"q\"\njob_definition = \"d\"\n",
        server.endpoint()
    ));
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
    sandbox.set("AWSB_CONTACT_TIMEOUT", "2");
    sandbox
}

fn taken() -> Answer {
    Answer::json(
        json!({ "jobId": ID, "jobName": "true", "jobArn": format!("arn:aws:batch:eu-west-1:1:job/{ID}") }),
    )
}

fn described(status: &str, exit_code: Option<i32>) -> Answer {
    Answer::json(json!({ "jobs": [{
        "jobId": ID, "jobName": "true", "jobQueue": "q", "jobDefinition": "d", "startedAt": 1_700_000_000_000_i64,
        "status": status, "statusReason": "Essential container in task exited", "container": { "exitCode": exit_code },
    }]}))
}

#[test]
fn contact_that_is_lost_for_good_has_a_code_of_its_own() {
    let server = BadServer::start(|request, before| match (request.operation(), before) {
        ("submitjob", _) => taken(),
        ("describejobs", 0) => described("RUNNING", None),
        _ => Answer::Reset,
    });
    for option in ["-K", "-I"] {
        let outcome = sandbox(&server).run("bsub", [option, "true"]).ended_with(125);
        assert_eq!(outcome.stdout, "");
        assert!(
            outcome.stderr.contains(&format!("bsub: error: contact with the job {ID} is lost")),
            "{outcome}"
        );
        assert!(outcome.hints().contains(&format!("`bout -f {ID}`")), "{outcome}");
    }
}

#[test]
fn what_the_credentials_lack_is_contact_lost_too() {
    let server = BadServer::start(|request, _| match request.operation() {
        "submitjob" => taken(),
        _ => Answer::error(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
    });
    let outcome = sandbox(&server).run("bsub", ["-K", "true"]).ended_with(125);
    assert!(outcome.hints().contains("`aws sso login"), "{outcome}");
}

#[test]
fn contact_that_comes_back_is_told_once_and_forgotten() {
    let server = BadServer::start(|request, before| match (request.operation(), before) {
        ("submitjob", _) => taken(),
        ("describejobs", 0..=2) => Answer::error(503, "ServiceUnavailable", "later"),
        ("describejobs", 3..=11) => Answer::Reset,
        _ => described("FAILED", Some(17)),
    });
    let mut sandbox = sandbox(&server);
    sandbox.set("AWSB_CONTACT_TIMEOUT", "60");
    let outcome = sandbox.run("bsub", ["-K", "true"]).ended_with(17);
    assert_eq!(outcome.stderr.matches("contact lost").count(), 1, "{outcome}");
    assert_eq!(server.requests("submitjob").len(), 1);
}

#[test]
fn a_listing_page_that_is_lost_is_asked_for_again() {
    let server = BadServer::start(|request, before| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if before < 2 {
            return Answer::Reset;
        }
        let page = body["nextToken"].as_str().map_or(0, |t| t.len());
        let token = (page < 2).then(|| "x".repeat(page + 1));
        Answer::json(json!({
            "jobSummaryList": [{ "jobId": format!("{}-{page}", body["jobStatus"].as_str().unwrap_or_default()),
                                 "jobName": "n", "status": body["jobStatus"] }],
            "nextToken": token,
        }))
    });
    let jobs = sandbox(&server).run("bstat", ["--json", "-s", "ALL"]).ok().json();
    assert_eq!(jobs.as_array().map(Vec::len), Some(21), "three pages of each of seven states: {jobs}");
}
