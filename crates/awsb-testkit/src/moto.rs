//! A moto server on this machine; what it can and cannot do is written in `moto_cluster.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use base64::Engine;
use serde_json::Value;

use crate::Sandbox;
use crate::foreign::{engine, python, script};

/// The moto server of this test binary. It ends by itself when the process does: its standard input
/// is a pipe from us.
#[derive(Debug)]
pub struct Moto {
    endpoint: String,
    folder: PathBuf,
    conversation: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Child,
}

impl Moto {
    /// The password in the tokens of its ECR, beside the user `AWS`.
    pub const ECR_PASSWORD: &str = "123456789012-auth-token";

    /// The server, with containers for its jobs.
    pub fn with_containers() -> &'static Self {
        static MOTO: OnceLock<Moto> = OnceLock::new();
        let image = engine();
        MOTO.get_or_init(|| Self::start(&["--image", image]))
    }

    /// A server whose jobs have SUCCEEDED as soon as they are submitted.
    pub fn without_containers() -> &'static Self {
        static MOTO: OnceLock<Moto> = OnceLock::new();
        // Asked for here: a server that could not begin would be begun again by each story.
        python();
        MOTO.get_or_init(|| Self::start(&["--no-docker"]))
    }

    fn start(args: &[&str]) -> Self {
        // The server removes it at its end, which we do not live to see.
        let folder =
            tempfile::Builder::new().prefix("awsb-moto-").tempdir().expect("a temporary folder").keep();
        let mut process = Command::new(python().join("bin/python"))
            .arg(script("moto_cluster.py"))
            .arg(&folder)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let stdin = process.stdin.take().expect("a pipe");
        let stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut moto = Self {
            endpoint: String::new(),
            folder,
            conversation: Mutex::new((stdin, stdout)),
            _process: process,
        };
        moto.endpoint = field(&moto.answer(""), "endpoint");
        moto
    }

    /// Says a line (nothing, when empty) and reads the answer.
    fn answer(&self, line: &str) -> Value {
        // A test that failed while it talked has said why; the others have their own failures.
        let mut conversation = self.conversation.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (stdin, stdout) = &mut *conversation;
        if !line.is_empty() {
            writeln!(stdin, "{line}").expect("moto listens");
        }
        let mut answer = String::new();
        stdout.read_line(&mut answer).expect("moto answers");
        serde_json::from_str(&answer).unwrap_or_else(|e| {
            let log = std::fs::read_to_string(self.folder.join("moto.log")).unwrap_or_default();
            panic!("moto's answer {answer:?}: {e}\n{log}")
        })
    }

    /// Makes a cluster; its name has three letters or more.
    pub fn cluster(&'static self, name: &str) -> MotoCluster {
        let parts = self.answer(name);
        MotoCluster { moto: self, parts }
    }
}

/// A compute environment, a queue, a job definition and a bucket.
#[derive(Debug)]
pub struct MotoCluster {
    moto: &'static Moto,
    parts: Value,
}

impl MotoCluster {
    /// One of `job_queue`, `job_definition`, `compute_environment` (ARNs), `bucket`, `region`,
    /// `name`.
    pub fn part(&self, name: &str) -> String {
        field(&self.parts, name)
    }

    /// The server's address.
    pub fn endpoint(&self) -> &str {
        &self.moto.endpoint
    }

    /// The settings file for it, in which it is the default and called `moto`.
    pub fn config(&self) -> String {
        let part = |name| self.part(name);
        format!(
            "default_cluster = \"moto\"\n\n[cluster.moto]\nregion = {:?}\nendpoint_url = {:?}\nbucket = {:?}\n\
             job_queue = {:?}\njob_definition = {:?}\n",
            part("region"),
            self.endpoint(),
            part("bucket"),
            part("name"),
            part("name"),
        )
    }

    /// A sandbox in which our tools use this cluster. moto takes any credentials; there have to be
    /// some.
    pub fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::new();
        sandbox.set("AWS_ACCESS_KEY_ID", "moto");
        sandbox.set("AWS_SECRET_ACCESS_KEY", "moto");
        sandbox.config(&self.config());
        sandbox
    }

    /// A sandbox in which the `aws` CLI and Python (with boto3) use the same server.
    pub fn aws_sandbox(&self) -> Sandbox {
        let mut sandbox = self.sandbox();
        sandbox.set("AWS_ENDPOINT_URL", self.endpoint());
        sandbox.set("AWS_DEFAULT_REGION", self.part("region"));
        sandbox.use_python();
        sandbox
    }

    /// The bodies of the requests that reached an operation of a service with AWS's JSON protocol,
    /// such as ECR's `DescribeImages`, from all tests, in the order in which they came.
    pub fn calls(&self, operation: &str) -> Vec<Value> {
        let recording = std::fs::read_to_string(self.moto.folder.join("requests.jsonl")).unwrap_or_default();
        let requests = recording.lines().map(|line| serde_json::from_str(line).expect("moto's recording"));
        let is_meant = |request: &Value| {
            let headers = request["headers"].as_object().into_iter().flatten();
            let mut targets = headers.filter(|(name, _)| name.eq_ignore_ascii_case("x-amz-target"));
            targets.any(|(_, target)| target.as_str().is_some_and(|t| t.ends_with(&format!(".{operation}"))))
        };
        requests.filter(is_meant).map(|request| body(&request)).collect()
    }

    /// The bodies of all requests so far for an operation that a header names:
    /// `CodeBuild_20161006.StartBuild`.
    pub fn targeted(&self, target: &str) -> Vec<Value> {
        let recording = std::fs::read_to_string(self.moto.folder.join("requests.jsonl")).unwrap_or_default();
        let requests = recording.lines().map(|line| serde_json::from_str(line).expect("moto's recording"));
        requests
            .filter(|request: &Value| request["headers"]["X-Amz-Target"] == target)
            .map(|request| body(&request))
            .collect()
    }

    /// The bodies of the requests that reached one operation of Batch for this cluster's queue,
    /// such as `submitjob`, in the order in which they came.
    pub fn requests(&self, operation: &str) -> Vec<Value> {
        let recording = std::fs::read_to_string(self.moto.folder.join("requests.jsonl")).unwrap_or_default();
        let path = format!("/v1/{operation}");
        let requests = recording.lines().map(|line| serde_json::from_str(line).expect("moto's recording"));
        requests
            .filter(|request: &Value| request["url"].as_str().is_some_and(|url| url.ends_with(&path)))
            .map(|request| body(&request))
            .filter(|body| {
                let queue = body["jobQueue"].as_str().unwrap_or_default();
                queue == self.part("name") || queue == self.part("job_queue")
            })
            .collect()
    }
}

/// The body of a recorded request; moto's recording has it in Base64.
fn body(request: &Value) -> Value {
    let text = request["body"].as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("Base64");
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

impl Sandbox {
    /// A sandbox with a local cluster, its exports, and the `aws` CLI and boto3.
    pub fn with_aws() -> Self {
        let mut sandbox = Self::new();
        sandbox.use_python();
        sandbox.use_local_exports();
        sandbox
    }

    /// Puts the Python environment's programs (`aws`, `python`, `awsbsub`) into `PATH`.
    pub fn use_python(&mut self) {
        let python = python().join("bin");
        let path = self.get("PATH").unwrap_or_default().to_owned();
        self.set("PATH", format!("{}:{path}", python.display()));
    }
}
