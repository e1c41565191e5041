//! The object of a key, in the cluster's bucket.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;

use crate::aws::{Call, ObjectReader, Session, explain};
use crate::batch::protocol::{ETag, Record};
use crate::ui::Failure;
use awsb_model::OnceKey;

/// The longest record, in bytes: some hundreds for each of the jobs that make up a large array.
const LONGEST_RECORD: u64 = 4 << 20;

/// The place of a key's record. S3 is strongly consistent: what is read is what was written last.
#[derive(Debug)]
pub struct Store {
    bucket: String,
    object: String,
}

impl Store {
    /// The place of this key.
    pub fn new(session: &Session, key: &OnceKey) -> Self {
        let cluster = &session.cluster;
        Self { bucket: cluster.bucket.clone(), object: key.object(&cluster.prefix) }
    }

    /// Its address, for people.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.object)
    }

    /// The record, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub async fn get(&self, session: &Session) -> Result<Option<(Record, ETag)>, Failure> {
        let doing = format!("reading {}", self.url());
        let remove = format!("`aws s3 rm {}` removes the key", self.url());
        let sent = session.s3.get_object().bucket(&self.bucket).key(&self.object).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(e) if e.code() == Some("NoSuchKey") => return Ok(None),
            Err(e) => return Err(explain(session, Call::new(&doing).bucket(&self.bucket), &e)),
        };
        let etag = ETag(answer.e_tag().unwrap_or_default().to_owned());
        // Jobs can write here, too.
        let too_long =
            Failure::failed(format!("{doing}: the object is too long for a record of a submission"))
                .hint(&remove);
        let body = ObjectReader::new(answer, LONGEST_RECORD, &doing, too_long)?.whole().await?;
        let record = serde_json::from_slice(&body).map_err(|e| {
            Failure::failed(format!("{doing}: the object is not a record of a submission: {e}")).hint(&remove)
        })?;
        Ok(Some((record, etag)))
    }

    /// Writes the record, if there is none or if the one there is still the version `over`; `None`
    /// when that is not so. It may have been ourselves, as the SDK repeats a put whose answer was
    /// lost.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(
        &self,
        session: &Session,
        record: &Record,
        over: Option<&ETag>,
    ) -> Result<Option<ETag>, Failure> {
        let doing = || format!("writing {}", self.url());
        let body =
            serde_json::to_vec_pretty(record).map_err(|e| Failure::failed(format!("{}: {e}", doing())))?;
        let put = session
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(&self.object)
            .content_type("application/json")
            .body(ByteStream::from(body));
        let put = match over {
            None => put.if_none_match("*"),
            Some(etag) => put.if_match(&etag.0),
        };
        match put.send().await {
            Ok(answer) => Ok(Some(ETag(answer.e_tag().unwrap_or_default().to_owned()))),
            Err(e) if is_conflict(&e) => Ok(None),
            Err(e) => Err(explain(session, Call::new(&doing()).bucket(&self.bucket), &e)),
        }
    }
}

/// A condition that does not hold: 412, 409 and, where the version to be replaced has been deleted,
/// 404 (S3 User Guide, conditional writes).
fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|r| r.status().as_u16());
    matches!(status, Some(404 | 409 | 412)) && error.code() != Some("NoSuchBucket")
}
