//! The checksums that S3 compares, as bytes in the order in which S3 writes them (S3 User Guide,
//! "Checking object integrity").

use crc_fast::{CrcAlgorithm, Digest};
use md5::{Digest as _, Md5};

/// A CRC-32, while the content passes.
#[derive(Debug)]
pub struct Crc32(Digest);

impl Crc32 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32IsoHdlc))
    }

    /// More content.
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

/// A CRC-64/NVME, while the content passes.
#[derive(Debug)]
pub struct Crc64Nvme(Digest);

impl Crc64Nvme {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    /// More content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum.
    pub fn finalize(self) -> [u8; 8] {
        self.0.finalize().to_be_bytes()
    }
}

/// The MD5 of a content, which is the ETag of an object that was put in one piece, in hexadecimal digits.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the algorithms' catalogue (reveng, CRC-32/ISO-HDLC and CRC-64/NVME), and RFC 1321.
    #[test]
    fn they_have_their_check_values() {
        assert_eq!(Crc32::checksum(b"123456789"), 0xcbf4_3926_u32.to_be_bytes());
        let mut crc = Crc64Nvme::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.finalize(), 0xae8b_1486_0a79_9888_u64.to_be_bytes());
        assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
