//! CodeBuild, ECR, S3 and CloudWatch Logs with a known truth: one build, which goes on by a step
//! each time that somebody looks at it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::Sandbox;
use crate::bad_server::{Answer, BadServer, Request};

/// The course of a build.
#[derive(Debug, Clone)]
pub struct Course {
    /// Its phases, the status with which each ends, and what is said of it.
    pub phases: Vec<(&'static str, &'static str, &'static str)>,
    /// How it ends.
    pub status: &'static str,
    /// Its log; each phase has the same part of it.
    pub lines: Vec<String>,
    /// The variables that buildspec.yml exports.
    pub exported: Vec<(&'static str, &'static str)>,
    /// It stays in this phase until it is stopped.
    pub stays_in: Option<&'static str>,
    /// The project's environment.
    pub environment: &'static str,
    /// The value of `logs`, where it names no stream.
    pub logs: Option<Value>,
    /// The instance types of the queue's compute environment; without any, nobody may look at the
    /// queue.
    pub instances: &'static [&'static str],
    /// The tags that the repository has, with their digests.
    pub images: Vec<(&'static str, &'static str)>,
}

/// A digest.
pub const DIGEST: &str = "sha256:9b2a28eb47540823042a2ba401386845089bb7b62a9637d55816132c4c3c36eb";

impl Default for Course {
    /// A build that goes well.
    fn default() -> Self {
        let phases =
            ["SUBMITTED", "QUEUED", "PROVISIONING", "PRE_BUILD", "BUILD", "POST_BUILD", "FINALIZING"];
        Self {
            phases: phases.map(|name| (name, "SUCCEEDED", "")).to_vec(),
            status: "SUCCEEDED",
            lines: (1..=7).map(|n| format!("line {n}\n")).collect(),
            exported: vec![("AWSB_URI", "r/n:t"), ("AWSB_DIGEST", DIGEST)],
            stays_in: None,
            environment: "LINUX_CONTAINER",
            instances: &["optimal"],
            logs: None,
            images: Vec::new(),
        }
    }
}

impl Course {
    /// A build whose step fails.
    pub fn failing() -> Self {
        let mut course = Self { status: "FAILED", exported: Vec::new(), ..Self::default() };
        course.phases.truncate(5);
        course.phases[4] = (
            "BUILD",
            "FAILED",
            "Error while executing command: (\n  set -euo pipefail\n  docker build .\n)\n. Reason: exit status 1",
        );
        course.lines = (1..=40).map(|n| format!("line {n}\n")).collect();
        course.lines.push("The command '/bin/sh -c exit 7' returned a non-zero code: 7\n".into());
        course
    }

    /// The same, with the commands of buildspec.yml in its log: CodeBuild logs each before it runs
    /// it and, when it has failed, twice more.
    pub fn failing_with_its_commands() -> Self {
        let mut course = Self::failing();
        let spec = include_str!("../../../buildspec.yml");
        let command = spec.split("      - |\n").nth(2).expect("the command of the phase BUILD");
        let command = command.lines().map_while(|line| line.strip_prefix("        "));
        let command = command.collect::<Vec<_>>().join("\n");
        let logged = |words: &str, end: &str| {
            let all = format!("[Container] 2026/01/02 03:04:05.678901 {words} {command}{end}");
            all.lines().map(|line| format!("{line}\n")).collect::<Vec<_>>()
        };
        course.lines.splice(0..0, logged("Running command", ""));
        course.lines.extend(logged("Command did not exit successfully", " exit status 1"));
        course
            .lines
            .push("[Container] 2026/01/02 03:04:05.678901 Phase complete: BUILD State: FAILED\n".into());
        course.lines.extend(logged(
            "Phase context status code: COMMAND_EXECUTION_ERROR Message: Error while executing command:",
            ". Reason: exit status 1",
        ));
        course
    }

    /// A push that is refused, and what docker says then.
    pub fn refused(message: &str) -> Self {
        let mut course = Self { status: "FAILED", exported: Vec::new(), ..Self::default() };
        let (phases, lines) = (&mut course.phases, &mut course.lines);
        phases.truncate(6);
        phases[5] = ("POST_BUILD", "FAILED", "Error while executing command: (\n). Reason: exit status 1");
        let spec = include_str!("../../../buildspec.yml");
        let command = spec.split("      - |\n").nth(3).expect("the first command of the phase POST_BUILD");
        let command =
            command.lines().map(|line| format!("{}\n", line.strip_prefix("        ").unwrap_or(line)));
        lines.push("[Container] 2026/01/02 03:04:05.678901 Running command (\n".into());
        lines.extend(command.clone().skip(1));
        lines.push(format!("{message}\n"));
        lines.push("awsb: error: r/n:t could not be pushed\n".into());
        lines.push("[Container] 2026/01/02 03:04:05.678901 Command did not exit successfully (\n".into());
        lines.extend(command.skip(1));
        course
    }
}

#[derive(Debug)]
struct World {
    course: Course,
    /// By their tokens.
    builds: HashMap<String, String>,
    looks: usize,
    stopped: bool,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct BuildServer {
    world: Arc<Mutex<World>>,
    server: BadServer,
}

/// Answers in place of the server, to an operation and how many of the same came before; `Lost` has
/// it do what it was asked, and keeps the answer back.
pub enum Intervention {
    /// Nothing.
    None,
    /// This answer, and nothing is done.
    Answer(Answer),
    /// The request is carried out, and the connection reset.
    Lost,
}

impl BuildServer {
    /// The UUID of the first build; the next ones count on.
    pub const UUID: &str = "00000000-0000-4000-8000-000000000001";

    /// A build that takes this course.
    pub fn start(course: Course) -> Self {
        Self::disturbed(course, |_, _| Intervention::None)
    }

    /// The same, with trouble.
    pub fn disturbed(
        course: Course,
        intervene: impl Fn(&str, usize) -> Intervention + Send + Sync + 'static,
    ) -> Self {
        let world = World { course, builds: HashMap::new(), looks: 0, stopped: false };
        let world = Arc::new(Mutex::new(world));
        let (answering, counts) = (Arc::clone(&world), Mutex::new(HashMap::<String, usize>::new()));
        let server = BadServer::start(move |request, _| {
            let operation = operation(request);
            let before = {
                let mut counts = counts.lock().expect("no thread panicked with it");
                let count = counts.entry(operation.clone()).or_default();
                *count += 1;
                *count - 1
            };
            let mut world = answering.lock().expect("no thread panicked with it");
            match intervene(&operation, before) {
                Intervention::Answer(answer) => answer,
                Intervention::None => world.answer(&operation, request),
                Intervention::Lost => {
                    world.answer(&operation, request);
                    Answer::Reset
                }
            }
        });
        Self { world, server }
    }

    /// The address.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// A sandbox whose cluster `far` is here, with a project and a repository, and a folder
    /// `context` to build.
    pub fn sandbox(&self) -> Sandbox {
        self.sandbox_with("codebuild_project = \"images\"\necr_repository = \"lab/genomics\"\n")
    }

    /// The same, with these settings.
    pub fn sandbox_with(&self, settings: &str) -> Sandbox {
        let sandbox = Sandbox::at(&self.endpoint());
        sandbox.config(&format!(
            "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n\
             bucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n{settings}",
            self.endpoint()
        ));
        sandbox.file("context/Dockerfile", "FROM scratch\nCOPY x /x\n");
        sandbox.file("context/x", "x\n");
        sandbox
    }

    /// How many builds there are.
    pub fn builds(&self) -> usize {
        self.world.lock().expect("no thread panicked with it").builds.len()
    }

    /// How often the build was looked at.
    pub fn looks(&self) -> usize {
        self.world.lock().expect("no thread panicked with it").looks
    }

    /// Whether the build was stopped.
    pub fn was_stopped(&self) -> bool {
        self.world.lock().expect("no thread panicked with it").stopped
    }

    /// The bodies of the requests for an operation.
    pub fn requests(&self, wanted: &str) -> Vec<Value> {
        let services = ["codebuild", "ecr", "logs", "s3"];
        let all = services.iter().flat_map(|service| self.server.requests(service));
        all.filter(|request| operation(request) == wanted)
            .map(|request| serde_json::from_slice(&request.body).unwrap_or(Value::Null))
            .collect()
    }
}

/// `StartBuild`, `DescribeImages`, `GetLogEvents`, …; of Batch and S3 the method.
fn operation(request: &Request) -> String {
    match request.header("x-amz-target").and_then(|target| target.split('.').next_back()) {
        Some(operation) => operation.to_owned(),
        None => request.method.clone(),
    }
}

impl World {
    fn answer(&mut self, operation: &str, request: &Request) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        match operation {
            "HEAD" => Answer::Http(404, String::new(), Vec::new()),
            "PUT" => Answer::stored(),
            "POST" => self.batch(request, &body),
            "DescribeRepositories" => Answer::json(json!({ "repositories": [{
                "repositoryName": body["repositoryNames"][0],
                "repositoryUri": format!(
                    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/{}",
                    body["repositoryNames"][0].as_str().unwrap_or_default()
                ),
            }] })),
            "DescribeImages" => self.images(&body),
            "BatchGetProjects" => Answer::json(json!({ "projects": [{
                "name": body["names"][0],
                "environment": {
                    "type": self.course.environment, "image": "x", "computeType": "BUILD_GENERAL1_SMALL"
                },
            }] })),
            "StartBuild" => {
                let token = body["idempotencyToken"].as_str().unwrap_or_default().to_owned();
                let next = self.builds.len() + 1;
                let project = body["projectName"].as_str().unwrap_or_default();
                let id = self
                    .builds
                    .entry(token)
                    .or_insert_with(|| format!("{project}:00000000-0000-4000-8000-{next:012}"));
                let id = id.clone();
                Answer::json(json!({ "build": self.build(&id, 0) }))
            }
            "BatchGetBuilds" => {
                self.looks += 1;
                let id = body["ids"][0].as_str().unwrap_or_default();
                if !id.ends_with(BuildServer::UUID) && !self.builds.values().any(|known| known == id) {
                    return Answer::json(json!({ "builds": [], "buildsNotFound": [id] }));
                }
                Answer::json(json!({ "builds": [self.build(id, self.looks)] }))
            }
            "StopBuild" => {
                self.stopped = true;
                Answer::json(
                    json!({ "build": self.build(body["id"].as_str().unwrap_or_default(), self.looks) }),
                )
            }
            "ListBuildsForProject" => {
                Answer::json(json!({ "ids": [format!("images:{}", BuildServer::UUID)] }))
            }
            "GetLogEvents" => self.lines(&body),
            _ => Answer::error(400, "UnknownOperationException", operation),
        }
    }

    fn batch(&self, request: &Request, body: &Value) -> Answer {
        match request.target.as_str() {
            "/v1/describejobqueues" | "/v1/describecomputeenvironments"
                if self.course.instances.is_empty() =>
            {
                Answer::error(403, "AccessDeniedException", "not allowed")
            }
            "/v1/describejobqueues" => Answer::json(json!({ "jobQueues": [{
                "jobQueueName": body["jobQueues"][0],
                "computeEnvironmentOrder": [{ "order": 1, "computeEnvironment": "machines" }],
            }] })),
            "/v1/describecomputeenvironments" => Answer::json(json!({ "computeEnvironments": [{
                "computeEnvironmentName": "machines",
                "computeResources": { "type": "EC2", "instanceTypes": self.course.instances },
            }] })),
            other => Answer::error(400, "UnknownOperationException", other),
        }
    }

    fn images(&self, body: &Value) -> Answer {
        let tag = body["imageIds"][0]["imageTag"].as_str().unwrap_or_default();
        let found = self.course.images.iter().find(|(of, _)| *of == tag || *of == "*");
        match found {
            Some((_, digest)) => {
                Answer::json(json!({ "imageDetails": [{ "imageDigest": digest, "imageTags": [tag] }] }))
            }
            None => Answer::error(400, "ImageNotFoundException", "The image does not exist"),
        }
    }

    /// How far it is after so many looks: phases that have ended.
    fn step(&self, looks: usize) -> usize {
        let all = &self.course.phases;
        let held = self.course.stays_in.and_then(|name| all.iter().position(|(phase, ..)| *phase == name));
        looks.min(held.unwrap_or(all.len()))
    }

    fn build(&self, id: &str, looks: usize) -> Value {
        let step = self.step(looks);
        let phase = |(n, (name, status, message)): (usize, &(&str, &str, &str))| {
            let mut phase = json!({ "phaseType": name, "startTime": 1_700_000_000 + n });
            if n < step {
                phase["phaseStatus"] = json!(status);
                phase["durationInSeconds"] = json!(n);
                phase["endTime"] = json!(1_700_000_001 + n);
                if !message.is_empty() {
                    phase["contexts"] =
                        json!([{ "statusCode": "COMMAND_EXECUTION_ERROR", "message": message }]);
                }
            }
            phase
        };
        let has_ended = step == self.course.phases.len();
        let status = match (self.stopped, has_ended) {
            (true, _) => "STOPPED",
            (_, true) => self.course.status,
            _ => "IN_PROGRESS",
        };
        let mut logs = self.course.logs.clone().unwrap_or_else(|| {
            json!({
                "groupName": "/aws/codebuild/images",
                "streamName": id.rsplit(':').next(),
                "deepLink": "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:x",
                "cloudWatchLogs": { "status": "ENABLED" },
            })
        });
        if step < 2 && self.course.logs.is_none() {
            logs = json!({ "cloudWatchLogs": { "status": "ENABLED" } });
        }
        let exported = self.course.exported.iter().filter(|_| has_ended);
        json!({
            "id": id,
            "projectName": "images",
            "buildStatus": status,
            "buildComplete": status != "IN_PROGRESS",
            "currentPhase": self.course.phases.get(step).map_or("COMPLETED", |phase| phase.0),
            "timeoutInMinutes": 60,
            "logs": logs,
            "phases": self.course.phases.iter().enumerate().take(step + 1).map(phase).collect::<Vec<_>>(),
            "exportedEnvironmentVariables": exported
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect::<Vec<_>>(),
        })
    }

    /// As many lines as the steps so far have printed.
    fn lines(&self, body: &Value) -> Answer {
        let all = self.course.lines.len();
        let there = all * self.step(self.looks) / self.course.phases.len();
        let token = body["nextToken"].as_str().and_then(|token| token.strip_prefix("f/"));
        let from = token.and_then(|n| n.parse().ok()).unwrap_or(0).min(there);
        let line = |(n, line): (usize, &String)| json!({ "timestamp": 1_700_000_000_000_u64 + n as u64, "message": line });
        let lines: Vec<Value> =
            self.course.lines.iter().enumerate().take(there).skip(from).map(line).collect();
        Answer::json(json!({
            "events": lines,
            "nextForwardToken": format!("f/{there}"),
            "nextBackwardToken": format!("b/{from}"),
        }))
    }
}
