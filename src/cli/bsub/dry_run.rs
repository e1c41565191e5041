//! `--dry-run`: what would be sent, in the services' own shapes.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::job::request::SubmitRequest;
use crate::job::{looks_like_a_secret, object_key};
use crate::stage::{Baggage, Bundle, launcher};

/// What stands for a value that looks like a secret.
const MASK: &str = "********";

/// A request that would register a job definition.
pub fn registration(mut request: Value) -> Value {
    mask_variables(&mut request);
    json!({ "operation": "RegisterJobDefinition", "request": request })
}

/// A value as it is shown.
pub fn masked_value<'a>(name: &str, value: &'a str) -> &'a str {
    if looks_like_a_secret(name) { MASK } else { value }
}

/// The requests, in the order in which they would be sent; `first` come first.
pub fn requests(
    cluster: &Cluster,
    first: impl Iterator<Item = Value>,
    bundle: Option<&Bundle>,
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
    let put = bundle.map(|b| object("PutObject", b.key(&cluster.prefix), b.bytes().len() as u64));
    let large = baggage.object();
    // Its parts are told as the one object that they become.
    let put_large = large
        .map(|(name, length)| object("CompleteMultipartUpload", object_key(&cluster.prefix, &name), length));
    let submit = |request: &SubmitRequest| json!({ "operation": "SubmitJob", "request": masked(request) });
    first.chain(put).chain(put_large).chain(submissions.iter().map(submit)).collect()
}

/// Masks the variables of a job definition's containers that look like secrets.
fn mask_variables(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str);
            if name.is_some_and(looks_like_a_secret) && fields.contains_key("value") {
                fields.insert("value".to_owned(), json!(MASK));
            }
            fields.values_mut().for_each(mask_variables);
        }
        Value::Array(all) => all.iter_mut().for_each(mask_variables),
        _ => {}
    }
}

/// The request without values of variables that look like secrets. A bundle inside it may hold them, too.
fn masked(request: &SubmitRequest) -> SubmitRequest {
    let mut masked = request.clone();
    for overrides in masked.overrides_mut() {
        for variable in &mut overrides.environment {
            let is_bundle =
                variable.name == launcher::BUNDLE_VARIABLE && !variable.value.starts_with("s3://");
            if is_bundle {
                variable.value = format!("({} characters of base64)", variable.value.len());
            } else if looks_like_a_secret(&variable.name) {
                variable.value = MASK.to_owned();
            }
        }
    }
    masked
}
