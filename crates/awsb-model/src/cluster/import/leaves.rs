//! The keys of a file, each with its value, its line, and in the end what became of it.

use std::str::FromStr;

use super::report::{Entry, Outcome};
use crate::Invalid;

/// A key of a file that has a value.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// As messages name it: `Scheduling.AwsBatchQueues[0].Name`, `[cluster default] max_vcpus`.
    pub key: String,
    /// As the list of keys has it: `Scheduling.AwsBatchQueues[].Name`, `cluster.max_vcpus`.
    pub pattern: String,
    /// Which of several sections it stands in: an index, or the name of a section.
    pub section: String,
    /// Its line.
    pub line: usize,
    /// Its value.
    pub value: LeafValue,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LeafValue {
    /// Nothing.
    Nothing,
    /// A text, a number or a boolean, as it is written.
    Text(String),
    /// A list of them.
    Texts(Vec<String>),
    /// Sections, where there should be a value.
    Sections,
}

/// The place of a key in [`Leaves`].
pub(super) type At = usize;

/// All keys of a file.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    leaves: Vec<Leaf>,
    outcomes: Vec<Option<Outcome>>,
}

impl Leaves {
    pub(super) fn push(&mut self, leaf: Leaf, outcome: Option<Outcome>) {
        self.leaves.push(leaf);
        self.outcomes.push(outcome);
    }

    /// The key of this pattern that nothing has become of yet, and that has a value.
    pub(super) fn find(&self, pattern: &str) -> Option<At> {
        self.find_in(pattern, None)
    }

    /// The same, in a section.
    pub(super) fn find_in(&self, pattern: &str, section: Option<&str>) -> Option<At> {
        let open =
            self.leaves.iter().zip(&self.outcomes).enumerate().filter(|(_, (_, outcome))| outcome.is_none());
        open.map(|(at, (leaf, _))| (at, leaf))
            .find(|(_, leaf)| {
                leaf.pattern == pattern && section.is_none_or(|section| leaf.section == section)
            })
            .map(|(at, _)| at)
    }

    /// The sections that keys of this pattern stand in, in the file's order.
    pub(super) fn sections(&self, prefix: &str) -> Vec<String> {
        let mut sections: Vec<String> = Vec::new();
        for leaf in self.leaves.iter().filter(|leaf| leaf.pattern.starts_with(prefix)) {
            if !sections.contains(&leaf.section) {
                sections.push(leaf.section.clone());
            }
        }
        sections
    }

    /// The line of the first key in a section, or that of the file.
    pub(super) fn line_of(&self, prefix: &str) -> usize {
        self.leaves.iter().find(|leaf| leaf.pattern.starts_with(prefix)).map_or(1, |leaf| leaf.line)
    }

    pub(super) fn leaf(&self, at: At) -> Option<&Leaf> {
        self.leaves.get(at)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (At, &Leaf)> {
        self.leaves.iter().enumerate()
    }

    /// Says what became of a key, unless that has been said.
    pub(super) fn set(&mut self, at: At, outcome: Outcome) {
        if let Some(known @ None) = self.outcomes.get_mut(at) {
            *known = Some(outcome);
        }
    }

    pub(super) fn mapped(&mut self, at: At, to: impl Into<String>, note: impl Into<String>) {
        self.set(at, Outcome::Mapped { to: to.into(), note: note.into() });
    }

    pub(super) fn dropped(&mut self, at: At, reason: impl Into<String>) {
        self.set(at, Outcome::Dropped { reason: reason.into() });
    }

    pub(super) fn error(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.set(at, Outcome::Error { message: message.into(), hint: hint.into() });
    }

    /// The error that a key is missing.
    pub(super) fn missing(&mut self, key: &str, line: usize, hint: &str) {
        let leaf = Leaf {
            key: key.to_owned(),
            pattern: String::new(),
            section: String::new(),
            line,
            value: LeafValue::Nothing,
        };
        let message = "is missing".to_owned();
        self.push(leaf, Some(Outcome::Error { message, hint: hint.to_owned() }));
    }

    /// The text of a key.
    pub(super) fn text(&mut self, at: Option<At>) -> Option<(At, String)> {
        let at = at?;
        match self.leaf(at)?.value.clone() {
            LeafValue::Text(text) => Some((at, text)),
            LeafValue::Texts(_) => self.wrong(at, "has to be one value, not a list"),
            LeafValue::Nothing | LeafValue::Sections => self.wrong(at, "has to be a value"),
        }
    }

    /// The texts of a key: a list, or one value.
    pub(super) fn texts(&mut self, at: Option<At>) -> Option<(At, Vec<String>)> {
        let at = at?;
        match self.leaf(at)?.value.clone() {
            LeafValue::Texts(texts) if !texts.is_empty() => Some((at, texts)),
            LeafValue::Text(text) => Some((at, vec![text])),
            LeafValue::Texts(_) | LeafValue::Nothing => self.wrong(at, "has no value in it"),
            LeafValue::Sections => self.wrong(at, "has to be a list of values"),
        }
    }

    fn wrong<T>(&mut self, at: At, message: &str) -> Option<T> {
        self.error(at, message, "");
        None
    }

    /// The value of a key as something else.
    pub(super) fn parsed<T: FromStr<Err = Invalid>>(&mut self, at: Option<At>) -> Option<(At, T)> {
        let (at, text) = self.text(at)?;
        let parsed = text.parse::<T>();
        self.good(at, &text, parsed)
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, at: Option<At>, least: u32, most: u32) -> Option<(At, u32)> {
        let (at, text) = self.text(at)?;
        // ParallelCluster's converter writes `85.0` where it reads `85`.
        let digits = text.strip_suffix(".0").unwrap_or(&text).replace('_', "");
        let good = digits.parse::<u32>().ok().filter(|n| (least..=most).contains(n));
        let number = good.ok_or_else(|| Invalid::because(format!("a number from {least} to {most}")));
        self.good(at, &text, number)
    }

    /// A boolean, in the words of YAML 1.1 and `configparser`.
    pub(super) fn boolean(&mut self, at: Option<At>) -> Option<(At, bool)> {
        let (at, text) = self.text(at)?;
        let boolean = match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Ok(true),
            "false" | "no" | "off" | "n" | "0" => Ok(false),
            _ => Err(Invalid::because("true or false")),
        };
        self.good(at, &text, boolean)
    }

    fn good<T>(&mut self, at: At, text: &str, parsed: Result<T, Invalid>) -> Option<(At, T)> {
        match parsed {
            Ok(value) => Some((at, value)),
            Err(why) => self.wrong(at, &format!("is `{text}`: {why}")),
        }
    }

    /// The report's entries. A key that nobody has read is an error, so that none gets lost.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        let unread = || Outcome::Error {
            message: "was not read".to_owned(),
            hint: "this is a fault of the import: please report it".to_owned(),
        };
        let entry = |(leaf, outcome): (Leaf, Option<Outcome>)| Entry {
            key: leaf.key,
            line: leaf.line,
            outcome: outcome.unwrap_or_else(unread),
        };
        let mut entries: Vec<Entry> = self.leaves.into_iter().zip(self.outcomes).map(entry).collect();
        entries.sort_by_key(|entry| entry.line);
        entries
    }
}
