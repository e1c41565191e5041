//! The server of a home: it takes the lock, opens the databases, listens, serves, and stops.
//!
//! | module        | contents                                                                     |
//! |---------------|------------------------------------------------------------------------------|
//! | here          | [`serve`], and the server itself: `bind`, `serve`, `shutdown`                |
//! | `process`     | the server as a process: its session, its signals, its limits                |
//! | `acceptor`    | accepting connections and answering their requests                           |
//! | `connections` | how many connections are open at once, and which one gives way               |
//! | `control`     | the control socket, for runners and `blocal`                                 |
//! | `key_ring`    | the keys, and their rotation                                                 |
//! | `environment` | the environment of jobs on the host                                          |

mod acceptor;
mod connections;
mod control;
mod environment;
mod key_ring;
mod process;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use self::acceptor::{Acceptor, bind_port};
use self::connections::Connections;
use self::control::ControlService;
use self::key_ring::KeyRing;
use self::process::ShutdownSignals;
pub use self::process::StopReason;
use crate::access::secrets::{new_access_key_id, new_secret};
use crate::access::{KeyMaterial, Keys};
use crate::batch::{self, Engine, EngineConfig, Handle, Message, Reader};
use crate::client::start_report::{self, StartLine};
use crate::containers::Containers;
use crate::containers::host::{Requests, channel};
use crate::containers::manager::ContainerManager;
use crate::database::{self, Damage};
use crate::error::LocalError;
use crate::home::Home;
use crate::home::endpoint::Endpoint;
use crate::home::files::{DATABASES, ENDPOINT};
use crate::home::host_id::HostId;
use crate::home::settings::Settings;
use crate::home::space::{self, NoSpace, Reserve};
use crate::http::{Gateway, Services};
use crate::log::{self, add_warning};
use crate::process::room_for_threads;
use crate::sessions;
use crate::sessions::registry::Sessions;
use crate::ssm::SessionOpener;
use crate::time::now_ms;
use crate::{cloudformation, ec2, ecs, logs, s3, ssm, sts};

/// The time without anything to do after which the server stops, unless another one is given.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long open requests may take when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// How a server is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// It leaves the session and closes the descriptors of the process that has started it.
    pub background: bool,
    /// It goes on when its terminal closes (as under `nohup`).
    pub outlives_terminal: bool,
    /// It logs each request on stderr.
    pub debug: bool,
    /// The time without anything to do after which it stops.
    pub idle: Duration,
}

/// Serves a home until there is a reason to stop.
///
/// # Errors
/// When another server has the home, or its files or a port cannot be used.
pub fn serve(home: &Home, options: &Options) -> Result<StopReason, LocalError> {
    if options.background {
        process::detach();
    }
    let outcome = serve_home(home, options);
    if let (true, Err(failure)) = (options.background, &outcome) {
        // To the process that has started this one: on a full disk the log does not take it.
        start_report::write(&failure.into());
        // Before the log is initialized, the message on stderr gets there.
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{}", failure.message());
            // A message on stderr would be in the log once more.
            let _ = null().and_then(|null| Ok(nix::unistd::dup2_stderr(null)?));
        }
    }
    outcome
}

/// Reports the warnings to the process that has started this one in the background, and closes the
/// pipe to it.
fn end_of_start(options: &Options, warnings: &[String]) -> io::Result<()> {
    if options.background {
        warnings.iter().for_each(|warning| start_report::write(&StartLine::Warning(warning.clone())));
        nix::unistd::dup2_stdout(null()?)?;
    }
    Ok(())
}

fn null() -> io::Result<std::fs::File> {
    std::fs::File::options().write(true).open("/dev/null")
}

fn serve_home(home: &Home, options: &Options) -> Result<StopReason, LocalError> {
    if !options.background {
        log::init_stderr(options.debug);
    }
    home.create()?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| space::failure(home.path(), &what, &e)
    };
    let lock = home.lock_server().map_err(failed("taking the server's lock"))?;
    let Some(_lock) = lock else {
        return Err(LocalError::failed(format!("a server is already running in {}", home.path().display()))
            .hint("`blocal status` shows it, `blocal stop` stops it"));
    };
    if options.background {
        log::init_file(home.path());
    }
    // All files are for this user alone. Runners set the mask that jobs have.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let descriptors = process::raise_limits(home)?;
    // The socket is used from within the home: see `home::files::SOCKET`.
    std::env::set_current_dir(home.path()).map_err(failed("entering the home"))?;
    let runtime = runtime().map_err(failed("starting the threads of the local cluster"))?;
    let outcome = runtime.block_on(async {
        keep_blocking_thread().await;
        let mut server = Server::bind(home, options, acceptor::max_connections(descriptors)).await?;
        let reason = server.serve().await;
        server.shutdown().await.map(|()| reason)
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    outcome.map_err(|e| {
        let damage = e.get_ref().and_then(|e| e.downcast_ref::<Damage>()).map(Damage::hints);
        if let Some(hints) = damage {
            return hints.into_iter().fold(failed("serving")(e), LocalError::hint);
        }
        // A database does not say which kind of problem it had with the disk: the disk is tested.
        match database::no_space_within(home.path(), &e).or_else(|| NoSpace::probe(home.path())) {
            Some(shortage) => LocalError::failed(format!("serving: {shortage}")).hint(shortage.advice()),
            None => failed("serving")(e),
        }
    })
}

/// The threads that answer requests.
const WORKERS: usize = 2;
/// The other threads of a server: the first blocking one, the engine, the control socket, and one
/// for a connection of it.
const OTHER_THREADS: usize = 4;
/// How long a blocking thread without work stays.
const BLOCKING_IDLE: Duration = Duration::from_secs(60);

/// The server's event loop.
///
/// # Errors
/// When not all threads can be started. tokio would panic then.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    // The size of a stack that tokio and std have.
    room_for_threads(WORKERS + OTHER_THREADS, 2 << 20)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_keep_alive(BLOCKING_IDLE)
        .enable_all()
        .build()
}

/// Makes the event loop have a blocking thread from now on. Blocking work waits for that thread
/// when the system allows no other one. tokio panics when there is none at all.
async fn keep_blocking_thread() {
    let run_once = || tokio::task::spawn_blocking(|| ());
    let _ = run_once().await;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(BLOCKING_IDLE / 3).await;
            let _ = run_once().await;
        }
    });
}

/// A server that listens.
struct Server {
    home: Home,
    options: Options,
    signals: ShutdownSignals,
    /// `blocal stop` notifies it.
    stop: Arc<Notify>,
    engine: Handle,
    engine_thread: JoinHandle<()>,
    /// Closes when the engine's thread has ended.
    engine_has_ended: oneshot::Receiver<()>,
    listener: TcpListener,
    acceptor: Acceptor,
    graceful: Arc<GracefulShutdown>,
    last_request: Arc<AtomicI64>,
    logs: logs::Api,
    stacks: cloudformation::Api,
    sessions: Sessions,
    containers: Containers,
    container_requests: Option<Requests>,
    port: u16,
}

impl Server {
    /// Opens everything that the server has, and listens. From then on each connection gets an
    /// answer.
    async fn bind(home: &Home, options: &Options, max_connections: usize) -> io::Result<Self> {
        let signals = ShutdownSignals::install()?;
        let settings = Settings::read(home.path())?;
        let mut warnings = Vec::new();
        let old = home.endpoint();
        let file = home.path().join(ENDPOINT);
        if old.is_none() && file.exists() {
            let lost = "the exports of `blocal env` and the keys of running jobs are no longer valid";
            add_warning(&mut warnings, format!("{} cannot be read: {lost}", file.display()));
        }
        // The socket is bound, and does not listen before everything else is ready.
        let socket = bind_port(old.as_ref().map(|e| e.port))?;
        let endpoint = next_endpoint(old.as_ref(), socket.local_addr()?.port());
        let keys = Arc::new(Keys::new(KeyMaterial::of(&endpoint)));
        let capacity = settings.capacity();
        // Databases write when they are opened, and without them nothing can be read either.
        if space::shortage(home.path(), space::LOW).is_some() {
            Reserve::open(home.path()).release();
        }
        let store = batch::open_store(home.path(), &capacity)?;
        let sessions = Sessions::default();
        let config = EngineConfig {
            capacity,
            environment: environment::of_host_jobs(home, &endpoint),
            keys: Arc::clone(&keys),
            sessions: sessions.clone(),
            retention_ms: settings.retention_ms(),
            // Another machine, or this one after a restart: nothing that ran then runs now.
            is_new_host: old.as_ref().is_some_and(|old| !old.machine.is_here()),
        };
        // Before there can be a session of this server.
        if let Err(e) = sessions::end_leftovers(home.path(), config.is_new_host) {
            tracing::warn!("ending the commands of sessions of an earlier server: {e}");
        }
        let (containers, container_requests) = channel();
        let (engine, handle) = Engine::open(home, store, config, containers.clone(), &mut warnings)?;
        let reader = Reader::new(home.path());
        let services = services(home, &handle, &reader, (&keys, &endpoint), sessions.clone(), &mut warnings)?;
        let logs = services.logs.clone();
        let stacks = services.cloudformation.clone();
        let gateway = Arc::new(Gateway::new(Arc::clone(&keys), services));
        let stop = Arc::new(Notify::new());
        let key_ring = Arc::new(KeyRing::new(home.clone(), keys, endpoint.clone()));
        control::open(ControlService {
            engine: handle.clone(),
            reader,
            containers: containers.clone(),
            endpoint_url: endpoint.connection().endpoint_url,
            pid: endpoint.pid,
            started_at: endpoint.started_at,
            warnings: warnings.clone(),
            key_ring: Arc::clone(&key_ring),
            stop: Arc::clone(&stop),
        })?;
        let (alive, engine_has_ended) = oneshot::channel::<()>();
        let engine_thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let _alive = alive;
            engine.run();
        })?;
        key_ring.write()?;
        let listener = socket.listen(1024)?;
        end_of_start(options, &warnings)?;
        tracing::info!("serving {} on {}", home.path().display(), endpoint.connection().endpoint_url);
        let (graceful, last_request) =
            (Arc::new(GracefulShutdown::new()), Arc::new(AtomicI64::new(now_ms())));
        let acceptor = Acceptor::new(
            gateway,
            Arc::clone(&last_request),
            Connections::new(max_connections),
            Arc::clone(&graceful),
        );
        Ok(Self {
            home: home.clone(),
            options: *options,
            signals,
            stop,
            engine: handle,
            engine_thread,
            engine_has_ended,
            listener,
            acceptor,
            graceful,
            last_request,
            logs,
            stacks,
            sessions,
            containers,
            container_requests: Some(container_requests),
            port: endpoint.port,
        })
    }

    /// Answers requests until there is a reason to stop.
    async fn serve(&mut self) -> StopReason {
        tokio::spawn(self.logs.clone().expire_periodically());
        tokio::spawn(self.stacks.clone().resume());
        if let Some(requests) = self.container_requests.take() {
            tokio::spawn(self.container_manager().run(requests));
        }
        // A server in the background has no terminal that could close.
        let outlives_terminal = self.options.background || self.options.outlives_terminal;
        let (why, reason) = tokio::select! {
            () = self.stop.notified() => ("asked to stop", StopReason::Asked),
            (why, reason) = self.signals.next(outlives_terminal) => (why, reason),
            why = idle(&self.home, &self.engine, &self.last_request, self.options.idle) => {
                (why, StopReason::Asked)
            }
            never = self.acceptor.accept(&self.listener, |peer| peer.is_loopback()) => match never {},
            // Only a defect does that. Everything is on the disk: the next server goes on from
            // there.
            _ = &mut self.engine_has_ended => ("the engine has ended", StopReason::Asked),
        };
        tracing::info!("stopping: {why}");
        reason
    }

    fn container_manager(&self) -> ContainerManager {
        let acceptor = self.acceptor.clone();
        ContainerManager {
            home: self.home.path().to_owned(),
            port: self.port,
            engine: self.engine.clone(),
            accept: Box::new(move |listener, peers| {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { match acceptor.accept(&listener, peers).await {} })
            }),
        }
    }

    /// Ends the sessions, answers the requests that have come, stops the engine, and closes the
    /// databases.
    async fn shutdown(self) -> io::Result<()> {
        drop((self.listener, self.acceptor));
        // Nobody else can end their commands: these would outlive the server.
        self.sessions.close().await;
        self.containers.close().await;
        // The engine still runs for the requests that have come: it handles what they ask for.
        if let Some(graceful) = Arc::into_inner(self.graceful)
            && tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err()
        {
            tracing::warn!(
                "requests that have not ended within {} seconds are cut off",
                SHUTDOWN_TIMEOUT.as_secs()
            );
        }
        self.engine.send(Message::Stop);
        if self.engine_thread.join().is_err() {
            return Err(io::Error::other("the engine has panicked"));
        }
        for file in DATABASES {
            // Nothing is lost by a failure: the next start reads the write-ahead log.
            if let Err(e) = database::close(&self.home.path().join(file)) {
                tracing::warn!("closing the database: {e}");
            }
        }
        Ok(())
    }
}

/// The endpoint of this server. Keys of the last server stay valid.
fn next_endpoint(old: Option<&Endpoint>, port: u16) -> Endpoint {
    let kept = |of: fn(&Endpoint) -> &String, new: fn() -> String| {
        old.map(of).filter(|value| !value.is_empty()).map_or_else(new, Clone::clone)
    };
    Endpoint {
        port,
        pid: std::process::id(),
        started_at: now_ms(),
        machine: HostId::here(),
        access_key_id: kept(|e| &e.access_key_id, new_access_key_id),
        secret_access_key: kept(|e| &e.secret_access_key, new_secret),
        jobs_secret: kept(|e| &e.jobs_secret, new_secret),
    }
}

fn services(
    home: &Home,
    engine: &Handle,
    reader: &Reader,
    (keys, endpoint): (&Arc<Keys>, &Endpoint),
    sessions: Sessions,
    warnings: &mut Vec<String>,
) -> io::Result<Services> {
    let events = Arc::new(logs::Events::open(home.path(), warnings)?);
    let objects = Arc::new(s3::Store::open(home.path(), warnings)?);
    let url = endpoint.connection().endpoint_url;
    let opener = SessionOpener { sessions: sessions.clone(), endpoint_url: url };
    Ok(Services {
        cloudformation: cloudformation::Api::new(
            engine.clone(),
            reader.clone(),
            Arc::clone(&objects),
            Arc::clone(&events),
        ),
        logs: logs::Api::new(engine.clone(), reader.clone(), events),
        s3: s3::service(objects, Arc::clone(keys), reader.clone()),
        batch: batch::Api::new(engine.clone(), reader.clone()),
        ecs: ecs::Api::new(engine.clone(), reader.clone(), endpoint.started_at, opener.clone()),
        ec2: ec2::Api::new(engine.clone(), endpoint.started_at),
        ssm: ssm::Api::new(engine.clone(), opener),
        sts: sts::Api::new(),
        sessions,
    })
}

/// Returns when there has been nothing to do for `limit`, or when somebody has removed the home:
/// then its data is gone, and nobody can find this server any more.
async fn idle(home: &Home, engine: &Handle, last_request: &AtomicI64, limit: Duration) -> &'static str {
    let mut since = now_ms();
    loop {
        tokio::time::sleep(Duration::from_secs(10).min(limit / 20)).await;
        // A server that cannot look (no descriptor is free) has not lost its home.
        if matches!(home.is_served(), Ok(false)) {
            return "the home is gone";
        }
        let now = now_ms();
        if engine.is_active() {
            since = now;
        }
        let since = since.max(last_request.load(Ordering::Relaxed));
        if u128::from((now - since).max(0).unsigned_abs()) >= limit.as_millis() {
            return "nothing to do";
        }
    }
}
