//! Names of one image of a repository. Pure.

use std::fmt;
use std::str::FromStr;

use awsb_model::image::{Tag, parted};

use awsb_model::Invalid;

/// The tag of an image, or its digest if it has no tag (ECR API, `ImageIdentifier`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageId {
    /// The tag.
    Tag(Tag),
    /// The digest, `sha256:…`.
    Digest(String),
}

impl FromStr for ImageId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(hash) = text.strip_prefix("sha256:") else { return text.parse().map(Self::Tag) };
        let is_hash =
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match is_hash {
            true => Ok(Self::Digest(text.to_owned())),
            false => Err(Invalid::because("a digest is sha256: and 64 of 0 to 9 and a to f")),
        }
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => f.write_str(digest),
        }
    }
}

impl ImageId {
    /// The name of the image in a repository, for Docker: `NAME:TAG` or `NAME@DIGEST`.
    pub fn within(&self, repository: impl fmt::Display) -> String {
        match self {
            Self::Tag(tag) => format!("{repository}:{tag}"),
            Self::Digest(digest) => format!("{repository}@{digest}"),
        }
    }
}

/// An image as a user names it: by its tag or digest alone, or with its repository, as `bimage
/// build` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedImage {
    /// The repository before the tag or digest.
    pub repository: Option<String>,
    /// The tag or digest.
    pub id: ImageId,
}

impl FromStr for NamedImage {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (repository, id) = match text.split_once('@') {
            Some((name, digest)) => (Some(parted(name).0), digest),
            None if text.starts_with("sha256:") => (None, text),
            None => match parted(text) {
                (name, Some(tag)) => (Some(name), tag),
                (tag, None) => (None, tag),
            },
        };
        Ok(Self { repository: repository.map(str::to_owned), id: id.parse()? })
    }
}

impl fmt::Display for NamedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repository {
            Some(repository) => f.write_str(&self.id.within(repository)),
            None => self.id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_with_and_without_their_repository() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        for (text, repository, id) in [
            ("1.2".to_owned(), None, "1.2"),
            (digest.clone(), None, digest.as_str()),
            ("awsb:1.2".to_owned(), Some("awsb"), "1.2"),
            ("127.0.0.1:5000/lab:1.2".to_owned(), Some("127.0.0.1:5000/lab"), "1.2"),
            (format!("127.0.0.1:5000/lab@{digest}"), Some("127.0.0.1:5000/lab"), digest.as_str()),
        ] {
            let named = text.parse::<NamedImage>().unwrap();
            assert_eq!((named.repository.as_deref(), named.id.to_string().as_str()), (repository, id));
            assert_eq!(named.to_string(), text);
        }
        for bad in ["lab/genomics", "127.0.0.1:5000/lab", "awsb:", "awsb@sha256:00", "sha256:0f", ""] {
            assert!(bad.parse::<NamedImage>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_and_digests() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(digest.parse(), Ok(ImageId::Digest(digest.clone())));
        let read = |text: &str| text.parse::<ImageId>().map(|id| id.within("lab/genomics"));
        assert_eq!(read("1.2").as_deref(), Ok("lab/genomics:1.2"));
        assert_eq!(read(&digest), Ok(format!("lab/genomics@{digest}")));
        let upper = format!("sha256:{}", "0F".repeat(32));
        for bad in ["sha256:", "sha256:0f", &upper, "a:b", "", "md5:00"] {
            assert!(bad.parse::<ImageId>().is_err(), "{bad}");
        }
    }
}
