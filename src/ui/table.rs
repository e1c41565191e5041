//! Tables: rows may come a few at a time, and a terminal gets as much as fits into its width.

use super::Failure;
use super::cell::{Cell, Tone};

/// The blanks between two columns.
const GAP: usize = 2;
/// Columns of this rank and above are shown only if the others have their usual width.
const NICE_TO_HAVE: u8 = 6;
/// The usual width of a cell. A longer cell gets more only if no other column needs the room.
const COMFORT: usize = 24;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its header.
    pub name: &'static str,
    /// How soon the column is left out on a terminal that is too narrow. The highest number goes
    /// first, 0 never goes. From 6 on, the column goes before a cell of usual length is truncated
    /// in another column.
    pub rank: u8,
    /// How its cells are truncated there.
    pub truncate: Truncate,
}

/// How the cells of a column are truncated on a terminal that is too narrow. In a pipe no cell is
/// truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncate {
    /// The cells stay as they are.
    Never,
    /// At the end, down to this many columns of the terminal.
    End(usize),
    /// The picture goes first. If no other column can give way, the end is truncated, down to this
    /// many columns.
    Picture(usize),
    /// The cells are names that the next command needs. They are truncated at the end, down to this
    /// many columns, once the columns that are nice to have are gone.
    Name(usize),
    /// The cells are IDs, which are truncated last: in the middle, down to this many columns.
    Middle(usize),
}

impl Column {
    /// A column that is always shown and never truncated.
    pub fn new(name: &'static str) -> Self {
        Self { name, rank: 0, truncate: Truncate::Never }
    }

    /// The width at which a cell of usual length is whole.
    fn comfort(&self, natural: usize, words: usize) -> usize {
        match self.truncate {
            Truncate::Picture(_) => words,
            Truncate::End(least) => natural.min(least.max(COMFORT)),
            Truncate::Never | Truncate::Name(_) | Truncate::Middle(_) => natural,
        }
    }

    /// The minimal width of a column whose widest cell takes `natural` columns. With `last`, IDs
    /// are truncated too.
    fn least(&self, natural: usize, last: bool) -> usize {
        match self.truncate {
            Truncate::Never => natural,
            Truncate::End(least) | Truncate::Name(least) | Truncate::Picture(least) => natural.min(least),
            Truncate::Middle(least) if last => natural.min(least),
            Truncate::Middle(_) => natural,
        }
    }
}

/// Where a table is printed.
pub trait TableOutput: std::fmt::Debug {
    /// Whether it is a terminal.
    fn is_terminal(&self) -> bool;
    /// The columns of the terminal, if it is one and they are known.
    fn columns(&self) -> Option<usize>;
    /// Whether colours are shown.
    fn has_colour(&self) -> bool;
    /// Whether tables have headers.
    fn has_header(&self) -> bool;
    /// Writes bytes at once.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&self, bytes: &[u8]) -> Result<(), Failure>;
}

/// A table whose rows come a few at a time. The widths of the first rows stay; in a pipe, a later
/// cell may be wider.
#[derive(Debug)]
pub struct Table<'a> {
    output: &'a dyn TableOutput,
    columns: Vec<Column>,
    shown: Option<Vec<VisibleColumn>>,
}

/// A column that fits into the width, with its own width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct VisibleColumn {
    index: usize,
    width: usize,
}

impl<'a> Table<'a> {
    pub(super) fn new(output: &'a dyn TableOutput, columns: Vec<Column>) -> Self {
        Self { output, columns, shown: None }
    }

    /// Prints more rows: one cell for each column, whether it is shown or not.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn rows(&mut self, rows: &[Vec<Cell>]) -> Result<(), Failure> {
        let terminal = self.output.is_terminal();
        let cell = |cell: &Cell| if terminal { cell.for_terminal() } else { cell.for_pipe() };
        let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let header: Vec<Cell> = self.columns.iter().map(|c| Cell::toned(c.name, Tone::Faint)).collect();
        let mut lines = String::new();
        let shown = match self.shown.take() {
            Some(shown) => shown,
            None => {
                let header = self.output.has_header().then_some(&header);
                let all: Vec<&Vec<Cell>> = header.into_iter().chain(&rows).collect();
                let shown = fit(&self.columns, &all, self.output.columns());
                if let Some(header) = header {
                    lines.push_str(&self.line(header, &shown));
                }
                shown
            }
        };
        for row in &rows {
            lines.push_str(&self.line(row, &shown));
        }
        self.shown = Some(shown);
        if lines.is_empty() { Ok(()) } else { self.output.write(lines.as_bytes()) }
    }

    /// Ends the table: the header of one without rows is printed now.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.shown.is_none() { self.rows(&[]) } else { Ok(()) }
    }

    fn line(&self, row: &[Cell], shown: &[VisibleColumn]) -> String {
        let mut line = String::new();
        let mut blanks = 0;
        for VisibleColumn { index, width } in shown {
            let (Some(cell), Some(column)) = (row.get(*index), self.columns.get(*index)) else { continue };
            let cell = match column.truncate {
                _ if !self.output.is_terminal() => cell.clone(),
                Truncate::Never => cell.clone(),
                Truncate::End(_) | Truncate::Name(_) | Truncate::Picture(_) => cell.cut(*width),
                Truncate::Middle(_) => cell.cut_id(*width),
            };
            line.extend(std::iter::repeat_n(' ', blanks));
            line.push_str(&cell.paint(self.output.has_colour()));
            blanks = width.saturating_sub(cell.width()) + GAP;
        }
        line.push('\n');
        line
    }
}

/// The columns that are shown, with their widths: all of them, unless a terminal is too narrow.
fn fit(columns: &[Column], rows: &[&Vec<Cell>], width: Option<usize>) -> Vec<VisibleColumn> {
    let words =
        |i: usize| rows.iter().filter_map(|row| row.get(i)).map(Cell::width_of_words).max().unwrap_or(0);
    let natural = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(Cell::width).max().unwrap_or(0);
    let mut shown: Vec<VisibleColumn> =
        (0..columns.len()).map(|index| VisibleColumn { index, width: natural(index) }).collect();
    let Some(width) = width else { return shown };
    let gaps = |shown: &[VisibleColumn]| GAP * shown.len().saturating_sub(1);
    let least = |shown: &[VisibleColumn], last| {
        gaps(shown) + shown.iter().map(|s| columns[s.index].least(s.width, last)).sum::<usize>()
    };
    // A column that is nice to have does not stay at the cost of others.
    let comfort = |shown: &[VisibleColumn]| {
        gaps(shown) + shown.iter().map(|s| columns[s.index].comfort(s.width, words(s.index))).sum::<usize>()
    };
    while comfort(&shown) > width {
        let nice = shown.iter().enumerate().filter(|(_, s)| columns[s.index].rank >= NICE_TO_HAVE);
        match nice.max_by_key(|(_, s)| columns[s.index].rank).map(|(at, _)| at) {
            Some(at) => drop(shown.remove(at)),
            None => break,
        }
    }
    // A column of the first rank goes only if truncated IDs do not help either.
    for (keeps, last) in [(1, false), (0, true)] {
        while least(&shown, last) > width {
            let droppable = shown.iter().enumerate().filter(|(_, s)| columns[s.index].rank > keeps);
            match droppable.max_by_key(|(_, s)| columns[s.index].rank).map(|(at, _)| at) {
                Some(at) if keeps > 0 || least(&shown, true) > width => drop(shown.remove(at)),
                _ => break,
            }
        }
    }
    let last = least(&shown, false) > width;
    let mut spare = width.saturating_sub(least(&shown, last));
    let mut by_rank: Vec<usize> = (0..shown.len()).collect();
    // Counts have precedence over long names.
    by_rank.sort_by_key(|at| {
        let column = &columns[shown[*at].index];
        if matches!(column.truncate, Truncate::Picture(_)) { 0 } else { column.rank }
    });
    let natural: Vec<usize> = shown.iter().map(|s| s.width).collect();
    for s in &mut shown {
        s.width = columns[s.index].least(s.width, last);
    }
    // Each column gets its usual width before any gets more.
    for is_usual in [true, false] {
        for at in &by_rank {
            let s = &mut shown[*at];
            let wanted =
                if is_usual { columns[s.index].comfort(natural[*at], words(s.index)) } else { natural[*at] };
            let more = spare.min(wanted.saturating_sub(s.width));
            spare -= more;
            s.width += more;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Output};
    use super::*;

    const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";

    fn jobs() -> (Vec<Column>, Vec<Vec<Cell>>) {
        let column = |name, rank, truncate| Column { name, rank, truncate };
        let columns = vec![
            column("jobId", 0, Truncate::Middle(9)),
            column("jobName", 1, Truncate::End(8)),
            column("status", 0, Truncate::Never),
            column("elapsed", 2, Truncate::Never),
            column("reason", 3, Truncate::End(10)),
        ];
        let row = |id: &str, name: &str, reason: &str| {
            let status = Cell::toned("RUNNING", Tone::Busy);
            vec![id.into(), name.into(), status, "1:02:03".into(), reason.into()]
        };
        let long = "Host EC2 (instance i-0123) terminated.";
        (columns, vec![row(&format!("{ID}:17"), "align-the-reads", ""), row(ID, "a b", long)])
    }

    fn printed(width: Option<usize>) -> String {
        let (columns, rows) = jobs();
        let output = Output::in_memory(Format::Plain, width, false);
        let mut table = output.table(columns);
        assert_eq!(table.rows(&rows).and_then(|()| table.finish()), Ok(()));
        output.taken()
    }

    #[test]
    fn a_pipe_gets_everything_in_one_word_each() {
        insta::assert_snapshot!(printed(None), @r"
        jobId                                    jobName          status   elapsed  reason
        8f2c0d3e-1111-4222-8333-444455556666:17  align-the-reads  RUNNING  1:02:03  -
        8f2c0d3e-1111-4222-8333-444455556666     a_b              RUNNING  1:02:03  Host_EC2_(instance_i-0123)_terminated.
        ");
    }

    #[test]
    fn a_terminal_gets_what_fits() {
        let printed: Vec<String> =
            [160, 100, 80, 60, 40, 20, 10].map(|w| format!("{w}\n{}", printed(Some(w)))).into();
        insta::assert_snapshot!(printed.concat());
    }

    /// Names that the next command needs are truncated only when no column is left that is nice to
    /// have.
    #[test]
    fn names_are_truncated_once_what_is_nice_to_have_is_gone() {
        let name = "a-queue-whose-name-is-not-short";
        let printed = |width| {
            let columns = vec![
                Column { truncate: Truncate::Name(8), ..Column::new("name") },
                Column::new("state"),
                Column { rank: NICE_TO_HAVE, ..Column::new("note") },
            ];
            let output = Output::in_memory(Format::Plain, Some(width), false).without_header(true);
            let mut table = output.table(columns);
            assert_eq!(table.rows(&[vec![name.into(), "VALID".into(), "nice".into()]]), Ok(()));
            output.taken()
        };
        let all = format!("{name}  VALID  nice\n");
        assert_eq!(printed(all.len() - 1), all);
        assert_eq!(printed(all.len() - 2), format!("{name}  VALID\n"));
        assert_eq!(printed(name.len() + 7), format!("{name}  VALID\n"));
        assert_eq!(printed(name.len() + 6), format!("{}…  VALID\n", &name[..name.len() - 2]));
        assert_eq!(printed(15), "a-queue…  VALID\n");
        // Not below its least width.
        assert_eq!(printed(10), "a-queue…  VALID\n");
    }

    #[test]
    fn rows_come_a_few_at_a_time() {
        let (columns, rows) = jobs();
        let output = Output::in_memory(Format::Plain, None, false);
        let mut table = output.table(columns);
        assert_eq!(table.rows(&rows[1..]), Ok(()));
        assert_eq!(output.taken().lines().count(), 2);
        assert_eq!(table.rows(&rows[..1]), Ok(()));
        assert_eq!(output.taken(), format!("{ID}:17  align-the-reads  RUNNING  1:02:03  -\n"));
        assert_eq!(table.finish(), Ok(()));
        assert_eq!(output.taken(), "");
    }

    #[test]
    fn a_header_is_there_without_rows_and_can_be_left_out() {
        let output = Output::in_memory(Format::Plain, None, false);
        assert_eq!(output.table(vec![Column::new("a"), Column::new("b")]).finish(), Ok(()));
        assert_eq!(output.taken(), "a  b\n");
        let output = output.without_header(true);
        assert_eq!(output.table(vec![Column::new("a")]).finish(), Ok(()));
        assert_eq!(output.taken(), "");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            width in 20_usize..200,
            names in proptest::collection::vec(".{0,60}", 1..5),
        ) {
            let (columns, _) = jobs();
            let rows: Vec<Vec<Cell>> = names.iter().map(|name| {
                vec![ID.into(), name.as_str().into(), "SUCCEEDED".into(), "1-02:03:04".into(), name.as_str().into()]
            }).collect();
            let output = Output::in_memory(Format::Plain, Some(width), false);
            let mut table = output.table(columns);
            proptest::prop_assert_eq!(table.rows(&rows), Ok(()));
            for line in output.taken().lines() {
                proptest::prop_assert!(super::super::text_width::width(line) <= width, "{}", line);
            }
        }
    }
}
