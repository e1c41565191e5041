//! The views of jobs: the listing, its columns and options, one job in detail.

mod canned;

use awsb_testkit::{Answer, BadServer, Request, Sandbox, Terminal, story};
use canned::{ARRAY, BAD, EVIL, NODES, ONE, THEN, answer, body};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Replaces times that pass while a test runs, such as `2152-03:04:05`, the time that a job has
/// been running.
fn stable(text: &str) -> String {
    let mut stable = String::new();
    for (at, line) in text.lines().enumerate() {
        if at > 0 {
            stable.push('\n');
        }
        let mut rest = line;
        while let Some(at) = rest.find('-') {
            let begins = rest[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
            let (days, time) = (&rest[begins..at], rest.get(at + 1..at + 9).unwrap_or_default());
            let is_time = time.len() == 8
                && time.bytes().enumerate().all(|(i, b)| match i {
                    2 | 5 => b == b':',
                    _ => b.is_ascii_digit(),
                });
            if is_time && (4..6).contains(&days.len()) {
                stable.push_str(&format!("{}{}-HH:MM:SS", &rest[..begins], "D".repeat(days.len())));
                rest = &rest[at + 9..];
            } else {
                stable.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
        stable.push_str(rest);
    }
    stable
}

/// One view as a pipe and terminals of some widths get it.
fn everywhere(args: &[&str], widths: &[u16]) -> String {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let piped = sandbox.run("bstat", args);
    let mut all = format!("$ bstat {} | cat\n{}", args.join(" "), piped.stdout);
    for columns in widths {
        let seen = Terminal::new(*columns).run(&sandbox, "bstat", args);
        assert!(!seen.written.contains('\u{1b}'), "{:?}", seen.written);
        all.push_str(&format!("\n{columns} columns\n{}", seen.screen()));
        let too_wide = seen.written.lines().find(|line| line.chars().count() > usize::from(*columns));
        assert!(args.contains(&"-d") || args.contains(&BAD) || too_wide.is_none(), "{too_wide:?}");
    }
    stable(&all)
}

#[story]
fn the_usual_view() {
    insta::assert_snapshot!(everywhere(&[], &[20, 40, 80, 160]));
}

#[story]
fn jobs_of_all_states_with_their_children() {
    insta::assert_snapshot!(everywhere(&["-s", "ALL", "-e"], &[80, 160]));
}

#[story]
fn columns_of_ones_choice() {
    let columns = "jobId,queue,jobDefinition,vcpus,memory,gpus,attempts,submitter,command";
    insta::assert_snapshot!(everywhere(&["-s", "ALL", "--sort", "-status", "-o", columns], &[80, 160]));
}

#[story]
fn an_array_and_its_children() {
    insta::assert_snapshot!(everywhere(&[ARRAY], &[80, 160]));
}

#[story]
fn an_array_on_a_terminal_is_its_parent_and_what_failed() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let on_terminal = |args: &[&str]| Terminal::new(80).run(&sandbox, "bstat", args).ok().screen();
    let first_words = |screen: &str| {
        let words = screen.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned());
        words.collect::<Vec<_>>()
    };
    let folded = on_terminal(&[ARRAY]);
    assert_eq!(first_words(&folded)[..4], ["jobId", "33333333", "33333333:1", ""], "{folded}");
    assert!(
        folded.contains("[4] 1 failed 1 ok 1 running")
            && folded.contains("4 children: 1 ok, 1 failed, 1 running, 1 waiting\n"),
        "{folded}"
    );
    assert!(folded.contains("`bstat -e 33333333` shows all children\n"), "{folded}");
    let all = on_terminal(&["-e", ARRAY]);
    assert_eq!(first_words(&all).len(), 6, "{all}");
    let failed = on_terminal(&["--failed", "--no-header", ARRAY]);
    assert_eq!(first_words(&failed), ["33333333", "33333333:1"], "{failed}");
    let full = on_terminal(&["--full", "--no-header", "-o", "jobId", "-e", ARRAY]);
    assert_eq!(first_words(&full)[..2], [ARRAY.to_owned(), format!("{ARRAY}:0")], "{full}");
}

#[story]
fn ids_are_shown_as_short_as_they_are_unique_among_those_that_are_known() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let twin = "22222222-2229-4222-8222-222222222222";
    sandbox.file("../state/awsb/jobs/far.eu-west-1", format!("{twin} twin 2026-01-02T03:04:05Z\n"));
    let args = ["-s", "ALL", "--no-header", "-o", "jobId"];
    let shown = Terminal::new(80).run(&sandbox, "bstat", args).ok().screen();
    assert_eq!(shown, "11111111\n22222222-2222\n33333333\n44444444\n55555555\n");
    for id in ["33333333", "33333333:1"] {
        let found = sandbox.run("bstat", ["--json", id]).ok().json();
        assert!(found[0]["jobId"].as_str().is_some_and(|whole| whole.starts_with("33333333-")), "{found}");
    }
    let piped = sandbox.run("bstat", args).ok().stdout;
    assert!(piped.starts_with(&format!("{ONE}\n{BAD}\n")), "{piped}");
}

#[story]
fn a_watched_array_keeps_its_parent_on_the_screen() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["--parsable", "-a", "60", "--wrap", "sleep 1000"]).ok().job_id();
    let mut watched = Terminal::new(80).rows(10).start(&sandbox, "bstat", ["-w", "0.2", &id]);
    watched.until("the parent and its summary", |screen| {
        screen.contains(&id[..8]) && screen.contains("60 children: ") && screen.contains("waiting")
    });
    watched.signal(Signal::SIGINT);
    watched.wait().ended_with(130);
    sandbox.run("bkill", [&id]).ok();
}

#[story]
fn a_failed_job_in_detail() {
    insta::assert_snapshot!(everywhere(&[BAD], &[80, 160]));
}

#[story]
fn parents_in_detail() {
    insta::assert_snapshot!(everywhere(&["-d", ARRAY, NODES], &[80, 160]));
}

#[story]
fn what_a_name_says_is_not_done() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let args = ["-s", "RUNNABLE", "-o", "jobName,statusReason"];
    let seen = Terminal::new(80).run(&sandbox, "bstat", args).ok();
    assert!(seen.screen().contains("evil␛]0;title␇  a␛[31mred␇␉b�c␊d"), "{}", seen.screen());
    let piped = sandbox.run("bstat", args).ok().stdout;
    assert!(piped.contains("evil_]0;title_  a_[31mred__b\u{202e}c_d\n"), "{piped:?}");
    let exact = sandbox.run("bstat", ["-s", "RUNNABLE", "--json"]).ok().json();
    assert_eq!(exact[0]["statusReason"], "a\u{1b}[31mred\u{7}\tb\u{202e}c\nd");
    let details = sandbox.run("bstat", [EVIL]).ok().stdout;
    assert!(details.contains("statusReason  : a\u{1b}[31mred\u{7}\tb\u{202e}c d\n"), "{details:?}");
    let seen = Terminal::new(80).run(&sandbox, "bstat", [EVIL]).ok();
    assert!(!seen.written.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", seen.written);
}

#[story]
fn colours_are_for_terminals_that_want_them() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let seen = Terminal::new(80).colour().run(&sandbox, "bstat", ["-s", "ALL"]).ok();
    assert!(seen.written.contains("\u{1b}[31mFAILED\u{1b}[0m"), "{:?}", seen.written);
    let plain = Terminal::new(80).run(&sandbox, "bstat", ["-s", "ALL"]).ok();
    assert_eq!(stable(&seen.screen()), stable(&plain.screen()), "colours take no room");
}

#[story]
fn json_has_what_is_shown() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let nodes = sandbox.run("bstat", ["--json", NODES]).ok().json();
    assert_eq!(nodes[0]["nodeProperties"]["numNodes"], 2);
    assert_eq!(nodes[0]["nodeProperties"]["nodeRangeProperties"][0]["container"]["image"], "busybox:1");
    assert!(!nodes.to_string().contains("s3cret"), "{nodes}");
    let all = sandbox.run("bstat", ["--json", "-e"]).ok().json();
    assert_eq!(all.as_array().map(Vec::len), Some(4 + 4 + 2), "{all}");
    let full = sandbox.run("bstat", ["--json", "-d", "-s", "FAILED"]).ok().json();
    assert_eq!(full[0]["attempts"][1]["container"]["exitCode"], 137);
    let children = sandbox.run("bstat", ["--json", "-d", ARRAY]).ok().json();
    assert_eq!(children[2]["container"]["exitCode"], 3);
    assert_eq!(children[3]["container"]["image"], "busybox:1", "children, too, have everything");
    let messages = sandbox.run("bstat", ["-d", "-e", NODES]).ok().stdout;
    assert_eq!(messages.matches("jobId         : ").count(), 3, "{messages}");
}

#[story]
fn jobs_are_named_in_every_way() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let arn = format!("arn:aws:batch:eu-west-1:123456789012:job/{ONE}");
    let (child, node) = (format!("{ARRAY}:2"), format!("{NODES}#1"));
    let unknown = "99999999-9999-4999-8999-999999999999";
    let outcome = sandbox.run("bstat", [&arn, &child, unknown, &node]).ended_with(1);
    let ids: Vec<&str> = outcome.stdout.lines().filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(ids, ["jobId", ONE, &child, &node], "the good ones are shown: {outcome}");
    assert!(outcome.stderr.starts_with(&format!("bstat: error: there is no job {unknown} ")), "{outcome}");
    let details = sandbox.run("bstat", [&node]).ok().stdout;
    assert!(details.starts_with(&format!("jobId         : {node}\n")), "{details}");
}

#[story]
fn jobs_of_several_queues_tell_theirs_on_a_terminal() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let args = ["-q", "fast", "-q", "slow", "--name", "*mpi"];
    let seen = Terminal::new(160).run(&sandbox, "bstat", args).ok();
    // The same jobs in both: each is shown once.
    assert_eq!(seen.screen().lines().count(), 2, "{}", seen.screen());
    assert!(seen.screen().contains("jobQueue") && seen.screen().contains("mpi"), "{}", seen.screen());
    let json = sandbox.run("bstat", ["-q", "slow", "--name", "*mpi", "--json"]).ok().json();
    assert_eq!(json[0]["jobQueue"], "slow");
}

#[story]
fn the_environment_is_shown_on_request_and_its_secrets_are_not() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let usual = sandbox.run("bstat", [BAD]).ok().stdout;
    assert!(!usual.contains("MODE=fast"), "{usual}");
    let masked = sandbox.run("bstat", ["--env", BAD]).ok().stdout;
    assert!(masked.contains("MODE=fast") && masked.contains("API_TOKEN=***"), "{masked}");
    assert!(masked.starts_with("jobId         : "), "it is among the details: {masked}");
    let all = sandbox.run("bstat", ["--env=all", BAD]).ok().stdout;
    assert!(all.contains("API_TOKEN=s3cret"), "{all}");
    let json = sandbox.run("bstat", ["--env", "--json", BAD]).ok().json();
    assert_eq!(json[0]["container"]["environment"][0], json!({"name": "API_TOKEN", "value": "***"}));
    sandbox.run("bstat", ["--env=most", BAD]).failed_with(2);
}

#[story]
fn nothing_active_is_said_to_people() {
    let server = BadServer::start(|_, _| Answer::json(json!({"jobSummaryList": []})));
    let sandbox = Sandbox::at(&server.endpoint());
    let seen = Terminal::new(80).run(&sandbox, "bstat", [] as [&str; 0]).ok();
    let expected = "bstat: no job is active in the queue q; `bstat -s ALL` shows ended jobs, too\n";
    assert_eq!(seen.screen(), expected);
    let piped = sandbox.run("bstat", [] as [&str; 0]).ok();
    assert_eq!((piped.stdout.lines().count(), piped.stderr.as_str()), (1, ""));
    assert_eq!(sandbox.run("bstat", ["--no-header"]).ok().stdout, "");
    assert_eq!(sandbox.run("bstat", ["--json"]).ok().stdout, "[]\n");
}

#[story]
fn what_does_not_go_together_is_said() {
    let sandbox = Sandbox::new();
    for (args, expected) in [
        (&["-o", "jobId,colour"][..], "the columns are jobId, jobName, status, createdAt"),
        (&["--sort", "colour"], "the columns are"),
        (&["-w=x"], "the pause is 0.1 to 86400"),
        (&["--script"], "<ID>"),
        (&["--mine", ONE], "--mine"),
        (&["--failed", "-s", "ALL"], "--failed"),
        (&["-o", "jobId", "--json"], "--json"),
        (&["-o", "jobId", "-d"], "--details"),
    ] {
        let message = sandbox.run("bstat", args).failed_with(2);
        assert!(message.contains(expected), "{args:?}: {message}");
    }
}

#[story]
fn who_may_only_list_jobs_sees_them() {
    let server = BadServer::start(|request, before| match request.operation() {
        "describejobs" => {
            Answer::error(403, "AccessDeniedException", "not authorized to perform: batch:DescribeJobs")
        }
        _ => match answer(request, before) {
            // As a Batch that does not count the children in its listings.
            Answer::Http(status, body, headers) => {
                Answer::Http(status, body.replace("statusSummary", "x"), headers)
            }
            other => other,
        },
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let rows = sandbox.run("bstat", ["-s", "PENDING"]).ok().stdout;
    assert!(rows.contains("simulate") && rows.ends_with("  [4]\n"), "{rows}");
    assert_eq!(server.requests("describejobs").len(), 1);
    sandbox.run("bstat", ["-s", "PENDING", "-o", "image"]).failed_with(1);
}

/// A queue of 100,000 jobs, a thousand to a page.
fn large(request: &Request, _: usize) -> Answer {
    let asked = body(request);
    if request.operation() != "listjobs" || asked["jobStatus"] != "RUNNABLE" {
        return Answer::json(json!({"jobSummaryList": [], "jobs": []}));
    }
    let page: i64 = asked["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let job = |n: i64| {
        json!({"jobId": format!("{n:08}-1111-4111-8111-111111111111"), "jobName": "one-of-many",
            "status": "RUNNABLE", "createdAt": THEN + n})
    };
    let jobs: Vec<Value> = (page * 1000..(page + 1) * 1000).map(job).collect();
    let mut answer = json!({"jobSummaryList": jobs});
    if page < 99 {
        answer["nextToken"] = json!((page + 1).to_string());
    }
    Answer::json(answer)
}

#[story]
fn a_reader_that_has_enough_ends_the_work() {
    let server = BadServer::start(large);
    let sandbox = Sandbox::at(&server.endpoint());
    let first = sandbox.run("sh", ["-c", "bstat | head -1"]).ok().stdout;
    assert!(first.starts_with("jobId "), "{first}");
    let asked = server.requests("listjobs").len();
    assert!(asked < 20, "{asked} pages were read for one line");
    let asked_before = server.requests("listjobs").len();
    let first = sandbox.run("sh", ["-c", "bstat --json | head -2"]).ok().stdout;
    assert!(first.starts_with("[\n  {\"jobId\":\"00000000-"), "{first}");
    assert!(server.requests("listjobs").len() - asked_before < 20);
}

#[story]
fn a_terminal_is_told_that_a_listing_is_long() {
    let server = BadServer::start(|request, before| {
        // A page that takes its time, so that there is something to be told.
        std::thread::sleep(std::time::Duration::from_millis(15));
        large(request, before)
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let mut seen = Terminal::new(80).without_stdout().start(&sandbox, "bstat", ["--sort", "jobId"]);
    seen.until("how many jobs there are so far", |screen| screen.contains("000 jobs so far"));
    assert!(!seen.wait().ok().screen().contains("so far"), "it is gone at the end");
}

#[story]
fn all_jobs_of_many_pages_are_told_once() {
    let server = BadServer::start(large);
    let sandbox = Sandbox::at(&server.endpoint());
    let rows = sandbox.run("bstat", ["--no-header"]).ok().stdout;
    let ids: std::collections::BTreeSet<&str> =
        rows.lines().filter_map(|row| row.split(' ').next()).collect();
    assert_eq!((rows.lines().count(), ids.len()), (100_000, 100_000));
    let newest = sandbox.run("bstat", ["--no-header", "--sort", "-createdAt", "-o", "jobId"]).ok().stdout;
    assert!(newest.starts_with("00099999-"), "{}", newest.lines().next().unwrap_or_default());
}

#[story]
fn help_fits_a_terminal_of_any_width() {
    let sandbox = Sandbox::new();
    for columns in [20, 80, 160] {
        let seen = Terminal::new(columns).run(&sandbox, "bstat", ["--help"]).ok();
        assert!(seen.screen().contains("--status"), "{}", seen.screen());
    }
    let narrow = Terminal::new(40).run(&sandbox, "bstat", ["-h"]).ok();
    assert!(narrow.screen().lines().all(|line| line.chars().count() <= 40), "{}", narrow.screen());
    assert!(!narrow.written.contains('\u{1b}'), "{}", narrow.written);
    let colourful = Terminal::new(40).colour().run(&sandbox, "bstat", ["-h"]).ok();
    assert!(colourful.written.contains("\u{1b}["), "{}", colourful.written);
}

#[story]
fn a_watched_job_is_seen_to_its_end() {
    let sandbox = Sandbox::new();
    let go = sandbox.work().join("go");
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display());
    let id = sandbox.run("bsub", ["--parsable", "-J", "watched", "--wrap", &wait]).ok().job_id();
    let mut watched = Terminal::new(100).start(&sandbox, "bstat", ["-w", "0.2"]);
    watched.until("the job runs", |screen| screen.contains("watched") && screen.contains("RUNNING"));
    let mut piped = sandbox.start("bstat", ["-w", "0.2", "-o", "jobId,status", &id]);
    while piped.line().expect("a view") != format!("{id}  RUNNING") {}
    std::fs::write(&go, "").expect("the sign to go");
    let seen = watched.wait().ok();
    assert!(!seen.screen().contains("RUNNING"), "in place: {}", seen.screen());
    assert!(seen.written.starts_with("\u{1b}[2J\u{1b}[H"), "{:?}", seen.written);
    let views = piped.wait().ok().stdout;
    assert!(views.ends_with(&format!("{id}  SUCCEEDED\n")), "{views}");
    assert!(!views.contains('\u{1b}'), "{views:?}");
    // A time stands before each view.
    assert!(views.lines().step_by(3).all(|line| line.len() == 25 && line.contains('T')), "{views}");
}

#[story]
fn ctrl_c_ends_a_watch() {
    let server = BadServer::start(answer);
    let sandbox = Sandbox::at(&server.endpoint());
    let mut watched = Terminal::new(80).rows(5).start(&sandbox, "bstat", ["-w"]);
    let screen = watched.until("jobs", |screen| screen.contains("mpi") || screen.contains("RUNN"));
    assert!(screen.lines().count() <= 5, "it fits the screen: {screen}");
    watched.signal(Signal::SIGINT);
    watched.wait().ended_with(130);
}

#[story]
fn a_watch_outlasts_a_lost_network() {
    let server = BadServer::start(|request, before| match before {
        5..=9 => Answer::error(503, "ServerException", "come back later"),
        _ if before > 12 => Answer::json(json!({"jobSummaryList": []})),
        _ => answer(request, before),
    });
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.set("AWSB_CONTACT_TIMEOUT", "60");
    let views = sandbox.run("bstat", ["-w", "0.1", "-o", "jobName"]).ok();
    assert!(views.stdout.contains("align-the-reads"), "{views}");
}

#[story]
fn a_staged_script_comes_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let small = b"#!/bin/sh\n#SBATCH --job-name=x\necho 'two  blanks'\t\xff\nexit 0".to_vec();
    let noise: Vec<u8> =
        (0..40_000_u32).map(|n| b'a' + u8::try_from(n * n % 997 % 26).expect("a letter")).collect();
    let large = [b"#!/bin/sh\nexit 0\n# ".to_vec(), noise].concat();
    sandbox.file("small.sh", &small);
    sandbox.file("large.sh", &large);
    sandbox.file("input.txt", "an input");
    for (args, script) in [
        (&["small.sh"][..], &small),
        (&["-i", "input.txt", "small.sh", "an", "argument"], &small),
        (&["-a", "2", "small.sh"], &small),
        (&["large.sh"], &large),
    ] {
        let words = ["--parsable"].iter().chain(args);
        let id = sandbox.run("bsub", words).ok().job_id();
        let printed = sandbox.command("bstat", ["--script", &id]).output().expect("bstat");
        assert!(printed.stdout == *script, "{args:?}: {}", String::from_utf8_lossy(&printed.stdout));
        assert_eq!(printed.status.code(), Some(0), "{args:?}");
    }
    for args in [&["true"][..], &["-i", "input.txt", "sh", "-c", "cat input.txt"]] {
        let words = ["--parsable"].iter().chain(args);
        let id = sandbox.run("bsub", words).ok().job_id();
        let message = sandbox.run("bstat", ["--script", &id]).failed_with(1);
        assert!(message.starts_with("no script was staged for the job "), "{message}");
    }
}

#[story]
fn failed_children_are_found() {
    let sandbox = Sandbox::new();
    let script = "[ $((AWS_BATCH_JOB_ARRAY_INDEX % 5)) != 3 ]";
    let submitted = sandbox.run("bsub", ["-K", "--parsable", "-a", "10", "--wrap", script]).ended_with(1);
    let id = submitted.stdout.trim();
    let rows = sandbox.run("bstat", ["--failed", "--no-header", "-o", "jobId", id]).ok().stdout;
    assert_eq!(rows, format!("{id}\n{id}:3\n{id}:8\n"));
    let details = sandbox.run("bstat", ["-d", id]).ok().stdout;
    assert!(details.contains("failed 3      : FAILED; exit code 1"), "{details}");
    let failed = sandbox.run("bstat", ["--failed", "-e", "--no-header", "-o", "jobId"]).ok().stdout;
    assert_eq!(failed, rows, "the array has failed, too");
}

#[story]
fn an_array_of_thousands_comes_by_index() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["--parsable", "-a", "2500", "--wrap", "sleep 1000"]).ok().job_id();
    let rows = sandbox.run("bstat", ["-e", "--no-header", "-o", "jobId"]).ok().stdout;
    let children = (0..2500).map(|index| format!("{id}:{index}\n"));
    assert_eq!(rows, [format!("{id}\n")].into_iter().chain(children).collect::<String>());
    sandbox.run("bkill", [&id]).ok();
}

/// A queue with jobs in many states, whose listings have vCPUs. `named` jobs have a name in common.
fn busy_queue(named: usize) -> BadServer {
    BadServer::start(move |request, _| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let job = |n: usize| {
            json!({"jobId": format!("00000000-0000-4000-8000-{n:012}"), "jobName": format!("align-{n}"),
                   "status": "RUNNING", "createdAt": 1_000, "scheduledAt": 61_000, "startedAt": 66_000,
                   "isTerminated": n == 0, "capacityUsage": [{"capacityUnit": "VCPU", "quantity": 0.5}]})
        };
        assert_eq!(request.operation(), "listjobs");
        let jobs: Vec<Value> = match (asked["filters"][0]["values"][0].as_str(), asked["jobStatus"].as_str())
        {
            (Some("align-*"), None) | (None, Some("RUNNING")) => (0..named).map(job).collect(),
            (Some(_), _) => panic!("{asked}"),
            _ => Vec::new(),
        };
        let is_long = asked["filters"].is_array() && named > 100;
        let shown = if is_long { &jobs[..100] } else { &jobs[..] };
        Answer::json(json!({"jobSummaryList": shown, "nextToken": is_long.then_some("more")}))
    })
}

#[story]
fn a_listing_has_vcpus_and_times_and_who_was_asked_to_end() {
    let server = busy_queue(2);
    let sandbox = Sandbox::at(&server.endpoint());
    let columns = ["--no-header", "-o", "jobName,vcpus,waited,starting"];
    let table = sandbox.run("bstat", columns).ok().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["align-0", "0.5", "1:00", "0:05"], ["align-1", "0.5", "1:00", "0:05"]]);
    let screen = Terminal::new(120).run(&sandbox, "bstat", ["--no-header"]).ok().screen();
    let noted: Vec<bool> = screen.lines().take(2).map(|line| line.contains("asked to end")).collect();
    assert_eq!(noted, [true, false], "{screen}");
    let jobs = sandbox.run("bstat", ["--json"]).ok().json();
    assert_eq!((&jobs[0]["isTerminated"], &jobs[0]["isCancelled"]), (&json!(true), &json!(null)));
    assert_eq!(
        (&jobs[0]["scheduledAt"], &jobs[0]["capacityUsage"][0]["quantity"]),
        (&json!(61_000), &json!(0.5))
    );
}

#[story]
fn few_jobs_of_a_name_take_one_call_and_many_are_listed_by_state() {
    for (named, name, calls) in [(2, "align-*", 1), (100, "align-*", 1), (150, "align-*", 6), (2, "*-1", 5)] {
        let server = busy_queue(named);
        let shown = Sandbox::at(&server.endpoint()).run("bstat", ["--no-header", "--name", name]).ok().stdout;
        assert_eq!(shown.lines().count(), if name == "*-1" { 1 } else { named }, "{shown}");
        assert_eq!(server.requests("listjobs").len(), calls, "{named} {name}");
    }
    // A single state is one call as it is.
    let server = busy_queue(2);
    Sandbox::at(&server.endpoint()).run("bstat", ["-s", "RUNNING", "--name", "align-*"]).ok();
    assert_eq!(server.requests("listjobs").len(), 1);
}
