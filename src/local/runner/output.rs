//! A job's output on its way to the log stream's file: bytes become stamped lines.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use crate::local::logs::record;

/// The longest message, in bytes; a longer line becomes several events. This is the limit of the
/// awslogs driver (moby, `daemon/logger/awslogs/cloudwatchlogs.go`: 256 KiB less 26 bytes an event).
pub const LONGEST_MESSAGE: usize = 256 * 1024 - 26;

/// Appends what a job writes to its log stream's file, a stamped line for each of its lines.
///
/// Memory stays bounded whatever the job writes: one line at most is held back until its end is seen.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: Option<Lines>,
    partial: Vec<u8>,
    last_stamp: i64,
    failure: Option<String>,
}

impl Output {
    /// Nothing is written, and no file made, before the job's first line.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, partial: Vec::new(), last_stamp: 0, failure: None }
    }

    /// Takes what the job has just written, at `now`.
    pub fn take(&mut self, bytes: &[u8], now: i64) {
        // Stamps never go backwards, whatever the clock does: readers search the file by time.
        self.last_stamp = self.last_stamp.max(now);
        let mut records = Vec::with_capacity(bytes.len() + bytes.len() / 4);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            self.line(&mut records);
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        while self.partial.len() > LONGEST_MESSAGE {
            let keep = self.partial.split_off(whole_characters(&self.partial, LONGEST_MESSAGE));
            self.line(&mut records);
            self.partial = keep;
        }
        self.write(&records);
    }

    /// The job has ended: a last line without a line end counts.
    pub fn finish(mut self) -> Result<(), String> {
        if !self.partial.is_empty() {
            let mut records = Vec::new();
            self.line(&mut records);
            self.write(&records);
        }
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn line(&mut self, records: &mut Vec<u8>) {
        let mut line = self.partial.as_slice();
        loop {
            let length = whole_characters(line, LONGEST_MESSAGE);
            record::append(records, self.last_stamp, &line[..length]);
            line = &line[length..];
            if line.is_empty() {
                break;
            }
        }
        self.partial.clear();
    }

    fn write(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => match open(&self.path) {
                Ok(file) => self.file.insert(Lines::new(file)),
                Err(e) => return self.fail(&e),
            },
        };
        if let Err(e) = file.append(records) {
            self.fail(&e);
        }
    }

    // The job goes on: its work may be worth more than its words. The reason is told with its end.
    fn fail(&mut self, e: &io::Error) {
        if self.failure.is_none() {
            self.failure = Some(format!("writing the log stream: {e}"));
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            options.open(path)
        }
        other => other,
    }
}

/// How many of the first `limit` bytes can be taken without cutting a UTF-8 character in two.
fn whole_characters(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    // A continuation byte is 10xxxxxx; a character has at most three of them.
    (limit.saturating_sub(3)..=limit).rev().find(|at| bytes[*at] & 0xc0 != 0x80).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs").join("stream");
        let mut output = Output::new(path.clone());
        for chunk in chunks {
            output.take(chunk, 1_763_722_345_678);
        }
        output.finish().unwrap();
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|l| l.strip_prefix("1763722345678 ").unwrap().to_owned()).collect()
    }

    #[test]
    fn lines_are_put_together_and_a_last_one_without_an_end_counts() {
        assert_eq!(lines(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(lines(&[b"caf\xc3\xa9 \xff!\n"]), ["café \u{fffd}!"]);
    }

    #[test]
    fn long_lines_are_split_between_characters_and_nothing_is_lost() {
        let long = format!("x{}", "é".repeat(LONGEST_MESSAGE));
        let split = lines(&[long.as_bytes()]);
        assert!(split.iter().all(|l| l.len() <= LONGEST_MESSAGE));
        assert_eq!(split.concat(), long);
        assert_eq!(split.len(), 3);
    }
}
