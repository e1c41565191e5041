//! The state as the disk and the journals of runners have it, and removing what is not needed any more.

use std::collections::{BTreeSet, HashSet};
use std::io;

use super::orders::node_index;
use super::{Engine, FORGET_AFTER_MS, MOST_NAMED, Remains};
use crate::local::batch::database::{self, Missing};
use crate::local::batch::resources;
use crate::local::batch::state::replay::Record;
use crate::local::batch::state::{Current, State};
use crate::local::home::{BATCH_DATABASE, RUNNERS, SCRATCH};
use crate::local::runner::protocol::{Ended, RunnerId};
use crate::local::runner::{self, Taken};
use crate::local::server::warn;
use crate::local::{contents, now_ms};

impl Engine {
    /// The state as the disk has it. Runners that have jobs are waited for, or found to be gone.
    pub(super) fn recover(&mut self) -> rusqlite::Result<()> {
        let now = now_ms();
        self.state = State::new(self.conditions.capacity, resources::layout(&self.store)?);
        // What was read in a transaction that did not come to be is not true.
        self.last_spec = None;
        for job in self.store.active()? {
            if let Some(current) = &job.current {
                self.runners.entry(current.runner.clone()).or_default().task = Some(current.task.clone());
            }
            self.state.restore(job, now);
        }
        self.state.restored(now);
        self.place_keys();
        let placed: HashSet<&RunnerId> = self.state.placed().map(|(current, _)| &current.runner).collect();
        for (id, runner) in &mut self.runners {
            runner.link = None;
            if !placed.contains(id) {
                runner.task = None;
            }
            // That they are gone may have been told in the turn that failed: it is asked for again.
            if runner.remains == Some(Remains::BeingRemoved) {
                runner.remains = None;
            }
        }
        Ok(())
    }

    /// The keys of all attempts that are placed, and of no others, are good.
    fn place_keys(&self) {
        let placed = self.state.placed().map(|(current, job)| (job.key, current.task.clone()));
        self.conditions.keys.place_all(placed);
    }

    /// The database has lost its last commits: what has begun and ended since is taken from the runners'
    /// journals, before anything is started again. What nobody else has written down is lost; that is said.
    pub(super) fn make_up_for(&mut self, missing: &Missing, warnings: &mut Vec<String>) -> io::Result<()> {
        let now = now_ms();
        let path = self.home.join(BATCH_DATABASE);
        let failed = |e| database::explained(&path, e);
        let (mut records, mut unknown) = (Vec::new(), BTreeSet::new());
        for Taken { runner, task, job, attempt, ended } in runner::taken(&self.home)? {
            // Of jobs that ended so long ago the database has nothing left.
            let is_old = |ended: &Ended| ended.at < now - self.conditions.retention_ms;
            if ended.as_ref().is_some_and(is_old) {
                continue;
            }
            match self.store.find(&job).map_err(failed)? {
                Some(key) => {
                    records.push(Record { key, attempt, current: Current { task, runner }, ended });
                }
                None => {
                    unknown.insert(job.split([':', '#']).next().unwrap_or(&job).to_owned());
                }
            }
        }
        let resumed = self.state.replay(records, now);
        for (current, _) in self.state.placed() {
            self.runners.entry(current.runner.clone()).or_default().task = Some(current.task.clone());
        }
        let mut write = || -> rusqlite::Result<()> {
            self.store.begin(true)?;
            for (key, task) in &resumed {
                let node = self.state.job(*key).and_then(node_index);
                let spec = self.spec(*key)?;
                self.store.add_stream(
                    spec.1.log_group(node),
                    &spec.1.log_stream(node, task.as_str()),
                    *key,
                    now,
                )?;
            }
            // Who is to be started has been, and who is to be stopped is stopped when its runner comes back.
            let changes = self.state.take_changes();
            changes.jobs.iter().try_for_each(|job| self.store.save(job))?;
            changes.attempts.iter().try_for_each(|attempt| self.store.save_attempt(attempt))?;
            self.store.made_up_for()?;
            self.store.commit()
        };
        write().map_err(failed)?;
        self.place_keys();
        let mut warning = format!(
            "{missing}. {} attempts of jobs have been taken from the runners' journals instead",
            resumed.len()
        );
        if !unknown.is_empty() {
            let named: Vec<&str> = unknown.iter().take(MOST_NAMED).map(String::as_str).collect();
            warning.push_str(&format!(
                "; {} jobs that had begun are lost, and what of them still runs is ended: {}",
                unknown.len(),
                named.join(", ")
            ));
        }
        warning.push_str(". What was submitted or asked for last may be lost: `bstat` shows what is there");
        warn(warnings, warning);
        Ok(())
    }

    /// Removes the journals of runners that are gone and have told everything, once what they have told is
    /// in the database's own file: if its log should be damaged before that, the journals have it.
    pub(super) fn forget(&mut self) {
        if !self.store.checkpoint() {
            self.forget_at = now_ms() + FORGET_AFTER_MS;
            return;
        }
        for gone in std::mem::take(&mut self.to_forget) {
            runner::forget(&self.home, &gone);
        }
    }

    pub(super) fn forget_later(&mut self, gone: Vec<RunnerId>) {
        if self.to_forget.is_empty() {
            self.forget_at = now_ms() + FORGET_AFTER_MS;
        }
        self.to_forget.extend(gone);
    }

    /// Removes what runners that are gone have left, unless it still tells something.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        let mut gone = Vec::new();
        for entry in std::fs::read_dir(self.home.join(RUNNERS))? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|n| n.split('.').next()).and_then(RunnerId::parse);
            if let Some(id) = id
                && !self.runners.contains_key(&id)
                && !runner::is_alive(&self.home, &id)
            {
                gone.push(id);
            }
        }
        self.forget_later(gone);
        let placed: HashSet<&str> = self.state.placed().map(|(current, _)| current.task.as_str()).collect();
        // A link may lead to the folder of another home, whose jobs run.
        if !contents::is_folder(&self.home.join(SCRATCH)) {
            return Ok(());
        }
        for entry in std::fs::read_dir(self.home.join(SCRATCH))? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| !placed.contains(name)) {
                self.remove_scratch(name);
            }
        }
        runner::sweep_links(&self.home, |task| placed.contains(task));
        Ok(())
    }

    /// Removes the working directory of an attempt; anything else that is there is not ours.
    pub(super) fn remove_scratch(&self, task: &str) {
        let path = self.home.join(SCRATCH).join(task);
        if contents::is_id(task)
            && let Err(e) = contents::remove_tree(&path)
        {
            note!("removing {}: {e}", path.display());
        }
    }
}
