//! The network and the account at their worst: every tool says what is wrong within 15 seconds, in
//! one line and with what to do next. How long `bsub` goes on with a job that it has sent is in
//! `submit_once.rs`.

use std::time::{Duration, Instant};

use serde_json::json;

use awsb_testkit::{Answer, BadServer, Outcome, Sandbox, story};

/// How long a tool may take to say that it cannot reach its endpoint.
const SAID_WITHIN: Duration = Duration::from_secs(15);

const ID: &str = "0f0e1d2c-3b4a-4958-8776-655443322110";

/// The command lines that have to come to terms with a bad network, one for each way to it.
const TOOLS: [&[&str]; 7] = [
    &["bsub", "--submit-timeout", "2", "job.sh"],
    &["bstat"],
    &["bstat", ID],
    &["bout", ID],
    &["bkill", ID],
    &["bwait", ID],
    SENDER,
];

/// The one that gets as far as SubmitJob, and looks for its job afterwards.
const SENDER: &[&str] = &["bsub", "--submit-timeout", "2", "true"];

/// A sandbox whose cluster is at `endpoint`, with the credentials of a profile as `aws sso login`
/// leaves them.
fn sandbox(endpoint: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    // A request that was sent and not answered is searched for no longer than this.
    sandbox.set("AWSB_SUBMIT_SETTLE", "0.5");
    sandbox.config(&format!(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nprofile = \"lab\"\n\
         endpoint_url = \"{endpoint}\"\nbucket = \"far-bucket\"\njob_queue = \"far-queue\"\n\
         job_definition = \"far-definition\"\n"
    ));
    sandbox.file(
        "../home/.aws/credentials",
        "[lab]\naws_access_key_id = ASIAEXAMPLE\naws_secret_access_key = hidden-secret\n\
         aws_session_token = hidden-token\n",
    );
    // More than a request has as text: it is stored first.
    sandbox.file("job.sh", "echo content\n".repeat(1000));
    sandbox
}

/// Runs all tools at once and checks that each failed, with a hint, in time.
fn all_fail_in_time(endpoint: &str) -> Vec<Outcome> {
    let sandbox = sandbox(endpoint);
    let start = Instant::now();
    let running: Vec<_> = TOOLS.iter().map(|line| sandbox.start(line[0], &line[1..])).collect();
    let mut outcomes = Vec::new();
    for (line, tool) in TOOLS.iter().zip(running) {
        let limit = if *line == SENDER { SAID_WITHIN * 2 } else { SAID_WITHIN };
        outcomes.push(tool.wait_for(limit));
        assert!(start.elapsed() < limit, "{:?}: {outcomes:?}", start.elapsed());
    }
    for outcome in &outcomes {
        let message = outcome.failed_with(1);
        assert!(message.contains(endpoint), "which endpoint? {outcome}");
        assert_ne!(outcome.hints(), "", "what to do next? {outcome}");
    }
    outcomes
}

/// The answer of a Batch that takes every job.
fn taken() -> Answer {
    Answer::json(
        json!({ "jobArn": format!("arn:aws:batch:eu-west-1:1:job/{ID}"), "jobId": ID, "jobName": "job" }),
    )
}

#[story]
fn an_endpoint_where_nobody_listens() {
    all_fail_in_time(&BadServer::closed_port());
}

#[story]
fn an_endpoint_that_never_answers() {
    let server = BadServer::start(|_, _| Answer::Hang);
    all_fail_in_time(&server.endpoint());
    assert!(
        server.requests("submitjob").len() <= 1,
        "a request that may have been carried out is not sent again"
    );
}

#[story]
fn expired_credentials_name_the_command_that_renews_them() {
    let server = BadServer::start(|request, _| match request.service.as_str() {
        "s3" => Answer::s3_error(400, "ExpiredToken", "The provided token has expired."),
        _ => Answer::error(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
    });
    let sandbox = sandbox(&server.endpoint());
    for line in TOOLS {
        let outcome = sandbox.run(line[0], &line[1..]);
        assert!(outcome.failed_with(1).contains("expired"), "{outcome}");
        assert!(outcome.hints().contains("--profile lab`"), "{outcome}");
    }
    assert_eq!(server.requests("submitjob").len(), 1, "`bsub true` alone got as far as that");
}

#[story]
fn a_throttled_submission_is_sent_again_until_it_is_taken() {
    let server = BadServer::start(|request, before| match (request.operation(), before) {
        ("submitjob", 0 | 1) => Answer::error(429, "TooManyRequestsException", "Too Many Requests"),
        ("submitjob", _) => taken(),
        _ => Answer::stored(),
    });
    let outcome = sandbox(&server.endpoint()).run("bsub", ["--parsable", "job.sh"]).ok();
    assert_eq!(outcome.stdout, format!("{ID}\n"));
    assert_eq!(server.requests("submitjob").len(), 3);
    assert_eq!(server.requests("s3").len(), 1, "the bundle is stored once");
}

#[story]
fn a_submission_whose_answer_is_lost_is_not_repeated_before_it_was_looked_for() {
    for lost in [
        Answer::Reset,
        Answer::error(500, "ServerException", "Internal Error"),
        Answer::Http(503, "Service Unavailable".into(), Vec::new()),
        Answer::Http(200, "{\"jobId\": \"cut".into(), Vec::new()),
    ] {
        let reply = lost.clone();
        let server = BadServer::start(move |request, before| match (request.operation(), before) {
            ("submitjob", 0) => reply.clone(),
            ("submitjob", _) => taken(),
            ("listjobs", _) => Answer::json(json!({ "jobSummaryList": [] })),
            _ => Answer::stored(),
        });
        let outcome =
            sandbox(&server.endpoint()).run("bsub", ["--parsable", "-J", "precious", "job.sh"]).ok();
        assert_eq!(outcome.stdout, format!("{ID}\n"), "{lost:?}");
        assert_eq!(server.requests("submitjob").len(), 2, "{lost:?}\n{outcome}");
        assert!(server.requests("listjobs").len() > 1, "{lost:?}\n{outcome}");
    }
}

#[story]
fn what_can_be_asked_twice_is() {
    let server = BadServer::start(|_, before| match before {
        0 => Answer::Reset,
        1 => Answer::error(500, "ServerException", "Internal Error"),
        _ => Answer::json(json!({ "jobSummaryList": [] })),
    });
    let outcome = sandbox(&server.endpoint()).run("bstat", ["-s", "RUNNING"]).ok();
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    assert_eq!(server.requests("listjobs").len(), 3);
}

#[story]
fn nonsense_from_a_server_is_an_error_not_a_panic() {
    let answers = [
        Answer::Http(200, String::new(), Vec::new()),
        Answer::Http(200, "<html>It works!</html>".into(), vec![("content-type", "text/html".into())]),
        Answer::Http(404, "<html>Not Found</html>".into(), vec![("content-type", "text/html".into())]),
        Answer::Http(302, String::new(), vec![("location", "http://127.0.0.1:1/".into())]),
        Answer::json(json!([1, 2, 3])),
        Answer::error(400, "ClientException", "two\nlines and a \u{1b}[31mcolour"),
    ];
    for answer in answers {
        let reply = answer.clone();
        let server = BadServer::start(move |_, _| reply.clone());
        let sandbox = sandbox(&server.endpoint());
        for line in TOOLS {
            let outcome = sandbox.run(line[0], &line[1..]);
            assert!(!outcome.stderr.contains("panicked"), "{answer:?}\n{outcome}");
            assert!(!outcome.stderr.contains('\u{1b}'), "{answer:?}\n{outcome}");
            // An empty list of jobs is a fair reading of an empty answer, everything else is an
            // error.
            if line != ["bstat"] && outcome.code() != 0 {
                outcome.failed_with(1);
            }
            assert!(line == ["bstat"] || outcome.code() == 1, "{answer:?}\n{outcome}");
        }
    }
}

#[story]
fn debug_shows_what_was_sent_and_no_secret() {
    let server = BadServer::start(|request, _| match request.operation() {
        "submitjob" => taken(),
        _ => Answer::stored(),
    });
    let outcome = sandbox(&server.endpoint()).run("bsub", ["--debug", "--parsable", "job.sh"]).ok();
    assert_eq!(outcome.stdout, format!("{ID}\n"), "--debug speaks on stderr alone");
    assert!(outcome.stderr.contains("/v1/submitjob"), "{outcome}");
    assert!(outcome.stderr.contains("far-queue"), "{outcome}");
    assert!(outcome.stderr.contains(ID), "what came back, too: {outcome}");
    assert!(!outcome.stderr.contains("hidden-"), "neither the secret key nor the session token: {outcome}");
}
