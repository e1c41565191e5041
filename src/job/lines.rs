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
}
