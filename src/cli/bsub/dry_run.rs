//! `--dry-run`: what would be sent, in the services' own shapes.

use serde_json::{Value, json};

use crate::config::Cluster;
use crate::stage::Baggage;
use awsb_model::payload::{Bundle, launcher};
use awsb_model::request::SubmitRequest;
use awsb_model::{Secrets, each_named_value, object_key, words};

/// What stands for the value of a secret.
const MASK: &str = "********";

/// A request that would register a job definition.
pub fn registration(request: Value) -> Value {
    json!({ "operation": "RegisterJobDefinition", "request": request })
}

/// The requests, in the order in which they would be sent; `first` come first. The values of secrets are masked.
pub fn requests(
    cluster: &Cluster,
    secrets: &Secrets,
    first: impl Iterator<Item = Value>,
    bundles: &[Bundle],
    baggage: &Baggage,
    submissions: &[SubmitRequest],
) -> Vec<Value> {
    let object = |operation: &str, key: String, length: u64| {
        let request = json!({
            "Bucket": cluster.bucket,
            "Key": key,
            "ContentLength": length,
            "IfNoneMatch": "*",
        });
        json!({ "operation": operation, "request": request })
    };
    let put = bundles.iter().map(|b| object("PutObject", b.key(&cluster.prefix), b.bytes().len() as u64));
    let large = baggage.object();
    // Its parts are told as the one object that they become.
    let put_large = large
        .map(|(name, length)| object("CompleteMultipartUpload", object_key(&cluster.prefix, &name), length));
    let submit =
        |request: &SubmitRequest| json!({ "operation": "SubmitJob", "request": without_bundle(request) });
    let mut requests: Vec<Value> =
        first.chain(put).chain(put_large).chain(submissions.iter().map(submit)).collect();
    for request in &mut requests {
        each_named_value(request, &mut |_, name, value| {
            if secrets.is_secret(name, value) {
                MASK.clone_into(value);
            }
        });
    }
    requests
}

/// The request without what was staged in it: that is long, and may hold secrets.
fn without_bundle(request: &SubmitRequest) -> SubmitRequest {
    let mut request = request.clone();
    for overrides in request.overrides_mut() {
        for variable in &mut overrides.environment {
            if launcher::carries(&variable.name, &variable.value) {
                variable.value = format!("({})", words::many(variable.value.chars().count(), "character"));
            }
        }
    }
    request
}
