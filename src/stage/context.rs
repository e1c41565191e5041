//! A packed build context goes to S3.

use std::io::Read;

use super::multipart::{Of, send};
use super::parts::part_size;
use super::spool::Spool;
use super::upload::{GZIP, length_of, put, storing};
use crate::cluster::Session;
use crate::ui::Failure;

const CONTEXT: Of = Of {
    what: "the build context",
    sending: "sending the build context",
    content_type: GZIP,
    not_done: "nothing was built",
};

/// Whether a build context is at `key` of the cluster's bucket: an object is there as a whole or not at all.
///
/// # Errors
/// When the bucket cannot be asked.
pub async fn is_context_there(session: &Session, key: &str) -> Result<bool, Failure> {
    Ok(length_of(session, key, &storing(session, CONTEXT.what, key)).await?.is_some())
}

/// Stores a build context at `key` of the cluster's bucket: a small one in one call, a larger one in parts, with a bar unless
/// somebody wants quiet.
///
/// # Errors
/// When it cannot be read, or the bucket is missing, may not be written or cannot be reached. Of a larger one, what has
/// arrived by then is taken up by the next call for the same content.
pub async fn upload_context(
    session: &Session,
    key: &str,
    context: &Spool,
    quiet: bool,
) -> Result<(), Failure> {
    if context.length() > part_size(context.length()) {
        return send(session, key, context, context.sha256(), &CONTEXT, quiet).await;
    }
    let mut bytes = Vec::new();
    let read = context.read().read_to_end(&mut bytes);
    read.map_err(|e| Failure::failed(format!("reading {}: {e}", CONTEXT.what)))?;
    put(session, key, bytes.into(), &storing(session, CONTEXT.what, key)).await
}
