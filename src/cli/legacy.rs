//! The options of ParallelCluster's tools that have other names here: those of two letters behind
//! one dash (`-jn`), and some long ones.
//!
//! clap has no options such as `-jn`, so a command line is rewritten before it is parsed:
//! `-jn NAME` becomes `--job-name NAME`. A short option with an attached value that looks the same
//! is lost: `-eb` is not `-e b`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

use crate::ui::print_message;

/// The replacement of an old option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacement {
    /// An option by its long name.
    Option(&'static str),
    /// None: the option and its value have no effect. The text names the nearest thing that awsb
    /// has.
    None(&'static str),
}

const LOG_LEVEL: Replacement = Replacement::None("--debug shows requests and answers");

/// Tool, old option, replacement (`aws-parallelcluster-awsbatch-cli`, each tool's `_get_parser`).
const OLD_OPTIONS: [(&str, &str, Replacement); 16] = [
    ("bsub", "-jn", Replacement::Option("--job-name")),
    ("bsub", "-cf", Replacement::Option("--script")),
    ("bsub", "--command-file", Replacement::Option("--script")),
    ("bsub", "-if", Replacement::Option("--input")),
    ("bsub", "-pw", Replacement::Option("--parent-working-dir")),
    ("bsub", "-eb", Replacement::Option("--env-exclude")),
    ("bsub", "--env-blacklist", Replacement::Option("--env-exclude")),
    ("bsub", "-ll", LOG_LEVEL),
    ("bsub", "--log-level", LOG_LEVEL),
    ("bout", "-hd", Replacement::Option("--head")),
    ("bout", "-sp", Replacement::Option("--stream-period")),
    ("bout", "-ll", LOG_LEVEL),
    ("bstat", "-ll", LOG_LEVEL),
    ("bkill", "-ll", LOG_LEVEL),
    ("bqueues", "-ll", LOG_LEVEL),
    ("bhosts", "-ll", LOG_LEVEL),
];

/// Rewrites the old options of a command line, which begins with the tool's name.
pub fn rewrite(command: &Command, args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut command = command.clone();
    command.build();
    let tool = command.get_name().to_owned();
    let mut args = args.into_iter();
    let mut new: Vec<OsString> = args.next().into_iter().collect();
    if !OLD_OPTIONS.iter().any(|(of, ..)| *of == tool) {
        new.extend(args);
        return new;
    }
    // All words behind the first operand of such a tool belong to the job.
    let ends_at_operand = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    while let Some(word) = args.next() {
        let (name, joined) = split(&word);
        let old = OLD_OPTIONS.iter().find(|(of, option, _)| *of == tool && name == OsStr::new(option));
        let takes_next = match old {
            Some((_, option, Replacement::None(instead))) => {
                print_message(format!("{tool}: note: {option} has no effect: {instead}"));
                if joined.is_none() {
                    args.next();
                }
                continue;
            }
            Some((_, _, Replacement::Option(option))) => {
                let mut new_option = OsString::from(option);
                if let Some(value) = &joined {
                    new_option.push("=");
                    new_option.push(value);
                }
                new.push(new_option);
                joined.is_none() && takes_value(long(&command, option.trim_start_matches('-')))
            }
            None => {
                let bytes = word.as_bytes();
                let is_option = bytes.starts_with(b"-") && bytes.len() > 1;
                let is_end = bytes == b"--" || (!is_option && ends_at_operand);
                let takes_next = match name.to_str().and_then(|name| name.strip_prefix("--")) {
                    Some(name) => joined.is_none() && takes_value(long(&command, name)),
                    None => is_option && ends_in_value(&command, &word.to_string_lossy()),
                };
                new.push(word);
                if is_end {
                    new.extend(args);
                    return new;
                }
                takes_next
            }
        };
        if takes_next {
            new.extend(args.next());
        }
    }
    new
}

/// Splits `-xx=VALUE` and `--name=VALUE` in two.
fn split(word: &OsStr) -> (OsString, Option<OsString>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|b| *b == b'=') {
        Some(at) => {
            let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            (part(&bytes[..at]), Some(part(&bytes[at + 1..])))
        }
        None => (word.to_owned(), None),
    }
}

pub(super) fn long<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|others| others.contains(&name))
    })
}

pub(super) fn short(command: &Command, letter: char) -> Option<&Arg> {
    command.get_arguments().find(|arg| {
        arg.get_short() == Some(letter)
            || arg.get_all_short_aliases().is_some_and(|others| others.contains(&letter))
    })
}

pub(super) fn takes_value(arg: Option<&Arg>) -> bool {
    arg.is_some_and(|arg| {
        arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n.min_values() > 0)
    })
}

/// Whether the value of the last of these short options (`-vx`) is the next word.
fn ends_in_value(command: &Command, word: &str) -> bool {
    let letters: Vec<char> = word.chars().skip(1).collect();
    let valued = letters.iter().position(|letter| takes_value(short(command, *letter)));
    valued.is_some_and(|at| at + 1 == letters.len())
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn bsub() -> Command {
        let valued = |name: &'static str, letter| Arg::new(name).long(name).short(letter);
        Command::new("bsub")
            .arg(valued("job-name", 'J').visible_alias("name"))
            .arg(valued("env", 'e'))
            .arg(valued("input", 'i'))
            .arg(Arg::new("env-exclude").long("env-exclude"))
            .arg(Arg::new("wait").long("wait").short('K').action(ArgAction::SetTrue))
            .arg(Arg::new("script").long("script").action(ArgAction::SetTrue))
            .arg(Arg::new("operands").num_args(0..).trailing_var_arg(true))
    }

    #[test]
    fn old_options_where_options_are_and_nowhere_else() {
        for (line, expected) in [
            ("-jn x -cf -if a -if b job.sh", "--job-name x --script --input a --input b job.sh"),
            ("-jn=x -eb A,B job.sh", "--job-name=x --env-exclude A,B job.sh"),
            ("-K -cf job.sh", "-K --script job.sh"),
            ("--env-blacklist=A -e all job.sh", "--env-exclude=A -e all job.sh"),
            // These are values of other options.
            ("-J -jn job.sh", "-J -jn job.sh"),
            ("-KJ -jn job.sh", "-KJ -jn job.sh"),
            ("-Jx -cf job.sh", "-Jx --script job.sh"),
            ("--name -jn job.sh", "--name -jn job.sh"),
            ("--name=y -cf job.sh", "--name=y --script job.sh"),
            ("-jn -cf job.sh", "--job-name -cf job.sh"),
            // These words belong to the job.
            ("job.sh -jn x -cf", "job.sh -jn x -cf"),
            ("-- -jn x", "-- -jn x"),
            ("-ll DEBUG -K true", "-K true"),
            ("-", "-"),
            ("- -cf", "- -cf"),
            ("-jn", "--job-name"),
            ("-cfx -jnx y", "-cfx -jnx y"),
        ] {
            let args = ["bsub"].into_iter().chain(line.split(' ')).map(OsString::from);
            let new = rewrite(&bsub(), args);
            assert_eq!(new[1..].join(OsStr::new(" ")), OsStr::new(expected), "{line}");
        }
    }

    #[test]
    fn operands_do_not_end_the_options_of_the_other_tools() {
        let bout = Command::new("bout").arg(Arg::new("head").long("head")).arg(Arg::new("id"));
        let args = ["bout", "8f2c", "-hd", "3"].map(OsString::from);
        assert_eq!(rewrite(&bout, args), ["bout", "8f2c", "--head", "3"]);
        let other = Command::new("blocal");
        let args = ["blocal", "-ll", "x"].map(OsString::from);
        assert_eq!(rewrite(&other, args.clone()), args);
    }
}
