//! A script that can be run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::reserved;

/// A script that a Unix system can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    file_name: String,
    contents: Vec<u8>,
}

/// Why a script is refused. The message reads well after the script's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The script has only white space.
    #[error("is empty")]
    Empty,
    /// The lines end as on Windows, so the kernel would look for an interpreter named `sh\r`.
    #[error("has Windows (CRLF) line ends, which a Unix system cannot run")]
    CrLf,
    /// A byte order mark hides the `#!` line from the kernel.
    #[error("begins with a byte order mark, which hides its `#!` line")]
    ByteOrderMark,
    /// The script is in a language other than that of `/bin/sh`, and does not name its interpreter.
    #[error("is {} without a `#!` line, and /bin/sh cannot run it", .0.what)]
    NoInterpreter(&'static Language),
    /// The program is for a system other than Linux.
    #[error("is a program for {0}, and jobs run on Linux")]
    OtherSystem(&'static str),
    /// The program is for a processor that AWS Batch does not have.
    #[error("is a program for a processor that jobs do not run on (ELF machine {0})")]
    OtherProcessor(u16),
}

impl ScriptError {
    /// How to repair the script called `name`.
    pub fn hint(self, name: &str) -> Option<String> {
        match self {
            ScriptError::NoInterpreter(Language { program, .. }) => {
                let base = Path::new(name).file_name().unwrap_or_default().display();
                Some(format!(
                    "add `#!/usr/bin/env {program}` as its first line, or run it with the image's \
                     {program}: `bsub -i {name} {program} {base}`"
                ))
            }
            ScriptError::Empty => None,
            ScriptError::CrLf => {
                Some(format!("`dos2unix {name}`, or `tr -d '\\r' < {name} > new`, fixes it"))
            }
            ScriptError::OtherSystem(_) | ScriptError::OtherProcessor(_) => {
                Some("build it for Linux, on x86-64 or 64-bit ARM as the job's machines are".to_owned())
            }
            ScriptError::ByteOrderMark => Some(format!("`tail -c +4 {name} > new` removes the mark")),
        }
    }
}

impl Script {
    /// Checks a script. `path` gives the name of the file in the job.
    ///
    /// # Errors
    /// When a job could not run it, see [`ScriptError`].
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
        if let Some(language) = language(path, &contents) {
            return Err(ScriptError::NoInterpreter(language));
        }
        Ok(Self { file_name: file_name(path), contents })
    }

    /// The name of the file in the job's working directory: the script's own name, without
    /// characters that `PATH` or a shell would misread.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The content.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// The interpreter in its `#!` line, as for [`interpreter`]. Empty without such a line.
    pub fn interpreter(&self) -> &OsStr {
        interpreter(&self.contents).unwrap_or_default()
    }

    /// Whether it is a program, and not text.
    pub fn is_program(&self) -> bool {
        is_binary(&self.contents)
    }

    /// Whether the kernel can run it: it has a `#!` line, or is a program. Any other script is run
    /// by `/bin/sh`, as POSIX has it for a shell that is given such a file.
    pub fn is_self_contained(&self) -> bool {
        self.contents.starts_with(b"#!") || is_binary(&self.contents)
    }
}

/// The interpreter in the `#!` line of a file, if there is one: the first word on it.
pub fn interpreter(contents: &[u8]) -> Option<&OsStr> {
    let line = contents.split(|b| *b == b'\n').next()?.strip_prefix(b"#!")?;
    let mut words = line.split(|b| [b' ', b'\t'].contains(b));
    words.find(|word| !word.is_empty()).map(OsStr::from_bytes)
}

/// A language whose scripts need an interpreter.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// The name of its scripts in messages.
    what: &'static str,
    /// The program that runs them.
    program: &'static str,
    /// The endings of its scripts' names.
    endings: &'static [&'static str],
    /// The beginnings of the first line of code in many of its scripts, and in no shell script.
    openings: &'static [&'static str],
}

const LANGUAGES: [Language; 8] = [
    Language { what: "a Python script", program: "python3", endings: &["py"], openings: &[] },
    Language {
        what: "an R script",
        program: "Rscript",
        endings: &["R", "r"],
        openings: &["library(", "suppressPackageStartupMessages(", "args <- commandArgs"],
    },
    Language {
        what: "a Perl script",
        program: "perl",
        endings: &["pl"],
        openings: &["use strict", "use warnings", "use v5"],
    },
    Language { what: "a Julia script", program: "julia", endings: &["jl"], openings: &["using "] },
    Language { what: "a Ruby script", program: "ruby", endings: &["rb"], openings: &[] },
    Language { what: "a Lua script", program: "lua", endings: &["lua"], openings: &[] },
    Language { what: "a JavaScript program", program: "node", endings: &["js", "mjs"], openings: &[] },
    Language { what: "a Tcl script", program: "tclsh", endings: &["tcl"], openings: &[] },
];

/// The language of a script without a `#!` line that is not for `/bin/sh`, by its name or its
/// beginning.
fn language(path: &Path, contents: &[u8]) -> Option<&'static Language> {
    const OF_A_SHELL: [&str; 9] = ["sh", "bash", "ksh", "zsh", "sbatch", "slurm", "lsf", "bsub", "job"];
    if contents.starts_with(b"#!") || is_binary(contents) {
        return None;
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if OF_A_SHELL.contains(&ending) {
        return None;
    }
    let text = String::from_utf8_lossy(contents);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    LANGUAGES.iter().find(|language| {
        language.endings.contains(&ending)
            || language.openings.iter().any(|opening| first.starts_with(opening))
            || (language.program == "python3" && is_import(first))
    })
}

/// Recognises `import os`, `import a.b as c`, `from a import b`. ImageMagick's `import` has options
/// and a file.
fn is_import(line: &str) -> bool {
    let is_name = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ','))
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["from", module, "import", ..] => is_name(module),
        ["import", module] => is_name(module) && !module.contains('.'),
        ["import", module, "as", name] => is_name(module) && is_name(name),
        ["import", module, others @ ..] => module.ends_with(',') && others.iter().all(|other| is_name(other)),
        _ => false,
    }
}

pub(super) fn is_binary(contents: &[u8]) -> bool {
    contents.iter().take(8192).any(|b| *b == 0)
}

/// Whether the first line, or most lines, end in CRLF. A here-document may have a few.
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

/// Refuses programs that no job can run. The processor is not checked beyond Linux's own, as a
/// compute environment may have several kinds.
fn check_program(contents: &[u8]) -> Result<(), ScriptError> {
    match contents {
        // elf(5): the byte order is at 5, the system at 7, the machine at 18. Programs for Linux
        // have System V (0) or GNU (3) as their system.
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
        // A program for several processors begins with their number. Java's class files have their
        // version (45 or more) in the same place.
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
    fn scripts_of_other_languages_name_their_interpreter() {
        let of = |name: &str, text: &str| match Script::new(Path::new(name), text.as_bytes().to_vec()) {
            Err(ScriptError::NoInterpreter(language)) => Some(language.program),
            other => other.map(|_| None).expect("a script"),
        };
        for (name, text, program) in [
            ("x.py", "print(1)\n", "python3"),
            ("x.R", "x <- 1\n", "Rscript"),
            ("x.r", "x <- 1\n", "Rscript"),
            ("x.pl", "print 1;\n", "perl"),
            ("x.jl", "println(1)\n", "julia"),
            ("x", "# a comment\n\nimport os\n", "python3"),
            ("STDIN", "from a.b import c\n", "python3"),
            ("STDIN", "import numpy as np\n", "python3"),
            ("STDIN", "import os, sys\n", "python3"),
            ("run", "library(dplyr)\n", "Rscript"),
            ("run", "use strict;\n", "perl"),
            ("run", "using CSV\n", "julia"),
        ] {
            assert_eq!(of(name, text), Some(program), "{name}: {text}");
            assert_eq!(of(name, &format!("#!/usr/bin/env {program}\n{text}")), None, "{name}: {text}");
        }
        for (name, text) in [
            ("x.sh", "import os\n"),
            ("x.sbatch", "import os\n"),
            ("x", "import -window root x.png\n"),
            ("x", "import x.png\n"),
            ("x", "echo import os\n"),
            ("x", "# import os\n"),
            ("x.py", "\x7fELF\0"),
        ] {
            assert_eq!(of(name, text), None, "{name}: {text}");
        }
        let hint = ScriptError::NoInterpreter(&LANGUAGES[0]).hint("src/x.py");
        assert!(hint.is_some_and(|hint| hint.contains("`bsub -i src/x.py python3 x.py`")));
    }

    #[test]
    fn who_runs_it() {
        assert_eq!(script(b"echo hi").map(|s| s.is_self_contained()), Ok(false));
        assert_eq!(script(b"#!/usr/bin/env python3\n").map(|s| s.is_self_contained()), Ok(true));
        assert_eq!(script(b"\x7fELF\0").map(|s| s.is_self_contained()), Ok(true));
        assert_eq!(script(b"x").map(|s| s.file_name().to_owned()), Ok("my_script.sh".to_owned()));
    }

    #[test]
    fn programs_for_another_system_are_refused() {
        let elf = |order: u8, system: u8, machine: [u8; 2]| {
            let head = [b"\x7fELF\x02".as_slice(), &[order, 1, system], &[0; 8], &[2, 0], &machine, &[0; 44]];
            check_program(&head.concat())
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
            assert_eq!(check_program(head), Err(ScriptError::OtherSystem(system)));
        }
        assert!(check_program(b"MZ=1\necho $MZ\n").is_ok());
        assert!(check_program(b"\xca\xfe\xba\xbe\0\0\0\x41").is_ok());
    }
}
