//! A script that can be run.

use std::path::Path;

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
        check_program(&contents)?;
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

/// Refuses programs that no job can run. Which of Linux's processors it has to be is the job's machine's to say:
/// a compute environment may have both.
fn check_program(contents: &[u8]) -> Result<(), ScriptError> {
    match contents {
        // elf(5): the byte order is at 5, the system at 7, the machine at 18. What is built for Linux has System V (0)
        // or GNU (3) as its system.
        [0x7f, b'E', b'L', b'F', _, order, _, system, ..] if contents.len() >= 20 => {
            let machine = [contents[18], contents[19]];
            let machine = if *order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
            match (system, machine) {
                (0 | 3, ELF_386 | ELF_ARM | ELF_X86_64 | ELF_AARCH64) => Ok(()),
                (0 | 3, other) => Err(ScriptError::OtherProcessor(other)),
                (9, _) => Err(ScriptError::OtherSystem("FreeBSD")),
                _ => Err(ScriptError::OtherSystem("another system than Linux")),
            }
        }
        // Mach-O, of 32 and 64 bits, in both byte orders (mach-o/loader.h).
        [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] => {
            Err(ScriptError::OtherSystem("macOS"))
        }
        // One for several processors begins with their number; a class file of Java has its version (45 or more) there.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0..=20, ..] => Err(ScriptError::OtherSystem("macOS")),
        // A PE program has `MZ` and many zeros.
        [b'M', b'Z', ..] if is_binary(contents) => Err(ScriptError::OtherSystem("Windows")),
        _ => Ok(()),
    }
}

/// Machines of elf.h.
const ELF_386: u16 = 3;
const ELF_ARM: u16 = 40;
const ELF_X86_64: u16 = 62;
const ELF_AARCH64: u16 = 183;

fn is_binary(contents: &[u8]) -> bool {
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
        "" | "." | ".." | ".awsb" => "script".to_owned(),
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
    fn programs_for_another_system_are_refused() {
        let elf = |order: u8, system: u8, machine: [u8; 2]| {
            let head = [b"\x7fELF\x02".as_slice(), &[order, 1, system], &[0; 8], &[2, 0], &machine, &[0; 44]];
            script(&head.concat()).map(|_| ())
        };
        assert_eq!(elf(1, 0, [62, 0]), Ok(()));
        assert_eq!(elf(1, 3, [183, 0]), Ok(()));
        assert_eq!(elf(1, 0, [3, 0]), Ok(()));
        assert_eq!(elf(1, 0, [243, 0]), Err(ScriptError::OtherProcessor(243)));
        assert_eq!(elf(2, 0, [0, 21]), Err(ScriptError::OtherProcessor(21)));
        assert_eq!(elf(1, 9, [62, 0]), Err(ScriptError::OtherSystem("FreeBSD")));
        for (head, system) in [
            (b"\xcf\xfa\xed\xfe\x0c\0\0\x01".as_slice(), "macOS"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "macOS"),
            (b"MZ\x90\0\x03\0", "Windows"),
        ] {
            assert_eq!(script(head), Err(ScriptError::OtherSystem(system)));
        }
        assert!(script(b"MZ=1\necho $MZ\n").is_ok());
        assert!(script(b"\xca\xfe\xba\xbe\0\0\0\x41").is_ok());
    }

    #[test]
    fn who_runs_it() {
        assert_eq!(script(b"echo hi").map(|s| s.is_self_contained()), Ok(false));
        assert_eq!(script(b"#!/usr/bin/env python3\n").map(|s| s.is_self_contained()), Ok(true));
        assert_eq!(script(b"\x7fELF\0").map(|s| s.is_self_contained()), Ok(true));
        assert_eq!(script(b"x").map(|s| s.file_name().to_owned()), Ok("my_script.sh".to_owned()));
    }
}
