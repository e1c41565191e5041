//! Limits on the running tasks of arrays, and licences: consumable resources as the tools use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use awsb_testkit::{Answer, BadServer, Request, Sandbox, Terminal, eventually, story};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

/// Makes a consumable resource, as somebody does for all users of the account.
fn resource(sandbox: &Sandbox, name: &str, total: &str) {
    let args = ["--consumable-resource-name", name, "--total-quantity", total];
    sandbox.run("aws", [&["batch", "create-consumable-resource"][..], &args].concat()).ok();
}

fn submit(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.run("bsub", [&["--parsable"], args].concat()).ok().job_id()
}

fn wait_for(sandbox: &Sandbox, id: &str, status: &str) {
    eventually(&format!("{id} is {status}"), Duration::from_secs(60), || {
        (sandbox.run("bstat", ["--json", id]).ok().json()[0]["status"] == status).then_some(())
    });
}

/// A command line that runs until there is a file `go` in the working folder.
fn hold(sandbox: &Sandbox) -> String {
    format!("while [ ! -e '{}' ]; do sleep 0.05; done", sandbox.work().join("go").display())
}

/// The consumable resources, with the limits of arrays.
fn resources(sandbox: &Sandbox) -> Vec<Value> {
    let shown = sandbox.run("bqueues", ["--resources", "-a", "--json"]).ok().json();
    shown.as_array().cloned().unwrap_or_default()
}

fn codes(sandbox: &Sandbox, id: &str) -> Vec<String> {
    let answer = sandbox.run("bstat", ["--why", "--json", id]).ok().json();
    let findings = answer[0]["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().filter_map(|finding| Some(finding["code"].as_str()?.to_owned())).collect()
}

/// The children of an array, by their start.
fn children(sandbox: &Sandbox, id: &str) -> Vec<Value> {
    let shown = sandbox.run("bstat", ["--json", "-s", "ALL", "--expand-children", id]).ok().json();
    let mut children: Vec<Value> =
        shown.as_array().into_iter().flatten().filter(|job| job["jobId"] != id).cloned().collect();
    children.sort_by_key(|child| child["startedAt"].as_i64());
    children
}

#[story]
fn at_most_n_tasks_of_an_array_run_at_the_same_time() {
    let sandbox = Sandbox::new();
    let fails = "sleep 0.1; test $AWSB_TASK_ID != 2";
    let outcome = sandbox.run("bsub", ["-K", "--parsable", "--array", "1-4%1", "--wrap", fails]);
    // A task that fails does not end those after it.
    assert_eq!(outcome.code(), 1, "{outcome}");
    let note = "note: --array 1-4%1: at most one task runs at the same time";
    assert!(outcome.stderr.contains(note), "{outcome}");
    let id = outcome.stdout.trim().to_owned();
    let children = children(&sandbox, &id);
    let statuses: Vec<&str> = children.iter().filter_map(|child| child["status"].as_str()).collect();
    assert_eq!(statuses, ["SUCCEEDED", "FAILED", "SUCCEEDED", "SUCCEEDED"]);
    assert!(children.windows(2).all(|two| two[0]["stoppedAt"].as_i64() <= two[1]["startedAt"].as_i64()));
    assert_eq!(resources(&sandbox), [Value::Null; 0], "the limit is removed at the end");
    // The array again has a limit again.
    let again = sandbox.run("bsub", ["-K", "--parsable", "--rerun", &id]);
    assert_eq!(again.code(), 1, "{again}");
    let shown = sandbox.run("bstat", ["-d", again.stdout.trim()]).ok().stdout;
    assert!(shown.contains("1 of awsb-limit-"), "{shown}");
    assert_eq!(resources(&sandbox), [Value::Null; 0]);
}

#[story]
fn tasks_of_a_file_have_a_limit_as_well() {
    let sandbox = Sandbox::new();
    sandbox.file("list", "1\n2\n3\n");
    let limit = |args: &[&str]| {
        let outcome = sandbox.run("bsub", [&["--dry-run"], args].concat()).ok();
        let shown = outcome.json();
        let mut all = shown.as_array().unwrap().iter();
        let made = all.find(|request| request["operation"] == "CreateConsumableResource");
        (made.map(|made| made["request"]["totalQuantity"].clone()), outcome.stderr)
    };
    for args in [
        &["--each", "list", "--array-limit", "2", "echo", "{}"][..],
        &["--commands", "list", "--array-limit", "2"],
        &["-a", "3", "--array-limit", "2", "true"],
    ] {
        let (total, message) = limit(args);
        assert_eq!(total, Some(json!(2)), "{args:?}");
        assert!(message.contains("note: --array-limit 2: at most 2 tasks run at the same time"), "{message}");
    }
    let (total, message) = limit(&["--each", "list", "--array-limit", "3", "echo", "{}"]);
    assert_eq!(total, None);
    assert!(message.contains("there are only 3 tasks, so the limit limits nothing"), "{message}");
    let refused = sandbox.run("bsub", ["--array-limit", "2", "true"]);
    assert!(refused.failed_with(2).contains("--array-limit needs --array"), "{refused}");
    let refused = sandbox.run("bsub", ["--each", "list%2", "echo", "{}"]);
    assert!(refused.failed_with(2).contains("reading list%2"), "{refused}");
    assert!(refused.hints().contains("`--each list --array-limit 2`"), "{refused}");
    let ended = sandbox.run("bsub", ["-I", "--each", "list", "--array-limit", "1", "echo", "line {}"]).ok();
    assert_eq!(ended.stdout.lines().count(), 3, "{ended}");
}

#[story]
fn the_parts_of_a_large_array_have_one_limit() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run("bsub", ["--dry-run", "--array", "1-10001%50", "--wrap", "true"]).ok().json();
    let of = |operation: &str| -> Vec<Value> {
        let all = shown.as_array().into_iter().flatten();
        all.filter(|r| r["operation"] == operation).map(|r| r["request"].clone()).collect()
    };
    let [limit] = of("CreateConsumableResource").try_into().unwrap();
    let name = limit["consumableResourceName"].as_str().unwrap();
    assert!(name.starts_with("awsb-limit-"), "{limit}");
    assert_eq!((&limit["totalQuantity"], &limit["resourceType"]), (&json!(50), &json!("REPLENISHABLE")));
    let parts = of("SubmitJob");
    assert_eq!(parts.len(), 2);
    for part in parts {
        let list = &part["consumableResourcePropertiesOverride"]["consumableResourceList"];
        assert_eq!(*list, json!([{"consumableResource": name, "quantity": 1}]));
    }
    // A key has one limit, whoever submits with it.
    let keyed = || {
        let args = ["--dry-run", "--once", "k", "--array", "1-9%3", "--wrap", "true"];
        let outcome = sandbox.run("bsub", args).ok();
        // Whether the key has a job decides whether there will be one, and that is not asked.
        assert!(outcome.stderr.contains("where a job has the key k, bsub submits nothing"), "{outcome}");
        let shown = outcome.json();
        shown
            .as_array()
            .unwrap()
            .iter()
            .find_map(|r| r["request"]["consumableResourceName"].as_str().map(str::to_owned))
    };
    assert!(keyed().is_some() && keyed() == keyed());
}

#[story]
fn a_limit_that_is_there_with_another_total_is_an_error() {
    let sandbox = Sandbox::with_aws();
    let args = ["--once", "k", "--array", "1-4%1", "--wrap", "true"];
    let shown = sandbox.run("bsub", [&["--dry-run"][..], &args].concat()).ok().json();
    let mut requests = shown.as_array().unwrap().iter();
    let name = requests.find_map(|r| r["request"]["consumableResourceName"].as_str()).unwrap();
    resource(&sandbox, name, "4");
    let other = sandbox.run("bsub", args).ended_with(1);
    let words =
        format!("the consumable resource {name} is there already, REPLENISHABLE with a total of 4, and not");
    assert!(other.stderr.contains(&words), "{other}");
    assert!(other.hints().contains("delete-consumable-resource"), "{other}");
    assert_eq!(sandbox.run("bstat", ["--json", "-s", "ALL"]).ok().json(), json!([]));
    sandbox.run("aws", ["batch", "delete-consumable-resource", "--consumable-resource", name]).ok();
    let kind = ["--resource-type", "NON_REPLENISHABLE"];
    let make = ["batch", "create-consumable-resource", "--consumable-resource-name", name];
    sandbox.run("aws", [&make[..], &["--total-quantity", "1"], &kind].concat()).ok();
    assert!(sandbox.run("bsub", args).ended_with(1).stderr.contains("already, NON_REPLENISHABLE"));
    // One that is as it should be was made by a submission whose answer was lost.
    sandbox.run("aws", ["batch", "delete-consumable-resource", "--consumable-resource", name]).ok();
    resource(&sandbox, name, "1");
    sandbox.run("bsub", args).ok();
}

#[story]
fn licences_of_the_job_definition_alone_are_checked() {
    let resources = json!({"consumableResourceList": [{"consumableResource": "lic", "quantity": 2}]});
    let definition = json!({
        "jobDefinitionName": "d", "revision": 1, "type": "container", "status": "ACTIVE",
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1",
        "containerProperties": {"image": "i"}, "consumableResourceProperties": resources});
    let start = |total: Option<i64>| {
        let definition = definition.clone();
        BadServer::start(move |request, _| match (request.operation(), total) {
            ("describejobdefinitions", _) => Answer::json(json!({ "jobDefinitions": [definition] })),
            ("describeconsumableresource", Some(total)) => Answer::json(json!({
                "consumableResourceName": "lic", "consumableResourceArn": "arn:lic", "totalQuantity": total})),
            ("describeconsumableresource", None) => Answer::error(400, "ClientException", "there is none"),
            ("submitjob", _) => {
                Answer::json(json!({"jobId": "0f0e1d2c-3b4a-4958-8776-655443322110", "jobName": "true"}))
            }
            _ => Answer::json(json!({})),
        })
    };
    let server = start(Some(1));
    let sandbox = Sandbox::at(&server.endpoint());
    let refused = sandbox.run("bsub", ["--strict", "true"]);
    let words = "the job takes 2 of the consumable resource lic, of which there are 1";
    assert!(refused.failed_with(2).contains(words), "{refused}");
    // Where the job definition is read for something else, it is a warning.
    let warned = sandbox.run("bsub", ["-p", "2", "true"]).ok();
    assert!(warned.stderr.contains(&format!("bsub: warning: {words}")), "{warned}");
    // The usual job costs no look at it.
    let looks = server.requests("describejobdefinitions").len();
    assert_eq!(sandbox.run("bsub", ["true"]).ok().stderr, "");
    assert_eq!(server.requests("describejobdefinitions").len(), looks);
    assert_eq!(server.requests("submitjob").len(), 2);

    let server = start(None);
    let refused = Sandbox::at(&server.endpoint()).run("bsub", ["--strict", "true"]);
    assert!(refused.failed_with(2).contains("there is no consumable resource lic"), "{refused}");
    assert!(refused.hints().contains("the job definition d takes it"), "{refused}");
    let server = start(Some(2));
    assert_eq!(Sandbox::at(&server.endpoint()).run("bsub", ["--strict", "true"]).ok().stderr, "");
}

#[story]
fn nodes_take_a_licence_each() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "1");
    let args = ["--dry-run", "--nodes", "2", "--consume", "lic=1", "--wrap", "true"];
    let outcome = sandbox.run("bsub", args).ok();
    let note =
        "the job takes 2 of the consumable resource lic (1 for each of its 2 nodes), of which there are 1";
    assert!(outcome.stderr.contains(note), "{outcome}");
}

#[story]
fn the_nodes_of_the_command_line_share_the_licences_of_a_script() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "99");
    let taken = |args: &[&str]| {
        let outcome = sandbox.run("bsub", [&["--dry-run"], args, &["job.sh"]].concat()).ok();
        let shown = outcome.json();
        let request = shown.as_array().unwrap().iter().find(|r| r["operation"] == "SubmitJob").unwrap();
        let list = &request["request"]["consumableResourcePropertiesOverride"]["consumableResourceList"];
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{shown}");
        let warning = outcome.stderr.lines().find(|line| line.contains("warning")).map(str::to_owned);
        (list[0]["quantity"].as_u64().unwrap(), warning.unwrap_or_default())
    };
    let lsf = "#BSUB -R \"rusage[lic=2/job]\"";
    for head in ["#SBATCH -L lic:2", "#SBATCH -N 4 -L lic:2", "#BSUB -n 4 -R \"span[ptile=1]\"\n", ""] {
        let head = if head.starts_with("#SBATCH") { head.to_owned() } else { format!("{head}{lsf}") };
        sandbox.file("job.sh", format!("#!/bin/sh\n{head}\ntrue\n"));
        assert_eq!(taken(&["-n", "2"]), (1, String::new()), "{head}");
        assert_eq!(taken(&["-n", "1"]), (2, String::new()), "{head}");
        assert_eq!(taken(&["-n", "1", "--node-group", "1"]), (1, String::new()), "{head}");
        let (quantity, warning) = taken(&["-n", "3"]);
        assert!(
            quantity == 1 && warning.contains("1 of lic for each of 3 nodes is 3, and not 2"),
            "{warning}"
        );
        assert!(warning.contains("job.sh, line "), "{warning}");
        // The command line counts before the script.
        assert_eq!(taken(&["-n", "2", "--consume", "lic=3"]), (3, String::new()), "{head}");
    }
    let strict = sandbox.run("bsub", ["--strict", "-n", "3", "job.sh"]);
    assert!(strict.failed_with(2).contains("is 3, and not 2"), "{strict}");
    // It is found before anything is sent.
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let server = BadServer::start(move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        Answer::json(json!({}))
    });
    let far = Sandbox::at(&server.endpoint());
    far.file("job.sh", format!("#!/bin/sh\n{lsf}\ntrue\n"));
    let strict = far.run("bsub", ["--strict", "-n", "2", "--node-group", "1", "job.sh"]);
    assert!(strict.failed_with(2).contains("for each of 3 nodes is 3, and not 2"), "{strict}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // A line of awsb's own counts before those of others.
    sandbox.file("job.sh", "#!/bin/sh\n#SBATCH -L lic:2\n#AWSB --consume lic=5\ntrue\n");
    assert_eq!(taken(&["-n", "2"]), (5, String::new()));
}

#[story]
fn a_limit_stays_while_its_array_runs() {
    let sandbox = Sandbox::new();
    let id = submit(&sandbox, &["--array", "1-3%1", "--wrap", &hold(&sandbox)]);
    let behind = submit(&sandbox, &["--wrap", "true"]);
    wait_for(&sandbox, &format!("{id}:0"), "RUNNING");
    assert!(codes(&sandbox, &format!("{id}:1")).contains(&"ARRAY_LIMIT".to_owned()));
    assert!(codes(&sandbox, &id).contains(&"ARRAY_LIMIT".to_owned()));
    assert!(codes(&sandbox, &behind).contains(&"HEAD_WAITS_FOR_RESOURCE".to_owned()));
    let [limit] = resources(&sandbox).try_into().unwrap();
    assert_eq!((&limit["totalQuantity"], &limit["inUseQuantity"]), (&json!(1), &json!(1)));
    assert_eq!((&limit["jobs"][0]["jobId"], &limit["jobs"][0]["held"]), (&json!(id), &json!(1)));
    // Without -a, only what somebody has made is shown.
    assert_eq!(sandbox.run("bqueues", ["--resources", "--json"]).ok().json(), json!([]));
    // The table says of which array it is.
    let row = || {
        let table = sandbox.run("bqueues", ["--resources", "-a", "--no-header"]).ok().stdout;
        table.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let name = limit["consumableResourceName"].as_str().unwrap();
    let job_name = limit["jobs"][0]["jobName"].as_str().unwrap();
    assert_eq!((row()[0].as_str(), &row()[7..]), (name, &[id.clone(), job_name.to_owned()][..]));
    let consumes = sandbox.run("bstat", ["--no-header", "-o", "consumes", &id]).ok().stdout;
    // The array, and its three children.
    assert_eq!(consumes, format!("{name}=1\n").repeat(4));
    // A tool that only looks removes nothing; neither does the end of a part of it.
    sandbox.run("bkill", [&format!("{id}:2")]).ok();
    sandbox.run("bstat", [&id]).ok();
    assert_eq!(resources(&sandbox).len(), 1);
    sandbox.file("go", "");
    assert_eq!(sandbox.run("bwait", [&id, &behind]).code(), 1, "a task was ended");
    assert_eq!(resources(&sandbox), [Value::Null; 0]);
}

#[story]
fn a_terminal_shows_the_names_of_limits_whole() {
    let sandbox = Sandbox::new();
    let hold = hold(&sandbox);
    let arrays = [0, 1].map(|_| submit(&sandbox, &["--array", "1-3%1", "--wrap", &hold]));
    let names: Vec<String> = resources(&sandbox)
        .iter()
        .filter_map(|limit| Some(limit["consumableResourceName"].as_str()?.to_owned()))
        .collect();
    let args = ["--resources", "-a"];
    for columns in [80, 100] {
        let screen = Terminal::new(columns).run(&sandbox, "bqueues", args).ok().screen();
        // The beginning of an ID names its job.
        let shown = |id: &String| if columns < 100 { id[..12].to_owned() } else { id.clone() };
        for text in names.iter().cloned().chain(arrays.iter().map(shown)) {
            assert!(screen.contains(&text), "{columns}, {text}: {screen}");
        }
    }
    let pipe = sandbox.run("bqueues", args).ok().stdout;
    assert!(names.iter().chain(&arrays).all(|text| pipe.contains(text)), "{pipe}");
    sandbox.file("go", "");
    sandbox.run("bwait", &arrays).ok();
}

#[story]
fn prune_removes_the_limits_of_arrays_that_have_ended_and_no_others() {
    let sandbox = Sandbox::with_aws();
    // Somebody's own resource is never a limit.
    resource(&sandbox, "awsb-limit", "1");
    // Nobody waits for the first array, which is another user's; the second still runs.
    let words = ["AWSB_USER=other", "bsub", "--parsable", "--array", "1-3%2", "--wrap", "true"];
    let ended = sandbox.run("env", words).ok().job_id();
    wait_for(&sandbox, &ended, "SUCCEEDED");
    let ended_limit = resources(&sandbox)
        .iter()
        .find_map(|r| {
            r["consumableResourceName"].as_str().filter(|name| *name != "awsb-limit").map(str::to_owned)
        })
        .unwrap();
    let runs = submit(&sandbox, &["--array", "1-3%1", "--wrap", &hold(&sandbox)]);
    wait_for(&sandbox, &format!("{runs}:0"), "RUNNING");

    let names = || -> Vec<String> {
        let all = resources(&sandbox);
        all.iter().filter_map(|r| Some(r["consumableResourceName"].as_str()?.to_owned())).collect()
    };
    assert_eq!(names().len(), 3);
    let table = sandbox.run("awsb", ["prune", "--dry-run"]).ok().stdout;
    assert!(table.contains(&format!("consumableResource  {ended_limit}")), "{table}");
    let [shown] = <[Value; 1]>::try_from(
        sandbox.run("awsb", ["prune", "--dry-run", "--json"]).ok().json().as_array().cloned().unwrap(),
    )
    .unwrap();
    assert_eq!((&shown["kind"], &shown["name"]), (&json!("consumableResource"), &json!(ended_limit)));
    assert!(
        shown["arn"].as_str().unwrap().ends_with(&format!(":consumable-resource/{ended_limit}")),
        "{shown}"
    );
    assert!(shown["createdAt"].as_i64() > Some(0) && shown["removed"] == false, "{shown}");
    assert_eq!(names().len(), 3, "--dry-run removes nothing");

    let mut asking = Terminal::new(100).start(&sandbox, "awsb", ["prune"]);
    asking.until("the question", |screen| screen.contains("Remove 1 array limit? [y/N]"));
    asking.types("y\n");
    asking.wait().ok();
    assert!(names().len() == 2 && !names().contains(&ended_limit), "{:?}", names());
    // The array whose limit stayed goes on to its end, one task after the other.
    sandbox.file("go", "");
    sandbox.run("bwait", [&runs]).ok();
    assert_eq!(names(), ["awsb-limit"]);
}

#[story]
fn a_limit_that_goes_while_prune_looks_at_it_is_no_error() {
    let name = "awsb-limit-8f2c0d3e-1111-4222-8333-444455556666";
    let arn = format!("arn:aws:batch:eu-west-1:1:consumable-resource/{name}");
    let listed = json!({"consumableResources": [{"consumableResourceName": name, "totalQuantity": 2,
        "inUseQuantity": 0, "consumableResourceArn": arn}]});
    // Another tool, which has seen the end of the array, has removed it since it was listed.
    let gone = "Consumable resource does not exist";
    for describes in [true, false] {
        let listed = listed.clone();
        let server = BadServer::start(move |request, _| match request.operation() {
            "listconsumableresources" => Answer::json(listed.clone()),
            "listjobsbyconsumableresource" if describes => Answer::error(400, "ClientException", gone),
            "listjobsbyconsumableresource" => Answer::error(403, "AccessDeniedException", "no"),
            "describeconsumableresource" if describes => Answer::error(400, "ClientException", gone),
            "describeconsumableresource" => Answer::json(json!({"consumableResourceName": name,
                "totalQuantity": 2, "inUseQuantity": 0, "availableQuantity": 2, "consumableResourceArn": "a"})),
            "describejobqueues" => Answer::json(json!({"jobQueues": []})),
            "describejobdefinitions" => Answer::json(json!({"jobDefinitions": []})),
            "s3" => Answer::Http(
                200,
                "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>".to_owned(),
                vec![("content-type", "application/xml".into())],
            ),
            _ => Answer::error(400, "ClientException", "not asked for"),
        });
        let outcome = Sandbox::at(&server.endpoint()).run("awsb", ["prune", "--yes"]);
        if describes {
            assert!(outcome.ok().stderr.contains("there is nothing to remove"));
        } else {
            assert!(outcome.ended_with(1).stderr.contains("listing the jobs that require"));
        }
    }
}

#[story]
fn bkill_removes_the_limit_of_an_array_that_ends_at_once() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "0");
    let outcome =
        sandbox.run("bsub", ["--parsable", "--consume", "lic", "--array", "1-3%2", "--wrap", "true"]).ok();
    assert!(
        outcome.stderr.contains("takes 1 of the consumable resource lic, of which there are 0"),
        "{outcome}"
    );
    assert_eq!(resources(&sandbox).len(), 2);
    sandbox.run("bkill", [outcome.stdout.trim()]).ok();
    let left: Vec<Value> = resources(&sandbox).iter().map(|r| r["consumableResourceName"].clone()).collect();
    assert_eq!(left, ["lic"]);
}

#[story]
fn the_next_submission_with_a_limit_removes_those_of_arrays_that_bkill_has_ended() {
    let mut sandbox = Sandbox::with_aws();
    sandbox.set("AWSB_USER", "alice");
    let sandbox = sandbox;
    let names = || -> Vec<String> {
        let all = resources(&sandbox);
        let names = all.iter().filter_map(|r| Some(r["consumableResourceName"].as_str()?.to_owned()));
        std::collections::BTreeSet::from_iter(names).into_iter().collect()
    };
    let limited = |user: &str, once: &[&str]| {
        // It takes SIGTERM, and ends once there is a file `end`.
        let end = sandbox.work().join("end").display().to_string();
        let hold = format!("trap 'until [ -e {end} ]; do sleep 0.05; done; exit 1' TERM; {}", hold(&sandbox));
        let before = names();
        let variable = format!("AWSB_USER={user}");
        let words = [&variable, "bsub", "--parsable", "--array", "1-3%1", "--wrap", &hold];
        let id = sandbox.run("env", [&words[..], once].concat()).ok().job_id();
        let all = names();
        let new = all.into_iter().find(|name| !before.contains(name)).unwrap();
        (id, new)
    };
    // Somebody's own resource of such a name has no tags, and is nobody's limit.
    resource(&sandbox, "awsb-limit-own", "1");
    // The tasks run, and bkill does not wait for their end.
    let ended = |user: &str, once: &[&str]| {
        let (id, limit) = limited(user, once);
        wait_for(&sandbox, &format!("{id}:0"), "RUNNING");
        sandbox.run("bkill", [&id]).ok();
        assert!(names().contains(&limit), "{limit}: {:?}", names());
        sandbox.file("end", "");
        wait_for(&sandbox, &id, "FAILED");
        std::fs::remove_file(sandbox.work().join("end")).unwrap();
        limit
    };
    let of_others = ended("bob", &[]);
    let of_key = ended("alice", &["--once", "night"]);
    let own = ended("alice", &[]);
    // A submission without a limit does not look, and neither does one of another user.
    submit(&sandbox, &["--wrap", "true"]);
    assert!(names().contains(&own), "{:?}", names());
    // A submission has little time for it. What one leaves, the next one removes.
    let mut arrays = Vec::new();
    eventually("a submission has removed the limit", Duration::from_secs(60), || {
        arrays.push(limited("alice", &[]));
        (!names().contains(&own)).then_some(())
    });
    wait_for(&sandbox, &format!("{}:0", arrays[0].0), "RUNNING");
    arrays.push(limited("alice", &[]));
    let (ids, limits): (Vec<String>, Vec<String>) = arrays.into_iter().unzip();
    let mut expected = [vec!["awsb-limit-own".to_owned(), of_others, of_key], limits].concat();
    expected.sort();
    assert_eq!(names(), expected);
    sandbox.file("go", "");
    sandbox.run("bwait", &ids).ok();
}

#[story]
fn licences_and_who_holds_them() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "2");
    let holder = submit(&sandbox, &["-J", "holder", "--consume", "lic=2", "--wrap", &hold(&sandbox)]);
    wait_for(&sandbox, &holder, "RUNNING");
    let waits = submit(&sandbox, &["-J", "waits", "--consume", "lic", "--wrap", "true"]);
    let behind = submit(&sandbox, &["-J", "behind", "--wrap", "true"]);
    let ids = [(&holder, "HOLDER"), (&waits, "WAITS"), (&behind, "BEHIND")];
    let tidy = |text: String| {
        let text = ids.iter().fold(text, |text, (id, word)| text.replace(id.as_str(), word));
        let lines = text.lines().filter(|line| !line.starts_with("createdAt"));
        let lines = lines.map(|line| match line.split_once(", submitted ") {
            Some((head, rest)) => {
                format!("{head}, submitted {}", rest.split_once(" ago").map_or(rest, |(_, r)| r))
            }
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let views = [
        sandbox.run("bqueues", ["--resources"]).ok().stdout,
        sandbox.run("bqueues", ["--resources", "lic"]).ok().stdout,
        sandbox.run("bstat", ["--why", &waits]).ok().stdout,
        sandbox.run("bstat", ["--why", &behind]).ok().stdout,
    ];
    insta::assert_snapshot!(views.map(tidy).join("\n\n"));
    let shown = sandbox.run("bqueues", ["--resources", "lic", "--json"]).ok().json();
    assert_eq!((&shown[0]["totalQuantity"], &shown[0]["availableQuantity"]), (&json!(2), &json!(0)));
    assert_eq!((&shown[0]["jobs"][0]["held"], &shown[0]["jobs"][1]["held"]), (&json!(2), &json!(0)));
    // The resource is deleted while a job waits for it.
    sandbox.run("aws", ["batch", "delete-consumable-resource", "--consumable-resource", "lic"]).ok();
    let why = sandbox.run("bstat", ["--why", &waits]).ok().stdout;
    assert!(why.contains("consumable resource lic, which does not exist any more"), "{why}");
    let missing = sandbox.run("bqueues", ["--resources", "lic"]);
    assert!(missing.failed_with(1).contains("there is no consumable resource lic"), "{missing}");
    // Somebody makes one of the same name: it is the same resource.
    resource(&sandbox, "lic", "99");
    sandbox.file("go", "");
    sandbox.run("bwait", [&holder, &waits, &behind]).ok();
}

#[story]
fn resources_that_a_job_cannot_have() {
    let sandbox = Sandbox::with_aws();
    for name in ["a", "b", "c", "d", "e"] {
        resource(&sandbox, name, "1");
    }
    let refused = |args: &[&str], words: &str| {
        let outcome = sandbox.run("bsub", [args, &["--wrap", "true"]].concat());
        let message = outcome.failed_with(2);
        assert!(message.contains(words), "{outcome}");
    };
    let five = ["--consume", "a", "--consume", "b", "--consume", "c", "--consume", "d", "--consume", "e"];
    refused(&["--consume", "nobody"], "there is no consumable resource nobody");
    refused(&["--consume", "a=0"], "whole number from 1 to ");
    refused(&["--consume", "a=x"], "whole number from 1 to ");
    refused(&[&five[..], &["--consume", "f"]].concat(), "at most 5 consumable resources");
    refused(&[&five[..], &["--array", "1-9%2"]].concat(), "the limit of --array (%N)");
    // One of which there is less is a warning, and with `--strict` an error.
    refused(&["--strict", "--consume", "a=2"], "takes 2 of the consumable resource a, of which there are 1");
    for (option, words) in [("-L", "`--consume matlab=1`"), ("--licenses", "use `--consume NAME=N`")] {
        let outcome = sandbox.run("bsub", [option, "matlab:1", "true"]);
        assert!(outcome.code() == 2 && outcome.hints().contains(words), "{outcome}");
    }
    refused(&["--array", "1-9%0"], "whole number from 1 to ");
    refused(&["--array", "1-9%x"], "whole number from 1 to ");
    refused(&["--array", "%3"], "'%3'");
    for (ids, words) in
        [("1-3%3", "there are only 3 tasks, so %3 limits nothing"), ("7%2", "there is only one task")]
    {
        let outcome = sandbox.run("bsub", ["--dry-run", "--array", ids, "--wrap", "true"]).ok();
        assert!(outcome.stderr.contains(words) && !outcome.stdout.contains("awsb-limit"), "{outcome}");
    }
    let all = [&["-K", "--parsable"], &five[..], &["--wrap", "true"]].concat();
    sandbox.run("bsub", all).ok();
}

#[story]
fn two_quantities_of_one_licence_in_the_same_place_are_refused() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "9");
    let twice = "lic is asked for twice, 1 and 2 of it: give it once";
    let line = ["--dry-run", "--consume", "lic=1", "--consume", "lic=2", "true"];
    let message = sandbox.run("bsub", line).failed_with(2);
    assert!(message.contains(&format!("--consume: {twice}")), "{message}");
    for (lines, place) in [
        ("#AWSB --consume lic=1\n#AWSB --consume lic=2", "line 3: `#AWSB --consume lic=2`"),
        ("#AWSB --consume lic=1 --consume lic=2", "line 2: `#AWSB --consume lic=1 --consume lic=2`"),
        ("#BSUB -R 'rusage[lic=1] rusage[lic=2]'", "line 2: "),
    ] {
        sandbox.file("job.sh", format!("#!/bin/sh\n{lines}\ntrue\n"));
        let message = sandbox.run("bsub", ["--dry-run", "job.sh"]).failed_with(2);
        assert!(message.contains(twice) && message.contains(place), "{lines}: {message}");
    }
    // Another place replaces it, and the same twice is the same.
    sandbox.file("job.sh", "#!/bin/sh\n#BSUB -R 'rusage[lic=1]'\n#AWSB --consume lic=2\ntrue\n");
    for (args, quantity) in [(&[][..], 2), (&["--consume", "lic=4", "--consume", "lic=4"], 4)] {
        let request = sandbox.run("bsub", [&["--dry-run"], args, &["job.sh"]].concat()).ok().json();
        let taken = &request[0]["request"]["consumableResourcePropertiesOverride"]["consumableResourceList"];
        assert_eq!(*taken, json!([{"consumableResource": "lic", "quantity": quantity}]));
    }
}

#[story]
fn scripts_ask_for_licences_and_limits() {
    let sandbox = Sandbox::with_aws();
    for name in ["matlab", "ansys"] {
        resource(&sandbox, name, "5");
    }
    for head in [
        "#SBATCH --licenses=matlab:2,ansys\n#SBATCH --array=1-9%3",
        "#BSUB -R \"rusage[matlab=2:ansys=1]\"\n#BSUB -J \"n[1-9]%3\"",
    ] {
        sandbox.file("job.sh", format!("#!/bin/sh\n{head}\ntrue\n"));
        let outcome = sandbox.run("bsub", ["--dry-run", "--strict", "job.sh"]).ok();
        let shown = outcome.json();
        let request = shown.as_array().unwrap().iter().find(|r| r["operation"] == "SubmitJob").unwrap();
        let list = &request["request"]["consumableResourcePropertiesOverride"]["consumableResourceList"];
        let quantities: Vec<(&str, u64)> = list
            .as_array()
            .into_iter()
            .flatten()
            .map(|of| (of["consumableResource"].as_str().unwrap(), of["quantity"].as_u64().unwrap()))
            .map(|(name, quantity)| (name.get(..11).unwrap_or(name), quantity))
            .collect();
        assert_eq!(quantities, [("matlab", 2), ("ansys", 1), ("awsb-limit-", 1)], "{head}: {outcome}");
    }
}

/// A Batch that accepts jobs, and answers CreateConsumableResource with these, one after the other.
fn batch(answers: Vec<Answer>) -> BadServer {
    BadServer::start(move |request, number| match request.operation() {
        "createconsumableresource" => answers.get(number).or(answers.last()).cloned().unwrap(),
        _ => accepts(request),
    })
}

/// The answer of a Batch that accepts jobs.
fn accepts(request: &Request) -> Answer {
    match request.operation() {
        "createconsumableresource" => created(),
        "describeconsumableresource" => {
            Answer::json(json!({"consumableResourceName": "x", "totalQuantity": 2}))
        }
        "describejobdefinitions" => Answer::json(json!({"jobDefinitions": [{
            "jobDefinitionName": "d", "jobDefinitionArn": "arn:aws:batch:eu-west-1:1:job-definition/d:1", "revision": 1,
            "status": "ACTIVE", "type": "container", "containerProperties": {"image": "busybox"},
            "consumableResourceProperties": {"consumableResourceList": [
                {"consumableResource": "arn:aws:batch:eu-west-1:1:consumable-resource/of-definition", "quantity": 3}]},
        }]})),
        "submitjob" => Answer::json(json!({"jobId": ID, "jobName": "j"})),
        _ => Answer::json(json!({"jobSummaryList": [], "jobs": []})),
    }
}

const ID: &str = "7a3a82fc-962e-474c-97e7-a0c4ea08d515";
/// The submission of a limited array to such a Batch.
const LIMITED: [&str; 9] =
    ["--parsable", "-q", "q", "--job-definition", "d", "--array", "1-9%2", "--wrap", "true"];

fn created() -> Answer {
    Answer::json(json!({"consumableResourceName": "x", "consumableResourceArn": "arn:x"}))
}

fn submit_limited(server: &BadServer) -> awsb_testkit::Outcome {
    let sandbox = Sandbox::at(&server.endpoint());
    sandbox.run("bsub", LIMITED)
}

#[story]
fn the_id_is_printed_before_limits_of_earlier_arrays_are_looked_for() {
    for (signal, waits, code) in
        [(Signal::SIGINT, false, 0), (Signal::SIGTERM, false, 0), (Signal::SIGINT, true, 130)]
    {
        let server = BadServer::start(|request, _| match request.operation() {
            "listconsumableresources" => Answer::Hang,
            _ => accepts(request),
        });
        let sandbox = Sandbox::at(&server.endpoint());
        let running = sandbox.start("bsub", LIMITED.iter().chain(waits.then_some(&"-K")));
        eventually("bsub has submitted the array, and looks for limits", Duration::from_secs(60), || {
            let has_come = |operation| !server.requests(operation).is_empty();
            (has_come("submitjob") && has_come("listconsumableresources")).then_some(())
        });
        // Without `-K`, it may have ended meanwhile.
        let _ = kill(running.pid(), signal);
        let outcome = running.wait().ended_with(code);
        assert_eq!(outcome.stdout, format!("{ID}\n"), "{outcome}");
        assert!(!outcome.stderr.contains("error: "), "{outcome}");
    }
}

#[story]
fn a_limit_of_an_earlier_array_is_asked_for_once() {
    let name = "awsb-limit-8f2c0d3e-1111-4222-8333-444455556666";
    let server = BadServer::start(move |request, _| match request.operation() {
        "listconsumableresources" => Answer::json(json!({"consumableResources": [
            {"consumableResourceName": name, "totalQuantity": 2, "inUseQuantity": 0,
             "consumableResourceArn": "arn:x"}]})),
        "describeconsumableresource" => {
            Answer::json(json!({"consumableResourceName": name, "totalQuantity": 2,
            "consumableResourceArn": "arn:x", "tags": {"awsb-user": "alice", "awsb-parts": "1"}}))
        }
        "listjobsbyconsumableresource" => Answer::json(json!({"jobs": [
            {"jobArn": "arn:aws:batch:eu-west-1:1:job/job-0", "jobName": "align", "createdAt": 1,
             "jobQueueArn": "arn:q", "jobStatus": "SUCCEEDED", "quantity": 1,
             "consumableResourceProperties": {"consumableResourceList": []}}]})),
        "deleteconsumableresource" => Answer::json(json!({})),
        _ => accepts(request),
    });
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.set("AWSB_USER", "alice");
    let mut submissions = 0;
    eventually("a submission has removed the limit", Duration::from_secs(60), || {
        submissions += 1;
        sandbox.run("bsub", LIMITED).ok();
        (!server.requests("deleteconsumableresource").is_empty()).then_some(())
    });
    let lookups = server.requests("describeconsumableresource");
    let of_limit = lookups.iter().filter(|r| String::from_utf8_lossy(&r.body).contains(name)).count();
    assert!((1..=submissions).contains(&of_limit), "{of_limit} in {submissions} submissions");
}

#[story]
fn without_a_permission_or_the_operation_nothing_is_submitted() {
    let denied = Answer::error(
        403,
        "AccessDeniedException",
        "User: arn:aws:iam::111122223333:user/me is not authorized to perform: batch:CreateConsumableResource on \
         resource: arn:aws:batch:eu-west-1:111122223333:consumable-resource/awsb-limit-x because no identity-based \
         policy allows it",
    );
    let unknown = Answer::error(404, "UnknownOperationException", "");
    for answer in [denied, unknown] {
        let server = batch(vec![answer]);
        let outcome = submit_limited(&server);
        assert_eq!(outcome.code(), 1, "{outcome}");
        let hints = outcome.hints();
        for words in ["batch:CreateConsumableResource", "region", "-d sequential"] {
            assert!(hints.contains(words), "{words}: {outcome}");
        }
        assert!(server.requests("submitjob").is_empty());
    }
}

#[story]
fn a_limit_whose_answer_was_lost_is_found_and_the_job_is_submitted_once() {
    let exists = Answer::error(400, "ClientException", "Object already exists: x");
    // The login page of a network.
    let page = |status| {
        Answer::Http(status, "<html>log in</html>".into(), vec![("content-type", "text/html".into())])
    };
    for answers in [
        vec![Answer::Reset, exists.clone()],
        vec![page(200), page(503), exists.clone()],
        vec![exists],
        vec![created()],
    ] {
        let server = batch(answers);
        submit_limited(&server).ok();
        let submitted = server.requests("submitjob");
        let [job] = submitted.as_slice() else { panic!("one SubmitJob") };
        let body: Value = serde_json::from_slice(&job.body).unwrap();
        // The list of the job definition is replaced by an override, so it is in there.
        let list = &body["consumableResourcePropertiesOverride"]["consumableResourceList"];
        assert_eq!(
            list[0],
            json!({"consumableResource": "arn:aws:batch:eu-west-1:1:consumable-resource/of-definition", "quantity": 3})
        );
        let created: Value =
            serde_json::from_slice(&server.requests("createconsumableresource")[0].body).unwrap();
        assert_eq!(list[1]["consumableResource"], created["consumableResourceName"]);
        assert_eq!(created["tags"]["awsb-parts"], "1");
        let names: Vec<Value> = server
            .requests("createconsumableresource")
            .iter()
            .map(|r| serde_json::from_slice::<Value>(&r.body).unwrap()["consumableResourceName"].clone())
            .collect();
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    }
}

#[story]
fn whoever_waits_for_a_job_that_takes_more_than_there_is_is_told() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "1");
    for (n, options) in
        [&["--consume", "lic=2"][..], &["--consume", "lic=2", "--array", "1-2"]].iter().enumerate()
    {
        let said = || std::fs::read_to_string(sandbox.work().join(format!("said{n}"))).unwrap_or_default();
        let line = format!("exec bsub -K --quiet {} true 2>said{n}", options.join(" "));
        let waiting = sandbox.start("sh", ["-c", &line]);
        eventually("bsub says why the job is stuck", Duration::from_secs(60), || {
            (said().contains("\nwhat to do: ")).then_some(())
        });
        let words = "consumable resource lic: it takes 2, and there are 1 in all";
        assert_eq!(said().matches(words).count(), 1, "{}", said());
        sandbox.run("bkill", ["last"]).ok();
        waiting.wait().ended_with(1);
        assert_eq!(
            said().matches("is RUNNABLE, submitted").count()
                + said().matches("is PENDING, submitted").count(),
            1
        );
    }
}

#[story]
fn whoever_waits_behind_a_job_that_waits_for_a_licence_is_told() {
    let sandbox = Sandbox::with_aws();
    resource(&sandbox, "lic", "1");
    let holder = submit(&sandbox, &["--consume", "lic", "sleep", "1000"]);
    wait_for(&sandbox, &holder, "RUNNING");
    let head = submit(&sandbox, &["--consume", "lic", "true"]);
    wait_for(&sandbox, &head, "RUNNABLE");
    let tools: [(&str, &[&str]); 3] =
        [("bsub -K", &["true"]), ("bsub -I", &["true"]), ("bsub -K", &["--array", "1-2", "true"])];
    let waiting = tools.iter().enumerate().map(|(n, (tool, args))| {
        let line = format!("exec {tool} {} 2>said{n}", args.join(" "));
        sandbox.start("sh", ["-c", &line])
    });
    let waiting: Vec<_> = waiting.collect();
    let of_head = sandbox.start("sh", ["-c", &format!("exec bwait {head} 2>said3")]);
    let said =
        |n: usize| std::fs::read_to_string(sandbox.work().join(format!("said{n}"))).unwrap_or_default();
    for n in 0..4 {
        let words = if n == 3 {
            "it takes 1, and 0 of 1 are available"
        } else {
            "waits for the consumable resource lic"
        };
        eventually("the tool says why the job waits", Duration::from_secs(90), || {
            said(n).contains(words).then_some(())
        });
    }
    sandbox.run("bkill", [&holder]).ok();
    waiting.into_iter().for_each(|waiting| drop(waiting.wait().ok()));
    of_head.wait().ok();
    for n in 0..4 {
        assert_eq!(said(n).matches("is RUNNABLE, submitted").count(), 1, "{}", said(n));
    }
}

#[story]
fn whoever_waits_behind_a_limited_array_is_told() {
    let sandbox = Sandbox::new();
    let array = submit(&sandbox, &["--array", "1-2%1", "--wrap", &hold(&sandbox)]);
    wait_for(&sandbox, &format!("{array}:0"), "RUNNING");
    let waiting = sandbox.start("sh", ["-c", "exec bsub -K true 2>said"]);
    let said = || std::fs::read_to_string(sandbox.work().join("said")).unwrap_or_default();
    eventually("bsub says why the job waits", Duration::from_secs(90), || {
        said().contains("waits for the limit of its array (%N); the jobs behind it may wait").then_some(())
    });
    sandbox.file("go", "");
    waiting.wait().ok();
    assert_eq!(said().matches("waits for the limit").count(), 1, "{}", said());
    sandbox.run("bwait", [&array]).ok();
}

/// A limit of an array that has ended, and the jobs of the array.
fn ended_limit(jobs: Option<usize>) -> BadServer {
    let name = "awsb-limit-8f2c0d3e-1111-4222-8333-444455556666";
    let resource = json!({
        "consumableResourceName": name, "totalQuantity": 2, "inUseQuantity": 0,
        "consumableResourceArn": format!("arn:aws:batch:eu-west-1:1:consumable-resource/{name}")});
    let job = |n: usize| {
        json!({"jobArn": format!("arn:aws:batch:eu-west-1:1:job/job-{n}"), "jobName": "align", "createdAt": 1,
               "jobQueueArn": "arn:q", "jobStatus": "SUCCEEDED", "quantity": 1,
               "consumableResourceProperties": {"consumableResourceList": []}})
    };
    let jobs = jobs.map(|count| (0..count).map(job).collect::<Vec<_>>());
    BadServer::start(move |request, _| match request.operation() {
        "listconsumableresources" => Answer::json(json!({"consumableResources": [resource]})),
        "describeconsumableresource" => Answer::json(resource.clone()),
        "listjobsbyconsumableresource" => {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            match &jobs {
                // Those of one state, which have not ended.
                _ if body["filters"].is_array() => Answer::json(json!({"jobs": []})),
                Some(jobs) => Answer::json(json!({"jobs": jobs})),
                None => Answer::error(403, "AccessDeniedException", "no"),
            }
        }
        _ => Answer::json(json!({"jobs": []})),
    })
}

#[story]
fn the_jobs_of_an_array_that_has_ended_are_those_of_its_limit() {
    let server = ended_limit(Some(22));
    let sandbox = Sandbox::at(&server.endpoint());
    let shown = &sandbox.run("bqueues", ["--resources", "-a", "--json"]).ok().json()[0];
    let jobs = shown["limitedJobs"].as_array().unwrap();
    assert_eq!((jobs.len(), &jobs[0]["jobId"], &shown["jobs"]), (22, &json!("job-0"), &json!([])));
    let details = sandbox.run("bqueues", ["--resources", "-a", "-d"]).ok().stdout;
    assert!(details.contains("job-19 (align) SUCCEEDED\n"), "{details}");
    assert!(details.ends_with("and 2 more jobs\n") && !details.contains("job-20 "), "{details}");
}

#[story]
fn a_limit_is_shown_when_its_jobs_cannot_be_listed() {
    let server = ended_limit(None);
    let sandbox = Sandbox::at(&server.endpoint());
    let table = sandbox.run("bqueues", ["--resources", "-a", "--no-header"]).ok();
    assert!(table.stdout.starts_with("awsb-limit-8f2c0d3e-"), "{table}");
    let note = "bqueues: note: cannot tell which array the limit awsb-limit-8f2c0d3e-";
    assert!(table.stderr.starts_with(note), "{table}");
    let shown = sandbox.run("bqueues", ["--resources", "-a", "--json"]).ok().json();
    assert_eq!(shown[0].get("limitedJobs"), Some(&Value::Null));
}
