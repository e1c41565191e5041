//! The fate of the keys of a file.

use std::fmt;

use crate::cluster::validate::Problem;

/// The fate of a file: of each key that it has, and of the configuration as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The keys, in the file's order.
    pub entries: Vec<Entry>,
    /// The differences that no key of the file causes.
    pub notes: Vec<Note>,
    /// The contradictions within the new configuration.
    pub problems: Vec<Problem>,
}

/// A key of the file, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, such as `HeadNode.Networking.SubnetId` or `[cluster default] max_vcpus`.
    pub key: String,
    /// Its line. The first line of a file is 1.
    pub line: usize,
    /// Its fate.
    pub outcome: Outcome,
}

/// The fate of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The configuration has the same.
    Mapped {
        /// The key of the configuration, such as `environment.compute.max`.
        to: String,
        /// The difference. Empty: there is none.
        note: String,
    },
    /// It is not in the configuration.
    Dropped {
        /// Why, and what stands in for it.
        reason: String,
    },
    /// It cannot be read, or the configuration cannot have it.
    Error {
        /// The mistake in it.
        message: String,
        /// The next step. Empty: the message says it.
        hint: String,
    },
}

/// A difference that no key of the file is the reason of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The key of the configuration, such as `environment.compute.max`, if it is about one.
    pub to: Option<String>,
    /// The difference.
    pub text: String,
}

impl Report {
    /// The keys that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Error { .. }))
    }

    /// Whether the configuration has everything that the file asks for and that it could have, and
    /// no contradiction.
    pub fn is_clean(&self) -> bool {
        self.errors().next().is_none() && !self.problems.iter().any(|problem| problem.kind.is_fatal())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut mapped, mut dropped, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for entry in &self.entries {
            let (list, text) = match &entry.outcome {
                Outcome::Mapped { to, note } if note.is_empty() => (&mut mapped, format!("-> {to}")),
                Outcome::Mapped { to, note } => (&mut mapped, format!("-> {to}. {note}")),
                Outcome::Dropped { reason } => (&mut dropped, reason.clone()),
                Outcome::Error { message, hint } if hint.is_empty() => (&mut errors, message.clone()),
                Outcome::Error { message, hint } => (&mut errors, format!("{message} ({hint})")),
            };
            list.push(format!("line {}: {}: {text}", entry.line, entry.key));
        }
        let notes = self.notes.iter().map(|note| match &note.to {
            Some(to) => format!("{to}: {}", note.text),
            None => note.text.clone(),
        });
        let problems = self.problems.iter().map(|problem| format!("{problem}: {}", problem.advice));
        let lists = [
            ("mapped", mapped),
            ("dropped", dropped),
            ("errors", errors),
            ("notes", notes.collect()),
            ("problems", problems.collect()),
        ];
        for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(f, "{title}:")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}
