//! `bimage list`: the images that the cluster has.

use super::CommonArgs;
use crate::ui::{Exit, Failure};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// No header line
    #[arg(long)]
    no_header: bool,
}

impl Args {
    /// The story.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let _session = common.open().await?;
        Err(Failure::failed("this is still to be written"))
    }
}
