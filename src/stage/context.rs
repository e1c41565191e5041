//! A packed build context goes to S3.

use std::collections::HashMap;
use std::io::Read;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;

use super::multipart::{Of, Upload};
use super::parts::{Sums, part_size};
use super::spool::Spool;
use super::upload::{Found, GZIP, Object, is_nothing, storing};
use crate::aws::{Call, Session, explain};
use crate::ui::Failure;

const CONTEXT: Of = Of {
    what: "the build context",
    sending: "sending the build context",
    content_type: GZIP,
    not_done: "nothing was built",
};
/// The metadata of a context: `LENGTH-SHA256`. The object's name is the hash of what it has inside, so only this tells
/// whether it is what was stored.
const RECORD: &str = "awsb-content";

/// What is in the place of a build context: an object is there as a whole or not at all, but somebody may have replaced it.
///
/// # Errors
/// When the bucket cannot be asked.
pub async fn find_context(session: &Session, key: &str) -> Result<Found, Failure> {
    let head = session.s3.head_object().bucket(&session.cluster.bucket).key(key);
    match head.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) if is_as_recorded(&head) => Ok(Found::Same),
        Ok(_) => Ok(Found::Different),
        Err(e) if is_nothing(&e) => Ok(Found::Nothing),
        Err(e) => {
            let doing = storing(session, CONTEXT.what, key);
            Err(explain(session, Call::new(&doing).bucket(&session.cluster.bucket), &e))
        }
    }
}

fn record(length: u64, sha256: &str) -> String {
    format!("{length}-{sha256}")
}

fn is_as_recorded(head: &HeadObjectOutput) -> bool {
    let recorded = head.metadata().and_then(|metadata| metadata.get(RECORD));
    let Some((length, sha256)) = recorded.and_then(|recorded| recorded.split_once('-')) else { return false };
    let same_length = length.parse().ok() == head.content_length();
    // One that was stored in parts has no checksum of the whole.
    let whole = head.checksum_sha256().filter(|sum| !sum.contains('-'));
    same_length && whole.is_none_or(|sum| sum == super::upload::base64_of_hex(sha256))
}

/// Stores a build context at `key` of the cluster's bucket, where `found` is now: a small one in one call, a larger one in
/// parts, with a bar unless somebody wants quiet.
///
/// # Errors
/// When it cannot be read, or the bucket is missing, may not be written or cannot be reached. Of a larger one, what has
/// arrived by then is taken up by the next call for the same content.
pub async fn upload_context(
    session: &Session,
    key: &str,
    context: &Spool,
    found: Found,
    quiet: bool,
) -> Result<(), Failure> {
    let metadata = HashMap::from([(RECORD.to_owned(), record(context.length(), context.sha256()))]);
    if context.length() > part_size(context.length()) {
        let sums = Sums { sha256: context.sha256().to_owned(), ..Sums::default() };
        let metadata = Some(&metadata);
        let upload = Upload { session, key, source: context, sums: &sums, of: &CONTEXT, metadata, quiet };
        return upload.run_over(found).await;
    }
    let mut bytes = Vec::new();
    let read = context.read().read_to_end(&mut bytes);
    read.map_err(|e| Failure::failed(format!("reading {}: {e}", CONTEXT.what)))?;
    let (session, key, bytes) = (session.clone(), key.to_owned(), bytes.into());
    let object = Object { session, key, bytes, what: CONTEXT.what, metadata: Some(metadata) };
    object.put(found == Found::Nothing).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_what_its_record_says() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let head = |length: i64, sum: Option<&str>, recorded: Option<String>| {
            let head = HeadObjectOutput::builder().content_length(length);
            let head = head.set_checksum_sha256(sum.map(str::to_owned));
            is_as_recorded(
                &head.set_metadata(recorded.map(|r| HashMap::from([(RECORD.to_owned(), r)]))).build(),
            )
        };
        let good = Some(record(3, sha256));
        let sum = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert!(head(3, Some(sum), good.clone()));
        assert!(head(3, None, good.clone()) && head(3, Some("AAAA-2"), good.clone()));
        assert!(!head(4, None, good.clone()), "cut off or written over");
        assert!(!head(3, Some("AAAA"), good), "another content of the same length");
        assert!(!head(3, Some(sum), None) && !head(3, None, Some("3".into())));
    }
}
