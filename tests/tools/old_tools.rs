//! The `awsb*` commands of AWS ParallelCluster, which awsb succeeds, against the local cluster:
//! what worked with them on AWS works with them here.

use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::{Moto, Sandbox, eventually, python, story};

/// A sandbox with a local cluster, and the old tools' settings for it. Their jobs fetch their
/// scripts with the `aws` CLI, as the image of ParallelCluster had it: the job definitions' PATH
/// has it.
fn sandbox() -> Sandbox {
    let bin = python().join("bin");
    let mut sandbox = Sandbox::new();
    sandbox.use_python();
    sandbox.use_local_exports();
    let container = json!({
        "image": "host",
        "vcpus": 1,
        "memory": 64,
        "environment": [{"name": "PATH", "value": format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())}],
        "command": ["true"],
    });
    let nodes = json!({
        "numNodes": 1,
        "mainNode": 0,
        "nodeRangeProperties": [{"targetNodes": "0:", "container": container}],
    });
    let register = |name: &str, kind: &str, option: &str, properties: &Value| {
        let properties = properties.to_string();
        let args = ["batch", "register-job-definition", "--job-definition-name", name, "--type", kind];
        let answer = sandbox.run("aws", args.into_iter().chain([option, &properties])).ok().json();
        answer["jobDefinitionArn"].as_str().unwrap().to_owned()
    };
    let definition = register("old", "container", "--container-properties", &container);
    let definition_mnp = register("old-mnp", "multinode", "--node-properties", &nodes);
    let queues = sandbox.run("aws", ["batch", "describe-job-queues", "--job-queues", "local"]).ok().json();
    let queue = queues["jobQueues"][0]["jobQueueArn"].as_str().unwrap().to_owned();
    sandbox.file(
        "../home/.parallelcluster/awsbatch-cli.cfg",
        format!(
            "[main]\ncluster_name = local\nregion = us-east-1\n[cluster local]\nregion = us-east-1\n\
             s3_bucket = awsb-local\nartifact_directory = artifacts\n\
             batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0\n\
             compute_environment = local\njob_queue = {queue}\njob_definition = {definition}\n\
             job_definition_mnp = {definition_mnp}\nhead_node_ip = 127.0.0.1\nproxy = NONE\n"
        ),
    );
    sandbox
}

/// The ID in what awsbsub says. It takes its input for the script unless that is a terminal.
#[track_caller]
fn awsbsub(sandbox: &Sandbox, args: &[&str]) -> String {
    let terminal = "import pty, sys; sys.exit(pty.spawn(['awsbsub', *sys.argv[1:]]) >> 8)";
    let message = sandbox.run("python", ["-c", terminal].into_iter().chain(args.iter().copied())).ok().stdout;
    id_in(&message)
}

#[track_caller]
fn id_in(message: &str) -> String {
    let id = message.split_whitespace().skip_while(|word| *word != "Job").nth(1);
    id.unwrap_or_else(|| panic!("no ID: {message}")).to_owned()
}

/// The lines of awsbstat about a job that has ended, by their names.
#[track_caller]
fn ended(sandbox: &Sandbox, id: &str) -> String {
    eventually("awsbstat shows the end", Duration::from_secs(60), || {
        let shown = sandbox.run("awsbstat", [id]).ok().stdout;
        (shown.contains("FAILED") || shown.contains("SUCCEEDED")).then_some(shown)
    })
}

/// The output of a job that has succeeded.
#[track_caller]
fn output(sandbox: &Sandbox, id: &str) -> String {
    let shown = ended(sandbox, id);
    assert!(shown.contains("SUCCEEDED"), "{shown}");
    sandbox.run("awsbout", [id]).ok().stdout
}

#[story]
fn commands_files_and_standard_input() {
    let sandbox = sandbox();
    let id = awsbsub(&sandbox, &["-p", "2", "-m", "128", "-jn", "command", "echo", "a b", "c"]);
    assert!(output(&sandbox, &id).ends_with("a b c\n"));
    let bstat = sandbox.run("bstat", [&id, "--json"]).ok().json();
    assert_eq!((&bstat[0]["container"]["vcpus"], &bstat[0]["container"]["memory"]), (&json!(2), &json!(128)));

    sandbox.file("job.sh", "#!/bin/sh\necho \"hello $1 from $WHO with $(cat data.txt)\"\n");
    sandbox.file("data.txt", "data\n");
    let run = "import os, pty, sys; os.environ['WHO'] = 'me'; \
               sys.exit(pty.spawn(['awsbsub', '-jn', 'file', '-cf', '-if', 'data.txt', '-e', 'WHO', 'job.sh', 'friend']) >> 8)";
    let message = sandbox.run("python", ["-c", run]).ok().stdout;
    assert!(output(&sandbox, &id_in(&message)).ends_with("hello friend from me with data\n"));

    let message =
        sandbox.run("sh", ["-c", "printf '#!/bin/sh\\necho from stdin\\n' | awsbsub -jn piped"]).ok().stdout;
    assert!(output(&sandbox, &id_in(&message)).ends_with("from stdin\n"));
}

#[story]
fn arrays_dependencies_and_nodes() {
    let sandbox = sandbox();
    let array = awsbsub(&sandbox, &["-a", "3", "-jn", "array", "printenv", "AWS_BATCH_JOB_ARRAY_INDEX"]);
    let after = awsbsub(&sandbox, &["-d", &format!("jobId={array}"), "-jn", "after", "true"]);
    assert!(ended(&sandbox, &after).contains("SUCCEEDED"));
    let expanded = sandbox.run("awsbstat", ["-s", "ALL", "-e"]).ok().stdout;
    for index in 0..3 {
        assert!(expanded.contains(&format!("{array}:{index}")), "{expanded}");
        assert!(output(&sandbox, &format!("{array}:{index}")).ends_with(&format!("{index}\n")));
    }
    let nodes = awsbsub(&sandbox, &["-n", "2", "-jn", "nodes", "printenv", "AWS_BATCH_JOB_NODE_INDEX"]);
    eventually("the nodes have ended", Duration::from_secs(60), || {
        let shown = sandbox.run("awsbstat", ["-s", "ALL", "-e"]).ok().stdout;
        (shown.contains(&format!("{nodes}#1")) && !shown.contains("RUN") && !shown.contains("STARTING"))
            .then_some(())
    });
    assert!(output(&sandbox, &format!("{nodes}#0")).ends_with("0\n"));
}

#[story]
fn ending_jobs_and_looking_at_queues() {
    let sandbox = sandbox();
    let id = awsbsub(&sandbox, &["-jn", "long", "sleep", "1000"]);
    eventually("it runs", Duration::from_secs(60), || {
        sandbox.run("awsbstat", [&id]).ok().stdout.contains("RUNNING").then_some(())
    });
    sandbox.run("awsbkill", ["-r", "enough", &id]).ok();
    let shown = ended(&sandbox, &id);
    assert!(shown.contains("FAILED") && shown.contains("enough"), "{shown}");
    let queues = sandbox.run("awsbqueues", [] as [&str; 0]).ok().stdout;
    assert!(queues.contains("local") && queues.contains("VALID"), "{queues}");
    let id = awsbsub(&sandbox, &["-jn", "fails", "-r", "2", "false"]);
    assert!(ended(&sandbox, &id).contains("FAILED"));
    assert!(sandbox.run("bstat", ["-s", "ALL"]).ok().stdout.contains(&id), "ours sees theirs");
}

/// Runs our tool of an old name on a terminal, and returns its output.
#[track_caller]
fn on_terminal(sandbox: &Sandbox, args: &[&str]) -> String {
    let terminal = "import pty, sys; sys.exit(pty.spawn(['awsb', *sys.argv[1:]]) >> 8)";
    sandbox.run("python", ["-c", terminal].into_iter().chain(args.iter().copied())).ok().stdout
}

#[story]
fn our_tools_of_these_names_run_the_same_jobs() {
    let mut sandbox = sandbox();
    // Our tools refuse the exports of `blocal env` for a cluster that is not `local`.
    let [key, secret, endpoint] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"]
        .map(|name| sandbox.get(name).unwrap().to_owned());
    let keys = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    sandbox.file("../home/.aws/credentials", keys);
    sandbox.unset("AWS_ACCESS_KEY_ID");
    sandbox.unset("AWS_SECRET_ACCESS_KEY");
    sandbox.set("AWS_ENDPOINT_URL", endpoint.replace("127.0.0.1", "localhost"));
    sandbox.set("WHO", "it's me");
    sandbox
        .file("job.sh", "#!/bin/sh\necho \"hello $1 from $WHO with $(cat data.txt) in $(basename $PWD)\"\n");
    sandbox.file("data.txt", "data\n");
    let submit = |args: &[&str]| id_in(&on_terminal(&sandbox, &[&["awsbsub"], args].concat()));
    // The output is followed until the job has ended.
    let output = |id: &str| sandbox.run("awsb", ["awsbout", "-s", id]).ok().stdout;
    let file = submit(&["-cf", "-if", "data.txt", "-e", "WHO", "job.sh", "friend"]);
    let expected = format!(": hello friend from it's me with data in job-{file}\n");
    let printed = eventually("the job prints", Duration::from_secs(60), || {
        Some(output(&file)).filter(|text| !text.starts_with("No log stream"))
    });
    assert!(printed.ends_with(&expected), "{printed}");
    let shown = sandbox.run("awsb", ["awsbstat", &file]).ok().stdout;
    assert!(shown.contains("\nstatus                   : SUCCEEDED\n"), "{shown}");
    assert!(
        shown.contains("\ns3FolderUrl              : s3://awsb-local/artifacts/batch/job-job_sh-"),
        "{shown}"
    );

    let array = submit(&["-a", "3", "-jn", "array", "printenv", "AWS_BATCH_JOB_ARRAY_INDEX"]);
    let nodes = submit(&["-n", "2", "-jn", "nodes", "printenv", "AWS_BATCH_JOB_NODE_INDEX"]);
    let with = submit(&["-e", "WHO", "-d", &format!("jobId={array}"), "printenv", "WHO"]);
    let piped = "printf '#!/bin/sh\\necho piped $1\\n' | awsb awsbsub -jn piped";
    let piped = id_in(&sandbox.run("sh", ["-c", piped]).ok().stdout);
    let long = submit(&["sleep", "1000"]);
    eventually("it runs", Duration::from_secs(60), || {
        sandbox.run("awsb", ["awsbstat", &long]).ok().stdout.contains("RUNNING").then_some(())
    });
    let killed = sandbox.run("awsb", ["awsbkill", "-r", "enough", &long, "nonsense"]).ok().stdout;
    let request =
        format!("Your job termination request for job ({long}) in status (RUNNING) has been submitted.");
    assert_eq!(killed, format!("Job (nonsense) not found.\n{request}\n"));
    eventually("all have ended", Duration::from_secs(60), || {
        let left = sandbox.run("awsb", ["awsbstat", "-e"]).ok().stdout;
        (left.lines().count() == 2).then_some(())
    });
    assert!(output(&with).ends_with(": it's me\n"), "it has the variable");
    assert!(output(&piped).ends_with(": piped\n"));

    // Both tools show all of it alike.
    let (child, node) = (format!("{array}:2"), format!("{nodes}#1"));
    for line in [
        &["awsbstat", "-s", "ALL"][..],
        &["awsbstat", "-s", "ALL", "-e"],
        &["awsbstat", &nodes, &array, &with],
        &["awsbout", &file],
        &["awsbout", &child],
        &["awsbout", "-t", "1", &node],
        &["awsbout", &long],
        &["awsbqueues"],
        &["awsbqueues", "-d"],
        &["awsbhosts"],
        &["awsbhosts", "-d"],
    ] {
        let (theirs, ours) = (sandbox.run(line[0], &line[1..]), sandbox.run("awsb", line));
        assert_eq!((ours.code(), &ours.stdout), (theirs.code(), &theirs.stdout), "{line:?}");
    }
}

#[story]
fn queues_and_hosts_are_the_same_to_the_successors() {
    let sandbox = sandbox();
    // `KEY : VALUE`, a line each.
    let shown = |tool: &str, args: &[&str], key: &str| {
        let message = sandbox.run(tool, args).ok().stdout;
        let mut pairs = message.lines().filter_map(|line| line.split_once(':'));
        let value = pairs.find(|(k, _)| k.trim() == key).map(|(_, value)| value.trim().to_owned());
        value.unwrap_or_else(|| panic!("{tool}: no {key}: {message}"))
    };
    for key in ["jobQueueArn", "jobQueueName", "priority", "status", "statusReason"] {
        let ours = shown("bqueues", &["local"], key);
        assert_eq!(ours, shown("awsbqueues", &["local"], key), "{key}");
    }
    let host = sandbox.run("bhosts", ["--json"]).ok().json()[0]["ec2InstanceId"].as_str().unwrap().to_owned();
    for key in [
        "ec2InstanceId",
        "containerInstanceArn",
        "status",
        "instanceType",
        "privateIpAddress",
        "privateDnsName",
    ] {
        assert_eq!(shown("bhosts", &[&host], key), shown("awsbhosts", &[&host], key), "{key}");
    }
}

/// `bcluster` makes stacks with the parameters and outputs of ParallelCluster's, so the old tools
/// find everything in the stack, without a file of settings.
#[story]
fn a_stack_of_bcluster_is_a_cluster_to_the_old_tools() {
    let mut sandbox = Sandbox::new();
    sandbox.use_python();
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes"]).ok();
    sandbox.use_local_exports();
    let id =
        awsbsub(&sandbox, &["-c", "lab", "-jn", "old", "-p", "2", "-m", "256", "echo", "hello", "friend"]);
    let shown = eventually("awsbstat shows the end", Duration::from_secs(60), || {
        let shown = sandbox.run("awsbstat", ["-c", "lab", &id]).ok().stdout;
        (shown.contains("FAILED") || shown.contains("SUCCEEDED")).then_some(shown)
    });
    assert!(shown.contains("SUCCEEDED"), "{shown}");
    // awsbout reads the log group /aws/batch/job alone, and our clusters have one of their own.
    let theirs = sandbox.run("awsbout", ["-c", "lab", &id]);
    assert!(theirs.code() != 0 && theirs.stderr.contains("log stream does not exist"), "{theirs}");
    assert_eq!(sandbox.run("bout", ["-c", "lab", &id]).ok().stdout, "hello friend\n");
    // Ours of the same name reads the cluster's.
    let ours = |words: &[&str]| sandbox.run("awsb", [words, &["-c", "lab"]].concat()).ok().stdout;
    assert!(ours(&["awsbout", &id]).ends_with(": hello friend\n"));
    // The vCPUs and the memory of ours change the cluster's definition, which has
    // `resourceRequirements`; AWS takes no notice of those of theirs.
    let resources = "\nvcpus                    : 2\nmemory[MB]               : 256\n";
    assert!(!ours(&["awsbstat", &id]).contains(resources));
    let own = id_in(&on_terminal(&sandbox, &["awsbsub", "-c", "lab", "-p", "2", "-m", "256", "true"]));
    let shown = ours(&["awsbstat", &own]);
    assert!(shown.contains(resources), "{shown}");
    assert!(ours(&["awsbhosts"]).starts_with("ec2InstanceId "));
    // The old tools know one queue and one environment of a cluster: those that come first.
    let queues = sandbox.run("awsbqueues", ["-c", "lab"]).ok().stdout;
    assert!(queues.contains("lab-on-demand") && queues.contains("VALID"), "{queues}");
    let host = sandbox.run("bhosts", ["-c", "lab", "--json"]).ok().json()[0]["ec2InstanceId"].clone();
    let hosts = sandbox.run("awsbhosts", ["-c", "lab"]).ok().stdout;
    assert!(hosts.contains(host.as_str().unwrap_or("a host")), "{hosts}");
    let id = awsbsub(&sandbox, &["-c", "lab", "-jn", "long", "sleep", "1000"]);
    sandbox.run("awsbkill", ["-c", "lab", &id]).ok();
}

#[story]
fn a_queue_without_a_status_reason_is_shown() {
    let moto = Moto::without_containers();
    let cluster = moto.cluster("old");
    let sandbox = cluster.aws_sandbox();
    sandbox.file(
        "../home/.parallelcluster/awsbatch-cli.cfg",
        format!(
            "[main]\ncluster_name = moto\nregion = {region}\n[cluster moto]\nregion = {region}\ns3_bucket = b\n\
             artifact_directory = a\nbatch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0\n\
             compute_environment = {environment}\njob_queue = {queue}\njob_definition = d\n\
             job_definition_mnp = d\nhead_node_ip = 127.0.0.1\nproxy = NONE\n",
            region = cluster.part("region"),
            environment = cluster.part("compute_environment"),
            queue = cluster.part("job_queue"),
        ),
    );
    let theirs = sandbox.run("awsbqueues", [""; 0]);
    assert!(theirs.code() != 0 && format!("{theirs}").contains("statusReason"), "{theirs}");
    let ours = sandbox.run("bqueues", [""; 0]).ok().stdout;
    assert!(ours.contains("\nold "), "{ours}");
}
