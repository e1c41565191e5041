//! `--dry-run`: the requests that would be sent, in the shapes of the services' APIs.

use serde_json::{Value, json};

use crate::aws::Session;
use crate::batch::definition::{Registration, registration_request};
use crate::config::{Cluster, secrets};
use crate::stage::PackedInputs;
use crate::ui::Failure;
use awsb_model::payload::{Bundle, launcher};
use awsb_model::request::SubmitRequest;
use awsb_model::{each_named_value, object_key, words};

/// The text that replaces the value of a secret.
const MASK: &str = "********";

/// The request that would register a job definition.
///
/// # Errors
/// When the SDK cannot write the request.
pub async fn registration(session: &Session, registration: &Registration) -> Result<Value, Failure> {
    let request = registration_request(session, registration).await?;
    Ok(json!({ "operation": "RegisterJobDefinition", "request": request }))
}

/// The requests, in the order in which they would be sent; `first` come first. The values of
/// secrets are masked.
///
/// # Errors
/// When the settings, which name secrets, cannot be read.
pub fn requests(
    cluster: &Cluster,
    first: Vec<Value>,
    bundles: &[Bundle],
    inputs: &PackedInputs,
    submissions: &[SubmitRequest],
) -> Result<Vec<Value>, Failure> {
    let secrets = secrets()?;
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
    let large = inputs.object();
    // The parts of an upload are shown as the object that they become.
    let put_large = large
        .map(|(name, length)| object("CompleteMultipartUpload", object_key(&cluster.prefix, &name), length));
    let submit =
        |request: &SubmitRequest| json!({ "operation": "SubmitJob", "request": without_bundle(request) });
    let limited = submissions.iter().find_map(|request| Some((request, request.limit.as_ref()?)));
    let limit = limited.map(|(submission, limit)| {
        let request = json!({
            "consumableResourceName": limit.name,
            "resourceType": "REPLENISHABLE",
            "totalQuantity": limit.quantity,
            "tags": limit.tags(submission.submitter().as_ref()),
        });
        json!({ "operation": "CreateConsumableResource", "request": request })
    });
    let mut requests: Vec<Value> = first
        .into_iter()
        .chain(put)
        .chain(put_large)
        .chain(limit)
        .chain(submissions.iter().map(submit))
        .collect();
    for request in &mut requests {
        each_named_value(request, &mut |_, name, value| {
            if secrets.is_secret(name, value) {
                MASK.clone_into(value);
            }
        });
    }
    Ok(requests)
}

/// The request without the files of the job in it, which are long and may hold secrets.
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
