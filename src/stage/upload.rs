//! Uploads bundles to S3.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::checksum::{Checksums, md5_hex};
use crate::aws::{Call, OPERATION_TIMEOUT, Session, explain};
use crate::ui::{Failure, print_message};
use awsb_model::payload::Bundle;

/// The `Content-Type` of a gzipped object.
pub(super) const GZIP: &str = "application/gzip";
/// S3 is asked for bundles above this size before they are sent, because a conditional put sends
/// its body first.
const HEAD_FIRST_BYTES: usize = 256 * 1024;
/// An upload that is slower times out.
const SLOWEST_BYTES_PER_SECOND: u64 = 20_000;
/// A put is tried at most this many times while others put or delete the same object (S3 User
/// Guide, conditional writes: "On a 409 failure you should retry the upload").
const MAX_ATTEMPTS: u32 = 5;
/// The pause between two attempts.
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// A bundle that was stored longer ago is stored again when a job uses it. `awsb prune` removes
/// unused bundles of twice this age by default, and never one of this age.
pub const REFRESH_AFTER: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// At most this many bundles are sent at the same time.
const CONCURRENCY: usize = 8;

/// Stores bundles in the cluster's bucket, unless they exist already. An object with another
/// content is replaced: before this returns if jobs fetch the bundles, otherwise by the returned
/// repairs, which run beside the submission.
///
/// # Errors
/// When the bucket is missing, may not be written or cannot be reached.
pub async fn upload(
    session: &Session,
    bundles: &[Bundle],
    are_fetched: bool,
) -> Result<Vec<Repair>, Failure> {
    let uploads = bundles.iter().map(|bundle| upload_one(session, bundle, are_fetched));
    let uploads = futures_util::stream::iter(uploads).buffer_unordered(CONCURRENCY);
    let repairs: Vec<Option<Repair>> = uploads.try_collect().await?;
    Ok(repairs.into_iter().flatten().collect())
}

async fn upload_one(session: &Session, bundle: &Bundle, is_fetched: bool) -> Result<Option<Repair>, Failure> {
    let object = Object {
        session: session.clone(),
        key: bundle.key(&session.cluster.prefix),
        bytes: Bytes::copy_from_slice(bundle.bytes()),
        what: "the bundle",
        content_type: GZIP,
        metadata: None,
    };
    if bundle.bytes().len() > HEAD_FIRST_BYTES {
        match object.inspect().await? {
            ObjectState::Same => {}
            ObjectState::Different | ObjectState::Old => drop(object.put(false).await?),
            ObjectState::Missing => drop(object.put(true).await?),
        }
        return Ok(None);
    }
    if !is_fetched {
        return Ok((object.put(true).await? == PutOutcome::Exists).then_some(Repair(object)));
    }
    // A job that fetches the bundle can begin as soon as it is submitted.
    let (put, found) = tokio::join!(object.put(true), object.inspect());
    if put? == PutOutcome::Exists && matches!(found?, ObjectState::Different | ObjectState::Old) {
        object.put(false).await?;
    }
    Ok(None)
}

/// The check of a bundle that existed already.
#[derive(Debug)]
pub struct Repair(Object);

impl Repair {
    /// Stores the bundle again if the object has another content or is old. The job has its own
    /// copy, so a failure is only printed.
    pub async fn run(self) {
        let repaired = async {
            if matches!(self.0.inspect().await?, ObjectState::Different | ObjectState::Old) {
                self.0.put(false).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = repaired.await {
            print_message(format!("bsub: note: {failure}"));
        }
    }
}

/// An object that is named by its content, and small enough for one call.
#[derive(Debug)]
pub(super) struct Object {
    pub session: Session,
    pub key: String,
    pub bytes: Bytes,
    /// Its name in messages.
    pub what: &'static str,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its metadata.
    pub metadata: Option<HashMap<String, String>>,
}

/// The outcome of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutOutcome {
    Stored,
    Exists,
}

/// The state of an object in comparison with a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// It has the content.
    Same,
    /// It has the content, and was stored longer ago than [`REFRESH_AFTER`].
    Old,
    /// It has another content.
    Different,
    /// It does not exist, as far as this user may look.
    Missing,
}

impl Object {
    fn doing(&self) -> String {
        storing(&self.session, self.what, &self.key)
    }

    /// Compares the object in the bucket with this content.
    ///
    /// # Errors
    /// When the bucket cannot be asked.
    pub async fn inspect(&self) -> Result<ObjectState, Failure> {
        let bytes = &self.bytes;
        let content =
            Content { length: bytes.len() as u64, checksums: &Checksums::of(bytes), bytes: Some(bytes) };
        inspect(&self.session, &self.key, &content, &self.doing()).await
    }

    /// Stores the bytes in one call; with `if_absent` only if the object does not exist.
    ///
    /// # Errors
    /// As [`upload`].
    pub async fn put(&self, if_absent: bool) -> Result<PutOutcome, Failure> {
        let Session { s3, cluster, .. } = &self.session;
        let timeouts = TimeoutConfig::builder().operation_timeout(time_for(self.bytes.len() as u64)).build();
        for attempts_left in (0..MAX_ATTEMPTS).rev() {
            let put = s3
                .put_object()
                .bucket(&cluster.bucket)
                .key(&self.key)
                .set_if_none_match(if_absent.then(|| "*".to_owned()))
                .content_type(self.content_type)
                .set_metadata(self.metadata.clone())
                // S3 stores the checksum, so that it can be compared later.
                .checksum_sha256(base64_sha256(&self.bytes))
                .body(ByteStream::from(self.bytes.clone()))
                .customize()
                .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts.clone()))
                .send()
                .await;
            match put {
                Ok(_) => break,
                Err(e) if e.code() == Some("PreconditionFailed") => return Ok(PutOutcome::Exists),
                // Somebody else stored or deleted the object at the same time, so it may not exist.
                Err(e) if e.code() == Some("ConditionalRequestConflict") && attempts_left > 0 => {
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                }
                Err(e) => {
                    return Err(explain(&self.session, Call::new(&self.doing()).bucket(&cluster.bucket), &e));
                }
            }
        }
        Ok(PutOutcome::Stored)
    }
}

fn base64_sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

/// Hexadecimal digits as S3 writes a checksum.
pub(super) fn base64_of_hex(digits: &str) -> String {
    BASE64_STANDARD.encode(hex::decode(digits).unwrap_or_default())
}

/// The operation in the words of messages.
pub(super) fn storing(session: &Session, what: &str, key: &str) -> String {
    format!("storing {what} in s3://{}/{key}", session.cluster.bucket)
}

/// The expected content of an object.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// Its length in bytes.
    pub length: u64,
    /// Its checksums.
    pub checksums: &'a Checksums,
    /// The bytes, if they are in memory.
    pub bytes: Option<&'a [u8]>,
}

impl Content<'_> {
    /// Whether an object has this content, as far as its metadata show. Without a checksum that can
    /// be compared, the ETag is the content's MD5, unless a key of KMS or of the client encrypts it
    /// (API: Object, `ETag`). Then only the length is compared.
    fn is(&self, head: &HeadObjectOutput) -> bool {
        let length = head.content_length().and_then(|length| u64::try_from(length).ok());
        if length != Some(self.length) {
            return false;
        }
        let sha256 = base64_of_hex(&self.checksums.sha256);
        // A checksum of the parts' checksums cannot be compared with one of the whole content.
        let same = |ours: &str, theirs: Option<&str>| {
            theirs.filter(|theirs| !ours.is_empty() && !theirs.contains('-')).map(|theirs| ours == theirs)
        };
        let outcomes = [
            same(&sha256, head.checksum_sha256()),
            same(&self.checksums.crc64nvme, head.checksum_crc64_nvme()),
            head.checksum_crc32().and_then(|theirs| self.has_crc32(theirs)),
        ];
        if outcomes.iter().any(Option::is_some) {
            return !outcomes.contains(&Some(false));
        }
        let etag = head.e_tag().unwrap_or_default().trim_matches('"');
        let is_md5 = etag.len() == 32
            && head.sse_customer_algorithm().is_none()
            && matches!(head.server_side_encryption(), None | Some(ServerSideEncryption::Aes256));
        match self.bytes.filter(|_| is_md5) {
            Some(bytes) => etag == md5_hex(bytes),
            None => true,
        }
    }
}

impl Content<'_> {
    /// Whether this is its CRC-32, of the whole or of its parts. For parts, S3 writes their number
    /// behind it, and moto does not. `None` for another number of parts than ours.
    fn has_crc32(&self, theirs: &str) -> Option<bool> {
        let Checksums { of_parts, crc32, .. } = self.checksums;
        let (of_ours, ours) = of_parts.split_once('-').unwrap_or_default();
        match theirs.split_once('-') {
            Some((sum, number)) => (number == ours).then_some(sum == of_ours),
            None if crc32.is_empty() => None,
            None => Some(theirs == crc32 || theirs == of_ours),
        }
    }
}

/// Compares the object at a key of the cluster's bucket with a content.
///
/// # Errors
/// When the bucket cannot be asked.
pub(super) async fn inspect(
    session: &Session,
    key: &str,
    content: &Content<'_>,
    doing: &str,
) -> Result<ObjectState, Failure> {
    let head = session.s3.head_object().bucket(&session.cluster.bucket).key(key);
    match head.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) if content.is(&head) && is_old(&head) => Ok(ObjectState::Old),
        Ok(head) if content.is(&head) => Ok(ObjectState::Same),
        Ok(_) => Ok(ObjectState::Different),
        Err(e) if is_missing(&e) => Ok(ObjectState::Missing),
        Err(e) => Err(explain(session, Call::new(doing).bucket(&session.cluster.bucket), &e)),
    }
}

/// Whether an object was stored longer ago than [`REFRESH_AFTER`].
fn is_old(head: &HeadObjectOutput) -> bool {
    let limit = SystemTime::now().checked_sub(REFRESH_AFTER).map(aws_smithy_types::DateTime::from);
    head.last_modified().zip(limit).is_some_and(|(modified, limit)| *modified < limit)
}

/// Whether the error of a look-up means that the object does not exist. A user who may not list the
/// bucket gets 403 for a missing object; then the put decides. 410 means that the server has lost
/// the content, which a put replaces.
pub(super) fn is_missing<E>(e: &SdkError<E>) -> bool {
    matches!(e.raw_response().map(|r| r.status().as_u16()), Some(403 | 404 | 410))
}

/// The time limit for sending this many bytes.
pub(super) fn time_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND) + OPERATION_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_an_object_are_compared() {
        let bytes = b"content";
        let sums = Checksums::of(bytes);
        let (sha256, md5) = (base64_sha256(bytes), format!("\"{}\"", md5_hex(bytes)));
        let head = || HeadObjectOutput::builder().content_length(7);
        let is =
            |head: HeadObjectOutput| Content { length: 7, checksums: &sums, bytes: Some(bytes) }.is(&head);
        let other = "AAAA";
        // Every checksum that S3 has must be right.
        assert!(is(head().checksum_sha256(&sha256).checksum_crc32(&sums.crc32).build()));
        assert!(!is(head().checksum_sha256(&sha256).checksum_crc32(other).build()));
        assert!(!is(head().checksum_sha256(other).e_tag(&md5).build()));
        assert!(is(head().checksum_crc32(&sums.of_parts).build()));
        assert!(!is(head().checksum_crc32("AAAA-1").build()));
        assert!(is(head().checksum_crc32("AAAA-2").build()), "cut otherwise");
        assert!(is(head().checksum_crc32(sums.of_parts.trim_end_matches("-1")).build()), "moto's way");
        assert!(!is(head().checksum_crc32(other).build()));
        assert!(is(head().checksum_crc64_nvme(&sums.crc64nvme).build()));
        assert!(!is(head().checksum_crc64_nvme(other).build()));
        // Without a checksum, an ETag that is an MD5 is compared.
        assert!(is(head().e_tag(&md5).build()));
        let another = "\"0a0364b9e99bb480dd25e1f0284c8555\"";
        assert!(!is(head().e_tag(another).build()));
        assert!(!is(head().e_tag(another).server_side_encryption(ServerSideEncryption::Aes256).build()));
        assert!(is(head().e_tag(another).server_side_encryption(ServerSideEncryption::AwsKms).build()));
        assert!(is(head().e_tag("\"x-2\"").checksum_sha256("AAAA-2").build()));
        // The length is always compared.
        assert!(is(head().build()) && !is(HeadObjectOutput::builder().build()));
        assert!(!is(HeadObjectOutput::builder().content_length(8).checksum_sha256(&sha256).build()));
    }
}
