//! Work in a container: a thread that talks to the Docker engine from the container's creation to
//! its removal. Only here is there an async runtime in a runner, and only while a container needs
//! it.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::thread::JoinHandle;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerState as EngineState, EndpointSettings};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    InspectContainerOptions, KillContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use futures_util::{Stream, StreamExt};
use nix::sys::signal::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::executor::{Event, EventSender, Execution, Outcome};
use super::output::{Output, Source};
use super::protocol::{AttemptId, Container, ContainerState, Run};
use super::spare::Spares;
use crate::docker::{self, EngineError, cleanup, network};
use crate::time::now_ms;
use awsb_docker::{connect, status, words};
use awsb_model::ADVICE;

/// The reason that ECS gives for a container that was killed because it exceeded its memory
/// (amazon-ecs-agent, `OutOfMemoryError`; AWS Batch shows it as the container's reason).
const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// A pull that does not go on for this long is given up.
const PULL_STALLED: Duration = Duration::from_secs(300);
/// After its end a container's output has this long to arrive: it is in the engine's buffers.
const OUTPUT_GRACE: Duration = Duration::from_secs(10);
/// How often an engine is asked whether it is there, and how long it may be silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(90);
/// How long an engine that has gone away may take to come back: a restart is a matter of seconds.
const AWAY: Duration = Duration::from_secs(30);

/// A container, as the runner's loop sees it.
#[derive(Debug)]
pub struct ContainerExecution {
    pub(super) signals: UnboundedSender<Signal>,
    pub(super) thread: JoinHandle<()>,
}

impl ContainerExecution {
    /// Starts the thread of an attempt, which has been journalled.
    ///
    /// # Errors
    /// When there can be no thread, or no runtime in it.
    pub fn start(run: Run, events: EventSender) -> io::Result<Self> {
        let order = *run.container.ok_or_else(|| io::Error::other("the order has no container"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (signals, received) = unbounded_channel();
        let output = Output::new(run.log.into());
        let container_run = ContainerRun {
            name: docker::container_name(&run.attempt_id),
            attempt_id: run.attempt_id,
            order,
            output,
            signals: received,
        };
        let thread = std::thread::Builder::new()
            .name("container".to_owned())
            .spawn(move || runtime.block_on(container_run.run_to_end(&events)))?;
        Ok(Self { signals, thread })
    }
}

impl Execution for ContainerExecution {
    fn readable(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn take_output(&mut self) {}

    fn signal(&mut self, signal: Signal) {
        // A thread that is gone has reported the end already.
        let _ = self.signals.send(signal);
    }

    fn finish(&mut self) -> Option<String> {
        None
    }

    fn clean(self: Box<Self>, _: &mut Spares) -> Option<JoinHandle<()>> {
        Some(self.thread)
    }
}

/// A container that has just started.
pub(super) struct Beginning {
    /// When, in milliseconds since the epoch.
    pub(super) at: i64,
    /// Where the other nodes reach a main node.
    pub(super) address: Option<Ipv4Addr>,
    /// Its state, if the engine has said it.
    pub(super) container: Option<ContainerState>,
}

/// The addresses of a container by the names of its networks. One that shares the network of
/// another one has none of its own.
pub(super) fn addresses(found: &ContainerInspectResponse) -> BTreeMap<String, Ipv4Addr> {
    let networks = found.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let address = |(name, of): (&String, &EndpointSettings)| {
        Some((name.clone(), of.ip_address.as_ref()?.parse().ok()?))
    };
    networks.into_iter().flatten().filter_map(address).collect()
}

/// The run of one container.
pub(super) struct ContainerRun {
    pub(super) attempt_id: AttemptId,
    pub(super) name: String,
    pub(super) order: Container,
    pub(super) output: Output,
    pub(super) signals: UnboundedReceiver<Signal>,
}

/// Why no container runs.
type Refusal = Outcome;

/// A refusal in ECS's form: its name for what could not be done, then the engine's words.
pub(super) fn cannot(what: &str, why: impl std::fmt::Display) -> Refusal {
    Outcome { reason: Some(format!("{what}: {why}")), ..Outcome::default() }
}

/// Removes the containers that an earlier attempt may have left behind, when its engine was away:
/// no job runs twice at the same time.
pub(super) async fn remove_earlier(docker: &Docker, order: &Container) -> Result<(), Refusal> {
    let failed = |why: EngineError| {
        cannot("CannotCreateContainerError", format!("an earlier attempt's container is still there: {why}"))
    };
    let found = cleanup::containers(docker, &order.home, Some(&order.job)).await;
    for earlier in found.map_err(failed)? {
        cleanup::remove_with_retries(docker, &earlier.id).await.map_err(failed)?;
    }
    Ok(())
}

impl ContainerRun {
    async fn run_to_end(mut self, events: &EventSender) {
        let engine = match self.order.refused.take() {
            Some(why) => Err(why),
            None => connect(&self.order.engine).await.map_err(|e| e.to_string()),
        };
        let docker = match engine {
            Ok(docker) => docker,
            Err(why) => {
                return events
                    .send(&self.attempt_id, Event::Ended(cannot("CannotCreateContainerError", why)));
            }
        };
        let attempt_id = self.attempt_id.clone();
        let started = |Beginning { at, address, container }| {
            let containers = container.into_iter().collect();
            events.send(&attempt_id, Event::Started { at, address, containers });
        };
        let outcome = self.run(&docker, started).await;
        let outcome =
            Outcome { lost_output: self.output.finish().err().map(|lost| lost.to_string()), ..outcome };
        events.send(&self.attempt_id, Event::Ended(outcome));
        if let Err(e) = cleanup::remove_with_retries(&docker, &self.name).await {
            // The server looks for what is left behind, too.
            tracing::warn!("{e}");
        }
        if let Some(main) = &self.order.main_node {
            // The last node that leaves the network takes it along: to the others the engine says
            // no.
            let _ = network::remove(&docker, &docker::nodes_network_name(main)).await;
        }
    }

    /// Runs the container to its end, without removing it. `started` hears when it runs.
    pub(super) async fn run(&mut self, docker: &Docker, started: impl FnOnce(Beginning)) -> Outcome {
        match self.start(docker).await {
            Ok(frames) => {
                started(self.beginning(docker, now_ms()).await);
                self.follow(docker, frames).await
            }
            Err(refusal) => refusal,
        }
    }

    /// Whether the job is to end before it has begun.
    fn unwanted(&mut self) -> Result<(), Refusal> {
        match self.signals.try_recv() {
            Ok(_) => Err(Outcome::default()),
            Err(_) => Ok(()),
        }
    }

    /// Creates the container, listens to it, and starts it: in this order, so that no line is lost.
    async fn start(
        &mut self,
        docker: &Docker,
    ) -> Result<impl Stream<Item = Result<LogOutput, Error>> + use<>, Refusal> {
        if self.order.again {
            remove_earlier(docker, &self.order).await?;
        }
        self.create(docker).await?;
        self.join_nodes(docker).await?;
        self.unwanted()?;
        let options = AttachContainerOptionsBuilder::new().stdout(true).stderr(true).stream(true).build();
        let attached = docker
            .attach_container(&self.name, Some(options))
            .await
            .map_err(|e| cannot("CannotStartContainerError", words(&e)))?;
        if let Err(e) = docker.start_container(&self.name, None::<StartContainerOptions>).await {
            // The engine gives a code, as a shell would: 127 for a program that is not there.
            let exit_code = self.state(docker).await.ok().and_then(|state| exit_code(&state));
            return Err(Outcome {
                exit_code: exit_code.filter(|code| *code != 0),
                ..cannot("CannotStartContainerError", words(&e))
            });
        }
        Ok(attached.output)
    }

    async fn create(&mut self, docker: &Docker) -> Result<(), Refusal> {
        let mut pulled = false;
        loop {
            let options = CreateContainerOptionsBuilder::new().name(&self.name).build();
            match docker.create_container(Some(options), self.order.body.clone()).await {
                Ok(_) => return Ok(()),
                // The engine says 404 for an image that it does not have.
                Err(e) if status(&e) == Some(404) && !pulled => self.pull(docker).await?,
                Err(e) => return Err(cannot("CannotCreateContainerError", words(&e))),
            }
            pulled = true;
        }
    }

    /// The main node makes the network of the nodes: it exists before the others are started. It is
    /// not made again when the main node has left.
    async fn join_nodes(&self, docker: &Docker) -> Result<(), Refusal> {
        let Some(main) = &self.order.main_node else { return Ok(()) };
        let failed = |why: EngineError| cannot("CannotStartContainerError", why);
        if *main == self.attempt_id {
            network::make_for_nodes(docker, &self.order.home, main).await.map_err(failed)?;
        }
        network::join(docker, &docker::nodes_network_name(main), &self.name).await.map_err(failed)
    }

    /// The container that has started at this time, as the engine knows it. One that has ended
    /// already may be gone. Then it has no address, and needs none.
    async fn beginning(&self, docker: &Docker, at: i64) -> Beginning {
        let found = docker.inspect_container(&self.name, None::<InspectContainerOptions>).await.ok();
        let Some(found) = found else { return Beginning { at, address: None, container: None } };
        let addresses = addresses(&found);
        let main = self.order.main_node.as_ref().filter(|main| **main == self.attempt_id);
        let address = main.and_then(|main| addresses.get(&docker::nodes_network_name(main)).copied());
        let container = ContainerState {
            index: 0,
            id: found.id,
            image_id: found.image,
            addresses: addresses.into_values().collect(),
            created_at: found
                .created
                .and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()),
            started_at: Some(at),
            ended_at: None,
            exit_code: None,
        };
        Beginning { at, address, container: Some(container) }
    }

    async fn pull(&mut self, docker: &Docker) -> Result<(), Refusal> {
        let image = self.order.body.image.clone().unwrap_or_default();
        let (name, tag) = name_and_tag(&image);
        let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
        let credentials = match self.order.with_login {
            true => awsb_docker::credentials::of_image(&image).await,
            false => None,
        };
        let lacks_login = self.order.with_login && credentials.is_none();
        let mut progress = pin!(docker.create_image(Some(options), None, credentials));
        let engine = self.order.engine.clone();
        let failed = |why: String| {
            let advice = match lacks_login {
                true => format!(
                    "`docker login {}` on this machine stores the credentials that take the place of \
                     repositoryCredentials",
                    awsb_docker::credentials::registry_of(&image)
                ),
                false => pull_advice(&image, &engine, &why),
            };
            Err(cannot("CannotPullContainerError", format!("{why}{ADVICE}{advice}")))
        };
        loop {
            tokio::select! {
                step = timeout(PULL_STALLED, progress.next()) => match step {
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(e))) => return failed(words(&e)),
                    Ok(None) => return Ok(()),
                    Err(_) => return failed(format!("the pull of {image} does not go on")),
                },
                // Nobody waits for the image any more; the engine stops pulling when we hang up.
                _ = self.signals.recv() => return Err(Outcome::default()),
            }
        }
    }

    async fn state(&self, docker: &Docker) -> Result<EngineState, Error> {
        let found = docker.inspect_container(&self.name, None::<InspectContainerOptions>).await?;
        Ok(found.state.unwrap_or_default())
    }

    /// From the start to the end: output goes to the log stream, signals go to the container.
    async fn follow(
        &mut self,
        docker: &Docker,
        frames: impl Stream<Item = Result<LogOutput, Error>>,
    ) -> Outcome {
        let mut frames = pin!(frames.fuse());
        let wait = |name: &str| docker.wait_container(name, None::<WaitContainerOptions>).boxed();
        let mut ends = wait(&self.name);
        let mut silence = pin!(silence(docker));
        let (mut listening, mut trouble) = (true, None);
        let mut exit: Option<(i32, Option<String>)> = None;
        let mut hang_up = Instant::now();
        while exit.is_none() || listening {
            tokio::select! {
                frame = frames.next(), if listening => match frame {
                    Some(Ok(LogOutput::StdErr { message })) => {
                        self.output.take(Source::Error, &message, now_ms());
                    }
                    Some(Ok(frame)) => self.output.take(Source::Both, frame.as_ref(), now_ms()),
                    Some(Err(e)) => {
                        trouble = Some(format!("the end of the output is not known: {}", words(&e)));
                        listening = false;
                    }
                    None => listening = false,
                },
                () = sleep_until(hang_up), if exit.is_some() => listening = false,
                end = ends.next(), if exit.is_none() => {
                    let why = match end {
                        Some(Ok(end)) => Ok((code(end.status_code), None)),
                        Some(Err(Error::DockerContainerWaitError { error, code: c })) => {
                            Ok((code(c), Some(error).filter(|e| !e.is_empty())))
                        }
                        Some(Err(e)) => Err(words(&e)),
                        None => Err("it has hung up".to_owned()),
                    };
                    exit = match why {
                        Ok(exit) => Some(exit),
                        Err(why) => match self.look(docker, listening, &why).await {
                            Ok(exit) => exit,
                            Err(lost) => return lost,
                        },
                    };
                    match exit {
                        Some(_) => hang_up = Instant::now() + OUTPUT_GRACE,
                        None => ends = wait(&self.name),
                    }
                }
                Some(signal) = self.signals.recv() => send(docker, &self.name, signal),
                () = &mut silence => return lost(format!(
                    "{} has not answered for {} seconds", self.order.engine, SILENCE.as_secs()
                )),
            }
        }
        let (exit_code, error) = exit.unwrap_or_default();
        let out_of_memory = self.out_of_memory(docker, exit_code).await;
        let reason = out_of_memory.then(|| OUT_OF_MEMORY.to_owned()).or(error).or(trouble);
        Outcome { exit_code: Some(exit_code), reason, ..Outcome::default() }
    }

    /// The engine has broken off while the container ran. It may be back at once and the container
    /// may have ended (then this is its exit code), or run as before (`None`). Otherwise the
    /// attempt is lost: the container is removed when the engine is back.
    async fn look(
        &self,
        docker: &Docker,
        listening: bool,
        why: &str,
    ) -> Result<Option<(i32, Option<String>)>, Outcome> {
        let gone = || lost(format!("{} has gone away while the job ran: {why}", self.order.engine));
        match self.state(docker).await {
            Ok(state) if state.running == Some(true) && listening => Ok(None),
            Ok(state) if state.running == Some(true) => Err(gone()),
            Ok(state) => Ok(Some((exit_code(&state).unwrap_or(255), None))),
            Err(e) if status(&e) == Some(404) => {
                Err(lost(format!("somebody else has removed the container {}", self.name)))
            }
            Err(_) => {
                // The next attempt shall find an engine, not the end of one.
                let until = Instant::now() + AWAY;
                while Instant::now() < until && docker.ping().await.is_err() {
                    sleep(Duration::from_millis(200)).await;
                }
                Err(gone())
            }
        }
    }

    async fn out_of_memory(&self, docker: &Docker, exit_code: i32) -> bool {
        // The engine hears of the end and of its cause from different sources: the cause may come
        // later.
        let looks = if exit_code == 128 + Signal::SIGKILL as i32 { 5 } else { 1 };
        for look in 0..looks {
            if look > 0 {
                sleep(Duration::from_millis(50)).await;
            }
            match self.state(docker).await {
                Ok(state) if state.oom_killed == Some(true) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }
}

/// An attempt whose end nobody has seen.
pub(super) fn lost(why: String) -> Outcome {
    Outcome { lost: true, ..cannot("CannotInspectContainerError", why) }
}

/// In a task of its own: the engine answers only when it has passed the signal on, and meanwhile
/// the output has to be read.
fn send(docker: &Docker, container: &str, signal: Signal) {
    let (docker, container) = (docker.clone(), container.to_owned());
    tokio::spawn(async move {
        let options = KillContainerOptionsBuilder::new().signal(signal.as_str()).build();
        match docker.kill_container(&container, Some(options)).await {
            // 404 and 409: it has ended meanwhile.
            Err(e) if !matches!(status(&e), Some(404 | 409)) => {
                tracing::warn!("sending {signal} to container {container}: {}", words(&e));
            }
            _ => {}
        }
    });
}

/// Returns when the engine has been silent for too long. A connection that stays open proves
/// nothing: the engine's machine may be gone.
async fn silence(docker: &Docker) {
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        sleep(HEARTBEAT).await;
        if matches!(timeout(HEARTBEAT, docker.ping()).await, Ok(Ok(_))) {
            heard = Instant::now();
        }
    }
}

fn exit_code(state: &EngineState) -> Option<i32> {
    state.exit_code.map(code)
}

fn code(code: i64) -> i32 {
    i32::try_from(code).unwrap_or(255)
}

/// The advice for an image that this machine's engine could not pull, depending on the registry's
/// message.
fn pull_advice(image: &str, engine: &str, words: &str) -> String {
    let low = words.to_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|needle| low.contains(needle));
    let pull =
        format!("`docker pull {image}` on this machine, with your credentials, and submit the job again");
    if has(&["no space left"]) {
        return format!(
            "the disk of this machine's Docker engine ({engine}) is full: `docker system prune` makes room"
        );
    }
    if has(&["descriptor matching platform", "no matching manifest"]) {
        return "this machine has another kind of CPU: build the image for it, as `bsub --build` does"
            .to_owned();
    }
    if has(&["toomanyrequests", "rate limit"]) {
        return format!("the local cluster pulls without credentials: {pull}");
    }
    if has(&[
        "timeout",
        "canceled",
        "deadline",
        "dial tcp",
        "connection refused",
        "no such host",
        "does not go on",
    ]) {
        return format!(
            "check that this machine's Docker engine ({engine}) can reach the registry with its own proxy \
             settings: {pull}"
        );
    }
    format!(
        "check the name: `docker images` shows the images of this machine's engine. The local cluster pulls \
         without credentials; for a private image, {pull}"
    )
}

/// `fromImage` and `tag` for a pull: without a tag the engine would pull all that there are. A
/// digest stays with the name.
fn name_and_tag(image: &str) -> (&str, &str) {
    if image.contains('@') {
        return (image, "");
    }
    // The colon of a registry's port is before a slash.
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_on_a_pull_is_about_this_machine() {
        for (words, advice) in [
            ("pull access denied for x, repository does not exist", "check the name"),
            ("toomanyrequests: You have reached your pull rate limit", "pulls without credentials"),
            ("Get https://r/v2/: dial tcp: lookup r: no such host", "reach the registry"),
            ("write /var/lib/docker/x: no space left on device", "docker system prune"),
            ("no matching manifest for linux/arm64/v8", "another kind of CPU"),
        ] {
            let text = pull_advice("lab/tool", "unix:///var/run/docker.sock", words);
            assert!(text.contains(advice), "{words}: {text}");
            assert!(["VPC", "subnet", "role", "instance"].iter().all(|aws| !text.contains(aws)), "{text}");
        }
    }

    #[test]
    fn one_image_is_pulled_not_all_of_its_tags() {
        assert_eq!(name_and_tag("busybox"), ("busybox", "latest"));
        assert_eq!(name_and_tag("busybox:1.36"), ("busybox", "1.36"));
        assert_eq!(name_and_tag("localhost:5000/a/b"), ("localhost:5000/a/b", "latest"));
        assert_eq!(name_and_tag("localhost:5000/a/b:c"), ("localhost:5000/a/b", "c"));
        assert_eq!(name_and_tag("a@sha256:00"), ("a@sha256:00", ""));
        assert_eq!(name_and_tag("a:b@sha256:00"), ("a:b@sha256:00", ""));
    }
}
