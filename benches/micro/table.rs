//! Rows of `bstat` in a terminal that is too narrow for them, and in a pipe.

use awsb::ui::{Cell, Column, Format, Output, Tone, Truncate};
use divan::Bencher;
use divan::counter::ItemsCount;

/// A screen, and all jobs of a large array.
const ROWS: [usize; 2] = [50, 10_000];

#[divan::bench(args = ROWS)]
fn terminal(bencher: Bencher<'_, '_>, rows: usize) {
    print(bencher, rows, Some(80));
}

#[divan::bench(args = ROWS)]
fn pipe(bencher: Bencher<'_, '_>, rows: usize) {
    print(bencher, rows, None);
}

fn print(bencher: Bencher<'_, '_>, rows: usize, width: Option<usize>) {
    let rows: Vec<Vec<Cell>> = (0..rows).map(row).collect();
    bencher.counter(ItemsCount::new(rows.len())).bench(|| {
        let output = Output::in_memory(Format::Plain, width, false);
        let mut table = output.table(columns());
        table.rows(&rows).expect("a table in memory");
        table.finish().expect("a table in memory");
        output.taken()
    });
}

fn columns() -> Vec<Column> {
    let column = |name, rank, truncate| Column { name, rank, truncate };
    vec![
        column("jobId", 0, Truncate::Middle(9)),
        column("jobName", 1, Truncate::End(8)),
        column("status", 0, Truncate::Never),
        column("elapsed", 2, Truncate::Never),
        column("reason", 3, Truncate::End(10)),
    ]
}

fn row(n: usize) -> Vec<Cell> {
    vec![
        format!("8f2c0d3e-1111-4222-8333-444455556666:{n}").into(),
        format!("align-sample-{n}-größe").into(),
        Cell::toned("RUNNING", Tone::Busy),
        "1:02:03".into(),
        "Host EC2 (instance i-0123456789abcdef0) terminated.".into(),
    ]
}
