//! The bundle goes to S3.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use std::time::Duration;

use super::Bundle;
use crate::cluster::{OPERATION_TIMEOUT, Session, explain};
use crate::ui::Failure;

/// What a gzipped object is.
pub(super) const GZIP: &str = "application/gzip";
/// Bundles above this size are asked for before they are sent: a conditional put sends its body first.
const ASK_FIRST_BYTES: usize = 256 * 1024;
/// The slowest upload that is waited for.
const SLOWEST_BYTES_PER_SECOND: u64 = 20_000;
/// How often a put is tried while others put or delete the same object (S3 User Guide, conditional writes: "On
/// a 409 failure you should retry the upload").
const CONFLICTS: u32 = 5;
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// Stores the bundle in the cluster's bucket, unless it is there already.
///
/// # Errors
/// When the bucket is missing, may not be written or cannot be reached.
pub async fn upload(session: &Session, bundle: &Bundle) -> Result<(), Failure> {
    let key = bundle.key(&session.cluster.prefix);
    let doing = || storing(session, "the bundle", &key);
    let size = bundle.bytes().len();
    if size > ASK_FIRST_BYTES && length_of(session, &key, &doing()).await? == Some(size as u64) {
        return Ok(());
    }
    put(session, &key, Bytes::copy_from_slice(bundle.bytes()), &doing()).await
}

/// What is being done, for messages.
pub(super) fn storing(session: &Session, what: &str, key: &str) -> String {
    format!("storing {what} in s3://{}/{key}", session.cluster.bucket)
}

/// The length of an object of the cluster's bucket, if it is there.
///
/// # Errors
/// When the bucket cannot be asked.
pub(super) async fn length_of(session: &Session, key: &str, doing: &str) -> Result<Option<u64>, Failure> {
    match session.s3.head_object().bucket(&session.cluster.bucket).key(key).send().await {
        Ok(head) => Ok(head.content_length().and_then(|l| u64::try_from(l).ok())),
        // Whoever may not list the bucket is told 403 for an object that is missing: the put decides.
        Err(e) if matches!(e.raw_response().map(|r| r.status().as_u16()), Some(403 | 404)) => Ok(None),
        Err(e) => Err(explain(session, doing, &e)),
    }
}

/// Stores gzipped bytes in one call, unless something is there.
///
/// # Errors
/// As [`upload`].
pub(super) async fn put(session: &Session, key: &str, bytes: Bytes, doing: &str) -> Result<(), Failure> {
    let timeouts = TimeoutConfig::builder().operation_timeout(time_for(bytes.len() as u64)).build();
    for tries_left in (0..CONFLICTS).rev() {
        let put = session
            .s3
            .put_object()
            .bucket(&session.cluster.bucket)
            .key(key)
            .if_none_match("*")
            .content_type(GZIP)
            .body(ByteStream::from(bytes.clone()))
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts.clone()))
            .send()
            .await;
        match put {
            Ok(_) => break,
            // The same content is there.
            Err(e) if e.code() == Some("PreconditionFailed") => break,
            // Somebody else stored or deleted it at this very moment, and it may not be there.
            Err(e) if e.code() == Some("ConditionalRequestConflict") && tries_left > 0 => {
                tokio::time::sleep(CONFLICT_PAUSE).await;
            }
            Err(e) => return Err(explain(session, doing, &e)),
        }
    }
    Ok(())
}

/// How long so many bytes may take.
pub(super) fn time_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND) + OPERATION_TIMEOUT
}
