//! Stores a build context in S3.

use std::io;

use super::Context;
use crate::aws::Session;
use crate::stage::{ObjectState, Spool, inspect_context, upload_context};
use crate::ui::{Failure, ProgressBar};
use awsb_model::{object_key, object_url};

/// Stores the context, gzipped, in the cluster's bucket, unless it is there already. Returns its
/// `s3://` URL.
///
/// # Errors
/// When a file cannot be read or has changed; when there is no space for a temporary copy; when the
/// bucket does not exist, may not be written or cannot be reached.
pub async fn stage(session: &Session, context: &Context) -> Result<String, Failure> {
    let hashed = context.clone();
    let sha256 = in_background(move || hashed.sha256()).await?;
    let (bucket, prefix) = (&session.cluster.bucket, &session.cluster.prefix);
    let name = format!("contexts/{sha256}.tar.gz");
    let key = object_key(prefix, &name);
    let found = inspect_context(session, &key).await?;
    if found != ObjectState::Same {
        let packed = context.clone();
        let spool = in_background(move || pack(&packed, &sha256)).await?;
        upload_context(session, &key, &spool, found, context.is_quiet()).await?;
    }
    Ok(object_url(bucket, prefix, &name))
}

fn pack(context: &Context, sha256: &str) -> Result<Spool, Failure> {
    let mut progress =
        ProgressBar::new("packing the build context", context.size()).unless(context.is_quiet());
    let (spool, packed) =
        Spool::gzip(context.tar(), |n| progress.advance(n)).map_err(|e| Failure::failed(e.to_string()))?;
    if packed != sha256 {
        return Err(Failure::failed(
            "reading the build context: one of its files has changed while it was read",
        ));
    }
    Ok(spool)
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::failed(format!("reading the build context: {}", io::Error::other(e)))).flatten()
}
