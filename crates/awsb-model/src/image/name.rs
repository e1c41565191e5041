//! The names of images, and the arguments of a build. Pure.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// The number of digits of a hash that make a tag.
const DIGITS: usize = 20;

/// Splits an image's name at its tag. The tag follows the last `:`, unless that begins a port.
pub fn parted(image: &str) -> (&str, Option<&str>) {
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    let colon = image.get(last..).and_then(|name| name.find(':')).map(|colon| last + colon);
    match colon.and_then(|colon| image.split_at_checked(colon)) {
        Some((name, tag)) => (name, tag.get(1..)),
        None => (image, None),
    }
}

/// A tag (OCI Distribution Specification, `<reference>`): up to 128 letters, digits, `_`, `.`, `-`;
/// the first is neither `.` nor `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The tag for content with this hash, in hexadecimal digits. No two contents of a repository
    /// ever share it.
    ///
    /// # Errors
    /// When the text is not a hash.
    pub fn of_hash(hash: &str) -> Result<Self, Invalid> {
        hash.get(..DIGITS).unwrap_or(hash).parse()
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if begins && text.len() <= 128 && text.bytes().all(good) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::because(
            "a tag has at most 128 letters, digits, `_`, `.` and `-`, and begins with a letter, a digit or \
             `_`",
        ))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a repository, such as `genomics` or `lab/genomics` (ECR API, `RepositoryName`). It
/// has 2 to 256 characters: words of lower-case letters and digits, which `.`, `_`, `-` may join,
/// with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        // Two words of a part are joined by one `.`, one `_` or any number of `-`, as in ECR.
        let part = |part: &str| {
            let mut words = part.split(['.', '_']).flat_map(|w| w.split('-').collect::<Vec<_>>());
            let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            ends(part.chars().next())
                && ends(part.chars().last())
                && !part.contains("..")
                && words.all(|w| w.is_empty() || word(w))
        };
        if (2..=256).contains(&text.len()) && text.split('/').all(part) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::because(
            "a repository has a name such as genomics or lab/genomics: 2 to 256 small letters and digits, \
             with `.`, `_`, `-` and `/` between them",
        ))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The platform of an image, with Docker's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// `linux/amd64`: `x86_64`.
    Amd64,
    /// `linux/arm64`: `aarch64`, such as Graviton.
    Arm64,
}

impl Platform {
    /// The name of the platform in Docker.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "linux/amd64",
            Self::Arm64 => "linux/arm64",
        }
    }
}

impl FromStr for Platform {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix("linux/").unwrap_or(text) {
            "amd64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "arm64/v8" | "aarch64" => Ok(Self::Arm64),
            _ => Err(Invalid::because("a platform is linux/amd64 or linux/arm64")),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A build argument, `NAME=VALUE`, as for `docker build --build-arg`. Without `=VALUE`, it is the
/// variable of this shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildArg {
    /// The name.
    pub name: String,
    /// The value. `None`: neither the argument nor the environment has one, and the Dockerfile's
    /// default counts.
    pub value: Option<String>,
}

impl FromStr for BuildArg {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(good) {
            return Err(Invalid::because(
                "a build argument is NAME=VALUE, or NAME for the variable of this shell",
            ));
        }
        Ok(Self { name: name.to_owned(), value: value.or_else(|| std::env::var(name).ok()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for good in ["latest", "1.2-rc_3", "_x", &"x".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a b", "a/b", "a:b", "größe", &"x".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn repositories() {
        for good in ["ab", "lab/genomics", "a-b", "a--b", "a.b/c_d", "0x"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in ["", "a", "A1", "a//b", "/ab", "ab/", "-ab", "ab-", "a..b", "a b", &"x".repeat(257)] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_tags() {
        for (image, parts) in [
            ("tool", ("tool", None)),
            ("lab/tool:1.2", ("lab/tool", Some("1.2"))),
            ("127.0.0.1:5000/a/b", ("127.0.0.1:5000/a/b", None)),
            ("127.0.0.1:5000/b:x", ("127.0.0.1:5000/b", Some("x"))),
            ("a:", ("a", Some(""))),
            ("a:b:c", ("a", Some("b:c"))),
        ] {
            assert_eq!(parted(image), parts);
        }
    }

    #[test]
    fn platforms() {
        assert_eq!("linux/amd64".parse(), Ok(Platform::Amd64));
        assert_eq!("aarch64".parse(), Ok(Platform::Arm64));
        assert!("windows/amd64".parse::<Platform>().is_err());
    }

    #[test]
    fn build_arguments() {
        let parsed = |text: &str| text.parse::<BuildArg>().ok().map(|a| (a.name, a.value));
        assert_eq!(parsed("A=b=c"), Some(("A".into(), Some("b=c".into()))));
        assert_eq!(parsed("A="), Some(("A".into(), Some(String::new()))));
        assert_eq!(parsed("AWSB_NOT_THERE"), Some(("AWSB_NOT_THERE".into(), None)));
        assert_eq!((parsed(""), parsed("=x"), parsed("1=x"), parsed("a b=x")), (None, None, None, None));
    }
}
