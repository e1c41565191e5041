//! The bundle goes to S3.

use std::collections::HashMap;
use std::time::Duration;

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

use super::checksum::md5_hex;
use super::parts::Sums;
use crate::aws::{Call, OPERATION_TIMEOUT, Session, explain};
use crate::ui::{Failure, note};
use awsb_model::payload::Bundle;

/// What a gzipped object is.
pub(super) const GZIP: &str = "application/gzip";
/// Bundles above this size are looked for before they are sent: a conditional put sends its body first.
const ASK_FIRST_BYTES: usize = 256 * 1024;
/// The slowest upload that is waited for.
const SLOWEST_BYTES_PER_SECOND: u64 = 20_000;
/// How often a put is tried while others put or delete the same object (S3 User Guide, conditional writes: "On
/// a 409 failure you should retry the upload").
const CONFLICTS: u32 = 5;
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// So many bundles are sent at once.
const AT_ONCE: usize = 8;

/// Stores bundles in the cluster's bucket, unless they are there already. One that is there and is another content is
/// replaced: by the time that this returns, if jobs fetch them; else by what is returned, which is to run beside the
/// submission.
///
/// # Errors
/// When the bucket is missing, may not be written or cannot be reached.
pub async fn upload(
    session: &Session,
    bundles: &[Bundle],
    are_fetched: bool,
) -> Result<Vec<Repair>, Failure> {
    let uploads = bundles.iter().map(|bundle| upload_one(session, bundle, are_fetched));
    let uploads = futures_util::stream::iter(uploads).buffer_unordered(AT_ONCE);
    let repairs: Vec<Option<Repair>> = uploads.try_collect().await?;
    Ok(repairs.into_iter().flatten().collect())
}

async fn upload_one(session: &Session, bundle: &Bundle, is_fetched: bool) -> Result<Option<Repair>, Failure> {
    let object = Object {
        session: session.clone(),
        key: bundle.key(&session.cluster.prefix),
        bytes: Bytes::copy_from_slice(bundle.bytes()),
        what: "the bundle",
        metadata: None,
    };
    if bundle.bytes().len() > ASK_FIRST_BYTES {
        match object.look().await? {
            Found::Same => {}
            Found::Different => drop(object.put(false).await?),
            Found::Nothing => drop(object.put(true).await?),
        }
        return Ok(None);
    }
    if !is_fetched {
        return Ok((object.put(true).await? == Put::IsThere).then_some(Repair(object)));
    }
    // A job that fetches it may begin as soon as it is submitted.
    let (put, found) = tokio::join!(object.put(true), object.look());
    if put? == Put::IsThere && found? == Found::Different {
        object.put(false).await?;
    }
    Ok(None)
}

/// A look at a bundle that was there already.
#[derive(Debug)]
pub struct Repair(Object);

impl Repair {
    /// Puts the bundle again if what is there is another content. The job has its own copy, so nothing is lost when this
    /// fails; then it is said.
    pub async fn run(self) {
        let repaired = async {
            if self.0.look().await? == Found::Different {
                self.0.put(false).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = repaired.await {
            note(format!("bsub: note: {failure}"));
        }
    }
}

/// An object that is named by its content, and small enough for one call.
#[derive(Debug)]
pub(super) struct Object {
    pub session: Session,
    pub key: String,
    pub bytes: Bytes,
    /// What it is, for messages.
    pub what: &'static str,
    /// Its metadata.
    pub metadata: Option<HashMap<String, String>>,
}

/// What a conditional put has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    IsThere,
}

/// What is at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The content that belongs there.
    Same,
    /// Another one.
    Different,
    /// Nothing, as far as one may look.
    Nothing,
}

impl Object {
    fn doing(&self) -> String {
        storing(&self.session, self.what, &self.key)
    }

    /// Whether this content is there.
    ///
    /// # Errors
    /// When the bucket cannot be asked.
    pub async fn look(&self) -> Result<Found, Failure> {
        let bytes = &self.bytes;
        let content = Content { length: bytes.len() as u64, sums: &Sums::of(bytes), bytes: Some(bytes) };
        look(&self.session, &self.key, &content, &self.doing()).await
    }

    /// Stores the bytes in one call; `if_absent`, unless something is there.
    ///
    /// # Errors
    /// As [`upload`].
    pub async fn put(&self, if_absent: bool) -> Result<Put, Failure> {
        let Session { s3, cluster, .. } = &self.session;
        let timeouts = TimeoutConfig::builder().operation_timeout(time_for(self.bytes.len() as u64)).build();
        for tries_left in (0..CONFLICTS).rev() {
            let put = s3
                .put_object()
                .bucket(&cluster.bucket)
                .key(&self.key)
                .set_if_none_match(if_absent.then(|| "*".to_owned()))
                .content_type(GZIP)
                .set_metadata(self.metadata.clone())
                // S3 keeps it, so that a later look can compare it.
                .checksum_sha256(base64_sha256(&self.bytes))
                .body(ByteStream::from(self.bytes.clone()))
                .customize()
                .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts.clone()))
                .send()
                .await;
            match put {
                Ok(_) => break,
                Err(e) if e.code() == Some("PreconditionFailed") => return Ok(Put::IsThere),
                // Somebody else stored or deleted it at this very moment, and it may not be there.
                Err(e) if e.code() == Some("ConditionalRequestConflict") && tries_left > 0 => {
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                }
                Err(e) => {
                    return Err(explain(&self.session, Call::new(&self.doing()).bucket(&cluster.bucket), &e));
                }
            }
        }
        Ok(Put::Done)
    }
}

fn base64_sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

/// Hexadecimal digits as S3 writes a checksum.
pub(super) fn base64_of_hex(digits: &str) -> String {
    BASE64_STANDARD.encode(hex::decode(digits).unwrap_or_default())
}

/// What is being done, for messages.
pub(super) fn storing(session: &Session, what: &str, key: &str) -> String {
    format!("storing {what} in s3://{}/{key}", session.cluster.bucket)
}

/// What an object should be.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// Its length in bytes.
    pub length: u64,
    /// Its checksums.
    pub sums: &'a Sums,
    /// The bytes, if they are at hand.
    pub bytes: Option<&'a [u8]>,
}

impl Content<'_> {
    /// Whether an object is this, as far as S3 tells. Where it has no checksum that we know, the ETag is the content's
    /// MD5 unless a key of KMS or of the client encrypts it (API: Object, `ETag`); then only the length tells.
    fn is(&self, head: &HeadObjectOutput) -> bool {
        let length = head.content_length().and_then(|length| u64::try_from(length).ok());
        if length != Some(self.length) {
            return false;
        }
        let sha256 = base64_of_hex(&self.sums.sha256);
        // A checksum of parts' checksums tells nothing of one of the whole content.
        let same = |ours: &str, theirs: Option<&str>| {
            theirs.filter(|theirs| !ours.is_empty() && !theirs.contains('-')).map(|theirs| ours == theirs)
        };
        let outcomes = [
            same(&sha256, head.checksum_sha256()),
            same(&self.sums.crc64nvme, head.checksum_crc64_nvme()),
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
    /// Whether this is its CRC-32: of the whole, or of its parts' (then S3 writes how many they were, and moto does not).
    /// `None`: of other parts than ours.
    fn has_crc32(&self, theirs: &str) -> Option<bool> {
        let Sums { of_parts, crc32, .. } = self.sums;
        let (of_ours, ours) = of_parts.split_once('-').unwrap_or_default();
        match theirs.split_once('-') {
            Some((sum, number)) => (number == ours).then_some(sum == of_ours),
            None if crc32.is_empty() => None,
            None => Some(theirs == crc32 || theirs == of_ours),
        }
    }
}

/// Whether this content is at a key of the cluster's bucket.
///
/// # Errors
/// When the bucket cannot be asked.
pub(super) async fn look(
    session: &Session,
    key: &str,
    content: &Content<'_>,
    doing: &str,
) -> Result<Found, Failure> {
    let head = session.s3.head_object().bucket(&session.cluster.bucket).key(key);
    match head.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) if content.is(&head) => Ok(Found::Same),
        Ok(_) => Ok(Found::Different),
        Err(e) if is_nothing(&e) => Ok(Found::Nothing),
        Err(e) => Err(explain(session, Call::new(doing).bucket(&session.cluster.bucket), &e)),
    }
}

/// Whether a look that fails says that nothing is there. Whoever may not list the bucket is told 403 for an object that is
/// missing: the put decides. 410 is said of one whose content the server has lost, and which a put replaces.
pub(super) fn is_nothing<E>(e: &SdkError<E>) -> bool {
    matches!(e.raw_response().map(|r| r.status().as_u16()), Some(403 | 404 | 410))
}

/// How long so many bytes may take.
pub(super) fn time_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND) + OPERATION_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_tells_of_an_object_is_compared() {
        let bytes = b"content";
        let sums = Sums::of(bytes);
        let (sha256, md5) = (base64_sha256(bytes), format!("\"{}\"", md5_hex(bytes)));
        let head = || HeadObjectOutput::builder().content_length(7);
        let is = |head: HeadObjectOutput| Content { length: 7, sums: &sums, bytes: Some(bytes) }.is(&head);
        let other = "AAAA";
        // Each checksum that is told has to be right.
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
        // Without one, the ETag, where it is an MD5.
        assert!(is(head().e_tag(&md5).build()));
        let another = "\"0a0364b9e99bb480dd25e1f0284c8555\"";
        assert!(!is(head().e_tag(another).build()));
        assert!(!is(head().e_tag(another).server_side_encryption(ServerSideEncryption::Aes256).build()));
        assert!(is(head().e_tag(another).server_side_encryption(ServerSideEncryption::AwsKms).build()));
        assert!(is(head().e_tag("\"x-2\"").checksum_sha256("AAAA-2").build()));
        // The length in any case.
        assert!(is(head().build()) && !is(HeadObjectOutput::builder().build()));
        assert!(!is(HeadObjectOutput::builder().content_length(8).checksum_sha256(&sha256).build()));
    }
}
