//! The names that Batch has told lately, for completions, which call nothing.

use crate::aws::{Cache, endpoint_of};
use crate::config::Cluster;

/// The number of names of a kind to keep.
const MAX_NAMES: usize = 500;

/// The kinds of things whose names are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// Job queues.
    Queue,
    /// Consumable resources, such as licences.
    ConsumableResource,
    /// Containers of jobs and of job definitions that have tasks.
    Container,
}

impl NameKind {
    /// The kind of the cache's entry.
    fn entry(self) -> &'static str {
        match self {
            Self::Queue => "queues",
            Self::ConsumableResource => "consumable-resources",
            Self::Container => "containers",
        }
    }
}

/// The cache of a cluster. Unlike that of a session, it is found without the AWS configuration, and
/// the local cluster has one: an outdated name in a completion harms nobody.
fn cache(cluster: &Cluster) -> Cache {
    Cache::new(vec![cluster.name.clone(), endpoint_of(cluster).unwrap_or_default()])
}

/// Records names that Batch has told. `are_all`: the cluster's account and region have no others of
/// the kind.
pub(super) fn record(cluster: &Cluster, kind: NameKind, mut names: Vec<String>, are_all: bool) {
    let before = recorded(cluster, kind);
    if !are_all {
        if names.iter().all(|name| before.contains(name)) {
            return;
        }
        names.extend(before);
    }
    names.sort();
    names.dedup();
    names.truncate(MAX_NAMES);
    cache(cluster).write(kind.entry(), "", &names);
}

/// Records names that Batch has told, besides others of the kind. Without any, no file is read.
pub(super) fn record_some(cluster: &Cluster, kind: NameKind, names: impl IntoIterator<Item = String>) {
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if !names.is_empty() {
        record(cluster, kind, names, false);
    }
}

fn recorded(cluster: &Cluster, kind: NameKind) -> Vec<String> {
    cache(cluster).read(kind.entry(), "").unwrap_or_default()
}

/// The names of the containers of jobs and job definitions that Batch has described within a day.
pub fn recorded_containers(cluster: &Cluster) -> Vec<String> {
    recorded(cluster, NameKind::Container)
}

/// The names of the queues that Batch has described within a day.
pub fn recorded_queues(cluster: &Cluster) -> Vec<String> {
    recorded(cluster, NameKind::Queue)
}

/// The names of the consumable resources that Batch has listed or described within a day, without
/// the limits of arrays.
pub fn recorded_consumable_resources(cluster: &Cluster) -> Vec<String> {
    recorded(cluster, NameKind::ConsumableResource)
}
