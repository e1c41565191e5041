//! Jobs of several containers (`ecsProperties`), and jobs on EKS (`eksProperties`).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use awsb_testkit::local::PATIENCE;
use awsb_testkit::{Answer, BadServer, Request, Sandbox, Terminal, engine, eventually, story};
use bollard::Docker;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, RemoveContainerOptionsBuilder,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const JOB: &str = "0f0e1d2c-3b4a-4958-8776-655443322110";

/// A container of a job definition.
fn container(name: &str, image: &str, extra: Value) -> Value {
    let mut container = json!({
        "name": name, "image": image,
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]});
    for (field, value) in extra.as_object().unwrap() {
        container[field] = value.clone();
    }
    container
}

/// Registers a job definition with a task of these containers.
#[track_caller]
fn register(sandbox: &Sandbox, name: &str, task: Value) {
    let definition = json!({
        "jobDefinitionName": name, "type": "container", "ecsProperties": {"taskProperties": [task]}});
    let file = sandbox.file(&format!("{name}.json"), definition.to_string());
    let input = format!("file://{}", file.display());
    sandbox.run("aws", ["batch", "register-job-definition", "--cli-input-json", &input]).ok();
}

/// The sorted lines of a text.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[story]
fn containers_of_a_task_start_in_order_and_share_a_network() {
    let image = engine();
    let mut sandbox = Sandbox::with_aws();
    // Room for three containers, however small the machine is.
    sandbox.run("blocal", ["stop"]).ok();
    sandbox.run("blocal", ["start", "--vcpus", "3"]).ok();
    sandbox.use_local_exports();
    let shared = json!({"mountPoints": [{"sourceVolume": "work", "containerPath": "/data"}]});
    let with = |more: Value| {
        let mut all = shared.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let setup =
        with(json!({"essential": false, "command": ["sh", "-c", "echo made; echo ready > /data/state"]}));
    // As the first process of its container it ignores SIGTERM.
    let server = with(json!({
        "essential": false, "stopTimeout": 2, "command": ["sh", "-c", "echo up; exec httpd -f -p 7777 -h /data"],
        "dependsOn": [{"containerName": "setup", "condition": "SUCCESS"}]}));
    let main = with(json!({"dependsOn": [
        {"containerName": "setup", "condition": "COMPLETE"}, {"containerName": "side", "condition": "START"}]}));
    register(
        &sandbox,
        "trio",
        json!({"volumes": [{"name": "work"}], "containers": [
            container("setup", image, setup), container("side", image, server),
            container("main", image, main)]}),
    );
    let ask = "until wget -qO- http://127.0.0.1:7777/state 2>/dev/null; do sleep 0.05; done; exit 3";
    let failed = sandbox.run("bsub", ["-I", "--job-definition", "trio", "-J", "trio", "--wrap", ask]);
    assert_eq!(failed.code(), 3, "{failed}");
    let expected = ["main: ready", "setup: made", "side: up"];
    assert_eq!(sorted(&failed.stdout), expected, "{failed}");

    let job = sandbox.run("bstat", ["--json", "-e", "last"]).ok().json()[0].take();
    assert_eq!(job["container"]["exitCode"], 3, "{job}");
    let containers = &job["ecsProperties"]["taskProperties"][0]["containers"];
    let ends: Vec<Value> =
        containers.as_array().unwrap().iter().map(|c| json!([c["name"], c["exitCode"]])).collect();
    assert_eq!(json!(ends), json!([["setup", 0], ["side", 137], ["main", 3]]), "{job}");
    let attempt = &job["attempts"][0];
    assert_eq!(attempt["container"]["exitCode"], 3);
    assert_eq!(attempt["taskProperties"][0]["containers"][2]["exitCode"], 3);

    // All readers have all containers.
    let id = job["jobId"].as_str().unwrap();
    assert_eq!(sorted(&sandbox.run("bout", [id]).ok().stdout), expected);
    assert_eq!(sandbox.run("bout", ["--no-prefix", "--filter", "ready", id]).ok().stdout, "ready\n");
    // And those of one of them.
    let of = |words: &[&str]| sandbox.run("bout", [words, &[id]].concat()).ok().stdout;
    assert_eq!(of(&["--container", "side"]), "up\n");
    assert_eq!(of(&["--container", "main", "-f"]), "ready\n");
    assert_eq!(of(&["--container", "setup", "--tail", "1", "--attempt", "1"]), "made\n");
    let lines = sandbox.run("bout", ["--json", "--container", "side", id]).ok().json();
    assert_eq!(
        (&lines[0]["container"], lines.as_array().map(Vec::len)),
        (&json!("side"), Some(1)),
        "{lines}"
    );
    let folder = sandbox.work().join("out");
    sandbox.run("bout", ["--container", "setup", "-d", &folder.display().to_string(), id]).ok();
    let file = folder.join(format!("{id}.out"));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "made\n");
    let failed = sandbox.run("bout", ["--container", "other", id]);
    assert!(failed.failed_with(2).contains("has no container `other`"), "{failed}");
    for tool in ["bout", "bexec"] {
        for name in ["", "a b"] {
            let failed = sandbox.run(tool, ["--container", name, id]);
            assert!(failed.failed_with(2).contains("a container has a name of 1 to 255 letters"), "{failed}");
        }
    }
    assert!(failed.hints().contains("setup, side or main"), "{failed}");
    let detail = sandbox.run("bstat", ["-d", id]).ok().stdout;
    for words in ["container setup", "not essential; exit code 0", "container main", "essential; exit code 3"]
    {
        assert!(detail.contains(words), "{words}: {detail}");
    }
    assert_eq!(sandbox.run("bwait", [id]).code(), 3);
    let why = sandbox.run("bstat", ["--why", id]).ok().stdout;
    assert!(why.contains("exit code 3"), "{why}");
}

#[story]
fn a_container_that_the_job_does_not_wait_for_has_a_note() {
    let sandbox = Sandbox::with_aws();
    let side = container("side", "busybox", json!({"essential": false}));
    register(&sandbox, "pair", json!({"containers": [side, container("main", "busybox", json!({}))]}));
    let note = "note: the container side is not essential";
    let line = ["--dry-run", "--job-definition", "pair", "--container"];
    let of = |name: &str| sandbox.run("bsub", [&line[..], &[name, "true"]].concat()).ok().stderr;
    assert!(of("side").contains(note), "{}", of("side"));
    assert!(!of("main").contains("essential"), "{}", of("main"));
}

#[story]
fn the_end_of_an_essential_container_ends_the_task() {
    let image = engine();
    let sandbox = Sandbox::with_aws();
    let stops = "trap 'echo asked to end; exit 0' TERM; echo waits; while :; do sleep 0.1; done";
    let watcher = container("watcher", image, json!({"command": ["sh", "-c", stops]}));
    let main =
        container("main", image, json!({"dependsOn": [{"containerName": "watcher", "condition": "START"}]}));
    register(&sandbox, "pair", json!({"containers": [watcher, main]}));
    let line = ["-I", "--job-definition", "pair", "--container", "main", "--wrap", "sleep 1; echo done"];
    let ended = sandbox.run("bsub", line).ok();
    assert_eq!(sorted(&ended.stdout), ["main: done", "watcher: asked to end", "watcher: waits"], "{ended}");

    // A dependency that fails is the end of the job that waits for it.
    let setup = container("setup", image, json!({"essential": false, "command": ["sh", "-c", "exit 4"]}));
    let main =
        container("main", image, json!({"dependsOn": [{"containerName": "setup", "condition": "SUCCESS"}]}));
    register(&sandbox, "unmet", json!({"containers": [setup, main]}));
    let failed = sandbox.run("bsub", ["-I", "--job-definition", "unmet", "true"]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert!(failed.stderr.contains("main waits for setup, which did not succeed"), "{failed}");
    // One that never ran has no log stream.
    let job = sandbox.run("bstat", ["--json", "-e", "last"]).ok().json()[0].take();
    let containers = &job["ecsProperties"]["taskProperties"][0]["containers"];
    assert!(containers[0]["logStreamName"].is_string(), "{job}");
    assert_eq!(containers[1]["logStreamName"], Value::Null, "{job}");
    for options in [&[][..], &["-f"]] {
        let failed = sandbox.run("bout", [&["--container", "main"], options, &["last"]].concat());
        assert!(failed.failed_with(1).contains("the container `main` of the job"), "{failed}");
        assert!(failed.stderr.contains("has no log stream"), "{failed}");
    }
    let detail = sandbox.run("bstat", ["-d", "-e", "last"]).ok().stdout;
    assert!(detail.contains("main: DependencyError"), "{detail}");
}

#[story]
async fn a_container_finds_the_state_of_the_others_of_its_task() {
    let image = engine();
    let mut sandbox = Sandbox::with_aws();
    // Three run: the task, the main container and the one that is late. The runner reports that to
    // the next server, too.
    let script = "ask() { wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task; }; \
                  is_there() { t=$(ask 2>/dev/null); case $t in *STOPPED*) ;; *) return 1;; esac; \
                  [ $(echo \"$t\" | grep -o 'KnownStatus.:.RUNNING' | wc -l) = 3 ]; }; \
                  until is_there; do sleep 0.05; done; echo \"$t\"; hostname -i; \
                  until [ -e /restarted ]; do sleep 0.05; done; \
                  until is_there; do sleep 0.05; done; echo \"$t\"; exec sleep 1000";
    let setup = json!({"essential": false, "command": ["sh", "-c", "echo from setup; exit 3"]});
    let main = json!({"stopTimeout": 2, "dependsOn": [{"containerName": "setup", "condition": "COMPLETE"}]});
    let last = json!({"essential": false, "dependsOn": [{"containerName": "late", "condition": "SUCCESS"}]});
    let late = json!({"essential": false, "stopTimeout": 2, "command": ["sleep", "1000"]});
    register(
        &sandbox,
        "states",
        json!({"containers": [container("setup", image, setup), container("main", image, main),
            container("late", image, late), container("last", image, last)]}),
    );
    sandbox.run("blocal", ["stop"]).ok();
    sandbox.run("blocal", ["start", "--vcpus", "4"]).ok();
    sandbox.use_local_exports();
    let line = ["--parsable", "--job-definition", "states", "--container", "main"];
    let id = sandbox.run("bsub", [&line[..], &["--wrap", script]].concat()).ok().stdout.trim().to_owned();
    let printed = |lines: usize| {
        eventually("the output of the main container", PATIENCE, || {
            let output = sandbox.run("bout", [id.as_str()]).ok().stdout;
            let main: Vec<String> =
                output.lines().filter_map(|line| Some(line.strip_prefix("main: ")?.to_owned())).collect();
            (main.len() == lines).then_some(main)
        })
    };
    let first = printed(2);
    let task: Value = serde_json::from_str(&first[0]).unwrap();
    let [setup, main, _, last] = task["Containers"].as_array().unwrap().as_slice() else { panic!("{task}") };
    assert_eq!((&setup["KnownStatus"], &setup["ExitCode"]), (&json!("STOPPED"), &json!(3)), "{task}");
    assert!(setup["StartedAt"].as_str() <= setup["FinishedAt"].as_str(), "{task}");
    assert_eq!((&main["KnownStatus"], &main["ExitCode"]), (&json!("RUNNING"), &Value::Null), "{task}");
    assert!(setup["FinishedAt"].as_str() <= main["StartedAt"].as_str(), "{task}");
    assert_eq!((&last["KnownStatus"], &last["DockerId"]), (&json!("NONE"), &Value::Null), "{task}");
    for container in [setup, main] {
        let network = json!([{"NetworkMode": "bridge", "IPv4Addresses": [first[1]]}]);
        assert_eq!(container["Networks"], network, "{task}");
    }
    let docker = Docker::connect_with_defaults().unwrap();
    let found =
        docker.inspect_container(main["DockerName"].as_str().unwrap(), None::<InspectContainerOptions>);
    let found = found.await.unwrap();
    let ids = (main["DockerId"].as_str(), main["ImageID"].as_str());
    assert_eq!(ids, (found.id.as_deref(), found.image.as_deref()), "{task}");
    let arn = task["TaskARN"].as_str().unwrap();
    let tasks =
        sandbox.run("aws", ["ecs", "describe-tasks", "--cluster", "local", "--tasks", arn]).ok().json();
    let states: Vec<Value> = tasks["tasks"][0]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| json!([of["name"], of["lastStatus"], of["exitCode"]]))
        .collect();
    let expected = json!([
        ["setup", "STOPPED", 3],
        ["main", "RUNNING", null],
        ["late", "RUNNING", null],
        ["last", "PENDING", null]
    ]);
    assert_eq!(json!(states), expected, "{tasks}");

    sandbox.run("blocal", ["stop"]).ok();
    sandbox.run("blocal", ["start", "--vcpus", "4"]).ok();
    sandbox.run("bexec", ["--container", "main", &id, "touch", "/restarted"]).ok();
    assert_eq!(printed(3)[2], first[0]);
    sandbox.run("bkill", [id.as_str()]).ok();
    sandbox.run("bwait", [id.as_str()]);

    // The output of each container is counted, and not that of the main one alone.
    let logs = sandbox.local_home().join("logs");
    let files =
        std::fs::read_dir(logs).unwrap().flat_map(|group| std::fs::read_dir(group.unwrap().path()).unwrap());
    let of_setup = files
        .map(|file| file.unwrap().path())
        .find(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains("from setup")));
    std::fs::remove_file(of_setup.unwrap()).unwrap();
    let bout = sandbox.run("bout", [id.as_str()]);
    assert!(bout.stderr.contains("is gone or empty"), "{bout}");
    let detail = sandbox.run("bstat", ["-d", id.as_str()]).ok().stdout;
    let lost = "not essential; exit code 3; OutputNotKept: the file of its log stream is gone or empty";
    assert!(detail.contains(lost), "{detail}");
}

#[story]
fn commands_beside_a_task_run_in_the_container_that_is_named() {
    let image = engine();
    let sandbox = Sandbox::with_aws();
    let waits = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let serves = format!("(while :; do nc -l -p 8080 -e cat; done) & {waits}");
    let extra =
        json!({"command": ["sh", "-c", serves], "environment": [{"name": "PART", "value": "the side"}]});
    let side = container("side", image, extra);
    let main = container("main", image, json!({}));
    register(&sandbox, "beside", json!({"containers": [side, main]}));
    let line = ["--parsable", "--job-definition", "beside", "--container", "main", "-e", "PART=the main one"];
    let id = sandbox.run("bsub", [&line[..], &["--wrap", waits]].concat()).ok().stdout.trim().to_owned();
    sandbox.run("bwait", ["--started", &id]).ok();
    let part = |options: &[&str]| {
        let words = ["sh", "-c", "echo $PART"];
        sandbox.run("bexec", [options, &[&id], &words].concat()).ok().stdout
    };
    assert_eq!(part(&["--container", "main"]), "the main one\n");
    // The first essential one.
    assert_eq!(part(&[]), "the side\n");
    let failed = sandbox.run("bexec", ["--container", "other", &id, "true"]);
    assert!(failed.failed_with(2).contains("has no container `other`"), "{failed}");
    assert!(failed.hints().contains("side or main"), "{failed}");

    // They share their ports.
    for options in [&[][..], &["--container", "main"]] {
        let mut forward = sandbox.start("bexec", [options, &["--forward", "0:8080", &id]].concat());
        let local = forward.line().unwrap().split([':', ' ']).nth(1).unwrap().parse::<u16>().unwrap();
        let echoed = eventually("the server in the task answers", PATIENCE, || {
            let mut client = TcpStream::connect(("127.0.0.1", local)).unwrap();
            client.write_all(b"hello").ok()?;
            client.shutdown(Shutdown::Write).ok()?;
            let mut back = String::new();
            client.read_to_string(&mut back).ok()?;
            Some(back).filter(|back| !back.is_empty())
        });
        assert_eq!(echoed, "hello");
        forward.signal(Signal::SIGINT);
        forward.wait().ended_with(130);
    }
    sandbox.run("bkill", [&id]).ok();
    sandbox.run("bwait", [&id]);

    // The shell is in the container that waits for it.
    let line =
        ["-I", "--pty", "--job-definition", "beside", "--container", "main", "-e", "PART=the main one"];
    let mut shell = Terminal::new(100).start(&sandbox, "bsub", [&line[..], &["sh"]].concat());
    shell.types("echo it is $PART; exit 6\n");
    shell.until("its container", |screen| screen.contains("it is the main one"));
    shell.wait().ended_with(6);
}

#[story]
async fn a_task_whose_network_is_gone_is_lost() {
    let image = engine();
    let sandbox = Sandbox::with_aws();
    register(&sandbox, "alone", json!({"containers": [container("only", image, json!({}))]}));
    let docker = Docker::connect_with_defaults().unwrap();
    for is_removed in [true, false] {
        let line = ["--parsable", "--job-definition", "alone", "--wrap", "echo begins; sleep 1000"];
        let id = sandbox.run("bsub", line).ok().stdout.trim().to_owned();
        sandbox.run("bwait", ["--started", &id]).ok();
        let job = || sandbox.run("bstat", ["--json", "-e", &id]).ok().json()[0].take();
        let running = job();
        let arn = running["ecsProperties"]["taskProperties"][0]["taskArn"].as_str().unwrap().to_owned();
        let network = format!("awsb-{}", arn.rsplit('/').next().unwrap());
        eventually("its output", PATIENCE, || {
            sandbox.run("bout", [&id]).ok().stdout.contains("begins").then_some(())
        });
        if is_removed {
            let options = RemoveContainerOptionsBuilder::new().force(true).build();
            docker.remove_container(&network, Some(options)).await.unwrap();
        } else {
            docker.kill_container(&network, None::<KillContainerOptions>).await.unwrap();
        }
        sandbox.run("bwait", [&id]).ended_with(1);
        let ended = job();
        assert_eq!(ended["status"], "FAILED", "{ended}");
        assert!(ended["statusReason"].as_str().unwrap().starts_with("Host EC2"), "{ended}");
        let only = &ended["attempts"][0]["taskProperties"][0]["containers"][0];
        assert_eq!(only["exitCode"], Value::Null, "{ended}");
        let why = format!("somebody else has ended the container {network}, which holds the network");
        assert!(only["reason"].as_str().unwrap().contains(&why), "{ended}");
        assert!(sandbox.run("bout", [&id]).ok().stdout.contains("begins"));
    }
}

#[story]
fn a_task_of_one_process() {
    let sandbox = Sandbox::with_aws();
    let mut only = container("only", "host", json!({}));
    register(&sandbox, "process", json!({"containers": [only.clone()]}));
    let ended = sandbox.run("bsub", ["-I", "--job-definition", "process", "echo", "hello"]).ok();
    assert_eq!(ended.stdout, "hello\n");
    // Its name is that of its only container.
    assert_eq!(sandbox.run("bout", ["--container", "only", "last"]).ok().stdout, "hello\n");
    let failed = sandbox.run("bout", ["--container", "other", "last"]);
    assert!(failed.failed_with(2).contains("has no container `other`"), "{failed}");
    let job = sandbox.run("bstat", ["--json", "-e", "last"]).ok().json()[0].take();
    let stream = job["container"]["logStreamName"].as_str().unwrap();
    assert!(stream.starts_with("process/only/"), "{job}");
    for task in [&job["ecsProperties"]["taskProperties"][0], &job["attempts"][0]["taskProperties"][0]] {
        assert_eq!(task["containers"][0]["exitCode"], 0, "{job}");
        assert_eq!(task["containers"][0]["logStreamName"], stream, "{job}");
    }
    assert_eq!(sandbox.run("bsub", ["-I", "--rerun", "last"]).ok().stdout, "hello\n");
    // A program that is not there.
    sandbox.run("bsub", ["-I", "--job-definition", "process", "no-such-program"]).ended_with(127);
    let job = sandbox.run("bstat", ["--json", "-e", "last"]).ok().json()[0].take();
    assert_eq!(job["attempts"][0]["taskProperties"][0]["containers"][0]["exitCode"], 127, "{job}");
    let line = ["--parsable", "--job-definition", "process", "sleep", "1000"];
    let id = sandbox.run("bsub", line).ok().stdout.trim().to_owned();
    sandbox.run("bwait", ["--started", &id]).ok();
    assert_eq!(sandbox.run("bexec", [&id, "echo", "beside it"]).ok().stdout, "beside it\n");
    sandbox.run("bkill", [&id]).ok();

    // A container without a name is overridden without one.
    only.as_object_mut().unwrap().remove("name");
    register(&sandbox, "unnamed", json!({"containers": [only]}));
    assert_eq!(sandbox.run("bsub", ["-I", "--job-definition", "unnamed", "echo", "x"]).ok().stdout, "x\n");
    let failed = sandbox.run("bsub", ["--job-definition", "unnamed", "--container", "a", "true"]);
    assert!(failed.failed_with(2).contains("its container has no name"), "{failed}");
    let failed = sandbox.run("bsub", ["--job-definition", "process", "--container", "a", "true"]);
    assert!(failed.failed_with(2).contains("no such container; it has only"), "{failed}");
    let failed = sandbox.run("bsub", ["--container", "a", "true"]);
    assert!(failed.failed_with(2).contains("has no task of containers"), "{failed}");
    let failed = sandbox.run("bsub", ["--job-definition", "process", "--nodes", "2", "true"]);
    assert!(failed.failed_with(2).contains("is for a task of containers"), "{failed}");
}

fn far(server: &BadServer) -> Sandbox {
    Sandbox::of_cluster_at(&server.endpoint(), "")
}

/// A Batch with one job definition, which is for a task.
fn with_a_task() -> BadServer {
    let task = json!({"taskRoleArn": "arn:aws:iam::123456789012:role/r", "containers": [
        container("log", "router", json!({"essential": false})), container("main", "old", json!({}))]});
    let definition = json!({
        "jobDefinitionName": "d", "revision": 1, "type": "container", "status": "ACTIVE",
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1",
        "ecsProperties": {"taskProperties": [task]}});
    BadServer::start(move |request, _| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.operation() {
            "submitjob" if body.get("containerOverrides").is_some() => {
                Answer::error(400, "ClientException", "Container overrides should not be set.")
            }
            "submitjob" => Answer::json(json!({"jobId": JOB, "jobName": "true"})),
            "describejobdefinitions" if body.to_string().contains("-awsb-") => {
                Answer::json(json!({"jobDefinitions": []}))
            }
            "describejobdefinitions" => Answer::json(json!({ "jobDefinitions": [definition] })),
            "registerjobdefinition" => Answer::json(json!({
                "jobDefinitionName": "n", "jobDefinitionArn": "arn:n:1", "revision": 1})),
            "describejobqueues" => Answer::json(json!({"jobQueues": []})),
            _ => Answer::error(500, "ServerException", "not in this test"),
        }
    })
}

#[track_caller]
fn last(server: &BadServer, operation: &str) -> Value {
    serde_json::from_slice(&server.requests(operation).last().unwrap().body).unwrap()
}

#[story]
fn a_submission_overrides_one_container_of_the_task() {
    let server = with_a_task();
    let sandbox = far(&server);
    // The usual job costs no look at its job definition: Batch refuses it, and it is sent again.
    sandbox.run("bsub", ["-m", "128", "true"]).ok();
    let submitted = last(&server, "submitjob");
    let containers = &submitted["ecsPropertiesOverride"]["taskProperties"][0]["containers"];
    let [only] = &containers.as_array().unwrap()[..] else { panic!("one container: {submitted}") };
    assert_eq!((&only["name"], &submitted["containerOverrides"]), (&json!("main"), &Value::Null));
    assert_eq!(only["resourceRequirements"], json!([{"type": "MEMORY", "value": "128"}]));
    assert!(only["environment"].to_string().contains("AWSB_SUBMISSION"), "{only}");

    // From then on it is known, and one request is enough.
    let other = far(&server);
    other.run("bsub", ["true"]).ok();
    let before = server.requests("submitjob").len();
    other.run("bsub", ["true"]).ok();
    assert_eq!(server.requests("submitjob").len(), before + 1);

    // A change that no override can make is in a derived definition of the same form.
    sandbox.run("bsub", ["--image", "new", "--container", "log", "true"]).ok();
    let registered = last(&server, "registerjobdefinition");
    let task = &registered["ecsProperties"]["taskProperties"][0];
    assert_eq!(task["taskRoleArn"], "arn:aws:iam::123456789012:role/r");
    assert_eq!(
        (&task["containers"][0]["image"], &task["containers"][1]["image"]),
        (&json!("new"), &json!("old"))
    );
    assert_eq!(registered["containerProperties"], Value::Null);
    let submitted = last(&server, "submitjob");
    assert_eq!(submitted["ecsPropertiesOverride"]["taskProperties"][0]["containers"][0]["name"], "log");
}

#[story]
fn a_dry_run_shows_the_request_that_batch_accepts() {
    let server = with_a_task();
    let sandbox = far(&server);
    // Nobody has read the job definition yet, and no request is sent by which Batch would say so.
    let shown = sandbox.run("bsub", ["--dry-run", "-J", "j", "true"]).ok();
    assert_eq!(shown.stderr, "");
    let request = shown.json()[0]["request"].take();
    let container = &request["ecsPropertiesOverride"]["taskProperties"][0]["containers"][0];
    assert_eq!((&container["name"], &request["containerOverrides"]), (&json!("main"), &Value::Null));
    sandbox.run("bsub", ["-J", "j", "true"]).ok();
    let submitted = last(&server, "submitjob");
    let of = |request: &Value| request["ecsPropertiesOverride"]["taskProperties"][0]["containers"][0].clone();
    assert_eq!(of(&request)["command"], of(&submitted)["command"]);
}

/// A Batch that answers a question for its job definition in this way.
fn answers(answer: impl Fn() -> Answer + Send + Sync + 'static) -> BadServer {
    BadServer::start(move |request, _| match request.operation() {
        "describejobdefinitions" => answer(),
        _ => Answer::error(500, "ServerException", "not in this test"),
    })
}

#[story]
fn a_dry_run_without_batch_shows_the_usual_request_and_says_so() {
    let shown = |sandbox: &Sandbox, why: &str| {
        let shown = sandbox.run("bsub", ["--dry-run", "true"]).ok();
        assert!(shown.json()[0]["request"]["containerOverrides"].is_object(), "{shown}");
        let note = "bsub: note: the job definition d was not read";
        let [line] = &shown.stderr.lines().collect::<Vec<_>>()[..] else { panic!("one note: {shown}") };
        assert!(line.starts_with(note) && line.contains(why), "{shown}");
    };
    let denied = || Answer::error(403, "AccessDeniedException", "User: u is not authorized to perform: x");
    shown(&far(&answers(denied)), "not authorized");
    let closed = BadServer::closed_port();
    shown(&Sandbox::of_cluster_at(&closed, ""), closed.trim_start_matches("http://"));
    let mut without = far(&answers(denied));
    without.unset("AWS_ACCESS_KEY_ID");
    without.unset("AWS_SECRET_ACCESS_KEY");
    shown(&without, "credentials");

    // A strict submission says which checks it leaves out. So does a strict dry run.
    let submitted = |answer: fn() -> Answer| {
        let server = BadServer::start(move |request, _| match request.operation() {
            "describejobdefinitions" => answer(),
            "submitjob" => Answer::json(json!({"jobId": JOB, "jobName": "j", "jobArn": "a"})),
            _ => Answer::error(500, "ServerException", "not in this test"),
        });
        let sandbox = far(&server);
        [&["--strict"][..], &[], &["--strict", "--dry-run"]]
            .map(|options| sandbox.run("bsub", [options, &["true"]].concat()).ok().stderr)
    };
    let checks =
        "note: --strict: the job definition d was not read, so its sizes and licences were not checked";
    let [strict, usual, shown] = submitted(denied);
    assert!(strict.contains(checks) && strict.contains("not authorized"), "{strict}");
    assert!(!strict.contains("single container"), "{strict}");
    assert!(!usual.contains("was not read"), "{usual}");
    assert!(shown.contains(checks) && shown.contains("single container"), "{shown}");

    // A job definition that is not there is an answer, and so is one of another form.
    let failed =
        far(&answers(|| Answer::json(json!({"jobDefinitions": []})))).run("bsub", ["--dry-run", "true"]);
    assert!(failed.failed_with(2).contains("there is no active job definition d"), "{failed}");
    let nodes = json!({"numNodes": 3, "mainNode": 0, "nodeRangeProperties": [
        {"targetNodes": "0:", "container": {"image": "a"}}]});
    let definition = json!({
        "jobDefinitionName": "d", "revision": 1, "type": "multinode", "status": "ACTIVE",
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1", "nodeProperties": nodes});
    let of_nodes = answers(move || Answer::json(json!({ "jobDefinitions": [definition] })));
    let failed = far(&of_nodes).run("bsub", ["--dry-run", "true"]);
    assert!(failed.failed_with(2).contains("is for multi-node parallel jobs"), "{failed}");
    assert!(failed.hints().contains("`--nodes 3` submits one"), "{failed}");
}

#[story]
fn containers_without_names_that_nothing_can_override() {
    let containers = json!([{"image": "a"}, {"image": "b", "name": "side", "essential": false}]);
    let definition = json!({
        "jobDefinitionName": "d", "revision": 1, "type": "container", "status": "ACTIVE",
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1",
        "ecsProperties": {"taskProperties": [{"containers": containers}]}});
    let server = BadServer::start(move |request, _| match request.operation() {
        "submitjob" => Answer::error(400, "ClientException", "Container overrides should not be set."),
        "describejobdefinitions" => Answer::json(json!({ "jobDefinitions": [definition] })),
        "describejobqueues" => Answer::json(json!({"jobQueues": []})),
        _ => Answer::error(500, "ServerException", "not in this test"),
    });
    let failed = far(&server).run("bsub", ["true"]);
    assert!(failed.failed_with(2).contains("the one that would run the job has no name"), "{failed}");
    assert!(failed.hints().contains("`--container NAME` chooses one of side"), "{failed}");
    assert_eq!(server.requests("submitjob").len(), 1);
}

/// CloudWatch Logs with these streams, of one line each.
fn pod_logs(request: &Request, streams: &[&str]) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let mut answer = json!({});
    let found: Vec<Value> = match request.header("x-amz-target").unwrap_or_default() {
        target if target.ends_with("DescribeLogStreams") => {
            let prefix = body["logStreamNamePrefix"].as_str().unwrap();
            let found = streams.iter().filter(|name| name.starts_with(prefix));
            let found = found.map(|name| json!({"logStreamName": name, "creationTime": 1}));
            return Answer::json(json!({"logStreams": found.collect::<Vec<_>>()}));
        }
        target if target.ends_with("FilterLogEvents") => body["logStreamNames"].as_array().unwrap().clone(),
        // The end is where the token comes back unchanged.
        target if target.ends_with("GetLogEvents") => {
            answer = json!({"nextForwardToken": "f/1", "nextBackwardToken": "b/1"});
            if body["nextToken"].is_string() { Vec::new() } else { vec![body["logStreamName"].clone()] }
        }
        target => return Answer::error(400, "UnknownOperationException", target),
    };
    let event = |name: &Value| {
        json!({"logStreamName": name, "timestamp": 1_750_000_020_000_i64, "eventId": "1",
               "ingestionTime": 1_750_000_021_000_i64, "message": format!("a line of {name}")})
    };
    answer["events"] = found.iter().map(event).collect();
    Answer::json(answer)
}

/// A Batch with one job, which is on EKS, and the log streams of its pod.
fn with_a_pod(status: &str, streams: &'static [&'static str]) -> BadServer {
    let ended = status == "FAILED";
    let end = |code: i64| if ended { json!({"exitCode": code, "reason": "Error"}) } else { json!({}) };
    let mut job = json!({
        "jobId": JOB, "jobName": "pod", "jobQueue": "arn:q", "jobDefinition": "arn:d:1", "status": status,
        "createdAt": 1_750_000_000_000_i64, "startedAt": 1_750_000_010_000_i64,
        "eksProperties": {"podProperties": {
            "podName": "aws-batch.f00d", "nodeName": "ip-10-0-0-7.ec2.internal",
            "metadata": {"namespace": "batch"},
            "containers": [
                {"name": "Default", "image": "lab/tool", "command": ["run"], "args": ["fast"],
                 "resources": {"limits": {"cpu": "2", "memory": "2048Mi"}}},
                {"name": "side", "image": "lab/side", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}],
        }},
        "eksAttempts": []});
    if ended {
        job["stoppedAt"] = json!(1_750_000_070_000_i64);
        job["statusReason"] = json!("Pod failed");
        for (at, code) in [(0, 7), (1, 143)] {
            let container = job["eksProperties"]["podProperties"]["containers"][at].as_object_mut().unwrap();
            container.extend(end(code).as_object().unwrap().clone());
        }
        job["eksAttempts"] = json!([{
            "podName": "aws-batch.f00d", "podNamespace": "batch", "nodeName": "ip-10-0-0-7.ec2.internal",
            "startedAt": 1_750_000_010_000_i64, "stoppedAt": 1_750_000_070_000_i64, "statusReason": "Pod failed",
            "containers": [
                {"name": "Default", "containerID": "containerd://1", "exitCode": 7, "reason": "Error"},
                {"name": "side", "containerID": "containerd://2", "exitCode": 143, "reason": "Error"}]}]);
    }
    BadServer::start(move |request, _| match request.operation() {
        "describejobs" => Answer::json(json!({ "jobs": [job] })),
        "logs" => pod_logs(request, streams),
        _ => Answer::error(500, "ServerException", "not in this test"),
    })
}

#[story]
fn a_job_on_eks_is_shown_as_it_is() {
    let server = with_a_pod("FAILED", &[]);
    let sandbox = far(&server);
    let job = sandbox.run("bstat", ["--json", "-e", JOB]).ok().json()[0].take();
    assert_eq!(job["container"]["exitCode"], 7, "{job}");
    assert_eq!(job["eksProperties"]["podProperties"]["podName"], "aws-batch.f00d");
    assert_eq!(job["attempts"][0]["nodeName"], "ip-10-0-0-7.ec2.internal");
    assert_eq!(job["attempts"][0]["containers"][1]["exitCode"], 143);
    let mut detail = sandbox.run("bstat", ["-d", JOB]).ok().stdout;
    // Times depend on the zone of the machine.
    detail =
        detail.lines().filter(|line| !line.contains("2025-")).map(|line| line.to_owned() + "\n").collect();
    insta::assert_snapshot!(detail);
    assert_eq!(sandbox.run("bwait", [JOB]).code(), 7);
    let failed = sandbox.run("bout", [JOB]);
    assert!(failed.failed_with(1).contains("runs as a pod on EKS"), "{failed}");
    assert!(failed.hints().contains("`kubectl logs -n batch aws-batch.f00d`"), "{failed}");

    let server = with_a_pod("RUNNING", &[]);
    let sandbox = far(&server);
    let job = sandbox.run("bstat", ["--json", "-e", JOB]).ok().json()[0].take();
    assert_eq!((&job["status"], &job["container"]["exitCode"]), (&json!("RUNNING"), &Value::Null), "{job}");
}

/// As [`far`], with settings that name the log streams of pods.
fn with_pod_logs(server: &BadServer, pattern: &str) -> Sandbox {
    let more = format!("eks_log_group = \"/pods\"\neks_log_stream = \"{pattern}\"\n");
    Sandbox::of_cluster_at(&server.endpoint(), &more)
}

#[story]
fn the_output_of_a_pod_is_read_where_the_settings_say() {
    let streams = &["c.aws-batch.f00d_batch_default-1.log", "c.aws-batch.f00d_batch_side-2.log", "c.other"];
    let server = with_a_pod("FAILED", streams);
    for (pattern, names) in [
        (
            "c.{pod}_{namespace}_{container}-*",
            ["c.aws-batch.f00d_batch_default-1.log", "c.aws-batch.f00d_batch_side-2.log"],
        ),
        (
            "{node}/{pod}/{container}",
            [
                "ip-10-0-0-7.ec2.internal/aws-batch.f00d/default",
                "ip-10-0-0-7.ec2.internal/aws-batch.f00d/side",
            ],
        ),
    ] {
        let sandbox = with_pod_logs(&server, pattern);
        let lines = format!("Default: a line of \"{}\"\nside: a line of \"{}\"\n", names[0], names[1]);
        assert_eq!(sandbox.run("bout", [JOB]).ok().stdout, lines);
        assert_eq!(sandbox.run("bout", ["-f", JOB]).ok().stdout, lines);
        let side = format!("a line of \"{}\"\n", names[1]);
        assert_eq!(sandbox.run("bout", ["--container", "side", JOB]).ok().stdout, side);
        let asked = server.requests("logs");
        let groups =
            asked.iter().map(|r| serde_json::from_slice::<Value>(&r.body).unwrap()["logGroupName"].take());
        assert!(groups.into_iter().all(|group| group == "/pods"));
    }
    // One stream of both containers is shown once.
    let sandbox = with_pod_logs(&server, "{namespace}/{pod}");
    let line = "Default: a line of \"batch/aws-batch.f00d\"\n";
    assert_eq!(sandbox.run("bout", [JOB]).ok().stdout, line);
    // The pod has no such streams.
    let failed = with_pod_logs(&server, "d.{pod}_*").run("bout", [JOB]);
    assert!(failed.failed_with(1).contains("the log group /pods has no stream of its pod"), "{failed}");
    for pattern in ["{container}", "{pod}*", "{pods}"] {
        let failed = with_pod_logs(&server, pattern).run("bout", [JOB]);
        assert!(failed.failed_with(2).contains("`eks_log_stream` is"), "{failed}");
    }
}

#[story]
fn nodes_and_containers_of_all_sizes_count_for_a_job_that_can_never_run() {
    let mut sandbox = Sandbox::with_aws();
    sandbox.run("blocal", ["stop"]).ok();
    sandbox.run("blocal", ["start", "--vcpus", "8"]).ok();
    sandbox.use_local_exports();
    let side = container("side", "image", json!({"essential": false}));
    register(&sandbox, "three", json!({"containers": [container("main", "image", json!({})), side]}));
    let three =
        |words: &[&str]| sandbox.run("bsub", [words, &["--job-definition", "three", "true"]].concat());
    let refused = three(&["--strict", "-p", "8"]);
    assert!(refused.failed_with(2).contains("it needs 9 vCPUs (its containers together)"), "{refused}");
    assert!(refused.hints().contains("at most `bsub --vcpus 7 …`"), "{refused}");
    assert_eq!(three(&["--strict", "--dry-run", "-p", "7"]).ok().stderr, "");
    let refused = three(&["--strict", "--container", "side", "-p", "8"]);
    assert!(refused.failed_with(2).contains("it needs 9 vCPUs"), "{refused}");
    // A job that waits for ever says the same.
    let id = three(&["--parsable", "-p", "8"]).ok().job_id();
    let why = eventually("the job is RUNNABLE", Duration::from_secs(60), || {
        let why = sandbox.run("bstat", ["--why", &id]).ok().stdout;
        why.contains("RUNNABLE").then_some(why)
    });
    assert!(why.contains("9 vCPUs") && why.contains("at most `bsub --vcpus 7 …`"), "{why}");
    sandbox.run("bkill", [&id]).ok();

    // The GPUs of a job definition count without an option, too.
    let sizes = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}, {"type": "GPU", "value": "16"}]);
    let main = container("main", "image", json!({"resourceRequirements": sizes}));
    register(&sandbox, "gpus", json!({"containers": [main]}));
    let refused = sandbox.run("bsub", ["--strict", "--job-definition", "gpus", "true"]);
    assert!(refused.failed_with(2).contains("16 GPUs"), "{refused}");

    // Two nodes with 1 vCPU, and a larger one.
    let nodes = |group: &str| {
        sandbox.run("bsub", ["--strict", "--dry-run", "-n", "2", "-p", "1", "--node-group", group, "true"])
    };
    assert!(!nodes("1,vcpus=6,memory=64M").ok().stderr.contains("never"));
    let refused = nodes("1,vcpus=7,memory=64M");
    let words = "it needs 9 vCPUs (3 nodes with up to 7 vCPUs each)";
    assert!(refused.code() == 2 && refused.stderr.contains(words), "{refused}");
}

#[story]
fn a_container_that_cannot_be_started_is_named() {
    let image = engine();
    let sandbox = Sandbox::with_aws();
    let task = |side: Value| {
        json!({"containers": [
        container("main", image, json!({"command": ["sh", "-c", "sleep 30"]})),
        container("side", "localhost:1/no-such-image", side)]})
    };
    register(&sandbox, "needs", task(json!({})));
    let failed = sandbox.run("bsub", ["-K", "--parsable", "--job-definition", "needs", "sleep", "30"]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert!(failed.stderr.contains("CannotPullContainerError"), "{failed}");
    let why = sandbox.run("bstat", ["--why", failed.stdout.trim()]).ok().stdout;
    assert!(why.contains("the image could not be pulled (localhost:1/no-such-image)"), "{why}");
    // The job can do without this one.
    register(&sandbox, "without", task(json!({"essential": false})));
    let ended = sandbox.run("bsub", ["-K", "--parsable", "--job-definition", "without", "true"]);
    let why = sandbox.run("bstat", ["--why", ended.stdout.trim()]).ok().stdout;
    assert!(why.contains("side") && why.contains("CannotPullContainerError"), "{ended} {why}");
}

#[story]
fn the_command_of_a_job_is_that_of_the_container_that_runs_it() {
    let sandbox = Sandbox::with_aws();
    let side = container("side", "image", json!({"essential": false}));
    let main = container("main", "image", json!({"command": ["serve", "files"]}));
    register(&sandbox, "served", json!({"containers": [main, side]}));
    // Nothing runs: the job waits for more GPUs than there are.
    let line =
        ["--parsable", "--job-definition", "served", "--container", "side", "-g", "16", "--array", "3,7"];
    let id = sandbox.run("bsub", [&line[..], &["work", "well"]].concat()).ok().job_id();
    let columns = sandbox.run("bstat", ["-o", "command", &id]).ok().stdout;
    assert!(columns.contains("work_well") && !columns.contains("serve"), "{columns}");
    let detail = sandbox.run("bstat", ["-d", &format!("{id}:1")]).ok().stdout;
    assert!(detail.contains(": work well\n") && detail.contains("task           : 7\n"), "{detail}");
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_job_that_runs_again_keeps_the_overrides_of_all_its_containers() {
    let sandbox = Sandbox::with_aws();
    let port = |value: &str| json!({"name": "PORT", "value": value});
    let extra = json!({
        "essential": false, "command": ["serve"],
        "environment": [{"name": "SAME", "value": "1"}, port("1")]});
    let side = container("side", "image", extra);
    register(&sandbox, "beside", json!({"containers": [side, container("main", "image", json!({}))]}));
    // Nothing runs: the job waits for more GPUs than there are.
    let overrides = json!({"taskProperties": [{"containers": [
        {"name": "side", "environment": [port("2")]},
        {"name": "main", "command": ["work"], "resourceRequirements": [{"type": "GPU", "value": "16"}]}]}]});
    let submit =
        ["batch", "submit-job", "--job-name", "j", "--job-queue", "local", "--job-definition", "beside"];
    let more = ["--ecs-properties-override", &overrides.to_string(), "--query", "jobId", "--output", "text"];
    let first = sandbox.run("aws", [&submit[..], &more].concat()).ok().stdout.trim().to_owned();
    let again = |id: &str, options: &[&str]| {
        let shown = sandbox.run("bsub", [&["--dry-run", "--rerun", id], options].concat()).ok().json();
        let request =
            shown.as_array().unwrap().iter().find(|shown| shown["operation"] == "SubmitJob").unwrap();
        request["request"]["ecsPropertiesOverride"]["taskProperties"][0]["containers"].clone()
    };
    let containers = again(&first, &["-m", "128", "-e", "A=1"]);
    assert_eq!(containers[0]["name"], "main", "{containers}");
    assert!(containers[0].to_string().contains("AWSB_SUBMISSION"), "{containers}");
    assert!(containers[0]["resourceRequirements"].to_string().contains("128"), "{containers}");
    // The values of the job definition are not repeated, and options are for the other container.
    assert_eq!(containers[1], json!({"name": "side", "environment": [port("2")]}), "{containers}");

    let second = sandbox.run("bsub", ["--parsable", "--rerun", &first]).ok().job_id();
    let described = ["batch", "describe-jobs", "--output", "json", "--jobs", &second];
    let job = sandbox.run("aws", described).ok().json()["jobs"][0].take();
    let side = &job["ecsProperties"]["taskProperties"][0]["containers"][0]["environment"];
    assert!(side.as_array().unwrap().contains(&port("2")), "{job}");
    // The job definition is still known when nobody can submit to it any more.
    sandbox.run("aws", ["batch", "deregister-job-definition", "--job-definition", "beside:1"]).ok();
    assert_eq!(again(&second, &[])[1], json!({"name": "side", "environment": [port("2")]}));
    sandbox.run("bkill", [&first, &second]).ok();
}

#[story]
fn a_job_that_runs_again_without_its_job_definition_has_a_note() {
    let definitions = |n: usize| format!("arn:aws:batch:eu-west-1:123456789012:job-definition/d:{n}");
    let port = |value: &str| json!([{"name": "PORT", "value": value}]);
    // The IDs of two jobs, and their job definitions.
    let ids = [JOB.to_owned(), JOB.replace("0f0e", "1f0e")];
    let jobs = ids.iter().enumerate().map(|(n, id)| {
        let containers = json!([
            {"name": "main", "command": ["work"]}, {"name": "side", "environment": port("1"), "essential": false}]);
        json!({
            "jobId": id, "jobName": "j", "jobQueue": "q", "jobDefinition": definitions(n + 1), "status": "FAILED",
            "startedAt": 1, "ecsProperties": {"taskProperties": [{"containers": containers}]}})
    });
    let jobs: Vec<Value> = jobs.collect();
    let with = |answer: Answer| {
        let jobs = jobs.clone();
        BadServer::start(move |request, _| match request.operation() {
            "describejobs" => Answer::json(json!({ "jobs": jobs })),
            "describejobdefinitions" => answer.clone(),
            _ => Answer::error(500, "ServerException", "not in this test"),
        })
    };
    let again = |server: &BadServer| far(server).run("bsub", ["--dry-run", "--rerun", &ids.join(",")]);
    let side = |shown: &Value, n: usize| {
        let containers = &shown[n]["request"]["ecsPropertiesOverride"]["taskProperties"][0]["containers"];
        containers.as_array().unwrap().get(1).cloned()
    };
    let all = Some(json!({"name": "side", "environment": port("1")}));

    // Both job definitions are in one call.
    let registered = |n: usize| {
        let containers = json!([{"name": "main", "image": "i"}, {"name": "side", "environment": port("1")}]);
        json!({
            "jobDefinitionName": "d", "revision": n, "type": "container", "jobDefinitionArn": definitions(n),
            "ecsProperties": {"taskProperties": [{"containers": containers}]}})
    };
    let server = with(Answer::json(json!({"jobDefinitions": [registered(1), registered(2)]})));
    let shown = again(&server).ok();
    assert_eq!((side(&shown.json(), 0), side(&shown.json(), 1), &*shown.stderr), (None, None, ""));
    let asked = last(&server, "describejobdefinitions");
    assert_eq!(asked["jobDefinitions"], json!([definitions(1), definitions(2)]));
    assert_eq!(server.requests("describejobdefinitions").len(), 1);

    // One of them is gone.
    let shown = again(&with(Answer::json(json!({"jobDefinitions": [registered(1)]})))).ok();
    assert_eq!((side(&shown.json(), 0), side(&shown.json(), 1)), (None, all.clone()), "{shown}");
    let [note] = &shown.stderr.lines().collect::<Vec<_>>()[..] else { panic!("one note: {shown}") };
    assert!(note.contains("job-definition/d:2 was not read") && note.contains("any more"), "{shown}");

    // Nobody may read them. Another failure is not a missing permission.
    let denied = Answer::error(403, "AccessDeniedException", "User: u is not authorized to perform: x");
    let shown = again(&with(denied)).ok();
    assert_eq!((side(&shown.json(), 0), side(&shown.json(), 1)), (all.clone(), all), "{shown}");
    assert!(shown.stderr.contains("job-definition/d:1 was not read"), "{shown}");
    assert!(shown.stderr.contains("not authorized"), "{shown}");
    let failed = again(&with(Answer::error(400, "ClientException", "no such thing")));
    assert!(failed.failed_with(1).contains("asking for 2 job definitions"), "{failed}");
}

#[story]
fn the_example_of_several_containers() {
    let image = engine();
    let mut sandbox = Sandbox::with_aws();
    sandbox.run("blocal", ["stop"]).ok();
    sandbox.run("blocal", ["start", "--vcpus", "3"]).ok();
    sandbox.use_local_exports();
    let example = include_str!("../../examples/several-containers.json");
    let file = sandbox.file("several-containers.json", example.replace("busybox:stable", image));
    let input = format!("file://{}", file.display());
    sandbox.run("aws", ["batch", "register-job-definition", "--cli-input-json", &input]).ok();
    let ask = "until wget -qO- http://localhost:8000/greeting 2>/dev/null; do sleep 0.05; done";
    let line = ["-I", "--job-definition", "several-containers", "--wrap", ask];
    assert_eq!(sandbox.run("bsub", line).ok().stdout, "main: hello from prepare\n");
}
