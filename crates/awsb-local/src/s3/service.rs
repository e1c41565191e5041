//! The S3 operations, over the store.

use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::backend::LocalS3;
use super::content::{self, base64, from_base64};
use super::guard::{Digest, Maker, Signer};
use super::headers::{Headers, check_readable, checksums_of, condition, headers_of, object_output, time};
use super::listing::{Listing, limit};
use super::names::{Encoding, given, in_xml};
use super::store::{Condition, New, Object as Stored, Store};
use crate::constants::{ACCOUNT, REGION};
use crate::time::now_ms;

/// The size up to which content is compared with its checksum before the answer; larger content is
/// compared while it is sent.
const SMALL: u64 = 1024 * 1024;
/// The most objects that one request deletes (API: DeleteObjects).
const MOST_DELETED: usize = 1000;

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

fn common(prefixes: Vec<String>, encoding: Encoding) -> Vec<CommonPrefix> {
    prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(encoding.write(prefix)) }).collect()
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
            owner: Some(Owner { display_name: None, id: Some(ACCOUNT.to_owned()) }),
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
        let mut expected = checksums_of!(Checksum, input,);
        Digest::expect(digest, &mut expected)?;
        let (trailers, algorithm) = (req.trailing_headers, input.checksum_algorithm);
        let (received, written) = self
            .receive(input.body, expected, input.content_md5, trailers, algorithm, &req.extensions)
            .await
            .map_err(|e| match (digest, e.code()) {
                (Some(_), S3ErrorCode::BadDigest) => Digest::wrong(),
                _ => e,
            })?;
        let headers = Headers { maker, ..headers_of!(input) }.with_checksum(&written.checksum).text()?;
        let etag = hex::encode(written.md5);
        let (tag, crc64) = (etag.clone(), written.crc64);
        self.commit(signer, received, move |store, name| {
            let new = New { etag: &tag, size: written.size, blob: name, crc64: &crc64 };
            store.put(&input.bucket, &input.key, new, &headers, &condition)
        })
        .await?;
        Ok(S3Response::new(
            checksums_of!(PutObjectOutput, written.checksum, e_tag: Some(ETag::Strong(etag)),),
        ))
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
        check_readable(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
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
        let body = content::read_checked(file, from, length, comparison).await?;
        Ok(S3Response::new(object_output!(GetObjectOutput, object, whole,
            body: Some(body),
            content_length: Some(i64::try_from(length).unwrap_or(i64::MAX)),
            content_range,
        )))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let (bucket, key) = (input.bucket, input.key);
        let asked = input.checksum_mode.is_some();
        let object = self
            .with(move |store| {
                let object = store.head(&bucket, &key)?;
                // A client that asks for the checksum relies on it.
                if asked {
                    store.verify(&object, false)?;
                }
                Ok(object)
            })
            .await?;
        check_readable(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let content_length = Some(i64::try_from(object.size).unwrap_or(i64::MAX));
        Ok(S3Response::new(object_output!(HeadObjectOutput, object, asked, content_length,)))
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
        self.with(move |store| store.delete_all(&input.bucket, &keys)).await?;
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

    /// Versions are not kept: each object is its only version, `null`, as in a bucket on AWS
    /// without versioning (API: ListObjectVersions).
    async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = req.input;
        let max_keys = limit(input.max_keys, "max-keys")?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let query = Listing {
            bucket: input.bucket.clone(),
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: given(input.delimiter.clone()),
            after: input.key_marker.clone().unwrap_or_default(),
            limit: usize::try_from(max_keys).unwrap_or(0),
        };
        let page = self.page(query).await?;
        let versions = page.objects.into_iter().map(|object| {
            let object = listed(object, encoding);
            ObjectVersion {
                key: object.key,
                version_id: Some("null".to_owned()),
                is_latest: Some(true),
                last_modified: object.last_modified,
                e_tag: object.e_tag,
                size: object.size,
                ..Default::default()
            }
        });
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.write(prefix)),
            delimiter: input.delimiter.map(|delimiter| encoding.write(delimiter)),
            key_marker: input.key_marker.map(|key| encoding.write(key)),
            encoding_type: input.encoding_type,
            max_keys: Some(max_keys),
            is_truncated: Some(page.next.is_some()),
            next_version_id_marker: page.next.as_ref().map(|_| "null".to_owned()),
            next_key_marker: page.next.map(|key| encoding.write(key)),
            versions: Some(versions.collect()),
            common_prefixes: Some(common(page.prefixes, encoding)),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.create_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.receive_part(req).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let signer = Signer::of(&req);
        let input = req.input;
        let (source, file) = self.source(&input.copy_source).await?;
        check_readable(
            &source,
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
        )?;
        let replace = input.metadata_directive.is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        let headers = match replace {
            false => source.headers.clone(),
            true => headers_of!(input).with_rest_of(Headers::of(&source)).text()?,
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
        self.copy_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete_upload(req).await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.list_uploads(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.list_upload_parts(req).await
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

fn from_token(token: &str) -> S3Result<String> {
    let invalid = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let bytes = from_base64(token).ok_or_else(invalid)?;
    String::from_utf8(bytes).map_err(|_| invalid())
}
