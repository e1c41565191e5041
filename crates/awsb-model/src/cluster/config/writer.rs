//! Writes a cluster's configuration as TOML, without the values that are the defaults.

use std::fmt::{Display, Write};

use crate::{Period, Tag};

/// The text so far.
#[derive(Default)]
pub(super) struct Writer {
    text: String,
    /// The head of a section that has no lines yet.
    pending: Option<String>,
}

impl Writer {
    /// Begins a section. Its head is written with its first line.
    pub(super) fn section(&mut self, path: &str) {
        self.pending = Some(path.to_owned());
    }

    /// Begins a section whose head is written even if it has no lines.
    pub(super) fn named_section(&mut self, path: &str) {
        self.section(path);
        self.head();
    }

    fn head(&mut self) {
        if let Some(path) = self.pending.take() {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            // Writing to a String does not fail.
            let _ = writeln!(self.text, "{gap}[{path}]");
        }
    }

    fn line(&mut self, key: &str, value: impl Display) {
        self.head();
        let _ = writeln!(self.text, "{} = {value}", bare_or_quoted(key));
    }

    /// A string, if there is one.
    pub(super) fn text(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.line(key, quoted(&value.to_string()));
        }
    }

    /// A string that differs from the default.
    pub(super) fn text_unless<T: Display + PartialEq>(&mut self, key: &str, value: &T, default: &T) {
        self.text(key, Some(value).filter(|value| *value != default));
    }

    /// A number or boolean, if there is one.
    pub(super) fn plain(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }

    /// A number or boolean that differs from the default.
    pub(super) fn plain_unless<T: Display + PartialEq>(&mut self, key: &str, value: T, default: T) {
        self.plain(key, Some(value).filter(|value| *value != default));
    }

    /// A list of strings, if it has any.
    pub(super) fn list<T: Display>(&mut self, key: &str, values: &[T]) {
        if !values.is_empty() {
            let words: Vec<String> = values.iter().map(|value| quoted(&value.to_string())).collect();
            self.line(key, format!("[{}]", words.join(", ")));
        }
    }

    /// A duration or `never`, if it differs from the default.
    pub(super) fn limit(&mut self, key: &str, value: Option<Period>, default: Option<Period>) {
        if value != default {
            let text = value.map_or("never".to_owned(), |period| period.to_string());
            self.line(key, quoted(&text));
        }
    }

    /// A section of tags.
    pub(super) fn tags(&mut self, path: &str, tags: &[Tag]) {
        self.section(path);
        for tag in tags {
            self.line(&tag.key, quoted(&tag.value));
        }
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A TOML string. Text of several lines stays readable.
fn quoted(text: &str) -> String {
    if text.contains('\n') { toml::Value::String(text.to_owned()).to_string() } else { basic(text) }
}

/// A TOML string of one line.
fn basic(text: &str) -> String {
    let mut string = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c if c.is_control() => string.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => string.push(c),
        }
    }
    string.push('"');
    string
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { key.to_owned() } else { basic(key) }
}
