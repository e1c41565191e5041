//! `bcluster` on the local cluster: a cluster is made, runs jobs, is changed and goes away, without
//! AWS.

use awsb_testkit::{Outcome, Sandbox, python, story};
use serde_json::Value;

/// The settings file of a sandbox.
fn settings(sandbox: &Sandbox) -> String {
    let folder = sandbox.get("XDG_CONFIG_HOME").expect("a folder for settings");
    std::fs::read_to_string(format!("{folder}/awsb/config.toml")).unwrap_or_default()
}

fn bcluster(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    sandbox.run("bcluster", args)
}

/// The events of the stack `lab` that are about the stack itself: their states.
fn states(sandbox: &Sandbox) -> Vec<String> {
    let events = bcluster(sandbox, &["show", "lab", "--events", "--json"]).ok().json();
    let is_of_stack = |event: &&Value| event["resourceType"] == "AWS::CloudFormation::Stack";
    let events = events.as_array().cloned().unwrap_or_default();
    let state = |event: &Value| event["resourceStatus"].as_str().unwrap_or_default().to_owned();
    events.iter().filter(is_of_stack).map(state).collect()
}

#[story]
fn a_cluster_is_made_runs_jobs_and_goes() {
    let sandbox = Sandbox::new();
    let made = bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    assert!(made.stdout.contains("The cluster lab is ready (the local cluster, "), "{made}");
    assert_eq!(settings(&sandbox), "[cluster.lab]\nstack = \"lab\"\nlocal = true\n");
    assert_eq!(states(&sandbox), ["REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]);

    let job = sandbox.run("bsub", ["-c", "lab", "-I", "--wrap", "echo hello from the lab"]).ok();
    assert_eq!(job.stdout, "hello from the lab\n");
    sandbox.file("job.sh", "#!/bin/sh\nexit 3\n");
    sandbox.run("bsub", ["-c", "lab", "-K", "job.sh"]).ended_with(3);

    let list = bcluster(&sandbox, &["list", "-c", "local", "--no-header"]).ok();
    assert!(list.stdout.starts_with("lab"), "{list}");
    // Without a region, AWS cannot be asked, and the local clusters are listed all the same.
    let list = bcluster(&sandbox, &["list", "--json"]).ok();
    assert!(list.stderr.contains("no AWS region is set"), "{list}");
    let names: Vec<Value> =
        list.json().as_array().into_iter().flatten().map(|c| c["cluster"].clone()).collect();
    assert_eq!(names, ["local", "lab"]);
    let shown = bcluster(&sandbox, &["show", "lab", "--json"]).ok().json();
    assert_eq!(shown[0]["stackStatus"], "CREATE_COMPLETE", "{shown}");
    assert_eq!(shown[0]["computeEnvironments"].as_array().map(Vec::len), Some(2), "{shown}");

    // A second time it is there.
    let again = bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]);
    assert!(again.failed_with(2).contains("there is a cluster `lab`"), "{again}");

    let gone = bcluster(&sandbox, &["delete", "lab", "--yes", "--delete-data"]).ok();
    assert!(gone.stdout.starts_with("The cluster lab is deleted.\n"), "{gone}");
    // The stack leaves the bucket alone, and its data goes afterwards: nothing is kept.
    assert!(!format!("{gone}").contains("kept"), "{gone}");
    assert!(gone.stderr.contains("deleted bucket awsb-lab-"), "{gone}");
    assert!(gone.stderr.contains("deleted log group /awsb/lab/jobs"), "{gone}");
    assert_eq!(settings(&sandbox), "");
    assert_eq!(bcluster(&sandbox, &["list", "-c", "local", "--no-header"]).ok().stdout, "");
}

#[story]
fn a_cluster_is_changed() {
    let sandbox = Sandbox::new();
    let host = "\n[definition.job]\nimage = \"host\"\n";
    sandbox.file("lab.toml", format!("[environment.cpu]\ntype = \"on-demand\"\nmax = 16\n{host}"));
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let same = bcluster(&sandbox, &["update", "lab", "--yes", "-f", "lab.toml"]).ok();
    assert_eq!(same.stdout, "The cluster lab has no changes.\n");
    bcluster(&sandbox, &["update", "lab", "--plan", "--exit-code", "-f", "lab.toml"]).ok();

    sandbox.file("lab.toml", format!("[environment.cpu]\ntype = \"on-demand\"\nmax = 32\n{host}"));
    let plan =
        bcluster(&sandbox, &["update", "lab", "--plan", "--exit-code", "-f", "lab.toml"]).ended_with(3);
    assert!(plan.stdout.contains("environment.cpu: no interruption"), "{plan}");
    assert!(plan.stdout.contains("MaxvCpus: 16 -> 32"), "{plan}");
    bcluster(&sandbox, &["update", "lab", "--yes", "-f", "lab.toml"]).ok();
    let shown = bcluster(&sandbox, &["show", "lab", "--json"]).ok().json();
    assert_eq!(shown[0]["computeEnvironments"][0]["computeResources"]["maxvCpus"], 32, "{shown}");
    assert_eq!(states(&sandbox).last().map(String::as_str), Some("UPDATE_COMPLETE"));

    // Another environment takes its place: the queue goes with its jobs.
    sandbox.file("lab.toml", format!("[environment.other]\ntype = \"on-demand\"\n{host}"));
    let running = sandbox.run("bsub", ["-c", "lab", "--parsable", "--wrap", "sleep 600"]).ok();
    let id = running.stdout.trim().to_owned();
    awsb_testkit::eventually("the job runs", std::time::Duration::from_secs(60), || {
        let job = sandbox.run("bstat", ["-c", "lab", "--json", &id]).ok().json();
        (job[0]["status"] == "RUNNING").then_some(())
    });
    let refused = bcluster(&sandbox, &["update", "lab", "--yes", "-f", "lab.toml"]).ended_with(2);
    assert!(refused.stderr.contains("--may-end-jobs environment.cpu"), "{refused}");
    assert!(refused.stderr.contains("1 job runs there now"), "{refused}");
}

#[story]
fn a_failure_is_rolled_back_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.run("blocal", ["start"]).ok();
    let faults = sandbox.local_home().join("stack-faults.json");
    std::fs::write(
        &faults,
        r#"{"resources": [{"resource": "QueueSpot", "action": "create", "message": "no more queues", "times": 1}]}"#,
    )
    .expect("the file of faults");
    let failed = bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ended_with(1);
    assert!(
        failed.stderr.contains("creating the cluster lab: the job queue QueueSpot failed: no more queues"),
        "{failed}"
    );
    assert!(failed.hints().contains("nothing is left"), "{failed}");
    assert_eq!(bcluster(&sandbox, &["list", "-c", "local", "--no-header"]).ok().stdout, "");
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
}

#[story]
fn a_cluster_is_stopped_and_started() {
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", "[environment.cpu]\ntype = \"on-demand\"\nmin = 2\nmax = 16\n");
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let environment = |sandbox: &Sandbox| {
        let shown = bcluster(sandbox, &["show", "lab", "--json"]).ok().json();
        let environment = &shown[0]["computeEnvironments"][0];
        (environment["state"].clone(), environment["computeResources"]["minvCpus"].clone())
    };
    assert_eq!(environment(&sandbox), ("ENABLED".into(), 2.into()));
    let stopped = bcluster(&sandbox, &["stop", "lab"]).ok();
    assert!(stopped.stdout.contains("1 compute environment is disabled"), "{stopped}");
    assert_eq!(environment(&sandbox), ("DISABLED".into(), 0.into()));
    bcluster(&sandbox, &["start", "lab"]).ok();
    assert_eq!(environment(&sandbox), ("ENABLED".into(), 2.into()));
}

#[story]
fn a_cluster_with_jobs_and_data_goes() {
    let sandbox = Sandbox::new();
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    sandbox.file("job.sh", "#!/bin/sh\nsleep 600\n");
    sandbox.file("large.txt", "x".repeat(100_000));
    let id = sandbox.run("bsub", ["-c", "lab", "--parsable", "-i", "large.txt", "job.sh"]).ok().stdout;
    let plan = bcluster(&sandbox, &["delete", "lab", "--plan"]).ok();
    assert!(plan.stdout.contains("it terminates 1 job of the queue lab-on-demand"), "{plan}");
    assert!(plan.stdout.contains("the bucket awsb-lab-"), "{plan}");
    // Without --delete-data, the data stays, and its removal is told.
    let kept = bcluster(&sandbox, &["delete", "lab", "--yes"]).ok();
    assert!(kept.stdout.contains(": bcluster delete lab -c local --delete-data\n"), "{kept}");
    // A command that would act on AWS is not among them.
    let logs = ": eval \"$(blocal env)\" && aws logs delete-log-group --log-group-name /awsb/lab/jobs ";
    assert!(kept.stdout.contains(logs), "{kept}");
    // The plan has said how many resources go, and each is told when it is gone.
    let told = |word: &str| kept.stderr.lines().filter(|line| line.contains(word)).count();
    let deleted = told("bcluster: deleted ");
    assert!(plan.stdout.contains(&format!("  {deleted} resources are deleted\n")), "{plan}{kept}");
    let stay = plan.stdout.lines().filter(|line| line.contains(" stays")).count();
    assert_eq!(told("bcluster: kept "), stay, "{plan}{kept}");
    assert!(plan.stdout.contains(&format!("has {} resources:", deleted + stay)), "{plan}{kept}");
    let job = sandbox.run("bstat", ["-c", "local", "--json", id.trim()]).ok().json();
    assert_eq!(job[0]["status"], "FAILED", "{job}");
}

/// The command that is printed for a bucket which a cluster has kept, whatever is in the bucket.
#[story]
fn data_that_was_kept_is_deleted_later() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("lab.toml", "[bucket]\nversions = true\n");
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let shown = bcluster(&sandbox, &["show", "lab", "--json"]).ok().json();
    let bucket = shown[0]["outputs"]["ResourcesS3Bucket"].as_str().expect("the bucket").to_owned();
    sandbox.file("result.txt", "42\n");
    sandbox.run("aws", ["s3", "cp", "result.txt", &format!("s3://{bucket}/result.txt")]).ok();
    let kept = bcluster(&sandbox, &["delete", "lab", "--yes"]).ok();
    let command = format!("bucket {bucket}: bcluster ");
    let command = kept.stdout.split_once(&command).and_then(|(_, rest)| rest.lines().next());
    let command: Vec<&str> = command.expect("the command").split(' ').collect();
    assert_eq!(command, ["delete", "lab", "-c", "local", "--delete-data"], "{kept}");

    // Without the option, there is nothing that a deletion would do.
    let none = bcluster(&sandbox, &["delete", "lab", "-c", "local", "--yes"]).ended_with(1);
    assert!(none.stderr.contains("there is no cluster `lab`"), "{none}");
    assert!(none.hints().contains(&format!("has kept the bucket {bucket} (1 object, 3 B)")), "{none}");
    let plan = bcluster(&sandbox, &[&command[..], &["--plan"]].concat()).ok();
    assert!(plan.stdout.contains("the log group /awsb/lab/jobs"), "{plan}");
    assert!(sandbox.run("aws", ["s3", "ls"]).ok().stdout.contains(&bucket));

    let gone = bcluster(&sandbox, &[&command[..], &["--yes"]].concat()).ok();
    assert_eq!(gone.stdout, "The data of the cluster lab is deleted.\n");
    assert!(!sandbox.run("aws", ["s3", "ls"]).ok().stdout.contains(&bucket));
    let groups = sandbox.run("aws", ["logs", "describe-log-groups"]).ok().stdout;
    assert!(!groups.contains("awsb/lab"), "{groups}");
    let again = bcluster(&sandbox, &[&command[..], &["--yes"]].concat()).ended_with(1);
    assert!(again.stderr.contains("there is no cluster `lab`"), "{again}");
    assert!(!again.hints().contains("has kept"), "{again}");
}

/// The settings may give the stack of a cluster another name than the cluster's.
#[story]
fn a_cluster_whose_stack_has_another_name_takes_over_its_own_data() {
    let sandbox = Sandbox::with_aws();
    let create = ["create", "lab", "--yes"];
    sandbox.config("[cluster.lab]\nstack = \"mine\"\nlocal = true\n");
    bcluster(&sandbox, &create).ok();
    let groups = || sandbox.run("aws", ["logs", "describe-log-groups"]).ok().stdout;
    assert!(groups().contains("/awsb/mine/jobs"), "{}", groups());
    // Its bucket is gone, and its log groups are there.
    let kept = bcluster(&sandbox, &["delete", "lab", "--yes"]).ok();
    let bucket = kept.stdout.split_once("bucket ").and_then(|(_, rest)| rest.split(':').next());
    let bucket = format!("s3://{}", bucket.expect("a bucket"));
    sandbox.run("aws", ["s3", "rb", "--force", &bucket]).ok();
    sandbox.config("[cluster.lab]\nstack = \"mine\"\nlocal = true\n");
    let made = bcluster(&sandbox, &create).ok();
    assert!(made.stderr.contains("it takes over the log group JobLogs of an earlier cluster"), "{made}");
    assert!(!groups().contains("/awsb/lab/jobs"), "{}", groups());
}

/// A command that a message names never acts on the user's account of AWS.
#[story]
fn commands_of_the_aws_cli_speak_to_the_local_cluster() {
    let sandbox = Sandbox::with_aws();
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    let queue = ["batch", "update-job-queue", "--job-queue", "lab-on-demand", "--state", "DISABLED"];
    sandbox.run("aws", queue).ok();
    let refused = sandbox.run("bsub", ["-c", "lab", "--wrap", "true"]).ended_with(1);
    assert!(refused.hints().contains("`bcluster start lab` enables it"), "{refused}");
    bcluster(&sandbox, &["start", "lab"]).ok();
    sandbox.run("bsub", ["-c", "lab", "--wrap", "true"]).ok();
    // A queue that belongs to no cluster is enabled with AWS's own command.
    let order = "order=1,computeEnvironment=local";
    let queue = ["--job-queue-name", "mine", "--state", "DISABLED", "--priority", "1"];
    let create = ["batch", "create-job-queue", "--compute-environment-order", order];
    sandbox.run("aws", [&create[..], &queue].concat()).ok();
    let refused = sandbox.run("bsub", ["-c", "local", "-q", "mine", "--wrap", "true"]).ended_with(1);
    let command = "`eval \"$(blocal env)\" && aws batch update-job-queue --job-queue mine --state ENABLED`";
    assert!(refused.hints().contains(command), "{refused}");
}

/// The default of a key is the same for each command.
#[story]
fn a_configuration_without_an_image_has_the_same_default_for_all_commands() {
    let sandbox = Sandbox::new();
    bcluster(&sandbox, &["init", "-c", "local", "lab.toml"]).ok();
    let image_of = |command: &[&str]| {
        let shown = bcluster(&sandbox, command).ok().json();
        let resources = shown["Resources"].as_object().expect("resources").clone();
        let definition = resources["DefinitionJob"]["Properties"]["ContainerProperties"]["Image"].clone();
        definition.as_str().expect("an image").to_owned()
    };
    assert_eq!(image_of(&["template", "lab", "-c", "local"]), "host");
    assert_eq!(image_of(&["template", "lab", "-c", "local", "-f", "lab.toml"]), "host");
    let no_changes = "The cluster lab has no changes.\n";
    let update = ["update", "lab", "--yes", "-f", "lab.toml"];
    // Without a file, and with one that names no image.
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    assert_eq!(bcluster(&sandbox, &update).ok().stdout, no_changes);
    bcluster(&sandbox, &["delete", "lab", "--yes", "--delete-data"]).ok();
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    assert_eq!(bcluster(&sandbox, &update).ok().stdout, no_changes);
    assert_eq!(bcluster(&sandbox, &["update", "lab", "--yes"]).ok().stdout, no_changes);
    let job = sandbox.run("bsub", ["-c", "lab", "-I", "--wrap", "echo hello"]).ok();
    assert_eq!(job.stdout, "hello\n");
    // An image that the file names stays, even if it is the default on AWS.
    let public = "public.ecr.aws/docker/library/buildpack-deps:stable-curl";
    sandbox.file("lab.toml", format!("[definition.job]\nimage = \"{public}\"\n"));
    bcluster(&sandbox, &["update", "lab", "--yes", "-f", "lab.toml", "--may-end-jobs", "definition.mnp"])
        .ok();
    assert_eq!(image_of(&["template", "lab", "--current"]), public);
    assert_eq!(bcluster(&sandbox, &["update", "lab", "--yes"]).ok().stdout, no_changes);
}

/// The events of the stack `lab` about one resource: their states.
fn states_of(sandbox: &Sandbox, logical: &str) -> Vec<String> {
    let events = bcluster(sandbox, &["show", "lab", "--events", "--json"]).ok().json();
    let events = events.as_array().cloned().unwrap_or_default();
    let is_of_it = |event: &&Value| event["logicalResourceId"] == logical;
    let state = |event: &Value| event["resourceStatus"].as_str().unwrap_or_default().to_owned();
    events.iter().filter(is_of_it).map(state).collect()
}

#[story]
fn a_cluster_takes_over_the_data_of_an_earlier_one() {
    let sandbox = Sandbox::with_aws();
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    let job =
        sandbox.run("bsub", ["-c", "lab", "-K", "--parsable", "--wrap", "echo from the first lab"]).ok();
    let shown = bcluster(&sandbox, &["show", "lab", "--json"]).ok().json();
    let bucket = shown[0]["outputs"]["ResourcesS3Bucket"].as_str().expect("the bucket").to_owned();
    sandbox.file("result.txt", "42\n");
    sandbox.run("aws", ["s3", "cp", "result.txt", &format!("s3://{bucket}/awsb/result.txt")]).ok();
    bcluster(&sandbox, &["delete", "lab", "--yes"]).ok();

    let plan = bcluster(&sandbox, &["create", "lab", "-c", "local", "--plan"]).ok();
    assert!(plan.stdout.contains("it takes over the bucket Bucket of an earlier cluster"), "{plan}");
    assert!(plan.stdout.contains("it takes over the log group JobLogs of an earlier cluster"), "{plan}");
    // A creation that fails leaves the data where it was.
    let faults = sandbox.local_home().join("stack-faults.json");
    let fault = r#"{"resources": [{"resource": "QueueSpot", "action": "create", "times": 1}]}"#;
    std::fs::write(&faults, fault).expect("the file of faults");
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ended_with(1);
    let result = ["s3", "cp", &format!("s3://{bucket}/awsb/result.txt"), "-"];
    assert_eq!(sandbox.run("aws", result).ok().stdout, "42\n");

    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    for part in ["Bucket", "JobLogs", "EventLogs"] {
        assert_eq!(states_of(&sandbox, part), ["IMPORT_IN_PROGRESS", "IMPORT_COMPLETE"], "{part}");
    }
    assert_eq!(sandbox.run("aws", result).ok().stdout, "42\n");
    assert_eq!(sandbox.run("bout", ["-c", "lab", job.stdout.trim()]).ok().stdout, "from the first lab\n");
    // The names are as before, so there is nothing to change.
    assert_eq!(
        bcluster(&sandbox, &["update", "lab", "--yes"]).ok().stdout,
        "The cluster lab has no changes.\n"
    );
    // The policy of the bucket went with the first cluster, as a second one cannot be made.
    assert_eq!(states_of(&sandbox, "BucketPolicy").last().map(String::as_str), Some("CREATE_COMPLETE"));
    bcluster(&sandbox, &["delete", "lab", "--yes", "--delete-data"]).ok();
    assert!(!sandbox.run("aws", ["s3", "ls"]).ok().stdout.contains(&bucket));
    let groups = sandbox.run("aws", ["logs", "describe-log-groups"]).ok().stdout;
    assert!(!groups.contains("awsb/lab"), "{groups}");
}

/// An account has ten resource policies of CloudWatch Logs (CloudWatch Logs User Guide, "CloudWatch
/// Logs quotas"). A cluster needs none of them for its job events: their log group has a policy of
/// its own.
#[story]
fn more_clusters_fit_than_the_account_has_resource_policies_of_logs() {
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", "[environment.cpu]\ntype = \"on-demand\"\n[definition.job]\nimage = \"host\"\n");
    let names: Vec<String> = (1..=11).map(|number| format!("lab-{number}")).collect();
    for name in &names {
        bcluster(&sandbox, &["create", name, "-c", "local", "--yes", "-f", "lab.toml"]).ok();
        let template = bcluster(&sandbox, &["template", name, "--current"]).ok().json();
        let resources = template["Resources"].as_object().expect("resources");
        let kinds: Vec<&Value> = resources.values().map(|resource| &resource["Type"]).collect();
        assert!(!kinds.iter().any(|kind| *kind == "AWS::Logs::ResourcePolicy"), "{kinds:?}");
        let policy = &resources["EventLogs"]["Properties"]["ResourcePolicyDocument"];
        assert_eq!(policy["Statement"][0]["Principal"]["Service"][0], "events.amazonaws.com", "{policy}");
        assert_eq!(resources["EventRule"]["Properties"]["Targets"].as_array().map(Vec::len), Some(1));
    }
    let list = bcluster(&sandbox, &["list", "-c", "local", "--json"]).ok().json();
    let list = list.as_array().expect("clusters");
    assert_eq!(list.len(), names.len());
    assert!(list.iter().all(|cluster| cluster["stackStatus"] == "CREATE_COMPLETE"), "{list:?}");
}

/// The job definitions of the local cluster that are active and begin with `lab-`: their names.
fn definitions_of_lab(sandbox: &Sandbox) -> Vec<String> {
    let args = ["batch", "describe-job-definitions", "--status", "ACTIVE", "--output", "json"];
    let listed = sandbox.run("aws", args).ok().json();
    let all = listed["jobDefinitions"].as_array().cloned().unwrap_or_default();
    let name = |definition: &Value| definition["jobDefinitionName"].as_str().unwrap_or_default().to_owned();
    all.iter().map(name).filter(|name| name.starts_with("lab-")).collect()
}

#[story]
fn definitions_that_bsub_has_derived_go_with_the_cluster() {
    python();
    let mut sandbox = Sandbox::new();
    sandbox.use_local_exports();
    sandbox.file("lab.toml", "[shared.home]\npath = \"/home\"\n[images]\nkeep = true\n[definition.job]\nimage = \"busybox:1.36\"\n");
    // The local cluster does not take over all that an earlier cluster has left: that one is last.
    for deletes_data in [true, false] {
        bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
        // The local cluster has no EFS. The definition is derived before it refuses the job.
        sandbox.run("bsub", ["-c", "lab", "--image", "busybox:1.36", "--wrap", "true"]).ended_with(1);
        let before = definitions_of_lab(&sandbox);
        assert!(before.iter().any(|name| name.contains("-awsb-")), "{before:?}");
        let option = if deletes_data { "--delete-data" } else { "--keep-data" };
        let gone = bcluster(&sandbox, &["delete", "lab", "--yes", option]).ok();
        assert_eq!(definitions_of_lab(&sandbox), [""; 0]);
        // A file system and a repository are only simulated: no command could remove them.
        assert!(!gone.stdout.contains("aws efs") && !gone.stdout.contains("aws ecr"), "{gone}");
        assert!(!gone.stderr.contains("kept EFS file system"), "{gone}");
        let says = |what: &str| {
            let line = gone.stdout.lines().find(|line| line.starts_with(&format!("The {what} ")));
            line.is_some_and(|line| line.ends_with(" was simulated, and is gone with the stack."))
        };
        assert_eq!(says("EFS file system"), !deletes_data, "{gone}");
        assert_eq!(says("image repository"), !deletes_data, "{gone}");
    }
}

#[story]
fn a_bucket_that_exists_may_be_replaced_by_one_of_the_cluster() {
    let sandbox = Sandbox::with_aws();
    sandbox.run("aws", ["s3", "mb", "s3://mybucket-0001"]).ok();
    let parts = "[environment.cpu]\ntype = \"on-demand\"\n[definition.job]\nimage = \"host\"\n";
    sandbox.file("lab.toml", format!("[bucket]\nexisting = \"mybucket-0001\"\n{parts}"));
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    sandbox.file("lab.toml", parts);
    let update = ["update", "lab", "--yes", "--may-lose-data", "bucket", "-f", "lab.toml"];
    bcluster(&sandbox, &update).ok();
    let shown = bcluster(&sandbox, &["show", "lab", "--json"]).ok().json();
    let bucket = shown[0]["outputs"]["ResourcesS3Bucket"].as_str().expect("the bucket").to_owned();
    assert!(bucket.starts_with("awsb-lab-"), "{bucket}");
    let buckets = sandbox.run("aws", ["s3", "ls"]).ok().stdout;
    assert!(buckets.contains(&bucket) && buckets.contains("mybucket-0001"), "{buckets}");
    // From then on it keeps its name.
    assert_eq!(bcluster(&sandbox, &update).ok().stdout, "The cluster lab has no changes.\n");
}

#[story]
fn a_name_that_exists_is_told_with_its_resource() {
    let sandbox = Sandbox::with_aws();
    sandbox.run("aws", ["logs", "create-log-group", "--log-group-name", "/awsb/zz/builds"]).ok();
    let failed = bcluster(&sandbox, &["create", "zz", "-c", "local", "--yes"]);
    let told = failed.failed_with(1);
    assert!(told.contains("CloudFormation refuses the changes of zz: the log group BuildLogs: "), "{failed}");
    assert!(told.contains("/awsb/zz/builds") && told.contains("already exists"), "{failed}");
    assert!(failed.stderr.contains("give the cluster another name"), "{failed}");
}

/// A managed policy that users have is not deleted (IAM API, DeletePolicy).
#[story]
fn a_policy_that_users_have_is_told_with_the_commands_that_detach_it() {
    let sandbox = Sandbox::new();
    bcluster(&sandbox, &["create", "lab", "-c", "local", "--yes"]).ok();
    let faults = sandbox.local_home().join("stack-faults.json");
    let message = "Resource handler returned message: \"Cannot delete a policy attached to entities. (Service: \
                   Iam, Status Code: 409, Request ID: 1)\" (RequestToken: 2, HandlerErrorCode: ResourceConflict)";
    let fault = serde_json::json!({
        "resources": [{ "resource": "UserPolicy", "action": "delete", "message": message, "times": 2 }]
    });
    std::fs::write(&faults, fault.to_string()).expect("the file of faults");
    let failed = bcluster(&sandbox, &["delete", "lab", "--yes"]).ended_with(1);
    let told = &failed.stderr;
    assert!(told.contains("users, groups or roles have the policy"), "{failed}");
    for command in ["list-entities-for-policy", "detach-user-policy", "detach-group-policy"] {
        assert!(told.contains(command), "{command}: {failed}");
    }
    assert!(told.contains("arn:aws:iam::"), "{failed}");
    bcluster(&sandbox, &["delete", "lab", "--yes", "--delete-data"]).ok();
}
