//! The S3 operations, over the store.

use std::sync::Arc;

use s3s::dto::*;
use s3s::stream::ByteStream;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::content::{self, Written, base64, internal};
use super::guard::{Digest, Maker, Signer};
use super::listing::{Listing, Page};
use super::names::{Encoding, in_xml};
use super::store::{
    Condition, New, Object as Stored, Part as StoredPart, Store, StoreError, Upload as StoredUpload,
};
use super::sum::Check;
use crate::space::Reserve;
use crate::{REGION, now_ms};

/// The most that a listing returns at once (API: ListObjectsV2).
const PAGE: i32 = 1000;
/// What is not larger is compared with its checksum before there is an answer; what is, while it is sent.
const SMALL: u64 = 1024 * 1024;
/// The most objects that one request deletes (API: DeleteObjects).
const MOST_DELETED: usize = 1000;

/// S3 on this machine.
#[derive(Debug)]
pub struct LocalS3 {
    store: Arc<Store>,
}

/// What is kept of an object's headers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Headers {
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_disposition: Option<String>,
    content_language: Option<String>,
    cache_control: Option<String>,
    metadata: std::collections::BTreeMap<String, String>,
    crc32: Option<String>,
    crc32c: Option<String>,
    crc64nvme: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
    /// The job in a container that has made a record of `--once`.
    maker: Option<String>,
}

/// The job in a container that has made an object, if that was kept.
pub fn maker(object: &Stored) -> Option<String> {
    Headers::of(object).maker
}

impl Headers {
    fn of(object: &Stored) -> Self {
        serde_json::from_str(&object.headers).unwrap_or_default()
    }

    fn text(&self) -> S3Result<String> {
        serde_json::to_string(self).map_err(internal)
    }

    fn with_checksum(mut self, checksum: &Checksum) -> Self {
        self.crc32 = checksum.checksum_crc32.clone();
        self.crc32c = checksum.checksum_crc32c.clone();
        self.crc64nvme = checksum.checksum_crc64nvme.clone();
        self.sha1 = checksum.checksum_sha1.clone();
        self.sha256 = checksum.checksum_sha256.clone();
        self
    }
}

impl From<StoreError> for S3Error {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::NoSuchBucket => s3_error!(NoSuchBucket, "The specified bucket does not exist"),
            StoreError::NoSuchKey => s3_error!(NoSuchKey, "The specified key does not exist."),
            StoreError::NoSuchUpload => s3_error!(NoSuchUpload, "The specified upload does not exist."),
            StoreError::NotEmpty => s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"),
            StoreError::PreconditionFailed => {
                s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
            }
            StoreError::Damaged(harm) => content::damaged(&harm),
            StoreError::Io(e) => internal(e),
        }
    }
}

impl LocalS3 {
    /// S3 over a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Runs a store operation where blocking is allowed.
    async fn with<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(&self.store);
        let outcome = tokio::task::spawn_blocking(move || operation(&store)).await.map_err(internal)?;
        outcome.map_err(|e| refusal(&self.store, e))
    }

    /// Writes a body to a new file; the file is removed when the request fails or goes away before it
    /// becomes an object.
    async fn receive(
        &self,
        body: Option<StreamingBlob>,
        expected: Checksum,
        content_md5: Option<String>,
        trailers: Option<s3s::TrailingHeaders>,
        algorithm: Option<ChecksumAlgorithm>,
        extensions: &http::Extensions,
    ) -> S3Result<(Received, Written)> {
        let size = body.as_ref().and_then(|body| body.remaining_length().exact());
        if let Some(lack) = Reserve::open(self.store.home()).shortage(size.unwrap_or(0) as u64) {
            content::drop_rest(body).await;
            return Err(content::no_space(&lack));
        }
        let (name, path) = self.store.new_blob();
        let received = Received { store: Arc::clone(&self.store), name, kept: false };
        let algorithm = algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let written =
            content::write(&path, body, expected, content_md5, trailers, algorithm, extensions).await?;
        Ok((received, written))
    }

    /// The same for what is a copy of another object.
    async fn receive_copy(&self, body: StreamingBlob) -> S3Result<(Received, Written)> {
        self.receive(Some(body), Checksum::default(), None, None, None, &http::Extensions::new()).await
    }

    /// Makes received content part of the index. The operation goes on when the request goes away, so the
    /// content goes with it: a row without its file would be a lost object.
    async fn commit(
        &self,
        signer: Option<Signer>,
        received: Received,
        operation: impl FnOnce(&Store, &str) -> Result<(), StoreError> + Send + 'static,
    ) -> S3Result<()> {
        let stored = self.with(move |store| {
            // The body may have taken longer than its key was valid.
            if let Err(refused) = Signer::check(signer.as_ref()) {
                return Ok(Err(refused));
            }
            operation(store, &received.name)?;
            received.keep();
            Ok(Ok(()))
        });
        stored.await?
    }

    /// What compares an object with its checksum while it is sent.
    fn comparison(&self, object: &Stored) -> content::Comparison {
        let (store, object) = (Arc::clone(&self.store), object.clone());
        let check = Check::new(object.sum());
        let tell = move || {
            note!("s3: the content of {:?} is not what was stored", object.key);
            store.is_damaged(&object);
        };
        (check, Box::new(tell))
    }

    /// The object that a copy is made of.
    async fn source(&self, source: &CopySource) -> S3Result<(Stored, std::fs::File)> {
        let CopySource::Bucket { bucket, key, .. } = source else {
            return Err(s3_error!(NotImplemented, "copies from access points are not supported"));
        };
        let (bucket, key) = (bucket.to_string(), key.to_string());
        self.with(move |store| {
            let (object, file) = store.get(&bucket, &key)?;
            store.verify(&object, false)?;
            Ok((object, file))
        })
        .await
    }

    /// That an upload is one of this object.
    async fn require_upload(&self, bucket: &str, key: &str, upload: &str) -> S3Result<()> {
        let (bucket, key, upload) = (bucket.to_owned(), key.to_owned(), upload.to_owned());
        self.with(move |store| store.require_upload(&bucket, &key, &upload)).await
    }

    async fn page(&self, query: Listing) -> S3Result<Page> {
        self.with(move |store| query.run(store)).await
    }
}

/// The answer to what a store could not do.
fn refusal(store: &Store, e: StoreError) -> S3Error {
    match e {
        StoreError::Io(e) => content::disk(store.home(), &e),
        other => other.into(),
    }
}

/// Content that is not an object yet.
#[derive(Debug)]
struct Received {
    store: Arc<Store>,
    name: String,
    kept: bool,
}

impl Received {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.kept {
            self.store.discard(&self.name);
        }
    }
}

fn check_part(number: i32) -> S3Result<()> {
    if (1..=10_000).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
}

/// How many things a page has at most: what the parameter `name` asks for, within bounds.
fn limit(asked: Option<i32>, name: &str) -> S3Result<i32> {
    match asked {
        None => Ok(PAGE),
        Some(n) if n >= 0 => Ok(n.min(PAGE)),
        Some(_) => Err(s3_error!(InvalidArgument, "{name} must not be negative")),
    }
}

/// A parameter that is there without a value is none: clients write `delimiter=`.
fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|value| !value.is_empty())
}

/// The content's encoding without the transfer's: "Amazon S3 stores the resulting object without the
/// `aws-chunked` value in the `content-encoding` header" (S3 API Reference, `sigv4-streaming`).
fn content_encoding(sent: Option<String>) -> Option<String> {
    let sent = sent?;
    let kept = sent.split(',').map(str::trim).filter(|e| !e.eq_ignore_ascii_case("aws-chunked"));
    given(Some(kept.collect::<Vec<_>>().join(",")))
}

fn time(ms: i64) -> Timestamp {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    Timestamp::from(at)
}

fn listed(object: Stored, encoding: Encoding) -> Object {
    Object {
        e_tag: Some(ETag::Strong(object.etag)),
        key: Some(encoding.write(object.key)),
        last_modified: Some(time(object.modified)),
        size: Some(i64::try_from(object.size).unwrap_or(i64::MAX)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Default::default()
    }
}

fn part(part: StoredPart) -> Part {
    Part {
        part_number: Some(part.number),
        e_tag: Some(ETag::Strong(part.etag)),
        size: Some(i64::try_from(part.size).unwrap_or(i64::MAX)),
        checksum_crc32: part.crc32,
        // Its file is written once. A part that is replaced at this moment has none any more.
        last_modified: part.path.metadata().and_then(|meta| meta.modified()).ok().map(Timestamp::from),
        ..Default::default()
    }
}

fn common(prefixes: Vec<String>, encoding: Encoding) -> Vec<CommonPrefix> {
    prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(encoding.write(prefix)) }).collect()
}

fn upload(upload: StoredUpload, encoding: Encoding) -> MultipartUpload {
    MultipartUpload {
        key: Some(encoding.write(upload.key)),
        upload_id: Some(upload.id),
        initiated: Some(time(upload.initiated)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..Default::default()
    }
}

fn condition(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::Any), None) => Ok(Condition::Matches(None)),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(Some(etag.into_value()))),
        // S3 User Guide, "Conditional writes": If-None-Match takes `*` only.
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented"
        )),
    }
}

/// What `If-Match` and `If-None-Match` mean for reading (RFC 9110, 13.2.2).
fn readable(
    object: &Stored,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let same = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if if_match.is_some_and(|c| !same(c)) {
        return Err(StoreError::PreconditionFailed.into());
    }
    if if_none_match.is_some_and(same) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

#[async_trait::async_trait]
impl S3 for LocalS3 {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.with(Store::buckets).await?;
        let buckets = buckets.into_iter().map(|(name, at)| Bucket {
            name: Some(name),
            creation_date: Some(time(at)),
            ..Default::default()
        });
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            owner: Some(Owner { display_name: None, id: Some(crate::ACCOUNT.to_owned()) }),
            ..Default::default()
        }))
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = req.input.bucket;
        let location = format!("/{bucket}");
        self.with(move |store| store.create_bucket(&bucket)).await?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(location) }))
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.with(move |store| store.delete_bucket(&req.input.bucket)).await?;
        Ok(S3Response::new(DeleteBucketOutput {}))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.with(move |store| store.require_bucket(&req.input.bucket)).await?;
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.with(move |store| store.require_bucket(&req.input.bucket)).await?;
        // us-east-1 is the region without a location constraint (API: GetBucketLocation).
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let (digest, maker, signer) = (Digest::of(&req), Maker::of(&req), Signer::of(&req));
        let input = req.input;
        let condition = condition(input.if_match, input.if_none_match)?;
        let bucket = input.bucket.clone();
        self.with(move |store| store.require_bucket(&bucket)).await?;
        let mut expected = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Default::default()
        };
        Digest::expect(digest, &mut expected)?;
        let (trailers, algorithm) = (req.trailing_headers, input.checksum_algorithm);
        let (received, written) = self
            .receive(input.body, expected, input.content_md5, trailers, algorithm, &req.extensions)
            .await
            .map_err(|e| match (digest, e.code()) {
                (Some(_), S3ErrorCode::BadDigest) => Digest::wrong(),
                _ => e,
            })?;
        let headers = Headers {
            content_type: input.content_type.map(|t| t.to_string()),
            content_encoding: content_encoding(input.content_encoding),
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            maker,
            ..Default::default()
        }
        .with_checksum(&written.checksum)
        .text()?;
        let etag = hex::encode(written.md5);
        let (tag, crc64) = (etag.clone(), written.crc64);
        self.commit(signer, received, move |store, name| {
            let new = New { etag: &tag, size: written.size, blob: name, crc64: &crc64 };
            store.put(&input.bucket, &input.key, new, &headers, &condition)
        })
        .await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: written.checksum.checksum_crc32,
            checksum_crc32c: written.checksum.checksum_crc32c,
            checksum_crc64nvme: written.checksum.checksum_crc64nvme,
            checksum_sha1: written.checksum.checksum_sha1,
            checksum_sha256: written.checksum.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let (bucket, key) = (input.bucket, input.key);
        let (is_part, is_asked_for) = (input.range.is_some(), input.checksum_mode.is_some());
        let look = move |object: &Stored| object.size <= SMALL || is_part;
        let (object, file) = self
            .with(move |store| {
                let (object, file) = store.get(&bucket, &key)?;
                if look(&object) {
                    store.verify(&object, object.size <= SMALL)?;
                }
                Ok((object, file))
            })
            .await?;
        readable(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let headers = Headers::of(&object);
        let (from, length, content_range) = match input.range {
            Some(range) => {
                let wanted = range.check(object.size)?;
                let text = format!("bytes {}-{}/{}", wanted.start, wanted.end.saturating_sub(1), object.size);
                (wanted.start, wanted.end - wanted.start, Some(text))
            }
            None => (0, object.size, None),
        };
        let comparison = (!look(&object)).then(|| self.comparison(&object));
        let whole = content_range.is_none() && is_asked_for;
        let checksum = |value: Option<String>| value.filter(|_| whole);
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(content::read_checked(file, from, length, comparison).await?),
            content_length: Some(i64::try_from(length).unwrap_or(i64::MAX)),
            content_range,
            content_type: headers.content_type.and_then(|t| t.parse().ok()),
            content_encoding: headers.content_encoding,
            content_disposition: headers.content_disposition,
            content_language: headers.content_language,
            cache_control: headers.cache_control,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(time(object.modified)),
            metadata: Some(headers.metadata.into_iter().collect()),
            checksum_type: headers.crc32.as_deref().filter(|_| whole).and_then(checksum_type),
            checksum_crc32: checksum(headers.crc32),
            checksum_crc32c: checksum(headers.crc32c),
            checksum_crc64nvme: checksum(headers.crc64nvme),
            checksum_sha1: checksum(headers.sha1),
            checksum_sha256: checksum(headers.sha256),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let (bucket, key) = (input.bucket, input.key);
        let asked = input.checksum_mode.is_some();
        let object = self
            .with(move |store| {
                let object = store.head(&bucket, &key)?;
                // Who asks for the checksum relies on it.
                if asked {
                    store.verify(&object, false)?;
                }
                Ok(object)
            })
            .await?;
        readable(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let headers = Headers::of(&object);
        let checksum = |value: Option<String>| value.filter(|_| asked);
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(i64::try_from(object.size).unwrap_or(i64::MAX)),
            content_type: headers.content_type.and_then(|t| t.parse().ok()),
            content_encoding: headers.content_encoding,
            content_disposition: headers.content_disposition,
            content_language: headers.content_language,
            cache_control: headers.cache_control,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(time(object.modified)),
            metadata: Some(headers.metadata.into_iter().collect()),
            checksum_type: headers.crc32.as_deref().filter(|_| asked).and_then(checksum_type),
            checksum_crc32: checksum(headers.crc32),
            checksum_crc32c: checksum(headers.crc32c),
            checksum_crc64nvme: checksum(headers.crc64nvme),
            checksum_sha1: checksum(headers.sha1),
            checksum_sha256: checksum(headers.sha256),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        self.with(move |store| store.delete(&input.bucket, &input.key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        let quiet = input.delete.quiet.unwrap_or(false);
        let keys: Vec<String> = input.delete.objects.into_iter().map(|o| o.key).collect();
        let is_in_xml = |key: &String| in_xml(key.replace('\r', "")).is_some();
        if !(1..=MOST_DELETED).contains(&keys.len()) || !keys.iter().all(is_in_xml) {
            return Err(s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published schema"
            ));
        }
        let gone = keys.clone();
        self.with(move |store| keys.iter().try_for_each(|key| store.delete(&input.bucket, key))).await?;
        let deleted = gone.into_iter().map(|key| DeletedObject { key: Some(key), ..Default::default() });
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet).then(|| deleted.collect()),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let max_keys = limit(input.max_keys, "max-keys")?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let token = given(input.continuation_token.clone()).as_deref().map(from_token).transpose()?;
        let query = Listing {
            bucket: input.bucket.clone(),
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: given(input.delimiter.clone()),
            after: token.or_else(|| input.start_after.clone()).unwrap_or_default(),
            limit: usize::try_from(max_keys).unwrap_or(0),
        };
        let page = self.page(query).await?;
        let count = page.objects.len() + page.prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.write(prefix)),
            delimiter: input.delimiter.map(|delimiter| encoding.write(delimiter)),
            start_after: input.start_after.map(|key| encoding.write(key)),
            encoding_type: input.encoding_type,
            continuation_token: input.continuation_token,
            max_keys: Some(max_keys),
            key_count: i32::try_from(count).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(|key| base64(key.as_bytes())),
            contents: Some(page.objects.into_iter().map(|object| listed(object, encoding)).collect()),
            common_prefixes: Some(common(page.prefixes, encoding)),
            ..Default::default()
        }))
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let max_keys = limit(input.max_keys, "max-keys")?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let delimiter = given(input.delimiter);
        let query = Listing {
            bucket: input.bucket.clone(),
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            after: input.marker.clone().unwrap_or_default(),
            limit: usize::try_from(max_keys).unwrap_or(0),
        };
        let page = self.page(query).await?;
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.write(prefix)),
            marker: input.marker.map(|key| encoding.write(key)),
            encoding_type: input.encoding_type,
            max_keys: Some(max_keys),
            is_truncated: Some(page.next.is_some()),
            // API: ListObjects returns it with a delimiter only.
            next_marker: page.next.filter(|_| delimiter.is_some()).map(|key| encoding.write(key)),
            delimiter: delimiter.map(|delimiter| encoding.write(delimiter)),
            contents: Some(page.objects.into_iter().map(|object| listed(object, encoding)).collect()),
            common_prefixes: Some(common(page.prefixes, encoding)),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let headers = Headers {
            content_type: input.content_type.map(|t| t.to_string()),
            content_encoding: content_encoding(input.content_encoding),
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            ..Default::default()
        }
        .text()?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let id = self.with(move |store| store.create_upload(&bucket, &key, &headers)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: in_xml(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let signer = Signer::of(&req);
        let input = req.input;
        check_part(input.part_number)?;
        // Whose upload it is, is looked at when the body is there: a client that is still sending would not hear the answer.
        let expected = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Default::default()
        };
        let (trailers, algorithm) = (req.trailing_headers, input.checksum_algorithm);
        let (received, written) = self
            .receive(input.body, expected, input.content_md5, trailers, algorithm, &req.extensions)
            .await?;
        let etag = hex::encode(written.md5);
        let (tag, crc32) = (etag.clone(), written.checksum.checksum_crc32.clone());
        self.commit(signer, received, move |store, name| {
            let upload = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
            let new = New { etag: &tag, size: written.size, blob: name, crc64: &written.crc64 };
            store.put_part(upload, input.part_number, new, crc32.as_deref())
        })
        .await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: written.checksum.checksum_crc32,
            checksum_crc32c: written.checksum.checksum_crc32c,
            checksum_crc64nvme: written.checksum.checksum_crc64nvme,
            checksum_sha1: written.checksum.checksum_sha1,
            checksum_sha256: written.checksum.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let signer = Signer::of(&req);
        let input = req.input;
        let (source, file) = self.source(&input.copy_source).await?;
        readable(&source, input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref())?;
        let replace = input.metadata_directive.is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        let headers = match replace {
            false => source.headers.clone(),
            true => Headers {
                content_type: input.content_type.map(|t| t.to_string()),
                content_encoding: content_encoding(input.content_encoding),
                content_disposition: input.content_disposition,
                content_language: input.content_language,
                cache_control: input.cache_control,
                metadata: input.metadata.unwrap_or_default().into_iter().collect(),
                ..Headers::of(&source)
            }
            .text()?,
        };
        let body = content::read(file, 0, source.size).await?;
        let (received, written) = self.receive_copy(body).await?;
        let etag = hex::encode(written.md5);
        let tag = etag.clone();
        self.commit(signer, received, move |store, name| {
            let new = New { etag: &tag, size: written.size, blob: name, crc64: &written.crc64 };
            store.put(&input.bucket, &input.key, new, &headers, &Condition::None)
        })
        .await?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(time(now_ms())),
            ..Default::default()
        };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let signer = Signer::of(&req);
        let input = req.input;
        check_part(input.part_number)?;
        self.require_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let (source, file) = self.source(&input.copy_source).await?;
        readable(&source, input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref())?;
        let wanted = match input.copy_source_range.as_deref().map(Range::parse) {
            None => 0..source.size,
            Some(Ok(range)) => range.check(source.size)?,
            Some(Err(_)) => return Err(s3_error!(InvalidArgument, "The copy source range is malformed")),
        };
        let body = content::read(file, wanted.start, wanted.end - wanted.start).await?;
        let (received, written) = self.receive_copy(body).await?;
        let etag = hex::encode(written.md5);
        let tag = etag.clone();
        self.commit(signer, received, move |store, name| {
            let upload = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
            let new = New { etag: &tag, size: written.size, blob: name, crc64: &written.crc64 };
            store.put_part(upload, input.part_number, new, None)
        })
        .await?;
        let result = CopyPartResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(time(now_ms())),
            ..Default::default()
        };
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let terms = (Digest::of(&req), Signer::of(&req));
        let input = req.input;
        let condition = condition(input.if_match, input.if_none_match)?;
        let wanted = input.multipart_upload.and_then(|u| u.parts).unwrap_or_default();
        let store = Arc::clone(&self.store);
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let joined = tokio::task::spawn_blocking(move || {
            join(&store, &bucket, &key, &input.upload_id, &wanted, terms, &condition)
        });
        let etag = joined.await.map_err(internal)??;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: in_xml(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        if given(input.delimiter).is_some() {
            return Err(s3_error!(NotImplemented, "uploads are listed without a delimiter only"));
        }
        let max_uploads = limit(input.max_uploads, "max-uploads")?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let (bucket, prefix) = (input.bucket.clone(), input.prefix.clone().unwrap_or_default());
        let mut uploads = self.with(move |store| store.uploads(&bucket, &prefix)).await?;
        let (key_marker, id_marker) = (given(input.key_marker), given(input.upload_id_marker));
        if let Some(marker) = &key_marker {
            // API: ListMultipartUploads. Without the ID, uploads of the marker's own key are not listed.
            let at = |u: &StoredUpload| u.key == *marker && id_marker.as_ref().is_some_and(|id| u.id == *id);
            let start = uploads.iter().position(at).map(|at| at + 1);
            let after = start.unwrap_or_else(|| uploads.partition_point(|u| u.key <= *marker));
            uploads.drain(..after);
        }
        let wanted = usize::try_from(max_uploads).unwrap_or(0);
        let is_truncated = wanted > 0 && uploads.len() > wanted;
        uploads.truncate(wanted);
        let last = uploads.last().filter(|_| is_truncated);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.write(prefix)),
            encoding_type: input.encoding_type,
            key_marker: key_marker.map(|key| encoding.write(key)),
            upload_id_marker: id_marker,
            next_key_marker: last.map(|u| encoding.write(u.key.clone())),
            next_upload_id_marker: last.map(|u| u.id.clone()),
            max_uploads: Some(max_uploads),
            is_truncated: Some(is_truncated),
            uploads: Some(uploads.into_iter().map(|u| upload(u, encoding)).collect()),
            ..Default::default()
        }))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let max_parts = limit(input.max_parts, "max-parts")?;
        let after = input.part_number_marker.unwrap_or(0);
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let (_, mut parts) = self.with(move |store| store.upload(&bucket, &key, &id)).await?;
        parts.retain(|part| part.number > after);
        let wanted = usize::try_from(max_parts).unwrap_or(0);
        let is_truncated = wanted > 0 && parts.len() > wanted;
        parts.truncate(wanted);
        let user = crate::ACCOUNT.to_owned();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: in_xml(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: parts.last().map(|part| part.number),
            max_parts: Some(max_parts),
            is_truncated: Some(is_truncated),
            parts: Some(parts.into_iter().map(part).collect()),
            initiator: Some(Initiator { display_name: None, id: Some(user.clone()) }),
            owner: Some(Owner { display_name: None, id: Some(user) }),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        self.with(move |store| store.end_upload(&input.bucket, &input.key, &input.upload_id, None)).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// Joins the parts of an upload into one file and makes it the object.
fn join(
    store: &Arc<Store>,
    bucket: &str,
    key: &str,
    upload: &str,
    wanted: &[CompletedPart],
    (digest, signer): (Option<Digest>, Option<Signer>),
    condition: &Condition,
) -> S3Result<String> {
    use s3s::crypto::{Checksum as _, Crc64Nvme, Md5};
    use std::os::unix::fs::OpenOptionsExt;
    let (headers, parts) = store.upload(bucket, key, upload)?;
    if wanted.is_empty() {
        return Err(s3_error!(InvalidRequest, "You must specify at least one part"));
    }
    let (name, path) = store.new_blob();
    let received = Received { store: Arc::clone(store), name, kept: false };
    let mut options = std::fs::OpenOptions::new();
    let sum = parts.iter().map(|part| part.size).sum::<u64>();
    if let Some(lack) = Reserve::open(store.home()).shortage(sum) {
        return Err(content::no_space(&lack));
    }
    let disk = |e: std::io::Error| content::disk(store.home(), &e);
    let mut whole = options.create_new(true).write(true).mode(0o600).open(&path).map_err(disk)?;
    let (mut size, mut last, mut tags, mut sums) = (0, 0, Md5::new(), Some(Vec::new()));
    let mut crc64 = Crc64Nvme::new();
    for part in wanted {
        let number = part.part_number.unwrap_or(0);
        if number <= last {
            return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
        }
        last = number;
        let invalid = || s3_error!(InvalidPart, "One or more of the specified parts could not be found.");
        let found = parts.iter().find(|p| p.number == number).ok_or_else(invalid)?;
        if part.e_tag.as_ref().is_some_and(|given| given.value() != found.etag) {
            return Err(invalid());
        }
        if let Some(harm) = &found.harm {
            return Err(s3_error!(InvalidPart, "Part {number} is damaged: {harm}. Upload it again."));
        }
        let file = std::fs::File::open(&found.path).map_err(internal)?;
        let mut pieces = Pieces { file, check: Check::new(found.sum.clone()), whole: &mut crc64 };
        size += std::io::copy(&mut pieces, &mut whole).map_err(disk)?;
        if !pieces.check.matches() {
            let harm = format!("{} has other bytes than were stored", found.path.display());
            return Err(s3_error!(InvalidPart, "Part {number} is damaged: {harm}. Upload it again."));
        }
        tags.update(&hex::decode(&found.etag).map_err(internal)?);
        let sum = found.crc32.as_deref().and_then(from_base64);
        sums = sums.zip(sum).map(|(sums, sum)| [sums, sum].concat());
    }
    whole.sync_all().map_err(disk)?;
    if let Some(digest) = digest {
        digest.check(std::fs::File::open(&path).map_err(internal)?)?;
    }
    // S3 User Guide, "Checking object integrity": the MD5 of the parts' MD5s, and their number.
    let etag = format!("{}-{}", hex::encode(tags.finalize()), wanted.len());
    let headers = with_composite_crc32(&headers, sums, wanted.len())?;
    let crc64 = hex::encode(crc64.finalize());
    let content = New { etag: &etag, size, blob: &received.name, crc64: &crc64 };
    Signer::check(signer.as_ref())?;
    store
        .end_upload(bucket, key, upload, Some((content, &headers, condition)))
        .map_err(|e| refusal(store, e))?;
    received.keep();
    Ok(etag)
}

/// A part that is read for the whole.
struct Pieces<'a> {
    file: std::fs::File,
    check: Check,
    whole: &'a mut s3s::crypto::Crc64Nvme,
}

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use s3s::crypto::Checksum as _;
        let n = self.file.read(buffer)?;
        self.check.update(&buffer[..n]);
        self.whole.update(&buffer[..n]);
        Ok(n)
    }
}

/// What a checksum is of, where it is not of the whole content.
fn checksum_type(checksum: &str) -> Option<ChecksumType> {
    checksum.contains('-').then(|| ChecksumType::from_static(ChecksumType::COMPOSITE))
}

/// An upload's headers with the CRC-32 of its parts' CRC-32s, and their number, if all parts have one (S3 User Guide,
/// "Checking object integrity", composite checksums).
fn with_composite_crc32(headers: &str, sums: Option<Vec<u8>>, parts: usize) -> S3Result<String> {
    use s3s::crypto::{Checksum as _, Crc32};
    let Some(sums) = sums else { return Ok(headers.to_owned()) };
    let crc32 = Some(format!("{}-{parts}", base64(&Crc32::checksum(&sums))));
    Headers { crc32, ..serde_json::from_str(headers).unwrap_or_default() }.text()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn from_token(token: &str) -> S3Result<String> {
    let invalid = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let bytes = from_base64(token).ok_or_else(invalid)?;
    String::from_utf8(bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_transfers_encoding_is_not_the_contents() {
        let stored = |sent: &str| content_encoding(Some(sent.to_owned()));
        assert_eq!(stored("gzip"), Some("gzip".to_owned()));
        assert_eq!(stored("aws-chunked,gzip"), Some("gzip".to_owned()));
        assert_eq!(stored("gzip, AWS-chunked, br"), Some("gzip,br".to_owned()));
        assert_eq!(stored("aws-chunked"), None);
        assert_eq!(stored(""), None);
    }

    #[tokio::test]
    async fn a_request_that_goes_away_leaves_the_object_whole_or_none() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(crate::home::OBJECTS)).unwrap();
        let store = Arc::new(Store::open(home.path(), &mut Vec::new()).unwrap());
        let s3 = LocalS3::new(Arc::clone(&store));
        let body = StreamingBlob::from(s3s::Body::from("content".to_owned()));
        let (received, written) = s3.receive_copy(body).await.unwrap();
        let ((has_begun, begun), (go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
        let commit = tokio::spawn(async move {
            s3.commit(None, received, move |store, name| {
                has_begun.send(()).unwrap();
                wait.recv().unwrap();
                let new = New { etag: "etag", size: written.size, blob: name, crc64: &written.crc64 };
                store.put(crate::BUCKET, "k", new, "{}", &Condition::None)
            })
            .await
        });
        tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        // The client has gone: hyper drops what was answering it.
        commit.abort();
        assert!(commit.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let object = loop {
            match store.get(crate::BUCKET, "k") {
                Err(StoreError::NoSuchKey) if std::time::Instant::now() < deadline => {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                other => break other,
            }
        };
        let (_, mut file) = object.unwrap();
        assert_eq!(std::io::read_to_string(&mut file).unwrap(), "content");
    }
}
