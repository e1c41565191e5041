//! Arrays of any size, task IDs, a task for each line, jobs that wait for others, and jobs again.

use std::process::{Command, Stdio};
use std::time::Duration;

use awsb_testkit::{Sandbox, eventually, story};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Lines in any order, sorted.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The SubmitJob requests that `--dry-run` shows.
fn requests(sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    let mut words = vec!["--dry-run"];
    words.extend(args);
    let shown = sandbox.run("bsub", words).ok().json();
    let all = shown.as_array().cloned().unwrap_or_default();
    all.iter().filter(|r| r["operation"] == "SubmitJob").map(|r| r["request"].clone()).collect()
}

fn variable<'a>(request: &'a Value, name: &str) -> &'a str {
    let environment = request["containerOverrides"]["environment"].as_array();
    let found = environment.into_iter().flatten().find(|v| v["name"] == name);
    found.and_then(|v| v["value"].as_str()).unwrap_or_default()
}

const TELL: &str =
    "#!/bin/sh\necho \"$AWSB_TASK_ID of $AWSB_TASK_COUNT, $AWSB_TASK_MIN-$AWSB_TASK_MAX:$AWSB_TASK_STEP\"\n";

#[story]
fn a_list_of_tasks_without_end_is_refused() {
    let sandbox = Sandbox::new();
    for (args, says) in [
        (&["--each", "/dev/zero", "echo", "{}"][..], "--each: /dev/zero has a NUL in line 1"),
        (&["--commands", "/dev/zero"], "--commands: /dev/zero has a NUL in line 1"),
    ] {
        let refused = sandbox.run("bsub", [&["--dry-run"], args].concat());
        assert_eq!(refused.failed_with(2), says, "{refused}");
    }
    let mut endless = Command::new("yes").stdout(Stdio::piped()).spawn().expect("yes runs");
    let output = endless.stdout.take().expect("its output");
    let mut command = sandbox.command("bsub", ["--dry-run", "--each", "-", "echo", "{}"]);
    let refused = command.stdin(output).output().expect("bsub runs");
    // The command holds the reader.
    drop(command);
    endless.wait().expect("yes ends with its reader");
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("standard input has more than 1000000 lines"), "{stderr}");
}

#[story]
fn tasks_have_the_ids_that_were_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.file("tell.sh", TELL);
    let report = |ids: &str| {
        let id = sandbox.run("bsub", ["-K", "--parsable", "--array", ids, "tell.sh"]).ok().job_id();
        let lines = sandbox.run("bout", [&id]).ok().stdout;
        // By time: which task was first is open.
        let mut text: Vec<&str> = lines.lines().map(|l| l.split_once(": ").map_or(l, |(_, t)| t)).collect();
        text.sort_by_key(|line| line.split(' ').next().and_then(|task| task.parse::<u32>().ok()));
        text.join("\n")
    };
    assert_eq!(report("1-10:4"), "1 of 3, 1-9:4\n5 of 3, 1-9:4\n9 of 3, 1-9:4");
    assert_eq!(report("12,3,7-8"), "3 of 4, 3-12:1\n7 of 4, 3-12:1\n8 of 4, 3-12:1\n12 of 4, 3-12:1");
    // Batch has no array of one: a single job sees the same.
    assert_eq!(report("7"), "7 of 1, 7-7:1");
    let one =
        sandbox.run("bsub", ["-I", "-a", "1", "--wrap", "echo $AWS_BATCH_JOB_ARRAY_INDEX $AWSB_TASK_ID"]);
    assert_eq!(one.ok().stdout, "0 0\n");
    let two = sandbox.run("bsub", ["-I", "-a", "2", "tell.sh"]).ok().stdout;
    assert_eq!(sorted(&two), ["0: 0 of 2, 0-1:1", "1: 1 of 2, 0-1:1"]);
}

#[story]
fn more_tasks_than_batch_takes_become_several_jobs() {
    let sandbox = Sandbox::new();
    sandbox.file("tell.sh", TELL);
    let parts = requests(&sandbox, &["--array", "1-25001", "tell.sh"]);
    let shown: Vec<(i64, &str)> = parts
        .iter()
        .map(|r| (r["arrayProperties"]["size"].as_i64().unwrap_or(1), variable(r, "AWSB_TASKS")))
        .collect();
    assert_eq!(shown, [(10_000, "1-10000"), (10_000, "10001-20000"), (5001, "20001-25001")]);
    assert!(parts.iter().all(|r| r["jobName"] == "tell-sh" && variable(r, "AWSB_TASK_COUNT") == "25001"));
    let marks: std::collections::BTreeSet<&str> =
        parts.iter().map(|r| variable(r, "AWSB_SUBMISSION")).collect();
    assert_eq!(marks.len(), 3, "each submission has a mark of its own");
    // One name, several IDs, which every tool takes. (Scattered IDs do not fit into one request
    // either.)
    let ids: Vec<String> = (0..600).map(|n| (n * n + 7 * n).to_string()).collect();
    let outcome = sandbox.run("bsub", ["-K", "--parsable", "--array", &ids.join(","), "tell.sh"]).ok();
    let jobs = outcome.stdout.trim();
    assert!(jobs.contains(','), "several jobs: {jobs}");
    let mut tasks: Vec<u32> = Vec::new();
    for job in jobs.split(',') {
        let lines = sandbox.run("bout", [job]).ok().stdout;
        let task = |line: &str| -> Option<u32> {
            line.split_once(": ").map_or(line, |(_, t)| t).split(' ').next()?.parse().ok()
        };
        tasks.extend(lines.lines().filter_map(task));
    }
    tasks.sort_unstable();
    assert_eq!(tasks, (0..600).map(|n| n * n + 7 * n).collect::<Vec<u32>>());
}

#[story]
fn a_task_for_each_line() {
    let sandbox = Sandbox::new();
    let awkward = "plain\ntwo words\n\n$HOME `id` \"quoted\" it's\n  blanks  \n{} *\nlast é";
    sandbox.file("samples.txt", awkward);
    sandbox.file("each.sh", "#!/bin/sh\nprintf '%s|' \"$AWSB_TASK_ID\" \"$AWSB_TASK_LINE\" \"$@\"; echo\n");
    let lines: Vec<String> = awkward
        .split('\n')
        .enumerate()
        .map(|(n, line)| format!("{0} (:{n}): {0}|{line}|in={line}.{line}|x|", n + 1))
        .collect();
    let outcome = sandbox.run("bsub", ["-I", "--each", "samples.txt", "each.sh", "in={}.{}", "x"]).ok();
    assert_eq!(sorted(&outcome.stdout), lines);
    // A plain command, and lines from standard input.
    let outcome = sandbox.run_with_input("bsub", ["-I", "--each", "-", "echo", "<{}>"], "a\nb c\n").ok();
    assert_eq!(sorted(&outcome.stdout), ["1 (:0): <a>", "2 (:1): <b c>"]);
    // Each line a command: the highest exit code is the array's.
    let commands = "echo one | tr o 0\nexit 3\nprintf '%s\\n' \"$AWSB_TASK_ID of $AWSB_TASK_COUNT\"\n";
    sandbox.file("commands.txt", commands);
    let outcome = sandbox.run("bsub", ["-I", "--commands", "commands.txt"]).ended_with(3);
    assert_eq!(sorted(&outcome.stdout), ["1 (:0): 0ne", "3 (:2): 3 of 3"]);
    assert!(outcome.stderr.contains("(commands-txt) has been submitted."), "{outcome}");
    // One line is a single job; so many that they do not fit into the request travel through S3.
    assert_eq!(
        sandbox.run_with_input("bsub", ["-I", "--commands", "-"], "echo alone").ok().stdout,
        "alone\n"
    );
    let many: String = (0..40).map(|n| format!("echo {n} {}\n", "x".repeat(n * 40))).collect();
    let outcome = sandbox.run_with_input("bsub", ["-I", "--commands", "-"], many).ok();
    assert_eq!(outcome.stdout.lines().count(), 40, "{outcome}");
}

#[story]
fn jobs_wait_for_others() {
    let sandbox = Sandbox::new();
    let log = sandbox.work().join("log");
    let say = |what: &str| format!("echo {what} $AWS_BATCH_JOB_ARRAY_INDEX >> '{}'", log.display());
    let first =
        sandbox.run("bsub", ["--parsable", "--wrap", &format!("sleep 0.3; {}", say("first"))]).ok().job_id();
    let second =
        sandbox.run("bsub", ["--parsable", "-d", &first, "-a", "2", "--wrap", &say("second")]).ok().job_id();
    let n_to_n = format!("aftercorr:{second}");
    let third =
        sandbox.run("bsub", ["--parsable", "--dependency", &n_to_n, "-a", "2", "--wrap", &say("third")]);
    let third = third.ok().job_id();
    let old = format!("jobId={third},type=N_TO_N;jobId={first}");
    sandbox.run("bsub", ["-K", "-d", &old, "-d", "sequential", "-a", "2", "--wrap", &say("fourth")]).ok();
    let text = std::fs::read_to_string(&log).expect("the jobs' log");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let at = |line: &str| lines.iter().position(|l| *l == line).expect(line);
    assert_eq!((lines[0], lines.len()), ("first", 7), "{text}");
    for (earlier, later) in [
        ("second 0", "third 0"),
        ("second 1", "third 1"),
        ("third 0", "fourth 0"),
        ("third 1", "fourth 1"),
        ("fourth 0", "fourth 1"),
    ] {
        assert!(at(earlier) < at(later), "{earlier} before {later}: {text}");
    }
    // One that Batch does not know (any more) is said to be so.
    let gone = "00000000-1111-4222-8333-444455556666";
    let outcome = sandbox.run("bsub", ["-d", gone, "true"]);
    assert!(outcome.failed_with(1).contains(&format!("Batch does not have the job {gone}")), "{outcome}");
    assert!(outcome.hints().contains("removes ended jobs after some days"), "{outcome}");
    // A job that others wait for fails: they fail without having run.
    let bad = sandbox.run("bsub", ["--parsable", "--wrap", "exit 1"]).ok().job_id();
    let outcome =
        sandbox.run("bsub", ["-K", "-d", &format!("afterok:{bad}"), "--wrap", &say("never")]).ended_with(1);
    assert!(outcome.stderr.contains("FAILED"), "{outcome}");
    assert!(!std::fs::read_to_string(&log).expect("the log").contains("never"));
}

#[story]
fn a_job_again_and_what_of_it_has_failed() {
    let sandbox = Sandbox::new();
    let good = sandbox.work().join("good");
    sandbox.file(
        "flaky.sh",
        format!(
            "#!/bin/sh\n#SBATCH --array=10-50:10\n[ $AWSB_TASK_ID -le 30 ] || [ -e '{}' ] || exit 4\n\
             echo \"$1 $AWSB_TASK_ID $SETTING\"\n",
            good.display()
        ),
    );
    let outcome = sandbox.run("bsub", ["-K", "--parsable", "-e", "SETTING=old", "flaky.sh", "two words"]);
    let id = outcome.ended_with(4).stdout.trim().to_owned();
    sandbox.file("good", "");
    let report = |args: &[&str]| {
        let text = sandbox.run("bsub", args).ok().stdout;
        let mut lines: Vec<String> =
            text.lines().map(|l| l.split_once(": ").map_or(l, |(_, t)| t).to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(report(&["-I", "--rerun", &id, "--failed"]), ["two words 40 old", "two words 50 old"]);
    let all: Vec<String> = (1..=5).map(|n| format!("two words {n}0 new")).collect();
    assert_eq!(report(&["-I", "--rerun", &id, "-e", "SETTING=new", "-J", "again"]), all);
    let array = id;
    // An array that nothing stood in front of keeps its indices, too.
    let outcome = sandbox.run(
        "bsub",
        ["-K", "--parsable", "-a", "4", "sh", "-c", "[ -e \"$0\" ] || exit $((AWS_BATCH_JOB_ARRAY_INDEX % 2)); echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE", "again"],
    );
    let id = outcome.ended_with(1).stdout.trim().to_owned();
    let shown = requests(&sandbox, &["--rerun", &id, "--failed"]);
    assert_eq!(variable(&shown[0], "AWSB_TASKS"), "i:1,3");
    let shown = requests(&sandbox, &["--rerun", &format!("{id}:3")]);
    assert_eq!((variable(&shown[0], "AWSB_TASKS"), variable(&shown[0], "AWSB_TASK_COUNT")), ("i:3", "4"));
    // A child is its own task alone, and not the first one.
    for (part, task) in [(":1", "20"), (":4", "50")] {
        let child = format!("{array}{part}");
        assert_eq!(report(&["-I", "--rerun", &child]), [format!("two words {task} old")]);
    }
    let failed = requests(&sandbox, &["--rerun", &format!("{array}:1,{array}:4"), "--failed"]);
    let tasks: Vec<&str> = failed.iter().map(|request| variable(request, "AWSB_TASKS")).collect();
    assert_eq!((tasks, failed[0]["arrayProperties"].is_null()), (vec!["50"], true));
    // Nothing has failed: nothing is submitted.
    let fine = sandbox.run("bsub", ["-K", "--parsable", "true"]).ok().job_id();
    let outcome = sandbox.run("bsub", ["--rerun", &fine, "--failed"]).ok();
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains("no task of the job has failed"), "{outcome}");
    for (option, shown) in [("--json", "[]\n"), ("--dry-run", "[]\n"), ("-I", "")] {
        let outcome = sandbox.run("bsub", ["--rerun", &fine, "--failed", option]).ok();
        assert_eq!(outcome.stdout, shown, "{option}: {outcome}");
    }
    let message = sandbox.run("bsub", ["--rerun", &fine, "-i", "x"]).failed_with(2);
    assert!(message.contains("--input cannot be changed by --rerun"), "{message}");
    // Options that would be ignored are refused, and jobs that cannot run are not submitted.
    for (option, value) in
        [("--job-role", "other"), ("--user", "1000"), ("--secret", "A=/path"), ("--shm-size", "64M")]
    {
        let message = sandbox.run("bsub", ["--rerun", &fine, option, value]).failed_with(2);
        assert!(message.contains(&format!("{option} cannot be changed by --rerun")), "{message}");
    }
    let long = format!("A={}", "x".repeat(9000));
    let message = sandbox.run("bsub", ["--rerun", &fine, "-e", &long]).failed_with(2);
    assert!(message.contains("Batch accepts at most 8192"), "{message}");
    let nodes = sandbox.run("bsub", ["-K", "--parsable", "-n", "2", "true"]).ok().job_id();
    let message = sandbox.run("bsub", ["--rerun", &format!("{nodes}#1")]).failed_with(2);
    assert!(message.contains("is a node"), "{message}");
}

#[story]
fn tasks_that_wait_for_each_other_are_of_one_array_job() {
    let sandbox = Sandbox::new();
    let other = "8f2c0d3e-0000-4000-8000-000000000001";
    let n_to_n = format!("n_to_n:{other}");
    for (args, output) in [
        (["-a", "10001", "-d", "sequential"], "need 2 of them"),
        (["-a", "10001", "-d", &n_to_n], "need 2 of them"),
        (["-p", "1", "-d", "sequential"], "is only for array jobs"),
        (["-p", "1", "-d", &n_to_n], "is only for array jobs"),
    ] {
        let message = sandbox.run("bsub", args.into_iter().chain(["--dry-run", "true"])).failed_with(2);
        assert!(message.contains(output), "{message}");
    }
    // The only task of an array waits for the whole of the other one, and for nothing before it.
    let shown = requests(&sandbox, &["-a", "1", "-d", &n_to_n, "-d", "sequential", "true"]);
    assert_eq!(shown[0]["dependsOn"], serde_json::json!([{ "jobId": other }]));
    let shown = requests(&sandbox, &["-a", "2", "-d", &n_to_n, "true"]);
    assert_eq!(shown[0]["dependsOn"], serde_json::json!([{ "jobId": other, "type": "N_TO_N" }]));
}

#[story]
fn what_a_script_says_in_several_lines_is_all_meant() {
    let sandbox = Sandbox::new();
    sandbox.file("lines", "a\nb\n");
    for (head, output) in [
        (
            "#SBATCH --array=0-3\n#SBATCH --nodes=2",
            "line 3: `#SBATCH --nodes=2`: a multi-node parallel job cannot be an array",
        ),
        ("#SBATCH --nodes=2\n#SBATCH --array=0-3", "a multi-node parallel job cannot be an array"),
        ("#AWSB --commands lines", "--commands cannot be used with"),
    ] {
        sandbox.file("job.sh", format!("#!/bin/sh\n{head}\n"));
        let message = sandbox.run("bsub", ["--dry-run", "job.sh"]).failed_with(2);
        assert!(message.contains(output), "{message}");
    }
    sandbox.file(
        "job.sh",
        "#!/bin/sh\n#AWSB --retry-on spot\n#AWSB --retry-on exit:7\n#AWSB -r 4\n\
         #AWSB -d 8f2c0d3e-0000-4000-8000-000000000001\n#AWSB -d 8f2c0d3e-0000-4000-8000-000000000002\n",
    );
    let rules = |args: &[&str]| {
        let request = requests(&sandbox, &[args, &["job.sh"]].concat()).remove(0);
        assert_eq!(request["dependsOn"].as_array().map(Vec::len), Some(2), "{request}");
        let strategy = &request["retryStrategy"];
        (strategy["attempts"].as_u64(), strategy["evaluateOnExit"].as_array().map_or(0, Vec::len))
    };
    // The last rule is that every other end is final.
    assert_eq!(rules(&[]), (Some(4), 3));
    assert_eq!(rules(&["-r", "5"]), (Some(5), 3));
    assert_eq!(rules(&["-r", "1"]), (Some(1), 0));
    assert_eq!(rules(&["--retry-on", "exit:9"]), (Some(4), 2));
}

#[story]
fn a_dry_run_shows_the_requests_and_no_secret() {
    let sandbox = Sandbox::new();
    sandbox.file("job.sh", "#!/bin/sh\n#AWSB --memory 4G -p 2\n#SBATCH --time=90 --exclusive\necho hi\n");
    let outcome = sandbox
        .run(
            "bsub",
            [
                "--dry-run",
                "-e",
                "API_TOKEN=hunter2",
                "-e",
                "PLAIN=seen",
                "--retry-on",
                "spot",
                "--retry-on",
                "exit:137",
                "-d",
                "afterok:8f2c0d3e",
                "--tag",
                "a=b",
                "--propagate-tags",
                "--param",
                "x=y",
                "--share",
                "s1",
                "--priority",
                "5",
                "job.sh",
                "arg",
            ],
        )
        .ok();
    assert!(!outcome.stdout.contains("hunter2") && outcome.stdout.contains("seen"), "{outcome}");
    assert!(outcome.stderr.contains("line 3: `#SBATCH --exclusive`"), "{outcome}");
    let mut shown = outcome.json();
    shown[0]["request"]["Key"] = "KEY".into();
    shown[0]["request"]["ContentLength"] = "LENGTH".into();
    let overrides = &mut shown[1]["request"]["containerOverrides"];
    overrides["command"][2] = "LAUNCHER".into();
    for variable in overrides["environment"].as_array_mut().expect("variables") {
        if variable["name"] == "AWSB_SUBMISSION" || variable["name"] == "AWSB_BUNDLE" {
            variable["value"] = "DIFFERS".into();
        }
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown).expect("JSON"));
    // A directive that cannot be honoured is an error when that is asked for.
    let message = sandbox.run("bsub", ["--strict", "job.sh"]).failed_with(2);
    assert!(message.contains("job.sh, line 3: `#SBATCH --exclusive`"), "{message}");
    assert_eq!(sandbox.run("bstat", ["-s", "ALL"]).ok().stdout.lines().count(), 1, "nothing was submitted");
}

#[story]
fn whoever_waits_for_an_array_is_told_of_its_children() {
    let sandbox = Sandbox::new();
    // Stuck for ever: no machine here has as many GPUs.
    let waiting = sandbox.start("sh", ["-c", "exec bsub -K -g 16 -a 2 true 2>told"]);
    eventually("a child is said to be stuck", Duration::from_secs(60), || {
        let report = std::fs::read_to_string(sandbox.work().join("told")).unwrap_or_default();
        (report.contains(":0 (true) is RUNNABLE, submitted") && report.contains("\nwhat to do: "))
            .then_some(())
    });
    waiting.signal(Signal::SIGINT);
    waiting.wait().ended_with(130);
    sandbox.run("bkill", ["last"]).ok();
    // One that failed is named, with its reason.
    let outcome =
        sandbox.run("bsub", ["-K", "-a", "3", "sh", "-c", "exit $((AWS_BATCH_JOB_ARRAY_INDEX * 4))"]);
    let outcome = outcome.ended_with(8);
    assert!(outcome.stderr.contains(":1 (sh) FAILED with exit code 4\n"), "{outcome}");
}

#[story]
fn a_shell_command_line_knows_its_task_and_no_line_gets_into_it() {
    let sandbox = Sandbox::new();
    let outcome =
        sandbox.run("bsub", ["-I", "-a", "2", "--wrap", "echo $AWSB_TASK_ID of $AWSB_TASK_COUNT"]).ok();
    assert_eq!(sorted(&outcome.stdout), ["0: 0 of 2", "1: 1 of 2"]);
    sandbox.file("lines", "\"q\"; echo INJECTED\n");
    let outcome = sandbox.run("bsub", ["-I", "--each", "lines", "--wrap", "echo {}"]);
    assert!(outcome.failed_with(2).starts_with("--wrap with --each"), "{outcome}");
    let outcome =
        sandbox.run("bsub", ["-I", "--each", "lines", "--wrap", "printf '%s\\n' \"$AWSB_TASK_LINE\""]).ok();
    assert_eq!(outcome.stdout, "\"q\"; echo INJECTED\n");
}

#[story]
fn a_child_that_does_not_exist_is_said_at_once() {
    let sandbox = Sandbox::new();
    let single = sandbox.run("bsub", ["--parsable", "sleep", "60"]).ok().job_id();
    let array = sandbox.run("bsub", ["--parsable", "-a", "3", "sleep", "60"]).ok().job_id();
    for (job, has) in [(&single, "has no children"), (&array, "has 3 children, from 0 to 2")] {
        let child = format!("{job}:9");
        for words in [["bstat", ""], ["bstat", "--why"], ["bout", ""], ["bkill", ""], ["bwait", ""]] {
            let began = std::time::Instant::now();
            let args = words[1..].iter().filter(|word| !word.is_empty()).copied().chain([child.as_str()]);
            let outcome = sandbox.run(words[0], args);
            assert_eq!(
                outcome.failed_with(1),
                format!("there is no job {child}: the job {job} (sleep) {has}"),
                "{outcome}"
            );
            assert!(!outcome.hints().contains("some days"), "{outcome}");
            // A new job that Batch does not show yet is asked for again for ten seconds.
            assert!(began.elapsed() < Duration::from_secs(10), "{outcome}");
        }
    }
    let rerun = sandbox.run("bsub", ["--rerun", &format!("{array}:9")]);
    assert!(rerun.failed_with(1).ends_with("has 3 children, from 0 to 2"), "{rerun}");
}

#[story]
fn a_failed_child_is_named_with_its_task() {
    let sandbox = Sandbox::new();
    let line = "test $AWSB_TASK_ID != 7";
    for way in ["-K", "-I"] {
        let failed = sandbox.run("bsub", [way, "--array", "3,7,9", "--wrap", line]).ended_with(1);
        assert!(failed.stderr.contains(":1 (wrap, task 7) FAILED with exit code 1"), "{failed}");
    }
    let waited = sandbox.run("bwait", ["last"]).ended_with(1);
    assert!(waited.stderr.contains(":1 (wrap, task 7) FAILED with exit code 1"), "{waited}");
    let details = sandbox.run("bstat", ["-d", "last"]).ok();
    assert!(details.stdout.contains("\nfailed task 7 (:1) : FAILED; exit code 1"), "{details}");
    let why = sandbox.run("bstat", ["--why", "last"]).ok();
    assert!(why.stdout.contains("task 7 (:1)"), "{why}");
    let outcome = sandbox.run("bout", ["--attempt", "2", "last"]);
    assert!(outcome.failed_with(1).starts_with("none of the children of the job "), "{outcome}");
}
