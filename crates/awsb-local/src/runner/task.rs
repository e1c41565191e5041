//! A task of several containers (API: EcsTaskProperties) on the Docker engine. [`TaskProgress`]
//! decides which container starts when.
//!
//! The containers share the network of a container that only waits. So the order of their starts
//! and ends is free, and `localhost` is the same for all of them.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use super::container::{
    Beginning, ContainerExecution, ContainerRun, addresses, cannot, lost, remove_earlier,
};
use super::executor::{Event, EventSender, Outcome};
use super::output::Output;
use super::protocol::{AttemptId, Container, ContainerState, Run, TaskContainer};
use super::task_progress::TaskProgress;
use crate::docker::{self, EngineError, cleanup, pause};
use crate::time::now_ms;
use awsb_docker::{connect, status, words};

/// How long an engine that does not say how a container is has until it is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

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
        Ok(addresses) => {
            let task = Task { docker: &docker, attempt_id: &attempt_id, order: &order, addresses };
            task.run(signals, events).await
        }
        Err(refused) => refused,
    };
    events.send(&attempt_id, Event::Ended(outcome));
    // The server looks for what is left behind, too.
    let report = |removed: Result<(), EngineError>| removed.unwrap_or_else(|e| tracing::warn!("{e}"));
    for index in 0..order.task.len() {
        let name = docker::container_of_task_name(&attempt_id, index);
        report(cleanup::remove_with_retries(&docker, &name).await);
    }
    report(cleanup::remove_with_retries(&docker, &docker::container_name(&attempt_id)).await);
    report(cleanup::remove_volumes(&docker, &order.home).await);
}

/// Makes the network of the task: the container that holds it runs. Returns the addresses that all
/// containers of the task have.
async fn make_ready(
    docker: &Docker,
    attempt_id: &AttemptId,
    order: &Container,
) -> Result<Vec<Ipv4Addr>, Outcome> {
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
        .map_err(|e| cannot("CannotStartContainerError", words(&e)))?;
    // If it is gone again already, its end is seen as that of any network.
    let found = docker.inspect_container(&name, None::<InspectContainerOptions>).await;
    Ok(found.map(|found| addresses(&found).into_values().collect()).unwrap_or_default())
}

/// Returns when the container that holds the network of a task has ended or is gone, with words for
/// that. An engine that is away is not its end: the other containers see that themselves.
async fn network_end(docker: &Docker, name: &str) -> String {
    loop {
        let _ = docker.wait_container(name, None::<WaitContainerOptions>).next().await;
        let has_ended = match docker.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) => found.state.and_then(|state| state.running) == Some(false),
            Err(e) => status(&e) == Some(404),
        };
        if has_ended {
            return format!(
                "somebody else has ended the container {name}, which holds the network of the job"
            );
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
}

/// An event of a container.
enum ContainerEvent {
    Started(usize, Beginning),
    Ended(usize, Outcome),
}

struct Task<'a> {
    docker: &'a Docker,
    attempt_id: &'a AttemptId,
    order: &'a Container,
    /// The addresses of the container that holds the network.
    addresses: Vec<Ipv4Addr>,
}

impl Task<'_> {
    async fn run(&self, mut signals: UnboundedReceiver<Signal>, events: &EventSender) -> Outcome {
        let mut progress = TaskProgress::new(&self.order.task);
        let (sender, mut happened) = unbounded_channel();
        let network = docker::container_name(self.attempt_id);
        let mut network_end = pin!(network_end(self.docker, &network));
        let mut has_network = true;
        let mut states: BTreeMap<usize, ContainerState> = BTreeMap::new();
        loop {
            while let Some((index, container)) = progress.next_ready(Instant::now()) {
                progress.begun(index, self.begin(index, container, &sender));
            }
            if progress.is_over() {
                return progress.outcome();
            }
            let (deadline, is_due) = match progress.next_deadline() {
                Some(at) => (at, true),
                None => (Instant::now(), false),
            };
            tokio::select! {
                Some(event) = happened.recv() => match event {
                    ContainerEvent::Started(index, Beginning { at, container, .. }) => {
                        let state = ContainerState {
                            index,
                            addresses: self.addresses.clone(),
                            started_at: Some(at),
                            ..container.unwrap_or_default()
                        };
                        states.insert(index, state);
                        let containers = states.values().cloned().collect();
                        let event = match progress.started(index, Instant::now()) {
                            true => Event::Started { at, address: None, containers },
                            false => Event::Containers(containers),
                        };
                        events.send(self.attempt_id, event);
                    }
                    ContainerEvent::Ended(index, outcome) => {
                        let state = states.entry(index).or_default();
                        state.index = index;
                        (state.ended_at, state.exit_code) = (Some(now_ms()), outcome.exit_code);
                        progress.ended(index, outcome, Instant::now());
                        if !progress.is_over() {
                            let containers = states.values().cloned().collect();
                            events.send(self.attempt_id, Event::Containers(containers));
                        }
                    }
                },
                Some(signal) = signals.recv() => match signal {
                    Signal::SIGTERM => progress.stop(Instant::now()),
                    other => progress.send_all(other),
                },
                why = &mut network_end, if has_network => {
                    has_network = false;
                    progress.lose(lost(why), Instant::now());
                }
                () = sleep_until(deadline), if is_due => progress.pass_deadlines(Instant::now()),
            }
        }
    }

    /// Starts the work of a container. Returns the channel for its signals.
    fn begin(
        &self,
        index: usize,
        container: &TaskContainer,
        sender: &UnboundedSender<ContainerEvent>,
    ) -> UnboundedSender<Signal> {
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
            let started = |beginning| {
                let _ = sender.send(ContainerEvent::Started(index, beginning));
            };
            let outcome = run.run(&docker, started).await;
            let lost_output = run.output.finish().err().map(|lost| lost.to_string());
            let _ = sender.send(ContainerEvent::Ended(index, Outcome { lost_output, ..outcome }));
        });
        signals
    }
}
