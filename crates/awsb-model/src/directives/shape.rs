//! The layout of a job in the words of Slurm and of LSF.

/// The layout of a Slurm job, for its script's `SLURM_*` variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlurmShape {
    /// Tasks of the whole job (`--ntasks`).
    pub ntasks: u32,
    /// CPUs of each task (`--cpus-per-task`), if given.
    pub cpus_per_task: Option<u32>,
    /// Tasks on each node (`--ntasks-per-node`), if given.
    pub ntasks_per_node: Option<u32>,
    /// Nodes, at least 1.
    pub nodes: u32,
    /// Memory of each CPU in MiB (`--mem-per-cpu`), if given.
    pub mem_per_cpu: Option<u64>,
}

/// The layout of an LSF job, for its script's `LSB_*` variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LsfShape {
    /// Slots of the whole job (`-n`), at least 1.
    pub slots: u32,
}
