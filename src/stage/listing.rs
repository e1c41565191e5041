//! The keys in listings of a bucket. A key can have characters that XML cannot carry, so every
//! listing asks for `encoding-type=url`. Otherwise one such key would hide all others, and
//! everybody who can write to the bucket can make one.

use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

/// Decodes a key of a listing with this `encoding-type`. Not every server knows the parameter.
pub fn decode_key(key: &str, encoding: Option<&EncodingType>) -> String {
    if encoding == Some(&EncodingType::Url) { decode(key) } else { key.to_owned() }
}

/// Undoes `encoding-type=url` (API: ListObjectsV2): `%XX`, and `+` for a blank.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_keys_are_read() {
        assert_eq!(decode("a%20b+c%2B%C3%A9%0A/x"), "a b c+\u{e9}\n/x");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode_key("a%01+b", Some(&EncodingType::Url)), "a\u{1} b");
        assert_eq!(decode_key("a%01+b", None), "a%01+b");
    }
}
