//! The name of an AWS region.

use awsb_model::Invalid;

/// Parses the name of a region, which becomes a part of host names.
///
/// # Errors
/// When it has not the form of one.
pub fn parse_region(text: &str) -> Result<String, Invalid> {
    // A part of a host name has at most 63 bytes (RFC 1035, section 2.3.4).
    let is_region = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match is_region {
        true => Ok(text.to_owned()),
        false => Err(Invalid::because("a region has a name such as eu-west-1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_part_of_a_host_name() {
        assert_eq!(parse_region("us-gov-west-1").as_deref(), Ok("us-gov-west-1"));
        for text in ["", "a/b@evil", "eu west", "EU-WEST-1", "eu.example.org", &"a".repeat(64)] {
            assert!(parse_region(text).is_err(), "{text}");
        }
    }
}
