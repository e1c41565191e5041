//! The command of a job for a terminal (`bsub --pty`). The job itself only waits, by a script, for
//! the command that `bsub` runs beside it. That command is in the arguments of the script, which
//! does not read them, so that the tools can show it.

/// The value of `$0` in the script, by which the tools recognise one.
const NAME: &str = "bsub-pty";

/// The command vector that starts a script with the words of the command.
pub fn command(script: String, words: impl IntoIterator<Item = String>) -> Vec<String> {
    ["/bin/sh".to_owned(), "-c".to_owned(), script, NAME.to_owned()].into_iter().chain(words).collect()
}

/// The command as the user gave it, without the script.
pub fn without_script(command: &[String]) -> &[String] {
    match command {
        [sh, c, _, name, words @ ..] if sh == "/bin/sh" && c == "-c" && name == NAME && !words.is_empty() => {
            words
        }
        _ => command,
    }
}

/// As [`without_script`], of a command that is quoted for sh.
pub fn quoted_without_script(command: &str) -> &str {
    let words = command.strip_prefix("/bin/sh -c ").and_then(|rest| rest.split_once("' bsub-pty "));
    words.map_or(command, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::launcher::quote_all;
    use super::*;

    #[test]
    fn the_script_is_no_part_of_what_the_user_ran() {
        let words = ["python3", "it's", "a b"].map(str::to_owned);
        let all = command("echo 'x' \"$0\"".to_owned(), words.clone());
        assert_eq!(without_script(&all), words);
        let quoted = |words: &[String]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            quote_all(words.iter().map(OsString::as_os_str)).to_string_lossy().into_owned()
        };
        assert_eq!(quoted_without_script(&quoted(&all)), quoted(&words));
        // Others, and those of versions that had no words there, stay as they are.
        for other in [&all[..4], &all[4..], &["/bin/sh".to_owned(), "-c".to_owned(), "x".to_owned()]] {
            assert_eq!(without_script(other), other);
            assert_eq!(quoted_without_script(&quoted(other)), quoted(other));
        }
    }
}
