//! The bundle: a reproducible tar archive, gzipped, named by its content.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use crate::object_key;

/// The modification time of every file in a bundle (1 January 1980, UTC). The same content must
/// give the same bytes, and `tar` warns of older times.
pub const MTIME: u64 = 315_532_800;

/// Up to this size, a bundle is compressed as far as possible, as every byte may decide whether it
/// fits into the request. Larger bundles are compressed fast.
const SMALL: usize = 256 * 1024;

/// A staged archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    bytes: Vec<u8>,
    sha256: String,
}

/// A file in a bundle.
#[derive(Debug, Clone, Copy)]
pub struct BundleEntry<'a> {
    /// Its path in the job's working directory.
    pub path: &'a str,
    /// Its permissions.
    pub mode: u32,
    /// Its content.
    pub contents: &'a [u8],
}

impl Bundle {
    /// Packs files in the given order, after `records`, which are another archive without its end.
    ///
    /// # Errors
    /// When a path does not fit into a tar header.
    pub fn pack(records: &[u8], entries: &[BundleEntry<'_>]) -> io::Result<Self> {
        // The gzip header has neither a time nor the name of the system.
        let size: usize = records.len() + entries.iter().map(|e| e.contents.len()).sum::<usize>();
        let level = if size <= SMALL { Compression::best() } else { Compression::default() };
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), level);
        gzip.write_all(records)?;
        let mut archive = tar::Builder::new(gzip);
        for entry in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(entry.mode);
            header.set_mtime(MTIME);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(entry.contents.len() as u64);
            archive.append_data(&mut header, entry.path, entry.contents)?;
        }
        let bytes = archive.into_inner()?.finish()?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok(Self { bytes, sha256 })
    }

    /// The archive.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the archive, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The key of the bundle's object below the cluster's prefix. The same content is stored once.
    pub fn key(&self, prefix: &str) -> String {
        object_key(prefix, &format!("bundles/{}.tar.gz", self.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(contents: &[u8]) -> BundleEntry<'_> {
        BundleEntry { path: "a.sh", mode: 0o755, contents }
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() -> io::Result<()> {
        let one = Bundle::pack(&[], &[entry(b"echo hi\n")])?;
        assert_eq!(one, Bundle::pack(&[], &[entry(b"echo hi\n")])?);
        assert_ne!(one.sha256(), Bundle::pack(&[], &[entry(b"echo ho\n")])?.sha256());
        assert_eq!(one.key("awsb"), format!("awsb/bundles/{}.tar.gz", one.sha256()));
        Ok(())
    }
}
