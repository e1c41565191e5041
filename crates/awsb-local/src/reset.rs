//! `blocal reset`: everything is ended and removed, in any state.
//!
//! A server ends jobs in good order, so one that answers is asked to. One that is stopped, hangs,
//! cannot start or does not come to an end is not needed: processes are found by what they are, and
//! what a home has is removed by the names that were given to it.

use std::fs::File;
use std::time::{Duration, Instant};

use super::home::Home;
use super::runner::protocol::Greeting;
use super::runner::sweep_links;
use crate::client::control::Status;
use crate::client::lifecycle::{Program, ask_within, is_served, reachable, start, stop};
use crate::error::LocalError;
use crate::home::space;
use crate::progress::{Report, WaitNotice};
use crate::{containers, log, processes};
use awsb_model::words;

/// How long jobs may take to end when all is reset: SIGTERM, 30 seconds, SIGKILL, and some.
const END_ALL: Duration = Duration::from_secs(45);
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How long another tool may take that is starting the server, before it is not waited for any
/// longer.
const START: Duration = Duration::from_secs(25);
/// How long a server that has been killed may take to go away.
const GONE: Duration = Duration::from_secs(5);
/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Ends all jobs and removes everything that a home has: jobs, logs, objects, settings,
/// credentials.
///
/// # Errors
/// When the folder is not a home, its server runs on another machine, or something cannot be ended
/// or removed.
pub fn reset(home: &Home, program: &Program, report: Report<'_>) -> Result<(), LocalError> {
    log::init_stderr(false);
    if !home.check()? {
        return match home.path().is_symlink() {
            true => Err(LocalError::failed(format!(
                "resetting the local cluster in {}: this is a symbolic link to a folder that does not exist",
                home.path().display()
            ))
            .hint("remove the link, or mount the disk that it leads to")),
            false => Ok(()),
        };
    }
    if !home.is_home()? {
        return Ok(());
    }
    // A server of another machine is out of reach, and so are its jobs.
    reachable(home)?;
    if let Err(why) = by_server(home, program, report) {
        report(format!("the server does not end the jobs, so they are killed: {}", why.message()));
    }
    processes::kill_server(home.path());
    processes::kill_jobs(home.path(), report);
    if let Err(why) = containers::manager::remove_all(home.path()) {
        report(format!("removing what jobs have on the Docker engine: {why}; the next server tries again"));
    }
    let _start = lock(home, report);
    let deadline = Instant::now() + GONE;
    // A lock that cannot be opened, because something else stands in its place, is not held: all
    // processes have been killed.
    while is_served(home).unwrap_or(false) {
        if Instant::now() >= deadline {
            let failure = LocalError::failed(format!(
                "resetting the local cluster in {}: its server does not end, or has been started again",
                home.path().display()
            ));
            return Err(failure.hint("run `blocal reset` again; `blocal status` shows what is running"));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let doing = format!("resetting the local cluster in {}", home.path().display());
    let left = home.clear().map_err(|e| space::failure(home.path(), &doing, &e))?;
    // The jobs' links to their folders, which are gone.
    sweep_links(home.path(), |_| false);
    if !left.failed.is_empty() {
        let what = left.failed.join("; ");
        return Err(LocalError::failed(format!("{doing}: not everything could be removed: {what}")));
    }
    if !left.others.is_empty() {
        let what: Vec<String> = left.others.iter().map(|path| path.display().to_string()).collect();
        report(format!("not removed, because it does not belong to the cluster: {}", what.join(", ")));
    }
    Ok(())
}

/// Has the server end all jobs, and stops it. Where none runs, one is started if any job does.
fn by_server(home: &Home, program: &Program, report: Report<'_>) -> Result<(), LocalError> {
    if !is_served(home)? {
        if processes::has_server(home.path()) {
            return Err(LocalError::failed("it runs, and its lock is gone"));
        }
        if !processes::has_runner(home.path()) {
            return Ok(());
        }
        start(home, program)?;
    }
    let deadline = Instant::now() + END_ALL;
    let mut waiting = WaitNotice::new(report);
    let mut left: Option<Status> = ask_within(home, &Greeting::EndAll, ANSWER)?;
    while let Some(active) = left.as_ref().map(|status| status.jobs.active()).filter(|active| *active > 0) {
        let (jobs, have) = (words::many(active, "job"), if active == 1 { "has" } else { "have" });
        waiting.still_waiting(|| {
            format!("{jobs} {have} been sent SIGTERM, and after 30 seconds SIGKILL ends those that are left")
        });
        if Instant::now() >= deadline {
            return Err(LocalError::failed(format!("they do not end within {} seconds", END_ALL.as_secs())));
        }
        std::thread::sleep(POLL_INTERVAL);
        left = ask_within(home, &Greeting::Status, ANSWER)?;
    }
    stop(home).map(|_| ())
}

/// The lock that guards starts: nobody starts a server meanwhile. Without it (a disk that takes no
/// file, a tool that holds it and is stopped) the home is cleared all the same.
fn lock(home: &Home, report: Report<'_>) -> Option<File> {
    let deadline = Instant::now() + START;
    let mut waiting = WaitNotice::new(report);
    loop {
        match home.try_lock_start() {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) if Instant::now() < deadline => {
                waiting.still_waiting(|| {
                    "another tool is starting the server, and has 25 seconds for it".to_owned()
                });
                std::thread::sleep(POLL_INTERVAL);
            }
            Ok(None) | Err(_) => return None,
        }
    }
}
