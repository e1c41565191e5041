//! Finding the server that runs, starting one, stopping it.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;

use super::control::{self, ControlError, Rotated, Status};
use super::start_report::{self, StartLine};
use crate::access::secrets::{KeyMaterial, Placement, attempt_of};
use crate::error::{LocalError, LocalErrorKind};
use crate::home::endpoint::{Connection, Endpoint};
use crate::home::files::{HOME_VARIABLE, SCRATCH, SERVER_LOCK, SERVER_LOG};
use crate::home::host_id::HostId;
use crate::home::settings::Settings;
use crate::home::{Home, contents, space};
use crate::runner::protocol::{AttemptId, Greeting, TASK_VARIABLE};
use crate::{log, process, processes};

/// How long a server may take to answer, or to stop.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long one connection to a server is waited for.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a server that has been killed may take to go away.
const GONE: Duration = Duration::from_secs(5);
/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// A server that is killed while it comes up is started again at most this many times.
const MOST_KILLED: u32 = 3;

/// A server that answers.
#[derive(Debug)]
pub struct Started {
    /// How to reach it.
    pub connection: Connection,
    /// Its process.
    pub pid: u32,
    /// Whether it was there before.
    pub joined: bool,
    /// The losses that it found when it started.
    pub warnings: Vec<String>,
}

/// The connection to the server of a home, if it answers: its lock is held and its port takes
/// connections.
///
/// # Errors
/// When the home is not to be trusted, or its server runs on another machine.
pub fn answering(home: &Home) -> Result<Option<Connection>, LocalError> {
    Ok(running_server(home)?.map(|started| started.connection))
}

fn running_server(home: &Home) -> Result<Option<Started>, LocalError> {
    let Some(endpoint) = reachable(home)? else { return Ok(None) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, endpoint.port));
    // The system takes connections for a process that is stopped, too.
    let answers = TcpStream::connect_timeout(&address, Duration::from_millis(500));
    if let Ok(stream) = &answers
        && process::may_be_stopped(stream)
    {
        check_not_stopped(home)?;
    }
    let (connection, pid) = (connection(home, &endpoint), endpoint.pid);
    Ok(answers.is_ok().then_some(Started { connection, pid, joined: true, warnings: Vec::new() }))
}

/// Checks that the server of a home is not stopped (SIGSTOP). A stopped server answers nothing
/// until it is continued.
fn check_not_stopped(home: &Home) -> Result<(), LocalError> {
    match home.server_pid() {
        Some(pid) if process::is_stopped(pid) => Err(LocalError::failed(format!(
            "the local cluster's server in {} (process {pid}) is stopped, as by SIGSTOP or Ctrl-Z: it answers nothing",
            home.path().display()
        ))
        .hint(format!("`kill -CONT {pid}` continues it; jobs that run go on meanwhile"))),
        _ => Ok(()),
    }
}

/// How this process reaches a server: in one of its jobs with the job's key, so that what is
/// submitted there is on record as the job's; anywhere else with the owner's.
fn connection(home: &Home, endpoint: &Endpoint) -> Connection {
    let connection = endpoint.connection();
    let variable = |name: &str| std::env::var(name).ok();
    let is_running_here =
        |attempt_id: &AttemptId| home.path().join(SCRATCH).join(attempt_id.as_str()).is_dir();
    let attempt_id = variable(TASK_VARIABLE).and_then(AttemptId::parse).filter(is_running_here);
    let Some(attempt_id) = attempt_id else { return connection };
    let exported = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
    let (access_key_id, secret_access_key) = match exported {
        Some((id, secret)) if attempt_of(&id).is_some_and(|(attempt, _)| attempt == attempt_id) => {
            (id, secret)
        }
        // The job has other credentials in its environment, for AWS: its own are derived again.
        _ => {
            let own = KeyMaterial::of(endpoint).of_attempt(&attempt_id, Placement::Host);
            (own.access_key_id, own.secret_access_key)
        }
    };
    Connection { access_key_id, secret_access_key, ..connection }
}

/// Replaces the key of a home's owner at once, starting the server if needed; with `jobs`, those of
/// the jobs that run are revoked, too.
///
/// # Errors
/// When no server answers, or the keys cannot be written.
pub fn rotate(home: &Home, program: &Program, jobs: bool) -> Result<Rotated, LocalError> {
    start(home, program)?;
    let stopped =
        || LocalError::failed("replacing the local cluster's key: the server has stopped meanwhile");
    ask(home, &Greeting::Rotate { jobs })?.ok_or_else(stopped)
}

/// The endpoint of the server that runs in a home, if it is the user's own and can be reached from
/// this machine.
pub fn reachable(home: &Home) -> Result<Option<Endpoint>, LocalError> {
    // Before anything in the home is read.
    if !home.check()? {
        return Ok(None);
    }
    match home.served_endpoint() {
        Some(endpoint) if !endpoint.machine.is_here() => Err(LocalError::failed(format!(
            "the local cluster in {} runs on another machine, {}: it cannot be reached from this one, {}",
            home.path().display(),
            endpoint.machine.name,
            HostId::here().name
        ))
        .hint(format!(
            "run this command there, run `blocal stop` there first, or give each machine a folder of its \
             own with {HOME_VARIABLE}"
        ))),
        endpoint => Ok(endpoint),
    }
}

/// Whether a server lives in a home.
pub fn is_served(home: &Home) -> Result<bool, LocalError> {
    home.is_served().map_err(|e| {
        LocalError::failed(format!(
            "looking for the local cluster's server in {}: {e}",
            home.path().display()
        ))
    })
}

/// Joins the server that runs in a home, or starts one in the background and waits until it
/// answers.
///
/// # Errors
/// When the home cannot be used or the server does not come up; the message has the server's own
/// words.
pub fn start(home: &Home, program: &Program) -> Result<Started, LocalError> {
    // `create` repairs or reports problems with a home.
    if let Ok(Some(started)) = running_server(home) {
        return Ok(started);
    }
    home.create()?;
    // Of many that want to start one, one does; the others wait here and then join it.
    let doing = format!("starting the local cluster in {}", home.path().display());
    let lock = home.lock_start().map_err(|e| space::failure(home.path(), &doing, &e))?;
    // A server that is just coming up or going down holds the lock without answering.
    let deadline = Instant::now() + TIMEOUT;
    while is_served(home)? && Instant::now() < deadline {
        if let Some(started) = running_server(home)? {
            return Ok(started);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let (mut child, mut log) = spawn(home, program)?;
    let mut killed = 0;
    let outcome = loop {
        if let Some(started) = running_server(home)? {
            let report = child.stdout.take().map(|stdout| start_report::read(stdout, deadline));
            let warning = |line| match line {
                StartLine::Warning(warning) => Some(warning),
                StartLine::Failure { .. } => None,
            };
            let warnings = report.into_iter().flatten().filter_map(warning).collect();
            break Ok(Started { joined: false, warnings, ..started });
        }
        if let Ok(Some(status)) = child.try_wait() {
            // By somebody who meant the one before, or by the system for want of memory.
            if status.signal() == Some(Signal::SIGKILL as i32) && killed < MOST_KILLED {
                killed += 1;
                (child, log) = spawn(home, program)?;
                continue;
            }
            break Err(format!("the server ended at once ({status})"));
        }
        if Instant::now() >= deadline {
            break Err(format!("the server does not answer after {} seconds", TIMEOUT.as_secs()));
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    drop(lock);
    outcome.map_err(|why| {
        let mut report = Vec::new();
        if let Ok(Some(_)) = child.try_wait()
            && let Some(stdout) = child.stdout.take()
        {
            // A process that it has started does not have this pipe: the pipe ends with the server.
            report = start_report::read(stdout, Instant::now() + ANSWER);
        }
        let failure = report.into_iter().find_map(|line| match line {
            StartLine::Failure { message, hints } => {
                let failure = LocalError::failed(format!("{doing}: {message}"));
                Some(hints.into_iter().fold(failure, LocalError::hint))
            }
            StartLine::Warning(_) => None,
        });
        let failure = failure.unwrap_or_else(|| {
            let failure = LocalError::failed(format!("{doing}: {why}"));
            let log = log_since(home, log);
            match (log::error_at_end(&log), log.lines().rfind(|line| !line.trim().is_empty())) {
                (Some(error), _) => failure.hint(format!("its log ends with: {error}")),
                (None, Some(line)) => failure.hint(format!("its last line: {line}")),
                (None, None) => failure,
            }
        });
        failure.hint(format!("its log is {}", home.path().join(SERVER_LOG).display()))
    })
}

/// Changes what is set about a home, for the next server.
///
/// # Errors
/// When it cannot be kept; and when a server runs that has other settings.
pub fn set(home: &Home, change: impl FnOnce(&mut Settings)) -> Result<(), LocalError> {
    let failed = |e: std::io::Error| space::failure(home.path(), "the local cluster's settings", &e);
    home.create()?;
    let old = Settings::read(home.path()).map_err(failed)?;
    let mut new = old;
    change(&mut new);
    if new == old {
        return Ok(());
    }
    if is_served(home)? {
        return Err(LocalError::failed("the local cluster is already running, with other settings")
            .hint("run `blocal stop` first: running jobs continue, and the next start picks them up"));
    }
    new.write(home.path()).map_err(failed)
}

/// Starts `blocal serve` in the background; returns the process and where its part of the log
/// begins.
fn spawn(home: &Home, program: &Program) -> Result<(Child, u64), LocalError> {
    let program = program.path()?;
    let failed = |e: std::io::Error| {
        let doing = format!("starting the local cluster: {}", program.display());
        space::failure(home.path(), &doing, &e)
    };
    let path = home.path().join(SERVER_LOG);
    let of_log = |e: std::io::Error| {
        let doing = format!("starting the local cluster: opening its log {}", path.display());
        space::failure(home.path(), &doing, &e)
    };
    log::rotate_if_long(home.path());
    let mut options = OpenOptions::new();
    let log = contents::open_to_write(options.create(true).append(true), &path).map_err(of_log)?;
    let from = log.metadata().map_err(of_log)?.len();
    let mut command = Command::new(&program);
    // The server also serves later users: nothing of this shell's environment may affect it.
    command.env_clear();
    // The last two say where the Docker engine is.
    for name in ["HOME", "PATH", "TZ", "DOCKER_HOST", "XDG_RUNTIME_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let child = command
        .arg0("blocal")
        .args(["serve", "--background"])
        .env(HOME_VARIABLE, home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    Ok((child, from))
}

/// Where the program `awsb` is, which is the server when it is called `blocal`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Program {
    /// In the folder of the program that runs, as for all of awsb's tools. Another `awsb` in PATH
    /// is not looked for.
    #[default]
    BesideThisOne,
    /// This file.
    At(PathBuf),
}

impl Program {
    fn path(&self) -> Result<PathBuf, LocalError> {
        let failed = |why: String| {
            LocalError::failed(format!("starting the local cluster: {why}"))
                .hint("install all of awsb's programs into one folder")
        };
        let path = match self {
            Self::At(path) => path.clone(),
            Self::BesideThisOne => {
                let own = std::env::current_exe()
                    .map_err(|e| failed(format!("looking for the program that runs: {e}")))?;
                own.canonicalize().unwrap_or(own).with_file_name("awsb")
            }
        };
        match path.is_file() {
            true => Ok(path),
            false => Err(failed(format!("there is no program {}", path.display()))),
        }
    }
}

fn log_since(home: &Home, from: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = contents::open(&home.path().join(SERVER_LOG))
        && file.seek(SeekFrom::Start(from)).is_ok()
    {
        let _ = file.take(64 * 1024).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The message of the error with which the last server in the background has ended, if it has.
pub fn last_error(home: &Home) -> Option<String> {
    log::last_error(home.path())
}

/// The status of the server of a home; `None` when none runs.
///
/// # Errors
/// When one runs and does not answer.
pub fn status(home: &Home) -> Result<Option<Status>, LocalError> {
    ask(home, &Greeting::Status)
}

/// A server that has been stopped.
#[derive(Debug)]
pub struct Stopped {
    /// Its process, if it is known.
    pub pid: Option<u32>,
    /// What it was doing. A server that did not answer has not told it.
    pub status: Option<Status>,
    /// Why the server was killed. `None`: it has stopped by itself.
    pub killed: Option<String>,
}

/// Stops the server of a home; `None` when none runs. Jobs that run go on; their runners wait for
/// the next server. A server that does not answer, or does not stop, is killed: everything that it
/// has confirmed is on the disk.
///
/// # Errors
/// When one runs and cannot be asked or killed.
pub fn stop(home: &Home) -> Result<Option<Stopped>, LocalError> {
    let pid = home.server_pid();
    let status: Option<Status> = match ask(home, &Greeting::Stop) {
        Ok(Some(status)) => Some(status),
        Ok(None) => return Ok(None),
        Err(e) if e.kind() == LocalErrorKind::NoAnswer => None,
        Err(e) => return Err(e),
    };
    let is_asked = status.is_some();
    // A server that does not answer has had its time already.
    let deadline = Instant::now() + if is_asked { TIMEOUT } else { Duration::ZERO };
    let mut stopped = Stopped { pid: status.as_ref().map(|status| status.pid).or(pid), status, killed: None };
    while is_served(home)? {
        check_not_stopped(home)?;
        if Instant::now() >= deadline {
            let did = if is_asked { "has not stopped" } else { "has not answered" };
            kill(home, did)?;
            stopped.killed = Some(format!("it {did} within {} seconds", TIMEOUT.as_secs()));
            break;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(Some(stopped))
}

/// Kills the server of a home, and waits until it is gone.
fn kill(home: &Home, did: &str) -> Result<(), LocalError> {
    processes::kill_server(home.path());
    let deadline = Instant::now() + GONE;
    while is_served(home)? {
        if Instant::now() >= deadline {
            return Err(LocalError::failed(format!(
                "stopping the local cluster in {}: its server {did}, and it cannot be killed",
                home.path().display()
            ))
            .hint(match home.server_pid() {
                Some(pid) => format!("its process is {pid}; `ps -fp {pid}` shows whose it is"),
                None => format!("another process holds {}", home.path().join(SERVER_LOCK).display()),
            }));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

fn ask<T: DeserializeOwned>(home: &Home, greeting: &Greeting) -> Result<Option<T>, LocalError> {
    ask_within(home, greeting, TIMEOUT)
}

/// Asks the server of a home, which has so long to answer; `None` when none runs.
pub fn ask_within<T: DeserializeOwned>(
    home: &Home,
    greeting: &Greeting,
    timeout: Duration,
) -> Result<Option<T>, LocalError> {
    let deadline = Instant::now() + timeout;
    reachable(home)?;
    loop {
        if !is_served(home)? {
            return Ok(None);
        }
        check_not_stopped(home)?;
        match control::ask(home.path(), greeting, timeout.min(ANSWER)) {
            Ok(answer) => return Ok(Some(answer)),
            Err(e) => {
                let again = match &e {
                    // It may be coming up or going down.
                    ControlError::NotReached(_) => true,
                    // A request that may have been performed must not be repeated.
                    ControlError::NoAnswer(_) => !matches!(greeting, Greeting::Rotate { .. }),
                    ControlError::Refused(_) => false,
                };
                if !again || Instant::now() >= deadline {
                    let message =
                        format!("asking the local cluster's server in {}: {e}", home.path().display());
                    return Err(match e {
                        ControlError::Refused(_) => LocalError::failed(message),
                        ControlError::NotReached(_) | ControlError::NoAnswer(_) => LocalError::no_answer(
                            message,
                        )
                        .hint(
                            "`blocal stop` ends a server that does not answer; jobs that run go on, and the \
                                 next start picks them up",
                        ),
                    });
                }
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    }
}
