//! A new user's first ten minutes: no account, no Docker engine, no configuration.

use std::time::Duration;

use awsb_testkit::{Sandbox, eventually, story};
use nix::sys::signal::Signal;

const PI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/pi.sh");

/// A job that runs until the file `go` is in the sandbox's working folder.
fn waiting_script(sandbox: &Sandbox, before: &str, after: &str) -> std::path::PathBuf {
    let go = sandbox.work().join("go");
    let script =
        format!("#!/bin/sh\n{before}\nwhile [ ! -e '{}' ]; do sleep 0.05; done\n{after}\n", go.display());
    sandbox.file("waiting.sh", script)
}

fn status(sandbox: &Sandbox, id: &str) -> String {
    sandbox.run("bstat", ["--json", id]).ok().json()[0]["status"].as_str().unwrap_or_default().to_owned()
}

fn wait_for_status(sandbox: &Sandbox, id: &str, wanted: &str) {
    eventually(&format!("{id} is {wanted}"), Duration::from_secs(60), || {
        (status(sandbox, id) == wanted).then_some(())
    });
}

#[story]
fn one_command_from_a_fresh_clone() {
    let outcome = Sandbox::new().run("bsub", ["-I", PI, "200000"]).ok();
    assert!(outcome.stdout.starts_with("pi is about 3.1"), "{outcome}");
    assert!(outcome.stdout.ends_with("(200000 points)\n"), "{outcome}");
    assert!(outcome.stderr.ends_with("(pi-sh) has been submitted.\n"), "{outcome}");
}

#[story]
fn a_failing_script_is_easy_to_find() {
    let sandbox = Sandbox::new();
    sandbox.file("fails.sh", "echo working\necho 'no such sample: 7' >&2\nexit 42\n");
    let outcome = sandbox.run("bsub", ["-I", "fails.sh"]).ended_with(42);
    assert_eq!(outcome.stdout, "working\nno such sample: 7\n");
    assert!(outcome.stderr.contains("(fails-sh) FAILED with exit code 42\n"), "{outcome}");
    let table = sandbox.run("bstat", ["-s", "FAILED"]).ok().stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!((row[1], row[2], row[5]), ("fails-sh", "FAILED", "42"), "{table}");
    assert_eq!(sandbox.run("bout", [row[0]]).ok().stdout, "working\nno such sample: 7\n");
    // Without the output on the screen, waiting says where it is.
    let outcome = sandbox.run("bsub", ["-K", "fails.sh"]).ended_with(42);
    assert_eq!(outcome.stdout, "");
    assert!(outcome.hints().contains("`bout "), "{outcome}");
}

#[story]
fn every_way_to_say_what_runs() {
    let sandbox = Sandbox::new();
    sandbox.file("args.sh", "#!/bin/sh\nfor a; do echo \"<$a>\"; done\n");
    let awkward = ["two words", "", "Ref::x", "--parsable", "it's \"$HOME\" `id`", "é\u{1F600}", "-K"];
    let expected: Vec<String> = awkward.iter().map(|a| format!("<{a}>\n")).collect();
    let mut words = vec!["-I", "args.sh"];
    words.extend(awkward);
    assert_eq!(sandbox.run("bsub", words).ok().stdout, expected.concat());
    let mut words = vec!["-I", "sh", "-c", "for a; do echo \"<$a>\"; done", "sh"];
    words.extend(awkward);
    assert_eq!(sandbox.run("bsub", words).ok().stdout, expected.concat());
    assert_eq!(sandbox.run("bsub", ["-I", "--wrap", "echo b a | tr ' ' '\\n' | sort"]).ok().stdout, "a\nb\n");
    let outcome = sandbox.run_with_input("bsub", ["-I"], "echo from stdin\nexit 3\n").ended_with(3);
    assert_eq!(outcome.stdout, "from stdin\n");
    assert!(outcome.stderr.contains("(STDIN) has been submitted."), "{outcome}");
    let outcome = sandbox.run_with_input("bsub", ["-I", "-", "a b"], "echo \"<$1>\"\n").ok();
    assert_eq!(outcome.stdout, "<a b>\n", "a dash is standard input, and may have arguments");
    sandbox.file("hello", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n");
    assert_eq!(sandbox.run("bsub", ["-I", "hello", "1"]).ok().stdout, "['1']\n");
}

#[story]
fn the_environment_is_the_jobs_own() {
    let mut sandbox = Sandbox::new();
    sandbox.set("MINE", "from the shell");
    sandbox.set("OTHER", "not asked for");
    let script = sandbox.file("env.sh", "#!/bin/sh\nenv\n");
    let script = script.to_str().expect("UTF-8");
    let value = "A=a,b\nc=d";
    let outcome =
        sandbox.run("bsub", ["-I", "-e", "MINE,UNSET", "-e", value, "-e", "PATH=/bin:/usr/bin", script]).ok();
    assert!(outcome.stdout.contains("\nMINE=from the shell\n"), "{outcome}");
    assert!(outcome.stdout.contains("\nA=a,b\nc=d\n"), "{outcome}");
    assert!(outcome.stdout.contains("\nPATH=/bin:/usr/bin\n"), "{outcome}");
    assert!(!outcome.stdout.contains("OTHER"), "{outcome}");
    assert!(!outcome.stdout.contains("AWSB_BUNDLE"), "{outcome}");
    assert!(outcome.stderr.contains("warning: the variable UNSET is not set here"), "{outcome}");
}

#[story]
fn an_array_of_twenty() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "task.sh",
        "echo \"task $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE\"\nexit \"$1\"\n",
    );
    let id = sandbox.run("bsub", ["--parsable", "-a", "20", "task.sh", "0"]).ok().job_id();
    wait_for_status(&sandbox, &id, "SUCCEEDED");
    let table = sandbox.run("bstat", [&id]).ok().stdout;
    assert_eq!(table.lines().count(), 1 + 1 + 20, "{table}");
    let indices: Vec<String> =
        table.lines().skip(2).map(|l| l.split_whitespace().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(indices, (0..20).map(|i| format!("{id}:{i}")).collect::<Vec<_>>());
    // By time: which child was first is open.
    let output = sandbox.run("bout", [&id]).ok().stdout;
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_by_key(|line| line.split(':').next().and_then(|index| index.parse::<u32>().ok()));
    assert_eq!(lines, (0..20).map(|i| format!("{i}: task {i} of 20")).collect::<Vec<_>>());
    assert_eq!(sandbox.run("bout", [format!("{id}:7")]).ok().stdout, "task 7 of 20\n");
    assert!(
        sandbox
            .run("bstat", [format!("{id}:7")])
            .ok()
            .stdout
            .starts_with(&format!("jobId         : {id}:7\n"))
    );
    let failed = sandbox.run("bstat", ["-s", "FAILED", &id]).ok().stdout;
    assert_eq!(failed.lines().count(), 1 + 1, "the parent alone: {failed}");
    // The exit code of an array is the highest of its children's.
    let outcome = sandbox
        .run("bsub", ["-I", "-a", "4", "--wrap", "echo hi; exit $AWS_BATCH_JOB_ARRAY_INDEX"])
        .ended_with(3);
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0: hi", "1: hi", "2: hi", "3: hi"]);
}

#[story]
fn lines_appear_while_the_job_runs() {
    let sandbox = Sandbox::new();
    waiting_script(&sandbox, "echo one; echo two >&2", "echo three");
    let id = sandbox.run("bsub", ["--parsable", "waiting.sh"]).ok().job_id();
    let mut following = sandbox.start("bout", ["-f", &id]);
    assert_eq!(following.line().as_deref(), Some("one"));
    assert_eq!(following.line().as_deref(), Some("two"));
    assert_eq!(sandbox.run("bout", [&id]).ok().stdout, "one\ntwo\n");
    assert_eq!(status(&sandbox, &id), "RUNNING");
    sandbox.file("go", "");
    assert_eq!(following.wait().ok().stdout, "one\ntwo\nthree\n");
    let object = sandbox.run("bout", ["-s", "--json", &id]).ok().stdout;
    let first: serde_json::Value =
        serde_json::from_str(object.lines().next().unwrap_or_default()).expect("an object a line");
    assert_eq!((first["message"].as_str(), first["jobId"].as_str()), (Some("one"), Some(id.as_str())));
    let array = sandbox.run("bout", ["--json", &id]).ok().json();
    assert_eq!(array.as_array().map(Vec::len), Some(3));
}

#[story]
fn a_job_is_ended_with_all_its_processes() {
    let sandbox = Sandbox::new();
    let pids = sandbox.work().join("pids");
    sandbox.file("tree.sh", format!("#!/bin/sh\nsleep 1000 &\necho $! $$ > '{}'\nwait\n", pids.display()));
    let id = sandbox.run("bsub", ["--parsable", "tree.sh"]).ok().job_id();
    let text = eventually("both processes", Duration::from_secs(60), || {
        std::fs::read_to_string(&pids).ok().filter(|t| t.ends_with('\n'))
    });
    let outcome = sandbox.run("bkill", ["-r", "wrong input", &id]).ok();
    assert_eq!(outcome.stdout, format!("Job {id} (tree-sh) is being ended.\n"));
    wait_for_status(&sandbox, &id, "FAILED");
    for pid in text.split_whitespace() {
        eventually(&format!("process {pid} is gone"), Duration::from_secs(10), || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        });
    }
    let details = sandbox.run("bstat", [&id]).ok().stdout;
    assert!(details.contains("statusReason  : wrong input\n"), "{details}");
    // One that has ended already is no error, one that is unknown is.
    let outcome = sandbox.run("bkill", [&id, "no-such-job"]).ended_with(1);
    assert_eq!(outcome.stdout, format!("Job {id} (tree-sh) had already ended: FAILED.\n"));
    assert!(
        outcome.stderr.starts_with("bkill: error: there is no job no-such-job (cluster local)\n"),
        "{outcome}"
    );
}

#[story]
fn unknown_jobs_are_said_to_be_unknown() {
    let sandbox = Sandbox::new();
    for words in [
        &["bstat", "no-such-job"][..],
        &["bout", "no-such-job"],
        &["bout", "-f", "no-such-job"],
        &["bkill", "no-such-job"],
    ] {
        let outcome = sandbox.run(words[0], &words[1..]);
        assert_eq!(outcome.failed_with(1), "there is no job no-such-job (cluster local)");
        assert!(outcome.hints().contains("`bstat -s ALL`"), "{outcome}");
    }
    let outcome = sandbox.run("bsub", ["-q", "nowhere", "true"]);
    assert!(outcome.failed_with(1).contains("queue nowhere"), "{outcome}");
    let outcome = sandbox.run("bstat", ["-q", "nowhere"]);
    assert!(outcome.failed_with(1).contains("queue nowhere"), "{outcome}");
}

#[story]
fn a_job_that_has_not_started_has_no_output() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["--parsable", "-p", "10000", "true"]).ok().job_id();
    let outcome = sandbox.run("bout", [&id]);
    assert!(
        outcome.failed_with(1).starts_with(&format!("the job {id} has not started: it is RUNNABLE")),
        "{outcome}"
    );
    sandbox.run("bkill", [&id]).ok();
    wait_for_status(&sandbox, &id, "FAILED");
    for words in [&[id.as_str()][..], &["-f", &id]] {
        let outcome = sandbox.run("bout", words);
        assert!(
            outcome.failed_with(1).starts_with(&format!("the job {id} has no output: it is FAILED (")),
            "{outcome}"
        );
        assert!(outcome.hints().contains(&format!("`bstat --why {id}`")), "{outcome}");
    }
    // A command that waits for such a job prints that the job is stuck.
    let waiting = sandbox.start("bash", ["-c", "bsub -K -p 10000 true 2>said"]);
    eventually("bsub says why", Duration::from_secs(60), || {
        let report = std::fs::read_to_string(sandbox.work().join("said")).unwrap_or_default();
        (report.contains("is RUNNABLE, submitted") && report.contains("\nwhat to do: ")).then_some(())
    });
    let report = std::fs::read_to_string(sandbox.work().join("said")).unwrap_or_default();
    assert_eq!(report.matches("is RUNNABLE").count(), 1, "{report}");
    let active = sandbox.run("bstat", ["--json"]).ok().json();
    sandbox.run("bkill", [active[0]["jobId"].as_str().unwrap_or_default()]).ok();
    waiting.wait().ended_with(1);
}

#[story]
fn ctrl_c_leaves_the_job_running() {
    let sandbox = Sandbox::new();
    waiting_script(&sandbox, "echo started", "exit 5");
    let mut waiting = sandbox.start("bsub", ["-I", "waiting.sh"]);
    assert_eq!(waiting.line().as_deref(), Some("started"));
    waiting.signal(Signal::SIGINT);
    let outcome = waiting.wait().ended_with(130);
    let table = sandbox.run("bstat", Vec::<&str>::new()).ok().stdout;
    let id = table.lines().nth(1).and_then(|l| l.split_whitespace().next()).unwrap_or_default().to_owned();
    assert!(outcome.hints().contains(&format!("`bout -f {id}`")), "{outcome}");
    assert!(outcome.hints().contains(&format!("`bkill {id}`")), "{outcome}");
    sandbox.file("go", "");
    wait_for_status(&sandbox, &id, "FAILED");
    assert_eq!(sandbox.run("bstat", ["--json", &id]).ok().json()[0]["container"]["exitCode"], 5);
}

#[story]
fn a_closed_pipe_is_no_error() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["-K", "--parsable", "--wrap", "seq 200000"]).ok().stdout;
    let id = id.trim();
    let outcome = sandbox
        .run("bash", ["-c", &format!("set -o pipefail; bout {id} | head -1; bstat -s ALL --json | head -1")]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str(), outcome.code()), ("1\n[\n", "", 0));
    let lines = sandbox.run("bout", [id]).ok().stdout;
    assert!(lines.lines().map(str::to_owned).eq((1..=200_000).map(|n| n.to_string())), "all lines, in order");
}

#[story]
fn a_script_too_large_for_the_request_is_fetched() {
    let sandbox = Sandbox::new();
    // Hardly compressible, so that it cannot travel in the request.
    let mut seed: u64 = 7;
    let noise: String = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + ((seed >> 33) % 90) as u8)
    })
    .take(600_000)
    .collect();
    let script = format!("#!/bin/sh\necho \"large: $1 $LARGE\"\nexit 6\n: <<'END'\n{noise}\nEND\n");
    sandbox.file("large.sh", script);
    let outcome = sandbox.run("bsub", ["-I", "-e", "LARGE=yes", "large.sh", "a b"]).ended_with(6);
    assert_eq!(outcome.stdout, "large: a b yes\n", "{outcome}");
    // The second time it is there already.
    let outcome = sandbox.run("bsub", ["--debug", "-K", "large.sh"]).ended_with(6);
    assert!(outcome.stderr.contains("> HEAD ") && !outcome.stderr.contains("> PUT "), "{outcome}");
}

#[story]
fn json_has_awss_names() {
    let sandbox = Sandbox::new();
    let submitted =
        sandbox.run("bsub", ["--json", "--bare", "-J", "one", "--wrap", "echo hi; exit 1"]).ok().json();
    let keys: Vec<&String> = submitted[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["jobArn", "jobName", "jobId"]);
    let id = submitted[0]["jobId"].as_str().unwrap_or_default().to_owned();
    wait_for_status(&sandbox, &id, "FAILED");
    let mut job = sandbox.run("bstat", ["--json", &id]).ok().json();
    for time in ["createdAt", "startedAt", "stoppedAt"] {
        assert!(job[0][time].as_i64().is_some_and(|t| t > 1_700_000_000_000), "{job}");
    }
    assert!(job[0]["number"].as_u64().is_some_and(|number| number >= 1 << 40), "{job}");
    job[0]["number"] = "NUMBER".into();
    redact(&mut job, &id);
    insta::assert_snapshot!(serde_json::to_string_pretty(&job).expect("JSON"));
    let listed = sandbox.run("bstat", ["--json", "-s", "ALL"]).ok().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let killed = sandbox.run("bkill", ["--json", &id]).ok().json();
    assert_eq!(killed, serde_json::json!([{"jobId": id, "jobName": "one", "status": "FAILED"}]));
    assert_eq!(sandbox.run("bstat", ["--json"]).ok().stdout, "[]\n");
}

/// Replaces the values that differ from run to run.
fn redact(value: &mut serde_json::Value, id: &str) {
    match value {
        serde_json::Value::Number(n) if n.as_i64().is_some_and(|n| n > 1_700_000_000_000) => {
            *value = "TIME".into()
        }
        serde_json::Value::String(s) if s.contains("/default/") => *s = "STREAM".into(),
        serde_json::Value::String(s) => *s = s.replace(id, "ID"),
        serde_json::Value::Array(a) => a.iter_mut().for_each(|v| redact(v, id)),
        serde_json::Value::Object(o) => o.values_mut().for_each(|v| redact(v, id)),
        _ => {}
    }
}

#[story]
fn a_named_cluster_is_never_redirected_by_the_exports() {
    let mut sandbox = Sandbox::new();
    sandbox.config(
        "default_cluster = \"lab\"\n[cluster.lab]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
    );
    sandbox.set("AWSB_CLUSTER", "local");
    sandbox.use_local_exports();
    sandbox.unset("AWSB_CLUSTER");
    let outcome = sandbox.run("bstat", Vec::<&str>::new());
    let message = outcome.failed_with(2);
    assert!(message.contains("`blocal env`") && message.contains("`lab`"), "{outcome}");
    // The local cluster itself is reached with them as without.
    sandbox.run("bstat", ["-c", "local"]).ok();
    // A profile of its own has its own keys, but the endpoint would still be the laptop's.
    sandbox.set("AWSB_CLUSTER", "lab");
    assert!(sandbox.run("bstat", ["--profile", "default"]).failed_with(2).contains("`blocal env`"));
}

#[story]
fn the_variable_names_the_cluster() {
    let mut sandbox = Sandbox::new();
    sandbox.config(
        "default_cluster = \"big\"\n\
         [cluster.big]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
    );
    sandbox.set("AWSB_CLUSTER", "local");
    sandbox.run("bsub", ["-K", "true"]).ok();
    sandbox.set("AWSB_CLUSTER", "elsewhere");
    assert!(sandbox.run("bstat", ["-s", "ALL"]).failed_with(2).contains("no cluster `elsewhere`"));
    sandbox.run("bstat", ["-c", "local"]).ok();
    // Settings about other clusters do not affect the local one.
    sandbox.run("blocal", ["status"]).ok();
}

#[story]
fn readers_that_go_away_change_no_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.file("fails.sh", "seq 100000\nexit 7\n");
    for line in ["bsub -K fails.sh 2>&1 >/dev/null | true", "bsub -I fails.sh 2>/dev/null | head -1"] {
        let outcome = sandbox.run("bash", ["-c", &format!("{line}; echo \"${{PIPESTATUS[0]}}\"")]);
        assert!(outcome.stdout.ends_with("7\n"), "{outcome}");
        assert_eq!(outcome.stderr, "");
    }
    if std::path::Path::new("/dev/full").exists() {
        // The job is there, and whoever tries again has to know it.
        let outcome = sandbox.run("bash", ["-c", "bsub --parsable fails.sh >/dev/full"]).ended_with(1);
        assert!(outcome.stderr.contains("has been submitted"), "{outcome}");
    }
}

#[story]
fn all_attempts_are_shown() {
    let sandbox = Sandbox::new();
    sandbox.file("flaky.sh", "echo \"attempt $AWS_BATCH_JOB_ATTEMPT\"\n[ \"$AWS_BATCH_JOB_ATTEMPT\" = 3 ]\n");
    let outcome = sandbox.run("bsub", ["-I", "-r", "5", "flaky.sh"]).ok();
    assert_eq!(outcome.stdout, "attempt 1\nattempt 2\nattempt 3\n");
    let id = sandbox.run("bstat", ["-s", "ALL", "--json"]).ok().json()[0]["jobId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(sandbox.run("bout", [&id]).ok().stdout, outcome.stdout);
    assert!(sandbox.run("bstat", [&id]).ok().stdout.contains("\nattempts      : 3\n"));
}

#[story]
fn what_is_too_large_for_the_request_arrives_and_is_not_shown() {
    let sandbox = Sandbox::new();
    sandbox.file("job.sh", "printf '%s' \"$LONG\" | wc -c; printf '%s' \"$1\" | wc -c; ls -A\n");
    let (variable, argument) = (format!("LONG={}", "hunter2 ".repeat(3000)), "x y".repeat(2000));
    let outcome = sandbox.run("bsub", ["--debug", "-I", "-e", &variable, "job.sh", &argument]).ok();
    assert_eq!(outcome.stdout.split_whitespace().collect::<Vec<_>>(), ["24000", "6000", "job.sh"]);
    assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
    // The packed variables travel as base64, which would tell as much.
    assert!(!outcome.stderr.contains("H4sI"), "{outcome}");
}

#[story]
fn the_server_may_be_killed_while_somebody_waits() {
    let sandbox = Sandbox::new();
    waiting_script(
        &sandbox,
        "echo \"begin $AWS_BATCH_JOB_ARRAY_INDEX\"",
        "echo \"end $AWS_BATCH_JOB_ARRAY_INDEX\"",
    );
    let mut waiting = sandbox.start("bsub", ["-I", "-a", "4", "waiting.sh"]);
    let first = waiting.line().unwrap_or_default();
    assert!(first.contains("begin"), "{first}");
    let pid = sandbox.run("blocal", ["status", "--json"]).ok().json()[0]["pid"].as_i64().expect("a pid");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, Signal::SIGKILL).expect("the server is there");
    sandbox.file("go", "");
    let outcome = waiting.wait().ok();
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    let expected: Vec<String> =
        (0..4).flat_map(|i| [format!("{i}: begin {i}"), format!("{i}: end {i}")]).collect();
    assert_eq!(lines, expected, "{outcome}");
}
