//! Requests to `bcluster` that look harmless: each is refused, or does what it says.

use std::os::unix::fs::PermissionsExt;

use awsb_testkit::{Sandbox, story};

const PARTS: &str = "[environment.cpu]\ntype = \"on-demand\"\n[definition.job]\nimage = \"host\"\n";

#[story]
fn a_cluster_takes_its_own_bucket_back() {
    let sandbox = Sandbox::with_aws();
    sandbox.run("aws", ["s3", "mb", "s3://mybucket-0001"]).ok();
    sandbox.file("own.toml", PARTS);
    sandbox.file("other.toml", format!("[bucket]\nexisting = \"mybucket-0001\"\n{PARTS}"));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "own.toml"]).ok();
    let bucket = |sandbox: &Sandbox| {
        let shown = sandbox.run("bcluster", ["show", "lab", "--json"]).ok().json();
        shown[0]["outputs"]["ResourcesS3Bucket"].as_str().expect("the bucket").to_owned()
    };
    let own = bucket(&sandbox);
    sandbox.run("aws", ["s3api", "put-object", "--bucket", &own, "--key", "mine"]).ok();
    let update = |file: &'static str| ["update", "lab", "--yes", "--may-lose-data", "bucket", "-f", file];
    // The bucket leaves the cluster, and is named with the command that removes it.
    let left = sandbox.run("bcluster", update("other.toml")).ok();
    assert!(left.stdout.contains(&format!("bucket {own}: bcluster delete lab")), "{left}");
    assert_eq!(bucket(&sandbox), "mybucket-0001");
    let plan = sandbox.run("bcluster", ["update", "lab", "--plan", "-f", "own.toml"]).ok();
    assert!(plan.stdout.contains("bucket: an earlier one is taken over, with its data"), "{plan}");
    sandbox.run("bcluster", update("own.toml")).ok();
    assert_eq!(bucket(&sandbox), own);
    sandbox.run("aws", ["s3api", "head-object", "--bucket", &own, "--key", "mine"]).ok();
    assert_eq!(sandbox.run("bcluster", update("own.toml")).ok().stdout, "The cluster lab has no changes.\n");
}

#[story]
fn a_bucket_that_does_not_exist_is_found_before_anything_is_made() {
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", format!("[bucket]\nexisting = \"nobodys-bucket\"\n{PARTS}"));
    let refused = sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]);
    let told = refused.failed_with(2);
    assert!(told.contains("`bucket.existing` is nobodys-bucket, which is not a bucket"), "{refused}");
    assert!(refused.hints().contains("eval \"$(blocal env)\" && aws s3 mb s3://nobodys-bucket"), "{refused}");
}

#[story]
fn a_queue_that_does_not_exist_is_found_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let arn = "arn:aws:batch:us-east-1:000000000000:job-queue/nobodys";
    sandbox.file(
        "lab.toml",
        format!("{PARTS}[queue.mine]\nenvironments = [\"cpu\"]\n[queue.other]\narn = \"{arn}\"\n"),
    );
    let refused = sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]);
    let told = refused.failed_with(2);
    assert!(told.contains("`queue.other.arn` names a queue that does not exist"), "{refused}");
}

/// AWS refuses such a job, too.
#[story]
fn a_definition_for_ec2_does_not_run_on_fargate() {
    let sandbox = Sandbox::with_aws();
    let config = "default_queue = \"cpu\"\ndefault_definition = \"job\"\n[environment.cpu]\ntype = \"on-demand\"\n\
                  [environment.f]\ntype = \"fargate\"\n[queue.cpu]\nenvironments = [\"cpu\"]\n[queue.f]\n\
                  environments = [\"f\"]\n[definition.job]\n[definition.small]\ntype = \"fargate\"\n";
    sandbox.file("lab.toml", config);
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let submit = |queue: &str, definition: &str| {
        let names = ["--job-name", "j", "--job-queue", queue, "--job-definition", definition];
        sandbox.run("aws", [&["batch", "submit-job"][..], &names].concat())
    };
    submit("lab-cpu", "lab-job").ok();
    submit("lab-f", "lab-small").ok();
    for (queue, definition) in [("lab-f", "lab-job"), ("lab-cpu", "lab-small")] {
        let refused = submit(queue, definition);
        assert!(!refused.status.success() && refused.stderr.contains("platformCapabilities"), "{refused}");
    }
}

#[story]
fn clusters_whose_names_are_alike_share_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", format!("{PARTS}[images]\nkeep = true\n"));
    let mut repositories = Vec::new();
    for name in ["lab", "LAB", "lab-"] {
        sandbox.run("bcluster", ["create", name, "-c", "local", "--yes", "-f", "lab.toml"]).ok();
        let template = sandbox.run("bcluster", ["template", name, "--current"]).ok().json();
        let repository = &template["Resources"]["Repository"]["Properties"]["RepositoryName"];
        repositories.push(repository.as_str().expect("a name").to_owned());
    }
    assert_eq!(repositories[0], "awsb/lab");
    repositories.sort();
    repositories.dedup();
    assert_eq!(repositories.len(), 3, "{repositories:?}");
}

#[story]
fn a_process_has_no_shared_directory() {
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", "[shared.home]\npath = \"/home\"\n");
    let refused = sandbox.run("bcluster", ["create", "lab", "-c", "local", "--plan", "-f", "lab.toml"]);
    let told = refused.failed_with(2);
    assert!(told.contains("`shared.home` is mounted in the containers of jobs"), "{refused}");
    assert!(refused.hints().contains("[definition.job]"), "{refused}");
}

#[story]
fn words_that_cannot_be_are_refused_before_anything_is_asked() {
    let sandbox = Sandbox::new();
    let refused = sandbox.run("bcluster", ["policy", "--account", "123"]);
    assert!(refused.failed_with(2).contains("12 digits"), "{refused}");
    sandbox.run("bcluster", ["policy", "--account", "111122223333"]).ok();
    let refused = sandbox.run("bcluster", ["init", "--arm", "--gpu", "lab.toml"]);
    assert!(refused.failed_with(2).contains("x86_64"), "{refused}");
}

#[story]
fn a_change_of_outputs_alone_is_said_to_be_one() {
    let sandbox = Sandbox::new();
    let config = |queue: &str| {
        format!(
            "default_queue = \"{queue}\"\n{PARTS}[queue.a]\nenvironments = [\"cpu\"]\n[queue.b]\n\
             environments = [\"cpu\"]\n"
        )
    };
    sandbox.file("lab.toml", config("a"));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    sandbox.file("lab.toml", config("b"));
    let plan = sandbox.run("bcluster", ["update", "lab", "--plan", "-f", "lab.toml"]).ok();
    assert!(plan.stdout.contains("only the outputs of its stack would change"), "{plan}");
}

/// A template that is deployed without its tag is a stack, and not a cluster.
#[story]
fn a_template_is_printed_with_the_command_that_deploys_it() {
    let sandbox = Sandbox::new();
    let printed = sandbox.run("bcluster", ["template", "lab", "-c", "local"]).ok();
    assert!(printed.stderr.contains("--tags awsb:cluster=lab"), "{printed}");
    printed.json();
}

#[story]
fn settings_are_private_whatever_the_mask_is() {
    let sandbox = Sandbox::new();
    let create = "umask 000; bcluster create lab -c local --yes";
    sandbox.run("sh", ["-c", create]).ok();
    let folder = format!("{}/awsb", sandbox.get("XDG_CONFIG_HOME").expect("a folder for settings"));
    let mode = |path: &str| std::fs::metadata(path).expect("settings").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&format!("{folder}/config.toml"))), (0o700, 0o600));
}

#[story]
fn a_cluster_that_a_reset_has_removed_leaves_the_settings() {
    let sandbox = Sandbox::new();
    sandbox.run("bcluster", ["create", "rr", "-c", "local", "--yes", "--default"]).ok();
    sandbox.run("blocal", ["reset", "--yes"]).ok();
    let gone = sandbox.run("bcluster", ["delete", "rr", "--yes"]).ok();
    assert!(gone.stderr.contains("[cluster.rr] is gone from the settings file"), "{gone}");
    let again = sandbox.run("bcluster", ["delete", "rr", "-c", "local", "--yes"]);
    assert!(again.failed_with(1).contains("there is no cluster `rr`"), "{again}");
}
