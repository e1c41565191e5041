//! Steering jobs: `bkill` ends them, `bwait` waits for them, by the dozen and by the hundred.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use awsb_testkit::{
    Answer, BadServer, Outcome, Request, Sandbox, Slow, Terminal, Wire, eventually, python, story,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
const MINUTE: Duration = Duration::from_secs(60);

/// The ID of the N-th of many jobs.
fn id(n: usize) -> String {
    format!("{n:08x}-1111-4222-8333-444455556666")
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// The IDs that a DescribeJobs asks for.
fn asked(request: &Request) -> Vec<String> {
    let jobs = body(request)["jobs"].as_array().cloned().unwrap_or_default();
    jobs.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// A job as DescribeJobs has it; `exit` of one that has ended.
fn job(id: &str, exit: Option<i32>) -> Value {
    let status = match exit {
        None => "RUNNING",
        Some(0) => "SUCCEEDED",
        Some(_) => "FAILED",
    };
    json!({ "jobId": id, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": status,
            "startedAt": 1_700_000_000_000_i64, "container": { "exitCode": exit } })
}

/// DescribeJobs, answered for each job by `exit`.
fn described(request: &Request, exit: impl Fn(&str) -> Option<i32>) -> Answer {
    let jobs: Vec<Value> = asked(request).iter().map(|id| job(id, exit(id))).collect();
    Answer::json(json!({ "jobs": jobs }))
}

/// The state of a job as the `aws` CLI sees it, on a sandbox with the local cluster's exports.
#[track_caller]
fn status(sandbox: &Sandbox, id: &str) -> String {
    let outcome = sandbox.run("aws", ["batch", "describe-jobs", "--jobs", id]).ok();
    outcome.json()["jobs"][0]["status"].as_str().unwrap_or_default().to_owned()
}

/// The same where the `aws` CLI may be missing.
#[track_caller]
fn status_of(sandbox: &Sandbox, id: &str) -> String {
    let report = sandbox.run("bstat", ["--json", id]).ok().json();
    report[0]["status"].as_str().unwrap_or_default().to_owned()
}

/// A sandbox whose tools and `aws` CLI use one local cluster.
fn judged() -> (Sandbox, Sandbox) {
    let folder = python().join("bin");
    let mut judge = Sandbox::new();
    let path = format!("{}:{}", folder.display(), judge.get("PATH").unwrap_or_default());
    judge.set("PATH", path);
    let tools = Sandbox::new();
    judge.set("AWSB_LOCAL_HOME", tools.get("AWSB_LOCAL_HOME").unwrap_or_default());
    judge.use_local_exports();
    (tools, judge)
}

fn submit(sandbox: &Sandbox, words: &[&str]) -> String {
    sandbox.run("bsub", words).ok().job_id()
}

/// The lines of stdout, each split into its words, in the order of the first word.
fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let mut rows: Vec<Vec<String>> = outcome.stdout.lines().map(words).collect();
    rows.sort();
    rows
}

#[story]
fn the_worst_exit_code_is_the_one_of_all() {
    let (sandbox, judge) = judged();
    let good = submit(&sandbox, &["-J", "good", "true"]);
    let bad = submit(&sandbox, &["-J", "bad", "--wrap", "exit 3"]);
    let worse =
        submit(&sandbox, &["-J", "worse", "-a", "3", "--wrap", "exit $((AWS_BATCH_JOB_ARRAY_INDEX * 4))"]);
    let outcome = sandbox.run("bwait", [&good, &bad, &worse, &good]).ended_with(8);
    let mut expected = vec![
        vec![good.clone(), "good".into(), "SUCCEEDED".into(), "0".into()],
        vec![bad.clone(), "bad".into(), "FAILED".into(), "3".into()],
        vec![worse.clone(), "worse".into(), "FAILED".into(), "8".into()],
    ];
    expected.sort();
    assert_eq!(rows(&outcome), expected, "each job once");
    for (job, code) in [(&bad, 3), (&worse, 8)] {
        assert!(outcome.stderr.contains(&format!("bwait: job {job} (")), "{outcome}");
        assert!(outcome.stderr.contains(&format!("FAILED with exit code {code}")), "{outcome}");
    }
    for id in [&good, &bad, &worse] {
        assert!(
            ["SUCCEEDED", "FAILED"].contains(&status(&judge, id).as_str()),
            "nobody is waited for too short"
        );
    }
    // A job that has ended long ago is not waited for. One word can name several jobs. With `-q`,
    // the exit code is the only output.
    let outcome = sandbox.run("bwait", ["-q", &format!("{good},{good}")]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let report = sandbox.run("bwait", ["--json", &bad, &good]).ended_with(3).json();
    assert_eq!(
        (&report[0]["jobId"], &report[0]["status"], &report[0]["exitCode"]),
        (&json!(bad), &json!("FAILED"), &json!(3))
    );
    assert_eq!((&report[1]["jobName"], &report[1]["exitCode"]), (&json!("good"), &json!(0)));
    assert!(report[1]["stoppedAt"].is_number(), "{report}");
    // A child, and one that is named by its task.
    sandbox.run("bwait", [format!("{worse}:1")]).ended_with(4);
    sandbox.run("bwait", ["--task", "2", &worse]).ended_with(8);
    sandbox.run("bwait", ["last"]).ended_with(8);
}

#[story]
fn the_first_that_ends_is_enough() {
    let sandbox = Sandbox::new();
    let long = submit(&sandbox, &["sleep", "1000"]);
    let short = submit(&sandbox, &["-J", "short", "--wrap", "exit 5"]);
    let outcome = sandbox.run("bwait", ["--any", &long, &short]).ended_with(5);
    assert_eq!(rows(&outcome), [[short.as_str(), "short", "FAILED", "5"]]);
    assert!(!["SUCCEEDED", "FAILED"].contains(&status_of(&sandbox, &long).as_str()), "the other goes on");
    sandbox.run("bkill", [&long]).ok();
    killed(&sandbox.run("bwait", [&long]));
}

#[story]
fn time_runs_out_and_the_jobs_go_on() {
    let sandbox = Sandbox::new();
    let long = submit(&sandbox, &["sleep", "1000"]);
    let short = submit(&sandbox, &["true"]);
    sandbox.run("bwait", ["--started", &long, &short]).ok();
    assert_eq!(status_of(&sandbox, &long), "RUNNING");
    sandbox.run("bwait", [&short]).ok();
    let outcome = sandbox.run("bwait", ["--timeout", "1s", &long, &short]).ended_with(124);
    assert_eq!(rows(&outcome).len(), 1, "{outcome}");
    assert_eq!(outcome.stderr, "bwait: error: timed out after 1 s; 1 job still running\n");
    // No time at all is a look.
    sandbox.run("bwait", ["--timeout", "0", &short]).ok();
    let report = sandbox.run("bwait", ["--timeout", "0", "--json", &long]).ended_with(124);
    assert_eq!(report.json(), json!([]));
    assert_eq!(status_of(&sandbox, &long), "RUNNING");
    sandbox.run("bkill", [&long]).ok();
}

#[story]
fn whoever_interrupts_is_told_that_the_jobs_go_on() {
    let sandbox = Sandbox::new();
    let long = submit(&sandbox, &["sleep", "1000"]);
    let short = submit(&sandbox, &["true"]);
    let mut waiting = sandbox.start("bwait", [&long, &short]);
    assert!(waiting.line().is_some_and(|line| line.starts_with(&short)), "told as soon as it has ended");
    waiting.signal(Signal::SIGINT);
    let outcome = waiting.wait().ended_with(130);
    assert!(outcome.stderr.starts_with("bwait: interrupted; 1 of 2 jobs goes on\n"), "{outcome}");
    assert!(outcome.hints().contains(&format!("`bkill {long}`")), "{outcome}");
    sandbox.run("bkill", [&long]).ok();
}

#[story]
fn jobs_on_standard_input() {
    let (sandbox, judge) = judged();
    let ids: Vec<String> = (0..5).map(|_| submit(&sandbox, &["sleep", "1000"])).collect();
    let lines = format!("{} {}\n\n{},{}\n", ids[0], ids[1], ids[2], ids[3]);
    let outcome = sandbox.run_with_input("bkill", ["-"], lines).ok();
    assert_eq!(outcome.stdout.lines().count(), 4, "{outcome}");
    let outcome = sandbox.run_with_input("bwait", ["-", &ids[0]], format!("{}\n", ids[1]));
    killed(&outcome);
    assert_eq!(rows(&outcome).len(), 2);
    for id in &ids[..4] {
        eventually("the end", MINUTE, || (status(&judge, id) == "FAILED").then_some(()));
    }
    assert_ne!(status(&judge, &ids[4]), "FAILED", "it was not named");
    // Nothing to do is no error: `… | bkill -`.
    for tool in ["bkill", "bwait"] {
        let outcome = sandbox.run_with_input(tool, ["-"], "\n").ok();
        assert!(outcome.stderr.contains("standard input"), "{outcome}");
    }
    let outcome = sandbox.run_with_input("bkill", ["-"], "a/b\n");
    assert!(outcome.failed_with(2).starts_with("'a/b' is not a job"), "{outcome}");
    sandbox.run("bkill", [&ids[4]]).ok();
}

/// The exit code of a job that was ended: that of its process (128 and SIGTERM), or 1 when it had
/// not begun.
#[track_caller]
fn killed(outcome: &Outcome) {
    assert!([1, 143].contains(&outcome.code()), "{outcome}");
}

#[story]
fn two_hundred_and_fifty_jobs_cost_three_questions_a_round() {
    let rounds = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let seen = Arc::clone(&rounds);
    // Two of three jobs have ended when they are asked for the second time, the others at the
    // fourth.
    let server = BadServer::start(move |request, _| {
        let mut seen = seen.lock().expect("no panic");
        asked(request).into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
        described(request, |id| {
            let n = usize::from_str_radix(&id[..8], 16).expect("a number");
            let last = if n.is_multiple_of(3) { 4 } else { 2 };
            (seen[id] >= last).then_some(if n == 99 { 42 } else { 0 })
        })
    });
    let ids: Vec<String> = (0..250).map(id).collect();
    let outcome = Sandbox::at(&server.endpoint()).run("bwait", &ids).ended_with(42);
    assert_eq!(rows(&outcome).iter().map(|row| row[0].clone()).collect::<Vec<_>>(), ids);
    let calls: Vec<usize> = server.requests("describejobs").iter().map(|r| asked(r).len()).collect();
    // 250, 250, then the 84 that had not ended, twice.
    assert_eq!(calls.len(), 3 + 3 + 1 + 1, "{calls:?}");
    assert_eq!(calls.iter().sum::<usize>(), 250 + 250 + 84 + 84, "{calls:?}");
    assert!(calls.iter().all(|n| *n <= 100), "{calls:?}");
}

#[story]
fn contact_is_lost_and_comes_back() {
    let server = BadServer::start(|request, before| match before {
        0 => described(request, |_| None),
        1..=12 => Answer::Reset,
        _ => described(request, |_| Some(7)),
    });
    let mut sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bwait", [ID]).ended_with(7);
    assert_eq!(outcome.stderr.matches("contact lost").count(), 1, "{outcome}");
    // For good:
    let server = BadServer::start(|request, before| match before {
        0 => described(request, |_| None),
        _ => Answer::Reset,
    });
    sandbox = Sandbox::at(&server.endpoint());
    sandbox.set("AWSB_CONTACT_TIMEOUT", "1");
    let outcome = sandbox.run("bwait", [ID]).ended_with(125);
    assert!(outcome.stderr.contains("bwait: error: contact is lost; 1 job goes on: "), "{outcome}");
}

#[story]
fn time_runs_out_while_nobody_answers() {
    let server = BadServer::start(|request, before| match before {
        0 => described(request, |_| None),
        _ => Answer::Hang,
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome =
        sandbox.start("bwait", ["--timeout", "1", ID]).wait_for(Duration::from_secs(10)).ended_with(124);
    assert_eq!(outcome.stderr, "bwait: error: timed out after 1 s; 1 job still running\n");
}

#[story]
fn no_time_at_all_is_a_look_however_long_that_takes() {
    // How an array has ended, its children tell; they come after the time is up.
    let server = BadServer::start(|request, _| match request.operation() {
        "listjobs" => {
            std::thread::sleep(Duration::from_millis(300));
            let child = json!({
                "jobId": format!("{ID}:1"), "jobName": "n", "status": "FAILED", "container": {"exitCode": 7},
                "createdAt": 1_700_000_000_000_i64, "arrayProperties": {"index": 1},
            });
            Answer::json(json!({ "jobSummaryList": [child] }))
        }
        _ => {
            let mut array = job(ID, Some(1));
            array["arrayProperties"] = json!({"size": 2, "statusSummary": {"SUCCEEDED": 1, "FAILED": 1}});
            Answer::json(json!({ "jobs": [array] }))
        }
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bwait", ["--timeout", "0", ID]).ended_with(7);
    assert_eq!(rows(&outcome), [[ID, "n", "FAILED", "7"]]);
}

#[story]
fn a_job_that_is_stuck_is_said_to_be_once() {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let server = BadServer::start(move |request, _| {
        let mut stuck = job(ID, None);
        stuck["status"] = json!("RUNNABLE");
        stuck["statusReason"] = json!("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - the job is too large");
        let ended = job(ID, Some(0));
        match request.operation() {
            "describejobs" => {
                Answer::json(json!({ "jobs": [if is_over.load(Ordering::SeqCst) { ended } else { stuck }] }))
            }
            _ => Answer::json(json!({})),
        }
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let waiting = sandbox.start("sh", ["-c", &format!("exec bwait {ID} 2>told")]);
    eventually("the verdict", Duration::from_secs(60), || {
        let stderr = std::fs::read_to_string(sandbox.work().join("told")).unwrap_or_default();
        stderr.contains("what to do: ").then_some(())
    });
    over.store(true, Ordering::SeqCst);
    waiting.wait().ok();
    let stderr = std::fs::read_to_string(sandbox.work().join("told")).unwrap_or_default();
    assert!(stderr.starts_with(&format!("bwait: job {ID} (n) is RUNNABLE: it needs more vCPUs")), "{stderr}");
    assert_eq!(stderr.matches("is RUNNABLE").count(), 1, "{stderr}");
}

#[story]
fn a_bar_on_a_terminal_counts_children() {
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let server = BadServer::start(move |request, _| {
        let over = seen.load(Ordering::SeqCst);
        let counts = if over {
            json!({ "SUCCEEDED": 100 })
        } else {
            json!({ "SUCCEEDED": 40, "FAILED": 2, "RUNNING": 8 })
        };
        let job = |id: String| {
            let mut array = job(&id, over.then_some(0));
            array["arrayProperties"] = json!({ "size": 100, "statusSummary": counts });
            array
        };
        match request.operation() {
            "describejobs" => {
                Answer::json(json!({ "jobs": asked(request).into_iter().map(job).collect::<Vec<_>>() }))
            }
            _ => Answer::json(json!({ "jobSummaryList": [] })),
        }
    });
    let sandbox = Sandbox::at(&server.endpoint());
    for (columns, bar) in [
        (80, "[============>                 ] 84/200 ended, 4 failed, 16 running"),
        (20, "84/200 ended, 4 fail"),
    ] {
        over.store(false, Ordering::SeqCst);
        let mut waiting = Terminal::new(columns).start(&sandbox, "bwait", [id(0), id(1)]);
        waiting.until("the bar", |screen| screen.trim_end() == bar);
        over.store(true, Ordering::SeqCst);
        let seen = waiting.wait().ok();
        let screen = seen.screen();
        let words: Vec<&str> = screen.split_whitespace().collect();
        let ids = [id(0), id(1)].map(|id| id[..20].to_owned());
        assert_eq!(words.iter().filter(|word| **word == "SUCCEEDED").count(), 2, "{screen}");
        assert!(
            ids.iter().all(|id| screen.contains(id)) && !screen.contains("ended"),
            "the bar is gone: {screen}"
        );
    }
    // There is none in a pipe, and none for whoever wants quiet.
    over.store(false, Ordering::SeqCst);
    let quiet = Terminal::new(80).run(&sandbox, "bwait", ["-q", "--timeout", "1", ID]).ended_with(124);
    assert_eq!(quiet.screen(), "bwait: error: timed out after 1 s; 1 job still running\n");
}

#[story]
fn what_is_not_known_is_said_at_the_end_and_the_others_are_handled() {
    let sandbox = Sandbox::new();
    let id = submit(&sandbox, &["--wrap", "exit 0"]);
    for tool in ["bwait", "bkill", "bstat", "bout"] {
        let words = [format!("no-such-job,{id}"), "what/ever".into()];
        // bout takes one word.
        let words = if tool == "bout" { vec![words.join(",")] } else { words.to_vec() };
        let outcome = sandbox.run(tool, &words).ended_with(1);
        let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains(": error: ")).collect();
        let expected = [
            format!("{tool}: error: 'what/ever' is not a job"),
            format!("{tool}: error: there is no job no-such-job"),
        ];
        assert_eq!(errors.len(), 2, "{outcome}");
        for (error, expected) in errors.iter().zip(&expected) {
            assert!(error.starts_with(expected), "{error}: {outcome}");
        }
        assert!(tool == "bout" || outcome.stdout.contains(&id), "{outcome}");
    }
    // The job's own exit code says more.
    let bad = submit(&sandbox, &["--wrap", "exit 9"]);
    sandbox.run("bwait", [&bad, "no-such-job"]).ended_with(9);
    // Nothing that could be a job.
    let outcome = sandbox.run("bkill", ["a/b", "c/d"]).ended_with(2);
    assert_eq!(outcome.stderr.matches("bkill: error: ").count(), 2, "{outcome}");
}

#[story]
fn bkill_asks_before_it_ends_what_was_not_named() {
    let (sandbox, judge) = judged();
    let ids: Vec<String> = ["align-1", "align-2", "sort-1"]
        .iter()
        .map(|name| submit(&sandbox, &["-J", name, "sleep", "1000"]))
        .collect();
    // Nobody can be asked.
    for words in [&["--name", "align-*"][..], &["-q", "local"], &["--mine"], &["-s", "RUNNING"]] {
        let outcome = sandbox.run("bkill", words);
        assert!(outcome.failed_with(2).starts_with("refusing to end jobs"), "{outcome}");
    }
    let outcome = sandbox.run("bkill", ["--name", "align-*", "--dry-run"]).ok();
    assert_eq!(outcome.stdout.lines().count(), 3, "a header and two jobs: {outcome}");
    let report = sandbox.run("bkill", ["--name", "align-*", "--dry-run", "--json"]).ok().json();
    assert_eq!((&report[0]["jobName"], &report[1]["jobName"]), (&json!("align-1"), &json!("align-2")));
    // No is the answer unless it is yes.
    for answer in ["\n", "n\n", "yesterday\n", "\u{4}"] {
        let mut asking = Terminal::new(80).start(&sandbox, "bkill", ["--name", "align-*"]);
        let screen = asking.until("the question", |screen| screen.contains("[y/N]"));
        assert!(screen.contains("End these 2 jobs? [y/N]"), "{screen}");
        assert!(
            screen.contains(&ids[0]) && screen.contains("align-2") && !screen.contains("sort-1"),
            "{screen}"
        );
        asking.types(answer);
        let seen = asking.wait().ended_with(1);
        assert!(seen.screen().contains("nothing is ended"), "{}", seen.written);
    }
    // So is Ctrl-C.
    let mut asking = Terminal::new(80).start(&sandbox, "bkill", ["--name", "align-*"]);
    asking.until("the question", |screen| screen.contains("[y/N]"));
    asking.signal(Signal::SIGINT);
    asking.wait().ended_with(130);
    for id in &ids {
        assert_ne!(status(&judge, id), "FAILED", "nothing was ended");
    }
    let mut asking = Terminal::new(80).start(&sandbox, "bkill", ["--name", "align-*"]);
    asking.until("the question", |screen| screen.contains("[y/N]"));
    asking.types("y\n");
    let seen = asking.wait().ok();
    assert_eq!(seen.screen().matches(" is being ended.").count(), 2, "{}", seen.written);
    for id in &ids[..2] {
        eventually("the end", MINUTE, || (status(&judge, id) == "FAILED").then_some(()));
    }
    assert_ne!(status(&judge, &ids[2]), "FAILED");
    // A user who says yes beforehand is not asked, and ended jobs are not selected.
    let outcome = sandbox.run("bkill", ["--mine", "-y", "-s", "ALL"]).ok();
    assert_eq!(rows(&outcome).len(), 1, "{outcome}");
    eventually("the end", MINUTE, || (status(&judge, &ids[2]) == "FAILED").then_some(()));
    let outcome = sandbox.run("bkill", ["--mine", "-y"]).ok();
    assert!(outcome.stderr.contains("no job matches"), "{outcome}");
}

#[story]
fn names_that_would_play_tricks_on_a_terminal_are_exact_in_a_pipe() {
    let trick = "a\u{1b}[2J\u{202e}b";
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobs" => {
            let mut job = job(ID, Some(3));
            (job["jobName"], job["statusReason"]) = (json!(trick), json!("because\u{7}"));
            Answer::json(json!({ "jobs": [job] }))
        }
        _ => Answer::json(
            json!({ "jobSummaryList": [{ "jobId": ID, "jobName": trick, "status": "RUNNING" }] }),
        ),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("bwait", [ID]).ended_with(3);
    assert_eq!(outcome.stdout, format!("{ID}  {trick}  FAILED  3\n"));
    let seen = Terminal::new(160).run(&sandbox, "bwait", [ID]).ended_with(3);
    assert!(seen.written.contains(&format!("{ID}  a␛[2J�b  FAILED  3\n")), "{}", seen.written);
    assert!(seen.written.contains("FAILED with exit code 3: because␇\n"), "{}", seen.written);
    let mut asking = Terminal::new(160).start(&sandbox, "bkill", ["--name", "*", "-s", "RUNNING"]);
    let screen = asking.until("the question", |screen| screen.contains("[y/N]"));
    assert!(screen.contains("a␛[2J�b"), "{screen}");
}

#[story]
fn only_my_jobs() {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWSB_USER", "ann");
    let anns = submit(&sandbox, &["sleep", "1000"]);
    sandbox.set("AWSB_USER", "bob");
    let bobs = submit(&sandbox, &["sleep", "1000"]);
    let outcome = sandbox.run("bkill", ["--mine", "--yes", "--json"]).ok().json();
    assert_eq!(outcome.as_array().map(Vec::len), Some(1));
    assert_eq!(outcome[0]["jobId"], bobs);
    assert_ne!(status_of(&sandbox, &anns), "FAILED");
    sandbox.run("bkill", [anns]).ok();
}

#[story]
fn a_dry_run_with_ids_ends_nothing() {
    let server =
        BadServer::start(|request, _| described(request, |id| id.starts_with("00000001").then_some(0)));
    let outcome = Sandbox::at(&server.endpoint()).run("bkill", ["--dry-run", &id(0), &id(1), &id(2)]).ok();
    assert_eq!(
        outcome.stdout.lines().skip(1).map(|line| line[..36].to_owned()).collect::<Vec<_>>(),
        [id(0), id(2)]
    );
    assert!(outcome.stderr.contains("1 job had already ended"), "{outcome}");
    assert_eq!(server.requests("terminatejob").len(), 0);
}

#[story]
fn three_hundred_jobs_end_through_throttling_and_lost_replies() {
    let ended = Arc::new(Mutex::new(HashSet::<String>::new()));
    let tries = Mutex::new(HashMap::<String, usize>::new());
    let acting = Arc::clone(&ended);
    let server = BadServer::start(move |request, _| {
        match request.operation() {
            "describejobs" => return described(request, |_| None),
            "terminatejobs" => return unknown_operation(),
            _ => {}
        }
        let id = body(request)["jobId"].as_str().unwrap_or_default().to_owned();
        let n = usize::from_str_radix(&id[..8], 16).expect("a number");
        let mut tries = tries.lock().expect("no panic");
        let tried = tries.entry(id.clone()).or_default();
        *tried += 1;
        // That what is turned away slows the others down is the next story's.
        match (n % 10, *tried) {
            (0, 1) if n.is_multiple_of(60) => {
                return Answer::error(429, "TooManyRequestsException", "Too Many Requests");
            }
            (1, 1) => return Answer::error(500, "ServerException", "Internal Error"),
            (2, 1..=2) => {
                acting.lock().expect("no panic").insert(id);
                return Answer::Reset;
            }
            _ => {}
        }
        acting.lock().expect("no panic").insert(id);
        Answer::json(json!({}))
    });
    let ids: Vec<String> = (0..300).map(id).collect();
    let outcome = Sandbox::at(&server.endpoint()).run("bkill", &ids).ok();
    let ended_ids: Vec<String> = rows(&outcome).iter().map(|row| row[1].clone()).collect();
    assert_eq!(ended_ids, ids, "each once");
    assert_eq!(ended.lock().expect("no panic").len(), 300);
    assert_eq!(outcome.stderr, "");
}

#[story]
fn three_hundred_children_end_at_the_rate_that_the_service_takes() {
    let mut sandbox = Sandbox::new();
    let mut slow = None;
    let wire = Wire { throttles: 4, resets: 5, ..Wire::default() };
    sandbox.reach_local_cluster_at(|server| slow.insert(Slow::to(server, wire)).endpoint());
    let slow = slow.expect("a wire");
    let array = submit(&sandbox, &["-a", "301", "sleep", "1000"]);
    let children: Vec<String> = (0..300).map(|index| format!("{array}:{index}")).collect();
    let outcome = sandbox.run("bkill", &children).ok();
    let ended_ids: HashSet<&str> = outcome.stdout.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!((ended_ids.len(), outcome.stdout.lines().count()), (300, 300));
    assert!(slow.traffic().throttled > 0 && slow.traffic().reset > 0, "{:?}", slow.traffic());
    let summary = || {
        sandbox.run("bstat", ["--json", &array]).ok().json()[0]["arrayProperties"]["statusSummary"].clone()
    };
    eventually("the end of those that were named", MINUTE, || (summary()["FAILED"] == 300).then_some(()));
    sandbox.run("bkill", [&array]).ok();
}

const DENIED: &str = "User: arn:aws:iam::1:user/me is not authorized to perform: batch:TerminateJob on resource: \
     arn:aws:batch:eu-west-1:1:job/x because no identity-based policy allows the batch:TerminateJob action";

/// The answer of a service that does not have an operation.
fn unknown_operation() -> Answer {
    Answer::error(404, "UnknownOperationException", "")
}

#[story]
fn jobs_end_fifty_in_a_call_and_only_throttled_ones_are_asked_for_again() {
    let asks = Arc::new(Mutex::new(Vec::<Vec<String>>::new()));
    let seen = Arc::clone(&asks);
    let server = BadServer::start(move |request, _| {
        if request.operation() == "describejobs" {
            return described(request, |_| None);
        }
        assert_eq!(request.operation(), "terminatejobs");
        assert_eq!(body(request)["reason"], "enough");
        let ids = asked(request);
        let is_repeated = ids.len() < 20;
        let entry = |id: &String, code: &str| json!({ "job": id, "code": code, "message": "Not now" });
        let error = |id: &String| match usize::from_str_radix(&id[..8], 16).expect("a number") % 10 {
            1 if !is_repeated => Some(entry(id, "ThrottlingException")),
            2 if !is_repeated => Some(entry(id, "ServerException")),
            3 => Some(json!({ "job": id, "code": "AccessDenied", "message": DENIED })),
            _ => None,
        };
        let successful: Vec<&String> = ids.iter().filter(|id| error(id).is_none()).collect();
        let errors: Vec<Value> = ids.iter().filter_map(error).collect();
        let answer = json!({ "successful": successful, "errors": errors });
        seen.lock().expect("no panic").push(ids);
        Answer::json(answer)
    });
    let ids: Vec<String> = (0..120).map(id).collect();
    let lines = ids.join("\n");
    let outcome =
        Sandbox::at(&server.endpoint()).run_with_input("bkill", ["-r", "enough", "-"], lines).ended_with(1);
    let ended_ids: Vec<String> = rows(&outcome).iter().map(|row| row[1].clone()).collect();
    let may: Vec<&String> = ids.iter().enumerate().filter(|(n, _)| n % 10 != 3).map(|(_, id)| id).collect();
    assert_eq!(ended_ids.iter().collect::<Vec<_>>(), may, "each once");
    assert_eq!(outcome.stderr.matches("bkill: error: ending the job ").count(), 12, "{outcome}");
    assert!(outcome.stderr.contains("has no permission for batch:TerminateJob on arn"), "{outcome}");
    let mut sizes: Vec<usize> = asks.lock().expect("no panic").iter().map(Vec::len).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(sizes, [50, 50, 20, 10, 10, 4], "three calls, and one more for a fifth of each");
}

#[story]
fn without_the_call_for_many_jobs_each_is_ended_alone() {
    for (status, code) in [(404, "UnknownOperationException"), (403, "AccessDeniedException")] {
        let server = BadServer::start(move |request, _| match request.operation() {
            "describejobs" => described(request, |_| None),
            "terminatejobs" => Answer::error(status, code, "User: me is not authorized to perform: batch:x"),
            _ => Answer::json(json!({})),
        });
        let outcome = Sandbox::at(&server.endpoint()).run("bkill", (0..1000).map(id)).ok();
        assert_eq!(rows(&outcome).len(), 1000);
        assert_eq!(outcome.stderr, "");
        assert_eq!(server.requests("terminatejob").len(), 1000);
        let tried = server.requests("terminatejobs").len();
        assert!((1..=10).contains(&tried), "not tried again once it is refused: {tried} calls");
    }
}

#[story]
fn a_job_that_an_answer_does_not_name_is_ended_alone() {
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobs" => described(request, |_| None),
        "terminatejobs" => Answer::json(json!({ "successful": [id(0), id(2)], "errors": [] })),
        _ => Answer::json(json!({})),
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bkill", (0..3).map(id)).ok();
    assert_eq!(rows(&outcome).len(), 3, "{outcome}");
    let alone = server.requests("terminatejob");
    assert_eq!(alone.iter().map(|request| body(request)["jobId"].clone()).collect::<Vec<_>>(), [id(1)]);
}

#[story]
fn a_thousand_jobs_end_in_a_few_calls_and_unknown_ones_are_named() {
    let mut sandbox = Sandbox::new();
    let mut slow = None;
    sandbox.reach_local_cluster_at(|server| slow.insert(Slow::to(server, Wire::default())).endpoint());
    let slow = slow.expect("a wire");
    let array = submit(&sandbox, &["-a", "1001", "sleep", "1000"]);
    let unknown = id(77);
    let children = (0..1000).map(|index| format!("{array}:{index}\n")).collect::<String>();
    let before = slow.traffic().answered;
    let outcome = sandbox.run_with_input("bkill", ["-"], format!("{unknown}\n{children}")).ended_with(1);
    let ended_ids: HashSet<&str> = outcome.stdout.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(ended_ids.len(), 1000);
    assert!(outcome.stderr.contains(&format!("there is no job {unknown}")), "{outcome}");
    let calls = slow.traffic().answered - before;
    assert!((31..60).contains(&calls), "11 calls that describe, and 20 that end: {calls}");
    sandbox.run("bkill", [&array]).ok();
}

#[story]
fn one_that_cannot_be_ended_does_not_save_the_others() {
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobs" => described(request, |_| None),
        // Somebody may end these jobs, and not the others: the call for all of them is refused.
        "terminatejobs" => Answer::error(403, "AccessDeniedException", DENIED),
        _ if body(request)["jobId"] == id(1) => Answer::error(403, "AccessDeniedException", DENIED),
        _ => Answer::json(json!({})),
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bkill", (0..3).map(id)).ended_with(1);
    assert_eq!(rows(&outcome).iter().map(|row| row[1].clone()).collect::<Vec<_>>(), [id(0), id(2)]);
    let says =
        "arn:aws:iam::1:user/me has no permission for batch:TerminateJob on arn:aws:batch:eu-west-1:1:job/x";
    assert!(outcome.stderr.contains(says), "{outcome}");
    assert!(outcome.stderr.starts_with(&format!("bkill: error: ending the job {}: ", id(1))), "{outcome}");
}

#[story]
fn an_interrupted_kill_says_how_far_it_got() {
    let server = BadServer::start(|request, before| match request.operation() {
        "describejobs" => described(request, |_| None),
        "terminatejobs" => unknown_operation(),
        _ if before < 5 => Answer::json(json!({})),
        _ => Answer::Hang,
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let mut killing = sandbox.start("bkill", (0..30).map(id));
    for _ in 0..5 {
        assert!(killing.line().is_some());
    }
    eventually("ten calls under way", MINUTE, || (server.requests("terminatejob").len() == 15).then_some(()));
    killing.signal(Signal::SIGINT);
    let outcome = killing.wait().ended_with(130);
    assert_eq!(outcome.stderr, "bkill: interrupted; 5 of 30 jobs were asked to end, and perhaps 10 more\n");
}

/// A Batch with one job, which becomes RUNNING at the unluckiest moment: right after the first
/// answer that nothing is. A question for what is RUNNABLE is answered only then, if it was asked
/// together with that one.
fn between_two_states() -> BadServer {
    let runs = (Mutex::new(false), Condvar::new());
    BadServer::start(move |request, _| {
        let mut state = runs.0.lock().expect("no panic");
        let status = body(request)["jobStatus"].as_str().map(str::to_owned);
        let is_in = match (request.operation(), status.as_deref()) {
            ("listjobs", Some("RUNNING")) => {
                let ran = std::mem::replace(&mut *state, true);
                runs.1.notify_all();
                ran
            }
            ("listjobs", Some("RUNNABLE")) => {
                let together = Duration::from_secs(3);
                let (state, _) = runs.1.wait_timeout_while(state, together, |runs| !*runs).expect("no panic");
                !*state
            }
            ("listjobs", _) => false,
            _ => return Answer::json(json!({})),
        };
        let job =
            json!({"jobId": ID, "jobName": "hasty", "status": status, "createdAt": 1_577_880_000_000_i64});
        Answer::json(json!({"jobSummaryList": if is_in { vec![job] } else { vec![] }}))
    })
}

#[story]
fn a_job_between_two_states_is_not_missed() {
    let server = between_two_states();
    let seen = Sandbox::at(&server.endpoint()).run("bstat", ["--no-header", "-o", "jobName,status"]).ok();
    assert_eq!(seen.stdout, "hasty  RUNNING\n");
    let server = between_two_states();
    Sandbox::at(&server.endpoint()).run("bkill", ["--yes", "--name", "*hasty"]).ok();
    assert_eq!(server.requests("terminatejob").len(), 1);
}

#[story]
fn bsub_that_waits_on_a_terminal_has_a_bar_for_an_array_and_says_how_it_ended() {
    let sandbox = Sandbox::new();
    sandbox.run("blocal", ["start", "--vcpus", "8", "--memory", "8G"]).ok();
    let go = sandbox.work().join("go");
    let script =
        format!("[ $AWSB_TASK_ID != 2 ] || exit 3; while [ ! -e '{}' ]; do sleep 0.05; done", go.display());
    let mut waiting = Terminal::new(200).start(&sandbox, "bsub", ["-K", "--array", "1-4", "--wrap", &script]);
    // The child that waits has a vCPU; how many others have one depends on the machine.
    waiting.until("the bar", |screen| screen.contains("1/4 ended, 1 failed, "));
    std::fs::write(&go, "").expect("a file");
    let screen = waiting.wait().ended_with(3).screen();
    let end = screen.lines().find(|line| line.contains("children")).unwrap_or_default();
    assert!(end.contains(") FAILED in ") && end.contains("with exit code 3"), "{screen}");
    assert!(end.contains("; 3 of 4 children succeeded"), "{screen}");
    assert!(!screen.contains("ended"), "the bar is gone: {screen}");

    let last = |args: &[&str]| {
        let screen = Terminal::new(160).run(&sandbox, "bsub", args).ok().screen();
        screen.trim_end().lines().last().unwrap_or_default().to_owned()
    };
    let array = last(&["-K", "--array", "1-3", "true"]);
    assert!(
        array.contains(" (true) SUCCEEDED in ") && array.ends_with(" s: 3 of 3 children succeeded"),
        "{array}"
    );
    let one = last(&["-K", "--wrap", "true"]);
    assert!(one.contains(" (wrap) SUCCEEDED in ") && one.ends_with(" s"), "{one}");
    // `--quiet` has no such line, and neither has a pipe.
    assert_eq!(last(&["-K", "--quiet", "true"]), "");
    let piped = sandbox.run("bsub", ["-K", "true"]).ok();
    assert_eq!(piped.stderr.lines().count(), 1, "that it has been submitted: {piped}");
}

#[story]
fn json_of_a_job_that_is_waited_for_has_its_end() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("bsub", ["-K", "--json", "-J", "bad", "--wrap", "exit 3"]).ended_with(3);
    let report = outcome.json();
    let keys: Vec<&String> = report[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["jobArn", "jobName", "jobId", "status", "statusReason", "exitCode"]);
    assert_eq!(
        (&report[0]["jobName"], &report[0]["status"], &report[0]["exitCode"]),
        (&json!("bad"), &json!("FAILED"), &json!(3))
    );
    assert_eq!(report[0]["statusReason"], "Essential container in task exited");
    let pretty = serde_json::to_string_pretty(&report).expect("JSON");
    assert_eq!(outcome.stdout, pretty + "\n", "laid out as ever");
    let report = sandbox.run("bsub", ["-K", "--json", "-a", "2", "true"]).ok().json();
    assert_eq!((&report[0]["status"], &report[0]["exitCode"]), (&json!("SUCCEEDED"), &json!(0)));
}

#[story]
fn json_names_the_job_at_once_and_is_whole_when_the_waiting_ends_early() {
    let sandbox = Sandbox::new();
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut waiting = sandbox.start("bsub", ["-K", "--json", "sleep", "1000"]);
        // A program that reads lines gets the ID while the job runs.
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains("\"jobId\"")) {
            lines.push(waiting.line().expect("the job's ID"));
        }
        let id = lines[lines.len() - 1].split('"').nth(3).unwrap_or_default().to_owned();
        eventually("it runs", MINUTE, || (status_of(&sandbox, &id) == "RUNNING").then_some(()));
        waiting.signal(signal);
        let outcome = waiting.wait().ended_with(code);
        let report = outcome.json();
        assert_eq!((report[0]["jobId"].as_str(), &report[0]["exitCode"]), (Some(id.as_str()), &json!(null)));
        assert_ne!(report[0]["status"], "FAILED", "as it was seen last: {report}");
        assert!(outcome.stderr.contains(&format!("the job {id} goes on")), "{outcome}");
        sandbox.run("bkill", [&id]).ok();
    }
    // Nobody answers any more.
    let server = BadServer::start(|request, _| match request.operation() {
        "submitjob" => {
            Answer::json(json!({ "jobId": ID, "jobName": "n", "jobArn": "arn:aws:batch:x:1:job/1" }))
        }
        "describejobs" => Answer::Reset,
        _ => Answer::json(json!({})),
    });
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.set("AWSB_CONTACT_TIMEOUT", "1");
    let outcome = sandbox.run("bsub", ["-K", "--json", "true"]).ended_with(125);
    let report = outcome.json();
    assert_eq!((&report[0]["jobId"], &report[0]["exitCode"]), (&json!(ID), &json!(null)), "{outcome}");
    assert!(outcome.stderr.contains(&format!("contact with the job {ID} is lost")), "{outcome}");
}

#[story]
fn of_many_jobs_that_go_on_the_first_are_named_for_copying() {
    let ids: Vec<String> = (0..200).map(id).collect();
    let first = ids[..20].join(",");
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobs" => described(request, |_| None),
        _ => Answer::json(json!({})),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    for (tool, option, lines) in [
        (
            "bwait",
            "--any",
            vec![
                "bwait: interrupted; 200 jobs go on".to_owned(),
                format!("hint: `bwait {first}` waits for the first 20 of them again"),
                format!("hint: `bkill {first}` ends the first 20 of them"),
            ],
        ),
        (
            "bwait",
            "--kill-on-interrupt",
            vec![format!("bwait: interrupted; the jobs {first} and 180 more are being ended")],
        ),
        (
            "bout",
            "-f",
            vec![
                format!("bout: interrupted; the jobs {first} and 180 more go on"),
                format!("hint: `bout -f {first}` shows the output of the first 20 of them"),
                format!("hint: `bkill {first}` ends the first 20 of them"),
            ],
        ),
    ] {
        let before = server.requests("describejobs").len();
        let running = sandbox.start(tool, [option, &ids.join(",")]);
        // The second look is after the first has been taken.
        eventually("the tool waits", MINUTE, || {
            (server.requests("describejobs").len() > before + 2).then_some(())
        });
        running.signal(Signal::SIGINT);
        let outcome = running.wait().ended_with(130);
        let seen: Vec<&str> = outcome.stderr.lines().collect();
        assert!(seen.ends_with(&lines.iter().map(String::as_str).collect::<Vec<_>>()), "{outcome}");
    }
}
