//! The consumable resources, and which jobs may hold some of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::model::JobKey;

/// A consumable resource, as far as it decides who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumable {
    /// API: totalQuantity.
    pub total: u64,
    /// API: resourceType. The quantity of one that is not replenishable is gone once a job has
    /// taken it: it is subtracted from the total.
    pub is_replenishable: bool,
}

/// The consumable resources, and the jobs that may hold some of them.
#[derive(Debug, Default)]
pub(super) struct Consumables {
    pub(super) resources: BTreeMap<String, Consumable>,
    /// All jobs that hold any. One that holds nothing any more may be here, too.
    pub(super) jobs: BTreeSet<JobKey>,
    /// The changed totals since the last call of `State::take_consumed`.
    pub(super) consumed: BTreeMap<String, u64>,
}

impl Consumables {
    /// A job holds some of them.
    pub(super) fn add(&mut self, key: JobKey) {
        self.jobs.insert(key);
    }

    /// A job has ended.
    pub(super) fn forget(&mut self, key: JobKey) {
        self.jobs.remove(&key);
    }
}
