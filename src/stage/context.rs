//! Uploads a packed build context to S3.

use std::collections::HashMap;
use std::io::Read;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;

use super::checksum::Checksums;
use super::multipart::{Upload, UploadLabels};
use super::part_source::part_size;
use super::spool::Spool;
use super::upload::{GZIP, Object, ObjectState, is_missing, storing};
use crate::aws::{Call, Session, explain};
use crate::ui::Failure;

const CONTEXT: UploadLabels = UploadLabels {
    what: "the build context",
    sending: "sending the build context",
    content_type: GZIP,
    not_done: "nothing was built",
};
/// The metadata of a context: `LENGTH-SHA256` of the packed object. The name of the object is a
/// hash of the content before packing, so only the metadata show whether the object is complete.
const RECORD: &str = "awsb-content";

/// The state of the object of a build context. It exists as a whole or not at all, but somebody may
/// have replaced it.
///
/// # Errors
/// When the bucket cannot be asked.
pub async fn inspect_context(session: &Session, key: &str) -> Result<ObjectState, Failure> {
    let head = session.s3.head_object().bucket(&session.cluster.bucket).key(key);
    match head.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) if is_as_recorded(&head) => Ok(ObjectState::Same),
        Ok(_) => Ok(ObjectState::Different),
        Err(e) if is_missing(&e) => Ok(ObjectState::Missing),
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
    // An object that was stored in parts has no checksum of the whole.
    let whole = head.checksum_sha256().filter(|sum| !sum.contains('-'));
    same_length && whole.is_none_or(|sum| sum == super::upload::base64_of_hex(sha256))
}

/// Stores a build context at `key` of the cluster's bucket, whose state is `found`: a small context
/// in one call, a larger one in parts, with a progress bar unless `quiet` is set.
///
/// # Errors
/// When the context cannot be read, or the bucket is missing, may not be written or cannot be
/// reached. The next call for the same content continues the upload of a larger context.
pub async fn upload_context(
    session: &Session,
    key: &str,
    context: &Spool,
    found: ObjectState,
    quiet: bool,
) -> Result<(), Failure> {
    let metadata = HashMap::from([(RECORD.to_owned(), record(context.length(), context.sha256()))]);
    if context.length() > part_size(context.length()) {
        let checksums = Checksums { sha256: context.sha256().to_owned(), ..Checksums::default() };
        let metadata = Some(&metadata);
        let upload = Upload {
            session,
            key,
            source: context,
            checksums: &checksums,
            labels: &CONTEXT,
            metadata,
            quiet,
        };
        return upload.run_from(found).await;
    }
    let mut bytes = Vec::new();
    let read = context.read().read_to_end(&mut bytes);
    read.map_err(|e| Failure::failed(format!("reading {}: {e}", CONTEXT.what)))?;
    let (session, key, bytes) = (session.clone(), key.to_owned(), bytes.into());
    let object =
        Object { session, key, bytes, what: CONTEXT.what, content_type: GZIP, metadata: Some(metadata) };
    object.put(found == ObjectState::Missing).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_compared_with_its_record() {
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
