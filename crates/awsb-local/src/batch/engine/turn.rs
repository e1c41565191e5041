//! One turn of the engine: what waits goes into one transaction, and what is owed to others is given once it is on the
//! disk.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde_json::Value;

use super::orders::node_index;
use super::runners::place;
use super::{
    AFTER_FAILURE_MS, DAMAGED, EXPIRE_EVERY_MS, Engine, Message, Needs, Remains, Reply, SNAPSHOT,
    SYNC_AFTER_MS,
};
use crate::batch::database;
use crate::batch::model::JobKey;
use crate::batch::request::Plan;
use crate::batch::resources::{self, Kind, NotChanged};
use crate::batch::state::{Changes, Effect};
use crate::error::ApiError;
use crate::home::BATCH_DATABASE;
use crate::runner::protocol::{Order, RunnerId};
use crate::space::NoSpace;
use crate::{logs, now_ms};

/// Answers a request, once it is known whether its transaction is on the disk.
type Answer = Box<dyn FnOnce(Result<(), ApiError>)>;

/// What a turn owes to others once it is on the disk.
#[derive(Default)]
pub(super) struct Debts {
    pub(super) answers: Vec<Answer>,
    /// Jobs that were to be ended: where the disk was full, that is done again with a part of the reserve.
    pub(super) ends: Vec<Message>,
    pub(super) orders: Vec<(RunnerId, Order)>,
    pub(super) gone: Vec<RunnerId>,
}

impl Debts {
    /// A message of which nothing has been done: whoever waits for an answer hears why.
    fn owe_nothing(&mut self, message: Message) {
        match message {
            Message::Submit(_, _, reply) => owe(self, reply, String::new()),
            Message::Change(_, _, reply) => owe(self, reply, Value::Null),
            Message::Line(_, reply) => owe(self, reply, Vec::new()),
            Message::End { .. } | Message::EndAll(_) => self.ends.push(message),
            // A runner says again what it has not been told to forget, when it has connected anew.
            Message::Hello(..) | Message::Report(..) | Message::Gone(..) => {}
            // These are asked for again.
            Message::Prepared(_) | Message::Removed(_) | Message::Placed(_) => {}
            Message::Stop => {}
        }
    }
}

impl Engine {
    /// Hears what waits, in one transaction. When that fails in the middle of a message, only this one and those before
    /// it are answered with the error; those behind it are returned, and are the first of the next turn.
    pub(super) fn turn(&mut self, batch: Vec<Message>, stop: bool) -> rusqlite::Result<Vec<Message>> {
        let mut batch = self.with_space(batch);
        let durable = batch.iter().any(|m| {
            matches!(m, Message::Submit(..) | Message::End { .. } | Message::Change(..) | Message::EndAll(_))
        });
        let mut debts = Debts::default();
        let before = self.store.total_changes();
        let outcome = self.transact(&mut batch, durable, stop, &mut debts);
        match outcome {
            Ok(changes) => {
                // A turn in which there was nothing to write proves nothing, and has synced nothing.
                if self.store.total_changes() != before {
                    self.failure = None;
                    self.say_trouble();
                    if durable {
                        self.sync_at = None;
                    } else if self.sync_at.is_none() {
                        self.sync_at = Some(now_ms() + SYNC_AFTER_MS);
                    }
                    if self.lack.is_some() {
                        self.store.checkpoint();
                    }
                }
                for job in &changes.jobs {
                    self.conditions.keys.place(job.key, job.current.as_ref().map(|current| &current.task));
                }
                debts.answers.into_iter().for_each(|answer| answer(Ok(())));
                debts.ends.into_iter().for_each(|end| end.answer(Ok(())));
                for (runner, order) in &debts.orders {
                    self.order(runner, order);
                }
                self.effects(changes.effects);
                self.forget_later(debts.gone);
            }
            Err(e) => {
                let now = now_ms();
                let lack = NoSpace::of_database(&self.home, &e);
                self.failure = Some(match &lack {
                    Some(lack) => lack.with_advice(),
                    None => format!("the database {BATCH_DATABASE}: {e}"),
                });
                self.say_trouble();
                if now >= self.hold_until {
                    note!("database: {e}");
                    self.hold_until = now + AFTER_FAILURE_MS;
                }
                let error = match &lack {
                    Some(lack) => ApiError::no_space(lack),
                    None => ApiError::of_database(&e),
                };
                debts.answers.into_iter().for_each(|answer| answer(Err(error.clone())));
                self.store.rollback();
                let again = lack.is_some() && self.reserve.give();
                if lack.is_some() {
                    self.store.checkpoint();
                }
                self.recover()?;
                if again && !debts.ends.is_empty() {
                    let mut left = self.turn(debts.ends, stop)?;
                    left.extend(batch);
                    return Ok(left);
                }
                debts.ends.into_iter().for_each(|end| end.answer(Err(error.clone())));
            }
        }
        self.say_trouble();
        self.shared.active.store(self.state.is_active(), Ordering::Relaxed);
        *self.shared.resources.lock().unwrap_or_else(PoisonError::into_inner) = self.state.resources();
        if self.sync_at.is_some_and(|at| now_ms() >= at) {
            self.sync();
        }
        // Each turn hears one message at least: also those that always fail come to an end.
        Ok(batch.into())
    }

    /// What of a batch can be begun with the space that is left: where there is little, what adds to it is refused,
    /// and jobs that wait go on waiting.
    fn with_space(&mut self, batch: Vec<Message>) -> VecDeque<Message> {
        let lack = self.reserve.lack();
        if lack.is_some() != self.lack.is_some() {
            match &lack {
                Some(lack) => note!("{lack}: nothing new is begun"),
                None => {
                    note!("there is space on the disk again");
                    self.failure = None;
                }
            }
        }
        self.lack = lack;
        self.say_trouble();
        let Some(lack) = &self.lack else { return batch.into() };
        self.hold_until = self.hold_until.max(now_ms() + AFTER_FAILURE_MS);
        let refused = ApiError::no_space(lack);
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

    /// Jobs cannot be started now, and are tried again.
    pub(super) fn delayed(&mut self, what: String) {
        self.delay = Some(what);
        self.say_trouble();
    }

    /// Tells what keeps the engine from working as it should: what keeps most from being done comes first.
    fn say_trouble(&self) {
        let lack = self.lack.as_ref().map(NoSpace::with_advice);
        let what = lack.or(self.failure.clone()).or(self.delay.clone()).or(self.unkept.clone());
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *trouble != what {
            *trouble = what;
        }
    }

    /// Removes jobs that have been kept long enough, a few at a time, and their log streams. The files go
    /// first: if they cannot, or we are killed, the jobs are still there for the next time.
    pub(super) fn expire(&mut self) {
        let now = now_ms();
        self.expire_at = now + EXPIRE_EVERY_MS;
        let outcome = self.store.expired(now - self.conditions.retention_ms).and_then(|jobs| {
            for job in &jobs {
                for (group, stream) in &job.streams {
                    match std::fs::remove_file(self.home.join(logs::file_of(group, stream))) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => note!("removing a log stream: {e}"),
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
            // There may be more of them; requests go first.
            Ok(_) => self.expire_at = now,
            Err(e) => {
                note!("removing old jobs: {e}");
                self.store.rollback();
            }
        }
    }

    /// Puts on the disk what is in the page cache only.
    pub(super) fn sync(&mut self) {
        self.sync_at = None;
        // The log's descriptor stays open: the file lives as long as our connection does.
        if self.wal.is_none() {
            self.wal = File::open(self.home.join(format!("{BATCH_DATABASE}-wal"))).ok();
        }
        match self.wal.as_ref().map(File::sync_data) {
            Some(Ok(())) => self.store.synced(),
            Some(Err(e)) => note!("syncing the database: {e}"),
            None => {}
        }
    }

    fn transact(
        &mut self,
        batch: &mut VecDeque<Message>,
        durable: bool,
        stop: bool,
        debts: &mut Debts,
    ) -> rusqlite::Result<Changes> {
        if let Err(e) = self.store.begin(durable) {
            // That is the fault of none of them, and may go on: all are answered.
            batch.drain(..).for_each(|message| debts.owe_nothing(message));
            return Err(e);
        }
        while let Some(message) = batch.pop_front() {
            self.hear(message, debts)?;
        }
        self.look_for_the_lost(debts);
        self.held = now_ms() < self.hold_until;
        if !stop && !self.held {
            let runners = &mut self.runners;
            self.state.schedule(now_ms(), || place(runners));
        }
        let mut changes = self.state.take_changes();
        let now = now_ms();
        self.give_up_damaged(&mut changes, now)?;
        for job in &changes.jobs {
            self.store.save(job)?;
        }
        for attempt in &changes.attempts {
            self.store.save_attempt(attempt)?;
        }
        for effect in &changes.effects {
            if let Effect::Start(key) = effect
                && let Some(task) = self.state.job(*key).and_then(|job| job.last_task.clone())
            {
                let node = self.state.job(*key).and_then(node_index);
                let spec = self.spec(*key)?;
                let stream = spec.1.log_stream(node, task.as_str());
                self.store.add_stream(spec.1.log_group(node), &stream, *key, now)?;
            }
        }
        self.store.commit()?;
        Ok(changes)
    }

    /// What cannot be read cannot be run: of what is to be started, the jobs whose records are damaged end.
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
            note!("the record of the job with the number {} is damaged: {e}", key.0);
            let Some(current) = self.state.job(key).and_then(|job| job.current.clone()) else { continue };
            self.state.attempt_impossible(&current.task, &format!("{DAMAGED}: {e}"), now);
            if let Some(runner) = self.runners.get_mut(&current.runner) {
                runner.task = None;
            }
            damaged.insert(key);
        }
        if !damaged.is_empty() {
            changes.effects.retain(|effect| !matches!(effect, Effect::Start(key) if damaged.contains(key)));
            let more = self.state.take_changes();
            changes.jobs.extend(more.jobs);
            changes.attempts.extend(more.attempts);
            changes.effects.extend(more.effects);
        }
        Ok(())
    }

    fn hear(&mut self, message: Message, debts: &mut Debts) -> rusqlite::Result<()> {
        let now = now_ms();
        match message {
            Message::Submit(plan, submitter, reply) => {
                return self.submit(*plan, submitter, reply, now, debts);
            }
            Message::Change(change, _, reply) => match change(&self.store) {
                Ok(answer) => {
                    owe(debts, reply, answer);
                    self.state.configure(resources::layout(&self.store)?, now);
                    self.last_spec = None;
                }
                Err(NotChanged::Refused(why)) => {
                    let _ = reply.send(Err(why));
                }
                Err(NotChanged::Database(e)) => {
                    owe(debts, reply, Value::Null);
                    return Err(e);
                }
            },
            Message::Line(queue, reply) => {
                let _ = reply.send(Ok(self.state.line(&queue, now, SNAPSHOT)));
            }
            Message::End { id, reason, cancel, reply } => match self.store.find(&id) {
                Ok(Some(key)) => {
                    match cancel {
                        true => self.state.cancel(key, &reason, now),
                        false => self.state.terminate(key, &reason, now),
                    }
                    debts.ends.push(Message::End { id, reason, cancel, reply });
                }
                Ok(None) => {
                    let _ = reply.send(Err(ApiError::client(format!("Job {id} not found"))));
                }
                Err(e) => {
                    owe(debts, reply, ());
                    return Err(e);
                }
            },
            Message::Hello(hello, link) => self.welcome(hello, link, debts),
            Message::Report(runner, report) => self.report(&runner, &report, debts),
            Message::Gone(id, number) => {
                if let Some(runner) = self.runners.get_mut(&id)
                    && runner.link.as_ref().is_some_and(|link| link.number == number)
                {
                    runner.link = None;
                }
            }
            Message::Prepared(place) => {
                for id in std::mem::take(&mut self.unprepared) {
                    self.give(id, Some(&place), debts);
                }
            }
            Message::Removed(id) => {
                if let Some(runner) = self.runners.get_mut(&id) {
                    runner.remains = Some(Remains::Removed);
                }
            }
            Message::Placed(reply) => {
                let placed = self.state.placed().map(|(current, _)| current.task.clone());
                let _ = reply.send(placed.collect());
            }
            Message::EndAll(reply) => {
                for key in self.state.parents() {
                    self.state.terminate(key, "The local cluster is reset", now);
                }
                debts.ends.push(Message::EndAll(reply));
            }
            Message::Stop => {}
        }
        Ok(())
    }

    fn submit(
        &mut self,
        mut plan: Plan,
        submitter: Option<JobKey>,
        reply: Reply<String>,
        now: i64,
        debts: &mut Debts,
    ) -> rusqlite::Result<()> {
        let mut add = || -> rusqlite::Result<Result<String, ApiError>> {
            match self.store.dependencies(&plan)? {
                Ok(found) => plan.terms.depends_on = found,
                Err(refused) => return Ok(Err(refused)),
            }
            // It may have been deleted since the request was checked.
            let queue = &plan.terms.line.queue;
            if self.store.resource(Kind::Queue, queue)?.is_none() {
                return Ok(Err(ApiError::client(format!("Job queue {queue} not found"))));
            }
            let ended = self.store.outcomes(&plan.terms.depends_on, plan.size.unwrap_or(0))?;
            let id = uuid::Uuid::new_v4().to_string();
            let key = self.store.add(&id, &plan, submitter, now)?;
            self.state.submit(key, plan.size, &Arc::new(plan.terms.clone()), &ended, now);
            Ok(Ok(id))
        };
        match add() {
            Ok(Ok(id)) => {
                owe(debts, reply, id);
                Ok(())
            }
            Ok(Err(refused)) => {
                let _ = reply.send(Err(refused));
                Ok(())
            }
            Err(e) => {
                owe(debts, reply, String::new());
                Err(e)
            }
        }
    }
}

fn owe<T: 'static>(debts: &mut Debts, reply: Reply<T>, value: T) {
    debts.answers.push(Box::new(move |outcome| {
        let _ = reply.send(outcome.map(|()| value));
    }));
}
