//! Positions in a log stream, and the events found there.

/// Which way through time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The oldest event comes first.
    Forward,
    /// The newest one does.
    Backward,
}

/// A place between two events of a source.
///
/// In a file it is the offset of a line, and the time means nothing. Among rows it is before the
/// row of this time and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Milliseconds since the epoch.
    pub time: i64,
    /// The offset, or the number of the row.
    pub at: u64,
}

/// Where a scan begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Before the first event that is not before this time.
    Time(i64),
    /// Here.
    Position(Position),
}

/// An event, and where it is in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvent {
    /// The place before it.
    pub before: Position,
    /// The place after it.
    pub after: Position,
    /// When it happened, in milliseconds since the epoch.
    pub time: i64,
    /// When it was stored.
    pub ingested: i64,
    /// The message.
    pub message: String,
}

/// The kinds of sources, in the order in which events of the same time come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// The output of a job.
    File,
    /// The events that PutLogEvents has stored.
    Table,
}

impl SourceKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::File, Self::Table];
}
