//! `bimage`: builds images for jobs, and manages them.

mod build;
mod list;
mod logs;
mod push;
mod remove;
mod show;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::CommonArgs;

/// Build and manage images for jobs, with CodeBuild or a Docker engine, in ECR
#[derive(Debug, Parser)]
#[command(name = "bimage", version, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build an image from a folder with a Dockerfile; the same content is built only once
    Build(build::Args),
    /// Push an image of this machine's Docker engine to the cluster's repository
    Push(push::Args),
    /// List the cluster's images
    List(list::Args),
    /// Show an image in detail
    Show(show::Args),
    /// Remove images
    Rm(remove::Args),
    /// Show the log of a build
    Logs(logs::Args),
}

/// `bimage`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bimage", words, |args: Args| {
        let Args { action, common } = args;
        super::block_on_threads(async {
            match action {
                Action::Build(args) => args.run(&common).await,
                Action::Push(args) => args.run(&common).await,
                Action::List(args) => args.run(&common).await,
                Action::Show(args) => args.run(&common).await,
                Action::Rm(args) => args.run(&common).await,
                Action::Logs(args) => args.run(&common).await,
            }
        })
    })
}
