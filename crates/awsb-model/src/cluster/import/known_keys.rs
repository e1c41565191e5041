//! The keys that ParallelCluster knows, and what becomes of those that need no reading.

use super::leaves::{Leaf, LeafValue};
use super::report::Outcome;
use crate::toml_reader::nearest_hint;

/// The keys of one version of ParallelCluster, and the rules for them.
pub(super) struct KnownKeys {
    list: &'static str,
    rules: &'static [(&'static str, Rule)],
}

/// The fate of a key, or of all keys under a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The key is read, and who reads it says what becomes of it.
    Read,
    /// The configuration does not have it: why, and what stands in for it.
    Drop(&'static str),
    /// The configuration cannot have it: what is wrong, and what to do.
    Refuse(&'static str, &'static str),
}

impl KnownKeys {
    /// The keys of a list that `keys/list_keys.py` has made, and the rules for them.
    pub(super) const fn new(list: &'static str, rules: &'static [(&'static str, Rule)]) -> Self {
        Self { list, rules }
    }

    /// All keys, in ParallelCluster's order.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.list.lines().filter(|line| !line.starts_with('#'))
    }

    /// All rules.
    #[cfg(test)]
    pub(super) fn rules(&self) -> impl Iterator<Item = (&'static str, Rule)> {
        self.rules.iter().copied()
    }

    /// Whether this is a key.
    pub(super) fn has(&self, pattern: &str) -> bool {
        self.all().any(|key| key == pattern)
    }

    /// Whether keys stand under this.
    pub(super) fn has_under(&self, pattern: &str) -> bool {
        self.all().any(|key| is_under(key, pattern))
    }

    /// The names of the keys that stand directly under this; of all for the empty one.
    fn names_under(&self, pattern: &str) -> Vec<&'static str> {
        let rest = |key: &'static str| match pattern {
            "" => Some(key),
            _ => key
                .strip_prefix(pattern)
                .map(|rest| rest.trim_start_matches("[]"))
                .and_then(|rest| rest.strip_prefix('.')),
        };
        let mut names: Vec<&str> =
            self.all().filter_map(rest).filter_map(|rest| rest.split(['.', '[']).next()).collect();
        names.dedup();
        names
    }

    /// The rule for a key: that of the nearest section above it.
    pub(super) fn rule(&self, pattern: &str) -> Option<Rule> {
        let covers = |of: &str| pattern == of || is_under(pattern, of);
        let best = self.rules.iter().filter(|(of, _)| covers(of)).max_by_key(|(of, _)| of.len());
        best.map(|(_, rule)| *rule)
    }

    /// The fate of a key that needs no reading.
    pub(super) fn outcome(&self, leaf: &Leaf) -> Option<Outcome> {
        match self.rule(&leaf.pattern) {
            Some(Rule::Read) if leaf.value == LeafValue::Nothing => {
                Some(Outcome::Dropped { reason: "It has no value.".to_owned() })
            }
            Some(Rule::Read) | None => None,
            Some(Rule::Drop(reason)) => Some(Outcome::Dropped { reason: reason.to_owned() }),
            Some(Rule::Refuse(message, hint)) => {
                Some(Outcome::Error { message: message.to_owned(), hint: hint.to_owned() })
            }
        }
    }

    /// The error that a key does not exist under a section, with the nearest one that does.
    pub(super) fn unknown(&self, name: &str, section: &str) -> Outcome {
        let known = self.names_under(section);
        let hint = nearest_hint(name, &known).unwrap_or_default();
        Outcome::Error { message: "is not a key of ParallelCluster".to_owned(), hint }
    }
}

/// Whether a key stands somewhere under a section.
fn is_under(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.') || rest.starts_with("[]."))
}
