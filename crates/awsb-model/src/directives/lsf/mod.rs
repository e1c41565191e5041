//! `#BSUB` lines, with LSF's meanings (IBM Spectrum LSF 10.1, `lsf_command_ref`, bsub).

mod job;
mod require;
mod table;

use super::line::Line;
use super::result::Directives;
use super::shape::LsfShape;
use job::Job;
pub use job::LsfUnit;
use table::{Meaning, OPTIONS, Opt};

/// Whether an option of LSF's `bsub` (its name without the dash) takes a value, and why it is not
/// honoured, if it is not. `None`: LSF does not know it.
pub fn about(name: &str) -> Option<(bool, Option<&'static str>)> {
    let option = OPTIONS.iter().find(|option| option.name == name)?;
    let reason = match option.meaning {
        Meaning::Job(_) => None,
        Meaning::Unhonoured(reason) | Meaning::Refused(reason) => Some(reason),
        Meaning::Nothing => Some("leave it out: it has no effect here"),
    };
    Some((option.value, reason))
}

/// Reads all `#BSUB` lines. `None`: there are none.
pub fn read(lines: &[Line], unit: Option<LsfUnit>, found: &mut Directives) -> Option<LsfShape> {
    let mut job = Job::of(unit);
    for line in lines {
        let texts = line.texts(found);
        let mut words = texts.iter();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix('-') else {
                // LSF would run it as a command; here the script is run.
                found.refuse(&line.at(&[word]), "is not an option");
                continue;
            };
            let Some((opt, attached)) = find(name) else {
                found.refuse(&line.at(&[word]), format!("LSF's bsub has no option `-{name}`"));
                // A possible value of the unknown option is skipped, too.
                let _ =
                    words.as_slice().first().filter(|next| !next.starts_with('-')).and_then(|_| words.next());
                continue;
            };
            let next = if opt.value && attached.is_none() { words.next() } else { None };
            let written: Vec<&String> = std::iter::once(word).chain(next).collect();
            let at = line.at(&written);
            let value = attached.or(next.map(String::as_str));
            match opt.meaning {
                _ if opt.value && value.is_none() => found.refuse(&at, "needs a value"),
                Meaning::Job(key) => job.apply(key, value.unwrap_or_default(), &at, found),
                Meaning::Unhonoured(reason) if opt.name == "x" => found.warn_of_whole_node(&at, reason),
                Meaning::Unhonoured(reason) => found.warn(&at, reason),
                Meaning::Nothing => {}
                Meaning::Refused(reason) => found.refuse(&at, reason),
            }
        }
    }
    let shape = job.finish(found);
    (!lines.is_empty()).then_some(shape)
}

/// The option with this name, or the longest one that the word begins with, and its value after it
/// (`-n4`, `-Pproject`).
fn find(name: &str) -> Option<(&'static Opt, Option<&str>)> {
    if let Some(opt) = OPTIONS.iter().find(|o| o.name == name) {
        return Some((opt, None));
    }
    // `-Jdata` is the name `data`, and not the description `ata`.
    let begins = |opt: &&Opt| opt.value && opt.name != "Jd" && name.starts_with(opt.name);
    let opt = OPTIONS.iter().filter(begins).max_by_key(|opt| opt.name.len())?;
    Some((opt, Some(&name[opt.name.len()..])))
}
