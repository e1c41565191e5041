//! The options of Slurm's and LSF's tools that ours do not have: the scheduler of each, and the
//! replacement.

use super::types::GivenOption;
use super::types::Scheduler::{self, Both, Lsf, Slurm};
use crate::ui::Failure;
use awsb_model::directives::{about_lsfs, about_slurms_letter};
use awsb_model::{Consumption, JobRef, Memory, Status};

/// The tools with a counterpart in Slurm or LSF.
pub const TOOLS: [&str; 7] = ["bsub", "bstat", "bkill", "bout", "bwait", "bqueues", "bhosts"];

const OUTPUT: &str = "a job's output and standard error go to CloudWatch: `bout ID` shows them; `-o GLOB` \
                      keeps files that the job writes";
const TERMINAL: &str =
    "`-I --pty COMMAND` runs a command on this terminal; `-I` alone shows the output of a job";

/// Options of LSF's `bsub` with several letters, and their replacements. The other options have a
/// reason in the table of `#BSUB` lines.
const LSF_WORDS: [(&str, &str); 30] = [
    ("oo", OUTPUT),
    ("eo", OUTPUT),
    ("outdir", OUTPUT),
    ("cwd", "`-w DIR` is the job's working directory"),
    ("env", "`-e all` passes on this shell's variables, `-e NAME` one of them; `-e NAME=VALUE` sets one"),
    ("gpu", "`-g 1` requests a GPU"),
    ("app", "`--job-definition NAME` is the nearest to an application profile"),
    ("Is", TERMINAL),
    ("Ip", TERMINAL),
    ("IS", TERMINAL),
    ("ISp", TERMINAL),
    ("ISs", TERMINAL),
    ("IX", TERMINAL),
    ("XF", TERMINAL),
    ("tty", TERMINAL),
    ("is", "`--stdin FILE` is the job's standard input"),
    ("nnodes", "`-n N` submits a job of N nodes"),
    ("rn", "`-r 1` runs a job at most once"),
    ("ti", "leave it out: Batch always ends a job whose dependency has failed"),
    ("sp", "`--priority N`"),
    ("Jd", "`--tag description=TEXT`"),
    ("Lp", "`--tag project=NAME`"),
    ("clusters", "`-c NAME` names the cluster"),
    ("We", "leave it out: Batch needs no estimate; `-t TIME` limits a job's time"),
    ("data", "`-i PATH` sends files with the job"),
    ("datagrp", "`-i PATH` sends files with the job"),
    ("datachk", "`-i PATH` sends files with the job"),
    ("stage", "`-i PATH` sends files with the job"),
    ("notify", "Batch sends no mail; `-K` waits until the job ends"),
    ("Ep", "Batch runs nothing after a job; the script can do it"),
];

/// The replacement of an option of `docker exec` that `bexec` does not have.
pub fn instead_of_dockers(option: &str) -> Option<&'static str> {
    let instead = match option {
        "-i" | "--interactive" => {
            "leave -i out: bexec passes standard input on in any case; `-t` gives the command a terminal"
        }
        "--tty" => "`-t` gives the command a terminal",
        "-u" | "--user" => {
            "in a container, the command runs as root: `bexec ID su USER -c 'COMMAND'` runs it as another user, \
             where the image has su"
        }
        "-w" | "--workdir" => "`bexec ID sh -c 'cd DIR && COMMAND'` runs a command in a directory",
        "-e" | "--env" => "`bexec ID env NAME=VALUE COMMAND` sets a variable",
        "-d" | "--detach" => {
            "`bexec ID sh -c 'nohup COMMAND >/dev/null 2>&1 &'` leaves a command running until the job ends"
        }
        _ => return None,
    };
    Some(instead)
}

/// The replacement of an option of LSF with several letters.
pub fn instead_of_lsfs(name: &str) -> Option<&'static str> {
    LSF_WORDS.iter().find(|(word, _)| *word == name).map(|(_, instead)| *instead)
}

/// Tools, letter, scheduler, and replacement.
const LETTERS: &[(&[&str], char, Scheduler, &str)] = &[
    (&["bsub"], 'A', Slurm, "Batch has no accounts; `--tag account=NAME` marks the job for the bill"),
    (
        &["bsub"],
        'B',
        Both,
        "Batch sends no mail (`-K` waits until the job ends) and does not manage sockets, cores or threads",
    ),
    (
        &["bsub"],
        'C',
        Both,
        "Batch chooses the instances from those that the queue's compute environments offer; `--ulimit \
         core=N` is the limit",
    ),
    (&["bsub"], 'D', Both, "for Slurm's -D, use `-w DIR`; for LSF's, `--ulimit data=N`"),
    (&["bsub"], 'F', Both, "Batch chooses the instances; for LSF's -F, use `--ulimit fsize=N`"),
    (&["bsub"], 'G', Both, "for Slurm's -G, use `-g N`; the nearest to LSF's is `--share NAME`"),
    (
        &["bsub"],
        'H',
        Both,
        "Batch cannot hold a job: use `-d ID` to make it wait for another job, or submit it when it may run",
    ),
    (&["bsub"], 'L', Both, "for Slurm's -L, use `--consume NAME=N`; for LSF's, a job has no login shell"),
    (&["bsub"], 'M', Both, "for LSF's -M, use `-m SIZE`, such as 4G; for Slurm's, `-c CLUSTER`"),
    (&["bsub"], 'N', Both, "for Slurm's -N, use `-n NODES`; LSF's asks for mail, and Batch sends none"),
    (&["bsub"], 'P', Lsf, "`--tag project=NAME` marks the job for the bill"),
    (&["bsub"], 'Q', Both, "for Slurm's -Q, use `--quiet`; for LSF's, `--retry-on exit:CODE,CODE`"),
    (
        &["bsub"],
        'R',
        Lsf,
        "for memory, use `-m SIZE`; for CPUs, `-p N`; for several hosts, `-n N`; a `#BSUB -R` line in the \
         script works, too",
    ),
    (
        &["bsub"],
        'S',
        Both,
        "Batch does not manage sockets, cores or threads; for LSF's -S, use `--ulimit \
                            stack=N`",
    ),
    (&["bsub"], 'T', Lsf, "`--ulimit nproc=N`"),
    (&["bsub"], 'W', Both, "for LSF's -W, use `-t TIME`, such as 90m or 1h30m; for Slurm's, `-K`"),
    (&["bsub"], 'b', Both, "Batch starts a job as soon as it can; at(1) or cron submits it later"),
    (
        &["bsub"],
        'f',
        Lsf,
        "`-i PATH:NAME` sends files with the job, and `-o GLOB` keeps those that the job \
                           writes",
    ),
    (&["bsub"], 's', Both, "a job does not share its vCPUs, memory and GPUs; Batch ends it with SIGTERM"),
    (&["bsub"], 'u', Lsf, "Batch sends no mail; `-K` waits until the job ends"),
    (&["bsub"], 'v', Both, "for Slurm's -v, use `--debug`; Batch has nothing like LSF's"),
    (
        &["bsub"],
        'x',
        Both,
        "a job does not share the vCPUs, memory and GPUs that it requests; Batch chooses the instances",
    ),
    (&["bstat"], 'a', Both, "`-s ALL` shows jobs that have ended, too"),
    (&["bstat", "bqueues", "bhosts"], 'l', Both, "`-d` shows details"),
    (&["bout"], 'l', Both, "`bstat -d ID` shows a job's details"),
    (&["bstat"], 'u', Both, "bstat shows the jobs of all users; `--mine` shows your own"),
    (&["bkill"], 'u', Both, "`--mine` ends your own jobs"),
    (&["bstat", "bkill"], 'J', Lsf, "`--name GLOB` finds jobs by their name"),
    (&["bstat", "bkill"], 'n', Slurm, "`--name GLOB` finds jobs by their name"),
    (&["bout", "bwait"], 'J', Lsf, "give the job's ID; `bstat --name GLOB` finds it"),
    (&["bstat"], 'j', Slurm, "give the ID without an option: `bstat ID`"),
    (&["bstat", "bkill"], 't', Slurm, "`-s STATE`, such as RUNNABLE or RUNNING"),
    (
        &["bstat", "bkill"],
        'p',
        Both,
        "for Slurm's -p, use `-q QUEUE`; for waiting jobs, `-s SUBMITTED,PENDING,RUNNABLE`",
    ),
    (&["bstat"], 'r', Both, "`-s RUNNING` shows running jobs, and `-e` the children of arrays"),
    (&["bstat"], 'i', Slurm, "`-w SECONDS` repeats the view"),
    (&["bstat"], 'S', Slurm, "use `--sort COLUMN`; for the time, `--since TIME`"),
    (&["bstat"], 'A', Both, "`bstat ID` shows an array"),
    (&["bstat"], 'P', Both, "Batch has no projects; `--name`, `-q` and `--mine` choose jobs"),
    (
        &["bstat", "bkill", "bhosts", "bqueues", "bout"],
        'm',
        Lsf,
        "Batch chooses the instances; `bhosts` shows them and their jobs",
    ),
    (&["bstat", "bkill"], 'M', Both, "`-c NAME` names the cluster"),
    (&["bstat"], 'W', Lsf, "`-d` shows details, and `-o LIST` chooses the columns"),
    (&["bstat"], 'x', Lsf, "`--failed` shows the jobs that have failed"),
    (&["bkill"], 'A', Slurm, "Batch has no accounts; `--name`, `-q` and `--mine` choose jobs"),
    (&["bkill"], 'g', Lsf, "Batch has no groups of jobs; `--name GLOB` chooses jobs by name"),
    (&["bkill"], 'b', Both, "leave it out: Batch sends a job SIGTERM and, 30 seconds later, SIGKILL"),
    (&["bout"], 'a', Lsf, "`bout ID` shows the output of all children, and `--task N` that of one"),
    (&["bout"], 'q', Lsf, "give the job's ID; `bstat -q QUEUE` finds it"),
    (&["bwait"], 'w', Lsf, "`bwait ID` waits until the job has ended, whatever its exit code"),
    (&["bwait"], 't', Lsf, "`--timeout TIME`, such as 10m"),
    (&["bqueues"], 'u', Lsf, "AWS's permissions decide who may submit"),
    (&["bqueues", "bhosts"], 'w', Lsf, "leave it out: nothing is cut"),
    (&["bqueues", "bhosts"], 'N', Slurm, "`bhosts` shows the machines, one in each line"),
    (
        &["bqueues", "bhosts"],
        'p',
        Slurm,
        "give the queue's name to `bqueues` without an option, or to `bhosts` as `-q QUEUE`",
    ),
    (&["bhosts"], 's', Lsf, "Batch only manages vCPUs, memory and GPUs"),
    (&["bhosts"], 'R', Lsf, "`-q QUEUE` shows the machines of a queue"),
];

/// Tools, long option, and replacement. The other options of sbatch have a reason in the table of
/// `#SBATCH` lines.
pub const LONG: &[(&[&str], &str, &str)] = &[
    (
        &["bsub"],
        "test-only",
        "--test-only is Slurm's: `--dry-run` shows what would be sent, and sends nothing",
    ),
    (&["bsub"], "name", "`-J NAME`, `--job-name NAME`"),
    (
        &["bsub"],
        "ntasks",
        "--ntasks is Slurm's: it works as an #SBATCH line in the script; on the command line, use `-p N` \
         for CPUs",
    ),
    (
        &["bsub"],
        "licenses",
        "--licenses is Slurm's: it works as an #SBATCH line in the script; on the command line, use \
         `--consume NAME=N`",
    ),
    (&["bsub"], "cpus", "for CPUs, use `-p N` or `--vcpus N`"),
    (&["bsub"], "gres", "--gres is Slurm's: for GPUs, use `-g N`"),
    (&["bsub"], "gpus-per-node", "--gpus-per-node is Slurm's: for the GPUs of each node, use `-g N`"),
    (&["bsub"], "gpus-per-task", "--gpus-per-task is Slurm's: for GPUs, use `-g N`"),
    (&["bsub"], "export", "--export is Slurm's: use `-e all`, `-e NAME` or `-e NAME=VALUE`"),
    (&["bsub"], "requeue", "--requeue is Slurm's: use `--retry-on spot`"),
    (&["bsub"], "comment", "--comment is Slurm's: use `--tag comment=TEXT`"),
    (&["bsub"], "mem-per-cpu", "--mem-per-cpu is Slurm's: `-m SIZE` is the memory of the job"),
    (&["bsub"], "workdir", "--workdir was Slurm's: use `-w DIR`"),
    (&["bsub"], "account", "--account is Slurm's: `--tag account=NAME` marks the job for the bill"),
    (&["bsub"], "wckey", "--wckey is Slurm's: `--tag wckey=NAME` marks the job for the bill"),
    (&["bsub"], "qos", "--qos is Slurm's: `--priority N` and `--share NAME` are nearest"),
    (&["bsub"], "immediate", "--immediate is Slurm's: Batch starts a job as soon as it can"),
    (&["bstat"], "jobs", "give the ID without an option: `bstat ID`"),
    (&["bstat"], "job", "give the ID without an option: `bstat ID`"),
    (&["bstat", "bkill"], "states", "`-s STATE`, such as RUNNABLE or RUNNING"),
    (&["bstat", "bkill"], "state", "`-s STATE`, such as RUNNABLE or RUNNING"),
    (&["bstat", "bkill"], "me", "`--mine`"),
    (&["bstat", "bkill"], "user", "`--mine` shows your own jobs"),
    (&["bstat", "bkill"], "users", "`--mine` shows your own jobs"),
    (&["bstat"], "allusers", "leave it out: bstat shows the jobs of all users"),
    (&["bstat", "bkill"], "partition", "`-q QUEUE`"),
    (&["bhosts"], "partition", "`-q QUEUE`"),
    (&["bstat", "bkill"], "jobname", "`--name GLOB`"),
    (&["bstat", "bkill"], "job-name", "`--name GLOB`"),
    (&["bstat"], "format", "use `-o LIST`, with the names of the JSON fields"),
    (&["bstat"], "noheader", "`--no-header`"),
    (&["bqueues", "bhosts"], "noheader", "`--no-header`"),
    (&["bstat"], "long", "`-d` shows details"),
    (&["bstat"], "iterate", "`-w SECONDS`"),
    (&["bstat"], "start", "`bstat --why ID` says why a job does not run"),
    (&["bstat"], "array", "`-e` shows the children of arrays"),
    (&["bstat"], "starttime", "`--since TIME`"),
    (&["bstat"], "endtime", "`--until TIME`"),
    (&["bkill"], "signal", "leave it out: Batch sends a job SIGTERM and, 30 seconds later, SIGKILL"),
];

/// The failure of a letter that is not an option of ours.
pub fn letter(tool: &str, letter: char, value: Option<&str>) -> Option<Failure> {
    let known = LETTERS.iter().find(|(tools, one, ..)| tools.contains(&tool) && *one == letter);
    let (whose, instead) = match known {
        Some((_, _, whose, instead)) => {
            (*whose, exactly(letter, value).unwrap_or_else(|| (*instead).to_owned()))
        }
        None if tool == "bsub" => {
            let mut text = [0; 4];
            match (about_slurms_letter(letter), about_lsfs(letter.encode_utf8(&mut text))) {
                (Some(reason), _) => (Slurm, reason.to_owned()),
                (None, Some((_, Some(reason)))) => (Lsf, reason.to_owned()),
                (None, _) => return None,
            }
        }
        None => return None,
    };
    let typed = value.map_or_else(|| format!("-{letter}"), |value| format!("-{letter} {value}"));
    let message = format!("`{typed}` is an option of {}; {tool} has no option -{letter}", whose.text());
    Some(Failure::usage(message).hint(instead))
}

/// The replacement with the value itself, if the value has only one meaning.
fn exactly(letter: char, value: Option<&str>) -> Option<String> {
    let value = value?;
    match letter {
        // A path is LSF's login shell.
        'L' if value.contains([':', '=']) && !value.contains('/') => {
            let licence = |one: &str| {
                let (name, quantity) = one.split_once([':', '='])?;
                let consumption = format!("{name}={quantity}").parse::<Consumption>().ok()?;
                Some(format!("--consume {consumption}"))
            };
            let words: Vec<String> = value.split([',', ';']).map(licence).collect::<Option<_>>()?;
            Some(format!("`{}`", words.join(" ")))
        }
        'M' => value.strip_suffix('!').unwrap_or(value).parse::<Memory>().ok().and_then(|memory| {
            // The unit of a bare number, KB or MB, depends on the LSF cluster.
            value.contains(|c: char| c.is_ascii_alphabetic()).then(|| format!("`-m {}M`", memory.mib()))
        }),
        'W' => {
            let (hours, minutes) = match value.split_once(':') {
                Some((hours, minutes)) => (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?),
                None => (0, value.parse::<u32>().ok()?),
            };
            Some(format!("`-t {}m`", hours.checked_mul(60)?.checked_add(minutes)?))
        }
        'N' => value.parse::<u32>().ok().map(|nodes| format!("`-n {nodes}`")),
        'G' => value.parse::<u32>().ok().map(|gpus| format!("`-g {gpus}`")),
        'D' if value.contains('/') => Some(format!("`-w {value}`")),
        'P' => Some(format!("`--tag project={value}` marks the job for the bill")),
        _ => None,
    }
}

/// Fails if a word of another tool's command line has a meaning only in Slurm or LSF.
pub fn check(tool: &str, given: &[GivenOption<'_>], operands: &[String]) -> Result<(), Failure> {
    if tool == "bkill" && operands.iter().any(|operand| operand == "0") {
        return Err(Failure::usage("`bkill 0` ends all your jobs only in LSF: here, 0 is not a job")
            .hint("`bkill --mine` ends your own jobs"));
    }
    for one in given {
        let Some(value) = one.value.as_deref() else { continue };
        let is_job = |text: &str| text.parse::<JobRef>().is_ok_and(|job| job.is_whole());
        match (tool, one.letter) {
            ("bkill", Some('r')) if is_job(value) => {
                return Err(Failure::usage(format!(
                    "`-r {value}`: in this bkill, -r takes the reason, and this is the ID of a job"
                ))
                .hint(format!("leave -r out: `bkill {value}`")));
            }
            ("bstat", Some('o')) if value.contains('%') => {
                return Err(Failure::usage(format!("`-o {value}` is a format of Slurm's squeue"))
                    .hint("give the names of columns: `-o jobId,jobName,status`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The hint for a value that an option of another tool does not take.
pub fn instead_of_value(option: &str, value: &str) -> Option<String> {
    match option {
        "status" => {
            let words: Vec<&str> = value.split(',').map(str::trim).collect();
            let ours: Option<Vec<String>> = words.iter().map(|word| state(word)).collect();
            match ours {
                Some(ours) => Some(format!("`-s {}`", ours.join(","))),
                None if words.iter().all(|word| is_signal(word)) => Some(NO_SIGNAL.to_owned()),
                None => None,
            }
        }
        "head" | "tail" => Some("give a number of lines, such as `--tail 20`".to_owned()),
        "columns" if value.contains(' ') => {
            Some("separate columns by commas: `-o jobId,jobName,status`".to_owned())
        }
        _ => None,
    }
}

/// The state of Batch for a state of Slurm or LSF.
fn state(word: &str) -> Option<String> {
    let batch = match word.to_ascii_uppercase().as_str() {
        "PD" | "PEND" => "SUBMITTED,PENDING,RUNNABLE",
        "CF" | "CONFIGURING" => "STARTING",
        "R" | "RUN" | "CG" | "COMPLETING" => "RUNNING",
        "CD" | "COMPLETED" | "DONE" => "SUCCEEDED",
        "F" | "EXIT" | "CA" | "CANCELLED" | "TO" | "TIMEOUT" | "NF" | "NODE_FAIL" | "OOM"
        | "OUT_OF_MEMORY" => "FAILED",
        other => other.parse::<Status>().ok()?.as_str(),
    };
    Some(batch.to_owned())
}

/// The hint instead of a choice of signals.
pub const NO_SIGNAL: &str = "leave the signal out: Batch sends a job SIGTERM and, 30 seconds later, SIGKILL";

/// Whether a word is a signal: its number, or its name with or without `SIG`.
pub fn is_signal(word: &str) -> bool {
    const NAMES: [&str; 12] =
        ["KILL", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT", "TSTP", "ABRT", "ALRM"];
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.contains(&name) || word.parse::<u8>().is_ok_and(|n| (1..=64).contains(&n))
}

#[cfg(test)]
pub fn letters(tool: &str) -> impl Iterator<Item = char> + '_ {
    LETTERS.iter().filter(move |(tools, ..)| tools.contains(&tool)).map(|(_, letter, ..)| *letter)
}

#[cfg(test)]
pub fn lsf_words() -> impl Iterator<Item = &'static str> {
    LSF_WORDS.iter().map(|(word, _)| *word)
}
