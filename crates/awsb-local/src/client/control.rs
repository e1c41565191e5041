//! Asking the server of a home through its control socket.

use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::capacity::Resources;
use crate::home::files::SOCKET;
use crate::runner::protocol::{Greeting, write_line};

/// The state of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The server's process.
    pub pid: u32,
    /// `http://127.0.0.1:PORT`.
    pub endpoint_url: String,
    /// When the server started, in milliseconds since the epoch.
    pub started_at: i64,
    /// Jobs by status; an array counts as one.
    pub jobs: JobCounts,
    /// The resources of this machine.
    pub capacity: Resources,
    /// The resources that are not in use.
    pub free: Resources,
    /// The problem that keeps it from working as it should, if there is one.
    #[serde(default, rename = "trouble")]
    pub problem: Option<String>,
    /// The losses that it found when it started.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The result of a rotation of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// The owner's new access key ID.
    pub access_key_id: String,
    /// The running jobs whose keys are not valid any more.
    pub revoked: Vec<Revoked>,
}

/// A running job whose key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Its ID; a child's or a node's own.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
}

impl JobCounts {
    /// The number of jobs that have not ended.
    pub fn active(&self) -> u64 {
        self.submitted + self.pending + self.runnable + self.starting + self.running
    }
}

/// The number of jobs in each status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub struct JobCounts {
    pub submitted: u64,
    pub pending: u64,
    pub runnable: u64,
    pub starting: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
}

impl From<[u64; 7]> for JobCounts {
    fn from([submitted, pending, runnable, starting, running, succeeded, failed]: [u64; 7]) -> Self {
        Self { submitted, pending, runnable, starting, running, succeeded, failed }
    }
}

/// Why the server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The request did not reach a server: it may be starting or stopping.
    #[error(transparent)]
    NotReached(io::Error),
    /// The request may have reached the server, and no answer came.
    #[error(transparent)]
    NoAnswer(io::Error),
    /// The server says why it could not do it.
    #[error("{0}")]
    Refused(String),
}

/// Asks the server of a home. The home becomes the working directory, because the path of the
/// socket may be too long for a socket address.
///
/// # Errors
/// When no server answers within `timeout`, or the server says that it could not do what it was
/// asked for.
pub fn ask<T: DeserializeOwned>(
    home: &Path,
    greeting: &Greeting,
    timeout: Duration,
) -> Result<T, ControlError> {
    let connected = std::env::set_current_dir(home).and_then(|()| UnixStream::connect(SOCKET));
    let stream = connected.map_err(ControlError::NotReached)?;
    let line = exchange(stream, greeting, timeout).map_err(ControlError::NoAnswer)?;
    let answer: ControlReply<T> =
        serde_json::from_str(&line).map_err(|e| ControlError::NoAnswer(io::Error::other(e)))?;
    match answer {
        ControlReply::Ok(value) => Ok(value),
        ControlReply::Err(why) => Err(ControlError::Refused(why)),
    }
}

/// The answer of the server: the JSON of a `Result`.
#[derive(Debug, Serialize, Deserialize)]
pub enum ControlReply<T> {
    /// The value that was asked for.
    Ok(T),
    /// Why there is no value, for people.
    Err(String),
}

fn exchange(mut stream: UnixStream, greeting: &Greeting, timeout: Duration) -> io::Result<String> {
    stream.set_read_timeout(Some(timeout))?;
    write_line(&mut stream, greeting)?;
    let mut line = String::new();
    let length = BufReader::new(stream).read_line(&mut line).map_err(|e| match e.kind() {
        // After a timeout the system reports that the resource is not available.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} seconds", timeout.as_secs()))
        }
        _ => e,
    })?;
    if length == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has hung up without an answer"));
    }
    Ok(line)
}
