//! Content on its way in and out: bodies become synced files, files become bodies.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Extensions, StatusCode};
use s3s::TrailingHeaders;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::frames::Verdict;
use super::sum::Check;
use crate::home::space::NoSpace;
use crate::http::protocol::{ApiError, ErrorKind};

/// How long the rest of a body is read that nobody wants.
const DROP_TIME: Duration = Duration::from_millis(1500);

/// Content that has been written to a file.
#[derive(Debug)]
pub struct Written {
    /// The MD5 of the content, in hexadecimal digits: the ETag of a plain object.
    pub md5: [u8; 16],
    /// The size in bytes.
    pub size: u64,
    /// The CRC-64/NVME of the content, in hexadecimal digits.
    pub crc64: String,
    /// The checksums that the client sent along; they have been found to be right.
    pub checksum: Checksum,
}

/// Writes a body to a new file and syncs it, checking it against the checksums given beforehand (in
/// `expected`) and in the trailer. The verdict on its frames, if it has any, is in the request's
/// `extensions`.
pub async fn write(
    path: &Path,
    body: Option<StreamingBlob>,
    expected: Checksum,
    content_md5: Option<String>,
    trailers: Option<TrailingHeaders>,
    algorithm: Option<&str>,
    extensions: &Extensions,
) -> S3Result<Written> {
    let failed = |e: io::Error| disk(home_of(path), &e);
    let mut options = tokio::fs::OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    let mut file = options.open(path).await.map_err(failed)?;
    let wants = |given: &Option<String>, name: &str| {
        given.is_some() || algorithm.is_some_and(|a| a.eq_ignore_ascii_case(name))
    };
    let mut hasher = ChecksumHasher {
        crc32: wants(&expected.checksum_crc32, "CRC32").then(Crc32::new),
        crc32c: wants(&expected.checksum_crc32c, "CRC32C").then(Crc32c::new),
        sha1: wants(&expected.checksum_sha1, "SHA1").then(Sha1::new),
        sha256: wants(&expected.checksum_sha256, "SHA256").then(Sha256::new),
        crc64nvme: wants(&expected.checksum_crc64nvme, "CRC64NVME").then(Crc64Nvme::new),
    };
    let (mut md5, mut crc64) = (Md5::new(), Crc64Nvme::new());
    let mut size = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk: Bytes = chunk.map_err(|e| {
                let broken = extensions.get::<Verdict>().and_then(Verdict::broken);
                broken.map_or_else(|| s3_error!(IncompleteBody, "reading the body: {e}"), S3Error::from)
            })?;
            if let Err(e) = file.write_all(&chunk).await {
                // The answer is heard only by a client that is not sending any more.
                drop_rest(Some(body)).await;
                return Err(failed(e));
            }
            hasher.update(&chunk);
            md5.update(&chunk);
            crc64.update(&chunk);
            size += chunk.len() as u64;
        }
    }
    finish(&mut file, size).await.map_err(failed)?;
    let checksum = hasher.finalize();
    let trailer = |name: &str| {
        trailers.as_ref().and_then(|t| t.read(|h| h.get(name)?.to_str().ok().map(str::to_owned)).flatten())
    };
    let md5: [u8; 16] = md5.finalize();
    for (given, name, computed) in [
        (&expected.checksum_crc32, "x-amz-checksum-crc32", &checksum.checksum_crc32),
        (&expected.checksum_crc32c, "x-amz-checksum-crc32c", &checksum.checksum_crc32c),
        (&expected.checksum_sha1, "x-amz-checksum-sha1", &checksum.checksum_sha1),
        (&expected.checksum_sha256, "x-amz-checksum-sha256", &checksum.checksum_sha256),
        (&expected.checksum_crc64nvme, "x-amz-checksum-crc64nvme", &checksum.checksum_crc64nvme),
    ] {
        if let (Some(given), Some(computed)) = (given.clone().or_else(|| trailer(name)), computed)
            && given != *computed
        {
            return Err(s3_error!(
                BadDigest,
                "The {name} you specified did not match the calculated checksum."
            ));
        }
    }
    if content_md5.is_some_and(|given| given != base64(&md5)) {
        return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
    }
    Ok(Written { md5, size, crc64: hex::encode(crc64.finalize()), checksum })
}

/// Has everything on the disk. tokio's `write_all` returns when the bytes are in a buffer, and its
/// `sync_all` does not tell of a write that has failed since: only `flush` does.
async fn finish(file: &mut tokio::fs::File, size: u64) -> io::Result<()> {
    file.flush().await?;
    file.sync_all().await?;
    match file.metadata().await?.len() {
        written if written == size => Ok(()),
        written => Err(io::Error::other(format!("of {size} bytes, {written} are in the file"))),
    }
}

/// A part of a file as a body. The first of it is read before there is an answer, so that a disk
/// that cannot be read is an error and not an answer that breaks off.
pub async fn read(file: std::fs::File, from: u64, length: u64) -> S3Result<StreamingBlob> {
    read_checked(file, from, length, None).await
}

/// A check while a body is sent, and the callback for content that is not what was stored.
pub type Comparison = (Check, Box<dyn FnOnce() + Send + Sync>);

/// The same of content that is compared with its checksum. When it is not what was stored, its last
/// piece is not sent: the body breaks off, and no client takes it for whole.
pub async fn read_checked(
    file: std::fs::File,
    from: u64,
    length: u64,
    mut comparison: Option<Comparison>,
) -> S3Result<StreamingBlob> {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(from)).await.map_err(internal)?;
    let first = next(&mut file, length).await.map_err(|e| damaged(&format!("reading its file: {e}")))?;
    let left = length - first.len() as u64;
    let is_right = compare(&mut comparison, &first, left);
    if !is_right {
        return Err(damaged("its bytes are not those that were stored"));
    }
    let rest = futures_util::stream::try_unfold(
        (file, left, comparison),
        |(mut file, left, mut comparison)| async move {
            let chunk = next(&mut file, left).await?;
            let left = left - chunk.len() as u64;
            if !chunk.is_empty() && !compare(&mut comparison, &chunk, left) {
                return Err(io::Error::other("the content is damaged"));
            }
            Ok((!chunk.is_empty()).then_some((chunk, (file, left, comparison))))
        },
    );
    let first = futures_util::stream::iter((!first.is_empty()).then_some(Ok::<_, io::Error>(first)));
    Ok(StreamingBlob::wrap(first.chain(rest)))
}

/// Takes a piece of content; with the last one, whether it is what was stored.
fn compare(comparison: &mut Option<Comparison>, chunk: &[u8], left: u64) -> bool {
    if let Some((check, _)) = comparison {
        check.update(chunk);
    }
    if left > 0 {
        return true;
    }
    let Some((check, tell)) = comparison.take() else { return true };
    let is_right = check.matches();
    if !is_right {
        tell();
    }
    is_right
}

/// The next piece of what is left of a file; an empty one at its end.
async fn next(file: &mut tokio::fs::File, left: u64) -> io::Result<Bytes> {
    if left == 0 {
        return Ok(Bytes::new());
    }
    let mut chunk = vec![0; usize::try_from(left.min(128 * 1024)).unwrap_or(0)];
    let n = file.read(&mut chunk).await?;
    if n == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    chunk.truncate(n);
    Ok(Bytes::from(chunk))
}

/// The answer for an object whose content is not what was stored. S3 has no such error. Clients do
/// not retry this status, and the message says what to do.
pub fn damaged(harm: &str) -> s3s::S3Error {
    tracing::warn!("s3: damaged content: {harm}");
    let message =
        format!("The content of the object is damaged: {harm}. Put the object again, or delete it.");
    let mut error = s3s::S3Error::with_message(s3s::S3ErrorCode::Custom("ObjectDamaged".into()), message);
    error.set_status_code(http::StatusCode::GONE);
    error
}

/// The home that an object's file is in.
fn home_of(path: &Path) -> &Path {
    path.ancestors().nth(2).unwrap_or(path)
}

/// The answer for an error of the disk. A disk that is full or fails, and a damaged index, are not
/// reasons to retry.
pub fn disk(home: &Path, e: &io::Error) -> S3Error {
    match ApiError::lasting(home, e) {
        Some(error) => {
            let code =
                if error.kind == ErrorKind::NoSpace { "InsufficientStorage" } else { "StorageDamaged" };
            let mut answer = S3Error::with_message(S3ErrorCode::Custom(code.into()), error.message);
            answer.set_status_code(error.status);
            answer
        }
        None => internal(e),
    }
}

/// The disk takes no more. S3 has no word for it; no client tries again what was refused with 400
/// and this code.
pub fn no_space(lack: &NoSpace) -> S3Error {
    let mut error =
        S3Error::with_message(S3ErrorCode::Custom("InsufficientStorage".into()), lack.with_advice());
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}

/// Reads the rest of a body that nobody wants, as far as it comes soon: a client that is still
/// sending would not hear the answer, and would try again.
pub async fn drop_rest(body: Option<StreamingBlob>) {
    let Some(mut body) = body else { return };
    let read = async { while let Some(Ok(_)) = body.next().await {} };
    let _ = tokio::time::timeout(DROP_TIME, read).await;
}

/// An internal problem. It is logged, and the client gets no details.
pub fn internal(e: impl std::fmt::Display) -> s3s::S3Error {
    tracing::warn!("s3: {e}");
    s3_error!(InternalError, "{e}")
}

/// Standard base64.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Decodes Base64.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
