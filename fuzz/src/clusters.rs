//! Templates of CloudFormation, and the configurations of ParallelCluster.

use awsb_local::internals::plan_template;
use awsb_model::cluster::ClusterConfig;
use awsb_model::cluster::import::{ImportOptions, import};

/// Reads a template, and plans a stack of it.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = plan_template(text);
}

/// Imports a configuration of ParallelCluster, of version 2 or 3.
///
/// # Panics
/// When the text that an import gives is not a configuration.
pub fn parallelcluster(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(imported) = import("pcluster", text, &ImportOptions::default()) {
        let config = ClusterConfig::from_toml("lab.toml", &imported.toml);
        assert!(config.is_ok(), "{config:?}:\n{}", imported.toml);
    }
}
