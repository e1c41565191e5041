//! Jobs in containers, on a real Docker engine, with an image that has busybox and nothing else.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::{
    ArrayProperties, ContainerOverrides, ContainerProperties, Device, Host, JobDefinitionType, JobDetail,
    JobStatus, KeyValuePair, LinuxParameters, MountPoint, NodeProperties, NodeRangeProperty,
    ResourceRequirement, ResourceType, RetryStrategy, Secret, Tmpfs, Ulimit, Volume,
    builders::ContainerPropertiesBuilder,
};
use awsb_testkit::local::{Batch, Cluster, PATIENCE, kill};
use awsb_testkit::{Lock, engine, engine_network, python, story};
use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody, NetworkCreateRequest};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptions, ListContainersOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
};
use serde_json::Value;

/// The container properties of a small job.
fn small(image: &str) -> ContainerPropertiesBuilder {
    sized(image, "64")
}

fn sized(image: &str, mib: &str) -> ContainerPropertiesBuilder {
    let requirement = |kind, value: &str| ResourceRequirement::builder().r#type(kind).value(value).build();
    ContainerProperties::builder()
        .image(image)
        .resource_requirements(requirement(ResourceType::Vcpu, "1"))
        .resource_requirements(requirement(ResourceType::Memory, mib))
}

/// A cluster whose jobs run in containers.
struct Contained {
    cluster: Cluster,
    docker: Docker,
    _network: Lock,
}

#[derive(Default)]
struct Job<'a> {
    command: Vec<&'a str>,
    environment: &'a [(&'a str, &'a str)],
    size: Option<i32>,
    attempts: Option<i32>,
}

fn sh(script: &str) -> Job<'_> {
    Job { command: vec!["sh", "-c", script], ..Job::default() }
}

impl Contained {
    fn started() -> Self {
        Self::with(Cluster::started())
    }

    /// With a cluster that was started, once the engine has a network for it.
    fn with(cluster: Cluster) -> Self {
        let docker = Docker::connect_with_defaults().unwrap();
        Self { cluster, docker, _network: engine_network() }
    }

    fn batch(&self) -> Batch {
        self.cluster.batch()
    }

    async fn register(&self, properties: ContainerPropertiesBuilder) -> String {
        let registered = self
            .batch()
            .batch
            .register_job_definition()
            .job_definition_name("contained")
            .r#type(JobDefinitionType::Container)
            .container_properties(properties.build())
            .send()
            .await
            .unwrap();
        format!("contained:{}", registered.revision().unwrap())
    }

    async fn submit(&self, definition: &str, job: Job<'_>) -> String {
        let variables =
            job.environment.iter().map(|(n, v)| KeyValuePair::builder().name(*n).value(*v).build());
        let command: Vec<String> = job.command.iter().map(|word| (*word).to_owned()).collect();
        let overrides = ContainerOverrides::builder()
            .set_command(Some(command).filter(|command| !command.is_empty()))
            .set_environment(Some(variables.collect()))
            .build();
        let submitted = self
            .batch()
            .batch
            .submit_job()
            .job_name("contained")
            .job_queue("local")
            .job_definition(definition)
            .container_overrides(overrides)
            .set_array_properties(job.size.map(|n| ArrayProperties::builder().size(n).build()))
            .set_retry_strategy(job.attempts.map(|n| RetryStrategy::builder().attempts(n).build()))
            .send()
            .await
            .unwrap();
        submitted.job_id().unwrap().to_owned()
    }

    /// Runs a job to its end, and returns it with its output.
    async fn run(&self, definition: &str, job: Job<'_>) -> (JobDetail, Vec<String>) {
        let id = self.submit(definition, job).await;
        let batch = self.batch();
        let job = batch.ended(&id).await;
        let output = batch.output(&job).await;
        (job, output)
    }

    fn home_id(&self) -> String {
        let text = std::fs::read_to_string(self.cluster.home().join("containers.json")).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        record["homeId"].as_str().unwrap().to_owned()
    }

    fn ours(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("awsb.home={}", self.home_id())])])
    }

    /// The names of this cluster's containers, whatever state they are in.
    async fn containers(&self) -> Vec<String> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&self.ours()).build();
        let found = self.docker.list_containers(Some(options)).await.unwrap();
        found.into_iter().flat_map(|c| c.names.unwrap_or_default()).collect()
    }

    async fn networks(&self) -> usize {
        let options = ListNetworksOptionsBuilder::new().filters(&self.ours()).build();
        self.docker.list_networks(Some(options)).await.unwrap().len()
    }

    async fn volumes(&self) -> usize {
        let options = ListVolumesOptionsBuilder::new().filters(&self.ours()).build();
        self.docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default().len()
    }

    async fn no_container_is_left(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.containers().await;
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the cluster; then nothing of it is on the engine.
    async fn nothing_is_left(&self) {
        self.no_container_is_left().await;
        self.cluster.ok(&["stop"]);
        assert_eq!((self.networks().await, self.volumes().await), (0, 0));
    }
}

fn reason(job: &JobDetail) -> &str {
    job.container().and_then(|c| c.reason()).unwrap_or_default()
}

fn exit_code(job: &JobDetail) -> Option<i32> {
    job.container().and_then(|c| c.exit_code())
}

#[story]
async fn a_job_in_a_container_prints_and_its_exit_code_counts() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image).command("echo").command("of the definition")).await;
    let (job, output) = cluster.run(&definition, Job::default()).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    assert_eq!((exit_code(&job), reason(&job)), (Some(0), ""));
    assert_eq!(output, ["of the definition"]);

    // Both streams, a line of each in pieces, a last line without an end, and more than a pipe
    // holds.
    let script = "printf a; printf x >&2; sleep 0.2; echo b; sleep 0.1; echo y >&2; sleep 0.1; \
                  seq 20000; printf end; exit 3";
    let (job, output) = cluster.run(&definition, sh(script)).await;
    assert_eq!((job.status(), exit_code(&job)), (Some(&JobStatus::Failed), Some(3)));
    assert_eq!(job.status_reason(), Some("Essential container in task exited"));
    assert_eq!(output[..2], ["ab", "xy"]);
    let numbers: Vec<String> = (1..=20000).map(|n| n.to_string()).collect();
    assert_eq!(output[2..20002], numbers);
    assert_eq!(output[20002..], ["end"]);

    // Arguments are what they are.
    let arguments = ["printf", "%s|\\n", "a b", "$HOME", "'\"", "*", "-n", "é\nz"];
    let (_, output) = cluster.run(&definition, Job { command: arguments.to_vec(), ..Job::default() }).await;
    assert_eq!(output, ["a b|", "$HOME|", "'\"|", "*|", "-n|", "é", "z|"]);

    // Batch's variables and the job's, nothing of the host's, and not the owner's key.
    let job = Job {
        command: vec!["env"],
        environment: &[("GREETING", "hello world"), ("AWS_REGION", "elsewhere")],
        ..Job::default()
    };
    let (job, output) = cluster.run(&definition, job).await;
    let variables: HashMap<&str, &str> = output.iter().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(variables["GREETING"], "hello world");
    assert_eq!(variables["AWS_REGION"], "elsewhere");
    assert_eq!(Some(variables["AWS_BATCH_JOB_ID"]), job.job_id());
    assert_eq!((variables["AWS_BATCH_JOB_ATTEMPT"], variables["AWS_BATCH_JQ_NAME"]), ("1", "local"));
    for name in ["USER", "SHELL", "TMPDIR", "AWSB_LOCAL_HOME", "LOGNAME"] {
        assert!(!variables.contains_key(name), "{output:?}");
    }
    let owner = cluster.cluster.access();
    assert!(!output.iter().any(|line| line.contains(&owner.secret_access_key)));
    cluster.nothing_is_left().await;
}

#[story]
async fn a_container_finds_its_metadata() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image)).await;
    // The job is RUNNING a moment after it runs.
    let script = "until wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task | grep -q '\"KnownStatus\":\"RUNNING\"'; do \
                  sleep 0.1; done; wget -qO- $ECS_CONTAINER_METADATA_URI_V4; echo; \
                  wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task; echo; \
                  wget -qO- ${ECS_CONTAINER_METADATA_URI_V4%-*}-7 2>/dev/null || echo none; \
                  name=$(nslookup $(hostname -i) 127.0.0.11 | sed -n 's/.*name = awsb-\\([0-9a-f]*\\)[.].*/\\1/p'); \
                  echo name=$name; \
                  wget -qO- ${ECS_CONTAINER_METADATA_URI_V4%/*}/$name-0/task 2>/dev/null || echo none";
    let (job, output) = cluster.run(&definition, sh(script)).await;
    let [container, task, other, name, guessed] = &output[..] else { panic!("{output:?}") };
    let container: Value = serde_json::from_str(container).unwrap();
    let task: Value = serde_json::from_str(task).unwrap();
    let stream = job.container().and_then(|c| c.log_stream_name()).unwrap();
    assert_eq!((&container["Name"], &container["Image"]), (&"default".into(), &image.into()), "{container}");
    assert_eq!(container["LogOptions"]["awslogs-stream"], stream);
    assert_eq!(container["Limits"]["Memory"], 64);
    let task_arn = job.container().and_then(|c| c.task_arn()).unwrap();
    assert_eq!((&task["TaskARN"], &task["Family"]), (&task_arn.into(), &"contained".into()), "{task}");
    assert_eq!(task["Containers"], serde_json::json!([container]));
    assert_eq!(other, "none");
    // Other containers find the ID of the attempt by the name server, and no metadata with it.
    let attempt_id = task_arn.rsplit('/').next().unwrap();
    assert_eq!((name.as_str(), guessed.as_str()), (format!("name={attempt_id}").as_str(), "none"));
    cluster.nothing_is_left().await;
}

#[story]
async fn the_images_entrypoint_and_cmd_count() {
    let image = engine();
    let cluster = Contained::started();
    let docker = &cluster.docker;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["true".into()]),
        ..Default::default()
    };
    let made = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
    let changes = "ENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"cmd\"]\nVOLUME /data";
    let options = CommitContainerOptionsBuilder::new()
        .container(&made)
        .repo("awsb-test/entry")
        .tag("1")
        .changes(changes);
    docker.commit_container(options.build(), ContainerConfig::default()).await.unwrap();
    docker
        .remove_container(&made, Some(RemoveContainerOptionsBuilder::new().force(true).build()))
        .await
        .unwrap();
    let definition = cluster.register(small("awsb-test/entry:1")).await;
    assert_eq!(cluster.run(&definition, Job::default()).await.1, ["entry cmd"]);
    let job = Job { command: vec!["instead", "of cmd"], ..Job::default() };
    assert_eq!(cluster.run(&definition, job).await.1, ["entry instead of cmd"]);
    cluster.nothing_is_left().await;
}

#[story]
async fn children_of_an_array_run_in_containers_of_their_own() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image)).await;
    let script = "echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE; exit $((AWS_BATCH_JOB_ARRAY_INDEX == 2))";
    // Second attempts remove what is left of first ones: never their siblings.
    let job = Job { size: Some(5), attempts: Some(2), ..sh(script) };
    let id = cluster.submit(&definition, job).await;
    let batch = cluster.batch();
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Failed));
    for index in 0..5 {
        let child = batch.describe(&format!("{id}:{index}")).await;
        assert_eq!(batch.output(&child).await, [format!("{index} of 5")]);
        let (status, attempts) = if index == 2 { (JobStatus::Failed, 2) } else { (JobStatus::Succeeded, 1) };
        assert_eq!((child.status(), child.attempts().len()), (Some(&status), attempts), "{child:?}");
    }
    cluster.nothing_is_left().await;
}

#[story]
async fn limits_and_mounts_hold() {
    let image = engine();
    let cluster = Contained::started();
    let volume = |name: &str, host: Option<&Path>| {
        let host = host.map(|path| Host::builder().source_path(path.display().to_string()).build());
        Volume::builder().name(name).set_host(host).build()
    };
    let point = |name: &str, path: &str, read_only| {
        MountPoint::builder().source_volume(name).container_path(path).read_only(read_only).build()
    };
    let shared = cluster.cluster.home().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("in"), "from the host\n").unwrap();
    let linux = LinuxParameters::builder()
        .init_process_enabled(true)
        .shared_memory_size(8)
        .tmpfs(Tmpfs::builder().container_path("/t").size(4).mount_options("noexec").build())
        .devices(Device::builder().host_path("/dev/null").container_path("/dev/nothing").build())
        .build();
    let properties = small(image)
        .user("7:8")
        .readonly_root_filesystem(true)
        .ulimits(Ulimit::builder().name("nofile").soft_limit(33).hard_limit(44).build())
        .volumes(volume("host", Some(&shared)))
        .volumes(volume("own", None))
        .mount_points(point("host", "/host", true))
        .mount_points(point("own", "/own", false))
        .linux_parameters(linux);
    let definition = cluster.register(properties).await;
    let script = "id -u; id -g; cat /host/in; \
                  for f in /x /host/x; do (echo x > $f) 2>/dev/null || echo read-only; done; \
                  ulimit -Sn; ulimit -Hn; df -m /t /dev/shm | awk 'NR>1 {print $2}'; [ -d /own ] && echo own; \
                  [ $$ = 1 ] || echo init; echo x > /dev/nothing && echo device; \
                  cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    let (job, output) = cluster.run(&definition, sh(script)).await;
    let expected = [
        "7",
        "8",
        "from the host",
        "read-only",
        "read-only",
        "33",
        "44",
        "4",
        "8",
        "own",
        "init",
        "device",
        "67108864",
    ];
    assert_eq!(output, expected, "{job:?}");

    let definition = cluster.register(sized(image, "16")).await;
    let (job, _) = cluster.run(&definition, sh("x=a; while :; do x=$x$x; done")).await;
    assert_eq!(exit_code(&job), Some(137), "{job:?}");
    assert_eq!(reason(&job), "OutOfMemoryError: Container killed due to memory usage");
    cluster.nothing_is_left().await;
}

#[story]
async fn what_cannot_start_says_why() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small("localhost:1/no-such-image")).await;
    let (job, _) = cluster.run(&definition, Job::default()).await;
    assert_eq!((job.status(), exit_code(&job)), (Some(&JobStatus::Failed), None));
    assert!(reason(&job).starts_with("CannotPullContainerError: "), "{job:?}");
    // The message has advice, and the advice is about this machine.
    assert!(reason(&job).contains("; what to do: "), "{job:?}");
    assert_eq!((job.attempts()[0].started_at(), job.status_reason()), (None, Some("Task failed to start")));

    let definition = cluster.register(small(image)).await;
    let (job, _) = cluster.run(&definition, Job { command: vec!["/no/such"], ..Job::default() }).await;
    assert!(reason(&job).starts_with("CannotStartContainerError: "), "{job:?}");
    assert_eq!((exit_code(&job), job.attempts()[0].started_at()), (Some(127), None));

    // Docker takes 6 MiB at least; Batch takes 4.
    let definition = cluster.register(sized(image, "4")).await;
    let (job, _) = cluster.run(&definition, Job { command: vec!["true"], ..Job::default() }).await;
    assert!(reason(&job).starts_with("CannotCreateContainerError: "), "{job:?}");

    let secret = Secret::builder().name("A").value_from("arn:aws:ssm:x").build();
    let definition = cluster.register(small(image).secrets(secret)).await;
    let submit =
        cluster.batch().batch.submit_job().job_name("x").job_queue("local").job_definition(definition);
    let error = submit.send().await.unwrap_err();
    assert_eq!(error.code(), Some("ClientException"));
    assert!(error.message().unwrap().contains("Secrets Manager"), "{error:?}");
    cluster.nothing_is_left().await;
}

#[story]
async fn without_an_engine_a_job_says_what_was_tried() {
    let cluster = Cluster::new();
    let start =
        cluster.blocal(&["start"]).env("DOCKER_HOST", "unix:///no/such/docker.sock").output().unwrap();
    assert!(start.status.success(), "{start:?}");
    let cluster = Contained {
        cluster,
        docker: Docker::connect_with_http("tcp://127.0.0.1:1", 1, bollard::API_DEFAULT_VERSION).unwrap(),
        _network: engine_network(),
    };
    let definition = cluster.register(small("busybox")).await;
    let (job, _) = cluster.run(&definition, Job::default()).await;
    assert_eq!(job.status(), Some(&JobStatus::Failed));
    assert!(reason(&job).contains("no Docker engine answers; tried unix:///no/such/docker.sock"), "{job:?}");
}

#[story]
async fn a_job_that_is_terminated_gets_sigterm_before_sigkill() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image)).await;
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let id = cluster.submit(&definition, sh(script)).await;
    let batch = cluster.batch();
    let job = batch.running(&id).await;
    let deadline = Instant::now() + PATIENCE;
    while batch.output(&job).await.is_empty() {
        assert!(Instant::now() < deadline);
    }
    batch.batch.terminate_job().job_id(&id).reason("enough").send().await.unwrap();
    let job = batch.ended(&id).await;
    assert_eq!((exit_code(&job), job.status_reason()), (Some(9), Some("enough")));
    assert_eq!(batch.output(&job).await, ["ready", "caught"]);
    cluster.nothing_is_left().await;
}

/// A job that uses an SDK of AWS with nothing but the variables of its environment.
const INSIDE: &str = r#"
import boto3, os
from botocore.exceptions import ClientError
s3, logs, batch = boto3.client("s3"), boto3.client("logs"), boto3.client("batch")
result = dict(Bucket="awsb-local", Key="awsb/outputs/%s/r" % os.environ["AWS_BATCH_JOB_ID"])
s3.put_object(Body=b"hello", **result)
print(s3.get_object(**result)["Body"].read().decode())
print(len(logs.describe_log_streams(logGroupName="/aws/batch/job")["logStreams"]) > 0)
me = batch.describe_jobs(jobs=[os.environ["AWS_BATCH_JOB_ID"]])["jobs"][0]
print(me["status"])
def tries(call, **request):
    try:
        return call(**request).get("jobId", "done")
    except ClientError as error:
        return "%s %d" % (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
def submit(definition, **more):
    return tries(batch.submit_job, jobName="inner", jobQueue="local", jobDefinition=definition, **more)
def register(**properties):
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    properties = {"resourceRequirements": needs, "image": os.environ["IMAGE"], **properties}
    return tries(batch.register_job_definition, jobDefinitionName="inner", type="container", containerProperties=properties)
root = [{"name": "root", "host": {"sourcePath": "/"}}]
print(submit("local"))
print(submit("owners-host"))
print(submit(me["jobDefinition"]))
print(register(image="host"))
print(register(privileged=True))
print(register(volumes=root))
print(register(linuxParameters={"devices": [{"hostPath": "/dev/null"}]}))
print(register(command=["echo", "inner job"]))
print(submit("inner"))
"#;

#[story]
async fn from_inside_the_cluster_can_be_used_but_not_left() {
    let (image, python) = (engine(), python());
    let cluster = Contained::started();
    let batch = cluster.batch();
    let owners = batch.batch.register_job_definition().job_definition_name("owners-host");
    owners
        .r#type(JobDefinitionType::Container)
        .container_properties(small("host").build())
        .send()
        .await
        .unwrap();
    // The host's Python, seen from within a container: its network and environment are the
    // container's.
    let root = Volume::builder().name("root").host(Host::builder().source_path("/").build()).build();
    let properties = sized(image, "512").volumes(root).mount_points(
        MountPoint::builder().source_volume("root").container_path("/host").read_only(true).build(),
    );
    let definition = cluster.register(properties).await;
    let python = python.join("bin/python").display().to_string();
    let job = Job {
        command: vec!["chroot", "/host", &python, "-B", "-c", INSIDE],
        environment: &[("IMAGE", image)],
        ..Job::default()
    };
    let (job, output) = cluster.run(&definition, job).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{output:?}");
    assert_eq!(output[..3], ["hello", "True", "RUNNING"]);
    for denied in &output[3..10] {
        assert_eq!(denied, "AccessDeniedException 403", "{output:?}");
    }
    assert_eq!(output[10], "done");
    let inner = batch.ended(&output[11]).await;
    assert_eq!(batch.output(&inner).await, ["inner job"]);
    cluster.nothing_is_left().await;
}

#[story]
async fn a_container_whose_runner_is_killed_goes_and_the_attempt_is_lost() {
    let image = engine();
    for server_too in [false, true] {
        let cluster = Contained::started();
        let definition = cluster.register(small(image)).await;
        let script = "echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || sleep 1000";
        let id = cluster.submit(&definition, Job { attempts: Some(2), ..sh(script) }).await;
        let batch = cluster.batch();
        batch.running(&id).await;
        let first = cluster.containers().await;
        assert_eq!(first.len(), 1);
        if server_too {
            cluster.cluster.kill_server();
        }
        for runner in runner_pids(&cluster.cluster) {
            kill(runner, "KILL");
        }
        if server_too {
            cluster.cluster.ok(&["start"]);
        }
        let batch = cluster.batch();
        let job = batch.ended(&id).await;
        assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
        assert!(job.attempts()[0].status_reason().unwrap().starts_with("Host EC2"), "{job:?}");
        assert_eq!(batch.output(&job).await, ["attempt 2"]);
        assert!(!cluster.containers().await.contains(&first[0]));
        cluster.nothing_is_left().await;
    }
}

#[story]
async fn a_container_outlives_the_server() {
    let image = engine();
    let cluster = Contained::started();
    let shared = cluster.cluster.home().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume =
        Volume::builder().name("v").host(Host::builder().source_path(shared.display().to_string()).build());
    let point = MountPoint::builder().source_volume("v").container_path("/v").build();
    let definition = cluster.register(small(image).volumes(volume.build()).mount_points(point)).await;
    // The endpoint is where it was when the server is back: 403 is its answer to whoever does not
    // sign.
    let script = "echo before; while [ ! -e /v/go ]; do sleep 0.02; done; \
                  wget -qO- $AWS_ENDPOINT_URL 2>&1 | grep -o 403; echo after; exit 7";
    let id = cluster.submit(&definition, sh(script)).await;
    cluster.batch().running(&id).await;
    cluster.cluster.kill_server();
    cluster.cluster.ok(&["start"]);
    // The network is in use: neither the start nor the stop of a server takes it away.
    cluster.cluster.ok(&["stop"]);
    assert_eq!((cluster.networks().await, cluster.containers().await.len()), (1, 1));
    cluster.cluster.ok(&["start"]);
    std::fs::write(shared.join("go"), "").unwrap();
    let batch = cluster.batch();
    let job = batch.ended(&id).await;
    assert_eq!((exit_code(&job), job.attempts().len()), (Some(7), 1));
    assert_eq!(batch.output(&job).await, ["before", "403", "after"]);
    cluster.nothing_is_left().await;
}

#[story]
async fn whatever_dies_no_container_runs_beside_its_next_attempt_and_none_stays() {
    const SIZE: i32 = 8;
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image)).await;
    let job = Job { size: Some(SIZE), attempts: Some(10), ..sh("sleep 0.3; echo out") };
    let id = cluster.submit(&definition, job).await;
    cluster
        .batch()
        .once(&format!("{id}:0"), "a start", |job| job.status() != Some(&JobStatus::Runnable))
        .await;
    awsb_testkit::local::until("the home has an ID on the engine", || {
        cluster.cluster.home().join("containers.json").exists()
    });
    // The engine is the witness: never two containers of one job at the same time.
    let (docker, mut ours) = (cluster.docker.clone(), cluster.ours());
    ours.insert("status".to_owned(), vec!["running".to_owned()]);
    let witness = tokio::spawn(async move {
        loop {
            let options = ListContainersOptionsBuilder::new().filters(&ours).build();
            let mut jobs: Vec<String> = docker
                .list_containers(Some(options))
                .await
                .unwrap()
                .into_iter()
                .filter_map(|c| c.labels?.get("awsb.job").cloned())
                .collect();
            jobs.sort();
            assert!(jobs.windows(2).all(|pair| pair[0] != pair[1]), "{jobs:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for (n, pause) in [300, 900, 150, 600, 50].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if n % 2 == 0 {
            cluster.cluster.kill_server();
        }
        for runner in runner_pids(&cluster.cluster) {
            kill(runner, "KILL");
        }
        cluster.cluster.ok(&["start"]);
    }
    let batch = cluster.batch();
    let parent = batch.ended(&id).await;
    assert_eq!(parent.status(), Some(&JobStatus::Succeeded), "{parent:?}");
    assert!(!witness.is_finished(), "{:?}", witness.await);
    witness.abort();
    for index in 0..SIZE {
        let child = batch.describe(&format!("{id}:{index}")).await;
        assert_eq!(batch.output(&child).await, ["out"]);
    }
    cluster.nothing_is_left().await;
}

/// An engine that can go away: a socket whose connections go to the real one's.
struct Away {
    socket: PathBuf,
    state: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    cut: bool,
    /// How many connections have been refused since.
    refused: usize,
    streams: Vec<UnixStream>,
}

impl Away {
    fn new(socket: PathBuf) -> Self {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let real = host.strip_prefix("unix://").expect("the tests' engine is at a Unix socket").to_owned();
        let state = Arc::new(Mutex::new(Line::default()));
        let listener = UnixListener::bind(&socket).unwrap();
        let line = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine) = (client.unwrap(), UnixStream::connect(&real).unwrap());
                let mut line = line.lock().unwrap();
                if line.cut {
                    line.refused += 1;
                    continue;
                }
                for (from, to) in [(&client, &engine), (&engine, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || pass_on(from, to));
                }
                line.streams.extend([client, engine]);
            }
        });
        Self { socket, state }
    }

    fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    fn set(&self, cut: bool) {
        let mut line = self.state.lock().unwrap();
        (line.cut, line.refused) = (cut, 0);
        if cut {
            for stream in line.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn pass_on(mut from: UnixStream, mut to: UnixStream) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        match from.read(&mut bytes)? {
            0 => return to.shutdown(Shutdown::Write),
            n => to.write_all(&bytes[..n])?,
        }
    }
}

#[story]
async fn an_engine_that_goes_away_costs_the_attempt_and_leaves_nothing() {
    let image = engine();
    let folder = tempfile::tempdir().unwrap();
    let away = Away::new(folder.path().join("docker.sock"));
    let cluster = Cluster::new();
    let host = format!("unix://{}", away.socket.display());
    assert!(cluster.blocal(&["start"]).env("DOCKER_HOST", host).output().unwrap().status.success());
    let cluster = Contained::with(cluster);
    let definition = cluster.register(small(image)).await;
    let script = "echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || sleep 1000";
    let id = cluster.submit(&definition, Job { attempts: Some(2), ..sh(script) }).await;
    let batch = cluster.batch();
    batch.running(&id).await;
    away.set(true);
    // The runner has seen it, and goes on asking.
    awsb_testkit::local::until("the runner looks for the engine again", || away.refused() >= 2);
    // Nobody is told of an end that nobody has seen while the container may still run.
    assert_eq!(batch.describe(&id).await.status(), Some(&JobStatus::Running));
    away.set(false);
    let job = batch.ended(&id).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    let lost = &job.attempts()[0];
    assert!(lost.status_reason().unwrap().starts_with("Host EC2"), "{lost:?}");
    assert!(lost.container().unwrap().reason().unwrap().contains("has gone away"), "{lost:?}");
    assert_eq!(batch.output(&job).await, ["attempt 2"]);
    cluster.nothing_is_left().await;
}

#[story]
async fn what_nobody_owns_any_more_goes_with_a_reset() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image)).await;
    let id = cluster.submit(&definition, Job { command: vec!["sleep", "1000"], ..Job::default() }).await;
    cluster.batch().running(&id).await;
    cluster.cluster.kill_server();
    for runner in runner_pids(&cluster.cluster) {
        kill(runner, "KILL");
    }
    assert_eq!(cluster.containers().await.len(), 1);
    // Not even the database knows the job any more.
    for file in ["batch.db", "batch.db-wal", "batch.db-shm"] {
        let _ = std::fs::remove_file(cluster.cluster.home().join(file));
    }
    cluster.cluster.ok(&["reset", "--yes"]);
    cluster.no_container_is_left().await;
    let deadline = Instant::now() + PATIENCE;
    while cluster.networks().await > 0 {
        assert!(Instant::now() < deadline, "the network stays");
    }
    cluster.nothing_is_left().await;
}

/// Nodes 0 and 2 hand their index to the main node, over HTTP at the address that they are given,
/// until they are stopped; node 1, the main one, ends with what `$END` says when it has both.
const NODES: &str = r#"
if [ $AWS_BATCH_JOB_NODE_INDEX = $AWS_BATCH_JOB_MAIN_NODE_INDEX ]; then
    mkdir -p /www/cgi-bin
    printf '#!/bin/sh\nprintf "\\r\\n"; echo $QUERY_STRING >> /www/got' > /www/cgi-bin/put
    chmod +x /www/cgi-bin/put
    touch /www/got
    httpd -p 5000 -h /www
    until [ $(sort -u /www/got | wc -l) = 2 ]; do sleep 0.05; done
    echo main ${AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS-none} of $AWS_BATCH_JOB_NUM_NODES
    sort -u /www/got
    eval "$END"
else
    trap 'echo stopped; exit 9' TERM
    wget -qO- $AWS_ENDPOINT_URL 2>&1 | grep -o 403
    there=http://$AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS:5000/cgi-bin/put?$AWS_BATCH_JOB_NODE_INDEX
    until wget -qO- $there 2>/dev/null; do sleep 0.05; done
    echo sent
    while :; do sleep 0.05; done
fi
"#;

impl Contained {
    /// A cluster with room for three nodes, and for the nodes of another attempt whose end is not
    /// known yet.
    fn roomy() -> Self {
        let cluster = Cluster::new();
        cluster.ok(&["start", "--vcpus", "3"]);
        Self::with(cluster)
    }

    /// Submits a job of three nodes that run [`NODES`].
    async fn submit_nodes(&self, image: &str, end: &str, attempts: i32) -> String {
        let container = small(image)
            .set_command(Some(["sh", "-c", NODES].map(str::to_owned).to_vec()))
            .environment(KeyValuePair::builder().name("END").value(end).build());
        let range = NodeRangeProperty::builder().target_nodes("0:").container(container.build()).build();
        let properties =
            NodeProperties::builder().num_nodes(3).main_node(1).node_range_properties(range).build();
        let client = self.batch().batch;
        let registered = client
            .register_job_definition()
            .job_definition_name("nodes")
            .r#type(JobDefinitionType::Multinode)
            .node_properties(properties);
        let registered = registered.send().await.unwrap();
        let submitted = client
            .submit_job()
            .job_name("nodes")
            .job_queue("local")
            .job_definition(format!("nodes:{}", registered.revision().unwrap()))
            .retry_strategy(RetryStrategy::builder().attempts(attempts).build());
        submitted.send().await.unwrap().job_id().unwrap().to_owned()
    }

    /// Returns when both other nodes have reached the main node.
    async fn all_sent(&self, id: &str) {
        let batch = self.batch();
        for index in [0, 2] {
            let node = batch.running(&format!("{id}#{index}")).await;
            let deadline = Instant::now() + PATIENCE;
            while batch.output(&node).await.last().map(String::as_str) != Some("sent") {
                assert!(Instant::now() < deadline, "node {index} does not reach the main node");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Returns when the home's network is the only one. The nodes' own runners see to that: it
    /// takes no server that looks for leftovers, as it does each half minute.
    async fn no_network_of_nodes_is_left(&self) {
        let deadline = Instant::now() + PATIENCE / 3;
        while self.networks().await > 1 {
            assert!(Instant::now() < deadline, "the nodes' network stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[story]
async fn nodes_reach_the_main_node_and_end_with_it() {
    let image = engine();
    let cluster = Contained::roomy();
    // The first attempt's main node fails, and all nodes get another one.
    let id = cluster.submit_nodes(image, "[ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 3", 2).await;
    let batch = cluster.batch();
    let job = batch.ended(&id).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    let main = batch.describe(&format!("{id}#1")).await;
    let codes: Vec<_> = main.attempts().iter().map(|a| a.container().unwrap().exit_code()).collect();
    assert_eq!(codes, [Some(3), Some(0)]);
    assert_eq!(batch.output(&main).await, ["main none of 3", "0", "2"]);
    for index in [0, 2] {
        let node = batch.describe(&format!("{id}#{index}")).await;
        assert_eq!((exit_code(&node), node.attempts().len()), (Some(9), 2), "{node:?}");
        assert_eq!(batch.output(&node).await, ["403", "sent", "stopped"]);
    }
    // The cluster runs on: the nodes' networks have gone with them.
    cluster.no_container_is_left().await;
    cluster.no_network_of_nodes_is_left().await;
    cluster.nothing_is_left().await;
}

#[story]
async fn nodes_outlive_the_server_and_end_when_their_job_is_terminated() {
    let image = engine();
    let cluster = Contained::roomy();
    let id = cluster.submit_nodes(image, "trap 'exit 8' TERM; while :; do sleep 0.05; done", 2).await;
    cluster.all_sent(&id).await;
    assert_eq!(cluster.networks().await, 2);
    cluster.cluster.kill_server();
    cluster.cluster.ok(&["start"]);
    let batch = cluster.batch();
    batch.running(&id).await;
    assert_eq!((cluster.networks().await, cluster.containers().await.len()), (2, 3));
    batch.batch.terminate_job().job_id(&id).reason("enough").send().await.unwrap();
    let job = batch.ended(&id).await;
    assert_eq!((job.status(), job.status_reason()), (Some(&JobStatus::Failed), Some("enough")));
    assert_eq!(exit_code(&batch.describe(&format!("{id}#1")).await), Some(8));
    cluster.no_container_is_left().await;
    cluster.no_network_of_nodes_is_left().await;
    cluster.nothing_is_left().await;
}

#[story]
async fn nodes_whose_runners_are_killed_begin_again_in_a_network_of_their_own() {
    let image = engine();
    let cluster = Contained::roomy();
    let end = "[ $AWS_BATCH_JOB_ATTEMPT = 2 ] || sleep 1000";
    let id = cluster.submit_nodes(image, end, 2).await;
    cluster.all_sent(&id).await;
    cluster.cluster.kill_server();
    for runner in runner_pids(&cluster.cluster) {
        kill(runner, "KILL");
    }
    cluster.cluster.ok(&["start", "--vcpus", "3"]);
    let batch = cluster.batch();
    let job = batch.ended(&id).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    let main = batch.describe(&format!("{id}#1")).await;
    assert!(main.attempts()[0].status_reason().unwrap().starts_with("Host EC2"), "{main:?}");
    assert_eq!(batch.output(&main).await, ["main none of 3", "0", "2"]);
    cluster.nothing_is_left().await;
}

/// The processes of this cluster's runners: their working directory is its home.
fn runner_pids(cluster: &Cluster) -> Vec<u32> {
    let home = cluster.home().canonicalize().unwrap();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == home))
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|b| *b == 0).nth(1) == Some(b"runner".as_slice()))
        })
        .collect()
}

#[story]
async fn a_damaged_record_of_what_is_on_the_engine_loses_nothing() {
    let image = engine();
    let cluster = Contained::started();
    let definition = cluster.register(small(image)).await;
    let job = cluster.submit(&definition, sh("echo begun; sleep 1000")).await;
    cluster.batch().running(&job).await;
    // Somebody else's network, and one of another home.
    let of_others = [("another", "awsb.home"), ("stranger", "somebody")].map(|(name, label)| {
        let name = format!("{name}-{}", cluster.home_id());
        let labels = HashMap::from([(label.to_owned(), "else".to_owned())]);
        NetworkCreateRequest { name, labels: Some(labels), ..NetworkCreateRequest::default() }
    });
    for network in &of_others {
        cluster.docker.create_network(network.clone()).await.unwrap();
    }
    let (id, ours) = (cluster.home_id(), cluster.ours());
    let record = cluster.cluster.home().join("containers.json");
    for damage in ["", "{\"homeId\"", "{}", "nonsense"] {
        cluster.cluster.kill_server();
        std::fs::write(&record, damage).unwrap();
        cluster.cluster.ok(&["start"]);
        // Running jobs go on, and later jobs join them.
        let (other, output) = cluster.run(&definition, sh("echo joined")).await;
        assert_eq!((other.status(), output), (Some(&JobStatus::Succeeded), vec!["joined".to_owned()]));
        assert_eq!(cluster.home_id(), id, "{damage:?}");
        assert_eq!(cluster.batch().describe(&job).await.status(), Some(&JobStatus::Running), "{damage:?}");
    }
    // Without a server, too: all that is ours goes, and nothing else.
    cluster.cluster.kill_server();
    for runner in runner_pids(&cluster.cluster) {
        kill(runner, "KILL");
    }
    std::fs::write(&record, "nonsense").unwrap();
    cluster.cluster.ok(&["reset", "--yes"]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&ours).build();
    assert_eq!(cluster.docker.list_containers(Some(options)).await.unwrap().len(), 0);
    let options = ListNetworksOptionsBuilder::new().filters(&ours).build();
    assert_eq!(cluster.docker.list_networks(Some(options)).await.unwrap().len(), 0);
    for network in &of_others {
        cluster.docker.remove_network(&network.name).await.expect("it is still there");
    }
}
