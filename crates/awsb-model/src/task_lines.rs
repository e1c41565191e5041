//! Arrays with one task for each line of a file.

use super::{Invalid, MAX_TASKS, TaskIds, limits};

/// The use of a line in its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineUse {
    /// `--each`: the line replaces every `{}` in the arguments.
    Argument,
    /// `--commands`: the line is the command.
    Command,
}

/// The mark that some editors put before UTF-8 text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that is probably not intended as a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unusual {
    Blank,
    /// The first character is `#`.
    Comment,
}

impl Unusual {
    fn of(line: &[u8]) -> Option<Self> {
        match line.trim_ascii_start().first() {
            None => Some(Self::Blank),
            Some(b'#') => Some(Self::Comment),
            Some(_) => None,
        }
    }
}

/// The beginning of a file with lines, as far as it has been read. A source may have no end, such
/// as `/dev/zero`, so what [`TaskLines`] refuses in any case is refused as soon as it is read.
#[derive(Debug, Default)]
pub struct PartialLines {
    contents: Vec<u8>,
    /// The number of lines that have ended.
    count: u32,
    /// The bytes of the line that has not ended.
    unfinished: usize,
}

impl PartialLines {
    /// Adds the next bytes of the file.
    ///
    /// # Errors
    /// When no submission can have the lines so far. The message reads well after the file's name.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (line, ends) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let number = self.count + 1;
            if number > MAX_TASKS {
                return Err(Invalid::because(format!(
                    "has more than {MAX_TASKS} lines, and an array has at most {MAX_TASKS} tasks"
                )));
            }
            if line.contains(&0) {
                return Err(Invalid::because(format!("has a NUL in line {number}")));
            }
            self.unfinished += line.len();
            if self.unfinished > limits::LINE_BYTES {
                return Err(Invalid::because(format!("has more than 127 KiB in line {number}")));
            }
            if self.contents.len() + piece.len() > limits::TEXT_BYTES {
                return Err(Invalid::because("has more than 1 GiB"));
            }
            self.contents.extend_from_slice(piece);
            if ends {
                (self.count, self.unfinished) = (number, 0);
            }
        }
        Ok(())
    }

    /// The bytes that have been read.
    pub fn into_contents(self) -> Vec<u8> {
        self.contents
    }
}

/// Lines that are tasks. The first has the ID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLines {
    contents: Vec<u8>,
    count: u32,
    /// The use of the lines in their tasks.
    pub is: LineUse,
}

impl TaskLines {
    /// Splits the content of a file. The last line needs no line end.
    ///
    /// # Errors
    /// When there is no line, or one that no command line can hold. The message reads well after
    /// the file's name.
    pub fn new(mut contents: Vec<u8>, is: LineUse) -> Result<Self, Invalid> {
        if contents.starts_with(BYTE_ORDER_MARK) {
            return Err(Invalid::because(
                "begins with a byte order mark, which would be a part of the first line",
            ));
        }
        if contents.last().is_some_and(|b| *b != b'\n') {
            contents.push(b'\n');
        }
        let bad = |what: &str, bad: fn(&[u8]) -> bool| {
            let line = contents.split(|b| *b == b'\n').position(bad)?;
            Some(Invalid::because(format!("has {what} in line {}", line + 1)))
        };
        if let Some(e) = bad("a NUL", |l| l.contains(&0)) {
            return Err(e);
        }
        if let Some(e) = bad("a Windows line end (CRLF)", |l| l.ends_with(b"\r")) {
            return Err(e);
        }
        if let Some(e) = bad("more than 127 KiB", |l| l.len() > limits::LINE_BYTES) {
            return Err(e);
        }
        let count = contents.iter().filter(|b| **b == b'\n').count();
        match u32::try_from(count) {
            Ok(0) => Err(Invalid::because("has no line")),
            Ok(count) => TaskIds::numbered(1, count)
                .map_err(|e| Invalid::because(format!("has {count} lines: {e}")))
                .map(|_| Self { contents, count, is }),
            Err(_) => Err(Invalid::because(format!(
                "has {count} lines, and an array has at most {MAX_TASKS} tasks"
            ))),
        }
    }

    /// Splits the content of a file, without blank lines and comments. The tasks are numbered by
    /// the lines that are left.
    ///
    /// # Errors
    /// As for [`TaskLines::new`], and when no line is left.
    pub fn without_comments(contents: &[u8], is: LineUse) -> Result<Self, Invalid> {
        // Errors have the line numbers of the file.
        let all = Self::new(contents.to_vec(), is)?;
        let kept = all.each().filter(|line| Unusual::of(line).is_none());
        let kept: Vec<u8> = kept.flat_map(|line| line.iter().chain(b"\n")).copied().collect();
        match kept.is_empty() {
            true => Err(Invalid::because("only has blank lines and comments")),
            false => Self::new(kept, is),
        }
    }

    /// The lines, without their ends.
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.contents.split(|b| *b == b'\n').take(self.count as usize)
    }

    /// The numbers of the lines that are blank, and of those that look like comments.
    pub fn unusual(&self) -> (Vec<u32>, Vec<u32>) {
        let (mut blank, mut comments) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(self.each()) {
            match Unusual::of(line) {
                Some(Unusual::Blank) => blank.push(number),
                Some(Unusual::Comment) => comments.push(number),
                None => {}
            }
        }
        (blank, comments)
    }

    /// The bytes, with a line end behind every line.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// The lines of each group of tasks: from the lowest ID of the group to the highest.
    pub fn of_groups<'a>(&'a self, groups: impl Iterator<Item = &'a TaskIds>) -> Vec<&'a [u8]> {
        let ends = self.contents.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
        // The line number n is between the ends with the indices n - 1 and n.
        let ends: Vec<usize> = std::iter::once(0).chain(ends).collect();
        let end = |number: u32| ends.get(number as usize).copied().unwrap_or(self.contents.len());
        groups.map(|ids| &self.contents[end(ids.min().max(1) - 1)..end(ids.max())]).collect()
    }

    /// The IDs of the tasks: the numbers of the lines.
    ///
    /// # Errors
    /// None for lines that were counted.
    pub fn ids(&self) -> Result<TaskIds, Invalid> {
        TaskIds::numbered(1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_checked() {
        let count = |text: &str| TaskLines::new(text.into(), LineUse::Command).map(|l| l.count);
        assert_eq!(count("a\nb\n"), Ok(2));
        assert_eq!(count("a\n\nb"), Ok(3));
        for bad in ["", "a\r\nb\r\n", "a\0\n", &"x".repeat(130_049)] {
            assert!(count(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_source_without_end_is_refused_early() {
        let refusal = |chunk: &[u8], most: usize| {
            let mut lines = PartialLines::default();
            (0..most).find_map(|_| lines.push(chunk).err()).map(|e| e.to_string())
        };
        let says = |chunk: &[u8], most: usize, words: &str| {
            let refusal = refusal(chunk, most);
            assert!(refusal.as_ref().is_some_and(|refusal| refusal.contains(words)), "{refusal:?}");
        };
        says(b"\0", 1, "a NUL in line 1");
        says(b"y\ny\0", 1, "a NUL in line 2");
        says(&[b'x'; 4096], 32, "127 KiB in line 1");
        says(&[b"y\n".as_slice(), &[b'x'; 127 * 1024 + 1]].concat(), 1, "127 KiB in line 2");
        assert_eq!(refusal(&[&[b'x'; 4096], b"\n".as_slice()].concat(), 40), None);
        says(&b"y\n".repeat(100_000), 11, "more than 1000000 lines");
        assert_eq!(refusal(&b"y\n".repeat(100_000), 10), None);
        let long = [&[b'x'; 64 << 10][..], b"\n"].concat();
        assert_eq!(refusal(&long, 100), None);
    }

    #[test]
    fn the_pieces_of_a_file_are_the_file() -> Result<(), Invalid> {
        let text = b"a\n\nccc\r\nd";
        for size in 1..=text.len() {
            let mut lines = PartialLines::default();
            text.chunks(size).try_for_each(|chunk| lines.push(chunk))?;
            assert_eq!(lines.into_contents(), text);
        }
        Ok(())
    }

    #[test]
    fn blank_lines_and_comments_are_told_or_left_out() -> Result<(), Invalid> {
        let text = b"#!/bin/sh\na # b\n \t\n\n  # c\nd";
        let lines = TaskLines::new(text.to_vec(), LineUse::Command)?;
        assert_eq!((lines.count, lines.unusual()), (6, (vec![3, 4], vec![1, 5])));
        let kept = TaskLines::without_comments(text, LineUse::Command)?;
        assert_eq!((kept.contents(), kept.count), (b"a # b\nd\n".as_slice(), 2));
        assert_eq!(kept.unusual(), (Vec::new(), Vec::new()));
        assert!(TaskLines::without_comments(b"\n# a\n", LineUse::Argument).is_err());
        // The error has the line number of the file.
        let wrong = TaskLines::without_comments(b"# a\nb\r\n", LineUse::Argument);
        assert!(wrong.is_err_and(|e| e.to_string().contains("line 2")));
        assert!(TaskLines::new(b"\xef\xbb\xbfa\n".to_vec(), LineUse::Command).is_err());
        Ok(())
    }

    #[test]
    fn a_group_has_its_own_lines() -> Result<(), Invalid> {
        let lines = TaskLines::new(b"a\n\nccc\nd".to_vec(), LineUse::Command)?;
        let groups = lines.ids()?.chunks(3);
        assert_eq!(lines.of_groups(groups.iter()), [b"a\n\nccc\n".as_slice(), b"d\n"]);
        let scattered: TaskIds = "2,4".parse()?;
        assert_eq!(lines.of_groups([&scattered].into_iter()), [b"\nccc\nd\n".as_slice()]);
        Ok(())
    }
}
