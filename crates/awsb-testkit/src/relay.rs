//! A relay in front of the local cluster: it records every call of the tools, and holds or answers
//! those that a test chooses.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Sandbox;
use crate::bad_server::{Answer, BadServer, Request};

/// A call that is held does not come within this time: the test has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A call of a tool, in IAM's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service: `batch`, `cloudformation`, `s3`.
    pub service: String,
    /// The action as IAM has it. Letters of Batch's actions are small: IAM ignores the case.
    pub action: String,
    /// The name or ARN of the resource, or the bucket with the key: empty where there is none.
    pub resource: String,
    /// The query string of the request.
    pub query: String,
    /// When the call came, since the relay was started.
    pub at: Duration,
}

impl Call {
    /// `SERVICE:ACTION`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    fn of(request: &Request, at: Duration) -> Self {
        let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| json[name].as_str());
            found.unwrap_or_default().to_owned()
        };
        let (action, resource) = match request.service.as_str() {
            "s3" => s3(request),
            "batch" => (
                request.operation().to_owned(),
                text(&["jobQueue", "computeEnvironment", "jobDefinition", "jobId"]),
            ),
            _ if form.contains_key("Action") => {
                let resource = form.get("StackName").or_else(|| form.get("ChangeSetName"));
                (form["Action"].clone(), resource.cloned().unwrap_or_default())
            }
            _ => {
                let target = request.header("x-amz-target").unwrap_or_default();
                let action = target.rsplit('.').next().unwrap_or_default().to_owned();
                let repository = json["repositoryNames"][0].as_str().unwrap_or_default();
                let resource = text(&["logGroupName", "logGroupNamePrefix", "repositoryName"]);
                (action, if resource.is_empty() { repository.to_owned() } else { resource })
            }
        };
        let query = request.target.split_once('?').map_or("", |(_, query)| query).to_owned();
        Self { service: request.service.clone(), action, resource, query, at }
    }
}

/// The action of IAM that a request of S3 needs (S3 User Guide, "Required permissions for Amazon S3
/// API operations"), and the bucket with the key.
fn s3(request: &Request) -> (String, String) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = path.trim_matches('/');
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let is_object = path.contains('/');
    let action = match (request.method.as_str(), is_object) {
        ("GET" | "HEAD", true) => "GetObject",
        ("PUT" | "POST", true) => "PutObject",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        ("GET", false) if has("versions") => "ListBucketVersions",
        ("GET", false) if has("uploads") => "ListBucketMultipartUploads",
        ("GET" | "HEAD", false) => "ListBucket",
        // Objects that the request names by their versions.
        ("POST", false) => "DeleteObjectVersion",
        ("DELETE", false) => "DeleteBucket",
        (_, false) => "CreateBucket",
        (other, true) => other,
    };
    let resource = if action == "DeleteObjectVersion" { format!("{path}/*") } else { path.to_owned() };
    (action.to_owned(), resource)
}

/// The course of a call.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The server answers it.
    Pass,
    /// The server does not get it, and the client waits.
    HoldRequest,
    /// The server carries it out, and the client does not get the answer.
    HoldAnswer,
    /// The server does not get it, and the client gets this answer.
    Answer(Answer),
    /// The same, after this time.
    AnswerLate(Answer, Duration),
}

type Rule = Box<dyn FnMut(usize, &Call) -> Verdict + Send>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// The number of calls that are held.
    held: usize,
    rule: Option<Rule>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The relay; it ends when it is dropped.
pub struct Relay {
    shared: Arc<Shared>,
    server: BadServer,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Relay {
    /// Starts the local cluster of a sandbox, and puts a relay between it and the tools.
    pub fn before(sandbox: &Sandbox) -> Self {
        sandbox.run("blocal", ["start"]).ok();
        let file = sandbox.local_home().join("endpoint.json");
        let text = std::fs::read_to_string(&file).expect("the server's address");
        let mut endpoint: Value = serde_json::from_str(&text).expect("JSON");
        let server = format!("127.0.0.1:{}", endpoint["port"]);
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let (handler, start) = (Arc::clone(&shared), Instant::now());
        let relay = BadServer::start(move |request, _| {
            let call = Call::of(request, start.elapsed());
            let verdict = {
                let mut state = handler.lock();
                let number = state.calls.len();
                state.calls.push(call.clone());
                state.rule.as_mut().map_or(Verdict::Pass, |rule| rule(number, &call))
            };
            let answer = match verdict {
                Verdict::Pass => return forward(&server, request),
                Verdict::Answer(answer) => return answer,
                Verdict::AnswerLate(answer, delay) => {
                    std::thread::sleep(delay);
                    return answer;
                }
                Verdict::HoldRequest => Answer::Hang,
                Verdict::HoldAnswer => {
                    forward(&server, request);
                    Answer::Hang
                }
            };
            handler.lock().held += 1;
            handler.changed.notify_all();
            answer
        });
        let port = relay.endpoint().rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        endpoint["port"] = port.expect("a port").into();
        std::fs::write(&file, endpoint.to_string()).expect("the server's address");
        Self { shared, server: relay }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Decides about the calls from here on, which are numbered from 0.
    pub fn rule(&self, rule: impl FnMut(usize, &Call) -> Verdict + Send + 'static) {
        let mut state = self.shared.lock();
        state.rule = Some(Box::new(rule));
        state.calls.clear();
        state.held = 0;
    }

    /// Lets all calls through from here on, and forgets those so far.
    pub fn open(&self) {
        self.rule(|_, _| Verdict::Pass);
    }

    /// The calls since the last [`Relay::rule`].
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// Waits until a call is held, or until `is_over` says that none will be. Returns whether one
    /// is held.
    pub fn wait_until_held(&self, mut is_over: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        while state.held == 0 {
            assert!(begun.elapsed() < LIMIT, "no call was held within {LIMIT:?}");
            state = match self.shared.changed.wait_timeout(state, Duration::from_millis(20)) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
            if state.held == 0 && is_over() {
                return false;
            }
        }
        true
    }
}

/// Sends a request to the server, and returns its answer, byte for byte.
fn forward(server: &str, request: &Request) -> Answer {
    let Ok(mut stream) = TcpStream::connect(server) else { return Answer::Reset };
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        // The body has been read: its length is known, and nothing is waited for.
        if !matches!(name.as_str(), "connection" | "content-length" | "expect" | "transfer-encoding") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", request.body.len()));
    let mut answer = Vec::new();
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&request.body));
    match sent.and_then(|()| stream.read_to_end(&mut answer)) {
        Ok(1..) => Answer::Raw(answer),
        _ => Answer::Reset,
    }
}
