//! Values of unhonoured options that sbatch refuses. A script that Slurm would refuse is refused
//! here, too.

use crate::{Invalid, WallTime};

/// The valid values of an option.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// A whole number.
    Number,
    /// Numbers or `*`, separated by colons.
    Numbers,
    /// A number of megabytes, optionally with a unit.
    Size,
    /// A time limit.
    Time,
    /// A number, optionally followed by `@` and a time.
    NumberAtTime,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, separated by commas.
    SomeOf(&'static [&'static str]),
    /// The values of `--hint`.
    Hint,
}

/// The values that sbatch accepts (sbatch(1) of Slurm 25.11; tested with 22.05). The values of
/// other options are not checked: they are names, texts, or too many to list.
const CHECKS: &[(&str, Check)] = &[
    ("mail-type", Check::SomeOf(MAIL_TYPES)),
    ("open-mode", Check::OneOf(&["append", "a", "truncate", "t"])),
    ("exclusive", Check::OneOf(&["user", "mcs", "topo"])),
    ("kill-on-invalid-dep", Check::OneOf(&["yes", "no"])),
    ("hint", Check::Hint),
    ("time-min", Check::Time),
    ("delay-boot", Check::Time),
    ("tmp", Check::Size),
    ("switches", Check::NumberAtTime),
    ("mincpus", Check::Number),
    ("core-spec", Check::Number),
    ("thread-spec", Check::Number),
    ("sockets-per-node", Check::Number),
    ("cores-per-socket", Check::Number),
    ("threads-per-core", Check::Number),
    ("ntasks-per-core", Check::Number),
    ("ntasks-per-socket", Check::Number),
    ("ntasks-per-gpu", Check::Number),
    ("wait-all-nodes", Check::Number),
    ("extra-node-info", Check::Numbers),
];

const MAIL_TYPES: &[&str] = &[
    "NONE",
    "BEGIN",
    "END",
    "FAIL",
    "REQUEUE",
    "ALL",
    "INVALID_DEPEND",
    "STAGE_OUT",
    "TIME_LIMIT",
    "TIME_LIMIT_90",
    "TIME_LIMIT_80",
    "TIME_LIMIT_50",
    "ARRAY_TASKS",
];

/// Checks the value of an option that is not honoured.
///
/// # Errors
/// When sbatch would refuse it.
pub fn check(long: &str, value: &str) -> Result<(), Invalid> {
    let Some((_, check)) = CHECKS.iter().find(|(name, _)| *name == long) else { return Ok(()) };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let time = |text: &str| text.parse::<WallTime>().is_ok();
    let among = |words: &[&str], text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    let (is_right, expected) = match check {
        Check::Number => (number(value), "a whole number".to_owned()),
        Check::Numbers => (
            value.split(':').all(|n| n == "*" || n.split('-').all(number)),
            "numbers with colons between them".to_owned(),
        ),
        Check::Size => {
            let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = value[digits.len()..].to_ascii_uppercase();
            let units = ["", "K", "M", "G", "T", "KB", "MB", "GB", "TB"];
            (number(digits) && units.contains(&unit.as_str()), "a size such as 512M or 4G".to_owned())
        }
        Check::Time => (time(value), "a time such as 90, 12:00:00 or 1-12".to_owned()),
        Check::NumberAtTime => {
            let (count, wait) =
                value.split_once('@').map_or((value, None), |(count, wait)| (count, Some(wait)));
            (
                number(count) && wait.is_none_or(time),
                "a number, or a number and a time such as 1@60".to_owned(),
            )
        }
        Check::OneOf(words) => (among(words, value), one_of(words)),
        Check::SomeOf(words) => (value.split(',').all(|word| among(words, word)), one_of(words)),
        Check::Hint => {
            let words = ["compute_bound", "memory_bound", "multithread", "nomultithread"];
            (value.split(',').all(|word| among(&words, word)), one_of(&words))
        }
    };
    if is_right {
        return Ok(());
    }
    Err(Invalid::because(format!("sbatch does not accept '{value}': it expects {expected}")))
}

fn one_of(words: &[&str]) -> String {
    match words {
        [first, second] => format!("{first} or {second}"),
        words => words.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sbatch_refuses() {
        for (option, good, bad) in [
            ("mail-type", "END,fail", "SOMETIMES"),
            ("open-mode", "append", "x"),
            ("exclusive", "user", "foo"),
            ("kill-on-invalid-dep", "yes", "maybe"),
            ("hint", "nomultithread", "foo"),
            ("time-min", "10", "foo"),
            ("delay-boot", "10", "x"),
            ("tmp", "1G", "1X"),
            ("tmp", "1G", "G"),
            ("switches", "1@10:00", "x"),
            ("mincpus", "1", ""),
            ("extra-node-info", "1:*:1", "x"),
            ("account", "whatever", ""),
        ] {
            assert!(check(option, good).is_ok(), "{option}={good}");
            assert_eq!(check(option, bad).is_err(), option != "account", "{option}={bad}");
        }
    }
}
