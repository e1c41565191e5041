//! Notes about a script or a command that may be a mistake: a program of this machine, or options
//! behind the script or the command.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::args::Args;
use crate::ui::print_message;
use awsb_model::Script;

/// The folders with the programs of a system.
const SYSTEM_FOLDERS: [&str; 7] = ["/bin", "/sbin", "/usr", "/opt", "/nix", "/snap", "/Library"];
/// The long options of bsub that many scripts have, too.
const COMMON_OPTIONS: [&str; 10] =
    ["help", "version", "debug", "quiet", "json", "input", "output-file", "script", "man", "completions"];
/// The long options of bsub that hardly any other program has.
const DISTINCTIVE_OPTIONS: [&str; 11] = [
    "array",
    "depends-on",
    "env-exclude",
    "ephemeral-storage",
    "execution-role",
    "job-definition",
    "job-role",
    "kill-on-interrupt",
    "propagate-tags",
    "retry-on",
    "skip-comments",
];
/// Commands that are complete with an option that bsub has, too.
const COMPLETE_COMMANDS: [(&str, &str); 2] = [("hostname", "-I"), ("sudo", "-K")];

/// Prints the notes.
pub(super) fn print(args: &Args, path: &Path, script: &Script, behind: &[OsString]) {
    if !args.script && is_of_this_machine(path, script) {
        let shown = path.display();
        print_message(format!(
            "bsub: note: {shown} is a program of this machine and is sent with the job; `--command` runs \
             the image's own {shown}"
        ));
    }
    print_stray("script", stray(&Args::command(), behind, script.contents()));
}

/// Prints the note about an option of bsub that comes after a command.
pub(super) fn print_stray_of_command(command: &OsStr, behind: &[OsString]) {
    print_stray("command", stray_of_command(command, behind));
}

/// Prints a note on a terminal about an option of bsub that comes after the `script` or `command`.
fn print_stray(what: &str, option: Option<String>) {
    if std::io::stderr().is_terminal()
        && let Some(option) = option
    {
        print_message(format!(
            "bsub: note: {option} comes after the {what}, so it is an argument of the {what}; bsub's own \
             options come before the {what}"
        ));
    }
}

/// Whether a script is a program that is installed on this machine or built for it.
fn is_of_this_machine(path: &Path, script: &Script) -> bool {
    path.is_absolute()
        && (script.is_program() || SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder)))
}

/// The first option of bsub among the arguments of a script, unless the script mentions it.
fn stray(command: &Command, behind: &[OsString], script: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(script);
    let words = behind.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    let is_ours = |word: &str| match word.strip_prefix("--") {
        Some(long) => {
            let name = long.split('=').next().unwrap_or_default();
            !COMMON_OPTIONS.contains(&name)
                && !text.contains(name)
                && command.get_arguments().any(|arg| {
                    arg.get_long() == Some(name)
                        || arg.get_visible_aliases().is_some_and(|others| others.contains(&name))
                })
        }
        None => ["-I", "-K", "-KI", "-IK"].contains(&word) && !text.contains(word),
    };
    words.into_iter().find(|word| is_ours(word)).map(std::borrow::Cow::into_owned)
}

/// The option directly after a command, if it is surely one of bsub. Most commands have options
/// with the names of bsub's: `gcc -I include`, `curl -I URL`, `tool --memory 4G`.
fn stray_of_command(command: &OsStr, behind: &[OsString]) -> Option<String> {
    let (option, rest) = behind.split_first()?;
    let (command, option) = (command.to_str()?, option.to_str()?);
    let is_ours = match option.strip_prefix("--") {
        Some(long) => DISTINCTIVE_OPTIONS.contains(&long.split('=').next().unwrap_or_default()),
        None => match option {
            "-KI" | "-IK" => true,
            "-I" | "-K" => rest.is_empty() && !COMPLETE_COMMANDS.contains(&(command, option)),
            _ => false,
        },
    };
    is_ours.then(|| option.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_behind_a_command() {
        for (words, option) in [
            ("cat -I", Some("-I")),
            ("./run -K", Some("-K")),
            ("cat -KI file", Some("-KI")),
            ("run --array 1-3", Some("--array")),
            ("run --job-definition=d x", Some("--job-definition=d")),
            ("gcc -I include a.c", None),
            ("curl -I https://example.org", None),
            ("hostname -I", None),
            ("tool --memory 4G", None),
            ("aws batch submit-job --job-definition d", None),
            ("tool", None),
            ("tool -- -I", None),
        ] {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            assert_eq!(stray_of_command(&words[0], &words[1..]).as_deref(), option, "{words:?}");
        }
    }

    #[test]
    fn distinctive_options_are_options_of_bsub() {
        let command = Args::command();
        for name in DISTINCTIVE_OPTIONS {
            assert!(command.get_arguments().any(|arg| arg.get_long() == Some(name)), "--{name}");
        }
    }

    #[test]
    fn options_behind_a_script() {
        let command = Args::command();
        for (words, script, option) in [
            ("-I", "#!/bin/sh\n", Some("-I")),
            ("x --array 1-3", "#!/bin/sh\n", Some("--array")),
            ("--array=1-3", "#!/bin/sh\n", Some("--array=1-3")),
            ("-KI", "#!/bin/sh\n", Some("-KI")),
            ("--cpus-per-task 3", "#!/bin/sh\n", Some("--cpus-per-task")),
            ("--array 1-3", "case $1 in --array) ;; esac\n", None),
            ("-I", "while getopts IK x; do :; done # -I\n", None),
            ("--help --threads 4 -i x -n 3", "#!/bin/sh\n", None),
            ("-- -I", "#!/bin/sh\n", None),
        ] {
            let behind: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            assert_eq!(stray(&command, &behind, script.as_bytes()).as_deref(), option, "{words}");
        }
    }

    #[test]
    fn programs_of_this_machine() {
        let is = |path: &str, contents: &[u8]| {
            let script = Script::new(Path::new(path), contents.to_vec()).expect("a script");
            is_of_this_machine(Path::new(path), &script)
        };
        assert!(is("/usr/bin/tool", b"#!/bin/sh\n"));
        assert!(is("/home/me/tool", b"\x7fELF\x02\x01\x01\0"));
        assert!(!is("/home/me/job.sh", b"#!/bin/sh\n"));
        assert!(!is("bin/tool", b"\x7fELF\x02\x01\x01\0"));
    }
}
