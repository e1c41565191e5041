//! LSF's `bsub` options.

/// The part of a job that an option sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    JobName,
    Slots,
    Time,
    Memory,
    Resources,
    Gpu,
    Queue,
    Dependency,
    Cwd,
    Env,
    Rerun,
    NeverRerun,
    Requeue,
    Input,
    File,
    WarningAction,
    WarningTime,
    Wait,
    Interactive,
    Output,
}

/// An option of LSF's `bsub`.
#[derive(Debug)]
pub struct Opt {
    /// The name, without the dash.
    pub name: &'static str,
    /// Whether it has a value.
    pub value: bool,
    /// The treatment of the option.
    pub meaning: Meaning,
}

/// The treatment of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is honoured.
    Job(Key),
    /// The job runs without it, for this reason.
    Unhonoured(&'static str),
    /// It has no effect that a job could notice.
    Nothing,
    /// It is refused for this reason, as the job would be another one without it.
    Refused(&'static str),
}

/// The options of IBM Spectrum LSF 10.1 (`lsf_command_ref`, bsub).
pub const OPTIONS: &[Opt] = &[
    // The description of the job.
    job("J", Key::JobName),
    job("n", Key::Slots),
    job("W", Key::Time),
    job("M", Key::Memory),
    job("R", Key::Resources),
    job("gpu", Key::Gpu),
    job("q", Key::Queue),
    job("w", Key::Dependency),
    job("cwd", Key::Cwd),
    job("env", Key::Env),
    flag("r", Meaning::Job(Key::Rerun)),
    flag("rn", Meaning::Job(Key::NeverRerun)),
    job("Q", Key::Requeue),
    job("i", Key::Input),
    job("is", Key::Input),
    job("f", Key::File),
    job("wa", Key::WarningAction),
    job("wt", Key::WarningTime),
    flag("K", Meaning::Job(Key::Wait)),
    flag("I", Meaning::Job(Key::Interactive)),
    job("o", Key::Output),
    job("oo", Key::Output),
    job("e", Key::Output),
    job("eo", Key::Output),
    job("outdir", Key::Output),
    // Accounting and notifications.
    not("P", "Batch has no projects; `--tag` marks a job for the bill"),
    not("Lp", "Batch has no projects; `--tag` marks a job for the bill"),
    not("G", "the nearest in Batch is a share of the queue's scheduling policy (`--share`)"),
    not("U", CHOICE),
    not("u", MAIL),
    flag("N", Meaning::Unhonoured(MAIL)),
    flag("Ne", Meaning::Unhonoured(MAIL)),
    flag("B", Meaning::Unhonoured(MAIL)),
    not("notify", MAIL),
    not("Jd", "Batch does not keep this text; `--tag` does"),
    not("g", "Batch has no groups of jobs; `--tag` marks them"),
    not("sla", "the queue decides on priority and limits"),
    not("sp", "`--priority` is the priority within a share, in a queue with a scheduling policy"),
    // Times.
    refused("b", "Batch cannot start a job at a given time: remove this, and submit the job at that time"),
    refused("t", "Batch has no deadlines: -W limits how long a job runs"),
    // This is an estimate for LSF's scheduler, by which nothing is ended.
    Opt { name: "We", value: true, meaning: Meaning::Nothing },
    flag("H", Meaning::Refused("Batch cannot hold a job: submit it when it is to run")),
    not("E", HOOKS),
    not("Ep", HOOKS),
    not("eptl", START),
    not("ptl", START),
    flag("ti", Meaning::Nothing),
    not("s", "Batch ends a job that is terminated with SIGTERM, and 30 seconds later with SIGKILL"),
    // Hosts.
    not("m", CHOICE),
    not("clusters", CHOICE),
    refused("hostfile", "Batch chooses the instances; -n and span[ptile=N] say how many a job has"),
    not("jobaff", CHOICE),
    not("rnc", CHOICE),
    not("mig", CHOICE),
    flag(
        "x",
        Meaning::Unhonoured(
            "a job does not share the vCPUs, memory and GPUs that it requests, and gets \
                             nothing else",
        ),
    ),
    not("app", "application profiles belong to LSF's own cluster"),
    not("a", "esub programs belong to LSF's own cluster"),
    not("ext", "is for LSF's own scheduler"),
    not("freq", CHOICE),
    not("smt", CHOICE),
    not("alloc_flags", CHOICE),
    not("core_isolation", CHOICE),
    not("csm", CHOICE),
    not("cn_cu", CHOICE),
    not("cn_mem", CHOICE),
    not("ln_mem", CHOICE),
    not("ln_slots", CHOICE),
    not("jsm", CHOICE),
    refused(
        "nnodes",
        "Batch does not know how large a whole node is: give its size with `#AWSB --nodes N --vcpus V \
         --memory M`",
    ),
    not("step_cgroup", CHOICE),
    // Limits of a process.
    not("C", "`#AWSB --ulimit core=BYTES` limits it"),
    not("c", "`#AWSB --ulimit cpu=SECONDS` limits it for a process, and -W the job's time"),
    not("D", "`#AWSB --ulimit data=BYTES` limits it"),
    not("F", "`#AWSB --ulimit fsize=BYTES` limits it"),
    not("p", "`#AWSB --ulimit nproc=N` limits it for the job's user"),
    not("S", "`#AWSB --ulimit stack=BYTES` limits it"),
    not(
        "T",
        "Batch does not limit threads; `#AWSB --ulimit nproc=N` limits the processes and threads of the \
         job's user",
    ),
    not("v", "Batch does not limit swap space: a job has the memory that -M or rusage[mem=…] requests"),
    flag("ul", Meaning::Unhonoured(LIMITS)),
    flag("hl", Meaning::Unhonoured(LIMITS)),
    // How it runs.
    not("data", "a job's files come with the script, or from S3"),
    not("datagrp", "a job's files come with the script, or from S3"),
    flag("datachk", Meaning::Unhonoured("a job's files come with the script, or from S3")),
    not("stage", "a job's files come with the script, or from S3"),
    refused("k", "Batch makes no checkpoints: with `--retry-on`, a script can continue from its own"),
    not("L", "a job has no login shell"),
    flag("ar", Meaning::Unhonoured("a job's size stays as it is")),
    refused("jsdl", "awsb does not read a job from another file"),
    refused("jsdl_strict", "awsb does not read a job from another file"),
    refused("json", "awsb does not read a job from another file"),
    refused("yaml", "awsb does not read a job from another file"),
    refused("pack", "awsb submits one script at a time"),
    flag("Zs", Meaning::Nothing),
    flag("ns", Meaning::Nothing),
    flag("tty", TERMINAL),
    flag("Ip", TERMINAL),
    flag("IS", TERMINAL),
    flag("ISp", TERMINAL),
    flag("ISs", TERMINAL),
    flag("Is", TERMINAL),
    flag("IX", TERMINAL),
    flag("XF", TERMINAL),
    flag("h", Meaning::Unhonoured("belongs on the command line")),
    flag("V", Meaning::Unhonoured("belongs on the command line")),
];

const MAIL: &str = "Batch sends no mail; `--wait` waits until the job ends";
const CHOICE: &str = "Batch chooses the instances from those that the queue's compute environments offer";
const START: &str = "Batch starts a job as soon as it can";
const HOOKS: &str = "Batch runs nothing before or after a job; the script can do it";
const LIMITS: &str = "the limits of this shell stay here; `#AWSB --ulimit NAME=SOFT` sets those of the job";
const TERMINAL: Meaning =
    Meaning::Unhonoured("a job of Batch has no terminal; `--interactive` shows its output");

const fn job(name: &'static str, key: Key) -> Opt {
    Opt { name, value: true, meaning: Meaning::Job(key) }
}

const fn not(name: &'static str, reason: &'static str) -> Opt {
    Opt { name, value: true, meaning: Meaning::Unhonoured(reason) }
}

const fn refused(name: &'static str, reason: &'static str) -> Opt {
    Opt { name, value: true, meaning: Meaning::Refused(reason) }
}

const fn flag(name: &'static str, meaning: Meaning) -> Opt {
    Opt { name, value: false, meaning }
}
