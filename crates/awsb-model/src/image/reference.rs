//! The name of an image as a user gives it: a reference (github.com/distribution/reference,
//! `reference.go`). Pure.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::repository::is_registry;
use super::{Registry, Tag, parted};
use crate::{Invalid, limits};

/// The name of an image (API `ContainerProperties`, `image`): `[REGISTRY/]NAME[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image(String);

/// The algorithms of digests, with the number of their hexadecimal digits
/// (github.com/opencontainers/go-digest, `algorithm.go`).
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

impl FromStr for Image {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::because(
                "the image is missing: NAME, NAME:TAG or REPOSITORY/NAME:TAG, with a digest or without",
            ));
        }
        if text.len() > limits::IMAGE_LENGTH {
            return Err(Invalid::because(format!(
                "the name of an image has at most {} characters",
                limits::IMAGE_LENGTH
            )));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_:./@[]".contains(c);
        if let Some(c) = text.chars().find(|c| !is_plain(*c)) {
            return Err(Invalid::because(format!("the name of an image cannot have {}", shown(c))));
        }
        if text.contains("://") {
            return Err(Invalid::because("write the image without https://"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        digest.map_or(Ok(()), check_digest)?;
        let (name, tag) = parted(name);
        tag.map_or(Ok(()), check_tag)?;
        let path = match name.split_once('/') {
            Some((host, path)) if is_registry(host) => {
                host.parse::<Registry>()?;
                path
            }
            _ => name,
        };
        path.split('/').try_for_each(check_part)?;
        let is_id = |text: &str| text.len() == 64 && text.bytes().all(is_hex);
        if is_id(text) {
            return Err(Invalid::because("64 hexadecimal digits are the ID of an image, and not its name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks one part of the name of a repository: words of small letters and digits, with one `.`,
/// one or two `_`, or any number of `-` between them.
fn check_part(part: &str) -> Result<(), Invalid> {
    let is_of_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let because = |reason: String| Err(Invalid::because(reason));
    if part.is_empty() {
        return because(
            "a part of the image's name is empty: nothing is there before or after a '/'".to_owned(),
        );
    }
    if let Some(c) = part.chars().find(char::is_ascii_uppercase) {
        return because(format!(
            "the name of an image has small letters only, and '{c}' is in it; it may be '{}'",
            part.to_ascii_lowercase()
        ));
    }
    if let Some(c) = part.chars().find(|c| !is_of_word(*c) && !"._-".contains(*c)) {
        return because(format!("the name of an image cannot have '{c}' there, in '{part}'"));
    }
    for (side, c) in [("begin", part.chars().next()), ("end", part.chars().next_back())] {
        if let Some(c) = c.filter(|c| !is_of_word(*c)) {
            return because(format!(
                "no part of the name of an image can {side} with '{c}', as '{part}' does"
            ));
        }
    }
    let between = part.split(is_of_word).filter(|separator| !separator.is_empty());
    let is_separator = |text: &str| [".", "_", "__"].contains(&text) || text.bytes().all(|b| b == b'-');
    match between.into_iter().find(|text| !is_separator(text)) {
        Some(text) => {
            because(format!("the name of an image cannot have '{text}' between two of its letters"))
        }
        None => Ok(()),
    }
}

fn check_tag(tag: &str) -> Result<(), Invalid> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if tag.is_empty() {
        return Err(Invalid::because("the tag is missing behind the ':'"));
    }
    if let Some(c) = tag.chars().find(|c| !is_good(*c)) {
        return Err(Invalid::because(format!("a tag cannot have '{c}', as '{tag}' does")));
    }
    if let Some(c) = tag.chars().next().filter(|c| ".-".contains(*c)) {
        return Err(Invalid::because(format!("a tag cannot begin with '{c}', as '{tag}' does")));
    }
    tag.parse::<Tag>().map(|_| ())
}

fn check_digest(digest: &str) -> Result<(), Invalid> {
    let (algorithm, hash) = digest.split_once(':').unwrap_or((digest, ""));
    match ALGORITHMS.iter().find(|(name, _)| *name == algorithm) {
        Some((_, digits)) if hash.len() == *digits && hash.bytes().all(is_hex) => Ok(()),
        Some((name, digits)) => {
            Err(Invalid::because(format!("a digest is {name}: and {digits} of 0 to 9 and a to f")))
        }
        None => Err(Invalid::because("a digest is sha256: and 64 of 0 to 9 and a to f")),
    }
}

fn is_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

/// A character in words.
fn shown(c: char) -> String {
    match c {
        ' ' => "a blank".to_owned(),
        c if c.is_control() || c.is_whitespace() => format!("'{}'", c.escape_default()),
        c => format!("'{c}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_images_have() {
        let digest = "0f".repeat(32);
        for good in [
            "host",
            "busybox",
            "lab/tool:1.2",
            "a__b/c.d-e--f_g:_x",
            "localhost/a",
            "Lab/tool",
            "127.0.0.1:5000/a/b:x",
            "[::1]:5000/a:x",
            "[fe80::1]/a",
            &format!("{digest}:x"),
            "a.dkr.ecr.eu-west-1.amazonaws.com/x/y:1.2",
            &format!("sha256:{digest}"),
            &format!("ubuntu@sha256:{digest}"),
            &format!("registry.example.org/lts/ubuntu:22.04@sha256:{digest}"),
            &format!("a@sha512:{digest}{digest}"),
            &digest[1..],
        ] {
            assert_eq!(good.parse::<Image>().map(|image| image.to_string()).as_deref(), Ok(good));
        }
    }

    #[test]
    fn names_that_no_image_has_are_told_why() {
        let long = "x".repeat(256);
        let id = "0f".repeat(32);
        let messages = [
            "",
            " ",
            "a b",
            "-x",
            "-x:1",
            "x-",
            "größe",
            "a\tb",
            "a#b",
            "Tool",
            "lab/Tool:1",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "a_-b",
            "a:",
            "a:.b",
            "a:b:c",
            "a:b/c:d:e",
            "-a.org/b",
            "a.org:x/b",
            "[::1/b",
            "[a.org]:5000/b",
            "a[1]",
            "https://a.org/b",
            "Ref::image",
            "a@b",
            "@sha256:00",
            "a@sha256:00",
            "a@sha512:00",
            "a@md5:00",
            "a@sha256:00@sha256:00",
            &long,
            &id,
        ]
        .map(|text| match text.parse::<Image>() {
            Ok(image) => format!("{text}: {image:?}"),
            Err(why) => format!("{text:?}: {why}"),
        });
        insta::assert_snapshot!(messages.join("\n"));
    }

    proptest! {
        #[test]
        fn a_name_is_written_as_it_is_read(text in "[a-zA-Z0-9_.:/@#é-]{0,40}") {
            if let Ok(image) = text.parse::<Image>() {
                prop_assert_eq!(image.to_string(), text);
            }
        }
    }
}
