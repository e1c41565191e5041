//! Whether content is what was stored: a checksum is stored with each object and each part, and
//! compared when it is read.

use std::fs::File;
use std::io::{self, Read};

use s3s::crypto::{Checksum as _, Crc64Nvme, Md5};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// The checksum of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// CRC-64/NVME, in hexadecimal digits: of all content that this version has stored.
    Crc64(String),
    /// The MD5 of the content, which is its ETag unless it came in parts: of what an earlier
    /// version has stored.
    Md5(String),
    /// Nothing is known of it: an earlier version has stored it, from parts.
    Unknown,
}

impl Sum {
    /// The check of content with this checksum and this ETag.
    pub fn of(crc64: Option<&str>, etag: &str) -> Self {
        match crc64 {
            Some(crc64) => Self::Crc64(crc64.to_owned()),
            None if etag.contains('-') => Self::Unknown,
            None => Self::Md5(etag.to_owned()),
        }
    }
}

/// Computes the checksum of content that is being read, and compares it.
pub struct Check {
    wanted: Sum,
    crc64: Crc64Nvme,
    md5: Option<Md5>,
}

impl Check {
    /// A comparison with this checksum.
    pub fn new(wanted: Sum) -> Self {
        let md5 = matches!(wanted, Sum::Md5(_)).then(Md5::new);
        Self { wanted, crc64: Crc64Nvme::new(), md5 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.md5 {
            Some(md5) => md5.update(bytes),
            None => self.crc64.update(bytes),
        }
    }

    /// Whether all bytes together are what was stored.
    pub fn matches(self) -> bool {
        match (self.wanted, self.md5) {
            (Sum::Md5(wanted), Some(md5)) => wanted == hex::encode(md5.finalize()),
            (Sum::Crc64(wanted), _) => wanted == hex::encode(self.crc64.finalize()),
            (Sum::Md5(_) | Sum::Unknown, _) => true,
        }
    }
}

/// Whether a file has the content that was stored.
///
/// # Errors
/// When it cannot be read.
pub fn is_whole(mut file: &File, sum: Sum) -> io::Result<bool> {
    if sum == Sum::Unknown {
        return Ok(true);
    }
    let (mut check, mut chunk) = (Check::new(sum), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(check.matches()),
            Ok(n) => check.update(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_byte_that_is_flipped_is_noticed(
            content in proptest::collection::vec(any::<u8>(), 1..2000),
            at: proptest::sample::Index,
            bit in 0..8_u32,
            cut: proptest::sample::Index,
        ) {
            let sums = [
                Sum::of(Some(&hex::encode(Crc64Nvme::checksum(&content))), "e-1"),
                Sum::of(None, &hex::encode(Md5::checksum(&content))),
            ];
            let mut flipped = content.clone();
            flipped[at.index(content.len())] ^= 1 << bit;
            for sum in sums {
                let is_right = |bytes: &[u8]| {
                    let mut check = Check::new(sum.clone());
                    let (first, rest) = bytes.split_at(cut.index(bytes.len()));
                    check.update(first);
                    check.update(rest);
                    check.matches()
                };
                prop_assert!(is_right(&content) && !is_right(&flipped));
            }
        }
    }
}
