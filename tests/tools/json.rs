//! `--json`: one array on standard output, whatever is found.

use std::collections::BTreeSet;
use std::time::Duration;

use awsb_testkit::{Answer, BadServer, Outcome, Sandbox, eventually, story};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::cluster_create::fake::{Fake, error};

const ID: &str = "aaaaaaaa-1111-4222-8333-444455556666";
const OTHER: &str = "bbbbbbbb-1111-4222-8333-444455556666";

/// ECR and CodeBuild with a repository that has no image, and no build.
fn empty() -> BadServer {
    BadServer::start(|request, _| {
        let target = request.header("x-amz-target").unwrap_or_default();
        match target.rsplit('.').next().unwrap_or_default() {
            "DescribeRepositories" => Answer::json(json!({"repositories": [{
                "repositoryName": "lab/genomics", "registryId": "123456789012",
                "repositoryUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics",
            }]})),
            "DescribeImages" => Answer::error(400, "ImageNotFoundException", "The image is not there"),
            "BatchGetBuilds" => Answer::json(json!({"builds": [], "buildsNotFound": [format!("awsb:{ID}")]})),
            _ => Answer::error(400, "ClientException", "not asked for"),
        }
    })
}

/// A line of arguments with `--json`, which names something that is not there.
type Line<'a> = (&'a str, &'a [&'a str]);

/// Those that show things, or do something to each of several.
const LOOKUPS: [Line<'static>; 15] = [
    ("bstat", &[ID]),
    ("bstat", &["--why", ID]),
    ("bout", &[ID]),
    ("bout", &["-d", "lines", ID]),
    ("bout", &["--files", ID]),
    ("bout", &["--files", ID, OTHER]),
    ("bkill", &[ID]),
    ("bkill", &["--dry-run", ID]),
    ("bwait", &[ID]),
    ("bqueues", &["nosuch"]),
    ("bqueues", &["--resources", "nosuch"]),
    ("bhosts", &["i-0123456789abcdef0"]),
    ("bimage", &["show", "nosuch"]),
    ("bimage", &["rm", "--dry-run", "nosuch"]),
    ("bcluster", &["show", "-c", "local", "nosuch"]),
];

/// Those that do one thing, or follow it.
const COMMANDS: [Line<'static>; 6] = [
    ("bsub", &["--rerun", ID]),
    ("bexec", &["--forward", "8888", ID]),
    ("bout", &["-f", ID]),
    ("bcluster", &["stop", "-c", "local", "nosuch"]),
    ("bcluster", &["delete", "-c", "local", "--yes", "nosuch"]),
    ("blocal", &["start", "-c", "nosuch"]),
];

/// Tools and commands whose `--json` names nothing.
const WITHOUT_NAMES: [&str; 3] = ["awsb doctor", "awsb prune", "awsb completions"];

#[story]
fn what_is_not_there_is_an_empty_array() {
    let (local, server) = (Sandbox::new(), empty());
    let far = Sandbox::at(&server.endpoint());
    let path = format!("{}/awsb/config.toml", far.get("XDG_CONFIG_HOME").unwrap());
    let config = std::fs::read_to_string(path).unwrap();
    far.config(&format!("{config}ecr_repository = \"lab/genomics\"\n"));
    let run = |(tool, args): &Line<'_>| -> Outcome {
        let sandbox = if *tool == "bimage" { &far } else { &local };
        sandbox.run(tool, [&["--json"], *args].concat())
    };
    let build = format!("awsb:{ID}");
    let logs: Line<'_> = ("bimage", &["logs", &build]);
    for line in LOOKUPS.iter().chain([&logs]) {
        let outcome = run(line);
        let seen = (outcome.code(), outcome.stdout.as_str());
        assert_eq!(seen, (1, "[]\n"), "{line:?}: {outcome}");
        assert!(outcome.stderr.contains(": error: "), "{line:?}: {outcome}");
    }
    for line in &COMMANDS {
        let outcome = run(line);
        assert!(outcome.code() > 0 && outcome.stdout.is_empty(), "{line:?}: {outcome}");
    }
    // Those that are there are shown beside.
    let there = local.run("bsub", ["-K", "--parsable", "--wrap", "echo hi"]).ok().job_id();
    for (tool, args) in LOOKUPS.iter().filter(|(_, args)| args.last() == Some(&ID) && args.len() == 1) {
        let outcome = local.run(tool, [&["--json", &there], *args].concat());
        let shown: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        let ids: Vec<_> = shown.as_array().into_iter().flatten().map(|one| &one["jobId"]).collect();
        assert_eq!((outcome.code(), ids.as_slice()), (1, &[&json!(there)][..]), "{tool}: {outcome}");
    }
}

#[story]
fn where_nothing_can_be_asked_nothing_is_printed() {
    let sandbox = Sandbox::new();
    for (tool, args) in LOOKUPS.iter().filter(|(tool, _)| !matches!(*tool, "bimage" | "bcluster")) {
        let outcome = sandbox.run(tool, [&["--json", "--queue-of-nobody"], *args].concat());
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (2, ""), "{tool} {args:?}: {outcome}");
    }
    let denied = BadServer::start(|_, _| Answer::error(403, "AccessDeniedException", "no"));
    let sandbox = Sandbox::at(&denied.endpoint());
    for (tool, args) in [("bstat", &[ID][..]), ("bout", &[ID]), ("bkill", &[ID]), ("bqueues", &["nosuch"])] {
        let outcome = sandbox.run(tool, [&["--json"], args].concat());
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (1, ""), "{tool} {args:?}: {outcome}");
    }
}

/// A job that runs, or an array that has failed, for tools that wait for the end.
fn job(id: &str, is_failed_array: bool) -> Value {
    let mut job = json!({
        "jobId": id, "jobName": "j", "jobQueue": "q", "jobDefinition": "d", "createdAt": 1, "startedAt": 2,
    });
    if is_failed_array {
        job["status"] = json!("FAILED");
        job["stoppedAt"] = json!(3);
        job["arrayProperties"] = json!({ "size": 2, "statusSummary": { "FAILED": 2 } });
    } else {
        job["status"] = json!("RUNNING");
        job["container"] = json!({ "logStreamName": id });
    }
    job
}

/// The jobs of a request, as Batch describes them.
fn described(body: &Value, is_failed_array: bool) -> Answer {
    let ids = body["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Answer::json(json!({ "jobs": ids.map(|id| job(id, is_failed_array)).collect::<Vec<_>>() }))
}

/// What a tool with `--json` has printed: nothing, or the elements of one array. Without an element
/// it has failed.
fn elements(line: &Line<'_>, outcome: &Outcome) -> Option<Vec<Value>> {
    let elements = (!outcome.stdout.is_empty()).then(|| {
        let shown: Value =
            serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{line:?}: {e}: {outcome}"));
        shown.as_array().unwrap_or_else(|| panic!("{line:?}: {outcome}")).clone()
    });
    if elements.iter().flatten().next().is_none() {
        assert!(outcome.code() > 0 && outcome.stderr.contains(": error: "), "{line:?}: {outcome}");
    }
    elements
}

#[story]
fn where_a_later_call_is_refused_there_is_an_array_or_nothing_and_an_exit_code() {
    for line in LOOKUPS.iter().filter(|(tool, _)| *tool != "bcluster") {
        let (tool, args) = line;
        let is_failed_array = *tool == "bwait";
        let server = BadServer::start(move |request, _| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let target = request.header("x-amz-target").unwrap_or_default().to_owned();
            match (request.operation(), target.rsplit('.').next()) {
                ("describejobs", _) => described(&body, is_failed_array),
                ("describejobqueues", _) => Answer::json(json!({"jobQueues": [{
                    "jobQueueName": body["jobQueues"][0], "jobQueueArn": "arn:q", "state": "ENABLED",
                    "status": "VALID", "priority": 1,
                    "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "arn:e"}]}]})),
                ("describeconsumableresource", _) => Answer::json(json!({"consumableResourceName": "nosuch",
                    "totalQuantity": 2, "inUseQuantity": 0, "consumableResourceArn": "arn:x"})),
                (_, Some("DescribeRepositories")) => Answer::json(json!({"repositories": [{
                    "repositoryName": "lab/genomics", "registryId": "123456789012",
                    "repositoryUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics"}]})),
                ("s3", _) => Answer::s3_error(403, "AccessDenied", "no"),
                _ => Answer::error(403, "AccessDeniedException", "no"),
            }
        });
        let sandbox = Sandbox::of_cluster_at(&server.endpoint(), "ecr_repository = \"lab/genomics\"\n");
        let outcome = sandbox.run(tool, [&["--json"], *args].concat());
        let shown = elements(line, &outcome);
        // An array without a line would say that the job has none.
        if *tool == "bout" {
            assert_eq!(shown, None, "{line:?}: {outcome}");
        }
    }
}

/// One page of a log stream, which is all of it.
fn page(line: &str) -> Answer {
    let events = json!([{ "timestamp": 5, "message": line }]);
    Answer::json(json!({ "events": events, "nextForwardToken": "f/1", "nextBackwardToken": "b/1" }))
}

#[story]
fn an_array_that_has_begun_is_closed_whatever_happens() {
    // The log of the second job, and what ends bout.
    for (answer, signal) in [
        (Answer::error(500, "InternalFailure", "no"), None),
        (Answer::error(403, "AccessDeniedException", "no"), None),
        (Answer::Hang, Some(Signal::SIGINT)),
        (Answer::Hang, Some(Signal::SIGTERM)),
    ] {
        let server = BadServer::start(move |request, _| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            match (request.operation(), body["logStreamName"].as_str()) {
                ("describejobs", _) => described(&body, false),
                (_, Some(ID)) if body["nextToken"].is_null() => page("hi"),
                (_, Some(ID)) => Answer::json(json!({ "events": [], "nextForwardToken": "f/1" })),
                _ => answer.clone(),
            }
        });
        let sandbox = Sandbox::at(&server.endpoint());
        let mut running = sandbox.start("bout", ["--json", ID, OTHER]);
        let lines = [running.line(), running.line()];
        assert!(lines[1].as_ref().is_some_and(|line| line.contains("hi")), "{lines:?}");
        if let Some(signal) = signal {
            running.signal(signal);
        }
        let outcome = running.wait();
        let shown: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome}"));
        assert_eq!((&shown[0]["message"], shown.as_array().map(Vec::len)), (&json!("hi"), Some(1)));
        assert!(outcome.code() > 0, "{outcome}");
    }
    // A listing whose second page is refused.
    let server = BadServer::start(|request, _| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.operation(), body["nextToken"].as_str()) {
            ("listjobs", None) => Answer::json(json!({
                "jobSummaryList": [{ "jobId": ID, "jobName": "j", "status": body["jobStatus"], "createdAt": 1 }],
                "nextToken": "2" })),
            _ => Answer::error(403, "AccessDeniedException", "no"),
        }
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bstat", ["--json", "-s", "FAILED"]).ended_with(1);
    elements(&("bstat", &["-s", "FAILED"]), &outcome);
}

#[story]
fn a_cluster_that_ends_while_it_is_awaited_is_an_empty_array() {
    let has_gone = |aws: &Fake, from: &str, to: &str| {
        let ours = [("awsb:cluster", "lab")];
        aws.has_stack(from, &ours);
        let sandbox = aws.sandbox();
        let running = sandbox.start("bcluster", ["show", "lab", "--wait", "--json"]);
        eventually("bcluster follows the stack", Duration::from_secs(60), || {
            (aws.calls("DescribeStackEvents").len() > 1).then_some(())
        });
        aws.has_stack(to, &ours);
        running.wait()
    };
    let outcome = has_gone(&Fake::start(), "DELETE_IN_PROGRESS", "DELETE_COMPLETE").ok();
    assert_eq!(outcome.stdout, "[]\n", "{outcome}");
    // It has another name when the change has ended, or is deleted at once.
    let missing = || (error("ValidationError", "Stack with id lab does not exist"), false);
    let aws = Fake::with_faults(move |call, before| {
        let is_by_name = call.action == "DescribeStacks" && !call.get("StackName").starts_with("arn:");
        (is_by_name && before > 0).then(missing)
    });
    let outcome = has_gone(&aws, "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE").ended_with(1);
    assert_eq!(outcome.stdout, "[]\n", "{outcome}");
    assert!(outcome.stderr.contains("there is no cluster `lab`"), "{outcome}");
    // Its parts cannot be looked at.
    let aws = Fake::with_faults(|call, _| {
        (call.action == "ListStackResources").then(|| (error("AccessDenied", "no"), false))
    });
    aws.has_stack("CREATE_COMPLETE", &[("awsb:cluster", "lab")]);
    let line: Line<'_> = ("bcluster", &["show", "lab"]);
    let outcome = aws.sandbox().run(line.0, [&["--json"], line.1].concat());
    assert_eq!(elements(&line, &outcome), None, "{outcome}");
}

#[story]
fn every_tool_with_json_is_among_these() {
    let sandbox = Sandbox::new();
    let overview = sandbox.run("awsb", ["--man"]).ok().stdout;
    let tools = overview.lines().filter_map(|line| line.strip_prefix("\\fBawsb ")?.strip_suffix("\\fR"));
    let has_json = |words: &str| {
        let outcome = sandbox.run("sh", ["-c", &format!("{words} --help")]).ok();
        outcome.stdout.contains("--json")
    };
    let mut found = BTreeSet::new();
    for name in tools.filter(|name| *name != "help") {
        let tool = format!("b{name}");
        let is_tool = sandbox.run("sh", ["-c", &format!("command -v {tool}")]).code() == 0;
        let words = if is_tool { tool } else { format!("awsb {name}") };
        if has_json(&words) {
            found.insert(words);
        }
    }
    let named = LOOKUPS.iter().chain(&COMMANDS).map(|(tool, _)| (*tool).to_owned());
    let all: BTreeSet<String> = named.chain(WITHOUT_NAMES.map(str::to_owned)).collect();
    assert_eq!(found, all);
}

#[story]
fn a_dry_run_prints_the_calls_with_json_as_without() {
    let sandbox = Sandbox::new();
    let args = ["--dry-run", "--job-name", "n", "--array", "1-4%2", "--wrap", "true"];
    let shown = sandbox.run("bsub", [&["--json"], &args[..]].concat()).ok();
    let calls = shown.json();
    let operations: Vec<&Value> =
        calls.as_array().into_iter().flatten().map(|call| &call["operation"]).collect();
    assert_eq!(operations, [&json!("CreateConsumableResource"), &json!("SubmitJob")]);
    assert_eq!(calls[1]["request"]["jobName"], "n");
    assert_eq!(calls[1]["request"]["arrayProperties"]["size"], 4);
    // Each call has a name, and what is sent under the service's own names.
    let keys = |call: &Value| call.as_object().map(|call| call.keys().cloned().collect::<Vec<_>>());
    for call in calls.as_array().into_iter().flatten() {
        assert_eq!(keys(call), Some(vec!["operation".to_owned(), "request".to_owned()]));
    }
    let plain = sandbox.run("bsub", args).ok().json();
    assert_eq!(plain[1]["request"]["arrayProperties"], calls[1]["request"]["arrayProperties"]);
    assert_eq!(sandbox.run("bstat", ["-s", "ALL", "--json"]).ok().json(), json!([]));
}
