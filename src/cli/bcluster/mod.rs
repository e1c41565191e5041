//! `bcluster`: makes clusters, changes them and takes them away.

mod account;
mod blueprint;
mod create;
mod delete;
mod image;
mod import;
mod init;
mod kept;
mod list;
mod operation;
mod plan;
mod policy;
mod power;
mod show;
mod template;
mod tool;
mod update;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::CommonArgs;
use crate::cloud::ADMIN_POLICY;
use crate::ui::{ErrorKind, Failure};

/// Make a cluster on AWS Batch, change it, take it away
#[derive(Debug, Parser)]
#[command(name = "bcluster", version, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a configuration, with a comment for each key
    Init(init::Args),
    /// Make a cluster
    Create(create::Args),
    /// Change a cluster
    Update(update::Args),
    /// Take a cluster away
    Delete(delete::Args),
    /// List clusters: bcluster's and ParallelCluster's
    List(list::Args),
    /// Show a cluster: its parts, its jobs, its events
    Show(show::Args),
    /// Let a cluster cost nothing while it is not used
    Stop(power::Args),
    /// Let a cluster that was stopped run jobs again
    Start(power::Args),
    /// Print the CloudFormation template of a cluster
    Template(template::Args),
    /// Print an IAM policy: what its holder may do with clusters
    Policy(policy::Args),
    /// Make a configuration of ParallelCluster's
    Import(import::Args),
}

/// `bcluster`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bcluster", words, |args: Args| {
        let Args { action, common } = args;
        let outcome = super::block_on_threads(async {
            match action {
                Action::Init(args) => args.run(&common).await,
                Action::Create(args) => args.run(&common).await,
                Action::Update(args) => args.run(&common).await,
                Action::Delete(args) => args.run(&common).await,
                Action::List(args) => args.run(&common).await,
                Action::Show(args) => args.run(&common).await,
                Action::Stop(args) => args.stop(&common).await,
                Action::Start(args) => args.start(&common).await,
                Action::Template(args) => args.run(&common).await,
                Action::Policy(args) => args.run(&common).await,
                Action::Import(args) => args.run(&common).await,
            }
        });
        outcome.map_err(with_policy)
    })
}

/// The failure with a hint to the policy that has the missing permission.
fn with_policy(failure: Failure) -> Failure {
    match failure.kind() {
        ErrorKind::AccessDenied => failure.hint(ADMIN_POLICY),
        _ => failure,
    }
}
