//! The calls of `bcluster`, recorded between it and the local cluster: which there are, how many,
//! and where the tool can be killed.

use std::time::Duration;

use awsb_testkit::{Answer, Call, Relay, Running, Sandbox, Verdict, story};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

/// The place of the local cluster.
const PLACE: &str = "us-east-1:000000000000";

/// A cluster with one environment, to which jobs and objects come.
fn lab_toml(max: u32) -> String {
    format!(
        "[environment.cpu]\ntype = \"on-demand\"\nmax = {max}\n[definition.job]\nimage = \"host\"\n[images]\n\
         repository = false\n"
    )
}

/// The settings file of a sandbox.
fn settings(sandbox: &Sandbox) -> String {
    let folder = sandbox.get("XDG_CONFIG_HOME").expect("a folder for settings");
    std::fs::read_to_string(format!("{folder}/awsb/config.toml")).unwrap_or_default()
}

/// An action or a resource of a policy: `*` stands for any text, `?` for any character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => matches(&pattern[1..], text) || (!text.is_empty() && matches(pattern, &text[1..])),
        (Some(b'?'), Some(_)) => matches(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) if p == t => matches(&pattern[1..], &text[1..]),
        _ => false,
    }
}

/// One text or a list of texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// All statements of the documents that `bcluster policy` prints.
fn statements(printed: &str) -> Vec<Value> {
    fn collect(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
            Value::Object(map) => match map.get("Statement").and_then(Value::as_array) {
                Some(statements) => found.extend(statements.iter().cloned()),
                None => map.values().for_each(|value| collect(value, found)),
            },
            _ => {}
        }
    }
    let mut found = Vec::new();
    for document in serde_json::Deserializer::from_str(printed).into_iter::<Value>() {
        collect(&document.expect("JSON"), &mut found);
    }
    found
}

/// Whether a condition holds for a call that `bcluster` makes itself, which no service has made
/// for it: `aws:CalledVia` is then missing (IAM User Guide, `reference_policies_condition-keys`).
/// Other keys are taken to hold.
fn holds_for_own_calls(condition: &Value) -> bool {
    let operators = condition.as_object().into_iter().flatten();
    operators.filter(|(_, keys)| !keys["aws:CalledVia"].is_null()).all(|(operator, keys)| {
        match operator.as_str() {
            "Null" => texts(&keys["aws:CalledVia"]) == ["true"],
            // No value of none is wrong.
            operator => operator.starts_with("ForAllValues:") || operator.ends_with("IfExists"),
        }
    })
}

/// Whether a statement allows a call that `bcluster` makes itself. A statement that holds only for
/// calls through CloudFormation does not.
fn allows(statement: &Value, action: &str, resource: &str) -> bool {
    let has = |key: &str, wanted: &str, lower: bool| {
        texts(&statement[key]).iter().any(|pattern| {
            let pattern = if lower { pattern.to_lowercase() } else { pattern.clone() };
            matches(pattern.as_bytes(), wanted.as_bytes())
        })
    };
    statement["Effect"] == "Allow"
        && holds_for_own_calls(&statement["Condition"])
        && has("Action", &action.to_lowercase(), true)
        && has("Resource", resource, false)
}

/// The ARN of a call's resource, or `*` for a call that IAM does not limit to one.
fn arn(call: &Call) -> String {
    let (action, resource) = (call.action.to_lowercase(), call.resource.as_str());
    let is_look = action.starts_with("describe") || action.starts_with("list");
    match call.service.as_str() {
        "s3" => format!("arn:aws:s3:::{resource}"),
        "cloudformation" if resource.is_empty() => "*".to_owned(),
        // The stack whose change set it is.
        "cloudformation" if !resource.starts_with("arn:") || resource.contains(":changeSet/") => {
            format!("arn:aws:cloudformation:{PLACE}:stack/lab/1")
        }
        _ if resource.starts_with("arn:") => resource.to_owned(),
        "ecr" => format!("arn:aws:ecr:{PLACE}:repository/{resource}"),
        _ if is_look || resource.is_empty() => "*".to_owned(),
        // CloudWatch Logs User Guide, "Overview of managing access permissions".
        "logs" => format!("arn:aws:logs:{PLACE}:log-group:{resource}:*"),
        "batch" => {
            let kind = match action.as_str() {
                "updatejobqueue" => "job-queue",
                "updatecomputeenvironment" => "compute-environment",
                "deregisterjobdefinition" => "job-definition",
                _ => "job",
            };
            format!("arn:aws:batch:{PLACE}:{kind}/{resource}")
        }
        other => panic!("which resource is {resource} of {other}:{}?", call.action),
    }
}

#[story]
fn every_call_is_in_the_administrators_policy() {
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    relay.open();
    let run = |args: &[&str]| sandbox.run("bcluster", args).ok();
    sandbox.file("lab.toml", "[environment.cpu]\ntype = \"on-demand\"\nmin = 1\nmax = 16\n");
    run(&["create", "lab", "-c", "local", "--plan", "-f", "lab.toml"]);
    run(&["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]);
    run(&["list", "-c", "local"]);
    run(&["show", "lab"]);
    run(&["show", "lab", "--events"]);
    sandbox.file("lab.toml", "[environment.cpu]\ntype = \"on-demand\"\nmin = 1\nmax = 32\n");
    run(&["update", "lab", "--plan", "-f", "lab.toml"]);
    run(&["update", "lab", "--yes", "-f", "lab.toml"]);
    run(&["stop", "lab"]);
    run(&["start", "lab"]);
    let of_bcluster = relay.calls();
    // The calls of other tools are not the administrator's.
    sandbox.file("large.txt", "x".repeat(100_000));
    sandbox.file("job.sh", "sleep 600\n");
    sandbox.run("bsub", ["-c", "lab", "--parsable", "-i", "large.txt", "job.sh"]).ok();
    relay.open();
    run(&["delete", "lab", "--yes"]);
    run(&["create", "lab", "-c", "local", "--yes"]);
    run(&["delete", "lab", "--yes", "--delete-data"]);
    let calls: Vec<Call> = of_bcluster.into_iter().chain(relay.calls()).collect();

    let account = ["--region", "us-east-1", "--account", "000000000000"];
    // All of its documents.
    let printed = run(&[&["policy", "admin", "lab", "--json"], &account[..]].concat()).stdout;
    let statements = statements(&printed);
    let mut missing: Vec<String> = calls
        .iter()
        // Security Token Service API, GetCallerIdentity: "No permissions are required".
        .filter(|call| call.action != "GetCallerIdentity")
        .map(|call| (call.name(), arn(call)))
        .filter(|(action, arn)| !statements.iter().any(|statement| allows(statement, action, arn)))
        .map(|(action, arn)| format!("{action} on {arn}"))
        .collect();
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "not in the policy: {missing:#?}");
    // The story has met every kind of call.
    let names: Vec<String> = calls.iter().map(|call| call.name().to_lowercase()).collect();
    for name in [
        "cloudformation:executechangeset",
        "cloudformation:deletestack",
        "batch:terminatejob",
        "batch:updatejobqueue",
        "batch:updatecomputeenvironment",
        "s3:deleteobjectversion",
        "s3:deletebucket",
        "logs:deleteloggroup",
    ] {
        assert!(names.iter().any(|called| called == name), "{name} is not among {names:?}");
    }
}

/// The process is at its end, and has been waited for.
fn has_ended(running: &Running) -> bool {
    kill(running.pid(), None).is_err()
}

/// Runs `bcluster`, and kills it at the call with this number: before the server gets it, or when
/// the server has carried it out. Returns whether there was such a call.
fn is_killed_at(sandbox: &Sandbox, relay: &Relay, args: &[&str], number: usize, is_done: bool) -> bool {
    relay.rule(move |n, _| match n.cmp(&number) {
        std::cmp::Ordering::Less => Verdict::Pass,
        std::cmp::Ordering::Equal if is_done => Verdict::HoldAnswer,
        _ => Verdict::HoldRequest,
    });
    let running = sandbox.start("bcluster", args);
    let is_held = relay.wait_until_held(|| has_ended(&running));
    if is_held {
        running.signal(Signal::SIGKILL);
    }
    let outcome = running.wait();
    relay.open();
    if !is_held {
        outcome.ok();
    }
    is_held
}

/// The states of the stack `lab`, in the order of time.
fn states(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.run("bcluster", ["show", "lab", "--events", "--json"]).ok().json();
    let is_of_stack = |event: &&Value| event["resourceType"] == "AWS::CloudFormation::Stack";
    let events = events.as_array().cloned().unwrap_or_default();
    let state = |event: &Value| event["resourceStatus"].as_str().unwrap_or_default().to_owned();
    events.iter().filter(is_of_stack).map(state).collect()
}

/// Creates and deletes a cluster, and kills both at each of their calls; then each is run again.
fn creation_and_deletion_killed(is_done: bool) {
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    sandbox.file("lab.toml", lab_toml(16));
    sandbox.file("large.txt", "x".repeat(100_000));
    sandbox.file("job.sh", "sleep 600\n");
    let create = ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"];
    let delete = ["delete", "lab", "-c", "local", "--yes", "--delete-data"];
    let (mut killed_creations, mut killed_deletions) = (0, 0);
    let (mut goes_on, mut number) = (true, 0);
    while goes_on {
        goes_on = false;
        if is_killed_at(&sandbox, &relay, &create, number, is_done) {
            (goes_on, killed_creations) = (true, number + 1);
            let again = sandbox.run("bcluster", create).ok();
            assert!(again.stdout.contains("The cluster lab is ready"), "call {number}: {again}");
        }
        let begun = "[cluster.lab]";
        assert_eq!(settings(&sandbox).matches(begun).count(), 1, "call {number}: {}", settings(&sandbox));
        assert_eq!(
            states(&sandbox),
            ["REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"],
            "call {number}"
        );
        // Nothing of the cluster before was left, so all of it was made anew.
        let events = sandbox.run("bcluster", ["show", "lab", "--events", "--json"]).ok().stdout;
        assert!(!events.contains("IMPORT"), "call {number}: {events}");

        sandbox.run("bsub", ["-c", "lab", "-i", "large.txt", "job.sh"]).ok();
        if is_killed_at(&sandbox, &relay, &delete, number, is_done) {
            (goes_on, killed_deletions) = (true, number + 1);
            let again = sandbox.run("bcluster", delete).ok();
            assert!(format!("{again}").contains("is deleted"), "call {number}: {again}");
        }
        assert_eq!(settings(&sandbox), "", "call {number}");
        let list = sandbox.run("bcluster", ["list", "-c", "local", "--no-header"]).ok().stdout;
        assert_eq!(list, "", "call {number}");
        number += 1;
    }
    // The last cluster, too, has left nothing.
    sandbox.run("bcluster", create).ok();
    let events = sandbox.run("bcluster", ["show", "lab", "--events", "--json"]).ok().stdout;
    assert!(!events.contains("IMPORT"), "{events}");
    assert!(killed_creations > 8 && killed_deletions > 12, "{killed_creations} {killed_deletions}");
}

#[story]
fn a_cluster_is_made_once_and_leaves_nothing_when_the_tool_is_killed_before_any_call() {
    creation_and_deletion_killed(false);
}

#[story]
fn a_cluster_is_made_once_and_leaves_nothing_when_the_tool_is_killed_before_any_answer() {
    creation_and_deletion_killed(true);
}

#[story]
fn an_update_is_made_once_when_the_tool_is_killed_at_any_call() {
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    sandbox.file("lab.toml", lab_toml(16));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let update = ["update", "lab", "--yes", "-f", "lab.toml"];
    let mut max = 16;
    let mut updates = 0;
    for is_done in [false, true] {
        for number in 0.. {
            max += 1;
            sandbox.file("lab.toml", lab_toml(max));
            let is_killed = is_killed_at(&sandbox, &relay, &update, number, is_done);
            if is_killed {
                sandbox.run("bcluster", update).ok();
            }
            updates += 1;
            let states = states(&sandbox);
            let count = |status: &str| states.iter().filter(|state| *state == status).count();
            assert_eq!(
                (count("UPDATE_IN_PROGRESS"), count("UPDATE_COMPLETE")),
                (updates, updates),
                "call {number}, {is_done}: {states:?}"
            );
            let shown = sandbox.run("bcluster", ["show", "lab", "--json"]).ok().json();
            let made = &shown[0]["computeEnvironments"][0]["computeResources"]["maxvCpus"];
            assert_eq!(*made, max, "call {number}, {is_done}");
            if !is_killed {
                assert!(number > 8, "an update has more calls than {number}");
                break;
            }
        }
    }
}

/// The answer of a service that is asked too often, in the service's protocol.
fn throttled(call: &Call) -> Answer {
    match call.service.as_str() {
        "batch" => Answer::error(429, "TooManyRequestsException", "Too Many Requests"),
        "s3" => Answer::s3_error(503, "SlowDown", "Please reduce your request rate."),
        "logs" => Answer::error(400, "ThrottlingException", "Rate exceeded"),
        "ec2" => {
            let body = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit \
                        exceeded.</Message></Error></Errors><RequestID>1</RequestID></Response>";
            Answer::Http(503, body.to_owned(), vec![("content-type", "text/xml".into())])
        }
        _ => {
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>\
                        <Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>";
            Answer::Http(400, body.to_owned(), vec![("content-type", "text/xml".into())])
        }
    }
}

#[story]
fn every_call_may_be_throttled() {
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    let throttle = || {
        let mut refused: Vec<(String, String)> = Vec::new();
        relay.rule(move |_, call| {
            let key = (call.name(), call.resource.clone());
            if refused.contains(&key) {
                return Verdict::Pass;
            }
            refused.push(key);
            Verdict::Answer(throttled(call))
        });
    };
    sandbox.file("lab.toml", lab_toml(16));
    throttle();
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    assert_eq!(states(&sandbox), ["REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]);
    sandbox.file("lab.toml", lab_toml(17));
    throttle();
    sandbox.run("bcluster", ["update", "lab", "--yes", "-f", "lab.toml"]).ok();
    throttle();
    sandbox.run("bcluster", ["delete", "lab", "--yes", "--delete-data"]).ok();
    relay.open();
    assert_eq!(sandbox.run("bcluster", ["list", "-c", "local", "--no-header"]).ok().stdout, "");
}

/// CloudFormation allows few calls for events, and all tools of an account share them.
#[story]
fn a_stack_is_followed_with_at_most_one_call_in_two_seconds() {
    let mut sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    // At an address of the settings file, the local cluster is as far away as AWS.
    sandbox.reach_local_cluster_at(|_| relay.endpoint());
    relay.open();
    let faults = sandbox.local_home().join("stack-faults.json");
    std::fs::write(faults, r#"{"delayMs": 150}"#).expect("the file of faults");
    sandbox.file("lab.toml", lab_toml(16));
    sandbox.run("bcluster", ["create", "lab", "-c", "wire", "--yes", "-f", "lab.toml"]).ok();
    let calls = relay.calls();
    let executed = calls.iter().rposition(|call| call.action == "ExecuteChangeSet").expect("an execution");
    let (following, rest): (Vec<&Call>, Vec<&Call>) =
        calls[executed..].iter().partition(|call| call.action == "DescribeStackEvents");
    assert!(following.len() > 2, "{calls:?}");
    for pair in following.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= Duration::from_millis(1900), "{pause:?} between two calls: {following:?}");
    }
    // Beside those, it is the execution and one look at the stack that is ready.
    assert!(rest.len() <= 2, "{rest:?}");
}

/// Batch disables a queue some time after it was asked to, so jobs come to a queue whose jobs are
/// terminated already.
#[story]
fn a_job_that_comes_while_a_cluster_is_drained_is_terminated() {
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    sandbox.file("lab.toml", lab_toml(16));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    sandbox.run("bsub", ["-c", "lab", "--parsable", "--wrap", "sleep 600"]).ok();
    // Until the queue is drained, another job is seen in place of it.
    let (mut is_disabled, mut is_terminated) = (false, false);
    relay.rule(move |_, call| match call.action.to_lowercase().as_str() {
        "updatejobqueue" => {
            is_disabled = true;
            Verdict::Pass
        }
        "listjobs" if is_disabled && !is_terminated => Verdict::Answer(Answer::json(serde_json::json!({
            "jobSummaryList": [{
                "jobId": "11111111-2222-3333-4444-555555555555",
                "jobName": "first",
                "status": "RUNNING",
                "createdAt": 1,
            }],
        }))),
        "terminatejob" if !is_terminated => {
            is_terminated = true;
            Verdict::Answer(Answer::json(serde_json::json!({})))
        }
        _ => Verdict::Pass,
    });
    let gone = sandbox.run("bcluster", ["delete", "lab", "--yes", "--delete-data"]).ok();
    assert!(gone.stderr.contains("bcluster: terminating 1 more job\n"), "{gone}");
    assert!(gone.stdout.contains("The cluster lab is deleted."), "{gone}");
}

/// The template of a cluster that another tool has made may be YAML, or name a parameter.
#[story]
fn a_cluster_whose_minimum_could_not_be_set_again_is_not_stopped() {
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    sandbox.file("lab.toml", lab_toml(16).replace("max =", "min = 2\nmax ="));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    relay.rule(|_, call| match call.action.as_str() {
        "GetTemplate" => {
            let body = "<GetTemplateResponse><GetTemplateResult><TemplateBody>Resources: {}</TemplateBody>\
                        </GetTemplateResult></GetTemplateResponse>";
            Verdict::Answer(Answer::Http(200, body.to_owned(), vec![("content-type", "text/xml".into())]))
        }
        _ => Verdict::Pass,
    });
    let refused = sandbox.run("bcluster", ["stop", "lab"]);
    assert!(refused.failed_with(1).contains("keeps 2 vCPUs running"), "{refused}");
    assert!(refused.stderr.contains("aws batch update-compute-environment"), "{refused}");
    let shown = sandbox.run("bcluster", ["show", "lab", "--json"]).ok().json();
    let environment = &shown[0]["computeEnvironments"][0];
    assert_eq!(
        (&environment["state"], &environment["computeResources"]["minvCpus"]),
        (&"ENABLED".into(), &2.into())
    );
    // With its own template it can be.
    relay.open();
    sandbox.run("bcluster", ["stop", "lab"]).ok();
    sandbox.run("bcluster", ["start", "lab"]).ok();
    let shown = sandbox.run("bcluster", ["show", "lab", "--json"]).ok().json();
    assert_eq!(shown[0]["computeEnvironments"][0]["computeResources"]["minvCpus"], 2);
}

/// A server that is killed while data is deleted looks like this to its clients.
#[story]
fn contact_that_is_lost_while_data_goes_is_sought() {
    let mut sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    sandbox.file("lab.toml", lab_toml(16));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let lose = |times: usize| {
        let mut left = times;
        relay.rule(move |_, call| match call.action.as_str() {
            "DeleteBucket" | "DeleteLogGroup" if left > 0 => {
                left -= 1;
                Verdict::Answer(Answer::Reset)
            }
            _ => Verdict::Pass,
        });
    };
    lose(12);
    let gone = sandbox.run("bcluster", ["delete", "lab", "--yes", "--delete-data"]).ok();
    assert!(gone.stderr.contains("bcluster: contact lost, trying again: "), "{gone}");
    assert!(!gone.stdout.contains("These are kept"), "{gone}");

    // Where it does not come back in time, the same command goes on later.
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    sandbox.set("AWSB_CONTACT_TIMEOUT", "0");
    lose(usize::MAX);
    let lost = sandbox.run("bcluster", ["delete", "lab", "--yes", "--delete-data"]).ended_with(1);
    let command = ["delete", "lab", "-c", "local", "--delete-data"];
    let hint = format!("`bcluster {}` goes on with the data", command.join(" "));
    assert!(lost.stderr.contains(&hint), "{lost}");
    lose(0);
    let gone = sandbox.run("bcluster", [&command[..], &["--yes"]].concat()).ok();
    assert_eq!(gone.stdout, "The data of the cluster lab is deleted.\n");
}
