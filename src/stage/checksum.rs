//! The checksums that S3 compares, as bytes in the order in which S3 writes them (S3 User Guide,
//! "Checking object integrity").

use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::part_source::{CHUNK, PartSource, part_size};

/// A CRC-32 that is computed piece by piece.
#[derive(Debug)]
pub struct Crc32(Digest);

impl Crc32 {
    /// The CRC of an empty content.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32IsoHdlc))
    }

    /// Adds content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum: the lower half of the digest's number.
    pub fn finalize(self) -> [u8; 4] {
        let [_, _, _, _, sum @ ..] = self.0.finalize().to_be_bytes();
        sum
    }

    /// The checksum of a whole content.
    pub fn checksum(bytes: &[u8]) -> [u8; 4] {
        let mut crc = Self::new();
        crc.update(bytes);
        crc.finalize()
    }
}

/// A CRC-64/NVME that is computed piece by piece.
#[derive(Debug)]
pub struct Crc64Nvme(Digest);

impl Crc64Nvme {
    /// The CRC of an empty content.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    /// Adds content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum.
    pub fn finalize(self) -> [u8; 8] {
        self.0.finalize().to_be_bytes()
    }
}

/// The MD5 of a content in hexadecimal digits. It is the ETag of an object that was stored in one
/// piece.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// The checksums of a content. Texts other than the SHA-256 are empty if they are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    /// The SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The CRC-32 of the parts' CRC-32s and the number of parts, as S3 writes them for an object
    /// that was stored in parts.
    pub of_parts: String,
    /// The CRC-32 of the whole, as S3 writes it.
    pub crc32: String,
    /// The CRC-64/NVME of the whole, as S3 writes it. S3 has it of an object that was stored
    /// without another checksum.
    pub crc64nvme: String,
}

/// The checksums of a source; `on_read` gets the size of each chunk that was read.
///
/// # Errors
/// When a file cannot be read or has changed.
pub fn checksums(source: &impl PartSource, mut on_read: impl FnMut(u64)) -> io::Result<Checksums> {
    let (mut reader, mut chunk) = (source.read(), vec![0; CHUNK]);
    let mut builder = ChecksumBuilder::new(part_size(source.length()));
    loop {
        let n = reader.read(&mut chunk)?;
        if n == 0 {
            return Ok(builder.finish());
        }
        builder.update(&chunk[..n]);
        on_read(n as u64);
    }
}

impl Checksums {
    /// The checksums of a content in memory.
    pub fn of(content: &[u8]) -> Self {
        let mut builder = ChecksumBuilder::new(part_size(content.len() as u64));
        builder.update(content);
        builder.finish()
    }
}

/// Checksums that are computed piece by piece.
struct ChecksumBuilder {
    sha256: Sha256,
    crc32: Crc32,
    crc64nvme: Crc64Nvme,
    parts: PartChecksums,
}

impl ChecksumBuilder {
    fn new(part_size: u64) -> Self {
        Self {
            sha256: Sha256::new(),
            crc32: Crc32::new(),
            crc64nvme: Crc64Nvme::new(),
            parts: PartChecksums::new(part_size),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.crc32.update(bytes);
        self.crc64nvme.update(bytes);
        self.parts.update(bytes);
    }

    fn finish(self) -> Checksums {
        Checksums {
            sha256: hex::encode(self.sha256.finalize()),
            of_parts: self.parts.composite(),
            crc32: BASE64_STANDARD.encode(self.crc32.finalize()),
            crc64nvme: BASE64_STANDARD.encode(self.crc64nvme.finalize()),
        }
    }
}

/// The CRC-32s of parts, computed piece by piece.
struct PartChecksums {
    size: u64,
    /// Bytes that the present part still lacks.
    left: u64,
    current: Crc32,
    sums: Vec<u8>,
}

impl PartChecksums {
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
                self.finish_part();
            }
        }
    }

    fn finish_part(&mut self) {
        let sum = std::mem::replace(&mut self.current, Crc32::new());
        self.sums.extend_from_slice(&sum.finalize());
        self.left = self.size;
    }

    fn composite(mut self) -> String {
        if self.left < self.size || self.sums.is_empty() {
            self.finish_part();
        }
        format!("{}-{}", BASE64_STANDARD.encode(Crc32::checksum(&self.sums)), self.sums.len() / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the algorithms' catalogue (reveng, CRC-32/ISO-HDLC and CRC-64/NVME), and
    /// RFC 1321.
    #[test]
    fn algorithms_have_their_check_values() {
        assert_eq!(Crc32::checksum(b"123456789"), 0xcbf4_3926_u32.to_be_bytes());
        let mut crc = Crc64Nvme::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.finalize(), 0xae8b_1486_0a79_9888_u64.to_be_bytes());
        assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn the_checksum_of_parts_is_that_of_their_checksums() {
        // Computed by hand as S3 User Guide, "Checking object integrity", describes.
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
                let mut sums = PartChecksums::new(4);
                text.as_bytes().chunks(chunk).for_each(|piece| sums.update(piece));
                assert_eq!(sums.composite(), composite(parts), "{text} by {chunk}");
            }
        }
    }
}
