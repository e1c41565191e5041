//! The views of machines: their size, their free room, and the jobs on them.

use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::{Answer, BadServer, Moto, Request, Sandbox, Terminal, eventually, story};

const ARN: &str = "arn:aws:batch:eu-west-1:111122223333";
const ECS: &str = "arn:aws:ecs:eu-west-1:111122223333";
const JOB: &str = "8f2c0d3e-1111-4222-8333-444455556666";
const ARRAY: &str = "8f2c0d3e-2222-4222-8333-444455556666";
const NODES: &str = "8f2c0d3e-3333-4222-8333-444455556666";

/// Instances that ECS and EC2 tell of, and what is to be different.
#[derive(Clone, Copy)]
struct World {
    instances: u32,
    kinds: &'static [&'static str],
    ec2_denied: bool,
}

const WORLD: World = World { instances: 3, kinds: &["EC2"], ec2_denied: false };

fn far(world: World) -> BadServer {
    BadServer::start(move |request, _| answer(world, request))
}

fn instance_arn(n: u32) -> String {
    format!("{ECS}:container-instance/batch/{n:032x}")
}

fn answer(world: World, request: &Request) -> Answer {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match request.operation() {
        "describejobqueues" => {
            let order = (1..).zip(world.kinds).map(|(order, kind): (u32, _)| {
                json!({"order": order, "computeEnvironment": format!("{ARN}:compute-environment/{kind}")})
            });
            Answer::json(json!({"jobQueues": [{
                "jobQueueName": "q", "jobQueueArn": format!("{ARN}:job-queue/q"), "state": "ENABLED",
                "status": "VALID", "priority": 1, "computeEnvironmentOrder": order.collect::<Vec<_>>(),
            }]}))
        }
        "describecomputeenvironments" => {
            let environment = |kind: &&str| {
                let cluster = (*kind == "EC2").then(|| format!("{ECS}:cluster/batch"));
                let orchestration = if *kind == "EKS" { "EKS" } else { "ECS" };
                json!({
                    "computeEnvironmentName": kind, "ecsClusterArn": cluster, "type": "MANAGED",
                    "computeEnvironmentArn": format!("{ARN}:compute-environment/{kind}"),
                    "containerOrchestrationType": orchestration,
                    "state": "ENABLED", "status": if *kind == "SPOT" { "INVALID" } else { "VALID" },
                    "computeResources": {"type": if *kind == "EKS" { "EC2" } else { kind }, "maxvCpus": 16, "subnets": []},
                })
            };
            Answer::json(
                json!({"computeEnvironments": world.kinds.iter().map(environment).collect::<Vec<_>>()}),
            )
        }
        "listjobs" => Answer::json(json!({"jobSummaryList": listed(&asked)})),
        "describejobs" => {
            let jobs = asked["jobs"].as_array().unwrap().iter().map(|id| described(id.as_str().unwrap()));
            Answer::json(json!({"jobs": jobs.collect::<Vec<_>>()}))
        }
        "ecs" => ecs(world, request, &asked),
        "ec2" => ec2(world, &String::from_utf8_lossy(&request.body)),
        other => Answer::error(404, "NotFound", other),
    }
}

fn listed(asked: &Value) -> Value {
    let summary = |id: &str, name: &str| json!({"jobId": id, "jobName": name, "status": asked["jobStatus"]});
    match (asked["jobStatus"].as_str().unwrap(), &asked["arrayJobId"], &asked["multiNodeJobId"]) {
        ("RUNNING", Value::Null, Value::Null) => {
            let mut parent = summary(NODES, "mpi");
            parent["nodeProperties"] = json!({"numNodes": 2});
            json!([summary(JOB, "align"), parent])
        }
        ("PENDING", Value::Null, Value::Null) => {
            let mut parent = summary(ARRAY, "many");
            parent["arrayProperties"] = json!({"size": 10, "statusSummary": {"RUNNING": 1, "RUNNABLE": 9}});
            let mut idle = summary(JOB, "idle");
            idle["arrayProperties"] = json!({"size": 10, "statusSummary": {"RUNNING": 0, "RUNNABLE": 10}});
            json!([parent, idle, summary("00000000-0000-0000-0000-000000000000", "waits")])
        }
        ("RUNNING", Value::String(array), _) => json!([summary(&format!("{array}:7"), "many")]),
        ("RUNNING", _, Value::String(parent)) => {
            json!([summary(&format!("{parent}#0"), "mpi"), summary(&format!("{parent}#1"), "mpi")])
        }
        _ => json!([]),
    }
}

/// The array's child and the main node are on the second instance, the other node is elsewhere, the
/// job on the first.
fn described(id: &str) -> Value {
    let (name, instance) = match id {
        JOB => ("align", 1),
        id if id.starts_with(ARRAY) => ("many", 2),
        id if id.ends_with("#0") => ("mpi", 2),
        _ => ("mpi", 99),
    };
    json!({
        "jobId": id, "jobName": name, "jobQueue": "q", "status": "RUNNING", "jobDefinition": "d", "startedAt": 1,
        "container": {"containerInstanceArn": instance_arn(instance)},
    })
}

fn ecs(world: World, request: &Request, asked: &Value) -> Answer {
    assert_eq!(asked["cluster"], format!("{ECS}:cluster/batch"));
    if request.header("x-amz-target").unwrap().ends_with("ListContainerInstances") {
        // As ECS pages: 100 at a time.
        let from = asked["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let to = world.instances.min(from + 100);
        let next = (to < world.instances).then(|| to.to_string());
        let arns: Vec<String> = (from + 1..=to).map(instance_arn).collect();
        return Answer::json(json!({"containerInstanceArns": arns, "nextToken": next}));
    }
    let arns = asked["containerInstances"].as_array().unwrap();
    assert!(arns.len() <= 100, "{}", arns.len());
    let instance = |arn: &Value| {
        let n = u32::from_str_radix(arn.as_str().unwrap().rsplit('/').next().unwrap(), 16).unwrap();
        let integer =
            |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
        let gpus = |ids: &[&str]| json!({"name": "GPU", "type": "STRINGSET", "stringSetValue": ids});
        json!({
            "containerInstanceArn": arn, "ec2InstanceId": format!("i-{n:017x}"),
            "status": if n == 2 { "DRAINING" } else { "ACTIVE" }, "agentConnected": n != 3,
            "runningTasksCount": 2, "pendingTasksCount": u32::from(n == 1), "registeredAt": 1_790_000_000.5,
            "registeredResources": [integer("CPU", 4096), integer("MEMORY", 7600), gpus(&["a", "b"])],
            "remainingResources": [integer("CPU", 1536), integer("MEMORY", 100), gpus(&["b"])],
            "attributes": [
                {"name": "ecs.capability.privileged-container"},
                {"name": "ecs.instance-type", "value": "g4dn.xlarge"},
                {"name": "ecs.availability-zone", "value": "eu-west-1b"},
            ],
        })
    };
    Answer::json(json!({"containerInstances": arns.iter().map(instance).collect::<Vec<_>>(), "failures": []}))
}

/// EC2 has forgotten the third one already.
fn ec2(world: World, form: &str) -> Answer {
    let xml = |status, body: String| Answer::Http(status, body, vec![("content-type", "text/xml".into())]);
    if world.ec2_denied {
        let error = "<Response><Errors><Error><Code>UnauthorizedOperation</Code>\
                     <Message>You are not authorized to perform this operation. User: arn:aws:iam::1:user/me is not \
                     authorized to perform: ec2:DescribeInstances because no identity-based policy allows the \
                     ec2:DescribeInstances action. Encoded authorization failure message: \
                     4GIOHlTkIaWHQD0Q0m6XSnuUMCm</Message></Error></Errors>\
                     <RequestID>r</RequestID></Response>";
        return xml(403, error.to_owned());
    }
    assert!(
        form.starts_with("Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-id&"),
        "{form}"
    );
    let ids = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(k, _)| k.starts_with("Filter.1.Value."));
    let ids: Vec<&str> = ids.map(|(_, id)| id).collect();
    assert!(ids.len() <= 200, "{}", ids.len());
    let item = |id: &&str| {
        let public = if id.ends_with('1') {
            "<ipAddress>54.194.252.215</ipAddress><dnsName>ec2-54-194-252-215.eu-west-1.compute.amazonaws.com</dnsName>"
        } else {
            "<dnsName/>"
        };
        let lifecycle = if id.ends_with('2') { "<instanceLifecycle>spot</instanceLifecycle>" } else { "" };
        format!(
            "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><name>running</name></instanceState>\
             <privateIpAddress>10.0.0.1</privateIpAddress><privateDnsName>ip-10-0-0-1.eu-west-1.compute.internal</privateDnsName>\
             {public}{lifecycle}</item></instancesSet></item>"
        )
    };
    let known = ids.iter().filter(|id| !id.ends_with("03")).map(item);
    let items: String = known.collect();
    xml(
        200,
        format!(
            "<DescribeInstancesResponse><reservationSet>{items}</reservationSet></DescribeInstancesResponse>"
        ),
    )
}

#[story]
fn the_views() {
    let server = far(WORLD);
    let sandbox = Sandbox::at(&server.endpoint());
    let piped = sandbox.run("bhosts", [""; 0]).ok();
    assert_eq!(piped.stderr, "");
    let on = |columns: u16| Terminal::new(columns).run(&sandbox, "bhosts", [""; 0]).ok().screen();
    insta::assert_snapshot!(
        "hosts",
        format!("pipe\n{}\n160\n{}\n80\n{}\n20\n{}", piped.stdout, on(160), on(80), on(20))
    );
    let two = sandbox.run("bhosts", ["i-00000000000000001", &instance_arn(2)]).ok().stdout;
    insta::assert_snapshot!("hosts_in_detail", two);
}

#[story]
fn jobs_children_and_nodes_are_found_on_their_machines() {
    let server = far(WORLD);
    let sandbox = Sandbox::at(&server.endpoint());
    let hosts = sandbox.run("bhosts", ["--json"]).ok().json();
    let jobs = |n: usize| {
        let jobs = hosts[n]["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["jobId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(jobs(0), [JOB]);
    assert_eq!(jobs(1), [format!("{ARRAY}:7"), format!("{NODES}#0")]);
    assert_eq!(jobs(2), [""; 0]);
    assert_eq!(hosts[0]["registeredResources"], json!({"CPU": 4096, "MEMORY": 7600, "GPU": 2}));
    assert_eq!(hosts[0]["remainingResources"], json!({"CPU": 1536, "MEMORY": 100, "GPU": 1}));
    assert_eq!(hosts[0]["registeredAt"], 1_790_000_000_500_i64);
    let lifecycles = [0, 1, 2].map(|n: usize| hosts[n]["instanceLifecycle"].clone());
    assert_eq!(lifecycles, [json!("on-demand"), json!("spot"), json!(null)]);
    // An array of which nothing runs is not asked for its children.
    let arrays = server
        .requests("listjobs")
        .iter()
        .filter(|r| String::from_utf8_lossy(&r.body).contains("arrayJobId"))
        .count();
    assert_eq!(arrays, 2);
}

#[story]
fn without_jobs_batch_is_not_asked_for_them() {
    let server = far(WORLD);
    let sandbox = Sandbox::at(&server.endpoint());
    let hosts = sandbox.run("bhosts", ["--no-jobs", "--json"]).ok().json();
    assert_eq!((hosts.as_array().map(Vec::len), &hosts[0]["jobs"]), (Some(3), &Value::Null));
    assert!(server.requests("listjobs").is_empty());
}

#[story]
fn many_machines_are_asked_for_page_by_page() {
    let server = far(World { instances: 250, ..WORLD });
    let sandbox = Sandbox::at(&server.endpoint());
    let rows = sandbox.run("bhosts", ["--no-header", "--no-jobs"]).ok().stdout;
    let ids: Vec<&str> = rows.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected: Vec<String> = (1..=250).map(|n| format!("i-{n:017x}")).collect();
    assert_eq!(ids, expected);
    // Three pages, three hundreds; 200 IDs in a call of EC2's.
    assert_eq!((server.requests("ecs").len(), server.requests("ec2").len()), (6, 2));
}

#[story]
fn who_may_not_ask_ec2_sees_the_rest() {
    let server = far(World { ec2_denied: true, ..WORLD });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bhosts", ["--no-header"]).ok();
    assert_eq!(outcome.stdout.lines().count(), 3);
    let cells: Vec<&str> = outcome.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(cells[..3], ["i-00000000000000001", "g4dn.xlarge", "eu-west-1b"]);
    assert_eq!(cells[8..12], ["-"; 4]);
    let note = outcome.stderr.trim_end();
    assert!(note.starts_with("bhosts: note: ") && note.lines().count() == 1, "{outcome}");
    assert!(note.contains("user/me has no permission for ec2:DescribeInstances"), "{outcome}");
    assert!(note.contains("UnauthorizedOperation") && !note.contains("4GIOHl"), "{outcome}");
}

#[story]
fn a_passing_trouble_of_ec2s_is_waited_out() {
    let server = BadServer::start(|request, before| {
        match (request.operation(), before) {
        ("ec2", 0) => Answer::Reset,
        ("ec2", 1) => Answer::Http(
            503,
            "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Slow down.</Message></Error></Errors></Response>".into(),
            vec![],
        ),
        _ => answer(WORLD, request),
    }
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bhosts", ["--no-jobs"]).ok();
    assert!(outcome.stderr.is_empty() && outcome.stdout.contains("54.194.252.215"), "{outcome}");
    assert_eq!(server.requests("ec2").len(), 3);
}

#[story]
fn what_is_no_answer_of_ec2s_is_said() {
    let page = "<html><body>Please log in\u{1b}[2J</body></html>";
    let unreadable = "<DescribeInstancesResponse><reservationSet>";
    for (status, body, words) in [
        (200, page, "answered with a web page (HTTP status 200)"),
        (200, unreadable, "cannot be read"),
        (404, page, "answered with a web page (HTTP status 404)"),
        (404, "gone", "HTTP status 404, without an AWS error"),
        (
            403,
            "<Response><Errors><Error><Code>AuthFailure</Code><Message>a\u{1b}[2Jb</Message></Error></Errors></Response>",
            "AuthFailure",
        ),
    ] {
        let server = BadServer::start(move |request, _| match request.operation() {
            "ec2" => Answer::Http(status, body.to_owned(), vec![("x-amzn-requestid", "r-1".into())]),
            _ => answer(WORLD, request),
        });
        let outcome = Sandbox::at(&server.endpoint()).run("bhosts", ["--no-jobs"]).ok();
        assert_eq!(outcome.stdout.lines().count(), 4, "{outcome}");
        assert!(outcome.stderr.contains(words) && outcome.stderr.lines().count() == 1, "{outcome}");
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome}");
        assert_eq!(outcome.stderr.contains("(request r-1)"), status >= 400 && body != page, "{outcome}");
    }
}

#[story]
fn what_has_no_machines_is_said() {
    let server = far(World { kinds: &["FARGATE", "EKS", "SPOT"], ..WORLD });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bhosts", [""; 0]).ok();
    assert_eq!(outcome.stdout.lines().count(), 1, "the header: {outcome}");
    insta::assert_snapshot!("no_hosts", outcome.stderr);
    let outcome = sandbox.run("bhosts", ["--json"]).ok();
    assert_eq!(outcome.stdout, "[]\n");
    let empty = far(World { instances: 0, ..WORLD });
    let outcome = Sandbox::at(&empty.endpoint()).run("bhosts", [""; 0]).ok();
    assert_eq!(outcome.stderr, "bhosts: note: there are no machines in EC2 at the moment\n");
}

#[story]
fn unknown_machines_are_said_and_the_others_shown() {
    let server = far(WORLD);
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bhosts", ["i-00000000000000001", "i-9", "\u{1b}[31m"]).ended_with(1);
    assert!(outcome.stdout.starts_with("ec2InstanceId        : i-00000000000000001\n"), "{outcome}");
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("error: ")).collect();
    assert_eq!(errors.len(), 2, "{outcome}");
    assert!(
        errors[0].contains("the queue q has no machine i-9") && !outcome.stderr.contains('\u{1b}'),
        "{outcome}"
    );
    let alone = sandbox.run("bhosts", ["i-9"]);
    assert!(alone.failed_with(1).contains("i-9"), "{alone}");
}

#[story]
fn the_local_machine_and_the_jobs_on_it() {
    let sandbox = Sandbox::new();
    let host = || sandbox.run("bhosts", ["--json"]).ok().json()[0].take();
    let idle = host();
    assert_eq!(idle["registeredResources"], idle["remainingResources"]);
    assert_eq!((&idle["privateIpAddress"], &idle["jobs"]), (&json!("127.0.0.1"), &json!([])));
    let gate = sandbox.work().join("gate");
    let wait = format!("until [ -e '{}' ]; do sleep 0.1; done", gate.display());
    let job = sandbox.run("bsub", ["-J", "single", "--wrap", &wait]).ok().job_id();
    let jobs = eventually("it runs here", Duration::from_secs(60), || {
        let jobs = host()["jobs"].take();
        (jobs[0]["status"] == "RUNNING").then_some(jobs)
    });
    assert_eq!(jobs, json!([{"jobId": job, "jobName": "single", "status": "RUNNING"}]));
    let free = |host: &Value| host["remainingResources"]["CPU"].as_i64().unwrap();
    assert_eq!(free(&idle) - free(&host()), 1024);
    let array = sandbox.run("bsub", ["-J", "many", "-a", "2", "--wrap", &wait]).ok().job_id();
    if idle["registeredResources"]["CPU"].as_i64() > Some(1024) {
        let child = format!("{array}:0");
        eventually("a child runs here", Duration::from_secs(60), || {
            let jobs = host()["jobs"].take();
            jobs.as_array()?.iter().find(|job| job["jobId"] == child.as_str()).map(drop)
        });
        assert!(sandbox.run("bhosts", [""; 0]).ok().stdout.contains("single"));
    }
    sandbox.file("gate", "");
    eventually("all is free again", Duration::from_secs(60), || (free(&host()) == free(&idle)).then_some(()));
}

#[story]
fn the_nodes_of_a_job_on_the_local_machine() {
    let sandbox = Sandbox::new();
    let gate = sandbox.work().join("gate");
    let wait = format!("until [ -e '{}' ]; do sleep 0.1; done", gate.display());
    let args = ["-n", "2", "--memory", "16", "--vcpus", "1", "--wrap", &wait];
    let job = sandbox.run("bsub", args).ok().job_id();
    eventually("both nodes are shown", Duration::from_secs(60), || {
        let jobs = sandbox.run("bhosts", ["--json"]).ok().json()[0]["jobs"].take();
        let ids: Vec<&str> = jobs.as_array()?.iter().filter_map(|job| job["jobId"].as_str()).collect();
        (ids == [format!("{job}#0"), format!("{job}#1")]).then_some(())
    });
    sandbox.file("gate", "");
}

#[story]
fn the_aws_cli_sees_the_same_machine() {
    let sandbox = Sandbox::with_aws();
    let aws = |args: &[&str]| sandbox.run("aws", args).ok().json();
    let ours = sandbox.run("bhosts", ["--json"]).ok().json()[0].take();
    let arns = aws(&["ecs", "list-container-instances", "--cluster", "local"]);
    let arn = arns["containerInstanceArns"][0].as_str().unwrap();
    assert_eq!(ours["containerInstanceArn"], arn);
    let ecs =
        aws(&["ecs", "describe-container-instances", "--cluster", "local", "--container-instances", arn]);
    let ecs = &ecs["containerInstances"][0];
    for field in ["ec2InstanceId", "status", "agentConnected", "runningTasksCount", "pendingTasksCount"] {
        assert_eq!(ours[field], ecs[field], "{field}");
    }
    let id = ours["ec2InstanceId"].as_str().unwrap();
    let ec2 = aws(&["ec2", "describe-instances", "--instance-ids", id]);
    let ec2 = &ec2["Reservations"][0]["Instances"][0];
    assert_eq!(ours["privateIpAddress"], ec2["PrivateIpAddress"]);
    assert_eq!(ours["privateDnsName"], ec2["PrivateDnsName"]);
    assert_eq!(ours["instanceType"], ec2["InstanceType"]);
    assert_eq!(ours["availabilityZone"], ec2["Placement"]["AvailabilityZone"]);
    let kinds = aws(&["ec2", "describe-instance-types", "--filters", "Name=instance-type,Values=lo*,c5.*"]);
    let kinds = kinds["InstanceTypes"].as_array().unwrap();
    assert_eq!(kinds.len(), 1);
    let vcpus = kinds[0]["VCpuInfo"]["DefaultVCpus"].as_i64().unwrap();
    assert_eq!(ours["registeredResources"]["CPU"], vcpus * 1024);
    for (args, code) in [
        (&["describe-instances", "--instance-ids", "i-1"][..], "InvalidInstanceID.NotFound"),
        (&["describe-instance-types", "--instance-types", "c5.large"], "InvalidInstanceType"),
        (&["describe-instances", "--filters", "Name=colour,Values=red"], "InvalidParameterValue"),
        (&["describe-images"], "InvalidAction"),
    ] {
        let refused = sandbox.run("aws", ["ec2"].iter().chain(args));
        assert!(refused.code() != 0 && refused.stderr.contains(&format!("({code})")), "{refused}");
    }
}

#[story]
fn motos_machines() {
    let moto = Moto::without_containers();
    let cluster = moto.cluster("hosts");
    let sandbox = cluster.aws_sandbox();
    assert!(
        sandbox.run("bhosts", [""; 0]).ok().stderr.contains("there are no machines in hosts at the moment")
    );
    let program = "import boto3, json, sys\n\
        batch, ecs, ec2 = map(boto3.client, ('batch', 'ecs', 'ec2'))\n\
        environment = batch.describe_compute_environments(computeEnvironments=['hosts'])['computeEnvironments'][0]\n\
        kinds = ('c5.xlarge', 'm5.large', 'm5.large')\n\
        images = ec2.describe_images(Owners=['amazon'])['Images']\n\
        run = lambda kind: ec2.run_instances(ImageId=images[0]['ImageId'], MinCount=1, MaxCount=1, InstanceType=kind)['Instances'][0]\n\
        for instance in map(run, kinds):\n\
        \x20   document = json.dumps({'instanceId': instance['InstanceId']})\n\
        \x20   ecs.register_container_instance(cluster=environment['ecsClusterArn'], instanceIdentityDocument=document)\n\
        ids = [i['InstanceId'] for r in ec2.describe_instances()['Reservations'] for i in r['Instances']]\n\
        print(json.dumps({i['InstanceId']: i for r in ec2.describe_instances(InstanceIds=ids)['Reservations'] for i in r['Instances']}, default=str))\n";
    let theirs = sandbox.run("python", ["-c", program]).ok().json();
    let ours = sandbox.run("bhosts", ["--json"]).ok();
    assert_eq!(ours.stderr, "");
    let ours = ours.json();
    assert_eq!(ours.as_array().map(Vec::len), Some(3));
    for host in ours.as_array().unwrap() {
        let instance = &theirs[host["ec2InstanceId"].as_str().unwrap()];
        assert_eq!(host["privateIpAddress"], instance["PrivateIpAddress"]);
        assert_eq!(host["publicIpAddress"], instance["PublicIpAddress"]);
        assert_eq!(host["publicDnsName"], instance["PublicDnsName"]);
        assert_eq!(host["instanceType"], instance["InstanceType"]);
        assert_eq!(host["availabilityZone"], instance["Placement"]["AvailabilityZone"]);
        assert_eq!(host["instanceState"], "running");
    }
}

#[story]
fn secrets_are_masked_in_what_debug_shows_of_ec2() {
    let server = far(WORLD);
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.set("AWS_SESSION_TOKEN", "hush-token");
    let output = sandbox.run("bhosts", ["--no-jobs", "--debug"]).ok().stderr;
    let asked = output.split("Action=DescribeInstances").next().unwrap();
    assert!(
        asked.contains("/ec2/aws4_request") && output.contains("<DescribeInstancesResponse>"),
        "{output}"
    );
    assert!(!output.contains("hush-token") && !output.contains("secret"), "{output}");
}
