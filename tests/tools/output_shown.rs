//! How `bout` shows lines: which, where, and what stands before them.

use awsb_testkit::{Answer, BadServer, Request, Sandbox, Terminal, story};
use serde_json::json;

const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
/// 2023-11-14T22:13:20Z.
const BEGIN: i64 = 1_700_000_000_000;

/// An array of three children, of which the last has failed, with these lines: child, time,
/// message.
fn array(lines: &'static [(usize, i64, &'static str)]) -> BadServer {
    let job = |index: usize| {
        json!({
            "jobId": format!("{ID}:{index}"), "jobName": "j", "jobQueue": "q", "jobDefinition": "d",
            "status": if index == 2 { "FAILED" } else { "SUCCEEDED" },
            "startedAt": BEGIN, "stoppedAt": BEGIN + 60_000, "container": { "logStreamName": index.to_string() },
        })
    };
    let parent = json!({
        "jobId": ID, "jobName": "j", "jobQueue": "q", "jobDefinition": "d", "status": "FAILED", "createdAt": BEGIN,
        "arrayProperties": { "size": 3, "statusSummary": { "SUCCEEDED": 2, "FAILED": 1 } },
    });
    BadServer::start(move |request, _| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.operation() {
            "describejobs" => {
                let ids = body["jobs"].as_array().into_iter().flatten().filter_map(|id| id.as_str());
                let known = ids.filter_map(|id| match id.rsplit_once(':') {
                    Some((_, index)) => index.parse().ok().filter(|i| *i < 3).map(job),
                    None => (id == ID).then(|| parent.clone()),
                });
                Answer::json(json!({ "jobs": known.collect::<Vec<_>>() }))
            }
            "listjobs" => {
                let jobs: Vec<_> = (0..3).map(job).filter(|j| j["status"] == body["jobStatus"]).collect();
                Answer::json(json!({ "jobSummaryList": jobs }))
            }
            _ => stream(lines, &body),
        }
    })
}

/// All lines of a stream, on one page.
fn stream(lines: &[(usize, i64, &str)], body: &serde_json::Value) -> Answer {
    let stream = body["logStreamName"].as_str().and_then(|name| name.parse::<usize>().ok());
    let since = body["startTime"].as_i64().unwrap_or(0);
    let own = lines.iter().filter(|(index, at, _)| stream == Some(*index) && BEGIN + at >= since);
    let events: Vec<_> = match body["nextToken"].as_str() {
        None => own.map(|(_, at, text)| json!({ "timestamp": BEGIN + at, "message": text })).collect(),
        Some(_) => Vec::new(),
    };
    Answer::json(json!({ "events": events, "nextForwardToken": "f/1", "nextBackwardToken": "b/1" }))
}

const LINES: [(usize, i64, &str); 5] = [
    (0, 0, "zero begins"),
    (0, 3000, "zero ends"),
    (1, 500, "one\tsays \u{1b}[31mred\u{1b}[0m and \u{1b}[2Jclears"),
    (2, 1234, "two fails"),
    (2, 1234, "10%\r100%\r"),
];

#[story]
fn children_by_time_with_what_stands_before_their_lines() {
    let server = array(&LINES);
    let mut sandbox = Sandbox::at(&server.endpoint());
    let shown =
        |sandbox: &Sandbox, words: &[&str]| sandbox.run("bout", words.iter().chain(&[ID])).ok().stdout;
    assert_eq!(
        shown(&sandbox, &[]),
        "0: zero begins\n1: one\tsays \u{1b}[31mred\u{1b}[0m and \u{1b}[2Jclears\n2: two fails\n2: 10%\r100%\r\n0: zero ends\n",
        "exact in a pipe"
    );
    sandbox.set("TZ", "Europe/Berlin");
    insta::assert_snapshot!(shown(&sandbox, &["-T", "--index", "0,2", "--since", "2023-11-14T22:13:21Z"]).replace('\r', "^M"), @r"
    2023-11-14T23:13:21.234+01:00 2: two fails
    2023-11-14T23:13:21.234+01:00 2: 10%^M100%^M
    2023-11-14T23:13:23.000+01:00 0: zero ends
    ");
    assert_eq!(shown(&sandbox, &["--failed", "--no-prefix", "--head", "1"]), "two fails\n");
    assert_eq!(shown(&sandbox, &["--tail", "1"]), "0: zero ends\n");
    assert_eq!(shown(&sandbox, &["-f", "--failed"]), "2: two fails\n2: 10%\r100%\r\n");
    assert_eq!(sandbox.run("bout", [format!("{ID}:0")]).ok().stdout, "zero begins\nzero ends\n");
    let lines = sandbox.run("bout", ["--json", "--index", "1", ID]).ok().json();
    assert_eq!(
        lines,
        json!([{ "jobId": format!("{ID}:1"), "logStreamName": "1", "timestamp": BEGIN + 500, "message": LINES[2].2 }])
    );
    // A file for each child.
    let outcome = sandbox.run("bout", ["-d", "out", ID]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", "bout: 5 lines in 3 files in out\n"));
    let read = |name: &str| std::fs::read_to_string(sandbox.work().join(name)).unwrap();
    assert_eq!(read("out/0.out"), "zero begins\nzero ends\n");
    assert_eq!(read("out/2.out"), "two fails\n10%\r100%\r\n");
    let files = sandbox.run("bout", ["-d", "out", "--json", "--failed", ID, &format!("{ID}:0")]);
    assert_eq!(files.code(), 1, "a job without children has none that failed: {files}");
    assert_eq!(
        files.json(),
        json!([{ "jobId": format!("{ID}:2"), "File": format!("out/{ID}/2.out"), "Lines": 2 }])
    );
}

#[story]
fn on_a_terminal_lines_are_harmless_and_indices_coloured() {
    let server = array(&LINES);
    let sandbox = Sandbox::at(&server.endpoint());
    let plain = Terminal::new(80).run(&sandbox, "bout", [ID]).ok();
    let lines = |text: &str| text.replace("\r\n", "\n").replace('\u{1b}', "ESC");
    let seen = lines(&plain.written);
    assert!(seen.contains("1: one\tsays ESC[31mredESC[0m and ^[[2JclearsESC[0m\n"), "{seen}");
    assert!(seen.contains("2: 10%^M100%\n"), "{seen}");
    let coloured = lines(&Terminal::new(80).colour().run(&sandbox, "bout", [ID]).ok().written);
    assert!(coloured.contains("ESC[31m0: ESC[0mzero begins\n"), "{coloured}");
    assert!(coloured.contains("ESC[33m2: ESC[0mtwo fails\n"), "{coloured}");
}

#[story]
fn jobs_that_are_not_there_or_have_not_started() {
    let server = array(&LINES);
    let sandbox = Sandbox::at(&server.endpoint());
    let other = "99999999-1111-4222-8333-444455556666";
    let mixed = sandbox.run("bout", [other, &format!("{ID}:0")]).ended_with(1);
    assert_eq!(mixed.stdout, "zero begins\nzero ends\n", "the good ones are shown");
    assert!(mixed.stderr.contains(&format!("bout: error: there is no job {other}")), "{mixed}");
    let wrong = sandbox.run("bout", ["--index", "1,3", ID]).failed_with(2);
    assert!(wrong.contains("has the indices 0 to 2"), "{wrong}");
    let wrong = sandbox.run("bout", ["--attempt", "2", &format!("{ID}:0")]).failed_with(1);
    assert!(wrong.contains("no attempt 2: it was tried"), "{wrong}");
}

#[story]
fn what_is_missing_is_said() {
    let job = json!({
        "jobId": ID, "jobName": "j", "jobQueue": "q", "jobDefinition": "d", "status": "SUCCEEDED", "startedAt": 1,
        "stoppedAt": 2, "container": { "logStreamName": "d/default/1", "logConfiguration":
            { "logDriver": "awslogs", "options": { "awslogs-group": "/of/the/job" } } },
    });
    let server = |answer: fn(&Request) -> Answer| {
        let job = job.clone();
        BadServer::start(move |request, _| match request.operation() {
            "describejobs" => Answer::json(json!({ "jobs": [job] })),
            _ => answer(request),
        })
    };
    let denied = server(|_| Answer::error(400, "AccessDeniedException", "no"));
    for (words, permission) in
        [(&[ID][..], "logs:GetLogEvents"), (&[ID, "--filter", "x"], "logs:FilterLogEvents")]
    {
        let outcome = Sandbox::at(&denied.endpoint()).run("bout", words);
        outcome.failed_with(1);
        let hints = outcome.hints();
        assert!(hints.contains(permission) && hints.contains("log-group:/of/the/job:*"), "{outcome}");
    }
    let html = server(|_| Answer::Http(200, "<html>Log in to the hotel</html>".into(), vec![]));
    let outcome = Sandbox::at(&html.endpoint()).run("bout", [ID]);
    assert!(outcome.failed_with(1).contains("answered with a web page"), "{outcome}");
    assert!(html.requests("logs").len() < 10);
}

#[story]
fn attempts_patterns_and_files_of_the_local_cluster() {
    let sandbox = Sandbox::new();
    let script = "echo attempt $AWS_BATCH_JOB_ATTEMPT; echo \"ERROR of $AWS_BATCH_JOB_ATTEMPT\" >&2; exit 1";
    let id = sandbox.run("bsub", ["-K", "--parsable", "--retry-attempts", "2", "--wrap", script]);
    let id = id.stdout.trim().to_owned();
    let shown = |words: &[&str]| sandbox.run("bout", words.iter().chain(&[id.as_str()])).ok().stdout;
    assert_eq!(shown(&[]), "attempt 1\nERROR of 1\nattempt 2\nERROR of 2\n");
    assert_eq!(shown(&["--attempt", "all", "--tail", "3"]), "ERROR of 1\nattempt 2\nERROR of 2\n");
    assert_eq!(shown(&["--attempt", "2"]), "attempt 2\nERROR of 2\n");
    assert_eq!(shown(&["-f", "--attempt", "1"]), "attempt 1\nERROR of 1\n");
    assert_eq!(shown(&["--filter", "ERROR"]), "ERROR of 1\nERROR of 2\n");
    assert_eq!(shown(&["-f", "--filter", "?of ?nothing", "--tail", "1"]), "ERROR of 2\n");
    assert_eq!(shown(&["--since", "1h", "--filter", "attempt", "--head", "1"]), "attempt 1\n");
    let pattern = sandbox.run("bout", ["--filter", "a.b", &id]);
    assert!(pattern.failed_with(1).contains("a.b"), "{pattern}");
    let written = sandbox.run("bout", ["-f", "-d", "new/folder", &id]).ok().stderr;
    assert_eq!(written, format!("bout: 4 lines in new/folder/{id}.out\n"));

    // More than ten streams are read together, those of children that print nothing, too.
    let some = "test $AWSB_TASK_ID -lt 9 || echo \"$AWSB_TASK_ID speaks\"";
    let id = sandbox.run("bsub", ["-K", "--parsable", "-a", "14", "--wrap", some]).ok().job_id();
    for words in [&[][..], &["-f"], &["--filter", "speaks"], &["-t", "20"]] {
        let outcome = sandbox.run("bout", words.iter().chain(&[id.as_str()])).ok();
        let mut lines: Vec<&str> = outcome.stdout.lines().collect();
        lines.sort_unstable();
        let expected = ["10: 10 speaks", "11: 11 speaks", "12: 12 speaks", "13: 13 speaks", "9: 9 speaks"];
        assert_eq!(lines, expected, "{outcome}");
    }
    let waiting = sandbox.run("bsub", ["--parsable", "--wrap", "sleep 1000"]).ok().job_id();
    let dependent = sandbox.run("bsub", ["--parsable", "-d", &waiting, "--wrap", "echo after"]).ok().job_id();
    let output = sandbox.run("bout", [&dependent]).failed_with(1);
    assert_eq!(
        output,
        format!("the job {dependent} has not started: it is PENDING, and waits for {waiting}")
    );
    let mut following = Terminal::new(200).start(&sandbox, "bout", ["-f", &dependent]);
    let output = format!("waits for {waiting}; waiting");
    following.until("what it waits for", |seen| seen.contains(&output));
    sandbox.run("bkill", ["-y", &waiting]).ok();
    following.wait().ended_with(1);
}

#[cfg(target_os = "linux")]
#[story]
fn a_full_disk_is_no_lost_contact() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("sh", ["-c", "bsub -I --wrap 'echo x' > /dev/full"]).ended_with(1);
    assert!(outcome.stderr.contains("bsub: error: writing the result to standard output"), "{outcome}");
    assert!(outcome.stderr.contains("hint: the job "), "{outcome}");
}

#[story]
fn of_an_array_that_waits_it_is_said_that_it_does() {
    let sandbox = Sandbox::new();
    let first = sandbox.run("bsub", ["--parsable", "sleep", "600"]).ok().job_id();
    let array = ["--parsable", "-a", "3", "-d", &format!("afterok:{first}"), "true"];
    let id = sandbox.run("bsub", array).ok().job_id();
    for args in [vec![id.as_str()], vec!["--index", "1", &id]] {
        let message = sandbox.run("bout", args).failed_with(1);
        assert!(message.contains("started"), "{message}");
    }
    sandbox.run("bkill", [&first]).ok();
}
