//! The job as the user says it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::directives::{LsfShape, SlurmShape};
use super::{
    Awaited, Dependency, EarlySignal, Environment, JobName, Lines, Memory, OutputGlob, Priority, Retries,
    Script, Share, Tasks, Timeout, Vcpus,
};

/// A job, before anything is known of where it will run. What is `None` is left to the job definition.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Its name.
    pub name: JobName,
    /// What it does.
    pub work: Work,
    /// Where it does it.
    pub place: Place,
    /// What it reads from its standard input.
    pub stdin: Stdin,
    /// What comes back.
    pub outputs: Vec<OutputGlob>,
    /// A line for each task of its array.
    pub lines: Option<Lines>,
    /// Its variables, on top of the job definition's.
    pub environment: Environment,
    /// What each of its containers has.
    pub resources: Resources,
    /// One container, or many.
    pub shape: Shape,
    /// The jobs that it waits for, as the user names them.
    pub depends_on: Vec<Dependency<Awaited>>,
    /// How often it is tried, and after which ends.
    pub retries: Retries,
    /// How long an attempt may run.
    pub timeout: Option<Timeout>,
    /// Its place in the queue, and its tags.
    pub scheduling: Scheduling,
    /// A plain command starts with nothing in front of it.
    pub bare: bool,
    /// The layout that a script's `#SBATCH` lines give, which then finds Slurm's variables and `srun`.
    pub slurm: Option<SlurmShape>,
    /// The layout that a script's `#BSUB` lines give, which then finds LSF's variables.
    pub lsf: Option<LsfShape>,
    /// The name that its script gives it, as it stands there.
    pub given_name: Option<String>,
    /// The machine where it is submitted.
    pub submit_host: String,
    /// The signal that a script's directives ask for before its time is up.
    pub signal: Option<EarlySignal>,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A script of the submitter's, staged for the job.
    Script {
        /// The script.
        script: Script,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// A command that the image has, and its arguments; never empty.
    Command(Vec<OsString>),
}

/// Where a job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// An empty directory of its own; for a plain command without inputs, the image's.
    #[default]
    Own,
    /// This directory, which is made if it is not there.
    In(OsString),
    /// A directory `job-ID` in this one.
    Below(OsString),
}

/// What a job reads from its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Nothing,
    /// A file that travels with it, which is all that does.
    Alone,
    /// A file that travels with its input files.
    BesideInputs,
}

/// What a container has; `None` is left to the job definition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// vCPUs.
    pub vcpus: Option<Vcpus>,
    /// Memory.
    pub memory: Option<Memory>,
    /// GPUs.
    pub gpus: Option<u32>,
}

/// One container, or many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shape {
    /// One.
    #[default]
    Single,
    /// An array of tasks: an array job, or several, or for one task a single job.
    Array(Tasks),
    /// A multi-node parallel job of this many nodes.
    Nodes(u32),
}

/// The job's place in its queue, and its tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// The priority within its share.
    pub priority: Option<Priority>,
    /// The share of the queue's scheduling policy.
    pub share: Option<Share>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether they go to its ECS task, too.
    pub propagate_tags: bool,
    /// Values for the job definition's `Ref::` places.
    pub parameters: BTreeMap<String, String>,
}

impl JobSpec {
    /// A job of which nothing but its name and work is said.
    pub fn new(name: JobName, work: Work) -> Self {
        Self {
            name,
            work,
            place: Place::default(),
            stdin: Stdin::default(),
            outputs: Vec::new(),
            lines: None,
            environment: Environment::default(),
            resources: Resources::default(),
            shape: Shape::default(),
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
