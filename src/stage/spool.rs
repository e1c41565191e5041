//! A gzipped archive in a file without a name, for content that is read several times and is too
//! large for memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use super::inputs::one_line;
use super::part_source::{CHUNK, PartSource};

/// A gzipped archive. Its file is removed with the last clone and reader.
#[derive(Debug, Clone)]
pub struct Spool {
    file: Arc<File>,
    length: u64,
    sha256: String,
}

impl Spool {
    /// Gzips an archive; `on_read` gets the size of each chunk that was read. Returns the spool,
    /// and the SHA-256 of the archive before. The same content gives the same bytes.
    ///
    /// # Errors
    /// When the archive cannot be read, or the folder for temporary files has no space left.
    pub fn gzip(mut archive: impl Read, mut on_read: impl FnMut(u64)) -> io::Result<(Self, String)> {
        let file = tempfile::tempfile().map_err(writing)?;
        let gzip = GzBuilder::new().mtime(0).operating_system(255);
        let file = HashingFile { file, hash: Sha256::new() };
        let mut gzip = gzip.write(BufWriter::with_capacity(CHUNK, file), Compression::fast());
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
        loop {
            let n = archive.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            hash.update(&chunk[..n]);
            gzip.write_all(&chunk[..n]).map_err(writing)?;
            on_read(n as u64);
        }
        let buffered = gzip.finish().map_err(writing)?;
        let mut packed = buffered.into_inner().map_err(|e| writing(e.into_error()))?;
        let length = packed.file.stream_position()?;
        let spool = Self { file: Arc::new(packed.file), length, sha256: hex::encode(packed.hash.finalize()) };
        Ok((spool, hex::encode(hash.finalize())))
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Reads it from the beginning.
    pub fn read(&self) -> Reader {
        Reader::of(&self.file)
    }
}

/// A file, with the hash of the bytes that were written to it.
struct HashingFile {
    file: File,
    hash: Sha256,
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn writing(e: io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    let why = one_line(&e);
    io::Error::new(e.kind(), format!("writing a temporary file in {}: {why}", folder.display()))
}

/// The bytes of a spool, or of another file that is read at several places.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    at: u64,
}

impl Reader {
    /// Reads a file from its beginning, wherever it stands.
    pub(super) fn of(file: &Arc<File>) -> Self {
        Self { file: Arc::clone(file), at: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl PartSource for Spool {
    type Reader = Reader;

    fn length(&self) -> u64 {
        Spool::length(self)
    }

    fn read(&self) -> Reader {
        Spool::read(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_can_be_read_several_times() {
        let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut seen = 0;
        let (spool, before) = Spool::gzip(content.as_slice(), |n| seen += n).unwrap();
        assert_eq!((seen, before), (4_000_000, hex::encode(Sha256::digest(&content))));
        let packed = [(); 2].map(|()| {
            let mut bytes = Vec::new();
            spool.read().read_to_end(&mut bytes).unwrap();
            bytes
        });
        assert_eq!(packed[0], packed[1]);
        assert_eq!(
            (packed[0].len() as u64, hex::encode(Sha256::digest(&packed[0]))),
            (spool.length(), spool.sha256().to_owned())
        );
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed[0].as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == content);
        assert_eq!(Spool::gzip(content.as_slice(), |_| ()).unwrap().0.sha256(), spool.sha256());
    }
}
