//! What is known of a job that does not run, and of what it waits for.
//!
//! All times are in milliseconds since the epoch. What could not be read is `None`, and [`Facts::unseen`] says so.

use awsb_model::{Demand, InstanceType, Status, TaskIds};

/// Everything that was looked at for one job.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// When it was looked at.
    pub now: i64,
    /// The job itself.
    pub job: JobFacts,
    /// What it waits for.
    pub dependencies: Vec<Dependency>,
    /// Of a job that failed because another one had: that one, the one that it failed for, and so on.
    pub chain: Vec<JobFacts>,
    /// The children of an array or the nodes of an MNP job, as far as they tell something.
    pub parts: Parts,
    /// Its queue.
    pub queue: Option<Queue>,
    /// The queue's compute environments, in the order in which they are tried.
    pub environments: Vec<Environment>,
    /// The head of the queue.
    pub line: Option<Line>,
    /// Who has room in these environments now.
    pub holders: Option<Holders>,
    /// What the instance types have that the environments may start.
    pub instance_types: Option<Vec<InstanceType>>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// The last lines of the output.
    pub log: Option<LogTail>,
}

/// A job, as far as it matters here.
#[derive(Debug, Clone)]
pub struct JobFacts {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// `createdAt`.
    pub created_at: Option<i64>,
    /// When its last attempt began to run.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// How it ended, or what is said of it while it waits.
    pub end: End,
    /// Whether somebody asked for its end (`isTerminated`, `isCancelled`).
    pub ended_by_user: bool,
    /// The attempts that have ended, the oldest first.
    pub attempts: Vec<Attempt>,
    /// How often it is tried.
    pub attempts_allowed: u32,
    /// Seconds that an attempt may run.
    pub timeout: Option<u32>,
    /// What its container, or the largest of its nodes, asks for.
    pub demand: Option<Demand>,
    /// vCPUs of all nodes of an MNP job together.
    pub all_vcpus: Option<f64>,
    /// The image.
    pub image: Option<String>,
    /// Whether it runs on the machine on which this is asked.
    pub runs_here: bool,
    /// The share that it belongs to.
    pub share: Option<String>,
    /// The number of children, for an array's parent.
    pub size: Option<u32>,
    /// The number of nodes, for an MNP job's parent.
    pub nodes: Option<u32>,
    /// The index of the main node, for an MNP job's parent.
    pub main_node: u32,
    /// Its task, for a child whose task is not its index.
    pub task: Option<u32>,
    /// The tasks of the children, for an array's parent whose children's tasks are not their indices.
    pub tasks: Option<TaskIds>,
}

impl Default for JobFacts {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            status: Status::Submitted,
            created_at: None,
            started_at: None,
            stopped_at: None,
            end: End::default(),
            ended_by_user: false,
            attempts: Vec::new(),
            attempts_allowed: 1,
            timeout: None,
            demand: None,
            all_vcpus: None,
            image: None,
            runs_here: false,
            share: None,
            size: None,
            nodes: None,
            main_node: 0,
            task: None,
            tasks: None,
        }
    }
}

impl JobFacts {
    /// How people call it: ID and name, and its task where that is not its index.
    pub fn called(&self) -> String {
        match self.task {
            Some(task) => format!("{} ({}, task {task})", self.id, self.name),
            None => format!("{} ({})", self.id, self.name),
        }
    }

    /// vCPUs of all of it: of an MNP job's nodes together. `demand` is that of its container.
    pub fn vcpus(&self, demand: Demand) -> f64 {
        self.all_vcpus.unwrap_or_else(|| demand.vcpus * f64::from(self.nodes.unwrap_or(1)))
    }

    /// The index of a child or a node.
    pub fn part(&self) -> Option<u32> {
        self.id.split_once([':', '#'])?.1.parse().ok()
    }
}

/// What Batch says of an end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// `statusReason`.
    pub status_reason: Option<String>,
    /// The container's `reason`.
    pub reason: Option<String>,
    /// The container's `exitCode`.
    pub exit_code: Option<i32>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// When it began to run; `None` when it never did.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// How.
    pub end: End,
}

/// A job that is waited for.
#[derive(Debug, Clone, Default)]
pub struct Dependency {
    /// Its ID: for `N_TO_N` and `SEQUENTIAL` the child's.
    pub id: String,
    /// What Batch knows of it; it forgets ended jobs after some days.
    pub job: Option<JobFacts>,
}

/// The children of an array or the nodes of an MNP job.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// How many are in which state.
    pub counts: Vec<(Status, u32)>,
    /// Those that failed, by index.
    pub failed: Vec<JobFacts>,
    /// Why the first of those that wait does so.
    pub first_waiting: Option<Box<Facts>>,
}

/// A job queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub ready: Ready,
    /// Whether it has a scheduling policy: its jobs do not run in the order in which they came.
    pub has_policy: bool,
    /// After how many seconds Batch cancels a job that blocks it, by the blocking's code
    /// (`jobStateTimeLimitActions`).
    pub limits: Vec<(String, u32)>,
    /// Queues that share its environments and are served first.
    pub ahead: Vec<String>,
}

/// Whether a queue or an environment can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ready {
    /// It can.
    #[default]
    Yes,
    /// Somebody has disabled it.
    Disabled,
    /// `INVALID`, and why.
    Invalid(Option<String>),
    /// `CREATING`, `UPDATING`, `DELETING`, `DELETED`, and AWS's words.
    Changing(String, Option<String>),
}

/// What an environment's machines are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// EC2 instances that Batch starts.
    #[default]
    Ec2,
    /// Spot instances that Batch starts.
    Spot,
    /// Fargate, on Spot or not.
    Fargate,
    /// Instances that somebody else starts.
    Unmanaged,
}

/// A compute environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// What its machines are.
    pub kind: Kind,
    /// Whether it can be used.
    pub ready: Ready,
    /// The most vCPUs that it may have; an unmanaged one has no such limit.
    pub max_vcpus: Option<u32>,
    /// The vCPUs of the instances that Batch has, or is about to have.
    pub desired_vcpus: Option<u32>,
    /// Types (`c5.xlarge`), families (`c5`), `optimal`, `default_x86_64`, `default_arm64`.
    pub instance_types: Vec<String>,
    /// The command that sets how many vCPUs it may have (`--vcpus N`), where Batch does not.
    pub grown_by: Option<String>,
    /// The command that sets what its machines have (`--vcpus N`, `--memory SIZE`, `--gpus N`), where no instance
    /// types do.
    pub machines_grown_by: Option<String>,
    /// The name of its ECS cluster.
    pub cluster: Option<String>,
    /// The instances that have joined that cluster.
    pub machines: Option<Vec<Machine>>,
}

/// An instance in an ECS cluster, and what of it is free.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    /// The EC2 instance's ID.
    pub id: String,
    /// `ACTIVE`, `DRAINING`, …
    pub status: String,
    /// Whether its agent is connected.
    pub connected: bool,
    /// What it has for tasks.
    pub registered: Demand,
    /// What of that is free.
    pub free: Demand,
}

/// The head of a queue (API `GetJobQueueSnapshot`).
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// The IDs of the first RUNNABLE jobs, at most 100.
    pub jobs: Vec<String>,
    /// The first of them.
    pub head: Option<JobFacts>,
    /// How many RUNNABLE jobs of the queue were submitted before this one, when it is not among the first; a
    /// listing has no children of arrays, so there may be more.
    pub before: Option<usize>,
    /// vCPUs in use by share, the largest first.
    pub shares: Vec<(String, f64)>,
}

/// The jobs that have room now.
#[derive(Debug, Clone, Default)]
pub struct Holders {
    /// Those that were looked at.
    pub jobs: Vec<Holder>,
    /// Whether there are more.
    pub more: bool,
}

/// A job that is STARTING or RUNNING.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holder {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its vCPUs.
    pub vcpus: f64,
    /// The name of the ECS cluster in which it runs.
    pub cluster: Option<String>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// What: `the queue q`.
    pub what: String,
    /// The permission that is missing, if it is that.
    pub permission: Option<String>,
    /// What was said instead.
    pub why: String,
}

/// The last lines of a job's output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTail {
    /// Whose output it is: the job's own, a child's or a node's.
    pub job_id: String,
    /// The lines, and when each was printed.
    pub lines: Vec<(Option<i64>, String)>,
    /// The log stream, when the job names one and it is not there.
    pub missing: Option<String>,
}
