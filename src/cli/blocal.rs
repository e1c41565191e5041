//! `blocal`: the local cluster, started, stopped and looked at.

use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use crate::ui::Exit;

/// The local cluster: AWS Batch, S3 and CloudWatch Logs on this machine
#[derive(Debug, Parser)]
#[command(name = "blocal", version)]
pub struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

/// `blocal`'s entry point.
pub fn main() -> ExitCode {
    super::run("blocal", |_: Args| Ok(Exit::Done))
}
