//! The parts of a large upload. They are cut from a source while a thread of its own reads it.

use std::collections::HashMap;
use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::checksum::{Crc32, md5_hex};
use super::part_source::{CHUNK, PartSource, part_size};

/// A part of an upload.
#[derive(Debug)]
pub struct Part {
    /// Its number, counted from 1.
    pub number: i32,
    /// Its size in bytes.
    pub size: u64,
    /// The CRC-32 of its content, as S3 writes it.
    pub crc32: String,
    /// The bytes to send, or the part as S3 has it already.
    pub content: PartContent,
}

/// Whether a part has to be sent.
#[derive(Debug)]
pub enum PartContent {
    /// S3 lacks it: these bytes have to be sent.
    New(Bytes),
    /// S3 has it, under this ETag.
    Stored(String),
}

/// A part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Its ETag, as S3 gave it.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its CRC-32, if S3 has one.
    pub crc32: Option<String>,
}

impl StoredPart {
    /// Whether it has this content. Without a checksum the ETag is compared, which is the content's
    /// MD5 unless a key of KMS encrypts it (API: Object). A part that cannot be compared counts as
    /// different.
    fn has(&self, content: &[u8], crc32: &str) -> bool {
        let same_sum = match &self.crc32 {
            Some(stored) => stored == crc32,
            None => self.etag.trim_matches('"') == md5_hex(content),
        };
        self.size == content.len() as u64 && same_sum
    }
}

/// Cuts a source with the SHA-256 `sha256` into parts and sends each of them to `parts`, until a
/// part is an error or the receiver is gone. The last part is sent only if the hash of the whole
/// content is right. `stored` are the parts that S3 has.
pub fn cut(
    source: &impl PartSource,
    sha256: &str,
    stored: &HashMap<i32, StoredPart>,
    parts: &mpsc::Sender<io::Result<Part>>,
) {
    let size = part_size(source.length());
    let (mut reader, mut hash, mut left) = (source.read(), Sha256::new(), source.length());
    for number in 1.. {
        let length = left.min(size);
        let part = read_part(&mut reader, length, &mut hash).and_then(|content| {
            left -= length;
            if left == 0 && hex::encode(hash.clone().finalize()) != sha256 {
                return Err(io::Error::other(
                    "reading the inputs: one of them has changed while it was read",
                ));
            }
            let crc32 = BASE64_STANDARD.encode(Crc32::checksum(&content));
            let content = match stored.get(&number).filter(|stored| stored.has(&content, &crc32)) {
                Some(stored) => PartContent::Stored(stored.etag.clone()),
                None => PartContent::New(Bytes::from(content)),
            };
            Ok(Part { number, size: length, crc32, content })
        });
        let failed = part.is_err();
        if parts.blocking_send(part).is_err() || failed || left == 0 {
            return;
        }
    }
}

fn read_part(reader: &mut impl Read, length: u64, hash: &mut Sha256) -> io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    for chunk in content.chunks_mut(CHUNK) {
        reader.read_exact(chunk)?;
        // The hash is updated while the chunk is in the processor's cache.
        hash.update(&*chunk);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_part_is_compared_by_its_checksum_or_its_md5() {
        let crc32 = BASE64_STANDARD.encode(Crc32::checksum(b"content"));
        let stored = |etag: &str, crc32: Option<&str>| StoredPart {
            etag: etag.into(),
            size: 7,
            crc32: crc32.map(Into::into),
        };
        let md5 = "\"9a0364b9e99bb480dd25e1f0284c8555\"";
        assert!(stored(md5, None).has(b"content", &crc32));
        assert!(stored("\"of a KMS key\"", Some(&crc32)).has(b"content", &crc32));
        assert!(!stored("\"of a KMS key\"", None).has(b"content", &crc32));
        assert!(!stored(md5, Some("AAAAAA==")).has(b"content", &crc32));
        assert!(!stored(md5, None).has(b"another", &crc32));
    }
}
