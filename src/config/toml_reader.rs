//! Reads values of a TOML file, and says in which line something is wrong.

use std::path::Path;
use std::str::FromStr;

use awsb_model::Invalid;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ui::Failure;

/// The file under the parser, for messages.
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> File<'a> {
    /// A file with this text.
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// Where something stands: file and line.
    pub(super) fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("settings file {}, line {line}", self.path.display())
    }

    pub(super) fn wrong(&self, at: usize, message: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}: {message}", self.place(at)))
    }

    pub(super) fn unknown_key(&self, at: usize, key: &str, place: &str, known: &[&str]) -> Failure {
        with_nearest(self.wrong(at, format!("unknown key `{key}`{place}")), key, known)
    }

    pub(super) fn string(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, Failure> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Ok(text.to_string()),
            DeValue::String(_) => Err(self.wrong(value.span().start, format!("`{key}` is empty"))),
            other => {
                let kind = other.type_str();
                Err(self.wrong(value.span().start, format!("`{key}` has to be a string, not {kind}")))
            }
        }
    }

    /// A string that is something else underneath.
    pub(super) fn parsed<T: FromStr<Err = Invalid>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<T, Failure> {
        let text = self.string(key, value)?;
        let wrong = |why| self.wrong(value.span().start, format!("`{key}` is `{text}`: {why}"));
        text.parse().map_err(wrong)
    }

    pub(super) fn boolean(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, Failure> {
        match value.get_ref() {
            DeValue::Boolean(given) => Ok(*given),
            other => {
                let kind = other.type_str();
                Err(self.wrong(value.span().start, format!("`{key}` has to be true or false, not {kind}")))
            }
        }
    }

    pub(super) fn table<'t, 'i>(
        &self,
        key: &str,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Result<&'t DeTable<'i>, Failure> {
        let such_as = if key == "defaults" { "[defaults]" } else { "[cluster.NAME]" };
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => {
                Err(self.wrong(value.span().start, format!("`{key}` has to be a section, such as {such_as}")))
            }
        }
    }

    /// A list of strings that are something else underneath.
    pub(super) fn list<T: FromStr<Err = Invalid>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<T>, Failure> {
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

    pub(super) fn check_url(&self, value: &Spanned<DeValue<'_>>, url: &str) -> Result<(), Failure> {
        let good = url.parse::<http::Uri>().is_ok_and(|u| {
            matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|h| !h.is_empty())
        });
        if good {
            return Ok(());
        }
        Err(self.wrong(
            value.span().start,
            format!("`endpoint_url` has to be a URL such as https://batch.example.org, not `{url}`"),
        ))
    }
}

/// The failure with the valid name that is nearest to `name`, or all of them.
pub(super) fn with_nearest(failure: Failure, name: &str, known: &[&str]) -> Failure {
    let nearest = known
        .iter()
        .map(|k| (strsim::jaro_winkler(k, name), *k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75);
    match nearest {
        Some((_, nearest)) => failure.hint(format!("did you mean `{nearest}`?")),
        None if known.is_empty() => failure,
        None => failure.hint(format!("there are: {}", known.join(", "))),
    }
}
