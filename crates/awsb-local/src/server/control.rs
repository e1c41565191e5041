//! The control socket: runners connect to it, and `blocal status`, `blocal stop` and others ask
//! there.
//!
//! It needs no signature, because only the user can enter the home.

use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::key_ring::KeyRing;
use crate::batch::{Handle, Message, Reader};
use crate::client::control::{ControlReply, Revoked, Rotated, Status};
use crate::containers::Containers;
use crate::home::files::SOCKET;
use crate::home::space;
use crate::runner::link::Link;
use crate::runner::protocol::{Greeting, Report, write_line};

/// The service on the control socket.
pub struct ControlService {
    /// The engine.
    pub engine: Handle,
    /// The reading end of the Batch database.
    pub reader: Reader,
    /// The container manager.
    pub containers: Containers,
    /// The URL of this server.
    pub endpoint_url: String,
    /// The process of this server.
    pub pid: u32,
    /// When this server started.
    pub started_at: i64,
    /// The losses that it found when it started.
    pub warnings: Vec<String>,
    /// The keys.
    pub key_ring: Arc<KeyRing>,
    /// Stops the server.
    pub stop: Arc<Notify>,
}

impl ControlService {
    /// Answers `blocal status`.
    fn status(&self) -> io::Result<Status> {
        let counts = self.reader.read_now(|db| Ok(db.counts()?)).map_err(|e| io::Error::other(e.message))?;
        let (capacity, free) = self.engine.resources();
        let problem = self.engine.problem().or_else(|| self.containers.problem());
        Ok(Status {
            pid: self.pid,
            endpoint_url: self.endpoint_url.clone(),
            started_at: self.started_at,
            jobs: counts.into(),
            capacity,
            free,
            problem: problem.or_else(|| self.reader.problem()),
            warnings: self.warnings.clone(),
        })
    }

    /// Answers `blocal rotate`.
    fn rotate(&self, jobs: bool) -> io::Result<Rotated> {
        // A client that gets an error has the key that is valid: everything else that can fail
        // comes before the rotation.
        let running = if jobs {
            self.reader.read_now(|db| Ok(db.assigned()?)).map_err(|e| io::Error::other(e.message))?
        } else {
            Vec::new()
        };
        let access_key_id = self.key_ring.rotate(jobs)?;
        tracing::info!(
            "the owner's key has been replaced{}",
            if jobs { ", and those of jobs revoked" } else { "" }
        );
        let revoked = running.into_iter().map(|(job_id, job_name)| Revoked { job_id, job_name });
        Ok(Rotated { access_key_id, revoked: revoked.collect() })
    }
}

/// Opens the socket and answers on it, in threads of its own, as long as the process lives. The
/// working directory is the home.
///
/// # Errors
/// When the socket cannot be made.
pub fn open(service: ControlService) -> io::Result<()> {
    // This process holds the server's lock, so a socket that is there was left by a server that is
    // gone.
    match std::fs::remove_file(SOCKET) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    std::fs::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o600))?;
    let service = Arc::new(service);
    let numbers = AtomicU64::new(1);
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                Err(e) => {
                    // Most likely no descriptor is free; some will be again.
                    tracing::warn!("control socket: {e}");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let (service, number) = (Arc::clone(&service), numbers.fetch_add(1, Ordering::Relaxed));
            let thread = std::thread::Builder::new().name("control".to_owned());
            if let Err(e) = thread.spawn(move || {
                if let Err(e) = serve(&service, stream, number) {
                    tracing::warn!("control socket: {e}");
                }
            }) {
                tracing::warn!("control socket: {e}");
            }
        }
    })?;
    Ok(())
}

fn serve(service: &ControlService, stream: UnixStream, number: u64) -> io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut writer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    let Some(line) = lines.next() else { return Ok(()) };
    match serde_json::from_str(&line?).map_err(io::Error::other)? {
        Greeting::Status => answer(service, &mut writer, service.status()),
        Greeting::EndAll => {
            let ended = service.engine.end_all();
            answer(service, &mut writer, ended.and_then(|()| service.status()))
        }
        Greeting::Rotate { jobs } => answer(service, &mut writer, service.rotate(jobs)),
        Greeting::Stop => {
            // The server stops, also when its status cannot be given.
            let answered = answer(service, &mut writer, service.status());
            service.stop.notify_one();
            answered
        }
        Greeting::Runner(hello) => {
            let id = hello.runner.clone();
            service.engine.send(Message::Connected(hello, Link::new(number, writer)));
            for line in lines {
                // A runner that dies in the middle of a line has written everything to its journal.
                let Ok(report) =
                    line.and_then(|l| serde_json::from_str::<Report>(&l).map_err(io::Error::other))
                else {
                    break;
                };
                service.engine.send(Message::Report(id.clone(), report));
            }
            service.engine.send(Message::Disconnected(id, number));
            Ok(())
        }
    }
}

/// Answers with a value, or with why there is none. If the connection ended without an answer, the
/// client would take it for a server that is stopping.
fn answer<T: Serialize>(
    service: &ControlService,
    stream: &mut UnixStream,
    outcome: io::Result<T>,
) -> io::Result<()> {
    let answer = match outcome {
        Ok(value) => ControlReply::Ok(value),
        Err(e) => {
            tracing::warn!("control socket: {e}");
            ControlReply::Err(space::words(service.engine.home(), &e))
        }
    };
    write_line(stream, &answer)
}
