//! Why does it not run, and why did it fail? `bstat --why` says it: on the local cluster where it
//! can really happen, and of answers that AWS's pages show where it cannot.

use std::time::{Duration, SystemTime};

use awsb_testkit::{Answer, BadServer, Request, Sandbox, Terminal, eventually, story};
use serde_json::{Value, json};

/// A text without what differs from run to run: jobs' IDs, which are given with a word for each,
/// and times.
fn tidy(text: &str, ids: &[(&str, &str)]) -> String {
    let text = ids.iter().fold(text.to_owned(), |text, (id, word)| text.replace(id, word));
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        while let Some(at) = words.windows(2).position(|two| {
            let unit = two[1].trim_end_matches([':', ';', ',']);
            two[0].parse::<u64>().is_ok() && ["s", "min", "h", "d"].contains(&unit)
        }) {
            words[at] = "TIME";
            let rest = words[at + 1].trim_start_matches(char::is_alphabetic);
            words[at + 1] = rest;
        }
        words.retain(|word| !word.is_empty());
        let blanks = line.len() - line.trim_start().len();
        format!(
            "{}{}",
            " ".repeat(blanks),
            words.join(" ").replace("TIME TIME", "TIME").replace(" :", ":").replace(" ;", ";")
        )
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

fn codes(answer: &Value) -> Vec<&str> {
    let findings = answer["findings"].as_array().into_iter().flatten();
    findings.filter_map(|finding| finding["code"].as_str()).collect()
}

fn why(sandbox: &Sandbox, id: &str) -> Value {
    sandbox.run("bstat", ["--why", "--json", id]).ok().json()[0].take()
}

fn submit(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.run("bsub", [&["--parsable"], args].concat()).ok().job_id()
}

fn wait_for(sandbox: &Sandbox, id: &str, status: &str) {
    eventually(&format!("{id} is {status}"), Duration::from_secs(60), || {
        (sandbox.run("bstat", ["--json", id]).ok().json()[0]["status"] == status).then_some(())
    });
}

/// A job that runs until there is a file `go` in the working folder.
fn holding(sandbox: &Sandbox) -> String {
    let go = sandbox.work().join("go");
    sandbox.file("hold.sh", format!("while [ ! -e '{}' ]; do sleep 0.05; done\n", go.display()));
    "hold.sh".to_owned()
}

#[story]
fn a_job_waits_for_another_one_which_then_fails() {
    let sandbox = Sandbox::new();
    let first = submit(&sandbox, &[&holding(&sandbox)]);
    let second = submit(&sandbox, &["--depends-on", &first, "--wrap", "true"]);
    let third = submit(&sandbox, &["--depends-on", &second, "--wrap", "true"]);
    wait_for(&sandbox, &first, "RUNNING");
    let ids = [(first.as_str(), "FIRST"), (second.as_str(), "SECOND"), (third.as_str(), "THIRD")];
    let explanation = |id: &str| tidy(&sandbox.run("bstat", ["--why", id]).ok().stdout, &ids);
    let before = [explanation(&second), explanation(&first)].concat();
    sandbox.run("bkill", [&first]).ok();
    wait_for(&sandbox, &third, "FAILED");
    let after = [explanation(&third), explanation(&first)].concat();
    insta::assert_snapshot!(format!("{before}\nAfter bkill:\n{after}"));
}

#[story]
fn others_have_the_room_and_then_it_is_closed() {
    let sandbox = Sandbox::with_aws();
    let aws = |args: &[&str]| drop(sandbox.run("aws", [&["batch"], args].concat()).ok());
    let resources = "type=EC2,minvCpus=0,maxvCpus=1,instanceTypes=optimal,subnets=s,instanceRole=r";
    aws(&[
        "create-compute-environment",
        "--compute-environment-name",
        "small",
        "--type",
        "MANAGED",
        "--compute-resources",
        resources,
    ]);
    aws(&[
        "create-job-queue",
        "--job-queue-name",
        "narrow",
        "--priority",
        "1",
        "--compute-environment-order",
        "order=1,computeEnvironment=small",
    ]);
    let script = holding(&sandbox);
    let first = submit(&sandbox, &["-q", "narrow", &script]);
    wait_for(&sandbox, &first, "RUNNING");
    let second = submit(&sandbox, &["-q", "narrow", &script]);
    let third = submit(&sandbox, &["-q", "narrow", &script]);
    let large = submit(&sandbox, &["-q", "narrow", "--vcpus", "2", &script]);
    let ids =
        [first.as_str(), &second, &third, &large].into_iter().zip(["FIRST", "SECOND", "THIRD", "LARGE"]);
    let ids: Vec<(&str, &str)> = ids.collect();
    let explanation = |id: &str| tidy(&sandbox.run("bstat", ["--why", id]).ok().stdout, &ids);
    let full = |id: &str| {
        let answer = why(&sandbox, id);
        assert_eq!(codes(&answer)[0], "MAX_VCPUS_REACHED", "{answer}");
        explanation(id)
            .lines()
            .filter(|line| !line.contains("no instance of"))
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    let before = [full(&third), explanation(&large)].concat();
    aws(&["update-job-queue", "--job-queue", "narrow", "--state", "DISABLED"]);
    assert!(codes(&why(&sandbox, &second)).contains(&"QUEUE_DISABLED"));
    aws(&["update-compute-environment", "--compute-environment", "small", "--state", "DISABLED"]);
    insta::assert_snapshot!(format!("{before}\nDisabled:\n{}", explanation(&second)));
}

#[story]
fn more_than_this_machine_has() {
    let sandbox = Sandbox::new();
    let id = submit(&sandbox, &["--vcpus", "99999", "--wrap", "true"]);
    wait_for(&sandbox, &id, "RUNNABLE");
    let answer = why(&sandbox, &id);
    assert_eq!(codes(&answer), ["ENVIRONMENT_TOO_SMALL", "JOB_RESOURCE_REQUIREMENT"], "{answer}");
    assert_eq!(answer["findings"][0]["advice"][0], "`blocal stop && blocal start --vcpus 99999`", "{answer}");
    let id = submit(&sandbox, &["--memory", "1000T", "--wrap", "true"]);
    wait_for(&sandbox, &id, "RUNNABLE");
    let answer = why(&sandbox, &id);
    assert_eq!(codes(&answer)[..2], ["NO_INSTANCE_FITS", "JOB_RESOURCE_REQUIREMENT"], "{answer}");
    assert!(answer.to_string().contains("`blocal stop && blocal start --memory 1024000G`"), "{answer}");
    assert!(
        !answer.to_string().contains("compute-environment "),
        "it is built in and stays as it is: {answer}"
    );
}

#[story]
fn a_job_fails_for_an_array_that_a_user_has_ended() {
    let sandbox = Sandbox::new();
    let array = submit(&sandbox, &["--array", "0-1", &holding(&sandbox)]);
    let after = submit(&sandbox, &["--depends-on", &array, "--wrap", "true"]);
    wait_for(&sandbox, &format!("{array}:0"), "RUNNING");
    sandbox.run("bkill", [&array]).ok();
    wait_for(&sandbox, &after, "FAILED");
    let explanation = sandbox.run("bstat", ["--why", &after]).ok().stdout;
    assert!(explanation.contains(": ended by a user: Ended with bkill\n"), "{explanation}");
}

#[story]
fn the_children_of_an_array_are_told_by_their_tasks() {
    let sandbox = Sandbox::new();
    let id = submit(&sandbox, &["--array", "10,20", "--wrap", "exit $((AWSB_TASK_ID - 10))"]);
    wait_for(&sandbox, &id, "FAILED");
    let explanation = sandbox.run("bstat", ["--why", &id, &format!("{id}:1")]).ok().stdout;
    assert!(
        explanation.contains("1 of its 2 children failed, task 20 (:1): exit code 10\n"),
        "{explanation}"
    );
    assert!(explanation.contains(", task 20) FAILED"), "{explanation}");
}

#[story]
fn what_failed_and_how() {
    let sandbox = Sandbox::new();
    let lines =
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo \"line $i\"; done; echo 'no such sample' >&2; exit 3";
    let failed = submit(&sandbox, &["-J", "sample", "--wrap", lines]);
    let again = submit(&sandbox, &["-J", "again", "--retry-attempts", "3", "--wrap", "exit 4"]);
    let missing = submit(&sandbox, &["--bare", "no-such-program"]);
    let child = "n=$AWS_BATCH_JOB_ARRAY_INDEX; echo \"child $n\"; \
                 if [ $n -lt 4 ]; then exit 7; elif [ $n -lt 6 ]; then kill -9 $$; elif [ $n = 8 ]; then exit 7; fi";
    let array = submit(&sandbox, &["-J", "array", "--array", "0-9", "--wrap", child]);
    let fine = submit(&sandbox, &["-J", "fine", "--wrap", "echo well"]);
    let ids = [
        (failed.as_str(), "FAILED-ID"),
        (again.as_str(), "AGAIN"),
        (missing.as_str(), "MISSING"),
        (array.as_str(), "ARRAY"),
        (fine.as_str(), "FINE"),
    ];
    for (id, _) in &ids[..4] {
        wait_for(&sandbox, id, "FAILED");
    }
    wait_for(&sandbox, &fine, "SUCCEEDED");
    let all = ids.map(|(id, _)| id);
    let outcome = sandbox.run("bstat", std::iter::once("--why").chain(all)).ok();
    insta::assert_snapshot!(tidy(&outcome.stdout, &ids));
    let answer = why(&sandbox, &failed);
    let lines = answer["logTail"].as_array().expect("lines");
    assert_eq!(lines.len(), 10, "{answer}");
    assert_eq!(lines[9]["message"], "no such sample");
    assert!(lines[9]["timestamp"].is_i64());
    // One that nobody knows does not keep the others from being told.
    let outcome =
        sandbox.run("bstat", ["--why", "8f2c0d3e-1111-4222-8333-444455556666", &fine]).ended_with(1);
    assert!(outcome.stdout.contains("(fine) SUCCEEDED"), "{outcome}");
    assert!(outcome.stderr.contains("there is no job 8f2c0d3e-1111-4222-8333-444455556666"), "{outcome}");
    sandbox.run("bstat", ["--why", "-d"]).ended_with(2);
}

#[story]
fn lines_of_output_do_nothing_to_a_terminal_and_are_exact_in_a_pipe() {
    let sandbox = Sandbox::new();
    let id = submit(&sandbox, &["--wrap", "printf 'a\\033[31mb\\n'; exit 1"]);
    wait_for(&sandbox, &id, "FAILED");
    assert!(sandbox.run("bstat", ["--why", &id]).ok().stdout.contains("    a\u{1b}[31mb\n"));
    let seen = Terminal::new(80).run(&sandbox, "bstat", ["--why", &id]);
    assert!(seen.screen().contains("a␛[31mb"), "{:?}", seen.screen());
}

#[story]
fn a_reason_does_nothing_to_a_terminal_and_is_exact_in_a_pipe_but_for_line_breaks() {
    let server = server(|operation, answer| {
        if operation == "describejobs" {
            answer["jobs"][0] =
                job(JOB, "FAILED", json!({"statusReason": "a\u{1b}[31mb\tc\nwhat to do: no"}));
        }
        None
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let exact = sandbox.run("bstat", ["--why", JOB]).ok().stdout;
    assert!(exact.ends_with(": a\u{1b}[31mb\tc what to do: no\n"), "{exact:?}");
    let seen = Terminal::new(160).run(&sandbox, "bstat", ["--why", JOB]);
    assert!(seen.screen().contains("a␛[31mb␉c what to do: no"), "{:?}", seen.screen());
}

// Cases that AWS's pages show, and the local cluster cannot have.

const JOB: &str = "8f2c0d3e-1111-4222-8333-444455556666";
const OTHER: &str = "0a1b2c3d-1111-4222-8333-444455556666";

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:batch:eu-west-1:111122223333:{kind}/{name}")
}

fn ago(minutes: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("before 2500") - minutes * 60_000
}

/// A job of two hours ago.
fn job(id: &str, status: &str, more: Value) -> Value {
    let mut job = json!({
        "jobId": id, "jobName": "train", "jobArn": arn("job", id), "jobQueue": arn("job-queue", "q"),
        "status": status, "createdAt": ago(120), "jobDefinition": arn("job-definition", "d:1"),
        "container": {
            "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/tools/train:7",
            "resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "8192"}],
        },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        match (job.get_mut(field), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
            _ => job[field] = value.clone(),
        }
    }
    job
}

/// An account with a RUNNABLE job in the queue `q`, whose one environment `ce` has an instance
/// without room.
fn account(request: &Request) -> Value {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match (request.operation(), request.header("x-amz-target").unwrap_or_default()) {
        ("describejobs", _) => {
            let asked = body["jobs"].as_array().expect("IDs").iter().filter_map(Value::as_str);
            json!({"jobs": asked.map(|id| match id {
                JOB => job(JOB, "RUNNABLE", json!({})),
                id => job(id, "RUNNING", json!({"jobName": "other", "container": {
                    "containerInstanceArn": "arn:aws:ecs:eu-west-1:111122223333:container-instance/ce-cluster/1"}})),
            }).collect::<Vec<_>>()})
        }
        ("describejobqueues", _) => json!({"jobQueues": [{
            "jobQueueName": "q", "jobQueueArn": arn("job-queue", "q"), "state": "ENABLED", "status": "VALID", "priority": 1,
            "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": arn("compute-environment", "ce")}],
        }]}),
        ("describecomputeenvironments", _) => json!({"computeEnvironments": [environment(json!({}))]}),
        ("getjobqueuesnapshot", _) => json!({"frontOfQueue": {"jobs": [{"jobArn": arn("job", JOB)}]}}),
        ("listjobs", _) => match body["jobStatus"].as_str() {
            Some("RUNNING") => {
                json!({"jobSummaryList": [{"jobId": OTHER, "jobName": "other", "status": "RUNNING"}]})
            }
            _ => json!({"jobSummaryList": []}),
        },
        ("ecs", target) if target.ends_with("ListContainerInstances") => {
            json!({"containerInstanceArns": ["i"]})
        }
        ("ecs", _) => json!({"containerInstances": [{
            "ec2InstanceId": "i-0abc", "status": "ACTIVE", "agentConnected": true,
            "registeredResources": [{"name": "CPU", "integerValue": 4096}, {"name": "MEMORY", "integerValue": 15000}],
            "remainingResources": [{"name": "CPU", "integerValue": 0}, {"name": "MEMORY", "integerValue": 6000}],
        }]}),
        ("logs", _) => {
            json!({"events": [{"timestamp": 1, "message": "the last words"}], "nextForwardToken": "f"})
        }
        (other, _) => panic!("nobody asks for {other}"),
    }
}

fn environment(more: Value) -> Value {
    let mut environment = json!({
        "computeEnvironmentName": "ce", "computeEnvironmentArn": arn("compute-environment", "ce"), "type": "MANAGED",
        "state": "ENABLED", "status": "VALID", "statusReason": "ComputeEnvironment Healthy",
        "ecsClusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/ce-cluster",
        "computeResources": {
            "type": "EC2", "minvCpus": 0, "maxvCpus": 16, "desiredvCpus": 4, "instanceTypes": ["m5"], "subnets": [],
        },
    });
    environment.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    environment
}

/// The types `m5.large` and `m5.4xlarge`, as EC2 tells them.
fn types() -> Answer {
    let one = |name: &str, vcpus: u32, mib: u32| {
        format!(
            "<item><instanceType>{name}</instanceType><vCpuInfo><defaultVCpus>{vcpus}</defaultVCpus></vCpuInfo>\
             <memoryInfo><sizeInMiB>{mib}</sizeInMiB></memoryInfo></item>"
        )
    };
    let body = format!(
        "<DescribeInstanceTypesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><instanceTypeSet>{}{}\
         </instanceTypeSet></DescribeInstanceTypesResponse>",
        one("m5.large", 2, 8192),
        one("m5.4xlarge", 16, 65536)
    );
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}

/// A server with that account, but for what `change` makes of an operation's answer
/// (`listjobs RUNNING`, `ecs`), or answers instead.
fn server(change: impl Fn(&str, &mut Value) -> Option<Answer> + Send + Sync + 'static) -> BadServer {
    BadServer::start(move |request, _| {
        if request.operation() == "ec2" {
            return change("ec2", &mut Value::Null).unwrap_or_else(types);
        }
        let mut answer = account(request);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let operation = match (request.operation(), body["jobStatus"].as_str()) {
            ("listjobs", Some(status)) => format!("listjobs {status}"),
            (operation, _) => operation.to_owned(),
        };
        change(&operation, &mut answer).unwrap_or(Answer::json(answer))
    })
}

/// The output of `--why` when DescribeJobs returns this job.
fn explanation_of(status: &'static str, more: Value) -> String {
    explanation(move |operation, answer| {
        if operation == "describejobs" {
            answer["jobs"][0] = job(JOB, status, more.clone());
        }
        None
    })
}

fn explanation(change: impl Fn(&str, &mut Value) -> Option<Answer> + Send + Sync + 'static) -> String {
    let server = server(change);
    let outcome = Sandbox::at(&server.endpoint()).run("bstat", ["--why", JOB]).ok();
    assert_eq!(outcome.stderr, "", "{outcome}");
    outcome.stdout
}

#[story]
fn an_instance_without_room() {
    insta::assert_snapshot!(explanation(|_, _| None));
}

#[story]
fn the_codes_of_a_blocked_queue() {
    let output = [
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type [m5.large]",
        "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue.",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.",
        "UNDETERMINED - Batch job is blocked, root cause is undetermined.",
    ]
    .map(|reason| explanation_of("RUNNABLE", json!({"statusReason": reason})));
    insta::assert_snapshot!(output.join("\n"));
}

#[story]
fn an_environment_that_is_invalid() {
    let why = "CLIENT_ERROR - Not authorized to perform sts:AssumeRole (Service: AWSSecurityTokenService; Status Code: 403; \
               Error Code: AccessDenied; Request ID: dc0e2d28-2e99-11e7-b372-7fcc6fb65fe7)";
    let explanation = explanation(move |operation, answer| {
        if operation == "describecomputeenvironments" {
            answer["computeEnvironments"][0] = environment(json!({"status": "INVALID", "statusReason": why}));
        }
        None
    });
    insta::assert_snapshot!(explanation);
}

#[story]
fn no_instance_type_is_large_enough() {
    let explanation = explanation_of(
        "RUNNABLE",
        json!({"container": {"resourceRequirements": [
        {"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "65536"}]}}),
    );
    insta::assert_snapshot!(explanation);
}

#[story]
fn no_instance_comes() {
    let explanation = explanation(|operation, answer| {
        if answer.get("containerInstanceArns").is_some() {
            answer["containerInstanceArns"] = json!([]);
        }
        (operation == "nothing").then(types)
    });
    insta::assert_snapshot!(explanation);
}

#[story]
fn far_behind_in_a_queue_with_shares() {
    let explanation = explanation(|operation, answer| {
        match operation {
            "describejobs" if answer["jobs"][0]["jobId"] == JOB => {
                answer["jobs"][0]["shareIdentifier"] = json!("blue")
            }
            "describejobs" if answer["jobs"][0]["jobId"] == format!("{OTHER}:0") => {
                answer["jobs"][0]["status"] = json!("RUNNABLE");
                answer["jobs"][0]["statusReason"] = json!(
                    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested"
                );
            }
            "describejobqueues" => {
                answer["jobQueues"][0]["schedulingPolicyArn"] = json!(arn("scheduling-policy", "fair"));
                answer["jobQueues"][0]["jobStateTimeLimitActions"] = json!([{
                    "reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "state": "RUNNABLE", "maxTimeSeconds": 14400,
                    "action": "CANCEL"}]);
            }
            "getjobqueuesnapshot" => {
                let jobs: Vec<Value> =
                    (0..100).map(|i| json!({"jobArn": arn("job", &format!("{OTHER}:{i}"))})).collect();
                *answer = json!({
                    "frontOfQueue": {"jobs": jobs},
                    "queueUtilization": {"fairshareUtilization": {"activeShareCount": 2, "topCapacityUtilization": [
                        {"shareIdentifier": "red", "capacityUsage": [{"capacityUnit": "VCPU", "quantity": 9.0}]},
                        {"shareIdentifier": "blue", "capacityUsage": [{"capacityUnit": "VCPU", "quantity": 3.0}]}]}},
                });
            }
            "listjobs RUNNABLE" => {
                let early = |i: u64| json!({"jobId": format!("w{i}"), "jobName": "w", "status": "RUNNABLE", "createdAt": ago(180 - i)});
                answer["jobSummaryList"] = (0..100).map(early).collect();
            }
            _ => {}
        }
        None
    });
    insta::assert_snapshot!(explanation);
}

#[story]
fn a_container_that_never_was() {
    let failed = |status: &str, reason: &str| {
        explanation_of(
            "FAILED",
            json!({"statusReason": status, "stoppedAt": ago(60), "container": {"reason": reason}}),
        )
    };
    let not_started = "Task failed to start";
    let output = [
        failed("Host EC2 (instance i-0123456789abcdef0) terminated.", ""),
        failed(
            not_started,
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
            111122223333.dkr.ecr.eu-west-1.amazonaws.com/tools/train:7: not found",
        ),
        failed(
            not_started,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
            failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed",
        ),
        failed(
            not_started,
            "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s",
        ),
    ];
    insta::assert_snapshot!(output.join("\n"));
}

#[story]
fn out_of_memory_with_its_last_words() {
    let explanation = explanation_of(
        "FAILED",
        json!({
            "statusReason": "Essential container in task exited", "startedAt": ago(90), "stoppedAt": ago(60),
            "container": {"reason": "OutOfMemoryError: Container killed due to memory usage", "exitCode": 137, "logStreamName": "d/default/1"},
        }),
    );
    insta::assert_snapshot!(explanation);
}

#[story]
fn nodes_that_failed() {
    let node = |index: u32, code: i32| {
        json!({"jobId": format!("{JOB}#{index}"), "jobName": "train", "status": "FAILED",
               "statusReason": "Essential container in task exited", "container": {"exitCode": code}})
    };
    let explanation = explanation(move |operation, answer| {
        match operation {
            "describejobs" => {
                let mut job = job(
                    JOB,
                    "FAILED",
                    json!({
                        "statusReason": "Essential container in task exited", "startedAt": ago(90), "stoppedAt": ago(60),
                        "nodeProperties": {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:", "container": {
                            "image": "tools", "resourceRequirements": [{"type": "VCPU", "value": "8"}, {"type": "MEMORY", "value": "1024"}]}}]},
                        "attempts": [{"container": {"exitCode": 9, "logStreamName": "d/default/1"}, "statusReason": "Essential container in task exited"}],
                    }),
                );
                job.as_object_mut().expect("an object").remove("container");
                answer["jobs"][0] = job;
            }
            "listjobs FAILED" => answer["jobSummaryList"] = json!([node(0, 9), node(1, 143), node(2, 143)]),
            "listjobs RUNNING" => answer["jobSummaryList"] = json!([]),
            _ => {}
        }
        None
    });
    insta::assert_snapshot!(explanation);
}

#[story]
fn what_may_not_be_looked_at_is_said_and_the_rest_is_told() {
    let denied = |action: &str| {
        Answer::error(
            403,
            "AccessDeniedException",
            &format!("User: arn:aws:iam::111122223333:user/me is not authorized to perform: {action}"),
        )
    };
    for (operation, permission) in [
        ("describejobqueues", "batch:DescribeJobQueues"),
        ("describecomputeenvironments", "batch:DescribeComputeEnvironments"),
        ("getjobqueuesnapshot", "batch:GetJobQueueSnapshot"),
        ("listjobs", "batch:ListJobs"),
        ("ecs", "ecs:ListContainerInstances"),
        ("ec2", "ec2:DescribeInstanceTypes"),
    ] {
        let output = explanation(move |asked, _| {
            match (asked.split(' ').next() == Some(operation), asked) {
            (true, "ec2") => Some(Answer::Http(
                403,
                "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this \
                 operation.</Message></Error></Errors></Response>"
                    .into(),
                vec![("content-type", "text/xml".into())],
            )),
            (true, _) => Some(denied(permission)),
            _ => None,
        }
        });
        assert!(output.starts_with(&format!("{JOB} (train) is RUNNABLE, submitted 2 h ago: ")), "{output}");
        assert!(
            !output.lines().next().unwrap_or_default().contains("could not look"),
            "{operation}: {output}"
        );
        let lines: Vec<&str> = output.lines().filter(|line| line.contains("could not look at")).collect();
        assert_eq!(lines.len(), 1, "{operation}: {output}");
        assert!(lines[0].ends_with(&format!(": the permission {permission} is missing")), "{output}");
    }
    let output = explanation(move |asked, answer| {
        if asked == "describejobs" {
            answer["jobs"][0] =
                job(JOB, "FAILED", json!({"container": {"exitCode": 3, "logStreamName": "s"}}));
        }
        (asked == "logs").then(|| denied("logs:GetLogEvents"))
    });
    insta::assert_snapshot!(output);
    // Without the job itself, nothing can be told.
    let server = server(move |asked, _| (asked == "describejobs").then(|| denied("batch:DescribeJobs")));
    let outcome = Sandbox::at(&server.endpoint()).run("bstat", ["--why", JOB]);
    assert!(outcome.failed_with(1).contains("batch:DescribeJobs"), "{outcome}");
}

#[story]
fn a_busy_server_and_a_finished_job_cost_little() {
    let server = server(|operation, answer| {
        if operation == "describejobs" {
            answer["jobs"][0] = job(JOB, "SUCCEEDED", json!({"stoppedAt": ago(60)}));
        }
        None
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bstat", ["--why", "--json", JOB]).ok();
    insta::assert_snapshot!(outcome.stdout);
    for operation in [
        "describejobqueues",
        "describecomputeenvironments",
        "getjobqueuesnapshot",
        "listjobs",
        "ecs",
        "ec2",
        "logs",
    ] {
        assert_eq!(
            server.requests(operation).len(),
            0,
            "{operation} tells nothing about a job that succeeded"
        );
    }
}
