//! The container manager: the networks of containers, the address at which containers reach the
//! server, and the removal of leftovers.
//!
//! Runners own the containers, and the network that the nodes of a multi-node job have among
//! themselves: the main node's runner makes it, the last node's removes it. The manager makes what
//! no single container can have. That is a bridge network of the home, and a second address at
//! which the server listens: the gateway of that network. Only connections from inside the network
//! are accepted there. Both are made when the first container is wanted. Where the Docker engine
//! runs in a virtual machine (Docker Desktop, Colima), the gateway is not an address of this
//! machine; containers then reach the loopback port as `host.docker.internal`.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use awsb_docker::DockerError;
use bollard::Docker;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::host::{ContainerHost, NoContainerHost, Problem, Request, Requests};
use super::record::{self, Record, RecordState};
use crate::batch::handle::Handle;
use crate::batch::messages::Message;
use crate::constants::REGION;
use crate::docker::network::{self, Network};
use crate::docker::{self, EngineError, cleanup};
use crate::home::files::CONTAINERS;
use crate::home::host_id::HostId;
use crate::runner::protocol::{AttemptId, RunnerId};

/// How often the manager looks for leftovers while there may be any, for example on an engine that
/// was away.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long an engine that has been used may be away before jobs fail because of it. Most likely it
/// is being restarted, and a job has few attempts.
const AWAY: Duration = Duration::from_secs(20);
/// How long the manager looks for an engine when the record of this home is lost, before the server
/// goes on.
const LOST: Duration = Duration::from_secs(5);
/// How long the engine may take to make the network ready.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long after a runner's death the engine may still make a container that the runner has asked
/// for.
const ORPHAN_GRACE: Duration = Duration::from_secs(3);
/// The name by which containers reach this machine when the engine runs in a virtual machine.
const HOST_NAME: &str = "host.docker.internal";

/// Which peers may connect.
pub type Peers = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;
/// How the server accepts connections at one more address.
pub type Accept = Box<dyn Fn(TcpListener, Peers) -> JoinHandle<()> + Send + Sync>;

/// Why the manager could not do something.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The Docker engine refuses, or cannot be reached.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network was not ready in time.
    #[error("the Docker engine has not made the jobs' network ready in time")]
    Timeout,
    /// The engine did not answer in time.
    #[error("no answer within {} seconds", AWAY.as_secs())]
    NoAnswer,
    /// The record of this home cannot be written.
    #[error("writing {CONTAINERS}: {0}")]
    Record(io::Error),
    /// A runtime for the requests cannot be started.
    #[error(transparent)]
    Runtime(io::Error),
}

impl From<DockerError> for ContainerError {
    fn from(e: DockerError) -> Self {
        Self::Engine(e.into())
    }
}

/// Manages networks and leftovers, in a task of the server.
pub struct ContainerManager {
    /// The home's folder.
    pub home: PathBuf,
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// The engine of the jobs.
    pub engine: Handle,
    /// Accepts connections at one more address.
    pub accept: Accept,
}

/// The address at which containers reach the server.
struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// The state of the manager.
struct State {
    record: Record,
    /// Whether the record was read. If not, the manager looks by the home's location for what it
    /// has on an engine.
    is_read: bool,
    docker: Option<(String, Docker)>,
    listening: Option<Listening>,
    problem: Problem,
}

impl State {
    /// Sets what is wrong now, for `blocal status`. Each problem is logged once.
    fn set_problem(&self, new: Option<String>) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *problem != new {
            if let Some(new) = &new {
                tracing::warn!("{new}");
            }
            *problem = new;
        }
    }
}

impl ContainerManager {
    /// Answers requests until the server stops.
    pub async fn run(self, mut requests: Requests) {
        let (record, found) = record::read(&self.home);
        let is_read = found == RecordState::Read;
        let problem = Arc::clone(&requests.problem);
        let mut state = State { record, is_read, docker: None, listening: None, problem };
        if found == RecordState::Damaged {
            let found = tokio::time::timeout(LOST, awsb_docker::find()).await;
            if let Ok(Ok((address, docker))) = found
                && let Err(e) = self.recover(&mut state, &address, &docker).await
            {
                tracing::warn!("looking on the Docker engine for what {CONTAINERS} had: {e}");
            }
        }
        if let Some(network) = state.record.network.clone() {
            // Jobs may know this address. If none does, nobody connects.
            let _ = self.listen(&mut state, &network);
            self.sweep(&mut state, true).await;
        }
        let mut sweeps = tokio::time::interval(SWEEP_EVERY);
        sweeps.tick().await;
        loop {
            let request = tokio::select! {
                request = requests.receiver.recv() => request,
                _ = sweeps.tick() => {
                    self.sweep(&mut state, false).await;
                    continue;
                }
            };
            match request {
                None => return,
                Some(Request::Prepare) => {
                    let outcome = tokio::time::timeout(PREPARE_TIMEOUT, self.prepare(&mut state)).await;
                    let outcome = outcome.unwrap_or(Err(ContainerError::Timeout));
                    let outcome = outcome.map_err(|e| NoContainerHost(e.to_string()));
                    state.set_problem(outcome.as_ref().err().map(|e| format!("containers: {e}")));
                    self.engine.send(Message::Prepared(outcome.map(Arc::new)));
                }
                Some(Request::Remove { runner, attempt_id, engine }) => {
                    // In a task of its own: the next container does not wait for the end of this
                    // one.
                    tokio::spawn(remove_abandoned(self.engine.clone(), runner, attempt_id, engine));
                }
                Some(Request::Close(done)) => {
                    self.sweep(&mut state, true).await;
                    if let Some(listening) = state.listening.take() {
                        listening.task.abort();
                        let _ = listening.task.await;
                    }
                    // The server waits until nobody can accept connections any more.
                    drop(self);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// Finds what this home has on an engine by the home's location, because its record is lost.
    async fn recover(&self, state: &mut State, address: &str, docker: &Docker) -> Result<(), ContainerError> {
        let location = location_of(&self.home);
        let Some(home_id) = network::homes_at(docker, &location).await?.into_iter().next() else {
            state.is_read = true;
            return Ok(());
        };
        let network = network::ensure(docker, &docker::network_name(&home_id), &home_id, &location).await?;
        tracing::info!("{CONTAINERS}: the ID of this home is {home_id}, by the label of its network");
        self.write(state, |record| {
            record.home_id = home_id;
            record.engines.insert(address.to_owned());
            record.network = Some(network);
        })?;
        state.is_read = true;
        Ok(())
    }

    async fn prepare(&self, state: &mut State) -> Result<ContainerHost, ContainerError> {
        if !state.is_read {
            let (address, docker) = find(&state.record).await?;
            self.recover(state, &address, &docker).await?;
        }
        let location = location_of(&self.home);
        let home_id = state.record.home_id.clone();
        let name = docker::network_name(&home_id);
        let known = match &state.docker {
            // The network may be gone (`docker network prune`), or the engine may be another one:
            // look each time.
            Some((address, docker)) => network::ensure(docker, &name, &home_id, &location)
                .await
                .ok()
                .map(|network| (address.clone(), network)),
            None => None,
        };
        let (engine, network) = match known {
            Some(known) => known,
            None => {
                state.docker = None;
                let (address, docker) = find(&state.record).await?;
                self.write(state, |record| {
                    record.engines.insert(address.clone());
                })?;
                let network = network::ensure(&docker, &name, &home_id, &location).await?;
                state.docker = Some((address.clone(), docker));
                (address, network)
            }
        };
        let endpoint = match self.listen(state, &network) {
            Some(address) => format!("http://{address}"),
            None => format!("http://{HOST_NAME}:{}", self.port),
        };
        let port = state.listening.as_ref().map(|l| l.address.port());
        self.write(state, |record| {
            record.network = Some(network.clone());
            record.port = port.or(record.port);
        })?;
        let hosts = match state.listening {
            Some(_) => Vec::new(),
            None => vec![format!("{HOST_NAME}:host-gateway")],
        };
        let environment =
            [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", REGION), ("AWS_DEFAULT_REGION", REGION)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        Ok(ContainerHost { engine, home_id, network: name, hosts, environment })
    }

    /// Listens on a network's gateway; `None` where that address is not one of this machine.
    fn listen(&self, state: &mut State, network: &Network) -> Option<SocketAddr> {
        if let Some(listening) = &state.listening {
            if listening.address.ip() == network.gateway && !listening.task.is_finished() {
                return Some(listening.address);
            }
            listening.task.abort();
            state.listening = None;
        }
        // Elsewhere engines run in a virtual machine, whose addresses may by chance be some of this
        // machine.
        if !cfg!(target_os = "linux") {
            return None;
        }
        let ports = state.record.port.into_iter().chain([self.port, 0]);
        let listener = ports.filter_map(|port| listener(network.gateway, port).ok()).next()?;
        let address = listener.local_addr().ok()?;
        let (subnet, gateway) = (network.subnet, network.gateway);
        // The gateway's own address is that of this machine's processes: they have the loopback
        // port.
        let inside = move |peer: IpAddr| peer != gateway && subnet.contains(peer);
        let task = (self.accept)(listener, Box::new(inside));
        state.listening = Some(Listening { address, task });
        Some(address)
    }

    fn write(&self, state: &mut State, change: impl FnOnce(&mut Record)) -> Result<(), ContainerError> {
        let mut record = state.record.clone();
        change(&mut record);
        if record == state.record {
            return Ok(());
        }
        record::write(&self.home, &record).map_err(ContainerError::Record)?;
        state.record = record;
        Ok(())
    }

    /// Removes what belongs to no live job. With `is_final`, also removes the network when no job
    /// is live at all.
    async fn sweep(&self, state: &mut State, is_final: bool) {
        for address in state.record.engines.clone() {
            match self.sweep_engine(&address, &state.record.home_id, is_final).await {
                Ok(is_clean) => {
                    state.set_problem(None);
                    if is_clean && is_final {
                        let forgotten = self.write(state, |record| {
                            record.engines.remove(&address);
                            if record.engines.is_empty() {
                                record.network = None;
                            }
                        });
                        if let Err(e) = forgotten {
                            tracing::warn!("{e}");
                        }
                    }
                }
                Err(e) => state
                    .set_problem(Some(format!("looking for what jobs have left on the Docker engine: {e}"))),
            }
        }
        if state.record.network.is_none()
            && let Some(listening) = state.listening.take()
        {
            listening.task.abort();
        }
    }

    /// Removes what belongs to no live job from one engine. Returns whether nothing of this home is
    /// left there.
    async fn sweep_engine(&self, address: &str, home_id: &str, is_final: bool) -> Result<bool, EngineError> {
        let docker = awsb_docker::connect(address).await?;
        let found = cleanup::containers(&docker, home_id, None).await?;
        let networks = cleanup::node_networks(&docker, home_id).await?;
        // Asked after the listing: an attempt is on record before anything of it is on the engine.
        let live: HashSet<AttemptId> = match self.engine.assigned().await {
            Some(live) => live,
            None => return Ok(false),
        };
        for dead in found.iter().filter(|c| !live.contains(&c.attempt_id)) {
            match is_final {
                // Its runner may be removing it right now. The network can be removed only after
                // that.
                true => cleanup::remove_with_retries(&docker, &dead.id).await?,
                false => cleanup::remove(&docker, &dead.id).await?,
            }
        }
        cleanup::remove_volumes(&docker, home_id).await?;
        let unused = cleanup::remove_dead_networks(&docker, &networks, &live).await;
        if !is_final || !live.is_empty() {
            // Nodes whose main node has ended may take half a minute to end.
            return Ok(false);
        }
        unused?;
        network::remove(&docker, &docker::network_name(home_id)).await?;
        Ok(true)
    }
}

/// Removes the container of an attempt whose runner is gone.
async fn remove_abandoned(engine_handle: Handle, runner: RunnerId, attempt_id: AttemptId, engine: String) {
    let remove = async || -> Result<(), EngineError> {
        let docker = awsb_docker::connect(&engine).await?;
        cleanup::remove_attempt(&docker, &attempt_id).await
    };
    if let Err(e) = remove().await {
        tracing::warn!("{e}");
    }
    engine_handle.send(Message::Removed(runner));
    // The runner may have asked for the container just before it died. Then the engine has made the
    // container after the removal above, and nobody is there to start it.
    tokio::time::sleep(ORPHAN_GRACE).await;
    let _ = remove().await;
}

/// Ends and removes everything that a home has on Docker engines, without a server.
///
/// # Errors
/// When an engine refuses, or does not answer.
pub fn remove_all(home: &Path) -> Result<(), ContainerError> {
    let (record, found) = record::read(home);
    if record.engines.is_empty() && found != RecordState::Damaged {
        return Ok(());
    }
    let remove = async {
        for address in &record.engines {
            remove_from(&awsb_docker::connect(address).await?, &record.home_id).await?;
        }
        if found == RecordState::Damaged {
            let (_, docker) = awsb_docker::find().await?;
            for home_id in network::homes_at(&docker, &location_of(home)).await? {
                remove_from(&docker, &home_id).await?;
            }
        }
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ContainerError::Runtime)?;
    let outcome = runtime.block_on(async { tokio::time::timeout(AWAY, remove).await });
    outcome.unwrap_or(Err(ContainerError::NoAnswer))
}

/// Ends and removes everything of a home on one engine.
async fn remove_from(docker: &Docker, home_id: &str) -> Result<(), EngineError> {
    for container in cleanup::containers(docker, home_id, None).await? {
        cleanup::remove(docker, &container.id).await?;
    }
    let networks = cleanup::node_networks(docker, home_id).await?;
    cleanup::remove_dead_networks(docker, &networks, &HashSet::new()).await?;
    cleanup::remove_volumes(docker, home_id).await?;
    network::remove(docker, &docker::network_name(home_id)).await
}

/// The location of a home, as a digest of the machine, the user, and the folder. Machines may share
/// an engine.
fn location_of(home: &Path) -> String {
    let path = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let user = nix::unistd::Uid::effective();
    let text = format!("{}\n{user}\n{}", HostId::here().name, path.display());
    hex::encode(&Sha256::digest(text)[..12])
}

/// The Docker engine. If this home has used one, the manager waits for it to come back.
async fn find(record: &Record) -> Result<(String, Docker), DockerError> {
    let until = Instant::now() + if record.engines.is_empty() { Duration::ZERO } else { AWAY };
    loop {
        match awsb_docker::find().await {
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(200)).await,
            found => return found,
        }
    }
}

fn listener(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((address, port)))?;
    socket.listen(1024)
}
