//! The state as the disk and the journals of runners have it, and removing what is not needed any more.

use std::collections::{BTreeSet, HashSet};
use std::io;

use super::orders::node_index;
use super::{DAMAGED, Engine, FORGET_AFTER_MS, MOST_NAMED, Remains};
use crate::batch::database::{self, Missing, Sign};
use crate::batch::resources;
use crate::batch::state::replay::Record;
use crate::batch::state::{Current, State};
use crate::home::{BATCH_DATABASE, RUNNERS, SCRATCH};
use crate::runner::protocol::{Ended, RunnerId, TaskId};
use crate::runner::{self, Journals, Taken};
use crate::server::warn;
use crate::{contents, now_ms};

/// What the runners' journals have of jobs.
#[derive(Debug, Default)]
struct Known {
    /// Attempts of jobs that the database has.
    records: Vec<Record>,
    /// Jobs that it has not.
    lost: BTreeSet<String>,
}

impl Known {
    /// Whether that is more than the database has.
    fn are_ahead(&self, state: &State) -> bool {
        !self.lost.is_empty() || self.records.iter().any(|record| state.is_ahead(record))
    }
}

impl Engine {
    /// The state as the disk has it. Runners that have jobs are waited for, or found to be gone.
    pub(super) fn recover(&mut self) -> rusqlite::Result<()> {
        let now = now_ms();
        self.state = State::new(self.conditions.capacity, resources::layout(&self.store)?);
        // What was read in a transaction that did not come to be is not true.
        self.last_spec = None;
        let (jobs, damaged) = self.store.active()?;
        for job in jobs {
            if let Some(current) = &job.current {
                self.runners.entry(current.runner.clone()).or_default().task = Some(current.task.clone());
            }
            self.state.restore(job, now);
        }
        self.state.restored(now);
        for (key, harm) in damaged {
            note!("the record of the job with the number {} is damaged: {harm}", key.0);
            self.state.give_up(key, &format!("{DAMAGED}: {harm}"), now);
        }
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

    /// Looks whether the database has lost what it had: by the number of its commits, and by what the runners'
    /// journals have that it does not know.
    pub(super) fn look_for_losses(&mut self, warnings: &mut Vec<String>) -> io::Result<()> {
        let path = self.home.join(BATCH_DATABASE);
        let journals = runner::journals(&self.home)?;
        if !journals.damaged.is_empty() {
            let damaged: Vec<String> =
                journals.damaged.iter().map(|path| path.display().to_string()).collect();
            let meaning = "attempts whose end is recorded nowhere else count as lost";
            warn(warnings, format!("{} is damaged: {meaning}", damaged.join(", ")));
        }
        let known = self.known(&journals).map_err(|e| database::explained(&path, e))?;
        let mut missing = match self.store.missing() {
            Some(missing) => missing.clone(),
            None if known.are_ahead(&self.state) => {
                Missing { file: path, sign: Sign::Journals, is_journaled: true }
            }
            None => return Ok(()),
        };
        // Journals alone are believed in what they have, and end nothing else: one may have an attempt that was given
        // back, as one that never began.
        if !matches!(missing.sign, Sign::Journals) {
            missing.is_journaled &= journals.damaged.is_empty() && journals.since < self.store.next_commit();
        }
        self.make_up_for(&missing, known, warnings)
    }

    /// What the runners' journals have of jobs, as far as it matters to this database.
    fn known(&self, journals: &Journals) -> rusqlite::Result<Known> {
        let now = now_ms();
        let mut known = Known::default();
        for Taken { runner, task, job, attempt, ended } in journals.taken.iter().cloned() {
            // Of jobs that ended so long ago the database has nothing left.
            let is_old = |ended: &Ended| ended.at < now - self.conditions.retention_ms;
            if ended.as_ref().is_some_and(is_old) {
                continue;
            }
            match self.store.find(&job)? {
                Some(key) => {
                    known.records.push(Record { key, attempt, current: Current { task, runner }, ended });
                }
                None => {
                    known.lost.insert(job.split([':', '#']).next().unwrap_or(&job).to_owned());
                }
            }
        }
        Ok(known)
    }

    /// The database is not what it was last: what has begun and ended since is taken from the runners' journals,
    /// before anything is started again. Where these may not have everything either, jobs of which nobody knows
    /// what has become of them end. What nobody else has written down is lost; all that is said.
    fn make_up_for(&mut self, missing: &Missing, known: Known, warnings: &mut Vec<String>) -> io::Result<()> {
        let now = now_ms();
        let path = self.home.join(BATCH_DATABASE);
        let failed = |e| database::explained(&path, e);
        let tasks: HashSet<TaskId> = known.records.iter().map(|record| record.current.task.clone()).collect();
        let lost = known.lost;
        let resumed = self.state.replay(known.records, now);
        let unknown = match missing.is_journaled {
            true => Vec::new(),
            false => self.state.end_unknown(&tasks, now),
        };
        for (current, _) in self.state.placed() {
            self.runners.entry(current.runner.clone()).or_default().task = Some(current.task.clone());
        }
        let mut write = || -> rusqlite::Result<()> {
            self.store.begin(true)?;
            for (key, task) in &resumed {
                let node = self.state.job(*key).and_then(node_index);
                // A job whose record is damaged runs on without.
                let spec = match self.spec(*key) {
                    Err(e) if database::is_damage(&e) => continue,
                    outcome => outcome?,
                };
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
        // What runners have told and was not asked for is not waited for.
        let placed: HashSet<TaskId> = self.state.placed().map(|(current, _)| current.task.clone()).collect();
        for runner in self.runners.values_mut() {
            runner.task = runner.task.take().filter(|task| placed.contains(task));
        }
        self.place_keys();
        let mut warning = format!(
            "{missing}. {} been taken from the runners' journals instead",
            match resumed.len() {
                1 => "1 attempt of a job has".to_owned(),
                n => format!("{n} attempts of jobs have"),
            }
        );
        if !unknown.is_empty() {
            warning.push_str(&format!(
                "; {} been ended as FAILED: submit again what has not run",
                match unknown.len() {
                    1 => "1 job that had not ended may have run since, and has".to_owned(),
                    n => format!("{n} jobs that had not ended may have run since, and have"),
                }
            ));
        }
        if !lost.is_empty() {
            let named: Vec<&str> = lost.iter().take(MOST_NAMED).map(String::as_str).collect();
            warning.push_str(&format!(
                "; {} lost, and what of {} still runs is ended: {}",
                if lost.len() == 1 {
                    "1 job that had begun is".to_owned()
                } else {
                    format!("{} jobs that had begun are", lost.len())
                },
                if lost.len() == 1 { "it" } else { "them" },
                named.join(", ")
            ));
        }
        warning.push_str(
            ". The last submissions and requests may be lost: `bstat` shows the jobs that are \
                          left",
        );
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
        self.store.journals_removed();
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
