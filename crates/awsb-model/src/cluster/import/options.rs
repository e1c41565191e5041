//! The options of an import, and its result.

use super::report::Report;
use crate::cluster::config::ClusterConfig;

/// A configuration that was made from ParallelCluster's.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The configuration.
    pub config: ClusterConfig,
    /// The configuration as TOML, with comments that say where values are from.
    pub toml: String,
    /// The region that the file names. It is an option of `bcluster create`, not a key.
    pub region: Option<String>,
    /// The fate of each key.
    pub report: Report,
}

/// The decisions of a user about an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The `[cluster NAME]` of a file of version 2, instead of the one that `cluster_template`
    /// names.
    pub cluster: Option<String>,
    /// Whether jobs get the managed policies that the head node had.
    pub job_policies: bool,
}
