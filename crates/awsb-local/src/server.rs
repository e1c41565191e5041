//! The server's story: take the lock, open the store, listen, serve, stop.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::access::keys::{new_access_key_id, new_secret};
use super::access::{Keys, Secrets};
use super::batch::database::{self, Damage};
use super::batch::{self, Engine, Handle, Message, Reader};
use super::connections::{Answer, Connections};
use super::containers::{self, Containers, Keeper, Peers};
use super::control::{self, Desk, Revoked, Rotated, Status};
use super::home::{DATABASES, ENDPOINT, Endpoint, HOME_VARIABLE, Home};
use super::http::{Front, Services};
use super::machine::Machine;
use super::settings::Settings;
use super::space::{self, NoSpace, Reserve};
use super::{REGION, ec2, ecs, logs, now_ms, s3, sts};
use crate::LocalError;

/// With nothing to do for this long, the server stops, unless it is told otherwise.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long open requests may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// What comes before a warning in the server's log, where whoever has started the server looks for it.
const WARNING: &str = "warning: ";

/// Says that something was found to be lost: in the log now, and to whoever asks for the status.
pub(super) fn warn(warnings: &mut Vec<String>, what: String) {
    note!("{WARNING}{what}");
    warnings.push(what);
}

/// The warnings in a part of the log.
pub(super) fn warnings(log: &str) -> Vec<String> {
    let start = format!("blocal: {WARNING}");
    log.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

/// Why a server has stopped in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to, or had nothing to do for long.
    Asked,
    /// SIGINT came.
    Interrupted,
    /// SIGTERM came.
    Terminated,
    /// SIGHUP came.
    HungUp,
}

/// How a server is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// It leaves the session and the descriptors of whoever has started it.
    pub background: bool,
    /// It goes on when its terminal goes (as under `nohup`).
    pub outlives_terminal: bool,
    /// It tells each request on stderr.
    pub debug: bool,
    /// With nothing to do for this long, it stops.
    pub idle: Duration,
}

/// Serves the home until it is told to stop.
///
/// # Errors
/// When another server has the home, or its files or a port cannot be used.
pub fn serve(home: &Home, options: &Options) -> Result<Ended, LocalError> {
    if options.background {
        detach();
    }
    let outcome = serve_home(home, options);
    if let (true, Err(failure)) = (options.background, &outcome) {
        // To whoever has started us: on a full disk the log does not take it.
        let _ = writeln!(io::stdout(), "{}", told(failure));
    }
    outcome
}

/// A failure in lines: its message, and its hints.
fn told(failure: &LocalError) -> String {
    let lines = std::iter::once(failure.message()).chain(failure.hints().iter().map(String::as_str));
    lines.map(|line| line.replace('\n', " ")).collect::<Vec<_>>().join("\n")
}

/// Whoever has started this process in the background has heard all that it had to say.
fn end_of_start(options: &Options) -> io::Result<()> {
    if options.background {
        let nothing = std::fs::File::options().write(true).open("/dev/null")?;
        nix::unistd::dup2_stdout(nothing)?;
    }
    Ok(())
}

fn serve_home(home: &Home, options: &Options) -> Result<Ended, LocalError> {
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
    // Whatever it makes is for this user alone; runners set the mask that jobs have.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let descriptors = enough_descriptors(home)?;
    raise_file_limit();
    // The socket is used from within the home: see `home::SOCKET`.
    std::env::set_current_dir(home.path()).map_err(failed("entering the home"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed("starting"))?;
    let outcome = runtime.block_on(run(home, options, most_connections(descriptors)));
    runtime.shutdown_timeout(FAREWELL);
    match outcome {
        Ok(exit) => Ok(exit),
        Err(e) => {
            let damage = e.get_ref().and_then(|e| e.downcast_ref::<Damage>()).map(Damage::hints);
            if let Some(hints) = damage {
                return Err(hints.into_iter().fold(failed("serving")(e), LocalError::hint));
            }
            // A database does not say which kind of trouble it had with the disk: the disk is tried.
            match NoSpace::of(home.path(), &e).or_else(|| NoSpace::look(home.path())) {
                Some(lack) => Err(LocalError::failed(format!("serving: {lack}")).hint(lack.advice())),
                None => Err(failed("serving")(e)),
            }
        }
    }
}

/// So many files must be open at once for the server to answer: about half are the databases, the sockets, the locks and
/// its threads, the rest is for runners and requests.
const DESCRIPTORS: u64 = 64;

/// How many files this process may have open, which is raised as far as it can be.
///
/// # Errors
/// When the server would be stuck with so few.
fn enough_descriptors(home: &Home) -> Result<u64, LocalError> {
    match raise_descriptor_limit() {
        limit if limit >= DESCRIPTORS => Ok(limit),
        limit => Err(LocalError::failed(format!(
            "serving the local cluster in {}: at most {limit} files may be open at once here, and the server needs \
             {DESCRIPTORS}",
            home.path().display()
        ))
        .hint(format!("`ulimit -Hn` shows the limit; start it from a shell where that is {DESCRIPTORS} or more"))),
    }
}

/// A runner takes two descriptors, a request one or two; jobs inherit the limit, so that it is the same
/// from whatever shell the server was started. Returns the limit.
fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const ENOUGH: nix::sys::resource::rlim_t = 65_536;
    // What cannot be raised is as it was: a smaller number of jobs at once.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(ENOUGH), hard);
    }
    getrlimit(Resource::RLIMIT_NOFILE).map_or(256, |(soft, _)| soft)
}

/// Files may be as large as they can be, from whatever shell the server was started; jobs inherit that.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_FSIZE) {
        // A limit that stays is named when it is met.
        let _ = setrlimit(Resource::RLIMIT_FSIZE, hard, hard);
    }
}

/// How many connections are open at once. However many clients there are, descriptors are left for the
/// runners, the databases and the locks.
fn most_connections(descriptors: u64) -> usize {
    usize::try_from(descriptors / 4).unwrap_or(usize::MAX).clamp(8, 4096)
}

/// A server in the background has nothing of the terminal, shell or pipe that it was started from.
fn detach() {
    let _ = nix::unistd::setsid();
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    // Descriptors that a shell has left open (`exec 3>…`) would keep its pipes from ever ending.
    let Ok(open) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        let _ = nix::unistd::close(fd);
    }
}

/// Serves until there is a reason to stop, and returns how the process ends for it.
async fn run(home: &Home, options: &Options, most_connections: usize) -> io::Result<Ended> {
    // A server in the background has no terminal that could go.
    let outlives_terminal = options.background || options.outlives_terminal;
    // Handlers, because a signal that is ignored here would be ignored in every job as well.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut ignored = Vec::new();
    for kind in [SignalKind::quit(), SignalKind::user_defined1(), SignalKind::user_defined2()] {
        ignored.push(signal(kind)?);
    }
    let settings = Settings::read(home.path())?;
    // What has been lost, for whoever starts the server or asks how it is.
    let mut warnings = Vec::new();
    let old = home.endpoint();
    let file = home.path().join(ENDPOINT);
    if old.is_none() && file.exists() {
        let lost = "the exports of `blocal env` and the keys of running jobs are no longer valid";
        warn(&mut warnings, format!("{} cannot be read: {lost}", file.display()));
    }
    // Another machine, or this one started anew: nothing that ran then runs now.
    let elsewhere = old.as_ref().is_some_and(|old| !old.machine.is_here());
    // Bound, and not listening before everything else is ready: who can connect gets an answer.
    let socket = bind(old.as_ref().map(|e| e.port))?;
    let endpoint = Endpoint {
        port: socket.local_addr()?.port(),
        pid: std::process::id(),
        started_at: now_ms(),
        machine: Machine::here(),
        access_key_id: kept(&old, |e| &e.access_key_id, new_access_key_id),
        secret_access_key: kept(&old, |e| &e.secret_access_key, new_secret),
        jobs_secret: kept(&old, |e| &e.jobs_secret, new_secret),
    };
    let keys = Arc::new(Keys::new(Secrets::of(&endpoint)));
    let capacity = settings.capacity();
    // Databases write when they are opened, and without them not even reading goes on.
    if space::lack(home.path(), space::LOW).is_some() {
        Reserve::open(home.path()).give();
    }
    let store = batch::open_store(home.path(), &capacity)?;
    let how = batch::Conditions {
        capacity,
        environment: environment(home, &endpoint),
        keys: Arc::clone(&keys),
        retention_ms: settings.retention_ms(),
        elsewhere,
    };
    let (containers, asks) = containers::containers();
    let (engine, handle) = Engine::open(home, store, how, containers.clone(), &mut warnings)?;
    let reader = Reader::new(home.path());
    let events = Arc::new(logs::Events::open(home.path(), &mut warnings)?);
    let logs = logs::Api::new(handle.clone(), reader.clone(), events);
    let services = Services {
        s3: s3::service(home.path(), Arc::clone(&keys), reader.clone(), &mut warnings)?,
        batch: batch::Api::new(handle.clone(), reader.clone()),
        logs: logs.clone(),
        ecs: ecs::Api::new(handle.clone(), reader.clone(), endpoint.started_at),
        ec2: ec2::Api::new(handle.clone(), endpoint.started_at),
        sts: sts::Api::new(),
    };
    let front = Arc::new(Front::new(Arc::clone(&keys), services, options.debug));
    let stop = Arc::new(Notify::new());
    let ring = Arc::new(KeyRing { home: home.clone(), keys, endpoint: Mutex::new(endpoint.clone()) });
    control::open(desk(&handle, &reader, &endpoint, &containers, Arc::clone(&ring), &stop, warnings))?;
    let (alive, engine_has_ended) = tokio::sync::oneshot::channel::<()>();
    let engine = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        let _alive = alive;
        engine.run();
    })?;
    ring.write()?;
    let listener = socket.listen(1024)?;
    end_of_start(options)?;
    note!("serving {} on {}", home.path().display(), endpoint.connection().endpoint_url);

    let last_request = Arc::new(AtomicI64::new(now_ms()));
    tokio::spawn(logs.expire_now_and_then());
    let farewell = Arc::new(GracefulShutdown::new());
    let door = Door {
        front,
        last_request: Arc::clone(&last_request),
        connections: Connections::new(most_connections),
        farewell: Arc::clone(&farewell),
    };
    let inner = door.clone();
    let keeper = Keeper {
        home: home.path().to_owned(),
        port: endpoint.port,
        engine: handle.clone(),
        accept: Box::new(move |listener, from| {
            let door = inner.clone();
            tokio::spawn(async move { match door.accept(listener, from).await {} })
        }),
    };
    tokio::spawn(keeper.keep(asks));
    let (why, exit) = tokio::select! {
        () = stop.notified() => ("asked to stop", Ended::Asked),
        _ = terminate.recv() => ("SIGTERM", Ended::Terminated),
        _ = interrupt.recv() => ("SIGINT", Ended::Interrupted),
        _ = hang_up.recv(), if !outlives_terminal => ("SIGHUP", Ended::HungUp),
        why = idle(home, &handle, &last_request, options.idle) => (why, Ended::Asked),
        never = door.accept(listener, Box::new(|peer| peer.is_loopback())) => match never {},
        // Only a defect does that. Everything is on the disk: the next server goes on from there.
        _ = engine_has_ended => ("the engine has ended", Ended::Asked),
    };
    note!("stopping: {why}");
    drop(door);
    containers.close().await;
    // The engine is still there for the requests that have come: what it promises for them is heard.
    if let Some(farewell) = Arc::into_inner(farewell)
        && tokio::time::timeout(FAREWELL, farewell.shutdown()).await.is_err()
    {
        note!("requests that have not ended within {} seconds are cut off", FAREWELL.as_secs());
    }
    handle.tell(Message::Stop);
    if engine.join().is_err() {
        return Err(io::Error::other("the engine has panicked"));
    }
    for file in DATABASES {
        // Nothing is lost by that: the next start reads the log beside it.
        if let Err(e) = database::close(&home.path().join(file)) {
            note!("closing the database: {e}");
        }
    }
    Ok(exit)
}

/// The port of the last time, if nobody has taken it: what `blocal env` printed stays valid.
fn bind(last: Option<u16>) -> io::Result<TcpSocket> {
    let bound = |port: u16| {
        let socket = TcpSocket::new_v4()?;
        // The last server's connections may not have faded yet.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(socket)
    };
    last.and_then(|port| bound(port).ok()).map_or_else(|| bound(0), Ok)
}

/// Where connections come in.
#[derive(Clone)]
struct Door {
    front: Arc<Front>,
    last_request: Arc<AtomicI64>,
    connections: Arc<Connections>,
    farewell: Arc<GracefulShutdown>,
}

impl Door {
    /// Serves connections from those peers that may come in here.
    async fn accept(&self, listener: TcpListener, from: Peers) -> Infallible {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, peer)) if from(peer.ip()) => stream,
                Ok(_) => continue,
                Err(e) => {
                    // Out of descriptors, most likely: some will come back.
                    note!("accepting a connection: {e}");
                    self.connections.close_one();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (place, close) = self.connections.enter().await;
            let _ = stream.set_nodelay(true);
            let (front, last_request) = (Arc::clone(&self.front), Arc::clone(&self.last_request));
            let service = service_fn(move |request| {
                last_request.store(now_ms(), Ordering::Relaxed);
                let (front, place, busy) = (Arc::clone(&front), Arc::clone(&place), place.busy());
                async move {
                    let response = front.answer(request).await?;
                    // No answer but a refusal without a good signature.
                    if response.status().is_success() {
                        place.is_known();
                    }
                    Ok::<_, Infallible>(response.map(|body| Answer::new(body, busy)))
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let connection = self.farewell.watch(connection);
            tokio::spawn(async move {
                // Errors here are clients that went away, or never spoke HTTP.
                tokio::select! {
                    _ = connection => {}
                    Ok(()) = close => {}
                }
            });
        }
    }
}

/// Returns when there has been nothing to do for so long, or when somebody has removed the home: what
/// it had promised to keep is gone, and nobody can find this server any more.
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

/// The keys, and where they are on the disk.
struct KeyRing {
    home: Home,
    keys: Arc<Keys>,
    endpoint: Mutex<Endpoint>,
}

impl KeyRing {
    /// Writes down how to reach the server, with the keys that count now.
    fn write(&self) -> io::Result<()> {
        self.home.set_endpoint(&self.endpoint.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the owner's key, and what the keys of jobs are made of if `jobs` says so. The new ones are on the
    /// disk before they count.
    fn rotate(&self, jobs: bool) -> io::Result<String> {
        let mut endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = endpoint.clone();
        (new.access_key_id, new.secret_access_key) = (new_access_key_id(), new_secret());
        if jobs {
            new.jobs_secret = new_secret();
        }
        self.home.set_endpoint(&new)?;
        self.keys.replace(Secrets::of(&new));
        *endpoint = new;
        Ok(endpoint.access_key_id.clone())
    }
}

fn desk(
    engine: &Handle,
    reader: &Reader,
    endpoint: &Endpoint,
    containers: &Containers,
    ring: Arc<KeyRing>,
    stop: &Arc<Notify>,
    warnings: Vec<String>,
) -> Desk {
    let of_jobs = reader.clone();
    let containers = containers.clone();
    let (engine_for_status, reader, stop) = (engine.clone(), reader.clone(), Arc::clone(stop));
    let (endpoint_url, pid, started_at) =
        (endpoint.connection().endpoint_url, endpoint.pid, endpoint.started_at);
    Desk {
        engine: engine.clone(),
        status: Box::new(move || {
            let counts = reader.read_now(|db| Ok(db.counts()?)).map_err(|e| io::Error::other(e.message))?;
            let (capacity, free) = engine_for_status.resources();
            Ok(Status {
                pid,
                endpoint_url: endpoint_url.clone(),
                started_at,
                jobs: counts.into(),
                capacity,
                free,
                trouble: engine_for_status
                    .trouble()
                    .or_else(|| containers.trouble())
                    .or_else(|| reader.trouble()),
                warnings: warnings.clone(),
            })
        }),
        rotate: Box::new(move |jobs| {
            // Whoever is told that it failed has the key that counts: what else can fail comes before.
            let running = if jobs {
                of_jobs.read_now(|db| Ok(db.placed()?)).map_err(|e| io::Error::other(e.message))?
            } else {
                Vec::new()
            };
            let access_key_id = ring.rotate(jobs)?;
            note!(
                "the owner's key has been replaced{}",
                if jobs { ", and those of jobs revoked" } else { "" }
            );
            let revoked = running.into_iter().map(|(job_id, job_name)| Revoked { job_id, job_name });
            Ok(Rotated { access_key_id, revoked: revoked.collect() })
        }),
        stop: Box::new(move || stop.notify_one()),
    }
}

/// The environment of every job on the host, apart from its key pair: the same on every machine and from whatever shell, as far as it can be.
fn environment(home: &Home, endpoint: &Endpoint) -> Vec<(String, String)> {
    let connection = endpoint.connection();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    let (name, folder, shell) = match user {
        Some(user) => (user.name, user.dir.display().to_string(), user.shell.display().to_string()),
        // No entry for this user, as in some containers.
        None => ("user".to_owned(), "/".to_owned(), "/bin/sh".to_owned()),
    };
    let (path, language) = if cfg!(target_os = "macos") {
        ("/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "en_US.UTF-8")
    } else {
        ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "C.UTF-8")
    };
    [
        ("HOME", folder),
        ("USER", name.clone()),
        ("LOGNAME", name),
        ("SHELL", shell),
        ("PATH", with_tools(path)),
        ("LANG", language.to_owned()),
        ("AWS_ENDPOINT_URL", connection.endpoint_url),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        // A job that calls one of the tools means this cluster.
        (HOME_VARIABLE, home.path().display().to_string()),
        ("AWSB_CLUSTER", "local".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// A PATH in which a job finds the tools that this server belongs to, before any others of their names.
fn with_tools(path: &str) -> String {
    let tools = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_str()?.to_owned()));
    match tools.filter(|folder| !folder.contains(':') && path.split(':').all(|known| known != folder)) {
        Some(folder) => format!("{folder}:{path}"),
        None => path.to_owned(),
    }
}

/// What the last server of this home had, so that what others know of it stays valid.
fn kept(old: &Option<Endpoint>, of: impl Fn(&Endpoint) -> &String, new: impl Fn() -> String) -> String {
    old.as_ref().map(of).filter(|value| !value.is_empty()).map_or_else(new, Clone::clone)
}
