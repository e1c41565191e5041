//! Empties the bucket of a cluster.

use std::cell::Cell;
use std::pin::pin;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::aws::{Call, Session, explain, next_markers};
use crate::stage::decode_key;
use crate::ui::{ErrorKind, Failure};

/// At most this many calls that delete objects run at the same time.
const CONCURRENCY: usize = 8;
/// The objects that one call deletes (S3 API, `DeleteObjects`: up to 1,000 keys).
const PER_CALL: usize = 1000;
/// Others may write while a bucket is emptied, so it is listed until nothing is left: at most this
/// many times.
const PASSES: usize = 5;
/// At most this many pages of 1,000 versions are counted for a question.
const COUNTED_PAGES: usize = 10;

/// The content of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BucketContent {
    /// The versions of objects, as far as they were counted.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether there are more than were counted.
    pub has_more: bool,
}

/// Counts the objects of a bucket, up to 10,000. `None`: there is no such bucket.
///
/// # Errors
/// When S3 cannot be asked.
pub async fn content(session: &Session, bucket: &str) -> Result<Option<BucketContent>, Failure> {
    let mut content = BucketContent::default();
    let (mut key, mut version) = (None, None);
    for _ in 0..COUNTED_PAGES {
        let call = session.s3.list_object_versions().bucket(bucket).set_key_marker(key);
        let page = match call.set_version_id_marker(version).encoding_type(EncodingType::Url).send().await {
            Ok(page) => page,
            Err(e) if e.code() == Some("NoSuchBucket") => return Ok(None),
            Err(e) => return Err(listing(session, bucket, &e)),
        };
        content.objects += (page.versions().len() + page.delete_markers().len()) as u64;
        let bytes = page.versions().iter().filter_map(|version| version.size());
        let bytes = bytes.filter_map(|bytes| u64::try_from(bytes).ok());
        content.bytes = bytes.fold(content.bytes, u64::saturating_add);
        content.has_more = page.is_truncated().unwrap_or_default();
        if !content.has_more {
            break;
        }
        // The markers of the next page are encoded as the keys are, and are sent decoded.
        key = page.next_key_marker.map(|key| decode_key(&key, page.encoding_type.as_ref()));
        version = page.next_version_id_marker;
    }
    Ok(Some(content))
}

fn listing<E>(session: &Session, bucket: &str, error: &aws_sdk_s3::error::SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    explain(session, Call::new(&format!("listing the objects of the bucket {bucket}")).bucket(bucket), error)
}

/// Removes all objects of a bucket with all their versions, and all uploads that are not complete.
/// `report` is told how many have been removed so far. A bucket that does not exist is empty.
///
/// # Errors
/// When S3 refuses or cannot be asked. Objects that were removed until then stay removed; the same
/// call goes on.
pub async fn empty(session: &Session, bucket: &str, report: impl Fn(u64)) -> Result<u64, Failure> {
    let removed = Cell::new(0_u64);
    for _ in 0..PASSES {
        let before = removed.get();
        let mut pages = pin!(
            versions(session, bucket)
                .map(|page| async {
                    for chunk in page?.chunks(PER_CALL) {
                        remove(session, bucket, chunk).await?;
                        removed.set(removed.get() + chunk.len() as u64);
                        report(removed.get());
                    }
                    Ok::<(), Failure>(())
                })
                .buffer_unordered(CONCURRENCY)
        );
        while let Some(outcome) = pages.next().await {
            outcome?;
        }
        let uploads = abort_uploads(session, bucket).await?;
        if removed.get() == before && uploads == 0 {
            return Ok(removed.get());
        }
    }
    Err(Failure::failed(format!("emptying the bucket {bucket}: somebody keeps writing into it"))
        .hint("end what writes into it, such as a job that runs elsewhere; the same command goes on"))
}

/// The versions and delete markers of a bucket, page by page.
fn versions<'a>(
    session: &'a Session,
    bucket: &'a str,
) -> impl stream::Stream<Item = Result<Vec<ObjectIdentifier>, Failure>> + 'a {
    let first = Some((None::<String>, None::<String>));
    stream::try_unfold(first, move |marker| async move {
        let Some((key, version)) = marker else { return Ok(None) };
        let call = session.s3.list_object_versions().bucket(bucket).set_key_marker(key.clone());
        let page =
            match call.set_version_id_marker(version.clone()).encoding_type(EncodingType::Url).send().await {
                Ok(page) => page,
                Err(e) if e.code() == Some("NoSuchBucket") => return Ok(None),
                Err(e) => return Err(listing(session, bucket, &e)),
            };
        let encoding = page.encoding_type.clone();
        let named = |key: Option<&str>, version: Option<&str>| {
            let key = decode_key(key?, encoding.as_ref());
            // Without a version, a bucket whose versioning is suspended would get a delete marker.
            let version = version.filter(|version| !version.is_empty()).map(str::to_owned);
            ObjectIdentifier::builder().key(key).set_version_id(version).build().ok()
        };
        let objects = page.versions().iter().map(|v| (v.key(), v.version_id()));
        let markers = page.delete_markers().iter().map(|m| (m.key(), m.version_id()));
        let found: Vec<ObjectIdentifier> =
            objects.chain(markers).filter_map(|(key, version)| named(key, version)).collect();
        let asked_key = key;
        let next = page.is_truncated().unwrap_or_default().then(|| {
            let key = page.next_key_marker.map(|key| decode_key(&key, encoding.as_ref()));
            next_markers(&(asked_key, version), (key, page.next_version_id_marker))
        });
        let next = next
            .transpose()
            .map_err(|e| Failure::failed(format!("listing the objects of the bucket {bucket}: {e}")))?;
        Ok(Some((found, next)))
    })
    .try_filter(|page| std::future::ready(!page.is_empty()))
}

async fn remove(session: &Session, bucket: &str, objects: &[ObjectIdentifier]) -> Result<(), Failure> {
    let doing = format!("removing objects from the bucket {bucket}");
    let delete = Delete::builder().set_objects(Some(objects.to_vec())).quiet(true).build();
    let delete = delete.map_err(|e| Failure::failed(format!("{doing}: {e}")))?;
    let answer = session.s3.delete_objects().bucket(bucket).delete(delete).send().await;
    let answer = answer.map_err(|e| explain(session, Call::new(&doing).bucket(bucket), &e))?;
    let Some(error) = answer.errors().first() else { return Ok(()) };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let (key, code, message) = (text(error.key()), text(error.code()), text(error.message()));
    let kind = if code.starts_with("AccessDenied") { ErrorKind::AccessDenied } else { ErrorKind::Other };
    let others = answer.errors().len() - 1;
    let others = if others > 0 { format!(", and {others} more") } else { String::new() };
    Err(Failure::new(kind, format!("{doing}: {key}: {code}: {message}{others}")).hint(format!(
        "a bucket policy or an object lock may protect it: `{}` and `{}` show them",
        session.aws_command(&format!("s3api get-bucket-policy --bucket {bucket}")),
        session.aws_command(&format!("s3api get-object-lock-configuration --bucket {bucket}"))
    )))
}

/// Removes all uploads that are not complete, and returns their number.
async fn abort_uploads(session: &Session, bucket: &str) -> Result<usize, Failure> {
    let mut aborted = 0;
    let (mut key, mut id) = (None::<String>, None::<String>);
    loop {
        let doing = format!("removing unfinished uploads from the bucket {bucket}");
        let call = session.s3.list_multipart_uploads().bucket(bucket).encoding_type(EncodingType::Url);
        let page = match call.set_key_marker(key.clone()).set_upload_id_marker(id.clone()).send().await {
            Ok(page) => page,
            Err(e) if e.code() == Some("NoSuchBucket") => return Ok(aborted),
            Err(e) => return Err(explain(session, Call::new(&doing).bucket(bucket), &e)),
        };
        let has_more = page.is_truncated().unwrap_or_default();
        let next_key = page.next_key_marker.as_deref();
        let next_key = next_key.map(|key| decode_key(key, page.encoding_type.as_ref()));
        let next = (next_key, page.next_upload_id_marker.clone());
        aborted += abort(session, bucket, page, &doing).await?;
        if !has_more || next.0.is_none() {
            return Ok(aborted);
        }
        let next = next_markers(&(key, id), next);
        (key, id) = next.map_err(|e| Failure::failed(format!("{doing}: {e}")))?;
    }
}

/// Removes the uploads of a page, and returns their number.
async fn abort(
    session: &Session,
    bucket: &str,
    page: ListMultipartUploadsOutput,
    doing: &str,
) -> Result<usize, Failure> {
    let encoding = page.encoding_type.clone();
    let uploads = page.uploads.unwrap_or_default().into_iter();
    let uploads =
        uploads.filter_map(|upload| Some((decode_key(&upload.key?, encoding.as_ref()), upload.upload_id?)));
    let calls = uploads.map(|(key, id)| async move {
        let call = session.s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some("NoSuchUpload") => Ok(()),
            Err(e) => Err(explain(session, Call::new(doing).bucket(bucket), &e)),
        }
    });
    let calls = stream::iter(calls).buffer_unordered(CONCURRENCY);
    calls.try_fold(0, |count, ()| std::future::ready(Ok(count + 1))).await
}
