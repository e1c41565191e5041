//! The state from the disk and the journals of runners, and the removal of what is not needed any
//! more.

use std::collections::{BTreeSet, HashSet};
use std::io;

use super::run_order::node_index;
use super::{DAMAGED, Engine, FORGET_AFTER_MS, Leftovers, MAX_NAMED};
use crate::batch::consumable;
use crate::batch::resources;
use crate::batch::state::replay::Record;
use crate::batch::state::{Current, State};
use crate::database::{self, Missing, Sign};
use crate::home::contents;
use crate::home::files::{BATCH_DATABASE, RUNNERS, SCRATCH, SESSION_RECORD};
use crate::log::add_warning;
use crate::runner::protocol::{AttemptId, Ended, RunnerId};
use crate::runner::{self, JournaledAttempt, Journals};
use crate::time::now_ms;
use awsb_model::words;

/// The jobs in the runners' journals.
#[derive(Debug, Default)]
struct Journaled {
    /// Attempts of jobs that the database has.
    records: Vec<Record>,
    /// The IDs of jobs that the database does not have.
    lost: BTreeSet<String>,
}

impl Journaled {
    /// Whether the journals have more than the database.
    fn is_ahead_of(&self, state: &State) -> bool {
        !self.lost.is_empty() || self.records.iter().any(|record| state.is_ahead(record))
    }
}

impl Engine {
    /// Reads the state from the disk. Runners that have jobs reconnect, or are found to be gone.
    pub(super) fn recover(&mut self) -> rusqlite::Result<()> {
        let now = now_ms();
        self.state = State::new(self.config.capacity, resources::layout(&self.store)?);
        self.state.set_consumables(consumable::consumables(&self.store)?);
        // Values that were read in a transaction that has failed are not valid.
        self.last_spec = None;
        let (jobs, damaged) = self.store.active()?;
        for job in jobs {
            if let Some(current) = &job.current {
                self.runners.entry(current.runner.clone()).or_default().attempt_id =
                    Some(current.attempt_id.clone());
            }
            self.state.restore(job, now);
        }
        self.state.restored(now);
        for (key, harm) in damaged {
            tracing::warn!("the record of the job with the number {} is damaged: {harm}", key.0);
            self.state.give_up(key, &format!("{DAMAGED}: {harm}"), now);
        }
        self.set_keys();
        let assigned: HashSet<&RunnerId> =
            self.state.assigned().map(|(current, _)| &current.runner).collect();
        for (id, runner) in &mut self.runners {
            runner.link = None;
            if !assigned.contains(id) {
                runner.attempt_id = None;
            }
            // The message about their removal may have been lost with the batch that failed: it is
            // asked for again.
            if runner.leftovers == Some(Leftovers::BeingRemoved) {
                runner.leftovers = None;
            }
        }
        Ok(())
    }

    /// Makes the keys of all attempts that are placed valid, and no others.
    fn set_keys(&self) {
        let assigned = self.state.assigned().map(|(current, job)| (job.key, current.attempt_id.clone()));
        self.config.keys.set_attempts(assigned);
    }

    /// Finds out whether the database has lost something: by the number of its commits, and by jobs
    /// that only the runners' journals have.
    pub(super) fn find_losses(&mut self, warnings: &mut Vec<String>) -> io::Result<()> {
        let path = self.home.join(BATCH_DATABASE);
        let journals = runner::journals(&self.home)?;
        if !journals.damaged.is_empty() {
            let damaged: Vec<String> =
                journals.damaged.iter().map(|path| path.display().to_string()).collect();
            let meaning = "attempts whose end is recorded nowhere else count as lost";
            add_warning(warnings, format!("{} is damaged: {meaning}", damaged.join(", ")));
        }
        let journaled = self.journaled(&journals).map_err(|e| database::explained(&path, e))?;
        let mut missing = match self.store.missing() {
            Some(missing) => missing.clone(),
            None if journaled.is_ahead_of(&self.state) => {
                Missing { file: path, sign: Sign::Journals, is_journaled: true }
            }
            None => return Ok(()),
        };
        // Journals alone are a proof of what they have, and end nothing else: a journal may have an
        // attempt that was given back because it never began.
        if !matches!(missing.sign, Sign::Journals) {
            missing.is_journaled &= journals.damaged.is_empty() && journals.since < self.store.next_commit();
        }
        self.recover_losses(&missing, journaled, warnings)
    }

    /// The jobs in the runners' journals, as far as they matter to this database.
    fn journaled(&self, journals: &Journals) -> rusqlite::Result<Journaled> {
        let now = now_ms();
        let mut journaled = Journaled::default();
        for JournaledAttempt { runner, attempt_id, job, attempt, ended } in journals.taken.iter().cloned() {
            // Of jobs that ended so long ago the database has nothing left.
            let is_old = |ended: &Ended| ended.at < now - self.config.retention_ms;
            if ended.as_ref().is_some_and(is_old) {
                continue;
            }
            match self.store.find(&job)? {
                Some(key) => {
                    journaled.records.push(Record {
                        key,
                        attempt,
                        current: Current { attempt_id, runner },
                        ended,
                    });
                }
                None => {
                    journaled.lost.insert(job.split([':', '#']).next().unwrap_or(&job).to_owned());
                }
            }
        }
        Ok(journaled)
    }

    /// Recovers from a loss in the database. The starts and ends since then are taken from the
    /// runners' journals, before anything is started again. Where the journals may be incomplete,
    /// too, jobs whose outcome is unknown end. A warning says what was recovered and what is lost.
    fn recover_losses(
        &mut self,
        missing: &Missing,
        journaled: Journaled,
        warnings: &mut Vec<String>,
    ) -> io::Result<()> {
        let now = now_ms();
        let path = self.home.join(BATCH_DATABASE);
        let failed = |e| database::explained(&path, e);
        let attempt_ids: HashSet<AttemptId> =
            journaled.records.iter().map(|record| record.current.attempt_id.clone()).collect();
        let lost = journaled.lost;
        let resumed = self.state.replay(journaled.records, now);
        let unknown = match missing.is_journaled {
            true => Vec::new(),
            false => self.state.end_unknown(&attempt_ids, now),
        };
        for (current, _) in self.state.assigned() {
            self.runners.entry(current.runner.clone()).or_default().attempt_id =
                Some(current.attempt_id.clone());
        }
        let mut write = || -> rusqlite::Result<()> {
            self.store.begin(true)?;
            for (key, attempt_id) in &resumed {
                let node = self.state.job(*key).and_then(node_index);
                // A job whose record is damaged runs on without.
                let spec = match self.spec(*key) {
                    Err(e) if database::is_damage(&e) => continue,
                    outcome => outcome?,
                };
                for (group, stream) in spec.1.log_streams(node, attempt_id.as_str()) {
                    self.store.add_stream(&group, &stream, *key, now)?;
                }
            }
            // Jobs to be started have been started, and jobs to be stopped are stopped when their
            // runners reconnect.
            let changes = self.state.take_changes();
            changes.jobs.iter().try_for_each(|job| self.store.save(job))?;
            changes.attempts.iter().try_for_each(|attempt| self.store.save_attempt(attempt))?;
            self.store.losses_recovered()?;
            self.store.commit()
        };
        write().map_err(failed)?;
        // Runners whose attempt is not on record any more are not waited for.
        let assigned: HashSet<AttemptId> =
            self.state.assigned().map(|(current, _)| current.attempt_id.clone()).collect();
        for runner in self.runners.values_mut() {
            runner.attempt_id = runner.attempt_id.take().filter(|attempt_id| assigned.contains(attempt_id));
        }
        self.set_keys();
        let mut warning = format!(
            "{missing}. {} been taken from the runners' journals instead",
            match resumed.len() {
                1 => "1 attempt of a job has".to_owned(),
                n => format!("{n} attempts of jobs have"),
            }
        );
        if !unknown.is_empty() {
            warning.push_str(&format!(
                "; {} that had not ended may have run since, and {} been ended as FAILED: submit again what has \
                 not run",
                words::many(unknown.len(), "job"),
                if unknown.len() == 1 { "has" } else { "have" }
            ));
        }
        if !lost.is_empty() {
            let named: Vec<&str> = lost.iter().take(MAX_NAMED).map(String::as_str).collect();
            let (are, them) = if lost.len() == 1 { ("is", "it") } else { ("are", "them") };
            warning.push_str(&format!(
                "; {} that had begun {are} lost, and what of {them} still runs is ended: {}",
                words::many(lost.len(), "job"),
                named.join(", ")
            ));
        }
        warning.push_str(
            ". The last submissions and requests may be lost: `bstat` shows the jobs that are \
                          left",
        );
        add_warning(warnings, warning);
        Ok(())
    }

    /// Removes the journals of runners that are gone and have reported everything, once their
    /// reports are in the file of the database itself: should its write-ahead log be damaged before
    /// that, the journals have them.
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

    pub(super) fn schedule_forget(&mut self, gone: Vec<RunnerId>) {
        if self.to_forget.is_empty() {
            self.forget_at = now_ms() + FORGET_AFTER_MS;
        }
        self.to_forget.extend(gone);
    }

    /// Removes the files of runners that are gone, and the working directories of attempts that
    /// have ended.
    pub(super) fn remove_leftovers(&mut self) -> io::Result<()> {
        let mut gone = Vec::new();
        for entry in std::fs::read_dir(self.home.join(RUNNERS))? {
            let name = entry?.file_name();
            let (id, kind) = name.to_str().and_then(|name| name.split_once('.')).unwrap_or_default();
            let id = RunnerId::parse(id).filter(|_| kind != SESSION_RECORD);
            if let Some(id) = id
                && !self.runners.contains_key(&id)
                && !runner::is_alive(&self.home, &id)
            {
                gone.push(id);
            }
        }
        self.schedule_forget(gone);
        let assigned: HashSet<&str> =
            self.state.assigned().map(|(current, _)| current.attempt_id.as_str()).collect();
        // A link may lead to the folder of another home whose jobs run.
        if !contents::is_folder(&self.home.join(SCRATCH)) {
            return Ok(());
        }
        for entry in std::fs::read_dir(self.home.join(SCRATCH))? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| !assigned.contains(name)) {
                self.remove_scratch(name);
            }
        }
        runner::sweep_links(&self.home, |attempt_id| assigned.contains(attempt_id));
        Ok(())
    }

    /// Removes the working directory of an attempt. Nothing else that is there belongs to the local
    /// cluster.
    pub(super) fn remove_scratch(&self, attempt_id: &str) {
        let path = self.home.join(SCRATCH).join(attempt_id);
        if contents::is_id(attempt_id)
            && let Err(e) = contents::remove_tree(&path)
        {
            tracing::warn!("removing {}: {e}", path.display());
        }
    }
}
