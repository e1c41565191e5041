//! One task for each line of a file.

use super::{Invalid, MAX_TASKS, TaskIds, limits};

/// What a line is to its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineUse {
    /// `--each`: it stands for every `{}` in the arguments.
    Argument,
    /// `--commands`: it is the command.
    Command,
}

/// Lines, each of which is a task; the first has the ID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    contents: Vec<u8>,
    count: u32,
    /// What they are to their tasks.
    pub is: LineUse,
}

impl Lines {
    /// Takes the bytes of a file. A last line needs no line end.
    ///
    /// # Errors
    /// When there is no line, or one that no command line can hold. Worded to follow the file's name.
    pub fn new(mut contents: Vec<u8>, is: LineUse) -> Result<Self, Invalid> {
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
            Err(_) => {
                Err(Invalid::because(format!("has {count} lines, and an array at most {MAX_TASKS} tasks")))
            }
        }
    }

    /// The bytes, with a line end behind every line.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// For each group of tasks, which have these IDs, its lines: from that of the lowest ID to that of the highest.
    pub fn of_groups<'a>(&'a self, groups: impl Iterator<Item = &'a TaskIds>) -> Vec<&'a [u8]> {
        let ends = self.contents.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
        // The line with the number n is between the ends with the indices n - 1 and n.
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
        let count = |text: &str| Lines::new(text.into(), LineUse::Command).map(|l| l.count);
        assert_eq!(count("a\nb\n"), Ok(2));
        assert_eq!(count("a\n\nb"), Ok(3));
        for bad in ["", "a\r\nb\r\n", "a\0\n", &"x".repeat(130_049)] {
            assert!(count(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_group_has_its_own_lines() -> Result<(), Invalid> {
        let lines = Lines::new(b"a\n\nccc\nd".to_vec(), LineUse::Command)?;
        let groups = lines.ids()?.chunks(3);
        assert_eq!(lines.of_groups(groups.iter()), [b"a\n\nccc\n".as_slice(), b"d\n"]);
        let scattered: TaskIds = "2,4".parse()?;
        assert_eq!(lines.of_groups([&scattered].into_iter()), [b"\nccc\nd\n".as_slice()]);
        Ok(())
    }
}
