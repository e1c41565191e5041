//! A script that can be run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
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
    /// A script in a language that `/bin/sh` does not speak, without a line that names its interpreter.
    #[error("is {} without a `#!` line, and /bin/sh cannot run it", .0.what)]
    NoInterpreter(&'static Language),
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
        if let Some(language) = language(path, &contents) {
            return Err(ScriptError::NoInterpreter(language));
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

    /// What its `#!` line names, as [`interpreter`]; empty without such a line.
    pub fn interpreter(&self) -> &OsStr {
        interpreter(&self.contents).unwrap_or_default()
    }

    /// Whether it is a program and no text.
    pub fn is_program(&self) -> bool {
        is_binary(&self.contents)
    }

    /// Whether the kernel finds out by itself how to run it: a `#!` line or a binary. Anything else is for
    /// `/bin/sh`, as POSIX has it for a shell that is given such a file.
    pub fn is_self_contained(&self) -> bool {
        self.contents.starts_with(b"#!") || is_binary(&self.contents)
    }
}

/// What the `#!` line of a file names, if it has one: the first word on it.
pub fn interpreter(contents: &[u8]) -> Option<&OsStr> {
    let line = contents.split(|b| *b == b'\n').next()?.strip_prefix(b"#!")?;
    let mut words = line.split(|b| [b' ', b'\t'].contains(b));
    words.find(|word| !word.is_empty()).map(OsStr::from_bytes)
}

/// A language whose scripts need an interpreter of their own.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// What its scripts are called.
    what: &'static str,
    /// The program that runs them.
    program: &'static str,
    /// What their names end in.
    endings: &'static [&'static str],
    /// What the first line of code begins with in many of them, and in no shell script.
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

/// The language of a script that names no interpreter and is not for `/bin/sh`, by its name or by how it begins.
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

/// `import os`, `import a.b as c`, `from a import b`. ImageMagick's `import` has options and a file.
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
}
