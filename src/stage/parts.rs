//! The parts of a large upload: cut from an archive while it is read, on a thread of their own.

use std::collections::HashMap;
use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::archive::{Archive, Reader};
use super::checksum::{Crc32, Crc64Nvme, md5_hex};
use super::spool::Spool;

/// Parts have this size in bytes, unless there would be too many.
const PART: u64 = 8 << 20;
/// The most parts that an upload may have (S3 User Guide, "Multipart upload limits").
const MOST_PARTS: u64 = 10_000;
/// What is read at once.
const CHUNK: usize = 256 * 1024;

/// What can be cut: it has the same bytes each time that it is read.
pub trait Source: Clone + Send + Sync + 'static {
    /// What reads it.
    type Reader: Read;

    /// Its length in bytes.
    fn length(&self) -> u64;

    /// Reads it from the beginning.
    fn read(&self) -> Self::Reader;
}

impl Source for Archive {
    type Reader = Reader;

    fn length(&self) -> u64 {
        Archive::length(self)
    }

    fn read(&self) -> Reader {
        Archive::read(self)
    }
}

impl Source for Spool {
    type Reader = super::spool::Reader;

    fn length(&self) -> u64 {
        Spool::length(self)
    }

    fn read(&self) -> Self::Reader {
        Spool::read(self)
    }
}

/// A part.
#[derive(Debug)]
pub struct Part {
    /// Its number, from 1 on.
    pub number: i32,
    /// Its size in bytes.
    pub size: u64,
    /// The CRC-32 of its content, as S3 writes it.
    pub crc32: String,
    /// What is to be sent, or what S3 has of it already.
    pub content: PartContent,
}

/// Whether a part has to be sent.
#[derive(Debug)]
pub enum PartContent {
    /// It has.
    New(Bytes),
    /// S3 has it, under this ETag.
    There(String),
}

/// What S3 has of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its ETag, as S3 gave it.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its CRC-32, where S3 tells it.
    pub crc32: Option<String>,
}

impl Stored {
    /// Whether it has this content. Without a checksum the ETag has to tell, which is the content's MD5 unless a
    /// key of KMS encrypts it (API: Object); what cannot be told is taken for different.
    fn is(&self, content: &[u8], crc32: &str) -> bool {
        let same_sum = match &self.crc32 {
            Some(known) => known == crc32,
            None => self.etag.trim_matches('"') == md5_hex(content),
        };
        self.size == content.len() as u64 && same_sum
    }
}

/// The size of the parts of so many bytes.
pub fn part_size(length: u64) -> u64 {
    PART.max(length.div_ceil(MOST_PARTS).next_multiple_of(1 << 20))
}

/// The checksums of what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// The SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The CRC-32 of the parts' CRC-32s and the number of parts, as S3 writes them for what was stored in parts; nothing
    /// where it is not known.
    pub of_parts: String,
    /// The CRC-32 of the whole, as S3 writes it, likewise.
    pub crc32: String,
    /// The CRC-64/NVME of the whole, likewise: S3 has it of what was stored without another checksum.
    pub crc64nvme: String,
}

/// The checksums of what can be cut; `seen` is told of every chunk.
///
/// # Errors
/// When a file cannot be read or has changed.
pub fn sums(source: &impl Source, mut seen: impl FnMut(u64)) -> io::Result<Sums> {
    let (mut reader, mut chunk) = (source.read(), vec![0; CHUNK]);
    let mut summing = Summing::new(part_size(source.length()));
    loop {
        let n = reader.read(&mut chunk)?;
        if n == 0 {
            return Ok(summing.end());
        }
        summing.update(&chunk[..n]);
        seen(n as u64);
    }
}

impl Sums {
    /// Those of content that is at hand.
    pub fn of(content: &[u8]) -> Self {
        let mut summing = Summing::new(part_size(content.len() as u64));
        summing.update(content);
        summing.end()
    }
}

/// Checksums, while the content passes.
struct Summing {
    sha256: Sha256,
    crc32: Crc32,
    crc64nvme: Crc64Nvme,
    parts: PartSums,
}

impl Summing {
    fn new(part_size: u64) -> Self {
        Self {
            sha256: Sha256::new(),
            crc32: Crc32::new(),
            crc64nvme: Crc64Nvme::new(),
            parts: PartSums::new(part_size),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.crc32.update(bytes);
        self.crc64nvme.update(bytes);
        self.parts.update(bytes);
    }

    fn end(self) -> Sums {
        Sums {
            sha256: hex::encode(self.sha256.finalize()),
            of_parts: self.parts.composite(),
            crc32: BASE64_STANDARD.encode(self.crc32.finalize()),
            crc64nvme: BASE64_STANDARD.encode(self.crc64nvme.finalize()),
        }
    }
}

/// The CRC-32s of parts, while their content passes.
struct PartSums {
    size: u64,
    /// How much of the present part is still to come.
    left: u64,
    current: Crc32,
    sums: Vec<u8>,
}

impl PartSums {
    fn new(size: u64) -> Self {
        Self { size, left: size, current: Crc32::new(), sums: Vec::new() }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.current.update(&bytes[..n]);
            bytes = &bytes[n..];
            self.left -= n as u64;
            if self.left == 0 {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        let sum = std::mem::replace(&mut self.current, Crc32::new());
        self.sums.extend_from_slice(&sum.finalize());
        self.left = self.size;
    }

    fn composite(mut self) -> String {
        if self.left < self.size || self.sums.is_empty() {
            self.end_part();
        }
        format!("{}-{}", BASE64_STANDARD.encode(Crc32::checksum(&self.sums)), self.sums.len() / 4)
    }
}

/// Cuts a source whose SHA-256 should be `sha256` into parts and sends each of them, until one is an error or
/// nobody takes them any more. The last part is sent once the whole content is known to be what it was.
pub fn cut(
    source: &impl Source,
    sha256: &str,
    there: &HashMap<i32, Stored>,
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
            let content = match there.get(&number).filter(|stored| stored.is(&content, &crc32)) {
                Some(stored) => PartContent::There(stored.etag.clone()),
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
        // While it is in the processor's cache.
        hash.update(&*chunk);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        assert_eq!(part_size(1), PART);
        assert_eq!(part_size(PART * MOST_PARTS), PART);
        for length in [PART * MOST_PARTS + 1, 5 << 40, (1 << 40) + 12345] {
            assert!(length.div_ceil(part_size(length)) <= MOST_PARTS, "{length}");
        }
    }

    #[test]
    fn the_checksum_of_parts_is_that_of_their_checksums() {
        // What S3 User Guide, "Checking object integrity", describes, made by hand.
        let composite = |parts: &[&[u8]]| {
            let sums: Vec<u8> = parts.iter().flat_map(|part| Crc32::checksum(part)).collect();
            format!("{}-{}", BASE64_STANDARD.encode(Crc32::checksum(&sums)), parts.len())
        };
        for (text, parts) in [
            ("", [b"".as_slice()].as_slice()),
            ("abc", &[b"abc"]),
            ("abcd", &[b"abcd"]),
            ("abcde", &[b"abcd", b"e"]),
            ("abcdefgh", &[b"abcd", b"efgh"]),
        ] {
            for chunk in 1..=5 {
                let mut sums = PartSums::new(4);
                text.as_bytes().chunks(chunk).for_each(|piece| sums.update(piece));
                assert_eq!(sums.composite(), composite(parts), "{text} by {chunk}");
            }
        }
    }

    #[test]
    fn a_stored_part_is_known_by_its_checksum_or_its_md5() {
        let crc32 = BASE64_STANDARD.encode(Crc32::checksum(b"content"));
        let stored = |etag: &str, crc32: Option<&str>| Stored {
            etag: etag.into(),
            size: 7,
            crc32: crc32.map(Into::into),
        };
        let md5 = "\"9a0364b9e99bb480dd25e1f0284c8555\"";
        assert!(stored(md5, None).is(b"content", &crc32));
        assert!(stored("\"of a KMS key\"", Some(&crc32)).is(b"content", &crc32));
        assert!(!stored("\"of a KMS key\"", None).is(b"content", &crc32));
        assert!(!stored(md5, Some("AAAAAA==")).is(b"content", &crc32));
        assert!(!stored(md5, None).is(b"another", &crc32));
    }
}
