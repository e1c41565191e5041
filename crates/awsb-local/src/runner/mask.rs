//! Secrets of the cluster do not come to stand in what a runner writes.
//!
//! A secret begins with [`SECRET_PREFIX`], so that it can be recognised: this attempt's, another's,
//! and the owner's, which a job on the host can read. The digits that follow are replaced by as
//! many asterisks, also when line ends are between them.

use std::borrow::Cow;

use super::protocol::{SECRET_DIGITS, SECRET_PREFIX};

/// The state of one stream of bytes.
#[derive(Debug, Default)]
pub struct Mask {
    /// How many bytes of the prefix the stream ends with.
    prefix: usize,
    /// How many digits after a prefix are yet to be masked.
    digits: usize,
}

impl Mask {
    /// The next bytes of the stream, without secrets.
    pub fn apply<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut masked = Cow::Borrowed(bytes);
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.prefix == 0 && self.digits == 0 {
                // Nothing but the first letter can begin a secret.
                match bytes[at..].iter().position(|b| b == &PREFIX[0]) {
                    Some(further) => at += further,
                    None => break,
                }
                self.prefix = 1;
            } else if self.digits > 0 {
                match byte {
                    b'0'..=b'9' | b'a'..=b'f' => {
                        masked.to_mut()[at] = b'*';
                        self.digits -= 1;
                    }
                    b'\r' | b'\n' => {}
                    _ => {
                        self.digits = 0;
                        continue;
                    }
                }
            } else if *byte == PREFIX[self.prefix] {
                self.prefix += 1;
                if self.prefix == PREFIX.len() {
                    (self.prefix, self.digits) = (0, SECRET_DIGITS);
                }
            } else if !matches!(byte, b'\r' | b'\n') {
                // The first letter is in no other place of the prefix: no part of what was seen can
                // begin one.
                self.prefix = 0;
                continue;
            }
            at += 1;
        }
        masked
    }
}

const PREFIX: &[u8] = SECRET_PREFIX.as_bytes();

/// A whole text without secrets.
pub fn masked(text: &str) -> String {
    String::from_utf8_lossy(&Mask::default().apply(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> String {
        format!("{SECRET_PREFIX}{}", "0123456789abcdef".repeat(3).split_at(SECRET_DIGITS).0)
    }

    fn shown() -> String {
        format!("{SECRET_PREFIX}{}", "*".repeat(SECRET_DIGITS))
    }

    fn in_chunks(text: &[u8], size: usize) -> String {
        let mut mask = Mask::default();
        let bytes: Vec<u8> = text.chunks(size).flat_map(|chunk| mask.apply(chunk).into_owned()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn the_prefix_can_be_found_without_looking_back() {
        assert_eq!(PREFIX.iter().filter(|b| **b == PREFIX[0]).count(), 1);
        assert!(PREFIX.iter().all(u8::is_ascii_alphanumeric), "no quoting changes it");
    }

    #[test]
    fn a_secret_is_masked_and_what_is_around_it_is_not() {
        let text = format!("a={} b={}f KeyOf Key{SECRET_PREFIX}x", secret(), secret());
        let expected = format!("a={} b={}f KeyOf Key{SECRET_PREFIX}x", shown(), shown());
        for size in [1, 2, 7, 10_000] {
            assert_eq!(in_chunks(text.as_bytes(), size), expected, "{size}");
        }
        assert_eq!(masked(&text), expected);
        assert!(matches!(Mask::default().apply(b"Keys Of Awsb"), Cow::Borrowed(_)));
    }

    #[test]
    fn line_ends_within_a_secret_hide_nothing() {
        for end in ["\n", "\r\n"] {
            for width in [1, 5, 13, 14, 15, 20] {
                let wrap = |text: &str| {
                    let lines =
                        text.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line).into_owned());
                    lines.collect::<Vec<_>>().join(end)
                };
                assert_eq!(masked(&wrap(&secret())), wrap(&shown()), "{width}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_secret_comes_through(before in "[KeyOfAwsbLocal0-9a-f \n]{0,60}", after in ".{0,20}", size in 1usize..40) {
            let text = format!("{before}{}{after}", secret());
            let seen = in_chunks(text.as_bytes(), size);
            prop_assert_eq!(seen.len(), String::from_utf8_lossy(text.as_bytes()).len());
            let flat = |text: &str| text.replace(['\n', '\r'], "");
            prop_assert!(!flat(&seen).contains(&secret()), "{}", seen);
            // At most the digits that follow another prefix are lost besides.
            prop_assert!(seen.bytes().zip(text.bytes()).all(|(s, t)| s == t || (s == b'*' && t.is_ascii_hexdigit())));
        }
    }
}
