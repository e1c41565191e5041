//! Reads the values of a TOML file. An error names the line that it is in.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Invalid;

/// An invalid value in a TOML file, or a key that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TomlError {
    /// The file, the line, and what is wrong.
    pub message: String,
    /// What to write instead.
    pub hints: Vec<String>,
}

impl TomlError {
    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the valid name that is nearest to `name`, or all of them.
    #[must_use]
    pub fn with_nearest(self, name: &str, known: &[&str]) -> Self {
        match nearest_hint(name, known) {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

/// A hint with the valid name that is nearest to `name`, or with all of them. `None`: there are no
/// valid names.
pub fn nearest_hint(name: &str, known: &[&str]) -> Option<String> {
    match nearest(name, known) {
        Some(nearest) => Some(format!("did you mean `{nearest}`?")),
        None if known.is_empty() => None,
        None => Some(format!("there are: {}", known.join(", "))),
    }
}

/// The valid name that is nearest to `name`, if one is near.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likely = known.iter().map(|k| (strsim::jaro_winkler(k, name), *k));
    let (likeness, nearest) = likely.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > 0.75).then_some(nearest)
}

/// The file under the parser, for messages.
pub struct TomlFile<'a> {
    name: String,
    text: &'a str,
}

impl<'a> TomlFile<'a> {
    /// A file with this text. Messages name it as `name`, such as `settings file PATH`.
    pub fn new(name: impl Into<String>, text: &'a str) -> Self {
        Self { name: name.into(), text }
    }

    /// Parses the text as TOML.
    ///
    /// # Errors
    /// When its syntax is wrong.
    pub fn parse(&self) -> Result<Spanned<DeTable<'a>>, TomlError> {
        DeTable::parse(self.text).map_err(|e| self.wrong(e.span().map_or(0, |s| s.start), e.message()))
    }

    /// Where something stands: file and line.
    pub fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{}, line {line}", self.name)
    }

    /// The error that something at this place is wrong.
    pub fn wrong(&self, at: usize, message: impl std::fmt::Display) -> TomlError {
        TomlError { message: format!("{}: {message}", self.place(at)), hints: Vec::new() }
    }

    /// The error that a key does not exist, with the nearest one that does.
    pub fn unknown_key(&self, at: usize, key: &str, place: &str, known: &[&str]) -> TomlError {
        self.wrong(at, format!("unknown key `{key}`{place}")).with_nearest(key, known)
    }

    /// A string that is not empty.
    ///
    /// # Errors
    /// When it is something else.
    pub fn string(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, TomlError> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Ok(text.to_string()),
            DeValue::String(_) => Err(self.wrong(value.span().start, format!("`{key}` is empty"))),
            other => {
                let kind = other.type_str();
                Err(self.wrong(value.span().start, format!("`{key}` has to be a string, not {kind}")))
            }
        }
    }

    /// A value that is parsed from a string.
    ///
    /// # Errors
    /// When the value is not a string, or the string cannot be parsed.
    pub fn parsed<T: FromStr<Err = Invalid>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<T, TomlError> {
        let text = self.string(key, value)?;
        let wrong = |why| self.wrong(value.span().start, format!("`{key}` is `{text}`: {why}"));
        text.parse().map_err(wrong)
    }

    /// A boolean.
    ///
    /// # Errors
    /// When it is something else.
    pub fn boolean(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, TomlError> {
        match value.get_ref() {
            DeValue::Boolean(given) => Ok(*given),
            other => {
                let kind = other.type_str();
                Err(self.wrong(value.span().start, format!("`{key}` has to be true or false, not {kind}")))
            }
        }
    }

    /// A table. `such_as` is an example of its head, such as `[defaults]`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn table<'t, 'i>(
        &self,
        key: &str,
        such_as: &str,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Result<&'t DeTable<'i>, TomlError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => {
                Err(self.wrong(value.span().start, format!("`{key}` has to be a section, such as {such_as}")))
            }
        }
    }

    /// A list of values, each of which is parsed from a string.
    ///
    /// # Errors
    /// When the value is not a list of strings, or one of the strings cannot be parsed.
    pub fn list<T: FromStr<Err = Invalid>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<T>, TomlError> {
        let DeValue::Array(lines) = value.get_ref() else {
            let kind = value.get_ref().type_str();
            let message = format!("`{key}` has to be a list of strings, not {kind}");
            return Err(self.wrong(value.span().start, message));
        };
        let parse = |line: &Spanned<DeValue<'_>>| {
            let wrong = |e: Invalid| self.wrong(line.span().start, format!("`{key}`: {e}"));
            self.string(key, line)?.parse().map_err(wrong)
        };
        lines.iter().map(parse).collect()
    }
}
