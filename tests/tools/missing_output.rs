//! Log streams that a job names and that are not there: somebody has deleted them, or they are too
//! old.

use awsb_testkit::{Answer, BadServer, Request, Sandbox, story};
use serde_json::{Value, json};

const ONE: &str = "8f2c0d3e-1111-4222-8333-444455550001";
const RETRIED: &str = "8f2c0d3e-1111-4222-8333-444455550002";
const ARRAY: &str = "8f2c0d3e-1111-4222-8333-444455550003";
const RUNNING: &str = "8f2c0d3e-1111-4222-8333-444455550004";
const EMPTY: &str = "8f2c0d3e-1111-4222-8333-444455550005";

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn is_gone(stream: &str) -> bool {
    stream.starts_with("gone")
}

/// A job as DescribeJobs has it. Of the array's twelve children the first has its stream.
fn job(id: &str) -> Value {
    let (whole, child) = id.split_once(':').map_or((id, None), |(whole, index)| (whole, Some(index)));
    let ended = json!({ "jobId": id, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": "FAILED",
        "startedAt": 1_700_000_000_000_i64, "stoppedAt": 1_700_000_001_000_i64, "createdAt": 1_699_999_999_000_i64 });
    let with = |more: Value| {
        let mut job = ended.clone();
        for (key, value) in more.as_object().into_iter().flatten() {
            job[key] = value.clone();
        }
        job
    };
    let stream = |name: &str| json!({ "logStreamName": name, "exitCode": 1 });
    match (whole, child) {
        (ONE, _) => with(json!({ "container": stream("gone/1") })),
        (RETRIED, _) => with(json!({ "container": stream("there/2"),
            "attempts": [{ "container": stream("gone/1") }, { "container": stream("there/2") }] })),
        (ARRAY, None) => {
            with(json!({ "arrayProperties": { "size": 12, "statusSummary": { "FAILED": 12 } } }))
        }
        (ARRAY, Some("0")) => {
            with(json!({ "container": stream("there/0"), "arrayProperties": { "index": 0 } }))
        }
        (ARRAY, Some(index)) => with(json!({ "container": stream(&format!("gone/{index}")),
            "arrayProperties": { "index": index.parse::<u32>().unwrap_or(0) } })),
        (RUNNING, _) => {
            with(json!({ "status": "RUNNING", "stoppedAt": null, "container": stream("gone/1") }))
        }
        _ => with(json!({ "container": stream("empty") })),
    }
}

fn logs(request: &Request) -> Answer {
    let asked = body(request);
    let streams = match &asked["logStreamNames"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => vec![asked["logStreamName"].as_str().unwrap_or_default().to_owned()],
    };
    if streams.iter().any(|stream| is_gone(stream)) {
        return Answer::error(400, "ResourceNotFoundException", "The specified log stream does not exist.");
    }
    let has_begun = asked["nextToken"].is_string();
    let lines = streams.iter().filter(|stream| *stream != "empty" && !has_begun);
    let lines: Vec<Value> = lines
        .map(|stream| json!({ "timestamp": 1_700_000_000_500_i64, "message": stream, "logStreamName": stream }))
        .collect();
    match asked["logStreamNames"].is_array() {
        true => Answer::json(json!({ "events": lines })),
        false => {
            Answer::json(json!({ "events": lines, "nextForwardToken": "f/1", "nextBackwardToken": "b/1" }))
        }
    }
}

fn server() -> BadServer {
    BadServer::start(|request, _| match request.operation() {
        "describejobs" => {
            let asked = body(request)["jobs"].as_array().cloned().unwrap_or_default();
            let jobs: Vec<Value> = asked.iter().filter_map(|id| id.as_str().map(job)).collect();
            Answer::json(json!({ "jobs": jobs }))
        }
        "listjobs" => {
            let children = (0..12).map(|index| job(&format!("{ARRAY}:{index}")));
            let is_failed = body(request)["jobStatus"] == "FAILED";
            Answer::json(json!({ "jobSummaryList": children.filter(|_| is_failed).collect::<Vec<_>>() }))
        }
        "logs" => logs(request),
        _ => Answer::json(json!({})),
    })
}

#[story]
fn a_stream_that_is_not_there_is_said() {
    let server = server();
    let sandbox = Sandbox::at(&server.endpoint());
    let gone = format!(
        "the output of the job {ONE} is gone: its log stream gone/1 is not there in the log group /aws/batch/job"
    );
    for args in [
        vec![ONE],
        vec!["-f", ONE],
        vec!["--tail", "3", ONE],
        vec!["--filter", "x", ONE],
        vec!["-f", "--filter", "x", ONE],
    ] {
        let outcome = sandbox.run("bout", &args);
        assert!(outcome.failed_with(1).starts_with(&gone), "{outcome}");
        assert!(outcome.hints().contains("aws logs describe-log-groups"), "{outcome}");
    }
    let warning = format!(
        "bout: warning: the output of the job {RETRIED} is incomplete: its log stream gone/1 is not there"
    );
    for args in [vec![RETRIED], vec!["-f", RETRIED], vec!["--tail", "3", RETRIED]] {
        let outcome = sandbox.run("bout", &args).ok();
        assert_eq!(outcome.stdout, "there/2\n");
        assert!(outcome.stderr.starts_with(&warning), "{outcome}");
    }
    let warning = format!(
        "bout: warning: the output of the job {ARRAY} is incomplete: 11 of its log streams are not there"
    );
    for args in [vec![ARRAY], vec!["-f", ARRAY], vec!["--tail", "3", ARRAY]] {
        let outcome = sandbox.run("bout", &args).ok();
        assert_eq!(outcome.stdout, "0: there/0\n", "{outcome}");
        assert!(outcome.stderr.starts_with(&warning), "{outcome}");
    }
    // Few are read one by one.
    let outcome = sandbox.run("bout", ["--index", "0-2", ARRAY]).ok();
    assert!(outcome.stderr.contains("2 of its log streams are not there"), "{outcome}");
    let outcome = sandbox.run("bout", ["--index", "1-3", ARRAY]);
    assert!(outcome.failed_with(1).contains("3 of its log streams are not there"), "{outcome}");
    // The stream of a job that runs may be on its way.
    let outcome = sandbox.run("bout", [RUNNING]).ok();
    assert!(outcome.stderr.contains("its log stream gone/1 is not there (yet)"), "{outcome}");
    // One that is there and has no lines is another thing.
    for args in [vec![EMPTY], vec!["-f", EMPTY], vec!["--tail", "3", EMPTY]] {
        let outcome = sandbox.run("bout", &args).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    }
}

#[story]
fn why_says_it_too() {
    let server = server();
    let sandbox = Sandbox::at(&server.endpoint());
    for args in [["--why", ONE].as_slice(), &["--why", "--json", ONE]] {
        let outcome = sandbox.run("bstat", args).ok();
        let warning = format!(
            "bstat: warning: the output of the job {ONE} is not there: its log stream gone/1 was deleted"
        );
        assert!(outcome.stderr.starts_with(&warning), "{outcome}");
        assert!(outcome.stdout.contains("FAILED"), "{outcome}");
    }
    assert_eq!(sandbox.run("bstat", ["--why", EMPTY]).ok().stderr, "");
}
