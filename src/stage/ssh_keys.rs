//! The SSH keys with which the nodes of a job reach each other. awsb's image makes and deletes
//! them. Those of a main node that was killed are deleted here.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;

use super::listing::decode_key;
use crate::aws::{Pages, Session};
use awsb_model::object_key;

/// The folder of the keys, below the cluster's prefix. An object is `nodes/JOBID/ATTEMPT`.
pub(super) const NODE_KEYS: &str = "nodes";
/// A key of this age is stale, because no job waits so long for its nodes.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The deletion ends after this time, because a command waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Deletes keys that are older than a day, for at most some seconds beside a submission. A key that
/// cannot be deleted stays until a lifecycle rule of the bucket deletes it.
pub fn delete_stale_node_keys(session: &Session) -> impl Future<Output = ()> + use<> {
    let (s3, bucket) = (session.s3.clone(), session.cluster.bucket.clone());
    let prefix = format!("{}/", object_key(&session.cluster.prefix, NODE_KEYS));
    async move {
        let _ = tokio::time::timeout(TIME_LIMIT, delete_stale(&s3, &bucket, prefix)).await;
    }
}

async fn delete_stale(s3: &Client, bucket: &str, prefix: String) -> Option<()> {
    let limit = aws_smithy_types::DateTime::from(SystemTime::now().checked_sub(STALE_AFTER)?);
    let list = s3.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
    let mut pages = Pages::new(|token| list.clone().set_continuation_token(token).send());
    while let Some(page) = pages.next().await {
        let page = page.ok()?;
        let old = page.contents().iter().filter(|object| object.last_modified().is_some_and(|m| *m < limit));
        for key in old.filter_map(|object| object.key()) {
            let key = decode_key(key, page.encoding_type());
            // A key that cannot be deleted, such as a locked one, does not stop the others.
            let _ = s3.delete_object().bucket(bucket).key(key).send().await;
        }
    }
    Some(())
}
