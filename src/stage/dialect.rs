//! What a script that was written for another cluster finds in its job: that cluster's variables, and `srun`.

use std::ffi::{OsStr, OsString};

use super::bundle::Entry;
use super::launcher::{bare, set};
use crate::job::JobSpec;

const NUMBER: &str = include_str!("launcher/number.sh");
const SLURM: &str = include_str!("launcher/slurm.sh");
const SRUN: &str = include_str!("launcher/srun.sh");
const IDLE: &str = include_str!("launcher/idle.sh");
const LSF: &str = include_str!("launcher/lsf.sh");

/// Where `srun` is in the bundle. Not in `.awsb`, which is gone when the script runs.
const SRUN_FILE: &str = ".awsb-slurm/srun";

/// What sets the variables, for the start: Slurm's (sbatch(1), OUTPUT ENVIRONMENT VARIABLES) for a
/// script with `#SBATCH` lines, LSF's (`lsf_config_ref`, Environment variables set for job execution) for one
/// with `#BSUB` lines.
pub(super) fn prelude(spec: &JobSpec) -> OsString {
    let mut text = OsString::new();
    for (name, value) in constants(spec) {
        text.push("export ");
        set(&mut text, name, OsStr::new(&value));
    }
    if spec.slurm.is_some() || spec.lsf.is_some() {
        text.push(bare(NUMBER));
    }
    if spec.slurm.is_some() {
        text.push(bare(SLURM));
    }
    if spec.lsf.is_some() {
        text.push(bare(LSF));
    }
    if spec.slurm.is_some() || spec.lsf.is_some() {
        text.push(bare(IDLE));
    }
    text
}

/// The variables that are known when the job is submitted.
fn constants(spec: &JobSpec) -> Vec<(&'static str, String)> {
    let mut variables = Vec::new();
    let mut set = |name, value: Option<String>| variables.extend(value.map(|value| (name, value)));
    if let Some(shape) = &spec.slurm {
        set("SLURM_JOB_NAME", Some(spec.name.to_string()));
        set("SLURM_NTASKS", Some(shape.ntasks.to_string()));
        set("SLURM_NPROCS", Some(shape.ntasks.to_string()));
        set("SLURM_NTASKS_PER_NODE", shape.ntasks_per_node.map(|n| n.to_string()));
        set("SLURM_CPUS_PER_TASK", shape.cpus_per_task.map(|n| n.to_string()));
        set("SLURM_CPUS_ON_NODE", spec.resources.vcpus.map(|v| v.to_string()));
        set("SLURM_MEM_PER_NODE", spec.resources.memory.map(|m| m.to_string()));
        set("SLURM_GPUS_ON_NODE", spec.resources.gpus.map(|g| g.to_string()));
    }
    if let Some(shape) = &spec.lsf {
        set("LSB_JOBNAME", Some(spec.name.to_string()));
        set("LSB_DJOB_NUMPROC", Some(shape.slots.to_string()));
        set("LSB_MAX_NUM_PROCESSORS", Some(shape.slots.to_string()));
    }
    variables
}

/// The text of `srun`, for a script with `#SBATCH` lines.
pub(super) fn srun(spec: &JobSpec) -> Option<String> {
    spec.slurm.map(|_| format!("#!/bin/sh\n{}", bare(SRUN)))
}

/// `srun` as a file of the bundle.
pub(super) fn srun_entry(text: &str) -> Entry<'_> {
    Entry { path: SRUN_FILE, mode: 0o755, contents: text.as_bytes() }
}
