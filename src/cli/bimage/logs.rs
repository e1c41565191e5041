//! `bimage logs`: what a build said.

use super::CommonArgs;
use crate::ui::{Exit, Failure};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The build: its ID, as `bimage build` shows it
    #[arg(value_name = "BUILD")]
    build: String,
}

impl Args {
    /// The story.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let _session = common.open().await?;
        Err(Failure::failed("this is still to be written"))
    }
}
