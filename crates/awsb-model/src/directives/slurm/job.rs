//! Translates `#SBATCH` lines into options of awsb's `bsub`.

use std::ffi::OsStr;
use std::str::FromStr;

use super::super::input::{no_pattern, stdin};
use super::super::result::{At, Directives};
use super::super::shape::SlurmShape;
use super::table::Key;
use crate::limits;
use crate::{
    ArrayIds, Consumption, DependencyArg, EarlySignal, EnvArg, Invalid, JobName, Memory, TaskIds, WallTime,
    words,
};

/// Why a file for the output cannot be named.
pub(super) const OUTPUT: &str = "a job's output and standard error go to CloudWatch; `bout` shows them";

/// A value, and the place of its directive.
type Placed<T> = Option<(T, At)>;

/// The values so far that must be considered together. A later line replaces an earlier one.
#[derive(Debug, Default)]
pub struct Job {
    ntasks: Placed<u32>,
    cpus_per_task: Placed<u32>,
    ntasks_per_node: Placed<u32>,
    nodes: Placed<u32>,
    mem: Placed<Memory>,
    mem_per_cpu: Placed<Memory>,
    mem_per_gpu: Placed<Memory>,
    gpus: Placed<u32>,
    gpus_per_node: Placed<u32>,
    gpus_per_task: Placed<u32>,
    cpus_per_gpu: Placed<u32>,
    /// The licences of the whole job.
    licences: Placed<Vec<Consumption>>,
    told_of_output: bool,
    /// The kind of machine that it asks for, by a constraint or a type of GPU.
    pub(super) machine: Option<String>,
    /// The queue of the first component, for a component of a heterogeneous job behind it.
    pub(super) behind: Option<Behind>,
    /// The queue.
    pub(super) queue: Option<String>,
    /// The working directory, and the file for the standard input.
    chdir: Option<String>,
    input: Placed<String>,
}

/// A component of a heterogeneous job behind the first.
#[derive(Debug, Default)]
pub struct Behind {
    /// The queue of the first component.
    pub queue: Option<String>,
}

impl Job {
    /// Notes the kind of machine that an option asks for.
    pub fn note_machine(&mut self, long: &str, value: &str) {
        let kind = match long {
            "constraint" => Some(value),
            "gres" => value.split(',').find_map(|one| kind_of_gpu(gpus_of_gres(one)?)),
            "gpus" | "gpus-per-node" | "gpus-per-task" => kind_of_gpu(value),
            _ => None,
        };
        if let Some(kind) = kind {
            self.machine = Some(kind.to_owned());
        }
    }

    /// Whether a component may have an option. All components of a heterogeneous job have one
    /// queue, and what is not about their size is that of the first.
    pub fn may_have(&self, key: Key, value: &str, at: &At, found: &mut Directives) -> bool {
        let Some(behind) = &self.behind else { return true };
        match key {
            Key::Ntasks
            | Key::CpusPerTask
            | Key::NtasksPerNode
            | Key::CpusPerGpu
            | Key::Nodes
            | Key::Mem
            | Key::MemPerCpu
            | Key::MemPerGpu
            | Key::Gpus
            | Key::GpusPerNode
            | Key::GpusPerTask
            | Key::Gres => return true,
            Key::Partition if value.split(',').next() == behind.queue.as_deref() => {}
            Key::Partition => found.refuse(at, "all nodes of a job in Batch are in one queue"),
            Key::Licenses | Key::Dependency => {
                found.refuse(at, "holds for all components of a job in Batch: write it in front of `hetjob`")
            }
            _ => found.warn(at, "has no effect behind `hetjob`: that of the first component counts"),
        }
        false
    }

    /// Applies one option.
    pub fn apply(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) {
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
            Key::Nodes => {
                let least = nodes(value)?;
                if value.contains([',', '-', ':']) && value.parse() != Ok(least) {
                    let nodes = words::many(least, "node");
                    found.note(at, format!("a job in Batch has a fixed number of nodes: it gets {nodes}"));
                }
                self.nodes = here(least);
            }
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
            Key::JobName => {
                found.name = Some(value.to_owned());
                found.say(at, [format!("--job-name={}", JobName::cleaned(value).as_str())]);
            }
            Key::Array => {
                let array = array(value)?;
                if array.limit.is_none() && value.contains('%') {
                    found.note(at, "limits nothing, as in Slurm: a limit is a whole number of 1 or more");
                }
                found.say(at, [format!("--array={array}")]);
            }
            Key::Time => {
                let time = value.parse::<WallTime>()?;
                // A job has no limit anyway.
                if let Some(seconds) = time.seconds() {
                    found.say(at, [format!("--time={value}")]);
                    if seconds == limits::TIMEOUT_MIN_SECONDS && !["1", "01", "1:00"].contains(&value) {
                        found.note(at, "Batch's shortest time limit is 60 seconds, which the job has");
                    }
                }
            }
            Key::Licenses => self.licences = Some((licences(value, at, found)?, at.clone())),
            Key::Dependency => {
                if !value.trim().is_empty() {
                    found.say(at, [dependencies(value)?]);
                }
            }
            Key::Signal => found.signal = Some(EarlySignal::from_slurm(value)?),
            Key::Begin if value.eq_ignore_ascii_case("now") => {}
            Key::Begin => {
                return Err(Invalid::because(
                    "Batch cannot start a job at a given time: remove this line, and submit the job at that \
                     time",
                ));
            }
            Key::Input if matches!(value, "/dev/null" | "none" | "") => self.input = None,
            Key::Input => self.input = Some((input(value)?, at.clone())),
            Key::Partition => {
                let mut names = value.split(',');
                self.queue = names.clone().next().map(str::to_owned);
                found.say(at, [format!("--queue={}", names.next().unwrap_or_default())]);
                if names.next().is_some() {
                    found.warn_of_queues(at);
                }
            }
            Key::Chdir => {
                self.chdir = Some(value.to_owned());
                found.say(at, [format!("--working-dir={value}")]);
            }
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

    /// Computes the resources of a node.
    pub fn finish(self, found: &mut Directives) -> SlurmShape {
        if let Some((file, at)) = &self.input {
            found.say(at, [stdin(file, self.chdir.as_deref())]);
        }
        let number = |value: &Placed<u32>| value.as_ref().map(|(n, _)| *n);
        let (cpus_per_task, per_node) = (number(&self.cpus_per_task), number(&self.ntasks_per_node));
        let nodes = match (number(&self.nodes), number(&self.ntasks), per_node) {
            // sbatch, too, warns and takes fewer nodes (tested with 22.05).
            (Some(nodes), Some(ntasks), _) if ntasks < nodes => {
                if let Some((_, at)) = &self.nodes {
                    found.note(
                        at,
                        format!(
                            "{} cannot run on {nodes} nodes: the job has {ntasks}",
                            words::many(ntasks, "task")
                        ),
                    );
                }
                ntasks
            }
            (Some(nodes), ..) => nodes,
            (None, Some(ntasks), Some(per_node)) => ntasks.div_ceil(per_node),
            _ => 1,
        };
        // Slurm's default is one task for each node.
        let ntasks = number(&self.ntasks).unwrap_or_else(|| nodes.saturating_mul(per_node.unwrap_or(1)));
        let mem_per_cpu = self.mem_per_cpu.as_ref().map(|(memory, _)| memory.mib());
        let shape = SlurmShape { ntasks, cpus_per_task, ntasks_per_node: per_node, nodes, mem_per_cpu };
        let tasks = ntasks.div_ceil(nodes);
        if let Some((licences, at)) = self.licences {
            licences.into_iter().for_each(|licence| found.share(licence, &at));
        }

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
        let memories = [&self.mem, &self.mem_per_cpu, &self.mem_per_gpu];
        if let Some((_, at)) = memories.into_iter().flatten().nth(1) {
            found.refuse(at, "only one of --mem, --mem-per-cpu and --mem-per-gpu can be given, as in Slurm");
        }
        let each = |value: Placed<Memory>, n: Option<u32>| {
            value.map(|(m, at)| (m.mib().checked_mul(u64::from(n.unwrap_or(1))), at))
        };
        let memory = self
            .mem
            .map(|(m, at)| (Some(m.mib()), at))
            .or(each(self.mem_per_cpu, cpus))
            .or(each(self.mem_per_gpu, gpus));
        if let Some((mib, at)) = memory {
            match mib.map(|m| m.to_string()).filter(|m| m.parse::<Memory>().is_ok()) {
                Some(mib) => found.say(&at, [format!("--memory={mib}M")]),
                None => found.refuse(&at, "a job can request at most 2147483647 MiB from Batch"),
            }
        }
        shape
    }
}

/// The name of a file for `--input`, in which `%%` is `%`. A `%` before a letter that Slurm does
/// not replace stays (sbatch(1), filename pattern).
fn input(value: &str) -> Result<String, Invalid> {
    let mut name = String::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('%') {
        name.push_str(before);
        name.push('%');
        rest = behind.strip_prefix('%').unwrap_or(behind);
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        if behind[digits..].starts_with(|c: char| "AabJjNnstux".contains(c)) {
            return Err(no_pattern("Slurm", &format!("%{}", &behind[..=digits])));
        }
    }
    Ok(name + rest)
}

/// Checks how many of something a node has, if the number is plausible.
fn checked(number: Option<(Option<u32>, At)>, option: &str, found: &mut Directives) -> Option<u32> {
    let (number, at) = number?;
    match number.filter(|n| *n <= 100_000) {
        // A job has none anyway.
        Some(0) => {}
        Some(n) => found.say(&at, [format!("{option}={n}")]),
        None => found.refuse(&at, "that is more than a node can have"),
    }
    number
}

/// Reads a whole number, at least 1.
fn count(value: &str) -> Result<u32, Invalid> {
    match whole(value) {
        Some(n) if n >= 1 => Ok(n),
        _ => Err(Invalid::because(format!("'{value}' is not a whole number of 1 or more"))),
    }
}

fn whole(value: &str) -> Option<u32> {
    // As in sbatch, it may have a sign.
    u32::from_str(value).ok()
}

/// Reads `4`, or `2-4`, for which 2 are enough. Newer versions have `2,4` and `2-8:2`, too.
fn nodes(value: &str) -> Result<u32, Invalid> {
    let (first, rest) =
        value.split_once([',', '-', ':']).map_or((value, None), |(first, rest)| (first, Some(rest)));
    let least = count(first)?;
    for number in rest.into_iter().flat_map(|rest| rest.split([',', '-', ':'])) {
        count(number)?;
    }
    if let Some((_, most)) = value.split_once('-') {
        let most = count(most.split(':').next().unwrap_or_default())?;
        if most < least {
            return Err(Invalid::because(format!(
                "the largest number of nodes, {most}, is smaller than the smallest, {least}"
            )));
        }
    }
    Ok(least)
}

/// Reads the tasks. sbatch accepts brackets, blanks and empty parts (tested with 22.05), and
/// considers an invalid limit, or 0, as no limit.
fn array(value: &str) -> Result<ArrayIds, Invalid> {
    let (ids, limit) = value.split_once('%').map_or((value, ""), |(ids, limit)| (ids, limit));
    let ids = ids.trim().strip_prefix('[').map_or(ids, |inner| inner.strip_suffix(']').unwrap_or(inner));
    let parts: Vec<&str> = ids.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let ids = parts.join(",").parse::<TaskIds>()?;
    let limit = limit.trim_end_matches(']');
    Ok(ArrayIds { ids, limit: limit.parse::<u32>().ok().filter(|limit| *limit > 0) })
}

/// Reads the licences: `a`, `a:2,b`, `a@server:2` (sbatch, `--licenses`). Each is a consumable
/// resource of this name.
fn licences(value: &str, at: &At, found: &mut Directives) -> Result<Vec<Consumption>, Invalid> {
    if value.contains('|') {
        return Err(Invalid::because("Batch has no alternatives of licences: give those that the job takes"));
    }
    let mut licences: Vec<Consumption> = Vec::new();
    for one in value.split([',', ';']).map(str::trim).filter(|one| !one.is_empty()) {
        let (name, quantity) = one.split_once([':', '=']).unwrap_or((one, "1"));
        let name = match name.split_once('@') {
            Some((name, server)) => {
                let resource =
                    format!("the licence is the consumable resource {name}; {server} is not asked");
                found.note(at, resource);
                name
            }
            None => name,
        };
        // The value is checked here, so that the message names the directive and not an option that
        // nobody wrote.
        let licence = format!("{name}={quantity}").parse::<Consumption>()?;
        // Slurm adds up those of one name (`_build_license_list`).
        match licences.iter_mut().find(|other| other.resource == licence.resource) {
            Some(other) => other.quantity = other.quantity.saturating_add(licence.quantity),
            None => licences.push(licence),
        }
    }
    match licences.is_empty() {
        true => Err(Invalid::because("names no licence")),
        false => Ok(licences),
    }
}

/// Reads a size. A bare number is in MB (sbatch, `--mem`), which are MiB.
fn memory(value: &str, at: &At, found: &mut Directives) -> Result<Placed<Memory>, Invalid> {
    if value == "0" {
        found.warn_of_whole_node(
            at,
            "means all of a node's memory, which a job cannot request from Batch: give a size",
        );
        return Ok(None);
    }
    // sbatch refuses fractions and `GiB`, which `--memory` accepts.
    let number = value.strip_prefix('+').unwrap_or(value);
    if number.contains(['.', 'i', 'I']) {
        return Err(Invalid::because(format!(
            "sbatch does not accept '{value}': a size is a whole number of MB, or one with K, M, G or T, such as 512M"
        )));
    }
    Ok(Some((number.parse()?, at.clone())))
}

/// Reads `[TYPE:]N`.
fn gpus(value: &str, at: &At, found: &mut Directives) -> Result<u32, Invalid> {
    let (kind, number) = match value.rsplit_once(':') {
        Some((kind, number)) => (Some(kind), number),
        // A type alone means one GPU of it.
        None if whole(value).is_none() && value.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (Some(value), "1")
        }
        None => (None, value),
    };
    if value.contains(',') {
        return Err(Invalid::because("Batch gives a job GPUs of one type only"));
    }
    if let Some(kind) = kind {
        found.warn(at, format!("the queue's instance types decide the type of GPU: '{kind}' is ignored"));
    }
    whole(number).ok_or_else(|| Invalid::because(format!("'{number}' is not a number of GPUs")))
}

/// A resource of `--gres` without the prefix that it may have.
fn bare_gres(one: &str) -> &str {
    one.strip_prefix("gres/").or(one.strip_prefix("gres:")).unwrap_or(one)
}

/// The text behind `gpu:` of a resource of `--gres`; empty for `gpu` alone. `None`: the resource is
/// not a GPU.
fn gpus_of_gres(one: &str) -> Option<&str> {
    let rest = bare_gres(one).strip_prefix("gpu")?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix([':', '=']) }
}

/// The type of a GPU in `TYPE`, `TYPE:N` or `N`.
fn kind_of_gpu(value: &str) -> Option<&str> {
    let kind = value.split([':', '=']).next()?;
    kind.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(kind)
}

/// Reads `gpu`, `gpu:N`, `gpu:TYPE:N`, with `gres/` or `gres:` before it. Batch does not have other
/// resources.
fn gres(value: &str, at: &At, found: &mut Directives) -> Result<Option<u32>, Invalid> {
    let mut number: Option<u32> = None;
    for one in value.split(',').filter(|one| !one.eq_ignore_ascii_case("none")) {
        let more = match gpus_of_gres(one) {
            Some("") => 1,
            Some(rest) => gpus(rest, at, found)?,
            None => {
                found.warn(at, format!("Batch has no resource '{}', only GPUs", bare_gres(one)));
                continue;
            }
        };
        number = Some(number.unwrap_or(0).saturating_add(more));
    }
    Ok(number)
}

/// Reads `afterok:ID:ID,aftercorr:ID`, which `--depends-on` takes as it is.
fn dependencies(value: &str) -> Result<String, Invalid> {
    let clauses: Vec<(&str, Option<&str>)> = value
        .split([',', '?'])
        .map(|clause| {
            clause.split_once(':').map_or((clause.trim(), None), |(kind, ids)| (kind.trim(), Some(ids)))
        })
        .collect();
    let known = [
        "after",
        "afterany",
        "afterburstbuffer",
        "aftercorr",
        "afternotok",
        "afterok",
        "expand",
        "singleton",
    ];
    let is_known = |kind: &str| known.iter().any(|known| known.eq_ignore_ascii_case(kind));
    if let Some((kind, _)) = clauses.iter().find(|(kind, ids)| ids.is_some() && !is_known(kind)) {
        return Err(Invalid::because(format!("Slurm has no dependency '{kind}': write afterok:ID")));
    }
    if let Some((kind, _)) =
        clauses.iter().find(|(kind, ids)| is_known(kind) && *kind != "singleton" && ids.is_none())
    {
        return Err(Invalid::because(format!("`{kind}:` takes a job's ID")));
    }
    if clauses.iter().any(|(kind, ids)| ids.is_none() && *kind != "singleton") {
        return Err(Invalid::because(
            "an ID alone means `afterany` in Slurm, and Batch only has `afterok`: a job waits for others to \
             succeed, and fails when one of them fails",
        ));
    }
    let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    value.parse::<DependencyArg>()?;
    Ok(format!("--depends-on={value}"))
}

/// Reads `ALL`, `NONE`, `NIL`, or names of variables, with or without a value.
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

/// The nearest valid value of a tag: at most 256 letters, digits, spaces and `_.:/=+-@` (Batch User
/// Guide, `using-tags`).
fn tag_value(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    text.chars().map(|c| if allowed(c) { c } else { '-' }).take(256).collect()
}
