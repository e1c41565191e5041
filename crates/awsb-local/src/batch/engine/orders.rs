//! What a runner has to know of an attempt.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Engine;
use crate::access::keys::Place as KeyPlace;
use crate::batch::container;
use crate::batch::model::JobKey;
use crate::batch::request::Spec;
use crate::batch::state::Job;
use crate::containers::Place;
use crate::logs;
use crate::runner::protocol::{KILL_AFTER_MS, Order, Run};

impl Engine {
    /// What a runner has to know of the attempt that a job is in. A container needs a `place`: without
    /// one there is no order yet, and what is needed is prepared.
    pub(super) fn order_to_run(
        &mut self,
        key: JobKey,
        place: Option<&Result<Arc<Place>, String>>,
    ) -> rusqlite::Result<Option<Order>> {
        let spec = self.spec(key)?;
        let Some(job) = self.state.job(key) else { return Ok(None) };
        let Some(current) = &job.current else { return Ok(None) };
        let (parent_id, spec) = (&spec.0, &spec.1);
        let node = node_index(job);
        let contained = container::is_contained(spec.container(node));
        let main_node = job.node().and_then(|(parent, _, main)| self.state.job(parent.child(main)));
        if contained && place.is_none() {
            self.unprepared.insert(current.runner.clone());
            self.containers.prepare();
            return Ok(None);
        }
        let place_of_key = if contained { KeyPlace::Container } else { KeyPlace::Host };
        let credentials = self.conditions.keys.of_attempt(&current.task, place_of_key);
        // What the job itself sets comes later and wins.
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), credentials.secret_access_key),
        ];
        environment.extend(spec.environment(node));
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        set("AWS_BATCH_JQ_NAME", job.terms.line.queue.clone());
        if let Some(room) = &job.room {
            set("AWS_BATCH_CE_NAME", room.environment.clone());
            // A container sees its own GPUs only, and the engine says which these are.
            if !room.gpus.is_empty() && !contained {
                let gpus: Vec<String> = room.gpus.iter().map(u32::to_string).collect();
                // What CUDA reads, and what NVIDIA's container runtime and ECS set.
                set("CUDA_VISIBLE_DEVICES", gpus.join(","));
                set("NVIDIA_VISIBLE_DEVICES", gpus.join(","));
            }
        }
        let id = match (job.child, &job.terms.nodes) {
            (None, _) => parent_id.clone(),
            (Some((_, index)), Some(_)) => format!("{parent_id}#{index}"),
            (Some((_, index)), None) => format!("{parent_id}:{index}"),
        };
        set("AWS_BATCH_JOB_ID", id.clone());
        match (job.child, &job.terms.nodes) {
            (None, _) => {}
            (Some((_, index)), Some(nodes)) => {
                set("AWS_BATCH_JOB_NODE_INDEX", index.to_string());
                set("AWS_BATCH_JOB_NUM_NODES", nodes.count().to_string());
                set("AWS_BATCH_JOB_MAIN_NODE_INDEX", nodes.main.to_string());
                // Processes are all on this machine. A container that had no address has ended, and so has
                // its job.
                let address = match main_node {
                    Some(main) if contained => main.address,
                    _ => Some(Ipv4Addr::LOCALHOST),
                };
                if let Some(address) = address.filter(|_| index != nodes.main) {
                    set("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", address.to_string());
                }
            }
            (Some((parent, index)), None) => {
                set("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string());
                let size = self.state.job(parent).and_then(|p| p.children).map_or(0, |c| c.size());
                set("AWS_BATCH_JOB_ARRAY_SIZE", size.to_string());
            }
        }
        set("AWS_BATCH_JOB_ATTEMPT", job.attempts.to_string());
        let mut command = spec.command(node);
        let container = place.filter(|_| contained).map(|place| {
            let attempt = container::Attempt {
                job_id: &id,
                task: &current.task,
                again: job.attempts > 1,
                command: std::mem::take(&mut command),
                environment: std::mem::take(&mut environment),
                gpus: job.room.as_ref().map(|room| room.gpus.as_slice()).unwrap_or_default(),
                main_node: main_node.and_then(|main| main.last_task.as_ref()),
            };
            Box::new(container::order(
                spec.container(node),
                attempt,
                place.as_deref().map_err(String::as_str),
            ))
        });
        Ok(Some(Order::Run(Box::new(Run {
            task: current.task.clone(),
            job: id,
            attempt: job.attempts,
            command,
            environment,
            limits: spec.limits(node),
            container,
            log: logs::file_of(spec.log_group(node), &spec.log_stream(node, current.task.as_str())),
            // User Guide, job-lifecycle: the timeout of a multi-node job "applies to the whole job and not
            // to the nodes", and its end is the main node's.
            timeout_ms: job
                .terms
                .timeout_s
                .filter(|_| job.node().is_none_or(|(_, index, main)| index == main))
                .map(|s| i64::from(s) * 1000),
            kill_after_ms: KILL_AFTER_MS,
        }))))
    }

    /// The ID of a job (of the parent, for a child) and what it does.
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
}

/// The index of a multi-node job's node.
pub(super) fn node_index(job: &Job) -> Option<u32> {
    job.node().map(|(_, index, _)| index)
}
