//! The progress of an array, and the number of nodes of a multi-node parallel job.

use crate::batch::Job;
use crate::ui::{Cell, Tone};
use awsb_model::{Status, words};

/// The progress of a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildProgress {
    /// The size of an array, and the number of its children by group of states.
    Array(u32, Vec<(Group, u32)>),
    /// The number of nodes of an MNP job.
    Nodes(u32),
}

/// States that are shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Ok,
    Failed,
    Running,
    Waiting,
}

impl Group {
    const ALL: [Group; 4] = [Group::Ok, Group::Failed, Group::Running, Group::Waiting];

    fn of(status: Status) -> Self {
        match status {
            Status::Succeeded => Group::Ok,
            Status::Failed => Group::Failed,
            Status::Starting | Status::Running => Group::Running,
            Status::Submitted | Status::Pending | Status::Runnable => Group::Waiting,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Group::Ok => "ok",
            Group::Failed => "failed",
            Group::Running => "running",
            Group::Waiting => "waiting",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Group::Ok => Tone::Good,
            Group::Failed => Tone::Bad,
            Group::Running => Tone::Busy,
            Group::Waiting => Tone::Faint,
        }
    }
}

/// The width of a bar, in columns of the terminal.
const BAR: usize = 10;

/// The width of each group in a bar. A single child of thousands has a column, too: it matters that
/// one has failed, or that not all have ended.
fn bar(counts: &[(Group, u32)]) -> Vec<(Group, usize)> {
    let all: u64 = counts.iter().map(|(_, n)| u64::from(*n)).sum();
    let share = |n: u32| match n {
        0 => 0,
        n => usize::try_from(u64::from(n) * BAR as u64 / all.max(1)).unwrap_or(BAR).max(1),
    };
    let mut bar: Vec<(Group, usize)> = counts.iter().map(|(group, n)| (*group, share(*n))).collect();
    let taken: usize = bar.iter().map(|(_, columns)| columns).sum();
    // The largest group takes the difference that rounding makes.
    if let Some((_, largest)) = bar.iter_mut().max_by_key(|(_, columns)| *columns) {
        *largest = (*largest + BAR).saturating_sub(taken);
    }
    bar
}

impl ChildProgress {
    /// The progress of a parent, if the job is one.
    pub fn of(job: &Job) -> Option<Self> {
        if job.is_mnp_parent() {
            return job.nodes.map(ChildProgress::Nodes);
        }
        let size = job.parts()?;
        let counts = by_status(job);
        let count = |group| {
            let of_group = counts.iter().filter(|(status, _)| Group::of(*status) == group);
            of_group.fold(0, |all: u32, (_, n)| all.saturating_add(*n))
        };
        Some(ChildProgress::Array(size, Group::ALL.map(|group| (group, count(group))).into()))
    }

    /// The part of it that has ended, in thousandths.
    pub fn per_mille(&self) -> i64 {
        match self {
            ChildProgress::Array(size, counts) => {
                let ended = counts.iter().filter(|(group, _)| matches!(group, Group::Ok | Group::Failed));
                let ended: i64 = ended.map(|(_, n)| i64::from(*n)).sum();
                ended * 1000 / i64::from(*size).max(1)
            }
            ChildProgress::Nodes(_) => 0,
        }
    }

    /// `10000 children: 8123 ok, 12 failed, 300 running, 1565 waiting`; `None` without counts.
    pub fn summary(&self) -> Option<String> {
        let ChildProgress::Array(size, counts) = self else { return None };
        let counts = counts.iter().filter(|(_, n)| *n > 0);
        let counts: Vec<String> = counts.map(|(group, n)| format!("{n} {}", group.word())).collect();
        (!counts.is_empty()).then(|| format!("{}: {}", words::many(*size, "child"), counts.join(", ")))
    }

    /// `[10000] 12 failed 8123 ok 300 running 1565 waiting`; on a terminal with a bar.
    pub fn cell(&self, on_terminal: bool) -> Cell {
        let (size, counts) = match self {
            ChildProgress::Nodes(nodes) => return Cell::from(format!("[{}]", words::many(*nodes, "node"))),
            ChildProgress::Array(size, counts) => (*size, counts),
        };
        let cell = Cell::from(format!("[{size}]"));
        let mut written: Vec<&(Group, u32)> = counts.iter().filter(|(_, n)| *n > 0).collect();
        // A terminal may be too narrow for all counts. The count of failed children is cut last.
        if on_terminal {
            written.sort_by_key(|(group, _)| *group != Group::Failed);
        }
        let words = written.into_iter().fold(cell, |cell, (group, n)| {
            cell.and(" ", Tone::Plain).and(format!("{n} {}", group.word()), group.tone())
        });
        // A parent without counts shows its size alone.
        if !on_terminal || counts.iter().all(|(_, n)| *n == 0) {
            return words;
        }
        let bar = bar(counts).into_iter().filter(|(_, columns)| *columns > 0);
        let bar = bar.fold(Cell::default(), |cell, (group, columns)| {
            let line = match group {
                Group::Ok | Group::Failed => "━",
                Group::Running => "╌",
                Group::Waiting => "·",
            };
            cell.and(line.repeat(columns), group.tone())
        });
        words.with_picture(bar.and(" ", Tone::Plain))
    }
}

/// The number of children by state, in the order in which a job goes through the states.
pub fn by_status(job: &Job) -> Vec<(Status, u32)> {
    let summary = job.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
    let counts = Status::ALL.into_iter().filter_map(|status| {
        let count = summary?.get(status.as_str()).copied().and_then(|n| u32::try_from(n).ok())?;
        (count > 0).then_some((status, count))
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(counts: [u32; 4], on_terminal: bool) -> String {
        let size = counts.iter().sum();
        ChildProgress::Array(size, Group::ALL.into_iter().zip(counts).collect()).cell(on_terminal).text()
    }

    #[test]
    fn progress_in_words_and_as_a_bar() {
        assert_eq!(cell([8123, 12, 300, 1565], false), "[10000] 8123 ok 12 failed 300 running 1565 waiting");
        assert_eq!(cell([5, 0, 0, 0], false), "[5] 5 ok");
        assert_eq!(
            cell([8123, 12, 300, 1565], true),
            "━━━━━━━━╌· [10000] 12 failed 8123 ok 300 running 1565 waiting"
        );
        assert_eq!(cell([0, 0, 0, 2], true), "·········· [2] 2 waiting");
        assert_eq!(cell([2, 0, 0, 0], true), "━━━━━━━━━━ [2] 2 ok");
        assert_eq!(cell([25, 5, 0, 0], true), "━━━━━━━━━━ [30] 5 failed 25 ok");
        assert_eq!(cell([9999, 0, 0, 1], true), "━━━━━━━━━· [10000] 9999 ok 1 waiting");
        assert_eq!(cell([0, 0, 0, 0], true), "[0]");
        let counts = Group::ALL.into_iter().zip([2, 1, 0, 7]).collect();
        let summary = ChildProgress::Array(10, counts).summary();
        assert_eq!(summary.as_deref(), Some("10 children: 2 ok, 1 failed, 7 waiting"));
        assert_eq!(ChildProgress::Nodes(4).summary(), None);
        assert_eq!(ChildProgress::Nodes(4).cell(true).text(), "[4 nodes]");
    }
}
