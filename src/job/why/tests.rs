//! Every finding, in the words that users see.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000_000_000;
const MINUTE: i64 = 60_000;

/// A job `j` that was submitted two minutes ago.
fn job(status: Status) -> Facts {
    let demand = Demand { vcpus: 4.0, memory_mib: 8192, gpus: 0 };
    Facts {
        now: NOW,
        job: JobFacts {
            id: "j".into(),
            name: "train".into(),
            status,
            created_at: Some(NOW - 2 * MINUTE),
            demand: Some(demand),
            image: Some("111122223333.dkr.ecr.eu-west-1.amazonaws.com/tools/train:7".into()),
            ..JobFacts::default()
        },
        ..Facts::default()
    }
}

/// A RUNNABLE job in the queue `q` with one environment `ce`.
fn runnable(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = job(Status::Runnable);
    facts.queue = Some(Queue { name: "q".into(), ..Queue::default() });
    facts.environments = vec![environment("ce")];
    change(&mut facts);
    facts
}

fn environment(name: &str) -> Environment {
    Environment {
        name: name.into(),
        max_vcpus: Some(16),
        desired_vcpus: Some(8),
        instance_types: vec!["c5".into(), "m5.xlarge".into()],
        cluster: Some(format!("{name}-cluster")),
        ..Environment::default()
    }
}

fn machine(id: &str, free: f64) -> Machine {
    Machine {
        id: id.into(),
        status: "ACTIVE".into(),
        connected: true,
        registered: Demand { vcpus: 8.0, memory_mib: 15_000, gpus: 0 },
        free: Demand { vcpus: free, memory_mib: 10_000, gpus: 0 },
    }
}

fn holder(id: &str, vcpus: f64) -> Holder {
    Holder { id: id.into(), name: "old".into(), vcpus, cluster: Some("ce-cluster".into()) }
}

fn says(reason: &str) -> Facts {
    runnable(|f| f.job.end.status_reason = Some(reason.into()))
}

fn other(id: &str, status: Status) -> JobFacts {
    JobFacts { id: id.into(), name: "align".into(), status, ..JobFacts::default() }
}

fn end(status_reason: &str, reason: &str, exit_code: Option<i32>) -> End {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    End { status_reason: text(status_reason), reason: text(reason), exit_code }
}

fn failed(status_reason: &str, reason: &str, exit_code: Option<i32>) -> Facts {
    let mut facts = job(Status::Failed);
    facts.job.end = end(status_reason, reason, exit_code);
    facts.job.started_at = exit_code.map(|_| NOW - 90_000);
    facts.job.stopped_at = Some(NOW - MINUTE);
    facts
}

const EXITED: &str = "Essential container in task exited";
const NOT_STARTED: &str = "Task failed to start";

fn array(status: Status, size: u32, failed: Vec<JobFacts>) -> Facts {
    let mut facts = job(status);
    facts.job.size = Some(size);
    let count = u32::try_from(failed.len()).unwrap_or(0);
    facts.parts.counts = vec![(Status::Succeeded, size - count), (Status::Failed, count)];
    facts.parts.failed = failed;
    facts
}

fn children(indices: std::ops::Range<u32>, end: &End) -> Vec<JobFacts> {
    indices.map(|i| JobFacts { end: end.clone(), ..other(&format!("j:{i}"), Status::Failed) }).collect()
}

/// What users see, case by case.
fn told(cases: &[(&str, Facts)]) -> String {
    let each = cases.iter().map(|(name, facts)| {
        let answer = Answer::of(facts);
        let codes: Vec<String> = answer.findings.iter().map(|f| format!("{:?}", f.code)).collect();
        format!("## {name} [{}]\n{}\n", codes.join(" "), answer.lines(str::to_owned).join("\n"))
    });
    each.collect::<Vec<_>>().join("\n")
}

fn waiting_cases() -> Vec<(&'static str, Facts)> {
    let with = |status: Status, change: &dyn Fn(&mut Facts)| {
        let mut facts = job(status);
        change(&mut facts);
        facts
    };
    let waits = |id: &str, status| Dependency { id: id.into(), job: Some(other(id, status)) };
    vec![
        ("submitted", job(Status::Submitted)),
        ("submitted long ago", with(Status::Submitted, &|f| f.job.created_at = Some(NOW - 60 * MINUTE))),
        (
            "dependencies",
            with(Status::Pending, &|f| {
                f.dependencies = vec![
                    waits("a", Status::Succeeded),
                    waits("b", Status::Running),
                    waits("c", Status::Runnable),
                    Dependency { id: "d".into(), job: None },
                ];
            }),
        ),
        ("one dependency", with(Status::Pending, &|f| f.dependencies = vec![waits("b", Status::Pending)])),
        (
            "a dependency failed",
            with(Status::Pending, &|f| {
                let mut a = other("a", Status::Failed);
                a.end = end(EXITED, "", Some(3));
                f.dependencies = vec![Dependency { id: "a".into(), job: Some(a) }];
            }),
        ),
        (
            "dependencies done",
            with(Status::Pending, &|f| f.dependencies = vec![waits("a", Status::Succeeded)]),
        ),
        ("starting", job(Status::Starting)),
        (
            "starting for long",
            with(Status::Starting, &|f| {
                f.job.created_at = Some(NOW - 20 * MINUTE);
                f.job.attempts_allowed = 3;
                f.job.attempts = vec![Attempt {
                    stopped_at: Some(NOW - 6 * MINUTE),
                    end: end("Host EC2 (instance i-0abc) terminated.", "", None),
                    ..Attempt::default()
                }];
            }),
        ),
        (
            "running",
            with(Status::Running, &|f| {
                f.job.started_at = Some(NOW - MINUTE);
                f.job.timeout = Some(3600);
                let lines = vec![(Some(NOW - 5000), "step 12".to_owned())];
                f.log = Some(LogTail { job_id: "j".into(), lines });
            }),
        ),
        (
            "running out of time",
            with(Status::Running, &|f| {
                f.job.started_at = Some(NOW - 70_000);
                f.job.timeout = Some(60);
                f.log = Some(LogTail::default());
            }),
        ),
        (
            "nodes running",
            with(Status::Running, &|f| {
                f.job.started_at = Some(NOW - MINUTE);
                f.job.nodes = Some(4);
                f.parts.counts = vec![(Status::Starting, 1), (Status::Running, 3)];
            }),
        ),
        ("succeeded", with(Status::Succeeded, &|f| f.job.stopped_at = Some(NOW - MINUTE))),
        (
            "succeeded at the second attempt",
            with(Status::Succeeded, &|f| f.job.attempts = vec![Attempt::default(); 2]),
        ),
        ("array succeeded", with(Status::Succeeded, &|f| f.job.size = Some(100))),
    ]
}

fn runnable_cases() -> Vec<(&'static str, Facts)> {
    let invalid = |why: &str| {
        runnable(|f| {
            f.environments[0].ready = Ready::Invalid(Some(why.into()));
        })
    };
    let types = || {
        let of = |name: &str, vcpus, gib: u64, gpus| InstanceType {
            name: name.into(),
            vcpus,
            memory_mib: gib * 1024,
            gpus,
        };
        Some(vec![
            of("c5.large", 2, 4, 0),
            of("c5.4xlarge", 16, 32, 0),
            of("m5.xlarge", 4, 16, 0),
            of("m5.8xlarge", 32, 128, 0),
            of("p3.2xlarge", 8, 61, 1),
        ])
    };
    let line = |jobs: Vec<String>| Some(Line { jobs, ..Line::default() });
    let hundred = || (0..100).map(|i| format!("k{i}")).collect::<Vec<_>>();
    vec![
        (
            "queue disabled",
            runnable(|f| {
                f.queue = Some(Queue { name: "q".into(), ready: Ready::Disabled, ..Queue::default() })
            }),
        ),
        (
            "queue invalid",
            runnable(|f| {
                let ready = Ready::Invalid(Some("CLIENT_ERROR - no compute environment".into()));
                f.queue = Some(Queue { name: "q".into(), ready, ..Queue::default() });
            }),
        ),
        (
            "queue is made",
            runnable(|f| {
                f.queue = Some(Queue {
                    name: "q".into(),
                    ready: Ready::Changing("CREATING".into(), None),
                    ..Queue::default()
                });
            }),
        ),
        ("environment disabled", runnable(|f| f.environments[0].ready = Ready::Disabled)),
        (
            "one of two environments disabled",
            runnable(|f| {
                f.environments[0].ready = Ready::Disabled;
                f.environments.push(environment("ce2"));
            }),
        ),
        (
            "environment invalid: service role",
            invalid(
                "CLIENT_ERROR - Not authorized to perform sts:AssumeRole (Service: AWSSecurityTokenService; Status Code: 403; Error Code: AccessDenied; Request ID: dc0e2d28)",
            ),
        ),
        (
            "environment invalid: spot role",
            invalid("CLIENT_ERROR - Parameter: SpotFleetRequestConfig.IamFleetRole is invalid."),
        ),
        ("environment invalid", invalid("CLIENT_ERROR - The security group 'sg-1' does not exist")),
        (
            "environment updating",
            runnable(|f| {
                f.environments[0].ready =
                    Ready::Changing("UPDATING".into(), Some("ComputeEnvironment Healthy".into()))
            }),
        ),
        (
            "more vCPUs than maxvCpus",
            runnable(|f| f.job.demand = Some(Demand { vcpus: 64.0, ..Demand::default() })),
        ),
        (
            "more vCPUs than any maxvCpus",
            runnable(|f| {
                f.job.demand = Some(Demand { vcpus: 64.0, ..Demand::default() });
                f.environments.push(Environment { max_vcpus: Some(32), ..environment("ce2") });
            }),
        ),
        (
            "all nodes together",
            runnable(|f| {
                f.job.nodes = Some(8);
                f.job.all_vcpus = Some(32.0);
            }),
        ),
        (
            "nodes on spot",
            runnable(|f| {
                f.job.nodes = Some(2);
                f.environments[0].kind = Kind::Spot;
            }),
        ),
        (
            "no type has the memory",
            runnable(|f| {
                f.instance_types = types();
                f.job.demand = Some(Demand { vcpus: 2.0, memory_mib: 32 * 1024, gpus: 0 });
            }),
        ),
        (
            "no type has a GPU",
            runnable(|f| {
                f.instance_types = types();
                f.job.demand = Some(Demand { vcpus: 2.0, memory_mib: 1024, gpus: 1 });
            }),
        ),
        (
            "no type has all at once",
            runnable(|f| {
                f.instance_types = types();
                f.environments[0].instance_types = vec!["m5".into(), "p3".into()];
                f.job.demand = Some(Demand { vcpus: 16.0, memory_mib: 1024, gpus: 1 });
            }),
        ),
        (
            "maxvCpus reached",
            runnable(|f| {
                f.holders = Some(Holders { jobs: vec![holder("a", 2.0), holder("b", 12.0)], more: false });
                f.line = line(vec!["j".into(), "k".into()]);
            }),
        ),
        (
            "maxvCpus reached, by whom is not known",
            runnable(|f| {
                f.environments[0].desired_vcpus = Some(16);
                f.unseen = vec![Unseen {
                    what: "the jobs that run".into(),
                    permission: Some("batch:ListJobs".into()),
                    why: String::new(),
                }];
            }),
        ),
        (
            "two environments full, by an array",
            runnable(|f| {
                f.environments.push(environment("ce2"));
                let array = Holder { cluster: None, ..holder("a", 30.0) };
                f.holders = Some(Holders { jobs: vec![array], more: true });
            }),
        ),
        (
            "no instance has joined",
            runnable(|f| {
                f.job.created_at = Some(NOW - 30 * MINUTE);
                f.environments[0].machines = Some(Vec::new());
            }),
        ),
        (
            "unmanaged without instances",
            runnable(|f| {
                f.environments[0] = Environment {
                    kind: Kind::Unmanaged,
                    max_vcpus: None,
                    desired_vcpus: None,
                    machines: Some(Vec::new()),
                    ..environment("ce")
                };
            }),
        ),
        (
            "unmanaged with small instances",
            runnable(|f| {
                f.job.demand = Some(Demand { vcpus: 4.0, memory_mib: 16_384, gpus: 0 });
                let machines = Some(vec![machine("i-1", 8.0)]);
                f.environments[0] = Environment {
                    kind: Kind::Unmanaged,
                    max_vcpus: None,
                    desired_vcpus: None,
                    machines,
                    ..environment("ce")
                };
            }),
        ),
        (
            "agents disconnected",
            runnable(|f| {
                f.environments[0].machines = Some(vec![Machine { connected: false, ..machine("i-1", 8.0) }]);
            }),
        ),
        (
            "instances full, more come",
            runnable(|f| f.environments[0].machines = Some(vec![machine("i-1", 1.0), machine("i-2", 2.0)])),
        ),
        ("an instance has room", runnable(|f| f.environments[0].machines = Some(vec![machine("i-1", 8.0)]))),
        ("scaling up", runnable(|_| ())),
        (
            "not scaling",
            runnable(|f| {
                f.job.created_at = Some(NOW - 30 * MINUTE);
                f.environments[0].desired_vcpus = Some(0);
            }),
        ),
        (
            "behind others",
            runnable(|f| {
                f.line = line(vec!["k".into(), "l".into(), "j".into()]);
                if let Some(line) = &mut f.line {
                    line.head = Some(JobFacts {
                        end: end(
                            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher",
                            "",
                            None,
                        ),
                        ..other("k", Status::Runnable)
                    });
                }
                if let Some(queue) = &mut f.queue {
                    queue.limits = vec![("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT".into(), 600)];
                    queue.ahead = vec!["urgent".into()];
                }
            }),
        ),
        (
            "beyond the first hundred, by shares",
            runnable(|f| {
                f.line = Some(Line {
                    jobs: hundred(),
                    before: Some(1234),
                    shares: vec![("blue".into(), 12.0), ("red".into(), 4.0)],
                    head: None,
                });
                f.job.share = Some("blue".into());
                if let Some(queue) = &mut f.queue {
                    queue.has_policy = true;
                }
            }),
        ),
        (
            "among the first hundred",
            runnable(|f| {
                let mut jobs = hundred();
                jobs[41] = "j".into();
                f.line = line(jobs);
            }),
        ),
        (
            "capacity",
            says(
                "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type [c5.xlarge]",
            ),
        ),
        (
            "max resource",
            says(
                "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU requirement of the job.",
            ),
        ),
        (
            "job resource",
            says(
                "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.",
            ),
        ),
        (
            "service role",
            says("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue."),
        ),
        (
            "unsupported",
            says(
                "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - Your compute environment associated with this job queue has an unsupported instance type configuration.",
            ),
        ),
        ("action required", says("ACTION_REQUIRED - CE(s) associated with the job queue are invalid.")),
        ("undetermined", says("UNDETERMINED - Batch job is blocked, root cause is undetermined.")),
        ("a new code", says("MISCONFIGURATION:MOON_PHASE - The moon is not right.")),
        ("other words", says("waiting for the tide")),
        (
            "retry",
            runnable(|f| {
                f.job.attempts_allowed = 3;
                f.job.attempts = vec![Attempt { end: end(EXITED, "", Some(1)), ..Attempt::default() }];
                f.job.end.status_reason = Some(EXITED.into());
            }),
        ),
        (
            "fargate",
            runnable(|f| {
                f.environments[0] =
                    Environment { kind: Kind::Fargate, desired_vcpus: None, ..environment("ce") }
            }),
        ),
        (
            "nothing could be seen",
            runnable(|f| {
                f.queue = None;
                f.environments.clear();
                f.unseen = vec![
                    Unseen {
                        what: "the queue q".into(),
                        permission: Some("batch:DescribeJobQueues".into()),
                        why: String::new(),
                    },
                    Unseen {
                        what: "the head of the queue q".into(),
                        permission: None,
                        why: "asking for the head of the queue: ClientException: no such thing".into(),
                    },
                ];
            }),
        ),
    ]
}

fn failed_cases() -> Vec<(&'static str, Facts)> {
    let pull = |words: &str| failed(NOT_STARTED, &format!("CannotPullContainerError: {words}"), None);
    let mut cases = vec![
        ("exit code", failed(EXITED, "", Some(3))),
        ("command not found", failed(EXITED, "", Some(127))),
        ("segmentation fault", failed(EXITED, "", Some(139))),
        (
            "out of memory",
            failed(EXITED, "OutOfMemoryError: Container killed due to memory usage", Some(137)),
        ),
        ("killed", failed(EXITED, "", Some(137))),
        ("spot", failed("Host EC2 (instance i-0123456789abcdef0) terminated.", "", None)),
        ("fargate spot", failed("Your Spot Task was interrupted.", "", None)),
        (
            "pull: missing",
            pull(
                "Error response from daemon: manifest for 111122223333.dkr.ecr.eu-west-1.amazonaws.com/tools/train:7 not found: manifest unknown: Requested image not found",
            ),
        ),
        (
            "pull: no way",
            pull(
                "inspect image has been retried 5 time(s): failed to resolve ref: dial tcp 52.95.1.1:443: i/o timeout",
            ),
        ),
        ("pull: no room", pull("failed to extract layer: no space left on device")),
        (
            "pull: platform",
            pull("image Manifest does not contain descriptor matching platform 'linux/amd64'"),
        ),
        ("pull: unclear", pull("context gone")),
        (
            "no shell",
            failed(
                NOT_STARTED,
                "CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec: \"/bin/sh\": stat /bin/sh: no such file or directory: unknown",
                Some(127),
            ),
        ),
        (
            "no program",
            failed(
                NOT_STARTED,
                "CannotStartContainerError: exec: \"blastn\": executable file not found in $PATH",
                Some(127),
            ),
        ),
        (
            "wrong CPU",
            failed(
                NOT_STARTED,
                "CannotStartContainerError: exec /usr/bin/python3: exec format error",
                Some(1),
            ),
        ),
        (
            "cannot start",
            failed(NOT_STARTED, "CannotStartContainerError: exec: \"./run\": permission denied", Some(126)),
        ),
        (
            "docker timeout",
            failed(
                NOT_STARTED,
                "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s",
                None,
            ),
        ),
        (
            "secrets",
            failed(
                NOT_STARTED,
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed",
                None,
            ),
        ),
        (
            "efs",
            failed(
                NOT_STARTED,
                "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes",
                None,
            ),
        ),
        ("network", failed(NOT_STARTED, "ResourceInitializationError: something else", None)),
        (
            "logs",
            failed(
                NOT_STARTED,
                "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log stream: AccessDeniedException",
                None,
            ),
        ),
        ("overrides", failed("Container Overrides length must be at most 8192", "", None)),
        ("timeout", {
            let mut f = failed("Job attempt duration exceeded timeout", "", Some(137));
            f.job.timeout = Some(3600);
            f
        }),
        ("ended by a user", {
            let mut f = failed("Ended with bkill", "", Some(143));
            f.job.ended_by_user = true;
            f
        }),
        (
            "time limit action",
            failed(
                "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
                "",
                None,
            ),
        ),
        ("other words", failed("EKS is not at home", "", None)),
        ("no words", failed("", "", None)),
    ];
    let with = |mut facts: Facts, change: &dyn Fn(&mut Facts)| {
        change(&mut facts);
        facts
    };
    let log = |lines: &[&str]| {
        Some(LogTail { job_id: "j".into(), lines: lines.iter().map(|l| (None, (*l).to_owned())).collect() })
    };
    cases.extend([
        ("with output", with(failed(EXITED, "", Some(3)), &|f| f.log = log(&["reading", "no such sample"]))),
        (
            "told in the output alone",
            with(failed(EXITED, "", Some(255)), &|f| f.log = log(&["exec /bin/tool: exec format error"])),
        ),
        (
            "disk full",
            with(failed(EXITED, "", Some(1)), &|f| f.log = log(&["write: No space left on device"])),
        ),
        (
            "attempts alike",
            with(failed(EXITED, "", Some(1)), &|f| {
                f.job.attempts = vec![Attempt { end: end(EXITED, "", Some(1)), ..Attempt::default() }; 3]
            }),
        ),
        (
            "attempts that differ",
            with(failed(EXITED, "", Some(1)), &|f| {
                let attempt = |end| Attempt { end, ..Attempt::default() };
                f.job.attempts = vec![
                    attempt(end("Host EC2 (instance i-1) terminated.", "", None)),
                    attempt(end(EXITED, "OutOfMemoryError: Container killed due to memory usage", Some(137))),
                    attempt(end(EXITED, "", Some(1))),
                ];
            }),
        ),
        (
            "dependency",
            with(failed("Dependent Job failed", "", None), &|f| {
                f.chain = vec![JobFacts { end: end(EXITED, "", Some(3)), ..other("a", Status::Failed) }]
            }),
        ),
        (
            "dependencies",
            with(failed("Dependent Job failed", "", None), &|f| {
                let link = |id: &str| JobFacts {
                    end: end("Dependent Job failed", "", None),
                    ..other(id, Status::Failed)
                };
                f.chain = vec![
                    link("c"),
                    link("b"),
                    JobFacts { end: end(EXITED, "", Some(3)), ..other("a", Status::Failed) },
                ];
            }),
        ),
        ("dependency forgotten", failed("Dependent Job failed", "", None)),
    ]);
    cases
}

fn parts_cases() -> Vec<(&'static str, Facts)> {
    let exit = |code| end(EXITED, "", Some(code));
    let memory = end(EXITED, "OutOfMemoryError: Container killed due to memory usage", Some(137));
    let mixed = || [children(0..3, &memory), children(5..17, &exit(1)), children(40..41, &exit(2))].concat();
    let mut waiting = array(Status::Pending, 100, children(3..5, &exit(1)));
    waiting.parts.counts = vec![(Status::Runnable, 60), (Status::Running, 38), (Status::Failed, 2)];
    waiting.parts.first_waiting = Some(Box::new(runnable(|f| {
        f.job.id = "j:41".into();
        f.environments[0].ready = Ready::Disabled;
        f.job.end.status_reason = Some("waiting for the tide".into());
    })));
    let mut before = array(Status::Pending, 100, Vec::new());
    before.parts.counts = vec![(Status::Pending, 100)];
    before.dependencies = vec![Dependency { id: "a".into(), job: Some(other("a", Status::Running)) }];
    let mut nodes = failed(EXITED, "", Some(3));
    nodes.job.nodes = Some(4);
    nodes.parts.counts = vec![(Status::Failed, 3), (Status::Succeeded, 1)];
    nodes.parts.failed = ["j#0", "j#1", "j#2"]
        .map(|id| JobFacts { end: exit(if id == "j#0" { 3 } else { 143 }), ..other(id, Status::Failed) })
        .to_vec();
    let mut sequential = array(
        Status::Failed,
        10,
        [children(0..1, &exit(9)), children(1..10, &end("Dependent Job failed", "", None))].concat(),
    );
    sequential.job.stopped_at = Some(NOW - MINUTE);
    let mut followed = array(Status::Failed, 10, children(0..10, &end("Dependent Job failed", "", None)));
    followed.chain = vec![JobFacts { end: exit(3), ..other("a", Status::Failed) }];
    let mut ended = array(Status::Failed, 10, children(0..10, &end("Ended with bkill", "", Some(143))));
    ended.job.ended_by_user = true;
    ended.job.end.status_reason = Some("Ended with bkill".into());
    vec![
        ("children fail alike", array(Status::Failed, 100, children(5..17, &exit(3)))),
        ("one child failed", array(Status::Failed, 2, children(1..2, &exit(3)))),
        ("children fail in several ways", array(Status::Failed, 100, mixed())),
        ("children wait", waiting),
        ("an array waits for another job", before),
        ("children are made", array(Status::Pending, 0, Vec::new())),
        ("one after the other", sequential),
        ("an array whose dependency failed", followed),
        ("an array that was ended", ended),
        ("nodes failed", nodes),
    ]
}

#[test]
fn waiting_in_words() {
    insta::assert_snapshot!(told(&waiting_cases()));
}

#[test]
fn runnable_in_words() {
    insta::assert_snapshot!(told(&runnable_cases()));
}

#[test]
fn failed_in_words() {
    insta::assert_snapshot!(told(&failed_cases()));
}

#[test]
fn arrays_and_nodes_in_words() {
    insta::assert_snapshot!(told(&parts_cases()));
}

/// The code of a finding as `--json` has it.
fn word(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[test]
fn every_code_is_seen_here_and_told_on_the_page() {
    let cases = [waiting_cases(), runnable_cases(), failed_cases(), parts_cases()].concat();
    let seen: BTreeSet<String> = cases
        .iter()
        .flat_map(|(_, facts)| Answer::of(facts).findings)
        .map(|finding| word(finding.code))
        .collect();
    let page = include_str!("../../../docs/why.md");
    let on_page = |code: &str| page.contains(&format!("`{code}`"));
    let listed = page.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        line.split('|')
            .nth(1)
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    assert_eq!(seen.iter().filter(|code| !on_page(code)).collect::<Vec<_>>(), Vec::<&String>::new());
    let listed: BTreeSet<String> = listed.collect();
    assert_eq!(
        listed.difference(&seen).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "on the page, and in no case"
    );
}

#[test]
fn control_characters_of_others_do_nothing() {
    let mut facts = failed("\u{1b}[2Jgone\r\nwhat to do: rm -rf /", "", None);
    facts.log = Some(LogTail { job_id: "j".into(), lines: vec![(Some(1), "a\u{1b}[31mb\tc".into())] });
    let answer = Answer::of(&facts);
    let blank = |text: &str| text.replace(|c: char| c.is_control(), " ");
    let lines = answer.lines(blank);
    assert!(lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
    assert_eq!(answer.lines(str::to_owned)[2], "    a\u{1b}[31mb\tc", "the output is exact in a pipe");
    assert!(!lines.iter().any(|line| line.starts_with("what to do: rm")));
    assert_eq!(answer.json()["logTail"][0]["message"], "a\u{1b}[31mb\tc");
}

#[test]
fn a_code_is_no_beginning_of_another() {
    assert_eq!(blocked::code("UNDETERMINED"), Some((Code::Undetermined, "UNDETERMINED")));
    assert_eq!(blocked::code("UNDETERMINED_BY_US - x"), None);
    assert_eq!(blocked::code("ACTION_REQUIRED - CE(s)").map(|c| c.0), Some(Code::ActionRequired));
    assert_eq!(blocked::code("CAPACITY:NEW - x"), Some((Code::Blocked, "CAPACITY:NEW")));
    assert_eq!(blocked::code("no capacity: none"), None);
}

#[test]
fn codes_of_blocked_queues() {
    for (reason, code) in [
        (
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for \
             instance type [x]",
            Some("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
        ),
        (
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is \
             higher than that can be met",
            Some("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        ),
        ("UNDETERMINED - Batch job is blocked, root cause is undetermined.", Some("UNDETERMINED")),
        ("Host EC2 (instance i-0) terminated.", None),
        ("OutOfMemoryError: Container killed due to memory usage", None),
        ("CAPACITY: words", Some("CAPACITY")),
        ("", None),
    ] {
        assert_eq!(blocking_code(reason), code, "{reason}");
    }
}

#[test]
fn types_that_an_environment_may_start() {
    let of = |types: &[&str]| patterns(&types.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    assert_eq!(of(&["c5", "c5.large", "c5"]), ["c5.*", "c5.large"]);
    assert_eq!(of(&["default_arm64"]), ["c6g.*", "c7g.*", "m6g.*", "r6g.*"]);
    assert!(of(&["optimal"]).contains(&"m5.*".to_owned()));
    let known = ["c5.large", "c5d.large", "c5n.large"]
        .map(|n| InstanceType { name: n.into(), ..InstanceType::default() });
    let environment = Environment { instance_types: vec!["c5".into()], ..Environment::default() };
    let names: Vec<&str> = types::allowed(&environment, &known).iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["c5.large"], "c5d is a family of its own");
}

fn statuses() -> impl Strategy<Value = Status> {
    prop::sample::select(Status::ALL.to_vec())
}

proptest! {
    /// Whatever AWS says, there is an answer, a line for each thing, and the JSON has it all.
    #[test]
    fn there_is_always_an_answer(
        status in statuses(),
        status_reason in prop::option::of(".{0,40}"),
        reason in prop::option::of("(CannotPullContainerError|exec: \"/bin/sh\"|OutOfMemory)?.{0,40}"),
        exit_code in prop::option::of(any::<i32>()),
        size in prop::option::of(1..5u32),
        nodes in prop::option::of(1..5u32),
        times in prop::array::uniform3(prop::option::of(any::<i32>().prop_map(i64::from))),
        vcpus in 0.0..1e9f64,
        max in prop::option::of(any::<u32>()),
        by_user in any::<bool>(),
    ) {
        let mut facts = runnable(|f| f.environments[0].max_vcpus = max);
        facts.job.status = status;
        facts.job.end = End { status_reason, reason, exit_code };
        (facts.job.size, facts.job.nodes) = (size, nodes.filter(|_| size.is_none()));
        [facts.job.created_at, facts.job.started_at, facts.job.stopped_at] = times;
        facts.job.demand = Some(Demand { vcpus, ..Demand::default() });
        facts.job.ended_by_user = by_user;
        facts.parts.failed = children(0..size.unwrap_or(0), &facts.job.end);
        let answer = Answer::of(&facts);
        prop_assert!(!answer.findings.is_empty());
        let lines = answer.lines(str::to_owned);
        prop_assert!(lines.iter().all(|line| !line.contains('\n')));
        prop_assert_eq!(answer.json()["findings"].as_array().map(Vec::len), Some(answer.findings.len()));
    }
}
