//! Messages on stderr, beside the results on stdout.

use std::fmt;
use std::io::IsTerminal;

use super::progress::suspend_bars;
use super::sanitize::sanitize;
use super::signal::{is_ending, last_write};

/// Prints a message on stderr: a line, or several. On a terminal it is
/// [sanitized](super::sanitize()). A stderr that cannot be written is not an error.
pub fn print_message(text: impl fmt::Display) {
    let text = format!("{text}\n");
    let text = match std::io::stderr().is_terminal() {
        true => text
            .split_inclusive('\n')
            .map(|line| format!("{}\n", sanitize(line.trim_end_matches('\n'))))
            .collect(),
        false => text,
    };
    let write = move || suspend_bars(|| write_stderr(&text));
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
pub struct Reporter {
    /// The tool's name, which stands in front of each message.
    pub tool: &'static str,
    /// Whether progress is not reported. Errors are.
    pub quiet: bool,
}

impl Reporter {
    /// Reports how the work goes, unless the tool is quiet.
    pub fn print(self, text: impl fmt::Display) {
        if !self.quiet {
            print_message(format!("{}: {text}", self.tool));
        }
    }
}
