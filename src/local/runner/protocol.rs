//! What server and runner say to each other: a JSON object a line, over the home's Unix socket.

use serde::{Deserialize, Serialize};

use crate::job::limits;

/// The identity of one attempt of one job: 32 hexadecimal digits, like the ID of an ECS task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(String);

impl TaskId {
    /// A new one that nobody else has.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for TaskId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for TaskId {
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
    /// A new one that nobody else has.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A runner ID from a command line or a database; it becomes a file name, so nothing but hexadecimal digits will do.
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
    /// `blocal stop`; answered with a status, then the server stops.
    Stop,
}

/// A runner that has just connected: who it is and what it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Who.
    pub runner: RunnerId,
    /// The job that it runs.
    pub running: Option<Started>,
    /// The jobs whose end it has not been told to forget.
    pub ended: Vec<Ended>,
}

/// From a runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// The job's process exists.
    Started(Started),
    /// The job has ended.
    Ended(Ended),
}

/// A job's process exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Which attempt.
    pub task: TaskId,
    /// When, in milliseconds since the epoch.
    pub at: i64,
}

/// How a job's attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Which attempt.
    pub task: TaskId,
    /// When its process came to exist; `None` when it never did.
    pub started_at: Option<i64>,
    /// When it ended, in milliseconds since the epoch.
    pub at: i64,
    /// The exit code; 128 + signal for a process that a signal ended.
    pub exit_code: i32,
    /// What else is to be said (`container.reason`).
    pub reason: Option<String>,
    /// Whether the attempt's time had run out.
    pub timed_out: bool,
}

/// From the server to a runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// The environment that every job has; said once, after the greeting.
    Setup {
        /// Names and values.
        environment: Vec<(String, String)>,
    },
    /// Run this.
    Run(Box<Run>),
    /// End the job: SIGTERM, and after [`Run::kill_after_ms`] SIGKILL.
    Stop {
        /// Which attempt.
        task: TaskId,
    },
    /// The server has the end of this attempt on disk: it may be forgotten.
    Forget {
        /// Which attempt.
        task: TaskId,
    },
}

/// The time from SIGTERM to SIGKILL that every job has, in milliseconds.
pub const KILL_AFTER_MS: i64 = limits::STOP_GRACE.as_millis() as i64;

/// An attempt to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Which attempt.
    pub task: TaskId,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The job's own variables, on top of the common ones; a later one wins.
    pub environment: Vec<(String, String)>,
    /// The file of the log stream, relative to the home.
    pub log: String,
    /// The attempt's time limit, from its start.
    pub timeout_ms: Option<i64>,
    /// The time from SIGTERM to SIGKILL.
    pub kill_after_ms: i64,
}
