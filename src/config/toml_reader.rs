//! The model's reader of TOML files, with the failures of the tools.

use awsb_model::toml_reader::{TomlError, TomlFile, nearest_hint};
use toml::Spanned;
use toml::de::DeValue;

use crate::ui::Failure;

impl From<TomlError> for Failure {
    fn from(error: TomlError) -> Self {
        error.hints.iter().fold(Self::usage(error.message), |failure, hint| failure.hint(hint))
    }
}

/// Checks that a string is the URL of an endpoint.
pub(super) fn check_url(
    file: &TomlFile<'_>,
    value: &Spanned<DeValue<'_>>,
    url: &str,
) -> Result<(), TomlError> {
    let good = url.parse::<http::Uri>().is_ok_and(|u| {
        matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|h| !h.is_empty())
    });
    if good {
        return Ok(());
    }
    Err(file.wrong(
        value.span().start,
        format!("`endpoint_url` has to be a URL such as https://batch.example.org, not `{url}`"),
    ))
}

/// The failure with the valid name that is nearest to `name`, or all of them.
pub(super) fn with_nearest(failure: Failure, name: &str, known: &[&str]) -> Failure {
    match nearest_hint(name, known) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
