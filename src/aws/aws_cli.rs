//! Commands of the `aws` CLI in hints.

use crate::config::Cluster;

/// The command of a shell that makes the `aws` CLI speak to a cluster's services. `None`: the CLI
/// does so already.
pub fn command_for_aws_cli(cluster: &Cluster) -> Option<&'static str> {
    cluster.is_local.then_some("eval \"$(blocal env)\"")
}

/// An advice for the user: each command of the `aws` CLI, which stands in backquotes, begins with
/// what makes it speak to the services of this cluster, and to no others.
pub fn advice(cluster: &Cluster, text: &str) -> String {
    match command_for_aws_cli(cluster) {
        Some(before) => text.replace("`aws ", &format!("`{before} && aws ")),
        None => text.to_owned(),
    }
}
