//! Finding the server that runs, starting one, stopping it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Connection;
use super::control::{self, Status};
use super::home::{Endpoint, HOME_VARIABLE, Home, SERVER_LOG};
use super::machine::Machine;
use super::runner;
use super::runner::protocol::Greeting;
use super::settings::Settings;
use crate::ui::{Failure, note};

/// How long a server may take to answer, or to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long jobs may take to end when all is reset: SIGTERM, 30 seconds, SIGKILL, and some.
const END_ALL: Duration = Duration::from_secs(45);
/// How often to look.
const LOOK: Duration = Duration::from_millis(5);
/// A server's log longer than this starts anew.
const LONG_LOG: u64 = 4 << 20;

/// A server that answers.
#[derive(Debug)]
pub struct Started {
    /// How to reach it.
    pub connection: Connection,
    /// Its process.
    pub pid: u32,
    /// Whether it was there before.
    pub joined: bool,
}

/// The connection to the server of a home, if it answers: its lock is held and its port takes connections.
///
/// # Errors
/// When the home is not to be trusted, or its server runs on another machine.
pub fn answering(home: &Home) -> Result<Option<Connection>, Failure> {
    Ok(joined(home)?.map(|started| started.connection))
}

fn joined(home: &Home) -> Result<Option<Started>, Failure> {
    let Some(endpoint) = reachable(home)? else { return Ok(None) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, endpoint.port));
    let answers = TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok();
    let started = Started { connection: endpoint.connection(), pid: endpoint.pid, joined: true };
    Ok(answers.then_some(started))
}

/// What the server that runs in a home wrote down, if it is the user's own and can be reached from here.
fn reachable(home: &Home) -> Result<Option<Endpoint>, Failure> {
    // Before anything in the home is read.
    if !home.check()? {
        return Ok(None);
    }
    match home.served_endpoint() {
        Some(endpoint) if !endpoint.machine.is_here() => Err(Failure::failed(format!(
            "the local cluster in {} runs on another machine, {}: it cannot be reached from this one, {}",
            home.path().display(),
            endpoint.machine.name,
            Machine::here().name
        ))
        .hint(format!(
            "run this there, or `blocal stop` there first, or give each machine a folder of its own: {HOME_VARIABLE}"
        ))),
        endpoint => Ok(endpoint),
    }
}

/// Whether a server lives in a home.
fn served(home: &Home) -> Result<bool, Failure> {
    home.is_served().map_err(|e| {
        Failure::failed(format!("looking for the local cluster's server in {}: {e}", home.path().display()))
    })
}

/// Joins the server that runs in a home, or starts one in the background and waits until it answers.
///
/// # Errors
/// When the home cannot be used or the server does not come up; the message has the server's own words.
pub fn start(home: &Home) -> Result<Started, Failure> {
    // What is wrong with a home, `create` puts right or tells.
    if let Ok(Some(started)) = joined(home) {
        return Ok(started);
    }
    home.create()?;
    // Of many that want to start one, one does; the others wait here and then join it.
    let lock = home.lock_start().map_err(|e| {
        Failure::failed(format!("starting the local cluster in {}: {e}", home.path().display()))
    })?;
    // A server that is just coming up or going down holds the lock without answering.
    let deadline = Instant::now() + PATIENCE;
    while served(home)? && Instant::now() < deadline {
        if let Some(started) = joined(home)? {
            return Ok(started);
        }
        std::thread::sleep(LOOK);
    }
    let (mut child, log) = spawn(home)?;
    let outcome = loop {
        if let Some(started) = joined(home)? {
            break Ok(Started { joined: false, ..started });
        }
        if let Ok(Some(status)) = child.try_wait() {
            break Err(format!("the server ended at once ({status})"));
        }
        if Instant::now() >= deadline {
            break Err(format!("the server does not answer after {} seconds", PATIENCE.as_secs()));
        }
        std::thread::sleep(LOOK);
    };
    drop(lock);
    outcome.map_err(|why| {
        let failure =
            Failure::failed(format!("starting the local cluster in {}: {why}", home.path().display()));
        let last = log_since(home, log);
        let failure = match last.lines().rfind(|l| !l.trim().is_empty()) {
            Some(line) => failure.hint(format!("its last words: {line}")),
            None => failure,
        };
        failure.hint(format!("its log is {}", home.path().join(SERVER_LOG).display()))
    })
}

/// Changes what is set about a home, for the next server.
///
/// # Errors
/// When it cannot be kept; and when a server runs that has other settings.
pub fn set(home: &Home, change: impl FnOnce(&mut Settings) -> Result<(), Failure>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::failed(format!("the local cluster's settings: {e}"));
    home.create()?;
    let old = Settings::read(home.path()).map_err(failed)?;
    let mut new = old;
    change(&mut new)?;
    if new == old {
        return Ok(());
    }
    if served(home)? {
        return Err(Failure::failed("the local cluster runs already, with other settings")
            .hint("`blocal stop` first: jobs that run go on, and the next start picks them up"));
    }
    new.write(home.path()).map_err(failed)
}

/// Ends all jobs and removes everything that a home has: jobs, logs, objects, settings, credentials.
///
/// # Errors
/// When jobs do not end, or something cannot be removed.
pub fn reset(home: &Home) -> Result<(), Failure> {
    if !home.check()? {
        return Ok(());
    }
    if !home.is_home()? {
        return Ok(());
    }
    // Jobs are ended by whoever has them. Where no server can start, as the state is broken, nobody can end
    // those whose runners live; without their journals nobody ever could.
    let started = start(home);
    if let Err(why) = &started {
        let alive = runner::living(home.path());
        if alive > 0 {
            return Err(Failure::failed(format!(
                "resetting the local cluster: {alive} jobs run, and no server starts that could end them: {}",
                why.message
            ))
            .hint("wait until they have ended, or end their processes, and run `blocal reset` again"));
        }
    }
    if let Ok(started) = started {
        let deadline = Instant::now() + END_ALL;
        let mut left = ask(home, &Greeting::EndAll)?;
        while left.as_ref().is_some_and(|status| status.jobs.active() > 0) {
            if Instant::now() >= deadline {
                return Err(Failure::failed(format!(
                    "resetting the local cluster: jobs do not end within {} seconds",
                    END_ALL.as_secs()
                ))
                .hint(format!("`bstat` shows them; the server is process {}", started.pid)));
            }
            std::thread::sleep(4 * LOOK);
            left = status(home)?;
        }
        stop(home)?;
    }
    let failed = |e: std::io::Error| {
        Failure::failed(format!("resetting the local cluster in {}: {e}", home.path().display()))
    };
    let _start = home.lock_start().map_err(failed)?;
    if served(home)? {
        return Err(Failure::failed("the local cluster has been started again meanwhile")
            .hint("run `blocal reset` again"));
    }
    let left = home.clear().map_err(failed)?;
    if !left.failed.is_empty() {
        let what = left.failed.join("; ");
        return Err(failed(std::io::Error::other(format!("not everything could be removed: {what}"))));
    }
    if !left.others.is_empty() {
        let what: Vec<String> = left.others.iter().map(|path| path.display().to_string()).collect();
        note(format!("blocal: left alone, as it is not the cluster's: {}", what.join(", ")));
    }
    Ok(())
}

/// Starts `blocal serve` in the background; returns the process and where its part of the log begins.
fn spawn(home: &Home) -> Result<(Child, u64), Failure> {
    let program = program()?;
    let failed = |e: std::io::Error| {
        Failure::failed(format!("starting the local cluster: {}: {e}", program.display()))
    };
    let path = home.path().join(SERVER_LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    if log.metadata().map_err(failed)?.len() > LONG_LOG {
        log.set_len(0).map_err(failed)?;
    }
    let from = log.metadata().map_err(failed)?.len();
    let mut command = Command::new(&program);
    // The server serves whoever comes later, too: nothing of this shell's environment may shape it.
    command.env_clear();
    // The last two say where the Docker engine is.
    for name in ["HOME", "PATH", "TZ", "DOCKER_HOST", "XDG_RUNTIME_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let child = command
        .args(["serve", "--background"])
        .env(HOME_VARIABLE, home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    Ok((child, from))
}

/// `blocal`: beside the program that runs, else on the PATH.
fn program() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join("blocal"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join("blocal")))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Failure::failed(
                "starting the local cluster: there is no `blocal` program beside this one or on the PATH",
            )
            .hint("install all of awsb's tools into one folder: `cargo install --locked --path .`")
        })
}

fn log_since(home: &Home, from: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(home.path().join(SERVER_LOG))
        && file.seek(SeekFrom::Start(from)).is_ok()
    {
        let _ = file.take(64 * 1024).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What the server of a home is doing; `None` when none runs.
///
/// # Errors
/// When one runs and does not answer.
pub fn status(home: &Home) -> Result<Option<Status>, Failure> {
    ask(home, &Greeting::Status)
}

/// Stops the server of a home and returns what it was doing; `None` when none runs. Jobs that run go
/// on; their runners wait for the next server.
///
/// # Errors
/// When one runs and does not stop.
pub fn stop(home: &Home) -> Result<Option<Status>, Failure> {
    let status = ask(home, &Greeting::Stop)?;
    let deadline = Instant::now() + PATIENCE;
    while status.is_some() && served(home)? {
        if Instant::now() >= deadline {
            return Err(Failure::failed("the local cluster's server does not stop"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(status)
}

fn ask(home: &Home, greeting: &Greeting) -> Result<Option<Status>, Failure> {
    let deadline = Instant::now() + PATIENCE;
    reachable(home)?;
    loop {
        if !served(home)? {
            return Ok(None);
        }
        match control::ask(home.path(), greeting) {
            Ok(status) => return Ok(Some(status)),
            // It may be coming up or going down.
            Err(_) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Err(e) => {
                return Err(Failure::failed(format!(
                    "asking the local cluster's server in {}: {e}",
                    home.path().display()
                )));
            }
        }
    }
}
