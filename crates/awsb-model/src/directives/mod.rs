//! The options in a script's head: `#AWSB`, `#SBATCH` and `#BSUB` lines.
//!
//! All become options of awsb's `bsub`, so that one parser checks the values, and the command line
//! can override them. Options that Batch cannot provide are reported, and never dropped silently.

mod dialect;
mod input;
mod line;
mod lsf;
mod result;
mod shape;
mod slurm;
mod variables;
mod words;

use super::script::is_binary;
use dialect::Dialect;
use line::Line;
pub use lsf::{LsfUnit, about as about_lsfs};
use result::At;
pub use result::{About, DirectiveOptions, Directives, Remark, SharedConsumption};
pub use shape::{LsfShape, SlurmShape};
pub use slurm::{about as about_slurms, about_letter as about_slurms_letter};
pub use variables::{instead_of_variable, read_variables};
use words::split;
pub(crate) use words::{Quoting, split as split_words};

impl Directives {
    /// Reads the head of a script, which are the lines before the first that is neither a comment
    /// nor blank, and the `#BSUB` lines after it. Any bytes are accepted; a binary has no
    /// directives.
    ///
    /// If several dialects are used, `#AWSB` lines take precedence over the others.
    pub fn read(script: &[u8]) -> Self {
        Self::read_with(script, None)
    }

    /// Reads the head of a script for a user whose LSF cluster has this `LSF_UNIT_FOR_LIMITS`.
    pub fn read_with(script: &[u8], lsf_unit: Option<LsfUnit>) -> Self {
        let mut found = Self::default();
        if is_binary(script) {
            return found;
        }
        let mut own = Vec::new();
        let mut slurms = Vec::new();
        let mut lsfs = Vec::new();
        let mut is_head = true;
        let mut told_of_late_ones = Vec::new();
        let mut told_of_others = Vec::new();
        let lines: Vec<&[u8]> = script.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).collect();
        for (number, bytes) in (1..).zip(lines.iter().copied()) {
            if !bytes.trim_ascii_start().starts_with(b"#") && !bytes.is_empty() {
                is_head = false;
                continue;
            }
            let Some((dialect, rest)) = directive(bytes) else {
                if let Some(prefix) =
                    of_others(bytes).filter(|prefix| is_head && !told_of_others.contains(prefix))
                {
                    told_of_others.push(prefix);
                    let at = At::line(number, bytes);
                    found.warn(&at, "is a comment: bsub reads `#AWSB`, `#SBATCH` and `#BSUB` lines");
                }
                if let Some(prefix) = resembles(bytes) {
                    let at = At::line(number, bytes);
                    found.warn(
                        &at,
                        format!("is a comment: a directive begins with `{prefix}`, in the first column"),
                    );
                }
                continue;
            };
            if dialect == Dialect::Lsf && !rest.trim_ascii_start().starts_with(b"-") {
                // LSF, too, considers it a comment.
                continue;
            }
            if !is_head && !dialect.reads_the_whole_script() {
                if !told_of_late_ones.contains(&dialect) && rest.trim_ascii_start().starts_with(b"-") {
                    told_of_late_ones.push(dialect);
                    let at = At::line(number, bytes);
                    found.warn(&at, "is ignored: it comes after the script's first command");
                }
                continue;
            }
            let mut whole = rest.to_vec();
            if dialect == Dialect::Lsf {
                let mut after = number;
                // The line continues in the next one, which is then not a directive of its own.
                while whole.last() == Some(&b'\\') {
                    whole.pop();
                    let next = lines.get(after).copied().filter(|next| !next.starts_with(b"#"));
                    let Some(next) = next else { break };
                    whole.push(b' ');
                    whole.extend_from_slice(next);
                    after += 1;
                }
            }
            match split(&whole, dialect.quoting()) {
                Ok(words) if words.is_empty() => {}
                Ok(words) => match dialect {
                    Dialect::Awsb => own.push(Line { number, dialect, words }),
                    Dialect::Slurm => slurms.push(Line { number, dialect, words }),
                    Dialect::Lsf => lsfs.push(Line { number, dialect, words }),
                },
                Err(unclosed) => {
                    let at = At::line(number, bytes);
                    found.refuse(&at, unclosed.to_string());
                }
            }
        }
        if let (Some(slurm), Some(lsf)) = (slurms.first(), lsfs.first()) {
            let (first, last) = if slurm.number < lsf.number { (slurm, lsf) } else { (lsf, slurm) };
            let at = last.at(&last.words);
            let reason = format!(
                "the script has {} lines, too (line {}): where both ask for the same, `#BSUB` wins",
                first.dialect.prefix(),
                first.number
            );
            found.warn(&at, reason);
        }
        found.slurm = slurm::read(&slurms, &mut found);
        if slurm::has_groups(&found) {
            refuse_parts(&lines, &mut found);
        }
        found.lsf = lsf::read(&lsfs, lsf_unit, &mut found);
        for line in own {
            let at = line.at(&line.words);
            found.say(&at, line.words);
        }
        found.notes.sort_by_key(|remark| remark.line);
        found.warnings.sort_by_key(|remark| remark.line);
        found.errors.sort_by_key(|remark| remark.line);
        found
    }
}

/// Variables of Slurm that count all components here. In Slurm, the script runs on the first
/// component, and they are those of that one (sbatch(1), heterogeneous jobs; tested with 22.05).
const OF_ALL_COMPONENTS: [&str; 8] = [
    "SLURM_NNODES",
    "SLURM_JOB_NUM_NODES",
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_TASKS_PER_NODE",
    "SLURM_JOB_NODELIST",
    "SLURM_NODELIST",
    "SLURM_JOB_CPUS_PER_NODE",
];

/// Programs that start an MPI program on the nodes of a job.
const MPI_LAUNCHERS: [&str; 4] = ["mpirun", "mpiexec", "mpiexec.hydra", "orterun"];

/// Options of [`MPI_LAUNCHERS`] that name the hosts, so that the nodes of the job do not count.
const MPI_HOSTS: [&str; 9] = [
    "-H",
    "-host",
    "--host",
    "-hosts",
    "-hostfile",
    "--hostfile",
    "-machinefile",
    "--machinefile",
    "--default-hostfile",
];

/// Whether MPICH's `mpiexec` gets the hosts from a file (`-f FILE`) in this line. Behind the
/// program that `mpiexec` starts, `-f` is an option of that program.
fn has_host_file(line: &str, launcher: &str) -> bool {
    if !launcher.starts_with("mpiexec") {
        return false;
    }
    let mut values = 0;
    for word in shell_words(line).skip_while(|word| file_name(word) != launcher).skip(1) {
        match word {
            "-f" => return true,
            // Their values are a name and a value.
            "-env" | "-genv" => values = 2,
            _ if word.starts_with('-') => values = 1,
            _ if values > 0 => values -= 1,
            _ => return false,
        }
    }
    false
}

/// Refuses a script of a heterogeneous job that calls `srun`, which starts a program on the first
/// component in Slurm if no other is named, and on all nodes of the job here. Warns of `mpirun`
/// and of variables that differ.
fn refuse_parts(lines: &[&[u8]], found: &mut Directives) {
    let code =
        (1..).zip(lines.iter().copied()).filter(|(_, line)| !line.trim_ascii_start().starts_with(b"#"));
    let code: Vec<(usize, String)> =
        code.map(|(number, line)| (number, String::from_utf8_lossy(line).into_owned())).collect();
    let warnings: [(&[&str], &str); 2] = [
        (
            &["SLURM_HET_", "SLURM_PACK_", "_HET_GROUP_", "_PACK_GROUP_"],
            "no job here has Slurm's variables of components: AWSB_NODELIST and AWS_BATCH_JOB_NODE_INDEX tell \
             the nodes apart",
        ),
        (
            &OF_ALL_COMPONENTS,
            "counts the nodes and tasks of all components here, and those of the first component in Slurm",
        ),
    ];
    for (names, reason) in warnings {
        let reads = |line: &str| names.iter().any(|name| reads_variable(line, name));
        if let Some((number, line)) = code.iter().find(|(_, line)| reads(line)) {
            found.warn(&At::line(*number, line.as_bytes()), reason);
        }
    }
    let is_mpi = |line: &str| {
        let names_hosts =
            line.split(|c: char| c.is_ascii_whitespace() || c == '=').any(|word| MPI_HOSTS.contains(&word));
        calls(line, &MPI_LAUNCHERS).filter(|launcher| !names_hosts && !has_host_file(line, launcher))
    };
    if let Some((number, line, program)) =
        code.iter().find_map(|(number, line)| Some((number, line, is_mpi(line)?)))
    {
        let reason = format!(
            "{program} starts a program on the nodes of all components here; behind `hetjob`, Slurm's variables name \
             the nodes of the first component; {OWN_COMMAND}"
        );
        found.warn(&At::line(*number, line.as_bytes()), reason);
    }
    let Some((number, line)) = code.iter().find(|(_, line)| calls(line, &["srun"]).is_some()) else { return };
    let reason = match ["--het-group", "--pack-group"].iter().any(|option| line.contains(option)) {
        true => "srun starts a program on all nodes of the job here, not on one component",
        false => {
            "behind `hetjob`, srun starts a program on the first component in Slurm, and on all nodes here"
        }
    };
    found.refuse(&At::line(*number, line.as_bytes()), format!("{reason}; {OWN_COMMAND}"));
}

/// The replacement of a program that is started on one component.
const OWN_COMMAND: &str = "`--node-group N,command=LINE` of bsub gives a group of nodes its own command";

/// Whether a line reads a variable: `name`, or one whose name begins so if that ends with `_`, or
/// contains it if that begins with `_`, too.
fn reads_variable(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&line[..at], &line[at + name.len()..]);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_whole = name.ends_with('_') || !behind.starts_with(is_name);
        let is_set = behind.trim_start_matches(is_name).starts_with('=') && !before.ends_with(['$', '{']);
        is_whole && !is_set && (name.starts_with('_') || !before.ends_with(is_name))
    })
}

/// The first of these programs that a line of a shell script calls, also by a variable that it
/// sets.
fn calls<'p>(line: &str, programs: &[&'p str]) -> Option<&'p str> {
    // Whoever looks for it, or prints its name, does not call it.
    const NO_CALL: [&str; 8] = ["-v", "-V", "-x", "type", "which", "echo", "printf", "hash"];
    let mut before = "";
    for word in shell_words(line) {
        if let Some(program) = programs.iter().copied().find(|program| *program == file_name(word))
            && !NO_CALL.contains(&before)
        {
            return Some(program);
        }
        before = word;
    }
    None
}

/// The words of a line of a shell script, without its comment.
fn shell_words(line: &str) -> impl Iterator<Item = &str> {
    let line = line.split_once(" #").map_or(line, |(code, _)| code);
    let is_between = |c: char| c.is_ascii_whitespace() || ";|&(){}`\"'=".contains(c);
    line.split(is_between).filter(|word| !word.is_empty())
}

/// The name of a program without its folder.
fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Whether a script may have lines for LSF.
pub fn may_be_for_lsf(script: &[u8]) -> bool {
    script.split(|b| *b == b'\n').any(|line| line.starts_with(b"#BSUB"))
}

/// The dialect of a line, and the rest of it. A prefix is at the beginning of the line. Slurm and
/// LSF need no blank between it and an option.
fn directive(line: &[u8]) -> Option<(Dialect, &[u8])> {
    Dialect::ALL.into_iter().find_map(|dialect| {
        let rest = line.strip_prefix(dialect.prefix().as_bytes())?;
        let is_one =
            rest.first().is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'-' | b'"' | b'\''));
        is_one.then_some((dialect, rest))
    })
}

/// The prefix that a line probably intends which looks like a directive and is a comment: `# SBATCH
/// -n 4`, ` #SBATCH -n 4`, `#sbatch -n 4`. Two `#` are the usual way to disable a directive.
fn resembles(line: &[u8]) -> Option<&'static str> {
    let word = line.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    Dialect::ALL.into_iter().map(Dialect::prefix).find(|prefix| {
        let name = &prefix.as_bytes()[1..];
        let (Some(begin), Some(rest)) = (word.get(..name.len()), word.get(name.len()..)) else {
            return false;
        };
        begin.eq_ignore_ascii_case(name) && {
            let option = rest.trim_ascii_start();
            option.starts_with(b"-") && option.get(1).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'-')
        }
    })
}

/// The prefix of a directive for PBS or Grid Engine, which bsub does not read: `#PBS -l nodes=1`,
/// `#$ -N name`.
fn of_others(line: &[u8]) -> Option<&'static str> {
    ["#PBS", "#$"].into_iter().find(|prefix| {
        let rest = line.strip_prefix(prefix.as_bytes());
        rest.is_some_and(|rest| {
            let option = rest.trim_ascii_start();
            option.len() < rest.len()
                && option.starts_with(b"-")
                && option.get(1).is_some_and(u8::is_ascii_alphabetic)
        })
    })
}

#[cfg(test)]
mod tests;
