//! Translates `#BSUB` lines into options of awsb's `bsub`.

use std::ffi::OsStr;
use std::str::FromStr;

use super::super::input::{no_pattern, stdin};
use super::super::result::{At, Directives};
use super::super::shape::LsfShape;
use super::require::{Per, sections, usages};
use super::table::Key;
use crate::consumables::given_twice;
use crate::{
    ArrayIds, Consumption, EarlySignal, EnvArg, Invalid, JobName, JobNumber, JobRef, Memory, TaskIds,
};

/// The unit of sizes without a unit: `LSF_UNIT_FOR_LIMITS` (`lsf_config_ref`, lsf.conf) of the
/// user's cluster. It applies to the limits of a job and to its resource requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LsfUnit {
    /// KB.
    Kilo,
    /// MB.
    Mega,
    /// GB.
    Giga,
    /// TB.
    Tera,
}

impl LsfUnit {
    /// The letter of the unit after a number.
    fn letter(self) -> &'static str {
        match self {
            Self::Kilo => "K",
            Self::Mega => "M",
            Self::Giga => "G",
            Self::Tera => "T",
        }
    }
}

impl FromStr for LsfUnit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.to_ascii_uppercase().as_str() {
            "K" | "KB" => Ok(Self::Kilo),
            "M" | "MB" => Ok(Self::Mega),
            "G" | "GB" => Ok(Self::Giga),
            "T" | "TB" => Ok(Self::Tera),
            _ => Err(Invalid::because("the unit of sizes without one is KB, MB, GB or TB")),
        }
    }
}

/// A value, and the place of its directive.
type Placed<T> = Option<(T, At)>;

/// The values so far that must be considered together. A later line replaces an earlier one.
#[derive(Debug, Default)]
pub struct Job {
    slots: Placed<u32>,
    /// Slots on each host (`span[ptile=N]`).
    per_host: Placed<u32>,
    /// The limit of a process (`-M`).
    limit: Placed<Memory>,
    /// The reserved memory (`rusage[mem=…]`), in MiB.
    reserved: Placed<(Memory, Per)>,
    /// GPUs (`-gpu num=N`), and those of `rusage[ngpus_physical=N]` and its older names.
    gpus: Placed<(u32, Per)>,
    reserved_gpus: Placed<(u32, Per)>,
    /// vCPUs of each task (`affinity[core(N)]`).
    cpus_per_task: Placed<u32>,
    /// Consumable resources (`rusage[NAME=N]`).
    consumes: Vec<(Consumption, Per, At)>,
    /// The signal before the end (`-wa`), and how long before it (`-wt`).
    warning_action: Placed<String>,
    warning_time: Placed<String>,
    /// The first option for interactive or rerunnable jobs. These options exclude each other.
    waits: Placed<()>,
    is_interactive: Placed<()>,
    reruns: Placed<()>,
    told_of_output: bool,
    /// The unit of sizes without a unit, if the user has configured it.
    unit: Option<LsfUnit>,
    /// The working directory, and the file for the standard input.
    cwd: Option<String>,
    input: Placed<String>,
}

/// The load indices of LSF (`lsf_admin`, Load indices): resources of a host, and not licences.
const LOAD_INDICES: [&str; 12] =
    ["r15s", "r1m", "r15m", "ut", "pg", "io", "ls", "it", "tmp", "swp", "maxtmp", "maxswp"];

/// Below this, a size without a unit is probably not in LSF's default unit.
const UNLIKELY_MIB: u64 = 128;

impl Job {
    /// A job without any values yet.
    pub fn of(unit: Option<LsfUnit>) -> Self {
        Self { unit, ..Self::default() }
    }

    /// Applies one option.
    pub fn apply(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) {
        if let Err(invalid) = self.try_take(key, value, at, found) {
            found.refuse(at, invalid.to_string());
        }
    }

    fn try_take(&mut self, key: Key, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        match key {
            Key::Slots => {
                let slots = slots(value, at, found)?;
                // LSF uses the first of several (bsub's parser of 2007 does this for these two
                // options alone).
                self.slots.get_or_insert((slots, at.clone()));
            }
            // The unit is KB unless LSF_UNIT_FOR_LIMITS changes it. `!` makes the limit a hard one,
            // as all are here.
            Key::Memory => {
                let limit = self.memory(value.trim_end_matches('!'), "K", at, found)?;
                self.limit.get_or_insert((limit, at.clone()));
            }
            Key::Resources => self.resources(value, at, found)?,
            Key::Gpu => self.gpu(value, at, found)?,
            Key::Output if self.told_of_output => {}
            Key::Output => {
                self.told_of_output = true;
                found.warn(at, "a job's output and standard error go to CloudWatch; `bout` shows them");
            }
            Key::JobName => name(value, at, found)?,
            Key::Time => {
                let minutes = minutes(value, at, found)?;
                found.say(at, [format!("--time={minutes}")]);
            }
            Key::Queue => {
                let mut names = value.split_whitespace();
                let first = names.next().ok_or_else(|| Invalid::because("has no name of a queue"))?;
                found.say(at, [format!("--queue={first}")]);
                if names.next().is_some() {
                    found.warn_of_queues(at);
                }
            }
            Key::Dependency => found.say(at, dependencies(value)?),
            Key::Cwd if value.contains('%') => {
                return Err(Invalid::because(
                    "LSF replaces words that begin with % in it, and Batch does not; `#AWSB \
                     --parent-working-dir DIR` makes a directory job-ID in DIR",
                ));
            }
            Key::Cwd => {
                self.cwd = Some(value.to_owned());
                found.say(at, [format!("--working-dir={value}")]);
            }
            Key::Env => {
                let words = environment(value)?;
                if !words.is_empty() {
                    found.say(at, words);
                }
            }
            Key::Rerun => {
                self.reruns = Some(((), at.clone()));
                found.say(at, ["--retry-on=spot"]);
            }
            Key::NeverRerun => found.say(at, ["--retry-attempts=1"]),
            Key::Requeue => {
                let words = requeue(value, at, found)?;
                found.say(at, words);
            }
            Key::Input if value == "/dev/null" => self.input = None,
            Key::Input => {
                // LSF does not know others (`lsf_command_ref`, bsub -i).
                if let Some(pattern) = ["%J", "%I"].into_iter().find(|pattern| value.contains(pattern)) {
                    return Err(no_pattern("LSF", pattern));
                }
                self.input = Some((value.to_owned(), at.clone()));
            }
            Key::File => {
                let words = file(value, at, found)?;
                found.say(at, words);
            }
            Key::WarningAction => self.warning_action = Some((value.to_owned(), at.clone())),
            Key::WarningTime => self.warning_time = Some((value.to_owned(), at.clone())),
            Key::Wait => {
                self.waits = Some(((), at.clone()));
                found.say(at, ["--wait"]);
            }
            Key::Interactive => {
                self.is_interactive = Some(((), at.clone()));
                found.say(at, ["--interactive"]);
            }
        }
        Ok(())
    }

    /// Reads the sections of `-R`.
    fn resources(&mut self, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        if value.contains(['{', '}']) {
            return Err(Invalid::because(
                "in Batch, all nodes of a job are alike and there are no alternatives: give one requirement \
                 without braces",
            ));
        }
        for section in sections(value)? {
            match section.name {
                "rusage" => {
                    if usages(section.body).next().is_none() {
                        return Err(Invalid::because(
                            "rusage takes resources in its brackets: 'rusage[NAME=N]'",
                        ));
                    }
                    let (mut consumes, mut ends_early) = (false, None);
                    for (name, value, per) in usages(section.body) {
                        // LSF, too, does not accept it.
                        if value.is_empty() {
                            return Err(Invalid::because(format!(
                                "rusage takes a quantity with each resource: write '{name}=N'"
                            )));
                        }
                        match name {
                            // The unit is MB unless LSF_UNIT_FOR_LIMITS changes it (`lsf_admin`,
                            // per-task memory reservation: `rusage[mem=500]` is 500 MB on each
                            // host).
                            "mem" => {
                                let memory = self.memory(value, "M", at, found)?;
                                let shown =
                                    |(memory, per): (Memory, Per)| per.of(format!("{}M", memory.mib()));
                                place_once(&mut self.reserved, (memory, per), at).map_err(|before| {
                                    given_twice(name, &shown(before), &shown((memory, per)))
                                })?;
                            }
                            "ngpus" | "ngpus_physical" | "ngpus_excl_p" | "ngpus_shared" => {
                                let number = count(value)?;
                                place_once(&mut self.reserved_gpus, (number, per), at)
                                    .map_err(|(n, p)| given_twice(name, &p.of(n), &per.of(number)))?;
                            }
                            // Of the phases of a reservation of memory, the largest is used.
                            "duration" | "decay" => ends_early = Some(name),
                            _ if LOAD_INDICES.contains(&name) => {
                                found.warn(at, format!("Batch has no resource '{name}'"));
                            }
                            // A resource that the cluster's administrator has defined. A licence is
                            // the usual one, and without it the job must not run.
                            _ => {
                                let consumption = format!("{name}={value}").parse::<Consumption>();
                                let consumption = consumption
                                    .map_err(|e| Invalid::because(format!("the resource '{name}': {e}")))?;
                                self.consume(consumption, per, at)?;
                                consumes = true;
                            }
                        }
                    }
                    if let Some(name) = ends_early.filter(|_| consumes) {
                        let message = format!(
                            "a job in Batch holds a licence to its end: '{name}' of rusage is ignored"
                        );
                        found.warn(at, message);
                    }
                }
                "span" => match section.body.trim().split_once('=') {
                    // -1 cancels the queue's setting, of which there is none here.
                    Some(("hosts", "1" | "-1")) => self.per_host = None,
                    Some(("ptile", number)) => self.per_host = Some((count(number)?, at.clone())),
                    _ => found.warn(
                        at,
                        format!("Batch only has hosts=1 and ptile=N of span, not '{}'", section.body),
                    ),
                },
                "affinity" => {
                    let (cpus, others) = affinity(section.body)?;
                    self.cpus_per_task = Some((cpus, at.clone()));
                    if !others.is_empty() {
                        found.warn(
                            at,
                            format!("Batch counts vCPUs and does not bind them: {others} is ignored"),
                        );
                    }
                }
                name => found.warn(
                    at,
                    format!(
                        "Batch chooses the instances from those that the queue's compute environments \
                         offer: {name}[{}] is ignored",
                        section.body
                    ),
                ),
            }
        }
        Ok(())
    }

    /// Adds a consumable resource. LSF puts all its `-R` together, so that none replaces another
    /// one.
    fn consume(&mut self, consumption: Consumption, per: Per, at: &At) -> Result<(), Invalid> {
        let before = self.consumes.iter().find(|(other, ..)| other.name() == consumption.name());
        match before {
            None => self.consumes.push((consumption, per, at.clone())),
            Some((other, other_per, _)) if (other, *other_per) == (&consumption, per) => {}
            Some((other, other_per, _)) => {
                let quantities = (other_per.of(other.quantity), per.of(consumption.quantity));
                return Err(given_twice(consumption.name(), &quantities.0, &quantities.1));
            }
        }
        Ok(())
    }

    /// Reads `num=2:mode=shared`. `-` is one GPU (LSF's default).
    fn gpu(&mut self, value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
        let mut number = (1, Per::Host);
        let mut others = Vec::new();
        for one in value.split(':').filter(|one| !matches!(*one, "" | "-")) {
            match usages(one).next() {
                Some(("num", n, per)) if !n.is_empty() => number = (count(n)?, per),
                _ => others.push(one),
            }
        }
        if !others.is_empty() {
            found.warn(
                at,
                format!(
                    "a job does not share its GPUs, and the queue decides their type: {} is ignored",
                    others.join(":")
                ),
            );
        }
        self.gpus = Some((number, at.clone()));
        Ok(())
    }

    /// Reads a size. A size without a unit is in the unit that the user has configured, or else in
    /// `unit`. Other LSF clusters may have another unit, so an unlikely size gets a warning.
    fn memory(&self, value: &str, unit: &str, at: &At, found: &mut Directives) -> Result<Memory, Invalid> {
        if !value.bytes().all(|b| b.is_ascii_digit()) || value.is_empty() {
            return value.parse();
        }
        let (unit, whose) = match self.unit {
            Some(unit) => (unit.letter(), "as LSF_UNIT_FOR_LIMITS says"),
            None => (unit, "LSF's default"),
        };
        let counts = format!("{value} counts as {unit}B, {whose}");
        let write = "if your cluster's LSF_UNIT_FOR_LIMITS is another unit, write it, such as 4GB, or set it for all \
                     scripts: `lsf_unit_for_limits = \"MB\"` in the settings file";
        let memory: Memory = format!("{value}{unit}").parse().map_err(|e: Invalid| match self.unit {
            Some(_) => Invalid::because(format!("{counts}, and no job can have that: {e}")),
            None => Invalid::because(format!("{counts}, and no job can have that: {write}")),
        })?;
        if memory.mib() < UNLIKELY_MIB && self.unit.is_none() {
            found.warn(at, format!("{counts}, and is only {memory} MiB: {write}"));
        }
        Ok(memory)
    }

    /// Computes the resources of a host.
    pub fn finish(self, found: &mut Directives) -> LsfShape {
        if let Some((file, at)) = &self.input {
            found.say(at, [stdin(file, self.cwd.as_deref())]);
        }
        let slots = self.slots.as_ref().map_or(1, |(n, _)| *n);
        let per_host = self.per_host.as_ref().map_or(slots, |(n, _)| *n).min(slots);
        let nodes = slots.div_ceil(per_host);
        if nodes > 1
            && let Some((_, at)) = &self.per_host
        {
            found.say(at, [format!("--nodes={nodes}")]);
        }
        let cpus = self.cpus_per_task.as_ref().map_or(1, |(n, _)| *n);
        if let Some((_, at)) = self.slots.as_ref().or(self.cpus_per_task.as_ref()) {
            match per_host.checked_mul(cpus).filter(|n| *n <= 100_000) {
                Some(vcpus) => found.say(at, [format!("--vcpus={vcpus}")]),
                None => found.refuse(at, "that is more than a node can have"),
            }
        }
        match (&self.warning_action, &self.warning_time) {
            (Some((action, at)), Some((time, _))) => match EarlySignal::from_lsf(action, time) {
                Ok(signal) => found.signal = Some(signal),
                Err(invalid) => found.refuse(at, invalid.to_string()),
            },
            (Some((_, at)), None) => found.warn(at, "LSF sends nothing without -wt, and neither does awsb"),
            (None, Some((_, at))) => found.warn(at, "LSF sends nothing without -wa, and neither does awsb"),
            (None, None) => {}
        }
        if let Some((_, at)) = &self.is_interactive {
            if self.waits.is_some() {
                found.refuse(at, "LSF takes -I or -K, and not both");
            }
            if self.reruns.is_some() {
                found.refuse(at, "LSF does not run an interactive job again: -I or -r, and not both");
            }
        }
        let on_a_host = |number: u64, per: Per| match per {
            Per::Host => number,
            Per::Task => number.saturating_mul(per_host.into()),
            Per::Job => number.div_ceil(nodes.into()),
        };
        let gpus = |(number, per): (u32, Per)| on_a_host(number.into(), per);
        match (&self.gpus, &self.reserved_gpus) {
            // LSF's documentation does not say which one counts.
            (Some((asked, at)), Some((reserved, reserved_at))) if gpus(*asked) != gpus(*reserved) => {
                let shown = |(number, per): (u32, Per)| per.of(number);
                let (first, last) =
                    if at.line <= reserved_at.line { (at, reserved_at) } else { (reserved_at, at) };
                let reason = format!(
                    "the number of GPUs is {} by -gpu and {} by rusage (`{}` in line {}): give it once",
                    shown(*asked),
                    shown(*reserved),
                    first.text,
                    first.line
                );
                found.refuse(last, reason);
            }
            (Some((number, at)), _) | (None, Some((number, at))) => {
                found.say(at, [format!("--gpus={}", gpus(*number))]);
            }
            (None, None) => {}
        }
        // Batch has one number for reserved and usable memory. A single process may use `-M`, so
        // the job needs at least that.
        let limit = self.limit.map(|(memory, at)| (memory.mib(), at));
        let reserved = self.reserved.map(|((memory, per), at)| (on_a_host(memory.mib(), per), at));
        if let Some((mib, at)) = limit.into_iter().chain(reserved).max_by_key(|(mib, _)| *mib) {
            match mib.to_string().parse::<Memory>() {
                Ok(memory) => found.say(&at, [format!("--memory={memory}M")]),
                Err(invalid) => found.refuse(&at, invalid.to_string()),
            }
        }
        for (consumption, per, at) in &self.consumes {
            if *per == Per::Job {
                found.share(consumption.clone(), at);
                continue;
            }
            // Each node of a job in Batch takes the quantity.
            let quantity = on_a_host(consumption.quantity, *per);
            found.say(at, [format!("--consume={}", Consumption { quantity, ..consumption.clone() })]);
        }
        LsfShape { slots }
    }
}

/// Sets a value of `rusage`. LSF puts all its `-R` together, so that none replaces another one.
///
/// # Errors
/// When another value is there, which is returned.
fn place_once<T: Copy + PartialEq>(place: &mut Placed<T>, value: T, at: &At) -> Result<(), T> {
    match place {
        Some((before, _)) if *before != value => Err(*before),
        _ => {
            *place = Some((value, at.clone()));
            Ok(())
        }
    }
}

/// Reads a whole number, at least 1.
fn count(value: &str) -> Result<u32, Invalid> {
    let plain = value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u32>() {
        Ok(n) if plain && n >= 1 => Ok(n),
        _ => Err(Invalid::because(format!("'{value}' is not a whole number of 1 or more"))),
    }
}

/// Reads `4`, or `4,8`: LSF starts with 4 and tries for 8.
fn slots(value: &str, at: &At, found: &mut Directives) -> Result<u32, Invalid> {
    let Some((least, most)) = value.split_once(',') else { return count(value) };
    let (least, most) = (count(least)?, count(most)?);
    if most < least {
        return Err(Invalid::because(format!(
            "the largest number of slots, {most}, is smaller than the \
                                             smallest, {least}"
        )));
    }
    if most > least {
        found.note(at, format!("Batch takes one number of vCPUs: the smallest, {least}, is used"));
    }
    Ok(least)
}

/// Reads the vCPUs of a task, and its placement within a host: `core(4)`, `thread(2):cpubind=core`.
fn affinity(body: &str) -> Result<(u32, String), Invalid> {
    let mut cpus: u32 = 1;
    let mut others = Vec::new();
    for part in body.split(':').map(str::trim).filter(|part| !part.is_empty()) {
        let unit = part.strip_suffix(')').and_then(|part| part.split_once('('));
        match unit {
            Some(("core" | "thread", inner)) => {
                let (number, more) = inner.split_once(',').map_or((inner, ""), |(n, more)| (n, more));
                cpus = cpus.saturating_mul(count(number.trim())?);
                if !more.is_empty() {
                    others.push(more);
                }
            }
            _ => others.push(part),
        }
    }
    Ok((cpus, others.join(":")))
}

/// Reads the exit codes of `-Q`, such as `1 75 EXCLUDE(9)`. After them a job is retried.
fn requeue(value: &str, at: &At, found: &mut Directives) -> Result<Vec<String>, Invalid> {
    let mut codes = Vec::new();
    for word in value.split_whitespace() {
        let excluded = word.strip_prefix("EXCLUDE(").and_then(|rest| rest.strip_suffix(')'));
        if excluded.is_some() {
            found.warn(at, "Batch may try the job again on the same instance");
        }
        let code = excluded.unwrap_or(word);
        if !code.parse::<u8>().is_ok_and(|_| code.bytes().all(|b| b.is_ascii_digit())) {
            return Err(Invalid::because(format!(
                "'{word}': Batch only tries a job again after exit codes in a list, such as \"1 75\" \
                 (--retry-on)"
            )));
        }
        codes.push(code);
    }
    if codes.is_empty() {
        return Err(Invalid::because("has no exit code"));
    }
    Ok(vec![format!("--retry-on=exit:{}", codes.join(","))])
}

/// Reads `-f "LOCAL OPERATOR [REMOTE]"`: `>` copies to the job before it runs, `<` back when it has
/// ended, `><` and `<>` do both.
fn file(value: &str, at: &At, found: &mut Directives) -> Result<Vec<String>, Invalid> {
    let form = || Invalid::because("LSF's form is \"LOCAL > REMOTE\", with >, <, <<, >< or <>");
    let from = value.find(['<', '>']).ok_or_else(form)?;
    let rest = value[from..].trim_start_matches(['<', '>']);
    let operator = &value[from..value.len() - rest.len()];
    let (local, remote) = (value[..from].trim(), rest.trim());
    if local.is_empty() {
        return Err(form());
    }
    let remote = if remote.is_empty() { local } else { remote };
    let (goes, returns) = match operator {
        ">" => (true, false),
        "<" => (false, true),
        "><" | "<>" => (true, true),
        "<<" => {
            return Err(Invalid::because(
                "Batch cannot append to a file here: `<` keeps the file, and `bout --files ID -d DIR` \
                 fetches it",
            ));
        }
        _ => return Err(form()),
    };
    let mut words = Vec::new();
    if goes {
        words.push(if local == remote {
            format!("--input={local}")
        } else {
            format!("--input={local}:{remote}")
        });
    }
    if returns {
        words.push(format!("--output-file={remote}"));
        found.note(at, "the file goes to the bucket: `bout --files ID -d DIR` fetches it");
    }
    Ok(words)
}

/// Reads `name`, `name[1-10:2]`, `[1,3,5-7]`, `name[1-10]%4`.
fn name(value: &str, at: &At, found: &mut Directives) -> Result<(), Invalid> {
    found.name = Some(value.to_owned());
    let Some((name, rest)) = value.split_once('[') else {
        found.say(at, [format!("--job-name={}", JobName::cleaned(value).as_str())]);
        return Ok(());
    };
    let Some((ids, limit)) = rest.split_once(']') else {
        return Err(Invalid::because(format!("'{value}' has a '[' without its ']'")));
    };
    let ids: TaskIds = ids.parse()?;
    if ids.min() == 0 {
        return Err(Invalid::because("LSF's indices begin with 1"));
    }
    let limit = match limit {
        "" => None,
        _ => match limit.strip_prefix('%').and_then(|limit| limit.parse::<u32>().ok()) {
            Some(limit) if limit >= 1 => Some(limit),
            _ => {
                return Err(Invalid::because(format!(
                    "'{limit}' is not a limit: that is `%N`, with a whole number of 1 or more"
                )));
            }
        },
    };
    let mut words = vec![format!("--array={}", ArrayIds { ids, limit })];
    if !name.is_empty() {
        words.insert(0, format!("--job-name={}", JobName::cleaned(name).as_str()));
    }
    found.say(at, words);
    Ok(())
}

/// Reads `[HOURS:]MINUTES[/HOST]`.
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
    // The value is checked here, so that the message names the directive and not an option that
    // nobody wrote.
    minutes.to_string().parse::<crate::WallTime>()?;
    Ok(minutes)
}

/// Reads `done(ID) && done(ID)`, where an ID alone means the same. Anything else is refused, as the
/// job might run too early.
fn dependencies(value: &str) -> Result<Vec<String>, Invalid> {
    if value.contains("||") || value.contains('!') {
        return Err(Invalid::because("Batch always waits for all dependencies"));
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
            "Batch only has `done`, not '{condition}': a job starts when its dependencies have succeeded, \
             and fails when one of them fails"
        )));
    }
    let id = id.trim();
    let is_quoted = id.starts_with('"');
    let id = id.trim_matches('"');
    // Child i depends on child i of the other array.
    let (id, each) = id.strip_suffix("[*]").map_or((id, ""), |id| (id, "n_to_n:"));
    Ok(format!("--depends-on={each}{}", awaited(id.trim(), is_quoted)?))
}

/// Reads the ID of a job, or a name for all jobs with it. A text that is not a complete ID is a
/// name, and never the beginning of an ID. Digits are a number unless they are quoted.
fn awaited(text: &str, is_quoted: bool) -> Result<String, Invalid> {
    let is_number = !is_quoted && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if text.parse::<JobRef>().is_ok_and(|job| job.is_whole())
        || (is_number && JobNumber::read(text).is_some())
    {
        return Ok(text.to_owned());
    }
    if is_number {
        return Err(Invalid::because(format!(
            "'{text}' is not the number of a job here (those have at least 13 digits); put quotes around a \
             name that is a number"
        )));
    }
    // The same characters are replaced as in the names of jobs.
    let clean: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*') { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric() && *c != '*')
        .collect();
    match clean.trim_end_matches('-') {
        "" => Err(Invalid::because(format!("'{text}' is not a job"))),
        name => Ok(format!("name:{name}")),
    }
}

/// Reads `all`, `none`, names with or without a value, and `~NAME` for exceptions from `all`. A
/// value with a comma or a blank is in single quotes.
fn environment(value: &str) -> Result<Vec<String>, Invalid> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for c in value.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ',' if !is_quoted => parts.push(String::new()),
            _ if !is_quoted && c.is_whitespace() && parts.last().is_none_or(String::is_empty) => {}
            _ => {
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    if is_quoted {
        return Err(Invalid::because("the quote ' is never closed"));
    }
    let mut words = Vec::new();
    for one in parts.iter().filter(|one| !one.trim().is_empty()) {
        match one.trim_end() {
            "all" => words.push("--env=all".to_owned()),
            "none" => {}
            name if name.starts_with('~') => words.push(format!("--env-exclude={}", &name[1..])),
            name => {
                let one = if name.contains('=') { one } else { name };
                EnvArg::parse(OsStr::new(one))?;
                words.push(format!("--env={one}"));
            }
        }
    }
    Ok(words)
}
