//! The input files of a job.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::stage::{Inputs, unsent_files};
use crate::ui::{Failure, print_message};
use awsb_model::{Input, Program};

/// Finds the files that `--input` names, and notes files that the arguments name and that the job
/// will not have.
pub fn gather(args: &[Input], program: &Program, quiet: bool) -> Result<Inputs, Failure> {
    let (script, words) = match program {
        Program::Script { script, args } => (Some((script.file_name(), script.contents())), args.as_slice()),
        // The command itself is in the image.
        Program::Command(argv) => (None, argv.get(1..).unwrap_or_default()),
    };
    let inputs = Inputs::gather(args, script)?;
    if quiet {
        return Ok(inputs);
    }
    for (path, value) in unsent_files(words.iter().map(|w| w.as_os_str()), |p| p.is_file(), &inputs) {
        let value = awsb_model::payload::launcher::quote(OsStr::from_bytes(value.as_bytes()));
        print_message(format!(
            "bsub: note: {} is a file here, but not in the job; to send it with the job, add `-i {}`",
            path.display(),
            value.display()
        ));
    }
    Ok(inputs)
}

/// The note that `-i FILE` is not the job's standard input, as it is in Slurm and LSF. It is for a
/// command line with one input file under its own name that neither the command nor the script
/// mentions.
pub fn not_stdin(given: &[Input], program: &Program) -> Option<String> {
    let [input] = given else { return None };
    let path = input.path();
    if input.is_renamed() || !path.is_file() || may_read(path, program) {
        return None;
    }
    let quoted = awsb_model::payload::launcher::quote(path.as_os_str());
    Some(format!(
        "{} goes into the job's working directory; `--stdin {}` makes it the job's standard input",
        path.display(),
        quoted.display()
    ))
}

/// Whether a job may read a file: its command, the arguments or the script have the file's name or
/// a pattern that may match it, or the file has the name of the program that reads it (`Makefile`
/// and `make`).
fn may_read(path: &Path, program: &Program) -> bool {
    let lossy = |text: &OsStr| text.to_string_lossy().into_owned();
    let (name, stem) = (path.file_name().map(lossy), path.file_stem().map(lossy));
    let (Some(name), Some(stem)) = (name, stem) else { return true };
    let (mut texts, executable) = match program {
        Program::Script { script, .. } if script.is_program() => return true,
        Program::Script { script, args } => {
            let contents = String::from_utf8_lossy(script.contents()).into_owned();
            (args.iter().map(|arg| lossy(arg)).chain([contents]).collect::<Vec<_>>(), None)
        }
        Program::Command(argv) => (argv.iter().map(|arg| lossy(arg)).collect(), argv.first()),
    };
    texts.retain(|text| !text.is_empty());
    let is_called_like = executable.and_then(|path| Path::new(path).file_name()).is_some_and(|executable| {
        let (executable, name) = (lossy(executable).to_ascii_lowercase(), name.to_ascii_lowercase());
        executable.chars().zip(name.chars()).take_while(|(a, b)| a == b).count() >= 3
    });
    let is_in = |word: &str, text: &str| {
        text.match_indices(word).any(|(at, _)| {
            let (before, behind) = (&text[..at], &text[at + word.len()..]);
            !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric)
        })
    };
    is_called_like
        || texts.iter().any(|text| text.contains('*') || text.contains(&name) || is_in(&stem, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use awsb_model::Script;

    #[test]
    fn jobs_that_may_read_an_input() {
        let command = |line: &str| Program::Command(line.split(' ').map(Into::into).collect());
        for (file, line, expected) in [
            ("in.txt", "cat", false),
            ("in.txt", "sort -n", false),
            ("in.txt", "cat in.txt", true),
            ("in.txt", "/bin/sh -c cat<in.txt", true),
            ("in.txt", "python main.py", false),
            ("data/train.py", "python -m train", true),
            ("data/a.csv", "/bin/sh -c cat *.csv", true),
            ("Makefile", "make -j4", true),
            ("Snakefile", "snakemake", true),
        ] {
            assert_eq!(may_read(Path::new(file), &command(line)), expected, "{file}: {line}");
        }
        let script = |text: &str| {
            let script = Script::new(Path::new("job.sh"), text.as_bytes().to_vec()).expect("a script");
            Program::Script { script, args: Vec::new() }
        };
        assert!(!may_read(Path::new("in.txt"), &script("#!/bin/sh\nsort\n")));
        assert!(may_read(Path::new("in.txt"), &script("#!/bin/sh\nsort in.txt\n")));
    }
}
