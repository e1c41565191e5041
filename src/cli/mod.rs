//! One file per tool: its arguments (a clap struct) and the story that it tells, top to bottom.
//!
//! What all tools share is here: the common options, how a command line becomes arguments, and how
//! a story's outcome becomes an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::aws::Session;
use crate::config::ClusterSelector;
use crate::ui::{Exit, Failure, Format, Interrupts, Output};
use awsb_model::{Invalid, words};

pub use dispatch::main;

pub mod bhosts;
pub mod bimage;
pub mod bkill;
pub mod blocal;
pub mod bout;
pub mod bqueues;
pub mod bstat;
pub mod bsub;
pub mod bwait;
mod dispatch;
mod foreign;
mod legacy;
mod manual;
mod named;
mod optional;
pub mod select;
mod waiting;

/// The options that every tool has; in a tool with subcommands they may stand before or behind the subcommand.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// The cluster: a name from the settings file, or `local`
    #[arg(short, long, value_name = "NAME", global = true)]
    pub cluster: Option<String>,
    /// The profile of the AWS configuration to use
    #[arg(long, value_name = "NAME", global = true)]
    pub profile: Option<String>,
    /// The AWS region to use
    #[arg(long, value_name = "NAME", value_parser = region, global = true)]
    pub region: Option<String>,
    /// Print a JSON array with AWS's field names
    #[arg(long, global = true)]
    pub json: bool,
    /// Print requests and answers on stderr, with secrets masked
    #[arg(long, global = true)]
    pub debug: bool,
}

impl CommonArgs {
    /// stdout in the format that was asked for.
    pub fn output(&self) -> Output {
        Output::new(if self.json { Format::Json } else { Format::Plain })
    }

    /// The clients of the cluster that is meant.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open(&self) -> Result<Session, Failure> {
        Session::open(&self.choice(), self.debug).await
    }

    /// What is said about the cluster.
    pub fn choice(&self) -> ClusterSelector {
        let variable = || std::env::var("AWSB_CLUSTER").ok().filter(|name| !name.is_empty());
        ClusterSelector {
            cluster: self.cluster.clone().or_else(variable),
            profile: self.profile.clone(),
            region: self.region.clone(),
        }
    }
}

/// A region's name, which becomes a part of host names.
fn region(text: &str) -> Result<String, Invalid> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Ok(text.to_owned());
    }
    Err(Invalid::because("a region has a name such as eu-west-1"))
}

/// Runs a story that talks to AWS, to its end or until a signal asks it to end.
pub fn block_on(story: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    run_on(tokio::runtime::Builder::new_current_thread(), 0, story)
}

/// The same for a story that reads so much that it takes more than one processor.
pub fn block_on_threads(story: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    threads.worker_threads(workers);
    run_on(threads, workers, story)
}

/// Two threads beside those of the runtime: one hears signals, one looks up names.
const MORE_THREADS: usize = 2;

/// Fails where this many threads cannot be made: tokio panics, or waits for ever, for one that it cannot make.
fn check_threads(threads: usize) -> Result<(), Failure> {
    let gate = std::sync::Mutex::new(());
    let made = std::thread::scope(|scope| {
        // All of them are there at once.
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

fn run_on(
    mut runtime: tokio::runtime::Builder,
    workers: usize,
    story: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    check_threads(workers + MORE_THREADS)?;
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("starting the network's event loop: {e}")))?;
    // For what nobody else listens for. Before the story begins nothing is missed: a signal ends the process.
    let mut signals = Interrupts::listen();
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = story => outcome,
            signal = signals.next() => Ok(Exit::Interrupted(signal)),
        }
    });
    // A look-up of a host name that hangs must not hold the process.
    runtime.shutdown_background();
    outcome
}

/// Runs one tool on a command line, whose first word is the tool's name: parses it, tells the story, reports how it ended.
pub fn run<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    story: impl FnOnce(A) -> Result<Exit, Failure>,
) -> ExitCode {
    run_noting(tool, words, |args, _| story(args))
}

/// The same for a story that says what else its command line could mean, once it is clear that nothing is wrong with it.
pub fn run_noting<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    story: impl FnOnce(A, Option<String>) -> Result<Exit, Failure>,
) -> ExitCode {
    let exit = told(tool, words, story).unwrap_or_else(|failure| {
        failure.report(tool);
        failure.exit()
    });
    if let Exit::Interrupted(signal) = exit {
        signal.end_process();
    }
    ExitCode::from(exit.code())
}

fn told<A: Parser>(
    tool: &str,
    words: Vec<OsString>,
    story: impl FnOnce(A, Option<String>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let command = manual::with_options(A::command());
    let args = legacy::rewritten(&command, words);
    let world = foreign::World {
        is_cluster: &|name| {
            let of =
                |cluster| crate::config::defaults(&ClusterSelector { cluster, ..ClusterSelector::default() });
            // What is wrong with the settings themselves is said later.
            of(Some(name.to_owned())).is_ok() || of(None).is_err()
        },
        is_set: &|name| std::env::var_os(name).is_some(),
    };
    let remark = foreign::look(&command, &args, &world)?;
    let args = optional::joined(&command, args);
    if manual::print(&command, &args)? {
        return Ok(Exit::Done);
    }
    let parsed = command
        .try_get_matches_from(args)
        .and_then(|matches| A::from_arg_matches(&matches).map_err(|e| e.format(&mut A::command())));
    match parsed {
        Ok(args) => story(args, remark),
        Err(e) => usage(tool, &A::command(), &e),
    }
}

/// clap's own outcome in the form that all our errors have; `--help` and `--version` are results.
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
    // clap's other tip, to put a mistyped option behind `--`, is hardly ever what is meant.
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let tips = tips.filter(|tip| !tip.starts_with("to pass")).map(str::to_owned);
    let failure = Failure::usage(message);
    // Its nearest name among ours is hardly what a user of Slurm or LSF means.
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

/// Whether the help has an answer that the message has not: something unknown, or something missing.
fn needs_help(error: &clap::Error) -> bool {
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::MissingRequiredArgument => {
            true
        }
        // An option without its value. One that has a list of values names them itself.
        ErrorKind::InvalidValue => {
            matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty())
                && !matches!(error.get(ContextKind::ValidValue), Some(ContextValue::Strings(valid)) if !valid.is_empty())
        }
        _ => false,
    }
}

/// The names of the commands of a tool that its help lists: `start, stop or status`.
fn names(command: &clap::Command) -> String {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    words::or(&shown.map(clap::Command::get_name).collect::<Vec<_>>())
}

/// Help in colour where stdout is a terminal that wants it.
fn styled(text: &clap::builder::StyledStr) -> String {
    use std::io::IsTerminal;
    let plain =
        std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !std::io::stdout().is_terminal();
    if plain { text.to_string() } else { text.ansi().to_string() }
}

/// What to do about a job whose image has no shell.
const LACKS_SH: &str = "hint: the image has no /bin/sh, which scripts and commands need to start; `bsub \
                        --bare COMMAND` starts a command without it";
