//! The progress of a task of several containers (API: EcsTaskProperties): which container may
//! start, and what the end of one means for the others. It calls nothing: it sends signals into the
//! channels of the containers that run, and says which container to start.

use nix::sys::signal::Signal;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Duration, Instant};

use super::executor::Outcome;
use super::protocol::{Condition, ContainerDependency, ContainerEnd, TaskContainer};

/// How long a container that has got SIGKILL may take to end before it gets another one.
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The stage of a container of the task.
enum Stage {
    /// It waits for others.
    Waiting,
    /// Its work has begun; it runs from `started_at` on.
    Begun { signals: UnboundedSender<Signal>, started_at: Option<Instant>, kill_at: Option<Instant> },
    /// It has ended, or never will start.
    Ended { started: bool, outcome: Outcome },
}

/// Whether a container can start.
enum Readiness {
    Ready,
    NotYet,
    /// It waits for something that can never be.
    Never(String),
}

/// The containers of a task, and the stage of each.
pub(super) struct TaskProgress<'a> {
    containers: &'a [TaskContainer],
    stages: Vec<Stage>,
    /// The essential container that ended first: its end is the task's.
    deciding: Option<usize>,
    is_stopping: bool,
    has_started: bool,
    /// The end of the task in place of that of its containers, if these have lost their network.
    lost: Option<Outcome>,
}

impl<'a> TaskProgress<'a> {
    /// A task of which nothing has begun.
    pub(super) fn new(containers: &'a [TaskContainer]) -> Self {
        Self {
            containers,
            stages: containers.iter().map(|_| Stage::Waiting).collect(),
            deciding: None,
            is_stopping: false,
            has_started: false,
            lost: None,
        }
    }

    /// Whether all containers have ended.
    pub(super) fn is_over(&self) -> bool {
        self.stages.iter().all(|stage| matches!(stage, Stage::Ended { .. }))
    }

    /// A container whose dependencies are there, and its index. The work of it has to begin
    /// ([`Self::begun`]). Containers whose dependencies never will be there are given up first. One
    /// that is given up may be what another one waits for.
    pub(super) fn next_ready(&mut self, now: Instant) -> Option<(usize, &'a TaskContainer)> {
        let containers = self.containers;
        let mut index = 0;
        while let Some(container) = containers.get(index) {
            if !matches!(self.stages.get(index), Some(Stage::Waiting)) {
                index += 1;
                continue;
            }
            match self.readiness(container) {
                Readiness::Ready => return Some((index, container)),
                Readiness::NotYet => index += 1,
                Readiness::Never(why) => {
                    self.give_up(index, why, now);
                    index = 0;
                }
            }
        }
        None
    }

    /// The work of a container has begun, which takes signals from this channel.
    pub(super) fn begun(&mut self, index: usize, signals: UnboundedSender<Signal>) {
        self.set(index, Stage::Begun { signals, started_at: None, kill_at: None });
    }

    fn set(&mut self, index: usize, stage: Stage) {
        if let Some(place) = self.stages.get_mut(index) {
            *place = stage;
        }
    }

    fn readiness(&self, container: &TaskContainer) -> Readiness {
        let mut readiness = Readiness::Ready;
        for dependency in &container.depends_on {
            let met = match self.stages.get(dependency.container) {
                None | Some(Stage::Waiting) => Some(false),
                Some(Stage::Begun { started_at, .. }) => {
                    Some(started_at.is_some() && dependency.condition == Condition::Start)
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
                    let not = if dependency.condition == Condition::Success { "succeed" } else { "start" };
                    return Readiness::Never(format!(
                        "DependencyError: container {} waits for {}, which did not {not}",
                        container.name,
                        self.name(dependency.container)
                    ));
                }
            }
        }
        readiness
    }

    fn name(&self, index: usize) -> &'a str {
        self.containers.get(index).map_or("", |container| container.name.as_str())
    }

    /// A container runs. Returns whether the task runs from now on: it does when all its essential
    /// containers do, as on ECS.
    pub(super) fn started(&mut self, index: usize, now: Instant) -> bool {
        if let Some(Stage::Begun { started_at, .. }) = self.stages.get_mut(index) {
            *started_at = Some(now);
        }
        let has_run = |stage: &Stage| match stage {
            Stage::Waiting => false,
            Stage::Begun { started_at, .. } => started_at.is_some(),
            Stage::Ended { started, .. } => *started,
        };
        let mut all = self.containers.iter().zip(&self.stages);
        if self.has_started || !all.all(|(container, stage)| !container.essential || has_run(stage)) {
            return false;
        }
        self.has_started = true;
        true
    }

    /// A container has ended, or could not be started.
    pub(super) fn ended(&mut self, index: usize, outcome: Outcome, now: Instant) {
        let started = matches!(self.stages.get(index), Some(Stage::Begun { started_at: Some(_), .. }));
        self.set(index, Stage::Ended { started, outcome });
        self.one_has_ended(index, now);
    }

    fn give_up(&mut self, index: usize, why: String, now: Instant) {
        let outcome = Outcome { reason: Some(why), ..Outcome::default() };
        self.set(index, Stage::Ended { started: false, outcome });
        self.one_has_ended(index, now);
    }

    /// API, TaskContainerProperties.essential: "that container fails or stops for any reason, all
    /// other containers that are part of the task are stopped".
    fn one_has_ended(&mut self, index: usize, now: Instant) {
        if self.containers.get(index).is_some_and(|container| container.essential) {
            self.deciding.get_or_insert(index);
            self.stop(now);
        }
    }

    /// Asks all containers to end. Those that have not begun never will.
    pub(super) fn stop(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        for (stage, container) in self.stages.iter_mut().zip(self.containers) {
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

    /// The containers have lost their network, and end like this: they are killed. A task that is
    /// about to end anyway ends as it would have.
    pub(super) fn lose(&mut self, outcome: Outcome, now: Instant) {
        if self.is_stopping {
            return;
        }
        self.deciding = self.containers.iter().position(|container| container.essential);
        self.lost = Some(outcome);
        self.stop(now);
        self.send_all(Signal::SIGKILL);
    }

    /// Sends a signal to all containers that run.
    pub(super) fn send_all(&self, signal: Signal) {
        for stage in &self.stages {
            if let Stage::Begun { signals, .. } = stage {
                let _ = signals.send(signal);
            }
        }
    }

    /// When a container stops waiting for the end of another one, and for which. The time is that
    /// of the other one, and counts from the start of the other one (amazon-ecs-agent,
    /// `hasDependencyTimedOut`).
    fn gives_up(&self, container: &TaskContainer) -> Option<(Instant, usize)> {
        let waits = container.depends_on.iter().filter(|on| on.condition != Condition::Start);
        let gives_up = |on: &ContainerDependency| match self.stages.get(on.container) {
            Some(Stage::Begun { started_at: Some(at), .. }) => {
                let limit = self.containers.get(on.container)?.start_timeout_ms?;
                Some((*at + milliseconds(limit), on.container))
            }
            _ => None,
        };
        waits.filter_map(gives_up).min()
    }

    /// When [`Self::pass_deadlines`] has something to do next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines =
            self.stages.iter().zip(self.containers).filter_map(|(stage, container)| match stage {
                Stage::Waiting => self.gives_up(container).map(|(at, _)| at),
                Stage::Begun { kill_at, .. } => *kill_at,
                Stage::Ended { .. } => None,
            });
        deadlines.min()
    }

    /// Kills the containers that have had their time to end, and gives up those that have waited
    /// for too long.
    pub(super) fn pass_deadlines(&mut self, now: Instant) {
        for stage in &mut self.stages {
            if let Stage::Begun { signals, kill_at: Some(at), .. } = stage
                && *at <= now
            {
                let _ = signals.send(Signal::SIGKILL);
                *at = now + KILL_AGAIN_AFTER;
            }
        }
        for (index, container) in self.containers.iter().enumerate() {
            if !matches!(self.stages.get(index), Some(Stage::Waiting)) {
                continue;
            }
            if let Some((_, other)) = self.gives_up(container).filter(|(at, _)| *at <= now) {
                let limit = self.containers.get(other).and_then(|other| other.start_timeout_ms);
                let why = format!(
                    "DependencyError: container {} has waited for {}, which did not end within {} seconds \
                     (startTimeout)",
                    container.name,
                    self.name(other),
                    limit.unwrap_or(0) / 1000
                );
                self.give_up(index, why, now);
            }
        }
    }

    /// The end of the task is that of the essential container that ended first.
    pub(super) fn outcome(mut self) -> Outcome {
        let mut lost_output = Vec::new();
        let mut deciding = Outcome::default();
        let mut containers = Vec::new();
        for (index, (stage, container)) in self.stages.into_iter().zip(self.containers).enumerate() {
            let (started, mut outcome) = match stage {
                Stage::Ended { started, outcome } => (started, outcome),
                Stage::Waiting | Stage::Begun { .. } => (false, Outcome::default()),
            };
            let name = &container.name;
            lost_output.extend(outcome.lost_output.take().map(|lost| format!("{name}: {lost}")));
            if self.deciding == Some(index)
                && let Some(lost) = self.lost.take()
            {
                outcome = lost;
            }
            let (exit_code, reason) = (outcome.exit_code, outcome.reason.clone());
            containers.push(ContainerEnd { started, exit_code, reason, output: None });
            if self.deciding == Some(index) {
                deciding = outcome;
            }
        }
        let lost_output = (!lost_output.is_empty()).then(|| lost_output.join("; "));
        Outcome { lost_output, containers, ..deciding }
    }
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerCreateBody;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn container(name: &str, essential: bool, depends_on: &[(usize, Condition)]) -> TaskContainer {
        let depends_on = depends_on.iter();
        TaskContainer {
            name: name.to_owned(),
            essential,
            depends_on: depends_on
                .map(|(container, condition)| ContainerDependency {
                    container: *container,
                    condition: *condition,
                })
                .collect(),
            start_timeout_ms: None,
            stop_timeout_ms: 5000,
            log: String::new(),
            with_login: false,
            body: ContainerCreateBody::default(),
        }
    }

    /// Begins all containers that can, and returns their names and where their signals arrive.
    fn begin(progress: &mut TaskProgress<'_>, now: Instant) -> Vec<(String, UnboundedReceiver<Signal>)> {
        let mut begun = Vec::new();
        while let Some((index, container)) = progress.next_ready(now) {
            let (signals, received) = unbounded_channel();
            progress.begun(index, signals);
            begun.push((container.name.clone(), received));
        }
        begun
    }

    fn names(begun: &[(String, UnboundedReceiver<Signal>)]) -> Vec<&str> {
        begun.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn exit(code: i32) -> Outcome {
        Outcome { exit_code: Some(code), ..Outcome::default() }
    }

    #[test]
    fn containers_start_when_the_others_are_where_they_have_to_be() {
        let containers = [
            container("main", true, &[(1, Condition::Start), (2, Condition::Success)]),
            container("side", false, &[(2, Condition::Complete)]),
            container("setup", false, &[]),
        ];
        let (mut progress, now) = (TaskProgress::new(&containers), Instant::now());
        assert_eq!(names(&begin(&mut progress, now)), ["setup"]);
        assert!(!progress.started(2, now));
        assert!(begin(&mut progress, now).is_empty());
        progress.ended(2, exit(0), now);
        assert_eq!(names(&begin(&mut progress, now)), ["side"]);
        assert!(!progress.started(1, now));
        assert_eq!(names(&begin(&mut progress, now)), ["main"]);
        // The task runs once.
        assert!(progress.started(0, now));
        assert!(!progress.started(0, now));
    }

    #[test]
    fn the_first_essential_end_is_that_of_the_task_and_stops_the_others() {
        let containers = [
            container("one", true, &[]),
            container("two", true, &[]),
            container("last", false, &[(1, Condition::Start)]),
        ];
        let (mut progress, now) = (TaskProgress::new(&containers), Instant::now());
        let mut begun = begin(&mut progress, now);
        assert_eq!(names(&begun), ["one", "two"]);
        progress.started(0, now);
        progress.ended(1, exit(3), now);
        assert_eq!(begun[0].1.try_recv(), Ok(Signal::SIGTERM));
        // The one that waits never starts, and the one that stays is killed in the end.
        assert!(begin(&mut progress, now).is_empty() && !progress.is_over());
        let due = progress.next_deadline().unwrap();
        assert_eq!(due, now + Duration::from_secs(5));
        progress.pass_deadlines(now);
        assert!(begun[0].1.try_recv().is_err());
        progress.pass_deadlines(due);
        assert_eq!(begun[0].1.try_recv(), Ok(Signal::SIGKILL));
        progress.ended(0, exit(137), due);
        assert!(progress.is_over());
        let outcome = progress.outcome();
        assert_eq!(outcome.exit_code, Some(3));
        let ends: Vec<_> = outcome.containers.iter().map(|end| (end.started, end.exit_code)).collect();
        assert_eq!(ends, [(true, Some(137)), (false, Some(3)), (false, None)]);
    }

    #[test]
    fn one_that_waits_for_a_failure_is_given_up() {
        let containers = [
            container("main", true, &[(1, Condition::Success)]),
            container("check", false, &[(2, Condition::Success)]),
            container("setup", false, &[]),
        ];
        let (mut progress, now) = (TaskProgress::new(&containers), Instant::now());
        assert_eq!(begin(&mut progress, now).len(), 1);
        progress.started(2, now);
        progress.ended(2, exit(4), now);
        // The second falls with the third, and the first with the second.
        assert!(begin(&mut progress, now).is_empty() && progress.is_over());
        let outcome = progress.outcome();
        let why = "DependencyError: container main waits for check, which did not succeed";
        assert_eq!((outcome.exit_code, outcome.reason.as_deref()), (None, Some(why)));
        assert_eq!(outcome.containers[2].exit_code, Some(4));
    }

    #[test]
    fn the_time_to_wait_is_that_of_the_other_container_from_its_start_on() {
        let limited = |name: &str, on: &[(usize, Condition)]| TaskContainer {
            start_timeout_ms: Some(2000),
            ..container(name, on.len() == 1, on)
        };
        let containers = [limited("main", &[(1, Condition::Complete)]), limited("setup", &[])];
        let (mut progress, now) = (TaskProgress::new(&containers), Instant::now());
        let begun = begin(&mut progress, now);
        // Pulling its image does not count.
        assert_eq!((begun.len(), progress.next_deadline()), (1, None));
        let later = now + Duration::from_secs(60);
        progress.started(1, later);
        let due = progress.next_deadline().unwrap();
        assert_eq!(due, later + Duration::from_secs(2));
        progress.pass_deadlines(later);
        assert!(!progress.is_stopping);
        progress.pass_deadlines(due);
        progress.ended(1, exit(143), due);
        let why = progress.outcome().reason.unwrap();
        assert!(why.contains("main has waited for setup, which did not end within 2 seconds"), "{why}");
    }

    #[test]
    fn a_task_that_loses_its_network_is_killed_and_lost() {
        let containers = [container("side", false, &[]), container("main", true, &[])];
        let now = Instant::now();
        let gone = || Outcome { lost: true, reason: Some("gone".to_owned()), ..Outcome::default() };
        let mut progress = TaskProgress::new(&containers);
        let mut begun = begin(&mut progress, now);
        progress.started(0, now);
        progress.started(1, now);
        progress.lose(gone(), now);
        for (index, (_, signals)) in begun.iter_mut().enumerate() {
            assert_eq!(signals.try_recv(), Ok(Signal::SIGTERM));
            assert_eq!(signals.try_recv(), Ok(Signal::SIGKILL));
            progress.ended(index, exit(137), now);
        }
        assert!(progress.is_over());
        let outcome = progress.outcome();
        assert_eq!((outcome.lost, outcome.exit_code, outcome.reason.as_deref()), (true, None, Some("gone")));
        let ends: Vec<_> = outcome.containers.iter().map(|end| (end.started, end.exit_code)).collect();
        assert_eq!(ends, [(true, Some(137)), (true, None)]);

        // The end that came before it counts.
        let mut progress = TaskProgress::new(&containers);
        begin(&mut progress, now);
        progress.started(1, now);
        progress.ended(1, exit(3), now);
        progress.lose(gone(), now);
        progress.ended(0, exit(137), now);
        let outcome = progress.outcome();
        assert_eq!((outcome.lost, outcome.exit_code), (false, Some(3)));
    }

    #[test]
    fn a_task_that_is_stopped_before_its_containers_start_is_over() {
        let containers = [container("main", true, &[])];
        let mut progress = TaskProgress::new(&containers);
        progress.stop(Instant::now());
        assert!(progress.is_over());
        assert_eq!(progress.outcome().exit_code, None);
    }
}
