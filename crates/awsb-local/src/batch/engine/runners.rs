//! Runners: what they report, which of them are lost, and starting new ones.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use super::pending::PendingReplies;
use super::run_order::{AttemptToRun, is_contained, node_index};
use super::{Engine, Leftovers, PAUSE_AFTER_FAILURE_MS, Runner};
use crate::access::secrets::Placement;
use crate::batch::messages::{RunningContainer, RunningTask};
use crate::batch::model::JobKey;
use crate::batch::request::{Spec, task};
use crate::batch::state::{Current, Effect};
use crate::containers::host::{ContainerHost, NoContainerHost};
use crate::docker;
use crate::process::missing_resource;
use crate::runner::link::Link;
use crate::runner::protocol::{AttemptId, ContainerState, Hello, Order, Report, RunnerId};
use crate::runner::{self, AttemptOutcome};
use crate::sessions::registry::Place;
use crate::time::now_ms;
use awsb_model::Status;

/// The host of containers, once it is ready or is known not to be.
type HostResult = Result<Arc<ContainerHost>, NoContainerHost>;

/// The containers of an attempt, with the states of those that have begun.
fn running_containers(
    attempt_id: &AttemptId,
    spec: &Spec,
    states: &[ContainerState],
) -> Vec<RunningContainer> {
    let state = |index| states.iter().find(|state| state.index == index).cloned();
    let Some(task) = &spec.task else {
        let name_on_engine = docker::container_name(attempt_id);
        return vec![RunningContainer { name: task::UNNAMED.to_owned(), name_on_engine, state: state(0) }];
    };
    let containers = task.containers.iter().enumerate().map(|(index, container)| RunningContainer {
        name: task::name(container).unwrap_or(task::UNNAMED).to_owned(),
        name_on_engine: docker::container_of_task_name(attempt_id, index),
        state: state(index),
    });
    containers.collect()
}

impl Engine {
    pub(super) fn report(&mut self, id: &RunnerId, report: &Report, pending: &mut PendingReplies) {
        match report {
            Report::Started(started) => {
                self.delay = None;
                self.state.started(started);
                self.set_containers(id, &started.attempt_id, &started.containers);
            }
            Report::Containers { attempt_id, containers } => self.set_containers(id, attempt_id, containers),
            Report::Delayed { job, why } => self.set_delay(format!("job {job} waits to be started: {why}")),
            Report::Ended(ended) => {
                if ended.started_at.is_some() {
                    self.delay = None;
                }
                self.state.attempt_ended(ended);
                self.output_problem =
                    ended.lost_output.as_ref().map(|why| format!("a job's output was not kept: {why}"));
                if let Some(runner) = self.runners.get_mut(id)
                    && runner.attempt_id.as_ref() == Some(&ended.attempt_id)
                {
                    runner.attempt_id = None;
                    runner.containers.clear();
                }
                let order =
                    Order::Forget { attempt_id: ended.attempt_id.clone(), commit: self.store.next_commit() };
                pending.orders.push((id.clone(), order));
            }
        }
    }

    /// Notes which containers of an attempt have begun. They are in no database: the runner reports
    /// them to the next server, too.
    fn set_containers(&mut self, id: &RunnerId, attempt_id: &AttemptId, containers: &[ContainerState]) {
        if let Some(runner) = self.runners.get_mut(id)
            && runner.attempt_id.as_ref() == Some(attempt_id)
        {
            runner.containers = containers.to_vec();
        }
    }

    /// Handles the connection of a runner: a new one, or one that has reconnected and reports what
    /// it has.
    pub(super) fn runner_connected(&mut self, hello: Hello, link: Link, pending: &mut PendingReplies) {
        let id = hello.runner;
        let runner = self.runners.entry(id.clone()).or_default();
        runner.link = Some(link);
        pending.orders.push((id.clone(), Order::Setup { environment: self.config.environment.clone() }));
        for ended in &hello.ended {
            self.report(&id, &Report::Ended(ended.clone()), pending);
        }
        if let Some(started) = &hello.running {
            self.state.started(started);
        }
        let containers = hello.running.as_ref().map(|started| started.containers.clone());
        if let Some(attempt_id) = hello.running.map(|started| started.attempt_id).or(hello.starting) {
            // The runner has an attempt that is not on record, or that is to end.
            if self.state.is_to_end(&attempt_id) {
                pending.orders.push((id.clone(), Order::Stop { attempt_id: attempt_id.clone() }));
            }
            if let Some(runner) = self.runners.get_mut(&id) {
                runner.attempt_id = Some(attempt_id);
                runner.containers = containers.unwrap_or_default();
            }
        } else {
            self.assign(id, None, pending);
        }
    }

    /// Sends a connected runner the order for the attempt that it has on record and has not begun:
    /// the order was lost, was never sent, or waited for the host of containers.
    pub(super) fn assign(&mut self, id: RunnerId, host: Option<&HostResult>, pending: &mut PendingReplies) {
        let Some(runner) = self.runners.get_mut(&id).filter(|runner| runner.link.is_some()) else { return };
        let Some(attempt_id) = runner.attempt_id.clone() else { return };
        let Some(key) = self.state.by_attempt(&attempt_id).map(|job| job.key) else { return };
        if self.state.is_to_end(&attempt_id) {
            runner.attempt_id = None;
            self.never_began(&attempt_id);
            return;
        }
        match self.order_to_run(key, host) {
            Ok(Some(order)) => pending.orders.push((id, order)),
            Ok(None) => {}
            Err(e) => self.drop_connection(&id, &e),
        }
    }

    /// Drops the connection of a runner whose order could not be read. It gets the order when it
    /// has reconnected.
    fn drop_connection(&mut self, id: &RunnerId, e: &rusqlite::Error) {
        tracing::warn!("database: {e}");
        if let Some(runner) = self.runners.get_mut(id) {
            runner.link = None;
        }
    }

    /// Records that an attempt never began. It has no log stream either.
    fn never_began(&mut self, attempt_id: &AttemptId) {
        if let Some(job) = self.state.by_attempt(attempt_id) {
            let (key, node) = (job.key, node_index(job));
            let removed = self.spec(key).and_then(|spec| {
                let streams = spec.1.log_streams(node, attempt_id.as_str());
                streams.iter().try_for_each(|(group, stream)| self.store.remove_stream(group, stream))
            });
            if let Err(e) = removed {
                tracing::warn!("database: {e}");
            }
        }
        self.state.attempt_never_began(attempt_id, now_ms());
    }

    /// Checks the runners without a connection. Those that live reconnect. Those that are gone have
    /// left a journal, which says what became of their attempts.
    pub(super) fn reap_lost_runners(&mut self, pending: &mut PendingReplies) {
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
            let Some(attempt_id) = runner.attempt_id.clone() else {
                self.runners.remove(&id);
                pending.gone.push(id);
                continue;
            };
            if runner.leftovers == Some(Leftovers::BeingRemoved) {
                continue;
            }
            // A runner whose order waits for a Docker engine exits when it has been idle for long
            // enough.
            let ours = runner.child.is_some() && !self.unprepared.remove(&id);
            match runner::outcome_of(&self.home, &id, &attempt_id) {
                // The next attempt must not run beside the container of this one.
                Ok(AttemptOutcome::Abandoned(engine)) if runner.leftovers.is_none() => {
                    runner.leftovers = Some(Leftovers::BeingRemoved);
                    self.containers.remove(id, attempt_id, engine);
                    continue;
                }
                Ok(AttemptOutcome::Abandoned(_)) => self.state.attempt_lost(&attempt_id, now_ms()),
                // A journal that went down with the machine may be shorter than what happened.
                Ok(AttemptOutcome::NeverBegan) if self.from_last_host.contains(&attempt_id) => {
                    self.state.attempt_lost(&attempt_id, now_ms());
                }
                Ok(AttemptOutcome::NeverBegan) => {
                    self.never_began(&attempt_id);
                    // A runner that died before it could report anything: the next one may die,
                    // too.
                    if ours {
                        tracing::warn!("runner {} ended before it had begun", id.as_str());
                        self.paused_until = now_ms() + PAUSE_AFTER_FAILURE_MS;
                    }
                }
                Ok(AttemptOutcome::Ended(ended)) => self.state.attempt_ended(&ended),
                Ok(AttemptOutcome::Lost) => {
                    self.state.attempt_lost(&attempt_id, now_ms());
                    self.remove_scratch(attempt_id.as_str());
                    has_lost = true;
                }
                Err(e) => {
                    // The journal may become readable. Until then the outcome is unknown, and no
                    // attempt is repeated.
                    let what = format!("what became of an attempt is not known: reading its journal: {e}");
                    if self.delay.as_ref() != Some(&what) {
                        tracing::warn!("{what}");
                    }
                    self.set_delay(what);
                    continue;
                }
            }
            self.runners.remove(&id);
            pending.gone.push(id);
        }
        if has_lost {
            let runs: HashSet<&str> =
                self.state.assigned().map(|(current, _)| current.attempt_id.as_str()).collect();
            runner::sweep_links(&self.home, |attempt_id| runs.contains(attempt_id));
        }
    }

    /// The order to run the attempt that a job is in. A container needs a host: without one there
    /// is no order yet, and the host is prepared.
    fn order_to_run(&mut self, key: JobKey, host: Option<&HostResult>) -> rusqlite::Result<Option<Order>> {
        let spec = self.spec(key)?;
        let Some(job) = self.state.job(key) else { return Ok(None) };
        let Some(current) = &job.current else { return Ok(None) };
        let (parent_id, spec) = (&spec.0, &spec.1);
        let is_contained = is_contained(job, spec);
        if is_contained && host.is_none() {
            self.unprepared.insert(current.runner.clone());
            self.containers.prepare();
            return Ok(None);
        }
        let placement = if is_contained { Placement::Container } else { Placement::Host };
        let children = |parent| self.state.job(parent).and_then(|p| p.children).map_or(0, |c| c.size());
        let attempt = AttemptToRun {
            job,
            current,
            parent_id,
            spec,
            main_node: job.node().and_then(|(parent, _, main)| self.state.job(parent.child(main))),
            array_size: job.child.map_or(0, |(parent, _)| children(parent)),
            credentials: self.config.keys.of_attempt(&current.attempt_id, placement),
            metadata_token: self.config.keys.metadata_token(&current.attempt_id),
            container_host: host.filter(|_| is_contained).map(|host| host.as_deref()),
        };
        Ok(Some(Order::Run(Box::new(attempt.order()))))
    }

    /// An attempt that a runner has, as a task. It can have sessions from now on, until it ends.
    pub(super) fn running_task(&mut self, attempt_id: &AttemptId) -> rusqlite::Result<Option<RunningTask>> {
        let Some(key) = self.state.by_attempt(attempt_id).map(|job| job.key) else { return Ok(None) };
        let spec = self.spec(key)?;
        let Some(job) = self.state.job(key) else { return Ok(None) };
        let place = if is_contained(job, &spec.1) {
            Place::Container(docker::container_name(attempt_id))
        } else {
            match self.order_to_run(key, None)? {
                Some(Order::Run(run)) => Place::Host(run, self.config.environment.clone()),
                Some(_) | None => return Ok(None),
            }
        };
        let Some(job) = self.state.job(key) else { return Ok(None) };
        let is_running = job.status == Status::Running;
        self.config.sessions.attempt_runs(attempt_id);
        let started_at = job.started_at.filter(|_| is_running);
        let runner = job.current.as_ref().and_then(|current| self.runners.get(&current.runner));
        let runner = runner.filter(|runner| runner.attempt_id.as_ref() == Some(attempt_id));
        let states = runner.map(|runner| runner.containers.as_slice()).unwrap_or_default();
        let containers = running_containers(attempt_id, &spec.1, states);
        Ok(Some(RunningTask { is_running, started_at, place, containers }))
    }

    /// The ID of a job (of the parent, for a child) and what the job does.
    pub(super) fn spec(&mut self, key: JobKey) -> rusqlite::Result<Arc<(String, Spec)>> {
        let owner = self.state.job(key).and_then(|job| job.child).map_or(key, |(parent, _)| parent);
        if let Some((of, spec)) = &self.last_spec
            && *of == owner
        {
            return Ok(Arc::clone(spec));
        }
        let spec = Arc::new((self.store.id(owner)?, self.store.spec(owner)?));
        self.last_spec = Some((owner, Arc::clone(&spec)));
        Ok(spec)
    }

    pub(super) fn apply_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(key) => self.start(key),
                Effect::Stop(runner, attempt_id) => self.order(&runner, &Order::Stop { attempt_id }),
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
                Err(e) => self.drop_connection(&id, &e),
            }
            return;
        }
        // A new one: it gets its order when it has connected.
        match spawn(&self.home, &id) {
            Ok(child) => runner.child = Some(child),
            Err(e) => {
                let why = missing_resource(&e).map(|what| format!(": {what}")).unwrap_or_default();
                let problem = format!("starting a runner: {e}{why}");
                tracing::warn!("{problem}");
                self.set_delay(problem);
                self.paused_until = now_ms() + PAUSE_AFTER_FAILURE_MS;
            }
        }
    }

    pub(super) fn order(&mut self, id: &RunnerId, order: &Order) {
        let Some(runner) = self.runners.get_mut(id) else { return };
        if let Some(link) = &mut runner.link
            && let Err(e) = link.send(order)
        {
            // It gets the order again when it reconnects, or its journal says what happened.
            tracing::warn!("telling runner {}: {e}", id.as_str());
            runner.link = None;
        }
    }
}

/// Assigns a runner to one more attempt: an idle one, or one that is yet to be started.
pub(super) fn assign_runner(runners: &mut HashMap<RunnerId, Runner>) -> Current {
    let attempt_id = AttemptId::random();
    let idle = runners.iter_mut().find(|(_, r)| r.link.is_some() && r.attempt_id.is_none());
    let runner = match idle {
        Some((id, runner)) => {
            runner.attempt_id = Some(attempt_id.clone());
            id.clone()
        }
        None => {
            let id = RunnerId::random();
            runners.insert(id.clone(), Runner { attempt_id: Some(attempt_id.clone()), ..Runner::default() });
            id
        }
    };
    Current { attempt_id, runner }
}

/// Starts a runner: `blocal runner ID` in the home, with an empty environment.
fn spawn(home: &std::path::Path, id: &RunnerId) -> io::Result<std::process::Child> {
    // On Linux this name leads to the program even when its file has been replaced.
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
