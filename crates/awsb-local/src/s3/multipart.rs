//! Multipart uploads.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::backend::{LocalS3, Received, refusal};
use super::content::{self, base64, from_base64, internal};
use super::guard::{Digest, Signer};
use super::headers::{Headers, check_readable, checksums_of, condition, headers_of, time};
use super::listing::limit;
use super::names::{Encoding, given, in_xml};
use super::store::{Condition, New, Part as StoredPart, Store, Upload as StoredUpload};
use super::sum::Check;
use crate::constants::ACCOUNT;
use crate::home::space::Reserve;
use crate::time::now_ms;

impl LocalS3 {
    /// API: CreateMultipartUpload.
    pub async fn create_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let headers = headers_of!(input).text()?;
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

    /// API: UploadPart.
    pub async fn receive_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let signer = Signer::of(&req);
        let input = req.input;
        check_part(input.part_number)?;
        // Whose upload it is, is looked at when the body is there: a client that is still sending
        // would not hear the answer.
        let expected = checksums_of!(Checksum, input,);
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
        Ok(S3Response::new(
            checksums_of!(UploadPartOutput, written.checksum, e_tag: Some(ETag::Strong(etag)),),
        ))
    }

    /// API: UploadPartCopy.
    pub async fn copy_part(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let signer = Signer::of(&req);
        let input = req.input;
        check_part(input.part_number)?;
        self.require_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let (source, file) = self.source(&input.copy_source).await?;
        check_readable(
            &source,
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
        )?;
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

    /// API: CompleteMultipartUpload.
    pub async fn complete_upload(
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

    /// API: ListMultipartUploads.
    pub async fn list_uploads(
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
            // API: ListMultipartUploads. Without the ID, uploads of the marker's own key are not
            // listed.
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

    /// API: ListParts.
    pub async fn list_upload_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let max_parts = limit(input.max_parts, "max-parts")?;
        let after = input.part_number_marker.unwrap_or(0);
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let (_, mut parts) = self.with(move |store| store.upload(&bucket, &key, &id)).await?;
        parts.retain(|part| part.number > after);
        let wanted = usize::try_from(max_parts).unwrap_or(0);
        let is_truncated = wanted > 0 && parts.len() > wanted;
        parts.truncate(wanted);
        let user = ACCOUNT.to_owned();
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
}

fn check_part(number: i32) -> S3Result<()> {
    if (1..=10_000).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
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

fn upload(upload: StoredUpload, encoding: Encoding) -> MultipartUpload {
    MultipartUpload {
        key: Some(encoding.write(upload.key)),
        upload_id: Some(upload.id),
        initiated: Some(time(upload.initiated)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..Default::default()
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
    let received = Received::new(store, name);
    let mut options = std::fs::OpenOptions::new();
    let sum = parts.iter().map(|part| part.size).sum::<u64>();
    if let Some(shortage) = Reserve::open(store.home()).shortage(sum) {
        return Err(content::no_space(&shortage));
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

/// An upload's headers with the CRC-32 of its parts' CRC-32s, and their number, if all parts have
/// one (S3 User Guide, "Checking object integrity", composite checksums).
fn with_composite_crc32(headers: &str, sums: Option<Vec<u8>>, parts: usize) -> S3Result<String> {
    use s3s::crypto::{Checksum as _, Crc32};
    let Some(sums) = sums else { return Ok(headers.to_owned()) };
    let crc32 = Some(format!("{}-{parts}", base64(&Crc32::checksum(&sums))));
    Headers { crc32, ..serde_json::from_str(headers).unwrap_or_default() }.text()
}
