//! Completions: the answers to a shell that completes a command line, and `awsb completions`, which
//! installs the scripts that ask.
//!
//! * `scripts`: the scripts for bash, zsh and fish;
//! * `words`: the command line as a shell hands it over, and candidates as it takes them;
//! * `position`: which option's value, operand or option name is completed;
//! * `candidates`: the candidates, from the settings, the history and the cache;
//! * `files`: where shells look for scripts.

mod candidates;
pub mod files;
mod position;
pub mod scripts;
mod words;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Command, Parser};
use serde_json::json;

use super::{manual, path_programs};
use crate::ui::{Exit, Failure, Format, Output, print_message, sanitize};
use candidates::Names;
use files::Change;
use scripts::Shell;

/// Install completions of options and values for your shell
#[derive(Debug, Parser)]
#[command(
    name = "awsb completions",
    version,
    group = ArgGroup::new("action")
        .required(true)
        .multiple(true)
        .args(["install", "uninstall", "print", "operand"]),
    after_help = "`awsb completions --install` writes a file for each tool where your shell looks for \
                  completions. It changes no other file, and replaces only files of awsb."
)]
pub struct Args {
    /// Write the files for your shell
    #[arg(long, conflicts_with_all = ["uninstall", "print"])]
    install: bool,
    /// Remove the files; without --shell, those for all shells
    #[arg(long, conflicts_with = "print")]
    uninstall: bool,
    /// Print one script for all tools, to be sourced
    #[arg(long, conflicts_with = "json")]
    print: bool,
    /// The shell [default: that of SHELL]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Shell::names()))]
    shell: Option<String>,
    /// The same as --shell; alone, it prints the script as --print does
    #[arg(
        value_name = "SHELL",
        value_parser = PossibleValuesParser::new(Shell::names()),
        conflicts_with = "shell"
    )]
    operand: Option<String>,
    /// Print a JSON array with an object for each file
    #[arg(long)]
    json: bool,
}

/// `awsb completions`' entry point. `programs` are the names of all programs.
pub fn main(words: Vec<OsString>, programs: &[&str]) -> ExitCode {
    super::run("awsb completions", words, |args: Args| args.run(programs))
}

/// The answer to a shell: the words are the shell, the index of the word that is completed, and the
/// words of the command line. `definition` is that of the tool with a name, or of `awsb` itself. A
/// question that is not understood has an empty answer.
pub fn answer(words: &[OsString], definition: &dyn Fn(&str) -> Option<Command>) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let [shell, index, words @ ..] = words.as_slice() else { return String::new() };
    let (shell, is_menu) = match shell.strip_suffix("-menu") {
        Some(shell) => (Shell::named(shell), true),
        None => (Shell::named(shell), false),
    };
    let (Some(shell), Ok(index)) = (shell, index.parse()) else { return String::new() };
    let line = words::Line::new(shell, words, index);
    let Some((program, mut before)) = line.before.split_first() else { return String::new() };
    let mut tool = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // The tool is the word behind `awsb`, or behind `awsb help`.
    if let ("awsb", Some((first, rest))) = (tool, before.split_first()) {
        match (first.as_str(), rest) {
            ("help", []) => before = rest,
            _ => (tool, before) = (first, rest),
        }
    }
    let Some(command) = definition(tool) else { return String::new() };
    // The program that is typed is another one, such as an LSF's that was installed later.
    if path_programs::foreign(program).is_some() {
        return format!("names:{}\n", Names::Files.as_str());
    }
    let mut command = if tool == "awsb" { command } else { manual::with_options(command) };
    command.build();
    let at = position::find(&command, before, &line.word);
    let (names, found) = candidates::find(&at, &line.word);
    if names == Names::Nothing && found.is_empty() {
        return String::new();
    }
    let lines = line.lines(shell, &found, is_menu);
    std::iter::once(format!("names:{}", names.as_str())).chain(lines).map(|line| line + "\n").collect()
}

impl Args {
    fn run(&self, programs: &[&str]) -> Result<Exit, Failure> {
        let prints = !(self.install || self.uninstall);
        if prints && self.json {
            return Err(Failure::usage(
                "a script cannot be printed as JSON: --json is for --install and --uninstall",
            ));
        }
        if prints {
            let script = self.shell()?.script(programs);
            Output::new(Format::Plain).write(script.as_bytes())?;
            return Ok(Exit::Done);
        }
        if self.uninstall {
            let shells = match self.named_shell() {
                Some(_) => vec![self.shell()?],
                None => Shell::ALL.to_vec(),
            };
            let (mut changes, mut failed) = (Vec::new(), false);
            for shell in shells {
                match files::uninstall(shell, programs) {
                    Ok(removed) => changes.extend(removed),
                    // The files of the other shells are removed all the same.
                    Err(failure) => {
                        failure.report("awsb completions");
                        failed = true;
                    }
                }
            }
            let exit = self.report(&changes)?;
            return Ok(if failed { Exit::Failed } else { exit });
        }
        let shell = self.shell()?;
        let changes = files::install(shell, &of_awsb(programs))?;
        let exit = self.report(&changes)?;
        for hint in files::needs(shell)? {
            print_message(sanitize(&format!("hint: {hint}")));
        }
        Ok(exit)
    }

    /// The shell that is named on the command line.
    fn named_shell(&self) -> Option<&str> {
        self.shell.as_deref().or(self.operand.as_deref())
    }

    fn shell(&self) -> Result<Shell, Failure> {
        let variable = std::env::var_os("SHELL").unwrap_or_default();
        let of_user = || Path::new(&variable).file_name().and_then(|name| name.to_str());
        self.named_shell().or_else(of_user).and_then(Shell::named).ok_or_else(|| {
            Failure::usage("your shell is not known: SHELL names none that has completions")
                .hint("name it with `--shell bash`, `--shell zsh` or `--shell fish`")
        })
    }

    /// Prints the changes: the folders and how many files in them have changed, or all files as
    /// JSON.
    fn report(&self, changes: &[files::FileChange]) -> Result<Exit, Failure> {
        let output = Output::new(if self.json { Format::Json } else { Format::Plain });
        if self.json {
            let mut array = output.json_array();
            for change in changes {
                array.push(&json!({
                    "shell": change.shell.name(),
                    "file": change.path.display().to_string(),
                    "change": change.change.as_str(),
                }))?;
            }
            array.finish()?;
        } else {
            output.write(summary(changes).as_bytes())?;
        }
        let left: Vec<_> = changes.iter().filter(|change| change.change == Change::Left).collect();
        for change in &left {
            let message = format!("{} is not awsb's, and is left as it is", change.path.display());
            Failure::failed(message).hint("move it away, and try again").report("awsb completions");
        }
        Ok(if left.is_empty() { Exit::Done } else { Exit::Failed })
    }
}

/// A line for each folder: `~/.config/fish/completions: 17 files written, 0 unchanged`.
fn summary(changes: &[files::FileChange]) -> String {
    let mut lines = String::new();
    for shell in Shell::ALL {
        let of_shell: Vec<_> = changes.iter().filter(|change| change.shell == shell).collect();
        let Some(folder) = of_shell.first().and_then(|change| change.path.parent()) else { continue };
        let counts = [Change::Written, Change::Removed, Change::Unchanged].map(|kind| {
            let count = of_shell.iter().filter(|change| change.change == kind).count();
            (count > 0).then(|| format!("{count} {}", kind.as_str()))
        });
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        if !counts.is_empty() {
            let line = format!("{}: {}: {}", shell.name(), folder.display(), counts.join(", "));
            lines.push_str(&sanitize(&line));
            lines.push('\n');
        }
    }
    lines
}

/// The programs without those whose names lead to others in PATH, such as LSF's `bsub`. Their
/// command lines are not ours to complete.
fn of_awsb<'p>(programs: &[&'p str]) -> Vec<&'p str> {
    let (ours, others): (Vec<&str>, Vec<&str>) =
        programs.iter().partition(|program| path_programs::foreign(program).is_none());
    for program in others {
        print_message(format!(
            "awsb completions: note: {program} in PATH is another program, which gets no completions"
        ));
    }
    ours
}
