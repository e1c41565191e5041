//! A Batch whose jobs are always the same.

use serde_json::{Value, json};

use awsb_testkit::{Answer, Request};

/// 1 January 2020, 12:00 UTC: a terminal shows the day alone.
pub const THEN: i64 = 1_577_880_000_000;
pub const ONE: &str = "11111111-1111-4111-8111-111111111111";
pub const BAD: &str = "22222222-2222-4222-8222-222222222222";
pub const ARRAY: &str = "33333333-3333-4333-8333-333333333333";
pub const NODES: &str = "44444444-4444-4444-8444-444444444444";
pub const EVIL: &str = "55555555-5555-4555-8555-555555555555";

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:batch:eu-west-1:123456789012:{kind}/{name}")
}

fn container() -> Value {
    json!({
        "image": "busybox:1", "command": ["sort", "a b"],
        "resourceRequirements": [
            {"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "8192"}, {"type": "GPU", "value": "1"},
        ],
        "environment": [
            {"name": "AWSB_USER", "value": "alice"}, {"name": "API_TOKEN", "value": "s3cret"},
            {"name": "MODE", "value": "fast"},
        ],
    })
}

/// The jobs that Batch knows: one of each kind.
pub fn jobs() -> Vec<Value> {
    let job = |id: &str, name: &str, status: &str, minute: i64, more: Value| {
        let mut job = json!({
            "jobId": id, "jobName": name, "status": status, "createdAt": THEN + minute * 60_000,
            "jobArn": arn("job", id), "jobQueue": arn("job-queue", "q"), "jobDefinition": arn("job-definition", "d:7"),
            "dependsOn": [], "attempts": [], "container": container(),
        });
        more.as_object().expect("fields").iter().for_each(|(key, value)| job[key] = value.clone());
        job
    };
    let attempt = |minute: i64, code: i64, reason: &str| {
        json!({
            "startedAt": THEN + minute * 60_000, "stoppedAt": THEN + (minute + 1) * 60_000 + 4_000,
            "statusReason": "Essential container in task exited",
            "container": {"exitCode": code, "reason": reason, "logStreamName": format!("d/default/{minute}")},
        })
    };
    let mut killed = container();
    killed["exitCode"] = json!(137);
    killed["reason"] = json!("OutOfMemoryError: Container killed due to memory usage");
    killed["logStreamName"] = json!("d/default/20");
    let failed = json!({
        "startedAt": THEN + 20 * 60_000, "stoppedAt": THEN + 21 * 60_000 + 4_000,
        "statusReason": "Essential container in task exited", "container": killed,
        "attempts": [attempt(10, 1, ""), attempt(20, 137, "OutOfMemoryError: Container killed due to memory usage")],
        "retryStrategy": {"attempts": 2}, "timeout": {"attemptDurationSeconds": 7200},
        "dependsOn": [{"jobId": ONE}, {"jobId": ARRAY, "type": "N_TO_N"}, {"jobId": "66666666-gone"}],
    });
    let array = json!({
        "arrayProperties": {"size": 4, "statusSummary": {"SUCCEEDED": 1, "FAILED": 1, "RUNNING": 1, "RUNNABLE": 1}},
    });
    let nodes = json!({
        "container": null,
        "startedAt": THEN + 300_000,
        "nodeProperties": {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [
            {"targetNodes": "0:", "container": container()},
        ]},
    });
    let evil = json!({"statusReason": "a\u{1b}[31mred\u{7}\tb\u{202e}c\nd"});
    let mut all = vec![
        job(ONE, "align-the-reads-of-sample-1", "RUNNING", 0, json!({"startedAt": THEN + 60_000})),
        job(BAD, "merge", "FAILED", 1, failed),
        job(ARRAY, "simulate", "PENDING", 2, array),
        job(NODES, "mpi", "RUNNING", 3, nodes),
        job(EVIL, "evil\u{1b}]0;title\u{7}", "RUNNABLE", 4, evil),
    ];
    let mut exited = container();
    exited["exitCode"] = json!(3);
    for (index, status) in ["SUCCEEDED", "FAILED", "RUNNING", "RUNNABLE"].into_iter().enumerate() {
        let fields = match status {
            "FAILED" => json!({
                "statusReason": "Essential container in task exited", "container": exited,
                "startedAt": THEN + 180_000, "stoppedAt": THEN + 190_000,
            }),
            _ => json!({}),
        };
        let mut child = job(&format!("{ARRAY}:{index}"), "simulate", status, 2, fields);
        child["arrayProperties"] = json!({"index": index});
        all.push(child);
    }
    for index in 0..2 {
        let mut node =
            job(&format!("{NODES}#{index}"), "mpi", "RUNNING", 3, json!({"startedAt": THEN + 300_000}));
        node["nodeDetails"] = json!({"nodeIndex": index, "isMainNode": index == 0});
        all.push(node);
    }
    all
}

pub fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// Answers as Batch does, from [`jobs`].
pub fn answer(request: &Request, _: usize) -> Answer {
    let asked = body(request);
    let id = |job: &Value| job["jobId"].as_str().unwrap_or_default().to_owned();
    match request.operation() {
        "listjobs" => {
            let of = asked["arrayJobId"].as_str().or(asked["multiNodeJobId"].as_str());
            let listed =
                jobs().into_iter().filter(|job| job["status"] == asked["jobStatus"]).filter(|job| match of {
                    Some(parent) => {
                        id(job).starts_with(&format!("{parent}:"))
                            || id(job).starts_with(&format!("{parent}#"))
                    }
                    None => !id(job).contains([':', '#']),
                });
            let summary = listed.map(|mut job| {
                for field in ["jobQueue", "attempts", "dependsOn", "retryStrategy", "timeout"] {
                    job.as_object_mut().expect("a job").remove(field);
                }
                job["container"] =
                    json!({"exitCode": job["container"]["exitCode"], "reason": job["container"]["reason"]});
                job
            });
            Answer::json(json!({"jobSummaryList": summary.collect::<Vec<_>>()}))
        }
        "describejobs" => {
            let wanted = asked["jobs"].as_array().cloned().unwrap_or_default();
            let found = jobs().into_iter().filter(|job| wanted.contains(&job["jobId"]));
            Answer::json(json!({"jobs": found.collect::<Vec<_>>()}))
        }
        _ => Answer::error(400, "ClientException", "not here"),
    }
}
