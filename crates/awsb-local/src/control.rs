//! The socket in the home: runners connect to it, and `blocal status` and `blocal stop` ask there.
//!
//! It needs no signature: the home is a folder that only the user can enter.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::batch::{Handle, Message};
use super::capacity::Resources;
use super::home::SOCKET;
use super::runner::protocol::{Greeting, Order, Report};
use super::space;

/// What the local cluster is doing.
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
    /// What this machine has.
    pub capacity: Resources,
    /// What of it is not in use.
    pub free: Resources,
    /// What keeps it from working as it should, if anything does.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What it found to be lost when it started.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What has become of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// The owner's new access key ID.
    pub access_key_id: String,
    /// The jobs that run and whose keys are not valid any more.
    pub revoked: Vec<Revoked>,
}

/// A job that runs and has lost its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Its ID; a child's or a node's own.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
}

impl JobCounts {
    /// How many have not ended.
    pub fn active(&self) -> u64 {
        self.submitted + self.pending + self.runnable + self.starting + self.running
    }
}

/// How many jobs are in each status.
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

/// The server's end of a connection to a runner.
#[derive(Debug)]
pub struct Link {
    /// Tells this connection from an earlier one of the same runner.
    pub number: u64,
    stream: UnixStream,
}

impl Link {
    /// Tells the runner what to do.
    ///
    /// # Errors
    /// When the runner is gone, or has not listened for ten seconds.
    pub fn send(&mut self, order: &Order) -> io::Result<()> {
        send(&mut self.stream, order)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The thread that reads from the runner ends with this.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// What the socket's threads need to answer.
pub struct Desk {
    /// The engine.
    pub engine: Handle,
    /// Answers `blocal status`.
    pub status: Box<dyn Fn() -> io::Result<Status> + Send + Sync>,
    /// Replaces the owner's key, and those of the jobs that run if it is told so.
    pub rotate: Box<dyn Fn(bool) -> io::Result<Rotated> + Send + Sync>,
    /// Has the server stop.
    pub stop: Box<dyn Fn() + Send + Sync>,
}

/// Opens the socket and answers on it, in threads of its own, as long as the process lives. The
/// working directory is the home.
///
/// # Errors
/// When the socket cannot be made.
pub fn open(desk: Desk) -> io::Result<()> {
    // We hold the server's lock, so what is there was left by a server that is gone.
    match std::fs::remove_file(SOCKET) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    std::fs::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o600))?;
    let desk = Arc::new(desk);
    let numbers = AtomicU64::new(1);
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                Err(e) => {
                    // Out of descriptors, most likely: some will come back.
                    note!("control socket: {e}");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let (desk, number) = (Arc::clone(&desk), numbers.fetch_add(1, Ordering::Relaxed));
            let thread = std::thread::Builder::new().name("control".to_owned());
            if let Err(e) = thread.spawn(move || {
                if let Err(e) = serve(&desk, stream, number) {
                    note!("control socket: {e}");
                }
            }) {
                note!("control socket: {e}");
            }
        }
    })?;
    Ok(())
}

fn serve(desk: &Desk, stream: UnixStream, number: u64) -> io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut writer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    let Some(line) = lines.next() else { return Ok(()) };
    match serde_json::from_str(&line?).map_err(io::Error::other)? {
        Greeting::Status => answer(desk, &mut writer, (desk.status)()),
        Greeting::EndAll => {
            let ended = desk.engine.end_all();
            answer(desk, &mut writer, ended.and_then(|()| (desk.status)()))
        }
        Greeting::Rotate { jobs } => answer(desk, &mut writer, (desk.rotate)(jobs)),
        Greeting::Stop => {
            // A status that cannot be told keeps nobody from stopping.
            let answered = answer(desk, &mut writer, (desk.status)());
            (desk.stop)();
            answered
        }
        Greeting::Runner(hello) => {
            let id = hello.runner.clone();
            desk.engine.tell(Message::Hello(hello, Link { number, stream: writer }));
            for line in lines {
                // A runner that dies in the middle of a line: its journal has the whole story.
                let Ok(report) =
                    line.and_then(|l| serde_json::from_str::<Report>(&l).map_err(io::Error::other))
                else {
                    break;
                };
                desk.engine.tell(Message::Report(id.clone(), report));
            }
            desk.engine.tell(Message::Gone(id, number));
            Ok(())
        }
    }
}

/// Answers with what there is to tell, or with why there is nothing: an end of the connection without an answer
/// would be taken for a server that is going down.
fn answer<T: Serialize>(desk: &Desk, stream: &mut UnixStream, outcome: io::Result<T>) -> io::Result<()> {
    let outcome = outcome.map_err(|e| {
        note!("control socket: {e}");
        space::words(desk.engine.home(), &e)
    });
    send(stream, &outcome)
}

fn send(stream: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody has heard the question: the server may be coming up or going down.
    NotHeard(io::Error),
    /// It has been heard, perhaps, and there was no answer.
    Silence(io::Error),
    /// The server says why it could not do it.
    Failed(String),
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHeard(e) | Self::Silence(e) => e.fmt(f),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Asks the server of a home; the working directory becomes the home, as the socket's path may be too
/// long for a socket address.
///
/// # Errors
/// When no server answers within this time, or it says that it could not do what it was asked for.
pub fn ask<T: DeserializeOwned>(
    home: &Path,
    greeting: &Greeting,
    patience: Duration,
) -> Result<T, Unanswered> {
    let connected = std::env::set_current_dir(home).and_then(|()| UnixStream::connect(SOCKET));
    let stream = connected.map_err(Unanswered::NotHeard)?;
    let line = exchange(stream, greeting, patience).map_err(Unanswered::Silence)?;
    let answer: Result<T, String> =
        serde_json::from_str(&line).map_err(|e| Unanswered::Silence(io::Error::other(e)))?;
    answer.map_err(Unanswered::Failed)
}

fn exchange(mut stream: UnixStream, greeting: &Greeting, patience: Duration) -> io::Result<String> {
    stream.set_read_timeout(Some(patience))?;
    send(&mut stream, greeting)?;
    let mut line = String::new();
    let length = BufReader::new(stream).read_line(&mut line).map_err(|e| match e.kind() {
        // What the system says when the time is over is that the resource is not available.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} seconds", patience.as_secs()),
        ),
        _ => e,
    })?;
    if length == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has hung up without an answer"));
    }
    Ok(line)
}
