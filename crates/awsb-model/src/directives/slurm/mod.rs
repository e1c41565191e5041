//! `#SBATCH` lines, with Slurm's meanings (sbatch(1)).

mod check;
mod components;
mod job;
mod table;

use super::line::Line;
use super::result::{At, Directives};
use super::shape::SlurmShape;
use components::Components;
use job::{Job, OUTPUT};
use table::{Key, Meaning, OPTIONS, Opt, Value};

/// The treatment of an option of sbatch that awsb's `bsub` does not have. `None`: Slurm does not
/// know it either.
pub fn about(long: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|option| option.long == long).map(treatment)
}

/// The treatment of a one-letter option of sbatch that awsb's `bsub` does not have.
pub fn about_letter(letter: char) -> Option<&'static str> {
    OPTIONS.iter().find(|option| option.short == Some(letter)).map(treatment)
}

/// The text about an option that is honoured.
const WORKS: &str = "it works as an #SBATCH line in the script";

fn treatment(option: &Opt) -> &'static str {
    match option.meaning {
        Meaning::Job(Key::Output) => OUTPUT,
        Meaning::Job(Key::Begin) => "Batch starts a job as soon as it can; at(1) or cron submits it later",
        Meaning::Job(_) => WORKS,
        Meaning::Unhonoured(reason) | Meaning::Refused(reason) => reason,
        Meaning::Nothing => "leave it out: it has no effect here",
    }
}

/// Reads all `#SBATCH` lines. `None`: there are none.
pub fn read(lines: &[Line], found: &mut Directives) -> Option<SlurmShape> {
    let mut first = Job::default();
    let mut others = Components::default();
    let mut ended = false;
    for line in lines {
        let texts = line.texts(found);
        let mut words = texts.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                ended = true;
                continue;
            }
            if ended {
                found.refuse(&line.at(&[word]), "comes after a `--`, where sbatch takes no more options");
                break;
            }
            if ["hetjob", "packjob"].contains(&word.as_str()) {
                others.begin(line.at(&[word]), &first);
                continue;
            }
            let job = others.last().unwrap_or(&mut first);
            match word.strip_prefix("--") {
                Some(long) => read_long(long, word, &mut words, line, job, found),
                None => read_short(word, &mut words, line, job, found),
            }
        }
    }
    let shape = others.finish(first, found);
    (!lines.is_empty()).then_some(shape)
}

/// Whether the lines describe a heterogeneous job.
pub fn has_groups(found: &Directives) -> bool {
    let words = found.options.iter().flat_map(|option| &option.words);
    words.filter_map(|word| word.to_str()).any(|word| word.starts_with("--node-group="))
}

type Words<'a> = std::slice::Iter<'a, String>;

/// Reads `--name`, `--name=value` or `--name value`.
fn read_long(
    long: &str,
    word: &str,
    words: &mut Words<'_>,
    line: &Line,
    job: &mut Job,
    found: &mut Directives,
) {
    let (name, attached) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let opt = match find(name) {
        Ok(opt) => opt,
        Err(NoOption::Unknown) => return unknown(word, words, line, found),
        Err(NoOption::Ambiguous) => {
            return found.refuse(&line.at(&[word]), "can be short for several of Slurm's options");
        }
    };
    if opt.value == Value::None && attached.is_some() {
        return found.refuse(&line.at(&[word]), "takes no value");
    }
    let next = if opt.value == Value::Needed && attached.is_none() { words.next() } else { None };
    let written: Vec<&str> = std::iter::once(word).chain(next.map(String::as_str)).collect();
    let value = attached.or(next.map(String::as_str));
    settle(opt, value, &line.at(&written), job, found);
}

/// The option with this name, or the only one that begins with it (getopt_long(3) accepts such
/// abbreviations).
fn find(name: &str) -> Result<&'static Opt, NoOption> {
    // Options of old versions do not make an abbreviation ambiguous.
    let is_old = |long: &str| {
        ["workdir", "share", "immediate", "jobid", "checkpoint", "checkpoint-dir"].contains(&long)
    };
    let mut like = OPTIONS.iter().filter(|o| o.long.starts_with(name) && !name.is_empty() && !is_old(o.long));
    match (OPTIONS.iter().find(|o| o.long == name), like.next(), like.next()) {
        (Some(opt), ..) | (None, Some(opt), None) => Ok(opt),
        (None, Some(_), Some(_)) => Err(NoOption::Ambiguous),
        (None, None, _) => Err(NoOption::Unknown),
    }
}

enum NoOption {
    Unknown,
    Ambiguous,
}

fn unknown(word: &str, words: &mut Words<'_>, line: &Line, found: &mut Directives) {
    let name = word.split('=').next().unwrap_or(word);
    let nearest = nearest(name).map(|long| format!("; did you mean --{long}?")).unwrap_or_default();
    found.refuse(&line.at(&[word]), format!("sbatch has no option `{name}`{nearest}"));
    // A possible value of the unknown option is skipped, too.
    if words.as_slice().first().is_some_and(|next| !next.starts_with('-')) {
        words.next();
    }
}

/// The option of sbatch with the most similar name.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("--")?;
    let alike = OPTIONS.iter().map(|option| (strsim::jaro_winkler(option.long, name), option.long));
    alike.filter(|(likeness, _)| *likeness > 0.85).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, long)| long)
}

/// Reads `-xvalue`, `-x value`, or combined flags.
fn read_short(word: &str, words: &mut Words<'_>, line: &Line, job: &mut Job, found: &mut Directives) {
    let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
        return found.refuse(&line.at(&[word]), "is not an option");
    };
    for (at, letter) in letters.char_indices() {
        let Some(opt) = OPTIONS.iter().find(|o| o.short == Some(letter)) else {
            return unknown(word, words, line, found);
        };
        if opt.value == Value::None {
            settle(opt, None, &line.at(&[word]), job, found);
            continue;
        }
        let rest = &letters[at + letter.len_utf8()..];
        let attached = (!rest.is_empty()).then_some(rest);
        let next = if opt.value == Value::Needed && attached.is_none() { words.next() } else { None };
        let written: Vec<&str> = std::iter::once(word).chain(next.map(String::as_str)).collect();
        let value = attached.or(next.map(String::as_str));
        return settle(opt, value, &line.at(&written), job, found);
    }
}

fn settle(opt: &Opt, value: Option<&str>, at: &At, job: &mut Job, found: &mut Directives) {
    // getopt accepts an empty word as a value, but sbatch drops it when it reads a line.
    let is_missing = value.is_none() || (value == Some("") && !at.text.contains('='));
    if opt.value == Value::Needed && is_missing {
        return found.refuse(at, "needs a value");
    }
    if let (Meaning::Unhonoured(_) | Meaning::Job(Key::Output), Some(value)) = (opt.meaning, value)
        && let Err(invalid) = check::check(opt.long, value)
    {
        return found.refuse(at, invalid.to_string());
    }
    if let Some(value) = value {
        job.note_machine(opt.long, value);
    }
    match opt.meaning {
        Meaning::Job(key) if !job.may_have(key, value.unwrap_or_default(), at, found) => {}
        Meaning::Job(key) => job.apply(key, value.unwrap_or_default(), at, found),
        Meaning::Unhonoured(reason) if opt.long == "exclusive" => found.warn_of_whole_node(at, reason),
        Meaning::Unhonoured(reason) => found.warn(at, reason),
        Meaning::Nothing => {}
        Meaning::Refused(reason) => found.refuse(at, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_work_as_a_line_works() {
        let options = OPTIONS.iter().filter(|option| treatment(option) == WORKS);
        for option in options {
            let value = match option.meaning {
                Meaning::Job(Key::JobName | Key::Partition | Key::Comment | Key::Export) => "name",
                Meaning::Job(Key::Array) => "1-3",
                Meaning::Job(Key::Gres) => "gpu:1",
                Meaning::Job(Key::Time) => "1:00:00",
                Meaning::Job(Key::Dependency) => "afterok:8f2c0d3e",
                Meaning::Job(Key::Chdir) => "/data",
                Meaning::Job(Key::Signal) => "USR1@60",
                Meaning::Job(Key::Input) => "in.txt",
                Meaning::Job(Key::Mem | Key::MemPerCpu | Key::MemPerGpu) => "4G",
                _ => "2",
            };
            let line = match option.value {
                Value::Needed => format!("#SBATCH --{}={value}", option.long),
                Value::None | Value::Optional => format!("#SBATCH --{}", option.long),
            };
            let found = Directives::read(format!("#!/bin/sh\n{line}\n").as_bytes());
            assert_eq!((found.errors, found.warnings), (Vec::new(), Vec::new()), "{line}");
        }
        assert_ne!(about("begin"), Some(WORKS));
    }
}
