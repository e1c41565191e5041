//! The keys by which the nodes of a job reach each other. awsb's image makes and deletes them; here goes what a main
//! node that was killed has left behind.

use std::time::{Duration, SystemTime};

use crate::cluster::Session;
use crate::job::object_key;

/// The folder of the keys, below the cluster's prefix. An object is `nodes/JOBID/ATTEMPT`.
pub(super) const NODES: &str = "nodes";
/// No job waits so long for its nodes.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody waits longer for it than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deletes keys that are older than a day: one listing. Whoever may not do it, or cannot, does not: a lifecycle rule
/// of the bucket does the same.
pub async fn sweep_nodes(session: &Session) {
    let _ = tokio::time::timeout(PATIENCE, sweep(session)).await;
}

async fn sweep(session: &Session) -> Option<()> {
    let bucket = &session.cluster.bucket;
    let prefix = format!("{}/", object_key(&session.cluster.prefix, NODES));
    let listed = session.s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await.ok()?;
    let limit = aws_smithy_types::DateTime::from(SystemTime::now().checked_sub(LEFT_BEHIND)?);
    for object in listed.contents() {
        if object.last_modified().is_some_and(|modified| *modified < limit) {
            session.s3.delete_object().bucket(bucket).key(object.key()?).send().await.ok()?;
        }
    }
    Some(())
}
