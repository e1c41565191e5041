//! `blocal`: the local cluster, started, stopped and looked at.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use super::CommonArgs;
use crate::local::server::{IDLE, Options};
use crate::local::{self, Connection, Home, Status};
use crate::ui::{Exit, Failure, Layout, View, local_rfc3339};

/// The local cluster: AWS Batch, S3 and CloudWatch Logs on this machine
#[derive(Debug, Parser)]
#[command(name = "blocal", version, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the local cluster in the background; returns when it answers
    Start,
    /// Stop the local cluster; jobs that run go on and are picked up at the next start
    Stop,
    /// Show what the local cluster is doing; exit code 1 when it is not running
    Status,
    /// Run the local cluster in the foreground
    Serve {
        /// Leave the session and the descriptors of whoever has started us
        #[arg(long, hide = true)]
        background: bool,
        /// Stop after so many seconds with nothing to do
        #[arg(long, hide = true, value_name = "SECONDS")]
        idle: Option<u64>,
    },
    /// Print the shell exports with which any AWS tool can talk to the local cluster, starting it if needed
    Env,
    /// Own a job; started by the server
    #[command(hide = true)]
    Runner {
        /// The runner's own ID
        id: String,
    },
}

/// The home of the local cluster; any other cluster is not `blocal`'s business.
fn home(common: &CommonArgs) -> Result<Home, Failure> {
    match common.cluster.as_deref() {
        None | Some("local") => Home::find(),
        Some(other) => Err(Failure::usage(format!(
            "blocal is the local cluster itself; it has nothing to do with the cluster {other:?}"
        ))
        .hint("leave `--cluster` out")),
    }
}

/// `blocal`'s entry point.
pub fn main() -> ExitCode {
    super::run("blocal", |Args { action, common }: Args| match action {
        Action::Start => start(&common),
        Action::Stop => stop(&common),
        Action::Status => status(&common),
        Action::Serve { background, idle } => {
            let idle = idle.map_or(IDLE, Duration::from_secs);
            local::server::serve(&home(&common)?, &Options { background, debug: common.debug, idle })
        }
        Action::Env => env(&common),
        Action::Runner { id } => local::runner::run(&id),
    })
}

fn start(common: &CommonArgs) -> Result<Exit, Failure> {
    let started = local::start(&home(common)?)?;
    let did = if started.joined { "was running already" } else { "has been started" };
    let line = format!("The local cluster {did}: {} (pid {})", started.connection.endpoint_url, started.pid);
    let json = json!({
        "endpointUrl": started.connection.endpoint_url,
        "pid": started.pid,
        "started": !started.joined,
    });
    common.output().show(&Said { line, json })?;
    Ok(Exit::Done)
}

fn stop(common: &CommonArgs) -> Result<Exit, Failure> {
    let stopped = local::stop(&home(common)?)?;
    let line = match &stopped {
        Some(status) => format!("The local cluster has been stopped (pid {})", status.pid),
        None => "The local cluster was not running".to_owned(),
    };
    if let Some(status) = &stopped {
        let running = status.jobs.starting + status.jobs.running + status.jobs.pending;
        if running > 0 {
            eprintln!(
                "blocal: {running} {} not ended; processes that run go on, and the next start picks them up",
                if running == 1 { "job has" } else { "jobs have" }
            );
        }
    }
    let json = json!({"stopped": stopped.is_some(), "pid": stopped.map(|s| s.pid)});
    common.output().show(&Said { line, json })?;
    Ok(Exit::Done)
}

fn status(common: &CommonArgs) -> Result<Exit, Failure> {
    let home = home(common)?;
    match local::status(&home)? {
        Some(status) => {
            common.output().show(&Running { home, status })?;
            Ok(Exit::Done)
        }
        None => {
            let json = json!({"running": false, "home": home.path().display().to_string()});
            let line = "The local cluster is not running".to_owned();
            common.output().show(&Said { line, json })?;
            Ok(Exit::Failed)
        }
    }
}

fn env(common: &CommonArgs) -> Result<Exit, Failure> {
    let started = local::start(&home(common)?)?;
    common.output().show(&Exports(started.connection))?;
    Ok(Exit::Done)
}

/// One line for people, one object for scripts.
struct Said {
    line: String,
    json: Value,
}

impl View for Said {
    fn plain(&self) -> Layout {
        Layout::Lines(vec![self.line.clone()])
    }

    fn json(&self) -> Vec<Value> {
        vec![self.json.clone()]
    }
}

/// A cluster that runs.
struct Running {
    home: Home,
    status: Status,
}

impl View for Running {
    fn plain(&self) -> Layout {
        let s = &self.status;
        let mut lines = vec![
            ("endpoint".to_owned(), s.endpoint_url.clone()),
            ("home".to_owned(), self.home.path().display().to_string()),
            ("pid".to_owned(), s.pid.to_string()),
            ("startedAt".to_owned(), local_rfc3339(s.started_at)),
            ("uptime".to_owned(), uptime(crate::local::now_ms() - s.started_at)),
        ];
        let used = s.capacity.vcpus - s.free.vcpus.min(s.capacity.vcpus);
        lines.push(("vcpus".to_owned(), format!("{used} of {} in use", s.capacity.vcpus)));
        let used = s.capacity.memory_mib - s.free.memory_mib.min(s.capacity.memory_mib);
        lines.push(("memory".to_owned(), format!("{used} of {} MiB in use", s.capacity.memory_mib)));
        for (name, count) in counts(s) {
            lines.push((name.to_owned(), count.to_string()));
        }
        Layout::Details(lines)
    }

    fn json(&self) -> Vec<Value> {
        let s = &self.status;
        vec![json!({
            "running": true,
            "endpointUrl": s.endpoint_url,
            "home": self.home.path().display().to_string(),
            "pid": s.pid,
            "startedAt": s.started_at,
            "uptime": crate::local::now_ms() - s.started_at,
            "vcpus": {"capacity": s.capacity.vcpus, "free": s.free.vcpus},
            "memory": {"capacity": s.capacity.memory_mib, "free": s.free.memory_mib},
            "jobs": counts(s).map(|(name, n)| (name.to_owned(), json!(n))).collect::<serde_json::Map<_, _>>(),
        })]
    }
}

fn counts(status: &Status) -> impl Iterator<Item = (&'static str, u64)> {
    let jobs = &status.jobs;
    [
        ("SUBMITTED", jobs.submitted),
        ("PENDING", jobs.pending),
        ("RUNNABLE", jobs.runnable),
        ("STARTING", jobs.starting),
        ("RUNNING", jobs.running),
        ("SUCCEEDED", jobs.succeeded),
        ("FAILED", jobs.failed),
    ]
    .into_iter()
}

/// `3d 04:05:06`.
fn uptime(ms: i64) -> String {
    let s = (ms / 1000).max(0);
    let clock = format!("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60);
    match s / 86_400 {
        0 => clock,
        days => format!("{days}d {clock}"),
    }
}

/// What a shell needs to talk to the local cluster.
struct Exports(Connection);

impl Exports {
    fn variables(&self) -> [(&'static str, &str); 5] {
        let c = &self.0;
        [
            ("AWS_ENDPOINT_URL", &c.endpoint_url),
            ("AWS_ACCESS_KEY_ID", &c.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &c.secret_access_key),
            ("AWS_REGION", &c.region),
            ("AWS_DEFAULT_REGION", &c.region),
        ]
    }
}

impl View for Exports {
    fn plain(&self) -> Layout {
        let mut lines: Vec<String> = self
            .variables()
            .iter()
            .map(|(name, value)| format!("export {name}='{}'", value.replace('\'', r"'\''")))
            .collect();
        // A profile would beat the exported keys, and a session token does not go with them.
        lines.push("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN".to_owned());
        Layout::Lines(lines)
    }

    fn json(&self) -> Vec<Value> {
        vec![
            self.variables()
                .into_iter()
                .map(|(n, v)| (n.to_owned(), json!(v)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_read_well() {
        assert_eq!(uptime(0), "00:00:00");
        assert_eq!(uptime(3_661_000), "01:01:01");
        assert_eq!(uptime(90_061_000), "1d 01:01:01");
    }
}
