//! The order to run an attempt: everything that a runner has to know of it. Pure.

use std::net::Ipv4Addr;

use crate::access::Credentials;
use crate::batch::request::{Spec, environment_of};
use crate::batch::state::{Current, Job};
use crate::batch::{container, task_order};
use crate::containers::host::{ContainerHost, NoContainerHost};
use crate::logs;
use crate::runner::protocol::{KILL_AFTER_MS, Run};

/// An attempt that is to run, with everything that its order depends on.
#[derive(Debug)]
pub struct AttemptToRun<'a> {
    /// The job; a child or a node itself.
    pub job: &'a Job,
    /// The attempt that the job is in.
    pub current: &'a Current,
    /// The ID of the job, or of its parent.
    pub parent_id: &'a str,
    /// The job's specification.
    pub spec: &'a Spec,
    /// The main node, for a node of a multi-node job.
    pub main_node: Option<&'a Job>,
    /// How many children the array has, for a child.
    pub array_size: u32,
    /// The key pair of the attempt.
    pub credentials: Credentials,
    /// The token of the URL of the attempt's metadata.
    pub metadata_token: String,
    /// The host of its container; `None` for a process.
    pub container_host: Option<Result<&'a ContainerHost, &'a NoContainerHost>>,
}

/// Whether an attempt of a job runs in a container.
pub fn is_contained(job: &Job, spec: &Spec) -> bool {
    container::is_contained(spec.container(node_index(job)))
}

/// The index of a multi-node job's node.
pub fn node_index(job: &Job) -> Option<u32> {
    job.node().map(|(_, index, _)| index)
}

impl AttemptToRun<'_> {
    /// The order to run it.
    pub fn order(self) -> Run {
        let id = self.job_id();
        let own = self.containers();
        let mut environment = self.environment(self.spec.environment(node_index(self.job)));
        let Self { job, current, spec, container_host, main_node, metadata_token, .. } = self;
        let node = node_index(job);
        let mut command = spec.command(node);
        let container = container_host.map(|host| {
            let attempt = container::Attempt {
                job_id: &id,
                attempt_id: &current.attempt_id,
                metadata_token: &metadata_token,
                is_repeated: job.attempts > 1,
                command: std::mem::take(&mut command),
                environment: std::mem::take(&mut environment),
                gpus: job
                    .allocation
                    .as_ref()
                    .map(|allocation| allocation.gpus.as_slice())
                    .unwrap_or_default(),
                main_node: main_node.and_then(|main| main.last_attempt_id.as_ref()),
            };
            Box::new(match &spec.task {
                Some(task) => task_order::task_order(task, attempt, own, host),
                None => container::order(spec.container(node), attempt, host),
            })
        });
        let stop_timeouts =
            spec.task.iter().flat_map(|task| &task.containers).map(task_order::stop_timeout_ms);
        let kill_after_ms = stop_timeouts.max().unwrap_or(KILL_AFTER_MS);
        Run {
            attempt_id: current.attempt_id.clone(),
            job: id,
            attempt: job.attempts,
            command,
            environment,
            limits: spec.limits(node),
            container,
            log: logs::file_of(spec.log_group(node), &spec.log_stream(node, current.attempt_id.as_str())),
            // User Guide, job-lifecycle: the timeout of a multi-node job "applies to the whole job
            // and not to the nodes", and its end is the main node's.
            timeout_ms: job
                .terms
                .timeout_s
                .filter(|_| job.node().is_none_or(|(_, index, main)| index == main))
                .map(|s| i64::from(s) * 1000),
            kill_after_ms,
        }
    }

    /// The commands, variables and log streams of the containers, for a job of several.
    fn containers(&self) -> Vec<task_order::ContainerAttempt> {
        let spec = self.spec;
        let attempt_id = self.current.attempt_id.as_str();
        let containers = spec.task.iter().flat_map(|task| &task.containers);
        let own = containers.map(|of| task_order::ContainerAttempt {
            command: spec.command_of(of),
            environment: self.environment(environment_of(of)),
            log: logs::file_of(spec.group_of(of), &spec.stream_of(of, attempt_id)),
        });
        own.collect()
    }

    /// The ID of the job itself: `PARENT:INDEX` for a child, `PARENT#INDEX` for a node.
    fn job_id(&self) -> String {
        match (self.job.child, &self.job.terms.nodes) {
            (None, _) => self.parent_id.to_owned(),
            (Some((_, index)), Some(_)) => format!("{}#{index}", self.parent_id),
            (Some((_, index)), None) => format!("{}:{index}", self.parent_id),
        }
    }

    /// The variables of the attempt: its key pair, then those of the job, which win, then Batch's
    /// own.
    fn environment(&self, own: Vec<(String, String)>) -> Vec<(String, String)> {
        let (job, is_contained) = (self.job, self.container_host.is_some());
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), self.credentials.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), self.credentials.secret_access_key.clone()),
        ];
        environment.extend(own);
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        set("AWS_BATCH_JQ_NAME", job.terms.line.queue.clone());
        if let Some(allocation) = &job.allocation {
            set("AWS_BATCH_CE_NAME", allocation.environment.clone());
            // A container sees only its own GPUs, and the Docker engine says which these are.
            if !allocation.gpus.is_empty() && !is_contained {
                let gpus: Vec<String> = allocation.gpus.iter().map(u32::to_string).collect();
                // CUDA reads the first one. NVIDIA's container runtime and ECS set the second one.
                set("CUDA_VISIBLE_DEVICES", gpus.join(","));
                set("NVIDIA_VISIBLE_DEVICES", gpus.join(","));
            }
        }
        set("AWS_BATCH_JOB_ID", self.job_id());
        match (job.child, &job.terms.nodes) {
            (None, _) => {}
            (Some((_, index)), Some(nodes)) => {
                set("AWS_BATCH_JOB_NODE_INDEX", index.to_string());
                set("AWS_BATCH_JOB_NUM_NODES", nodes.count().to_string());
                set("AWS_BATCH_JOB_MAIN_NODE_INDEX", nodes.main.to_string());
                // Processes are all on this machine. A container that had no address has ended, and
                // so has its job.
                let address = match self.main_node {
                    Some(main) if is_contained => main.address,
                    _ => Some(Ipv4Addr::LOCALHOST),
                };
                if let Some(address) = address.filter(|_| index != nodes.main) {
                    set("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", address.to_string());
                }
            }
            (Some((_, index)), None) => {
                set("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string());
                set("AWS_BATCH_JOB_ARRAY_SIZE", self.array_size.to_string());
            }
        }
        set("AWS_BATCH_JOB_ATTEMPT", job.attempts.to_string());
        environment
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::batch::model::{JobKey, Nodes, Terms};
    use crate::batch::state::scheduler::Allocation;
    use crate::runner::protocol::{AttemptId, RunnerId};

    fn spec(container: Value) -> Spec {
        let Value::Object(container) = container else { panic!("not an object") };
        let mut spec = Spec { definition_name: "definition".to_owned(), ..Spec::unreadable() };
        spec.container = container;
        spec
    }

    fn process() -> Spec {
        spec(json!({
            "image": "host", "command": ["echo", "hello"],
            "environment": [{"name": "A", "value": "1"}, {"name": "AWS_ACCESS_KEY_ID", "value": "own"}],
        }))
    }

    fn job(child: Option<(JobKey, u32)>, nodes: Option<Nodes>) -> Job {
        let terms = Arc::new(Terms { nodes, timeout_s: Some(60), ..Terms::unreadable() });
        let mut job = Job::new(JobKey(7), child, &terms, awsb_model::Status::Starting);
        job.attempts = 2;
        job.allocation = Some(Allocation { environment: "ce".to_owned(), gpus: vec![0, 3] });
        job
    }

    fn order(
        job: &Job,
        spec: &Spec,
        main_node: Option<&Job>,
        container_host: Option<Result<&ContainerHost, &NoContainerHost>>,
    ) -> (Run, BTreeMap<String, String>) {
        let current = Current { attempt_id: AttemptId::from("task".to_owned()), runner: RunnerId::random() };
        let credentials =
            Credentials { access_key_id: "id".to_owned(), secret_access_key: "secret".to_owned() };
        let attempt = AttemptToRun {
            job,
            current: &current,
            parent_id: "parent",
            spec,
            main_node,
            array_size: 5,
            credentials,
            metadata_token: "token".to_owned(),
            container_host,
        };
        let variables = attempt.environment(spec.environment(node_index(job))).into_iter().collect();
        (attempt.order(), variables)
    }

    #[test]
    fn a_single_job_has_its_command_and_its_own_variables_win_over_its_key() {
        let (run, variables) = order(&job(None, None), &process(), None, None);
        assert_eq!((run.job.as_str(), run.attempt, run.timeout_ms), ("parent", 2, Some(60_000)));
        assert_eq!(run.command, ["echo", "hello"]);
        assert_eq!(run.log, logs::file_of("/aws/batch/job", "definition/default/task"));
        assert!(run.container.is_none());
        let of = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!(
            (of("A"), of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY")),
            (Some("1"), Some("own"), Some("secret"))
        );
        assert_eq!((of("AWS_BATCH_JQ_NAME"), of("AWS_BATCH_CE_NAME")), (Some("local"), Some("ce")));
        assert_eq!((of("AWS_BATCH_JOB_ID"), of("AWS_BATCH_JOB_ATTEMPT")), (Some("parent"), Some("2")));
        assert_eq!((of("CUDA_VISIBLE_DEVICES"), of("NVIDIA_VISIBLE_DEVICES")), (Some("0,3"), Some("0,3")));
        assert_eq!((of("AWS_BATCH_JOB_ARRAY_INDEX"), of("AWS_BATCH_JOB_NODE_INDEX")), (None, None));
    }

    #[test]
    fn a_child_knows_its_index_and_the_size_of_its_array() {
        let (run, variables) = order(&job(Some((JobKey(1), 3)), None), &process(), None, None);
        assert_eq!(run.job, "parent:3");
        assert_eq!(variables["AWS_BATCH_JOB_ARRAY_INDEX"], "3");
        assert_eq!(variables["AWS_BATCH_JOB_ARRAY_SIZE"], "5");
    }

    #[test]
    fn only_the_main_node_has_the_timeout_and_the_others_its_address() {
        let nodes = || Nodes { main: 0, each: vec![Default::default(); 2] };
        let mut main = job(Some((JobKey(1), 0)), Some(nodes()));
        main.address = Some([172, 18, 0, 2].into());
        let address = "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS";
        let (run, variables) = order(&main, &process(), Some(&main), None);
        assert_eq!((run.job.as_str(), run.timeout_ms), ("parent#0", Some(60_000)));
        assert_eq!(variables.get(address), None);
        let other = job(Some((JobKey(1), 1)), Some(nodes()));
        let (run, variables) = order(&other, &process(), Some(&main), None);
        assert_eq!((run.job.as_str(), run.timeout_ms), ("parent#1", None));
        assert_eq!(variables["AWS_BATCH_JOB_NUM_NODES"], "2");
        assert_eq!(variables[address], "127.0.0.1");
        let refused = NoContainerHost("no engine".to_owned());
        let (_, variables) = order(&other, &process(), Some(&main), Some(Err(&refused)));
        assert_eq!(variables[address], "172.18.0.2");
    }

    #[test]
    fn a_container_gets_command_and_variables_and_no_list_of_gpus() {
        let host = ContainerHost {
            engine: "unix:///engine".to_owned(),
            home_id: "home".to_owned(),
            network: "network".to_owned(),
            hosts: Vec::new(),
            environment: vec![("AWS_REGION".to_owned(), "us-east-1".to_owned())],
        };
        let requirements = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "4"}]);
        let spec = spec(json!({
            "image": "busybox", "command": ["echo", "hello"], "resourceRequirements": requirements,
        }));
        let (run, variables) = order(&job(None, None), &spec, None, Some(Ok(&host)));
        assert_eq!((run.command.len(), run.environment.len()), (0, 0));
        assert!(!variables.contains_key("CUDA_VISIBLE_DEVICES"));
        let container = run.container.unwrap();
        assert_eq!((container.engine.as_str(), container.again), ("unix:///engine", true));
        assert_eq!(container.body.cmd.unwrap(), ["echo", "hello"]);
        assert!(container.body.env.unwrap().contains(&"AWS_REGION=us-east-1".to_owned()));
        // A host that cannot be is the reason for which the attempt ends.
        let refused = NoContainerHost("no engine".to_owned());
        let (run, _) = order(&job(None, None), &spec, None, Some(Err(&refused)));
        assert_eq!(run.container.unwrap().refused.unwrap(), "no engine");
    }
}
