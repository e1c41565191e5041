//! The meanings that values of `bsub`'s options have in Slurm and LSF.

use std::path::Path;

use super::types::{Context, GivenOption};
use crate::ui::Failure;
use awsb_model::{ArrayIds, JobNumber, JobRef, NamePattern, WallTime, words};

/// The letters of the options that take any word as their value.
pub const TAKES_A_WORD: &str = "Jceiowdq";

/// The note about values that have another meaning in Slurm or LSF.
///
/// # Errors
/// When a value has a meaning only in Slurm or LSF.
pub fn check(given: &[GivenOption<'_>], context: &Context<'_>) -> Result<Option<String>, Failure> {
    for one in given {
        if let Some(failure) = refusal(one, context) {
            return Err(failure);
        }
    }
    // With a number of vCPUs, -n can only be the number of nodes.
    let has_vcpus = given.iter().any(|one| one.id == "vcpus");
    let notes: Vec<String> = given
        .iter()
        .filter(|one| one.letter != Some('n') || !has_vcpus)
        .filter_map(|one| note(one, context))
        .collect();
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}

/// The failure of a value that only Slurm or LSF has.
fn refusal(given: &GivenOption<'_>, context: &Context<'_>) -> Option<Failure> {
    let value = given.value.as_deref()?;
    let letter = given.letter?;
    match letter {
        'J' => {
            let (name, ids) = value.strip_suffix(']').unwrap_or(value).split_once('[')?;
            let (ids, limit) = ids.split_once(']').unwrap_or((ids, ""));
            let failure = Failure::usage(format!(
                "`-J {value}`: only LSF takes the tasks of an array in \
                                                  brackets"
            ));
            let name = if name.is_empty() { String::new() } else { format!("-J {name} ") };
            Some(failure.hint(match format!("{ids}{limit}").parse::<ArrayIds>() {
                Ok(ids) => format!("`{name}--array {ids}`"),
                Err(_) => format!("`{name}--array IDS`, such as 1-10 or 3,7"),
            }))
        }
        'w' if is_condition(value) => {
            let message = format!(
                "`-w {value}` is a condition for LSF; in this bsub, -w is the job's working \
                         directory"
            );
            Some(Failure::usage(message).hint(instead_of_condition(value)))
        }
        'w' if value.contains('[') && !value.contains('/') => Some(
            Failure::usage(format!(
                "`-w {value}` names nodes for Slurm; in this bsub, -w is the job's \
                                    working directory"
            ))
            .hint("Batch chooses the instances from those that the queue's compute environments offer"),
        ),
        // A variable may have any value.
        'o' | 'e' if has_job_pattern(value) && (letter == 'o' || !value.contains('=')) => Some(
            Failure::usage(format!(
                "`-{letter} {value}`: LSF and Slurm replace patterns such as %J and %j in the names of \
                 output files; this bsub does not"
            ))
            .hint(OUTPUT),
        ),
        'c' if value.bytes().all(|b| b.is_ascii_digit()) && !(context.is_cluster)(value) => Some(
            Failure::usage(format!(
                "`-c {value}`: in this bsub, -c names a cluster, and there is no cluster \
                                    `{value}`"
            ))
            .hint(format!("Slurm's -c {value} is `-p {value}`")),
        ),
        _ => None,
    }
}

const OUTPUT: &str = "a job's output and standard error go to CloudWatch: `bout ID` shows them; `-o GLOB` \
                      keeps files that the job writes";

/// The note about a value that could also have a meaning in Slurm or LSF.
fn note(given: &GivenOption<'_>, context: &Context<'_>) -> Option<String> {
    let value = given.value.as_deref()?;
    let number = || value.parse::<u32>().ok();
    match given.letter? {
        'n' => number().filter(|n| *n > 1).map(|n| format!("-n {n} is {n} nodes ({n} CPUs are -p {n})")),
        't' => number().map(|n| match n {
            1 => "-t 1 is 1 second (1 minute is -t 1m)".to_owned(),
            _ => format!("-t {n} is {n} seconds ({n} minutes are -t {n}m)"),
        }),
        // A higher number is hardly ever the ID of a single task.
        'a' => number().filter(|n| *n <= 100).map(|n| match n {
            0 | 1 => format!("-a {n} is {}, 0 (the task {n} is --array {n})", words::many(n, "task")),
            _ => format!("-a {n} is {n} tasks, 0 to {} (the task {n} alone is --array {n})", n - 1),
        }),
        'w' if is_one_word(value) => Some(format!(
            "-w {value} makes a directory {value} in the job and runs there (-d ID waits for a job; nodes \
             cannot be chosen)"
        )),
        'e' if !(context.is_set)(value) && is_log(value) => Some(format!(
            "-e {value} passes on a variable named {value} (`bout` shows the job's errors with \
                          its output)"
        )),
        'o' if is_log(value) => Some(format!(
            "-o {value} keeps a file {value} that the job writes (`bout` shows the job's own \
                          output)"
        )),
        _ => None,
    }
}

/// Whether a value could be the name of a node or job as well as of a directory.
fn is_one_word(value: &str) -> bool {
    !value.is_empty() && !value.contains(['/', '.', '$', '~'])
}

/// Whether a name is usual for a file with a job's output.
fn is_log(value: &str) -> bool {
    const ENDINGS: [&str; 6] = ["out", "err", "log", "txt", "o", "e"];
    const NAMES: [&str; 9] =
        ["out", "err", "log", "output", "error", "errors", "stdout", "stderr", "stdouterr"];
    let path = Path::new(value);
    let is = |part: Option<&std::ffi::OsStr>, list: &[&str]| {
        part.and_then(|part| part.to_str())
            .is_some_and(|part| list.contains(&part.to_ascii_lowercase().as_str()))
    };
    !value.contains(['*', '?', '[']) && (is(path.extension(), &ENDINGS) || is(path.file_stem(), &NAMES))
}

/// Whether a value has `%J` or `%I` of LSF, or `%j`, `%A_%a`, `%x` or `%4t` of Slurm. An escaped
/// byte of a URL (`%A0`) does not count.
fn has_job_pattern(value: &str) -> bool {
    value.split('%').skip(1).any(|behind| {
        let behind = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        let mut letters = behind.chars();
        let (letter, next) = (letters.next(), letters.next());
        match letter {
            Some('J' | 'I' | 'j' | 'x' | 'u' | 'N' | 't') => true,
            Some('A' | 'a') => next.is_none_or(|c| !c.is_ascii_hexdigit()),
            _ => false,
        }
    })
}

/// Whether a value is a condition of LSF: `done(ID)`, `ended("name*") && exit(3)`, `12 && 13`.
fn is_condition(value: &str) -> bool {
    const WORDS: [&str; 7] = ["done", "ended", "exit", "started", "external", "post_done", "post_err"];
    let text = value.trim_start_matches(|c: char| c == '(' || c == '!' || c.is_whitespace());
    let call = text.split_once('(').map(|(word, _)| word.trim());
    value.contains("&&")
        || value.contains("||")
        || call.is_some_and(|word| WORDS.contains(&word) || (word.starts_with("num") && word.len() > 3))
}

/// The options for a condition of LSF such as `done(A) && done(B)`.
fn instead_of_condition(value: &str) -> String {
    let ours = |part: &str| {
        let part = part.trim();
        let of = part
            .strip_prefix("done(")
            .and_then(|rest| rest.strip_suffix(')'))
            .or_else(|| (!part.is_empty() && !part.contains(['(', ')', '!', '|'])).then_some(part))?;
        let of = of.trim().trim_matches('"');
        let (of, each) = of.strip_suffix("[*]").map_or((of, ""), |of| (of, "n_to_n:"));
        let is_id = of
            .parse::<JobRef>()
            .is_ok_and(|job| job.is_last() || job.beginning().is_some() || job.is_whole());
        let is_number = !of.is_empty() && of.bytes().all(|b| b.is_ascii_digit());
        match is_id {
            _ if is_number && JobNumber::read(of).is_none() => Some(format!("{each}ID")),
            _ if is_number => Some(format!("{each}{of}")),
            true => Some(format!("{each}{of}")),
            false if each.is_empty() && !of.is_empty() => Some(format!("name:{of}")),
            false => None,
        }
    };
    match value.split("&&").map(ours).collect::<Option<Vec<_>>>() {
        Some(all) if !value.contains("||") => {
            let list = all.join(",");
            match list.contains(['*', '?', ' ', '#']) {
                true => format!("`-d '{list}'`"),
                false => format!("`-d {list}`"),
            }
        }
        _ => "a job in Batch can only wait until all its dependencies have succeeded: `-d ID,ID`, `-d \
              name:NAME`; `bwait ID; bsub …` submits a job when another has ended in any way"
            .to_owned(),
    }
}

/// A list of dependencies in which words that cannot be IDs are names; `None` if they cannot be
/// names either.
fn by_names(value: &str) -> Option<String> {
    let ours = |word: &str| match word.parse::<JobRef>() {
        Ok(_) => Some(word.to_owned()),
        Err(_) => word.parse::<NamePattern>().ok().map(|name| format!("name:{name}")),
    };
    let list = value.split(',').map(|word| ours(word.trim())).collect::<Option<Vec<_>>>()?.join(",");
    // If nothing changes, the list is wrong for another reason.
    if list == value {
        return None;
    }
    Some(
        if list.contains('*') { format!("`-d '{list}'`") } else { format!("`-d {list}`") }
            + " waits for your jobs of that name",
    )
}

/// The hint for a value that an option does not take.
pub fn instead_of_value(option: &str, value: &str) -> Option<String> {
    let first = value.chars().next()?;
    let is_word = first.is_ascii_alphabetic();
    Some(match option {
        "array-size" => match value.split_once('%').filter(|(size, _)| size.parse::<u32>().is_ok()) {
            Some((size, limit)) => {
                format!("to let {limit} tasks run at the same time: `-a {size} --array-limit {limit}`")
            }
            None => format!("to give the IDs of tasks: `--array {}`", value.parse::<ArrayIds>().ok()?),
        },
        "vcpus" if is_word => format!("Slurm's -p is a queue: `-q {value}`"),
        "queue" if value.contains([',', ' ']) => {
            let queue = value.split([',', ' ']).next().unwrap_or_default();
            format!("give one queue, such as `-q {queue}`; a queue can have several compute environments")
        }
        "memory" if is_word => {
            "in this bsub, -m is the memory, such as `-m 4G`; Batch chooses the instances".to_owned()
        }
        "gpus" if value.starts_with('/') => {
            "in this bsub, -g is the number of GPUs; instead of LSF's groups of jobs, use `--tag group=NAME`"
                .to_owned()
        }
        "gpus" if value.contains(':') => {
            let count = value.rsplit(':').next().filter(|n| n.parse::<u32>().is_ok()).unwrap_or("N");
            format!("`-g {count}`; the kind of GPU depends on the queue's compute environments")
        }
        "nodes" if value == "p" => "for the -np of mpirun, use `-p N`: in this bsub, -n is nodes".to_owned(),
        "nodes" if value.contains([',', '-']) => {
            "a job has a fixed number of nodes, such as `-n 2`; for CPUs, use `-p 4`".to_owned()
        }
        "retry-attempts" if first.is_ascii_alphabetic() || first == '.' || first == '/' => {
            "for LSF's -r, use `--retry-on spot`; in this bsub, -r is the number of attempts, such as `-r 3`"
                .to_owned()
        }
        "timeout" => {
            let minutes = value.parse::<WallTime>().ok()?.seconds()? / 60;
            format!("for {}, use `-t {minutes}m`", words::many(minutes, "minute"))
        }
        "depends-on" if is_condition(value) => instead_of_condition(value),
        "depends-on" => by_names(value)?,
        "env" if is_log(value) => OUTPUT.to_owned(),
        _ => return None,
    })
}
