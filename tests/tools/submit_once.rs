//! Never twice, never lost: what `bsub` submits is there exactly once, whatever the network and
//! Batch do; and `--once KEY` is one piece of work, however often and from wherever it is
//! submitted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use awsb_testkit::{Answer, BadServer, Chaos, LossyProxy, Outcome, Sandbox, Weather, eventually, story};

/// Submissions of the great test. That nothing is there twice is tested by the protocol's own
/// schedules, which are many more; here it is seen that the program does what the protocol says.
const SUBMISSIONS: usize = 300;
/// How many `bsub` run at a time.
const AT_A_TIME: usize = 24;

/// The settle time in [`Weather::STORM`], in seconds: jobs are later than that, and not later than
/// twice that. How busy the machine is does not matter: the server counts from the request, and
/// `bsub` from the reply.
fn settle() -> String {
    (Weather::STORM.late_within / 2).as_secs_f64().to_string()
}

fn sandbox(endpoint: &str, settle: &str) -> Sandbox {
    let mut sandbox = Sandbox::at(endpoint);
    sandbox.set("AWSB_SUBMIT_SETTLE", settle);
    sandbox
}

/// The IDs of the jobs that are alive, by mark.
fn alive_by_mark(chaos: &Chaos) -> HashMap<String, Vec<String>> {
    let mut marks: HashMap<String, Vec<String>> = HashMap::new();
    for job in chaos.jobs() {
        let alive = marks.entry(job.mark.clone()).or_default();
        if job.is_alive() {
            alive.push(job.id);
        }
    }
    marks
}

fn alive(chaos: &Chaos) -> Vec<String> {
    chaos.jobs().into_iter().filter(awsb_testkit::ChaosJob::is_alive).map(|job| job.id).collect()
}

/// Runs `bsub` so many times, some at a time, and returns how each ended.
fn submissions(
    sandbox: &Sandbox,
    how_many: usize,
    line: impl Fn(usize) -> Vec<String> + Sync,
) -> Vec<Outcome> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let outcomes = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(how_many) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if n >= how_many {
                        break;
                    }
                    let outcome = sandbox.quick_run("bsub", line(n));
                    outcomes.lock().expect("no thread panicked with it").push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("no thread panicked with it")
}

#[story]
fn hundreds_of_submissions_in_a_storm_none_lost_and_none_doubled() {
    let seed = std::env::var("AWSB_CHAOS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_260_131);
    let how_many = std::env::var("AWSB_CHAOS_RUNS").ok().and_then(|s| s.parse().ok()).unwrap_or(SUBMISSIONS);
    let chaos = Chaos::start(seed, Weather::STORM);
    let sandbox = sandbox(&chaos.endpoint(), &settle());
    let begun = Instant::now();
    // Names are shared, as they are where scripts submit.
    let outcomes = submissions(&sandbox, how_many, |n| {
        ["--parsable", "-J", &format!("name-{}", n % 7), "true"].map(str::to_owned).to_vec()
    });
    let marks = alive_by_mark(&chaos);
    let jobs = chaos.jobs();
    let doubled_on_the_way = jobs.len() - marks.len();
    println!(
        "{how_many} submissions in {:?}: {} SubmitJob requests, {} jobs, {doubled_on_the_way} doubles ended (seed {seed})",
        begun.elapsed(),
        chaos.requests("submitjob").len(),
        jobs.len(),
    );

    let alive = alive(&chaos);
    for outcome in &outcomes {
        let id = outcome.clone().ok().job_id();
        assert!(alive.contains(&id), "lost: {id} is no living job\n{outcome}");
    }
    let doubled: Vec<_> = marks.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(doubled.is_empty(), "these marks have not one job (seed {seed}): {doubled:?}");
    assert_eq!(alive.len(), how_many);
    let notes: usize = outcomes.iter().map(|outcome| outcome.stderr.matches("bsub: note: ").count()).sum();
    assert_eq!(notes, doubled_on_the_way, "each double that was ended is told");
}

#[story]
fn a_lost_reply_is_found_by_its_mark_and_nothing_is_sent_again() {
    let weather = Weather { reply_lost: 1000, ..Weather::FAIR };
    let chaos = Chaos::start(1, weather);
    let sandbox = sandbox(&chaos.endpoint(), "15");
    let begun = Instant::now();
    let outcome = sandbox.run("bsub", ["--parsable", "true"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody waits for what is there: {outcome}");
    assert_eq!(alive(&chaos), [outcome.job_id()]);
    assert_eq!(chaos.requests("submitjob").len(), 1);
    assert_eq!(outcome.stderr, "");
}

#[story]
fn a_late_action_is_a_double_of_which_the_younger_is_ended_and_said_to_be() {
    // Nothing is there when the settle time has passed; then both jobs are.
    let marks = std::sync::Mutex::new(Vec::<String>::new());
    let (first, second) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let server = BadServer::start(move |request, before| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut marks = marks.lock().unwrap();
        match (request.operation(), before) {
            ("submitjob", _) => {
                let environment = body["containerOverrides"]["environment"].as_array().unwrap();
                let mark = environment.iter().find(|v| v["name"] == "AWSB_SUBMISSION").unwrap();
                marks.push(mark["value"].as_str().unwrap().to_owned());
                match before {
                    0 => Answer::Reset,
                    _ => Answer::json(json!({ "jobId": second, "jobName": "true", "jobArn": "a" })),
                }
            }
            ("listjobs", _) if marks.len() < 2 => Answer::json(json!({ "jobSummaryList": [] })),
            ("listjobs", _) => Answer::json(json!({ "jobSummaryList": [
                { "jobId": second, "jobName": "true" }, { "jobId": first, "jobName": "true" },
            ]})),
            ("describejobs", _) => {
                let job = |id: &str, created_at: i64| {
                    json!({ "jobId": id, "jobName": "true", "jobQueue": "q", "jobDefinition": "d", "startedAt": 1,
                        "status": "RUNNABLE", "createdAt": created_at,
                        "container": { "environment": [{ "name": "AWSB_SUBMISSION", "value": marks[0] }] } })
                };
                assert_eq!(marks[0], marks[1], "both tries carry the same mark");
                Answer::json(json!({ "jobs": [job(first, 1), job(second, 2)] }))
            }
            _ => Answer::json(json!({})),
        }
    });
    let outcome = sandbox(&server.endpoint(), "0.3").run("bsub", ["--parsable", "true"]).ok();
    assert_eq!(outcome.stdout, format!("{first}\n"), "the older is kept");
    assert!(outcome.stderr.starts_with("bsub: note: ") && outcome.stderr.contains(second), "{outcome}");
    let ended = server.requests("terminatejob");
    let ended: Vec<String> = ended.iter().map(|r| String::from_utf8_lossy(&r.body).into_owned()).collect();
    assert!(matches!(ended.as_slice(), [body] if body.contains(second)), "{ended:?}");
}

#[story]
fn when_nobody_can_tell_whether_the_job_exists_it_is_not_sent_again_and_the_mark_is_said() {
    let server = BadServer::start(|_, _| Answer::Reset);
    let outcome = sandbox(&server.endpoint(), "0.3").run("bsub", ["-J", "precious", "true"]);
    let message = outcome.failed_with(1);
    assert!(message.contains("whether the job precious exists is not known"), "{outcome}");
    assert_eq!(server.requests("submitjob").len(), 1);
    let request: Value = serde_json::from_slice(&server.requests("submitjob")[0].body).unwrap();
    let environment = request["containerOverrides"]["environment"].as_array().unwrap();
    let variable = environment.iter().find(|v| v["name"] == "AWSB_SUBMISSION").unwrap();
    let mark = format!("AWSB_SUBMISSION={}", variable["value"].as_str().unwrap());
    assert!(outcome.hints().contains(&mark), "{outcome}");
    assert!(outcome.hints().contains("aws batch list-jobs --job-queue q"), "{outcome}");
}

#[story]
fn a_batch_that_is_busy_is_tried_until_the_submit_timeout() {
    let chaos = Chaos::start(2, Weather { throttled: 1000, ..Weather::FAIR });
    for endpoint in [chaos.endpoint(), BadServer::closed_port()] {
        let begun = Instant::now();
        let outcome = sandbox(&endpoint, "0.3").run("bsub", ["--submit-timeout", "2", "true"]);
        assert!(outcome.failed_with(1).contains("no job was submitted"), "{outcome}");
        assert!(outcome.hints().contains("--submit-timeout"), "{outcome}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{outcome}");
    }
    assert!(chaos.requests("submitjob").len() > 1);
}

#[story]
fn after_a_try_that_got_no_answer_nobody_says_that_there_is_no_job() {
    for end in ["refused", "busy", "no answer"] {
        for key in [&[][..], &["--once", "k"]] {
            let server = BadServer::start(move |request, before| match (request.operation(), before) {
                ("submitjob", 0) => Answer::Reset,
                ("submitjob", _) => match end {
                    "refused" => Answer::error(400, "ClientException", "Invalid share identifier"),
                    "busy" => Answer::error(429, "TooManyRequestsException", "Too Many Requests"),
                    _ => Answer::Reset,
                },
                ("listjobs", _) => Answer::json(json!({ "jobSummaryList": [] })),
                _ => Answer::stored(),
            });
            // Time enough for a second try on a busy machine; a refusal ends it before.
            let timeout = if end == "refused" { "30" } else { "3" };
            let line = [&["-J", "precious", "--submit-timeout", timeout], key, &["true"]].concat();
            let outcome = sandbox(&server.endpoint(), "0.3").run("bsub", line);
            let message = outcome.failed_with(1);
            assert!(message.contains("no job with its mark has shown within 0.6 s"), "{end}: {outcome}");
            assert!(!message.contains("no job was submitted"), "{end}: {outcome}");
            assert!(!message.contains("there is none"), "{end}: {outcome}");
            assert!(outcome.hints().contains("AWSB_SUBMISSION="), "{end}: {outcome}");
            assert!(server.requests("submitjob").len() > 1, "{end}: {outcome}");
            // The key stays taken: a job may show yet.
            let records = server.requests("s3").into_iter().filter(|request| request.method == "PUT");
            for record in records {
                let record: Value = serde_json::from_slice(&record.body).unwrap();
                assert_eq!(record["jobs"].as_array().map(Vec::len), Some(1), "{end}: {record}");
            }
        }
    }
}

#[story]
fn ctrl_c_says_what_is_known() {
    // No answer: it is open. Turned away: there is no job.
    let silent = BadServer::start(|_, _| Answer::Hang);
    let patient = sandbox(&silent.endpoint(), "15");
    let running = patient.start("bsub", ["-J", "precious", "true"]);
    eventually("it is sent", Duration::from_secs(30), || silent.requests("submitjob").first().map(drop));
    running.signal(Signal::SIGINT);
    let outcome = running.wait();
    assert!(outcome.failed_with(130).contains("whether the job precious exists is not known"), "{outcome}");
    assert!(outcome.hints().contains("AWSB_SUBMISSION="), "{outcome}");

    let chaos = Chaos::start(3, Weather { throttled: 1000, ..Weather::FAIR });
    let patient = sandbox(&chaos.endpoint(), "15");
    let running = patient.start("bsub", ["-J", "precious", "true"]);
    eventually("it is turned away twice", Duration::from_secs(30), || {
        chaos.requests("submitjob").get(1).map(drop)
    });
    running.signal(Signal::SIGINT);
    let outcome = running.wait();
    let message = outcome.failed_with(130);
    // Another request may just be on its way.
    assert!(
        message.contains("precious has not been submitted")
            || message.contains("precious exists is not known"),
        "{outcome}"
    );
}

#[story]
fn the_local_cluster_behind_a_wire_that_loses_replies_has_each_job_once() {
    let mut sandbox = Sandbox::new();
    let mut proxy = None;
    sandbox.reach_local_cluster_at(|server| proxy.insert(LossyProxy::start(server, 3)).endpoint());
    let mut ids: Vec<String> = submissions(&sandbox, 30, |n| {
        let line = ["-c", "wire", "--parsable", "-J", if n % 2 == 0 { "even" } else { "odd" }, "true"];
        line.map(str::to_owned).to_vec()
    })
    .into_iter()
    .map(|outcome| outcome.ok().job_id())
    .collect();
    assert_eq!(proxy.as_ref().map_or(0, LossyProxy::lost), 10);
    let listed = sandbox.run("bstat", ["-c", "local", "--json", "-s", "ALL"]).ok().json();
    let mut there: Vec<String> =
        listed.as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    there.sort();
    assert_eq!(ids, there);
}

#[story]
fn a_local_server_that_dies_again_and_again_loses_and_doubles_no_job_of_a_key() {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWSB_SUBMIT_SETTLE", "0.5");
    let start = |n: usize| {
        let (key, name) = (format!("key-{n}"), format!("job-{n}"));
        sandbox.start("bsub", ["-c", "local", "--parsable", "--once", &key, "-J", &name, "true"])
    };
    let mut submitting = Vec::new();
    for round in 0..6 {
        submitting.extend((0..3).map(|n| start(3 * round + n)));
        // The tools that submit are all that starts it again.
        eventually("a server is there", Duration::from_secs(30), || {
            let status = sandbox.run("blocal", ["status", "--json"]);
            let status: Value = serde_json::from_str(&status.stdout).ok()?;
            let pid = i32::try_from(status[0]["pid"].as_i64()?).ok()?;
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok()
        });
    }
    let mut ids: Vec<String> =
        submitting.into_iter().map(|submitting| submitting.wait().ok().job_id()).collect();
    let listed = sandbox.run("bstat", ["-c", "local", "--json", "-s", "ALL"]).ok().json();
    let jobs = listed.as_array().unwrap().iter();
    let mut there: Vec<String> = jobs.map(|job| job["jobId"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    there.sort();
    assert_eq!(ids, there);
}

// ---- --once KEY ----

/// The one record in the bucket.
fn record(chaos: &Chaos) -> Value {
    let objects = chaos.objects();
    let records: Vec<_> = objects.iter().filter(|(path, _)| path.contains("/once/")).collect();
    let [(_, body)] = records.as_slice() else { panic!("not one record: {:?}", objects.keys()) };
    serde_json::from_slice(body).expect("a record is JSON")
}

fn once(key: &str) -> [&str; 4] {
    ["--parsable", "--once", key, "true"]
}

#[story]
fn many_at_once_under_one_key_are_one_job_even_in_a_storm() {
    for (seed, weather) in [(4, Weather::FAIR), (5, Weather::STORM), (6, Weather::STORM)] {
        let chaos = Chaos::start(seed, weather);
        let sandbox = sandbox(&chaos.endpoint(), &settle());
        let running: Vec<_> = (0..12).map(|_| sandbox.start("bsub", once("night/31 ü"))).collect();
        let ids: Vec<String> = running.into_iter().map(|bsub| bsub.wait().ok().job_id()).collect();
        assert_eq!(alive(&chaos), ids[..1], "seed {seed}");
        assert!(ids.iter().all(|id| *id == ids[0]), "seed {seed}: {ids:?}");
        let record = record(&chaos);
        assert_eq!((&record["key"], &record["jobs"][0]["jobId"]), (&json!("night/31 ü"), &json!(ids[0])));
    }
}

#[story]
fn a_script_that_is_run_again_submits_nothing_while_its_job_is_active_or_has_succeeded() {
    let chaos = Chaos::start(7, Weather::FAIR);
    let first = sandbox(&chaos.endpoint(), "1").run("bsub", once("k")).ok();
    for status in ["RUNNABLE", "RUNNING", "SUCCEEDED"] {
        chaos.set_status(&first.job_id(), status);
        // Another machine: nothing but the bucket is shared.
        let again = sandbox(&chaos.endpoint(), "1").run("bsub", once("k")).ok();
        assert_eq!(again.stdout, first.stdout, "{status}");
        assert!(again.stderr.contains("nothing was submitted"), "{again}");
    }
    let other = sandbox(&chaos.endpoint(), "1").run("bsub", once("another")).ok();
    assert_ne!(other.stdout, first.stdout);
    assert_eq!(chaos.requests("submitjob").len(), 2);
}

#[story]
fn a_job_that_failed_is_submitted_again_once() {
    let chaos = Chaos::start(8, Weather::FAIR);
    let sandbox = sandbox(&chaos.endpoint(), "1");
    let first = sandbox.run("bsub", once("k")).ok().job_id();
    chaos.set_status(&first, "FAILED");
    let running: Vec<_> = (0..8).map(|_| sandbox.start("bsub", once("k"))).collect();
    let ids: Vec<String> = running.into_iter().map(|bsub| bsub.wait().ok().job_id()).collect();
    assert_ne!(ids[0], first);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(alive(&chaos), ids[..1]);
    let marks: Vec<String> = chaos.jobs().into_iter().map(|job| job.mark).collect();
    assert_ne!(marks[0], marks[1], "a new job has a new mark");
}

#[story]
fn one_that_died_in_the_middle_blocks_nobody() {
    // It died after it had sent the job: whoever comes next finds it. (SIGKILL while the answer is
    // awaited.)
    let chaos = Chaos::start(9, Weather::FAIR);
    let (sent, endpoint) = (std::sync::atomic::AtomicBool::new(false), chaos.endpoint());
    let silent = BadServer::start(move |request, _| {
        sent.store(true, std::sync::atomic::Ordering::SeqCst);
        match request.operation() {
            "s3" => Answer::stored(),
            _ => Answer::Hang,
        }
    });
    let dying = sandbox(&silent.endpoint(), "0.5");
    let running = dying.start("bsub", once("k"));
    eventually("it has taken the key", Duration::from_secs(30), || {
        silent.requests("submitjob").first().map(drop)
    });
    running.signal(Signal::SIGKILL);
    let taken = silent.requests("s3").remove(0);
    let path = taken.target.split('?').next().unwrap().to_owned();

    // Nothing came of it: the next one waits for the lease, then submits with the same mark.
    chaos.store(&path, taken.body.clone());
    let mark = record(&chaos)["jobs"][0]["mark"].clone();
    let outcome = sandbox(&endpoint, "0.5").run("bsub", once("k")).ok();
    let jobs = chaos.jobs();
    assert_eq!((jobs.len(), &jobs[0].id, &json!(jobs[0].mark)), (1, &outcome.job_id(), &mark));
    assert_eq!(record(&chaos)["jobs"][0]["jobId"], json!(outcome.job_id()));

    // The job was taken, and nobody had noted its ID: it is found.
    chaos.store(&path, taken.body.clone());
    let again = sandbox(&endpoint, "0.5").run("bsub", once("k")).ok();
    assert_eq!(again.stdout, outcome.stdout);
    assert_eq!(chaos.jobs().len(), 1);
    assert_eq!(record(&chaos)["jobs"][0]["jobId"], json!(outcome.job_id()));

    // A record from long ago has no lease to wait for, however long the settle time.
    let mut old: Value = serde_json::from_slice(&taken.body).unwrap();
    old["written"] = json!(old["written"].as_i64().unwrap() - 86_400_000);
    old["since"] = old["written"].clone();
    chaos.store(&path, old.to_string());
    let begun = Instant::now();
    let again = sandbox(&endpoint, "60").run("bsub", once("k")).ok();
    assert!(begun.elapsed() < Duration::from_secs(60), "{again}");
    assert_eq!(again.stdout, outcome.stdout);
}

#[story]
fn a_holder_that_was_only_slow_makes_no_double() {
    let chaos = Chaos::start(10, Weather::FAIR);
    let (slow_sandbox, sandbox) = (sandbox(&chaos.endpoint(), "0.5"), sandbox(&chaos.endpoint(), "0.5"));
    // Stopped when the key is its own and before its job is taken, and gone on when another has
    // taken it over.
    chaos.turn_submissions_away(true);
    let slow = slow_sandbox.start("bsub", once("k"));
    eventually("it has the key and submits", Duration::from_secs(30), || {
        chaos.requests("submitjob").first().map(drop)
    });
    slow.signal(Signal::SIGSTOP);
    chaos.turn_submissions_away(false);
    let quick = sandbox.run("bsub", once("k")).ok();
    slow.signal(Signal::SIGCONT);
    let slow = slow.wait().ok();
    assert_eq!(slow.stdout, quick.stdout);
    assert_eq!(alive(&chaos), [quick.job_id()], "{slow}");
}

#[story]
fn a_refused_job_leaves_its_key_free() {
    let server = BadServer::start(|request, _| match request.operation() {
        "s3" => Answer::stored(),
        _ => Answer::error(400, "ClientException", "JobQueue q not found"),
    });
    let outcome = sandbox(&server.endpoint(), "30").run("bsub", once("k"));
    assert!(outcome.failed_with(1).contains("JobQueue q not found"), "{outcome}");
    let freed = server.requests("s3").pop().unwrap();
    assert_eq!(freed.header("if-match"), Some("\"00000000000000000000000000000000\""));
    let chaos = Chaos::start(11, Weather::FAIR);
    chaos.store(freed.target.split('?').next().unwrap(), freed.body);
    let begun = Instant::now();
    let next = sandbox(&chaos.endpoint(), "30").run("bsub", once("k")).ok();
    assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits for a lease: {next}");
    assert_eq!(alive(&chaos), [next.job_id()]);
}

#[story]
fn a_job_that_batch_has_forgotten_is_an_error_that_names_the_object() {
    let chaos = Chaos::start(12, Weather::FAIR);
    let first = sandbox(&chaos.endpoint(), "0.3").run("bsub", once("k")).ok().job_id();
    chaos.forget(&first);
    let outcome = sandbox(&chaos.endpoint(), "0.3").run("bsub", once("k"));
    assert!(outcome.failed_with(1).contains(&first), "{outcome}");
    assert!(outcome.hints().contains("aws s3 rm s3://b/awsb/once/"), "{outcome}");
    assert_eq!(chaos.requests("submitjob").len(), 1);
}

#[story]
fn a_key_is_checked_before_anything_is_sent() {
    let outcome = sandbox("http://127.0.0.1:1", "1").run("bsub", ["--once", "", "true"]);
    assert!(outcome.failed_with(2).contains("1 to 1024 bytes"), "{outcome}");
}
