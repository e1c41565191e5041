//! A local cluster of its own for each test, gone when the test is over.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_batch::config::SharedHttpClient;
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::types::{ArrayProperties, ContainerOverrides, JobDetail, JobStatus};

use crate::harness::program_built;

/// How long anything may take before a test says that it does not happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A local cluster in a folder of its own.
pub struct Cluster {
    home: tempfile::TempDir,
}

/// The values that a client needs to reach the cluster.
#[derive(Debug, Clone)]
pub struct Access {
    /// The address of all its services.
    pub endpoint_url: String,
    /// The owner's.
    pub access_key_id: String,
    /// The owner's.
    pub secret_access_key: String,
}

impl Cluster {
    /// A home without a server.
    pub fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("awsb-local").tempdir().unwrap() }
    }

    /// A home without a server in a folder, such as that of a [small disk](crate::SmallDisk).
    pub fn within(folder: &Path) -> Self {
        Self { home: tempfile::Builder::new().prefix("awsb-local").tempdir_in(folder).unwrap() }
    }

    /// A home with a server that answers.
    pub fn started() -> Self {
        let cluster = Self::new();
        cluster.ok(&["start"]);
        cluster
    }

    /// The folder with its state.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `blocal` with these arguments, in this home.
    pub fn blocal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program_built("blocal"));
        command
            .args(arguments)
            .env("AWSB_LOCAL_HOME", self.home())
            .env_remove("AWSB_CLUSTER")
            .stdin(Stdio::null());
        command
    }

    /// Runs `blocal` and returns what it prints; it has to succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.blocal(arguments).output().unwrap();
        assert!(output.status.success(), "blocal {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `blocal` to its end, however it ends.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.blocal(arguments).output().unwrap()
    }

    /// The one object that `blocal … --json` prints.
    pub fn json(&self, action: &str) -> serde_json::Value {
        let output = self.run(&[action, "--json"]);
        let value: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        value[0].clone()
    }

    /// The values that `blocal env` prints.
    pub fn access(&self) -> Access {
        let env = self.json("env");
        let get = |name: &str| env[name].as_str().unwrap().to_owned();
        Access {
            endpoint_url: get("AWS_ENDPOINT_URL"),
            access_key_id: get("AWS_ACCESS_KEY_ID"),
            secret_access_key: get("AWS_SECRET_ACCESS_KEY"),
        }
    }

    /// The process ID of the server that runs.
    pub fn server_pid(&self) -> u32 {
        u32::try_from(self.json("status")["pid"].as_u64().unwrap()).unwrap()
    }

    /// `kill -9` for the server; returns when it is gone.
    pub fn kill_server(&self) {
        let pid = self.server_pid();
        kill(pid, "KILL");
        until("the server is gone", || !self.run(&["status"]).status.success());
    }

    /// Clients for Batch and CloudWatch Logs, with the owner's key.
    pub fn batch(&self) -> Batch {
        Batch::new(&self.access())
    }

    /// A client for S3, with the owner's key.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        s3(&self.access())
    }

    /// The runners that live now: those that hold the lock of their file.
    pub fn runners(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.home().join("runners")) else { return 0 };
        let locks = entries
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "lock"));
        locks
            .filter(|path| std::fs::File::open(path).is_ok_and(|file| file.try_lock_shared().is_err()))
            .count()
    }

    /// Everything that the cluster has said in its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Jobs of a failed test may run on: they are ended with their cluster.
        if self.run(&["status"]).status.success() {
            let access = self.access();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(Batch::new(&access).terminate_everything());
            })
            .join()
            .ok();
        }
        self.run(&["stop"]);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.runners() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::thread::panicking() {
            eprintln!("server.log:\n{}", self.log());
        }
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "does not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal, such as `KILL`, to a process that is there.
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Whether a process lives (a zombie does not).
pub fn lives(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// An HTTP client for the SDK, which is built without one. It speaks no TLS, as the servers of
/// tests do not.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

/// A client for S3.
pub fn s3(access: &Access) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&access.endpoint_url)
        .http_client(http_client())
        .credentials_provider(credentials(access))
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// The key pair, for the SDK.
pub fn credentials(access: &Access) -> Credentials {
    Credentials::new(&access.access_key_id, &access.secret_access_key, None, None, "test")
}

/// Batch and Logs of a cluster.
pub struct Batch {
    /// The client for Batch.
    pub batch: aws_sdk_batch::Client,
    /// The client for CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
}

/// A job to submit.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The command of the container override.
    pub command: Vec<String>,
    /// The size of an array job.
    pub size: Option<i32>,
    /// The attempts of the retry strategy.
    pub attempts: Option<i32>,
    /// Variables of the container override.
    pub environment: Vec<(String, String)>,
    /// The timeout of an attempt, in seconds.
    pub timeout_s: Option<i32>,
}

/// A job that runs `script` under `sh`.
pub fn sh(script: &str) -> Job {
    Job { command: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Job::default() }
}

impl Job {
    /// As an array job of this size.
    pub fn size(self, size: i32) -> Self {
        Self { size: Some(size), ..self }
    }

    /// With this many attempts.
    pub fn attempts(self, attempts: i32) -> Self {
        Self { attempts: Some(attempts), ..self }
    }

    /// With one more variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }
}

impl Batch {
    /// With these credentials.
    pub fn new(access: &Access) -> Self {
        let batch = aws_sdk_batch::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&access.endpoint_url)
            .http_client(http_client())
            .credentials_provider(credentials(access))
            .build();
        let logs = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&access.endpoint_url)
            .http_client(http_client())
            .credentials_provider(credentials(access))
            .build();
        Self {
            batch: aws_sdk_batch::Client::from_conf(batch),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(logs),
        }
    }

    /// Submits a job to the queue `local`; returns its ID.
    pub async fn submit(&self, job: Job) -> String {
        self.submit_after(job, &[]).await
    }

    /// Submits a job that depends on others: their IDs, and the types of dependency.
    pub async fn submit_after(&self, job: Job, on: &[(Option<&str>, Option<&str>)]) -> String {
        use aws_sdk_batch::types::{JobDependency, JobTimeout, KeyValuePair, RetryStrategy};
        let depends_on = on.iter().map(|(id, kind)| {
            JobDependency::builder()
                .set_job_id(id.map(str::to_owned))
                .set_type(kind.map(|kind| kind.into()))
                .build()
        });
        let variables = job.environment.iter().map(|(n, v)| KeyValuePair::builder().name(n).value(v).build());
        let overrides = ContainerOverrides::builder()
            .set_command(Some(job.command))
            .set_environment(Some(variables.collect()))
            .build();
        let submitted = self
            .batch
            .submit_job()
            .job_name("test")
            .job_queue("local")
            .job_definition("local")
            .container_overrides(overrides)
            .set_depends_on(Some(depends_on.collect()))
            .set_array_properties(job.size.map(|n| ArrayProperties::builder().size(n).build()))
            .set_retry_strategy(job.attempts.map(|n| RetryStrategy::builder().attempts(n).build()))
            .set_timeout(job.timeout_s.map(|s| JobTimeout::builder().attempt_duration_seconds(s).build()))
            .send()
            .await
            .unwrap();
        submitted.job_id().unwrap().to_owned()
    }

    /// The job as DescribeJobs returns it. It has to exist.
    pub async fn describe(&self, id: &str) -> JobDetail {
        let described = self.batch.describe_jobs().jobs(id).send().await.unwrap();
        described.jobs().first().cloned().unwrap_or_else(|| panic!("job {id} is lost"))
    }

    /// The job once `holds` holds of it.
    pub async fn once(&self, id: &str, what: &str, holds: impl Fn(&JobDetail) -> bool) -> JobDetail {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let job = self.describe(id).await;
            if holds(&job) {
                return job;
            }
            assert!(Instant::now() < deadline, "does not happen: {what}: {job:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The job once it is RUNNING.
    pub async fn running(&self, id: &str) -> JobDetail {
        self.once(id, "RUNNING", |job| job.status() == Some(&JobStatus::Running)).await
    }

    /// The job once it has SUCCEEDED or FAILED.
    pub async fn ended(&self, id: &str) -> JobDetail {
        self.once(id, "the end", |job| matches!(job.status(), Some(JobStatus::Succeeded | JobStatus::Failed)))
            .await
    }

    /// Submits a job and waits for its end.
    pub async fn run(&self, job: Job) -> JobDetail {
        let id = self.submit(job).await;
        self.ended(&id).await
    }

    /// All the messages of a job's log stream, read page by page.
    pub async fn output(&self, job: &JobDetail) -> Vec<String> {
        let stream = job.container().and_then(|c| c.log_stream_name()).expect("a log stream").to_owned();
        let (mut token, mut messages): (Option<String>, _) = (None, Vec::new());
        loop {
            let page = self
                .logs
                .get_log_events()
                .log_group_name("/aws/batch/job")
                .log_stream_name(&stream)
                .start_from_head(true)
                .set_next_token(token.clone())
                .send()
                .await
                .unwrap();
            messages.extend(page.events().iter().map(|e| e.message().unwrap_or_default().to_owned()));
            let next = page.next_forward_token().map(str::to_owned);
            if next == token {
                return messages;
            }
            token = next;
        }
    }

    async fn terminate_everything(&self) {
        for status in [JobStatus::Runnable, JobStatus::Pending, JobStatus::Starting, JobStatus::Running] {
            let listed = self.batch.list_jobs().job_queue("local").job_status(status).send().await;
            for job in listed.iter().flat_map(|l| l.job_summary_list()) {
                let id = job.job_id().unwrap_or_default();
                let _ = self.batch.terminate_job().job_id(id).reason("the test is over").send().await;
            }
        }
    }
}

/// A file that a job can append lines to.
pub fn notes(cluster: &Cluster) -> PathBuf {
    cluster.home().join("notes")
}

/// The lines of a file; none where there is no file.
pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
