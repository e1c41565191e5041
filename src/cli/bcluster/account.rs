//! The account and region in which a cluster is, and its stack there.

use super::super::CommonArgs;
use crate::aws::Session;
use crate::cloud::{self, Maker, Stack};
use crate::config::{self, ClusterSelector, Place};
use crate::ui::{ErrorKind, Failure};

/// Opens a session with the account in which the cluster `name` is, or is to be: that of the
/// cluster which `--cluster` names, else that of `[cluster.NAME]` in the settings, else that of
/// AWSB_CLUSTER, else that of the AWS configuration.
///
/// # Errors
/// When the cluster of `--cluster` does not exist or no region is set.
pub(super) async fn open(common: &CommonArgs, name: Option<&str>) -> Result<Session, Failure> {
    let choice = choice_of_account(common);
    let cluster = config::account(&choice, common.cluster.as_deref(), name, variable().as_deref())?;
    Session::open_account(cluster, &choice, common.debug).await
}

/// The places in which clusters are, and whether the user has named one: that of the cluster which
/// `--cluster` or AWSB_CLUSTER names, else all that are known without a name.
///
/// # Errors
/// When the named cluster does not exist, or the settings cannot be read.
pub(super) fn places(common: &CommonArgs) -> Result<(Vec<Place>, bool), Failure> {
    let choice = choice_of_account(common);
    match common.cluster.clone().or_else(variable) {
        Some(name) => {
            let cluster = config::account(&choice, Some(&name), None, None)?;
            Ok((vec![Place { cluster, may_have_stacks: true }], true))
        }
        None => Ok((config::places(&choice)?, false)),
    }
}

/// Opens a session with a place.
///
/// # Errors
/// When no region is set, or a local cluster cannot be started.
pub(super) async fn open_place(common: &CommonArgs, place: &Place) -> Result<Session, Failure> {
    Session::open_account(place.cluster.clone(), &choice_of_account(common), common.debug).await
}

fn variable() -> Option<String> {
    std::env::var("AWSB_CLUSTER").ok().filter(|name| !name.is_empty())
}

/// The options that choose an account and a region.
fn choice_of_account(common: &CommonArgs) -> ClusterSelector {
    ClusterSelector { cluster: None, ..common.choice() }
}

/// The name of the stack of a cluster: what the settings say, else the cluster's name.
pub(super) fn stack_name<'a>(session: &'a Session, name: &'a str) -> &'a str {
    let cluster = &session.cluster;
    match &cluster.stack {
        Some(stack) if cluster.name == name => stack,
        _ => name,
    }
}

/// The stack that has the name of a cluster, whoever made it. `None`: there is none, or it is
/// deleted.
///
/// # Errors
/// When CloudFormation cannot be asked.
pub(super) async fn find(session: &Session, name: &str) -> Result<Option<Stack>, Failure> {
    let stack = stack_name(session, name);
    let mut found = cloud::find(session, stack).await?;
    if found.is_none() {
        // ParallelCluster 2 made a stack of this name for the cluster NAME.
        found = cloud::find(session, &format!("parallelcluster-{stack}")).await?;
    }
    Ok(found.filter(|stack| stack.status.phase() != cloud::Phase::Deleted))
}

/// The failure for a cluster that does not exist.
pub(super) fn missing(session: &Session, name: &str) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no cluster `{name}` in {}", session.place()))
        .hint("`bcluster list` lists the clusters of this account and region")
        .hint("`--region` and `--profile` choose others")
}

/// The stack of a cluster, ours or ParallelCluster's.
///
/// # Errors
/// When there is none, or it is not a cluster.
pub(super) async fn cluster(session: &Session, name: &str) -> Result<Stack, Failure> {
    let stack = find(session, name).await?.ok_or_else(|| missing(session, name))?;
    check_cluster(session, &stack)?;
    Ok(stack)
}

fn check_cluster(session: &Session, stack: &Stack) -> Result<(), Failure> {
    match stack.maker() {
        Maker::Awsb | Maker::ParallelCluster => Ok(()),
        Maker::Other => Err(Failure::failed(format!(
            "the stack `{}` in {} is not a cluster of bcluster or of ParallelCluster with AWS Batch",
            stack.name,
            session.place()
        ))
        .hint("`bcluster list` lists the clusters of this account and region")),
    }
}

/// The same for a command that changes the cluster, which has to be one of ours.
///
/// # Errors
/// When there is none, or it is not ours.
pub(super) async fn own_cluster(session: &Session, name: &str, doing: &str) -> Result<Stack, Failure> {
    let stack = find(session, name).await?.ok_or_else(|| missing(session, name))?;
    check_own(session, &stack, name, doing)?;
    Ok(stack)
}

/// Fails if the stack is not a cluster of ours. `doing` is the verb of the command.
///
/// # Errors
/// As said.
pub(super) fn check_own(session: &Session, stack: &Stack, name: &str, doing: &str) -> Result<(), Failure> {
    check_cluster(session, stack)?;
    match stack.maker() {
        Maker::Awsb => Ok(()),
        Maker::ParallelCluster | Maker::Other => Err(Failure::usage(format!(
            "bcluster does not {doing} the cluster `{name}`: ParallelCluster made it"
        ))
        .hint(format!(
            "`pcluster` of ParallelCluster 3.15 or earlier does; `bcluster show {name}` shows the cluster"
        ))),
    }
}
