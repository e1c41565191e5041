//! Requests to the local cluster: their signatures, and the bodies of Batch's requests.

use awsb_local::internals::request::{self, Definition, Queue, SubmitJob};
use awsb_local::internals::{Credentials, KeyMaterial, Keys, Pattern, json_object, signature};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

/// Finds out which service a request is for, and verifies its signature. The head ends at the first
/// empty line; the body follows.
///
/// # Panics
/// When the signature is accepted: nobody knows the secret.
pub fn signature(data: &[u8]) {
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &data[data.len()..]),
    };
    let Some(request) = self::head(head) else { return };
    let _ = signature::scope(&request);
    let _ = signature::check_s3(&request);
    let _ = json_object(body);
    // A fuzzer cannot find a signature for a secret that is another one each time.
    let secret = || uuid::Uuid::new_v4().to_string();
    let owner = Credentials { access_key_id: "AKIDEXAMPLE".to_owned(), secret_access_key: secret() };
    let keys = Keys::new(KeyMaterial { owner, jobs: secret() });
    let (parts, ()) = request.into_parts();
    signature::parameters(&parts, body);
    // This is the time of the seeds, so that their signatures have not expired.
    if let Ok(signed) = signature::SignedRequest::parse(&parts, &keys, 1_440_938_160_000) {
        assert!(signed.verify(&parts, body).is_err(), "a forged signature is good");
    }
}

/// Reads the head of a request. The first line is `METHOD URI`, each of the others is `NAME:
/// VALUE`.
pub fn head(text: &[u8]) -> Option<Request<()>> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(2, |byte| *byte == b' ');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(words.next().unwrap_or_default()).ok()?;
    *request.uri_mut() = Uri::try_from(words.next().unwrap_or_default()).ok()?;
    for line in lines {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(halves.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(halves.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    Some(request)
}

/// Plans a job. The first line is the body of SubmitJob, the rest that of RegisterJobDefinition.
/// The job is planned with this definition, if it is valid, and with one that is always valid.
pub fn jobs(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (job, definition) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(job) = json_object(job) else { return };
    let definition = json_object(definition).unwrap_or(Value::Null);
    plan(&job, definition);
    let good = serde_json::json!({
        "type": "container",
        "parameters": {"a": "1"},
        "retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "EXIT", "onExitCode": "1*"}]},
        "timeout": {"attemptDurationSeconds": 60},
        "containerProperties": {
            "image": "host", "command": ["true", "Ref::a"], "environment": [{"name": "A", "value": "1"}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "4"}],
        },
    });
    plan(&job, good);
}

/// Checks a job definition, and plans a job with it if it is valid.
fn plan(job: &Value, definition: Value) {
    if request::check_definition(&definition).is_err() {
        return;
    }
    let job_shares = job.get("shareIdentifier").is_some();
    let Ok(job) = request::shape::<SubmitJob>(job.clone()) else { return };
    let _ = request::names(&job);
    let definition = Definition { arn: "arn".to_owned(), name: "name".to_owned(), body: definition };
    let queue = Queue { name: "queue".to_owned(), enabled: true, shares: job_shares, platform: "EC2" };
    if let Ok(plan) = request::plan(job, &definition, &queue) {
        let nodes = plan.terms.nodes.as_ref().map_or(0, |nodes| nodes.each.len());
        for node in (0..nodes).filter_map(|n| u32::try_from(n).ok()).map(Some).chain([None]) {
            plan.spec.command(node);
            plan.spec.environment(node);
            plan.spec.log_group(node);
            plan.spec.log_stream(node, "task");
        }
    }
}

/// Matches a message, the rest, with a filter pattern of FilterLogEvents, the first line.
///
/// # Panics
/// When blanks around a pattern change it, or a longer message no longer matches.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, message) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(parsed) = Pattern::parse(pattern) else { return };
    parsed.matches(message);
    // Blanks around a pattern mean nothing; they count for its length only.
    let spaced = format!(" \t{pattern}\n ");
    if pattern.chars().count() < 1000 {
        assert_eq!(Pattern::parse(&spaced).as_ref(), Ok(&parsed), "{pattern:?}");
    }
    // A message that has every term of a pattern has them still when it is longer, if none is
    // excluded.
    if !pattern.contains('-') && parsed.matches(message) {
        assert!(parsed.matches(&format!("{message} and more")), "{pattern:?} {message:?}");
    }
}
