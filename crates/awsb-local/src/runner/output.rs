//! A job's output on its way to the log stream's file: bytes become stamped lines.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::line_appender::LineAppender;
use super::mask::Mask;
use crate::home::space;
use crate::logs::record;
use awsb_model::{OUTPUT_NOT_KEPT, words};

/// The longest message, in bytes; a longer line becomes several events. This is the limit of the
/// awslogs driver (moby, `daemon/logger/awslogs/cloudwatchlogs.go`: 256 KiB less 26 bytes an
/// event).
pub const LONGEST_MESSAGE: usize = 256 * 1024 - 26;

/// The source of output: the lines of one source are put together, independent of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output, or both streams where they are one pipe.
    Both = 0,
    /// Standard error, where it comes apart from standard output.
    Error = 1,
}

/// Appends what a job writes to its log stream's file, a stamped line for each of its lines.
///
/// Memory stays bounded: at most one line of each source is held back until its end comes.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: Option<LineAppender>,
    partial: [Vec<u8>; 2],
    masks: [Mask; 2],
    last_stamp: i64,
    failure: Option<String>,
    /// How much of the job's output is not in the file, in bytes.
    lost: u64,
}

impl Output {
    /// Nothing is written, and no file made, before the job's first line.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            partial: [Vec::new(), Vec::new()],
            masks: [Mask::default(), Mask::default()],
            last_stamp: 0,
            failure: None,
            lost: 0,
        }
    }

    /// Takes what the job has just written, at `now`.
    pub fn take(&mut self, source: Source, bytes: &[u8], now: i64) {
        // Time stamps never go backwards, even if the clock does: readers search the file by time.
        self.last_stamp = self.last_stamp.max(now);
        let mut records = Vec::with_capacity(bytes.len() + bytes.len() / 4);
        let bytes = self.masks[source as usize].apply(bytes);
        let partial = &mut self.partial[source as usize];
        let mut rest = bytes.as_ref();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            partial.extend_from_slice(&rest[..end]);
            line(partial, self.last_stamp, &mut records);
            rest = &rest[end + 1..];
        }
        partial.extend_from_slice(rest);
        while partial.len() > LONGEST_MESSAGE {
            let keep = partial.split_off(whole_characters(partial, LONGEST_MESSAGE));
            line(partial, self.last_stamp, &mut records);
            *partial = keep;
        }
        self.write(&records);
    }

    /// The job has ended: a last line without a line end counts.
    ///
    /// # Errors
    /// When some of the output could not be stored.
    pub fn finish(mut self) -> Result<(), OutputLost> {
        let mut records = Vec::new();
        for partial in self.partial.iter_mut().filter(|partial| !partial.is_empty()) {
            line(partial, self.last_stamp, &mut records);
        }
        self.write(&records);
        match self.failure {
            Some(why) => Err(OutputLost { bytes: self.lost, why }),
            None => Ok(()),
        }
    }

    fn write(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        // The last of a disk is for the ends of jobs.
        if let Some(lack) = space::output_shortage(Path::new(".")) {
            return self.fail(records, || lack.at(&home()).to_string());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => match open(&self.path) {
                Ok(file) => self.file.insert(LineAppender::new(file)),
                Err(e) => return self.fail(records, || space::words(&home(), &e)),
            },
        };
        if let Err(e) = file.append(records) {
            let lost = records.get(file.partial()..).unwrap_or_default();
            self.fail(lost, || space::words(&home(), &e));
        }
    }

    // The job goes on: its results may be worth more than its output. The reason is reported with
    // its end.
    fn fail(&mut self, records: &[u8], why: impl FnOnce() -> String) {
        let lines = records.split_inclusive(|b| *b == b'\n');
        self.lost += lines.map(|line| line.len().saturating_sub(record::HEAD) as u64).sum::<u64>();
        self.failure.get_or_insert_with(|| format!("writing the log stream: {}", why()));
    }
}

/// Output that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{OUTPUT_NOT_KEPT}: {} of output {} lost: {why}",
    words::many(*bytes, "byte"),
    if *bytes == 1 { "is" } else { "are" }
)]
pub struct OutputLost {
    bytes: u64,
    why: String,
}

/// The home: a runner's working directory.
fn home() -> PathBuf {
    std::path::absolute(".").unwrap_or_default()
}

/// A whole line becomes an event, or several.
fn line(partial: &mut Vec<u8>, stamp: i64, records: &mut Vec<u8>) {
    let mut line = partial.as_slice();
    loop {
        let length = whole_characters(line, LONGEST_MESSAGE);
        record::append(records, stamp, &line[..length]);
        line = &line[length..];
        if line.is_empty() {
            break;
        }
    }
    partial.clear();
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
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
    use std::fs;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        lines_of(&chunks.iter().map(|chunk| (Source::Both, *chunk)).collect::<Vec<_>>())
    }

    fn lines_of(chunks: &[(Source, &[u8])]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs").join("stream");
        let mut output = Output::new(path.clone());
        for (source, chunk) in chunks {
            output.take(*source, chunk, 1_763_722_345_678);
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
    fn what_is_lost_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream");
        // Nothing can be written to a folder.
        fs::create_dir(&path).unwrap();
        let mut output = Output::new(path.clone());
        output.take(Source::Both, b"four\nthe rest", 1_763_722_345_678);
        fs::remove_dir(&path).unwrap();
        output.take(Source::Both, b" is kept\n", 1_763_722_345_678);
        let message = output.finish().unwrap_err().to_string();
        assert!(message.starts_with("OutputNotKept: 5 bytes of output are lost: "), "{message}");
        assert_eq!(fs::read_to_string(path).unwrap(), "1763722345678 the rest is kept\n");
    }

    #[test]
    fn lines_of_two_sources_do_not_mix() {
        let (out, err) = (Source::Both, Source::Error);
        let chunks: [(Source, &[u8]); 4] = [(out, b"a"), (err, b"x\ny"), (out, b"b\nc"), (err, b"z")];
        assert_eq!(lines_of(&chunks), ["x", "ab", "c", "yz"]);
    }

    #[test]
    fn a_secret_is_masked_across_chunks_lines_and_the_longest_message() {
        use super::super::protocol::{SECRET_DIGITS, SECRET_PREFIX};
        let secret = format!("{SECRET_PREFIX}{}", "7".repeat(SECRET_DIGITS));
        let (head, tail) = secret.split_at(SECRET_PREFIX.len() + 9);
        assert_eq!(
            lines(&[format!("a {head}").as_bytes(), format!("{tail} b\n{head}\n{tail}\n").as_bytes()]),
            [
                format!("a {SECRET_PREFIX}{} b", "*".repeat(SECRET_DIGITS)),
                format!("{SECRET_PREFIX}{}", "*".repeat(9)),
                "*".repeat(SECRET_DIGITS - 9),
            ]
        );
        let long = format!("{}{secret}", "x".repeat(LONGEST_MESSAGE - head.len()));
        assert!(lines(&[long.as_bytes()]).iter().all(|line| !line.contains('7')));
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
