//! The variables and files that bsub gives to the nodes of a job, and to all jobs of a cluster
//! whose jobs share directories.

use std::sync::Mutex;

use awsb_testkit::{Answer, BadServer, Request, Sandbox, story};
use serde_json::{Value, json};

/// A cluster with directories that its jobs share.
const SHARED: &str = "shared = [\"fs-0123abcd:/home /home efs ro\", \"server.example:/export /data\"]\n";

fn answer(request: &Request) -> Answer {
    let container = json!({"image": "busybox", "resourceRequirements": [
        {"type": "VCPU", "value": "3"}, {"type": "MEMORY", "value": "64"}]});
    match request.operation() {
        // None has been derived.
        "describejobdefinitions" if String::from_utf8_lossy(&request.body).contains("-awsb-") => {
            Answer::json(json!({ "jobDefinitions": [] }))
        }
        "describejobdefinitions" => Answer::json(json!({ "jobDefinitions": [{
            "jobDefinitionName": "d", "revision": 1, "status": "ACTIVE", "type": "container",
            "jobDefinitionArn": "arn:aws:batch:eu-west-1:111122223333:job-definition/d:1",
            "containerProperties": container}] })),
        "registerjobdefinition" => {
            Answer::json(json!({"jobDefinitionName": "d-awsb-1", "jobDefinitionArn": "a", "revision": 1}))
        }
        "describejobqueues" => Answer::json(json!({ "jobQueues": [] })),
        "submitjob" => Answer::json(
            json!({"jobId": "99999999-9999-4999-8999-999999999999", "jobName": "true", "jobArn": "a"}),
        ),
        "s3" if request.target.contains("list-type=2") => {
            let object = |key: &str, modified: String| {
                format!("<Contents><Key>{key}</Key><LastModified>{modified}</LastModified></Contents>")
            };
            let now = jiff::Timestamp::now().to_string();
            let contents =
                [object("awsb/nodes/old/1", "2020-01-01T00:00:00Z".into()), object("awsb/nodes/new/1", now)];
            let listed = format!(
                "<ListBucketResult><Name>b</Name><KeyCount>2</KeyCount>{}</ListBucketResult>",
                contents.concat()
            );
            Answer::Http(200, listed, vec![("content-type", "application/xml".into())])
        }
        "s3" if request.method == "DELETE" => Answer::Http(204, String::new(), Vec::new()),
        _ => Answer::error(400, "ClientException", "not asked for"),
    }
}

fn variables(environment: &Value) -> Vec<(&str, &str)> {
    let all = environment.as_array().into_iter().flatten();
    all.filter_map(|v| Some((v["name"].as_str()?, v["value"].as_str()?))).collect()
}

#[story]
fn nodes_are_told_where_their_key_goes_and_old_keys_are_cleared_away() {
    let server = BadServer::start(|request, _| answer(request));
    let sandbox = Sandbox::at(&server.endpoint());
    sandbox.run("bsub", ["-n", "2", "true"]).ok();
    let submitted: Value = serde_json::from_slice(&server.requests("submitjob")[0].body).unwrap();
    let overrides = &submitted["nodeOverrides"]["nodePropertyOverrides"][0]["containerOverrides"];
    let variables = variables(&overrides["environment"]);
    for expected in
        [("AWSB_NODES_URL", "s3://b/awsb/nodes"), ("AWSB_NODES_REGION", "eu-west-1"), ("AWSB_VCPUS", "3")]
    {
        assert!(variables.contains(&expected), "{variables:?}");
    }
    let s3 = server.requests("s3");
    let listed: Vec<&str> = s3.iter().filter(|r| r.method == "GET").map(|r| r.target.as_str()).collect();
    assert!(listed.len() == 1 && listed[0].contains("prefix=awsb%2Fnodes%2F"), "{listed:?}");
    let deleted: Vec<&str> = s3.iter().filter(|r| r.method == "DELETE").map(|r| r.target.as_str()).collect();
    assert_eq!(deleted, ["/b/awsb/nodes/old/1?x-id=DeleteObject"]);
}

#[story]
fn each_range_of_nodes_is_told_its_own_vcpus() {
    let range = |targets: &str, requirements: Value| json!({"targetNodes": targets, "container": {"image": "i", "resourceRequirements": requirements}});
    let vcpus = |count: &str| json!([{"type": "VCPU", "value": count}]);
    let ranges = json!([range("0:0", vcpus("2")), range("1:3", vcpus("8")), range("4:", json!([]))]);
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobdefinitions" => Answer::json(json!({ "jobDefinitions": [{
            "jobDefinitionName": "d", "revision": 1, "status": "ACTIVE", "type": "multinode",
            "jobDefinitionArn": "arn:aws:batch:eu-west-1:111122223333:job-definition/d:1",
            "nodeProperties": {"numNodes": 5, "mainNode": 0, "nodeRangeProperties": ranges}}] })),
        _ => answer(request),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let report = |options: &[&str]| {
        let outcome = sandbox.run("bsub", [&["--dry-run", "-n", "5"], options, &["true"]].concat()).ok();
        let report = outcome.json();
        let ranges =
            report[0]["request"]["nodeOverrides"]["nodePropertyOverrides"].as_array().unwrap().clone();
        let vcpus = ranges.iter().map(|range| {
            let environment = variables(&range["containerOverrides"]["environment"]);
            let known = environment.iter().find(|(name, _)| *name == "AWSB_VCPUS");
            known.map(|(_, value)| String::from(*value))
        });
        (vcpus.collect::<Vec<_>>(), outcome.stderr)
    };
    let (vcpus, output) = report(&[]);
    assert_eq!(vcpus, [Some("2".into()), Some("8".into()), None]);
    assert!(
        output.contains("bsub: 5 nodes: nodes 0:0 x 2 vCPUs, nodes 1:3 x 8 vCPUs, nodes 4:\n"),
        "{output}"
    );
    let (vcpus, output) = report(&["-p", "4"]);
    assert_eq!(vcpus, ["4"; 3].map(|n| Some(n.to_owned())));
    assert!(output.contains("bsub: 5 nodes x 4 vCPUs\n"), "{output}");
}

#[story]
fn clearing_away_keeps_nobody_waiting_and_leaves_only_what_it_may_not_delete() {
    let (submitted, is_submitted) = std::sync::mpsc::channel();
    let (submitted, is_submitted) = (Mutex::new(submitted), Mutex::new(is_submitted));
    let server = BadServer::start(move |request, _| match request.operation() {
        "submitjob" => {
            submitted.lock().unwrap().send(()).unwrap();
            answer(request)
        }
        "s3" if request.target.contains("list-type=2") => {
            let is_second = request.target.contains("continuation-token=more");
            if !is_second {
                is_submitted.lock().unwrap().recv().unwrap();
            }
            let key = if is_second { "second" } else { "first" };
            let listed = format!(
                "<ListBucketResult><IsTruncated>{}</IsTruncated><NextContinuationToken>more</NextContinuationToken>\
                 <Contents><Key>awsb/nodes/{key}/1</Key><LastModified>2020-01-01T00:00:00Z</LastModified></Contents>\
                 </ListBucketResult>",
                !is_second
            );
            Answer::Http(200, listed, vec![("content-type", "application/xml".into())])
        }
        "s3" if request.target.contains("first") => Answer::s3_error(403, "AccessDenied", "Access Denied"),
        _ => answer(request),
    });
    Sandbox::at(&server.endpoint()).run("bsub", ["-n", "2", "true"]).ok();
    let s3 = server.requests("s3");
    let deleted: Vec<&str> = s3.iter().filter(|r| r.method == "DELETE").map(|r| r.target.as_str()).collect();
    assert_eq!(deleted, ["first", "second"].map(|key| format!("/b/awsb/nodes/{key}/1?x-id=DeleteObject")));
}

#[story]
fn whoever_may_not_clear_away_submits_all_the_same() {
    let server = BadServer::start(|request, _| match request.operation() {
        "s3" => Answer::s3_error(403, "AccessDenied", "Access Denied"),
        _ => answer(request),
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bsub", ["-n", "2", "true"]).ok();
    assert!(!outcome.stderr.contains("Denied"), "{outcome}");
}

#[story]
fn directories_that_the_jobs_of_a_cluster_share() {
    let server = BadServer::start(|request, _| answer(request));
    let sandbox = Sandbox::at(&server.endpoint());
    let config = sandbox.work().join("../config/awsb/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    sandbox.config(&format!("{text}{SHARED}"));
    let report = sandbox.run("bsub", ["--dry-run", "--efs", "fs-89abcdef:/more", "true"]).ok().json();
    let requests = report.as_array().unwrap();
    let [registered, submitted] = [0, requests.len() - 1].map(|n| &requests[n]["request"]);
    let volumes = registered["containerProperties"]["volumes"].as_array().unwrap();
    let file_systems: Vec<&Value> =
        volumes.iter().map(|v| &v["efsVolumeConfiguration"]["fileSystemId"]).collect();
    assert_eq!(file_systems, ["fs-0123abcd", "fs-89abcdef"]);
    let variables = variables(&submitted["containerOverrides"]["environment"]);
    assert!(variables.contains(&("AWSB_SHARED", "server.example:/export /data nfs")), "{variables:?}");

    sandbox.config(&format!("{text}shared = [\"fs-0123abcd\"]\n"));
    let failed = sandbox.run("bsub", ["true"]).failed_with(2);
    assert!(failed.contains("`shared`: 'fs-0123abcd' is not `SOURCE PATH [TYPE [OPTIONS]]`"), "{failed}");
    sandbox.config(&format!("{text}shared = \"fs-0123abcd /home\"\n"));
    let failed = sandbox.run("bsub", ["true"]).failed_with(2);
    assert!(failed.contains("`shared` has to be a list of strings, not string"), "{failed}");
}

#[story]
fn an_instance_type_replaces_the_one_of_the_job_definition() {
    let sandbox = Sandbox::with_aws();
    let sizes = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]);
    let container = json!({"image": "busybox", "resourceRequirements": sizes});
    let range = json!({"targetNodes": "0:", "instanceTypes": ["m5.large"], "container": container});
    let nodes = json!({"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [range]});
    let definition = json!({"jobDefinitionName": "typed", "type": "multinode", "nodeProperties": nodes});
    let file = sandbox.file("typed.json", definition.to_string());
    let input = format!("file://{}", file.display());
    sandbox.run("aws", ["batch", "register-job-definition", "--cli-input-json", &input]).ok();
    // Nothing runs: the job waits for more GPUs than there are.
    let line = ["--parsable", "-n", "2", "--job-definition", "typed", "--instance-type", "c5.large"];
    let id = sandbox.run("bsub", [&line[..], &["-g", "16", "true"]].concat()).ok().job_id();
    let described = ["batch", "describe-jobs", "--output", "json", "--jobs", &id];
    let job = sandbox.run("aws", described).ok().json()["jobs"][0].take();
    let range = &job["nodeProperties"]["nodeRangeProperties"][0];
    let types = (&range["container"]["instanceType"], &range["instanceTypes"]);
    assert_eq!(types, (&json!("c5.large"), &Value::Null), "{job}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn groups_of_nodes_have_sizes_images_and_commands_of_their_own() {
    let server = BadServer::start(|request, _| answer(request));
    let sandbox = Sandbox::at(&server.endpoint());
    let group = "3,vcpus=8,image=lab/solver:2,command=./work --all";
    let line = ["-n", "2", "-p", "4", "--instance-type", "c7i.8xlarge", "--node-group", group, "true"];
    sandbox.run("bsub", line).ok();
    let body = |operation: &str| -> Value {
        serde_json::from_slice(&server.requests(operation).last().unwrap().body).unwrap()
    };
    let registered = body("registerjobdefinition");
    let ranges = registered["nodeProperties"]["nodeRangeProperties"].as_array().unwrap();
    let ranges: Vec<Value> =
        ranges.iter().map(|range| json!([range["targetNodes"], range["container"]["image"]])).collect();
    assert_eq!(json!(ranges), json!([["0:1", "busybox"], ["2:", "lab/solver:2"]]));
    // All groups have the same type.
    for range in registered["nodeProperties"]["nodeRangeProperties"].as_array().unwrap() {
        assert_eq!(range["container"]["instanceType"], "c7i.8xlarge");
    }
    let nodes = body("submitjob")["nodeOverrides"].take();
    assert_eq!(nodes["numNodes"], 5);
    let overrides = &nodes["nodePropertyOverrides"];
    let of_group = &overrides[1]["containerOverrides"];
    assert_eq!(of_group["command"], json!(["/bin/sh", "-c", "./work --all"]));
    assert_eq!(of_group["resourceRequirements"], json!([{"type": "VCPU", "value": "8"}]));
    assert!(variables(&of_group["environment"]).contains(&("AWSB_VCPUS", "8")), "{of_group}");
    assert!(variables(&overrides[0]["containerOverrides"]["environment"]).contains(&("AWSB_VCPUS", "4")));

    // The components of Slurm are such groups.
    let script =
        "#!/bin/sh\n#SBATCH -n 2 -N 2 --mem=4G\n#SBATCH hetjob\n#SBATCH -N 3 -c 8 --mem=16G\n./solve\n";
    sandbox.file("het.sh", script);
    let shown = sandbox.run("bsub", ["--dry-run", "het.sh"]).ok().json();
    let requests = shown.as_array().unwrap();
    let submit = requests.iter().find(|request| request["operation"] == "SubmitJob").unwrap();
    let nodes = &submit["request"]["nodeOverrides"];
    assert_eq!(
        (&nodes["numNodes"], &nodes["nodePropertyOverrides"][1]["targetNodes"]),
        (&json!(5), &json!("2:"))
    );
    let sizes = &nodes["nodePropertyOverrides"][1]["containerOverrides"]["resourceRequirements"];
    assert_eq!(*sizes, json!([{"type": "VCPU", "value": "8"}, {"type": "MEMORY", "value": "16384"}]));

    let refused = |args: &[&str], words: &str| {
        let failed = sandbox.run("bsub", args.iter().copied());
        assert!(failed.failed_with(2).contains(words), "{failed}");
    };
    let five = ["--node-group", "1"].repeat(5);
    refused(&[five.as_slice(), &["true"]].concat(), "at most 5 groups of nodes with the first, not 6");
    refused(&["--node-group", "999", "-n", "2", "true"], "at most 1000 nodes");
    refused(&["--node-group", "2,colour=red", "true"], "is none of vcpus=N");
    let two = "#!/bin/sh\n#SBATCH -N 1 -C haswell\n#SBATCH hetjob\n#SBATCH -N 2 -C skylake\n./solve\n";
    sandbox.file("two.sh", two);
    let failed = sandbox.run("bsub", ["two.sh"]);
    let words = "needs two instance types (`haswell` and `skylake`)";
    assert!(failed.code() == 2 && failed.stderr.contains(words), "{failed}");
}

#[story]
fn nodes_are_all_processes_or_all_containers() {
    let sandbox = Sandbox::with_aws();
    for (line, whose) in [
        (&["--image", "busybox", "--node-group", "1,image=host"][..], "--node-group 1,image=host: "),
        (&["--node-group", "2,image=busybox"], "the first nodes: "),
        (&["--image", "host", "--node-group", "1", "--node-group", "1,image=busybox"], "the first nodes: "),
    ] {
        let failed = sandbox.run("bsub", [line, &["true"]].concat());
        let message = failed.failed_with(2);
        assert!(message.contains(whose) && message.contains("busybox) are containers"), "{failed}");
        assert!(failed.hints().contains("`--image host`"), "{failed}");
    }
    let named = "jobDefinitions[].jobDefinitionName";
    let args = ["batch", "describe-job-definitions", "--status", "ACTIVE", "--query", named];
    let definitions = sandbox.run("aws", args).ok().json();
    let names: Vec<&str> = definitions.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(names.iter().all(|name| !name.contains("-awsb-")), "{names:?}");
    sandbox.run("bsub", ["--dry-run", "--image", "busybox", "--node-group", "1", "true"]).ok();
}
