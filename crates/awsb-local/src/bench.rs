//! The scheduler as the benchmarks in `benches/` drive it. It is not a part of the public API.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::batch::model::{JobKey, Line, Retry, Terms};
use crate::batch::state::scheduler::{ComputeEnvironment, FairShare, Layout, Queue};
use crate::batch::state::{Current, Effect, State};
use crate::capacity::Resources;
use crate::constants::{COMPUTE_ENVIRONMENT, QUEUE};
use crate::runner::protocol::{AttemptId, Ended, RunnerId};

/// Jobs and their scheduler, without a database and without runners.
#[derive(Debug)]
pub struct Cluster {
    state: State,
    runner: RunnerId,
    shares: Option<u32>,
    next_key: i64,
    next_attempt_id: u64,
    now: i64,
    running: VecDeque<AttemptId>,
}

impl Cluster {
    /// An empty cluster with this number of vCPUs.
    pub fn new(vcpus: u32) -> Self {
        Self::with(vcpus, None)
    }

    /// The same with a fair-share policy, and jobs with this number of share identifiers.
    pub fn with_shares(vcpus: u32, shares: u32) -> Self {
        Self::with(vcpus, Some(shares.max(1)))
    }

    fn with(vcpus: u32, shares: Option<u32>) -> Self {
        let policy = shares.map(|_| FairShare { decay_ms: 60_000.0, weights: Vec::new() });
        let queue = Queue { priority: 1, environments: vec![COMPUTE_ENVIRONMENT.to_owned()], policy };
        let environment = ComputeEnvironment { enabled: true, max_vcpus: None };
        let layout = Layout {
            environments: [(COMPUTE_ENVIRONMENT.to_owned(), environment)].into(),
            queues: [(QUEUE.to_owned(), queue)].into(),
        };
        let capacity = Resources { vcpus, memory_mib: u64::from(vcpus) * 1024, gpus: 0 };
        Self {
            state: State::new(capacity, layout),
            runner: RunnerId::random(),
            shares,
            next_key: 1,
            next_attempt_id: 0,
            now: 0,
            running: VecDeque::new(),
        }
    }

    /// Submits arrays with this number of children, each in the next share.
    pub fn submit(&mut self, arrays: u32, children: u32) {
        for array in 0..arrays {
            let share = self.shares.map(|shares| format!("share{}", array % shares));
            let terms = Terms {
                resources: Resources { vcpus: 1, memory_mib: 512, gpus: 0 },
                nodes: None,
                line: Line { queue: QUEUE.to_owned(), share, priority: 0 },
                depends_on: Vec::new(),
                retry: Retry { attempts: 1, rules: Vec::new() },
                timeout_s: None,
                consumes: Vec::new(),
                doomed: None,
            };
            self.state.submit(JobKey(self.next_key), Some(children), &Arc::new(terms), &HashMap::new(), 0);
            self.next_key += 1 + i64::from(children);
        }
    }

    /// Starts the jobs for which there is room, and returns their number.
    pub fn schedule(&mut self) -> usize {
        let (next_attempt_id, runner) = (&mut self.next_attempt_id, &self.runner);
        self.state.schedule(self.now, || {
            *next_attempt_id += 1;
            Current { attempt_id: AttemptId::from(format!("{next_attempt_id:032x}")), runner: runner.clone() }
        });
        let changes = self.state.take_changes();
        let starts = changes.effects.iter().filter_map(|effect| match effect {
            Effect::Start(key) => Some(*key),
            Effect::Stop(..) => None,
        });
        let attempt_ids =
            starts.filter_map(|key| self.state.job(key)?.current.clone()).map(|current| current.attempt_id);
        let before = self.running.len();
        self.running.extend(attempt_ids);
        self.running.len() - before
    }

    /// Ends the job that has run for the longest time.
    pub fn end_one(&mut self) {
        self.now += 1;
        let Some(attempt_id) = self.running.pop_front() else { return };
        self.state.attempt_ended(&Ended {
            attempt_id,
            started_at: Some(self.now),
            at: self.now,
            exit_code: Some(0),
            reason: None,
            timed_out: false,
            lost: false,
            lost_output: None,
            output: Some(0),
            containers: Vec::new(),
        });
    }
}
