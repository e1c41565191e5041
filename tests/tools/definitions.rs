//! Values that SubmitJob cannot override, and the rules of a job definition and a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use awsb_testkit::{Answer, BadServer, Moto, MotoCluster, Sandbox, engine, story};

/// A moto cluster whose jobs end at once.
fn moto(name: &str) -> MotoCluster {
    Moto::without_containers().cluster(name)
}

/// The answer of an `aws` command.
#[track_caller]
fn aws<const N: usize>(sandbox: &Sandbox, args: [&str; N]) -> Value {
    let outcome = sandbox.run("aws", ["batch"].into_iter().chain(args)).ok();
    if outcome.stdout.is_empty() { Value::Null } else { outcome.json() }
}

/// The revisions of a job definition, by its name.
#[track_caller]
fn revisions(sandbox: &Sandbox, name: &str) -> Vec<Value> {
    let mut answer = aws(sandbox, ["describe-job-definitions", "--job-definition-name", name]);
    match answer["jobDefinitions"].take() {
        Value::Array(revisions) => revisions,
        _ => Vec::new(),
    }
}

/// The output of a job that is waited for.
#[track_caller]
fn printed(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.run("bsub", ["-I"].into_iter().chain(args.iter().copied())).ok().stdout
}

#[story]
fn a_job_definition_is_derived_once_and_found_again() {
    let cluster = moto("derived");
    let sandbox = cluster.sandbox();
    let line = [
        "--image=busybox:1.36",
        "--job-role=arn:aws:iam::210987654321:role/theirs",
        "--execution-role=fetcher",
        "--user=1000:1000",
        "--ulimit=nofile=1024:4096",
        "--mount=/scratch:/data:ro",
        "--efs=fs-0123abcd:fsap-0123456789abcdef0:/shared",
        "--shm-size=2G",
        "--secret=TOKEN=/lab/token",
        "true",
    ];
    sandbox.run("bsub", line).ok();
    // By somebody else, who remembers nothing, and by whoever made it.
    cluster.sandbox().run("bsub", line).ok();
    sandbox.run("bsub", line).ok();
    sandbox.run("bsub", ["--image=ubuntu", "true"]).ok();
    let names: Vec<String> = cluster
        .requests("submitjob")
        .iter()
        .map(|request| request["jobDefinition"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!([&names[1], &names[2]], [&names[0], &names[0]], "found again");
    assert_ne!(names[0], names[3]);
    let (name, revision) = names[0].split_once(':').unwrap();
    assert!(name.starts_with("derived-awsb-") && revision == "1", "{names:?}");

    let found = revisions(&cluster.aws_sandbox(), name);
    let [definition] = &found[..] else { panic!("one revision: {found:?}") };
    assert_eq!(definition["tags"]["awsb:derived-from"], cluster.part("job_definition"));
    let container = &definition["containerProperties"];
    assert_eq!(container["image"], "busybox:1.36");
    assert_eq!(container["jobRoleArn"], "arn:aws:iam::210987654321:role/theirs");
    assert_eq!(container["executionRoleArn"], "arn:aws:iam::123456789012:role/fetcher");
    assert_eq!(container["user"], "1000:1000");
    assert_eq!(container["ulimits"], json!([{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}]));
    assert_eq!(container["linuxParameters"]["sharedMemorySize"], 2048);
    assert_eq!(container["secrets"], json!([{"name": "TOKEN", "valueFrom": "/lab/token"}]));
    assert_eq!(
        container["mountPoints"],
        json!([{"containerPath": "/data", "readOnly": true, "sourceVolume": "awsb-0"},
               {"containerPath": "/shared", "readOnly": false, "sourceVolume": "awsb-1"}])
    );
    assert_eq!(
        container["volumes"],
        json!([{"name": "awsb-0", "host": {"sourcePath": "/scratch"}},
               {"name": "awsb-1", "efsVolumeConfiguration": {
                   "fileSystemId": "fs-0123abcd", "transitEncryption": "ENABLED",
                   "authorizationConfig": {"accessPointId": "fsap-0123456789abcdef0"}}}])
    );
    // The values of the cluster's own job definition are still there.
    assert_eq!(container["command"], json!(["true"]));
    assert_eq!(container["environment"], json!([{"name": "FROM_THE_DEFINITION", "value": "yes"}]));
    assert_eq!(container["resourceRequirements"].as_array().map(Vec::len), Some(2));
}

/// Checks that the job has a job definition which allows bexec, and a role for the agent in it.
#[track_caller]
fn assert_allows_exec(found: &[Value]) {
    let [definition] = found else { panic!("one revision: {found:?}") };
    let container = &definition["containerProperties"];
    assert_eq!(container["enableExecuteCommand"], true, "{definition}");
    assert!(container["jobRoleArn"].as_str().unwrap().ends_with(":role/lab"), "{definition}");
}

#[story]
fn a_job_for_bexec_needs_a_job_role_and_a_job_definition_of_its_own() {
    let sandbox = Sandbox::with_aws();
    let refused = sandbox.run("bsub", ["--enable-exec", "--wrap", "true"]);
    assert!(refused.failed_with(2).contains("`--enable-exec` needs a job role"), "{refused}");
    assert!(refused.hints().contains("`--job-role ROLE` sets one"), "{refused}");
    let line = ["-K", "--parsable", "--enable-exec", "--job-role", "lab", "--wrap", "true"];
    let id = sandbox.run("bsub", line).ok().job_id();
    let job = aws(&sandbox, ["describe-jobs", "--jobs", &id])["jobs"][0].take();
    let arn = job["jobDefinition"].as_str().unwrap();
    let mut described = aws(&sandbox, ["describe-job-definitions", "--job-definitions", arn]);
    assert_allows_exec(described["jobDefinitions"].take().as_array().unwrap());
    assert_eq!(job["container"]["enableExecuteCommand"], true, "{job}");

    let cluster = moto("enable-exec");
    let line = ["--enable-exec", "--job-role", "arn:aws:iam::123456789012:role/lab", "true"];
    cluster.sandbox().run("bsub", line).ok();
    let requests = cluster.requests("submitjob");
    let (name, _) = requests[0]["jobDefinition"].as_str().unwrap().split_once(':').unwrap();
    assert!(name.starts_with("enable-exec-awsb-"), "{requests:?}");
    assert_allows_exec(&revisions(&cluster.aws_sandbox(), name));
    let refused = moto("exec-roleless").sandbox().run("bsub", ["--enable-exec", "true"]);
    assert!(refused.failed_with(2).contains("`--enable-exec` needs a job role"), "{refused}");
}

#[story]
fn a_dry_run_registers_nothing() {
    let cluster = moto("dry-run");
    let messages = cluster.sandbox().run("bsub", ["--dry-run", "--image=busybox", "true"]).ok().json();
    assert_eq!(messages[0]["operation"], "RegisterJobDefinition");
    assert_eq!(messages[0]["request"]["containerProperties"]["image"], "busybox");
    let name = messages[0]["request"]["jobDefinitionName"].as_str().unwrap();
    assert!(name.starts_with("dry-run-awsb-"), "{messages}");
    let submit = messages.as_array().and_then(|all| all.last()).unwrap();
    assert_eq!(submit["request"]["jobDefinition"], name);
    assert_eq!(revisions(&cluster.aws_sandbox(), name).len(), 0);
}

#[story]
fn a_job_definition_by_its_name_or_revision() {
    let cluster = moto("named");
    let sandbox = cluster.sandbox();
    let revision = format!("{}:1", cluster.part("name"));
    sandbox.run("bsub", ["--job-definition", &revision, "true"]).ok();
    assert_eq!(cluster.requests("submitjob")[0]["jobDefinition"], revision);
    let failed = sandbox.run("bsub", ["--job-definition", "named:7", "true"]);
    assert!(failed.failed_with(2).contains("there is no active job definition named:7"), "{failed}");
    assert_eq!(cluster.requests("submitjob").len(), 1);
}

#[story]
fn sizes_on_fargate() {
    let cluster = moto("fargate");
    let sandbox = cluster.sandbox();
    let properties = json!({
        "image": "busybox",
        "command": ["true"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/x",
        "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
    });
    let properties = properties.to_string();
    let definition = ["--job-definition-name", "on-fargate", "--platform-capabilities", "FARGATE"];
    let register =
        ["batch", "register-job-definition", "--type", "container", "--container-properties", &properties];
    cluster.aws_sandbox().run("aws", register.into_iter().chain(definition)).ok();
    let bsub = |more: &[&str]| {
        let line = ["--job-definition", "on-fargate"].into_iter().chain(more.iter().copied());
        sandbox.run("bsub", line.chain(["true"]))
    };

    let failed = bsub(&["-p", "1", "-m", "4000"]);
    let message = failed.failed_with(2);
    assert!(message.contains("no size of 1 vCPU and 4000 MiB"), "{failed}");
    assert!(message.contains("1 vCPU and 4096 MiB") && failed.hints().contains("`-p 1 -m 4096`"), "{failed}");
    for (more, why) in [
        (&["-n", "2"][..], "multi-node parallel jobs cannot run on Fargate"),
        (&["-g", "1"], "`--gpus` is not for jobs on Fargate"),
        (&["--shm-size", "1G"], "`--shm-size` is not for jobs on Fargate"),
    ] {
        let failed = bsub(more);
        assert!(failed.failed_with(2).contains(why), "{failed}");
    }
    assert_eq!(cluster.requests("submitjob").len(), 0);
    bsub(&["-p", "1", "-m", "4G"]).ok();
    bsub(&["--ephemeral-storage", "50"]).ok();
    let requests = cluster.requests("submitjob");
    let name = requests[1]["jobDefinition"].as_str().and_then(|n| n.split(':').next()).unwrap();
    let found = revisions(&cluster.aws_sandbox(), name);
    assert_eq!(found[0]["containerProperties"]["ephemeralStorage"]["sizeInGiB"], 50);
    assert_eq!(found[0]["platformCapabilities"], json!(["FARGATE"]));
}

#[story]
fn nodes_run_and_their_number_is_said() {
    let sandbox = Sandbox::new();
    // The job ends with its main node: that one waits for the other.
    let other = sandbox.work().join("other");
    let script = format!(
        "echo \"node $AWS_BATCH_JOB_NODE_INDEX of $AWS_BATCH_JOB_NUM_NODES\"\n\
         if [ \"$AWS_BATCH_JOB_NODE_INDEX\" = 1 ]; then touch '{0}'; sleep 60; fi\n\
         until [ -e '{0}' ]; do sleep 0.05; done\n",
        other.display()
    );
    sandbox.file("nodes.sh", script);
    let submitted = sandbox.run("bsub", ["-n", "2", "nodes.sh"]).ok();
    assert!(submitted.stderr.contains("bsub: 2 nodes x 1 vCPU"), "{submitted}");
    let id = submitted.job_id();
    for node in [0, 1] {
        let output = sandbox.run("bout", ["-f", &format!("{id}#{node}")]).ok().stdout;
        assert_eq!(output, format!("node {node} of 2\n"));
    }
    // One node is an ordinary job.
    let ordinary = sandbox.run("bsub", ["-K", "-n", "1", "true"]).ok();
    assert!(!ordinary.stderr.contains("nodes"), "{ordinary}");
    let failed = sandbox.run("bsub", ["-n", "2", "-a", "5", "true"]);
    assert!(failed.failed_with(2).contains("cannot be an array"), "{failed}");
}

#[story]
fn a_multi_node_job_definition() {
    let sandbox = Sandbox::with_aws();
    let container = json!({"image": "host", "resourceRequirements": [
        {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "16"}]});
    let register = |name: &str, ranges: [&str; 2]| {
        let ranges = ranges.map(|targets| json!({"targetNodes": targets, "container": container}));
        let nodes = json!({"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}).to_string();
        let register =
            ["batch", "register-job-definition", "--type", "multinode", "--node-properties", &nodes];
        sandbox.run("aws", register.into_iter().chain(["--job-definition-name", name])).ok();
    };
    register("open", ["0:0", "1:"]);
    register("closed", ["0:0", "1:1"]);

    // Its own number of nodes, and overrides for its own ranges: Batch takes no others.
    let messages = sandbox.run("bsub", ["--dry-run", "--job-definition", "open", "true"]).ok().json();
    let nodes = &messages.as_array().and_then(|all| all.last()).unwrap()["request"]["nodeOverrides"];
    let overrides = nodes["nodePropertyOverrides"].as_array().unwrap();
    let targets: Vec<&Value> = overrides.iter().map(|o| &o["targetNodes"]).collect();
    assert_eq!((&nodes["numNodes"], targets), (&json!(2), vec![&json!("0:0"), &json!("1:")]));
    let messages =
        sandbox.run("bsub", ["--dry-run", "--job-definition", "open", "-n", "5", "true"]).ok().json();
    let submit = messages.as_array().and_then(|all| all.last()).unwrap();
    assert_eq!(submit["request"]["nodeOverrides"]["numNodes"], 5);
    let failed = sandbox.run("bsub", ["--job-definition", "closed", "-n", "5", "true"]);
    assert!(failed.failed_with(2).contains("is for exactly 2 nodes"), "{failed}");
    let failed = sandbox.run("bsub", ["--job-definition", "open", "-a", "5", "true"]);
    assert!(failed.failed_with(2).contains("cannot be arrays"), "{failed}");
    // Changes are made to all of them.
    let line =
        ["-K", "--job-definition", "closed", "--ulimit", "nofile=77", "--wrap", "test $(ulimit -n) = 77"];
    sandbox.run("bsub", line).ok();
}

#[story]
fn a_job_definition_that_is_too_large() {
    let sandbox = Sandbox::new();
    let mounts = (0..300).map(|n| format!("--mount=/host/{n}:/container/{n}"));
    let line = mounts.chain(["--image=busybox".to_owned(), "true".to_owned()]);
    let failed = sandbox.run("bsub", line);
    assert!(failed.failed_with(2).contains("Batch accepts at most 24576 (24 KiB)"), "{failed}");
}

#[story]
fn a_secret_needs_somebody_to_fetch_it() {
    let sandbox = Sandbox::new();
    let failed = sandbox.run("bsub", ["--secret", "TOKEN=/lab/token", "true"]);
    assert!(failed.failed_with(2).contains("needs an execution role"), "{failed}");
    assert!(failed.hints().contains("`--execution-role ROLE`"), "{failed}");
    let failed = sandbox.run("bsub", ["--secret", "TOKEN=/lab/token", "-e", "TOKEN=x", "true"]);
    assert!(failed.failed_with(2).contains("TOKEN is given twice"), "{failed}");
    let failed = sandbox.run("bsub", ["--secret", "TOKEN=/lab/token", "--execution-role", "r", "true"]);
    assert!(failed.failed_with(1).contains("no Secrets Manager"), "{failed}");
}

#[story]
fn limits_of_a_process() {
    let sandbox = Sandbox::new();
    let line = ["--ulimit", "nofile=77:99", "--wrap", "ulimit -n"];
    assert_eq!(printed(&sandbox, &line), "77\n");
    assert_eq!(printed(&sandbox, &line), "77\n");
    // A job that its own limit keeps from starting does not wait for better times.
    let failed = sandbox.run("bsub", ["-K", "--ulimit", "nofile=3", "true"]).ended_with(126);
    assert!(failed.stderr.contains("(nofile=3) is too low to start it"), "{failed}");
    // Only a container has the rest.
    for option in [["--user", "7"], ["--mount", "/tmp:/data"], ["--shm-size", "64M"]] {
        let failed = sandbox.run("bsub", option.into_iter().chain(["true"]));
        assert!(failed.failed_with(1).contains("it is a process of this machine"), "{failed}");
    }
}

#[story]
fn a_container_on_the_local_cluster() {
    let image = engine();
    let sandbox = Sandbox::new();
    let file = sandbox.file("there/file", "from the host\n");
    let mount = format!("{}:/here:ro", file.parent().unwrap().display());
    let look = "id -u; id -g; ulimit -n; ulimit -Hn; cat /here/file; touch /here/new 2>/dev/null || echo read-only\n\
                df -k /dev/shm | tail -n 1 | awk '{print $2}'";
    let line = [
        "--image",
        image,
        "--user",
        "7:8",
        "--ulimit",
        "nofile=77:99",
        "--mount",
        &mount,
        "--shm-size",
        "16M",
        "--wrap",
        look,
    ];
    let expected = "7\n8\n77\n99\nfrom the host\nread-only\n16384\n";
    assert_eq!(printed(&sandbox, &line), expected);
    assert_eq!(printed(&sandbox, &line), expected, "the same from the job definition that is there by now");
}

#[story]
fn queues_that_do_not_take_the_job() {
    let sandbox = Sandbox::with_aws();
    let policy = aws(&sandbox, ["create-scheduling-policy", "--name", "fair", "--fairshare-policy", "{}"]);
    let policy = policy["arn"].as_str().unwrap().to_owned();
    let order = "order=1,computeEnvironment=local";
    let queue =
        ["create-job-queue", "--priority", "1", "--compute-environment-order", order, "--job-queue-name"];
    let create = |name: &str, more: &[&str]| {
        let args = ["batch"].into_iter().chain(queue).chain([name]).chain(more.iter().copied());
        sandbox.run("aws", args).ok();
    };
    create("fair", &["--scheduling-policy-arn", &policy]);
    create("off", &["--state", "DISABLED"]);
    let spot =
        json!({"type": "SPOT", "maxvCpus": 4, "subnets": [], "minvCpus": 0, "instanceTypes": ["optimal"]});
    let environment = ["--compute-environment-name", "spot", "--type", "MANAGED"];
    let spot = spot.to_string();
    let args = ["batch", "create-compute-environment", "--compute-resources", &spot];
    sandbox.run("aws", args.into_iter().chain(environment)).ok();
    let queue = ["batch", "create-job-queue", "--priority", "1", "--job-queue-name", "spot"];
    let order = ["--compute-environment-order", "order=1,computeEnvironment=spot"];
    sandbox.run("aws", queue.into_iter().chain(order)).ok();

    let failed = sandbox.run("bsub", ["-q", "off", "true"]);
    assert!(
        failed.failed_with(1).contains("the queue off is disabled, so it accepts no new jobs"),
        "{failed}"
    );
    let failed = sandbox.run("bsub", ["-q", "fair", "true"]);
    assert!(failed.failed_with(2).contains("every job in it needs a share"), "{failed}");
    assert!(failed.hints().contains("`--share NAME`"), "{failed}");
    let failed = sandbox.run("bsub", ["--share", "ann", "true"]);
    assert!(failed.failed_with(2).contains("has no scheduling policy"), "{failed}");
    sandbox.run("bsub", ["-K", "-q", "fair", "--share", "ann", "true"]).ok();
    let failed = sandbox.run("bsub", ["-q", "spot", "-n", "2", "true"]);
    assert!(failed.failed_with(2).contains("the queue spot has none: spot has Spot instances"), "{failed}");
}

/// A sandbox whose cluster is that server.
fn far(server: &BadServer) -> Sandbox {
    Sandbox::of_cluster_at(&server.endpoint(), "")
}

/// A Batch that refuses every job, with a job definition that says why.
fn refusing(definition: Value, words: &'static str) -> (BadServer, Sandbox) {
    let server = BadServer::start(move |request, _| match request.operation() {
        "submitjob" => Answer::error(400, "ClientException", words),
        "describejobdefinitions" => Answer::json(json!({ "jobDefinitions": [definition] })),
        "describejobqueues" => Answer::json(json!({"jobQueues": [{
            "jobQueueName": "q", "jobQueueArn": "arn:q", "state": "ENABLED", "status": "VALID", "priority": 1,
            "computeEnvironmentOrder": []}]})),
        _ => Answer::error(500, "ServerException", "not in this test"),
    });
    let sandbox = far(&server);
    (server, sandbox)
}

fn definition(kind: &str, extra: Value) -> Value {
    let mut definition = json!({
        "jobDefinitionName": "d", "revision": 1, "type": kind, "status": "ACTIVE",
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1"});
    for (name, value) in extra.as_object().unwrap() {
        definition[name] = value.clone();
    }
    definition
}

#[story]
fn job_definitions_that_bsub_cannot_use() {
    let nodes = json!({"nodeProperties": {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": [
        {"targetNodes": "0:", "container": {"image": "a"}}]}});
    for (definition, words, expected) in [
        (
            definition("container", json!({"eksProperties": {"podProperties": {"containers": []}}})),
            // As issue 5817 of nextflow has it.
            "Container overrides or node overrides should not be set for Batch on EKS jobs.",
            "the job definition d is for EKS",
        ),
        (
            definition("multinode", nodes),
            "Container overrides should not be set",
            "the job definition d is for multi-node parallel jobs",
        ),
    ] {
        let (server, sandbox) = refusing(definition, words);
        // After Batch has refused the job,
        let failed = sandbox.run("bsub", ["true"]);
        assert!(failed.failed_with(2).contains(expected), "{failed}");
        assert!(failed.hints().contains(words), "{failed}");
        assert_eq!(server.requests("submitjob").len(), 1);
        // and before, where its job definition is looked at anyway.
        if !expected.contains("multi-node") {
            let failed = sandbox.run("bsub", ["--image", "x", "true"]);
            assert!(failed.failed_with(2).contains(expected), "{failed}");
            assert_eq!(server.requests("submitjob").len(), 1);
        }
    }
}

#[story]
fn a_derived_job_definition_that_somebody_deregistered_is_made_anew() {
    let base = definition("container", json!({"containerProperties": {"image": "a"}}));
    let server = BadServer::start(move |request, before| match request.operation() {
        "submitjob" if before == 1 => Answer::error(400, "ClientException", "no such revision"),
        "submitjob" => {
            Answer::json(json!({"jobId": "0f0e1d2c-3b4a-4958-8776-655443322110", "jobName": "true"}))
        }
        // There is no other than the cluster's own.
        "describejobdefinitions" => {
            let asked = String::from_utf8_lossy(&request.body).contains("-awsb-");
            Answer::json(json!({ "jobDefinitions": if asked { json!([]) } else { json!([base]) } }))
        }
        "registerjobdefinition" => Answer::json(json!({
            "jobDefinitionName": "n", "jobDefinitionArn": "arn:n:1", "revision": 1 + before})),
        "describejobqueues" => Answer::json(json!({ "jobQueues": [] })),
        _ => Answer::error(500, "ServerException", "not in this test"),
    });
    let sandbox = far(&server);
    let line = ["--image", "x", "true"];
    sandbox.run("bsub", line).ok();
    let failed = sandbox.run("bsub", line);
    assert!(failed.failed_with(2).contains("there is no active job definition d-awsb-"), "{failed}");
    assert!(failed.hints().contains("the same command derives it again"), "{failed}");
    sandbox.run("bsub", line).ok();
    let submitted = server.requests("submitjob");
    assert_eq!((submitted.len(), server.requests("registerjobdefinition").len()), (3, 2));
    let last: Value = serde_json::from_slice(&submitted[2].body).expect("JSON");
    assert!(last["jobDefinition"].as_str().is_some_and(|name| name.ends_with(":2")), "{last}");
}

#[story]
fn a_rejection_that_cannot_be_explained_keeps_its_words_and_the_cache() {
    let denied = Arc::new(AtomicBool::new(false));
    let is_denied = Arc::clone(&denied);
    let base = definition("container", json!({"containerProperties": {"image": "a"}}));
    let server = BadServer::start(move |request, before| match request.operation() {
        "submitjob" if before == 1 => Answer::error(400, "ClientException", "too many of those"),
        "submitjob" => {
            Answer::json(json!({"jobId": "0f0e1d2c-3b4a-4958-8776-655443322110", "jobName": "true"}))
        }
        "describejobdefinitions" if is_denied.load(Ordering::SeqCst) => {
            Answer::error(403, "AccessDeniedException", "User: ann is not authorized to perform this")
        }
        // There is no other than the cluster's own.
        "describejobdefinitions" => {
            let asked = String::from_utf8_lossy(&request.body).contains("-awsb-");
            Answer::json(json!({ "jobDefinitions": if asked { json!([]) } else { json!([base]) } }))
        }
        "registerjobdefinition" => Answer::json(json!({
            "jobDefinitionName": "n", "jobDefinitionArn": "arn:n:1", "revision": 1 + before})),
        "describejobqueues" => Answer::json(json!({ "jobQueues": [] })),
        _ => Answer::error(500, "ServerException", "not in this test"),
    });
    let sandbox = far(&server);
    let line = ["--job-definition", "d:1", "--image", "x", "true"];
    sandbox.run("bsub", line).ok();
    denied.store(true, Ordering::SeqCst);
    let looked = server.requests("describejobdefinitions").len();
    let failed = sandbox.run("bsub", line);
    assert!(failed.failed_with(1).contains("too many of those"), "{failed}");
    assert!(!failed.stderr.contains("not authorized"), "{failed}");
    assert!(server.requests("describejobdefinitions").len() > looked, "{failed}");
    sandbox.run("bsub", line).ok();
    assert_eq!(server.requests("registerjobdefinition").len(), 1);
    assert_eq!(server.requests("submitjob").len(), 3);
}

#[story]
fn a_cached_job_definition_that_somebody_deregistered_is_read_anew() {
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let names = json!({"jobDefinitionName": "queue-tool", "revision": 3, "containerProperties": {"image": "a"},
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/queue-tool:3"});
    let known = definition("container", names);
    let server =
        BadServer::start(move |request, _| match (request.operation(), is_gone.load(Ordering::SeqCst)) {
            ("submitjob", false) => {
                Answer::json(json!({"jobId": "0f0e1d2c-3b4a-4958-8776-655443322110", "jobName": "true"}))
            }
            ("submitjob", true) => {
                Answer::error(400, "ClientException", "JobDefinition queue-tool:3 not found or not ACTIVE")
            }
            ("describejobdefinitions", gone) => {
                Answer::json(json!({ "jobDefinitions": if gone { json!([]) } else { json!([known]) } }))
            }
            ("describejobqueues", _) => Answer::json(json!({ "jobQueues": [] })),
            _ => Answer::error(403, "AccessDeniedException", "User: ann is not authorized to perform this"),
        });
    let sandbox = far(&server);
    let line = ["-p", "2", "--job-definition", "queue-tool:3", "true"];
    sandbox.run("bsub", line).ok();
    sandbox.run("bsub", line).ok();
    assert_eq!(server.requests("describejobdefinitions").len(), 1);
    gone.store(true, Ordering::SeqCst);
    let failed = sandbox.run("bsub", line);
    assert!(failed.failed_with(1).contains("JobDefinition queue-tool:3 not found"), "{failed}");
    assert!(failed.hints().contains("names the job definition `d`"), "{failed}");
    let failed = sandbox.run("bsub", line);
    assert!(failed.failed_with(2).contains("there is no active job definition queue-tool:3"), "{failed}");
    assert_eq!(server.requests("submitjob").len(), 3);
}

#[story]
fn whoever_may_submit_need_not_be_allowed_to_look() {
    let server = BadServer::start(|request, _| match request.operation() {
        "submitjob" => {
            Answer::json(json!({"jobId": "0f0e1d2c-3b4a-4958-8776-655443322110", "jobName": "true"}))
        }
        _ => Answer::error(403, "AccessDeniedException", "User: ann is not authorized to perform this"),
    });
    let sandbox = far(&server);
    sandbox.run("bsub", ["-p", "2", "--job-definition", "d:3", "true"]).ok();
    assert_eq!(server.requests("submitjob").len(), 1);
    let failed = sandbox.run("bsub", ["--image", "x", "true"]);
    assert!(
        failed.failed_with(1).contains("asking for the job definition d: AccessDeniedException"),
        "{failed}"
    );
}

#[story]
fn a_read_only_root_is_said_by_the_job() {
    let (image, sandbox) = (engine(), Sandbox::with_aws());
    let properties = json!({"image": image, "readonlyRootFilesystem": true,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]});
    let properties = properties.to_string();
    let register = ["register-job-definition", "--type", "container", "--job-definition-name", "frozen"];
    let args = ["batch"].into_iter().chain(register).chain(["--container-properties", &properties]);
    sandbox.run("aws", args).ok();
    sandbox.file("job.sh", "#!/bin/sh\necho ran\n");
    let outcome = sandbox.run("bsub", ["-I", "--job-definition", "frozen", "job.sh"]).ended_with(126);
    assert!(outcome.stdout.contains("awsb: programs cannot be run from /dev/shm"), "{outcome}");
}

#[story]
fn an_image_without_a_shell_is_said_with_what_to_do() {
    let image = engine();
    let sandbox = Sandbox::new();
    sandbox.file("job.sh", "echo ran\n");
    // The image's programs are in /bin, where an empty folder takes their place.
    let bin = sandbox.work().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let mount = format!("{}:/bin:ro", bin.display());
    let hint = "`bsub --bare COMMAND` starts a command without it";
    for work in [["--command", "true"].as_slice(), &["job.sh"]] {
        let failed = sandbox.run("bsub", ["-K", "--image", image, "--mount", &mount].iter().chain(work));
        let failed = failed.ended_with(127);
        assert!(failed.stderr.contains("exec: \"/bin/sh\""), "{failed}");
        assert!(failed.hints().contains("the image has no /bin/sh"), "{failed}");
        assert!(failed.hints().contains(hint) && !failed.hints().contains("bout"), "{failed}");
        let messages = sandbox.run("bstat", ["last"]).ok();
        assert!(messages.hints().contains(hint), "{messages}");
    }
    // Without it, only the command itself can be missing.
    let line = ["-K", "--image", image, "--mount", &mount, "--bare", "--command", "true"];
    let failed = sandbox.run("bsub", line).ended_with(127);
    assert!(failed.stderr.contains("exec: \"true\"") && !failed.hints().contains("--bare"), "{failed}");
}

#[story]
fn options_that_only_a_job_definition_can_have() {
    let base = definition(
        "container",
        json!({"containerProperties": {
        "image": "a", "linuxParameters": {"initProcessEnabled": true, "tmpfs": [{"containerPath": "/s", "size": 1}]}}}),
    );
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobdefinitions" => {
            let asked = String::from_utf8_lossy(&request.body).contains("-awsb-");
            Answer::json(json!({ "jobDefinitions": if asked { json!([]) } else { json!([base]) } }))
        }
        _ => Answer::json(json!({ "jobQueues": [] })),
    });
    let sandbox = far(&server);
    let options = ["--tmpfs", "/s:1G:noexec", "--device", "/dev/fuse:rw", "--privileged"];
    let secret = ["--repository-credentials", "lab/registry", "--execution-role", "fetch"];
    let report = sandbox.run("bsub", [&["--dry-run"][..], &options, &secret, &["true"]].concat()).ok().json();
    let container = &report[0]["request"]["containerProperties"];
    assert_eq!(container["privileged"], true, "{report}");
    assert_eq!(container["repositoryCredentials"], json!({"credentialsParameter": "lab/registry"}));
    let linux = &container["linuxParameters"];
    assert_eq!(linux["initProcessEnabled"], true);
    assert_eq!(linux["tmpfs"], json!([{"containerPath": "/s", "size": 1024, "mountOptions": ["noexec"]}]));
    let device =
        json!([{"hostPath": "/dev/fuse", "containerPath": "/dev/fuse", "permissions": ["READ", "WRITE"]}]);
    assert_eq!(linux["devices"], device);
    // The secret is read by a role that the job definition does not have.
    let refused = sandbox.run("bsub", ["--dry-run", "--repository-credentials", "r", "true"]);
    assert!(refused.failed_with(2).contains("execution role"), "{refused}");
    let refused = sandbox.run("bsub", ["--dry-run", "--instance-type", "c5.xlarge", "true"]);
    assert!(refused.failed_with(2).contains("multi-node parallel jobs"), "{refused}");
    let report =
        sandbox.run("bsub", ["--dry-run", "-n", "2", "--instance-type", "c5.xlarge", "true"]).ok().json();
    let range = &report[0]["request"]["nodeProperties"]["nodeRangeProperties"][0];
    assert_eq!(range["container"]["instanceType"], "c5.xlarge", "{report}");
}

#[story]
fn output_that_another_log_driver_takes_is_said_to_be_elsewhere() {
    const ID: &str = "0f0e1d2c-3b4a-4958-8776-655443322110";
    for status in ["RUNNING", "FAILED"] {
        let server = BadServer::start(move |request, _| match request.operation() {
            "describejobs" => Answer::json(json!({"jobs": [{
                "jobId": ID, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": status, "startedAt": 1,
                "container": {"exitCode": 1, "logStreamName": "x", "logConfiguration": {"logDriver": "splunk"}},
            }]})),
            _ => Answer::error(500, "ServerException", "not in this test"),
        });
        let outcome = far(&server).run("bout", [ID]);
        assert!(outcome.failed_with(1).contains("its log driver is splunk"), "{outcome}");
        assert!(server.requests("logs").is_empty(), "{outcome}");
    }
}
