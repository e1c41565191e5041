//! Compatibility with scripts for Slurm and LSF: their variables, and the programs `srun` and
//! `scontrol`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::packed_inputs::PackedInputs;
use awsb_model::directives::SlurmShape;
use awsb_model::payload::BundleEntry;
use awsb_model::payload::launcher::{bare, bare_with, set};
use awsb_model::{JobName, JobSpec, Program, ResolvedJob, ResolvedShape, SignalTo};

const NUMBER: &str = include_str!("compat/number.sh");
const SLURM: &str = include_str!("compat/slurm.sh");
const HOSTS: &str = include_str!("compat/hosts.sh");
const SIGNAL: &str = include_str!("compat/signal.sh");
const SCONTROL: &str = include_str!("compat/scontrol.sh");
const SRUN: &str = include_str!("compat/srun.sh");
const IDLE: &str = include_str!("compat/idle.sh");
const LSF: &str = include_str!("compat/lsf.sh");

/// The path of `srun` in the bundle. It is not in `.awsb`, which is removed before the script runs.
const SRUN_FILE: &str = ".awsb-slurm/srun";
/// The path of `scontrol` in the bundle.
const SCONTROL_FILE: &str = ".awsb-slurm/scontrol";
/// A file in the folder that `SLURM_TMPDIR` names, so that unpacking makes the folder.
const TMPDIR_FILE: &str = ".awsb-slurm/tmp/.awsb";
/// The variable with the signal that `srun` sends to its tasks before the time is up.
const STEP_SIGNAL: &str = "AWSB_STEP_SIGNAL";

/// The part of the start script that sets the variables: Slurm's (sbatch(1), OUTPUT ENVIRONMENT
/// VARIABLES) for a script with `#SBATCH` lines, LSF's (`lsf_config_ref`, Environment variables set
/// for job execution) for one with `#BSUB` lines.
pub(super) fn prelude(job: &ResolvedJob) -> OsString {
    let spec = &job.spec;
    let mut text = OsString::new();
    if spec.slurm.is_none() && spec.lsf.is_none() {
        return text;
    }
    for (name, value) in constants(job) {
        text.push("export ");
        set(&mut text, name, OsStr::new(&value));
    }
    let needs = needs(&job.shape);
    text.push(bare_with(HOSTS, &needs));
    text.push(bare_with(NUMBER, &needs));
    if spec.slurm.is_some() {
        set(&mut text, "_ac", OsStr::new(&vcpus(spec).map(|n| n.to_string()).unwrap_or_default()));
        text.push(bare_with(SLURM, &needs));
    }
    if let Some(shape) = &spec.lsf {
        let nodes = nodes(&job.shape);
        set(&mut text, "_ac", OsStr::new(&shape.slots.div_ceil(nodes).to_string()));
        set(&mut text, "_as", OsStr::new(&shape.slots.to_string()));
        text.push(bare_with(LSF, &needs));
    }
    if let ResolvedShape::Nodes(_) = job.shape {
        text.push(bare(IDLE));
    }
    if let (Some(signal), Some(timeout)) = (&spec.signal, spec.timeout) {
        if signal.to == SignalTo::Steps {
            text.push("export ");
            set(&mut text, STEP_SIGNAL, OsStr::new(&signal.option));
        }
        let who = match signal.to {
            SignalTo::Script => "script",
            SignalTo::Steps => "steps",
            SignalTo::All => "all",
        };
        set(&mut text, "_ai", OsStr::new(&signal.option));
        set(
            &mut text,
            "_an",
            OsStr::new(&timeout.seconds().saturating_sub(signal.seconds_before).to_string()),
        );
        set(&mut text, "_at", OsStr::new(who));
        text.push(bare(SIGNAL));
    }
    text
}

/// The vCPUs of a node as a whole number, if the job sets them.
fn vcpus(spec: &JobSpec) -> Option<u32> {
    // A number of vCPUs is small. On Fargate it can be a fraction.
    spec.resources.vcpus.map(|vcpus| vcpus.count().ceil() as u32)
}

/// The number of the job's nodes.
fn nodes(shape: &ResolvedShape) -> u32 {
    match shape {
        ResolvedShape::Nodes(nodes) => nodes.count.max(1),
        ResolvedShape::Single | ResolvedShape::Array(_) => 1,
    }
}

/// The job's name as its script has it, if the job still has that name. Batch accepts fewer
/// characters.
fn given_name(spec: &JobSpec) -> &str {
    let given = spec.given_name.as_deref().filter(|given| {
        let name = given.split_once('[').map_or(*given, |(name, _)| name);
        [*given, name].iter().any(|name| JobName::cleaned(name) == spec.name)
    });
    given.unwrap_or(spec.name.as_str())
}

/// The number of tasks of the whole job. If the command line sets the number of nodes, each node
/// has as many tasks as the script asks for.
fn tasks(shape: &SlurmShape, nodes: u32) -> u32 {
    let per_node = shape.ntasks_per_node.unwrap_or(1);
    match shape.nodes.checked_mul(per_node) {
        Some(ntasks) if ntasks == shape.ntasks => nodes.saturating_mul(per_node),
        _ => shape.ntasks,
    }
}

/// The number of tasks on each node, as Slurm writes it: `2(x3)`, or `3,2` if some nodes have more.
fn tasks_per_node(ntasks: u32, nodes: u32) -> String {
    let term = |tasks: u32, nodes: u32| match nodes {
        0 => None,
        1 => Some(tasks.to_string()),
        _ => Some(format!("{tasks}(x{nodes})")),
    };
    let more = ntasks % nodes;
    let parts = [term(ntasks / nodes + 1, more), term(ntasks / nodes, nodes - more)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// The variables that are known when the job is submitted.
fn constants(job: &ResolvedJob) -> Vec<(&'static str, String)> {
    let spec = &job.spec;
    let mut variables = Vec::new();
    let mut set = |name, value: Option<String>| variables.extend(value.map(|value| (name, value)));
    if let Some(shape) = &spec.slurm {
        let nodes = nodes(&job.shape);
        let ntasks = tasks(shape, nodes);
        set("SLURM_JOB_NAME", Some(given_name(spec).to_owned()));
        set("SLURM_SUBMIT_HOST", Some(spec.submit_host.clone()));
        set("SLURM_NTASKS", Some(ntasks.to_string()));
        set("SLURM_NPROCS", Some(ntasks.to_string()));
        set("SLURM_TASKS_PER_NODE", Some(tasks_per_node(ntasks, nodes)));
        set("SLURM_NTASKS_PER_NODE", shape.ntasks_per_node.map(|n| n.to_string()));
        set("SLURM_CPUS_PER_TASK", shape.cpus_per_task.map(|n| n.to_string()));
        let memory = spec.resources.memory.filter(|_| shape.mem_per_cpu.is_none());
        set("SLURM_MEM_PER_NODE", memory.map(|m| m.to_string()));
        set("SLURM_MEM_PER_CPU", shape.mem_per_cpu.map(|m| m.to_string()));
        if let Some(gpus) = spec.resources.gpus {
            set("SLURM_GPUS_ON_NODE", Some(gpus.to_string()));
            set("SLURM_GPUS", Some(gpus.saturating_mul(nodes).to_string()));
            let ids: Vec<String> = (0..gpus.min(64)).map(|id| id.to_string()).collect();
            set("SLURM_JOB_GPUS", Some(ids.join(",")));
        }
    }
    if let Some(shape) = &spec.lsf {
        set("LSB_JOBNAME", Some(given_name(spec).to_owned()));
        set("LSB_SUB_HOST", Some(spec.submit_host.clone()));
        set("LSB_PROJECT_NAME", Some("default".to_owned()));
        set("LSB_DJOB_NUMPROC", Some(shape.slots.to_string()));
        set("LSB_MAX_NUM_PROCESSORS", Some(shape.slots.to_string()));
    }
    variables
}

/// The names of the sections that the job needs. Other sections between `# only: NAME` and `# end`
/// are not sent.
fn needs(shape: &ResolvedShape) -> Vec<&'static str> {
    match shape {
        ResolvedShape::Nodes(_) => vec!["one", "nodes"],
        ResolvedShape::Array(_) => vec!["tasks"],
        ResolvedShape::Single => vec!["one"],
    }
}

/// The programs that a script with `#SBATCH` lines gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Programs {
    /// All programs, if there is space for them.
    All,
    /// Only the programs that the job mentions, if there is little space.
    Mentioned,
}

/// The files for a script with `#SBATCH` lines: `srun`, `scontrol`, and a file that makes the
/// folder of `SLURM_TMPDIR`. A request has little space, so `scontrol` is sent only if the job
/// mentions it. `None` if the job mentions `srun`: then [`Programs::Mentioned`] would give the same
/// files as [`Programs::All`].
pub(super) fn files(job: &ResolvedJob, mentions: &Mentions<'_>, files: Programs) -> Option<Vec<File>> {
    let spec = &job.spec;
    let program = |path, text, needs: &[_]| File {
        path,
        mode: 0o755,
        text: format!("#!/bin/sh\n{}", bare_with(text, needs)),
    };
    if spec.slurm.is_none() {
        return (files == Programs::All).then(Vec::new);
    }
    let mut found = vec![File { path: TMPDIR_FILE, mode: 0o600, text: String::new() }];
    if files == Programs::All {
        let mut needs = needs(&job.shape);
        needs.push(if mentions.may_have_patterns() { "patterns" } else { "plain names" });
        if spec.signal.as_ref().is_some_and(|signal| signal.to == SignalTo::Steps) {
            needs.push("signal");
        }
        found.push(program(SRUN_FILE, SRUN, &needs));
    } else if mentions.contain("srun") {
        return None;
    }
    if mentions.contain("scontrol") {
        found.push(program(SCONTROL_FILE, SCONTROL, &[]));
    }
    Some(found)
}

/// The texts of a job that can mention a program, because they are programs or can be read by one.
#[derive(Debug)]
pub(super) struct Mentions<'a> {
    spec: &'a JobSpec,
    lines: &'a [u8],
    inputs: &'a PackedInputs,
}

impl<'a> Mentions<'a> {
    pub(super) fn new(spec: &'a JobSpec, lines: Option<&'a [u8]>, inputs: &'a PackedInputs) -> Self {
        Self { spec, lines: lines.unwrap_or_default(), inputs }
    }

    /// Whether a word is in one of the texts.
    fn contain(&self, word: &str) -> bool {
        self.any(|text| text.windows(word.len()).any(|window| window == word.as_bytes()))
    }

    /// Whether one of the texts may have file names for `srun` with patterns such as `%j`. The
    /// patterns in directives are not `srun`'s.
    fn may_have_patterns(&self) -> bool {
        self.any(|text| {
            let mut lines = text.split(|b| *b == b'\n');
            lines.any(|line| {
                !line.starts_with(b"#SBATCH") && !line.starts_with(b"#BSUB") && may_have_pattern(line)
            })
        })
    }

    /// Whether one of the texts fits. Large inputs are not read, so they count as fitting.
    fn any(&self, has: impl Fn(&[u8]) -> bool) -> bool {
        let in_program = match &self.spec.program {
            Program::Script { script, args } => {
                has(script.contents()) || args.iter().any(|arg| has(arg.as_bytes()))
            }
            Program::Command(argv) => argv.iter().any(|arg| has(arg.as_bytes())),
        };
        in_program
            || has(self.lines)
            || self.spec.environment.iter().any(|(_, value)| has(value.as_bytes()))
            || matches!(self.inputs, PackedInputs::Large(..))
            || has(self.inputs.records())
    }
}

/// Whether a line has a `%` before a letter that `srun` replaces, or before something that may
/// become such a letter.
fn may_have_pattern(line: &[u8]) -> bool {
    let mut behind = line.split(|b| *b == b'%').skip(1).peekable();
    while let Some(text) = behind.next() {
        match text.iter().find(|b| !b.is_ascii_digit()) {
            Some(b) if !b"AaJjNnstux$\"'\\{`".contains(b) => {}
            // `%%`, or the end of the line.
            None if behind.peek().is_none() && text.is_empty() => {}
            _ => return true,
        }
    }
    false
}

/// A file of the bundle.
#[derive(Debug)]
pub(super) struct File {
    path: &'static str,
    mode: u32,
    text: String,
}

impl File {
    pub(super) fn entry(&self) -> BundleEntry<'_> {
        BundleEntry { path: self.path, mode: self.mode, contents: self.text.as_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_seen() {
        for with in ["srun -o a.%t x", "%j", "-o %3t", "%%", "x%$y", "\"%\"t", "${f%t*}", "printf '%s'", "%5"]
        {
            assert!(may_have_pattern(with.as_bytes()), "{with}");
        }
        for without in ["", "%", "${f%.gz}", "date +%F-%T", "+%Y%m%d", "%02d %.2f", "a b"] {
            assert!(!may_have_pattern(without.as_bytes()), "{without}");
        }
    }

    #[test]
    fn tasks_per_node_as_slurm_writes_them() {
        for (ntasks, nodes, expected) in [
            (1, 1, "1"),
            (4, 1, "4"),
            (6, 3, "2(x3)"),
            (7, 2, "4,3"),
            (7, 3, "3,2(x2)"),
            (8, 3, "3(x2),2"),
            (2, 3, "1(x2),0"),
        ] {
            assert_eq!(tasks_per_node(ntasks, nodes), expected, "{ntasks} on {nodes}");
        }
    }
}
