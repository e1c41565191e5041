//! The ways to name jobs: by the beginning of an ID, as `last`, several at once, and by the ID of a
//! task.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use awsb_testkit::{
    Answer, BadServer, Chaos, Request, Sandbox, Terminal, Weather, eventually, program, story,
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

const A: &str = "8f2c0d3e-1111-4222-8333-444455556666";
const B: &str = "8f2c9999-1111-4222-8333-444455556666";
const C: &str = "9d000000-1111-4222-8333-444455556666";

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// A server that knows every job, each with one line of output: its ID.
fn server() -> BadServer {
    BadServer::start(|request, _| match request.operation() {
        "describejobs" => {
            let jobs = body(request)["jobs"].as_array().cloned().unwrap_or_default();
            let job = |id: &Value| {
                json!({ "jobId": id, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": "RUNNING",
                        "startedAt": 1_700_000_000_000_i64, "container": { "logStreamName": id } })
            };
            Answer::json(json!({ "jobs": jobs.iter().map(job).collect::<Vec<_>>() }))
        }
        "logs" => {
            let asked = body(request);
            let begun = asked["nextToken"].is_string();
            let events = if begun {
                json!([])
            } else {
                json!([{ "timestamp": 1, "message": asked["logStreamName"] }])
            };
            Answer::json(json!({ "events": events, "nextForwardToken": "f/1", "nextBackwardToken": "b/1" }))
        }
        _ => Answer::json(json!({})),
    })
}

fn known(sandbox: &Sandbox, lines: &str) -> PathBuf {
    sandbox.file("../state/awsb/jobs/far.eu-west-1", lines)
}

/// The IDs that the last request for jobs asked for.
fn asked(server: &BadServer) -> Value {
    server.requests("describejobs").pop().map(|request| body(&request)["jobs"].clone()).unwrap_or_default()
}

fn three_jobs(sandbox: &Sandbox) {
    known(
        sandbox,
        &format!(
            "{A} first 2026-01-02T03:04:05Z\n{B} second 2026-01-02T03:04:06Z\n{C} second 2026-01-02T03:04:06Z\n"
        ),
    );
}

#[story]
fn the_beginning_of_an_id_and_the_last_submission() {
    let server = server();
    let sandbox = Sandbox::at(&server.endpoint());
    three_jobs(&sandbox);
    for (words, ids) in [
        (&["bstat", "9d00"][..], json!([C])),
        (&["bstat", "8f2c0", "8f2c9:4"], json!([A, format!("{B}:4")])),
        (&["bstat", "last"], json!([B, C])),
        (&["bstat", "last:3"], json!([format!("{B}:3"), format!("{C}:3")])),
        (&["bstat", &format!("{A},{C}")], json!([A, C])),
        // Batch is asked for what nobody knows here.
        (&["bstat", "abcd"], json!(["abcd"])),
        (&["bkill", "8f2c0"], json!([A])),
        (&["bkill", "last"], json!([B, C])),
        (&["bout", "9d00"], json!([C])),
    ] {
        sandbox.run(words[0], &words[1..]).ok();
        assert_eq!(asked(&server), ids, "{words:?}");
    }
    let ended = server.requests("terminatejob");
    let mut ended: Vec<String> =
        ended.iter().filter_map(|r| body(r)["jobId"].as_str().map(str::to_owned)).collect();
    ended.sort_unstable();
    assert_eq!(ended, [A, B, C]);
    let shown = sandbox.run("bout", ["last,8f2c0"]).ok().stdout;
    assert_eq!(shown, format!("{B}\n{C}\n{A}\n"));
}

#[story]
fn what_is_not_clear_is_not_guessed() {
    let server = server();
    let sandbox = Sandbox::at(&server.endpoint());
    let message = sandbox.run("bkill", ["last"]).failed_with(2);
    assert_eq!(message, "`last`: no job has been submitted from here to the cluster `far`");
    three_jobs(&sandbox);
    let outcome = sandbox.run("bkill", ["8f2c"]);
    assert_eq!(outcome.failed_with(2), "2 known jobs begin with 8f2c");
    assert_eq!(outcome.hints(), format!("{A} (first)\n{B} (second)"));
    assert_eq!(server.requests("terminatejob").len(), 0);
    // A damaged file, and one that cannot be read, are no error where they are not needed.
    let file = known(&sandbox, "\u{0}\n8f2c\n");
    sandbox.run("bstat", [A]).ok();
    std::fs::remove_file(&file).and_then(|()| std::fs::create_dir(&file)).expect("a folder in its place");
    sandbox.run("bstat", [A, "8f2c"]).ok();
}

/// A server that knows jobs by their whole IDs alone, in two pages of its queue.
fn strict_server() -> BadServer {
    BadServer::start(|request, _| match request.operation() {
        "describejobs" => {
            let asked = body(request)["jobs"].as_array().cloned().unwrap_or_default();
            let known = asked.iter().filter(|id| {
                let whole = id.as_str().unwrap_or_default().split(':').next().unwrap_or_default();
                [A, B, C].contains(&whole)
            });
            let job = |id: &Value| json!({ "jobId": id, "jobName": "n", "status": "RUNNING" });
            Answer::json(json!({ "jobs": known.map(job).collect::<Vec<_>>() }))
        }
        "listjobs" => {
            let asked = body(request);
            let job =
                |id: &str, name: &str| json!({ "jobId": id, "jobName": name, "status": asked["jobStatus"] });
            match (asked["jobStatus"].as_str(), asked["nextToken"].as_str()) {
                (Some("RUNNING"), None) => {
                    Answer::json(json!({ "jobSummaryList": [job(A, "first")], "nextToken": "2" }))
                }
                (Some("RUNNING"), _) => Answer::json(json!({ "jobSummaryList": [job(B, "second")] })),
                (Some("FAILED"), _) => Answer::json(json!({ "jobSummaryList": [job(C, "third")] })),
                _ => Answer::json(json!({ "jobSummaryList": [] })),
            }
        }
        "submitjob" => Answer::json(json!({ "jobId": ID_OF_NEW, "jobName": "n", "jobArn": "arn" })),
        _ => Answer::json(json!({})),
    })
}

const ID_OF_NEW: &str = "aaaaaaaa-1111-4222-8333-444455556666";

#[story]
fn the_beginning_of_an_id_that_somebody_else_submitted_is_looked_for_in_the_queue() {
    let server = strict_server();
    let sandbox = Sandbox::at(&server.endpoint());
    let report = sandbox.run("bstat", ["--json", "9D00", "8f2c9:4"]).ok().json();
    assert_eq!((&report[0]["jobId"], &report[1]["jobId"]), (&json!(C), &json!(format!("{B}:4"))));
    assert_eq!(server.requests("listjobs").len(), 9, "seven states, one of them twice and one of two pages");
    sandbox.run("bkill", ["8f2c0"]).ok();
    assert_eq!(
        server.requests("terminatejob").iter().map(|r| body(r)["jobId"].clone()).collect::<Vec<_>>(),
        [A]
    );
    sandbox.run("bwait", ["--timeout", "0", "8f2c0"]).ended_with(124);
    sandbox.run("bsub", ["-d", "9d00", "true"]).ok();
    let sent = body(&server.requests("submitjob")[0]);
    assert_eq!(sent["dependsOn"][0]["jobId"], C);
    // Several, none, and what is whole and not known: nothing is guessed, and the others are shown.
    let outcome = sandbox.run("bkill", ["8f2c"]);
    assert_eq!(outcome.failed_with(2), "2 jobs of the queue q begin with 8f2c");
    assert_eq!(outcome.hints(), format!("{A} (first)\n{B} (second)"));
    let outcome = sandbox.run("bstat", ["8f2c", "abcd", "9d00"]).ended_with(1);
    assert!(outcome.stdout.contains(C), "{outcome}");
    assert!(outcome.stderr.contains("bstat: error: 2 jobs of the queue q begin with 8f2c"), "{outcome}");
    assert!(
        outcome.stderr.contains("bstat: error: there is no job abcd (cluster far, region eu-west-1)"),
        "{outcome}"
    );
    let before = server.requests("listjobs").len();
    sandbox.run("bstat", [ID_OF_NEW]).failed_with(1);
    assert_eq!(server.requests("listjobs").len(), before, "a whole ID is no beginning");
    assert_eq!(server.requests("terminatejob").len(), 1);
}

/// As docs/bsub.md has it: the first 40 bits of the UUID, and 2^40 for a job, (i + 2) * 2^40 for
/// child i.
fn number(id: &str, index: Option<u64>) -> String {
    let digits: String = id.chars().filter(|c| *c != '-').take(10).collect();
    let bits = u64::from_str_radix(&digits, 16).expect("hexadecimal digits");
    (bits + (index.map_or(1, |index| index + 2) << 40)).to_string()
}

#[story]
fn a_number_names_its_job_in_every_tool() {
    let server = strict_server();
    let mut sandbox = Sandbox::at(&server.endpoint());
    let (a, child, c) = (number(A, None), number(B, Some(4)), number(C, None));
    let report = sandbox.run("bstat", ["--json", &c, &child]).ok().json();
    assert_eq!((&report[0]["jobId"], &report[1]["jobId"]), (&json!(C), &json!(format!("{B}:4"))));
    assert_eq!(report[1]["number"].to_string(), child);
    let table = sandbox.run("bstat", ["-o", "jobId,number", &c]).ok();
    assert_eq!(table.stdout.split_whitespace().skip(2).collect::<Vec<_>>(), [C, &c]);
    sandbox.run("bkill", [&a]).ok();
    assert_eq!(body(&server.requests("terminatejob")[0])["jobId"], A);
    sandbox.run("bwait", ["--timeout", "0", &a]).ended_with(124);
    sandbox.run("bsub", ["-d", &c, "true"]).ok();
    assert_eq!(body(&server.requests("submitjob")[0])["dependsOn"][0]["jobId"], C);
    // Within a job its own number is known without a listing.
    let listed = server.requests("listjobs").len();
    sandbox.set("AWS_BATCH_JOB_ID", format!("{A}:7"));
    let report = sandbox.run("bstat", ["--json", &number(A, Some(2))]).ok().json();
    assert_eq!(report[0]["jobId"], format!("{A}:2"));
    assert_eq!(server.requests("listjobs").len(), listed);
    sandbox.unset("AWS_BATCH_JOB_ID");
    // A number that no job has, and one that is no child's.
    let nobodys = number("bbbbbbbb-1111-4222-8333-444455556666", None);
    let outcome = sandbox.run("bkill", [&nobodys]);
    assert!(outcome.failed_with(1).starts_with(&format!("there is no job {nobodys} ")), "{outcome}");
    sandbox.run("bkill", [format!("{child}:1")]).failed_with(2);
    // Two jobs whose IDs begin alike.
    let twin = format!("{}ff-1111-4222-8333-444455556666", &A[..11]);
    known(&sandbox, &format!("{A} first 2026-01-02T03:04:05Z\n{twin} second 2026-01-02T03:04:06Z\n"));
    let outcome = sandbox.run("bkill", [&a]);
    assert_eq!(outcome.failed_with(2), format!("2 known jobs have the number {a}"));
    assert_eq!(outcome.hints(), format!("{A} (first)\n{twin} (second)"));
    assert_eq!(server.requests("terminatejob").len(), 1);
}

#[story]
fn whoever_may_not_list_jobs_is_told_that_there_is_none() {
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobs" => Answer::json(json!({ "jobs": [] })),
        _ => Answer::error(403, "AccessDeniedException", "no"),
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bkill", ["8f2c"]);
    assert!(outcome.failed_with(1).starts_with("there is no job 8f2c "), "{outcome}");
}

#[story]
fn a_job_of_another_region_or_account_is_said_to_be() {
    let server = server();
    let sandbox = Sandbox::at(&server.endpoint());
    let arn = |region: &str, id: &str| format!("arn:aws:batch:{region}:111122223333:job/{id}");
    for tool in ["bstat", "bkill", "bwait", "bout"] {
        let outcome = sandbox.run(tool, [arn("us-east-1", A)]);
        assert_eq!(
            outcome.failed_with(1),
            format!("the job {A} is in us-east-1, and the cluster `far` is in eu-west-1")
        );
        assert_eq!(outcome.hints(), "to look there with the same account, add `--region us-east-1`");
    }
    let outcome = sandbox.run("bsub", ["-d", &arn("us-east-1", A), "true"]);
    assert!(outcome.failed_with(1).contains("is in us-east-1"), "{outcome}");
    assert_eq!(server.requests("describejobs").len() + server.requests("submitjob").len(), 0);
    // The others are shown.
    let outcome = sandbox.run("bstat", ["--json", &arn("us-east-1", A), &arn("eu-west-1", B)]).ended_with(1);
    assert_eq!((&outcome.json()[0]["jobId"], outcome.json().as_array().map(Vec::len)), (&json!(B), Some(1)));
    // With the region that is said.
    sandbox.run("bstat", ["--region", "us-east-1", &arn("us-east-1", A)]).ok();
    // A queue that is named by ARN tells the account.
    sandbox.config(&format!(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\nbucket = \"b\"\n\
         job_queue = \"arn:aws:batch:eu-west-1:444455556666:job-queue/q\"\njob_definition = \"d\"\n",
        server.endpoint()
    ));
    let outcome = sandbox.run("bkill", [arn("eu-west-1", A)]);
    assert_eq!(
        outcome.failed_with(1),
        format!("the job {A} is in the account 111122223333, and the cluster `far` is in 444455556666")
    );
    // Otherwise it is said which account was meant.
    let strict = strict_server();
    let outcome = Sandbox::at(&strict.endpoint()).run("bstat", [arn("eu-west-1", ID_OF_NEW)]);
    assert!(outcome.failed_with(1).starts_with("there is no job "), "{outcome}");
    assert!(outcome.hints().contains("its ARN belongs to the account 111122223333"), "{outcome}");
}

#[story]
fn what_was_submitted_just_now_may_not_be_shown_yet() {
    let weather = Weather { shown_within: std::time::Duration::from_secs(4), ..Weather::FAIR };
    let chaos = Chaos::start(7, weather);
    let sandbox = Sandbox::at(&chaos.endpoint());
    for tool in ["bstat", "bkill"] {
        let ids: Vec<String> = (0..3).map(|_| sandbox.run("bsub", ["true"]).ok().job_id()).collect();
        sandbox.run(tool, &ids).ok();
    }
    assert_eq!(chaos.jobs().iter().filter(|job| job.status == "FAILED").count(), 3);
}

#[story]
fn what_was_submitted_from_here_is_known() {
    let sandbox = Sandbox::new();
    let first = sandbox.run("bsub", ["-J", "one", "echo", "1"]).ok().job_id();
    assert_eq!(sandbox.run("bout", ["-f", "last"]).ok().stdout, "1\n");
    let second = sandbox.run("bsub", ["-J", "two", "-d", "last", "echo", "2"]).ok().job_id();
    assert_eq!(sandbox.run("bout", ["-f", "last"]).ok().stdout, "2\n");
    // Long enough to be nobody else's.
    assert_eq!(sandbox.run("bout", [&first[..30]]).ok().stdout, "1\n");
    let dependency =
        sandbox.run("bstat", ["--json", &second]).ok().json()[0]["dependsOn"][0]["jobId"].clone();
    assert_eq!(dependency, first);
    let file =
        PathBuf::from(sandbox.get("XDG_STATE_HOME").expect("a folder")).join("awsb/jobs/local.us-east-1");
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A job is submitted wherever it can be noted or not.
    std::fs::remove_dir_all(file.parent().expect("a folder")).expect("it goes");
    std::fs::write(file.parent().expect("a folder"), "").expect("a file in its place");
    let outcome = sandbox.run("bsub", ["true"]).ok();
    assert!(outcome.stderr.starts_with("bsub: warning: recording the job "), "{outcome}");
}

#[story]
fn last_is_of_this_cluster_at_this_endpoint() {
    let (one, two) = (server(), server());
    let mut sandbox = Sandbox::at(&one.endpoint());
    // Two local clusters of one user are two.
    let homes = [sandbox.work().join("home-1"), sandbox.work().join("home-2")];
    let ids = homes.each_ref().map(|home| {
        sandbox.set("AWSB_LOCAL_HOME", home.display().to_string());
        sandbox.run("bsub", ["-c", "local", "true"]).ok().job_id()
    });
    for (home, id) in homes.iter().zip(&ids) {
        sandbox.set("AWSB_LOCAL_HOME", home.display().to_string());
        assert_eq!(
            sandbox.run("bwait", ["-c", "local", "last"]).ok().stdout.split(' ').next(),
            Some(id.as_str())
        );
        sandbox.run("blocal", ["stop"]).ok();
    }
    // A server under the same name at another endpoint.
    let text = format!("{A} first 2026-01-02T03:04:05Z 0123456789ab -\n{B} old 2026-01-02T03:04:04Z\n");
    known(&sandbox, &text);
    sandbox.run("bstat", ["last"]).ok();
    assert_eq!(asked(&one), json!([B]));
    let config = |server: &BadServer| {
        format!(
            "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\nbucket = \"b\"\n\
             job_queue = \"q\"\njob_definition = \"d\"\n",
            server.endpoint()
        )
    };
    sandbox.config(&config(&two));
    sandbox.run("bstat", ["last"]).ok();
    assert_eq!(asked(&two), json!([B]));
}

#[story]
fn what_another_session_submitted_is_not_ended_unasked() {
    program("setsid");
    let sandbox = Sandbox::new();
    sandbox.run("blocal", ["start", "--vcpus", "8", "--memory", "8G"]).ok();
    let submit = |name: &str| sandbox.run("bsub", ["-J", name, "sleep", "1000"]).ok().job_id();
    let status = |id: &str| sandbox.run("bstat", ["--json", id]).ok().json()[0]["status"].clone();
    let mine = submit("mine");
    sandbox.run("bkill", ["last"]).ok();
    let ids = ["theirs", "more"]
        .map(|name| sandbox.run("setsid", ["--wait", "bsub", "-J", name, "sleep", "1000"]).ok().job_id());
    let theirs = &ids[1];
    let refused = sandbox.run("bkill", ["last"]);
    let message = refused.failed_with(2);
    assert!(message.contains(&format!("the job {theirs} (more)")), "{refused}");
    assert!(refused.hints().contains(&format!("`bkill {theirs}`")), "{refused}");
    let on_terminal = |answer: &str, code: i32| {
        let mut asking = Terminal::new(120).start(&sandbox, "bkill", ["last"]);
        asking.until("the question", |screen| screen.contains("End this job?"));
        asking.types(answer);
        let seen = asking.wait().ended_with(code);
        assert!(seen.written.contains(&format!("{theirs}  more  ")), "{}", seen.written);
    };
    on_terminal("n\n", 1);
    assert_ne!(status(theirs), "FAILED");
    on_terminal("y\n", 0);
    eventually("its end", MINUTE, || (status(theirs) == "FAILED").then_some(()));
    // By its ID, or with --yes, nobody is asked; what has ended need not be.
    sandbox.run("bkill", ["last"]).ok();
    sandbox.run("bkill", [&ids[0]]).ok();
    sandbox.run("setsid", ["--wait", "bsub", "sleep", "1000"]).ok();
    sandbox.run("bkill", ["--yes", "last"]).ok();
    assert_eq!(status(&mine), "FAILED");
}

#[story]
fn an_option_of_slurms_that_we_have_not_is_explained() {
    let sandbox = Sandbox::new();
    for (option, output) in [
        ("--output=x.out", "--output is Slurm's: a job's output and standard error go to CloudWatch"),
        ("--mail-user=me", "--mail-user is Slurm's: Batch sends no mail"),
        ("--ntasks=4", "--ntasks is Slurm's: it works as an #SBATCH line in the script"),
    ] {
        let outcome = sandbox.run("bsub", [option, "true"]);
        assert!(outcome.failed_with(2).starts_with("unexpected argument"), "{outcome}");
        assert!(outcome.hints().starts_with(output), "{outcome}");
    }
}

#[story]
fn a_task_is_found_by_its_id() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["--array", "3,7,10-12", "--wrap", "echo task $AWSB_TASK_ID"]).ok().job_id();
    let followed = sandbox.run("bout", ["-f", &id]).ok().stdout;
    let mut lines: Vec<&str> = followed.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["10 (:2): task 10", "11 (:3): task 11", "12 (:4): task 12", "3 (:0): task 3", "7 (:1): task 7"]
    );
    assert_eq!(sandbox.run("bout", ["--task", "7", &id]).ok().stdout, "task 7\n");
    let shown = sandbox.run("bout", [&id]).ok().stdout;
    let mut again: Vec<&str> = shown.lines().collect();
    again.sort_unstable();
    assert_eq!(again, lines);

    let table = sandbox.run("bstat", [&id]).ok().stdout;
    let cells: Vec<(&str, &str)> = table
        .lines()
        .map(|line| line.split_whitespace())
        .map(|mut words| (words.next().unwrap_or_default(), words.nth(5).unwrap_or_default()))
        .collect();
    let child = |index| format!("{id}:{index}");
    let children: Vec<String> = (0..5).map(child).collect();
    let expected = [("jobId", "task"), (&id, "-")].into_iter();
    let tasks = ["3", "7", "10", "11", "12"];
    assert_eq!(cells, expected.chain(children.iter().map(String::as_str).zip(tasks)).collect::<Vec<_>>());
    let detail = sandbox.run("bstat", ["--task", "10", &id, "--json"]).ok().json();
    assert_eq!((&detail[0]["jobId"], &detail[0]["task"]), (&json!(child(2)), &json!(10)));
    assert_eq!(
        sandbox.run("bstat", ["--task", "4", &id]).failed_with(1),
        format!("the job {id} has no task 4")
    );

    // Indices that are Batch's own are nobody's task IDs.
    let plain = sandbox.run("bsub", ["-a", "2", "--wrap", "sleep 1000"]).ok().job_id();
    let table = sandbox.run("bstat", [&plain]).ok().stdout;
    assert!(!table.contains("task"), "{table}");
    assert!(table.lines().next().is_some_and(|header| header.ends_with("exitCode  progress")), "{table}");
    let ended = sandbox.run("bkill", ["--task", "1", &plain]).ok().stdout;
    assert!(ended.starts_with(&format!("Job {plain}:1 ")), "{ended}");
    // Of several arrays, the one that has the task.
    let found = sandbox.run("bstat", ["--task", "12", &format!("{plain},{id}"), "--json"]).ok().json();
    assert_eq!(found[0]["jobId"], child(4));
    sandbox.run("bkill", [plain]).ok();
}

#[story]
fn the_first_and_the_last_lines() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["-J", "n", "--wrap", "for n in 1 2 3 4 5; do echo $n; done"]).ok().job_id();
    assert_eq!(sandbox.run("bout", ["-f", "--tail", "9", &id]).ok().stdout, "1\n2\n3\n4\n5\n");
    for (words, lines) in [
        (&["--head", "2"][..], "1\n2\n"),
        (&["-hd", "2"], "1\n2\n"),
        (&["--head=9"], "1\n2\n3\n4\n5\n"),
        (&["--head", "0"], ""),
        (&["--tail", "2"], "4\n5\n"),
        (&["-t", "2"], "4\n5\n"),
        (&["-t2", "-f"], "4\n5\n"),
        (&["-s", "-t", "1", "-sp", "3"], "5\n"),
        (&["--tail", "0", "-f"], ""),
    ] {
        assert_eq!(
            sandbox.run("bout", words.iter().copied().chain([id.as_str()])).ok().stdout,
            lines,
            "{words:?}"
        );
    }
    let json = sandbox.run("bout", ["--json", "--tail", "1", &id]).ok().json();
    assert_eq!((json.as_array().map(Vec::len), &json[0]["message"]), (Some(1), &json!("5")));
    sandbox.run("bout", ["--head", "1", "--tail", "1", &id]).failed_with(2);
    sandbox.run("bout", ["--head", "1", "-f", &id]).failed_with(2);
}

#[story]
fn the_old_tools_options_of_two_letters() {
    let mut sandbox = Sandbox::new();
    sandbox.set("ONE", "1");
    sandbox.set("TWO", "2");
    sandbox.file("job", "#!/bin/sh\necho \"$@\" \"$ONE$TWO\"\n");
    let outcome =
        sandbox.run("bsub", ["-jn", "old", "-cf", "-e", "ONE,TWO", "-ll", "DEBUG", "job", "-jn", "x"]).ok();
    assert!(outcome.stdout.contains("(old)"), "{outcome}");
    assert_eq!(outcome.stderr, "bsub: note: -ll has no effect: --debug shows requests and answers\n");
    let id = outcome.job_id();
    assert_eq!(sandbox.run("bout", ["-s", "-sp", "1", &id]).ok().stdout, "-jn x 12\n");
    sandbox.run("bstat", ["-ll", "INFO", "-s", "ALL"]).ok();
}
