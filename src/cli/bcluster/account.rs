//! The account and region in which a cluster is, and its stack there.

use super::super::CommonArgs;
use crate::aws::Session;
use crate::cloud::{self, Maker, Stack};
use crate::config::{self, ClusterSelector};
use crate::ui::Failure;

/// Opens a session with the account in which the cluster `name` is, or is to be: that of the
/// cluster which `--cluster` names, else that of `[cluster.NAME]` in the settings, else that of
/// AWSB_CLUSTER, else that of the AWS configuration.
///
/// # Errors
/// When the cluster of `--cluster` does not exist or no region is set.
pub(super) async fn open(common: &CommonArgs, name: Option<&str>) -> Result<Session, Failure> {
    let variable = std::env::var("AWSB_CLUSTER").ok().filter(|name| !name.is_empty());
    let choice = ClusterSelector { cluster: None, ..common.choice() };
    let cluster = config::account(&choice, common.cluster.as_deref(), name, variable.as_deref())?;
    Session::open_account(cluster, &choice, common.debug).await
}

/// The name of the stack of a cluster: what the settings say, else the cluster's name.
pub(super) fn stack_name<'a>(session: &'a Session, name: &'a str) -> &'a str {
    let cluster = &session.cluster;
    match &cluster.stack {
        Some(stack) if cluster.name == name => stack,
        _ => name,
    }
}

/// The stack of a cluster, ours or ParallelCluster's.
///
/// # Errors
/// When there is none, or it is not a cluster.
pub(super) async fn cluster(session: &Session, name: &str) -> Result<Stack, Failure> {
    let stack = stack_name(session, name);
    let mut found = cloud::find(session, stack).await?;
    if found.is_none() {
        // ParallelCluster 2 made a stack of this name for the cluster NAME.
        found = cloud::find(session, &format!("parallelcluster-{stack}")).await?;
    }
    let found = found.filter(|stack| stack.status.phase() != cloud::Phase::Deleted);
    let place = session.place();
    match found {
        None => Err(Failure::failed(format!("there is no cluster `{name}` in {place}"))
            .hint("`bcluster list` lists the clusters of this account and region")
            .hint("`--region` and `--profile` choose others")),
        Some(stack) if stack.maker() == Maker::Other => Err(Failure::failed(format!(
            "the stack `{}` in {place} is not a cluster of bcluster or of ParallelCluster with AWS Batch",
            stack.name
        ))
        .hint("`bcluster list` lists the clusters of this account and region")),
        Some(stack) => Ok(stack),
    }
}

/// The same for a command that changes the cluster, which has to be one of ours.
///
/// # Errors
/// When there is none, or it is not ours.
pub(super) async fn own_cluster(session: &Session, name: &str, doing: &str) -> Result<Stack, Failure> {
    let stack = cluster(session, name).await?;
    match stack.maker() {
        Maker::Awsb => Ok(stack),
        Maker::ParallelCluster | Maker::Other => Err(Failure::usage(format!(
            "bcluster does not {doing} the cluster `{name}`: ParallelCluster made it"
        ))
        .hint(format!(
            "`pcluster` of ParallelCluster 3.15 or earlier does; `bcluster show {name}` shows the cluster"
        ))),
    }
}
