//! What `#SBATCH` lines come to, in `bsub`'s own options.

use std::ffi::OsStr;
use std::str::FromStr;

use super::super::{At, Directives};
use super::Key;
use crate::job::tasks::NO_LIMIT;
use crate::job::{DependencyArg, EnvArg, Invalid, JobName, Memory, TaskIds, WallTime};

/// Why a file for the output cannot be named.
pub(super) const OUTPUT: &str = "a job's output, standard error too, goes to CloudWatch; `bout` shows it";

/// How a Slurm job is laid out, for its script's `SLURM_*` variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlurmShape {
    /// Tasks of the whole job (`--ntasks`).
    pub ntasks: u32,
    /// CPUs of each task (`--cpus-per-task`), where it was said.
    pub cpus_per_task: Option<u32>,
    /// Tasks on each node (`--ntasks-per-node`), where it was said.
    pub ntasks_per_node: Option<u32>,
    /// Nodes, at least 1.
    pub nodes: u32,
}

/// A value and where it was said.
type Said<T> = Option<(T, At)>;

/// What was said so far of what has to be seen as a whole; a later line replaces an earlier one.
#[derive(Debug, Default)]
pub struct Job {
    ntasks: Said<u32>,
    cpus_per_task: Said<u32>,
    ntasks_per_node: Said<u32>,
    nodes: Said<u32>,
    mem: Said<Memory>,
    mem_per_cpu: Said<Memory>,
    mem_per_gpu: Said<Memory>,
    gpus: Said<u32>,
    gpus_per_node: Said<u32>,
    gpus_per_task: Said<u32>,
    cpus_per_gpu: Said<u32>,
    told_of_output: bool,
}

impl Job {
    /// Takes what one option says.
    pub fn take(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) {
        if let Err(invalid) = self.try_take(key, value, at, found) {
            found.refuse(at, invalid.to_string());
        }
    }

    fn try_take(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        let here = |number| Some((number, at.clone()));
        match key {
            Key::Ntasks => self.ntasks = here(count(value)?),
            Key::CpusPerTask => self.cpus_per_task = here(count(value)?),
            Key::NtasksPerNode => self.ntasks_per_node = here(count(value)?),
            Key::CpusPerGpu => self.cpus_per_gpu = here(count(value)?),
            // `2-4` is content with 2, `2,4` with the first.
            Key::Nodes => self.nodes = here(count(value.split([',', '-', ':']).next().unwrap_or_default())?),
            Key::Mem => self.mem = memory(value, at, found)?,
            Key::MemPerCpu => self.mem_per_cpu = memory(value, at, found)?,
            Key::MemPerGpu => self.mem_per_gpu = memory(value, at, found)?,
            Key::Gpus => self.gpus = here(gpus(value, at, found)?),
            Key::GpusPerNode => self.gpus_per_node = here(gpus(value, at, found)?),
            Key::GpusPerTask => self.gpus_per_task = here(gpus(value, at, found)?),
            Key::Gres => {
                if let Some(number) = gres(value, at, found)? {
                    self.gpus_per_node = here(number);
                }
            }
            Key::Output if self.told_of_output => {}
            Key::Output => {
                self.told_of_output = true;
                found.warn(at, OUTPUT);
            }
            Key::JobName => found.say(at, [format!("--job-name={}", JobName::cleaned(value).as_str())]),
            Key::Array => {
                let (ids, limit) = value.split_once('%').map_or((value, None), |(i, l)| (i, Some(l)));
                found.say(at, [format!("--array={}", ids.parse::<TaskIds>()?)]);
                if limit.is_some() {
                    found.warn(at, NO_LIMIT);
                }
            }
            Key::Time => {
                // No limit is what a job has anyway.
                if value.parse::<WallTime>()?.seconds().is_some() {
                    found.say(at, [format!("--time={value}")]);
                }
            }
            Key::Dependency => found.say(at, [dependencies(value)?]),
            Key::Partition => {
                let mut names = value.split(',');
                found.say(at, [format!("--queue={}", names.next().unwrap_or_default())]);
                if names.next().is_some() {
                    found.warn(at, "Batch takes one queue for a job: the first");
                }
            }
            Key::Chdir => found.say(at, [format!("--working-dir={value}")]),
            Key::Export => {
                let words = export(value)?;
                if !words.is_empty() {
                    found.say(at, words);
                }
            }
            Key::Comment => found.say(at, [format!("--tag=comment={}", tag_value(value))]),
            Key::Requeue => found.say(at, ["--retry-on=spot"]),
            Key::Wait => found.say(at, ["--wait"]),
        }
        Ok(())
    }

    /// Says what the numbers come to on a node.
    pub fn finish(self, found: &mut Directives) -> SlurmShape {
        let number = |said: &Said<u32>| said.as_ref().map(|(n, _)| *n);
        let (cpus_per_task, per_node) = (number(&self.cpus_per_task), number(&self.ntasks_per_node));
        let nodes = match (number(&self.nodes), number(&self.ntasks), per_node) {
            (Some(nodes), ..) => nodes,
            (None, Some(ntasks), Some(per_node)) => ntasks.div_ceil(per_node),
            _ => 1,
        };
        // Slurm's default is a task for each node.
        let ntasks = number(&self.ntasks).unwrap_or_else(|| nodes.saturating_mul(per_node.unwrap_or(1)));
        let shape = SlurmShape { ntasks, cpus_per_task, ntasks_per_node: per_node, nodes };
        let tasks = ntasks.div_ceil(nodes);

        if nodes > 1
            && let Some((_, at)) = self.nodes.as_ref().or(self.ntasks_per_node.as_ref())
        {
            found.say(at, [format!("--nodes={nodes}")]);
        }
        let gpus = self
            .gpus_per_node
            .map(|(n, at)| (Some(n), at))
            .or(self.gpus_per_task.map(|(n, at)| (n.checked_mul(tasks), at)))
            .or(self.gpus.map(|(n, at)| (Some(n.div_ceil(nodes)), at)));
        let gpus = checked(gpus, "--gpus", found);
        let cpus = match (self.cpus_per_task, self.cpus_per_gpu, gpus) {
            (None, Some((n, at)), Some(gpus)) => Some((n.checked_mul(gpus), at)),
            (Some((n, at)), ..) => Some((n.checked_mul(tasks), at)),
            (None, ..) => self.ntasks.or(self.ntasks_per_node).map(|(_, at)| (Some(tasks), at)),
        };
        let cpus = checked(cpus, "--vcpus", found);
        let each = |said: Said<Memory>, n: Option<u32>| {
            said.map(|(m, at)| (m.mib().checked_mul(u64::from(n.unwrap_or(1))), at))
        };
        let memory = self
            .mem
            .map(|(m, at)| (Some(m.mib()), at))
            .or(each(self.mem_per_cpu, cpus))
            .or(each(self.mem_per_gpu, gpus));
        if let Some((mib, at)) = memory {
            match mib.map(|m| m.to_string()).filter(|m| m.parse::<Memory>().is_ok()) {
                Some(mib) => found.say(&at, [format!("--memory={mib}M")]),
                None => found.refuse(&at, "Batch cannot be asked for more than 2147483647 MiB"),
            }
        }
        shape
    }
}

/// Says how many of something a node has, if that is a number that somebody could mean.
fn checked(number: Option<(Option<u32>, At)>, option: &str, found: &mut Directives) -> Option<u32> {
    let (number, at) = number?;
    match number.filter(|n| *n <= 100_000) {
        // None of them is what a job has anyway.
        Some(0) => {}
        Some(n) => found.say(&at, [format!("{option}={n}")]),
        None => found.refuse(&at, "that is more than a node can have"),
    }
    number
}

/// A whole number, at least 1.
fn count(value: &str) -> Result<u32, Invalid> {
    match whole(value) {
        Some(n) if n >= 1 => Ok(n),
        _ => Err(Invalid::because(format!("'{value}' is no number from 1 on"))),
    }
}

fn whole(value: &str) -> Option<u32> {
    // Not `+1`, which `parse` takes.
    u32::from_str(value).ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()))
}

/// A size; a bare number is in MB (sbatch, `--mem`), which are MiB.
fn memory(value: &str, at: &At, found: &mut Directives) -> Result<Said<Memory>, Invalid> {
    if value == "0" {
        found.warn(at, "means all of a node's memory, which Batch cannot be asked for: say how much");
        return Ok(None);
    }
    Ok(Some((value.parse()?, at.clone())))
}

/// `[TYPE:]N`.
fn gpus(value: &str, at: &At, found: &mut Directives) -> Result<u32, Invalid> {
    let (kind, number) = match value.rsplit_once(':') {
        Some((kind, number)) => (Some(kind), number),
        // A type alone is one of it.
        None if whole(value).is_none() && value.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (Some(value), "1")
        }
        None => (None, value),
    };
    if value.contains(',') {
        return Err(Invalid::because("Batch gives a job GPUs of one type only"));
    }
    if let Some(kind) = kind {
        found.warn(
            at,
            format!("the queue's instance types decide which GPUs there are: '{kind}' is not looked at"),
        );
    }
    whole(number).ok_or_else(|| Invalid::because(format!("'{number}' is no number of GPUs")))
}

/// `gpu`, `gpu:N`, `gpu:TYPE:N`, with `gres/` or `gres:` before it; and others, which Batch does not have.
fn gres(value: &str, at: &At, found: &mut Directives) -> Result<Option<u32>, Invalid> {
    let mut number: Option<u32> = None;
    for one in value.split(',').filter(|one| !one.eq_ignore_ascii_case("none")) {
        let bare = one.strip_prefix("gres/").or(one.strip_prefix("gres:")).unwrap_or(one);
        let more = match bare.strip_prefix("gpu") {
            Some("") => 1,
            Some(rest) if rest.starts_with([':', '=']) => gpus(&rest[1..], at, found)?,
            _ => {
                found.warn(at, format!("Batch knows no resource '{bare}', only GPUs"));
                continue;
            }
        };
        number = Some(number.unwrap_or(0).saturating_add(more));
    }
    Ok(number)
}

/// `afterok:ID:ID,aftercorr:ID`, which `--depends-on` takes as it is.
fn dependencies(value: &str) -> Result<String, Invalid> {
    let bare = |clause: &str| !clause.contains(':') && clause != "singleton";
    if value.split(',').any(bare) {
        return Err(Invalid::because(
            "an ID alone is Slurm's `afterany`, and Batch only knows `afterok`: a job waits for others to \
             succeed, and fails when one of them fails",
        ));
    }
    value.parse::<DependencyArg>()?;
    Ok(format!("--depends-on={value}"))
}

/// `ALL`, `NONE`, `NIL`, or names of variables, with or without a value.
fn export(value: &str) -> Result<Vec<String>, Invalid> {
    let mut words = Vec::new();
    for one in value.split(',').filter(|one| !one.is_empty()) {
        match one.to_ascii_uppercase().as_str() {
            "ALL" => words.push("--env=all".to_owned()),
            "NONE" | "NIL" => {}
            _ => {
                EnvArg::parse(OsStr::new(one))?;
                words.push(format!("--env={one}"));
            }
        }
    }
    Ok(words)
}

/// The nearest value that a tag can have: at most 256 letters, digits, spaces and `_.:/=+-@`
/// (Batch User Guide, `using-tags`).
fn tag_value(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    text.chars().map(|c| if allowed(c) { c } else { '-' }).take(256).collect()
}
