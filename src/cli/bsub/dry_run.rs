//! `--dry-run`: what would be sent, in the services' own shapes.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::job::looks_like_a_secret;
use crate::job::request::SubmitRequest;
use crate::stage::{Bundle, launcher};

/// What stands for a value that looks like a secret.
const MASK: &str = "********";

/// The requests, in the order in which they would be sent.
pub fn requests(cluster: &Cluster, bundle: Option<&Bundle>, submissions: &[SubmitRequest]) -> Vec<Value> {
    let put = bundle.map(|bundle| {
        let request = json!({
            "Bucket": cluster.bucket,
            "Key": bundle.key(&cluster.prefix),
            "ContentLength": bundle.bytes().len(),
            "IfNoneMatch": "*",
        });
        json!({ "operation": "PutObject", "request": request })
    });
    let submit = |request: &SubmitRequest| json!({ "operation": "SubmitJob", "request": masked(request) });
    put.into_iter().chain(submissions.iter().map(submit)).collect()
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
