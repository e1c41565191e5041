//! The containers of a job: the one of an ordinary job, several of an ECS task (`ecsProperties`),
//! or those of a pod on EKS (`eksProperties`).
//!
//! A job of several containers has a main one, which is the first essential container. It stands
//! for the job wherever one container is shown.

use super::job::{Attempt, Job};
use super::task::{AttemptContainer, Container, EksPod};
use awsb_model::Status;

/// The name of a container without a name, as Batch's log streams have it (UG
/// `using_cloudwatch_logs`: `JOB_DEFINITION/default/TASK`).
pub const UNNAMED: &str = "default";

/// The log stream of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStream {
    /// The stream's name.
    pub name: String,
    /// The log group, when the job definition names one.
    pub group: Option<String>,
    /// The container's name, in a task or a pod.
    pub container: Option<String>,
}

/// The name under which a container is shown.
pub fn shown_name(name: Option<&str>) -> &str {
    name.filter(|name| !name.is_empty()).unwrap_or(UNNAMED)
}

/// The exit codes of a container that was stopped together with its task: SIGTERM and SIGKILL.
const STOPPED: [i32; 2] = [143, 137];

/// The words in the reason of a container that was killed for its memory: of the ECS agent, and of
/// Kubernetes. Its exit code is that of a container that was stopped.
const OUT_OF_MEMORY: [&str; 2] = ["OutOfMemory", "OOMKilled"];

/// The end of a container: its exit code and its reason.
pub(super) type End<'a> = (Option<i32>, Option<&'a str>);

/// The container whose end was the end of its task, of containers that are all essential. Batch
/// does not tell which one it was. The task of an attempt that has succeeded ended with one that
/// did. Else one that failed by itself counts before one that was stopped, and that before one that
/// succeeded.
pub(super) fn deciding<T>(essential: &[T], has_succeeded: bool, end: impl Fn(&T) -> End<'_>) -> Option<&T> {
    let by_itself = |container: &&T| match end(container) {
        (Some(code), _) if code != 0 && !STOPPED.contains(&code) => true,
        (Some(_), Some(reason)) => OUT_OF_MEMORY.iter().any(|words| reason.contains(words)),
        // One without an exit code and without a reason never was to start.
        (None, Some(reason)) => !reason.is_empty(),
        (_, None) => false,
    };
    let failed = |container: &&T| end(container).0.is_some_and(|code| code != 0);
    let succeeded = |container: &&T| end(container).0 == Some(0);
    let found = match has_succeeded {
        true => essential.iter().find(succeeded),
        false => essential.iter().find(by_itself).or_else(|| essential.iter().find(failed)),
    };
    found.or_else(|| essential.first())
}

impl Attempt {
    /// The containers of a task or a pod; none for a job of one container.
    pub fn containers(&self) -> Vec<&AttemptContainer> {
        let of_tasks = self.task_properties.iter().flat_map(|task| &task.containers);
        let of_pod = self.pod.iter().flat_map(|pod| pod.init_containers.iter().chain(&pod.containers));
        of_tasks.chain(of_pod).collect()
    }
}

impl Job {
    /// The containers of its task or its pod; none for a job of one container
    /// (`containerProperties`).
    pub fn task_containers(&self) -> Vec<&Container> {
        let tasks = self.ecs_properties.iter().flat_map(|ecs| &ecs.task_properties);
        let pod = self.eks_properties.iter().filter_map(|eks| eks.pod_properties.as_ref());
        let of_pod = pod.flat_map(|pod| pod.init_containers.iter().chain(&pod.containers));
        tasks.flat_map(|task| &task.containers).chain(of_pod).collect()
    }

    /// The names of its containers, or of those of its nodes; none for a job of one container
    /// (`containerProperties`), which has no name.
    pub fn container_names(&self) -> Vec<&str> {
        let own = self.task_containers().into_iter().map(|container| shown_name(container.name.as_deref()));
        let ranges = self.node_properties.iter().flat_map(|nodes| &nodes.node_range_properties).flatten();
        let mut names: Vec<&str> = Vec::new();
        for name in own.chain(ranges.flat_map(|range| &range.container_names).map(String::as_str)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether it consists of several containers, whose lines are to be told apart.
    pub fn has_several_containers(&self) -> bool {
        self.task_containers().len() > 1
    }

    /// The pod of its last attempt.
    pub fn pod(&self) -> Option<&EksPod> {
        self.eks_properties.as_ref()?.pod_properties.as_ref()
    }

    /// Whether a container of its pods has no log stream that is known.
    pub fn lacks_pod_streams(&self) -> bool {
        let of_pod = self.pod().into_iter().flat_map(|pod| pod.init_containers.iter().chain(&pod.containers));
        let of_attempts = self.attempts.iter().flatten().filter_map(|attempt| attempt.pod.as_ref());
        let of_attempts = of_attempts.flat_map(|pod| pod.init_containers.iter().chain(&pod.containers));
        of_pod
            .map(|container| &container.log_stream_name)
            .chain(of_attempts.map(|container| &container.log_stream_name))
            .any(Option::is_none)
    }

    /// The container whose end was the end of the job, as far as it is known, or the main one.
    fn deciding_container(&self) -> Option<&Container> {
        let containers = self.task_containers();
        if containers.is_empty() || !self.status.has_ended() {
            return self.container.as_ref();
        }
        let essential: Vec<&Container> = containers.into_iter().filter(|c| c.is_essential()).collect();
        let has_succeeded = self.status == Status::Succeeded;
        deciding(&essential, has_succeeded, |c| (c.exit_code, c.reason.as_deref())).copied()
    }

    /// The container that runs the job's command, which need not be the main one (`--container`).
    pub fn own_container(&self) -> Option<&Container> {
        let submitted = self.task_containers().into_iter().find(|container| container.is_submitted);
        submitted.or_else(|| self.main_container())
    }

    /// The image of its container, or of the one that ended the task.
    pub fn container_image(&self) -> Option<&str> {
        self.deciding_container()?.image.as_deref()
    }

    /// The containers of a job of several that could not be started, beside the one that ended the
    /// task: their names and reasons.
    pub fn other_unstarted(&self) -> Vec<(&str, &str)> {
        let deciding = self.deciding_container().and_then(|container| container.name.as_deref());
        let containers = self.task_containers().into_iter().filter(|_| self.has_several_containers());
        let unstarted = containers.filter_map(|container| {
            let reason = container.reason.as_deref().filter(|reason| !reason.is_empty())?;
            let is_other = container.exit_code.is_none() && container.name.as_deref() != deciding;
            is_other.then(|| (shown_name(container.name.as_deref()), reason))
        });
        unstarted.collect()
    }

    /// The exit code of its container, or of the one that ended the task.
    pub fn container_exit_code(&self) -> Option<i32> {
        self.deciding_container()?.exit_code
    }

    /// The exit code of the last attempt.
    pub fn exit_code(&self) -> Option<i32> {
        self.container_exit_code().or_else(|| self.attempts.as_ref()?.last()?.container.exit_code)
    }

    /// The reason for the end of its container, or of the one that ended the task.
    pub fn container_reason(&self) -> Option<&str> {
        self.deciding_container()?.reason.as_deref()
    }

    /// The name of the log stream of its container, or of the one that ended the task.
    pub fn main_log_stream(&self) -> Option<&str> {
        self.deciding_container()?.log_stream_name.as_deref()
    }

    /// The log streams of the last attempt as the job itself names them.
    fn last_streams(&self) -> Vec<ContainerStream> {
        let containers = self.task_containers();
        if containers.is_empty() {
            let own = self.container.as_ref().and_then(|c| c.log_stream_name.as_ref());
            return own.map(|name| self.stream_of(None, name)).into_iter().collect();
        }
        let named = containers.iter().filter_map(|c| Some((c.name.as_deref(), c.log_stream_name.as_ref()?)));
        named.map(|(container, name)| self.stream_of(container, name)).collect()
    }

    fn streams_of_attempt(&self, attempt: &Attempt) -> Vec<ContainerStream> {
        let containers = attempt.containers();
        if containers.is_empty() {
            let own = attempt.container.log_stream_name.as_ref();
            return own.map(|name| self.stream_of(None, name)).into_iter().collect();
        }
        let named = containers.iter().filter_map(|c| Some((c.name.as_deref(), c.log_stream_name.as_ref()?)));
        named.map(|(container, name)| self.stream_of(container, name)).collect()
    }

    fn stream_of(&self, container: Option<&str>, name: &str) -> ContainerStream {
        let containers = self.task_containers();
        let own = containers.iter().find(|c| c.name.as_deref() == container).copied();
        // The job's own log configuration names the group (API `ContainerDetail` and
        // `TaskContainerDetails`, logConfiguration).
        let group = own.or(self.container.as_ref()).and_then(|c| c.log_group.clone());
        let shown = (!containers.is_empty()).then(|| shown_name(container).to_owned());
        ContainerStream { name: name.to_owned(), group, container: shown }
    }

    /// The number of attempts that have begun, as far as it is known.
    pub fn attempts_begun(&self) -> u32 {
        let ended = self.attempts.as_deref().unwrap_or_default();
        u32::try_from(ended.len()).unwrap_or(u32::MAX).saturating_add(u32::from(self.is_in_new_attempt()))
    }

    /// Whether the job's own log streams are of an attempt that has not ended.
    fn is_in_new_attempt(&self) -> bool {
        let ended: Vec<ContainerStream> =
            self.attempts.iter().flatten().flat_map(|attempt| self.streams_of_attempt(attempt)).collect();
        self.last_streams().iter().any(|last| ended.iter().all(|stream| stream.name != last.name))
    }

    /// The log streams of its attempts, the oldest first; those of the last one may still be
    /// written. With a number, which counts from 1, those of one attempt.
    pub fn streams(&self, attempt: Option<u32>) -> Vec<ContainerStream> {
        let ended = self.attempts.as_deref().unwrap_or_default();
        if let Some(number) = attempt {
            let at = number.checked_sub(1).and_then(|at| usize::try_from(at).ok());
            return match at.map(|at| (at, ended.get(at))) {
                Some((_, Some(attempt))) => self.streams_of_attempt(attempt),
                Some((at, None)) if at == ended.len() && self.is_in_new_attempt() => self.last_streams(),
                _ => Vec::new(),
            };
        }
        let mut streams: Vec<ContainerStream> =
            ended.iter().flat_map(|attempt| self.streams_of_attempt(attempt)).collect();
        for last in self.last_streams() {
            if streams.iter().all(|stream| stream.name != last.name) {
                streams.push(last);
            }
        }
        streams
    }

    /// Whether it has a log stream.
    pub fn has_streams(&self) -> bool {
        !self.streams(None).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::{AttemptTask, EcsProperties, EcsTask};
    use super::*;

    #[test]
    fn the_container_that_failed_by_itself_decides() {
        let decided =
            |ends: &[(Option<i32>, Option<&'static str>)]| deciding(ends, false, |end| *end).copied();
        let code = |code: i32| (Some(code), None);
        assert_eq!(decided(&[code(143), code(3)]), Some(code(3)));
        assert_eq!(decided(&[code(0), code(137)]), Some(code(137)));
        assert_eq!(decided(&[code(0), code(0)]), Some(code(0)));
        assert_eq!(decided(&[(None, None), code(0)]), Some((None, None)));
        assert_eq!(decided(&[]), None);
        // Others fail because of one that was killed for its memory, or never started.
        let killed = (Some(137), Some("OutOfMemoryError: Container killed due to memory usage"));
        assert_eq!(decided(&[killed, code(1)]), Some(killed));
        let lacks_image = (None, Some("CannotPullContainerError: no such image"));
        assert_eq!(decided(&[(None, None), lacks_image]), Some(lacks_image));
        assert_eq!(decided(&[code(143), lacks_image]), Some(lacks_image));
    }

    #[test]
    fn a_container_that_succeeded_decides_a_job_that_did() {
        let decided = |codes: &[i32]| {
            let codes = codes.iter().map(|code| (Some(*code), None)).collect::<Vec<_>>();
            deciding(&codes, true, |end| *end).and_then(|end| end.0)
        };
        assert_eq!(decided(&[143, 0]), Some(0));
        assert_eq!(decided(&[0, 1]), Some(0));
        // Batch says that it succeeded, whatever the containers say.
        assert_eq!(decided(&[143, 137]), Some(143));
        let mut job = Job::submitted("j".to_owned(), "n".to_owned(), None);
        job.status = Status::Succeeded;
        let of = |name: &str, code| Container { exit_code: Some(code), ..container(name, Some(name)) };
        let task = EcsTask { containers: vec![of("watcher", 143), of("main", 0)], ..EcsTask::default() };
        job.ecs_properties = Some(EcsProperties { task_properties: vec![task] });
        assert_eq!((job.exit_code(), job.main_log_stream()), (Some(0), Some("main")));
    }

    fn container(name: &str, stream: Option<&str>) -> Container {
        Container {
            name: Some(name.to_owned()),
            log_stream_name: stream.map(str::to_owned),
            ..Container::default()
        }
    }

    #[test]
    fn streams_of_all_attempts_and_of_one() {
        let mut job = Job::submitted("j".to_owned(), "n".to_owned(), None);
        let of_attempt = |name: &str, stream: &str| AttemptContainer {
            name: Some(name.to_owned()),
            log_stream_name: Some(stream.to_owned()),
            ..AttemptContainer::default()
        };
        let ended = vec![of_attempt("main", "m1"), of_attempt("side", "s1")];
        let task = AttemptTask { containers: ended, ..AttemptTask::default() };
        job.attempts = Some(vec![Attempt { task_properties: vec![task], ..Attempt::default() }]);
        let now = vec![container("main", Some("m2")), container("side", None)];
        let task = EcsTask { containers: now, ..EcsTask::default() };
        job.ecs_properties = Some(EcsProperties { task_properties: vec![task] });
        let names = |attempt| {
            let streams = job.streams(attempt).into_iter();
            streams.map(|s| format!("{}={}", s.container.unwrap_or_default(), s.name)).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["main=m1", "side=s1", "main=m2"]);
        assert_eq!(names(Some(1)), ["main=m1", "side=s1"]);
        assert_eq!(names(Some(2)), ["main=m2"]);
        assert_eq!((names(Some(3)).len(), names(Some(0)).len(), job.attempts_begun()), (0, 0, 2));
    }
}
