//! `awsb prune`: what awsb has left is found and removed, and nothing that is in use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use awsb_testkit::{Answer, BadServer, Outcome, Request, Sandbox, Terminal, story};
use serde_json::{Value, json};

const ARN: &str = "arn:aws:batch:eu-west-1:123456789012:job-definition/";
const JOB: &str = "8f2c0d3e-1111-4222-8333-444455556666";
const OLD: &str = "2020-01-02T03:04:05.000Z";

/// The SHA-256 of a bundle.
fn sha(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// A job definition as Batch describes it.
fn definition(name: &str, revision: u32, status: &str, tags: Value) -> Value {
    json!({"jobDefinitionName": name, "jobDefinitionArn": format!("{ARN}{name}:{revision}"), "revision": revision,
           "status": status, "type": "container", "tags": tags, "containerProperties": {"image": "i"}})
}

/// A listing of a bucket: keys and times.
fn objects(listed: &[(String, &str)]) -> Answer {
    let contents: String = listed
        .iter()
        .map(|(key, time)| {
            format!("<Contents><Key>{key}</Key><Size>7</Size><LastModified>{time}</LastModified></Contents>")
        })
        .collect();
    let xml = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
    Answer::Http(200, xml, vec![("content-type", "application/xml".into())])
}

/// A region with a job, and with more than it needs.
fn region(request: &Request) -> Answer {
    let tag = json!({"awsb:derived-from": format!("{ARN}d:1")});
    let target = request.target.as_str();
    match request.operation() {
        "describejobqueues" => Answer::json(json!({"jobQueues": [
            {"jobQueueName": "q", "jobQueueArn": "arn:q", "state": "ENABLED", "status": "VALID", "priority": 1,
             "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "e"}]},
            {"jobQueueName": "training", "jobQueueArn": "arn:training", "state": "ENABLED", "status": "VALID",
             "priority": 1, "computeEnvironmentOrder": []},
        ]})),
        "listjobs" if body(request)["jobQueue"] == "arn:training" => {
            Answer::error(400, "ClientException", "not of service jobs")
        }
        "listjobs" if body(request)["jobStatus"] == "FAILED" => Answer::json(json!({"jobSummaryList": [{
            "jobId": JOB, "jobName": "n", "status": "FAILED", "jobDefinition": format!("{ARN}d-awsb-aaaaaaaaaaaa:2"),
        }]})),
        "listjobs" => Answer::json(json!({"jobSummaryList": []})),
        "describejobs" => Answer::json(json!({"jobs": [{
            "jobId": JOB, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": "FAILED", "startedAt": 0,
            "container": {"environment": [
                {"name": "AWSB_BUNDLE", "value": format!("s3://b/awsb/bundles/{}.tar.gz", sha('a'))},
            ]},
        }]})),
        "describejobdefinitions" => Answer::json(json!({"jobDefinitions": [
            definition("d", 1, "ACTIVE", json!({})),
            // A job uses its second revision.
            definition("d-awsb-aaaaaaaaaaaa", 1, "ACTIVE", tag.clone()),
            definition("d-awsb-aaaaaaaaaaaa", 2, "ACTIVE", tag.clone()),
            definition("d-awsb-bbbbbbbbbbbb", 1, "ACTIVE", tag.clone()),
            // Somebody has named one so, and somebody has tagged one so.
            definition("x-awsb-bbbbbbbbbbbb", 1, "ACTIVE", json!({})),
            definition("mine", 1, "ACTIVE", tag),
        ]})),
        "deregisterjobdefinition" => Answer::json(json!({})),
        "s3" if target.contains("nodes") => objects(&[
            (format!("awsb/nodes/{JOB}/1"), OLD),
            (format!("awsb/nodes/{JOB}/2"), "2099-01-02T03:04:05.000Z"),
        ]),
        "s3" if request.method == "GET" => objects(&[
            (format!("awsb/bundles/{}.tar.gz", sha('a')), OLD),
            (format!("awsb/bundles/{}.tar.gz", sha('b')), OLD),
            (format!("awsb/bundles/{}.tar", sha('c')), OLD),
            (format!("awsb/bundles/{}.tar", sha('d')), "2099-01-02T03:04:05.000Z"),
            ("awsb/bundles/notes.txt".to_owned(), OLD),
        ]),
        "s3" => {
            Answer::Http(200, "<DeleteResult/>".to_owned(), vec![("content-type", "application/xml".into())])
        }
        other => Answer::error(404, "UnknownOperationException", other),
    }
}

/// A sandbox whose cluster is that server.
fn sandbox(server: &BadServer) -> Sandbox {
    Sandbox::of_cluster_at(&server.endpoint(), "")
}

/// The names that a removal or a dry run lists.
fn names(outcome: &Outcome) -> Vec<String> {
    let all = outcome.json();
    let all = all.as_array().expect("an array").iter();
    all.map(|left| format!("{} {}", left["kind"].as_str().unwrap(), left["name"].as_str().unwrap())).collect()
}

#[story]
fn what_no_job_uses_is_removed_and_nothing_else() {
    let server = BadServer::start(|request, _| region(request));
    let sandbox = sandbox(&server);
    let left = [
        "jobDefinition d-awsb-aaaaaaaaaaaa:1".to_owned(),
        "jobDefinition d-awsb-bbbbbbbbbbbb:1".to_owned(),
        format!("nodeKey awsb/nodes/{JOB}/1"),
    ];
    let bundles =
        [format!("bundle awsb/bundles/{}.tar.gz", sha('b')), format!("bundle awsb/bundles/{}.tar", sha('c'))];
    // Nobody can be asked.
    let refused = sandbox.run("awsb", ["prune"]).ended_with(2);
    assert!(refused.stderr.starts_with("awsb prune: error: refusing to remove"), "{refused}");
    let shown = sandbox.run("awsb", ["prune", "--dry-run", "--json"]).ok();
    assert_eq!(names(&shown), left);
    let table = sandbox.run("awsb", ["prune", "--dry-run"]).ok().stdout;
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(server.requests("deregisterjobdefinition").is_empty());

    let removed = sandbox.run("awsb", ["prune", "--yes", "--json", "--bundles"]).ok();
    assert_eq!(names(&removed), [&left[..], &bundles].concat());
    assert!(removed.json().as_array().unwrap().iter().all(|left| left["removed"] == true), "{removed}");
    let mut deregistered: Vec<Value> =
        server.requests("deregisterjobdefinition").iter().map(|r| body(r)["jobDefinition"].clone()).collect();
    deregistered.sort_by_key(Value::to_string);
    let arns = ["d-awsb-aaaaaaaaaaaa:1", "d-awsb-bbbbbbbbbbbb:1"].map(|name| json!(format!("{ARN}{name}")));
    assert_eq!(deregistered, arns);
    let deleted = server.requests("s3");
    let deleted: Vec<String> = deleted
        .iter()
        .filter(|request| request.method == "POST")
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].matches("<Key>").count(), 3, "{}", deleted[0]);
}

#[story]
fn prune_asks_and_no_is_the_answer_unless_it_is_yes() {
    let server = BadServer::start(|request, _| region(request));
    let sandbox = sandbox(&server);
    for (answer, code, calls) in [("n\n", 1, 0), ("y\n", 0, 2)] {
        let mut asking = Terminal::new(100).start(&sandbox, "awsb", ["prune"]);
        let screen = asking.until("the question", |screen| screen.contains("[y/N]"));
        assert!(screen.contains("Remove 2 job definitions and 1 node key? [y/N]"), "{screen}");
        asking.types(answer);
        asking.wait().ended_with(code);
        assert_eq!(server.requests("deregisterjobdefinition").len(), calls);
    }
}

#[story]
fn a_bundle_that_is_stored_again_before_the_answer_stays() {
    let is_renewed = Arc::new(AtomicBool::new(false));
    let renewed = Arc::clone(&is_renewed);
    let server = BadServer::start(move |request, _| {
        let target = request.target.as_str();
        let is_of_bundles =
            request.operation() == "s3" && request.method == "GET" && !target.contains("nodes");
        if is_of_bundles && renewed.load(Ordering::SeqCst) {
            return objects(&[
                (format!("awsb/bundles/{}.tar.gz", sha('b')), "2099-01-02T03:04:05.000Z"),
                (format!("awsb/bundles/{}.tar", sha('c')), OLD),
            ]);
        }
        region(request)
    });
    let sandbox = sandbox(&server);
    let mut asking = Terminal::new(100).start(&sandbox, "awsb", ["prune", "--bundles"]);
    let screen = asking.until("the question", |screen| screen.contains("[y/N]"));
    assert!(screen.contains("and 2 bundles? [y/N]"), "{screen}");
    // A `bsub` has found it, and stored it again.
    is_renewed.store(true, Ordering::SeqCst);
    asking.types("y\n");
    let outcome = asking.wait().ended_with(1);
    assert!(outcome.written.contains("stays: a job has been submitted"), "{outcome:?}");
    let deleted = server.requests("s3").into_iter().filter(|request| request.method == "POST");
    let deleted: Vec<String> = deleted.map(|r| String::from_utf8_lossy(&r.body).into_owned()).collect();
    assert!(deleted.len() == 1 && !deleted[0].contains(&sha('b')), "{deleted:?}");
    assert!(deleted[0].contains(&sha('c')), "{deleted:?}");
}

#[story]
fn what_cannot_be_removed_is_named_and_the_rest_is_removed() {
    let server = BadServer::start(|request, _| match request.operation() {
        "deregisterjobdefinition" if body(request).to_string().contains("bbbb") => Answer::error(
            403,
            "AccessDeniedException",
            "User: me is not authorized to perform: batch:DeregisterJobDefinition on resource: x",
        ),
        "s3" if request.method == "POST" => Answer::Http(
            200,
            format!(
                "<DeleteResult><Error><Key>awsb/nodes/{JOB}/1</Key><Code>AccessDenied</Code>\
                 <Message>Access Denied</Message></Error></DeleteResult>"
            ),
            vec![("content-type", "application/xml".into())],
        ),
        _ => region(request),
    });
    let outcome = sandbox(&server).run("awsb", ["prune", "--yes", "--json"]).ended_with(1);
    let removed: Vec<Value> =
        outcome.json().as_array().unwrap().iter().map(|left| left["removed"].clone()).collect();
    assert_eq!(removed, [json!(true), json!(false), json!(false)]);
    assert_eq!(outcome.stderr.matches("awsb prune: error: ").count(), 2, "{outcome}");
    // A listing that fails leaves open whether there is something to remove.
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobdefinitions" => Answer::error(403, "AccessDeniedException", "Go away."),
        "s3" => objects(&[]),
        _ => region(request),
    });
    let outcome = sandbox(&server).run("awsb", ["prune", "--yes"]).ended_with(1);
    assert_eq!(outcome.stderr.matches("awsb prune: error: ").count(), 1, "{outcome}");
    assert!(!outcome.stderr.contains("nothing to remove"), "{outcome}");
    // Who cannot see the jobs does not know what is in use.
    let server = BadServer::start(|request, _| match request.operation() {
        "listjobs" => Answer::error(
            403,
            "AccessDeniedException",
            "User: me is not authorized to perform: batch:ListJobs",
        ),
        _ => region(request),
    });
    let outcome = sandbox(&server).run("awsb", ["prune", "--yes"]).ended_with(1);
    assert!(outcome.stderr.contains("batch:ListJobs"), "{outcome}");
    assert!(server.requests("deregisterjobdefinition").is_empty());
}

#[story]
fn bundles_that_bsub_may_rely_on_are_never_old_enough() {
    let sandbox = Sandbox::new();
    for age in ["15d", "0", "1h", "x"] {
        let outcome =
            sandbox.run("awsb", ["prune", "--bundles", "--older-than", age, "--dry-run"]).ended_with(2);
        assert!(outcome.stderr.contains("--older-than"), "{outcome}");
    }
    let nothing = sandbox.run("awsb", ["prune", "--bundles", "--older-than", "16d", "--yes"]).ok();
    assert!(nothing.stderr.contains("nothing to remove"), "{nothing}");
    assert_eq!(sandbox.run("awsb", ["prune", "--bundles", "--dry-run", "--json"]).ok().json(), json!([]));
}

#[story]
fn a_job_definition_that_is_pruned_under_a_bsub_is_registered_again() {
    let server = BadServer::start(|request, before| {
        let tag = json!({"awsb:derived-from": format!("{ARN}d:1")});
        match request.operation() {
            "submitjob" if before == 1 => Answer::error(400, "ClientException", "JobDefinition not active"),
            "submitjob" => Answer::json(json!({"jobId": JOB, "jobName": "true"})),
            "describejobdefinitions" => {
                let asked = body(request);
                let named = asked["jobDefinitions"][0].as_str().unwrap_or_default();
                let found = match named.split_once(':') {
                    Some((name, _)) if name.contains("-awsb-") => {
                        json!([definition(name, 1, "INACTIVE", tag)])
                    }
                    _ if asked.to_string().contains("-awsb-") => json!([]),
                    _ => json!([definition("d", 1, "ACTIVE", json!({}))]),
                };
                Answer::json(json!({"jobDefinitions": found}))
            }
            "registerjobdefinition" => Answer::json(json!({
                "jobDefinitionName": "n", "jobDefinitionArn": "arn:n:1", "revision": 1 + before})),
            "describejobqueues" => Answer::json(json!({"jobQueues": []})),
            _ => Answer::error(500, "ServerException", "not in this test"),
        }
    });
    let sandbox = sandbox(&server);
    let line = ["--image", "x", "true"];
    sandbox.run("bsub", line).ok();
    // The first revision is cached, and deregistered by now.
    let outcome = sandbox.run("bsub", line).ok();
    assert_eq!(outcome.stderr, "");
    let submitted = server.requests("submitjob");
    let registered = server.requests("registerjobdefinition");
    assert_eq!((submitted.len(), registered.len()), (3, 2));
    let taken: Vec<Value> = submitted.iter().map(|request| body(request)["jobDefinition"].clone()).collect();
    assert_eq!(taken[0], taken[1]);
    assert!(
        taken[2].as_str().is_some_and(|name| name.contains("-awsb-") && name.ends_with(":2")),
        "{taken:?}"
    );
    let (first, again) = (body(&registered[0]), body(&registered[1]));
    assert_eq!(first["jobDefinitionName"], again["jobDefinitionName"]);
    // The next one knows the new revision.
    sandbox.run("bsub", line).ok();
    assert_eq!(body(&server.requests("submitjob")[3])["jobDefinition"], taken[2]);
}

#[story]
fn a_bundle_that_prune_may_soon_remove_is_stored_again() {
    for (modified, puts) in [("Thu, 02 Jan 2020 03:04:05 GMT", 2), ("Fri, 02 Jan 2099 03:04:05 GMT", 1)] {
        let stored = Mutex::new(None::<usize>);
        let server = BadServer::start(move |request, _| {
            let mut stored = stored.lock().expect("no panic");
            match (request.operation(), request.method.as_str()) {
                ("s3", "PUT") if request.header("if-none-match").is_some() && stored.is_some() => {
                    Answer::s3_error(412, "PreconditionFailed", "It is there")
                }
                ("s3", "PUT") => {
                    *stored = Some(request.body.len());
                    Answer::stored()
                }
                ("s3", "HEAD") => match *stored {
                    Some(length) => Answer::Http(
                        200,
                        " ".repeat(length),
                        vec![("last-modified", modified.into()), ("etag", "\"5c\"".into())],
                    ),
                    None => Answer::s3_error(404, "NoSuchKey", "It is not there"),
                },
                ("submitjob", _) => Answer::json(json!({"jobId": JOB, "jobName": "n"})),
                ("describejobdefinitions", _) => {
                    Answer::json(json!({"jobDefinitions": [definition("d", 1, "ACTIVE", json!({}))]}))
                }
                _ => Answer::json(json!({"jobQueues": []})),
            }
        });
        let sandbox = sandbox(&server);
        let text: String =
            (0..4_000).map(|n: u32| format!("# {}\n", n.wrapping_mul(2_654_435_761))).collect();
        sandbox.file("fetched.sh", text);
        let count = || server.requests("s3").iter().filter(|request| request.method == "PUT").count();
        sandbox.run("bsub", ["fetched.sh"]).ok();
        assert_eq!(count(), 1, "it is stored");
        sandbox.run("bsub", ["fetched.sh"]).ok();
        assert_eq!(count(), 1 + puts, "{modified}");
    }
}
