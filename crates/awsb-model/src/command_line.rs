//! A command as one line, as `ecs:ExecuteCommand` takes it, and back as words.

use std::ffi::OsStr;

use crate::directives::{Quoting, split_words};
use crate::payload::launcher::quote_all;

/// Commands of sh that go to the working directory of the first process of a container, which is
/// where the job runs. The shell stays where it is if it may not see that directory. It also stays
/// for the root directory: the first process may be the one that holds the namespaces of a task
/// (ECS: `pidMode`), which is there. The arguments of the shell stay as they are.
pub const ENTER_FOLDER_OF_JOB: &str = "set -- \"$(cd -P /proc/1/cwd 2>/dev/null && pwd -P)\" \"$@\"; \
                                       case $1 in /?*) cd \"$1\" 2>/dev/null; unset OLDPWD ;; esac; shift";

/// The words as one line, in quotes where they need some.
pub fn to_line<T: AsRef<OsStr>>(words: &[T]) -> String {
    quote_all(words.iter().map(AsRef::as_ref)).to_string_lossy().into_owned()
}

/// The words of a line, as a shell splits it. `None` when a quote is not closed, or there is no
/// word.
pub fn to_words(line: &str) -> Option<Vec<String>> {
    let words = split_words(line.as_bytes(), Quoting::Shell).ok()?;
    let words: Option<Vec<String>> = words.into_iter().map(|word| word.into_string().ok()).collect();
    words.filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_does_it() {
        assert_eq!(to_words("sh -c 'echo \"a b\"'").unwrap(), ["sh", "-c", "echo \"a b\""]);
        assert_eq!(to_words(" "), None);
        assert_eq!(to_words("echo 'a"), None);
    }

    proptest! {
        #[test]
        fn words_are_the_same_after_a_line(words in proptest::collection::vec("[^\0]{0,12}", 1..6)) {
            prop_assert_eq!(to_words(&to_line(&words)), Some(words));
        }
    }
}
