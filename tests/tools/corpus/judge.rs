//! A real Slurm is the judge of what `#SBATCH` scripts mean: whether they are accepted, what they ask for, and what their
//! jobs see, on a Slurm of one node and on the local cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use awsb_testkit::{Outcome, Sandbox, eventually, lock, program, story};

use super::differences::{Difference, intended, unexplained};
use super::{Request, Run, Runs, Script, bash_4, folder, masked, nothing_of, run_here, sandbox, scripts};

/// The variables of a job that are looked at: those that sbatch(1) names, and those beside them that scripts use. What
/// else a Slurm sets is its own business, and another one in each version.
const VARIABLES: &[&str] = &[
    "SLURMD_NODENAME",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_MAX",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
    "SLURM_CLUSTER_NAME",
    "SLURM_CPUS_ON_NODE",
    "SLURM_CPUS_PER_GPU",
    "SLURM_CPUS_PER_TASK",
    "SLURM_DIST_PLANESIZE",
    "SLURM_DISTRIBUTION",
    "SLURM_EXPORT_ENV",
    "SLURM_GPUS",
    "SLURM_GPUS_ON_NODE",
    "SLURM_GPUS_PER_NODE",
    "SLURM_GPUS_PER_TASK",
    "SLURM_GTIDS",
    "SLURM_JOBID",
    "SLURM_JOB_ACCOUNT",
    "SLURM_JOB_CPUS_PER_NODE",
    "SLURM_JOB_DEPENDENCY",
    "SLURM_JOB_GID",
    "SLURM_JOB_GPUS",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_NODELIST",
    "SLURM_JOB_NUM_NODES",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_QOS",
    "SLURM_JOB_UID",
    "SLURM_JOB_USER",
    "SLURM_LOCALID",
    "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_GPU",
    "SLURM_MEM_PER_NODE",
    "SLURM_NNODES",
    "SLURM_NODEID",
    "SLURM_NODELIST",
    "SLURM_NODE_ALIASES",
    "SLURM_NPROCS",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_CORE",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_OVERCOMMIT",
    "SLURM_PRIO_PROCESS",
    "SLURM_PROCID",
    "SLURM_PROFILE",
    "SLURM_RESTART_COUNT",
    "SLURM_SUBMIT_DIR",
    "SLURM_SUBMIT_HOST",
    "SLURM_TASKS_PER_NODE",
    "SLURM_TASK_PID",
    "SLURM_THREADS_PER_CORE",
    "SLURM_TOPOLOGY_ADDR",
    "SLURM_TOPOLOGY_ADDR_PATTERN",
];

/// The line that shows what a job sees, put before a script's first command.
const PROBE: &str = "env | sed -n 's/^SLURM/probe SLURM/p'\n";

/// A Slurm of one node, gone when this is dropped.
struct Slurm<'a> {
    sandbox: &'a Sandbox,
    home: PathBuf,
}

impl<'a> Slurm<'a> {
    fn start(sandbox: &'a Sandbox) -> Self {
        let slurm = Self { sandbox, home: sandbox.work().join("slurm") };
        let report = slurm.script("start").ok().stdout;
        // One that runs is left alone.
        assert_eq!(slurm.script("start").ok().stdout, report);
        slurm
    }

    fn script(&self, what: &str) -> Outcome {
        let script = folder().join("one-node-slurm.sh").display().to_string();
        self.sandbox.run(&script, [what, &self.home.display().to_string()])
    }

    /// Runs one of Slurm's commands in a folder.
    fn run(&self, folder: &Path, name: &str, args: &[&str]) -> Outcome {
        let mut command = self.sandbox.command(name, args);
        command.env("SLURM_CONF", self.home.join("slurm.conf")).current_dir(folder);
        let output = command.output().unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            what: format!("{name} {}", args.join(" ")),
            status: output.status,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Submits a script that is held until it is released; `None` if it is refused.
    fn submit(&self, script: &Path, output: &Path) -> Option<String> {
        let (output, path) = (output.display().to_string(), script.display().to_string());
        let words = ["--hold", "--parsable", "-p", "local", "-o", &output, "-e", &output, &path];
        let outcome = self.run(script.parent().expect("a folder"), "sbatch", &words);
        (outcome.code() == 0).then(|| outcome.stdout.trim().to_owned())
    }

    /// The output of `scontrol show job`: an element for the job, or for each task of an array that
    /// has begun.
    fn show(&self, id: &str) -> Vec<String> {
        let shown = self.run(&self.home, "scontrol", &["--oneliner", "show", "job", id]).ok().stdout;
        shown.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    }

    fn wait(&self) {
        eventually("Slurm's jobs end", Duration::from_secs(100), || {
            let active = self.run(&self.home, "squeue", &["--noheader", "--format=%i"]).ok().stdout;
            active.trim().is_empty().then_some(())
        });
    }
}

impl Drop for Slurm<'_> {
    fn drop(&mut self) {
        let stopped = self.script("stop");
        if std::thread::panicking() {
            eprintln!("{stopped}");
        }
    }
}

/// The value of `KEY=value` in what scontrol shows.
fn field<'t>(shown: &'t str, key: &str) -> Option<&'t str> {
    let from = shown.find(&format!(" {key}=")).map(|at| at + key.len() + 2)?;
    let rest = &shown[from..];
    // Only a name may have blanks in it; the field behind it is known.
    let end = if key == "JobName" { rest.find(" UserId=") } else { rest.find(' ') };
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// The demands of a script, in the form that both sides share.
type Asked = BTreeMap<&'static str, String>;

/// As Slurm has understood it.
fn asked_of_slurm(shown: &str) -> Asked {
    let number = |key: &str| field(shown, key).and_then(|v| v.split('-').next()?.parse::<u64>().ok());
    // Of a job that waits, Slurm guesses the number of nodes, unless it was given (`2-2`).
    let is_known = field(shown, "NumNodes").is_some_and(|nodes| nodes.contains('-'));
    let nodes = number("NumNodes").filter(|_| is_known).unwrap_or(1);
    let cpus = number("NumCPUs").unwrap_or(1);
    let mut asked = Asked::new();
    let mut say = |what, value: Option<String>| asked.extend(value.map(|value| (what, value)));
    say("name", field(shown, "JobName").map(str::to_owned));
    say("nodes", Some(nodes.to_string()));
    say("CPUs", Some(cpus.to_string()));
    let a_node = field(shown, "MinMemoryNode").and_then(mebibytes);
    let a_cpu = field(shown, "MinMemoryCPU").and_then(mebibytes).map(|mib| mib * cpus.div_ceil(nodes));
    say("memory", a_node.or(a_cpu).filter(|mib| *mib > 0).map(|mib| mib.to_string()));
    say("time limit", field(shown, "TimeLimit").filter(|limit| *limit != "UNLIMITED").and_then(seconds));
    say("array", field(shown, "ArrayTaskId").map(tasks));
    let gpus = |key| field(shown, key)?.rsplit_once("gpu")?.1.rsplit([':', '=']).next()?.parse::<u64>().ok();
    let of_tasks = |number: u64| number * field(shown, "NumTasks").and_then(|n| n.parse().ok()).unwrap_or(1);
    let gpus = gpus("TresPerNode")
        .or(gpus("TresPerJob").map(|number| number.div_ceil(nodes)))
        .or(gpus("TresPerTask").map(|number| of_tasks(number).div_ceil(nodes)));
    say("GPUs", gpus.map(|number| number.to_string()));
    asked
}

/// As our request has it.
fn asked_of_us(request: &Request) -> Option<Asked> {
    let submit = request.submit.as_ref()?;
    let mut asked = Asked::new();
    let mut say = |what, value: Option<String>| asked.extend(value.map(|value| (what, value)));
    say("name", submit["jobName"].as_str().map(str::to_owned));
    say("nodes", Some(request.nodes().to_string()));
    say("CPUs", Some((request.resource("VCPU").unwrap_or(1) * request.nodes()).to_string()));
    say("memory", request.resource("MEMORY").map(|mib| mib.to_string()));
    say("time limit", submit["timeout"]["attemptDurationSeconds"].as_u64().map(|s| s.to_string()));
    say("GPUs", request.resource("GPU").map(|number| number.to_string()));
    let variables = submit["containerOverrides"]["environment"].as_array();
    let variable = |name: &str| {
        let found = variables?.iter().find(|variable| variable["name"] == name)?;
        found["value"].as_str()
    };
    let size = submit["arrayProperties"]["size"].as_u64();
    // An array of one task is a single job, and has the variables all the same.
    say(
        "array",
        variable("AWSB_TASKS")
            .map(tasks)
            .or(variable("AWSB_TASK_ID").map(tasks))
            .or(size.map(|n| n.to_string())),
    );
    Some(asked)
}

/// `64M`, `2G`, in MiB.
fn mebibytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let factor = match unit {
        "M" => 1.0,
        "G" => 1024.0,
        "T" => 1024.0 * 1024.0,
        _ => return None,
    };
    // Slurm shortens 2500M to 2500M, and 2560M to 2.50G.
    number.parse::<f64>().ok().map(|number| (number * factor).round() as u64)
}

/// `1-02:03:04`.
fn seconds(text: &str) -> Option<String> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let seconds = days.parse::<u64>().ok()? * 86400 + parts.iter().fold(0, |sum, part| sum * 60 + part);
    // The partition's own limit, for jobs that name none.
    (seconds != DEFAULT_LIMIT_SECONDS).then(|| seconds.to_string())
}

/// The value of DefaultTime in `one-node-slurm.sh`, in seconds.
const DEFAULT_LIMIT_SECONDS: u64 = 61 * 60;

/// `1-9:4,20%2` as `1,5,9,20`.
fn tasks(text: &str) -> String {
    let text = text.split('%').next().unwrap_or_default();
    let ids = text.split(',').flat_map(|range| {
        let (range, step) = range.split_once(':').unwrap_or((range, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<usize>().unwrap_or_else(|e| panic!("{text}: {e}"));
        (number(first)..=number(last)).step_by(number(step))
    });
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

/// A script with the probe; one that no shell runs stays as it is.
fn probed(script: &Script) -> String {
    let text = std::fs::read_to_string(&script.path).expect("a script");
    if !text.lines().next().is_some_and(|first| first.ends_with("sh") || first.contains("sh -")) {
        return text;
    }
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    lines.insert(first.unwrap_or(lines.len()), PROBE);
    lines.concat()
}

/// The variables and results of a task.
#[derive(Debug, Default)]
struct TaskRun {
    variables: BTreeMap<String, String>,
    exit_code: Option<i64>,
    output: Vec<String>,
}

impl TaskRun {
    /// `plain` takes the numbers of jobs away, which are other ones in each run.
    fn of(run: &Run, plain: fn(&str) -> String) -> Self {
        let mut seen = Self { exit_code: run.exit_code, ..Self::default() };
        for line in run.lines.iter().map(|line| plain(line)) {
            match line.strip_prefix("probe ").and_then(|variable| variable.split_once('=')) {
                Some((name, value)) => {
                    seen.variables.insert(name.to_owned(), value.to_owned());
                }
                None => seen.output.push(line),
            }
        }
        seen
    }
}

/// A text without the numbers of Slurm's jobs, of which the first is 700001.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("700") {
        let is_number = rest.get(at..at + 6).is_some_and(|six| six.bytes().all(|b| b.is_ascii_digit()));
        plain.push_str(&rest[..at]);
        plain.push_str(if is_number { "<number>" } else { "700" });
        rest = &rest[at + if is_number { 6 } else { 3 }..];
    }
    plain + rest
}

/// The results of a job on Slurm.
fn run_there(slurm: &Slurm<'_>, id: &str, output: &Path) -> Runs {
    let name = output.display().to_string();
    let run = |shown: &String| {
        let task = field(shown, "ArrayTaskId").and_then(|id| id.parse::<i64>().ok());
        // Slurm's `%a` of a job that is no array.
        let file = name.replace("%a", &task.map_or(u32::MAX - 1, |task| task as u32).to_string());
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
        let code = field(shown, "ExitCode").and_then(|code| {
            let (code, signal) = code.split_once(':')?;
            let (code, signal): (i64, i64) = (code.parse().ok()?, signal.parse().ok()?);
            Some(if signal > 0 { 128 + signal } else { code })
        });
        // The lines that Slurm itself adds to a job's output are dropped.
        let own = |line: &&str| !line.starts_with("slurmstepd-") && !line.starts_with("srun: ");
        (task, Run { exit_code: code, lines: text.lines().filter(own).map(str::to_owned).collect() })
    };
    slurm.show(id).iter().map(run).collect()
}

/// Compares a value that both, one or none of them have.
fn compare(found: &mut Vec<Difference>, script: &str, what: &str, theirs: Option<&str>, ours: Option<&str>) {
    if theirs != ours {
        let own = |value: Option<&str>| value.map(str::to_owned);
        found.push(Difference {
            script: script.to_owned(),
            what: what.to_owned(),
            theirs: own(theirs),
            ours: own(ours),
        });
    }
}

fn compare_runs(found: &mut Vec<Difference>, script: &Script, theirs: &Runs, ours: &Runs) {
    let (slurm, here): (BTreeSet<_>, BTreeSet<_>) = (theirs.keys().collect(), ours.keys().collect());
    compare(found, &script.name, "tasks that ran", Some(&format!("{slurm:?}")), Some(&format!("{here:?}")));
    // Each child has a number of its own.
    let number = |run: &Run| run.lines.iter().find(|line| line.starts_with("probe SLURM_JOB_ID=")).cloned();
    let numbers: BTreeSet<String> = ours.values().filter_map(number).collect();
    let probes = ours.values().filter(|run| number(run).is_some()).count();
    compare(
        found,
        &script.name,
        "numbers of tasks",
        Some(&probes.to_string()),
        Some(&numbers.len().to_string()),
    );
    for (task, run) in theirs {
        let Some(own) = ours.get(task) else { continue };
        let (there, here) = (TaskRun::of(run, without_numbers), TaskRun::of(own, masked));
        let text = |seen: &TaskRun| seen.exit_code.map(|code| code.to_string());
        compare(found, &script.name, "exit code", text(&there).as_deref(), text(&here).as_deref());
        let text = |seen: &TaskRun| seen.output.join("\n");
        compare(found, &script.name, "output", Some(&text(&there)), Some(&text(&here)));
        let names: BTreeSet<&str> =
            here.variables.keys().map(String::as_str).chain(VARIABLES.iter().copied()).collect();
        for name in names {
            let of = |seen: &TaskRun| seen.variables.get(name).cloned();
            compare(found, &script.name, name, of(&there).as_deref(), of(&here).as_deref());
        }
    }
}

/// A script on both sides, on its way.
struct Case {
    script: Script,
    path: PathBuf,
    output: PathBuf,
    id: Option<String>,
    runs: bool,
}

#[story]
fn a_real_slurm_sees_the_same() {
    bash_4();
    for name in ["sbatch", "scontrol", "squeue", "sinfo", "slurmctld", "slurmd", "munged"] {
        program(name);
    }
    let _only_one = lock("slurm");
    let sandbox = sandbox();
    let slurm = Slurm::start(&sandbox);
    let mut found = Vec::new();
    let mut cases = Vec::new();
    for script in scripts("slurm") {
        let folder = sandbox.work().join("runs").join(&script.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(script.path.file_name().expect("a name"));
        std::fs::write(&path, probed(&script)).expect("a file");
        std::fs::copy(sandbox.work().join("input.dat"), folder.join("input.dat")).expect("a file");
        let output = folder.join("output.%a");
        let request = Request::of(&sandbox, &script);
        let id = slurm.submit(&path, &output);
        let accepted = |accepted: bool| Some(if accepted { "accepted" } else { "refused" });
        let ours = asked_of_us(&request);
        compare(&mut found, &script.name, "accepted", accepted(id.is_some()), accepted(ours.is_some()));
        if let (Some(id), Some(ours)) = (&id, &ours) {
            let shown = slurm.show(id);
            let theirs = asked_of_slurm(shown.first().expect("a job"));
            for what in ["name", "nodes", "CPUs", "memory", "time limit", "array", "GPUs"] {
                let of = |asked: &Asked| asked.get(what).cloned();
                compare(&mut found, &script.name, what, of(&theirs).as_deref(), of(ours).as_deref());
            }
        }
        let runs = id.is_some() && request.nodes() == 1 && request.runs_here();
        if let Some(id) = &id {
            let action: &[&str] = if runs { &["release", id] } else { &[id] };
            slurm.run(&folder, if runs { "scontrol" } else { "scancel" }, action).ok();
        }
        cases.push(Case { script, path, output, id, runs });
    }
    let running: Vec<&Case> = cases.iter().filter(|case| case.runs).collect();
    assert!(running.len() >= 40, "only {} scripts run", running.len());
    let paths: Vec<PathBuf> = running.iter().map(|case| case.path.clone()).collect();
    let here = run_here(&sandbox, &paths);
    slurm.wait();
    for (case, ours) in running.iter().zip(&here) {
        let there = run_there(&slurm, case.id.as_deref().unwrap_or_default(), &case.output);
        compare_runs(&mut found, &case.script, &there, ours);
    }
    nothing_of(unexplained(&found));
}

#[story]
fn the_docs_say_what_differs() {
    let rows = intended();
    assert!(rows.len() > 20, "only {} rows in docs/slurm.md", rows.len());
    let all: Vec<String> = scripts("slurm").into_iter().map(|script| script.name).collect();
    for (n, row) in rows.iter().enumerate() {
        assert!(row.reason.len() > 10 && row.reason.ends_with('.'), "no reason: {row:?}");
        assert!(
            rows[..n]
                .iter()
                .all(|other| (&other.what, &other.side) != (&row.what, &row.side)
                    || other.scripts != row.scripts),
            "twice: {row:?}"
        );
        for script in row.scripts.split(", ").filter(|script| *script != "all") {
            assert!(all.contains(&format!("slurm/{script}")), "there is no {script}: {row:?}");
        }
    }
}
