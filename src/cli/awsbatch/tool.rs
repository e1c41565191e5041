//! The common part of the old tools: from a command line to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use futures_util::future::LocalBoxFuture;

use super::options::{Definition, NoValues, Values};
use crate::aws::Session;
use crate::cli::manual::{self, Section};
use crate::cli::{block_on, variables};
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
    let sections = sections(definition);
    let outcome = match manual::print_with(&manual::with_options(command.clone()), &words, &sections) {
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

/// The sections of the manual page besides those of each tool.
fn sections(definition: &Definition) -> [Section; 4] {
    const COMMON: [&str; 2] = [
        "The ARN of a job can be given in place of its ID. Messages of errors are in other words, and lines with \
         hint: may follow. No log file is written: --log-level is accepted, and has no effect.",
        "The page docs/awsbatch-cli.md of awsb's documentation has all differences.",
    ];
    let same = format!(
        "{} has the options, the output and the exit codes of the tool of this name in \
         aws-parallelcluster-awsbatch-cli 1.6, but for these differences.",
        definition.name
    );
    let text = |paragraphs: &[&str]| paragraphs.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    [
        Section {
            title: "DIFFERENCES FROM THE OLD TOOL",
            paragraphs: [vec![same], text(definition.differences), text(&COMMON)].concat(),
        },
        Section {
            title: "FILES",
            paragraphs: text(&[
                "~/.parallelcluster/awsbatch-cli.cfg: the clusters, and the default one, as for the old tool.",
                "~/.config/awsb/config.toml: the settings of awsb, whose clusters can be named with -c, too. -c local \
                 is the local cluster of this machine.",
            ]),
        },
        Section { title: "EXIT STATUS", paragraphs: text(&[definition.exit]) },
        Section {
            title: "SEE ALSO",
            paragraphs: vec![format!("{}(1), which can do more; awsb(1)", definition.successor)],
        },
    ]
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

/// The jobs that the operands name. An ARN stands for its ID.
pub fn ids(values: &Values) -> Vec<JobId> {
    let texts = values.texts().into_iter();
    texts.map(|text| JobId::from_batch(text.rsplit('/').next().unwrap_or_default())).collect()
}
