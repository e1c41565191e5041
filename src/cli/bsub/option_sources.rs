//! The sources of options besides the command line: the directives in a script's head, and the
//! defaults of the settings file. Both are parsed as a command line is.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::args::Args;
use super::options::Options;
use super::stdin::is_stdin;
use crate::stage::one_line;
use crate::ui::{Failure, print_message};
use awsb_model::Directives;
use awsb_model::check_consumption;
use awsb_model::directives::{About, DirectiveOptions, Remark, SharedConsumption};

/// A line of options, without a command.
#[derive(Debug, Parser)]
#[command(name = "bsub", no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Why options of a script or of the settings file cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OptionError {
    /// The option exists, but only the command line may have it.
    #[error("{0} can only be used on the command line")]
    CommandLineOnly(String),
    /// The option does not exist, or its value is wrong. The message is clap's, on one line.
    #[error("{message}")]
    Invalid {
        /// The message.
        message: String,
        /// The option whose name is the nearest to one that does not exist.
        nearest: Option<String>,
    },
}

impl OptionError {
    /// The failure for options at a place, where the name of an option is written as `written`
    /// makes it.
    fn failure(&self, place: &str, written: fn(&str) -> &str) -> Failure {
        let failure = Failure::usage(format!("{place}: {self}"));
        match self {
            Self::Invalid { nearest: Some(nearest), .. } => {
                failure.hint(format!("did you mean `{}`?", written(nearest)))
            }
            Self::Invalid { nearest: None, .. } | Self::CommandLineOnly(_) => failure,
        }
    }
}

/// Parses options of another source than the command line.
///
/// # Errors
/// When an option does not exist, has a wrong value, or belongs on the command line.
pub(super) fn parse(words: &[OsString]) -> Result<Options, OptionError> {
    match Line::try_parse_from(words) {
        Ok(line) => Ok(line.options),
        Err(e) => {
            if let Some(ContextValue::String(option)) = e.get(ContextKind::InvalidArg)
                && e.kind() == ErrorKind::UnknownArgument
                && is_for_the_command_line(option)
            {
                return Err(OptionError::CommandLineOnly(option.clone()));
            }
            let mut text = e.render().to_string();
            if let Some(ContextValue::String(value)) = e.get(ContextKind::InvalidValue)
                && value.chars().nth(LONGEST_QUOTE).is_some()
            {
                text = text.replace(value.as_str(), &shortened(value));
            }
            let first = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
            let message = first.split_whitespace().collect::<Vec<_>>().join(" ");
            let nearest = match e.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(nearest)) => Some(nearest.clone()),
                Some(ContextValue::Strings(nearest)) => nearest.first().cloned(),
                _ => None,
            };
            Err(OptionError::Invalid { message, nearest })
        }
    }
}

/// A message repeats at most this many characters of a line or a value, because a mistake may be a
/// file of megabytes.
const LONGEST_QUOTE: usize = 200;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Whether the command line has an option that is not among [`Options`].
fn is_for_the_command_line(option: &str) -> bool {
    let command = Args::command();
    let named = |arg: &clap::Arg| match option.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| option == format!("-{short}")),
    };
    command.get_arguments().any(named)
}

/// The options of a script's directives. A directive that Batch cannot honour is a warning, and
/// with `strict` an error, unless the command line's options in `given` override it. Notes are
/// printed unless `quiet` is set.
///
/// # Errors
/// When directives are wrong. All errors but the last are printed, and the last is returned.
pub fn by_directives(
    directives: &Directives,
    script: &str,
    given: &Options,
    strict: bool,
    quiet: bool,
) -> Result<Options, Failure> {
    let wrong = |remark: &Remark| Failure::usage(format!("{script}, {remark}"));
    let counts = |remark: &&Remark| match remark.about {
        Some(About::Queue) => given.queue.is_none(),
        None => true,
    };
    let warnings: Vec<&Remark> = directives.warnings.iter().filter(counts).collect();
    let mut failures: Vec<(usize, Failure)> =
        directives.errors.iter().map(|remark| (remark.line, wrong(remark))).collect();
    let mut options = Options::default();
    let mut own = Vec::new();
    for directive in &directives.options {
        match options_of(directive, &options, script, given) {
            Ok(more) => {
                // Those of other schedulers are theirs to check, and count below those of awsb.
                if directive.is_own() {
                    own.extend(more.consume.clone());
                    if let Err(e) = check_consumption(&own) {
                        let failure = Failure::usage(format!("{}: --consume: {e}", place(directive, script)));
                        failures.push((directive.line, failure));
                    }
                }
                options = options.and(more);
            }
            Err(failure) => failures.push((directive.line, failure)),
        }
    }
    // A directive of awsb itself counts before those of Slurm and LSF.
    let is_given = |one: &&SharedConsumption| options.consume.iter().any(|c| c.name() == one.total.name());
    let shared = directives.shared.iter().filter(|one| !is_given(one)).cloned().collect();
    options = options.and(Options { shared, ..Options::default() });
    let is_wrong = !failures.is_empty();
    if strict {
        failures.extend(warnings.iter().map(|remark| (remark.line, wrong(remark))));
    }
    failures.sort_by_key(|(line, _)| *line);
    if is_wrong && !strict {
        // All that is wrong with a script is said at once.
        warnings.iter().for_each(|remark| print_message(format!("bsub: warning: {script}, {remark}")));
    }
    if let Some((_, last)) = failures.pop() {
        failures.iter().for_each(|(_, failure)| failure.report("bsub"));
        return Err(if is_wrong { last } else { last.hint("without `--strict`, this is a warning") });
    }
    for remark in directives.notes.iter().filter(|_| !quiet) {
        print_message(format!("bsub: note: {script}, {remark}"));
    }
    for remark in warnings {
        print_message(format!("bsub: warning: {script}, {remark}"));
    }
    Ok(options)
}

/// The directive that names the queue: its place in the script and its text.
pub(super) fn queue_directive(directives: &Directives, script: &str) -> Option<String> {
    let names_queue =
        |directive: &&DirectiveOptions| parse(&directive.words).is_ok_and(|o| o.queue.is_some());
    let directive = directives.options.iter().rev().find(names_queue)?;
    Some(place(directive, script))
}

/// The place of a directive in the script, and its text.
fn place(directive: &DirectiveOptions, script: &str) -> String {
    format!("{script}, line {}: `{}`", directive.line, shortened(&directive.text))
}

/// The options of one directive, which comes after `others`.
fn options_of(
    directive: &DirectiveOptions,
    others: &Options,
    script: &str,
    given: &Options,
) -> Result<Options, Failure> {
    let place = place(directive, script);
    let more = parse(&directive.words).map_err(|e| e.failure(&place, |option| option))?;
    // All directives of a script count together. Only another source can replace one.
    if more.make_an_array_of_nodes(others) {
        return Err(Failure::usage(format!("{place}: a multi-node parallel job cannot be an array"))
            .hint("submit an array of jobs with one node each, or one job for each task"));
    }
    if let (Some(file), None) = (&more.stdin, &given.stdin)
        && !is_stdin(file)
        && let Err(e) = std::fs::metadata(file)
    {
        return Err(Failure::usage(format!("{place}: reading {}: {}", file.display(), one_line(&e))));
    }
    Ok(more)
}

/// The options of the settings file's defaults; each line comes with its place in the file.
///
/// # Errors
/// When a default is wrong.
pub fn by_defaults<'a>(
    defaults: impl IntoIterator<Item = (&'a Vec<OsString>, &'a String)>,
) -> Result<Options, Failure> {
    let mut options = Options::default();
    for (words, place) in defaults {
        // In the settings file, an option has no dashes in front of it.
        let more = parse(words).map_err(|e| e.failure(place, |option| option.trim_start_matches('-')))?;
        check_consumption(&more.consume).map_err(|e| Failure::usage(format!("{place}: {e}")))?;
        if more.build.is_some() {
            return Err(Failure::usage(format!(
                "{place}: --build cannot be a default, as not every job has an image to build"
            ))
            .hint("`image = \"…\"` there sets the image of jobs that name none"));
        }
        options = more.over(options);
    }
    Ok(options)
}
