//! Appends lines to a file, each of them whole or not at all, even while the disk is full.

use std::fs::File;
use std::io::{self, Seek, Write};

/// A file, open for appending, that holds whole lines only.
#[derive(Debug)]
pub struct LineAppender {
    file: File,
    /// A part of a line is at the end of what we have written, or somewhere before what others
    /// have.
    torn: bool,
    /// The bytes of the last failed append that are in the file nevertheless.
    partial: usize,
}

impl LineAppender {
    /// Appends to a file that has been opened for appending.
    pub fn new(file: File) -> Self {
        Self { file, torn: false, partial: 0 }
    }

    /// Appends lines, with their ends.
    ///
    /// # Errors
    /// When not all of them could be written; the file has the first ones then, or none.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.partial = 0;
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut written = 0;
        while written < lines.len() {
            let failure = match self.file.write(&lines[written..]) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(n) => {
                    written += n;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => e,
            };
            self.take_back(&lines[..written]);
            return Err(failure);
        }
        Ok(())
    }

    /// The bytes of whole lines that are in the file although [`LineAppender::append`] failed.
    pub fn partial(&self) -> usize {
        self.partial
    }

    /// After a write that ended early: the next line must not join the part of a line that it has
    /// left.
    fn take_back(&mut self, written: &[u8]) {
        let whole = written.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.partial = whole;
        let torn = written.len() - whole;
        self.torn = torn > 0 && !self.cut(torn as u64).unwrap_or(false);
    }

    /// Takes back the last bytes that we have written; `false` when somebody else has written
    /// since.
    fn cut(&mut self, length: u64) -> io::Result<bool> {
        let end = self.file.stream_position()?;
        if self.file.metadata()?.len() != end {
            return Ok(false);
        }
        self.file.set_len(end.saturating_sub(length))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> File {
        File::options().create(true).append(true).open(path).unwrap()
    }

    #[test]
    fn a_part_of_a_line_is_taken_back_or_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let mut lines = LineAppender::new(open(&path));
        let text = || std::fs::read_to_string(&path).unwrap();
        lines.append(b"one\n").unwrap();
        lines.file.write_all(b"two\nthr").unwrap();
        lines.take_back(b"two\nthr");
        assert_eq!(text(), "one\ntwo\n");
        lines.append(b"three\n").unwrap();
        assert_eq!(text(), "one\ntwo\nthree\n");
        // Somebody else's line is not ours to take.
        lines.file.write_all(b"fo").unwrap();
        open(&path).write_all(b"others\n").unwrap();
        lines.take_back(b"fo");
        lines.append(b"four\n").unwrap();
        assert_eq!(text(), "one\ntwo\nthree\nfoothers\n\nfour\n");
    }
}
