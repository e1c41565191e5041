//! The options that Slurm's and LSF's tools have and ours do not: whose each is, and what is ours instead.

use super::Given;
use super::Whose::{self, Both, Lsf, Slurm};
use crate::job::directives::{about_lsfs, about_slurms_letter};
use crate::job::{JobRef, Memory, Status};
use crate::ui::Failure;

/// The tools that have a namesake, or a counterpart, elsewhere.
pub const TOOLS: [&str; 7] = ["bsub", "bstat", "bkill", "bout", "bwait", "bqueues", "bhosts"];

const OUTPUT: &str = "a job's output, standard error too, is in CloudWatch: `bout ID` shows it; `-o GLOB` keeps files that the \
                      job writes";
const TERMINAL: &str = "`-I` shows the output while the job runs; a job of Batch has no terminal";

/// Options of LSF's `bsub` with several letters, and what is ours instead. The others have a reason in the table of
/// `#BSUB` lines.
const LSF_WORDS: [(&str, &str); 30] = [
    ("oo", OUTPUT),
    ("eo", OUTPUT),
    ("outdir", OUTPUT),
    ("cwd", "`-w DIR` is the job's working directory"),
    ("env", "`-e all` hands on this shell's variables, `-e NAME` one of them, `-e NAME=VALUE` sets one"),
    ("gpu", "`-g 1` asks for a GPU"),
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
    ("rn", "`-r 1` has a job tried once"),
    ("ti", "Batch always ends a job whose dependency has failed: leave it out"),
    ("sp", "`--priority N`"),
    ("Jd", "`--tag description=TEXT`"),
    ("Lp", "`--tag project=NAME`"),
    ("clusters", "`-c NAME` names the cluster"),
    ("We", "Batch needs no estimate: leave it out; `-t TIME` limits a job"),
    ("data", "`-i PATH` brings files along"),
    ("datagrp", "`-i PATH` brings files along"),
    ("datachk", "`-i PATH` brings files along"),
    ("stage", "`-i PATH` brings files along"),
    ("notify", "Batch sends no mail; `-K` waits for the job's end"),
    ("Ep", "Batch runs nothing behind a job; the script can"),
];

/// What is ours instead of an option of LSF's with several letters.
pub fn instead_of_lsfs(name: &str) -> Option<&'static str> {
    LSF_WORDS.iter().find(|(word, _)| *word == name).map(|(_, instead)| *instead)
}

/// Tools, letter, whose it is, and what is ours instead.
const LETTERS: &[(&[&str], char, Whose, &str)] = &[
    (&["bsub"], 'A', Slurm, "Batch knows no accounts; `--tag account=NAME` marks the job for the bill"),
    (
        &["bsub"],
        'B',
        Both,
        "Batch sends no mail (`-K` waits for the job's end) and counts nothing within an instance",
    ),
    (
        &["bsub"],
        'C',
        Both,
        "Batch chooses the instances, from what the queue's compute environments offer; `--ulimit core=N` is the limit",
    ),
    (&["bsub"], 'D', Both, "Slurm's -D is `-w DIR`, and LSF's is `--ulimit data=N`"),
    (&["bsub"], 'F', Both, "Batch chooses the instances; LSF's -F is `--ulimit fsize=N`"),
    (&["bsub"], 'G', Both, "Slurm's -G is `-g N`, and the nearest to LSF's is `--share NAME`"),
    (
        &["bsub"],
        'H',
        Both,
        "Batch cannot hold a job back: `-d ID` has it wait for another, or submit it when it may run",
    ),
    (&["bsub"], 'L', Both, "Batch counts no licences, and a job has no login shell"),
    (&["bsub"], 'M', Both, "LSF's -M is `-m SIZE`, such as 4G, and Slurm's is `-c CLUSTER`"),
    (&["bsub"], 'N', Both, "Slurm's -N is `-n NODES`; LSF's asks for mail, and Batch sends none"),
    (&["bsub"], 'P', Lsf, "`--tag project=NAME` marks the job for the bill"),
    (&["bsub"], 'Q', Both, "Slurm's -Q is `--quiet`, and LSF's is `--retry-on exit:CODE,CODE`"),
    (
        &["bsub"],
        'R',
        Lsf,
        "memory is `-m SIZE`, CPUs are `-p N`, several hosts `-n N`; a `#BSUB -R` line in the script works, too",
    ),
    (&["bsub"], 'S', Both, "Batch counts nothing within an instance; LSF's -S is `--ulimit stack=N`"),
    (&["bsub"], 'T', Lsf, "`--ulimit nproc=N`"),
    (&["bsub"], 'W', Both, "LSF's -W is `-t TIME`, such as 90m or 1h30m, and Slurm's is `-K`"),
    (&["bsub"], 'b', Both, "Batch starts a job as soon as it can; at(1) or cron submits it later"),
    (&["bsub"], 'f', Lsf, "`-i PATH:NAME` brings files along, and `-o GLOB` keeps those that the job writes"),
    (&["bsub"], 's', Both, "a job shares its vCPUs, memory and GPUs with nobody; Batch ends it with SIGTERM"),
    (&["bsub"], 'u', Lsf, "Batch sends no mail; `-K` waits for the job's end"),
    (&["bsub"], 'v', Both, "Slurm's -v is `--debug`; LSF's is the job definition's business"),
    (
        &["bsub"],
        'x',
        Both,
        "a job has the vCPUs, memory and GPUs that it asks for to itself; Batch chooses the instances",
    ),
    (&["bstat"], 'a', Both, "`-s ALL` shows the ended jobs, too"),
    (&["bstat", "bqueues", "bhosts"], 'l', Both, "`-d` shows details"),
    (&["bout"], 'l', Both, "`bstat -d ID` shows a job's details"),
    (&["bstat"], 'u', Both, "the jobs of all users are shown; `--mine` shows your own"),
    (&["bkill"], 'u', Both, "`--mine` ends your own jobs"),
    (&["bstat", "bkill"], 'J', Lsf, "`--name GLOB` finds jobs by their name"),
    (&["bstat", "bkill"], 'n', Slurm, "`--name GLOB` finds jobs by their name"),
    (&["bout", "bwait"], 'J', Lsf, "the job is named by its ID; `bstat --name GLOB` finds it"),
    (&["bstat"], 'j', Slurm, "the IDs are the operands: `bstat ID`"),
    (&["bstat", "bkill"], 't', Slurm, "`-s STATE`, such as RUNNABLE or RUNNING"),
    (
        &["bstat", "bkill"],
        'p',
        Both,
        "Slurm's -p is `-q QUEUE`; jobs that wait are `-s SUBMITTED,PENDING,RUNNABLE`",
    ),
    (&["bstat"], 'r', Both, "`-s RUNNING` shows those that run, and `-e` the children of arrays"),
    (&["bstat"], 'i', Slurm, "`-w SECONDS` shows the same again and again"),
    (&["bstat"], 'S', Slurm, "`--sort COLUMN`, and `--since TIME` for the time"),
    (&["bstat"], 'A', Both, "`bstat ID` shows an array"),
    (&["bstat"], 'P', Both, "`--name`, `-q` and `--mine` choose jobs; Batch knows no projects"),
    (
        &["bstat", "bkill", "bhosts", "bqueues", "bout"],
        'm',
        Lsf,
        "Batch chooses the instances; `bhosts` shows them and their jobs",
    ),
    (&["bstat", "bkill"], 'M', Both, "`-c NAME` names the cluster"),
    (&["bstat"], 'W', Lsf, "`-d` shows details, and `-o LIST` chooses the columns"),
    (&["bstat"], 'x', Lsf, "`--failed` shows the jobs that have failed"),
    (&["bkill"], 'A', Slurm, "Batch knows no accounts; `--name`, `-q` and `--mine` choose jobs"),
    (&["bkill"], 'g', Lsf, "Batch knows no groups of jobs; `--name GLOB` chooses by name"),
    (&["bkill"], 'b', Both, "Batch sends a job SIGTERM and, 30 seconds later, SIGKILL: leave it out"),
    (&["bout"], 'a', Lsf, "`bout ID` shows the output of all children; `--task N` of one"),
    (&["bout"], 'q', Lsf, "the job is named by its ID; `bstat -q QUEUE` finds it"),
    (&["bwait"], 'w', Lsf, "`bwait ID` waits until the job has ended, whatever its exit code"),
    (&["bwait"], 't', Lsf, "`--timeout TIME`, such as 10m"),
    (&["bqueues"], 'u', Lsf, "AWS decides by permissions who may submit"),
    (&["bqueues", "bhosts"], 'w', Lsf, "nothing is cut: leave it out"),
    (&["bqueues", "bhosts"], 'N', Slurm, "`bhosts` shows the machines, a line for each"),
    (
        &["bqueues", "bhosts"],
        'p',
        Slurm,
        "the queue's name is the operand of `bqueues`, and `-q QUEUE` of `bhosts`",
    ),
    (&["bhosts"], 's', Lsf, "Batch counts vCPUs, memory and GPUs alone"),
    (&["bhosts"], 'R', Lsf, "`-q QUEUE` chooses the machines of a queue"),
];

/// Tools, long option, and what is ours instead. sbatch's other options have a reason in the table of `#SBATCH` lines.
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
        "--ntasks is Slurm's: it works as an #SBATCH line in the script; here CPUs are `-p N`",
    ),
    (&["bsub"], "cpus", "CPUs are `-p N`, `--vcpus N`"),
    (&["bsub"], "gres", "--gres is Slurm's: GPUs are `-g N`"),
    (&["bsub"], "gpus-per-node", "--gpus-per-node is Slurm's: GPUs of each node are `-g N`"),
    (&["bsub"], "gpus-per-task", "--gpus-per-task is Slurm's: GPUs are `-g N`"),
    (&["bsub"], "export", "--export is Slurm's: `-e all`, `-e NAME`, `-e NAME=VALUE`"),
    (&["bsub"], "requeue", "--requeue is Slurm's: `--retry-on spot`"),
    (&["bsub"], "comment", "--comment is Slurm's: `--tag comment=TEXT`"),
    (&["bsub"], "mem-per-cpu", "--mem-per-cpu is Slurm's: `-m SIZE` is the memory of the job"),
    (&["bsub"], "workdir", "--workdir was Slurm's: `-w DIR`"),
    (&["bsub"], "account", "--account is Slurm's: `--tag account=NAME` marks the job for the bill"),
    (&["bsub"], "wckey", "--wckey is Slurm's: `--tag wckey=NAME` marks the job for the bill"),
    (&["bsub"], "qos", "--qos is Slurm's: `--priority N` and `--share NAME` are nearest"),
    (&["bsub"], "immediate", "--immediate is Slurm's: Batch starts a job as soon as it can"),
    (&["bstat"], "jobs", "the IDs are the operands: `bstat ID`"),
    (&["bstat"], "job", "the IDs are the operands: `bstat ID`"),
    (&["bstat", "bkill"], "states", "`-s STATE`, such as RUNNABLE or RUNNING"),
    (&["bstat", "bkill"], "state", "`-s STATE`, such as RUNNABLE or RUNNING"),
    (&["bstat", "bkill"], "me", "`--mine`"),
    (&["bstat", "bkill"], "user", "`--mine` chooses your own jobs"),
    (&["bstat", "bkill"], "users", "`--mine` chooses your own jobs"),
    (&["bstat"], "allusers", "the jobs of all users are shown: leave it out"),
    (&["bstat", "bkill"], "partition", "`-q QUEUE`"),
    (&["bhosts"], "partition", "`-q QUEUE`"),
    (&["bstat", "bkill"], "jobname", "`--name GLOB`"),
    (&["bstat", "bkill"], "job-name", "`--name GLOB`"),
    (&["bstat"], "format", "`-o LIST`, by the names of the JSON fields"),
    (&["bstat"], "noheader", "`--no-header`"),
    (&["bqueues", "bhosts"], "noheader", "`--no-header`"),
    (&["bstat"], "long", "`-d` shows details"),
    (&["bstat"], "iterate", "`-w SECONDS`"),
    (&["bstat"], "start", "`bstat --why ID` says why a job does not run"),
    (&["bstat"], "array", "`-e` shows the children of arrays"),
    (&["bstat"], "starttime", "`--since TIME`"),
    (&["bstat"], "endtime", "`--until TIME`"),
    (&["bkill"], "signal", "Batch sends a job SIGTERM and, 30 seconds later, SIGKILL: leave it out"),
];

/// The refusal of a letter that is no option of ours.
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
    let message = format!("`{typed}` is {}: {tool} has no option -{letter}", whose.text());
    Some(Failure::usage(message).hint(instead))
}

/// The same with the very value, where one reading alone is possible.
fn exactly(letter: char, value: Option<&str>) -> Option<String> {
    let value = value?;
    match letter {
        'M' => value.strip_suffix('!').unwrap_or(value).parse::<Memory>().ok().and_then(|memory| {
            // Whether a bare number is KB or MB is up to each of LSF's clusters.
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

/// What is given to the other tools and means something only elsewhere.
pub fn judge(tool: &str, given: &[Given<'_>], operands: &[String]) -> Result<(), Failure> {
    if tool == "bkill" && operands.iter().any(|operand| operand == "0") {
        return Err(Failure::usage("`bkill 0` ends all jobs in LSF alone: 0 names no job here")
            .hint("`bkill --mine` ends your own jobs"));
    }
    for one in given {
        let Some(value) = one.value.as_deref() else { continue };
        let is_job = |text: &str| text.parse::<JobRef>().is_ok_and(|job| job.is_whole());
        match (tool, one.letter) {
            ("bkill", Some('r')) if is_job(value) => {
                return Err(Failure::usage(format!(
                    "`-r {value}`: -r takes the reason here, and this is the ID of a job"
                ))
                .hint(format!("LSF's -r needs no option here: `bkill {value}`")));
            }
            ("bstat", Some('o')) if value.contains('%') => {
                return Err(Failure::usage(format!("`-o {value}` is a format of Slurm's squeue"))
                    .hint("columns have names here: `-o jobId,jobName,status`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is meant by a value that an option of the other tools does not take.
pub fn instead_of_value(option: &str, value: &str) -> Option<String> {
    match option {
        "status" => {
            let words: Vec<&str> = value.split(',').map(str::trim).collect();
            let ours: Option<Vec<String>> = words.iter().map(|word| state(word)).collect();
            match ours {
                Some(ours) => Some(format!("`-s {}`", ours.join(","))),
                None if words.iter().all(|word| is_signal(word)) => Some(
                    "Batch sends a job SIGTERM and, 30 seconds later, SIGKILL: leave the signal out"
                        .to_owned(),
                ),
                None => None,
            }
        }
        "columns" if value.contains(' ') => {
            Some("commas are between columns: `-o jobId,jobName,status`".to_owned())
        }
        _ => None,
    }
}

/// A state of Slurm's or LSF's, in Batch's words.
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

fn is_signal(word: &str) -> bool {
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
