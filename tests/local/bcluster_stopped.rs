//! Clusters that are stopped: their changes, and the hints about them.

use awsb_testkit::{Sandbox, story};
use serde_json::Value;

fn config(max: u32, more: &str) -> String {
    format!(
        "default_queue = \"cpu\"\n[environment.cpu]\ntype = \"on-demand\"\nmin = 2\nmax = {max}\n[queue.cpu]\n\
         environments = [\"cpu\"]\n{more}"
    )
}

/// The environments of the cluster `lab`: state, least and most vCPUs, in the order of their names.
fn environments(sandbox: &Sandbox) -> Vec<(String, i64, i64)> {
    let shown = sandbox.run("bcluster", ["show", "lab", "--json"]).ok().json();
    let all = shown[0]["computeEnvironments"].as_array().cloned().unwrap_or_default();
    let one = |environment: &Value| {
        let machines = &environment["computeResources"];
        let number = |key: &str| machines[key].as_i64().unwrap_or_default();
        (environment["state"].as_str().unwrap_or_default().to_owned(), number("minvCpus"), number("maxvCpus"))
    };
    all.iter().map(one).collect()
}

#[story]
fn a_stopped_cluster_stays_stopped_when_it_is_changed() {
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", config(16, ""));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    assert_eq!(environments(&sandbox), [("ENABLED".to_owned(), 2, 16)]);
    let stopped = sandbox.run("bcluster", ["stop", "lab", "--json"]).ok().json();
    assert_eq!((&stopped[0]["cluster"], &stopped[0]["state"]), (&"lab".into(), &"DISABLED".into()));
    assert_eq!(stopped[0]["runningJobs"], 0, "{stopped}");
    assert_eq!(environments(&sandbox), [("DISABLED".to_owned(), 0, 16)]);

    // Without a change in the configuration, nothing is to be changed.
    let update = ["update", "lab", "--yes", "-f", "lab.toml"];
    assert_eq!(sandbox.run("bcluster", update).ok().stdout, "The cluster lab has no changes.\n");

    // The plan says so, and the environments stay as they are: a new one as well.
    let second = "[environment.more]\ntype = \"on-demand\"\nmin = 1\nmax = 4\n";
    sandbox.file("lab.toml", config(32, second));
    let plan = sandbox.run("bcluster", ["update", "lab", "--plan", "-f", "lab.toml"]).ok();
    assert!(plan.stdout.contains("The cluster is stopped, and stays so: `bcluster start lab`"), "{plan}");
    assert!(plan.stdout.contains("environment.cpu: no interruption\n"), "{plan}");
    assert!(plan.stdout.contains("State: ENABLED -> DISABLED"), "{plan}");
    assert!(plan.stdout.contains("MinvCpus: 2 -> 0") && !plan.stdout.contains("Metadata"), "{plan}");
    let done = sandbox.run("bcluster", [&update[..], &["--json"]].concat()).ok().json();
    assert_eq!(done[0]["stackStatus"], "UPDATE_COMPLETE", "{done}");
    assert_eq!(done[0]["kept"], serde_json::json!([]), "{done}");
    let disabled = |max| ("DISABLED".to_owned(), 0, max);
    assert_eq!(environments(&sandbox), [disabled(32), disabled(4)]);
    assert_eq!(sandbox.run("bcluster", update).ok().stdout, "The cluster lab has no changes.\n");

    // An update that is undone leaves them stopped, too.
    let faults = sandbox.local_home().join("stack-faults.json");
    let fault = serde_json::json!({ "resources": [
        { "resource": "QueueCpu", "action": "update", "message": "no", "times": 1 },
    ] });
    std::fs::write(&faults, fault.to_string()).expect("the file of faults");
    sandbox.file(
        "lab.toml",
        config(64, second).replace("environments = [\"cpu\"]", "environments = [\"cpu\"]\npriority = 7"),
    );
    sandbox.run("bcluster", update).ended_with(1);
    assert_eq!(environments(&sandbox), [disabled(32), disabled(4)]);

    // A start gives each its minimum.
    let started = sandbox.run("bcluster", ["start", "lab", "--json"]).ok().json();
    assert_eq!(started[0]["state"], "ENABLED", "{started}");
    assert_eq!(environments(&sandbox), [("ENABLED".to_owned(), 2, 32), ("ENABLED".to_owned(), 1, 4)]);
    sandbox.file("lab.toml", config(48, second));
    sandbox.run("bcluster", update).ok();
    assert_eq!(environments(&sandbox), [("ENABLED".to_owned(), 2, 48), ("ENABLED".to_owned(), 1, 4)]);
    let gone = sandbox.run("bcluster", ["delete", "lab", "--yes", "--json"]).ok().json();
    assert_eq!(gone[0]["cluster"], "lab", "{gone}");
    let kept = gone[0]["kept"].as_array().cloned().unwrap_or_default();
    assert!(kept.iter().any(|kept| kept["resourceType"] == "AWS::S3::Bucket"), "{gone}");
    assert!(kept.iter().all(|kept| kept["removedBy"].is_string()), "{gone}");
}

#[story]
fn jobs_of_a_stopped_cluster_are_told_how_to_start_it() {
    let sandbox = Sandbox::new();
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes"]).ok();
    sandbox.run("bcluster", ["stop", "lab"]).ok();
    let submitted = sandbox.run("bsub", ["-c", "lab", "--json", "--wrap", "true"]).ok().json();
    let id = submitted[0]["jobId"].as_str().expect("a job ID").to_owned();
    let why = sandbox.run("bstat", ["-c", "lab", "--why", &id]).ok();
    assert!(why.stdout.contains("start its cluster: `bcluster start lab`"), "{why}");
    assert!(!why.stdout.contains("update-compute-environment"), "{why}");
    sandbox.run("bcluster", ["start", "lab"]).ok();
    sandbox.run("bwait", ["-c", "lab", &id]).ok();
}
