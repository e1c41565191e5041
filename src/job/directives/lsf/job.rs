//! What `#BSUB` lines come to, in `bsub`'s own options.

use std::ffi::OsStr;

use super::super::{At, Directives};
use super::Key;
use super::require::{Per, sections, usages};
use crate::job::tasks::NO_LIMIT;
use crate::job::{EnvArg, Invalid, JobId, JobName, Memory, TaskIds};

/// How an LSF job is laid out, for its script's `LSB_*` variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LsfShape {
    /// Slots of the whole job (`-n`), at least 1.
    pub slots: u32,
}

/// A value and where it was said.
type Said<T> = Option<(T, At)>;

/// What was said so far of what has to be seen as a whole; a later line replaces an earlier one.
#[derive(Debug, Default)]
pub struct Job {
    slots: Said<u32>,
    /// Slots on each host (`span[ptile=N]`).
    per_host: Said<u32>,
    /// The limit of a process (`-M`).
    limit: Said<Memory>,
    /// What is reserved (`rusage[mem=…]`), in MiB.
    reserved: Said<(Memory, Per)>,
    gpus: Said<(u32, Per)>,
    told_of_output: bool,
}

/// Below this a size without a unit is more likely in another unit than in LSF's default.
const UNLIKELY_MIB: u64 = 128;

impl Job {
    /// Takes what one option says.
    pub fn take(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) {
        if let Err(invalid) = self.try_take(key, value, at, found) {
            found.refuse(at, invalid.to_string());
        }
    }

    fn try_take(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        match key {
            // `min,max`: content with the least.
            Key::Slots => {
                let least = value.split(',').next().unwrap_or_default();
                self.slots = Some((count(least)?, at.clone()));
            }
            // In KB unless LSF_UNIT_FOR_LIMITS says otherwise; `!` makes the limit a hard one, as all are here.
            Key::Memory => {
                self.limit = Some((memory(value.trim_end_matches('!'), "K", at, found)?, at.clone()))
            }
            Key::Resources => self.resources(value, at, found)?,
            Key::Gpu => self.gpu(value, at, found)?,
            Key::Output if self.told_of_output => {}
            Key::Output => {
                self.told_of_output = true;
                found.warn(at, "a job's output, standard error too, goes to CloudWatch; `bout` shows it");
            }
            Key::JobName => name(value, at, found)?,
            Key::Time => {
                let minutes = minutes(value, at, found)?;
                found.say(at, [format!("--time={minutes}")]);
            }
            Key::Queue => {
                let mut names = value.split_whitespace();
                let first = names.next().ok_or_else(|| Invalid::because("names no queue"))?;
                found.say(at, [format!("--queue={first}")]);
                if names.next().is_some() {
                    found.warn(at, "Batch takes one queue for a job: the first");
                }
            }
            Key::Dependency => found.say(at, dependencies(value)?),
            Key::Cwd => found.say(at, [format!("--working-dir={value}")]),
            Key::Env => {
                let words = environment(value, at, found)?;
                if !words.is_empty() {
                    found.say(at, words);
                }
            }
            Key::Rerun => found.say(at, ["--retry-on=spot"]),
            Key::Wait => found.say(at, ["--wait"]),
            Key::Interactive => found.say(at, ["--interactive"]),
        }
        Ok(())
    }

    /// The sections of `-R`.
    fn resources(&mut self, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        for section in sections(value) {
            match section.name {
                "rusage" => {
                    for (name, value, per) in usages(section.body) {
                        match name {
                            // In MB unless LSF_UNIT_FOR_LIMITS says otherwise (`lsf_admin`, per-task memory
                            // reservation: `rusage[mem=500]` is 500 MB on each host).
                            "mem" => {
                                self.reserved = Some(((memory(value, "M", at, found)?, per), at.clone()));
                            }
                            "ngpus" | "ngpus_physical" | "ngpus_excl_p" | "ngpus_shared" => {
                                self.gpus = Some(((count(value)?, per), at.clone()));
                            }
                            _ => found.warn(at, format!("Batch knows no resource '{name}'")),
                        }
                    }
                }
                "span" => match section.body.trim().split_once('=') {
                    Some(("hosts", "1")) => self.per_host = None,
                    Some(("ptile", number)) => self.per_host = Some((count(number)?, at.clone())),
                    _ => found.warn(at, format!("of span, Batch knows hosts=1 and ptile=N, and not '{}'", section.body)),
                },
                name => found.warn(
                    at,
                    format!(
                        "Batch chooses the instances, from what the queue's compute environments offer: {name}[{}] \
                         is not looked at",
                        section.body
                    ),
                ),
            }
        }
        Ok(())
    }

    /// `num=2:mode=shared`; `-` is one GPU (LSF's default).
    fn gpu(&mut self, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        let mut number = (1, Per::Host);
        let mut others = Vec::new();
        for one in value.split(':').filter(|one| !matches!(*one, "" | "-")) {
            match usages(one).next() {
                Some(("num", n, per)) => number = (count(n)?, per),
                _ => others.push(one),
            }
        }
        if !others.is_empty() {
            found.warn(
                at,
                format!(
                    "a job has its GPUs to itself, of the type that the queue offers: {} is not looked at",
                    others.join(":")
                ),
            );
        }
        self.gpus = Some((number, at.clone()));
        Ok(())
    }

    /// Says what the numbers come to on a host.
    pub fn finish(self, found: &mut Directives) -> LsfShape {
        let slots = self.slots.as_ref().map_or(1, |(n, _)| *n);
        let per_host = self.per_host.as_ref().map_or(slots, |(n, _)| *n).min(slots);
        let nodes = slots.div_ceil(per_host);
        if nodes > 1
            && let Some((_, at)) = &self.per_host
        {
            found.say(at, [format!("--nodes={nodes}")]);
        }
        if let Some((_, at)) = &self.slots {
            if per_host <= 100_000 {
                found.say(at, [format!("--vcpus={per_host}")]);
            } else {
                found.refuse(at, "that is more than a node can have");
            }
        }
        let on_a_host = |number: u64, per: Per| match per {
            Per::Host => number,
            Per::Task => number.saturating_mul(per_host.into()),
            Per::Job => number.div_ceil(nodes.into()),
        };
        if let Some(((number, per), at)) = &self.gpus {
            found.say(at, [format!("--gpus={}", on_a_host((*number).into(), *per))]);
        }
        // Batch has one number for what is reserved and what may be used. A single process may use `-M`, so
        // the job needs as much.
        let limit = self.limit.map(|(memory, at)| (memory.mib(), at));
        let reserved = self.reserved.map(|((memory, per), at)| (on_a_host(memory.mib(), per), at));
        if let Some((mib, at)) = limit.into_iter().chain(reserved).max_by_key(|(mib, _)| *mib) {
            match mib.to_string().parse::<Memory>() {
                Ok(memory) => found.say(&at, [format!("--memory={memory}M")]),
                Err(invalid) => found.refuse(&at, invalid.to_string()),
            }
        }
        LsfShape { slots }
    }
}

/// A whole number, at least 1.
fn count(value: &str) -> Result<u32, Invalid> {
    let plain = value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u32>() {
        Ok(n) if plain && n >= 1 => Ok(n),
        _ => Err(Invalid::because(format!("'{value}' is no number from 1 on"))),
    }
}

/// A size, in `unit` if it names none. LSF's clusters may have another default unit
/// (`LSF_UNIT_FOR_LIMITS`), so a size that is hardly meant is not taken in silence.
fn memory(value: &str, unit: &str, at: &At, found: &mut Directives) -> Result<Memory, Invalid> {
    if !value.bytes().all(|b| b.is_ascii_digit()) || value.is_empty() {
        return value.parse();
    }
    let counts = format!("{value} counts as {unit}B, LSF's default");
    let write = "if your cluster's LSF_UNIT_FOR_LIMITS is another unit, write it, such as 4GB";
    let memory: Memory = format!("{value}{unit}")
        .parse()
        .map_err(|_: Invalid| Invalid::because(format!("{counts}, and no job can have that: {write}")))?;
    if memory.mib() < UNLIKELY_MIB {
        found.warn(at, format!("{counts}, and is only {memory} MiB: {write}"));
    }
    Ok(memory)
}

/// `name`, `name[1-10:2]`, `[1,3,5-7]`, `name[1-10]%4`.
fn name(value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
    let Some((name, rest)) = value.split_once('[') else {
        found.say(at, [format!("--job-name={}", JobName::cleaned(value).as_str())]);
        return Ok(());
    };
    let Some((ids, limit)) = rest.split_once(']') else {
        return Err(Invalid::because(format!("'{value}' has a '[' without its ']'")));
    };
    let ids: TaskIds = ids.parse()?;
    let mut words = vec![format!("--array={ids}")];
    if !name.is_empty() {
        words.insert(0, format!("--job-name={}", JobName::cleaned(name).as_str()));
    }
    found.say(at, words);
    match limit {
        "" => {}
        limit if limit.starts_with('%') => found.warn(at, NO_LIMIT),
        other => return Err(Invalid::because(format!("'{other}' is not understood"))),
    }
    Ok(())
}

/// `[HOURS:]MINUTES[/HOST]`.
fn minutes(value: &str, at: &At, found: &mut Directives) -> Result<u32, Invalid> {
    let wrong =
        || Invalid::because("a time limit is a number of minutes, or hours and minutes such as 12:30");
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let time = match value.split_once('/') {
        Some((time, _)) => {
            found.warn(at, "Batch counts hours as they are, and not those of another host");
            time
        }
        None => value,
    };
    let minutes = match time.split_once(':') {
        Some((hours, minutes)) => number(hours)
            .and_then(|h| h.checked_mul(60))
            .zip(number(minutes))
            .and_then(|(h, m)| h.checked_add(m)),
        None => number(time),
    };
    let minutes = minutes.filter(|m| *m >= 1).ok_or_else(wrong)?;
    // What the option could not take would be said of an option that nobody wrote.
    minutes.to_string().parse::<crate::job::WallTime>()?;
    Ok(minutes)
}

/// `done(ID) && done(ID)`, where an ID alone means the same; or it is refused, as running too early would be
/// wrong.
fn dependencies(value: &str) -> Result<Vec<String>, Invalid> {
    if value.contains("||") || value.contains('!') {
        return Err(Invalid::because(
            "Batch waits for all dependencies, never for one of several or for none",
        ));
    }
    value.split("&&").map(dependency).collect()
}

fn dependency(condition: &str) -> Result<String, Invalid> {
    let condition = condition.trim();
    let (kind, id) = match condition.split_once('(') {
        Some((kind, rest)) => (kind.trim(), rest.trim_end().strip_suffix(')').unwrap_or(rest)),
        None => ("done", condition),
    };
    if kind != "done" {
        return Err(Invalid::because(format!(
            "Batch only knows `done`: a job starts when its dependencies have succeeded, and fails when one of \
             them fails; '{condition}' would be something else"
        )));
    }
    let id = id.trim().trim_matches('"');
    // Child i after child i of the other array.
    let (id, each) = id.strip_suffix("[*]").map_or((id, false), |id| (id, true));
    match id.parse::<JobId>() {
        Ok(id) if looks_like_an_id(id.as_str()) => {
            Ok(if each { format!("--depends-on=n_to_n:{id}") } else { format!("--depends-on={id}") })
        }
        _ => Err(Invalid::because(format!("'{id}' is no job ID, and Batch knows dependencies by ID only"))),
    }
}

/// A number or a UUID, perhaps with an index: a name could be an ID for all that [`JobId`] knows.
fn looks_like_an_id(id: &str) -> bool {
    id.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '-' | ':' | '#'))
        && id.contains(|c: char| c.is_ascii_digit())
}

/// `all`, `none`, names with or without a value, and `~NAME` for what `all` is not to have.
fn environment(value: &str, at: &At, found: &mut Directives) -> Result<Vec<String>, Invalid> {
    let mut words = Vec::new();
    for one in value.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        match one {
            "all" => words.push("--env=all".to_owned()),
            "none" => {}
            _ if one.starts_with('~') => found.warn(at, format!("'{one}' cannot be left out of all")),
            _ => {
                EnvArg::parse(OsStr::new(one))?;
                words.push(format!("--env={one}"));
            }
        }
    }
    Ok(words)
}
