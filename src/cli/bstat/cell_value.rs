//! The values of cells: how they are rendered, and how they sort.

use std::cmp::Ordering;

use jiff::Zoned;

use super::ids::ShortIds;
use super::progress::ChildProgress;
use crate::ui::{Cell, Tone, local_rfc3339, local_short, span};
use awsb_model::Status;

/// The value of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellValue {
    Nothing,
    Text(String),
    Id(String, Option<u32>),
    Number(i64),
    /// Milliseconds since the epoch.
    Time(i64),
    /// Milliseconds.
    Span(i64),
    Status(Status),
    ExitCode(i32),
    Progress(ChildProgress),
}

/// When and for whom a job is shown.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The time, in milliseconds since the epoch.
    pub now: i64,
    here: Zoned,
    on_terminal: bool,
    /// The IDs among which a shortened one must be unique; without them, IDs are whole.
    ids: Option<ShortIds>,
}

impl Viewer {
    pub fn new(on_terminal: bool) -> Self {
        let here = Zoned::now();
        Self { now: here.timestamp().as_millisecond(), here, on_terminal, ids: None }
    }

    /// The same viewer, with IDs that are shortened as far as these stay different.
    pub fn shortening(&self, ids: ShortIds) -> Self {
        Self { ids: Some(ids), ..self.clone() }
    }

    /// Whether the output is a terminal.
    pub fn is_on_terminal(&self) -> bool {
        self.on_terminal
    }

    /// An ID as it is shown.
    pub fn id(&self, id: &str) -> String {
        self.ids.as_ref().map_or_else(|| id.to_owned(), |ids| ids.shortest(id))
    }

    /// A time as text. A terminal shows only the part in which it differs from now.
    fn time(&self, epoch_ms: i64) -> String {
        if self.on_terminal { local_short(epoch_ms, &self.here) } else { local_rfc3339(epoch_ms) }
    }
}

impl CellValue {
    pub fn text(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty())
            .map_or(CellValue::Nothing, |text| CellValue::Text(text.to_owned()))
    }

    pub fn number(number: Option<impl Into<i64>>) -> Self {
        number.map_or(CellValue::Nothing, |number| CellValue::Number(number.into()))
    }

    pub fn digits(text: Option<String>) -> Self {
        match text {
            Some(text) => text.parse().map_or(CellValue::Text(text), CellValue::Number),
            None => CellValue::Nothing,
        }
    }

    /// A time; 0 counts as missing.
    pub fn time(epoch_ms: Option<i64>) -> Self {
        epoch_ms.filter(|t| *t > 0).map_or(CellValue::Nothing, CellValue::Time)
    }

    pub fn cell(&self, viewer: &Viewer) -> Cell {
        match self {
            CellValue::Nothing => Cell::default(),
            CellValue::Text(text) => Cell::from(text.as_str()),
            CellValue::Id(id, _) => Cell::from(viewer.id(id)),
            CellValue::Number(number) => Cell::from(number.to_string()),
            CellValue::Time(at) => Cell::from(viewer.time(*at)),
            CellValue::Span(span_ms) => Cell::from(span(*span_ms)),
            CellValue::Status(status) => Cell::toned(status.as_str(), tone(*status)),
            CellValue::ExitCode(code) => {
                Cell::toned(code.to_string(), if *code == 0 { Tone::Plain } else { Tone::Bad })
            }
            CellValue::Progress(progress) => progress.cell(viewer.on_terminal),
        }
    }

    /// The order of two values of one column. Missing values come last, in descending order, too.
    pub fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (CellValue::Nothing, CellValue::Nothing) => return Ordering::Equal,
            (CellValue::Nothing, _) => return Ordering::Greater,
            (_, CellValue::Nothing) => return Ordering::Less,
            (CellValue::Id(a, i), CellValue::Id(b, j)) => (whole(a), i).cmp(&(whole(b), j)),
            (a, b) => a.rank().cmp(&b.rank()).then_with(|| a.words().cmp(b.words())),
        };
        if descending { order.reverse() } else { order }
    }

    fn rank(&self) -> i64 {
        match self {
            CellValue::Nothing | CellValue::Text(_) | CellValue::Id(..) => 0,
            CellValue::Number(n) | CellValue::Time(n) | CellValue::Span(n) => *n,
            CellValue::ExitCode(code) => i64::from(*code),
            CellValue::Status(status) => i64::from(status.code()),
            CellValue::Progress(progress) => progress.per_mille(),
        }
    }

    fn words(&self) -> &str {
        if let CellValue::Text(text) = self { text } else { "" }
    }
}

fn whole(id: &str) -> &str {
    id.split([':', '#']).next().unwrap_or_default()
}

/// The colour of a state.
pub fn tone(status: Status) -> Tone {
    match status {
        Status::Submitted | Status::Pending => Tone::Faint,
        Status::Runnable => Tone::Waiting,
        Status::Starting | Status::Running => Tone::Busy,
        Status::Succeeded => Tone::Good,
        Status::Failed => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sort_by_what_they_mean() {
        let id = |id: &str, part| CellValue::Id(id.to_owned(), part);
        let sorted = [
            [CellValue::Number(9), CellValue::Number(10)],
            [CellValue::Text("a".into()), CellValue::Text("b".into())],
            [id("a:9", Some(9)), id("a:10", Some(10))],
            [id("a", None), id("a:0", Some(0))],
            [CellValue::Status(Status::Pending), CellValue::Status(Status::Failed)],
            [CellValue::Time(5), CellValue::Nothing],
        ];
        for [a, b] in sorted {
            assert_eq!(a.compare(&b, false), Ordering::Less, "{a:?} {b:?}");
            let descending = if b == CellValue::Nothing { Ordering::Less } else { Ordering::Greater };
            assert_eq!(a.compare(&b, true), descending, "{a:?} {b:?}");
        }
    }
}
