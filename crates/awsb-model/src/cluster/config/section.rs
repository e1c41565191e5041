//! Reads a section of a cluster's configuration key by key, and refuses the keys that nobody asked
//! for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names::PartName;
use crate::limits::STACK_RESOURCES;
use crate::toml_reader::{TomlError, TomlFile};
use crate::{Invalid, Period, Tag};

/// The keys that were asked for, with `NAME` for the names of parts.
pub(super) type AskedKeys = RefCell<BTreeSet<String>>;

/// A section of the file, which may be missing.
pub(super) struct Section<'r, 'i> {
    file: &'r TomlFile<'i>,
    table: Option<&'r DeTable<'i>>,
    /// Where the section stands.
    at: usize,
    /// `environment.spot`; empty for the whole file.
    path: String,
    /// `environment.NAME`.
    pattern: String,
    known: Vec<&'static str>,
    asked: &'r AskedKeys,
}

/// A key and its value.
type Entry<'r, 'i> = &'r Spanned<DeValue<'i>>;

impl<'r, 'i> Section<'r, 'i> {
    /// The whole file.
    pub(super) fn root(file: &'r TomlFile<'i>, table: &'r DeTable<'i>, asked: &'r AskedKeys) -> Self {
        let (path, pattern) = (String::new(), String::new());
        Self { file, table: Some(table), at: 0, path, pattern, known: Vec::new(), asked }
    }

    /// Whether the section is in the file.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Takes the value of a key.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Entry<'r, 'i>> {
        self.known.push(key);
        self.asked.borrow_mut().insert(joined(&self.pattern, key));
        self.table.and_then(|table| table.get(key))
    }

    /// Whether a key is there, without taking it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The error that a key has a value that it cannot have.
    pub(super) fn wrong(&self, key: &str, message: impl std::fmt::Display) -> TomlError {
        let at = self.table.and_then(|table| table.get(key)).map_or(self.at, |value| value.span().start);
        let of = if self.path.is_empty() { String::new() } else { format!(" of [{}]", self.path) };
        self.file.wrong(at, format!("`{key}`{of} {message}"))
    }

    /// The error that the value at this path is wrong.
    pub(super) fn wrong_at(&self, path: &[&str], message: impl std::fmt::Display) -> TomlError {
        let mut at = self.at;
        let mut table = self.table;
        for key in path {
            let Some(value) = table.and_then(|table| table.get(*key)) else { break };
            at = value.span().start;
            table = value.get_ref().as_table();
        }
        self.file.wrong(at, message)
    }

    /// The error that a key is missing.
    pub(super) fn missing(&self, key: &str) -> TomlError {
        self.file.wrong(self.at, format!("`{key}` is missing in [{}]", self.path))
    }

    pub(super) fn parsed<T: FromStr<Err = Invalid>>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<T>, TomlError> {
        self.value(key).map(|value| self.file.parsed(key, value)).transpose()
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, TomlError> {
        self.value(key).map(|value| self.file.string(key, value)).transpose()
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> Result<bool, TomlError> {
        self.value(key).map_or(Ok(default), |value| self.file.boolean(key, value))
    }

    pub(super) fn list<T: FromStr<Err = Invalid>>(&mut self, key: &'static str) -> Result<Vec<T>, TomlError> {
        self.value(key).map_or(Ok(Vec::new()), |value| self.file.list(key, value))
    }

    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, TomlError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            other => return Err(self.wrong(key, format!("has to be a number, not {}", other.type_str()))),
        };
        number.and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n)).map(Some).ok_or_else(|| {
            self.wrong(key, format!("has to be a number from {} to {}", range.start(), range.end()))
        })
    }

    /// A number as its digits, or a string.
    pub(super) fn number_or_text(&mut self, key: &'static str) -> Result<Option<String>, TomlError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Integer(number) => Ok(Some(number.to_string())),
            DeValue::Float(number) => Ok(Some(number.to_string())),
            DeValue::String(text) => Ok(Some(text.to_string())),
            other => {
                Err(self.wrong(key, format!("has to be a number or a string, not {}", other.type_str())))
            }
        }
    }

    /// A value that is a boolean or a text.
    pub(super) fn boolean_or<T: FromStr<Err = Invalid>>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<BooleanOr<T>>, TomlError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(given) => Ok(Some(BooleanOr::Boolean(*given))),
            _ => Ok(Some(BooleanOr::Text(self.file.parsed(key, value)?))),
        }
    }

    /// A duration in this range of seconds.
    pub(super) fn period(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<Period>, TomlError> {
        let Some(period) = self.parsed::<Period>(key)? else { return Ok(None) };
        self.in_range(key, period, range).map(Some)
    }

    /// A duration in this range of seconds, or `never`.
    pub(super) fn limit(
        &mut self,
        key: &'static str,
        default: Option<Period>,
        range: RangeInclusive<u32>,
    ) -> Result<Option<Period>, TomlError> {
        match self.parsed::<Limit>(key)? {
            None => Ok(default),
            Some(Limit(None)) => Ok(None),
            Some(Limit(Some(period))) => self.in_range(key, period, range).map(Some),
        }
    }

    /// Whole days, 1 to 36,500, or `never`.
    pub(super) fn days(
        &mut self,
        key: &'static str,
        default: Option<Period>,
    ) -> Result<Option<Period>, TomlError> {
        let days = self.limit(key, default, DAY..=36_500 * DAY)?;
        if days.is_some_and(|days| !days.get().as_secs().is_multiple_of(u64::from(DAY))) {
            return Err(self.wrong(key, "has to be whole days, such as 30d"));
        }
        Ok(days)
    }

    fn in_range(&self, key: &str, period: Period, range: RangeInclusive<u32>) -> Result<Period, TomlError> {
        let good = u32::try_from(period.get().as_secs()).is_ok_and(|seconds| range.contains(&seconds));
        if good {
            return Ok(period);
        }
        let (least, most) = (Period::of_seconds(*range.start()), Period::of_seconds(*range.end()));
        Err(self.wrong(key, format!("has to be a time from {least} to {most}")))
    }

    /// A section in this one.
    pub(super) fn section(&mut self, key: &'static str) -> Result<Self, TomlError> {
        let value = self.value(key);
        self.asked.borrow_mut().remove(&joined(&self.pattern, key));
        let path = joined(&self.path, key);
        let table = match value {
            Some(value) => Some(self.file.table(key, &format!("[{path}]"), value)?),
            None => None,
        };
        Ok(Self {
            file: self.file,
            table,
            at: value.map_or(self.at, |value| value.span().start),
            path,
            pattern: joined(&self.pattern, key),
            known: Vec::new(),
            asked: self.asked,
        })
    }

    /// The sections in this section, by their names, in the file's order.
    pub(super) fn named_sections(self) -> Result<Vec<(PartName, Self)>, TomlError> {
        let mut found = Vec::new();
        let count = self.table.map_or(0, |table| table.len());
        // Each part is a resource at least.
        if count > STACK_RESOURCES {
            let message = format!(
                "[{}] has {count} sections, and a CloudFormation stack has at most {STACK_RESOURCES} resources",
                self.path
            );
            return Err(self.file.wrong(self.at, message));
        }
        for (name, value) in self.table.into_iter().flatten() {
            let at = name.span().start;
            let text = name.get_ref();
            let example = format!("[{}.NAME]", self.path);
            let table = self.file.table(text, &example, value)?;
            let part = text.parse::<PartName>().map_err(|why| {
                self.file.wrong(at, format!("[{}.{text}]: `{text}` is not a name: {why}", self.path))
            })?;
            let section = Self {
                file: self.file,
                table: Some(table),
                at,
                path: joined(&self.path, text),
                pattern: joined(&self.pattern, "NAME"),
                known: Vec::new(),
                asked: self.asked,
            };
            let same = |(other, _): &(PartName, Self)| other.logical_id("") == part.logical_id("");
            if let Some((other, _)) = found.iter().find(|entry| same(entry)) {
                let message = format!("the names `{other}` and `{part}` in [{}] are too alike", self.path);
                return Err(self.file.wrong(at, message));
            }
            found.push((part, section));
        }
        // As they stand in the file, not as the parser sorts them.
        found.sort_by_key(|(_, section)| section.at);
        Ok(found)
    }

    /// The keys and values of a section whose keys are free, in the order of the keys.
    pub(super) fn free_entries(&self) -> impl Iterator<Item = (String, Entry<'r, 'i>)> + use<'r, 'i> {
        self.asked.borrow_mut().insert(joined(&self.pattern, "KEY"));
        self.table.into_iter().flatten().map(|(key, value)| (key.get_ref().to_string(), value))
    }

    /// Tags: a section whose keys are free.
    pub(super) fn tags(&mut self, key: &'static str) -> Result<Vec<Tag>, TomlError> {
        let section = self.section(key)?;
        let mut tags = Vec::new();
        for (name, value) in section.free_entries() {
            let at = value.span().start;
            let DeValue::String(text) = value.get_ref() else {
                let message =
                    format!("the tag `{name}` has to be a string, not {}", value.get_ref().type_str());
                return Err(self.file.wrong(at, message));
            };
            let tag = format!("{name}={text}").parse::<Tag>();
            let tag = tag.and_then(|tag| allowed(tag, &name)).map_err(|why| {
                self.file.wrong(at, format!("the tag `{name}` in [{}]: {why}", section.path))
            })?;
            tags.push(tag);
        }
        match tags.len() > MOST_TAGS {
            true => {
                Err(self.file.wrong(section.at, format!("[{}] has more than {MOST_TAGS} tags", section.path)))
            }
            false => Ok(tags),
        }
    }

    /// A number, which may have a fraction.
    pub(super) fn number_of(&self, key: &str, value: Entry<'r, 'i>) -> Result<f64, TomlError> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.to_string().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| {
            self.file.wrong(
                value.span().start,
                format!("`{key}` in [{}] has to be a number, not {}", self.path, value.get_ref().type_str()),
            )
        })
    }

    /// Ends the section: a key that nobody has asked for is an error.
    pub(super) fn finish(self) -> Result<(), TomlError> {
        let unknown =
            self.table.into_iter().flatten().find(|(key, _)| !self.known.contains(&key.get_ref().as_ref()));
        match unknown {
            None => Ok(()),
            Some((key, _)) => {
                let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
                Err(self.file.unknown_key(key.span().start, key.get_ref(), &place, &self.known))
            }
        }
    }
}

/// Tags of a cluster. AWS takes 50 for a resource; awsb and CloudFormation add their own.
const MOST_TAGS: usize = 40;
/// Seconds of a day.
const DAY: u32 = 86_400;

/// Checks that a tag is not one of awsb's or AWS's own. A `=` in the key would end it elsewhere.
fn allowed(tag: Tag, key: &str) -> Result<Tag, Invalid> {
    if key.contains('=') {
        return Err(Invalid::because("a key has no `=`"));
    }
    match tag.key.starts_with("awsb:") {
        true => Err(Invalid::because("keys that begin with awsb: are awsb's own")),
        false => Ok(tag),
    }
}

/// A value that is a boolean or something else.
pub(super) enum BooleanOr<T> {
    Boolean(bool),
    Text(T),
}

/// A duration, or `never`.
struct Limit(Option<Period>);

impl FromStr for Limit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "never" => Ok(Self(None)),
            text => text
                .parse()
                .map(Some)
                .map(Self)
                .map_err(|_| Invalid::because("give a time such as 90m, 12h or 30d, or never")),
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
