//! `bexec` with answers as AWS gives them, and a program in the place of Amazon's plugin. The
//! sessions of the local cluster are in `tests/local/exec.rs`.

use std::sync::{Arc, Mutex};

use awsb_testkit::shells::executable;
use awsb_testkit::{Answer, BadServer, Outcome, Request, Sandbox, story};
use serde_json::{Value, json};

const ID: &str = "11111111-1111-4111-8111-111111111111";
const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/AWSBatch-c-1/0123456789abcdef0123456789abcdef";

/// An account of AWS with one job.
struct World {
    /// The job, as DescribeJobs shows it.
    job: Value,
    /// The answer to ExecuteCommand.
    opened: Answer,
    /// The state of the agent in the containers, if there is one.
    agent: Option<&'static str>,
}

fn job(container: Value) -> Value {
    json!({
        "jobId": ID, "jobName": "train", "status": "RUNNING", "createdAt": 1_577_880_000_000_i64,
        "startedAt": 1_577_880_060_000_i64,
        "jobArn": format!("arn:aws:batch:eu-west-1:123456789012:job/{ID}"),
        "jobQueue": "arn:aws:batch:eu-west-1:123456789012:job-queue/q",
        "jobDefinition": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:7",
        "dependsOn": [], "attempts": [], "container": container,
    })
}

impl World {
    /// Where everything is as it should be.
    fn new() -> Self {
        let container = json!({
            "taskArn": TASK, "enableExecuteCommand": true,
            "jobRoleArn": "arn:aws:iam::123456789012:role/lab",
        });
        let opened = json!({
            "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/AWSBatch-c-1",
            "containerArn": "arn:aws:ecs:eu-west-1:123456789012:container/x",
            "containerName": "default", "interactive": true, "taskArn": TASK,
            "session": {
                "sessionId": "ecs-execute-command-0f", "tokenValue": "TOKEN",
                "streamUrl": "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/ecs-execute-command-0f?role=publish_subscribe",
            },
        });
        Self { job: job(container), opened: Answer::json(opened), agent: Some("RUNNING") }
    }

    fn answer(&self, request: &Request) -> Answer {
        let target =
            request.header("x-amz-target").unwrap_or_default().rsplit('.').next().unwrap_or_default();
        let agents: Vec<Value> = self
            .agent
            .iter()
            .map(|status| json!({"name": "ExecuteCommandAgent", "lastStatus": status}))
            .collect();
        match (request.operation(), target) {
            ("describejobs", _) => Answer::json(json!({"jobs": [self.job]})),
            ("ecs", "DescribeTasks") => Answer::json(json!({"failures": [], "tasks": [{
                "taskArn": TASK, "lastStatus": "RUNNING", "enableExecuteCommand": true,
                "containers": [
                    {"name": "default", "runtimeId": "feed-42", "managedAgents": agents},
                    {"name": "sidecar", "runtimeId": "feed-43", "managedAgents": []},
                ],
            }]})),
            ("ecs", "ExecuteCommand") => self.opened.clone(),
            ("ssm", "StartSession") => Answer::json(json!({
                "SessionId": "me-0f", "TokenValue": "TOKEN",
                "StreamUrl": "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/me-0f",
            })),
            _ => Answer::error(400, "UnknownOperationException", "not here"),
        }
    }
}

/// A sandbox in this world, and the commands that ECS was asked to run.
fn sandbox(world: World) -> (Sandbox, BadServer, Arc<Mutex<Vec<Value>>>) {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let server = BadServer::start(move |request, _| {
        let target = request.header("x-amz-target").unwrap_or_default();
        if target.ends_with(".ExecuteCommand") || target.ends_with(".StartSession") {
            seen.lock().unwrap().push(serde_json::from_slice(&request.body).unwrap());
        }
        world.answer(request)
    });
    let sandbox = Sandbox::at(&server.endpoint());
    (sandbox, server, asked)
}

/// Puts a program in the place of the plugin. It writes its arguments to a file, and then does as
/// the agent would: it runs the command, if `script` has the words for it.
fn plugin(sandbox: &mut Sandbox, script: &str) {
    let file = sandbox.file("bin/session-manager-plugin", "");
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$HOME/arguments\"\n{script}\n");
    executable(&file, &text).unwrap();
    let path = format!("{}:{}", file.parent().unwrap().display(), sandbox.get("PATH").unwrap());
    sandbox.set("PATH", path);
}

fn arguments(sandbox: &Sandbox) -> Vec<String> {
    let home = sandbox.get("HOME").unwrap();
    let text = std::fs::read_to_string(format!("{home}/arguments")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A session, as the plugin shows it: its own words, and the command as on a terminal.
const SESSION: &str = "printf '\\r\\nStarting session with SessionId: x\\r\\n'\n\
     sh -c \"$(cat \"$HOME/command\")\" 2>&1 | sed 's/$/\\r/'\n\
     printf '\\r\\n\\r\\nExiting session with sessionId: x.\\r\\n'";

/// Runs bexec twice: to learn the command that ECS is asked to run, and with a plugin that runs it.
fn with_plugin(world: World, words: &[&str]) -> (Sandbox, Outcome) {
    let (mut sandbox, _server, asked) = sandbox(world);
    // The command is not known before it is asked for; the mark in it is random. So the plugin
    // waits for the server to have seen it.
    plugin(&mut sandbox, &format!("while ! [ -s \"$HOME/command\" ]; do sleep 0.05; done\n{SESSION}"));
    let running = sandbox.start("bexec", [&[ID], words].concat());
    let line = awsb_testkit::eventually("the command", awsb_testkit::local::PATIENCE, || {
        asked.lock().unwrap().first().and_then(|body| Some(body["command"].as_str()?.to_owned()))
    });
    sandbox.file("../home/command", line);
    let outcome = running.wait();
    let body = asked.lock().unwrap()[0].clone();
    assert_eq!((&body["cluster"], &body["task"]), (&json!("AWSBatch-c-1"), &json!(TASK)));
    assert_eq!(body["interactive"], json!(true));
    (sandbox, outcome)
}

#[story]
fn a_command_runs_by_the_plugin_and_has_an_exit_code() {
    let script = "echo one; echo two >&2; printf 'no end'; exit 7";
    let (sandbox, outcome) = with_plugin(World::new(), &["sh", "-c", script]);
    let outcome = outcome.ended_with(7);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("one\ntwo\nno end", ""));
    let arguments = arguments(&sandbox);
    let session: Value = serde_json::from_str(&arguments[0]).unwrap();
    assert_eq!(
        (&session["sessionId"], &session["tokenValue"]),
        (&json!("ecs-execute-command-0f"), &json!("TOKEN"))
    );
    assert_eq!(arguments[1..4], ["eu-west-1", "StartSession", ""]);
    let target = "ecs:AWSBatch-c-1_0123456789abcdef0123456789abcdef_feed-42";
    assert_eq!(serde_json::from_str::<Value>(&arguments[4]).unwrap(), json!({"Target": target}));
    assert!(arguments[5].starts_with("http://127.0.0.1:"), "{arguments:?}");

    let (_, outcome) = with_plugin(World::new(), &["printf", "%s|", "a b", "it's"]);
    assert_eq!(outcome.ok().stdout, "a b|it's|");
}

#[story]
fn a_session_that_ends_early_and_a_shell() {
    let (mut sandbox, _server, asked) = sandbox(World::new());
    plugin(&mut sandbox, "echo 'SessionId: x : An error occurred'; exit 255");
    let lost = sandbox.run("bexec", [ID, "true"]).ended_with(125);
    assert!(lost.hints().contains("An error occurred"), "{lost}");
    // A shell has the plugin for itself.
    plugin(&mut sandbox, "cat; exit 3");
    let shell = sandbox.run_with_input("bexec", [ID], "typed\n").ended_with(3);
    assert_eq!(shell.stdout, "typed\n");
    let command = asked.lock().unwrap().last().unwrap()["command"].as_str().unwrap().to_owned();
    assert!(command.starts_with("/bin/sh -c ") && command.contains("exec bash"), "{command}");
}

#[story]
fn a_port_is_forwarded_by_the_plugin() {
    let (mut sandbox, _server, asked) = sandbox(World::new());
    plugin(&mut sandbox, "echo forwards");
    let forwarded = sandbox.run("bexec", ["--forward", "0:8888", "--container", "sidecar", ID]).ok();
    assert_eq!(forwarded.stdout, "forwards\n");
    let asked = asked.lock().unwrap()[0].clone();
    assert_eq!(asked["DocumentName"], "AWS-StartPortForwardingSession");
    assert_eq!(asked["Target"], "ecs:AWSBatch-c-1_0123456789abcdef0123456789abcdef_feed-43");
    assert_eq!(asked["Parameters"]["portNumber"], json!(["8888"]));
    let arguments = arguments(&sandbox);
    assert_eq!(serde_json::from_str::<Value>(&arguments[0]).unwrap()["SessionId"], "me-0f");
}

#[story]
fn what_is_missing_is_said() {
    let refusal = || {
        Answer::error(
            400,
            "InvalidParameterException",
            "The execute command failed because execute command was not enabled when the task was run or the \
             execute command agent isn't running. Wait and try again or run a new task with execute command \
             enabled and try again.",
        )
    };
    let hints = |world: World| {
        let (sandbox, _server, _) = sandbox(world);
        let failed = sandbox.run("bexec", [ID, "true"]).ended_with(1);
        assert!(failed.stderr.contains(&format!("running a command in the job {ID}")), "{failed}");
        failed.hints()
    };
    let task = |enabled: bool, role: &str| {
        job(json!({"taskArn": TASK, "enableExecuteCommand": enabled, "jobRoleArn": role}))
    };
    let world = World { job: task(false, ""), opened: refusal(), agent: None };
    assert!(hints(world).contains("`bsub --enable-exec`"));
    let world = World { job: task(true, ""), opened: refusal(), agent: None };
    assert!(hints(world).contains("no job role"));
    let world = World { opened: refusal(), agent: Some("PENDING"), ..World::new() };
    assert!(hints(world).contains("the agent in the container is PENDING"));
    let world = World { opened: refusal(), ..World::new() };
    assert!(hints(world).contains("ssmmessages"));

    // A refusal for another reason says nothing of ECS Exec.
    let other = Answer::error(400, "InvalidParameterException", "Commands have at most 8192 characters.");
    let world = World { job: task(false, ""), opened: other, agent: None };
    assert_eq!(hints(world), "");

    // The plugin, and permissions.
    let (sandbox_1, _server, _) = sandbox(World::new());
    let none = sandbox_1.run("bexec", [ID, "true"]).ended_with(1);
    assert!(none.stderr.contains("session-manager-plugin, which is not in PATH"), "{none}");
    let denied = Answer::error(
        400,
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/me is not authorized to perform: ecs:ExecuteCommand on resource: x",
    );
    let (sandbox_2, _server, _) = sandbox(World { opened: denied, ..World::new() });
    let none = sandbox_2.run("bexec", [ID, "true"]).ended_with(1);
    assert!(none.stderr.contains("ecs:ExecuteCommand"), "{none}");

    // A container that is not there, and those that are.
    let (sandbox_3, _server, _) = sandbox(World::new());
    let none = sandbox_3.run("bexec", ["--container", "x", ID, "true"]).ended_with(2);
    assert!(none.hints().contains("default or sidecar"), "{none}");

    // A job of EKS, and one whose task is not known.
    let mut eks = job(Value::Null);
    eks["eksProperties"] = json!({"podProperties": {
        "podName": "aws-batch.0f", "metadata": {"namespace": "lab"}, "containers": [], "initContainers": [],
    }});
    let (sandbox_4, _server, _) = sandbox(World { job: eks, ..World::new() });
    let none = sandbox_4.run("bexec", [ID, "true"]).ended_with(1);
    assert!(none.hints().contains("`kubectl exec -n lab -it aws-batch.0f -- sh`"), "{none}");
    let (sandbox_5, _server, _) = sandbox(World { job: job(json!({})), ..World::new() });
    let none = sandbox_5.run("bexec", [ID, "true"]).ended_with(1);
    assert!(none.stderr.contains("does not say in which task"), "{none}");

    // A stream of another machine without encryption gets no token.
    let elsewhere = Answer::json(json!({
        "containerName": "default",
        "session": {"sessionId": "x", "tokenValue": "TOKEN", "streamUrl": "http://192.0.2.1:80/awsb/session/x"},
    }));
    let (sandbox_6, _server, _) = sandbox(World { opened: elsewhere, ..World::new() });
    let none = sandbox_6.run("bexec", [ID, "true"]).ended_with(1);
    assert!(none.stderr.contains("which is not on this machine"), "{none}");
}

#[story]
fn a_job_that_could_not_be_ended_goes_on_and_this_is_said() {
    let pty = |answers: &'static [u16]| {
        let world = World::new();
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let server = BadServer::start(move |request, _| match request.operation() {
            "submitjob" => {
                Answer::json(json!({"jobId": ID, "jobName": "true", "jobArn": world.job["jobArn"]}))
            }
            "terminatejob" => {
                let mut asked = count.lock().unwrap();
                *asked += 1;
                match answers.get(*asked - 1).or(answers.last()) {
                    Some(200) => Answer::json(json!({})),
                    Some(status) => Answer::error(*status, "ClientException", "not now"),
                    None => unreachable!("there is one answer at least"),
                }
            }
            _ => world.answer(request),
        });
        let sandbox = Sandbox::at(&server.endpoint());
        // There is no plugin, so the command never runs.
        let outcome = sandbox.run("bsub", ["-I", "--pty", "true"]).ended_with(1);
        assert!(outcome.stderr.contains("session-manager-plugin"), "{outcome}");
        let asked = *asked.lock().unwrap();
        (outcome, asked)
    };
    let (refused, _) = pty(&[400]);
    let hints = refused.hints();
    assert!(hints.contains(&format!("the job {ID} may go on; `bkill {ID}` ends it")), "{refused}");
    assert!(!hints.contains("is being ended") && hints.contains("not now"), "{refused}");
    let (ended, asked) = pty(&[503, 503, 503, 503, 503, 200]);
    assert!(ended.hints().contains(&format!("the job {ID} is being ended")), "{ended}");
    assert_eq!(asked, 6);
}
