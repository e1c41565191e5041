//! Contact that is lost while somebody waits.

use awsb_testkit::{Answer, BadServer, Sandbox, story};
use serde_json::json;

const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";

fn sandbox(server: &BadServer) -> Sandbox {
    let mut sandbox = Sandbox::at(&server.endpoint());
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

#[story]
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

#[story]
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

#[story]
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

#[story]
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

/// The answer to a request for log lines, from the lines on: the token says where it goes on.
fn lines(request: &awsb_testkit::Request, all: &[(i64, &str)], first_life_of_tokens: usize) -> Answer {
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let token = body["nextToken"].as_str().unwrap_or_default();
    let start = body["startTime"].as_i64().unwrap_or(i64::MIN);
    let at = token.rsplit('/').next().and_then(|t| t.parse().ok()).unwrap_or(0);
    if at == first_life_of_tokens && token.starts_with("f1/") {
        return Answer::error(400, "InvalidParameterException", "The specified nextToken is invalid.");
    }
    let life = if start > i64::MIN || token.starts_with("f2/") { "f2" } else { "f1" };
    let from = all.iter().position(|(time, _)| *time >= start).unwrap_or(all.len()).max(at);
    let page: Vec<_> =
        all.iter().skip(from).take(2).map(|(t, m)| json!({ "timestamp": t, "message": m })).collect();
    let next = format!("{life}/{}", from + page.len());
    Answer::json(json!({ "events": page, "nextForwardToken": next, "nextBackwardToken": "b/0" }))
}

fn with_stream(status: &str) -> Answer {
    let mut job = json!({
        "jobId": ID, "jobName": "true", "jobQueue": "q", "jobDefinition": "d", "status": status,
        "startedAt": 1_700_000_000_000_i64, "container": { "logStreamName": "d/default/1", "exitCode": 0 },
    });
    if status == "SUCCEEDED" {
        job["stoppedAt"] = json!(1_700_000_001_000_i64);
    }
    Answer::json(json!({ "jobs": [job] }))
}

const LINES: [(i64, &str); 5] = [(1, "a"), (2, "b"), (2, "c"), (2, "d"), (3, "e")];

#[story]
fn a_token_that_has_expired_costs_no_line() {
    // This holds for every line after which the job was silent for a day.
    for expires_after in [2, 4, 5] {
        let server = BadServer::start(move |request, _| match request.operation() {
            "describejobs" => with_stream("SUCCEEDED"),
            _ => lines(request, &LINES, expires_after),
        });
        for words in [&["bout", ID][..], &["bout", "-f", ID]] {
            let outcome = sandbox(&server).run(words[0], &words[1..]).ok();
            assert_eq!(outcome.stdout, "a\nb\nc\nd\ne\n", "expired after {expires_after}");
        }
    }
}

#[story]
fn a_log_group_that_is_not_there_yet_is_waited_for() {
    let missing =
        || Answer::error(400, "ResourceNotFoundException", "The specified log group does not exist.");
    let server = BadServer::start(move |request, before| match (request.operation(), before) {
        ("submitjob", _) => taken(),
        ("describejobs", 0) => with_stream("STARTING"),
        ("describejobs", _) => with_stream("SUCCEEDED"),
        (_, 0) => missing(),
        _ => lines(request, &LINES, usize::MAX),
    });
    let outcome = sandbox(&server).run("bsub", ["-I", "true"]).ok();
    assert_eq!(outcome.stdout, "a\nb\nc\nd\ne\n");
    // A command that does not wait fails, and its message names the log group.
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobs" => with_stream("RUNNING"),
        _ => missing(),
    });
    let is_told = |server: &BadServer, words: &[&str]| {
        let outcome = sandbox(server).run("bout", words);
        assert!(outcome.failed_with(1).contains("/aws/batch/job"), "{outcome}");
        assert!(outcome.hints().contains("`log_group`"), "{outcome}");
    };
    is_told(&server, &[ID]);
    // When the job has ended, it comes no more.
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobs" => with_stream("SUCCEEDED"),
        _ => missing(),
    });
    is_told(&server, &["-f", ID]);
    is_told(&server, &["-f", "--filter", "x", ID]);
}

#[story]
fn reading_that_has_begun_is_not_given_up() {
    // Longer than a call is tried by itself.
    let server = BadServer::start(|request, before| match (request.operation(), before) {
        ("describejobs", _) => with_stream("SUCCEEDED"),
        (_, 1..=12) => Answer::Reset,
        _ => lines(request, &LINES, usize::MAX),
    });
    assert_eq!(sandbox(&server).run("bout", [ID]).ok().stdout, "a\nb\nc\nd\ne\n");
}

#[story]
fn a_put_that_met_another_is_made_again() {
    let server = BadServer::start(|request, before| match (request.operation(), before) {
        ("submitjob", _) => taken(),
        ("s3", 0) => Answer::s3_error(409, "ConditionalRequestConflict", "conflict"),
        _ => Answer::stored(),
    });
    let sandbox = sandbox(&server);
    sandbox.file("job.sh", "echo\n".repeat(2000));
    sandbox.run("bsub", ["job.sh"]).ok();
    assert_eq!(server.requests("s3").len(), 2, "a conflict does not say that the object is there");
}

#[story]
fn a_large_bundle_waits_no_longer_for_a_silent_server() {
    let server = BadServer::start(|_, _| Answer::Hang);
    let sandbox = sandbox(&server);
    let noise: String = (0..600_000_u64)
        .map(|n| char::from(b'!' + (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 13) as u8 % 90))
        .collect();
    sandbox.file("large.sh", format!("#!/bin/sh\n# {noise}\n"));
    let message =
        sandbox.start("bsub", ["large.sh"]).wait_for(std::time::Duration::from_secs(15)).failed_with(1);
    assert!(message.contains("gave no answer"), "{message}");
}
