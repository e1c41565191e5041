//! Command lines of other schedulers. A form that only Slurm or LSF has is refused, with our form
//! in the hint. A form with two meanings leads to a note.
//!
//! The rule: an option that the tool documents keeps its documented meaning. A word that only Slurm
//! or LSF has (`-oo`, `-env`, `done(ID)`, `%J`, `name[1-3]`) is an error, even if its letters could
//! be bundled options of ours, because a wrong job is worse than none. Nothing here reads files or
//! variables; a [`Context`] does.

mod bsub;
mod tables;
mod types;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

pub use types::Context;
use types::GivenOption;

use super::legacy::{long, short, takes_value};
use crate::ui::Failure;
use awsb_model::directives::{about_lsfs, about_slurms};

/// Checks a command line, which begins with the tool's name. Returns the text of a note, if a form
/// has two meanings.
///
/// # Errors
/// When a word has a meaning only in Slurm or LSF.
pub fn check(
    command: &Command,
    words: &[OsString],
    context: &Context<'_>,
) -> Result<Option<String>, Failure> {
    let mut command = command.clone();
    command.build();
    let tool = command.get_name().to_owned();
    if !tables::TOOLS.contains(&tool.as_str()) {
        return Ok(None);
    }
    let texts: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (given, operands) = walk(&command, &tool, &texts)?;
    match tool.as_str() {
        "bsub" => bsub::check(&given, context),
        _ => {
            tables::check(&tool, &given, &operands)?;
            Ok(None)
        }
    }
}

/// The options of a command line. For a tool whose options can follow its operands, the operands,
/// too.
fn walk<'c>(
    command: &'c Command,
    tool: &str,
    words: &[String],
) -> Result<(Vec<GivenOption<'c>>, Vec<String>), Failure> {
    let ends_at_operand = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    let (mut given, mut operands) = (Vec::new(), Vec::new());
    let mut rest = words.get(1..).unwrap_or_default().iter();
    while let Some(word) = rest.next() {
        let next = rest.as_slice().first().map(String::as_str);
        match word.strip_prefix("--") {
            Some("") => break,
            Some(name) => {
                let (name, attached) = split(name);
                // clap refuses an unknown option.
                let Some(arg) = long(command, name) else { break };
                let value = match attached {
                    Some(value) => Some(value.to_owned()),
                    None if takes_value(Some(arg)) => rest.next().cloned(),
                    None => None,
                };
                given.push(GivenOption { letter: None, id: arg.get_id().as_str(), value });
            }
            None if !word.starts_with('-') || word == "-" => {
                if ends_at_operand {
                    break;
                }
                operands.push(word.clone());
            }
            None => {
                if let Some(failure) = lsf_word(tool, word, next) {
                    return Err(failure);
                }
                if let Some(failure) = signal_word(command, tool, word) {
                    return Err(failure);
                }
                for (at, letter) in word.char_indices().skip(1) {
                    let behind = &word[at + letter.len_utf8()..];
                    let Some(arg) = short(command, letter) else {
                        return match tables::letter(tool, letter, value_of(letter, behind, next)) {
                            Some(failure) => Err(failure),
                            // clap refuses the option.
                            None => Ok((given, operands)),
                        };
                    };
                    if !takes_value(Some(arg)) {
                        given.push(GivenOption {
                            letter: Some(letter),
                            id: arg.get_id().as_str(),
                            value: None,
                        });
                        continue;
                    }
                    let value = match behind {
                        "" => rest.next().cloned(),
                        _ => Some(behind.strip_prefix('=').unwrap_or(behind).to_owned()),
                    };
                    given.push(GivenOption { letter: Some(letter), id: arg.get_id().as_str(), value });
                    break;
                }
            }
        }
    }
    Ok((given, operands))
}

/// The value of an option that is not ours: the attached text, or the next word if it could be a
/// value. For flags of Slurm or LSF, only a number counts as a value.
fn value_of<'a>(letter: char, attached: &'a str, next: Option<&'a str>) -> Option<&'a str> {
    let is_flag = "BHNQsvx".contains(letter);
    let could_be = |next: &&str| match is_flag {
        true => next.starts_with(|c: char| c.is_ascii_digit()),
        false => !next.starts_with('-'),
    };
    match attached {
        "" => next.filter(could_be),
        _ => Some(attached.strip_prefix('=').unwrap_or(attached)),
    }
}

fn split(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)))
}

/// The failure of a signal in the form of kill(1): `-9`, `-USR1`.
fn signal_word(command: &Command, tool: &str, word: &str) -> Option<Failure> {
    let name = word.strip_prefix('-')?;
    let is_ours = name.chars().next().is_none_or(|letter| short(command, letter).is_some());
    if tool != "bkill" || is_ours || !tables::is_signal(name) {
        return None;
    }
    let failure = Failure::usage(format!("`{word}` is a signal, and bkill sends none that you choose"));
    Some(failure.hint(tables::NO_SIGNAL))
}

/// The failure of a word with several letters behind one dash that is an option of LSF's `bsub`.
fn lsf_word(tool: &str, word: &str, next: Option<&str>) -> Option<Failure> {
    let (name, attached) = split(word.strip_prefix('-')?);
    if tool != "bsub" || name.chars().count() < 2 {
        return None;
    }
    let (takes_value, reason) = about_lsfs(name)?;
    // `-Ip 4` is -I and -p 4; LSF's -Ip has no value.
    if name == "Ip" && attached.or(next).is_some_and(|value| value.starts_with(|c: char| c.is_ascii_digit()))
    {
        return None;
    }
    let typed = match next.filter(|next| takes_value && attached.is_none() && !next.starts_with('-')) {
        Some(value) => format!("{word} {value}"),
        None => word.to_owned(),
    };
    let failure = Failure::usage(format!(
        "`{typed}` is an option of LSF's bsub; this bsub has no option \
                                          -{name}"
    ));
    let failure = failure.hint(tables::instead_of_lsfs(name).or(reason).unwrap_or_default());
    // If the first letter takes a value here, the other letters could be its value.
    let (letter, value) = name.split_at(1);
    let is_ours = attached.is_none() && bsub::TAKES_A_WORD.contains(letter);
    Some(if is_ours {
        failure.hint(format!("to give -{letter} the value `{value}`, write `-{letter} {value}`"))
    } else {
        failure
    })
}

/// The hint for an option or a value that clap has refused.
pub fn hint_for(tool: &str, error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg)?;
    match error.kind() {
        ErrorKind::MissingRequiredArgument if tool == "bsub" && option == "--interactive" => {
            Some("`bsub -I --pty COMMAND` runs a command on this terminal".to_owned())
        }
        ErrorKind::UnknownArgument if tool == "bexec" => {
            tables::instead_of_dockers(option).map(str::to_owned)
        }
        ErrorKind::UnknownArgument if tool == "bout" && option == "-n" => {
            Some("`--tail N` shows the last N lines, and `--head N` the first".to_owned())
        }
        ErrorKind::UnknownArgument => unknown_long(tool, option.strip_prefix("--")?),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let name = option.strip_prefix("--")?.split(' ').next()?;
            let value = text(ContextKind::InvalidValue)?;
            match tool {
                "bsub" => bsub::instead_of_value(name, value),
                _ => tables::instead_of_value(name, value),
            }
        }
        _ => None,
    }
}

/// The hint for a long option that is not ours.
fn unknown_long(tool: &str, name: &str) -> Option<String> {
    let ours = tables::LONG.iter().find(|(tools, long, _)| tools.contains(&tool) && *long == name);
    match ours {
        Some((.., instead)) => Some((*instead).to_owned()),
        None if tool == "bsub" => about_slurms(name).map(|about| format!("--{name} is Slurm's: {about}")),
        None => None,
    }
}

#[cfg(test)]
mod tests;
