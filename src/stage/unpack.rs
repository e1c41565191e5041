//! What a bundle has in it: the way back from a job to the script that was staged for it.

use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;

use super::launcher::{self, BUNDLE_VARIABLE, LINES_FILE, START_FILE};

/// Where a job's bundle is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// In the job itself: the gzipped archive.
    Inline(Vec<u8>),
    /// In S3.
    Fetched {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
}

impl Carried {
    /// The bundle of a job with these environment variables; `None` for a job without one.
    pub fn of<'v>(environment: impl IntoIterator<Item = (&'v str, &'v str)>) -> Option<Self> {
        let (_, value) = environment.into_iter().find(|(name, _)| *name == BUNDLE_VARIABLE)?;
        match value.strip_prefix("s3://") {
            Some(place) => {
                let (bucket, key) = place.split_once('/')?;
                Some(Self::Fetched { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            None => BASE64_STANDARD.decode(value).ok().map(Self::Inline),
        }
    }
}

/// The script in a bundle, byte for byte; `None` when there is none, because what was staged goes with a command.
///
/// # Errors
/// When this is no bundle, or a damaged one.
pub fn script(bundle: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(GzDecoder::new(bundle));
    // `stage::plan` packs inputs, the script, the tasks' lines and the start, in this order.
    let mut last: Option<Vec<u8>> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut content = Vec::new();
        if path.as_os_str() == LINES_FILE {
            continue;
        }
        entry.read_to_end(&mut content)?;
        if path.as_os_str() == START_FILE {
            return Ok(last.filter(|_| launcher::starts_a_script(&content)));
        }
        last = Some(content);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Bundle;
    use crate::stage::bundle::Entry;

    #[test]
    fn bundles_in_the_request_and_in_s3() {
        let of = |value: &str| Carried::of([("A", "1"), (BUNDLE_VARIABLE, value)]);
        assert_eq!(of("aGk="), Some(Carried::Inline(b"hi".into())));
        let fetched = Carried::Fetched { bucket: "b".into(), key: "p/bundles/x.tar.gz".into() };
        assert_eq!(of("s3://b/p/bundles/x.tar.gz"), Some(fetched));
        assert_eq!((of("?"), of("s3://b"), Carried::of([("A", "1")])), (None, None, None));
    }

    #[test]
    fn no_bundle_is_no_panic() -> io::Result<()> {
        assert!(script(b"").is_err() && script(b"no gzip").is_err());
        let entry = |path| Entry { path, mode: 0o600, contents: b"x" };
        let other = Bundle::pack(&[], &[entry("a"), entry(START_FILE)])?;
        assert_eq!(script(other.bytes())?, None, "the start starts no script");
        assert_eq!(script(Bundle::pack(&[], &[entry("a")])?.bytes())?, None);
        let bytes = other.bytes();
        assert!(script(&bytes[..bytes.len() / 2]).is_err());
        Ok(())
    }
}
