//! `[defaults]` and `[cluster.NAME.defaults]`: options that every `bsub` gets.

use std::ffi::OsString;

use toml::Spanned;
use toml::de::DeValue;

use awsb_model::toml_reader::TomlFile;

use crate::ui::Failure;

/// Lines of a `defaults` section, in the order in which they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults(pub Vec<DefaultLine>);

/// One line of a `defaults` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultLine {
    /// It as words of a command line: `--memory=4G`, or several for an option that may be repeated.
    pub words: Vec<OsString>,
    /// Where it stands, for messages: `settings file PATH, line 7`.
    pub place: String,
}

impl DefaultLine {
    /// The line for an option (its long name, without dashes); without values it is a flag.
    pub(super) fn new(option: &str, values: &[String], place: String) -> Self {
        let words = match values {
            [] => vec![format!("--{option}").into()],
            values => values.iter().map(|value| format!("--{option}={value}").into()).collect(),
        };
        Self { words, place }
    }
}

/// Settings that choose a cluster. They cannot be defaults of jobs.
const NO_DEFAULTS: [&str; 3] = ["cluster", "profile", "region"];

impl Defaults {
    /// These lines, and `later` ones, which beat them.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.0.extend(later.0);
        self
    }

    /// Parses the section `place`.
    pub(super) fn parse(
        file: &TomlFile<'_>,
        place: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Self, Failure> {
        let mut lines = Vec::new();
        for (key, value) in file.table("defaults", "[defaults]", value)? {
            let at = key.span().start;
            let option = key.get_ref().replace('_', "-");
            let is_name = option.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if option.is_empty() || option.starts_with('-') || !is_name {
                let message = format!("`{}` in [{place}] is not a long option of bsub", key.get_ref());
                return Err(file.wrong(at, message).into());
            }
            if NO_DEFAULTS.contains(&option.as_str()) {
                return Err(file
                    .wrong(at, format!("`{option}` chooses the cluster and cannot stand in [{place}]"))
                    .hint("use `default_cluster` and the keys of [cluster.NAME]")
                    .into());
            }
            let values = match value.get_ref() {
                DeValue::Boolean(false) => continue,
                DeValue::Boolean(true) => Vec::new(),
                DeValue::Array(values) if values.is_empty() => continue,
                DeValue::Array(values) => {
                    values.iter().map(|v| scalar(file, &option, v)).collect::<Result<_, _>>()?
                }
                _ => vec![scalar(file, &option, value)?],
            };
            lines.push((at, DefaultLine::new(&option, &values, file.place(at))));
        }
        // As they stand in the file, not as the parser sorts them.
        lines.sort_by_key(|(at, _)| *at);
        Ok(Self(lines.into_iter().map(|(_, line)| line).collect()))
    }
}

fn scalar(file: &TomlFile<'_>, option: &str, value: &Spanned<DeValue<'_>>) -> Result<String, Failure> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        // The digits as they stand: the option's own parser reads them.
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        other => Err(file
            .wrong(
                value.span().start,
                format!(
                    "`{option}` has to be a string, a number, a boolean or a list of them, not {}",
                    other.type_str()
                ),
            )
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn every_kind_of_value_becomes_words_in_the_files_order() -> Result<(), Failure> {
        let text = "[defaults]\nvcpus = 2\nmemory = \"4G\"\nenv = [\"A=1\", \"B\"]\n\n[cluster.local.defaults]\n\
                    propagate_tags = true\nwait = false\nx = 0.5\n";
        let settings = Settings::parse(Path::new("c.toml"), text, &[])?;
        let all = settings.defaults.then(settings.local_defaults);
        let words: Vec<&OsString> = all.0.iter().flat_map(|line| &line.words).collect();
        assert_eq!(
            words,
            ["--vcpus=2", "--memory=4G", "--env=A=1", "--env=B", "--propagate-tags", "--x=0.5"]
        );
        let places: Vec<&str> = all.0.iter().map(|line| line.place.as_str()).collect();
        assert_eq!((places[1], places[3]), ("settings file c.toml, line 3", "settings file c.toml, line 7"));
        Ok(())
    }
}
