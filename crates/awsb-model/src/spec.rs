//! The job as the user describes it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::directives::{LsfShape, SharedConsumption, SlurmShape};
use super::{
    Awaited, Consumption, Dependency, EarlySignal, EnvVars, JobName, Memory, OutputGlob, Priority, Retries,
    Script, Shape, Share, TaskLines, Timeout, Vcpus,
};

/// A job before its cluster is known. `None` leaves a value to the job definition.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// The name.
    pub name: JobName,
    /// The script or command.
    pub program: Program,
    /// The working directory.
    pub place: WorkDir,
    /// The standard input.
    pub stdin: Stdin,
    /// The results to store.
    pub outputs: Vec<OutputGlob>,
    /// The lines of the array's tasks.
    pub lines: Option<TaskLines>,
    /// The environment variables, in addition to those of the job definition.
    pub environment: EnvVars,
    /// The resources of each container.
    pub resources: Resources,
    /// One container, or many.
    pub shape: Shape,
    /// The consumable resources that each instance takes, in addition to those of the job
    /// definition.
    pub consumes: Vec<Consumption>,
    /// The consumable resources that all nodes take together.
    pub shared: Vec<SharedConsumption>,
    /// The number of an array's tasks that may run at the same time.
    pub limit: Option<u32>,
    /// The jobs that must succeed first, as the user names them.
    pub depends_on: Vec<Dependency<Awaited>>,
    /// The number of attempts, and the ends after which the job is retried.
    pub retries: Retries,
    /// The time limit of an attempt.
    pub timeout: Option<Timeout>,
    /// The position in the queue, and the tags.
    pub scheduling: Scheduling,
    /// Whether a plain command starts without the launcher.
    pub bare: bool,
    /// The layout in a script's `#SBATCH` lines. Such a script finds Slurm's variables and `srun`.
    pub slurm: Option<SlurmShape>,
    /// The layout in a script's `#BSUB` lines. Such a script finds LSF's variables.
    pub lsf: Option<LsfShape>,
    /// The name in the script, unchanged.
    pub given_name: Option<String>,
    /// The host name of the submitter's machine.
    pub submit_host: String,
    /// The signal that a script's directives ask for before its time is up.
    pub signal: Option<EarlySignal>,
}

/// The script or command of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A script of the submitter, which is staged for the job.
    Script {
        /// The script.
        script: Script,
        /// The arguments of the script.
        args: Vec<OsString>,
    },
    /// A command in the image with its arguments. It is never empty.
    Command(Vec<OsString>),
}

/// The working directory of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WorkDir {
    /// An empty directory for this job. A plain command without inputs has the image's.
    #[default]
    Own,
    /// This directory. It is created if necessary.
    In(OsString),
    /// A directory `job-ID` in this one.
    Below(OsString),
}

/// The standard input of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stdin {
    /// The job has no standard input.
    #[default]
    Nothing,
    /// A file that is staged, without any input files.
    Alone,
    /// A file that is staged together with input files.
    BesideInputs,
}

/// The resources of a container. `None` leaves a value to the job definition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// The vCPUs.
    pub vcpus: Option<Vcpus>,
    /// The memory.
    pub memory: Option<Memory>,
    /// The GPUs.
    pub gpus: Option<u32>,
}

/// The position of a job in its queue, and its tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// The priority within its share.
    pub priority: Option<Priority>,
    /// The share identifier in the queue's scheduling policy.
    pub share: Option<Share>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// Whether the tags are copied to its ECS task.
    pub propagate_tags: bool,
    /// Values for the `Ref::` placeholders of the job definition.
    pub parameters: BTreeMap<String, String>,
}

impl JobSpec {
    /// A job with a name and a program, and without any options.
    pub fn new(name: JobName, program: Program) -> Self {
        Self {
            name,
            program,
            place: WorkDir::default(),
            stdin: Stdin::default(),
            outputs: Vec::new(),
            lines: None,
            environment: EnvVars::default(),
            resources: Resources::default(),
            shape: Shape::default(),
            consumes: Vec::new(),
            shared: Vec::new(),
            limit: None,
            depends_on: Vec::new(),
            retries: Retries::default(),
            timeout: None,
            scheduling: Scheduling::default(),
            bare: false,
            slurm: None,
            lsf: None,
            given_name: None,
            submit_host: "localhost".to_owned(),
            signal: None,
        }
    }
}
