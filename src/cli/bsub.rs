//! `bsub`: submits a job.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::CommonArgs;
use crate::batch::{self, Job, Submitted};
use crate::cluster::{Cluster, Contact, Session};
use crate::job::{
    ArraySize, Attempts, EnvArg, Environment, JobName, JobSpec, Memory, Script, Status, Timeout, Vcpus, Work,
};
use crate::logs;
use crate::stage::{self, Plan, Target};
use crate::ui::{Exit, Failure, Layout, View, note};

/// Submit a job to AWS Batch: a script, or a command that the image has
#[derive(Debug, Parser)]
#[command(
    name = "bsub",
    version,
    override_usage = "bsub [OPTIONS] SCRIPT [ARGS]...\n       bsub [OPTIONS] COMMAND [ARGS]...\n       \
                      bsub [OPTIONS] --wrap 'COMMAND | COMMAND'\n       bsub [OPTIONS] < SCRIPT",
    after_help = "Options end at the first operand: what follows it belongs to the job.\n\
                  What is not given is left to the job definition."
)]
pub struct Args {
    /// The job's name [default: the script's or command's, or STDIN]
    #[arg(short = 'J', long, value_name = "NAME")]
    job_name: Option<JobName>,
    /// vCPUs
    #[arg(short = 'p', long, value_name = "N", allow_negative_numbers = true)]
    vcpus: Option<Vcpus>,
    /// Memory: MiB, or with K, M, G or T, such as 512M or 4G
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    memory: Option<Memory>,
    /// Set a variable, or hand on variables of this shell (`-e A,B`)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(|s| EnvArg::parse(&s)))]
    env: Vec<EnvArg>,
    /// Submit an array job of this many children, 2 to 10000
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    array_size: Option<ArraySize>,
    /// Try the job this often, 1 to 10
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    retry_attempts: Option<Attempts>,
    /// End an attempt after this time: seconds, or such as 90m, 2h, 1-12:00:00
    #[arg(short, long, value_name = "TIME", allow_negative_numbers = true)]
    timeout: Option<Timeout>,
    /// The job queue [default: the cluster's]
    #[arg(short, long, value_name = "NAME")]
    queue: Option<String>,
    /// Wait for the job's end, and exit with its exit code
    #[arg(short = 'K', long)]
    wait: bool,
    /// Wait, and follow the job's output, too
    #[arg(short = 'I', long)]
    interactive: bool,
    /// Print the job's ID alone
    #[arg(long, conflicts_with = "json")]
    parsable: bool,
    /// The first operand is a script of mine
    #[arg(long, conflicts_with_all = ["command", "wrap"])]
    script: bool,
    /// The first operand is a command that the image has
    #[arg(long, conflicts_with = "wrap")]
    command: bool,
    /// Run this shell command line
    #[arg(long, value_name = "COMMAND LINE", conflicts_with = "operands")]
    wrap: Option<OsString>,
    #[command(flatten)]
    common: CommonArgs,
    /// A script or a command, and its arguments
    #[arg(value_name = "SCRIPT|COMMAND", trailing_var_arg = true, hide = true)]
    operands: Vec<OsString>,
}

/// `bsub`'s entry point.
pub fn main() -> ExitCode {
    super::run("bsub", |args: Args| {
        let (default_name, work) = args.work()?;
        let spec = args.spec(default_name, work);
        super::block_on(args.submit(spec))
    })
}

impl Args {
    /// The story: plan, stage, submit, and perhaps wait.
    async fn submit(&self, spec: JobSpec) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        let cluster = &session.cluster;
        let target = Target {
            job_queue: self.queue.as_deref().unwrap_or(&cluster.job_queue),
            job_definition: &cluster.job_definition,
            bucket: &cluster.bucket,
            prefix: &cluster.prefix,
            region: &session.region,
        };
        let plan = Plan::new(&spec, &target).map_err(|e| Failure::usage(e.to_string()))?;
        if std::io::stderr().is_terminal() {
            let Cluster { name, .. } = cluster;
            note(format!("bsub: cluster {name}, region {}, queue {}", session.region, target.job_queue));
        }
        if let Some(bundle) = &plan.bundle {
            stage::upload(&session, bundle).await?;
        }
        let submitted = tokio::select! {
            submitted = batch::submit(&session, &plan.request) => submitted?,
            _ = tokio::signal::ctrl_c() => {
                let name = &plan.request.job_name;
                return Err(Failure::failed("interrupted before Batch had answered: whether the job exists is not known")
                    .hint(format!("`bstat -s ALL` lists it under the name {name} if it does"))
                    .exit(Exit::Interrupted));
            }
        };
        self.announce(&submitted)?;
        if !self.wait && !self.interactive {
            return Ok(Exit::Done);
        }
        tokio::select! {
            outcome = self.see_it_through(session, &submitted) => {
                outcome.map_err(|f| contact_lost(f, &submitted))
            }
            _ = tokio::signal::ctrl_c() => {
                note(format!("bsub: interrupted; the job {} goes on", submitted.job_id));
                note(format!("hint: `bout -f {}` shows its output", submitted.job_id));
                note(format!("hint: `bkill {}` ends it", submitted.job_id));
                Ok(Exit::Interrupted)
            }
        }
    }

    /// Says that the job has been submitted. When stdout is the job's, stderr is told.
    fn announce(&self, submitted: &Submitted) -> Result<(), Failure> {
        let news = News { submitted, parsable: self.parsable };
        if self.interactive || (self.wait && !self.parsable && !self.common.json) {
            if let Layout::Lines(lines) = news.plain() {
                lines.iter().for_each(note);
            }
            return Ok(());
        }
        self.common
            .output()
            .show(&news)
            .map_err(|f| f.hint(format!("the job {} has been submitted", submitted.job_id)))
    }

    async fn see_it_through(&self, session: Session, submitted: &Submitted) -> Result<Exit, Failure> {
        let id = submitted.id();
        let mut contact = Contact::new(session, "bsub");
        let on_terminal = std::io::stderr().is_terminal();
        let seen = |job: &Job| {
            // A job that is stuck may be stuck for ever: whoever waits for it has to know.
            let stuck = job.status_reason.as_deref().filter(|r| says_stuck(r) && !job.status.has_ended());
            match stuck {
                Some(reason) => note(format!("bsub: job {} is {}: {reason}", job.job_id, job.status)),
                None if on_terminal && !job.status.has_ended() => {
                    note(format!("bsub: job {} is {}", job.job_id, job.status));
                }
                None => {}
            }
        };
        let job = if self.interactive {
            // The exit code is the job's, whoever reads its output.
            let output = self.common.output().outliving_its_reader();
            let prefixed = self.array_size.is_some();
            logs::follow(&mut contact, &id, seen, |events| super::bout::print(&output, events, prefixed))
                .await?
        } else {
            batch::watch(&mut contact, &id, seen).await?
        };
        let exit = exit_code(&mut contact, &job).await?;
        if job.status == Status::Failed {
            tell_failure(&job, exit, self.interactive);
        } else if let Some(reason) = job.container.as_ref().and_then(|c| c.reason.as_deref()) {
            // It may be that not all of the output could be kept.
            note(format!("bsub: job {} ({}): {reason}", job.job_id, job.job_name));
        }
        Ok(Exit::Job(exit))
    }

    /// What the job does, and the name that it has by default.
    fn work(&self) -> Result<(JobName, Work), Failure> {
        if let Some(line) = &self.wrap {
            if line.as_bytes().trim_ascii().is_empty() {
                return Err(Failure::usage("`--wrap` is given an empty command line"));
            }
            let argv = vec!["/bin/sh".into(), "-c".into(), line.clone()];
            return Ok((JobName::cleaned("wrap"), Work::Command(argv)));
        }
        let Some((first, rest)) = self.operands.split_first() else { return self.script_on_stdin() };
        if first.is_empty() {
            return Err(Failure::usage("the first operand, a script or a command, is empty"));
        }
        let path = Path::new(first);
        let name = JobName::cleaned(&path.file_name().unwrap_or(first).to_string_lossy());
        if self.script || (!self.command && is_script(path)?) {
            let shown = path.display().to_string();
            let contents = std::fs::read(path)
                .map_err(|e| Failure::usage(format!("reading the script {shown}: {}", reason(&e))))?;
            let script = Script::new(path, contents).map_err(|e| {
                let failure = Failure::usage(format!("the script {shown} {e}"));
                e.hint(&shown).into_iter().fold(failure, Failure::hint)
            })?;
            if !script.is_self_contained()
                && path.extension().is_some_and(|e| e != "sh" && looks_like_a_file(path))
            {
                note(format!("bsub: note: {shown} has no #! line, so /bin/sh will run it"));
            }
            return Ok((name, Work::Script { script, args: rest.to_vec() }));
        }
        Ok((name, Work::Command(self.operands.clone())))
    }

    fn script_on_stdin(&self) -> Result<(JobName, Work), Failure> {
        let mut stdin = std::io::stdin().lock();
        if stdin.is_terminal() || self.command {
            return Err(Failure::usage("what shall run? There is no script and no command")
                .hint("`bsub script.sh`, `bsub COMMAND`, `bsub --wrap 'a | b'` or `bsub < script.sh`"));
        }
        let mut contents = Vec::new();
        stdin
            .read_to_end(&mut contents)
            .map_err(|e| Failure::usage(format!("reading the script from standard input: {}", reason(&e))))?;
        let script = Script::new(Path::new("STDIN"), contents).map_err(|e| {
            let failure = Failure::usage(format!("the script on standard input {e}"));
            e.hint("SCRIPT").into_iter().fold(failure, Failure::hint)
        })?;
        Ok((JobName::cleaned("STDIN"), Work::Script { script, args: Vec::new() }))
    }

    fn spec(&self, default_name: JobName, work: Work) -> JobSpec {
        JobSpec {
            name: self.job_name.clone().unwrap_or(default_name),
            work,
            environment: self.environment(),
            vcpus: self.vcpus,
            memory: self.memory,
            array: self.array_size,
            attempts: self.retry_attempts,
            timeout: self.timeout,
        }
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for arg in &self.env {
            match arg {
                EnvArg::Set(name, value) => environment.set(name.clone(), value.clone()),
                EnvArg::HandOn(names) => {
                    for name in names {
                        match std::env::var_os(name.as_str()) {
                            Some(value) => environment.set(name.clone(), value),
                            None => {
                                note(format!(
                                    "bsub: warning: {name} is not set here, so the job will not have it"
                                ));
                            }
                        }
                    }
                }
            }
        }
        environment
    }
}

/// Whether the first operand is a script of the user's: it names a regular file. One that only looks as if
/// it did is an error, not a job that fails minutes later.
fn is_script(path: &Path) -> Result<bool, Failure> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => return Ok(true),
        Ok(found) if found.is_dir() => {
            return Err(Failure::usage(format!("{shown} is a directory, not a script"))
                .hint(format!("`--command` says that the image has a command of the name {shown}")));
        }
        // A pipe such as bash's <(…), a terminal, a disk.
        Ok(_) => {
            return Err(Failure::usage(format!("{shown} is no regular file"))
                .hint(format!("`bsub < {shown}` takes a script from wherever it comes")));
        }
        Err(_) => {}
    }
    if !looks_like_a_file(path) {
        return Ok(false);
    }
    let failure = Failure::usage(format!("there is no file {shown}, and it does not look like a command"));
    Err(if path.as_os_str().as_bytes().iter().any(u8::is_ascii_whitespace) {
        failure
            .hint("a shell command line goes with `--wrap`, and a command's arguments are words of their own")
    } else {
        failure.hint(format!("`--command` says that the image has {shown}"))
    })
}

/// Names that a script has and a command hardly ever.
fn looks_like_a_file(path: &Path) -> bool {
    const ENDINGS: [&str; 6] = ["sh", "py", "R", "pl", "jl", "sbatch"];
    let bytes = path.as_os_str().as_bytes();
    (path.is_relative() && bytes.contains(&b'/'))
        || path.extension().is_some_and(|e| ENDINGS.iter().any(|known| OsStr::new(known) == e))
        || bytes.iter().any(u8::is_ascii_whitespace)
}

/// An I/O error's words without the operating system's number.
fn reason(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The submitted job, as it is announced.
struct News<'a> {
    submitted: &'a Submitted,
    parsable: bool,
}

impl View for News<'_> {
    fn plain(&self) -> Layout {
        let Submitted { job_id, job_name, .. } = self.submitted;
        Layout::Lines(vec![match self.parsable {
            true => job_id.clone(),
            false => format!("Job {job_id} ({job_name}) has been submitted."),
        }])
    }

    fn json(&self) -> Vec<serde_json::Value> {
        vec![serde_json::to_value(self.submitted).unwrap_or_default()]
    }
}

/// The exit code of a job that has ended; of an array, the highest of its children's.
async fn exit_code(contact: &mut Contact, job: &Job) -> Result<u8, Failure> {
    if job.status == Status::Succeeded || (!job.is_array_parent() && job.exit_code().is_some()) {
        return Ok(job.exit());
    }
    let id = job.id();
    if job.is_array_parent() {
        let failed = contact.keep(async |s| batch::children(s, &id, &[Status::Failed]).await).await?;
        return Ok(failed.iter().map(Job::exit).max().unwrap_or(1));
    }
    if job.started_at.is_none() {
        return Ok(job.exit());
    }
    // A description may lack what the listing has (moto's does).
    let queue = job.job_queue.as_deref().unwrap_or(&contact.session().cluster.job_queue);
    let failed = batch::list(contact.session(), queue, &[Status::Failed]).await.unwrap_or_default();
    Ok(failed.iter().find(|j| j.id() == id).unwrap_or(job).exit())
}

/// The codes that Batch puts before the reason of a job that blocks its queue (UG `job_stuck_in_runnable`).
fn says_stuck(reason: &str) -> bool {
    reason.starts_with("MISCONFIGURATION:") || reason.starts_with("CAPACITY:")
}

fn tell_failure(job: &Job, exit: u8, has_output: bool) {
    let reason = job.status_reason.as_deref().unwrap_or("no reason is given");
    let detail = job
        .container
        .as_ref()
        .and_then(|c| c.reason.as_deref())
        .map(|r| format!(" ({r})"))
        .unwrap_or_default();
    note(format!(
        "bsub: job {} ({}) FAILED with exit code {exit}: {reason}{detail}",
        job.job_id, job.job_name
    ));
    if !has_output {
        note(format!("hint: `bout {}` shows its output", job.job_id));
    }
    if job.is_array_parent() {
        note(format!("hint: `bstat -s FAILED {}` tells which children failed", job.job_id));
    }
}

/// After the submission, a failure is one of contact alone: the job goes on.
fn contact_lost(failure: Failure, submitted: &Submitted) -> Failure {
    let id = &submitted.job_id;
    let message = format!("contact with the job {id} is lost; it goes on: {}", failure.message);
    Failure { message, ..failure }
        .exit(Exit::ContactLost)
        .hint(format!("`bstat {id}` tells how it is, `bout -f {id}` shows its output"))
}
