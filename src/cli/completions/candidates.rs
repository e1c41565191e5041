//! The candidates for a word: names of options and subcommands, and the values that are known
//! without asking anybody.
//!
//! Only the settings, the history of submissions and the cache are read. Nothing is called, nothing
//! is started, and a file that cannot be read has no values.

use clap::{Arg, ArgAction, Command};
use jiff::Timestamp;

use super::position::{Position, Word};
use crate::batch::{self, RecordedJob};
use crate::cli::bstat::column_names;
use crate::config::{self, Cluster, ClusterSelector};
use crate::ui::{local_short, sanitize};
use awsb_model::Status;

/// At most this many jobs are listed.
const MAX_JOBS: usize = 50;

/// A possible word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word.
    pub word: String,
    /// Its meaning, which may be empty.
    pub description: String,
    /// Whether its description says more than the word itself.
    pub needs_description: bool,
}

impl Candidate {
    /// A word that explains itself.
    pub fn plain(word: impl Into<String>) -> Self {
        Self::described(word, "")
    }

    /// A word with a description, for shells that show these.
    pub fn described(word: impl Into<String>, description: &str) -> Self {
        Self { word: word.into(), description: description.to_owned(), needs_description: false }
    }
}

/// The names on this machine that the shell itself lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// None.
    Nothing,
    /// Files.
    Files,
    /// Folders.
    Folders,
    /// Commands and files.
    Commands,
}

impl Names {
    /// The word for the shells' scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Files => "files",
            Self::Folders => "folders",
            Self::Commands => "commands",
        }
    }
}

/// The candidates for a word. `word` is its beginning.
pub fn find(at: &Position<'_>, word: &str) -> (Names, Vec<Candidate>) {
    let (names, mut found) = match &at.word {
        Word::Option => (Names::Nothing, options(at, word)),
        Word::Subcommand => (Names::Nothing, subcommands(at.command, word)),
        Word::OfJob => (Names::Files, Vec::new()),
        Word::Unknown => (Names::Nothing, Vec::new()),
        Word::Value { arg, before } => {
            let value = word.strip_prefix(before.as_str()).unwrap_or_default();
            let (names, mut found) = values(at, arg, value);
            found.iter_mut().for_each(|candidate| candidate.word.insert_str(0, before));
            (names, found)
        }
    };
    // A name with a character that is not printed as it is could not be typed either.
    found.retain(|candidate| candidate.word.starts_with(word) && sanitize(&candidate.word) == candidate.word);
    for candidate in &mut found {
        candidate.description = sanitize(&candidate.description).into_owned();
    }
    (names, found)
}

/// The options that can still be given, by their long names, and a word of letters as it is.
fn options(at: &Position<'_>, word: &str) -> Vec<Candidate> {
    let can_be_given = |arg: &&Arg| {
        let is_given = at.given.iter().any(|(id, _)| arg.get_id() == id);
        let is_list = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
        let stands_alone = !arg.is_exclusive_set() || at.given.is_empty();
        !arg.is_hide_set() && (!is_given || is_list) && stands_alone
    };
    let of_arg = |arg: &Arg| {
        let letter = || arg.get_short().map(|letter| format!("-{letter}"));
        let name = arg.get_long().map(|name| format!("--{name}")).or_else(letter)?;
        Some(Candidate::described(name, &first_line(arg.get_help())))
    };
    let args = at.command.get_arguments().filter(|arg| !arg.is_positional()).filter(can_be_given);
    let is_whole = word.len() > 1 && !word.starts_with("--");
    args.filter_map(of_arg).chain(is_whole.then(|| Candidate::plain(word))).collect()
}

/// The subcommands that begin with a word. Hidden ones are listed where no other one does.
fn subcommands(command: &Command, word: &str) -> Vec<Candidate> {
    let candidate = |inner: &Command| Candidate::described(inner.get_name(), &first_line(inner.get_about()));
    let named = command.get_subcommands().filter(|inner| inner.get_name().starts_with(word));
    let (hidden, listed): (Vec<&Command>, Vec<&Command>) = named.partition(|inner| inner.is_hide_set());
    (if listed.is_empty() { hidden } else { listed }).into_iter().map(candidate).collect()
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_default()
}

/// The values of an option or operand. `value` is the beginning of the value.
fn values(at: &Position<'_>, arg: &Arg, value: &str) -> (Names, Vec<Candidate>) {
    let nothing = Names::Nothing;
    let plain = |words: &[&str]| words.iter().map(|word| Candidate::plain(*word)).collect::<Vec<_>>();
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
    let id = arg.get_id().as_str();
    match (id, name.unwrap_or_default()) {
        ("cluster", _) => (nothing, config::cluster_names().into_iter().map(Candidate::plain).collect()),
        ("queues", _) if at.is_given("resources") => (nothing, consumable_resources(at)),
        // Behind `NAME=` comes a number.
        ("consume", _) => (nothing, consumable_resources(at)),
        ("container", _) => (nothing, containers(at)),
        ("queue" | "queues" | "job-queue" | "job_queues", _) => (nothing, queues(at)),
        ("profile", _) => (nothing, profiles()),
        ("status", _) if at.command.get_name().starts_with("awsb") => (nothing, statuses("", value)),
        ("status", _) => (nothing, in_list(value, statuses)),
        ("columns", _) => (nothing, in_list(value, |_, _| column_names().map(Candidate::plain).collect())),
        ("sort", _) => {
            let reversed = column_names().map(|name| format!("-{name}"));
            (nothing, column_names().map(str::to_owned).chain(reversed).map(Candidate::plain).collect())
        }
        ("depends_on", _) => (nothing, dependencies(at, value)),
        ("hosts", _) => (nothing, Vec::new()),
        ("job_id" | "job_ids", _) => (nothing, jobs(at, value)),
        // bcluster knows clusters by the names of their stacks, which are those of the settings.
        ("name", "NAME") if !at.command.get_positionals().any(|operand| operand.get_id() != "name") => {
            let names = config::cluster_names().into_iter().filter(|name| name != config::LOCAL);
            (nothing, names.map(Candidate::plain).collect())
        }
        ("retry_on", _) => (nothing, plain(&["spot", "exit:", "reason:"])),
        ("operands" | "command", _) if arg.is_positional() => (Names::Commands, Vec::new()),
        (_, "ID") => (nothing, [jobs(at, value), plain(&["last"])].concat()),
        (_, "BUILDER") => (nothing, plain(&["codebuild", "docker"])),
        (_, "PLATFORM") => (nothing, plain(&["linux/amd64", "linux/arm64"])),
        (_, "FILE" | "PATH[:NAME]") => (Names::Files, Vec::new()),
        ("input-file" | "input_file", _) => (Names::Files, Vec::new()),
        (_, "DIR") | ("working-dir", _) => (Names::Folders, Vec::new()),
        (_, name) => {
            // `N|auto` and `all`: the part in small letters is a word.
            let is_word = |part: &&str| part.bytes().all(|byte| byte.is_ascii_lowercase());
            let words = name.split('|').filter(is_word).filter(|word| !word.is_empty());
            (nothing, possible(arg).into_iter().chain(words.map(Candidate::plain)).collect())
        }
    }
}

/// The values that the parser of an option lists.
fn possible(arg: &Arg) -> Vec<Candidate> {
    let listed = arg.get_value_parser().possible_values().into_iter().flatten();
    let listed = listed.filter(|value| !value.is_hide_set() && takes_words(arg));
    listed.map(|value| Candidate::described(value.get_name(), &first_line(value.get_help()))).collect()
}

fn takes_words(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Candidates for the last element of a list with commas, without those that it has already.
fn in_list(value: &str, of_element: impl Fn(&str, &str) -> Vec<Candidate>) -> Vec<Candidate> {
    let (before, element) = match value.rfind(',') {
        Some(at) => value.split_at(at + 1),
        None => ("", value),
    };
    let mut found = of_element(before, element);
    found.retain(|candidate| !before.split(',').any(|had| had.eq_ignore_ascii_case(&candidate.word)));
    found.iter_mut().for_each(|candidate| candidate.word.insert_str(0, before));
    found
}

/// The states, in the letters in which the word begins.
fn statuses(_: &str, element: &str) -> Vec<Candidate> {
    let is_small = element.starts_with(|letter: char| letter.is_ascii_lowercase());
    let names = Status::ALL.map(Status::as_str).into_iter().chain(["ALL"]);
    names
        .map(|name| if is_small { name.to_lowercase() } else { name.to_owned() })
        .map(Candidate::plain)
        .collect()
}

/// The jobs that were submitted from here to the cluster that is meant, the latest first.
fn jobs(at: &Position<'_>, prefix: &str) -> Vec<Candidate> {
    let Some(cluster) = cluster(at) else { return Vec::new() };
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::system());
    let candidate = |RecordedJob { id, name, submitted_at }| Candidate {
        word: id,
        description: format!("{name}, {}", local_short(submitted_at, &now)),
        needs_description: true,
    };
    batch::recorded_jobs(&cluster, prefix, MAX_JOBS).into_iter().map(candidate).collect()
}

/// The last job in the value of `--depends-on`, and the words that it can begin with.
fn dependencies(at: &Position<'_>, value: &str) -> Vec<Candidate> {
    let (before, id) = value.split_at(value.rfind([',', ':']).map_or(0, |at| at + 1));
    if before.ends_with("name:") {
        return Vec::new();
    }
    let mut found = jobs(at, id);
    found.push(Candidate::plain("last"));
    if !before.ends_with(':') {
        found.extend(["afterok:", "n_to_n:", "name:", "sequential"].map(Candidate::plain));
    }
    found.iter_mut().for_each(|candidate| candidate.word.insert_str(0, before));
    found
}

/// The queues of the settings, and those that Batch has described lately.
fn queues(at: &Position<'_>) -> Vec<Candidate> {
    let Some(cluster) = cluster(at) else { return Vec::new() };
    // The name is the part behind the slash of an ARN (Service Authorization Reference, AWS Batch).
    let name = |queue: String| queue.rsplit('/').next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = config::queues_in_settings(&cluster).into_iter().map(name).collect();
    names.extend(batch::recorded_queues(&cluster));
    names.sort();
    names.dedup();
    names.into_iter().map(Candidate::plain).collect()
}

/// The consumable resources that Batch has listed or described lately.
fn consumable_resources(at: &Position<'_>) -> Vec<Candidate> {
    let names = cluster(at).map(|cluster| batch::recorded_consumable_resources(&cluster));
    names.unwrap_or_default().into_iter().map(Candidate::plain).collect()
}

/// The containers of jobs and job definitions that Batch has described lately.
fn containers(at: &Position<'_>) -> Vec<Candidate> {
    let names = cluster(at).map(|cluster| batch::recorded_containers(&cluster));
    names.unwrap_or_default().into_iter().map(Candidate::plain).collect()
}

/// The cluster that the command line, the environment or the settings mean.
fn cluster(at: &Position<'_>) -> Option<Cluster> {
    let variable = || std::env::var("AWSB_CLUSTER").ok().filter(|name| !name.is_empty());
    let choice = ClusterSelector {
        cluster: at.value("cluster").or_else(variable),
        profile: at.value("profile"),
        region: at.value("region"),
        by_old_rules: at.command.get_name().starts_with("awsb"),
    };
    config::resolve(&choice).ok()
}

/// The profiles of the AWS configuration (AWS SDKs and Tools Reference Guide, "Shared config and
/// credentials files").
fn profiles() -> Vec<Candidate> {
    let file = |variable: &str, name: &str| {
        let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map(Into::into);
        let path = path.or_else(|| Some(std::env::home_dir()?.join(".aws").join(name)));
        path.and_then(|path: std::path::PathBuf| config::read_text(&path).ok()).unwrap_or_default()
    };
    let text =
        [file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")].join("\n");
    let section = |line: &str| {
        let section = line.trim().strip_prefix('[')?.split_once(']')?.0.trim();
        let name = section.strip_prefix("profile ").map_or(section, str::trim).to_owned();
        (!name.contains(' ')).then_some(name)
    };
    let mut names: Vec<String> = text.lines().filter_map(section).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(Candidate::plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(found: Vec<Candidate>) -> String {
        found.into_iter().map(|candidate| candidate.word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_list_grows_by_what_it_lacks() {
        let of = |value: &str| words(in_list(value, statuses));
        assert!(of("").starts_with("SUBMITTED PENDING "), "{}", of(""));
        assert!(of("FAILED,").contains(" FAILED,RUNNING ") && !of("FAILED,").contains(",FAILED"));
        assert!(of("failed,ru").contains(" failed,running "), "{}", of("failed,ru"));
    }
}
