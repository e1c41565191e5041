//! The choice of the tool that the program `awsb` runs, by the name of the program, or else by its
//! first word.
//!
//! `bsub` and the other tools in `bin/` are small programs that execute the `awsb` beside them
//! under their own names. Packages can have links instead. `awsb sub` is `bsub`, for machines where
//! LSF has that name.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Command, CommandFactory};

use super::awsbatch::OLD_TOOLS;
use super::{completions, doctor, manual, prune};
use crate::ui::{self, Exit, Failure, Format, Output};

/// Makes the definition of a tool or a command.
type MakeCommand = fn() -> Command;

/// A tool.
#[derive(Clone, Copy)]
struct Tool {
    /// Its name, such as `bstat`.
    name: &'static str,
    /// Its definition.
    command: MakeCommand,
    /// Runs it on a command line, whose first word is its name.
    main: fn(Vec<OsString>) -> ExitCode,
}

/// All tools, in the order of the overview.
const TOOLS: [Tool; 11] = [
    Tool { name: "bsub", command: super::bsub::Args::command, main: super::bsub::main },
    Tool { name: "bstat", command: super::bstat::Args::command, main: super::bstat::main },
    Tool { name: "bout", command: super::bout::Args::command, main: super::bout::main },
    Tool { name: "bkill", command: super::bkill::Args::command, main: super::bkill::main },
    Tool { name: "bexec", command: super::bexec::Args::command, main: super::bexec::main },
    Tool { name: "bwait", command: super::bwait::Args::command, main: super::bwait::main },
    Tool { name: "bqueues", command: super::bqueues::Args::command, main: super::bqueues::main },
    Tool { name: "bhosts", command: super::bhosts::Args::command, main: super::bhosts::main },
    Tool { name: "bimage", command: super::bimage::Args::command, main: super::bimage::main },
    Tool { name: "bcluster", command: super::bcluster::Args::command, main: super::bcluster::main },
    Tool { name: "blocal", command: super::blocal::Args::command, main: super::blocal::main },
];

impl Tool {
    /// All tools, and behind them those of ParallelCluster.
    fn all() -> impl Iterator<Item = Tool> {
        let old = OLD_TOOLS.map(|(name, command, main)| Tool { name, command, main });
        TOOLS.into_iter().chain(old)
    }

    /// The tool with this name.
    fn named(name: &OsStr) -> Option<Tool> {
        Self::all().find(|tool| name == tool.name)
    }

    /// The tool with this name, with or without the `b`.
    fn by_word(word: &OsStr) -> Option<Tool> {
        Self::all().find(|tool| word == tool.name || word == tool.short())
    }

    /// Its name without the `b`. The old names begin with `a`, and are whole.
    fn short(&self) -> &'static str {
        self.name.trim_start_matches('b')
    }
}

/// The entry point of the program. `exit` ends the process at once, after a signal that a hanging
/// tool does not handle.
pub fn main(exit: fn(i32) -> !) -> ExitCode {
    ui::exit_by(exit);
    outlive_file_limit();
    ui::receive_child_signal();
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    match Path::new(&program).file_name().and_then(Tool::named) {
        Some(tool) => start(&tool, words),
        None => run_awsb(words),
    }
}

/// Makes a write beyond `ulimit -f` fail, as on a full disk, instead of ending this process
/// (setrlimit(2): SIGXFSZ). The signal has a handler, because jobs would inherit an ignored signal.
fn outlive_file_limit() {
    let signal = nix::sys::signal::Signal::SIGXFSZ as i32;
    // If this fails, the limit ends the process, as without the handler.
    let _ = signal_hook::flag::register(signal, Arc::default());
}

/// Runs a tool on the words that follow its name.
fn start(tool: &Tool, words: Vec<OsString>) -> ExitCode {
    show_name(tool.name);
    (tool.main)(std::iter::once(tool.name.into()).chain(words).collect())
}

/// Runs the program under its own name: its first word is a tool, or asks for the list of tools.
fn run_awsb(mut words: Vec<OsString>) -> ExitCode {
    let Some(first) = words.first().cloned() else { return report(print(&overview())) };
    if let Some(tool) = Tool::by_word(&first) {
        words.remove(0);
        return start(&tool, words);
    }
    let with_name = |name: &str| std::iter::once(name.into()).chain(words.iter().skip(1).cloned()).collect();
    if first == "doctor" {
        return doctor::main(with_name("awsb doctor"), &TOOLS.map(|tool| tool.name));
    }
    if first == "prune" {
        return prune::main(with_name("awsb prune"));
    }
    if first == "completions" {
        return completions::main(with_name("awsb completions"), &programs());
    }
    if first == COMPLETE {
        // A shell shows no message, and completes nothing where there is no answer.
        let _ = print(&completions::answer(words.get(1..).unwrap_or_default(), &definition));
        return ExitCode::SUCCESS;
    }
    let line: Vec<OsString> = std::iter::once("awsb".into()).chain(words.iter().cloned()).collect();
    match manual::print(&command(), &line) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(failure) => return report(Err(failure)),
    }
    match (first.to_str(), words.get(1)) {
        (Some("-h" | "--help" | "help"), None) => report(print(&overview())),
        (Some("-V" | "--version"), _) => report(print(&format!("awsb {}\n", env!("CARGO_PKG_VERSION")))),
        (Some("-h" | "--help" | "help"), Some(word)) => match Tool::by_word(word) {
            Some(tool) => start(&tool, vec!["--help".into()]),
            None if others().any(|(name, _)| word == name) => run_awsb(vec![word.clone(), "--help".into()]),
            None => report(Err(unknown(word))),
        },
        _ => report(Err(unknown(&first))),
    }
}

/// The first word of a shell's question for completions, `awsb __complete SHELL INDEX WORD...`.
const COMPLETE: &str = "__complete";

/// The names of all programs.
fn programs() -> Vec<&'static str> {
    std::iter::once("awsb").chain(Tool::all().map(|tool| tool.name)).collect()
}

/// The definition of a tool or a command of `awsb`, by either of its names, or of `awsb` itself.
fn definition(word: &str) -> Option<Command> {
    match word {
        "awsb" => Some(command()),
        _ => match others().find(|(name, _)| *name == word) {
            Some((_, command)) => Some(command()),
            None => Some((Tool::by_word(OsStr::new(word))?.command)()),
        },
    }
}

/// The commands of `awsb` that are not tools, with their definitions.
fn others() -> impl Iterator<Item = (&'static str, MakeCommand)> {
    let all: [(&'static str, MakeCommand); 3] = [
        ("doctor", doctor::Args::command),
        ("prune", prune::Args::command),
        ("completions", completions::Args::command),
    ];
    all.into_iter()
}

/// The definition of `awsb` itself, for its manual page and completions. Its tools have definitions
/// of their own.
fn command() -> Command {
    let about = |tool: &Tool| (tool.command)().get_about().map(ToString::to_string).unwrap_or_default();
    let short = TOOLS.iter().map(|tool| {
        let name = tool.short();
        Command::new(name).about(format!("{} ({})", about(tool), tool.name))
    });
    // These are completed where nothing else begins like the word.
    let long = Tool::all().map(|tool| Command::new(tool.name).about(about(&tool)).hide(true));
    let others = others()
        .map(|(name, other)| Command::new(name).about(other().get_about().cloned().unwrap_or_default()));
    let awsb = Command::new("awsb")
        .about("AWS Batch from the shell")
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage("awsb TOOL [ARGS]...")
        .after_help(
            "Each tool is a program, and a command of awsb: `awsb stat` is `bstat`, whose manual page is \
             bstat(1). `awsb doctor`, `awsb prune` and `awsb completions` have pages, too: awsb-doctor(1), \
             awsb-prune(1) and awsb-completions(1). The tools of ParallelCluster are here under their old \
             names: `awsb awsbstat`.",
        )
        .disable_help_subcommand(true)
        .subcommands(short)
        .subcommands(others)
        .subcommand(Command::new("help").about("Print the overview, or the help of a tool"))
        .subcommands(long);
    manual::with_options(awsb)
}

fn report(outcome: Result<(), Failure>) -> ExitCode {
    let exit = outcome.map_or_else(
        |failure| {
            failure.report("awsb");
            failure.exit()
        },
        |()| Exit::Done,
    );
    ExitCode::from(exit.code())
}

fn print(text: &str) -> Result<(), Failure> {
    Output::new(Format::Plain).write(text.as_bytes())
}

/// The overview: all tools with a line each, and how to begin.
fn overview() -> String {
    let mut text = String::from("AWS Batch from the shell. The tools:\n\n");
    for tool in &TOOLS {
        let about = (tool.command)().get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "  {:<8} {about}", tool.name);
    }
    text.push_str(
        "\nEach tool is a program, and a command of this one: `awsb stat` is `bstat`.\n\
         `TOOL --help` lists its options, `TOOL --man` prints its manual page.\n\
         `awsb doctor` checks what they need on this machine and in the cluster.\n\
         `awsb completions --install` has your shell complete options and values.\n\
         `awsb prune` removes what they have left in the account and the bucket.\n\
         The tools of ParallelCluster are here under their old names: `awsb awsbstat`.\n\n\
         To begin, run a job on this machine and see its output; no AWS account is needed:\n\n  \
         bsub -I --wrap 'echo hello from job $AWS_BATCH_JOB_ID'\n",
    );
    text
}

/// The failure of a first word that is not a tool.
fn unknown(word: &OsStr) -> Failure {
    let word = word.to_string_lossy();
    let failure = Failure::usage(format!("`{word}` is not a tool of awsb"));
    if word == "version" {
        return failure.hint("did you mean `awsb --version`?");
    }
    let tools = Tool::all().flat_map(|tool| [tool.short(), tool.name]);
    let names = tools.chain(others().map(|(name, _)| name)).chain(["help"]);
    let near = names.map(|name| (strsim::osa_distance(name, &word), name)).min();
    match near {
        Some((distance, name)) if distance <= 2 && distance < name.len() / 2 + 1 => {
            failure.hint(format!("did you mean `awsb {name}`?"))
        }
        _ => failure.hint("`awsb` lists the tools"),
    }
}

/// Sets the name of the process to that of the tool. Only Linux needs it; elsewhere processes are
/// listed by their first word.
fn show_name(tool: &str) {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::ffi::CString::new(tool) {
        // A process that is listed as `awsb` works as well.
        let _ = nix::sys::prctl::set_name(&name);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = tool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_own_name_and_two_words() {
        for tool in Tool::all() {
            assert_eq!((tool.command)().get_name(), tool.name);
            for word in [tool.name, tool.short()] {
                assert_eq!(Tool::by_word(OsStr::new(word)).map(|found| found.name), Some(tool.name));
            }
        }
    }

    #[test]
    fn a_name_is_exact() {
        for name in ["", "sub", "BSUB", "bsub2", "awsb"] {
            assert!(Tool::named(OsStr::new(name)).is_none(), "{name}");
        }
    }
}
