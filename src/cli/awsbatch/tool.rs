//! The common part of the old tools: from a command line to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use futures_util::future::LocalBoxFuture;

use super::options::{Definition, NoValues, Values};
use crate::aws::Session;
use crate::cli::{block_on, manual, variables};
use crate::config::ClusterSelector;
use crate::ui::{EndSignal, ErrorKind, Exit, Failure, Format, Output, print_message};
use awsb_model::JobId;

/// A value that is not known.
pub const NONE: &str = "-";

/// A tool. It is boxed so that the code which runs it is there once.
type Tool = fn(Values) -> LocalBoxFuture<'static, Result<Exit, Failure>>;

/// Runs a tool on a command line, whose first word is its name. Any failure has the exit code 1,
/// but for a wrong command line, which has 2.
pub fn run(definition: &Definition, words: Vec<OsString>, tool: Tool) -> ExitCode {
    let mut command = definition.command();
    let name = definition.name;
    let outcome = match manual::print(&manual::with_options(command.clone()), &words) {
        Ok(true) => Ok(Exit::Done),
        Err(failure) => Err(failure),
        Ok(false) if words.len() == 2 && (words[1] == "--version" || words[1] == "-V") => {
            print(&format!("{name} (awsb) {}\n", env!("CARGO_PKG_VERSION")))
        }
        Ok(false) => match definition.parse(words.get(1..).unwrap_or_default()) {
            Ok(values) => variables::check(std::env::vars_os()).and_then(|()| block_on(tool(values))),
            Err(NoValues::Help) => print(&command.render_help().to_string()),
            Err(NoValues::Wrong(message)) => {
                print_message(format!("{}\n{name}: error: {message}", command.render_usage()));
                return ExitCode::from(Exit::Usage.code());
            }
        },
    };
    let exit = match outcome {
        // The old tools end well after Ctrl-C.
        Ok(Exit::Interrupted(EndSignal::Interrupt)) => {
            return ExitCode::from(print("Exiting...\n").unwrap_or(Exit::Done).code());
        }
        Ok(exit) => exit,
        Err(failure) if failure.is_reader_gone() => Exit::Done,
        Err(failure) => {
            print_message(&failure);
            failure.hints().iter().for_each(|hint| print_message(format!("hint: {hint}")));
            match failure.kind() {
                ErrorKind::Interrupted(signal) => Exit::Interrupted(signal),
                _ => Exit::Failed,
            }
        }
    };
    if let Exit::Interrupted(signal) = exit {
        signal.end_process();
    }
    ExitCode::from(exit.code())
}

fn print(text: &str) -> Result<Exit, Failure> {
    Output::new(Format::Plain).write(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Opens a session with the cluster that the command line or the old tools' settings name.
pub async fn open(values: &Values) -> Result<Session, Failure> {
    let choice =
        ClusterSelector { cluster: values.text("cluster"), by_old_rules: true, ..ClusterSelector::default() };
    Session::open(&choice, false).await
}

/// Puts the words before a failure that an old tool puts there.
pub fn failed_with(words: &str) -> impl Fn(Failure) -> Failure {
    move |failure| {
        let message = format!("{words} {failure}");
        failure.wrap(message)
    }
}

/// The jobs that the operands name, each once. An ARN stands for its ID.
pub fn ids(values: &Values) -> Vec<JobId> {
    let mut ids: Vec<JobId> = Vec::new();
    for text in values.texts() {
        let id = JobId::from_batch(text.rsplit('/').next().unwrap_or_default());
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}
