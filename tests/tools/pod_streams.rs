//! The log streams of pods on EKS, which CloudWatch Logs is asked for: seldom, and until they are
//! there.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use awsb_testkit::{Answer, BadServer, Request, Sandbox, story};
use serde_json::{Value, json};

const JOB: &str = "0f0e1d2c-3b4a-4958-8776-655443322110";
/// The job ends after this many looks at it.
const LOOKS: usize = 15;

/// A cluster whose jobs end while they are followed, and whose streams appear late.
struct Fake {
    /// When it was made.
    begun: i64,
    /// How often the job, or the array, was described.
    looks: usize,
    /// When it ended.
    stopped_at: Option<i64>,
    /// The beginnings of names that were asked for, in order, and whether the job had ended then.
    asked: Vec<(String, bool)>,
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Fake {
    /// A job, or a child, with its state and a pod of these containers.
    fn job(&self, id: &str, containers: &[&str]) -> Value {
        let pod = format!("pod-{}", id.rsplit(':').next().unwrap());
        let named = containers.iter().map(|name| json!({"name": name, "image": "lab/tool"}));
        let mut job = json!({
            "jobId": id, "jobName": "pod", "jobQueue": "arn:q", "jobDefinition": "arn:d:1", "status": "RUNNING",
            "createdAt": self.begun - 60_000, "startedAt": self.begun - 30_000, "eksAttempts": [],
            "eksProperties": {"podProperties": {
                "podName": pod, "metadata": {"namespace": "batch"}, "containers": named.collect::<Vec<_>>()}}});
        if let Some(stopped_at) = self.stopped_at {
            let ends = containers.iter().map(|name| json!({"name": name, "exitCode": 0}));
            (job["status"], job["stoppedAt"]) = (json!("SUCCEEDED"), json!(stopped_at));
            job["eksAttempts"] = json!([{
                "podName": pod, "podNamespace": "batch", "startedAt": self.begun - 30_000, "stoppedAt": stopped_at,
                "containers": ends.collect::<Vec<_>>()}]);
        }
        job
    }

    /// The answer to DescribeJobs about a job, an array, or children of it.
    fn describe(&mut self, ids: &Value, children: usize, containers: &[&str]) -> Value {
        let ids: Vec<&str> = ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        if ids.contains(&JOB) {
            self.looks += 1;
            if self.looks >= LOOKS {
                self.stopped_at.get_or_insert_with(now);
            }
        }
        let status = if self.stopped_at.is_some() { "SUCCEEDED" } else { "RUNNING" };
        let jobs = ids.into_iter().map(|id| {
            let mut job = self.job(id, containers);
            if id == JOB && children > 0 {
                job["arrayProperties"] = json!({"size": children, "statusSummary": {status: children}});
                job["eksProperties"]["podProperties"]["podName"].take();
                job["eksAttempts"] = json!([]);
            }
            job
        });
        json!({"jobs": jobs.collect::<Vec<_>>()})
    }

    /// The answer to ListJobs about the children that have a state.
    fn list(&self, children: usize, status: &str) -> Value {
        let own = if self.stopped_at.is_some() { "SUCCEEDED" } else { "RUNNING" };
        let listed = (0..children).filter(|_| status == own).map(|n| {
            json!({"jobId": format!("{JOB}:{n}"), "jobName": "pod", "status": own,
                   "createdAt": self.begun - 60_000, "startedAt": self.begun - 30_000, "arrayProperties": {"index": n}})
        });
        json!({"jobSummaryList": listed.collect::<Vec<_>>()})
    }

    /// The answer to DescribeLogStreams. The container `late` gets its stream after the end, at the
    /// second look for it. The listing is by name, and the newest stream is on its second page.
    fn streams(&mut self, prefix: &str, token: Option<&str>) -> Value {
        if token.is_some() {
            return json!({"logStreams": [{"logStreamName": format!("{prefix}9"), "creationTime": 9}]});
        }
        let has_ended = self.stopped_at.is_some();
        self.asked.push((prefix.to_owned(), has_ended));
        let after_end = self.asked.iter().filter(|(name, ended)| name == prefix && *ended).count();
        if prefix.contains("late") && after_end < 2 {
            return json!({"logStreams": []});
        }
        json!({"logStreams": [{"logStreamName": format!("{prefix}1"), "creationTime": 1}], "nextToken": "2"})
    }
}

fn logs(request: &Request, fake: &Mutex<Fake>) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let printed_at = fake.lock().unwrap().begun - 20_000;
    let event = |name: &Value| {
        json!({"logStreamName": name, "timestamp": printed_at, "eventId": "1", "ingestionTime": printed_at + 1,
               "message": format!("a line of {}", name.as_str().unwrap())})
    };
    match request.header("x-amz-target").unwrap_or_default() {
        target if target.ends_with("DescribeLogStreams") => {
            let prefix = body["logStreamNamePrefix"].as_str().unwrap();
            Answer::json(fake.lock().unwrap().streams(prefix, body["nextToken"].as_str()))
        }
        target if target.ends_with("FilterLogEvents") => {
            let names = body["logStreamNames"].as_array().unwrap();
            Answer::json(json!({"events": names.iter().map(event).collect::<Vec<_>>()}))
        }
        // The end is where the token comes back unchanged.
        target if target.ends_with("GetLogEvents") => {
            let events =
                if body["nextToken"].is_string() { Vec::new() } else { vec![event(&body["logStreamName"])] };
            Answer::json(json!({"events": events, "nextForwardToken": "f/1", "nextBackwardToken": "b/1"}))
        }
        target => Answer::error(400, "UnknownOperationException", target),
    }
}

/// Follows a job, or an array, whose pods have these containers. Returns its output, and the
/// beginnings of names that CloudWatch Logs was asked for, and the time that it took.
#[track_caller]
fn follow(children: usize, containers: &'static [&'static str]) -> (String, Vec<(String, bool)>, Duration) {
    let begun = Instant::now();
    let fake = Mutex::new(Fake { begun: now(), looks: 0, stopped_at: None, asked: Vec::new() });
    let fake = Arc::new(fake);
    let served = Arc::clone(&fake);
    let server = BadServer::start(move |request, before| {
        let body = || serde_json::from_slice::<Value>(&request.body).unwrap();
        match request.operation() {
            "describejobs" => {
                Answer::json(served.lock().unwrap().describe(&body()["jobs"], children, containers))
            }
            "listjobs" => {
                let status = body()["jobStatus"].as_str().unwrap_or_default().to_owned();
                Answer::json(served.lock().unwrap().list(children, &status))
            }
            "logs" if before == 0 => Answer::error(400, "ThrottlingException", "Rate exceeded"),
            "logs" => logs(request, &served),
            _ => Answer::error(500, "ServerException", "not in this test"),
        }
    });
    let more = "eks_log_group = \"/pods\"\neks_log_stream = \"{pod}_{container}-*\"\n";
    let sandbox = Sandbox::of_cluster_at(&server.endpoint(), more);
    let output = sandbox.run("bout", ["-f", JOB]).ok();
    assert_eq!(output.stderr, "");
    let fake = fake.lock().unwrap();
    assert!(fake.looks >= LOOKS, "{}", fake.looks);
    (output.stdout, fake.asked.clone(), begun.elapsed())
}

/// How often a stream that is not there is asked for at most, while its container runs: by `bout`
/// itself, and then every two seconds.
fn most(elapsed: Duration) -> usize {
    2 + usize::try_from(elapsed.as_secs() / 2).unwrap()
}

/// How often a beginning of a name was asked for before the end, and after it.
fn times(asked: &[(String, bool)], prefix: &str) -> (usize, usize) {
    let times = |ended: bool| asked.iter().filter(|(name, after)| name == prefix && *after == ended).count();
    (times(false), times(true))
}

#[story]
fn a_stream_that_is_known_is_asked_for_once_more_after_the_end() {
    let (output, asked, elapsed) = follow(0, &["main", "late"]);
    let pod = "pod-0f0e1d2c-3b4a-4958-8776-655443322110";
    let lines = format!("main: a line of {pod}_main-9\nlate: a line of {pod}_late-9\n");
    assert_eq!(output, lines);
    // At first, `bout` itself looks at the job once.
    assert_eq!(times(&asked, &format!("{pod}_main-")), (2, 1), "{asked:?}");
    // One that is not there is asked for at a pace of its own, and until it is there.
    let (before, after) = times(&asked, &format!("{pod}_late-"));
    assert!((2..=most(elapsed)).contains(&before) && after == 2, "{asked:?}");
}

#[story]
fn the_only_stream_of_a_job_appears_after_its_end() {
    let (output, asked, _) = follow(0, &["late"]);
    let pod = "pod-0f0e1d2c-3b4a-4958-8776-655443322110";
    assert_eq!(output, format!("a line of {pod}_late-9\n"));
    assert_eq!(times(&asked, &format!("{pod}_late-")).1, 2, "{asked:?}");
}

#[story]
fn the_streams_of_an_arrays_pods_are_asked_for_as_seldom() {
    for children in [3, 12] {
        let (output, asked, elapsed) = follow(children, &["main", "late"]);
        let mut lines: Vec<&str> = output.lines().collect();
        lines.sort_unstable();
        let mut expected: Vec<String> = (0..children)
            .flat_map(|n| ["main", "late"].map(|name| format!("{n}: {name}: a line of pod-{n}_{name}-9")))
            .collect();
        expected.sort_unstable();
        assert_eq!(lines, expected);
        for n in 0..children {
            let (before, after) = times(&asked, &format!("pod-{n}_main-"));
            assert!(before <= 1 && after == 1, "{children}: {asked:?}");
            let (before, after) = times(&asked, &format!("pod-{n}_late-"));
            assert!(before <= most(elapsed) && after == 2, "{children}: {asked:?}");
        }
    }
}
