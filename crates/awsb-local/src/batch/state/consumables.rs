//! Consumable resources: who holds how much of them, and who has to wait.
//!
//! User Guide, resource-aware-scheduling: "Resources are locked once the job moves to STARTING and
//! are then unlocked when the job moves to SUCCEEDED or FAILED." So a job between two attempts has
//! them, too. Nothing counts locks: the quantity in use is derived from the jobs, so that no end of
//! a job can be missed.
//!
//! The quantity is that of "each instance of the job": each child of an array takes it, and each
//! node of a multi-node job. A multi-node job takes it for all its nodes at once.

use std::collections::BTreeMap;

use super::supply::Consumable;
use super::{Job, State};
use crate::batch::model::{JobKey, Nodes, Terms};

impl Terms {
    /// The consumable resources that a job, or a child, takes as a whole, by their names.
    pub fn consumption(&self) -> impl Iterator<Item = (&str, u64)> {
        let nodes = self.nodes.as_ref().map_or(1, |nodes: &Nodes| u64::from(nodes.count()));
        self.consumes.iter().map(move |of| (of.name.as_str(), of.quantity.saturating_mul(nodes)))
    }
}

impl Job {
    /// Whether it holds its consumable resources: from the start of its first attempt to its end. A
    /// multi-node job holds those of its nodes.
    pub fn holds_consumables(&self) -> bool {
        self.attempts > 0
            && !self.status.has_ended()
            && self.node().is_none()
            && !self.terms.consumes.is_empty()
    }
}

impl State {
    /// The consumable resources may have changed.
    pub fn set_consumables(&mut self, resources: BTreeMap<String, Consumable>) {
        self.consumables.resources = resources;
    }

    /// The quantities that jobs hold, by the resources' names; also of resources that have been
    /// deleted.
    pub fn in_use(&self) -> BTreeMap<String, u64> {
        let mut in_use = BTreeMap::new();
        let jobs = self.consumables.jobs.iter().filter_map(|key| self.jobs.get(key));
        for job in jobs.filter(|job| job.holds_consumables()) {
            add(&mut in_use, &job.terms);
        }
        in_use
    }

    /// Whether a job with these terms can have its consumable resources now. A resource that has
    /// been deleted is not available: "If you delete a consumable resource and re-create it with
    /// the same name, it is considered to be the same resource and it can be used by RUNNABLE jobs"
    /// (User Guide, resource-aware-scheduling-how-to-delete).
    pub(super) fn is_available(&self, terms: &Terms, in_use: &BTreeMap<String, u64>) -> bool {
        terms.consumption().all(|(name, wanted)| {
            let Some(resource) = self.consumables.resources.get(name) else { return false };
            let taken = in_use.get(name).copied().filter(|_| resource.is_replenishable).unwrap_or(0);
            resource.total.saturating_sub(taken) >= wanted
        })
    }

    /// The first attempt of a job begins. User Guide,
    /// resource-aware-scheduling-how-to-check-resources: what a job takes of a resource that is not
    /// replenishable "is subtracted from both the total and available quantities".
    pub(super) fn consume(&mut self, key: JobKey, in_use: Option<&mut BTreeMap<String, u64>>) {
        let Some(job) = self.jobs.get(&key) else { return };
        if job.terms.consumes.is_empty() {
            return;
        }
        if let Some(in_use) = in_use {
            add(in_use, &job.terms);
        }
        self.consumables.add(key);
        self.change_totals(key, u64::saturating_sub);
    }

    /// The first attempt of a job never began.
    pub(super) fn unconsume(&mut self, key: JobKey) {
        self.change_totals(key, u64::saturating_add);
    }

    fn change_totals(&mut self, key: JobKey, change: impl Fn(u64, u64) -> u64) {
        let Some(job) = self.jobs.get(&key) else { return };
        for (name, quantity) in job.terms.consumption() {
            if let Some(resource) = self.consumables.resources.get_mut(name)
                && !resource.is_replenishable
            {
                resource.total = change(resource.total, quantity);
                self.consumables.consumed.insert(name.to_owned(), resource.total);
            }
        }
    }

    /// Takes the totals that have changed since the last call.
    pub fn take_consumed(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.consumables.consumed)
    }
}

fn add(in_use: &mut BTreeMap<String, u64>, terms: &Terms) {
    for (name, quantity) in terms.consumption() {
        match in_use.get_mut(name) {
            Some(all) => *all = all.saturating_add(quantity),
            None => {
                in_use.insert(name.to_owned(), quantity);
            }
        }
    }
}
