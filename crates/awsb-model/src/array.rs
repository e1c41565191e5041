//! The tasks of an array, and the array jobs into which they are divided.

use std::str::FromStr;

use super::{Invalid, MAX_TASKS, TaskIds, limits};

/// The size of an array, 1 to [`MAX_TASKS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArraySize(u32);

impl ArraySize {
    /// The number of tasks.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for ArraySize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse::<u32>() {
            Ok(n) if (1..=MAX_TASKS).contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because(format!("an array has 1 to {MAX_TASKS} children"))),
        }
    }
}

/// The tasks of a submission.
///
/// Batch numbers an array's children from 0 and allows 10,000 of them ([`limits::ARRAY_SIZE`]). If
/// other tasks were asked for, the launcher looks up the task of a child in the job's own list,
/// [`Tasks::variable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tasks {
    ids: TaskIds,
    are_indices: bool,
}

/// The prefix of the list if the IDs are the indices of an array.
const INDICES: &str = "i:";

/// The number of characters of a list in a request. An array of more scattered tasks is divided
/// into several.
const LIST_LENGTH: usize = 1000;

impl Tasks {
    /// An array of `size` children, whose tasks are their indices, from 0.
    ///
    /// # Errors
    /// None for a size that was parsed.
    pub fn sized(size: ArraySize) -> Result<Self, Invalid> {
        Ok(Self { ids: TaskIds::numbered(0, size.get())?, are_indices: true })
    }

    /// Tasks with the given IDs.
    pub fn with_ids(ids: TaskIds) -> Self {
        Self { ids, are_indices: false }
    }

    /// Whether the tasks are numbered as Batch numbers the children, from 0.
    pub fn are_indices(&self) -> bool {
        self.are_indices
    }

    /// The tasks of a job, from its variable.
    ///
    /// # Errors
    /// When the text is not a list of tasks.
    pub fn from_variable(text: &str) -> Result<Self, Invalid> {
        let (list, are_indices) = match text.strip_prefix(INDICES) {
            Some(list) => (list, true),
            None => (text, false),
        };
        Ok(Self { ids: list.parse()?, are_indices })
    }

    /// The variable with the tasks, in the order of the children.
    pub fn variable(&self) -> String {
        format!("{}{}", if self.are_indices { INDICES } else { "" }, self.ids)
    }

    /// The IDs of the tasks.
    pub fn ids(&self) -> &TaskIds {
        &self.ids
    }

    /// The same kind of tasks with other IDs.
    #[must_use]
    pub fn only(&self, ids: TaskIds) -> Self {
        Self { ids, are_indices: self.are_indices }
    }

    /// Whether the tasks are Batch's own indices, so that a child need not look up its task.
    pub fn are_batchs_own(&self) -> bool {
        self.are_indices
            && self.ids.min() == 0
            && self.ids.max() + 1 == self.ids.count()
            && limits::ARRAY_SIZE.contains(&self.ids.count())
    }

    /// The tasks of each job into which they are divided.
    pub fn parts(&self) -> Vec<Tasks> {
        let mut parts = Vec::new();
        for chunk in self.ids.chunks(*limits::ARRAY_SIZE.end()) {
            let mut size = chunk.count();
            let mut pieces = vec![chunk.clone()];
            while size > 1 && pieces.iter().any(|p| p.to_string().len() > LIST_LENGTH) {
                size = size.div_ceil(2);
                pieces = chunk.chunks(size);
            }
            parts.extend(pieces.into_iter().map(|ids| self.only(ids)));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for good in ["1", "2", "20", "10000", "1000000"] {
            assert_eq!(good.parse::<ArraySize>().map(|s| s.get().to_string()), Ok(good.to_owned()));
        }
        for bad in ["0", "1000001", "x", "-2", "2.0", "", "99999999999"] {
            assert!(bad.parse::<ArraySize>().is_err(), "{bad}");
        }
    }

    fn sizes_of(tasks: &Tasks) -> Vec<u32> {
        tasks.parts().iter().map(|p| p.ids.count()).collect()
    }

    #[test]
    fn more_than_batch_takes_become_several() -> Result<(), Invalid> {
        let tasks = Tasks::sized("20001".parse()?)?;
        assert_eq!(sizes_of(&tasks), [10_000, 10_000, 1]);
        assert_eq!(tasks.parts()[1].variable(), "i:10000-19999");
        assert!(
            !tasks.are_batchs_own()
                && !tasks.parts()[1].are_batchs_own()
                && tasks.parts()[0].are_batchs_own()
        );
        assert_eq!(sizes_of(&Tasks::with_ids("3,7,10-12".parse()?)), [5]);
        Ok(())
    }

    proptest! {
        #[test]
        fn scattered_tasks_fit_into_requests(ids in proptest::collection::btree_set(0u32..20_000, 1..2000)) {
            let tasks = Tasks::with_ids(TaskIds::from_ids(ids.iter().copied()).expect("some IDs"));
            let parts = tasks.parts();
            prop_assert!(parts.iter().all(|p| p.variable().len() <= LIST_LENGTH));
            prop_assert!(parts.iter().flat_map(|p| p.ids.iter()).eq(ids.iter().copied()));
            prop_assert!(parts.iter().all(|p| Tasks::from_variable(&p.variable()).as_ref() == Ok(p)));
        }
    }
}
