//! The parameters of a request in the query protocol.

use std::collections::BTreeMap;

use http::StatusCode;

use crate::http::protocol::{ApiError, is_xml};

/// A ValidationError.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "ValidationError", message)
}

/// A value that does not satisfy a constraint of the API.
pub fn constraint(member: &str, value: &str, rule: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {rule}"
    ))
}

/// The parameters by name.
#[derive(Debug, Clone)]
pub struct Request(BTreeMap<String, String>);

impl Request {
    /// The parameters of a form and of a URL.
    pub fn new(parameters: &[(String, String)]) -> Self {
        Self(parameters.iter().cloned().collect())
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The name of a parameter whose value, or name, an answer in XML cannot hold.
    pub fn unprintable(&self) -> Option<String> {
        let is_printable = |text: &str| text.chars().all(is_xml);
        let bad = self.0.iter().find(|(name, value)| !is_printable(name) || !is_printable(value));
        bad.map(|(name, _)| name.escape_debug().to_string())
    }

    /// A text, for keeping.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// `ValidationError`, when it is not.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| {
            let mut letters = name.chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            let member: String = first.into_iter().chain(letters).collect();
            constraint(&member, "null", "Member must not be null")
        })
    }

    /// A boolean.
    ///
    /// # Errors
    /// `ValidationError`, when it is something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(constraint(name, &format!("'{other}'"), "Member must be a boolean")),
        }
    }

    /// A list of texts: `NAME.member.1`, `NAME.member.2`, …
    pub fn list(&self, name: &str) -> Vec<String> {
        let item = |number: usize| self.0.get(&format!("{name}.member.{number}")).cloned();
        (1..).map_while(item).collect()
    }

    /// The number of structures in a list.
    fn length(&self, name: &str) -> usize {
        let prefix = format!("{name}.member.");
        let number = |key: &str| key.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok();
        self.0.keys().filter_map(|key| number(key)).max().unwrap_or(0)
    }

    /// A field of each structure of a list.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Fields<'a>> {
        (1..=self.length(name).min(1000))
            .map(move |number| Fields { request: self, prefix: format!("{name}.member.{number}") })
    }
}

/// The fields of a structure in a list.
#[derive(Debug)]
pub struct Fields<'a> {
    request: &'a Request,
    prefix: String,
}

impl Fields<'_> {
    /// A field. It may be empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.request.0.get(&format!("{}.{name}", self.prefix)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_flattened() {
        let pairs = [
            ("StackName", "lab"),
            ("Capabilities.member.1", "A"),
            ("Capabilities.member.2", "B"),
            ("Tags.member.1.Key", "k"),
            ("Tags.member.1.Value", ""),
            ("Tags.member.2.Key", "l"),
            ("DisableRollback", "True"),
        ];
        let request = Request::new(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(request.list("Capabilities"), ["A", "B"]);
        let tags: Vec<_> = request
            .fields("Tags")
            .map(|tag| (tag.get("Key").map(str::to_owned), tag.get("Value").map(str::to_owned)))
            .collect();
        assert_eq!(tags, [(Some("k".to_owned()), Some(String::new())), (Some("l".to_owned()), None)]);
        assert_eq!(request.flag("DisableRollback"), Ok(Some(true)));
        assert_eq!(request.flag("Other"), Ok(None));
        assert!(request.required("TemplateBody").unwrap_err().message.contains("'templateBody'"));
    }
}
