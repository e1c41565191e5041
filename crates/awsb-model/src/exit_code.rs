//! Explanations of exit codes.

/// The explanation of an exit code, beyond that it is not 0. `None`: its meaning is the program's.
///
/// A code above 128 is 128 plus the signal that ended the process (POSIX.1-2024 XCU 2.8.2 requires
/// more than 128; all shells and container engines add 128), with Linux's numbers. 126 and 127 are
/// the shell's (XCU 2.8.2). A killed process cannot be distinguished from one that exits with the
/// same number.
pub fn exit_code_in_words(code: i32) -> Option<String> {
    let words = match code {
        124 => "`timeout` ended it",
        126 => "the command was found and could not be executed",
        127 => "the command, or a file that it needs, was not found",
        129..=192 => return Some(signal(code - 128)),
        _ => return None,
    };
    Some(words.to_owned())
}

/// Signals by their number on Linux (signal(7), x86 and ARM), each with its usual cause.
const SIGNALS: [(i32, &str, &str); 18] = [
    (1, "SIGHUP", "its terminal was closed"),
    (2, "SIGINT", "interrupted"),
    (3, "SIGQUIT", "told to quit"),
    (4, "SIGILL", "an instruction that this processor does not have"),
    (5, "SIGTRAP", "a trap of a debugger or of a failed assertion"),
    (6, "SIGABRT", "it aborted itself: a failed assertion, or corrupted memory"),
    (7, "SIGBUS", "it used memory that is not there: a truncated file, or /dev/shm is full"),
    (8, "SIGFPE", "an arithmetic error, such as a division by zero"),
    (9, "SIGKILL", "out of memory, or ended from outside"),
    (10, "SIGUSR1", "a signal of its own"),
    (11, "SIGSEGV", "it used memory that is not its own"),
    (12, "SIGUSR2", "a signal of its own"),
    (13, "SIGPIPE", "the reader of its output went away"),
    (14, "SIGALRM", "its alarm went off"),
    (15, "SIGTERM", "ended by a user, by a timeout, or because its host went away"),
    (24, "SIGXCPU", "its limit of CPU time"),
    (25, "SIGXFSZ", "its limit of a file's size"),
    (31, "SIGSYS", "a system call that the container may not make"),
];

fn signal(number: i32) -> String {
    let known = SIGNALS.iter().find(|(n, ..)| *n == number);
    known.map_or_else(|| format!("signal {number}"), |(_, name, meaning)| format!("{name}: {meaning}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_shells_and_signals_give() {
        for (code, words) in [
            (126, "could not be executed"),
            (127, "not found"),
            (137, "SIGKILL: out of memory"),
            (143, "SIGTERM"),
            (139, "SIGSEGV"),
            (128 + 35, "signal 35"),
        ] {
            assert!(exit_code_in_words(code).is_some_and(|w| w.contains(words)), "{code}");
        }
        for code in [-1, 0, 1, 2, 42, 125, 128, 193, 255, 256, i32::MAX, i32::MIN] {
            assert_eq!(exit_code_in_words(code), None, "{code}");
        }
    }
}
