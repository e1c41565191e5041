//! sbatch's options.

/// The part of a job that an option sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    JobName,
    Array,
    CpusPerTask,
    Ntasks,
    NtasksPerNode,
    Nodes,
    Mem,
    MemPerCpu,
    MemPerGpu,
    Gpus,
    GpusPerNode,
    GpusPerTask,
    CpusPerGpu,
    Gres,
    Time,
    Licenses,
    Dependency,
    Partition,
    Chdir,
    Export,
    Comment,
    Requeue,
    Signal,
    Begin,
    Input,
    Wait,
    Output,
}

/// An option of sbatch.
#[derive(Debug)]
pub struct Opt {
    /// The letter, if it has one.
    pub short: Option<char>,
    /// The long name, without the dashes.
    pub long: &'static str,
    /// Whether it has a value.
    pub value: Value,
    /// The treatment of the option.
    pub meaning: Meaning,
}

/// Whether an option has a value (getopt's `no_argument` and so on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// It has none.
    None,
    /// It has one, attached or in the next word.
    Needed,
    /// It may have one, attached to it.
    Optional,
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

/// sbatch's options (`src/common/slurm_opt.c` of Slurm 26.11; names that it no longer has are
/// marked).
pub const OPTIONS: &[Opt] = &[
    // The description of the job.
    job('J', "job-name", Key::JobName),
    job('a', "array", Key::Array),
    job('c', "cpus-per-task", Key::CpusPerTask),
    job('n', "ntasks", Key::Ntasks),
    long_job("ntasks-per-node", Key::NtasksPerNode),
    long_job("tasks-per-node", Key::NtasksPerNode),
    job('N', "nodes", Key::Nodes),
    long_job("mem", Key::Mem),
    long_job("mem-per-cpu", Key::MemPerCpu),
    long_job("mem-per-gpu", Key::MemPerGpu),
    job('G', "gpus", Key::Gpus),
    long_job("gpus-per-node", Key::GpusPerNode),
    long_job("gpus-per-task", Key::GpusPerTask),
    long_job("cpus-per-gpu", Key::CpusPerGpu),
    long_job("gres", Key::Gres),
    job('t', "time", Key::Time),
    job('d', "dependency", Key::Dependency),
    job('p', "partition", Key::Partition),
    job('D', "chdir", Key::Chdir),
    // The name of --chdir up to Slurm 18.
    long_job("workdir", Key::Chdir),
    long_job("export", Key::Export),
    long_job("comment", Key::Comment),
    Opt { short: None, long: "requeue", value: Value::Optional, meaning: Meaning::Job(Key::Requeue) },
    long_flag("no-requeue", Meaning::Nothing),
    flag('W', "wait", Meaning::Job(Key::Wait)),
    job('o', "output", Key::Output),
    job('e', "error", Key::Output),
    long_job("open-mode", Key::Output),
    // Accounting and notifications.
    not('A', "account", "Batch has no accounts; `--tag` marks a job for the bill"),
    long_not("wckey", "Batch has no accounts; `--tag` marks a job for the bill"),
    not('q', "qos", "the queue decides on priority and limits"),
    long_not("mail-type", MAIL),
    long_not("mail-user", MAIL),
    // Times.
    long_not("priority", "the queue decides on priority and limits"),
    optional(None, "nice", "the queue decides on priority and limits"),
    job('b', "begin", Key::Begin),
    long_refused("deadline", "Batch has no deadlines: `--time` limits how long a job runs"),
    long_not("delay-boot", "Batch starts a job as soon as it can"),
    flag('H', "hold", Meaning::Refused("Batch cannot hold a job: submit it when it is to run")),
    long_not("time-min", "Batch takes one time limit, `--time`"),
    long_job("signal", Key::Signal),
    long_not("kill-on-invalid-dep", "a job whose dependency failed always fails"),
    flag('I', "immediate", Meaning::Unhonoured("Batch starts a job as soon as it can")),
    long_flag("test-only", Meaning::Refused("this submits nothing; remove the line to submit the job")),
    // Hosts.
    not('C', "constraint", CHOICE),
    long_not("prefer", CHOICE),
    long_not("cluster-constraint", CHOICE),
    not('M', "clusters", "a cluster is chosen on the command line, with `--cluster`"),
    long_not("cluster", "a cluster is chosen on the command line, with `--cluster`"),
    not('w', "nodelist", CHOICE),
    not('F', "nodefile", CHOICE),
    not('x', "exclude", CHOICE),
    long_not("reservation", CHOICE),
    long_not("switches", CHOICE),
    long_not("segment", CHOICE),
    long_flag("consolidate-segments", Meaning::Unhonoured(CHOICE)),
    long_flag("spread-segments", Meaning::Unhonoured(CHOICE)),
    long_not("resources", CHOICE),
    long_flag("contiguous", Meaning::Unhonoured(CHOICE)),
    long_flag("spread-job", Meaning::Unhonoured(CHOICE)),
    long_flag("use-min-nodes", Meaning::Nothing),
    optional(None, "exclusive", SHARING),
    flag('s', "oversubscribe", Meaning::Unhonoured(SHARING)),
    long_flag("share", Meaning::Unhonoured(SHARING)),
    flag('O', "overcommit", Meaning::Unhonoured(SHARING)),
    job('L', "licenses", Key::Licenses),
    long_not("bb", "Batch has no burst buffers"),
    long_not("bbf", "Batch has no burst buffers"),
    long_not("tmp", "the job definition sets a job's disk"),
    long_not("network", "the compute environment sets a job's network"),
    optional(None, "resv-ports", "the compute environment sets a job's network"),
    // Parts of a node.
    long_not("mincpus", "Batch takes one number of vCPUs for a node, from `--cpus-per-task` and `--ntasks`"),
    not('B', "extra-node-info", LAYOUT),
    long_not("sockets-per-node", LAYOUT),
    long_not("cores-per-socket", LAYOUT),
    long_not("threads-per-core", LAYOUT),
    long_not("ntasks-per-core", LAYOUT),
    long_not("ntasks-per-socket", LAYOUT),
    long_not("ntasks-per-gpu", LAYOUT),
    long_not("ntasks-per-tres", LAYOUT),
    long_not("gpus-per-socket", LAYOUT),
    long_not("gpu-bind", LAYOUT),
    long_not("gpu-freq", LAYOUT),
    long_not("gres-flags", LAYOUT),
    long_not("tres-bind", LAYOUT),
    long_not("tres-per-task", LAYOUT),
    long_not("mem-bind", LAYOUT),
    long_not("mem-update", "a job's memory stays as it is"),
    long_not("hint", LAYOUT),
    not('m', "distribution", LAYOUT),
    not('S', "core-spec", LAYOUT),
    long_not("thread-spec", LAYOUT),
    long_not("cpu-freq", LAYOUT),
    // How it runs.
    job('i', "input", Key::Input),
    long_not("export-file", "give a job's variables with `--env`"),
    optional(None, "get-user-env", "give a job's variables with `--env`"),
    optional(Some('k'), "no-kill", "a multi-node job ends when its main node does"),
    long_not("wait-all-nodes", "a job's main node starts before the others"),
    long_not("container", "the job definition or `--image` sets the image"),
    long_not("container-id", "the job definition or `--image` sets the image"),
    long_not("runtime", "the job definition or `--image` sets the image"),
    long_not("context", "the job definition or `--user` sets a job's user"),
    optional(None, "oom-kill-step", "a job that needs more memory than it has is ended"),
    long_flag("external", Meaning::Refused("Batch cannot run a job without a script")),
    optional(None, "propagate", "the job definition or `--ulimit` sets limits"),
    long_not("wrap", "the script is what runs"),
    long_not("batch", CHOICE),
    long_not("jobid", "Batch assigns the IDs"),
    long_not("uid", "the job definition or `--user` sets a job's user"),
    long_not("gid", "the job definition or `--user` sets a job's user"),
    long_not("mcs-label", "Batch has no such labels"),
    long_not("acctg-freq", PROFILE),
    long_not("profile", PROFILE),
    long_not("extra", "Batch does not keep this text; `--tag` does"),
    long_not("power", CHOICE),
    long_flag("reboot", Meaning::Unhonoured(CHOICE)),
    long_flag("stepmgr", Meaning::Nothing),
    long_flag("ignore-pbs", Meaning::Nothing),
    long_flag("parsable", Meaning::Unhonoured(TALK)),
    flag('Q', "quiet", Meaning::Unhonoured(TALK)),
    flag('v', "verbose", Meaning::Unhonoured(TALK)),
    flag('V', "version", Meaning::Unhonoured(TALK)),
    flag('h', "help", Meaning::Unhonoured(TALK)),
    long_flag("usage", Meaning::Unhonoured(TALK)),
    // Names that older versions had, as --workdir, --share, --immediate, --jobid and --power above.
    long_not("checkpoint", "Batch makes no checkpoints"),
    long_not("checkpoint-dir", "Batch makes no checkpoints"),
];

const MAIL: &str = "Batch sends no mail; `--wait` waits until the job ends";
const CHOICE: &str = "Batch chooses the instances from those that the queue's compute environments offer";
const SHARING: &str =
    "a job does not share the vCPUs, memory and GPUs that it requests, and gets nothing else of its instance";
const LAYOUT: &str = "Batch only manages vCPUs, memory and GPUs, nothing within an instance";
const PROFILE: &str = "Batch does not measure single jobs";
const TALK: &str = "belongs on the command line";

const fn job(short: char, long: &'static str, key: Key) -> Opt {
    Opt { short: Some(short), long, value: Value::Needed, meaning: Meaning::Job(key) }
}

const fn long_job(long: &'static str, key: Key) -> Opt {
    Opt { short: None, long, value: Value::Needed, meaning: Meaning::Job(key) }
}

const fn not(short: char, long: &'static str, reason: &'static str) -> Opt {
    Opt { short: Some(short), long, value: Value::Needed, meaning: Meaning::Unhonoured(reason) }
}

const fn long_not(long: &'static str, reason: &'static str) -> Opt {
    Opt { short: None, long, value: Value::Needed, meaning: Meaning::Unhonoured(reason) }
}

const fn long_refused(long: &'static str, reason: &'static str) -> Opt {
    Opt { short: None, long, value: Value::Needed, meaning: Meaning::Refused(reason) }
}

const fn optional(short: Option<char>, long: &'static str, reason: &'static str) -> Opt {
    Opt { short, long, value: Value::Optional, meaning: Meaning::Unhonoured(reason) }
}

const fn flag(short: char, long: &'static str, meaning: Meaning) -> Opt {
    Opt { short: Some(short), long, value: Value::None, meaning }
}

const fn long_flag(long: &'static str, meaning: Meaning) -> Opt {
    Opt { short: None, long, value: Value::None, meaning }
}
