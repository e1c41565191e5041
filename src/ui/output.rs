//! The one renderer: a [`View`] becomes lines, an aligned table, details or JSON on stdout.

use std::io::{self, IsTerminal, Write};

use super::Failure;
use super::failure::one_line;

/// How stdout is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables, details and lines for people (and for `awk`).
    Plain,
    /// One JSON array.
    Json,
}

/// The plain form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Lines as they are.
    Lines(Vec<String>),
    /// A header and rows. An empty cell is printed as `-`, blanks inside a cell as `_`, so that every
    /// row has the same number of fields for `awk`. On a terminal that is too narrow, cells of the column
    /// `shrinks` are cut; what is still too wide wraps, so that nothing else is lost.
    Table {
        /// The header.
        columns: Vec<&'static str>,
        /// One cell for each column.
        rows: Vec<Vec<String>>,
        /// The column that gives way, if any.
        shrinks: Option<usize>,
    },
    /// `key : value`, one a line, the keys padded to one width; an empty value is printed as `-`.
    Details(Vec<(String, String)>),
}

/// A result that a tool shows.
pub trait View {
    /// For people.
    fn plain(&self) -> Layout;
    /// For scripts: the elements of the one array that `--json` prints.
    fn json(&self) -> Vec<serde_json::Value>;
}

/// One JSON array, written while its elements come.
#[derive(Debug)]
pub struct JsonArray<'a> {
    output: &'a Output,
    begun: bool,
}

impl JsonArray<'_> {
    /// Writes one more element.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn push(&mut self, element: &serde_json::Value) -> Result<(), Failure> {
        self.extend([element])
    }

    /// Writes more elements, which are JSON, at once.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn extend<T: std::fmt::Display>(
        &mut self,
        elements: impl IntoIterator<Item = T>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for element in elements {
            text.push_str(if self.begun { ",\n  " } else { "[\n  " });
            text.push_str(&element.to_string());
            self.begun = true;
        }
        self.output.write(text.as_bytes())
    }

    /// Closes the array.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn finish(self) -> Result<(), Failure> {
        self.output.write(if self.begun { b"\n]\n" } else { b"[]\n" })
    }
}

/// stdout, as one tool uses it.
#[derive(Debug)]
pub struct Output {
    format: Format,
    terminal: bool,
    outlives_reader: bool,
}

impl Output {
    /// Results go to stdout in `format`.
    pub fn new(format: Format) -> Self {
        Self { format, terminal: io::stdout().is_terminal(), outlives_reader: false }
    }

    /// The same, for a tool that has more to do than to print: when the reader of stdout has gone away, it
    /// goes on without printing.
    #[must_use]
    pub fn outliving_its_reader(self) -> Self {
        Self { outlives_reader: true, ..self }
    }

    /// Whether stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The chosen format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints a result.
    ///
    /// # Errors
    /// When stdout cannot be written; a reader that has gone away (`| head -1`) ends the process
    /// quietly instead, see [`Output::write`].
    pub fn show(&self, view: &impl View) -> Result<(), Failure> {
        let text = match self.format {
            Format::Plain => render(&view.plain(), self.width()),
            Format::Json => {
                let array = serde_json::Value::Array(view.json());
                format!("{}\n", serde_json::to_string_pretty(&array).map_err(|e| write_failure(&e.into()))?)
            }
        };
        self.write(text.as_bytes())
    }

    /// Begins a JSON array whose elements are not all known yet.
    pub fn json_array(&self) -> JsonArray<'_> {
        JsonArray { output: self, begun: false }
    }

    /// Writes bytes to stdout at once.
    ///
    /// # Errors
    /// When stdout cannot be written (a full disk). A closed pipe is the reader's choice: the process
    /// exits with code 0 and no message, unless it is [outliving its reader](Self::outliving_its_reader).
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.outlives_reader => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(e) => Err(write_failure(&e)),
        }
    }

    fn width(&self) -> Option<usize> {
        if !self.terminal {
            return None;
        }
        terminal_size::terminal_size().map(|(terminal_size::Width(w), _)| usize::from(w))
    }
}

fn write_failure(e: &io::Error) -> Failure {
    Failure::failed(format!("writing the result to standard output: {e}"))
}

/// Between two columns.
const GAP: &str = "  ";
/// A column that gives way keeps this many characters.
const NARROWEST: usize = 8;

/// The plain text of a layout; `width` is the terminal's, if there is one.
fn render(layout: &Layout, width: Option<usize>) -> String {
    let mut text = String::new();
    match layout {
        Layout::Lines(lines) => {
            for line in lines {
                text.push_str(line);
                text.push('\n');
            }
        }
        Layout::Table { columns, rows, shrinks } => {
            let header: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
            let cells = rows.iter().map(|row| row.iter().map(|c| cell(c)).collect());
            let rows: Vec<Vec<String>> = std::iter::once(header).chain(cells).collect();
            let mut widths: Vec<usize> = (0..columns.len())
                .map(|i| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0))
                .collect();
            if let (Some(width), Some(shrinking)) = (width, shrinks.and_then(|i| widths.get(i).copied())) {
                let all = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
                let narrow =
                    shrinking.saturating_sub(all.saturating_sub(width)).max(NARROWEST.min(shrinking));
                shrinks.and_then(|i| widths.get_mut(i)).into_iter().for_each(|w| *w = narrow);
            }
            for row in &rows {
                let padded: Vec<String> =
                    row.iter().zip(&widths).map(|(c, w)| format!("{:<w$}", cut(c, *w), w = *w)).collect();
                text.push_str(padded.join(GAP).trim_end());
                text.push('\n');
            }
        }
        Layout::Details(pairs) => {
            let width = pairs.iter().map(|(k, _)| k.chars().count()).max().unwrap_or(0);
            for (key, value) in pairs {
                let value = if value.is_empty() { "-" } else { value };
                text.push_str(&format!("{key:<width$} : {}\n", one_line(value)));
            }
        }
    }
    text
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn cell(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_same_number_of_fields_in_every_row() {
        let table = Layout::Table {
            columns: vec!["jobId", "status"],
            rows: vec![vec!["a b".into(), String::new()], vec!["c".into(), "RUNNING".into()]],
            shrinks: None,
        };
        insta::assert_snapshot!(render(&table, None), @r"
        jobId  status
        a_b    -
        c      RUNNING
        ");
    }

    #[test]
    fn a_narrow_terminal_shortens_names_and_nothing_else() {
        let name = "a-name-that-is-long";
        let table = Layout::Table {
            columns: vec!["jobId", "jobName", "exitCode"],
            rows: vec![vec!["0123".into(), name.into(), "37".into()]],
            shrinks: Some(1),
        };
        let header = "jobId  jobName              exitCode\n";
        assert_eq!(render(&table, None), format!("{header}0123   {name}  37\n"));
        assert_eq!(render(&table, Some(80)), render(&table, None));
        let cut = "jobId  jobName       exitCode\n0123   a-name-that…  37\n";
        assert_eq!(render(&table, Some(29)), cut);
        assert_eq!(render(&table, Some(5)), "jobId  jobName   exitCode\n0123   a-name-…  37\n");
    }
}
