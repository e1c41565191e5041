//! The views of job queues: how full they are, on what machines, and what blocks them.

use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::{Answer, BadServer, Moto, Request, Sandbox, Terminal, eventually, story};

const ARN: &str = "arn:aws:batch:eu-west-1:111122223333";
const HEAD: &str = "8f2c0d3e-1111-4222-8333-444455556666";
const CAPACITY: &str = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for \
                        instance type [c5.large]";

fn queue(name: &str, state: &str, status: &str, environments: &[&str]) -> Value {
    let order = (1..).zip(environments).map(|(order, name): (u32, _)| {
        json!({"order": order, "computeEnvironment": format!("{ARN}:compute-environment/{name}")})
    });
    json!({
        "jobQueueName": name, "jobQueueArn": format!("{ARN}:job-queue/{name}"), "state": state, "status": status,
        "priority": 10, "computeEnvironmentOrder": order.collect::<Vec<_>>(),
    })
}

fn environment(name: &str, kind: &str, desired: Option<u32>, max: u32) -> Value {
    // Each has a cluster of its own; Fargate's has no machines to be asked for.
    let cluster = (kind != "FARGATE").then(|| format!("arn:aws:ecs:eu-west-1:111122223333:cluster/{name}"));
    json!({
        "ecsClusterArn": cluster,
        "computeEnvironmentName": name, "computeEnvironmentArn": format!("{ARN}:compute-environment/{name}"),
        "type": "MANAGED", "state": "ENABLED", "status": "VALID", "statusReason": "ComputeEnvironment Healthy",
        "computeResources": {
            "type": kind, "minvCpus": 0, "maxvCpus": max, "desiredvCpus": desired,
            "instanceTypes": ["c5.large", "c5.xlarge"], "subnets": [],
        },
    })
}

/// A machine in each cluster, with 8 vCPUs of which jobs use 6. The cluster of the invalid
/// environment is gone.
fn machine(request: &Request, asked: &Value) -> Answer {
    if asked["cluster"].as_str().is_some_and(|cluster| cluster.ends_with("/lost")) {
        return Answer::error(400, "ClusterNotFoundException", "Cluster not found.");
    }
    let arn = "arn:aws:ecs:eu-west-1:111122223333:container-instance/c/1";
    if request.header("x-amz-target").is_some_and(|target| target.ends_with("ListContainerInstances")) {
        return Answer::json(json!({"containerInstanceArns": [arn]}));
    }
    let cpu = |units: u32| json!([{"name": "CPU", "type": "INTEGER", "integerValue": units}]);
    Answer::json(json!({"failures": [], "containerInstances": [{
        "containerInstanceArn": arn, "status": "ACTIVE", "agentConnected": true,
        "registeredResources": cpu(8192), "remainingResources": cpu(2048),
    }]}))
}

/// A region with three queues. The first has more RUNNABLE jobs than a page, and is blocked by the
/// head of it.
fn region(request: &Request) -> Answer {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let named = |field: &str| {
        let names = asked[field].as_array().cloned();
        move |name: &str| {
            names.as_ref().is_none_or(|all| all.iter().any(|n| n.as_str().is_some_and(|n| n.ends_with(name))))
        }
    };
    match request.operation() {
        "describejobqueues" => {
            let mut broken = queue("broken", "ENABLED", "INVALID", &["lost"]);
            broken["statusReason"] = json!("Compute environment lost is INVALID");
            let mut queues = vec![
                queue("q", "ENABLED", "VALID", &["large", "spot", "serverless"]),
                broken,
                queue("asleep", "DISABLED", "UPDATING", &["serverless"]),
            ];
            let named = named("jobQueues");
            queues.retain(|queue| named(queue["jobQueueName"].as_str().unwrap()));
            Answer::json(json!({ "jobQueues": queues }))
        }
        "describecomputeenvironments" => {
            let mut lost = environment("lost", "EC2", Some(0), 16);
            lost["status"] = json!("INVALID");
            lost["statusReason"] = json!("CLIENT_ERROR - Not authorized to perform sts:AssumeRole");
            let mut environments = vec![
                environment("large", "EC2", Some(8), 256),
                environment("spot", "SPOT", Some(4), 64),
                environment("serverless", "FARGATE", None, 100),
                lost,
            ];
            let named = named("computeEnvironments");
            environments.retain(|e| named(e["computeEnvironmentName"].as_str().unwrap()));
            Answer::json(json!({ "computeEnvironments": environments }))
        }
        "listjobs" => {
            let count = match (asked["jobQueue"].as_str().unwrap(), asked["jobStatus"].as_str().unwrap()) {
                (q, "RUNNABLE") if q.ends_with("/q") => 1000,
                (q, "RUNNING") if q.ends_with("/q") => 12,
                (_, "SUCCEEDED") => 3,
                _ => 0,
            };
            let job = |n: u32| {
                // The reason of an attempt before is none of a blocked queue.
                json!({"jobId": format!("00000000-0000-0000-0000-{n:012}"), "jobName": "n", "createdAt": n,
                       "status": asked["jobStatus"], "statusReason": "Host EC2 (instance i-0) terminated."})
            };
            let next = (count == 1000).then_some("more");
            Answer::json(
                json!({"jobSummaryList": (0..count).map(job).collect::<Vec<_>>(), "nextToken": next}),
            )
        }
        "getjobqueuesnapshot" => {
            let head = json!({"jobArn": format!("{ARN}:job/{HEAD}"), "earliestTimeAtPosition": 1_790_000_000_000_i64});
            let rest =
                (1..12).map(|n| json!({"jobArn": format!("{ARN}:job/00000000-0000-0000-0000-{n:012}")}));
            let jobs: Vec<Value> = std::iter::once(head).chain(rest).collect();
            let jobs = if asked["jobQueue"].as_str().unwrap().ends_with("/q") { jobs } else { vec![] };
            Answer::json(json!({"frontOfQueue": {"jobs": jobs, "lastUpdatedAt": 1_790_000_001_000_i64}}))
        }
        "describejobs" => Answer::json(json!({"jobs": [{
            "jobId": HEAD, "jobName": "align", "jobQueue": "q", "status": "RUNNABLE", "statusReason": CAPACITY,
            "jobDefinition": "d", "startedAt": 0,
        }]})),
        "ecs" => machine(request, &asked),
        other => Answer::error(404, "NotFound", other),
    }
}

#[story]
fn the_views() {
    let server = BadServer::start(|request, _| region(request));
    let sandbox = Sandbox::at(&server.endpoint());
    let piped = sandbox.run("bqueues", ["-a", "--ended"]).ok();
    assert_eq!(piped.stderr, "");
    let on = |columns: u16| Terminal::new(columns).run(&sandbox, "bqueues", ["-a"]).ok().screen();
    insta::assert_snapshot!(
        "queues",
        format!("pipe\n{}\n160\n{}\n80\n{}\n20\n{}", piped.stdout, on(160), on(80), on(20))
    );
    let one = sandbox.run("bqueues", ["q"]).ok().stdout;
    let two = sandbox.run("bqueues", ["-d", "broken", "asleep"]).ok().stdout;
    insta::assert_snapshot!("queues_in_detail", format!("{one}\n---\n{two}"));
}

#[story]
fn json_is_aws_own_and_the_counts() {
    let server = BadServer::start(|request, _| region(request));
    let sandbox = Sandbox::at(&server.endpoint());
    let report = sandbox.run("bqueues", ["--json"]).ok().json();
    let [queue] = report.as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!(queue["jobQueueArn"], format!("{ARN}:job-queue/q"));
    assert_eq!((&queue["state"], &queue["statusReason"]), (&json!("ENABLED"), &json!(null)));
    assert_eq!(
        queue["jobCounts"],
        json!({"SUBMITTED": 0, "PENDING": 0, "RUNNABLE": 1000, "STARTING": 0, "RUNNING": 12})
    );
    assert_eq!(queue["jobCountsCapped"], json!(["RUNNABLE"]));
    assert_eq!(queue["computeEnvironmentOrder"][1]["order"], 2);
    assert_eq!(queue["computeEnvironments"][1]["computeResources"]["desiredvCpus"], 4);
    let blocked = json!({"jobId": HEAD, "jobName": "align", "statusReason": CAPACITY});
    assert_eq!((&queue["blocked"], &queue["frontOfQueue"]), (&blocked, &Value::Null));
    let front = &sandbox.run("bqueues", ["--json", "-d"]).ok().json()[0]["frontOfQueue"];
    assert_eq!(front["jobs"][0]["earliestTimeAtPosition"], 1_790_000_000_000_i64);
    assert_eq!(front["jobs"].as_array().map(Vec::len), Some(12));
}

#[story]
fn a_full_queue_costs_a_page_for_each_state() {
    let server = BadServer::start(|request, _| region(request));
    let sandbox = Sandbox::at(&server.endpoint());
    sandbox.run("bqueues", [""; 0]).ok();
    assert_eq!(server.requests("listjobs").len(), 5);
}

#[story]
fn what_is_not_there_is_said_and_the_rest_is_shown() {
    let server = BadServer::start(|request, _| region(request));
    let sandbox = Sandbox::at(&server.endpoint());
    let elsewhere = "arn:aws:batch:us-west-2:111122223333:job-queue/q";
    let outcome =
        sandbox.run("bqueues", ["--no-header", "q", "nope", "broken", elsewhere, "q"]).ended_with(1);
    let names: Vec<&str> = outcome.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["q", "broken"], "{outcome}");
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("error: ")).collect();
    assert_eq!(errors.len(), 2, "{outcome}");
    assert!(errors[0].contains("no job queue nope"), "{outcome}");
    assert!(
        errors[1].contains("is in us-west-2") && outcome.hints().contains("--region us-west-2"),
        "{outcome}"
    );
    let alone = sandbox.run("bqueues", ["nope"]);
    assert!(alone.failed_with(1).contains("nope (cluster far, region eu-west-1)"), "{alone}");
    assert!(sandbox.run("bqueues", ["a b"]).failed_with(2).contains("a queue is a name of"));
}

#[story]
fn an_arrays_child_that_blocks_the_queue_is_found() {
    for (runnable, looked) in [(7, 1), (0, 0)] {
        let server = BadServer::start(move |request, _| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let summary = json!({"RUNNABLE": runnable, "RUNNING": 1});
            let parent = json!({"jobId": HEAD, "jobName": "many", "status": "PENDING",
                                "arrayProperties": {"size": 8, "statusSummary": summary}});
            match request.operation() {
                "listjobs" if asked["jobStatus"] == "PENDING" => {
                    Answer::json(json!({"jobSummaryList": [parent]}))
                }
                "listjobs" => Answer::json(json!({"jobSummaryList": []})),
                _ => region(request),
            }
        });
        let queue = &Sandbox::at(&server.endpoint()).run("bqueues", ["--json"]).ok().json()[0];
        assert_eq!(queue["jobCounts"]["PENDING"], 1);
        let all = &queue["jobCountsWithChildren"];
        let counts = (&all["PENDING"], &all["RUNNABLE"], &all["RUNNING"]);
        assert_eq!(counts, (&json!(0), &json!(runnable), &json!(1)), "{queue}");
        assert_eq!(queue["blocked"]["statusReason"] == CAPACITY, looked == 1, "{queue}");
        assert_eq!(server.requests("getjobqueuesnapshot").len(), 1);
    }
}

#[story]
fn without_the_snapshot_the_rest_is_shown() {
    let server = BadServer::start(|request, _| match request.operation() {
        "getjobqueuesnapshot" => Answer::error(
            403,
            "AccessDeniedException",
            "User: me is not authorized to perform: batch:GetJobQueueSnapshot on resource: q",
        ),
        _ => region(request),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    for args in [&["q"][..], &[]] {
        let outcome = sandbox.run("bqueues", args).ok();
        assert!(outcome.stdout.contains("1000+"), "{outcome}");
        let notes: Vec<&str> = outcome.stderr.lines().collect();
        let [note] = notes.as_slice() else { panic!("{outcome}") };
        assert!(
            note.starts_with("bqueues: note: ") && note.contains("batch:GetJobQueueSnapshot"),
            "{outcome}"
        );
    }
}

#[story]
fn batch_tells_the_vcpus_that_a_queue_uses_and_ecs_is_not_asked() {
    let server = BadServer::start(|request, _| match request.operation() {
        "getjobqueuesnapshot" => Answer::json(json!({
            "frontOfQueue": {"jobs": []},
            "queueUtilization": {"totalCapacityUsage": [
                {"capacityUnit": "VCPU", "quantity": 2.25}, {"capacityUnit": "cpu", "quantity": 7.0},
            ]},
        })),
        _ => region(request),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let table = sandbox.run("bqueues", ["-a", "--no-header"]).ok().stdout;
    let vcpus = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().find(|cell| cell.contains('/')).map(str::to_owned)
    };
    assert_eq!(
        (vcpus("q "), vcpus("asleep ")),
        (Some("2.25/420".into()), Some("2.25/100".into())),
        "{table}"
    );
    assert!(server.requests("ecs").is_empty(), "{table}");
    let queue = &sandbox.run("bqueues", ["--json"]).ok().json()[0];
    assert_eq!(queue["usedVcpus"], 2.25);
}

#[story]
fn the_local_queue_fills_and_empties() {
    let sandbox = Sandbox::new();
    let counts = || sandbox.run("bqueues", ["--json", "--ended"]).ok().json()[0]["jobCounts"].clone();
    assert_eq!(counts()["RUNNING"], 0);
    let gate = sandbox.work().join("gate");
    let wait = format!("until [ -e '{}' ]; do sleep 0.1; done", gate.display());
    let job = sandbox.run("bsub", ["--wrap", &wait]).ok().job_id();
    eventually("it runs", Duration::from_secs(60), || (counts()["RUNNING"] == 1).then_some(()));
    let table = sandbox.run("bqueues", ["--no-header"]).ok().stdout;
    let cells: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(cells[..9], ["local", "1", "ENABLED", "VALID", "0", "0", "0", "0", "1"], "{table}");
    assert!(cells[9].starts_with("1/"), "it uses a vCPU: {table}");
    sandbox.file("gate", "");
    eventually("it has ended", Duration::from_secs(60), || (counts()["SUCCEEDED"] == 1).then_some(()));
    assert_eq!(counts()["RUNNING"], 0, "{job}");
    eventually("no vCPU is in use", Duration::from_secs(60), || {
        let table = sandbox.run("bqueues", ["--no-header"]).ok().stdout;
        table.split_whitespace().nth(9).is_some_and(|vcpus| vcpus.starts_with("0/")).then_some(())
    });
}

#[story]
fn children_count_where_a_listing_does_not_tell_their_states() {
    let summary = json!({"size": 5, "statusSummary": {"RUNNING": 2, "RUNNABLE": 3}});
    let array = |properties: Value| json!({"jobId": HEAD, "jobName": "many", "status": "PENDING", "arrayProperties": properties});
    let server = BadServer::start(move |request, _| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.operation() {
            "listjobs" if asked["jobStatus"] == "PENDING" => {
                Answer::json(json!({"jobSummaryList": [array(json!({"size": 5}))]}))
            }
            "listjobs" => Answer::json(json!({"jobSummaryList": []})),
            "describejobs" => Answer::json(json!({"jobs": [array(summary.clone())]})),
            _ => region(request),
        }
    });
    let table = Sandbox::at(&server.endpoint()).run("bqueues", ["--no-header"]).ok().stdout;
    let cells: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(cells[4..9], ["0", "0", "3", "0", "2"], "{table}");
}

#[story]
fn the_aws_cli_sees_the_same_and_a_long_queue_is_not_read_to_its_end() {
    let sandbox = Sandbox::with_aws();
    // Nothing in it can run.
    let program = "import boto3, concurrent.futures\n\
        batch = boto3.client('batch')\n\
        resources = dict(type='EC2', maxvCpus=4, minvCpus=0, instanceTypes=['optimal'], subnets=[])\n\
        batch.create_compute_environment(computeEnvironmentName='still', type='MANAGED', state='DISABLED', computeResources=resources)\n\
        order = [dict(order=1, computeEnvironment='still')]\n\
        batch.create_job_queue(jobQueueName='long', priority=7, computeEnvironmentOrder=order)\n\
        batch.create_job_queue(jobQueueName='shut', priority=7, computeEnvironmentOrder=order, state='DISABLED')\n\
        submit = lambda n: batch.submit_job(jobName=f'n{n}', jobQueue='long', jobDefinition='local')\n\
        list(concurrent.futures.ThreadPoolExecutor(8).map(submit, range(1200)))\n";
    sandbox.run("python", ["-c", program]).ok();
    let listed = |queue: &str| {
        let outcome = sandbox.run("bqueues", ["--no-header", queue, queue]).ok();
        outcome.stdout.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("all wait", Duration::from_secs(60), || {
        (listed("long")[4..9] == ["0", "0", "1000+", "0", "0"]).then_some(())
    });
    assert_eq!(listed("shut")[..3], ["shut", "7", "DISABLED"]);
    let ours = sandbox.run("bqueues", ["-a", "--json"]).ok().json();
    let theirs = sandbox.run("aws", ["batch", "describe-job-queues"]).ok().json();
    let theirs = theirs["jobQueues"].as_array().unwrap();
    assert_eq!(ours.as_array().map(Vec::len), Some(3));
    for queue in ours.as_array().unwrap() {
        let same = theirs.iter().find(|q| q["jobQueueArn"] == queue["jobQueueArn"]).unwrap();
        for field in
            ["jobQueueName", "state", "status", "statusReason", "priority", "computeEnvironmentOrder"]
        {
            assert_eq!(queue[field], same[field], "{field}");
        }
    }
    let args = ["batch", "list-jobs", "--job-queue", "long", "--job-status", "RUNNABLE"];
    let all = sandbox.run("aws", args).ok().json();
    assert_eq!(all["jobSummaryList"].as_array().map(Vec::len), Some(1200));
}

#[story]
fn motos_queue_has_no_status_reason_and_is_shown() {
    let moto = Moto::without_containers();
    let cluster = moto.cluster("queues");
    let sandbox = cluster.sandbox();
    sandbox.run("bsub", ["true"]).ok();
    let queue = &sandbox.run("bqueues", ["--json", "--ended"]).ok().json()[0];
    assert_eq!((&queue["jobQueueName"], &queue["statusReason"]), (&json!("queues"), &json!(null)));
    assert_eq!(queue["jobCounts"]["SUCCEEDED"], 1, "{queue}");
    assert!(sandbox.run("bqueues", ["-d"]).code() == 0);
}
