//! The evidence about a job that does not run, and about the resources that it waits for.
//!
//! All times are in milliseconds since the epoch. Values that could not be read are `None`, and
//! [`Evidence::unseen`] names them.

use awsb_model::{Demand, InstanceType, Status, TaskIds};

/// All evidence about one job.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// When the evidence was gathered.
    pub now: i64,
    /// The job itself.
    pub job: ObservedJob,
    /// The jobs that it waits for.
    pub dependencies: Vec<Dependency>,
    /// If the job failed because of another one: that one, the one that it failed for, and so on.
    pub chain: Vec<ObservedJob>,
    /// The children of an array or the nodes of an MNP job, as far as they are relevant.
    pub parts: Parts,
    /// The queue of the job.
    pub queue: Option<Queue>,
    /// The compute environments of the queue, in the order in which Batch tries them.
    pub environments: Vec<ComputeEnvironment>,
    /// The order of jobs at the head of the queue.
    pub queue_order: Option<QueueOrder>,
    /// The consumable resources of this job, and of the job at the head of the queue.
    pub consumables: Vec<ConsumableSupply>,
    /// The jobs that are placed in these environments now.
    pub placed_jobs: Option<PlacedJobs>,
    /// The resources of the instance types that the environments may start.
    pub instance_types: Option<Vec<InstanceType>>,
    /// The evidence that could not be read.
    pub unseen: Vec<MissingEvidence>,
    /// The last lines of the output.
    pub log: Option<LogTail>,
}

/// The parts of a job that are evidence.
#[derive(Debug, Clone)]
pub struct ObservedJob {
    /// The ID.
    pub id: String,
    /// The name.
    pub name: String,
    /// The state.
    pub status: Status,
    /// `createdAt`.
    pub created_at: Option<i64>,
    /// When its last attempt began to run.
    pub started_at: Option<i64>,
    /// When the job ended.
    pub stopped_at: Option<i64>,
    /// How the job ended, or Batch's status reason while it waits.
    pub end: End,
    /// Whether a user has asked for its end (`isTerminated`, `isCancelled`).
    pub ended_by_user: bool,
    /// The attempts that have ended, the oldest first.
    pub attempts: Vec<Attempt>,
    /// The number of attempts that it may have.
    pub attempts_allowed: u32,
    /// The number of seconds that an attempt may run.
    pub timeout: Option<u32>,
    /// The resources that its container asks for, the containers of its task together, or the
    /// largest of its nodes.
    pub demand: Option<Demand>,
    /// The vCPUs of all nodes of an MNP job together.
    pub all_vcpus: Option<f64>,
    /// The vCPUs of the containers of its task beside the one whose size options change.
    pub vcpus_beside: f64,
    /// The consumable resources that it takes, by name: as a whole for an MNP job.
    pub consumes: Vec<(String, u64)>,
    /// The image: of a job of several containers that has ended, that of the one that ended it.
    pub image: Option<String>,
    /// Other containers of its task that could not be started, with the reasons.
    pub unstarted: Vec<(String, String)>,
    /// Whether the job runs on this machine.
    pub runs_here: bool,
    /// Whether it is a process of this machine, without an image or a container.
    pub is_process: bool,
    /// The share identifier.
    pub share: Option<String>,
    /// The number of children, for an array's parent.
    pub size: Option<u32>,
    /// The number of nodes, for an MNP job's parent.
    pub nodes: Option<u32>,
    /// The index of the main node, for an MNP job's parent.
    pub main_node: u32,
    /// The task of a child, if it differs from the index.
    pub task: Option<u32>,
    /// The tasks of an array's children, if they differ from the indices.
    pub tasks: Option<TaskIds>,
}

impl Default for ObservedJob {
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
            vcpus_beside: 0.0,
            consumes: Vec::new(),
            image: None,
            unstarted: Vec::new(),
            runs_here: false,
            is_process: false,
            share: None,
            size: None,
            nodes: None,
            main_node: 0,
            task: None,
            tasks: None,
        }
    }
}

impl ObservedJob {
    /// The job in messages: ID and name, and the task if it differs from the index.
    pub fn called(&self) -> String {
        match self.task {
            Some(task) => format!("{} ({}, task {task})", self.id, self.name),
            None => format!("{} ({})", self.id, self.name),
        }
    }

    /// The vCPUs of the whole job. For an MNP job, these are of all nodes together, and `demand` is
    /// that of one container.
    pub fn vcpus(&self, demand: Demand) -> f64 {
        self.all_vcpus.unwrap_or_else(|| demand.vcpus * f64::from(self.nodes.unwrap_or(1)))
    }

    /// The index of a child or a node.
    pub fn part(&self) -> Option<u32> {
        self.id.split_once([':', '#'])?.1.parse().ok()
    }
}

/// How much there is of a consumable resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumableSupply {
    /// The name.
    pub name: String,
    /// The quantities. `None`: there is no such resource.
    pub quantities: Option<ConsumableQuantities>,
}

/// The quantities of a consumable resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumableQuantities {
    /// The total quantity.
    pub total: u64,
    /// The quantity that jobs hold.
    pub in_use: u64,
    /// The quantity that jobs can have now.
    pub available: u64,
    /// Whether a job gives back what it has taken.
    pub is_replenishable: bool,
}

/// Batch's description of an end.
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
    /// When it began to run. `None`: it never did.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// How it ended.
    pub end: End,
}

/// A job that another one waits for.
#[derive(Debug, Clone, Default)]
pub struct Dependency {
    /// The ID. For `N_TO_N` and `SEQUENTIAL` it is that of the child.
    pub id: String,
    /// The job. `None`: Batch does not know it; it forgets ended jobs after some days.
    pub job: Option<ObservedJob>,
}

/// The children of an array or the nodes of an MNP job.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The number of parts in each state.
    pub counts: Vec<(Status, u32)>,
    /// The parts that failed, by index.
    pub failed: Vec<ObservedJob>,
    /// The evidence about the first part that waits.
    pub first_waiting: Option<Box<Evidence>>,
}

/// A job queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// The name.
    pub name: String,
    /// Whether the queue can be used.
    pub ready: Availability,
    /// Whether the queue has a scheduling policy. Its jobs then do not run in the order of
    /// submission.
    pub has_policy: bool,
    /// The number of seconds after which Batch cancels a job that blocks the queue, by the code of
    /// the blocking (`jobStateTimeLimitActions`).
    pub limits: Vec<(String, u32)>,
    /// Queues that share its environments and are served first.
    pub ahead: Vec<String>,
    /// The stack of the cluster of `bcluster` that it belongs to.
    pub stack: Option<String>,
}

/// Whether a queue or an environment can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Availability {
    /// It can be used.
    #[default]
    Yes,
    /// A user has disabled it.
    Disabled,
    /// It is `INVALID`, for this reason.
    Invalid(Option<String>),
    /// It is `CREATING`, `UPDATING`, `DELETING` or `DELETED`, with AWS's message.
    Changing(String, Option<String>),
}

/// The kind of an environment's machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ComputeKind {
    /// EC2 instances that Batch starts.
    #[default]
    Ec2,
    /// Spot instances that Batch starts.
    Spot,
    /// Fargate, on Spot or not.
    Fargate,
    /// ECS Managed Instances: instances that ECS chooses and starts.
    ManagedInstances,
    /// Instances that Batch does not start.
    Unmanaged,
}

/// A compute environment.
#[derive(Debug, Clone, Default)]
pub struct ComputeEnvironment {
    /// The name.
    pub name: String,
    /// The kind of its machines.
    pub kind: ComputeKind,
    /// Whether the environment can be used.
    pub ready: Availability,
    /// The stack of the cluster of `bcluster` that it belongs to.
    pub stack: Option<String>,
    /// The maximum of vCPUs. An unmanaged environment has none.
    pub max_vcpus: Option<u32>,
    /// The vCPUs of the instances that Batch has or is starting.
    pub desired_vcpus: Option<u32>,
    /// Types (`c5.xlarge`), families (`c5`), `optimal`, `default_x86_64`, `default_arm64`.
    pub instance_types: Vec<String>,
    /// The command that sets the number of vCPUs (`--vcpus N`), if Batch does not manage it.
    pub grown_by: Option<String>,
    /// The command that sets the resources of its machines (`--vcpus N`, `--memory SIZE`, `--gpus
    /// N`), if there are no instance types.
    pub machines_grown_by: Option<String>,
    /// The name of its ECS cluster.
    pub cluster: Option<String>,
    /// The instances that have joined that cluster.
    pub machines: Option<Vec<Machine>>,
}

/// An instance in an ECS cluster, and its free resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    /// The EC2 instance's ID.
    pub id: String,
    /// `ACTIVE`, `DRAINING`, …
    pub status: String,
    /// Whether its agent is connected.
    pub connected: bool,
    /// The resources that it has for tasks.
    pub registered: Demand,
    /// The free resources.
    pub free: Demand,
}

/// The order of jobs at the head of a queue (API `GetJobQueueSnapshot`).
#[derive(Debug, Clone, Default)]
pub struct QueueOrder {
    /// The IDs of the first RUNNABLE jobs, at most 100.
    pub jobs: Vec<String>,
    /// The first of them.
    pub head: Option<ObservedJob>,
    /// How many RUNNABLE jobs of the queue were submitted before this one, if this one is not among
    /// the first. A listing does not have children of arrays, so there may be more.
    pub before: Option<usize>,
    /// The vCPUs in use by share, the largest first.
    pub shares: Vec<(String, f64)>,
}

/// The jobs that are placed now.
#[derive(Debug, Clone, Default)]
pub struct PlacedJobs {
    /// The jobs that were read.
    pub jobs: Vec<PlacedJob>,
    /// Whether there are more.
    pub more: bool,
}

/// A job that is STARTING or RUNNING.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlacedJob {
    /// The ID.
    pub id: String,
    /// The name.
    pub name: String,
    /// The vCPUs.
    pub vcpus: f64,
    /// The name of the ECS cluster in which it runs.
    pub cluster: Option<String>,
}

/// Evidence that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingEvidence {
    /// The name of the evidence: `the queue q`.
    pub what: String,
    /// The missing permission, if that is the reason.
    pub permission: Option<String>,
    /// The reason.
    pub why: String,
}

/// The last lines of a job's output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTail {
    /// The job that printed it: the job itself, a child or a node.
    pub job_id: String,
    /// The lines, each with the time at which it was printed.
    pub lines: Vec<(Option<i64>, String)>,
    /// The log stream, if the job names one that does not exist.
    pub missing: Option<String>,
}
