//! The evidence of every case.

use super::*;
use awsb_model::TaskIds;
use awsb_model::{Demand, InstanceType};

pub fn waiting_cases() -> Vec<(&'static str, Evidence)> {
    let with = |status: Status, change: &dyn Fn(&mut Evidence)| {
        let mut evidence = job(status);
        change(&mut evidence);
        evidence
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
            "starting as a process",
            with(Status::Starting, &|f| {
                f.job.is_process = true;
                f.job.image = Some("host".into());
            }),
        ),
        (
            "starting as a process for long",
            with(Status::Starting, &|f| {
                f.job.is_process = true;
                f.job.created_at = Some(NOW - 6 * MINUTE);
            }),
        ),
        (
            "running",
            with(Status::Running, &|f| {
                f.job.started_at = Some(NOW - MINUTE);
                f.job.timeout = Some(3600);
                let lines = vec![(Some(NOW - 5000), "step 12".to_owned())];
                f.log = Some(LogTail { job_id: "j".into(), lines, ..LogTail::default() });
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
            "running, and asked to end",
            with(Status::Running, &|f| {
                f.job.started_at = Some(NOW - 70_000);
                f.job.ended_by_user = true;
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

fn supply(name: &str, total: u64, in_use: u64, is_replenishable: bool) -> ConsumableSupply {
    let quantities = ConsumableQuantities { total, in_use, available: total - in_use, is_replenishable };
    ConsumableSupply { name: name.into(), quantities: Some(quantities) }
}

pub fn runnable_cases() -> Vec<(&'static str, Evidence)> {
    let invalid = |why: &str| {
        runnable(|f| {
            f.environments[0].ready = Availability::Invalid(Some(why.into()));
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
    let line = |jobs: Vec<String>| Some(QueueOrder { jobs, ..QueueOrder::default() });
    let hundred = || (0..100).map(|i| format!("k{i}")).collect::<Vec<_>>();
    vec![
        (
            "queue disabled",
            runnable(|f| {
                f.queue = Some(Queue { name: "q".into(), ready: Availability::Disabled, ..Queue::default() })
            }),
        ),
        (
            "queue invalid",
            runnable(|f| {
                let ready = Availability::Invalid(Some("CLIENT_ERROR - no compute environment".into()));
                f.queue = Some(Queue { name: "q".into(), ready, ..Queue::default() });
            }),
        ),
        (
            "queue is made",
            runnable(|f| {
                f.queue = Some(Queue {
                    name: "q".into(),
                    ready: Availability::Changing("CREATING".into(), None),
                    ..Queue::default()
                });
            }),
        ),
        ("environment disabled", runnable(|f| f.environments[0].ready = Availability::Disabled)),
        (
            "one of two environments disabled",
            runnable(|f| {
                f.environments[0].ready = Availability::Disabled;
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
                    Availability::Changing("UPDATING".into(), Some("ComputeEnvironment Healthy".into()))
            }),
        ),
        (
            "licences in use",
            runnable(|f| {
                f.job.consumes = vec![("lic".into(), 2), ("free".into(), 1)];
                f.consumables = vec![supply("lic", 4, 3, true), supply("free", 1, 0, true)];
            }),
        ),
        (
            "fewer licences than it takes",
            runnable(|f| {
                f.job.consumes = vec![("lic".into(), 5)];
                f.consumables = vec![supply("lic", 4, 0, true)];
            }),
        ),
        (
            "tokens used up",
            runnable(|f| {
                f.job.consumes = vec![("token".into(), 1)];
                f.consumables = vec![supply("token", 1, 1, false)];
            }),
        ),
        (
            "licence deleted",
            runnable(|f| {
                f.job.consumes = vec![("lic".into(), 1)];
                f.consumables = vec![ConsumableSupply { name: "lic".into(), quantities: None }];
            }),
        ),
        (
            "another attempt has its licences",
            runnable(|f| {
                f.job.consumes = vec![("lic".into(), 2)];
                f.consumables = vec![supply("lic", 2, 2, true)];
                f.job.attempts_allowed = 2;
                f.job.attempts = vec![Attempt { end: end(EXITED, "", Some(1)), ..Attempt::default() }];
            }),
        ),
        (
            "limit of its array",
            runnable(|f| {
                f.job.consumes = vec![("awsb-limit-1".into(), 1)];
                f.consumables = vec![supply("awsb-limit-1", 50, 50, true)];
            }),
        ),
        (
            "behind a limited array",
            runnable(|f| {
                let mut head = other("h:7", Status::Runnable);
                head.consumes = vec![("awsb-limit-1".into(), 1)];
                let jobs = vec!["h:7".into(), "j".into()];
                f.queue_order = Some(QueueOrder { jobs, head: Some(head), ..QueueOrder::default() });
                f.consumables = vec![supply("awsb-limit-1", 1, 1, true)];
            }),
        ),
        (
            "behind a job that waits for a licence, with shares",
            runnable(|f| {
                let mut head = other("h", Status::Runnable);
                head.consumes = vec![("lic".into(), 1)];
                let jobs = vec!["h".into(), "j".into()];
                f.queue = Some(Queue { name: "q".into(), has_policy: true, ..Queue::default() });
                f.queue_order = Some(QueueOrder { jobs, head: Some(head), ..QueueOrder::default() });
                f.consumables = vec![supply("lic", 1, 1, true)];
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
                f.environments.push(ComputeEnvironment { max_vcpus: Some(32), ..environment("ce2") });
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
            "more nodes than maxvCpus, one vCPU each",
            runnable(|f| {
                f.job.nodes = Some(3);
                f.job.demand = Some(Demand { vcpus: 1.0, ..Demand::default() });
                f.job.all_vcpus = Some(3.0);
                f.environments[0].max_vcpus = Some(2);
            }),
        ),
        (
            "nodes that are each larger than maxvCpus",
            runnable(|f| {
                f.job.nodes = Some(2);
                f.job.demand = Some(Demand { vcpus: 20.0, ..Demand::default() });
                f.job.all_vcpus = Some(40.0);
            }),
        ),
        (
            "nodes that differ",
            runnable(|f| {
                f.job.nodes = Some(3);
                f.job.all_vcpus = Some(18.0);
                f.job.demand = Some(Demand { vcpus: 16.0, ..Demand::default() });
            }),
        ),
        (
            "more than maxvCpus, and than any type",
            runnable(|f| {
                f.instance_types = types();
                f.environments[0].max_vcpus = Some(64);
                f.job.demand = Some(Demand { vcpus: 999.0, memory_mib: 1024, gpus: 0 });
            }),
        ),
        ("more than maxvCpus, and AWS knows no such type", {
            let mut f =
                says("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement is higher");
            f.job.demand = Some(Demand { vcpus: 999.0, ..Demand::default() });
            f
        }),
        ("more than this machine has", {
            let mut f =
                says("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement is higher");
            f.environments[0].grown_by = Some("blocal stop && blocal start".into());
            f.environments[0].machines_grown_by = Some("blocal stop && blocal start".into());
            f.job.demand = Some(Demand { vcpus: 999.0, ..Demand::default() });
            f
        }),
        ("more memory than this machine has", {
            let mut f =
                says("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement is higher");
            f.environments[0].grown_by = Some("blocal stop && blocal start".into());
            f.environments[0].machines_grown_by = Some("blocal stop && blocal start".into());
            f
        }),
        (
            "nodes on spot",
            runnable(|f| {
                f.job.nodes = Some(2);
                f.environments[0].kind = ComputeKind::Spot;
            }),
        ),
        (
            "nodes on managed instances",
            runnable(|f| {
                f.job.nodes = Some(2);
                f.environments[0].kind = ComputeKind::ManagedInstances;
                f.environments[0].instance_types.clear();
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
                f.placed_jobs =
                    Some(PlacedJobs { jobs: vec![placed_job("a", 2.0), placed_job("b", 12.0)], more: false });
                f.queue_order = line(vec!["j".into(), "k".into()]);
            }),
        ),
        (
            "maxvCpus reached, by whom is not known",
            runnable(|f| {
                f.environments[0].desired_vcpus = Some(16);
                f.unseen = vec![MissingEvidence {
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
                let array = PlacedJob { cluster: None, ..placed_job("a", 30.0) };
                f.placed_jobs = Some(PlacedJobs { jobs: vec![array], more: true });
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
                f.environments[0] = ComputeEnvironment {
                    kind: ComputeKind::Unmanaged,
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
                f.environments[0] = ComputeEnvironment {
                    kind: ComputeKind::Unmanaged,
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
        (
            "room for one node and not for two",
            runnable(|f| {
                f.job.nodes = Some(2);
                f.job.all_vcpus = Some(8.0);
                f.environments[0].machines = Some(vec![machine("i-1", 6.0)]);
            }),
        ),
        (
            "behind nodes that wait for room",
            runnable(|f| {
                f.environments[0].machines = Some(vec![machine("i-1", 8.0)]);
                f.queue_order = line(vec!["k".into(), "j".into(), "l".into()]);
                if let Some(line) = &mut f.queue_order {
                    line.head = Some(ObservedJob {
                        nodes: Some(2),
                        demand: Some(Demand { vcpus: 1.0, memory_mib: 512, gpus: 0 }),
                        ..other("k", Status::Runnable)
                    });
                }
            }),
        ),
        (
            "beyond the first hundred, in an array of its own",
            runnable(|f| {
                f.queue_order = Some(QueueOrder { jobs: hundred(), before: Some(0), ..QueueOrder::default() })
            }),
        ),
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
                f.queue_order = line(vec!["k".into(), "l".into(), "j".into()]);
                if let Some(line) = &mut f.queue_order {
                    line.head = Some(ObservedJob {
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
                f.queue_order = Some(QueueOrder {
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
                f.queue_order = line(jobs);
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
                f.environments[0] = ComputeEnvironment {
                    kind: ComputeKind::Fargate,
                    desired_vcpus: None,
                    ..environment("ce")
                }
            }),
        ),
        (
            "nothing could be seen",
            runnable(|f| {
                f.queue = None;
                f.environments.clear();
                f.unseen = vec![
                    MissingEvidence {
                        what: "the queue q".into(),
                        permission: Some("batch:DescribeJobQueues".into()),
                        why: String::new(),
                    },
                    MissingEvidence {
                        what: "the head of the queue q".into(),
                        permission: None,
                        why: "asking for the head of the queue: ClientException: no such thing".into(),
                    },
                ];
            }),
        ),
    ]
}

pub fn failed_cases() -> Vec<(&'static str, Evidence)> {
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
    let with = |mut evidence: Evidence, change: &dyn Fn(&mut Evidence)| {
        change(&mut evidence);
        evidence
    };
    let log = |lines: &[&str]| {
        Some(LogTail {
            job_id: "j".into(),
            lines: lines.iter().map(|l| (None, (*l).to_owned())).collect(),
            ..LogTail::default()
        })
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
            "a result that was not uploaded",
            with(failed(EXITED, "", Some(125)), &|f| {
                f.log = log(&["awsb: cannot upload x to s3://b/o/j/: the disk of /h is full"])
            }),
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
                f.chain = vec![ObservedJob { end: end(EXITED, "", Some(3)), ..other("a", Status::Failed) }]
            }),
        ),
        (
            "dependencies",
            with(failed("Dependent Job failed", "", None), &|f| {
                let link = |id: &str| ObservedJob {
                    end: end("Dependent Job failed", "", None),
                    ..other(id, Status::Failed)
                };
                f.chain = vec![
                    link("c"),
                    link("b"),
                    ObservedJob { end: end(EXITED, "", Some(3)), ..other("a", Status::Failed) },
                ];
            }),
        ),
        ("dependency forgotten", failed("Dependent Job failed", "", None)),
    ]);
    cases
}

pub fn parts_cases() -> Vec<(&'static str, Evidence)> {
    let exit = |code| end(EXITED, "", Some(code));
    let memory = end(EXITED, "OutOfMemoryError: Container killed due to memory usage", Some(137));
    let mixed = || [children(0..3, &memory), children(5..17, &exit(1)), children(40..41, &exit(2))].concat();
    let mut waiting = array(Status::Pending, 100, children(3..5, &exit(1)));
    waiting.parts.counts = vec![(Status::Runnable, 60), (Status::Running, 38), (Status::Failed, 2)];
    waiting.parts.first_waiting = Some(Box::new(runnable(|f| {
        f.job.id = "j:41".into();
        f.environments[0].ready = Availability::Disabled;
        f.job.end.status_reason = Some("waiting for the tide".into());
    })));
    let mut before = array(Status::Pending, 100, Vec::new());
    before.parts.counts = vec![(Status::Pending, 100)];
    before.dependencies = vec![Dependency { id: "a".into(), job: Some(other("a", Status::Running)) }];
    let mut nodes = failed(EXITED, "", Some(3));
    nodes.job.nodes = Some(4);
    nodes.parts.counts = vec![(Status::Failed, 3), (Status::Succeeded, 1)];
    nodes.parts.failed = ["j#0", "j#1", "j#2"]
        .map(|id| ObservedJob { end: exit(if id == "j#0" { 3 } else { 143 }), ..other(id, Status::Failed) })
        .to_vec();
    let mut tasks = array(Status::Failed, 3, [children(0..2, &exit(1)), children(2..3, &exit(2))].concat());
    tasks.job.tasks = TaskIds::from_ids([10, 20, 31]).ok();
    let mut task = array(Status::Failed, 3, children(1..2, &exit(1)));
    task.job.tasks = tasks.job.tasks.clone();
    let mut waiting_task = waiting.clone();
    waiting_task.job.tasks = TaskIds::numbered(1, 100).ok();
    let mut sequential = array(
        Status::Failed,
        10,
        [children(0..1, &exit(9)), children(1..10, &end("Dependent Job failed", "", None))].concat(),
    );
    sequential.job.stopped_at = Some(NOW - MINUTE);
    let mut followed = array(Status::Failed, 10, children(0..10, &end("Dependent Job failed", "", None)));
    followed.chain = vec![ObservedJob { end: exit(3), ..other("a", Status::Failed) }];
    let mut ended = array(Status::Failed, 10, children(0..10, &end("Ended with bkill", "", Some(143))));
    ended.job.ended_by_user = true;
    ended.job.end.status_reason = Some("Ended with bkill".into());
    vec![
        ("children fail alike", array(Status::Failed, 100, children(5..17, &exit(3)))),
        ("one child failed", array(Status::Failed, 2, children(1..2, &exit(3)))),
        ("children fail in several ways", array(Status::Failed, 100, mixed())),
        ("children wait", waiting),
        ("tasks fail", tasks),
        ("one task fails", task),
        ("tasks wait", waiting_task),
        ("an array waits for another job", before),
        ("children are made", array(Status::Pending, 0, Vec::new())),
        ("one after the other", sequential),
        ("an array whose dependency failed", followed),
        ("an array that was ended", ended),
        ("nodes failed", nodes),
    ]
}
