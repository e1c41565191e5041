//! The position in a command line: which option's value, operand or option name is completed.
//!
//! clap's own engine for completions (feature `unstable-dynamic` of `clap_complete`) is not used.
//! Its interface may change with every release, it takes the arguments of a job for options of
//! `bsub`, and it takes the value of an option for a subcommand of the same name.

use clap::{Arg, ArgAction, Command};

/// A word that is completed.
#[derive(Debug, Clone)]
pub enum Word<'c> {
    /// The name of an option.
    Option,
    /// The name of a subcommand.
    Subcommand,
    /// The value of an option or an operand. `before` is the part of the word that comes before the
    /// value, such as `--queue=`.
    Value {
        /// The option or operand.
        arg: &'c Arg,
        /// The part of the word before the value.
        before: String,
    },
    /// An argument of the job, behind its script or command.
    OfJob,
    /// Nothing that is known.
    Unknown,
}

/// The position of a word in a command line.
#[derive(Debug, Clone)]
pub struct Position<'c> {
    /// The tool, or its subcommand.
    pub command: &'c Command,
    /// The word.
    pub word: Word<'c>,
    /// The options before the word, by their IDs, with their values.
    pub given: Vec<(&'c str, Option<String>)>,
}

impl Position<'_> {
    /// Whether an option stands before the word.
    pub fn is_given(&self, id: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == id)
    }

    /// The last value of an option before the word.
    pub fn value(&self, id: &str) -> Option<String> {
        self.given.iter().rev().find(|(given, _)| *given == id).and_then(|(_, value)| value.clone())
    }
}

/// Finds the position of `word` behind the words `before`, which begin behind the tool's name. The
/// command has been built ([`Command::build`]).
pub fn find<'c>(command: &'c Command, before: &[String], word: &str) -> Position<'c> {
    let mut at = Position { command, word: Word::Unknown, given: Vec::new() };
    let mut operands = 0;
    let mut are_operands = false;
    let mut waits: Option<&'c Arg> = None;
    for text in before {
        if let Some(option) = waits.take() {
            at.given.push((option.get_id().as_str(), Some(text.clone())));
        } else if !are_operands && text == "--" {
            are_operands = true;
        } else if !are_operands && text.starts_with('-') && text.len() > 1 {
            waits = read_options(at.command, text, &mut at.given);
        } else if let Some(inner) = at.command.find_subcommand(text).filter(|_| operands == 0) {
            at.command = inner;
        } else {
            // All words behind the first operand are the job's.
            if at.command.get_positionals().any(Arg::is_trailing_var_arg_set) {
                at.word = Word::OfJob;
                return at;
            }
            operands += 1;
        }
    }
    at.word = match waits {
        Some(arg) => Word::Value { arg, before: String::new() },
        None if !are_operands && word.starts_with('-') => option_word(at.command, word),
        None if operands == 0 && at.command.has_subcommands() => Word::Subcommand,
        None => operand(at.command, operands)
            .map_or(Word::Unknown, |arg| Word::Value { arg, before: String::new() }),
    };
    at
}

/// Reads a word with options. Returns the option whose value is the next word.
fn read_options<'c>(
    command: &'c Command,
    text: &str,
    given: &mut Vec<(&'c str, Option<String>)>,
) -> Option<&'c Arg> {
    if let Some(name) = text.strip_prefix("--") {
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let option = long_option(command, name)?;
        if value.is_none() && needs_next_word(option) {
            return Some(option);
        }
        given.push((option.get_id().as_str(), value));
        return None;
    }
    let mut rest = text.strip_prefix('-')?.chars();
    while let Some(letter) = rest.next() {
        let option = short_option(command, letter)?;
        if !takes_value(option) {
            given.push((option.get_id().as_str(), None));
            continue;
        }
        let value = rest.as_str();
        if value.is_empty() && needs_next_word(option) {
            return Some(option);
        }
        let value = value.strip_prefix('=').unwrap_or(value).to_owned();
        given.push((option.get_id().as_str(), Some(value)));
        return None;
    }
    None
}

/// The meaning of a word that begins with a dash and is completed.
fn option_word<'c>(command: &'c Command, word: &str) -> Word<'c> {
    if let Some(name) = word.strip_prefix("--") {
        return match name.split_once('=') {
            None => Word::Option,
            Some((name, _)) => long_option(command, name)
                .filter(|option| takes_value(option))
                .map_or(Word::Unknown, |arg| Word::Value { arg, before: format!("--{name}=") }),
        };
    }
    let mut before = String::from("-");
    let mut letters = word.chars().skip(1).peekable();
    while let Some(letter) = letters.next() {
        let Some(option) = short_option(command, letter) else { return Word::Unknown };
        before.push(letter);
        if takes_value(option) {
            // A blank has to follow, which the shell inserts.
            let Some(next) = letters.peek() else { return Word::Option };
            if *next == '=' {
                before.push('=');
            }
            return Word::Value { arg: option, before };
        }
    }
    Word::Option
}

/// The operand with this index from 0. The last operand may take all further words.
fn operand(command: &Command, index: usize) -> Option<&Arg> {
    let mut operands: Vec<&Arg> = command.get_positionals().collect();
    operands.sort_by_key(|arg| arg.get_index());
    let takes_many = |arg: &&&Arg| {
        matches!(arg.get_action(), ArgAction::Append)
            || arg.get_num_args().is_some_and(|range| range.max_values() > 1)
    };
    operands.get(index).or_else(|| operands.last().filter(takes_many)).copied()
}

fn long_option<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    let has = |arg: &&Arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
    };
    command.get_opts().find(has).or_else(|| command.get_arguments().find(has))
}

fn short_option(command: &Command, letter: char) -> Option<&Arg> {
    command.get_arguments().find(|arg| arg.get_short() == Some(letter))
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

fn needs_next_word(option: &Arg) -> bool {
    takes_value(option) && !option.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> Command {
        let option = |name: &'static str, letter| Arg::new(name).long(name).short(letter);
        let mut tool = Command::new("bsub")
            .arg(option("queue", 'q').visible_alias("partition"))
            .arg(option("wait", 'K').action(ArgAction::SetTrue))
            .arg(option("watch", 'w').num_args(0..=1).require_equals(true))
            .arg(Arg::new("words").trailing_var_arg(true).num_args(0..));
        tool.build();
        tool
    }

    fn cluster_tool() -> Command {
        let mut tool = Command::new("bcluster")
            .arg(Arg::new("cluster").short('c').long("cluster").global(true))
            .subcommand(Command::new("show").arg(Arg::new("name")))
            .subcommand(Command::new("list"));
        tool.build();
        tool
    }

    fn described(command: &Command, line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (word, before) = words.split_last().unwrap();
        let at = find(command, before, word);
        let given: Vec<String> = at.given.iter().map(|(id, value)| format!("{id}={value:?}")).collect();
        let word = match at.word {
            Word::Value { arg, before } => format!("value of {} behind '{before}'", arg.get_id()),
            other => format!("{other:?}"),
        };
        format!("{line:?}: {} {word} {}", at.command.get_name(), given.join(" ")).trim_end().to_owned()
    }

    #[test]
    fn positions() {
        let (tool, cluster) = (tool(), cluster_tool());
        let of_tool = [
            "",
            "-",
            "--q",
            "-q ",
            "-q a",
            "-qa",
            "-q=a",
            "-q",
            "-Kq ",
            "-Kqa",
            "--queue=a",
            "--queue ",
            "--partition x -",
            "-q x ",
            "-K a -q",
            "-w ",
            "-w=5 ",
            "--watch 5",
            "-- -q",
            "-x",
            "-x ",
            "--wait=",
            "-q -- -",
            "x --queue=",
        ];
        let of_cluster = ["", "sh", "show ", "show a ", "-c list ", "-c show", "show -c ", "list ", "x "];
        let found: Vec<String> = of_tool
            .iter()
            .map(|line| described(&tool, line))
            .chain(of_cluster.iter().map(|line| described(&cluster, line)))
            .collect();
        insta::assert_snapshot!(found.join("\n"));
    }
}
