//! Job scripts in the manner of those that people have: what each comes to as a request, and that
//! it runs.
//!
//! A script `corpus/DIALECT/NAME` has its request beside it, in `NAME.request`, reviewed by eye
//! against sbatch(1) and the LSF command reference; and, if the local cluster can run it, in
//! `NAME.out` its exit code and what it prints. With `INSTA_UPDATE=always` in the environment these
//! files are written anew. Files that say what will be, and not what is yet, are listed in
//! `not-yet.txt`.

mod differences;
mod judge;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use awsb_testkit::{Outcome, Sandbox, missing, program, repository, story};
use serde_json::Value;

use differences::not_yet;

/// The programs that the scripts call, but for those that every machine has.
const PROGRAMS: &[&str] = &[
    "apptainer",
    "blastn",
    "blastp",
    "bwa",
    "cfd_solver",
    "comsol",
    "conda",
    "g16",
    "gatk",
    "gmx",
    "julia",
    "lmp",
    "matlab",
    "ml",
    "module",
    "mpirun",
    "nextflow",
    "parallel",
    "python",
    "Rscript",
    "salmon",
    "samtools",
    "simpleFoam",
    "singularity",
    "snakemake",
    "stata-mp",
    "trimmomatic",
    "vasp_std",
];

/// The function that `conda activate` needs, as conda's own file has it.
const CONDA: &str = "conda() {\n    case $1 in\n    activate) export CONDA_DEFAULT_ENV=$2 ;;\n    \
                     deactivate) unset CONDA_DEFAULT_ENV ;;\n    esac\n}\n";

/// The size of a node of the tests, both of the local cluster and of the Slurm that is its judge.
const NODE_CPUS: u64 = 32;
const NODE_MEMORY_MIB: u64 = 125 * 1024;

/// The folder of the scripts.
fn folder() -> PathBuf {
    repository().join("tests/tools/corpus")
}

/// A script of the corpus.
#[derive(Debug, Clone)]
struct Script {
    /// `slurm/align-array.sh`.
    name: String,
    path: PathBuf,
}

impl Script {
    /// The text that is kept beside the script, and the file that has it.
    fn stored(&self, what: &str) -> (PathBuf, Option<String>) {
        let path = self.path.with_added_extension(what);
        let text = std::fs::read_to_string(&path).ok();
        (path, text)
    }
}

/// All scripts of a dialect, by name.
fn scripts(dialect: &str) -> Vec<Script> {
    let entries = std::fs::read_dir(folder().join(dialect)).expect("the folder of the scripts");
    let paths = entries.map(|entry| entry.expect("a script").path());
    let is_script = |path: &PathBuf| {
        !path.extension().is_some_and(|extension| extension == "request" || extension == "out")
    };
    let mut scripts: Vec<Script> = paths
        .filter(is_script)
        .map(|path| {
            let name = format!("{dialect}/{}", path.file_name().expect("a name").display());
            Script { name, path }
        })
        .collect();
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    scripts
}

/// A sandbox with a local cluster of [`NODE_CPUS`] and [`NODE_MEMORY_MIB`], and the programs that
/// the scripts call.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    let programs = sandbox.work().join("programs");
    let conda = programs.join("conda_root/etc/profile.d");
    std::fs::create_dir_all(&conda).expect("a folder");
    std::fs::write(conda.join("conda.sh"), CONDA).expect("a file");
    for program in PROGRAMS {
        std::os::unix::fs::symlink(folder().join("stand-in.sh"), programs.join(program)).expect("a link");
    }
    let path = sandbox.get("PATH").unwrap_or_default().to_owned();
    sandbox.set("PATH", format!("{}:{path}", programs.display()));
    // The files that a script needs.
    sandbox.file("input.dat", "2\n1\n");
    // One that a job can be given, or not.
    sandbox.set("MY_OWN_SETTING", "blue");
    let (vcpus, memory) = (NODE_CPUS.to_string(), format!("{NODE_MEMORY_MIB}M"));
    sandbox.run("blocal", ["start", "--vcpus", &vcpus, "--memory", &memory]).ok();
    sandbox
}

/// The request that `bsub` would send for a script.
#[derive(Debug)]
struct Request {
    /// The SubmitJob request; `None` for a script that is refused.
    submit: Option<Value>,
    /// The directives about which there was something to say: `line 3: #SBATCH --hold`.
    remarks: Vec<String>,
}

impl Request {
    fn of(sandbox: &Sandbox, script: &Script) -> Self {
        let shown = sandbox.quick_run("bsub", ["--dry-run", &script.path.display().to_string()]);
        let submit = match shown.code() {
            0 => {
                let requests = shown.json();
                let found = requests.as_array().and_then(|all| {
                    all.iter().find(|one| one["operation"] == "SubmitJob").map(|one| one["request"].clone())
                });
                Some(found.unwrap_or_else(|| panic!("no SubmitJob: {shown}")))
            }
            2 => None,
            code => panic!("exit code {code} of {shown}"),
        };
        Self { submit, remarks: remarks(&shown) }
    }

    /// The value of a resource on a node.
    fn resource(&self, kind: &str) -> Option<u64> {
        let submit = self.submit.as_ref()?;
        let single = &submit["containerOverrides"];
        let node = &submit["nodeOverrides"]["nodePropertyOverrides"][0]["containerOverrides"];
        let list = [single, node].into_iter().find_map(|one| one["resourceRequirements"].as_array())?;
        let found = list.iter().find(|one| one["type"] == kind)?;
        found["value"].as_str()?.parse().ok()
    }

    fn nodes(&self) -> u64 {
        self.submit.as_ref().and_then(|s| s["nodeOverrides"]["numNodes"].as_u64()).unwrap_or(1)
    }

    /// Whether the local cluster of these stories can run it.
    fn runs_here(&self) -> bool {
        let Some(submit) = &self.submit else { return false };
        let waits =
            submit["dependsOn"].as_array().is_some_and(|all| all.iter().any(|one| !one["jobId"].is_null()));
        !waits
            && self.resource("GPU").is_none()
            && self.resource("VCPU").unwrap_or(1) * self.nodes() <= NODE_CPUS
            && self.resource("MEMORY").unwrap_or(512) * self.nodes() <= NODE_MEMORY_MIB
    }

    /// The stored text: the whole request, a line for each value, without the values that differ
    /// from run to run or with every change of the launcher.
    fn shown(&self, sandbox: &Sandbox) -> String {
        let mut text = String::new();
        match &self.submit {
            Some(submit) => lines("", submit, sandbox, &mut text),
            None => text.push_str("refused\n"),
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "{remark}");
        }
        text
    }
}

/// The directives that a message of `bsub` is about. The words of its reason are for people, and
/// are tested elsewhere.
fn remarks(outcome: &Outcome) -> Vec<String> {
    let about = |line: &str| {
        let kind =
            ["warning", "error"].into_iter().find(|kind| line.starts_with(&format!("bsub: {kind}: ")))?;
        let (number, rest) = line.split_once(", line ")?.1.split_once(": `")?;
        let directive = rest.split_once('`')?.0;
        number.parse::<usize>().is_ok().then(|| format!("{kind}: line {number}: {directive}"))
    };
    outcome.stderr.lines().filter_map(about).collect()
}

/// A value as lines `path = value`.
fn lines(path: &str, value: &Value, sandbox: &Sandbox, text: &mut String) {
    match value {
        Value::Object(fields) if fields.contains_key("name") && fields.contains_key("value") => {
            let name = fields["name"].as_str().unwrap_or_default();
            let is_ours = name != "MY_OWN_SETTING" && sandbox.get(name).is_some();
            let changes = ["AWSB_BUNDLE", "AWSB_SCRIPT"].iter().any(|start| name.starts_with(start))
                || ["AWSB_START", "AWSB_SUBMISSION"].contains(&name);
            if !is_ours && !changes {
                let _ = writeln!(text, "{path}.{name} = {}", fields["value"].as_str().unwrap_or_default());
            }
        }
        Value::Object(fields) if fields.contains_key("type") && fields.contains_key("value") => {
            let of = |name: &str| fields[name].as_str().unwrap_or_default();
            let _ = writeln!(text, "{path}.{} = {}", of("type"), of("value"));
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                lines(&path, value, sandbox, text);
            }
        }
        // How the script gets there follows its size; none of them has arguments.
        Value::Array(words) if path.ends_with("command") => {
            let is_launcher = words.iter().any(|word| word.as_str().is_some_and(|word| word.contains('\n')));
            let command = if is_launcher { "(the launcher)".to_owned() } else { value.to_string() };
            let _ = writeln!(text, "{path} = {command}");
        }
        Value::Array(values) => values.iter().for_each(|value| lines(path, value, sandbox, text)),
        // A definition for several nodes, made from the local one, is named after its content.
        Value::String(value) if value.starts_with("local-awsb-") => {
            let _ = writeln!(text, "{path} = local-awsb-…");
        }
        // A limit on running tasks is named after its submission.
        Value::String(value) if value.starts_with("awsb-limit-") => {
            let _ = writeln!(text, "{path} = awsb-limit-…");
        }
        Value::String(value) => {
            let _ = writeln!(text, "{path} = {value}");
        }
        value => {
            let _ = writeln!(text, "{path} = {value}");
        }
    }
}

/// Compares a text with what is kept; says how they differ.
fn differs(script: &Script, what: &str, now: &str) -> Option<String> {
    let (path, stored) = script.stored(what);
    let is_known = not_yet().iter().any(|known| known.is_about(&script.name, what));
    if stored.as_deref() == Some(now) {
        return is_known.then(|| format!("no longer so, take it out of not-yet.txt: {} {what}", script.name));
    }
    if is_known {
        return None;
    }
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        std::fs::write(&path, now).expect("the file is written");
        return None;
    }
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let stored = stored.map_or("there is no such file\n".to_owned(), |stored| indented(&stored));
    Some(format!("{}.{what}:\n{stored}  now:\n{}", script.name, indented(now)))
}

/// Fails with all that was found.
#[track_caller]
fn nothing_of(found: Vec<String>) {
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

fn requests_of(dialect: &str) {
    let sandbox = sandbox();
    let now = |script: &Script| Request::of(&sandbox, script).shown(&sandbox);
    nothing_of(
        scripts(dialect).iter().filter_map(|script| differs(script, "request", &now(script))).collect(),
    );
}

#[story]
fn what_slurm_scripts_ask_for() {
    requests_of("slurm");
}

#[story]
fn what_lsf_scripts_ask_for() {
    requests_of("lsf");
}

/// The result of a task of a script. The one task of a job that is not an array has the ID `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Run {
    exit_code: Option<i64>,
    lines: Vec<String>,
}

type Runs = BTreeMap<Option<i64>, Run>;

/// Runs scripts on the local cluster, all at the same time. They need not have the names of the
/// corpus.
fn run_here(sandbox: &Sandbox, paths: &[PathBuf]) -> Vec<Runs> {
    let path = format!("PATH={}", sandbox.get("PATH").unwrap_or_default());
    let submit = |script: &PathBuf| {
        // A queue that the script names is not there.
        let words = ["--parsable", "-q", "local", "-e", &path, &script.display().to_string()];
        // A script may ask to be waited for, as a directive.
        let outcome = sandbox.quick_run("bsub", words);
        let id = outcome.stdout.trim().to_owned();
        assert!(!id.is_empty(), "no ID: {outcome}");
        id
    };
    let ids: Vec<String> = paths.iter().map(submit).collect();
    sandbox.run("bwait", ids.iter().map(String::as_str).chain(["--quiet"]));
    let all = ids.iter().map(String::as_str);
    let jobs = sandbox.run("bstat", ["-e", "--json"].into_iter().chain(all.clone())).ok().json();
    let output = sandbox.run("bout", ["--json"].into_iter().chain(all)).ok().json();
    let of = |id: &String| {
        let mut runs = Runs::new();
        for job in jobs.as_array().expect("jobs") {
            let job_id = job["jobId"].as_str().expect("an ID");
            let (parent, child) = match job_id.split_once([':', '#']) {
                Some((parent, _)) => (parent, true),
                None => (job_id, false),
            };
            let is_parent = !child && !job["arrayProperties"]["size"].is_null();
            // Of nodes, the main one speaks for the job.
            if parent != id || is_parent || job_id.contains('#') && !job_id.ends_with("#0") {
                continue;
            }
            let is_nodes = !child && !job["nodeProperties"].is_null();
            if is_nodes && job["container"]["exitCode"].is_null() {
                continue;
            }
            let task = if job_id.contains(':') {
                job["task"].as_i64().or(job["arrayProperties"]["index"].as_i64())
            } else {
                None
            };
            let lines = output.as_array().expect("lines").iter().filter(|line| line["jobId"] == job_id);
            let lines = lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect();
            runs.insert(task, Run { exit_code: job["container"]["exitCode"].as_i64(), lines });
        }
        runs
    };
    ids.iter().map(of).collect()
}

/// A text without the IDs of jobs, which are UUIDs, and their numbers, which have 13 digits and
/// more.
fn masked(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hex = rest.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(rest.len());
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let is_uuid = rest.get(..36).is_some_and(|start| {
            hex >= 36 && start.bytes().enumerate().all(|(i, b)| (b == b'-') == [8, 13, 18, 23].contains(&i))
        });
        let taken = match () {
            () if is_uuid => 36,
            () if digits >= 13 => digits,
            () => 0,
        };
        if taken > 0 {
            plain.push_str(if is_uuid { "<ID>" } else { "<number>" });
            rest = &rest[taken..];
        } else if digits > 0 {
            plain.push_str(&rest[..digits]);
            rest = &rest[digits..];
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    plain
}

/// The stored text of a run.
fn run_shown(runs: &Runs) -> String {
    let mut text = String::new();
    for (task, run) in runs {
        let task = task.map(|id| format!("[{id}] ")).unwrap_or_default();
        let code = run.exit_code.map_or("none".to_owned(), |code| code.to_string());
        let _ = writeln!(text, "{task}exit code {code}");
        for line in &run.lines {
            let _ = writeln!(text, "{task}{}", masked(line));
        }
    }
    text
}

/// The scripts are written for the bash of Linux; macOS's `/bin/bash` is of 2007.
fn bash_4() {
    let newer =
        std::process::Command::new("/bin/bash").args(["-c", "[ ${BASH_VERSINFO[0]} -ge 4 ]"]).status();
    if !newer.is_ok_and(|status| status.success()) {
        missing("/bin/bash", "it is older than bash 4");
    }
}

fn runs_of(dialect: &str, at_least: usize) {
    bash_4();
    let sandbox = sandbox();
    let can_run = |script: &Script| Request::of(&sandbox, script).runs_here();
    let scripts: Vec<Script> = scripts(dialect).into_iter().filter(can_run).collect();
    assert!(scripts.len() >= at_least, "only {} scripts run", scripts.len());
    let paths: Vec<PathBuf> = scripts.iter().map(|script| script.path.clone()).collect();
    let runs = run_here(&sandbox, &paths);
    let found =
        scripts.iter().zip(&runs).filter_map(|(script, runs)| differs(script, "out", &run_shown(runs)));
    nothing_of(found.collect());
}

#[story]
fn slurm_scripts_run() {
    runs_of("slurm", 40);
}

#[story]
fn lsf_scripts_run() {
    // One of the scripts stores its result.
    program("curl");
    runs_of("lsf", 20);
}

/// The words of a script without the job's name and those of its files.
fn shape(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a script");
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let is_name = ["--job-name", "--output", "--error"].iter().any(|option| word.starts_with(option));
        let was_option = words.last().is_some_and(|last| ["-J", "-o", "-e"].contains(last));
        if was_option {
            words.pop();
        } else if !is_name {
            words.push(word);
        }
    }
    words.join(" ")
}

#[story]
fn no_two_scripts_are_alike() {
    let all = [scripts("slurm"), scripts("lsf")].concat();
    assert!(all.len() >= 80, "only {} scripts", all.len());
    let mut seen = BTreeMap::new();
    for script in &all {
        if let Some(other) = seen.insert(shape(&script.path), &script.name) {
            panic!("{} and {other} differ in names only", script.name);
        }
        for (what, path) in ["request", "out"].map(|what| (what, script.stored(what).0)) {
            assert!(what == "out" || path.is_file(), "{} is missing", path.display());
        }
    }
    for known in not_yet() {
        assert!(known.script == "*" || all.iter().any(|script| script.name == known.script), "{known:?}");
    }
}
