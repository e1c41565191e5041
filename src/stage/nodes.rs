//! The keys by which the nodes of a job reach each other. awsb's image makes and deletes them; here goes what a main
//! node that was killed has left behind.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;

use super::keys::listed_key;
use crate::aws::Session;
use awsb_model::object_key;

/// The folder of the keys, below the cluster's prefix. An object is `nodes/JOBID/ATTEMPT`.
pub(super) const NODES: &str = "nodes";
/// No job waits so long for its nodes.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody waits longer for it than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deletes keys that are older than a day, for at most some seconds: something to do beside a submission. What may
/// not be deleted, or cannot, stays: a lifecycle rule of the bucket does the same.
pub fn sweep_nodes(session: &Session) -> impl Future<Output = ()> + use<> {
    let (s3, bucket) = (session.s3.clone(), session.cluster.bucket.clone());
    let prefix = format!("{}/", object_key(&session.cluster.prefix, NODES));
    async move {
        let _ = tokio::time::timeout(PATIENCE, sweep(&s3, &bucket, prefix)).await;
    }
}

async fn sweep(s3: &Client, bucket: &str, prefix: String) -> Option<()> {
    let limit = aws_smithy_types::DateTime::from(SystemTime::now().checked_sub(LEFT_BEHIND)?);
    let list = s3.list_objects_v2().bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
    let mut pages = list.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.ok()?;
        let old = page.contents().iter().filter(|object| object.last_modified().is_some_and(|m| *m < limit));
        for key in old.filter_map(|object| object.key()) {
            let key = listed_key(key, page.encoding_type());
            // One that is locked, say, does not keep the others.
            let _ = s3.delete_object().bucket(bucket).key(key).send().await;
        }
    }
    Some(())
}
