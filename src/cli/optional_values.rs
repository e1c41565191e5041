//! Options with an optional value, such as `-w [SECONDS]`.
//!
//! clap requires `-w=5`, because a word behind `-w` could be an operand. Our optional values are
//! numbers. An operand that is a number is the beginning of a job's ID, and has at least four
//! digits. So a shorter number behind such an option, as in `watch -n 5`, is its value.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// Rewrites `-w 5`, `-w5` and `--watch 5` in a command line as `-w=5` and `--watch=5`.
pub fn join(command: &Command, args: Vec<OsString>) -> Vec<OsString> {
    let options: Vec<&Arg> =
        command.get_arguments().filter(|arg| arg.is_require_equals_set() && takes_number(arg)).collect();
    if options.is_empty() {
        return args;
    }
    let mut joined: Vec<OsString> = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    while let Some(word) = args.next() {
        let is_end = word == OsStr::new("--");
        let text = word.to_string_lossy().into_owned();
        if let Some((option, number)) = attached(&options, &text) {
            joined.push(format!("{option}={number}").into());
        } else if options.iter().any(|option| ends_with(option, &text))
            && let Some(number) = args.next_if(|next| next.to_str().is_some_and(is_too_short_for_an_id))
        {
            joined.push(format!("{text}={}", number.to_string_lossy()).into());
        } else {
            joined.push(word);
        }
        if is_end {
            joined.extend(args);
            break;
        }
    }
    joined
}

fn takes_number(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "SECONDS"))
}

/// Splits `-w5` in two.
fn attached<'t>(options: &[&Arg], text: &'t str) -> Option<(&'t str, &'t str)> {
    let letter = text.strip_prefix('-')?.chars().next().filter(char::is_ascii)?;
    let (option, number) = text.split_at_checked(2)?;
    (is_number(number) && options.iter().any(|arg| arg.get_short() == Some(letter)))
        .then_some((option, number))
}

/// Whether a word is the option, or a group of short options that ends with it.
fn ends_with(option: &Arg, text: &str) -> bool {
    match text.strip_prefix("--") {
        Some(name) => option.get_long() == Some(name),
        None => text.strip_prefix('-').is_some_and(|group| {
            group.chars().all(|c| c.is_ascii_alphabetic()) && group.chars().next_back() == option.get_short()
        }),
    }
}

/// Whether a number is too short for the beginning of a job's ID, which has four digits or more.
fn is_too_short_for_an_id(text: &str) -> bool {
    is_number(text) && (text.len() < 4 || text.contains('.'))
}

fn is_number(text: &str) -> bool {
    text.len() < 8
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_value_and_an_id_is_not() {
        let watch = Arg::new("watch").short('w').long("watch").num_args(0..=1).require_equals(true);
        let command = Command::new("x").arg(watch.value_name("SECONDS")).arg(Arg::new("job").num_args(0..));
        for (line, expected) in [
            ("-w 5 8f2c", "-w=5 8f2c"),
            ("-w0.5", "-w=0.5"),
            ("-dw 5", "-dw=5"),
            ("--watch 10", "--watch=10"),
            ("-w 8f2c", "-w 8f2c"),
            ("-w", "-w"),
            ("-w -d", "-w -d"),
            ("-w=5 7", "-w=5 7"),
            ("-- -w 5", "-- -w 5"),
            ("-s 5", "-s 5"),
            ("-w 12345678-1111-4222-8333-444455556666", "-w 12345678-1111-4222-8333-444455556666"),
            ("-w 12345678", "-w 12345678"),
            ("-w 1234", "-w 1234"),
            ("-w 120", "-w=120"),
        ] {
            let args = line.split(' ').map(OsString::from).collect();
            assert_eq!(join(&command, args).join(OsStr::new(" ")), OsStr::new(expected), "{line}");
        }
    }
}
