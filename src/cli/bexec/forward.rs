//! `--forward`: a port of this machine that leads to a port of the job.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::plugin::{self, PluginSession};
use crate::aws::session_stream::{self, needs_plugin};
use crate::aws::{Session, StartedSession, explain, port_request};
use crate::batch;
use crate::ui::{Exit, Failure, Layout, Output, SignalListener, View, print_message};
use awsb_model::session_frames::{Frame, INPUT_WINDOW};
use awsb_model::{Invalid, JobId, Status};

/// How often Batch is asked whether the job has ended.
const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// The ports of `--forward`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The port of this machine; 0 for any that is free.
    pub local: u16,
    /// The port of the job.
    pub remote: u16,
}

impl FromStr for Ports {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::because("give LOCAL:REMOTE or one port for both, each from 1 to 65535 (LOCAL may be 0)")
        };
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let ports = Self { local: port(local)?, remote: port(remote)? };
        if ports.remote == 0 { Err(wrong()) } else { Ok(ports) }
    }
}

/// A port that is forwarded.
struct Forwarded<'a> {
    local: u16,
    remote: u16,
    job: &'a str,
}

impl View for Forwarded<'_> {
    fn plain(&self) -> Layout {
        let Self { local, remote, job } = self;
        Layout::Lines(vec![format!("127.0.0.1:{local} leads to port {remote} of the job {job}.")])
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let Self { local, remote, job } = self;
        vec![json!({"jobId": job, "localAddress": "127.0.0.1", "localPort": local, "remotePort": remote})]
    }
}

/// Forwards a port until a signal comes or the job ends. `target` is the container as Systems
/// Manager names it.
///
/// # Errors
/// When the local port is not free, or there is no first session with the job.
pub async fn forward(
    session: &Session,
    ports: Ports,
    target: &str,
    job: &str,
    output: &Output,
) -> Result<Exit, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.local)).await.map_err(|e| {
        let failure = Failure::failed(format!("listening at 127.0.0.1:{}: {e}", ports.local));
        failure.hint(format!("`--forward 0:{}` takes a port that is free", ports.remote))
    })?;
    let local = listener.local_addr().map_or(ports.local, |address| address.port());
    let ports = Ports { local, ..ports };
    // The first session shows whether there can be one, and of which kind it is.
    let first = start(session, ports, target, job).await?;
    if needs_plugin(&first.stream_url) {
        drop(listener);
        if let Some(failure) = plugin::missing() {
            return Err(failure);
        }
        let answer = json!({
            "SessionId": first.session_id,
            "TokenValue": first.token_value,
            "StreamUrl": first.stream_url,
        });
        let parameters = port_request(target, ports.remote, local);
        return plugin::run(session, &PluginSession { answer, service: "SSM", parameters }).await;
    }
    output.show(&Forwarded { local, remote: ports.remote, job })?;
    let mut signals = SignalListener::listen();
    let mut next = Some(first);
    let mut connections = tokio::task::JoinSet::new();
    let mut job_end = pin!(job_end(session, job));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let (session, target, job) = (session.clone(), target.to_owned(), job.to_owned());
                let first = next.take();
                // A session that is refused (there may be too many at the same time) is the end of
                // this connection alone.
                connections.spawn(async move {
                    let started = match first {
                        Some(first) => first,
                        None => start(&session, ports, &target, &job).await?,
                    };
                    let failed = |why: String| {
                        Failure::failed(format!("a connection to port {} of the job {job}: {why}", ports.remote))
                    };
                    connect(client, started).await.map_err(failed)
                });
            }
            Some(ended) = connections.join_next() => if let Ok(Err(failure)) = ended {
                failure.report("bexec");
            },
            ended = &mut job_end => {
                let status = ended?;
                print_message(format!("bexec: the job {job} has ended: {status}"));
                return Ok(Exit::Done);
            }
            signal = signals.next() => return Ok(Exit::Interrupted(signal)),
        }
    }
}

/// Returns when the job has ended. A failure to ask for it is not an error for a while: connections
/// go on.
async fn job_end(session: &Session, job: &str) -> Result<Status, Failure> {
    let id = JobId::from_batch(job);
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        match batch::describe_one(session, &id).await {
            Ok(job) if job.status.has_ended() => return Ok(job.status),
            Err(failure) if !failure.is_recoverable() => return Err(failure),
            Ok(_) | Err(_) => {}
        }
    }
}

async fn start(session: &Session, ports: Ports, target: &str, job: &str) -> Result<StartedSession, Failure> {
    let request = port_request(target, ports.remote, ports.local);
    session.systems_manager().start_session(request).await.map_err(|e| {
        let what = format!("starting a session with port {} of the job {job}", ports.remote);
        explain(session, &what, &e)
    })
}

/// Passes the bytes of one connection on, until both of its directions have ended.
async fn connect(client: TcpStream, started: StartedSession) -> Result<(), String> {
    let (mut reader, writer) = session_stream::connect(&started.stream_url, &started.token_value)
        .await
        .map_err(|e| e.to_string())?;
    writer.send(&Frame::Start(None)).await;
    let (mut from_client, mut to_client) = client.into_split();
    let window = Semaphore::new(INPUT_WINDOW);
    let send = async {
        let mut bytes = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
            if let Ok(permits) = window.acquire_many(u32::try_from(n).unwrap_or(0)).await {
                permits.forget();
            }
            if !writer.send(&Frame::Input(bytes.get(..n).unwrap_or_default().to_vec())).await {
                break;
            }
        }
        writer.send(&Frame::EndOfInput).await;
        std::future::pending::<std::convert::Infallible>().await
    };
    let receive = async {
        loop {
            match reader.next().await {
                Some(Frame::Output(data)) => {
                    if to_client.write_all(&data).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Frame::EndOfOutput) => drop(to_client.shutdown().await),
                Some(Frame::Accepted(count)) => {
                    window.add_permits(usize::try_from(count).unwrap_or(0).min(INPUT_WINDOW));
                }
                Some(Frame::Exit(_)) | None => return Ok(()),
                Some(Frame::Failed(why)) => return Err(why),
                Some(_) => {}
            }
        }
    };
    tokio::select! {
        ended = receive => ended,
        never = send => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_two_or_one_for_both() {
        let ports = |text: &str| text.parse::<Ports>().ok().map(|ports| (ports.local, ports.remote));
        assert_eq!(ports("8888:80"), Some((8888, 80)));
        assert_eq!(ports("8888"), Some((8888, 8888)));
        assert_eq!(ports("0:80"), Some((0, 80)));
        for wrong in ["", "80:0", "0", "x", "80:", ":80", "1:2:3", "65536"] {
            assert_eq!(ports(wrong), None, "{wrong}");
        }
    }
}
