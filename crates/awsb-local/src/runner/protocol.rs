//! The messages between server and runner: a JSON object a line, over the home's Unix socket.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use bollard::models::ContainerCreateBody;
use serde::{Deserialize, Serialize};

use awsb_model::limits;

/// The prefix of every secret access key of a local cluster, so that runners can recognise one.
pub const SECRET_PREFIX: &str = "KeyOfAwsbLocal";
/// How many hexadecimal digits follow: 160 bits.
pub const SECRET_DIGITS: usize = 40;

/// The variable that identifies the processes of an attempt, also when their runner is gone.
pub const TASK_VARIABLE: &str = "AWSB_TASK";

/// Writes a value as one line of JSON.
///
/// # Errors
/// When the stream does not take it.
pub fn write_line(stream: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// The ID of one attempt of one job: 32 hexadecimal digits, like the ID of an ECS task. It is the
/// last part of the `taskArn` that DescribeJobs returns, so files and the database name it `task`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(String);

impl AttemptId {
    /// A new random ID.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID in an environment variable, if it is one.
    pub fn parse(text: String) -> Option<Self> {
        let is_id = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then_some(Self(text))
    }
}

impl From<String> for AttemptId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of one runner: 32 hexadecimal digits. It names the runner's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RunnerId(String);

impl TryFrom<String> for RunnerId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not the ID of a runner")
    }
}

impl RunnerId {
    /// A new random ID.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A runner ID from a command line or a database; it becomes a file name, so nothing but
    /// hexadecimal digits will do.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }
}

/// The first line that anyone says on the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Greeting {
    /// A runner, and what it has.
    Runner(Hello),
    /// `blocal status`; answered with a status.
    Status,
    /// `blocal reset`; all jobs are ended, and the answer is a status.
    EndAll,
    /// `blocal rotate`: the owner's key is replaced, and with `jobs` those of running jobs; the
    /// answer says what was replaced.
    Rotate {
        /// Whether the keys of jobs go, too.
        jobs: bool,
    },
    /// `blocal stop`; answered with a status, then the server stops.
    Stop,
}

/// A runner that has just connected: who it is and what it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The runner.
    pub runner: RunnerId,
    /// The job that it makes ready to run: its container is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting: Option<AttemptId>,
    /// The job that it runs.
    pub running: Option<Started>,
    /// The jobs whose end the server has not told it to forget.
    pub ended: Vec<Ended>,
}

/// From a runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// The job's process or container runs.
    Started(Started),
    /// The job has ended.
    Ended(Ended),
    /// A container of a job of several has started or ended, while others are yet to start or run.
    Containers {
        /// Which attempt.
        #[serde(rename = "task")]
        attempt_id: AttemptId,
        /// All containers that have begun.
        containers: Vec<ContainerState>,
    },
    /// The job's process cannot be started yet; it is tried again.
    Delayed {
        /// The job's ID.
        job: String,
        /// Why.
        why: String,
    },
}

/// A job's process or container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Which attempt.
    #[serde(rename = "task")]
    pub attempt_id: AttemptId,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Where the other nodes reach it, for the container of a multi-node job's main node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The containers that have begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerState>,
}

/// A container of an attempt that has begun, as its runner knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerState {
    /// Its index in the job definition; 0 for the only one.
    pub index: usize,
    /// The engine's ID for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The engine's ID for its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// Its addresses in the networks of the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Ipv4Addr>,
    /// When the engine made it, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// When it started, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// How a job's attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Which attempt.
    #[serde(rename = "task")]
    pub attempt_id: AttemptId,
    /// When its process or container began to run; `None` when it never did.
    pub started_at: Option<i64>,
    /// When it ended, in milliseconds since the epoch.
    pub at: i64,
    /// The exit code, 128 + signal for a process that a signal ended; `None` for a container that
    /// never was, or whose end nobody has seen.
    pub exit_code: Option<i32>,
    /// More about the end (`container.reason`).
    pub reason: Option<String>,
    /// Whether the attempt's time had run out.
    pub timed_out: bool,
    /// Whether it ended because what it ran on was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// Why not all of its output is in the log stream, if so.
    #[serde(rename = "unkept", default, skip_serializing_if = "Option::is_none")]
    pub lost_output: Option<String>,
    /// How many bytes the file of its log stream has, if that is known; for a job of several
    /// containers, that of the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// The ends of its containers in the order of the job definition, for a job of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerEnd>,
}

/// How a container of a task has ended (API: AttemptTaskContainerDetails).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEnd {
    /// Whether it ran.
    pub started: bool,
    /// The exit code, for a container that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// More about the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many bytes the file of its log stream has, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
}

/// From the server to a runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// The environment that every job has, apart from its key pair; sent once, after the greeting.
    Setup {
        /// Names and values.
        environment: Vec<(String, String)>,
    },
    /// Run this.
    Run(Box<Run>),
    /// End the job: SIGTERM, and after [`Run::kill_after_ms`] SIGKILL.
    Stop {
        /// Which attempt.
        #[serde(rename = "task")]
        attempt_id: AttemptId,
    },
    /// The server has the end of this attempt on disk: it may be forgotten.
    Forget {
        /// Which attempt.
        #[serde(rename = "task")]
        attempt_id: AttemptId,
        /// The number of the commit with which it is there.
        #[serde(default)]
        commit: u64,
    },
}

/// The time from SIGTERM to SIGKILL that every job has, in milliseconds.
pub const KILL_AFTER_MS: i64 = limits::STOP_GRACE.as_millis() as i64;

/// An attempt to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Which attempt.
    #[serde(rename = "task")]
    pub attempt_id: AttemptId,
    /// The ID of the job.
    #[serde(default)]
    pub job: String,
    /// The number of the attempt, from 1 on.
    #[serde(default)]
    pub attempt: u32,
    /// The program and its arguments; for a container they are in its own part.
    pub command: Vec<String>,
    /// The job's own variables, on top of the common ones; a later one wins. For a container they
    /// are in its own part.
    pub environment: Vec<(String, String)>,
    /// Soft limits of a process, by their names in the API (Ulimit); for a container they are in
    /// its own part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, i64>,
    /// The container that it runs in; `None` means a process of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<Container>>,
    /// The file of the log stream, relative to the home.
    pub log: String,
    /// The attempt's time limit, from its start.
    pub timeout_ms: Option<i64>,
    /// The time from SIGTERM to SIGKILL.
    pub kill_after_ms: i64,
}

/// The container of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The address of the Docker engine.
    pub engine: String,
    /// The ID of the home that it belongs to.
    pub home: String,
    /// The ID of the job.
    pub job: String,
    /// Whether an earlier attempt may have left a container behind, which must go first.
    pub again: bool,
    /// The main node's attempt, for a node of a multi-node job: with it begins and ends the network
    /// that the nodes have besides the home's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_node: Option<AttemptId>,
    /// Whether the image is pulled with the credentials that `docker login` has stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_login: bool,
    /// Why there can be no container; the attempt ends with this reason.
    pub refused: Option<String>,
    /// The request to the engine: command, environment, limits, mounts, labels. For a task it is
    /// that of the container that holds its network.
    pub body: ContainerCreateBody,
    /// The containers of a task, in the order of the job definition; none for a job of one
    /// container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<TaskContainer>,
}

/// A container of a task (API: TaskContainerProperties).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskContainer {
    /// The name, by which others depend on it.
    pub name: String,
    /// Whether its end ends the task.
    pub essential: bool,
    /// Its dependencies: it waits for them before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<ContainerDependency>,
    /// How long others may wait for its end, counted from its start, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout_ms: Option<i64>,
    /// The time from SIGTERM to SIGKILL, in milliseconds.
    pub stop_timeout_ms: i64,
    /// The file of its log stream, relative to the home.
    pub log: String,
    /// Whether its image is pulled with the credentials of `docker login`.
    #[serde(default)]
    pub with_login: bool,
    /// The request to the engine.
    pub body: ContainerCreateBody,
}

/// API: TaskContainerDependency, with the other container found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerDependency {
    /// The index of the other container.
    pub container: usize,
    /// The condition that the other one has to meet.
    pub condition: Condition,
}

/// API: TaskContainerDependency.condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// It has started.
    Start,
    /// It has ended.
    Complete,
    /// It has ended with the exit code 0.
    Success,
}
