//! The job as the user says it.

use std::ffi::OsString;

use super::{ArraySize, Attempts, Environment, JobName, Memory, Script, Timeout, Vcpus};

/// A job, before anything is known of where it will run. What is `None` is left to the job definition.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Its name.
    pub name: JobName,
    /// What it does.
    pub work: Work,
    /// Its variables, on top of the job definition's.
    pub environment: Environment,
    /// vCPUs of its container.
    pub vcpus: Option<Vcpus>,
    /// Memory of its container.
    pub memory: Option<Memory>,
    /// The children, for an array job.
    pub array: Option<ArraySize>,
    /// How often it is tried.
    pub attempts: Option<Attempts>,
    /// How long an attempt may run.
    pub timeout: Option<Timeout>,
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
