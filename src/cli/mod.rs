//! One module for each tool: its arguments (a clap struct), and the steps that it takes.
//!
//! This file has the parts that all tools share: the common options, the way from a command line to
//! arguments, and the way from an outcome to an exit code.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::aws::Session;
use crate::config::{ClusterSelector, parse_region};
use crate::ui::{self, Exit, Failure, Format, Output, SignalListener};
use awsb_model::payload::launcher::quote;
use awsb_model::{Submitter, words};

pub use dispatch::main;

mod awsbatch;
pub mod bcluster;
pub mod bexec;
pub mod bhosts;
pub mod bimage;
pub mod bkill;
pub mod blocal;
pub mod bout;
pub mod bqueues;
pub mod bstat;
pub mod bsub;
pub mod bwait;
mod completions;
mod dispatch;
mod doctor;
mod foreign;
mod job_args;
pub mod job_filter;
mod legacy;
mod manual;
mod optional_values;
mod path_programs;
mod prune;
mod variables;
mod wait;

/// The options that every tool has; in a tool with subcommands they may stand before or behind the
/// subcommand.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// The cluster: a name from the settings file, or `local`
    #[arg(short, long, value_name = "NAME", global = true)]
    pub cluster: Option<String>,
    /// The profile of the AWS configuration to use
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub profile: Option<String>,
    /// The AWS region to use
    #[arg(long, value_name = "NAME", value_parser = parse_region, global = true)]
    pub region: Option<String>,
    /// Print a JSON array with AWS's field names
    #[arg(long, global = true)]
    pub json: bool,
    /// Print requests and answers on stderr, with secrets masked
    #[arg(long, global = true)]
    pub debug: bool,
}

/// The hint that lists the containers of a job, as a shell reads their names.
pub fn container_hint(names: &[&str]) -> String {
    let quoted: Vec<String> =
        names.iter().map(|name| quote(OsStr::new(name)).to_string_lossy().into_owned()).collect();
    format!("`--container` takes {}", words::or(&quoted))
}

impl CommonArgs {
    /// Standard output in the format that the options ask for.
    pub fn output(&self) -> Output {
        Output::new(if self.json { Format::Json } else { Format::Plain })
    }

    /// Opens a session with the cluster that the options name.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open(&self) -> Result<Session, Failure> {
        Session::open(&self.choice(), self.debug).await
    }

    /// The options that select the cluster.
    pub fn choice(&self) -> ClusterSelector {
        let variable = || std::env::var("AWSB_CLUSTER").ok().filter(|name| !name.is_empty());
        ClusterSelector {
            cluster: self.cluster.clone().or_else(variable),
            profile: self.profile.clone(),
            region: self.region.clone(),
            by_old_rules: false,
        }
    }
}

impl CommonArgs {
    /// The thing that a tool shows. If it does not exist, the JSON array is empty.
    ///
    /// # Errors
    /// The failure to find it.
    pub fn found<T>(&self, found: Result<T, Failure>) -> Result<T, Failure> {
        match found {
            Err(failure) if failure.kind() == ui::ErrorKind::NotFound => {
                self.output().show_none()?;
                Err(failure)
            }
            found => found,
        }
    }
}

/// The user who submits jobs: `AWSB_USER`, or else the user's name on this machine.
pub fn submitter() -> Option<Submitter> {
    let variable = std::env::var(Submitter::VARIABLE).ok();
    variable.as_deref().and_then(Submitter::cleaned).or_else(|| {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten()?;
        Submitter::cleaned(&user.name)
    })
}

/// Runs the future of a tool to its end, or until a signal ends it.
pub fn block_on(tool: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    run_on(tokio::runtime::Builder::new_current_thread(), 0, tool)
}

/// Runs the future of a tool that needs several processors because it reads much.
pub fn block_on_threads(tool: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    threads.worker_threads(workers);
    run_on(threads, workers, tool)
}

/// The threads besides those of the runtime: one receives signals, and one looks up host names.
const MORE_THREADS: usize = 2;

/// Fails if this many threads cannot be started. Without this check, tokio panics or waits forever.
fn check_threads(threads: usize) -> Result<(), Failure> {
    let gate = std::sync::Mutex::new(());
    let made = std::thread::scope(|scope| {
        // All threads exist at the same time.
        let _closed = gate.lock();
        (0..threads).try_for_each(|_| {
            std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(|_| ())
        })
    });
    made.map_err(|e| {
        Failure::failed(format!("starting {threads} threads: {e}"))
            .hint("`ulimit -u` shows how many processes and threads you may have")
    })
}

/// Fails if the clock is at a time that no calendar of the tools has. Without this check, jiff
/// panics.
fn check_clock() -> Result<(), Failure> {
    match jiff::Timestamp::try_from(std::time::SystemTime::now()) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::failed("the clock of this machine is not within the years -9999 to 9999")
            .hint("set the clock: `date` shows it")),
    }
}

fn run_on(
    mut runtime: tokio::runtime::Builder,
    workers: usize,
    tool: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    check_threads(workers + MORE_THREADS)?;
    check_clock()?;
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("starting the network's event loop: {e}")))?;
    // For signals that the tool does not handle. Before this line, a signal ends the process.
    let mut signals = SignalListener::listen();
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = tool => outcome,
            signal = signals.next() => Ok(Exit::Interrupted(signal)),
        }
    });
    // A hanging look-up of a host name must not delay the end of the process.
    runtime.shutdown_background();
    outcome
}

/// Runs a tool on a command line, whose first word is the tool's name, and reports its outcome.
pub fn run<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    tool_main: impl FnOnce(A) -> Result<Exit, Failure>,
) -> ExitCode {
    run_with_remark(tool, words, |args, _| tool_main(args))
}

/// Runs a tool that prints a second meaning of its command line, once the command line is known to
/// be right.
pub fn run_with_remark<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    tool_main: impl FnOnce(A, Option<String>) -> Result<Exit, Failure>,
) -> ExitCode {
    let exit = parse_and_run(tool, words, tool_main).unwrap_or_else(|failure| {
        failure.report(tool);
        failure.exit()
    });
    if let Exit::Interrupted(signal) = exit {
        signal.end_process();
    }
    ExitCode::from(exit.code())
}

fn parse_and_run<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    tool_main: impl FnOnce(A, Option<String>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let command = manual::with_options(A::command());
    let args = legacy::rewrite(&command, words);
    let context = foreign::Context {
        is_cluster: &|name| {
            let of =
                |cluster| crate::config::defaults(&ClusterSelector { cluster, ..ClusterSelector::default() });
            // A mistake in the settings is reported later.
            of(Some(name.to_owned())).is_ok() || of(None).is_err()
        },
        is_set: &|name| std::env::var_os(name).is_some(),
    };
    let remark = foreign::check(&command, &args, &context)?;
    let args = optional_values::join(&command, args);
    if manual::print(&command, &args)? {
        return Ok(Exit::Done);
    }
    let parsed = command
        .try_get_matches_from(args)
        .and_then(|matches| A::from_arg_matches(&matches).map_err(|e| e.format(&mut A::command())));
    match parsed {
        Ok(args) => {
            variables::check(std::env::vars_os())?;
            tool_main(args, remark)
        }
        Err(e) => usage(tool, &A::command(), &e),
    }
}

/// Turns clap's error into a failure. `--help` and `--version` are printed instead.
fn usage(tool: &str, commands: &clap::Command, error: &clap::Error) -> Result<Exit, Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let text = if error.use_stderr() { text.to_string() } else { styled(&text) };
        Output::new(Format::Plain).write(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Failure::usage(format!("no command is given; it is one of {}", names(commands)))
            .hint(format!("`{tool} --help` describes the commands")));
    }
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or(&text);
    let message = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    // clap's other tip, to put a mistyped option behind `--`, is hardly ever right.
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let tips = tips.filter(|tip| !tip.starts_with("to pass")).map(str::to_owned);
    let failure = Failure::usage(message);
    // For an option of Slurm or LSF, clap's nearest name is hardly ever right.
    let failure = match foreign::hint_for(tool, error) {
        Some(hint) => failure.hint(hint),
        None => tips.fold(failure, Failure::hint),
    };
    let lists = match error.kind() {
        ErrorKind::InvalidSubcommand => "commands",
        _ => "options",
    };
    Err(match failure.hints().is_empty() && needs_help(error) {
        true => failure.hint(format!("`{tool} --help` lists the {lists}")),
        false => failure,
    })
}

/// Whether the help answers more than the message: something is unknown or missing.
fn needs_help(error: &clap::Error) -> bool {
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::MissingRequiredArgument => {
            true
        }
        // An option without its value. The message lists the possible values if there is a list.
        ErrorKind::InvalidValue => {
            matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty())
                && !matches!(error.get(ContextKind::ValidValue), Some(ContextValue::Strings(valid)) if !valid.is_empty())
        }
        _ => false,
    }
}

/// The names of a tool's commands as its help lists them: `start, stop or status`.
fn names(command: &clap::Command) -> String {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    words::or(&shown.map(clap::Command::get_name).collect::<Vec<_>>())
}

/// The help, with colours if standard output is a terminal that allows them.
fn styled(text: &clap::builder::StyledStr) -> String {
    use std::io::IsTerminal;
    let plain =
        std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !std::io::stdout().is_terminal();
    if plain { text.to_string() } else { text.ansi().to_string() }
}

/// The hint for a job whose image has no shell.
const LACKS_SH: &str = "hint: the image has no /bin/sh, which scripts and commands need to start; `bsub \
                        --bare COMMAND` starts a command without it";
