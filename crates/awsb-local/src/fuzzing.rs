//! A door for `fuzz/`, which is open with the feature `fuzzing` only: what strangers can send,
//! given to what reads it first.
//!
//! Nothing is returned: what is looked for are panics, overflows and loops without an end. What has
//! to hold beyond that is asserted here.

use std::sync::OnceLock;

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

use crate::access::{Credentials, Keys, Secrets};
use crate::http::body::json_object;
use crate::http::signature;
use crate::logs::pattern::Pattern;
use crate::{batch, s3};

/// A request of which the first line is `METHOD URI`, and each other one `NAME: VALUE`: which
/// service it means, whether its claim holds, and whether its signature does.
///
/// # Panics
/// When a signature is good: nobody knows the secret.
pub fn request(head: &[u8], body: &[u8]) {
    let Some(request) = self::head(head) else { return };
    let _ = signature::scope(&request);
    let _ = signature::check_s3(&request);
    let _ = json_object(body);
    // The secrets are no bytes that a fuzzer could have found a signature with.
    let secret = || uuid::Uuid::new_v4().to_string();
    let owner = Credentials { access_key_id: "AKIDEXAMPLE".to_owned(), secret_access_key: secret() };
    let keys = Keys::new(Secrets { owner, jobs: secret() });
    let (parts, ()) = request.into_parts();
    signature::parameters(&parts, body);
    // The time of the seeds, so that the claim is read to its end.
    if let Ok(signed) = signature::SignedRequest::parse(&parts, &keys, 1_440_938_160_000) {
        assert!(signed.verify(&parts, body).is_err(), "a forged signature is good");
    }
}

/// The head of a request of which the first line is `METHOD URI`, and each other one `NAME: VALUE`.
pub(super) fn head(text: &[u8]) -> Option<Request<()>> {
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

/// Requests to S3: see [`s3::fuzzing::Service::requests`].
///
/// # Panics
/// When the store cannot be opened.
pub fn s3(data: &[u8]) {
    storage().requests(data);
}

/// An aws-chunked body for S3: see [`s3::fuzzing::Service::chunked`].
///
/// # Panics
/// When the store cannot be opened.
pub fn chunked(data: &[u8]) {
    storage().chunked(data);
}

fn storage() -> &'static s3::fuzzing::Service {
    static SERVICE: OnceLock<s3::fuzzing::Service> = OnceLock::new();
    SERVICE
        .get_or_init(|| s3::fuzzing::Service::new().expect("a store can be opened in the temporary folder"))
}

/// The bodies of a SubmitJob and of a RegisterJobDefinition: the job is planned with the
/// definition, if it is one, and with one that is good.
pub fn job(job: &[u8], definition: &[u8]) {
    let Ok(job) = json_object(job) else { return };
    let definition = json_object(definition).unwrap_or(Value::Null);
    batch::fuzzing::plan(&job, definition);
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
    batch::fuzzing::plan(&job, good);
}

/// A filter pattern, and a message to match it with.
///
/// # Panics
/// When a pattern means something else than what is in it.
pub fn pattern(pattern: &str, message: &str) {
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
