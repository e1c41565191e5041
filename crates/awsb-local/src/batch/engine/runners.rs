//! Runners: what they report, which of them are lost, and starting new ones.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use super::orders::node_index;
use super::turn::Debts;
use super::{AFTER_FAILURE_MS, Engine, Remains, Runner};
use crate::batch::model::JobKey;
use crate::batch::state::{Current, Effect};
use crate::containers::Place;
use crate::control::Link;
use crate::now_ms;
use crate::process::lacking;
use crate::runner::protocol::{Hello, Order, Report, RunnerId, TaskId};
use crate::runner::{self, Fate};

impl Engine {
    pub(super) fn report(&mut self, id: &RunnerId, report: &Report, debts: &mut Debts) {
        match report {
            Report::Started(started) => {
                self.delay = None;
                self.state.started(started);
            }
            Report::Delayed { job, why } => self.delayed(format!("job {job} waits to be started: {why}")),
            Report::Ended(ended) => {
                if ended.started_at.is_some() {
                    self.delay = None;
                }
                self.state.attempt_ended(ended);
                self.unkept = ended.unkept.as_ref().map(|why| format!("a job's output was not kept: {why}"));
                if let Some(runner) = self.runners.get_mut(id)
                    && runner.task.as_ref() == Some(&ended.task)
                {
                    runner.task = None;
                }
                let order = Order::Forget { task: ended.task.clone(), commit: self.store.next_commit() };
                debts.orders.push((id.clone(), order));
            }
        }
    }

    /// A runner has connected: a new one, or one that comes back, with what it has to say.
    pub(super) fn welcome(&mut self, hello: Hello, link: Link, debts: &mut Debts) {
        let id = hello.runner;
        let runner = self.runners.entry(id.clone()).or_default();
        runner.link = Some(link);
        debts.orders.push((id.clone(), Order::Setup { environment: self.conditions.environment.clone() }));
        for ended in &hello.ended {
            self.report(&id, &Report::Ended(ended.clone()), debts);
        }
        if let Some(started) = &hello.running {
            self.state.started(started);
        }
        if let Some(task) = hello.running.map(|started| started.task).or(hello.starting) {
            // A runner that runs what nobody knows, or what is to end.
            if self.state.is_to_end(&task) {
                debts.orders.push((id.clone(), Order::Stop { task: task.clone() }));
            }
            if let Some(runner) = self.runners.get_mut(&id) {
                runner.task = Some(task);
            }
        } else {
            self.give(id, None, debts);
        }
    }

    /// A runner that is connected has an attempt on record that it has not begun: the order was lost, was
    /// never sent, or waits for `place`.
    pub(super) fn give(
        &mut self,
        id: RunnerId,
        place: Option<&Result<Arc<Place>, String>>,
        debts: &mut Debts,
    ) {
        let Some(runner) = self.runners.get_mut(&id).filter(|runner| runner.link.is_some()) else { return };
        let Some(task) = runner.task.clone() else { return };
        let Some(key) = self.state.by_task(&task).map(|job| job.key) else { return };
        if self.state.is_to_end(&task) {
            runner.task = None;
            self.never_began(&task);
            return;
        }
        match self.order_to_run(key, place) {
            Ok(Some(order)) => debts.orders.push((id, order)),
            Ok(None) => {}
            Err(e) => self.ask_again(&id, &e),
        }
    }

    /// What a runner is to do could not be read: it is told when it has connected anew.
    fn ask_again(&mut self, id: &RunnerId, e: &rusqlite::Error) {
        note!("database: {e}");
        if let Some(runner) = self.runners.get_mut(id) {
            runner.link = None;
        }
    }

    /// An attempt that never began has no log stream either.
    fn never_began(&mut self, task: &TaskId) {
        if let Some(job) = self.state.by_task(task) {
            let (key, node) = (job.key, node_index(job));
            let removed = self.spec(key).and_then(|spec| {
                let stream = spec.1.log_stream(node, task.as_str());
                self.store.remove_stream(spec.1.log_group(node), &stream)
            });
            if let Err(e) = removed {
                note!("database: {e}");
            }
        }
        self.state.attempt_never_began(task, now_ms());
    }

    /// Runners without a connection: those that live come back; those that are gone have left a journal.
    pub(super) fn look_for_the_lost(&mut self, debts: &mut Debts) {
        let silent: Vec<RunnerId> =
            self.runners.iter().filter(|(_, r)| r.link.is_none()).map(|(id, _)| id.clone()).collect();
        let mut has_lost = false;
        for id in silent {
            let Some(runner) = self.runners.get_mut(&id) else { continue };
            let alive = match &mut runner.child {
                // It may not have taken its lock yet.
                Some(child) => matches!(child.try_wait(), Ok(None)),
                None => runner::is_alive(&self.home, &id),
            };
            if alive {
                continue;
            }
            let Some(task) = runner.task.clone() else {
                self.runners.remove(&id);
                debts.gone.push(id);
                continue;
            };
            if runner.remains == Some(Remains::BeingRemoved) {
                continue;
            }
            // One whose order has to wait for a Docker engine goes when it has been idle for long enough.
            let ours = runner.child.is_some() && !self.unprepared.remove(&id);
            match runner::fate_of(&self.home, &id, &task) {
                // The next attempt shall not run beside this one's container.
                Ok(Fate::Abandoned(engine)) if runner.remains.is_none() => {
                    runner.remains = Some(Remains::BeingRemoved);
                    self.containers.remove(id, task, engine);
                    continue;
                }
                Ok(Fate::Abandoned(_)) => self.state.attempt_lost(&task, now_ms()),
                // A journal that went down with the machine may be shorter than what happened.
                Ok(Fate::NeverBegan) if self.from_elsewhere.contains(&task) => {
                    self.state.attempt_lost(&task, now_ms());
                }
                Ok(Fate::NeverBegan) => {
                    self.never_began(&task);
                    // A runner that died before it could say anything: so may the next one.
                    if ours {
                        note!("runner {} ended before it had begun", id.as_str());
                        self.hold_until = now_ms() + AFTER_FAILURE_MS;
                    }
                }
                Ok(Fate::Ended(ended)) => self.state.attempt_ended(&ended),
                Ok(Fate::Lost) => {
                    self.state.attempt_lost(&task, now_ms());
                    self.remove_scratch(task.as_str());
                    has_lost = true;
                }
                Err(e) => {
                    // It may be read some day; until then nobody knows, and nothing is begun again.
                    let what = format!("what became of an attempt is not known: reading its journal: {e}");
                    if self.delay.as_ref() != Some(&what) {
                        note!("{what}");
                    }
                    self.delayed(what);
                    continue;
                }
            }
            self.runners.remove(&id);
            debts.gone.push(id);
        }
        if has_lost {
            let runs: HashSet<&str> = self.state.placed().map(|(current, _)| current.task.as_str()).collect();
            runner::sweep_links(&self.home, |task| runs.contains(task));
        }
    }

    pub(super) fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(key) => self.start(key),
                Effect::Stop(runner, task) => self.order(&runner, &Order::Stop { task }),
            }
        }
    }

    fn start(&mut self, key: JobKey) {
        let Some(id) = self.state.job(key).and_then(|job| job.current.as_ref()).map(|c| c.runner.clone())
        else {
            return;
        };
        let Some(runner) = self.runners.get_mut(&id) else { return };
        if runner.link.is_some() {
            match self.order_to_run(key, None) {
                Ok(Some(order)) => self.order(&id, &order),
                Ok(None) => {}
                Err(e) => self.ask_again(&id, &e),
            }
            return;
        }
        // A new one: it is told what to run when it has connected.
        match spawn(&self.home, &id) {
            Ok(child) => runner.child = Some(child),
            Err(e) => {
                let why = lacking(&e).map(|what| format!(": {what}")).unwrap_or_default();
                let trouble = format!("starting a runner: {e}{why}");
                note!("{trouble}");
                self.delayed(trouble);
                self.hold_until = now_ms() + AFTER_FAILURE_MS;
            }
        }
    }

    pub(super) fn order(&mut self, id: &RunnerId, order: &Order) {
        let Some(runner) = self.runners.get_mut(id) else { return };
        if let Some(link) = &mut runner.link
            && let Err(e) = link.send(order)
        {
            // It is told again when it comes back, or its journal says what happened.
            note!("telling runner {}: {e}", id.as_str());
            runner.link = None;
        }
    }
}

/// A runner for one more attempt: one that waits, or one that is yet to be started.
pub(super) fn place(runners: &mut HashMap<RunnerId, Runner>) -> Current {
    let task = TaskId::random();
    let idle = runners.iter_mut().find(|(_, r)| r.link.is_some() && r.task.is_none());
    let runner = match idle {
        Some((id, runner)) => {
            runner.task = Some(task.clone());
            id.clone()
        }
        None => {
            let id = RunnerId::random();
            runners.insert(id.clone(), Runner { task: Some(task.clone()), ..Runner::default() });
            id
        }
    };
    Current { task, runner }
}

/// Starts a runner: `blocal runner ID` in the home. Nothing of this process' environment goes with it.
fn spawn(home: &std::path::Path, id: &RunnerId) -> io::Result<std::process::Child> {
    // On Linux the program is there under this name even when its file has been replaced.
    #[cfg(target_os = "linux")]
    let program = std::path::PathBuf::from("/proc/self/exe");
    #[cfg(not(target_os = "linux"))]
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(program);
    {
        use std::os::unix::process::CommandExt;
        command.arg0("blocal");
    }
    command
        .args(["runner", id.as_str()])
        .current_dir(home)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
}
