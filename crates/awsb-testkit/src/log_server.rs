//! Batch and CloudWatch Logs with a known truth: jobs that print lines over time, as fast or as
//! late as a test wants, behind a network as bad as it wants. Pages have at most 10,000 lines or 1
//! MB, as AWS's have.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::bad_server::{Answer, BadServer, Request};
use crate::log_writer::{NetworkFaults, Writer};

#[derive(Debug)]
struct World {
    writers: Vec<Writer>,
    is_array: bool,
    faults: NetworkFaults,
    base: i64,
    begun: Instant,
    random: AtomicU64,
    under_way: AtomicUsize,
    most: AtomicUsize,
    operations: Mutex<HashMap<String, usize>>,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct LogServer {
    world: Arc<World>,
    server: BadServer,
}

impl LogServer {
    /// The job's ID.
    pub const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";

    /// A job, or an array of several.
    pub fn start(writers: Vec<Writer>, faults: NetworkFaults) -> Self {
        let base = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        let world = Arc::new(World {
            is_array: writers.len() > 1,
            writers,
            faults,
            base: i64::try_from(base).expect("a time"),
            begun: Instant::now(),
            random: AtomicU64::new(1),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            operations: Mutex::default(),
        });
        let answering = Arc::clone(&world);
        let server = BadServer::start(move |request, _| answering.answer(request));
        Self { world, server }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The text of line `n` of writer `index`.
    pub fn message(index: usize, n: usize) -> String {
        format!("{index} line {n}, and so that it is of a usual length a few words")
    }

    /// When line `n` of writer `index` was printed, in milliseconds since the epoch.
    pub fn time(&self, index: usize, n: usize) -> i64 {
        self.world.base + self.world.writers[index].times[n]
    }

    /// How many calls there were of an operation (`GetLogEvents`, `describejobs`), whatever came of
    /// them.
    pub fn calls(&self, operation: &str) -> usize {
        self.world.operations.lock().expect("no panic").get(operation).copied().unwrap_or_default()
    }

    /// All calls.
    pub fn all_calls(&self) -> usize {
        self.world.operations.lock().expect("no panic").values().sum()
    }

    /// How many calls were answered at once at most.
    pub fn at_once(&self) -> usize {
        self.world.most.load(Ordering::SeqCst)
    }
}

impl World {
    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).expect("a time") * (1 + self.faults.hurry)
    }

    /// When a writer's job was submitted.
    fn created(&self, index: usize) -> i64 {
        self.base + self.writers[index].times.first().copied().unwrap_or(0) - 1000
    }

    /// splitmix64.
    fn draw(&self, below: u64) -> u64 {
        let seed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn answer(&self, request: &Request) -> Answer {
        let operation = match request.header("x-amz-target") {
            Some(target) => target.rsplit('.').next().unwrap_or_default(),
            None => request.operation(),
        };
        *self.operations.lock().expect("no panic").entry(operation.to_owned()).or_default() += 1;
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        std::thread::sleep(self.faults.latency);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let answer = match operation {
            "describejobs" => self.describe(&body),
            "listjobs" => self.list(&body),
            "GetLogEvents" => self.with_faults(|| self.get(&body)),
            "FilterLogEvents" => self.with_faults(|| self.filter(&body)),
            other => Answer::error(400, "UnknownOperationException", other),
        };
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    fn with_faults(&self, answer: impl FnOnce() -> Answer) -> Answer {
        let faults = &self.faults;
        let drawn = self.draw(1000);
        let limits = [faults.throttled, faults.reset, faults.error];
        let mut sum = 0;
        let met = limits.iter().position(|chance| {
            sum += chance;
            drawn < sum
        });
        match met {
            Some(0) => Answer::error(400, "ThrottlingException", "Rate exceeded"),
            Some(1) => Answer::Reset,
            Some(_) => Answer::error(500, "InternalFailure", "oops"),
            None => answer(),
        }
    }

    /// A writer's job, described or listed.
    fn job(&self, index: usize) -> Value {
        let writer = &self.writers[index];
        let status = writer.status(self.now());
        let id = if self.is_array { format!("{}:{index}", LogServer::ID) } else { LogServer::ID.to_owned() };
        let mut job = json!({
            "jobId": id, "jobName": "j", "jobQueue": "q", "jobDefinition": "d", "status": status,
            "createdAt": self.created(index),
        });
        if status != "RUNNABLE" {
            job["startedAt"] = json!(self.created(index) + 500);
            job["container"] = json!({ "logStreamName": stream(index) });
        }
        if status == "SUCCEEDED" {
            job["stoppedAt"] = json!(self.base + writer.ends);
            job["container"]["exitCode"] = json!(0);
        }
        job
    }

    fn describe(&self, body: &Value) -> Answer {
        let one = |id: &Value| -> Option<Value> {
            match id.as_str()?.strip_prefix(LogServer::ID)?.strip_prefix(':') {
                Some(index) => index.parse().ok().filter(|i| *i < self.writers.len()).map(|i| self.job(i)),
                None if self.is_array => Some(self.parent()),
                None => Some(self.job(0)),
            }
        };
        let jobs: Vec<Value> = body["jobs"].as_array().into_iter().flatten().filter_map(one).collect();
        Answer::json(json!({ "jobs": jobs }))
    }

    fn parent(&self) -> Value {
        let now = self.now();
        let mut summary: HashMap<&str, usize> = HashMap::new();
        for writer in &self.writers {
            *summary.entry(writer.status(now)).or_default() += 1;
        }
        let has_ended = summary.get("SUCCEEDED") == Some(&self.writers.len());
        json!({
            "jobId": LogServer::ID, "jobName": "j", "jobQueue": "q", "jobDefinition": "d",
            "status": if has_ended { "SUCCEEDED" } else { "PENDING" },
            "createdAt": (0..self.writers.len()).map(|index| self.created(index)).min(),
            "arrayProperties": { "size": self.writers.len(), "statusSummary": summary },
        })
    }

    fn list(&self, body: &Value) -> Answer {
        let (status, now) = (body["jobStatus"].as_str().unwrap_or("RUNNING"), self.now());
        let first: usize = body["nextToken"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
        let mut found = (first..self.writers.len()).filter(|i| self.writers[*i].status(now) == status);
        let page: Vec<usize> = found.by_ref().take(1000).collect();
        let mut jobs: Vec<Value> = page.iter().map(|index| self.job(*index)).collect();
        for (job, index) in jobs.iter_mut().zip(&page) {
            job["arrayProperties"] = json!({ "index": index });
        }
        let mut answer = json!({ "jobSummaryList": jobs });
        if let Some(next) = found.next() {
            answer["nextToken"] = json!(next.to_string());
        }
        Answer::json(answer)
    }

    /// How many lines the next page has at most.
    fn page(&self, body: &Value) -> usize {
        let most = body["limit"].as_u64().unwrap_or(10_000).min(10_000);
        let short = self.draw(1000) < self.faults.short;
        usize::try_from(if short { self.draw(most + 1) * self.draw(2) } else { most }).expect("a number")
    }

    fn get(&self, body: &Value) -> Answer {
        let Some(index) = index_of(&body["logStreamName"]).filter(|i| *i < self.writers.len()) else {
            return no_stream();
        };
        let writer = &self.writers[index];
        let visible = writer.visible(self.now());
        let times = &writer.times[..visible];
        let low = body["startTime"].as_i64().map_or(0, |t| times.partition_point(|at| self.base + at < t));
        let high =
            body["endTime"].as_i64().map_or(visible, |t| times.partition_point(|at| self.base + at < t));
        let token = body["nextToken"].as_str();
        let place = token.and_then(|t| t.split('/').nth(1)?.parse::<usize>().ok());
        let forward = match token {
            Some(token) => token.starts_with("f/"),
            None => body["startFromHead"] == json!(true),
        };
        let page = self.page(body);
        let (from, to) = match (forward, place) {
            (true, place) => {
                let from = place.unwrap_or(low).max(low);
                (from, from.saturating_add(page).min(high).max(from))
            }
            (false, place) => {
                let to = place.unwrap_or(high).min(high);
                (to.saturating_sub(page).max(low).min(to), to)
            }
        };
        let (mut text, mut bytes, mut end) = (String::from("{\"events\":["), 0, from);
        for (n, at) in times.iter().enumerate().take(to).skip(from) {
            let message = LogServer::message(index, n);
            bytes += message.len() + 26;
            if bytes > 1 << 20 && forward {
                break;
            }
            if n > from {
                text.push(',');
            }
            let time = self.base + at;
            text.push_str(&format!(
                "{{\"timestamp\":{time},\"ingestionTime\":{time},\"message\":\"{message}\"}}"
            ));
            end = n + 1;
        }
        // At the end the token comes back as it was; a page that is empty though there is more has
        // a new one.
        let at_end = if forward { from >= high } else { to <= low };
        let forwards = match token {
            Some(token) if forward && at_end => token.to_owned(),
            _ if forward && end == from => format!("f/{end}/{}", self.draw(u64::MAX)),
            _ => format!("f/{end}"),
        };
        let backwards = match token {
            Some(token) if !forward && at_end => token.to_owned(),
            _ if !forward && from == to => format!("b/{from}/{}", self.draw(u64::MAX)),
            _ => format!("b/{from}"),
        };
        text.push_str(&format!(
            "],\"nextForwardToken\":\"{forwards}\",\"nextBackwardToken\":\"{backwards}\"}}"
        ));
        answered(text)
    }

    fn filter(&self, body: &Value) -> Answer {
        let names: Vec<&Value> = body["logStreamNames"].as_array().into_iter().flatten().collect();
        let mut indices: Vec<usize> = names.iter().filter_map(|name| index_of(name)).collect();
        indices.sort_unstable();
        if indices.len() != names.len()
            || names.len() > 100
            || indices.iter().any(|i| *i >= self.writers.len())
        {
            return no_stream();
        }
        let now = self.now();
        // TIME/INDEX/N of the last line that was looked at.
        let after = body["nextToken"].as_str().and_then(|token| {
            let parts: Vec<i64> = token.split('/').filter_map(|part| part.parse().ok()).collect();
            <[i64; 3]>::try_from(parts).ok()
        });
        let start = body["startTime"].as_i64().unwrap_or(0);
        // As AWS does, a page looks through so much time, though it be years of nothing.
        const WEEK: i64 = 7 * 86_400_000;
        let oldest = indices.iter().map(|index| self.created(*index)).min().unwrap_or(0);
        let key = |index: usize, n: usize| -> [i64; 3] {
            let number = |n: usize| i64::try_from(n).expect("a number");
            [self.base + self.writers[index].times[n], number(index), number(n)]
        };
        let backward = body["startFromHead"] == json!(false) && !self.faults.forward_only;
        if backward {
            let lines = indices.iter().flat_map(|index| {
                let visible = self.writers[*index].visible(now);
                (0..visible).map(move |n| key(*index, n))
            });
            let mut lines: Vec<[i64; 3]> =
                lines.filter(|at| at[0] >= start && after.is_none_or(|after| *at < after)).collect();
            lines.sort_unstable_by_key(|at| Reverse(*at));
            let page: Vec<[i64; 3]> = lines.iter().copied().take(self.page(body)).collect();
            let last = page.last().copied().or(after).unwrap_or([self.base + now, 0, 0]);
            let before = [last[0] - WEEK, 0, 0];
            let token = match page.len() < lines.len() {
                true if page.is_empty() && after.is_none() => Some([i64::MAX, 0, 0]),
                true => Some(last),
                false => (before[0] > start).then_some(before),
            };
            return answered(filtered(&page, token));
        }
        let looked = after.map_or(start, |after| after[0]);
        if looked < oldest - WEEK {
            return answered(filtered(&[], Some([looked + WEEK, 0, 0])));
        }
        let mut next = BinaryHeap::new();
        for index in indices {
            let visible = self.writers[index].visible(now);
            let times = &self.writers[index].times[..visible];
            let mut n = times.partition_point(|at| self.base + at < start);
            if let Some(after) = after {
                n = n.max(times.partition_point(|at| self.base + at < after[0]));
                while n < visible && key(index, n) <= after {
                    n += 1;
                }
            }
            if n < visible {
                next.push(Reverse((key(index, n), visible)));
            }
        }
        let page = self.page(body);
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < page
            && bytes < (1 << 20) - 200
            && let Some(Reverse((at, visible))) = next.pop()
        {
            let (index, n) = (number(at[1]), number(at[2]));
            bytes += LogServer::message(index, n).len() + 26;
            lines.push(at);
            if n + 1 < visible {
                next.push(Reverse((key(index, n + 1), visible)));
            }
        }
        // An empty first page goes on from the beginning.
        let last = lines.last().copied().or(after).unwrap_or([start, 0, 0]);
        answered(filtered(&lines, (!next.is_empty()).then_some(last)))
    }
}

fn number(n: i64) -> usize {
    usize::try_from(n).expect("a number")
}

/// A page of FilterLogEvents: lines by time, writer and number, and where the next one begins.
fn filtered(lines: &[[i64; 3]], token: Option<[i64; 3]>) -> String {
    let line = |[time, index, n]: &[i64; 3]| {
        let (name, message) = (stream(number(*index)), LogServer::message(number(*index), number(*n)));
        format!(
            "{{\"logStreamName\":\"{name}\",\"timestamp\":{time},\"ingestionTime\":{time},\"message\":\"{message}\",\
             \"eventId\":\"{time}{index:05}{n:09}\"}}"
        )
    };
    let events: Vec<String> = lines.iter().map(line).collect();
    let token =
        token.map(|[time, index, n]| format!(",\"nextToken\":\"{time}/{index}/{n}\"")).unwrap_or_default();
    format!("{{\"events\":[{}]{token}}}", events.join(","))
}

fn answered(body: String) -> Answer {
    Answer::Http(200, body, vec![("content-type", "application/x-amz-json-1.1".into())])
}

fn no_stream() -> Answer {
    Answer::error(400, "ResourceNotFoundException", "The specified log stream does not exist.")
}

fn stream(index: usize) -> String {
    format!("d/default/{index}")
}

fn index_of(name: &Value) -> Option<usize> {
    name.as_str()?.strip_prefix("d/default/")?.parse().ok()
}
