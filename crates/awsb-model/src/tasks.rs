//! The tasks of an array, with the IDs that the user gives them.

use std::fmt;
use std::str::FromStr;

use super::Invalid;
use super::digits::digits;

/// The highest ID of a task (Slurm's `MaxArraySize` is at most 4000001, slurm.conf).
pub const MAX_TASK_ID: u32 = 4_000_000;

/// The number of tasks of a submission at most: 100 of Batch's array jobs.
pub const MAX_TASKS: u32 = 1_000_000;

/// The value of `--array`: the tasks, and how many of them may run at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayIds {
    /// The tasks.
    pub ids: TaskIds,
    /// The number of tasks that may run at the same time (`%N`), at least 1.
    pub limit: Option<u32>,
}

impl FromStr for ArrayIds {
    type Err = Invalid;

    /// Parses `1-10`, or `1-10%4`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((ids, limit)) = text.split_once('%') else {
            return Ok(Self { ids: text.parse()?, limit: None });
        };
        match limit.parse::<ArrayLimit>() {
            Ok(ArrayLimit(limit)) => Ok(Self { ids: ids.parse()?, limit: Some(limit) }),
            Err(_) => Err(Invalid::because(format!(
                "after % comes how many tasks may run at the same time, a whole number from 1 to {}",
                u32::MAX
            ))),
        }
    }
}

/// The value of `--array-limit`: how many tasks of an array may run at the same time, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayLimit(u32);

impl ArrayLimit {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for ArrayLimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match digits(text) {
            Some(limit) if limit > 0 => Ok(Self(limit)),
            _ => Err(Invalid::because(format!("the limit is a whole number from 1 to {}", u32::MAX))),
        }
    }
}

impl fmt::Display for ArrayLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ArrayIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ids)?;
        self.limit.map_or(Ok(()), |limit| write!(f, "%{limit}"))
    }
}

/// The IDs of an array's tasks, ascending and distinct; at least one, at most [`MAX_TASKS`].
///
/// They are stored as ranges, so a million tasks with a pattern take as much memory as ten. Two
/// values with the same IDs are equal, however they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIds {
    runs: Vec<Run>,
    count: u32,
}

/// `count` IDs from `first` on, with distance `step`. A run of two has step 1: `3,7` are two runs
/// of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u32,
    step: u32,
    count: u32,
    /// The position of `first` among all IDs.
    position: u32,
}

impl Run {
    fn last(self) -> u32 {
        self.first + (self.count - 1) * self.step
    }

    fn ids(self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |n| self.first + n * self.step)
    }
}

impl TaskIds {
    /// `count` tasks, numbered from `first` on.
    ///
    /// # Errors
    /// When there are none or too many, or the last ID is too high.
    pub fn numbered(first: u32, count: u32) -> Result<Self, Invalid> {
        let last = u64::from(first) + u64::from(count).saturating_sub(1);
        if count > MAX_TASKS {
            return Err(too_many());
        }
        if last > u64::from(MAX_TASK_ID) {
            return Err(too_high());
        }
        Self::from_ascending(first..first + count)
    }

    /// The tasks with these IDs, in any order. Duplicates count once.
    ///
    /// # Errors
    /// When there are none or too many, or an ID is too high.
    pub fn from_ids(ids: impl IntoIterator<Item = u32>) -> Result<Self, Invalid> {
        // The list ends at 16 MB, whatever the iterator repeats.
        let most = MAX_TASK_ID as usize;
        let mut all: Vec<u32> = ids.into_iter().take(most + 1).collect();
        if all.len() > most {
            return Err(too_many());
        }
        all.sort_unstable();
        all.dedup();
        Self::from_ascending(all)
    }

    /// The tasks with these IDs, each higher than the one before.
    fn from_ascending(ids: impl IntoIterator<Item = u32>) -> Result<Self, Invalid> {
        let mut tasks = Self { runs: Vec::new(), count: 0 };
        let mut open: Option<Run> = None;
        for id in ids {
            if id > MAX_TASK_ID {
                return Err(too_high());
            }
            if tasks.count + open.map_or(0, |r| r.count) == MAX_TASKS {
                return Err(too_many());
            }
            open = Some(match open {
                None => Run { first: id, step: 1, count: 1, position: 0 },
                Some(run) if run.count == 1 => Run { step: id - run.first, count: 2, ..run },
                Some(run) if id - run.last() == run.step => Run { count: run.count + 1, ..run },
                // Two distant IDs are not a pattern yet: the second may begin another one.
                Some(run) if run.count == 2 && run.step > 1 => {
                    tasks.push(Run { step: 1, count: 1, ..run });
                    Run { first: run.last(), step: id - run.last(), count: 2, position: 0 }
                }
                Some(run) => {
                    tasks.push(run);
                    Run { first: id, step: 1, count: 1, position: 0 }
                }
            });
        }
        match open {
            None => return Err(Invalid::because("an array has at least one task")),
            Some(run) if run.count == 2 && run.step > 1 => {
                tasks.push(Run { step: 1, count: 1, ..run });
                tasks.push(Run { first: run.last(), step: 1, count: 1, position: 0 });
            }
            Some(run) => tasks.push(run),
        }
        Ok(tasks)
    }

    fn push(&mut self, run: Run) {
        self.runs.push(Run { position: self.count, ..run });
        self.count += run.count;
    }

    /// The number of tasks, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The lowest ID (`SLURM_ARRAY_TASK_MIN`).
    pub fn min(&self) -> u32 {
        self.runs.first().map_or(0, |run| run.first)
    }

    /// The highest ID (`SLURM_ARRAY_TASK_MAX`).
    pub fn max(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.last())
    }

    /// The distance of the IDs (`SLURM_ARRAY_TASK_STEP`). It is 1 if that differs, and for a single
    /// task. Slurm takes the text after the first `:`, which is the same for a range of several
    /// tasks.
    pub fn step(&self) -> u32 {
        match (self.runs.as_slice(), self.count) {
            ([run], _) => run.step,
            (_, 2) => self.max() - self.min(),
            _ => 1,
        }
    }

    /// The ID at a position, which counts from 0. `None` after the last.
    pub fn get(&self, position: u32) -> Option<u32> {
        let after = self.runs.partition_point(|run| run.position <= position);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let within = position - run.position;
        (within < run.count).then(|| run.first + within * run.step)
    }

    /// The position of an ID, which counts from 0. `None`: no task has it.
    pub fn position(&self, id: u32) -> Option<u32> {
        let after = self.runs.partition_point(|run| run.first <= id);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let beyond = id - run.first;
        (id <= run.last() && beyond.is_multiple_of(run.step)).then(|| run.position + beyond / run.step)
    }

    /// The IDs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|run| run.ids())
    }

    /// The tasks in groups of `size`, in order. The last group may be smaller. A `size` of 0 counts
    /// as 1.
    pub fn chunks(&self, size: u32) -> Vec<TaskIds> {
        let mut ids = self.iter();
        std::iter::from_fn(|| Self::from_ascending(ids.by_ref().take(size.max(1) as usize)).ok()).collect()
    }
}

fn too_many() -> Invalid {
    Invalid::because(format!("an array has at most {MAX_TASKS} tasks"))
}

fn too_high() -> Invalid {
    Invalid::because(format!("the highest ID that a task can have is {MAX_TASK_ID}"))
}

impl FromStr for TaskIds {
    type Err = Invalid;

    /// Parses Slurm's `--array` (sbatch, `--array`): IDs and ranges, a range optionally with a
    /// step. Duplicates count once, as in Slurm.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains('%') {
            return Err(Invalid::because(
                "the IDs of tasks have no %; `--array IDS%N` limits how many run at the same time",
            ));
        }
        let mut runs = Vec::new();
        let mut named: u64 = 0;
        for part in text.split(',') {
            let run = run(part)?;
            named += u64::from(run.count);
            // Duplicates make this more than there are, but nobody writes a million IDs four times.
            if run.count > MAX_TASKS || named > u64::from(MAX_TASK_ID) {
                return Err(too_many());
            }
            runs.push(run);
        }
        match runs.as_slice() {
            [run] => Self::from_ascending(run.ids()),
            runs => Self::from_ids(runs.iter().flat_map(|run| run.ids())),
        }
    }
}

/// Parses `7`, `1-100` or `1-100:5`.
fn run(text: &str) -> Result<Run, Invalid> {
    let wrong = || {
        Invalid::because(
            "give the IDs of tasks such as 7, 1-100, 1-100:5 (every fifth) or 3,7,10-12".to_owned(),
        )
    };
    let number = |digits: &str| {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        // A number that is too long for the type is too high for a task.
        digits.parse::<u32>().ok().filter(|n| *n <= MAX_TASK_ID).ok_or_else(too_high)
    };
    let Some((first, rest)) = text.split_once('-') else {
        return Ok(Run { first: number(text)?, step: 1, count: 1, position: 0 });
    };
    let (last, step) = match rest.split_once(':') {
        Some((last, step)) => (number(last)?, number(step)?),
        None => (number(rest)?, 1),
    };
    let first = number(first)?;
    if step == 0 {
        return Err(Invalid::because("the step of a range is at least 1"));
    }
    match last.checked_sub(first) {
        Some(span) => Ok(Run { first, step, count: span / step + 1, position: 0 }),
        None => Err(Invalid::because(format!("the range {first}-{last} ends before it begins"))),
    }
}

impl fmt::Display for TaskIds {
    /// Writes a short form that [`TaskIds::from_str`] parses, such as `0-9,20-40:10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, run) in self.runs.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", run.first)?;
            if run.count > 1 {
                write!(f, "-{}", run.last())?;
            }
            if run.step > 1 {
                write!(f, ":{}", run.step)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(text: &str) -> Vec<u32> {
        text.parse::<TaskIds>().map(|t| t.iter().collect()).unwrap_or_default()
    }

    #[test]
    fn what_slurm_understands() {
        assert_eq!(ids("7"), [7]);
        assert_eq!(ids("1-4"), [1, 2, 3, 4]);
        assert_eq!(ids("1-10:4"), [1, 5, 9]);
        assert_eq!(ids("10-12,3,7,11"), [3, 7, 10, 11, 12]);
        assert_eq!(ids("0-6:2,1-7:2"), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(ids("4000000"), [4_000_000]);
    }

    #[test]
    fn a_limit_on_running_tasks() {
        let read = |text: &str| text.parse::<ArrayIds>();
        assert!(read("1-10%1").is_ok_and(|a| a.limit == Some(1) && a.ids.count() == 10));
        assert!(read("1-11").is_ok_and(|a| a.limit.is_none() && a.to_string() == "1-11"));
        assert!(read("1-3:2%20").is_ok_and(|a| a.limit == Some(20) && a.to_string() == "1,3%20"));
        for bad in ["1-10%0", "1-10%x", "1-10%-1", "1-10%+1", "1-10%", "%1", "1%1,2", "1%2%3", "1%4294967296"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_it_does_not() {
        let reason = |text: &str| text.parse::<TaskIds>().map_err(|e| e.to_string());
        for (text, says) in [
            ("1-100%10", "`--array IDS%N`"),
            ("", "such as"),
            ("1,", "such as"),
            ("-3", "such as"),
            ("1-", "such as"),
            ("1-3:", "such as"),
            ("1:3", "such as"),
            ("a", "such as"),
            ("+1", "such as"),
            ("1-2-3", "such as"),
            ("1-5:0", "at least 1"),
            ("5-1", "ends before"),
            ("4000001", "4000000"),
            ("99999999999999999999", "4000000"),
            ("0-1000000", "1000000 tasks"),
            ("0-999999,2000000-2999999", "1000000 tasks"),
        ] {
            assert!(reason(text).is_err_and(|e| e.contains(says)), "{text}: {:?}", reason(text));
        }
    }

    #[test]
    fn the_short_form() {
        for (text, short) in [
            ("0,1,2,3,4,5,6,7,8,9,20,30,40", "0-9,20-40:10"),
            ("3,7", "3,7"),
            ("0,5,6,7", "0,5-7"),
            ("1,2", "1-2"),
            ("5,5,5", "5"),
            ("1-9:2,2-10:2", "1-10"),
        ] {
            assert_eq!(text.parse::<TaskIds>().map(|t| t.to_string()), Ok(short.to_owned()), "{text}");
        }
    }

    #[test]
    fn slurms_variables() {
        for (text, expected) in [
            ("7", (1, 7, 7, 1)),
            ("1-10", (10, 1, 10, 1)),
            ("2-11:3", (4, 2, 11, 3)),
            ("3,7", (2, 3, 7, 4)),
            ("3,7,12", (3, 3, 12, 1)),
        ] {
            let found = text.parse::<TaskIds>().map(|t| (t.count(), t.min(), t.max(), t.step()));
            assert_eq!(found, Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_largest_array() -> Result<(), Invalid> {
        let all = TaskIds::numbered(1, MAX_TASKS)?;
        assert_eq!((all.count(), all.max(), all.runs.len()), (MAX_TASKS, MAX_TASKS, 1));
        let chunks = all.chunks(10_000);
        assert_eq!((chunks.len(), chunks[99].min()), (100, 990_001));
        assert!(TaskIds::numbered(0, MAX_TASKS + 1).is_err());
        assert!(TaskIds::numbered(0, 0).is_err());
        assert!(TaskIds::numbered(u32::MAX, u32::MAX).is_err());
        assert!(TaskIds::from_ids([]).is_err());
        assert!(TaskIds::from_ids([u32::MAX]).is_err());
        Ok(())
    }

    /// A small number of IDs: close together, so that there are patterns, or far apart.
    fn some_ids() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            proptest::collection::vec(0u32..40, 1..30),
            proptest::collection::vec(0..=MAX_TASK_ID, 1..30)
        ]
    }

    proptest! {
        #[test]
        fn the_short_form_means_the_same(list in some_ids()) {
            let tasks = TaskIds::from_ids(list.clone())?;
            prop_assert_eq!(tasks.to_string().parse::<TaskIds>(), Ok(tasks.clone()));
            let mut sorted = list;
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(tasks.iter().collect::<Vec<_>>(), sorted.clone());
            prop_assert_eq!(tasks.count() as usize, sorted.len());
        }

        #[test]
        fn a_position_has_an_id_and_an_id_a_position(list in some_ids(), other in 0..=MAX_TASK_ID) {
            let tasks = TaskIds::from_ids(list.clone())?;
            for (position, id) in (0..).zip(tasks.iter()) {
                prop_assert_eq!(tasks.get(position), Some(id));
                prop_assert_eq!(tasks.position(id), Some(position));
            }
            prop_assert_eq!(tasks.get(tasks.count()), None);
            for id in (0..60).chain([other]) {
                prop_assert_eq!(tasks.position(id).is_some(), list.contains(&id));
            }
        }

        #[test]
        fn chunks_are_the_whole(list in some_ids(), size in 0u32..12) {
            let tasks = TaskIds::from_ids(list)?;
            let chunks = tasks.chunks(size);
            prop_assert!(chunks.iter().all(|c| (1..=size.max(1)).contains(&c.count())));
            let together: Vec<u32> = chunks.iter().flat_map(TaskIds::iter).collect();
            prop_assert_eq!(together, tasks.iter().collect::<Vec<_>>());
        }

        #[test]
        fn nothing_panics(text in "[0-9,:%-]{0,24}|.{0,12}") {
            if let Ok(tasks) = text.parse::<TaskIds>() {
                prop_assert_eq!(tasks.to_string().parse::<TaskIds>(), Ok(tasks));
            }
        }
    }
}
