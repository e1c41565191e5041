//! The one renderer: a [`View`] becomes lines, an aligned table, details or JSON on stdout.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};

use super::cell::Cell;
use super::progress::suspend_bars;
use super::sanitize::{sanitize, sanitize_json};
use super::signal::{is_ending, last_write};
use super::table::{Column, Table, TableOutput, Truncate};
use super::terminal::size;
use super::text_width::{one_line, width};
use super::{ErrorKind, Failure};

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
    /// Lines as they are; on a terminal they are [sanitized](super::sanitize()).
    Lines(Vec<String>),
    /// A header and rows. An empty cell is printed as `-`, in a pipe blanks inside a cell are `_`,
    /// so that every row has the same number of fields for `awk`. On a terminal that is too narrow,
    /// cells of the column `shrinks` are cut; what is still too wide wraps, so that nothing else is
    /// lost.
    Table {
        /// The header.
        columns: Vec<&'static str>,
        /// One cell for each column.
        rows: Vec<Vec<String>>,
        /// The column that gives way, if any.
        shrinks: Option<usize>,
    },
    /// A table of which no cell is cut, and whose last column has names with spaces: in a pipe,
    /// their spaces stay.
    TableOfNames {
        /// The header.
        columns: Vec<&'static str>,
        /// One cell for each column.
        rows: Vec<Vec<String>>,
    },
    /// `key : value`, one a line, the keys padded to one width; an empty value is printed as `-`, a
    /// line break as a blank. On a terminal values are [sanitized](super::sanitize()), in a pipe
    /// they are exact otherwise.
    Details(Vec<(String, String)>),
}

/// A result that a tool shows.
pub trait View {
    /// For people.
    fn plain(&self) -> Layout;
    /// For scripts: the elements of the one array that `--json` prints.
    fn json(&self) -> Vec<serde_json::Value>;
}

/// One JSON array, written while its elements come. One that has begun is closed when it is
/// dropped, as after a failure or a signal: whoever reads it gets JSON in any case.
#[derive(Debug)]
pub struct JsonArray<'a> {
    output: &'a Output,
    state: ArrayState,
}

/// How far a [`JsonArray`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    /// Nothing is written.
    Empty,
    /// It has elements.
    Begun,
    /// Nothing more is written: it is closed, or a write has failed.
    Ended,
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
        let mut state = self.state;
        for element in elements {
            text.push_str(if state == ArrayState::Empty { "[\n  " } else { ",\n  " });
            match self.output.terminal {
                true => text.push_str(&sanitize_json(&element.to_string())),
                false => text.push_str(&element.to_string()),
            }
            state = ArrayState::Begun;
        }
        self.state = ArrayState::Ended;
        self.output.write(text.as_bytes())?;
        self.state = state;
        Ok(())
    }

    /// Whether it has no element yet.
    pub fn is_empty(&self) -> bool {
        self.state == ArrayState::Empty
    }

    /// Closes the array.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn finish(mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.state, ArrayState::Ended) {
            ArrayState::Empty => self.output.write(b"[]\n"),
            ArrayState::Begun => self.output.write(ARRAY_END),
            ArrayState::Ended => Ok(()),
        }
    }
}

impl Drop for JsonArray<'_> {
    fn drop(&mut self) {
        if self.state == ArrayState::Begun {
            // Whatever has kept it from its end is reported.
            let _ = self.output.write(ARRAY_END);
        }
    }
}

/// The end of an array that has elements.
const ARRAY_END: &[u8] = b"\n]\n";

/// One JSON array whose first element is begun before all of its fields are known, so that whoever
/// reads line by line has them at once.
#[derive(Debug)]
pub struct OpenArray<'a> {
    output: &'a Output,
    state: Opened,
}

/// How far an [`OpenArray`] is.
#[derive(Debug)]
enum Opened {
    /// Nothing is written.
    Not,
    /// This is written.
    Begun(String),
    /// Its beginning could not be written.
    Failed,
}

impl OpenArray<'_> {
    /// Writes the first fields of the first element, an object.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn begin(&mut self, first: &serde_json::Value) -> Result<(), Failure> {
        let whole = pretty(&[first])?;
        let Some(fields) = whole.strip_suffix("\n  }\n]\n") else { return Ok(()) };
        let text = format!("{fields},\n");
        self.state = Opened::Failed;
        self.output.write(self.output.as_shown(&text).as_bytes())?;
        self.state = Opened::Begun(text);
        Ok(())
    }

    /// Writes what is left of the elements; the first one is what it was at the beginning, with
    /// more fields behind it. All of them, if none was begun; nothing, if the beginning could not
    /// be written.
    ///
    /// # Errors
    /// As [`Output::write`]; when the first element is another one than at the beginning.
    pub fn close(self, elements: &[serde_json::Value]) -> Result<(), Failure> {
        let whole = pretty(elements)?;
        let rest = match &self.state {
            Opened::Not => whole.as_str(),
            Opened::Begun(begun) => whole.strip_prefix(begun.as_str()).ok_or_else(|| {
                write_failure(&io::Error::other("the JSON array's first element is not what was begun"))
            })?,
            Opened::Failed => return Ok(()),
        };
        self.output.write(self.output.as_shown(rest).as_bytes())
    }
}

fn pretty(elements: &[impl serde::Serialize]) -> Result<String, Failure> {
    serde_json::to_string_pretty(elements).map(|json| json + "\n").map_err(|e| write_failure(&e.into()))
}

/// stdout, as one tool uses it.
#[derive(Debug, Clone)]
pub struct Output {
    format: Format,
    terminal: bool,
    /// The terminal's, where it is known.
    columns: Option<usize>,
    rows: Option<usize>,
    colour: bool,
    header: bool,
    outlives_reader: bool,
    /// The output, when it does not go to stdout (yet).
    kept: Option<RefCell<Vec<u8>>>,
}

impl Output {
    /// Results go to stdout in `format`.
    pub fn new(format: Format) -> Self {
        let terminal = io::stdout().is_terminal();
        let (columns, rows) = if terminal { size(io::stdout()) } else { (None, None) };
        Self {
            format,
            terminal,
            columns,
            rows,
            colour: terminal && wants_colour(),
            header: true,
            outlives_reader: false,
            kept: None,
        }
    }

    /// The columns of the terminal that stdout is; `None` where it is none.
    pub fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Results are kept, for a terminal of so many columns or for a pipe.
    pub fn in_memory(format: Format, columns: Option<usize>, colour: bool) -> Self {
        let kept = Some(RefCell::default());
        Self {
            format,
            terminal: columns.is_some(),
            columns,
            rows: None,
            colour,
            header: true,
            outlives_reader: false,
            kept,
        }
    }

    /// The same, but results are kept until they are [taken](Self::taken).
    #[must_use]
    pub fn keeping(&self) -> Self {
        Self { kept: Some(RefCell::default()), ..self.clone() }
    }

    /// The output that was kept since the last call.
    pub fn taken(&self) -> String {
        let bytes = self.kept.as_ref().map(RefCell::take).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// The same, with the headers of tables left out when `without`.
    #[must_use]
    pub fn without_header(self, without: bool) -> Self {
        Self { header: !without, ..self }
    }

    /// The same, for a tool that has more to do than to print: when the reader of stdout has gone
    /// away, it goes on without printing.
    #[must_use]
    pub fn outliving_its_reader(self) -> Self {
        Self { outlives_reader: true, ..self }
    }

    /// The chosen format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints a result.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn show(&self, view: &impl View) -> Result<(), Failure> {
        let text = match self.format {
            Format::Plain => return self.show_layout(&view.plain()),
            Format::Json => pretty(&view.json())?,
        };
        let text = self.as_shown(&text);
        self.write(text.as_bytes())
    }

    /// Prints the plain form of a value.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn show_layout(&self, layout: &Layout) -> Result<(), Failure> {
        let mut text = String::new();
        match layout {
            Layout::Lines(lines) => {
                for line in lines {
                    let line = if self.terminal { sanitize(line) } else { line.as_str().into() };
                    text.extend([line.as_ref(), "\n"]);
                }
            }
            Layout::Table { columns, rows, shrinks } => {
                let column = |(i, name): (usize, &&'static str)| Column {
                    truncate: if *shrinks == Some(i) { Truncate::End(NARROWEST) } else { Truncate::Never },
                    ..Column::new(name)
                };
                let mut table = self.table(columns.iter().enumerate().map(column).collect());
                let cells = |row: &Vec<String>| row.iter().map(|cell| Cell::from(cell.as_str())).collect();
                table.rows(&rows.iter().map(cells).collect::<Vec<Vec<Cell>>>())?;
                return table.finish();
            }
            Layout::TableOfNames { columns, rows } => {
                let mut table = self.table(columns.iter().copied().map(Column::new).collect());
                let cells = |row: &Vec<String>| {
                    let mut cells: Vec<Cell> = row.iter().map(|cell| Cell::from(cell.as_str())).collect();
                    if let (Some(last), Some(name)) = (cells.last_mut(), row.last()) {
                        *last = Cell::with_spaces(name.as_str());
                    }
                    cells
                };
                table.rows(&rows.iter().map(cells).collect::<Vec<Vec<Cell>>>())?;
                return table.finish();
            }
            Layout::Details(pairs) => {
                let keys = pairs.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
                for (key, value) in pairs {
                    let value = one_line(value);
                    let value = match value.as_str() {
                        "" => "-".into(),
                        value if self.terminal => sanitize(value),
                        value => value.into(),
                    };
                    text.push_str(&format!("{key:<keys$} : {value}\n"));
                }
            }
        }
        self.write(text.as_bytes())
    }

    /// Begins a table whose rows are not all known yet.
    pub fn table(&self, columns: Vec<Column>) -> Table<'_> {
        Table::new(self, columns)
    }

    /// Begins a JSON array whose elements are not all known yet.
    pub fn json_array(&self) -> JsonArray<'_> {
        JsonArray { output: self, state: ArrayState::Empty }
    }

    /// Prints an empty array if JSON is printed. A tool that shows things has found none of those
    /// that were named.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn show_none(&self) -> Result<(), Failure> {
        if self.format == Format::Json { self.json_array().finish() } else { Ok(()) }
    }

    /// Begins a JSON array whose first element is begun before all of it is known.
    pub fn open_array(&self) -> OpenArray<'_> {
        OpenArray { output: self, state: Opened::Not }
    }

    /// JSON as it is written: on a terminal it does nothing to it.
    pub fn as_shown<'t>(&self, json: &'t str) -> Cow<'t, str> {
        if self.terminal { sanitize_json(json) } else { Cow::Borrowed(json) }
    }

    /// Writes bytes to stdout at once.
    ///
    /// # Errors
    /// When stdout cannot be written (a full disk). A closed pipe is the reader's choice: its
    /// failure is of the kind [`ErrorKind::ReaderGone`], unless the output [outlives its
    /// reader](Self::outliving_its_reader).
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(kept) = &self.kept {
            kept.borrow_mut().extend_from_slice(bytes);
            return Ok(());
        }
        let written = match is_ending() {
            true => {
                let bytes = bytes.to_vec();
                last_write(move || write_beside(&bytes)).unwrap_or(Ok(()))
            }
            false => write_beside(bytes),
        };
        match written {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.outlives_reader => Ok(()),
            Err(e) => Err(stdout_failure(&e)),
        }
    }

    /// Whether stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colours are shown.
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// The rows of the terminal that stdout is.
    pub fn rows(&self) -> Option<usize> {
        self.rows
    }

    /// Whether tables have headers.
    pub fn has_header(&self) -> bool {
        self.header
    }
}

impl TableOutput for Output {
    fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn columns(&self) -> Option<usize> {
        self.columns
    }

    fn has_colour(&self) -> bool {
        self.colour
    }

    fn has_header(&self) -> bool {
        self.header
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        Output::write(self, bytes)
    }
}

/// Writes to stdout without getting into the bars.
fn write_beside(bytes: &[u8]) -> io::Result<()> {
    suspend_bars(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    })
}

/// A column that gives way keeps this many characters.
const NARROWEST: usize = 8;

/// The failure of a write to stdout. A closed pipe is the reader's choice: its failure is of the
/// kind [`ErrorKind::ReaderGone`].
pub fn stdout_failure(e: &io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::BrokenPipe => {
            Failure::new(ErrorKind::ReaderGone, "the reader of standard output is gone")
        }
        _ => write_failure(e),
    }
}

fn write_failure(e: &io::Error) -> Failure {
    Failure::failed(format!("writing the result to standard output: {e}"))
}

/// Whether colours are wanted: <https://no-color.org>, and terminals that say that they have none.
fn wants_colour() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(layout: &Layout, columns: Option<usize>) -> String {
        let output = Output::in_memory(Format::Plain, columns, false);
        assert_eq!(output.show_layout(layout), Ok(()));
        output.taken()
    }

    #[test]
    fn an_open_array_is_in_the_end_what_it_would_be_at_once() {
        let output = Output::in_memory(Format::Json, None, false);
        let mut array = output.open_array();
        assert_eq!(array.begin(&json!({ "a": "x\"]}", "b": null })), Ok(()));
        let begun = output.taken();
        assert_eq!(begun, "[\n  {\n    \"a\": \"x\\\"]}\",\n    \"b\": null,\n");
        let whole = json!([{ "a": "x\"]}", "b": null, "c": 1 }, { "a": 2 }]);
        assert_eq!(array.close(whole.as_array().expect("an array")), Ok(()));
        let text = begun + &output.taken();
        assert_eq!(text, serde_json::to_string_pretty(&whole).expect("JSON") + "\n");
        // One that was never begun is written as a whole, and one whose beginning could not be
        // written not at all.
        assert_eq!(output.open_array().close(whole.as_array().expect("an array")), Ok(()));
        assert_eq!(output.taken(), text);
        let failed = OpenArray { output: &output, state: Opened::Failed };
        assert_eq!(failed.close(&[json!({ "a": 1 })]), Ok(()));
        assert_eq!(output.taken(), "");
    }

    #[test]
    fn an_array_that_is_given_up_is_closed_and_an_empty_one_is_nothing() {
        let output = Output::in_memory(Format::Json, None, false);
        let mut array = output.json_array();
        assert_eq!(array.extend([1, 2]), Ok(()));
        drop(array);
        assert_eq!(output.taken(), "[\n  1,\n  2\n]\n");
        let mut array = output.json_array();
        assert_eq!((array.extend([0; 0]), array.is_empty()), (Ok(()), true));
        drop(array);
        assert_eq!(output.taken(), "");
        assert_eq!((output.json_array().finish(), output.taken().as_str()), (Ok(()), "[]\n"));
    }

    #[test]
    fn an_open_array_is_not_left_open_in_silence() {
        let output = Output::in_memory(Format::Json, None, false);
        let mut array = output.open_array();
        assert_eq!(array.begin(&json!({ "a": 1 })), Ok(()));
        let failure = array.close(&[json!({ "a": 2, "b": 1 })]).unwrap_err();
        assert!(failure.message().ends_with("the JSON array's first element is not what was begun"));
    }

    #[test]
    fn a_detail_is_one_line_and_harmless_on_a_terminal() {
        let details = Layout::Details(vec![
            ("name".into(), "a\x1b[31m\tb".into()),
            ("reason".into(), "one\r\ntwo".into()),
            ("x".into(), String::new()),
        ]);
        assert_eq!(render(&details, None), "name   : a\x1b[31m\tb\nreason : one  two\nx      : -\n");
        assert_eq!(render(&details, Some(80)), "name   : a␛[31m␉b\nreason : one  two\nx      : -\n");
    }

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
