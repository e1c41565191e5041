//! Keys in listings. A key may have characters that XML cannot carry, so every listing asks for `encoding-type=url`;
//! otherwise one such key, which whoever may write to the bucket can make, would hide all others.

use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

/// A key as a listing with this `encoding-type` means it: not every server knows the parameter.
pub fn listed_key(key: &str, encoding: Option<&EncodingType>) -> String {
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
        assert_eq!(listed_key("a%01+b", Some(&EncodingType::Url)), "a\u{1} b");
        assert_eq!(listed_key("a%01+b", None), "a%01+b");
    }
}
