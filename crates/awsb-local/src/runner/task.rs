//! A task of several containers (API: EcsTaskProperties): which container starts when, and what the
//! end of one means for the others.
//!
//! The containers share the network of a container that only waits. So the order of their starts
//! and ends is free, and `localhost` is the same for all of them.

use std::io;

use bollard::Docker;
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use nix::sys::signal::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Duration, Instant, sleep_until};

use super::container::{ContainerExecution, ContainerRun, cannot, remove_earlier};
use super::executor::{Event, EventSender, Outcome};
use super::output::Output;
use super::protocol::{AttemptId, Condition, Container, ContainerEnd, Run, TaskContainer};
use crate::docker::{self, EngineError, cleanup, pause};
use awsb_docker::{connect, words};

/// Starts the thread of an attempt that is a task of several containers.
///
/// # Errors
/// When there can be no thread, or no runtime in it.
pub fn start(run: Run, events: EventSender) -> io::Result<ContainerExecution> {
    let order = *run.container.ok_or_else(|| io::Error::other("the order has no container"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (signals, received) = unbounded_channel();
    let thread = std::thread::Builder::new()
        .name("task".to_owned())
        .spawn(move || runtime.block_on(run_to_end(run.attempt_id, order, received, &events)))?;
    Ok(ContainerExecution { signals, thread })
}

/// Runs a task to its end, and removes it.
async fn run_to_end(
    attempt_id: AttemptId,
    mut order: Container,
    signals: UnboundedReceiver<Signal>,
    events: &EventSender,
) {
    let engine = match order.refused.take() {
        Some(why) => Err(why),
        None => connect(&order.engine).await.map_err(|e| e.to_string()),
    };
    let docker = match engine {
        Ok(docker) => docker,
        Err(why) => {
            let refused = cannot("CannotCreateContainerError", why);
            return events.send(&attempt_id, Event::Ended(refused));
        }
    };
    let outcome = match make_ready(&docker, &attempt_id, &order).await {
        Ok(()) => Task::new(&docker, &attempt_id, &order).run(signals, events).await,
        Err(refused) => refused,
    };
    events.send(&attempt_id, Event::Ended(outcome));
    let mut removed = Ok(());
    for index in 0..order.task.len() {
        let name = docker::container_of_task_name(&attempt_id, index);
        removed = removed.and(cleanup::remove_with_retries(&docker, &name).await);
    }
    removed = removed.and(cleanup::remove_with_retries(&docker, &docker::container_name(&attempt_id)).await);
    removed = removed.and(cleanup::remove_volumes(&docker, &order.home).await);
    if let Err(e) = removed {
        // The server looks for what is left behind, too.
        tracing::warn!("{e}");
    }
}

/// Makes the network of the task: the container that holds it runs.
async fn make_ready(docker: &Docker, attempt_id: &AttemptId, order: &Container) -> Result<(), Outcome> {
    if order.again {
        remove_earlier(docker, order).await?;
    }
    let failed = |why: EngineError| cannot("CannotCreateContainerError", why);
    pause::make_image(docker).await.map_err(failed)?;
    let name = docker::container_name(attempt_id);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    docker
        .create_container(Some(options), order.body.clone())
        .await
        .map_err(|e| cannot("CannotCreateContainerError", words(&e)))?;
    docker
        .start_container(&name, None::<StartContainerOptions>)
        .await
        .map_err(|e| cannot("CannotStartContainerError", words(&e)))
}

/// What has happened to a container.
enum ContainerEvent {
    Started(usize, i64),
    Ended(usize, Outcome),
}

/// Where a container of the task stands.
enum Stage {
    /// It waits for others.
    Waiting,
    /// It has its thread of work, and maybe runs already.
    Begun { signals: UnboundedSender<Signal>, started: bool, kill_at: Option<Instant> },
    /// It has ended, or never will start.
    Ended { started: bool, outcome: Outcome },
}

struct Task<'a> {
    docker: &'a Docker,
    attempt_id: &'a AttemptId,
    order: &'a Container,
    stages: Vec<Stage>,
    /// The essential container that ended first: its end is the task's.
    deciding: Option<usize>,
    is_stopping: bool,
    begun_at: Instant,
    has_started: bool,
}

impl<'a> Task<'a> {
    fn new(docker: &'a Docker, attempt_id: &'a AttemptId, order: &'a Container) -> Self {
        Self {
            docker,
            attempt_id,
            order,
            stages: order.task.iter().map(|_| Stage::Waiting).collect(),
            deciding: None,
            is_stopping: false,
            begun_at: Instant::now(),
            has_started: false,
        }
    }

    async fn run(mut self, mut signals: UnboundedReceiver<Signal>, events: &EventSender) -> Outcome {
        let (sender, mut happened) = unbounded_channel();
        loop {
            self.start_ready(&sender);
            if self.stages.iter().all(|stage| matches!(stage, Stage::Ended { .. })) {
                return self.outcome();
            }
            let (deadline, is_due) = match self.next_deadline() {
                Some(at) => (at, true),
                None => (Instant::now(), false),
            };
            tokio::select! {
                Some(event) = happened.recv() => match event {
                    ContainerEvent::Started(index, at) => self.started(index, at, events),
                    ContainerEvent::Ended(index, outcome) => self.ended(index, outcome),
                },
                Some(signal) = signals.recv() => match signal {
                    Signal::SIGTERM => self.stop(),
                    other => self.send_all(other),
                },
                () = sleep_until(deadline), if is_due => self.deadlines(),
            }
        }
    }

    /// Starts the containers whose dependencies are there, and gives up those whose dependencies
    /// never will be. One that is given up may be what another one waits for.
    fn start_ready(&mut self, sender: &UnboundedSender<ContainerEvent>) {
        let mut changed = true;
        while changed {
            changed = false;
            for (index, container) in self.order.task.iter().enumerate() {
                if !matches!(self.stages.get(index), Some(Stage::Waiting)) {
                    continue;
                }
                match self.readiness(container) {
                    Readiness::Ready => {
                        let stage = self.begin(index, container, sender);
                        self.set(index, stage);
                        changed = true;
                    }
                    Readiness::Never(why) => {
                        self.give_up(index, why);
                        changed = true;
                    }
                    Readiness::NotYet => {}
                }
            }
        }
    }

    fn set(&mut self, index: usize, stage: Stage) {
        if let Some(place) = self.stages.get_mut(index) {
            *place = stage;
        }
    }

    fn readiness(&self, container: &TaskContainer) -> Readiness {
        let mut readiness = Readiness::Ready;
        for dependency in &container.depends_on {
            let name = self.order.task.get(dependency.container).map_or("", |other| other.name.as_str());
            let met = match self.stages.get(dependency.container) {
                None | Some(Stage::Waiting) => Some(false),
                Some(Stage::Begun { started, .. }) => {
                    Some(*started && dependency.condition == Condition::Start)
                }
                Some(Stage::Ended { started: false, .. }) => None,
                Some(Stage::Ended { outcome, .. }) => match dependency.condition {
                    Condition::Success if outcome.exit_code != Some(0) => None,
                    _ => Some(true),
                },
            };
            match met {
                Some(true) => {}
                Some(false) => readiness = Readiness::NotYet,
                // As the ECS agent: DependencyError. The words for Batch are not documented.
                None => {
                    return Readiness::Never(format!(
                        "DependencyError: container {} waits for {name}, which did not {}",
                        container.name,
                        if dependency.condition == Condition::Success { "succeed" } else { "start" }
                    ));
                }
            }
        }
        readiness
    }

    /// Starts the work of a container.
    fn begin(
        &self,
        index: usize,
        container: &TaskContainer,
        sender: &UnboundedSender<ContainerEvent>,
    ) -> Stage {
        let (signals, received) = unbounded_channel();
        let mut run = ContainerRun {
            name: docker::container_of_task_name(self.attempt_id, index),
            attempt_id: self.attempt_id.clone(),
            order: Container {
                again: false,
                main_node: None,
                refused: None,
                with_login: container.with_login,
                body: container.body.clone(),
                task: Vec::new(),
                engine: self.order.engine.clone(),
                home: self.order.home.clone(),
                job: self.order.job.clone(),
            },
            output: Output::new(container.log.clone().into()),
            signals: received,
        };
        let (docker, sender) = (self.docker.clone(), sender.clone());
        tokio::spawn(async move {
            let started = |at, _| {
                let _ = sender.send(ContainerEvent::Started(index, at));
            };
            let outcome = run.run(&docker, started).await;
            let lost_output = run.output.finish().err().map(|lost| lost.to_string());
            let _ = sender.send(ContainerEvent::Ended(index, Outcome { lost_output, ..outcome }));
        });
        Stage::Begun { signals, started: false, kill_at: None }
    }

    /// A container runs. The task does when all its essential containers do, as on ECS.
    fn started(&mut self, index: usize, at: i64, events: &EventSender) {
        if let Some(Stage::Begun { started, .. }) = self.stages.get_mut(index) {
            *started = true;
        }
        let runs = |stage: &Stage| match stage {
            Stage::Waiting => false,
            Stage::Begun { started, .. } | Stage::Ended { started, .. } => *started,
        };
        let all = self.order.task.iter().zip(&self.stages);
        if !self.has_started && all.filter(|(c, _)| c.essential).all(|(_, stage)| runs(stage)) {
            self.has_started = true;
            events.send(self.attempt_id, Event::Started(at, None));
        }
    }

    fn ended(&mut self, index: usize, outcome: Outcome) {
        let started = matches!(self.stages.get(index), Some(Stage::Begun { started: true, .. }));
        self.set(index, Stage::Ended { started, outcome });
        self.one_has_ended(index);
    }

    fn give_up(&mut self, index: usize, why: String) {
        let outcome = Outcome { reason: Some(why), ..Outcome::default() };
        self.set(index, Stage::Ended { started: false, outcome });
        self.one_has_ended(index);
    }

    /// API, TaskContainerProperties.essential: "that container fails or stops for any reason, all
    /// other containers that are part of the task are stopped".
    fn one_has_ended(&mut self, index: usize) {
        if self.order.task.get(index).is_some_and(|container| container.essential) {
            self.deciding.get_or_insert(index);
            self.stop();
        }
    }

    /// Asks all containers to end. Those that have not begun never will.
    fn stop(&mut self) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        let now = Instant::now();
        for (stage, container) in self.stages.iter_mut().zip(&self.order.task) {
            match stage {
                Stage::Waiting => *stage = Stage::Ended { started: false, outcome: Outcome::default() },
                Stage::Begun { signals, kill_at, .. } => {
                    // One that is gone has reported its end.
                    let _ = signals.send(Signal::SIGTERM);
                    *kill_at = Some(now + milliseconds(container.stop_timeout_ms));
                }
                Stage::Ended { .. } => {}
            }
        }
    }

    fn send_all(&mut self, signal: Signal) {
        for stage in &self.stages {
            if let Stage::Begun { signals, .. } = stage {
                let _ = signals.send(signal);
            }
        }
    }

    /// When a container has waited for too long for its start, or for its end.
    fn next_deadline(&self) -> Option<Instant> {
        let deadlines =
            self.stages.iter().zip(&self.order.task).filter_map(|(stage, container)| match stage {
                Stage::Waiting => Some(self.begun_at + milliseconds(container.start_timeout_ms?)),
                Stage::Begun { kill_at, .. } => *kill_at,
                Stage::Ended { .. } => None,
            });
        deadlines.min()
    }

    fn deadlines(&mut self) {
        let now = Instant::now();
        let mut given_up = Vec::new();
        for (index, (stage, container)) in self.stages.iter_mut().zip(&self.order.task).enumerate() {
            match stage {
                Stage::Begun { signals, kill_at: Some(at), .. } if *at <= now => {
                    let _ = signals.send(Signal::SIGKILL);
                    *at = now + Duration::from_secs(1);
                }
                Stage::Waiting => {
                    let limit = container.start_timeout_ms.map(|ms| self.begun_at + milliseconds(ms));
                    given_up.extend(limit.filter(|at| *at <= now).map(|_| (index, container)));
                }
                _ => {}
            }
        }
        for (index, container) in given_up {
            let seconds = container.start_timeout_ms.unwrap_or(0) / 1000;
            let name = &container.name;
            self.give_up(
                index,
                format!("DependencyError: container {name} has waited for {seconds} seconds (startTimeout)"),
            );
        }
    }

    /// The end of the task is that of the essential container that ended first.
    fn outcome(self) -> Outcome {
        let mut lost_output = Vec::new();
        let mut deciding = Outcome::default();
        let mut containers = Vec::new();
        for (index, stage) in self.stages.into_iter().enumerate() {
            let (started, mut outcome) = match stage {
                Stage::Ended { started, outcome } => (started, outcome),
                Stage::Waiting | Stage::Begun { .. } => (false, Outcome::default()),
            };
            let name = self.order.task.get(index).map_or("", |container| container.name.as_str());
            lost_output.extend(outcome.lost_output.take().map(|lost| format!("{name}: {lost}")));
            let (exit_code, reason) = (outcome.exit_code, outcome.reason.clone());
            containers.push(ContainerEnd { started, exit_code, reason });
            if self.deciding == Some(index) {
                deciding = outcome;
            }
        }
        let lost_output = (!lost_output.is_empty()).then(|| lost_output.join("; "));
        Outcome { lost_output, containers, ..deciding }
    }
}

/// Whether a container can start.
enum Readiness {
    Ready,
    NotYet,
    /// Something that it waits for can never be.
    Never(String),
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).cast_unsigned())
}
