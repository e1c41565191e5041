//! Answers that are not what was asked for: web pages, refusals, clocks that are wrong, credentials
//! that have run out. Every tool says what is the matter and what to do next.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use awsb_testkit::{Answer, BadServer, Outcome, Request, Sandbox, story};

const ID: &str = "0f0e1d2c-3b4a-4958-8776-655443322110";

/// The command lines that read or steer jobs.
const TOOLS: [&[&str]; 5] = [&["bstat"], &["bstat", ID], &["bout", ID], &["bkill", ID], &["bwait", ID]];

fn job(status: &str) -> Answer {
    Answer::json(json!({ "jobs": [{
        "jobId": ID, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": status,
        "startedAt": 1_700_000_000_000_i64, "container": { "logStreamName": "d/default/1" },
    }]}))
}

/// Runs every tool against a server that answers thus, and once more `bout` where CloudWatch Logs
/// alone does.
fn outcomes(answer: &Answer) -> Vec<Outcome> {
    let all = answer.clone();
    let server = BadServer::start(move |_, _| all.clone());
    let sandbox = Sandbox::at(&server.endpoint());
    let mut outcomes: Vec<Outcome> = TOOLS.iter().map(|line| sandbox.run(line[0], &line[1..])).collect();
    let of_logs = answer.clone();
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobs" => job("RUNNING"),
        _ => of_logs.clone(),
    });
    outcomes.push(Sandbox::at(&server.endpoint()).run("bout", [ID]));
    outcomes
}

fn page(status: u16, html: &str) -> Answer {
    Answer::Http(status, html.into(), vec![("content-type", "text/html; charset=utf-8".into())])
}

#[story]
fn a_web_page_is_said_to_be_one() {
    const LOGIN: &str =
        "<!DOCTYPE html>\n<html><head><TITLE>\n Hotel\u{1b}[31m Guest  Wi-Fi </TITLE></head></html>";
    for (answer, says) in [
        (page(200, LOGIN), "(HTTP status 200, titled `Hotel [31m Guest Wi-Fi`)"),
        (page(403, LOGIN), "(HTTP status 403, titled `Hotel [31m Guest Wi-Fi`)"),
        (page(404, "<html>Not Found</html>"), "(HTTP status 404)"),
        (
            page(502, "<html><head><title>502 Bad Gateway</title>"),
            "(HTTP status 502, titled `502 Bad Gateway`)",
        ),
        (Answer::Http(200, "\n<html><body>".into(), Vec::new()), "(HTTP status 200)"),
    ] {
        for outcome in outcomes(&answer) {
            let message = outcome.failed_with(1);
            assert!(
                message.contains(&format!("answered with a web page {says}, not as AWS would")),
                "{outcome}"
            );
            assert!(outcome.hints().contains("a proxy or the login page of this network"), "{outcome}");
        }
    }
}

/// The success of a PUT is its status alone. A bundle that went to a login page is nowhere.
#[story]
fn a_bundle_that_a_web_page_answers_is_not_stored() {
    for (status, html) in [(200, "<!DOCTYPE html><title>Guests</title>"), (201, "<html>")] {
        let server = BadServer::start(move |request, _| match (request.service.as_str(), &*request.method) {
            // A static page has a checksum, too.
            ("s3", "PUT") => {
                let headers = [("content-type", "text/html"), ("etag", "\"5c\"")];
                Answer::Http(status, html.into(), headers.map(|(name, value)| (name, value.into())).to_vec())
            }
            ("s3", _) => Answer::s3_error(404, "NoSuchKey", "no"),
            _ => Answer::error(500, "InternalError", "never"),
        });
        let sandbox = Sandbox::at(&server.endpoint());
        sandbox.file("input", "x".repeat(100_000));
        let outcome = sandbox.run("bsub", ["-i", "input", "--wrap", "cat input"]);
        assert!(outcome.failed_with(1).contains("answered with a web page"), "{outcome}");
        assert!(server.requests("submitjob").is_empty(), "{outcome}");
    }
}

/// Answers that say success, and are not those of a service.
fn other_answers() -> [(Answer, &'static str); 5] {
    let text = |content_type: &str, body: &str| {
        Answer::Http(200, body.into(), vec![("content-type", content_type.into())])
    };
    [
        (text("text/plain", "ok\n\u{1b}[31m!"), "(HTTP status 200, text: `ok [31m!`)"),
        (text("application/json", "null"), "(HTTP status 200, text: `null`)"),
        (text("application/json", "[]"), "(HTTP status 200, text: `[]`)"),
        (text("application/json", ""), "(HTTP status 200, without a text)"),
        (Answer::Http(204, String::new(), Vec::new()), "(HTTP status 204, without a text)"),
    ]
}

#[story]
fn a_success_that_is_not_the_services_is_an_error() {
    for (answer, says) in other_answers() {
        for outcome in outcomes(&answer) {
            let message = outcome.failed_with(1);
            assert!(message.contains(&format!("answered not as AWS would {says}")), "{outcome}");
            assert!(outcome.hints().contains("a proxy, the login page of this network"), "{outcome}");
        }
    }
}

/// The answers of these operations have no content, or one that may be missing.
#[story]
fn nothing_is_done_by_an_answer_that_is_not_the_services() {
    for (answer, says) in other_answers() {
        let is_not_done = |outcome: &Outcome| {
            assert!(outcome.failed_with(1).contains(says), "{outcome}");
        };
        for unasked in ["", "terminatejobs"] {
            let other = answer.clone();
            let server = BadServer::start(move |request, _| match request.operation() {
                "describejobs" => job("RUNNING"),
                operation if operation == unasked => Answer::error(404, "UnknownOperationException", ""),
                _ => other.clone(),
            });
            let mut sandbox = Sandbox::at(&server.endpoint());
            // Calls are repeated for as long.
            sandbox.set("AWSB_CONTACT_TIMEOUT", "1");
            is_not_done(&sandbox.run("bkill", [ID]));
        }
        let other = answer.clone();
        let server = BadServer::start(move |request, _| match (&*request.service, &*request.method) {
            ("s3", "PUT") => other.clone(),
            ("s3", _) => Answer::s3_error(404, "NoSuchKey", "no"),
            _ => Answer::error(500, "InternalError", "never"),
        });
        let sandbox = Sandbox::at(&server.endpoint());
        sandbox.file("input", "x".repeat(100_000));
        is_not_done(&sandbox.run("bsub", ["-i", "input", "--wrap", "cat input"]));
        assert!(server.requests("submitjob").is_empty(), "{answer:?}");
    }
}

#[story]
fn what_is_no_id_is_not_printed_as_that_of_a_job() {
    for (id, shown) in [("x\u{1b}[31mRED\n", "x [31mRED"), ("--help", "--help"), ("a b", "a b"), ("é", "é")]
    {
        let server = BadServer::start(move |request, _| match request.operation() {
            "submitjob" => Answer::json(json!({ "jobId": id, "jobName": "true", "jobArn": "arn" })),
            // A listing that has such a job does not help either.
            "listjobs" => Answer::json(json!({ "jobSummaryList": [{ "jobId": id, "jobName": "true" }] })),
            _ => Answer::json(json!({})),
        });
        let mut sandbox = Sandbox::at(&server.endpoint());
        sandbox.set("AWSB_SUBMIT_SETTLE", "0.3");
        let outcome = sandbox.run("bsub", ["--parsable", "--submit-timeout", "1s", "true"]);
        let message = outcome.failed_with(1);
        let why = format!("the answer names no job: `{shown}` is not the ID of one");
        assert!(message.contains(&why), "{outcome}");
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome}");
        let sent: serde_json::Value =
            serde_json::from_slice(&server.requests("submitjob")[0].body).expect("JSON");
        let variables = sent["containerOverrides"]["environment"].as_array().expect("variables");
        let mark = variables.iter().find(|of| of["name"] == "AWSB_SUBMISSION").expect("a mark");
        let mark = mark["value"].as_str().expect("a text");
        assert!(outcome.hints().contains(&format!("AWSB_SUBMISSION={mark}")), "{outcome}");
        let history = Path::new(sandbox.get("XDG_STATE_HOME").expect("a folder")).join("awsb/jobs");
        assert!(!history.exists(), "nothing is recorded");
    }
}

#[story]
fn the_doctor_finds_nothing_in_order_where_no_service_answers() {
    for (answer, _) in other_answers() {
        let server = BadServer::start(move |_, _| answer.clone());
        let outcome = Sandbox::at(&server.endpoint()).run("awsb", ["doctor", "--json"]);
        let findings = outcome.json();
        let of_cluster = ["credentials", "bucket", "queue", "definition", "log group"];
        let states = findings.as_array().expect("a list").iter().filter_map(|finding| {
            let check = finding["check"].as_str().filter(|check| of_cluster.contains(check))?;
            Some((check, finding["state"].as_str()?))
        });
        let states: Vec<_> = states.collect();
        assert!(states.len() >= of_cluster.len(), "{outcome}");
        assert!(states.iter().all(|(_, state)| *state != "ok"), "{outcome}");
    }
}

#[story]
fn a_redirect_is_said_to_be_one_and_where_it_leads() {
    let headers = vec![
        ("location", "http://login.example.org/".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    for status in [301, 302] {
        for outcome in outcomes(&Answer::Http(status, "{}".into(), headers.clone())) {
            let says = format!("a redirect to http://login.example.org/ (HTTP status {status})");
            assert!(outcome.failed_with(1).contains(&says), "{outcome}");
            assert!(outcome.hints().contains("a proxy or the login page of this network"), "{outcome}");
        }
    }
}

#[story]
fn a_message_without_end_is_cut() {
    for outcome in outcomes(&Answer::error(403, "AccessDeniedException", &"A".repeat(3_000_000))) {
        let message = outcome.failed_with(1);
        assert!(message.len() < 4096 && message.contains("more)"), "{} bytes", message.len());
    }
}

/// A list of S3, and the error in place of an object, are read into memory.
#[story]
fn an_answer_without_end_is_not_read_to_the_end() {
    let head =
        |status: &str| format!("HTTP/1.1 {status}\r\nx-amz-request-id: 1\r\nconnection: close\r\n\r\n<A>");
    let list = format!(
        "<ListBucketResult><Contents><Key>awsb/outputs/{ID}/x</Key><Size>1</Size></Contents></ListBucketResult>"
    );
    for has_list in [false, true] {
        let list = Answer::Http(200, list.clone(), vec![("content-type", "application/xml".into())]);
        let server = BadServer::start(move |request, _| match &*request.service {
            "s3" if !request.target.contains("list-type=2") => Answer::Endless(head("403 No").into()),
            "s3" if has_list => list.clone(),
            "s3" => Answer::Endless(head("200 Yes").into()),
            _ => job("SUCCEEDED"),
        });
        let outcome = Sandbox::at(&server.endpoint()).run("bout", ["--files", ID, "-d", "got"]);
        let says = if has_list { "fetching s3://b/awsb/outputs/" } else { "listing s3://b" };
        let message = outcome.failed_with(1);
        assert!(message.contains(says) && message.contains("(it is longer than 64 MiB)"), "{outcome}");
    }
}

/// An object is streamed: the limit of answers is none of it.
#[story]
fn an_object_may_be_longer_than_an_answer() {
    let length = (64 << 20) + 1;
    let list = format!(
        "<ListBucketResult><Contents><Key>awsb/outputs/{ID}/x</Key><Size>{length}</Size></Contents></ListBucketResult>"
    );
    let object = " ".repeat(length);
    let server = BadServer::start(move |request, _| match &*request.service {
        "s3" if request.target.contains("list-type=2") => {
            Answer::Http(200, list.clone(), vec![("content-type", "application/xml".into())])
        }
        "s3" => Answer::Http(200, object.clone(), vec![("etag", "\"5c\"".into())]),
        _ => job("SUCCEEDED"),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    sandbox.run("bout", ["--files", ID, "-d", "got"]).ok();
    assert_eq!(std::fs::metadata(sandbox.work().join("got/x")).expect("a file").len(), length as u64);
}

/// A server need not say before how long an object is.
#[story]
fn a_bundle_without_end_is_not_read_to_the_end() {
    let of = |bundle: Answer| {
        let key = format!("s3://b/awsb/bundles/{}.tar.gz", "0".repeat(64));
        let described = json!({ "jobs": [{
            "jobId": ID, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": "SUCCEEDED", "startedAt": 0,
            "container": { "environment": [{ "name": "AWSB_BUNDLE", "value": key }] },
        }]});
        let server = BadServer::start(move |request, _| match &*request.service {
            "s3" => bundle.clone(),
            _ => Answer::json(described.clone()),
        });
        Sandbox::at(&server.endpoint()).run("bstat", ["--script", ID])
    };
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\netag: \"5c\"\r\nconnection: close\r\n{more}\r\n");
    let long = Answer::Raw(head("content-length: 268435457\r\n").into());
    for bundle in [long, Answer::Endless(head("").into())] {
        let outcome = of(bundle);
        assert!(outcome.failed_with(1).ends_with(".tar.gz: it is too large for a bundle"), "{outcome}");
    }
    let outcome = of(Answer::Raw(head("content-length: 5\r\n").into()));
    assert!(outcome.failed_with(1).contains(".tar.gz: the transfer broke off: "), "{outcome}");
    let outcome = of(Answer::Raw((head("") + "short").into()));
    assert!(outcome.failed_with(1).contains(".tar.gz: it is damaged: "), "{outcome}");
}

#[story]
fn an_answer_that_cannot_be_read_is_an_answer() {
    let numbers = json!({ "jobs": [{
        "jobId": ID, "jobName": "n", "jobQueue": "q", "jobDefinition": "d", "status": "RUNNING", "startedAt": 0,
        "container": { "exitCode": 3_000_000_000_i64 },
    }]});
    let server = BadServer::start(move |_, _| Answer::json(numbers.clone()));
    let outcome = Sandbox::at(&server.endpoint()).run("bstat", ["--json", ID]);
    let message = outcome.failed_with(1);
    assert!(message.contains("answered, and its answer cannot be read"), "{outcome}");
    assert!(!message.contains("no answer"), "{outcome}");
    assert!(outcome.hints().contains("`--debug`") && !outcome.hints().contains("network"), "{outcome}");
}

#[story]
fn pages_that_never_end_are_an_error() {
    let server = BadServer::start(|_, _| Answer::json(json!({"jobSummaryList": [], "nextToken": "same"})));
    let outcome = Sandbox::at(&server.endpoint()).run("bstat", [] as [&str; 0]);
    assert!(outcome.failed_with(1).contains("the same page again and again"), "{outcome}");
}

#[story]
fn no_listing_is_cut_where_a_token_comes_again() {
    let server = BadServer::start(|request, _| match (&*request.service, request.operation()) {
        ("s3", _) => {
            let list = "<ListBucketResult><IsTruncated>true</IsTruncated>\
                        <NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
            Answer::Http(200, list.into(), vec![("content-type", "application/xml".into())])
        }
        (_, "describejobs") => job("SUCCEEDED"),
        _ => Answer::json(json!({
            "jobQueues": [], "computeEnvironments": [], "consumableResources": [], "nextToken": "t",
        })),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    for (words, doing) in [
        (&["bout", "--files", ID][..], "listing s3://b/awsb/outputs/"),
        (&["bqueues", "--all-queues"], "asking for the job queues"),
        (&["bqueues", "--resources"], "listing the consumable resources"),
    ] {
        let outcome = sandbox.run(words[0], &words[1..]);
        let message = outcome.failed_with(1);
        assert!(message.contains(doing) && message.contains("the same page again and again"), "{outcome}");
    }
}

#[story]
fn no_number_is_too_large_to_reckon_with() {
    let server = BadServer::start(|request, _| match request.operation() {
        "listconsumableresources" => Answer::json(json!({ "consumableResources": [{
            "consumableResourceName": "lic", "totalQuantity": 1_i64 << 62, "inUseQuantity": -1_i64 << 62,
        }]})),
        _ => Answer::json(json!({ "jobs": [] })),
    });
    let resources =
        Sandbox::at(&server.endpoint()).run("bqueues", ["--resources", "-a", "--json"]).ok().json();
    assert_eq!(resources[0]["availableQuantity"], i64::MAX, "{resources}");
}

/// CloudWatch Logs says by such a token that there is nothing behind its lines.
#[story]
fn output_ends_where_the_token_comes_back() {
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobs" => job("SUCCEEDED"),
        _ => Answer::json(json!({
            "events": [{ "timestamp": 1_700_000_000_001_i64, "message": "a line" }],
            "nextForwardToken": "f/1", "nextBackwardToken": "b/1",
        })),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    for words in [&[ID][..], &["--tail", "9", ID]] {
        let outcome = sandbox.start("bout", words).wait_for(Duration::from_secs(30)).ok();
        assert_eq!(outcome.stdout, "a line\na line\n", "{outcome}");
    }
}

#[story]
fn an_id_that_is_none_is_not_ended() {
    let server = BadServer::start(|request, _| match request.operation() {
        "listjobs" => Answer::json(json!({
            "jobSummaryList": [{ "jobId": "", "jobName": "j", "status": "RUNNING" }],
        })),
        _ => Answer::json(json!({})),
    });
    let outcome = Sandbox::at(&server.endpoint()).run("bkill", ["--name", "j*", "-y"]);
    assert!(
        outcome.failed_with(1).contains("its answer cannot be read (`` is not the ID of a job)"),
        "{outcome}"
    );
    assert!(server.requests("terminatejob").is_empty(), "{outcome}");
}

#[story]
fn who_ends_jobs_is_told_why_it_takes_long() {
    let throttled = Answer::error(429, "TooManyRequestsException", "slower");
    for (answer, why) in
        [(other_answers()[0].0.clone(), "answered not as AWS would"), (throttled, "TooManyRequestsException")]
    {
        let server = BadServer::start(move |request, _| match request.operation() {
            "describejobs" => job("RUNNING"),
            _ => answer.clone(),
        });
        let mut sandbox = Sandbox::at(&server.endpoint());
        // A pause has up to 4.8 seconds. Before the note, there may be 1.5 seconds and a pause, and
        // a call that cannot be made again within the limit is not worth one.
        sandbox.set("AWSB_CONTACT_TIMEOUT", "16");
        let outcome = sandbox.run("bkill", [ID]);
        assert!(outcome.failed_with(1).contains(why), "{outcome}");
        let notes: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("trying again")).collect();
        let says = format!("bkill: trying again: ending the job {ID}: ");
        assert!(notes.len() == 1 && notes[0].starts_with(&says) && notes[0].contains(why), "{outcome}");
    }
}

#[story]
fn which_permission_is_missing_and_on_what() {
    let message = "User: arn:aws:sts::1:assumed-role/r/me is not authorized to perform: batch:ListJobs on resource: \
                   arn:aws:batch:eu-west-1:1:* because no identity-based policy allows the batch:ListJobs action";
    for outcome in outcomes(&Answer::error(403, "AccessDeniedException", message)) {
        let message = outcome.failed_with(1);
        let says = "AccessDeniedException: arn:aws:sts::1:assumed-role/r/me has no permission for batch:ListJobs on \
                    arn:aws:batch:eu-west-1:1:*: no identity-based policy allows the batch:ListJobs action";
        assert!(message.ends_with(says), "{outcome}");
        assert!(outcome.hints().contains("docs/iam.md"), "{outcome}");
    }
    // In other words, AWS's own are shown.
    for outcome in outcomes(&Answer::error(403, "AccessDeniedException", "Go away.")) {
        assert!(outcome.failed_with(1).ends_with("AccessDeniedException: Go away."), "{outcome}");
        assert!(outcome.hints().contains("aws sts get-caller-identity"), "{outcome}");
    }
}

/// A time as HTTP's `Date` has it, so many seconds before or after now.
fn date(offset: i64) -> String {
    let now = jiff::Timestamp::try_from(SystemTime::now()).expect("a time");
    let at = now + jiff::SignedDuration::from_secs(offset);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[story]
fn a_wrong_clock_is_said_to_be_wrong_and_by_how_much() {
    let expired = "Signature expired: 20261121T200000Z is now earlier than 20261121T201000Z (20261121T201500Z - 5 min.)";
    let early = "Signature not yet current: 20261121T203000Z is still later than 20261121T201500Z";
    for (code, message, offset, says) in [
        ("InvalidSignatureException", early, -20 * 60, "this machine's clock is 20 minutes ahead of that of"),
        ("SignatureDoesNotMatch", expired, 3 * 3600 + 60, "this machine's clock is 3 hours behind that of"),
        ("RequestTimeTooSkewed", "The difference is too large", -90 * 86_400, "is 90 days ahead of that of"),
        ("RequestExpired", "Request has expired", 0, "refuses the time at which the request was signed"),
    ] {
        let Answer::Http(status, body, mut headers) = Answer::error(403, code, message) else { return };
        headers.push(("date", date(offset)));
        for outcome in outcomes(&Answer::Http(status, body, headers)) {
            let text = outcome.failed_with(1);
            assert!(text.contains(code) && text.contains(says), "{says}: {outcome}");
            assert!(outcome.hints().contains("set this machine's clock"), "{outcome}");
        }
    }
    // A key that is wrong is no clock.
    let wrong = "The request signature we calculated does not match the signature you provided.";
    for outcome in outcomes(&Answer::error(403, "InvalidSignatureException", wrong)) {
        assert!(outcome.failed_with(1).contains("does not match"), "{outcome}");
        assert!(!outcome.hints().contains("clock"), "{outcome}");
    }
}

fn with_key(key: &str) -> String {
    format!("[lab]\naws_access_key_id = {key}\naws_secret_access_key = secret\naws_session_token = token\n")
}

fn has_key(request: &Request, key: &str) -> bool {
    request.header("authorization").is_some_and(|value| value.contains(&format!("Credential={key}/")))
}

/// A sandbox whose credentials come from a file, and a server at its cluster that is told the path
/// of that file.
fn with_old_credentials(
    answer: impl Fn(&Request, usize, &Path) -> Answer + Send + Sync + 'static,
) -> (Sandbox, BadServer) {
    let mut sandbox = Sandbox::new();
    let file = sandbox.file("../home/.aws/credentials", with_key("ASIAOLD"));
    let server = BadServer::start(move |request, before| answer(request, before, &file));
    sandbox.config(&format!(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nprofile = \"lab\"\n\
         endpoint_url = \"{}\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
        server.endpoint()
    ));
    sandbox.set("AWSB_CONTACT_TIMEOUT", "60");
    (sandbox, server)
}

fn run_out() -> Answer {
    Answer::error(403, "ExpiredTokenException", "The security token included in the request is expired")
}

#[story]
fn credentials_that_run_out_are_read_anew() {
    for words in [&["bwait", ID][..], &["bout", "-f", ID]] {
        let (sandbox, server) =
            with_old_credentials(|request, before, _| match (request.operation(), before) {
                ("describejobs", 0..=1) => job("RUNNING"),
                _ if !has_key(request, "ASIANEW") => run_out(),
                ("describejobs", _) => job("SUCCEEDED"),
                _ => Answer::json(json!({ "events": [], "nextForwardToken": "f/1" })),
            });
        let waiting = sandbox.start(words[0], &words[1..]);
        awsb_testkit::eventually("credentials that have run out", Duration::from_secs(60), || {
            (server.requests("describejobs").len() + server.requests("logs").len() > 5).then_some(())
        });
        sandbox.file("../home/.aws/credentials", with_key("ASIANEW"));
        let outcome = waiting.wait().ok();
        assert_eq!(outcome.stderr.matches("contact lost").count(), 1, "{outcome}");
        assert!(outcome.hints().contains("`aws configure --profile lab` sets others"), "{outcome}");
    }
}

#[story]
fn credentials_that_were_renewed_in_time_are_not_spoken_of() {
    for words in [&["bwait", ID][..], &["bkill", ID]] {
        let (sandbox, server) =
            with_old_credentials(|request, before, file| match (request.operation(), before) {
                ("describejobs", 0) => job("RUNNING"),
                _ if has_key(request, "ASIANEW") => job("SUCCEEDED"),
                _ => {
                    std::fs::write(file, with_key("ASIANEW")).expect("new credentials");
                    run_out()
                }
            });
        let outcome = sandbox.run(words[0], &words[1..]).ok();
        assert_eq!(outcome.stderr, "");
        assert_eq!(server.requests("terminatejob").len(), if words[0] == "bkill" { 2 } else { 0 });
    }
}
