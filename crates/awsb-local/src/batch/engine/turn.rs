//! One batch of messages in one transaction. Replies and orders are sent once it is on the disk.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::pending::PendingReplies;
use super::run_order::node_index;
use super::runners::assign_runner;
use super::{DAMAGED, EXPIRE_EVERY_MS, Engine, Leftovers, PAUSE_AFTER_FAILURE_MS, SYNC_AFTER_MS};
use crate::batch::consumable;
use crate::batch::messages::{Change, Ending, Message, Needs, Reply, UnknownJobs};
use crate::batch::model::{JobKey, QueueSnapshot};
use crate::batch::request::SubmitPlan;
use crate::batch::resource_rows::ResourceKind;
use crate::batch::resources::{self, ChangeError};
use crate::batch::state::{Changes, Effect};
use crate::home::files::BATCH_DATABASE;
use crate::home::space::NoSpace;
use crate::http::protocol::ApiError;
use crate::time::now_ms;
use crate::{database, logs};

/// The most jobs in a snapshot of a queue (API, GetJobQueueSnapshot: "the first 100 RUNNABLE
/// jobs").
const SNAPSHOT: usize = 100;

impl Engine {
    /// Handles a batch of messages in one transaction. When the transaction fails at a message,
    /// this message and those before it are answered with the error. The messages behind it are
    /// returned; they begin the next batch.
    pub(super) fn process_batch(
        &mut self,
        batch: Vec<Message>,
        stop: bool,
    ) -> rusqlite::Result<Vec<Message>> {
        let mut batch = self.refuse_without_space(batch);
        let durable = batch.iter().any(Message::is_durable);
        let mut pending = PendingReplies::default();
        let before = self.store.total_changes();
        let outcome = self.transact(&mut batch, durable, stop, &mut pending);
        match outcome {
            Ok(changes) => {
                // A batch without anything to write proves nothing, and has synced nothing.
                if self.store.total_changes() != before {
                    self.failure = None;
                    self.publish_problem();
                    if durable {
                        self.sync_at = None;
                    } else if self.sync_at.is_none() {
                        self.sync_at = Some(now_ms() + SYNC_AFTER_MS);
                    }
                    if self.shortage.is_some() {
                        self.store.checkpoint();
                    }
                }
                for job in &changes.jobs {
                    self.config
                        .keys
                        .set_attempt(job.key, job.current.as_ref().map(|current| &current.attempt_id));
                }
                for ended in &changes.attempts {
                    self.config.sessions.attempt_ended(&ended.attempt_id);
                }
                pending.replies.into_iter().for_each(|reply| reply(Ok(())));
                pending.ends.into_iter().for_each(|end| end.answer_end(Ok(())));
                for (runner, order) in &pending.orders {
                    self.order(runner, order);
                }
                self.apply_effects(changes.effects);
                self.schedule_forget(pending.gone);
            }
            Err(e) => {
                let now = now_ms();
                let shortage = database::no_space(&self.home, &e);
                self.failure = Some(match &shortage {
                    Some(shortage) => shortage.with_advice(),
                    None => format!("the database {BATCH_DATABASE}: {e}"),
                });
                self.publish_problem();
                if now >= self.paused_until {
                    tracing::warn!("database: {e}");
                    self.paused_until = now + PAUSE_AFTER_FAILURE_MS;
                }
                let error = match &shortage {
                    Some(shortage) => ApiError::no_space(shortage),
                    None => ApiError::of_database(&e),
                };
                pending.replies.into_iter().for_each(|reply| reply(Err(error.clone())));
                self.store.rollback();
                let has_released = shortage.is_some() && self.reserve.release();
                if shortage.is_some() {
                    self.store.checkpoint();
                }
                self.recover()?;
                if has_released && !pending.ends.is_empty() {
                    let mut left = self.process_batch(pending.ends, stop)?;
                    left.extend(batch);
                    return Ok(left);
                }
                pending.ends.into_iter().for_each(|end| end.answer_end(Err(error.clone())));
            }
        }
        self.publish_problem();
        self.published.set_load(self.state.is_active(), self.state.resources());
        if self.sync_at.is_some_and(|at| now_ms() >= at) {
            self.sync();
        }
        // Each batch handles at least one message, so that messages that always fail come to an
        // end, too.
        Ok(batch.into())
    }

    /// The messages that can be handled with the space that is left on the disk. Where there is
    /// little, requests that add to it are refused, and jobs that wait go on waiting.
    fn refuse_without_space(&mut self, batch: Vec<Message>) -> VecDeque<Message> {
        let shortage = self.reserve.check();
        if shortage.is_some() != self.shortage.is_some() {
            match &shortage {
                Some(shortage) => tracing::warn!("{shortage}: nothing new is begun"),
                None => {
                    tracing::info!("there is space on the disk again");
                    self.failure = None;
                }
            }
        }
        self.shortage = shortage;
        self.publish_problem();
        let Some(shortage) = &self.shortage else { return batch.into() };
        self.paused_until = self.paused_until.max(now_ms() + PAUSE_AFTER_FAILURE_MS);
        let refused = ApiError::no_space(shortage);
        let mut left = VecDeque::with_capacity(batch.len());
        for message in batch {
            match message {
                Message::Submit(_, _, reply) => drop(reply.send(Err(refused.clone()))),
                Message::Change(_, Needs::Space, reply) => drop(reply.send(Err(refused.clone()))),
                other => left.push_back(other),
            }
        }
        left
    }

    /// Records why jobs cannot be started now. The start is tried again.
    pub(super) fn set_delay(&mut self, why: String) {
        self.delay = Some(why);
        self.publish_problem();
    }

    /// Publishes the problem that keeps the engine from working as it should. The one that prevents
    /// most comes first.
    fn publish_problem(&self) {
        let shortage = self.shortage.as_ref().map(NoSpace::with_advice);
        let problem = shortage.or(self.failure.clone()).or(self.delay.clone());
        self.published.set_problem(problem.or(self.output_problem.clone()));
    }

    /// Removes jobs whose retention is over, a few at a time, and their log streams. The files are
    /// removed first: if that fails, or the server is killed, the jobs are still there for the next
    /// time.
    pub(super) fn expire(&mut self) {
        let now = now_ms();
        self.expire_at = now + EXPIRE_EVERY_MS;
        let outcome = self.store.expired(now - self.config.retention_ms).and_then(|jobs| {
            for job in &jobs {
                for (group, stream) in &job.streams {
                    match std::fs::remove_file(self.home.join(logs::file_of(group, stream))) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => {
                            tracing::warn!("removing a log stream: {e}")
                        }
                        _ => {}
                    }
                }
            }
            self.store.begin(false)?;
            for job in &jobs {
                self.store.remove(job)?;
            }
            self.store.commit()?;
            Ok(jobs.len())
        });
        match outcome {
            Ok(0) => {}
            // There may be more of them. Requests have priority.
            Ok(_) => self.expire_at = now,
            Err(e) => {
                tracing::warn!("removing old jobs: {e}");
                self.store.rollback();
            }
        }
    }

    /// Syncs what is in the page cache only.
    pub(super) fn sync(&mut self) {
        self.sync_at = None;
        // The descriptor of the write-ahead log stays open: the file lives as long as the
        // connection does.
        if self.wal.is_none() {
            self.wal = File::open(self.home.join(format!("{BATCH_DATABASE}-wal"))).ok();
        }
        match self.wal.as_ref().map(File::sync_data) {
            Some(Ok(())) => self.store.synced(),
            Some(Err(e)) => tracing::warn!("syncing the database: {e}"),
            None => {}
        }
    }

    fn transact(
        &mut self,
        batch: &mut VecDeque<Message>,
        durable: bool,
        stop: bool,
        pending: &mut PendingReplies,
    ) -> rusqlite::Result<Changes> {
        if let Err(e) = self.store.begin(durable) {
            // This is not the fault of any message, and may last: all are answered.
            batch.drain(..).for_each(|message| pending.reply_unhandled(message));
            return Err(e);
        }
        while let Some(message) = batch.pop_front() {
            self.handle(message, pending)?;
        }
        self.reap_lost_runners(pending);
        self.is_paused = now_ms() < self.paused_until;
        if !stop && !self.is_paused {
            let runners = &mut self.runners;
            self.state.schedule(now_ms(), || assign_runner(runners));
        }
        let mut changes = self.state.take_changes();
        let now = now_ms();
        self.give_up_damaged(&mut changes, now)?;
        self.put_totals(std::mem::take(&mut changes.consumed))?;
        for job in &changes.jobs {
            self.store.save(job)?;
        }
        for attempt in &changes.attempts {
            self.store.save_attempt(attempt)?;
        }
        for effect in &changes.effects {
            if let Effect::Start(key) = effect
                && let Some(attempt_id) = self.state.job(*key).and_then(|job| job.last_attempt_id.clone())
            {
                let node = self.state.job(*key).and_then(node_index);
                let spec = self.spec(*key)?;
                for (group, stream) in spec.1.log_streams(node, attempt_id.as_str()) {
                    self.store.add_stream(&group, &stream, *key, now)?;
                }
            }
        }
        self.store.commit()?;
        Ok(changes)
    }

    /// Ends the jobs among those to be started whose records are damaged: they cannot be run.
    fn give_up_damaged(&mut self, changes: &mut Changes, now: i64) -> rusqlite::Result<()> {
        let starts: Vec<JobKey> = changes
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Start(key) => Some(*key),
                Effect::Stop(..) => None,
            })
            .collect();
        let mut damaged = HashSet::new();
        for key in starts {
            let e = match self.spec(key) {
                Ok(_) => continue,
                Err(e) if database::is_damage(&e) || e == rusqlite::Error::QueryReturnedNoRows => e,
                Err(e) => return Err(e),
            };
            tracing::warn!("the record of the job with the number {} is damaged: {e}", key.0);
            let Some(current) = self.state.job(key).and_then(|job| job.current.clone()) else { continue };
            self.state.attempt_impossible(&current.attempt_id, &format!("{DAMAGED}: {e}"), now);
            if let Some(runner) = self.runners.get_mut(&current.runner) {
                runner.attempt_id = None;
            }
            damaged.insert(key);
        }
        if !damaged.is_empty() {
            changes.effects.retain(|effect| !matches!(effect, Effect::Start(key) if damaged.contains(key)));
            let more = self.state.take_changes();
            changes.jobs.extend(more.jobs);
            changes.attempts.extend(more.attempts);
            changes.consumed.extend(more.consumed);
            changes.effects.extend(more.effects);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message, pending: &mut PendingReplies) -> rusqlite::Result<()> {
        let now = now_ms();
        match message {
            Message::Submit(plan, submitter, reply) => {
                return self.submit(*plan, submitter, reply, now, pending);
            }
            Message::Change(change, _, reply) => return self.change(change, reply, now, pending),
            Message::InUse(reply) => {
                let _ = reply.send(Ok(self.state.in_use()));
            }
            Message::QueueSnapshot(queue, reply) => {
                let front = self.state.line(&queue, now, SNAPSHOT);
                let _ = reply.send(Ok(QueueSnapshot { front, usage: self.state.usage(&queue) }));
            }
            Message::End { ids, reason, ending, unknown, reply } => {
                let mut found = Vec::with_capacity(ids.len());
                for id in &ids {
                    match self.store.find(id) {
                        Ok(Some(key)) => found.push(key),
                        Ok(None) if unknown == UnknownJobs::Ignored => {}
                        Ok(None) => {
                            let _ = reply.send(Err(ApiError::client(format!("Job {id} not found"))));
                            return Ok(());
                        }
                        Err(e) => {
                            pending.reply_after_commit(reply, ());
                            return Err(e);
                        }
                    }
                }
                for key in found {
                    match ending {
                        Ending::Cancel => self.state.cancel(key, &reason, now),
                        Ending::Terminate => self.state.terminate(key, &reason, now),
                    }
                }
                pending.ends.push(Message::End { ids, reason, ending, unknown, reply });
            }
            Message::Connected(hello, link) => self.runner_connected(hello, link, pending),
            Message::Report(runner, report) => self.report(&runner, &report, pending),
            Message::Disconnected(id, number) => {
                if let Some(runner) = self.runners.get_mut(&id)
                    && runner.link.as_ref().is_some_and(|link| link.number == number)
                {
                    runner.link = None;
                }
            }
            Message::Prepared(host) => {
                for id in std::mem::take(&mut self.unprepared) {
                    self.assign(id, Some(&host), pending);
                }
            }
            Message::Removed(id) => {
                if let Some(runner) = self.runners.get_mut(&id) {
                    runner.leftovers = Some(Leftovers::Removed);
                }
            }
            Message::Assigned(reply) => {
                let assigned = self.state.assigned().map(|(current, _)| current.attempt_id.clone());
                let _ = reply.send(assigned.collect());
            }
            Message::Task(attempt_id, reply) => {
                let _ = reply.send(self.running_task(&attempt_id)?);
            }
            Message::EndAll(reply) => {
                for key in self.state.parents() {
                    self.state.terminate(key, "The local cluster is reset", now);
                }
                pending.ends.push(Message::EndAll(reply));
            }
            Message::Stop => {}
        }
        Ok(())
    }

    fn change(
        &mut self,
        change: Change,
        reply: Reply<Value>,
        now: i64,
        pending: &mut PendingReplies,
    ) -> rusqlite::Result<()> {
        // The change reads the quantities that jobs have left, and so does the state after it.
        let totals = self.state.take_consumed();
        let changed = self.put_totals(totals).map_err(ChangeError::Database);
        match changed.and_then(|()| change(&self.store)) {
            Ok(answer) => {
                pending.reply_after_commit(reply, answer);
                self.state.configure(resources::layout(&self.store)?, now);
                self.state.set_consumables(consumable::consumables(&self.store)?);
                self.last_spec = None;
            }
            Err(ChangeError::Refused(why)) => {
                let _ = reply.send(Err(why));
            }
            Err(ChangeError::Database(e)) => {
                pending.reply_after_commit(reply, Value::Null);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Writes what jobs have left of consumable resources that are not replenishable.
    fn put_totals(&self, totals: BTreeMap<String, u64>) -> rusqlite::Result<()> {
        totals.into_iter().try_for_each(|(name, total)| consumable::put_total(&self.store, &name, total))
    }

    fn submit(
        &mut self,
        mut plan: SubmitPlan,
        submitter: Option<JobKey>,
        reply: Reply<String>,
        now: i64,
        pending: &mut PendingReplies,
    ) -> rusqlite::Result<()> {
        let mut add = || -> rusqlite::Result<Result<String, ApiError>> {
            match self.store.dependencies(&plan)? {
                Ok(found) => plan.terms.depends_on = found,
                Err(refused) => return Ok(Err(refused)),
            }
            // It may have been deleted since the request was checked.
            let queue = &plan.terms.line.queue;
            if self.store.resource(ResourceKind::Queue, queue)?.is_none() {
                return Ok(Err(ApiError::client(format!("Job queue {queue} not found"))));
            }
            for of in &plan.terms.consumes {
                if self.store.resource(ResourceKind::Consumable, &of.name)?.is_none() {
                    let why = format!("Consumable resource {} not found", of.name);
                    return Ok(Err(ApiError::client(why)));
                }
            }
            let ended = self.store.outcomes(&plan.terms.depends_on, plan.size.unwrap_or(0))?;
            let id = uuid::Uuid::new_v4().to_string();
            let key = self.store.add(&id, &plan, submitter, now)?;
            self.state.submit(key, plan.size, &Arc::new(plan.terms.clone()), &ended, now);
            Ok(Ok(id))
        };
        match add() {
            Ok(Ok(id)) => {
                pending.reply_after_commit(reply, id);
                Ok(())
            }
            Ok(Err(refused)) => {
                let _ = reply.send(Err(refused));
                Ok(())
            }
            Err(e) => {
                pending.reply_after_commit(reply, String::new());
                Err(e)
            }
        }
    }
}
