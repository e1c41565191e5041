//! The server's part in containers: their network, the address at which they reach the server, and that
//! nothing of them is left behind.
//!
//! Runners own the containers, and the network that the nodes of a multi-node job have among themselves:
//! the main node's runner makes it, the last node's removes it. What one container alone cannot have is made here, when the first one is
//! wanted: a bridge network of the home, and a second place where the server listens, the network's
//! gateway. There, only connections from inside that network are taken. Where the engine runs in a machine
//! of its own (Docker Desktop, Colima), the gateway is not ours; containers then reach the loopback port as
//! `host.docker.internal`.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::REGION;
use super::batch::{Handle, Message};
use super::contents;
use super::docker::network::{self, Network};
use super::docker::{self, remains};
use super::home::CONTAINERS;
use super::machine::Machine;
use super::runner::protocol::{RunnerId, TaskId};

/// How often leftovers are looked for while there may be any: of engines that were away, mostly.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long an engine that has been used may take to come back, before jobs fail for the want of one: it is
/// restarted, most likely, and attempts are few.
const AWAY: Duration = Duration::from_secs(20);
/// How long an engine is looked for when the record of what is on it is lost, before the server goes on without.
const LOST: Duration = Duration::from_secs(5);
/// How long the engine may take to make the network ready.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long after a runner's death a container of its may come to be.
const LAST_BREATH: Duration = Duration::from_secs(3);
/// How long the server waits for the engine when it stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The name by which containers reach the machine that their engine's machine runs on.
const HOST_NAME: &str = "host.docker.internal";

/// What a container's creation needs to know of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address of the Docker engine.
    pub engine: String,
    /// The home's ID.
    pub home_id: String,
    /// The network to join.
    pub network: String,
    /// `NAME:ADDRESS`, for the container's hosts file.
    pub hosts: Vec<String>,
    /// The variables by which AWS clients find this server; the key pair is each attempt's own.
    pub environment: Vec<(String, String)>,
}

/// What the engine's thread may ask for; the answer comes as a [`Message`].
#[derive(Debug, Clone)]
pub struct Containers {
    asks: UnboundedSender<Ask>,
    trouble: Trouble,
}

/// What cannot be done on the Docker engine now, though it is needed.
type Trouble = Arc<Mutex<Option<String>>>;

#[derive(Debug)]
enum Ask {
    Prepare,
    Remove(RunnerId, TaskId, String),
    Close(oneshot::Sender<()>),
}

impl Containers {
    /// Has the network made ready; answered with [`Message::Prepared`].
    pub fn prepare(&self) {
        let _ = self.asks.send(Ask::Prepare);
    }

    /// Has the container of an attempt removed, whose runner is gone; answered with [`Message::Removed`],
    /// also when it could not be: then it is tried again later.
    pub fn remove(&self, runner: RunnerId, task: TaskId, engine: String) {
        let _ = self.asks.send(Ask::Remove(runner, task, engine));
    }

    /// What is wrong with the Docker engine, if it is needed and anything is.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server stops: removes the network, unless a job needs it.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.asks.send(Ask::Close(done)).is_ok() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        }
    }
}

/// The two ends: the keeper starts to hear when [`Keeper::keep`] is called.
pub fn containers() -> (Containers, Asks) {
    let (sender, receiver) = unbounded_channel();
    let trouble = Trouble::default();
    (Containers { asks: sender, trouble: Arc::clone(&trouble) }, Asks { asks: receiver, trouble })
}

/// What has been asked for.
#[derive(Debug)]
pub struct Asks {
    asks: UnboundedReceiver<Ask>,
    trouble: Trouble,
}

/// Which peers may come in.
pub type Peers = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;
/// How the server takes connections at one more place.
pub type Accept = Box<dyn Fn(TcpListener, Peers) -> JoinHandle<()> + Send + Sync>;

/// Looks after networks and leftovers, in a task of the server.
pub struct Keeper {
    /// The home's folder.
    pub home: PathBuf,
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// The engine of the jobs.
    pub engine: Handle,
    /// Serves at one more place.
    pub accept: Accept,
}

/// `containers.json`: what this home has on Docker engines, written before it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// The home's ID: twelve hexadecimal digits that everything of this home carries there.
    home_id: String,
    /// The addresses of the engines that have been used.
    engines: BTreeSet<String>,
    /// The network that containers join now.
    network: Option<Network>,
    /// Where the server listens for them: containers that run know this port.
    port: Option<u16>,
}

fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..12].to_owned()
}

impl Default for Record {
    fn default() -> Self {
        Self { home_id: new_id(), engines: BTreeSet::new(), network: None, port: None }
    }
}

/// The place where containers reach us.
struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Kept {
    record: Record,
    /// Whether the record was read. If not, what this home had on an engine is looked for by its place.
    is_read: bool,
    docker: Option<(String, Docker)>,
    listening: Option<Listening>,
    trouble: Trouble,
}

impl Kept {
    /// What is wrong now, for `blocal status`; each trouble is told in the log once.
    fn trouble(&self, what: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *trouble != what {
            if let Some(what) = &what {
                note!("{what}");
            }
            *trouble = what;
        }
    }
}

impl Keeper {
    /// Looks after everything until the server stops.
    pub async fn keep(self, mut asks: Asks) {
        let (record, found) = read(&self.home);
        let is_read = found == Found::Read;
        let trouble = Arc::clone(&asks.trouble);
        let mut kept = Kept { record, is_read, docker: None, listening: None, trouble };
        if found == Found::Damaged {
            let found = tokio::time::timeout(LOST, awsb_docker::find()).await;
            if let Ok(Ok((address, docker))) = found
                && let Err(e) = self.recover(&mut kept, &address, &docker).await
            {
                note!("looking on the Docker engine for what {CONTAINERS} had: {e}");
            }
        }
        if let Some(network) = kept.record.network.clone() {
            // Jobs may be there that know this place. If they are not, nobody connects.
            let _ = self.listen(&mut kept, &network);
            self.sweep(&mut kept, true).await;
        }
        let mut sweeps = tokio::time::interval(SWEEP_EVERY);
        sweeps.tick().await;
        loop {
            let ask = tokio::select! {
                ask = asks.asks.recv() => ask,
                _ = sweeps.tick() => {
                    self.sweep(&mut kept, false).await;
                    continue;
                }
            };
            match ask {
                None => return,
                Some(Ask::Prepare) => {
                    let outcome = tokio::time::timeout(PREPARE_TIMEOUT, self.prepare(&mut kept)).await;
                    let outcome = outcome.unwrap_or_else(|_| {
                        Err("the Docker engine has not made the jobs' network ready in time".to_owned())
                    });
                    kept.trouble(outcome.as_ref().err().map(|e| format!("containers: {e}")));
                    self.engine.tell(Message::Prepared(outcome.map(Arc::new)));
                }
                Some(Ask::Remove(runner, task, engine)) => {
                    // Not here: the next container shall not wait for the end of this one.
                    tokio::spawn(abandoned(self.engine.clone(), runner, task, engine));
                }
                Some(Ask::Close(done)) => {
                    self.sweep(&mut kept, true).await;
                    if let Some(listening) = kept.listening.take() {
                        listening.task.abort();
                        let _ = listening.task.await;
                    }
                    // The server waits for everybody who takes connections.
                    drop(self);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// Takes up again what this home has on an engine, by the place of its home, as its record is lost.
    async fn recover(&self, kept: &mut Kept, address: &str, docker: &Docker) -> Result<(), String> {
        let place = place_of(&self.home);
        let Some(home_id) = network::homes_at(docker, &place).await?.into_iter().next() else {
            kept.is_read = true;
            return Ok(());
        };
        let network = network::ensure(docker, &docker::network_name(&home_id), &home_id, &place).await?;
        note!("{CONTAINERS}: the ID of this home is {home_id}, by the label of its network");
        self.write(kept, |record| {
            record.home_id = home_id;
            record.engines.insert(address.to_owned());
            record.network = Some(network);
        })?;
        kept.is_read = true;
        Ok(())
    }

    async fn prepare(&self, kept: &mut Kept) -> Result<Place, String> {
        if !kept.is_read {
            let (address, docker) = find(&kept.record).await?;
            self.recover(kept, &address, &docker).await?;
        }
        let place = place_of(&self.home);
        let home_id = kept.record.home_id.clone();
        let name = docker::network_name(&home_id);
        let known = match &kept.docker {
            // The network may be gone (`docker network prune`), or the engine another one: look each time.
            Some((address, docker)) => network::ensure(docker, &name, &home_id, &place)
                .await
                .ok()
                .map(|network| (address.clone(), network)),
            None => None,
        };
        let (engine, network) = match known {
            Some(known) => known,
            None => {
                kept.docker = None;
                let (address, docker) = find(&kept.record).await?;
                self.write(kept, |record| {
                    record.engines.insert(address.clone());
                })?;
                let network = network::ensure(&docker, &name, &home_id, &place).await?;
                kept.docker = Some((address.clone(), docker));
                (address, network)
            }
        };
        let endpoint = match self.listen(kept, &network) {
            Some(address) => format!("http://{address}"),
            None => format!("http://{HOST_NAME}:{}", self.port),
        };
        let port = kept.listening.as_ref().map(|l| l.address.port());
        self.write(kept, |record| {
            record.network = Some(network.clone());
            record.port = port.or(record.port);
        })?;
        let hosts = match kept.listening {
            Some(_) => Vec::new(),
            None => vec![format!("{HOST_NAME}:host-gateway")],
        };
        let environment =
            [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", REGION), ("AWS_DEFAULT_REGION", REGION)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        Ok(Place { engine, home_id, network: name, hosts, environment })
    }

    /// Listens on a network's gateway; `None` where that address is not this machine's.
    fn listen(&self, kept: &mut Kept, network: &Network) -> Option<SocketAddr> {
        if let Some(listening) = &kept.listening {
            if listening.address.ip() == network.gateway && !listening.task.is_finished() {
                return Some(listening.address);
            }
            listening.task.abort();
            kept.listening = None;
        }
        // Elsewhere engines run in a machine of their own, whose addresses may by chance be some of ours.
        if !cfg!(target_os = "linux") {
            return None;
        }
        let ports = kept.record.port.into_iter().chain([self.port, 0]);
        let listener = ports.filter_map(|port| listener(network.gateway, port).ok()).next()?;
        let address = listener.local_addr().ok()?;
        let (subnet, gateway) = (network.subnet, network.gateway);
        // The gateway's own address is that of this machine's processes: they have the loopback port.
        let inside = move |peer: IpAddr| peer != gateway && subnet.contains(peer);
        let task = (self.accept)(listener, Box::new(inside));
        kept.listening = Some(Listening { address, task });
        Some(address)
    }

    fn write(&self, kept: &mut Kept, change: impl FnOnce(&mut Record)) -> Result<(), String> {
        let mut record = kept.record.clone();
        change(&mut record);
        if record == kept.record {
            return Ok(());
        }
        write(&self.home, &record).map_err(|e| format!("writing {CONTAINERS}: {e}"))?;
        kept.record = record;
        Ok(())
    }

    /// Removes what belongs to no live job, and the network as well when no job is live at all and it is
    /// `done` with.
    async fn sweep(&self, kept: &mut Kept, done: bool) {
        for address in kept.record.engines.clone() {
            match self.sweep_engine(&address, &kept.record.home_id, done).await {
                Ok(clean) => {
                    kept.trouble(None);
                    if clean && done {
                        let forgotten = self.write(kept, |record| {
                            record.engines.remove(&address);
                            if record.engines.is_empty() {
                                record.network = None;
                            }
                        });
                        if let Err(e) = forgotten {
                            note!("{e}");
                        }
                    }
                }
                Err(e) => {
                    kept.trouble(Some(format!("looking for what jobs have left on the Docker engine: {e}")))
                }
            }
        }
        if kept.record.network.is_none()
            && let Some(listening) = kept.listening.take()
        {
            listening.task.abort();
        }
    }

    /// Whether nothing of ours is left on the engine.
    async fn sweep_engine(&self, address: &str, home_id: &str, done: bool) -> Result<bool, String> {
        let docker = awsb_docker::connect(address).await?;
        let found = remains::containers(&docker, home_id, None).await?;
        let networks = remains::node_networks(&docker, home_id).await?;
        // Asked after the look at what is there: an attempt is on record before anything of it is there.
        let live: HashSet<TaskId> = match self.engine.placed().await {
            Some(live) => live,
            None => return Ok(false),
        };
        for dead in found.iter().filter(|c| !live.contains(&c.task)) {
            match done {
                // Its runner may be removing it right now; the network is free only then.
                true => remains::remove_patiently(&docker, &dead.id).await?,
                false => remains::remove(&docker, &dead.id).await?,
            }
        }
        remains::remove_volumes(&docker, home_id).await?;
        let unused = remains::remove_dead_networks(&docker, &networks, &live).await;
        if !done || !live.is_empty() {
            // Nodes whose main node has ended may take half a minute to end.
            return Ok(false);
        }
        unused?;
        network::remove(&docker, &docker::network_name(home_id)).await?;
        Ok(true)
    }
}

/// Removes the container of an attempt whose runner is gone.
async fn abandoned(handle: Handle, runner: RunnerId, task: TaskId, engine: String) {
    let remove = async || {
        let docker = awsb_docker::connect(&engine).await?;
        remains::remove_patiently(&docker, &docker::container_name(&task)).await
    };
    if let Err(e) = remove().await {
        note!("{e}");
    }
    handle.tell(Message::Removed(runner));
    // The runner may have asked for the container with its last breath: then the engine made it after our
    // look, and nobody is there to start it.
    tokio::time::sleep(LAST_BREATH).await;
    let _ = remove().await;
}

/// Ends and removes everything that a home has on Docker engines, without a server.
///
/// # Errors
/// What an engine says, or that it does not answer.
pub fn remove_all(home: &Path) -> Result<(), String> {
    let (record, found) = read(home);
    if record.engines.is_empty() && found != Found::Damaged {
        return Ok(());
    }
    let remove = async {
        for address in &record.engines {
            remove_from(&awsb_docker::connect(address).await?, &record.home_id).await?;
        }
        if found == Found::Damaged {
            let (_, docker) = awsb_docker::find().await?;
            for home_id in network::homes_at(&docker, &place_of(home)).await? {
                remove_from(&docker, &home_id).await?;
            }
        }
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let outcome = runtime.block_on(async { tokio::time::timeout(AWAY, remove).await });
    outcome.unwrap_or_else(|_| Err(format!("no answer within {} seconds", AWAY.as_secs())))
}

/// Ends and removes everything of a home on one engine.
async fn remove_from(docker: &Docker, home_id: &str) -> Result<(), String> {
    for container in remains::containers(docker, home_id, None).await? {
        remains::remove(docker, &container.id).await?;
    }
    let networks = remains::node_networks(docker, home_id).await?;
    remains::remove_dead_networks(docker, &networks, &HashSet::new()).await?;
    remains::remove_volumes(docker, home_id).await?;
    network::remove(docker, &docker::network_name(home_id)).await
}

/// Where a home is, as a digest: the machine, the user, and the folder. Machines may share an engine.
fn place_of(home: &Path) -> String {
    let path = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let user = nix::unistd::Uid::effective();
    let text = format!("{}\n{user}\n{}", Machine::here().name, path.display());
    hex::encode(&Sha256::digest(text)[..12])
}

async fn find(record: &Record) -> Result<(String, Docker), String> {
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

/// Whether the record of a home was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Read,
    /// There is none: the home has never had a container, or it was removed.
    Missing,
    /// There is one that cannot be read.
    Damaged,
}

/// What is on record; a file that cannot be read says nothing, and is written anew.
fn read(home: &Path) -> (Record, Found) {
    let read = contents::read(&home.join(CONTAINERS));
    match read.and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from)) {
        Ok(record) => (record, Found::Read),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (Record::default(), Found::Missing),
        Err(e) => {
            note!("reading {CONTAINERS}: {e}");
            (Record::default(), Found::Damaged)
        }
    }
}

fn write(home: &Path, record: &Record) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    super::home::write_private(&home.join(CONTAINERS), &text)
}
