//! A Batch and an S3 behind a network at its worst.
//!
//! The server draws its behaviour from a seed: replies are lost after the job was accepted,
//! connections are reset before, the action and the listing come late, and calls are answered with
//! 429 or 500, the latter with and without an effect. The server knows which jobs really exist, so
//! a test can count them. Instead of a seed it can follow a [`Script`], in the test's own time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::bad_server::{Answer, BadServer, Request};

/// Jobs in a page of ListJobs with a filter.
const PAGE: usize = 100;

/// How bad it is: chances of 1,000, and the longest delay.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// SubmitJob: the job is taken, and the connection reset.
    pub reply_lost: u32,
    /// SubmitJob: the connection is reset, and the job taken later.
    pub late: u32,
    /// SubmitJob: 500, and the job is taken.
    pub error_after: u32,
    /// Any call: 500, and nothing was done.
    pub error: u32,
    /// Any call: the connection is reset, and nothing was done.
    pub reset: u32,
    /// Any call of Batch: 429.
    pub throttled: u32,
    /// One that was taken is listed and described within this time.
    pub shown_within: Duration,
    /// A late job is taken, listed and described within this time.
    pub late_within: Duration,
}

impl Weather {
    /// Batch at its worst: every third submission meets trouble, and so do the searches after it.
    pub const STORM: Self = Self {
        reply_lost: 100,
        late: 40,
        error_after: 40,
        error: 40,
        reset: 40,
        throttled: 40,
        shown_within: Duration::from_millis(400),
        late_within: Duration::from_millis(1400),
    };

    /// Nothing goes wrong.
    pub const FAIR: Self = Self {
        reply_lost: 0,
        late: 0,
        error_after: 0,
        error: 0,
        reset: 0,
        throttled: 0,
        shown_within: Duration::ZERO,
        late_within: Duration::ZERO,
    };
}

/// The result of each call, in the order of the calls. Calls after the end of a list succeed.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// SubmitJob.
    pub submits: Vec<ScriptedSubmit>,
    /// ListJobs and DescribeJobs: whether the call fails.
    pub reads: Vec<bool>,
    /// TerminateJob.
    pub terminates: Vec<ScriptedWrite>,
    /// GetObject and PutObject.
    pub records: Vec<ScriptedWrite>,
    /// The time, in milliseconds since the epoch.
    pub now: Arc<AtomicI64>,
}

/// How SubmitJob is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScriptedReply {
    /// With the job.
    #[default]
    Given,
    /// The connection is reset.
    Lost,
    /// With 500.
    Error,
    /// With 429.
    Throttled,
    /// With 400.
    Refused,
}

/// The result of a call of SubmitJob.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScriptedSubmit {
    /// The reply.
    pub reply: ScriptedReply,
    /// Whether the job is taken although its reply is lost, or 500.
    pub acts: bool,
    /// After how many milliseconds the job is taken.
    pub taken_after: i64,
    /// After how many it is listed.
    pub listed_after: i64,
    /// After how many it is described.
    pub described_after: i64,
}

/// The result of a call that writes, or may write.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScriptedWrite {
    /// The connection is reset.
    pub fails: bool,
    /// If so, nothing was done.
    pub idle: bool,
}

/// A job that the server has taken.
#[derive(Debug, Clone)]
pub struct ChaosJob {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The mark in its environment.
    pub mark: String,
    /// Its state: `RUNNABLE` unless a test or TerminateJob says otherwise.
    pub status: &'static str,
    created_at: i64,
    /// It is not listed before.
    listed_at: i64,
    /// It is not described before.
    described_at: i64,
}

impl ChaosJob {
    /// Whether it would run, or has run to a good end.
    pub fn is_alive(&self) -> bool {
        self.status != "FAILED"
    }
}

#[derive(Debug, Default)]
struct World {
    jobs: Vec<ChaosJob>,
    objects: HashMap<String, (String, Vec<u8>)>,
    writes: u64,
    turns_away: bool,
    random: u64,
    script: Option<Script>,
    /// How many calls of the script's kinds have come.
    submits: usize,
    reads: usize,
    terminates: usize,
    record_calls: usize,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct Chaos {
    world: Arc<Mutex<World>>,
    server: BadServer,
}

impl Chaos {
    /// Starts it.
    pub fn start(seed: u64, weather: Weather) -> Self {
        Self::of(World { random: seed, ..World::default() }, weather)
    }

    /// Starts it with a script.
    pub fn follow(script: Script) -> Self {
        Self::of(World { script: Some(script), ..World::default() }, Weather::FAIR)
    }

    fn of(world: World, weather: Weather) -> Self {
        let world = Arc::new(Mutex::new(world));
        let answering = Arc::clone(&world);
        let server = BadServer::start(move |request, _| {
            answering.lock().expect("no thread panicked with it").answer(request, &weather)
        });
        Self { world, server }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The requests so far for this operation of Batch, or for `s3`.
    pub fn requests(&self, operation: &str) -> Vec<Request> {
        self.server.requests(operation)
    }

    /// All jobs that exist.
    pub fn jobs(&self) -> Vec<ChaosJob> {
        self.world.lock().expect("no thread panicked with it").jobs.clone()
    }

    /// A job is in this state from now on.
    pub fn set_status(&self, id: &str, status: &'static str) {
        let mut world = self.world.lock().expect("no thread panicked with it");
        world.jobs.iter_mut().filter(|job| job.id == id).for_each(|job| job.status = status);
    }

    /// SubmitJob is answered with 429 from now on, or is not any more.
    pub fn turn_submissions_away(&self, away: bool) {
        self.world.lock().expect("no thread panicked with it").turns_away = away;
    }

    /// Nothing goes wrong from now on, whatever the script has left.
    pub fn calm(&self) {
        let mut world = self.world.lock().expect("no thread panicked with it");
        world.script = world.script.take().map(|script| Script { now: script.now, ..Script::default() });
    }

    /// Batch forgets a job.
    pub fn forget(&self, id: &str) {
        self.world.lock().expect("no thread panicked with it").jobs.retain(|job| job.id != id);
    }

    /// The objects in the bucket, by path.
    pub fn objects(&self) -> HashMap<String, Vec<u8>> {
        let world = self.world.lock().expect("no thread panicked with it");
        world.objects.iter().map(|(path, (_, body))| (path.clone(), body.clone())).collect()
    }

    /// Puts an object in the bucket.
    pub fn store(&self, path: &str, body: impl Into<Vec<u8>>) {
        let mut world = self.world.lock().expect("no thread panicked with it");
        world.write(path, body.into());
    }
}

impl World {
    /// The time, in milliseconds since the epoch.
    fn now(&self) -> i64 {
        match &self.script {
            Some(script) => script.now.load(Ordering::SeqCst),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64,
        }
    }

    /// The answer that a script has for a request.
    fn scripted(&mut self, script: &Script, request: &Request) -> Answer {
        fn next<T: Copy + Default>(list: &[T], at: &mut usize) -> T {
            *at += 1;
            list.get(*at - 1).copied().unwrap_or_default()
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.operation() {
            "submitjob" => {
                let call = next(&script.submits, &mut self.submits);
                let is_open = matches!(call.reply, ScriptedReply::Lost | ScriptedReply::Error);
                let times = [call.taken_after, call.listed_after, call.described_after];
                let takes = call.reply == ScriptedReply::Given || (is_open && call.acts);
                let answer = if takes { self.take(&body, times) } else { Answer::Reset };
                match call.reply {
                    ScriptedReply::Given => answer,
                    ScriptedReply::Lost => Answer::Reset,
                    ScriptedReply::Error => internal_error(),
                    ScriptedReply::Throttled => {
                        Answer::error(429, "TooManyRequestsException", "Too Many Requests")
                    }
                    ScriptedReply::Refused => Answer::error(400, "ClientException", "JobQueue q not found"),
                }
            }
            "listjobs" | "describejobs" if next(&script.reads, &mut self.reads) => internal_error(),
            "listjobs" => self.list(&body),
            "describejobs" => self.describe(&body),
            "terminatejob" => {
                let call = next(&script.terminates, &mut self.terminates);
                let answer = if call.fails && call.idle { Answer::Reset } else { self.terminate(&body) };
                if call.fails { Answer::Reset } else { answer }
            }
            "s3" => {
                let call = next(&script.records, &mut self.record_calls);
                let answer = if call.fails && call.idle { Answer::Reset } else { self.object(request) };
                if call.fails { Answer::Reset } else { answer }
            }
            operation => Answer::error(404, "UnknownOperationException", operation),
        }
    }

    fn answer(&mut self, request: &Request, weather: &Weather) -> Answer {
        if let Some(script) = self.script.clone() {
            return self.scripted(&script, request);
        }
        let operation = request.operation().to_owned();
        if self.happens(weather.reset) {
            return Answer::Reset;
        }
        if self.happens(weather.error) {
            return match operation.as_str() {
                "s3" => Answer::s3_error(500, "InternalError", "We encountered an internal error."),
                _ => internal_error(),
            };
        }
        if operation == "s3" {
            let reply = self.object(request);
            return if self.happens(weather.reply_lost) { Answer::Reset } else { reply };
        }
        if self.happens(weather.throttled) || (self.turns_away && operation == "submitjob") {
            return Answer::error(429, "TooManyRequestsException", "Too Many Requests");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match operation.as_str() {
            "submitjob" => self.submit(&body, weather),
            "listjobs" => self.list(&body),
            "describejobs" => self.describe(&body),
            "terminatejob" => self.terminate(&body),
            _ => Answer::error(404, "UnknownOperationException", &operation),
        }
    }

    fn submit(&mut self, body: &Value, weather: &Weather) -> Answer {
        let late = self.happens(weather.late);
        let shown_in = self.some_of(if late { weather.late_within } else { weather.shown_within });
        let taken_in = if late { self.some_of(shown_in) } else { Duration::ZERO };
        let [taken_in, shown_in] = [taken_in, shown_in].map(|time| time.as_millis() as i64);
        let answer = self.take(body, [taken_in, shown_in, shown_in]);
        if late || self.happens(weather.reply_lost) {
            return Answer::Reset;
        }
        if self.happens(weather.error_after) {
            return internal_error();
        }
        answer
    }

    /// Takes a job, and lists and describes it, after so many milliseconds each.
    fn take(&mut self, body: &Value, [taken, listed, described]: [i64; 3]) -> Answer {
        let environment = body["containerOverrides"]["environment"].as_array();
        let mark = environment.into_iter().flatten().find(|v| v["name"] == "AWSB_SUBMISSION");
        let id = uuid::Uuid::from_u128(u128::from(self.next()) << 64 | u128::from(self.next())).to_string();
        let name = body["jobName"].as_str().unwrap_or_default().to_owned();
        let now = self.now();
        self.jobs.push(ChaosJob {
            id: id.clone(),
            name: name.clone(),
            mark: mark.and_then(|v| v["value"].as_str()).unwrap_or_default().to_owned(),
            status: "RUNNABLE",
            created_at: now + taken,
            listed_at: now + listed,
            described_at: now + described,
        });
        Answer::json(json!({ "jobArn": arn(&id), "jobId": id, "jobName": name }))
    }

    /// With the filters JOB_NAME and AFTER_CREATED_AT, the youngest first; the token is a number of
    /// jobs.
    fn list(&self, body: &Value) -> Answer {
        let filter = |name: &str| {
            let filters = body["filters"].as_array().into_iter().flatten();
            filters.filter(|f| f["name"] == name).find_map(|f| f["values"][0].as_str().map(str::to_owned))
        };
        let after: i64 = filter("AFTER_CREATED_AT").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let name = filter("JOB_NAME");
        let now = self.now();
        let mut jobs: Vec<&ChaosJob> = self
            .jobs
            .iter()
            .filter(|job| job.listed_at <= now && job.created_at > after)
            .filter(|job| name.as_ref().is_none_or(|name| job.name.eq_ignore_ascii_case(name)))
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.created_at));
        let from: usize = body["nextToken"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
        let page: Vec<Value> = jobs
            .iter()
            .skip(from)
            .take(PAGE)
            .map(|job| json!({ "jobId": job.id, "jobName": job.name, "createdAt": job.created_at, "status": job.status }))
            .collect();
        let mut answer = json!({ "jobSummaryList": page });
        if jobs.len() > from + PAGE {
            answer["nextToken"] = (from + PAGE).to_string().into();
        }
        Answer::json(answer)
    }

    fn describe(&self, body: &Value) -> Answer {
        let ids: Vec<&str> =
            body["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let now = self.now();
        let known = self.jobs.iter().filter(|job| job.described_at <= now && ids.contains(&job.id.as_str()));
        let details: Vec<Value> = known
            .map(|job| {
                json!({
                    "jobId": job.id, "jobArn": arn(&job.id), "jobName": job.name, "jobQueue": "q", "jobDefinition": "d",
                    "createdAt": job.created_at, "startedAt": job.created_at, "status": job.status,
                    "container": { "environment": [{ "name": "AWSB_SUBMISSION", "value": job.mark }] },
                })
            })
            .collect();
        Answer::json(json!({ "jobs": details }))
    }

    /// A job is there from when it was taken, shown or not.
    fn terminate(&mut self, body: &Value) -> Answer {
        let id = body["jobId"].as_str().unwrap_or_default();
        self.jobs.iter_mut().filter(|job| job.id == id).for_each(|job| job.status = "FAILED");
        Answer::json(json!({}))
    }

    /// Puts with conditions, and gets.
    fn object(&mut self, request: &Request) -> Answer {
        let path = request.target.split('?').next().unwrap_or_default();
        let present = self.objects.get(path);
        if request.method == "GET" || request.method == "HEAD" {
            return match present {
                // Its ETags are no MD5s, as those of objects that a key of KMS encrypts.
                Some((etag, body)) if request.method == "HEAD" => Answer::Http(
                    200,
                    " ".repeat(body.len()),
                    vec![("etag", etag.clone()), ("x-amz-server-side-encryption", "aws:kms".into())],
                ),
                Some((etag, body)) => Answer::Http(
                    200,
                    String::from_utf8_lossy(body).into_owned(),
                    vec![("etag", etag.clone())],
                ),
                None => Answer::s3_error(404, "NoSuchKey", "The specified key does not exist."),
            };
        }
        if request.header("if-none-match").is_some() && present.is_some() {
            return Answer::s3_error(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions did not hold",
            );
        }
        if let Some(wanted) = request.header("if-match") {
            match present {
                None => return Answer::s3_error(404, "NoSuchKey", "The specified key does not exist."),
                Some((etag, _)) if etag != wanted => {
                    return Answer::s3_error(
                        412,
                        "PreconditionFailed",
                        "At least one of the pre-conditions did not hold",
                    );
                }
                Some(_) => {}
            }
        }
        let etag = self.write(path, request.body.clone());
        Answer::Http(200, String::new(), vec![("etag", etag)])
    }

    fn write(&mut self, path: &str, body: Vec<u8>) -> String {
        self.writes += 1;
        let etag = format!("\"{:032x}\"", self.writes);
        self.objects.insert(path.to_owned(), (etag.clone(), body));
        etag
    }

    fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.next() % 1000 < u64::from(chance)
    }

    fn some_of(&mut self, longest: Duration) -> Duration {
        longest.mul_f64((self.next() % 1000) as f64 / 1000.0)
    }

    /// SplitMix64: good enough for weather, and the same for the same seed.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn internal_error() -> Answer {
    Answer::error(500, "ServerException", "Internal Error")
}

fn arn(id: &str) -> String {
    format!("arn:aws:batch:eu-west-1:1:job/{id}")
}
