//! The two forms in which the old tools show a list: a table as `tabulate` 0.8 prints it, and
//! details with a line for each field.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use awsb_model::payload::launcher::quote;

use crate::ui::{Failure, Format, Layout, Output};

/// The keys of the details fill at least this many columns.
const KEY_WIDTH: usize = 25;

/// A list of items with the same fields.
#[derive(Debug)]
pub struct Listing<const N: usize> {
    /// The names of the fields.
    pub keys: [&'static str; N],
    /// The values of each item.
    pub items: Vec<[String; N]>,
}

impl<const N: usize> Listing<N> {
    /// Prints all fields of each item.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show(&self) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for item in &self.items {
            let pairs = self.keys.iter().zip(item);
            lines.extend(pairs.map(|(key, value)| format!("{key:KEY_WIDTH$}: {value}")));
            lines.push("-".repeat(KEY_WIDTH));
        }
        if lines.is_empty() {
            lines.push("No items to show".to_owned());
        }
        print(lines)
    }

    /// Prints a table with some of the fields.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show_table(&self, columns: &[&str]) -> Result<(), Failure> {
        let places = columns.iter().filter_map(|column| self.keys.iter().position(|key| key == column));
        let cells = |place: usize| self.items.iter().map(|item| item[place].as_str()).collect();
        print(table(columns, &places.map(cells).collect::<Vec<Vec<&str>>>()))
    }
}

/// Prints lines on stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(lines: Vec<String>) -> Result<(), Failure> {
    Output::new(Format::Plain).show_layout(&Layout::Lines(lines))
}

/// The lines of a table in the format `simple`. Numbers are on the right of a column that has
/// nothing else, and a column is two wider than its header at least.
fn table(headers: &[&str], columns: &[Vec<&str>]) -> Vec<String> {
    let columns: Vec<(bool, usize, Vec<&str>)> = headers
        .iter()
        .zip(columns)
        .map(|(header, cells)| {
            let cells: Vec<&str> = cells.iter().map(|cell| cell.trim()).collect();
            let is_bool = |cell: &&str| matches!(*cell, "True" | "False");
            let are_numbers = !cells.iter().all(is_bool) && cells.iter().all(|c| is_number(c) || is_bool(c));
            let widths = cells.iter().map(|cell| cell.chars().count());
            let width = widths.max().unwrap_or(0).max(header.chars().count() + 2);
            (are_numbers, width, cells)
        })
        .collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells =
            columns.iter().enumerate().map(|(column, (is_right, width, _))| match (is_right, width) {
                (true, width) => format!("{:>width$}", cell(column)),
                (false, width) => format!("{:<width$}", cell(column)),
            });
        cells.collect::<Vec<String>>().join("  ").trim_end().to_owned()
    };
    let rows = columns.first().map_or(0, |(_, _, cells)| cells.len());
    let head = [line(&|column| headers[column].to_owned()), line(&|column| "-".repeat(columns[column].1))];
    head.into_iter().chain((0..rows).map(|row| line(&|column| columns[column].2[row].to_owned()))).collect()
}

/// Whether Python's `int` or `float` reads a text. They read `1_000`, too.
pub fn is_number(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let is_digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let separates = |at: usize| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
    if (0..chars.len()).any(|at| chars[at] == '_' && !separates(at)) {
        return false;
    }
    let number: Option<f64> = text.replace('_', "").parse().ok();
    let named = ["inf", "-inf", "nan"].contains(&text.to_ascii_lowercase().as_str());
    number.is_some_and(|number| number.is_finite() || named)
}

/// A word quoted for a shell, as Python's `shlex` quotes it.
pub fn shell_quote(word: &OsStr) -> Vec<u8> {
    if quote(word) == word {
        return word.as_bytes().to_vec();
    }
    let parts: Vec<&[u8]> = word.as_bytes().split(|byte| *byte == b'\'').collect();
    [b"'", parts.join(&b"'\"'\"'"[..]).as_slice(), b"'"].concat()
}

/// Words quoted for a shell.
pub fn shell_join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |word: &str| String::from_utf8_lossy(&shell_quote(word.as_ref())).into_owned();
    words.into_iter().map(quoted).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_on_the_right_where_nothing_else_is() {
        let lines = table(&["name", "exitCode"], &[vec!["a", "long-name", "7"], vec!["0", "137", "1_0"]]);
        let expected = [
            "name         exitCode",
            "---------  ----------",
            "a                   0",
            "long-name         137",
            "7                 1_0",
        ];
        assert_eq!(lines, expected);
        assert_eq!(table(&["n"], &[vec!["-", "1"]]), ["n", "---", "-", "1"]);
        assert_eq!(table(&["n", "m"], &[vec![], vec![]]), ["n    m", "---  ---"]);
    }

    #[test]
    fn numbers_of_python() {
        for number in ["0", "-12", "+3", "1_000", "1e5", "1.", ".5", "nan", "inf", "1_0e1_0"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", "-", "1__0", "_1", "1_", "infinity", "1e999", "0x1", "1-2", "e5"] {
            assert!(!is_number(other), "{other}");
        }
    }

    #[test]
    fn words_are_quoted_as_python_does() {
        assert_eq!(
            shell_join(["a", "", "b c", "it's", "x=1,%+@:./-_"]),
            "a '' 'b c' 'it'\"'\"'s' x=1,%+@:./-_"
        );
    }
}
