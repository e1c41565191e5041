//! `blocal`: starts, stops and shows the local cluster.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use super::CommonArgs;
use crate::ui::{
    EndSignal, Exit, Failure, Format, Layout, View, hide_ignored_signals, ignores_hangup, local_rfc3339,
    print_message,
};
use awsb_local::server::{IDLE, Options, StopReason};
use awsb_local::sessions::leader;
use awsb_local::{
    BUCKET, Connection, Home, LocalErrorKind, PREFIX, Program, Revoked, Rotated, Settings, Status,
};
use awsb_model::{Memory, words};

/// Manage the local cluster: AWS Batch, S3 and CloudWatch Logs on this machine
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
    Start {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Stop the local cluster; running jobs continue, and the next start picks them up
    Stop,
    /// Show what the local cluster is doing; exit code 1 when it is not running
    Status,
    /// Replace the key of `blocal env` at once; running jobs keep theirs
    Rotate {
        /// Revoke the keys of running jobs, too; results that they have not stored yet are lost
        #[arg(long)]
        jobs: bool,
    },
    /// End all jobs and remove everything: jobs, logs, objects, settings, credentials; asks first
    Reset {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Run the local cluster in the foreground
    Serve {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Leave the session and close the descriptors of the process that started this one
        #[arg(long, hide = true)]
        background: bool,
        /// Stop after this many seconds without work
        #[arg(long, hide = true, value_name = "SECONDS")]
        idle: Option<u64>,
    },
    /// Print shell exports that make any AWS tool use the local cluster, and start it if needed
    Env,
    /// Own a job; started by the server
    #[command(hide = true)]
    Runner {
        /// The runner's own ID
        id: String,
    },
}

/// The settings that later starts keep; `auto` restores the default.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings (kept for later starts; `auto` restores the default)")]
struct SettingsArgs {
    /// How many vCPUs all jobs together may have [default: the machine's]
    #[arg(long, value_name = "N|auto")]
    vcpus: Option<Setting<u32>>,
    /// How much memory all jobs together may have, in MiB or as a size such as 4G [default: the
    /// machine's]
    #[arg(long, value_name = "SIZE|auto")]
    memory: Option<Setting<Memory>>,
    /// How many GPUs all jobs together may have [default: none]
    #[arg(long, value_name = "N|auto")]
    gpus: Option<Setting<u32>>,
    /// How many days to keep ended jobs and their logs [default: 30]
    #[arg(long, value_name = "DAYS|auto")]
    retention: Option<Setting<u32>>,
}

impl SettingsArgs {
    fn check(&self) -> Result<(), Failure> {
        if matches!(self.vcpus, Some(Setting(Some(0)))) {
            return Err(Failure::usage("--vcpus: the least is 1 vCPU, which jobs need"));
        }
        if matches!(self.retention, Some(Setting(Some(0)))) {
            return Err(Failure::usage("--retention: the least is 1 day"));
        }
        Ok(())
    }

    fn apply(&self, settings: &mut Settings) {
        if let Some(Setting(vcpus)) = self.vcpus {
            settings.vcpus = vcpus;
        }
        if let Some(Setting(memory)) = self.memory {
            settings.memory_mib = memory.map(Memory::mib);
        }
        if let Some(Setting(gpus)) = self.gpus {
            settings.gpus = gpus;
        }
        if let Some(Setting(days)) = self.retention {
            settings.retention_days = days;
        }
    }
}

/// A value, or `auto` for none.
#[derive(Debug, Clone, Copy)]
struct Setting<T>(Option<T>);

impl<T: FromStr> FromStr for Setting<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "auto" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

/// The home of the local cluster. `blocal` manages no other cluster.
fn home(common: &CommonArgs) -> Result<Home, Failure> {
    match common.cluster.as_deref() {
        None | Some("local") => Ok(Home::find()?),
        Some(other) => {
            Err(Failure::usage(format!("blocal only manages the local cluster, not the cluster {other:?}"))
                .hint("leave out `--cluster`"))
        }
    }
}

/// `blocal`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    // It has the environment of a job, which the checks of a command line must not read.
    if let [_, action, rest @ ..] = words.as_slice()
        && action == leader::ACTION
    {
        return ExitCode::from(leader::run(rest));
    }
    super::run("blocal", words, |Args { action, common }: Args| match action {
        Action::Start { settings } => start(&common, &settings),
        Action::Reset { yes } => reset(&common, yes),
        Action::Rotate { jobs } => rotate(&common, jobs),
        Action::Stop => stop(&common),
        Action::Status => status(&common),
        Action::Serve { settings, background, idle } => {
            let idle = idle.map_or(IDLE, Duration::from_secs);
            let home = home(&common)?;
            settings.check()?;
            awsb_local::set(&home, |old| settings.apply(old))?;
            let outlives_terminal = ignores_hangup();
            // The server also serves others: its jobs inherit nothing of what its starter ignores.
            hide_ignored_signals();
            let options = Options { background, outlives_terminal, debug: common.debug, idle };
            awsb_local::server::serve(&home, &options).map(exit).map_err(Failure::from)
        }
        Action::Env => env(&common),
        Action::Runner { id } => {
            awsb_local::runner::run(&id)?;
            Ok(Exit::Done)
        }
    })
}

/// The exit status of a server's process.
fn exit(ended: StopReason) -> Exit {
    match ended {
        StopReason::Asked => Exit::Done,
        StopReason::Interrupted => Exit::Interrupted(EndSignal::Interrupt),
        StopReason::Terminated => Exit::Interrupted(EndSignal::Terminate),
        StopReason::HungUp => Exit::Interrupted(EndSignal::HangUp),
    }
}

fn start(common: &CommonArgs, settings: &SettingsArgs) -> Result<Exit, Failure> {
    let home = home(common)?;
    settings.check()?;
    awsb_local::set(&home, |old| settings.apply(old))?;
    let started = awsb_local::start(&home, &Program::default())?;
    started.warnings.iter().for_each(|warning| print_message(format!("blocal: warning: {warning}")));
    let outcome = if started.joined { "was already running" } else { "has been started" };
    let line =
        format!("The local cluster {outcome}: {} (pid {})", started.connection.endpoint_url, started.pid);
    let json = json!({
        "endpointUrl": started.connection.endpoint_url,
        "pid": started.pid,
        "started": !started.joined,
    });
    common.output().show(&Message { line, json })?;
    Ok(Exit::Done)
}

fn stop(common: &CommonArgs) -> Result<Exit, Failure> {
    let stopped = awsb_local::stop(&home(common)?)?;
    let line = match stopped.as_ref().map(|stopped| stopped.pid) {
        Some(Some(pid)) => format!("The local cluster has been stopped (pid {pid})"),
        Some(None) => "The local cluster has been stopped".to_owned(),
        None => "The local cluster was not running".to_owned(),
    };
    if let Some(why) = stopped.as_ref().and_then(|stopped| stopped.killed.as_ref()) {
        print_message(format!(
            "blocal: the server has been killed: {why}; jobs that run go on, and the next start picks them up"
        ));
    } else if let Some(status) = stopped.as_ref().and_then(|stopped| stopped.status.as_ref()) {
        let running = status.jobs.starting + status.jobs.running + status.jobs.pending;
        if running > 0 {
            print_message(format!(
                "blocal: {} {} not ended; running processes continue, and the next start picks them up",
                words::many(running, "job"),
                if running == 1 { "has" } else { "have" }
            ));
        }
    }
    let json = json!({
        "stopped": stopped.is_some(),
        "pid": stopped.as_ref().and_then(|stopped| stopped.pid),
        "killed": stopped.is_some_and(|stopped| stopped.killed.is_some()),
    });
    common.output().show(&Message { line, json })?;
    Ok(Exit::Done)
}

fn rotate(common: &CommonArgs, jobs: bool) -> Result<Exit, Failure> {
    let rotated = awsb_local::rotate(&home(common)?, &Program::default(), jobs)?;
    common.output().show(&KeyReplaced(rotated))?;
    Ok(Exit::Done)
}

fn reset(common: &CommonArgs, yes: bool) -> Result<Exit, Failure> {
    let home = home(common)?;
    if !yes {
        let (bytes, _) = home.disk_usage();
        let question = format!(
            "End all jobs and remove everything in {} ({} MiB: jobs, logs, objects)?",
            home.path().display(),
            mib(bytes)
        );
        if !confirmed(&question)? {
            return Err(Failure::failed("nothing has been removed"));
        }
    }
    awsb_local::reset(&home, &Program::default(), &|what| print_message(format!("blocal: {what}")))?;
    let line = format!("The local cluster in {} has been reset", home.path().display());
    common.output().show(&Message { line, json: json!({"reset": true}) })?;
    Ok(Exit::Done)
}

/// Asks the user on the terminal. Without a terminal, `--yes` is required.
fn confirmed(question: &str) -> Result<bool, Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(
            "refusing to remove everything without asking: standard input is not a \
                                   terminal",
        )
        .hint("`--yes` goes on without asking"));
    }
    let failed = |e: io::Error| Failure::failed(format!("asking on the terminal: {e}"));
    write!(io::stderr(), "{question} [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn status(common: &CommonArgs) -> Result<Exit, Failure> {
    let home = home(common)?;
    let found = match awsb_local::status(&home) {
        Err(e) if e.kind() == LocalErrorKind::NoAnswer => {
            if common.output().format() == Format::Json {
                let json = json!({
                    "running": true,
                    "answers": false,
                    "home": home.path().display().to_string(),
                    "trouble": e.message(),
                });
                common.output().show(&Message { line: String::new(), json })?;
            }
            return Err(e.into());
        }
        found => found?,
    };
    match found {
        Some(status) => {
            let disk = home.disk_usage();
            common.output().show(&Running { home, status, disk })?;
            Ok(Exit::Done)
        }
        None => {
            let last = awsb_local::last_error(&home).map(|message| format!("blocal: error: {message}"));
            let json = json!({
                "running": false,
                "home": home.path().display().to_string(),
                "trouble": last,
            });
            let mut line = "The local cluster is not running".to_owned();
            if let Some(last) = last {
                line.push_str(&format!("; the last one said: {last}"));
            }
            common.output().show(&Message { line, json })?;
            Ok(Exit::Failed)
        }
    }
}

fn env(common: &CommonArgs) -> Result<Exit, Failure> {
    let started = awsb_local::start(&home(common)?, &Program::default())?;
    common.output().show(&Exports(started.connection))?;
    Ok(Exit::Done)
}

/// A message: a line for people, and an object for scripts.
struct Message {
    line: String,
    json: Value,
}

impl View for Message {
    fn plain(&self) -> Layout {
        Layout::Lines(vec![self.line.clone()])
    }

    fn json(&self) -> Vec<Value> {
        vec![self.json.clone()]
    }
}

/// A key that has been replaced.
struct KeyReplaced(Rotated);

impl KeyReplaced {
    /// The URL below which a job stores its results, as its launcher derives it.
    fn output_url(revoked: &Revoked) -> String {
        let folder = revoked.job_id.replace(':', "/").replace('#', "/node-");
        format!("s3://{BUCKET}/{PREFIX}/outputs/{folder}/")
    }
}

impl View for KeyReplaced {
    fn plain(&self) -> Layout {
        let Rotated { access_key_id, revoked } = &self.0;
        let mut lines = vec![format!(
            "The local cluster has a new key, {access_key_id}; run `blocal env` again in shells that use \
             its exports"
        )];
        if !revoked.is_empty() {
            let run = if revoked.len() == 1 { "runs" } else { "run" };
            lines.push(format!(
                "{} {run} without a valid key now, and will lose results that are not stored yet:",
                words::many(revoked.len(), "job")
            ));
            let lost =
                |job: &Revoked| format!("{} ({}) at {}", job.job_id, job.job_name, Self::output_url(job));
            lines.extend(revoked.iter().map(lost));
        }
        Layout::Lines(lines)
    }

    fn json(&self) -> Vec<Value> {
        let Rotated { access_key_id, revoked } = &self.0;
        let revoked: Vec<Value> = revoked
            .iter()
            .map(|job| {
                json!({"jobId": job.job_id, "jobName": job.job_name, "outputUrl": Self::output_url(job)})
            })
            .collect();
        vec![json!({"accessKeyId": access_key_id, "revoked": revoked})]
    }
}

/// The status of a running cluster.
struct Running {
    home: Home,
    status: Status,
    /// The number of bytes and of files.
    disk: (u64, u64),
}

impl View for Running {
    fn plain(&self) -> Layout {
        let s = &self.status;
        let mut lines = vec![
            ("endpoint".to_owned(), s.endpoint_url.clone()),
            ("home".to_owned(), self.home.path().display().to_string()),
            ("pid".to_owned(), s.pid.to_string()),
            ("startedAt".to_owned(), local_rfc3339(s.started_at)),
            ("uptime".to_owned(), uptime(awsb_local::now_ms() - s.started_at)),
        ];
        let used = s.capacity.vcpus - s.free.vcpus.min(s.capacity.vcpus);
        lines.push(("vcpus".to_owned(), format!("{used} of {} in use", s.capacity.vcpus)));
        let used = s.capacity.memory_mib - s.free.memory_mib.min(s.capacity.memory_mib);
        lines.push(("memory".to_owned(), format!("{used} of {} MiB in use", s.capacity.memory_mib)));
        if s.capacity.gpus > 0 {
            let used = s.capacity.gpus - s.free.gpus.min(s.capacity.gpus);
            lines.push(("gpus".to_owned(), format!("{used} of {} in use", s.capacity.gpus)));
        }
        lines.push((
            "disk".to_owned(),
            format!("{} MiB in {}", mib(self.disk.0), words::many(self.disk.1, "file")),
        ));
        if let Some(trouble) = &s.problem {
            lines.push(("trouble".to_owned(), trouble.clone()));
        }
        lines.extend(s.warnings.iter().map(|warning| ("warning".to_owned(), warning.clone())));
        for (name, count) in counts(s) {
            lines.push((name.to_owned(), count.to_string()));
        }
        Layout::Details(lines)
    }

    fn json(&self) -> Vec<Value> {
        let s = &self.status;
        vec![json!({
            "running": true,
            "answers": true,
            "endpointUrl": s.endpoint_url,
            "home": self.home.path().display().to_string(),
            "pid": s.pid,
            "startedAt": s.started_at,
            "uptime": awsb_local::now_ms() - s.started_at,
            "vcpus": {"capacity": s.capacity.vcpus, "free": s.free.vcpus},
            "memory": {"capacity": s.capacity.memory_mib, "free": s.free.memory_mib},
            "gpus": {"capacity": s.capacity.gpus, "free": s.free.gpus},
            "disk": {"bytes": self.disk.0, "files": self.disk.1},
            "trouble": s.problem,
            "warnings": s.warnings,
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

/// The variables with which AWS tools use the local cluster.
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
        // A profile would take precedence over the exported keys, and a session token does not
        // belong to them.
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
    fn uptimes_in_words() {
        assert_eq!(uptime(0), "00:00:00");
        assert_eq!(uptime(3_661_000), "01:01:01");
        assert_eq!(uptime(90_061_000), "1d 01:01:01");
    }
}
