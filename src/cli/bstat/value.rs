//! What stands in a cell of the table, for whom, and how it sorts.

use std::cmp::Ordering;

use jiff::Zoned;

use super::ids::ShortIds;
use super::progress::Progress;
use crate::ui::{Cell, Tone, local_rfc3339, local_short, span};
use awsb_model::Status;

/// What a cell says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
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
    Progress(Progress),
}

/// When and for whom a job is shown.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The time, in milliseconds since the epoch.
    pub now: i64,
    here: Zoned,
    on_terminal: bool,
    /// How IDs are shown, where they are not shown whole.
    ids: Option<ShortIds>,
}

impl Viewer {
    pub fn new(on_terminal: bool) -> Self {
        let here = Zoned::now();
        Self { now: here.timestamp().as_millisecond(), here, on_terminal, ids: None }
    }

    /// The same, with IDs that are no longer than it takes to tell these apart.
    pub fn shortening(&self, ids: ShortIds) -> Self {
        Self { ids: Some(ids), ..self.clone() }
    }

    /// Whether a person looks at it.
    pub fn is_on_terminal(&self) -> bool {
        self.on_terminal
    }

    /// An ID as it is shown.
    pub fn id(&self, id: &str) -> String {
        self.ids.as_ref().map_or_else(|| id.to_owned(), |ids| ids.shortest(id))
    }

    /// A time as people read it: all of it, or on a terminal what is not the same as now.
    fn time(&self, epoch_ms: i64) -> String {
        if self.on_terminal { local_short(epoch_ms, &self.here) } else { local_rfc3339(epoch_ms) }
    }
}

impl Value {
    pub fn text(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Value::Nothing, |text| Value::Text(text.to_owned()))
    }

    pub fn number(number: Option<impl Into<i64>>) -> Self {
        number.map_or(Value::Nothing, |number| Value::Number(number.into()))
    }

    pub fn digits(text: Option<String>) -> Self {
        match text {
            Some(text) => text.parse().map_or(Value::Text(text), Value::Number),
            None => Value::Nothing,
        }
    }

    /// A time; 0 is none.
    pub fn time(epoch_ms: Option<i64>) -> Self {
        epoch_ms.filter(|t| *t > 0).map_or(Value::Nothing, Value::Time)
    }

    pub fn cell(&self, viewer: &Viewer) -> Cell {
        match self {
            Value::Nothing => Cell::default(),
            Value::Text(text) => Cell::from(text.as_str()),
            Value::Id(id, _) => Cell::from(viewer.id(id)),
            Value::Number(number) => Cell::from(number.to_string()),
            Value::Time(at) => Cell::from(viewer.time(*at)),
            Value::Span(span_ms) => Cell::from(span(*span_ms)),
            Value::Status(status) => Cell::toned(status.as_str(), tone(*status)),
            Value::ExitCode(code) => {
                Cell::toned(code.to_string(), if *code == 0 { Tone::Plain } else { Tone::Bad })
            }
            Value::Progress(progress) => progress.cell(viewer.on_terminal),
        }
    }

    /// How two values of one column sort; nothing comes last, whichever way is `descending`.
    pub fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Value::Nothing, Value::Nothing) => return Ordering::Equal,
            (Value::Nothing, _) => return Ordering::Greater,
            (_, Value::Nothing) => return Ordering::Less,
            (Value::Id(a, i), Value::Id(b, j)) => (whole(a), i).cmp(&(whole(b), j)),
            (a, b) => a.rank().cmp(&b.rank()).then_with(|| a.words().cmp(b.words())),
        };
        if descending { order.reverse() } else { order }
    }

    fn rank(&self) -> i64 {
        match self {
            Value::Nothing | Value::Text(_) | Value::Id(..) => 0,
            Value::Number(n) | Value::Time(n) | Value::Span(n) => *n,
            Value::ExitCode(code) => i64::from(*code),
            Value::Status(status) => i64::from(status.code()),
            Value::Progress(progress) => progress.per_mille(),
        }
    }

    fn words(&self) -> &str {
        if let Value::Text(text) = self { text } else { "" }
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
        let id = |id: &str, part| Value::Id(id.to_owned(), part);
        let sorted = [
            [Value::Number(9), Value::Number(10)],
            [Value::Text("a".into()), Value::Text("b".into())],
            [id("a:9", Some(9)), id("a:10", Some(10))],
            [id("a", None), id("a:0", Some(0))],
            [Value::Status(Status::Pending), Value::Status(Status::Failed)],
            [Value::Time(5), Value::Nothing],
        ];
        for [a, b] in sorted {
            assert_eq!(a.compare(&b, false), Ordering::Less, "{a:?} {b:?}");
            let descending = if b == Value::Nothing { Ordering::Less } else { Ordering::Greater };
            assert_eq!(a.compare(&b, true), descending, "{a:?} {b:?}");
        }
    }
}
