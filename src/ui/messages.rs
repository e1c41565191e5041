//! Messages on stderr, beside the results on stdout.

use std::fmt;
use std::io::IsTerminal;

use super::progress::beside;
use super::signal::{is_ending, last_write};
use super::text::harmless;

/// Prints a message on stderr: a line, or several. On a terminal it is [harmless]. A stderr that cannot be written
/// is not an error.
pub fn note(text: impl fmt::Display) {
    let text = format!("{text}\n");
    let text = match std::io::stderr().is_terminal() {
        true => text
            .split_inclusive('\n')
            .map(|line| format!("{}\n", harmless(line.trim_end_matches('\n'))))
            .collect(),
        false => text,
    };
    let write = move || beside(|| write_stderr(&text));
    match is_ending() {
        true => _ = last_write(write),
        false => write(),
    }
}

#[cfg(not(test))]
fn write_stderr(text: &str) {
    use std::io::Write as _;

    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The test harness captures the output, and shows it for a test that fails.
#[cfg(test)]
fn write_stderr(text: &str) {
    eprint!("{text}");
}

/// How a tool reports the progress of its work on stderr.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// The tool's name, which stands in front of each message.
    pub tool: &'static str,
    /// Whether progress is not reported. Errors are.
    pub quiet: bool,
}

impl Voice {
    /// Reports how the work goes, unless the tool is quiet.
    pub fn say(self, text: impl fmt::Display) {
        if !self.quiet {
            note(format!("{}: {text}", self.tool));
        }
    }
}
