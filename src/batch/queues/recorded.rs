//! The names of the queues that Batch has described lately, for completions, which call nothing.

use crate::aws::{Cache, endpoint_of};
use crate::config::Cluster;

/// The kind of the cache's entry.
const KIND: &str = "queues";
/// The number of names to keep.
const MAX_NAMES: usize = 500;

/// The cache of a cluster. Unlike that of a session, it is found without the AWS configuration, and
/// the local cluster has one: an outdated name in a completion harms nobody.
fn cache(cluster: &Cluster) -> Cache {
    Cache::new(vec![cluster.name.clone(), endpoint_of(cluster).unwrap_or_default()])
}

/// Records the names of queues that Batch has described. `are_all`: the cluster's account and
/// region have no others.
pub(super) fn record_queues(cluster: &Cluster, mut names: Vec<String>, are_all: bool) {
    let before = recorded_queues(cluster);
    if !are_all {
        if names.iter().all(|name| before.contains(name)) {
            return;
        }
        names.extend(before);
    }
    names.sort();
    names.dedup();
    names.truncate(MAX_NAMES);
    cache(cluster).write(KIND, "", &names);
}

/// The names of the queues that Batch has described within a day.
pub fn recorded_queues(cluster: &Cluster) -> Vec<String> {
    cache(cluster).read(KIND, "").unwrap_or_default()
}
