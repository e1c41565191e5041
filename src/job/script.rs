//! A script that can be run.

use std::path::Path;

use super::{program, reserved};

/// A script's bytes, known to be something that a Unix system can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    file_name: String,
    contents: Vec<u8>,
}

/// Why some bytes are no script. Worded to follow the script's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// Lines end as on Windows: the kernel would look for an interpreter named `sh\r`.
    #[error("has Windows (CRLF) line ends, which a Unix system cannot run")]
    CrLf,
    /// A byte order mark hides the `#!` line from the kernel.
    #[error("begins with a byte order mark, which hides its `#!` line")]
    ByteOrderMark,
    /// A program for a system that is not Linux.
    #[error("is a program for {0}, and jobs run on Linux")]
    OtherSystem(&'static str),
    /// A program for a processor that AWS Batch does not have.
    #[error("is a program for a processor that jobs do not run on (ELF machine {0})")]
    OtherProcessor(u16),
}

impl ScriptError {
    /// How to mend the script called `name`.
    pub fn hint(self, name: &str) -> Option<String> {
        match self {
            ScriptError::Empty => None,
            ScriptError::CrLf => {
                Some(format!("`dos2unix {name}`, or `tr -d '\\r' < {name} > new`, mends it"))
            }
            ScriptError::OtherSystem(_) | ScriptError::OtherProcessor(_) => Some(
                "build it for Linux on x86-64 or 64-bit ARM, whichever the job's machines have".to_owned(),
            ),
            ScriptError::ByteOrderMark => Some(format!("`tail -c +4 {name} > new` takes the mark off")),
        }
    }
}

impl Script {
    /// Takes the bytes of a script; `path` gives the file name under which the job will see it.
    ///
    /// # Errors
    /// When the bytes cannot be run, see [`ScriptError`].
    pub fn new(path: &Path, contents: Vec<u8>) -> Result<Self, ScriptError> {
        if contents.iter().all(u8::is_ascii_whitespace) {
            return Err(ScriptError::Empty);
        }
        if contents.starts_with(b"\xef\xbb\xbf") {
            return Err(ScriptError::ByteOrderMark);
        }
        program::check(&contents)?;
        if has_crlf_lines(&contents) {
            return Err(ScriptError::CrLf);
        }
        Ok(Self { file_name: file_name(path), contents })
    }

    /// The name of the file in the job's working directory: the script's own, with what a `PATH` or a shell
    /// could stumble over replaced.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The bytes.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// Whether the kernel finds out by itself how to run it: a `#!` line or a binary. Anything else is for
    /// `/bin/sh`, as POSIX has it for a shell that is given such a file.
    pub fn is_self_contained(&self) -> bool {
        self.contents.starts_with(b"#!") || is_binary(&self.contents)
    }
}

pub(super) fn is_binary(contents: &[u8]) -> bool {
    contents.iter().take(8192).any(|b| *b == 0)
}

/// Whether the first line, or most lines, end in CRLF. A here-document may have some.
fn has_crlf_lines(contents: &[u8]) -> bool {
    if is_binary(contents) {
        return false;
    }
    let mut lines = contents.split_inclusive(|b| *b == b'\n');
    if lines.next().is_some_and(|line| line.ends_with(b"\r\n")) {
        return true;
    }
    let (crlf, all) = lines
        .filter(|line| line.ends_with(b"\n"))
        .fold((0usize, 0usize), |(crlf, all), line| (crlf + usize::from(line.ends_with(b"\r\n")), all + 1));
    crlf * 2 > all
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    let clean: String = name
        .chars()
        .take(100)
        .map(|c| if c.is_ascii_alphanumeric() || "._-+@%=,".contains(c) { c } else { '_' })
        .collect();
    match clean.as_str() {
        "" | "." | ".." => "script".to_owned(),
        name if reserved(Path::new(name)).is_some() => "script".to_owned(),
        _ => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(contents: &[u8]) -> Result<Script, ScriptError> {
        Script::new(Path::new("dir/my script.sh"), contents.to_vec())
    }

    #[test]
    fn what_cannot_run_is_named() {
        assert_eq!(script(b""), Err(ScriptError::Empty));
        assert_eq!(script(b" \n\t\n"), Err(ScriptError::Empty));
        assert_eq!(script(b"#!/bin/sh\r\necho\r\n"), Err(ScriptError::CrLf));
        assert_eq!(script(b"#!/bin/sh\necho\r\necho\r\n"), Err(ScriptError::CrLf));
        assert_eq!(script(b"\xef\xbb\xbf#!/bin/sh\n"), Err(ScriptError::ByteOrderMark));
        assert!(script(b"#!/bin/sh\necho\ncat <<E\nx\r\nE\n").is_ok());
        assert!(script(b"\x7fELF\0\r\n\r\n").is_ok());
    }

    #[test]
    fn who_runs_it() {
        assert_eq!(script(b"echo hi").map(|s| s.is_self_contained()), Ok(false));
        assert_eq!(script(b"#!/usr/bin/env python3\n").map(|s| s.is_self_contained()), Ok(true));
        assert_eq!(script(b"\x7fELF\0").map(|s| s.is_self_contained()), Ok(true));
        assert_eq!(script(b"x").map(|s| s.file_name().to_owned()), Ok("my_script.sh".to_owned()));
    }
}
