//! The launcher: the few lines of POSIX sh that a job begins with when it was staged.
//!
//! It is assembled from the parts in `launcher/`, which shellcheck sees as they are. A job's command is
//! `/bin/sh -c LAUNCHER awsb ARG…`; the bundle, or its place, is in a variable.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The variable with the bundle itself (base64) or its `s3://` URL.
pub const BUNDLE_VARIABLE: &str = "AWSB_BUNDLE";
/// The variable with the region of the bundle's bucket.
pub const REGION_VARIABLE: &str = "AWSB_BUNDLE_REGION";
/// The variable with an argument vector, quoted for sh.
pub const ARGS_VARIABLE: &str = "AWSB_ARGS";
/// The file in a bundle, to be sourced, with variables and an argument vector.
pub const JOB_FILE: &str = ".awsb/job";

/// What `$0` is in a launcher, and how the tools recognise one.
const NAME: &str = "awsb";

const UNPACK: &str = include_str!("launcher/unpack.sh");
const INLINE: &str = include_str!("launcher/inline.sh");
const FETCH: &str = include_str!("launcher/fetch.sh");
const SCRIPT: &str = include_str!("launcher/script.sh");
const COMMAND: &str = include_str!("launcher/command.sh");
const ARGS: &str = include_str!("launcher/args.sh");

/// How the bundle reaches the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// Inside the request.
    Inline,
    /// From S3.
    Fetched,
}

/// The launcher of a staged script.
pub fn for_script(carriage: Carriage) -> String {
    [UNPACK, carriage.part(), SCRIPT].map(bare).concat()
}

/// The launcher of a command whose arguments or variables are in a bundle.
pub fn for_command(carriage: Carriage) -> String {
    [UNPACK, carriage.part(), COMMAND].map(bare).concat()
}

/// The launcher of a command whose arguments are in [`ARGS_VARIABLE`].
pub fn for_args() -> String {
    bare(ARGS)
}

impl Carriage {
    fn part(self) -> &'static str {
        match self {
            Carriage::Inline => INLINE,
            Carriage::Fetched => FETCH,
        }
    }
}

/// The command vector that starts `launcher` with `args`.
pub fn command(launcher: String, args: Vec<String>) -> Vec<String> {
    ["/bin/sh".to_owned(), "-c".to_owned(), launcher, NAME.to_owned()].into_iter().chain(args).collect()
}

/// The command as its user gave it: without the launcher, if it has one.
pub fn without_launcher(command: &[String]) -> &[String] {
    match command {
        [sh, c, _, name, args @ ..] if sh == "/bin/sh" && c == "-c" && name == NAME => args,
        _ => command,
    }
}

/// The script without comments, blank lines and indentation: every character counts against a limit.
fn bare(script: &str) -> String {
    script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// A word that any POSIX shell reads back as exactly these bytes.
pub fn quote(word: &OsStr) -> OsString {
    let bytes = word.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(b);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for b in bytes {
        match b {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(*b),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

/// Words, quoted, with blanks between them.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> OsString {
    words.into_iter().map(quote).collect::<Vec<_>>().join(OsStr::new(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_small() {
        // What the launcher takes, the script cannot have.
        assert!(for_script(Carriage::Inline).len() < 1700, "{}", for_script(Carriage::Inline).len());
        assert!(for_script(Carriage::Fetched).len() < 3800, "{}", for_script(Carriage::Fetched).len());
    }

    #[test]
    fn nothing_in_it_is_a_parameter_of_a_job_definition() {
        assert!(!for_script(Carriage::Fetched).contains("Ref::"));
    }

    #[test]
    fn the_launcher_is_no_part_of_what_the_user_ran() {
        let command = command(for_args(), vec!["./a.sh".into(), "1".into()]);
        assert_eq!(without_launcher(&command), ["./a.sh", "1"]);
        assert_eq!(without_launcher(&["echo".into()]), ["echo"]);
    }
}
