//! The options in a script's head: `#AWSB`, `#SBATCH` and `#BSUB` lines.
//!
//! All that they ask for becomes options of `bsub`'s own, so that one parser checks the values and the
//! command line can override them. What Batch cannot give is said, never dropped.

mod lsf;
mod slurm;
mod words;

use std::ffi::OsString;
use std::fmt;

use super::script::is_binary;
pub use lsf::LsfShape;
pub use slurm::{SlurmShape, about as about_slurms};
use words::{Quoting, split};

/// What the head of a script says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// Options of `bsub`'s own, in the order in which they hold: a later one wins.
    pub options: Vec<Said>,
    /// What was asked for and cannot be had; the job runs without it.
    pub warnings: Vec<Remark>,
    /// What is wrong, or cannot be left out without the job being another one. It must not be submitted.
    pub errors: Vec<Remark>,
    /// How many tasks on how many nodes, for a script with `#SBATCH` lines.
    pub slurm: Option<SlurmShape>,
    /// How many slots, for a script with `#BSUB` lines.
    pub lsf: Option<LsfShape>,
}

/// Options of `bsub`'s own that one directive comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The words of a command line, such as `--memory=4G`.
    pub words: Vec<OsString>,
    /// The line of the script, from 1.
    pub line: usize,
    /// The directive as it was written, such as `#SBATCH --mem=4G`.
    pub text: String,
}

/// A directive about which there is something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The line of the script, from 1.
    pub line: usize,
    /// The directive as it was written, such as `#SBATCH --exclusive`.
    pub directive: String,
    /// What there is to say, beginning in lower case and without a full stop.
    pub reason: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}`: {}", self.line, self.directive, self.reason)
    }
}

/// Who a line is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Awsb,
    Slurm,
    Lsf,
}

impl Dialect {
    const ALL: [(Self, &'static str, Quoting); 3] = [
        (Self::Awsb, "#AWSB", Quoting::Shell),
        (Self::Slurm, "#SBATCH", Quoting::Slurm),
        (Self::Lsf, "#BSUB", Quoting::Shell),
    ];
}

/// A line with directives.
#[derive(Debug)]
struct Line {
    number: usize,
    prefix: &'static str,
    words: Vec<OsString>,
}

/// One directive of a line: where it is, for whoever has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct At {
    line: usize,
    text: String,
}

impl Line {
    fn at(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> At {
        let mut text = self.prefix.to_owned();
        for word in words {
            text.push(' ');
            text.push_str(&word.as_ref().to_string_lossy());
        }
        At { line: self.number, text }
    }

    /// The words as text; none, once that is said, when one of them is no text.
    fn texts(&self, found: &mut Directives) -> Vec<String> {
        let texts: Option<_> = self.words.iter().map(|word| word.to_str().map(str::to_owned)).collect();
        texts.unwrap_or_else(|| {
            found.refuse(&self.at(&self.words), "is not written in UTF-8");
            Vec::new()
        })
    }
}

impl Directives {
    /// Reads a script's head: the lines before the first that is neither a comment nor blank. Any bytes will
    /// do; a binary has no directives.
    ///
    /// Where more than one dialect is used, `#AWSB` lines win over the others.
    pub fn read(script: &[u8]) -> Self {
        let mut found = Self::default();
        if is_binary(script) {
            return found;
        }
        let mut own = Vec::new();
        let mut slurms = Vec::new();
        let mut lsfs = Vec::new();
        let head = script.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
        for (number, bytes) in (1..).zip(head) {
            if !bytes.trim_ascii_start().starts_with(b"#") && !bytes.is_empty() {
                break;
            }
            let Some((dialect, prefix, quoting, rest)) = directive(bytes) else { continue };
            match split(rest, quoting) {
                Ok(words) if words.is_empty() => {}
                Ok(words) => match dialect {
                    Dialect::Awsb => own.push(Line { number, prefix, words }),
                    Dialect::Slurm => slurms.push(Line { number, prefix, words }),
                    Dialect::Lsf => lsfs.push(Line { number, prefix, words }),
                },
                Err(unclosed) => {
                    let at = At { line: number, text: String::from_utf8_lossy(bytes).into_owned() };
                    found.refuse(&at, unclosed.to_string());
                }
            }
        }
        found.slurm = slurm::read(&slurms, &mut found);
        found.lsf = lsf::read(&lsfs, &mut found);
        for line in own {
            let at = line.at(&line.words);
            found.say(&at, line.words);
        }
        found.warnings.sort_by_key(|remark| remark.line);
        found.errors.sort_by_key(|remark| remark.line);
        found
    }

    fn say(&mut self, at: &At, words: impl IntoIterator<Item = impl Into<OsString>>) {
        let words = words.into_iter().map(Into::into).collect();
        self.options.push(Said { words, line: at.line, text: at.text.clone() });
    }

    fn warn(&mut self, at: &At, reason: impl Into<String>) {
        self.warnings.push(Remark { line: at.line, directive: at.text.clone(), reason: reason.into() });
    }

    fn refuse(&mut self, at: &At, reason: impl Into<String>) {
        self.errors.push(Remark { line: at.line, directive: at.text.clone(), reason: reason.into() });
    }
}

/// Whose directives a line has, and the rest of it. A prefix is a word of its own, at the line's begin.
fn directive(line: &[u8]) -> Option<(Dialect, &'static str, Quoting, &[u8])> {
    Dialect::ALL.into_iter().find_map(|(dialect, prefix, quoting)| {
        let rest = line.strip_prefix(prefix.as_bytes())?;
        rest.first().is_some_and(u8::is_ascii_whitespace).then_some((dialect, prefix, quoting, rest))
    })
}

#[cfg(test)]
mod tests;
