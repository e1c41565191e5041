//! Messages on stderr, beside the results on stdout.

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;

use super::progress::suspend_bars;
use super::sanitize::sanitize;
use super::signal::{is_ending, last_write};
use awsb_model::words;

/// Prints a message on stderr: a line, or several. A value in it that is too long to be read, as
/// one of a mistaken script or of a server may be, is cut. On a terminal the message is
/// [sanitized](super::sanitize()). A stderr that cannot be written is not an error.
pub fn print_message(text: impl fmt::Display) {
    print_output_of_program(text.to_string().split('\n').map(cut).collect::<Vec<_>>().join("\n"));
}

/// Prints what another program has said, such as a build, as a message. Nothing in it is cut.
pub fn print_output_of_program(text: impl fmt::Display) {
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

/// The longest word of a message, in characters. A word has no slash and no comma: a
/// component of a path has at most 255 bytes, and a list of IDs is no word that nobody can read.
const LONGEST_WORD: usize = 1500;
/// The longest line of a message, in characters: that of a path is 4,096. A longer list of IDs
/// loses its middle, too, so whoever prints one that is for copying names the first of them.
const LONGEST_LINE: usize = 6000;

/// A line without the middle of its words, and then of itself, where these are too long.
fn cut(line: &str) -> Cow<'_, str> {
    if line.len() <= LONGEST_WORD {
        return Cow::Borrowed(line);
    }
    let ends_word = |c: char| c.is_whitespace() || matches!(c, '/' | ',');
    let words = line.split_inclusive(ends_word).map(|word| without_middle(word, LONGEST_WORD, 200, 50));
    let line: String = words.collect();
    Cow::Owned(without_middle(&line, LONGEST_LINE, 4500, 1000).into_owned())
}

/// The first and the last characters of a text that has more than `longest`.
fn without_middle(text: &str, longest: usize, first: usize, last: usize) -> Cow<'_, str> {
    let count = text.chars().count();
    let at = |place| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
    match (text.get(..at(first)), text.get(at(count.saturating_sub(last))..)) {
        (Some(start), Some(end)) if count > longest => {
            let left_out = words::many(count - first - last, "character");
            Cow::Owned(format!("{start} … ({left_out} left out) … {end}"))
        }
        _ => Cow::Borrowed(text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_read_is_cut_and_the_rest_is_not() {
        let path = format!("reading /{}: no such file", vec!["x".repeat(255); 15].join("/"));
        let ordinary = format!("a {} b", "w".repeat(LONGEST_WORD - 1));
        for whole in ["", "short", &path, &ordinary, &"word ".repeat(1000)] {
            assert_eq!(cut(whole), whole);
        }
        let value = format!("the value `{}` is no number", "é".repeat(100_000));
        let shown = cut(&value);
        assert!(shown.starts_with("the value `éé") && shown.ends_with("éé` is no number"), "{shown}");
        assert!(shown.contains("é … (99753 characters left out) … é"), "{shown}");
        assert!(shown.chars().count() < 400, "{shown}");
        let many = format!("first {} last", "word ".repeat(100_000));
        let shown = cut(&many);
        assert!(shown.starts_with("first word") && shown.ends_with("word  last"), "{shown}");
        assert!(shown.chars().count() < LONGEST_LINE, "{shown}");
    }
}
