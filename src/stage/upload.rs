//! The bundle goes to S3.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::timeout::TimeoutConfig;
use std::time::Duration;

use super::Bundle;
use crate::cluster::{Session, explain};
use crate::ui::Failure;

/// Bundles above this size are asked for before they are sent: a conditional put sends its body first.
const ASK_FIRST_BYTES: usize = 256 * 1024;
/// The slowest upload that is waited for.
const SLOWEST_BYTES_PER_SECOND: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(13);

/// Stores the bundle in the cluster's bucket, unless it is there already.
///
/// # Errors
/// When the bucket is missing, may not be written or cannot be reached.
pub async fn upload(session: &Session, bundle: &Bundle) -> Result<(), Failure> {
    let bucket = &session.cluster.bucket;
    let key = bundle.key(&session.cluster.prefix);
    let doing = || format!("storing the bundle in s3://{bucket}/{key}");
    let size = bundle.bytes().len();
    if size > ASK_FIRST_BYTES {
        let head = session.s3.head_object().bucket(bucket).key(&key).send().await;
        // Whoever may not list the bucket is told 403 for an object that is missing: then the put decides.
        if head.is_ok_and(|h| h.content_length().is_some_and(|l| l == size as i64)) {
            return Ok(());
        }
    }
    let timeout = PATIENCE + Duration::from_secs(size as u64 / SLOWEST_BYTES_PER_SECOND);
    let timeouts = TimeoutConfig::builder().operation_timeout(timeout).build();
    let put = session
        .s3
        .put_object()
        .bucket(bucket)
        .key(&key)
        .if_none_match("*")
        .content_type("application/gzip")
        .body(ByteStream::from(bundle.bytes().to_vec()))
        .customize()
        .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts))
        .send()
        .await;
    match put {
        Ok(_) => Ok(()),
        // The same content is there: stored before, or by another submission at this very moment (409).
        Err(e) if matches!(e.code(), Some("PreconditionFailed" | "ConditionalRequestConflict")) => Ok(()),
        Err(e) => Err(explain(session, &doing(), &e)),
    }
}
