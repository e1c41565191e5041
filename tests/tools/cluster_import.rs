//! `bcluster import`: ParallelCluster's files, and the file of a cluster that runs.

use awsb_testkit::{Answer, BadServer, Outcome, Sandbox, story};

const YAML: &str = include_str!("../../crates/awsb-model/src/cluster/import/examples/simple-v3.yaml");
const INI: &str = include_str!("../../crates/awsb-model/src/cluster/import/examples/documented-v2.ini");
const WRONG: &str = include_str!("../../crates/awsb-model/src/cluster/import/examples/wrong-v3.yaml");

fn read(sandbox: &Sandbox, name: &str) -> Option<String> {
    let outcome = sandbox.run("cat", [name]);
    (outcome.code() == 0).then_some(outcome.stdout)
}

#[story]
fn a_file_becomes_a_configuration_and_a_report() {
    let sandbox = Sandbox::new();
    sandbox.file("pcluster.yaml", YAML);
    let outcome = sandbox.run("bcluster", ["import", "pcluster.yaml", "-o", "lab.toml"]).ok();
    let queue = "  line 16: Scheduling.AwsBatchQueues[0].Name: -> queue.queue1\n";
    assert!(outcome.stdout.starts_with("mapped:\n") && outcome.stdout.contains(queue), "{outcome}");
    assert!(outcome.stdout.contains("\ndropped:\n  line 4: Image.Os: "), "{outcome}");
    let create = "`bcluster create NAME -f lab.toml --region eu-west-1 --plan`";
    assert!(outcome.stderr.contains("lab.toml is written") && outcome.stderr.contains(create), "{outcome}");
    let toml = read(&sandbox, "lab.toml").expect("the file");
    assert!(toml.contains("\n[environment.batch-compute]\ntype = \"on-demand\"\n"), "{toml}");
    // A file that is there stays, unless it is to be replaced.
    let again = sandbox.run("bcluster", ["import", "pcluster.yaml", "-o", "lab.toml"]);
    assert!(again.failed_with(2).contains("the file lab.toml exists already"), "{again}");
    let json = ["import", "pcluster.yaml", "-o", "lab.toml", "--force", "--json"];
    let json = sandbox.run("bcluster", json).ok().json();
    let region =
        json.as_array().and_then(|all| all.iter().find(|one| one["key"] == "Region")).expect("Region");
    assert_eq!((region["outcome"].as_str(), region["line"].as_u64()), (Some("mapped"), Some(2)));
}

#[story]
fn without_a_name_the_configuration_goes_to_standard_output() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run_with_input("bcluster", ["import", "-"], INI).ok();
    assert!(outcome.stdout.starts_with("# A cluster of AWS Batch, made from standard input"), "{outcome}");
    assert!(outcome.stdout.contains("\nmax = 40\n") && !outcome.stdout.contains("mapped:"), "{outcome}");
    assert!(
        outcome.stderr.contains("[cluster awsbatch] max_vcpus: -> environment.on-demand.max\n"),
        "{outcome}"
    );
}

#[story]
fn keys_that_are_errors_write_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("wrong.yaml", WRONG);
    let outcome = sandbox.run("bcluster", ["import", "wrong.yaml", "-o", "lab.toml"]);
    assert_eq!(outcome.code(), 2, "{outcome}");
    assert!(outcome.stderr.contains("keys of wrong.yaml cannot be imported"), "{outcome}");
    let unknown = "line 3: Image.Oss: is not a key of ParallelCluster (did you mean `Os`?)";
    assert!(outcome.stdout.contains(unknown) && outcome.hints().contains("`--partial`"), "{outcome}");
    assert_eq!(read(&sandbox, "lab.toml"), None);
    let partial = sandbox.run("bcluster", ["import", "wrong.yaml", "-o", "lab.toml", "--partial"]).ok();
    assert!(partial.hints().contains("`bcluster create` refuses it"), "{partial}");
    assert!(read(&sandbox, "lab.toml").is_some_and(|toml| toml.contains("\n[queue.one]\n")));
}

#[story]
fn other_files_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.file("slurm.yaml", "Scheduling:\n  Scheduler: slurm\n");
    let outcome = sandbox.run("bcluster", ["import", "slurm.yaml"]);
    assert!(
        outcome.failed_with(2).contains("slurm.yaml, line 2: `Scheduling.Scheduler` is slurm"),
        "{outcome}"
    );
    let outcome = sandbox.run("bcluster", ["import", "none.yaml"]);
    assert!(
        outcome.failed_with(2).contains("reading ParallelCluster's file none.yaml: No such file"),
        "{outcome}"
    );
    sandbox.run("bcluster", ["import"]).failed_with(2);
}

/// The answer of DescribeStacks about a cluster of ParallelCluster.
fn stack(version: &str) -> Answer {
    let pairs = |kind: &str, key: &str, value: &str, pairs: &[(&str, &str)]| -> String {
        let member = |(name, text): &(&str, &str)| {
            format!("<member><{key}>{name}</{key}><{value}>{text}</{value}></member>")
        };
        format!("<{kind}>{}</{kind}>", pairs.iter().map(member).collect::<String>())
    };
    let parameters = [
        ("Scheduler", "awsbatch"),
        ("ResourcesS3Bucket", "parallelcluster-1"),
        ("ArtifactS3RootDirectory", "parallelcluster/3.14.0/clusters/hpc-1"),
        ("ConfigVersion", version),
    ];
    let body = format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackId>arn:aws:cloudformation:eu-west-1:111122223333:stack/hpc/1</StackId>\
         <StackName>hpc</StackName><CreationTime>2024-01-01T00:00:00Z</CreationTime>\
         <StackStatus>CREATE_COMPLETE</StackStatus>{}{}{}</member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
        pairs("Parameters", "ParameterKey", "ParameterValue", &parameters),
        pairs("Outputs", "OutputKey", "OutputValue", &[("EFSIds", "fs-0a1b2c3d")]),
        pairs("Tags", "Key", "Value", &[("parallelcluster:version", "3.14.0")]),
    );
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}

/// Runs `bcluster import --stack hpc` with this server.
fn import_stack(server: &BadServer) -> Outcome {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
    sandbox.set("AWS_REGION", "eu-west-1");
    sandbox.set("AWS_ENDPOINT_URL", server.endpoint());
    sandbox.run("bcluster", ["import", "--stack", "hpc"])
}

#[story]
fn the_file_of_a_cluster_that_runs_is_fetched() {
    let server = BadServer::start(|request, _| match request.operation() {
        "cloudformation" => stack("version-7"),
        _ => {
            let storage = "SharedStorage: [{Name: data, MountDir: /data, StorageType: Efs}]\n";
            Answer::Http(200, format!("{YAML}{storage}"), vec![("etag", "\"5c\"".into())])
        }
    });
    let outcome = import_stack(&server).ok();
    assert!(outcome.stdout.contains("the configuration of the stack hpc"), "{outcome}");
    assert!(outcome.stdout.contains("\n[queue.queue1]\n"), "{outcome}");
    assert!(outcome.hints().contains("the old cluster's file systems are fs-0a1b2c3d"), "{outcome}");
    let get = server.requests("s3")[0].target.clone();
    let key = "/parallelcluster-1/parallelcluster/3.14.0/clusters/hpc-1/configs/cluster-config.yaml?";
    assert!(get.starts_with(key) && get.contains("versionId=version-7"), "{get}");
}

#[story]
fn the_file_of_a_cluster_is_read_up_to_its_limit() {
    let of = |file: Answer| {
        let server = BadServer::start(move |request, _| match request.operation() {
            "cloudformation" => stack("version-7"),
            _ => file.clone(),
        });
        import_stack(&server)
    };
    let head =
        |more: &str| format!("HTTP/1.1 200 OK\r\netag: \"5c\"\r\nconnection: close\r\n{more}\r\n{YAML}");
    // A server need not say how long it is.
    let outcome = of(Answer::Raw(head("").into())).ok();
    assert!(outcome.stdout.contains("\n[queue.queue1]\n"), "{outcome}");
    // One byte more than the limit, with its length before it and without; and no end at all.
    let most = " ".repeat((1 << 20) - YAML.len());
    let (whole, longer) = (format!("{}{most}", head("")), format!("{}{most} ", head("")));
    of(Answer::Raw(whole.into())).ok();
    let with_length = Answer::Http(200, format!("{YAML}{most} "), vec![("etag", "\"5c\"".into())]);
    for longer in [with_length, Answer::Raw(longer.into()), Answer::Endless(head("").into())] {
        let outcome = of(longer);
        let says = "configs/cluster-config.yaml: it is too long for a configuration of a cluster";
        assert!(outcome.failed_with(1).ends_with(says), "{outcome}");
    }
    let outcome = of(Answer::Raw(head("content-length: 100000\r\n").into()));
    assert!(outcome.failed_with(1).contains("cluster-config.yaml: the transfer broke off: "), "{outcome}");
}

#[story]
fn a_cluster_of_version_2_has_no_file_to_fetch() {
    let server = BadServer::start(|_, _| stack("NONE"));
    let outcome = import_stack(&server);
    assert!(outcome.failed_with(1).contains("the stack hpc does not say where its file is"), "{outcome}");
    assert!(outcome.hints().contains("~/.parallelcluster/config"), "{outcome}");
}
