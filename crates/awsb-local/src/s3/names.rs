//! Keys in answers: which ones XML can carry, and the encoding of the others.

use percent_encoding::utf8_percent_encode;
use s3s::dto::EncodingType;
use s3s::{S3Result, s3_error};

use crate::http::signature::RESERVED_IN_PATH;

/// How a listing writes its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are, as far as XML can carry them.
    Plain,
    /// As in a URL (API: ListObjectsV2, `encoding-type`): "the object `test_file(3).png` will
    /// appear as `test_file%283%29.png`".
    Url,
}

impl Encoding {
    /// The encoding that a request asks for.
    ///
    /// # Errors
    /// When it is an encoding that S3 does not have.
    pub fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    /// A key, or a part of one, as the answer has it.
    pub fn write(self, name: String) -> String {
        match self {
            Self::Plain => name,
            Self::Url => utf8_percent_encode(&name, &RESERVED_IN_PATH).to_string(),
        }
    }
}

/// The key, if XML can carry it. An answer with another key could not be parsed, and an answer
/// without a key still has the rest, such as the ID of an upload.
pub fn in_xml(key: String) -> Option<String> {
    key.chars().all(is_in_xml).then_some(key)
}

/// Whether XML has the character (XML 1.0, 2.2 "Characters"), and a parser hands it on unchanged
/// (2.11, "End-of-Line Handling").
fn is_in_xml(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// A parameter without a value counts as missing: clients write `delimiter=`.
pub fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_form_that_xml_carries() {
        let url = |name: &str| Encoding::Url.write(name.to_owned());
        assert_eq!(url("a/test_file(3).png"), "a/test_file%283%29.png");
        assert_eq!(url("a b+\u{e9}\u{1}\n~"), "a%20b%2B%C3%A9%01%0A~");
        assert_eq!(Encoding::Plain.write("a b".to_owned()), "a b");
        assert_eq!(Encoding::of(None).unwrap(), Encoding::Plain);
        assert_eq!(Encoding::of(Some(&"url".to_owned().into())).unwrap(), Encoding::Url);
        assert!(Encoding::of(Some(&"base64".to_owned().into())).is_err());
    }

    #[test]
    fn keys_that_xml_cannot_carry_are_left_out() {
        let has = |key: &str| in_xml(key.to_owned()).is_some();
        assert!(has("a\tb\nc<&\u{e9}\u{10ffff}") && has(""));
        for key in ["\0", "\u{1}", "a\rb", "\u{1f}", "\u{b}", "\u{fffe}"] {
            assert!(!has(key), "{key:?}");
        }
    }
}
