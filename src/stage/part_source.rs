//! The sources of large uploads, which are read part by part.

use std::io::Read;

/// Parts have this size in bytes, unless that would make too many parts.
const PART: u64 = 8 << 20;
/// The most parts that an upload may have (S3 User Guide, "Multipart upload limits").
const MAX_PARTS: u64 = 10_000;
/// A source is read in chunks of this size in bytes.
pub(super) const CHUNK: usize = 256 * 1024;

/// A source of bytes that can be read several times, with the same bytes each time.
pub trait PartSource: Clone + Send + Sync + 'static {
    /// The type that reads the source.
    type Reader: Read;

    /// Its length in bytes.
    fn length(&self) -> u64;

    /// Reads it from the beginning.
    fn read(&self) -> Self::Reader;
}

/// The size of the parts of a source of this length.
pub fn part_size(length: u64) -> u64 {
    PART.max(length.div_ceil(MAX_PARTS).next_multiple_of(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        assert_eq!(part_size(1), PART);
        assert_eq!(part_size(PART * MAX_PARTS), PART);
        for length in [PART * MAX_PARTS + 1, 5 << 40, (1 << 40) + 12345] {
            assert!(length.div_ceil(part_size(length)) <= MAX_PARTS, "{length}");
        }
    }
}
