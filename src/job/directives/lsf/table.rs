//! LSF's `bsub` options.

use super::Key;

/// An option of LSF's `bsub`.
#[derive(Debug)]
pub struct Opt {
    /// Its name, without the dash.
    pub name: &'static str,
    /// Whether it has a value.
    pub value: bool,
    /// What becomes of it.
    pub meaning: Meaning,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is honoured.
    Job(Key),
    /// The job runs without it, for this reason.
    Unhonoured(&'static str),
    /// It changes nothing that a job could notice.
    Nothing,
}

/// The options of IBM Spectrum LSF 10.1 (`lsf_command_ref`, bsub).
pub const OPTIONS: &[Opt] = &[
    // What a job is.
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
    flag("rn", Meaning::Nothing),
    flag("K", Meaning::Job(Key::Wait)),
    flag("I", Meaning::Job(Key::Interactive)),
    job("o", Key::Output),
    job("oo", Key::Output),
    job("e", Key::Output),
    job("eo", Key::Output),
    job("outdir", Key::Output),
    // Who pays and who is told.
    not("P", "Batch knows no projects; `--tag` marks a job for the bill"),
    not("Lp", "Batch knows no projects; `--tag` marks a job for the bill"),
    not("G", "the queue decides on shares and limits"),
    not("U", CHOICE),
    not("u", MAIL),
    flag("N", Meaning::Unhonoured(MAIL)),
    flag("Ne", Meaning::Unhonoured(MAIL)),
    flag("B", Meaning::Unhonoured(MAIL)),
    not("notify", MAIL),
    not("Jd", "Batch keeps no such text; `--tag` does"),
    not("g", "Batch knows no groups of jobs; `--tag` marks them"),
    not("sla", "the queue decides on priority and limits"),
    not("sp", "the queue decides on priority and limits"),
    // When.
    not("b", START),
    not("t", "Batch takes a time limit, `--time`, and no time of day"),
    not("We", START),
    flag("H", Meaning::Unhonoured("Batch cannot hold a job back")),
    not("E", HOOKS),
    not("Ep", HOOKS),
    not("eptl", START),
    not("ptl", START),
    flag("ti", Meaning::Nothing),
    not("wa", SIGNALS),
    not("wt", SIGNALS),
    not("s", SIGNALS),
    not("Q", "`--retry-attempts` says how often a job is tried"),
    // Where.
    not("m", CHOICE),
    not("clusters", CHOICE),
    not("hostfile", CHOICE),
    not("rnc", CHOICE),
    not("mig", CHOICE),
    flag(
        "x",
        Meaning::Unhonoured("a job has the vCPUs, memory and GPUs that it asks for to itself, and no more"),
    ),
    not("app", "LSF's application profiles are of its own cluster"),
    not("a", "LSF's esub programs are of its own cluster"),
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
    not("nnodes", "`span[ptile=N]` in -R gives a job its nodes"),
    not("step_cgroup", CHOICE),
    // Limits of a process.
    not("C", LIMITS),
    not("c", LIMITS),
    not("D", LIMITS),
    not("F", LIMITS),
    not("p", LIMITS),
    not("S", LIMITS),
    not("T", LIMITS),
    not("v", LIMITS),
    flag("ul", Meaning::Unhonoured(LIMITS)),
    flag("hl", Meaning::Unhonoured(LIMITS)),
    // How it runs.
    not("i", "a job has nothing on standard input"),
    not("is", "a job has nothing on standard input"),
    not("f", "a job's files come with the script, or from S3"),
    not("data", "a job's files come with the script, or from S3"),
    not("datagrp", "a job's files come with the script, or from S3"),
    flag("datachk", Meaning::Unhonoured("a job's files come with the script, or from S3")),
    not("stage", "a job's files come with the script, or from S3"),
    not("k", "Batch makes no checkpoints"),
    not("L", "a job has no login shell"),
    flag("ar", Meaning::Unhonoured("a job's size stays as it is")),
    not("jsdl", "awsb reads no JSDL"),
    not("jsdl_strict", "awsb reads no JSDL"),
    not("pack", "awsb submits one script at a time"),
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
    flag("h", Meaning::Unhonoured("is for the command line")),
    flag("V", Meaning::Unhonoured("is for the command line")),
];

const MAIL: &str = "Batch sends no mail; `--wait` waits for the job's end";
const CHOICE: &str = "Batch chooses the instances, from what the queue's compute environments offer";
const START: &str = "Batch starts a job as soon as it can";
const SIGNALS: &str = "Batch ends a job with SIGTERM, and 30 seconds later with SIGKILL";
const HOOKS: &str = "Batch runs nothing before or after a job; the script can";
const LIMITS: &str = "limits (ulimit) are the job definition's";
const TERMINAL: Meaning =
    Meaning::Unhonoured("a job of Batch has no terminal; `--interactive` shows its output");

const fn job(name: &'static str, key: Key) -> Opt {
    Opt { name, value: true, meaning: Meaning::Job(key) }
}

const fn not(name: &'static str, reason: &'static str) -> Opt {
    Opt { name, value: true, meaning: Meaning::Unhonoured(reason) }
}

const fn flag(name: &'static str, meaning: Meaning) -> Opt {
    Opt { name, value: false, meaning }
}
